// cmd_diff.c: `ingot diff A B`: what differs between two modules, node by node rather than line by line.
// SPDX-License-Identifier: Apache-2.0
//
// Nodes are paired by the name of their first result; those that are left, by what they do to operands that are
// paired already, which finds renamed ones. Of each pair the call, the results and the kernel are compared.
#include <stdlib.h>

#include "tools/textdiff.h"
#include "tools/tool.h"

typedef struct DiffArgs {
  BuildArgs build;
  const char *file[2];
  int n;
} DiffArgs;

static error_t parse(int key, char *arg, struct argp_state *state) {
  DiffArgs *a = state->input;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &a->build; return 0;
  case ARGP_KEY_ARG:
    if (a->n == 2) argp_error(state, "two files, please");
    a->file[a->n++] = arg;
    return 0;
  case ARGP_KEY_END:
    if (a->n < 2) argp_error(state, "which two files?");
    return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

// ---- nodes --------------------------------------------------------------------------------------------------

typedef struct Item {
  const Node *n;
  struct Item *pair; // in the other module
  bool renamed;
} Item;

typedef struct Side {
  Vec(Item *) items;
  Map *by_name, *by_value; // first result's name -> Item; any value's name -> the name that stands for it
} Side;

typedef struct Comparison {
  Tool *t;
  Side side[2];
  int differences;
} Comparison;

static void collect(Comparison *c, Side *s, const Graph *g) {
  Arena *a = c->t->arena;
  for (const Node *n = g->first; n; n = n->next) {
    Item *item = NEW(a, Item);
    item->n = n;
    vec_push(a, &s->items, item);
    if (n->nout) map_put(s->by_name, n->out[0]->name, item);
    for (int i = 0; i < n->nregions; i++) collect(c, s, n->region[i]);
  }
}

static const char *standing_for(const Side *s, const Value *v) {
  const char *name = v ? map_get(s->by_value, v->name) : "_";
  return name ? name : v->name;
}

// What the node does, its operands by the names of the pairs that they belong to.
static const char *deed(Comparison *c, const Side *s, const Node *n) {
  Str text = {.arena = c->t->arena};
  node_print_op(&text, n);
  for (int i = 0; i < n->nin; i++) str_printf(&text, " %s", standing_for(s, n->in[i]));
  for (int i = 0; i < n->nout; i++) str_printf(&text, " -> %s", type_text(c->t->ctx, &n->out[i]->type));
  return str_text(&text);
}

static void join(Item *a, Item *b) {
  a->pair = b;
  b->pair = a;
}

static void pair_by_name(Comparison *c) {
  for (int i = 0; i < c->side[0].items.n; i++) {
    Item *a = c->side[0].items.data[i],
         *b = a->n->nout ? map_get(c->side[1].by_name, a->n->out[0]->name) : NULL;
    if (b && !b->pair && a->n->op == b->n->op) join(a, b);
  }
}

// In order of execution, so that a pair helps those that read it.
static void pair_by_deed(Comparison *c) {
  Map *deeds = map_new(c->t->arena);
  Side *from = &c->side[0], *to = &c->side[1];
  for (int i = 0; i < to->items.n; i++) {
    Item *b = to->items.data[i];
    if (!b->pair) map_put(deeds, deed(c, to, b->n), b);
  }
  for (int i = 0; i < from->items.n; i++) {
    Item *a = from->items.data[i], *b = a->pair ? NULL : map_get(deeds, deed(c, from, a->n));
    if (!b || b->pair || a->n->nout != b->n->nout) continue;
    join(a, b);
    a->renamed = true;
    for (int k = 0; k < a->n->nout; k++)
      map_put(from->by_value, a->n->out[k]->name, (void *)b->n->out[k]->name);
  }
}

// ---- telling ------------------------------------------------------------------------------------------------

static const char *label(Comparison *c, const Node *n) {
  return n->nout ? tool_printf(c->t, "%%%s", n->out[0]->name) : n->op->name;
}

static const char *call_text(Comparison *c, const Side *s, const Node *n) {
  Str text = {.arena = c->t->arena};
  node_print_op(&text, n);
  str_puts(&text, " of");
  for (int i = 0; i < n->nin; i++) str_printf(&text, " %s", standing_for(s, n->in[i]));
  return str_text(&text);
}

static const char *results_text(Comparison *c, const Node *n) {
  Str text = {.arena = c->t->arena};
  for (int i = 0; i < n->nout; i++) {
    const Value *v = n->out[i];
    str_printf(&text, "%s%s", i ? ", " : "", type_text(c->t->ctx, &v->type));
    if (v->layout) str_printf(&text, " %s", layout_text(c->t->ctx, v->layout));
    if (v->space == SPACE_ARENA) str_printf(&text, " @arena+%lld", (long long)v->offset);
  }
  return str_text(&text);
}

static void tell(Comparison *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void tell(Comparison *c, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vprintf(fmt, ap);
  va_end(ap);
  c->differences++;
}

static void compare_texts(Comparison *c, const char *who, const char *what, const char *a, const char *b) {
  if (strcmp(a, b) != 0) tell(c, "~ %s: %s\n    - %s\n    + %s\n", who, what, a, b);
}

static const char *kernel_text(Comparison *c, const Kernel *k) {
  Str text = {.arena = c->t->arena};
  if (k) kernel_print(&text, k);
  return str_text(&text);
}

static void compare_kernels(Comparison *c, const char *who, const Kernel *a, const Kernel *b) {
  Str text = {.arena = c->t->arena};
  if (!a && !b) return;
  if (text_diff(&text, kernel_text(c, a), kernel_text(c, b), "", "", 1))
    tell(c, "~ %s: kernel\n%s", who, strstr(str_text(&text), "@@"));
}

static void compare_pair(Comparison *c, const Item *a) {
  const Node *x = a->n, *y = a->pair->n;
  const char *who = label(c, y);
  if (a->renamed) tell(c, "= %s is now %s\n", label(c, x), who);
  compare_texts(c, who, "call", call_text(c, &c->side[0], x), call_text(c, &c->side[1], y));
  compare_texts(c, who, "results", results_text(c, x), results_text(c, y));
  compare_kernels(c, who, x->kernel, y->kernel);
}

static void compare_nodes(Comparison *c) {
  for (int i = 0; i < c->side[0].items.n; i++) {
    const Item *a = c->side[0].items.data[i];
    if (a->pair)
      compare_pair(c, a);
    else
      tell(c, "- %s = %s\n", label(c, a->n), call_text(c, &c->side[0], a->n));
  }
  for (int i = 0; i < c->side[1].items.n; i++) {
    const Item *b = c->side[1].items.data[i];
    if (!b->pair) tell(c, "+ %s = %s\n", label(c, b->n), call_text(c, &c->side[1], b->n));
  }
}

// ---- inputs, outputs, constants -----------------------------------------------------------------------------

static const char *value_text(Comparison *c, const Value *v) {
  const char *type = type_text(c->t->ctx, &v->type);
  if (!v->data) return type;
  return tool_printf(c->t, "%s with hash %016llx%s%s", type, (unsigned long long)tensor_hash(v->data),
                     v->layout ? " " : "", v->layout ? layout_text(c->t->ctx, v->layout) : "");
}

static void compare_values(Comparison *c, const char *what, Value *const *a, int na, Value *const *b,
                           int nb) {
  Map *known = map_new(c->t->arena), *seen = map_new(c->t->arena);
  for (int i = 0; i < nb; i++) map_put(known, b[i]->name, b[i]);
  for (int i = 0; i < na; i++) {
    const Value *y = map_get(known, a[i]->name);
    map_put(seen, a[i]->name, a[i]);
    if (!y)
      tell(c, "- %s %%%s: %s\n", what, a[i]->name, value_text(c, a[i]));
    else
      compare_texts(c, tool_printf(c->t, "%s %%%s", what, a[i]->name), "value", value_text(c, a[i]),
                    value_text(c, y));
  }
  for (int i = 0; i < nb; i++)
    if (!map_get(seen, b[i]->name)) tell(c, "+ %s %%%s: %s\n", what, b[i]->name, value_text(c, b[i]));
}

static const char *outputs_text(Comparison *c, const Side *s, const Graph *g) {
  Str text = {.arena = c->t->arena};
  for (int i = 0; i < g->outputs.n; i++)
    str_printf(&text, " %s=%s", g->output_names.data[i] ? g->output_names.data[i] : "",
               standing_for(s, g->outputs.data[i]));
  return str_text(&text);
}

static void compare_modules(Comparison *c, const Module *a, const Module *b) {
  const Graph *x = a->main, *y = b->main;
  compare_values(c, "input", x->inputs.data, x->inputs.n, y->inputs.data, y->inputs.n);
  compare_values(c, "constant", x->consts.data, x->consts.n, y->consts.data, y->consts.n);
  pair_by_name(c);
  pair_by_deed(c);
  compare_nodes(c);
  compare_texts(c, "module", "outputs", outputs_text(c, &c->side[0], x), outputs_text(c, &c->side[1], y));
  if (a->arena_bytes != b->arena_bytes)
    tell(c, "~ module: arena of %lld bytes, now %lld\n", (long long)a->arena_bytes,
         (long long)b->arena_bytes);
}

int cmd_diff(Tool *t, int argc, char **argv) {
  static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
  static const struct argp argp = {
      NULL,
      parse,
      "A B",
      "Compare two models or dumps: nodes by name and by what they do, types, layouts, "
      "places, expressions, schedules and loops. Exits with 1 if they differ.",
      children,
      NULL,
      NULL};
  DiffArgs a = {.build = build_args(t)};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &a, &code)) return code;
  Comparison c = {.t = t};
  Module *m[2];
  for (int i = 0; i < 2; i++) {
    if (!(m[i] = driver_load(&a.build, a.file[i]))) return EXIT_INPUT;
    module_unique_names(m[i]);
    c.side[i].by_name = map_new(t->arena);
    c.side[i].by_value = map_new(t->arena);
    collect(&c, &c.side[i], m[i]->main);
  }
  compare_modules(&c, m[0], m[1]);
  return c.differences ? EXIT_INPUT : EXIT_FINE;
}
