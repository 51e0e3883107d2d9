// kernel_key.c: a number for what a kernel computes, by which a tuning database knows it again.
// SPDX-License-Identifier: Apache-2.0
//
// Of a kernel counts what schedules depend on: the stages' expressions, the types of operands and results, the layouts
// of those that are no constants (a constant's layout is part of the schedule). Names, constants' values and the
// numbers of variables do not count. Where two operands of + or * stand depends on the age of variables, hence the
// sums over what commutes.
#include "passes/internal.h"

typedef struct Keys {
  Ctx *c;
  const Node *n;
  PtrMap exprs; // Expr -> its hash, boxed
  PtrMap vars;  // Var -> its hash, boxed
} Keys;

static uint64_t mix(uint64_t h, uint64_t x) {
  uint64_t pair[2] = {h, x};
  return hash_bytes(pair, sizeof pair);
}

static void put(Keys *k, PtrMap *m, const void *key, uint64_t hash) {
  ptr_put(k->c->arena, m, key, arena_dup(k->c->arena, &hash, sizeof hash));
}

static uint64_t get(const PtrMap *m, const void *key) {
  const uint64_t *hash = ptr_get(m, key);
  return hash ? *hash : 0;
}

static uint64_t expr_key(Keys *k, const Expr *e);

// ---- operands and results -------------------------------------------------------------------------------------------

static uint64_t layout_key(const Layout *l) {
  uint64_t h = 1;
  for (int i = 0; l && i < l->n; i++) {
    const LayoutPart *p = &l->part[i];
    int64_t fields[] = {p->dim, p->div, p->mod, p->pad, p->pad_after, p->room};
    h = mix(h, hash_bytes(fields, sizeof fields));
  }
  return h;
}

static uint64_t type_key(Keys *k, const Type *t) {
  uint64_t h = mix(hash_bytes(dtype_name(t->dtype), strlen(dtype_name(t->dtype))), (uint64_t)t->rank);
  for (int i = 0; i < t->rank; i++)
    h = mix(h, t->dim[i].sym ? expr_key(k, t->dim[i].sym) : (uint64_t)t->dim[i].n);
  return h;
}

static uint64_t position(Value *const *list, int n, const Value *v, uint64_t base) {
  for (int i = 0; i < n; i++)
    if (list[i] == v) return base + (uint64_t)i;
  return 0;
}

static uint64_t value_key(Keys *k, const Value *v) {
  const Node *n = k->n;
  const Kernel *kernel = n->kernel;
  uint64_t at = position(n->in, n->nin, v, 1 << 20);
  if (!at) at = position(n->out, n->nout, v, 2 << 20);
  if (!at) at = position(kernel->locals.data, kernel->locals.n, v, 3 << 20);
  return mix(mix(at, type_key(k, &v->type)), v->data ? 0 : layout_key(v->layout));
}

// ---- expressions ------------------------------------------------------------------------------------------------

static bool commutes(ExprOp op) {
  return op == E_ADD || op == E_MUL || op == E_MIN || op == E_MAX || op == E_AND || op == E_OR ||
         op == E_XOR || op == E_EQ || op == E_NE;
}

static uint64_t payload(Keys *k, const Expr *e) {
  switch (e->op) {
  case E_CONST: return hash_bytes(&e->int_value, sizeof e->int_value); // a float's bits are as good
  case E_VAR: return get(&k->vars, e->var);
  case E_SYM: return mix((uint64_t)e->sym->min, (uint64_t)e->sym->max);
  case E_READ: return value_key(k, e->value);
  case E_REDUCE: return mix((uint64_t)e->reduce.kind, (uint64_t)e->reduce.nvars);
  default: return 0;
  }
}

static bool hash_expr(const Expr *e, void *data) {
  Keys *k = data;
  if (ptr_get(&k->exprs, e)) return true;
  const char *op = expr_op_name(e->op), *type = dtype_name(e->dtype);
  uint64_t h = mix(hash_bytes(op, strlen(op)), hash_bytes(type, strlen(type))), sum = 0;
  h = mix(h, payload(k, e));
  for (int i = 0; i < e->nargs; i++) {
    uint64_t arg = get(&k->exprs, e->args[i]);
    if (commutes(e->op))
      sum += mix(arg, 1);
    else
      h = mix(h, arg);
  }
  put(k, &k->exprs, e, mix(h, sum));
  return true;
}

static uint64_t expr_key(Keys *k, const Expr *e) {
  expr_visit(k->c, e, hash_expr, k);
  return get(&k->exprs, e);
}

static void name_var(Keys *k, const Var *v, uint64_t at) {
  put(k, &k->vars, v, mix(at, expr_key(k, v->extent)));
}

static bool name_reduced(const Expr *e, void *data) {
  Keys *k = data;
  for (int i = 0; e->op == E_REDUCE && i < e->reduce.nvars; i++)
    if (!ptr_get(&k->vars, e->reduce.vars[i])) name_var(k, e->reduce.vars[i], (1 << 20) + (uint64_t)i);
  return true;
}

static uint64_t stage_key(Keys *k, const Stage *s) {
  for (int i = 0; i < s->ndims; i++) name_var(k, s->dims[i], (uint64_t)i + 1);
  expr_visit(k->c, s->value, name_reduced, k);
  uint64_t h = mix(value_key(k, s->out), mix((uint64_t)s->store, (uint64_t)s->at));
  for (int i = 0; i < s->ndims; i++) h = mix(h, get(&k->vars, s->dims[i]));
  for (int i = 0; s->index && i < s->out->type.rank; i++) h = mix(h, expr_key(k, s->index[i]));
  return mix(h, expr_key(k, s->value));
}

uint64_t kernel_key(Ctx *c, const Node *n) {
  Keys k = {.c = c, .n = n};
  uint64_t h = 1;
  for (int i = 0; i < n->kernel->stages.n; i++) h = mix(h, stage_key(&k, &n->kernel->stages.data[i]));
  return h;
}
