// schedule.h: classes of loop nests: which kernels they fit, with which parameters, how they are lowered.
// SPDX-License-Identifier: Apache-2.0
//
// The table in schedule.c is in order of preference. The schedule pass asks each class in turn whether it
// takes a kernel; the lower pass calls the class named by kernel->schedule.kind, and, should it decline, the
// following ones down to "serial", which takes everything. It goes on down likewise where the verifier
// cannot prove the loops; "guarded" can be proved always.
#ifndef INGOT_PASSES_SCHEDULE_H
#define INGOT_PASSES_SCHEDULE_H

#include "passes/lower.h"

typedef struct ScheduleClass {
  const char *name; // kernel->schedule.kind
  // Decides whether the class takes the kernel; sets the schedule's parameters if so. `wanted`: parameters to take
  // (what is not among them is chosen); false also if they do not fit the kernel. NULL: the class chooses all.
  bool (*choose)(Module *m, Node *n, const PassOptions *o, const Schedule *wanted);
  // Writes the loops. false without a report: declines.
  bool (*lower)(Lower *l);
  // The class's part of schedule_candidates, for a kernel that it may not take. NULL: none.
  void (*candidates)(Module *m, Node *n, const PassOptions *o, const Schedule *near, ScheduleList *out);
  // The class's part of schedule_cycles. NULL: it has no cost model.
  double (*cycles)(Module *m, Node *n);
  // The class's part of schedule_flops. NULL: those of the definition.
  double (*flops)(const Kernel *k);
} ScheduleClass;

int schedule_class_count(void);
const ScheduleClass *schedule_class_at(int i);
const ScheduleClass *schedule_class_find(const char *kind); // NULL if unknown

// Parameters of a schedule.
int64_t schedule_get(const Kernel *k, const char *name, int64_t otherwise);
int64_t schedule_param(const Schedule *s, const char *name, int64_t otherwise);
Schedule schedule_like(const char *kind); // without parameters
void schedule_add(Ctx *c, Schedule *s, const char *name, int64_t value);
// Into the list, unless it is there.
void schedule_list(Ctx *c, ScheduleList *out, const Schedule *s);

#endif
