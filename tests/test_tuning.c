// test_tuning.c: the tuning database, kernels' keys, and that every candidate schedule computes the same.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/codegen.h"
#include "passes/passes.h"
#include "tests/fixture.h"
#include "tests/folder.h"
#include "tools/compare.h"

// ---- the database -------------------------------------------------------------------------------------------------

static const char HEAD[] = "tuning 1\n";
static const char ONE[] =
    "k0123456789abcdef \"x86-64-v3\" threads 1 product(lanes=8, mr=6, nv=2) us 103.2 of 110.5 "
    "\"conv \\\"1\\\"\"\n";
static const char TWO[] = "k0123456789abcdef \"x86-64-v3\" threads 4 winograd(m=4) us 1.0 of 2.0 \"x\"\n";

static Tuning *read_text(Bench *b, const char *text) {
  const char *path = test_path("tuning");
  FILE *f = fopen(path, "w");
  cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
  return tuning_read(b->ctx, path);
}

Test(tuning, round_trip) {
  Bench *b = bench_new();
  const char *text = arena_printf(b->arena, "%s%s%s", HEAD, ONE, TWO);
  Tuning *t =
      read_text(b, arena_printf(b->arena, "# a comment\n\n%s%s\n%s", HEAD, TWO, ONE)); // another order
  cr_assert(t, "%s", said(b));
  Str out = {.arena = b->arena};
  tuning_print(&out, t);
  cr_expect_str_eq(str_text(&out), text);
  cr_expect_str_eq(said(b), "");
  bench_free(b);
}

Test(tuning, finding) {
  Bench *b = bench_new();
  Tuning *t = read_text(b, arena_printf(b->arena, "%s%s%s", HEAD, ONE, TWO));
  uint64_t key = 0x0123456789abcdef;
  cr_expect_eq(tuning_find(t, key, "x86-64-v3", 1)->threads, 1);
  cr_expect_eq(tuning_find(t, key, "x86-64-v3", 4)->threads, 4);
  cr_expect_eq(tuning_find(t, key, "x86-64-v3", 2)->threads, 1, "the nearest");
  cr_expect_eq(tuning_find(t, key, "x86-64-v3", 0)->threads, 4, "the most");
  cr_expect_null(tuning_find(t, key, "x86-64-v4", 1));
  cr_expect_null(tuning_find(t, key + 1, "x86-64-v3", 1));
  cr_expect_null(tuning_find(NULL, key, "x86-64-v3", 1));
  TuneEntry e = *tuning_find(t, key, "x86-64-v3", 1);
  e.us = 50;
  tuning_put(b->arena, t, &e);
  cr_expect_eq(t->entries.n, 2);
  cr_expect_eq(tuning_find(t, key, "x86-64-v3", 1)->us, 50);
  tuning_drop(t, key, "x86-64-v3", 1);
  tuning_drop(t, key, "x86-64-v3", 3);
  cr_expect_eq(tuning_find(t, key, "x86-64-v3", 1)->threads, 4);
  bench_free(b);
}

// Text that is no database, and where the fault is.
static void refused(const char *text, const char *place, const char *why) {
  Bench *b = bench_new();
  cr_expect_null(read_text(b, text), "%s", text);
  cr_expect(strstr(said(b), place) && strstr(said(b), why), "'%s' says: %s", text, said(b));
  bench_free(b);
}

Test(tuning, damaged) {
  refused("", ":1:1: error", "no tuning database");
  refused("model: resnet\n", ":1:1: error", "no tuning database");
  refused("tuning 2\n", ":1:8: error", "of version 2; this compiler reads version 1");
  refused("tuning 1\nk12 \"t\" threads 1 map() us 1.0 of 1.0 \"a\"\n", ":2:1: error",
          "16 hexadecimal digits");
  refused("tuning 1\nk0123456789abcdeg \"t\" threads 1 map() us 1.0 of 1.0 \"a\"\n", ":2:1: error",
          "kernel's key");
  refused("tuning 1\nk0123456789abcdef \"t\" threads 0 map() us 1.0 of 1.0 \"a\"\n", ":2:31: error",
          "from 1 to 4096");
  refused("tuning 1\nk0123456789abcdef \"t\" threads 1 map(mr=) us 1.0 of 1.0 \"a\"\n", ":2:40: error", "");
  refused("tuning 1\nk0123456789abcdef \"t\" threads 1 map(mr=1) us 1.0 of 1.0 \"a\n", ":2:", "");
  refused("tuning 1\nk0123456789abcdef \"t\" threads 1 map() us 1.0 of 1.0 \"a\"\n"
          "k0123456789abcdef \"t\" threads 1 map() us 1.0 of 1.0 \"a\"\n",
          ":3:1: error", "second entry");
}

// ---- a model ------------------------------------------------------------------------------------------------------

static Value *constant(Bench *b, Graph *g, const char *name, int rank, const int64_t *dims) {
  Type type = type_make(DT_F32, rank, dims);
  Tensor *t = tensor_new(b->ctx, &type);
  uint32_t state = 7;
  for (int64_t i = 0; i < type_elements(&type); i++) {
    state = state * 1664525 + 1013904223;
    tensor_set(t, i, ((double)(state >> 8) / (1 << 24) - 0.5) / 4);
  }
  return graph_const(g, name, t, NO_LOC);
}

#define DIMS(...)                                                                                            \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) {                                   \
    __VA_ARGS__                                                                                              \
  }

// Convolutions 3x3 (`channels` to 24), depthwise and 1x1, a product of matrices, and attention.
static Module *make_model(Bench *b, int64_t channels, const char *prefix) {
  Module *m = module_new(b->ctx, "tuned");
  Graph *g = m->main = graph_new(m, "main", NULL);
  Builder at = builder_at(g, NULL, NO_LOC);
#define NAME(s) arena_printf(b->arena, "%s%s", prefix, s)
  Value *x = graph_input(g, NAME("x"), type_make(DT_F32, DIMS(1, channels, 14, 14)), NO_LOC);
  Value *q = graph_input(g, NAME("q"), type_make(DT_F32, DIMS(1, 2, 40, 16)), NO_LOC);
  Value *y = graph_input(g, NAME("y"), type_make(DT_F32, DIMS(50, 48)), NO_LOC);
  Value *v = build(&at, "conv", IN(x, constant(b, g, NAME("w1"), DIMS(24, channels, 3, 3))),
                   ATTRS(A_INTS("pads", ((int64_t[]){1, 1, 1, 1}), 4)));
  v = build(&at, "relu", IN(v), NO_ATTRS);
  v = build(&at, "conv", IN(v, constant(b, g, NAME("w2"), DIMS(24, 1, 3, 3))),
            ATTRS(A_INTS("pads", ((int64_t[]){1, 1, 1, 1}), 4), A_INT("groups", 24)));
  v = build(&at, "conv", IN(v, constant(b, g, NAME("w3"), DIMS(40, 24, 1, 1))), NO_ATTRS);
  graph_output(g, "image", v);
  graph_output(g, "matrix", build(&at, "matmul", IN(y, constant(b, g, NAME("w4"), DIMS(48, 72))), NO_ATTRS));
  graph_output(g, "mix", build(&at, "attention", IN(q, q, q), NO_ATTRS));
  return m;
#undef NAME
}

typedef struct Kept {
  Bench *b;
  Vec(uint64_t) keys;
  Vec(ScheduleList) lists; // candidates of each kernel
  const PassOptions *o;
} Kept;

static bool list_kernels(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  Kept *k = data;
  (void)seconds, (void)changed;
  if (strcmp(p->name, "layout") != 0) return true;
  for (Node *n = m->main->first; n; n = n->next) {
    ScheduleList list = {0};
    schedule_candidates(m, n, k->o, NULL, &list);
    for (int i = 0, first = list.n; i < first; i++) { // of everything, not only of the best
      Schedule near = list.data[i];
      if (i == 0 || i == first - 1) schedule_candidates(m, n, k->o, &near, &list);
    }
    vec_push(k->b->arena, &k->keys, kernel_key(m->ctx, n));
    vec_push(k->b->arena, &k->lists, list);
  }
  return true;
}

static Kept candidates_of(Bench *b, Module *m, const PassOptions *o) {
  Kept k = {.b = b, .o = o};
  PassHooks hooks = {.after = list_kernels, .data = &k};
  m->target = target_find(b->ctx, "x86-64-v3");
  cr_assert(passes_run(m, o, NULL, "layout", &hooks), "%s", said(b));
  return k;
}

Test(tuning, keys) {
  Bench *b = bench_new();
  PassOptions o = {.opt_level = 2, .winograd = "auto", .threads = 1};
  Kept one = candidates_of(b, make_model(b, 16, ""), &o),
       again = candidates_of(b, make_model(b, 16, "other."), &o),
       wider = candidates_of(b, make_model(b, 32, ""), &o);
  cr_assert_eq(one.keys.n, again.keys.n);
  cr_assert_eq(one.keys.n, wider.keys.n);
  int differ = 0;
  for (int i = 0; i < one.keys.n; i++) {
    cr_expect_eq(one.keys.data[i], again.keys.data[i], "names do not count");
    differ += one.keys.data[i] != wider.keys.data[i];
    for (int j = 0; j < i; j++) cr_expect_neq(one.keys.data[i], one.keys.data[j]);
  }
  cr_expect_eq(differ, 1, "the first convolution alone has more channels");
  bench_free(b);
}

// ---- candidates ---------------------------------------------------------------------------------------------------

static const Tensor *random_input(Bench *b, const Value *v, uint32_t state) {
  Tensor *t = tensor_new(b->ctx, &v->type);
  for (int64_t i = 0; i < type_elements(&v->type); i++) {
    state = state * 1664525 + 1013904223;
    tensor_set(t, i, (double)(state >> 8) / (1 << 24) - 0.5);
  }
  return t;
}

// Compiles with the i-th candidate of each kernel; returns how many of those were used.
static int run_tuned(const Kept *k, int i, const Tensor *const *in, Tensor *const *want) {
  Bench *b = bench_new();
  Tuning with = {0};
  for (int n = 0; n < k->keys.n; n++) {
    TuneEntry e = {.kernel = k->keys.data[n], .target = "x86-64-v3", .threads = 1, .name = ""};
    if (i >= k->lists.data[n].n) continue;
    e.schedule = k->lists.data[n].data[i];
    tuning_put(b->arena, &with, &e);
  }
  PassOptions o = *k->o;
  o.tuning = &with;
  Module *m = make_model(b, 16, "");
  m->target = target_find(b->ctx, "x86-64-v3");
  cr_assert(passes_run(m, &o, NULL, NULL, NULL), "%s", said(b));
  int used = 0;
  for (const Node *n = m->main->first; n; n = n->next) used += n->kernel && n->kernel->schedule.tuned;
  CodegenOptions co = {.opt_level = 2, .jobs = 1};
  Tensor *got[3];
  Jit *j = jit_compile(m, &co);
  cr_assert(j && jit_run(j, in, got, 1), "%s", said(b));
  for (int n = 0; n < 3; n++) {
    Difference d = tensor_compare(want[n], got[n]);
    cr_expect(d.same_type && d.norm < compare_tolerance(DT_F32), "candidate %d, output %d: %g", i, n, d.norm);
  }
  bench_free(b);
  return used;
}

Test(tuning, candidates_compute_the_same) {
  Bench *b = bench_new();
  PassOptions o = {.opt_level = 2, .winograd = "auto", .threads = 1};
  Module *m = make_model(b, 16, "");
  const Tensor *in[3];
  Tensor *want[3];
  for (int i = 0; i < 3; i++) in[i] = random_input(b, m->main->inputs.data[i], (uint32_t)i);
  cr_assert(eval_module(m, in, want), "%s", said(b));
  Kept k = candidates_of(b, m, &o);
  int most = 0, all = 0, used = 0, stored = 0; // whose transformed weights there may be no room for
  for (int n = 0; n < k.lists.n; n++) {
    cr_expect_gt(k.lists.data[n].n, 5, "kernel %d has few candidates", n);
    all += k.lists.data[n].n;
    for (int i = 0; i < k.lists.data[n].n; i++) {
      const Schedule *x = &k.lists.data[n].data[i];
      for (int j = 0; j < x->params.n; j++)
        stored += strcmp(x->params.data[j].name, "stored") == 0 && x->params.data[j].value;
    }
    if (k.lists.data[n].n > most) most = k.lists.data[n].n;
  }
  for (int i = 0; i < most; i++) used += run_tuned(&k, i, in, want);
  cr_expect(used >= all - stored && stored < all / 4, "%d of %d candidates were used", used, all);
  bench_free(b);
}

// Schedules that this compilation may not use, or that fit another kernel, are left alone.
Test(tuning, unfit_entries) {
  Bench *b = bench_new();
  PassOptions o = {.opt_level = 2, .winograd = "off", .threads = 1};
  Kept k = candidates_of(b, make_model(b, 16, ""), &o);
  static const char *const kinds[] = {"winograd", "attention", "product", "nothing"};
  for (int i = 0; i < ARRAY_LEN(kinds); i++) {
    Tuning with = {0};
    TuneEntry e = {.target = "x86-64-v3", .threads = 1, .name = ""};
    e.schedule.kind = kinds[i];
    static SchedParam params[] = {{"m", 4}, {"mr", 99}, {"nv", 99}, {"queries", 1}};
    e.schedule.params.data = params;
    e.schedule.params.n = ARRAY_LEN(params);
    for (int n = 0; n < k.keys.n; n++) {
      e.kernel = k.keys.data[n];
      tuning_put(b->arena, &with, &e);
    }
    PassOptions tuned = o;
    tuned.tuning = &with;
    Module *plain = make_model(b, 16, ""), *m = make_model(b, 16, "");
    plain->target = m->target = target_find(b->ctx, "x86-64-v3");
    cr_assert(passes_run(plain, &o, NULL, "schedule", NULL) && passes_run(m, &tuned, NULL, "schedule", NULL));
    for (const Node *n = m->main->first, *p = plain->main->first; n; n = n->next, p = p->next)
      cr_expect(!n->kernel->schedule.tuned && schedule_equal(&n->kernel->schedule, &p->kernel->schedule),
                "%s: %s", kinds[i], n->kernel->name);
  }
  bench_free(b);
}

// A dump says where a schedule came from, and keeps it when it is read back.
Test(tuning, dumps) {
  Bench *b = bench_new();
  PassOptions o = {.opt_level = 2, .winograd = "auto", .threads = 1};
  Kept k = candidates_of(b, make_model(b, 16, ""), &o);
  Tuning with = {0};
  for (int n = 0; n < k.keys.n; n++) {
    TuneEntry e = {.kernel = k.keys.data[n], .target = "x86-64-v3", .threads = 1, .name = ""};
    e.schedule = k.lists.data[n].data[0];
    tuning_put(b->arena, &with, &e);
  }
  o.tuning = &with;
  Module *m = make_model(b, 16, "");
  m->target = target_find(b->ctx, "x86-64-v3");
  m->wants_remarks = true;
  cr_assert(passes_run(m, &o, NULL, "schedule", NULL), "%s", said(b));
  Str out = {.arena = b->arena}, back = {.arena = b->arena};
  module_print(&out, m, NULL);
  cr_expect(strstr(str_text(&out), ") tuned\n"), "%s", str_text(&out));
  Bench *other = bench_new();
  Module *read = module_parse(other->ctx, source_from_text(other->arena, "dump", str_text(&out)));
  cr_assert(read, "%s", said(other));
  module_print(&back, read, NULL);
  cr_expect_str_eq(str_text(&back), str_text(&out));
  bool told = false;
  for (int i = 0; i < m->remarks.n; i++)
    told |= strstr(m->remarks.data[i].text, "from the tuning database") != NULL;
  cr_expect(told);
  bench_free(other);
  bench_free(b);
}
