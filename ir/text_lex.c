// text_lex.c: tokens of the IR's text form, and how numbers, strings and names are spelled.
// SPDX-License-Identifier: Apache-2.0
#include "ir/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

// ---- characters -----------------------------------------------------------------------------------------

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name_char(char c) {
  return is_name_start(c) || is_digit(c);
}

static int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// ---- errors ---------------------------------------------------------------------------------------------

static bool verror_at(Lexer *lx, Loc loc, const char *fmt, va_list ap) {
  if (!lx->failed) diag_error(lx->ctx->diag, loc, "%s", arena_vprintf(lx->ctx->arena, fmt, ap));
  lx->failed = true;
  return false;
}

bool lex_error(Lexer *lx, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  verror_at(lx, lx->tok.loc, fmt, ap);
  va_end(ap);
  return false;
}

bool lex_error_at(Lexer *lx, Loc loc, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  verror_at(lx, loc, fmt, ap);
  va_end(ap);
  return false;
}

static const char *token_text(const Lexer *lx) {
  switch (lx->tok.kind) {
  case TOK_END: return "the end of the text";
  case TOK_NEWLINE: return "the end of the line";
  case TOK_STRING: return "a string";
  default: return arena_printf(lx->ctx->arena, "'%.40s'", lx->tok.s);
  }
}

// ---- scanning -------------------------------------------------------------------------------------------

static Loc here(const Lexer *lx) {
  return (Loc){.src = lx->src, .line = lx->line, .col = (int)(lx->p - lx->line_start) + 1};
}

void lex_start(Lexer *lx, Ctx *c, const Source *src, const char *text, size_t n) {
  *lx = (Lexer){.ctx = c, .src = src, .p = text, .end = text + n, .line_start = text, .line = 1};
  if (src && src->text && text >= src->text && text <= src->text + src->len) {
    lx->line_start = src->text;
    for (const char *s = src->text; s < text; s++) {
      if (*s != '\n') continue;
      lx->line++;
      lx->line_start = s + 1;
    }
  }
  lex_next(lx);
}

static bool newline_is_blank(const Lexer *lx) {
  return lx->free_newlines || lx->brackets > 0;
}

static void start_line(Lexer *lx) {
  lx->line++;
  lx->line_start = lx->p;
}

static void skip_blanks(Lexer *lx) {
  while (lx->p < lx->end) {
    char c = *lx->p;
    if (c == '#') {
      while (lx->p < lx->end && *lx->p != '\n') lx->p++;
    } else if (c == '\n' && newline_is_blank(lx)) {
      lx->p++;
      start_line(lx);
    } else if (c == ' ' || c == '\t' || c == '\r') {
      lx->p++;
    } else {
      return;
    }
  }
}

static void set_token(Lexer *lx, TokenKind kind, const char *from) {
  lx->tok.kind = kind;
  lx->tok.n = (size_t)(lx->p - from);
  lx->tok.s = arena_strndup(lx->ctx->arena, from, lx->tok.n);
}

static void scan_name(Lexer *lx) {
  const char *from = lx->p;
  while (lx->p < lx->end) {
    bool dot = *lx->p == '.' && lx->p + 1 < lx->end && is_name_char(lx->p[1]);
    if (!is_name_char(*lx->p) && !dot) break;
    lx->p++;
  }
  set_token(lx, TOK_NAME, from);
}

// The end of a number that starts at s: digits, '.', exponent, or 0x...; "1..5" ends before the dots.
static const char *number_end(const char *s, const char *end, bool *is_float) {
  bool hex = end - s > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
  if (hex) s += 2;
  for (; s < end; s++) {
    bool exponent = hex ? *s == 'p' || *s == 'P' : *s == 'e' || *s == 'E';
    if (*s == '.' && s + 1 < end && s[1] == '.') break;
    if (*s == '.' || exponent) *is_float = true;
    if (exponent && s + 1 < end && (s[1] == '-' || s[1] == '+')) s++;
    if (!(exponent || *s == '.' || *s == '-' || *s == '+' || (hex ? hex_digit(*s) >= 0 : is_digit(*s))))
      break;
    if ((*s == '-' || *s == '+') && !*is_float) break;
  }
  return s;
}

static void scan_number(Lexer *lx) {
  const char *from = lx->p;
  Number *n = &lx->tok.number;
  *n = (Number){0};
  lx->p = number_end(from, lx->end, &n->is_float);
  set_token(lx, TOK_NUMBER, from);
  char *rest;
  errno = 0;
  if (n->is_float) {
    n->value = strtod(lx->tok.s, &rest);
  } else {
    bool hex = lx->tok.n > 1 && (lx->tok.s[1] == 'x' || lx->tok.s[1] == 'X');
    n->magnitude = strtoull(lx->tok.s, &rest, hex ? 16 : 10);
  }
  bool overflow = errno == ERANGE && (!n->is_float || isinf(n->value));
  if (*rest || overflow || (lx->p < lx->end && is_name_start(*lx->p))) {
    lex_error(lx, overflow ? "number '%s' is too large" : "malformed number '%s'", lx->tok.s);
    lx->tok.kind = TOK_BAD;
  }
}

// One escape sequence after the backslash; false if there is no such.
static bool scan_escape(Lexer *lx, char *out) {
  static const char from[] = "nrt\"\\", to[] = "\n\r\t\"\\";
  if (lx->p >= lx->end) return false;
  char c = *lx->p++;
  if (c == 'x' && lx->end - lx->p >= 2 && hex_digit(lx->p[0]) >= 0 && hex_digit(lx->p[1]) >= 0) {
    *out = (char)(hex_digit(lx->p[0]) * 16 + hex_digit(lx->p[1]));
    lx->p += 2;
    return *out != '\0';
  }
  const char *at = c ? strchr(from, c) : NULL;
  if (at) *out = to[at - from];
  return at != NULL;
}

static void scan_string(Lexer *lx) {
  Str text = {.arena = lx->ctx->arena};
  const char *from = lx->p++;
  while (lx->p < lx->end && *lx->p != '"' && *lx->p != '\n') {
    char c = *lx->p++;
    if (c == '\\' && !scan_escape(lx, &c)) lex_error(lx, "unknown escape in a string");
    str_put(&text, &c, 1);
  }
  if (lx->p < lx->end && *lx->p == '"') {
    lx->p++;
  } else {
    lex_error(lx, "string without an end");
  }
  set_token(lx, TOK_STRING, from);
  lx->tok.s = str_text(&text);
  lx->tok.n = text.n;
}

static void scan_punct(Lexer *lx) {
  static const char *const two[] = {"//", "<<", ">>", "<=", ">=", "==", "!=", "+=", "*=", "..", "->"};
  const char *from = lx->p++;
  for (int i = 0; i < ARRAY_LEN(two); i++) {
    if (lx->end - from >= 2 && from[0] == two[i][0] && from[1] == two[i][1]) lx->p = from + 2;
  }
  set_token(lx, TOK_PUNCT, from);
  if (!strchr("()[]{}<>+-*/%&|^!=,.:@$~?;", *from)) {
    lex_error(lx, "unexpected character");
    lx->tok.kind = TOK_BAD;
  } else if (*from == '(' || *from == '[') {
    lx->brackets++;
  } else if ((*from == ')' || *from == ']') && lx->brackets > 0) {
    lx->brackets--;
  }
}

void lex_next(Lexer *lx) {
  skip_blanks(lx);
  bool first = lx->tok.kind == TOK_NEWLINE || lx->statement.line == 0;
  lx->tok.loc = here(lx);
  if (first) lx->statement = lx->tok.loc;
  if (lx->p >= lx->end) {
    set_token(lx, TOK_END, lx->p);
  } else if (*lx->p == '\n') {
    const char *from = lx->p++;
    set_token(lx, TOK_NEWLINE, from);
    start_line(lx);
  } else if (is_name_start(*lx->p)) {
    scan_name(lx);
  } else if (is_digit(*lx->p) || (*lx->p == '.' && lx->p + 1 < lx->end && is_digit(lx->p[1]))) {
    scan_number(lx);
  } else if (*lx->p == '"') {
    scan_string(lx);
  } else {
    scan_punct(lx);
  }
}

// ---- what the parser asks for -----------------------------------------------------------------------------

bool lex_is(const Lexer *lx, const char *s) {
  return (lx->tok.kind == TOK_NAME || lx->tok.kind == TOK_PUNCT) && strcmp(lx->tok.s, s) == 0;
}

bool lex_accept(Lexer *lx, const char *s) {
  if (!lex_is(lx, s)) return false;
  lex_next(lx);
  return true;
}

bool lex_expect(Lexer *lx, const char *s) {
  return lex_accept(lx, s) || lex_error(lx, "expected '%s', found %s", s, token_text(lx));
}

const char *lex_name(Lexer *lx, const char *what) {
  if (lx->tok.kind != TOK_NAME) {
    lex_error(lx, "expected %s, found %s", what, token_text(lx));
    return NULL;
  }
  const char *s = lx->tok.s;
  lex_next(lx);
  return s;
}

const char *lex_string(Lexer *lx, const char *what) {
  if (lx->tok.kind != TOK_STRING) {
    lex_error(lx, "expected %s in quotes, found %s", what, token_text(lx));
    return NULL;
  }
  const char *s = lx->tok.s;
  lex_next(lx);
  return s;
}

bool lex_int(Lexer *lx, int64_t *v) {
  bool negative = lex_accept(lx, "-");
  if (lx->tok.kind != TOK_NUMBER || lx->tok.number.is_float) {
    return lex_error(lx, "expected an integer, found %s", token_text(lx));
  }
  Number n = lx->tok.number;
  n.negative = negative;
  double unused;
  if (!lex_number_as(&n, DT_I64, v, &unused)) return lex_error(lx, "the number does not fit 64 bits");
  lex_next(lx);
  return true;
}

bool lex_hex(Lexer *lx, uint64_t *v) {
  if (lx->tok.kind != TOK_NUMBER || lx->tok.number.is_float) {
    return lex_error(lx, "expected a hexadecimal number, found %s", token_text(lx));
  }
  *v = lx->tok.number.magnitude;
  lex_next(lx);
  return true;
}

bool lex_double(Lexer *lx, double *v, DType t) {
  bool negative = lex_accept(lx, "-");
  if (lex_accept(lx, "nan")) {
    uint64_t bits;
    *v = NAN;
    if (!lex_accept(lx, "(")) return true;
    if (!lex_hex(lx, &bits) || !lex_expect(lx, ")")) return false;
    *v = nan_from_bits(t, bits);
    return isnan(*v) || lex_error(lx, "these bits are not a NaN of this type");
  }
  if (lex_accept(lx, "inf")) {
    *v = negative ? -INFINITY : INFINITY;
    return true;
  }
  if (lx->tok.kind != TOK_NUMBER) return lex_error(lx, "expected a number, found %s", token_text(lx));
  Number n = lx->tok.number;
  *v = n.is_float ? n.value : (double)n.magnitude;
  if (negative) *v = -*v;
  lex_next(lx);
  return true;
}

static bool plain_value_name(const char *s) {
  if (!is_name_char(*s)) return false;
  for (; *s; s++) {
    if (!is_name_char(*s) && !(*s == '.' && is_name_char(s[1]))) return false;
  }
  return true;
}

const char *lex_value_name(Lexer *lx) {
  if (!lex_is(lx, "%")) {
    lex_error(lx, "expected a value (%%name), found %s", token_text(lx));
    return NULL;
  }
  lx->tok.loc = here(lx);
  if (lx->p < lx->end && *lx->p == '"') {
    scan_string(lx);
  } else if (lx->p < lx->end && is_name_char(*lx->p)) {
    scan_name(lx);
  } else {
    lex_error(lx, "expected a value's name after '%%'");
    return NULL;
  }
  const char *s = lx->tok.s;
  lex_next(lx);
  return s;
}

bool lex_end_of_line(Lexer *lx) {
  if (lx->tok.kind == TOK_END || lex_is(lx, "}")) return true;
  if (lx->tok.kind != TOK_NEWLINE) return lex_error(lx, "unexpected %s", token_text(lx));
  lex_skip_newlines(lx);
  return true;
}

void lex_skip_newlines(Lexer *lx) {
  while (lx->tok.kind == TOK_NEWLINE) lex_next(lx);
}

void lex_sync(Lexer *lx) {
  int depth = 0;
  lx->failed = true; // what is skipped needs no reports
  while (lx->tok.kind != TOK_END) {
    if (lex_is(lx, "{")) depth++;
    if (lex_is(lx, "}") && depth-- == 0) break;
    lx->brackets = 0;
    if (lx->tok.kind == TOK_NEWLINE && depth <= 0) break;
    lex_next(lx);
  }
  lx->brackets = 0;
  lex_skip_newlines(lx);
  lx->failed = false;
}

// ---- numbers --------------------------------------------------------------------------------------------

static bool int_fits(const Number *n, DType t) {
  if (t == DT_BOOL) return n->magnitude <= 1 && !n->negative;
  int bits = dtype_bytes(t) * 8;
  if (dtype_class(t) == 'u') {
    return (!n->negative || !n->magnitude) && (bits == 64 || n->magnitude < (uint64_t)1 << bits);
  }
  uint64_t limit = (uint64_t)1 << (bits - 1);
  return n->negative ? n->magnitude <= limit : n->magnitude < limit;
}

bool lex_number_as(const Number *n, DType t, int64_t *i, double *f) {
  if (dtype_is_float(t)) {
    *f = n->is_float ? n->value : n->negative ? -(double)n->magnitude : (double)n->magnitude;
    return true;
  }
  if (n->is_float || !int_fits(n, t)) return false;
  *i = (int64_t)(n->negative ? 0 - n->magnitude : n->magnitude);
  return true;
}

// NaNs keep their bits; they are printed at the width of their type.
static uint64_t nan_bits(DType t, double v) {
  uint64_t bits64;
  memcpy(&bits64, &v, sizeof v);
  float f = (float)v;
  uint32_t bits32;
  memcpy(&bits32, &f, sizeof f);
  switch (t) {
  case DT_F16: return f16_from_f32(f);
  case DT_BF16: return bf16_from_f32(f);
  case DT_F32: return bits32;
  default: return bits64;
  }
}

double nan_from_bits(DType t, uint64_t bits) {
  uint32_t bits32 = (uint32_t)bits;
  float f;
  double v;
  memcpy(&f, &bits32, sizeof f);
  memcpy(&v, &bits, sizeof v);
  switch (t) {
  case DT_F16: return (double)f16_to_f32((uint16_t)bits);
  case DT_BF16: return (double)bf16_to_f32((uint16_t)bits);
  case DT_F32: return (double)f;
  default: return v;
  }
}

static bool reads_back(const char *s, double v, DType t) {
  double back = strtod(s, NULL);
  return t == DT_F64 ? back == v : (float)back == (float)v;
}

// The shortest decimal that reads back as the same number of its type, always with a point or an exponent.
void print_double(Str *out, double v, DType t) {
  if (isnan(v)) {
    uint64_t bits = nan_bits(t, v);
    if (bits == nan_bits(t, NAN)) {
      str_puts(out, "nan");
    } else {
      str_printf(out, "nan(0x%llx)", (unsigned long long)bits);
    }
    return;
  }
  if (isinf(v)) {
    str_puts(out, v < 0 ? "-inf" : "inf");
    return;
  }
  char s[40];
  for (int digits = t == DT_F64 ? 15 : 6; digits <= 17; digits++) {
    snprintf(s, sizeof s, "%.*g", digits, v);
    if (reads_back(s, v, t)) break;
  }
  str_puts(out, s);
  if (!strpbrk(s, ".e")) str_puts(out, ".0");
}

// ---- strings --------------------------------------------------------------------------------------------

void print_string(Str *out, const char *s) {
  str_puts(out, "\"");
  for (; *s; s++) {
    switch (*s) {
    case '"': str_puts(out, "\\\""); break;
    case '\\': str_puts(out, "\\\\"); break;
    case '\n': str_puts(out, "\\n"); break;
    case '\r': str_puts(out, "\\r"); break;
    case '\t': str_puts(out, "\\t"); break;
    default:
      if ((unsigned char)*s < 0x20 || *s == 0x7f) {
        str_printf(out, "\\x%02x", (unsigned char)*s);
      } else {
        str_put(out, s, 1);
      }
    }
  }
  str_puts(out, "\"");
}

void print_value_name(Str *out, const char *name) {
  str_puts(out, "%");
  if (plain_value_name(name)) {
    str_puts(out, name);
  } else {
    print_string(out, name);
  }
}
