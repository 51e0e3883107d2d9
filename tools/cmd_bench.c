// cmd_bench.c: `ingot bench LIB`: how long a run takes, and each of its steps.
// SPDX-License-Identifier: Apache-2.0
#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdlib.h>

#include "tools/profile.h"

enum { OPT_JSON = 512, OPT_RUNS, OPT_SECONDS, OPT_INPUT, OPT_PROFILE, OPT_TRACE, OPT_AT, OPT_OWN_WEIGHTS };

typedef struct BenchArgs {
  BuildArgs build;
  const char *file;
  Vec(const char *) inputs, at;
  bool json, profile;
  uint32_t flags; // of the context
  const char *trace;
  int runs;
  double seconds;
} BenchArgs;

static const struct argp_option options[] = {
    {"input", 'i', "NAME=SOURCE", 0, "as for `ingot run`; inputs not given are random", 0},
    {"at", OPT_AT, "NAME=EXTENT", 0,
     "runs begin with a state that has grown so far, as a cache of EXTENT tokens; default: empty", 0},
    {"json", OPT_JSON, NULL, 0, "print one JSON object", 0},
    {"runs", OPT_RUNS, "N", 0, "at least so many timed runs (default 10)", 0},
    {"seconds", OPT_SECONDS, "S", 0, "measure for at least so long (default 2)", 0},
    {"own-weights", OPT_OWN_WEIGHTS, NULL, 0, "with a copy of the weights on huge pages (INGOT_OWN_WEIGHTS)",
     0},
    {"profile", OPT_PROFILE, NULL, 0, "also tell how long each step takes, against the machine's limits", 0},
    {"trace", OPT_TRACE, "FILE", 0, "write the last profiled run as a trace for Perfetto or chrome://tracing",
     0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  BenchArgs *a = state->input;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &a->build; return 0;
  case 'i': vec_push(a->build.tool->arena, &a->inputs, (const char *)arg); return 0;
  case OPT_AT: vec_push(a->build.tool->arena, &a->at, (const char *)arg); return 0;
  case OPT_JSON: a->json = true; return 0;
  case OPT_OWN_WEIGHTS: a->flags |= INGOT_OWN_WEIGHTS; return 0;
  case OPT_PROFILE: a->profile = true; return 0;
  case OPT_TRACE:
    a->trace = arg;
    a->profile = true;
    return 0;
  case OPT_RUNS: a->runs = (int)number_option(arg, 1, 1e9, state, "--runs"); return 0;
  case OPT_SECONDS: a->seconds = number_option(arg, 0, 1e9, state, "--seconds"); return 0;
  default: return file_option(key, arg, state, &a->file, "library");
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

// ---- output -----------------------------------------------------------------------------------------------

static void print_json(const Session *s, const Times *r, const Profile *p) {
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
  if (p) cJSON_AddItemToObject(o, "profile", profile_json(p));
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

static bool profile(Session *s, const BenchArgs *a, ProfileHook *hook, Profile *p) {
  cJSON *meta = model_json(s->model);
  arena_defer(s->tool->arena, (void (*)(void *))cJSON_Delete, meta);
  return profile_run(s, hook, a->runs, a->seconds, meta, p) &&
         (!a->trace || profile_trace(s->tool, p, a->trace));
}

static bool grow(Session *s, const char *arg) {
  const char *name, *text;
  char *end = "";
  long long extent = split_assign(s->tool, arg, &name, &text) && isdigit((unsigned char)*text)
                         ? strtoll(text, &end, 10)
                         : -1;
  if (extent >= 0 && !*end) return session_grow(s, name, extent);
  diag_error(s->tool->diag, NO_LOC, "--at wants NAME=EXTENT, as in past=512, not '%s'", arg);
  return false;
}

static bool bench(BenchArgs *a) {
  Session s;
  Profile p;
  ProfileHook hook = {.on = false};
  SessionOptions options = {.hook = a->profile ? profile_hook : NULL, .hook_user = &hook, .flags = a->flags};
  a->build.codegen.instrument |= a->profile; // where it compiles first
  if (!session_open(&a->build, a->file, &options, &s)) return false;
  for (int i = 0; i < a->inputs.n; i++)
    if (!session_input_arg(&s, a->inputs.data[i])) return false;
  Times times;
  if (!session_bind(&s, true)) return false;
  for (int i = 0; i < a->at.n; i++)
    if (!grow(&s, a->at.data[i])) return false;
  if (!timed_run(&s, &times.first_ms) || !measure(&s, a, &times)) return false;
  if (a->profile && !profile(&s, a, &hook, &p)) return false;
  if (a->json) {
    print_json(&s, &times, a->profile ? &p : NULL);
  } else {
    print_table(&s, &times);
    if (a->profile) profile_print(&p);
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
