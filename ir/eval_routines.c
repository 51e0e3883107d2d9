// eval_routines.c: the evaluator's own, plain versions of the runtime routines.
// SPDX-License-Identifier: Apache-2.0
//
// Written apart from runtime/rt_*.c on purpose: each checks the other.
#include "ir/eval.h"

#include <math.h>
#include <stdlib.h>

// ---- elements -----------------------------------------------------------------------------------------------------

static Scalar element(const Buffer *b, int64_t i) {
  return scalar_load(b->dtype, b->data + i * dtype_bytes(b->dtype));
}

static void set_element(Buffer *b, int64_t i, Scalar v) {
  scalar_store(b->dtype, b->data + i * dtype_bytes(b->dtype), v);
}

// A total order: by value, NaN above all; zeros of both signs are equal.
static int compare(DType t, Scalar a, Scalar b) {
  if (!dtype_is_float(t)) {
    if (t == DT_U64) return ((uint64_t)a.i > (uint64_t)b.i) - ((uint64_t)a.i < (uint64_t)b.i);
    return (a.i > b.i) - (a.i < b.i);
  }
  if (isnan(a.f) || isnan(b.f)) return isnan(a.f) - isnan(b.f);
  return (a.f > b.f) - (a.f < b.f);
}

// The dims of b around `axis`: how many before it, how many after it.
static void around_axis(const Buffer *b, int axis, int64_t *before, int64_t *after) {
  *before = *after = 1;
  for (int d = 0; d < axis; d++) *before *= b->dim[d];
  for (int d = axis + 1; d < b->rank; d++) *after *= b->dim[d];
}

static int axis_of(const Node *n, int rank) {
  int64_t a = attr_int(n, "axis");
  return (int)(a < 0 ? a + rank : a);
}

static int64_t *new_indices(Eval *ev, int64_t n) {
  int64_t *v = NEW_ARRAY(ev->ctx->arena, int64_t, n);
  for (int64_t i = 0; i < n; i++) v[i] = i;
  return v;
}

// Stable merge sort of indices by `less(data, a, b) < 0`.
typedef int (*Order)(const void *data, int64_t a, int64_t b);

static void merge_sort(int64_t *v, int64_t *tmp, int64_t n, Order order, const void *data) {
  if (n < 2) return;
  int64_t half = n / 2, i = 0, j = half, k = 0;
  merge_sort(v, tmp, half, order, data);
  merge_sort(v + half, tmp, n - half, order, data);
  while (i < half && j < n) tmp[k++] = order(data, v[i], v[j]) <= 0 ? v[i++] : v[j++];
  while (i < half) tmp[k++] = v[i++];
  while (j < n) tmp[k++] = v[j++];
  memcpy(v, tmp, (size_t)n * sizeof *v);
}

// A result, zeroed, whose extent `n` in dimension `axis` is known only now.
static Buffer *result_with(Eval *ev, const Value *v, int axis, int64_t n) {
  int64_t dims[MAX_RANK];
  for (int d = 0; d < v->type.rank; d++) {
    if (d == axis) {
      dims[d] = n;
      const Expr *e = v->type.dim[d].sym;
      if (e && e->op == E_SYM) eval_bind(ev, e->sym, n);
    } else if (!eval_dim(ev, v->loc, v->type.dim[d], &dims[d])) {
      return NULL;
    }
  }
  if (v->base && ev->physical) { // a part of another value's buffer
    eval_drop(ev, v);
    Buffer *part = eval_need(ev, v);
    if (part) memset(part->data, 0, (size_t)part->elements * (size_t)dtype_bytes(part->dtype));
    return part;
  }
  Buffer *b = buffer_new(ev, v->type.dtype, dims, v->type.rank);
  return b ? eval_set(ev, v, b) : NULL;
}

// ---- topk ---------------------------------------------------------------------------------------------------------

typedef struct Line { // elements start + i * step
  const Buffer *x;
  int64_t start, step;
  int sign; // -1: falling
} Line;

static int line_order(const void *data, int64_t a, int64_t b) {
  const Line *l = data;
  return l->sign *
         compare(l->x->dtype, element(l->x, l->start + a * l->step), element(l->x, l->start + b * l->step));
}

static bool eval_topk(Eval *ev, const Node *n, Value *const *in, Value *const *out) {
  Buffer *x = eval_buffer(ev, in[0]), *values = eval_need(ev, out[0]), *places = eval_need(ev, out[1]);
  if (!x || !values || !places) return false;
  int axis = axis_of(n, x->rank);
  int64_t before, after, extent = x->dim[axis], k = values->dim[axis];
  if (k > extent) {
    diag_error(ev->ctx->diag, n->loc, "evaluation: the %lld largest of %lld is outside what there is",
               (long long)k, (long long)extent);
    return false;
  }
  around_axis(x, axis, &before, &after);
  int64_t *v = new_indices(ev, extent), *tmp = new_indices(ev, extent);
  for (int64_t i = 0; i < before * after; i++) {
    Line l = {x, i / after * extent * after + i % after, after, attr_bool(n, "largest") ? -1 : 1};
    for (int64_t j = 0; j < extent; j++) v[j] = j;
    merge_sort(v, tmp, extent, line_order, &l);
    for (int64_t j = 0; j < k; j++) {
      int64_t at = i / after * k * after + i % after + j * after;
      set_element(values, at, element(x, l.start + v[j] * l.step));
      set_element(places, at, (Scalar){.i = v[j]});
    }
  }
  return true;
}

// ---- nonzero ------------------------------------------------------------------------------------------------------

static bool is_nonzero(const Buffer *x, int64_t i) {
  return scalar_cast(x->dtype, DT_BOOL, element(x, i)).i;
}

static bool eval_nonzero(Eval *ev, Value *const *in, Value *const *out) {
  Buffer *x = eval_buffer(ev, in[0]);
  if (!x) return false;
  int64_t count = 0, at = 0;
  for (int64_t i = 0; i < x->elements; i++) count += is_nonzero(x, i);
  Buffer *r = result_with(ev, out[0], 1, count);
  if (!r) return false;
  for (int64_t i = 0; i < x->elements; i++) {
    if (!is_nonzero(x, i)) continue;
    for (int d = 0; d < x->rank; d++)
      set_element(r, d * count + at, (Scalar){.i = i / x->stride[d] % x->dim[d]});
    at++;
  }
  return true;
}

// ---- unique -------------------------------------------------------------------------------------------------------

typedef struct Slices { // slice i of x: elements (b * extent + i) * after + a
  const Buffer *x;
  int64_t before, extent, after;
} Slices;

static int64_t slice_element(const Slices *s, int64_t i, int64_t k) {
  return (k / s->after * s->extent + i) * s->after + k % s->after;
}

static int slice_order(const void *data, int64_t a, int64_t b) {
  const Slices *s = data;
  int d = 0;
  for (int64_t k = 0; k < s->before * s->after && !d; k++)
    d = compare(s->x->dtype, element(s->x, slice_element(s, a, k)), element(s->x, slice_element(s, b, k)));
  return d;
}

static int index_order(const void *data, int64_t a, int64_t b) {
  const int64_t *first = data;
  return (first[a] > first[b]) - (first[a] < first[b]);
}

// Groups of equal slices: first[g] is the first slice of g, group[i] the group of slice i. Returns how many.
static int64_t group_slices(const Slices *s, const int64_t *order, int64_t *first, int64_t *group) {
  int64_t groups = 0;
  for (int64_t j = 0; j < s->extent; j++) {
    if (j == 0 || slice_order(s, order[j - 1], order[j]) != 0)
      first[groups++] = order[j]; // the sort is stable
    group[order[j]] = groups - 1;
  }
  return groups;
}

static bool write_unique(Eval *ev, const Slices *s, Value *const *out, int axis, const int64_t *rank_of,
                         const int64_t *first, const int64_t *group, int64_t groups) {
  Buffer *y = result_with(ev, out[0], axis, groups), *where = result_with(ev, out[1], 0, groups);
  Buffer *inverse = result_with(ev, out[2], 0, s->extent), *counts = result_with(ev, out[3], 0, groups);
  if (!y || !where || !inverse || !counts) return false;
  Slices to = {y, s->before, groups, s->after};
  for (int64_t g = 0; g < groups; g++) {
    for (int64_t k = 0; k < s->before * s->after; k++)
      set_element(y, slice_element(&to, rank_of[g], k), element(s->x, slice_element(s, first[g], k)));
    set_element(where, rank_of[g], (Scalar){.i = first[g]});
  }
  for (int64_t i = 0; i < s->extent; i++) {
    int64_t g = rank_of[group[i]];
    set_element(inverse, i, (Scalar){.i = g});
    set_element(counts, g, (Scalar){.i = element(counts, g).i + 1});
  }
  return true;
}

static bool eval_unique(Eval *ev, const Node *n, Value *const *in, Value *const *out) {
  Buffer *x = eval_buffer(ev, in[0]);
  if (!x) return false;
  bool flat = !node_attr(n, "axis")->given || attr_int(n, "axis") == -1; // -1 stands for "all elements"
  int axis = flat ? 0 : axis_of(n, x->rank);
  Slices s = {x, 1, x->elements, 1};
  if (!flat) {
    s.extent = x->dim[axis];
    around_axis(x, axis, &s.before, &s.after);
  }
  int64_t *order = new_indices(ev, s.extent), *tmp = new_indices(ev, s.extent);
  int64_t *first = new_indices(ev, s.extent), *group = new_indices(ev, s.extent);
  merge_sort(order, tmp, s.extent, slice_order, &s);
  int64_t groups = group_slices(&s, order, first, group);
  int64_t *by_rank = new_indices(ev, groups), *rank_of = new_indices(ev, groups);
  if (!attr_bool(n, "sorted")) merge_sort(by_rank, tmp, groups, index_order, first);
  for (int64_t r = 0; r < groups; r++) rank_of[by_rank[r]] = r;
  return write_unique(ev, &s, out, axis, rank_of, first, group, groups);
}

// ---- nms ----------------------------------------------------------------------------------------------------------

typedef struct Box {
  float y0, x0, y1, x1;
} Box;

static Box read_box(const Buffer *boxes, int64_t at, bool center) {
  const float *p = (const float *)boxes->data + at * 4;
  float v[4];
  memcpy(v, p, sizeof v);
  if (center) // x, y, width, height
    return (Box){v[1] - v[3] / 2, v[0] - v[2] / 2, v[1] + v[3] / 2, v[0] + v[2] / 2};
  return (Box){fminf(v[0], v[2]), fminf(v[1], v[3]), fmaxf(v[0], v[2]), fmaxf(v[1], v[3])};
}

static float overlap(Box a, Box b) {
  float h = fminf(a.y1, b.y1) - fmaxf(a.y0, b.y0), w = fminf(a.x1, b.x1) - fmaxf(a.x0, b.x0);
  float area_a = (a.y1 - a.y0) * (a.x1 - a.x0), area_b = (b.y1 - b.y0) * (b.x1 - b.x0);
  if (h <= 0 || w <= 0 || area_a <= 0 || area_b <= 0) return 0;
  return h * w / (area_a + area_b - h * w);
}

typedef struct Picked {
  int64_t batch, cls, box;
} Picked;

typedef struct Nms {
  const Buffer *boxes, *scores;
  int64_t max;
  double iou, score;
  bool has_score, center;
  Vec(Picked) picked;
} Nms;

static void nms_class(Eval *ev, Nms *m, int64_t batch, int64_t cls) {
  int64_t n = m->boxes->dim[1], first = (int64_t)m->picked.n;
  Line l = {m->scores, (batch * m->scores->dim[1] + cls) * n, 1, -1};
  int64_t *order = new_indices(ev, n), *tmp = new_indices(ev, n);
  merge_sort(order, tmp, n, line_order, &l);
  for (int64_t i = 0; i < n && m->picked.n - first < m->max; i++) {
    double score = element(m->scores, l.start + order[i]).f;
    if (m->has_score && !(score > m->score)) continue;
    Box box = read_box(m->boxes, batch * n + order[i], m->center);
    bool free = true;
    for (int64_t j = first; free && j < m->picked.n; j++)
      free = !(overlap(box, read_box(m->boxes, batch * n + m->picked.data[j].box, m->center)) > m->iou);
    if (free) vec_push(ev->ctx->arena, &m->picked, ((Picked){batch, cls, order[i]}));
  }
}

// Operand k's one element, or 0.
static Scalar operand_scalar(Eval *ev, Value *const *in, int nin, int k) {
  Buffer *b = k < nin && in[k] ? eval_buffer(ev, in[k]) : NULL;
  return b ? element(b, 0) : (Scalar){0};
}

static bool eval_nms(Eval *ev, const Node *n, Value *const *in, Value *const *out) {
  Nms m = {.boxes = eval_buffer(ev, in[0]), .scores = eval_buffer(ev, in[1])};
  if (!m.boxes || !m.scores) return false;
  m.max = operand_scalar(ev, in, n->nin, 2).i;
  m.iou = operand_scalar(ev, in, n->nin, 3).f;
  m.has_score = n->nin > 4 && n->in[4];
  m.score = operand_scalar(ev, in, n->nin, 4).f;
  m.center = attr_int(n, "center_point_box") != 0;
  for (int64_t b = 0; b < m.scores->dim[0]; b++)
    for (int64_t c = 0; c < m.scores->dim[1]; c++) nms_class(ev, &m, b, c);
  Buffer *r = result_with(ev, out[0], 0, m.picked.n);
  for (int i = 0; r && i < m.picked.n; i++) {
    set_element(r, 3 * i, (Scalar){.i = m.picked.data[i].batch});
    set_element(r, 3 * i + 1, (Scalar){.i = m.picked.data[i].cls});
    set_element(r, 3 * i + 2, (Scalar){.i = m.picked.data[i].box});
  }
  return r != NULL;
}

bool eval_routine(Eval *ev, const Node *n, const char *routine, Value *const *in, Value *const *out) {
  for (int i = 0; i < n->nin; i++)
    if (in[i] && !eval_buffer(ev, in[i])) return false;
  if (strcmp(routine, "topk") == 0) return eval_topk(ev, n, in, out);
  if (strcmp(routine, "nonzero") == 0) return eval_nonzero(ev, in, out);
  if (strcmp(routine, "unique") == 0) return eval_unique(ev, n, in, out);
  if (strcmp(routine, "nms") == 0) return eval_nms(ev, n, in, out);
  diag_error(ev->ctx->diag, n->loc, "internal: the evaluator does not know the routine '%s'", routine);
  return false;
}
