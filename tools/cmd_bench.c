// cmd_bench.c: `ingot bench LIB`: how long a run takes, and each of its steps.
// SPDX-License-Identifier: Apache-2.0
#include <cjson/cJSON.h>
#include <stdlib.h>

#include "tools/session.h"

enum { OPT_JSON = 512, OPT_RUNS, OPT_SECONDS, OPT_INPUT, OPT_PROFILE };

typedef struct BenchArgs {
  BuildArgs build;
  const char *file;
  Vec(const char *) inputs;
  bool json, profile;
  int runs;
  double seconds;
} BenchArgs;

static const struct argp_option options[] = {
    {"input", 'i', "NAME=SOURCE", 0, "as for `ingot run`; inputs not given are random", 0},
    {"json", OPT_JSON, NULL, 0, "print one JSON object", 0},
    {"runs", OPT_RUNS, "N", 0, "at least so many timed runs (default 10)", 0},
    {"seconds", OPT_SECONDS, "S", 0, "measure for at least so long (default 2)", 0},
    {"profile", OPT_PROFILE, NULL, 0, "also tell how long each step takes", 0},
    {0},
};

static void number_option(const char *text, double min, double *out, struct argp_state *state,
                          const char *what) {
  char *end;
  *out = strtod(text, &end);
  if (end == text || *end || !(*out >= min && *out <= 1e9))
    argp_error(state, "%s wants a number from %g on, not '%s'", what, min, text);
}

static error_t parse(int key, char *arg, struct argp_state *state) {
  BenchArgs *a = state->input;
  double runs;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &a->build; return 0;
  case 'i': vec_push(a->build.tool->arena, &a->inputs, (const char *)arg); return 0;
  case OPT_JSON: a->json = true; return 0;
  case OPT_PROFILE: a->profile = true; return 0;
  case OPT_RUNS:
    number_option(arg, 1, &runs, state, "--runs");
    a->runs = (int)runs;
    return 0;
  case OPT_SECONDS: number_option(arg, 0, &a->seconds, state, "--seconds"); return 0;
  case ARGP_KEY_ARG:
    if (a->file) argp_error(state, "one library at a time, please");
    a->file = arg;
    return 0;
  case ARGP_KEY_NO_ARGS: argp_error(state, "which library?"); return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

// ---- measuring --------------------------------------------------------------------------------------------

typedef struct Times {
  double first_ms, median_ms, p10_ms, p90_ms, min_ms;
  int runs;
} Times;

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static bool timed_run(Session *s, double *ms) {
  double start = seconds_now();
  bool ok = session_run(s);
  *ms = (seconds_now() - start) * 1e3;
  return ok;
}

// Runs until both limits are reached, at most MAX_RUNS times.
static bool measure(Session *s, const BenchArgs *a, Times *out) {
  enum { MAX_RUNS = 100000 };
  Vec(double) ms = {0};
  double start = seconds_now(), one;
  while ((ms.n < a->runs || seconds_now() - start < a->seconds) && ms.n < MAX_RUNS) {
    if (!timed_run(s, &one)) return false;
    vec_push(s->tool->arena, &ms, one);
  }
  qsort(ms.data, (size_t)ms.n, sizeof(double), by_value);
  out->runs = ms.n;
  out->median_ms = ms.n % 2 ? ms.data[ms.n / 2] : (ms.data[ms.n / 2 - 1] + ms.data[ms.n / 2]) / 2;
  out->p10_ms = ms.data[ms.n / 10];
  out->p90_ms = ms.data[ms.n * 9 / 10];
  out->min_ms = ms.data[0];
  return true;
}

// ---- the steps --------------------------------------------------------------------------------------------

// Times of steps, by number. Steps with a body (if, loop) include it.
typedef struct Profile {
  double *start, *total;
} Profile;

static void on_step(void *user, ingot_ctx *ctx, int32_t step, int32_t begin) {
  (void)ctx;
  Profile *p = user;
  if (!p->total) return; // not measuring yet
  if (begin)
    p->start[step] = seconds_now();
  else
    p->total[step] += seconds_now() - p->start[step];
}

// One row per step: what it took and, from the metadata, what it did.
typedef struct StepRow {
  const char *name, *source;
  double ms, flops, bytes;
} StepRow;

static int by_time(const void *a, const void *b) {
  double x = ((const StepRow *)a)->ms, y = ((const StepRow *)b)->ms;
  return (x < y) - (x > y);
}

static double number_of(const cJSON *o, const char *key) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
  return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

// Runs for as long as the plain measurement, with the hook at work, and sorts steps by time.
static StepRow *profile_steps(Session *s, const BenchArgs *a, Profile *p, const cJSON *meta, int *count) {
  int n = *count = ingot_step_count(s->model);
  p->start = NEW_ARRAY(s->tool->arena, double, n + 1);
  p->total = NEW_ARRAY(s->tool->arena, double, n + 1);
  Times times;
  if (!measure(s, a, &times)) return NULL;
  StepRow *rows = NEW_ARRAY(s->tool->arena, StepRow, n + 1);
  for (int i = 0; i < n; i++)
    rows[i] = (StepRow){.name = ingot_step_name(s->model, i), .ms = p->total[i] * 1e3 / times.runs};
  const cJSON *k;
  cJSON_ArrayForEach(k, cJSON_GetObjectItemCaseSensitive(meta, "kernels")) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(k, "name"));
    for (int i = 0; name && i < n; i++) {
      if (strcmp(name, rows[i].name) != 0) continue;
      rows[i].flops = number_of(k, "flops");
      rows[i].bytes = number_of(k, "bytes");
      rows[i].source = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(k, "from"));
    }
  }
  qsort(rows, (size_t)n, sizeof *rows, by_time);
  return rows;
}

static void print_steps(const StepRow *rows, int n) {
  double all = 0;
  for (int i = 0; i < n; i++) all += rows[i].ms;
  printf("\n%10s %6s %8s %8s  step\n", "ms", "%", "GFLOP/s", "GB/s");
  for (int i = 0; i < n; i++)
    printf("%10.4f %6.1f %8.2f %8.2f  %s%s%s\n", rows[i].ms, all > 0 ? rows[i].ms / all * 100 : 0,
           rows[i].ms > 0 ? rows[i].flops / rows[i].ms * 1e-6 : 0,
           rows[i].ms > 0 ? rows[i].bytes / rows[i].ms * 1e-6 : 0, rows[i].name, rows[i].source ? "  " : "",
           rows[i].source ? rows[i].source : "");
}

static cJSON *steps_json(const StepRow *rows, int n) {
  cJSON *list = cJSON_CreateArray();
  for (int i = 0; i < n; i++) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", rows[i].name);
    cJSON_AddNumberToObject(o, "ms", rows[i].ms);
    cJSON_AddNumberToObject(o, "flops", rows[i].flops);
    cJSON_AddNumberToObject(o, "bytes", rows[i].bytes);
    cJSON_AddItemToArray(list, o);
  }
  return list;
}

// ---- output -----------------------------------------------------------------------------------------------

static void print_json(const Session *s, const Times *r, const StepRow *steps, int n) {
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "model", ingot_model_name(s->model));
  cJSON_AddNumberToObject(o, "threads", s->threads);
  cJSON_AddNumberToObject(o, "runs", r->runs);
  cJSON_AddNumberToObject(o, "median_ms", r->median_ms);
  cJSON_AddNumberToObject(o, "p10_ms", r->p10_ms);
  cJSON_AddNumberToObject(o, "p90_ms", r->p90_ms);
  cJSON_AddNumberToObject(o, "min_ms", r->min_ms);
  cJSON_AddNumberToObject(o, "first_ms", r->first_ms);
  cJSON_AddNumberToObject(o, "load_ms", s->loaded.load_ms + s->create_ms);
  if (steps) cJSON_AddItemToObject(o, "steps", steps_json(steps, n));
  char *text = cJSON_Print(o);
  if (text) puts(text);
  cJSON_free(text);
  cJSON_Delete(o);
}

static void print_table(const Session *s, const Times *r) {
  printf("%s, %d thread%s: median %.3f ms  (p10 %.3f, p90 %.3f, min %.3f; %d runs)\n",
         ingot_model_name(s->model), s->threads, s->threads == 1 ? "" : "s", r->median_ms, r->p10_ms,
         r->p90_ms, r->min_ms, r->runs);
  printf("first run %.3f ms, load %.3f ms\n", r->first_ms, s->loaded.load_ms + s->create_ms);
}

static bool bench(BenchArgs *a) {
  Session s;
  Profile profile = {0};
  SessionOptions options = {.hook = a->profile ? on_step : NULL, .hook_user = &profile};
  if (!session_open(&a->build, a->file, &options, &s)) return false;
  for (int i = 0; i < a->inputs.n; i++)
    if (!session_input_arg(&s, a->inputs.data[i])) return false;
  Times times;
  if (!session_bind(&s, true) || !timed_run(&s, &times.first_ms) || !measure(&s, a, &times)) return false;
  StepRow *steps = NULL;
  int n = 0;
  if (a->profile) {
    cJSON *meta = model_json(s.model);
    arena_defer(s.tool->arena, (void (*)(void *))cJSON_Delete, meta);
    steps = profile_steps(&s, a, &profile, meta, &n);
    if (!steps) return false;
  }
  if (a->json) {
    print_json(&s, &times, steps, n);
  } else {
    print_table(&s, &times);
    if (steps) print_steps(steps, n);
  }
  return true;
}

int cmd_bench(Tool *t, int argc, char **argv) {
  static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
  static const struct argp argp = {
      options,  parse, "LIB|MODEL", "Time a model: one cold run, then repeated runs on the same inputs.",
      children, NULL,  NULL};
  BenchArgs a = {.build = build_args(t), .runs = 10, .seconds = 2};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &a, &code)) return code;
  return bench(&a) ? EXIT_FINE : EXIT_INPUT;
}
