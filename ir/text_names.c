// text_names.c: names of variables and values in text: unique when printed, resolved when parsed.
// SPDX-License-Identifier: Apache-2.0
#include "ir/text.h"

// ---- printing ----------------------------------------------------------------------------------------

void printer_start(Printer *p, Ctx *c, Str *out) {
  *p = (Printer){.ctx = c, .out = out};
}

static const char *const RESERVED[] = {"true", "false", "inf", "nan", "if", "else"};

void printer_new_kernel(Printer *p, const Module *m) {
  if (!p->vars) {
    p->nvars = p->ctx->next_var + 1;
    p->vars = NEW_ARRAY(p->ctx->arena, VarName, p->nvars);
  }
  p->stamp++;
  p->appeared.n = 0;
  p->taken = map_new(p->ctx->arena);
  for (int i = 0; i < ARRAY_LEN(RESERVED); i++) map_put(p->taken, RESERVED[i], NEW(p->ctx->arena, int));
  for (int i = 0; m && i < m->syms.n; i++) {
    map_put(p->taken, m->syms.data[i]->name, NEW(p->ctx->arena, int));
  }
}

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The name made one that the lexer reads as such.
static const char *clean_name(Ctx *c, const char *name) {
  if (!name || !*name) return "v";
  char *s = is_letter(*name) ? arena_strdup(c->arena, name) : arena_printf(c->arena, "v%s", name);
  for (char *t = s; *t; t++) {
    bool dot = *t == '.' && (is_letter(t[1]) || is_digit(t[1]));
    if (!is_letter(*t) && !is_digit(*t) && !dot) *t = '_';
  }
  return s;
}

// A name that is not taken: `base`, base1, base2 ... The map counts how often a base was asked for.
static const char *fresh_name(Printer *p, const char *base) {
  int *count = map_get(p->taken, base);
  if (!count) {
    map_put(p->taken, base, NEW(p->ctx->arena, int));
    return base;
  }
  const char *gap = is_digit(base[strlen(base) - 1]) ? "_" : "";
  for (;;) {
    char *name = arena_printf(p->ctx->arena, "%s%s%d", base, gap, ++*count);
    if (map_get(p->taken, name)) continue;
    map_put(p->taken, name, NEW(p->ctx->arena, int));
    return name;
  }
}

void print_var(Printer *p, const Var *v) {
  if (!p->vars || v->id >= p->nvars) {
    str_puts(p->out, v->name ? v->name : "v");
    return;
  }
  VarName *n = &p->vars[v->id];
  if (n->stamp != p->stamp) {
    *n = (VarName){fresh_name(p, clean_name(p->ctx, v->name)), p->stamp};
    vec_push(p->ctx->arena, &p->appeared, v);
  }
  str_puts(p->out, n->name);
}

void print_value_ref(Printer *p, const Value *v) {
  if (p->names && v->id < p->nnames && p->names[v->id]) {
    str_puts(p->out, p->names[v->id]);
  } else {
    print_value_name(p->out, v->name ? v->name : "");
  }
}

void print_dims(Printer *p, const Var *const *vars, int n) {
  for (int i = 0; i < n; i++) {
    if (i) str_puts(p->out, ", ");
    print_var(p, vars[i]);
    str_puts(p->out, "<");
    print_sum(p, vars[i]->extent);
  }
}

// ---- parsing -------------------------------------------------------------------------------------

void reserve_var(Parser *p, const char *name) {
  if (!p->reserved) p->reserved = map_new(p->ctx->arena);
  int *id = NEW(p->ctx->arena, int);
  *id = p->ctx->next_var++;
  map_put(p->reserved, name, id);
}

// Gives v the number that its name reserved, if it did.
static const Var *add_var(Parser *p, Var *v) {
  int *id = p->reserved ? map_get(p->reserved, v->name) : NULL;
  if (id && *id >= 0) {
    v->id = *id;
    *id = -1;           // once
    p->ctx->next_var--; // the number it was made with is free again
  }
  map_put(p->vars, v->name, v);
  return v;
}

const Var *declare_let(Parser *p, const char *name, DType t, const Expr *value) {
  return add_var(p, var_new_let(p->ctx, name, t, value));
}

// A name stands for one variable as long as it is declared with the same extent.
static const Var *declare_var(Parser *p, const char *name, const Expr *extent) {
  if (!p->vars) p->vars = map_new(p->ctx->arena);
  const Var *old = map_get(p->vars, name);
  if (old && old->extent == extent) return old;
  return add_var(p, var_new(p->ctx, name, extent));
}

const Var *parse_var_decl(Parser *p) {
  const char *name = lex_name(&p->lx, "a variable");
  if (!name || !lex_expect(&p->lx, "<")) return NULL;
  const Expr *extent = parse_sum(p);
  return extent ? declare_var(p, name, extent) : NULL;
}

bool parse_dims(Parser *p, const Var *const **vars, int *n) {
  Vec(const Var *) list = {0};
  while (p->lx.tok.kind == TOK_NAME || lex_is(&p->lx, ",")) {
    if (list.n && !lex_expect(&p->lx, ",")) return false;
    const Var *v = parse_var_decl(p);
    if (!v) return false;
    vec_push(p->ctx->arena, &list, v);
  }
  *vars = (const Var *const *)list.data;
  *n = list.n;
  return true;
}

Value *parse_value_ref(Parser *p) {
  Loc loc = p->lx.tok.loc;
  const char *name = lex_value_name(&p->lx);
  if (!name) return NULL;
  Value *v = p->values ? map_get(p->values, name) : NULL;
  if (!v) lex_error_at(&p->lx, loc, "there is no value %%%s here", name);
  return v;
}
