// vector_emit.c: the loops inside the outer axes: conditions, ranges of the lane axis, blocks of lanes,
// reductions into vectors of accumulators.
// SPDX-License-Identifier: Apache-2.0
#include "passes/vector.h"

enum { MAX_DEPTH = 12, MAX_CUTS = 16, MAX_REDUCTIONS = 16 };

// ---- reductions in an expression ----------------------------------------------------------------------------

typedef struct Outermost {
  Ctx *c;
  PtrMap seen;
  const Expr *e[MAX_REDUCTIONS];
  int n;
  bool nested, guarded, many;
} Outermost;

static void find_outermost(Outermost *o, const Expr *e, bool guarded) {
  if (ptr_get(&o->seen, e)) return;
  ptr_put(o->c->arena, &o->seen, e, (void *)e);
  if (e->op == E_REDUCE) {
    o->nested |= expr_has(o->c, e->args[0], E_REDUCE);
    o->guarded |= guarded;
    o->many |= o->n == MAX_REDUCTIONS;
    if (o->n < MAX_REDUCTIONS) o->e[o->n++] = e;
    return;
  }
  for (int i = 0; i < e->nargs; i++) find_outermost(o, e->args[i], guarded || (e->op == E_GUARD && i > 0));
}

static Outermost outermost(Ctx *c, const Expr *e) {
  Outermost o = {.c = c};
  find_outermost(&o, e, false);
  return o;
}

// ---- one scalar from a reduction ----------------------------------------------------------------------------

static const Expr *at_lane(Ctx *c, const Expr *e, const Var *lane, const Expr *index) {
  return expr_subst(c, e, &lane, &index, 1);
}

static void fill(Lower *l, Value *acc, int64_t count, const Expr *value) {
  const Var *v = lower_var(l, "v", count);
  const Expr *at = ex_var(l->c, v);
  LowerMark mark;
  lower_for(l, v, LOOP_VECTOR, &mark);
  lower_store(l, acc, &at, 1, STORE_SET, value);
  lower_end(l, &mark);
}

// acc[v] op= body at lane `from` + v, for v < count.
static void accumulate(Lower *l, ReduceKind k, Value *acc, const Expr *body, const Var *lane,
                       const Expr *from, int64_t count) {
  const Var *v = lower_var(l, "v", count);
  const Expr *at = ex_var(l->c, v);
  LowerMark mark;
  lower_for(l, v, LOOP_VECTOR, &mark);
  lower_accumulate(l, k, acc, &at, 1, at_lane(l->c, body, lane, ex_add(l->c, from, at)));
  lower_end(l, &mark);
}

// A loop over blocks, or, if there is just one, no loop.
static void open_blocks(Lower *l, const Expr *count, const Expr **at, LowerMark *mark) {
  int64_t n;
  if (expr_is_const_int(count, &n) && n == 1) {
    *at = ex_idx(l->c, 0);
    lower_begin(l, mark);
    return;
  }
  const Var *b = var_new(l->c, "b", count);
  lower_for(l, b, LOOP_SERIAL, mark);
  *at = ex_var(l->c, b);
}

// The whole range of one reduction variable, in blocks of lanes.
static void accumulate_range(Nest *n, const Expr *e, Value *acc, const Var *lane, int64_t block) {
  Lower *l = n->l;
  Ctx *c = n->c;
  const Expr *size = ex_idx(c, block), *extent = lane->extent;
  const Expr *full = ex_binary(c, E_FDIV, extent, size), *from = ex_mul(c, full, size), *at;
  LowerMark mark;
  open_blocks(l, full, &at, &mark);
  accumulate(l, e->reduce.kind, acc, e->args[0], lane, ex_mul(c, at, size), block);
  lower_end(l, &mark);
  int64_t total;
  if (expr_is_const_int(extent, &total)) {
    if (total % block) accumulate(l, e->reduce.kind, acc, e->args[0], lane, from, total % block);
    return;
  }
  const Var *t = lower_var(l, "t", block); // symbolic: the rest one by one
  const Expr *zero = ex_idx(c, 0);
  at = ex_add(c, from, ex_var(c, t));
  LowerMark rest;
  lower_for(l, t, LOOP_SERIAL, &mark);
  lower_if(l, ex_binary(c, E_LT, at, extent), &rest);
  lower_accumulate(l, e->reduce.kind, acc, &zero, 1, at_lane(c, e->args[0], lane, at));
  lower_end(l, &rest);
  lower_end(l, &mark);
}

static void accumulate_loops(Nest *n, const Expr *e, int i, Value *acc, const Var *lane, int64_t block) {
  while (i < e->reduce.nvars && e->reduce.vars[i] == lane) i++;
  if (i == e->reduce.nvars) {
    accumulate_range(n, e, acc, lane, block);
    return;
  }
  LowerMark mark;
  lower_for(n->l, e->reduce.vars[i], LOOP_SERIAL, &mark);
  accumulate_loops(n, e, i + 1, acc, lane, block);
  lower_end(n->l, &mark);
}

// A reduction whose result is the same for all lanes: over vectors if its operands allow, else one by one.
static const Expr *scalar_reduction(Nest *n, const Expr *e) {
  Lower *l = n->l;
  Ctx *c = n->c;
  const Var *lane = expr_has(c, e->args[0], E_REDUCE) ? NULL : reduce_lane(n, e);
  if (!lane) return lower_value(l, e);
  int64_t extent, block = 4 * n->unit;
  if (!expr_is_const_int(lane->extent, &extent))
    block = n->unit;
  else if (extent < block)
    block = extent;
  const Expr *identity = reduce_identity(c, e->reduce.kind, e->dtype);
  Value *acc = lower_alloc(l, "acc", SPACE_REG, e->dtype, 1, &block);
  Value *sum = lower_alloc(l, "result", SPACE_REG, e->dtype, 0, NULL);
  fill(l, acc, block, identity);
  accumulate_loops(n, e, 0, acc, lane, block);
  lower_store(l, sum, NULL, 0, STORE_SET, identity);
  const Var *v = lower_var(l, "v", block);
  const Expr *at = ex_var(c, v);
  LowerMark mark;
  lower_for(l, v, LOOP_VECTOR, &mark);
  lower_accumulate(l, e->reduce.kind, sum, NULL, 0, ex_read(c, acc, &at, 1));
  lower_end(l, &mark);
  return ex_read(c, sum, NULL, 0);
}

static bool is_invariant(const Nest *n, const Expr *e) {
  return !n->lane || !expr_uses_var(n->c, e, n->lane);
}

bool vector_has_invariant(const Nest *n) {
  Outermost o = outermost(n->c, n->value);
  for (int i = 0; i < o.n; i++)
    if (is_invariant(n, o.e[i])) return true;
  return false;
}

// Computes reductions that do not depend on the lane before the loop over it.
static void hoist_invariants(Nest *n) {
  Outermost o = outermost(n->c, n->value);
  if (o.guarded) return;
  for (int i = 0; i < o.n; i++)
    if (is_invariant(n, o.e[i])) n->value = expr_replace(n->c, n->value, o.e[i], scalar_reduction(n, o.e[i]));
}

// ---- blocks of lanes ----------------------------------------------------------------------------------------

enum { UNROLL = 16 }; // iterations of a reduction that are written out: taps of a small window

static bool is_window(const Expr *e) {
  int64_t n = 1, k;
  for (int i = 0; i < e->reduce.nvars; i++) {
    if (!expr_is_const_int(e->reduce.vars[i]->extent, &k)) return false;
    n = mul_sat(n, k);
  }
  return n <= UNROLL;
}

static void reduce_block_loops(Nest *n, const Expr *e, int i, Value *acc, const Expr *from, int64_t count) {
  if (i == e->reduce.nvars) {
    accumulate(n->l, e->reduce.kind, acc, e->args[0], n->lane, from, count);
    return;
  }
  LowerMark mark;
  lower_for(n->l, e->reduce.vars[i], is_window(e) ? LOOP_UNROLL : LOOP_SERIAL, &mark);
  reduce_block_loops(n, e, i + 1, acc, from, count);
  lower_end(n->l, &mark);
}

// A reduction for each lane of the block: returns its accumulators; `lane` stands for the place in them.
static const Expr *reduce_block(Nest *n, const Expr *e, const Expr *from, int64_t count, const Expr *lane) {
  Lower *l = n->l;
  Value *acc = lower_alloc(l, "acc", SPACE_REG, e->dtype, 1, &count);
  fill(l, acc, count, reduce_identity(n->c, e->reduce.kind, e->dtype));
  reduce_block_loops(n, e, 0, acc, from, count);
  return ex_read(n->c, acc, &lane, 1);
}

static void store_nest(Nest *n, const Var *lane, const Expr *at, const Expr *value) {
  const Expr *index[MAX_PHYS_RANK];
  for (int i = 0; i < n->nindex; i++) index[i] = lane ? at_lane(n->c, n->index[i], lane, at) : n->index[i];
  lower_store(n->l, n->out, index, n->nindex, STORE_SET, value);
}

// Elements from .. from + count of the lane axis.
static void emit_block(Nest *n, const Expr *from, int64_t count) {
  Ctx *c = n->c;
  Lower *l = n->l;
  const Var *v = lower_var(l, "v", count);
  const Expr *lane = ex_var(c, v), *at = ex_add(c, from, lane), *value = n->value;
  Outermost o = outermost(c, value);
  for (int i = 0; i < o.n; i++)
    value = expr_replace(c, value, o.e[i], reduce_block(n, o.e[i], from, count, lane));
  LowerMark mark;
  lower_for(l, v, LOOP_VECTOR, &mark);
  store_nest(n, n->lane, at, at_lane(c, value, n->lane, at));
  lower_end(l, &mark);
}

// One element, with whatever its value holds.
static void emit_scalar(Nest *n, const Expr *at) {
  const Expr *value = n->lane ? at_lane(n->c, n->value, n->lane, at) : n->value;
  store_nest(n, n->lane, at, lower_value(n->l, value));
}

static void emit_scalars(Nest *n, const Expr *from, int64_t count) {
  const Var *t = lower_var(n->l, "t", count);
  LowerMark mark;
  lower_for(n->l, t, LOOP_SERIAL, &mark);
  emit_scalar(n, ex_add(n->c, from, ex_var(n->c, t)));
  lower_end(n->l, &mark);
}

// ---- ranges -------------------------------------------------------------------------------------------------

// A reduction inside a reduction, or one that a guard must keep from running, is done element by element.
static bool needs_scalars(const Nest *n) {
  Outermost o = outermost(n->c, n->value);
  return o.nested || o.guarded || o.many;
}

static void vector_range(Nest *n, const Expr *from, int64_t count) {
  Ctx *c = n->c;
  if (count <= 0) return;
  if (count == 1) {
    emit_scalar(n, from);
    return;
  }
  if (needs_scalars(n)) {
    emit_scalars(n, from, count);
    return;
  }
  int64_t full = count / n->block;
  if (full > 0) {
    const Expr *at;
    LowerMark mark;
    open_blocks(n->l, ex_idx(c, full), &at, &mark);
    emit_block(n, ex_add(c, from, ex_mul(c, at, ex_idx(c, n->block))), n->block);
    lower_end(n->l, &mark);
  }
  if (count % n->block) emit_block(n, ex_add(c, from, ex_idx(c, full * n->block)), count % n->block);
}

// The lane axis has a symbolic extent: whole blocks, then the rest one by one.
static void symbolic_range(Nest *n) {
  Ctx *c = n->c;
  const Expr *extent = n->lane->extent, *size = ex_idx(c, n->block);
  const Expr *full = ex_binary(c, E_FDIV, extent, size);
  LowerMark mark, inside;
  if (!needs_scalars(n)) {
    const Var *b = var_new(c, "b", full);
    lower_for(n->l, b, LOOP_SERIAL, &mark);
    emit_block(n, ex_mul(c, ex_var(c, b), size), n->block);
    lower_end(n->l, &mark);
    const Var *t = lower_var(n->l, "t", n->block);
    const Expr *at = ex_add(c, ex_mul(c, full, size), ex_var(c, t));
    lower_for(n->l, t, LOOP_SERIAL, &mark);
    lower_if(n->l, ex_binary(c, E_LT, at, extent), &inside);
    emit_scalar(n, at);
    lower_end(n->l, &inside);
    lower_end(n->l, &mark);
    return;
  }
  lower_for(n->l, n->lane, LOOP_SERIAL, &mark);
  emit_scalar(n, ex_var(c, n->lane));
  lower_end(n->l, &mark);
}

// The lane axis from cut to cut, each piece with its own variable, so that its range decides the guards.
static void cut_range(Nest *n, int64_t extent) {
  int64_t cut[MAX_CUTS + 1];
  int ncuts = guard_cuts(n, cut, MAX_CUTS);
  if (ncuts < 0) ncuts = 0;
  cut[ncuts] = extent;
  for (int i = 0; i <= ncuts; i++) {
    Nest piece = *n;
    int64_t from = i ? cut[i - 1] : 0;
    if (ncuts) {
      const Var *v = lower_var(n->l, n->lane->name, cut[i] - from);
      nest_subst(&piece, n->lane, ex_add(n->c, ex_idx(n->c, from), ex_var(n->c, v)));
      piece.lane = v;
    }
    vector_range(&piece, ex_idx(n->c, 0), cut[i] - from);
  }
}

// One of several parts of the lane axis; all but the last have the same size.
static void part_range(Nest *n, const LanePart *p, int64_t extent) {
  Ctx *c = n->c;
  int64_t full = extent / p->piece_size;
  const Expr *size = ex_idx(c, p->piece_size);
  if (full * p->piece_size == extent) {
    vector_range(n, ex_mul(c, p->piece, size), p->piece_size);
    return;
  }
  LowerMark mark;
  lower_if(n->l, ex_binary(c, E_LT, p->piece, ex_idx(c, full)), &mark);
  vector_range(n, ex_mul(c, p->piece, size), p->piece_size);
  lower_else(n->l, &mark);
  vector_range(n, ex_idx(c, full * p->piece_size), extent - full * p->piece_size);
  lower_end(n->l, &mark);
}

static void all_lanes(Nest *n, const LanePart *part) {
  int64_t extent;
  hoist_invariants(n);
  if (!n->lane)
    emit_scalar(n, NULL);
  else if (!expr_is_const_int(n->lane->extent, &extent))
    symbolic_range(n);
  else if (part && part->pieces)
    part_range(n, part, extent);
  else
    cut_range(n, extent);
}

// ---- conditions ---------------------------------------------------------------------------------------------

static void branch(Nest *n, const LanePart *part, const Expr *cond, Nest then, Nest otherwise) {
  LowerMark mark;
  lower_if(n->l, cond, &mark);
  vector_inner(&then, part);
  lower_else(n->l, &mark);
  vector_inner(&otherwise, part);
  lower_end(n->l, &mark);
}

void vector_inner(Nest *n, const LanePart *part) {
  Nest then = *n, otherwise = *n;
  then.depth = otherwise.depth = n->depth + 1;
  const Expr *cond = n->depth < MAX_DEPTH ? guard_outer(n, n->value) : NULL;
  if (cond) {
    then.value = guard_decide(n, n->value, cond, true);
    otherwise.value = guard_decide(n, n->value, cond, false);
    branch(n, part, cond, then, otherwise);
    return;
  }
  cond = n->border ? NULL : guard_interior(n, n->value, &then.value);
  if (!cond) {
    all_lanes(n, part);
    return;
  }
  then.border = otherwise.border = true;
  branch(n, part, cond, then, otherwise);
}
