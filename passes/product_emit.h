// product_emit.h: the state of lowering one product: the loops around tiles set it, the tile's loops read it.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_PASSES_PRODUCT_EMIT_H
#define INGOT_PASSES_PRODUCT_EMIT_H

#include "passes/product_impl.h"

enum { MAX_CONJUNCTS = 16 };

// K in blocks: a parallel iteration walks all its tiles for one block after the other; in between the sums lie in
// scratch memory.
typedef struct KBlocks {
  int64_t count, size; // size: iterations of the outermost loop over K in one block
  const Expr *at;      // number of the block
  Value *sums;         // [columns, tiles of rows, mr, nv * lanes]; NULL: all of K at once
} KBlocks;

// Each step of K prefetches a part of the next panel of the vector operand, so that it comes from memory while the
// tiles of this one are computed.
typedef struct Ahead {
  int64_t lines;     // cache lines in one iteration of the innermost loop; 0: no prefetching
  int64_t steps;     // iterations of the innermost loop for one tile
  const Expr *first; // tiles of rows in the parallel iterations before this one
} Ahead;

// What steps of K of a tile with one row have in common, where unpacking the vector operand is most of the work: it is
// (number * scale + offset) * factor, of which only the first two vary from step to step, and scale not over the lanes.
typedef struct Shared {
  int64_t steps;                                // 0: nothing
  const Expr *number, *scale, *offset, *factor; // of f32; all but the first may be NULL: none
  Value *sum;                                   // of the broadcast operand's elements, [1, 1], for the offset
} Shared;

// A single row whose elements are rounded to 16 bits, because the vector operand is made of numbers of few bits in words:
// b = (number + offset) * factor. Each group of `steps` steps, which share offset and factor, has a scale of its own.
typedef struct Rounded {
  int64_t steps;                      // 0: it is not rounded
  int bits;                           // of a number: word >> bits * (k % numbers of a word)
  bool bytes;                         // the row's elements are rounded to 8 bits, not to 16
  const Expr *word, *offset, *factor; // u32, i32 and f32; NULL: none
  Value *pairs;       // elements of the row, two or four in an i32, as the numbers that they meet
  Value *scale, *sum; // by group
} Rounded;

// `at[d]` is what dim d stands for at the current place; NULL: not yet.
typedef struct Emit {
  Lower *l;
  Ctx *c;
  Product *p;
  Tile tile;
  const Expr *at[MAX_LOOP_DIMS];
  const Expr *k_at[MAX_RANK + 2];
  int nguards;
  const Expr *guard[MAX_CONJUNCTS];
  bool finite; // nothing in the broadcast operand is infinite or NaN: times zero it is zero
  KLoop loop[MAX_RANK + 4];
  int nloops;
  KBlocks blocks;
  Ahead ahead;
  bool single;       // there is one row only
  const Expr *chain; // the present step's, in a tile of one row; NULL: the first
  Shared shared;
  Rounded rounded;
  ProductInside inside;
} Emit;

// One tile: rows row0 .. row0+mr-1 of the tile dim, nv vectors from lane0 on.
typedef struct TileAt {
  const Expr *row0, *lane0;
  const Expr *column, *number; // which column and which tile of rows it is in its parallel iteration
  int mr, nv;
  int chains; // with one row: sums that steps of K go to in turns, since each addition waits for the one before
  bool masked; // the last vectors reach beyond the lane dim's extent
  Value *acc;  // [mr * chains, nv * lanes]
} TileAt;

// e with every dim and K variable replaced by what it stands for here (those that are set).
const Expr *product_place(const Emit *s, const Expr *e);
// The same with physical reads: flat ones where rows were joined.
const Expr *product_place_reads(const Emit *s, const Expr *e);
bool product_is_true(const Expr *e);

// A loop that disappears when it runs once, or a branch that does when its condition is known.
typedef struct EmitLoop {
  LowerMark mark;
  bool open;
} EmitLoop;
const Expr *emit_loop(Emit *s, EmitLoop *loop, const char *name, LoopKind kind, const Expr *extent);
void emit_if(Emit *s, EmitLoop *loop, const Expr *cond); // NULL: true
void emit_end(Emit *s, EmitLoop *loop);

typedef struct Lane {
  EmitLoop vector, column, row, mask;
  const Expr *i, *col; // row in the tile, column in the tile
} Lane;
// Sets the lane dim to vector j, lane v of the tile at t.
void product_enter_column(Emit *s, const TileAt *t, Lane *x);
void product_leave_column(Emit *s, Lane *x);
// An operand that varies over the lanes, 0 where `cond` (NULL: true) fails or the lane is beyond the extent.
// Constants are padded with zeros there, but nothing else may be touched.
const Expr *product_vector_operand(Emit *s, const TileAt *t, const Expr *operand, const Expr *cond);

// All of a tile. border: it touches the padding, and its place is constant, so that guards decide themselves.
void product_emit_tile(Emit *s, TileAt t, bool border);
// Sets the variable that the loop over K at `level` is over; returns what it was set to.
const Expr *product_set_k(Emit *s, int level, const Expr *v);
// Sets s->shared to what the most steps of the innermost loop have in common, of a multiple of `unroll` that divides
// `count`; false: nothing.
bool product_shares(Emit *s, const TileAt *t, int level, int64_t unroll, int64_t count);
// Iterations of the innermost loop over K, unrolled ones counted once, for one tile (and one block of K).
int64_t product_k_steps(const Emit *s);

// ---- product_unpack.c, product_round.c ---------------------------------------------------------------------------

// Does every tile of rows do work for the vector operand that could be done once for all of them?
bool product_unpacks(const Emit *s);
// Does it, for the columns of t and the present block of K, into scratch memory, which then is the vector operand.
void product_unpack_panel(Emit *s, const TileAt *t);
// Can a single row be rounded? What there is to know of the vector operand then.
bool product_fields(const Product *p, int row_bits, Rounded *r);
// Rounds it, into scratch memory: s->rounded says how, and is filled in.
void product_round_row(Emit *s);
// All steps of K of a tile.
void product_rounded_steps(Emit *s, const TileAt *t);

// ---- product_prefetch.c ------------------------------------------------------------------------------------------

// A part of the next panel, in step number `step` of those that product_k_steps counts.
void product_prefetch(Emit *s, const TileAt *t, const Expr *step);
// A single row: what each of its streams reads `distance` cache lines after the `steps` steps of the loop at `level` from
// `first` on.
void product_prefetch_streams(Emit *s, const TileAt *t, int level, const Expr *first, int64_t steps);
// This tile's part of what the schedule around the product reads next.
void product_prefetch_next(Emit *s, const TileAt *t, const NextRead *next);

#endif
