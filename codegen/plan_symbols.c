// plan_symbols.c: symbols of the ABI: where each one's value comes from.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

// e = mul * s + add with mul > 0: an input's extent that tells s.
static bool extent_of_symbol(const Expr *e, const Sym *s, int64_t *mul, int64_t *add) {
  *mul = 1;
  *add = 0;
  int64_t k;
  if (e->op == E_ADD && expr_is_const_int(e->args[1], &k))
    *add = k, e = e->args[0];
  else if (e->op == E_ADD && expr_is_const_int(e->args[0], &k))
    *add = k, e = e->args[1];
  if (e->op == E_MUL && expr_is_const_int(e->args[1], &k) && k > 0)
    *mul = k, e = e->args[0];
  else if (e->op == E_MUL && expr_is_const_int(e->args[0], &k) && k > 0)
    *mul = k, e = e->args[1];
  return e->op == E_SYM && e->sym == s;
}

// The input extent that gives s: one that is s itself rather than a multiple.
static bool find_input(const Graph *g, const Sym *s, struct ingot_symbol *out) {
  bool found = false;
  int number = -1;
  for (int i = 0; i < g->inputs.n; i++) {
    if (state_of_input(g, i)) continue;
    number++;
    const Type *t = &g->inputs.data[i]->type;
    for (int d = 0; d < t->rank; d++) {
      int64_t mul, add;
      if (!t->dim[d].sym || !extent_of_symbol(t->dim[d].sym, s, &mul, &add)) continue;
      bool exact = mul == 1 && add == 0;
      if (found && !exact) continue;
      out->input = number;
      out->dim = d;
      out->mul = mul;
      out->add = add;
      found = true;
      if (exact) return true;
    }
  }
  return found;
}

static int32_t derived_symbol(Plan *p, const Expr *e, int64_t bound) {
  for (int i = 0; i < p->symbol_value.n; i++)
    if (p->symbol_value.data[i] == e) return i;
  int64_t lo, hi;
  if (!expr_bounds(p->c, e, NULL, &lo, &hi)) lo = 0, hi = bound;
  // What a special form derives means something only where it is chosen, and follows there from the model's own.
  if (p->at) lo = INT64_MIN, hi = bound = INT64_MAX;
  struct ingot_symbol y = {.name = expr_text(p->c, e),
                           .min = lo,
                           .bound = hi < bound ? hi : bound,
                           .kind = INGOT_SYM_DERIVED,
                           .mul = 1};
  vec_push(p->arena, &p->symbols, y);
  vec_push(p->arena, &p->symbol_value, e);
  return p->symbols.n - 1;
}

struct ingot_dim plan_dim(Plan *p, Dim d) {
  if (!d.sym) return (struct ingot_dim){.n = d.n, .sym = -1};
  if (d.sym->op == E_SYM) return (struct ingot_dim){.n = d.n, .sym = d.sym->sym->index};
  return (struct ingot_dim){.n = d.n, .sym = derived_symbol(p, d.sym, d.n)};
}

// What the extents of states become, and with it every limit that runs are checked for.
static void plan_limits(Plan *p) {
  for (int i = 0; i < p->m->limits.n; i++)
    derived_symbol(p, p->m->limits.data[i].sum, p->m->limits.data[i].max);
  for (int i = 0; i < p->m->syms.n; i++) {
    const Sym *s = p->m->syms.data[i];
    const Expr *next = state_next_extent(p->m->main, s);
    if (next) p->symbols.data[i].input = plan_dim(p, dim_expr(p->c, next)).sym;
  }
}

void plan_symbols(Plan *p) {
  for (int i = 0; i < p->m->syms.n; i++) {
    const Sym *s = p->m->syms.data[i];
    struct ingot_symbol y = {.name = s->name, .min = s->min, .bound = s->max, .mul = 1};
    if (s->data_dependent)
      y.kind = INGOT_SYM_STEP;
    else if (state_next_extent(p->m->main, s))
      y.kind = INGOT_SYM_STATE;
    else
      y.kind = find_input(p->m->main, s, &y) ? INGOT_SYM_INPUT : INGOT_SYM_CALLER;
    vec_push(p->arena, &p->symbols, y);
    vec_push(p->arena, &p->symbol_value, NULL);
  }
  plan_limits(p);
}

int plan_run_symbols(const Plan *p) {
  int n = 0;
  for (int i = 0; i < p->symbols.n; i++)
    n += p->symbols.data[i].kind == INGOT_SYM_INPUT || p->symbols.data[i].kind == INGOT_SYM_CALLER;
  return n;
}
