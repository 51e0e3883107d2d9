// lower.h: what the lowerings of the schedule classes share: emitting statements, reads, reductions.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_PASSES_LOWER_H
#define INGOT_PASSES_LOWER_H

#include "passes/internal.h"

// The place where statements go: the end of a list.
typedef struct Block {
  Stmt **tail;
} Block;

// Values already computed in this block or an enclosing one (expression -> its result).
typedef struct LowerScope {
  PtrMap done;
  struct LowerScope *outer;
} LowerScope;

// A kernel's local during lowering: its buffer holds one iteration of the dims shared by the stages.
typedef struct LocalBuffer {
  Value *storage;
  int dropped; // leading indices that the buffer does not have
} LocalBuffer;

typedef struct Lower {
  Ctx *c;
  Module *m;
  Node *node;
  Kernel *k;
  const PassOptions *o;
  const Target *target;
  Block block;
  LowerScope *scope;
  PtrMap locals; // Value -> LocalBuffer
  int64_t scratch;
  bool careful;  // indices as they come, no joining of loops: after loops that could not be proved
  bool physical; // reads in expressions given to lower_value are physical already
  Loc loc;       // of the stage being lowered
} Lower;

// ---- lower_emit.c: statements -------------------------------------------------------------------------------

// A loop at the current place; what is emitted until lower_end goes into it.
typedef struct LowerMark {
  Block block;
  LowerScope scope;
  LowerScope *outer;
  bool inside; // of a statement
} LowerMark;
void lower_for(Lower *l, const Var *v, LoopKind kind, LowerMark *mark);
// if (cond) ...; lower_else begins the other branch.
void lower_if(Lower *l, const Expr *cond, LowerMark *mark);
void lower_else(Lower *l, LowerMark *mark);
void lower_begin(Lower *l,
                 LowerMark *mark); // no statement at all: until lower_end everything goes right here
void lower_end(Lower *l, LowerMark *mark);
Value *lower_alloc(Lower *l, const char *name, Space space, DType t, int rank, const int64_t *shape);
void lower_store(Lower *l, Value *dst, const Expr *const *index, int n, StoreKind op, const Expr *value);
void lower_prefetch(Lower *l, Value *of, const Expr *at);
const Expr *lower_let(Lower *l, const char *name, const Expr *value);
const Var *lower_var(Lower *l, const char *name, int64_t extent);

// Store kind that combines as the reduction does; STORE_SET if there is none (all, any).
StoreKind reduce_store(ReduceKind k);
// acc[index] combined with value.
void lower_accumulate(Lower *l, ReduceKind k, Value *acc, const Expr *const *index, int n, const Expr *value);

// ---- lower_value.c: expressions -----------------------------------------------------------------------------

// One read with physical indices.
const Expr *lower_read(Lower *l, const Expr *e);
// The buffer that stands for v: v itself, or a local's storage.
Value *lower_storage(Lower *l, Value *v);
// Physical indices of v at a logical index; returns their number.
int lower_index(Lower *l, const Value *v, const Expr *const *index, const Expr **out);
// Makes e computable in one statement at the current place: reductions become loops into accumulators
// (emitted here), reads become physical.
const Expr *lower_value(Lower *l, const Expr *e);
// The same for an expression without reductions: emits nothing.
const Expr *lower_reads(Lower *l, const Expr *e);
// Allocates the buffers of the kernel's locals, each for one iteration of the first `at` dims.
void lower_locals(Lower *l, int at);
// out[dims] (or out[index]) = value.
void lower_stage_store(Lower *l, const Stage *s, const Expr *const *index, const Expr *value);

// ---- the classes ----------------------------------------------------------------------------------------------

bool lower_serial(Lower *l);  // everything, one scalar loop nest per stage
bool lower_vector(Lower *l);  // maps, reductions and rows
bool lower_moves(Lower *l);   // element-wise stages to moved places
bool lower_checked(Lower *l); // everything, if code tests each index as it runs
bool lower_guarded(Lower *l); // everything, with a test before each access that is not proved

#endif
