// passes.h: the pass table and the options that steer it.
// SPDX-License-Identifier: Apache-2.0
//
// A pass takes a Module at one level and leaves it at the same or the next one. The table in passes.c lists
// all of them in the order in which they run; --list-passes, --passes=, --dump=after:<pass> and the
// documents are made from it.
#ifndef INGOT_PASSES_H
#define INGOT_PASSES_H

#include "ir/ir.h"

// How the driver lets passes run compiled code (constant folding of large constants): evaluates the nodes
// that produce `want` from constants only. codegen provides it; NULL: the reference evaluator is used.
typedef bool (*CompiledEval)(void *data, Module *m, Value *const *want, int n, const Tensor **out);

// How weights of matrix products and tables are kept (--weights).
typedef enum WeightKind { WEIGHTS_F32, WEIGHTS_F16, WEIGHTS_BF16, WEIGHTS_INT8, WEIGHTS_INT4 } WeightKind;
typedef struct WeightFormat {
  WeightKind kind;
  int group; // int4: elements along K that share a scale
  bool asym; // int4: and a zero point
} WeightFormat;
// "f16", "bf16", "int8", "int4", "int4:32", "int4:64:asym" ...; false: none of these.
bool weight_format_parse(const char *text, WeightFormat *f);

typedef struct PassOptions {
  int opt_level;  // 0: no optimisation, unscheduled code; 1: graph passes only; 2: everything
  int threads;    // the artefact's default number of threads, for the cost model; 0: target's cores
  bool fp_strict; // keep the order of float operations
  bool check;     // code will test each index as it runs (CodegenOptions.check), so that none need be proved
  const char *winograd; // "off" or "auto"
  WeightFormat weights;
  const Tuning *tuning; // schedules that were measured; NULL: the cost model chooses all
  bool all_tiles;       // schedule_candidates lists the register tiles that the cost model thinks bad, too
  // A line for the user about what was done to a weight, or, if `total`, to all of them. May be NULL.
  void (*report)(void *data, bool total, const char *line);
  void *report_data;
  CompiledEval compiled_eval;
  void *compiled_eval_data;
} PassOptions;

typedef struct Pass {
  const char *name;
  Level from, to;  // level it takes and leaves
  int min_opt;     // runs from this optimisation level on
  const char *doc; // what it does, and why at this place
  bool (*run)(Module *m, const PassOptions *o);
} Pass;

int pass_count(void);
const Pass *pass_at(int i);
const Pass *pass_find(const char *name);

// The table as a page of the documents, in Markdown.
void passes_document(Str *out);

// Called before (pass index 0.. ) and after every pass that runs; return false to stop.
typedef struct PassHooks {
  bool (*after)(void *data, Module *m, const Pass *p, double seconds, bool changed);
  void *data;
  bool verify_each;
} PassHooks;

// Runs the passes named in `list` (comma separated), or, if NULL, all whose level and min_opt apply,
// continuing from where the module says it stands (module->passes). Stops after `stop_after` if not NULL.
bool passes_run(Module *m, const PassOptions *o, const char *list, const char *stop_after,
                const PassHooks *hooks);

// ---- tuning -------------------------------------------------------------------------------------------------

// kernel_key.c: a number for what a kernel computes, on which types and layouts: the same in every compilation in
// which that is so, whatever names it has and whatever stands around it. Of modules between layout and schedule.
uint64_t kernel_key(Ctx *c, const Node *n);

// Schedules of a kernel that are worth measuring, the likeliest first. `near` NULL: what differs most, classes and
// register tiles, each with the cost model's choice of everything else; else variations of everything else in `near`.
typedef Vec(Schedule) ScheduleList;
void schedule_candidates(Module *m, Node *n, const PassOptions *o, const Schedule *near, ScheduleList *out);
// What a kernel's cost depends on, for people and for fitting the model: "product m=196 n=256 k=1024", "" if it is none.
void schedule_shape(Module *m, Node *n, Str *out);
bool schedule_equal(const Schedule *a, const Schedule *b);
// Cycles that the cost model expects of a kernel's arithmetic with the schedule it has, at the bounds of symbols, on one
// core of two vector multiply-adds a cycle. Of modules between schedule and lower.
double schedule_cycles(Module *m, Node *n);
// Operations that a kernel cannot do without, with the schedule it has.
double schedule_flops(const Kernel *k);

#endif
