// text_expr.c: scalar expressions as text, printed and parsed.
// SPDX-License-Identifier: Apache-2.0
//
// Operators and their precedence are C's; `//` is floor division. A bare number takes the type of what it is
// combined with; where nothing says a type it is written `f32(1.0)`. A reduction `sum(k<64) term` reaches
// over products, not over sums. What occurs several times and is large is written out once, as
// `($1 = ...)`, and called `$1` from then on: the text of a DAG stays linear in its size.
#include "ir/expr_impl.h"
#include "ir/text.h"

#include <math.h>

// Binding strength, doubled so that reductions fit between sums and products.
enum {
  PREC_OR = 0,
  PREC_XOR = 2,
  PREC_AND = 4,
  PREC_EQUAL = 6,
  PREC_LESS = 8,
  PREC_SHIFT = 10,
  PREC_SUM = 12,
  PREC_REDUCE = 13,
  PREC_PRODUCT = 14,
  PREC_UNARY = 15,
  PREC_PRIMARY = 16,
};

static int op_prec(ExprOp op) {
  switch (op) {
  case E_OR: return PREC_OR;
  case E_XOR: return PREC_XOR;
  case E_AND: return PREC_AND;
  case E_EQ:
  case E_NE: return PREC_EQUAL;
  case E_LT:
  case E_LE: return PREC_LESS;
  case E_SHL:
  case E_SHR: return PREC_SHIFT;
  case E_ADD:
  case E_SUB: return PREC_SUM;
  case E_REDUCE: return PREC_REDUCE;
  case E_MUL:
  case E_DIV:
  case E_FDIV:
  case E_MOD: return PREC_PRODUCT;
  case E_NEG:
  case E_NOT: return PREC_UNARY;
  default: return PREC_PRIMARY;
  }
}

static const int OP_ARITY[] = {
#define X(id, text, arity, form) arity,
    EXPR_OPS(X)
#undef X
};

static const char OP_FORM[] = {
#define X(id, text, arity, form) form,
    EXPR_OPS(X)
#undef X
};

static bool is_compare(ExprOp op) {
  return op == E_EQ || op == E_NE || op == E_LT || op == E_LE;
}

// The first operand that shares its type with the result (GUARD and SELECT start with a condition).
static int first_typed(ExprOp op) {
  return op == E_GUARD || op == E_SELECT ? 1 : 0;
}

const char *expr_type_error(ExprOp op, const DType *t, int n) {
  int first = first_typed(op);
  for (int i = 0; i < n; i++) {
    if (t[i] >= DT_COUNT) return "has an operand without a type";
  }
  if (first && t[0] != DT_BOOL) return "needs a bool as condition";
  for (int i = first + 1; i < n; i++) {
    if (t[i] != t[first]) return "has operands of different types (write a cast)";
  }
  Scalar zero[3] = {{0}, {0}, {0}}, out;
  if (!first && !scalar_op(op, t[0], zero, &out)) return "is not defined on this type";
  return NULL;
}

// ---- printing: what is written once ------------------------------------------------------------------------

enum {
  SHARE_SIZE = 14,   // an expression of so many nodes that is used twice gets a label
  SHARE_REDUCE = 10, // what a reduction adds to the size
};

typedef struct Shape {
  int uses, size;
  int label; // 0: none
  bool printed;
} Shape;

typedef struct Printing {
  Printer *p;
  Memo *shapes; // NULL: nothing is shared
  int labels;
} Printing;

static Shape *shape_of(const Printing *g, const Expr *e) {
  return g->shapes ? (Shape *)(uintptr_t)memo_get(g->shapes, e) : NULL;
}

static void measure(const Printing *g, const Expr *e) {
  Shape *s = shape_of(g, e);
  s->size = e->op == E_REDUCE ? 1 + SHARE_REDUCE : 1;
  for (int i = 0; i < e->nargs; i++) s->size += shape_of(g, e->args[i])->size;
  if (s->uses < 2 || s->size < SHARE_SIZE) return;
  s->label = -1; // numbered when printed
  s->size = 1;
}

static void find_shared(Printing *g, const Expr *e) {
  Ctx *c = g->p->ctx;
  Memo *m = g->shapes = memo_take(c);
  expr_postorder(c, m, e);
  int n = m->order.n;
  Shape *shapes = NEW_ARRAY(c->arena, Shape, n);
  for (int i = 0; i < n; i++) memo_put(c, m, m->order.data[i], &shapes[i]);
  for (int i = 0; i < n; i++) {
    const Expr *x = m->order.data[i];
    for (int k = 0; k < x->nargs; k++) shape_of(g, x->args[k])->uses++;
  }
  for (int i = 0; i < n; i++) measure(g, m->order.data[i]);
}

// ---- printing ---------------------------------------------------------------------------------------------

static void put(Printing *g, const Expr *e, int prec);

static void put_number(Str *out, const Expr *e) {
  if (dtype_is_float(e->dtype)) {
    print_double(out, e->float_value, e->dtype);
  } else if (e->dtype == DT_U64) {
    str_printf(out, "%llu", (unsigned long long)e->int_value);
  } else {
    str_printf(out, "%lld", (long long)e->int_value);
  }
}

static void put_const(Printing *g, const Expr *e, bool typed) {
  Str *out = g->p->out;
  if (e->dtype == DT_BOOL) {
    str_puts(out, e->int_value ? "true" : "false");
    return;
  }
  if (typed) str_printf(out, "%s(", dtype_name(e->dtype));
  put_number(out, e);
  if (typed) str_puts(out, ")");
}

static void put_operand(Printing *g, const Expr *e, int prec, bool typed) {
  if (e->op == E_CONST) {
    put_const(g, e, typed);
  } else {
    put(g, e, prec);
  }
}

// Constants among the operands need a type only if every operand is one.
static bool operands_need_type(const Expr *e) {
  for (int i = first_typed(e->op); i < e->nargs; i++) {
    if (e->args[i]->op != E_CONST) return false;
  }
  return true;
}

static void put_args(Printing *g, const Expr *e) {
  bool typed = operands_need_type(e);
  for (int i = 0; i < e->nargs; i++) {
    if (i) str_puts(g->p->out, ", ");
    put_operand(g, e->args[i], PREC_OR, typed);
  }
}

static void put_infix(Printing *g, const Expr *e) {
  int prec = op_prec(e->op);
  bool typed = operands_need_type(e);
  put_operand(g, e->args[0], prec, typed);
  str_printf(g->p->out, " %s ", expr_op_name(e->op));
  put_operand(g, e->args[1], prec + 1, typed);
}

static void put_read(Printing *g, const Expr *e) {
  Str *out = g->p->out;
  print_value_ref(g->p, e->value);
  str_puts(out, "[");
  for (int i = 0; i < e->nargs; i++) {
    if (i) str_puts(out, ", ");
    put_operand(g, e->args[i], PREC_OR, e->args[i]->dtype != DT_I64);
  }
  str_puts(out, "]");
}

static void put_reduce(Printing *g, const Expr *e) {
  str_printf(g->p->out, "%s(", reduce_name(e->reduce.kind));
  print_dims(g->p, e->reduce.vars, e->reduce.nvars);
  str_puts(g->p->out, ") ");
  put_operand(g, e->args[0], PREC_REDUCE, true);
}

static void put_call(Printing *g, const Expr *e) {
  Str *out = g->p->out;
  switch (e->op) {
  case E_CAST: str_printf(out, "%s(", dtype_name(e->dtype)); break;
  case E_BITCAST: str_printf(out, "bitcast(%s, ", dtype_name(e->dtype)); break;
  default: str_printf(out, "%s(", expr_op_name(e->op));
  }
  put_args(g, e);
  str_puts(out, ")");
}

static void put_node(Printing *g, const Expr *e) {
  Printer *p = g->p;
  switch (e->op) {
  case E_CONST: put_const(g, e, e->dtype != DT_I64); return;
  case E_VAR: print_var(p, e->var); return;
  case E_SYM: str_puts(p->out, e->sym->name); return;
  case E_READ: put_read(g, e); return;
  case E_REDUCE: put_reduce(g, e); return;
  case E_NEG:
  case E_NOT:
    str_puts(p->out, expr_op_name(e->op));
    put_operand(g, e->args[0], PREC_UNARY, true);
    return;
  default:
    if (OP_FORM[e->op] == 'i') {
      put_infix(g, e);
    } else {
      put_call(g, e);
    }
  }
}

static void put(Printing *g, const Expr *e, int prec) {
  Str *out = g->p->out;
  Shape *s = shape_of(g, e);
  if (s && s->printed) {
    str_printf(out, "$%d", s->label);
    return;
  }
  bool label = s && s->label < 0;
  if (label) str_printf(out, "($%d = ", s->label = ++g->labels);
  bool parens = !label && op_prec(e->op) < prec;
  if (parens) str_puts(out, "(");
  put_node(g, e);
  if (parens || label) str_puts(out, ")");
  if (label) s->printed = true;
}

void print_expr_as(Printer *p, const Expr *e, DType t) {
  Printing g = {.p = p};
  if (e->op == E_CONST) {
    put_const(&g, e, e->dtype != t);
    return;
  }
  if (p->ctx) find_shared(&g, e);
  put(&g, e, PREC_OR);
  if (p->ctx) memo_give(p->ctx, g.shapes);
}

void print_expr(Printer *p, const Expr *e) {
  print_expr_as(p, e, DT_I64);
}

void print_sum(Printer *p, const Expr *e) {
  Printing g = {.p = p};
  put(&g, e, PREC_SUM);
}

// ---- parsing: terms ---------------------------------------------------------------------------------------

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

// ---- parsing: primaries -------------------------------------------------------------------------------------

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
  int n = OP_ARITY[op], first = first_typed(op);
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
    if (OP_FORM[i] == 'f' && strcmp(expr_op_name((ExprOp)i), name) == 0) return *op = (ExprOp)i, true;
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

// ---- parsing: operators -------------------------------------------------------------------------------------

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
  while (!failed(left) && current_infix(p, &in) && op_prec(in.op) >= min_prec) {
    Loc loc = p->lx.tok.loc;
    lex_next(&p->lx);
    left = combine(p, in, left, parse_binary(p, op_prec(in.op) + 1), loc);
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

// ---- the public functions -----------------------------------------------------------------------------------

void expr_print(Str *out, const Expr *e) {
  // A lone expression is printed as a tree; it has no context to take memory for sharing from.
  Printer p = {.out = out};
  Printing g = {.p = &p};
  put(&g, e, PREC_OR);
}

char *expr_text(Ctx *c, const Expr *e) {
  Str s = {.arena = c->arena};
  Printer p;
  printer_start(&p, c, &s);
  print_expr(&p, e);
  return str_text(&s);
}

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
