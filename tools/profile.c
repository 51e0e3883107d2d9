// profile.c: measures every step of a run.
// SPDX-License-Identifier: Apache-2.0
//
// In an instrumented artefact every thread counts the ticks of its part of each step; the time of a step is from the
// first begin to the last end. Elsewhere hooks at begin and end of steps tell the time on the calling thread.
#include "tools/profile.h"

#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void profile_hook(void *user, ingot_ctx *ctx, int32_t step, int32_t begin) {
  (void)ctx;
  ProfileHook *h = user;
  if (!h->on) return;
  double now = seconds_now() * 1e3;
  if (begin) {
    h->begin[step] = now;
    return;
  }
  h->total[step] += now - h->begin[step];
  h->calls[step]++;
  h->last_begin[step] = h->begin[step];
  h->last_end[step] = now;
}

// ---- hardware counters ----------------------------------------------------------------------------------------

static const struct {
  const char *name;
  uint32_t type;
  uint64_t config;
} events[] = {{"cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
              {"instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS},
              {"cache_misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES},
              {"branch_misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES},
              {"page_faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS},
              {"context_switches", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES}};

// Of the calling thread; -1 where it cannot be had.
static int counter_open(int i) {
  struct perf_event_attr a = {.type = events[i].type, .size = sizeof a, .config = events[i].config};
  a.disabled = 1;
  a.exclude_kernel = events[i].type == PERF_TYPE_HARDWARE;
  a.exclude_hv = 1;
  return (int)syscall(SYS_perf_event_open, &a, 0, -1, -1, 0);
}

static bool count_events(Session *s, Profile *p) {
  enum { RUNS = 3 };
  int fd[ARRAY_LEN(events)];
  for (int i = 0; i < ARRAY_LEN(events); i++) fd[i] = counter_open(i);
  for (int i = 0; i < ARRAY_LEN(events); i++)
    if (fd[i] >= 0) ioctl(fd[i], PERF_EVENT_IOC_ENABLE, 0);
  bool ok = true;
  for (int r = 0; ok && r < RUNS; r++) ok = session_run(s);
  for (int i = 0; i < ARRAY_LEN(events); i++) {
    uint64_t n = 0;
    if (fd[i] < 0) continue;
    if (read(fd[i], &n, sizeof n) == (ssize_t)sizeof n)
      vec_push(s->tool->arena, &p->counters, ((Counter){events[i].name, (double)n / RUNS}));
    close(fd[i]);
  }
  return ok;
}

// ---- measuring ------------------------------------------------------------------------------------------------

typedef struct Ran {
  int step;
  uint64_t begin, end; // ticks: of the first thread, of the last
  uint64_t calls;      // most of a thread
  uint64_t most, sum;  // ticks of the busiest thread, of all
} Ran;

typedef struct Measure {
  Session *s;
  Profile *p;
  ProfileHook *hook;
  StepRow *row; // by step
  int n;
  const struct ingot_probe **probe; // by thread
  struct ingot_probe **before;      // as they stood before the measurement
  Ran *ran;                         // room for n + 1
  RunExtents extents;               // of the last run
  uint64_t run_begin, run_end;      // ticks
  double run_begin_ms;
} Measure;

static void find_probes(Measure *m) {
  Arena *a = m->s->tool->arena;
  int threads = m->p->threads;
  m->probe = NEW_ARRAY(a, const struct ingot_probe *, threads);
  m->before = NEW_ARRAY(a, struct ingot_probe *, threads);
  for (int t = 0; t < threads; t++) {
    m->probe[t] = ingot_probes(m->s->ctx, t);
    if (!m->probe[t]) return;
    m->before[t] = arena_dup(a, m->probe[t], sizeof(struct ingot_probe) * (size_t)m->n);
  }
  m->p->instrumented = m->p->limits.ticks_per_ns > 0;
}

static double ticks_ms(const Measure *m, uint64_t ticks) {
  return (double)ticks / m->p->limits.ticks_per_ns * 1e-6;
}

// What all threads together did of a step in the last run.
static Ran read_probe(Measure *m, int i) {
  Ran r = {.step = i, .begin = UINT64_MAX};
  for (int t = 0; t < m->p->threads; t++) {
    const struct ingot_probe *now = &m->probe[t][i];
    struct ingot_probe *old = &m->before[t][i];
    uint64_t ticks = now->ticks - old->ticks, times = now->calls - old->calls;
    *old = *now;
    if (!times) continue;
    if (now->begin < r.begin) r.begin = now->begin;
    if (now->end > r.end) r.end = now->end;
    if (times > r.calls) r.calls = times;
    if (ticks > r.most) r.most = ticks;
    r.sum += ticks;
  }
  return r;
}

static int by_begin(const void *a, const void *b) {
  const Ran *x = a, *y = b;
  return (x->begin > y->begin) - (x->begin < y->begin);
}

// What no step took is handing over to threads and waiting for them, once a call: steps of loops have as much of it as
// they have calls.
static void share_gaps(Measure *m, int n, uint64_t steps) {
  uint64_t run = m->run_end - m->run_begin, calls = 0;
  for (int i = 0; i < n; i++) calls += m->ran[i].calls > 1 ? m->ran[i].calls : 0;
  for (int i = 0; i < n && run > steps; i++) {
    const Ran *r = &m->ran[i];
    if (r->calls < 2) continue;
    double gap = ticks_ms(m, run - steps) * (double)r->calls / (double)calls;
    m->row[r->step].ms += gap;
    m->row[r->step].gap_ms += gap;
  }
}

// A step that ran once takes from the first thread's begin to when the next step begins: it is what threads wait for at
// the barrier behind it. A thread may begin the next step before the others are done: what two steps have in common is
// the earlier one's, so that times add up. Steps of loops took what they counted, and where there are such, only the sum
// of all gaps is known.
static void read_probes(Measure *m) {
  int n = 0;
  uint64_t done = 0, steps = 0;
  bool loops = false;
  for (int i = 0; i < m->n; i++) {
    m->ran[n] = read_probe(m, i);
    loops |= m->ran[n].calls > 1;
    n += m->ran[n].calls > 0;
  }
  qsort(m->ran, (size_t)n, sizeof *m->ran, by_begin);
  for (int i = 0; i < n; i++) {
    const Ran *r = &m->ran[i];
    StepRow *row = &m->row[r->step];
    uint64_t from = r->begin > done ? r->begin : done;
    uint64_t took = r->calls > 1 ? r->most : r->end > from ? r->end - from : 0;
    if (r->calls == 1 && r->end > done) done = r->end;
    uint64_t next = i + 1 < n ? m->ran[i + 1].begin : m->run_end;
    uint64_t gap = !loops && next > done ? next - done : 0;
    done += gap;
    steps += took;
    row->ms += ticks_ms(m, took + gap);
    row->gap_ms += ticks_ms(m, gap);
    row->busy_ms += ticks_ms(m, r->sum);
    row->calls += (double)r->calls;
    row->balance += r->most ? (double)r->sum / (double)r->most : 1; // threads at work, on average
  }
  if (loops) share_gaps(m, n, steps);
}

static void note_spans(Measure *m) {
  Arena *a = m->s->tool->arena;
  for (int i = 0; i < m->n; i++) {
    if (!m->p->instrumented && m->hook->last_begin[i] >= m->run_begin_ms)
      vec_push(
          a, &m->p->spans,
          ((Span){i, 0, m->hook->last_begin[i] - m->run_begin_ms, m->hook->last_end[i] - m->run_begin_ms}));
    for (int t = 0; m->p->instrumented && t < m->p->threads; t++) {
      const struct ingot_probe *x = &m->probe[t][i];
      if (x->begin >= m->run_begin)
        vec_push(a, &m->p->spans,
                 ((Span){i, t, ticks_ms(m, x->begin - m->run_begin), ticks_ms(m, x->end - m->run_begin)}));
    }
  }
}

static bool one_run(Measure *m, double *ms) {
  if (!session_rewind(m->s)) return false;
  extents_note(&m->extents, m->s->ctx, true);
  m->run_begin_ms = seconds_now() * 1e3;
  m->run_begin = limits_ticks();
  if (!session_run(m->s)) return false;
  m->run_end = limits_ticks();
  *ms = m->p->instrumented ? ticks_ms(m, m->run_end - m->run_begin) : seconds_now() * 1e3 - m->run_begin_ms;
  extents_note(&m->extents, m->s->ctx, false);
  return true;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// What a run takes that other processes leave alone: the median of a few.
static bool typical_run(Measure *m, double *ms) {
  enum { RUNS = 7 };
  double all[RUNS];
  for (int i = 0; i < RUNS; i++)
    if (!one_run(m, &all[i])) return false;
  qsort(all, RUNS, sizeof *all, by_value);
  *ms = all[RUNS / 2];
  return true;
}

// Takes back what a run has left that is not to count.
static void forget_run(Measure *m, const double *total, const double *calls) {
  memcpy(m->hook->total, total, (size_t)m->n * sizeof *total);
  memcpy(m->hook->calls, calls, (size_t)m->n * sizeof *calls);
  for (int t = 0; m->p->instrumented && t < m->p->threads; t++)
    memcpy(m->before[t], m->probe[t], (size_t)m->n * sizeof **m->before);
}

static bool measure(Measure *m, int runs, double seconds) {
  enum { MAX_RUNS = 100000, PATIENCE = 100 };
  const double DISTURBED = 1.3; // runs that take so much longer are left out: others had the processor
  Arena *a = m->s->tool->arena;
  double *total = NEW_ARRAY(a, double, m->n + 1), *calls = NEW_ARRAY(a, double, m->n + 1), typical, ms;
  if (!typical_run(m, &typical)) return false;
  double start = seconds_now();
  forget_run(m, total, calls);
  m->hook->on = !m->p->instrumented;
  for (int done = 0; done < MAX_RUNS && (done < runs || seconds_now() - start < seconds || !m->p->runs);
       done++) {
    memcpy(total, m->hook->total, (size_t)m->n * sizeof *total);
    memcpy(calls, m->hook->calls, (size_t)m->n * sizeof *calls);
    if (!one_run(m, &ms)) return false;
    if (ms > DISTURBED * typical && done < PATIENCE * runs) {
      forget_run(m, total, calls);
      m->p->disturbed++;
      continue;
    }
    if (m->p->instrumented) read_probes(m);
    m->p->run_ms += ms;
    m->p->runs++;
  }
  m->hook->on = false;
  m->p->run_ms /= m->p->runs;
  note_spans(m);
  return true;
}

// ---- what steps did ---------------------------------------------------------------------------------------------

static double number_of(const cJSON *o, const char *key) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
  return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

static const char *text_of(const cJSON *o, const char *key) {
  const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
  return s ? s : "";
}

static void delete_json(void *p) {
  cJSON_Delete(p);
}

// Artefacts without instrumentation do not say what their ops do: the main op stands for all of them.
static const cJSON *main_op(Tool *t, const char *source, const char *name) {
  const char *end = strstr(source, "), ");
  const char *op = end ? tool_printf(t, "%.*s", (int)(end - source + 1), source) : *source ? source : name;
  cJSON *list = cJSON_CreateArray(), *o = cJSON_CreateObject();
  arena_defer(t->arena, delete_json, list);
  cJSON_AddStringToObject(o, "op", op);
  cJSON_AddItemToArray(list, o);
  return list;
}

// The metadata lists a kernel for each step, in their order.
static void describe(Measure *m, const cJSON *meta) {
  const cJSON *k;
  int i = 0;
  cJSON_ArrayForEach(k, cJSON_GetObjectItemCaseSensitive(meta, "kernels")) {
    if (i == m->n) return;
    StepRow *r = &m->row[i];
    r->step = i++;
    r->source = text_of(k, "from");
    r->schedule = text_of(cJSON_GetObjectItemCaseSensitive(k, "schedule"), "kind");
    Ctx *c = m->s->tool->ctx;
    double most = number_of(k, "bytes"), taken = extents_taken(&m->extents, m->s->ctx, r->step);
    r->flops =
        extents_sum(c, &m->extents, cJSON_GetObjectItemCaseSensitive(k, "flops_at"), number_of(k, "flops"));
    r->bytes = extents_sum(c, &m->extents, cJSON_GetObjectItemCaseSensitive(k, "bytes_at"),
                           taken < most ? taken : most);
    r->work = cJSON_GetObjectItemCaseSensitive(k, "work");
    if (!r->work) r->work = main_op(m->s->tool, r->source, ingot_step_name(m->s->model, r->step));
  }
}

static void finish_row(Measure *m, StepRow *r) {
  Profile *p = m->p;
  if (!p->instrumented) {
    r->ms = r->busy_ms = m->hook->total[r->step];
    r->calls = m->hook->calls[r->step];
  }
  r->ms /= p->runs;
  r->gap_ms /= p->runs;
  r->busy_ms /= p->runs;
  r->balance = p->instrumented && r->calls > 0 ? r->balance / p->runs / p->threads : 0;
  r->calls /= p->runs;
  double arithmetic = r->flops / p->limits.gflops * 1e-6;
  double memory = r->bytes / limits_bandwidth(&p->limits, r->bytes, p->threads) * 1e-6;
  r->by_memory = memory > arithmetic;
  double times = r->calls > 1 ? r->calls : 1; // in loops; the metadata tells of one call
  r->roof = (r->by_memory ? memory : arithmetic) * times;
  r->flops *= times;
  r->bytes *= times;
}

static int by_time(const void *a, const void *b) {
  double x = ((const StepRow *)a)->ms, y = ((const StepRow *)b)->ms;
  return (x < y) - (x > y);
}

bool profile_run(Session *s, ProfileHook *hook, int runs, double seconds, const cJSON *meta, Profile *p) {
  Arena *a = s->tool->arena;
  bool avx512 = strstr(text_of(meta, "cpu"), "avx512") != NULL;
  *p = (Profile){.threads = s->threads};
  p->limits = limits_measure(s->threads, limits_vector_bytes(avx512));
  Measure m = {.s = s, .p = p, .hook = hook, .n = ingot_step_count(s->model)};
  hook->begin = NEW_ARRAY(a, double, m.n + 1);
  hook->total = NEW_ARRAY(a, double, m.n + 1);
  hook->last_begin = NEW_ARRAY(a, double, m.n + 1);
  hook->last_end = NEW_ARRAY(a, double, m.n + 1);
  hook->calls = NEW_ARRAY(a, double, m.n + 1);
  m.row = NEW_ARRAY(a, StepRow, m.n + 1);
  m.ran = NEW_ARRAY(a, Ran, m.n + 1);
  m.extents = (RunExtents){s->model, NEW_ARRAY(a, int64_t, ingot_symbol_count(s->model) + 1)};
  find_probes(&m);
  if (!measure(&m, runs, seconds) || !count_events(s, p)) return false;
  describe(&m, meta);
  for (int i = 0; i < m.n; i++) {
    m.row[i].name = ingot_step_name(s->model, i);
    finish_row(&m, &m.row[i]);
    p->sum_ms += m.row[i].ms;
    p->gap_ms += m.row[i].gap_ms;
    if (m.row[i].calls > 0)
      vec_push(a, &p->rows, m.row[i]); // the others are for other extents, or branches not taken
  }
  qsort(p->rows.data, (size_t)p->rows.n, sizeof(StepRow), by_time);
  profile_ops(a, p);
  profile_arena(a, p, meta);
  return true;
}
