// nest.c: building loop nests from the outside in.
// SPDX-License-Identifier: Apache-2.0
#include "passes/nest.h"

Nest nest_at(Ctx *c, Stmt **head, Loc loc) {
  *head = NULL;
  return (Nest){c, head, loc};
}

static Stmt *append(Nest *n, StmtKind kind) {
  Stmt *s = NEW(n->ctx->arena, Stmt);
  s->kind = kind;
  s->loc = n->loc;
  while (*n->tail) n->tail = &(*n->tail)->next; // a copy of this place may have appended
  *n->tail = s;
  n->tail = &s->next;
  return s;
}

Nest nest_for(Nest *n, LoopKind kind, const char *name, const Expr *extent, const Expr **index) {
  int64_t k;
  if (expr_is_const_int(extent, &k) && k == 1 && kind != LOOP_VECTOR) {
    if (index) *index = ex_idx(n->ctx, 0);
    return *n;
  }
  Stmt *s = append(n, S_FOR);
  s->loop.var = var_new(n->ctx, name, extent);
  s->loop.kind = kind;
  if (index) *index = ex_var(n->ctx, s->loop.var);
  return (Nest){n->ctx, &s->loop.body, n->loc};
}

Nest nest_for_n(Nest *n, LoopKind kind, const char *name, int64_t extent, const Expr **index) {
  return nest_for(n, kind, name, ex_idx(n->ctx, extent), index);
}

Nest nest_if(Nest *n, const Expr *cond) {
  int64_t k;
  if (expr_is_const_int(cond, &k)) {
    if (k) return *n;
    Stmt **nowhere = NEW(n->ctx->arena, Stmt *);
    return (Nest){n->ctx, nowhere, n->loc};
  }
  Stmt *s = append(n, S_IF);
  s->cond.cond = cond;
  return (Nest){n->ctx, &s->cond.then, n->loc};
}

void nest_store(Nest *n, Value *dst, const Expr *const *index, int nindex, StoreKind op, const Expr *value) {
  Stmt *s = append(n, S_STORE);
  s->store.dst = dst;
  s->store.nindex = nindex;
  s->store.index = arena_dup(n->ctx->arena, index, (size_t)nindex * sizeof *index);
  s->store.op = op;
  s->store.value = value;
}

void nest_store_at(Nest *n, Value *dst, const Expr *const *logical, StoreKind op, const Expr *value) {
  const Expr *index[MAX_PHYS_RANK];
  int k = layout_index(n->ctx, dst->layout, &dst->type, logical, index);
  nest_store(n, dst, index, k, op, value);
}

const Expr *nest_let(Nest *n, const char *name, const Expr *value) {
  if (value->nargs == 0) return value;
  Stmt *s = append(n, S_LET);
  s->let.var = var_new_let(n->ctx, name, value->dtype);
  s->let.value = value;
  return ex_var(n->ctx, s->let.var);
}

Value *nest_alloc(Nest *n, const char *name, DType t, Space space, const int64_t *dims, int rank) {
  Value *v = value_new(n->ctx, name, type_make(t, rank, dims), n->loc);
  v->space = space;
  append(n, S_ALLOC)->alloc = v;
  return v;
}

static const Expr *physical_read(Ctx *c, const Expr *e, void *data) {
  (void)data;
  if (e->op != E_READ || !e->value->layout) return e;
  const Expr *index[MAX_PHYS_RANK];
  int n = layout_index(c, e->value->layout, &e->value->type, e->args, index);
  return ex_read(c, e->value, index, n);
}

const Expr *nest_physical(Ctx *c, const Expr *e) {
  return expr_rewrite(c, e, physical_read, NULL);
}
