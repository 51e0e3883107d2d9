// vector_guard.c: the conditions of guards: which can be tested outside, where they change along the lanes.
// SPDX-License-Identifier: Apache-2.0
#include "passes/vector.h"

enum { MAX_CONJUNCTS = 16 };

// ---- inner variables ----------------------------------------------------------------------------------------

typedef struct Inner {
  Ctx *c;
  const Var *v[4 * MAX_AXES];
  int n;
} Inner;

static bool add_reduction_vars(const Expr *e, void *data) {
  Inner *in = data;
  if (e->op != E_REDUCE) return true;
  for (int i = 0; i < e->reduce.nvars && in->n < ARRAY_LEN(in->v); i++) in->v[in->n++] = e->reduce.vars[i];
  return true;
}

// What varies inside the outer axes: the lane and every reduction's variables.
static Inner inner_vars(const Nest *n, const Expr *value) {
  Inner in = {.c = n->c};
  if (n->lane) in.v[in.n++] = n->lane;
  expr_visit(n->c, value, add_reduction_vars, &in);
  return in;
}

static bool depends(const Inner *in, const Expr *e) {
  for (int i = 0; i < in->n; i++)
    if (expr_uses_var(in->c, e, in->v[i])) return true;
  return false;
}

// Does e read memory or hold a reduction? Such conditions stay where they are.
static bool is_plain_condition(Ctx *c, const Expr *e) {
  return !expr_has(c, e, E_READ) && !expr_has(c, e, E_REDUCE);
}

// ---- deciding -----------------------------------------------------------------------------------------------

typedef struct Decide {
  const Expr *cond;
  bool holds;
} Decide;

static const Expr *decide(Ctx *c, const Expr *e, void *data) {
  const Decide *d = data;
  return e == d->cond ? ex_bool(c, d->holds) : e;
}

const Expr *guard_decide(const Nest *n, const Expr *value, const Expr *cond, bool holds) {
  Decide d = {cond, holds};
  value = expr_rewrite(n->c, value, decide, &d);
  return expr_assume(n->c, value, holds ? cond : ex_unary(n->c, E_NOT, cond));
}

// ---- conditions on outer axes -------------------------------------------------------------------------------

typedef struct Search {
  const Nest *n;
  Inner inner;
  const Expr *found;
} Search;

static bool find_outer(const Expr *e, void *data) {
  Search *s = data;
  if (e->op != E_GUARD) return true;
  const Expr *part[MAX_CONJUNCTS];
  int n = expr_conjuncts(e->args[0], part, MAX_CONJUNCTS);
  for (int i = 0; i < n; i++) {
    if (part[i]->op == E_CONST || depends(&s->inner, part[i]) || !is_plain_condition(s->n->c, part[i]))
      continue;
    s->found = part[i];
    return false;
  }
  return true;
}

const Expr *guard_outer(const Nest *n, const Expr *value) {
  Search s = {n, inner_vars(n, value), NULL};
  expr_visit(n->c, value, find_outer, &s);
  return s.found;
}

// ---- interiors ----------------------------------------------------------------------------------------------

// A comparison a < b or a <= b as b - a > 0 (or b - a + 1 > 0); NULL for anything else.
static const Expr *margin(Ctx *c, const Expr *e) {
  if ((e->op != E_LT && e->op != E_LE) || e->args[0]->dtype != DT_I64) return NULL;
  const Expr *d = ex_sub(c, e->args[1], e->args[0]);
  return e->op == E_LE ? ex_add(c, d, ex_idx(c, 1)) : d;
}

// The least of e over the inner variables, as an expression of the outer ones; NULL if e is not affine in them.
static const Expr *least(const Inner *in, const Expr *e) {
  Ctx *c = in->c;
  for (int i = 0; i < in->n; i++) {
    int64_t k, n;
    const Expr *rest;
    if (!expr_uses_var(c, e, in->v[i])) continue;
    if (!expr_affine(c, e, in->v[i], &k, &rest) || !expr_is_const_int(in->v[i]->extent, &n)) return NULL;
    e = k < 0 ? ex_add(c, rest, ex_idx(c, k * (n - 1))) : rest;
  }
  return e;
}

typedef struct Interior {
  const Nest *n;
  Inner inner;
  const Expr *cond;                // all of them hold if this does
  const Expr *part[MAX_CONJUNCTS]; // conjuncts that it makes true
  int nparts;
} Interior;

static bool is_inner(const Expr *e, void *data) {
  const Inner *in = data;
  if (e->op == E_SYM) return false;
  if (e->op != E_VAR) return true;
  for (int i = 0; i < in->n; i++)
    if (in->v[i] == e->var) return true;
  return false;
}

// Does e depend on anything but inner variables?
static bool uses_outside(Inner *in, const Expr *e) {
  return !expr_visit(in->c, e, is_inner, in);
}

static void add_interior(Interior *in, const Expr *part) {
  Ctx *c = in->n->c;
  for (int i = 0; i < in->nparts; i++)
    if (in->part[i] == part) return;
  if (in->nparts == MAX_CONJUNCTS || !depends(&in->inner, part) || !uses_outside(&in->inner, part)) return;
  const Expr *m = is_plain_condition(c, part) ? margin(c, part) : NULL;
  m = m ? least(&in->inner, m) : NULL;
  if (!m) return;
  const Expr *cond = ex_binary(c, E_LT, ex_idx(c, 0), m);
  bool never = cond->op == E_CONST && !cond->int_value;
  if (never) return;
  in->part[in->nparts++] = part;
  in->cond = in->cond ? ex_binary(c, E_AND, in->cond, cond) : cond;
}

static bool find_interior(const Expr *e, void *data) {
  if (e->op != E_GUARD) return true;
  const Expr *part[MAX_CONJUNCTS];
  int n = expr_conjuncts(e->args[0], part, MAX_CONJUNCTS);
  for (int i = 0; i < n; i++) add_interior(data, part[i]);
  return true;
}

const Expr *guard_interior(const Nest *n, const Expr *value, const Expr **then) {
  Interior in = {.n = n, .inner = inner_vars(n, value)};
  expr_visit(n->c, value, find_interior, &in);
  *then = value;
  for (int i = 0; i < in.nparts; i++) *then = guard_decide(n, *then, in.part[i], true);
  return in.nparts ? in.cond : NULL;
}

// ---- cuts along the lanes -----------------------------------------------------------------------------------

typedef struct Cuts {
  const Nest *n;
  Inner inner;
  int64_t extent, *cut;
  int ncuts, max;
} Cuts;

static void add_cut(Cuts *k, int64_t at) {
  if (at <= 0 || at >= k->extent || k->ncuts < 0) return;
  int i = 0;
  while (i < k->ncuts && k->cut[i] < at) i++;
  if (i < k->ncuts && k->cut[i] == at) return;
  if (k->ncuts == k->max) {
    k->ncuts = -1;
    return;
  }
  for (int j = k->ncuts; j > i; j--) k->cut[j] = k->cut[j - 1];
  k->cut[i] = at;
  k->ncuts++;
}

// With a * lane + rest > 0 and rest in [lo, hi]: where it begins to hold always, and at all.
static void add_cuts(Cuts *k, const Expr *part) {
  Ctx *c = k->n->c;
  int64_t a, lo, hi;
  const Expr *m = is_plain_condition(c, part) ? margin(c, part) : NULL, *rest;
  if (!m || !expr_affine(c, m, k->n->lane, &a, &rest) || a == 0) return;
  if (uses_outside(&k->inner, rest) || !expr_bounds(c, rest, NULL, &lo, &hi)) return;
  if (a > 0) {
    add_cut(k, floor_div(-lo, a) + 1);
    add_cut(k, floor_div(-hi, a) + 1);
  } else {
    add_cut(k, ceil_div(lo, -a));
    add_cut(k, ceil_div(hi, -a));
  }
}

static bool find_cuts(const Expr *e, void *data) {
  Cuts *k = data;
  if (e->op != E_GUARD) return true;
  const Expr *part[MAX_CONJUNCTS];
  int n = expr_conjuncts(e->args[0], part, MAX_CONJUNCTS);
  for (int i = 0; i < n; i++) add_cuts(k, part[i]);
  return true;
}

int guard_cuts(const Nest *n, int64_t *cut, int max) {
  Cuts k = {.n = n, .inner = inner_vars(n, n->value), .cut = cut, .max = max};
  if (!n->lane || !expr_is_const_int(n->lane->extent, &k.extent)) return 0;
  expr_visit(n->c, n->value, find_cuts, &k);
  return k.ncuts;
}
