// verify_digits.c: numbers that were taken apart into digits, put together again for the proofs.
// SPDX-License-Identifier: Apache-2.0
//
// A row number x that runs over several dimensions appears in a flat index as its digits, x//26*156 + x//13%2*78 +
// x%13*6, each simplified by itself: with x = task*48 + i the first becomes task*156 + (task*22 + i)//26*156. Of
// the digits' sum ranges know nothing useful; of 6*x they do.
#include "ir/expr_impl.h"
#include "ir/verify.h"

// The most significant digit: k * (x // d).
typedef struct Number {
  const Expr *x;
  int64_t d, k;
} Number;

static bool has_atom(const Linear *l, const Expr *atom) {
  for (int i = 0; i < l->n; i++)
    if (l->term[i].atom == atom) return true;
  return false;
}

// Term i of l as a leading digit k * (y // d), with what else belongs to x taken out of l: multiples of k of the
// terms of y.
static bool take_leading(Ctx *c, Linear *l, int i, Number *out) {
  Term t = l->term[i];
  Linear y;
  if (t.atom->op != E_FDIV || t.coeff < 1 || !expr_is_const_int(t.atom->args[1], &out->d) || out->d < 2)
    return false;
  if (!linear_of(t.atom->args[0], &y)) return false;
  out->k = t.coeff;
  Linear x = y, rest = {.constant = l->constant};
  for (int j = 0; j < l->n; j++) {
    Linear one = {.n = 1, .term = {{l->term[j].atom, 1}}};
    int64_t scale;
    if (j == i) continue;
    bool ours = l->term[j].coeff % out->k == 0 && has_atom(&y, l->term[j].atom);
    if (ours && (!mul_ok(l->term[j].coeff / out->k, out->d, &scale) || !linear_add(&x, &one, scale)))
      return false;
    if (!ours && !linear_add(&rest, &one, l->term[j].coeff)) return false;
  }
  *l = rest;
  out->x = linear_expr(c, &x);
  return true;
}

// Is a the same as b modulo m?
static bool congruent(Ctx *c, const Expr *a, const Expr *b, int64_t m) {
  Linear l;
  if (!linear_of(ex_sub(c, a, b), &l) || l.constant % m) return false;
  for (int i = 0; i < l.n; i++)
    if (l.term[i].coeff % m) return false;
  return true;
}

// Takes the digit below the leading one out of l and into n; false if it is not there.
static bool take_next(Ctx *c, Linear *l, Number *n) {
  for (int i = 0; i < l->n; i++) {
    const Expr *e = l->term[i].atom;
    int64_t m, k = l->term[i].coeff, whole;
    if (e->op != E_MOD || !expr_is_const_int(e->args[1], &m) || m < 2 || n->d % m || k < 1) continue;
    if (!mul_ok(k, m, &whole) || whole != n->k) continue;
    const Expr *above = ex_binary(c, E_FDIV, n->x, ex_idx(c, n->d / m));
    if (!congruent(c, e->args[0], above, m)) continue;
    l->term[i] = l->term[--l->n];
    n->d /= m;
    n->k = k;
    return true;
  }
  return false;
}

const Expr *verify_join_digits(Ctx *c, const Expr *e) {
  Linear whole;
  if (!linear_of(e, &whole)) return e;
  for (int i = 0; i < whole.n; i++) {
    Linear l = whole;
    Number n;
    if (!take_leading(c, &l, i, &n) || !take_next(c, &l, &n)) continue;
    while (take_next(c, &l, &n)) continue;
    const Expr *number = ex_mul(c, ex_binary(c, E_FDIV, n.x, ex_idx(c, n.d)), ex_idx(c, n.k));
    return verify_join_digits(c, ex_add(c, number, linear_expr(c, &l)));
  }
  return e;
}

bool verify_split_quotient(Ctx *c, const Expr *e, const Expr **dividend, int64_t *d) {
  Linear l, rest, sum;
  if (!linear_of(e, &l)) return false;
  for (int i = 0; i < l.n; i++) {
    const Expr *q = l.term[i].atom;
    if (l.term[i].coeff != 1 || q->op != E_FDIV || !expr_is_const_int(q->args[1], d) || *d < 1) continue;
    rest = l;
    rest.term[i] = rest.term[--rest.n];
    if (!linear_of(q->args[0], &sum) || !linear_add(&sum, &rest, *d)) continue;
    *dividend = linear_expr(c, &sum);
    return true;
  }
  return false;
}
