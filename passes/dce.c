// dce.c: drops nodes and constants that no output depends on.
// SPDX-License-Identifier: Apache-2.0
#include "passes/internal.h"

static void mark(Value *v) {
  if (v) v->info = v;
}

static bool is_live(const Node *n) {
  if (n->op->info->flags & OP_IMPURE) return true;
  for (int i = 0; i < n->nout; i++)
    if (n->out[i]->info) return true;
  return false;
}

// Marks what the graph needs, last node first; dead nodes are collected.
typedef struct Sweep {
  Ctx *c;
  Vec(Node *) dead;
} Sweep;

static void sweep_graph(Sweep *s, Graph *g) {
  for (int i = 0; i < g->outputs.n; i++) mark(g->outputs.data[i]);
  for (Node *n = g->last; n; n = n->prev) {
    if (!is_live(n)) {
      vec_push(s->c->arena, &s->dead, n);
      continue;
    }
    for (int i = 0; i < n->nin; i++) mark(n->in[i]);
    for (int i = 0; i < n->nregions; i++) sweep_graph(s, n->region[i]);
  }
}

static bool clear_marks(Graph *g, void *data) {
  (void)data;
  for (int i = 0; i < g->inputs.n; i++) g->inputs.data[i]->info = NULL;
  for (int i = 0; i < g->consts.n; i++) g->consts.data[i]->info = NULL;
  for (Node *n = g->first; n; n = n->next)
    for (int i = 0; i < n->nout; i++) n->out[i]->info = NULL;
  return true;
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
  each_graph(m->main, clear_marks, NULL);
  sweep_graph(&s, m->main);
  each_graph(m->main, drop_consts, NULL);
  each_graph(m->main, clear_marks, NULL);
  for (int i = 0; i < s.dead.n; i++) node_remove(s.dead.data[i]);
  graph_count_uses(m->main);
  return true;
}
