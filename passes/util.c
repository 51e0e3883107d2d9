// util.c: maps, walks and small questions that several passes ask.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "passes/internal.h"

// ---- pointer maps -------------------------------------------------------------------------------------------

static int ptr_slot(const PtrMap *m, const void *key) {
  uint64_t x = (uint64_t)(uintptr_t)key;
  x ^= x >> 29;
  x *= 0x9e3779b97f4a7c15u;
  int i = (int)(x >> 40) & (m->cap - 1);
  while (m->keys[i] && m->keys[i] != key) i = (i + 1) & (m->cap - 1);
  return i;
}

void *ptr_get(const PtrMap *m, const void *key) {
  if (m->cap == 0) return NULL;
  int i = ptr_slot(m, key);
  return m->keys[i] ? m->values[i] : NULL;
}

static void ptr_grow(Arena *a, PtrMap *m) {
  PtrMap big = {.cap = m->cap ? 2 * m->cap : 16};
  big.keys = NEW_ARRAY(a, const void *, big.cap);
  big.values = NEW_ARRAY(a, void *, big.cap);
  for (int i = 0; i < m->cap; i++)
    if (m->keys[i]) ptr_put(a, &big, m->keys[i], m->values[i]);
  *m = big;
}

void ptr_put(Arena *a, PtrMap *m, const void *key, void *value) {
  if (2 * (m->n + 1) > m->cap) ptr_grow(a, m);
  int i = ptr_slot(m, key);
  m->n += m->keys[i] == NULL;
  m->keys[i] = key;
  m->values[i] = value;
}

void ptr_clear(PtrMap *m) {
  if (m->n) memset(m->keys, 0, (size_t)m->cap * sizeof *m->keys);
  m->n = 0;
}

// ---- graphs -------------------------------------------------------------------------------------------------

bool each_graph(Graph *g, bool (*fn)(Graph *g, void *data), void *data) {
  for (Node *n = g->first; n; n = n->next)
    for (int i = 0; i < n->nregions; i++)
      if (!each_graph(n->region[i], fn, data)) return false;
  return fn(g, data);
}

static bool clear_graph(Graph *g, void *data) {
  (void)data;
  for (int i = 0; i < g->inputs.n; i++) g->inputs.data[i]->info = NULL;
  for (int i = 0; i < g->consts.n; i++) g->consts.data[i]->info = NULL;
  for (Node *n = g->first; n; n = n->next) {
    n->info = NULL;
    for (int i = 0; i < n->nout; i++)
      if (n->out[i]) n->out[i]->info = NULL;
  }
  return true;
}

void clear_info(Graph *main) {
  each_graph(main, clear_graph, NULL);
}

bool const_is_splat(const Value *v, double x) {
  const Tensor *t = const_of(v);
  if (!t || !type_is_static(&t->type)) return false;
  int64_t n = type_elements(&t->type);
  if (n == 0 || n > 65536) return false;
  for (int64_t i = 0; i < n; i++)
    if (tensor_get(t, i) != x) return false;
  return true;
}

// Most weights are f32, and there are millions: their exponents tell.
static bool is_finite_f32(const char *data, int64_t n) {
  const uint32_t exponent = 0x7f800000;
  uint32_t bits, infinite = 0;
  for (int64_t i = 0; i < n; i++) {
    memcpy(&bits, data + i * (int64_t)sizeof bits, sizeof bits); // may be unaligned
    infinite |= (bits & exponent) == exponent;
  }
  return !infinite;
}

bool const_is_finite(const Value *v) {
  const Tensor *t = const_of(v);
  if (!t || type_elements(&t->type) > 1 << 22) return false;
  if (t->type.dtype == DT_F32) return is_finite_f32(t->data, type_elements(&t->type));
  for (int64_t i = 0, n = type_elements(&t->type); i < n; i++)
    if (!__builtin_isfinite(tensor_get(t, i))) return false;
  return true;
}

bool value_is_output(const Graph *g, const Value *v) {
  for (int i = 0; i < g->outputs.n; i++)
    if (g->outputs.data[i] == v) return true;
  return false;
}

Graph *graph_of_value(const Value *v) {
  return v->def ? v->def->graph : NULL;
}

void node_replace(Node *n, int k, Value *v) {
  Value *old = n->out[k];
  if (v->def && node_made_by(v->def) && v->def->out[0] == v && v->name && old->name) v->name = old->name;
  value_replace(old, v);
}

static bool same_origin(const Origin *a, const Origin *b) {
  bool names = a->name == b->name || (a->name && b->name && strcmp(a->name, b->name) == 0);
  return names && a->loc.src == b->loc.src && a->loc.line == b->loc.line && a->loc.col == b->loc.col;
}

static void add_origin(Node *to, Origin o) {
  for (int i = 0; i < to->origins.n; i++)
    if (same_origin(&to->origins.data[i], &o)) return;
  vec_push(to->graph->ctx->arena, &to->origins, o);
}

// What had a part in `from` had one in `to`, before its own maker.
static void inherit_makers(Node *to, const Node *from) {
  const char *last = node_made_by(to);
  for (int i = 0; i < from->makers.n; i++) node_add_maker(to, from->makers.data[i]);
  node_add_maker(to, last);
}

void node_inherit(Node *to, const Node *from) {
  inherit_makers(to, from);
  for (int i = 0; i < from->origins.n; i++) add_origin(to, from->origins.data[i]);
  if (!from->origins.n && from->nout) add_origin(to, node_as_origin(from));
}

void node_inherit_free(Node *to, const Node *from) {
  int known = to->origins.n;
  node_inherit(to, from);
  for (int i = known; i < to->origins.n; i++) to->origins.data[i].flops = 0;
}

bool kernel_uses_sym(Ctx *c, const Node *n, const Sym *s) {
  for (int k = 0; k < n->nout; k++)
    if (type_uses_sym(c, &n->out[k]->type, s)) return true;
  for (int i = 0; n->kernel && i < n->kernel->stages.n; i++) {
    const Stage *st = &n->kernel->stages.data[i];
    if (expr_uses_sym(c, st->value, s)) return true;
    for (int d = 0; d < st->ndims; d++)
      if (expr_uses_sym(c, st->dims[d]->extent, s)) return true;
    for (int d = 0; st->index && d < st->out->type.rank; d++)
      if (expr_uses_sym(c, st->index[d], s)) return true;
  }
  return false;
}

bool node_remove_if_dead(Node *n) {
  if ((n->op->info->flags & OP_IMPURE) || node_data_sym(n)) return false; // dce knows of symbols' uses
  for (int i = 0; i < n->nout; i++)
    if (n->out[i] && n->out[i]->uses > 0) return false;
  node_remove(n);
  return true;
}

// ---- expressions --------------------------------------------------------------------------------------------

typedef struct ReadList {
  Ctx *c;
  Vec(const Expr *) reads;
} ReadList;

static bool collect_read(const Expr *e, void *data) {
  ReadList *l = data;
  if (e->op == E_READ) vec_push(l->c->arena, &l->reads, e);
  return true;
}

int expr_read_list(Ctx *c, const Expr *e, const Expr ***out) {
  ReadList l = {.c = c};
  expr_visit(c, e, collect_read, &l);
  *out = l.reads.data;
  return l.reads.n;
}

static bool is_not_op(const Expr *e, void *data) {
  return e->op != *(ExprOp *)data;
}

bool expr_has(Ctx *c, const Expr *e, ExprOp op) {
  return !expr_visit(c, e, is_not_op, &op);
}

int expr_conjuncts(const Expr *e, const Expr **out, int max) {
  if (e->op != E_AND || e->dtype != DT_BOOL) {
    if (max < 1) return -1;
    out[0] = e;
    return 1;
  }
  int a = expr_conjuncts(e->args[0], out, max);
  if (a < 0) return -1;
  int b = expr_conjuncts(e->args[1], out + a, max - a);
  return b < 0 ? -1 : a + b;
}

int64_t mul_sat(int64_t a, int64_t b) {
  int64_t r;
  return mul_ok(a, b, &r) ? r : INT64_MAX;
}

int64_t var_bound(Ctx *c, const Var *v) {
  int64_t lo, hi;
  if (!v->extent || !expr_bounds(c, v->extent, NULL, &lo, &hi)) return 1;
  return hi;
}

int64_t vars_product(Ctx *c, const Var *const *v, int n) {
  int64_t p = 1;
  for (int i = 0; i < n; i++) p = mul_sat(p, var_bound(c, v[i]));
  return p;
}

const Expr *reduce_identity(Ctx *c, ReduceKind k, DType t) {
  bool is_float = dtype_is_float(t), is_signed = dtype_class(t) == 's';
  int bits = 8 * dtype_bytes(t);
  int64_t lowest = is_signed ? (int64_t)(UINT64_MAX << (bits - 1)) : 0;
  int64_t highest = is_signed ? ~lowest : bits == 64 ? -1 : (int64_t)(((uint64_t)1 << bits) - 1);
  switch (k) {
  case R_SUM: return ex_num(c, t, 0);
  case R_PROD: return ex_num(c, t, 1);
  case R_MAX:
    return t == DT_BOOL ? ex_bool(c, false) : is_float ? ex_float(c, t, -INFINITY) : ex_int(c, t, lowest);
  case R_MIN:
    return t == DT_BOOL ? ex_bool(c, true) : is_float ? ex_float(c, t, INFINITY) : ex_int(c, t, highest);
  case R_ALL: return ex_bool(c, true);
  default: return ex_bool(c, false);
  }
}

const Expr *reduce_combine(Ctx *c, ReduceKind k, const Expr *a, const Expr *b) {
  static const ExprOp ops[R_COUNT] = {
      [R_SUM] = E_ADD, [R_PROD] = E_MUL, [R_MAX] = E_MAX, [R_MIN] = E_MIN, [R_ALL] = E_AND, [R_ANY] = E_OR};
  return ex_binary(c, ops[k], a, b);
}
