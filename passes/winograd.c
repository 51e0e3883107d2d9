// winograd.c: which convolutions become Winograd's, and how.
// SPDX-License-Identifier: Apache-2.0
#include "passes/winograd_impl.h"

#include <math.h>
#include <stdlib.h>

// ---- match --------------------------------------------------------------------------------------------------

static bool is_var(const Expr *e, const Var *v) {
  return e->op == E_VAR && e->var == v;
}

// e = row + tap + constant, for an output variable and a variable of three taps.
static bool find_tap(Winograd *w, const Expr *e, int *dim, int *tap) {
  *dim = *tap = -1;
  for (int i = 0; i < w->p.ndims; i++)
    if (expr_uses_var(w->c, e, w->p.dim[i].var)) *dim = i;
  for (int i = 0; i < w->p.nk; i++)
    if (w->p.k_extent[i] == 3 && expr_uses_var(w->c, e, w->p.k_var[i])) *tap = i;
  if (*dim < 0 || *tap < 0) return false;
  int64_t a, b, shift;
  const Expr *rest, *offset;
  return expr_affine(w->c, e, w->p.dim[*dim].var, &a, &rest) && a == 1 &&
         expr_affine(w->c, rest, w->p.k_var[*tap], &b, &offset) && b == 1 &&
         expr_is_const_int(offset, &shift);
}

// The condition under which the taps lie inside the image.
const Expr *winograd_inside(Winograd *w, const Expr *h, const Expr *x) {
  const Type *t = &w->x->value->type;
  return ex_binary(w->c, E_AND, ex_in_range(w->c, h, dim_to_expr(w->c, t->dim[IN_H])),
                   ex_in_range(w->c, x, dim_to_expr(w->c, t->dim[IN_W])));
}

// The product's guard must be no more than that: Winograd's tiles read whole squares.
static bool guard_is_padding(Winograd *w) {
  if (!w->p.guard) return true;
  int64_t v;
  const Expr *left = expr_assume(w->c, w->p.guard, winograd_inside(w, w->x->args[IN_H], w->x->args[IN_W]));
  return expr_is_const_int(left, &v) && v;
}

static bool match_weights(Winograd *w, int ci) {
  const Type *t = &w->w->value->type;
  if (t->rank != 4 || t->dtype != DT_F32 || t->dim[2].n != 3 || t->dim[3].n != 3) return false;
  return is_var(w->w->args[0], w->p.dim[w->p.lane].var) && is_var(w->w->args[1], w->p.k_var[ci]) &&
         is_var(w->w->args[2], w->p.k_var[w->kh]) && is_var(w->w->args[3], w->p.k_var[w->kw]);
}

static bool match_image(Winograd *w) {
  Product *p = &w->p;
  int64_t zero;
  const Expr *n = w->x->args[IN_N];
  w->n = -1;
  for (int i = 0; i < p->ndims; i++) {
    if (!p->dim[i].fixed) return false;
    if (is_var(n, p->dim[i].var)) w->n = i;
  }
  if (w->n < 0 && !expr_is_const_int(n, &zero)) return false;
  if (!find_tap(w, w->x->args[IN_H], &w->oh, &w->kh) || !find_tap(w, w->x->args[IN_W], &w->ow, &w->kw))
    return false;
  for (int i = 0; i < p->ndims; i++) // every other output variable would be a product of its own
    if (i != w->n && i != w->oh && i != w->ow && i != p->lane && p->dim[i].extent != 1) return false;
  return w->oh != w->ow && w->kh != w->kw && w->oh != p->lane && w->ow != p->lane;
}

bool winograd_match(Module *m, Kernel *k, Winograd *w) {
  Product *p = &w->p;
  w->c = m->ctx;
  if (!product_match(m, k, p) || p->depthwise || p->nk != 3 || p->stage->out->type.rank != 4) return false;
  if (p->a->op != E_READ || p->b->op != E_READ || !const_of(p->b->value) || p->a->value->type.rank != 4)
    return false;
  w->x = p->a;
  w->w = p->b;
  if (p->dim[p->lane].out_dim != 1 || !match_image(w)) return false;
  int ci = 3 - w->kh - w->kw;
  if (!is_var(w->x->args[IN_C], p->k_var[ci]) || !match_weights(w, ci) || !guard_is_padding(w)) return false;
  w->images = w->n < 0 ? 1 : p->dim[w->n].extent;
  w->height = p->dim[w->oh].extent;
  w->width = p->dim[w->ow].extent;
  w->ci = p->k_extent[ci];
  w->co = p->dim[p->lane].extent;
  return true;
}

// ---- choice -------------------------------------------------------------------------------------------------

int winograd_lanes(const Target *t, int64_t channels) {
  int lanes = t->vector_bytes / 4;
  while (lanes > 1 && channels % lanes) lanes /= 2;
  return lanes;
}

void winograd_set_form(Winograd *w, int m) {
  winograd_matrices(&w->f, m);
  w->tiles_h = ceil_div(w->height, m);
  w->tiles_w = ceil_div(w->width, m);
  w->tiles = w->images * w->tiles_h * w->tiles_w;
}

static double filter_cycles(int m) {
  return m == 6 ? 110 : 60; // what F(2,3) computes less hides less of the memory's latency
}

static double more(double a, double b) {
  return a > b ? a : b;
}

// Weights come from memory once in a run. Threads share the memory, and larger weights cost room besides.
static double form_cycles(const Target *t, const Winograd *w) {
  const Costs *c = &t->costs;
  double lanes = t->vector_bytes / 4.0, points = w->f.a * w->f.a, channels = (double)w->ci * (double)w->co;
  double rows = (double)w->tiles / ((double)w->tiles + c->short_rows);
  double memory = (w->stored ? points : 9) * channels * 4 / c->memory_bytes;
  double product = points * (double)w->tiles * channels / (2 * lanes * c->peak * rows);
  if (!w->stored) { // sums in blocks of K, and the transformed input read once for each column
    product *= 1.06;
    product += channels / lanes * filter_cycles(w->f.m) * (double)ceil_div(w->tiles, WINOGRAD_BLOCK);
  }
  double transform = w->f.m == 2 ? c->transform_2 : w->f.m == 4 ? c->transform_4 : 2 * c->transform_4;
  return more(product, memory) + c->memory_share * memory +
         (double)w->tiles * (double)(w->ci + w->co) / lanes * transform;
}

static double direct_cycles(const Target *t, const Winograd *w) {
  const Costs *c = &t->costs;
  double lanes = t->vector_bytes / 4.0, channels = (double)w->ci * (double)w->co;
  double pixels = (double)(w->images * w->height * w->width);
  double memory = 9 * channels * 4 / c->memory_bytes;
  return more(9 * channels * pixels / (2 * lanes * c->peak), memory) + c->memory_share * memory;
}

// Weights can be transformed on the way where vectors of output channels are whole.
static bool may_transform(const Target *t, const Winograd *w) {
  return winograd_lanes(t, w->co) == t->vector_bytes / 4;
}

// The outputs per tile and dimension that are fastest in less than `best` cycles, which becomes theirs; 0: none.
// F(6,3) would be faster still on large images, but its error is beyond what "auto" promises (docs/numerics.md).
static int fastest_form(const Target *t, Winograd *w, bool stored, double *best) {
  static const int sizes[] = {2, 4};
  int m = 0;
  w->stored = stored;
  for (int i = 0; i < ARRAY_LEN(sizes) && (stored || may_transform(t, w)); i++) {
    winograd_set_form(w, sizes[i]);
    double cycles = form_cycles(t, w);
    if (cycles >= *best) continue;
    *best = cycles;
    m = sizes[i];
  }
  return m;
}

static void explain(Module *m, const Node *n, Winograd *w) {
  if (!m->wants_remarks) return;
  double direct = direct_cycles(m->target, w) * 1e-3, at[2][2];
  for (int i = 0; i < 4; i++) {
    winograd_set_form(w, i / 2 ? 4 : 2);
    w->stored = i % 2;
    at[i / 2][i % 2] = form_cycles(m->target, w) * 1e-3;
  }
  remark(
      m, "schedule", n->out[0],
      "estimated: direct %.0f, F(2,3) %.0f, F(4,3) %.0f thousand cycles, with weights transformed on the way "
      "%.0f and %.0f; Winograd must save a tenth",
      direct, at[0][1], at[1][1], at[0][0], at[1][0]);
}

static void set_schedule(Module *m, Node *n, int tile, bool stored) {
  n->kernel->schedule.params.n = 0;
  schedule_add(m->ctx, &n->kernel->schedule, "m", tile);
  schedule_add(m->ctx, &n->kernel->schedule, "stored", stored);
}

double winograd_cycles(Module *m, Node *n) {
  Winograd w = {.stored = schedule_get(n->kernel, "stored", 1)};
  if (!winograd_match(m, n->kernel, &w)) return 0;
  winograd_set_form(&w, (int)schedule_get(n->kernel, "m", 4));
  return form_cycles(m->target, &w);
}

double winograd_flops(const Kernel *k) {
  double m = (double)schedule_get(k, "m", 4), points = (m + 2) * (m + 2);
  return (double)k->flops * points / (9 * m * m);
}

// May the kernel be computed so at all?
static bool allowed(Module *m, Kernel *k, const PassOptions *o, Winograd *w) {
  if (o->opt_level < 2 || o->fp_strict || (o->winograd && strcmp(o->winograd, "off") == 0)) return false;
  if (!winograd_match(m, k, w) || w->ci % 4 || w->co % 4) return false;
  return const_is_finite(w->w->value); // transformed, an infinity would be everywhere
}

static bool take(Module *m, Node *n, const Winograd *w, const Schedule *wanted) {
  int64_t size = schedule_param(wanted, "m", 0);
  if ((size != 2 && size != 4) || (!schedule_param(wanted, "stored", 1) && !may_transform(m->target, w)))
    return false;
  for (int i = 0; i < wanted->params.n; i++)
    schedule_add(m->ctx, &n->kernel->schedule, wanted->params.data[i].name, wanted->params.data[i].value);
  return true;
}

bool winograd_choose(Module *m, Node *n, const PassOptions *o, const Schedule *wanted) {
  Winograd w = {0};
  if (!allowed(m, n->kernel, o, &w)) return false;
  if (wanted) return take(m, n, &w, wanted);
  double best = direct_cycles(m->target, &w) * 0.9;
  int on_the_way = fastest_form(m->target, &w, false, &best),
      stored = fastest_form(m->target, &w, true, &best);
  explain(m, n, &w);
  if (!on_the_way && !stored) return false;
  set_schedule(m, n, stored ? stored : on_the_way, stored);
  return true;
}

// ---- candidates ---------------------------------------------------------------------------------------------------

static void list_forms(Ctx *c, bool both, ScheduleList *out) {
  for (int i = 0; i < (both ? 4 : 2); i++) {
    Schedule s = schedule_like("winograd");
    schedule_add(c, &s, "m", i % 2 ? 2 : 4);
    schedule_add(c, &s, "stored", i < 2);
    schedule_list(c, out, &s);
  }
}

static void list_changed(Ctx *c, const Schedule *near, const char *name, int64_t value, ScheduleList *out) {
  Schedule s = schedule_like("winograd");
  for (int i = 0; i < near->params.n; i++)
    if (strcmp(near->params.data[i].name, name) != 0)
      schedule_add(c, &s, near->params.data[i].name, near->params.data[i].value);
  schedule_add(c, &s, name, value);
  schedule_list(c, out, &s);
}

void winograd_candidates(Module *m, Node *n, const PassOptions *o, const Schedule *near, ScheduleList *out) {
  static const int64_t sizes[] = {96, 64, 128, 48, 192, 32, 256, 24, 384}, splits[] = {1, 2, 4};
  Winograd w = {0};
  if (!allowed(m, n->kernel, o, &w)) return;
  if (!near) {
    list_forms(m->ctx, may_transform(m->target, &w), out);
    return;
  }
  winograd_set_form(&w, schedule_param(near, "m", 4) == 2 ? 2 : 4);
  for (int i = 0; i < ARRAY_LEN(sizes); i++)
    list_changed(m->ctx, near, "block", ceil_div(w.tiles, ceil_div(w.tiles, sizes[i])), out);
  for (int i = 0; i < ARRAY_LEN(splits); i++) list_changed(m->ctx, near, "splits", splits[i], out);
}

// ---- how much room transformed weights may take -----------------------------------------------------------------

// Of the bytes of all constants, transformed weights may add this part; what is left of a limit of 15 % is for scratch
// memory and gaps in the arena.
enum { ROOM_PERCENT = 12 };

// Transformed weights of one kernel: what they cost, and what it would cost to do without.
typedef struct Candidate {
  Node *n;
  int other;     // form with weights transformed on the way; 0: there is none
  int64_t bytes; // more than the weights have as they are
  double saved;  // cycles
} Candidate;

typedef struct Candidates {
  Module *m;
  int64_t constants; // bytes
  Vec(Candidate) list;
} Candidates;

static bool find_stored(Graph *g, void *data) {
  Candidates *all = data;
  const Target *t = all->m->target;
  for (int i = 0; i < g->consts.n; i++)
    if (g->consts.data[i]->uses > 0) all->constants += type_bytes(&g->consts.data[i]->type);
  for (Node *n = g->first; n; n = n->next) {
    const Kernel *k = n->kernel;
    Winograd w = {.stored = true};
    if (!k || !k->schedule.kind || strcmp(k->schedule.kind, "winograd") != 0) continue;
    if (!schedule_get(k, "stored", 1) || !winograd_match(all->m, n->kernel, &w)) continue;
    winograd_set_form(&w, (int)schedule_get(k, "m", 4));
    double cycles = form_cycles(t, &w), other = INFINITY;
    int64_t points = w.f.a * w.f.a;
    int m = fastest_form(t, &w, false, &other);
    Candidate c = {n, m, (points - 9) * w.ci * w.co * 4, other - cycles};
    vec_push(all->m->ctx->arena, &all->list, c);
  }
  return true;
}

static int by_worth(const void *x, const void *y) {
  const Candidate *a = x, *b = y;
  double worth = b->saved / (double)b->bytes - a->saved / (double)a->bytes; // INFINITY: must be stored
  return worth > 0 ? 1 : worth < 0 ? -1 : 0;
}

void winograd_limit(Module *m) {
  Candidates all = {.m = m};
  each_graph(m->main, find_stored, &all);
  if (!all.list.n) return;
  qsort(all.list.data, (size_t)all.list.n, sizeof *all.list.data, by_worth);
  int64_t room = all.constants * ROOM_PERCENT / 100;
  for (int i = 0; i < all.list.n; i++) {
    const Candidate *c = &all.list.data[i];
    bool keep = !c->other || c->bytes <= room;
    if (keep) room -= c->bytes;
    if (keep) continue;
    set_schedule(m, c->n, c->other, false);
    c->n->kernel->schedule.tuned = false;
    remark(m, "schedule", c->n->out[0],
           "weights are transformed on the way: stored, they would take %lld bytes more, which save more "
           "elsewhere",
           (long long)c->bytes);
  }
}
