// flops.c: counts floating-point operations of expressions: what they say, not what a machine makes of it.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"

static double extent(Ctx *c, const Var *v) {
  int64_t lo, hi;
  return v->extent && expr_bounds(c, v->extent, NULL, &lo, &hi) ? (double)hi : 1;
}

static double own_cost(const Expr *e) {
  switch (e->op) {
  case E_CONST:
  case E_VAR:
  case E_SYM:
  case E_READ:
  case E_GUARD:
  case E_SELECT:
  case E_CAST:
  case E_BITCAST:
  case E_REDUCE: return 0;
  case E_FMA: return 2;
  default: return e->nargs > 0 && dtype_is_float(e->args[0]->dtype) ? 1 : 0;
  }
}

// Expressions met within one evaluation of a body: what is shared is computed once. Open addressing.
typedef struct Seen {
  const Expr **slot;
  uint32_t n, cap; // cap: a power of two
} Seen;

static bool seen_put(Seen *s, Arena *a, const Expr *e);

static void seen_grow(Seen *s, Arena *a) {
  Seen old = *s;
  *s = (Seen){.cap = old.cap ? 2 * old.cap : 64};
  s->slot = NEW_ARRAY(a, const Expr *, s->cap);
  for (uint32_t i = 0; i < old.cap; i++)
    if (old.slot[i]) seen_put(s, a, old.slot[i]);
}

// false if e was there.
static bool seen_put(Seen *s, Arena *a, const Expr *e) {
  if (2 * s->n >= s->cap) seen_grow(s, a);
  uint32_t i = e->id * 2654435761u & (s->cap - 1); // Knuth's multiplicative hash
  for (; s->slot[i]; i = (i + 1) & (s->cap - 1))
    if (s->slot[i] == e) return false;
  s->slot[i] = e;
  s->n++;
  return true;
}

typedef struct Count {
  Ctx *c;
  FlopScope *all, **end;
} Count;

static FlopScope *scope_new(Count *k, const FlopScope *outer, const Var *const *vars, int nvars) {
  FlopScope *s = NEW(k->c->arena, FlopScope);
  *s = (FlopScope){.vars = vars, .nvars = nvars, .outer = outer};
  *k->end = s;
  k->end = &s->next;
  return s;
}

static void count(Count *k, const Expr *e, FlopScope *scope, Seen *seen) {
  if (e->op == E_READ || !seen_put(seen, k->c->arena, e)) return; // a read's indices are integers
  Seen body = {0};
  if (e->op == E_REDUCE) {
    scope = scope_new(k, scope, e->reduce.vars, e->reduce.nvars);
    scope->ops += dtype_is_float(e->dtype) ? 1 : 0;
    seen = &body;
  }
  scope->ops += own_cost(e);
  for (int i = 0; i < e->nargs; i++) count(k, e->args[i], scope, seen);
}

static double times_of(Ctx *c, const FlopScope *s) {
  double times = s->outer ? times_of(c, s->outer) : 1;
  for (int i = 0; i < s->nvars; i++) times *= extent(c, s->vars[i]);
  return times;
}

static double sum_of(Ctx *c, const FlopScope *s) {
  double sum = 0;
  for (; s; s = s->next) sum += s->ops * times_of(c, s);
  return sum;
}

static FlopScope *count_from(Ctx *c, const Expr *e, double before, const Var *const *vars, int nvars) {
  Count k = {.c = c, .end = &k.all};
  Seen seen = {0};
  FlopScope *first = scope_new(&k, NULL, vars, nvars);
  first->ops = before;
  count(&k, e, first, &seen);
  return k.all;
}

double expr_flops(Ctx *c, const Expr *e) {
  return sum_of(c, count_from(c, e, 0, NULL, 0));
}

const FlopScope *stage_flop_scopes(Ctx *c, const Stage *s) {
  double combine = s->store != STORE_SET && dtype_is_float(s->out->type.dtype) ? 1 : 0;
  return count_from(c, s->value, combine, s->dims, s->ndims);
}

double stage_flops(Ctx *c, const Stage *s) {
  return sum_of(c, stage_flop_scopes(c, s));
}

// ---- nodes ------------------------------------------------------------------------------------------------

static double defined_flops(Ctx *c, const Node *n, int out) {
  const Type *type = &n->out[out]->type;
  const Expr *index[MAX_RANK];
  for (int i = 0; i < type->rank; i++) index[i] = ex_var(c, var_new(c, "i", dim_to_expr(c, type->dim[i])));
  const Expr *e = node_define(c, n, out, index);
  return e ? expr_flops(c, e) * (double)type_elements(type) : 0;
}

static double kernel_flops(Ctx *c, const Kernel *k) {
  double sum = 0;
  for (int i = 0; i < k->stages.n; i++) sum += stage_flops(c, &k->stages.data[i]);
  return sum;
}

// Builds the op's parts in a graph of their own, which nothing refers to afterwards.
static double decomposed_flops(Ctx *c, const Node *n) {
  Graph *scratch = graph_new(n->graph->module, "cost", n->graph);
  Builder b = builder_at(scratch, NULL, n->loc);
  Value **out = NEW_ARRAY(c->arena, Value *, n->nout);
  return n->op->info->decompose(&b, n, out) ? graph_flops(c, scratch) : 0;
}

double node_flops(Ctx *c, const Node *n) {
  const OpInfo *info = n->op->info;
  double sum = 0;
  for (int i = 0; i < n->nregions; i++) sum += graph_flops(c, n->region[i]);
  if (n->kernel) return sum + (n->kernel->flops ? (double)n->kernel->flops : kernel_flops(c, n->kernel));
  if (info->expr || info->define) {
    for (int k = 0; k < n->nout; k++) sum += n->out[k] ? defined_flops(c, n, k) : 0;
  } else if (info->stages) {
    Kernel k = {.name = "cost"};
    if (info->stages(c, (Node *)n, &k)) sum += kernel_flops(c, &k);
  } else if (info->decompose) {
    sum += decomposed_flops(c, n);
  }
  return sum;
}

// Moving data counts one an element, naming it anew nothing.
static int64_t work_of(const Node *n) {
  static const char *const names[] = {"identity", "reshape", "flatten", "squeeze", "unsqueeze"};
  double work = node_flops(n->graph->ctx, n);
  for (int i = 0; i < ARRAY_LEN(names); i++)
    if (op_is(n, names[i])) return 0;
  for (int i = 0; work == 0 && i < n->nout; i++)
    if (n->out[i]) work += (double)type_elements(&n->out[i]->type);
  return work < 1e18 ? (int64_t)work : (int64_t)1e18;
}

Origin node_as_origin(const Node *n) {
  const char *name = n->nout ? n->out[0]->name : n->op->name;
  return (Origin){.loc = n->loc,
                  .name = arena_printf(n->graph->ctx->arena, "%s (%s)", name, n->op->name),
                  .flops = n->graph->module->wants_work ? work_of(n) : 0};
}

double graph_flops(Ctx *c, const Graph *g) {
  double sum = 0;
  for (const Node *n = g->first; n; n = n->next) sum += node_flops(c, n);
  return sum;
}
