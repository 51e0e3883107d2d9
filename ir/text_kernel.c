// text_kernel.c: kernels as text: stages, schedule, routine, body.
// SPDX-License-Identifier: Apache-2.0
#include "ir/text.h"

// ---- printing ---------------------------------------------------------------------------------------------

void schedule_print(Str *out, const Schedule *s) {
  Printer p = {.out = out};
  print_name(&p, s->kind);
  str_puts(out, "(");
  for (int i = 0; i < s->params.n; i++) {
    if (i) str_puts(out, ", ");
    print_name(&p, s->params.data[i].name);
    str_printf(out, "=%lld", (long long)s->params.data[i].value);
  }
  str_puts(out, ")");
}

static void print_schedule(Printer *p, const Schedule *s) {
  if (!s->kind) return;
  str_puts(p->out, "  schedule ");
  schedule_print(p->out, s);
  str_puts(p->out, s->tuned ? " tuned\n" : "\n");
}

static void print_routine(Printer *p, const Kernel *k, Loc enclosing) {
  if (!k->routine) return;
  str_puts(p->out, "  routine ");
  print_name(p, k->routine);
  if (k->routine_node) {
    str_puts(p->out, " = ");
    print_call(p, k->routine_node);
    print_loc(p, k->routine_node->loc, enclosing);
  }
  str_puts(p->out, "\n");
}

static void print_indices(Printer *p, const Stage *s) {
  str_puts(p->out, "[");
  for (int i = 0; i < s->out->type.rank; i++) {
    if (i) str_puts(p->out, ", ");
    print_expr(p, s->index[i]);
  }
  str_puts(p->out, "]");
}

// %out[i<4, j<8] = value, or with free indices: scatter (k<9) %out[%at[k]] += value.
static void print_stage(Printer *p, const Stage *s, Loc enclosing) {
  Str *out = p->out;
  if (s->index) {
    str_puts(out, "  scatter (");
    print_dims(p, s->dims, s->ndims);
    str_puts(out, ") ");
    print_value_ref(p, s->out);
    print_indices(p, s);
  } else {
    str_puts(out, "  ");
    print_value_ref(p, s->out);
    str_puts(out, "[");
    print_dims(p, s->dims, s->ndims);
    str_puts(out, "]");
  }
  str_printf(out, " %s ", STORE_OPS[s->store]);
  print_expr_as(p, s->value, s->out->type.dtype);
  if (s->at) str_printf(out, " at %d", s->at);
  print_loc(p, s->loc, enclosing);
  str_puts(out, "\n");
}

static void print_figure(Printer *p, const char *name, int64_t v) {
  if (v) str_printf(p->out, " %s=%lld", name, (long long)v);
}

static void print_content(Printer *p, const Node *n) {
  const Kernel *k = n->kernel;
  print_schedule(p, &k->schedule);
  print_routine(p, k, n->loc);
  for (int i = 0; i < k->locals.n; i++) {
    str_puts(p->out, "  local ");
    print_decl(p, k->locals.data[i]);
    print_loc(p, k->locals.data[i]->loc, n->loc);
    str_puts(p->out, "\n");
  }
  for (int i = 0; i < k->stages.n; i++) print_stage(p, &k->stages.data[i], n->loc);
  if (!k->body) return;
  str_puts(p->out, "  body {\n");
  print_stmts(p, k->body, 2, n->loc);
  str_puts(p->out, "  }\n");
}

// Simplification orders terms by the age of their variables. Where age is not the order of appearance, it is
// stated, so that a text that is read back goes on exactly as the original would.
static void print_order(Printer *p) {
  const Var *last = NULL;
  bool sorted = true;
  for (int i = 0; i < p->appeared.n; i++) {
    const Var *v = p->appeared.data[i];
    sorted &= !last || last->id < v->id;
    last = v;
  }
  if (sorted) return;
  str_puts(p->out, "  order");
  for (int id = 0, n = 0; id < p->nvars; id++) {
    if (p->vars[id].stamp == p->stamp) str_printf(p->out, "%s %s", n++ ? "," : "", p->vars[id].name);
  }
  str_puts(p->out, "\n");
}

// Variables get the names that they were printed with.
static void keep_names(const Printer *p) {
  for (int i = 0; i < p->appeared.n; i++) {
    const Var *v = p->appeared.data[i];
    ((Var *)v)->name = p->vars[v->id].name;
  }
}

// The content is about to follow `out`: its lines count from there.
static void move_lines(Printer *p, int first) {
  int before = count_lines(&p->in_body, p->out);
  for (int i = first; i < p->lines.n; i++) *p->lines.data[i] += before;
  keep_names(p);
}

void print_kernel_block(Printer *p, const Module *m, const Node *n) {
  const Kernel *k = n->kernel;
  Str content = {.arena = p->out->arena}, *out = p->out;
  if (p->ctx) printer_new_kernel(p, m);
  p->out = &content;
  p->in_kernel = (LineCount){0};
  int first = p->lines.n;
  print_content(p, n);
  p->out = out;
  if (p->numbers) ((Kernel *)k)->line = count_lines(&p->in_body, out) + 1;
  str_puts(out, "kernel ");
  print_name(p, k->name);
  print_figure(p, "parallel", k->parallel);
  print_figure(p, "scratch", k->scratch);
  print_figure(p, "flops", k->flops);
  print_figure(p, "bytes", k->bytes);
  str_puts(out, " {\n");
  print_order(p);
  if (p->numbers) move_lines(p, first);
  if (p->numbers) vec_push(p->ctx->arena, &p->lines, &((Kernel *)k)->line);
  str_put(out, str_text(&content), content.n);
  str_puts(out, "}\n");
}

void name_kernel_vars(Printer *p, const Module *m, const Node *n) {
  Str content = {.arena = p->ctx->arena};
  printer_new_kernel(p, m);
  p->out = &content;
  print_content(p, n);
  keep_names(p);
}

void kernel_print(Str *out, const Kernel *k) {
  Printer p = {.out = out};
  Kernel copy = *k;
  print_kernel_block(&p, NULL, &(Node){.kernel = &copy});
}

// ---- parsing ----------------------------------------------------------------------------------------------

bool parse_schedule(Parser *p, Schedule *s) {
  if (!(s->kind = parse_name(p, "a schedule")) || !lex_expect(&p->lx, "(")) return false;
  while (!lex_is(&p->lx, ")")) {
    if (s->params.n && !lex_expect(&p->lx, ",")) return false;
    SchedParam param = {.name = parse_name(p, "a parameter")};
    if (!param.name || !lex_expect(&p->lx, "=") || !lex_int(&p->lx, &param.value)) return false;
    vec_push(p->ctx->arena, &s->params, param);
  }
  lex_next(&p->lx);
  s->tuned = lex_accept(&p->lx, "tuned");
  return true;
}

static bool parse_routine(Parser *p, Node *owner) {
  Kernel *k = owner->kernel;
  Loc own = p->lx.tok.loc;
  if (!(k->routine = parse_name(p, "a routine"))) return false;
  if (!lex_accept(&p->lx, "=")) return true;
  Node *n = parse_call_line(p, own);
  if (!n || !parse_loc(p, &n->loc, owner->loc)) return false;
  n->out = owner->out;
  n->nout = owner->nout;
  k->routine_node = n;
  return true;
}

static bool parse_indices(Parser *p, Stage *s) {
  const Expr **index = NEW_ARRAY(p->ctx->arena, const Expr *, MAX_RANK);
  if (!lex_expect(&p->lx, "[")) return false;
  for (int i = 0; i < s->out->type.rank; i++) {
    if (i && !lex_expect(&p->lx, ",")) return false;
    if (!(index[i] = parse_expr(p, DT_I64))) return false;
  }
  s->index = index;
  return lex_expect(&p->lx, "]");
}

static bool parse_stage_head(Parser *p, Stage *s) {
  bool scatter = lex_accept(&p->lx, "scatter");
  if (scatter) {
    if (!lex_expect(&p->lx, "(") || !parse_dims(p, &s->dims, &s->ndims) || !lex_expect(&p->lx, ")"))
      return false;
  }
  if (!(s->out = parse_value_ref(p))) return false;
  if (scatter) return parse_indices(p, s);
  return lex_expect(&p->lx, "[") && parse_dims(p, &s->dims, &s->ndims) && lex_expect(&p->lx, "]");
}

static bool parse_stage(Parser *p, Node *owner) {
  Stage s = {0};
  int64_t at = 0;
  if (!parse_stage_head(p, &s) || !parse_store_op(p, &s.store)) return false;
  if (!(s.value = parse_expr(p, s.out->type.dtype))) return false;
  if (lex_accept(&p->lx, "at") && !lex_int(&p->lx, &at)) return false;
  if (at < 0 || at > s.ndims)
    return lex_error(&p->lx, "the stage has no %lld dimensions to share", (long long)at);
  s.at = (int)at;
  if (!parse_loc(p, &s.loc, owner->loc)) return false;
  vec_push(p->ctx->arena, &owner->kernel->stages, s);
  return true;
}

static bool parse_local(Parser *p, Node *owner) {
  Value *v = parse_decl(p);
  if (!v || !parse_loc(p, &v->loc, owner->loc)) return false;
  vec_push(p->ctx->arena, &owner->kernel->locals, v);
  return true;
}

static bool parse_body(Parser *p, Node *owner) {
  if (!lex_expect(&p->lx, "{")) return false;
  lex_skip_newlines(&p->lx);
  return parse_stmts(p, &owner->kernel->body, owner->loc) && lex_expect(&p->lx, "}");
}

static bool parse_order(Parser *p) {
  do {
    const char *name = lex_name(&p->lx, "a variable");
    if (!name) return false;
    reserve_var(p, name);
  } while (lex_accept(&p->lx, ","));
  return true;
}

static bool parse_line(Parser *p, Node *owner) {
  if (lex_accept(&p->lx, "schedule")) return parse_schedule(p, &owner->kernel->schedule);
  if (lex_accept(&p->lx, "routine")) return parse_routine(p, owner);
  if (lex_accept(&p->lx, "local")) return parse_local(p, owner);
  if (lex_accept(&p->lx, "order")) return parse_order(p);
  if (lex_accept(&p->lx, "body")) return parse_body(p, owner);
  if (lex_is(&p->lx, "%") || lex_is(&p->lx, "scatter")) return parse_stage(p, owner);
  return lex_error(&p->lx, "expected a part of a kernel: schedule, routine, local, a stage or body");
}

static bool parse_figures(Parser *p, Kernel *k) {
  while (p->lx.tok.kind == TOK_NAME) {
    int64_t *to = lex_is(&p->lx, "parallel")  ? &k->parallel
                  : lex_is(&p->lx, "scratch") ? &k->scratch
                  : lex_is(&p->lx, "flops")   ? &k->flops
                  : lex_is(&p->lx, "bytes")   ? &k->bytes
                                              : NULL;
    if (!to) return lex_error(&p->lx, "expected parallel, scratch, flops or bytes");
    lex_next(&p->lx);
    if (!lex_expect(&p->lx, "=") || !lex_int(&p->lx, to)) return false;
    if (*to < 0) return lex_error(&p->lx, "this cannot be negative");
  }
  return true;
}

bool parse_kernel_block(Parser *p) {
  lex_next(&p->lx); // "kernel"
  Loc loc = p->lx.tok.loc;
  const char *name = parse_name(p, "a kernel's name");
  if (!name) return false;
  Node *owner = map_get(p->kernels, name);
  if (!owner) return lex_error_at(&p->lx, loc, "no node uses the kernel '%s'", name);
  if (!map_put(p->written, name, owner))
    return lex_error_at(&p->lx, loc, "the kernel '%s' is written twice", name);
  p->vars = map_new(p->ctx->arena);
  p->reserved = NULL;
  if (!parse_figures(p, owner->kernel) || !lex_expect(&p->lx, "{")) return false;
  lex_skip_newlines(&p->lx);
  while (p->lx.tok.kind != TOK_END && !lex_is(&p->lx, "}")) {
    if (!parse_line(p, owner) || !lex_end_of_line(&p->lx)) lex_sync(&p->lx);
  }
  return lex_expect(&p->lx, "}") && lex_end_of_line(&p->lx);
}
