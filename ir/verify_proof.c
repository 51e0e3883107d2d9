// verify_proof.c: proofs that an index lies inside its buffer, whatever the symbols and loop variables are.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"
#include "ir/verify.h"

const Expr *verify_without_lets(Verify *v, const Expr *e) {
  for (int i = v->lets.n; i-- > 0;) {
    e = expr_subst(v->ctx, e, &v->lets.data[i].var, &v->lets.data[i].value, 1);
  }
  return e;
}

// Is this place inside a loop over nothing, or under conditions that exclude each other?
static bool is_never_reached(const Verify *v) {
  int64_t n;
  if (v->assume && (v->assume == ex_bool(v->ctx, false) || expr_never_holds(v->ctx, v->assume))) return true;
  for (int i = 0; i < v->scope.n; i++) {
    const Expr *extent = v->scope.data[i]->extent;
    if (extent && expr_is_const_int(extent, &n) && n <= 0) return true;
  }
  return false;
}

// ---- greatest values ------------------------------------------------------------------------------------

// Where extents are symbolic, ranges alone prove nothing: p // T < B for p < B * T. So a bound of the index
// is built, as an expression over symbols, term by term.

static const Expr *greatest(Verify *v, const Expr *e);

static const Expr *expand_mod(Ctx *c, const Expr *e, void *data) {
  (void)data;
  if (e->op != E_MOD || e->dtype != DT_I64) return e;
  const Expr *whole = ex_mul(c, ex_binary(c, E_FDIV, e->args[0], e->args[1]), e->args[1]);
  return ex_sub(c, e->args[0], whole);
}

static bool ends_at_symbol(const Expr *e, void *data) {
  (void)data;
  return e->op != E_VAR || !e->var->extent || e->var->extent->op == E_CONST;
}

static bool has_open_var(Verify *v, const Expr *e) {
  return !expr_visit(v->ctx, e, ends_at_symbol, NULL);
}

static int64_t least_value(Verify *v, const Expr *e) {
  int64_t lo, hi;
  return expr_bounds(v->ctx, e, v->assume, &lo, &hi) ? lo : INT64_MIN;
}

// What is left of a term after division by d, or NULL: B of B * T by T.
static const Expr *divided_atom(Ctx *c, const Expr *atom, const Expr *d) {
  if (atom == d) return ex_idx(c, 1);
  if (atom->op != E_MUL) return NULL;
  const Expr *left = divided_atom(c, atom->args[0], d);
  if (left) return ex_mul(c, left, atom->args[1]);
  const Expr *right = divided_atom(c, atom->args[1], d);
  return right ? ex_mul(c, atom->args[0], right) : NULL;
}

// An upper bound without divisions whose quotients are multiplied again: N // 4 * 4 is at most N.
static const Expr *without_quotients(Verify *v, const Expr *e) {
  Ctx *c = v->ctx;
  Linear l;
  int64_t d;
  if (!linear_of(e, &l)) return e;
  const Expr *sum = ex_idx(c, l.constant);
  for (int i = 0; i < l.n; i++) {
    const Expr *atom = l.term[i].atom;
    int64_t k = l.term[i].coeff;
    bool divides = atom->op == E_FDIV && expr_is_const_int(atom->args[1], &d) && d > 0 && k % d == 0;
    const Expr *part = divides ? atom->args[0] : atom;
    if (divides) k /= d;
    if (divides && k < 0) part = ex_sub(c, part, ex_idx(c, d - 1));
    sum = ex_add(c, sum, ex_mul(c, part, ex_idx(c, k)));
  }
  return sum;
}

// How often the sum d goes into the sum a, by the first term of d: 15 for 15*N + 29 and N + 2. 0: it does not.
static int64_t whole_times(const Linear *a, const Linear *d) {
  for (int i = 0; d->n && i < a->n; i++)
    if (a->term[i].atom == d->term[0].atom && a->term[i].coeff % d->term[0].coeff == 0)
      return a->term[i].coeff / d->term[0].coeff;
  return 0;
}

// A bound of a // d: the terms of a that d divides, and what the others can add.
static const Expr *greatest_quotient(Verify *v, const Expr *a, const Expr *d) {
  Ctx *c = v->ctx;
  Linear l, divisor;
  int64_t lo, hi, least = least_value(v, d);
  if (least < 1 || !linear_of(a, &l) || !linear_of(d, &divisor)) return NULL;
  int64_t times = whole_times(&l, &divisor);
  if (times && !linear_add(&l, &divisor, -times)) return NULL;
  const Expr *quotient = ex_idx(c, times), *others = ex_idx(c, l.constant);
  for (int i = 0; i < l.n; i++) {
    const Expr *part = divided_atom(c, l.term[i].atom, d), *k = ex_idx(c, l.term[i].coeff);
    if (part)
      quotient = ex_add(c, quotient, ex_mul(c, part, k));
    else
      others = ex_add(c, others, ex_mul(c, l.term[i].atom, k));
  }
  if (!expr_bounds(c, others, v->assume, &lo, &hi)) return NULL;
  return ex_add(c, quotient, ex_idx(c, hi < 0 ? -1 : hi / least));
}

static bool is_no_symbol(const Expr *e, void *data) {
  (void)data;
  return e->op != E_SYM;
}

// e at one of its ends if symbols have no part in it, also where its variables have constant extents: nothing
// is known of 5*r*N as a range.
static const Expr *end_of_factor(Verify *v, const Expr *e, bool high) {
  int64_t lo, hi;
  bool constant = expr_visit(v->ctx, e, is_no_symbol, NULL) && !has_open_var(v, e);
  if (!constant || !expr_bounds(v->ctx, e, v->assume, &lo, &hi)) return NULL;
  return ex_idx(v->ctx, high ? hi : lo);
}

static const Expr *greatest_factor(Verify *v, const Expr *e) {
  const Expr *end = end_of_factor(v, e, true);
  return end ? end : greatest(v, e);
}

// The product of factors >= 0, of which those that are no symbols are smallest.
static const Expr *least_product(Verify *v, const Expr *e) {
  if (e->op != E_MUL) {
    const Expr *end = end_of_factor(v, e, false);
    return end ? end : e;
  }
  if (least_value(v, e->args[0]) < 0 || least_value(v, e->args[1]) < 0) return e;
  return ex_mul(v->ctx, least_product(v, e->args[0]), least_product(v, e->args[1]));
}

// The extent of a loop inside it: of max(n, 0) only n is left.
static const Expr *running_extent(Verify *v, const Var *var) {
  const Expr *e = verify_without_lets(v, var->extent), *zero = ex_idx(v->ctx, 0);
  if (e->op != E_MAX) return e;
  return e->args[0] == zero ? e->args[1] : e->args[1] == zero ? e->args[0] : e;
}

static const Expr *greatest_atom(Verify *v, const Expr *e) {
  Ctx *c = v->ctx;
  if (!has_open_var(v, e) && e->op != E_MUL) return e;
  switch (e->op) {
  case E_VAR: return ex_sub(c, greatest(v, running_extent(v, e->var)), ex_idx(c, 1));
  case E_FDIV: return greatest_quotient(v, without_quotients(v, greatest(v, e->args[0])), e->args[1]);
  case E_MUL:
    if (least_value(v, e->args[0]) < 0 || least_value(v, e->args[1]) < 0) return NULL;
    return ex_mul(c, greatest_factor(v, e->args[0]), greatest_factor(v, e->args[1]));
  case E_MOD: return least_value(v, e->args[1]) < 1 ? NULL : ex_sub(c, greatest(v, e->args[1]), ex_idx(c, 1));
  default: return NULL;
  }
}

// An expression that e never exceeds, with variables of symbolic extent at the end where e is greatest.
static const Expr *greatest(Verify *v, const Expr *e) {
  Ctx *c = v->ctx;
  Linear l;
  if (!linear_of(e, &l)) return e;
  const Expr *sum = ex_idx(c, l.constant);
  for (int i = 0; i < l.n; i++) {
    const Expr *atom = l.term[i].atom;
    int64_t k = l.term[i].coeff, least = least_value(v, atom);
    const Expr *end = k > 0                                 ? greatest_atom(v, atom)
                      : has_open_var(v, atom) && least >= 0 ? ex_idx(c, least)
                      : atom->op == E_MUL                   ? least_product(v, atom)
                                                            : NULL;
    sum = ex_add(c, sum, ex_mul(c, end ? end : atom, ex_idx(c, k)));
  }
  return sum;
}

// ---- proofs -----------------------------------------------------------------------------------------------

enum { PROOF_STEPS = 6 }; // one after the other

typedef struct Choice {
  const Expr *atom, *arm[3]; // max, min or absolute value, and what it is one of
  int n;
  bool all; // the sum is below 0 if it is with all arms (else: with one of them)
} Choice;

static bool find_choice(Ctx *c, const Linear *l, Choice *out) {
  for (int i = 0; i < l->n; i++) {
    const Expr *e = l->term[i].atom;
    if (e->op != E_MAX && e->op != E_MIN && e->op != E_ABS) continue;
    *out = (Choice){.atom = e, .n = 2, .all = (l->term[i].coeff > 0) == (e->op != E_MIN)};
    out->arm[0] = e->args[0];
    out->arm[1] = e->op == E_ABS ? ex_unary(c, E_NEG, e->args[0]) : e->args[1];
    if (e->op == E_ABS && !out->all) out->arm[out->n++] = ex_idx(c, 0); // what it is never below
    return true;
  }
  return false;
}

// e with the atom of l replaced.
static const Expr *with_arm(Ctx *c, const Linear *l, const Expr *atom, const Expr *arm) {
  const Expr *sum = ex_idx(c, l->constant);
  for (int i = 0; i < l->n; i++)
    sum = ex_add(c, sum,
                 ex_mul(c, l->term[i].atom == atom ? arm : l->term[i].atom, ex_idx(c, l->term[i].coeff)));
  return sum;
}

static bool proves_negative(Verify *v, const Expr *e, int steps);

// By cases of the first max(a, b), min(a, b) or abs(a); false also if there is none.
static bool proves_by_cases(Verify *v, const Expr *e, int steps) {
  Linear l;
  Choice choice;
  if (!linear_of(e, &l) || !find_choice(v->ctx, &l, &choice)) return false;
  for (int i = 0; i < choice.n; i++) {
    bool holds = proves_negative(v, with_arm(v->ctx, &l, choice.atom, choice.arm[i]), steps);
    if (holds != choice.all) return holds;
  }
  return choice.all;
}

// e < 0 for all values.
static bool proves_negative(Verify *v, const Expr *e, int steps) {
  int64_t lo, hi;
  if (expr_bounds(v->ctx, e, v->assume, &lo, &hi) && hi < 0) return true;
  if (steps == 0) return false;
  if (proves_by_cases(v, e, steps - 1)) return true;
  const Expr *bound = without_quotients(v, e), *end = greatest(v, e);
  return (bound != e && proves_negative(v, bound, steps - 1)) ||
         (end != e && proves_negative(v, end, steps - 1));
}

// index < n for all values of the variables in scope. Remainders are written as differences, so that
// N // 4 * 4 + N % 4 cancels to N.
static bool proves_less(Verify *v, const Expr *index, const Expr *n) {
  Ctx *c = v->ctx;
  bool divides = index->op == E_FDIV && least_value(v, index->args[1]) >= 1; // a // d < n is a < n * d
  if (divides && proves_less(v, index->args[0], ex_mul(c, n, index->args[1]))) return true;
  const Expr *dividend;
  int64_t d;
  if (!divides && verify_split_quotient(c, index, &dividend, &d) &&
      proves_less(v, dividend, ex_mul(c, n, ex_idx(c, d))))
    return true;
  if (proves_negative(v, ex_sub(c, index, n), PROOF_STEPS)) return true; // facts speak of it as it is
  const Expr *end = expr_rewrite(c, greatest(v, index), expand_mod, NULL);
  return proves_negative(v, ex_sub(c, end, expr_rewrite(c, n, expand_mod, NULL)), PROOF_STEPS);
}

// Inside a loop its extent is at least 1.
static void assume_loops_run(Verify *v) {
  for (int i = 0; i < v->scope.n; i++) {
    const Expr *extent = v->scope.data[i]->extent;
    if (!extent || extent->op == E_CONST) continue;
    const Expr *runs = ex_binary(v->ctx, E_LE, ex_idx(v->ctx, 1), verify_without_lets(v, extent));
    if (runs != ex_bool(v->ctx, true)) verify_assume(v, runs, true);
  }
}

// Ranges first, which decide nearly all; then symbols.
static bool proves_range(Verify *v, const Expr *index, Dim extent) {
  Ctx *c = v->ctx;
  int64_t lo, hi;
  bool known = expr_bounds(c, index, v->assume, &lo, &hi);
  if (known && lo >= 0 && hi < extent.n) return true;
  const Expr *n = dim_to_expr(c, extent), *in_range = ex_in_range(c, index, n);
  if (v->assume) in_range = expr_assume(c, in_range, v->assume);
  if (in_range == ex_bool(c, true) || is_never_reached(v)) return true;
  if (!(known && lo >= 0) && !proves_less(v, ex_unary(c, E_NEG, index), ex_idx(c, 1))) return false;
  return (known && hi < extent.n) || proves_less(v, index, n);
}

static bool proves_thoroughly(Verify *v, const Expr *index, Dim extent) {
  v->ctx->exprs->thorough = true;
  bool ok = proves_range(v, index, extent);
  v->ctx->exprs->thorough = false;
  return ok;
}

bool verify_proves_range(Verify *v, const Expr *index, Dim extent) {
  const Expr *old = v->assume;
  assume_loops_run(v);
  index = verify_without_lets(v, index);
  bool ok = proves_range(v, index, extent);
  const Expr *joined = ok ? index : verify_join_digits(v->ctx, index);
  if (joined != index) ok = proves_range(v, joined, extent);
  ok = ok || (v->assume && proves_thoroughly(v, index, extent));
  v->assume = old;
  return ok;
}
