// tune.h: what `ingot tune` knows of a model's kernels, and the compiled variants that it measures.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_TUNE_H
#define INGOT_TOOLS_TUNE_H

#include "tools/session.h"

// One distinct kernel: those with one key count as one.
typedef struct TuneKernel {
  uint64_t key;
  const char *name;  // of the first that has the key
  const char *shape; // schedule_shape
  int places;        // kernels of the model that have it
  Schedule base;     // the cost model's choice
  Schedule best;     // kind NULL: the cost model's
  double ratio;      // of its time to that of `base`; 1: the same
  double us, share;  // a run spends in `base`; the same as a part of the whole
  ScheduleList tried, queue;
  int next;         // in `queue`; those before are measured
  int rounds;       // of variations around the best, begun
  Vec(double) ours; // microseconds by round of the last measurement, and what the baseline took in the same
  Vec(double) theirs;
  Vec(Tensor *) result; // of the baseline's first place
  bool wrong;           // the last variant computes something else
} TuneKernel;

typedef Vec(TuneKernel *) TuneKernels;

typedef struct Variant Variant;

typedef struct Tune {
  BuildArgs build; // first: the child parser's input
  const char *file, *out, *log_path;
  const char *only; // pattern of kernels' names; NULL: all
  double budget;    // seconds
  double share;     // of a run, below which a kernel is left alone
  Vec(const char *) inputs;
  Tuning *db; // what is in the output file already
  TuneKernels kernels;
  const char *target; // name
  int threads;
  FILE *log;
  double start;
} Tune;

TuneKernel *tune_kernel(const Tune *t, uint64_t key); // NULL: unknown

// ---- tune_variant.c: compiling, running, measuring -------------------------------------------------------------

// Called between layout and schedule, when the kernels' keys are known: may fill the database that schedules come from.
typedef void (*VariantPrepare)(Tune *t, Module *m, Tuning *with);

// Compiles the model with the schedules of `with` into a library, opens it and binds inputs. `loud`: what is wrong
// with the model is reported. NULL on failure.
Variant *variant_new(Tune *t, VariantPrepare prepare, Tuning *with, bool loud);
void variant_free(Variant *v); // NULL is fine
// Runs once and keeps the kernels' results, or compares them with those (TuneKernel.wrong).
bool variant_keep(Variant *v);
bool variant_check(Variant *v);
// The schedule that the first kernel with that key got.
const Schedule *variant_schedule(const Variant *v, uint64_t key);
// Lets the two take turns for so long, at least so often; fills `ours` and `theirs` of all kernels. Sets the median
// times of a run, in milliseconds.
bool variant_race(Variant *theirs, Variant *ours, double seconds, int rounds, double *their_ms,
                  double *our_ms);

// The value below which a part `q` of the numbers lies.
double quantile(Arena *a, const double *x, int n, double q);
// What ours took for one of theirs; 1 if there was no race.
double race_ratio(Arena *a, const TuneKernel *k);

#endif
