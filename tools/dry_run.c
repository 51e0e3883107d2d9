// dry_run.c: what a compilation would give: work, memory, and how long a run would take at best.
// SPDX-License-Identifier: Apache-2.0
#include "tools/dry_run.h"

#include <stdlib.h>

#include "tools/limits.h"

typedef struct Sums {
  Ctx *c;
  bool *counted; // constants, by id
  int kernels, routines;
  double flops, bytes, weights, best_ms;
  int64_t scratch;
  int classes[16]; // kernels by schedule, see names
  const char *names[16];
} Sums;

static void count_class(Sums *s, const char *kind) {
  int i = 0;
  while (i < ARRAY_LEN(s->names) - 1 && s->names[i] && strcmp(s->names[i], kind) != 0) i++;
  s->names[i] = kind;
  s->classes[i]++;
}

// ---- constants: those that loops read, not only definitions ---------------------------------------------------

static bool note_constant(const Expr *e, void *data) {
  Sums *s = data;
  const Value *v = e->op == E_READ ? e->value : NULL;
  if (!v || !v->data || s->counted[v->id]) return true;
  s->counted[v->id] = true;
  s->weights += (double)layout_bytes(s->c, v->layout, &v->type);
  return true;
}

static void note_constants(Sums *s, const Stmt *x) {
  for (; x; x = x->next) {
    if (x->kind == S_FOR) note_constants(s, x->loop.body);
    if (x->kind == S_STORE) expr_visit(s->c, x->store.value, note_constant, s);
    for (int i = 0; x->kind == S_STORE && i < x->store.nindex; i++)
      expr_visit(s->c, x->store.index[i], note_constant, s);
    if (x->kind == S_LET) expr_visit(s->c, x->let.value, note_constant, s);
    if (x->kind != S_IF) continue;
    expr_visit(s->c, x->cond.cond, note_constant, s);
    note_constants(s, x->cond.then);
    note_constants(s, x->cond.otherwise);
  }
}

// ---- what lives at the same time --------------------------------------------------------------------------------

// Bytes of the arena and the time in which a value lies there, in positions of the nodes' order.
typedef struct Place {
  int64_t from, to;
  int first, last;
} Place;

typedef struct Places {
  Ctx *c;
  Place **of; // by the value's id
  Vec(Place *) list;
  Vec(Place *) used; // in the order of use
  int position;
} Places;

static void note_place(Places *p, const Value *v) {
  int64_t from = v->offset;
  const Value *root = v;
  for (; root->base; root = root->base) from += root->base->offset;
  if (root->space != SPACE_ARENA) return;
  Place *place = NEW(p->c->arena, Place);
  *place = (Place){from, from + (v->layout ? layout_bytes(p->c, v->layout, &v->type) : type_bytes(&v->type)),
                   p->position, p->position};
  p->of[v->id] = place;
  vec_push(p->c->arena, &p->list, place);
}

static void use_place(Places *p, const Value *v) {
  Place *place = v ? p->of[v->id] : NULL;
  if (!place) return;
  place->last = p->position;
  vec_push(p->c->arena, &p->used, place);
}

static void walk_places(Places *p, const Graph *g) {
  for (const Node *n = g->first; n; n = n->next) {
    int start = ++p->position, uses = p->used.n;
    for (int i = 0; i < n->nout; i++)
      if (n->out[i]) note_place(p, n->out[i]);
    for (int i = 0; i < n->nregions; i++) {
      for (int k = 0; k < n->region[i]->inputs.n; k++) note_place(p, n->region[i]->inputs.data[k]);
      walk_places(p, n->region[i]);
    }
    if (n->nregions) p->position++;
    for (int i = uses; i < p->used.n; i++) // a region may repeat: what it reads is needed to its end
      if (p->used.data[i]->first <= start) p->used.data[i]->last = p->position;
    for (int i = 0; i < n->nin; i++) use_place(p, n->in[i]);
    for (int i = 0; i < n->nout; i++) use_place(p, n->out[i]);
  }
  for (int i = 0; i < g->outputs.n; i++) use_place(p, g->outputs.data[i]);
}

static int by_start(const void *x, const void *y) {
  const Place *a = *(Place *const *)x, *b = *(Place *const *)y;
  return a->from < b->from ? -1 : a->from > b->from;
}

// The most bytes that hold something needed at one time; what lies in the same place counts once.
static int64_t live_bytes(const Module *m) {
  Places p = {.c = m->ctx, .of = NEW_ARRAY(m->ctx->arena, Place *, m->ctx->next_value)};
  int64_t most = 0;
  walk_places(&p, m->main);
  if (p.list.n) qsort(p.list.data, (size_t)p.list.n, sizeof *p.list.data, by_start);
  for (int t = 0; t <= p.position; t++) {
    int64_t now = 0, top = 0;
    for (int i = 0; i < p.list.n; i++) {
      const Place *x = p.list.data[i];
      if (t < x->first || t > x->last || x->to <= top) continue;
      now += x->to - (x->from > top ? x->from : top);
      top = x->to;
    }
    if (now > most) most = now;
  }
  return most;
}

static void add_graph(Sums *s, const Graph *g, const Limits *l, int threads) {
  for (const Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nregions; i++) add_graph(s, n->region[i], l, threads);
    if (!n->kernel) continue;
    double flops = (double)n->kernel->flops, bytes = (double)n->kernel->bytes;
    double arithmetic = flops / l->gflops * 1e-6, memory = bytes / limits_bandwidth(l, bytes, threads) * 1e-6;
    note_constants(s, n->kernel->body);
    if (n->kernel->scratch > s->scratch) s->scratch = n->kernel->scratch;
    s->kernels++;
    s->flops += flops;
    s->bytes += bytes;
    s->best_ms += arithmetic > memory ? arithmetic : memory;
    count_class(s, n->kernel->routine         ? "routine"
                   : n->kernel->schedule.kind ? n->kernel->schedule.kind
                                              : "none");
  }
}

void dry_run_print(const BuildArgs *a, const Module *m) {
  int threads = a->pass.threads ? a->pass.threads : 1;
  Limits l = limits_measure(
      threads, m->target->vector_bytes <= 64 ? limits_vector_bytes(m->target->vector_bytes == 64) : 16);
  Sums s = {.c = m->ctx, .counted = NEW_ARRAY(m->ctx->arena, bool, m->ctx->next_value)};
  add_graph(&s, m->main, &l, threads);
  printf("%s for %s, nothing is written\n", m->name, m->target->name);
  printf("kernels        %d:", s.kernels);
  for (int i = 0; i < ARRAY_LEN(s.names) && s.names[i]; i++) printf(" %d %s", s.classes[i], s.names[i]);
  printf("\nflops          %.4g\nbytes moved    %.4g\n", s.flops, s.bytes);
  printf("arena_bytes    %lld", (long long)m->arena_bytes);
  printf(", of which %lld live at the same time at most", (long long)live_bytes(m));
  printf("\nscratch_bytes  %lld for each thread\n", (long long)s.scratch);
  printf("weights_bytes  %.0f, most of the library's size\n", s.weights);
  printf("time           at least %.4g ms with %d thread%s, at this machine's limits (%.0f GFLOP/s, %.0f "
         "GB/s)\n",
         s.best_ms, threads, threads == 1 ? "" : "s", l.gflops, l.level[LIMIT_LEVELS - 1].gbs);
}
