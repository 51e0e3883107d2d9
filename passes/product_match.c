// product_match.c: recognises a kernel as a sum of products and tells what each of its variables is.
// SPDX-License-Identifier: Apache-2.0
#include "passes/product_impl.h"

typedef struct Finder {
  const Expr *found;
  int count;
} Finder;

static bool find_sum(const Expr *e, void *data) {
  Finder *f = data;
  if (e->op == E_REDUCE) f->found = e, f->count++;
  return true;
}

// The only reduction in e, if it is a sum; else NULL.
static const Expr *only_sum(Ctx *c, const Expr *e) {
  Finder f = {0};
  expr_visit(c, e, find_sum, &f);
  return f.count == 1 && f.found->reduce.kind == R_SUM && f.found->reduce.nvars <= MAX_RANK ? f.found : NULL;
}

static bool is_zero(const Expr *e) {
  return e->op == E_CONST && (dtype_is_float(e->dtype) ? e->float_value == 0 : e->int_value == 0);
}

static const Expr *both(Ctx *c, const Expr *a, const Expr *b) {
  if (!a) return b;
  return b ? ex_binary(c, E_AND, a, b) : a;
}

// Strips if(cond, x, 0) from an operand, collecting the conditions: x*0 adds nothing to the sum.
static const Expr *strip_guards(Ctx *c, const Expr *e, const Expr **guard) {
  while (e->op == E_GUARD && is_zero(e->args[2])) {
    *guard = both(c, *guard, e->args[0]);
    e = e->args[1];
  }
  return e;
}

// The largest constant that e reads; *other: it reads something that is none.
static const Expr *largest_const(const Expr *e, bool *other) {
  if (e->op == E_READ) {
    *other |= !const_of(e->value);
    return e;
  }
  const Expr *most = NULL;
  for (int i = 0; i < e->nargs; i++) {
    const Expr *r = largest_const(e->args[i], other);
    if (r && (!most || type_elements(&r->value->type) > type_elements(&most->value->type))) most = r;
  }
  return most;
}

const Expr *product_plain_read(const Expr *e) {
  while (e->op == E_CAST) e = e->args[0];
  return e->op == E_READ ? e : NULL;
}

const Expr *product_read(const Expr *e) {
  bool other = false;
  const Expr *r = product_plain_read(e);
  if (r) return r;
  r = largest_const(e, &other);
  return other ? NULL : r;
}

static bool split_operands(Product *p, const Expr *body) {
  body = strip_guards(p->c, body, &p->guard);
  if (body->op != E_MUL) return false;
  p->a = strip_guards(p->c, body->args[0], &p->guard);
  p->b = strip_guards(p->c, body->args[1], &p->guard);
  return !expr_has(p->c, p->a, E_GUARD) && !expr_has(p->c, p->b, E_GUARD);
}

// ---- grouped channels -------------------------------------------------------------------------------------

typedef struct DivFinder {
  const Var *var;
  int64_t q;
} DivFinder;

static bool find_div(const Expr *e, void *data) {
  DivFinder *f = data;
  int64_t q;
  bool hit = e->op == E_FDIV && e->args[0]->op == E_VAR && e->args[0]->var == f->var &&
             expr_is_const_int(e->args[1], &q);
  if (hit && q > 1) f->q = q;
  return true;
}

// Where only v//q appears in one operand, v becomes vo*q + vi so that vi belongs to the other alone.
static void split_groups(Product *p) {
  for (int i = 0; i < p->ndims && p->ndims < MAX_LOOP_DIMS; i++) {
    ProductDim *d = &p->dim[i];
    DivFinder f = {d->var, 0};
    expr_visit(p->c, p->a, find_div, &f);
    expr_visit(p->c, p->b, find_div, &f);
    if (f.q < 2 || !d->fixed || d->extent % f.q != 0 || d->extent == f.q) continue;
    const Var *outer = var_new(p->c, "g", ex_idx(p->c, d->extent / f.q));
    const Var *inner = var_new(p->c, d->var->name, ex_idx(p->c, f.q));
    const Expr *whole =
        ex_add(p->c, ex_mul(p->c, ex_var(p->c, outer), ex_idx(p->c, f.q)), ex_var(p->c, inner));
    const Var *old = d->var;
    for (int k = 0; k < p->stage->out->type.rank; k++)
      p->index[k] = expr_subst(p->c, p->index[k], &old, &whole, 1);
    p->value = expr_subst(p->c, p->value, &old, &whole, 1);
    p->sum = only_sum(p->c, p->value);
    p->guard = NULL;
    if (!p->sum || !split_operands(p, p->sum->args[0])) return;
    int out_dim = d->out_dim;
    for (int k = p->ndims; k > i; k--) p->dim[k] = p->dim[k - 1];
    p->dim[i] = (ProductDim){outer, d->extent / f.q, true, ROLE_BATCH, out_dim};
    p->dim[i + 1] = (ProductDim){inner, f.q, true, ROLE_BATCH, out_dim};
    p->ndims++;
    i++;
  }
}

// ---- roles --------------------------------------------------------------------------------------------------

static void swap_operands(Product *p) {
  const Expr *t = p->a;
  p->a = p->b;
  p->b = t;
}

static bool is_const_operand(const Expr *e) {
  const Expr *r = product_read(e);
  return r && const_of(r->value);
}

// Are the result's channels (dim 1) spanned by `w` and its last dim not? Then the result is an image, whose
// layout is free to put channels where lanes want them.
static bool spans_channels(const Product *p, const Expr *w) {
  if (p->stage->out->type.rank < 3 || !is_const_operand(w)) return false;
  bool channels = false, last = false;
  for (int i = 0; i < p->ndims; i++) {
    if (p->dim[i].extent == 1 || !expr_uses_var(p->c, w, p->dim[i].var)) continue;
    channels |= p->dim[i].out_dim == 1;
    last |= p->dim[i].out_dim > 1;
  }
  return channels && !last;
}

// Which operand is the vector one: for images the one that spans the channels, else the one that owns the
// unit-stride dimension of the result.
static void order_operands(Product *p) {
  const Var *last = p->dim[p->ndims - 1].var;
  bool in_a = expr_uses_var(p->c, p->a, last), in_b = expr_uses_var(p->c, p->b, last);
  bool a_channels = spans_channels(p, p->a), b_channels = spans_channels(p, p->b);
  bool swap = a_channels != b_channels ? a_channels : in_a != in_b ? in_a : is_const_operand(p->a);
  if (swap) swap_operands(p);
}

static void set_roles(Product *p) {
  for (int i = 0; i < p->ndims; i++) {
    ProductDim *d = &p->dim[i];
    bool a = expr_uses_var(p->c, p->a, d->var), b = expr_uses_var(p->c, p->b, d->var);
    d->role = a == b ? ROLE_BATCH : a ? ROLE_M : ROLE_N;
  }
}

// The lanes run along the last N dim that is large enough; without one, along the channels (depthwise).
static bool choose_lane(Product *p) {
  p->lane = -1;
  for (int i = 0; i < p->ndims; i++)
    if (p->dim[i].role == ROLE_N && p->dim[i].fixed && p->dim[i].extent > 1) p->lane = i;
  if (p->lane >= 0) return true;
  p->depthwise = true;
  for (int i = 0; i < p->ndims; i++)
    if (p->dim[i].role == ROLE_BATCH && p->dim[i].fixed && p->dim[i].out_dim == 1 && p->dim[i].extent >= 4)
      p->lane = i;
  return p->lane >= 0;
}

// Rows of the tile: the last M dim longer than 1.
static void choose_tile_dim(Product *p) {
  p->tile = -1;
  for (int i = 0; i < p->ndims; i++)
    if (p->dim[i].role == ROLE_M && (p->dim[i].extent > 1 || !p->dim[i].fixed)) p->tile = i;
}

static bool static_reductions(Product *p) {
  p->nk = p->sum->reduce.nvars;
  for (int i = 0; i < p->nk; i++) {
    p->k_var[i] = p->sum->reduce.vars[i];
    p->k_extent[i] = var_bound(p->c, p->k_var[i]);
    int64_t n;
    if (!expr_is_const_int(p->k_var[i]->extent, &n) || n < 1) return false;
  }
  return true;
}

bool product_match(Module *m, Kernel *k, Product *p) {
  Ctx *c = m->ctx;
  *p = (Product){.c = c, .k = k, .target = m->target};
  if (k->routine || k->stages.n != 1) return false;
  const Stage *s = p->stage = &k->stages.data[0];
  if (s->index || s->store != STORE_SET || s->ndims == 0 || s->ndims > MAX_RANK) return false;
  p->value = s->value;
  p->sum = only_sum(c, s->value);
  DType t = s->out->type.dtype;
  if (!p->sum || p->sum->dtype != DT_F32 || (t != DT_F32 && t != DT_F16 && t != DT_BF16)) return false;
  if (!split_operands(p, p->sum->args[0]) || !static_reductions(p)) return false;
  p->ndims = s->ndims;
  for (int i = 0; i < s->ndims; i++) {
    int64_t n;
    p->dim[i] = (ProductDim){.var = s->dims[i], .extent = var_bound(c, s->dims[i]), .out_dim = i};
    p->dim[i].fixed = expr_is_const_int(s->dims[i]->extent, &n);
    if (p->dim[i].extent < 1) return false;
    p->index[i] = ex_var(c, s->dims[i]);
  }
  split_groups(p);
  if (!p->sum || !p->a) return false;
  order_operands(p);
  set_roles(p);
  if (!choose_lane(p)) return false;
  choose_tile_dim(p);
  return true;
}
