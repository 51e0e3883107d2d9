// onnx_small.c: rounding to the element types that the IR keeps in wider ones: floats and integers of a byte or less.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

#include <math.h>

// A float format of a byte or less: its smallest normal exponent, bits of mantissa and greatest value, and
// what becomes of larger values and infinities when they do not saturate.
typedef struct SmallFloat {
  int min_exponent, mantissa;
  double max;
  double overflow; // without saturation
  bool no_nan;     // the format has none: 0 stands for it
} SmallFloat;

static const SmallFloat *small_float(int32_t elem) {
  static const SmallFloat e4m3fn = {-6, 3, 448, NAN, false}, e4m3fnuz = {-7, 3, 240, NAN, false},
                          e5m2 = {-14, 2, 57344, INFINITY, false}, e5m2fnuz = {-15, 2, 57344, NAN, false},
                          e2m1 = {0, 1, 6, 6, true};
  switch (elem) {
  case ONNX_FLOAT8E4M3FN: return &e4m3fn;
  case ONNX_FLOAT8E4M3FNUZ: return &e4m3fnuz;
  case ONNX_FLOAT8E5M2: return &e5m2;
  case ONNX_FLOAT8E5M2FNUZ: return &e5m2fnuz;
  case ONNX_FLOAT4E2M1: return &e2m1;
  default: return NULL;
  }
}

static Value *i32(Call *c, double v) {
  return make_scalar(c, DT_I32, v);
}

static Value *f32(Call *c, double v) {
  return make_scalar(c, DT_F32, v);
}

// The distance of the format's numbers around x: 2 to the power of x's exponent less the mantissa's bits.
static Value *spacing(Call *c, const SmallFloat *f, Value *x) {
  Value *bits = make(c, "bitcast", IN(x), ATTRS(A_DTYPE("dtype", DT_I32)));
  Value *exponent = make_binary(c, "bit_and", make_binary(c, "shift_right", bits, i32(c, 23)), i32(c, 255));
  exponent = make_binary(c, "max", exponent, i32(c, f->min_exponent + 127));
  exponent = make_binary(c, "sub", exponent, i32(c, f->mantissa));
  exponent = make_binary(c, "shift_left", exponent, i32(c, 23));
  return make(c, "bitcast", IN(exponent), ATTRS(A_DTYPE("dtype", DT_F32)));
}

static Value *sign_like(Call *c, Value *magnitude, Value *x) {
  Value *negative = make_binary(c, "less", x, f32(c, 0));
  return make(c, "where", IN(negative, make_unary(c, "neg", magnitude), magnitude), NO_ATTRS);
}

// x (f32) rounded to the nearest number of the format, ties to even.
static Value *round_float(Call *c, const SmallFloat *f, Value *x, bool saturate) {
  Value *step = spacing(c, f, x);
  Value *y = make_binary(c, "mul", make_unary(c, "round", make_binary(c, "div", x, step)), step);
  Value *too_big = make_binary(c, "greater", make_unary(c, "abs", y), f32(c, f->max));
  Value *limit = sign_like(c, f32(c, saturate ? f->max : f->overflow), x);
  y = make(c, "where", IN(too_big, limit, y), NO_ATTRS);
  return f->no_nan ? make(c, "where", IN(make_unary(c, "isnan", x), f32(c, 0), y), NO_ATTRS) : y;
}

// A power of two, in the exponent alone. Rounds up, down or to the nearest; NaN and negative ones are NaN.
static Value *round_power(Call *c, Value *x, const char *mode) {
  Value *bits = make(c, "bitcast", IN(make_unary(c, "abs", x)), ATTRS(A_DTYPE("dtype", DT_I32)));
  double more = strcmp(mode, "down") == 0 ? 0 : strcmp(mode, "nearest") == 0 ? 0x400000 : 0x7fffff;
  bits = make_binary(c, "add", bits, i32(c, more));
  bits = make_binary(c, "min", make_binary(c, "bit_and", bits, i32(c, 0x7f800000)), i32(c, 0x7f000000));
  Value *y = make(c, "bitcast", IN(bits), ATTRS(A_DTYPE("dtype", DT_F32)));
  return make(c, "where", IN(make_unary(c, "isnan", x), x, y), NO_ATTRS);
}

// The low bits of an integer, with their sign.
static Value *wrap_bits(Call *c, Value *x, int bits, DType t) {
  if (dtype_is_float(x->type.dtype)) x = make_cast(c, x, DT_I32); // a cast to fewer bits would saturate
  x = make_cast(c, x, t);
  Value *shift = make_like(c, x, 8 - bits);
  return make_binary(c, "shift_right", make_binary(c, "shift_left", x, shift), shift);
}

Value *make_small(Call *c, Value *x, int32_t to, bool saturate) {
  DType t = onnx_dtype(to);
  if (t != DT_F32) return wrap_bits(c, x, onnx_small_bits(to), t);
  x = make_cast(c, x, DT_F32);
  if (to == ONNX_FLOAT8E8M0) return round_power(c, x, attr_s(c, "round_mode", "up"));
  return round_float(c, small_float(to), x, saturate);
}

bool cast_small(Call *c, int32_t to) {
  Value *x = arg(c, 0);
  if (!onnx_small_bits(to)) return ret_as(c, 0, make_cast(c, x, onnx_dtype(to)), to);
  return ret_as(c, 0, make_small(c, x, to, attr_i(c, "saturate", 1)), to);
}
