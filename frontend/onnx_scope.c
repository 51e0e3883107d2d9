// onnx_scope.c: what names stand for, and the order of nodes.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_scope.h"

typedef struct Entry {
  Val *val; // NULL: an initialiser that nobody asked for yet
  const OnnxTensor *init;
  const OnnxSparse *sparse;
} Entry;

Scope *scope_new(Import *im, Scope *parent) {
  Scope *s = NEW(im->ctx->arena, Scope);
  s->parent = parent;
  s->names = map_new(im->ctx->arena);
  s->path = parent ? parent->path : "";
  if (parent) {
    s->opsets = parent->opsets;
    s->nopsets = parent->nopsets;
  }
  return s;
}

static bool declare(Import *im, Scope *s, Loc loc, const char *name, Entry entry) {
  Entry *e = arena_dup(im->ctx->arena, &entry, sizeof entry);
  if (map_put(s->names, name, e)) return true;
  diag_error(im->ctx->diag, loc, "the name '%s' is defined twice", name);
  return false;
}

static Loc init_loc(Import *im, const char *name) {
  return (Loc){.src = im->model->src, .what = arena_printf(im->ctx->arena, "initializer '%s'", name)};
}

bool scope_add_initialisers(Import *im, Scope *s, const OnnxGraph *g) {
  bool ok = true;
  for (int64_t i = 0; i < g->ninits; i++) {
    const OnnxTensor *t = &g->inits[i];
    ok &= declare(im, s, init_loc(im, t->name), t->name, (Entry){.init = t});
  }
  for (int64_t i = 0; i < g->nsparse; i++) {
    const char *name = g->sparse[i].values ? g->sparse[i].values->name : "";
    ok &= declare(im, s, init_loc(im, name), name, (Entry){.sparse = &g->sparse[i]});
  }
  return ok;
}

bool scope_bind(Import *im, Scope *s, Loc loc, Val *v) {
  return v->name[0] == '\0' || declare(im, s, loc, v->name, (Entry){.val = v});
}

static Val *load(Import *im, const char *name, const Entry *e) {
  Loc loc = init_loc(im, name);
  if (e->init && e->init->elem == ONNX_STRING) return val_strings(im, name, e->init);
  Tensor *t = e->init ? onnx_tensor(im->files, loc, e->init) : onnx_sparse_tensor(im->files, loc, e->sparse);
  if (!t) return val_new(im, VAL_FAILED, name);
  int32_t elem = e->init ? e->init->elem : e->sparse->values->elem;
  return val_tensor(im, name, graph_const(im->module->main, name, t, loc), elem);
}

Val *scope_find(Import *im, Scope *s, const char *name) {
  for (; s; s = s->parent) {
    Entry *e = map_get(s->names, name);
    if (!e) continue;
    if (!e->val) e->val = load(im, name, e);
    return e->val;
  }
  return NULL;
}

bool scope_declares(const Scope *s, const char *name) {
  return map_get(s->names, name) != NULL;
}

const OnnxAttr *scope_attr(const Scope *s, const OnnxAttr *a) {
  if (a->ref[0] == '\0') return a;
  while (s && !s->is_function) s = s->parent;
  for (int i = 0; s && i < s->nattrs; i++) {
    if (strcmp(s->attrs[i].name, a->ref) == 0) return &s->attrs[i];
  }
  return NULL;
}

static bool same_domain(const char *a, const char *b) {
  if (strcmp(a, "ai.onnx") == 0) a = "";
  if (strcmp(b, "ai.onnx") == 0) b = "";
  return strcmp(a, b) == 0;
}

int scope_version(const Scope *s, const char *domain) {
  for (int64_t i = 0; i < s->nopsets; i++) {
    if (same_domain(s->opsets[i].domain, domain)) return (int)s->opsets[i].version;
  }
  // Before IR version 3 files did not say; exporters' own domains are often not listed.
  return s->nopsets == 0 || !same_domain(domain, "") ? 1 : 0;
}

static const char *node_name(const OnnxNode *n) {
  return n->name[0] ? n->name : n->nout ? n->out[0] : "";
}

static const char *path_of(const Import *im) {
  return im->scope ? im->scope->path : "";
}

const char *scope_call_path(Import *im, const OnnxNode *n) {
  // Every node within repeats it: calls of calls with long names leave out the first.
  bool fits = strlen(path_of(im)) + strlen(node_name(n)) <= ONNX_PATH;
  return arena_printf(im->ctx->arena, "%s%.*s/", fits ? path_of(im) : ".../", ONNX_PATH, node_name(n));
}

Loc node_loc(Import *im, const OnnxNode *n) {
  const char *what = arena_printf(im->ctx->arena, "node '%s%s' (%s)", path_of(im), node_name(n), n->op);
  return (Loc){.src = im->model->src, .what = what};
}

// ---- order of nodes -------------------------------------------------------------------------------------------

typedef enum Mark { UNSEEN, NEEDED, OPEN, DONE } Mark;

typedef struct Order {
  Import *im;
  const OnnxNode *nodes;
  Map *producer; // name -> index + 1
  int **deps;    // of each node: producers of what it reads
  int *ndeps;
} Order;

typedef Vec(int) Ints;

static void add_dep(Order *o, Ints *deps, const char *name) {
  intptr_t at = (intptr_t)map_get(o->producer, name);
  if (at) vec_push(o->im->ctx->arena, deps, (int)at - 1);
}

// What a node reads, also from within its subgraphs. Names that a subgraph defines itself may be taken for
// captured ones; that only orders more than needed. Depth is bounded by the reader's.
static void add_deps(Order *o, Ints *deps, const OnnxNode *n) {
  for (int64_t i = 0; i < n->nin; i++) add_dep(o, deps, n->in[i]);
  for (int64_t i = 0; i < n->nattrs; i++) {
    const OnnxGraph *g = n->attrs[i].g;
    for (int64_t k = 0; g && k < g->nnodes; k++) add_deps(o, deps, &g->nodes[k]);
    for (int64_t k = 0; g && k < g->nout; k++) add_dep(o, deps, g->out[k].name);
  }
}

static bool find_producers(Order *o, int64_t n) {
  bool ok = true;
  for (int64_t i = 0; i < n; i++) {
    for (int64_t k = 0; k < o->nodes[i].nout; k++) {
      const char *name = o->nodes[i].out[k];
      if (name[0] == '\0' || map_put(o->producer, name, (void *)(intptr_t)(i + 1))) continue;
      diag_error(o->im->ctx->diag, node_loc(o->im, &o->nodes[i]), "the name '%s' is defined twice", name);
      ok = false;
    }
  }
  return ok;
}

// Depth-first from node `root` with an explicit stack; appends finished nodes. False on a cycle.
static bool finish(Order *o, int root, Mark *mark, int *stack, int *next, int *order, int *count) {
  int depth = 0;
  if (mark[root] == DONE) return true;
  mark[stack[depth] = root] = OPEN;
  while (depth >= 0) {
    int at = stack[depth];
    if (next[at] == o->ndeps[at]) {
      mark[at] = DONE;
      order[(*count)++] = at;
      depth--;
      continue;
    }
    int dep = o->deps[at][next[at]++];
    if (mark[dep] == OPEN) {
      diag_error(o->im->ctx->diag, node_loc(o->im, &o->nodes[dep]), "the node needs its own result: a cycle");
      return false;
    }
    if (mark[dep] == DONE) continue;
    mark[stack[++depth] = dep] = OPEN;
  }
  return true;
}

// Marks all that `outputs` need. The stack may hold a node once per use: it is bounded by marking on push.
static void mark_needed(Order *o, const char *const *outputs, int64_t noutputs, Mark *mark, int *stack) {
  int depth = 0;
  for (int64_t i = 0; i < noutputs; i++) {
    intptr_t at = (intptr_t)map_get(o->producer, outputs[i]);
    if (!at || mark[at - 1] != UNSEEN) continue;
    mark[at - 1] = NEEDED;
    stack[depth++] = (int)at - 1;
  }
  while (depth > 0) {
    int at = stack[--depth];
    for (int k = 0; k < o->ndeps[at]; k++) {
      int dep = o->deps[at][k];
      if (mark[dep] != UNSEEN) continue;
      mark[dep] = NEEDED;
      stack[depth++] = dep;
    }
  }
}

int order_nodes(Import *im, const OnnxNode *nodes, int64_t n, const char *const *outputs, int64_t noutputs,
                int *order) {
  Arena *a = im->ctx->arena;
  Order o = {.im = im, .nodes = nodes, .producer = map_new(a)};
  o.deps = NEW_ARRAY(a, int *, n + 1);
  o.ndeps = NEW_ARRAY(a, int, n + 1);
  if (!find_producers(&o, n)) return -1;
  for (int64_t i = 0; i < n; i++) {
    Ints deps = {0};
    add_deps(&o, &deps, &nodes[i]);
    o.deps[i] = deps.data;
    o.ndeps[i] = deps.n;
  }
  Mark *mark = NEW_ARRAY(a, Mark, n + 1);
  int *stack = NEW_ARRAY(a, int, n + 1), *next = NEW_ARRAY(a, int, n + 1), count = 0;
  mark_needed(&o, outputs, noutputs, mark, stack);
  for (int64_t i = 0; i < n; i++) {
    if (mark[i] == NEEDED && !finish(&o, (int)i, mark, stack, next, order, &count)) return -1;
  }
  return count;
}
