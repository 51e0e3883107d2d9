// test_expr.c: expressions: interning, normal form, bounds, substitution, assumptions, scalar semantics.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"

#include <criterion/criterion.h>
#include <math.h>

static jmp_buf oom; // never set: running out of memory crashes the test

static Ctx *new_ctx(void) {
  Arena *a = arena_new(&oom);
  return ctx_new(a, diag_new(a, stderr, false));
}

// Shorthands: x is the context every test has.
#define I(v)       ex_idx(x, (v))
#define ADD(a, b)  ex_binary(x, E_ADD, a, b)
#define SUB(a, b)  ex_binary(x, E_SUB, a, b)
#define MUL(a, b)  ex_binary(x, E_MUL, a, b)
#define QUO(a, b)  ex_binary(x, E_FDIV, a, b)
#define MOD(a, b)  ex_binary(x, E_MOD, a, b)
#define LT(a, b)   ex_binary(x, E_LT, a, b)
#define LE(a, b)   ex_binary(x, E_LE, a, b)
#define EQ(a, b)   ex_binary(x, E_EQ, a, b)
#define AND(a, b)  ex_binary(x, E_AND, a, b)
#define OR(a, b)   ex_binary(x, E_OR, a, b)
#define NOT(a)     ex_unary(x, E_NOT, a)
#define LOOP(n, e) ex_var(x, var_new(x, n, e))

// Same node, shown as text when not.
#define SAME(got, want)                                                                                      \
  do {                                                                                                       \
    const Expr *g_ = (got), *w_ = (want);                                                                    \
    cr_expect(g_ == w_, "%s: got %s, want %s", #got, expr_text(x, g_), expr_text(x, w_));                    \
  } while (0)

static const Expr *symbol(Ctx *x, const char *name, int64_t min, int64_t max) {
  Sym *s = NEW(x->arena, Sym);
  *s = (Sym){.name = name, .index = 1000 + x->next_var++, .min = min, .max = max};
  return ex_sym(x, s);
}

Test(expr, interned) {
  Ctx *x = new_ctx();
  const Expr *i = LOOP("i", I(8)), *j = LOOP("j", I(8));
  SAME(ADD(i, j), ADD(j, i));
  SAME(MUL(ADD(i, j), I(3)), ADD(MUL(j, I(3)), MUL(i, I(3))));
  cr_expect(i != j);
}

Test(expr, sums) {
  Ctx *x = new_ctx();
  const Expr *i = LOOP("i", I(8)), *j = LOOP("j", I(8));
  SAME(ADD(i, I(0)), i);
  SAME(SUB(ADD(i, j), i), j);
  SAME(SUB(i, i), I(0));
  SAME(ADD(MUL(i, I(3)), MUL(i, I(-3))), I(0));
  SAME(SUB(I(5), SUB(I(5), i)), i);
  SAME(ex_unary(x, E_NEG, ex_unary(x, E_NEG, i)), i);
  SAME(MUL(MUL(i, I(4)), I(2)), MUL(i, I(8)));
  SAME(ADD(ADD(i, I(1)), ADD(j, I(-1))), ADD(j, i));
}

Test(expr, division) {
  Ctx *x = new_ctx();
  const Expr *co = LOOP("co", I(16)), *ci = LOOP("ci", I(8)), *w = LOOP("w", I(100));
  const Expr *c = ADD(MUL(co, I(8)), ci);
  SAME(QUO(c, I(8)), co);
  SAME(MOD(c, I(8)), ci);
  SAME(QUO(c, I(16)), QUO(co, I(2)));
  SAME(MOD(c, I(16)), ADD(MUL(MOD(co, I(2)), I(8)), ci));
  SAME(QUO(c, I(128)), I(0));
  SAME(MOD(c, I(128)), c);
  SAME(QUO(w, I(1)), w);
  SAME(MOD(w, I(1)), I(0));
  SAME(QUO(QUO(w, I(3)), I(5)), QUO(w, I(15)));
  SAME(MOD(MOD(w, I(12)), I(4)), MOD(w, I(4)));
  SAME(QUO(MOD(w, I(12)), I(4)), MOD(QUO(w, I(4)), I(3)));
  SAME(QUO(w, I(0)), I(0));
  SAME(MOD(w, I(0)), I(0));
  SAME(QUO(ADD(w, I(-1)), I(4)), SUB(QUO(ADD(w, I(3)), I(4)), I(1)));
  SAME(MOD(ADD(MUL(co, I(-8)), ci), I(8)), ci);
}

Test(expr, recombination) {
  Ctx *x = new_ctx();
  const Expr *n = LOOP("n", I(4096)), *i = LOOP("i", I(8)), *j = LOOP("j", I(70));
  SAME(ADD(MUL(QUO(n, I(8)), I(8)), MOD(n, I(8))), n);
  SAME(ADD(MUL(QUO(n, I(8)), I(24)), MUL(MOD(n, I(8)), I(3))), MUL(n, I(3)));
  const Expr *abc = ADD(ADD(MUL(QUO(n, I(32)), I(32)), MUL(MOD(QUO(n, I(8)), I(4)), I(8))), MOD(n, I(8)));
  SAME(abc, n);
  SAME(ADD(MUL(MOD(QUO(n, I(8)), I(4)), I(8)), MOD(n, I(8))), MOD(n, I(32)));
  const Expr *e = ADD(ADD(MUL(i, I(70)), j), I(13)); // neither extent divides the other
  SAME(ADD(MUL(QUO(e, I(64)), I(64)), MOD(e, I(64))), e);
}

// Flattens index (extents from) and splits it again (extents to).
static void reshape(Ctx *x, const Expr *const *index, const int64_t *from, int nfrom, const int64_t *to,
                    int nto, const Expr **out) {
  const Expr *flat = I(0);
  for (int d = 0; d < nfrom; d++) flat = ADD(MUL(flat, I(from[d])), index[d]);
  for (int d = nto - 1; d >= 0; d--) {
    out[d] = d ? MOD(flat, I(to[d])) : flat;
    flat = QUO(flat, I(to[d]));
  }
}

Test(expr, reshape_round_trips) {
  Ctx *x = new_ctx();
  static const struct {
    int64_t a[4], b[4];
    int na, nb;
  } cases[] = {
      {{4, 6, 10}, {24, 10}, 3, 2}, {{4, 6, 10}, {4, 60}, 3, 2},     {{240}, {4, 6, 10}, 1, 3},
      {{15, 16}, {12, 20}, 2, 2},   {{2, 3, 35}, {14, 15}, 3, 2},    {{8, 8, 8, 8}, {64, 64}, 4, 2},
      {{7, 9}, {9, 7}, 2, 2},       {{12, 49, 64}, {49, 768}, 3, 2}, {{1, 30, 1}, {5, 6}, 3, 2},
  };
  for (int k = 0; k < ARRAY_LEN(cases); k++) {
    const Expr *index[4], *there[4], *back[4];
    for (int d = 0; d < cases[k].na; d++) index[d] = LOOP("i", I(cases[k].a[d]));
    reshape(x, index, cases[k].a, cases[k].na, cases[k].b, cases[k].nb, there);
    reshape(x, there, cases[k].b, cases[k].nb, cases[k].a, cases[k].na, back);
    for (int d = 0; d < cases[k].na; d++) SAME(back[d], index[d]);
  }
}

Test(expr, symbolic_extents) {
  Ctx *x = new_ctx();
  const Expr *T = symbol(x, "T", 1, 512), *T1 = ADD(T, I(1));
  const Expr *i = LOOP("i", I(8)), *t = LOOP("t", T), *u = LOOP("u", T1);
  SAME(LT(t, T), ex_bool(x, true));
  SAME(LE(T, t), ex_bool(x, false));
  SAME(LT(ADD(t, I(1)), T1), ex_bool(x, true));
  SAME(QUO(ADD(MUL(i, T), t), T), i);
  SAME(MOD(ADD(MUL(i, T), t), T), t);
  SAME(QUO(ADD(MUL(i, T1), u), T1), i);
  SAME(MOD(ADD(MUL(i, T1), u), T1), u);
  const Expr *T64 = MUL(T, I(64)), *k = LOOP("k", I(64));
  const Expr *flat = ADD(ADD(MUL(i, T64), MUL(t, I(64))), k);
  SAME(QUO(flat, T64), i);
  SAME(QUO(MOD(flat, T64), I(64)), t);
  SAME(MOD(flat, I(64)), k);
  SAME(MUL(T, ADD(i, I(1))), ADD(MUL(T, i), T));
  SAME(ex_binary(x, E_MIN, t, T), t);
  SAME(ADD(MUL(QUO(flat, T), T), MOD(flat, T)), flat);
}

Test(expr, comparisons) {
  Ctx *x = new_ctx();
  const Expr *i = LOOP("i", I(8)), *j = LOOP("j", I(8)), *k = LOOP("k", I(3));
  SAME(LT(i, I(8)), ex_bool(x, true));
  SAME(LE(I(0), i), ex_bool(x, true));
  SAME(LT(ADD(i, I(3)), I(10)), LT(i, I(7)));
  SAME(LT(MUL(i, I(2)), I(7)), LT(i, I(4)));
  SAME(LE(i, I(3)), LT(i, I(4)));
  SAME(LT(ADD(i, j), j), ex_bool(x, false));
  SAME(NOT(LT(i, j)), LE(j, i));
  SAME(LE(I(0), SUB(ADD(MUL(i, I(2)), k), I(1))), LE(I(1), ADD(MUL(i, I(2)), k)));
  SAME(EQ(MUL(i, I(2)), I(3)), ex_bool(x, false));
  SAME(EQ(ADD(i, I(1)), ADD(j, I(1))), EQ(j, i));
  SAME(EQ(i, I(9)), ex_bool(x, false));
  SAME(ex_in_range(x, i, I(8)), ex_bool(x, true));
}

Test(expr, wrapping_is_respected) {
  Ctx *x = new_ctx();
  Type type = {.dtype = DT_I64};
  const Expr *r = ex_read(x, value_new(x, "r", type, NO_LOC), NULL, 0); // any value at all
  const Expr *eight = MUL(r, I(8));
  cr_expect(QUO(eight, I(8)) != r);
  cr_expect(LT(ADD(r, I(1)), r)->op != E_CONST);
  SAME(SUB(ADD(r, I(5)), I(5)), r); // the ring's laws hold even so
  cr_expect_eq(ex_int(x, DT_I8, 200)->int_value, -56);
  SAME(ex_binary(x, E_ADD, ex_int(x, DT_U8, 200), ex_int(x, DT_U8, 100)), ex_int(x, DT_U8, 44));
}

Test(expr, logic) {
  Ctx *x = new_ctx();
  const Expr *i = LOOP("i", I(8)), *p = LT(i, I(3)), *q = LT(LOOP("j", I(8)), I(3)),
             *r = LT(LOOP("k", I(8)), I(3));
  SAME(AND(p, p), p);
  SAME(AND(p, NOT(p)), ex_bool(x, false));
  SAME(OR(p, NOT(p)), ex_bool(x, true));
  SAME(AND(AND(p, q), r), AND(r, AND(q, p)));
  SAME(AND(AND(p, q), p), AND(q, p));
  SAME(AND(LT(i, I(5)), p), p);
  SAME(OR(LT(i, I(5)), p), LT(i, I(5)));
  SAME(AND(q, AND(LT(i, I(5)), p)), AND(p, q));
  SAME(NOT(NOT(AND(p, q))), AND(p, q));
}

Test(expr, choices) {
  Ctx *x = new_ctx();
  Type type = type_make(DT_F32, 1, (int64_t[]){8});
  Value *v = value_new(x, "v", type, NO_LOC);
  const Expr *i = LOOP("i", I(8)), *p = LT(i, I(3)), *q = LE(I(2), i), *a = ex_read(x, v, &i, 1);
  const Expr *z = ex_float(x, DT_F32, 0);
  SAME(ex_guard(x, ex_bool(x, true), a, z), a);
  SAME(ex_guard(x, ex_bool(x, false), a, z), z);
  SAME(ex_guard(x, p, a, a), a);
  SAME(ex_guard(x, p, ex_guard(x, q, a, z), z), ex_guard(x, AND(p, q), a, z));
  SAME(ex_guard(x, p, ex_guard(x, p, a, z), z), ex_guard(x, p, a, z));
  SAME(ex_select(x, NOT(AND(p, q)), a, z), ex_select(x, AND(p, q), z, a));
  cr_expect_eq(ex_select(x, p, ex_guard(x, p, a, z), ex_float(x, DT_F32, 1))->op, E_GUARD,
               "protection is not lost");
}

Test(expr, float_identities_are_exact) {
  Ctx *x = new_ctx();
  Type type = {.dtype = DT_F32};
  const Expr *r = ex_read(x, value_new(x, "r", type, NO_LOC), NULL, 0);
#define F(v) ex_float(x, DT_F32, (v))
  SAME(MUL(r, F(1)), r);
  SAME(ADD(r, F(-0.0)), r);
  SAME(SUB(r, F(0.0)), r);
  cr_expect(ADD(r, F(0.0)) != r, "-0 + 0 is 0");
  cr_expect(MUL(r, F(0)) != F(0), "NaN * 0 is NaN");
  cr_expect(SUB(r, r)->op == E_SUB, "inf - inf is NaN");
  cr_expect(EQ(r, r)->op != E_CONST, "NaN is not itself");
  SAME(ex_unary(x, E_NEG, ex_unary(x, E_NEG, r)), r);
  SAME(F(0.1), F((double)0.1f));
  cr_expect(F(0.0) != F(-0.0));
  cr_expect(NOT(LT(r, F(1)))->op == E_NOT, "with NaN the opposite of < is not >=");
}

Test(expr, casts) {
  Ctx *x = new_ctx();
  const Expr *r = ex_read(x, value_new(x, "r", (Type){.dtype = DT_U8}, NO_LOC), NULL, 0);
  SAME(ex_cast(x, DT_U8, r), r);
  SAME(ex_cast(x, DT_U8, ex_cast(x, DT_I32, r)), r);
  SAME(ex_cast(x, DT_F64, ex_cast(x, DT_F32, r)), ex_cast(x, DT_F64, r));
  cr_expect(ex_cast(x, DT_I32, ex_cast(x, DT_I8, r)) != ex_cast(x, DT_I32, r));
  SAME(ex_cast(x, DT_I8, ex_float(x, DT_F32, 300)), ex_int(x, DT_I8, 127));
  SAME(ex_cast(x, DT_I8, ex_float(x, DT_F32, NAN)), ex_int(x, DT_I8, 0));
  SAME(ex_cast(x, DT_U8, ex_float(x, DT_F32, -1.5)), ex_int(x, DT_U8, 0));
  SAME(ex_cast(x, DT_I32, ex_float(x, DT_F32, -1.5)), ex_int(x, DT_I32, -1));
  SAME(ex_cast(x, DT_U64, ex_float(x, DT_F64, 1e30)), ex_int(x, DT_U64, -1));
}

Test(expr, reductions) {
  Ctx *x = new_ctx();
  Value *v = value_new(x, "v", type_make(DT_F32, 2, (int64_t[]){4, 8}), NO_LOC);
  const Var *one = var_new(x, "a", I(1)), *k = var_new(x, "k", I(8)), *none = var_new(x, "n", I(0));
  const Expr *body = ex_read(x, v, (const Expr *[]){ex_var(x, one), ex_var(x, k)}, 2);
  const Expr *s = ex_reduce(x, R_SUM, (const Var *[]){one, k}, 2, body);
  cr_assert_eq(s->op, E_REDUCE);
  cr_expect_eq(s->reduce.nvars, 1);
  SAME(ex_reduce(x, R_SUM, &one, 1, body), body);
  SAME(ex_reduce(x, R_MAX, &none, 1, body), ex_float(x, DT_F32, -INFINITY));
  SAME(ex_reduce(x, R_MAX, &k, 1, I(3)), I(3));
  const Expr *f = expr_fresh(x, s);
  cr_expect(f != s && f->reduce.vars[0] != k && f->reduce.vars[0]->extent == k->extent);
}

Test(expr, substitution) {
  Ctx *x = new_ctx();
  const Var *i = var_new(x, "i", I(64)), *k = var_new(x, "k", ADD(ex_var(x, i), I(1)));
  Value *v = value_new(x, "v", type_make(DT_F32, 1, (int64_t[]){64}), NO_LOC);
  const Expr *read = ex_read(x, v, (const Expr *[]){ex_var(x, k)}, 1);
  const Expr *s = ex_reduce(x, R_SUM, &k, 1, read), *three = I(3);
  const Expr *t = expr_subst(x, s, &i, &three, 1); // extents are substituted, too
  cr_assert_eq(t->op, E_REDUCE);
  SAME(t->reduce.vars[0]->extent, I(4));
  cr_expect(expr_uses_var(x, s, i));
  cr_expect(!expr_uses_var(x, t, i));
  cr_expect_eq(expr_reads(x, ex_add(x, s, read), v), 1);
}

Test(expr, deep_expressions_do_not_recurse) {
  Ctx *x = new_ctx();
  Type type = {.dtype = DT_F32};
  const Expr *r = ex_read(x, value_new(x, "r", type, NO_LOC), NULL, 0), *e = r;
  for (int i = 0; i < 300000; i++) e = ADD(e, r);
  const Var *v = var_new(x, "v", I(3));
  cr_expect(!expr_uses_var(x, e, v));
  SAME(expr_subst(x, e, &v, (const Expr *[]){I(1)}, 1), e);
  const Expr *n = LOOP("n", I(5)), *sum = n;
  for (int i = 0; i < 2000; i++) sum = ADD(sum, LOOP("m", I(5)));
  int64_t lo, hi;
  cr_expect(expr_bounds(x, sum, NULL, &lo, &hi));
  cr_expect_eq(hi, 2001 * 4);
}

Test(expr, bounds) {
  Ctx *x = new_ctx();
  const Expr *i = LOOP("i", I(8)), *k = LOOP("k", I(3)), *T = symbol(x, "T", 2, 100);
  int64_t lo, hi;
  cr_expect(expr_bounds(x, SUB(ADD(MUL(i, I(2)), k), I(1)), NULL, &lo, &hi) && lo == -1 && hi == 15);
  cr_expect(expr_bounds(x, MUL(T, I(-3)), NULL, &lo, &hi) && lo == -300 && hi == -6);
  const Expr *r = ex_read(x, value_new(x, "r", (Type){.dtype = DT_I64}, NO_LOC), NULL, 0);
  cr_expect(!expr_bounds(x, r, NULL, &lo, &hi));
  cr_expect(expr_bounds(x, MOD(r, I(10)), NULL, &lo, &hi) && lo == 0 && hi == 9);
  const Expr *assume = AND(LE(I(1), i), LT(ADD(i, k), I(4)));
  cr_expect(expr_bounds(x, i, assume, &lo, &hi) && lo == 1 && hi == 3);
  cr_expect(expr_bounds(x, ADD(MUL(i, I(10)), k), assume, &lo, &hi) && lo == 10 && hi == 30);
  cr_expect(expr_bounds(x, i, NULL, &lo, &hi) && lo == 0 && hi == 7, "assumptions leave no trace");
}

// A fact about k + x//2 says something of 2*k + x.
Test(expr, assumptions_on_quotients) {
  Ctx *x = new_ctx();
  int64_t lo, hi;
  const Expr *i = LOOP("i", I(2)), *j = LOOP("j", I(6)), *v = LOOP("v", I(16));
  const Expr *e = SUB(ADD(ADD(MUL(i, I(96)), MUL(j, I(16))), v), I(128));
  cr_expect(expr_bounds(x, e, LE(I(4), ADD(MUL(i, I(3)), QUO(j, I(2)))), &lo, &hi) && lo == 0 && hi == 63,
            "%lld %lld", (long long)lo, (long long)hi);
  // i < 1 and 2 <= 3*i + (j*4 + v) // 8, in either order
  const Expr *quotient = QUO(ADD(MUL(j, I(4)), v), I(8));
  const Expr *first = LT(i, I(1)), *sum = LE(I(2), ADD(MUL(i, I(3)), quotient));
  for (int k = 0; k < 2; k++)
    cr_expect(expr_bounds(x, ADD(MUL(j, I(4)), v), k ? AND(sum, first) : AND(first, sum), &lo, &hi) &&
                  lo == 16,
              "%lld", (long long)lo);
}

// What facts say of digits in digits is looked for only where nothing else is left.
Test(expr, assumptions_taken_thoroughly) {
  Ctx *x = new_ctx();
  int64_t lo[2], hi[2];
  const Expr *i = LOOP("i", I(20)), *clamped = ex_binary(x, E_MAX, SUB(i, I(2)), I(0));
  const Expr *joined = AND(LT(QUO(i, I(5)), I(1)), LE(I(2), MOD(ADD(MOD(i, I(5)), I(3)), I(4))));
  for (int t = 0; t < 2; t++) {
    x->exprs->thorough = t;
    expr_bounds(x, MOD(ADD(i, I(3)), I(4)), joined, &lo[0], &hi[0]);
    expr_bounds(x, MOD(SUB(i, I(2)), I(4)), LE(I(2), MOD(clamped, I(4))), &lo[1], &hi[1]);
    for (int k = 0; k < 2; k++)
      cr_expect(lo[k] == 2 * t && hi[k] == 3, "%lld %lld", (long long)lo[k], (long long)hi[k]);
  }
}

// All in all it is (16*n + 8*k + 4*u + task % 12) // 80, n being task // 12; the condition is about a digit of the remainder.
Test(expr, assumptions_in_quotients_of_quotients) {
  Ctx *x = new_ctx();
  int64_t lo, hi;
  const Expr *task = LOOP("task", I(60)), *n = QUO(task, I(12)), *k = LOOP("k", I(2)), *u = LOOP("u", I(2));
  const Expr *inner = ADD(ADD(MUL(u, I(4)), MUL(k, I(3))), ADD(n, MOD(task, I(12))));
  const Expr *index = QUO(ADD(n, QUO(ADD(ADD(k, n), QUO(inner, I(5))), I(2))), I(4));
  cr_expect(expr_bounds(x, index, NULL, &lo, &hi) && lo == 0 && hi == 2);
  cr_expect(expr_bounds(x, index, LT(ADD(u, MOD(QUO(task, I(4)), I(3))), I(2)), &lo, &hi) && lo == 0 &&
            hi == 1);
}

// What is known of a sum asks for other sums, which must not ask for it without end.
Test(expr, assumptions_that_ask_for_each_other) {
  Ctx *x = new_ctx();
  int64_t lo, hi;
  const Expr *i = LOOP("i", I(1024)), *j = LOOP("j", I(1024)), *k = LOOP("k", I(129));
  const Expr *sum = ADD(i, j), *whole = MUL(QUO(ADD(sum, I(1)), I(8)), I(8));
  const Expr *e = SUB(whole, ADD(MUL(k, I(8)), I(1039)));
  cr_expect(expr_bounds(x, e, LE(whole, sum), &lo, &hi) && lo == -2063 && hi == 1001, "%lld %lld",
            (long long)lo, (long long)hi);
}

Test(expr, assumptions) {
  Ctx *x = new_ctx();
  const Expr *i = LOOP("i", I(8)), *j = LOOP("j", I(8));
  SAME(expr_assume(x, MOD(i, I(4)), LT(i, I(4))), i);
  SAME(expr_assume(x, LT(ADD(i, j), I(9)), LT(ADD(i, j), I(5))), ex_bool(x, true));
  SAME(expr_assume(x, ex_binary(x, E_MAX, i, j), LE(i, j)), j);
  const Expr *task = LOOP("task", I(8)), *group = QUO(task, I(2));
  const Expr *place = ADD(MUL(j, I(64)), MUL(QUO(ADD(i, group), I(8)), I(64)));
  int64_t lo, hi;
  cr_expect(expr_bounds(x, place, LE(ADD(MUL(j, I(8)), i), I(8)), &lo, &hi) && lo == 0 && hi == 64);
  Value *v = value_new(x, "v", type_make(DT_F32, 1, (int64_t[]){8}), NO_LOC);
  const Expr *z = ex_float(x, DT_F32, 0), *m = MOD(i, I(4)), *p = LT(i, I(4));
  const Expr *guarded = ex_guard(x, p, ex_read(x, v, &m, 1), z);
  SAME(expr_assume(x, guarded, NULL), ex_guard(x, p, ex_read(x, v, &i, 1), z));
}

// The one place where an index meets several conditions, from flat numbers in blocks.
Test(expr, assumptions_together) {
  Ctx *x = new_ctx();
  const Expr *b = LOOP("b", I(3)), *v = LOOP("v", I(32)), *k = LOOP("k", I(4)), *i = LOOP("i", I(2));
  const Expr *flat = ADD(MUL(b, I(32)), v), *row = QUO(flat, I(7));
  const Expr *in_row = AND(LE(I(3), MOD(row, I(7))), LT(MOD(row, I(7)), I(4)));
  const Expr *one = AND(AND(LT(MOD(flat, I(7)), I(1)), in_row), LE(I(1), QUO(flat, I(49))));
  int64_t lo, hi;
  cr_expect(expr_bounds(x, row, one, &lo, &hi) && lo == 10 && hi == 10);
  cr_expect(expr_bounds(x, flat, one, &lo, &hi) && lo == 70 && hi == 70);
  const Expr *sum = ADD(MUL(k, I(5)), MUL(i, I(3))), *fact = LE(I(8), ADD(MUL(k, I(3)), MUL(i, I(2))));
  cr_expect(expr_bounds(x, sum, fact, &lo, &hi) && lo == 13, "3 * sum = 5 * (3*k + 2*i) - i");
}

// Of an index that comes from memory only conditions tell anything, and sums of it may wrap around.
Test(expr, assumptions_on_the_unknown) {
  Ctx *x = new_ctx();
  const Expr *r = ex_read(x, value_new(x, "r", (Type){.dtype = DT_I64}, NO_LOC), NULL, 0);
  const Expr *next = ADD(r, I(1)), *last = ADD(r, I(-1));
  int64_t lo, hi;
  cr_expect(expr_bounds(x, r, AND(LE(I(0), r), LT(r, I(5))), &lo, &hi) && lo == 0 && hi == 4);
  cr_expect(expr_bounds(x, last, AND(LE(I(1), r), LT(r, I(5))), &lo, &hi) && lo == 0 && hi == 3);
  cr_expect(expr_bounds(x, r, AND(LE(I(1), next), LT(next, I(5))), &lo, &hi) && lo == 0 && hi == 3);
  cr_expect(expr_bounds(x, next, AND(LE(I(0), r), LT(r, I(5))), &lo, &hi) && lo == 1 && hi == 5);
  expr_bounds(x, r, LT(next, I(5)), &lo, &hi);
  cr_expect_eq(hi, INT64_MAX, "the greatest number, too, has a successor below 5");
  expr_bounds(x, r, LT(QUO(next, I(2)), I(5)), &lo, &hi);
  cr_expect_eq(hi, INT64_MAX, "the same, halved");
  expr_bounds(x, r, LT(r, I(5)), &lo, &hi);
  cr_expect(lo == INT64_MIN && hi == 4);
  SAME(expr_assume(x, LT(r, I(7)), AND(LE(I(0), r), LT(r, I(5)))), ex_bool(x, true));
}

// A choice is known as itself, and as the arm that it has to be: an index that was simplified names only that.
Test(expr, assumptions_on_choices) {
  Ctx *x = new_ctx();
  const Expr *r = ex_read(x, value_new(x, "r", (Type){.dtype = DT_I64}, NO_LOC), NULL, 0);
  const Expr *i = LOOP("i", I(20)), *v = LOOP("v", I(2));
  const Expr *low = ex_binary(x, E_MIN, r, I(17)), *at = ex_binary(x, E_MAX, low, I(0));
  int64_t lo, hi;
  const Expr *one = AND(LT(ADD(v, I(15)), at), LT(at, ADD(v, I(17))));
  cr_expect(expr_bounds(x, SUB(v, at), one, &lo, &hi) && lo == -16 && hi == -16);
  cr_expect(expr_bounds(x, SUB(v, low), one, &lo, &hi) && lo == -16 && hi == -16);
  const Expr *inside = AND(AND(LE(at, i), LT(i, ADD(at, I(3)))), LE(I(3), i));
  cr_expect(expr_bounds(x, SUB(i, at), inside, &lo, &hi) && lo == 0 && hi == 2);
  cr_expect(expr_bounds(x, SUB(i, low), inside, &lo, &hi) && lo == 0 && hi == 2, "1 <= at, from 3 <= i");
  cr_expect(expr_bounds(x, SUB(i, r), AND(inside, LT(i, I(17))), &lo, &hi) && lo == 0 && hi == 2, "at < 17");
  SAME(expr_assume(x, SUB(i, at), inside), SUB(i, low));
  cr_expect(expr_bounds(x, r, AND(LT(low, I(9)), LE(I(7), at)), &lo, &hi) && lo == 7 && hi == 8,
            "both, of r");
  const Expr *n = symbol(x, "n", 1, 100), *runs = LT(i, ex_binary(x, E_MAX, SUB(n, I(3)), I(0)));
  cr_expect(expr_bounds(x, SUB(n, i), runs, &lo, &hi) && lo == 4, "a loop that may not run at all");
  expr_bounds(x, SUB(i, low), LE(at, i), &lo, &hi);
  cr_expect_eq(hi, INT64_MAX, "of what is below 0 nothing is known");
}

Test(expr, affine) {
  Ctx *x = new_ctx();
  const Var *v = var_new(x, "v", I(8));
  const Expr *i = ex_var(x, v), *j = LOOP("j", I(8)), *rest;
  int64_t k;
  cr_expect(expr_affine(x, ADD(MUL(i, I(12)), QUO(j, I(3))), v, &k, &rest) && k == 12);
  SAME(rest, QUO(j, I(3)));
  cr_expect(expr_affine(x, j, v, &k, &rest) && k == 0 && rest == j);
  cr_expect(!expr_affine(x, MOD(ADD(i, j), I(3)), v, &k, &rest));
}

// The normal form against plain evaluation, on random expressions over small variables.
typedef struct Random {
  Ctx *x;
  uint64_t state;
  const Var *var[4]; // the last one of any value, for indices only
  int64_t value[4];
} Random;

static uint32_t next_random(Random *r) {
  r->state = r->state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(r->state >> 33);
}

// A random expression, built twice: simplified, and folded at the variables' values.
static const Expr *random_expr(Random *r, int depth, int64_t *value) {
  Ctx *x = r->x;
  int k = (int)(next_random(r) % 3);
  if (depth == 0) {
    *value = next_random(r) % 4 ? r->value[k] : (int64_t)(next_random(r) % 20) - 6;
    bool is_var = *value == r->value[k] && next_random(r) % 2;
    return is_var ? ex_var(x, r->var[k]) : I(*value);
  }
  static const ExprOp ops[] = {E_ADD, E_ADD, E_SUB, E_MUL, E_FDIV, E_MOD, E_MIN, E_MAX, E_DIV, E_REM};
  ExprOp op = ops[next_random(r) % ARRAY_LEN(ops)];
  int64_t a, b;
  const Expr *ea = random_expr(r, depth - 1, &a), *eb;
  bool by_const = op == E_MUL || op == E_FDIV || op == E_MOD || op == E_DIV || op == E_REM;
  if (by_const && next_random(r) % 4) {
    b = 1 + next_random(r) % 12;
    eb = I(b);
  } else {
    eb = random_expr(r, depth - 1, &b);
  }
  Scalar arg[3] = {{.i = a}, {.i = b}}, out;
  scalar_op(op, DT_I64, arg, &out);
  *value = out.i;
  if (next_random(r) % 4 == 0) { // as a condition and back
    bool less = *value < a;
    *value = less ? *value : a;
    const Expr *e = ex_binary(x, op, ea, eb);
    return ex_select(x, LT(e, ea), e, ea);
  }
  return ex_binary(x, op, ea, eb);
}

Test(expr, simplification_keeps_values) {
  Random r = {.x = new_ctx(), .state = 42};
  Ctx *x = r.x;
  const int64_t extent[3] = {2, 7, 16};
  for (int k = 0; k < 3; k++) r.var[k] = var_new(x, "v", I(extent[k]));
  for (int round = 0; round < 30000; round++) {
    const Expr *with[3];
    for (int k = 0; k < 3; k++) {
      r.value[k] = next_random(&r) % extent[k];
      with[k] = I(r.value[k]);
    }
    int64_t want, got, lo, hi;
    const Expr *e = random_expr(&r, 1 + (int)(next_random(&r) % 4), &want);
    const Expr *f = expr_subst(x, e, r.var, with, 3);
    cr_assert(expr_is_const_int(f, &got), "%s", expr_text(x, f));
    cr_assert_eq(got, want, "round %d: %s is %ld, not %ld, at %ld %ld %ld", round, expr_text(x, e), (long)got,
                 (long)want, (long)r.value[0], (long)r.value[1], (long)r.value[2]);
    if (expr_bounds(x, e, NULL, &lo, &hi))
      cr_assert(lo <= want && want <= hi, "%s is not in [%ld, %ld]", expr_text(x, e), (long)lo, (long)hi);
  }
}

// A random sum, or its quotient or remainder, as an index is made of.
static const Expr *random_sum(Random *r) {
  static const int64_t factors[] = {1, 1, 2, 3, 4, 5, 8, 16, 21, 28, 32, -1, -3};
  Ctx *x = r->x;
  const Expr *e = I((int64_t)(next_random(r) % 9) - 4);
  for (int k = 0; k < 3; k++)
    if (next_random(r) % 3)
      e = ADD(e, MUL(ex_var(x, r->var[k]), I(factors[next_random(r) % ARRAY_LEN(factors)])));
  for (int n = next_random(r) % 3; n > 0; n--) {
    const Expr *d = I(2 + next_random(r) % 7);
    e = next_random(r) % 2 ? QUO(e, d) : MOD(e, d);
    if (next_random(r) % 3 == 0) e = ADD(e, MUL(ex_var(x, r->var[next_random(r) % 3]), I(2)));
  }
  return e;
}

// The same, or a place from memory beside it, clamped, or one of two.
static const Expr *random_index(Random *r) {
  Ctx *x = r->x;
  const Expr *e = random_sum(r), *least = I(next_random(r) % 3), *any = ex_var(x, r->var[3]);
  if (next_random(r) % 3 == 0) any = ADD(any, I((int64_t)(next_random(r) % 7) - 3));
  switch (next_random(r) % 8) {
  case 0: any = ex_binary(x, E_MIN, any, random_sum(r)); // fall through
  case 1: return ADD(e, MUL(ex_binary(x, E_MAX, any, least), I((int64_t)(next_random(r) % 3) - 1)));
  case 2: return ex_binary(x, next_random(r) % 2 ? E_MIN : E_MAX, e, random_sum(r));
  case 3: return QUO(any, I(2));
  case 4: return SUB(e, ex_binary(x, E_MAX, ex_binary(x, E_MIN, any, I(9)), least));
  default: return e;
  }
}

static int64_t value_at(const Random *r, const Expr *e) {
  const Expr *with[4];
  int64_t v = 0;
  for (int k = 0; k < 4; k++) with[k] = ex_idx(r->x, r->value[k]);
  cr_assert(expr_is_const_int(expr_subst(r->x, e, r->var, with, 4), &v));
  return v;
}

// value + by, or the value itself at the end of the numbers.
static const Expr *beside(Ctx *x, int64_t value, int64_t by) {
  int64_t v;
  return I(add_ok(value, by, &v) ? v : value);
}

// Whatever conditions hold somewhere: what they say of other sums is true there.
Test(expr, assumptions_are_true) {
  Random r = {.x = new_ctx(), .state = 7};
  Ctx *x = r.x;
  const int64_t extent[3] = {4, 7, 32};
  const int64_t anything[] = {0, 1, 2, 5, 8, 9, 20, -1, INT64_MAX, INT64_MAX - 2, INT64_MIN, INT64_MIN + 1};
  for (int k = 0; k < 3; k++) r.var[k] = var_new(x, "v", I(extent[k]));
  r.var[3] = var_new(x, "any", NULL);
  for (int round = 0; round < 5000; round++) {
    const Expr *all = ex_bool(x, true);
    for (int k = 0; k < 3; k++) r.value[k] = next_random(&r) % extent[k];
    r.value[3] = anything[next_random(&r) % ARRAY_LEN(anything)];
    for (int n = 1 + next_random(&r) % 4; n > 0; n--) {
      const Expr *e = random_index(&r);
      int64_t here = value_at(&r, e);
      all =
          AND(all, next_random(&r) % 2 ? LE(e, beside(x, here, next_random(&r) % 3 ? 0 : next_random(&r) % 5))
                                       : LE(beside(x, here, -(int64_t)(next_random(&r) % 2)), e));
    }
    const Expr *e = random_index(&r);
    int64_t want = value_at(&r, e), lo, hi;
    if (expr_bounds(x, e, all, &lo, &hi))
      cr_assert(lo <= want && want <= hi, "%s is %ld, not in [%ld, %ld], where %s", expr_text(x, e),
                (long)want, (long)lo, (long)hi, expr_text(x, all));
    cr_assert_eq(value_at(&r, expr_assume(x, e, all)), want, "%s where %s", expr_text(x, e),
                 expr_text(x, all));
    cr_assert(!expr_never_holds(x, all), "%s holds at %ld %ld %ld %ld", expr_text(x, all), (long)r.value[0],
              (long)r.value[1], (long)r.value[2], (long)r.value[3]);
  }
}
