// expr_walk.c: visiting, rewriting and substituting in expression DAGs, without recursion.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"

void expr_postorder(Ctx *c, Memo *m, const Expr *e) {
  if (memo_get(m, e)) return;
  memo_put(c, m, e, e);
  vec_push(c->arena, &m->stack, ((WalkFrame){e, 0}));
  while (m->stack.n) {
    WalkFrame *f = &m->stack.data[m->stack.n - 1];
    if (f->next == f->e->nargs) {
      vec_push(c->arena, &m->order, f->e);
      m->stack.n--;
      continue;
    }
    const Expr *arg = f->e->args[f->next++];
    if (memo_get(m, arg)) continue;
    memo_put(c, m, arg, arg);
    vec_push(c->arena, &m->stack, ((WalkFrame){arg, 0}));
  }
}

bool expr_visit(Ctx *c, const Expr *e, bool (*fn)(const Expr *e, void *data), void *data) {
  Memo *m = memo_take(c);
  expr_postorder(c, m, e);
  bool go = true;
  for (int i = 0; i < m->order.n && go; i++) go = fn(m->order.data[i], data);
  memo_give(c, m);
  return go;
}

// e with its arguments as the memo has them.
static const Expr *with_memo_args(Ctx *c, Memo *m, const Expr *e) {
  const Expr *few[8], **args = few;
  if (e->nargs > ARRAY_LEN(few)) args = NEW_ARRAY(c->arena, const Expr *, e->nargs);
  bool changed = false;
  for (int i = 0; i < e->nargs; i++) {
    args[i] = memo_get(m, e->args[i]);
    changed |= args[i] != e->args[i];
  }
  return changed ? ex_with_args(c, e, args) : e;
}

const Expr *expr_rewrite(Ctx *c, const Expr *e, ExprFn fn, void *data) {
  Memo *m = memo_take(c);
  expr_postorder(c, m, e);
  for (int i = 0; i < m->order.n; i++) {
    const Expr *old = m->order.data[i], *now = fn(c, with_memo_args(c, m, old), data);
    if (now != old) memo_put(c, m, old, now);
  }
  const Expr *r = memo_get(m, e);
  memo_give(c, m);
  return r;
}

typedef struct Replace {
  const Expr *what, *by;
} Replace;

static const Expr *replace_node(Ctx *c, const Expr *e, void *data) {
  (void)c;
  const Replace *r = data;
  return e == r->what ? r->by : e;
}

const Expr *expr_replace(Ctx *c, const Expr *e, const Expr *what, const Expr *by) {
  return expr_rewrite(c, e, replace_node, &(Replace){what, by});
}

// ---- substitution ---------------------------------------------------------------------------------------

typedef struct Subst {
  const Var *const *vars;
  const Expr *const *with;
  int n;
} Subst;

// e, a reduction, with extents substituted. Variables whose extent changes (all, if `renew`) are replaced by
// new ones, in the body too.
static const Expr *subst_reduce(Ctx *c, const Expr *e, const Subst *s, bool renew) {
  int n = e->reduce.nvars;
  const Var **vars = NEW_ARRAY(c->arena, const Var *, n);
  const Expr **with = NEW_ARRAY(c->arena, const Expr *, n);
  bool changed = false;
  for (int i = 0; i < n; i++) {
    const Var *old = e->reduce.vars[i];
    const Expr *extent = s ? expr_subst(c, old->extent, s->vars, s->with, s->n) : old->extent;
    extent = expr_subst(c, extent, e->reduce.vars, with, i);
    bool same = extent == old->extent && !renew;
    vars[i] = same ? old : var_new(c, old->name, extent);
    with[i] = ex_var(c, vars[i]);
    changed |= !same;
  }
  if (!changed) return e;
  const Expr *body = expr_subst(c, e->args[0], e->reduce.vars, with, n);
  return ex_reduce(c, e->reduce.kind, vars, n, body);
}

static const Expr *subst_node(Ctx *c, const Expr *e, void *data) {
  const Subst *s = data;
  if (e->op == E_REDUCE) return subst_reduce(c, e, s, false);
  if (e->op != E_VAR) return e;
  for (int i = 0; i < s->n; i++)
    if (s->vars[i] == e->var) return s->with[i];
  return e;
}

const Expr *expr_subst(Ctx *c, const Expr *e, const Var *const *vars, const Expr *const *with, int n) {
  if (n == 0 || e->op == E_CONST) return e;
  return expr_rewrite(c, e, subst_node, &(Subst){vars, with, n});
}

static const Expr *fresh_node(Ctx *c, const Expr *e, void *data) {
  (void)data;
  return e->op == E_REDUCE ? subst_reduce(c, e, NULL, true) : e;
}

const Expr *expr_fresh(Ctx *c, const Expr *e) {
  return expr_rewrite(c, e, fresh_node, NULL);
}

// ---- questions ------------------------------------------------------------------------------------------

typedef struct VarQuery {
  Ctx *ctx;
  const Var *var;
} VarQuery;

static bool lacks_var(const Expr *e, void *data) {
  const VarQuery *q = data;
  if (e->op == E_VAR) return e->var != q->var;
  if (e->op != E_REDUCE) return true;
  for (int i = 0; i < e->reduce.nvars; i++)
    if (expr_uses_var(q->ctx, e->reduce.vars[i]->extent, q->var)) return false;
  return true;
}

bool expr_uses_var(Ctx *c, const Expr *e, const Var *v) {
  if (e->op == E_CONST) return false;
  return !expr_visit(c, e, lacks_var, &(VarQuery){c, v});
}

typedef struct ReadQuery {
  const Value *value;
  int count;
} ReadQuery;

static bool count_read(const Expr *e, void *data) {
  ReadQuery *q = data;
  q->count += e->op == E_READ && e->value == q->value;
  return true;
}

int expr_reads(Ctx *c, const Expr *e, const Value *v) {
  ReadQuery q = {v, 0};
  expr_visit(c, e, count_read, &q);
  return q.count;
}
