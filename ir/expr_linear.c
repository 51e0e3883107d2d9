// expr_linear.c: the normal form of i64 arithmetic: sums of products, in a canonical order.
// SPDX-License-Identifier: Apache-2.0
//
// A sum is a left-leaning chain, terms by falling magnitude of their coefficients and then by expr_order,
// the constant last: `i*64 + j*8 + k - 3`. Negative terms are subtracted; the first term is a positive one if
// there is one. A product is a chain of atoms in expr_order, times a constant: `T*i*64`. Arithmetic modulo
// 2^64 is a ring, so sums and products may be rearranged freely even where they wrap.
#include "ir/expr_impl.h"

#include <stdlib.h>

enum { NESTING = 32 };

static int64_t wrap_add(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t wrap_mul(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a * (uint64_t)b);
}

static uint64_t magnitude(int64_t v) {
  return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

// ---- order ----------------------------------------------------------------------------------------------

static int compare_int(int64_t a, int64_t b) {
  return (a > b) - (a < b);
}

// Order of two nodes by everything but their arguments.
static int compare_heads(const Expr *a, const Expr *b) {
  int d = compare_int(a->op, b->op);
  if (d) return d;
  if ((d = compare_int(a->dtype, b->dtype))) return d;
  if ((d = compare_int(a->nargs, b->nargs))) return d;
  switch (a->op) {
  case E_CONST: return compare_int(a->int_value, b->int_value); // any order does for floats
  case E_VAR: return compare_int(a->var->id, b->var->id);
  case E_SYM: return compare_int(a->sym->index, b->sym->index);
  case E_READ: return compare_int(a->value->id, b->value->id);
  case E_REDUCE:
    if ((d = compare_int(a->reduce.kind, b->reduce.kind))) return d;
    if ((d = compare_int(a->reduce.nvars, b->reduce.nvars))) return d;
    for (int i = 0; i < a->reduce.nvars && !d; i++)
      d = compare_int(a->reduce.vars[i]->id, b->reduce.vars[i]->id);
    return d;
  default: return 0;
  }
}

// Different nodes with equal heads differ in an argument; the first that differs decides.
int expr_order(const Expr *a, const Expr *b) {
  while (a != b) {
    int d = compare_heads(a, b), i = 0;
    if (d) return d;
    while (i < a->nargs && a->args[i] == b->args[i]) i++;
    if (i == a->nargs) return compare_int(a->id, b->id);
    a = a->args[i];
    b = b->args[i];
  }
  return 0;
}

// ---- linear forms ---------------------------------------------------------------------------------------

static bool linear_add_term(Linear *l, const Expr *atom, int64_t k) {
  for (int i = 0; i < l->n; i++) {
    if (l->term[i].atom != atom) continue;
    l->term[i].coeff = wrap_add(l->term[i].coeff, k);
    if (l->term[i].coeff == 0) l->term[i] = l->term[--l->n];
    return true;
  }
  if (k == 0) return true;
  if (l->n == LINEAR_MAX) return false;
  l->term[l->n++] = (Term){atom, k};
  return true;
}

bool linear_add(Linear *l, const Linear *m, int64_t scale) {
  l->constant = wrap_add(l->constant, wrap_mul(m->constant, scale));
  for (int i = 0; i < m->n; i++)
    if (!linear_add_term(l, m->term[i].atom, wrap_mul(m->term[i].coeff, scale))) return false;
  return true;
}

static bool linear_collect(const Expr *e, int64_t k, Linear *l, int depth) {
  if (depth > NESTING) return false;
  for (;;) {
    int64_t v;
    switch (e->op) {
    case E_CONST: l->constant = wrap_add(l->constant, wrap_mul(k, e->int_value)); return true;
    case E_NEG:
      k = wrap_mul(k, -1);
      e = e->args[0];
      continue;
    case E_MUL:
      if (!expr_is_const_int(e->args[1], &v)) return linear_add_term(l, e, k);
      k = wrap_mul(k, v);
      e = e->args[0];
      continue;
    case E_ADD:
    case E_SUB:
      if (!linear_collect(e->args[1], e->op == E_ADD ? k : wrap_mul(k, -1), l, depth + 1)) return false;
      e = e->args[0];
      continue;
    default: return linear_add_term(l, e, k);
    }
  }
}

bool linear_of(const Expr *e, Linear *out) {
  out->n = 0;
  out->constant = 0;
  return linear_collect(e, 1, out, 0);
}

static int64_t gcd(int64_t a, int64_t b) {
  uint64_t x = magnitude(a), y = magnitude(b);
  while (y) {
    uint64_t t = x % y;
    x = y;
    y = t;
  }
  return (int64_t)x;
}

int64_t linear_content(const Linear *l) {
  int64_t g = 0;
  for (int i = 0; i < l->n; i++) g = gcd(g, l->term[i].coeff);
  return g;
}

static int compare_terms(const void *pa, const void *pb) {
  const Term *a = pa, *b = pb;
  uint64_t x = magnitude(a->coeff), y = magnitude(b->coeff);
  return x != y ? (x < y) - (x > y) : expr_order(a->atom, b->atom);
}

static void linear_sort(Linear *l) {
  for (int i = 1; i < l->n; i++) // insertion: nearly always sorted already, and few
    for (int j = i; j > 0 && compare_terms(&l->term[j - 1], &l->term[j]) > 0; j--) {
      Term t = l->term[j];
      l->term[j] = l->term[j - 1];
      l->term[j - 1] = t;
    }
}

static const Expr *scaled(Ctx *c, const Expr *atom, int64_t k) {
  if (k == 1) return atom;
  if (k == -1) return mk_unary(c, E_NEG, DT_I64, atom);
  return mk_binary(c, E_MUL, DT_I64, atom, ex_idx(c, k));
}

static const Expr *append_term(Ctx *c, const Expr *sum, const Expr *atom, int64_t k) {
  bool minus = k < 0 && k != INT64_MIN;
  return mk_binary(c, minus ? E_SUB : E_ADD, DT_I64, sum, scaled(c, atom, minus ? -k : k));
}

const Expr *linear_expr(Ctx *c, Linear *l) {
  if (l->n == 0) return ex_idx(c, l->constant);
  linear_sort(l);
  int first = 0;
  while (first < l->n && l->term[first].coeff < 0) first++;
  const Expr *sum;
  int64_t k = l->constant;
  if (first < l->n) {
    sum = scaled(c, l->term[first].atom, l->term[first].coeff);
  } else if (k > 0) { // nothing is positive but the constant: `5 - i`
    sum = ex_idx(c, k);
    k = 0;
  } else {
    first = 0;
    sum = scaled(c, l->term[0].atom, l->term[0].coeff);
  }
  for (int i = 0; i < l->n; i++)
    if (i != first) sum = append_term(c, sum, l->term[i].atom, l->term[i].coeff);
  if (k == 0) return sum;
  bool minus = k < 0 && k != INT64_MIN;
  return mk_binary(c, minus ? E_SUB : E_ADD, DT_I64, sum, ex_idx(c, minus ? -k : k));
}

// ---- x//c*c + x%c -> x ----------------------------------------------------------------------------------

static int find_term(const Linear *l, const Expr *atom) {
  for (int i = 0; i < l->n; i++)
    if (l->term[i].atom == atom) return i;
  return -1;
}

// l minus k * e, plus k * by; the result is a new linear form of the same value.
static bool linear_exchange(Linear *l, const Expr *remove1, int64_t k1, const Expr *remove2, int64_t k2,
                            const Expr *by, int64_t k) {
  Linear m;
  return linear_of(by, &m) && linear_add_term(l, remove1, wrap_mul(k1, -1)) &&
         linear_add_term(l, remove2, wrap_mul(k2, -1)) && linear_add(l, &m, k);
}

// Term i is k * (x % d). With k*d * (x//d) beside it both are k * x; with k*d * ((x//d) % b) they are
// k * (x % (d*b)).
static bool recombine_at(Ctx *c, Linear *l, int i) {
  const Expr *mod = l->term[i].atom, *x = mod->args[0], *d = mod->args[1];
  int64_t k = l->term[i].coeff, dv, b, kd, db;
  if (!expr_is_const_int(d, &dv) || !mul_ok(k, dv, &kd) || !range_known(expr_range(c, x))) return false;
  const Expr *q = ex_binary(c, E_FDIV, x, d);
  int at = find_term(l, q);
  if (at >= 0 && l->term[at].coeff == kd) return linear_exchange(l, mod, k, q, kd, x, k);
  for (int j = 0; j < l->n; j++) {
    const Expr *e = l->term[j].atom;
    if (l->term[j].coeff != kd || e->op != E_MOD || e->args[0] != q) continue;
    if (!expr_is_const_int(e->args[1], &b) || !mul_ok(dv, b, &db)) continue;
    return linear_exchange(l, mod, k, e, kd, ex_binary(c, E_MOD, x, ex_idx(c, db)), k);
  }
  return false;
}

// The same with a divisor that is not constant, which stands as a factor: (x//d)*d*k + (x%d)*k.
static bool recombine_symbolic(Ctx *c, Linear *l, int i) {
  const Expr *mod = l->term[i].atom, *x = mod->args[0], *d = mod->args[1];
  if (d->op == E_CONST || expr_range(c, d).lo < 1 || !range_known(expr_range(c, x))) return false;
  Linear whole;
  const Expr *q = ex_binary(c, E_FDIV, x, d), *qd = ex_mul(c, q, d);
  if (!linear_of(qd, &whole) || whole.n != 1 || whole.constant) return false;
  int64_t k = l->term[i].coeff, kq;
  int at = find_term(l, whole.term[0].atom);
  if (at < 0 || !mul_ok(k, whole.term[0].coeff, &kq) || l->term[at].coeff != kq) return false;
  return linear_exchange(l, mod, k, whole.term[0].atom, kq, x, k);
}

static bool recombine_once(Ctx *c, Linear *l) {
  for (int i = 0; i < l->n; i++)
    if (l->term[i].atom->op == E_MOD && (recombine_at(c, l, i) || recombine_symbolic(c, l, i))) return true;
  return false;
}

static void recombine(Ctx *c, Linear *l) {
  Linear saved = *l;
  while (l->n > 1 && recombine_once(c, l)) saved = *l;
  *l = saved; // an exchange that ran out of room is undone
}

const Expr *simplify_sum(Ctx *c, ExprOp op, const Expr *a, const Expr *b) {
  Linear l, m;
  if (!linear_of(a, &l) || !linear_of(b, &m) || !linear_add(&l, &m, op == E_ADD ? 1 : -1)) return NULL;
  recombine(c, &l);
  return linear_expr(c, &l);
}

// ---- products -------------------------------------------------------------------------------------------

enum { FACTORS_MAX = 8 };

typedef struct Product {
  int64_t k;
  int n;
  const Expr *factor[FACTORS_MAX]; // in expr_order; sums have content 1
} Product;

static bool product_insert(Product *p, const Expr *f) {
  if (p->n == FACTORS_MAX) return false;
  int i = p->n++;
  for (; i > 0 && expr_order(p->factor[i - 1], f) > 0; i--) p->factor[i] = p->factor[i - 1];
  p->factor[i] = f;
  return true;
}

static bool product_of(Ctx *c, const Expr *e, Product *p, int depth) {
  int64_t v;
  if (depth > FACTORS_MAX + 2) return false;
  if (e->op == E_MUL)
    return product_of(c, e->args[0], p, depth + 1) && product_of(c, e->args[1], p, depth + 1);
  if (expr_is_const_int(e, &v)) return p->k = wrap_mul(p->k, v), true;
  if (e->op == E_NEG) return p->k = wrap_mul(p->k, -1), product_of(c, e->args[0], p, depth + 1);
  if (e->op != E_ADD && e->op != E_SUB) return product_insert(p, e);
  Linear l;
  if (!linear_of(e, &l)) return product_insert(p, e);
  int64_t g = gcd(linear_content(&l), l.constant);
  if (g <= 1) return product_insert(p, e);
  for (int i = 0; i < l.n; i++) l.term[i].coeff /= g;
  l.constant /= g;
  p->k = wrap_mul(p->k, g);
  return product_insert(p, linear_expr(c, &l));
}

static const Expr *product_expr(Ctx *c, const Product *p) {
  if (p->n == 0 || p->k == 0) return ex_idx(c, p->k);
  const Expr *e = p->factor[0];
  for (int i = 1; i < p->n; i++) e = mk_binary(c, E_MUL, DT_I64, e, p->factor[i]);
  return scaled(c, e, p->k);
}

// Made of symbols alone, with no sum: what sums are multiplied out with, so that extents and strides meet
// in one form. Loop variables stay factored: i*(T+1) can then be divided by T+1.
static bool is_symbol_product(const Expr *e) {
  int64_t v;
  if (e->op == E_SYM) return true;
  return e->op == E_MUL && (e->args[1]->op == E_SYM || expr_is_const_int(e->args[1], &v)) &&
         is_symbol_product(e->args[0]);
}

static const Expr *multiply_out(Ctx *c, const Expr *sum, const Expr *by) {
  Linear l, out = {0}, m;
  if (!linear_of(sum, &l)) return NULL;
  for (int i = 0; i < l.n; i++)
    if (!linear_of(ex_mul(c, l.term[i].atom, by), &m) || !linear_add(&out, &m, l.term[i].coeff)) return NULL;
  if (!linear_of(by, &m) || !linear_add(&out, &m, l.constant)) return NULL;
  return linear_expr(c, &out);
}

const Expr *simplify_product(Ctx *c, const Expr *a, const Expr *b) {
  int64_t v;
  if (expr_is_const_int(b, &v)) {
    Linear l = {0}, m;
    if (!linear_of(a, &m) || !linear_add(&l, &m, v)) return NULL;
    return linear_expr(c, &l);
  }
  bool a_sum = a->op == E_ADD || a->op == E_SUB, b_sum = b->op == E_ADD || b->op == E_SUB;
  const Expr *r = NULL;
  if (a_sum && is_symbol_product(b))
    r = multiply_out(c, a, b);
  else if (b_sum && is_symbol_product(a))
    r = multiply_out(c, b, a);
  if (r) return r;
  Product p = {.k = 1};
  return product_of(c, a, &p, 0) && product_of(c, b, &p, 0) ? product_expr(c, &p) : NULL;
}

// ---- division by a product ------------------------------------------------------------------------------

// t / d if every factor of d is one of t's and the constants divide.
static const Expr *product_divide(Ctx *c, const Term *t, const Product *d) {
  Product p = {.k = t->coeff};
  if (!product_of(c, t->atom, &p, 0) || p.k % d->k) return NULL;
  Product q = {.k = p.k / d->k};
  int j = 0;
  for (int i = 0; i < p.n; i++) {
    if (j < d->n && p.factor[i] == d->factor[j])
      j++;
    else
      q.factor[q.n++] = p.factor[i];
  }
  return j == d->n ? product_expr(c, &q) : NULL;
}

// (q*d + rest) // d and % d for a divisor d > 0 that is not constant.
static const Expr *divide_symbolic(Ctx *c, ExprOp op, const Expr *a, const Expr *b) {
  Product d = {.k = 1};
  Linear l, quotient = {0}, rest = {0}, m;
  if (!product_of(c, b, &d, 0) || d.k <= 0 || !linear_of(a, &l)) return NULL;
  rest.constant = l.constant;
  for (int i = 0; i < l.n; i++) {
    const Expr *q = product_divide(c, &l.term[i], &d);
    if (q ? !linear_of(q, &m) || !linear_add(&quotient, &m, 1)
          : !linear_add_term(&rest, l.term[i].atom, l.term[i].coeff))
      return NULL;
  }
  const Expr *r = linear_expr(c, &rest), *q = linear_expr(c, &quotient);
  if (!range_known(expr_range(c, r)) || !range_known(expr_range(c, q))) return NULL;
  if (expr_range(c, r).lo >= 0 && expr_proves_lt(c, r, b)) return op == E_FDIV ? q : r;
  if (r == a) return NULL;
  const Expr *left = mk_binary(c, op, DT_I64, r, b);
  return op == E_FDIV ? ex_add(c, q, left) : left;
}

// ---- division by a constant -----------------------------------------------------------------------------

// Writes l = d * quotient + rest, |coefficients of rest| < d, 0 <= its constant < d.
static void split_multiples(const Linear *l, int64_t d, Linear *quotient, Linear *rest) {
  quotient->n = rest->n = 0;
  for (int i = 0; i < l->n; i++) {
    Term t = l->term[i];
    if (t.coeff / d) quotient->term[quotient->n++] = (Term){t.atom, t.coeff / d};
    if (t.coeff % d) rest->term[rest->n++] = (Term){t.atom, t.coeff % d};
  }
  quotient->constant = floor_div(l->constant, d);
  rest->constant = floor_mod(l->constant, d);
}

// Looks for g > 1 that divides d, with l = g * whole + part and 0 <= part < g for all values.
static bool split_by_common_factor(Ctx *c, Linear *l, int64_t d, int64_t *g, Linear *whole, Linear *part) {
  linear_sort(l);
  for (int n = l->n; n > 0; n--) {
    *g = d;
    for (int i = 0; i < n; i++) *g = gcd(*g, l->term[i].coeff);
    if (*g <= 1) continue;
    split_multiples(l, *g, whole, part);
    Range r = linear_range(c, part);
    if (range_known(r) && r.lo >= 0 && r.hi < *g) return true;
  }
  return false;
}

static const Expr *divide_rest(Ctx *c, Linear *rest, int64_t d);

// (x // a) // d and (x % m) // d, where they are one division; `rest` is that single atom.
static const Expr *divide_nested(Ctx *c, const Linear *rest, int64_t d) {
  if (rest->n != 1 || rest->term[0].coeff != 1 || rest->constant) return NULL;
  const Expr *e = rest->term[0].atom;
  int64_t a, ad;
  if (e->nargs != 2 || !expr_is_const_int(e->args[1], &a) || a <= 0) return NULL;
  if (e->op == E_FDIV && mul_ok(a, d, &ad)) return ex_binary(c, E_FDIV, e->args[0], ex_idx(c, ad));
  if (e->op == E_MOD && a % d == 0)
    return ex_binary(c, E_MOD, ex_binary(c, E_FDIV, e->args[0], ex_idx(c, d)), ex_idx(c, a / d));
  return NULL;
}

// rest // d, where no term of rest is a multiple of d.
static const Expr *divide_rest(Ctx *c, Linear *rest, int64_t d) {
  Range r = linear_range(c, rest);
  if (range_known(r) && floor_div(r.lo, d) == floor_div(r.hi, d)) return ex_idx(c, floor_div(r.lo, d));
  int64_t g;
  Linear whole, part;
  if (split_by_common_factor(c, rest, d, &g, &whole, &part))
    return ex_binary(c, E_FDIV, linear_expr(c, &whole), ex_idx(c, d / g));
  const Expr *nested = divide_nested(c, rest, d);
  return nested ? nested : mk_binary(c, E_FDIV, DT_I64, linear_expr(c, rest), ex_idx(c, d));
}

// (x % m) % d with d a divisor of m.
static const Expr *mod_nested(Ctx *c, const Linear *rest, int64_t d) {
  if (rest->n != 1 || rest->term[0].coeff != 1 || rest->constant) return NULL;
  const Expr *e = rest->term[0].atom;
  int64_t m;
  if (e->op != E_MOD || !expr_is_const_int(e->args[1], &m) || m % d) return NULL;
  return ex_binary(c, E_MOD, e->args[0], ex_idx(c, d));
}

static const Expr *mod_rest(Ctx *c, Linear *rest, int64_t d) {
  Range r = linear_range(c, rest);
  if (range_known(r) && floor_div(r.lo, d) == floor_div(r.hi, d)) {
    rest->constant -= floor_div(r.lo, d) * d;
    return linear_expr(c, rest);
  }
  int64_t g;
  Linear whole, part;
  if (split_by_common_factor(c, rest, d, &g, &whole, &part)) {
    const Expr *w = ex_binary(c, E_MOD, linear_expr(c, &whole), ex_idx(c, d / g));
    return ex_add(c, ex_mul(c, w, ex_idx(c, g)), linear_expr(c, &part));
  }
  const Expr *nested = mod_nested(c, rest, d);
  return nested ? nested : mk_binary(c, E_MOD, DT_I64, linear_expr(c, rest), ex_idx(c, d));
}

const Expr *simplify_division(Ctx *c, ExprOp op, const Expr *a, const Expr *b) {
  int64_t d;
  if (!expr_is_const_int(b, &d)) {
    bool usable = expr_range(c, b).lo >= 1 && range_known(expr_range(c, a));
    return usable ? divide_symbolic(c, op, a, b) : NULL;
  }
  if (d == 0) return b; // by definition
  if (d == 1) return op == E_FDIV ? a : ex_idx(c, 0);
  Linear l, quotient, rest;
  // What may wrap around is not the sum it looks like: division does not distribute over it.
  if (d < 0 || !range_known(expr_range(c, a)) || !linear_of(a, &l)) return NULL;
  if (!range_known(linear_range(c, &l))) return NULL;
  split_multiples(&l, d, &quotient, &rest);
  if (op == E_MOD) return mod_rest(c, &rest, d);
  return ex_add(c, linear_expr(c, &quotient), divide_rest(c, &rest, d));
}

// ---- comparisons ----------------------------------------------------------------------------------------

// Splits l into its positive terms and the negative ones with their sign turned.
static void split_signs(const Linear *l, Linear *plus, Linear *minus) {
  plus->n = minus->n = 0;
  plus->constant = minus->constant = 0;
  for (int i = 0; i < l->n; i++) {
    Term t = l->term[i];
    if (t.coeff > 0)
      plus->term[plus->n++] = t;
    else
      minus->term[minus->n++] = (Term){t.atom, -t.coeff};
  }
}

// The inequality plus - minus < k in its one form: k on the side where it is positive, `<=` where that
// saves a constant.
static const Expr *canonical_less(Ctx *c, Linear *plus, Linear *minus, int64_t k) {
  ExprOp op = E_LT;
  if (k == 1 && minus->n)
    op = E_LE;
  else if (k > 0)
    minus->constant = k;
  else if (k < 0 && plus->n)
    plus->constant = -k;
  else if (plus->n == 0)
    op = E_LE, plus->constant = 1 - k;
  return mk_binary(c, op, DT_BOOL, linear_expr(c, plus), linear_expr(c, minus));
}

// g * q + r + constant < 0 says the same as q + k < 0 if whatever r is makes no difference to the last q that
// satisfies it: 16*i + j < 64 with 0 <= j < 16 is i < 4. Leaves q + k in l.
static bool drop_remainder(Ctx *c, Linear *l, int64_t g) {
  Linear q = {0}, r = {0};
  for (int i = 0; i < l->n; i++) {
    Term t = l->term[i];
    if (t.coeff % g == 0)
      q.term[q.n++] = (Term){t.atom, t.coeff / g};
    else
      r.term[r.n++] = t;
  }
  int64_t lo, hi;
  Range rest = linear_range(c, &r);
  if (q.n == 0 || r.n == 0 || !range_known(rest)) return false;
  if (!add_ok(rest.lo, l->constant, &lo) || !add_ok(rest.hi, l->constant, &hi) || lo == INT64_MIN)
    return false;
  if (ceil_div(-lo, g) != ceil_div(-hi, g)) return false;
  *l = q;
  l->constant = -ceil_div(-lo, g);
  return true;
}

static void drop_remainders(Ctx *c, Linear *l) {
  for (int i = 0; i < l->n; i++) {
    int64_t k = l->term[i].coeff, g = k < 0 ? -k : k;
    if (g > 1 && drop_remainder(c, l, g)) i = -1; // fewer terms each time
  }
}

// sum + constant < 0.
static const Expr *compare_less(Ctx *c, Linear *l) {
  if (l->n == 0) return ex_bool(c, l->constant < 0);
  if (l->constant == INT64_MIN) return NULL;
  drop_remainders(c, l);
  int64_t g = linear_content(l);
  for (int i = 0; i < l->n; i++) l->term[i].coeff /= g;
  int64_t k = ceil_div(-l->constant, g); // g * sum < -constant
  Linear plus, minus;
  split_signs(l, &plus, &minus);
  return canonical_less(c, &plus, &minus, k);
}

static const Expr *compare_equal(Ctx *c, ExprOp op, Linear *l) {
  int64_t g = linear_content(l);
  if (l->n == 0 || l->constant % g) return ex_bool(c, (op == E_EQ) == (l->n == 0 && l->constant == 0));
  for (int i = 0; i < l->n; i++) l->term[i].coeff /= g;
  linear_sort(l);
  int64_t k = -(l->constant / g);
  if (l->term[0].coeff < 0) { // the first term decides the sign
    for (int i = 0; i < l->n; i++) l->term[i].coeff = -l->term[i].coeff;
    k = -k;
  }
  Linear plus, minus;
  split_signs(l, &plus, &minus);
  if (k > 0 || minus.n == 0)
    minus.constant = k;
  else
    plus.constant = -k;
  return mk_binary(c, op, DT_BOOL, linear_expr(c, &plus), linear_expr(c, &minus));
}

const Expr *simplify_compare(Ctx *c, ExprOp op, const Expr *a, const Expr *b) {
  bool equality = op == E_EQ || op == E_NE;
  if (expr_proves_lt(c, a, b)) return ex_bool(c, op != E_EQ);
  if (expr_proves_lt(c, b, a)) return ex_bool(c, op == E_NE);
  if (op == E_LE && expr_proves_le(c, a, b)) return ex_bool(c, true);
  if (op == E_LT && expr_proves_le(c, b, a)) return ex_bool(c, false);
  Linear l, m;
  if (!range_known(expr_range(c, a)) || !range_known(expr_range(c, b))) return NULL;
  if (!linear_of(a, &l) || !linear_of(b, &m) || !linear_add(&l, &m, -1)) return NULL;
  if (!range_known(linear_range(c, &l))) return NULL;
  if (equality) return compare_equal(c, op, &l);
  if (op == E_LE) l.constant -= 1;
  return compare_less(c, &l);
}
