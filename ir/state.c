// state.c: values that live from run to run: pairs of an input and an output of the main graph.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"

// ---- finding ----------------------------------------------------------------------------------------------

const State *state_of_input(const Graph *g, int input) {
  for (int i = 0; i < g->states.n; i++)
    if (g->states.data[i].input == input) return &g->states.data[i];
  return NULL;
}

const State *state_of_output(const Graph *g, int output) {
  for (int i = 0; i < g->states.n; i++)
    if (g->states.data[i].output == output) return &g->states.data[i];
  return NULL;
}

int state_growth(const Graph *g, const State *s, const Sym **sym, const Expr **next) {
  const Type *now = &g->inputs.data[s->input]->type, *then = &g->outputs.data[s->output]->type;
  for (int d = 0; d < now->rank; d++) {
    if (!now->dim[d].sym || now->dim[d].sym->op != E_SYM) continue;
    *sym = now->dim[d].sym->sym;
    *next = dim_to_expr(g->ctx, then->dim[d]);
    return d;
  }
  return -1;
}

const Expr *state_next_extent(const Graph *g, const Sym *s) {
  const Sym *sym;
  const Expr *next;
  for (int i = 0; i < g->states.n; i++)
    if (state_growth(g, &g->states.data[i], &sym, &next) >= 0 && sym == s) return next;
  return NULL;
}

// ---- limits -----------------------------------------------------------------------------------------------

void module_limit(Module *m, const Expr *sum, int64_t max) {
  for (int i = 0; i < m->limits.n; i++) {
    Limit *l = &m->limits.data[i];
    if (l->sum == sum && l->max <= max) return;
  }
  vec_push(m->ctx->arena, &m->limits, ((Limit){sum, max}));
  expr_limit(m->ctx, sum, max);
}

static void tighten_dim(Ctx *c, Dim *d) {
  int64_t lo, hi;
  if (d->sym && expr_bounds(c, d->sym, NULL, &lo, &hi)) d->n = hi;
}

static void tighten_type(Ctx *c, Type *t) {
  for (int d = 0; d < t->rank; d++) tighten_dim(c, &t->dim[d]);
}

static void tighten_node(Ctx *c, Node *n);

// Bounds of extents as they are now known, throughout a graph.
static void tighten_graph(Ctx *c, Graph *g) {
  for (int i = 0; i < g->inputs.n; i++) tighten_type(c, &g->inputs.data[i]->type);
  for (Node *n = g->first; n; n = n->next) tighten_node(c, n);
}

static void tighten_node(Ctx *c, Node *n) {
  for (int i = 0; i < n->nout; i++) tighten_type(c, &n->out[i]->type);
  for (int i = 0; i < n->op->nattr; i++) {
    Attr *a = &n->attr[i];
    if (a->kind != ATTR_SHAPE || !a->n) continue;
    Dim *dims = arena_dup(c->arena, a->dims, (size_t)a->n * sizeof *dims);
    for (int d = 0; d < a->n; d++) tighten_dim(c, &dims[d]);
    a->dims = dims;
  }
  for (int i = 0; i < n->nregions; i++) tighten_graph(c, n->region[i]);
}

// ---- making -----------------------------------------------------------------------------------------------

static bool fail_types(Ctx *c, Loc loc, const Value *now, const Value *then) {
  diag_error(c->diag, loc, "state '%s' is %s, but would become %s", now->name, type_text(c, &now->type),
             type_text(c, &then->type));
  return false;
}

// Extents are constants, or one symbol that grows.
static bool check_extents(const Graph *g, Loc loc, const Value *now, const Value *then) {
  Ctx *c = g->ctx;
  int growing = 0;
  if (now->type.dtype != then->type.dtype || now->type.rank != then->type.rank)
    return fail_types(c, loc, now, then);
  for (int d = 0; d < now->type.rank; d++) {
    Dim a = now->type.dim[d], b = then->type.dim[d];
    if (!a.sym && dim_equal(a, b)) continue;
    if (!a.sym) return fail_types(c, loc, now, then);
    if (a.sym->op == E_SYM && growing++ == 0 && (!b.sym || b.sym != a.sym)) continue;
    diag_error(
        c->diag, loc,
        "extent %d of state '%s' must be a constant (--dim), or one symbol that the run changes: it is %s, "
        "and would be %s",
        d, now->name, type_text(c, &now->type), type_text(c, &then->type));
    return false;
  }
  return true;
}

static bool check_init(Ctx *c, Loc loc, const Value *now, const Value *init) {
  if (!init || (init->data && type_equal(&init->type, &now->type))) return true;
  diag_error(c->diag, loc, "state '%s' is %s, its initial value %s", now->name, type_text(c, &now->type),
             type_text(c, &init->type));
  return false;
}

static bool check_next(Ctx *c, Loc loc, const Sym *sym, const Expr *known, const Expr *next) {
  if (!known || known == next) return true;
  diag_error(c->diag, loc, "'%s' would become both %s and %s", sym->name, expr_text(c, known),
             expr_text(c, next));
  return false;
}

bool graph_state(Graph *g, int input, int output, Value *init, Loc loc) {
  Ctx *c = g->ctx;
  const Value *now = g->inputs.data[input], *then = g->outputs.data[output];
  const Sym *sym;
  const Expr *next;
  if (state_of_input(g, input) || state_of_output(g, output)) {
    diag_error(c->diag, loc, "'%s' is part of a state already",
               state_of_input(g, input) ? now->name : g->output_names.data[output]);
    return false;
  }
  if (!check_extents(g, loc, now, then) || !check_init(c, loc, now, init)) return false;
  State s = {.input = input, .output = output, .init = init, .loc = loc};
  if (state_growth(g, &s, &sym, &next) >= 0) {
    if (!check_next(c, loc, sym, state_next_extent(g, sym), next)) return false;
    int limits = g->module->limits.n;
    module_limit(g->module, next, sym->max);
    if (g->module->limits.n > limits) tighten_graph(c, g);
  }
  vec_push(c->arena, &g->states, s);
  return true;
}
