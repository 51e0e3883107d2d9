// profile.h: where the time of a run goes, step by step.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_PROFILE_H
#define INGOT_TOOLS_PROFILE_H

#include <cjson/cJSON.h>

#include "tools/limits.h"
#include "tools/session.h"

// What one step took and did, per run.
typedef struct StepRow {
  int step;
  const char *name, *source, *schedule; // source: the ops of the model, the main one first
  double ms, flops, bytes;
  double calls;
  double gap_ms;     // of it, at its end: no thread was at work; handing over, waiting
  double busy_ms;    // of all threads together; = ms if only one is known of
  double balance;    // busy time of the threads over that of the busiest, 1 if even; 0: not known
  double roof;       // ms that it would take at the machine's limits; 0: not known
  bool by_memory;    // bandwidth is what limits it, not arithmetic
  const cJSON *work; // the ops that it came from, with what each does: [{"op", "flops"}]
} StepRow;

// What an op of the model, or a kind of op, took per run; flops and bytes are its share of its kernels'.
typedef struct OpTime {
  const char *name, *kind;
  double ms, flops, bytes;
  int steps;   // that it has a part in; of a kind: ops
  int kernels; // the same, before times are divided
  bool estimated;
} OpTime;
typedef Vec(OpTime) OpTimeList;

// Working memory while a step runs, at the bounds of symbols.
typedef struct ArenaStep {
  int step;
  double begin_ms, end_ms; // in the last run
  double live;             // bytes of values that have been computed and will be read
} ArenaStep;

// One piece of the last run, for the trace.
typedef struct Span {
  int step, thread;
  double begin_ms, end_ms; // from the run's start
} Span;

typedef struct Counter {
  const char *name;
  double per_run;
} Counter;

typedef struct Profile {
  bool instrumented; // by probes in the artefact; else by hooks, which see the calling thread only
  int threads, runs;
  int disturbed; // runs that took much longer than most, and are not counted
  double run_ms; // mean of the runs that were measured
  double sum_ms; // of the steps; the rest is the executor's, before the first step and after the last
  double gap_ms; // of it: after the last thread of a step was done and before the next step began
  Limits limits;
  Vec(StepRow) rows;     // by falling time
  OpTimeList ops, kinds; // by falling time
  Vec(Span) spans;
  double arena_bytes;    // planned
  Vec(ArenaStep) arena;  // in order of time
  Vec(Counter) counters; // none where the kernel forbids them
} Profile;

// The hook that a session to be profiled must be opened with, and its data.
typedef struct ProfileHook {
  bool on;
  double *begin, *total, *last_begin, *last_end;
  double *calls;
} ProfileHook;
void profile_hook(void *user, ingot_ctx *ctx, int32_t step, int32_t begin);

// Runs for at least so long and so often. false after reporting.
bool profile_run(Session *s, ProfileHook *hook, int runs, double seconds, const cJSON *meta, Profile *p);
// profile_extents.c: the work of steps at the extents of a run, not at the symbols' bounds.
typedef struct RunExtents {
  const ingot_model *model;
  int64_t *value; // by symbol
} RunExtents;
// Before a run: what the context keeps; after it: what the run found.
void extents_note(RunExtents *x, const ingot_ctx *ctx, bool before);
// A sum from the metadata ("flops_at", "bytes_at") with the extents in it; `otherwise` if there is none.
double extents_sum(Ctx *c, const RunExtents *x, const cJSON *terms, double otherwise);
// Bytes that all arguments of a step take together, INFINITY if no extent of theirs is a symbol: an artefact that does
// not say what its steps read in a run says how much it is at the bounds.
double extents_taken(const RunExtents *x, const ingot_ctx *ctx, int step);
// profile_ops.c: divides the steps' times among the ops that they came from.
void profile_ops(Arena *a, Profile *p);
// profile_arena.c: how full working memory was, from the plan in the metadata and the last run's spans.
void profile_arena(Arena *a, Profile *p, const cJSON *meta);
void profile_print_arena(const Profile *p);
cJSON *profile_arena_json(const Profile *p);
// profile_print.c
const StepRow *profile_row(const Profile *p, int step);
void profile_print(const Profile *p);
cJSON *profile_json(const Profile *p);
// Chrome's trace event format, which Perfetto reads.
bool profile_trace(Tool *t, const Profile *p, const char *path);

#endif
