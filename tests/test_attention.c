// test_attention.c: attention as one kernel: which graphs become it, and that every schedule of it means the same.
// SPDX-License-Identifier: Apache-2.0
#include "passes/passes.h"

#include <criterion/criterion.h>
#include <math.h>

static jmp_buf oom; // never set: running out of memory crashes the test

static Ctx *ctx_make(void) {
  Arena *a = arena_new(&oom);
  return ctx_new(a, diag_new(a, stderr, false));
}

typedef struct Param {
  const char *name;
  int64_t value;
} Param;

typedef struct Case {
  const char *ops;    // of the graph over %q, %k, %v (and %m)
  const char *inputs; // their types
  int64_t t, l;       // what the symbols T and L are in this run
  Param param[6];     // of the schedule, in place of what was chosen
  bool serial;        // no attention is to be found
  int by_heads;       // values of which heads of 16 elements lie one behind the other
} Case;

static Module *parse(Ctx *c, const Case *k) {
  const char *text = arena_printf(
      c->arena,
      "ingot 1 graph\nmodule m\nsym T: 1..40\nsym L: 1..50\ngraph main(%s) {\n%s  return y=%%y\n}\n",
      k->inputs, k->ops);
  Module *m = module_parse(c, source_from_text(c->arena, "case", text));
  cr_assert(m, "%s", text);
  return m;
}

// Numbers between -2 and 2 in no order; bools.
static Tensor *input(Ctx *c, const Case *k, const Value *v, int seed) {
  Type t = v->type;
  for (int i = 0; i < t.rank; i++)
    if (t.dim[i].sym) t.dim[i] = dim_const(t.dim[i].n == 40 ? k->t : k->l);
  Tensor *x = tensor_new(c, &t);
  uint32_t r = 12345u + (uint32_t)seed;
  for (int64_t i = 0; i < type_elements(&t); i++) {
    r = r * 1664525u + 1013904223u;
    tensor_set(x, i, t.dtype == DT_BOOL ? r >> 31 : (r >> 8) / 4194304.0 - 2);
  }
  return x;
}

typedef struct Hook {
  const Case *k;
  bool found;
} Hook;

static void set_params(Ctx *c, Kernel *kernel, const Case *k) {
  for (int i = 0; i < ARRAY_LEN(k->param) && k->param[i].name; i++) {
    SchedParam p = {k->param[i].name, k->param[i].value};
    kernel->schedule.params.n = i ? kernel->schedule.params.n : 0;
    vec_push(c->arena, &kernel->schedule.params, p);
  }
}

static bool after_pass(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  (void)seconds, (void)changed;
  Hook *h = data;
  for (Node *n = m->main->first; n && strcmp(p->name, "schedule") == 0; n = n->next) {
    if (!n->kernel || !n->kernel->schedule.kind || strcmp(n->kernel->schedule.kind, "attention") != 0)
      continue;
    h->found = true;
    set_params(m->ctx, n->kernel, h->k);
  }
  return true;
}

// Attention is still what the loops were made by, not a class further down.
static bool is_scheduled(const Module *m) {
  for (const Node *n = m->main->first; n; n = n->next)
    if (n->kernel && n->kernel->schedule.kind && strcmp(n->kernel->schedule.kind, "attention") == 0)
      return true;
  return false;
}

static void check_on(const Case *k, const char *target) {
  Ctx *c = ctx_make();
  Module *plain = parse(c, k), *m = parse(c, k);
  m->target = target_find(c, target);
  const Tensor *in[8];
  for (int i = 0; i < plain->main->inputs.n; i++) in[i] = input(c, k, plain->main->inputs.data[i], i);
  Hook h = {k, false};
  PassHooks hooks = {.after = after_pass, .data = &h, .verify_each = true};
  PassOptions o = {.opt_level = 2};
  cr_assert(passes_run(m, &o, NULL, NULL, &hooks), "%s", k->ops);
  cr_assert_eq(h.found && is_scheduled(m), !k->serial, "%s", k->ops);
  int by_heads = 0;
  for (const Node *n = m->main->first; n; n = n->next)
    for (int i = 0; i < n->nout; i++)
      by_heads += n->out[i]->layout && strstr(layout_text(c, n->out[i]->layout), "%16>") != NULL;
  cr_assert_eq(by_heads, k->by_heads, "%s: %d", k->ops, by_heads);
  Tensor *want, *got;
  cr_assert(eval_module(plain, in, &want) && eval_module(m, in, &got));
  for (int64_t i = 0; i < type_elements(&want->type); i++) {
    double a = tensor_get(want, i), b = tensor_get(got, i);
    cr_assert(fabs(a - b) < 1e-5 || (isnan(a) && isnan(b)), "%s: element %lld is %g, not %g", k->ops,
              (long long)i, b, a);
  }
  arena_free(c->arena);
}

static void check(const Case *k) {
  check_on(k, "x86-64-v3");
  check_on(k, "x86-64-v4");
}

#define Q "%q: f32[1,2,19,8], %k: f32[1,2,21,8], %v: f32[1,2,21,8]"
#define P(...)                                                                                               \
  { __VA_ARGS__ }

Test(attention, tiles_of_all_sizes) {
  const char *ops = "%y: f32[1,2,19,8] = attention(%q, %k, %v)\n";
  check(&(Case){.ops = ops, .inputs = Q, .t = 0});
  check(&(Case){.ops = ops,
                .inputs = Q,
                .param = P({"queries", 16}, {"keys", 5}, {"block", 25}, {"rows", 4}, {"vectors", 1})});
  check(&(Case){.ops = ops,
                .inputs = Q,
                .param = P({"queries", 8}, {"keys", 3}, {"block", 6}, {"rows", 2}, {"vectors", 2})});
  check(&(Case){.ops = ops,
                .inputs = Q,
                .param = P({"queries", 32}, {"keys", 7}, {"block", 7}, {"rows", 3}, {"vectors", 3})});
  check(&(Case){.ops = ops, .inputs = Q, .param = P({"queries", 1})});
}

Test(attention, hidden_keys) {
  const char *causal = "%y: f32[1,2,19,8] = attention(%q, %k, %v) causal=true offset=[2]\n";
  const char *window = "%y: f32[1,2,19,8] = attention(%q, %k, %v) left=3 right=1\n";
  const char *nothing =
      "%y: f32[1,2,19,8] = attention(%q, %k, %v) causal=true offset=[-4]\n"; // first rows see none
  const Param small[] = P({"queries", 8}, {"keys", 2}, {"block", 4}, {"rows", 4}, {"vectors", 1});
  const char *all[] = {causal, window, nothing};
  for (int i = 0; i < ARRAY_LEN(all); i++) {
    Case k = {.ops = all[i], .inputs = Q};
    check(&k);
    memcpy(k.param, small, sizeof small);
    check(&k);
  }
}

Test(attention, masks_and_bias) {
  check(&(Case){.ops = "%y: f32[1,2,19,8] = attention(%q, %k, %v, %m)\n", .inputs = Q ", %m: bool[19,21]"});
  check(&(Case){.ops = "%y: f32[1,2,19,8] = attention(%q, %k, %v, %m) scale=0.3\n",
                .inputs = Q ", %m: f32[1,1,1,21]"});
  check(&(Case){.ops = "%y: f32[1,2,19,8] = attention(%q, %k, %v, %m) softcap=2.0\n",
                .inputs = Q ", %m: f32[2,19,21]",
                .param = P({"queries", 8}, {"keys", 4}, {"block", 8}, {"rows", 2}, {"vectors", 1})});
}

Test(attention, shared_heads_and_packed_operands) {
  check(&(Case){.ops = "%y: f32[2,4,9,8] = attention(%q, %k, %v) causal=true\n",
                .inputs = "%q: f32[2,4,9,8], %k: f32[2,2,9,8], %v: f32[2,2,9,8]"});
  check(&(Case){.ops = "%y: f32[1,9,32] = attention(%q, %k, %v) heads=4 kv_heads=1\n",
                .inputs = "%q: f32[1,9,32], %k: f32[1,11,8], %v: f32[1,11,8]"});
  check(&(Case){.ops = "%y: f32[2,4,1,8] = attention(%q, %k, %v)\n",
                .inputs = "%q: f32[2,4,1,8], %k: f32[2,2,37,8], %v: f32[2,2,37,8]"});
}

// What products make for attention alone lies head by head; what something else reads, too, stays plain.
Test(attention, products_store_heads_apart) {
#define PRODUCTS                                                                                             \
  "  %p: f32[2,9,96] = matmul(%x, %w)\n  %a: f32[2,9,32] = slice(%p) starts=[0] ends=[32] axes=[2]\n"        \
  "  %b: f32[2,9,32] = slice(%p) starts=[32] ends=[64] axes=[2]\n"                                           \
  "  %c: f32[2,9,32] = slice(%p) starts=[64] ends=[96] axes=[2]\n"
#define INPUTS "%x: f32[2,9,12], %w: f32[12,96]"
  check(&(Case){.ops = PRODUCTS "  %y: f32[2,9,32] = attention(%a, %b, %c) heads=2\n",
                .inputs = INPUTS,
                .by_heads = 1});
  check(&(Case){.ops = PRODUCTS "  %z: f32[2,9,32] = attention(%a, %b, %c) heads=2\n"
                                "  %n: f32[2,9,32] = slice(%p) starts=[8] ends=[40] axes=[2]\n"
                                "  %y: f32[2,9,32] = add(%z, %n)\n",
                .inputs = INPUTS});
  for (int64_t t = 1; t <= 40; t += 13)
    check(&(Case){.ops = "  %a: f32[1,T<=40,32] = matmul(%x, %w)\n  %b: f32[1,T<=40,32] = matmul(%x, %u)\n"
                         "  %y: f32[1,T<=40,32] = attention(%a, %b, %b) heads=2 causal=true scale=0.02\n",
                  .inputs = "%x: f32[1,T<=40,12], %w: f32[12,32], %u: f32[12,32]",
                  .t = t,
                  .by_heads = 2});
}

Test(attention, lengths_known_at_run_time) {
  Case k = {.ops = "%y: f32[1,2,T<=40,8] = attention(%q, %k, %v) causal=true\n",
            .inputs = "%q: f32[1,2,T<=40,8], %k: f32[1,2,L<=50,8], %v: f32[1,2,L<=50,8]"};
  static const int64_t lengths[][2] = {{1, 1}, {2, 50}, {3, 16}, {7, 7}, {40, 50}, {17, 33}};
  for (int i = 0; i < ARRAY_LEN(lengths); i++) {
    k.t = lengths[i][0];
    k.l = lengths[i][1];
    check(&k);
  }
  k.param[0] = (Param){"queries", 8};
  k.param[1] = (Param){"keys", 4};
  k.param[2] = (Param){"block", 8};
  check(&k);
}

Test(attention, one_query_over_a_cache) {
  Case k = {.ops = "%y: f32[1,4,1,8] = attention(%q, %k, %v)\n",
            .inputs = "%q: f32[1,4,1,8], %k: f32[1,2,L<=50,8], %v: f32[1,2,L<=50,8]",
            .l = 43};
  check(&k);
  k.l = 1;
  check(&k);
  k.ops = "%y: f32[1,4,1,8] = attention(%q, %k, %v, %m)\n";
  k.inputs = "%q: f32[1,4,1,8], %k: f32[1,2,L<=50,8], %v: f32[1,2,L<=50,8], %m: f32[1,1,1,L<=50]";
  for (k.l = 15; k.l <= 50; k.l += 17) check(&k);
}

// Single queries of several heads together: results in registers, of several sums, in memory; what is hidden; windows.
Test(attention, heads_together) {
  static const char *const ops[] = {
      "%y: f32[1,12,T<=40,16] = attention(%q, %k, %v) causal=true offset=[-1]\n",
      "%y: f32[1,12,T<=40,16] = attention(%q, %k, %v)\n",
  };
  for (int i = 0; i < ARRAY_LEN(ops); i++)
    for (int heads = 1; heads <= 12; heads *= i == 1 ? 3 : 2)
      for (int64_t t = 1; t <= 2; t++)
        check(&(Case){.ops = ops[i],
                      .inputs = "%q: f32[1,12,T<=40,16], %k: f32[1,6,L<=50,16], %v: f32[1,6,L<=50,16]",
                      .t = t,
                      .l = 17 * t + 1,
                      .param = P({"queries", 8}, {"keys", 4}, {"block", 52}, {"few", 4}, {"heads", heads})});
  static const char *const fixed[] = {
      "%y: f32[2,6,3,32] = attention(%q, %k, %v) causal=true offset=[40]\n",
      "%y: f32[2,6,3,32] = attention(%q, %k, %v) causal=true offset=[40] left=5\n",
      "%y: f32[2,6,3,32] = attention(%q, %k, %v) causal=true offset=[-1]\n",
      "%y: f32[2,6,3,32] = attention(%q, %k, %v) left=3 right=1\n",
  };
  for (int i = 0; i < ARRAY_LEN(fixed); i++)
    for (int heads = 1; heads <= 6; heads++)
      check(&(Case){.ops = fixed[i],
                    .inputs = "%q: f32[2,6,3,32], %k: f32[2,3,43,32], %v: f32[2,3,43,32]",
                    .param = P({"queries", 1}, {"heads", heads})});
}

// The heads that share a key are more than the queries, and are what the blocks are of: which keys are seen depends on
// another dimension then, and differs among heads that go together.
Test(attention, more_heads_than_queries) {
  static const char *const ops[] = {
      "%y: f32[2,8,3,8] = attention(%q, %k, %v) causal=true offset=[4]\n",
      "%y: f32[2,8,3,8] = attention(%q, %k, %v) causal=true offset=[4] left=2\n",
  };
  for (int i = 0; i < ARRAY_LEN(ops); i++)
    for (int heads = 1; heads <= 6; heads++)
      check(&(Case){.ops = ops[i],
                    .inputs = "%q: f32[2,8,3,8], %k: f32[2,2,7,8], %v: f32[2,2,7,8]",
                    .param = P({"queries", 1}, {"heads", heads})});
}

// Hidden by a number, not by an infinity: who sees nothing weighs all keys alike, whatever others of the block see.
Test(attention, first_query_sees_nothing) {
  Case k = {
      .ops = "%i: i64[T + 8<=48,1] = iota() shape=[T + 8<=48,1] axis=0\n"
             "%j: i64[1,T + 8<=48] = iota() shape=[1,T + 8<=48] axis=1\n"
             "%see: bool[T + 8<=48,T + 8<=48] = less(%j, %i)\n"
             "%low: f32[] = const [-1e38]\n"
             "%s: f32[1,2,T + 8<=48,T + 8<=48] = matmul(%q, %kt)\n"
             "%t: f32[1,2,T + 8<=48,T + 8<=48] = where(%see, %s, %low)\n"
             "%w: f32[1,2,T + 8<=48,T + 8<=48] = softmax(%t) axis=-1\n"
             "%y: f32[1,2,T + 8<=48,8] = matmul(%w, %v)\n",
      .inputs =
          "%z: u8[T<=40], %q: f32[1,2,T + 8<=48,8], %kt: f32[1,2,8,T + 8<=48], %v: f32[1,2,T + 8<=48,8]",
      .t = 11,
      .l = 19};
  check(&k);
  k.param[0] = (Param){"queries", 8};
  k.param[1] = (Param){"keys", 4};
  k.param[2] = (Param){"block", 8};
  check(&k);
}

// As exporters write it: scale on both sides, transposed keys, a mask of numbers, softmax.
Test(attention, spelled_out) {
  check(&(Case){.ops = "%ks: f32[1,2,8,21] = transpose(%k) perm=[0,1,3,2]\n"
                       "%c: f32[] = const [0.5]\n"
                       "%q2: f32[1,2,19,8] = mul(%q, %c)\n"
                       "%k2: f32[1,2,8,21] = mul(%ks, %c)\n"
                       "%s: f32[1,2,19,21] = matmul(%q2, %k2)\n"
                       "%t: f32[1,2,19,21] = add(%s, %m)\n"
                       "%w: f32[1,2,19,21] = softmax(%t) axis=-1\n"
                       "%o: f32[1,2,19,8] = matmul(%w, %v)\n"
                       "%p: f32[1,19,2,8] = transpose(%o) perm=[0,2,1,3]\n"
                       "%y: f32[1,19,16] = reshape(%p) shape=[1,19,16]\n",
                .inputs = Q ", %m: f32[1,1,1,21]"});
}

Test(attention, weights_that_are_an_output_stay) {
  check(&(Case){.ops = "%s: f32[1,2,19,21] = matmul(%q, %kt)\n"
                       "%w: f32[1,2,19,21] = softmax(%s) axis=-1\n"
                       "%o: f32[1,2,19,8] = matmul(%w, %v)\n"
                       "%r: f32[1,2,19,1] = reduce_sum(%w) axes=[3] keepdims=true\n"
                       "%y: f32[1,2,19,8] = add(%o, %r)\n",
                .inputs = "%q: f32[1,2,19,8], %kt: f32[1,2,8,21], %v: f32[1,2,21,8]",
                .serial = true});
}
