// lower_value.c: from a stage's expression to what one statement can compute: physical reads, reductions as
// loops into accumulators.
// SPDX-License-Identifier: Apache-2.0
#include "passes/lower.h"

int lower_index(Lower *l, const Value *v, const Expr *const *index, const Expr **out) {
  const LocalBuffer *local = ptr_get(&l->locals, v);
  int n = v->type.rank;
  if (local) {
    for (int i = local->dropped; i < n; i++) out[i - local->dropped] = index[i];
    return n - local->dropped;
  }
  if (v->layout) return layout_index(l->c, v->layout, &v->type, index, out);
  for (int i = 0; i < n; i++) out[i] = index[i];
  return n;
}

Value *lower_storage(Lower *l, Value *v) {
  const LocalBuffer *local = ptr_get(&l->locals, v);
  return local ? local->storage : v;
}

const Expr *lower_read(Lower *l, const Expr *e) {
  if (l->physical) return e;
  const Expr *index[MAX_PHYS_RANK];
  int n = lower_index(l, e->value, e->args, index);
  return ex_read(l->c, lower_storage(l, e->value), index, n);
}

// ---- expressions without reductions -------------------------------------------------------------------------

static const Expr *read_physically(Ctx *c, const Expr *e, void *data) {
  (void)c;
  return e->op == E_READ ? lower_read(data, e) : e;
}

const Expr *lower_reads(Lower *l, const Expr *e) {
  return expr_rewrite(l->c, e, read_physically, l);
}

// ---- reductions as loops ------------------------------------------------------------------------------------

static const Expr *find_done(const Lower *l, const Expr *e) {
  for (const LowerScope *s = l->scope; s; s = s->outer) {
    const Expr *r = ptr_get(&s->done, e);
    if (r) return r;
  }
  return NULL;
}

static void remember(Lower *l, const Expr *e, const Expr *r) {
  ptr_put(l->c->arena, &l->scope->done, e, (void *)r);
}

// Loops over the variables around acc = acc op body.
static void reduce_loops(Lower *l, const Expr *e, int i, Value *acc) {
  if (i == e->reduce.nvars) {
    lower_accumulate(l, e->reduce.kind, acc, NULL, 0, lower_value(l, e->args[0]));
    return;
  }
  LowerMark mark;
  lower_for(l, e->reduce.vars[i], LOOP_SERIAL, &mark);
  reduce_loops(l, e, i + 1, acc);
  lower_end(l, &mark);
}

static const Expr *lower_reduce_expr(Lower *l, const Expr *e) {
  Value *acc = lower_alloc(l, "acc", SPACE_REG, e->dtype, 0, NULL);
  lower_store(l, acc, NULL, 0, STORE_SET, reduce_identity(l->c, e->reduce.kind, e->dtype));
  reduce_loops(l, e, 0, acc);
  return ex_read(l->c, acc, NULL, 0);
}

// A guard around a reduction: the branch must be taken before the loops read anything.
static const Expr *lower_guard(Lower *l, const Expr *e) {
  const Expr *cond = lower_value(l, e->args[0]);
  Value *r = lower_alloc(l, "branch", SPACE_REG, e->dtype, 0, NULL);
  LowerMark mark;
  lower_if(l, cond, &mark);
  lower_store(l, r, NULL, 0, STORE_SET, lower_value(l, e->args[1]));
  lower_else(l, &mark);
  lower_store(l, r, NULL, 0, STORE_SET, lower_value(l, e->args[2]));
  lower_end(l, &mark);
  return ex_read(l->c, r, NULL, 0);
}

static const Expr *lower_args(Lower *l, const Expr *e) {
  const Expr **args = NEW_ARRAY(l->c->arena, const Expr *, e->nargs);
  for (int i = 0; i < e->nargs; i++) args[i] = lower_value(l, e->args[i]);
  return ex_with_args(l->c, e, args);
}

const Expr *lower_value(Lower *l, const Expr *e) {
  if (!expr_has(l->c, e, E_REDUCE)) return lower_reads(l, e);
  const Expr *r = find_done(l, e);
  if (r) return r;
  if (e->op == E_REDUCE)
    r = lower_reduce_expr(l, e);
  else if (e->op == E_GUARD)
    r = lower_guard(l, e);
  else
    r = lower_args(l, e);
  if (e->op == E_READ) r = lower_read(l, r);
  remember(l, e, r);
  return r;
}

// ---- stages -------------------------------------------------------------------------------------------------

enum { STACK_BYTES = 16384 }; // larger locals go to scratch memory

void lower_locals(Lower *l, int at) {
  for (int i = 0; i < l->k->locals.n; i++) {
    Value *v = l->k->locals.data[i];
    int64_t shape[MAX_RANK];
    int rank = v->type.rank - at;
    for (int d = 0; d < rank; d++) shape[d] = v->type.dim[at + d].n;
    Type t = type_make(v->type.dtype, rank, shape);
    int64_t bytes = type_bytes(&t);
    Space space = type_elements(&t) == 1 ? SPACE_REG : bytes <= STACK_BYTES ? SPACE_STACK : SPACE_SCRATCH;
    LocalBuffer *b = NEW(l->c->arena, LocalBuffer);
    b->storage = lower_alloc(l, v->name, space, v->type.dtype, rank, shape);
    b->dropped = at;
    ptr_put(l->c->arena, &l->locals, v, b);
  }
}

void lower_stage_store(Lower *l, const Stage *s, const Expr *const *index, const Expr *value) {
  const Expr *at[MAX_PHYS_RANK];
  int n = lower_index(l, s->out, index, at);
  lower_store(l, lower_storage(l, s->out), at, n, s->store, value);
}
