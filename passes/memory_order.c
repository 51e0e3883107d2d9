// memory_order.c: an order of the kernels that needs less memory at its peak.
// SPDX-License-Identifier: Apache-2.0
//
// Greedy: of the nodes whose operands are there, the one that adds least (its results less the operands that
// die with it), ties broken in two ways. A new order is taken only if its peak is lower than that of the order
// given, which is the model's own and mostly good.
#include "passes/memory.h"

typedef struct Item {
  Node *n;
  int waits;        // operands not yet computed
  Vec(int) readers; // items that read its results
  bool done;
} Item;

typedef struct Order {
  Plan *p;
  Graph *g;
  Item *item;
  int n;
  PtrMap index; // Node -> Item *
  PtrMap uses;  // Value -> int *: readers that are still to come
} Order;

static int *uses_of(Order *o, const Value *v) {
  return ptr_get(&o->uses, v);
}

static bool is_local(const Order *o, const Value *v) {
  return v && v->def && v->def->graph == o->g;
}

static void note_reader(Order *o, Item *from, Item *it, int reader) {
  for (int i = 0; i < from->readers.n; i++)
    if (from->readers.data[i] == reader) return;
  vec_push(o->p->c->arena, &from->readers, reader);
  it->waits++;
}

static void note_operand(Order *o, Item *it, int reader, Value *v) {
  Item *from = is_local(o, v) ? ptr_get(&o->index, v->def) : NULL;
  if (from && from != it) note_reader(o, from, it, reader);
}

// Who uses an extent that an earlier node finds out comes after that.
static void note_extents(Order *o, int definer) {
  Item *from = &o->item[definer];
  const Sym *sym = node_data_sym(from->n);
  for (int i = definer + 1; sym && i < o->n; i++)
    if (kernel_uses_sym(o->p->c, o->item[i].n, sym)) note_reader(o, from, &o->item[i], i);
}

// Operands of the node and everything its regions read from this graph, each once.
typedef Vec(Value *) ValueList;
static void add_operand(Order *o, ValueList *list, Value *v) {
  if (!is_local(o, v)) return;
  for (int i = 0; i < list->n; i++)
    if (list->data[i] == v) return;
  vec_push(o->p->c->arena, list, v);
}

static void operands_of(Order *o, const Node *n, ValueList *list) {
  for (int i = 0; i < n->nin; i++) add_operand(o, list, n->in[i]);
  for (int r = 0; r < n->nregions; r++) {
    for (const Node *k = n->region[r]->first; k; k = k->next) operands_of(o, k, list);
    for (int i = 0; i < n->region[r]->outputs.n; i++) add_operand(o, list, n->region[r]->outputs.data[i]);
  }
}

static int64_t bytes_of(const Value *v) {
  return v->layout ? layout_bytes(v->def->graph->ctx, v->layout, &v->type) : type_bytes(&v->type);
}

static void count_uses(Order *o) {
  for (int i = 0; i < o->n; i++) {
    ValueList list = {0};
    operands_of(o, o->item[i].n, &list);
    for (int k = 0; k < list.n; k++) {
      int *uses = uses_of(o, list.data[k]);
      if (!uses) ptr_put(o->p->c->arena, &o->uses, list.data[k], uses = NEW(o->p->c->arena, int));
      ++*uses;
    }
  }
  for (int i = 0; i < o->g->outputs.n; i++) {
    Value *v = o->g->outputs.data[i];
    int *uses = uses_of(o, v);
    if (uses) *uses += 1 << 20; // never dies
  }
}

// What memory grows by when the node has run. The node's results come on top while it runs.
static int64_t growth(Order *o, const Node *n, int64_t *during, bool commit) {
  ValueList list = {0};
  int64_t made = 0, freed = 0;
  for (int i = 0; i < n->nout; i++)
    if (n->out[i]->space != SPACE_OUTPUT) made += bytes_of(n->out[i]);
  operands_of(o, n, &list);
  for (int i = 0; i < list.n; i++) {
    int *uses = uses_of(o, list.data[i]);
    if (*uses == 1) freed += bytes_of(list.data[i]);
    if (commit) --*uses;
  }
  *during = made;
  return made - freed;
}

static void prepare(Order *o) {
  Arena *a = o->p->c->arena;
  o->uses = (PtrMap){0};
  o->index = (PtrMap){0};
  o->item = NEW_ARRAY(a, Item, o->n);
  int i = 0;
  for (Node *n = o->g->first; n; n = n->next) {
    o->item[i].n = n;
    ptr_put(a, &o->index, n, &o->item[i++]);
  }
  for (i = 0; i < o->n; i++) {
    ValueList list = {0};
    operands_of(o, o->item[i].n, &list);
    for (int k = 0; k < list.n; k++) note_operand(o, &o->item[i], i, list.data[k]);
  }
  for (i = 0; i < o->n; i++) note_extents(o, i);
  count_uses(o);
}

static void finish_item(Order *o, Item *it) {
  it->done = true;
  for (int i = 0; i < it->readers.n; i++) o->item[it->readers.data[i]].waits--;
}

// The ready item that adds least; of equals the first or the last.
static Item *pick(Order *o, bool last) {
  Item *best = NULL;
  int64_t least = INT64_MAX, during;
  for (int i = 0; i < o->n; i++) {
    Item *it = &o->item[i];
    if (it->done || it->waits) continue;
    int64_t add = growth(o, it->n, &during, false);
    if (add > least || (add == least && !last)) continue;
    least = add;
    best = it;
  }
  return best;
}

// The peak of an order: the given one, or, with `out`, a greedy one, which is stored there.
static int64_t peak_of(Order *o, Node **out, bool last) {
  int64_t now = 0, peak = 0, during;
  prepare(o);
  for (int i = 0; i < o->n; i++) {
    Item *it = out ? pick(o, last) : &o->item[i];
    int64_t add = growth(o, it->n, &during, true);
    if (now + during > peak) peak = now + during;
    now += add;
    finish_item(o, it);
    if (out) out[i] = it->n;
  }
  return peak;
}

static bool is_ordered(const Node *n) {
  const Node *r = n->kernel && n->kernel->routine ? n->kernel->routine_node : n;
  return r && (r->op->info->flags & OP_IMPURE);
}

enum { MAX_NODES = 4000 }; // choosing is quadratic

bool memory_order(Graph *g, void *data) {
  Order o = {.p = data, .g = g};
  for (Node *n = g->first; n; n = n->next) {
    if (is_ordered(n)) return true;
    o.n++;
  }
  if (o.n < 3 || o.n > MAX_NODES) return true;
  Node **best = NULL;
  int64_t least = peak_of(&o, NULL, false);
  for (int last = 0; last < 2; last++) {
    Node **order = NEW_ARRAY(o.p->c->arena, Node *, o.n);
    int64_t peak = peak_of(&o, order, last);
    if (peak >= least) continue;
    least = peak;
    best = order;
  }
  for (int i = 0; best && i < o.n; i++) node_move_before(best[i], NULL);
  return true;
}
