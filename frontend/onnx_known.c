// onnx_known.c: the contents of small integer tensors as expressions over symbols: shape arithmetic.
// SPDX-License-Identifier: Apache-2.0
//
// There are no rules per operator here: an op's own definition, asked for each element of its result, is
// an expression over elements of its operands; where those are known, so is the result.
#include "frontend/onnx_import.h"

enum { REDUCE_TERMS = 64 }; // reductions up to this many elements are written out

static bool trackable(const Type *t) {
  bool whole = dtype_is_int(t->dtype) || t->dtype == DT_BOOL;
  return whole && type_is_static(t) && type_elements(t) <= ONNX_KNOWN_ELEMENTS;
}

static void remember(Import *im, const Value *v, const Expr *const *known) {
  while (im->known.n <= v->id) vec_push(im->ctx->arena, &im->known, NULL);
  im->known.data[v->id] = known;
}

const Expr *const *known_contents(Import *im, const Value *v) {
  if (v->id < im->known.n && im->known.data[v->id]) return im->known.data[v->id];
  if (!v->data || !trackable(&v->type)) return NULL;
  int n = (int)type_elements(&v->type);
  const Expr **known = NEW_ARRAY(im->ctx->arena, const Expr *, n + 1);
  for (int i = 0; i < n; i++) known[i] = ex_int(im->ctx, v->type.dtype, tensor_get_int(v->data, i));
  remember(im, v, known);
  return known;
}

// ---- resolving an expression ----------------------------------------------------------------------------------

static const Expr *resolve(Ctx *c, const Expr *e, void *im);

// The element that a read with constant indices means, or NULL.
static const Expr *read_element(Import *im, const Expr *e) {
  const Expr *const *known = known_contents(im, e->value);
  const Type *t = &e->value->type;
  int64_t at = 0, i;
  if (!known || e->nargs != t->rank) return NULL;
  for (int d = 0; d < t->rank; d++) {
    if (!expr_is_const_int(e->args[d], &i) || i < 0 || i >= t->dim[d].n) return NULL;
    at = at * t->dim[d].n + i;
  }
  return known[at];
}

static const ExprOp COMBINE[R_COUNT] = {
    [R_SUM] = E_ADD, [R_PROD] = E_MUL, [R_MAX] = E_MAX, [R_MIN] = E_MIN, [R_ALL] = E_AND, [R_ANY] = E_OR,
};

// Writes out a reduction over few elements; NULL if it has none or too many.
static const Expr *write_out(Ctx *c, const Expr *e, Import *im) {
  const Expr *with[2 * MAX_RANK], *sum = NULL;
  int64_t extent[2 * MAX_RANK], total = 1;
  int nvars = e->reduce.nvars;
  if (nvars > 2 * MAX_RANK) return NULL;
  for (int i = 0; i < nvars; i++) {
    if (!expr_is_const_int(e->reduce.vars[i]->extent, &extent[i])) return NULL;
    if (!mul_ok(total, extent[i], &total) || total > REDUCE_TERMS) return NULL;
  }
  for (int64_t k = 0; k < total; k++) {
    int64_t rest = k;
    for (int i = nvars - 1; i >= 0; i--) {
      with[i] = ex_idx(c, rest % extent[i]);
      rest /= extent[i];
    }
    const Expr *term = expr_subst(c, e->args[0], e->reduce.vars, with, nvars);
    term = expr_rewrite(c, term, resolve, im);
    sum = sum ? ex_binary(c, COMBINE[e->reduce.kind], sum, term) : term;
  }
  return sum;
}

static const Expr *resolve(Ctx *c, const Expr *e, void *im) {
  const Expr *with = NULL;
  if (e->op == E_READ) with = read_element(im, e);
  if (e->op == E_REDUCE) with = write_out(c, e, im);
  return with ? with : e;
}

static bool is_settled(const Expr *e, void *unused) {
  (void)unused;
  return e->op != E_READ && e->op != E_REDUCE && e->op != E_VAR;
}

static bool operands_known(Import *im, const Node *n) {
  for (int i = 0; i < n->nin; i++) {
    if (n->in[i] && !known_contents(im, n->in[i])) return false;
  }
  return true;
}

static void indices_of(Ctx *c, const Type *t, int64_t flat, const Expr **index) {
  for (int d = t->rank - 1; d >= 0; d--) {
    index[d] = ex_idx(c, flat % t->dim[d].n);
    flat /= t->dim[d].n;
  }
}

const Expr *const *known_derive(Import *im, const Value *v) {
  Ctx *c = im->ctx;
  const Node *n = v->def;
  bool defined = n && (n->op->info->define || n->op->info->expr);
  if (!defined || n->nregions || !trackable(&v->type) || !operands_known(im, n)) return NULL;
  int count = (int)type_elements(&v->type);
  const Expr **known = NEW_ARRAY(c->arena, const Expr *, count + 1), *index[MAX_RANK];
  for (int i = 0; i < count; i++) {
    indices_of(c, &v->type, i, index);
    known[i] = expr_rewrite(c, node_define(c, n, v->def_index, index), resolve, im);
    if (!expr_visit(c, known[i], is_settled, NULL)) return NULL;
  }
  remember(im, v, known);
  return known;
}

Tensor *known_tensor(Import *im, const Value *v, const Expr *const *known) {
  int n = (int)type_elements(&v->type);
  int64_t x;
  for (int i = 0; i < n; i++) {
    if (!expr_is_const_int(known[i], &x)) return NULL;
  }
  Tensor *t = tensor_new(im->ctx, &v->type);
  for (int i = 0; i < n; i++) {
    expr_is_const_int(known[i], &x);
    tensor_set_int(t, i, x);
  }
  return t;
}
