// schedule.h: classes of loop nests: which kernels they fit, which layouts they want, how they are lowered.
// SPDX-License-Identifier: Apache-2.0
//
// The table in schedule.c is in order of preference. The schedule pass asks each class in turn whether it
// takes a kernel; the lower pass calls the class named by kernel->schedule.kind, and, should it decline, the
// following ones down to "serial", which takes everything. It goes on down likewise where the verifier
// cannot prove the loops; "guarded" can be proved always.
#ifndef INGOT_PASSES_SCHEDULE_H
#define INGOT_PASSES_SCHEDULE_H

#include "passes/lower.h"

// One way to lay out the operands and results of a kernel.
typedef struct LayoutChoice {
  const Layout *in[8], *out[1]; // by position in node->in and node->out; NULL: plain. Further operands: plain
  double cost;                  // estimated time of the kernel in nanoseconds
} LayoutChoice;

typedef struct ScheduleClass {
  const char *name; // kernel->schedule.kind
  // Decides whether the class takes the kernel; sets the schedule's parameters if so.
  bool (*choose)(Module *m, Node *n, const PassOptions *o);
  // Writes the loops. false without a report: declines.
  bool (*lower)(Lower *l);
  // Layouts worth considering, the plain one among them; returns how many. NULL: plain only.
  int (*layouts)(Module *m, const Node *n, const PassOptions *o, LayoutChoice *out, int max);
} ScheduleClass;

int schedule_class_count(void);
const ScheduleClass *schedule_class_at(int i);
const ScheduleClass *schedule_class_find(const char *kind); // NULL if unknown

// Parameters of a schedule.
void schedule_set(Ctx *c, Kernel *k, const char *name, int64_t value);
int64_t schedule_get(const Kernel *k, const char *name, int64_t otherwise);

#endif
