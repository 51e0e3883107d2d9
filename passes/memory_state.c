// memory_state.c: places in the state block; a state's new value is computed in its place where that is safe.
// SPDX-License-Identifier: Apache-2.0
//
// A state that grows by appending keeps what is there: readers may come before or after, and a run that fails
// leaves what counts untouched, since the extent stays. Any other state may be overwritten only when
// nothing reads the old value afterwards and nothing that can fail is still to come.
#include "passes/memory.h"

enum { ALIGN = 64 };

// Does anything in the graph, regions included, read v?
static bool graph_reads(const Graph *g, const Value *v);

static bool node_reads(const Node *n, const Value *v) {
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] == v) return true;
  for (int i = 0; i < n->nregions; i++)
    if (graph_reads(n->region[i], v)) return true;
  return false;
}

static bool graph_reads(const Graph *g, const Value *v) {
  for (const Node *n = g->first; n; n = n->next)
    if (node_reads(n, v)) return true;
  for (int i = 0; i < g->outputs.n; i++)
    if (g->outputs.data[i] == v) return true;
  return false;
}

static bool can_fail(const Node *n) {
  return !n->kernel || n->kernel->routine;
}

static bool is_last_word(const Node *writer, const Value *old) {
  for (const Node *n = writer->next; n; n = n->next)
    if (can_fail(n) || node_reads(n, old)) return false;
  return true;
}

// Every store is of an element of the old value onto itself, or of something else behind its end.
static bool appends(const Graph *g, const State *s, const Node *n) {
  const Sym *sym;
  const Expr *next;
  int axis = state_growth(g, s, &sym, &next);
  const Kernel *k = n->kernel;
  if (axis < 0 || k->stages.n != 2) return false;
  const Stage *copy = &k->stages.data[0], *add = &k->stages.data[1];
  return copy->index && add->index && copy->value->op == E_READ &&
         copy->value->value == g->inputs.data[s->input] &&
         expr_reads(g->ctx, add->value, copy->value->value) == 0 &&
         add->index[axis] == ex_add(g->ctx, ex_var(g->ctx, add->dims[axis]), ex_sym(g->ctx, sym));
}

static bool may_replace(Plan *p, const Graph *g, const State *s) {
  Value *now = g->inputs.data[s->input], *then = g->outputs.data[s->output];
  Node *n = then->def;
  if (p->opt < 1 || !n || !n->kernel || n->kernel->routine || n->graph != g || then->base) return false;
  for (int i = 0; i < g->outputs.n; i++)
    if (i != s->output && g->outputs.data[i] == then) return false;
  if (!layout_equal(now->layout, then->layout)) return false;
  if (appends(g, s, n)) return true;
  if (!type_equal(&now->type, &then->type) || !type_is_static(&now->type) || !is_last_word(n, now))
    return false;
  return !node_reads(n, now) || memory_in_place(p->c, n, now, then);
}

void memory_states(Plan *p, Graph *g) {
  int64_t at = 0;
  for (int i = 0; i < g->states.n; i++) {
    const State *s = &g->states.data[i];
    Value *now = g->inputs.data[s->input], *then = g->outputs.data[s->output];
    now->space = SPACE_STATE;
    now->offset = at;
    at += round_up(memory_bytes(p, now), ALIGN);
    if (!may_replace(p, g, s)) continue;
    then->space = SPACE_STATE;
    then->base = now;
    then->offset = 0;
    memory_drop_copies(p->c, then->def, now, then);
  }
  p->m->state_bytes = at;
}
