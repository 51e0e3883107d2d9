// expr_bounds.c: ranges of integer expressions, and proofs of comparisons.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"

// ---- intervals ------------------------------------------------------------------------------------------

static const Range UNKNOWN = {INT64_MIN, INT64_MAX};

Range range_of_dtype(DType t) {
  int bits = dtype_bytes(t) * 8;
  if (t == DT_BOOL) return (Range){0, 1};
  if (dtype_is_float(t) || bits == 64) return UNKNOWN;
  if (dtype_class(t) == 's') return (Range){-((int64_t)1 << (bits - 1)), ((int64_t)1 << (bits - 1)) - 1};
  return (Range){0, ((int64_t)1 << bits) - 1};
}

// A half-known range cannot be computed with: the unknown end may wrap around.
static Range range_fit(DType t, Range r) {
  Range all = range_of_dtype(t);
  return range_known(r) && r.lo >= all.lo && r.hi <= all.hi ? r : all;
}

static Range range_add(Range a, Range b) {
  Range r;
  if (!range_known(a) || !range_known(b) || !add_ok(a.lo, b.lo, &r.lo) || !add_ok(a.hi, b.hi, &r.hi))
    return UNKNOWN;
  return r;
}

static Range range_neg(Range a) {
  return range_known(a) ? (Range){-a.hi, -a.lo} : UNKNOWN;
}

static Range range_mul(Range a, Range b) {
  int64_t p[4];
  bool ok = range_known(a) && range_known(b) && mul_ok(a.lo, b.lo, &p[0]) && mul_ok(a.lo, b.hi, &p[1]) &&
            mul_ok(a.hi, b.lo, &p[2]) && mul_ok(a.hi, b.hi, &p[3]);
  if (!ok) return UNKNOWN;
  Range r = {p[0], p[0]};
  for (int i = 1; i < 4; i++) {
    if (p[i] < r.lo) r.lo = p[i];
    if (p[i] > r.hi) r.hi = p[i];
  }
  return r;
}

static Range range_union(Range a, Range b) {
  return (Range){a.lo < b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
}

// Flooring division by a positive divisor; both ends of it can give the extremes.
static Range range_floor_div(Range a, Range b) {
  if (!range_known(a) || !range_known(b) || b.lo < 1) return UNKNOWN;
  Range x = {floor_div(a.lo, b.lo), floor_div(a.hi, b.lo)},
        y = {floor_div(a.lo, b.hi), floor_div(a.hi, b.hi)};
  return range_union(x, y);
}

// Result has the divisor's sign; an operand already within is untouched.
static Range range_mod(Range a, Range b) {
  if (!range_known(b) || b.lo < 0) return UNKNOWN;
  if (range_known(a) && a.lo >= 0 && a.hi < b.lo) return a;
  Range r = {0, b.hi > 0 ? b.hi - 1 : 0}; // x % 0 is 0
  if (range_known(a) && a.lo >= 0 && a.hi < r.hi) r.hi = a.hi;
  return r;
}

static Range range_div(Range a, Range b) {
  if (range_known(a) && a.lo >= 0) return range_floor_div(a, b);
  if (!range_known(a) || !range_known(b) || b.lo < 1) return UNKNOWN;
  return (Range){a.lo / b.lo, a.hi < 0 ? a.hi / b.hi : a.hi / b.lo};
}

// Sign of the dividend, magnitude below both.
static Range range_rem(Range a, Range b) {
  if (!range_known(a) || !range_known(b) || b.lo < 1) return UNKNOWN;
  int64_t m = b.hi - 1;
  return (Range){a.lo >= 0 ? 0 : a.lo > -m ? a.lo : -m, a.hi <= 0 ? 0 : a.hi < m ? a.hi : m};
}

static Range range_min(Range a, Range b) {
  return (Range){a.lo < b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi};
}

static Range range_max(Range a, Range b) {
  return (Range){a.lo > b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
}

static Range range_abs(Range a) {
  if (!range_known(a)) return UNKNOWN;
  return range_max(range_max(a, range_neg(a)), (Range){0, 0});
}

static Range range_and(Range a, Range b) {
  if (b.lo >= 0 && a.lo >= 0) return (Range){0, a.hi < b.hi ? a.hi : b.hi};
  return b.lo >= 0 ? (Range){0, b.hi} : UNKNOWN;
}

static Range range_shift(ExprOp op, Range a, Range b) {
  if (!range_known(b) || b.lo != b.hi || b.lo < 0 || b.lo > 61) return UNKNOWN;
  Range factor = {(int64_t)1 << b.lo, (int64_t)1 << b.lo};
  return op == E_SHL ? range_mul(a, factor) : range_floor_div(a, factor);
}

// ---- ranges of expressions ------------------------------------------------------------------------------

static Range range_of_var(Ctx *c, const Var *v) {
  if (!v->extent) return v->value ? expr_range(c, v->value) : range_of_dtype(v->dtype);
  Range e = expr_range(c, v->extent);
  if (e.hi == INT64_MAX) return UNKNOWN;
  return (Range){0, e.hi > 0 ? e.hi - 1 : 0};
}

static Range range_of_cast(Ctx *c, const Expr *e) {
  const Expr *a = e->args[0];
  return dtype_is_float(a->dtype) ? range_of_dtype(e->dtype) : expr_range(c, a);
}

static Range range_of_leaf(Ctx *c, const Expr *e) {
  switch (e->op) {
  case E_CONST: return e->dtype == DT_U64 && e->int_value < 0 ? UNKNOWN : (Range){e->int_value, e->int_value};
  case E_VAR: return range_of_var(c, e->var);
  case E_SYM: return (Range){e->sym->min, e->sym->max};
  case E_GUARD:
  case E_SELECT: return range_union(expr_range(c, e->args[1]), expr_range(c, e->args[2]));
  case E_CAST: return range_of_cast(c, e);
  case E_NEG: return range_neg(expr_range(c, e->args[0]));
  case E_ABS: return range_abs(expr_range(c, e->args[0]));
  case E_POPCOUNT: return (Range){0, 64};
  case E_REDUCE:
    if (e->reduce.kind == R_MAX || e->reduce.kind == R_MIN) // the identity counts too: the list may be empty
      return range_union(expr_range(c, e->args[0]), range_of_dtype(e->dtype));
    return UNKNOWN;
  default: return UNKNOWN;
  }
}

// ---- limits ---------------------------------------------------------------------------------------------

void expr_limit(Ctx *c, const Expr *sum, int64_t max) {
  vec_push(c->arena, &c->limits, ((Limit){sum, max}));
  expr_ranges_anew(c);
}

static Range sum_of_ranges(Ctx *c, const Linear *l) {
  Range r = {l->constant, l->constant};
  for (int i = 0; i < l->n; i++) {
    Range k = {l->term[i].coeff, l->term[i].coeff};
    r = range_add(r, range_mul(expr_range(c, l->term[i].atom), k));
  }
  return r;
}

// With l = k * sum + rest, l is at most k * max + rest (at least, if k < 0).
static Range narrow_by(Ctx *c, const Linear *l, const Linear *sum, int64_t max, int64_t k, Range r) {
  Linear rest = *l;
  int64_t end;
  if (!linear_add(&rest, sum, -k) || !mul_ok(k, max, &end)) return r;
  Range others = range_add(sum_of_ranges(c, &rest), (Range){end, end});
  if (!range_known(others)) return r;
  if (k > 0 && others.hi < r.hi) r.hi = others.hi;
  if (k < 0 && others.lo > r.lo) r.lo = others.lo;
  return r;
}

// The coefficient of atom in l, or 0.
static int64_t coefficient(const Linear *l, const Expr *atom) {
  for (int i = 0; i < l->n; i++)
    if (l->term[i].atom == atom) return l->term[i].coeff;
  return 0;
}

// The range of l, as far as limits on sums of symbols tell more than the symbols' own ranges.
static Range limit_narrow(Ctx *c, const Linear *l, Range r) {
  for (int i = 0; i < c->limits.n; i++) {
    Linear sum;
    if (!linear_of(c->limits.data[i].sum, &sum) || sum.n == 0) continue;
    for (int t = 0; t < sum.n; t++) {
      int64_t k = coefficient(l, sum.term[t].atom) / sum.term[t].coeff;
      if (k) r = narrow_by(c, l, &sum, c->limits.data[i].max, k, r);
    }
  }
  return r;
}

static Range limited_sum(Ctx *c, const Expr *e, Range r) {
  Linear l;
  return c->limits.n && e->dtype == DT_I64 && linear_of(e, &l) ? limit_narrow(c, &l, r) : r;
}

// ---- ranges of expressions with arguments -----------------------------------------------------------------

Range range_compute(Ctx *c, const Expr *e) {
  if (dtype_is_float(e->dtype)) return UNKNOWN;
  if (e->nargs != 2 || e->op == E_READ) return range_fit(e->dtype, range_of_leaf(c, e));
  if (e->dtype == DT_BOOL) return (Range){0, 1};
  Range a = expr_range(c, e->args[0]), b = expr_range(c, e->args[1]), r = UNKNOWN;
  switch (e->op) {
  case E_ADD: r = limited_sum(c, e, range_add(a, b)); break;
  case E_SUB: r = limited_sum(c, e, range_add(a, range_neg(b))); break;
  case E_MUL: r = range_mul(a, b); break;
  case E_FDIV: r = range_floor_div(a, b); break;
  case E_MOD: r = range_mod(a, b); break;
  case E_DIV: r = range_div(a, b); break;
  case E_REM: r = range_rem(a, b); break;
  case E_MIN:
  case E_MAX: // cannot wrap, so one known end holds: the clamp of an index read from memory is within
    r = e->op == E_MIN ? range_min(a, b) : range_max(a, b);
    if (e->dtype == DT_I64) return r;
    break;
  case E_AND: r = range_and(a, b); break;
  case E_SHL:
  case E_SHR: r = range_shift(e->op, a, b); break;
  default: break;
  }
  return range_fit(e->dtype, r);
}

Range linear_range(Ctx *c, const Linear *l) {
  Range r = sum_of_ranges(c, l);
  if (c->limits.n) r = limit_narrow(c, l, r);
  return c->exprs->assume ? assume_narrow_linear(c, l, r) : r;
}

// ---- proofs ---------------------------------------------------------------------------------------------

// An expression over symbols that e never exceeds, or NULL if none is seen at once: the end of a loop
// whose extent is symbolic, or of a remainder by a symbolic divisor.
static const Expr *symbolic_end(Ctx *c, const Expr *e) {
  if (e->op == E_VAR && e->var->extent && e->var->extent->op != E_CONST)
    return ex_sub(c, e->var->extent, ex_idx(c, 1));
  if (e->op == E_MOD && e->args[1]->op != E_CONST && expr_range(c, e->args[1]).lo >= 1)
    return ex_sub(c, e->args[1], ex_idx(c, 1));
  return NULL;
}

// The greatest value of coeff * atom, atom being a product of factors >= 0: every factor at its end.
static const Expr *greatest_product(Ctx *c, const Expr *atom) {
  if (atom->op != E_MUL) return symbolic_end(c, atom);
  if (expr_range(c, atom->args[0]).lo < 0 || expr_range(c, atom->args[1]).lo < 0) return NULL;
  const Expr *a = greatest_product(c, atom->args[0]), *b = greatest_product(c, atom->args[1]);
  if (!a && !b) return NULL;
  return ex_mul(c, a ? a : atom->args[0], b ? b : atom->args[1]);
}

// An upper bound of l with the variables of symbolic extent eliminated. false if there are none.
static bool eliminate_ends(Ctx *c, const Linear *l, Linear *out) {
  *out = (Linear){.constant = l->constant};
  bool any = false;
  for (int i = 0; i < l->n; i++) {
    const Expr *atom = l->term[i].atom, *end = greatest_product(c, atom);
    int64_t k = l->term[i].coeff;
    Linear m = {.n = 1, .term = {{atom, 1}}};
    if (end && k > 0 && !linear_of(end, &m)) return false;
    if (end && k < 0) m = (Linear){.constant = expr_range(c, atom).lo};
    any |= end != NULL;
    if (!linear_add(out, &m, k)) return false;
  }
  return any;
}

enum { PROOF_STEPS = 4 }; // nested symbolic extents

// l < 0 for all values. Products of what is eliminated cannot overflow where the whole does not.
static bool proves_negative(Ctx *c, const Linear *l) {
  Linear now = *l, next;
  for (int i = 0; i < PROOF_STEPS; i++) {
    Range r = linear_range(c, &now);
    if (range_known(r) && r.hi < 0) return true;
    if (!eliminate_ends(c, &now, &next)) return false;
    now = next;
  }
  return false;
}

static bool has_known_range(Ctx *c, const Expr *e) {
  return range_known(expr_range(c, e));
}

bool expr_proves_lt(Ctx *c, const Expr *a, const Expr *b) {
  Range x = expr_range(c, a), y = expr_range(c, b);
  if (a->dtype == DT_U64 && (!range_known(x) || !range_known(y))) return false;
  if (range_known(x) && range_known(y) && x.hi < y.lo) return true;
  if (a->dtype != DT_I64 || !has_known_range(c, a) || !has_known_range(c, b)) return false;
  Linear l, m;
  return linear_of(a, &l) && linear_of(b, &m) && linear_add(&l, &m, -1) && proves_negative(c, &l);
}

bool expr_proves_le(Ctx *c, const Expr *a, const Expr *b) {
  Range x = expr_range(c, a), y = expr_range(c, b);
  if (a->dtype == DT_U64 && (!range_known(x) || !range_known(y))) return false;
  if (range_known(x) && range_known(y) && x.hi <= y.lo) return true;
  if (a->dtype != DT_I64 || !has_known_range(c, a) || !has_known_range(c, b)) return false;
  Linear l, m;
  if (!linear_of(a, &l) || !linear_of(b, &m) || !linear_add(&l, &m, -1)) return false;
  l.constant -= 1;
  return proves_negative(c, &l);
}
