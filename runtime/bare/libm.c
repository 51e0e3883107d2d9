// libm.c: what generated code takes from libm elsewhere: sines of huge angles, remainders, powers of doubles.
// SPDX-License-Identifier: Apache-2.0
//
// Generated code has its own polynomials for everything else. At most 3 units of the last place for f64 (measured by
// tests/test_bare.c), correctly rounded for f32 but for a few cases. All weak, as in arith.c.
#include <stdbool.h>
#include <stdint.h>

#define ROUTINE      __attribute__((weak, visibility("hidden")))
#define INF          __builtin_inf()
#define NOT_A_NUMBER __builtin_nan("")

static uint64_t bits_of(double x) {
  union {
    double d;
    uint64_t u;
  } v = {x};
  return v.u;
}

static double of_bits(uint64_t u) {
  union {
    uint64_t u;
    double d;
  } v = {u};
  return v.d;
}

static double absolute(double x) {
  return of_bits(bits_of(x) & INT64_MAX);
}

static double with_sign(double magnitude, bool negative) {
  return of_bits((bits_of(magnitude) & INT64_MAX) | (uint64_t)negative << 63);
}

static double power_of_two(int n) { // of the normal numbers
  return of_bits((uint64_t)(n + 1023) << 52);
}

static int zeros(uint64_t v) { // leading ones; v != 0
  int n = 0;
  for (int step = 32; step; step /= 2)
    if (!(v >> (64 - step))) v <<= step, n += step;
  return n;
}

// ---- numbers of two doubles ------------------------------------------------------------------------------------
//
// Dekker, "A floating-point technique for extending the available precision" (1971).

typedef struct Two {
  double hi, lo;
} Two;

static Two two_sum(double a, double b) {
  double s = a + b, t = s - a;
  return (Two){s, (a - (s - t)) + (b - t)};
}

static Two two_product(double a, double b) {
  double p = a * b, ta = a * 0x1.0000002p27, tb = b * 0x1.0000002p27;
  double ah = ta - (ta - a), al = a - ah, bh = tb - (tb - b), bl = b - bh;
  return (Two){p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

// ---- sine, cosine, tangent -------------------------------------------------------------------------------------
//
// Payne and Hanek, "Radian reduction for trigonometric functions" (1983): of the product of x and 2/pi only those bits
// are computed that matter for the quadrant and the angle in it.

// 2/pi, the bits after the point.
static const uint32_t two_over_pi[] = {
    0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561,
    0xb7246e3a, 0x424dd2e0, 0x06492eea, 0x09d1921c, 0xfe1deb1c, 0xb129a73e, 0xe88235f5, 0x2ebb4484,
    0xe99c7026, 0xb45f7e41, 0x3991d639, 0x835339f4, 0x9c845f8b, 0xbdf9283b, 0x1ff897ff, 0xde05980f,
    0xef2f118b, 0x5a0a6d1f, 0x6d367ecf, 0x27cb09b7, 0x4f463f66, 0x9e5fea2d, 0x7527bac7, 0xebe5f17b,
    0x3d0739f7, 0x8a5292ea, 0x6bfb5fb1, 0x1f8d5d08, 0x56033046, 0xfc7b6bab};

// 64 of these bits from number `at` on.
static uint64_t bits_at(int at) {
  const uint32_t *w = two_over_pi + at / 32;
  int shift = at % 32;
  uint64_t v = (uint64_t)w[0] << 32 | w[1];
  return shift ? v << shift | w[2] >> (32 - shift) : v;
}

static uint64_t product(uint64_t a, uint64_t b, uint64_t *high) {
  uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
  uint64_t low = al * bl, mid = ah * bl + (low >> 32), mid2 = al * bh + (uint32_t)mid;
  *high = ah * bh + (mid >> 32) + (mid2 >> 32);
  return mid2 << 32 | (uint32_t)low;
}

typedef struct Angle {
  int quarter; // x = quarter pi/2 + r, |r| <= pi/4
  Two r;
} Angle;

// The fraction of a quarter turn as a signed number; its leading zeros do not cost precision.
static Two angle_of(uint64_t high, uint64_t low, bool negative) {
  if (!high && !low) return (Two){0, 0};
  int n = high ? zeros(high) : 64 + zeros(low);
  uint64_t top = n >= 64 ? low << (n - 64) : n ? high << n | low >> (64 - n) : high;
  double scale = with_sign(power_of_two(-64 - n), negative);
  double a = (double)(uint32_t)(top >> 32) * 0x1p32 * scale, b = (double)(uint32_t)top * scale;
  Two r = two_product(a, 0x1.921fb54442d18p+0);
  return two_sum(r.hi, r.lo + (b * 0x1.921fb54442d18p+0 + a * 0x1.1a62633145c07p-54));
}

// x from pi/4 on, finite.
static Angle reduce_large(double x) {
  uint64_t m = (bits_of(x) & ((uint64_t)-1 >> 12)) | (uint64_t)1 << 52, p[4], h[3], l[3];
  int e = (int)(bits_of(x) >> 52) - 1075, from = e > 2 ? e - 2 : 0, down = e < 2 ? 2 - e : 0;
  for (int i = 0; i < 3; i++) l[i] = product(m, bits_at(from + 64 * i), &h[i]);
  p[0] = l[2];
  p[1] = l[1] + h[2];
  uint64_t carry = p[1] < h[2], sum = l[0] + h[1];
  p[2] = sum + carry;
  p[3] = h[0] + (sum < h[1]) + (p[2] < carry);
  for (int i = 0; i < 3 && down; i++) p[i] = p[i] >> down | p[i + 1] << (64 - down);
  // Two bits of quarter turns, then the fraction of one.
  Angle a = {.quarter = (int)(p[2] >> 62)};
  uint64_t high = p[2] << 2 | p[1] >> 62, low = p[1] << 2 | p[0] >> 62;
  bool negative = high >> 63;
  if (negative) {
    a.quarter++;
    low = 0 - low;
    high = 0 - high - (low != 0);
  }
  a.r = angle_of(high, low, negative);
  return a;
}

static Angle reduce(double x) { // x >= 0, finite
  return x <= 0x1.921fb54442d18p-1 ? (Angle){0, {x, 0}} : reduce_large(x);
}

// By Horner. All are the series of Taylor, long enough for the arguments that come.
static double series(double z, const double *c, int n) {
  double s = c[n - 1];
  for (int i = n - 2; i >= 0; i--) s = s * z + c[i];
  return s;
}

static double sine_of(Two r) {
  static const double c[] = {-1.0 / 6,          1.0 / 120,          -1.0 / 5040,           1.0 / 362880,
                             -1.0 / 39916800.0, 1.0 / 6227020800.0, -1.0 / 1307674368000.0};
  double z = r.hi * r.hi;
  return r.hi + (r.lo * (1 - z * 0.5) + r.hi * z * series(z, c, 7));
}

static double cosine_of(Two r) {
  static const double c[] = {1.0 / 24,          -1.0 / 720,           1.0 / 40320,           -1.0 / 3628800,
                             1.0 / 479001600.0, -1.0 / 87178291200.0, 1.0 / 20922789888000.0};
  double z = r.hi * r.hi, half = z * 0.5, w = 1 - half, lost = (1 - w) - half;
  return w + (lost + z * z * series(z, c, 7) - r.hi * r.lo);
}

// sin(x + quarters pi/2) for x >= 0.
static double turned(double x, int quarters) {
  if (!(x < INF)) return NOT_A_NUMBER;
  Angle a = reduce(x);
  int q = a.quarter + quarters;
  double v = q & 1 ? cosine_of(a.r) : sine_of(a.r);
  return q & 2 ? -v : v;
}

double sin(double x);
ROUTINE double sin(double x) {
  double v = turned(absolute(x), 0);
  return x < 0 ? -v : x == 0 ? x : v;
}
double cos(double x);
ROUTINE double cos(double x) {
  return turned(absolute(x), 1);
}
double tan(double x);
ROUTINE double tan(double x) {
  double a = absolute(x);
  if (!(a < INF)) return NOT_A_NUMBER;
  if (x == 0) return x;
  Angle at = reduce(a);
  double s = sine_of(at.r), c = cosine_of(at.r), v = at.quarter & 1 ? -c / s : s / c;
  return x < 0 ? -v : v;
}
float sinf(float x);
ROUTINE float sinf(float x) {
  return (float)sin(x);
}
float cosf(float x);
ROUTINE float cosf(float x) {
  return (float)cos(x);
}
float tanf(float x);
ROUTINE float tanf(float x) {
  return (float)tan(x);
}

// ---- remainder -------------------------------------------------------------------------------------------------

// x = m 2^e with 2^52 <= m < 2^53, as long division wants it.
static uint64_t split(double x, int *e) {
  uint64_t bits = bits_of(x), m = bits & ((uint64_t)-1 >> 12);
  *e = (int)(bits >> 52 & 0x7ff);
  if (*e) return m | (uint64_t)1 << 52;
  int n = zeros(m) - 11;
  *e = 1 - n;
  return m << n;
}

double fmod(double x, double y);
ROUTINE double fmod(double x, double y) { // exact
  double a = absolute(x), b = absolute(y);
  if (!(a < INF) || !(b > 0)) return NOT_A_NUMBER;
  if (a < b) return x;
  int ea, eb;
  uint64_t m = split(a, &ea), d = split(b, &eb);
  for (;; ea--) {
    if (m >= d) m -= d;
    if (ea == eb || m == 0) break;
    m <<= 1;
  }
  if (m == 0) return with_sign(0, x < 0);
  int n = zeros(m) - 11;
  m <<= n, eb -= n;
  if (eb <= 0) return with_sign(of_bits(m >> (1 - eb)), x < 0); // below the normal numbers
  return with_sign(of_bits((uint64_t)(eb - 1) * ((uint64_t)1 << 52) + m), x < 0);
}
float fmodf(float x, float y);
ROUTINE float fmodf(float x, float y) {
  return (float)fmod(x, y); // the remainder is an f32
}

// ---- powers ----------------------------------------------------------------------------------------------------
//
// exp(y log x) with the logarithm in two doubles: a product of up to 745 needs ten bits more than one has.

static Two multiply(Two a, Two b) {
  Two p = two_product(a.hi, b.hi);
  return two_sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

static const double ln2_hi = 0x1.62e42fefa38p-1, ln2_lo = 0x1.ef35793c7673p-45;

// log x = k ln 2 + 2 atanh((m - 1) / (m + 1)), m near 1; x positive and finite.
static Two logarithm(double x) {
  static const double c[] = {1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17,
                             1.0 / 19, 1.0 / 21, 1.0 / 23, 1.0 / 25, 1.0 / 27, 1.0 / 29};
  int k;
  double m = of_bits((split(x, &k) & ((uint64_t)-1 >> 12)) | (uint64_t)1023 << 52);
  k -= 1023;
  if (m > 0x1.6a09e667f3bcdp+0) m *= 0.5, k++;
  double f = m - 1, g = m + 1, g_lo = m - (g - 1), q = f / g;
  Two back = two_product(q, g);
  Two s = {q, ((f - back.hi) - back.lo - q * g_lo) / g}, z = multiply(s, s);
  Two p = two_sum(0x1.5555555555555p-2, z.hi * series(z.hi, c, 13));
  p.lo += 0x1.5555555555555p-56;
  Two v = multiply(s, multiply(z, p));
  Two atanh = two_sum(s.hi, v.hi);
  atanh.lo += s.lo + v.lo;
  Two r = two_sum(k * ln2_hi, 2 * atanh.hi);
  return two_sum(r.hi, r.lo + (2 * atanh.lo + k * ln2_lo));
}

static double exponential(Two x) {
  static const double c[] = {1.0 / 2,
                             1.0 / 6,
                             1.0 / 24,
                             1.0 / 120,
                             1.0 / 720,
                             1.0 / 5040,
                             1.0 / 40320,
                             1.0 / 362880,
                             1.0 / 3628800,
                             1.0 / 39916800.0,
                             1.0 / 479001600.0,
                             1.0 / 6227020800.0,
                             1.0 / 87178291200.0};
  if (x.hi > 710) return INF;
  if (x.hi < -746) return 0;
  double whole = (x.hi * 0x1.71547652b82fep+0 + 0x1.8p52) - 0x1.8p52;
  double near = x.hi - whole * ln2_hi;
  Two r = two_sum(near, x.lo - whole * ln2_lo);
  double v = 1 + (r.hi + (r.lo + r.lo * r.hi + r.hi * r.hi * series(r.hi, c, 13)));
  int n = (int)whole, half = n / 2;
  return v * power_of_two(half) * power_of_two(n - half);
}

typedef enum Whole { FRACTION, EVEN, ODD } Whole;

static Whole whole(double y) { // finite, y >= 0
  int e = (int)(bits_of(y) >> 52) - 1023;
  if (e < 0) return y == 0 ? EVEN : FRACTION;
  if (e > 52) return EVEN;
  uint64_t m = bits_of(y) | (uint64_t)1 << 52; // of the bits, those below 2^0 are the fraction
  if (m & (((uint64_t)1 << (52 - e)) - 1)) return FRACTION;
  return m >> (52 - e) & 1 ? ODD : EVEN;
}

static double power(double a, double y) { // a >= 0
  double b = absolute(y);
  if (!(b < INF)) return a == 1 ? 1 : (a > 1) == (y > 0) ? INF : 0;
  if (a == 0 || !(a < INF)) return (a == 0) == (y < 0) ? INF : 0;
  if (b > 0x1p70) y = y < 0 ? -0x1p70 : 0x1p70; // more makes no difference
  Two l = logarithm(a), p = two_product(y, l.hi);
  p.lo += y * l.lo;
  return exponential(p);
}

double pow(double x, double y);
ROUTINE double pow(double x, double y) { // special values as C's
  if (y == 0 || x == 1) return 1;
  if (x != x || y != y) return NOT_A_NUMBER;
  double a = absolute(x), b = absolute(y);
  Whole kind = b < INF ? whole(b) : EVEN;
  if (x < 0 && a < INF && kind == FRACTION) return NOT_A_NUMBER;
  return with_sign(power(a, y), bits_of(x) >> 63 && kind == ODD);
}
float powf(float x, float y);
ROUTINE float powf(float x, float y) {
  return (float)pow(x, y);
}
