// memory.h: what the files of the memory plan share: lifetimes.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_PASSES_MEMORY_H
#define INGOT_PASSES_MEMORY_H

#include "passes/internal.h"

// A buffer of the arena and the time it is in use, in positions of the nodes' order (value->info).
typedef struct Live {
  Value *v;
  Graph *owner; // whose nodes see it: of its def, or whose input it is
  int first, last;
  int64_t bytes, offset;
  struct Live *shared; // lies in the same place as this one
  bool part, whole;    // lies inside another value's buffer; has others inside
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
} Plan;

// memory_inplace.c: may `out` of kernel n lie where its operand `in` lies?
bool memory_in_place(Ctx *c, const Node *n, const Value *in, const Value *out);
// memory_order.c: puts the graph's nodes in an order that needs less memory. For each_graph; data is the Plan.
bool memory_order(Graph *g, void *data);
// memory_alias.c: operands that n only copies move into its result's buffer.
void memory_alias(Plan *p, Node *n);
// memory_fit.c: offsets for all buffers; returns the arena's size.
int64_t memory_fit(Plan *p);

#endif
