// lower_emit.c: appending statements to a kernel's body.
// SPDX-License-Identifier: Apache-2.0
#include "passes/lower.h"

static Stmt *emit(Lower *l, StmtKind kind) {
  Stmt *s = NEW(l->c->arena, Stmt);
  s->kind = kind;
  s->loc = l->loc;
  *l->block.tail = s;
  l->block.tail = &s->next;
  return s;
}

static void enter(Lower *l, Stmt **body, LowerMark *mark) {
  mark->block = l->block;
  mark->inside = body != NULL;
  mark->scope = (LowerScope){.outer = l->scope};
  mark->outer = l->scope;
  l->scope = &mark->scope;
  if (body) l->block.tail = body;
}

void lower_begin(Lower *l, LowerMark *mark) {
  enter(l, NULL, mark);
}

void lower_end(Lower *l, LowerMark *mark) {
  if (mark->inside) l->block = mark->block;
  l->scope = mark->outer;
}

void lower_for(Lower *l, const Var *v, LoopKind kind, LowerMark *mark) {
  Stmt *s = emit(l, S_FOR);
  s->loop.var = v;
  s->loop.kind = kind;
  enter(l, &s->loop.body, mark);
}

void lower_if(Lower *l, const Expr *cond, LowerMark *mark) {
  Stmt *s = emit(l, S_IF);
  s->cond.cond = cond;
  enter(l, &s->cond.then, mark);
}

// The S_IF is the last statement before the mark's place.
void lower_else(Lower *l, LowerMark *mark) {
  Stmt *s = (Stmt *)(void *)((char *)mark->block.tail - offsetof(Stmt, next));
  mark->scope.done = (PtrMap){0};
  l->block.tail = &s->cond.otherwise;
}

Value *lower_alloc(Lower *l, const char *name, Space space, DType t, int rank, const int64_t *shape) {
  Value *v = value_new(l->c, name, type_make(t, rank, shape), l->loc);
  v->space = space;
  if (space == SPACE_SCRATCH) {
    v->offset = l->scratch;
    l->scratch = round_up(l->scratch + type_bytes(&v->type), 64);
  }
  emit(l, S_ALLOC)->alloc = v;
  return v;
}

void lower_store(Lower *l, Value *dst, const Expr *const *index, int n, StoreKind op, const Expr *value) {
  Stmt *s = emit(l, S_STORE);
  s->store.dst = dst;
  s->store.nindex = n;
  s->store.index = n ? arena_dup(l->c->arena, index, (size_t)n * sizeof *index) : NULL;
  s->store.op = op;
  s->store.value = value;
}

void lower_prefetch(Lower *l, Value *of, const Expr *at) {
  Stmt *s = emit(l, S_PREFETCH);
  s->prefetch.of = of;
  s->prefetch.at = at;
}

const Expr *lower_let(Lower *l, const char *name, const Expr *value) {
  if (value->nargs == 0 && value->op != E_READ) return value;
  Stmt *s = emit(l, S_LET);
  s->let.var = var_new_let(l->c, name, value->dtype, value);
  s->let.value = value;
  return ex_var(l->c, s->let.var);
}

const Var *lower_var(Lower *l, const char *name, int64_t extent) {
  return var_new(l->c, name, ex_idx(l->c, extent));
}

StoreKind reduce_store(ReduceKind k) {
  switch (k) {
  case R_SUM: return STORE_ADD;
  case R_PROD: return STORE_MUL;
  case R_MAX: return STORE_MAX;
  case R_MIN: return STORE_MIN;
  default: return STORE_SET;
  }
}

void lower_accumulate(Lower *l, ReduceKind k, Value *acc, const Expr *const *index, int n,
                      const Expr *value) {
  StoreKind op = reduce_store(k);
  if (op == STORE_SET || value->dtype == DT_BOOL) {
    value = reduce_combine(l->c, k, ex_read(l->c, acc, index, n), value);
    op = STORE_SET;
  }
  lower_store(l, acc, index, n, op, value);
}
