// text_loops.c: loop nests as text.
// SPDX-License-Identifier: Apache-2.0
#include "ir/text.h"

const char *const STORE_OPS[] = {"=", "+=", "*=", "min=", "max="};

static const char *const LOOPS[] = {"for", "parallel", "unroll", "vector"};

// ---- printing ---------------------------------------------------------------------------------------------

static void print_block(Printer *p, const Stmt *s, int indent, Loc enclosing) {
  str_puts(p->out, "{\n");
  print_stmts(p, s, indent + 1, enclosing);
  print_indent(p, indent);
  str_puts(p->out, "}");
}

static void print_loop(Printer *p, const Stmt *s, int indent, Loc enclosing) {
  str_printf(p->out, "%s ", LOOPS[s->loop.kind]);
  print_dims(p, &s->loop.var, 1);
  print_loc(p, s->loc, enclosing);
  str_puts(p->out, " ");
  print_block(p, s->loop.body, indent, s->loc);
}

static void print_store(Printer *p, const Stmt *s, Loc enclosing) {
  print_value_ref(p, s->store.dst);
  str_puts(p->out, "[");
  for (int i = 0; i < s->store.nindex; i++) {
    if (i) str_puts(p->out, ", ");
    print_expr(p, s->store.index[i]);
  }
  str_printf(p->out, "] %s ", STORE_OPS[s->store.op]);
  print_expr_as(p, s->store.value, s->store.dst->type.dtype);
  print_loc(p, s->loc, enclosing);
}

static void print_let(Printer *p, const Stmt *s, Loc enclosing) {
  str_puts(p->out, "let ");
  print_var(p, s->let.var);
  str_printf(p->out, ": %s = ", dtype_name(s->let.var->dtype));
  print_expr_as(p, s->let.value, s->let.var->dtype);
  print_loc(p, s->loc, enclosing);
}

static void print_if(Printer *p, const Stmt *s, int indent, Loc enclosing) {
  str_puts(p->out, "if ");
  print_expr_as(p, s->cond.cond, DT_BOOL);
  print_loc(p, s->loc, enclosing);
  str_puts(p->out, " ");
  print_block(p, s->cond.then, indent, s->loc);
  if (!s->cond.otherwise) return;
  str_puts(p->out, " else ");
  print_block(p, s->cond.otherwise, indent, s->loc);
}

static void print_alloc(Printer *p, const Stmt *s, Loc enclosing) {
  str_puts(p->out, "alloc");
  print_loc(p, s->loc, enclosing);
  str_puts(p->out, " ");
  print_decl(p, s->alloc);
  print_loc(p, s->alloc->loc, s->loc);
}

int count_lines(LineCount *k, const Str *text) {
  for (; k->counted < text->n; k->counted++) k->newlines += text->s[k->counted] == '\n';
  return k->newlines;
}

void note_line(Printer *p, int *line) {
  if (!p->numbers) return;
  *line = count_lines(&p->in_kernel, p->out) + 1;
  vec_push(p->ctx->arena, &p->lines, line);
}

static void print_prefetch(Printer *p, const Stmt *s, Loc enclosing) {
  str_puts(p->out, "prefetch ");
  print_value_ref(p, s->prefetch.of);
  str_puts(p->out, "[");
  print_expr(p, s->prefetch.at);
  str_puts(p->out, "]");
  print_loc(p, s->loc, enclosing);
}

void print_stmts(Printer *p, const Stmt *s, int indent, Loc enclosing) {
  for (; s; s = s->next) {
    note_line(p, &((Stmt *)s)->line);
    print_indent(p, indent);
    switch (s->kind) {
    case S_FOR: print_loop(p, s, indent, enclosing); break;
    case S_STORE: print_store(p, s, enclosing); break;
    case S_LET: print_let(p, s, enclosing); break;
    case S_IF: print_if(p, s, indent, enclosing); break;
    case S_ALLOC: print_alloc(p, s, enclosing); break;
    case S_PREFETCH: print_prefetch(p, s, enclosing); break;
    }
    str_puts(p->out, "\n");
  }
}

void stmt_print(Str *out, const Stmt *s, int indent) {
  Printer p = {.out = out};
  print_stmts(&p, s, indent, NO_LOC);
}

// ---- parsing ----------------------------------------------------------------------------------------------

static bool parse_block(Parser *p, Stmt **first, Loc enclosing) {
  if (!lex_expect(&p->lx, "{")) return false;
  lex_skip_newlines(&p->lx);
  return parse_stmts(p, first, enclosing) && lex_expect(&p->lx, "}");
}

static bool is_loop(const Lexer *lx, LoopKind *kind) {
  for (int i = 0; i < ARRAY_LEN(LOOPS); i++) {
    if (lex_is(lx, LOOPS[i])) return *kind = (LoopKind)i, true;
  }
  return false;
}

static bool parse_loop(Parser *p, Stmt *s, LoopKind kind, Loc enclosing) {
  lex_next(&p->lx);
  s->kind = S_FOR;
  s->loop.kind = kind;
  s->loop.var = parse_var_decl(p);
  return s->loop.var && parse_loc(p, &s->loc, enclosing) && parse_block(p, &s->loop.body, s->loc);
}

bool parse_store_op(Parser *p, StoreKind *op) {
  Lexer *lx = &p->lx;
  *op = STORE_SET;
  if (lex_accept(lx, "+=")) return *op = STORE_ADD, true;
  if (lex_accept(lx, "*=")) return *op = STORE_MUL, true;
  if (lex_accept(lx, "min"))
    *op = STORE_MIN;
  else if (lex_accept(lx, "max"))
    *op = STORE_MAX;
  return lex_expect(lx, "=");
}

static bool parse_store(Parser *p, Stmt *s, Loc enclosing) {
  s->kind = S_STORE;
  s->store.dst = parse_value_ref(p);
  if (!s->store.dst || !lex_expect(&p->lx, "[")) return false;
  const Expr *index[MAX_PHYS_RANK];
  int n = 0;
  while (!lex_is(&p->lx, "]")) {
    if (n && !lex_expect(&p->lx, ",")) return false;
    if (n == MAX_PHYS_RANK) return lex_error(&p->lx, "more than %d indices", MAX_PHYS_RANK);
    if (!(index[n++] = parse_expr(p, DT_I64))) return false;
  }
  lex_next(&p->lx);
  s->store.nindex = n;
  s->store.index = arena_dup(p->ctx->arena, index, sizeof *index * (size_t)n);
  if (!parse_store_op(p, &s->store.op)) return false;
  s->store.value = parse_expr(p, s->store.dst->type.dtype);
  return s->store.value && parse_loc(p, &s->loc, enclosing);
}

static bool parse_let(Parser *p, Stmt *s, Loc enclosing) {
  lex_next(&p->lx);
  s->kind = S_LET;
  const char *name = lex_name(&p->lx, "a variable");
  if (!name || !lex_expect(&p->lx, ":")) return false;
  const char *type = lex_name(&p->lx, "a type");
  DType t = type ? dtype_parse(type, strlen(type)) : DT_NONE;
  if (t == DT_NONE) return lex_error(&p->lx, "unknown element type");
  if (!lex_expect(&p->lx, "=") || !(s->let.value = parse_expr(p, t))) return false;
  s->let.var = declare_let(p, name, t, s->let.value);
  return parse_loc(p, &s->loc, enclosing);
}

static bool parse_if(Parser *p, Stmt *s, Loc enclosing) {
  lex_next(&p->lx);
  s->kind = S_IF;
  if (!(s->cond.cond = parse_expr(p, DT_BOOL)) || !parse_loc(p, &s->loc, enclosing)) return false;
  if (!parse_block(p, &s->cond.then, s->loc)) return false;
  return !lex_accept(&p->lx, "else") || parse_block(p, &s->cond.otherwise, s->loc);
}

static bool parse_alloc(Parser *p, Stmt *s, Loc enclosing) {
  lex_next(&p->lx);
  s->kind = S_ALLOC;
  if (!parse_loc(p, &s->loc, enclosing)) return false;
  s->alloc = parse_decl(p);
  return s->alloc && parse_loc(p, &s->alloc->loc, s->loc);
}

static bool parse_prefetch(Parser *p, Stmt *s, Loc enclosing) {
  lex_next(&p->lx);
  s->kind = S_PREFETCH;
  s->prefetch.of = parse_value_ref(p);
  if (!s->prefetch.of || !lex_expect(&p->lx, "[")) return false;
  s->prefetch.at = parse_expr(p, DT_I64);
  return s->prefetch.at && lex_expect(&p->lx, "]") && parse_loc(p, &s->loc, enclosing);
}

static bool parse_stmt(Parser *p, Stmt *s, Loc enclosing) {
  LoopKind kind;
  if (is_loop(&p->lx, &kind)) return parse_loop(p, s, kind, enclosing);
  if (lex_is(&p->lx, "let")) return parse_let(p, s, enclosing);
  if (lex_is(&p->lx, "if")) return parse_if(p, s, enclosing);
  if (lex_is(&p->lx, "alloc")) return parse_alloc(p, s, enclosing);
  if (lex_is(&p->lx, "prefetch")) return parse_prefetch(p, s, enclosing);
  if (lex_is(&p->lx, "%")) return parse_store(p, s, enclosing);
  return lex_error(&p->lx, "expected a statement");
}

static bool parse_stmts_inner(Parser *p, Stmt **first, Loc enclosing) {
  while (!lex_is(&p->lx, "}") && p->lx.tok.kind != TOK_END) {
    Stmt *s = NEW(p->ctx->arena, Stmt);
    if (!parse_stmt(p, s, enclosing) || !lex_end_of_line(&p->lx)) return false;
    *first = s;
    first = &s->next;
  }
  return true;
}

bool parse_stmts(Parser *p, Stmt **first, Loc enclosing) {
  *first = NULL;
  if (p->depth >= MAX_NESTING) return lex_error(&p->lx, "blocks nested more than %d deep", MAX_NESTING);
  p->depth++;
  bool ok = parse_stmts_inner(p, first, enclosing);
  p->depth--;
  return ok;
}
