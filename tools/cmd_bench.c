// cmd_bench.c: `ingot bench LIB`: how long a run takes.
// SPDX-License-Identifier: Apache-2.0
#include <cjson/cJSON.h>
#include <stdlib.h>

#include "tools/session.h"

enum { OPT_JSON = 512, OPT_RUNS, OPT_SECONDS, OPT_INPUT };

typedef struct BenchArgs {
  BuildArgs build;
  const char *file;
  Vec(const char *) inputs;
  bool json;
  int runs;
  double seconds;
} BenchArgs;

static const struct argp_option options[] = {
    {"input", 'i', "NAME=SOURCE", 0, "as for `ingot run`; inputs not given are random", 0},
    {"json", OPT_JSON, NULL, 0, "print one JSON object", 0},
    {"runs", OPT_RUNS, "N", 0, "at least so many timed runs (default 10)", 0},
    {"seconds", OPT_SECONDS, "S", 0, "measure for at least so long (default 2)", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  BenchArgs *a = state->input;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &a->build; return 0;
  case 'i': vec_push(a->build.tool->arena, &a->inputs, (const char *)arg); return 0;
  case OPT_JSON: a->json = true; return 0;
  case OPT_RUNS:
    a->runs = atoi(arg);
    if (a->runs < 1) argp_error(state, "--runs wants a positive number, not '%s'", arg);
    return 0;
  case OPT_SECONDS:
    a->seconds = atof(arg);
    if (!(a->seconds >= 0)) argp_error(state, "--seconds wants a number, not '%s'", arg);
    return 0;
  case ARGP_KEY_ARG:
    if (a->file) argp_error(state, "one library at a time, please");
    a->file = arg;
    return 0;
  case ARGP_KEY_NO_ARGS: argp_error(state, "which library?"); return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

typedef struct Times {
  double first_ms, median_ms, p10_ms, p90_ms, min_ms;
  int runs;
} Times;

// One cold run, then runs until both limits are reached (at most MAX_RUNS).
static bool measure(Session *s, const BenchArgs *a, Times *out) {
  enum { MAX_RUNS = 100000 };
  Vec(double) ms = {0};
  double start = seconds_now();
  if (!session_run(s)) return false;
  out->first_ms = (seconds_now() - start) * 1e3;
  start = seconds_now();
  while ((ms.n < a->runs || seconds_now() - start < a->seconds) && ms.n < MAX_RUNS) {
    double t0 = seconds_now();
    if (!session_run(s)) return false;
    double one = (seconds_now() - t0) * 1e3;
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

static void print_json(const Session *s, const BenchArgs *a, const Times *r) {
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "model", ingot_model_name(s->model));
  cJSON_AddNumberToObject(o, "threads", a->build.pass.threads);
  cJSON_AddNumberToObject(o, "runs", r->runs);
  cJSON_AddNumberToObject(o, "median_ms", r->median_ms);
  cJSON_AddNumberToObject(o, "p10_ms", r->p10_ms);
  cJSON_AddNumberToObject(o, "p90_ms", r->p90_ms);
  cJSON_AddNumberToObject(o, "min_ms", r->min_ms);
  cJSON_AddNumberToObject(o, "first_ms", r->first_ms);
  cJSON_AddNumberToObject(o, "load_ms", s->loaded.load_ms + s->create_ms);
  char *text = cJSON_Print(o);
  if (text) puts(text);
  cJSON_free(text);
  cJSON_Delete(o);
}

static void print_table(const Session *s, const Times *r) {
  printf("%s: median %.3f ms  (p10 %.3f, p90 %.3f, min %.3f; %d runs)\n", ingot_model_name(s->model),
         r->median_ms, r->p10_ms, r->p90_ms, r->min_ms, r->runs);
  printf("first run %.3f ms, load %.3f ms\n", r->first_ms, s->loaded.load_ms + s->create_ms);
}

int cmd_bench(Tool *t, int argc, char **argv) {
  static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
  static const struct argp argp = {
      options,  parse, "LIB|MODEL", "Time a model: one cold run, then repeated runs on the same inputs.",
      children, NULL,  NULL};
  BenchArgs a = {.build = build_args(t), .runs = 10, .seconds = 2};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &a, &code)) return code;
  Session s;
  if (!session_open(&a.build, a.file, a.build.pass.threads, NULL, &s)) return EXIT_INPUT;
  for (int i = 0; i < a.inputs.n; i++)
    if (!session_input_arg(&s, a.inputs.data[i])) return EXIT_INPUT;
  Times r;
  if (!session_bind(&s, true) || !measure(&s, &a, &r)) return EXIT_INPUT;
  if (a.json)
    print_json(&s, &a, &r);
  else
    print_table(&s, &r);
  return EXIT_FINE;
}
