// cmd_tune.c: `ingot tune MODEL`: measures schedules on this machine and keeps the best in a database.
// SPDX-License-Identifier: Apache-2.0
//
// The model is compiled again and again; each time every kernel gets the next schedule that may be better, and the
// whole takes turns with the model as the cost model makes it. What was faster in its place, by the median of the
// rounds, is tried with variations. At the end everything that won runs together, and what does not hold is dropped.
#include <cjson/cJSON.h>
#include <errno.h>
#include <fnmatch.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/tune.h"

enum { OPT_BUDGET = 512, OPT_KERNELS, OPT_LOG, OPT_SHARE, OPT_ALL };

// Gains below these are not believed: in the race of one candidate, in the last one, and without that.
static const double GAIN_SCREEN = 0.99, GAIN_FINAL = 0.985, GAIN_UNCONFIRMED = 0.96;
// A race takes as long as half of the compilation before it, within limits.
static const double RACE_SECONDS = 0.5, MAX_RACE_SECONDS = 4, FINAL_SECONDS = 4;
enum { RACE_ROUNDS = 7, FINAL_ROUNDS = 15, MAX_VARIATIONS = 3 };

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0, "the database (default: MODEL's name with .tune, in the current folder)", 0},
    {"input", 'i', "NAME=SOURCE", 0, "as for `ingot run`; inputs not given are random", 0},
    {"budget", OPT_BUDGET, "SECONDS", 0, "stop looking after so long (default 600)", 0},
    {"kernels", OPT_KERNELS, "PATTERN", 0, "tune these only, by name; * stands for any text", 0},
    {"min-share", OPT_SHARE, "PERCENT", 0, "leave kernels alone that take less of a run (default 0.3)", 0},
    {"all-tiles", OPT_ALL, NULL, 0, "measure register tiles, too, that the cost model thinks bad", 0},
    {"log", OPT_LOG, "FILE", 0, "write every measurement as a line of JSON", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  Tune *t = state->input;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &t->build; return 0;
  case 'o': t->out = arg; return 0;
  case 'i': vec_push(t->build.tool->arena, &t->inputs, (const char *)arg); return 0;
  case OPT_BUDGET: t->budget = number_option(arg, 1, 1e6, state, "--budget"); return 0;
  case OPT_SHARE: t->share = number_option(arg, 0, 100, state, "--min-share") / 100; return 0;
  case OPT_KERNELS: t->only = arg; return 0;
  case OPT_ALL: t->build.pass.all_tiles = true; return 0;
  case OPT_LOG: t->log_path = arg; return 0;
  case ARGP_KEY_END:
    if (t->build.isas) argp_error(state, "--isa: tune for one --target after the other");
    if (t->build.tune)
      argp_error(state, "--tune: the database that is written is read first; name it with -o");
    if (t->build.pass.opt_level < 2) argp_error(state, "there is nothing to tune below -O2");
    return 0;
  default: return file_option(key, arg, state, &t->file, "model");
  }
}

// ---- interruption -----------------------------------------------------------------------------------------------

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig) {
  (void)sig;
  interrupted = 1;
}

// The first Ctrl-C ends the search, what was found is kept; the second kills.
static void catch_interrupt(void) {
  sigaction(SIGINT, &(struct sigaction){.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND}, NULL);
}

static bool is_over(const Tune *t) {
  return interrupted || seconds_now() - t->start > t->budget;
}

// ---- kernels ----------------------------------------------------------------------------------------------------

TuneKernel *tune_kernel(const Tune *t, uint64_t key) {
  for (int i = 0; i < t->kernels.n; i++)
    if (t->kernels.data[i]->key == key) return t->kernels.data[i];
  return NULL;
}

// A copy that outlives the variant it comes from: names of classes and parameters are literals.
static Schedule copy_schedule(const Tune *t, const Schedule *s) {
  Schedule copy = {.kind = s->kind};
  for (int i = 0; i < s->params.n; i++) vec_push(t->build.tool->arena, &copy.params, s->params.data[i]);
  return copy;
}

static void enqueue(Tune *t, TuneKernel *k, const Schedule *s) {
  for (int i = 0; i < k->tried.n; i++)
    if (schedule_equal(&k->tried.data[i], s)) return;
  vec_push(t->build.tool->arena, &k->tried, copy_schedule(t, s));
  vec_push(t->build.tool->arena, &k->queue, copy_schedule(t, s));
}

static void enqueue_candidates(Tune *t, TuneKernel *k, Module *m, Node *n, const Schedule *near) {
  ScheduleList list = {0};
  schedule_candidates(m, n, &t->build.pass, near, &list);
  for (int i = 0; i < list.n; i++) enqueue(t, k, &list.data[i]);
}

static void list_kernel(Tune *t, Module *m, Node *n) {
  uint64_t key = kernel_key(m->ctx, n);
  TuneKernel *k = tune_kernel(t, key);
  if (k) {
    k->places++;
    return;
  }
  k = NEW(t->build.tool->arena, TuneKernel);
  *k = (TuneKernel){
      .key = key, .places = 1, .ratio = 1, .name = arena_strdup(t->build.tool->arena, n->kernel->name)};
  vec_push(t->build.tool->arena, &t->kernels, k);
  Str shape = {.arena = t->build.tool->arena};
  schedule_shape(m, n, &shape);
  k->shape = str_text(&shape);
  if (t->only && fnmatch(t->only, k->name, 0) != 0) return;
  const TuneEntry *e = tuning_find(t->db, key, m->target->name, t->threads);
  if (e && e->threads == t->threads) enqueue(t, k, &e->schedule);
  enqueue_candidates(t, k, m, n, NULL);
}

static void list_kernels(Tune *t, Module *m, Graph *g) {
  for (Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nregions; i++) list_kernels(t, m, n->region[i]);
    if (n->kernel && !n->kernel->routine) list_kernel(t, m, n);
  }
}

// In the baseline: finds the kernels and the first candidates.
static void prepare_baseline(Tune *t, Module *m, Tuning *with) {
  (void)with;
  t->target = arena_strdup(t->build.tool->arena, m->target->name);
  list_kernels(t, m, m->main);
}

// ---- candidates of one variant ----------------------------------------------------------------------------------

static bool is_waiting(const TuneKernel *k) {
  return k->next < k->queue.n;
}

static bool wants_variations(const TuneKernel *k) {
  return !is_waiting(k) && k->tried.n > 0 && k->rounds < MAX_VARIATIONS;
}

// Variations are made where the kernel is at hand; a further round of them only if the last one found something.
static void vary(Tune *t, TuneKernel *k, Module *m, Node *n) {
  int before = k->queue.n;
  enqueue_candidates(t, k, m, n, k->best.kind ? &k->best : &k->base);
  k->rounds = k->queue.n > before ? k->rounds + 1 : MAX_VARIATIONS;
}

static void choose_graph(Tune *t, Module *m, Graph *g, Tuning *with) {
  for (Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nregions; i++) choose_graph(t, m, n->region[i], with);
    TuneKernel *k = n->kernel && !n->kernel->routine ? tune_kernel(t, kernel_key(m->ctx, n)) : NULL;
    if (!k) continue;
    if (wants_variations(k)) vary(t, k, m, n);
    const Schedule *s = is_waiting(k) ? &k->queue.data[k->next] : &k->best;
    TuneEntry e = {
        .kernel = k->key, .target = t->target, .threads = t->threads, .schedule = *s, .name = k->name};
    if (s->kind) tuning_put(m->ctx->arena, with, &e);
  }
}

static void prepare_variant(Tune *t, Module *m, Tuning *with) {
  choose_graph(t, m, m->main, with);
}

// Only what won so far.
static void prepare_winners(Tune *t, Module *m, Tuning *with) {
  for (int i = 0; i < t->kernels.n; i++) {
    const TuneKernel *k = t->kernels.data[i];
    TuneEntry e = {
        .kernel = k->key, .target = t->target, .threads = t->threads, .schedule = k->best, .name = k->name};
    if (k->best.kind) tuning_put(m->ctx->arena, with, &e);
  }
}

// ---- judging ----------------------------------------------------------------------------------------------------

// `what`: base, candidate, wrong, declined or winner.
static void log_measurement(Tune *t, const TuneKernel *k, const Schedule *s, double ratio, const char *what) {
  if (!t->log) return;
  Str text = {.arena = t->build.tool->arena};
  schedule_print(&text, s);
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "model", t->file);
  cJSON_AddStringToObject(o, "name", k->name);
  cJSON_AddStringToObject(o, "kernel", tool_printf(t->build.tool, "%016llx", (unsigned long long)k->key));
  cJSON_AddStringToObject(o, "shape", k->shape);
  cJSON_AddNumberToObject(o, "places", k->places);
  cJSON_AddNumberToObject(o, "threads", t->threads);
  cJSON_AddNumberToObject(o, "share", k->share);
  cJSON_AddStringToObject(o, "what", what);
  cJSON_AddStringToObject(o, "schedule", str_text(&text));
  cJSON_AddNumberToObject(o, "us", k->us * ratio);
  cJSON_AddNumberToObject(o, "base_us", k->us);
  char *line = cJSON_PrintUnformatted(o);
  if (line) fprintf(t->log, "%s\n", line);
  fflush(t->log);
  cJSON_free(line);
  cJSON_Delete(o);
}

// The baseline against itself: how long each kernel takes, and which take enough to be worth the work.
static bool measure_baseline(Tune *t, Variant *base, double *ms) {
  double again;
  Arena *a = t->build.tool->arena;
  if (!variant_race(base, base, RACE_SECONDS, RACE_ROUNDS, ms, &again)) return false;
  for (int i = 0; i < t->kernels.n; i++) {
    TuneKernel *k = t->kernels.data[i];
    const Schedule *s = variant_schedule(base, k->key);
    k->us = quantile(a, k->theirs.data, k->theirs.n, 0.5);
    k->share = k->us / (*ms * 1e3);
    if (!s || k->share < t->share) {
      k->queue.n = k->tried.n = 0;
      continue;
    }
    k->base = copy_schedule(t, s);
    log_measurement(t, k, &k->base, 1, "base");
    if (k->tried.n == 0) continue;
    int kept = 0; // the cost model's own choice is measured as the baseline
    for (int c = 0; c < k->queue.n; c++)
      if (!schedule_equal(&k->queue.data[c], &k->base)) k->queue.data[kept++] = k->queue.data[c];
    k->queue.n = kept;
    vec_push(a, &k->tried, k->base);
  }
  return true;
}

static void judge(Tune *t, TuneKernel *k, const Variant *v) {
  if (!is_waiting(k)) return;
  const Schedule *s = &k->queue.data[k->next++], *got = v ? variant_schedule(v, k->key) : NULL;
  bool used = got && got->tuned && schedule_equal(got, s);
  double ratio = used ? race_ratio(t->build.tool->arena, k) : 0;
  log_measurement(t, k, s, ratio, !used ? "declined" : k->wrong ? "wrong" : "candidate");
  if (!used || k->wrong || ratio >= k->ratio * GAIN_SCREEN) return;
  k->best = *s;
  k->ratio = ratio;
}

static bool any_left(const Tune *t) {
  for (int i = 0; i < t->kernels.n; i++)
    if (is_waiting(t->kernels.data[i]) || wants_variations(t->kernels.data[i])) return true;
  return false;
}

// What winners save of a run, as measured so far.
static double saved(const Tune *t, int *winners) {
  double us = 0;
  *winners = 0;
  for (int i = 0; i < t->kernels.n; i++) {
    const TuneKernel *k = t->kernels.data[i];
    us += k->us * (1 - k->ratio);
    *winners += k->best.kind != NULL;
  }
  return us;
}

static void progress(const Tune *t, int variants, double base_ms) {
  int waiting = 0, winners, most = 0;
  if (!t->build.tool->terminal) return;
  for (int i = 0; i < t->kernels.n; i++) {
    const TuneKernel *k = t->kernels.data[i];
    int left = k->queue.n - k->next;
    waiting += left;
    if (left > most) most = left;
  }
  double us = saved(t, &winners);
  fprintf(stderr,
          "\r\033[K%d variants in %.0f of %.0f s; %d candidates in %d variants to go; %d kernels faster, the "
          "run by "
          "%.1f %%",
          variants, seconds_now() - t->start, t->budget, waiting, most, winners, us / (base_ms * 10));
  fflush(stderr);
}

static bool one_variant(Tune *t, Variant *base) {
  Tuning with = {0};
  double theirs, ours, start = seconds_now();
  Variant *v = variant_new(t, prepare_variant, &with, false);
  double race = (seconds_now() - start) / 2;
  race = race < RACE_SECONDS ? RACE_SECONDS : race > MAX_RACE_SECONDS ? MAX_RACE_SECONDS : race;
  bool ok = v && variant_check(v) && variant_race(base, v, race, RACE_ROUNDS, &theirs, &ours);
  for (int i = 0; i < t->kernels.n; i++) judge(t, t->kernels.data[i], ok ? v : NULL);
  variant_free(v);
  return ok;
}

// ---- the end ------------------------------------------------------------------------------------------------------

static void drop(TuneKernel *k) {
  k->best = (Schedule){0};
  k->ratio = 1;
}

// All winners together against the baseline; those that do not hold are dropped. *ms: the median run.
static bool confirm(Tune *t, Variant *base, double *base_ms, double *ms) {
  Tuning with = {0};
  Variant *v = variant_new(t, prepare_winners, &with, false);
  bool ok = v && variant_check(v) && variant_race(base, v, FINAL_SECONDS, FINAL_ROUNDS, base_ms, ms);
  for (int i = 0; i < t->kernels.n; i++) {
    TuneKernel *k = t->kernels.data[i];
    if (!k->best.kind) continue;
    double ratio = ok ? race_ratio(t->build.tool->arena, k) : 1;
    log_measurement(t, k, &k->best, ratio, "winner");
    k->ratio = ratio;
    if (k->wrong || ratio > GAIN_FINAL) drop(k);
  }
  if (ok && *ms > *base_ms) // the whole is what counts
    for (int i = 0; i < t->kernels.n; i++) drop(t->kernels.data[i]);
  variant_free(v);
  return ok;
}

static void drop_unconfirmed(Tune *t) {
  for (int i = 0; i < t->kernels.n; i++)
    if (t->kernels.data[i]->ratio > GAIN_UNCONFIRMED) drop(t->kernels.data[i]);
}

static bool write_database(Tune *t) {
  Tool *tool = t->build.tool;
  for (int i = 0; i < t->kernels.n; i++) {
    const TuneKernel *k = t->kernels.data[i];
    TuneEntry e = {.kernel = k->key, .target = t->target, .threads = t->threads, .schedule = k->best};
    e.name = k->name;
    e.base_us = k->us / k->places;
    e.us = e.base_us * k->ratio;
    if (k->best.kind)
      tuning_put(tool->arena, t->db, &e);
    else if (k->next > 0) // measured, and nothing was better
      tuning_drop(t->db, k->key, t->target, t->threads);
  }
  Str text = {.arena = tool->arena};
  tuning_print(&text, t->db);
  OutFile *f = file_create(tool->arena, tool->diag, t->out);
  if (!f) return false;
  fwrite(text.s, 1, text.n, file_stream(f));
  return file_commit(f);
}

static int by_gain(const void *a, const void *b) {
  const TuneKernel *x = *(TuneKernel *const *)a, *y = *(TuneKernel *const *)b;
  double gx = x->us * (1 - x->ratio), gy = y->us * (1 - y->ratio);
  return (gx < gy) - (gx > gy);
}

static void print_winners(Tune *t) {
  Arena *a = t->build.tool->arena;
  TuneKernel **sorted = arena_dup(a, t->kernels.data, (size_t)t->kernels.n * sizeof *sorted);
  qsort(sorted, (size_t)t->kernels.n, sizeof *sorted, by_gain);
  for (int i = 0; i < t->kernels.n; i++) {
    const TuneKernel *k = sorted[i];
    Str was = {.arena = a}, is = {.arena = a};
    if (!k->best.kind) continue;
    schedule_print(&was, &k->base);
    schedule_print(&is, &k->best);
    printf("%6.1f %% %8.1f -> %.1f us  %s%s\n          %s\n       -> %s\n", (k->ratio - 1) * 100,
           k->us / k->places, k->us / k->places * k->ratio, k->name,
           k->places > 1 ? tool_printf(t->build.tool, ", %d times", k->places) : "", str_text(&was),
           str_text(&is));
  }
}

// ---- the command --------------------------------------------------------------------------------------------------

static void close_log(void *log) {
  fclose(log);
}

static bool read_database(Tune *t) {
  Tool *tool = t->build.tool;
  if (!t->out) {
    char *base = basename(arena_strdup(tool->arena, t->file)), *dot = strrchr(base, '.');
    if (dot && dot != base) *dot = '\0';
    t->out = tool_printf(tool, "%s.tune", base);
  }
  bool there = access(t->out, F_OK) == 0;
  t->db = there ? tuning_read(tool->ctx, t->out) : NEW(tool->arena, Tuning);
  if (t->db && t->log_path && !(t->log = fopen(t->log_path, "a"))) {
    diag_error(tool->diag, NO_LOC, "cannot write '%s': %s", t->log_path, strerror(errno));
    return false;
  }
  if (t->log) arena_defer(tool->arena, close_log, t->log);
  return t->db != NULL;
}

static bool search(Tune *t, Variant *base, double base_ms, int *variants) {
  int failures = 0;
  for (*variants = 0; any_left(t) && !is_over(t); (*variants)++) {
    progress(t, *variants, base_ms);
    failures = one_variant(t, base) ? 0 : failures + 1;
    if (failures == 3) {
      diag_error(t->build.tool->diag, NO_LOC,
                 "the model can no longer be compiled: is there too little memory or disk?");
      return false;
    }
  }
  if (t->build.tool->terminal) fputs("\r\033[K", stderr);
  return true;
}

static void free_variant(void *v) {
  variant_free(v);
}

static bool tune(Tune *t) {
  double base_ms, ms;
  int variants, winners;
  t->start = seconds_now();
  catch_interrupt();
  if (!read_database(t)) return false;
  Variant *base = variant_new(t, prepare_baseline, NULL, true);
  if (!base) return false;
  arena_defer(t->build.tool->arena, free_variant, base);
  if (!variant_keep(base) || !measure_baseline(t, base, &base_ms)) return false;
  if (!search(t, base, base_ms, &variants)) return false;
  ms = base_ms;
  saved(t, &winners);
  bool confirmed = winners > 0 && !interrupted && confirm(t, base, &base_ms, &ms);
  if (!confirmed) drop_unconfirmed(t);
  saved(t, &winners);
  print_winners(t);
  if (!write_database(t)) return false;
  printf("%s, %s, %d thread%s: %d distinct kernels, %d variants in %.0f s; %d schedules better than the cost "
         "model's\n",
         t->file, t->target, t->threads, t->threads == 1 ? "" : "s", t->kernels.n, variants,
         seconds_now() - t->start, winners);
  if (winners && confirmed)
    printf("a run takes %.3f ms instead of %.3f (%+.1f %%)\n", ms, base_ms, (ms / base_ms - 1) * 100);
  else if (winners)
    printf("ended early: these were not measured together\n");
  return true;
}

int cmd_tune(Tool *t, int argc, char **argv) {
  static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
  static const struct argp argp = {options,
                                   parse,
                                   "MODEL",
                                   "Measure schedules of a model's kernels on this machine and keep the best "
                                   "in a database, for `ingot compile "
                                   "--tune=FILE`. Ctrl-C ends it and keeps what was found.",
                                   children,
                                   NULL,
                                   NULL};
  Tune a = {.build = build_args(t), .budget = 600, .share = 0.003};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &a, &code)) return code;
  a.threads = a.build.pass.threads ? a.build.pass.threads : session_cores();
  a.build.codegen.debug_info = a.build.verify_each = a.build.time_passes = a.build.remarks = false;
  a.build.dumps.n = 0;
  return tune(&a) ? EXIT_FINE : EXIT_INPUT;
}
