// math_exp.c: exp and its relatives: expm1, sinh, cosh, tanh, erf.
// SPDX-License-Identifier: Apache-2.0
//
// x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 is split in two so that the product of its head with n is exact
// (Cody and Waite). exp(r) = 1 + r + r^2 P(r).
#include <math.h>

#include "codegen/math.h"

typedef struct Reduced {
  LLVMValueRef n, r; // integer, float
} Reduced;

// x - n ln 2
static LLVMValueRef rest(Gen *g, LLVMValueRef x, LLVMValueRef n) {
  const Format *f = math_format(x);
  return m_fma_num(g, n, -f->ln2_lo, m_fma_num(g, n, -f->ln2_hi, x));
}

static Reduced reduce(Gen *g, LLVMValueRef x) {
  Reduced d;
  LLVMValueRef n = m_nearest_of(g, x, 0x1.71547652b82fep+0, &d.n);
  d.r = rest(g, x, n);
  return d;
}

// x, but at least lo; NaN stays.
static LLVMValueRef at_least(Gen *g, LLVMValueRef x, double lo) {
  return m_select(g, m_compare(g, LLVMRealOLT, x, lo), num(x, lo), x);
}

// x kept within [lo, hi]; NaN stays.
static LLVMValueRef clamp(Gen *g, LLVMValueRef x, double lo, double hi) {
  x = m_select(g, m_compare(g, LLVMRealOGT, x, hi), num(x, hi), x);
  return at_least(g, x, lo);
}

// y 2^n in two steps, so that the result may be infinite or denormal.
static LLVMValueRef scale(Gen *g, LLVMValueRef y, LLVMValueRef n) {
  LLVMValueRef half = LLVMBuildAShr(g->b, n, gen_int(n, 1), "");
  y = m_mul(g, y, m_power_of_two(g, half, y));
  return m_mul(g, y, m_power_of_two(g, LLVMBuildSub(g->b, n, half, ""), y));
}

static LLVMValueRef exp_of_rest(Gen *g, LLVMValueRef r) {
  LLVMValueRef p = is_f64(r) ? M_POLY(g, r, exp_f64) : M_POLY(g, r, exp_f32);
  LLVMValueRef tail = m_fma(g, m_mul(g, r, r), p, r);
  return m_add(g, tail, num(r, 1));
}

LLVMValueRef math_exp(Gen *g, LLVMValueRef x) {
  const Format *f = math_format(x);
  Reduced d = reduce(g, clamp(g, x, f->exp_lo, f->exp_hi));
  return scale(g, exp_of_rest(g, d.r), d.n);
}

// 2^shift exp(x) where that is normal: the number that rounds x / ln 2 to an integer leaves the biased exponent, too.
static LLVMValueRef exp_normal(Gen *g, LLVMValueRef x, int shift) {
  const Format *f = math_format(x);
  LLVMValueRef magic = num(x, f->round + f->bias + shift);
  LLVMValueRef sum = m_fma_num(g, x, 0x1.71547652b82fep+0, magic), bits = m_bits(g, sum);
  LLVMValueRef power = m_from_bits(g, LLVMBuildShl(g->b, bits, gen_int(bits, f->mantissa), ""), x);
  return m_mul(g, exp_of_rest(g, rest(g, x, m_sub(g, sum, magic))), power);
}

// In two steps, of which only the second rounds: half the range of exponents is enough below 2^0. Bias and shift are even
// together, so that halves are rounded as in math_exp.
LLVMValueRef math_exp_falling(Gen *g, LLVMValueRef x) {
  const Format *f = math_format(x);
  int shift = f->bias / 2 + 2;
  return m_mul(g, exp_normal(g, at_least(g, x, f->exp_lo), shift), num(x, ldexp(1, -shift)));
}

LLVMValueRef math_exp_coarse(Gen *g, LLVMValueRef x) {
  const Format *f = math_format(x);
  return exp_normal(g, clamp(g, x, f->exp_normal_lo, f->exp_hi), 0); // 2^(bias + 1) has the bits of infinity
}

// 2^n expm1(r) + (2^n - 1), with 2^n in two factors; below -40 the result is -1.
LLVMValueRef math_expm1(Gen *g, LLVMValueRef x) {
  const Format *f = math_format(x);
  Reduced d = reduce(g, clamp(g, x, -40, f->exp_hi));
  LLVMValueRef p = is_f64(x) ? M_POLY(g, d.r, expm1_f64) : M_POLY(g, d.r, expm1_f32);
  LLVMValueRef tail = m_fma(g, m_mul(g, d.r, d.r), p, d.r);
  LLVMValueRef half = LLVMBuildAShr(g->b, d.n, gen_int(d.n, 1), "");
  LLVMValueRef rest = LLVMBuildSub(g->b, d.n, half, "");
  LLVMValueRef a = m_power_of_two(g, rest, x), b = m_power_of_two(g, half, x);
  LLVMValueRef one = m_sub(g, a, m_power_of_two(g, LLVMBuildNeg(g->b, half, ""), x));
  return m_sign_of(g, m_mul(g, m_fma(g, a, tail, one), b), x); // keeps -0
}

// Beyond 22 the smaller exponential is below half a last place; halves keep the larger one from overflow.
static LLVMValueRef large_half_exp(Gen *g, LLVMValueRef a) {
  LLVMValueRef e = math_exp(g, m_mul(g, a, num(a, 0.5)));
  return m_mul(g, m_mul(g, e, num(e, 0.5)), e);
}

LLVMValueRef math_sinh(Gen *g, LLVMValueRef x) {
  LLVMValueRef a = m_abs(g, x), t = math_expm1(g, a);
  LLVMValueRef s = m_mul(g, m_add(g, t, m_div(g, t, m_add(g, t, num(x, 1)))), num(x, 0.5));
  LLVMValueRef large = large_half_exp(g, a);
  s = m_select(g, m_compare(g, LLVMRealOGT, a, 22), large, s);
  return m_sign_of(g, s, x);
}

LLVMValueRef math_cosh(Gen *g, LLVMValueRef x) {
  LLVMValueRef a = m_abs(g, x), e = math_exp(g, a);
  LLVMValueRef falling = m_div(g, num(x, 0.5), e), c = m_add(g, m_mul(g, e, num(x, 0.5)), falling);
  LLVMValueRef large = large_half_exp(g, a);
  return m_select(g, m_compare(g, LLVMRealOGT, a, 22), large, c);
}

// Small arguments by a polynomial (f32) or expm1 (f64); 1 - 2 / (exp(2|x|) + 1) loses nothing beyond.
static LLVMValueRef tanh_f32_magnitude(Gen *g, LLVMValueRef x, LLVMValueRef a) {
  LLVMValueRef z = m_mul(g, x, x);
  LLVMValueRef poly = M_POLY(g, z, tanh_f32), small = m_fma(g, m_mul(g, z, a), poly, a);
  LLVMValueRef top = m_select(g, m_compare(g, LLVMRealOGT, a, 10), num(a, 10), a);
  LLVMValueRef e = exp_normal(g, m_add(g, top, top), 0);
  LLVMValueRef large = m_sub(g, num(x, 1), m_div(g, num(x, 2), m_add(g, e, num(x, 1))));
  return m_select(g, m_compare(g, LLVMRealOLT, a, 0.625), small, large);
}

static LLVMValueRef tanh_f64_magnitude(Gen *g, LLVMValueRef a) {
  LLVMValueRef top = m_select(g, m_compare(g, LLVMRealOGT, a, 20), num(a, 20), a);
  LLVMValueRef t = math_expm1(g, m_add(g, top, top));
  return m_div(g, t, m_add(g, t, num(a, 2)));
}

LLVMValueRef math_tanh(Gen *g, LLVMValueRef x) {
  LLVMValueRef a = m_abs(g, x);
  LLVMValueRef r = is_f64(x) ? tanh_f64_magnitude(g, a) : tanh_f32_magnitude(g, x, a);
  return m_sign_of(g, r, x);
}

// Up to 1: x + x P(x^2). Beyond: 1 - exp(Q(|x|)), Q = log(1 - erf), until the result is 1.
LLVMValueRef math_erf(Gen *g, LLVMValueRef x) {
  bool f64 = is_f64(x);
  double end = f64 ? 6 : 4;
  LLVMValueRef a = m_abs(g, x), z = m_mul(g, x, x);
  LLVMValueRef p = f64 ? M_POLY(g, z, erf_small_f64) : M_POLY(g, z, erf_small_f32);
  LLVMValueRef small = m_fma(g, a, p, a);
  LLVMValueRef top = m_select(g, m_compare(g, LLVMRealOGT, a, end), num(a, end), a);
  LLVMValueRef q = f64 ? M_POLY(g, top, erf_large_f64) : M_POLY(g, top, erf_large_f32);
  LLVMValueRef large = m_sub(g, num(x, 1), exp_normal(g, q, 0));
  return m_sign_of(g, m_select(g, m_compare(g, LLVMRealOLT, a, 1), small, large), x);
}

// Where 1 is added only the absolute error counts, and one quotient will do. The result is exactly 0 or 2 where the
// argument is cut off, so that what multiplies it may be any number.
LLVMValueRef math_erf_plus_1(Gen *g, LLVMValueRef x) {
  x = clamp(g, x, -erf_end_f32, erf_end_f32);
  LLVMValueRef z = m_mul(g, x, x);
  LLVMValueRef over = m_mul(g, x, M_POLY(g, z, erf_over_f32));
  LLVMValueRef quotient = m_div(g, over, M_POLY(g, z, erf_under_f32));
  return m_add(g, m_fma_num(g, x, erf_slope_f32, quotient), num(x, 1));
}
