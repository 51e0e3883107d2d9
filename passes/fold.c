// fold.c: constant folding. Small nodes go through the evaluator; large ones are collected and computed by
// compiled code in one go, since the evaluator would take minutes for a model's weights.
// SPDX-License-Identifier: Apache-2.0
#include "passes/internal.h"

enum {
  SMALL_POINTS = 1 << 16, // iterations that the evaluator does in a few milliseconds
  EVAL_POINTS = 1 << 24,  // most that it is given when there is no compiled code
  SMALL_BYTES = 4096,     // a result this small may be larger than its operands
  TABLE_BYTES = 1 << 20, // the same of arguments of functions like cos, which are dearer than reading a table
  MAX_WEIGHT = 1 << 30,  // bytes that a small constant is expanded to
  VIEW_BYTES = 1 << 16,  // views of larger constants are left to fusion: copying them gains nothing
};

typedef struct Fold {
  Module *m;
  Ctx *c;
  const PassOptions *o;
  Vec(Node *) dead;
  Vec(Value *) late; // computable from constants, but not by the evaluator
  PtrMap weights;    // values that a product reads as its weights, perhaps through views -> that product
  PtrMap arguments;  // values that a function like cos is taken of -> that node
} Fold;

// ---- what may be folded -------------------------------------------------------------------------------------

static bool is_late(const Value *v) {
  return v->info == v;
}

static bool operands_known(const Node *n) {
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && !const_of(n->in[i]) && !is_late(n->in[i])) return false;
  return true;
}

static bool has_late_operand(const Node *n) {
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && is_late(n->in[i])) return true;
  return false;
}

static bool is_product(const Node *n) {
  return op_is(n, "conv") || op_is(n, "conv_transpose") || op_is(n, "matmul") || op_is(n, "linear");
}

// A function that takes many operations, of one argument that is known in size.
static bool is_function(Ctx *c, const Node *n) {
  if (n->nin != 1 || n->nout != 1 || !n->op->info->expr || !type_is_static(&n->out[0]->type)) return false;
  const Expr *index[MAX_RANK];
  for (int i = 0; i < n->out[0]->type.rank; i++) index[i] = ex_idx(c, 0);
  const Expr *e = node_define(c, n, 0, index);
  return e && e->op >= E_EXP && e->op <= E_ERF;
}

static bool mark_operands(Graph *g, void *data) {
  Fold *f = data;
  for (Node *n = g->first; n; n = n->next) {
    if (is_function(f->c, n)) ptr_put(f->c->arena, &f->arguments, n->in[0], n);
    if (!is_product(n)) continue;
    Value *v = n->in[1];
    while (v->def && (v->def->op->info->flags & OP_VIEW) && v->def->nin == 1) {
      ptr_put(f->c->arena, &f->weights, v, n);
      v = v->def->in[0];
    }
    ptr_put(f->c->arena, &f->weights, v, n);
  }
  return true;
}

// Small constants are not expanded into large ones, but for weights, which products want in memory, and tables of
// functions (sine and cosine of positions).
static bool may_grow(const Fold *f, const Node *n, int64_t bytes) {
  if (bytes <= SMALL_BYTES) return true;
  if (n->nout != 1) return false;
  return (bytes <= MAX_WEIGHT && ptr_get(&f->weights, n->out[0])) ||
         (bytes <= TABLE_BYTES && ptr_get(&f->arguments, n->out[0]));
}

// What depends on a symbol is not known here, even where the result's shape is (extents of T).
static bool uses_symbols(const Node *n) {
  for (int i = 0; i < n->op->nattr; i++) {
    const Attr *a = &n->attr[i];
    for (int k = 0; a->kind == ATTR_SHAPE && k < a->n; k++)
      if (a->dims[k].sym) return true;
  }
  return false;
}

// Weights in few bits stay what they are: matrix products read them so (quantize_weights.c).
static bool is_small_weights(const Fold *f, const Node *n) {
  const Node *product = n->nout == 1 ? ptr_get(&f->weights, n->out[0]) : NULL;
  return product && op_is(n, "dequantize_linear") && (op_is(product, "matmul") || op_is(product, "linear"));
}

static bool is_foldable(const Fold *f, const Node *n) {
  const OpInfo *info = n->op->info;
  if (uses_symbols(n) || is_small_weights(f, n)) return false;
  if (n->nregions || n->kernel || info->decompose || (info->flags & OP_IMPURE)) return false;
  int64_t in = 0, out = 0;
  for (int i = 0; i < n->nin; i++) in += n->in[i] ? type_bytes(&n->in[i]->type) : 0;
  for (int i = 0; i < n->nout; i++) {
    if (!type_is_static(&n->out[i]->type)) return false;
    out += type_bytes(&n->out[i]->type);
  }
  return operands_known(n) && (out <= in || may_grow(f, n, out - in));
}

static bool is_large_view(const Node *n) {
  return (n->op->info->flags & OP_VIEW) && type_bytes(&n->out[0]->type) > VIEW_BYTES;
}

// Iterations of evaluating n: its results' elements times the reductions over them.
static int64_t add_reduction(Ctx *c, const Expr *e) {
  int64_t n = 1;
  if (e->op == E_REDUCE) n = vars_product(c, e->reduce.vars, e->reduce.nvars);
  for (int i = 0; i < e->nargs; i++) {
    int64_t k = add_reduction(c, e->args[i]);
    if (e->op == E_REDUCE)
      n = mul_sat(n, k);
    else if (k > n)
      n = k;
  }
  return n;
}

static int64_t node_points(Ctx *c, const Node *n) {
  int64_t points = 0;
  for (int k = 0; k < n->nout; k++) {
    const Type *t = &n->out[k]->type;
    const Expr *index[MAX_RANK];
    for (int i = 0; i < t->rank; i++) index[i] = ex_var(c, var_new(c, "i", dim_to_expr(c, t->dim[i])));
    const Expr *e = n->op->info->define || n->op->info->expr ? node_define(c, n, k, index) : NULL;
    int64_t each = e ? add_reduction(c, e) : 16;
    if (!add_ok(points, mul_sat(type_elements(t), each), &points)) return INT64_MAX;
  }
  return points;
}

// ---- folding ------------------------------------------------------------------------------------------------

static void become_const(Node *n, int k, const Tensor *t) {
  Value *old = n->out[k];
  value_replace(old, graph_const(n->graph, old->name, t, old->loc));
}

static bool fold_now(Fold *f, Node *n) {
  const Tensor **in = NEW_ARRAY(f->c->arena, const Tensor *, n->nin);
  Tensor **out = NEW_ARRAY(f->c->arena, Tensor *, n->nout);
  for (int i = 0; i < n->nin; i++) in[i] = const_of(n->in[i]);
  if (!eval_node(f->c, n, in, out)) return false;
  for (int i = 0; i < n->nout; i++) become_const(n, i, out[i]);
  vec_push(f->c->arena, &f->dead, n);
  return true;
}

// Row-major element offset of an index.
static const Expr *flat_index(Ctx *c, const Type *t, const Expr *const *index) {
  const Expr *flat = ex_idx(c, 0);
  for (int i = 0; i < t->rank; i++) flat = ex_add(c, ex_mul(c, flat, dim_to_expr(c, t->dim[i])), index[i]);
  return flat;
}

// A view whose elements lie side by side in the constant (a reshape, leading slices) shares its bytes.
static bool fold_contiguous_view(Fold *f, Node *n) {
  Ctx *c = f->c;
  const Tensor *from = n->nin > 0 ? const_of(n->in[0]) : NULL;
  const Type *t = &n->out[0]->type;
  if (!(n->op->info->flags & OP_VIEW) || !n->op->info->define || n->nout != 1 || !from || t->rank == 0)
    return false;
  const Expr *index[MAX_RANK];
  for (int i = 0; i < t->rank; i++)
    index[i] = t->dim[i].n == 1 ? ex_idx(c, 0) : ex_var(c, var_new(c, "i", dim_to_expr(c, t->dim[i])));
  const Expr *e = node_define(c, n, 0, index);
  int64_t shift;
  if (!e || e->op != E_READ || e->value != n->in[0] || e->dtype != t->dtype) return false;
  const Expr *distance = ex_sub(c, flat_index(c, &from->type, e->args), flat_index(c, t, index));
  if (!expr_is_const_int(distance, &shift)) return false;
  Tensor *view = tensor_view(c, t, (const char *)from->data + shift * dtype_bytes(t->dtype));
  if (from->file) {
    view->file = from->file;
    view->offset = from->offset + shift * dtype_bytes(t->dtype);
  }
  become_const(n, 0, view);
  vec_push(c->arena, &f->dead, n);
  return true;
}

static bool fold_graph(Graph *g, void *data) {
  Fold *f = data;
  for (Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nin; i++)
      if (n->in[i]) n->in[i] = value_resolve(n->in[i]);
    if (!is_foldable(f, n) || fold_contiguous_view(f, n)) continue;
    bool late = has_late_operand(n) || is_large_view(n);
    int64_t limit = f->o->compiled_eval ? SMALL_POINTS : EVAL_POINTS;
    if (!late && node_points(f->c, n) <= limit) {
      if (!fold_now(f, n)) return false;
      continue;
    }
    for (int i = 0; i < n->nout; i++) {
      n->out[i]->info = n->out[i];
      vec_push(f->c->arena, &f->late, n->out[i]);
    }
  }
  return true;
}

// ---- large constants ----------------------------------------------------------------------------------------

// Marks of a late value in `uses`: something else needs it; a region does, into which no view can be fused.
enum { NEEDED = -1, NEEDED_INSIDE = -2 };

static void count_needs(Graph *g) {
  for (Node *n = g->first; n; n = n->next) {
    bool late = n->nout > 0 && is_late(n->out[0]);
    for (int i = 0; i < n->nin; i++) {
      Value *v = n->in[i];
      if (!v) continue;
      if (v->def && v->def->graph != g)
        v->uses = NEEDED_INSIDE;
      else if (!late && v->uses != NEEDED_INSIDE)
        v->uses = NEEDED;
    }
    for (int i = 0; i < n->nregions; i++) count_needs(n->region[i]);
  }
  for (int i = 0; i < g->outputs.n; i++) g->outputs.data[i]->uses = NEEDED;
}

// Is v nothing but views of one constant?
static bool is_view_of_const(const Value *v) {
  while (v->def && is_large_view(v->def)) v = v->def->in[0];
  return const_of(v) != NULL;
}

static bool fold_late(Fold *f) {
  Vec(Value *) want = {0};
  count_needs(f->m->main);
  for (int i = 0; i < f->late.n; i++)
    if (f->late.data[i]->uses == NEEDED_INSIDE ||
        (f->late.data[i]->uses == NEEDED && !is_view_of_const(f->late.data[i])))
      vec_push(f->c->arena, &want, f->late.data[i]);
  if (want.n == 0 || !f->o->compiled_eval) return true;
  const Tensor **out = NEW_ARRAY(f->c->arena, const Tensor *, want.n);
  if (!f->o->compiled_eval(f->o->compiled_eval_data, f->m, want.data, want.n, out)) return false;
  for (int i = 0; i < want.n; i++) become_const(want.data[i]->def, want.data[i]->def_index, out[i]);
  return true;
}

bool pass_fold(Module *m, const PassOptions *o) {
  Fold f = {.m = m, .c = m->ctx, .o = o};
  clear_info(m->main);
  each_graph(m->main, mark_operands, &f);
  if (!each_graph(m->main, fold_graph, &f)) return false;
  graph_resolve(m->main);
  if (!fold_late(&f)) return false;
  clear_info(m->main);
  graph_resolve(m->main);
  graph_count_uses(m->main);
  for (int i = f.dead.n - 1; i >= 0; i--) node_remove_if_dead(f.dead.data[i]);
  graph_count_uses(m->main);
  return true;
}
