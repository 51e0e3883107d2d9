// attention_match.c: recognises the stages of a kernel as attention.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "passes/attention_impl.h"

const Expr *attention_put(Ctx *c, const Expr *e, const Var *v, const Expr *by) {
  return expr_subst(c, e, &v, &by, 1);
}

const Expr *attention_exp(Ctx *c, const Expr *x, const Expr *top) {
  const Expr *d = ex_sub(c, x, top), *zero = ex_num(c, DT_F32, 0);
  return ex_unary(c, E_EXP, ex_select(c, ex_binary(c, E_LT, zero, d), zero, d));
}

int attention_lanes(const Target *t, int64_t n) {
  int lanes = t->vector_bytes / dtype_bytes(DT_F32);
  while (lanes > 1 && n % lanes) lanes /= 2;
  return lanes;
}

// ---- what the locals are --------------------------------------------------------------------------------------

typedef struct Match {
  Attention *a;
  const Kernel *k;
  const Stage *scores, *top, *total; // the stages of S, m and l
} Match;

static bool find_reduction(const Expr *e, void *data) {
  const Expr **found = data;
  if (e->op != E_REDUCE) return true;
  bool first = !*found;
  *found = e;
  return first;
}

// The only reduction in e; NULL: none or several.
static const Expr *only_reduction(Ctx *c, const Expr *e) {
  const Expr *found = NULL;
  return expr_visit(c, e, find_reduction, &found) ? found : NULL;
}

static const Stage *stage_of(const Kernel *k, const Value *v) {
  for (int i = 0; i < k->stages.n; i++)
    if (k->stages.data[i].out == v) return &k->stages.data[i];
  return NULL;
}

static bool is_local(const Kernel *k, const Value *v) {
  for (int i = 0; i < k->locals.n; i++)
    if (k->locals.data[i] == v) return true;
  return false;
}

static bool reads_locals(const Match *x, const Expr *e) {
  const Expr **reads;
  int n = expr_read_list(x->a->c, e, &reads);
  for (int i = 0; i < n; i++)
    if (is_local(x->k, reads[i]->value)) return true;
  return false;
}

// ---- composing --------------------------------------------------------------------------------------------------

// Reads of element-wise locals become their definitions.
static const Expr *resolve_read(Ctx *c, const Expr *e, void *data) {
  const Match *x = data;
  if (e->op != E_READ || !is_local(x->k, e->value)) return e;
  const Stage *s = stage_of(x->k, e->value);
  if (!s || expr_has(c, s->value, E_REDUCE)) return e;
  return expr_rewrite(c, expr_subst(c, s->value, s->dims, e->args, s->ndims), resolve_read, data);
}

static const Expr *resolve(Match *x, const Expr *e) {
  return expr_rewrite(x->a->c, e, resolve_read, x);
}

// ---- roles ------------------------------------------------------------------------------------------------------

// Sorts the stage of a local among the roles; false: a second one of its kind.
static bool take_role(Match *x, const Stage *s) {
  const Expr *r = only_reduction(x->a->c, s->value);
  if (!r) return !expr_has(x->a->c, s->value, E_REDUCE);
  const Stage **role = r->reduce.kind == R_MAX                 ? &x->top
                       : r->reduce.kind != R_SUM               ? NULL
                       : reads_locals(x, resolve(x, s->value)) ? &x->total
                                                               : &x->scores;
  if (!role || *role || r->reduce.nvars != 1) return false;
  *role = s;
  return true;
}

static bool take_roles(Match *x) {
  const Kernel *k = x->k;
  for (int i = 0; i < k->stages.n; i++) {
    const Stage *s = &k->stages.data[i];
    if (s->at != x->a->nlead || s->ndims <= s->at || s->store != STORE_SET) return false;
    if (s != x->a->last && (s->index || !is_local(k, s->out) || !take_role(x, s))) return false;
  }
  return x->scores && x->top && x->total && x->scores->ndims == x->a->nlead + 1;
}

// The value of a stage in terms of the last stage's leading variables.
static const Expr *shared_value(const Match *x, const Stage *s) {
  const Expr *with[2 * MAX_RANK];
  for (int i = 0; i < x->a->nlead; i++) with[i] = ex_var(x->a->c, x->a->lead[i]);
  return expr_subst(x->a->c, s->value, s->dims, with, x->a->nlead);
}

static const Expr *read_of(Match *x, const Expr *e, const Stage *s) {
  const Expr **reads, *found = NULL;
  int n = expr_read_list(x->a->c, e, &reads);
  for (int i = 0; i < n; i++) {
    if (reads[i]->value != s->out) continue;
    if (found) return NULL;
    found = reads[i];
  }
  return found;
}

static bool is_number(const Expr *e, double v) {
  return e->op == E_CONST && dtype_is_float(e->dtype) && e->float_value == v;
}

// The row's maximum, or that with 0 in place of -inf.
static bool is_top(Match *x, const Expr *e) {
  const Expr *m = read_of(x, e, x->top);
  if (!m || e == m) return m != NULL;
  return e->op == E_SELECT && is_number(e->args[1], 0) && e->args[2] == m && e->args[0]->op == E_EQ &&
         (e->args[0]->args[0] == m || e->args[0]->args[1] == m) &&
         (is_number(e->args[0]->args[0], -INFINITY) || is_number(e->args[0]->args[1], -INFINITY));
}

// Is stage s the reduction over all keys of e (in terms of `key`)?
static bool reduces(Match *x, const Stage *s, const Expr *e) {
  Ctx *c = x->a->c;
  const Expr *r = shared_value(x, s);
  if (r->op != E_REDUCE || r->reduce.vars[0]->extent != x->a->key->extent) return false;
  return attention_put(c, resolve(x, r->args[0]), r->reduce.vars[0], ex_var(c, x->a->key)) == e;
}

// weight = exp(t - maximum) / norm; *t is the score with the stage of S still read.
static bool match_weight(Match *x, const Expr *w, const Expr **t) {
  if (w->op != E_DIV || w->args[0]->op != E_EXP || w->args[0]->args[0]->op != E_SUB) return false;
  const Expr *e = w->args[0], *arg = e->args[0];
  *t = arg->args[0];
  x->a->norm = w->args[1];
  x->a->total = read_of(x, w->args[1], x->total);
  return x->a->total && is_top(x, arg->args[1]) && reduces(x, x->top, *t) && reduces(x, x->total, e);
}

static bool match_score(Match *x, const Expr *t) {
  Attention *a = x->a;
  const Expr *s = read_of(x, t, x->scores);
  if (!s || s->args[a->nlead] != ex_var(a->c, a->key)) return false;
  const Expr *def = expr_subst(a->c, x->scores->value, x->scores->dims, s->args, a->nlead + 1);
  def = resolve(x, def);
  a->dot = only_reduction(a->c, def);
  if (!a->dot || a->dot->args[0]->op != E_MUL || a->dot->dtype != DT_F32) return false;
  a->score = expr_replace(a->c, t, s, def);
  a->size = a->dot->reduce.vars[0];
  a->q = a->dot->args[0]->args[0];
  a->k = a->dot->args[0]->args[1];
  if (expr_uses_var(a->c, a->q, a->key)) {
    const Expr *q = a->k;
    a->k = a->q;
    a->q = q;
  }
  int64_t d;
  return !expr_uses_var(a->c, a->q, a->key) && expr_uses_var(a->c, a->k, a->key) &&
         expr_is_const_int(a->size->extent, &d) && d >= 1 && a->size != a->col;
}

// ---- the whole --------------------------------------------------------------------------------------------------

static void choose_row(Attention *a) {
  int64_t most = 1;
  a->row = -1;
  for (int i = 0; i < a->nlead; i++) {
    int64_t n = var_bound(a->c, a->lead[i]);
    bool free = !expr_uses_var(a->c, a->k, a->lead[i]) && !expr_uses_var(a->c, a->v, a->lead[i]);
    if (!free || n <= most) continue;
    most = n;
    a->row = i;
  }
}

static bool match_last(Match *x) {
  Attention *a = x->a;
  Ctx *c = a->c;
  int64_t e;
  const Stage *s = a->last;
  a->value = s->value;
  a->sum = only_reduction(c, s->value);
  if (!a->sum || a->sum->reduce.kind != R_SUM || a->sum->reduce.nvars != 1 || a->sum->dtype != DT_F32)
    return false;
  a->key = a->sum->reduce.vars[0];
  a->lead = s->dims;
  a->col = s->dims[a->nlead];
  const Expr *body = a->sum->args[0];
  if (body->op != E_MUL || !expr_is_const_int(a->col->extent, &e) || e < 1) return false;
  bool first = reads_locals(x, body->args[0]);
  const Expr *w = resolve(x, body->args[first ? 0 : 1]), *t;
  a->v = resolve(x, body->args[first ? 1 : 0]);
  if (reads_locals(x, a->v) || expr_uses_var(c, w, a->col)) return false;
  return match_weight(x, w, &t) && match_score(x, t);
}

bool attention_match(Ctx *c, const Kernel *k, Attention *a) {
  if (k->routine || k->stages.n < 4) return false;
  *a = (Attention){.c = c, .last = &k->stages.data[k->stages.n - 1]};
  a->nlead = a->last->at;
  Match x = {.a = a, .k = k};
  if (a->nlead < 1 || a->last->ndims != a->nlead + 1 || a->nlead >= MAX_RANK) return false;
  if (!take_roles(&x) || !match_last(&x)) return false;
  int64_t lo, hi;
  if (!expr_bounds(c, a->key->extent, NULL, &lo, &hi) || lo < 1) return false;
  choose_row(a);
  return a->last->out->type.dtype == DT_F32 && !expr_has(c, a->norm, E_REDUCE);
}

// ---- which keys are seen --------------------------------------------------------------------------------------------

enum { MAX_CONDITIONS = 8 };

// Is e another thing for other heads, of which there are several?
static bool varies(const Attention *a, const Expr *e, Queries of) {
  for (int i = 0; of.heads && i < a->nlead; i++)
    if (i != a->row && expr_uses_var(a->c, e, a->lead[i])) return true;
  return false;
}

// The smallest or greatest value of e for the queries; NULL if it is not linear in what they differ in.
static const Expr *at_end(const Attention *a, const Expr *e, Queries of, bool high) {
  Ctx *c = a->c;
  int64_t k;
  const Expr *rest;
  if (expr_has(c, e, E_READ)) return NULL;
  for (int i = 0; i < a->nlead; i++) {
    const Var *v = a->lead[i];
    if (!expr_uses_var(c, e, v) || (i != a->row && !of.heads)) continue;
    if (!expr_affine(c, e, v, &k, &rest)) return NULL;
    const Expr *first = i == a->row ? of.row0 : ex_idx(c, 0);
    const Expr *last = i == a->row ? of.row1 : ex_sub(c, v->extent, ex_idx(c, 1));
    e = attention_put(c, e, v, (k > 0) == high ? last : first);
  }
  return e;
}

// A range and the least end that one of its queries has.
typedef struct Ends {
  KeyRange range;
  const Expr *least;
} Ends;

static const Expr *lesser(Ctx *c, const Expr *a, const Expr *b) {
  return a ? ex_binary(c, E_MIN, a, b) : b;
}

// false: the condition gave nothing.
static bool narrow(const Attention *a, const Expr *cond, Queries of, Ends *to) {
  Ctx *c = a->c;
  KeyRange *r = &to->range;
  int64_t k;
  const Expr *rest, *end = NULL, *first = NULL;
  if ((cond->op != E_LE && cond->op != E_LT) || cond->args[0]->dtype != DT_I64) return false;
  const Expr *diff = ex_sub(c, cond->args[0], cond->args[1]); // <= 0 or < 0
  if (!expr_affine(c, diff, a->key, &k, &rest) || (k != 1 && k != -1)) return false;
  const Expr *minus = ex_sub(c, ex_idx(c, 0), rest), *strict = ex_idx(c, cond->op == E_LT ? 0 : 1);
  if (k == 1) {
    const Expr *of_one = ex_add(c, minus, strict);
    end = at_end(a, of_one, of, true);
    if (end) to->least = lesser(c, to->least, at_end(a, of_one, of, false));
  } else {
    first = at_end(a, ex_add(c, rest, ex_sub(c, ex_idx(c, 1), strict)), of, false);
  }
  if (end) r->end = lesser(c, r->end, end);
  if (first) r->first = r->first ? ex_binary(c, E_MAX, r->first, first) : first;
  return first || end;
}

// Hidden scores give weights of exactly 0 if they are -inf, or so low beside a score that is seen.
static bool is_hidden(const Expr *e, bool *finite) {
  if (e->op != E_CONST || e->float_value > -1e30) return false;
  *finite |= e->float_value != -INFINITY;
  return true;
}

KeyRange attention_range(const Attention *a, Queries of) {
  Ends ends = {.range.score = a->score};
  bool finite = false, all = of.row0 == of.row1;
  int64_t lo, hi;
  const Expr *e = a->score, *cond[MAX_CONDITIONS];
  while (e->op == E_SELECT && is_hidden(e->args[2], &finite)) {
    int n = expr_conjuncts(e->args[0], cond, MAX_CONDITIONS);
    for (int i = 0; i < n; i++) all &= narrow(a, cond[i], of, &ends) && !varies(a, cond[i], of);
    all &= n > 0;
    e = e->args[1];
  }
  // A query that sees nothing weighs all keys alike where hiding is finite.
  bool sees = !ends.range.first && ends.least && expr_bounds(a->c, ends.least, NULL, &lo, &hi) && lo >= 1;
  if (finite && !sees) return (KeyRange){.score = a->score};
  if (all) ends.range.score = e;
  return ends.range;
}
