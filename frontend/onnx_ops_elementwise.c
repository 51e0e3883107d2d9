// onnx_ops_elementwise.c: ONNX operators that work element by element.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

// ---- one operand ----------------------------------------------------------------------------------------------

// The core op `c->op->arg`, without attributes.
static bool unary(Call *c) {
  return ret_as(c, 0, make_unary(c, c->op->arg, arg(c, 0)), arg_elem(c, 0));
}

static bool test(Call *c) {
  return ret(c, 0, make_unary(c, c->op->arg, arg(c, 0)));
}

// Rounding leaves integers as they are.
static bool rounding(Call *c) {
  Value *x = arg(c, 0);
  return ret(c, 0, dtype_is_float(x->type.dtype) ? make_unary(c, c->op->arg, x) : x);
}

static bool identity(Call *c) {
  return has_arg(c, 0) ? ret_val(c, 0, c->in[0]) : ret_val(c, 0, val_new(c->im, VAL_ABSENT, c->node->out[0]));
}

static bool is_inf(Call *c) {
  bool up = attr_i(c, "detect_positive", 1), down = attr_i(c, "detect_negative", 1);
  return ret(c, 0, make(c, "isinf", IN(arg(c, 0)), ATTRS(A_BOOL("positive", up), A_BOOL("negative", down))));
}

static bool bitwise_not(Call *c) {
  return ret(c, 0, make_unary(c, "bit_not", arg(c, 0)));
}

// ---- activations with attributes --------------------------------------------------------------------------------

static bool with_alpha(Call *c, double alpha) {
  return ret(c, 0, make(c, c->op->arg, IN(arg(c, 0)), ATTRS(A_FLOAT("alpha", attr_f(c, "alpha", alpha)))));
}

static bool leaky_relu(Call *c) {
  return with_alpha(c, 0.01);
}

static bool with_alpha_one(Call *c) {
  return with_alpha(c, 1);
}

static bool selu(Call *c) {
  double alpha = attr_f(c, "alpha", c->version < 6 ? 1.6732 : 1.67326319217681884765625);
  double gamma = attr_f(c, "gamma", c->version < 6 ? 1.0507 : 1.05070102214813232421875);
  return ret(c, 0, make(c, "selu", IN(arg(c, 0)), ATTRS(A_FLOAT("alpha", alpha), A_FLOAT("gamma", gamma))));
}

static bool hard_sigmoid(Call *c) {
  double alpha = attr_f(c, "alpha", 0.2), beta = attr_f(c, "beta", 0.5);
  return ret(c, 0,
             make(c, "hard_sigmoid", IN(arg(c, 0)), ATTRS(A_FLOAT("alpha", alpha), A_FLOAT("beta", beta))));
}

static bool shrink(Call *c) {
  double lambd = attr_f(c, "lambd", 0.5), bias = attr_f(c, "bias", 0);
  Value *x = arg(c, 0);
  DType t = x->type.dtype;
  Value *y = make_cast(c, x, dtype_is_float(t) ? t : DT_F32);
  y = make(c, "shrink", IN(y), ATTRS(A_FLOAT("lambd", lambd), A_FLOAT("bias", bias)));
  return ret(c, 0, make_cast(c, y, t));
}

static bool gelu(Call *c) {
  const char *how = attr_s(c, "approximate", "none");
  if (strcmp(how, "none") != 0 && strcmp(how, "tanh") != 0) return call_fail(c, "approximate is '%s'", how);
  return ret(c, 0, make_unary(c, strcmp(how, "tanh") == 0 ? "gelu_tanh" : "gelu", arg(c, 0)));
}

// x where it exceeds 0, else slope * x. Before operator set 7 a slope of one dimension went with channels.
static bool prelu(Call *c) {
  Value *x = arg(c, 0), *slope = arg(c, 1);
  bool per_channel = c->version < 7 && rank_of(slope) == 1 && type_elements(&slope->type) > 1;
  if (per_channel && rank_of(x) > 2) slope = make_unsqueeze_last(c, slope, rank_of(x) - 2);
  return ret(c, 0, make_binary(c, "prelu", x, slope));
}

static bool clip(Call *c) {
  Value *x = arg(c, 0), *lo, *hi;
  if (c->version >= 11) {
    lo = arg_opt(c, 1);
    hi = arg_opt(c, 2);
  } else {
    lo = attr_has(c, "min") ? make_like(c, x, attr_f(c, "min", 0)) : NULL;
    hi = attr_has(c, "max") ? make_like(c, x, attr_f(c, "max", 0)) : NULL;
  }
  return ret(c, 0, lo || hi ? make(c, "clip", IN(x, lo, hi), NO_ATTRS) : x);
}

// ---- two operands ---------------------------------------------------------------------------------------------

// Before operator set 7, y was spread over x only if `broadcast` was set, with its first dimension at `axis`
// of x (default: the last dimensions match).
static Value *second(Call *c, const Value *x) {
  Value *y = arg(c, 1);
  if (c->version >= 7 || !attr_i(c, "broadcast", 0) || !attr_has(c, "axis")) return y;
  int64_t axis = attr_i(c, "axis", 0);
  if (axis < 0) axis += rank_of(x);
  int64_t behind = rank_of(x) - axis - rank_of(y);
  if (axis < 0 || behind < 0) return call_fail(c, "axis %lld does not fit", (long long)axis), y;
  return make_unsqueeze_last(c, y, (int)behind);
}

static bool binary(Call *c) {
  Value *x = arg(c, 0);
  return ret(c, 0, make_binary(c, c->op->arg, x, second(c, x)));
}

static bool mod(Call *c) {
  return ret(c, 0, make_binary(c, attr_i(c, "fmod", 0) ? "rem" : "mod", arg(c, 0), arg(c, 1)));
}

// The result has the type of the base. An integer base with a float exponent is computed in floats.
static bool power(Call *c) {
  Value *x = arg(c, 0), *y = second(c, x);
  DType t = x->type.dtype, u = y->type.dtype;
  if (dtype_is_int(t) && dtype_is_float(u)) {
    Value *p = make_binary(c, "pow", make_cast(c, x, DT_F64), make_cast(c, y, DT_F64));
    return ret(c, 0, make_cast(c, p, t));
  }
  return ret(c, 0, make_binary(c, "pow", x, make_cast(c, y, t)));
}

static bool bit_shift(Call *c) {
  const char *direction = attr_s(c, "direction", "");
  bool left = strcmp(direction, "LEFT") == 0;
  if (!left && strcmp(direction, "RIGHT") != 0) return call_fail(c, "direction is '%s'", direction);
  return ret(c, 0, make_binary(c, left ? "shift_left" : "shift_right", arg(c, 0), arg(c, 1)));
}

// ---- any number of operands -------------------------------------------------------------------------------------

static Value *chain(Call *c, const char *op) {
  Value *v = arg(c, 0);
  for (int i = 1; i < c->nin; i++) v = make_binary(c, op, v, arg(c, i));
  return v;
}

static bool variadic(Call *c) {
  return ret(c, 0, chain(c, c->op->arg));
}

static bool mean(Call *c) {
  Value *sum = chain(c, "add");
  return ret(c, 0, make_binary(c, "div", sum, make_like(c, sum, c->nin)));
}

static bool where(Call *c) {
  return ret_as(c, 0, make(c, "where", IN(arg(c, 0), arg(c, 1), arg(c, 2)), NO_ATTRS), arg_elem(c, 1));
}

// ---- types ----------------------------------------------------------------------------------------------------

// Numbers spelled in operator sets before 6 as names of types.
static int32_t elem_of_name(const char *name) {
  for (int32_t e = 1; e < ONNX_ELEM_COUNT; e++) {
    if (strcasecmp(name, onnx_elem_name(e)) == 0) return e;
  }
  return ONNX_UNDEFINED;
}

static bool cast_to(Call *c, int32_t to) {
  DType t = onnx_dtype(to);
  if (has_arg(c, 0) && c->in[0]->kind == VAL_STRINGS) return cast_strings(c, c->in[0]->strings, to);
  if (t == DT_NONE) return call_fail(c, "a cast to %s is not supported", onnx_elem_name(to));
  if (onnx_small_bits(to) || onnx_small_bits(arg_elem(c, 0))) return cast_small(c, to);
  return ret_as(c, 0, make_cast(c, arg(c, 0), t), to);
}

static bool cast(Call *c) {
  if (c->version < 6) return cast_to(c, elem_of_name(attr_s(c, "to", "")));
  return attr_required(c, "to", ONNX_ATTR_INT) && cast_to(c, (int32_t)attr_i(c, "to", 0));
}

static bool cast_like(Call *c) {
  arg(c, 1);
  return cast_to(c, arg_elem(c, 1));
}

static bool bit_cast(Call *c) {
  int32_t to = (int32_t)attr_i(c, "to", 0);
  DType t = onnx_dtype(to);
  if (t == DT_NONE || onnx_small_bits(to) || onnx_small_bits(arg_elem(c, 0)))
    return call_fail(c, "a bit cast from %s to %s is not supported", onnx_elem_name(arg_elem(c, 0)),
                     onnx_elem_name(to));
  Value *x = arg(c, 0);
  if (x->type.dtype == DT_BOOL && dtype_bytes(t) == 1) return ret_as(c, 0, make_cast(c, x, t), to);
  return ret_as(c, 0, x->type.dtype == t ? x : make(c, "bitcast", IN(x), ATTRS(A_DTYPE("dtype", t))), to);
}

// Elements are dropped by chance, the others grow so that the mean stays.
static bool dropout_training(Call *c, Value *x, double ratio) {
  Value *dice = make_random(c, x->type.dim, rank_of(x), DT_F32);
  Value *mask = make_binary(c, "greater_equal", dice, make_scalar(c, DT_F32, ratio));
  Value *y = make(c, "where", IN(mask, make_scaled(c, x, 1 / (1 - ratio)), make_like(c, x, 0)), NO_ATTRS);
  if (ratio >= 1) y = make_scaled(c, x, 0);
  ret(c, 0, y);
  return wants(c, 1) ? ret(c, 1, mask) : !c->failed;
}

// Inference only drops nothing; the mask says so. Training with a ratio of 0 is the same.
static bool dropout(Call *c) {
  Value *x = arg(c, 0);
  int64_t training = 0;
  double ratio = attr_f(c, "ratio", 0.5);
  if (c->version >= 12 && has_arg(c, 2) && !arg_int(c, 2, &training)) return false;
  if (c->version >= 12 && has_arg(c, 1) && training && !arg_float(c, 1, &ratio)) return false;
  if (c->version < 7 && !attr_i(c, "is_test", 0)) training = 0; // exporters left it unset
  if (training && ratio != 0) return dropout_training(c, x, ratio);
  ret_as(c, 0, x, arg_elem(c, 0));
  if (!wants(c, 1)) return true;
  DType t = c->version < 10 ? x->type.dtype : DT_BOOL;
  return ret(c, 1,
             make(c, "fill", IN(make_scalar(c, t, 1)), ATTRS(A_SHAPE("shape", x->type.dim, rank_of(x)))));
}

const OnnxOp ONNX_OPS_ELEMENTWISE[] = {
    {"", "Abs", unary, "abs"},
    {"", "Acos", unary, "acos"},
    {"", "Acosh", unary, "acosh"},
    {"", "Asin", unary, "asin"},
    {"", "Asinh", unary, "asinh"},
    {"", "Atan", unary, "atan"},
    {"", "Atanh", unary, "atanh"},
    {"", "Ceil", rounding, "ceil"},
    {"", "Cos", unary, "cos"},
    {"", "Cosh", unary, "cosh"},
    {"", "Erf", unary, "erf"},
    {"", "Exp", unary, "exp"},
    {"", "Floor", rounding, "floor"},
    {"", "HardSwish", unary, "hard_swish"},
    {"", "Log", unary, "log"},
    {"", "Mish", unary, "mish"},
    {"", "Neg", unary, "neg"},
    {"", "Not", unary, "not"},
    {"", "Reciprocal", unary, "reciprocal"},
    {"", "Relu", unary, "relu"},
    {"", "Round", rounding, "round"},
    {"", "Sigmoid", unary, "sigmoid"},
    {"", "Sign", unary, "sign"},
    {"", "Sin", unary, "sin"},
    {"", "Sinh", unary, "sinh"},
    {"", "Softplus", unary, "softplus"},
    {"", "Softsign", unary, "softsign"},
    {"", "Sqrt", unary, "sqrt"},
    {"", "Tan", unary, "tan"},
    {"", "Tanh", unary, "tanh"},
    {"", "IsNaN", test, "isnan"},
    {"", "IsInf", is_inf, NULL},
    {"", "Identity", identity, NULL},
    {"", "BitwiseNot", bitwise_not, NULL},
    {"", "LeakyRelu", leaky_relu, "leaky_relu"},
    {"", "ThresholdedRelu", with_alpha_one, "thresholded_relu"},
    {"", "Elu", with_alpha_one, "elu"},
    {"", "Celu", with_alpha_one, "celu"},
    {"", "Swish", with_alpha_one, "quick_gelu"},
    {"", "Selu", selu, NULL},
    {"", "HardSigmoid", hard_sigmoid, NULL},
    {"", "Shrink", shrink, NULL},
    {"", "Gelu", gelu, NULL},
    {"", "PRelu", prelu, NULL},
    {"", "Clip", clip, NULL},
    {"", "Add", binary, "add"},
    {"", "Sub", binary, "sub"},
    {"", "Mul", binary, "mul"},
    {"", "Div", binary, "div"},
    {"", "And", binary, "and"},
    {"", "Or", binary, "or"},
    {"", "Xor", binary, "xor"},
    {"", "Equal", binary, "equal"},
    {"", "Less", binary, "less"},
    {"", "LessOrEqual", binary, "less_equal"},
    {"", "Greater", binary, "greater"},
    {"", "GreaterOrEqual", binary, "greater_equal"},
    {"", "BitwiseAnd", binary, "bit_and"},
    {"", "BitwiseOr", binary, "bit_or"},
    {"", "BitwiseXor", binary, "bit_xor"},
    {"", "Mod", mod, NULL},
    {"", "Pow", power, NULL},
    {"", "BitShift", bit_shift, NULL},
    {"", "Max", variadic, "max"},
    {"", "Min", variadic, "min"},
    {"", "Sum", variadic, "add"},
    {"", "Mean", mean, NULL},
    {"", "Where", where, NULL},
    {"", "Cast", cast, NULL},
    {"", "CastLike", cast_like, NULL},
    {"", "BitCast", bit_cast, NULL},
    {"", "Dropout", dropout, NULL},
    {0},
};
