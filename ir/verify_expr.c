// verify_expr.c: checks of expressions: types, variables, and that every access stays inside its buffer.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"
#include "ir/text.h"
#include "ir/verify.h"

// ---- bounds -------------------------------------------------------------------------------------------------

static const Expr *without_lets(Verify *v, const Expr *e) {
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

// Every variable at its end, those of constant extent too: nothing is known of 5*r*N as a range.
static const Expr *greatest_factor(Verify *v, const Expr *e) {
  int64_t n;
  if (e->op == E_VAR && e->var->extent && expr_is_const_int(e->var->extent, &n)) return ex_idx(v->ctx, n - 1);
  return greatest(v, e);
}

// The extent of a loop inside it: of max(n, 0) only n is left.
static const Expr *running_extent(Verify *v, const Var *var) {
  const Expr *e = without_lets(v, var->extent), *zero = ex_idx(v->ctx, 0);
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
                                                            : NULL;
    sum = ex_add(c, sum, ex_mul(c, end ? end : atom, ex_idx(c, k)));
  }
  return sum;
}

// index < n for all values of the variables in scope. Remainders are written as differences, so that
// N // 4 * 4 + N % 4 cancels to N.
static bool proves_less(Verify *v, const Expr *index, const Expr *n) {
  Ctx *c = v->ctx;
  int64_t lo, hi;
  bool divides = index->op == E_FDIV && least_value(v, index->args[1]) >= 1; // a // d < n is a < n * d
  if (divides && proves_less(v, index->args[0], ex_mul(c, n, index->args[1]))) return true;
  const Expr *end = expr_rewrite(c, greatest(v, index), expand_mod, NULL);
  const Expr *excess = ex_sub(c, end, expr_rewrite(c, n, expand_mod, NULL));
  if (expr_bounds(c, excess, v->assume, &lo, &hi) && hi < 0) return true;
  return expr_bounds(c, without_quotients(v, excess), v->assume, &lo, &hi) && hi < 0;
}

// Inside a loop its extent is at least 1.
static void assume_loops_run(Verify *v) {
  for (int i = 0; i < v->scope.n; i++) {
    const Expr *extent = v->scope.data[i]->extent;
    if (!extent || extent->op == E_CONST) continue;
    const Expr *runs = ex_binary(v->ctx, E_LE, ex_idx(v->ctx, 1), without_lets(v, extent));
    if (runs != ex_bool(v->ctx, true)) verify_assume(v, runs, true);
  }
}

// Either index < extent itself, or, which memory safety needs only, below the extent's bound.
static bool proves_range(Verify *v, const Expr *index, Dim extent) {
  Ctx *c = v->ctx;
  int64_t lo, hi;
  index = without_lets(v, index);
  bool known = expr_bounds(c, index, v->assume, &lo, &hi);
  if (known && lo >= 0 && hi < extent.n) return true;
  const Expr *n = dim_to_expr(c, extent), *in_range = ex_in_range(c, index, n);
  if (v->assume) in_range = expr_assume(c, in_range, v->assume);
  if (in_range == ex_bool(c, true) || is_never_reached(v)) return true;
  if (!known || (lo < 0 && !proves_less(v, ex_unary(c, E_NEG, index), ex_idx(c, 1)))) return false;
  return hi < extent.n || proves_less(v, index, n);
}

static bool proves_in_range(Verify *v, const Expr *index, Dim extent) {
  const Expr *old = v->assume;
  assume_loops_run(v);
  bool ok = proves_range(v, index, extent);
  v->assume = old;
  return ok;
}

static bool report_access(Verify *v, const Value *x, const Expr *index, Dim extent, int k, Loc loc) {
  char *text = expr_text(v->ctx, without_lets(v, index));
  verify_fail(v, loc, "index %d of %%%s, %s, is not known to lie in 0..%s", k, x->name, text,
              expr_text(v->ctx, dim_to_expr(v->ctx, extent)));
  if (v->assume) diag_note(v->ctx->diag, loc, "assuming %s", expr_text(v->ctx, v->assume));
  return false;
}

// A flat index counts elements from the buffer's start.
static bool verify_flat_index(Verify *v, const Value *x, const Expr *index, const Dim *shape, int rank,
                              Loc loc) {
  Dim all = dim_const(1);
  for (int i = 0; i < rank; i++) all = dim_binary(v->ctx, E_MUL, all, shape[i]);
  if (index->dtype != DT_I64) return verify_fail(v, loc, "the index of %%%s is no i64", x->name);
  return proves_in_range(v, index, all) || report_access(v, x, index, all, 0, loc);
}

bool verify_index(Verify *v, const Value *x, const Expr *const *index, int n, bool physical, Loc loc) {
  Dim shape[MAX_PHYS_RANK];
  const Layout *l = physical ? x->layout : NULL;
  int rank = layout_rank(l, &x->type);
  if (physical && n == 1 && rank != 1) {
    layout_shape(v->ctx, l, &x->type, shape);
    return verify_flat_index(v, x, index[0], shape, rank, loc);
  }
  if (n != rank) return verify_fail(v, loc, "%%%s has %d dimensions, not %d", x->name, rank, n);
  layout_shape(v->ctx, l, &x->type, shape);
  for (int i = 0; i < n; i++) {
    if (index[i]->dtype != DT_I64) return verify_fail(v, loc, "index %d of %%%s is no i64", i, x->name);
    if (!proves_in_range(v, index[i], shape[i])) return report_access(v, x, index[i], shape[i], i, loc);
  }
  return true;
}

const Expr *verify_assume(Verify *v, const Expr *cond, bool holds) {
  const Expr *old = v->assume;
  cond = without_lets(v, cond);
  if (!holds) cond = ex_unary(v->ctx, E_NOT, cond);
  v->assume = old ? ex_binary(v->ctx, E_AND, old, cond) : cond;
  return old;
}

// ---- expressions --------------------------------------------------------------------------------------------

typedef struct Check {
  Verify *v;
  Memo *done; // what was visited under the present assumption and scope
  bool physical;
  Loc loc;
} Check;

static bool check(Check *k, const Expr *e);

static bool check_list(Check *k, const Expr *const *list, int n) {
  for (int i = 0; i < n; i++) {
    if (!check(k, list[i])) return false;
  }
  return true;
}

// e under other conditions than what was visited so far.
static bool check_apart(Check *k, const Expr *e) {
  Memo *outer = k->done;
  k->done = memo_take(k->v->ctx);
  bool ok = check(k, e);
  memo_give(k->v->ctx, k->done);
  k->done = outer;
  return ok;
}

static bool check_branch(Check *k, const Expr *cond, bool holds, const Expr *e) {
  if (e->op == E_CONST) return true;
  const Expr *old = verify_assume(k->v, cond, holds);
  bool ok = check_apart(k, e);
  k->v->assume = old;
  return ok;
}

static bool check_read(Check *k, const Expr *e) {
  Verify *v = k->v;
  const Value *x = e->value;
  if (!(verify_access(v, x) & ACCESS_READ))
    return verify_fail(v, k->loc, "%%%s cannot be read here", x->name);
  if (x->type.dtype != e->dtype) return verify_fail(v, k->loc, "the read of %%%s has another type", x->name);
  return check_list(k, e->args, e->nargs) && verify_index(v, x, e->args, e->nargs, k->physical, k->loc);
}

static bool in_scope(const Verify *v, const Var *var) {
  for (int i = v->scope.n; i-- > 0;) {
    if (v->scope.data[i] == var) return true;
  }
  return false;
}

static bool check_reduce(Check *k, const Expr *e) {
  Verify *v = k->v;
  int depth = v->scope.n;
  bool logical = e->reduce.kind == R_ALL || e->reduce.kind == R_ANY;
  if (e->dtype != e->args[0]->dtype || logical != (e->dtype == DT_BOOL)) {
    return verify_fail(v, k->loc, "a reduction over the wrong type");
  }
  bool ok = true;
  for (int i = 0; ok && i < e->reduce.nvars; i++)
    ok = verify_push_var(v, e->reduce.vars[i], k->physical, k->loc);
  ok = ok && check_apart(k, e->args[0]);
  v->scope.n = depth;
  return ok;
}

static bool is_compare(ExprOp op) {
  return op == E_EQ || op == E_NE || op == E_LT || op == E_LE;
}

static bool check_op(Check *k, const Expr *e) {
  DType t[3] = {DT_NONE, DT_NONE, DT_NONE};
  if (e->nargs > 3) return verify_fail(k->v, k->loc, "'%s' has too many operands", expr_op_name(e->op));
  for (int i = 0; i < e->nargs; i++) t[i] = e->args[i]->dtype;
  const char *why = NULL;
  if (e->op == E_CAST) return true;
  if (e->op == E_BITCAST) {
    if (dtype_bytes(t[0]) != dtype_bytes(e->dtype)) why = "changes the width";
  } else {
    why = expr_type_error(e->op, t, e->nargs);
    if (!why && e->dtype != (is_compare(e->op) ? DT_BOOL : t[e->nargs - 1])) why = "has the wrong type";
  }
  return !why || verify_fail(k->v, k->loc, "'%s' %s", expr_op_name(e->op), why);
}

static bool check_node(Check *k, const Expr *e) {
  switch (e->op) {
  case E_CONST:
  case E_SYM: return true;
  case E_VAR:
    return in_scope(k->v, e->var) || verify_fail(k->v, k->loc, "'%s' is not in scope", e->var->name);
  case E_READ: return check_read(k, e);
  case E_REDUCE: return check_reduce(k, e);
  case E_GUARD:
    return check_op(k, e) && check(k, e->args[0]) && check_branch(k, e->args[0], true, e->args[1]) &&
           check_branch(k, e->args[0], false, e->args[2]);
  default: return check_op(k, e) && check_list(k, e->args, e->nargs);
  }
}

static bool check(Check *k, const Expr *e) {
  if (memo_get(k->done, e)) return true;
  if (k->v->budget-- <= 0) return verify_fail(k->v, k->loc, "the expression is too complex to be checked");
  if (!check_node(k, e)) return false;
  memo_put(k->v->ctx, k->done, e, e);
  return true;
}

bool verify_expr(Verify *v, const Expr *e, bool physical, Loc loc) {
  Check k = {.v = v, .done = memo_take(v->ctx), .physical = physical, .loc = loc};
  bool ok = check(&k, e);
  memo_give(v->ctx, k.done);
  return ok;
}

bool verify_push_var(Verify *v, const Var *var, bool physical, Loc loc) {
  int64_t lo, hi;
  if (in_scope(v, var)) return verify_fail(v, loc, "'%s' is bound twice", var->name);
  if (!var->extent) return verify_fail(v, loc, "'%s' has no extent", var->name);
  if (var->extent->dtype != DT_I64) return verify_fail(v, loc, "the extent of '%s' is no i64", var->name);
  if (!verify_expr(v, var->extent, physical, loc)) return false;
  if (!expr_bounds(v->ctx, without_lets(v, var->extent), v->assume, &lo, &hi)) {
    return verify_fail(v, loc, "the extent of '%s' has no bound", var->name);
  }
  vec_push(v->ctx->arena, &v->scope, var);
  return true;
}
