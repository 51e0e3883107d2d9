// ops_sort.c: ops that no expression fits: they order or pick elements by their values, in runtime routines.
// SPDX-License-Identifier: Apache-2.0
//
// Attributes that a routine takes stand first in the row, in the routine's order (runtime/ingot_abi.h).
#include "ir/ops.h"

// ---- topk, sort -----------------------------------------------------------------------------------------------

static bool topk_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  int axis;
  int64_t k = attr_int(n, "k");
  if (!op_axis(c, n, "axis", attr_int(n, "axis"), x->rank, &axis)) return false;
  if (k < 0 || k > x->dim[axis].n)
    return op_fail(c, n, "k is %lld, dimension %d of x has %lld elements", (long long)k, axis,
                   (long long)x->dim[axis].n);
  Dim out[MAX_RANK];
  memcpy(out, x->dim, sizeof out);
  out[axis] = dim_const(k);
  return op_set(c, n, 0, x->rank, out) && op_set(c, n, 1, x->rank, out);
}

static bool sort_infer(Ctx *c, Node *n) {
  int axis;
  const Type *x = in_type(n, 0);
  if (!op_axis(c, n, "axis", attr_int(n, "axis"), x->rank, &axis)) return false;
  if (x->dim[axis].sym) return op_fail(c, n, "dimension %d must have a known extent", axis);
  return op_infer_same(c, n);
}

static bool sort_decompose(Builder *b, const Node *n, Value **out) {
  int axis = op_axis_of(n, "axis", in_rank(n, 0));
  Node *top = build_node(b, "topk", IN(n->in[0]),
                         ATTRS(A_INT("k", in_type(n, 0)->dim[axis].n), A_INT("axis", axis),
                               A_BOOL("largest", attr_bool(n, "descending"))));
  if (!top) return false;
  out[0] = top->out[0];
  out[1] = top->out[1];
  return true;
}

// ---- nonzero, unique, compress ----------------------------------------------------------------------------------

static bool nonzero_infer(Ctx *c, Node *n) {
  Dim out[2] = {dim_const(in_rank(n, 0))};
  return op_data_extent(c, n, type_elements(in_type(n, 0)), &out[1]) && op_set(c, n, 0, 2, out);
}

static bool unique_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  const Attr *a = node_attr(n, "axis");
  int axis = -1;
  if (a->given && a->i != -1 && !op_axis(c, n, "axis", a->i, x->rank, &axis)) return false;
  int64_t all = axis < 0 ? type_elements(x) : x->dim[axis].n;
  Dim count, line = axis < 0 ? dim_const(all) : x->dim[axis], out[MAX_RANK];
  if (axis < 0 && !type_is_static(x)) line = dim_expr(c, ex_product(c, x, 0, x->rank));
  if (!op_data_extent(c, n, all, &count)) return false;
  memcpy(out, x->dim, sizeof out);
  out[axis < 0 ? 0 : axis] = count;
  return op_set(c, n, 0, axis < 0 ? 1 : x->rank, out) && op_set(c, n, 1, 1, &count) &&
         op_set(c, n, 2, 1, &line) && op_set(c, n, 3, 1, &count);
}

static bool compress_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0), *cond = in_type(n, 1);
  const Attr *a = node_attr(n, "axis");
  int axis = 0;
  bool flat = !a->given;
  if (cond->rank != 1) return op_fail(c, n, "cond is %s, must have one dimension", type_text(c, cond));
  if (!flat && !op_axis(c, n, "axis", a->i, x->rank, &axis)) return false;
  Dim out[MAX_RANK];
  memcpy(out, x->dim, sizeof out);
  return op_data_extent(c, n, cond->dim[0].n, &out[axis]) && op_set(c, n, 0, flat ? 1 : x->rank, out);
}

static bool compress_decompose(Builder *b, const Node *n, Value **out) {
  const Attr *extent = node_attr(n, "extent");
  bool flat = !attr_given(n, "axis");
  Value *x = n->in[0];
  if (flat) x = mk_reshape(b, x, 1, (Dim[]){dim_const(-1)});
  Value *places = build(b, "nonzero", IN(n->in[1]), ATTRS(A_SHAPE("extent", extent->dims, extent->n)));
  places = mk_reshape(b, places, 1, extent->dims);
  if (!x || !places) return false;
  int axis = flat ? 0 : op_axis_of(n, "axis", in_rank(n, 0));
  return (out[0] = build(b, "gather", IN(x, places), ATTRS(A_INT("axis", axis)))) != NULL;
}

// ---- nms ----------------------------------------------------------------------------------------------------------

static bool nms_infer(Ctx *c, Node *n) {
  const Type *boxes = in_type(n, 0), *scores = in_type(n, 1);
  const Value *max = op_in(n, 2);
  bool fits = boxes->rank == 3 && scores->rank == 3 && dim_is(boxes->dim[2], 4) &&
              dim_equal(boxes->dim[0], scores->dim[0]) && dim_equal(boxes->dim[1], scores->dim[2]);
  if (!fits)
    return op_fail(c, n, "boxes must be [batch,n,4] and scores [batch,classes,n]: they are %s, %s",
                   type_text(c, boxes), type_text(c, scores));
  for (int k = 2; k < n->nin; k++)
    if (op_in(n, k) && type_elements(in_type(n, k)) != 1)
      return op_fail(c, n, "%s must have one element", op_param(n->op, k)->name);
  int64_t each = boxes->dim[1].n;
  if (!max) each = 0;
  if (max && max->data && tensor_get_int(max->data, 0) < each) each = tensor_get_int(max->data, 0);
  Dim out[2] = {{0}, dim_const(3)};
  return op_data_extent(c, n, scores->dim[0].n * scores->dim[1].n * (each < 0 ? 0 : each), &out[0]) &&
         op_set(c, n, 0, 2, out);
}

const OpInfo OPS_SORT[] = {
    {.name = "topk",
     .group = "sorting",
     .ins = "x:T",
     .outs = "T, i64",
     .t = "num",
     .attrs = "axis:int=-1, largest:bool=true, sorted:bool=true, k:int",
     .infer = topk_infer,
     .routine = "topk",
     .doc = "The k greatest (or least) elements along axis, in order, and their indices. Equal elements keep "
            "their "
            "order, NaN counts as the greatest.",
     .sample = "topk(f32[3,5], k=2); topk(i32[4,2], k=4, axis=0, largest=false)"},
    {.name = "sort",
     .group = "sorting",
     .ins = "x:T",
     .outs = "T, i64",
     .t = "num",
     .attrs = "axis:int=-1, descending:bool=false",
     .infer = sort_infer,
     .decompose = sort_decompose,
     .doc = "The elements along axis in order, and their indices. Stable.",
     .sample = "sort(f32[3,5])"},
    {.name = "nonzero",
     .group = "sorting",
     .ins = "x:T",
     .outs = "i64",
     .t = "any",
     .attrs = "extent:shape=[]",
     .infer = nonzero_infer,
     .routine = "nonzero",
     .doc = "Indices of the elements that are not 0, in row-major order, one column each. `extent` names the "
            "symbol "
            "for their number.",
     .sample = "nonzero(f32[3,4])"},
    {.name = "unique",
     .group = "sorting",
     .ins = "x:T",
     .outs = "T, i64, i64, i64",
     .t = "num|bool",
     .attrs = "axis:int=-1, sorted:bool=true, extent:shape=[]",
     .infer = unique_infer,
     .routine = "unique",
     .doc = "The different elements of x (axis -1), or its different slices along axis: sorted, or in the "
            "order of "
            "their first occurrence. Further results: where each first occurs, which of them every element "
            "of x is, "
            "and how often each occurs.",
     .sample = "unique(i32[6]); unique(f32[4,2], axis=0, sorted=false)"},
    {.name = "compress",
     .group = "sorting",
     .ins = "x:T, cond:bool",
     .outs = "T",
     .t = "any",
     .attrs = "axis:int=0, extent:shape=[]",
     .infer = compress_infer,
     .decompose = compress_decompose,
     .doc = "The slices of x along axis (without axis: the elements of x in row-major order) for which cond "
            "holds.",
     .sample = "compress(f32[3,4], bool[3], axis=0); compress(f32[2,2], bool[4])"},
    {.name = "nms",
     .group = "sorting",
     .ins = "boxes:f32, scores:f32, max_per_class:i64?, iou:f32?, score:f32?",
     .outs = "i64",
     .attrs = "center_point_box:int=0, extent:shape=[]",
     .infer = nms_infer,
     .routine = "nms",
     .doc =
         "Non-maximum suppression: of boxes [batch,n,4] with scores [batch,classes,n] the best of each "
         "class, "
         "without those that overlap a better one by more than iou or score less than score. Rows of batch, "
         "class and box index.",
     .sample = "nms(f32[1,6,4], f32[1,2,6], i64[], f32[], f32[])"},
    {0},
};
