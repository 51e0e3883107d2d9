// states.c: states that grow become buffers with room, which are appended to.
// SPDX-License-Identifier: Apache-2.0
//
// What a run reads of such a state is its old value and the new rows. With the strides of the largest extent the
// old rows stay where they are, and the memory plan drops their copying.
#include "passes/internal.h"

// The dims in their order, the growing one with room for as much as it may become.
static const Layout *with_room(Ctx *c, const Type *t, int axis, int64_t room) {
  LayoutPart part[MAX_RANK];
  for (int d = 0; d < t->rank; d++) part[d] = (LayoutPart){.dim = d, .div = 1, .room = d == axis ? room : 0};
  return layout_new(c, part, t->rank);
}

// concat(state, new ...) along the growing axis?
static bool is_append(const Node *n, const Value *state, int axis) {
  if (!n || !op_is(n, "concat") || n->nin < 2 || n->in[0] != state) return false;
  int64_t along = attr_int(n, "axis");
  if (along < 0) along += state->type.rank;
  for (int i = 1; i < n->nin; i++)
    if (n->in[i] == state) return false;
  return along == axis;
}

static Value *all_but_first(Builder *b, const Node *n) {
  if (n->nin == 2) return n->in[1];
  return build(b, "concat", n->in + 1, n->nin - 1, ATTRS(A_INT("axis", attr_int(n, "axis"))));
}

// The appended value, or NULL after reporting.
static Value *append(Node *concat, Value *now, int axis) {
  Builder b = builder_replacing(concat, "states");
  Value *more = all_but_first(&b, concat);
  Value *grown = more ? build(&b, "append", IN(now, more), ATTRS(A_INT("axis", axis))) : NULL;
  if (grown) node_replace(concat, 0, grown);
  return grown;
}

static bool give_room(Graph *g, const State *s) {
  const Sym *sym;
  const Expr *next;
  int axis = state_growth(g, s, &sym, &next);
  Value *now = g->inputs.data[s->input], *then = g->outputs.data[s->output];
  if (axis < 0) return true;
  if (is_append(then->def, now, axis) && !(then = append(then->def, now, axis))) return false;
  now->layout = with_room(g->ctx, &now->type, axis, sym->max);
  if (then->def) then->layout = now->layout; // else fuse makes a copy
  return true;
}

bool pass_states(Module *m, const PassOptions *o) {
  (void)o;
  Graph *g = m->main;
  for (int i = 0; i < g->states.n; i++)
    if (!give_room(g, &g->states.data[i])) return false;
  graph_resolve(g);
  graph_count_uses(g);
  return true;
}
