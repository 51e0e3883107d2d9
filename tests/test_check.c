// test_check.c: code compiled with checks tells of indices outside and of NaN that are born; padding adds nothing.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/codegen.h"
#include "passes/passes.h"
#include "tests/calls.h"

#include <math.h>

static char messages[4096];

static Module *lowered(Ctx *c, const char *text, int level) {
  Module *m = module_parse(c, source_from_text(c->arena, "check.ing", text));
  cr_assert_not_null(m);
  m->target = target_default(c);
  PassOptions o = {.opt_level = level, .threads = 2, .winograd = "off"};
  cr_assert(passes_run(m, &o, NULL, NULL, NULL));
  return m;
}

// Runs the module with every element of the input as given; NAN on failure, else the first element of the result.
static double run(Module *m, double x, bool check) {
  Ctx *c = m->ctx;
  CodegenOptions co = {.emit = EMIT_OBJECT, .jobs = 1, .opt_level = 2, .check = check};
  Tensor *in = tensor_new(c, &m->main->inputs.data[0]->type), *out = NULL;
  for (int64_t i = 0; i < type_elements(&in->type); i++) tensor_set(in, i, x);
  Jit *j = jit_compile(m, &co);
  cr_assert_not_null(j);
  bool ok = jit_run(j, (const Tensor *const[]){in}, &out, 2);
  double first = ok ? tensor_get(out, 0) : NAN;
  jit_close(j);
  return first;
}

// Moves every index that a store writes to.
static void spoil(Ctx *c, Stmt *s, int64_t by) {
  for (; s; s = s->next) {
    if (s->kind == S_FOR) spoil(c, s->loop.body, by);
    if (s->kind != S_STORE || s->store.nindex == 0 || s->store.dst->space == SPACE_REG) continue;
    const Expr **index = arena_dup(c->arena, s->store.index, (size_t)s->store.nindex * sizeof *index);
    index[s->store.nindex - 1] = ex_add(c, index[s->store.nindex - 1], ex_idx(c, by));
    s->store.index = index;
  }
}

static void check_spoilt(int level, int64_t by) {
  FILE *log = fmemopen(messages, sizeof messages, "w");
  Ctx *c = ctx_make(log);
  Module *m = lowered(c,
                      "ingot 1 graph\n"
                      "graph main(%x: f32[100]) {\n"
                      "  %y: f32[100] = exp(%x)\n"
                      "  return y=%y\n"
                      "}\n",
                      level);
  cr_expect_float_eq(run(m, 0, true), 1, 1e-6);
  spoil(c, m->main->first->kernel->body, by);
  cr_expect(isnan(run(m, 0, true)));
  ctx_free(c);
  fclose(log);
  cr_expect(strstr(messages, "an index lies outside its buffer") && strstr(messages, "exp"), "%s", messages);
}

Test(check, indices_outside_are_reported) {
  check_spoilt(0, 1);
  check_spoilt(0, -1);
  check_spoilt(2, 1);
  check_spoilt(2, -7);
  check_spoilt(2, 1 << 30);
}

// What cannot be proved reads zero where it is wrong, but not with checks: there it is told.
Test(check, unproved_indices_are_reported) {
  static const char text[] = "ingot 1 kernels\n"
                             "graph main(%x: f32[100]) {\n"
                             "  %y: f32[100] = kernel shifted(%x)\n"
                             "  return y=%y\n"
                             "}\n"
                             "kernel shifted {\n"
                             "  schedule serial()\n"
                             "  %y[i<100] = exp(%x[i * i // 50])\n"
                             "}\n";
  FILE *log = fmemopen(messages, sizeof messages, "w");
  Ctx *c = ctx_make(log);
  Module *m = lowered(c, text, 2);
  cr_expect_str_eq(m->main->first->kernel->schedule.kind, "guarded");
  cr_expect_float_eq(run(m, 1, false), 2.71828, 1e-4);
  m = module_parse(c, source_from_text(c->arena, "check.ing", text));
  m->target = target_default(c);
  PassOptions o = {.opt_level = 2, .winograd = "off", .check = true};
  cr_assert(passes_run(m, &o, NULL, NULL, NULL));
  cr_expect_str_eq(m->main->first->kernel->schedule.kind, "checked");
  cr_expect(module_verify(m, "memory"));
  cr_expect(isnan(run(m, 1, true)));
  CodegenOptions co = {.emit = EMIT_OBJECT, .jobs = 1};
  cr_expect_null(jit_compile(m, &co)); // not without checks
  ctx_free(c);
  fclose(log);
  cr_expect(strstr(messages, "an index lies outside its buffer") && strstr(messages, "shifted") &&
                strstr(messages, "written for --check"),
            "%s", messages);
}

Test(check, births_of_nan_name_the_op) {
  FILE *log = fmemopen(messages, sizeof messages, "w");
  Ctx *c = ctx_make(log);
  Module *m = lowered(c,
                      "ingot 1 graph\n"
                      "graph main(%x: f32[4]) {\n"
                      "  %y: f32[4] = log(%x)\n"
                      "  return y=%y\n"
                      "}\n",
                      2);
  cr_expect_float_eq(run(m, 1, true), 0, 1e-6);
  cr_expect(isnan(run(m, NAN, true))); // not born here: the run succeeds
  fflush(log);
  cr_expect(!strstr(messages, "NaN is born"), "%s", messages);
  cr_expect(isnan(run(m, -1, true)));
  ctx_free(c);
  fclose(log);
  cr_expect(strstr(messages, "NaN is born") && strstr(messages, "log"), "%s", messages);
}

// Taps in the padding are no products: an infinite weight there does not make a NaN, whoever computes.
Test(check, padding_adds_nothing) {
  static const char text[] = "ingot 1 graph\n"
                             "graph main(%x: f32[1,1,1,9]) {\n"
                             "  %w: f32[1,1,1,3] = const [inf, 1.0, 1.0]\n"
                             "  %y: f32[1,1,1,9] = conv(%x, %w) pads=[0,1,0,1]\n"
                             "  return y=%y\n"
                             "}\n";
  for (int level = 0; level <= 2; level++) {
    Ctx *c = ctx_make(stderr);
    Module *m = lowered(c, text, level);
    Tensor *in = tensor_new(c, &m->main->inputs.data[0]->type), *out = NULL;
    for (int i = 0; i < 9; i++) tensor_set(in, i, 2);
    cr_assert(eval_module(m, (const Tensor *const[]){in}, &out));
    cr_expect_eq(tensor_get(out, 0), 4, "evaluator at -O%d", level);
    cr_expect_eq(tensor_get(out, 1), INFINITY, "evaluator at -O%d", level);
    cr_expect_eq(run(m, 2, false), 4, "code at -O%d", level);
    ctx_free(c);
  }
}
