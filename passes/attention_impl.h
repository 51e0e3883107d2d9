// attention_impl.h: what the parts of the attention schedule share (match, rows in blocks, single rows).
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_PASSES_ATTENTION_IMPL_H
#define INGOT_PASSES_ATTENTION_IMPL_H

#include "passes/attention.h"

// A kernel seen as attention. Everything is in terms of the last stage's leading variables, `key`, `size` and
// `col`, however the kernel's stages were cut.
typedef struct Attention {
  Ctx *c;
  const Stage *last; // writes the result
  int nlead;         // dims of a row
  const Var *const *lead;
  const Var *key;        // over the keys
  const Var *size;       // over the elements of a query and a key
  const Var *col;        // over the elements of a value
  const Expr *q, *k, *v; // of one query, key and value
  const Expr *score;     // with `dot` in it
  const Expr *dot;       // sum(size) q * k
  const Expr *norm;      // what the weighted sum is divided by, with `total` in it
  const Expr *total;     // sum(key) exp(score - maximum)
  const Expr *value;     // the result's element, with `sum` in it
  const Expr *sum;       // sum(key) weight * v
  int row;               // the leading dim of the queries: neither keys nor values depend on it; -1: none
} Attention;

// Recognises the kernel's stages; false: they are no attention that the schedules handle.
bool attention_match(Ctx *c, const Kernel *k, Attention *a);

// The keys that a query can see, from conditions of indices in the score: first <= key < end. NULL: all.
typedef struct KeyRange {
  const Expr *first, *end;
  const Expr
      *score; // within the range: for one query, without the conditions that made the range, if all did
} KeyRange;
// The queries row0 .. row1 (expressions), at their leading dims or, `heads`, at all values of the others.
typedef struct Queries {
  const Expr *row0, *row1;
  bool heads;
} Queries;
// The range outside of which every weight of these queries is 0.
KeyRange attention_range(const Attention *a, Queries of);

// Most lanes of one vector that divide n.
int attention_lanes(const Target *t, int64_t n);
// e with variable v as `by`.
const Expr *attention_put(Ctx *c, const Expr *e, const Var *v, const Expr *by);
// exp(x - top), also where everything so far is hidden; top is the maximum of some that x is among. The difference is said to
// be 0 at most, which it is, for code generation to see.
const Expr *attention_exp(Ctx *c, const Expr *x, const Expr *top);

// ---- schedules ------------------------------------------------------------------------------------------------

// Blocks of queries, in lanes, by blocks of keys (attention_lower.c). Keys in tiles of `keys`, blocks of
// `block` keys; the product with the values in tiles of `rows` queries and `vectors` vectors.
typedef struct AttentionTile {
  int queries, keys, block, rows, vectors;
  int few; // queries, below which they are done one by one; 0: never
} AttentionTile;
// From the kernel's schedule; values that do not fit together are made to.
bool attention_tile_load(const Lower *l, const Attention *a, AttentionTile *t);
bool attention_lower_rows(Lower *l, const Attention *a);
// One query after the other, several heads together (attention_single.c). Heads are counted over all leading dims but
// the rows', the last one fastest.
bool attention_lower_single(Lower *l, const Attention *a);
bool attention_is_short(const Attention *a); // are its queries and values short enough for that?
// The body of that for query `row` of `heads` heads from `head` on.
void attention_emit_single(Lower *l, const Attention *a, const Expr *row, const Expr *head, int heads);
// Product of the trailing constant extents of those dims.
int64_t attention_heads(const Attention *a);
// Heads that a task does together: a divisor of that. Two threads where it is not known how many there will be.
int attention_group(const Attention *a, const Target *t, int threads);
// The same from the kernel's schedule.
int attention_group_load(const Lower *l, const Attention *a);

#endif
