// decompose.c: replaces ops that are defined by other ops by those.
// SPDX-License-Identifier: Apache-2.0
#include "passes/internal.h"

// Puts the pieces of n before it and unlinks it.
static bool decompose_node(Ctx *c, Node *n) {
  Builder b = builder_replacing(n, "decompose");
  Value **out = NEW_ARRAY(c->arena, Value *, n->nout);
  int errors = diag_errors(c->diag);
  if (!n->op->info->decompose(&b, n, out)) {
    if (diag_errors(c->diag) == errors)
      diag_error(c->diag, n->loc, "internal error: '%s' could not be decomposed", n->op->name);
    return false;
  }
  for (int i = 0; i < n->nout; i++)
    if (out[i]) node_replace(n, i, out[i]);
  node_remove(n);
  return true;
}

// The pieces may want decomposing themselves: the walk goes on with the first of them.
static bool decompose_graph(Graph *g, void *data) {
  Ctx *c = data;
  for (Node *n = g->first, *next; n; n = next) {
    next = n->next;
    if (!n->op->info->decompose) continue;
    Node *before = n->prev;
    for (int i = 0; i < n->nin; i++)
      if (n->in[i]) n->in[i] = value_resolve(n->in[i]);
    if (!decompose_node(c, n)) return false;
    next = before ? before->next : g->first;
  }
  graph_resolve(g);
  return true;
}

bool pass_decompose(Module *m, const PassOptions *o) {
  (void)o;
  bool ok = each_graph(m->main, decompose_graph, m->ctx);
  graph_count_uses(m->main);
  return ok;
}
