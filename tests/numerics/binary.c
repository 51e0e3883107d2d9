// binary.c: errors of functions of two operands, on all pairs of special values and on random ones.
// SPDX-License-Identifier: Apache-2.0
#include "tests/numerics/numerics.h"

#include <math.h>
#include <stdlib.h>

static Exact ref_add(Exact x, Exact y) {
  return x + y;
}
static Exact ref_sub(Exact x, Exact y) {
  return x - y;
}
static Exact ref_mul(Exact x, Exact y) {
  return x * y;
}
static Exact ref_div(Exact x, Exact y) {
  return x / y;
}
static Exact ref_mod(Exact x, Exact y) {
  Exact r = fmodl(x, y);
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}
static Exact ref_min(Exact x, Exact y) {
  return isnan(x) || isnan(y) ? (Exact)NAN : x < y ? x : y;
}
static Exact ref_max(Exact x, Exact y) {
  return isnan(x) || isnan(y) ? (Exact)NAN : x > y ? x : y;
}

typedef struct Function2 {
  const char *op;
  Exact (*exact)(Exact, Exact);
  double low[2], high[2]; // where random operands lie
  double bound[4];        // f32, f64, f16, bf16
  bool any_zero;          // the sign of a zero is not defined
} Function2;

static const Function2 FUNCTIONS[] = {
    {"add", ref_add, {-9, -9}, {9, 9}, {0.5, 0.501, 0.5, 0.5}, false},
    {"sub", ref_sub, {-9, -9}, {9, 9}, {0.5, 0.501, 0.5, 0.5}, false},
    {"mul", ref_mul, {-9, -9}, {9, 9}, {0.5, 0.501, 0.5, 0.5}, false},
    {"div", ref_div, {-9, -9}, {9, 9}, {0.501, 0.501, 0.501, 0.501}, false},
    {"mod", ref_mod, {-99, -9}, {99, 9}, {0.5, 0.501, 0.5, 0.5}, true},
    {"rem", fmodl, {-99, -9}, {99, 9}, {0, 0, 0, 0}, false},
    {"min", ref_min, {-9, -9}, {9, 9}, {0, 0, 0, 0}, true},
    {"max", ref_max, {-9, -9}, {9, 9}, {0, 0, 0, 0}, true},
    {"pow", powl, {0, -20}, {10, 20}, {1, 1, 0.51, 0.51}, false},
    {"atan2", atan2l, {-9, -9}, {9, 9}, {0.51, 1.5, 0.51, 0.51}, false},
};

enum { RANDOM_PAIRS = 40000, WIDE_PAIRS = 20000 };

static double special(DType t, int i) {
  static const double values[] = {0.0, 1, 2, 0.5, 3, 1e-3, 7.5, 100, INFINITY};
  enum { N = ARRAY_LEN(values) };
  if (i < 2 * N) return i % 2 ? -values[i / 2] : values[i / 2];
  double least = t == DT_F64 ? 0x1p-1074 : t == DT_F16 ? 0x1p-24 : t == DT_BF16 ? 0x1p-133 : 0x1p-149;
  double most = t == DT_F64 ? 0x1.fffffffffffffp1023 : t == DT_F16 ? 65504 : 0x1.fep127;
  const double rest[] = {NAN, least, -least, most, -most, 3 * least};
  return rest[i - 2 * N];
}

enum { SPECIALS = 24 };

static int64_t next_pair(const Function2 *f, DType t, int64_t i, double pair[2]) {
  static uint64_t state;
  if (i == 0) state = 11;
  for (int k = 0; k < 2; k++) {
    double u = numerics_unit(&state);
    if (i < SPECIALS * SPECIALS)
      pair[k] = special(t, (int)(k ? i % SPECIALS : i / SPECIALS));
    else if (i < SPECIALS * SPECIALS + WIDE_PAIRS) // of every size
      pair[k] =
          ldexp(u + 1, (int)(numerics_unit(&state) * (t == DT_F16 ? 30 : 250)) - (t == DT_F16 ? 15 : 125)) *
          (numerics_unit(&state) < 0.5 ? -1 : 1);
    else
      pair[k] = f->low[k] + (f->high[k] - f->low[k]) * u;
  }
  return SPECIALS * SPECIALS + WIDE_PAIRS + RANDOM_PAIRS;
}

static bool check_type(const Function2 *f, int which, bool print) {
  World w;
  world_open(&w);
  DType t = NUMERICS_TYPES[which];
  double pair[2], worst = 0, at[2] = {0, 0};
  int64_t n = next_pair(f, t, 0, pair);
  Type type = {.dtype = t, .rank = 1, .dim = {dim_const(n)}};
  Tensor *x[2] = {tensor_new(w.c, &type), tensor_new(w.c, &type)}, *z;
  for (int64_t i = 0; i < n; i++) {
    next_pair(f, t, i, pair);
    for (int k = 0; k < 2; k++) tensor_set(x[k], i, pair[k]);
  }
  const char *ts = arena_printf(w.c->arena, "%s[%lld]", dtype_name(t), (long long)n);
  world_run(
      &w,
      arena_printf(
          w.c->arena,
          "ingot 1 graph\ngraph main(%%x: %s, %%y: %s) {\n  %%z: %s = %s(%%x, %%y)\n  return z=%%z\n}\n", ts,
          ts, ts, f->op),
      (const Tensor *const *)x, &z);
  for (int64_t i = 0; i < n; i++) {
    double a = tensor_get(x[0], i), b = tensor_get(x[1], i), got = tensor_get(z, i);
    double e = numerics_error(t, f->exact((Exact)a, (Exact)b), got, f->any_zero);
    if (e > worst) worst = e, at[0] = a, at[1] = b;
  }
  world_close(&w);
  if (print) printf(" %.2f |", worst);
  if (worst > f->bound[which])
    fprintf(stderr, "%s of %s: error %.3f at %.17g and %.17g, allowed: %.3f\n", f->op, dtype_name(t), worst,
            at[0], at[1], f->bound[which]);
  return worst <= f->bound[which];
}

bool check_binary(bool print) {
  bool ok = true;
  for (int i = 0; i < ARRAY_LEN(FUNCTIONS); i++) {
    if (print) printf("| `%s` |", FUNCTIONS[i].op);
    for (int t = 0; t < ARRAY_LEN(FUNCTIONS[i].bound); t++) ok &= check_type(&FUNCTIONS[i], t, print);
    if (print) printf("\n");
  }
  return ok;
}
