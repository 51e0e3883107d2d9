// text_expr_parse.c: scalar expressions from text; text_expr.c prints them and says how they are written.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"
#include "ir/text.h"

#include <math.h>

static const int OP_ARITY[] = {
#define X(id, text, arity, form) arity,
    EXPR_OPS(X)
#undef X
};

static bool is_compare(ExprOp op) {
  return op == E_EQ || op == E_NE || op == E_LT || op == E_LE;
}

// ---- terms ---------------------------------------------------------------------------------------

// A parsed operand: an expression, or a number that has no type yet. Neither: an error was reported.
typedef struct Operand {
  const Expr *e;
  bool is_number;
  Number number;
  Loc loc;
} Operand;

static const Operand FAILED = {0};

static bool failed(Operand t) {
  return !t.e && !t.is_number;
}

static Operand operand(const Expr *e, Loc loc) {
  return (Operand){.e = e, .loc = loc};
}

static const Expr *number_expr(Parser *p, const Number *n, DType t) {
  Scalar s = {0};
  if (n->is_float && isnan(n->value) && n->magnitude && dtype_is_float(t)) {
    s.f = nan_from_bits(t, n->magnitude);
    return isnan(s.f) ? mk_const(p->ctx, t, s) : NULL;
  }
  if (!lex_number_as(n, t, &s.i, &s.f)) return NULL;
  if (dtype_is_float(t))
    s.f = float_round(t, s.f);
  else
    s.i = int_wrap(t, s.i);
  return mk_const(p->ctx, t, s);
}

// The operand as an expression of type t (DT_NONE: whatever it is).
static const Expr *typed(Parser *p, Operand t, DType want) {
  if (failed(t)) return NULL;
  if (t.is_number) {
    DType as = want != DT_NONE ? want : t.number.is_float ? DT_F32 : DT_I64;
    const Expr *e = number_expr(p, &t.number, as);
    if (!e) lex_error_at(&p->lx, t.loc, "the number does not fit %s", dtype_name(as));
    return e;
  }
  if (want != DT_NONE && t.e->dtype != want) {
    lex_error_at(&p->lx, t.loc, "expected %s here, this is %s", dtype_name(want), dtype_name(t.e->dtype));
    return NULL;
  }
  return t.e;
}

// Gives numbers among terms[0..n) the type of the others (or `fallback`).
static bool unify(Parser *p, Operand *terms, int n, DType fallback) {
  DType t = fallback;
  for (int i = 0; i < n; i++) {
    if (failed(terms[i])) return false;
    if (!terms[i].is_number) {
      t = terms[i].e->dtype;
      break;
    }
  }
  for (int i = 0; i < n; i++) {
    if (terms[i].is_number && !(terms[i].e = typed(p, terms[i], t))) return false;
    terms[i].is_number = false;
  }
  return true;
}

static const Expr *make(Parser *p, ExprOp op, DType t, const Expr *const *args, int n) {
  if (p->raw) return expr_intern(p->ctx, &(Expr){.op = op, .dtype = t, .nargs = n, .args = args});
  switch (op) {
  case E_CAST: return ex_cast(p->ctx, t, args[0]);
  case E_BITCAST: return ex_bitcast(p->ctx, t, args[0]);
  default:
    if (n == 1) return ex_unary(p->ctx, op, args[0]);
    if (n == 2) return ex_binary(p->ctx, op, args[0], args[1]);
    return ex_ternary(p->ctx, op, args[0], args[1], args[2]);
  }
}

// op applied to operands whose types are settled.
static Operand apply(Parser *p, ExprOp op, const Operand *terms, int n, Loc loc) {
  DType t[3] = {DT_NONE, DT_NONE, DT_NONE};
  const Expr *args[3];
  for (int i = 0; i < n; i++) {
    args[i] = terms[i].e;
    t[i] = args[i]->dtype;
  }
  const char *why = expr_type_error(op, t, n);
  if (why) {
    lex_error_at(&p->lx, loc, "'%s' %s: %s%s%s", expr_op_name(op), why, dtype_name(t[0]), n > 1 ? ", " : "",
                 n > 1 ? dtype_name(t[n - 1]) : "");
    return FAILED;
  }
  return operand(make(p, op, is_compare(op) ? DT_BOOL : t[n - 1], args, n), loc);
}

// ---- primaries -------------------------------------------------------------------------------------

static Operand parse_binary(Parser *p, int min_prec);
static Operand parse_unary(Parser *p);

static Operand parse_number(Parser *p) {
  Operand t = {.is_number = true, .number = p->lx.tok.number, .loc = p->lx.tok.loc};
  lex_next(&p->lx);
  return t;
}

// inf, nan, nan(0x7fc00001): numbers that are spelled as names.
static Operand parse_special_number(Parser *p, double v) {
  Operand t = {.is_number = true, .loc = p->lx.tok.loc, .number = {.is_float = true, .value = v}};
  lex_next(&p->lx);
  if (isnan(v) && lex_accept(&p->lx, "(")) {
    if (!lex_hex(&p->lx, &t.number.magnitude) || !lex_expect(&p->lx, ")")) return FAILED;
  }
  return t;
}

static Operand parse_cast(Parser *p, DType t, Loc loc) {
  Operand x = parse_binary(p, PREC_OR);
  if (failed(x) || !lex_expect(&p->lx, ")")) return FAILED;
  if (x.is_number) return operand(typed(p, x, t), loc);
  return operand(make(p, E_CAST, t, &x.e, 1), loc);
}

static Operand parse_bitcast(Parser *p, Loc loc) {
  const char *name = lex_name(&p->lx, "a type");
  DType t = name ? dtype_parse(name, strlen(name)) : DT_NONE;
  if (t == DT_NONE) {
    lex_error(&p->lx, "expected a type");
    return FAILED;
  }
  if (!lex_expect(&p->lx, ",")) return FAILED;
  const Expr *x = typed(p, parse_binary(p, PREC_OR), DT_NONE);
  if (!x || !lex_expect(&p->lx, ")")) return FAILED;
  if (dtype_bytes(x->dtype) != dtype_bytes(t)) {
    lex_error_at(&p->lx, loc, "bitcast from %s to %s changes the width", dtype_name(x->dtype), dtype_name(t));
    return FAILED;
  }
  return operand(make(p, E_BITCAST, t, &x, 1), loc);
}

static Operand parse_reduce(Parser *p, ReduceKind kind, Loc loc) {
  const Var *const *vars;
  int n;
  if (!parse_dims(p, &vars, &n) || !lex_expect(&p->lx, ")")) return FAILED;
  const Expr *body = typed(p, parse_binary(p, PREC_PRODUCT), DT_NONE);
  if (!body) return FAILED;
  bool logical = kind == R_ALL || kind == R_ANY;
  if (logical != (body->dtype == DT_BOOL)) {
    lex_error_at(&p->lx, loc, "'%s' is not defined on %s", reduce_name(kind), dtype_name(body->dtype));
    return FAILED;
  }
  if (!p->raw) return operand(ex_reduce(p->ctx, kind, vars, n, body), loc);
  Expr like = {.op = E_REDUCE, .dtype = body->dtype, .nargs = 1, .args = &body};
  like.reduce.kind = kind;
  like.reduce.nvars = n;
  like.reduce.vars = vars;
  return operand(expr_intern(p->ctx, &like), loc);
}

static Operand parse_op_call(Parser *p, ExprOp op, Loc loc) {
  Operand args[3];
  int n = OP_ARITY[op], first = expr_first_typed(op);
  for (int i = 0; i < n; i++) {
    args[i] = parse_binary(p, PREC_OR);
    if (failed(args[i])) return FAILED;
    if (!lex_expect(&p->lx, i + 1 < n ? "," : ")")) return FAILED;
  }
  if (first && !(args[0].e = typed(p, args[0], DT_BOOL))) return FAILED;
  if (!unify(p, args + first, n - first, args[first].number.is_float ? DT_F32 : DT_I64)) return FAILED;
  return apply(p, op, args, n, loc);
}

static bool find_reduce(const char *name, ReduceKind *kind) {
  for (int k = 0; k < R_COUNT; k++) {
    if (strcmp(reduce_name((ReduceKind)k), name) == 0) return *kind = (ReduceKind)k, true;
  }
  return false;
}

static bool find_function(const char *name, ExprOp *op) {
  for (int i = 0; i < E_COUNT; i++) {
    if (EXPR_FORM[i] == 'f' && strcmp(expr_op_name((ExprOp)i), name) == 0) return *op = (ExprOp)i, true;
  }
  return false;
}

// The current token is the '(' after `name`.
static Operand parse_call(Parser *p, const char *name, Loc loc) {
  ReduceKind kind;
  ExprOp op;
  lex_next(&p->lx);
  DType t = dtype_parse(name, strlen(name));
  if (t != DT_NONE) return parse_cast(p, t, loc);
  if (strcmp(name, "bitcast") == 0) return parse_bitcast(p, loc);
  if (find_reduce(name, &kind)) return parse_reduce(p, kind, loc);
  if (find_function(name, &op)) return parse_op_call(p, op, loc);
  lex_error_at(&p->lx, loc, "there is no function '%s' in scalar expressions", name);
  return FAILED;
}

static const Expr *find_name(Parser *p, const char *name) {
  if (p->lookup) return p->lookup(p->lookup_data, name);
  const Var *v = p->vars ? map_get(p->vars, name) : NULL;
  if (v) return expr_intern(p->ctx, &(Expr){.op = E_VAR, .dtype = v->dtype, .var = v});
  const Sym *s = p->syms ? map_get(p->syms, name) : NULL;
  return s ? ex_sym(p->ctx, s) : NULL;
}

static Operand parse_named(Parser *p) {
  Loc loc = p->lx.tok.loc;
  const char *name = p->lx.tok.s;
  if (strcmp(name, "inf") == 0) return parse_special_number(p, INFINITY);
  if (strcmp(name, "nan") == 0) return parse_special_number(p, NAN);
  lex_next(&p->lx);
  if (lex_is(&p->lx, "(")) return parse_call(p, name, loc);
  if (strcmp(name, "true") == 0) return operand(ex_bool(p->ctx, true), loc);
  if (strcmp(name, "false") == 0) return operand(ex_bool(p->ctx, false), loc);
  const Expr *e = find_name(p, name);
  if (!e) lex_error_at(&p->lx, loc, "unknown name '%s'", name);
  return operand(e, loc);
}

static Operand parse_read(Parser *p) {
  Loc loc = p->lx.tok.loc;
  Value *v = parse_value_ref(p);
  if (!v || !lex_expect(&p->lx, "[")) return FAILED;
  const Expr *index[MAX_PHYS_RANK];
  int n = 0;
  while (!lex_is(&p->lx, "]")) {
    if (n && !lex_expect(&p->lx, ",")) return FAILED;
    if (n == MAX_PHYS_RANK) {
      lex_error(&p->lx, "more than %d indices", MAX_PHYS_RANK);
      return FAILED;
    }
    if (!(index[n++] = typed(p, parse_binary(p, PREC_OR), DT_I64))) return FAILED;
  }
  lex_next(&p->lx);
  Expr like = {.op = E_READ, .dtype = v->type.dtype, .nargs = n, .value = v, .args = index};
  return operand(expr_intern(p->ctx, &like), loc);
}

static Operand parse_shared(Parser *p) {
  Loc loc = p->lx.tok.loc;
  int64_t label;
  lex_next(&p->lx);
  if (!lex_int(&p->lx, &label)) return FAILED;
  if (lex_accept(&p->lx, "=")) {
    const Expr *e = typed(p, parse_binary(p, PREC_OR), DT_NONE);
    if (!e) return FAILED;
    SharedExpr s = {label, e};
    vec_push(p->ctx->arena, &p->shared, s);
    return operand(e, loc);
  }
  for (int i = p->shared.n; i-- > 0;) {
    if (p->shared.data[i].label == label) return operand(p->shared.data[i].e, loc);
  }
  lex_error_at(&p->lx, loc, "$%lld was not defined before", (long long)label);
  return FAILED;
}

static Operand parse_primary(Parser *p) {
  Lexer *lx = &p->lx;
  if (lx->tok.kind == TOK_NUMBER) return parse_number(p);
  if (lx->tok.kind == TOK_NAME) return parse_named(p);
  if (lex_is(lx, "%")) return parse_read(p);
  if (lex_is(lx, "$")) return parse_shared(p);
  if (!lex_accept(lx, "(")) {
    lex_error(lx, "expected an expression");
    return FAILED;
  }
  Operand t = parse_binary(p, PREC_OR);
  if (failed(t) || !lex_expect(lx, ")")) return FAILED;
  return t;
}

// ---- operators -------------------------------------------------------------------------------------

static Operand negate(Parser *p, Operand x, Loc loc) {
  if (failed(x)) return FAILED;
  x.loc = loc;
  if (!x.is_number) return apply(p, E_NEG, &x, 1, loc);
  x.number.negative = !x.number.negative;
  x.number.value = -x.number.value;
  return x;
}

static Operand parse_unary_inner(Parser *p) {
  Loc loc = p->lx.tok.loc;
  if (lex_accept(&p->lx, "-")) return negate(p, parse_unary(p), loc);
  if (lex_accept(&p->lx, "!")) {
    Operand x = parse_unary(p);
    if (failed(x) || !unify(p, &x, 1, DT_I64)) return FAILED;
    return apply(p, E_NOT, &x, 1, loc);
  }
  return parse_primary(p);
}

static Operand parse_unary(Parser *p) {
  if (p->depth >= MAX_NESTING) {
    lex_error(&p->lx, "expression nested more than %d deep", MAX_NESTING);
    return FAILED;
  }
  p->depth++;
  Operand t = parse_unary_inner(p);
  p->depth--;
  return t;
}

typedef struct Infix {
  const char *text;
  ExprOp op;
  bool swap; // a > b is b < a
} Infix;

static bool current_infix(const Parser *p, Infix *out) {
  static const Infix table[] = {{">", E_LT, true},
                                {">=", E_LE, true},
#define X(id, text, arity, form) {form == 'i' ? text : "", E_##id, false},
                                EXPR_OPS(X)
#undef X
  };
  if (p->lx.tok.kind != TOK_PUNCT) return false;
  for (int i = 0; i < ARRAY_LEN(table); i++) {
    if (strcmp(table[i].text, p->lx.tok.s) == 0) return *out = table[i], true;
  }
  return false;
}

// Arithmetic on two numbers that have no type yet: exact, 1/2 is 0.5.
static bool fold_numbers(ExprOp op, const Number *a, const Number *b, Number *out) {
  int64_t x, y, r = 0;
  double fx, fy;
  if (!a->is_float && !b->is_float && op != E_DIV) {
    if (!lex_number_as(a, DT_I64, &x, &fx) || !lex_number_as(b, DT_I64, &y, &fy)) return false;
    bool ok = op == E_ADD    ? add_ok(x, y, &r)
              : op == E_SUB  ? !__builtin_sub_overflow(x, y, &r)
              : op == E_MUL  ? mul_ok(x, y, &r)
              : op == E_FDIV ? y > 0 && (r = floor_div(x, y), true)
              : op == E_MOD  ? y > 0 && (r = floor_mod(x, y), true)
                             : false;
    *out = (Number){.negative = r < 0, .magnitude = r < 0 ? 0 - (uint64_t)r : (uint64_t)r};
    return ok;
  }
  lex_number_as(a, DT_F64, &x, &fx);
  lex_number_as(b, DT_F64, &y, &fy);
  double v = op == E_ADD ? fx + fy : op == E_SUB ? fx - fy : op == E_MUL ? fx * fy : fx / fy;
  *out = (Number){.is_float = true, .value = v};
  return op == E_ADD || op == E_SUB || op == E_MUL || op == E_DIV;
}

static Operand combine(Parser *p, Infix in, Operand a, Operand b, Loc loc) {
  if (failed(a) || failed(b)) return FAILED;
  if (a.is_number && b.is_number) {
    Operand t = {.is_number = true, .loc = a.loc};
    if (fold_numbers(in.op, &a.number, &b.number, &t.number)) return t;
    lex_error_at(&p->lx, loc, "'%s' of two numbers needs a type, as in f32(1) %s f32(2)", in.text, in.text);
    return FAILED;
  }
  Operand args[2] = {in.swap ? b : a, in.swap ? a : b};
  return unify(p, args, 2, DT_NONE) ? apply(p, in.op, args, 2, loc) : FAILED;
}

static Operand parse_binary(Parser *p, int min_prec) {
  Operand left = parse_unary(p);
  Infix in;
  while (!failed(left) && current_infix(p, &in) && expr_prec(in.op) >= min_prec) {
    Loc loc = p->lx.tok.loc;
    lex_next(&p->lx);
    left = combine(p, in, left, parse_binary(p, expr_prec(in.op) + 1), loc);
  }
  return left;
}

const Expr *parse_expr(Parser *p, DType want) {
  p->shared.n = 0;
  return typed(p, parse_binary(p, PREC_OR), want);
}

const Expr *parse_sum(Parser *p) {
  return typed(p, parse_binary(p, PREC_SUM), DT_I64);
}

// ---- a lone expression ----------------------------------------------------------------------------------------

const Expr *expr_parse(Ctx *c, const Source *src, const char *text,
                       const Expr *(*lookup)(void *data, const char *name), void *data) {
  Parser p = {.ctx = c, .lookup = lookup, .lookup_data = data};
  lex_start(&p.lx, c, src, text, strlen(text));
  p.lx.free_newlines = true;
  if (p.lx.tok.kind == TOK_NEWLINE) lex_next(&p.lx);
  const Expr *e = parse_expr(&p, DT_NONE);
  if (e && p.lx.tok.kind != TOK_END) {
    lex_error(&p.lx, "unexpected '%s' after the expression", p.lx.tok.s);
    return NULL;
  }
  return e;
}
