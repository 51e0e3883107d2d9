// layout.c: gives values memory layouts: image-like values [n, c, ...] lie in blocks of channels where the
// kernels that make and read them can walk channels as vector lanes; a value that one product reads as its
// vector operand along a dimension that is not the last (the keys of attention) has that dimension last; what attention
// reads head by head lies head by head.
// SPDX-License-Identifier: Apache-2.0
#include "passes/attention_impl.h"
#include "passes/layout.h"
#include "passes/product_impl.h"

static int64_t lanes_of(const Module *m) {
  return m->target->vector_bytes / dtype_bytes(DT_F32);
}

static int64_t least_block(const Module *m) {
  return lanes_of(m) / 2 > 4 ? lanes_of(m) / 2 : 4;
}

// Channels of one block: as many as the target's lanes, or half of that where no more blocks are needed; the last
// block may have unused ones. 0: too few channels, or no vectors.
static int64_t channel_block(const Module *m, const Value *v) {
  const Type *t = &v->type;
  if (t->rank < 3 || !dtype_is_float(t->dtype) || t->dim[1].sym) return 0;
  int64_t n = t->dim[1].n, block = lanes_of(m);
  while (block > least_block(m) && ceil_div(n, block / 2) == ceil_div(n, block)) block /= 2;
  return block > 1 && n > block / 2 ? block : 0;
}

// [n, c, h, w] as [n, c/b, h, w, c%b].
static const Layout *blocked_layout(Ctx *c, const Type *t, int64_t block) {
  LayoutPart part[MAX_RANK + 1];
  for (int i = 0; i < t->rank; i++) part[i] = (LayoutPart){.dim = i, .div = i == 1 ? block : 1};
  part[t->rank] = (LayoutPart){.dim = 1, .div = 1, .mod = block};
  return layout_new(c, part, t->rank + 1);
}

// The dims in their order but for `last`, which comes last.
static const Layout *dim_last(Ctx *c, const Type *t, int last) {
  LayoutPart part[MAX_RANK];
  int n = 0;
  for (int i = 0; i < t->rank; i++)
    if (i != last) part[n++] = (LayoutPart){.dim = i, .div = 1};
  part[n++] = (LayoutPart){.dim = last, .div = 1};
  return layout_new(c, part, n);
}

// Dim `dim` in blocks of `size`, which lie one behind the other, outside dim `row`.
static const Layout *heads_apart(Ctx *c, const Type *t, int dim, int64_t size, int row) {
  LayoutPart part[MAX_RANK + 1];
  int n = 0;
  for (int i = 0; i < t->rank; i++) {
    if (i == row) part[n++] = (LayoutPart){.dim = dim, .div = size};
    if (i != dim) part[n++] = (LayoutPart){.dim = i, .div = 1};
  }
  part[n++] = (LayoutPart){.dim = dim, .div = 1, .mod = size};
  return layout_new(c, part, n);
}

// ---- who may be blocked -------------------------------------------------------------------------------------

typedef struct LayoutPass {
  Module *m;
} LayoutPass;

// A value that attention reads head by head: element `size` of each of them along `dim`, queries or keys along `row`.
typedef struct Heads {
  int reads; // by attention that agrees on the rest; -1: it does not agree
  int dim, row;
  int64_t size;
} Heads;

// What the pass knows of a value (value->info).
typedef struct Blocking {
  int64_t block;   // channels in a block; 0: must not be blocked
  int64_t least;   // below which no block goes
  bool on;         // is blocked
  int lanes;       // 1 + the dim that products' lanes walk; 0: none, -1: different ones
  int others;      // reads that want the plain order, or that of heads
  Heads heads;     // how attention reads it
  bool vector;     // read by a product along its lanes: blocked only where a product makes it in blocks
  const char *why; // the plain layout was asked for; for remarks
} Blocking;

static Blocking *blocking_of(const Value *v) {
  return v->info;
}

static void forbid(Value *v, const char *why) {
  if (!v || !v->info) return;
  blocking_of(v)->block = 0;
  blocking_of(v)->why = why;
}

static void must_be_plain(Value *v) {
  if (!v || !v->info) return;
  forbid(v, "an output, or read or written by something that knows plain order only");
  blocking_of(v)->others++;
}

// Half the block, or none.
static void shrink(Blocking *b) {
  b->block = b->block / 2 >= b->least ? b->block / 2 : 0;
}

typedef struct BlockWalk {
  Ctx *c;
  const Expr *index, *block;
  bool whole;
} BlockWalk;

static bool is_multiple(Ctx *c, const Expr *e, const Expr *block) {
  return ex_binary(c, E_MOD, e, block) == ex_idx(c, 0);
}

static bool find_walk(const Expr *e, void *data) {
  BlockWalk *w = data;
  int64_t k;
  const Expr *rest;
  if (e->op == E_VAR && expr_affine(w->c, w->index, e->var, &k, &rest) && k == 1)
    w->whole |= is_multiple(w->c, rest, w->block);
  return !w->whole;
}

// Is e a multiple of `block`, or one variable plus that? Then blocks stay whole.
static bool walks_blocks(Ctx *c, const Expr *e, int64_t block) {
  BlockWalk w = {c, e, ex_idx(c, block), is_multiple(c, e, ex_idx(c, block))};
  if (!w.whole) expr_visit(c, e, find_walk, &w);
  return w.whole;
}

static void check_reads(Ctx *c, const Expr *e) {
  const Expr **reads;
  int n = expr_read_list(c, e, &reads);
  for (int i = 0; i < n; i++) {
    Blocking *b = reads[i]->value->info;
    while (b && b->block && !walks_blocks(c, reads[i]->args[1], b->block)) shrink(b);
  }
}

// Does the product have rows along the channels of what it reads? Steps of K would lie a block apart, and the rows
// could not be joined.
static bool has_rows_in_channels(const Product *p, const Expr *read) {
  for (int i = 0; i < p->ndims; i++)
    if (p->dim[i].role == ROLE_M && expr_uses_var(p->c, read->args[1], p->dim[i].var)) return true;
  return false;
}

// The broadcast operand of a product may have its channels anywhere in an affine index (groups).
static void check_product_operand(Product *p, const Expr *operand) {
  const Expr *r = product_read(operand);
  if (r && r->value->info && blocking_of(r->value)->block && has_rows_in_channels(p, r))
    forbid(r->value, "a product has its rows along its channels");
  if (!r || !r->value->info || !blocking_of(r->value)->block) {
    check_reads(p->c, operand);
    return;
  }
  int64_t coeff, block = blocking_of(r->value)->block;
  const Expr *rest;
  for (int i = 0; i < p->nk; i++)
    if (expr_affine(p->c, r->args[1], p->k_var[i], &coeff, &rest) && coeff == 1 &&
        is_multiple(p->c, rest, ex_idx(p->c, block)))
      return;
  check_reads(p->c, operand);
}

static const char WHY_VECTOR[] = "a product reads it as its vector operand, made at run time";

// Elements of the vector operand that the product loads for each of its rows.
static int64_t vector_reads(const Product *p) {
  int64_t n = 1;
  for (int i = 0; i < p->ndims; i++)
    if (p->dim[i].role != ROLE_M) n = mul_sat(n, p->dim[i].extent);
  for (int i = 0; i < p->nk; i++) n = mul_sat(n, p->k_extent[i]);
  return n;
}

// The vector operand of a product, if it is made at run time: its lanes walk one dim. What is read often is best
// plain for that; what is read about once may stay in the blocks in which it is made best.
static void check_vector_operand(Product *p) {
  const Expr *r = product_read(p->b);
  const Var *lane = p->dim[p->lane].var;
  if (!r || !r->value->info) return;
  if (vector_reads(p) > 2 * type_elements(&r->value->type)) forbid(r->value, WHY_VECTOR);
  blocking_of(r->value)->vector = true;
  blocking_of(r->value)->why = WHY_VECTOR;
  int dim = -1;
  for (int i = 0; i < r->nargs; i++) {
    int64_t coeff;
    const Expr *rest;
    if (!expr_uses_var(p->c, r->args[i], lane)) continue;
    bool walks = dim < 0 && expr_affine(p->c, r->args[i], lane, &coeff, &rest) && coeff == 1;
    dim = walks ? i : r->nargs;
  }
  Blocking *b = blocking_of(r->value);
  if (dim < 0 || dim == r->nargs)
    b->lanes = -1;
  else
    b->lanes = b->lanes == 0 || b->lanes == dim + 1 ? dim + 1 : -1;
}

static void check_product(Product *p) {
  const Expr **reads, *a = product_read(p->a), *b = product_read(p->b);
  int n = expr_read_list(p->c, p->value, &reads);
  for (int i = 0; i < n; i++) {
    Blocking *x = reads[i]->value->info;
    if (x && reads[i] != b) x->others++;
    if (reads[i] != a && reads[i] != b) check_reads(p->c, reads[i]);
  }
  check_product_operand(p, p->a);
  if (p->depthwise)
    check_product_operand(p, p->b);
  else
    check_vector_operand(p);
}

// Parts of the channels begin where blocks of the result do: else its blocks become smaller, or none.
static void fit_offset(Value *out, const Expr *index) {
  Blocking *b = out->info;
  int64_t k;
  if (!b || !b->block || index->nargs != 2 || !expr_is_const_int(index->args[1], &k)) return;
  while (b->block && k % b->block) shrink(b);
}

static void check_stages(LayoutPass *l, const Kernel *k) {
  Ctx *c = l->m->ctx;
  for (int i = 0; i < k->stages.n; i++) {
    const Expr **reads;
    int n = expr_read_list(c, k->stages.data[i].value, &reads);
    for (int j = 0; j < n; j++) {
      if (!reads[j]->value->info) continue;
      blocking_of(reads[j]->value)->others++;
      if (blocking_of(reads[j]->value)->block) fit_offset(k->stages.data[i].out, reads[j]->args[1]);
    }
    check_reads(c, k->stages.data[i].value);
    if (k->stages.data[i].index) forbid(k->stages.data[i].out, "it is scattered into");
  }
}

// What attention reads as queries, keys or values: `row` numbers them, `element` walks the elements of a head's.
static void check_heads(Ctx *c, const Expr *operand, const Var *row, const Var *element) {
  const Expr **reads, *rest;
  if (expr_read_list(c, operand, &reads) != 1 || !reads[0]->value->info) return;
  const Expr *r = reads[0];
  Blocking *b = blocking_of(r->value);
  int64_t size, coeff;
  Heads h = {.reads = b->heads.reads + 1, .dim = -1, .row = -1};
  if (!expr_is_const_int(element->extent, &size)) return;
  for (int i = 0; i < r->nargs; i++) {
    if (expr_uses_var(c, r->args[i], row)) h.row = i;
    if (expr_affine(c, r->args[i], element, &coeff, &rest) && coeff == 1 &&
        is_multiple(c, rest, ex_idx(c, size)))
      h.dim = i;
  }
  const Dim *d = h.dim < 0 ? NULL : &r->value->type.dim[h.dim];
  if (!d || d->sym || d->n % size || d->n == size || h.row < 0 || h.row >= h.dim) return;
  h.size = size;
  bool agrees = b->heads.reads == 0 || (b->heads.reads > 0 && b->heads.dim == h.dim &&
                                        b->heads.row == h.row && b->heads.size == size);
  if (!agrees) h.reads = -1;
  b->heads = h;
}

static void check_attention(Ctx *c, const Kernel *k) {
  Attention a;
  if (!attention_match(c, k, &a) || a.row < 0) return;
  check_heads(c, a.q, a.lead[a.row], a.size);
  check_heads(c, a.k, a.key, a.size);
  check_heads(c, a.v, a.key, a.col);
}

static void check_kernel(LayoutPass *l, Node *n) {
  Kernel *k = n->kernel;
  Product p;
  if (!k->routine && product_match(l->m, k, &p)) {
    check_product(&p);
  } else if (!k->routine) {
    check_stages(l, k);
    check_attention(l->m->ctx, k);
  } else {
    for (int i = 0; i < n->nin; i++) must_be_plain(n->in[i]);
    for (int i = 0; i < n->nout; i++) must_be_plain(n->out[i]);
  }
}

// ---- who is -----------------------------------------------------------------------------------------------------

static void turn_on(Value *v) {
  Blocking *b = blocking_of(v);
  if (b && b->block) b->on = true;
}

// Does the kernel walk v's channels one by one with those of its own result? Then blocks of the two should be the same; and
// where channels are neighbours in the result only, its blocks would be gathered element by element.
static bool same_channels(Ctx *c, const Node *node, const Value *v) {
  const Kernel *k = node->kernel;
  int64_t step;
  const Expr *rest;
  for (int i = 0; i < k->stages.n; i++) {
    const Stage *s = &k->stages.data[i];
    const Expr **reads;
    bool result = s->ndims > 1 && s->out->def == node; // not a local
    int n = result ? expr_read_list(c, s->value, &reads) : 0;
    for (int j = 0; j < n; j++)
      if (reads[j]->value == v && expr_affine(c, reads[j]->args[1], s->dims[1], &step, &rest) && step == 1)
        return true;
  }
  return false;
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
  int64_t block = INT64_MAX; // the smallest of what is read
  bool any = false;
  for (int i = 0; i < n->nin; i++) {
    const Blocking *b = n->in[i] ? n->in[i]->info : NULL;
    if (!b || !b->on || !b->block || !same_channels(l->m->ctx, n, n->in[i])) continue;
    any = true;
    if (b->block < block) block = b->block;
  }
  for (int i = 0; any && i < n->nout; i++) {
    Blocking *b = blocking_of(n->out[i]);
    if (b && b->vector) continue;
    if (b && b->block > block) b->block = block;
    turn_on(n->out[i]);
  }
}

static void forget(Value *v) {
  v->info = NULL;
}

static void start_value(LayoutPass *l, Value *v) {
  Blocking *b = NEW(l->m->ctx->arena, Blocking);
  b->block = v->layout ? 0 : channel_block(l->m, v);
  b->least = least_block(l->m);
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
      for (int i = 0; i < n->nin; i++) must_be_plain(n->in[i]);
  }
  for (int i = 0; i < g->outputs.n; i++) must_be_plain(g->outputs.data[i]);
  return true;
}

static bool spread_graph(Graph *g, void *data) {
  for (Node *n = g->first; n; n = n->next) spread(data, n);
  return true;
}

static void explain(Module *m, const Value *v, const Blocking *b) {
  if (b->on && b->block)
    remark(m, "layout", v, "%s: blocks of %lld channels, which products walk as vector lanes",
           layout_text(m->ctx, v->layout), (long long)b->block);
  else if (v->layout && b->lanes == 0)
    remark(m, "layout", v, "%s: attention reads it head by head", layout_text(m->ctx, v->layout));
  else if (v->layout)
    remark(m, "layout", v, "%s: the products that read it walk dimension %d with their lanes",
           layout_text(m->ctx, v->layout), b->lanes - 1);
  else
    remark(m, "layout", v, "plain: %s",
           b->why                ? b->why
           : channel_block(m, v) ? "no product with channels as lanes makes it, or a reader cuts its blocks"
                                 : "not an image, or its channels do not come in whole vectors");
}

// Is everything that reads the value attention, and can the product that makes it store vectors of a head?
static bool lies_by_heads(Module *m, const Value *v, const Blocking *b) {
  Product p;
  return b->heads.reads > 0 && b->heads.reads == b->others && b->lanes == 0 &&
         b->heads.size % lanes_of(m) == 0 && product_match(m, v->def->kernel, &p) && !p.depthwise &&
         p.dim[p.lane].out_dim == b->heads.dim;
}

static void settle(Module *m, Value *v) {
  const Blocking *b = blocking_of(v);
  if (!b || v->layout) return;
  if (b->on && b->block)
    v->layout = blocked_layout(m->ctx, &v->type, b->block);
  else if (b->lanes > 0 && b->lanes < v->type.rank && b->others == 0)
    v->layout = dim_last(m->ctx, &v->type, b->lanes - 1);
  else if (lies_by_heads(m, v, b))
    v->layout = heads_apart(m->ctx, &v->type, b->heads.dim, b->heads.size, b->heads.row);
  explain(m, v, b);
}

static bool finish_graph(Graph *g, void *data) {
  LayoutPass *l = data;
  for (Node *n = g->first; n; n = n->next)
    for (int i = 0; i < n->nout; i++) {
      settle(l->m, n->out[i]);
      forget(n->out[i]);
    }
  return true;
}

bool pass_layout(Module *m, const PassOptions *o) {
  LayoutPass l = {.m = m};
  each_graph(m->main, start_graph, &l);
  each_graph(m->main, check_graph, &l);
  each_graph(m->main, spread_graph, &l); // one walk is enough: nodes come after what they read
  each_graph(m->main, finish_graph, &l);
  layout_states(m, o);
  layout_gather(m);
  return true;
}
