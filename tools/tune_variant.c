// tune_variant.c: one compilation of the model that is being tuned: building, running, timing its kernels.
// SPDX-License-Identifier: Apache-2.0
//
// Variants are whole models, so that each kernel is measured as it will run: weights cold, operands where the kernel
// before left them, all threads. In one variant every kernel has another candidate. Each variant has an arena of its
// own, with which its library, context and temporary folder go.
#include "tools/tune.h"

#include <stdlib.h>

#include "tools/compare.h"

// A kernel's result may differ from the baseline's by so many times what verification allows: its operands, too, come
// from other schedules.
enum { SLACK = 10 };

typedef enum HookMode { HOOK_OFF, HOOK_TIME, HOOK_KEEP, HOOK_CHECK } HookMode;

// A step that is a kernel to be tuned.
typedef struct Place {
  TuneKernel *kernel;
  const Node *node; // the first with the key; NULL: another one
  double us;        // in the current run
  bool seen;        // its results were looked at in the current run: in a loop the first ones count
} Place;

struct Variant {
  Tune *tune;
  Tool tool;
  FILE *silence;
  BuildArgs build;
  Module *module;
  Session session;
  Map *kernels; // kernel name -> TuneKernel
  Place *place; // by step
  HookMode mode;
  double begin;
  VariantPrepare prepare;
  Tuning *with;
};

// ---- hooks ------------------------------------------------------------------------------------------------------

// Result i of the kernel as a tensor in the compiler's arena.
static Tensor *result_of(Variant *v, ingot_ctx *ctx, int step, const Node *n, int i) {
  const Value *out = n->out[i];
  void *data = out ? ingot_step_arg(ctx, step, n->nin + i, NULL) : NULL;
  if (!data) return NULL;
  Type type = out->type;
  for (int d = 0; d < type.rank; d++) type.dim[d].sym = NULL; // inputs have the bounds' extents
  return layout_unpack(v->tool.ctx, out->layout, &type, data);
}

static void keep(Variant *v, ingot_ctx *ctx, int step, const Place *p) {
  for (int i = 0; i < p->node->nout; i++)
    vec_push(v->tool.arena, &p->kernel->result, result_of(v, ctx, step, p->node, i));
}

static void check(Variant *v, ingot_ctx *ctx, int step, const Place *p) {
  for (int i = 0; i < p->node->nout && i < p->kernel->result.n; i++) {
    const Tensor *want = p->kernel->result.data[i], *got = result_of(v, ctx, step, p->node, i);
    if (!want || !got) continue;
    Difference d = tensor_compare(want, got);
    if (!d.same_type || !(d.norm <= SLACK * compare_tolerance(want->type.dtype))) p->kernel->wrong = true;
  }
}

static void hook(void *user, ingot_ctx *ctx, int32_t step, int32_t begin) {
  Variant *v = user;
  Place *p = v->place ? &v->place[step] : NULL;
  if (!p || !p->kernel || v->mode == HOOK_OFF) return;
  if (v->mode == HOOK_TIME) {
    double now = seconds_now();
    if (begin)
      v->begin = now;
    else
      p->us += (now - v->begin) * 1e6;
  } else if (!begin && p->node && !p->seen) {
    p->seen = true;
    (v->mode == HOOK_KEEP ? keep : check)(v, ctx, step, p);
  }
}

// ---- building ---------------------------------------------------------------------------------------------------

static bool note_kernels(Graph *g, Variant *v) {
  for (Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nregions; i++) note_kernels(n->region[i], v);
    TuneKernel *k =
        n->kernel && !n->kernel->routine ? tune_kernel(v->tune, kernel_key(v->tool.ctx, n)) : NULL;
    if (k) map_put(v->kernels, n->kernel->name, k);
  }
  return true;
}

static bool after_pass(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  Variant *v = data;
  (void)seconds, (void)changed;
  if (strcmp(p->name, "layout") != 0) return true;
  if (v->prepare) v->prepare(v->tune, m, v->with);
  return note_kernels(m->main, v);
}

static void find_places(Variant *v) {
  int n = ingot_step_count(v->session.model);
  Place *place = NEW_ARRAY(v->tool.arena, Place, n + 1);
  for (int i = 0; i < n; i++) {
    const char *name = ingot_step_name(v->session.model, i);
    TuneKernel *k = name && *name ? map_get(v->kernels, name) : NULL;
    bool first = k != NULL;
    for (int j = 0; j < i && first; j++) first = place[j].kernel != k;
    place[i] = (Place){.kernel = k, .node = first ? graph_find_kernel(v->module->main, name) : NULL};
  }
  v->place = place;
}

static bool make_library(Variant *v, const char *path) {
  BuildArgs *b = &v->build;
  char *folder = tool_temp_folder(&v->tool);
  if (!folder) return false;
  char *lib = tool_printf(&v->tool, "%s/model.so", folder);
  b->codegen.header_path = tool_printf(&v->tool, "%s/model.h", folder);
  v->module = driver_load(b, path);
  if (!v->module || !driver_passes_with(b, v->module, after_pass, v)) return false;
  if (!driver_emit(b, &(Form){.module = v->module}, 1, lib)) return false;
  SessionOptions options = {.hook = hook, .hook_user = v};
  if (!session_open(b, lib, &options, &v->session)) return false;
  find_places(v);
  return true;
}

static bool bind(Variant *v) {
  for (int i = 0; i < v->tune->inputs.n; i++)
    if (!session_input_arg(&v->session, v->tune->inputs.data[i])) return false;
  return session_bind(&v->session, true);
}

static void close_file(void *f) {
  fclose(f);
}

Variant *variant_new(Tune *t, VariantPrepare prepare, Tuning *with, bool loud) {
  Tool *tool = t->build.tool;
  Arena *arena = arena_new(arena_oom(tool->arena));
  if (!arena) return NULL;
  Variant *v = NEW(arena, Variant);
  FILE *err = loud ? stderr : fopen("/dev/null", "w");
  *v = (Variant){.tune = t, .prepare = prepare, .with = with, .kernels = map_new(arena)};
  if (err && !loud) arena_defer(arena, close_file, err);
  v->tool = (Tool){.arena = arena, .diag = diag_new(arena, err ? err : stderr, tool->colour)};
  v->tool.ctx = ctx_new(arena, v->tool.diag);
  v->build = t->build;
  v->build.tool = &v->tool;
  v->build.pass.tuning = with;
  v->build.quiet = !loud;
  if (make_library(v, t->file) && bind(v)) return v;
  variant_free(v);
  return NULL;
}

void variant_free(Variant *v) {
  if (v) arena_free(v->tool.arena);
}

const Schedule *variant_schedule(const Variant *v, uint64_t key) {
  for (int i = 0; i < ingot_step_count(v->session.model); i++)
    if (v->place[i].node && v->place[i].kernel->key == key) return &v->place[i].node->kernel->schedule;
  return NULL;
}

// ---- running ----------------------------------------------------------------------------------------------------

static bool run(Variant *v, HookMode mode, double *ms) {
  if (ingot_state_bytes(v->session.model)) ingot_state_reset(v->session.ctx);
  for (int i = 0; i < ingot_step_count(v->session.model); i++) v->place[i].us = 0, v->place[i].seen = false;
  v->mode = mode;
  double start = seconds_now();
  bool ok = session_run(&v->session);
  *ms = (seconds_now() - start) * 1e3;
  v->mode = HOOK_OFF;
  return ok;
}

bool variant_keep(Variant *v) {
  double ms;
  return run(v, HOOK_KEEP, &ms);
}

bool variant_check(Variant *v) {
  double ms;
  for (int i = 0; i < v->tune->kernels.n; i++) v->tune->kernels.data[i]->wrong = false;
  return run(v, HOOK_CHECK, &ms);
}

// Microseconds of the last run in kernel k, all its places together.
static double spent(const Variant *v, const TuneKernel *k) {
  double us = 0;
  for (int i = 0; i < ingot_step_count(v->session.model); i++)
    if (v->place[i].kernel == k) us += v->place[i].us;
  return us;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double quantile(Arena *a, const double *x, int n, double q) {
  if (n == 0) return 0;
  double *sorted = arena_dup(a, x, (size_t)n * sizeof *x);
  qsort(sorted, (size_t)n, sizeof *sorted, by_value);
  return sorted[(int)(q * (n - 1))];
}

// What disturbs only slows down, and may hit one of the two: hence the better runs of both, which the clock, that drifts
// slowly, hits alike.
double race_ratio(Arena *a, const TuneKernel *k) {
  double theirs = quantile(a, k->theirs.data, k->theirs.n, 0.25);
  return theirs > 0 ? quantile(a, k->ours.data, k->ours.n, 0.25) / theirs : 1;
}

bool variant_race(Variant *theirs, Variant *ours, double seconds, int rounds, double *their_ms,
                  double *our_ms) {
  enum { MAX_ROUNDS = 400 };
  Tune *t = ours->tune;
  Arena *a = ours->tool.arena;
  Vec(double) their_runs = {0}, our_runs = {0};
  double x, y, start = seconds_now();
  for (int i = 0; i < t->kernels.n; i++) {
    TuneKernel *k = t->kernels.data[i];
    k->ours.n = k->ours.cap = k->theirs.n = k->theirs.cap = 0; // the last race's are gone with its variant
  }
  for (int r = 0; r < MAX_ROUNDS && (r < rounds || seconds_now() - start < seconds); r++) {
    Variant *first = r % 2 ? ours : theirs, *second = r % 2 ? theirs : ours;
    if (!run(first, HOOK_TIME, r % 2 ? &y : &x) || !run(second, HOOK_TIME, r % 2 ? &x : &y)) return false;
    vec_push(a, &their_runs, x);
    vec_push(a, &our_runs, y);
    for (int i = 0; i < t->kernels.n; i++) {
      TuneKernel *k = t->kernels.data[i];
      vec_push(a, &k->ours, spent(ours, k));
      vec_push(a, &k->theirs, spent(theirs, k));
    }
  }
  *their_ms = quantile(a, their_runs.data, their_runs.n, 0.5);
  *our_ms = quantile(a, our_runs.data, our_runs.n, 0.5);
  return true;
}
