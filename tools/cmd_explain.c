// cmd_explain.c: `ingot explain MODEL NODE`: what became of one node of a model, pass by pass, and why.
// SPDX-License-Identifier: Apache-2.0
//
// The node is followed by its origin, which every node made from it carries along; the reasons are the remarks that
// the passes made where they decided.
#include "tools/tool.h"

typedef struct ExplainArgs {
  BuildArgs build; // first: the child parser's input
  const char *file, *node;
} ExplainArgs;

static error_t parse(int key, char *arg, struct argp_state *state) {
  ExplainArgs *a = state->input;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &a->build; return 0;
  case ARGP_KEY_ARG:
    if (a->file && a->node) argp_error(state, "one node at a time, please");
    if (a->file)
      a->node = *arg == '%' ? arg + 1 : arg;
    else
      a->file = arg;
    return 0;
  case ARGP_KEY_END:
    if (!a->node) argp_error(state, "which node of which model?");
    return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

typedef struct Explain {
  Tool *t;
  const char *origin; // "conv1 (conv)"
  Map *names;         // of values that were made from it, and of kernels' results that hold it
  const char *last;   // what was printed of it last
  int remarks;        // printed so far
} Explain;

// ---- the node -----------------------------------------------------------------------------------------------

static const char *origin_of(Tool *t, const Node *n) {
  return n->origins.n ? n->origins.data[0].name : tool_printf(t, "%s (%s)", n->out[0]->name, n->op->name);
}

static const Node *find(Tool *t, const Graph *g, const char *name) {
  for (const Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nout; i++)
      if (strcmp(n->out[i]->name, name) == 0) return n;
    if (n->nout && strcmp(origin_of(t, n), name) == 0) return n;
    for (int i = 0; i < n->nregions; i++) {
      const Node *inner = find(t, n->region[i], name);
      if (inner) return inner;
    }
  }
  return NULL;
}

static void collect_names(Explain *x, const Node *n) {
  for (int i = 0; i < n->nout; i++) map_put(x->names, n->out[i]->name, (void *)n->out[i]->name);
}

static bool unknown_node(Explain *x, const Module *m, const char *name) {
  const char *near = NULL;
  Vec(const char *) names = {0};
  for (const Node *n = m->main->first; n; n = n->next)
    if (n->nout) vec_push(x->t->arena, &names, n->out[0]->name);
  near = nearest_word(name, names.data, names.n);
  diag_error(x->t->diag, NO_LOC, "the model has no node '%s'%s%s%s", name, near ? "; did you mean '" : "",
             near ? near : "", near ? "'?" : "");
  return false;
}

// ---- after each pass ----------------------------------------------------------------------------------------

static bool comes_from(const Explain *x, const Node *n) {
  for (int i = 0; i < n->origins.n; i++)
    if (strcmp(n->origins.data[i].name, x->origin) == 0) return true;
  return n->origins.n == 0 && n->nout && strcmp(origin_of(x->t, n), x->origin) == 0;
}

static void describe_node(Str *out, Ctx *c, const Node *n) {
  for (int i = 0; i < n->nout; i++) {
    const Value *v = n->out[i];
    str_printf(out, "%s%%%s: %s", i ? ", " : "    ", v->name, type_text(c, &v->type));
    if (v->layout) str_printf(out, " %s", layout_text(c, v->layout));
  }
  str_puts(out, " = ");
  if (n->kernel) {
    str_printf(out, "kernel %s", n->kernel->name);
    if (n->kernel->schedule.kind) str_puts(out, ", ");
    if (n->kernel->schedule.kind) schedule_print(out, &n->kernel->schedule);
    for (int i = 0; i < n->origins.n; i++)
      str_printf(out, "%s%s", i ? ", " : ", of ", n->origins.data[i].name);
  } else {
    node_print_op(out, n);
  }
  str_puts(out, "\n");
}

static void find_all(Explain *x, Ctx *c, const Graph *g, Str *out) {
  for (const Node *n = g->first; n; n = n->next) {
    if (comes_from(x, n)) {
      describe_node(out, c, n);
      collect_names(x, n);
    }
    for (int i = 0; i < n->nregions; i++) find_all(x, c, n->region[i], out);
  }
}

static void print_reasons(Explain *x, const Module *m) {
  for (; x->remarks < m->remarks.n; x->remarks++) {
    const Remark *r = &m->remarks.data[x->remarks];
    if (r->about && map_get(x->names, r->about)) printf("  %s %%%s: %s\n", r->pass, r->about, r->text);
  }
}

static bool after_pass(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  (void)seconds, (void)changed;
  Explain *x = data;
  Str text = {.arena = x->t->arena};
  find_all(x, m->ctx, m->main, &text);
  const char *now = text.n ? str_text(&text) : "    nothing of it is left\n";
  if (strcmp(now, x->last) != 0) printf("after %s\n%s", p->name, now);
  x->last = now;
  print_reasons(x, m);
  return true;
}

static bool explain(ExplainArgs *a) {
  Tool *t = a->build.tool;
  Module *m = driver_load(&a->build, a->file);
  if (!m) return false;
  module_unique_names(m);
  Explain x = {.t = t, .names = map_new(t->arena)};
  const Node *n = find(t, m->main, a->node);
  if (!n) return unknown_node(&x, m, a->node);
  m->wants_remarks = true;
  x.origin = origin_of(t, n);
  collect_names(&x, n);
  Str text = {.arena = t->arena};
  describe_node(&text, t->ctx, n);
  printf("%s", x.origin);
  if (n->loc.src) printf(", %s", n->loc.src->path);
  if (n->loc.line) printf(":%d:%d", n->loc.line, n->loc.col);
  if (n->loc.what) printf(", %s", n->loc.what);
  printf("\n%s", str_text(&text));
  x.last = str_text(&text);
  return driver_passes_with(&a->build, m, after_pass, &x);
}

int cmd_explain(Tool *t, int argc, char **argv) {
  static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
  static const struct argp argp = {
      NULL,
      parse,
      "MODEL NODE",
      "Tell what became of a node (%name, or an origin such as 'conv1 (conv)') in each "
      "pass, and why: fusion, layout, schedule with the candidates and their costs.",
      children,
      NULL,
      NULL};
  ExplainArgs a = {.build = build_args(t)};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &a, &code)) return code;
  return explain(&a) ? EXIT_FINE : EXIT_INPUT;
}
