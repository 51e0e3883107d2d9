// merge_products.c: products that share their left operand become one, whose weights lie side by side.
// SPDX-License-Identifier: Apache-2.0
//
// Every element of the result is the same sum as before. What is saved is a step for each product: some tenths of a
// microsecond with threads, less without. That counts where products take a few microseconds; larger ones read the left
// operand once for each panel of weights in either case, and then readers of the parts find their rows further apart.
#include "ir/ops.h"
#include "passes/rewrite.h"

enum {
  MERGE_MAX = 16,           // products
  FEW_ROWS = 16,            // of results
  SMALL_WEIGHTS = 256 << 10 // bytes of a product's
};

// Products of one value, of one kind.
typedef struct Group {
  Node *n[MERGE_MAX];
  int count;
} Group;

static bool w_swapped(const Node *n) {
  return op_is(n, "linear") && attr_bool(n, "transpose_w");
}

static Value *bias_of(const Node *n) {
  return n->nin > 2 ? n->in[2] : NULL;
}

// Open extents may be 1: where they are large the product gains nothing and loses little.
static bool is_small(const Node *n) {
  const Type *y = &n->out[0]->type;
  int64_t rows = 1;
  for (int d = 0; d < y->rank - 1; d++)
    if (!y->dim[d].sym) rows = mul_sat(rows, y->dim[d].n);
  return rows <= FEW_ROWS && type_bytes(&n->in[1]->type) <= SMALL_WEIGHTS;
}

static bool is_candidate(const Node *n) {
  if (!op_is(n, "linear") && !op_is(n, "matmul")) return false;
  if (op_is(n, "linear") && attr_bool(n, "transpose_x")) return false;
  const Value *x = n->in[0], *w = n->in[1], *bias = bias_of(n);
  return x->type.rank >= 2 && const_of(w) && w->type.rank == 2 && dtype_is_float(w->type.dtype) &&
         (!bias || (const_of(bias) && bias->type.rank == 1)) && !value_is_output(n->graph, n->out[0]) &&
         is_small(n);
}

static bool go_together(const Node *a, const Node *b) {
  return a->op == b->op && a->in[0] == b->in[0] && a->graph == b->graph && w_swapped(a) == w_swapped(b) &&
         a->in[1]->type.dtype == b->in[1]->type.dtype && !bias_of(a) == !bias_of(b) &&
         a->out[0]->type.dtype == b->out[0]->type.dtype;
}

static int64_t columns(const Node *n) {
  const Type *y = &n->out[0]->type;
  return y->dim[y->rank - 1].n;
}

// The constants' rows one behind the other, `row` elements of each at a time.
static Value *side_by_side(const Group *g, int operand, int axis) {
  const Node *first = g->n[0];
  const Value *like = first->in[operand];
  Type type = like->type;
  Ctx *c = first->graph->ctx;
  int64_t whole = 0, rows = axis == 0 ? 1 : type.dim[0].n;
  for (int i = 0; i < g->count; i++) whole += g->n[i]->in[operand]->type.dim[axis].n;
  type.dim[axis] = dim_const(whole);
  if (!type_check_size(c, first->loc, &type)) return NULL;
  Tensor *t = tensor_new(c, &type);
  char *to = tensor_data(t);
  for (int64_t r = 0; r < rows; r++)
    for (int i = 0; i < g->count; i++) {
      const Tensor *part = g->n[i]->in[operand]->data;
      size_t bytes = (size_t)(part->bytes / (size_t)rows);
      memcpy(to, (const char *)part->data + (size_t)r * bytes, bytes);
      to += bytes;
    }
  return graph_const(first->graph, like->name, t, first->loc);
}

static bool merge(const Group *g) {
  Node *first = g->n[0];
  Builder b = builder_replacing(first, "merge_products");
  Value *in[] = {value_resolve(first->in[0]), side_by_side(g, 1, w_swapped(first) ? 0 : 1),
                 bias_of(first) ? side_by_side(g, 2, 0) : NULL};
  if (!in[1]) return false;
  Value *all = build(&b, first->op->name, in, in[2] ? 3 : 2, first->attr, first->op->nattr);
  if (!all) return false;
  int64_t at = 0;
  for (int i = 0; i < g->count; i++) {
    Value *part = mk_slice(&b, all, all->type.rank - 1, at, at + columns(g->n[i]));
    if (!part) return false;
    at += columns(g->n[i]);
    if (i) node_inherit(all->def, g->n[i]);
    node_replace(g->n[i], 0, part);
  }
  return true;
}

// Groups by their left operand, in a chain.
typedef struct Entry {
  Group group;
  struct Entry *next;
} Entry;

typedef struct Merging {
  Ctx *c;
  PtrMap by_operand; // Value -> Entry
  PtrMap taken;      // values that their reader would take on better as they are
  Vec(Entry *) entries;
  bool changed;
} Merging;

static void add_product(Merging *m, Node *n) {
  Entry *first = ptr_get(&m->by_operand, n->in[0]), *e = first;
  while (e && !(go_together(e->group.n[0], n) && e->group.count < MERGE_MAX)) e = e->next;
  if (e) {
    e->group.n[e->group.count++] = n;
    return;
  }
  e = NEW(m->c->arena, Entry);
  *e = (Entry){.group = {.n = {n}, .count = 1}, .next = first};
  ptr_put(m->c->arena, &m->by_operand, n->in[0], e);
  vec_push(m->c->arena, &m->entries, e);
}

// What goes into a concat is computed there in place, what goes into a function of elements has it for its epilogue: as a
// part of something else it would take one more step.
static void note_takers(Merging *m, const Graph *g) {
  for (const Node *n = g->first; n; n = n->next) {
    if (!op_is(n, "concat") && !n->op->info->expr) continue;
    for (int i = 0; i < n->nin; i++)
      if (n->in[i]) ptr_put(m->c->arena, &m->taken, n->in[i], n->in[i]);
  }
}

static bool merge_graph(Graph *g, void *data) {
  Merging *m = data;
  m->by_operand = (PtrMap){0};
  m->entries.n = 0;
  note_takers(m, g);
  for (Node *n = g->first; n; n = n->next)
    if (is_candidate(n) && !ptr_get(&m->taken, n->out[0])) add_product(m, n);
  for (int i = 0; i < m->entries.n; i++) {
    const Group *group = &m->entries.data[i]->group;
    if (group->count < 2) continue;
    if (!merge(group)) return false;
    m->changed = true;
  }
  return true;
}

bool pass_merge_products(Module *m, const PassOptions *o) {
  Merging all = {.c = m->ctx};
  graph_count_uses(m->main);
  if (!each_graph(m->main, merge_graph, &all)) return false;
  if (!all.changed) return true;
  graph_resolve(m->main);
  graph_count_uses(m->main);
  return pass_dce(m, o);
}
