// f64.h: arithmetic of doubles by integers: rounded to nearest, ties to even; one NaN.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_RUNTIME_F64_H
#define INGOT_RUNTIME_F64_H

#include <stdbool.h>
#include <stdint.h>

#define F64_SIGN   ((uint64_t)1 << 63)
#define F64_INF    ((uint64_t)0x7ff << 52)
#define F64_NAN    (F64_INF | (uint64_t)1 << 51)
#define F64_ONE    ((uint64_t)0x3ff << 52)
#define F64_HIDDEN ((uint64_t)1 << 52)

// ---- 128 bits --------------------------------------------------------------------------------------------------

typedef struct Wide {
  uint64_t hi, lo;
} Wide;

static inline int f64_zeros(uint64_t v) { // leading ones; v != 0
  int n = 0;
  for (int step = 32; step; step /= 2)
    if (!(v >> (64 - step))) v <<= step, n += step;
  return n;
}

static inline Wide wide_left(Wide v, int n) {
  if (n >= 64) return (Wide){v.lo << (n - 64), 0};
  return n ? (Wide){v.hi << n | v.lo >> (64 - n), v.lo << n} : v;
}

// What falls off leaves a one in the lowest bit, so that rounding can tell.
static inline Wide wide_right(Wide v, int n) {
  if (n >= 128) return (Wide){0, v.hi || v.lo};
  if (n >= 64) {
    uint64_t lost = v.lo | (n > 64 ? v.hi << (128 - n) : 0);
    return (Wide){0, v.hi >> (n - 64) | (lost != 0)};
  }
  if (n == 0) return v;
  return (Wide){v.hi >> n, v.hi << (64 - n) | v.lo >> n | (v.lo << (64 - n) != 0)};
}

static inline Wide wide_product(uint64_t a, uint64_t b) {
  uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
  uint64_t low = al * bl, mid = ah * bl + (low >> 32), mid2 = al * bh + (uint32_t)mid;
  return (Wide){ah * bh + (mid >> 32) + (mid2 >> 32), mid2 << 32 | (uint32_t)low};
}

static inline Wide wide_add(Wide a, Wide b) {
  uint64_t lo = a.lo + b.lo;
  return (Wide){a.hi + b.hi + (lo < a.lo), lo};
}

static inline Wide wide_sub(Wide a, Wide b) {
  return (Wide){a.hi - b.hi - (a.lo < b.lo), a.lo - b.lo};
}

static inline bool wide_less(Wide a, Wide b) {
  return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo);
}

// ---- parts of a number -----------------------------------------------------------------------------------------

static inline bool f64_is_nan(uint64_t x) {
  return (x & ~F64_SIGN) > F64_INF;
}
static inline bool f64_is_inf(uint64_t x) {
  return (x & ~F64_SIGN) == F64_INF;
}
static inline bool f64_is_zero(uint64_t x) {
  return (x & ~F64_SIGN) == 0;
}

// |x| = *m * 2^(result - 1075) with 2^52 <= *m < 2^53; x neither 0 nor infinite nor NaN.
static inline int f64_parts(uint64_t x, uint64_t *m) {
  int e = (int)(x >> 52 & 0x7ff);
  *m = x & (F64_HIDDEN - 1);
  if (e) {
    *m |= F64_HIDDEN;
    return e;
  }
  int n = f64_zeros(*m) - 11;
  *m <<= n;
  return 1 - n;
}

// v * 2^(e - 127), v != 0, rounded to `keep` bits of mantissa, the leading one included; `bias` and `top` are the
// format's. The bits without sign.
static inline uint64_t round_wide(int e, Wide v, int keep, int bias, int top) {
  int n = v.hi ? f64_zeros(v.hi) : 64 + f64_zeros(v.lo);
  v = wide_left(v, n);
  e += bias - n;
  if (e >= top) return (uint64_t)top << (keep - 1);
  if (e <= 0) v = wide_right(v, 1 - e); // below the normal numbers
  uint64_t m = v.hi >> (64 - keep), rest = v.hi << keep, half = (uint64_t)1 << 63;
  bool up = rest > half || (rest == half && (v.lo || (m & 1)));
  return (e > 0 ? (uint64_t)(e - 1) << (keep - 1) : 0) + m + up; // a carry raises the exponent, as it should
}

static inline uint64_t f64_round(uint64_t sign, int e, Wide v) {
  return sign | round_wide(e, v, 53, 1023, 0x7ff);
}

// ---- arithmetic ------------------------------------------------------------------------------------------------

static inline uint64_t f64_special_fma(uint64_t a, uint64_t b, uint64_t c) {
  uint64_t sign = (a ^ b) & F64_SIGN;
  if (f64_is_nan(a) || f64_is_nan(b) || f64_is_nan(c)) return F64_NAN;
  if (f64_is_inf(a) || f64_is_inf(b)) {
    bool undefined = f64_is_zero(a) || f64_is_zero(b) || (f64_is_inf(c) && (c & F64_SIGN) != sign);
    return undefined ? F64_NAN : sign | F64_INF;
  }
  if (f64_is_inf(c) || !f64_is_zero(c)) return c; // the product is 0
  return sign == (c & F64_SIGN) ? c : 0;
}

// a * b + c, rounded once.
static inline uint64_t f64_fma(uint64_t a, uint64_t b, uint64_t c) {
  bool finite = (a & F64_INF) != F64_INF && (b & F64_INF) != F64_INF && (c & F64_INF) != F64_INF;
  if (!finite || f64_is_zero(a) || f64_is_zero(b)) return f64_special_fma(a, b, c);
  uint64_t ma, mb, mc, sign = (a ^ b) & F64_SIGN;
  int ep = f64_parts(a, &ma), ec = 0;
  ep += f64_parts(b, &mb) - 2150;
  // Both with their leading one in bit 125: room for a carry, and the lowest bits are 0.
  Wide p = wide_product(ma, mb), d = {0, 0};
  int n = f64_zeros(p.hi) - 2;
  p = wide_left(p, n);
  ep += 125 - n;
  if (f64_is_zero(c)) return f64_round(sign, ep + 2, p);
  ec = f64_parts(c, &mc) - 1023;
  d.hi = mc << 9;
  uint64_t sign_c = c & F64_SIGN;
  if (ec > ep || (ec == ep && wide_less(p, d))) { // the larger one first
    Wide v = p;
    uint64_t s = sign;
    int e = ep;
    p = d, d = v, sign = sign_c, sign_c = s, ep = ec, ec = e;
  }
  d = wide_right(d, ep - ec);
  p = sign == sign_c ? wide_add(p, d) : wide_sub(p, d);
  return p.hi || p.lo ? f64_round(sign, ep + 2, p) : 0;
}

static inline uint64_t f64_add(uint64_t a, uint64_t b) {
  return f64_fma(a, F64_ONE, b);
}

static inline uint64_t f64_mul(uint64_t a, uint64_t b) {
  return f64_fma(a, b, (a ^ b) & F64_SIGN); // plus a 0 that leaves the product's sign
}

static inline uint64_t f64_div(uint64_t a, uint64_t b) {
  uint64_t sign = (a ^ b) & F64_SIGN, ma, mb, q = 0;
  if (f64_is_nan(a) || f64_is_nan(b) || (f64_is_inf(a) && f64_is_inf(b)) ||
      (f64_is_zero(a) && f64_is_zero(b)))
    return F64_NAN;
  if (f64_is_inf(a) || f64_is_zero(b)) return sign | F64_INF;
  if (f64_is_zero(a) || f64_is_inf(b)) return sign;
  int e = f64_parts(a, &ma);
  e -= f64_parts(b, &mb);
  for (int i = 0; i < 64; i++) {
    q <<= 1;
    if (ma >= mb) ma -= mb, q |= 1;
    ma <<= 1;
  }
  return f64_round(sign, e, (Wide){q, ma != 0});
}

static inline uint64_t f64_sqrt(uint64_t a) {
  uint64_t m, rest = 0, root = 0;
  if (f64_is_nan(a) || f64_is_zero(a)) return a;
  if (a & F64_SIGN) return F64_NAN;
  if (f64_is_inf(a)) return a;
  int e = f64_parts(a, &m) - 1075;
  if (e & 1) m <<= 1, e--;
  // Two bits of m give one of the root: 27 of those that are there, 30 after them.
  for (int i = 26; i >= -30; i--) {
    rest = rest << 2 | (i >= 0 ? m >> (2 * i) & 3 : 0);
    uint64_t next = root << 2 | 1;
    root <<= 1;
    if (rest >= next) rest -= next, root |= 1;
  }
  return f64_round(0, e / 2 + 33, (Wide){root, rest != 0});
}

// ---- comparing -------------------------------------------------------------------------------------------------

static inline bool f64_unordered(uint64_t a, uint64_t b) {
  return f64_is_nan(a) || f64_is_nan(b);
}
static inline bool f64_equal(uint64_t a, uint64_t b) {
  return !f64_unordered(a, b) && (a == b || (f64_is_zero(a) && f64_is_zero(b)));
}
static inline bool f64_less(uint64_t a, uint64_t b) {
  if (f64_unordered(a, b) || f64_equal(a, b)) return false;
  if ((a ^ b) & F64_SIGN) return a >> 63;
  return a >> 63 ? a > b : a < b;
}

// ---- conversions -----------------------------------------------------------------------------------------------

static inline uint64_t f64_from_u64(uint64_t v, uint64_t sign) {
  return v ? f64_round(sign, 63, (Wide){v, 0}) : 0;
}
static inline uint64_t f64_from_i64(int64_t v) {
  return v < 0 ? f64_from_u64(0 - (uint64_t)v, F64_SIGN) : f64_from_u64((uint64_t)v, 0);
}

// The whole part of |x|; all ones where it does not fit.
static inline uint64_t f64_magnitude(uint64_t x) {
  int e = (int)(x >> 52 & 0x7ff) - 1075;
  uint64_t m = (x & (F64_HIDDEN - 1)) | F64_HIDDEN;
  if (e > 11) return UINT64_MAX;
  return e >= 0 ? m << e : e > -53 ? m >> -e : 0;
}
// Saturating; 0 for NaN.
static inline int64_t f64_to_i64(uint64_t x, int64_t most) {
  uint64_t m = f64_magnitude(x);
  if (f64_is_nan(x)) return 0;
  if (x >> 63) return m > (uint64_t)most ? -most - 1 : -(int64_t)m;
  return m > (uint64_t)most ? most : (int64_t)m;
}
static inline uint64_t f64_to_u64(uint64_t x, uint64_t most) {
  uint64_t m = f64_magnitude(x);
  if (f64_is_nan(x) || x >> 63) return 0;
  return m > most ? most : m;
}

static inline uint64_t f64_from_f32(uint32_t x) {
  uint64_t sign = (uint64_t)(x >> 31) << 63, m = x & 0x7fffff;
  int e = (int)(x >> 23 & 0xff);
  if (e == 0xff) return m ? F64_NAN : sign | F64_INF;
  if (e) return sign | (uint64_t)(e + 896) << 52 | m << 29;
  return m ? f64_round(sign, 63 - 149, (Wide){m, 0}) : sign;
}
static inline uint32_t f64_to_f32(uint64_t x) {
  uint32_t sign = (uint32_t)(x >> 63) << 31;
  uint64_t m;
  if (f64_is_nan(x)) return 0x7fc00000;
  if (f64_is_inf(x)) return sign | 0x7f800000;
  if (f64_is_zero(x)) return sign;
  int e = f64_parts(x, &m) - 1075 + 63; // of the leading bit that m would have in a Wide's upper half
  return sign | (uint32_t)round_wide(e, (Wide){m, 0}, 24, 127, 0xff);
}

#endif
