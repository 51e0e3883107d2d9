// text.c: a whole module as text: header, symbols, graph, kernels.
// SPDX-License-Identifier: Apache-2.0
#include "ir/text.h"

enum {
  FORMAT_VERSION = 1,
  MAX_COUNTER = 1 << 24, // values, nodes and variables a text may claim to have had before
};

static const char *const LEVELS[] = {"graph", "kernels", "loops"};

// ---- names of values ----------------------------------------------------------------------------------------

// What is printed must be unique, which names in memory need not be: %a, %a.1, %a.2 ...
typedef struct Naming {
  Ctx *ctx;
  Map *taken; // name -> how often it was asked for
  bool *seen; // by id
  bool rename;
  const char **names; // else they go here
} Naming;

static const char *unique_name(Naming *g, const char *base) {
  int *count = map_get(g->taken, base);
  if (!count) {
    map_put(g->taken, base, NEW(g->ctx->arena, int));
    return base;
  }
  for (;;) {
    char *name = arena_printf(g->ctx->arena, "%s.%d", base, ++*count);
    if (map_get(g->taken, name)) continue;
    map_put(g->taken, name, NEW(g->ctx->arena, int));
    return name;
  }
}

static void name_value(Naming *g, Value *v) {
  if (g->seen[v->id]) return;
  g->seen[v->id] = true;
  const char *name = unique_name(g, v->name ? v->name : "v");
  if (g->rename) v->name = name;
  if (g->rename) return;
  Str s = {.arena = g->ctx->arena};
  print_value_name(&s, name);
  g->names[v->id] = str_text(&s);
}

static void name_allocs(Naming *g, const Stmt *s) {
  for (; s; s = s->next) {
    switch (s->kind) {
    case S_FOR: name_allocs(g, s->loop.body); break;
    case S_IF:
      name_allocs(g, s->cond.then);
      name_allocs(g, s->cond.otherwise);
      break;
    case S_ALLOC: name_value(g, s->alloc); break;
    default: break;
    }
  }
}

static void name_kernel(Naming *g, const Kernel *k) {
  for (int i = 0; i < k->locals.n; i++) name_value(g, k->locals.data[i]);
  name_allocs(g, k->body);
}

static void name_graph(Naming *g, const Graph *graph) {
  for (int i = 0; i < graph->inputs.n; i++) name_value(g, graph->inputs.data[i]);
  for (int i = 0; i < graph->consts.n; i++) name_value(g, graph->consts.data[i]);
  for (const Node *n = graph->first; n; n = n->next) {
    for (int i = 0; i < n->nout; i++) name_value(g, n->out[i]);
    for (int i = 0; i < n->nregions; i++) name_graph(g, n->region[i]);
  }
}

static void name_vars(Printer *p, const Module *m, const Graph *graph) {
  for (const Node *n = graph->first; n; n = n->next) {
    if (n->kernel && n->kernel->body) name_kernel_vars(p, m, n);
    for (int i = 0; i < n->nregions; i++) name_vars(p, m, n->region[i]);
  }
}

static void name_kernels(Naming *g, const Graph *graph) {
  for (const Node *n = graph->first; n; n = n->next) {
    if (n->kernel) name_kernel(g, n->kernel);
    for (int i = 0; i < n->nregions; i++) name_kernels(g, n->region[i]);
  }
}

static void name_everything(Naming *g, const Module *m) {
  g->taken = map_new(g->ctx->arena);
  g->seen = NEW_ARRAY(g->ctx->arena, bool, g->ctx->next_value);
  if (m->main) name_graph(g, m->main);
  if (m->main) name_kernels(g, m->main);
}

void module_unique_names(Module *m) {
  Printer p;
  name_everything(&(Naming){.ctx = m->ctx, .rename = true}, m);
  printer_start(&p, m->ctx, NULL);
  if (m->main) name_vars(&p, m, m->main);
}

// ---- printing -----------------------------------------------------------------------------------------------

static void print_symbols(Printer *p, const Module *m) {
  for (int i = 0; i < m->syms.n; i++) {
    const Sym *s = m->syms.data[i];
    str_printf(p->out, "sym %s: %lld..%lld%s", s->name, (long long)s->min, (long long)s->max,
               s->data_dependent ? " data" : "");
    print_loc(p, s->loc, OWN_PLACE);
    str_puts(p->out, "\n");
  }
}

static void print_limits(Printer *p, const Module *m) {
  for (int i = 0; i < m->limits.n; i++) {
    str_puts(p->out, "limit ");
    print_sum(p, m->limits.data[i].sum);
    str_printf(p->out, " <= %lld\n", (long long)m->limits.data[i].max);
  }
}

static void print_states(Printer *p, const Graph *g) {
  if (g->states.n) str_puts(p->out, "\n");
  for (int i = 0; i < g->states.n; i++) {
    const State *s = &g->states.data[i];
    str_puts(p->out, "state ");
    print_value_ref(p, g->inputs.data[s->input]);
    str_puts(p->out, " becomes ");
    print_name(p, g->output_names.data[s->output]);
    if (s->init) str_puts(p->out, " from ");
    if (s->init) print_value_ref(p, value_resolve(s->init));
    print_loc(p, s->loc, OWN_PLACE);
    str_puts(p->out, "\n");
  }
}

static void print_kernels(Printer *p, const Module *m, const Graph *g) {
  for (const Node *n = g->first; n; n = n->next) {
    if (n->kernel) {
      str_puts(p->out, "\n");
      print_kernel_block(p, m, n);
    }
    for (int i = 0; i < n->nregions; i++) print_kernels(p, m, n->region[i]);
  }
}

static void print_body(Printer *p, const Module *m) {
  print_symbols(p, m);
  print_limits(p, m);
  if (!m->main) return;
  str_puts(p->out, "\n");
  print_graph_block(p, m->main, 0);
  print_states(p, m->main);
  print_kernels(p, m, m->main);
}

static void print_module_line(Printer *p, const Module *m) {
  str_puts(p->out, "module ");
  print_name(p, m->name);
  if (m->target) {
    str_puts(p->out, " target ");
    print_string(p->out, m->target->name);
  }
  if (m->arena_bytes) str_printf(p->out, " arena=%lld", (long long)m->arena_bytes);
  if (m->state_bytes) str_printf(p->out, " state=%lld", (long long)m->state_bytes);
  str_puts(p->out, "\n");
}

static void print_header(Printer *p, const Module *m) {
  Str *out = p->out;
  str_printf(out, "ingot %d %s\n", FORMAT_VERSION, LEVELS[m->level]);
  print_module_line(p, m);
  str_printf(out, "next value=%d node=%d var=%d\n", p->ctx->next_value, p->ctx->next_node, p->ctx->next_var);
  for (int i = 0; i < p->sources.n; i++) {
    str_puts(out, "source ");
    print_string(out, p->sources.data[i]->path);
    str_puts(out, "\n");
  }
  for (int i = 0; i < m->passes.n; i++) {
    str_puts(out, i ? ", " : "passes ");
    print_name(p, m->passes.data[i]);
  }
  if (m->passes.n) str_puts(out, "\n");
  for (int i = 0; i < m->meta.n; i++) {
    str_puts(out, "meta ");
    print_string(out, m->meta.data[i].key);
    str_puts(out, " = ");
    print_string(out, m->meta.data[i].value);
    str_puts(out, "\n");
  }
}

// Symbols, graph and kernels, into p->out.
static void print_named(Printer *p, const Module *m) {
  p->nnames = p->ctx->next_value;
  p->names = NEW_ARRAY(p->ctx->arena, const char *, p->nnames);
  name_everything(&(Naming){.ctx = p->ctx, .names = p->names}, m);
  print_body(p, m);
}

static void print_module(Str *out, const Module *m, BlobFile *blobs, bool numbers) {
  Printer p;
  Str body = {.arena = m->ctx->arena};
  printer_start(&p, m->ctx, &body);
  p.blobs = blobs;
  p.numbers = numbers;
  print_named(&p, m); // first: the header lists the sources that it met
  p.out = out;
  print_header(&p, m);
  int header = 0;
  for (size_t i = 0; i < out->n; i++) header += out->s[i] == '\n';
  for (int i = 0; i < p.lines.n; i++) *p.lines.data[i] += header;
  str_put(out, str_text(&body), body.n);
}

void module_print(Str *out, const Module *m, BlobFile *blobs) {
  print_module(out, m, blobs, false);
}

void module_print_numbered(Str *out, Module *m, BlobFile *blobs) {
  print_module(out, m, blobs, true);
}

void module_print_plain(Str *out, const Module *m) {
  Printer p;
  printer_start(&p, m->ctx, out);
  p.plain = true;
  print_named(&p, m);
}

void graph_print(Str *out, const Graph *g) {
  Printer p;
  printer_start(&p, g->ctx, out);
  p.brief = true;
  print_graph_block(&p, g, 0);
}

// ---- parsing: header ----------------------------------------------------------------------------------------

static bool parse_first_line(Parser *p) {
  int64_t version;
  lex_skip_newlines(&p->lx);
  if (!lex_is(&p->lx, "ingot")) return lex_error(&p->lx, "this is not IR text: it must start with 'ingot 1'");
  lex_next(&p->lx);
  Loc loc = p->lx.tok.loc;
  if (!lex_int(&p->lx, &version)) return false;
  if (version != FORMAT_VERSION) {
    return lex_error_at(&p->lx, loc, "format version %lld is not known, only %d", (long long)version,
                        FORMAT_VERSION);
  }
  for (int i = 0; i < ARRAY_LEN(LEVELS); i++) {
    if (!lex_accept(&p->lx, LEVELS[i])) continue;
    p->module->level = (Level)i;
    return lex_end_of_line(&p->lx);
  }
  return lex_error(&p->lx, "expected the level: graph, kernels or loops");
}

static bool is_identifier(const char *s) {
  for (const char *t = s; *t; t++) {
    bool letter = (*t >= 'a' && *t <= 'z') || (*t >= 'A' && *t <= 'Z') || *t == '_';
    if (!letter && (t == s || *t < '0' || *t > '9')) return false;
  }
  return *s != '\0';
}

// arena=4096, which may be left out.
static bool parse_size(Parser *p, const char *what, int64_t *bytes) {
  if (!lex_accept(&p->lx, what)) return true;
  if (!lex_expect(&p->lx, "=") || !lex_int(&p->lx, bytes)) return false;
  return *bytes >= 0 || lex_error(&p->lx, "the size of '%s' cannot be negative", what);
}

static bool parse_module_line(Parser *p) {
  Loc loc = p->lx.tok.loc;
  Module *m = p->module;
  const char *name = parse_name(p, "the module's name");
  if (!name) return false;
  if (!is_identifier(name)) return lex_error_at(&p->lx, loc, "a module's name must be a C identifier");
  m->name = name;
  if (lex_accept(&p->lx, "target")) {
    loc = p->lx.tok.loc;
    if (!(name = lex_string(&p->lx, "a target"))) return false;
    m->target = target_find(p->ctx, name);
    if (!m->target) return lex_error_at(&p->lx, loc, "unknown target '%s'", name);
  }
  return parse_size(p, "arena", &m->arena_bytes) && parse_size(p, "state", &m->state_bytes);
}

// Counters go on where the printed module's stood, so that later passes choose the same names.
static bool parse_next(Parser *p) {
  static const char *const names[] = {"value", "node", "var"};
  for (int i = 0; i < ARRAY_LEN(names); i++) {
    int64_t v;
    if (!lex_expect(&p->lx, names[i]) || !lex_expect(&p->lx, "=") || !lex_int(&p->lx, &v)) return false;
    if (v < 0 || v > MAX_COUNTER) return lex_error(&p->lx, "counter out of range");
    p->next[i] = (int)v;
  }
  return true;
}

static bool parse_source(Parser *p) {
  const char *path = lex_string(&p->lx, "a path");
  if (!path) return false;
  Source *s = NEW(p->ctx->arena, Source);
  s->path = path;
  vec_push(p->ctx->arena, &p->sources, s);
  return true;
}

static bool parse_passes(Parser *p) {
  do {
    const char *name = parse_name(p, "a pass");
    if (!name) return false;
    vec_push(p->ctx->arena, &p->module->passes, name);
  } while (lex_accept(&p->lx, ","));
  return true;
}

static bool parse_meta(Parser *p) {
  MetaEntry e = {.key = lex_string(&p->lx, "a key")};
  if (!e.key || !lex_expect(&p->lx, "=") || !(e.value = lex_string(&p->lx, "a value"))) return false;
  vec_push(p->ctx->arena, &p->module->meta, e);
  return true;
}

static bool parse_symbol(Parser *p) {
  Loc own = p->lx.tok.loc, loc;
  int64_t min, max;
  const char *name = lex_name(&p->lx, "a symbol");
  if (!name || !lex_expect(&p->lx, ":") || !lex_int(&p->lx, &min) || !lex_expect(&p->lx, "..") ||
      !lex_int(&p->lx, &max)) {
    return false;
  }
  if (min < 0 || max < min || max > MAX_ELEMENTS)
    return lex_error_at(&p->lx, own, "impossible range of '%s'", name);
  bool data = lex_accept(&p->lx, "data");
  if (!parse_loc(p, &loc, own)) return false;
  if (map_get(p->syms, name)) return lex_error_at(&p->lx, own, "the symbol '%s' is declared twice", name);
  Sym *s = module_sym(p->module, name, min, max, loc);
  s->data_dependent = data;
  map_put(p->syms, name, s);
  return true;
}

// limit past + seq <= 512
static bool parse_limit(Parser *p) {
  Loc own = p->lx.tok.loc;
  int64_t max;
  const Expr *sum = parse_extent(p);
  if (!sum || !lex_expect(&p->lx, "<=") || !lex_int(&p->lx, &max)) return false;
  if (max < 0 || max > MAX_ELEMENTS) return lex_error_at(&p->lx, own, "impossible limit");
  module_limit(p->module, sum, max);
  return true;
}

// ---- parsing ------------------------------------------------------------------------------------------------

static int find_input(const Graph *g, const Value *v) {
  for (int i = 0; i < g->inputs.n; i++)
    if (g->inputs.data[i] == v) return i;
  return -1;
}

static int find_output(const Graph *g, const char *name) {
  for (int i = 0; i < g->outputs.n; i++)
    if (strcmp(g->output_names.data[i], name) == 0) return i;
  return -1;
}

// state %past becomes present from %zero
static bool parse_state(Parser *p) {
  Loc own = p->lx.tok.loc, loc;
  Graph *g = p->module->main;
  Value *v = parse_value_ref(p), *init = NULL;
  if (!v || !lex_expect(&p->lx, "becomes")) return false;
  const char *name = parse_name(p, "an output");
  if (!name || (lex_accept(&p->lx, "from") && !(init = parse_value_ref(p))) || !parse_loc(p, &loc, own))
    return false;
  int input = g ? find_input(g, v) : -1, output = g ? find_output(g, name) : -1;
  if (input < 0) return lex_error_at(&p->lx, own, "%%%s is no input of the graph", v->name);
  if (output < 0) return lex_error_at(&p->lx, own, "the graph has no output '%s'", name);
  return graph_state(g, input, output, init, loc) || !(p->lx.failed = true);
}

static bool parse_main(Parser *p) {
  if (p->seen_main) return lex_error(&p->lx, "a module has one graph");
  p->seen_main = true;
  Graph *g = parse_graph_block(p, NULL);
  if (g) p->module->main = g;
  return g != NULL;
}

static bool parse_section(Parser *p) {
  Lexer *lx = &p->lx;
  if (lex_is(lx, "graph")) return parse_main(p);
  if (lex_is(lx, "kernel")) return parse_kernel_block(p);
  bool ok = lex_accept(lx, "module")   ? parse_module_line(p)
            : lex_accept(lx, "next")   ? parse_next(p)
            : lex_accept(lx, "source") ? parse_source(p)
            : lex_accept(lx, "passes") ? parse_passes(p)
            : lex_accept(lx, "meta")   ? parse_meta(p)
            : lex_accept(lx, "sym")    ? parse_symbol(p)
            : lex_accept(lx, "limit")  ? parse_limit(p)
            : lex_accept(lx, "state")  ? parse_state(p)
                                       : lex_error(lx, "expected a section: module, sym, graph, kernel ...");
  return ok && lex_end_of_line(lx);
}

static bool resolve_bases(Parser *p) {
  bool ok = true;
  for (int i = 0; i < p->bases.n; i++) {
    const PendingBase *b = &p->bases.data[i];
    b->value->base = map_get(p->values, b->name);
    if (b->value->base) continue;
    diag_error(p->ctx->diag, b->loc, "there is no value %%%s", b->name);
    ok = false;
  }
  return ok;
}

static bool check_kernels(Parser *p) {
  bool ok = true;
  for (int i = 0; i < p->kernel_nodes.n; i++) {
    const Node *n = p->kernel_nodes.data[i];
    if (map_get(p->written, n->kernel->name)) continue;
    diag_error(p->ctx->diag, n->loc, "the kernel '%s' is not written down", n->kernel->name);
    ok = false;
  }
  return ok;
}

static bool parse_sections(Parser *p) {
  if (!parse_first_line(p)) return false;
  while (p->lx.tok.kind != TOK_END) {
    if (diag_errors(p->ctx->diag) > DIAG_MAX_ERRORS) return false;
    if (lex_is(&p->lx, "}")) {
      lex_error(&p->lx, "'}' closes nothing");
      lex_next(&p->lx);
    } else if (parse_section(p)) {
      continue;
    }
    lex_sync(&p->lx);
  }
  if (!p->seen_main) return lex_error(&p->lx, "the module has no graph");
  return resolve_bases(p) && check_kernels(p);
}

static void raise_counter(int *counter, int to) {
  if (*counter < to) *counter = to;
}

static Module *read_module(Ctx *c, const Source *src, bool own_places) {
  int errors = diag_errors(c->diag);
  Arena *a = c->arena;
  Parser p = {.ctx = c,
              .raw = true,
              .own_places = own_places,
              .module = module_new(c, "model"),
              .values = map_new(a),
              .syms = map_new(a),
              .kernels = map_new(a),
              .written = map_new(a)};
  lex_start(&p.lx, c, src, src->text, src->len);
  bool ok = parse_sections(&p);
  raise_counter(&c->next_value, p.next[0]);
  raise_counter(&c->next_node, p.next[1]);
  raise_counter(&c->next_var, p.next[2]);
  if (!ok || diag_errors(c->diag) > errors) return NULL;
  return module_verify(p.module, NULL) ? p.module : NULL;
}

// A dump's locations are of the model that it was made from. What is wrong with a dump is said of its own lines, for
// which it is read again.
Module *module_parse(Ctx *c, const Source *src) {
  DiagMark mark = diag_mute(c->diag);
  Module *m = read_module(c, src, false);
  diag_unmute(c->diag, mark);
  return m ? m : read_module(c, src, true);
}
