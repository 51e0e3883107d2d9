// main.c: how far compiled code is from the exact result, op by op; writes docs/numerics.md's tables.
// SPDX-License-Identifier: Apache-2.0
//
//     numerics            # checks the bounds below; fails where one is passed
//     numerics --print    # the tables, in Markdown
//
// References are computed in long double (64 bits of mantissa), by libc, whose errors there are below one unit. Inputs
// of f16 and bf16 are all there are; of f32 and f64 special values, values of every exponent, and values in the range
// where the function does something.
#include "tests/numerics/numerics.h"

#include <math.h>
#include <stdlib.h>

typedef long double Exact;

static Exact ref_sigmoid(Exact x) {
  return 1 / (1 + expl(-x));
}
static Exact ref_silu(Exact x) {
  return x * ref_sigmoid(x); // NaN at -inf, as the definition
}
static Exact ref_softplus(Exact x) {
  return x > 60 ? x : log1pl(expl(x));
}
static Exact ref_rsqrt(Exact x) {
  return 1 / sqrtl(x);
}
static Exact ref_reciprocal(Exact x) {
  return 1 / x;
}

// The largest error allowed, in units in the last place of the result's type: f32, f64, f16, bf16.
typedef struct Function {
  const char *op;
  Exact (*exact)(Exact);
  double low, high; // where it does something
  double bound[4];
  bool made_of_others;
} Function;

static const Function FUNCTIONS[] = {
    {"exp", expl, -104, 89, {1, 1, 0.51, 0.51}, false},
    {"expm1", expm1l, -20, 89, {1.5, 1.7, 0.51, 0.51}, false},
    {"log", logl, 0, 10, {0.8, 0.8, 0.51, 0.51}, false},
    {"log1p", log1pl, -1, 10, {1.4, 0.8, 0.51, 0.51}, false},
    {"sqrt", sqrtl, 0, 10, {0.501, 0.501, 0.51, 0.51}, false},
    {"rsqrt", ref_rsqrt, 0, 10, {1.5, 1.5, 0.51, 0.51}, false},
    {"reciprocal", ref_reciprocal, -10, 10, {0.501, 0.501, 0.51, 0.51}, false},
    {"sin", sinl, -100, 100, {0.6, 1.5, 0.51, 0.51}, false},
    {"cos", cosl, -100, 100, {0.6, 1.5, 0.51, 0.51}, false},
    {"tan", tanl, -100, 100, {0.8, 2.7, 0.51, 0.51}, false},
    {"asin", asinl, -1, 1, {0.51, 2.1, 0.51, 0.51}, false},
    {"acos", acosl, -1, 1, {0.51, 1.2, 0.51, 0.51}, false},
    {"atan", atanl, -10, 10, {0.51, 1, 0.51, 0.51}, false},
    {"sinh", sinhl, -89, 89, {0.51, 2.7, 0.51, 0.51}, false},
    {"cosh", coshl, -89, 89, {0.51, 2.7, 0.51, 0.51}, false},
    {"tanh", tanhl, -9, 9, {1.2, 2.4, 0.51, 0.51}, false},
    {"asinh", asinhl, -10, 10, {0.51, 1.5, 0.51, 0.51}, false},
    {"acosh", acoshl, 1, 10, {0.51, 1.8, 0.51, 0.51}, false},
    {"atanh", atanhl, -1, 1, {0.51, 1.7, 0.51, 0.51}, false},
    {"erf", erfl, -4, 4, {1, 1.1, 0.51, 0.51}, false},
    {"sigmoid", ref_sigmoid, -90, 90, {2.5, 2.5, 0.6, 0.6}, true},
    {"silu", ref_silu, -20, 20, {4, 4, 0.6, 0.6}, true},
    {"softplus", ref_softplus, -20, 20, {1.5, 1.5, 0.51, 0.51}, true},
};

static const DType TYPES[] = {DT_F32, DT_F64, DT_F16, DT_BF16};

// ---- units in the last place ------------------------------------------------------------------------------------

typedef struct Format {
  int digits, least, most; // bits of the mantissa; exponents of the smallest normal and the largest number
} Format;

static Format format_of(DType t) {
  switch (t) {
  case DT_F16: return (Format){11, -14, 15};
  case DT_BF16: return (Format){8, -126, 127};
  case DT_F64: return (Format){53, -1022, 1023};
  default: return (Format){24, -126, 127};
  }
}

static Exact ulp_of(Format f, Exact x) {
  int e = x == 0 || !isfinite(x) ? f.least : ilogbl(x);
  if (e < f.least) e = f.least;
  if (e > f.most) e = f.most;
  return ldexpl(1, e - f.digits + 1);
}

// Errors of values that overflow are measured to the number behind the largest. Ops that are made of others may give
// zero where the exact result is next to nothing: 1 / (1 + exp(-x)) does where exp(-x) overflows.
static double error_of(Format f, Exact exact, double got, bool made_of_others) {
  if (made_of_others && fabsl(exact) < ldexpl(1, f.least + 9) && fabs(got) < ldexp(1, f.least + 9)) return 0;
  if (isnan(exact) || isnan(got)) return isnan(exact) && isnan(got) ? 0 : INFINITY;
  Exact end = ldexpl(1, f.most + 1), g = isinf(got) ? copysignl(end, got) : (Exact)got;
  if (fabsl(exact) > end) exact = copysignl(end, exact);
  return (double)(fabsl(g - exact) / ulp_of(f, exact));
}

// ---- inputs -------------------------------------------------------------------------------------------------------

enum { RANDOM = 60000, PER_EXPONENT = 20 };

static uint64_t next_random(uint64_t *state) {
  uint64_t x = *state += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

static double unit(uint64_t *state) {
  return (double)(next_random(state) >> 11) * 0x1p-53;
}

static int64_t put(Tensor *x, int64_t n, double v) {
  if (x) tensor_set(x, n, v);
  return n + 1;
}

// All inputs of the function; with x NULL only counts them.
static int64_t fill(Tensor *x, const Function *f, DType t) {
  static const double special[] = {0.0,  1,   2, 0.5, 3.14159265358979, 1.5707963267949, 0.693147180559945,
                                   1e-3, 1e-8};
  uint64_t state = 7;
  int64_t n = 0;
  if (dtype_bytes(t) == 2) {
    uint16_t *bits = x ? tensor_data(x) : NULL;
    for (; n < 65536; n++)
      if (bits) bits[n] = (uint16_t)n;
    return n;
  }
  Format m = format_of(t);
  for (int i = 0; i < ARRAY_LEN(special); i++) n = put(x, put(x, n, special[i]), -special[i]);
  n = put(x, put(x, put(x, n, INFINITY), -INFINITY), NAN);
  n = put(x, put(x, n, f->low), f->high);
  for (int e = m.least - m.digits + 1; e <= m.most; e += t == DT_F64 ? 5 : 1)
    for (int i = 0; i < PER_EXPONENT; i++)
      n = put(x, n, ldexp(i ? 1 + unit(&state) : 1, e) * (i % 2 ? -1 : 1));
  for (int i = 0; i < RANDOM; i++) n = put(x, n, f->low + (f->high - f->low) * unit(&state));
  return n;
}

// ---- one op ---------------------------------------------------------------------------------------------------------

typedef struct Worst {
  double error, at;
} Worst;

static Worst measure(const Function *f, DType t) {
  World w;
  world_open(&w);
  int64_t n = fill(NULL, f, t);
  Tensor *x = tensor_new(w.c, &(Type){.dtype = t, .rank = 1, .dim = {dim_const(n)}}), *y;
  fill(x, f, t);
  char *text = arena_printf(
      w.c->arena,
      "ingot 1 graph\ngraph main(%%x: %s[%lld]) {\n  %%y: %s[%lld] = %s(%%x)\n  return y=%%y\n}\n",
      dtype_name(t), (long long)n, dtype_name(t), (long long)n, f->op);
  world_run(&w, text, x, &y);
  Worst worst = {0, 0};
  for (int64_t i = 0; i < n; i++) {
    double in = tensor_get(x, i),
           e = error_of(format_of(t), f->exact((Exact)in), tensor_get(y, i), f->made_of_others);
    if (e > worst.error) worst = (Worst){e, in};
  }
  world_close(&w);
  return worst;
}

static bool check_function(const Function *f, bool print) {
  bool ok = true;
  if (print) printf("| `%s` |", f->op);
  for (int i = 0; i < ARRAY_LEN(TYPES); i++) {
    Worst w = measure(f, TYPES[i]);
    if (print) printf(" %.2f |", w.error);
    if (w.error <= f->bound[i]) continue;
    fprintf(stderr, "%s of %s: error %.3f at %.17g, allowed: %.3f\n", f->op, dtype_name(TYPES[i]), w.error,
            w.at, f->bound[i]);
    ok = false;
  }
  if (print) printf("\n");
  return ok;
}

int main(int argc, char **argv) {
  bool print = argc > 1 && strcmp(argv[1], "--print") == 0, ok = true;
  if (print) printf("| op | f32 | f64 | f16 | bf16 |\n|---|---|---|---|---|\n");
  for (int i = 0; i < ARRAY_LEN(FUNCTIONS); i++) ok &= check_function(&FUNCTIONS[i], print);
  ok &= check_sums(print);
  return !ok;
}
