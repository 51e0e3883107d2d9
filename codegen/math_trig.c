// math_trig.c: trigonometric functions and their inverses.
// SPDX-License-Identifier: Apache-2.0
//
// sin, cos and tan of f32 are computed in f64: the reduction by pi/2 needs the bits, and the polynomials in f64
// give nearly correctly rounded results. Arguments beyond 2^20, which hardly occur, go to libm.
#include "codegen/math.h"

static const double slow_from = 0x1p20;

// pi/2 in three parts of 33, 33 and 53 bits: products of the first two with 20 bits are exact.
static const double pio2[] = {0x1.921fb544p+0, 0x1.0b4611a6p-34, 0x1.3198a2e037073p-69};

typedef struct Angle {
  LLVMValueRef n, r; // x = n pi/2 + r, |r| <= pi/4; integer and f64
} Angle;

static Angle reduce(Gen *g, LLVMValueRef x) {
  Angle a;
  LLVMValueRef n = m_nearest(g, m_mul(g, x, num(x, 0x1.45f306dc9c883p-1)), &a.n);
  a.r = x;
  for (int i = 0; i < ARRAY_LEN(pio2); i++) a.r = m_fma_num(g, n, -pio2[i], a.r);
  return a;
}

static LLVMValueRef sin_of(Gen *g, LLVMValueRef r, bool precise) {
  LLVMValueRef z = m_mul(g, r, r), p = precise ? M_POLY(g, z, sin_f64) : M_POLY(g, z, sin_f32);
  return m_fma(g, m_mul(g, z, r), p, r);
}

static LLVMValueRef cos_of(Gen *g, LLVMValueRef r, bool precise) {
  LLVMValueRef z = m_mul(g, r, r), p = precise ? M_POLY(g, z, cos_f64) : M_POLY(g, z, cos_f32);
  LLVMValueRef h = m_mul(g, z, num(z, 0.5)), w = m_sub(g, num(z, 1), h);
  LLVMValueRef lost = m_sub(g, m_sub(g, num(z, 1), w), h); // what 1 - z/2 rounded away
  return m_add(g, w, m_fma(g, m_mul(g, z, z), p, lost));
}

static LLVMValueRef bit_set(Gen *g, LLVMValueRef n, int bit) {
  LLVMValueRef b = LLVMBuildAnd(g->b, n, gen_int(n, bit), "");
  return LLVMBuildICmp(g->b, LLVMIntNE, b, gen_int(n, 0), "");
}

// sin(x + quarter pi/2), x an f64.
static LLVMValueRef sine(Gen *g, LLVMValueRef x, int quarter, bool precise) {
  Angle a = reduce(g, x);
  LLVMValueRef n = quarter ? LLVMBuildAdd(g->b, a.n, gen_int(a.n, quarter), "") : a.n;
  LLVMValueRef s = sin_of(g, a.r, precise), c = cos_of(g, a.r, precise);
  LLVMValueRef v = m_select(g, bit_set(g, n, 1), c, s);
  LLVMValueRef negative = m_neg(g, v);
  return m_select(g, bit_set(g, n, 2), negative, v);
}

static LLVMValueRef tangent(Gen *g, LLVMValueRef x, bool precise) {
  Angle a = reduce(g, x);
  LLVMValueRef s = sin_of(g, a.r, precise), c = cos_of(g, a.r, precise), odd = bit_set(g, a.n, 1);
  LLVMValueRef below = m_select(g, odd, s, c);
  return m_div(g, m_select(g, odd, m_neg(g, c), s), below);
}

typedef enum Trig { TRIG_SIN, TRIG_COS, TRIG_TAN } Trig;

static LLVMValueRef trig(Gen *g, Trig kind, LLVMValueRef x) {
  static const char *const names[] = {"sin", "cos", "tan"};
  bool precise = is_f64(x);
  LLVMTypeRef f64 = gen_type_with(x, LLVMDoubleTypeInContext(g->llvm));
  LLVMValueRef wide = precise ? x : LLVMBuildFPExt(g->b, x, f64, "");
  LLVMValueRef r = kind == TRIG_TAN ? tangent(g, wide, precise) : sine(g, wide, kind == TRIG_COS, precise);
  if (!precise) r = LLVMBuildFPTrunc(g->b, r, LLVMTypeOf(x), "");
  if (kind != TRIG_COS) r = m_select(g, m_compare(g, LLVMRealOEQ, x, 0), x, r); // keeps -0
  LLVMValueRef large = m_compare(g, LLVMRealOGT, m_abs(g, x), slow_from);
  return m_or_libm(g, large, r, names[kind], x, NULL);
}

LLVMValueRef math_sin(Gen *g, LLVMValueRef x) {
  return trig(g, TRIG_SIN, x);
}

LLVMValueRef math_cos(Gen *g, LLVMValueRef x) {
  return trig(g, TRIG_COS, x);
}

LLVMValueRef math_tan(Gen *g, LLVMValueRef x) {
  return trig(g, TRIG_TAN, x);
}

// ---- inverses: f64 only ---------------------------------------------------------------------------------------------

static const double pi_2 = 0x1.921fb54442d18p+0, pi_2_lo = 0x1.1a62633145c07p-54;

// asin(t) for 0 <= t <= 1/2, z = t^2.
static LLVMValueRef asin_small(Gen *g, LLVMValueRef t, LLVMValueRef z) {
  LLVMValueRef poly = M_POLY(g, z, asin_f64);
  return m_fma(g, m_mul(g, z, t), poly, t);
}

// Beyond 1/2 by asin(a) = pi/2 - 2 asin(sqrt((1 - a) / 2)).
typedef struct AsinParts {
  LLVMValueRef big, v; // a > 1/2; asin of a or of the root
} AsinParts;

static AsinParts asin_parts(Gen *g, LLVMValueRef a) {
  AsinParts p = {.big = m_compare(g, LLVMRealOGT, a, 0.5)};
  LLVMValueRef w = m_mul(g, m_sub(g, num(a, 1), a), num(a, 0.5));
  LLVMValueRef z = m_select(g, p.big, w, m_mul(g, a, a));
  p.v = asin_small(g, m_select(g, p.big, m_sqrt(g, w), a), z);
  return p;
}

LLVMValueRef math_asin(Gen *g, LLVMValueRef x) {
  AsinParts p = asin_parts(g, m_abs(g, x));
  LLVMValueRef twice = m_sub(g, m_add(g, p.v, p.v), num(x, pi_2_lo));
  return m_sign_of(g, m_select(g, p.big, m_sub(g, num(x, pi_2), twice), p.v), x);
}

LLVMValueRef math_acos(Gen *g, LLVMValueRef x) {
  AsinParts p = asin_parts(g, m_abs(g, x));
  LLVMValueRef negative = m_compare(g, LLVMRealOLT, x, 0), twice = m_add(g, p.v, p.v);
  LLVMValueRef far = m_add(g, m_sub(g, num(x, 2 * pi_2), twice), num(x, 2 * pi_2_lo));
  LLVMValueRef big = m_select(g, negative, far, twice);
  LLVMValueRef v = m_sign_of(g, p.v, x);
  LLVMValueRef small = m_sub(g, num(x, pi_2), m_sub(g, v, num(x, pi_2_lo)));
  return m_select(g, p.big, big, small);
}

// atan(top / bottom) + base for 0 <= top, bottom, one of them not 0: around 0, 1 or infinity, by one division.
static LLVMValueRef atan_ratio(Gen *g, LLVMValueRef top, LLVMValueRef bottom) {
  static const double tan_pi_8 = 0x1.a827999fcef32p-2, tan_3pi_8 = 0x1.3504f333f9de6p+1;
  LLVMValueRef mid = LLVMBuildFCmp(g->b, LLVMRealOGT, top, m_mul(g, bottom, num(top, tan_pi_8)), "");
  LLVMValueRef big = LLVMBuildFCmp(g->b, LLVMRealOGT, top, m_mul(g, bottom, num(top, tan_3pi_8)), "");
  LLVMValueRef small = m_select(g, mid, m_sub(g, top, bottom), top);
  LLVMValueRef a = m_select(g, big, m_neg(g, bottom), small);
  LLVMValueRef b = m_select(g, big, top, m_select(g, mid, m_add(g, top, bottom), bottom));
  LLVMValueRef t = m_div(g, a, b), z = m_mul(g, t, t), zero = num(t, 0);
  LLVMValueRef base = m_select(g, big, num(t, pi_2), m_select(g, mid, num(t, pi_2 / 2), zero));
  LLVMValueRef low = m_select(g, big, num(t, pi_2_lo), m_select(g, mid, num(t, pi_2_lo / 2), zero));
  LLVMValueRef poly = M_POLY(g, z, atan_f64), tail = m_fma(g, m_mul(g, z, t), poly, low);
  return m_add(g, base, m_add(g, t, tail));
}

LLVMValueRef math_atan(Gen *g, LLVMValueRef x) {
  LLVMValueRef a = m_abs(g, x), inf = m_compare(g, LLVMRealOEQ, a, __builtin_inf());
  LLVMValueRef finite = m_select(g, inf, num(a, 0x1p1000), a);
  return m_sign_of(g, atan_ratio(g, finite, num(x, 1)), x);
}

// Both operands by the same power of two away from overflow and underflow; equal infinities count as equal.
static LLVMValueRef atan2_f64(Gen *g, LLVMValueRef y, LLVMValueRef x) {
  double inf = __builtin_inf();
  LLVMValueRef a = m_abs(g, y), b = m_abs(g, x), one = num(x, 1), zero = num(x, 0);
  LLVMValueRef a_inf = m_compare(g, LLVMRealOEQ, a, inf), b_inf = m_compare(g, LLVMRealOEQ, b, inf);
  LLVMValueRef any_inf = LLVMBuildOr(g->b, a_inf, b_inf, "");
  LLVMValueRef top = m_select(g, any_inf, m_select(g, a_inf, one, zero), a);
  LLVMValueRef bottom = m_select(g, any_inf, m_select(g, b_inf, one, zero), b);
  LLVMValueRef bottom_large = m_compare(g, LLVMRealOGT, bottom, 0x1p1000);
  LLVMValueRef large = LLVMBuildOr(g->b, m_compare(g, LLVMRealOGT, top, 0x1p1000), bottom_large, "");
  LLVMValueRef by = m_select(g, large, num(x, 0x1p-60), one);
  LLVMValueRef bottom_tiny = m_compare(g, LLVMRealOLT, bottom, 0x1p-900);
  LLVMValueRef tiny = LLVMBuildAnd(g->b, m_compare(g, LLVMRealOLT, top, 0x1p-900), bottom_tiny, "");
  by = m_select(g, tiny, num(x, 0x1p100), by);
  LLVMValueRef b_is_0 = m_compare(g, LLVMRealOEQ, b, 0);
  LLVMValueRef both0 = LLVMBuildAnd(g->b, m_compare(g, LLVMRealOEQ, a, 0), b_is_0, "");
  bottom = m_select(g, both0, one, m_mul(g, bottom, by));
  LLVMValueRef r = atan_ratio(g, m_mul(g, top, by), bottom);
  LLVMValueRef bits = m_bits(g, x);
  LLVMValueRef left = LLVMBuildICmp(g->b, LLVMIntSLT, bits, gen_int(bits, 0), "");
  LLVMValueRef mirrored = m_add(g, m_sub(g, num(x, 2 * pi_2), r), num(x, 2 * pi_2_lo));
  r = m_sign_of(g, m_select(g, left, mirrored, r), y);
  LLVMValueRef nan = LLVMBuildFCmp(g->b, LLVMRealUNO, x, y, "");
  return m_select(g, nan, num(x, __builtin_nan("")), r);
}

LLVMValueRef math_atan2(Gen *g, DType t, LLVMValueRef y, LLVMValueRef x) {
  if (t == DT_F64) return atan2_f64(g, y, x);
  LLVMTypeRef f64 = gen_type_with(x, LLVMDoubleTypeInContext(g->llvm));
  LLVMValueRef xd = LLVMBuildFPExt(g->b, x, f64, "");
  LLVMValueRef r = atan2_f64(g, LLVMBuildFPExt(g->b, y, f64, ""), xd);
  return LLVMBuildFPTrunc(g->b, r, LLVMTypeOf(x), "");
}
