// memory.c: the memory plan: lifetimes over the whole graph, buffers shared in place, offsets in one arena.
// SPDX-License-Identifier: Apache-2.0
#include "passes/memory.h"

// ---- positions ----------------------------------------------------------------------------------------------

static void number_graph(Plan *p, Graph *g) {
  for (Node *n = g->first; n; n = n->next) {
    Span *s = n->info = NEW(p->c->arena, Span);
    s->start = p->position++;
    for (int i = 0; i < n->nregions; i++) {
      ptr_put(p->c->arena, &p->region_node, n->region[i], n);
      number_graph(p, n->region[i]);
    }
    s->end = n->nregions ? p->position++ : s->start;
  }
}

static const Span *span_of(const Node *n) {
  return n->info;
}

// ---- values and where they live -----------------------------------------------------------------------------

int64_t memory_bytes(const Plan *p, const Value *v) {
  return v->layout ? layout_bytes(p->c, v->layout, &v->type) : type_bytes(&v->type);
}

static void add_live(Plan *p, Value *v, Graph *owner, int first) {
  v->space = SPACE_ARENA;
  Live *l = v->info = NEW(p->c->arena, Live);
  *l = (Live){.v = v, .owner = owner, .first = first, .last = first, .bytes = memory_bytes(p, v)};
  vec_push(p->c->arena, &p->live, l);
}

static void place_consts(Graph *g) {
  for (int i = 0; i < g->consts.n; i++) g->consts.data[i]->space = SPACE_CONST;
}

// Values of a region live in the arena: its parameters as long as the node runs, since it may repeat.
static void place_region(Plan *p, Graph *g) {
  const Span *s = span_of(ptr_get(&p->region_node, g));
  for (int i = 0; i < g->inputs.n; i++) {
    add_live(p, g->inputs.data[i], g, s->start);
    ((Live *)g->inputs.data[i]->info)->last = s->end;
  }
}

// Inputs and outputs are numbered as the artefact's interface has them, without states.
static void place_main(Plan *p, Graph *g) {
  int input = 0, output = 0;
  for (int i = 0; i < g->inputs.n; i++) {
    if (state_of_input(g, i)) continue;
    g->inputs.data[i]->space = SPACE_INPUT;
    g->inputs.data[i]->offset = input++;
  }
  memory_states(p, g);
  for (int i = 0; i < g->outputs.n; i++) {
    Value *v = g->outputs.data[i];
    if (state_of_output(g, i)) continue;
    int number = output++;
    if (!v->def || v->space == SPACE_OUTPUT) continue;
    v->space = SPACE_OUTPUT;
    v->offset = number;
  }
}

static bool place_graph(Graph *g, void *data) {
  Plan *p = data;
  place_consts(g);
  if (g->parent)
    place_region(p, g);
  else
    place_main(p, g);
  for (Node *n = g->first; n; n = n->next)
    for (int i = 0; i < n->nout; i++)
      if (n->out[i] && n->out[i]->space != SPACE_OUTPUT && n->out[i]->space != SPACE_STATE)
        add_live(p, n->out[i], g, span_of(n)->start);
  return true;
}

// ---- uses ---------------------------------------------------------------------------------------------------

// v is used in graph g at a position: inside a region that may repeat, it is needed to the region's end.
static void use_value(Plan *p, Value *v, Graph *g, int position) {
  Live *l = v ? v->info : NULL;
  if (!l) return;
  while (g != l->owner && g->parent) {
    const Node *holder = ptr_get(&p->region_node, g);
    position = span_of(holder)->end;
    g = g->parent;
  }
  if (position > l->last) l->last = position;
}

static bool use_graph(Graph *g, void *data) {
  Plan *p = data;
  for (Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nin; i++) use_value(p, n->in[i], g, span_of(n)->end);
    for (int i = 0; i < n->nout; i++) use_value(p, n->out[i], g, span_of(n)->end);
  }
  const Node *holder = ptr_get(&p->region_node, g);
  int end = holder ? span_of(holder)->end : p->position;
  for (int i = 0; i < g->outputs.n; i++) use_value(p, g->outputs.data[i], g, end);
  return true;
}

// ---- sharing ------------------------------------------------------------------------------------------------

static Live *live_root(Live *l) {
  while (l->shared) l = l->shared;
  return l;
}

// A kernel's result takes the place of an operand that dies with it.
static void share_with_operand(Plan *p, Node *n, Value *out) {
  Live *l = out->info;
  if (!l || l->part || l->whole) return;
  for (int i = 0; i < n->nin; i++) {
    Value *in = n->in[i];
    Live *k = in && in->info && in->space == SPACE_ARENA ? live_root(in->info) : NULL;
    if (!k || k->part || k->owner != n->graph || k->last != span_of(n)->start || k->bytes < l->bytes)
      continue;
    if (!memory_in_place(p->c, n, in, out)) continue;
    l->shared = k;
    k->last = l->last;
    return;
  }
}

static bool share_graph(Graph *g, void *data) {
  Plan *p = data;
  for (Node *n = g->first; n; n = n->next) memory_alias(p, n);
  for (Node *n = g->first; n; n = n->next)
    if (n->kernel && !n->kernel->routine && n->nout == 1 && n->out[0]->space == SPACE_ARENA)
      share_with_operand(p, n, n->out[0]);
  return true;
}

// ---- the pass -----------------------------------------------------------------------------------------------

static void store_offsets(Plan *p) {
  for (int i = 0; i < p->live.n; i++) {
    Live *l = p->live.data[i];
    const Value *root = l->v;
    while (root->base) root = root->base;
    l->v->space = root->space;
    if (!l->part) l->v->offset = live_root(l)->offset;
  }
}

bool pass_memory(Module *m, const PassOptions *o) {
  Plan p = {.c = m->ctx, .m = m, .opt = o->opt_level};
  if (o->opt_level >= 1) each_graph(m->main, memory_order, &p);
  clear_info(m->main);
  number_graph(&p, m->main);
  each_graph(m->main, place_graph, &p);
  each_graph(m->main, use_graph, &p);
  if (o->opt_level >= 1) each_graph(m->main, share_graph, &p);
  m->arena_bytes = memory_fit(&p);
  store_offsets(&p);
  clear_info(m->main);
  return module_verify_places(m, "memory");
}
