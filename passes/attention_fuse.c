// attention_fuse.c: merges the kernels of softmax(q k^T) v into one, whose stages share the rows of scores.
// SPDX-License-Identifier: Apache-2.0
//
// Fusion leaves three kernels where the score matrix is worth a buffer: the scores (a product), their softmax
// (rows), and the product with the values. Whatever wrote them (an op, an exported graph), as tensor expressions
// they look the same. The last one's dims that choose a row of weights become the dims that all stages share.
#include "passes/attention_impl.h"
#include "passes/fuse.h"

typedef struct Merge {
  Ctx *c;
  Node *product, *softmax, *scores; // the three kernels; scores may be a stage of softmax already (NULL)
  const Stage *last;                // of product
  const Expr *read;                 // of the weights
  int nlead;
  const Var *lead[MAX_RANK]; // of last, in the order of the stages to come
  Dim extent[MAX_RANK];
  const Var *col;
  PtrMap local; // values of softmax's stages -> their local
  Value *s;     // local of the scores
  int s_dim;    // dim of the scores that runs over the keys; -1: not met yet
  const Expr *s_at[MAX_RANK];
  bool failed;
  Kernel *k;
} Merge;

static Kernel *kernel_of(const Value *v) {
  return v->def ? v->def->kernel : NULL;
}

// Is v written by a kernel of one plain stage and read by one node only?
static bool is_private_result(const Value *v) {
  const Kernel *k = kernel_of(v);
  return k && !k->routine && v->def->nout == 1 && v->uses == 1 && !value_is_output(v->def->graph, v);
}

static bool is_single_stage(const Kernel *k) {
  return !k->routine && k->stages.n == 1 && !k->stages.data[0].index && k->stages.data[0].store == STORE_SET;
}

// ---- the product with the values ------------------------------------------------------------------------------

static bool find_sum(const Expr *e, void *data) {
  const Expr **found = data;
  if (e->op == E_REDUCE && !*found) *found = e;
  return true;
}

// An operand of the sum that reads rows of a softmax's result: v[.., .., k].
static const Expr *weights_of(const Expr *sum) {
  const Expr *body = sum->args[0];
  for (int i = 0; i < 2 && body->op == E_MUL; i++) {
    const Expr *r = body->args[i];
    if (r->op != E_READ || r->nargs < 2 || !is_private_result(r->value)) continue;
    const Expr *key = r->args[r->nargs - 1];
    const Kernel *k = kernel_of(r->value);
    const Stage *last = &k->stages.data[k->stages.n - 1];
    bool row = k->stages.n > 1 && key->op == E_VAR && key->var == sum->reduce.vars[0];
    if (row && !last->index && last->ndims == r->nargs &&
        key->var->extent == last->dims[r->nargs - 1]->extent)
      return r;
  }
  return NULL;
}

// The dims of the result that choose the row come first; one is left over, which runs over a value's elements.
static bool split_dims(Merge *x) {
  const Stage *s = x->last;
  x->col = NULL;
  for (int i = 0; i < s->ndims; i++) {
    bool used = s->dims[i]->extent == ex_idx(x->c, 1);
    for (int k = 0; k < x->read->nargs - 1; k++) used |= expr_uses_var(x->c, x->read->args[k], s->dims[i]);
    if (used) {
      x->extent[x->nlead] = s->out->type.dim[i];
      x->lead[x->nlead++] = s->dims[i];
    } else if (x->col) {
      return false;
    } else {
      x->col = s->dims[i];
    }
  }
  return x->col && x->nlead > 0;
}

static bool match_product(Merge *x, Node *n) {
  const Kernel *k = n->kernel;
  if (!k || !is_single_stage(k)) return false;
  const Expr *sum = NULL;
  x->product = n;
  x->last = &k->stages.data[0];
  expr_visit(x->c, x->last->value, find_sum, &sum);
  if (!sum || sum->reduce.kind != R_SUM || sum->reduce.nvars != 1) return false;
  x->read = weights_of(sum);
  if (!x->read || expr_reads(x->c, x->last->value, x->read->value) != 1 || !split_dims(x)) return false;
  x->softmax = x->read->value->def;
  return true;
}

// ---- the softmax ----------------------------------------------------------------------------------------------

// All its stages share everything but the row.
static bool match_softmax(const Merge *x) {
  const Kernel *k = x->softmax->kernel;
  for (int i = 0; i < k->stages.n; i++) {
    const Stage *s = &k->stages.data[i];
    if (s->index || s->store != STORE_SET || s->at != x->read->nargs - 1 || s->ndims < s->at) return false;
  }
  return x->softmax->graph == x->product->graph;
}

// The kernel that makes the scores: a product that only the softmax reads.
static Node *find_scores(const Merge *x) {
  for (int i = 0; i < x->softmax->nin; i++) {
    const Value *v = x->softmax->in[i];
    if (!is_private_result(v) || !is_single_stage(kernel_of(v)) || v->def->graph != x->product->graph)
      continue;
    if (expr_has(x->c, kernel_of(v)->stages.data[0].value, E_REDUCE)) return v->def;
  }
  return NULL;
}

// ---- stages in common dims --------------------------------------------------------------------------------------

static Value *add_local(Merge *x, const char *name, DType t, const Dim *own, int nown, Loc loc) {
  Type type = {.dtype = t, .rank = x->nlead + nown};
  memcpy(type.dim, x->extent, (size_t)x->nlead * sizeof *type.dim);
  if (nown) memcpy(type.dim + x->nlead, own, (size_t)nown * sizeof *own);
  Value *v = value_new(x->c, name, type, loc);
  vec_push(x->c->arena, &x->k->locals, v);
  return v;
}

// Adds a stage whose value is in terms of `lead` and its own variables, with variables of its own for `lead`.
static void add_stage(Merge *x, Stage s, const Var *const *own, int nown, const Expr *value) {
  Ctx *c = x->c;
  const Var **dims = NEW_ARRAY(c->arena, const Var *, x->nlead + nown);
  const Expr *with[MAX_RANK];
  for (int i = 0; i < x->nlead; i++) {
    dims[i] = var_new(c, x->lead[i]->name, x->lead[i]->extent);
    with[i] = ex_var(c, dims[i]);
  }
  for (int i = 0; i < nown; i++) dims[x->nlead + i] = own[i];
  s.ndims = x->nlead + nown;
  s.dims = dims;
  s.at = x->nlead;
  s.value = expr_subst(c, value, x->lead, with, x->nlead);
  if (s.index) {
    const Expr **index = NEW_ARRAY(c->arena, const Expr *, s.out->type.rank);
    for (int i = 0; i < s.out->type.rank; i++) index[i] = expr_subst(c, s.index[i], x->lead, with, x->nlead);
    s.index = index;
  }
  vec_push(c->arena, &x->k->stages, s);
}

// v[lead..., own...]
static const Expr *read_local(const Merge *x, Value *v, const Expr *const *own, int nown) {
  const Expr *index[2 * MAX_RANK];
  for (int i = 0; i < x->nlead; i++)
    index[i] = x->lead[i]->extent == ex_idx(x->c, 1) ? ex_idx(x->c, 0) : ex_var(x->c, x->lead[i]);
  for (int i = 0; i < nown; i++) index[x->nlead + i] = own[i];
  return ex_read(x->c, v, index, x->nlead + nown);
}

// Where a read of the scores runs over the keys: the one index that is a variable not of the row.
static int key_dim(const Merge *x, const Expr *read) {
  int found = -1;
  for (int i = 0; i < read->nargs; i++) {
    const Expr *e = read->args[i];
    bool lead = e->op != E_VAR;
    for (int k = 0; k < x->nlead; k++) lead |= e->op == E_VAR && e->var == x->lead[k];
    if (lead) continue;
    if (found >= 0) return -1;
    found = i;
  }
  return found;
}

// All reads of the scores must take the same row.
static const Expr *swap_score(Merge *x, const Expr *e) {
  int d = key_dim(x, e);
  if (x->s_dim < 0) {
    x->s_dim = d;
    memcpy(x->s_at, e->args, (size_t)e->nargs * sizeof *e->args);
  }
  bool same = d >= 0 && d == x->s_dim;
  for (int i = 0; same && i < e->nargs; i++)
    same = i == d || (e->args[i] == x->s_at[i] && e->args[i]->op != E_READ);
  x->failed |= !same;
  return same ? read_local(x, x->s, &e->args[d], 1) : e;
}

static const Expr *swap_read(Ctx *c, const Expr *e, void *data) {
  Merge *x = data;
  (void)c;
  if (e->op != E_READ) return e;
  if (x->scores && e->value == x->scores->out[0]) return swap_score(x, e);
  Value *local = ptr_get(&x->local, e->value);
  int at = x->read->nargs - 1;
  return local ? read_local(x, local, e->args + at, e->nargs - at) : e;
}

// A stage of the softmax: its shared variables become the indices of the row that the product reads.
static void take_stage(Merge *x, const Stage *s) {
  int at = s->at, nown = s->ndims - at;
  const Expr *value = expr_subst(x->c, s->value, s->dims, x->read->args, at);
  value = expr_rewrite(x->c, value, swap_read, x);
  Value *v = add_local(x, s->out->name, s->out->type.dtype, s->out->type.dim + at, nown, s->out->loc);
  ptr_put(x->c->arena, &x->local, s->out, v);
  add_stage(x, (Stage){.out = v, .store = STORE_SET, .loc = s->loc}, s->dims + at, nown, value);
}

// The stage of the scores goes before the others, once these have said which row they read.
static void take_scores(Merge *x) {
  Ctx *c = x->c;
  const Stage *s = &x->scores->kernel->stages.data[0];
  const Expr *with[MAX_RANK];
  const Var *key = var_new(c, "j", s->dims[x->s_dim]->extent);
  for (int i = 0; i < s->ndims; i++) with[i] = i == x->s_dim ? ex_var(c, key) : x->s_at[i];
  const Expr *value = expr_subst(c, s->value, s->dims, with, s->ndims);
  add_stage(x, (Stage){.out = x->s, .store = STORE_SET, .loc = s->loc}, &key, 1, value);
  int n = x->k->stages.n;
  Stage first = x->k->stages.data[n - 1];
  for (int i = n - 1; i > 0; i--) x->k->stages.data[i] = x->k->stages.data[i - 1];
  x->k->stages.data[0] = first;
}

static void take_product(Merge *x) {
  const Stage *s = x->last;
  bool in_order = true;
  for (int i = 0; i < x->nlead; i++) in_order &= s->dims[i] == x->lead[i];
  Stage r = *s;
  const Expr **index = NEW_ARRAY(x->c->arena, const Expr *, s->ndims);
  for (int i = 0; i < s->ndims; i++) index[i] = ex_var(x->c, s->dims[i]);
  r.index = in_order ? NULL : index;
  add_stage(x, r, &x->col, 1, expr_rewrite(x->c, s->value, swap_read, x));
}

// ---- what the operands come from -----------------------------------------------------------------------------------

enum { MAX_PROLOGUE = 12 }; // operations of a producer that is computed anew for every block of queries

// A kernel that does little to each element of what it reads, for this kernel alone.
static const Stage *prologue_of(const Merge *x, const Value *v) {
  if (!is_private_result(v) || v->def->graph != x->product->graph || !is_single_stage(kernel_of(v)))
    return NULL;
  const Stage *s = &kernel_of(v)->stages.data[0];
  Work w = fuse_work(x->c, s->value);
  return w.reduces || w.guards || w.ops > MAX_PROLOGUE ? NULL : s;
}

static const Expr *inline_prologue(Ctx *c, const Expr *e, void *data) {
  const Stage *s = e->op == E_READ ? prologue_of(data, e->value) : NULL;
  return s ? expr_subst(c, s->value, s->dims, e->args, s->ndims) : e;
}

static void compose_scores(Merge *x) {
  Stage *s = &x->k->stages.data[0];
  for (int i = 0; i < 4; i++) s->value = expr_rewrite(x->c, s->value, inline_prologue, x);
  s->value = fuse_hoist(x->c, s->value);
}

// ---- the merged kernel ------------------------------------------------------------------------------------------

static Kernel *merge(Merge *x) {
  Ctx *c = x->c;
  const Kernel *softmax = x->softmax->kernel;
  x->k = NEW(c->arena, Kernel);
  x->s_dim = -1;
  if (x->scores) {
    const Stage *s = &x->scores->kernel->stages.data[0];
    const Value *w = x->read->value;
    x->s = add_local(x, s->out->name, s->out->type.dtype, &w->type.dim[w->type.rank - 1], 1, s->out->loc);
  }
  for (int i = 0; i < softmax->stages.n; i++) take_stage(x, &softmax->stages.data[i]);
  if (x->failed || (x->scores && x->s_dim < 0)) return NULL;
  if (x->scores) {
    take_scores(x);
    compose_scores(x);
  }
  take_product(x);
  x->k->flops = x->product->kernel->flops + softmax->flops + (x->scores ? x->scores->kernel->flops : 0);
  x->k->name = x->product->kernel->name;
  x->k->parallel = 1;
  return x->k;
}

typedef Vec(Value *) ValueList;

static void add_operands(const Merge *x, const Expr *e, ValueList *ins) {
  const Expr **reads;
  int n = expr_read_list(x->c, e, &reads);
  for (int i = 0; i < n; i++) {
    bool known = false;
    for (int k = 0; k < x->k->locals.n; k++) known |= x->k->locals.data[k] == reads[i]->value;
    for (int k = 0; k < ins->n; k++) known |= ins->data[k] == reads[i]->value;
    if (!known) vec_push(x->c->arena, ins, reads[i]->value);
  }
}

static void replace_kernels(Merge *x) {
  ValueList ins = {0};
  Value *out = x->product->out[0];
  for (int i = 0; i < x->k->stages.n; i++) add_operands(x, x->k->stages.data[i].value, &ins);
  kernel_own_vars(out->def->graph->module, x->k);
  x->k->bytes = type_bytes(&out->type);
  for (int i = 0; i < ins.n; i++) x->k->bytes += type_bytes(&ins.data[i]->type);
  Builder b = builder_replacing(x->product, "attention");
  Node *n = build_kernel(&b, x->k, ins.data, ins.n, &out, 1), *old[] = {x->scores, x->softmax, x->product};
  n->loc = x->product->loc;
  for (int i = 0; i < ARRAY_LEN(old); i++)
    if (old[i]) node_inherit(n, old[i]);
  for (int i = ARRAY_LEN(old) - 1; i >= 0; i--)
    if (old[i]) node_remove(old[i]);
}

static bool merge_at(Ctx *c, Node *n) {
  Merge x = {.c = c};
  Attention a;
  if (!match_product(&x, n) || !match_softmax(&x)) return false;
  x.scores = find_scores(&x);
  if (!merge(&x) || !attention_match(c, x.k, &a)) return false;
  replace_kernels(&x);
  return true;
}

static bool merge_graph(Graph *g, void *data) {
  (void)data;
  for (Node *n = g->last, *prev; n; n = prev) {
    prev = n->prev;
    Node *after = n->next;
    if (merge_at(g->ctx, n)) prev = after ? after->prev->prev : g->last->prev;
  }
  return true;
}

// Producers that went into the kernels that read them.
static bool drop_unused(Graph *g, void *data) {
  (void)data;
  for (Node *n = g->last, *prev; n; n = prev) {
    prev = n->prev;
    if (!n->kernel || n->kernel->routine || n->nout != 1 || n->out[0]->uses || node_data_sym(n)) continue;
    for (int i = 0; i < n->nin; i++) n->in[i]->uses--;
    node_remove(n);
  }
  return true;
}

bool pass_attention(Module *m, const PassOptions *o) {
  if (o->fp_strict) return true;
  graph_count_uses(m->main);
  each_graph(m->main, merge_graph, NULL);
  graph_count_uses(m->main);
  each_graph(m->main, drop_unused, NULL);
  return true;
}
