// ops_pool.c: pooling over windows of any number of spatial dimensions of x [n,c,space...].
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

#include <math.h>

// ---- windows --------------------------------------------------------------------------------------------------

static bool pool_windows(Ctx *c, const Node *n, Window *w) {
  const Attr *kernel = node_attr(n, "kernel");
  int spatial = in_rank(n, 0) - 2;
  if (kernel->n != 1 && kernel->n != spatial)
    return op_fail(c, n, "kernel has %d elements for %d spatial dimensions", kernel->n, spatial);
  if (!op_windows(c, n, spatial, w)) return false;
  for (int d = 0; d < spatial; d++) {
    int64_t k = kernel->ints[kernel->n == 1 ? 0 : d];
    if (k < 1 || k > INT32_MAX) return op_fail(c, n, "kernel must be positive, not %lld", (long long)k);
    w[d].kernel = ex_idx(c, k);
  }
  return true;
}

static bool pool_rank(Ctx *c, const Node *n) {
  return in_rank(n, 0) >= 3 || op_fail(c, n, "x is %s, must be [n,c,space...]", type_text(c, in_type(n, 0)));
}

static bool pool_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  Window w[MAX_SPATIAL];
  if (!pool_rank(c, n) || !pool_windows(c, n, w)) return false;
  Dim out[MAX_RANK] = {x->dim[0], x->dim[1]};
  for (int d = 2; d < x->rank; d++) {
    out[d] = dim_expr(c, window_extent(c, &w[d - 2], ex_dim(c, x, d), attr_bool(n, "ceil_mode")));
    if (out[d].n < 1)
      return op_fail(c, n, "the kernel is larger than the padded input in dimension %d: x is %s", d,
                     type_text(c, x));
  }
  for (int k = 0; k < n->nout; k++)
    if (!op_set(c, n, k, x->rank, out)) return false;
  return true;
}

typedef struct Tap {
  Loops loops;
  Window win[MAX_SPATIAL];
  const Expr *at[MAX_RANK], *inside;
} Tap;

static void pool_tap(Ctx *c, const Node *n, const Expr *const *index, Tap *t) {
  const Type *x = in_type(n, 0);
  pool_windows(c, n, t->win);
  t->loops.n = 0;
  t->inside = ex_bool(c, true);
  t->at[0] = index[0];
  t->at[1] = index[1];
  for (int d = 2; d < x->rank; d++) {
    const Window *w = &t->win[d - 2];
    t->at[d] = window_at(c, w, index[d], loops_add(c, &t->loops, "k", w->kernel));
    t->inside = ex_and(c, t->inside, ex_in_range(c, t->at[d], ex_dim(c, x, d)));
  }
}

static const Expr *max_pool_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  Tap t;
  pool_tap(c, n, index, &t);
  const Expr *lowest = ex_lowest(c, n->out[out]->type.dtype);
  const Expr *x = ex_guard(c, t.inside, ex_read_at(c, n->in[0], t.at), lowest);
  return loops_reduce(c, &t.loops, R_MAX, x);
}

// ---- averages -------------------------------------------------------------------------------------------------

// How many taps of output o's window lie in [lo, hi).
static const Expr *taps_within(Ctx *c, const Window *w, const Expr *o, const Expr *lo, const Expr *hi) {
  const Expr *zero = ex_idx(c, 0), *first = window_at(c, w, o, zero), *by = ex_idx(c, w->dilation);
  const Expr *round = ex_idx(c, w->dilation - 1);
  const Expr *from = ex_binary(c, E_FDIV, ex_add(c, ex_sub(c, lo, first), round), by);
  const Expr *to = ex_binary(c, E_FDIV, ex_add(c, ex_sub(c, hi, first), round), by);
  from = ex_binary(c, E_MAX, from, zero);
  to = ex_binary(c, E_MIN, to, w->kernel);
  return ex_binary(c, E_MAX, ex_sub(c, to, from), zero);
}

// Elements that output `index` averages over: padding counts if asked for, what a ceil_mode window has beyond
// the padding never does.
static const Expr *pool_count(Ctx *c, const Node *n, const Tap *t, const Expr *const *index) {
  const Type *x = in_type(n, 0);
  bool with_pads = attr_bool(n, "count_include_pad"), ceil_mode = attr_bool(n, "ceil_mode");
  const Expr *count = ex_idx(c, 1);
  for (int d = 2; d < x->rank; d++) {
    const Window *w = &t->win[d - 2];
    bool whole = !ceil_mode && (with_pads || (w->before == 0 && w->after == 0));
    int64_t before = with_pads ? w->before : 0, after = with_pads ? w->after : 0;
    const Expr *hi = ex_add(c, ex_dim(c, x, d), ex_idx(c, after));
    count = ex_mul(c, count, whole ? w->kernel : taps_within(c, w, index[d], ex_idx(c, -before), hi));
  }
  return ex_binary(c, E_MAX, count, ex_idx(c, 1));
}

static const Expr *avg_pool_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  Tap t;
  DType dt = n->out[out]->type.dtype;
  pool_tap(c, n, index, &t);
  const Expr *x = ex_guard(c, t.inside, ex_read_at(c, n->in[0], t.at), ex_num(c, dt, 0));
  const Expr *sum = loops_reduce(c, &t.loops, R_SUM, ex_acc(c, x));
  const Expr *count = ex_cast(c, sum->dtype, pool_count(c, n, &t, index));
  return ex_cast(c, dt, ex_binary(c, E_DIV, sum, count));
}

// |x|^p, or its inverse with 1/p; the common exponents without pow.
static const Expr *power(Ctx *c, const Expr *x, double p) {
  if (p == 1) return x;
  if (p == 2) return ex_mul(c, x, x);
  if (p == 0.5) return ex_unary(c, E_SQRT, x);
  return ex_binary(c, E_POW, x, ex_float(c, x->dtype, p));
}

static bool lp_pool_infer(Ctx *c, Node *n) {
  double p = attr_float(n, "p");
  if (!(p > 0) || isinf(p)) return op_fail(c, n, "p is %g, must be positive", p);
  return pool_infer(c, n);
}

static const Expr *lp_pool_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  Tap t;
  double p = attr_float(n, "p");
  DType dt = n->out[out]->type.dtype;
  pool_tap(c, n, index, &t);
  const Expr *x = ex_guard(c, t.inside, ex_read_at(c, n->in[0], t.at), ex_num(c, dt, 0));
  const Expr *term = power(c, ex_unary(c, E_ABS, ex_acc(c, x)), p);
  return ex_cast(c, dt, power(c, loops_reduce(c, &t.loops, R_SUM, term), 1 / p));
}

// ---- places of maxima -------------------------------------------------------------------------------------------

static bool pool_find_infer(Ctx *c, Node *n) {
  if (!pool_infer(c, n)) return false;
  bool fits = in_rank(n, 1) == in_rank(n, 0);
  for (int d = 0; fits && d < in_rank(n, 0); d++)
    fits = dim_equal(in_type(n, 1)->dim[d], n->out[0]->type.dim[d]);
  return fits || op_fail(c, n, "the maxima have not the shape of the result");
}

static const Expr *pool_find_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  Tap t;
  const Type *x = in_type(n, 0);
  pool_tap(c, n, index, &t);
  const Expr *read = ex_read_at(c, n->in[0], t.at), *never = ex_int(c, DT_I64, INT64_C(1) << 62);
  const Expr *hit = ex_binary(c, E_EQ, read, ex_read_at(c, n->in[1], index));
  if (dtype_is_float(x->dtype)) hit = ex_binary(c, E_OR, hit, ex_binary(c, E_NE, read, read));
  const Expr *flat = ex_add(c, ex_mul(c, t.at[0], ex_dim(c, x, 1)), t.at[1]), *inner = ex_idx(c, 0);
  bool columns = attr_bool(n, "column_major");
  for (int i = 2; i < x->rank; i++) {
    int d = columns ? x->rank + 1 - i : i;
    inner = ex_add(c, ex_mul(c, inner, ex_dim(c, x, d)), t.at[d]);
  }
  flat = ex_add(c, ex_mul(c, flat, ex_product(c, x, 2, x->rank)), inner);
  const Expr *place = ex_guard(c, t.inside, ex_select(c, hit, flat, never), never);
  return loops_reduce(c, &t.loops, R_MIN, place);
}

static bool max_pool_indices_decompose(Builder *b, const Node *n, Value **out) {
  const Attr *a = n->attr;
  out[0] = build(b, "max_pool", n->in, 1, a, n->op->nattr - 1);
  if (!out[0]) return false;
  out[1] = build(b, "pool_find", IN(n->in[0], out[0]), a, n->op->nattr);
  return out[1] != NULL;
}

// ---- global and adaptive ------------------------------------------------------------------------------------------

static bool global_infer(Ctx *c, Node *n) {
  if (!pool_rank(c, n)) return false;
  Dim out[MAX_RANK] = {in_type(n, 0)->dim[0], in_type(n, 0)->dim[1]};
  for (int d = 2; d < in_rank(n, 0); d++) out[d] = dim_const(1);
  return op_set(c, n, 0, in_rank(n, 0), out);
}

static bool global_decompose(Builder *b, const Node *n, const char *op, Value **out) {
  bool on[MAX_RANK] = {false};
  for (int d = 2; d < in_rank(n, 0); d++) on[d] = true;
  return (out[0] = mk_reduce(b, op, n->in[0], on, true)) != NULL;
}

static bool global_avg_decompose(Builder *b, const Node *n, Value **out) {
  return global_decompose(b, n, "reduce_mean", out);
}

static bool global_max_decompose(Builder *b, const Node *n, Value **out) {
  return global_decompose(b, n, "reduce_max", out);
}

static bool adaptive_infer(Ctx *c, Node *n) {
  const Attr *size = node_attr(n, "size");
  if (!pool_rank(c, n)) return false;
  const Type *x = in_type(n, 0);
  Dim out[MAX_RANK] = {x->dim[0], x->dim[1]};
  if (size->n != 1 && size->n != x->rank - 2)
    return op_fail(c, n, "size has %d elements for %d spatial dimensions", size->n, x->rank - 2);
  for (int d = 2; d < x->rank; d++) {
    int64_t s = size->ints[size->n == 1 ? 0 : d - 2];
    if (x->dim[d].sym || x->dim[d].n < 1) return op_fail(c, n, "dimension %d must have a known extent", d);
    if (s < 1 || s > INT32_MAX) return op_fail(c, n, "size must be positive, not %lld", (long long)s);
    out[d] = dim_const(s);
  }
  return op_set(c, n, 0, x->rank, out);
}

// Output o covers [floor(o * in / out), ceil((o + 1) * in / out).
static const Expr *adaptive_define(Ctx *c, const Node *n, int out, const Expr *const *index, bool max) {
  const Type *x = in_type(n, 0), *y = &n->out[out]->type;
  const Expr *at[MAX_RANK] = {index[0], index[1]}, *inside = ex_bool(c, true), *count = ex_idx(c, 1);
  Loops loops = {0};
  for (int d = 2; d < x->rank; d++) {
    int64_t in = x->dim[d].n, outs = y->dim[d].n, widest = ceil_div(in, outs) + (in % outs != 0);
    const Expr *by = ex_idx(c, outs), *from = ex_binary(c, E_FDIV, ex_mul(c, index[d], ex_idx(c, in)), by);
    const Expr *next = ex_add(c, ex_mul(c, index[d], ex_idx(c, in)), ex_idx(c, in + outs - 1));
    const Expr *size = ex_sub(c, ex_binary(c, E_FDIV, next, by), from);
    if (in % outs == 0) size = ex_idx(c, in / outs);
    const Expr *k = loops_add(c, &loops, "k", ex_idx(c, widest));
    at[d] = ex_add(c, from, k);
    inside = ex_and(c, inside, ex_binary(c, E_LT, k, size));
    if (in % outs) inside = ex_and(c, inside, ex_in_range(c, at[d], ex_idx(c, in)));
    count = ex_mul(c, count, size);
  }
  const Expr *outside = max ? ex_lowest(c, x->dtype) : ex_num(c, x->dtype, 0);
  const Expr *v = ex_guard(c, inside, ex_read_at(c, n->in[0], at), outside);
  if (max) return loops_reduce(c, &loops, R_MAX, v);
  const Expr *sum = loops_reduce(c, &loops, R_SUM, ex_acc(c, v));
  return ex_cast(c, x->dtype, ex_binary(c, E_DIV, sum, ex_cast(c, sum->dtype, count)));
}

static const Expr *adaptive_avg_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  return adaptive_define(c, n, out, index, false);
}

static const Expr *adaptive_max_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  return adaptive_define(c, n, out, index, true);
}

#define POOL       .group = "pooling", .ins = "x:T", .outs = "T"
#define POOL_ATTRS "kernel:ints, stride:ints=[], dilation:ints=[], pads:ints=[], ceil_mode:bool=false"

const OpInfo OPS_POOL[] = {
    {.name = "max_pool",
     POOL,
     .t = "num",
     .attrs = POOL_ATTRS,
     .infer = pool_infer,
     .define = max_pool_define,
     .doc = "Greatest element of each window. kernel, stride (1 if not given), dilation and pads as in conv; "
            "ceil_mode "
            "adds a last window that is cut off, if it begins before the padding at the end.",
     .sample =
         "max_pool(f32[1,2,6,7], kernel=[2,3], stride=[2,2]); max_pool(f32[1,1,5,5], kernel=[3], stride=[2], "
         "pads=[1], ceil_mode=true); max_pool(f32[2,1,9], kernel=[2], dilation=[3])"},
    {.name = "max_pool_indices",
     .group = "pooling",
     .ins = "x:T",
     .outs = "T, i64",
     .t = "num",
     .attrs = POOL_ATTRS ", column_major:bool=false",
     .infer = pool_infer,
     .decompose = max_pool_indices_decompose,
     .doc = "max_pool, and for each result the number of its element in x, counted row-major, or "
            "column-major within "
            "space.",
     .sample = "max_pool_indices(f32[1,2,4,6], kernel=[2,2], stride=[2,2]); max_pool_indices(f32[1,2,4,6], "
               "kernel=[3], pads=[1], column_major=true)"},
    {.name = "pool_find",
     .group = "pooling",
     .ins = "x:T, maxima:T",
     .outs = "i64",
     .t = "num",
     .attrs = POOL_ATTRS ", column_major:bool=false",
     .infer = pool_find_infer,
     .define = pool_find_define,
     .flags = OP_INTERNAL,
     .doc = "Where max_pool found its results: the first element of each window equal to its maximum."},
    {.name = "avg_pool",
     POOL,
     .t = "float",
     .attrs = POOL_ATTRS ", count_include_pad:bool=false",
     .infer = pool_infer,
     .define = avg_pool_define,
     .doc = "Mean of each window; padding counts as zeros if count_include_pad.",
     .sample =
         "avg_pool(f32[1,2,6,7], kernel=[2,3], stride=[2,2]); avg_pool(f32[1,1,5,5], kernel=[3], stride=[2], "
         "pads=[1], ceil_mode=true, count_include_pad=true); avg_pool(f32[1,1,6], kernel=[3], pads=[1], "
         "dilation=[2])"},
    {.name = "lp_pool",
     POOL,
     .t = "float",
     .attrs = POOL_ATTRS ", p:float=2",
     .infer = lp_pool_infer,
     .define = lp_pool_define,
     .doc = "Each window's p-norm: the sum of |x|^p to the power 1/p.",
     .sample = "lp_pool(f32[1,2,4,4], kernel=[2,2]); lp_pool(f32[1,2,4,4], kernel=[2,2], p=3)"},
    {.name = "global_avg_pool",
     POOL,
     .t = "float",
     .infer = global_infer,
     .decompose = global_avg_decompose,
     .doc = "Mean over all of space.",
     .sample = "global_avg_pool(f32[1,2,4,4])"},
    {.name = "global_max_pool",
     POOL,
     .t = "num",
     .infer = global_infer,
     .decompose = global_max_decompose,
     .doc = "Greatest element over all of space.",
     .sample = "global_max_pool(f32[1,2,4,4])"},
    {.name = "adaptive_avg_pool",
     POOL,
     .t = "float",
     .attrs = "size:ints",
     .infer = adaptive_infer,
     .define = adaptive_avg_define,
     .doc = "Mean over windows chosen so that the result has the given spatial size.",
     .sample = "adaptive_avg_pool(f32[1,2,6,7], size=[3,3])"},
    {.name = "adaptive_max_pool",
     POOL,
     .t = "num",
     .attrs = "size:ints",
     .infer = adaptive_infer,
     .define = adaptive_max_define,
     .doc = "Greatest element of windows chosen so that the result has the given spatial size.",
     .sample = "adaptive_max_pool(f32[1,2,6,7], size=[3,3])"},
    {0},
};
