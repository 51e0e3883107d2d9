// type.c: extents, shapes and types of tensors.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"

Dim dim_expr(Ctx *c, const Expr *e) {
  int64_t v, lo, hi;
  if (expr_is_const_int(e, &v)) return dim_const(v);
  if (!expr_bounds(c, e, NULL, &lo, &hi)) hi = INT64_MAX; // type_check_size rejects it
  return (Dim){hi, e};
}

const Expr *dim_to_expr(Ctx *c, Dim d) {
  return d.sym ? d.sym : ex_idx(c, d.n);
}

bool dim_equal(Dim a, Dim b) {
  return a.n == b.n && a.sym == b.sym;
}

// Both constant: the result, or false if it does not fit (or the op has none).
static bool dim_fold(ExprOp op, int64_t a, int64_t b, int64_t *r) {
  switch (op) {
  case E_ADD: return add_ok(a, b, r);
  case E_SUB: return !__builtin_sub_overflow(a, b, r);
  case E_MUL: return mul_ok(a, b, r);
  case E_FDIV: return *r = b > 0 ? floor_div(a, b) : 0, true;
  case E_MIN: return *r = a < b ? a : b, true;
  case E_MAX: return *r = a > b ? a : b, true;
  default: return false;
  }
}

Dim dim_binary(Ctx *c, ExprOp op, Dim a, Dim b) {
  if (a.sym || b.sym) return dim_expr(c, ex_binary(c, op, dim_to_expr(c, a), dim_to_expr(c, b)));
  int64_t r;
  return dim_const(dim_fold(op, a.n, b.n, &r) ? r : INT64_MAX); // overflow: type_check_size rejects it
}

Type type_make(DType t, int rank, const int64_t *dims) {
  Type type = {.dtype = t, .rank = rank};
  for (int i = 0; i < rank; i++) type.dim[i] = dim_const(dims[i]);
  return type;
}

bool type_equal(const Type *a, const Type *b) {
  if (a->dtype != b->dtype || a->rank != b->rank) return false;
  for (int i = 0; i < a->rank; i++)
    if (!dim_equal(a->dim[i], b->dim[i])) return false;
  return true;
}

bool type_is_static(const Type *t) {
  for (int i = 0; i < t->rank; i++)
    if (t->dim[i].sym) return false;
  return true;
}

// Elements for the bounds; false if an extent is negative or the product passes MAX_ELEMENTS. An extent
// of 0 does not hide the others: strides are computed from them.
static bool count_elements(const Type *t, int64_t *n) {
  int64_t total = 1, nonzero = 1;
  for (int i = 0; i < t->rank; i++) {
    int64_t d = t->dim[i].n;
    if (d < 0 || d > MAX_ELEMENTS) return false;
    if (!mul_ok(nonzero, d ? d : 1, &nonzero) || nonzero > MAX_ELEMENTS) return false;
    total *= d;
  }
  *n = total;
  return true;
}

bool type_check_size(Ctx *c, Loc loc, const Type *t) {
  int64_t n;
  if (count_elements(t, &n)) return true;
  diag_error(c->diag, loc, "the tensor %s is too large or has a negative extent (at most 2^40 elements)",
             type_text(c, t));
  return false;
}

int64_t type_elements(const Type *t) {
  int64_t n;
  return count_elements(t, &n) ? n : MAX_ELEMENTS;
}

int64_t type_bytes(const Type *t) {
  return type_elements(t) * dtype_bytes(t->dtype);
}

char *type_text(Ctx *c, const Type *t) {
  Str s = {.arena = c->arena};
  str_printf(&s, "%s[", dtype_name(t->dtype));
  for (int i = 0; i < t->rank; i++) {
    if (i) str_puts(&s, ",");
    if (!t->dim[i].sym) {
      str_printf(&s, "%lld", (long long)t->dim[i].n);
    } else {
      expr_print(&s, t->dim[i].sym);
      str_printf(&s, "<=%lld", (long long)t->dim[i].n);
    }
  }
  str_puts(&s, "]");
  return str_text(&s);
}

bool type_takes_limit(const Type *t, int64_t limit) {
  return dtype_is_int(t->dtype) && limit > 0 && limit <= INT32_MAX;
}

static bool is_one(Dim d) {
  return !d.sym && d.n == 1;
}

bool type_broadcast(Ctx *c, const Type *const *in, int n, Type *out) {
  (void)c;
  int rank = 0;
  for (int i = 0; i < n; i++)
    if (in[i]->rank > rank) rank = in[i]->rank;
  for (int d = 0; d < rank; d++) out->dim[d] = dim_const(1);
  for (int i = 0; i < n; i++) {
    for (int d = 0; d < in[i]->rank; d++) {
      Dim *o = &out->dim[rank - in[i]->rank + d], mine = in[i]->dim[d];
      if (is_one(*o))
        *o = mine;
      else if (!is_one(mine) && !dim_equal(*o, mine))
        return false;
    }
  }
  out->rank = rank;
  return true;
}
