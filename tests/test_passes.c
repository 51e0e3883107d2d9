// test_passes.c: every pass keeps the meaning: the evaluator's results before and after, on every op's samples
// and on small models; and each pass does what it says.
// SPDX-License-Identifier: Apache-2.0
#include "passes/passes.h"
#include "tests/calls.h"

#include <math.h>
#include <stdlib.h>

// ---- comparing ----------------------------------------------------------------------------------------------

typedef struct Run {
  Ctx *c;
  Module *m;
  const char *what;
  const Tensor *in[CALL_MAX_IN];
  Tensor *expect[CALL_MAX_IN];
  bool failed;
} Run;

static void fail(Run *r, const char *why) {
  cr_expect(false, "%s\n%s", r->what, why);
  r->failed = true;
}

static void check_equal(Run *r, int k, const Tensor *a, const Tensor *b, const char *when) {
  if (!type_equal(&a->type, &b->type)) {
    fail(r, "types differ");
    return;
  }
  double size = largest(a);
  for (int64_t i = 0; i < type_elements(&a->type); i++) {
    double x = tensor_get(a, i), y = tensor_get(b, i);
    if (near_enough(a->type.dtype, x, y, size)) continue;
    fail(r, arena_printf(r->c->arena, "after %s: element %ld of output %d is %g, not %g", when, (long)i, k, y,
                         x));
    return;
  }
}

static void compare_now(Run *r, const char *when) {
  Tensor *got[CALL_MAX_IN];
  if (!eval_module(r->m, r->in, got)) {
    fail(r, arena_printf(r->c->arena, "after %s: does not run", when));
    return;
  }
  for (int i = 0; i < r->m->main->outputs.n && !r->failed; i++) check_equal(r, i, r->expect[i], got[i], when);
}

static bool after_pass(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  (void)m, (void)seconds;
  if (changed) compare_now(data, p->name);
  return !((Run *)data)->failed;
}

static void run_passes(Run *r, int level) {
  PassOptions o = {.opt_level = level, .winograd = "off"};
  PassHooks h = {after_pass, r, true};
  bool ok = passes_run(r->m, &o, NULL, NULL, &h);
  if (!ok && !r->failed) fail(r, arena_printf(r->c->arena, "passes fail at -O%d", level));
}

// ---- every op -----------------------------------------------------------------------------------------------

static void check_call(const char *call, int level) {
  Ctx *c = ctx_make(stderr);
  Call r;
  const char *s = call;
  call_start(&r, c);
  call_parse(&r, &s);
  cr_assert(r.n, "%s is refused", call);
  Run run = {.c = c, .m = r.m, .what = arena_strndup(c->arena, call, (size_t)(s - call))};
  for (int i = 0; i < r.nin; i++) run.in[i] = r.in[i];
  cr_assert(eval_module(r.m, run.in, run.expect), "%s does not evaluate", call);
  run_passes(&run, level);
  ctx_free(c);
}

static void check_samples(int level) {
  Ctx *c = ctx_make(stderr);
  for (int i = 0; i < op_count(c); i++) {
    for (const char *s = op_at(c, i)->info->sample; s && *s;) {
      check_call(s, level);
      while (*s && *s != ';') s++;
      while (*s == ';' || *s == ' ') s++;
    }
  }
  ctx_free(c);
}

Test(passes, samples_at_level_0) {
  check_samples(0);
}

Test(passes, samples_at_level_1) {
  check_samples(1);
}

Test(passes, samples_at_level_2) {
  check_samples(2);
}

// ---- small models -------------------------------------------------------------------------------------------

static void check_model(const char *text, int level) {
  Ctx *c = ctx_make(stderr);
  Run r = {.c = c, .what = text};
  r.m = module_parse(c, source_from_text(c->arena, "model.ing", text));
  cr_assert(r.m, "%s", text);
  if (!r.m->target) r.m->target = target_default(c);
  uint32_t state = 7;
  for (int i = 0; i < r.m->main->inputs.n; i++)
    r.in[i] = call_tensor(c, &r.m->main->inputs.data[i]->type, &state);
  cr_assert(eval_module(r.m, r.in, r.expect), "%s", text);
  run_passes(&r, level);
  ctx_free(c);
}

static void check_model_everywhere(const char *text) {
  for (int level = 0; level <= 2; level++) check_model(text, level);
}

#define HEAD "ingot 1 graph\n"

Test(passes, transformer_block) {
  check_model_everywhere(
      HEAD "graph main(%x: f32[2,9,32], %g: f32[32], %wq: f32[32,96], %wo: f32[32,32], %w1: f32[32,64],\n"
           "           %w2: f32[64,32]) {\n"
           "  %n: f32[2,9,32] = layer_norm(%x, %g)\n"
           "  %q: f32[2,9,96] = matmul(%n, %wq)\n"
           "  %a: f32[2,9,32], %b: f32[2,9,32], %c: f32[2,9,32] = split(%q) axis=2 parts=3\n"
           "  %ar: f32[2,9,4,8] = reshape(%a) shape=[2,9,4,8]\n"
           "  %br: f32[2,9,4,8] = reshape(%b) shape=[2,9,4,8]\n"
           "  %cr: f32[2,9,4,8] = reshape(%c) shape=[2,9,4,8]\n"
           "  %at: f32[2,4,9,8] = transpose(%ar) perm=[0,2,1,3]\n"
           "  %bt: f32[2,4,8,9] = transpose(%br) perm=[0,2,3,1]\n"
           "  %ct: f32[2,4,9,8] = transpose(%cr) perm=[0,2,1,3]\n"
           "  %s: f32[2,4,9,9] = matmul(%at, %bt)\n"
           "  %p: f32[2,4,9,9] = softmax(%s)\n"
           "  %o: f32[2,4,9,8] = matmul(%p, %ct)\n"
           "  %ot: f32[2,9,4,8] = transpose(%o) perm=[0,2,1,3]\n"
           "  %or: f32[2,9,32] = reshape(%ot) shape=[2,9,32]\n"
           "  %y: f32[2,9,32] = matmul(%or, %wo)\n"
           "  %z: f32[2,9,32] = add(%x, %y)\n"
           "  %n2: f32[2,9,32] = rms_norm(%z, %g)\n"
           "  %h: f32[2,9,64] = matmul(%n2, %w1)\n"
           "  %hg: f32[2,9,64] = gelu(%h)\n"
           "  %m: f32[2,9,32] = matmul(%hg, %w2)\n"
           "  %out: f32[2,9,32] = add(%z, %m)\n"
           "  return out=%out\n}\n");
}

Test(passes, convolutions_with_branches) {
  check_model_everywhere(
      HEAD "graph main(%x: f32[1,3,13,17], %w: f32[4,3,3,3], %w2: f32[8,1,3,3], %s: f32[8], %t: f32[8]) {\n"
           "  %c: f32[1,4,7,9] = conv(%x, %w) pads=[1,1,1,1] stride=[2,2]\n"
           "  %mp: f32[1,4,4,5] = max_pool(%c) kernel=[3,3] stride=[2,2] pads=[1,1,1,1]\n"
           "  %ap: f32[1,4,4,5] = avg_pool(%c) kernel=[3,3] stride=[2,2] pads=[1,1,1,1]\n"
           "  %k: f32[1,8,4,5] = concat(%mp, %ap) axis=1\n"
           "  %d: f32[1,8,4,5] = conv(%k, %w2) pads=[1,1,1,1] groups=8\n"
           "  %b: f32[1,8,4,5] = batch_norm(%d, %s, %t, %t, %s)\n"
           "  %r: f32[1,8,4,5] = relu(%b)\n"
           "  %g: f32[1,8,1,1] = global_avg_pool(%r)\n"
           "  %sg: f32[1,8,1,1] = sigmoid(%g)\n"
           "  %se: f32[1,8,4,5] = mul(%r, %sg)\n"
           "  %pd: f32[1,8,6,8] = pad(%se) pads=[0,0,1,1,0,0,1,2]\n"
           "  %wide: f32[1,8,6,16] = concat(%pd, %pd) axis=3\n"
           "  %tr: f32[1,6,16,8] = transpose(%wide) perm=[0,2,3,1]\n"
           "  return se=%se, tr=%tr, mp=%mp\n}\n");
}

Test(passes, reductions_of_all_shapes) {
  check_model_everywhere(HEAD "graph main(%x: f32[6,104], %y: f32[3,5,7,11]) {\n"
                              "  %sm: f32[6,104] = softmax(%x)\n"
                              "  %s0: f32[6,104] = softmax(%x) axis=0\n"
                              "  %vr: f32[6,1] = reduce_var(%sm) axes=[1]\n"
                              "  %am: i64[6,1] = argmax(%x) axis=1\n"
                              "  %all: f32[1,1,1,1] = reduce_sum(%y)\n"
                              "  %mid: f32[3,11] = reduce_mean(%y) axes=[1,2] keepdims=false\n"
                              "  %end: f32[3,1,1,11] = reduce_max(%y) axes=[1,2]\n"
                              "  %two: f32[1,5,1,11] = reduce_sum(%y) axes=[0,2]\n"
                              "  %lse: f32[6,1] = reduce_logsumexp(%x) axes=[1]\n"
                              "  return a=%s0, b=%vr, c=%am, d=%all, e=%mid, f=%end, g=%two, h=%lse\n}\n");
}

Test(passes, transposed_convolutions_by_phases) {
  check_model_everywhere(
      HEAD "graph main(%x: f32[2,2,7], %y: f32[1,4,5,3], %z: f32[1,1,2,3,4]) {\n"
           "  %w1: f32[2,2,3] = const [-2.375, -1.5, 2.625, -2.5, -3.75, 1.125, -0.875, 2.25, 1.625, -1, "
           "-3.5, 3]\n"
           "  %b1: f32[2] = const [0.5, -1]\n"
           "  %o1: f32[2,2,14] = conv_transpose(%x, %w1, %b1) stride=[2] pads=[1,1] output_padding=[1]\n"
           "  %w2: f32[4,1,3,2] = const [-2.75, -0.75, -1.25, -3.375, 2, 2.875, 1.625, 3.875, -3.625, 0.5, "
           "-0.625, 0.875, "
           "3.875, 3.125, 1.75, 2.375, 2.25, 2.375, -3.625, 2.75, -3.5, 2.5, -2.875, 3.875]\n"
           "  %b2: f32[2] = const [0.25, 3]\n"
           "  %o2: f32[1,2,14,5] = conv_transpose(%y, %w2, %b2) stride=[3,2] pads=[1,0,0,1] groups=2\n"
           "  %w3: f32[1,2,2,1,2] = const [-2.875, -2.625, 1.25, -0.375, 3.5, 0.375, 3.25, -1.75]\n"
           "  %o3: f32[1,2,4,5,8] = conv_transpose(%z, %w3) stride=[2,2,2]\n"
           "  %r3: f32[1,2,4,5,8] = relu(%o3)\n"
           "  return a=%o1, b=%o2, c=%r3\n}\n");
}

Test(passes, means_go_before_pointwise_convolutions) {
  check_model_everywhere(HEAD
                         "graph main(%x: f32[1,4,6,8]) {\n"
                         "  %w: f32[2,4,1,1] = const [-0.125, 1.75, 3.5, -0.25, -1.625, 2.25, 2.125, -0.25]\n"
                         "  %b: f32[2] = const [0.5, -1]\n"
                         "  %c: f32[1,2,6,8] = conv(%x, %w, %b)\n"
                         "  %p: f32[1,2,3,4] = avg_pool(%c) kernel=[2,2] stride=[2,2]\n"
                         "  return p=%p\n}\n");
}

// No vector divides these numbers of channels: their blocks have unused ones.
Test(passes, channels_that_fill_no_block) {
  check_model_everywhere(HEAD
                         "graph main(%x: f32[1,3,10,9]) {\n"
                         "  %i1: f32[540] = iota() shape=[540] dtype=f32\n"
                         "  %s1: f32[540] = sin(%i1)\n"
                         "  %w1: f32[20,3,3,3] = reshape(%s1) shape=[20,3,3,3]\n"
                         "  %i2: f32[180] = iota() shape=[180] dtype=f32\n"
                         "  %s2: f32[180] = sin(%i2)\n"
                         "  %w2: f32[20,1,3,3] = reshape(%s2) shape=[20,1,3,3]\n"
                         "  %i3: f32[240] = iota() shape=[240] dtype=f32\n"
                         "  %s3: f32[240] = sin(%i3)\n"
                         "  %w3: f32[12,20,1,1] = reshape(%s3) shape=[12,20,1,1]\n"
                         "  %i4: f32[240] = iota() shape=[240] dtype=f32\n"
                         "  %s4: f32[240] = sin(%i4)\n"
                         "  %w4: f32[20,12,1,1] = reshape(%s4) shape=[20,12,1,1]\n"
                         "  %i5: f32[192] = iota() shape=[192] dtype=f32\n"
                         "  %s5: f32[192] = sin(%i5)\n"
                         "  %w5: f32[6,32,1,1] = reshape(%s5) shape=[6,32,1,1]\n"
                         "  %i6: f32[20] = iota() shape=[20] dtype=f32\n"
                         "  %s6: f32[20] = sin(%i6)\n"
                         "  %b: f32[20] = reshape(%s6) shape=[20]\n"
                         "  %c: f32[1,20,10,9] = conv(%x, %w1, %b) pads=[1,1,1,1]\n"
                         "  %r: f32[1,20,10,9] = relu(%c)\n"
                         "  %d: f32[1,20,5,5] = conv(%r, %w2, %b) pads=[1,1,1,1] stride=[2,2] groups=20\n"
                         "  %p: f32[1,12,5,5] = conv(%d, %w3)\n"
                         "  %h: f32[1,12,5,5] = hard_swish(%p)\n"
                         "  %e: f32[1,20,5,5] = conv(%h, %w4, %b)\n"
                         "  %a: f32[1,20,5,5] = add(%e, %d)\n"
                         "  %g: f32[1,20,1,1] = global_avg_pool(%a)\n"
                         "  %sg: f32[1,20,1,1] = sigmoid(%g)\n"
                         "  %se: f32[1,20,5,5] = mul(%a, %sg)\n"
                         "  %k: f32[1,32,5,5] = concat(%se, %h) axis=1\n"
                         "  %f: f32[1,6,5,5] = conv(%k, %w5)\n"
                         "  %mp: f32[1,6,2,2] = max_pool(%f) kernel=[2,2] stride=[2,2]\n"
                         "  %sm: f32[1,20,5,5] = softmax(%a) axis=1\n"
                         "  return f=%f, mp=%mp, sm=%sm, k=%k\n}\n");
}

Test(passes, outputs_that_are_inputs_constants_or_repeated) {
  check_model_everywhere(HEAD "graph main(%x: f32[3]) {\n"
                              "  %k: f32[2] = const [1, 2]\n"
                              "  %y: f32[3] = relu(%x)\n"
                              "  return a=%x, b=%k, c=%y, d=%y\n}\n");
}

Test(passes, empty_tensors) {
  check_model_everywhere(HEAD "graph main(%x: f32[0,4], %y: f32[3,0]) {\n"
                              "  %a: f32[0,4] = relu(%x)\n"
                              "  %s: f32[3,1] = reduce_sum(%y) axes=[1]\n"
                              "  return a=%a, s=%s\n}\n");
}

// ---- the table ----------------------------------------------------------------------------------------------

static char *read_text(Arena *a, const char *path) {
  FILE *f = fopen(path, "r");
  cr_assert(f, "cannot open %s", path);
  Str s = {.arena = a};
  char buf[4096];
  for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;) str_put(&s, buf, n);
  fclose(f);
  return str_text(&s);
}

// After a change of the table: INGOT_UPDATE=1 ingot_tests --filter 'passes/*'
Test(passes, the_page_is_up_to_date) {
  Ctx *c = ctx_make(stderr);
  Str page = {.arena = c->arena};
  passes_document(&page);
  const char *path = SOURCE_DIR "/docs/passes.md";
  if (getenv("INGOT_UPDATE")) {
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(str_text(&page), f) >= 0 && fclose(f) == 0);
  }
  cr_expect_str_eq(read_text(c->arena, path), str_text(&page), "%s is not what the table says", path);
  ctx_free(c);
}

Test(passes, the_table_is_sound) {
  for (int i = 0; i < pass_count(); i++) {
    const Pass *p = pass_at(i);
    cr_expect_eq(pass_find(p->name), p);
    cr_expect(p->doc && p->from <= p->to);
    if (i) cr_expect_eq(p->from, pass_at(i - 1)->to, "%s cannot follow", p->name);
  }
  cr_expect_null(pass_find("nothing"));
}

// What the tool's --passes and --stop-after rest on.
Test(passes, lists_and_stops) {
  Ctx *c = ctx_make(stderr);
  const char *text = HEAD "graph main(%x: f32[4]) {\n  %y: f32[4] = relu(%x)\n  return y=%y\n}\n";
  Module *m = module_parse(c, source_from_text(c->arena, "m", text));
  PassOptions o = {.opt_level = 2, .winograd = "off"};
  cr_expect(passes_run(m, &o, "canonicalize,fold", NULL, NULL));
  cr_expect_eq(m->passes.n, 2);
  cr_expect(passes_run(m, &o, NULL, "fuse", NULL));
  cr_expect_eq(m->level, LEVEL_KERNELS);
  cr_expect_str_eq(m->passes.data[2], "fold_affine", "it goes on where it stands");
  ctx_free(c);
}

static void check_refused(const char *list, const char *stop, const char *expect) {
  char *said = NULL;
  size_t len = 0;
  FILE *out = open_memstream(&said, &len);
  Arena *a = arena_new(&oom);
  Ctx *c = ctx_new(a, diag_new(a, out, false));
  const char *text = HEAD "graph main(%x: f32[4]) {\n  %y: f32[4] = relu(%x)\n  return y=%y\n}\n";
  Module *m = module_parse(c, source_from_text(a, "m", text));
  PassOptions o = {.opt_level = 2, .winograd = "off"};
  cr_expect_not(passes_run(m, &o, list, stop, NULL));
  fflush(out);
  cr_expect(strstr(said, expect), "expected '%s' in: %s", expect, said);
  fclose(out);
  free(said);
  arena_free(a);
}

Test(passes, unknown_and_misplaced_passes_are_reported) {
  check_refused("canonicalise", NULL, "there is no pass 'canonicalise'");
  check_refused("canonicalise", NULL, "did you mean 'canonicalize'?");
  check_refused(NULL, "fuze", "did you mean 'fuse'?");
  check_refused("lower", NULL, "takes a module at level 'kernels', but this one is at level 'graph'");
}

// ---- the memory plan ----------------------------------------------------------------------------------------

static Module *plan(Ctx *c, const char *text, int level) {
  Module *m = module_parse(c, source_from_text(c->arena, "model.ing", text));
  PassOptions o = {.opt_level = level, .winograd = "off"};
  PassHooks h = {NULL, NULL, true};
  cr_assert(m, "%s", text);
  m->target = target_default(c);
  cr_assert(passes_run(m, &o, NULL, NULL, &h), "%s", text);
  return m;
}

static int position(const Graph *g, const Node *n) {
  int i = 0;
  for (const Node *k = g->first; k != n; k = k->next) i++;
  return i;
}

// The last node that reads v, or anything that lies in it.
static int last_use(const Graph *g, const Value *v) {
  int last = position(g, v->def), i = 0;
  for (const Node *n = g->first; n; n = n->next, i++)
    for (int k = 0; k < n->nin; k++)
      for (const Value *x = n->in[k]; x; x = x->base)
        if (x == v) last = i;
  return last;
}

static bool lies_in(const Value *v, const Value *whole) {
  for (; v; v = v->base)
    if (v == whole) return true;
  return false;
}

// What lies inside another value is needed as long as that is.
static int needed_until(const Graph *g, const Value *v) {
  int last = 0;
  for (; v; v = v->base) last = last_use(g, v) > last ? last_use(g, v) : last;
  return last;
}

static int64_t place_of(const Value *v) {
  int64_t at = 0;
  for (; v; v = v->base) at += v->offset;
  return at;
}

// No two values that are needed at the same time lie over each other, but for a result in its operand's place, and
// parts of a concat, which is needed itself from its own kernel on.
static void check_plan(const Module *m) {
  const Graph *g = m->main;
  for (const Node *a = g->first; a; a = a->next)
    for (const Node *b = g->first; b; b = b->next) {
      const Value *x = a->out[0], *y = b->out[0];
      if (x->space != SPACE_ARENA || y->space != SPACE_ARENA || lies_in(x, y) || lies_in(y, x)) continue;
      int64_t p = place_of(x), q = place_of(y);
      bool apart = p + type_bytes(&x->type) <= q || q + type_bytes(&y->type) <= p;
      int first_x = position(g, a), first_y = position(g, b), last_x = needed_until(g, x),
          last_y = needed_until(g, y);
      bool later = first_y > last_x || first_x > last_y;
      bool in_place = p == q && (first_y == last_x || first_x == last_y);
      cr_expect(apart || later || in_place, "%s and %s overlap", x->name, y->name);
    }
}

static const Value *value_named(const Module *m, const char *name) {
  for (const Node *n = m->main->first; n; n = n->next)
    for (int k = 0; k < n->nout; k++)
      if (strcmp(n->out[k]->name, name) == 0) return n->out[k];
  cr_assert_fail("there is no value %s", name);
  return NULL;
}

Test(passes, parts_of_a_concat_are_computed_in_place) {
  const char *text = HEAD "graph main(%x: f32[1,4,6,6], %w: f32[4,4,3,3], %w2: f32[4,4,3,3]) {\n"
                          "  %a: f32[1,4,4,4] = conv(%x, %w)\n"
                          "  %b: f32[1,4,4,4] = conv(%x, %w2)\n"
                          "  %c: f32[1,4,2,2] = conv(%a, %w)\n"
                          "  %k: f32[1,8,4,4] = concat(%a, %b) axis=1\n"
                          "  %s: f32[1,8,1,1] = reduce_max(%k) axes=[2,3]\n"
                          "  %t: f32[1,8,4,4] = sub(%k, %s)\n"
                          "  %u: f32[1,8,4,4] = div(%t, %s)\n"
                          "  return u=%u, c=%c, k=%k\n}\n";
  check_model_everywhere(text);
  Ctx *c = ctx_make(stderr);
  Module *m = plan(c, text, 2);
  check_plan(m);
  const Value *k = value_named(m, "k"), *a = value_named(m, "a");
  cr_expect(a->base == k && a->offset == 0);
  cr_expect_null(k->def->kernel->body, "nothing is left to copy");
  ctx_free(c);
}

Test(passes, what_a_concat_waits_for_is_of_use_until_then) {
  const char *text = HEAD "graph main(%x: f32[4096]) {\n"
                          "  %a: f32[4096] = cumsum(%x)\n"
                          "  %w: f32[8192] = tile(%a) repeats=[2]\n"
                          "  %b: f32[8192] = cumsum(%w)\n"
                          "  %c: f32[8192] = cumsum(%b) reverse=true\n"
                          "  %e: f32[4096] = slice(%c) starts=[0] ends=[4096] axes=[0]\n"
                          "  %d: f32[4096] = cumsum(%e)\n"
                          "  %k: f32[8192] = concat(%a, %d) axis=0\n"
                          "  %m: f32[1] = reduce_max(%k)\n"
                          "  %n: f32[8192] = sub(%k, %m)\n"
                          "  %s: f32[8192] = cumsum(%n)\n"
                          "  %u: f32[1] = reduce_max(%s)\n"
                          "  return u=%u\n}\n";
  check_model_everywhere(text);
  Ctx *c = ctx_make(stderr);
  Module *m = plan(c, text, 2);
  check_plan(m);
  cr_expect_eq(value_named(m, "a")->base, value_named(m, "k"));
  cr_expect_leq(m->arena_bytes, 5 * 16384 + 64, "a, b and c, not %ld bytes", (long)m->arena_bytes);
  ctx_free(c);
}

Test(passes, results_take_the_place_of_dying_operands) {
  Ctx *c = ctx_make(stderr);
  Module *m = plan(c,
                   HEAD "graph main(%x: f32[64], %y: f32[64]) {\n"
                        "  %a: f32[64] = add(%x, %y)\n"
                        "  %b: f32[64] = exp(%a)\n"
                        "  %c: f32[64] = mul(%b, %y)\n"
                        "  %d: f32[64] = cumsum(%c)\n"
                        "  return d=%d\n}\n",
                   1);
  check_plan(m);
  cr_expect_eq(m->arena_bytes, 256, "one buffer is enough for a, b and c, not %ld bytes",
               (long)m->arena_bytes);
  ctx_free(c);
}

Test(passes, order_lowers_the_peak) {
  const char *text = HEAD "graph main(%x: f32[8]) {\n"
                          "  %a: f32[4096] = tile(%x) repeats=[512]\n"
                          "  %b: f32[4096] = cumsum(%a)\n"
                          "  %c: f32[4096] = cumsum(%b) reverse=true\n"
                          "  %p: f32[4096] = cumprod(%a)\n"
                          "  %q: f32[1] = reduce_max(%p)\n"
                          "  %r: f32[1] = reduce_max(%c)\n"
                          "  %s: f32[1] = reduce_max(%b)\n"
                          "  %t: f32[1] = add(%q, %r)\n"
                          "  %u: f32[1] = add(%t, %s)\n"
                          "  return u=%u\n}\n";
  check_model_everywhere(text);
  Ctx *c = ctx_make(stderr);
  Module *m = plan(c, text, 1);
  check_plan(m);
  cr_expect_leq(m->arena_bytes, 2 * 16384 + 256);
  ctx_free(c);
}

// What overlaps overlaps in the evaluator, too.
Test(passes, wrong_plans_give_wrong_results) {
  Ctx *c = ctx_make(NULL);
  Module *m = plan(c,
                   "ingot 1 graph\n"
                   "graph main(%x: f32[16,16], %w: f32[16,16]) {\n"
                   "  %a: f32[16,16] = matmul(%x, %w)\n"
                   "  %b: f32[16,16] = matmul(%a, %w)\n"
                   "  %y: f32[16,16] = matmul(%b, %a)\n"
                   "  return y=%y\n"
                   "}\n",
                   2);
  Value *a = (Value *)value_named(m, "a"), *b = (Value *)value_named(m, "b");
  Tensor *in = tensor_new(c, &a->type), *right, *wrong;
  for (int i = 0; i < 256; i++) tensor_set(in, i, i % 7 - 3);
  const Tensor *both[] = {in, in};
  cr_assert(a->space == SPACE_ARENA && b->space == SPACE_ARENA);
  cr_assert(eval_module(m, both, &right));
  b->offset = a->offset;
  cr_assert(eval_module(m, both, &wrong));
  cr_expect_not(tensor_equal(right, wrong), "%s", "b is where a is, and nobody sees it");
  b->offset = m->arena_bytes;
  cr_expect_not(eval_module(m, both, &wrong));
  ctx_free(c);
}

// ---- proofs -------------------------------------------------------------------------------------------------

static int count_unproved(const char *text, const char **kind) {
  Ctx *c = ctx_make(stderr);
  Module *m = module_parse(c, source_from_text(c->arena, "proofs.ing", text));
  cr_assert_not_null(m);
  m->target = target_default(c);
  PassOptions o = {.opt_level = 2, .threads = 1};
  PassHooks hooks = {.verify_each = true};
  cr_assert(passes_run(m, &o, NULL, NULL, &hooks));
  int n = m->unproved;
  *kind = strdup(m->main->first->kernel->schedule.kind);
  ctx_free(c);
  return n;
}

Test(passes, loops_that_can_be_proved_stay) {
  const char *kind;
  cr_expect_eq(count_unproved("ingot 1 graph\n"
                              "graph main(%x: f32[8,32]) {\n"
                              "  %y: f32[8,32] = relu(%x)\n"
                              "  return y=%y\n"
                              "}\n",
                              &kind),
               0);
  cr_expect_str_eq(kind, "map");
  free((char *)kind);
}

// Every access of the last class is tested; where the extents are constant the tests are decided and vanish.
Test(passes, guarded_loops_compute_the_same) {
  static const char text[] = "ingot 1 kernels\n"
                             "sym N: 1..9\n"
                             "graph main(%x: f32[N,4]) {\n"
                             "  %y: f32[N,4] = kernel k(%x)\n"
                             "  return y=%y\n"
                             "}\n"
                             "kernel k {\n"
                             "  schedule guarded()\n"
                             "  %y[i<N,j<4] = sum(k<4) %x[i, k] * %x[i, j]\n"
                             "}\n";
  const char *kind;
  cr_expect_eq(count_unproved(text, &kind), 0);
  cr_expect_str_eq(kind, "guarded");
  free((char *)kind);
}
