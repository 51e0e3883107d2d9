// memory.h: what the files of the memory plan share: lifetimes.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_PASSES_MEMORY_H
#define INGOT_PASSES_MEMORY_H

#include "passes/internal.h"

// A range of a buffer and the time it is in use.
typedef struct Piece {
  int64_t from, to;
  int first, last;
} Piece;

// A buffer of the arena and the time it is in use, in positions of the nodes' order (value->info).
typedef struct Live {
  Value *v;
  Graph *owner; // whose nodes see it: of its def, or whose input it is
  int first, last;
  int64_t bytes, offset;
  struct Live *shared; // lies in the same place as this one
  bool part, whole;    // lies inside another value's buffer; has others inside
  Vec(Piece) pieces;   // of one that is placed: what others lie inside of is in use bit by bit
  int number;          // in the list of all
} Live;

// Where a node stands in the order; regions lie between start and end (node->info).
typedef struct Span {
  int start, end;
} Span;

typedef struct Plan {
  Ctx *c;
  Module *m;
  PtrMap region_node; // Graph -> Node that holds it
  Vec(Live *) live;   // all values of the arena
  int position;
  int opt; // optimisation level
} Plan;

int64_t memory_bytes(const Plan *p, const Value *v); // in its layout, at the bounds

// memory_inplace.c: may `out` of kernel n lie where its operand `in` lies?
bool memory_in_place(Ctx *c, const Node *n, const Value *in, const Value *out);
// memory_state.c: places for states; new values that may be computed right there are.
void memory_states(Plan *p, Graph *g);
// memory_alias.c: drops the statements of n that store an element of `v` onto itself, now that `out`, of the same
// layout, is in its place.
void memory_drop_copies(Ctx *c, Node *n, Value *v, const Value *out);
// memory_order.c: puts the graph's nodes in an order that needs less memory. For each_graph; data is the Plan.
bool memory_order(Graph *g, void *data);
// memory_alias.c: operands that n only copies move into its result's buffer.
void memory_alias(Plan *p, Node *n);
// memory_fit.c: offsets for all buffers; returns the arena's size.
int64_t memory_fit(Plan *p);

#endif
