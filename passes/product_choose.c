// product_choose.c: takes sums of products for the class: tile, packing of the constant operand.
// SPDX-License-Identifier: Apache-2.0
#include "passes/product_impl.h"

// The kernel reads `to` instead of `from`.
static const Expr *swap_value(Ctx *c, const Expr *e, void *data) {
  Value **pair = data;
  return e->op == E_READ && e->value == pair[0] ? ex_read(c, pair[1], e->args, e->nargs) : e;
}

// Does the kernel read w only at places that its input data chooses? Then it does not care how rows lie.
static bool only_looks_up(Ctx *c, const Kernel *k, const Value *w) {
  if (k->routine) return false;
  for (int i = 0; i < k->stages.n; i++) {
    const Expr **reads;
    int n = expr_read_list(c, k->stages.data[i].value, &reads);
    for (int r = 0; r < n; r++) {
      bool chosen = reads[r]->value != w;
      for (int d = 0; d < reads[r]->nargs; d++) chosen |= expr_has(c, reads[r]->args[d], E_READ);
      if (!chosen) return false;
    }
  }
  return true;
}

// A table of embeddings that also makes the logits is the largest constant there is: one layout serves both.
static bool others_look_up(Ctx *c, const Node *n, const Value *w) {
  int known = 0;
  for (const Node *o = n->graph->first; o; o = o->next)
    for (int i = 0; i < o->nin; i++) {
      if (o->in[i] != w) continue;
      if (o != n && (!o->kernel || !only_looks_up(c, o->kernel, w))) return false;
      known++;
    }
  return known == w->uses;
}

// Gives the constant the layout, or, where others use it too, a copy of its own.
static void pack_constant(Module *m, Node *n, Value *w, const Layout *layout) {
  if (layout_equal(w->layout, layout)) return;
  if (!w->layout && (w->uses <= 1 || others_look_up(m->ctx, n, w))) {
    w->layout = layout;
    return;
  }
  Value *copy = graph_const(n->graph, w->name, w->data, w->loc), *pair[] = {w, copy};
  copy->layout = layout;
  copy->uses = 1;
  w->uses--;
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] == w) n->in[i] = copy;
  Stage *s = &n->kernel->stages.data[0];
  s->value = expr_rewrite(m->ctx, s->value, swap_value, pair);
}

static void explain(Module *m, const Node *n, const Product *p, const Tile *t) {
  if (!m->wants_remarks) return;
  Str text = {.arena = m->ctx->arena};
  tile_candidates(p, t, &text);
  int64_t steps;
  if (t->round && product_rounds(p, &steps))
    str_printf(&text, "; a single row is rounded to %d bits, %lld elements with one scale", t->round,
               (long long)steps);
  remark(m, "schedule", n->out[0], "%s", str_text(&text));
}

static int64_t const_bytes(const Graph *g) {
  int64_t bytes = 0;
  for (int i = 0; i < g->consts.n; i++) bytes += type_bytes(&g->consts.data[i]->type);
  return bytes;
}

bool product_view(Module *m, Kernel *k, const PassOptions *o, Product *p) {
  KLoop loops[MAX_RANK + 4];
  if (!product_match(m, k, p) || (p->depthwise && p->tile < 0)) return false;
  p->model = const_bytes(m->main);
  p->in_order = o && o->fp_strict;
  p->row_bits = o && o->weights.kind == WEIGHTS_INT4 ? 8 : 16;
  product_collapse(p);
  return product_k_loops(p, loops) > 0;
}

bool product_choose(Module *m, Node *n, const PassOptions *o, const Schedule *wanted) {
  Product p;
  Tile t;
  if (o->opt_level < 2 || !product_view(m, n->kernel, o, &p) || !tile_wanted(&p, wanted, &t)) return false;
  const Layout *layout;
  const Expr **reads;
  int nreads = expr_read_list(m->ctx, p.b, &reads);
  for (int i = 0; i < nreads; i++)
    if (product_pack(&p, &t, reads[i], &layout)) pack_constant(m, n, reads[i]->value, layout);
  tile_save(m->ctx, &n->kernel->schedule, &t);
  explain(m, n, &p, &t);
  return true;
}
