// verify.c: checks every invariant of a module at its level.
// SPDX-License-Identifier: Apache-2.0
//
// Runs between passes (--verify-each) and on every text that is read: what it accepts, the later stages can
// rely on, whoever wrote it. At loops level every access to memory is proved to stay inside its buffer; at
// kernels level an index may be left that is only not known to be wrong.
#include "ir/expr_impl.h"
#include "ir/verify.h"

bool verify_fail(Verify *v, Loc loc, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char *text = arena_vprintf(v->ctx->arena, fmt, ap);
  va_end(ap);
  if (v->quiet) {
    v->why = text;
  } else if (v->pass) {
    diag_error(v->ctx->diag, loc, "internal error after pass '%s': %s", v->pass, text);
  } else {
    diag_error(v->ctx->diag, loc, "%s", text);
  }
  v->ok = false;
  return false;
}

// ---- nodes --------------------------------------------------------------------------------------------------

static bool verify_links(Verify *v, const Graph *g, const Node *n) {
  if (n->graph != g || (n->prev ? n->prev->next : g->first) != n ||
      (n->next ? n->next->prev : g->last) != n) {
    return verify_fail(v, n->loc, "the list of nodes is broken at '%s'", n->op->name);
  }
  for (int i = 0; i < n->nout; i++) {
    if (n->out[i]->def == n && n->out[i]->def_index == i && !n->out[i]->data) continue;
    return verify_fail(v, n->loc, "%%%s does not know its definition", n->out[i]->name);
  }
  return true;
}

static bool verify_operands(Verify *v, const Node *n) {
  if (n->nin > MAX_OPERANDS || n->nout > MAX_OPERANDS) return verify_fail(v, n->loc, "too many operands");
  for (int i = 0; i < n->nin; i++) {
    const Value *x = n->in[i];
    if (!x || (verify_access(v, x) & ACCESS_READ)) continue;
    if (x->forward) return verify_fail(v, n->loc, "%%%s was replaced but is still used", x->name);
    return verify_fail(v, n->loc, "%%%s is used before it is defined", x->name);
  }
  return true;
}

static bool verify_attrs(Verify *v, const Node *n) {
  for (int i = 0; i < n->op->nattr; i++) {
    const Attr *a = &n->attr[i], *spec = &n->op->attr[i];
    if (strcmp(a->name, spec->name) != 0 || a->kind != spec->kind) {
      return verify_fail(v, n->loc, "%s: the attributes are not those of the op", n->op->name);
    }
    if (spec->given && !a->given)
      return verify_fail(v, n->loc, "%s: attribute '%s' is missing", n->op->name, a->name);
  }
  return true;
}

// The types that the op infers from its operands, compared with those that the results have.
static bool verify_results(Verify *v, const Node *n) {
  Ctx *c = v->ctx;
  int want = op_results(n), values = c->next_value;
  if (want != n->nout) return verify_fail(v, n->loc, "%s has %d results, not %d", n->op->name, want, n->nout);
  Node copy = *n;
  Value *results = NEW_ARRAY(c->arena, Value, n->nout);
  copy.out = NEW_ARRAY(c->arena, Value *, n->nout);
  copy.attr = arena_dup(c->arena, n->attr, sizeof(Attr) * (size_t)n->op->nattr);
  for (int i = 0; i < n->nout; i++) {
    results[i] = *n->out[i];
    results[i].type = (Type){.dtype = DT_NONE};
    copy.out[i] = &results[i];
  }
  bool ok = node_check(c, &copy);
  c->next_value = values;
  if (!ok) return verify_fail(v, n->loc, "'%s' does not fit its operands", n->op->name);
  for (int i = 0; i < n->nout; i++) {
    if (type_equal(&results[i].type, &n->out[i]->type)) continue;
    return verify_fail(v, n->loc, "%%%s is %s, but %s gives %s", n->out[i]->name,
                       type_text(c, &n->out[i]->type), n->op->name, type_text(c, &results[i].type));
  }
  return true;
}

static bool verify_graph(Verify *v, const Graph *g);

// What a region defines is known inside it only.
static bool verify_regions(Verify *v, const Node *n) {
  bool ok = true;
  for (int i = 0; i < n->nregions; i++) {
    if (n->region[i]->parent != n->graph) ok = verify_fail(v, n->loc, "a region has the wrong parent");
    int outer = v->declared.n;
    ok &= verify_graph(v, n->region[i]);
    while (v->declared.n > outer) verify_set_access(v, v->declared.data[--v->declared.n], ACCESS_NONE);
  }
  return ok;
}

static bool verify_level(Verify *v, const Node *n) {
  if (v->module->level == LEVEL_GRAPH) return !n->kernel || verify_fail(v, n->loc, "a kernel at graph level");
  return n->kernel || (n->op->info->flags & OP_REGION) ||
         verify_fail(v, n->loc, "the op '%s' is left at kernels level", n->op->name);
}

static bool is_known_sym(const Expr *e, void *data) {
  const Verify *v = data;
  return e->op != E_SYM || !e->sym->data_dependent || v->found[e->sym->index];
}

// What the extents of n's results depend on has been found out by then.
static bool verify_extents(Verify *v, const Node *n) {
  const Sym *own = node_data_sym(n);
  if (own && own->index >= 0 && own->index < v->module->syms.n) v->found[own->index] = true;
  for (int i = 0; i < n->nout; i++)
    for (int d = 0; d < n->out[i]->type.rank; d++) {
      const Expr *e = n->out[i]->type.dim[d].sym;
      if (e && !expr_visit(v->ctx, e, is_known_sym, v))
        return verify_fail(v, n->loc, "the extent %d of %%%s is found out by no node before it", d,
                           n->out[i]->name);
    }
  return true;
}

static bool verify_node(Verify *v, const Graph *g, const Node *n) {
  if (!verify_links(v, g, n) || !verify_operands(v, n) || !verify_attrs(v, n)) return false;
  if (!verify_regions(v, n) || !verify_level(v, n) || !verify_extents(v, n)) return false;
  for (int i = 0; i < n->nout; i++) {
    if (!verify_declare(v, n->out[i], ACCESS_READ)) return false;
  }
  return n->kernel ? verify_kernel(v, n) : verify_results(v, n);
}

// ---- graphs -------------------------------------------------------------------------------------------------

static bool verify_const(Verify *v, const Value *x) {
  if (!x->data || x->def) return verify_fail(v, x->loc, "%%%s is no constant", x->name);
  if (!type_equal(&x->data->type, &x->type) || !type_is_static(&x->type)) {
    return verify_fail(v, x->loc, "%%%s has another type than its data", x->name);
  }
  return (int64_t)x->data->bytes == type_bytes(&x->type) ||
         verify_fail(v, x->loc, "%%%s has %zu bytes of data", x->name, x->data->bytes);
}

static bool verify_values(Verify *v, const Graph *g) {
  bool ok = true;
  for (int i = 0; i < g->inputs.n; i++) ok &= verify_declare(v, g->inputs.data[i], ACCESS_READ);
  for (int i = 0; i < g->consts.n; i++) {
    ok &= verify_declare(v, g->consts.data[i], ACCESS_READ) && verify_const(v, g->consts.data[i]);
  }
  return ok;
}

static bool verify_outputs(Verify *v, const Graph *g) {
  bool ok = true;
  if (g->output_names.n != g->outputs.n) return verify_fail(v, NO_LOC, "outputs without names");
  for (int i = 0; i < g->outputs.n; i++) {
    const Value *x = g->outputs.data[i];
    if (verify_access(v, x) & ACCESS_READ) continue;
    ok = verify_fail(v, x->loc, "the output %%%s is not defined", x->name);
  }
  return ok;
}

static bool verify_graph(Verify *v, const Graph *g) {
  int count = 0;
  bool ok = verify_values(v, g);
  for (const Node *n = g->first; n && ok; n = n->next) {
    ok = verify_node(v, g, n);
    count++;
  }
  if (!ok) return false;
  if (count != g->nnodes)
    return verify_fail(v, NO_LOC, "graph '%s' has %d nodes, not %d", g->name, count, g->nnodes);
  return verify_outputs(v, g);
}

static bool is_settled(const Expr *e, void *data) {
  (void)data;
  return e->op != E_SYM || !e->sym->data_dependent;
}

// Callers say how large inputs are: no extent of theirs can be what a node finds out.
static bool verify_input(Verify *v, const Value *x) {
  for (int d = 0; d < x->type.rank; d++)
    if (x->type.dim[d].sym && !expr_visit(v->ctx, x->type.dim[d].sym, is_settled, NULL))
      return verify_fail(v, x->loc, "the extent %d of input '%s' is known only when the model runs", d,
                         x->name);
  return true;
}

// Inputs and outputs are the artefact's interface: each needs a name of its own.
static bool verify_interface(Verify *v, const Graph *g) {
  Map *names = map_new(v->ctx->arena);
  bool ok = true;
  for (int i = 0; i < g->inputs.n; i++) {
    const Value *x = g->inputs.data[i];
    ok &= verify_input(v, x);
    if (!x->name || !*x->name)
      ok = verify_fail(v, x->loc, "an input without a name");
    else if (!map_put(names, x->name, v))
      ok = verify_fail(v, x->loc, "two inputs are named '%s'", x->name);
  }
  names = map_new(v->ctx->arena);
  for (int i = 0; i < g->outputs.n; i++) {
    const char *name = g->output_names.data[i];
    Loc loc = g->outputs.data[i]->loc;
    if (!name || !*name)
      ok = verify_fail(v, loc, "an output without a name");
    else if (!map_put(names, name, v))
      ok = verify_fail(v, loc, "two outputs are named '%s'", name);
  }
  return ok;
}

// Inputs keep their order, outputs their names; what can break is the types.
static bool verify_states(Verify *v, const Graph *g) {
  for (int i = 0; i < g->states.n; i++) {
    const State *s = &g->states.data[i];
    const Sym *sym;
    const Expr *next;
    if (s->input < 0 || s->input >= g->inputs.n || s->output < 0 || s->output >= g->outputs.n)
      return verify_fail(v, s->loc, "a state is no input or no output");
    const Value *now = g->inputs.data[s->input], *then = g->outputs.data[s->output];
    int growing = state_growth(g, s, &sym, &next);
    bool fits = now->type.dtype == then->type.dtype && now->type.rank == then->type.rank;
    for (int d = 0; fits && d < now->type.rank; d++)
      fits = d == growing || dim_equal(now->type.dim[d], then->type.dim[d]);
    if (!fits) return verify_fail(v, s->loc, "state %%%s becomes another type", now->name);
    if (s->init && (!(verify_access(v, s->init) & ACCESS_READ) || !s->init->data))
      return verify_fail(v, s->loc, "the initial value of %%%s is no constant", now->name);
  }
  return true;
}

static bool verify_symbols(Verify *v) {
  const Module *m = v->module;
  for (int i = 0; i < m->syms.n; i++) {
    const Sym *s = m->syms.data[i];
    if (s->index != i) return verify_fail(v, s->loc, "symbol '%s' has the wrong number", s->name);
    if (s->min < 0 || s->max < s->min || s->max > MAX_ELEMENTS) {
      return verify_fail(v, s->loc, "symbol '%s' has an impossible range", s->name);
    }
  }
  return true;
}

bool module_verify(Module *m, const char *after_pass) {
  Ctx *c = m->ctx;
  Verify v = {.ctx = c, .module = m, .pass = after_pass, .ok = true, .nvalues = c->next_value};
  v.values = NEW_ARRAY(c->arena, const Value *, v.nvalues);
  v.access = NEW_ARRAY(c->arena, uint8_t, v.nvalues);
  v.inside = NEW_ARRAY(c->arena, uint32_t, v.nvalues);
  v.found = NEW_ARRAY(c->arena, bool, m->syms.n + 1);
  v.kernel_names = map_new(c->arena);
  if (!m->main) return verify_fail(&v, NO_LOC, "the module has no graph");
  if (!verify_symbols(&v) || !verify_graph(&v, m->main)) return false;
  return verify_interface(&v, m->main) && verify_states(&v, m->main) && v.ok;
}

static bool verify_places(Verify *v, const Graph *g) {
  bool ok = true;
  for (int i = 0; i < g->inputs.n; i++) ok &= verify_value(v, g->inputs.data[i]);
  for (int i = 0; i < g->consts.n; i++) ok &= verify_value(v, g->consts.data[i]);
  for (const Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nout; i++) ok &= verify_value(v, n->out[i]);
    for (int i = 0; i < n->nregions; i++) ok &= verify_places(v, n->region[i]);
  }
  return ok;
}

bool module_verify_places(Module *m, const char *after_pass) {
  Verify v = {.ctx = m->ctx, .module = m, .pass = after_pass, .ok = true};
  return verify_places(&v, m->main) && v.ok;
}
