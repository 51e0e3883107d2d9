// onnx_ops_quant.c: ONNX operators on quantised numbers.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_windows.h"

// A parameter with a single element is a scalar, whatever its rank.
Value *scalar_if_one(Call *c, Value *v) {
  bool one = v && rank_of(v) > 0 && type_is_static(&v->type) && type_elements(&v->type) == 1;
  return one ? make_reshape(c, v, NULL, 0) : v;
}

// A scale in the place where it can be multiplied with x: scalar, or one number per index along `axis`, or one
// per block.
static Value *spread(Call *c, Value *v, const Value *x, int axis, int64_t block) {
  v = scalar_if_one(c, v);
  if (rank_of(v) == 1 && rank_of(x) > 1) return make_unsqueeze_last(c, v, rank_of(x) - axis - 1);
  if (rank_of(v) != rank_of(x) || block == 0) return v;
  Dim split[MAX_RANK + 1], whole[MAX_RANK];
  for (int d = 0, to = 0; d < rank_of(x); d++) {
    whole[d] = dim_of(x, d);
    split[to++] = dim_of(v, d);
    if (d == axis) split[to++] = dim_const(block);
  }
  if (rank_of(x) + 1 > MAX_RANK) return call_fail(c, "too many dimensions for blocks"), v;
  int64_t axes[] = {axis + 1};
  v = make(c, "unsqueeze", IN(v), ATTRS(A_INTS("axes", axes, 1)));
  v = make(c, "broadcast", IN(v), ATTRS(A_SHAPE("shape", split, rank_of(x) + 1)));
  Dim joined[MAX_RANK];
  for (int d = 0; d < rank_of(x); d++)
    joined[d] = d == axis ? dim_binary(call_ctx(c), E_MUL, split[d], dim_const(block)) : whole[d];
  v = make_reshape(c, v, joined, rank_of(x));
  return dim_equal(joined[axis], whole[axis]) ? v : make_slice(c, v, axis, 0, whole[axis].n);
}

// The element type of the result of QuantizeLinear.
static int32_t quantized_elem(Call *c) {
  int64_t given = attr_i(c, "output_dtype", 0);
  if (given) return (int32_t)given;
  return has_arg(c, 2) ? arg_elem(c, 2) : ONNX_UINT8;
}

// Floats of a byte or less have no zero point to speak of: x / scale + zero, rounded to the format.
static bool quantize_small_float(Call *c, Value *x, int axis, int32_t elem) {
  int64_t block = attr_i(c, "block_size", 0);
  Value *y = make_cast(c, x, DT_F32), *zero = arg_opt(c, 2);
  y = make_binary(c, "div", y, spread(c, make_cast(c, arg(c, 1), DT_F32), x, axis, block));
  if (zero) y = make_binary(c, "add", y, spread(c, zero, x, axis, block));
  return ret_as(c, 0, make_small(c, y, elem, attr_i(c, "saturate", 1)), elem);
}

// What saturates to 8 bits and then to fewer is the same as what saturates to fewer at once.
static Value *saturate_bits(Call *c, Value *v, int32_t elem) {
  int bits = onnx_small_bits(elem);
  if (!bits) return v;
  bool with_sign = v->type.dtype == DT_I8;
  double lo = with_sign ? -(1 << (bits - 1)) : 0, hi = with_sign ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
  return make(c, "clip", IN(v, make_like(c, v, lo), make_like(c, v, hi)), NO_ATTRS);
}

static int quant_axis(Call *c, const Value *x) {
  return rank_of(x) > 0 && rank_of(arg(c, 1)) > 0 ? axis_of(c, attr_i(c, "axis", 1), rank_of(x)) : 0;
}

static bool one_element(const Value *v) {
  return type_is_static(&v->type) && type_elements(&v->type) == 1;
}

static bool quantize_linear(Call *c) {
  Value *x = arg(c, 0), *scale = arg(c, 1), *zero = arg_opt(c, 2);
  int32_t elem = quantized_elem(c);
  int axis = one_element(scale) ? 0 : quant_axis(c, x);
  if (onnx_small_bits(elem) && onnx_dtype(elem) == DT_F32) return quantize_small_float(c, x, axis, elem);
  if (onnx_dtype(elem) == DT_NONE)
    return call_fail(c, "a result of type %s is not supported", onnx_elem_name(elem));
  Attr attrs[] = {A_INT("axis", axis), A_INT("block", attr_i(c, "block_size", 0)),
                  A_DTYPE("dtype", onnx_dtype(elem))};
  Value *y = make(c, "quantize_linear", IN(x, scalar_if_one(c, scale), scalar_if_one(c, zero)), attrs, 3);
  return ret_as(c, 0, saturate_bits(c, y, elem), elem);
}

static bool dequantize_linear(Call *c) {
  Value *x = arg(c, 0), *scale = arg(c, 1), *zero = arg_opt(c, 2);
  int64_t block = attr_i(c, "block_size", 0), to = attr_i(c, "output_dtype", 0);
  int axis = one_element(scale) ? 0 : quant_axis(c, x);
  Value *y;
  if (dtype_is_float(x->type.dtype)) { // floats of a byte or less
    DType t = scale->type.dtype;
    y = make_cast(c, x, t);
    if (zero) y = make_binary(c, "sub", y, spread(c, make_cast(c, zero, t), x, axis, block));
    y = make_binary(c, "mul", y, spread(c, scale, x, axis, block));
  } else {
    Attr attrs[] = {A_INT("axis", axis), A_INT("block", block)};
    y = make(c, "dequantize_linear", IN(x, scalar_if_one(c, scale), scalar_if_one(c, zero)), attrs, 2);
  }
  return ret(c, 0, to ? make_cast(c, y, onnx_dtype((int32_t)to)) : y);
}

static bool dynamic_quantize_linear(Call *c) {
  Value **out = make_all(c, "dynamic_quantize_linear", IN(arg(c, 0)), NO_ATTRS, 3);
  return ret(c, 0, out[0]) && ret(c, 1, out[1]) && ret(c, 2, out[2]);
}

// ---- operators on quantised operands ----------------------------------------------------------------------------

// acc (i32) * scale, quantised with the result's scale and zero point.
static Value *requantize(Call *c, Value *acc, Value *scale, Value *y_scale, Value *y_zero) {
  Value *y = make_binary(c, "mul", make_cast(c, acc, scale->type.dtype), scale);
  y_zero = scalar_if_one(c, y_zero);
  Attr dtype = A_DTYPE("dtype", y_zero->type.dtype);
  return make(c, "quantize_linear", IN(y, scalar_if_one(c, y_scale), y_zero), &dtype, 1);
}

static bool qlinear_conv(Call *c) {
  Value *x = arg(c, 0), *weights = arg(c, 3);
  Windows w;
  Attr attrs[4];
  if (c->failed || !windows_kernel(c, x, weights, &w) || !windows_read(c, x, &w)) return false;
  windows_attrs(&w, attrs);
  attrs[3] = A_INT("groups", attr_i(c, "group", 1));
  Value *x_zero = scalar_if_one(c, arg(c, 2)), *w_zero = scalar_if_one(c, arg(c, 5)), *bias = arg_opt(c, 8);
  Value *acc = make(c, "conv_integer", IN(x, weights, x_zero, w_zero), attrs, 4);
  if (bias) acc = make_binary(c, "add", acc, make_unsqueeze_last(c, bias, w.n));
  Value *w_scale = scalar_if_one(c, arg(c, 4));
  if (rank_of(w_scale) == 1) w_scale = make_unsqueeze_last(c, w_scale, w.n);
  Value *scale = make_binary(c, "mul", scalar_if_one(c, arg(c, 1)), w_scale);
  return ret(c, 0, requantize(c, acc, scale, arg(c, 6), arg(c, 7)));
}

// Scales of one number per row of the left operand stand in a column.
static Value *row_scale(Call *c, Value *v) {
  v = scalar_if_one(c, v);
  return rank_of(v) == 1 ? make_unsqueeze_last(c, v, 1) : v;
}

static bool qlinear_matmul(Call *c) {
  Value *a = arg(c, 0), *b = arg(c, 3), *a_zero = scalar_if_one(c, arg(c, 2)),
        *b_zero = scalar_if_one(c, arg(c, 5));
  Value *acc = make(c, "matmul_integer", IN(a, b, a_zero, b_zero), NO_ATTRS);
  Value *scale = make_binary(c, "mul", row_scale(c, arg(c, 1)), scalar_if_one(c, arg(c, 4)));
  return ret(c, 0, requantize(c, acc, scale, arg(c, 6), arg(c, 7)));
}

const OnnxOp ONNX_OPS_QUANT[] = {
    {"", "QuantizeLinear", quantize_linear, NULL},
    {"", "DequantizeLinear", dequantize_linear, NULL},
    {"", "DynamicQuantizeLinear", dynamic_quantize_linear, NULL},
    {"", "QLinearConv", qlinear_conv, NULL},
    {"", "QLinearMatMul", qlinear_matmul, NULL},
    {0},
};
