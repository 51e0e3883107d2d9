// fuse_kernel.c: from a finished group to a kernel node: its name, operands and origins.
// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>

#include "passes/fuse.h"

// ---- names --------------------------------------------------------------------------------------------------

static char *identifier(Ctx *c, const char *s) {
  size_t n = s ? strcspn(s, " (") : 0;
  char *r = arena_strndup(c->arena, s ? s : "", n);
  for (char *p = r; *p; p++)
    if (!isalnum((unsigned char)*p)) *p = '_';
  return r;
}

const char *fuse_kernel_name(Fuse *f, const char *what, const char *op) {
  Ctx *c = f->c;
  char *base = identifier(c, what);
  bool bare = !*base || isdigit((unsigned char)*base);
  char *name = bare ? arena_printf(c->arena, "%s%s%s", op, *base ? "_" : "", base)
                    : arena_printf(c->arena, "%s_%s", base, op);
  char *unique = name;
  for (int i = 2; map_get(f->names, unique); i++) unique = arena_printf(c->arena, "%s_%d", name, i);
  map_put(f->names, unique, unique);
  return unique;
}

// "u (softmax)", the origin of what a pass made of it, else value and op themselves.
static const char *name_after(Fuse *f, const Node *n) {
  const char *origin = node_made_by(n) && n->origins.n ? n->origins.data[0].name : NULL;
  const char *paren = origin ? strrchr(origin, '(') : NULL;
  if (!paren || paren < origin + 2 || paren[1] == ')')
    return fuse_kernel_name(f, n->out[0]->name, n->op->name);
  const char *what = arena_strndup(f->c->arena, origin, (size_t)(paren - origin) - 1);
  return fuse_kernel_name(f, what, arena_strndup(f->c->arena, paren + 1, strlen(paren) - 2));
}

// The node that a kernel is named after: its product, else its last reduction, else its root.
static const Node *main_member(Fuse *f, const Group *g) {
  const Node *best = g->root;
  double most = 0;
  for (int i = 0; i < g->members.n; i++) {
    const Node *n = g->members.data[i];
    bool reduces =
        strcmp(n->op->info->group, "linear") == 0 || strcmp(n->op->info->group, "convolution") == 0;
    double size = 0;
    for (int k = 0; reduces && k < n->nin; k++)
      if (n->in[k]) size += (double)type_elements(&n->in[k]->type);
    if (size > most) {
      most = size;
      best = n;
    }
  }
  (void)f;
  return best;
}

// ---- building -----------------------------------------------------------------------------------------------

typedef Vec(Value *) ValueList;

static bool holds(Value *const *list, int n, const Value *v) {
  for (int i = 0; i < n; i++)
    if (list[i] == v) return true;
  return false;
}

static void add_inputs(Fuse *f, const Group *g, const Expr *e, ValueList *ins) {
  const Expr **reads;
  int n = expr_read_list(f->c, e, &reads);
  for (int i = 0; i < n; i++) {
    Value *v = reads[i]->value;
    bool own = holds(g->locals.data, g->locals.n, v) || holds(g->outs.data, g->outs.n, v);
    if (!own && !holds(ins->data, ins->n, v)) vec_push(f->c->arena, ins, v);
  }
}

static int64_t bytes_of(Value *const *v, int n) {
  int64_t sum = 0;
  for (int i = 0; i < n; i++) sum += v[i] ? type_bytes(&v[i]->type) : 0;
  return sum;
}

bool fuse_build(Fuse *f, Group *g) {
  Ctx *c = f->c;
  ValueList ins = {0};
  Kernel *k = NEW(c->arena, Kernel);
  double flops = 0;
  for (int i = 0; i < g->stages.n; i++) {
    Stage *s = &g->stages.data[i];
    if (f->opt >= 1 && expr_has(c, s->value, E_GUARD)) s->value = expr_assume(c, s->value, NULL);
    if (f->opt >= 2 && !f->strict) s->value = fuse_hoist(c, s->value);
    add_inputs(f, g, s->value, &ins);
    for (int d = 0; s->index && d < s->out->type.rank; d++) add_inputs(f, g, s->index[d], &ins);
    vec_push(c->arena, &k->stages, *s);
    flops += stage_flops(c, s);
  }
  for (int i = 0; i < g->locals.n; i++) {
    g->locals.data[i]->def = NULL;
    vec_push(c->arena, &k->locals, g->locals.data[i]);
  }
  const Node *named = main_member(f, g);
  k->name = name_after(f, named);
  k->flops = flops < 1e18 ? (int64_t)flops : (int64_t)1e18;
  k->bytes = bytes_of(ins.data, ins.n) + bytes_of(g->outs.data, g->outs.n);
  k->parallel = 1;
  Builder b = builder_replacing(g->root, "fuse");
  b.loc = named->loc;
  b.like = named; // its origin comes first
  Node *n = build_kernel(&b, k, ins.data, ins.n, g->outs.data, g->outs.n);
  if (!n) return false;
  for (int i = g->members.n - 1; i >= 0; i--) node_inherit(n, g->members.data[i]);
  return true;
}

bool fuse_build_routine(Fuse *f, Node *n) {
  Ctx *c = f->c;
  Kernel *k = NEW(c->arena, Kernel);
  k->name = fuse_kernel_name(f, n->out[0]->name, n->op->name);
  k->routine = n->op->info->routine;
  k->routine_node = n;
  k->bytes = bytes_of(n->in, n->nin) + bytes_of(n->out, n->nout);
  k->parallel = 1;
  Builder b = builder_replacing(n, "fuse");
  return build_kernel(&b, k, n->in, n->nin, n->out, n->nout) != NULL;
}
