// math_log.c: logarithms and the inverse hyperbolic functions.
// SPDX-License-Identifier: Apache-2.0
//
// x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2); log x = k ln 2 + log(1 + f).
#include "codegen/math.h"

static const double sqrt_half = 0x1.6a09e667f3bcdp-1;

// The exponent k of u, by its bits.
static LLVMValueRef exponent(Gen *g, LLVMValueRef u) {
  LLVMValueRef bits = m_bits(g, u), from = m_bits(g, num(u, sqrt_half));
  return LLVMBuildAShr(g->b, LLVMBuildSub(g->b, bits, from, ""), gen_int(bits, math_format(u)->mantissa), "");
}

// u 2^-k for a u of exponent k.
static LLVMValueRef mantissa(Gen *g, LLVMValueRef u, LLVMValueRef k) {
  LLVMValueRef shifted = LLVMBuildShl(g->b, k, gen_int(k, math_format(u)->mantissa), "");
  return m_from_bits(g, LLVMBuildSub(g->b, m_bits(g, u), shifted, ""), u);
}

// f32: f - f^2/2 + f^3 P(f). f64: by s = f / (2 + f) and atanh's series, log(1+f) = f - (h - s (h + R)) with
// h = f^2/2 and R = 2 s^2 A(s^2). The exponent's share joins where it disturbs least.
static LLVMValueRef log_of(Gen *g, LLVMValueRef f, LLVMValueRef k) {
  const Format *fmt = math_format(f);
  LLVMValueRef e = LLVMBuildSIToFP(g->b, k, LLVMTypeOf(f), "");
  LLVMValueRef h = m_mul(g, m_mul(g, f, f), num(f, 0.5)), tail;
  if (is_f64(f)) {
    LLVMValueRef s = m_div(g, f, m_add(g, f, num(f, 2))), z = m_mul(g, s, s);
    LLVMValueRef poly = M_POLY(g, z, atanh_f64), r = m_mul(g, m_add(g, z, z), poly);
    tail = m_mul(g, s, m_add(g, h, r));
  } else {
    LLVMValueRef poly = M_POLY(g, f, log_f32);
    tail = m_mul(g, m_mul(g, f, m_mul(g, f, f)), poly);
  }
  tail = m_fma_num(g, e, fmt->ln2_lo, tail);
  LLVMValueRef rest = m_sub(g, f, m_sub(g, h, tail));
  return m_fma_num(g, e, fmt->ln2_hi, rest);
}

// Logarithms at and beyond the ends: below `zero` NaN, at it -inf, infinite for infinite x, NaN for NaN.
static LLVMValueRef log_ends(Gen *g, LLVMValueRef x, double zero, LLVMValueRef r) {
  double inf = __builtin_inf();
  r = m_select(g, m_compare(g, LLVMRealOLT, x, inf), r, x); // inf and NaN
  r = m_select(g, m_compare(g, LLVMRealOLT, x, zero), num(x, __builtin_nan("")), r);
  return m_select(g, m_compare(g, LLVMRealOEQ, x, zero), num(x, -inf), r);
}

LLVMValueRef math_log(Gen *g, LLVMValueRef x) {
  const Format *fmt = math_format(x);
  LLVMValueRef tiny = m_compare(g, LLVMRealOLT, x, fmt->smallest_normal);
  int up = fmt->mantissa + 1; // denormals are scaled into the normal range
  LLVMValueRef u = m_select(g, tiny, m_mul(g, x, num(x, __builtin_ldexp(1, up))), x);
  LLVMValueRef k = exponent(g, u), f = m_sub(g, mantissa(g, u, k), num(x, 1));
  LLVMValueRef less = LLVMBuildSub(g->b, k, gen_int(k, up), "");
  return log_ends(g, x, 0, log_of(g, f, m_select(g, tiny, less, k)));
}

// With k of 1 + x: f = x 2^-k + (2^-k - 1), rounded once, so that nothing of a small x is lost. From 2^40 (2^60)
// on the 1 does not matter.
LLVMValueRef math_log1p(Gen *g, LLVMValueRef x) {
  LLVMValueRef one = num(x, 1), u = m_add(g, x, one), k = exponent(g, u);
  LLVMValueRef p = m_power_of_two(g, LLVMBuildNeg(g->b, k, ""), x);
  LLVMValueRef f = m_fma(g, x, p, m_sub(g, p, one));
  LLVMValueRef huge = LLVMBuildICmp(g->b, LLVMIntSGT, k, gen_int(k, is_f64(x) ? 60 : 40), "");
  f = m_select(g, huge, m_sub(g, mantissa(g, u, k), one), f);
  LLVMValueRef r = log_ends(g, x, -1, log_of(g, f, k));
  return m_select(g, m_compare(g, LLVMRealOEQ, x, 0), x, r); // keeps -0
}

// log1p(a + a^2 / (1 + sqrt(1 + a^2))); of large a, where the square would overflow, log(a) + ln 2.
LLVMValueRef math_asinh(Gen *g, LLVMValueRef x) {
  LLVMValueRef a = m_abs(g, x), z = m_mul(g, a, a), one = num(x, 1);
  LLVMValueRef root = m_sqrt(g, m_add(g, z, one));
  LLVMValueRef r = math_log1p(g, m_add(g, a, m_div(g, z, m_add(g, root, one))));
  LLVMValueRef large = m_add(g, math_log(g, a), num(x, 0x1.62e42fefa39efp-1));
  r = m_select(g, m_compare(g, LLVMRealOGT, a, 0x1p28), large, r);
  return m_sign_of(g, r, x);
}

// log1p(t + sqrt(2t + t^2)) with t = x - 1.
LLVMValueRef math_acosh(Gen *g, LLVMValueRef x) {
  LLVMValueRef t = m_sub(g, x, num(x, 1));
  LLVMValueRef root = m_sqrt(g, m_mul(g, t, m_add(g, t, num(x, 2))));
  LLVMValueRef r = math_log1p(g, m_add(g, t, root));
  LLVMValueRef large = m_add(g, math_log(g, x), num(x, 0x1.62e42fefa39efp-1));
  r = m_select(g, m_compare(g, LLVMRealOGT, x, 0x1p28), large, r);
  return m_select(g, m_compare(g, LLVMRealOLT, x, 1), num(x, __builtin_nan("")), r);
}

// log1p(2a / (1 - a)) / 2
LLVMValueRef math_atanh(Gen *g, LLVMValueRef x) {
  LLVMValueRef a = m_abs(g, x);
  LLVMValueRef below = m_sub(g, num(x, 1), a), q = m_div(g, m_add(g, a, a), below);
  return m_sign_of(g, m_mul(g, math_log1p(g, q), num(x, 0.5)), x);
}
