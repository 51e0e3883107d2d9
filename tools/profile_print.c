// profile_print.c: a profile as a table, as JSON, and as a trace.
// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "tools/profile.h"

static double rate(double work, double ms) {
  return ms > 0 ? work / ms * 1e-6 : 0;
}

// ---- by op --------------------------------------------------------------------------------------------------

typedef struct OpRow {
  char kind[48]; // "conv"
  int steps;
  double ms, flops, bytes;
} OpRow;

// The kind of the step's main op: "conv1 (conv), relu1 (relu)" is a conv.
static void main_kind(const StepRow *r, char *out, size_t size) {
  const char *end = r->source ? strchr(r->source, ')') : NULL, *open = end;
  while (open && open > r->source && *open != '(') open--;
  if (end && *open == '(')
    snprintf(out, size, "%.*s", (int)(end - open - 1), open + 1);
  else
    snprintf(out, size, "%s", r->name);
}

static int by_time(const void *a, const void *b) {
  double x = ((const OpRow *)a)->ms, y = ((const OpRow *)b)->ms;
  return (x < y) - (x > y);
}

// Steps gathered by the kind of their main op; what was fused into them counts there.
static int gather(const Profile *p, OpRow *out, int max) {
  int n = 0;
  for (int i = 0; i < p->rows.n; i++) {
    const StepRow *r = &p->rows.data[i];
    char kind[sizeof out->kind];
    main_kind(r, kind, sizeof kind);
    int k = 0;
    while (k < n && strcmp(out[k].kind, kind) != 0) k++;
    if (k == max) k = max - 1;
    if (k == n) {
      out[n] = (OpRow){.steps = 0};
      memcpy(out[n++].kind, kind, sizeof kind);
    }
    out[k].steps++;
    out[k].ms += r->ms;
    out[k].flops += r->flops;
    out[k].bytes += r->bytes;
  }
  qsort(out, (size_t)n, sizeof *out, by_time);
  return n;
}

// ---- the table ----------------------------------------------------------------------------------------------

static void print_limits(const Profile *p) {
  printf("limits of this machine with %d thread%s: %.0f GFLOP/s", p->threads, p->threads == 1 ? "" : "s",
         p->limits.gflops);
  for (int i = 0; i < LIMIT_LEVELS; i++)
    printf("%s %s %.0f", i ? "," : ", GB/s:", p->limits.level[i].name, p->limits.level[i].gbs);
  puts("");
}

static void print_counters(const Profile *p) {
  for (int i = 0; i < p->counters.n; i++)
    printf("%s%s %.0f", i ? ", " : "per run on the calling thread: ", p->counters.data[i].name,
           p->counters.data[i].per_run);
  if (p->counters.n) puts("");
}

static void print_row(const Profile *p, const StepRow *r) {
  char balance[16] = "";
  if (r->balance > 0) snprintf(balance, sizeof balance, "%.0f", r->balance * 100);
  printf("%10.4f %6.1f %8.2f %8.2f %6.0f %-7s %5s  %s%s%s%s%s\n", r->ms,
         p->sum_ms > 0 ? r->ms / p->sum_ms * 100 : 0, rate(r->flops, r->ms), rate(r->bytes, r->ms),
         r->ms > 0 ? r->roof / r->ms * 100 : 0, r->by_memory ? "memory" : "compute", balance, r->name,
         *r->schedule ? " " : "", r->schedule, r->source && *r->source ? "  " : "",
         r->source ? r->source : "");
}

void profile_print(const Profile *p) {
  OpRow ops[64];
  puts("");
  print_limits(p);
  print_counters(p);
  printf("\n%10s %6s %8s %8s %6s %-7s %5s  step\n", "ms", "%", "GFLOP/s", "GB/s", "% roof", "bound",
         p->instrumented && p->threads > 1 ? "% bal" : "");
  for (int i = 0; i < p->rows.n; i++) print_row(p, &p->rows.data[i]);
  printf("\n%10s %6s %8s %8s %6s  op\n", "ms", "%", "GFLOP/s", "GB/s", "steps");
  int n = gather(p, ops, ARRAY_LEN(ops));
  for (int i = 0; i < n; i++)
    printf("%10.4f %6.1f %8.2f %8.2f %6d  %s\n", ops[i].ms, p->sum_ms > 0 ? ops[i].ms / p->sum_ms * 100 : 0,
           rate(ops[i].flops, ops[i].ms), rate(ops[i].bytes, ops[i].ms), ops[i].steps, ops[i].kind);
  printf("\n%10.4f ms of %.4f ms a run are in these steps (%.1f %%; mean of %d runs, %d disturbed ones left "
         "out), "
         "measured by %s\n",
         p->sum_ms, p->run_ms, p->run_ms > 0 ? p->sum_ms / p->run_ms * 100 : 0, p->runs, p->disturbed,
         p->instrumented ? "probes in the library" : "hooks between steps (--instrument counts inside)");
}

// ---- JSON ---------------------------------------------------------------------------------------------------

static cJSON *limits_json(const Limits *l) {
  cJSON *o = cJSON_CreateObject(), *gbs = cJSON_CreateObject();
  cJSON_AddNumberToObject(o, "gflops", l->gflops);
  for (int i = 0; i < LIMIT_LEVELS; i++) cJSON_AddNumberToObject(gbs, l->level[i].name, l->level[i].gbs);
  cJSON_AddItemToObject(o, "gbs", gbs);
  return o;
}

static cJSON *row_json(const StepRow *r) {
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "name", r->name);
  cJSON_AddNumberToObject(o, "step", r->step);
  if (r->source) cJSON_AddStringToObject(o, "from", r->source);
  cJSON_AddNumberToObject(o, "ms", r->ms);
  cJSON_AddNumberToObject(o, "calls", r->calls);
  cJSON_AddNumberToObject(o, "busy_ms", r->busy_ms);
  if (r->balance > 0) cJSON_AddNumberToObject(o, "balance", r->balance);
  cJSON_AddNumberToObject(o, "flops", r->flops);
  cJSON_AddNumberToObject(o, "bytes", r->bytes);
  cJSON_AddNumberToObject(o, "gflops", rate(r->flops, r->ms));
  cJSON_AddNumberToObject(o, "gbs", rate(r->bytes, r->ms));
  cJSON_AddNumberToObject(o, "roof_ms", r->roof);
  cJSON_AddStringToObject(o, "bound", r->by_memory ? "memory" : "compute");
  return o;
}

static cJSON *ops_json(const Profile *p) {
  OpRow ops[64];
  cJSON *list = cJSON_CreateArray();
  int n = gather(p, ops, ARRAY_LEN(ops));
  for (int i = 0; i < n; i++) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "op", ops[i].kind);
    cJSON_AddNumberToObject(o, "steps", ops[i].steps);
    cJSON_AddNumberToObject(o, "ms", ops[i].ms);
    cJSON_AddNumberToObject(o, "flops", ops[i].flops);
    cJSON_AddNumberToObject(o, "bytes", ops[i].bytes);
    cJSON_AddItemToArray(list, o);
  }
  return list;
}

cJSON *profile_json(const Profile *p) {
  cJSON *o = cJSON_CreateObject(), *counters = cJSON_CreateObject(), *steps = cJSON_CreateArray();
  cJSON_AddStringToObject(o, "by", p->instrumented ? "probes" : "hooks");
  cJSON_AddNumberToObject(o, "runs", p->runs);
  cJSON_AddNumberToObject(o, "disturbed_runs", p->disturbed);
  cJSON_AddNumberToObject(o, "run_ms", p->run_ms);
  cJSON_AddNumberToObject(o, "steps_ms", p->sum_ms);
  cJSON_AddItemToObject(o, "limits", limits_json(&p->limits));
  for (int i = 0; i < p->counters.n; i++)
    cJSON_AddNumberToObject(counters, p->counters.data[i].name, p->counters.data[i].per_run);
  cJSON_AddItemToObject(o, "counters", counters);
  for (int i = 0; i < p->rows.n; i++) cJSON_AddItemToArray(steps, row_json(&p->rows.data[i]));
  cJSON_AddItemToObject(o, "steps", steps);
  cJSON_AddItemToObject(o, "ops", ops_json(p));
  return o;
}

// ---- the trace ----------------------------------------------------------------------------------------------

static const StepRow *row_of(const Profile *p, int step) {
  for (int i = 0; i < p->rows.n; i++)
    if (p->rows.data[i].step == step) return &p->rows.data[i];
  return NULL;
}

static cJSON *span_json(const Profile *p, const Span *s) {
  const StepRow *r = row_of(p, s->step);
  cJSON *o = cJSON_CreateObject(), *args = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "name", r->name);
  cJSON_AddStringToObject(o, "ph", "X");
  cJSON_AddNumberToObject(o, "pid", 1);
  cJSON_AddNumberToObject(o, "tid", s->thread);
  cJSON_AddNumberToObject(o, "ts", s->begin_ms * 1e3);
  cJSON_AddNumberToObject(o, "dur", (s->end_ms - s->begin_ms) * 1e3);
  cJSON_AddStringToObject(args, "from", r->source ? r->source : "");
  cJSON_AddStringToObject(args, "schedule", r->schedule ? r->schedule : "");
  cJSON_AddNumberToObject(args, "gflops", rate(r->flops, r->ms));
  cJSON_AddNumberToObject(args, "gbs", rate(r->bytes, r->ms));
  cJSON_AddItemToObject(o, "args", args);
  return o;
}

bool profile_trace(Tool *t, const Profile *p, const char *path) {
  OutFile *f = file_create(t->arena, t->diag, path);
  if (!f) return false;
  cJSON *o = cJSON_CreateObject(), *events = cJSON_AddArrayToObject(o, "traceEvents");
  cJSON_AddStringToObject(o, "displayTimeUnit", "ms");
  for (int i = 0; i < p->spans.n; i++) cJSON_AddItemToArray(events, span_json(p, &p->spans.data[i]));
  char *text = cJSON_PrintUnformatted(o);
  if (text) fputs(text, file_stream(f));
  cJSON_free(text);
  cJSON_Delete(o);
  return file_commit(f);
}
