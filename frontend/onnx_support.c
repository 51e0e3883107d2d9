// onnx_support.c: the table of operators, and the check that a model uses only what is in it.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_scope.h"

static const OnnxOp *const TABLES[] = {
    ONNX_OPS_ELEMENTWISE,
    ONNX_OPS_SHAPE,
    ONNX_OPS_INDEX,
    ONNX_OPS_REDUCE,
    ONNX_OPS_LINEAR,
    ONNX_OPS_CONV,
    ONNX_OPS_POOL,
    ONNX_OPS_NORM,
    ONNX_OPS_SORT,
    ONNX_OPS_QUANT,
    ONNX_OPS_IMAGE,
    ONNX_OPS_CONTROL,
    ONNX_OPS_SEQUENCE,
    ONNX_OPS_LOSS,
    ONNX_OPS_SIGNAL,
    ONNX_OPS_RANDOM,
    ONNX_OPS_RECURRENT,
    ONNX_OPS_TEXT,
    ONNX_OPS_REFUSED,
    ONNX_OPS_ATTENTION,
    ONNX_OPS_CONTRIB,
    ONNX_OPS_CONTRIB_QUANT,
    ONNX_OPS_CONTRIB_ATTENTION,
    ONNX_OPS_ML,
    ONNX_OPS_ML_SCORES,
    ONNX_OPS_ML_TREES,
    ONNX_OPS_ML_SVM,
};

static const char *plain_domain(const char *domain) {
  return strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

static const char *op_key(Arena *a, const char *domain, const char *name) {
  return arena_printf(a, "%s:%s", plain_domain(domain), name);
}

Map *ops_map(Arena *a) {
  Map *m = map_new(a);
  for (int t = 0; t < ARRAY_LEN(TABLES); t++) {
    for (const OnnxOp *op = TABLES[t]; op->name; op++)
      map_put(m, op_key(a, op->domain, op->name), (void *)op);
  }
  return m;
}

const OnnxOp *find_op(const Import *im, const char *domain, const char *name) {
  return map_get(im->ops, op_key(im->ctx->arena, domain, name));
}

bool onnx_op_at(int i, OnnxOpInfo *info) {
  for (int t = 0; t < ARRAY_LEN(TABLES); t++) {
    for (const OnnxOp *op = TABLES[t]; op->name; op++) {
      if (i-- > 0) continue;
      *info = (OnnxOpInfo){op->domain, op->name, op->fn ? NULL : op->arg};
      return true;
    }
  }
  return false;
}

bool call_as(Call *c, const char *name, int nin) {
  Call other = *c;
  other.op = find_op(c->im, "", name);
  other.version = ONNX_OPSET_MAX;
  if (other.nin > nin) other.nin = nin;
  bool ok = !c->failed && other.op->fn(&other);
  c->failed = other.failed;
  return ok;
}

const OnnxFunction *find_function(const Import *im, const OnnxNode *n) {
  const OnnxModel *m = im->model;
  for (int64_t i = 0; i < m->nfunctions; i++) {
    const OnnxFunction *f = &m->functions[i];
    bool same = strcmp(f->name, n->op) == 0 && strcmp(f->overload, n->overload) == 0;
    if (same && strcmp(plain_domain(f->domain), plain_domain(n->domain)) == 0) return f;
  }
  return NULL;
}

// ---- the check ------------------------------------------------------------------------------------------------

// An operator that cannot be translated, with the first node that uses it.
typedef struct Missing {
  const OnnxNode *node;
  Loc loc;
  const char *why;
  int count, version;
} Missing;

typedef struct Check {
  Import *im;
  Map *missing;   // op key -> Missing
  Map *functions; // key -> seen
  Vec(Missing *) list;
} Check;

static void check_nodes(Check *k, const OnnxNode *nodes, int64_t n, const char *const *outputs,
                        int64_t noutputs, const Scope *scope);

static const char *const *value_names(Arena *a, const OnnxValueInfo *values, int64_t n) {
  const char **names = NEW_ARRAY(a, const char *, n + 1);
  for (int64_t i = 0; i < n; i++) names[i] = values[i].name;
  return names;
}

static void check_graph(Check *k, const OnnxGraph *g, const Scope *scope) {
  check_nodes(k, g->nodes, g->nnodes, value_names(k->im->ctx->arena, g->out, g->nout), g->nout, scope);
}

static void note_missing(Check *k, const OnnxNode *n, const char *why, const Scope *scope) {
  Arena *a = k->im->ctx->arena;
  const char *key = op_key(a, n->domain, n->op);
  Missing *m = map_get(k->missing, key);
  if (m) {
    m->count++;
    return;
  }
  m = NEW(a, Missing);
  *m = (Missing){.node = n,
                 .loc = node_loc(k->im, n),
                 .why = why,
                 .count = 1,
                 .version = scope_version(scope, n->domain)};
  map_put(k->missing, key, m);
  vec_push(a, &k->list, m);
}

// A function is checked once, wherever it is called from: its own name is the path.
static void check_function(Check *k, const OnnxFunction *f) {
  Arena *a = k->im->ctx->arena;
  const char *key = arena_printf(a, "%s:%s:%s", f->domain, f->name, f->overload);
  if (!map_put(k->functions, key, k)) return;
  Scope scope = {.opsets = f->opsets, .nopsets = f->nopsets, .path = arena_printf(a, "%s/", f->name)};
  Scope *outer = k->im->scope;
  k->im->scope = &scope;
  check_nodes(k, f->nodes, f->nnodes, f->out, f->nout, &scope);
  k->im->scope = outer;
}

static void check_node(Check *k, const OnnxNode *n, const Scope *scope) {
  const OnnxFunction *f = find_function(k->im, n);
  const OnnxOp *op = f ? NULL : find_op(k->im, n->domain, n->op);
  if (f) {
    check_function(k, f);
  } else if (!op) {
    note_missing(k, n, NULL, scope);
  } else if (!op->fn) {
    note_missing(k, n, op->arg, scope);
  }
  for (int64_t i = 0; i < n->nattrs; i++) {
    if (n->attrs[i].g) check_graph(k, n->attrs[i].g, scope);
  }
}

static void check_nodes(Check *k, const OnnxNode *nodes, int64_t n, const char *const *outputs,
                        int64_t noutputs, const Scope *scope) {
  int *order = NEW_ARRAY(k->im->ctx->arena, int, n + 1);
  int count = order_nodes(k->im, nodes, n, outputs, noutputs, order);
  for (int i = 0; i < count; i++) check_node(k, &nodes[order[i]], scope);
}

static void report(Check *k, const Missing *m) {
  Diag *d = k->im->ctx->diag;
  Arena *a = k->im->ctx->arena;
  const char *domain = plain_domain(m->node->domain);
  const char *where = domain[0] ? arena_printf(a, " of domain '%s'", domain) : "";
  const char *users = m->count > 1 ? arena_printf(a, " (and %d more nodes)", m->count - 1) : "";
  diag_error(d, m->loc, "the operator %s%s, version %d, is not supported%s", m->node->op, where, m->version,
             users);
  if (m->why) {
    diag_note(d, NO_LOC, "%s", m->why);
    return;
  }
  const char **names = NEW_ARRAY(a, const char *, 1024);
  int n = 0;
  OnnxOpInfo info;
  while (n < 1024 && onnx_op_at(n, &info)) names[n++] = info.name;
  const char *near = nearest_word(m->node->op, names, n);
  if (near) diag_note(d, NO_LOC, "did you mean %s?", near);
}

bool check_support(Import *im) {
  Arena *a = im->ctx->arena;
  Check k = {.im = im, .missing = map_new(a), .functions = map_new(a)};
  int before = diag_errors(im->ctx->diag);
  check_graph(&k, im->model->graph, im->scope);
  for (int i = 0; i < k.list.n; i++) report(&k, k.list.data[i]);
  return diag_errors(im->ctx->diag) == before;
}
