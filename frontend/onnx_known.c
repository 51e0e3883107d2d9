// onnx_known.c: the contents of small integer tensors as expressions over symbols: shape arithmetic.
// SPDX-License-Identifier: Apache-2.0
//
// There are no rules per operator here: an op's own definition, asked for each element of its result, is
// an expression over elements of its operands; where those are known, so is the result.
#include "frontend/onnx_import.h"

enum {
  REDUCE_TERMS = 64, // reductions up to this many elements are written out
  KNOWN_SIZE = 1024, // operations in one expression
};

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

static bool fits(Ctx *c, const Expr *e, DType t) {
  int64_t lo, hi, bits = dtype_bytes(t) * 8, least = 0, most;
  if (t == DT_I64) return true;
  if (!expr_bounds(c, e, NULL, &lo, &hi) || t == DT_U64) return false;
  if (dtype_class(t) == 's') least = -(INT64_C(1) << (bits - 1));
  most = least + (INT64_C(1) << bits) - 1;
  return lo >= least && hi <= most;
}

// The i64 expression with the same value as an integer expression of another type, if nothing wraps in it.
// Exporters compute shapes in i32; only in i64 can they be compared with extents.
static const Expr *widen(Ctx *c, const Expr *e) {
  const Expr *args[2] = {NULL, NULL}, *wide;
  if (e->dtype == DT_I64) return e;
  if (!dtype_is_int(e->dtype)) return NULL;
  switch (e->op) {
  case E_CONST: return fits(c, ex_idx(c, e->int_value), e->dtype) ? ex_idx(c, e->int_value) : NULL;
  case E_CAST: wide = widen(c, e->args[0]); break;
  case E_ADD:
  case E_SUB:
  case E_MUL:
  case E_DIV:
  case E_FDIV:
  case E_MOD:
  case E_MIN:
  case E_MAX:
    for (int i = 0; i < 2; i++) {
      if (!(args[i] = widen(c, e->args[i]))) return NULL;
    }
    wide = ex_binary(c, e->op, args[0], args[1]);
    break;
  default: return NULL;
  }
  return wide && fits(c, wide, e->dtype) ? wide : NULL;
}

static bool is_comparison(ExprOp op) {
  return op == E_EQ || op == E_NE || op == E_LT || op == E_LE;
}

static const Expr *widen_comparison(Ctx *c, const Expr *e) {
  const Expr *x = widen(c, e->args[0]), *y = widen(c, e->args[1]);
  return x && y ? ex_binary(c, e->op, x, y) : NULL;
}

static const Expr *resolve(Ctx *c, const Expr *e, void *im) {
  const Expr *with = NULL;
  if (e->op == E_READ) with = read_element(im, e);
  if (e->op == E_REDUCE) with = write_out(c, e, im);
  if (e->op == E_CAST && e->dtype == DT_I64) with = widen(c, e->args[0]);
  if (is_comparison(e->op) && e->args[0]->dtype != DT_I64) with = widen_comparison(c, e);
  return with ? with : e;
}

const Expr *known_extent(Import *im, const Expr *e) {
  const Expr *wide = widen(im->ctx, e);
  return wide ? wide : ex_cast(im->ctx, DT_I64, e);
}

static bool is_settled(const Expr *e, void *unused) {
  (void)unused;
  return e->op != E_READ && e->op != E_REDUCE && e->op != E_VAR;
}

// Counts down from *left; false once it is used up. What is shared counts each time: squaring a number again and
// again is a small graph, but a large expression.
static bool is_small(const Expr *e, int *left) {
  bool small = --*left >= 0;
  for (int i = 0; small && i < e->nargs; i++) small = is_small(e->args[i], left);
  return small;
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
    int left = KNOWN_SIZE;
    if (!is_small(known[i], &left) || !expr_visit(c, known[i], is_settled, NULL)) return NULL;
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
