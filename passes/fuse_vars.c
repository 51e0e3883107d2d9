// fuse_vars.c: gives every kernel variables of its own.
// SPDX-License-Identifier: Apache-2.0
//
// Fusion leaves variables in several kernels, and their ages as the order in which groups came about. A text tells the
// ages within each kernel, no more: what merges kernels later would sort their terms in another way after reading it.
// So variables are made anew, kernel by kernel as they stand, in each by age; that changes nothing within a kernel. They get
// the names that a text would tell them apart by: loops are named after them.
#include "passes/fuse.h"

#include <stdlib.h>

typedef struct Renewal {
  Ctx *c;
  Map *taken; // names
  PtrMap now; // variables as they were -> those that take their place
  Vec(const Var *) old;
} Renewal;

static void note_var(Renewal *r, const Var *v) {
  if (ptr_get(&r->now, v)) return;
  ptr_put(r->c->arena, &r->now, v, (void *)v);
  vec_push(r->c->arena, &r->old, v);
}

static bool note_bound(const Expr *e, void *data) {
  for (int i = 0; e->op == E_REDUCE && i < e->reduce.nvars; i++) note_var(data, e->reduce.vars[i]);
  return true;
}

static int by_age(const void *a, const void *b) {
  return (*(const Var *const *)a)->id - (*(const Var *const *)b)->id;
}

// Symbols stand beside variables.
static Map *symbol_names(const Module *m) {
  Map *names = map_new(m->ctx->arena);
  for (int i = 0; i < m->syms.n; i++) map_put(names, m->syms.data[i]->name, m->syms.data[i]);
  return names;
}

static const char *own_name(Renewal *r, const Var *v) {
  const char *name = v->name;
  size_t n = strlen(name);
  const char *gap = n && name[n - 1] >= '0' && name[n - 1] <= '9' ? "_" : "";
  for (int i = 1; map_get(r->taken, name); i++) name = arena_printf(r->c->arena, "%s%s%d", v->name, gap, i);
  map_put(r->taken, name, r);
  return name;
}

static void make_vars(Renewal *r) {
  if (r->old.n) qsort(r->old.data, (size_t)r->old.n, sizeof *r->old.data, by_age);
  const Expr **with = NEW_ARRAY(r->c->arena, const Expr *, r->old.n);
  for (int i = 0; i < r->old.n; i++) {
    const Var *v = r->old.data[i];
    Var *own = var_new(r->c, own_name(r, v), expr_subst(r->c, v->extent, r->old.data, with, i));
    with[i] = ex_var(r->c, own);
    ptr_put(r->c->arena, &r->now, v, own);
  }
}

static const Expr *renew_bound(Ctx *c, const Expr *e, void *data) {
  Renewal *r = data;
  if (e->op != E_REDUCE) return e;
  int n = e->reduce.nvars;
  const Var **vars = NEW_ARRAY(c->arena, const Var *, n);
  const Expr **with = NEW_ARRAY(c->arena, const Expr *, n);
  for (int i = 0; i < n; i++) {
    vars[i] = ptr_get(&r->now, e->reduce.vars[i]);
    with[i] = ex_var(c, vars[i]);
  }
  return ex_reduce(c, e->reduce.kind, vars, n, expr_subst(c, e->args[0], e->reduce.vars, with, n));
}

static const Expr *renewed(Renewal *r, const Expr *e, const Stage *s, const Expr *const *dims) {
  return expr_subst(r->c, expr_rewrite(r->c, e, renew_bound, r), s->dims, dims, s->ndims);
}

static void renew_stage(Renewal *r, Stage *s) {
  const Expr **dims = NEW_ARRAY(r->c->arena, const Expr *, s->ndims);
  const Expr **index = NEW_ARRAY(r->c->arena, const Expr *, MAX_RANK);
  const Var **vars = NEW_ARRAY(r->c->arena, const Var *, s->ndims);
  for (int i = 0; i < s->ndims; i++) {
    vars[i] = ptr_get(&r->now, s->dims[i]);
    dims[i] = ex_var(r->c, vars[i]);
  }
  s->value = renewed(r, s->value, s, dims);
  for (int i = 0; s->index && i < s->out->type.rank; i++) index[i] = renewed(r, s->index[i], s, dims);
  if (s->index) s->index = index;
  s->dims = vars;
}

void kernel_own_vars(const Module *m, Kernel *k) {
  Ctx *c = m->ctx;
  Renewal r = {.c = c, .taken = symbol_names(m)};
  for (int i = 0; i < k->stages.n; i++) {
    const Stage *s = &k->stages.data[i];
    for (int d = 0; d < s->ndims; d++) note_var(&r, s->dims[d]);
    expr_visit(c, s->value, note_bound, &r);
    for (int d = 0; s->index && d < s->out->type.rank; d++) expr_visit(c, s->index[d], note_bound, &r);
  }
  make_vars(&r);
  for (int i = 0; i < k->stages.n; i++) renew_stage(&r, &k->stages.data[i]);
}

void fuse_own_vars(Graph *g) {
  for (Node *n = g->first; n; n = n->next) {
    if (n->kernel) kernel_own_vars(g->module, n->kernel);
    for (int i = 0; i < n->nregions; i++) fuse_own_vars(n->region[i]);
  }
}
