// scalar.c: the meaning of every scalar operation, shared by constant folding and the evaluator.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"

#include <math.h>

// ---- values of a dtype ----------------------------------------------------------------------------------

int64_t int_wrap(DType t, int64_t v) {
  switch (t) {
  case DT_BOOL: return v != 0;
  case DT_I8: return (int8_t)v;
  case DT_U8: return (uint8_t)v;
  case DT_I16: return (int16_t)v;
  case DT_U16: return (uint16_t)v;
  case DT_I32: return (int32_t)v;
  case DT_U32: return (uint32_t)v;
  default: return v;
  }
}

// 16-bit floats are rounded by way of f32, as the generated code does.
double float_round(DType t, double v) {
  switch (t) {
  case DT_F16: return f16_to_f32(f16_from_f32((float)v));
  case DT_BF16: return bf16_to_f32(bf16_from_f32((float)v));
  case DT_F32: return (float)v;
  default: return v;
  }
}

// Truncates towards zero, saturates at the ends of t, NaN gives 0. To bool: whether it is not zero.
static int64_t int_from_float(DType t, double v) {
  if (t == DT_BOOL) return v != 0;
  if (isnan(v)) return 0;
  if (t == DT_U64) return v >= 0x1p64 ? -1 : v > 0 ? (int64_t)(uint64_t)v : 0;
  if (t == DT_I64) return v >= 0x1p63 ? INT64_MAX : v < -0x1p63 ? INT64_MIN : (int64_t)v;
  Range r = range_of_dtype(t);
  return v >= (double)r.hi ? r.hi : v <= (double)r.lo ? r.lo : (int64_t)v;
}

// From integers straight to f32: by way of f64 it would be rounded twice.
static double float_from_int(DType from, DType to, int64_t v) {
  if (to == DT_F64) return from == DT_U64 ? (double)(uint64_t)v : (double)v;
  return float_round(to, from == DT_U64 ? (float)(uint64_t)v : (float)v);
}

Scalar scalar_cast(DType from, DType to, Scalar v) {
  bool ff = dtype_is_float(from), tf = dtype_is_float(to);
  if (ff) return tf ? (Scalar){.f = float_round(to, v.f)} : (Scalar){.i = int_from_float(to, v.f)};
  return tf ? (Scalar){.f = float_from_int(from, to, v.i)} : (Scalar){.i = int_wrap(to, v.i)};
}

Scalar scalar_bitcast(DType from, DType to, Scalar v) {
  char bytes[8] = {0};
  scalar_store(from, bytes, v);
  return scalar_load(to, bytes);
}

Scalar scalar_load(DType t, const void *p) {
#define LOAD(ctype, field, convert)                                                                          \
  do {                                                                                                       \
    ctype x;                                                                                                 \
    memcpy(&x, p, sizeof x);                                                                                 \
    return (Scalar){.field = convert(x)};                                                                    \
  } while (0)
  switch (t) {
  case DT_BOOL: LOAD(uint8_t, i, !!);
  case DT_I8: LOAD(int8_t, i, );
  case DT_U8: LOAD(uint8_t, i, );
  case DT_I16: LOAD(int16_t, i, );
  case DT_U16: LOAD(uint16_t, i, );
  case DT_I32: LOAD(int32_t, i, );
  case DT_U32: LOAD(uint32_t, i, );
  case DT_F16: LOAD(uint16_t, f, f16_to_f32);
  case DT_BF16: LOAD(uint16_t, f, bf16_to_f32);
  case DT_F32: LOAD(float, f, );
  case DT_F64: LOAD(double, f, );
  default: LOAD(int64_t, i, );
  }
#undef LOAD
}

void scalar_store(DType t, void *p, Scalar v) {
#define STORE(ctype, value)                                                                                  \
  do {                                                                                                       \
    ctype x = (ctype)(value);                                                                                \
    memcpy(p, &x, sizeof x);                                                                                 \
    return;                                                                                                  \
  } while (0)
  switch (t) {
  case DT_BOOL: STORE(uint8_t, v.i != 0);
  case DT_I8:
  case DT_U8: STORE(uint8_t, v.i);
  case DT_I16:
  case DT_U16: STORE(uint16_t, v.i);
  case DT_I32:
  case DT_U32: STORE(uint32_t, v.i);
  case DT_F16: STORE(uint16_t, f16_from_f32((float)v.f));
  case DT_BF16: STORE(uint16_t, bf16_from_f32((float)v.f));
  case DT_F32: STORE(float, v.f);
  case DT_F64: STORE(double, v.f);
  default: STORE(int64_t, v.i);
  }
#undef STORE
}

// ---- integers -------------------------------------------------------------------------------------------

static bool is_unsigned64(DType t) {
  return t == DT_U64;
}

// Division family. INT64_MIN / -1 wraps to itself, anything by 0 is 0.
static int64_t int_divide(ExprOp op, DType t, int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (is_unsigned64(t)) {
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    return (int64_t)(op == E_DIV || op == E_FDIV ? x / y : x % y);
  }
  if (b == -1) return op == E_DIV || op == E_FDIV ? (int64_t)(0 - (uint64_t)a) : 0;
  int64_t q = a / b, r = a % b;
  bool inexact_negative = r != 0 && (r < 0) != (b < 0);
  switch (op) {
  case E_DIV: return q;
  case E_FDIV: return q - inexact_negative;
  case E_REM: return r;
  default: return inexact_negative ? r + b : r; // E_MOD
  }
}

static int64_t int_power(DType t, int64_t a, int64_t b) {
  bool sgn = dtype_class(t) == 's';
  if (sgn && b < 0) return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0; // 1 / a^-b truncated; 1/0 is 0
  uint64_t r = 1, x = (uint64_t)a;
  for (uint64_t n = (uint64_t)b; n; n >>= 1, x *= x)
    if (n & 1) r *= x;
  return (int64_t)r;
}

static int64_t int_shift(ExprOp op, DType t, int64_t a, int64_t b) {
  bool over = (uint64_t)b >= (uint64_t)dtype_bytes(t) * 8;
  if (op == E_SHL) return over ? 0 : (int64_t)((uint64_t)a << b);
  if (dtype_class(t) == 's') return a >> (over ? 63 : b);
  return over ? 0 : (int64_t)((uint64_t)a >> b);
}

static bool int_less(DType t, int64_t a, int64_t b) {
  return is_unsigned64(t) ? (uint64_t)a < (uint64_t)b : a < b;
}

static int64_t int_popcount(DType t, int64_t a) {
  int bits = dtype_bytes(t) * 8;
  uint64_t mask = bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
  return __builtin_popcountll((uint64_t)a & mask);
}

static int64_t byte_of(int64_t x, int i) {
  return x >> 8 * i & 255;
}

static int64_t halves(int64_t high, int64_t low) {
  return (int32_t)((uint32_t)high << 16 | (uint16_t)low);
}

// Half `i` of E_DOT8.
static int64_t half_dot8(int64_t a, int64_t b, int i) {
  int64_t sum =
      byte_of(a, 2 * i) * (int8_t)byte_of(b, 2 * i) + byte_of(a, 2 * i + 1) * (int8_t)byte_of(b, 2 * i + 1);
  return sum < INT16_MIN ? INT16_MIN : sum > INT16_MAX ? INT16_MAX : sum;
}

static bool int_op(ExprOp op, DType t, const Scalar *arg, int64_t *out) {
  int64_t a = arg[0].i, b = arg[1].i;
  switch (op) {
  case E_NEG: return *out = (int64_t)(0 - (uint64_t)a), true;
  case E_NOT: return *out = t == DT_BOOL ? !a : ~a, true;
  case E_ABS: return *out = int_less(t, a, 0) && !is_unsigned64(t) ? (int64_t)(0 - (uint64_t)a) : a, true;
  case E_FLOOR:
  case E_CEIL:
  case E_TRUNC:
  case E_ROUND: return *out = a, true;
  case E_POPCOUNT: return *out = int_popcount(t, a), true;
  case E_ADD: return *out = (int64_t)((uint64_t)a + (uint64_t)b), true;
  case E_SUB: return *out = (int64_t)((uint64_t)a - (uint64_t)b), true;
  case E_MUL: return *out = (int64_t)((uint64_t)a * (uint64_t)b), true;
  case E_DIV:
  case E_FDIV:
  case E_MOD:
  case E_REM: return *out = int_divide(op, t, a, b), true;
  case E_MIN: return *out = int_less(t, a, b) ? a : b, true;
  case E_MAX: return *out = int_less(t, a, b) ? b : a, true;
  case E_POW: return *out = int_power(t, a, b), true;
  case E_AND: return *out = a & b, true;
  case E_OR: return *out = a | b, true;
  case E_XOR: return *out = a ^ b, true;
  case E_SHL:
  case E_SHR: return *out = int_shift(op, t, a, b), true;
  case E_DOT16: return *out = (int64_t)(int16_t)a * (int16_t)b + (a >> 16) * (b >> 16), t == DT_I32;
  case E_DOT8: return *out = halves(half_dot8(a, b, 1), half_dot8(a, b, 0)), t == DT_I32;
  case E_ADD16: return *out = halves((a >> 16) + (b >> 16), a + b), t == DT_I32;
  case E_FMA: return *out = (int64_t)((uint64_t)a * (uint64_t)b + (uint64_t)arg[2].i), true;
  default: return false;
  }
}

static bool int_compare(ExprOp op, DType t, int64_t a, int64_t b) {
  switch (op) {
  case E_EQ: return a == b;
  case E_NE: return a != b;
  case E_LT: return int_less(t, a, b);
  default: return !int_less(t, b, a);
  }
}

// ---- floats ---------------------------------------------------------------------------------------------

static double float_mod(double a, double b) {
  double r = fmod(a, b);
  if (r != 0) return (r < 0) != (b < 0) ? r + b : r;
  return copysign(r, b);
}

static double float_pick(bool max, double a, double b) {
  if (isnan(a) || isnan(b)) return NAN;
  return (max ? a > b : a < b) ? a : b;
}

static double float_unary(ExprOp op, double a) {
  switch (op) {
  case E_NEG: return -a;
  case E_ABS: return fabs(a);
  case E_SQRT: return sqrt(a);
  case E_EXP: return exp(a);
  case E_LOG: return log(a);
  case E_EXPM1: return expm1(a);
  case E_LOG1P: return log1p(a);
  case E_SIN: return sin(a);
  case E_COS: return cos(a);
  case E_TAN: return tan(a);
  case E_ASIN: return asin(a);
  case E_ACOS: return acos(a);
  case E_ATAN: return atan(a);
  case E_SINH: return sinh(a);
  case E_COSH: return cosh(a);
  case E_TANH: return tanh(a);
  case E_ASINH: return asinh(a);
  case E_ACOSH: return acosh(a);
  case E_ATANH: return atanh(a);
  case E_ERF: return erf(a);
  case E_FLOOR: return floor(a);
  case E_CEIL: return ceil(a);
  case E_TRUNC: return trunc(a);
  default: return nearbyint(a); // E_ROUND, in the default rounding mode
  }
}

static double float_binary(ExprOp op, double a, double b) {
  switch (op) {
  case E_ADD: return a + b;
  case E_SUB: return a - b;
  case E_MUL: return a * b;
  case E_DIV: return a / b;
  case E_MOD: return float_mod(a, b);
  case E_REM: return fmod(a, b);
  case E_MIN:
  case E_MAX: return float_pick(op == E_MAX, a, b);
  case E_POW: return pow(a, b);
  default: return atan2(a, b); // E_ATAN2
  }
}

// f32 results are computed in f64 and rounded: for + - * / and sqrt that is the correctly rounded result,
// as 53 bits are more than twice 24 and two; for the others nearly always.
static bool float_op(ExprOp op, DType t, const Scalar *arg, double *out) {
  if (op >= E_NEG && op <= E_ROUND && op != E_NOT)
    return *out = float_round(t, float_unary(op, arg[0].f)), true;
  if (op == E_FMA) {
    double r = t == DT_F64 ? fma(arg[0].f, arg[1].f, arg[2].f)
                           : fmaf((float)arg[0].f, (float)arg[1].f, (float)arg[2].f);
    return *out = float_round(t, r), true;
  }
  bool defined = (op >= E_ADD && op <= E_ATAN2) && op != E_FDIV;
  if (defined) *out = float_round(t, float_binary(op, arg[0].f, arg[1].f));
  return defined;
}

static bool float_compare(ExprOp op, double a, double b) {
  switch (op) {
  case E_EQ: return a == b;
  case E_NE: return a != b;
  case E_LT: return a < b;
  default: return a <= b;
  }
}

bool scalar_op(ExprOp op, DType t, const Scalar *arg, Scalar *out) {
  bool flt = dtype_is_float(t);
  if (op >= E_EQ && op <= E_LE) {
    *out =
        (Scalar){.i = flt ? float_compare(op, arg[0].f, arg[1].f) : int_compare(op, t, arg[0].i, arg[1].i)};
    return true;
  }
  if (flt) return float_op(op, t, arg, &out->f);
  if (!int_op(op, t, arg, &out->i)) return false;
  out->i = int_wrap(t, out->i);
  return true;
}
