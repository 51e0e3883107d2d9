// expr_assume.c: bounds and simplification under a condition known to hold; the affine form in a variable.
// SPDX-License-Identifier: Apache-2.0
//
// While an assumption is active (ctx->exprs->assume), expr_range consults its facts (expr_facts.c), so that every
// constructor simplifies under it. Nothing of that is stored in the expressions.
#include "ir/expr_impl.h"

enum {
  RANGE_DEPTH = 200,     // beyond it the range without assumptions has to do
  SUM_DEPTH = 4,         // beyond it no facts are used
  SIMPLIFY_DEPTH = 2000, // beyond it expressions are left as they are
  // Nested choices meet shared parts once per combination of conditions; this ends it.
  SIMPLIFY_BUDGET = 200000,
};

// ---- ranges under an assumption ---------------------------------------------------------------------------

static Range intersect(Range a, Range b) {
  Range r = {a.lo > b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi};
  return r.lo <= r.hi ? r : a; // contradictory facts: this place is never reached, and any range is right
}

// The range of k * form + constant for a form in f; ends of f may be open.
static Range scale_fact(Range f, int64_t k, int64_t constant) {
  Range t = {INT64_MIN, INT64_MAX};
  int64_t lo = k > 0 ? f.lo : f.hi, hi = k > 0 ? f.hi : f.lo, v;
  bool lo_open = lo == INT64_MIN || lo == INT64_MAX, hi_open = hi == INT64_MIN || hi == INT64_MAX;
  if (!lo_open && mul_ok(lo, k, &v) && add_ok(v, constant, &v)) t.lo = v;
  if (!hi_open && mul_ok(hi, k, &v) && add_ok(v, constant, &v)) t.hi = v;
  return t;
}

static bool any_facts(const Assume *a) {
  for (; a; a = a->outer)
    if (a->facts.n) return true;
  return false;
}

static Range add_ranges(Range a, Range b) {
  Range r = {INT64_MIN, INT64_MAX};
  int64_t v;
  if (a.lo != INT64_MIN && b.lo != INT64_MIN && add_ok(a.lo, b.lo, &v)) r.lo = v;
  if (a.hi != INT64_MAX && b.hi != INT64_MAX && add_ok(a.hi, b.hi, &v)) r.hi = v;
  return r;
}

// A part of a sum: times * l = k * form + rest.
typedef struct Part {
  int64_t times, k;
  Linear rest;
} Part;

// Does the fact's form go into l, or into at most `most` times l, such that the form's term t is no more there? false if
// that leaves no fewer terms.
static bool take_out(const Linear *l, const Linear *form, int t, int64_t most, Part *out) {
  int i = 0;
  int64_t of = form->term[t].coeff, v;
  while (i < l->n && l->term[i].atom != form->term[t].atom) i++;
  if (i == l->n || of == INT64_MIN || l->term[i].coeff == INT64_MIN) return false;
  Linear both = {.n = 2, .term = {l->term[i], form->term[t]}};
  int64_t common = linear_content(&both) * (of < 0 ? -1 : 1);
  out->times = of / common;
  out->k = l->term[i].coeff / common;
  if (out->times > most) return false;
  for (int j = 0; j < l->n; j++)
    if (!mul_ok(l->term[j].coeff, out->times, &v)) return false;
  out->rest = (Linear){0};
  return mul_ok(l->constant, out->times, &v) && linear_add(&out->rest, l, out->times) &&
         linear_add(&out->rest, form, -out->k) && out->rest.n < l->n;
}

enum {
  FACTS_IN_SUM = 3, // facts that may be needed one after the other
  MOST_TIMES = 64,  // that a sum is taken for a fact to go into it
};

static Range narrow_linear(Ctx *c, const Linear *l, Range r, int depth);

static Range by_part(Ctx *c, const Part *p, Range r, const Fact *f, int depth) {
  Range others = narrow_linear(c, &p->rest, linear_range(c, &p->rest), depth - 1);
  Range all = add_ranges(scale_fact(f->range, p->k, 0), others);
  if (all.lo != INT64_MIN) all.lo = ceil_div(all.lo, p->times);
  if (all.hi != INT64_MAX) all.hi = floor_div(all.hi, p->times);
  return intersect(r, all);
}

// A fact about a part of the sum: 4*j + v <= 5 says of 20*i + 4*j + v that it is at most 20*i + 5. One that goes into
// multiples of it only: 3*k + 2*i >= 8 says of 3 * (5*k + 3*i) that it is at least 40 - i.
static Range narrow_by_part(Ctx *c, const Linear *l, Range r, const Fact *f, int depth) {
  Linear form;
  Part p;
  if (!linear_of(f->form, &form) || form.n < 2 || form.n > l->n + 1) return r;
  for (int t = 0; t < form.n; t++)
    if (take_out(l, &form, t, 1, &p)) return by_part(c, &p, r, f, depth);
  for (int t = 0; depth == FACTS_IN_SUM && form.n <= l->n && t < form.n; t++)
    if (take_out(l, &form, t, MOST_TIMES, &p)) r = by_part(c, &p, r, f, depth);
  return r;
}

// Term i of l, k * (y // d), with what k divides: l = k * (*all // d) + *others. false if that is nothing more.
static bool take_quotient(const Linear *l, int i, int64_t *d, Linear *all, Linear *others) {
  const Expr *e = l->term[i].atom;
  int64_t k = l->term[i].coeff, v;
  if (e->op != E_FDIV || k < 1 || !expr_is_const_int(e->args[1], d) || *d <= 0) return false;
  if (!linear_of(e->args[0], all) || !mul_ok(floor_div(l->constant, k), *d, &v)) return false;
  bool more = v != 0;
  if (!add_ok(all->constant, v, &all->constant)) return false;
  *others = (Linear){.constant = floor_mod(l->constant, k)};
  for (int j = 0; j < l->n; j++) {
    Linear one = {.n = 1, .term = {{l->term[j].atom, 1}}};
    if (j == i) continue;
    if (l->term[j].coeff % k) {
      others->term[others->n++] = l->term[j];
      continue;
    }
    more = true;
    if (!mul_ok(l->term[j].coeff / k, *d, &v) || !linear_add(all, &one, v)) return false;
  }
  return more;
}

// k*m + k*(y // d) is k * ((d*m + y) // d), of which more may be known than of the two by themselves.
static Range narrow_by_division(Ctx *c, const Linear *l, Range r, int depth) {
  for (int i = 0; i < l->n; i++) {
    Linear all, others;
    int64_t d;
    if (!take_quotient(l, i, &d, &all, &others)) continue;
    Range a = narrow_linear(c, &all, linear_range(c, &all), depth - 1);
    if (!range_known(a)) continue;
    Range q = scale_fact((Range){floor_div(a.lo, d), floor_div(a.hi, d)}, l->term[i].coeff, 0);
    r = intersect(r, add_ranges(q, linear_range(c, &others)));
  }
  return r;
}

static Range narrow_linear(Ctx *c, const Linear *l, Range r, int depth) {
  const Expr *form;
  int64_t k, constant;
  const Assume *a = c->exprs->assume;
  bool known = range_known(r) || linear_is_plain(l); // else the sum might wrap
  if (!any_facts(a) || !known || !linear_key(c, *l, &form, &k, &constant)) return r;
  for (; a; a = a->outer)
    for (int i = 0; i < a->facts.n; i++) {
      const Fact *f = &a->facts.data[i];
      if (f->form == form)
        r = intersect(r, scale_fact(f->range, k, constant));
      else if (depth > 0)
        r = narrow_by_part(c, l, r, f, depth);
    }
  return depth > 0 && l->n > 1 ? narrow_by_division(c, l, r, depth) : r;
}

// How often the sum x goes into l, by the smallest of its terms; 0: it does not.
static int64_t times_in(const Linear *l, const Linear *x) {
  Term least = {NULL, INT64_MAX};
  for (int i = 0; i < x->n; i++)
    if (x->term[i].coeff > 0 && x->term[i].coeff < least.coeff) least = x->term[i];
  for (int i = 0; i < l->n; i++)
    if (l->term[i].atom == least.atom && l->term[i].coeff % least.coeff == 0)
      return l->term[i].coeff / least.coeff;
  return 0;
}

// Does d divide the coefficients in l of what x is made of?
static bool divides_terms(int64_t d, const Linear *l, const Linear *x) {
  for (int i = 0; i < l->n; i++)
    for (int j = 0; j < x->n; j++)
      if (l->term[i].atom == x->term[j].atom && l->term[i].coeff % d) return false;
  return true;
}

// l with x as x//d*d + x%d, `of` being one of the two; false if x is not in l, but for multiples of d.
static bool take_digit_apart(Ctx *c, const Linear *l, const Expr *of, Linear *apart) {
  int64_t d, whole;
  Linear x;
  if (!expr_is_const_int(of->args[1], &d) || d < 2 || !linear_of(of->args[0], &x)) return false;
  int64_t k = times_in(l, &x);
  if (k == 0 || !mul_ok(k, d, &whole)) return false;
  *apart = *l;
  if (!linear_add(apart, &x, -k) || !divides_terms(whole, apart, &x)) return false;
  Linear digits = {.n = 2,
                   .term = {{ex_binary(c, E_FDIV, of->args[0], of->args[1]), whole},
                            {ex_binary(c, E_MOD, of->args[0], of->args[1]), k}}};
  return linear_add(apart, &digits, 1);
}

// l with x % (d*b) as x//d % b * d + x % d, `of` being x//d % b; false if it is not in l.
static bool take_remainder_apart(Ctx *c, const Linear *l, const Expr *of, Linear *apart) {
  const Expr *q = of->args[0];
  int64_t d, b, db, m, kd;
  if (of->op != E_MOD || q->op != E_FDIV || !expr_is_const_int(of->args[1], &b)) return false;
  if (!expr_is_const_int(q->args[1], &d) || d < 2 || !mul_ok(d, b, &db)) return false;
  for (int i = 0; i < l->n; i++) {
    const Expr *e = l->term[i].atom;
    int64_t k = l->term[i].coeff;
    if (e->op != E_MOD || e->args[0] != q->args[0] || !expr_is_const_int(e->args[1], &m) || m != db) continue;
    Linear high = {.n = 1, .term = {{of, 1}}}, low;
    *apart = *l;
    apart->term[i] = apart->term[--apart->n];
    return mul_ok(k, d, &kd) && linear_of(ex_binary(c, E_MOD, q->args[0], q->args[1]), &low) &&
           linear_add(apart, &high, kd) && linear_add(apart, &low, k);
  }
  return false;
}

// Would l be a multiple of the fact's form, plus something, if x in it stood apart, x//d being the form's term i? Then the
// other terms are there as often.
static bool wants_quotient(const Linear *l, const Linear *form, int i) {
  const Expr *e = form->term[i].atom;
  int64_t d, whole;
  Linear x;
  if (e->op != E_FDIV || !expr_is_const_int(e->args[1], &d) || !linear_of(e->args[0], &x)) return false;
  if (!mul_ok(times_in(l, &x), d, &whole) || whole == 0 || whole == INT64_MIN) return false;
  if (whole % form->term[i].coeff) return false;
  int others = 0;
  for (int j = 0; j < form->n; j++)
    for (int k = 0; k < l->n && j != i; k++)
      others += l->term[k].atom == form->term[j].atom && l->term[k].coeff != INT64_MIN &&
                l->term[k].coeff % form->term[j].coeff == 0 &&
                l->term[k].coeff / form->term[j].coeff == whole / form->term[i].coeff;
  return others == form->n - 1 && others > 0;
}

// The range of l by way of the digits among the terms of `of`, a fact's form or l, and of those that a fact's quotients leave.
static Range narrow_by_digits(Ctx *c, const Linear *l, const Linear *of, Range r) {
  Linear apart;
  for (int i = 0; i < of->n; i++) {
    const Expr *e = of->term[i].atom;
    bool digit = e->op == E_MOD || (of != l && wants_quotient(l, of, i));
    if (digit && (take_digit_apart(c, l, e, &apart) || take_remainder_apart(c, l, e, &apart)))
      r = intersect(r, narrow_linear(c, &apart, linear_range(c, &apart), FACTS_IN_SUM));
  }
  return r;
}

// x*84 + x%2*28 is x//2*168 + x%2*112: the digits of x apart, as facts about x%2 want it. So is x*84 + k*84 if
// there is a fact about k + x%2, or about k + x//2.
static Range narrow_apart(Ctx *c, const Linear *l, Range r) {
  Assume *now = c->exprs->assume;
  Linear form;
  if (now->digit_depth >= DIGIT_DEPTH) return r;
  now->digit_depth++;
  r = narrow_by_digits(c, l, l, r);
  for (const Assume *a = now; a; a = a->outer)
    for (int i = 0; i < a->facts.n; i++)
      if (linear_of(a->facts.data[i].form, &form)) r = narrow_by_digits(c, l, &form, r);
  now->digit_depth--;
  return r;
}

// Narrowing a sum asks for the ranges of its parts and of sums that it is made of, which may ask for this one again.
Range assume_narrow_linear(Ctx *c, const Linear *l, Range r) {
  Assume *now = c->exprs->assume;
  if (!any_facts(now) || now->sum_depth >= SUM_DEPTH) return r;
  now->sum_depth++;
  r = narrow_apart(c, l, narrow_linear(c, l, r, FACTS_IN_SUM));
  now->sum_depth--;
  return r;
}

// (x//d) % m is (x % (d*m)) // d: what is known of the latter's dividend.
static Range narrow_digit(Ctx *c, const Expr *e, Range r) {
  int64_t m, d, whole;
  if (e->op != E_MOD || e->args[0]->op != E_FDIV || !expr_is_const_int(e->args[1], &m)) return r;
  if (!expr_is_const_int(e->args[0]->args[1], &d) || d < 1 || m < 1 || !mul_ok(d, m, &whole)) return r;
  for (const Assume *a = c->exprs->assume; a; a = a->outer)
    for (int i = 0; i < a->facts.n; i++) {
      const Fact *f = &a->facts.data[i];
      int64_t of;
      bool same = f->form->op == E_MOD && f->form->args[0] == e->args[0]->args[0];
      if (!same || !expr_is_const_int(f->form->args[1], &of) || of != whole) continue;
      Range t = {f->range.lo == INT64_MIN ? INT64_MIN : floor_div(f->range.lo, d),
                 f->range.hi == INT64_MAX ? INT64_MAX : floor_div(f->range.hi, d)};
      r = intersect(r, t);
    }
  return r;
}

Range assume_narrow(Ctx *c, const Expr *e, Range r) {
  Assume *a = c->exprs->assume;
  if (e->op == E_CONST || dtype_is_float(e->dtype) || a->range_depth > RANGE_DEPTH) return r;
  const Range *known = memo_get(a->ranges, e);
  if (known) return *known;
  Range *out = NEW(c->arena, Range);
  *out = r;
  memo_put(c, a->ranges, e, out); // what building the linear form asks in the meantime
  a->range_depth++;
  Range now = narrow_digit(c, e, intersect(r, range_compute(c, e)));
  Linear l;
  if (e->dtype == DT_I64 && linear_of(e, &l)) now = assume_narrow_linear(c, &l, now);
  a->range_depth--;
  *out = now;
  return now;
}

static Assume *assume_push(Ctx *c, const Expr *p, bool truth) {
  Assume *a = NEW(c->arena, Assume);
  a->outer = c->exprs->assume;
  facts_add(c, a, p, truth); // still under the outer assumption
  a->ranges = memo_take(c);
  a->done = memo_take(c);
  if (a->outer) {
    a->depth = a->outer->depth;
    a->budget = a->outer->budget;
  }
  c->exprs->assume = a;
  facts_settle(c, a);
  return a;
}

static void assume_pop(Ctx *c) {
  Assume *a = c->exprs->assume;
  memo_give(c, a->done);
  memo_give(c, a->ranges);
  c->exprs->assume = a->outer;
}

bool expr_bounds(Ctx *c, const Expr *e, const Expr *assume, int64_t *lo, int64_t *hi) {
  if (assume) assume_push(c, assume, true);
  Range r = expr_range(c, e);
  if (assume) assume_pop(c);
  *lo = r.lo;
  *hi = r.hi;
  return range_known(r);
}

// Facts that exclude each other, or what a form may be anyway.
static bool is_contradiction(Ctx *c, const Assume *a) {
  for (int i = 0; i < a->facts.n; i++) {
    Range f = a->facts.data[i].range, r = expr_range(c, a->facts.data[i].form);
    if (f.lo > f.hi || f.lo > r.hi || f.hi < r.lo) return true;
  }
  return false;
}

bool expr_never_holds(Ctx *c, const Expr *p) {
  Assume *a = assume_push(c, p, true);
  assume_pop(c);
  return is_contradiction(c, a);
}

// ---- simplification ---------------------------------------------------------------------------------------

static bool listed(const Expr *e, const Expr *const *list, int n) {
  for (int i = 0; i < n; i++)
    if (list[i] == e) return true;
  return false;
}

static const Expr *known_truth(Ctx *c, const Expr *e) {
  for (const Assume *a = c->exprs->assume; a; a = a->outer) {
    if (listed(e, a->holds.data, a->holds.n)) return ex_bool(c, true);
    if (listed(e, a->fails.data, a->fails.n)) return ex_bool(c, false);
  }
  return NULL;
}

static const Expr *assume_dag(Ctx *c, const Expr *e);

static bool reads_nothing(const Expr *e, void *data) {
  (void)data;
  return e->op != E_READ;
}

// What is chosen is simplified under the choice's condition. But all arms except a guard's first are computed
// whether chosen or not: there the condition must not make the index of a read simpler.
static const Expr *assume_choice(Ctx *c, const Expr *e) {
  const Expr *p = assume_dag(c, e->args[0]), *arm[2];
  if (p->op == E_CONST) return assume_dag(c, e->args[p->int_value ? 1 : 2]);
  for (int i = 0; i < 2; i++) {
    bool only_if_chosen = e->op == E_GUARD && i == 0;
    bool under = only_if_chosen || expr_visit(c, e->args[1 + i], reads_nothing, NULL);
    if (under) assume_push(c, p, i == 0);
    arm[i] = assume_dag(c, e->args[1 + i]);
    if (under) assume_pop(c);
  }
  return ex_ternary(c, e->op, p, arm[0], arm[1]);
}

static const Expr *rebuild(Ctx *c, const Expr *e) {
  const Expr *few[8], **args = e->nargs > ARRAY_LEN(few) ? NEW_ARRAY(c->arena, const Expr *, e->nargs) : few;
  for (int i = 0; i < e->nargs; i++) args[i] = assume_dag(c, e->args[i]);
  return ex_with_args(c, e, args);
}

static const Expr *assume_dag(Ctx *c, const Expr *e) {
  Assume *a = c->exprs->assume;
  const Expr *r = e->dtype == DT_BOOL ? known_truth(c, e) : NULL;
  if (r || e->nargs == 0) return r ? r : e;
  if ((r = memo_get(a->done, e))) return r;
  if (a->depth >= SIMPLIFY_DEPTH || *a->budget <= 0) return e;
  --*a->budget;
  a->depth++;
  r = e->op == E_GUARD || e->op == E_SELECT ? assume_choice(c, e) : rebuild(c, e);
  a->depth--;
  const Expr *truth = r->dtype == DT_BOOL ? known_truth(c, r) : NULL;
  if (truth) r = truth;
  memo_put(c, a->done, e, r);
  return r;
}

const Expr *expr_assume(Ctx *c, const Expr *e, const Expr *assume) {
  int budget = SIMPLIFY_BUDGET;
  Assume *a = assume_push(c, assume ? assume : ex_bool(c, true), true);
  a->budget = &budget;
  const Expr *r = assume_dag(c, e);
  assume_pop(c);
  return r;
}

bool expr_affine(Ctx *c, const Expr *e, const Var *v, int64_t *coeff, const Expr **rest) {
  Linear l;
  *coeff = 0;
  *rest = e;
  if (!expr_uses_var(c, e, v)) return true;
  if (e->dtype != DT_I64 || !linear_of(e, &l)) return false;
  const Expr *var = ex_var(c, v);
  for (int i = 0; i < l.n; i++) {
    if (l.term[i].atom != var) continue;
    *coeff = l.term[i].coeff;
    l.term[i] = l.term[--l.n];
    break;
  }
  *rest = linear_expr(c, &l);
  return !expr_uses_var(c, *rest, v);
}
