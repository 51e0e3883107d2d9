// eval.c: the reference evaluator: buffers, symbols, nodes and graphs.
// SPDX-License-Identifier: Apache-2.0
//
// What an op means is what this makes of its definition. Graphs and kernels are evaluated on plain buffers of
// the actual extents; at loops level buffers are physical, as layouts say.
#include "ir/eval.h"

#include <stdlib.h>

enum { MAX_EVAL_DEPTH = 64 }; // of regions and decompositions within each other

// ---- buffers ----------------------------------------------------------------------------------------------------

static void buffer_free(Buffer *b) {
  if (b->owned) free(b->data);
  b->owned = false;
}

static void eval_free(void *p) {
  Eval *ev = p;
  for (int i = 0; i < ev->all.n; i++) buffer_free(ev->all.data[i]);
  ev->all.n = 0;
  free(ev->planned);
  ev->planned = NULL;
}

// Are values where the memory plan puts them? Regions pass theirs on by reference here, so that they cannot be.
static bool is_planned(const Module *m) {
  for (const Node *n = m->main->first; n; n = n->next)
    if (n->nregions) return false;
  return m->arena_bytes > 0;
}

// Buffers live outside the arena, so that a value's memory can go after its last use. What lies behind each other or shares
// a place once planned does so here, too, in memory full of NaN: a plan that is wrong gives wrong results.
static Eval *eval_new(Ctx *c, Module *m) {
  Eval *ev = NEW(c->arena, Eval);
  ev->ctx = c;
  ev->module = m;
  ev->physical = m && m->level == LEVEL_LOOPS;
  arena_defer(c->arena, eval_free, ev);
  if (!ev->physical || !is_planned(m)) return ev;
  ev->planned = malloc((size_t)m->arena_bytes);
  if (!ev->planned) longjmp(*arena_oom(c->arena), 1);
  memset(ev->planned, 0xff, (size_t)m->arena_bytes);
  return ev;
}

static bool shape_buffer(Buffer *b, const int64_t *dims, int rank) {
  b->rank = rank;
  b->elements = 1;
  for (int d = rank - 1; d >= 0; d--) {
    b->dim[d] = dims[d];
    b->stride[d] = b->elements;
    if (dims[d] < 0 || !mul_ok(b->elements, dims[d], &b->elements) || b->elements > MAX_ELEMENTS)
      return false;
  }
  return true;
}

static Buffer *buffer_on(Eval *ev, DType t, const int64_t *dims, int rank, const void *data) {
  Buffer *b = NEW(ev->ctx->arena, Buffer);
  b->dtype = t;
  b->data = (char *)data; // constants and inputs are only read
  if (shape_buffer(b, dims, rank)) return b;
  diag_error(ev->ctx->diag, NO_LOC, "evaluation: a tensor is too large");
  return NULL;
}

Buffer *buffer_new(Eval *ev, DType t, const int64_t *dims, int rank) {
  Buffer *b = buffer_on(ev, t, dims, rank, NULL);
  if (!b) return NULL;
  size_t bytes = (size_t)b->elements * (size_t)dtype_bytes(t);
  b->data = calloc(bytes ? bytes : 1, 1);
  if (!b->data) longjmp(*arena_oom(ev->ctx->arena), 1);
  b->owned = true;
  vec_push(ev->ctx->arena, &ev->all, b);
  return b;
}

// b, or a copy of it if its memory is someone else's.
static Buffer *buffer_own(Eval *ev, Buffer *b) {
  if (b->owned) return b;
  Buffer *copy = buffer_new(ev, b->dtype, b->dim, b->rank);
  if (copy && b->elements) memcpy(copy->data, b->data, (size_t)b->elements * (size_t)dtype_bytes(b->dtype));
  return copy;
}

Buffer *eval_set(Eval *ev, const Value *v, Buffer *b) {
  if (v->id >= ev->nbuffers) {
    int n = v->id + 1 > ev->ctx->next_value ? v->id + 1 : ev->ctx->next_value;
    Buffer **grown = NEW_ARRAY(ev->ctx->arena, Buffer *, 2 * (size_t)n);
    if (ev->nbuffers) memcpy(grown, ev->buffers, (size_t)ev->nbuffers * sizeof *grown);
    ev->buffers = grown;
    ev->nbuffers = 2 * n;
  }
  b->refs++; // first: it may be the one that is there
  eval_drop(ev, v);
  return ev->buffers[v->id] = b;
}

void eval_drop(Eval *ev, const Value *v) {
  Buffer *b = v->id < ev->nbuffers ? ev->buffers[v->id] : NULL;
  if (!b) return;
  if (--b->refs == 0) buffer_free(b);
  ev->buffers[v->id] = NULL;
}

// ---- extents ------------------------------------------------------------------------------------------------------

bool eval_dim(Eval *ev, Loc loc, Dim d, int64_t *n) {
  *n = d.n;
  if (!d.sym) return true;
  const Expr *e = eval_bind_expr(ev, d.sym);
  if (expr_is_const_int(e, n)) return true;
  diag_error(ev->ctx->diag, loc, "evaluation: the extent %s is not known yet", expr_text(ev->ctx, e));
  return false;
}

static bool eval_dims(Eval *ev, Loc loc, const Dim *dim, int rank, int64_t *out) {
  for (int d = 0; d < rank; d++)
    if (!eval_dim(ev, loc, dim[d], &out[d])) return false;
  return true;
}

void eval_bind(Eval *ev, const Sym *s, int64_t value) {
  for (int i = 0; i < ev->syms.n; i++) {
    if (ev->syms.data[i].sym != s) continue;
    ev->syms.data[i].value = value;
    return;
  }
  vec_push(ev->ctx->arena, &ev->syms, ((SymValue){s, value}));
}

// The symbols of type that are not bound yet get the values that the actual extents give them.
static void bind_extents_of(Eval *ev, const Type *type, const int64_t *dims) {
  for (int d = 0; d < type->rank; d++) {
    const Expr *e = type->dim[d].sym ? eval_bind_expr(ev, type->dim[d].sym) : NULL;
    if (e && e->op == E_SYM) eval_bind(ev, e->sym, dims[d]);
  }
}

// The type with the extents it has now; in physical form if `physical`.
static bool actual_type(Eval *ev, const Value *v, Type *out) {
  *out = v->type;
  for (int d = 0; d < v->type.rank; d++) {
    int64_t n;
    if (!eval_dim(ev, v->loc, v->type.dim[d], &n)) return false;
    out->dim[d] = dim_const(n);
  }
  return true;
}

static bool physical_dims(Eval *ev, const Value *v, int64_t *dims, int *rank) {
  Dim shape[MAX_PHYS_RANK];
  const Layout *l = ev->physical ? v->layout : NULL;
  *rank = layout_rank(l, &v->type);
  layout_shape(ev->ctx, l, &v->type, shape);
  return eval_dims(ev, v->loc, shape, *rank, dims);
}

// ---- values -------------------------------------------------------------------------------------------------------

static Buffer *buffer_of_tensor(Eval *ev, const Value *v, const Tensor *t) {
  int64_t dims[MAX_PHYS_RANK];
  int rank = t->type.rank;
  for (int d = 0; d < rank; d++) dims[d] = t->type.dim[d].n;
  if (!ev->physical || !v->layout) return buffer_on(ev, t->type.dtype, dims, rank, t->data);
  if (!physical_dims(ev, v, dims, &rank)) return NULL;
  Buffer *b = buffer_new(ev, t->type.dtype, dims, rank);
  if (b) layout_pack(ev->ctx, v->layout, t, b->data);
  return b;
}

// A value's place once planned, in `size` bytes that something else has.
static Buffer *buffer_inside(Eval *ev, const Value *v, const int64_t *dims, int rank, char *data,
                             int64_t size, const char *of) {
  Buffer *b = buffer_on(ev, v->type.dtype, dims, rank, data + v->offset);
  int64_t end = b ? v->offset + b->elements * dtype_bytes(b->dtype) : 0;
  if (b && v->offset >= 0 && end <= size) return b;
  diag_error(ev->ctx->diag, v->loc, "evaluation: '%s' does not fit into %s", v->name, of);
  return NULL;
}

static Buffer *buffer_in_base(Eval *ev, const Value *v) {
  int64_t dims[MAX_PHYS_RANK];
  int rank;
  Buffer *base = eval_need(ev, v->base);
  if (!base || !physical_dims(ev, v, dims, &rank)) return NULL;
  const char *of = arena_printf(ev->ctx->arena, "'%s'", v->base->name);
  return buffer_inside(ev, v, dims, rank, base->data, base->elements * dtype_bytes(base->dtype), of);
}

Buffer *eval_buffer(Eval *ev, const Value *v) {
  if (v->id < ev->nbuffers && ev->buffers[v->id]) return ev->buffers[v->id];
  Buffer *b = NULL;
  if (v->data)
    b = buffer_of_tensor(ev, v, v->data);
  else if (v->base && ev->physical)
    b = buffer_in_base(ev, v);
  return b ? eval_set(ev, v, b) : NULL;
}

Buffer *eval_need(Eval *ev, const Value *v) {
  Buffer *b = eval_buffer(ev, v);
  int64_t dims[MAX_PHYS_RANK];
  int rank;
  if (b || (v->base && ev->physical)) return b;
  if (!physical_dims(ev, v, dims, &rank)) return NULL;
  if (ev->planned && v->space == SPACE_ARENA)
    b = buffer_inside(ev, v, dims, rank, ev->planned, ev->module->arena_bytes, "the arena");
  else
    b = buffer_new(ev, v->type.dtype, dims, rank);
  return b ? eval_set(ev, v, b) : NULL;
}

// v as a plain tensor: a copy, or a view of its buffer that lives as long as that.
static Tensor *tensor_of(Eval *ev, const Value *v, bool copy) {
  Type type;
  Buffer *b = eval_buffer(ev, v);
  if (!b) {
    diag_error(ev->ctx->diag, v->loc, "evaluation: '%s' has not been computed", v->name);
    return NULL;
  }
  if (!actual_type(ev, v, &type)) return NULL;
  if (ev->physical && v->layout) return layout_unpack(ev->ctx, v->layout, &type, b->data);
  Tensor *view = tensor_view(ev->ctx, &type, b->data);
  return copy ? layout_unpack(ev->ctx, NULL, &type, b->data) : view;
}

// ---- nodes --------------------------------------------------------------------------------------------------------

static bool eval_defined(Eval *ev, const Node *n, int out) {
  Ctx *c = ev->ctx;
  Value *v = n->out[out];
  const Var *dims[MAX_RANK];
  const Expr *index[MAX_RANK];
  for (int d = 0; d < v->type.rank; d++) {
    dims[d] = var_new(c, "i", dim_to_expr(c, v->type.dim[d]));
    index[d] = ex_var(c, dims[d]);
  }
  const Expr *e = node_define(c, n, out, index);
  if (!e) {
    diag_error(c->diag, n->loc, "internal: op '%s' has no definition", n->op->name);
    return false;
  }
  return eval_stage(ev, &(Stage){.out = v, .ndims = v->type.rank, .dims = dims, .value = e, .loc = n->loc});
}

static bool eval_stages(Eval *ev, const Kernel *k) {
  for (int i = 0; i < k->stages.n; i++)
    if (!eval_stage(ev, &k->stages.data[i])) return false;
  return true;
}

static bool eval_staged(Eval *ev, const Node *n) {
  Kernel *k = NEW(ev->ctx->arena, Kernel);
  k->name = n->op->name;
  bool ok = n->op->info->stages(ev->ctx, (Node *)n, k) && eval_stages(ev, k);
  for (int i = 0; i < k->locals.n; i++) eval_drop(ev, k->locals.data[i]);
  return ok;
}

static bool eval_decomposed(Eval *ev, const Node *n) {
  Ctx *c = ev->ctx;
  Graph *g = graph_new(n->graph->module, n->op->name, n->graph);
  Builder b = {.ctx = c, .graph = g, .loc = n->loc, .like = n};
  Value **out = NEW_ARRAY(c->arena, Value *, n->nout);
  if (!n->op->info->decompose(&b, n, out)) return false;
  for (int i = 0; i < n->nout; i++) graph_output(g, NULL, out[i]);
  if (!eval_nodes(ev, g)) return false;
  for (int i = 0; i < n->nout; i++) {
    Buffer *r = eval_buffer(ev, out[i]);
    if (!r) return false;
    bind_extents_of(ev, &n->out[i]->type, r->dim);
    eval_set(ev, n->out[i], r);
  }
  return true;
}

static bool eval_kernel(Eval *ev, const Node *n) {
  const Kernel *k = n->kernel;
  if (k->routine) return eval_routine(ev, k->routine_node, k->routine, n->in, n->out);
  for (int i = 0; i < n->nout; i++)
    if (!eval_need(ev, n->out[i])) return false;
  bool ok = ev->physical ? eval_body(ev, k, n->loc)
                         : eval_stages(ev, k); // loops that only copied onto themselves are gone
  for (int i = 0; i < k->locals.n; i++) eval_drop(ev, k->locals.data[i]);
  return ok;
}

bool eval_one(Eval *ev, const Node *n) {
  const OpInfo *info = n->op->info;
  if (n->kernel) return eval_kernel(ev, n);
  if (info->flags & OP_REGION) return eval_region_op(ev, n);
  if (info->routine) return eval_routine(ev, n, info->routine, n->in, n->out);
  if (info->stages) return eval_staged(ev, n);
  if (info->decompose) return eval_decomposed(ev, n);
  for (int i = 0; i < n->nout; i++)
    if (!eval_defined(ev, n, i)) return false;
  return true;
}

// ---- graphs -------------------------------------------------------------------------------------------------------

// Calls fn for every value that n uses, those used in its regions included.
static void each_operand(const Node *n, void (*fn)(const Value *v, void *data), void *data) {
  for (int i = 0; i < n->nin; i++)
    if (n->in[i]) fn(n->in[i], data);
  for (int r = 0; r < n->nregions; r++) {
    const Graph *g = n->region[r];
    for (const Node *m = g->first; m; m = m->next) each_operand(m, fn, data);
    for (int i = 0; i < g->outputs.n; i++) fn(g->outputs.data[i], data);
  }
}

// Memory of a graph's values: each may go after its last use.
typedef struct Lives {
  Eval *ev;
  const Graph *graph;
  int *uses, n; // by value id; values made during the evaluation are not counted and stay
} Lives;

static void count_use(const Value *v, void *data) {
  Lives *l = data;
  if (v->id < l->n) l->uses[v->id]++;
}

static void end_use(const Value *v, void *data) {
  Lives *l = data;
  if (v->id >= l->n || --l->uses[v->id] > 0) return;
  // At loops level a value may be part of another one's buffer, which then must stay.
  if (v->def && v->def->graph == l->graph && !l->ev->physical) eval_drop(l->ev, v);
}

static void watch_results(Eval *ev, const Node *n) {
  for (int i = 0; i < n->nout; i++) {
    Tensor *t = tensor_of(ev, n->out[i], false);
    if (t) ev->watch(ev->watch_data, n->out[i], t);
  }
}

bool eval_nodes(Eval *ev, const Graph *g) {
  if (++ev->depth > MAX_EVAL_DEPTH) {
    diag_error(ev->ctx->diag, g->first ? g->first->loc : NO_LOC, "evaluation: regions are nested too deeply");
    return false;
  }
  Lives l = {ev, g, NULL, ev->ctx->next_value};
  l.uses = NEW_ARRAY(ev->ctx->arena, int, l.n);
  for (const Node *n = g->first; n; n = n->next) each_operand(n, count_use, &l);
  for (int i = 0; i < g->outputs.n; i++) count_use(g->outputs.data[i], &l);
  bool ok = true;
  for (const Node *n = g->first; n && ok; n = n->next) {
    ok = eval_one(ev, n);
    if (ok && ev->watch && ev->depth == 1) watch_results(ev, n);
    each_operand(n, end_use, &l);
  }
  ev->depth--;
  return ok;
}

// ---- modules --------------------------------------------------------------------------------------------------------

static bool bad_input(Eval *ev, const Value *v, const Tensor *t) {
  diag_error(ev->ctx->diag, v->loc, "evaluation: input '%s' is %s, not %s", v->name,
             type_text(ev->ctx, &v->type), type_text(ev->ctx, &t->type));
  return false;
}

// Plain symbols first, so that the others can be checked.
static bool bind_input(Eval *ev, const Value *v, const Tensor *t) {
  if (t->type.dtype != v->type.dtype || t->type.rank != v->type.rank) return bad_input(ev, v, t);
  for (int d = 0; d < v->type.rank; d++) {
    const Expr *e = v->type.dim[d].sym ? eval_bind_expr(ev, v->type.dim[d].sym) : NULL;
    int64_t n = t->type.dim[d].n;
    if (!e || e->op != E_SYM) continue;
    if (n < e->sym->min || n > e->sym->max) return bad_input(ev, v, t);
    eval_bind(ev, e->sym, n);
  }
  return true;
}

static bool set_input(Eval *ev, const Value *v, const Tensor *t) {
  for (int d = 0; d < v->type.rank; d++) {
    int64_t n;
    if (!eval_dim(ev, v->loc, v->type.dim[d], &n)) return false;
    if (n != t->type.dim[d].n) return bad_input(ev, v, t);
  }
  Buffer *b = buffer_of_tensor(ev, v, t);
  if (b && ev->physical && v->space == SPACE_STATE) b = buffer_own(ev, b); // may be written in place
  return b && eval_set(ev, v, b);
}

// Whole numbers of an input of the module within its limit.
static bool check_limit(Eval *ev, const Value *v, const Tensor *t) {
  for (int64_t i = 0, n = v->limit ? type_elements(&t->type) : 0; i < n; i++) {
    double x = tensor_get(t, i);
    if (x >= 0 && x < (double)v->limit) continue;
    diag_error(ev->ctx->diag, v->loc, "evaluation: element %lld of input '%s' is %.0f, not in 0..%lld",
               (long long)i, v->name, x, (long long)v->limit - 1);
    return false;
  }
  return true;
}

static bool set_inputs(Eval *ev, Value *const *v, const Tensor *const *t, int n) {
  for (int i = 0; i < n; i++)
    if (v[i] && t[i] && (!bind_input(ev, v[i], t[i]) || !check_limit(ev, v[i], t[i]))) return false;
  for (int i = 0; i < n; i++)
    if (v[i] && t[i] && !set_input(ev, v[i], t[i])) return false;
  return true;
}

static bool get_outputs(Eval *ev, Value *const *v, int n, Tensor **out) {
  for (int i = 0; i < n; i++)
    if (!(out[i] = tensor_of(ev, v[i], true))) return false;
  return true;
}

bool eval_module_watch(Module *m, const Tensor *const *in, Tensor **out, EvalWatch watch, void *data) {
  Graph *g = m->main;
  Eval *ev = eval_new(m->ctx, m);
  ev->watch = watch;
  ev->watch_data = data;
  bool ok = set_inputs(ev, g->inputs.data, in, g->inputs.n) && eval_nodes(ev, g) &&
            get_outputs(ev, g->outputs.data, g->outputs.n, out);
  eval_free(ev);
  return ok;
}

bool eval_module(Module *m, const Tensor *const *in, Tensor **out) {
  return eval_module_watch(m, in, out, NULL, NULL);
}

bool eval_node(Ctx *c, const Node *n, const Tensor *const *in, Tensor **out) {
  Eval *ev = eval_new(c, NULL);
  bool ok = set_inputs(ev, n->in, in, n->nin) && eval_one(ev, n) && get_outputs(ev, n->out, n->nout, out);
  eval_free(ev);
  return ok;
}
