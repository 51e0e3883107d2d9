// onnx_contrib.c: operators of the domain com.microsoft, which optimisers and exporters emit: fused ones.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

#include <math.h>

#define MS "com.microsoft"

// ---- activations ------------------------------------------------------------------------------------------------

Value *make_activation(Call *c, const char *name, Value *x, const float *params, int n) {
  static const char *const plain[][2] = {{"Relu", "relu"}, {"Tanh", "tanh"}, {"Sigmoid", "sigmoid"}};
  if (name[0] == '\0') return x;
  for (int i = 0; i < ARRAY_LEN(plain); i++) {
    if (strcmp(name, plain[i][0]) == 0) return make_unary(c, plain[i][1], x);
  }
  double a = n > 0 ? (double)params[0] : NAN, b = n > 1 ? (double)params[1] : NAN;
  if (strcmp(name, "LeakyRelu") == 0)
    return make(c, "leaky_relu", IN(x), ATTRS(A_FLOAT("alpha", n > 0 ? a : 0.01)));
  if (strcmp(name, "Clip") == 0 && n == 2)
    return make(c, "clip", IN(x, make_like(c, x, a), make_like(c, x, b)), NO_ATTRS);
  if (strcmp(name, "HardSigmoid") == 0)
    return make(c, "hard_sigmoid", IN(x),
                ATTRS(A_FLOAT("alpha", n > 0 ? a : 0.2), A_FLOAT("beta", n > 1 ? b : 0.5)));
  call_fail(c, "the activation '%s' is not supported", name);
  return x;
}

static Value *added(Call *c, Value *x, Value *bias) {
  return bias ? make_binary(c, "add", x, bias) : x;
}

// FastGelu and BiasGelu: x and a bias that may be absent.
static bool bias_unary(Call *c) {
  return ret(c, 0, make_unary(c, c->op->arg, added(c, arg(c, 0), arg_opt(c, 1))));
}

static bool quick_gelu(Call *c) {
  return ret(c, 0, make(c, "quick_gelu", IN(arg(c, 0)), ATTRS(A_FLOAT("alpha", attr_f(c, "alpha", 1.702)))));
}

// The first half of the last dimension times gelu of the second.
static bool bias_split_gelu(Call *c) {
  Value *x = make_binary(c, "add", arg(c, 0), arg(c, 1));
  int last = rank_of(x) - 1;
  int64_t half = dim_of(x, last).n / 2;
  if (dim_of(x, last).sym) return call_fail(c, "the last extent must be known");
  Value *gate = make_unary(c, "gelu", make_slice(c, x, last, half, 2 * half));
  return ret(c, 0, make_binary(c, "mul", make_slice(c, x, last, 0, half), gate));
}

static bool bias_dropout(Call *c) { // data, bias, residual: nothing is dropped when a model is used
  return ret(c, 0, added(c, make_binary(c, "add", arg(c, 0), arg(c, 1)), arg_opt(c, 2)));
}

static bool bias_softmax(Call *c) {
  Value *x = make_binary(c, "add", arg(c, 0), arg(c, 1));
  return ret(c, 0, make(c, "softmax", IN(x), ATTRS(A_INT("axis", attr_i(c, "axis", 1)))));
}

// ---- products ---------------------------------------------------------------------------------------------------

// The last two dimensions change places; with `batch`, the second to last goes to the front before.
static Value *turned(Call *c, Value *x, bool matrix, bool batch) {
  int64_t perm[MAX_RANK];
  int rank = rank_of(x);
  for (int d = 0; d < rank; d++) perm[d] = d;
  if (rank < 2 || (!matrix && !batch)) return x;
  if (batch) { // [m,batch...,k] stands for [batch...,m,k]
    for (int d = 0; d < rank - 2; d++) perm[d] = d + 1;
    perm[rank - 2] = 0;
  }
  if (matrix) {
    int64_t t = perm[rank - 2];
    perm[rank - 2] = perm[rank - 1];
    perm[rank - 1] = t;
  }
  return make_transpose(c, x, perm);
}

static bool fused_matmul(Call *c) {
  Value *a = turned(c, arg(c, 0), attr_i(c, "transA", 0), attr_i(c, "transBatchA", 0)),
        *b = turned(c, arg(c, 1), attr_i(c, "transB", 0), attr_i(c, "transBatchB", 0));
  Value *y = make_scaled(c, make_binary(c, "matmul", a, b), attr_f(c, "alpha", 1));
  const float *params;
  int n = attr_fs(c, "activation_params", &params);
  return ret(c, 0, make_activation(c, attr_s(c, "activation", ""), y, params, n));
}

static bool fused_gemm(Call *c) {
  if (!call_as(c, "Gemm", 3)) return false;
  float params[] = {(float)attr_f(c, "activation_alpha", NAN), (float)attr_f(c, "activation_beta", NAN)};
  int n = attr_has(c, "activation_beta") ? 2 : attr_has(c, "activation_alpha");
  return ret(c, 0, make_activation(c, attr_s(c, "activation", ""), c->out[0]->v, params, n));
}

// A convolution, something of the result's shape added, an activation.
static bool fused_conv(Call *c) {
  const float *params;
  int n = attr_fs(c, "activation_params", &params);
  if (!call_as(c, "Conv", 3)) return false;
  Value *y = added(c, c->out[0]->v, arg_opt(c, 3));
  return ret(c, 0, make_activation(c, attr_s(c, "activation", ""), y, params, n));
}

static bool gemm_fast_gelu(Call *c) {
  Value *y = make_binary(c, "matmul", arg(c, 0), arg(c, 1));
  return ret(c, 0, make_unary(c, "gelu_tanh", added(c, y, arg_opt(c, 2))));
}

// ---- normalisation ----------------------------------------------------------------------------------------------

// Root-mean-square normalisation; ONNX Runtime knows it in the default domain, too.
static bool simplified_layer_norm(Call *c) {
  Value *x = arg(c, 0);
  int axis = axis_of(c, attr_i(c, "axis", -1), rank_of(x));
  double eps = attr_f(c, "epsilon", 1e-5);
  int64_t axes[MAX_RANK];
  int n = 0;
  for (int d = axis; d < rank_of(x); d++) axes[n++] = d;
  Attr attrs[] = {A_INT("axis", axis), A_FLOAT("eps", eps)}, over = A_INTS("axes", axes, n);
  ret(c, 0, make(c, "rms_norm", IN(x, arg(c, 1)), attrs, 2));
  if (!wants(c, 1)) return !c->failed;
  Value *wide = make_cast(c, x, DT_F32);
  Value *square = make(c, "reduce_mean", IN(make_binary(c, "mul", wide, wide)), &over, 1);
  return ret(c, 1, make_unary(c, "rsqrt", make_binary(c, "add", square, make_scalar(c, DT_F32, eps))));
}

// A sum of input, skip and bias, normalised over the last dimension. Results: that, (mean, 1 / deviation,) the sum.
static bool skip_norm(Call *c) {
  bool simple = c->op->arg != NULL;
  Value *x = make_binary(c, "add", arg(c, 0), arg(c, 1));
  x = added(c, x, arg_opt(c, simple ? 3 : 4));
  Attr attrs[] = {A_INT("axis", -1), A_FLOAT("eps", attr_f(c, "epsilon", 1e-12))};
  if (wants(c, 1) || wants(c, 2)) return call_fail(c, "its statistics are not given out");
  if (simple) {
    ret(c, 0, make(c, "rms_norm", IN(x, arg(c, 2)), attrs, 2));
  } else {
    ret(c, 0, make(c, "layer_norm", IN(x, arg(c, 2), arg_opt(c, 3)), attrs, 2));
  }
  return ret(c, 3, x);
}

// Numbers of a table's rows for [b,s] words, and with them the first results of a language model.
static bool embed_layer_norm(Call *c) {
  Value *ids = arg(c, 0), *segments = arg_opt(c, 1), *mask = arg_opt(c, 7), *places = arg_opt(c, 8);
  Attr row = A_INT("axis", 0);
  if (c->failed || rank_of(ids) != 2) return call_fail(c, "the words must be [batch,sequence]");
  if (!places) places = positions(c, dim_of(ids, 1), 1, 0);
  Value *x = make(c, "gather", IN(arg(c, 2), ids), &row, 1);
  x = make_binary(c, "add", x, make(c, "gather", IN(arg(c, 3), places), &row, 1));
  if (segments && has_arg(c, 4))
    x = make_binary(c, "add", x, make(c, "gather", IN(arg(c, 4), segments), &row, 1));
  Attr attrs[] = {A_INT("axis", -1), A_FLOAT("eps", attr_f(c, "epsilon", 1e-12))};
  ret(c, 0, make(c, "layer_norm", IN(x, arg(c, 5), arg(c, 6)), attrs, 2));
  ret(c, 2, x);
  if (!wants(c, 1)) return !c->failed;
  int64_t axes[] = {1};
  Attr over[] = {A_INTS("axes", axes, 1), A_BOOL("keepdims", false)};
  if (mask) return ret(c, 1, make_cast(c, make(c, "reduce_sum", IN(mask), over, 2), DT_I32));
  Dim batch = dim_of(ids, 0);
  return ret(c, 1, make(c, "broadcast", IN(make_scalar(c, DT_I32, 0)), ATTRS(A_SHAPE("shape", &batch, 1))));
}

// Over channels that lie last: [n,h,w,c].
static bool group_norm_last(Call *c) {
  static const int64_t first[] = {0, 3, 1, 2}, last[] = {0, 2, 3, 1};
  bool channels_last = attr_i(c, "channels_last", 1), skips = c->op->arg != NULL;
  Value *x = arg(c, 0);
  if (skips) {
    Value *skip = arg(c, 3);
    if (rank_of(skip) == 2)
      skip = make(c, "unsqueeze", IN(skip), ATTRS(A_INTS("axes", ((int64_t[]){1, 2}), 2)));
    x = added(c, make_binary(c, "add", x, skip), arg_opt(c, 4));
    ret(c, 1, x);
  }
  if (c->failed || rank_of(x) != 4) return call_fail(c, "its operand must have 4 dimensions");
  DType t = x->type.dtype;
  Attr attrs[] = {A_INT("groups", attr_i(c, "groups", 1)), A_FLOAT("eps", attr_f(c, "epsilon", 1e-5))};
  if (channels_last) x = make_transpose(c, x, first);
  x = make(c, "group_norm", IN(x, make_cast(c, arg(c, 1), t), make_cast(c, arg(c, 2), t)), attrs, 2);
  if (attr_i(c, "activation", 0)) x = make_unary(c, "silu", x);
  return ret(c, 0, channels_last ? make_transpose(c, x, last) : x);
}

// ---- the default domain's under another name ------------------------------------------------------------------------

static bool same_as(Call *c) {
  return call_as(c, c->op->arg, c->nin);
}

// Convolution of [n,h,w,c] with weights of the usual layout.
static bool nhwc_conv(Call *c) {
  static const int64_t first[] = {0, 3, 1, 2}, last[] = {0, 2, 3, 1};
  Value *x = arg(c, 0);
  if (rank_of(x) != 4) return call_fail(c, "its operand must have 4 dimensions");
  Val **in = arena_dup(call_arena(c), c->in, (size_t)(c->nin + 1) * sizeof *in);
  in[0] = val_tensor(c->im, c->in[0]->name, make_transpose(c, x, first), arg_elem(c, 0));
  c->in = in;
  return call_as(c, "Conv", 3) && ret(c, 0, make_transpose(c, c->out[0]->v, last));
}

static bool expand_dims(Call *c) {
  int64_t axis;
  if (!arg_int(c, 1, &axis)) return false;
  return ret(c, 0, make(c, "unsqueeze", IN(arg(c, 0)), ATTRS(A_INTS("axes", &axis, 1))));
}

const OnnxOp ONNX_OPS_CONTRIB[] = {
    {MS, "Gelu", bias_unary, "gelu"},
    {MS, "BiasGelu", bias_unary, "gelu"},
    {MS, "FastGelu", bias_unary, "gelu_tanh"},
    {MS, "QuickGelu", quick_gelu, NULL},
    {MS, "BiasSplitGelu", bias_split_gelu, NULL},
    {MS, "BiasAdd", bias_dropout, NULL}, // data, bias, skip
    {MS, "BiasDropout", bias_dropout, NULL},
    {MS, "BiasSoftmax", bias_softmax, NULL},
    {MS, "FusedMatMul", fused_matmul, NULL},
    {MS, "FusedMatMulActivation", fused_matmul, NULL},
    {MS, "TransposeMatMul", fused_matmul, NULL},
    {MS, "FusedGemm", fused_gemm, NULL},
    {MS, "FusedConv", fused_conv, NULL},
    {MS, "GemmFastGelu", gemm_fast_gelu, NULL},
    {MS, "NhwcConv", nhwc_conv, NULL},
    {MS, "NhwcFusedConv", NULL,
     "its layout is one provider's own; export the model without provider-specific fusion"},
    {"", "SimplifiedLayerNormalization", simplified_layer_norm, NULL},
    {MS, "SimplifiedLayerNormalization", simplified_layer_norm, NULL},
    {MS, "LayerNormalization", same_as, "LayerNormalization"},
    {MS, "SkipLayerNormalization", skip_norm, NULL},
    {MS, "SkipSimplifiedLayerNormalization", skip_norm, "rms"},
    {MS, "EmbedLayerNormalization", embed_layer_norm, NULL},
    {MS, "GroupNorm", group_norm_last, NULL},
    {MS, "SkipGroupNorm", group_norm_last, "skip"},
    {MS, "Trilu", same_as, "Trilu"},
    {MS, "Pad", same_as, "Pad"},
    {MS, "Range", same_as, "Range"},
    {MS, "GatherND", same_as, "GatherND"},
    {MS, "GridSample", same_as, "GridSample"},
    {MS, "Inverse", NULL, "it inverts matrices, for which there is no core op"},
    {MS, "ExpandDims", expand_dims, NULL},
    {MS, "QuantizeLinear", same_as, "QuantizeLinear"},
    {MS, "DequantizeLinear", same_as, "DequantizeLinear"},
    {0},
};
