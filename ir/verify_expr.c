// verify_expr.c: checks of expressions: types, variables, and that every access stays inside its buffer.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"
#include "ir/text.h"
#include "ir/verify.h"

// ---- accesses -----------------------------------------------------------------------------------------------

static bool report_access(Verify *v, const Value *x, const Expr *index, Dim extent, int k, Loc loc) {
  char *text = expr_text(v->ctx, verify_without_lets(v, index));
  const char *assuming = v->assume ? expr_text(v->ctx, v->assume) : NULL;
  verify_fail(v, loc, "index %d of %%%s, %s, is not known to lie in 0..%s%s%s", k, x->name, text,
              expr_text(v->ctx, dim_to_expr(v->ctx, extent)), v->quiet && assuming ? ", assuming " : "",
              v->quiet && assuming ? assuming : "");
  if (assuming && !v->quiet) diag_note(v->ctx->diag, loc, "assuming %s", assuming);
  return false;
}

// A flat index counts elements from the buffer's start.
static bool verify_flat_index(Verify *v, const Value *x, const Expr *index, const Dim *shape, int rank,
                              Loc loc) {
  Dim all = dim_const(1);
  for (int i = 0; i < rank; i++) all = dim_binary(v->ctx, E_MUL, all, shape[i]);
  if (index->dtype != DT_I64) return verify_fail(v, loc, "the index of %%%s is no i64", x->name);
  return verify_proves_range(v, index, all) || report_access(v, x, index, all, 0, loc);
}

static bool is_plain(const Expr *e, void *data) {
  (void)data;
  bool open = e->op == E_SYM || (e->op == E_VAR && (!e->var->extent || e->var->extent->op != E_CONST));
  return !open && e->op != E_FDIV && e->op != E_MOD && e->op != E_MIN && e->op != E_MAX;
}

// Ranges of sums of products of independent variables are exact, others may be too wide. What a kernel's stages
// read need not be proved then: the loops are, and where they cannot be either they are guarded.
static bool may_be_inside(Verify *v, const Expr *index, Dim extent) {
  return v->assume || extent.sym || !expr_visit(v->ctx, index, is_plain, NULL);
}

// Loops of this class are for code that tests each index as it runs; code generation refuses them for other code.
static bool is_checked(const Verify *v) {
  return v->kernel && kernel_is_checked(v->kernel);
}

bool verify_index(Verify *v, const Value *x, const Expr *const *index, int n, bool physical, Loc loc) {
  Dim shape[MAX_PHYS_RANK];
  const Layout *l = physical ? x->layout : NULL;
  int rank = layout_rank(l, &x->type);
  if (physical && is_checked(v)) return true;
  if (physical && n == 1 && rank != 1) {
    layout_shape(v->ctx, l, &x->type, shape);
    return verify_flat_index(v, x, index[0], shape, rank, loc);
  }
  if (n != rank) return verify_fail(v, loc, "%%%s has %d dimensions, not %d", x->name, rank, n);
  layout_shape(v->ctx, l, &x->type, shape);
  for (int i = 0; i < n; i++) {
    if (index[i]->dtype != DT_I64) return verify_fail(v, loc, "index %d of %%%s is no i64", i, x->name);
    if (verify_proves_range(v, index[i], shape[i])) continue;
    if (physical || !may_be_inside(v, index[i], shape[i]))
      return report_access(v, x, index[i], shape[i], i, loc);
  }
  return true;
}

const Expr *verify_assume(Verify *v, const Expr *cond, bool holds) {
  const Expr *old = v->assume;
  cond = verify_without_lets(v, cond);
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
  if (!expr_bounds(v->ctx, verify_without_lets(v, var->extent), v->assume, &lo, &hi)) {
    return verify_fail(v, loc, "the extent of '%s' has no bound", var->name);
  }
  vec_push(v->ctx->arena, &v->scope, var);
  return true;
}
