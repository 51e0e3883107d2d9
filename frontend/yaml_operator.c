// yaml_operator.c: operators of the YAML language, on numbers while the model is read and on tensors as ops.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/yaml.h"

#include <math.h>

// ---- tensors ----------------------------------------------------------------------------------------------------

typedef struct Operator {
  const char *text, *op;
  const char *bits; // the op for integers, where it is another
} Operator;

static const Operator BINARY[] = {
    {"+", "add", NULL},         {"-", "sub", NULL},          {"*", "mul", NULL},
    {"/", "div", NULL},         {"%", "mod", NULL},          {"**", "pow", NULL},
    {"==", "equal", NULL},      {"!=", "not_equal", NULL},   {"<", "less", NULL},
    {"<=", "less_equal", NULL}, {">", "greater", NULL},      {">=", "greater_equal", NULL},
    {"&", "and", "bit_and"},    {"|", "or", "bit_or"},       {"^", "xor", "bit_xor"},
    {"<<", "shift_left", NULL}, {">>", "shift_right", NULL}, {"and", "and", NULL},
    {"or", "or", NULL},
};

static const Operator UNARY[] = {
    {"-", "neg", NULL}, {"+", "identity", NULL}, {"~", "not", "bit_not"}, {"not", "not", NULL}};

static const char *op_name(const Operator *table, int n, const char *text, DType t) {
  for (int i = 0; i < n; i++) {
    if (strcmp(table[i].text, text) != 0) continue;
    return table[i].bits && t != DT_BOOL ? table[i].bits : table[i].op;
  }
  return NULL;
}

// Numbers take the other side's type.
static Value *as_tensor(Yaml *y, const XExpr *e, const Val *v, const Val *other) {
  if (v->kind == V_TENSOR) return v->v;
  return yaml_scalar(y, other->v->type.dtype, v, e->loc);
}

static Val tensor_binary(Yaml *y, const XExpr *e, const Val *a, const Val *b) {
  Value *x = as_tensor(y, e, a, b), *z = as_tensor(y, e, b, a);
  if (!x || !z) return VAL_ERROR;
  bool floor = strcmp(e->text, "//") == 0;
  if (floor && !dtype_is_float(x->type.dtype))
    return yaml_fail(y, e->loc, "'//' of integer tensors is not there; use div");
  const char *op = floor ? "div" : op_name(BINARY, ARRAY_LEN(BINARY), e->text, x->type.dtype);
  Value *r = yaml_build(y, op, e->loc, IN(x, z), NO_ATTRS);
  return val_tensor(floor && r ? yaml_build(y, "floor", e->loc, IN(r), NO_ATTRS) : r);
}

// ---- numbers ----------------------------------------------------------------------------------------------------

static Val mismatch(Yaml *y, const XExpr *e, const Val *a, const Val *b) {
  return yaml_fail(y, e->loc, "'%s' does not go with %s and %s", e->text, val_kind(a), val_kind(b));
}

static bool power(int64_t base, int64_t exponent, int64_t *r) {
  *r = 1;
  for (int64_t i = 0; i < exponent; i++) {
    if (!mul_ok(*r, base, r)) return false;
    if (*r == 0 || *r == 1) return true; // 0, 1
    if (i > 64 && *r == -1) return *r = exponent % 2 ? -1 : 1, true;
  }
  return true;
}

static Val int_binary(Yaml *y, const XExpr *e, int64_t a, int64_t b) {
  const char *op = e->text;
  int64_t r = 0;
  bool ok = true;
  if ((strcmp(op, "//") == 0 || strcmp(op, "%") == 0 || strcmp(op, "/") == 0) && b == 0) {
    return yaml_fail(y, e->loc, "division by zero");
  }
  if (strcmp(op, "+") == 0)
    ok = add_ok(a, b, &r);
  else if (strcmp(op, "-") == 0)
    ok = !__builtin_sub_overflow(a, b, &r);
  else if (strcmp(op, "*") == 0)
    ok = mul_ok(a, b, &r);
  else if (strcmp(op, "/") == 0)
    return val_float((double)a / (double)b);
  else if (strcmp(op, "//") == 0 || strcmp(op, "%") == 0) {
    if (b < 0) return yaml_fail(y, e->loc, "the divisor must not be negative");
    r = *op == '%' ? floor_mod(a, b) : floor_div(a, b);
  } else if (strcmp(op, "**") == 0) {
    if (b < 0) return val_float(pow((double)a, (double)b));
    ok = power(a, b, &r);
  } else {
    return yaml_fail(y, e->loc, "'%s' is not defined on integers", op);
  }
  return ok ? val_int(r) : yaml_fail(y, e->loc, "integer overflow");
}

static bool compare(const char *op, double a, double b, Val *out) {
  bool r = strcmp(op, "==") == 0   ? a == b
           : strcmp(op, "!=") == 0 ? a != b
           : strcmp(op, "<") == 0  ? a < b
           : strcmp(op, "<=") == 0 ? a <= b
           : strcmp(op, ">") == 0  ? a > b
                                   : a >= b;
  *out = val_bool(r);
  return strchr("=!<>", op[0]) && strcmp(op, "<<") != 0 && strcmp(op, ">>") != 0;
}

static Val float_binary(Yaml *y, const XExpr *e, double a, double b) {
  const char *op = e->text;
  if (strcmp(op, "+") == 0) return val_float(a + b);
  if (strcmp(op, "-") == 0) return val_float(a - b);
  if (strcmp(op, "*") == 0) return val_float(a * b);
  if (strcmp(op, "/") == 0) return val_float(a / b);
  if (strcmp(op, "//") == 0) return val_float(floor(a / b));
  if (strcmp(op, "%") == 0) return val_float(a - floor(a / b) * b);
  if (strcmp(op, "**") == 0) return val_float(pow(a, b));
  return yaml_fail(y, e->loc, "'%s' is not defined on numbers", op);
}

static double number(const Val *v) {
  return v->kind == V_INT ? (double)v->i : v->f;
}

static Val number_binary(Yaml *y, const XExpr *e, const Val *a, const Val *b) {
  Val r;
  if (compare(e->text, number(a), number(b), &r)) return r;
  if (a->kind == V_INT && b->kind == V_INT) return int_binary(y, e, a->i, b->i);
  return float_binary(y, e, number(a), number(b));
}

// ---- symbols, lists, texts ----------------------------------------------------------------------------------------

static Val dim_binary_op(Yaml *y, const XExpr *e, const Val *a, const Val *b) {
  Dim x, z;
  if (!yaml_dim(y, a, e->loc, &x) || !yaml_dim(y, b, e->loc, &z)) return VAL_ERROR;
  if (strcmp(e->text, "==") == 0) return val_bool(dim_equal(x, z));
  if (strcmp(e->text, "!=") == 0) return val_bool(!dim_equal(x, z));
  ExprOp op = strcmp(e->text, "+") == 0    ? E_ADD
              : strcmp(e->text, "-") == 0  ? E_SUB
              : strcmp(e->text, "*") == 0  ? E_MUL
              : strcmp(e->text, "//") == 0 ? E_FDIV
                                           : E_COUNT;
  if (op == E_COUNT) return mismatch(y, e, a, b);
  Dim d = dim_binary(y->ctx, op, x, z);
  if (d.n == INT64_MAX) return yaml_fail(y, e->loc, "the extent has no bound");
  return yaml_dim_val(d);
}

static Val list_join(Yaml *y, const XExpr *e, const Val *a, const Val *b) {
  int64_t n = (int64_t)a->n + b->n;
  if (n > YAML_MAX_LIST) return yaml_fail(y, e->loc, "the list is too long");
  Val *items = NEW_ARRAY(y->ctx->arena, Val, n);
  for (int i = 0; i < a->n; i++) items[i] = a->items[i];
  for (int i = 0; i < b->n; i++) items[a->n + i] = b->items[i];
  return val_list(items, (int)n);
}

static Val list_repeat(Yaml *y, const XExpr *e, const Val *list, int64_t times) {
  int64_t n;
  if (times < 0 || !mul_ok(list->n, times, &n) || n > YAML_MAX_LIST)
    return yaml_fail(y, e->loc, "the list is too long");
  Val *items = NEW_ARRAY(y->ctx->arena, Val, n);
  for (int64_t i = 0; i < n; i++) items[i] = list->items[i % list->n];
  return val_list(items, (int)n);
}

static Val equal_values(const XExpr *e, bool equal) {
  return val_bool(equal == (e->text[0] == '='));
}

static Val other_binary(Yaml *y, const XExpr *e, const Val *a, const Val *b) {
  bool equality = strcmp(e->text, "==") == 0 || strcmp(e->text, "!=") == 0;
  if (a->kind == V_LIST && b->kind == V_LIST && *e->text == '+') return list_join(y, e, a, b);
  if (a->kind == V_LIST && b->kind == V_INT && strcmp(e->text, "*") == 0) return list_repeat(y, e, a, b->i);
  if (a->kind == V_BOOL && b->kind == V_BOOL) {
    if (equality) return equal_values(e, a->i == b->i);
    if (strcmp(e->text, "and") == 0) return val_bool(a->i && b->i);
    if (strcmp(e->text, "or") == 0) return val_bool(a->i || b->i);
  }
  if (a->kind == V_STRING && b->kind == V_STRING && equality) return equal_values(e, strcmp(a->s, b->s) == 0);
  if (a->kind == V_DTYPE && b->kind == V_DTYPE && equality) return equal_values(e, a->t == b->t);
  if ((a->kind == V_NONE || b->kind == V_NONE) && equality) return equal_values(e, a->kind == b->kind);
  return mismatch(y, e, a, b);
}

// ---- the public functions -------------------------------------------------------------------------------------------

Val yaml_binary(Yaml *y, const XExpr *e, Val a, Val b) {
  bool tensors = a.kind == V_TENSOR || b.kind == V_TENSOR;
  bool none = a.kind == V_NONE || b.kind == V_NONE;
  if (tensors && !none) return tensor_binary(y, e, &a, &b);
  if (val_is_number(&a) && val_is_number(&b)) return number_binary(y, e, &a, &b);
  bool dims =
      (a.kind == V_DIM && (b.kind == V_DIM || b.kind == V_INT)) || (a.kind == V_INT && b.kind == V_DIM);
  return dims ? dim_binary_op(y, e, &a, &b) : other_binary(y, e, &a, &b);
}

Val yaml_unary(Yaml *y, const XExpr *e, Val x) {
  if (x.kind == V_TENSOR) {
    const char *op = op_name(UNARY, ARRAY_LEN(UNARY), e->text, x.v->type.dtype);
    return val_tensor(yaml_build(y, op, e->loc, IN(x.v), NO_ATTRS));
  }
  bool minus = strcmp(e->text, "-") == 0, plus = strcmp(e->text, "+") == 0;
  if (plus && val_is_number(&x)) return x;
  if (minus && x.kind == V_FLOAT) return val_float(-x.f);
  if (minus && x.kind == V_INT)
    return x.i == INT64_MIN ? yaml_fail(y, e->loc, "integer overflow") : val_int(-x.i);
  if (strcmp(e->text, "not") == 0 && x.kind == V_BOOL) return val_bool(!x.i);
  return yaml_fail(y, e->loc, "'%s' does not go with %s", e->text, val_kind(&x));
}
