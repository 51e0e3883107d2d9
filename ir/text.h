// text.h: what the files text_*.c share: lexer, printer and parser of the IR's text form.
// SPDX-License-Identifier: Apache-2.0
//
// Private to ir/text*.c. Printing and parsing of one thing stand in the same file. One statement is one
// line; inside ( ) and [ ] a line may be broken. `#` starts a comment.
#ifndef INGOT_TEXT_H
#define INGOT_TEXT_H

#include "ir/ir.h"

// ---- text_lex.c ---------------------------------------------------------------------------------------

typedef enum TokenKind {
  TOK_END,
  TOK_NEWLINE,
  TOK_NAME,   // letters, digits, '_' and inner '.'
  TOK_NUMBER, // see Number
  TOK_STRING, // text in `s`, unescaped
  TOK_PUNCT,  // spelling in `s`, one or two characters
  TOK_BAD     // already reported
} TokenKind;

typedef struct Number {
  bool is_float, negative;
  uint64_t magnitude; // of an integer
  double value;       // of a float, with its sign
} Number;

typedef struct Token {
  TokenKind kind;
  Loc loc;
  const char *s; // NUL-terminated
  size_t n;
  Number number;
} Token;

typedef struct Lexer {
  Ctx *ctx;
  const Source *src;
  const char *p, *end, *line_start;
  int line;
  int brackets;       // open ( and [: newlines inside are blanks
  bool free_newlines; // newlines are blanks everywhere
  Token tok;          // current
  bool failed;        // something was reported
} Lexer;

// Starts at `text`, which either lies inside src->text or stands alone (src then only names it).
void lex_start(Lexer *lx, Ctx *c, const Source *src, const char *text, size_t n);
void lex_next(Lexer *lx);
bool lex_is(const Lexer *lx, const char *punct_or_name);
bool lex_accept(Lexer *lx, const char *punct_or_name);
bool lex_expect(Lexer *lx, const char *punct_or_name); // reports
// Reports at the current token, once per statement: further calls before lex_sync are silent.
bool lex_error(Lexer *lx, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool lex_error_at(Lexer *lx, Loc loc, const char *fmt, ...) PRINTF_LIKE(3, 4);
const char *lex_name(Lexer *lx, const char *what); // NULL after reporting
const char *lex_string(Lexer *lx, const char *what);
bool lex_int(Lexer *lx, int64_t *v); // with sign
bool lex_hex(Lexer *lx, uint64_t *v);
bool lex_double(Lexer *lx, double *v, DType t); // integers, inf and nan too
// The name after '%' (the current token): quoted or not. *anonymous: a bare number.
const char *lex_value_name(Lexer *lx, bool *anonymous);
bool lex_end_of_line(Lexer *lx); // expects a newline (or the end, or a '}', which stays)
void lex_skip_newlines(Lexer *lx);
// After an error: goes to the next line, over the block the line opens.
void lex_sync(Lexer *lx);
bool lex_number_as(const Number *n, DType t, int64_t *i, double *f); // false if it does not fit t
double nan_from_bits(DType t, uint64_t bits);

void print_string(Str *out, const char *s); // quoted and escaped
void print_double(Str *out, double v, DType t);
void print_value_name(Str *out, const char *name); // %name, quoted where needed

// ---- text_expr.c ----------------------------------------------------------------------------------------

typedef struct VarName {
  const char *name;
  int stamp; // valid if it equals the printer's
} VarName;

// With `names` NULL (a lone expression or graph) values and variables print their own names, not made unique.
typedef struct Printer {
  Ctx *ctx;
  Str *out;
  BlobFile *blobs;
  bool inline_all;    // constants of any size are printed inline
  const char **names; // of values, by id
  int nnames;
  VarName *vars; // by id, within the current kernel
  int nvars, stamp;
  Map *taken;                  // variable names of the current kernel
  Vec(const Source *) sources; // locations count these
} Printer;

void printer_start(Printer *p, Ctx *c, Str *out);
void printer_new_kernel(Printer *p, const Module *m);
void print_expr(Printer *p, const Expr *e);
// e where type t is expected: a constant needs no type.
void print_expr_as(Printer *p, const Expr *e, DType t);
void print_var(Printer *p, const Var *v);
void print_dims(Printer *p, const Var *const *vars, int n); // i<4, j<T
void print_value_ref(Printer *p, const Value *v);

typedef struct SharedExpr {
  int64_t label;
  const Expr *e;
} SharedExpr;

// A value that lives inside another one, which may stand further down.
typedef struct PendingBase {
  Value *value;
  const char *key;
  Loc loc;
} PendingBase;

typedef struct Parser {
  Ctx *ctx;
  Lexer lx;
  Module *module;
  bool raw; // keep expressions as written
  int depth;
  Map *values;  // by name, with the '%'
  Map *vars;    // of the current kernel
  Map *syms;    // of the module
  Map *kernels; // name -> node
  Vec(SharedExpr) shared;
  const Expr *(*lookup)(void *data, const char *name); // formulas
  void *lookup_data;
  Vec(const Source *) sources;
  Map *files; // mapped constants: path -> MappedFile
  Vec(PendingBase) bases;
} Parser;

// An expression of type `want`, or of its own type with DT_NONE (bare numbers are then i64 or f32).
const Expr *parse_expr(Parser *p, DType want);
// i<4, j<8: declares or finds the variables. Stops before the closing bracket.
bool parse_dims(Parser *p, const Var *const **vars, int *n);
const Expr *parse_sum(Parser *p);     // an i64 without comparisons
const Var *parse_var_decl(Parser *p); // i<4
Value *parse_value_ref(Parser *p);    // %name, which must be known
// Whether op can be applied to operands of these types; says why not.
const char *expr_type_error(ExprOp op, const DType *t, int n);

// ---- text_type.c: types, layouts, places, attributes, locations ------------------------------------------

void print_type(Printer *p, const Type *t);
bool parse_type(Parser *p, Type *t);
void print_layout(Printer *p, const Layout *l); // nothing if plain
bool parse_layout(Parser *p, const Layout **l);
void print_place(Printer *p, const Value *v); // space, offset, base; nothing if not planned
bool parse_place(Parser *p, Value *v);
void print_attr(Printer *p, const Attr *a);         // name=value
bool parse_attr_value(Parser *p, Attr *a);          // name and kind are set
void print_loc(Printer *p, Loc loc, Loc enclosing); // nothing if they are the same
bool parse_loc(Parser *p, Loc *loc, Loc enclosing); // enclosing if there is none

// ---- text_const.c -----------------------------------------------------------------------------------------

void print_tensor(Printer *p, const Tensor *t);
const Tensor *parse_tensor(Parser *p, const Type *t);

// ---- text_graph.c, text_kernel.c -------------------------------------------------------------------------

void print_value_decl(Printer *p, const Value *v); // %name: type layout space
Value *parse_value_decl(Parser *p);                // declares it; def to be set by the caller
bool parse_declare(Parser *p, Loc loc, const char *name, Value *v);
void print_graph(Printer *p, const Graph *g, int indent);
bool parse_graph(Parser *p, Graph *g);
void print_kernel(Printer *p, const Node *n);
bool parse_kernel(Parser *p);
void print_indent(Printer *p, int indent);
void print_stmts(Printer *p, const Stmt *s, int indent);
bool parse_block(Parser *p, Stmt **first); // { ... }

#endif
