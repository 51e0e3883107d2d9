// ops_elementwise.c: ops that compute each element from one element of every operand, as formulas.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

#include <math.h>

#define FLOAT(id, formula, text)                                                                             \
  {                                                                                                          \
    .name = id, .group = "arithmetic", .ins = "x:T", .outs = "T", .t = "float", .expr = formula,             \
    .doc = text, .sample = id "(f32[2,3])"                                                                   \
  }
#define NUM(id, class, formula, text)                                                                        \
  {                                                                                                          \
    .name = id, .group = "arithmetic", .ins = "x:T", .outs = "T", .t = class, .expr = formula, .doc = text,  \
    .sample = id "(f32[2,3]); " id "(i32[4])"                                                                \
  }
#define PAIR(id, class, bits, formula, text)                                                                 \
  {                                                                                                          \
    .name = id, .group = "arithmetic", .ins = "x:T, y:T", .outs = "T", .t = class, .expr = formula,          \
    .flags = bits, .doc = text, .sample = id "(f32[2,3], f32[3]); " id "(i32[2,1], i32[3])"                  \
  }

static const Expr *sign_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  const Expr *x = ex_read_at(c, n->in[0], index), *zero = ex_num(c, x->dtype, 0),
             *one = ex_num(c, x->dtype, 1);
  if (dtype_class(x->dtype) == 'u') return ex_binary(c, E_MIN, x, one);
  const Expr *below = ex_select(c, ex_binary(c, E_LT, x, zero), ex_num(c, x->dtype, -1), x);
  return ex_select(c, ex_binary(c, E_LT, zero, x), one, below);
}

const OpInfo OPS_ARITHMETIC[] = {
    PAIR("add", "num", OP_COMMUTES, "x + y", "Sum. Integers wrap."),
    PAIR("sub", "num", 0, "x - y", "Difference. Integers wrap."),
    PAIR("mul", "num", OP_COMMUTES, "x * y", "Product. Integers wrap."),
    PAIR("div", "num", 0, "x / y", "Quotient; of integers rounded towards zero, and 0 where y is 0."),
    PAIR("mod", "num", 0, "x % y",
         "Remainder with the sign of y, as Python's %. 0 for integers where y is 0."),
    PAIR("rem", "num", 0, "rem(x, y)", "Remainder with the sign of x, as C's % and fmod."),
    PAIR("pow", "num", 0, "pow(x, y)", "x to the power y."),
    PAIR("min", "num", OP_COMMUTES, "min(x, y)", "The smaller of x and y; NaN if either is."),
    PAIR("max", "num", OP_COMMUTES, "max(x, y)", "The larger of x and y; NaN if either is."),
    {.name = "atan2",
     .group = "arithmetic",
     .ins = "x:T, y:T",
     .outs = "T",
     .t = "float",
     .expr = "atan2(x, y)",
     .doc = "Angle of the point with ordinate x and abscissa y, in (-pi, pi].",
     .sample = "atan2(f32[2,3], f32[3])"},
    NUM("neg", "num", "-x", "Negation."),
    NUM("abs", "num", "abs(x)", "Absolute value."),
    {.name = "sign",
     .group = "arithmetic",
     .ins = "x:T",
     .outs = "T",
     .t = "num",
     .define = sign_define,
     .doc = "-1, 0 or 1; NaN stays NaN.",
     .sample = "sign(f32[2,3]); sign(i32[4]); sign(u8[4])"},
    NUM("square", "num", "x * x", "x times x."),
    FLOAT("sqrt", "sqrt(x)", "Square root."),
    FLOAT("rsqrt", "1 / sqrt(x)", "Reciprocal of the square root."),
    FLOAT("reciprocal", "1 / x", "1 / x."),
    FLOAT("exp", "exp(x)", "e to the power x."),
    FLOAT("expm1", "expm1(x)", "exp(x) - 1, exact near 0."),
    FLOAT("log", "log(x)", "Natural logarithm."),
    FLOAT("log1p", "log1p(x)", "log(1 + x), exact near 0."),
    FLOAT("sin", "sin(x)", "Sine of x radians."),
    FLOAT("cos", "cos(x)", "Cosine of x radians."),
    FLOAT("tan", "tan(x)", "Tangent of x radians."),
    FLOAT("asin", "asin(x)", "Inverse sine."),
    FLOAT("acos", "acos(x)", "Inverse cosine."),
    FLOAT("atan", "atan(x)", "Inverse tangent."),
    FLOAT("sinh", "sinh(x)", "Hyperbolic sine."),
    FLOAT("cosh", "cosh(x)", "Hyperbolic cosine."),
    FLOAT("asinh", "asinh(x)", "Inverse hyperbolic sine."),
    FLOAT("acosh", "acosh(x)", "Inverse hyperbolic cosine."),
    FLOAT("atanh", "atanh(x)", "Inverse hyperbolic tangent."),
    FLOAT("erf", "erf(x)", "The error function."),
    FLOAT("floor", "floor(x)", "Rounds down."),
    FLOAT("ceil", "ceil(x)", "Rounds up."),
    FLOAT("trunc", "trunc(x)", "Rounds towards zero."),
    FLOAT("round", "round(x)", "Rounds to the nearest integer, halves to the even one."),
    {0},
};

// Activations: one float operand and float attributes.
#define ACTIVATION(id, attributes, formula, text)                                                            \
  {                                                                                                          \
    .name = id, .group = "activation", .ins = "x:T", .outs = "T", .t = "float", .attrs = attributes,         \
    .expr = formula, .doc = text, .sample = id "(f32[2,3]); " id "(f16[5])"                                  \
  }

static const Expr *clip_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  int rank = n->out[out]->type.rank;
  const Expr *x = ex_read_at(c, n->in[0], index);
  Value *lo = op_in(n, 1), *hi = op_in(n, 2);
  if (lo) x = ex_binary(c, E_MAX, x, ex_read_broadcast(c, lo, index, rank));
  if (hi) x = ex_binary(c, E_MIN, x, ex_read_broadcast(c, hi, index, rank));
  return x;
}

static bool clip_infer(Ctx *c, Node *n) {
  if (!op_infer_broadcast(c, n)) return false;
  if (n->out[0]->type.rank != in_rank(n, 0)) return op_fail(c, n, "the limits have more dimensions than x");
  for (int d = 0; d < in_rank(n, 0); d++)
    if (!op_same_dim(c, n, n->out[0]->type.dim[d], in_type(n, 0)->dim[d], "extents of x and the limits"))
      return false;
  return true;
}

const OpInfo OPS_ACTIVATION[] = {
    {.name = "relu",
     .group = "activation",
     .ins = "x:T",
     .outs = "T",
     .t = "num",
     .expr = "max(x, 0)",
     .doc = "The positive part of x.",
     .sample = "relu(f32[2,3]); relu(i8[5])"},
    {.name = "clip",
     .group = "activation",
     .ins = "x:T, lo:T?, hi:T?",
     .outs = "T",
     .t = "num",
     .infer = clip_infer,
     .define = clip_define,
     .doc = "x brought into [lo, hi]; a limit that is absent does not limit. hi wins if lo > hi.",
     .sample = "clip(f32[2,3], f32[], f32[])"},
    {.name = "prelu",
     .group = "activation",
     .ins = "x:T, slope:T",
     .outs = "T",
     .t = "num",
     .expr = "select(x < 0, slope * x, x)",
     .doc = "Parametric ReLU: negative elements are multiplied by slope.",
     .sample = "prelu(f32[2,3,4], f32[3,1])"},
    ACTIVATION("leaky_relu", "alpha:float=0.01", "select(x < 0, alpha * x, x)",
               "Negative elements are multiplied by alpha."),
    ACTIVATION("thresholded_relu", "alpha:float=1", "select(x > alpha, x, 0)",
               "x where it exceeds alpha, else 0."),
    ACTIVATION("elu", "alpha:float=1", "select(x < 0, alpha * expm1(x), x)", "Exponential linear unit."),
    ACTIVATION("celu", "alpha:float=1", "max(x, 0) + min(0, alpha * expm1(x / alpha))",
               "Continuously differentiable exponential linear unit."),
    ACTIVATION("selu", "alpha:float=1.6732632423543772, gamma:float=1.0507009873554805",
               "gamma * select(x > 0, x, alpha * expm1(x))", "Scaled exponential linear unit."),
    ACTIVATION("sigmoid", NULL, "1 / (1 + exp(-x))", "Logistic function."),
    ACTIVATION("silu", NULL, "x / (1 + exp(-x))", "x times its sigmoid (swish)."),
    ACTIVATION("hard_sigmoid", "alpha:float=0.2, beta:float=0.5", "max(0, min(1, alpha * x + beta))",
               "Piecewise linear sigmoid."),
    ACTIVATION("hard_swish", NULL, "x * max(0, min(1, x * 0.16666666666666667 + 0.5))",
               "x times a piecewise linear sigmoid of slope 1/6."),
    ACTIVATION("tanh", NULL, "tanh(x)", "Hyperbolic tangent."),
    ACTIVATION("softplus", NULL, "max(x, 0) + log1p(exp(-abs(x)))", "log(1 + exp(x)), without overflow."),
    ACTIVATION("log_sigmoid", NULL, "min(x, 0) - log1p(exp(-abs(x)))", "log(sigmoid(x)), without underflow."),
    ACTIVATION("softsign", NULL, "x / (1 + abs(x))", "x / (1 + |x|)."),
    ACTIVATION("mish", NULL, "x * tanh(max(x, 0) + log1p(exp(-abs(x))))", "x * tanh(softplus(x))."),
    ACTIVATION("gelu", NULL, "0.5 * x * (1 + erf(x * 0.7071067811865476))",
               "Gaussian error linear unit: x times the normal distribution function."),
    ACTIVATION("gelu_tanh", NULL, "0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))",
               "GELU with the distribution function approximated by tanh."),
    ACTIVATION("quick_gelu", "alpha:float=1.702", "x / (1 + exp(-(alpha * x)))",
               "GELU with the distribution function approximated by a sigmoid."),
    ACTIVATION("shrink", "lambd:float=0.5, bias:float=0",
               "select(x < -lambd, x + bias, select(x > lambd, x - bias, 0))",
               "0 in [-lambd, lambd]; outside, x moved towards 0 by bias."),
    ACTIVATION("tanh_shrink", NULL, "x - tanh(x)", "x minus its hyperbolic tangent."),
    {0},
};

// ---- comparisons, logic, bits, types ------------------------------------------------------------------------

static const Expr *isinf_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  const Expr *x = ex_read_at(c, n->in[0], index);
  const Expr *inf = ex_float(c, x->dtype, INFINITY);
  const Expr *up = ex_binary(c, E_EQ, x, inf), *down = ex_binary(c, E_EQ, x, ex_unary(c, E_NEG, inf));
  bool want_up = attr_bool(n, "positive"), want_down = attr_bool(n, "negative");
  if (want_up && want_down) return ex_binary(c, E_OR, up, down);
  return want_up ? up : want_down ? down : ex_bool(c, false);
}

static const Expr *where_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Expr *v[3];
  for (int k = 0; k < 3; k++) v[k] = ex_read_broadcast(c, n->in[k], index, n->out[out]->type.rank);
  return ex_select(c, v[0], v[1], v[2]);
}

static const Expr *to_dtype(Ctx *c, DType t, const Expr *x) {
  if (t == DT_BOOL && x->dtype != DT_BOOL) return ex_binary(c, E_NE, x, ex_num(c, x->dtype, 0));
  return ex_cast(c, t, x);
}

static const Expr *cast_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  return to_dtype(c, n->out[out]->type.dtype, ex_read_at(c, n->in[0], index));
}

static bool bitcast_infer(Ctx *c, Node *n) {
  DType from = in_type(n, 0)->dtype, to = attr_dtype(n, "dtype");
  if (dtype_bytes(from) != dtype_bytes(to) || from == DT_BOOL || to == DT_BOOL)
    return op_fail(c, n, "%s and %s have not the same width", dtype_name(from), dtype_name(to));
  return op_infer_same(c, n);
}

static const Expr *bitcast_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  return ex_bitcast(c, n->out[out]->type.dtype, ex_read_at(c, n->in[0], index));
}

static const Expr *identity_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  return ex_read_at(c, n->in[0], index);
}

#define COMPARE(id, class, bits, formula, text)                                                              \
  {                                                                                                          \
    .name = id, .group = "logic", .ins = "x:T, y:T", .outs = "bool", .t = class, .flags = bits,              \
    .expr = formula, .doc = text, .sample = id "(f32[2,3], f32[3]); " id "(i64[2], i64[])"                   \
  }
#define BITS(id, class, bits, formula, of, text)                                                             \
  {                                                                                                          \
    .name = id, .group = "logic", .ins = "x:T, y:T", .outs = "T", .t = class, .flags = bits,                 \
    .expr = formula, .doc = text, .sample = id "(" of "[2,3], " of "[3])"                                    \
  }

const OpInfo OPS_LOGIC[] = {
    COMPARE("equal", "any", OP_COMMUTES, "x == y", "Whether x equals y; NaN equals nothing."),
    COMPARE("not_equal", "any", OP_COMMUTES, "x != y", "Whether x differs from y."),
    COMPARE("less", "num", 0, "x < y", "Whether x is less than y."),
    COMPARE("less_equal", "num", 0, "x <= y", "Whether x is less than or equal to y."),
    COMPARE("greater", "num", 0, "x > y", "Whether x is greater than y."),
    COMPARE("greater_equal", "num", 0, "x >= y", "Whether x is greater than or equal to y."),
    BITS("and", "bool", OP_COMMUTES, "x & y", "bool", "Logical and."),
    BITS("or", "bool", OP_COMMUTES, "x | y", "bool", "Logical or."),
    BITS("xor", "bool", OP_COMMUTES, "x ^ y", "bool", "Exclusive or."),
    BITS("bit_and", "int", OP_COMMUTES, "x & y", "u8", "Bitwise and."),
    BITS("bit_or", "int", OP_COMMUTES, "x | y", "u8", "Bitwise or."),
    BITS("bit_xor", "int", OP_COMMUTES, "x ^ y", "u8", "Bitwise exclusive or."),
    BITS("shift_left", "int", 0, "x << y", "u32", "x shifted left by y bits; 0 if y is the width or more."),
    BITS("shift_right", "int", 0, "x >> y", "u32", "x shifted right by y bits; signed types keep the sign."),
    {.name = "not",
     .group = "logic",
     .ins = "x:T",
     .outs = "T",
     .t = "bool",
     .expr = "!x",
     .doc = "Logical negation.",
     .sample = "not(bool[2,3])"},
    {.name = "bit_not",
     .group = "logic",
     .ins = "x:T",
     .outs = "T",
     .t = "int",
     .expr = "!x",
     .doc = "Every bit inverted.",
     .sample = "bit_not(i32[2,3])"},
    {.name = "where",
     .group = "logic",
     .ins = "cond:bool, x:T, y:T",
     .outs = "T",
     .t = "any",
     .define = where_define,
     .doc = "x where cond holds, else y.",
     .sample = "where(bool[2,3], f32[3], f32[])"},
    {.name = "isnan",
     .group = "logic",
     .ins = "x:T",
     .outs = "bool",
     .t = "float",
     .expr = "x != x",
     .doc = "Whether x is not a number.",
     .sample = "isnan(f32[2,3])"},
    {.name = "isinf",
     .group = "logic",
     .ins = "x:T",
     .outs = "bool",
     .t = "float",
     .attrs = "positive:bool=true, negative:bool=true",
     .define = isinf_define,
     .doc = "Whether x is infinite, of the signs asked for.",
     .sample = "isinf(f32[2,3]); isinf(f32[2], negative=false)"},
    {.name = "cast",
     .group = "types",
     .ins = "x:T",
     .outs = "=dtype",
     .t = "any",
     .attrs = "dtype:dtype",
     .define = cast_define,
     .doc =
         "x as another element type. Float to integer truncates and saturates (NaN gives 0); integers wrap; "
         "to bool asks whether x is not 0.",
     .sample = "cast(f32[2,3], dtype=i8); cast(i64[3], dtype=bool); cast(bool[3], dtype=f16)"},
    {.name = "bitcast",
     .group = "types",
     .ins = "x:T",
     .outs = "=dtype",
     .t = "num",
     .attrs = "dtype:dtype",
     .infer = bitcast_infer,
     .define = bitcast_define,
     .doc = "The bits of x taken as an element type of the same width.",
     .sample = "bitcast(f32[2,3], dtype=i32)"},
    {.name = "identity",
     .group = "types",
     .ins = "x:T",
     .outs = "T",
     .t = "any",
     .flags = OP_VIEW,
     .define = identity_define,
     .doc = "x itself.",
     .sample = "identity(f32[2,3])"},
    {0},
};
