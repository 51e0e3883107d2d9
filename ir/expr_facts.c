// expr_facts.c: what conditions say: ranges of linear forms.
// SPDX-License-Identifier: Apache-2.0
//
// The conjuncts of a condition are kept as facts: 2*i + k <= 226 says of the form 2*i + k that it is at most 226. Where
// several facts say more together than each by itself, that is added (facts_settle).
#include "ir/expr_impl.h"

enum {
  SETTLE_DEPTH = 3,  // choices, quotients and remainders in each other that are settled
  SETTLE_ROUNDS = 4, // an arm may be a choice, of which something was known before
};

// ---- facts ----------------------------------------------------------------------------------------------

bool linear_key(Ctx *c, Linear l, const Expr **form, int64_t *k, int64_t *constant) {
  *constant = l.constant;
  *k = linear_content(&l);
  if (l.n == 0 || *k <= 0) return false;
  l.constant = 0;
  for (int i = 0; i < l.n; i++) l.term[i].coeff /= *k;
  *form = linear_expr(c, &l); // sorts
  if (l.term[0].coeff > 0) return true;
  for (int i = 0; i < l.n; i++) l.term[i].coeff = -l.term[i].coeff;
  *k = -*k;
  *form = linear_expr(c, &l);
  return true;
}

static bool add_fact(Ctx *c, Assume *a, const Expr *form, Range r);

// What x is, where k * x + y is in r, of which an end may be open.
static Range solve(Range r, int64_t k, Range y) {
  Range x = {INT64_MIN, INT64_MAX};
  int64_t v;
  if (r.hi != INT64_MAX && !__builtin_sub_overflow(r.hi, y.lo, &v) && v != INT64_MIN) // k * x <= v
    *(k > 0 ? &x.hi : &x.lo) = k > 0 ? floor_div(v, k) : ceil_div(-v, -k);
  if (r.lo != INT64_MIN && !__builtin_sub_overflow(r.lo, y.hi, &v) && v != INT64_MIN) // k * x >= v
    *(k > 0 ? &x.lo : &x.hi) = k > 0 ? ceil_div(v, k) : floor_div(-v, -k);
  return x;
}

// l is in r: what that says of its form. false if l is constant.
static bool fact_of(Ctx *c, const Linear *l, Range r, Fact *out) {
  int64_t k, constant;
  if (!linear_key(c, *l, &out->form, &k, &constant)) return false;
  out->range = solve(r, k, (Range){constant, constant});
  return true;
}

static bool add_linear_fact(Ctx *c, Assume *a, const Linear *l, Range r) {
  Fact f;
  return fact_of(c, l, r, &f) && add_fact(c, a, f.form, f.range);
}

// Is e the sum l that it looks like, without wrapping around?
static bool is_exact(Ctx *c, const Expr *e, const Linear *l) {
  return linear_is_plain(l) || range_known(expr_range(c, e));
}

// x, a sum, is in r.
static void add_sum_fact(Ctx *c, Assume *a, const Expr *x, Range r) {
  Linear l;
  if (linear_of(x, &l) && is_exact(c, x, &l)) add_linear_fact(c, a, &l, r);
}

// lo <= x // d <= hi says lo*d <= x <= hi*d + d-1.
static void add_dividend_fact(Ctx *c, Assume *a, const Expr *form, Range r) {
  int64_t d, v;
  if (form->op != E_FDIV || !expr_is_const_int(form->args[1], &d) || d < 1) return;
  Range x = {INT64_MIN, INT64_MAX};
  if (r.lo != INT64_MIN && mul_ok(r.lo, d, &v)) x.lo = v;
  if (r.hi != INT64_MAX && mul_ok(r.hi, d, &v) && add_ok(v, d - 1, &v)) x.hi = v;
  add_sum_fact(c, a, form->args[0], x);
}

// lo <= x % d <= hi moves the ends of x to the next number with such a remainder.
static void add_remainder_fact(Ctx *c, Assume *a, const Expr *form, Range r) {
  int64_t d;
  if (form->op != E_MOD || !expr_is_const_int(form->args[1], &d) || d < 1) return;
  Range x = expr_range(c, form->args[0]);
  if (!range_known(x) || r.lo > r.hi || r.lo >= d || r.hi < 0) return;
  int64_t low = floor_mod(x.lo, d), high = floor_mod(x.hi, d);
  if (low < r.lo) x.lo += r.lo - low;
  if (high > r.hi) x.hi -= high - r.hi;
  add_sum_fact(c, a, form->args[0], x);
}

static bool is_choice(const Expr *e) {
  return e->op == E_MAX || e->op == E_MIN;
}

static bool is_digit(const Expr *e) {
  int64_t d;
  return (e->op == E_FDIV || e->op == E_MOD) && expr_is_const_int(e->args[1], &d);
}

typedef bool TermTest(const Expr *term);

// Is it so of a term of the sum?
static bool any_term(const Expr *sum, TermTest *is) {
  for (;;) {
    bool more = sum->op == E_ADD || sum->op == E_SUB;
    const Expr *term = more ? sum->args[1] : sum;
    if (term->op == E_MUL) term = term->args[0];
    if (is(term) || !more) return is(term);
    sum = sum->args[0];
  }
}

static bool is_choice_or_digit(const Expr *e) {
  return is_choice(e) || is_digit(e);
}

// A quotient or remainder of something that other facts may make simpler?
static bool is_nested(const Expr *e) {
  return is_digit(e) && any_term(e->args[0], is_choice_or_digit);
}

// false if nothing is new about it.
static bool add_fact(Ctx *c, Assume *a, const Expr *form, Range r) {
  if (r.lo == INT64_MIN && r.hi == INT64_MAX) return false;
  add_dividend_fact(c, a, form, r);
  add_remainder_fact(c, a, form, r);
  for (int i = 0; i < a->facts.n; i++) {
    Range *known = &a->facts.data[i].range;
    if (a->facts.data[i].form != form) continue;
    bool more = r.lo > known->lo || r.hi < known->hi;
    if (r.lo > known->lo) known->lo = r.lo;
    if (r.hi < known->hi) known->hi = r.hi;
    return more;
  }
  a->choices |= any_term(form, is_choice);
  a->nested |= c->exprs->thorough && any_term(form, is_nested);
  vec_push(c->arena, &a->facts, ((Fact){form, r}));
  return true;
}

// What l in r says of its term i.
static Range range_of_term(Ctx *c, const Linear *l, int i, Range r) {
  Linear others = *l;
  others.term[i] = others.term[--others.n];
  Range y = linear_range(c, &others);
  return range_known(y) ? solve(r, l->term[i].coeff, y) : (Range){INT64_MIN, INT64_MAX};
}

static void add_term_facts(Ctx *c, Assume *a, const Expr *form, Range r) {
  Linear l;
  if (!linear_of(form, &l) || l.n < 2) return;
  for (int i = 0; i < l.n; i++) add_fact(c, a, l.term[i].atom, range_of_term(c, &l, i, r));
}

// What is known of the form here and outside.
static Range fact_range(const Assume *a, const Expr *form) {
  Range r = {INT64_MIN, INT64_MAX};
  for (; a; a = a->outer)
    for (int i = 0; i < a->facts.n; i++) {
      Range f = a->facts.data[i].range;
      if (a->facts.data[i].form != form) continue;
      if (f.lo > r.lo) r.lo = f.lo;
      if (f.hi < r.hi) r.hi = f.hi;
    }
  return r;
}

// x is in `r`, where nothing is known of its range, as of an index that comes from memory: x + 1 may wrap around, and
// is a fact by itself until both its ends are known.
static bool add_unknown_fact(Ctx *c, Assume *a, const Expr *x, Range r) {
  Linear l;
  if (range_known(expr_range(c, x)) || !linear_of(x, &l) || l.n != 1 || l.term[0].coeff != 1) return false;
  add_fact(c, a, x, r);
  r = fact_range(a, x);
  bool known = !__builtin_sub_overflow(r.lo, l.constant, &r.lo) &&
               !__builtin_sub_overflow(r.hi, l.constant, &r.hi) && r.lo <= r.hi;
  if (l.constant && known) add_fact(c, a, l.term[0].atom, r);
  return true;
}

// The same for x beside a constant: no difference is taken, which might wrap around.
static bool add_plain_fact(Ctx *c, Assume *a, const Expr *x, const Expr *y, Range r) {
  int64_t k, v;
  Range f = {INT64_MIN, INT64_MAX};
  if (expr_is_const_int(y, &k)) {
    if (r.lo != INT64_MIN && add_ok(r.lo, k, &v)) f.lo = v;
    if (r.hi != INT64_MAX && add_ok(r.hi, k, &v)) f.hi = v;
    return add_unknown_fact(c, a, x, f);
  }
  if (!expr_is_const_int(x, &k)) return false;
  if (r.hi != INT64_MAX && !__builtin_sub_overflow(k, r.hi, &v)) f.lo = v;
  if (r.lo != INT64_MIN && !__builtin_sub_overflow(k, r.lo, &v)) f.hi = v;
  return add_unknown_fact(c, a, y, f);
}

// x - y is in `r` (which may be open at one end). The difference cannot wrap if both ranges are known.
static void add_difference(Ctx *c, Assume *a, const Expr *x, const Expr *y, Range r) {
  Linear l;
  Fact f;
  if (add_plain_fact(c, a, x, y, r) || !range_known(expr_range(c, x)) || !range_known(expr_range(c, y)))
    return;
  if (!linear_of(ex_sub(c, x, y), &l) || !fact_of(c, &l, r, &f)) return;
  add_fact(c, a, f.form, f.range);
  add_term_facts(c, a, f.form, f.range);
}

void facts_add(Ctx *c, Assume *a, const Expr *p, bool truth) {
  if (p->op == E_CONST) return;
  if (p->op == (truth ? E_AND : E_OR)) {
    facts_add(c, a, p->args[0], truth);
    facts_add(c, a, p->args[1], truth);
    return;
  }
  if (p->op == E_NOT) {
    facts_add(c, a, p->args[0], !truth);
    return;
  }
  if (truth)
    vec_push(c->arena, &a->holds, p);
  else
    vec_push(c->arena, &a->fails, p);
  if (p->nargs != 2 || p->args[0]->dtype != DT_I64) return;
  const Expr *x = p->args[0], *y = p->args[1];
  if (p->op == E_LT) add_difference(c, a, x, y, truth ? (Range){INT64_MIN, -1} : (Range){0, INT64_MAX});
  if (p->op == E_LE) add_difference(c, a, x, y, truth ? (Range){INT64_MIN, 0} : (Range){1, INT64_MAX});
  if (p->op == (truth ? E_EQ : E_NE)) add_difference(c, a, x, y, (Range){0, 0});
}

// ---- facts together ----------------------------------------------------------------------------------------

static void forget_ranges(Ctx *c, Assume *a) {
  memo_give(c, a->ranges);
  a->ranges = memo_take(c);
}

// What a fact says of its terms, now that the others are there too: i <= x and 1 <= i of x. Where none is about a choice only
// of quotients, whose dividends nothing else is known of: that takes time.
static bool settle_terms(Ctx *c, Assume *a) {
  int before = a->facts.n;
  bool any = false;
  for (int i = 0; i < before; i++) {
    Fact f = a->facts.data[i];
    Linear l;
    bool sum = f.form->op == E_ADD || f.form->op == E_SUB;
    if (!sum || !linear_of(f.form, &l) || l.n < 2) continue;
    for (int t = 0; t < l.n; t++) {
      if (!a->choices && l.term[t].atom->op != E_FDIV) continue;
      Range r = range_of_term(c, &l, t, f.range), now = expr_range(c, l.term[t].atom);
      if (r.lo <= now.lo && r.hi >= now.hi) continue;
      add_fact(c, a, l.term[t].atom, r);
      any = true;
    }
  }
  return any;
}

static const Expr *settled(Ctx *c, const Expr *e, int depth);

// What a choice is, where all facts hold.
static const Expr *settled_choice(Ctx *c, const Expr *e, int depth) {
  Range r = expr_range(c, e);
  const Expr *arm[2];
  for (int i = 0; i < 2; i++) {
    Range other = expr_range(c, e->args[1 - i]);
    if (e->op == E_MAX ? other.hi < r.lo : other.lo > r.hi) return e->args[i];
  }
  for (int i = 0; i < 2; i++) arm[i] = settled(c, e->args[i], depth - 1);
  return ex_binary(c, e->op, arm[0], arm[1]);
}

static const Expr *settled(Ctx *c, const Expr *e, int depth) {
  if (depth == 0) return e;
  if (is_choice(e)) return settled_choice(c, e, depth);
  if (is_digit(e)) return ex_binary(c, e->op, settled(c, e->args[0], depth - 1), e->args[1]);
  if (e->op != E_ADD && e->op != E_SUB && e->op != E_MUL) return e;
  return ex_binary(c, e->op, settled(c, e->args[0], depth), settled(c, e->args[1], depth));
}

// l with its choices settled, and what is made of them; false if nothing changes.
static bool settle_sum(Ctx *c, Assume *a, const Linear *l, Linear *out, bool *more) {
  bool any = false;
  *out = (Linear){0};
  for (int i = 0; i < l->n; i++) {
    const Expr *atom = l->term[i].atom, *e = settled(c, atom, SETTLE_DEPTH);
    Linear m = {.n = 1, .term = {{atom, 1}}};
    if (e != atom) {
      if (!linear_of(e, &m) || !is_exact(c, e, &m)) return false;
      *more |= add_linear_fact(c, a, &m, expr_range(c, atom));
      any = true;
    }
    if (!linear_add(out, &m, l->term[i].coeff)) return false;
  }
  return any;
}

// What is said of a choice is said of the arm that it has to be, as y in x < max(y, 0) where x is not negative: an index
// that was simplified under the condition names the arm alone. Likewise what is said of (x % 5 + 3) % 4, where x < 5, is said
// of (x + 3) % 4. false if nothing is new.
static bool settle_forms(Ctx *c, Assume *a) {
  bool more = false;
  for (int i = 0; i < a->facts.n; i++) { // also of those that are added
    Fact f = a->facts.data[i];
    Linear l, now;
    if (!any_term(f.form, is_choice) && !(a->nested && any_term(f.form, is_nested))) continue;
    if (!linear_of(f.form, &l) || l.constant || !settle_sum(c, a, &l, &now, &more))
      continue; // constant: it may wrap
    more |= add_linear_fact(c, a, &now, f.range);
    forget_ranges(c, a);
  }
  return more;
}

// What all facts together say of an end of x moves it on to a number whose remainder is known.
static bool settle_remainders(Ctx *c, Assume *a) {
  int before = a->facts.n;
  bool any = false;
  a->digit_depth = DIGIT_DEPTH; // they have no part in it
  for (int i = 0; i < before; i++) {
    Fact f = a->facts.data[i];
    if (f.form->op != E_MOD) continue;
    add_remainder_fact(c, a, f.form, f.range);
    any = true;
  }
  a->digit_depth = 0;
  return any;
}

void facts_settle(Ctx *c, Assume *a) {
  if (settle_terms(c, a)) forget_ranges(c, a);
  for (int i = 0; (a->choices || a->nested) && i < SETTLE_ROUNDS && settle_forms(c, a); i++) continue;
  if (settle_remainders(c, a)) forget_ranges(c, a);
}
