// ops_view.c: ops that rearrange elements without computing any, as maps from result to operand indices.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

// ---- transpose, flip, roll ------------------------------------------------------------------------------------

static int perm_at(const Attr *perm, int rank, int d) {
  if (perm->n == 0) return rank - 1 - d;
  return (int)(perm->ints[d] < 0 ? perm->ints[d] + rank : perm->ints[d]);
}

static bool transpose_infer(Ctx *c, Node *n) {
  const Attr *perm = node_attr(n, "perm");
  const Type *x = in_type(n, 0);
  bool seen[MAX_RANK];
  Dim out[MAX_RANK];
  if (perm->n && perm->n != x->rank)
    return op_fail(c, n, "perm has %d elements, x has %d dimensions", perm->n, x->rank);
  if (!op_axes(c, n, "perm", x->rank, true, seen)) return false;
  for (int d = 0; d < x->rank; d++) out[d] = x->dim[perm_at(perm, x->rank, d)];
  return op_set(c, n, 0, x->rank, out);
}

static const Expr *transpose_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  const Expr *at[MAX_RANK];
  int rank = in_rank(n, 0);
  for (int d = 0; d < rank; d++) at[perm_at(node_attr(n, "perm"), rank, d)] = index[d];
  return ex_read_at(c, n->in[0], at);
}

static bool flip_infer(Ctx *c, Node *n) {
  bool on[MAX_RANK];
  return op_axes(c, n, "axes", in_rank(n, 0), true, on) && op_infer_same(c, n);
}

static const Expr *flip_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  bool on[MAX_RANK];
  const Expr *at[MAX_RANK];
  const Type *x = in_type(n, 0);
  op_axes_of(n, "axes", x->rank, true, on);
  for (int d = 0; d < x->rank; d++)
    at[d] = on[d] ? ex_sub(c, ex_sub(c, ex_dim(c, x, d), ex_idx(c, 1)), index[d]) : index[d];
  return ex_read_at(c, n->in[0], at);
}

static bool roll_infer(Ctx *c, Node *n) {
  bool on[MAX_RANK];
  const Attr *axes = node_attr(n, "axes"), *shifts = node_attr(n, "shifts");
  if (axes->n != shifts->n) return op_fail(c, n, "%d axes but %d shifts", axes->n, shifts->n);
  return op_axes(c, n, "axes", in_rank(n, 0), false, on) && op_infer_same(c, n);
}

static const Expr *roll_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  const Attr *axes = node_attr(n, "axes"), *shifts = node_attr(n, "shifts");
  const Expr *at[MAX_RANK];
  const Type *x = in_type(n, 0);
  for (int d = 0; d < x->rank; d++) at[d] = index[d];
  for (int i = 0; i < axes->n; i++) {
    int d = (int)(axes->ints[i] < 0 ? axes->ints[i] + x->rank : axes->ints[i]);
    at[d] = ex_binary(c, E_MOD, ex_sub(c, index[d], ex_idx(c, shifts->ints[i])), ex_dim(c, x, d));
  }
  return ex_read_at(c, n->in[0], at);
}

// ---- slice, split -----------------------------------------------------------------------------------------------

// A slice of one dimension: element i of the result is element start + i * step.
typedef struct Cut {
  const Expr *start, *count;
  int64_t step;
} Cut;

static const Expr *ex_floor_zero(Ctx *c, const Expr *e) {
  return ex_binary(c, E_MAX, e, ex_idx(c, 0));
}

// A bound as Python reads it: negative ones count from the end, then it is brought into [lo, extent + over].
static const Expr *cut_bound(Ctx *c, Dim b, Dim extent, int64_t lo, int64_t over) {
  const Expr *n = dim_to_expr(c, extent), *hi = ex_add(c, n, ex_idx(c, over));
  if (!b.sym && b.n >= extent.n) return hi;
  if (!b.sym && b.n < -extent.n) return ex_idx(c, lo);
  const Expr *e = dim_to_expr(c, b);
  if (!b.sym && b.n < 0) e = ex_add(c, n, e);
  return ex_binary(c, E_MAX, ex_binary(c, E_MIN, e, hi), ex_idx(c, lo));
}

// Nothing lies between the bounds whatever the extent is: 4 and 3.
static bool cuts_nothing(Dim start, Dim end, int64_t step) {
  if (start.sym || end.sym || (start.n < 0) != (end.n < 0)) return false;
  return step > 0 ? start.n >= end.n : start.n <= end.n;
}

static Cut cut_of(Ctx *c, Dim extent, Dim start, Dim end, int64_t step) {
  Cut cut = {.step = step};
  const Expr *span;
  if (cuts_nothing(start, end, step)) return (Cut){ex_idx(c, 0), ex_idx(c, 0), step};
  if (step > 0) {
    cut.start = cut_bound(c, start, extent, 0, 0);
    span = ex_sub(c, cut_bound(c, end, extent, 0, 0), cut.start);
  } else {
    cut.start = cut_bound(c, start, extent, 0, -1);
    span = ex_sub(c, cut.start, cut_bound(c, end, extent, -1, -1));
  }
  int64_t size = step > 0 ? step : -step;
  cut.count = ex_floor_zero(c, ex_binary(c, E_FDIV, ex_add(c, span, ex_idx(c, size - 1)), ex_idx(c, size)));
  return cut;
}

// The cuts of all dimensions; those not sliced have count NULL.
static void slice_cuts(Ctx *c, const Node *n, Cut *cuts) {
  const Attr *starts = node_attr(n, "starts"), *ends = node_attr(n, "ends");
  const Attr *axes = node_attr(n, "axes"), *steps = node_attr(n, "steps");
  const Type *x = in_type(n, 0);
  memset(cuts, 0, sizeof(Cut) * MAX_RANK);
  for (int i = 0; i < starts->n; i++) {
    int64_t axis = axes->n ? axes->ints[i] : i;
    int d = (int)(axis < 0 ? axis + x->rank : axis);
    cuts[d] = cut_of(c, x->dim[d], starts->dims[i], ends->dims[i], steps->n ? steps->ints[i] : 1);
  }
}

static bool slice_infer(Ctx *c, Node *n) {
  int count = node_attr(n, "starts")->n;
  const Attr *axes = node_attr(n, "axes"), *steps = node_attr(n, "steps");
  const Type *x = in_type(n, 0);
  bool on[MAX_RANK];
  if (node_attr(n, "ends")->n != count || (axes->n && axes->n != count) || (steps->n && steps->n != count))
    return op_fail(c, n, "starts, ends, axes and steps must have the same number of elements");
  if (count > x->rank) return op_fail(c, n, "%d starts for %d dimensions", count, x->rank);
  if (!op_axes(c, n, "axes", x->rank, false, on)) return false;
  for (int i = 0; i < steps->n; i++)
    if (steps->ints[i] == 0 || steps->ints[i] < -MAX_ELEMENTS || steps->ints[i] > MAX_ELEMENTS)
      return op_fail(c, n, "a step of %lld", (long long)steps->ints[i]);
  Cut cuts[MAX_RANK];
  Dim out[MAX_RANK];
  slice_cuts(c, n, cuts);
  for (int d = 0; d < x->rank; d++) out[d] = cuts[d].count ? dim_expr(c, cuts[d].count) : x->dim[d];
  return op_set(c, n, 0, x->rank, out);
}

static const Expr *slice_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  Cut cuts[MAX_RANK];
  const Expr *at[MAX_RANK];
  slice_cuts(c, n, cuts);
  for (int d = 0; d < in_rank(n, 0); d++) {
    at[d] = index[d];
    if (cuts[d].count) at[d] = ex_add(c, cuts[d].start, ex_mul(c, index[d], ex_idx(c, cuts[d].step)));
  }
  return ex_read_at(c, n->in[0], at);
}

static int split_results(const Node *n) {
  const Attr *sizes = node_attr(n, "sizes");
  int64_t parts = attr_int(n, "parts");
  return sizes->n ? sizes->n : parts < 1 || parts > MAX_OPERANDS ? 1 : (int)parts;
}

// Elements of part k: as `sizes` says, or equal parts of which the last may be smaller.
static int64_t split_size(const Node *n, int64_t extent, int64_t k) {
  const Attr *sizes = node_attr(n, "sizes");
  if (sizes->n) return sizes->ints[k];
  int64_t each = ceil_div(extent, attr_int(n, "parts")), left = extent - each * k;
  return left < 0 ? 0 : left < each ? left : each;
}

static bool split_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  const Attr *sizes = node_attr(n, "sizes");
  int64_t parts = attr_int(n, "parts"), total = 0;
  int axis;
  if (!op_axis(c, n, "axis", attr_int(n, "axis"), x->rank, &axis)) return false;
  if (x->dim[axis].sym) return op_fail(c, n, "dimension %d must have a known extent", axis);
  if (!sizes->n && (parts < 1 || parts > MAX_OPERANDS)) return op_fail(c, n, "give sizes or parts");
  for (int k = 0; k < n->nout; k++) {
    int64_t size = split_size(n, x->dim[axis].n, k);
    Dim out[MAX_RANK];
    memcpy(out, x->dim, sizeof out);
    out[axis] = dim_const(size);
    if (size < 0 || !add_ok(total, size, &total)) return op_fail(c, n, "part %d has a negative size", k);
    if (!op_set_dtype(c, n, k, x->dtype, x->rank, out)) return false;
  }
  if (total == x->dim[axis].n) return true;
  return op_fail(c, n, "the parts add up to %lld, dimension %d has %lld", (long long)total, axis,
                 (long long)x->dim[axis].n);
}

static const Expr *split_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Type *x = in_type(n, 0);
  int axis = op_axis_of(n, "axis", x->rank);
  const Expr *at[MAX_RANK];
  int64_t start = 0;
  for (int k = 0; k < out; k++) start += split_size(n, x->dim[axis].n, k);
  for (int d = 0; d < x->rank; d++) at[d] = index[d];
  at[axis] = ex_add(c, index[axis], ex_idx(c, start));
  return ex_read_at(c, n->in[0], at);
}

// ---- concat, stack ------------------------------------------------------------------------------------------------

static bool concat_infer(Ctx *c, Node *n) {
  if (n->nin < 1) return op_fail(c, n, "needs at least one operand");
  const Type *first = in_type(n, 0);
  int axis;
  Dim out[MAX_RANK];
  if (!op_axis(c, n, "axis", attr_int(n, "axis"), first->rank, &axis)) return false;
  memcpy(out, first->dim, sizeof out);
  for (int k = 1; k < n->nin; k++) {
    const Type *t = in_type(n, k);
    bool fits = t->rank == first->rank;
    for (int d = 0; fits && d < t->rank; d++) fits = d == axis || dim_equal(t->dim[d], first->dim[d]);
    if (!fits)
      return op_fail(c, n, "operand %d does not fit along axis %d: %s after %s", k, axis, type_text(c, t),
                     type_text(c, first));
    out[axis] = dim_binary(c, E_ADD, out[axis], t->dim[axis]);
  }
  return op_set(c, n, 0, first->rank, out);
}

// `below` where i < mid, else `above`. Both may only be read where they are chosen, hence two guards.
static const Expr *either(Ctx *c, const Expr *i, const Expr *mid, const Expr *below, const Expr *above) {
  const Expr *rest = ex_guard(c, ex_binary(c, E_LE, mid, i), above, ex_num(c, above->dtype, 0));
  return ex_guard(c, ex_binary(c, E_LT, i, mid), below, rest);
}

// Selects among operands [from, to) by halves, so that the depth is logarithmic. begin[k] is where operand k
// starts along the axis.
static const Expr *concat_pick(Ctx *c, const Node *n, const Expr *const *begin, int from, int to, int axis,
                               const Expr *const *index) {
  if (to - from == 1) {
    const Expr *at[MAX_RANK];
    for (int d = 0; d < in_rank(n, from); d++) at[d] = index[d];
    at[axis] = ex_sub(c, index[axis], begin[from]);
    return ex_read_at(c, n->in[from], at);
  }
  int mid = (from + to) / 2;
  return either(c, index[axis], begin[mid], concat_pick(c, n, begin, from, mid, axis, index),
                concat_pick(c, n, begin, mid, to, axis, index));
}

static const Expr *concat_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  int axis = op_axis_of(n, "axis", in_rank(n, 0));
  const Expr **begin = NEW_ARRAY(c->arena, const Expr *, n->nin);
  begin[0] = ex_idx(c, 0);
  for (int k = 1; k < n->nin; k++) begin[k] = ex_add(c, begin[k - 1], ex_dim(c, in_type(n, k - 1), axis));
  return concat_pick(c, n, begin, 0, n->nin, axis, index);
}

static bool stack_infer(Ctx *c, Node *n) {
  if (n->nin < 1) return op_fail(c, n, "needs at least one operand");
  const Type *first = in_type(n, 0);
  int axis;
  if (!op_axis(c, n, "axis", attr_int(n, "axis"), first->rank + 1, &axis)) return false;
  for (int k = 1; k < n->nin; k++)
    if (!type_equal(in_type(n, k), first))
      return op_fail(c, n, "operand %d is %s, the first is %s", k, type_text(c, in_type(n, k)),
                     type_text(c, first));
  Dim out[MAX_RANK + 1];
  for (int d = 0, from = 0; d <= first->rank; d++)
    out[d] = d == axis ? dim_const(n->nin) : first->dim[from++];
  return op_set(c, n, 0, first->rank + 1, out);
}

static const Expr *stack_pick(Ctx *c, const Node *n, int from, int to, const Expr *which,
                              const Expr *const *at) {
  if (to - from == 1) return ex_read_at(c, n->in[from], at);
  int mid = (from + to) / 2;
  return either(c, which, ex_idx(c, mid), stack_pick(c, n, from, mid, which, at),
                stack_pick(c, n, mid, to, which, at));
}

static const Expr *stack_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  int rank = n->out[out]->type.rank, axis = op_axis_of(n, "axis", rank);
  const Expr *at[MAX_RANK];
  for (int d = 0, to = 0; d < rank; d++)
    if (d != axis) at[to++] = index[d];
  return stack_pick(c, n, 0, n->nin, index[axis], at);
}

// ---- broadcast, tile, pad -------------------------------------------------------------------------------------------

static bool broadcast_infer(Ctx *c, Node *n) {
  const Attr *shape = node_attr(n, "shape");
  const Type *x = in_type(n, 0);
  Dim out[MAX_RANK];
  if (shape->n > MAX_RANK || shape->n < x->rank)
    return op_fail(c, n, "%s cannot become %d-dimensional", type_text(c, x), shape->n);
  int skip = shape->n - x->rank;
  for (int d = 0; d < shape->n; d++) {
    Dim have = d < skip ? dim_const(1) : x->dim[d - skip];
    out[d] = dim_is(shape->dims[d], -1) ? have : shape->dims[d];
    if (!dim_is(have, 1) && !op_same_dim(c, n, have, out[d], "an extent of x and that of shape"))
      return false;
  }
  return op_set(c, n, 0, shape->n, out);
}

static const Expr *broadcast_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  return ex_read_broadcast(c, n->in[0], index, n->out[out]->type.rank);
}

static bool tile_infer(Ctx *c, Node *n) {
  const Attr *repeats = node_attr(n, "repeats");
  const Type *x = in_type(n, 0);
  Dim out[MAX_RANK];
  if (repeats->n != x->rank) return op_fail(c, n, "%d repeats for %d dimensions", repeats->n, x->rank);
  for (int d = 0; d < x->rank; d++) {
    if (repeats->ints[d] < 0 || repeats->ints[d] > MAX_ELEMENTS)
      return op_fail(c, n, "%lld repeats", (long long)repeats->ints[d]);
    out[d] = dim_binary(c, E_MUL, x->dim[d], dim_const(repeats->ints[d]));
  }
  return op_set(c, n, 0, x->rank, out);
}

static const Expr *tile_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  const Type *x = in_type(n, 0);
  const Expr *at[MAX_RANK];
  for (int d = 0; d < x->rank; d++) {
    at[d] = index[d];
    if (dim_is(x->dim[d], 1))
      at[d] = ex_idx(c, 0);
    else if (node_attr(n, "repeats")->ints[d] != 1)
      at[d] = ex_binary(c, E_MOD, index[d], ex_dim(c, x, d));
  }
  return ex_read_at(c, n->in[0], at);
}

static bool pad_infer(Ctx *c, Node *n) {
  const Attr *pads = node_attr(n, "pads");
  const Type *x = in_type(n, 0);
  Dim out[MAX_RANK];
  if (!op_choice(c, n, "mode", "constant|reflect|edge|wrap")) return false;
  if (pads->n != 2 * x->rank)
    return op_fail(c, n, "pads has %d elements, must have two for each of %d dimensions", pads->n, x->rank);
  if (op_in(n, 1) && type_elements(in_type(n, 1)) != 1) return op_fail(c, n, "value must have one element");
  for (int d = 0; d < x->rank; d++) {
    int64_t before = pads->ints[d], after = pads->ints[x->rank + d];
    if (before > MAX_ELEMENTS || after > MAX_ELEMENTS || before < -MAX_ELEMENTS || after < -MAX_ELEMENTS)
      return op_fail(c, n, "absurd padding of dimension %d", d);
    out[d] = dim_binary(c, E_ADD, x->dim[d], dim_const(before + after));
    if (dim_is(x->dim[d], 0) && out[d].n > 0 && !attr_is(n, "mode", "constant"))
      return op_fail(c, n, "dimension %d is empty, there is nothing to pad with", d);
  }
  return op_set(c, n, 0, x->rank, out);
}

// Element of an extent-n dimension that stands at position i, which may lie outside.
static const Expr *pad_index(Ctx *c, const Node *n, const Expr *i, const Expr *extent, int64_t widest) {
  extent = ex_binary(c, E_MAX, extent, ex_idx(c, 1)); // of nothing too, some element of the buffer
  const Expr *zero = ex_idx(c, 0), *last = ex_sub(c, extent, ex_idx(c, 1));
  if (attr_is(n, "mode", "edge")) return ex_clamp(c, i, zero, last);
  if (attr_is(n, "mode", "wrap")) return ex_binary(c, E_MOD, i, extent);
  int64_t max;
  bool once = expr_is_const_int(last, &max) && widest <= max;
  const Expr *period = ex_binary(c, E_MAX, ex_mul(c, last, ex_idx(c, 2)), ex_idx(c, 1));
  if (!once) i = ex_binary(c, E_MOD, i, period);
  const Expr *from_last = ex_sub(c, last, ex_unary(c, E_ABS, i));
  return ex_sub(c, last, ex_unary(c, E_ABS, from_last));
}

static const Expr *pad_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Type *x = in_type(n, 0);
  const Attr *pads = node_attr(n, "pads");
  bool constant = attr_is(n, "mode", "constant");
  const Expr *at[MAX_RANK], *inside = ex_bool(c, true);
  for (int d = 0; d < x->rank; d++) {
    int64_t before = pads->ints[d], after = pads->ints[x->rank + d];
    at[d] = ex_sub(c, index[d], ex_idx(c, before));
    if (before == 0 && after == 0) continue;
    if (constant)
      inside = ex_and(c, inside, ex_in_range(c, at[d], ex_dim(c, x, d)));
    else
      at[d] = pad_index(c, n, at[d], ex_dim(c, x, d), before > after ? before : after);
  }
  const Expr *read = ex_read_at(c, n->in[0], at);
  DType t = n->out[out]->type.dtype;
  const Expr *value = op_in(n, 1) ? ex_read_scalar(c, n->in[1]) : ex_num(c, t, 0);
  return constant ? ex_guard(c, inside, read, value) : read;
}

// ---- blocks of space as channels --------------------------------------------------------------------------------------

static bool block_infer(Ctx *c, Node *n, bool to_space) {
  const Type *x = in_type(n, 0);
  int64_t b = attr_int(n, "block");
  if (x->rank != 4) return op_fail(c, n, "x is %s, must be [n,c,h,w]", type_text(c, x));
  if (b < 1 || b > 65536) return op_fail(c, n, "block is %lld", (long long)b);
  Dim by_b = dim_const(b), by_bb = dim_const(b * b);
  Dim out[4] = {x->dim[0]};
  out[1] = dim_binary(c, to_space ? E_FDIV : E_MUL, x->dim[1], by_bb);
  for (int d = 2; d < 4; d++) out[d] = dim_binary(c, to_space ? E_MUL : E_FDIV, x->dim[d], by_b);
  bool fits = to_space ? dim_equal(dim_binary(c, E_MUL, out[1], by_bb), x->dim[1])
                       : dim_equal(dim_binary(c, E_MUL, out[2], by_b), x->dim[2]) &&
                             dim_equal(dim_binary(c, E_MUL, out[3], by_b), x->dim[3]);
  if (!fits) return op_fail(c, n, "%s does not divide into blocks of %lld", type_text(c, x), (long long)b);
  return op_set(c, n, 0, 4, out);
}

static bool depth_to_space_infer(Ctx *c, Node *n) {
  return op_choice(c, n, "mode", "dcr|crd") && block_infer(c, n, true);
}

static bool space_to_depth_infer(Ctx *c, Node *n) {
  return block_infer(c, n, false);
}

static const Expr *depth_to_space_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Expr *b = ex_idx(c, attr_int(n, "block"));
  const Expr *row = ex_binary(c, E_MOD, index[2], b), *col = ex_binary(c, E_MOD, index[3], b);
  const Expr *within = ex_add(c, ex_mul(c, row, b), col);
  const Expr *channel = attr_is(n, "mode", "dcr")
                            ? ex_add(c, ex_mul(c, within, ex_dim(c, &n->out[out]->type, 1)), index[1])
                            : ex_add(c, ex_mul(c, index[1], ex_mul(c, b, b)), within);
  const Expr *at[4] = {index[0], channel, ex_binary(c, E_FDIV, index[2], b),
                       ex_binary(c, E_FDIV, index[3], b)};
  return ex_read_at(c, n->in[0], at);
}

static const Expr *space_to_depth_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  const Expr *b = ex_idx(c, attr_int(n, "block")), *channels = ex_dim(c, in_type(n, 0), 1);
  const Expr *within = ex_binary(c, E_FDIV, index[1], channels);
  const Expr *at[4] = {index[0], ex_binary(c, E_MOD, index[1], channels),
                       ex_add(c, ex_mul(c, index[2], b), ex_binary(c, E_FDIV, within, b)),
                       ex_add(c, ex_mul(c, index[3], b), ex_binary(c, E_MOD, within, b))};
  return ex_read_at(c, n->in[0], at);
}

const OpInfo OPS_VIEW[] = {
    {.name = "transpose",
     .ins = "x:T",
     VIEW,
     .attrs = "perm:ints=[]",
     .infer = transpose_infer,
     .define = transpose_define,
     .doc = "Dimension d of the result is dimension perm[d] of x; without perm the order is reversed.",
     .sample = "transpose(f32[2,3,4]); transpose(f32[2,3,4], perm=[0,2,1])"},
    {.name = "flip",
     .ins = "x:T",
     VIEW,
     .attrs = "axes:ints=[]",
     .infer = flip_infer,
     .define = flip_define,
     .doc = "In reverse order along `axes` (all, if none are given).",
     .sample = "flip(f32[2,3], axes=[1])"},
    {.name = "roll",
     .ins = "x:T",
     VIEW,
     .attrs = "shifts:ints, axes:ints",
     .infer = roll_infer,
     .define = roll_define,
     .doc = "Moved by `shifts` along `axes`; what leaves at one end enters at the other.",
     .sample = "roll(f32[2,5], shifts=[2], axes=[1]); roll(f32[4,5], shifts=[-1,3], axes=[0,1])"},
    {.name = "slice",
     .ins = "x:T",
     VIEW,
     .attrs = "starts:shape, ends:shape, axes:ints=[], steps:ints=[]",
     .infer = slice_infer,
     .define = slice_define,
     .doc = "x[start:end:step] along each of `axes` (the first ones, if not given), bounds as in Python: "
            "negative "
            "ones count from the end, those outside are clamped, negative steps go backwards.",
     .sample =
         "slice(f32[5,6], starts=[1], ends=[4]); slice(f32[5,6], starts=[-1,0], ends=[-9,5], axes=[1,0], "
         "steps=[-2,3])"},
    {.name = "split",
     .ins = "x:T",
     .group = "views",
     .outs = "any*",
     .t = "any",
     .flags = OP_VIEW,
     .attrs = "axis:int=0, sizes:ints=[], parts:int=0",
     .infer = split_infer,
     .results = split_results,
     .define = split_define,
     .doc = "x cut along axis into pieces of the given `sizes`, or into `parts` equal ones of which the last "
            "may be "
            "smaller. One result per piece.",
     .sample = "split(f32[6,2], parts=3); split(f32[2,7], axis=1, sizes=[2,5])"},
    {.name = "concat",
     .ins = "xs:T*",
     VIEW,
     .attrs = "axis:int",
     .infer = concat_infer,
     .define = concat_define,
     .doc = "The operands one after the other along axis; the other extents must agree.",
     .sample = "concat(f32[2,3], f32[2,1], f32[2,4], axis=1)"},
    {.name = "stack",
     .ins = "xs:T*",
     VIEW,
     .attrs = "axis:int=0",
     .infer = stack_infer,
     .define = stack_define,
     .doc = "The operands, all of one type, along a new dimension `axis`.",
     .sample = "stack(f32[2,3], f32[2,3], f32[2,3], axis=1)"},
    {.name = "broadcast",
     .ins = "x:T",
     VIEW,
     .attrs = "shape:shape",
     .infer = broadcast_infer,
     .define = broadcast_define,
     .doc = "x repeated to the given shape: extents of 1 and missing leading dimensions repeat; -1 keeps the "
            "extent.",
     .sample = "broadcast(f32[3,1], shape=[2,3,4])"},
    {.name = "tile",
     .ins = "x:T",
     VIEW,
     .attrs = "repeats:ints",
     .infer = tile_infer,
     .define = tile_define,
     .doc = "x repeated as a whole, repeats[d] times along dimension d.",
     .sample = "tile(f32[2,3], repeats=[2,3])"},
    {.name = "pad",
     .ins = "x:T, value:T?",
     .group = "views",
     .outs = "T",
     .t = "any",
     .attrs = "pads:ints, mode:string=constant",
     .infer = pad_infer,
     .define = pad_define,
     .doc = "x with pads[d] elements before and pads[rank+d] after dimension d (negative ones cut). What is "
            "added is "
            "`value` or 0 (mode constant), x mirrored without its edge (reflect), the nearest element "
            "(edge), or x "
            "repeated (wrap).",
     .sample = "pad(f32[2,3], f32[], pads=[1,0,0,2]); pad(f32[4,5], pads=[1,2,3,-1], mode=reflect); "
               "pad(f32[4], pads=[2,2], mode=edge); pad(f32[4], pads=[2,9], mode=wrap); "
               "pad(f32[3], pads=[5,6], mode=reflect)"},
    {.name = "depth_to_space",
     .ins = "x:T",
     VIEW,
     .attrs = "block:int, mode:string=dcr",
     .infer = depth_to_space_infer,
     .define = depth_to_space_define,
     .doc = "Channels of [n,c,h,w] become blocks of space. The channel holds the place in the block first "
            "(dcr) or "
            "last (crd, pixel shuffle).",
     .sample = "depth_to_space(f32[1,8,2,3], block=2); depth_to_space(f32[1,8,2,3], block=2, mode=crd)"},
    {.name = "space_to_depth",
     .ins = "x:T",
     VIEW,
     .attrs = "block:int",
     .infer = space_to_depth_infer,
     .define = space_to_depth_define,
     .doc =
         "Blocks of space of [n,c,h,w] become channels; the place in the block comes first in the channel.",
     .sample = "space_to_depth(f32[1,2,4,6], block=2)"},
    {0},
};
