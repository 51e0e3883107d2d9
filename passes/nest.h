// nest.h: building loop nests (Stmt trees) from the outside in; shared by all lowerings.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_PASSES_NEST_H
#define INGOT_PASSES_NEST_H

#include "ir/ir.h"

// Where the next statement goes: appends to a list, and opens loops and ifs so that what follows goes
// inside. A Nest is copied freely; copies continue independently (`Nest inner = nest_for(...)`).
typedef struct Nest {
  Ctx *ctx;
  Stmt **tail; // the pointer that the next statement is stored in; shared state of a block is its list's end
  Loc loc;
} Nest;

// Starts a list whose first statement ends up in *head.
Nest nest_at(Ctx *c, Stmt **head, Loc loc);

// Opens a loop over a new variable (in *var, NULL if not wanted) of the given extent and returns the place
// inside it. A loop of constant extent 1 is not made: *index becomes 0. Vector loops are always made.
Nest nest_for(Nest *n, LoopKind kind, const char *name, const Expr *extent, const Expr **index);
Nest nest_for_n(Nest *n, LoopKind kind, const char *name, int64_t extent, const Expr **index);
Nest nest_if(Nest *n, const Expr *cond); // constant true: same place; constant false: the body is dropped
void nest_store(Nest *n, Value *dst, const Expr *const *index, int nindex, StoreKind op, const Expr *value);
// Store to a logical index, through dst's layout.
void nest_store_at(Nest *n, Value *dst, const Expr *const *logical, StoreKind op, const Expr *value);
const Expr *nest_let(Nest *n, const char *name,
                     const Expr *value); // constants and variables are returned as they are
Value *nest_alloc(Nest *n, const char *name, DType t, Space space, const int64_t *dims, int rank);

// Turns kernel-level reads (logical indices) into loops-level ones (physical indices).
const Expr *nest_physical(Ctx *c, const Expr *e);

#endif
