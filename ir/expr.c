// expr.c: constructors of expressions; constant folding and simplification of everything but i64 sums.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"

#include <math.h>

static const char *const op_names[E_COUNT] = {
#define X(id, text, arity, form) text,
    EXPR_OPS(X)
#undef X
};

static const char *const reduce_names[R_COUNT] = {
#define X(id, text) text,
    REDUCE_KINDS(X)
#undef X
};

const char *expr_op_name(ExprOp op) {
  return op_names[op];
}

const char *reduce_name(ReduceKind k) {
  return reduce_names[k];
}

// ---- leaves ---------------------------------------------------------------------------------------------

const Expr *ex_int(Ctx *c, DType t, int64_t v) {
  if (dtype_is_float(t)) return ex_float(c, t, (double)v);
  return mk_const(c, t, (Scalar){.i = int_wrap(t, v)});
}

const Expr *ex_float(Ctx *c, DType t, double v) {
  return mk_const(c, t, (Scalar){.f = float_round(t, v)});
}

const Expr *ex_num(Ctx *c, DType t, double v) {
  return mk_const(c, t, scalar_cast(DT_F64, t, (Scalar){.f = v}));
}

const Expr *ex_idx(Ctx *c, int64_t v) {
  return mk_const(c, DT_I64, (Scalar){.i = v});
}

const Expr *ex_bool(Ctx *c, bool v) {
  return mk_const(c, DT_BOOL, (Scalar){.i = v});
}

const Expr *ex_var(Ctx *c, const Var *v) {
  int64_t n;
  if (v->extent && expr_is_const_int(v->extent, &n) && n == 1) return ex_idx(c, 0); // it runs over 0 alone
  return expr_intern(c, &(Expr){.op = E_VAR, .dtype = v->dtype, .var = v});
}

const Expr *ex_sym(Ctx *c, const Sym *s) {
  if (s->min == s->max) return ex_idx(c, s->min);
  return expr_intern(c, &(Expr){.op = E_SYM, .dtype = DT_I64, .sym = s});
}

const Expr *ex_read(Ctx *c, Value *v, const Expr *const *index, int n) {
  return expr_intern(c, &(Expr){.op = E_READ, .dtype = v->type.dtype, .value = v, .nargs = n, .args = index});
}

Var *var_new(Ctx *c, const char *name, const Expr *extent) {
  Var *v = NEW(c->arena, Var);
  *v = (Var){.name = name, .id = c->next_var++, .dtype = DT_I64, .extent = extent};
  return v;
}

Var *var_new_let(Ctx *c, const char *name, DType t, const Expr *value) {
  Var *v = NEW(c->arena, Var);
  *v = (Var){.name = name, .id = c->next_var++, .dtype = t, .value = value};
  return v;
}

bool expr_is_const_int(const Expr *e, int64_t *v) {
  if (e->op != E_CONST || dtype_is_float(e->dtype)) return false;
  *v = e->int_value;
  return true;
}

bool expr_is_const(const Expr *e) {
  return e->op == E_CONST;
}

// The value of a constant as a Scalar.
static Scalar const_scalar(const Expr *e) {
  return dtype_is_float(e->dtype) ? (Scalar){.f = e->float_value} : (Scalar){.i = e->int_value};
}

static bool is_int_const(const Expr *e, int64_t v) {
  return e->op == E_CONST && !dtype_is_float(e->dtype) && e->int_value == v;
}

// Exactly this float, told apart from the zero of other sign.
static bool is_float_const(const Expr *e, double v) {
  return e->op == E_CONST && dtype_is_float(e->dtype) && e->float_value == v &&
         signbit(e->float_value) == signbit(v);
}

static bool is_compare(ExprOp op) {
  return op >= E_EQ && op <= E_LE;
}

// All arguments constant: the folded constant, else NULL.
static const Expr *fold(Ctx *c, ExprOp op, DType result, const Expr *const *args, int n) {
  Scalar in[3] = {{0}}, out;
  for (int i = 0; i < n; i++) {
    if (args[i]->op != E_CONST) return NULL;
    in[i] = const_scalar(args[i]);
  }
  return scalar_op(op, args[0]->dtype, in, &out) ? mk_const(c, result, out) : NULL;
}

// ---- casts ----------------------------------------------------------------------------------------------

// Every value of `from` is a value of `to`.
static bool cast_is_exact(DType from, DType to) {
  if (from == to || from == DT_BOOL) return true;
  if (dtype_is_float(from)) return to == DT_F64 || (to == DT_F32 && from != DT_F64);
  int from_bits = dtype_bytes(from) * 8 - (dtype_class(from) == 's');
  if (dtype_is_float(to)) return from_bits <= (to == DT_F64 ? 53 : to == DT_F32 ? 24 : to == DT_F16 ? 11 : 8);
  if (dtype_class(from) == 's' && dtype_class(to) == 'u') return false;
  return from_bits <= dtype_bytes(to) * 8 - (dtype_class(to) == 's');
}

// Is a cast to t the same with and without the one to `between`, which is exact? What does not fit is saturated
// coming from a float, and wraps coming from an integer.
static bool same_overflow(DType from, DType between, DType t) {
  bool by_float = dtype_is_int(from) && dtype_is_float(between) && dtype_is_int(t);
  return !by_float || cast_is_exact(from, t);
}

// Is x, a number of a few bits (y & 15), the same in type `to`?
static bool mask_fits(const Expr *x, DType to) {
  if (x->op != E_AND || !dtype_is_int(x->dtype) || !dtype_is_int(to)) return false;
  const Expr *mask = x->args[1]->op == E_CONST ? x->args[1] : x->args[0];
  int bits = 8 * dtype_bytes(to) - (dtype_class(to) == 's');
  return mask->op == E_CONST && mask->int_value >= 0 && (bits >= 63 || mask->int_value >> bits == 0);
}

const Expr *ex_cast(Ctx *c, DType t, const Expr *a) {
  if (a->dtype == t) return a;
  if (a->op == E_CONST) return mk_const(c, t, scalar_cast(a->dtype, t, const_scalar(a)));
  // The inner of two casts goes when it loses nothing; t may be bool only if zero stays zero, which exact
  // casts guarantee.
  const Expr *x = a->op == E_CAST ? a->args[0] : NULL;
  if (x && mask_fits(x, a->dtype)) return ex_cast(c, t, x);
  if (x && cast_is_exact(x->dtype, a->dtype) && same_overflow(x->dtype, a->dtype, t)) return ex_cast(c, t, x);
  return mk_unary(c, E_CAST, t, a);
}

const Expr *ex_bitcast(Ctx *c, DType t, const Expr *a) {
  if (a->dtype == t) return a;
  if (a->op == E_CONST) return mk_const(c, t, scalar_bitcast(a->dtype, t, const_scalar(a)));
  if (a->op == E_BITCAST) return ex_bitcast(c, t, a->args[0]);
  return mk_unary(c, E_BITCAST, t, a);
}

// ---- unary ----------------------------------------------------------------------------------------------

const Expr *ex_unary(Ctx *c, ExprOp op, const Expr *a) {
  const Expr *folded = fold(c, op, a->dtype, &a, 1);
  if (folded) return folded;
  if (op == E_NOT && a->dtype == DT_BOOL) return simplify_not(c, a);
  if ((op == E_NEG || op == E_NOT) && a->op == op) return a->args[0];
  if (op == E_NEG && a->dtype == DT_I64) return simplify_sum(c, E_SUB, ex_idx(c, 0), a);
  if (op == E_ABS) {
    if (a->op == E_ABS || (a->op == E_NEG && dtype_is_float(a->dtype))) a = a->args[0];
    if (dtype_is_int(a->dtype) && expr_range(c, a).lo >= 0) return a;
  }
  bool rounds = op >= E_FLOOR && op <= E_ROUND;
  if (rounds && (!dtype_is_float(a->dtype) || (a->op >= E_FLOOR && a->op <= E_ROUND))) return a;
  return mk_unary(c, op, a->dtype, a);
}

// ---- binary ---------------------------------------------------------------------------------------------

static bool commutes(ExprOp op) {
  switch (op) {
  case E_ADD:
  case E_MUL:
  case E_MIN:
  case E_MAX:
  case E_AND:
  case E_OR:
  case E_XOR:
  case E_EQ:
  case E_NE: return true;
  default: return false;
  }
}

// Identities that hold for every float, NaN, infinities and -0 included.
static const Expr *simplify_float(Ctx *c, ExprOp op, const Expr *a, const Expr *b) {
  switch (op) {
  case E_ADD:
    if (is_float_const(b, -0.0)) return a;
    if (is_float_const(a, -0.0)) return b;
    if (b->op == E_NEG) return ex_binary(c, E_SUB, a, b->args[0]);
    break;
  case E_SUB:
    if (is_float_const(b, 0.0)) return a;
    if (is_float_const(a, -0.0)) return ex_unary(c, E_NEG, b);
    if (b->op == E_NEG) return ex_binary(c, E_ADD, a, b->args[0]);
    break;
  case E_MUL:
    if (is_float_const(b, 1)) return a;
    if (is_float_const(a, 1)) return b;
    if (is_float_const(b, -1)) return ex_unary(c, E_NEG, a);
    break;
  case E_DIV:
    if (is_float_const(b, 1)) return a;
    if (is_float_const(b, -1)) return ex_unary(c, E_NEG, a);
    break;
  case E_MIN:
  case E_MAX:
    if (a == b) return a;
    if (b->op == op && (b->args[0] == a || b->args[1] == a)) return b;
    if (a->op == op && (a->args[0] == b || a->args[1] == b)) return a;
    break;
  case E_POW:
    if (is_float_const(b, 1)) return a;
    break;
  default: break;
  }
  return NULL;
}

static const Expr *simplify_min_max(Ctx *c, ExprOp op, const Expr *a, const Expr *b) {
  if (a == b) return a;
  if (expr_proves_le(c, a, b)) return op == E_MIN ? a : b;
  if (expr_proves_le(c, b, a)) return op == E_MIN ? b : a;
  if (a->op == op && (a->args[0] == b || a->args[1] == b)) return a;
  if (b->op == op && (b->args[0] == a || b->args[1] == a)) return b;
  if (a->op == op && a->args[1]->op == E_CONST && b->op == E_CONST)
    return ex_binary(c, op, a->args[0], ex_binary(c, op, a->args[1], b));
  return NULL;
}

static bool is_power_of_two(int64_t v) {
  return v > 0 && (v & (v - 1)) == 0;
}

// Truncating division and remainder of non-negative numbers are the flooring ones, which have more rules.
static const Expr *simplify_truncating(Ctx *c, ExprOp op, const Expr *a, const Expr *b) {
  if (expr_range(c, a).lo < 0 || expr_range(c, b).lo < 0) return NULL;
  return ex_binary(c, op == E_DIV ? E_FDIV : E_MOD, a, b);
}

static const Expr *simplify_bits(Ctx *c, ExprOp op, const Expr *a, const Expr *b) {
  int64_t v;
  bool and_or = op == E_AND || op == E_OR;
  if (a == b) return and_or ? a : op == E_XOR ? ex_int(c, a->dtype, 0) : NULL;
  if (!expr_is_const_int(b, &v)) return NULL;
  if (v == 0) return op == E_AND ? b : a;
  if (op == E_AND && v == int_wrap(a->dtype, -1)) return a;
  // Index arithmetic written with shifts and masks joins the normal form of the rest.
  if (a->dtype == DT_I64 && op == E_AND && is_power_of_two(v + 1) && v < INT64_MAX)
    return ex_binary(c, E_MOD, a, ex_idx(c, v + 1));
  if (a->dtype == DT_I64 && op == E_SHR && v > 0 && v < 62)
    return ex_binary(c, E_FDIV, a, ex_idx(c, (int64_t)1 << v));
  return NULL;
}

// Rules for integers of any width; i64 arithmetic has a normal form of its own.
static const Expr *simplify_int(Ctx *c, ExprOp op, const Expr *a, const Expr *b) {
  bool idx = a->dtype == DT_I64;
  switch (op) {
  case E_ADD:
    if (idx) return simplify_sum(c, op, a, b);
    if (is_int_const(b, 0)) return a;
    if (a->op == E_ADD && a->args[1]->op == E_CONST && b->op == E_CONST)
      return ex_binary(c, E_ADD, a->args[0], ex_binary(c, E_ADD, a->args[1], b));
    return NULL;
  case E_SUB:
    if (idx) return simplify_sum(c, op, a, b);
    if (a == b) return ex_int(c, a->dtype, 0);
    if (b->op == E_CONST) return ex_binary(c, E_ADD, a, ex_unary(c, E_NEG, b));
    return NULL;
  case E_MUL:
    if (idx) return simplify_product(c, a, b);
    return is_int_const(b, 0) ? b : is_int_const(b, 1) ? a : NULL;
  case E_FDIV:
  case E_MOD:
    if (idx) return simplify_division(c, op, a, b);
    if (is_int_const(b, 1)) return op == E_FDIV ? a : ex_int(c, a->dtype, 0);
    return is_int_const(b, 0) ? b : NULL;
  case E_DIV:
  case E_REM:
    if (is_int_const(b, 1)) return op == E_DIV ? a : ex_int(c, a->dtype, 0);
    return is_int_const(b, 0) ? b : simplify_truncating(c, op, a, b);
  case E_MIN:
  case E_MAX: return simplify_min_max(c, op, a, b);
  case E_AND:
  case E_OR:
  case E_XOR:
  case E_SHL:
  case E_SHR: return simplify_bits(c, op, a, b);
  default: return NULL;
  }
}

static const Expr *simplify_any_compare(Ctx *c, ExprOp op, const Expr *a, const Expr *b) {
  if (dtype_is_float(a->dtype)) return NULL;
  if (a == b) return ex_bool(c, op == E_EQ || op == E_LE);
  if (a->dtype == DT_I64) return simplify_compare(c, op, a, b);
  if (expr_proves_lt(c, a, b)) return ex_bool(c, op != E_EQ);
  if (expr_proves_lt(c, b, a)) return ex_bool(c, op == E_NE);
  if (op == E_LE && expr_proves_le(c, a, b)) return ex_bool(c, true);
  if (op == E_LT && expr_proves_le(c, b, a)) return ex_bool(c, false);
  return NULL;
}

// Constants go to the right; otherwise floats keep the order they were written in, which the reader knows.
static void order_operands(ExprOp op, const Expr **a, const Expr **b) {
  if (!commutes(op)) return;
  bool swap = (*a)->op == E_CONST && (*b)->op != E_CONST;
  if ((*a)->op != E_CONST && (*b)->op != E_CONST && !dtype_is_float((*a)->dtype))
    swap = expr_order(*a, *b) > 0;
  if (!swap) return;
  const Expr *t = *a;
  *a = *b;
  *b = t;
}

const Expr *ex_binary(Ctx *c, ExprOp op, const Expr *a, const Expr *b) {
  b = ex_cast(c, a->dtype, b); // the caller's duty; a mixed pair must not get further
  DType t = is_compare(op) ? DT_BOOL : a->dtype;
  const Expr *args[] = {a, b}, *r = fold(c, op, t, args, 2);
  if (r) return r;
  order_operands(op, &a, &b);
  if (a->dtype == DT_BOOL)
    r = simplify_bool(c, op, a, b);
  else if (is_compare(op))
    r = simplify_any_compare(c, op, a, b);
  else if (dtype_is_float(a->dtype))
    r = simplify_float(c, op, a, b);
  else
    r = simplify_int(c, op, a, b);
  return r ? r : mk_binary(c, op, t, a, b);
}

// ---- choices --------------------------------------------------------------------------------------------

// select(p, a, b) of bools, where one of them is constant.
static const Expr *select_bool(Ctx *c, const Expr *p, const Expr *a, const Expr *b) {
  if (is_int_const(a, 1)) return ex_binary(c, E_OR, p, b);
  if (is_int_const(b, 0)) return ex_binary(c, E_AND, p, a);
  if (is_int_const(a, 0)) return ex_binary(c, E_AND, ex_unary(c, E_NOT, p), b);
  if (is_int_const(b, 1)) return ex_binary(c, E_OR, ex_unary(c, E_NOT, p), a);
  return NULL;
}

static bool reads_nothing(const Expr *e, void *data) {
  (void)data;
  return e->op != E_READ;
}

// May a condition that p protects stand beside it? What it reads may be there only where p holds.
static bool may_join(Ctx *c, ExprOp op, const Expr *inner) {
  return op == E_SELECT || expr_visit(c, inner, reads_nothing, NULL);
}

static const Expr *make_choice(Ctx *c, ExprOp op, const Expr *p, const Expr *a, const Expr *b) {
  if (p->op == E_CONST) return p->int_value ? a : b;
  if (a == b) return a;
  if (p->op == E_NOT && op == E_SELECT) return make_choice(c, op, p->args[0], b, a);
  bool a_choice = a->op == E_GUARD || a->op == E_SELECT, b_choice = b->op == E_GUARD || b->op == E_SELECT;
  if (a_choice && a->args[0] == p) return make_choice(c, a->op == E_GUARD ? E_GUARD : op, p, a->args[1], b);
  if (b_choice && b->args[0] == p) return make_choice(c, op, p, a, b->args[2]);
  if (a->op == op && a->args[2] == b && may_join(c, op, a->args[0])) // padding of padding
    return make_choice(c, op, ex_binary(c, E_AND, p, a->args[0]), a->args[1], b);
  if (op == E_SELECT && a->dtype == DT_BOOL) {
    const Expr *r = select_bool(c, p, a, b);
    if (r) return r;
  }
  // A guard protects reads (and what contains them); constants and variables need no protection.
  if (op == E_GUARD && (a->nargs == 0 || a->op == E_CONST)) op = E_SELECT;
  return mk_ternary(c, op, a->dtype, p, a, b);
}

const Expr *ex_ternary(Ctx *c, ExprOp op, const Expr *a, const Expr *b, const Expr *d) {
  if (op == E_GUARD || op == E_SELECT) return make_choice(c, op, a, b, ex_cast(c, b->dtype, d));
  b = ex_cast(c, a->dtype, b);
  d = ex_cast(c, a->dtype, d);
  const Expr *args[] = {a, b, d}, *r = fold(c, op, a->dtype, args, 3);
  if (r) return r;
  if (!dtype_is_float(a->dtype)) return ex_add(c, ex_mul(c, a, b), d);
  return mk_ternary(c, op, a->dtype, a, b, d);
}

const Expr *ex_in_range(Ctx *c, const Expr *e, const Expr *n) {
  return ex_binary(c, E_AND, ex_binary(c, E_LE, ex_idx(c, 0), e), ex_binary(c, E_LT, e, n));
}

// ---- reductions -----------------------------------------------------------------------------------------

static const Expr *reduce_identity(Ctx *c, ReduceKind k, DType t) {
  bool flt = dtype_is_float(t);
  Range r = range_of_dtype(t);
  switch (k) {
  case R_SUM:
  case R_ANY: return ex_int(c, t, 0);
  case R_PROD:
  case R_ALL: return ex_int(c, t, 1);
  case R_MAX: return flt ? ex_float(c, t, -INFINITY) : ex_int(c, t, t == DT_U64 ? 0 : r.lo);
  default: return flt ? ex_float(c, t, INFINITY) : ex_int(c, t, t == DT_U64 ? -1 : r.hi);
  }
}

// Taking the same value n >= 1 times changes nothing.
static bool reduce_is_idempotent(ReduceKind k) {
  return k != R_SUM && k != R_PROD;
}

static bool extents_use_var(Ctx *c, const Var *const *vars, int nvars, const Var *v) {
  for (int i = 0; i < nvars; i++)
    if (expr_uses_var(c, vars[i]->extent, v)) return true;
  return false;
}

// Variables that run over one value are gone from the body already (ex_var); here they leave the list.
// A sum over one element is that element: the sign of a zero sum is not defined.
const Expr *ex_reduce(Ctx *c, ReduceKind k, const Var *const *vars, int nvars, const Expr *body) {
  const Var **kept = NEW_ARRAY(c->arena, const Var *, nvars);
  int n = 0;
  for (int i = 0; i < nvars; i++) {
    int64_t extent;
    bool fixed = expr_is_const_int(vars[i]->extent, &extent);
    if (fixed && extent <= 0) return reduce_identity(c, k, body->dtype);
    if (fixed && extent == 1) continue;
    bool idle = reduce_is_idempotent(k) && expr_range(c, vars[i]->extent).lo >= 1 &&
                !expr_uses_var(c, body, vars[i]) && !extents_use_var(c, vars, nvars, vars[i]);
    if (idle) continue;
    kept[n++] = vars[i];
  }
  if (n == 0) return body;
  Expr e = {.op = E_REDUCE, .dtype = body->dtype, .nargs = 1, .args = &body};
  e.reduce.kind = k;
  e.reduce.nvars = n;
  e.reduce.vars = kept;
  return expr_intern(c, &e);
}

const Expr *ex_with_args(Ctx *c, const Expr *e, const Expr *const *args) {
  switch (e->op) {
  case E_READ: return ex_read(c, e->value, args, e->nargs);
  case E_REDUCE: return ex_reduce(c, e->reduce.kind, e->reduce.vars, e->reduce.nvars, args[0]);
  case E_CAST: return ex_cast(c, e->dtype, args[0]);
  case E_BITCAST: return ex_bitcast(c, e->dtype, args[0]);
  default: break;
  }
  switch (e->nargs) {
  case 1: return ex_unary(c, e->op, args[0]);
  case 2: return ex_binary(c, e->op, args[0], args[1]);
  case 3: return ex_ternary(c, e->op, args[0], args[1], args[2]);
  default: return e;
  }
}
