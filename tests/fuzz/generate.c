// generate.c: random valid graphs: the pool of values, leaves, and which op comes next.
// SPDX-License-Identifier: Apache-2.0
//
// Every node is evaluated as soon as it is made. One that gives too many infinities, NaNs or huge numbers is
// taken out again: such values would hide what goes wrong after them.
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_MODEL_OUTPUTS = 8, MAX_MODEL_SYM = 40 };

// ---- shapes and types -----------------------------------------------------------------------------------------

int64_t gen_extent(Gen *g) {
  static const int64_t corners[] = {1,  2,  3,  4,  5,  7,  8,  9,  11, 13, 15,
                                    16, 17, 24, 31, 32, 33, 47, 48, 63, 64, 65};
  if (rng_chance(&g->rng, 1)) return 0;
  return rng_chance(&g->rng, 50) ? rng_range(&g->rng, 1, 8) : rng_pick(&g->rng, corners);
}

DType gen_dtype(Gen *g, const Op *op, const char *type) {
  static const DType common[] = {DT_F32,  DT_F32, DT_F32, DT_F32, DT_F64, DT_F16,
                                 DT_BF16, DT_I8,  DT_U8,  DT_I32, DT_I64, DT_BOOL};
  for (int i = 0; i < 64; i++) {
    DType t =
        i < 32 && rng_chance(&g->rng, 80) ? rng_pick(&g->rng, common) : (DType)rng_below(&g->rng, DT_COUNT);
    if (op_allows(op, type, t)) return t;
  }
  return DT_F32;
}

Type gen_type(Gen *g, DType t, int min_rank, int max_rank) {
  Type type = {.dtype = t, .rank = (int)rng_range(&g->rng, min_rank, max_rank)};
  int64_t room = g->max_elements;
  for (int k = 0, d = (int)rng_below(&g->rng, type.rank + 1); k < type.rank; k++) {
    d = (d + 1) % type.rank;
    int64_t n = gen_extent(g);
    if (n > room) n = room > 3 ? rng_range(&g->rng, 1, 3) : 1;
    type.dim[d] = dim_const(n);
    room /= n > 0 ? n : 1;
  }
  if (g->sym && type.rank && rng_chance(&g->rng, 40)) {
    int d = (int)rng_below(&g->rng, type.rank);
    int64_t rest = type_elements(&type) / (type.dim[d].n ? type.dim[d].n : 1);
    if (rest * g->sym->max <= g->max_elements) type.dim[d] = dim_expr(g->c, ex_sym(g->c, g->sym));
  }
  return type;
}

int64_t *gen_ints(Gen *g, int n) {
  return NEW_ARRAY(g->c->arena, int64_t, n + 1);
}

const Dim *gen_dims(Gen *g, int n, const int64_t *v) {
  Dim *d = NEW_ARRAY(g->c->arena, Dim, n + 1);
  for (int i = 0; i < n; i++) d[i] = dim_const(v[i]);
  return d;
}

bool gen_static(const Value *v) {
  return type_is_static(&v->type);
}

// ---- values ---------------------------------------------------------------------------------------------------

static void pool_add(Gen *g, Value *v) {
  vec_push(g->c->arena, &g->pool, v);
}

static bool knows_extent(const Expr *e, void *data) {
  (void)data;
  return e->op != E_SYM || !e->sym->data_dependent;
}

// Some value of a type whose extents only a routine finds out, which no input can have.
static Value *gen_repeated(Gen *g, const char *kind, const Type *t) {
  Type scalar = type_make(t->dtype, 0, NULL);
  Value *x = gen_leaf(g, kind, &scalar);
  x = build(&g->builder, "broadcast", IN(x), ATTRS(A_SHAPE("shape", t->dim, t->rank)));
  if (!x) return gen_leaf(g, kind, &scalar);
  x->name = arena_printf(g->c->arena, "v%d", g->serial++);
  pool_add(g, x);
  return x;
}

// Numbers that rewrites look for, in every element.
static void fill_with_one(Gen *g, Tensor *x) {
  static const double numbers[] = {0, 1, 2, 3, 4, -1, 0.5, -0.5};
  double k = rng_pick(&g->rng, numbers);
  for (int64_t i = 0; i < type_elements(&x->type); i++) tensor_set(x, i, k);
}

Value *gen_leaf(Gen *g, const char *kind, const Type *t) {
  for (int d = 0; d < t->rank; d++)
    if (t->dim[d].sym && !expr_visit(g->c, t->dim[d].sym, knows_extent, NULL))
      return gen_repeated(g, kind, t);
  if (g->wild && strcmp(kind, "n") == 0 && rng_chance(&g->rng, 50)) kind = "s";
  const char *name = arena_printf(g->c->arena, "%s%d", kind, g->serial++);
  int64_t elements = type_elements(t), chance = elements <= 256 ? 40 : elements <= 2048 ? 20 : 3;
  bool constant = type_is_static(t) && rng_chance(&g->rng, chance);
  Tensor *x = type_is_static(t) ? fuzz_tensor(g->c, name, t) : NULL;
  if (constant && strcmp(kind, "n") == 0 && rng_chance(&g->rng, 25)) fill_with_one(g, x);
  Value *v = constant ? graph_const(g->graph, name, x, NO_LOC) : graph_input(g->graph, name, *t, NO_LOC);
  v->info = x;
  pool_add(g, v);
  return v;
}

Value *gen_constant(Gen *g, const char *kind, const Type *t) {
  const char *name = arena_printf(g->c->arena, "%s%d", kind, g->serial++);
  Tensor *x = fuzz_tensor(g->c, name, t);
  Value *v = graph_const(g->graph, name, x, NO_LOC);
  v->info = x;
  pool_add(g, v);
  return v;
}

Value *gen_leaf_of(Gen *g, const char *kind, DType t, int rank, const int64_t *dims) {
  Type type = type_make(t, rank, dims);
  return gen_leaf(g, kind, &type);
}

// The newest are the likeliest, so that chains come about.
static Value *from_pool(Gen *g, const Op *op, const char *type, DType t, int min_rank, int max_rank) {
  if (!g->follow && rng_chance(&g->rng, 15)) return NULL;
  for (int i = g->pool.n - 1; i >= 0; i--) {
    Value *v = g->pool.data[i];
    bool fits = op ? op_allows(op, type, v->type.dtype) : v->type.dtype == t;
    if (!fits || v->type.rank < min_rank || v->type.rank > max_rank) continue;
    if (g->follow || rng_chance(&g->rng, 45)) return g->follow = false, v;
  }
  return NULL;
}

Value *gen_operand(Gen *g, const Op *op, const char *type, int min_rank, int max_rank) {
  Value *v = from_pool(g, op, type, DT_NONE, min_rank, max_rank);
  if (v) return v;
  int most = max_rank < 5 ? max_rank : min_rank > 5 ? min_rank : 5;
  Type t = gen_type(g, gen_dtype(g, op, type), min_rank, most);
  return gen_leaf(g, "n", &t);
}

Value *gen_operand_of(Gen *g, DType dt, int min_rank, int max_rank) {
  Value *v = from_pool(g, NULL, NULL, dt, min_rank, max_rank);
  if (v) return v;
  Type t = gen_type(g, dt, min_rank, max_rank < 5 ? max_rank : min_rank > 5 ? min_rank : 5);
  return gen_leaf(g, "n", &t);
}

Value *gen_shaped(Gen *g, const char *kind, const Type *t) {
  for (int i = g->pool.n - 1; i >= 0; i--)
    if (type_equal(&g->pool.data[i]->type, t) && rng_chance(&g->rng, 40)) return g->pool.data[i];
  return gen_leaf(g, kind, t);
}

// ---- nodes ------------------------------------------------------------------------------------------------------

static bool tame(const Tensor *t) {
  double most = t->type.dtype == DT_F16 ? 1e3 : t->type.dtype == DT_F64 ? 1e12 : 1e9;
  int64_t n = type_elements(&t->type), bad = 0;
  if (!dtype_is_float(t->type.dtype)) return true;
  for (int64_t i = 0; i < n; i++) {
    double x = tensor_get(t, i);
    bad += !isfinite(x) || fabs(x) > most;
  }
  return bad * 5 <= n;
}

// Does the node tell which NaN another has made? That is not defined.
static bool shows_nan(const Node *n, const Tensor *x) {
  if (!op_is(n, "bitcast") || !dtype_is_float(x->type.dtype)) return false;
  for (int64_t i = 0; i < type_elements(&x->type); i++)
    if (isnan(tensor_get(x, i))) return true;
  return false;
}

// What the node gives; false if it should go. Unknown operands: no verdict.
static bool evaluate(Gen *g, Node *n) {
  const Tensor **in = NEW_ARRAY(g->c->arena, const Tensor *, n->nin + 1);
  Tensor **out = NEW_ARRAY(g->c->arena, Tensor *, n->nout + 1);
  for (int i = 0; i < n->nin; i++) {
    if (!n->in[i]) continue;
    if (!n->in[i]->info) return true;
    in[i] = n->in[i]->info;
  }
  for (int k = 0; k < n->nout; k++)
    if (!gen_static(n->out[k])) return true;
  if (n->nregions) return true;
  if (n->nin > 0 && n->in[0] && shows_nan(n, in[0])) return false;
  if (!eval_node(g->c, n, in, out)) return false;
  for (int k = 0; k < n->nout; k++) {
    if (!g->wild && !tame(out[k])) return false;
    n->out[k]->info = out[k];
  }
  return true;
}

// Products of many floats overflow or vanish by the order they are taken in.
static bool depends_on_order(const Node *n) {
  if (!op_is(n, "reduce_prod") && !op_is(n, "cumprod")) return false;
  return dtype_is_float(n->in[0]->type.dtype) && type_elements(&n->in[0]->type) > 64;
}

static bool small_enough(const Gen *g, const Node *n) {
  if (depends_on_order(n)) return false;
  for (int k = 0; k < n->nout; k++)
    if (type_elements(&n->out[k]->type) > 2 * g->max_elements) return false;
  return true;
}

Node *gen_build(Gen *g, const Op *op, Value *const *in, int nin, const Attr *attrs, int nattrs) {
  Node *n = build_node(&g->builder, op->name, in, nin, attrs, nattrs);
  if (!n) return g->refused++, NULL;
  if (!small_enough(g, n) || !evaluate(g, n)) {
    node_remove(n);
    return g->dropped++, NULL;
  }
  g->made++;
  for (int k = 0; k < n->nout; k++) {
    n->out[k]->name = arena_printf(g->c->arena, "v%d", g->serial++);
    pool_add(g, n->out[k]);
  }
  return n;
}

static const Maker *maker_of(const char *op) {
  static const Maker *const tables[] = {MAKERS_VIEWS,   MAKERS_INDEX,  MAKERS_PRODUCTS,
                                        MAKERS_WINDOWS, MAKERS_LAYERS, MAKERS_CONTROL};
  for (int i = 0; i < ARRAY_LEN(tables); i++)
    for (const Maker *m = tables[i]; m->op; m++)
      if (strcmp(m->op, op) == 0) return m;
  return NULL;
}

static bool broadcasts(const Op *op) {
  return !op->info->infer && op->nin > 0;
}

static bool makes_itself(const Op *op) {
  return broadcasts(op) ||
         (op->nin == 1 && !op->in[0].variadic && strcmp(op->info->group, "reductions") == 0);
}

Node *gen_node(Gen *g, const Op *op) {
  const Maker *m = maker_of(op->name);
  if (m) return m->make(g, op);
  return makes_itself(op) && rng_chance(&g->rng, 95) ? make_generic(g, op) : make_sample(g, op);
}

static const Op *choose_op(Gen *g) {
  if (g->only && rng_chance(&g->rng, 50)) return op_find(g->c, g->only);
  const Node *last = g->graph->last; // rewrites join two of a kind
  if (last && rng_chance(&g->rng, 12) && !(last->op->info->flags & OP_INTERNAL)) return last->op;
  for (;;) {
    const Op *op = op_at(g->c, (int)rng_below(&g->rng, op_count(g->c)));
    const Maker *m = maker_of(op->name);
    int weight = m ? m->weight : 2;
    if (op->info->flags & OP_INTERNAL) continue;
    if (rng_below(&g->rng, 10) < weight) return op;
  }
}

// ---- models -----------------------------------------------------------------------------------------------------

// What nothing uses becomes an output, and some of what is used too.
static void choose_outputs(Gen *g) {
  Graph *graph = g->graph;
  graph_count_uses(graph);
  for (int i = g->pool.n - 1; i >= 0; i--) {
    Value *v = g->pool.data[i];
    if (graph->outputs.n >= MAX_MODEL_OUTPUTS) break;
    if (v->def ? v->uses == 0 || rng_chance(&g->rng, 12) : rng_chance(&g->rng, 1))
      graph_output(graph, NULL, v);
  }
}

static bool binds(const Value *v, const Sym *sym) {
  for (int d = 0; d < v->type.rank; d++)
    if (v->type.dim[d].sym && v->type.dim[d].sym->op == E_SYM && (!sym || v->type.dim[d].sym->sym == sym))
      return true;
  return false;
}

// Inputs that say how large a symbol is stay.
static int keep_used(Value **v, int n) {
  int kept = 0;
  for (int i = 0; i < n; i++)
    if (v[i]->uses || binds(v[i], NULL)) v[kept++] = v[i];
  return kept;
}

// Does a node behind n have an extent that n finds out?
static bool finds_extent(Ctx *c, const Node *n) {
  const Sym *s = node_data_sym(n);
  for (const Node *m = n->next; s && m; m = m->next)
    for (int k = 0; k < m->nout; k++)
      if (type_uses_sym(c, &m->out[k]->type, s)) return true;
  return false;
}

void fuzz_prune(Graph *g) {
  for (Node *n = g->last, *prev; n; n = prev) {
    int uses = 0;
    prev = n->prev;
    graph_count_uses(g);
    for (int k = 0; k < n->nout; k++) uses += n->out[k]->uses;
    if (uses == 0 && !finds_extent(g->ctx, n)) node_remove(n);
  }
  graph_count_uses(g);
  g->inputs.n = keep_used(g->inputs.data, g->inputs.n);
  g->consts.n = keep_used(g->consts.data, g->consts.n);
}

static void bind_symbol(Gen *g) {
  for (int i = 0; i < g->graph->inputs.n; i++)
    if (binds(g->graph->inputs.data[i], g->sym)) return;
  Type t = {.dtype = DT_U8, .rank = 1, .dim = {dim_expr(g->c, ex_sym(g->c, g->sym))}};
  gen_leaf(g, "n", &t);
}

Module *fuzz_generate(Ctx *c, uint64_t seed, const char *only) {
  Gen g = {.rng = {seed * 0x2545f4914f6cdd1du + 1}, .c = c, .only = only};
  Module *m = module_new(c, "fuzz");
  m->main = g.graph = graph_new(m, "main", NULL);
  m->target = target_default(c);
  g.builder = builder_at(g.graph, NULL, NO_LOC);
  bool big = rng_chance(&g.rng, 4);
  g.max_elements = big ? 20000 : rng_chance(&g.rng, 30) ? 4096 : 600;
  g.max_work = big ? 1000000 : 60000;
  g.wild = rng_chance(&g.rng, 10);
  if (rng_chance(&g.rng, 12))
    g.sym = module_sym(m, "N", rng_below(&g.rng, 2), rng_range(&g.rng, 1, MAX_MODEL_SYM), NO_LOC);
  int want = rng_chance(&g.rng, 30) ? 1 : (int)rng_range(&g.rng, 2, 12);
  for (int tries = 0; g.made < want && tries < 6 * want + 10; tries++)
    if (only || !rng_chance(&g.rng, 30) || !make_motif(&g)) gen_node(&g, choose_op(&g));
  choose_outputs(&g);
  fuzz_prune(g.graph);
  if (g.sym) bind_symbol(&g);
  return m->main->outputs.n ? m : NULL;
}
