// reduce.c: single steps of simplification of a model; the driver keeps those that still fail.
// SPDX-License-Identifier: Apache-2.0
//
// Steps are numbered, what cuts most comes first: fewer outputs, a node's results as inputs, a node left out,
// smaller extents, default attributes. The graph is built anew by the builder, which infers every type.
#include "tests/fuzz/fuzz.h"

typedef enum EditKind {
  KEEP_OUTPUT,
  DROP_OUTPUT,
  CUT_NODE,
  BYPASS_NODE,
  SHRINK_EXTENT,
  RESET_ATTR,
  EDIT_KINDS
} EditKind;

typedef struct Rebuild {
  Ctx *c;
  Graph *to;
  EditKind kind;
  int index; // of the output, node, extent and size, attribute
  int node, attr;
  int64_t from, by; // SHRINK_EXTENT
  bool done, ok;
} Rebuild;

// ---- counting ---------------------------------------------------------------------------------------------------

// Distinct constant extents of inputs and constants, largest first.
static int extents(const Graph *g, int64_t *out, int max) {
  int n = 0;
  for (int i = 0; i < g->inputs.n + g->consts.n; i++) {
    const Value *v = i < g->inputs.n ? g->inputs.data[i] : g->consts.data[i - g->inputs.n];
    for (int d = 0; d < v->type.rank; d++) {
      int64_t e = v->type.dim[d].n;
      int k = 0;
      while (k < n && out[k] != e) k++;
      if (e > 1 && !v->type.dim[d].sym && k == n && n < max) out[n++] = e;
    }
  }
  return n;
}

static int count_attrs(const Graph *g) {
  int n = 0;
  for (const Node *v = g->first; v; v = v->next) n += v->op->nattr;
  return n;
}

enum { MAX_EXTENTS = 64, SHRINKS = 4 };

static int count(const Graph *g, EditKind kind) {
  int64_t e[MAX_EXTENTS];
  switch (kind) {
  case KEEP_OUTPUT:
  case DROP_OUTPUT: return g->outputs.n > 1 ? g->outputs.n : 0;
  case CUT_NODE:
  case BYPASS_NODE: return g->nnodes;
  case SHRINK_EXTENT: return SHRINKS * extents(g, e, MAX_EXTENTS);
  case RESET_ATTR: return count_attrs(g);
  default: return 0;
  }
}

// ---- building anew ------------------------------------------------------------------------------------------------

static Value *mapped(const Value *v) {
  return v ? v->info : NULL;
}

static Type shrunk(const Rebuild *r, const Type *t) {
  Type s = *t;
  for (int d = 0; r->kind == SHRINK_EXTENT && d < s.rank; d++)
    if (!s.dim[d].sym && s.dim[d].n == r->from) s.dim[d].n = r->by;
  return s;
}

static void copy_leaves(Rebuild *r, const Graph *g) {
  for (int i = 0; i < g->inputs.n; i++) {
    Value *v = g->inputs.data[i];
    v->info = graph_input(r->to, v->name, shrunk(r, &v->type), NO_LOC);
  }
  for (int i = 0; i < g->consts.n; i++) {
    Value *v = g->consts.data[i];
    Type t = shrunk(r, &v->type);
    bool same = type_equal(&t, &v->type);
    v->info = graph_const(r->to, v->name, same ? v->data : fuzz_tensor(r->c, v->name, &t), NO_LOC);
  }
}

static Attr shrunk_attr(const Rebuild *r, const Attr *a) {
  Attr s = *a;
  if (r->kind != SHRINK_EXTENT) return s;
  if (a->kind == ATTR_INT && a->i == r->from) s.i = r->by;
  if (a->kind == ATTR_INTS) {
    int64_t *v = NEW_ARRAY(r->c->arena, int64_t, a->n + 1);
    for (int i = 0; i < a->n; i++) v[i] = a->ints[i] == r->from ? r->by : a->ints[i];
    s.ints = v;
  }
  if (a->kind == ATTR_SHAPE) {
    Dim *v = NEW_ARRAY(r->c->arena, Dim, a->n + 1);
    for (int i = 0; i < a->n; i++)
      v[i] = !a->dims[i].sym && a->dims[i].n == r->from ? dim_const(r->by) : a->dims[i];
    s.dims = v;
  }
  return s;
}

static bool knows_extent(const Expr *e, void *data) {
  (void)data;
  return e->op != E_SYM || !e->sym->data_dependent;
}

// An extent that a routine finds out cannot be that of an input.
static bool can_be_input(Ctx *c, const Type *t) {
  for (int d = 0; d < t->rank; d++)
    if (t->dim[d].sym && !expr_visit(c, t->dim[d].sym, knows_extent, NULL)) return false;
  return true;
}

static bool cut(Rebuild *r, const Node *n) {
  for (int k = 0; k < n->nout; k++)
    if (!can_be_input(r->c, &n->out[k]->type)) return false;
  for (int k = 0; k < n->nout; k++)
    n->out[k]->info =
        graph_input(r->to, arena_printf(r->c->arena, "n_%s", n->out[k]->name), n->out[k]->type, NO_LOC);
  return r->done = true;
}

// The result becomes an operand of the same type.
static bool bypass(Rebuild *r, const Node *n) {
  for (int i = 0; n->nout == 1 && i < n->nin; i++) {
    Value *v = mapped(n->in[i]);
    if (!v || !type_equal(&v->type, &n->out[0]->type)) continue;
    n->out[0]->info = v;
    return r->done = true;
  }
  return false;
}

static bool copy_node(Rebuild *r, Builder *b, const Node *n);

static Graph *copy_region(Rebuild *r, const Graph *g, Graph *parent) {
  Graph *to = graph_new(parent->module, g->name, parent), *outer = r->to;
  Builder b = builder_at(to, NULL, NO_LOC);
  r->to = to;
  copy_leaves(r, g);
  for (const Node *n = g->first; n; n = n->next)
    if (!copy_node(r, &b, n)) return NULL;
  for (int i = 0; i < g->outputs.n; i++) graph_output(to, NULL, mapped(g->outputs.data[i]));
  r->to = outer;
  return to;
}

static bool copy_node(Rebuild *r, Builder *b, const Node *n) {
  Value **in = NEW_ARRAY(r->c->arena, Value *, n->nin + 1);
  Attr *attrs = NEW_ARRAY(r->c->arena, Attr, n->op->nattr + 1);
  Graph **regions = NEW_ARRAY(r->c->arena, Graph *, n->nregions + 1);
  int nattrs = 0;
  for (int i = 0; i < n->nin; i++) in[i] = mapped(n->in[i]);
  for (int i = 0; i < n->op->nattr; i++) {
    bool reset = r->kind == RESET_ATTR && r->attr++ == r->index && n->attr[i].given &&
                 strcmp(n->attr[i].name, "extent") != 0; // would make a new symbol every time
    if (reset)
      r->done = true;
    else if (n->attr[i].given)
      attrs[nattrs++] = shrunk_attr(r, &n->attr[i]);
  }
  for (int i = 0; i < n->nregions; i++)
    if (!(regions[i] = copy_region(r, n->region[i], b->graph))) return false;
  Node *copy = build_region_node(b, n->op->name, in, n->nin, attrs, nattrs, regions, n->nregions);
  for (int k = 0; copy && k < n->nout && k < copy->nout; k++) {
    n->out[k]->info = copy->out[k];
    copy->out[k]->name = n->out[k]->name;
  }
  return copy != NULL;
}

static bool copy_nodes(Rebuild *r, const Graph *g) {
  Builder b = builder_at(r->to, NULL, NO_LOC);
  for (const Node *n = g->first; n; n = n->next) {
    bool here = g->nnodes - 1 - r->node++ == r->index; // the last first
    if (here && r->kind == CUT_NODE) {
      if (!cut(r, n)) return false;
    } else if (!(here && r->kind == BYPASS_NODE && bypass(r, n)) && !copy_node(r, &b, n))
      return false;
  }
  return true;
}

static void copy_outputs(Rebuild *r, const Graph *g) {
  for (int i = 0; i < g->outputs.n; i++) {
    bool keep = r->kind == KEEP_OUTPUT ? i == r->index : r->kind == DROP_OUTPUT ? i != r->index : true;
    if (keep) graph_output(r->to, g->output_names.data[i], mapped(g->outputs.data[i]));
    r->done |= !keep;
  }
}

static bool choose(Rebuild *r, const Graph *g, int step) {
  for (int kind = 0; kind < EDIT_KINDS; kind++) {
    int n = count(g, kind);
    r->kind = kind;
    r->index = step;
    if (step < n) return true;
    step -= n;
  }
  return false;
}

static void choose_extent(Rebuild *r, const Graph *g) {
  int64_t e[MAX_EXTENTS];
  extents(g, e, MAX_EXTENTS);
  r->from = e[r->index / SHRINKS];
  int64_t to[SHRINKS] = {1, 2, r->from / 2, r->from - 1};
  r->by = to[r->index % SHRINKS];
  r->done = r->by < r->from && r->by > 0;
}

// ---- symbols --------------------------------------------------------------------------------------------------------

static bool note_sym(const Expr *e, void *data) {
  Map *used = data;
  if (e->op == E_SYM) map_put(used, e->sym->name, (void *)e->sym);
  return true;
}

static void note_dims(Ctx *c, Map *used, const Dim *dim, int n) {
  for (int d = 0; d < n; d++)
    if (dim[d].sym) expr_visit(c, dim[d].sym, note_sym, used);
}

static void note_graph(Ctx *c, Map *used, const Graph *g) {
  for (int i = 0; i < g->inputs.n; i++)
    note_dims(c, used, g->inputs.data[i]->type.dim, g->inputs.data[i]->type.rank);
  for (const Node *n = g->first; n; n = n->next) {
    for (int k = 0; k < n->nout; k++) note_dims(c, used, n->out[k]->type.dim, n->out[k]->type.rank);
    for (int i = 0; i < n->op->nattr; i++)
      if (n->attr[i].kind == ATTR_SHAPE) note_dims(c, used, n->attr[i].dims, n->attr[i].n);
    for (int i = 0; i < n->nregions; i++) note_graph(c, used, n->region[i]);
  }
}

// Only symbols that are used: every rebuilding makes new ones for extents that depend on data.
static void prune_syms(Ctx *c, Module *m) {
  Map *used = map_new(c->arena);
  int n = 0;
  note_graph(c, used, m->main);
  for (int i = 0; i < m->syms.n; i++) {
    Sym *s = m->syms.data[i];
    if (!map_get(used, s->name)) continue;
    s->index = n;
    m->syms.data[n++] = s;
  }
  m->syms.n = n;
}

static void clear(const Graph *g) {
  for (int i = 0; i < g->inputs.n; i++) g->inputs.data[i]->info = NULL;
  for (int i = 0; i < g->consts.n; i++) g->consts.data[i]->info = NULL;
  for (Node *n = g->first; n; n = n->next) {
    for (int k = 0; k < n->nout; k++) n->out[k]->info = NULL;
    for (int i = 0; i < n->nregions; i++) clear(n->region[i]);
  }
}

char *fuzz_edit(Ctx *c, const char *text, int step, bool *end) {
  Module *m = module_parse(c, source_from_text(c->arena, "model.ing", text));
  Graph *g = m ? m->main : NULL;
  Rebuild r = {.c = c};
  *end = !g || !choose(&r, g, step);
  if (*end) return NULL;
  r.to = graph_new(m, "main", NULL);
  if (r.kind == SHRINK_EXTENT) choose_extent(&r, g);
  clear(g);
  copy_leaves(&r, g);
  if (!copy_nodes(&r, g)) return NULL;
  copy_outputs(&r, g);
  if (!r.done) return NULL;
  m->main = r.to;
  fuzz_prune(r.to);
  prune_syms(c, m);
  Str s = {.arena = c->arena};
  module_print(&s, m, NULL);
  return str_text(&s);
}
