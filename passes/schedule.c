// schedule.c: the table of schedule classes and the pass that chooses one for every kernel.
// SPDX-License-Identifier: Apache-2.0
#include "passes/attention.h"
#include "passes/product.h"
#include "passes/vector.h"
#include "passes/winograd.h"

// Vector lowering wants stages that write every element once.
static bool choose_vector(Module *m, Node *n, const PassOptions *o, bool reduces, bool rows) {
  const Kernel *k = n->kernel;
  if (o->opt_level < 2 || (k->locals.n > 0) != rows) return false;
  bool any = false;
  for (int i = 0; i < k->stages.n; i++) {
    const Stage *s = &k->stages.data[i];
    if (s->index || s->store != STORE_SET) return false;
    any |= expr_has(m->ctx, s->value, E_REDUCE);
  }
  return rows || any == reduces;
}

// A block of so many vectors, if that is what is wanted.
static bool take_block(Module *m, Node *n, const Schedule *wanted) {
  int64_t block = schedule_param(wanted, "block", 0);
  if (block) schedule_add(m->ctx, &n->kernel->schedule, "block", block);
  return !wanted || (block >= 1 && block <= MAX_BLOCK);
}

static bool is_row(Module *m, Node *n, const PassOptions *o) {
  return choose_vector(m, n, o, true, true) && n->kernel->stages.data[0].at > 0;
}

static bool choose_row(Module *m, Node *n, const PassOptions *o, const Schedule *wanted) {
  return is_row(m, n, o) && take_block(m, n, wanted);
}

static bool choose_reduce(Module *m, Node *n, const PassOptions *o, const Schedule *wanted) {
  return choose_vector(m, n, o, true, false) && take_block(m, n, wanted);
}

static bool choose_map(Module *m, Node *n, const PassOptions *o, const Schedule *wanted) {
  return choose_vector(m, n, o, false, false) && take_block(m, n, wanted);
}

static void list_blocks(Module *m, const char *kind, const Schedule *near, ScheduleList *out) {
  static const int blocks[] = {1, 2, 4, 8, 16};
  for (int i = 0; !near && i < ARRAY_LEN(blocks); i++) {
    Schedule s = schedule_like(kind);
    schedule_add(m->ctx, &s, "block", blocks[i]);
    schedule_list(m->ctx, out, &s);
  }
}

// Kernels that a class before these takes have schedules of their own.
static void row_candidates(Module *m, Node *n, const PassOptions *o, const Schedule *near,
                           ScheduleList *out) {
  if (out->n == 0 && is_row(m, n, o)) list_blocks(m, "row", near, out);
}

static void reduce_candidates(Module *m, Node *n, const PassOptions *o, const Schedule *near,
                              ScheduleList *out) {
  if (out->n == 0 && choose_vector(m, n, o, true, false)) list_blocks(m, "reduce", near, out);
}

static void map_candidates(Module *m, Node *n, const PassOptions *o, const Schedule *near,
                           ScheduleList *out) {
  if (choose_vector(m, n, o, false, false)) list_blocks(m, "map", near, out);
}

// Does the stage write every element of its dims to a place of its own, moved by a constant?
static bool is_move(Ctx *c, const Stage *s) {
  if (!s->index || s->store != STORE_SET || s->at || s->ndims != s->out->type.rank) return false;
  for (int i = 0; i < s->ndims; i++) {
    int64_t coeff;
    const Expr *rest;
    if (!expr_affine(c, s->index[i], s->dims[i], &coeff, &rest) || coeff != 1) return false;
    for (int k = 0; k < s->ndims; k++)
      if (expr_uses_var(c, rest, s->dims[k])) return false;
  }
  return expr_reads(c, s->value, s->out) == 0 && !expr_has(c, s->value, E_REDUCE);
}

static bool choose_moves(Module *m, Node *n, const PassOptions *o, const Schedule *wanted) {
  (void)wanted;
  const Kernel *k = n->kernel;
  if (o->opt_level < 2 || k->locals.n || !k->stages.n) return false;
  for (int i = 0; i < k->stages.n; i++)
    if (!is_move(m->ctx, &k->stages.data[i])) return false;
  return true;
}

static bool choose_serial(Module *m, Node *n, const PassOptions *o, const Schedule *wanted) {
  (void)m, (void)n, (void)o, (void)wanted;
  return true;
}

// One operation an instruction, two instructions a cycle.
static double vector_cycles(Module *m, Node *n) {
  return (double)n->kernel->flops / (2 * m->target->vector_bytes / 4.0);
}

// In order of preference.
static const ScheduleClass CLASSES[] = {
    {"winograd", winograd_choose, winograd_lower, winograd_candidates, winograd_cycles,
     winograd_flops}, // 3x3 convolutions with fewer products
    {"product", product_choose, product_lower, product_candidates, product_cycles,
     NULL}, // sums of products in register tiles
    {"attention", attention_choose, attention_lower, attention_candidates, attention_cycles,
     NULL}, // softmax(q k^T) v in blocks of queries and keys
    {"row", choose_row, lower_vector, row_candidates, vector_cycles,
     NULL}, // reductions over the same rows and what reads them
    {"reduce", choose_reduce, lower_vector, reduce_candidates, vector_cycles,
     NULL},                                                                 // one reduction with its epilogue
    {"map", choose_map, lower_vector, map_candidates, vector_cycles, NULL}, // element-wise
    {"moves", choose_moves, lower_moves, NULL, NULL, NULL}, // element-wise, to moved places: what is appended
    {"serial", choose_serial, lower_serial, NULL, NULL, NULL},   // anything
    {"checked", choose_serial, lower_checked, NULL, NULL, NULL}, // anything, for --check only: not proved
    {"guarded", choose_serial, lower_guarded, NULL, NULL, NULL}, // anything, whatever can be proved of it
};

int schedule_class_count(void) {
  return ARRAY_LEN(CLASSES);
}

const ScheduleClass *schedule_class_at(int i) {
  return &CLASSES[i];
}

const ScheduleClass *schedule_class_find(const char *kind) {
  for (int i = 0; kind && i < ARRAY_LEN(CLASSES); i++)
    if (strcmp(CLASSES[i].name, kind) == 0) return &CLASSES[i];
  return NULL;
}

int64_t schedule_param(const Schedule *s, const char *name, int64_t otherwise) {
  for (int i = 0; s && i < s->params.n; i++)
    if (strcmp(s->params.data[i].name, name) == 0) return s->params.data[i].value;
  return otherwise;
}

int64_t schedule_get(const Kernel *k, const char *name, int64_t otherwise) {
  return schedule_param(&k->schedule, name, otherwise);
}

double schedule_cycles(Module *m, Node *n) {
  const ScheduleClass *cls = schedule_class_find(n->kernel->schedule.kind);
  if (!cls || n->kernel->routine) return 0;
  return cls->cycles ? cls->cycles(m, n) : (double)n->kernel->flops / 2;
}

double schedule_flops(const Kernel *k) {
  const ScheduleClass *cls = schedule_class_find(k->schedule.kind);
  return cls && cls->flops ? cls->flops(k) : (double)k->flops;
}

// ---- candidates -------------------------------------------------------------------------------------------------

Schedule schedule_like(const char *kind) {
  return (Schedule){.kind = kind};
}

void schedule_add(Ctx *c, Schedule *s, const char *name, int64_t value) {
  vec_push(c->arena, &s->params, ((SchedParam){name, value}));
}

bool schedule_equal(const Schedule *a, const Schedule *b) {
  if (strcmp(a->kind, b->kind) != 0 || a->params.n != b->params.n) return false;
  for (int i = 0; i < a->params.n; i++)
    if (schedule_param(b, a->params.data[i].name, INT64_MIN) != a->params.data[i].value) return false;
  return true;
}

void schedule_list(Ctx *c, ScheduleList *out, const Schedule *s) {
  for (int i = 0; i < out->n; i++)
    if (schedule_equal(&out->data[i], s)) return;
  vec_push(c->arena, out, *s);
}

void schedule_candidates(Module *m, Node *n, const PassOptions *o, const Schedule *near, ScheduleList *out) {
  if (!n->kernel || n->kernel->routine || o->opt_level < 2) return;
  for (int i = 0; i < ARRAY_LEN(CLASSES); i++)
    if (CLASSES[i].candidates && (!near || strcmp(near->kind, CLASSES[i].name) == 0))
      CLASSES[i].candidates(m, n, o, near, out);
}

// ---- the pass ---------------------------------------------------------------------------------------------------

typedef struct ScheduleAll {
  Module *m;
  const PassOptions *o;
} ScheduleAll;

static void explain(Module *m, const Node *n, int chosen, const TuneEntry *e) {
  if (!m->wants_remarks || !n->nout) return;
  Str text = {.arena = m->ctx->arena};
  schedule_print(&text, &n->kernel->schedule);
  if (e)
    str_printf(&text, "; from the tuning database: %.1f us instead of %.1f, measured with %d threads", e->us,
               e->base_us, e->threads);
  for (int i = 0; i < chosen; i++)
    str_printf(&text, "%s%s", i ? ", " : "; declined before it: ", CLASSES[i].name);
  remark(m, "schedule", n->out[0], "%s", str_text(&text));
}

// By measurement, if the database has the kernel and its schedule is one that this compilation may use.
static bool choose_tuned(ScheduleAll *all, Node *n) {
  const PassOptions *o = all->o;
  if (!o->tuning || o->opt_level < 2) return false;
  const TuneEntry *e = tuning_find(o->tuning, kernel_key(all->m->ctx, n), all->m->target->name, o->threads);
  const ScheduleClass *cls = e ? schedule_class_find(e->schedule.kind) : NULL;
  if (!cls) return false;
  Schedule *s = &n->kernel->schedule;
  if (!cls->choose(all->m, n, o, &e->schedule)) {
    *s = (Schedule){0};
    return false;
  }
  s->kind = cls->name;
  s->tuned = true;
  explain(all->m, n, 0, e);
  return true;
}

static bool schedule_graph(Graph *g, void *data) {
  ScheduleAll *all = data;
  for (Node *n = g->first; n; n = n->next) {
    if (!n->kernel || n->kernel->routine || n->kernel->schedule.kind || choose_tuned(all, n)) continue;
    int i = 0;
    while (!CLASSES[i].choose(all->m, n, all->o, NULL)) i++;
    n->kernel->schedule.kind = CLASSES[i].name;
    explain(all->m, n, i, NULL);
  }
  return true;
}

bool pass_schedule(Module *m, const PassOptions *o) {
  ScheduleAll all = {m, o};
  graph_count_uses(m->main); // once, from the outside: counting in a region adds to what is counted already
  bool done = each_graph(m->main, schedule_graph, &all);
  winograd_limit(m);
  return done;
}
