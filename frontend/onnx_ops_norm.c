// onnx_ops_norm.c: ONNX normalisations.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

// ---- batch normalisation ----------------------------------------------------------------------------------------

// (1 - momentum) * of the batch + momentum * what was there.
static Value *running(Call *c, Value *old, Value *now, double momentum) {
  Value *keep = make_scaled(c, old, momentum),
        *add = make_scaled(c, make_cast(c, now, old->type.dtype), 1 - momentum);
  return make_binary(c, "add", keep, add);
}

// Statistics are taken from the batch; the results include the running ones.
static bool batch_norm_training(Call *c) {
  Value *x = arg(c, 0), *v[5];
  int64_t axes[MAX_RANK];
  int n = 0;
  for (int i = 1; i < 5; i++) v[i] = arg(c, i);
  for (int d = 0; d < rank_of(x); d++) {
    if (d != 1) axes[n++] = d;
  }
  Attr attrs[] = {A_INTS("axes", axes, n), A_BOOL("keepdims", false)};
  Value *mean = make(c, "reduce_mean", IN(x), attrs, 2), *var = make(c, "reduce_var", IN(x), attrs, 2);
  double momentum = attr_f(c, "momentum", 0.9);
  Attr eps = A_FLOAT("eps", attr_f(c, "epsilon", 1e-5));
  Value *in_mean = make_cast(c, mean, v[3]->type.dtype), *in_var = make_cast(c, var, v[3]->type.dtype);
  ret(c, 0, make(c, "batch_norm", IN(x, v[1], v[2], in_mean, in_var), &eps, 1));
  if (wants(c, 1)) ret(c, 1, running(c, v[3], mean, momentum));
  if (wants(c, 2)) ret(c, 2, running(c, v[4], var, momentum));
  return !c->failed;
}

// spatial = 0 in operator sets before 9: a mean and a variance for each activation.
static bool batch_norm_each(Call *c) {
  Value *x = arg(c, 0), *v[5];
  for (int i = 1; i < 5; i++) v[i] = arg(c, i);
  Value *eps = make_like(c, v[4], attr_f(c, "epsilon", 1e-5));
  Value *factor = make_binary(c, "div", v[1], make_unary(c, "sqrt", make_binary(c, "add", v[4], eps)));
  Value *y = make_binary(c, "mul", make_binary(c, "sub", x, v[3]), factor);
  return ret(c, 0, make_binary(c, "add", y, v[2]));
}

static bool batch_norm(Call *c) {
  if (c->version >= 14 && attr_i(c, "training_mode", 0)) return batch_norm_training(c);
  Value *x = arg(c, 0), *scale = arg(c, 1), *bias = arg(c, 2), *mean = arg(c, 3), *var = arg(c, 4);
  if (c->version < 9 && !attr_i(c, "spatial", 1) && rank_of(scale) > 1) return batch_norm_each(c);
  DType t = mean->type.dtype; // scale and bias may be of another type than the statistics
  scale = make_cast(c, scale, t);
  bias = make_cast(c, bias, t);
  Attr eps = A_FLOAT("eps", attr_f(c, "epsilon", 1e-5));
  return ret(c, 0, make(c, "batch_norm", IN(x, scale, bias, mean, var), &eps, 1));
}

// ---- over other dimensions --------------------------------------------------------------------------------------

static bool instance_norm(Call *c) {
  Attr eps = A_FLOAT("eps", attr_f(c, "epsilon", 1e-5));
  return ret(c, 0, make(c, "instance_norm", IN(arg(c, 0), arg(c, 1), arg(c, 2)), &eps, 1));
}

// Mean and 1 / standard deviation over the dimensions from `axis` on, as further results.
static bool layer_statistics(Call *c, Value *x, int axis, double eps) {
  int64_t axes[MAX_RANK];
  int n = 0;
  DType t = onnx_dtype((int32_t)attr_i(c, "stash_type", ONNX_FLOAT));
  for (int d = axis; d < rank_of(x); d++) axes[n++] = d;
  Attr over = A_INTS("axes", axes, n);
  x = make_cast(c, x, t);
  if (wants(c, 1)) ret(c, 1, make(c, "reduce_mean", IN(x), &over, 1));
  if (!wants(c, 2)) return !c->failed;
  Value *var = make(c, "reduce_var", IN(x), &over, 1);
  return ret(c, 2, make_unary(c, "rsqrt", make_binary(c, "add", var, make_like(c, var, eps))));
}

static bool layer_norm(Call *c) {
  Value *x = arg(c, 0);
  int axis = axis_of(c, attr_i(c, "axis", -1), rank_of(x));
  double eps = attr_f(c, "epsilon", 1e-5);
  Attr attrs[] = {A_INT("axis", axis), A_FLOAT("eps", eps)};
  ret(c, 0, make(c, "layer_norm", IN(x, arg(c, 1), arg_opt(c, 2)), attrs, 2));
  return layer_statistics(c, x, axis, eps);
}

static bool rms_norm(Call *c) {
  Value *x = arg(c, 0), *scale = arg(c, 1);
  DType t = x->type.dtype;
  Attr attrs[] = {A_INT("axis", attr_i(c, "axis", -1)), A_FLOAT("eps", attr_f(c, "epsilon", 1e-5))};
  if (scale->type.dtype == t) return ret(c, 0, make(c, "rms_norm", IN(x, scale), attrs, 2));
  Value *y = make_cast(c, make(c, "rms_norm", IN(x, NULL), attrs, 2), scale->type.dtype);
  return ret(c, 0, make_binary(c, "mul", y, scale));
}

// One scale for each group until operator set 21, then one for each channel.
static bool group_norm(Call *c) {
  Value *x = arg(c, 0), *scale = arg(c, 1), *bias = arg(c, 2);
  int64_t groups = attr_i(c, "num_groups", 1);
  Attr attrs[] = {A_INT("groups", groups), A_FLOAT("eps", attr_f(c, "epsilon", 1e-5))};
  if (c->version >= 21 || dim_equal(dim_of(scale, 0), dim_of(x, 1))) {
    return ret(c, 0, make(c, "group_norm", IN(x, scale, bias), attrs, 2));
  }
  if (groups < 1 || dim_of(x, 1).n % groups) return call_fail(c, "%lld groups do not fit", (long long)groups);
  Dim each[] = {dim_const(groups), dim_const(dim_of(x, 1).n / groups)}, line = dim_of(x, 1);
  Value *v[] = {scale, bias};
  for (int i = 0; i < 2; i++) { // repeat each group's number for its channels
    v[i] = make(c, "broadcast", IN(make_unsqueeze_last(c, v[i], 1)), ATTRS(A_SHAPE("shape", each, 2)));
    v[i] = make_reshape(c, v[i], &line, 1);
  }
  return ret(c, 0, make(c, "group_norm", IN(x, v[0], v[1]), attrs, 2));
}

static bool mean_variance_norm(Call *c) {
  static const int64_t usual[] = {0, 2, 3};
  Value *x = arg(c, 0);
  const int64_t *axes;
  int n = attr_is(c, "axes", &axes);
  if (n == 0) {
    axes = usual;
    n = 3;
  }
  if (c->version < 9) { // attributes of the first version
    n = attr_i(c, "across_channels", 0) ? rank_of(x) - 1 : rank_of(x) - 2;
    int64_t *all = NEW_ARRAY(call_arena(c), int64_t, n + 1);
    for (int i = 0; i < n; i++) all[i] = rank_of(x) - n + i;
    axes = all;
  }
  Attr over = A_INTS("axes", axes, n);
  Value *centred = make_binary(c, "sub", x, make(c, "reduce_mean", IN(x), &over, 1));
  if (c->version < 9 && !attr_i(c, "normalize_variance", 1)) return ret(c, 0, centred);
  Value *deviation =
      make_unary(c, "sqrt", make(c, "reduce_mean", IN(make_unary(c, "square", centred)), &over, 1));
  return ret(c, 0, make_binary(c, "div", centred, make_binary(c, "add", deviation, make_like(c, x, 1e-9))));
}

static bool lrn(Call *c) {
  Attr attrs[] = {A_INT("size", attr_i(c, "size", 1)), A_FLOAT("alpha", attr_f(c, "alpha", 1e-4)),
                  A_FLOAT("beta", attr_f(c, "beta", 0.75)), A_FLOAT("bias", attr_f(c, "bias", 1))};
  return ret(c, 0, make(c, "lrn", IN(arg(c, 0)), attrs, 4));
}

static bool lp_normalization(Call *c) {
  Attr attrs[] = {A_INT("axis", attr_i(c, "axis", -1)), A_INT("p", attr_i(c, "p", 2))};
  return ret(c, 0, make(c, "lp_normalize", IN(arg(c, 0)), attrs, 2));
}

const OnnxOp ONNX_OPS_NORM[] = {
    {"", "BatchNormalization", batch_norm, NULL},
    {"", "InstanceNormalization", instance_norm, NULL},
    {"", "LayerNormalization", layer_norm, NULL},
    {"", "RMSNormalization", rms_norm, NULL},
    {"", "GroupNormalization", group_norm, NULL},
    {"", "MeanVarianceNormalization", mean_variance_norm, NULL},
    {"", "LRN", lrn, NULL},
    {"", "LpNormalization", lp_normalization, NULL},
    {0},
};
