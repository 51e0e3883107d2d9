// graph.c: values, nodes and graphs: making, linking, replacing, copying.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"

// ---- values ---------------------------------------------------------------------------------------------

Value *value_new(Ctx *c, const char *name, Type type, Loc loc) {
  Value *v = NEW(c->arena, Value);
  v->id = c->next_value++;
  v->name = name ? arena_strdup(c->arena, name) : arena_printf(c->arena, "v%d", v->id);
  v->type = type;
  v->loc = loc;
  return v;
}

void remark(Module *m, const char *pass, const Value *about, const char *fmt, ...) {
  if (!m->wants_remarks) return;
  va_list ap;
  va_start(ap, fmt);
  Remark r = {pass, about->name, about->def ? about->def->loc : about->loc,
              arena_vprintf(m->ctx->arena, fmt, ap)};
  va_end(ap);
  vec_push(m->ctx->arena, &m->remarks, r);
}

Graph *graph_new(Module *m, const char *name, Graph *parent) {
  Graph *g = NEW(m->ctx->arena, Graph);
  g->ctx = m->ctx;
  g->module = m;
  g->name = arena_strdup(m->ctx->arena, name);
  g->parent = parent;
  return g;
}

Value *graph_input(Graph *g, const char *name, Type type, Loc loc) {
  Value *v = value_new(g->ctx, name, type, loc);
  vec_push(g->ctx->arena, &g->inputs, v);
  return v;
}

Value *graph_const(Graph *g, const char *name, const Tensor *t, Loc loc) {
  Value *v = value_new(g->ctx, name, t->type, loc);
  v->data = t;
  vec_push(g->ctx->arena, &g->consts, v);
  return v;
}

void graph_output(Graph *g, const char *name, Value *v) {
  vec_push(g->ctx->arena, &g->outputs, v);
  vec_push(g->ctx->arena, &g->output_names, name ? arena_strdup(g->ctx->arena, name) : v->name);
}

// ---- nodes in their list ----------------------------------------------------------------------------------

static void unlink_node(Node *n) {
  Graph *g = n->graph;
  *(n->prev ? &n->prev->next : &g->first) = n->next;
  *(n->next ? &n->next->prev : &g->last) = n->prev;
  n->prev = n->next = NULL;
}

void node_insert(Graph *g, Node *n, Node *before) {
  n->graph = g;
  n->next = before;
  n->prev = before ? before->prev : g->last;
  *(n->prev ? &n->prev->next : &g->first) = n;
  *(before ? &before->prev : &g->last) = n;
}

void node_remove(Node *n) {
  unlink_node(n);
  n->graph->nnodes--;
}

void node_move_before(Node *n, Node *before) {
  if (n == before) return;
  unlink_node(n);
  node_insert(n->graph, n, before);
}

// ---- symbols that nodes find out ----------------------------------------------------------------------------

const Sym *node_data_sym(const Node *n) {
  if (n->kernel) n = n->kernel->routine_node;
  for (int i = 0; n && i < n->op->nattr; i++) {
    const Attr *a = &n->attr[i];
    if (strcmp(a->name, "extent") != 0 || a->kind != ATTR_SHAPE || a->n != 1) continue;
    const Expr *e = a->dims[0].sym;
    return e && e->op == E_SYM && e->sym->data_dependent ? e->sym : NULL;
  }
  return NULL;
}

typedef struct SymUse {
  Ctx *c;
  const Sym *sym;
} SymUse;

static bool is_without_sym(const Expr *e, void *data) {
  const SymUse *u = data;
  if (e->op == E_SYM) return e->sym != u->sym;
  for (int i = 0; e->op == E_REDUCE && i < e->reduce.nvars; i++)
    if (!expr_visit(u->c, e->reduce.vars[i]->extent, is_without_sym, data)) return false;
  return true;
}

bool expr_uses_sym(Ctx *c, const Expr *e, const Sym *s) {
  SymUse u = {c, s};
  return e && !expr_visit(c, e, is_without_sym, &u);
}

bool type_uses_sym(Ctx *c, const Type *t, const Sym *s) {
  for (int d = 0; d < t->rank; d++)
    if (expr_uses_sym(c, t->dim[d].sym, s)) return true;
  return false;
}

// ---- values in kernels --------------------------------------------------------------------------------------

// What a rename makes of v: another value, or v itself.
typedef struct Rename {
  Value *(*fn)(Value *v, void *data);
  void *data;
} Rename;

static const Expr *rename_read(Ctx *c, const Expr *e, void *data) {
  const Rename *r = data;
  if (e->op != E_READ) return e;
  Value *v = r->fn(e->value, r->data);
  return v == e->value ? e : ex_read(c, v, e->args, e->nargs);
}

static const Expr *rename_expr(Ctx *c, const Expr *e, Rename *r) {
  return expr_rewrite(c, e, rename_read, r);
}

static const Expr *const *rename_list(Ctx *c, const Expr *const *list, int n, Rename *r) {
  if (!list) return NULL;
  const Expr **out = NEW_ARRAY(c->arena, const Expr *, n);
  for (int i = 0; i < n; i++) out[i] = rename_expr(c, list[i], r);
  return out;
}

static Stmt *rename_stmts(Ctx *c, const Stmt *s, Rename *r) {
  Stmt *first = NULL, **at = &first;
  for (; s; s = s->next, at = &(*at)->next) {
    Stmt *t = *at = arena_dup(c->arena, s, sizeof *s);
    t->next = NULL;
    switch (s->kind) {
    case S_FOR: t->loop.body = rename_stmts(c, s->loop.body, r); break;
    case S_STORE:
      t->store.dst = r->fn(s->store.dst, r->data);
      t->store.index = rename_list(c, s->store.index, s->store.nindex, r);
      t->store.value = rename_expr(c, s->store.value, r);
      break;
    case S_LET: t->let.value = rename_expr(c, s->let.value, r); break;
    case S_IF:
      t->cond.cond = rename_expr(c, s->cond.cond, r);
      t->cond.then = rename_stmts(c, s->cond.then, r);
      t->cond.otherwise = rename_stmts(c, s->cond.otherwise, r);
      break;
    case S_ALLOC: t->alloc = r->fn(s->alloc, r->data); break;
    case S_PREFETCH:
      t->prefetch.of = r->fn(s->prefetch.of, r->data);
      t->prefetch.at = rename_expr(c, s->prefetch.at, r);
      break;
    }
  }
  return first;
}

// A copy of k with its values renamed.
static Kernel *kernel_rename(Ctx *c, const Kernel *k, Rename *r) {
  Kernel *copy = arena_dup(c->arena, k, sizeof *k);
  memset(&copy->locals, 0, sizeof copy->locals);
  memset(&copy->stages, 0, sizeof copy->stages);
  for (int i = 0; i < k->locals.n; i++) vec_push(c->arena, &copy->locals, r->fn(k->locals.data[i], r->data));
  for (int i = 0; i < k->stages.n; i++) {
    Stage s = k->stages.data[i];
    s.out = r->fn(s.out, r->data);
    s.index = rename_list(c, s.index, s.out->type.rank, r);
    s.value = rename_expr(c, s.value, r);
    vec_push(c->arena, &copy->stages, s);
  }
  copy->body = rename_stmts(c, k->body, r);
  return copy;
}

// ---- replacing ----------------------------------------------------------------------------------------------

void value_replace(Value *old, Value *by) {
  by = value_resolve(by);
  if (old != by) old->forward = by;
}

Value *value_resolve(Value *v) {
  Value *end = v;
  while (end->forward) end = end->forward;
  while (v->forward && v->forward != end) { // shorten the way for the next who asks
    Value *next = v->forward;
    v->forward = end;
    v = next;
  }
  return end;
}

static Value *resolve_in_kernel(Value *v, void *data) {
  (void)data;
  return value_resolve(v);
}

static void resolve_node(Ctx *c, Node *n) {
  bool changed = false;
  for (int i = 0; i < n->nin; i++) {
    if (!n->in[i] || !n->in[i]->forward) continue;
    n->in[i] = value_resolve(n->in[i]);
    changed = true;
  }
  for (int i = 0; i < n->nregions; i++) graph_resolve(n->region[i]);
  if (changed && n->kernel) *n->kernel = *kernel_rename(c, n->kernel, &(Rename){resolve_in_kernel, NULL});
}

void graph_resolve(Graph *g) {
  for (Node *n = g->first; n; n = n->next) resolve_node(g->ctx, n);
  for (int i = 0; i < g->outputs.n; i++) g->outputs.data[i] = value_resolve(g->outputs.data[i]);
  for (int i = 0; i < g->states.n; i++)
    if (g->states.data[i].init) g->states.data[i].init = value_resolve(g->states.data[i].init);
}

// ---- uses -----------------------------------------------------------------------------------------------

static void clear_uses(Graph *g) {
  for (int i = 0; i < g->inputs.n; i++) g->inputs.data[i]->uses = 0;
  for (int i = 0; i < g->consts.n; i++) g->consts.data[i]->uses = 0;
  for (Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nout; i++) n->out[i]->uses = 0;
    for (int i = 0; i < n->nregions; i++) clear_uses(n->region[i]);
  }
}

static void add_uses(Graph *g) {
  for (Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nin; i++)
      if (n->in[i]) n->in[i]->uses++;
    for (int i = 0; i < n->nregions; i++) add_uses(n->region[i]);
  }
  for (int i = 0; i < g->outputs.n; i++) g->outputs.data[i]->uses++;
  for (int i = 0; i < g->states.n; i++)
    if (g->states.data[i].init) g->states.data[i].init->uses++;
}

void graph_count_uses(Graph *g) {
  clear_uses(g);
  add_uses(g);
}

// ---- copying ----------------------------------------------------------------------------------------------

// Where the values of the copied graph went, by id; values with other ids, and NULL, stay themselves.
typedef struct Copy {
  Ctx *ctx;
  Value **map;
  int n;
} Copy;

static Value *copied(Value *v, void *data) {
  const Copy *c = data;
  return v && v->id < c->n && c->map[v->id] ? c->map[v->id] : v;
}

static Value *copy_value(Copy *c, Value *v) {
  Value *w = arena_dup(c->ctx->arena, v, sizeof *v);
  w->id = c->ctx->next_value++;
  w->forward = NULL;
  w->def = NULL;
  c->map[v->id] = w;
  return w;
}

static void copy_contents(Copy *c, const Graph *from, Graph *into, Node *before, const Builder *b);

static Graph *copy_region(Copy *c, const Graph *g, Graph *parent) {
  Graph *r = graph_new(parent->module, g->name, parent);
  for (int i = 0; i < g->inputs.n; i++) vec_push(c->ctx->arena, &r->inputs, copy_value(c, g->inputs.data[i]));
  copy_contents(c, g, r, NULL, NULL);
  for (int i = 0; i < g->outputs.n; i++)
    graph_output(r, g->output_names.data[i], copied(g->outputs.data[i], c));
  return r;
}

// `b`, if given, says who made the copy.
static Node *copy_node(Copy *c, const Node *n, Graph *into, const Builder *b) {
  Arena *a = c->ctx->arena;
  Node *m = arena_dup(a, n, sizeof *n);
  m->id = c->ctx->next_node++;
  m->graph = into;
  m->info = NULL;
  memset(&m->makers, 0, sizeof m->makers);
  for (int i = 0; i < n->makers.n; i++) vec_push(a, &m->makers, n->makers.data[i]);
  if (b) node_add_maker(m, b->made_by);
  memset(&m->origins, 0, sizeof m->origins);
  for (int i = 0; i < n->origins.n; i++) vec_push(a, &m->origins, n->origins.data[i]);
  m->in = NEW_ARRAY(a, Value *, n->nin);
  for (int i = 0; i < n->nin; i++) m->in[i] = copied(n->in[i], c);
  m->out = NEW_ARRAY(a, Value *, n->nout);
  for (int i = 0; i < n->nout; i++) {
    m->out[i] = copy_value(c, n->out[i]);
    m->out[i]->def = m;
  }
  m->attr = arena_dup(a, n->attr, (size_t)(n->op->nattr) * sizeof(Attr));
  m->region = NEW_ARRAY(a, Graph *, n->nregions);
  for (int i = 0; i < n->nregions; i++) m->region[i] = copy_region(c, n->region[i], into);
  if (n->kernel) {
    for (int i = 0; i < n->kernel->locals.n; i++) copy_value(c, n->kernel->locals.data[i]);
    m->kernel = kernel_rename(c->ctx, n->kernel, &(Rename){copied, c});
  }
  return m;
}

static void copy_contents(Copy *c, const Graph *from, Graph *into, Node *before, const Builder *b) {
  for (int i = 0; i < from->consts.n; i++)
    vec_push(c->ctx->arena, &into->consts, copy_value(c, from->consts.data[i]));
  for (const Node *n = from->first; n; n = n->next) {
    node_insert(into, copy_node(c, n, into, b), before);
    into->nnodes++;
  }
}

bool graph_inline(Builder *b, const Graph *g, Value *const *args, Value **results) {
  Ctx *ctx = b->ctx;
  Copy c = {.ctx = ctx, .n = ctx->next_value};
  c.map = NEW_ARRAY(ctx->arena, Value *, c.n);
  for (int i = 0; i < g->inputs.n; i++) c.map[g->inputs.data[i]->id] = args[i];
  copy_contents(&c, g, b->graph, b->before, b);
  for (int i = 0; i < g->outputs.n; i++) results[i] = copied(g->outputs.data[i], &c);
  return true;
}

const Node *graph_find_kernel(const Graph *g, const char *name) {
  for (const Node *n = g->first; n; n = n->next) {
    if (n->kernel && strcmp(n->kernel->name, name) == 0) return n;
    for (int i = 0; i < n->nregions; i++) {
      const Node *inner = graph_find_kernel(n->region[i], name);
      if (inner) return inner;
    }
  }
  return NULL;
}

// ---- attributes -------------------------------------------------------------------------------------------

const Attr *node_attr(const Node *n, const char *name) {
  for (int i = 0; i < n->op->nattr; i++)
    if (strcmp(n->op->attr[i].name, name) == 0) return &n->attr[i];
  return NULL;
}

int64_t attr_int(const Node *n, const char *name) {
  return node_attr(n, name)->i;
}

double attr_float(const Node *n, const char *name) {
  return node_attr(n, name)->f;
}

bool attr_bool(const Node *n, const char *name) {
  return node_attr(n, name)->i != 0;
}

const char *attr_string(const Node *n, const char *name) {
  return node_attr(n, name)->s;
}

DType attr_dtype(const Node *n, const char *name) {
  return node_attr(n, name)->t;
}
