// yaml_expr.c: parses the expressions of YAML models into trees.
// SPDX-License-Identifier: Apache-2.0
//
// Operators and their precedence are Python's. Every node keeps its place in the file.
#include "frontend/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

typedef enum TokenKind { T_END, T_NAME, T_INT, T_FLOAT, T_STRING, T_PUNCT, T_BAD } TokenKind;

typedef struct Parse {
  Ctx *ctx;
  YCursor cursor;
  const char *text;
  size_t at, end;
  int depth;
  bool failed;
  // the current token:
  TokenKind kind;
  const char *s;
  Loc loc;
  int64_t i;
  double f;
} Parse;

// ---- tokens ---------------------------------------------------------------------------------------------------

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_word(char c) {
  return is_letter(c) || is_digit(c);
}

static const XExpr *fail(Parse *p, Loc loc, const char *fmt, ...) PRINTF_LIKE(3, 4);
static const XExpr *fail(Parse *p, Loc loc, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  if (!p->failed) diag_error(p->ctx->diag, loc, "%s", arena_vprintf(p->ctx->arena, fmt, ap));
  va_end(ap);
  p->failed = true;
  return NULL;
}

static void take(Parse *p, TokenKind kind, size_t from) {
  p->kind = kind;
  p->s = arena_strndup(p->ctx->arena, p->text + from, p->at - from);
}

static void scan_name(Parse *p) {
  size_t from = p->at;
  while (is_word(p->text[p->at]) || (p->text[p->at] == '.' && is_word(p->text[p->at + 1]))) p->at++;
  take(p, T_NAME, from);
}

static void scan_number(Parse *p) {
  size_t from = p->at;
  const char *s = p->text;
  bool is_float = false;
  while (is_digit(s[p->at])) p->at++;
  if (s[p->at] == '.' && s[p->at + 1] != '.') {
    is_float = true;
    do p->at++;
    while (is_digit(s[p->at]));
  }
  size_t sign = s[p->at] == 'e' || s[p->at] == 'E' ? 1 + (s[p->at + 1] == '-' || s[p->at + 1] == '+') : 0;
  if (sign && is_digit(s[p->at + sign])) {
    is_float = true;
    p->at += sign;
    while (is_digit(s[p->at])) p->at++;
  }
  take(p, is_float ? T_FLOAT : T_INT, from);
  errno = 0;
  p->i = is_float ? 0 : strtoll(p->s, NULL, 10);
  p->f = strtod(p->s, NULL);
  if (is_word(s[p->at])) {
    fail(p, p->loc, "malformed number '%s%c'", p->s, s[p->at]);
  } else if (is_float ? isinf(p->f) : errno == ERANGE) {
    fail(p, p->loc, "the number '%s' is too large", p->s);
  }
}

static void scan_string(Parse *p) {
  char quote = p->text[p->at++];
  size_t from = p->at;
  while (p->at < p->end && p->text[p->at] != quote) p->at++;
  take(p, T_STRING, from);
  if (p->at >= p->end)
    fail(p, p->loc, "string without an end");
  else
    p->at++;
}

static void scan_punct(Parse *p) {
  static const char *const two[] = {"..", "==", "!=", "<=", ">=", "//", "**", "<<", ">>"};
  size_t from = p->at++;
  for (int i = 0; i < ARRAY_LEN(two); i++) {
    if (strncmp(p->text + from, two[i], 2) == 0) p->at = from + 2;
  }
  take(p, T_PUNCT, from);
  if (strcmp(p->s, "..") == 0 && p->text[p->at] == '.') {
    p->at++;
    p->s = "...";
  }
  if (!strchr("()[]+-*/%<>=!&|^~,:.@", *p->s)) fail(p, p->loc, "unexpected character '%s'", p->s);
}

static void next(Parse *p) {
  while (p->at < p->end && (p->text[p->at] == ' ' || p->text[p->at] == '\n' || p->text[p->at] == '\t'))
    p->at++;
  p->loc = yaml_place(&p->cursor, p->at);
  char c = p->text[p->at];
  if (p->at >= p->end || p->failed) {
    take(p, T_END, p->at);
  } else if (is_letter(c)) {
    scan_name(p);
  } else if (is_digit(c) || (c == '.' && is_digit(p->text[p->at + 1]))) {
    scan_number(p);
  } else if (c == '\'' || c == '"') {
    scan_string(p);
  } else {
    scan_punct(p);
  }
}

static bool is(const Parse *p, const char *s) {
  return (p->kind == T_PUNCT || p->kind == T_NAME) && strcmp(p->s, s) == 0;
}

static bool accept(Parse *p, const char *s) {
  if (!is(p, s)) return false;
  next(p);
  return true;
}

// `what` was expected at the current token. Always false.
static bool unexpected(Parse *p, const char *what) {
  const YNode *n = p->cursor.node;
  if (p->kind != T_END) {
    fail(p, p->loc, "expected %s, found '%s'", what, p->s);
  } else if (n->loc.src->text[n->end] == ',') {
    fail(p, p->loc, "expected %s here; inside { } an expression with a comma needs quotes", what);
  } else {
    fail(p, p->loc, "expected %s here", what);
  }
  return false;
}

static bool expect(Parse *p, const char *s) {
  return accept(p, s) || unexpected(p, arena_printf(p->ctx->arena, "'%s'", s));
}

static bool expect_comma(Parse *p, const char *closing) {
  return accept(p, ",") || unexpected(p, arena_printf(p->ctx->arena, "',' or '%s'", closing));
}

static void start(Parse *p, Ctx *c, const YNode *n) {
  *p = (Parse){.ctx = c, .cursor = yaml_cursor(n), .text = n->text, .end = n->n};
  next(p);
}

static bool finish(Parse *p) {
  if (p->kind != T_END) fail(p, p->loc, "unexpected '%s'", p->s);
  return !p->failed;
}

// ---- nodes ----------------------------------------------------------------------------------------------------

static XExpr *node(Parse *p, XKind kind, Loc loc) {
  XExpr *e = NEW(p->ctx->arena, XExpr);
  e->kind = kind;
  e->loc = loc;
  return e;
}

static void add(Parse *p, XExpr *e, const char *key, const XExpr *arg) {
  vec_push(p->ctx->arena, &e->args, arg);
  vec_push(p->ctx->arena, &e->keys, key);
}

static const XExpr *parse_or(Parse *p);
static const XExpr *parse_any(Parse *p);

// ---- labels -----------------------------------------------------------------------------------------------------

// Up to the closing brace; the current token is not used yet.
static const XExpr *parse_braced(Parse *p) {
  p->at++;
  next(p);
  const XExpr *e = parse_or(p);
  // The brace is no token of the language: it ends the text for the expression inside.
  return e;
}

static bool is_label_char(char c) {
  return is_word(c) || c == '.' || c == '-' || c == '/';
}

// The end of the braces that open at `at`.
static size_t closing_brace(const Parse *p, size_t at) {
  while (at < p->end && p->text[at] != '}') at++;
  return at;
}

static void add_text(Parse *p, XName *name, size_t from) {
  if (p->at == from) return;
  XPart part = {.text = arena_strndup(p->ctx->arena, p->text + from, p->at - from)};
  vec_push(p->ctx->arena, &name->parts, part);
}

// layer{i}.conv, from p->at on; goes on behind it without reading a token.
static XName *scan_label(Parse *p) {
  XName *name = NEW(p->ctx->arena, XName);
  while (p->at < p->end && !p->failed) {
    size_t from = p->at;
    while (is_label_char(p->text[p->at])) p->at++;
    add_text(p, name, from);
    if (p->text[p->at] != '{') break;
    size_t close = closing_brace(p, p->at), end = p->end;
    p->end = close;
    XPart part = {.expr = parse_braced(p)};
    if (p->kind != T_END) fail(p, p->loc, "expected '}'");
    if (close >= end) fail(p, p->loc, "'{' without '}'");
    p->end = end;
    p->at = close < end ? close + 1 : end;
    vec_push(p->ctx->arena, &name->parts, part);
  }
  if (!name->parts.n) fail(p, p->loc, "expected a name");
  return name;
}

// ---- primaries --------------------------------------------------------------------------------------------------

// name=value or value.
static bool parse_argument(Parse *p, XExpr *call) {
  const char *key = NULL;
  Loc loc = p->loc;
  const XExpr *e = parse_or(p);
  if (!e) return false;
  if (is(p, "=")) {
    if (e->kind != X_NAME) return fail(p, loc, "the name of an argument is a word") != NULL;
    key = e->text;
    next(p);
    if (!(e = parse_or(p))) return false;
  }
  for (int i = 0; key && i < call->keys.n; i++) {
    if (call->keys.data[i] && strcmp(call->keys.data[i], key) == 0) {
      return fail(p, loc, "'%s' is given twice", key) != NULL;
    }
  }
  if (!key && call->keys.n && call->keys.data[call->keys.n - 1]) {
    return fail(p, loc, "arguments without a name must come first") != NULL;
  }
  add(p, call, key, e);
  return true;
}

static const XExpr *parse_call(Parse *p, const char *name, const XName *label, Loc loc) {
  XExpr *call = node(p, X_CALL, loc);
  call->text = name;
  call->label = label;
  if (!expect(p, "(")) return NULL;
  while (!is(p, ")")) {
    if (call->args.n && !expect_comma(p, ")")) return NULL;
    if (call->args.n && is(p, ")")) break;
    if (!parse_argument(p, call)) return NULL;
  }
  next(p);
  return call;
}

static const XExpr *parse_name(Parse *p) {
  Loc loc = p->loc;
  const char *name = p->s;
  bool labelled = p->text[p->at] == '@';
  if (labelled) {
    p->at++;
    const XName *label = scan_label(p);
    next(p);
    return parse_call(p, name, label, loc);
  }
  next(p);
  if (is(p, "(")) return parse_call(p, name, NULL, loc);
  XExpr *e = node(p, X_NAME, loc);
  e->text = name;
  return e;
}

static const XExpr *parse_list(Parse *p) {
  XExpr *list = node(p, X_LIST, p->loc);
  next(p);
  while (!is(p, "]")) {
    if (list->args.n && !expect_comma(p, "]")) return NULL;
    if (list->args.n && is(p, "]")) break;
    const XExpr *e = parse_any(p);
    if (!e) return NULL;
    add(p, list, NULL, e);
  }
  next(p);
  return list;
}

static const XExpr *parse_literal(Parse *p) {
  XExpr *e = node(p, p->kind == T_INT ? X_INT : p->kind == T_FLOAT ? X_FLOAT : X_STRING, p->loc);
  e->i = p->i;
  e->f = p->f;
  e->text = p->s;
  next(p);
  return e;
}

static const XExpr *parse_primary(Parse *p) {
  if (p->failed) return NULL;
  if (p->kind == T_INT || p->kind == T_FLOAT || p->kind == T_STRING) return parse_literal(p);
  if (p->kind == T_NAME) return parse_name(p);
  if (is(p, "[")) return parse_list(p);
  if (!is(p, "("))
    return fail(p, p->loc, p->kind == T_END ? "expected an expression here" : "unexpected '%s'", p->s);
  next(p);
  const XExpr *e = parse_any(p);
  return e && expect(p, ")") ? e : NULL;
}

// One item between the brackets of x[...]: i, a:b, a:b:c, ...
static const XExpr *parse_subscript(Parse *p) {
  Loc loc = p->loc;
  if (accept(p, "...")) return node(p, X_ELLIPSIS, loc);
  const XExpr *part[3] = {NULL, NULL, NULL};
  int n = 0;
  for (;;) {
    if (!is(p, ":") && !is(p, ",") && !is(p, "]") && !(part[n] = parse_or(p))) return NULL;
    if (n == 2 || !accept(p, ":")) break;
    n++;
  }
  if (n == 0) return part[0] ? part[0] : fail(p, loc, "expected an index");
  XExpr *e = node(p, X_SLICE, loc);
  for (int i = 0; i < 3; i++) add(p, e, NULL, part[i]);
  return e;
}

static const XExpr *parse_postfix(Parse *p) {
  const XExpr *x = parse_primary(p);
  while (x && is(p, "[")) {
    XExpr *e = node(p, X_INDEX, p->loc);
    add(p, e, NULL, x);
    next(p);
    do {
      const XExpr *item = parse_subscript(p);
      if (!item) return NULL;
      add(p, e, NULL, item);
    } while (accept(p, ","));
    if (!expect(p, "]")) return NULL;
    x = e;
  }
  return x;
}

// ---- operators --------------------------------------------------------------------------------------------------

static const XExpr *binary(Parse *p, const char *op, Loc loc, const XExpr *a, const XExpr *b) {
  if (!a || !b) return NULL;
  XExpr *e = node(p, X_BINARY, loc);
  e->text = op;
  add(p, e, NULL, a);
  add(p, e, NULL, b);
  return e;
}

static const XExpr *parse_unary(Parse *p);

static const XExpr *parse_power(Parse *p) {
  const XExpr *x = parse_postfix(p);
  Loc loc = p->loc;
  return x && accept(p, "**") ? binary(p, "**", loc, x, parse_unary(p)) : x;
}

static const XExpr *unary(Parse *p, const XExpr *(*operand)(Parse *)) {
  XExpr *e = node(p, X_UNARY, p->loc);
  e->text = p->s;
  next(p);
  const XExpr *x = operand(p);
  if (!x) return NULL;
  add(p, e, NULL, x);
  return e;
}

static const XExpr *parse_unary(Parse *p) {
  if (p->depth >= MAX_NESTING) return fail(p, p->loc, "the expression is nested too deeply");
  p->depth++;
  const XExpr *e = is(p, "-") || is(p, "+") || is(p, "~") ? unary(p, parse_unary) : parse_power(p);
  p->depth--;
  return e;
}

// Binary operators, loosest first; `not` stands between "and" and the comparisons.
static const char *const LEVELS[][7] = {
    {"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "//", "%"},
};

static const XExpr *parse_level(Parse *p, int level) {
  if (level == ARRAY_LEN(LEVELS)) return parse_unary(p);
  const XExpr *x = parse_level(p, level + 1);
  while (x) {
    const char *const *op = LEVELS[level];
    while (*op && !is(p, *op)) op++;
    if (!*op || p->kind != T_PUNCT) break;
    Loc loc = p->loc;
    next(p);
    x = binary(p, *op, loc, x, parse_level(p, level + 1));
  }
  return x;
}

static const XExpr *parse_compare(Parse *p) {
  static const char *const ops[] = {"==", "!=", "<=", ">=", "<", ">"};
  const XExpr *x = parse_level(p, 0);
  for (int i = 0; x && p->kind == T_PUNCT && i < ARRAY_LEN(ops); i++) {
    Loc loc = p->loc;
    if (accept(p, ops[i])) return binary(p, ops[i], loc, x, parse_level(p, 0));
  }
  return x;
}

static const XExpr *parse_not(Parse *p) {
  if (p->depth >= MAX_NESTING) return fail(p, p->loc, "the expression is nested too deeply");
  p->depth++;
  const XExpr *e = is(p, "not") ? unary(p, parse_not) : parse_compare(p);
  p->depth--;
  return e;
}

static const XExpr *parse_and(Parse *p) {
  const XExpr *x = parse_not(p);
  while (x && is(p, "and")) {
    Loc loc = p->loc;
    next(p);
    x = binary(p, "and", loc, x, parse_not(p));
  }
  return x;
}

static const XExpr *parse_or(Parse *p) {
  const XExpr *x = parse_and(p);
  while (x && is(p, "or")) {
    Loc loc = p->loc;
    next(p);
    x = binary(p, "or", loc, x, parse_and(p));
  }
  return x;
}

// Ranges too, where no argument's name can stand.
static const XExpr *parse_any(Parse *p) {
  const XExpr *x = parse_or(p);
  Loc loc = p->loc;
  if (!x || !accept(p, "..")) return x;
  const XExpr *to = parse_or(p);
  if (!to) return NULL;
  XExpr *e = node(p, X_RANGE, loc);
  add(p, e, NULL, x);
  add(p, e, NULL, to);
  return e;
}

// ---- the public functions ---------------------------------------------------------------------------------------

static const XExpr *list_expr(Ctx *c, const YNode *n) {
  XExpr *list = NEW(c->arena, XExpr);
  *list = (XExpr){.kind = X_LIST, .loc = n->loc};
  for (int i = 0; i < n->items.n; i++) {
    const XExpr *e = yaml_expr(c, n->items.data[i]);
    if (!e) return NULL;
    vec_push(c->arena, &list->args, e);
    vec_push(c->arena, &list->keys, NULL);
  }
  return list;
}

const XExpr *yaml_expr(Ctx *c, const YNode *n) {
  if (n->kind == Y_LIST) return list_expr(c, n);
  if (n->kind == Y_MAP) {
    diag_error(c->diag, n->loc, "an expression is expected here");
    return NULL;
  }
  Parse p;
  start(&p, c, n);
  const XExpr *e = parse_any(&p);
  return e && finish(&p) ? e : NULL;
}

const XName *yaml_name(Ctx *c, const YNode *n) {
  Parse p = {.ctx = c, .cursor = yaml_cursor(n), .text = n->text, .end = n->n, .loc = n->loc};
  const XName *name = scan_label(&p);
  if (!p.failed && p.at < p.end) fail(&p, n->loc, "'%s' is no name", n->text);
  return p.failed ? NULL : name;
}

const XExpr *yaml_signature(Ctx *c, const YNode *n) {
  Parse p;
  start(&p, c, n);
  const XExpr *e = parse_any(&p);
  if (!e || !finish(&p)) return NULL;
  if (e->kind != X_CALL || e->label) return fail(&p, n->loc, "expected name(parameter, ...)");
  for (int i = 0; i < e->args.n; i++) {
    if (!e->keys.data[i] && e->args.data[i]->kind != X_NAME) {
      return fail(&p, e->args.data[i]->loc, "a parameter is a word");
    }
  }
  return e;
}

bool yaml_type(Ctx *c, const YNode *n, XType *out) {
  Parse p;
  start(&p, c, n);
  *out = (XType){.loc = p.loc};
  out->dtype = p.kind == T_NAME ? dtype_parse(p.s, strlen(p.s)) : DT_NONE;
  if (out->dtype == DT_NONE)
    return fail(&p, p.loc, "expected a type like f32[1,3,224,224], found '%s'", p.s) != NULL;
  next(&p);
  if (!expect(&p, "[")) return false;
  while (!is(&p, "]")) {
    if (out->dims.n && !expect(&p, ",")) return false;
    const XExpr *e = parse_level(&p, 0), *bound = NULL;
    if (e && accept(&p, "<=")) bound = parse_level(&p, 0);
    if (!e || p.failed) return false;
    vec_push(c->arena, &out->dims, e);
    vec_push(c->arena, &out->bounds, bound);
  }
  next(&p);
  return finish(&p);
}
