// test_state.c: values that live from run to run: as text, evaluated, compiled at every level, and what is refused.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/codegen.h"
#include "frontend/states.h"
#include "frontend/yaml.h"
#include "passes/passes.h"
#include "runtime/ingot.h"
#include "tests/folder.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static jmp_buf oom; // never set: running out of memory crashes the test

typedef struct Fixture {
  Ctx *c;
  char *said;
  size_t len;
  FILE *out;
} Fixture;

static void open_fixture(Fixture *f) {
  Arena *a = arena_new(&oom);
  *f = (Fixture){0};
  f->out = open_memstream(&f->said, &f->len);
  f->c = ctx_new(a, diag_new(a, f->out, false));
}

static const char *said(Fixture *f) {
  fflush(f->out);
  return f->said ? f->said : "";
}

static void close_fixture(Fixture *f) {
  arena_free(f->c->arena);
  fclose(f->out);
  free(f->said);
}

// A cache that grows, a state in place, one with an initial value, two that change places.
static const char MODEL[] = "model: m\n"
                            "symbols: {past: 0..8}\n"
                            "inputs: {x: 'f32[2,S<=4,3]'}\n"
                            "state:\n"
                            "  h: {type: 'f32[3]', init: 1}\n"
                            "  a: {type: 'f32[2]', init: 2}\n"
                            "  b: f32[2]\n"
                            "graph:\n"
                            "  - all: cache@c(x * 2, 1)\n"
                            "  - h: h * 0.5 + reduce_sum(x, axes=[0,1], keepdims=false)\n"
                            "  - t: a\n"
                            "  - a: b + 1\n"
                            "  - b: t\n"
                            "  - y: reduce_sum(all, axes=[1], keepdims=false)\n"
                            "outputs: {y: y, all: all, h_now: h}\n";

static Module *load(Fixture *f, const char *text) {
  return yaml_load(f->c, source_from_text(f->c->arena, "m.yaml", text), NULL);
}

static Module *load_text(Fixture *f, const char *text) {
  return module_parse(f->c, source_from_text(f->c->arena, "m.ing", text));
}

static char *text_of(Fixture *f, const Module *m) {
  Str s = {.arena = f->c->arena};
  module_print(&s, m, NULL);
  return str_text(&s);
}

// Without counters, which go on with the context.
static char *plain_text(Fixture *f, const Module *m) {
  Str s = {.arena = f->c->arena};
  module_print_plain(&s, m);
  return str_text(&s);
}

static bool run_passes(Module *m, int level, const char *stop) {
  PassOptions o = {.opt_level = level, .winograd = "off", .threads = 1};
  PassHooks hooks = {.verify_each = true};
  m->target = target_find(m->ctx, "x86-64-v3");
  return passes_run(m, &o, NULL, stop, &hooks);
}

static Tensor *numbers(Ctx *c, int rank, const int64_t *dims, int from) {
  Type t = type_make(DT_F32, rank, dims);
  Tensor *x = tensor_new(c, &t);
  for (int64_t i = 0; i < type_elements(&t); i++) tensor_set(x, i, (double)(from + i));
  return x;
}

// The inputs of the first run: x, then the states in the order of their declaration.
static void first_inputs(Fixture *f, const Tensor **in, int s) {
  in[0] = numbers(f->c, 3, (int64_t[]){2, s, 3}, 1);
  in[1] = numbers(f->c, 1, (int64_t[]){3}, 1);
  in[2] = numbers(f->c, 1, (int64_t[]){2}, 2);
  in[3] = numbers(f->c, 1, (int64_t[]){2}, 0);
  in[4] = numbers(f->c, 3, (int64_t[]){2, 0, 3}, 0);
}

// After a run the outputs that states become are the inputs that they are.
static void next_inputs(Fixture *f, const Module *m, const Tensor **in, Tensor *const *out, int s, int from) {
  in[0] = numbers(f->c, 3, (int64_t[]){2, s, 3}, from);
  for (int i = 0; i < m->main->states.n; i++)
    in[m->main->states.data[i].input] = out[m->main->states.data[i].output];
}

static void expect_equal(Tensor *const *want, Tensor *const *got, int n, const char *what) {
  for (int i = 0; i < n; i++) {
    cr_assert(type_equal(&want[i]->type, &got[i]->type), "%s: type of output %d", what, i);
    cr_expect(tensor_equal(want[i], got[i]), "%s: output %d differs", what, i);
  }
}

Test(state, text_is_read_back) {
  Fixture f;
  open_fixture(&f);
  Module *m = load(&f, MODEL);
  cr_assert(m, "%s", said(&f));
  char *text = text_of(&f, m);
  cr_expect(strstr(text, "limit past + S <= 8"));
  cr_expect(strstr(text, "state %h becomes \"h.next\" from %init"));
  cr_expect(strstr(text, "f32[2,past + S<=8,3]"), "bounds are tightened");
  for (int level = 0; level < 3; level += 2) {
    cr_assert(m = load(&f, MODEL));
    cr_assert(run_passes(m, level, NULL), "%s", said(&f));
    text = text_of(&f, m);
    Module *again = load_text(&f, text);
    cr_assert(again, "%s", said(&f));
    cr_expect_str_eq(plain_text(&f, again), plain_text(&f, m));
  }
  close_fixture(&f);
}

// Several runs at each level, against the graph's evaluation.
Test(state, compiled_runs_agree) {
  static const int rows[] = {3, 1, 2, 1};
  for (int level = 0; level < 3; level++) {
    Fixture f;
    open_fixture(&f);
    Module *m = load(&f, MODEL), *graph = load(&f, MODEL);
    cr_assert(m && graph && run_passes(m, level, NULL), "%s", said(&f));
    CodegenOptions o = {.opt_level = level, .jobs = 1};
    Jit *j = jit_compile(m, &o);
    const Tensor *in[8];
    Tensor *want[8], *got[8], *loops[8];
    cr_assert(j);
    first_inputs(&f, in, rows[0]);
    for (int i = 0; i < ARRAY_LEN(rows); i++) {
      if (i) next_inputs(&f, graph, in, want, rows[i], 10 * i);
      cr_assert(eval_module(graph, in, want), "%s", said(&f));
      cr_assert(jit_run(j, in, got, 1), "%s", said(&f));
      expect_equal(want, got, graph->main->outputs.n, "compiled");
      cr_assert(eval_module(m, in, loops), "%s", said(&f));
      expect_equal(want, loops, graph->main->outputs.n, "loops");
    }
    close_fixture(&f);
  }
}

// ---- inputs with a limit ------------------------------------------------------------------------------------------

// The rows of a table that were asked for so far.
static const char LOOKUP[] = "model: m\n"
                             "params: {rows: 5}\n"
                             "symbols: {past: 0..8}\n"
                             "inputs: {ids: {type: 'i32[1,T<=4]', below: rows}}\n"
                             "weights: {init: normal(1), seed: 1}\n"
                             "graph:\n"
                             "  - all: cache@c(gather(weight('table', [rows, 3]), ids), 1)\n"
                             "  - y: reduce_sum(all, axes=[1], keepdims=false)\n"
                             "outputs: y\n";

Test(state, limits_are_read_back_and_evaluated) {
  Fixture f;
  open_fixture(&f);
  Module *m = load(&f, LOOKUP);
  cr_assert(m, "%s", said(&f));
  cr_expect(strstr(text_of(&f, m), "%ids: i32[1,T<=4] below 5"), "%s", text_of(&f, m));
  Module *again = load_text(&f, text_of(&f, m));
  cr_assert(again, "%s", said(&f));
  cr_expect_str_eq(plain_text(&f, again), plain_text(&f, m));
  const int64_t dims[] = {1, 1};
  Type t = type_make(DT_I32, 2, dims);
  Tensor *ids = tensor_new(f.c, &t), *out[2];
  const Tensor *in[] = {ids, numbers(f.c, 3, (int64_t[]){1, 0, 3}, 0)};
  tensor_set(ids, 0, 4);
  cr_expect(eval_module(again, in, out), "%s", said(&f));
  tensor_set(ids, 0, 5);
  cr_expect(!eval_module(again, in, out));
  cr_expect(strstr(said(&f), "element 0 of input 'ids' is 5, not in 0..4"), "%s", said(&f));
  close_fixture(&f);
}

// Runs with these numbers, of which there are n; the result's first element in *y.
static int run_lookup(ingot_ctx *c, const int32_t *ids, int64_t n, float *y) {
  float out[3] = {0};
  cr_assert_eq(ingot_set_input(c, 0, ids, INGOT_I32, 2, (int64_t[]){1, n}, 4 * (uint64_t)n), INGOT_OK);
  cr_assert_eq(ingot_set_output(c, 0, out, sizeof out), INGOT_OK);
  int code = ingot_run(c);
  *y = out[0];
  return code;
}

Test(state, an_input_outside_its_limit_changes_nothing) {
  Fixture f;
  open_fixture(&f);
  const char *path = test_path("libm.so");
  char err[200];
  Module *m = load(&f, LOOKUP);
  cr_assert(m && run_passes(m, 2, NULL), "%s", said(&f));
  cr_assert(codegen_write(m, &(CodegenOptions){.emit = EMIT_SHARED, .opt_level = 2}, path), "%s", said(&f));
  ingot_library *lib;
  cr_assert_eq(ingot_library_open(path, &lib, err, sizeof err), INGOT_OK, "%s", err);
  const ingot_model *model = ingot_library_model(lib, NULL);
  cr_expect_eq(ingot_input_info(model, 0)->limit, 5);
  ingot_ctx *c, *other;
  struct ingot_options o = {.size = sizeof o, .threads = 1};
  cr_assert(ingot_ctx_create(model, &o, &c) == INGOT_OK && ingot_ctx_create(model, &o, &other) == INGOT_OK);
  static const int32_t good[] = {1, 4}, wrong[][3] = {{0, 2, 5}, {0, -1, 2}};
  float want, got;
  cr_assert_eq(run_lookup(c, good, 2, &want), INGOT_OK);
  cr_assert_eq(run_lookup(other, good, 2, &want), INGOT_OK);
  cr_assert_eq(run_lookup(other, good, 1, &want), INGOT_OK);
  for (int i = 0; i < 2; i++) {
    int64_t past;
    cr_expect_eq(run_lookup(c, wrong[i], 3, &got), INGOT_E_DATA);
    cr_expect(strstr(ingot_last_error(c),
                     i ? "input 'ids': element 1 is -1, the model wants 0 to 4" : "element 2 is 5"),
              "%s", ingot_last_error(c));
    cr_expect(ingot_get_symbol(c, ingot_find_symbol(model, "past"), &past) == INGOT_OK && past == 2);
  }
  cr_expect_eq(run_lookup(c, good, 1, &got), INGOT_OK);
  cr_expect_eq(got, want, "the state is as before");
  ingot_ctx_destroy(c);
  ingot_ctx_destroy(other);
  ingot_library_close(lib);
  close_fixture(&f);
}

static int copies(const char *text, const char *what) {
  int n = 0;
  for (const char *s = text; (s = strstr(s, what)); s++) n++;
  return n;
}

// The cache is appended to where it is, and states that may be are computed in their place.
Test(state, updates_are_in_place) {
  Fixture f;
  open_fixture(&f);
  Module *m = load(&f, MODEL);
  cr_assert(m && run_passes(m, 2, NULL), "%s", said(&f));
  char *text = text_of(&f, m);
  cr_expect(strstr(text, "layout<0,1^8,2> @state"));
  cr_expect(strstr(text, "@state+256 in") == NULL);
  cr_expect_eq(copies(text, "@state in %c ="), 1, "the cache");
  cr_expect_eq(copies(text, "@state in %h ="), 1, "h");
  cr_expect_eq(copies(text, "= %c["), 1, "its stage says it; no loop moves the old rows");
  close_fixture(&f);
}

// ---- caches that attention reads ------------------------------------------------------------------------------------

static const char ATTEND[] =
    "model: m\n"
    "symbols: {past: 0..40, T: 4, past + T: 40}\n"
    "inputs: {x: 'f32[1,T,64]'}\n"
    "weights: {init: normal(0.2), seed: 1}\n"
    "graph:\n"
    "  - q: linear@q(x, 64)\n"
    "  - keys: cache@keys(linear@k(x, %d), 1)\n"
    "  - values: cache@values(linear@v(x, %d), 1)\n"
    "  - y: attention(q, keys, values, heads=8, kv_heads=%d, causal=true, offset=[past])\n"
    "outputs: {y: y%s}\n";

// Heads that a task does together have rows of their own in the cache; the results stay what they are.
static void check_rows(int kv_heads, int threads, const char *others, const char *layout) {
  static const int rows[] = {3, 1, 4, 1};
  Fixture f;
  open_fixture(&f);
  const char *text = arena_printf(f.c->arena, ATTEND, 8 * kv_heads, 8 * kv_heads, kv_heads, others);
  Module *m = load(&f, text), *graph = load(&f, text);
  cr_assert(m && graph, "%s", said(&f));
  PassOptions o = {.opt_level = 2, .threads = threads};
  m->target = target_find(m->ctx, "x86-64-v3");
  cr_assert(passes_run(m, &o, NULL, NULL, &(PassHooks){.verify_each = true}), "%s", said(&f));
  cr_expect_eq(m->unproved, 0, "%s", m->unproved_why);
  const char *after = text_of(&f, m);
  cr_expect_eq(copies(after, layout ? layout : "1^40,2%"), layout ? 4 : 0, "%d heads%s", kv_heads, others);
  Jit *j = jit_compile(m, &(CodegenOptions){.opt_level = 2, .jobs = 1});
  const Tensor *in[8];
  Tensor *want[8], *got[8];
  for (int i = 1; i < 3; i++) in[i] = numbers(f.c, 3, (int64_t[]){1, 0, 8 * kv_heads}, 0);
  for (int i = 0; i < ARRAY_LEN(rows); i++) {
    if (i) next_inputs(&f, graph, in, want, 1, 0);
    Tensor *x = numbers(f.c, 3, (int64_t[]){1, rows[i], 64}, -30 * i);
    for (int64_t k = 0; k < type_elements(&x->type); k++) tensor_set(x, k, tensor_get(x, k) / 100);
    in[0] = x;
    cr_assert(eval_module(graph, in, want) && jit_run(j, in, got, threads ? 1 : 2), "%s", said(&f));
    for (int n = 0; n < graph->main->outputs.n; n++)
      for (int64_t k = 0; k < type_elements(&want[n]->type); k++)
        cr_assert_float_eq(tensor_get(got[n], k), tensor_get(want[n], k),
                           1e-4 * (1 + fabs(tensor_get(want[n], k))), "run %d, output %d", i, n);
  }
  close_fixture(&f);
}

Test(state, heads_that_go_together_have_rows_of_their_own) {
  check_rows(8, 0, "", "layout<0,2/32,1^40,2%32>");
  check_rows(4, 0, "", "layout<0,2/16,1^40,2%16>"); // two heads share keys
  check_rows(2, 0, "", "layout<0,2/8,1^40,2%8>");
  check_rows(8, 1, "", NULL);                     // one task does all
  check_rows(8, 0, ", k: keys, v: values", NULL); // something else reads it, too
}

static const char TWO[] = "ingot 1 graph\n"
                          "module m\n"
                          "sym n: 0..6\n"
                          "graph main(%x: f32[2], %p: f32[n,2]) {\n"
                          "  %e: f32[1,2] = reshape(%x) shape=[1,2]\n"
                          "  %q: f32[n + 1,2] = concat(%p, %e) axis=0\n"
                          "  return present=%q\n"
                          "}\n";

Test(state, options_pair_inputs_with_outputs) {
  Fixture f;
  open_fixture(&f);
  FrontendOptions o = {0};
  vec_push(f.c->arena, &o.states, (const char *)"p=present");
  Module *m = load_text(&f, TWO);
  cr_assert(m && states_pair(m, &o), "%s", said(&f));
  cr_assert_eq(m->main->states.n, 1);
  cr_expect_eq(m->main->outputs.data[0]->type.dim[0].n, 6);
  cr_expect(module_verify(m, NULL), "%s", said(&f));
  o.states.data[0] = "p*=pres*t";
  cr_expect(states_name_input(&o, "past") && states_name_input(&o, "p") && !states_name_input(&o, "x"));
  close_fixture(&f);
}

static void expect_refused(const char *option, const char *message) {
  Fixture f;
  open_fixture(&f);
  FrontendOptions o = {0};
  vec_push(f.c->arena, &o.states, option);
  Module *m = load_text(&f, TWO);
  cr_assert(m);
  cr_expect(!states_pair(m, &o));
  cr_expect(strstr(said(&f), message), "%s: %s", option, said(&f));
  close_fixture(&f);
}

Test(state, pairs_that_do_not_fit) {
  expect_refused("x=present", "state 'x' is f32[2], but would become");
  expect_refused("p=nothing", "the model has no output 'nothing'");
  expect_refused("q=present", "no input has such a name");
  expect_refused("p", "--state wants INPUT=OUTPUT");
}

static void expect_error(const char *model, const char *message) {
  Fixture f;
  open_fixture(&f);
  cr_expect_null(load(&f, model));
  cr_expect(strstr(said(&f), message), "%s\n%s", model, said(&f));
  close_fixture(&f);
}

Test(state, mistakes_in_models) {
  expect_error("inputs: {x: 'f32[2]'}\nstate: {h: 'f32[3]'}\ngraph: {h: relu(x)}\noutputs: h\n",
               "state 'h' is f32[3], but would become f32[2]");
  expect_error("inputs: {x: 'f32[2]'}\nstate: {h: 'f32[2]'}\ngraph: {y: relu(x)}\noutputs: y\n",
               "no step changes the state 'h'");
  expect_error("inputs: {x: 'f32[2]'}\nstate: {h: {init: 1}}\ngraph: {y: relu(x)}\noutputs: y\n",
               "state 'h' has no type");
  expect_error(
      "inputs: {x: 'f32[2]'}\nstate: {h: {type: 'f32[2]', size: 3}}\ngraph: {h: relu(x)}\noutputs: h\n",
      "no 'size'");
  expect_error("inputs: {x: 'f32[B<=4,2]'}\nstate: {h: 'f32[B,2]'}\ngraph: {h: h + x}\noutputs: h\n",
               "must be a constant");
  expect_error("inputs: {x: 'f32[2]'}\nsymbols: {1 + 2: 2}\ngraph: {y: relu(x)}\noutputs: y\n",
               "cannot be kept");
  expect_error("inputs: {x: {type: 'f32[2]', below: 3}}\ngraph: {y: relu(x)}\noutputs: y\n",
               "only inputs of integers have a limit");
  expect_error("inputs: {x: {type: 'i32[2]', below: 0}}\ngraph: {y: abs(x)}\noutputs: y\n",
               "a number from 1 to 2147483647");
  expect_error("inputs: {x: {type: 'i32[2]', above: 0}}\ngraph: {y: abs(x)}\noutputs: y\n",
               "input 'x' has a type and below, but no 'above'");
  expect_error("inputs: {x: 'f32[2,3]'}\ngraph: {y: 'cache(x, 1)'}\noutputs: y\n",
               "needs a symbol for its length");
}
