// dce.c: drops nodes and constants that no output depends on.
// SPDX-License-Identifier: Apache-2.0
#include "passes/internal.h"

static void mark(Value *v) {
  if (v) v->info = v;
}

// Marks what the graph needs, last node first; dead nodes are collected.
typedef struct Sweep {
  Ctx *c;
  Vec(Node *) dead;
  Vec(const Type *) types; // of live results
} Sweep;

// Something live has an extent that n finds out.
static bool sym_is_live(const Sweep *s, const Node *n) {
  const Sym *sym = node_data_sym(n);
  for (int i = 0; sym && i < s->types.n; i++)
    if (type_uses_sym(s->c, s->types.data[i], sym)) return true;
  return false;
}

static bool is_live(const Sweep *s, const Node *n) {
  if ((n->op->info->flags & OP_IMPURE) || sym_is_live(s, n)) return true;
  for (int i = 0; i < n->nout; i++)
    if (n->out[i]->info) return true;
  return false;
}

static void note_types(Sweep *s, const Node *n) {
  for (int i = 0; i < n->nout; i++)
    if (!type_is_static(&n->out[i]->type)) vec_push(s->c->arena, &s->types, &n->out[i]->type);
}

static void sweep_graph(Sweep *s, Graph *g) {
  for (int i = 0; i < g->outputs.n; i++) mark(g->outputs.data[i]);
  for (int i = 0; i < g->states.n; i++) mark(g->states.data[i].init);
  for (Node *n = g->last; n; n = n->prev) {
    if (!is_live(s, n)) {
      vec_push(s->c->arena, &s->dead, n);
      continue;
    }
    note_types(s, n);
    for (int i = 0; i < n->nin; i++) mark(n->in[i]);
    for (int i = 0; i < n->nregions; i++) sweep_graph(s, n->region[i]);
  }
}

static bool drop_consts(Graph *g, void *data) {
  (void)data;
  int kept = 0;
  for (int i = 0; i < g->consts.n; i++)
    if (g->consts.data[i]->info) g->consts.data[kept++] = g->consts.data[i];
  g->consts.n = kept;
  return true;
}

bool pass_dce(Module *m, const PassOptions *o) {
  (void)o;
  Sweep s = {.c = m->ctx};
  clear_info(m->main);
  sweep_graph(&s, m->main);
  each_graph(m->main, drop_consts, NULL);
  clear_info(m->main);
  for (int i = 0; i < s.dead.n; i++) node_remove(s.dead.data[i]);
  graph_count_uses(m->main);
  return true;
}
