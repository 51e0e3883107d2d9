// ops_index.c: ops that read or write at indices held in tensors.
// SPDX-License-Identifier: Apache-2.0
//
// An index may be negative: it counts from the end. One that is still outside is clamped, so that no input
// can make a model touch memory that is not its own.
#include "ir/ops.h"

// ---- gather -------------------------------------------------------------------------------------------------

static bool check_not_empty(Ctx *c, const Node *n, const Type *x, int d) {
  if (!dim_is(x->dim[d], 0)) return true;
  return op_fail(c, n, "dimension %d of x is empty, no index can be within", d);
}

static bool gather_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0), *i = in_type(n, 1);
  Dim out[2 * MAX_RANK];
  int axis, rank = 0;
  if (!op_axis(c, n, "axis", attr_int(n, "axis"), x->rank, &axis) || !check_not_empty(c, n, x, axis))
    return false;
  for (int d = 0; d < axis; d++) out[rank++] = x->dim[d];
  for (int d = 0; d < i->rank; d++) out[rank++] = i->dim[d];
  for (int d = axis + 1; d < x->rank; d++) out[rank++] = x->dim[d];
  return op_set(c, n, 0, rank, out);
}

static const Expr *gather_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  const Type *x = in_type(n, 0);
  int axis = op_axis_of(n, "axis", x->rank), skip = in_rank(n, 1) - 1;
  const Expr *at[MAX_RANK];
  for (int d = 0; d < x->rank; d++)
    if (d != axis) at[d] = index[d < axis ? d : d + skip];
  at[axis] = ex_safe_index(c, ex_read_at(c, n->in[1], index + axis), ex_dim(c, x, axis));
  return ex_read_at(c, n->in[0], at);
}

// x and indices agree in rank; except along axis, indices must lie within x.
static bool check_elements(Ctx *c, const Node *n, int *axis) {
  const Type *x = in_type(n, 0), *i = in_type(n, 1);
  if (!op_axis(c, n, "axis", attr_int(n, "axis"), x->rank, axis) || !check_not_empty(c, n, x, *axis))
    return false;
  if (i->rank != x->rank)
    return op_fail(c, n, "x and indices must have the same rank: %s, %s", type_text(c, x), type_text(c, i));
  for (int d = 0; d < x->rank; d++)
    if (d != *axis && i->dim[d].n > x->dim[d].n)
      return op_fail(c, n, "indices exceed x in dimension %d: %s, %s", d, type_text(c, i), type_text(c, x));
  return true;
}

static bool gather_elements_infer(Ctx *c, Node *n) {
  int axis;
  return check_elements(c, n, &axis) && op_set(c, n, 0, in_rank(n, 1), in_type(n, 1)->dim);
}

static const Expr *gather_elements_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  const Type *x = in_type(n, 0);
  int axis = op_axis_of(n, "axis", x->rank);
  const Expr *at[MAX_RANK];
  for (int d = 0; d < x->rank; d++) at[d] = index[d];
  at[axis] = ex_safe_index(c, ex_read_at(c, n->in[1], index), ex_dim(c, x, axis));
  return ex_read_at(c, n->in[0], at);
}

// How many leading dimensions of x an index tuple of gather_nd or scatter_nd covers. 0 after reporting.
static int tuple_length(Ctx *c, const Node *n, int batch) {
  const Type *x = in_type(n, 0), *i = in_type(n, 1);
  if (i->rank < 1 || i->dim[i->rank - 1].sym) {
    op_fail(c, n, "indices is %s, its last dimension must be a known number", type_text(c, i));
    return 0;
  }
  Dim k = i->dim[i->rank - 1];
  if (k.n < 1 || k.n + batch > x->rank) {
    op_fail(c, n, "index tuples have %lld elements, x has %d dimensions", (long long)k.n, x->rank);
    return 0;
  }
  for (int d = 0; d < k.n; d++)
    if (!check_not_empty(c, n, x, batch + d)) return 0;
  return (int)k.n;
}

static bool gather_nd_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0), *i = in_type(n, 1);
  int64_t batch = attr_int(n, "batch_dims");
  if (batch < 0 || batch >= i->rank || batch >= x->rank)
    return op_fail(c, n, "batch_dims is %lld", (long long)batch);
  int tuple = tuple_length(c, n, (int)batch), rank = 0;
  if (!tuple) return false;
  Dim out[2 * MAX_RANK];
  for (int d = 0; d < batch; d++)
    if (!op_same_dim(c, n, x->dim[d], i->dim[d], "batch extents of x and indices")) return false;
  for (int d = 0; d < i->rank - 1; d++) out[rank++] = i->dim[d];
  for (int d = (int)batch + tuple; d < x->rank; d++) out[rank++] = x->dim[d];
  return op_set(c, n, 0, rank, out);
}

// Fills at[from, from + tuple) with the safe indices that `indices` holds at lead[...].
static void read_tuple(Ctx *c, const Node *n, const Expr *const *lead, int from, const Expr **at) {
  const Type *x = in_type(n, 0), *i = in_type(n, 1);
  const Expr *where[MAX_RANK];
  for (int d = 0; d < i->rank - 1; d++) where[d] = lead[d];
  for (int k = 0; k < i->dim[i->rank - 1].n; k++) {
    where[i->rank - 1] = ex_idx(c, k);
    at[from + k] = ex_safe_index(c, ex_read_at(c, n->in[1], where), ex_dim(c, x, from + k));
  }
}

static const Expr *gather_nd_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  const Type *x = in_type(n, 0), *i = in_type(n, 1);
  int batch = (int)attr_int(n, "batch_dims"), tuple = (int)i->dim[i->rank - 1].n;
  const Expr *at[MAX_RANK];
  for (int d = 0; d < batch; d++) at[d] = index[d];
  read_tuple(c, n, index, batch, at);
  for (int d = batch + tuple, from = i->rank - 1; d < x->rank; d++) at[d] = index[from++];
  return ex_read_at(c, n->in[0], at);
}

// ---- scatter ------------------------------------------------------------------------------------------------

static bool check_reduction(Ctx *c, const Node *n) {
  if (!op_choice(c, n, "reduction", "none|add|mul|min|max")) return false;
  if (attr_is(n, "reduction", "none") || in_type(n, 0)->dtype != DT_BOOL) return true;
  return op_fail(c, n, "reduction %s is not defined on bool", attr_string(n, "reduction"));
}

static StoreKind reduction_store(const Node *n) {
  static const char *const NAMES[] = {[STORE_SET] = "none",
                                      [STORE_ADD] = "add",
                                      [STORE_MUL] = "mul",
                                      [STORE_MIN] = "min",
                                      [STORE_MAX] = "max"};
  int k = 0;
  while (k + 1 < ARRAY_LEN(NAMES) && !attr_is(n, "reduction", NAMES[k])) k++;
  return (StoreKind)k;
}

// One variable for each dimension of t.
static void stage_vars(Ctx *c, const Type *t, const Var **vars, const Expr **index) {
  for (int d = 0; d < t->rank; d++) {
    vars[d] = var_new(c, "i", ex_dim(c, t, d));
    index[d] = ex_var(c, vars[d]);
  }
}

static Stage stage_over(Ctx *c, const Node *n, Value *out, const Type *space, const Expr **index) {
  const Var **vars = NEW_ARRAY(c->arena, const Var *, space->rank + 1);
  stage_vars(c, space, vars, index);
  return (Stage){.out = out, .ndims = space->rank, .dims = vars, .loc = n->loc};
}

static void push_copy(Ctx *c, const Node *n, Kernel *k) {
  const Expr *index[MAX_RANK];
  Stage s = stage_over(c, n, n->out[0], in_type(n, 0), index);
  s.value = ex_read_at(c, n->in[0], index);
  vec_push(c->arena, &k->stages, s);
}

static bool scatter_elements_infer(Ctx *c, Node *n) {
  const Type *i = in_type(n, 1), *u = in_type(n, 2);
  int axis;
  if (!check_elements(c, n, &axis) || !check_reduction(c, n)) return false;
  bool fits = u->rank == i->rank;
  for (int d = 0; fits && d < i->rank; d++) fits = dim_equal(u->dim[d], i->dim[d]);
  if (!fits)
    return op_fail(c, n, "indices and updates differ in shape: %s, %s", type_text(c, i), type_text(c, u));
  return op_infer_same(c, n);
}

static bool scatter_elements_stages(Ctx *c, Node *n, Kernel *k) {
  push_copy(c, n, k);
  const Type *x = in_type(n, 0);
  const Expr *index[MAX_RANK], **at = NEW_ARRAY(c->arena, const Expr *, x->rank);
  int axis = op_axis_of(n, "axis", x->rank);
  Stage s = stage_over(c, n, n->out[0], in_type(n, 2), index);
  for (int d = 0; d < x->rank; d++) at[d] = index[d];
  at[axis] = ex_safe_index(c, ex_read_at(c, n->in[1], index), ex_dim(c, x, axis));
  s.index = at;
  s.store = reduction_store(n);
  s.value = ex_read_at(c, n->in[2], index);
  vec_push(c->arena, &k->stages, s);
  return true;
}

static bool scatter_nd_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0), *i = in_type(n, 1), *u = in_type(n, 2);
  int tuple = tuple_length(c, n, 0), lead = i->rank - 1;
  if (!tuple || !check_reduction(c, n)) return false;
  bool fits = u->rank == lead + x->rank - tuple;
  for (int d = 0; fits && d < u->rank; d++)
    fits = dim_equal(u->dim[d], d < lead ? i->dim[d] : x->dim[d - lead + tuple]);
  if (!fits)
    return op_fail(c, n, "updates %s do not fit x %s and indices %s", type_text(c, u), type_text(c, x),
                   type_text(c, i));
  return op_infer_same(c, n);
}

static bool scatter_nd_stages(Ctx *c, Node *n, Kernel *k) {
  push_copy(c, n, k);
  const Type *x = in_type(n, 0), *i = in_type(n, 1);
  const Expr *index[MAX_RANK], **at = NEW_ARRAY(c->arena, const Expr *, x->rank);
  Stage s = stage_over(c, n, n->out[0], in_type(n, 2), index);
  read_tuple(c, n, index, 0, at);
  for (int d = (int)i->dim[i->rank - 1].n, from = i->rank - 1; d < x->rank; d++) at[d] = index[from++];
  s.index = at;
  s.store = reduction_store(n);
  s.value = ex_read_at(c, n->in[2], index);
  vec_push(c->arena, &k->stages, s);
  return true;
}

// ---- appending ------------------------------------------------------------------------------------------------

static bool append_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0), *y = in_type(n, 1);
  int axis;
  Dim out[MAX_RANK];
  if (!op_axis(c, n, "axis", attr_int(n, "axis"), x->rank, &axis)) return false;
  bool fits = y->rank == x->rank;
  for (int d = 0; fits && d < x->rank; d++) fits = d == axis || dim_equal(x->dim[d], y->dim[d]);
  if (!fits) return op_fail(c, n, "%s cannot be appended to %s", type_text(c, y), type_text(c, x));
  memcpy(out, x->dim, sizeof out);
  out[axis] = dim_binary(c, E_ADD, x->dim[axis], y->dim[axis]);
  return op_set(c, n, 0, x->rank, out);
}

// Copies `from` to the result, `shift` further on along axis.
static void push_shifted(Ctx *c, const Node *n, Kernel *k, int from, int axis, const Expr *shift) {
  const Type *t = in_type(n, from);
  const Expr *index[MAX_RANK], **at = NEW_ARRAY(c->arena, const Expr *, t->rank);
  Stage s = stage_over(c, n, n->out[0], t, index);
  for (int d = 0; d < t->rank; d++) at[d] = d == axis ? ex_add(c, index[d], shift) : index[d];
  s.index = at;
  s.value = ex_read_at(c, n->in[from], index);
  vec_push(c->arena, &k->stages, s);
}

// Two loops of their own, so that the first goes away when the result lies where x does.
static bool append_stages(Ctx *c, Node *n, Kernel *k) {
  int axis = op_axis_of(n, "axis", in_rank(n, 0));
  push_shifted(c, n, k, 0, axis, ex_idx(c, 0));
  push_shifted(c, n, k, 1, axis, ex_dim(c, in_type(n, 0), axis));
  return true;
}

// ---- slices at computed places ------------------------------------------------------------------------------

static bool check_starts(Ctx *c, const Node *n, int k) {
  const Type *s = in_type(n, k);
  if (s->rank == 1 && dim_is(s->dim[0], in_rank(n, 0))) return true;
  return op_fail(c, n, "starts is %s, must hold one index for each of %d dimensions", type_text(c, s),
                 in_rank(n, 0));
}

// Start along dimension d, moved so that `size` elements from there on lie within.
static const Expr *start_at(Ctx *c, const Node *n, int operand, int d, const Expr *size) {
  const Expr *at = ex_idx(c, d), *extent = ex_dim(c, in_type(n, 0), d);
  const Expr *i = ex_cast(c, DT_I64, ex_read(c, n->in[operand], &at, 1)), *zero = ex_idx(c, 0);
  i = ex_select(c, ex_binary(c, E_LT, i, zero), ex_add(c, i, extent), i);
  return ex_binary(c, E_MAX, ex_binary(c, E_MIN, i, ex_sub(c, extent, size)), zero);
}

static bool dynamic_slice_infer(Ctx *c, Node *n) {
  const Attr *sizes = node_attr(n, "sizes");
  const Type *x = in_type(n, 0);
  Dim out[MAX_RANK];
  if (!check_starts(c, n, 1)) return false;
  if (sizes->n != x->rank) return op_fail(c, n, "%d sizes for %d dimensions", sizes->n, x->rank);
  for (int d = 0; d < x->rank; d++) {
    out[d] = dim_is(sizes->dims[d], -1) ? x->dim[d] : sizes->dims[d];
    if (out[d].n < 0 || out[d].n > x->dim[d].n)
      return op_fail(c, n, "size %lld exceeds dimension %d of x, %s", (long long)out[d].n, d,
                     type_text(c, x));
  }
  return op_set(c, n, 0, x->rank, out);
}

static const Expr *dynamic_slice_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Expr *at[MAX_RANK];
  const Type *t = &n->out[out]->type;
  for (int d = 0; d < t->rank; d++) {
    bool whole = dim_equal(t->dim[d], in_type(n, 0)->dim[d]);
    at[d] = whole ? index[d] : ex_add(c, start_at(c, n, 1, d, ex_dim(c, t, d)), index[d]);
  }
  return ex_read_at(c, n->in[0], at);
}

static bool dynamic_update_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0), *u = in_type(n, 1);
  if (!check_starts(c, n, 2)) return false;
  bool fits = u->rank == x->rank;
  for (int d = 0; fits && d < x->rank; d++) fits = u->dim[d].n <= x->dim[d].n;
  if (!fits) return op_fail(c, n, "update %s does not fit into x %s", type_text(c, u), type_text(c, x));
  return op_infer_same(c, n);
}

static const Expr *dynamic_update_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  const Type *x = in_type(n, 0), *u = in_type(n, 1);
  const Expr *at[MAX_RANK], *inside = ex_bool(c, true);
  for (int d = 0; d < x->rank; d++) {
    at[d] = index[d];
    if (dim_equal(x->dim[d], u->dim[d])) continue;
    at[d] = ex_sub(c, index[d], start_at(c, n, 2, d, ex_dim(c, u, d)));
    inside = ex_and(c, inside, ex_in_range(c, at[d], ex_dim(c, u, d)));
  }
  return ex_guard(c, inside, ex_read_at(c, n->in[1], at), ex_read_at(c, n->in[0], index));
}

// ---- sequences, classes -------------------------------------------------------------------------------------

static bool reverse_sequence_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0), *lens = in_type(n, 1);
  int batch, time;
  if (!op_axis(c, n, "batch_axis", attr_int(n, "batch_axis"), x->rank, &batch) ||
      !op_axis(c, n, "time_axis", attr_int(n, "time_axis"), x->rank, &time))
    return false;
  if (batch == time) return op_fail(c, n, "batch_axis and time_axis are the same");
  if (lens->rank != 1) return op_fail(c, n, "lengths is %s, must have one dimension", type_text(c, lens));
  if (!op_same_dim(c, n, x->dim[batch], lens->dim[0], "the batch extents of x and lengths")) return false;
  return op_infer_same(c, n);
}

static const Expr *reverse_sequence_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  const Type *x = in_type(n, 0);
  int batch = op_axis_of(n, "batch_axis", x->rank), time = op_axis_of(n, "time_axis", x->rank);
  const Expr *at[MAX_RANK], *extent = ex_dim(c, x, time);
  for (int d = 0; d < x->rank; d++) at[d] = index[d];
  const Expr *len = ex_cast(c, DT_I64, ex_read(c, n->in[1], &index[batch], 1));
  len = ex_clamp(c, len, ex_idx(c, 0), extent);
  const Expr *back = ex_sub(c, ex_sub(c, len, ex_idx(c, 1)), index[time]);
  const Expr *moved = ex_select(c, ex_binary(c, E_LT, index[time], len), back, index[time]);
  at[time] = ex_clamp(c, moved, ex_idx(c, 0), ex_sub(c, extent, ex_idx(c, 1)));
  return ex_read_at(c, n->in[0], at);
}

static bool one_hot_infer(Ctx *c, Node *n) {
  const Type *i = in_type(n, 0);
  const Attr *depth = node_attr(n, "depth");
  Dim out[MAX_RANK + 1];
  int axis;
  if (depth->n != 1 || depth->dims[0].n < 0) return op_fail(c, n, "depth must be one extent");
  for (int k = 1; k < 3; k++)
    if (type_elements(in_type(n, k)) != 1) return op_fail(c, n, "on and off must have one element each");
  if (!op_axis(c, n, "axis", attr_int(n, "axis"), i->rank + 1, &axis)) return false;
  for (int d = 0, from = 0; d <= i->rank; d++) out[d] = d == axis ? depth->dims[0] : i->dim[from++];
  return op_set(c, n, 0, i->rank + 1, out);
}

static const Expr *one_hot_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Type *t = &n->out[out]->type;
  int axis = op_axis_of(n, "axis", t->rank);
  const Expr *at[MAX_RANK];
  for (int d = 0, to = 0; d < t->rank; d++)
    if (d != axis) at[to++] = index[d];
  const Expr *i = ex_cast(c, DT_I64, ex_read_at(c, n->in[0], at)), *depth = ex_dim(c, t, axis);
  i = ex_select(c, ex_binary(c, E_LT, i, ex_idx(c, 0)), ex_add(c, i, depth), i);
  return ex_select(c, ex_binary(c, E_EQ, i, index[axis]), ex_read_scalar(c, n->in[1]),
                   ex_read_scalar(c, n->in[2]));
}

#define INDEXED .group = "indexing", .outs = "T"

const OpInfo OPS_INDEX[] = {
    {.name = "gather",
     .ins = "x:T, indices:U",
     INDEXED,
     .t = "any, U:int",
     .attrs = "axis:int=0",
     .infer = gather_infer,
     .define = gather_define,
     .doc = "Slices of x along axis, at `indices`, whose dimensions take the place of axis. An embedding "
            "lookup is "
            "gather(table, ids).",
     .sample =
         "gather(f32[5,3], i64[2,2]); gather(f32[2,3,4], i32[2], axis=1); gather(f32[2,3], i64[], axis=-1)"},
    {.name = "gather_elements",
     .ins = "x:T, indices:U",
     INDEXED,
     .t = "any, U:int",
     .attrs = "axis:int=0",
     .infer = gather_elements_infer,
     .define = gather_elements_define,
     .doc =
         "For every element of `indices` the element of x at the same place, but along axis at that index.",
     .sample = "gather_elements(f32[3,3], i64[2,3]); gather_elements(f32[3,3], i64[3,2], axis=1)"},
    {.name = "gather_nd",
     .ins = "x:T, indices:U",
     INDEXED,
     .t = "any, U:int",
     .attrs = "batch_dims:int=0",
     .infer = gather_nd_infer,
     .define = gather_nd_define,
     .doc = "Elements or slices of x at index tuples, which lie along the last dimension of `indices`. The "
            "first "
            "batch_dims dimensions are common to both.",
     .sample =
         "gather_nd(f32[3,3], i64[4,2]); gather_nd(f32[3,3,2], i64[2,2]); gather_nd(f32[2,3,2], i64[2,1], "
         "batch_dims=1)"},
    {.name = "scatter_elements",
     .ins = "x:T, indices:U, updates:T",
     INDEXED,
     .t = "any, U:int",
     .attrs = "axis:int=0, reduction:string=none",
     .infer = scatter_elements_infer,
     .stages = scatter_elements_stages,
     .doc = "x with `updates` put (reduction none, the last one stays) or combined by add, mul, min or max "
            "at the "
            "same places, but along axis at `indices`.",
     .sample = "scatter_elements(f32[3,3], i64[2,3], f32[2,3]); scatter_elements(f32[3,3], i64[2,2], "
               "f32[2,2], axis=1, "
               "reduction=add)"},
    {.name = "scatter_nd",
     .ins = "x:T, indices:U, updates:T",
     INDEXED,
     .t = "any, U:int",
     .attrs = "reduction:string=none",
     .infer = scatter_nd_infer,
     .stages = scatter_nd_stages,
     .doc =
         "x with `updates` put or combined (see scatter_elements) at index tuples, as gather_nd reads them.",
     .sample =
         "scatter_nd(f32[4,2], i64[2,1], f32[2,2]); scatter_nd(f32[3,3], i64[4,2], f32[4], reduction=max)"},
    {.name = "append",
     .ins = "x:T, new:T",
     INDEXED,
     .t = "any",
     .attrs = "axis:int",
     .infer = append_infer,
     .stages = append_stages,
     .flags = OP_INTERNAL,
     .doc = "concat of two, for states that grow: the result may take x's place.",
     .sample = "append(f32[2,3], f32[2,1], axis=1)"},
    {.name = "dynamic_slice",
     .ins = "x:T, starts:U",
     INDEXED,
     .t = "any, U:int",
     .attrs = "sizes:shape",
     .infer = dynamic_slice_infer,
     .define = dynamic_slice_define,
     .doc = "A part of x of the given sizes (-1: the whole dimension) that begins at `starts`, one index for "
            "each "
            "dimension, moved so that the part lies within x.",
     .sample = "dynamic_slice(f32[5,4], i64[2], sizes=[2,-1])"},
    {.name = "dynamic_update_slice",
     .ins = "x:T, update:T, starts:U",
     INDEXED,
     .t = "any, U:int",
     .infer = dynamic_update_infer,
     .define = dynamic_update_define,
     .doc = "x with the part at `starts` replaced by update; starts as in dynamic_slice.",
     .sample = "dynamic_update_slice(f32[5,4], f32[2,4], i64[2])"},
    {.name = "reverse_sequence",
     .ins = "x:T, lengths:U",
     INDEXED,
     .t = "any, U:int",
     .attrs = "batch_axis:int=1, time_axis:int=0",
     .infer = reverse_sequence_infer,
     .define = reverse_sequence_define,
     .doc = "The first lengths[b] elements along time_axis of batch element b in reverse order, the others "
            "as they "
            "are.",
     .sample = "reverse_sequence(f32[4,3], i64[3]); reverse_sequence(f32[2,4,2], i32[2], batch_axis=0, "
               "time_axis=1)"},
    {.name = "one_hot",
     .ins = "indices:U, on:T, off:T",
     INDEXED,
     .t = "any, U:num",
     .attrs = "depth:shape, axis:int=-1",
     .infer = one_hot_infer,
     .define = one_hot_define,
     .doc = "A new dimension `axis` of extent depth that holds `on` at the index and `off` elsewhere; all "
            "`off` if "
            "the index is outside of [-depth, depth).",
     .sample =
         "one_hot(i64[3], f32[], f32[], depth=[4]); one_hot(i64[2,2], f32[], f32[], depth=[3], axis=1)"},
    {0},
};
