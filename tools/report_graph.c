// report_graph.c: a module's graph as JSON with places on the plane, which Graphviz's dot finds, and as a dot file.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/report.h"

// ---- what is drawn ------------------------------------------------------------------------------------------

enum { MAX_LABEL = 26, MANY_ITEMS = 1500, LONG_EDGE = 4, DOT_SECONDS = 60 };

// Inputs, nodes (those of regions among them) and outputs in one list; edges by their numbers.
typedef struct Item {
  const Node *node;   // NULL: an input or output
  const Value *value; // of inputs and outputs
  const char *name;
  bool output;
} Item;

typedef struct Edge {
  int from, to;
  Vec(double) curve; // x, y of the points of a Bezier spline; none: not known
} Edge;

typedef struct Drawing {
  Arena *arena;
  Vec(Item) items;
  Vec(Edge) edges;
  int *by_value; // value id -> number of its item + 1
  double *x, *y, *w, *h;
} Drawing;

static void note_value(Drawing *d, const Value *v) {
  d->by_value[v->id] = d->items.n;
}

static void add_edge(Drawing *d, const Value *v, int to) {
  int from = v ? d->by_value[v->id] - 1 : -1;
  if (from < 0 || from == to) return;
  for (int i = d->edges.n - 1; i >= 0 && d->edges.data[i].to == to; i--)
    if (d->edges.data[i].from == from) return;
  vec_push(d->arena, &d->edges, ((Edge){.from = from, .to = to}));
}

static void add_node(Drawing *d, const Node *n);

static void add_region(Drawing *d, const Graph *g, int owner) {
  for (int i = 0; i < g->inputs.n; i++) d->by_value[g->inputs.data[i]->id] = owner + 1;
  for (const Node *n = g->first; n; n = n->next) add_node(d, n);
}

static void add_node(Drawing *d, const Node *n) {
  vec_push(d->arena, &d->items, ((Item){.node = n, .name = n->nout ? n->out[0]->name : n->op->name}));
  int at = d->items.n - 1;
  for (int i = 0; i < n->nout; i++) note_value(d, n->out[i]);
  for (int i = 0; i < n->nin; i++) add_edge(d, n->in[i], at);
  for (int i = 0; i < n->nregions; i++) add_region(d, n->region[i], at);
}

static Drawing drawing_of(const Module *m) {
  Drawing d = {.arena = m->ctx->arena};
  const Graph *g = m->main;
  d.by_value = NEW_ARRAY(d.arena, int, m->ctx->next_value + 1);
  for (int i = 0; i < g->inputs.n; i++) {
    vec_push(d.arena, &d.items, ((Item){.value = g->inputs.data[i], .name = g->inputs.data[i]->name}));
    note_value(&d, g->inputs.data[i]);
  }
  for (const Node *n = g->first; n; n = n->next) add_node(&d, n);
  for (int i = 0; i < g->outputs.n; i++) {
    const char *name = g->output_names.data[i] ? g->output_names.data[i] : g->outputs.data[i]->name;
    vec_push(d.arena, &d.items, ((Item){.value = g->outputs.data[i], .name = name, .output = true}));
    add_edge(&d, g->outputs.data[i], d.items.n - 1);
  }
  return d;
}

static const char *op_label(const Item *it) {
  if (!it->node) return it->output ? "output" : "input";
  return it->node->kernel ? it->node->kernel->routine         ? it->node->kernel->routine
                            : it->node->kernel->schedule.kind ? it->node->kernel->schedule.kind
                                                              : "kernel"
                          : it->node->op->name;
}

// ---- dot ----------------------------------------------------------------------------------------------------

static double width_of(const Item *it) {
  size_t n = strlen(it->name), m = strlen(op_label(it)) + 2;
  if (n > MAX_LABEL) n = MAX_LABEL;
  if (m > n) n = m;
  return 0.35 + 0.085 * (double)n; // inches
}

static void put_quoted(Str *out, const char *s) {
  str_puts(out, "\"");
  for (; *s; s++) {
    if (*s == '"' || *s == '\\') str_puts(out, "\\");
    str_put(out, s, 1);
  }
  str_puts(out, "\"");
}

static void put_item(Str *out, const Item *it, Ctx *c) {
  const Value *v = it->node ? it->node->nout ? it->node->out[0] : NULL : it->value;
  str_puts(out, " [label=");
  put_quoted(out,
             arena_printf(out->arena, "%s\n%s\n%s", op_label(it), it->name, v ? type_text(c, &v->type) : ""));
  str_puts(out, it->node ? "]" : " style=\"rounded,filled\"]");
}

// dot takes time for each row that an edge passes: minutes for thousands of nodes with residual connections. Where nodes
// are many it learns of short edges only. A node has one from the row above it, so that rows stay as they are.
static bool *edges_to_place(const Drawing *d) {
  int *row = NEW_ARRAY(d->arena, int, d->items.n + 1);
  bool *keep = NEW_ARRAY(d->arena, bool, d->edges.n + 1);
  for (int i = 0; i < d->edges.n; i++) {
    const Edge *e = &d->edges.data[i];
    if (row[e->to] <= row[e->from]) row[e->to] = row[e->from] + 1;
  }
  for (int i = 0; i < d->edges.n; i++) {
    const Edge *e = &d->edges.data[i];
    keep[i] = d->items.n <= MANY_ITEMS || row[e->to] - row[e->from] <= LONG_EDGE;
  }
  return keep;
}

// Places are read back by number; viewers such as Netron show what a node is called.
static void put_id(Str *out, const Drawing *d, int i, bool places) {
  const Item *it = &d->items.data[i];
  if (places)
    str_printf(out, "n%d", i);
  else
    put_quoted(out, arena_printf(out->arena, "%s (%s)", it->name, op_label(it)));
}

void graph_to_dot(Str *out, const Module *m, bool places) {
  Drawing d = drawing_of(m);
  const bool *keep = edges_to_place(&d);
  bool large = d.items.n > MANY_ITEMS;
  str_puts(out, "digraph ");
  put_quoted(out, m->name);
  str_puts(out, " {\n  graph [rankdir=TB ranksep=0.35 nodesep=0.2");
  if (places)
    str_printf(out, " splines=%s%s", large ? "line" : "true",
               large ? " nslimit=1 nslimit1=1 mclimit=0.2" : "");
  str_puts(out, "]\n  node [shape=box");
  if (places) str_puts(out, " label=\"\" fixedsize=true height=0.42");
  str_puts(out, "]\n");
  for (int i = 0; i < d.items.n; i++) {
    str_puts(out, "  ");
    put_id(out, &d, i, places);
    if (places)
      str_printf(out, " [width=%.2f]", width_of(&d.items.data[i]));
    else
      put_item(out, &d.items.data[i], m->ctx);
    str_puts(out, "\n");
  }
  for (int i = 0; i < d.edges.n; i++) {
    if (places && !keep[i]) continue;
    str_puts(out, "  ");
    put_id(out, &d, d.edges.data[i].from, places);
    str_puts(out, " -> ");
    put_id(out, &d, d.edges.data[i].to, places);
    str_puts(out, "\n");
  }
  str_puts(out, "}\n");
}

// ---- places -------------------------------------------------------------------------------------------------

static void one_below_the_other(Drawing *d) {
  for (int i = 0; i < d->items.n; i++) {
    d->w[i] = width_of(&d->items.data[i]);
    d->h[i] = 0.42;
    d->y[i] = 0.8 * (d->items.n - i);
  }
}

// One line of dot's plain format: "node n3 x y width height ..."; y grows upwards.
static void read_place(Drawing *d, const char *line) {
  int i;
  double x, y, w, h;
  if (sscanf(line, "node n%d %lf %lf %lf %lf", &i, &x, &y, &w, &h) != 5 || i < 0 || i >= d->items.n) return;
  d->x[i] = x;
  d->y[i] = y;
  d->w[i] = w;
  d->h[i] = h;
}

// "edge n1 n2 count x y x y ...". Edges come in any order; those from one node to another are one.
static void read_curve(Drawing *d, Map *by_ends, const char *line) {
  int from, to, n, at;
  if (sscanf(line, "edge n%d n%d %d%n", &from, &to, &n, &at) != 3) return;
  Edge *e = map_get(by_ends, arena_printf(d->arena, "%d %d", from, to));
  const char *p = line + at;
  for (int i = 0; e && i < 2 * n; i++) {
    char *end;
    double v = strtod(p, &end);
    if (end == p) break;
    vec_push(d->arena, &e->curve, v);
    p = end;
  }
}

// dot reads `file`; false if it cannot be run, or takes too long.
static bool run_dot(Drawing *d, const char *file) {
  const char *command =
      arena_printf(d->arena, "ulimit -t %d; exec dot -Tplain '%s' 2>/dev/null", DOT_SECONDS, file);
  FILE *f = popen(command, "r");
  char *line = NULL;
  size_t room = 0;
  if (!f) return false;
  Map *by_ends = map_new(d->arena);
  for (int i = 0; i < d->edges.n; i++)
    map_put(by_ends, arena_printf(d->arena, "%d %d", d->edges.data[i].from, d->edges.data[i].to),
            &d->edges.data[i]);
  while (getline(&line, &room, f) > 0) {
    read_place(d, line);
    read_curve(d, by_ends, line);
  }
  free(line);
  return pclose(f) == 0;
}

static void find_places(Tool *t, Drawing *d, const Module *m) {
  Str dot = {.arena = t->arena};
  const char *tmp = getenv("TMPDIR");
  char *path = tool_printf(t, "%s/ingot-dot-XXXXXX", tmp && *tmp && !strchr(tmp, '\'') ? tmp : "/tmp");
  one_below_the_other(d);
  int fd = mkstemp(path);
  if (fd < 0) return;
  graph_to_dot(&dot, m, true);
  bool ok = write(fd, dot.s, dot.n) == (ssize_t)dot.n;
  close(fd);
  if (ok && !run_dot(d, path)) one_below_the_other(d);
  unlink(path);
}

// ---- JSON ---------------------------------------------------------------------------------------------------

static void add_text(cJSON *o, const char *key, const char *text) {
  if (text && *text) cJSON_AddStringToObject(o, key, text);
}

static cJSON *origin_json(const Origin *from) {
  cJSON *o = cJSON_CreateObject();
  add_text(o, "n", from->name);
  if (from->loc.line) cJSON_AddNumberToObject(o, "l", from->loc.line);
  return o;
}

static void describe_node(Tool *t, cJSON *o, const Node *n) {
  Str call = {.arena = t->arena};
  node_print_op(&call, n);
  if (!n->kernel) add_text(o, "c", str_text(&call));
  if (n->kernel) add_text(o, "k", n->kernel->name);
  if (n->loc.line) cJSON_AddNumberToObject(o, "l", n->loc.line);
  Str makers = {.arena = t->arena};
  for (int i = 0; i < n->makers.n; i++) str_printf(&makers, "%s%s", i ? ", " : "", n->makers.data[i]);
  add_text(o, "b", str_text(&makers));
  cJSON *from = n->origins.n ? cJSON_AddArrayToObject(o, "f") : NULL;
  for (int i = 0; i < n->origins.n; i++) cJSON_AddItemToArray(from, origin_json(&n->origins.data[i]));
}

static double rounded(double v) {
  return floor(v * 72 + 0.5);
}

static cJSON *item_json(Tool *t, const Drawing *d, int i) {
  const Item *it = &d->items.data[i];
  const Value *v = it->node ? it->node->nout ? it->node->out[0] : NULL : it->value;
  cJSON *o = cJSON_CreateObject();
  add_text(o, "n", it->name);
  add_text(o, "o", op_label(it));
  if (v) add_text(o, "t", type_text(t->ctx, &v->type));
  if (v && v->layout) add_text(o, "y", layout_text(t->ctx, v->layout));
  if (it->node) describe_node(t, o, it->node);
  double place[] = {rounded(d->x[i]), rounded(-d->y[i]), rounded(d->w[i]), rounded(d->h[i])};
  cJSON_AddItemToObject(o, "p", cJSON_CreateDoubleArray(place, 4));
  return o;
}

// As their points in turn; large graphs do without, straight lines are drawn faster.
static void add_curves(Drawing *d, cJSON *o) {
  cJSON *curves = d->items.n <= MANY_ITEMS ? cJSON_AddArrayToObject(o, "curves") : NULL;
  for (int i = 0; curves && i < d->edges.n; i++) {
    const Edge *e = &d->edges.data[i];
    double *p = NEW_ARRAY(d->arena, double, e->curve.n + 1);
    for (int k = 0; k < e->curve.n; k++) p[k] = rounded(k % 2 ? -e->curve.data[k] : e->curve.data[k]);
    cJSON_AddItemToArray(curves, cJSON_CreateDoubleArray(p, e->curve.n));
  }
}

cJSON *report_graph(Tool *t, const Module *m) {
  Drawing d = drawing_of(m);
  int n = d.items.n + 1;
  d.x = NEW_ARRAY(t->arena, double, n);
  d.y = NEW_ARRAY(t->arena, double, n);
  d.w = NEW_ARRAY(t->arena, double, n);
  d.h = NEW_ARRAY(t->arena, double, n);
  find_places(t, &d, m);
  cJSON *o = cJSON_CreateObject(), *nodes = cJSON_AddArrayToObject(o, "nodes");
  for (int i = 0; i < d.items.n; i++) cJSON_AddItemToArray(nodes, item_json(t, &d, i));
  int *flat = NEW_ARRAY(t->arena, int, 2 * d.edges.n + 1);
  for (int i = 0; i < d.edges.n; i++) {
    flat[2 * i] = d.edges.data[i].from;
    flat[2 * i + 1] = d.edges.data[i].to;
  }
  cJSON_AddItemToObject(o, "edges", cJSON_CreateIntArray(flat, 2 * d.edges.n));
  add_curves(&d, o);
  return o;
}

// ---- Model Explorer -----------------------------------------------------------------------------------------

static void add_attr(cJSON *list, const char *key, const char *value) {
  if (!value || !*value) return;
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "key", key);
  cJSON_AddStringToObject(o, "value", value);
  cJSON_AddItemToArray(list, o);
}

// "layer1.0.conv1" -> "layer1/0": what the viewer folds into layers.
static const char *name_space(Tool *t, const char *name) {
  char *s = arena_strdup(t->arena, name), *last = strrchr(s, '.');
  const char *slash = strrchr(s, '/');
  if (!last && !slash) return "";
  if (slash && (!last || slash > last)) last = s + (slash - s);
  *last = 0;
  for (char *p = s; *p; p++)
    if (*p == '.') *p = '/';
  return s;
}

static cJSON *explorer_node(Tool *t, const Drawing *d, int i) {
  const Item *it = &d->items.data[i];
  const Value *v = it->node ? it->node->nout ? it->node->out[0] : NULL : it->value;
  Str op = {.arena = t->arena}, from = {.arena = t->arena};
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "id", tool_printf(t, "%d", i));
  cJSON_AddStringToObject(o, "label", op_label(it));
  cJSON_AddStringToObject(o, "namespace", name_space(t, it->name));
  cJSON *attrs = cJSON_AddArrayToObject(o, "attrs"), *edges = cJSON_AddArrayToObject(o, "incomingEdges");
  add_attr(attrs, "name", it->name);
  if (v) add_attr(attrs, "type", type_text(t->ctx, &v->type));
  if (v && v->layout) add_attr(attrs, "layout", layout_text(t->ctx, v->layout));
  if (it->node) node_print_op(&op, it->node);
  add_attr(attrs, "op", str_text(&op));
  for (int k = 0; it->node && k < it->node->origins.n; k++)
    str_printf(&from, "%s%s", k ? ", " : "", it->node->origins.data[k].name);
  add_attr(attrs, "from", str_text(&from));
  for (int k = 0; k < d->edges.n; k++) {
    if (d->edges.data[k].to != i) continue;
    cJSON *e = cJSON_CreateObject();
    cJSON_AddStringToObject(e, "sourceNodeId", tool_printf(t, "%d", d->edges.data[k].from));
    cJSON_AddItemToArray(edges, e);
  }
  return o;
}

void graph_to_explorer(Tool *t, Str *out, const Module *m) {
  Drawing d = drawing_of(m);
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "label", m->name);
  cJSON *graphs = cJSON_AddArrayToObject(o, "graphs"), *g = cJSON_CreateObject();
  cJSON_AddItemToArray(graphs, g);
  cJSON_AddStringToObject(g, "id", "main");
  cJSON *nodes = cJSON_AddArrayToObject(g, "nodes");
  for (int i = 0; i < d.items.n; i++) cJSON_AddItemToArray(nodes, explorer_node(t, &d, i));
  char *text = cJSON_PrintUnformatted(o);
  if (text) str_puts(out, text);
  cJSON_free(text);
  cJSON_Delete(o);
}
