// expr_bool.c: simplification of logic.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"

static bool is_true(const Expr *e) {
  return e->op == E_CONST && e->int_value;
}

static bool is_false(const Expr *e) {
  return e->op == E_CONST && !e->int_value;
}

const Expr *simplify_not(Ctx *c, const Expr *a) {
  bool total_order = a->nargs == 2 && !dtype_is_float(a->args[0]->dtype); // no NaN
  switch (a->op) {
  case E_NOT: return a->args[0];
  case E_EQ: return ex_binary(c, E_NE, a->args[0], a->args[1]); // right for NaN too
  case E_NE: return ex_binary(c, E_EQ, a->args[0], a->args[1]);
  case E_LT:
    if (total_order) return ex_binary(c, E_LE, a->args[1], a->args[0]);
    break;
  case E_LE:
    if (total_order) return ex_binary(c, E_LT, a->args[1], a->args[0]);
    break;
  default: break;
  }
  return mk_unary(c, E_NOT, DT_BOOL, a);
}

// a is b's negation, as far as their form shows.
static bool opposite(Ctx *c, const Expr *a, const Expr *b) {
  return ex_unary(c, E_NOT, a) == b;
}

// x occurs in the chain e of `op`.
static bool chain_has(const Expr *e, ExprOp op, const Expr *x) {
  for (; e->op == op; e = e->args[0])
    if (e->args[1] == x) return true;
  return e == x;
}

static bool chain_has_opposite(Ctx *c, const Expr *e, ExprOp op, const Expr *x) {
  for (; e->op == op; e = e->args[0])
    if (opposite(c, e->args[1], x)) return true;
  return opposite(c, e, x);
}

// Two comparisons of the same thing with constants, `p < k` or `k <= p`: the stricter of them, or NULL.
static const Expr *stricter(const Expr *a, const Expr *b) {
  if (a->op != b->op || (a->op != E_LT && a->op != E_LE)) return NULL;
  int64_t x, y;
  if (a->args[0] == b->args[0] && expr_is_const_int(a->args[1], &x) && expr_is_const_int(b->args[1], &y))
    return x < y ? a : b;
  if (a->args[1] == b->args[1] && expr_is_const_int(a->args[0], &x) && expr_is_const_int(b->args[0], &y))
    return x > y ? a : b;
  return NULL;
}

static const Expr *simplify_and_or(Ctx *c, ExprOp op, const Expr *a, const Expr *b);

// Chain `rest` and x as one: both orders of construction must give the same expression, so links are kept
// sorted. One pair of comparisons may merge into one.
static const Expr *chain_insert(Ctx *c, ExprOp op, const Expr *rest, const Expr *x) {
  const Expr *last = rest->op == op ? rest->args[1] : rest;
  const Expr *before = rest->op == op ? rest->args[0] : NULL;
  const Expr *s = stricter(last, x);
  if (s) {
    const Expr *kept = op == E_AND ? s : s == x ? last : x;
    return before ? simplify_and_or(c, op, before, kept) : kept;
  }
  if (expr_order(last, x) < 0) return mk_binary(c, op, DT_BOOL, rest, x);
  const Expr *front = before ? chain_insert(c, op, before, x) : x;
  return mk_binary(c, op, DT_BOOL, front, last);
}

// Not by ex_binary, which would put the chain on the other side again.
static const Expr *simplify_and_or(Ctx *c, ExprOp op, const Expr *a, const Expr *b) {
  bool and = op == E_AND;
  if (a->op == E_CONST) return is_true(a) == and? b : a;
  if (b->op == E_CONST) return is_true(b) == and? a : b;
  if (b->op == op) return simplify_and_or(c, op, simplify_and_or(c, op, a, b->args[0]), b->args[1]);
  if (chain_has(a, op, b)) return a;
  if (chain_has_opposite(c, a, op, b)) return ex_bool(c, !and);
  return chain_insert(c, op, a, b);
}

const Expr *simplify_bool(Ctx *c, ExprOp op, const Expr *a, const Expr *b) {
  switch (op) {
  case E_MUL:
  case E_MIN:
  case E_AND: return simplify_and_or(c, E_AND, a, b);
  case E_ADD:
  case E_MAX:
  case E_OR: return simplify_and_or(c, E_OR, a, b);
  case E_XOR:
  case E_NE:
    if (a == b) return ex_bool(c, false);
    if (b->op == E_CONST) return is_false(b) ? a : ex_unary(c, E_NOT, a);
    return mk_binary(c, E_XOR, DT_BOOL, a, b);
  case E_EQ: return ex_unary(c, E_NOT, ex_binary(c, E_XOR, a, b));
  default: return NULL;
  }
}
