// onnx_ops_linear.c: ONNX operators that are matrix products.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

static bool matmul(Call *c) {
  return ret(c, 0, make_binary(c, "matmul", arg(c, 0), arg(c, 1)));
}

Value *make_scaled(Call *c, Value *v, double by) {
  return by == 1 ? v : make_binary(c, "mul", v, make_like(c, v, by));
}

// alpha * A' * B' + beta * C, where the marks stand for optional transposition.
static bool gemm(Call *c) {
  double alpha = attr_f(c, "alpha", 1), beta = attr_f(c, "beta", 1);
  Value *bias = arg_opt(c, 2);
  Attr attrs[] = {A_BOOL("transpose_x", attr_i(c, "transA", 0)),
                  A_BOOL("transpose_w", attr_i(c, "transB", 0))};
  if (bias && beta != 0) bias = make_scaled(c, bias, beta);
  if (bias && beta == 0) bias = NULL;
  if (alpha == 1) return ret(c, 0, make(c, "linear", IN(arg(c, 0), arg(c, 1), bias), attrs, 2));
  Value *y = make_scaled(c, make(c, "linear", IN(arg(c, 0), arg(c, 1), NULL), attrs, 2), alpha);
  return ret(c, 0, bias ? make_binary(c, "add", y, bias) : y);
}

static bool matmul_integer(Call *c) {
  return ret(c, 0,
             make(c, "matmul_integer", IN(arg(c, 0), arg(c, 1), arg_opt(c, 2), arg_opt(c, 3)), NO_ATTRS));
}

// Letters stand for dimensions; ONNX allows blanks and upper case as numpy does.
static bool einsum(Call *c) {
  Value **v = NEW_ARRAY(call_arena(c), Value *, c->nin + 1);
  for (int i = 0; i < c->nin; i++) v[i] = arg(c, i);
  Attr equation = A_STRING("equation", attr_s(c, "equation", ""));
  return ret(c, 0, make(c, "einsum", v, c->nin, &equation, 1));
}

const OnnxOp ONNX_OPS_LINEAR[] = {
    {"", "MatMul", matmul, NULL},
    {"", "Gemm", gemm, NULL},
    {"", "MatMulInteger", matmul_integer, NULL},
    {"", "Einsum", einsum, NULL},
    {0},
};
