// fuse_uses.c: how often a value is read in composed expressions, and what an expression costs.
// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse.h"

// ---- work ---------------------------------------------------------------------------------------------------

static double op_cost(const Expr *e) {
  if (e->dtype == DT_I64 && e->op != E_READ) return 0.25; // index arithmetic, mostly hoisted
  switch (e->op) {
  case E_CONST:
  case E_VAR:
  case E_SYM:
  case E_REDUCE:
  case E_BITCAST: return 0;
  case E_READ: return 2;
  case E_DIV:
  case E_FDIV:
  case E_MOD:
  case E_REM:
  case E_SQRT: return 6;
  case E_POW:
  case E_ATAN2: return 40;
  default: return e->op >= E_EXP && e->op <= E_ERF ? 16 : 1;
  }
}

static bool add_work(const Expr *e, void *data) {
  Work *w = data;
  w->ops += op_cost(e);
  w->nodes++;
  w->reduces |= e->op == E_REDUCE;
  w->guards += e->op == E_GUARD;
  return true;
}

Work fuse_work(Ctx *c, const Expr *e) {
  Work w = {0};
  expr_visit(c, e, add_work, &w);
  return w;
}

// ---- uses ---------------------------------------------------------------------------------------------------

enum { MAX_LOOPS = 4 * MAX_RANK };

// Where the walk over a stage's expression stands.
typedef struct Scope {
  const Var *loop[MAX_LOOPS]; // outermost first
  int n;
  double part; // of the iterations that get here, by the guards passed
  bool in_reduce, guarded;
} Scope;

typedef struct Walk {
  Fuse *f;
  const Value *v;
  UseList *out;
  Group *group;
  int stage;
} Walk;

// Iterations of the loops down to the innermost one that the read depends on.
static double scope_evals(Ctx *c, const Scope *s, const Expr *read) {
  int depth = 0;
  for (int i = 0; i < s->n; i++)
    for (int k = 0; k < read->nargs; k++)
      if (expr_uses_var(c, read->args[k], s->loop[i])) depth = i + 1;
  double n = s->part;
  for (int i = 0; i < depth; i++) n *= (double)var_bound(c, s->loop[i]);
  return n;
}

static void add_use(Walk *w, const Scope *s, const Expr *read) {
  double evals = scope_evals(w->f->c, s, read);
  for (int i = w->out->n - 1; i >= 0; i--) {
    Use *u = &w->out->data[i];
    if (u->group != w->group || u->stage != w->stage || u->read != read) continue;
    if (evals > u->evals) u->evals = evals;
    u->in_reduce |= s->in_reduce;
    u->guarded |= s->guarded;
    return;
  }
  Use u = {w->group, w->stage, read, evals, s->in_reduce, s->guarded};
  vec_push(w->f->c->arena, w->out, u);
}

// The part of the iterations for which cond can hold, from the ranges it leaves to the loops' variables.
static double guard_part(Ctx *c, const Scope *s, const Expr *cond) {
  double part = 1;
  for (int i = 0; i < s->n; i++) {
    int64_t lo, hi, n = var_bound(c, s->loop[i]);
    if (n <= 1 || !expr_uses_var(c, cond, s->loop[i])) continue;
    if (!expr_bounds(c, ex_var(c, s->loop[i]), cond, &lo, &hi)) continue;
    if (hi >= lo) part *= (double)(hi - lo + 1) / (double)n;
  }
  return part;
}

// Was it visited with as large a part?
static bool seen_before(Walk *w, const Expr *e, const Scope *s) {
  Fuse *f = w->f;
  double key = s->part * (s->guarded ? 1 : 2) + s->n; // any wider scope counts as new
  uintptr_t number = (uintptr_t)ptr_get(&f->seen, e);
  if (number && f->parts.data[number - 1] >= key) return true;
  if (number) return f->parts.data[number - 1] = key, false;
  vec_push(f->c->arena, &f->parts, key);
  ptr_put(f->c->arena, &f->seen, e, (void *)(uintptr_t)f->parts.n);
  return false;
}

static void walk(Walk *w, const Expr *e, const Scope *s);

static void walk_guard(Walk *w, const Expr *e, const Scope *s) {
  Ctx *c = w->f->c;
  walk(w, e->args[0], s);
  Scope in = *s;
  in.guarded = true;
  in.part *= guard_part(c, s, e->args[0]);
  walk(w, e->args[1], &in);
  in.part = s->part * guard_part(c, s, ex_unary(c, E_NOT, e->args[0]));
  walk(w, e->args[2], &in);
}

static void walk_reduce(Walk *w, const Expr *e, const Scope *s) {
  Scope in = *s;
  in.in_reduce = true;
  for (int i = 0; i < e->reduce.nvars && in.n < MAX_LOOPS; i++) in.loop[in.n++] = e->reduce.vars[i];
  walk(w, e->args[0], &in);
}

static void walk(Walk *w, const Expr *e, const Scope *s) {
  if (e->nargs == 0 && e->op != E_READ) return;
  if (seen_before(w, e, s)) return;
  if (e->op == E_READ && e->value == w->v) add_use(w, s, e);
  if (e->op == E_GUARD) {
    walk_guard(w, e, s);
  } else if (e->op == E_REDUCE) {
    walk_reduce(w, e, s);
  } else {
    for (int i = 0; i < e->nargs; i++) walk(w, e->args[i], s);
  }
}

static void stage_uses(Fuse *f, const Value *v, Group *g, int stage, UseList *out) {
  const Stage *st = &g->stages.data[stage];
  Walk w = {.f = f, .v = v, .out = out, .group = g, .stage = stage};
  Scope s = {.part = 1};
  ptr_clear(&f->seen);
  f->parts.n = 0;
  for (int i = 0; i < st->ndims && s.n < MAX_LOOPS; i++) s.loop[s.n++] = st->dims[i];
  walk(&w, st->value, &s);
  if (!st->index) return;
  for (int i = 0; i < st->out->type.rank; i++) walk(&w, st->index[i], &s);
}

void fuse_uses(Fuse *f, const Value *v, UseList *out) {
  FuseInfo *info = v->info;
  for (int i = 0; i < info->readers.n; i++) {
    Group *g = info->readers.data[i];
    for (int k = 0; k < g->stages.n; k++) stage_uses(f, v, g, k, out);
  }
}

// ---- products -----------------------------------------------------------------------------------------------

typedef struct Reduction {
  Ctx *c;
  double points; // of the largest reduction
  const Expr *largest;
} Reduction;

static bool find_largest(const Expr *e, void *data) {
  Reduction *r = data;
  if (e->op != E_REDUCE) return true;
  double n = (double)vars_product(r->c, e->reduce.vars, e->reduce.nvars);
  if (n > r->points || !r->largest) {
    r->points = n;
    r->largest = e;
  }
  return true;
}

static Reduction largest_reduction(Ctx *c, const Stage *s) {
  Reduction r = {.c = c};
  expr_visit(c, s->value, find_largest, &r);
  return r;
}

double fuse_points(Ctx *c, const Stage *s) {
  Reduction r = largest_reduction(c, s);
  return (double)vars_product(c, s->dims, s->ndims) * (r.largest ? r.points : 1);
}

// Elements of weights, and terms of a sum with them, that make it a product worth its own schedule (which packs the
// weights), even where each weight is used once.
enum { LARGE_WEIGHTS = 1024, LONG_SUM = 16, MAX_UNPACK = 8 };

// A constant, or one that is kept in fewer bits before what makes numbers of it.
static bool is_weights(const Value *v) {
  for (int depth = 0; depth < MAX_UNPACK && !const_of(v); depth++) {
    const Node *n = v->def;
    if (!n || n->nout != 1 || n->nin == 0 || !n->in[0] || !(n->op->info->expr || n->op->info->define))
      return false;
    for (int i = 1; i < n->nin; i++)
      if (n->in[i] && !const_of(n->in[i])) return false;
    v = n->in[0];
  }
  return const_of(v) != NULL;
}

bool fuse_is_heavy(Ctx *c, const Stage *s) {
  Reduction r = largest_reduction(c, s);
  if (!r.largest) return false;
  const Expr **reads;
  int n = expr_read_list(c, r.largest->args[0], &reads);
  double elements = 1;
  bool weights = false;
  for (int i = 0; i < n; i++) {
    double e = (double)type_elements(&reads[i]->value->type);
    if (e > elements) elements = e;
    weights |= e >= LARGE_WEIGHTS && r.points >= LONG_SUM && is_weights(reads[i]->value);
  }
  return n >= 2 && (weights || fuse_points(c, s) > 4 * elements);
}
