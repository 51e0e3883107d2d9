// rewrite.c: the loop that applies rewriting rules, and the small constructors that rules use.
// SPDX-License-Identifier: Apache-2.0
#include "passes/rewrite.h"

// ---- questions ----------------------------------------------------------------------------------------------

Node *made_by(const Value *v, const char *op) {
  return v && v->def && op_is(v->def, op) ? v->def : NULL;
}

Node *made_by_once(const Value *v, const char *op) {
  return v && v->uses == 1 ? made_by(v, op) : NULL;
}

bool operand_number(const Node *n, int k, double *x) {
  const Tensor *t = k < n->nin ? const_of(n->in[k]) : NULL;
  if (!t || !type_is_static(&t->type) || type_elements(&t->type) < 1) return false;
  *x = tensor_get(t, 0);
  return const_is_splat(n->in[k], *x);
}

const int64_t *attr_ints(const Node *n, const char *name, int *count) {
  const Attr *a = node_attr(n, name);
  *count = a->n;
  return a->ints;
}

bool same_type(const Value *a, const Value *b) {
  return type_equal(&a->type, &b->type);
}

// ---- building -----------------------------------------------------------------------------------------------

Value *build1(Rewrite *r, const char *op, Value *x) {
  return x ? build(&r->b, op, IN(x), NO_ATTRS) : NULL;
}

Value *build2(Rewrite *r, const char *op, Value *x, Value *y) {
  return x && y ? build(&r->b, op, IN(x, y), NO_ATTRS) : NULL;
}

Value *build_reshape(Rewrite *r, Value *x, int rank, const Dim *dims) {
  if (!x) return NULL;
  const Dim *shape = arena_dup(r->b.ctx->arena, dims, (size_t)(rank ? rank : 1) * sizeof *dims);
  return build(&r->b, "reshape", IN(x), ATTRS(A_SHAPE("shape", shape, rank), A_BOOL("allow_zero", true)));
}

Value *build_scalar(Rewrite *r, DType t, double v) {
  return graph_const(r->b.graph, NULL, tensor_scalar(r->b.ctx, t, v), r->b.loc);
}

// ---- the loop -----------------------------------------------------------------------------------------------

typedef struct RewriteAll {
  Module *m;
  const PassOptions *o;
  const char *pass;
  const Rule *rules;
  int n;
  bool changed;
  Vec(Node *) dead;
} RewriteAll;

static bool rule_names(const char *ops, const char *op) {
  size_t n = strlen(op);
  if (strcmp(ops, "*") == 0) return true;
  for (const char *p = ops; (p = strstr(p, op)); p += n)
    if ((p == ops || p[-1] == ' ') && (p[n] == '\0' || p[n] == ' ')) return true;
  return false;
}

// A replacement of another type would be our bug; it is not used.
static bool try_rule(RewriteAll *all, const Rule *rule, Node *n) {
  Rewrite r = {builder_replacing(n, all->pass), all->o, n};
  bool changed = false;
  Value *v = rule->fn(&r, &changed);
  all->changed |= changed;
  if (!v || v == n->out[0] || !same_type(v, n->out[0])) return false;
  node_replace(n, 0, v);
  vec_push(all->m->ctx->arena, &all->dead, n);
  all->changed = true;
  return true;
}

static bool rewrite_graph(Graph *g, void *data) {
  RewriteAll *all = data;
  for (Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nin; i++)
      if (n->in[i]) n->in[i] = value_resolve(n->in[i]);
    bool done = false;
    for (int i = 0; i < all->n && !done; i++)
      if (rule_names(all->rules[i].ops, n->op->name)) done = try_rule(all, &all->rules[i], n);
  }
  return diag_errors(all->m->ctx->diag) == 0;
}

bool rewrite_module(Module *m, const PassOptions *o, const char *pass, const Rule *rules, int n, int rounds) {
  RewriteAll all = {m, o, pass, rules, n, true, {0}};
  for (int i = 0; i < rounds && all.changed; i++) {
    all.changed = false;
    all.dead.n = 0;
    graph_count_uses(m->main);
    if (!each_graph(m->main, rewrite_graph, &all)) return false;
    graph_resolve(m->main);
    graph_count_uses(m->main);
    for (int k = all.dead.n - 1; k >= 0; k--) node_remove_if_dead(all.dead.data[k]);
  }
  return true;
}
