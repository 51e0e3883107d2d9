// decompose.c: replaces ops that are defined by other ops by those.
// SPDX-License-Identifier: Apache-2.0
#include "passes/internal.h"

typedef struct Decompose {
  Ctx *c;
  Vec(Node *) dead;
} Decompose;

// Puts the pieces of n before it. They may want decomposing themselves: the walk goes on with the first.
static bool decompose_node(Decompose *d, Node *n) {
  Builder b = builder_replacing(n, "decompose");
  Value **out = NEW_ARRAY(d->c->arena, Value *, n->nout);
  int errors = diag_errors(d->c->diag);
  if (!n->op->info->decompose(&b, n, out)) {
    if (diag_errors(d->c->diag) == errors)
      diag_error(d->c->diag, n->loc, "internal error: '%s' could not be decomposed", n->op->name);
    return false;
  }
  for (int i = 0; i < n->nout; i++)
    if (out[i]) node_replace(n, i, out[i]);
  vec_push(d->c->arena, &d->dead, n);
  return true;
}

static bool decompose_graph(Graph *g, void *data) {
  Decompose *d = data;
  int first_dead = d->dead.n;
  for (Node *n = g->first, *next; n; n = next) {
    next = n->next;
    if (!n->op->info->decompose) continue;
    Node *before = n->prev;
    if (!decompose_node(d, n)) return false;
    Node *piece = before ? before->next : g->first;
    if (piece != n) next = piece;
  }
  graph_resolve(g);
  for (int i = d->dead.n - 1; i >= first_dead; i--) {
    Node *n = d->dead.data[i];
    if (n->graph == g) node_remove(n);
  }
  return true;
}

bool pass_decompose(Module *m, const PassOptions *o) {
  (void)o;
  Decompose d = {.c = m->ctx};
  bool ok = each_graph(m->main, decompose_graph, &d);
  graph_count_uses(m->main);
  return ok;
}
