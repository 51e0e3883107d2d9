// dry_run.c: what a compilation would give: work, memory, and how long a run would take at best.
// SPDX-License-Identifier: Apache-2.0
#include "tools/dry_run.h"

#include <math.h>
#include <stdlib.h>

#include "tools/limits.h"

// What the cost model says of a kernel, when its schedule has been chosen.
typedef struct Expected {
  double cycles;
  uint64_t key; // kernels of one key share their code
} Expected;

typedef struct Sums {
  Ctx *c;
  const Target *target;
  Map *expected;              // by the kernel's name
  const Limits *here, *there; // of this machine, NULL if it is another architecture's; of the target
  int threads;
  Vec(uint64_t) keys; // of kernels whose code has been counted
  bool *counted;      // constants, by id
  int kernels, routines;
  double flops, bytes, weights, ms, code;
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

// ---- time ---------------------------------------------------------------------------------------------------------

// What the cost model's core does in a cycle: two multiply-adds of vectors.
static double flops_per_cycle(const Target *t) {
  return 2.0 * 2 * t->vector_bytes / dtype_bytes(DT_F32);
}

// Limits of the target's row: clock and units, and the cost model's bytes a cycle. Threads share memory.
static Limits limits_stated(const Target *t, int threads) {
  double l2 = t->costs.l2_bytes, memory = t->costs.memory_bytes;
  return (Limits){.gflops = t->ghz * t->fmas / 2 * flops_per_cycle(t) * threads,
                  .level = {{"L1", t->l1, 2 * t->ghz * t->vector_bytes * threads},
                            {"L2", t->l2, l2 * t->ghz * threads},
                            {"L3", t->l3, (l2 + memory) / 2 * t->ghz * threads},
                            {"memory", INT64_MAX, memory * t->ghz}}};
}

// What kernels take beyond the model's cycles: epilogues, packing, what lies in another cache than expected. The median of
// eight models on a Zen 3 core (docs/inspecting.md).
static const double BEYOND = 1.25;

static double roof_ms(const Limits *l, double flops, double bytes, int threads) {
  double arithmetic = flops / l->gflops * 1e-6, memory = bytes / limits_bandwidth(l, bytes, threads) * 1e-6;
  return arithmetic > memory ? arithmetic : memory;
}

// The least time of a kernel, wherever its operands lie when it begins: as much as fits is in the nearest level.
static double least_ms(const Limits *l, double flops, double bytes, int threads) {
  double arithmetic = flops / l->gflops * 1e-6, memory = 0, nearer = 0;
  for (int i = 0; i < LIMIT_LEVELS && nearer < bytes; i++) {
    double up_to = fmin(bytes, fmax(nearer, (double)l->level[i].bytes * threads));
    memory += (up_to - nearer) / l->level[i].gbs * 1e-6;
    nearer = up_to;
  }
  return fmax(arithmetic, memory);
}

// ---- kernels ------------------------------------------------------------------------------------------------------

static void expect_graph(Sums *s, Module *m, Graph *g) {
  for (Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nregions; i++) expect_graph(s, m, n->region[i]);
    if (!n->kernel || n->kernel->routine) continue;
    Expected *e = NEW(s->c->arena, Expected);
    *e = (Expected){.cycles = schedule_cycles(m, n), .key = kernel_key(s->c, n)};
    map_put(s->expected, n->kernel->name, e);
  }
}

static bool after_pass(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  (void)seconds, (void)changed;
  if (strcmp(p->name, "schedule") == 0) expect_graph(data, m, m->main);
  return true;
}

// Kernels whose code is the same share it.
static double code_of(Sums *s, const Kernel *k, const Expected *e) {
  for (int i = 0; e && i < s->keys.n; i++)
    if (s->keys.data[i] == e->key) return 0;
  if (e) vec_push(s->c->arena, &s->keys, e->key);
  return dry_code_bytes(s->c, s->target, k);
}

// How often the regions of n run, as far as that is known: a loop's body at most so often.
static double turns(const Node *n) {
  if (!op_is(n, "loop")) return 1;
  const Attr *trips = node_attr(n, "trips");
  const Value *trip = n->in[0];
  double most = trips->n ? (double)trips->dims[0].n : INFINITY;
  double count = trip && trip->data ? (double)tensor_get_int(trip->data, 0) : INFINITY;
  if (count < most) most = count;
  return most < INFINITY ? most : 1;
}

// The least time of a graph, at the bounds of symbols, when loops turn as often as they may. Of several branches the
// shortest counts.
static double least_of_graph(const Sums *s, const Graph *g) {
  double sum = 0;
  for (const Node *n = g->first; n; n = n->next) {
    double shortest = n->nregions ? INFINITY : 0;
    for (int i = 0; i < n->nregions; i++) shortest = fmin(shortest, least_of_graph(s, n->region[i]));
    sum += shortest * turns(n);
    if (n->kernel) sum += least_ms(s->here, schedule_flops(n->kernel), node_bytes(s->c, n), s->threads);
  }
  return sum;
}

// What is in a graph that runs so many times.
static void add_graph(Sums *s, const Graph *g, double times) {
  for (const Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nregions; i++) add_graph(s, n->region[i], times * turns(n));
    if (!n->kernel) continue;
    double flops = (double)n->kernel->flops, bytes = node_bytes(s->c, n);
    const Expected *e = map_get(s->expected, n->kernel->name);
    note_constants(s, n->kernel->body);
    if (n->kernel->scratch > s->scratch) s->scratch = n->kernel->scratch;
    s->kernels++;
    s->flops += flops * times;
    s->bytes += bytes * times;
    double expected = e ? e->cycles * flops_per_cycle(s->target) : flops;
    s->ms += times * BEYOND * roof_ms(s->there, expected, bytes, s->threads);
    s->code += code_of(s, n->kernel, e);
    count_class(s, n->kernel->routine         ? "routine"
                   : n->kernel->schedule.kind ? n->kernel->schedule.kind
                                              : "none");
  }
}

static void print_size(const Sums *s, bool beside) {
  enum { TABLES = 900 }; // bytes that describe a step, with relocations
  double code = s->code + (double)codegen_executor_bytes(s->target) + TABLES * s->kernels;
  printf("file_bytes     about %.3g, of which %.2g are code and tables", beside ? code : code + s->weights,
         code);
  printf(beside ? "; the weights are a file of their own\n" : "\n");
}

static void print_rate(const Limits *l) {
  printf("(%.3g GFLOP/s, %.3g GB/s)\n", l->gflops, l->level[LIMIT_LEVELS - 1].gbs);
}

static void print_sums(const Sums *s, const Module *m, bool stated, bool beside) {
  const char *plural = s->threads == 1 ? "" : "s";
  printf("%s for %s, nothing is written\n", m->name, m->target->name);
  printf("kernels        %d:", s->kernels);
  for (int i = 0; i < ARRAY_LEN(s->names) && s->names[i]; i++) printf(" %d %s", s->classes[i], s->names[i]);
  printf("\nflops          %.4g\nbytes moved    %.4g\n", s->flops, s->bytes);
  printf("arena_bytes    %lld", (long long)m->arena_bytes);
  printf(", of which %lld live at the same time at most", (long long)live_bytes(m));
  printf("\nscratch_bytes  %lld for each thread\n", (long long)s->scratch);
  printf("weights_bytes  %.0f\n", s->weights);
  print_size(s, beside);
  printf("time           about %.3g ms with %d thread%s by the cost model, %s ", s->ms, s->threads, plural,
         stated ? "on a common processor of the target" : "at this machine's limits");
  print_rate(s->there);
  if (!s->here) return;
  printf("               at least %.3g ms: what this machine's limits allow ", least_of_graph(s, m->main));
  print_rate(s->here);
}

bool dry_run(BuildArgs *a, const char *path) {
  Sums s = {.c = a->tool->ctx, .expected = map_new(a->tool->arena)};
  Module *m = driver_load(a, path);
  if (!m || !driver_passes_with(a, m, after_pass, &s)) return false;
  bool same = strcmp(m->target->runtime, target_default(s.c)->runtime) == 0;
  bool stated = !same || !a->target || strcmp(a->target, "native") != 0;
  s.target = m->target;
  s.threads = a->pass.threads ? a->pass.threads : 1;
  s.counted = NEW_ARRAY(s.c->arena, bool, s.c->next_value);
  Limits here = {0}, there = limits_stated(m->target, s.threads);
  if (same) here = limits_measure(s.threads, limits_vector_bytes(m->target->vector_bytes == 64));
  s.here = same ? &here : NULL;
  s.there = stated ? &there : &here;
  add_graph(&s, m->main, 1);
  print_sums(&s, m, stated, a->codegen.weights_beside);
  return true;
}
