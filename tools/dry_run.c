// dry_run.c: what a compilation would give: work, memory, and how long a run would take at best.
// SPDX-License-Identifier: Apache-2.0
#include "tools/dry_run.h"

#include "tools/limits.h"

typedef struct Sums {
  Ctx *c;
  bool *counted; // constants, by id
  int kernels, routines;
  double flops, bytes, weights, best_ms;
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

static void add_graph(Sums *s, const Graph *g, const Limits *l, int threads) {
  for (const Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nregions; i++) add_graph(s, n->region[i], l, threads);
    if (!n->kernel) continue;
    double flops = (double)n->kernel->flops, bytes = (double)n->kernel->bytes;
    double arithmetic = flops / l->gflops * 1e-6, memory = bytes / limits_bandwidth(l, bytes, threads) * 1e-6;
    note_constants(s, n->kernel->body);
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
  printf("arena_bytes    %lld\n", (long long)m->arena_bytes);
  printf("weights_bytes  %.0f, most of the library's size\n", s.weights);
  printf("time           at least %.4g ms with %d thread%s, at this machine's limits (%.0f GFLOP/s, %.0f "
         "GB/s)\n",
         s.best_ms, threads, threads == 1 ? "" : "s", l.gflops, l.level[LIMIT_LEVELS - 1].gbs);
}
