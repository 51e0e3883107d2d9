// clone.c: copies loops into another Ctx, so that threads can simplify them side by side.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

// ---- pointer maps -----------------------------------------------------------------------------------------

static size_t ptr_hash(const void *p) {
  return (size_t)(((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15ull >> 20);
}

// The entry of key, or the empty one where it would go.
static int find(const PMap *m, const void *key) {
  size_t i = ptr_hash(key);
  for (;; i++) {
    int at = (int)(i & (size_t)(m->cap - 1));
    if (!m->keys[at] || m->keys[at] == key) return at;
  }
}

void *pmap_get(const PMap *m, const void *key) {
  if (m->cap == 0) return NULL;
  int at = find(m, key);
  return m->keys[at] ? m->values[at] : NULL;
}

static void grow(PMap *m) {
  PMap old = *m;
  m->cap = old.cap ? 2 * old.cap : 64;
  m->keys = NEW_ARRAY(m->arena, const void *, m->cap);
  m->values = NEW_ARRAY(m->arena, void *, m->cap);
  for (int i = 0; i < old.cap; i++) {
    if (!old.keys[i]) continue;
    int at = find(m, old.keys[i]);
    m->keys[at] = old.keys[i];
    m->values[at] = old.values[i];
  }
}

void pmap_put(PMap *m, const void *key, void *value) {
  if (2 * (m->n + 1) > m->cap) grow(m);
  int at = find(m, key);
  m->n += !m->keys[at];
  m->keys[at] = key;
  m->values[at] = value;
}

// ---- cloning ----------------------------------------------------------------------------------------------

Clone clone_new(Ctx *to, bool canonical) {
  PMap empty = {.arena = to->arena};
  return (Clone){.ctx = to, .exprs = empty, .vars = empty, .values = empty, .canonical = canonical};
}

static const Var *clone_var(Clone *k, const Var *v) {
  Var *copy = pmap_get(&k->vars, v);
  if (copy) return copy;
  const char *name = k->canonical ? arena_printf(k->ctx->arena, "v%d", k->vars.n) : v->name;
  copy = v->extent ? var_new(k->ctx, name, clone_expr(k, v->extent))
                   : var_new_let(k->ctx, name, v->dtype, v->value ? clone_expr(k, v->value) : NULL);
  pmap_put(&k->vars, v, copy);
  return copy;
}

Value *clone_value(Clone *k, const Value *v) {
  Value *copy = pmap_get(&k->values, v);
  if (copy) return copy;
  const char *name = k->canonical ? arena_printf(k->ctx->arena, "b%d", k->values.n) : v->name;
  copy = value_new(k->ctx, name, v->type, k->canonical ? NO_LOC : v->loc);
  for (int i = 0; i < v->type.rank; i++)
    if (v->type.dim[i].sym) copy->type.dim[i].sym = clone_expr(k, v->type.dim[i].sym);
  copy->layout = v->layout;
  copy->space = v->space;
  copy->offset = v->offset;
  pmap_put(&k->values, v, copy);
  return copy;
}

static const Expr *clone_reduce(Clone *k, const Expr *e) {
  const Var **vars = NEW_ARRAY(k->ctx->arena, const Var *, e->reduce.nvars);
  for (int i = 0; i < e->reduce.nvars; i++) vars[i] = clone_var(k, e->reduce.vars[i]);
  return ex_reduce(k->ctx, e->reduce.kind, vars, e->reduce.nvars, clone_expr(k, e->args[0]));
}

static const Expr *clone_node(Clone *k, const Expr *e) {
  Ctx *c = k->ctx;
  switch (e->op) {
  case E_CONST:
    return dtype_is_float(e->dtype) ? ex_float(c, e->dtype, e->float_value)
                                    : ex_int(c, e->dtype, e->int_value);
  case E_VAR: return ex_var(c, clone_var(k, e->var));
  case E_SYM: return ex_sym(c, e->sym);
  case E_REDUCE: return clone_reduce(k, e);
  default: break;
  }
  const Expr **args = NEW_ARRAY(c->arena, const Expr *, e->nargs);
  for (int i = 0; i < e->nargs; i++) args[i] = clone_expr(k, e->args[i]);
  switch (e->op) {
  case E_READ: return ex_read(c, clone_value(k, e->value), args, e->nargs);
  case E_CAST: return ex_cast(c, e->dtype, args[0]);
  case E_BITCAST: return ex_bitcast(c, e->dtype, args[0]);
  default: break;
  }
  if (e->nargs == 1) return ex_unary(c, e->op, args[0]);
  if (e->nargs == 2) return ex_binary(c, e->op, args[0], args[1]);
  return ex_ternary(c, e->op, args[0], args[1], args[2]);
}

const Expr *clone_expr(Clone *k, const Expr *e) {
  const Expr *copy = pmap_get(&k->exprs, e);
  if (copy) return copy;
  copy = clone_node(k, e);
  pmap_put(&k->exprs, e, (void *)copy);
  return copy;
}

static void clone_store(Clone *k, const Stmt *s, Stmt *to) {
  const Expr **index = NEW_ARRAY(k->ctx->arena, const Expr *, s->store.nindex);
  for (int i = 0; i < s->store.nindex; i++) index[i] = clone_expr(k, s->store.index[i]);
  to->store.dst = clone_value(k, s->store.dst);
  to->store.nindex = s->store.nindex;
  to->store.index = index;
  to->store.op = s->store.op;
  to->store.value = clone_expr(k, s->store.value);
}

static Stmt *clone_one(Clone *k, const Stmt *s) {
  Stmt *to = NEW(k->ctx->arena, Stmt);
  to->kind = s->kind;
  if (!k->canonical) to->loc = s->loc;
  if (!k->canonical) to->line = s->line;
  switch (s->kind) {
  case S_FOR:
    to->loop.var = clone_var(k, s->loop.var);
    to->loop.kind = s->loop.kind;
    to->loop.body = clone_stmt(k, s->loop.body);
    break;
  case S_STORE: clone_store(k, s, to); break;
  case S_LET:
    to->let.value = clone_expr(k, s->let.value);
    to->let.var = clone_var(k, s->let.var);
    break;
  case S_IF:
    to->cond.cond = clone_expr(k, s->cond.cond);
    to->cond.then = clone_stmt(k, s->cond.then);
    to->cond.otherwise = clone_stmt(k, s->cond.otherwise);
    break;
  case S_ALLOC: to->alloc = clone_value(k, s->alloc); break;
  case S_PREFETCH:
    to->prefetch.of = clone_value(k, s->prefetch.of);
    to->prefetch.at = clone_expr(k, s->prefetch.at);
    break;
  }
  return to;
}

Stmt *clone_stmt(Clone *k, const Stmt *s) {
  Stmt *first = NULL, **link = &first;
  for (; s; s = s->next) {
    *link = clone_one(k, s);
    link = &(*link)->next;
  }
  return first;
}
