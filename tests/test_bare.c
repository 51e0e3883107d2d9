// test_bare.c: arithmetic that artefacts without libc bring: doubles by integers, exact; functions against libm.
// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static double host_sin(double x) {
  return sin(x);
}
static double host_cos(double x) {
  return cos(x);
}
static double host_tan(double x) {
  return tan(x);
}
static double host_fmod(double x, double y) {
  return fmod(x, y);
}
static double host_pow(double x, double y) {
  return pow(x, y);
}
static double host_fma(double x, double y, double z) {
  return fma(x, y, z);
}
static double host_sqrt(double x) {
  return sqrt(x);
}

// The same names as libm's: here they get others.
#define sin   bare_sin
#define cos   bare_cos
#define tan   bare_tan
#define sinf  bare_sinf
#define cosf  bare_cosf
#define tanf  bare_tanf
#define fmod  bare_fmod
#define fmodf bare_fmodf
#define pow   bare_pow
#define powf  bare_powf
#include "runtime/bare/f64.h"
#include "runtime/bare/libm.c"

enum { ROUNDS = 200000 };

static uint64_t state = 1;
static uint64_t next_random(void) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state;
}

// All kinds of numbers: any bits, few bits set, exponents near each other, special values.
static uint64_t next_number(void) {
  static const uint64_t special[] = {
      0,          F64_SIGN, F64_INF,        F64_INF | F64_SIGN, F64_NAN,      1,
      F64_HIDDEN, F64_ONE,  F64_HIDDEN - 1, F64_INF - 1,        F64_SIGN | 1, F64_ONE | F64_SIGN};
  uint64_t r = next_random();
  switch (r % 8) {
  case 0: return special[(r >> 8) % (sizeof special / sizeof special[0])];
  case 1: return next_random() & next_random() & next_random();
  case 2: return next_random();
  case 3: return (next_random() & ~F64_INF) | (r >> 8 & 3) << 52; // around the smallest
  case 4: return (next_random() & ~F64_INF) | (uint64_t)(0x7fd + (r >> 8 & 1)) << 52;
  default: return (next_random() & ~F64_INF) | (uint64_t)(1023 - 40 + (r >> 8) % 80) << 52;
  }
}

static double as_double(uint64_t u) {
  return of_bits(u);
}

static bool same(uint64_t got, double want) {
  return isnan(want) ? f64_is_nan(got) : got == bits_of(want);
}

#define EXPECT_SAME(got, want, ...)                                                                          \
  do {                                                                                                       \
    uint64_t got_ = got;                                                                                     \
    double want_ = want;                                                                                     \
    cr_assert(same(got_, want_), "%a, not %a: " __VA_ARGS__, as_double(got_), want_);                        \
  } while (0)

Test(bare, doubles_by_integers) {
  for (int i = 0; i < ROUNDS; i++) {
    uint64_t a = next_number(), b = next_number(), c = next_number();
    double x = as_double(a), y = as_double(b), z = as_double(c);
    EXPECT_SAME(f64_add(a, b), x + y, "%a + %a", x, y);
    EXPECT_SAME(f64_add(a, b ^ F64_SIGN), x - y, "%a - %a", x, y);
    EXPECT_SAME(f64_mul(a, b), x * y, "%a * %a", x, y);
    EXPECT_SAME(f64_div(a, b), x / y, "%a / %a", x, y);
    EXPECT_SAME(f64_fma(a, b, c), host_fma(x, y, z), "%a * %a + %a", x, y, z);
    EXPECT_SAME(f64_fma(a, b, bits_of(-x * y)), host_fma(x, y, -x * y), "what %a * %a rounds away", x, y);
    EXPECT_SAME(f64_sqrt(a), host_sqrt(x), "sqrt(%a)", x);
    cr_assert_eq(f64_less(a, b), x < y, "%a < %a", x, y);
    cr_assert_eq(f64_equal(a, b), x == y, "%a == %a", x, y);
    cr_assert_eq(f64_unordered(a, b), isnan(x) || isnan(y), "%a, %a", x, y);
  }
}

Test(bare, conversions_of_doubles) {
  for (int i = 0; i < ROUNDS; i++) {
    uint64_t a = next_number(), v = next_random() >> next_random() % 64;
    double x = as_double(a);
    float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    if (!isnan(x)) cr_assert_eq(f64_to_f32(a), bits, "%a as f32", x);
    cr_assert(isnan(x) == ((f64_to_f32(a) & 0x7fffffff) > 0x7f800000));
    bits = (uint32_t)next_random() >> next_random() % 32;
    memcpy(&f, &bits, 4);
    EXPECT_SAME(f64_from_f32(bits), (double)f, "f32 %a", (double)f);
    EXPECT_SAME(f64_from_u64(v, 0), (double)v, "of an integer");
    EXPECT_SAME(f64_from_i64((int64_t)(0 - v)), (double)(int64_t)(0 - v), "of a negative integer");
    if (fabs(x) < 0x1p63) cr_assert_eq(f64_to_i64(a, INT64_MAX), (int64_t)x, "%a as i64", x);
    if (fabs(x) < 0x1p31) cr_assert_eq(f64_to_i64(a, INT32_MAX), (int32_t)x, "%a as i32", x);
    if (x > -1 && x < 0x1p64) cr_assert_eq(f64_to_u64(a, UINT64_MAX), (uint64_t)x, "%a as u64", x);
  }
  cr_expect_eq(f64_to_i64(bits_of(1e30), INT64_MAX), INT64_MAX);
  cr_expect_eq(f64_to_i64(bits_of(-1e30), INT64_MAX), INT64_MIN);
  cr_expect_eq(f64_to_i64(bits_of(-1e10), INT32_MAX), INT32_MIN);
  cr_expect_eq(f64_to_i64(F64_NAN, INT64_MAX), 0);
  cr_expect_eq(f64_to_u64(bits_of(-5.0), UINT32_MAX), 0);
  cr_expect_eq(f64_to_u64(bits_of(1e10), UINT32_MAX), UINT32_MAX);
}

// In units of the last place of `want`.
static double distance(double got, double want) {
  if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
  if (got == want) return (got == 0) && signbit(got) != signbit(want) ? INFINITY : 0;
  if (isinf(want) || isinf(got)) return INFINITY;
  return fabs(got - want) / (nextafter(fabs(want), INFINITY) - fabs(want));
}

static void compare(const char *name, double (*got)(double), double (*want)(double)) {
  for (int i = 0; i < ROUNDS; i++) {
    double x = as_double(next_number());
    if (i % 2) x = (double)(next_random() % 3000) * 0x1.921fb54442d18p-1 * exp2((double)(next_random() % 60));
    double d = distance(got(x), want(x));
    cr_assert_leq(d, 3, "%s(%a) = %a, not %a", name, x, got(x), want(x));
  }
}

Test(bare, sines_of_any_angle) {
  compare("sin", bare_sin, host_sin);
  compare("cos", bare_cos, host_cos);
  compare("tan", bare_tan, host_tan);
  cr_expect_eq(distance(bare_sin(0x1.6ac5b262ca1ffp+849), host_sin(0x1.6ac5b262ca1ffp+849)) <= 2,
               1); // near n pi
  cr_expect(signbit(bare_sin(-0.0)) && signbit(bare_tan(-0.0)) && isnan(bare_cos(-INFINITY)));
  for (int i = 0; i < ROUNDS; i++) {
    uint32_t bits = (uint32_t)next_random();
    float x;
    memcpy(&x, &bits, 4);
    float want = (float)host_sin((double)x), got = bare_sinf(x);
    cr_assert((isnan(want) && isnan(got)) || fabsf(got - want) <= 1e-7f * fabsf(want), "sinf(%a)", (double)x);
  }
}

Test(bare, remainders_are_exact) {
  for (int i = 0; i < ROUNDS; i++) {
    double x = as_double(next_number()), y = as_double(next_number());
    cr_assert_eq(distance(bare_fmod(x, y), host_fmod(x, y)), 0, "fmod(%a, %a)", x, y);
    float a = (float)x, b = (float)y;
    cr_assert_eq(distance((double)bare_fmodf(a, b), host_fmod((double)a, (double)b)), 0, "fmodf(%a, %a)", x,
                 y);
  }
}

Test(bare, powers) {
  for (int i = 0; i < ROUNDS; i++) {
    double x = as_double(next_number()), y = as_double(next_number());
    if (i % 2)
      x = exp2((double)(int64_t)next_random() * 0x1p-62), y = (double)(int64_t)next_random() * 0x1p-54;
    if (i % 16 == 3) y = round(y);
    if (i % 16 == 5)
      x = 1 + (double)(int64_t)next_random() * 0x1p-80, y = (double)(int64_t)next_random() * 0x1p-30;
    double d = distance(bare_pow(x, y), host_pow(x, y));
    cr_assert_leq(d, 2, "pow(%a, %a) = %a, not %a", x, y, bare_pow(x, y), host_pow(x, y));
  }
  cr_expect_eq(distance((double)bare_powf(2, 0.5f), (double)1.41421356f), 0);
}
