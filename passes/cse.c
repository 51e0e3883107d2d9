// cse.c: merges nodes that compute the same thing from the same operands, and constants of equal contents.
// SPDX-License-Identifier: Apache-2.0
#include "passes/internal.h"

// ---- equal constants ----------------------------------------------------------------------------------------

// Only constants of equal type can be equal; contents are hashed when there are two of a type.
static bool same_const(const Value *a, const Value *b) {
  if (!type_equal(&a->type, &b->type) || a->data->bytes != b->data->bytes) return false;
  if (a->data->data == b->data->data) return true;
  return tensor_hash(a->data) == tensor_hash(b->data) && tensor_equal(a->data, b->data);
}

static uint64_t type_key(const Type *t) {
  uint64_t h = hash_bytes(&t->dtype, sizeof t->dtype);
  for (int i = 0; i < t->rank; i++) {
    uint64_t pair[3] = {h, (uint64_t)t->dim[i].n, (uint64_t)(uintptr_t)t->dim[i].sym};
    h = hash_bytes(pair, sizeof pair);
  }
  return h;
}

// Values or nodes by a hash; collisions chain.
typedef struct Entry {
  void *item;
  struct Entry *next;
} Entry;

static Entry *bucket(const PtrMap *m, uint64_t h) {
  return ptr_get(m, (const void *)(uintptr_t)(h | 1));
}

static void add_entry(Arena *a, PtrMap *m, uint64_t h, void *item) {
  Entry *e = NEW(a, Entry);
  *e = (Entry){item, bucket(m, h)};
  ptr_put(a, m, (const void *)(uintptr_t)(h | 1), e);
}

enum { SMALL_BYTES = 256 }; // contents that are cheaper to hash than to compare with others of the type

static uint64_t const_key(const Value *v) {
  uint64_t h = type_key(&v->type);
  if (v->data->bytes > SMALL_BYTES) return h;
  uint64_t pair[2] = {h, hash_bytes(v->data->data, v->data->bytes)};
  return hash_bytes(pair, sizeof pair);
}

static void merge_consts(Ctx *c, Graph *g) {
  PtrMap seen = {0};
  for (int i = 0; i < g->consts.n; i++) {
    Value *v = g->consts.data[i];
    uint64_t h = const_key(v);
    Entry *e = bucket(&seen, h);
    while (e && !same_const(e->item, v)) e = e->next;
    if (e)
      value_replace(v, e->item);
    else
      add_entry(c->arena, &seen, h, v);
  }
}

// ---- equal nodes --------------------------------------------------------------------------------------------

static bool same_dims(const Attr *a, const Attr *b) {
  for (int i = 0; i < a->n; i++)
    if (!dim_equal(a->dims[i], b->dims[i])) return false;
  return true;
}

static bool same_attr(const Attr *a, const Attr *b) {
  if (a->kind != b->kind || a->n != b->n) return false;
  switch (a->kind) {
  case ATTR_INT:
  case ATTR_FLOAT: return memcmp(&a->i, &b->i, sizeof a->i) == 0;
  case ATTR_BOOL: return (a->i != 0) == (b->i != 0);
  case ATTR_STRING: return a->s == b->s || (a->s && b->s && strcmp(a->s, b->s) == 0);
  case ATTR_DTYPE: return a->t == b->t;
  case ATTR_INTS: return a->n == 0 || memcmp(a->ints, b->ints, (size_t)a->n * sizeof *a->ints) == 0;
  case ATTR_FLOATS: return a->n == 0 || memcmp(a->floats, b->floats, (size_t)a->n * sizeof *a->floats) == 0;
  case ATTR_SHAPE: return same_dims(a, b);
  default: return a->tensor == b->tensor;
  }
}

static bool same_node(const Node *a, const Node *b) {
  if (a->op != b->op || a->nin != b->nin || a->nout != b->nout) return false;
  for (int i = 0; i < a->nin; i++)
    if (a->in[i] != b->in[i]) return false;
  for (int i = 0; i < a->op->nattr; i++)
    if (!same_attr(&a->attr[i], &b->attr[i])) return false;
  for (int i = 0; i < a->nout; i++)
    if (!type_equal(&a->out[i]->type, &b->out[i]->type)) return false;
  return true;
}

static uint64_t attr_key(const Attr *a) {
  switch (a->kind) {
  case ATTR_INT:
  case ATTR_FLOAT: return (uint64_t)a->i;
  case ATTR_INTS: return hash_bytes(a->ints, (size_t)a->n * sizeof *a->ints);
  case ATTR_FLOATS: return hash_bytes(a->floats, (size_t)a->n * sizeof *a->floats);
  default: return 0; // compared only
  }
}

static uint64_t node_key(const Node *n) {
  uint64_t h = (uint64_t)(uintptr_t)n->op;
  for (int i = 0; i < n->op->nattr; i++) {
    uint64_t pair[2] = {h, attr_key(&n->attr[i])};
    h = hash_bytes(pair, sizeof pair);
  }
  for (int i = 0; i < n->nin; i++) {
    uint64_t pair[2] = {h, (uint64_t)(uintptr_t)n->in[i]};
    h = hash_bytes(pair, sizeof pair);
  }
  return h;
}

static bool may_merge(const Node *n) {
  return !n->kernel && n->nregions == 0 && !(n->op->info->flags & OP_IMPURE);
}

static bool merge_graph(Graph *g, void *data) {
  Module *m = data;
  Ctx *c = m->ctx;
  Vec(Node *) dead = {0};
  PtrMap seen = {0};
  merge_consts(c, g);
  for (Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nin; i++)
      if (n->in[i]) n->in[i] = value_resolve(n->in[i]);
    if (!may_merge(n)) continue;
    uint64_t h = node_key(n);
    Entry *e = bucket(&seen, h);
    while (e && !same_node(e->item, n)) e = e->next;
    if (!e) {
      add_entry(c->arena, &seen, h, n);
      continue;
    }
    for (int i = 0; i < n->nout; i++) value_replace(n->out[i], ((Node *)e->item)->out[i]);
    vec_push(c->arena, &dead, n);
  }
  graph_resolve(g);
  for (int i = dead.n - 1; i >= 0; i--) node_remove(dead.data[i]);
  return true;
}

bool pass_cse(Module *m, const PassOptions *o) {
  (void)o;
  bool ok = each_graph(m->main, merge_graph, m);
  graph_count_uses(m->main);
  return ok;
}
