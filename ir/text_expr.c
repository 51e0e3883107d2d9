// text_expr.c: scalar expressions as text; text_expr_parse.c reads them.
// SPDX-License-Identifier: Apache-2.0
//
// Operators and their precedence are C's; `//` is floor division. A bare number takes the type of what it is
// combined with; where nothing says a type it is written `f32(1.0)`. A reduction `sum(k<64) term` reaches
// over products, not over sums. What occurs several times and is large is written out once, as
// `($1 = ...)`, and called `$1` from then on: the text of a DAG stays linear in its size.
#include "ir/expr_impl.h"
#include "ir/text.h"

#include <math.h>

int expr_prec(ExprOp op) {
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

const char EXPR_FORM[] = {
#define X(id, text, arity, form) form,
    EXPR_OPS(X)
#undef X
};

int expr_first_typed(ExprOp op) {
  return op == E_GUARD || op == E_SELECT ? 1 : 0;
}

const char *expr_type_error(ExprOp op, const DType *t, int n) {
  int first = expr_first_typed(op);
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
  for (int i = expr_first_typed(e->op); i < e->nargs; i++) {
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
  int prec = expr_prec(e->op);
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
    if (EXPR_FORM[e->op] == 'i') {
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
  bool parens = !label && expr_prec(e->op) < prec;
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
