// text.h: what the files text_*.c share: lexer, printer and parser of the IR's text form.
// SPDX-License-Identifier: Apache-2.0
//
// Private to ir/text*.c. Printing and parsing of one thing stand in the same file, or side by side. One statement is one
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
  Loc statement;      // of the first token of its line, or lines
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
// The name after '%' (the current token), quoted or not.
const char *lex_value_name(Lexer *lx);
bool lex_end_of_line(Lexer *lx); // expects a newline (or the end, or a '}', which stays)
void lex_skip_newlines(Lexer *lx);
// After an error: goes to the next line, over the block the line opens.
void lex_sync(Lexer *lx);
bool lex_number_as(const Number *n, DType t, int64_t *i, double *f); // false if it does not fit t
double nan_from_bits(DType t, uint64_t bits);

void print_string(Str *out, const char *s); // quoted and escaped
void print_double(Str *out, double v, DType t);
void print_value_name(Str *out, const char *name); // %name, quoted where needed

// ---- text_expr.c, text_expr_parse.c ---------------------------------------------------------------------

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
int expr_prec(ExprOp op);
extern const char EXPR_FORM[]; // by op: the last column of EXPR_OPS
// The first operand that shares its type with the result (GUARD and SELECT start with a condition).
int expr_first_typed(ExprOp op);

typedef struct VarName {
  const char *name;
  int stamp; // valid if it equals the printer's
} VarName;

// How many lines a growing text has, found out piece by piece.
typedef struct LineCount {
  size_t counted; // bytes
  int newlines;   // among them
} LineCount;

// With `names` NULL (a lone expression or graph) values and variables print their own names, not made unique.
typedef struct Printer {
  Ctx *ctx;
  Str *out;
  BlobFile *blobs;
  bool brief;         // for people: large constants are left out
  bool plain;         // for people: no locations, no origins
  const char **names; // of values, by id
  int nnames;
  VarName *vars; // by id, within the current kernel
  int nvars, stamp;
  Map *taken;                  // variable names of the current kernel
  Vec(const Var *) appeared;   // its variables in the order of their first use
  Vec(const Source *) sources; // locations count these
  bool numbers;                // note lines in kernels and statements
  Vec(int *) lines;            // where they were noted, counted from what `out` began with
  LineCount in_body, in_kernel;
} Printer;

void printer_start(Printer *p, Ctx *c, Str *out);
void printer_new_kernel(Printer *p, const Module *m);
void print_expr(Printer *p, const Expr *e);
// e where type t is expected: a constant needs no type.
void print_expr_as(Printer *p, const Expr *e, DType t);
void print_sum(Printer *p, const Expr *e); // an i64 that parse_sum reads
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
  const char *name;
  Loc loc;
} PendingBase;

typedef struct Parser {
  Ctx *ctx;
  Lexer lx;
  Module *module;
  bool raw;        // keep expressions as written
  bool own_places; // everything's location is where it stands in the text, not what the text says of it
  int depth;
  Map *values;  // by name
  Map *vars;    // of the current kernel
  Map *syms;    // of the module
  Map *kernels; // name -> node
  Vec(Node *) kernel_nodes;
  Map *written;  // kernels whose block was read
  Map *reserved; // variable name -> its number, stated by `order`
  Vec(SharedExpr) shared;
  const Expr *(*lookup)(void *data, const char *name); // formulas
  void *lookup_data;
  Vec(const Source *) sources;
  Map *files; // mapped constants: path -> MappedFile
  Vec(PendingBase) bases;
  int next[3]; // counters to go on from: values, nodes, variables
  bool seen_main;
} Parser;

// An expression of type `want`, or of its own type with DT_NONE (bare numbers are then i64 or f32).
const Expr *parse_expr(Parser *p, DType want);
// i<4, j<8: declares or finds the variables. Stops before the closing bracket.
bool parse_dims(Parser *p, const Var *const **vars, int *n);
const Expr *parse_sum(Parser *p);     // an i64 without comparisons
const Var *parse_var_decl(Parser *p); // i<4
const Var *declare_let(Parser *p, const char *name, DType t, const Expr *value);
void reserve_var(Parser *p, const char *name);
Value *parse_value_ref(Parser *p); // %name, which must be known
// Whether op can be applied to operands of these types; says why not.
const char *expr_type_error(ExprOp op, const DType *t, int n);

// ---- text_type.c: types, layouts, places, attributes, locations ------------------------------------------

void print_type(Printer *p, const Type *t);
bool parse_type(Parser *p, Type *t);
const Expr *parse_extent(Parser *p);            // of numbers and symbols, in normal form
void print_layout(Printer *p, const Layout *l); // nothing if plain
bool parse_layout(Parser *p, const Layout **l);
void print_place(Printer *p, const Value *v); // space, offset, base; nothing if not planned
bool parse_place(Parser *p, Value *v);
void print_attr(Printer *p, const Attr *a);         // name=value
bool parse_attr_value(Parser *p, Attr *a);          // name and kind are set
void print_loc(Printer *p, Loc loc, Loc enclosing); // nothing if they are the same
// `enclosing` if there is none: the text's own position, or that of what it stands in.
bool parse_loc(Parser *p, Loc *loc, Loc enclosing);

// ---- text_const.c -----------------------------------------------------------------------------------------

void print_tensor(Printer *p, const Tensor *t);
const Tensor *parse_tensor(Parser *p, const Type *t);

// ---- text_graph.c -----------------------------------------------------------------------------------------

extern const Loc OWN_PLACE; // as `enclosing`: always print; when parsed, the text's own position counts
bool is_own_place(Loc loc);
void print_decl(Printer *p, const Value *v); // %name: type layout place
// Declares what print_decl printed. Values and regions share one name space.
Value *parse_decl(Parser *p);
void print_call(Printer *p, const Node *n); // op(operands) attributes
Node *parse_call_line(Parser *p, Loc loc);  // its results are the caller's business
void print_graph_block(Printer *p, const Graph *g, int indent);
Graph *parse_graph_block(Parser *p, Graph *parent);
void print_name(Printer *p, const char *name); // quoted where it is no plain name
const char *parse_name(Parser *p, const char *what);
void print_indent(Printer *p, int indent);

// ---- text_kernel.c ----------------------------------------------------------------------------------------

void print_kernel_block(Printer *p, const Module *m, const Node *n);
// The variables of the node's kernel get the names that printing it gives them.
void name_kernel_vars(Printer *p, const Module *m, const Node *n);
bool parse_kernel_block(Parser *p);
bool parse_schedule(Parser *p, Schedule *s);

// ---- text_loops.c -----------------------------------------------------------------------------------------

// Notes the current line in *line, if lines are wanted.
void note_line(Printer *p, int *line);
int count_lines(LineCount *k, const Str *text); // complete ones
void print_stmts(Printer *p, const Stmt *s, int indent, Loc enclosing);
bool parse_stmts(Parser *p, Stmt **first, Loc enclosing); // up to the closing brace
bool parse_store_op(Parser *p, StoreKind *op);
extern const char *const STORE_OPS[];

#endif
