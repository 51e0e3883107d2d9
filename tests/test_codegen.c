// test_codegen.c: compiled code against the evaluator: every op's samples at every level and instruction set, and
// loops written by hand for each way in which code generation treats them.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/codegen.h"
#include "passes/passes.h"
#include "tests/calls.h"

#include <math.h>
#include <stdio.h>

// The targets of this machine's kind that it can run.
static int host_targets(Ctx *c, const Target **out) {
  static const char *const names[] = {"x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"};
  const char *native = target_find(c, "native")->name;
  int n = 0;
  for (int i = 0; i < ARRAY_LEN(names); i++) {
    out[n++] = target_find(c, names[i]);
    if (strcmp(names[i], native) == 0) return n;
  }
  out[0] = target_find(c, native);
  return 1;
}

// ---- comparing ----------------------------------------------------------------------------------------------------

static bool equal_tensors(const Tensor *want, const Tensor *got, const char *what, int output) {
  if (!type_equal(&want->type, &got->type)) {
    cr_expect(false, "%s: the type of output %d differs", what, output);
    return false;
  }
  bool real = dtype_is_float(want->type.dtype);
  double size = largest(want);
  for (int64_t i = 0; i < type_elements(&want->type); i++) {
    bool same = real ? near_enough(want->type.dtype, tensor_get(want, i), tensor_get(got, i), size)
                     : tensor_get_int(want, i) == tensor_get_int(got, i);
    if (same) continue;
    cr_expect(false, "%s: element %ld of output %d is %.9g, not %.9g", what, (long)i, output,
              tensor_get(got, i), tensor_get(want, i));
    return false;
  }
  return true;
}

// Compiles and runs m (at loops level) and compares with what is expected.
static bool check_module(Module *m, const Tensor *const *in, Tensor *const *want, const char *what,
                         int level) {
  Tensor *got[64];
  CodegenOptions o = {.opt_level = level, .jobs = 1};
  Jit *j = jit_compile(m, &o);
  cr_expect(j, "%s does not compile", what);
  if (!j) return false;
  bool ok = jit_run(j, in, got, 1);
  cr_expect(ok, "%s does not run", what);
  for (int i = 0; ok && i < m->main->outputs.n; i++) ok = equal_tensors(want[i], got[i], what, i);
  return ok;
}

// ---- every op -----------------------------------------------------------------------------------------------------

static void check_call(const char *call, int level, const Target *target) {
  Ctx *c = ctx_make(stderr);
  Call r;
  const char *s = call;
  call_start(&r, c);
  call_parse(&r, &s);
  cr_assert(r.n, "%s is refused", call);
  const char *what =
      arena_printf(c->arena, "%.*s at -O%d for %s", (int)(s - call), call, level, target->name);
  Tensor *want[CALL_MAX_IN];
  cr_assert(eval_module(r.m, (const Tensor *const *)r.in, want), "%s does not evaluate", call);
  r.m->target = target;
  PassOptions o = {.opt_level = level, .winograd = "off", .threads = 1};
  bool ok = passes_run(r.m, &o, NULL, NULL, NULL);
  cr_expect(ok, "%s: passes fail", what);
  if (ok) check_module(r.m, (const Tensor *const *)r.in, want, what, level);
  ctx_free(c);
}

static void check_samples(int level, const char *target) {
  Ctx *c = ctx_make(stderr);
  const Target *host[8], *t = NULL;
  for (int i = host_targets(c, host) - 1; i >= 0; i--)
    if (!target || strcmp(host[i]->name, target) == 0) t = host[i];
  for (int i = 0; t && i < op_count(c); i++) {
    for (const char *s = op_at(c, i)->info->sample; s && *s;) {
      check_call(s, level, t);
      while (*s && *s != ';') s++;
      while (*s == ';' || *s == ' ') s++;
    }
  }
  ctx_free(c);
}

Test(codegen, samples_unscheduled) {
  check_samples(0, "x86-64-v3");
}

Test(codegen, samples_optimised) {
  check_samples(2, "x86-64-v3");
}

Test(codegen, samples_oldest_target) {
  check_samples(2, "x86-64");
}

Test(codegen, samples_newest_target) {
  check_samples(2, "x86-64-v4");
}

// ---- loops written by hand ----------------------------------------------------------------------------------------

// Values that provoke: extremes, zeros of both signs, infinities, NaN, what does not fit other types.
static const double odd_floats[] = {
    0,         -0.0, 1,    -1,    0.5,   -0.5,   1.5,    2.5,     -2.5,         INFINITY,
    -INFINITY, NAN,  1e30, -1e30, 127.5, -128.5, 255.5,  65535.5, 2147483648.0, -2147483649.0,
    1e-40,     3,    -3,   7.25,  1e10,  -1e10,  9.3e18, -9.3e18, 0.1,          -0.1};
static const int64_t odd_ints[] = {
    0,    1,   -1,  2,     -2,     3,     7,         -7,        31,        32,        33,  63,   64, 65, 127,
    -128, 255, 256, 32767, -32768, 65535, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 100, -100, 8,  15, 16};

static void fill(Tensor *x, uint32_t *state, bool odd) {
  for (int64_t i = 0; i < type_elements(&x->type); i++) {
    uint32_t r = call_random(state);
    if (dtype_is_float(x->type.dtype))
      tensor_set(x, i,
                 odd && r % 3 == 0 ? odd_floats[r / 3 % ARRAY_LEN(odd_floats)] : (r / 64 % 4001) / 500.0 - 4);
    else
      tensor_set_int(x, i, odd && r % 3 ? odd_ints[r / 3 % ARRAY_LEN(odd_ints)] : r / 64 % 100);
  }
}

// Runs a module in text form on every target of this machine. Symbols take `sym` as their value.
static bool check_text(const char *text, const char *what, bool odd, int64_t sym) {
  Ctx *c = ctx_make(stderr);
  const Target *target[8];
  int n = host_targets(c, target);
  bool ok = true;
  Module *m = module_parse(c, source_from_text(c->arena, what, text));
  cr_expect(m, "%s does not parse:\n%s", what, text);
  Tensor *in[16], *want[64];
  uint32_t state = 1;
  for (int i = 0; m && i < m->main->inputs.n; i++) {
    Type t = m->main->inputs.data[i]->type;
    for (int d = 0; d < t.rank; d++)
      if (t.dim[d].sym) t.dim[d] = dim_const(sym);
    in[i] = tensor_new(c, &t);
    fill(in[i], &state, odd);
  }
  ok = m && eval_module(m, (const Tensor *const *)in, want);
  cr_expect(ok, "%s does not evaluate", what);
  for (int i = 0; ok && i < n; i++) {
    m->target = target[i];
    ok = check_module(m, (const Tensor *const *)in, want,
                      arena_printf(c->arena, "%s for %s", what, target[i]->name), 2);
  }
  cr_expect(ok, "%s", text);
  ctx_free(c);
  return ok;
}

// One kernel from %x, %y to %z, whose body is `body`.
static void check_body(const char *x, const char *y, const char *z, const char *body) {
  Ctx *c = ctx_make(stderr);
  int rank = *strchr(z, '[') && strchr(z, '[')[1] != ']';
  for (const char *s = z; *s; s++) rank += *s == ',';
  Str stage = {.arena = c->arena};
  const char *extent = strchr(z, '[') + 1;
  for (int i = 0; i < rank; i++, extent = strchr(extent, ',') ? strchr(extent, ',') + 1 : extent)
    str_printf(&stage, "%sq%d<%d", i ? ", " : "", i, atoi(extent));
  const char *text = arena_printf(c->arena,
                                  "ingot 1 loops\nmodule t\n"
                                  "graph main(%%x: %s @input, %%y: %s @input+1) {\n"
                                  "  %%z: %s @output = kernel k(%%x, %%y)\n  return z=%%z\n}\n"
                                  "kernel k parallel=1 {\n  %%z[%s] = 0\n  body {\n%s\n  }\n}\n",
                                  x, y, z, str_text(&stage), body);
  check_text(text, body, false, 0);
  ctx_free(c);
}

Test(codegen, vector_loops_of_any_extent) {
  char body[200], type[40];
  for (int n = 1; n <= 67; n += n < 20 ? 1 : 9) {
    snprintf(type, sizeof type, "f32[%d]", n);
    snprintf(body, sizeof body, "vector i<%d {\n%%z[i] = %%x[i] * 2 + %%y[i]\n}", n);
    check_body(type, type, type, body);
  }
}

Test(codegen, strides) {
  char body[200], type[40];
  for (int step = 1; step <= 6; step++) {
    snprintf(type, sizeof type, "f32[%d]", 20 * step);
    snprintf(body, sizeof body, "vector i<19 {\n%%z[i] = %%x[i * %d + %d] + %%y[%d - i]\n}", step, step - 1,
             18);
    check_body(type, "f32[20]", "f32[19]", body);
    snprintf(body, sizeof body,
             "vector i<19 {\n%%z[i * %d] = %%x[i]\n}\nvector j<19 {\n%%z[%d - j] = %%y[j]\n}", step,
             20 * step - 1);
    check_body("f32[20]", "f32[20]", type,
               arena_printf(ctx_make(stderr)->arena, "vector k<%d {\n%%z[k] = 0\n}\n%s", 20 * step, body));
  }
}

Test(codegen, gathers_and_scatters) {
  check_body("f32[50]", "i64[33]", "f32[33]", "vector i<33 {\n%z[i] = %x[min(max(%y[i] // 2, 0), 49)]\n}");
  check_body("f32[50]", "i32[33]", "f32[33]", "vector i<33 {\n%z[i] = %x[min(max(i64(%y[i]), 0), 49)]\n}");
  // Lanes that meet in one place add up, in order.
  check_body("f32[40]", "i64[40]", "f32[5]",
             "vector k<5 {\n%z[k] = 0\n}\nvector i<40 {\n%z[%y[i] % 5] += %x[i]\n}");
  check_body("f32[40]", "i64[40]", "f32[5]",
             "vector k<5 {\n%z[k] = 0\n}\nvector i<40 {\n%z[%y[i] % 5] = %x[i]\n}");
  check_body("f32[8, 9]", "f32[1]", "f32[9, 8]", "for i<9 {\nvector j<8 {\n%z[i, j] = %x[j, i]\n}\n}");
}

Test(codegen, reductions_over_lanes) {
  static const char *const types[] = {"f32", "f64", "i32", "u8", "i64", "f16", "bf16"};
  static const struct {
    const char *op, *start;
  } ops[] = {{"+=", "0"}, {"*=", "1"}, {"max=", "3"}, {"min=", "3"}};
  char body[300], x[40], z[40];
  for (int t = 0; t < ARRAY_LEN(types); t++)
    for (int o = 0; o < ARRAY_LEN(ops); o++) {
      snprintf(x, sizeof x, "%s[4, 21]", types[t]);
      snprintf(z, sizeof z, "%s[4]", types[t]);
      snprintf(body, sizeof body, "for r<4 {\n%%z[r] = %s\nvector i<21 {\n%%z[r] %s %%x[r, i]\n}\n}",
               ops[o].start, ops[o].op);
      check_body(x, "f32[1]", z, body);
      // With a mask; in a branch; read while it is written.
      snprintf(body, sizeof body,
               "for r<4 {\n%%z[r] = %s\nvector i<21 {\nif i < 13 {\n%%z[r] %s %%x[r, i]\n}\n}\n}",
               ops[o].start, ops[o].op);
      check_body(x, "f32[1]", z, body);
      snprintf(body, sizeof body,
               "for r<4 {\n%%z[r] = %s\nvector i<21 {\nif r < 2 {\n%%z[r] %s %%x[r, i]\n}\n}\n}",
               ops[o].start, ops[o].op);
      check_body(x, "f32[1]", z, body);
    }
}

// Sums of several rows that end up side by side are shuffled together.
Test(codegen, reductions_to_neighbours) {
  static const char *const types[] = {"f32", "f64", "i32", "u8", "i64", "f16"};
  for (int t = 0; t < ARRAY_LEN(types); t++)
    for (int rows = 2; rows <= 19; rows += 1 + rows / 5)
      for (int lanes = 4; lanes <= 16; lanes *= 2) {
        Str body = {.arena = ctx_make(stderr)->arena};
        char x[40], z[40];
        snprintf(x, sizeof x, "%s[%d, %d]", types[t], rows, lanes);
        snprintf(z, sizeof z, "%s[%d]", types[t], rows);
        str_printf(&body, "vector r<%d {\n%%z[r] = 0\n}\nvector i<%d {\n", rows, lanes);
        for (int r = 0; r < rows; r++)
          str_printf(&body, "%%z[%d] %s %%x[%d, i]\n", r, lanes == 8 ? "max=" : "+=", r);
        str_printf(&body, "}");
        check_body(x, "f32[1]", z, str_text(&body));
      }
}

Test(codegen, masks) {
  check_body("f32[40]", "f32[40]", "f32[40]",
             "vector i<40 {\nif i < 11 {\n%z[i] = %x[i]\n} else {\n%z[i] = %y[i] + 1\n}\n}");
  check_body("f32[40]", "f32[40]", "f32[40]",
             "vector i<40 {\n%z[i] = %y[i]\nif %x[i] < 0 {\n%z[i] += 2\nif %x[i] < -1 {\n%z[i] = 7\n}\n}\n}");
  check_body("f32[40]", "f32[40]", "f32[40]",
             "vector j<40 {\n%z[j] = 1\n}\nvector i<40 {\nif %x[i] < 0 {\n%z[39 - i] = %y[i]\n}\n}");
  check_body("f32[40]", "f32[40]", "f32[2]",
             "%z[0] = 5\n%z[1] = 6\nvector i<40 {\nif %x[i] < 0 {\n%z[1] = %y[i]\n}\n}");
  for (int n = 0; n <= 17; n++) {
    char body[200];
    snprintf(body, sizeof body, "vector i<16 {\nif i < %d {\n%%z[i] = %%x[i]\n} else {\n%%z[i] = 3\n}\n}", n);
    check_body("u8[16]", "f32[1]", "u8[16]", body);
    snprintf(body, sizeof body,
             "for k<18 {\nvector i<16 {\nif 15 - i < k + %d {\n%%z[k, i] = %%x[i]\n} else {\n%%z[k, i] = "
             "3\n}\n}\n}",
             n - 9);
    check_body("f32[16]", "f32[1]", "f32[18, 16]", body);
  }
}

Test(codegen, guards) {
  // Rows of a padded image: before, inside and after it.
  check_body("f32[5, 12]", "f32[1]", "f32[9, 16]",
             "for r<9 {\nvector i<16 {\n%z[r, i] = if(0 <= r - 2 & r - 2 < 5 & 0 <= i - 2 & i - 2 < 12, "
             "%x[r - 2, i - 2], 0)\n}\n}");
  check_body("f32[5, 12]", "f32[1]", "f32[9, 12]",
             "for r<9 {\nvector i<12 {\n%z[r, i] = if(0 <= r - 2 & r - 2 < 5, %x[r - 2, i] * 2, 1)\n}\n}");
  check_body(
      "f32[5, 12]", "f32[12]", "f32[9, 12]",
      "for r<9 {\nfor i<12 {\n%z[r, i] = if(0 <= r - 2 & r - 2 < 5, exp(%x[r - 2, i]) + %x[r - 2, 11 - i] + "
      "%x[r - 2, 0] + %x[r - 2, 1] * %y[i], %y[i])\n}\n}");
  check_body("f32[12]", "f32[1]", "f32[24]", "vector i<24 {\n%z[i] = if(i % 2 == 0, %x[i // 2], -1)\n}");
  check_body("f32[12]", "f32[1]", "f32[12]", "vector i<12 {\n%z[i] = if(i < 11, %x[10 - i], -1)\n}");
  check_body("f32[24]", "f32[1]", "f32[16]", "vector i<16 {\n%z[i] = if(i < 12, %x[2 * i], -1)\n}");
}

Test(codegen, locals) {
  check_body("f32[40]", "f32[40]", "f32[40]",
             "vector i<40 {\nalloc %t: f32[3] @reg\n%t[0] = %x[i]\n%t[1] = %y[i]\n%t[2] = 0\nunroll k<2 "
             "{\n%t[2] += %t[k] * "
             "2\n}\n%z[i] = %t[2]\n}");
  check_body(
      "f32[10, 40]", "f32[40]", "f32[10]",
      "for r<10 {\nalloc %t: f32[40] @stack\nvector i<40 {\n%t[i] = %x[r, i] * %y[i]\n}\n%z[r] = %t[7] + "
      "%t[r]\n}");
  check_body("f32[16, 8]", "f32[16, 8]", "f32[4, 8]",
             "alloc %t: f32[4, 8] @reg\nunroll i<4 {\nvector j<8 {\n%t[i, j] = 0\n}\n}\nfor k<16 {\nunroll "
             "a<4 {\nvector "
             "b<8 {\n%t[a, b] += %x[k, a] * %y[k, b]\n}\n}\n}\nunroll i<4 {\nvector j<8 {\n%z[i, j] = %t[i, "
             "j]\n}\n}");
  check_body("f32[40]", "f32[40]", "f32[40]",
             "vector i<40 {\nlet a: f32 = %x[i] + 1\nlet k: i64 = 39 - i\n%z[k] = a * %y[i]\n}");
}

Test(codegen, extents_given_at_run_time) {
  static const char text[] =
      "ingot 1 loops\nmodule t\nsym T: 1..50\n"
      "graph main(%x: f32[T<=50, 8] @input) {\n"
      "  %z: f32[T * 2 + 1<=101, 8] @output = kernel k(%x)\n  return z=%z\n}\n"
      "kernel k parallel=101 {\n  %z[i<T * 2 + 1, j<8] = 0\n  body {\n"
      "parallel i<T * 2 + 1 {\nvector j<8 {\n%z[i, j] = if(i < T, %x[i, j], f32(T))\n}\n}\n  }\n}\n";
  for (int64_t t = 1; t <= 50; t += 7) check_text(text, "symbols", false, t);
}

// ---- control flow -------------------------------------------------------------------------------------------------

static Value *scalar(Builder *b, DType t, double v) {
  return graph_const(b->graph, NULL, tensor_scalar(b->ctx, t, v), NO_LOC);
}

static Value *with(Builder *b, const char *op, Value *x, double v) {
  return build(b, op, IN(x, scalar(b, x->type.dtype, v)), NO_ATTRS);
}

// Evaluates, lowers at both levels, runs.
static void check_graph(Module *(*make)(Ctx *c, int variant), int variants, const char *what,
                        const Tensor *in) {
  for (int v = 0; v < variants; v++)
    for (int level = 0; level <= 2; level += 2) {
      Ctx *c = ctx_make(stderr);
      Module *m = make(c, v);
      Tensor *want[8];
      cr_assert(m && eval_module(m, &in, want), "%s %d does not evaluate", what, v);
      PassOptions o = {.opt_level = level, .winograd = "off", .threads = 1};
      cr_assert(passes_run(m, &o, NULL, NULL, NULL), "%s %d: passes fail at -O%d", what, v, level);
      check_module(m, &in, want, arena_printf(c->arena, "%s %d at -O%d", what, v, level), level);
      ctx_free(c);
    }
}

// Carries (a, b) -> (b, a + b) and collects a; stops after `trips`, a trip count, or when b passes a limit.
static Module *make_loop(Ctx *c, int variant) {
  Module *m = module_new(c, "t");
  Builder b = builder_at(m->main, NULL, NO_LOC);
  Type one = type_make(DT_F32, 1, (int64_t[]){1});
  Value *x = graph_input(m->main, "x", one, NO_LOC);
  Graph *body = graph_new(m, "body", m->main);
  Builder i = builder_at(body, NULL, NO_LOC);
  graph_input(body, "i", (Type){.dtype = DT_I64}, NO_LOC);
  graph_input(body, "go", (Type){.dtype = DT_BOOL}, NO_LOC);
  Value *p = graph_input(body, "p", one, NO_LOC), *q = graph_input(body, "q", one, NO_LOC);
  Value *sum = build(&i, "add", IN(p, q), NO_ATTRS);
  Value *less = with(&i, "less", build(&i, "reshape", IN(sum), ATTRS(A_SHAPE("shape", NULL, 0))), 50);
  graph_output(body, NULL, less);
  graph_output(body, NULL, q);
  graph_output(body, NULL, sum);
  graph_output(body, NULL, p);
  bool counted = variant == 1 || variant == 3, stops = variant >= 2;
  Value *in[] = {counted ? scalar(&b, DT_I64, 4) : NULL, stops ? scalar(&b, DT_BOOL, 1) : NULL, x,
                 with(&b, "add", x, 1)};
  Dim trips = dim_const(30);
  Node *n = build_region_node(&b, "loop", in, 4, ATTRS(A_SHAPE("trips", &trips, 1)), &body, 1);
  for (int k = 0; n && k < n->nout; k++) graph_output(m->main, NULL, n->out[k]);
  return n ? m : NULL;
}

Test(codegen, loops_of_the_model) {
  Ctx *c = ctx_make(stderr);
  Type one = type_make(DT_F32, 1, (int64_t[]){1});
  float x = 1;
  check_graph(make_loop, 4, "loop", tensor_view(c, &one, &x));
  ctx_free(c);
}

// if (x < 0) -x * 7 else if (x < 10) x + 1 else x itself
static Module *make_if(Ctx *c, int variant) {
  Module *m = module_new(c, "t");
  Builder b = builder_at(m->main, NULL, NO_LOC);
  Value *x = graph_input(m->main, "x", type_make(DT_F32, 1, (int64_t[]){1}), NO_LOC);
  Value *s = build(&b, "reshape", IN(x), ATTRS(A_SHAPE("shape", NULL, 0)));
  Graph *arm[] = {graph_new(m, "then", m->main), graph_new(m, "else", m->main)};
  Builder then = builder_at(arm[0], NULL, NO_LOC), other = builder_at(arm[1], NULL, NO_LOC);
  graph_output(arm[0], NULL, with(&then, "mul", x, -7));
  Graph *inner[] = {graph_new(m, "then", arm[1]), graph_new(m, "else", arm[1])};
  Builder deep = builder_at(inner[0], NULL, NO_LOC);
  graph_output(inner[0], NULL, with(&deep, "add", x, 1));
  graph_output(inner[1], NULL, x);
  Value *cond = with(&other, "less", s, 10);
  Node *nested = build_region_node(&other, "if", &cond, 1, NO_ATTRS, inner, 2);
  if (!nested) return NULL;
  graph_output(arm[1], NULL, nested->out[0]);
  cond = with(&b, "less", s, variant);
  Node *n = build_region_node(&b, "if", &cond, 1, NO_ATTRS, arm, 2);
  if (n) graph_output(m->main, NULL, n->out[0]);
  return n ? m : NULL;
}

Test(codegen, branches_of_the_model) {
  Ctx *c = ctx_make(stderr);
  Type one = type_make(DT_F32, 1, (int64_t[]){1});
  static const float values[] = {-3, 0.5f, 20};
  for (int i = 0; i < ARRAY_LEN(values); i++) check_graph(make_if, 2, "if", tensor_view(c, &one, &values[i]));
  ctx_free(c);
}

// ---- every operation on every type ----------------------------------------------------------------------------------

// One kernel per expression of x and y, in a vector loop and in a scalar one; `outs` are the results' types.
static void check_expressions(const char *in, const char *const *outs, const char *const *exprs, int n) {
  Ctx *c = ctx_make(stderr);
  Str text = {.arena = c->arena};
  str_printf(&text, "ingot 1 loops\nmodule t\ngraph main(%%x: %s[300] @input, %%y: %s[300] @input+1) {\n", in,
             in);
  for (int i = 0; i < 2 * n; i++)
    str_printf(&text, "  %%z%d: %s[300] @output+%d = kernel k%d(%%x, %%y)\n", i, outs[i / 2], i, i);
  for (int i = 0; i < 2 * n; i++) str_printf(&text, "%s z%d=%%z%d", i ? "," : "  return", i, i);
  str_puts(&text, "\n}\n");
  for (int i = 0; i < 2 * n; i++)
    str_printf(&text,
               "kernel k%d parallel=1 {\n  %%z%d[q<300] = %s(0)\n  body {\nfor o<20 {\n%s i<15 {\nlet k: i64 "
               "= o * 15 + "
               "i\nlet x: %s = %%x[k]\nlet y: %s = %%y[k]\n%%z%d[k] = %s\n}\n}\n  }\n}\n",
               i, i, outs[i / 2], i % 2 ? "vector" : "for", in, in, i, exprs[i / 2]);
  check_text(str_text(&text), in, true, 0);
  ctx_free(c);
}

enum { MAX_EXPRS = 32 };

// All results of one type.
static void check_typed(const char *in, const char *out, const char *const *exprs, int n) {
  const char *outs[MAX_EXPRS];
  for (int i = 0; i < n; i++) outs[i] = out;
  check_expressions(in, outs, exprs, n);
}

static const char *const type_names[] = {"bool", "i8",  "u8",  "i16",  "u16", "i32", "u32",
                                         "i64",  "u64", "f16", "bf16", "f32", "f64"};

Test(codegen, casts) {
  Ctx *c = ctx_make(stderr);
  const char *exprs[ARRAY_LEN(type_names)];
  for (int b = 0; b < ARRAY_LEN(type_names); b++) exprs[b] = arena_printf(c->arena, "%s(x)", type_names[b]);
  for (int a = 0; a < ARRAY_LEN(type_names); a++)
    check_expressions(type_names[a], type_names, exprs, ARRAY_LEN(type_names));
  ctx_free(c);
}

Test(codegen, integer_operations) {
  static const char *const exprs[] = {"x + y",   "x - y",     "x * y",          "x / y",       "x // y",
                                      "x % y",   "rem(x, y)", "min(x, y)",      "max(x, y)",   "x & y",
                                      "x | y",   "x ^ y",     "x << y",         "x >> y",      "-x",
                                      "!x",      "abs(x)",    "popcount(x)",    "x / 7",       "x % 8",
                                      "x // 16", "x << 3",    "pow(x, y & 15)", "fma(x, y, x)"};
  static const char *const pairs[] = {"dot16(x, y)", "dot16(x, x)",        "dot16(x * 65537, y) + x",
                                      "dot8(x, y)",  "dot8(x, x)",         "dot8(x * 65793, y * 257)",
                                      "add16(x, y)", "add16(x * 65537, y)"};
  static const char *const halves[] = {"x >> 8 & 16711935", "x >> 12 & 983055", "x >> 4 & 983055",
                                       "x >> 15 & 65537",   "x >> 16 & 0",      "x >> 8 & 16711680"};
  for (int t = 1; t < 9; t++) check_typed(type_names[t], type_names[t], exprs, ARRAY_LEN(exprs));
  check_typed("u32", "u32", halves, ARRAY_LEN(halves));
  check_typed("i32", "i32", pairs, ARRAY_LEN(pairs));
}

Test(codegen, comparisons) {
  static const char *const exprs[] = {"x == y", "x != y", "x < y", "x <= y", "x > y", "x >= y"};
  for (int t = 0; t < ARRAY_LEN(type_names); t++) check_typed(type_names[t], "bool", exprs, ARRAY_LEN(exprs));
}

Test(codegen, float_operations) {
  static const char *const exprs[] = {
      "x + y",     "x * y",    "x / y",     "x % y",       "rem(x, y)",    "min(x, y)",
      "max(x, y)", "-x",       "abs(x)",    "sqrt(x)",     "floor(x)",     "ceil(x)",
      "trunc(x)",  "round(x)", "pow(x, y)", "atan2(x, y)", "fma(x, y, 1)", "select(x < y, x, y)"};
  check_typed("f32", "f32", exprs, ARRAY_LEN(exprs));
  check_typed("f64", "f64", exprs, ARRAY_LEN(exprs));
}
