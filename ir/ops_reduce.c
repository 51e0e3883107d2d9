// ops_reduce.c: ops that fold dimensions: sums and their kin, extrema with their places, softmax, scans.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

#include <math.h>

// ---- reductions -----------------------------------------------------------------------------------------------

static bool reduce_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  bool on[MAX_RANK], keep = attr_bool(n, "keepdims");
  Dim out[MAX_RANK];
  int rank = 0;
  if (!op_axes(c, n, "axes", x->rank, true, on)) return false;
  for (int d = 0; d < x->rank; d++) {
    if (!on[d]) out[rank++] = x->dim[d];
    if (on[d] && keep) out[rank++] = dim_const(1);
  }
  return op_set(c, n, 0, rank, out);
}

// What is folded, and how: the element of x on its way in, and the fold's result on its way out.
typedef enum Fold { FOLD_PLAIN, FOLD_ABS, FOLD_SQUARE, FOLD_ROOT, FOLD_MEAN } Fold;

static const Expr *fold_in(Ctx *c, Fold f, const Expr *x) {
  if (f == FOLD_ABS) return ex_unary(c, E_ABS, x);
  return f == FOLD_SQUARE || f == FOLD_ROOT ? ex_mul(c, x, x) : x;
}

static const Expr *fold_out(Ctx *c, Fold f, const Expr *y, const Expr *count) {
  if (f == FOLD_ROOT) return ex_unary(c, E_SQRT, y);
  return f == FOLD_MEAN ? ex_binary(c, E_DIV, y, ex_cast(c, y->dtype, count)) : y;
}

static const Expr *fold(Ctx *c, const Node *n, const Expr *const *index, ReduceKind kind, Fold f) {
  const Type *x = in_type(n, 0);
  bool on[MAX_RANK], keep = attr_bool(n, "keepdims");
  bool exact = kind != R_SUM && kind != R_PROD;
  const Expr *at[MAX_RANK], *count = ex_idx(c, 1);
  Loops loops = {0};
  op_axes_of(n, "axes", x->rank, true, on);
  for (int d = 0, from = 0; d < x->rank; d++) {
    if (on[d]) {
      at[d] = loops_add(c, &loops, "r", ex_dim(c, x, d));
      count = ex_mul(c, count, ex_dim(c, x, d));
      from += keep;
    } else {
      at[d] = index[from++];
    }
  }
  DType acc = exact ? x->dtype : acc_dtype(x->dtype);
  const Expr *term = fold_in(c, f, ex_cast(c, acc, ex_read_at(c, n->in[0], at)));
  return ex_cast(c, x->dtype, fold_out(c, f, loops_reduce(c, &loops, kind, term), count));
}

#define FOLD_FUNCTION(id, kind, how)                                                                         \
  static const Expr *id(Ctx *c, const Node *n, int out, const Expr *const *index) {                          \
    (void)out;                                                                                               \
    return fold(c, n, index, kind, how);                                                                     \
  }
FOLD_FUNCTION(sum_define, R_SUM, FOLD_PLAIN)
FOLD_FUNCTION(mean_define, R_SUM, FOLD_MEAN)
FOLD_FUNCTION(prod_define, R_PROD, FOLD_PLAIN)
FOLD_FUNCTION(max_define, R_MAX, FOLD_PLAIN)
FOLD_FUNCTION(min_define, R_MIN, FOLD_PLAIN)
FOLD_FUNCTION(l1_define, R_SUM, FOLD_ABS)
FOLD_FUNCTION(l2_define, R_SUM, FOLD_ROOT)
FOLD_FUNCTION(sumsq_define, R_SUM, FOLD_SQUARE)
FOLD_FUNCTION(all_define, R_ALL, FOLD_PLAIN)
FOLD_FUNCTION(any_define, R_ANY, FOLD_PLAIN)
#undef FOLD_FUNCTION

// log(sum(exp(x - m))) + m with the maximum m, or 0 in its place where it is infinite.
static bool logsumexp_decompose(Builder *b, const Node *n, Value **out) {
  bool on[MAX_RANK], keep = attr_bool(n, "keepdims");
  DType t = in_type(n, 0)->dtype, acc = acc_dtype(t);
  op_axes_of(n, "axes", in_rank(n, 0), true, on);
  Value *x = mk_cast(b, n->in[0], acc);
  Value *top = mk_reduce(b, "reduce_max", x, on, true);
  top = mk_where(b, mk1(b, "isinf", top), mk_scalar(b, acc, 0), top);
  Value *sum = mk_reduce(b, "reduce_sum", mk1(b, "exp", mk2(b, "sub", x, top)), on, true);
  Value *y = mk_cast(b, mk2(b, "add", mk1(b, "log", sum), top), t);
  if (y && !keep) y = mk_reshape(b, y, n->out[0]->type.rank, n->out[0]->type.dim);
  return (out[0] = y) != NULL;
}

// Two passes: the mean of squares minus the square of the mean cancels badly.
static bool var_decompose(Builder *b, const Node *n, Value **out) {
  Ctx *c = b->ctx;
  bool on[MAX_RANK];
  const Type *t = in_type(n, 0);
  Dim count = dim_const(1);
  op_axes_of(n, "axes", t->rank, true, on);
  for (int d = 0; d < t->rank; d++)
    if (on[d]) count = dim_binary(c, E_MUL, count, t->dim[d]);
  Value *x = mk_cast(b, n->in[0], acc_dtype(t->dtype));
  Value *away = mk2(b, "sub", x, mk_reduce(b, "reduce_mean", x, on, true));
  Value *y = mk_reduce(b, "reduce_mean", mk1(b, "square", away), on, attr_bool(n, "keepdims"));
  int64_t correction = attr_int(n, "correction");
  if (correction) {
    Value *size =
        mk_cast(b, build(b, "extents", NULL, 0, ATTRS(A_SHAPE("of", &count, 1))), acc_dtype(t->dtype));
    size = mk_reshape(b, size, 0, NULL);
    y = mk2(b, "mul", y, mk2(b, "div", size, mk_with(b, "sub", size, (double)correction)));
  }
  return (out[0] = mk_cast(b, y, t->dtype)) != NULL;
}

// ---- places of extrema ------------------------------------------------------------------------------------------

static bool arg_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  int axis, rank = 0;
  Dim out[MAX_RANK];
  if (!op_axis(c, n, "axis", attr_int(n, "axis"), x->rank, &axis)) return false;
  if (dim_is(x->dim[axis], 0)) return op_fail(c, n, "dimension %d of x is empty", axis);
  for (int d = 0; d < x->rank; d++) {
    if (d != axis) out[rank++] = x->dim[d];
    if (d == axis && attr_bool(n, "keepdims")) out[rank++] = dim_const(1);
  }
  return op_set(c, n, 0, rank, out);
}

// Least (or greatest) place where x is its extremum. NaN, which the extremum then is too, counts as one.
static bool arg_decompose(Builder *b, const Node *n, const char *extremum, Value **out) {
  const Type *t = in_type(n, 0);
  int axis = op_axis_of(n, "axis", t->rank);
  bool last = attr_bool(n, "select_last"), on[MAX_RANK] = {false};
  on[axis] = true;
  Dim line[MAX_RANK];
  for (int d = 0; d < t->rank; d++) line[d] = d == axis ? t->dim[d] : dim_const(1);
  Value *place = build(b, "iota", NULL, 0, ATTRS(A_SHAPE("shape", line, t->rank), A_INT("axis", axis)));
  Value *hit = mk2(b, "equal", n->in[0], mk_reduce(b, extremum, n->in[0], on, true));
  if (dtype_is_float(t->dtype)) hit = mk2(b, "or", hit, mk1(b, "isnan", n->in[0]));
  Value *never = mk_scalar(b, DT_I64, last ? -1 : 0x1p62);
  out[0] = mk_reduce(b, last ? "reduce_max" : "reduce_min", mk_where(b, hit, place, never), on,
                     attr_bool(n, "keepdims"));
  return out[0] != NULL;
}

static bool argmax_decompose(Builder *b, const Node *n, Value **out) {
  return arg_decompose(b, n, "reduce_max", out);
}

static bool argmin_decompose(Builder *b, const Node *n, Value **out) {
  return arg_decompose(b, n, "reduce_min", out);
}

// ---- softmax ------------------------------------------------------------------------------------------------------

static bool softmax_infer(Ctx *c, Node *n) {
  int axis;
  return op_axis(c, n, "axis", attr_int(n, "axis"), in_rank(n, 0), &axis) && op_infer_same(c, n);
}

static bool softmax_decompose(Builder *b, const Node *n, Value **out) {
  out[0] = mk_softmax(b, n->in[0], op_axis_of(n, "axis", in_rank(n, 0)), false);
  return out[0] != NULL;
}

static bool log_softmax_decompose(Builder *b, const Node *n, Value **out) {
  DType t = in_type(n, 0)->dtype;
  int axis = op_axis_of(n, "axis", in_rank(n, 0));
  Value *x = mk_cast(b, n->in[0], acc_dtype(t));
  Value *low = mk2(b, "sub", x, mk_reduce1(b, "reduce_max", x, axis));
  Value *sum = mk_reduce1(b, "reduce_sum", mk1(b, "exp", low), axis);
  out[0] = mk_cast(b, mk2(b, "sub", low, mk1(b, "log", sum)), t);
  return out[0] != NULL;
}

// ---- scans ----------------------------------------------------------------------------------------------------------

// Results so far are read back, in the result's own type: y[i] = y[i-1] op x[i], and, if exclusive,
// y[i] = y[i-1] op x[i-1] with y[0] the identity.
static bool scan_stages(Ctx *c, Node *n, Kernel *k, ExprOp op, double identity) {
  const Type *t = in_type(n, 0);
  int axis = op_axis_of(n, "axis", t->rank);
  bool reverse = attr_bool(n, "reverse"), exclusive = attr_bool(n, "exclusive");
  const Var **vars = NEW_ARRAY(c->arena, const Var *, t->rank);
  const Expr **at = NEW_ARRAY(c->arena, const Expr *, t->rank), *before[MAX_RANK];
  for (int d = 0; d < t->rank; d++) {
    vars[d] = var_new(c, "i", ex_dim(c, t, d));
    before[d] = at[d] = ex_var(c, vars[d]);
  }
  const Expr *step = at[axis], *one = ex_idx(c, 1);
  if (reverse) at[axis] = ex_sub(c, ex_sub(c, ex_dim(c, t, axis), one), step);
  before[axis] = reverse ? ex_add(c, at[axis], one) : ex_sub(c, step, one);
  const Expr *unit = ex_num(c, t->dtype, identity), *first = exclusive ? unit : ex_read_at(c, n->in[0], at);
  const Expr *sofar = ex_read_at(c, n->out[0], before);
  const Expr *next = ex_binary(c, op, sofar, ex_read_at(c, n->in[0], exclusive ? before : at));
  Stage s = {.out = n->out[0], .ndims = t->rank, .dims = vars, .index = at, .loc = n->loc};
  s.value = ex_guard(c, ex_binary(c, E_LT, ex_idx(c, 0), step), next, first);
  vec_push(c->arena, &k->stages, s);
  return true;
}

static bool cumsum_stages(Ctx *c, Node *n, Kernel *k) {
  return scan_stages(c, n, k, E_ADD, 0);
}

static bool cumprod_stages(Ctx *c, Node *n, Kernel *k) {
  return scan_stages(c, n, k, E_MUL, 1);
}

#define REDUCE(id, class, fn, text)                                                                          \
  {                                                                                                          \
    .name = id, .group = "reductions", .ins = "x:T", .outs = "T", .t = class,                                \
    .attrs = "axes:ints=[], keepdims:bool=true", .infer = reduce_infer, .define = fn, .doc = text,           \
    .sample = id "(f32[2,3,4]); " id "(f32[2,3,4], axes=[-1,0], keepdims=false)"                             \
  }
#define REDUCE_BOOL(id, fn, text)                                                                            \
  {                                                                                                          \
    .name = id, .group = "reductions", .ins = "x:T", .outs = "T", .t = "bool",                               \
    .attrs = "axes:ints=[], keepdims:bool=true", .infer = reduce_infer, .define = fn, .doc = text,           \
    .sample = id "(bool[2,3,4], axes=[1])"                                                                   \
  }
#define ARG(id, fn, text)                                                                                    \
  {                                                                                                          \
    .name = id, .group = "reductions", .ins = "x:T", .outs = "i64", .t = "num",                              \
    .attrs = "axis:int=0, keepdims:bool=true, select_last:bool=false", .infer = arg_infer, .decompose = fn,  \
    .doc = text, .sample = id "(f32[3,4]); " id "(i32[3,4], axis=-1, keepdims=false, select_last=true)"      \
  }

const OpInfo OPS_REDUCE[] = {
    REDUCE("reduce_sum", "num", sum_define,
           "Sum over `axes` (all, if none are given). f16 and bf16 are summed in f32."),
    REDUCE("reduce_mean", "num", mean_define, "Arithmetic mean over `axes`."),
    REDUCE("reduce_prod", "num", prod_define, "Product over `axes`."),
    REDUCE("reduce_max", "num", max_define,
           "Greatest element over `axes`; NaN if any is. Of none: -inf or the lowest."),
    REDUCE("reduce_min", "num", min_define,
           "Least element over `axes`; NaN if any is. Of none: inf or the highest."),
    REDUCE("reduce_l1", "num", l1_define, "Sum of absolute values over `axes`."),
    REDUCE("reduce_l2", "float", l2_define, "Square root of the sum of squares over `axes`."),
    REDUCE("reduce_sumsq", "num", sumsq_define, "Sum of squares over `axes`."),
    REDUCE_BOOL("reduce_all", all_define, "Whether all elements over `axes` are true."),
    REDUCE_BOOL("reduce_any", any_define, "Whether any element over `axes` is true."),
    {.name = "reduce_logsumexp",
     .group = "reductions",
     .ins = "x:T",
     .outs = "T",
     .t = "float",
     .attrs = "axes:ints=[], keepdims:bool=true",
     .infer = reduce_infer,
     .decompose = logsumexp_decompose,
     .doc = "log(sum(exp(x))) over `axes`, without overflow.",
     .sample = "reduce_logsumexp(f32[2,3,4]); reduce_logsumexp(f32[2,3,4], axes=[1], keepdims=false)"},
    {.name = "reduce_var",
     .group = "reductions",
     .ins = "x:T",
     .outs = "T",
     .t = "float",
     .attrs = "axes:ints=[], keepdims:bool=true, correction:int=0",
     .infer = reduce_infer,
     .decompose = var_decompose,
     .doc = "Variance over `axes`: the sum of squared distances from the mean, divided by their number less "
            "correction.",
     .sample = "reduce_var(f32[2,3,4], axes=[1]); reduce_var(f32[3,4], keepdims=false, correction=1)"},
    ARG("argmax", argmax_decompose,
        "Index of the greatest element along axis, the first (or last) of equal ones."),
    ARG("argmin", argmin_decompose,
        "Index of the least element along axis, the first (or last) of equal ones."),
    {.name = "softmax",
     .group = "reductions",
     .ins = "x:T",
     .outs = "T",
     .t = "float",
     .attrs = "axis:int=-1",
     .infer = softmax_infer,
     .decompose = softmax_decompose,
     .doc = "exp(x) divided by its sum along axis, without overflow.",
     .sample = "softmax(f32[2,5]); softmax(f16[2,5,3], axis=1)"},
    {.name = "log_softmax",
     .group = "reductions",
     .ins = "x:T",
     .outs = "T",
     .t = "float",
     .attrs = "axis:int=-1",
     .infer = softmax_infer,
     .decompose = log_softmax_decompose,
     .doc = "Logarithm of the softmax along axis, without underflow.",
     .sample = "log_softmax(f32[2,5])"},
    {.name = "cumsum",
     .group = "reductions",
     .ins = "x:T",
     .outs = "T",
     .t = "num",
     .attrs = "axis:int=0, exclusive:bool=false, reverse:bool=false",
     .infer = softmax_infer,
     .stages = cumsum_stages,
     .doc = "Running sum along axis; exclusive: of the elements before; reverse: from the end.",
     .sample = "cumsum(f32[5]); cumsum(f32[2,4], axis=1, exclusive=true, reverse=true)"},
    {.name = "cumprod",
     .group = "reductions",
     .ins = "x:T",
     .outs = "T",
     .t = "num",
     .attrs = "axis:int=0, exclusive:bool=false, reverse:bool=false",
     .infer = softmax_infer,
     .stages = cumprod_stages,
     .doc = "Running product along axis, as cumsum.",
     .sample = "cumprod(f32[5], reverse=true); cumprod(f32[2,4], axis=1, exclusive=true)"},
    {0},
};
