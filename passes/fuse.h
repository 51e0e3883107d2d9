// fuse.h: what the files of fusion share: groups in the making, uses of a value, costs.
// SPDX-License-Identifier: Apache-2.0
//
// Fusion walks a graph from its last node to its first. When it comes to a value, everything that reads it
// is already part of some group, so that all its reads stand in composed expressions and can be counted.
// The value is then inlined into all of them (substitution), made a stage of the one group that reads it
// (a local of the kernel), or made the root of a group of its own (a buffer).
#ifndef INGOT_PASSES_FUSE_H
#define INGOT_PASSES_FUSE_H

#include "passes/internal.h"

// A kernel in the making. Stages stand in order of execution; the last one writes the root.
typedef struct Group {
  Node *root;
  Vec(Stage) stages;
  Vec(Value *) locals;
  Vec(Value *) outs;
  Vec(Node *) members; // nodes whose definition went in, root first
  int at;              // leading dims shared by all stages, once there are locals
  bool heavy;          // a product: operands are read many times over
  bool closed; // takes no locals and no epilogue: written by the op's own stages, or joins what lies there
} Group;

// One distinct read of a value in a stage.
typedef struct Use {
  Group *group;
  int stage;
  const Expr *read;
  double evals; // how often it is computed when inlined there, loop-invariant reads hoisted
  bool in_reduce, guarded;
} Use;

typedef struct Fuse {
  Ctx *c;
  Module *m;
  Graph *g;
  int opt;
  bool strict;         // float operations keep their order
  Map *names;          // of kernels
  Vec(Group *) groups; // of the graph at hand, last first
  const char *why;     // what fuse_decide found, for remarks
  PtrMap seen;         // of the walk at hand (fuse_uses): Expr -> its number in parts, from 1
  Vec(double) parts;
} Fuse;

// What kind of reduction's result a value is, or element-wise operations on one.
typedef enum Rides { RIDES_UNKNOWN, RIDES_ON_NOTHING, RIDES_ON_REDUCTION, RIDES_ON_PRODUCT } Rides;

// What fusion knows of a value (value->info).
typedef struct FuseInfo {
  bool must;            // needs a buffer: an output, or read by something that is not an expression
  Vec(Group *) readers; // may hold groups that have stopped reading it
  PtrMap known;         // the same, once they are many
  Rides rides;
} FuseInfo;

typedef Vec(Use) UseList;

// ---- fuse_uses.c --------------------------------------------------------------------------------------------

// All distinct reads of v in the groups that read it.
void fuse_uses(Fuse *f, const Value *v, UseList *out);
// Work of computing the expression once, in simple operations, and what it is made of.
typedef struct Work {
  double ops;
  int nodes; // distinct
  int guards;
  bool reduces;
} Work;
Work fuse_work(Ctx *c, const Expr *e);
// Does the stage read its operands many times over, as products do?
bool fuse_is_heavy(Ctx *c, const Stage *s);
// Iterations of a stage: dims times reductions.
double fuse_points(Ctx *c, const Stage *s);

// ---- fuse.c -------------------------------------------------------------------------------------------------

// The stage that computes result k of n at every index. false after reporting.
bool fuse_define(Fuse *f, Node *n, int k, Stage *s);
FuseInfo *fuse_info(Fuse *f, Value *v);

// ---- fuse_const.c ---------------------------------------------------------------------------------------------

// The read e of constant t as an expression of its indices; NULL: t is no such constant.
const Expr *fuse_read_const(Ctx *c, const Expr *e, const Tensor *t);

// ---- fuse_hoist.c ---------------------------------------------------------------------------------------------

// Takes factors that do not vary out of the sums in e. Changes how results are rounded.
const Expr *fuse_hoist(Ctx *c, const Expr *e);

// ---- fuse_decide.c ------------------------------------------------------------------------------------------

typedef enum Fate { FATE_DEAD, FATE_INLINE, FATE_LOCAL, FATE_ROOT } Fate;
// What becomes of v, whose element at its own indices is `def` (over `dims`). FATE_LOCAL: *group and *at say
// where it goes.
Fate fuse_decide(Fuse *f, const Value *v, const Stage *def, const UseList *uses, Group **group, int *at);

// Is n a concat all of whose operands are computed right where they end up (memory_alias.c)? Then a buffer costs
// nothing, and what reads it needs no cases.
bool fuse_joins_in_place(const Node *n);

// ---- fuse_vars.c ----------------------------------------------------------------------------------------------

// No two kernels share a variable, and those of later kernels are younger.
void fuse_own_vars(Graph *g);
void kernel_own_vars(const Module *m, Kernel *k); // names, too, are unique in the kernel

// ---- fuse_kernel.c ------------------------------------------------------------------------------------------

// A name that no other kernel of the module has, from what it computes.
const char *fuse_kernel_name(Fuse *f, const char *what, const char *op);
// Makes the kernel of a group at its root's place.
bool fuse_build(Fuse *f, Group *g);
// The kernel of a node that a runtime routine computes.
bool fuse_build_routine(Fuse *f, Node *n);

#endif
