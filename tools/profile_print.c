// profile_print.c: a profile as a table, as JSON, and as a trace.
// SPDX-License-Identifier: Apache-2.0
#include "tools/profile.h"

static double rate(double work, double ms) {
  return ms > 0 ? work / ms * 1e-6 : 0;
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

static double percent(const Profile *p, double ms) {
  return p->run_ms > 0 ? ms / p->run_ms * 100 : 0;
}

static void print_row(const Profile *p, const StepRow *r) {
  char balance[16] = "";
  if (r->balance > 0) snprintf(balance, sizeof balance, "%.0f", r->balance * 100);
  printf("%10.4f %6.1f %8.2f %8.2f %6.0f %-7s %5s  %s%s%s%s%s\n", r->ms, percent(p, r->ms),
         rate(r->flops, r->ms), rate(r->bytes, r->ms), r->ms > 0 ? r->roof / r->ms * 100 : 0,
         r->by_memory ? "memory" : "compute", balance, r->name, *r->schedule ? " " : "", r->schedule,
         r->source && *r->source ? "  " : "", r->source ? r->source : "");
}

// Times that were measured stand as they are, those that are a share of a kernel's with a ~.
static void print_ops(const Profile *p, const OpTimeList *list, const char *what, const char *of, int most) {
  double rest = 0;
  printf("\n%11s %6s %8s %8s %6s  %s\n", "ms", "%", "GFLOP/s", "GB/s", of, what);
  for (int i = 0; i < list->n; i++) {
    const OpTime *op = &list->data[i];
    if (i >= most) rest += op->ms;
    if (i >= most) continue;
    char ms[32];
    snprintf(ms, sizeof ms, "%s%.4f", op->estimated ? "~" : "", op->ms);
    printf("%11s %6.1f %8.2f %8.2f %6d  %s\n", ms, percent(p, op->ms), rate(op->flops, op->ms),
           rate(op->bytes, op->ms), op->steps, op->name);
  }
  if (list->n > most)
    printf("%11.4f %6.1f %24s  %d more (--json tells all)\n", rest, percent(p, rest), "", list->n - most);
}

void profile_print(const Profile *p) {
  enum { MOST_OPS = 40 };
  puts("");
  print_limits(p);
  print_counters(p);
  printf("\n%10s %6s %8s %8s %6s %-7s %5s  step\n", "ms", "%", "GFLOP/s", "GB/s", "% roof", "bound",
         p->instrumented && p->threads > 1 ? "% bal" : "");
  for (int i = 0; i < p->rows.n; i++) print_row(p, &p->rows.data[i]);
  printf("%10.4f %6.1f %38s  (executor: before the first step and after the last)\n", p->run_ms - p->sum_ms,
         percent(p, p->run_ms - p->sum_ms), "");
  print_ops(p, &p->ops, "op of the model", "steps", MOST_OPS);
  print_ops(p, &p->kinds, "kind of op", "ops", MOST_OPS);
  puts("          ~ estimated: a kernel's time is divided among its ops by the work of each as the model "
       "states it");
  profile_print_arena(p);
  printf("\n%10.4f ms of %.4f ms a run are in these steps (%.1f %%; mean of %d runs, %d disturbed ones left "
         "out), measured by %s\n",
         p->sum_ms, p->run_ms, percent(p, p->sum_ms), p->runs, p->disturbed,
         p->instrumented ? "probes in the library" : "hooks between steps (--instrument counts inside)");
  if (p->instrumented)
    printf("%10.4f ms of them are at the ends of steps, until the next one begins: handing over, waiting\n",
           p->gap_ms);
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
  cJSON_AddNumberToObject(o, "gap_ms", r->gap_ms);
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

static cJSON *ops_json(const OpTimeList *list, bool kinds) {
  cJSON *all = cJSON_CreateArray();
  for (int i = 0; i < list->n; i++) {
    const OpTime *op = &list->data[i];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "op", op->name);
    cJSON_AddNumberToObject(o, kinds ? "ops" : "steps", op->steps);
    cJSON_AddNumberToObject(o, "ms", op->ms);
    cJSON_AddBoolToObject(o, "estimated", op->estimated);
    cJSON_AddNumberToObject(o, "flops", op->flops);
    cJSON_AddNumberToObject(o, "bytes", op->bytes);
    cJSON_AddItemToArray(all, o);
  }
  return all;
}

cJSON *profile_json(const Profile *p) {
  cJSON *o = cJSON_CreateObject(), *counters = cJSON_CreateObject(), *steps = cJSON_CreateArray();
  cJSON_AddStringToObject(o, "by", p->instrumented ? "probes" : "hooks");
  cJSON_AddNumberToObject(o, "runs", p->runs);
  cJSON_AddNumberToObject(o, "disturbed_runs", p->disturbed);
  cJSON_AddNumberToObject(o, "run_ms", p->run_ms);
  cJSON_AddNumberToObject(o, "steps_ms", p->sum_ms);
  cJSON_AddNumberToObject(o, "executor_ms", p->run_ms - p->sum_ms);
  cJSON_AddNumberToObject(o, "gap_ms", p->gap_ms);
  cJSON_AddItemToObject(o, "limits", limits_json(&p->limits));
  for (int i = 0; i < p->counters.n; i++)
    cJSON_AddNumberToObject(counters, p->counters.data[i].name, p->counters.data[i].per_run);
  cJSON_AddItemToObject(o, "counters", counters);
  for (int i = 0; i < p->rows.n; i++) cJSON_AddItemToArray(steps, row_json(&p->rows.data[i]));
  cJSON_AddItemToObject(o, "steps", steps);
  cJSON_AddItemToObject(o, "ops", ops_json(&p->ops, false));
  cJSON_AddItemToObject(o, "kinds", ops_json(&p->kinds, true));
  cJSON_AddItemToObject(o, "arena", profile_arena_json(p));
  return o;
}

// ---- the trace ----------------------------------------------------------------------------------------------

const StepRow *profile_row(const Profile *p, int step) {
  for (int i = 0; i < p->rows.n; i++)
    if (p->rows.data[i].step == step) return &p->rows.data[i];
  return NULL;
}

static cJSON *span_json(const Profile *p, const Span *s) {
  const StepRow *r = profile_row(p, s->step);
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

// A track of its own: how many bytes of working memory are alive.
static cJSON *counter_json(double at_ms, double live) {
  cJSON *o = cJSON_CreateObject(), *args = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "name", "working memory");
  cJSON_AddStringToObject(o, "ph", "C");
  cJSON_AddNumberToObject(o, "pid", 1);
  cJSON_AddNumberToObject(o, "ts", at_ms * 1e3);
  cJSON_AddNumberToObject(args, "bytes", live);
  cJSON_AddItemToObject(o, "args", args);
  return o;
}

static cJSON *thread_json(int thread) {
  char name[32];
  cJSON *o = cJSON_CreateObject(), *args = cJSON_CreateObject();
  snprintf(name, sizeof name, thread ? "thread %d" : "calling thread", thread);
  cJSON_AddStringToObject(o, "name", "thread_name");
  cJSON_AddStringToObject(o, "ph", "M");
  cJSON_AddNumberToObject(o, "pid", 1);
  cJSON_AddNumberToObject(o, "tid", thread);
  cJSON_AddStringToObject(args, "name", name);
  cJSON_AddItemToObject(o, "args", args);
  return o;
}

bool profile_trace(Tool *t, const Profile *p, const char *path) {
  OutFile *f = file_create(t->arena, t->diag, path);
  if (!f) return false;
  cJSON *o = cJSON_CreateObject(), *events = cJSON_AddArrayToObject(o, "traceEvents");
  cJSON_AddStringToObject(o, "displayTimeUnit", "ms");
  for (int i = 0; i < (p->instrumented ? p->threads : 1); i++) cJSON_AddItemToArray(events, thread_json(i));
  for (int i = 0; i < p->spans.n; i++) cJSON_AddItemToArray(events, span_json(p, &p->spans.data[i]));
  for (int i = 0; i < p->arena.n; i++)
    cJSON_AddItemToArray(events, counter_json(p->arena.data[i].begin_ms, p->arena.data[i].live));
  if (p->arena.n) cJSON_AddItemToArray(events, counter_json(p->arena.data[p->arena.n - 1].end_ms, 0));
  char *text = cJSON_PrintUnformatted(o);
  if (text) fputs(text, file_stream(f));
  cJSON_free(text);
  cJSON_Delete(o);
  return file_commit(f);
}
