// layout.c: gives values memory layouts: image-like values [n, c, ...] lie in blocks of channels where the
// kernels that make and read them can walk channels as vector lanes.
// SPDX-License-Identifier: Apache-2.0
#include "passes/product_impl.h"

// Channels of one block: the widest power of two up to the target's lanes that divides them; 0: none.
static int64_t channel_block(const Module *m, const Value *v) {
  const Type *t = &v->type;
  if (t->rank < 3 || !dtype_is_float(t->dtype) || t->dim[1].sym) return 0;
  for (int64_t b = m->target->vector_bytes / dtype_bytes(DT_F32); b >= 4; b /= 2)
    if (t->dim[1].n % b == 0 && t->dim[1].n >= b) return b;
  return 0;
}

// [n, c, h, w] as [n, c/b, h, w, c%b].
static const Layout *blocked_layout(Ctx *c, const Type *t, int64_t block) {
  LayoutPart part[MAX_RANK + 1];
  for (int i = 0; i < t->rank; i++) part[i] = (LayoutPart){.dim = i, .div = i == 1 ? block : 1};
  part[t->rank] = (LayoutPart){.dim = 1, .div = 1, .mod = block};
  return layout_new(c, part, t->rank + 1);
}

// ---- who may be blocked -------------------------------------------------------------------------------------

typedef struct LayoutPass {
  Module *m;
} LayoutPass;

// What the pass knows of a value (value->info): how many channels a block has, and whether it is one.
typedef struct Blocking {
  int64_t block; // 0: must stay plain
  bool on;
} Blocking;

static Blocking *blocking_of(const Value *v) {
  return v->info;
}

static void forbid(Value *v) {
  if (v && v->info) blocking_of(v)->block = 0;
}

// Is e one variable plus a multiple of `block`? Then blocks stay whole.
static bool walks_blocks(Ctx *c, const Expr *e, int64_t block) {
  int64_t k;
  if (e->op == E_VAR) return true;
  if (expr_is_const_int(e, &k)) return k % block == 0;
  if (e->op != E_ADD) return false;
  const Expr *a = e->args[0], *b = e->args[1];
  if (expr_is_const_int(a, &k)) return k % block == 0 && walks_blocks(c, b, block);
  if (expr_is_const_int(b, &k)) return k % block == 0 && walks_blocks(c, a, block);
  return false;
}

static void check_reads(Ctx *c, const Expr *e) {
  const Expr **reads;
  int n = expr_read_list(c, e, &reads);
  for (int i = 0; i < n; i++) {
    Value *v = reads[i]->value;
    if (v->info && blocking_of(v)->block && !walks_blocks(c, reads[i]->args[1], blocking_of(v)->block))
      forbid(v);
  }
}

// The broadcast operand of a product may have its channels anywhere in an affine index (groups).
static void check_product_operand(Product *p, const Expr *operand) {
  const Expr *r = product_read(operand);
  if (!r || !r->value->info || !blocking_of(r->value)->block) {
    check_reads(p->c, operand);
    return;
  }
  int64_t coeff, block = blocking_of(r->value)->block;
  const Expr *rest;
  for (int i = 0; i < p->nk; i++)
    if (expr_affine(p->c, r->args[1], p->k_var[i], &coeff, &rest) && coeff == 1 &&
        p->k_extent[i] % block == 0)
      return;
  check_reads(p->c, operand);
}

static void check_kernel(LayoutPass *l, Node *n) {
  Kernel *k = n->kernel;
  Product p;
  if (k->routine) {
    for (int i = 0; i < n->nin; i++) forbid(n->in[i]);
    for (int i = 0; i < n->nout; i++) forbid(n->out[i]);
    return;
  }
  if (product_match(l->m, k, &p)) {
    check_product_operand(&p, p.a);
    if (p.depthwise)
      check_product_operand(&p, p.b);
    else if (product_read(p.b))
      forbid(product_read(p.b)->value);
    return;
  }
  for (int i = 0; i < k->stages.n; i++) {
    check_reads(l->m->ctx, k->stages.data[i].value);
    if (k->stages.data[i].index) forbid(k->stages.data[i].out);
  }
}

// ---- who is -----------------------------------------------------------------------------------------------------

static void turn_on(Value *v) {
  Blocking *b = blocking_of(v);
  if (b && b->block) b->on = true;
}

// Products with channels as lanes want blocks; other kernels pass on what they read.
static void spread(LayoutPass *l, Node *n) {
  Kernel *k = n->kernel;
  Product p;
  if (!k || k->routine) return;
  if (product_match(l->m, k, &p)) {
    if (p.dim[p.lane].out_dim == 1 && p.stage->out->type.rank >= 3) turn_on(p.stage->out);
    return;
  }
  bool any = false;
  for (int i = 0; i < n->nin; i++)
    any |= n->in[i] && n->in[i]->info && blocking_of(n->in[i])->on && blocking_of(n->in[i])->block;
  for (int i = 0; any && i < n->nout; i++) turn_on(n->out[i]);
}

static void forget(Value *v) {
  v->info = NULL;
}

static void start_value(LayoutPass *l, Value *v) {
  Blocking *b = NEW(l->m->ctx->arena, Blocking);
  b->block = v->layout ? 0 : channel_block(l->m, v);
  v->info = b;
}

static bool start_graph(Graph *g, void *data) {
  LayoutPass *l = data;
  for (int i = 0; i < g->inputs.n; i++) forget(g->inputs.data[i]);
  for (int i = 0; i < g->consts.n; i++) forget(g->consts.data[i]);
  for (Node *n = g->first; n; n = n->next)
    for (int i = 0; i < n->nout; i++)
      if (n->kernel)
        start_value(l, n->out[i]);
      else
        forget(n->out[i]);
  return true;
}

static bool check_graph(Graph *g, void *data) {
  LayoutPass *l = data;
  for (Node *n = g->first; n; n = n->next) {
    if (n->kernel)
      check_kernel(l, n);
    else
      for (int i = 0; i < n->nin; i++) forbid(n->in[i]);
  }
  for (int i = 0; i < g->outputs.n; i++) forbid(g->outputs.data[i]);
  return true;
}

static bool spread_graph(Graph *g, void *data) {
  for (Node *n = g->first; n; n = n->next) spread(data, n);
  return true;
}

static bool finish_graph(Graph *g, void *data) {
  LayoutPass *l = data;
  for (Node *n = g->first; n; n = n->next)
    for (int i = 0; i < n->nout; i++) {
      const Blocking *b = blocking_of(n->out[i]);
      if (b && b->on && b->block) n->out[i]->layout = blocked_layout(l->m->ctx, &n->out[i]->type, b->block);
      forget(n->out[i]);
    }
  return true;
}

bool pass_layout(Module *m, const PassOptions *o) {
  (void)o;
  LayoutPass l = {.m = m};
  each_graph(m->main, start_graph, &l);
  each_graph(m->main, check_graph, &l);
  each_graph(m->main, spread_graph, &l); // one walk is enough: nodes come after what they read
  return each_graph(m->main, finish_graph, &l);
}
