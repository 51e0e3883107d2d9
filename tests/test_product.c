// test_product.c: matrix products of few rows: panels read side by side, several sums.
// SPDX-License-Identifier: Apache-2.0
#include "passes/passes.h"

#include <criterion/criterion.h>
#include <math.h>

static jmp_buf oom; // never set: running out of memory crashes the test

static Ctx *ctx_make(void) {
  Arena *a = arena_new(&oom);
  return ctx_new(a, diag_new(a, stderr, false));
}

typedef struct Case {
  const char *rows; // extent of the rows, T<=9 or a number
  int64_t t;        // what T is in this run
  int k, n;
  int nv, cols, wide; // of the schedule; nv 0: as chosen
  int64_t l2;         // bytes of the second-level cache; 0: the target's
} Case;

static double number(uint32_t *r) {
  *r = *r * 1664525u + 1013904223u;
  return (*r >> 8) / 4194304.0 - 2;
}

// y = relu(x w + b)
static Module *parse(Ctx *c, const Case *k) {
  uint32_t r = 7;
  Str text = {.arena = c->arena};
  str_printf(
      &text,
      "ingot 1 graph\nmodule m\nsym T: 1..9\ngraph main(%%x: f32[%s,%d]) {\n  %%w: f32[%d,%d] = const [",
      k->rows, k->k, k->k, k->n);
  for (int i = 0; i < k->k * k->n; i++) str_printf(&text, "%s%.3f", i ? "," : "", number(&r));
  str_printf(&text, "]\n  %%b: f32[%d] = const [", k->n);
  for (int i = 0; i < k->n; i++) str_printf(&text, "%s%.3f", i ? "," : "", number(&r));
  str_printf(&text,
             "]\n  %%p: f32[%s,%d] = matmul(%%x, %%w)\n"
             "  %%s: f32[%s,%d] = add(%%p, %%b)\n  %%y: f32[%s,%d] = relu(%%s)\n  return y=%%y\n}\n",
             k->rows, k->n, k->rows, k->n, k->rows, k->n);
  Module *m = module_parse(c, source_from_text(c->arena, "case", str_text(&text)));
  cr_assert(m, "%s", str_text(&text));
  return m;
}

static void set(Ctx *c, Kernel *k, const char *name, int64_t value) {
  for (int i = 0; i < k->schedule.params.n; i++)
    if (strcmp(k->schedule.params.data[i].name, name) == 0) {
      k->schedule.params.data[i].value = value;
      return;
    }
  SchedParam p = {name, value};
  vec_push(c->arena, &k->schedule.params, p);
}

static const char *kind_of(const Module *m) {
  for (const Node *n = m->main->first; n; n = n->next)
    if (n->kernel) return n->kernel->schedule.kind;
  return NULL;
}

static bool after_pass(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  (void)seconds, (void)changed;
  const Case *k = data;
  for (Node *n = m->main->first; n && strcmp(p->name, "schedule") == 0; n = n->next) {
    if (!n->kernel) continue;
    if (k->nv) set(m->ctx, n->kernel, "nv", k->nv);
    set(m->ctx, n->kernel, "cols", k->cols);
    set(m->ctx, n->kernel, "wide", k->wide);
  }
  return true;
}

static void check(Case k) {
  Ctx *c = ctx_make();
  Module *plain = parse(c, &k), *m = parse(c, &k);
  Target target = *target_find(c, "x86-64-v3");
  if (k.l2) target.l2 = k.l2;
  m->target = &target;
  Type t = plain->main->inputs.data[0]->type;
  if (t.dim[0].sym) t.dim[0] = dim_const(k.t);
  Tensor *x = tensor_new(c, &t), *want, *got;
  uint32_t r = 11;
  for (int64_t i = 0; i < type_elements(&t); i++) tensor_set(x, i, number(&r));
  const Tensor *in[] = {x};
  PassHooks hooks = {.after = after_pass, .data = &k, .verify_each = true};
  PassOptions o = {.opt_level = 2};
  cr_assert(passes_run(m, &o, NULL, NULL, &hooks));
  cr_assert_str_eq(kind_of(m), "product");
  cr_assert_eq(m->unproved, 0);
  cr_assert(eval_module(plain, in, &want) && eval_module(m, in, &got));
  for (int64_t i = 0; i < type_elements(&want->type); i++)
    cr_assert_float_eq(tensor_get(got, i), tensor_get(want, i), 1e-4, "rows %s (%d), %d by %d: element %d",
                       k.rows, (int)k.t, k.k, k.n, (int)i);
  arena_free(c->arena);
}

// Panels of 16 columns (or what was chosen), some of them cut off.
static void check_rows(const char *rows, int64_t t) {
  static const int columns[] = {16, 100, 128, 133, 144};
  for (int i = 0; i < ARRAY_LEN(columns); i++)
    for (int k = 7; k <= 48; k += 20 + 1)
      for (int cols = 1; cols <= 4; cols++)
        check((Case){rows, t, k, columns[i], .nv = 0, .cols = cols, .wide = 1});
}

Test(product, one_row) {
  check_rows("1", 0);
}

Test(product, rows_known_at_run_time) {
  for (int64_t t = 1; t <= 9; t += 4) check_rows("T<=9", t);
}

Test(product, several_rows) {
  check_rows("3", 0);
}

// Panels that are read side by side lie far apart where that needs little padding.
Test(product, panels_far_apart) {
  static const int columns[] = {256, 250, 330};
  for (int i = 0; i < ARRAY_LEN(columns); i++)
    for (int64_t t = 1; t <= 9; t += 4)
      check((Case){"T<=9", t, 48, columns[i], .nv = 0, .cols = 4, .wide = 1, .l2 = 1 << 15});
}

// Where weights do not stay in the second-level cache, a single row reads four panels at once.
Test(product, streams_of_large_models) {
  static const Case k = {.rows = "T<=9", .t = 1, .k = 64, .n = 256};
  for (int large = 0; large < 2; large++) {
    Ctx *c = ctx_make();
    Module *m = parse(c, &k);
    Target target = *target_find(c, "x86-64-v3");
    if (large) target.l2 = 1 << 15;
    m->target = &target;
    PassOptions o = {.opt_level = 2};
    cr_assert(passes_run(m, &o, NULL, "schedule", NULL));
    Str s = {.arena = c->arena};
    for (const Node *n = m->main->first; n; n = n->next)
      if (n->kernel) schedule_print(&s, &n->kernel->schedule);
    cr_assert_eq(strstr(str_text(&s), "cols=4, wide=1") != NULL, large, "%s", str_text(&s));
    arena_free(c->arena);
  }
}

// The schedules of a model with caches of these sizes, one behind the other. In the text of its graph `$6` is a constant of
// six numbers.
static const char *schedules(Ctx *c, const char *graph, int64_t l2, int64_t l3) {
  uint32_t r = 5;
  Str text = {.arena = c->arena}, s = {.arena = c->arena};
  str_printf(&text, "ingot 1 graph\nmodule m\n");
  for (const char *p = graph; *p; p++) {
    if (*p != '$') {
      str_printf(&text, "%c", *p);
      continue;
    }
    char *end;
    long count = strtol(p + 1, &end, 10);
    str_printf(&text, "const [");
    for (long i = 0; i < count; i++) str_printf(&text, "%s%.3f", i ? "," : "", number(&r));
    str_printf(&text, "]");
    p = end - 1;
  }
  Module *m = module_parse(c, source_from_text(c->arena, "case", str_text(&text)));
  cr_assert(m);
  Target target = *target_find(c, "x86-64-v3");
  target.l2 = l2;
  target.l3 = l3;
  m->target = &target;
  PassOptions o = {.opt_level = 2};
  cr_assert(passes_run(m, &o, NULL, "schedule", NULL));
  for (const Node *n = m->main->first; n; n = n->next)
    if (n->kernel) schedule_print(&s, &n->kernel->schedule);
  return str_text(&s);
}

// Several images do not stay in the caches while the panels of weights pass by: each image meets all panels.
Test(product, images_one_after_the_other) {
  Ctx *c = ctx_make();
  const char *got = schedules(c,
                              "graph main(%x: f32[8,64,16,16]) {\n  %w: f32[128,64,1,1] = $8192\n"
                              "  %y: f32[8,128,16,16] = conv(%x, %w)\n  return y=%y\n}\n",
                              1 << 15, 1 << 20);
  cr_assert(strstr(got, "cols="), "%s", got);
  arena_free(c->arena);
}

// Windows over single channels go through a block of channels row by row, in tiles that do not fill the registers.
// Weights that the second-level cache holds are fetched ahead, so that the first rows do not wait for them.
Test(product, windows_and_points) {
  Ctx *c = ctx_make();
  const char *got = schedules(
      c,
      "graph main(%x: f32[1,128,14,14]) {\n  %w: f32[128,128,1,1] = $16384\n  %d: f32[128,1,3,3] = $1152\n"
      "  %a: f32[1,128,14,14] = conv(%x, %w)\n  %b: f32[1,128,14,14] = relu(%a)\n"
      "  %e: f32[1,128,14,14] = conv(%b, %d) pads=[1,1,1,1] groups=128\n  %f: f32[1,128,14,14] = relu(%e)\n"
      "  %y: f32[1,128,14,14] = conv(%f, %w)\n  return y=%y\n}\n",
      1 << 19, 1 << 25);
  cr_expect(strstr(got, "mr=8, nv=1, rows=0, n_outer=1)"), "%s", got);
  cr_expect(strstr(got, "n_outer=0, ahead="), "%s", got);
  arena_free(c->arena);
}

// A model that makes %y of %x with the weights %w [128,32,1,1].
static Module *parse_conv(Ctx *c, const char *type, const char *body) {
  uint32_t r = 3;
  Str text = {.arena = c->arena};
  str_printf(&text, "ingot 1 graph\nmodule m\ngraph main(%%x: %s) {\n  %%w: f32[128,32,1,1] = const [", type);
  for (int i = 0; i < 128 * 32; i++) str_printf(&text, "%s%.3f", i ? "," : "", number(&r));
  str_printf(&text, "]\n%s  return y=%%y\n}\n", body);
  Module *m = module_parse(c, source_from_text(c->arena, "case", str_text(&text)));
  cr_assert(m, "%s", str_text(&text));
  m->target = target_find(c, "x86-64-v3");
  return m;
}

// Are so many operands copied first, and is the result right?
static void check_gathered(const char *type, const char *body, int wanted) {
  Ctx *c = ctx_make();
  Module *plain = parse_conv(c, type, body), *m = parse_conv(c, type, body);
  Tensor *x = tensor_new(c, &plain->main->inputs.data[0]->type), *want, *got;
  const Tensor *in[] = {x};
  uint32_t r = 9;
  PassHooks hooks = {.verify_each = true};
  PassOptions o = {.opt_level = 2};
  for (int64_t i = 0; i < type_elements(&x->type); i++) tensor_set(x, i, number(&r));
  cr_assert(passes_run(m, &o, NULL, NULL, &hooks));
  int copies = 0;
  for (const Node *n = m->main->first; n; n = n->next)
    copies += n->kernel && strstr(n->kernel->name, "_rows") != NULL;
  cr_assert_eq(copies, wanted, "%s: %d", type, copies);
  cr_assert_eq(m->unproved, 0);
  cr_assert(eval_module(plain, in, &want) && eval_module(m, in, &got));
  for (int64_t i = 0; i < type_elements(&want->type); i++)
    cr_assert(fabs(tensor_get(got, i) - tensor_get(want, i)) < 1e-4 * (1 + fabs(tensor_get(want, i))),
              "%s: element %d", type, (int)i);
  arena_free(c->arena);
}

// Rows whose channels lie planes apart, or of which a stride leaves out most, are copied in blocks first.
Test(product, scattered_rows_are_gathered) {
  check_gathered("f32[1,32,5,5]",
                 "  %a: f32[1,2,16,5,5] = reshape(%x) shape=[1,2,16,5,5]\n"
                 "  %b: f32[1,16,2,5,5] = transpose(%a) perm=[0,2,1,3,4]\n"
                 "  %s: f32[1,32,5,5] = reshape(%b) shape=[1,32,5,5]\n"
                 "  %y: f32[1,128,5,5] = conv(%s, %w)\n",
                 1);
  check_gathered("f32[2,32,5,5]",
                 "  %a: f32[2,128,5,5] = conv(%x, %w)\n"
                 "  %b: f32[2,128,5,5] = relu(%a)\n"
                 "  %s: f32[2,32,5,5] = slice(%b) starts=[64] ends=[96] axes=[1]\n"
                 "  %y: f32[2,128,5,5] = conv(%s, %w)\n",
                 1);
  check_gathered("f32[1,32,7,9]",
                 "  %a: f32[1,128,7,9] = conv(%x, %w)\n"
                 "  %b: f32[1,128,7,9] = relu(%a)\n"
                 "  %s: f32[1,32,7,9] = slice(%b) starts=[64] ends=[96] axes=[1]\n"
                 "  %y: f32[1,128,4,5] = conv(%s, %w) stride=[2,2]\n",
                 2);
}

// A factor of the weights is taken out of the steps of K that share it, all of them and not the first and the last only.
Test(product, factors_that_steps_share) {
  static const char *const factors[] = {"k // 8", "k // 24", "k % 7", "k % 8 // 2", "0"};
  for (int i = 0; i < ARRAY_LEN(factors); i++) {
    Ctx *c = ctx_make();
    uint32_t r = 5;
    Str text = {.arena = c->arena};
    str_printf(&text,
               "ingot 1 kernels\nmodule m target \"x86-64-v3\"\ngraph main(%%x: f32[1,168], %%s: f32[21]) {\n"
               "  %%w: f32[168,40] = const [");
    for (int j = 0; j < 168 * 40; j++) str_printf(&text, "%s%.3f", j ? "," : "", number(&r));
    str_printf(
        &text,
        "]\n  %%y: f32[1,40] = kernel p(%%x, %%w, %%s)\n  return y=%%y\n}\n"
        "kernel p parallel=1 {\n  %%y[i0<1, i1<40] = sum(k<168) %%x[i0, k] * (%%w[k, i1] * %%s[%s])\n}\n",
        factors[i]);
    const char *kernels = str_text(&text);
    Module *plain = module_parse(c, source_from_text(c->arena, "case", kernels));
    Module *m = module_parse(c, source_from_text(c->arena, "case", kernels));
    cr_assert(plain && m);
    Type t[] = {plain->main->inputs.data[0]->type, plain->main->inputs.data[1]->type};
    Tensor *in[2], *want, *got;
    for (int k = 0; k < 2; k++) {
      in[k] = tensor_new(c, &t[k]);
      for (int64_t j = 0; j < type_elements(&t[k]); j++) tensor_set(in[k], j, number(&r));
    }
    PassOptions o = {.opt_level = 2};
    cr_assert(passes_run(m, &o, NULL, NULL, &(PassHooks){.verify_each = true}));
    cr_assert_str_eq(kind_of(m), "product");
    const Tensor *const *inputs = (const Tensor *const *)in;
    cr_assert(eval_module(plain, inputs, &want) && eval_module(m, inputs, &got));
    for (int64_t j = 0; j < 40; j++)
      cr_assert_float_eq(tensor_get(got, j), tensor_get(want, j), 1e-3, "factor %s, element %d", factors[i],
                         (int)j);
    arena_free(c->arena);
  }
}
