// vector.h: what the files of the vectorised lowering share (maps, reductions, rows).
// SPDX-License-Identifier: Apache-2.0
//
// A stage becomes a nest: physical reads and a physical store in terms of axes, one variable each. Axes that
// lie behind each other in every access are joined; one axis (or one reduction variable) runs over vector
// lanes; conditions of guards split its range, or are tested outside, so that the inner loops have none.
#ifndef INGOT_PASSES_VECTOR_H
#define INGOT_PASSES_VECTOR_H

#include "passes/lower.h"

enum {
  MAX_AXES = 2 * MAX_RANK,
  MAX_BLOCK = 16, // vectors done together, by a schedule
};

typedef struct Nest {
  Lower *l;
  Ctx *c;
  Value *out;
  int nindex;
  const Expr *index[MAX_PHYS_RANK];
  const Expr *value; // reads are physical
  int naxes;
  const Var *axis[MAX_AXES]; // outermost first; the lane axis is not among them once it is chosen
  const Var *lane;           // over vectors; NULL: reductions run over vectors, or nothing does
  int unit;                  // lanes of one machine vector of the widest element
  int block;                 // elements of the lane axis that are done together
  int depth;                 // conditions tested so far
  bool border;               // outside of the interior: guards stay
} Nest;

// ---- vector_nest.c: axes --------------------------------------------------------------------------------------

void nest_of_stage(Lower *l, const Stage *s, int at, const Expr *const *shared, Nest *n);
// Joins neighbouring axes and reduction variables where every access allows it.
void nest_join(Nest *n);
// Chooses the axis of the lanes (or none) and the block.
void nest_choose_lane(Nest *n);
void nest_subst(Nest *n, const Var *v, const Expr *by);
// Elements that a read or the store moves by when v grows by one; false if that is not constant.
bool access_stride(Ctx *c, const Value *v, const Expr *const *index, int nindex, const Var *var,
                   int64_t *stride);
// The reduction variable that should run over lanes, by the strides of what is read; NULL: none.
const Var *reduce_lane(Nest *n, const Expr *reduction);

// ---- vector_guard.c: conditions -------------------------------------------------------------------------------

// A guard's condition in `value` that depends on nothing that varies inside (lane, reduction variables).
const Expr *guard_outer(const Nest *n, const Expr *value);
// A condition over outer axes under which guards that mix them with inner variables hold throughout, or NULL.
// *then is the value under it.
const Expr *guard_interior(const Nest *n, const Expr *value, const Expr **then);
// The value if the condition of a guard is known.
const Expr *guard_decide(const Nest *n, const Expr *value, const Expr *cond, bool holds);
// Places in (0, extent) where guards change along the lane axis, ascending; -1: too many.
int guard_cuts(const Nest *n, int64_t *cut, int max);

// ---- vector_emit.c: the innermost loops -----------------------------------------------------------------------

// Everything inside the outer axes: the whole range of the lane axis, or with `pieces` > 0, its part number
// `piece` of that many, each but the last `piece_size` long.
typedef struct LanePart {
  const Expr *piece;
  int64_t pieces, piece_size;
} LanePart;
void vector_inner(Nest *n, const LanePart *part);
// Does the value hold a reduction that is the same for all lanes?
bool vector_has_invariant(const Nest *n);

#endif
