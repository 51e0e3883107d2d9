// ctx.c: the context of a compilation, the module and its symbols.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"
#include "ir/ir.h"

Ctx *ctx_new(Arena *a, Diag *d) {
  Ctx *c = NEW(a, Ctx);
  c->arena = a;
  c->diag = d;
  c->exprs = expr_table_new(a);
  return c;
}

Module *module_new(Ctx *c, const char *name) {
  Module *m = NEW(c->arena, Module);
  m->ctx = c;
  m->name = arena_strdup(c->arena, name);
  m->level = LEVEL_GRAPH;
  m->target = target_default(c);
  m->main = graph_new(m, "main", NULL);
  return m;
}

Sym *module_sym(Module *m, const char *name, int64_t min, int64_t max, Loc loc) {
  for (int i = 0; i < m->syms.n; i++)
    if (strcmp(m->syms.data[i]->name, name) == 0) return m->syms.data[i];
  Sym *s = NEW(m->ctx->arena, Sym);
  *s = (Sym){
      .name = arena_strdup(m->ctx->arena, name), .index = m->syms.n, .min = min, .max = max, .loc = loc};
  vec_push(m->ctx->arena, &m->syms, s);
  return s;
}
