// schedule.c: the table of schedule classes and the pass that chooses one for every kernel.
// SPDX-License-Identifier: Apache-2.0
#include "passes/attention.h"
#include "passes/product.h"
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

static bool choose_row(Module *m, Node *n, const PassOptions *o) {
  return choose_vector(m, n, o, true, true) && n->kernel->stages.data[0].at > 0;
}

static bool choose_reduce(Module *m, Node *n, const PassOptions *o) {
  return choose_vector(m, n, o, true, false);
}

static bool choose_map(Module *m, Node *n, const PassOptions *o) {
  return choose_vector(m, n, o, false, false);
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

static bool choose_moves(Module *m, Node *n, const PassOptions *o) {
  const Kernel *k = n->kernel;
  if (o->opt_level < 2 || k->locals.n || !k->stages.n) return false;
  for (int i = 0; i < k->stages.n; i++)
    if (!is_move(m->ctx, &k->stages.data[i])) return false;
  return true;
}

static bool choose_serial(Module *m, Node *n, const PassOptions *o) {
  (void)m, (void)n, (void)o;
  return true;
}

// In order of preference.
static const ScheduleClass CLASSES[] = {
    {"winograd", winograd_choose, winograd_lower, NULL},    // 3x3 convolutions with fewer products
    {"product", product_choose, product_lower, NULL},       // sums of products in register tiles
    {"attention", attention_choose, attention_lower, NULL}, // softmax(q k^T) v in blocks of queries and keys
    {"row", choose_row, lower_vector, NULL},         // reductions over the same rows and what reads them
    {"reduce", choose_reduce, lower_vector, NULL},   // one reduction with its epilogue
    {"map", choose_map, lower_vector, NULL},         // element-wise
    {"moves", choose_moves, lower_moves, NULL},      // element-wise, to moved places: what is appended
    {"serial", choose_serial, lower_serial, NULL},   // anything
    {"checked", choose_serial, lower_checked, NULL}, // anything, for --check only: not proved
    {"guarded", choose_serial, lower_guarded, NULL}, // anything, whatever can be proved of it
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

void schedule_set(Ctx *c, Kernel *k, const char *name, int64_t value) {
  for (int i = 0; i < k->schedule.params.n; i++)
    if (strcmp(k->schedule.params.data[i].name, name) == 0) {
      k->schedule.params.data[i].value = value;
      return;
    }
  SchedParam p = {name, value};
  vec_push(c->arena, &k->schedule.params, p);
}

int64_t schedule_get(const Kernel *k, const char *name, int64_t otherwise) {
  for (int i = 0; i < k->schedule.params.n; i++)
    if (strcmp(k->schedule.params.data[i].name, name) == 0) return k->schedule.params.data[i].value;
  return otherwise;
}

typedef struct ScheduleAll {
  Module *m;
  const PassOptions *o;
} ScheduleAll;

static void explain(Module *m, const Node *n, int chosen) {
  if (!m->wants_remarks || !n->nout) return;
  Str text = {.arena = m->ctx->arena};
  schedule_print(&text, &n->kernel->schedule);
  for (int i = 0; i < chosen; i++)
    str_printf(&text, "%s%s", i ? ", " : "; declined before it: ", CLASSES[i].name);
  remark(m, "schedule", n->out[0], "%s", str_text(&text));
}

static bool schedule_graph(Graph *g, void *data) {
  ScheduleAll *all = data;
  for (Node *n = g->first; n; n = n->next) {
    if (!n->kernel || n->kernel->routine || n->kernel->schedule.kind) continue;
    int i = 0;
    while (!CLASSES[i].choose(all->m, n, all->o)) i++;
    n->kernel->schedule.kind = CLASSES[i].name;
    explain(all->m, n, i);
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
