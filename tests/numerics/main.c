// main.c: how far compiled code is from the exact result, op by op; writes docs/numerics.md's tables.
// SPDX-License-Identifier: Apache-2.0
//
//     numerics [TARGET]            # checks the bounds below; fails where one is passed
//     numerics [TARGET] --print    # the tables, in Markdown
//
// References are computed in long double (64 bits of mantissa), by libc, whose errors there are below one unit. Inputs
// of f16 and bf16 are all there are; of f32 and f64 special values, values of every exponent, and values in the range
// where the function does something.
#include "tests/numerics/numerics.h"

#include <math.h>
#include <stdlib.h>

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

static Exact ref_log_sigmoid(Exact x) {
  return -ref_softplus(-x);
}
static Exact ref_sign(Exact x) {
  return x > 0 ? 1 : x < 0 ? -1 : x;
}
static Exact ref_neg(Exact x) {
  return -x;
}
static Exact ref_square(Exact x) {
  return x * x;
}
static Exact ref_relu(Exact x) {
  return isnan(x) || x > 0 ? x : 0;
}
static Exact ref_leaky(Exact x) {
  return x < 0 ? x / 100 : x;
}
static Exact ref_elu(Exact x) {
  return x < 0 ? expm1l(x) : x;
}
static Exact ref_selu(Exact x) {
  return 1.0507009873554805L * (x > 0 ? x : 1.6732632423543772L * expm1l(x));
}
static Exact ref_softsign(Exact x) {
  return x / (1 + fabsl(x));
}
static Exact ref_mish(Exact x) {
  return x * tanhl(ref_softplus(x));
}
static Exact ref_gelu(Exact x) {
  return x * erfcl(-x * sqrtl(0.5L)) / 2;
}
static Exact ref_gelu_tanh(Exact x) {
  return x / 2 * (1 + tanhl(sqrtl(2 / acosl(-1)) * (x + 0.044715L * x * x * x)));
}
static Exact ref_quick_gelu(Exact x) {
  return x * ref_sigmoid(1.702L * x);
}
static Exact ref_tanh_shrink(Exact x) {
  return x - tanhl(x);
}

// The largest error allowed, in units in the last place of the result's type: f32, f64, f16, bf16.
typedef struct Function {
  const char *op;
  Exact (*exact)(Exact);
  double low, high; // where it does something
  double bound[4];
  enum {
    WHOLE,  // a function of its own
    MADE,   // of others: may give zero where the exact result is next to nothing
    CANCELS // of others, and loses digits near a zero: measured in units of the larger of result and operand
  } kind;
} Function;

static const Function FUNCTIONS[] = {
    {"exp", expl, -104, 89, {1, 1, 0.51, 0.51}, WHOLE},
    {"expm1", expm1l, -20, 89, {1.5, 1.8, 0.51, 0.51}, WHOLE},
    {"log", logl, 0, 10, {0.8, 0.8, 0.51, 0.51}, WHOLE},
    {"log1p", log1pl, -1, 10, {1.4, 0.8, 0.51, 0.51}, WHOLE},
    {"sqrt", sqrtl, 0, 10, {0.501, 0.501, 0.51, 0.51}, WHOLE},
    {"rsqrt", ref_rsqrt, 0, 10, {1.5, 1.5, 0.51, 0.51}, WHOLE},
    {"reciprocal", ref_reciprocal, -10, 10, {0.501, 0.501, 0.51, 0.51}, WHOLE},
    {"sin", sinl, -100, 100, {0.6, 1.5, 0.51, 0.51}, WHOLE},
    {"cos", cosl, -100, 100, {0.6, 1.5, 0.51, 0.51}, WHOLE},
    {"tan", tanl, -100, 100, {0.8, 2.7, 0.51, 0.51}, WHOLE},
    {"asin", asinl, -1, 1, {0.51, 2.1, 0.51, 0.51}, WHOLE},
    {"acos", acosl, -1, 1, {0.51, 1.2, 0.51, 0.51}, WHOLE},
    {"atan", atanl, -10, 10, {0.51, 1, 0.51, 0.51}, WHOLE},
    {"sinh", sinhl, -89, 89, {0.51, 2.7, 0.51, 0.51}, WHOLE},
    {"cosh", coshl, -89, 89, {0.51, 2.7, 0.51, 0.51}, WHOLE},
    {"tanh", tanhl, -9, 9, {1.2, 2.4, 0.51, 0.51}, WHOLE},
    {"asinh", asinhl, -10, 10, {0.51, 1.5, 0.51, 0.51}, WHOLE},
    {"acosh", acoshl, 1, 10, {0.51, 1.8, 0.51, 0.51}, WHOLE},
    {"atanh", atanhl, -1, 1, {0.51, 1.7, 0.51, 0.51}, WHOLE},
    {"erf", erfl, -4, 4, {1.3, 1.3, 0.51, 0.51}, WHOLE},
    {"neg", ref_neg, -9, 9, {0, 0, 0, 0}, WHOLE},
    {"abs", fabsl, -9, 9, {0, 0, 0, 0}, WHOLE},
    {"sign", ref_sign, -9, 9, {0, 0, 0, 0}, WHOLE},
    {"floor", floorl, -9, 9, {0, 0, 0, 0}, WHOLE},
    {"ceil", ceill, -9, 9, {0, 0, 0, 0}, WHOLE},
    {"trunc", truncl, -9, 9, {0, 0, 0, 0}, WHOLE},
    {"round", rintl, -9, 9, {0, 0, 0, 0}, WHOLE},
    {"relu", ref_relu, -9, 9, {0, 0, 0, 0}, MADE},
    {"square", ref_square, -9, 9, {0.501, 0.501, 0.501, 0.501}, WHOLE},
    {"sigmoid", ref_sigmoid, -90, 90, {2.5, 2.5, 0.6, 0.6}, MADE},
    {"silu", ref_silu, -20, 20, {4, 4, 0.6, 0.6}, MADE},
    {"softplus", ref_softplus, -20, 20, {1.5, 1.5, 0.51, 0.51}, MADE},
    {"log_sigmoid", ref_log_sigmoid, -20, 20, {1.5, 1.5, 0.51, 0.51}, MADE},
    {"leaky_relu", ref_leaky, -9, 9, {1.5, 1.5, 0.51, 0.51}, MADE},
    {"elu", ref_elu, -20, 9, {1.5, 1.7, 0.51, 0.51}, MADE},
    {"selu", ref_selu, -20, 9, {3, 3, 0.6, 0.6}, MADE},
    {"softsign", ref_softsign, -9, 9, {1.5, 1.5, 0.6, 0.6}, MADE},
    {"mish", ref_mish, -20, 20, {4, 4, 0.6, 0.6}, CANCELS},
    {"gelu", ref_gelu, -9, 9, {3, 3, 0.6, 0.6}, CANCELS},
    {"gelu_tanh", ref_gelu_tanh, -9, 9, {4, 4, 0.6, 0.6}, CANCELS},
    {"quick_gelu", ref_quick_gelu, -9, 9, {4, 4, 0.6, 0.6}, CANCELS},
    {"tanh_shrink", ref_tanh_shrink, -9, 9, {2, 2.4, 0.6, 0.6}, CANCELS},
};

const DType NUMERICS_TYPES[] = {DT_F32, DT_F64, DT_F16, DT_BF16};
const char *numerics_target = "x86-64-v3";

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

// Errors of values that overflow are measured to the number behind the largest.
double numerics_error(DType t, Exact exact, double got, bool any_zero) {
  Format f = format_of(t);
  if (isnan(exact) || isnan(got)) return isnan(exact) && isnan(got) ? 0 : INFINITY;
  if (!any_zero && exact == 0 && got == 0 && !signbit(exact) != !signbit(got)) return INFINITY;
  Exact end = ldexpl(1, f.most + 1), g = isinf(got) ? copysignl(end, got) : (Exact)got;
  if (fabsl(exact) > end) exact = copysignl(end, exact);
  return (double)(fabsl(g - exact) / ulp_of(f, exact));
}

// Of f(in). Ops that are made of others may give zero where the exact result is next to nothing: 1 / (1 + exp(-x)) does
// where exp(-x) overflows.
static double error_of(const Function *f, DType t, double in, double got) {
  Exact exact = f->exact((Exact)in);
  Format m = format_of(t);
  if (f->kind != WHOLE && fabsl(exact) < ldexpl(1, m.least + 9) && fabs(got) < ldexp(1, m.least + 9))
    return 0;
  double e = numerics_error(t, exact, got, f->kind != WHOLE);
  if (f->kind != CANCELS || !isfinite(in) || fabsl(exact) > fabs(in)) return e;
  return e * (double)(ulp_of(m, exact) / ulp_of(m, (Exact)in));
}

// ---- inputs -------------------------------------------------------------------------------------------------------

enum { RANDOM = 60000, PER_EXPONENT = 20 };

static uint64_t next_random(uint64_t *state) {
  uint64_t x = *state += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

double numerics_unit(uint64_t *state) {
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
      n = put(x, n, ldexp(i ? 1 + numerics_unit(&state) : 1, e) * (i % 2 ? -1 : 1));
  for (int i = 0; i < RANDOM; i++) n = put(x, n, f->low + (f->high - f->low) * numerics_unit(&state));
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
  world_run(&w, text, (const Tensor *const[]){x}, &y);
  Worst worst = {0, 0};
  for (int64_t i = 0; i < n; i++) {
    double in = tensor_get(x, i), e = error_of(f, t, in, tensor_get(y, i));
    if (e > worst.error) worst = (Worst){e, in};
  }
  world_close(&w);
  return worst;
}

static bool check_function(const Function *f, bool print) {
  bool ok = true;
  if (print) printf("| `%s` |", f->op);
  for (int i = 0; i < ARRAY_LEN(NUMERICS_TYPES); i++) {
    Worst w = measure(f, NUMERICS_TYPES[i]);
    if (print) printf(" %.2f |", w.error);
    if (w.error <= f->bound[i]) continue;
    fprintf(stderr, "%s of %s: error %.3f at %.17g, allowed: %.3f\n", f->op, dtype_name(NUMERICS_TYPES[i]),
            w.error, w.at, f->bound[i]);
    ok = false;
  }
  if (print) printf("\n");
  return ok;
}

int main(int argc, char **argv) {
  bool print = argc > 1 && strcmp(argv[argc - 1], "--print") == 0, ok = true;
  if (argc - print > 1) numerics_target = argv[1];
  if (print) printf("| op | f32 | f64 | f16 | bf16 |\n|---|---|---|---|---|\n");
  for (int i = 0; i < ARRAY_LEN(FUNCTIONS); i++) ok &= check_function(&FUNCTIONS[i], print);
  ok &= check_binary(print);
  ok &= check_sums(print);
  return !ok;
}
