// test_math.c: how far the compiled functions are from the exact ones, in units of the last place, and their values
// at zeros, infinities, NaN and beyond their domains.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/codegen.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static jmp_buf oom; // never set: running out of memory crashes the test

enum { POINTS = 4096, ROUNDS = 4, LANES = 64 };

typedef long double (*Exact)(long double);

// name, exact function, range to try, largest error allowed for f32 and f64
typedef struct Function {
  const char *name;
  Exact exact;
  double lo, hi, ulp32, ulp64;
} Function;

static long double exp_falling(long double x) {
  return expl(-fabsl(x));
}

static const Function functions[] = {
    {"exp", expl, -110, 95, 1.1, 1.1},    {"log", logl, 0, 1e38, 1, 1},
    {"expm1", expm1l, -30, 95, 1.3, 2},   {"log1p", log1pl, -1, 1e38, 1.5, 1.5},
    {"sin", sinl, -100, 100, 0.8, 2},     {"cos", cosl, -100, 100, 0.8, 2.5},
    {"tan", tanl, -100, 100, 1.2, 3.5},   {"asin", asinl, -1, 1, 0.6, 2.5},
    {"acos", acosl, -1, 1, 0.6, 1.5},     {"atan", atanl, -50, 50, 0.6, 2},
    {"sinh", sinhl, -95, 95, 0.6, 3},     {"cosh", coshl, -95, 95, 0.6, 3},
    {"tanh", tanhl, -12, 12, 1.3, 2.5},   {"asinh", asinhl, -1e10, 1e10, 0.6, 2},
    {"acosh", acoshl, 1, 1e10, 0.6, 2.5}, {"atanh", atanhl, -1, 1, 0.6, 2},
    {"erf", erfl, -6, 6, 1.4, 1.5},       {"exp(-abs", exp_falling, -110, 760, 1.1, 1.1},
};

static const double special[] = {0.0,  -0.0,  INFINITY, -INFINITY, NAN,   1,      -1,    2,  -2,  0.5,
                                 -0.5, 1e-40, -1e-40,   3e38,      -3e38, 1e-300, 1e300, 89, -104};

static double uniform(void) {
  return rand() / (double)RAND_MAX;
}

// Points of the range, near 0, near 1, and of moderate size.
static double argument(const Function *f, int i, int round) {
  if (round == 0 && i < ARRAY_LEN(special)) return special[i];
  double u = uniform(), v = (u - 0.5) * 20;
  bool trig = f->exact == sinl || f->exact == cosl || f->exact == tanl;
  switch (i % 4) {
  case 0: v = f->lo + (f->hi - f->lo) * u; break;
  case 1: v = ldexp(1 + u, -(rand() % 40)) * (rand() % 2 ? 1 : -1); break;
  case 2: v = 1 + (u - 0.5) * ldexp(1, -(rand() % 24)); break;
  }
  if (trig && round == 3) v = ldexp(1 + u, rand() % 100);
  return fmin(fmax(v, f->lo), f->hi);
}

static double ulp(double ref, bool f64) {
  int e, least = f64 ? -1021 : -125;
  frexp(ref, &e);
  return ldexp(1, (e < least ? least : e) - (f64 ? 53 : 24));
}

// A module that computes every function of %x.
static Module *make_module(Ctx *c, const char *type) {
  Str text = {.arena = c->arena};
  str_printf(&text, "ingot 1 loops\nmodule math\ngraph main(%%x: %s[%d] @input) {\n", type, POINTS);
  for (int i = 0; i < ARRAY_LEN(functions); i++)
    str_printf(&text, "  %%y%d: %s[%d] @output+%d = kernel k%d(%%x)\n", i, type, POINTS, i, i);
  for (int i = 0; i < ARRAY_LEN(functions); i++)
    str_printf(&text, "%s y%d=%%y%d", i ? "," : "  return", i, i);
  str_puts(&text, "\n}\n");
  for (int i = 0; i < ARRAY_LEN(functions); i++) {
    const char *tail = strchr(functions[i].name, '(') ? ")" : "";
    str_printf(&text,
               "kernel k%d parallel=%d {\n  %%y%d[i<%d] = %s(%%x[i])%s\n  body {\n    parallel i<%d {\n      "
               "vector j<%d "
               "{\n        %%y%d[i * %d + j] = %s(%%x[i * %d + j])%s\n      }\n    }\n  }\n}\n",
               i, POINTS / LANES, i, POINTS, functions[i].name, tail, POINTS / LANES, LANES, i, LANES,
               functions[i].name, LANES, tail);
  }
  return module_parse(c, source_from_text(c->arena, "math", str_text(&text)));
}

// The error in ulps; infinite where a special value is wrong.
static double error_of(double x, double got, long double exact, bool f64) {
  (void)x;
  double want = f64 ? (double)exact : (float)exact;
  if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
  if (isinf(want) || isinf(got)) return want == got ? 0 : INFINITY;
  if (want == 0 && got == 0) return !signbit(want) == !signbit(got) ? 0 : INFINITY;
  return (double)(fabsl(got - exact) / ulp((double)exact, f64));
}

static void check(const char *type, const char *target) {
  Arena *a = arena_new(&oom);
  Ctx *c = ctx_new(a, diag_new(a, stderr, false));
  bool f64 = strcmp(type, "f64") == 0;
  Module *m = make_module(c, type);
  cr_assert(m);
  m->target = target_find(c, target);
  CodegenOptions o = {.opt_level = 2, .jobs = 1};
  Jit *j = jit_compile(m, &o);
  cr_assert(j);
  Tensor *x = tensor_new(c, &m->main->inputs.data[0]->type), *y[ARRAY_LEN(functions)];
  for (int k = 0; k < ARRAY_LEN(functions); k++) {
    const Function *f = &functions[k];
    double worst = 0, at = 0, value = 0;
    for (int round = 0; round < ROUNDS; round++) {
      for (int i = 0; i < POINTS; i++) tensor_set(x, i, argument(f, i, round));
      cr_assert(jit_run(j, (const Tensor *const[]){x}, y, 1));
      for (int i = 0; i < POINTS; i++) {
        double e = error_of(tensor_get(x, i), tensor_get(y[k], i), f->exact(tensor_get(x, i)), f64);
        if (e <= worst) continue;
        worst = e;
        at = tensor_get(x, i);
        value = tensor_get(y[k], i);
      }
    }
    cr_expect(worst <= (f64 ? f->ulp64 : f->ulp32), "%s %s for %s: %.3f ulp at %a (%.9g), which gives %.17g",
              type, f->name, target, worst, at, at, value);
  }
  // Without its sign the argument of the last one is that of the first, which has other code.
  for (int i = 0; i < POINTS; i++) tensor_set(x, i, -fabs(argument(&functions[0], i, 0)));
  cr_assert(jit_run(j, (const Tensor *const[]){x}, y, 1));
  const Tensor *plain = y[0], *falling = y[ARRAY_LEN(functions) - 1];
  for (int i = 0; i < POINTS; i++) {
    double e = tensor_get(plain, i), f = tensor_get(falling, i);
    cr_assert(e == f || (isnan(e) && isnan(f)), "%s for %s: exp(%a) is %a and %a", type, target,
              tensor_get(x, i), e, f);
  }
  arena_free(a);
}

// Sums that have code of their own: what multiplies them may be any number, so they end at exactly 0 and 2.
static void check_sums(const char *target) {
  static const double x[] = {3.9,  -3.9,  4,        -4,        6,   -6, 1e6,  -1e6,
                             3e38, -3e38, INFINITY, -INFINITY, NAN, 0,  -0.0, 1e-30};
  enum { N = ARRAY_LEN(x) };
  Arena *a = arena_new(&oom);
  Ctx *c = ctx_new(a, diag_new(a, stderr, false));
  const char *text = arena_printf(a,
                                  "ingot 1 loops\nmodule sums\ngraph main(%%x: f32[%d] @input) {\n"
                                  "  %%y: f32[%d] @output = kernel k(%%x)\n  return y=%%y\n}\n"
                                  "kernel k parallel=1 {\n  %%y[i<%d] = 1 + erf(%%x[i])\n  body {\n"
                                  "    parallel i<1 {\n      vector j<%d {\n"
                                  "        %%y[j] = 1 + erf(%%x[j])\n      }\n    }\n  }\n}\n",
                                  N, N, N, N);
  Module *m = module_parse(c, source_from_text(a, "sums", text));
  cr_assert(m);
  m->target = target_find(c, target);
  CodegenOptions o = {.opt_level = 2, .jobs = 1};
  Jit *j = jit_compile(m, &o);
  cr_assert(j);
  Tensor *in = tensor_new(c, &m->main->inputs.data[0]->type), *out[1];
  for (int i = 0; i < N; i++) tensor_set(in, i, x[i]);
  cr_assert(jit_run(j, (const Tensor *const[]){in}, out, 1));
  for (int i = 0; i < N; i++) {
    double want = 1 + erf(x[i]), got = tensor_get(out[0], i);
    if (fabs(x[i]) >= 4)
      cr_expect(got == (x[i] > 0 ? 2 : 0), "%s: 1 + erf(%g) is %.17g", target, x[i], got);
    else if (isnan(x[i]))
      cr_expect(isnan(got));
    else
      cr_expect(fabs(got - want) < 0x1p-22, "%s: 1 + erf(%g) is %.17g", target, x[i], got);
  }
  arena_free(a);
}

static bool host_has(const char *target) {
  Arena *a = arena_new(&oom);
  Ctx *c = ctx_new(a, diag_new(a, stderr, false));
  const char *native = target_find(c, "native")->name;
  bool has =
      strncmp(target, "x86-64", 6) == 0 && strncmp(native, "x86-64", 6) == 0 && strcmp(target, native) <= 0;
  arena_free(a);
  return has;
}

Test(math, with_fused_multiply_add) {
  const char *target = host_has("x86-64-v3") ? "x86-64-v3" : "native";
  check("f32", target);
  check("f64", target);
  check_sums(target);
}

Test(math, without_fused_multiply_add) {
  if (!host_has("x86-64")) return;
  check("f32", "x86-64");
  check("f64", "x86-64");
  check_sums("x86-64");
}

Test(math, in_wide_vectors) {
  if (!host_has("x86-64-v4")) return;
  check("f32", "x86-64-v4");
  check("f64", "x86-64-v4");
}
