// exec.c: a run: walks the step table, splits parallel loops over the threads, follows control flow.
// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#include <string.h>

// A part of less than this does not pay for a second thread. Handing a part over and waiting for it was
// measured at 0.15 to 0.7 us between spinning threads, as the processors lie; the rest is for data that lies in
// the other processor's cache.
enum { PART_PS = 1000000 };
// Parts are shared in units of at least this.
enum { UNIT_PS = 2000000 };

// ---- splitting ---------------------------------------------------------------------------------------

typedef struct Span {
  int64_t lo, hi;
} Span;

// Part `part` of `parts` of [0, trip): whole grains, their numbers differing by one at most.
static Span split(int64_t trip, int64_t grain, int32_t parts, int32_t part) {
  int64_t grains = trip / grain + (trip % grain != 0);
  int64_t each = grains / parts, more = grains % parts;
  int64_t first = part * each + (part < more ? part : more);
  int64_t last = first + each + (part < more);
  return (Span){first * grain, last == grains ? trip : last * grain};
}

static int64_t trip_count(const ingot_ctx *c, const struct ingot_step *s) {
  return ingot_dim_value(&s->trip, c->sym);
}

static int32_t parts_for(const ingot_ctx *c, const struct ingot_step *s) {
  if (c->threads == 1 || (s->flags & INGOT_STEP_SERIAL)) return 1;
  int64_t trip = trip_count(c, s), total;
  if (trip <= s->grain) return 1;
  int64_t most = trip / s->grain + (trip % s->grain != 0);
  if (s->cost > 0 && !__builtin_mul_overflow(trip, s->cost, &total)) {
    int64_t worth = total / PART_PS;
    if (worth < most) most = worth;
  }
  return most < 2 ? 1 : most < c->threads ? (int32_t)most : c->threads;
}

// ---- one step, or a chain of them, on all threads ----------------------------------------------------

typedef struct Job {
  ingot_ctx *c;
  const struct ingot_step *steps;
  int32_t n_steps, parts;
  atomic_int code; // of the first routine that failed
  int32_t units;   // of each part; 1: parts are not shared
  Shares shares;
} Job;

static void copy(void *const *buf, int64_t unit, Span span) {
  char *to = buf[1];
  const char *from = buf[0];
  if (to != from) memcpy(to + span.lo * unit, from + span.lo * unit, (size_t)((span.hi - span.lo) * unit));
}

static int call_routine(ingot_ctx *c, const struct ingot_step *s, Span span, void *scratch) {
  const struct ingot_routine_call call = {c->model, s,      c->buf + s->first_arg, c->sym, span.lo,
                                          span.hi,  scratch};
  return s->routine(&call);
}

static int run_span(ingot_ctx *c, const struct ingot_step *s, Span span, void *scratch) {
  if (span.lo >= span.hi) return INGOT_OK;
  switch (s->kind) {
  case INGOT_STEP_KERNEL:
    s->kernel(c->buf + s->first_arg, c->sym, span.lo, span.hi, scratch);
    return INGOT_OK;
  case INGOT_STEP_ROUTINE: return call_routine(c, s, span, scratch);
  default: copy(c->buf + s->first_arg, s->imm, span); return INGOT_OK;
  }
}

// How many units each part of a kernel has; 1 where its iterations are better not cut any further. Steps of a chain
// depend on each other part by part, and of instrumented steps each part counts as one call.
static int32_t units_for(const ingot_ctx *c, const struct ingot_step *s, int32_t n_steps, int32_t parts) {
  int64_t trip = trip_count(c, s), most = (trip / s->grain + (trip % s->grain != 0)) / parts, total;
  if (n_steps > 1 || s->kind != INGOT_STEP_KERNEL || parts > MAX_SHARES || s->cost <= 0) return 1;
  if (c->model->flags & INGOT_MODEL_PROBES) return 1;
  if (!__builtin_mul_overflow(trip, s->cost, &total) && total / parts / UNIT_PS < most)
    most = total / parts / UNIT_PS;
  return most < 1 ? 1 : most < MAX_UNITS ? (int32_t)most : MAX_UNITS;
}

static void run_units(Job *job, int32_t part, void *scratch) {
  const struct ingot_step *s = job->steps;
  int64_t trip = trip_count(job->c, s);
  for (int32_t unit; ingot_shares_take(&job->shares, part, &unit);)
    run_span(job->c, s, split(trip, s->grain, job->parts * job->units, unit), scratch);
}

static void run_part(void *arg, int32_t part) {
  Job *job = arg;
  ingot_ctx *c = job->c;
  uint64_t mode = ingot_fpenv_enter(c->model->flags & INGOT_MODEL_FLUSH_DENORMALS);
  void *scratch = c->scratch + (uint64_t)part * c->scratch_stride;
  if (job->units > 1) run_units(job, part, scratch);
  for (int32_t i = 0; i < job->n_steps && job->units == 1; i++) {
    const struct ingot_step *s = &job->steps[i];
    int code = run_span(c, s, split(trip_count(c, s), s->grain, job->parts, part), scratch);
    int none = INGOT_OK;
    if (code) atomic_compare_exchange_strong(&job->code, &none, code);
  }
  ingot_fpenv_leave(mode);
}

// On the calling thread, whose floating-point mode the run has set.
static int run_serial(ingot_ctx *c, const struct ingot_step *steps, int32_t n) {
  int code = INGOT_OK;
  for (int32_t i = 0; i < n && !code; i++)
    code = run_span(c, &steps[i], (Span){0, trip_count(c, &steps[i])}, c->scratch);
  return code;
}

// Runs n chained steps with one barrier at the end.
static int run_parallel(ingot_ctx *c, const struct ingot_step *steps, int32_t n) {
  int32_t parts = 1;
  for (int32_t i = 0; i < n; i++) {
    int32_t want = parts_for(c, &steps[i]);
    if (want > parts) parts = want;
  }
  if (parts == 1) return run_serial(c, steps, n);
  Job job;
  job.c = c, job.steps = steps, job.n_steps = n, job.parts = parts;
  atomic_init(&job.code, INGOT_OK);
  job.units = units_for(c, steps, n, parts);
  if (job.units > 1) ingot_shares_init(&job.shares, parts, job.units);
  if (c->options.parallel_for)
    c->options.parallel_for(c->options.parallel_user, parts, run_part, &job);
  else
    ingot_pool_run(c->pool, parts, run_part, &job);
  return atomic_load_explicit(&job.code, memory_order_relaxed);
}

static int32_t chain_length(const struct ingot_step *steps, int32_t n) {
  int32_t len = 1;
  while (len < n && (steps[len - 1].flags & INGOT_STEP_CHAIN)) len++;
  return len;
}

// ---- control flow ------------------------------------------------------------------------------------

static int run_range(ingot_ctx *c, struct ingot_range range, int depth);

static bool read_bool(const void *p) {
  return *(const uint8_t *)p != 0;
}

static int64_t read_integer(const void *p, int32_t dtype) {
  switch (dtype) {
  case INGOT_BOOL:
  case INGOT_U8: return *(const uint8_t *)p;
  case INGOT_I8: return *(const int8_t *)p;
  case INGOT_I16: return *(const int16_t *)p;
  case INGOT_U16: return *(const uint16_t *)p;
  case INGOT_I32: return *(const int32_t *)p;
  case INGOT_U32: return *(const uint32_t *)p;
  default: return *(const int64_t *)p;
  }
}

static int run_symbol(ingot_ctx *c, const struct ingot_step *s) {
  int32_t tensor = c->model->args[s->first_arg].tensor;
  int32_t dtype = tensor < 0 ? INGOT_I64 : c->model->tensors[tensor].dtype;
  return ingot_symbols_set(c, s->sym, read_integer(c->buf[s->first_arg], dtype), s->name);
}

static int set_counter(ingot_ctx *c, const struct ingot_step *s, int64_t i) {
  return s->sym < 0 ? INGOT_OK : ingot_symbols_set(c, s->sym, i, s->name);
}

static int run_loop(ingot_ctx *c, const struct ingot_step *s, int depth) {
  void *const *buf = c->buf + s->first_arg;
  const int64_t *count = buf[0];
  const uint8_t *condition = buf[1];
  int64_t *number = buf[2], bound = trip_count(c, s), i = 0;
  for (; (!count || i < *count) && (!condition || read_bool(condition)); i++) {
    if (i >= bound)
      return ingot_ctx_fail(c, INGOT_E_DATA, "loop '%s': more than %lld iterations", s->name,
                            (long long)bound);
    if (number) *number = i;
    int code = set_counter(c, s, i);
    if (!code) code = run_range(c, s->body[0], depth + 1);
    if (code) return code;
  }
  return set_counter(c, s, i);
}

static int run_routine(ingot_ctx *c, const struct ingot_step *s) {
  int code = run_parallel(c, s, 1);
  if (code) return ingot_ctx_fail(c, code, "step '%s': %s", s->name, ingot_api_error_text(code));
  return s->sym < 0 ? INGOT_OK : ingot_symbols_set(c, s->sym, c->sym[s->sym], s->name);
}

static int run_check(ingot_ctx *c, const struct ingot_step *s) {
  if (read_bool(c->buf[s->first_arg])) return INGOT_OK;
  return ingot_ctx_fail(c, INGOT_E_DATA, "%s", s->name);
}

// Everything that is not a plain loop over data.
static int run_special(ingot_ctx *c, const struct ingot_step *s, int depth) {
  switch (s->kind) {
  case INGOT_STEP_ROUTINE: return run_routine(c, s);
  case INGOT_STEP_SYMBOL: return run_symbol(c, s);
  case INGOT_STEP_IF: return run_range(c, s->body[read_bool(c->buf[s->first_arg]) ? 0 : 1], depth + 1);
  case INGOT_STEP_LOOP: return run_loop(c, s, depth);
  case INGOT_STEP_CHECK: return run_check(c, s);
  default: return ingot_ctx_fail(c, INGOT_E_FORMAT, "step '%s' is of unknown kind %d", s->name, s->kind);
  }
}

static void call_hook(ingot_ctx *c, const struct ingot_step *s, int32_t begin) {
  if (c->options.hook) c->options.hook(c->options.hook_user, c, (int32_t)(s - c->model->steps), begin);
}

// Kernels from s on without a choice to make, which is most of what small models run: the first other step.
static const struct ingot_step *run_alone(ingot_ctx *c, const struct ingot_step *s,
                                          const struct ingot_step *end) {
  enum { AHEAD = 2 }; // steps; their table is out of the cache where weights have passed through it
  for (; s < end && s->kind == INGOT_STEP_KERNEL; s++) {
    int64_t trip = trip_count(c, s);
    __builtin_prefetch(s + AHEAD);
    if (trip > 0) s->kernel(c->buf + s->first_arg, c->sym, 0, trip, c->scratch);
  }
  return s;
}

static int run_range(ingot_ctx *c, struct ingot_range range, int depth) {
  if (depth > INGOT_MAX_LOOP_DEPTH)
    return ingot_ctx_fail(c, INGOT_E_FORMAT, "control flow nested too deeply");
  const struct ingot_step *s = c->model->steps + range.first, *end = s + range.n;
  bool alone = c->threads == 1 && !c->options.hook;
  while (s < end) {
    if (alone && (s = run_alone(c, s, end)) == end) break;
    bool plain = s->kind == INGOT_STEP_KERNEL || s->kind == INGOT_STEP_COPY;
    // Hooks see steps one by one.
    int32_t n = plain && !c->options.hook ? chain_length(s, (int32_t)(end - s)) : 1;
    call_hook(c, s, 1);
    int code = plain ? run_parallel(c, s, n) : run_special(c, s, depth);
    if (code) return code;
    call_hook(c, s, 0);
    s += n;
  }
  return INGOT_OK;
}

// ---- a run -------------------------------------------------------------------------------------------

static int check_limit(ingot_ctx *c, const struct ingot_tensor_info *t, const Binding *b) {
  int64_t n = 1, size = ingot_dtype_size(t->dtype);
  for (int32_t d = 0; d < t->rank; d++) n *= b->dims[d];
  for (int64_t i = 0; i < n; i++) {
    int64_t x = read_integer((const char *)b->data + i * size, t->dtype);
    if (x < 0 || x >= t->limit)
      return ingot_ctx_fail(c, INGOT_E_DATA, "input '%s': element %lld is %lld, the model wants 0 to %d",
                            t->name, (long long)i, (long long)x, t->limit - 1);
  }
  return INGOT_OK;
}

static int prepare_anew(ingot_ctx *c) {
  int code = ingot_bind_inputs(c);
  if (!code) code = ingot_symbols_from_inputs(c);
  if (!code) code = ingot_bind_outputs(c);
  c->dirty = code != INGOT_OK;
  return code;
}

static int prepare(ingot_ctx *c) {
  int code = INGOT_OK;
  if (c->dirty)
    code = prepare_anew(c);
  else
    ingot_symbols_start_run(c);
  for (int32_t i = 0; i < c->model->n_inputs && !code; i++)
    if (c->model->inputs[i].limit > 0) code = check_limit(c, &c->model->inputs[i], &c->in[i]);
  return code;
}

// The steps for the extents at hand: code that was made for some of them, or for all.
static struct ingot_range choose_steps(const ingot_ctx *c) {
  struct ingot_range r = c->model->main;
  const struct ingot_step *s = c->model->steps;
  while (r.n == 1 && s[r.first].kind == INGOT_STEP_CASE)
    r = s[r.first].body[c->sym[s[r.first].sym] == s[r.first].imm ? 0 : 1];
  return r;
}

int ingot_api_run(ingot_ctx *c) {
  if (!c) return INGOT_E_ARGUMENT;
  if (!ingot_ctx_enter(c)) return INGOT_E_BUSY;
  int code = prepare(c);
  if (code) return ingot_ctx_leave(c, code);
  uint64_t mode = ingot_fpenv_enter(c->model->flags & INGOT_MODEL_FLUSH_DENORMALS);
  ingot_pool_begin(c->pool);
  code = run_range(c, choose_steps(c), 0);
  ingot_pool_end(c->pool);
  ingot_fpenv_leave(mode);
  ingot_symbols_end_run(c, code == INGOT_OK);
  return ingot_ctx_leave(c, code);
}
