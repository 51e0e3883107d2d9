// ops_norm.c: normalisations.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

#include <math.h>

static bool check_eps(Ctx *c, const Node *n) {
  double eps = attr_float(n, "eps");
  return (eps >= 0 && isfinite(eps)) || op_fail(c, n, "eps is %g", eps);
}

// ---- batch_norm -----------------------------------------------------------------------------------------------

static bool check_channel_operand(Ctx *c, const Node *n, int k) {
  const Value *v = op_in(n, k);
  if (!v || (v->type.rank == 1 && dim_equal(v->type.dim[0], in_type(n, 0)->dim[1]))) return true;
  return op_fail(c, n, "%s is %s, must have one element for each channel of x, %s", op_param(n->op, k)->name,
                 type_text(c, &v->type), type_text(c, in_type(n, 0)));
}

static bool channel_norm_infer(Ctx *c, Node *n) {
  if (in_rank(n, 0) < 2) return op_fail(c, n, "x is %s, must be [n,c,...]", type_text(c, in_type(n, 0)));
  for (int k = 1; k < n->nin; k++)
    if (!check_channel_operand(c, n, k)) return false;
  return check_eps(c, n) && op_infer_same(c, n);
}

static const Expr *batch_norm_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  DType dt = n->out[out]->type.dtype, acc = acc_dtype(dt);
  const Expr *x = ex_acc(c, ex_read_at(c, n->in[0], index)), *p[5];
  for (int k = 1; k < 5; k++) p[k] = ex_cast(c, acc, ex_read(c, n->in[k], &index[1], 1));
  const Expr *spread = ex_unary(c, E_SQRT, ex_add(c, p[4], ex_num(c, acc, attr_float(n, "eps"))));
  const Expr *y = ex_mul(c, ex_binary(c, E_DIV, ex_sub(c, x, p[3]), spread), p[1]);
  return ex_cast(c, dt, ex_add(c, y, p[2]));
}

// ---- layer, group, instance, rms ----------------------------------------------------------------------------------

// (x - mean) / sqrt(variance + eps) over the dimensions `on`, in x's type.
static Value *standardise(Builder *b, Value *x, const bool *on, double eps) {
  Value *away = mk2(b, "sub", x, mk_reduce(b, "reduce_mean", x, on, true));
  Value *var = mk_reduce(b, "reduce_mean", mk1(b, "square", away), on, true);
  return mk2(b, "mul", away, mk1(b, "rsqrt", mk_with(b, "add", var, eps)));
}

// x * scale + bias, both optional, as type `t`.
static Value *scale_and_shift(Builder *b, Value *x, Value *scale, Value *bias, DType t) {
  DType acc = acc_dtype(t);
  if (scale) x = mk2(b, "mul", x, mk_cast(b, scale, acc));
  if (bias) x = mk2(b, "add", x, mk_cast(b, bias, acc));
  return mk_cast(b, x, t);
}

static bool layer_norm_infer(Ctx *c, Node *n) {
  int axis;
  const Type *x = in_type(n, 0);
  if (!op_axis(c, n, "axis", attr_int(n, "axis"), x->rank, &axis) || !check_eps(c, n)) return false;
  for (int k = 1; k < n->nin; k++) {
    Type both = {0};
    if (!op_in(n, k)) continue;
    bool fits = type_broadcast(c, (const Type *[]){x, in_type(n, k)}, 2, &both) && both.rank == x->rank;
    for (int d = 0; fits && d < x->rank; d++) fits = dim_equal(both.dim[d], x->dim[d]);
    if (!fits)
      return op_fail(c, n, "%s is %s, does not broadcast to x, %s", op_param(n->op, k)->name,
                     type_text(c, in_type(n, k)), type_text(c, x));
  }
  return op_infer_same(c, n);
}

static void trailing(const Node *n, bool *on) {
  int rank = in_rank(n, 0), axis = op_axis_of(n, "axis", rank);
  for (int d = 0; d < rank; d++) on[d] = d >= axis;
}

static bool layer_norm_decompose(Builder *b, const Node *n, Value **out) {
  bool on[MAX_RANK];
  DType t = in_type(n, 0)->dtype;
  trailing(n, on);
  Value *y = standardise(b, mk_cast(b, n->in[0], acc_dtype(t)), on, attr_float(n, "eps"));
  return (out[0] = scale_and_shift(b, y, op_in(n, 1), op_in(n, 2), t)) != NULL;
}

static bool rms_norm_decompose(Builder *b, const Node *n, Value **out) {
  bool on[MAX_RANK];
  DType t = in_type(n, 0)->dtype;
  trailing(n, on);
  Value *x = mk_cast(b, n->in[0], acc_dtype(t));
  Value *power = mk_reduce(b, "reduce_mean", mk1(b, "square", x), on, true);
  Value *y = mk2(b, "mul", x, mk1(b, "rsqrt", mk_with(b, "add", power, attr_float(n, "eps"))));
  return (out[0] = scale_and_shift(b, y, op_in(n, 1), NULL, t)) != NULL;
}

// A parameter with one element per channel, shaped to broadcast over x [n,c,...].
static Value *per_channel(Builder *b, Value *v, int rank) {
  if (!v) return NULL;
  Dim dims[MAX_RANK] = {v->type.dim[0]};
  for (int d = 1; d < rank - 1; d++) dims[d] = dim_const(1);
  return mk_reshape(b, v, rank - 1, dims);
}

static bool instance_norm_decompose(Builder *b, const Node *n, Value **out) {
  int rank = in_rank(n, 0);
  DType t = in_type(n, 0)->dtype;
  bool on[MAX_RANK];
  for (int d = 0; d < rank; d++) on[d] = d >= 2;
  Value *y = standardise(b, mk_cast(b, n->in[0], acc_dtype(t)), on, attr_float(n, "eps"));
  Value *scale = per_channel(b, op_in(n, 1), rank), *bias = per_channel(b, op_in(n, 2), rank);
  return (out[0] = scale_and_shift(b, y, scale, bias, t)) != NULL;
}

static bool group_norm_infer(Ctx *c, Node *n) {
  int64_t groups = attr_int(n, "groups");
  if (!channel_norm_infer(c, n)) return false;
  Dim channels = in_type(n, 0)->dim[1];
  if (groups >= 1 && !channels.sym && channels.n % groups == 0) return true;
  return op_fail(c, n, "%lld channels in %lld groups", (long long)channels.n, (long long)groups);
}

static bool group_norm_decompose(Builder *b, const Node *n, Value **out) {
  const Type *t = in_type(n, 0);
  int64_t groups = attr_int(n, "groups");
  Dim inner = dim_const(t->dim[1].n / groups);
  for (int d = 2; d < t->rank; d++) inner = dim_binary(b->ctx, E_MUL, inner, t->dim[d]);
  Value *x = mk_reshape(b, mk_cast(b, n->in[0], acc_dtype(t->dtype)), 3,
                        (Dim[]){t->dim[0], dim_const(groups), inner});
  Value *y = standardise(b, x, (bool[]){false, false, true}, attr_float(n, "eps"));
  y = mk_reshape(b, y, t->rank, t->dim);
  Value *scale = per_channel(b, op_in(n, 1), t->rank), *bias = per_channel(b, op_in(n, 2), t->rank);
  return (out[0] = scale_and_shift(b, y, scale, bias, t->dtype)) != NULL;
}

// ---- others ---------------------------------------------------------------------------------------------------------

static bool lrn_infer(Ctx *c, Node *n) {
  int64_t size = attr_int(n, "size");
  if (in_rank(n, 0) < 2) return op_fail(c, n, "x is %s, must be [n,c,...]", type_text(c, in_type(n, 0)));
  if (size < 1 || size > INT32_MAX) return op_fail(c, n, "size is %lld", (long long)size);
  return op_infer_same(c, n);
}

// Krizhevsky et al. 2012, section 3.3; of an even size the longer half lies above.
static const Expr *lrn_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  int64_t size = attr_int(n, "size");
  DType dt = n->out[out]->type.dtype, acc = acc_dtype(dt);
  const Expr *at[MAX_RANK];
  const Var *v;
  for (int d = 0; d < in_rank(n, 0); d++) at[d] = index[d];
  const Expr *k = ex_loop(c, "k", ex_idx(c, size), &v);
  at[1] = ex_sub(c, ex_add(c, index[1], k), ex_idx(c, (size - 1) / 2));
  const Expr *inside = ex_in_range(c, at[1], ex_dim(c, in_type(n, 0), 1));
  const Expr *x = ex_acc(c, ex_guard(c, inside, ex_read_at(c, n->in[0], at), ex_num(c, dt, 0)));
  const Expr *sum = ex_mul(c, x, x);
  if (v) sum = ex_reduce(c, R_SUM, &v, 1, sum);
  sum = ex_mul(c, sum, ex_float(c, acc, attr_float(n, "alpha") / (double)size));
  sum = ex_add(c, sum, ex_float(c, acc, attr_float(n, "bias")));
  sum = ex_binary(c, E_POW, sum, ex_float(c, acc, attr_float(n, "beta")));
  return ex_cast(c, dt, ex_binary(c, E_DIV, ex_acc(c, ex_read_at(c, n->in[0], index)), sum));
}

static bool lp_normalize_infer(Ctx *c, Node *n) {
  int axis;
  int64_t p = attr_int(n, "p");
  if (p != 1 && p != 2) return op_fail(c, n, "p is %lld, must be 1 or 2", (long long)p);
  return op_axis(c, n, "axis", attr_int(n, "axis"), in_rank(n, 0), &axis) && op_infer_same(c, n);
}

static bool lp_normalize_decompose(Builder *b, const Node *n, Value **out) {
  int axis = op_axis_of(n, "axis", in_rank(n, 0));
  DType t = in_type(n, 0)->dtype, acc = acc_dtype(t);
  Value *x = mk_cast(b, n->in[0], acc);
  Value *norm = mk_reduce1(b, attr_int(n, "p") == 1 ? "reduce_l1" : "reduce_l2", x, axis);
  norm = mk_where(b, mk_with(b, "equal", norm, 0), mk_scalar(b, acc, 1), norm);
  return (out[0] = mk_cast(b, mk2(b, "div", x, norm), t)) != NULL;
}

#define NORM .group = "normalisation", .outs = "T", .t = "float"

const OpInfo OPS_NORM[] = {
    {.name = "batch_norm",
     .ins = "x:T, scale:U, bias:U, mean:U, var:U",
     .group = "normalisation",
     .outs = "T",
     .t = "float, U:float",
     .attrs = "eps:float=1e-5",
     .infer = channel_norm_infer,
     .define = batch_norm_define,
     .doc = "(x - mean) / sqrt(var + eps) * scale + bias with one number of each per channel of x [n,c,...].",
     .sample = "batch_norm(f32[2,3,4], f32[3], f32[3], f32[3], f32[3])"},
    {.name = "layer_norm",
     .ins = "x:T, scale:T?, bias:T?",
     NORM,
     .attrs = "axis:int=-1, eps:float=1e-5",
     .infer = layer_norm_infer,
     .decompose = layer_norm_decompose,
     .doc = "(x - mean) / sqrt(variance + eps) over the dimensions from axis on, times scale plus bias.",
     .sample = "layer_norm(f32[2,5], f32[5], f32[5]); layer_norm(f32[2,3,4], axis=1)"},
    {.name = "rms_norm",
     .ins = "x:T, scale:T?",
     NORM,
     .attrs = "axis:int=-1, eps:float=1e-5",
     .infer = layer_norm_infer,
     .decompose = rms_norm_decompose,
     .doc = "x / sqrt(mean of squares + eps) over the dimensions from axis on, times scale.",
     .sample = "rms_norm(f32[2,5], f32[5])"},
    {.name = "instance_norm",
     .ins = "x:T, scale:T?, bias:T?",
     NORM,
     .attrs = "eps:float=1e-5",
     .infer = channel_norm_infer,
     .decompose = instance_norm_decompose,
     .doc = "Every channel of every sample of x [n,c,space...] standardised over space, times scale plus "
            "bias per "
            "channel.",
     .sample = "instance_norm(f32[2,3,4,5], f32[3], f32[3])"},
    {.name = "group_norm",
     .ins = "x:T, scale:T?, bias:T?",
     NORM,
     .attrs = "groups:int, eps:float=1e-5",
     .infer = group_norm_infer,
     .decompose = group_norm_decompose,
     .doc = "As instance_norm, over groups of neighbouring channels.",
     .sample = "group_norm(f32[2,6,3], f32[6], f32[6], groups=2)"},
    {.name = "lrn",
     .ins = "x:T",
     NORM,
     .attrs = "size:int, alpha:float=1e-4, beta:float=0.75, bias:float=1",
     .infer = lrn_infer,
     .define = lrn_define,
     .doc =
         "Local response normalisation over `size` neighbouring channels: x / (bias + alpha / size * sum of "
         "squares)^beta.",
     .sample = "lrn(f32[1,5,2,2], size=3); lrn(f32[1,5,2], size=4, alpha=0.5)"},
    {.name = "lp_normalize",
     .ins = "x:T",
     NORM,
     .attrs = "axis:int=-1, p:int=2",
     .infer = lp_normalize_infer,
     .decompose = lp_normalize_decompose,
     .doc = "x divided by its 1-norm or 2-norm along axis; zeros stay zeros.",
     .sample = "lp_normalize(f32[2,5]); lp_normalize(f32[2,5], axis=0, p=1)"},
    {0},
};
