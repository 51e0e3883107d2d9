// memory_fit.c: offsets for buffers with lifetimes: one after the other in several orders, each in the tightest gap it
// fits, and the best of these plans; where there are very many, in order of time.
// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "passes/memory.h"

enum { ALIGN = 64 }; // a cache line, and the widest vector

// ---- pieces -----------------------------------------------------------------------------------------------------

static int by_from(const void *x, const void *y) {
  const Piece *a = x, *b = y;
  return a->from < b->from ? -1 : a->from > b->from;
}

// Parts of a concat are in use from their own computation on, what else there is of it from the concat's on.
static void add_part(Arena *a, Live *part) {
  Live *whole = part->v->base->info;
  if (!whole || whole->part) return; // it is a piece itself
  Piece p = {part->v->offset, part->v->offset + part->bytes, part->first, whole->last};
  vec_push(a, &whole->pieces, p);
}

static void finish_pieces(Arena *a, Live *l) {
  int64_t end = round_up(l->bytes, ALIGN), at = 0;
  int parts = l->pieces.n, first = l->first;
  if (parts > 0) {
    first = ((const Span *)l->v->def->info)->start;
    qsort(l->pieces.data, (size_t)parts, sizeof *l->pieces.data, by_from);
  }
  for (int i = 0; i <= parts; i++) {
    int64_t next = i < parts ? l->pieces.data[i].from : end;
    Piece rest = {at, next, first, l->last};
    if (i < parts) at = l->pieces.data[i].to;
    if (next > rest.from) vec_push(a, &l->pieces, rest);
  }
}

static int by_size(const void *x, const void *y) {
  const Live *a = *(Live *const *)x, *b = *(Live *const *)y;
  if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
  if (a->first != b->first) return a->first < b->first ? -1 : 1;
  return a->number < b->number ? -1 : 1; // not the values' ids: those differ after reading a dump
}

static bool overlap(const Live *a, const Live *b) {
  return a->first <= b->last && b->first <= a->last;
}

static int64_t end_of(const Live *l) {
  return l->offset + round_up(l->bytes, ALIGN);
}

// Places that a buffer cannot have, all of those between the two.
typedef struct Taken {
  int64_t from, to;
} Taken;
typedef Vec(Taken) TakenList;

static int by_place(const void *x, const void *y) {
  const Taken *a = x, *b = y;
  return a->from < b->from ? -1 : a->from > b->from;
}

// Those where a piece of l would lie over one of the placed buffer r that is in use at the same time.
static void add_taken(Arena *a, TakenList *list, const Live *l, const Live *r) {
  for (int i = 0; i < l->pieces.n; i++)
    for (int k = 0; k < r->pieces.n; k++) {
      const Piece *p = &l->pieces.data[i], *q = &r->pieces.data[k];
      Taken t = {r->offset + q->from - p->to, r->offset + q->to - p->from};
      if (p->first <= q->last && q->first <= p->last && t.to > 0) vec_push(a, list, t);
    }
}

// The place in the smallest gap between them, else behind all.
static int64_t best_gap(TakenList *list) {
  int64_t best = -1, least = INT64_MAX, top = 0;
  if (list->n) qsort(list->data, (size_t)list->n, sizeof *list->data, by_place);
  for (int i = 0; i < list->n; i++) {
    int64_t room = list->data[i].from - top;
    if (room >= 0 && room < least) {
      best = top;
      least = room;
    }
    if (list->data[i].to > top) top = round_up(list->data[i].to, ALIGN);
  }
  return best >= 0 ? best : top;
}

// ---- orders -------------------------------------------------------------------------------------------------------

// Which buffers live at the same time, once and for all plans.
typedef struct Fit {
  Arena *a;
  Live **order; // the buffers in the order in which they are placed
  int n;
  Vec(Live *) * rivals; // by number: those that live at the same time
  TakenList taken;      // by those placed already, for the buffer to be placed
  bool *placed;         // by number
  int64_t *best, least; // places of the best plan so far, by number, and its size
} Fit;

static int by_area(const void *x, const void *y) {
  const Live *a = *(Live *const *)x, *b = *(Live *const *)y;
  double p = (double)a->bytes * (a->last - a->first + 1), q = (double)b->bytes * (b->last - b->first + 1);
  return p != q ? (p < q ? 1 : -1) : by_size(x, y);
}

static int by_duration(const void *x, const void *y) {
  const Live *a = *(Live *const *)x, *b = *(Live *const *)y;
  int p = a->last - a->first, q = b->last - b->first;
  return p != q ? (p < q ? 1 : -1) : by_size(x, y);
}

static int by_birth(const void *x, const void *y) {
  const Live *a = *(Live *const *)x, *b = *(Live *const *)y;
  return a->first != b->first ? (a->first < b->first ? -1 : 1) : by_size(x, y);
}

// Places all in the present order; remembers the plan if it is the best so far. Returns its size.
static int64_t try_order(Fit *f) {
  int64_t total = 0;
  memset(f->placed, 0, (size_t)f->n * sizeof *f->placed);
  for (int i = 0; i < f->n; i++) {
    Live *l = f->order[i];
    f->taken.n = 0;
    for (int k = 0; k < f->rivals[l->number].n; k++) {
      const Live *r = f->rivals[l->number].data[k];
      if (f->placed[r->number]) add_taken(f->a, &f->taken, l, r);
    }
    l->offset = best_gap(&f->taken);
    f->placed[l->number] = true;
    if (end_of(l) > total) total = end_of(l);
  }
  if (total >= f->least) return total;
  f->least = total;
  for (int i = 0; i < f->n; i++) f->best[f->order[i]->number] = f->order[i]->offset;
  return total;
}

// Puts one of those that reach the top of the plan in front of the order: number `which` of them, counted cyclically.
static void advance_top(Fit *f, int64_t total, int which) {
  int n = 0, at = 0;
  for (int i = 0; i < f->n; i++) n += end_of(f->order[i]) == total;
  if (n == 0) return;
  for (which %= n; at < f->n; at++)
    if (end_of(f->order[at]) == total && which-- == 0) break;
  Live *l = f->order[at];
  memmove(&f->order[1], &f->order[0], (size_t)at * sizeof *f->order);
  f->order[0] = l;
}

// What lives at the same time at most: no plan needs less.
static int64_t live_bound(Live *const *all, int n, int positions) {
  int64_t most = 0, now = 0, *change = calloc((size_t)positions + 2, sizeof *change);
  for (int i = 0; change && i < n; i++)
    for (int k = 0; k < all[i]->pieces.n; k++) {
      const Piece *x = &all[i]->pieces.data[k];
      change[x->first] += x->to - x->from;
      change[x->last + 1] -= x->to - x->from;
    }
  for (int i = 0; change && i <= positions; i++) most = (now += change[i]) > most ? now : most;
  free(change);
  return most;
}

// The largest first, or the longest, or in order of time; from each of these orders on, what stood out on top goes first
// in the next try.
static int64_t fit_by_orders(Plan *p, Live **all, int n, int64_t bound) {
  static int (*const orders[])(const void *, const void *) = {by_size, by_area, by_duration, by_birth};
  enum { TRIES = 100, WORK = 20000000 }; // of each order; pairs of pieces looked at in all of them
  Fit f = {.a = p->c->arena, .order = all, .n = n, .least = INT64_MAX};
  int64_t pairs = 1;
  f.rivals = arena_alloc(f.a, (size_t)n * sizeof *f.rivals);
  memset(f.rivals, 0, (size_t)n * sizeof *f.rivals);
  f.placed = NEW_ARRAY(f.a, bool, n);
  f.best = NEW_ARRAY(f.a, int64_t, n);
  for (int i = 0; i < n; i++) all[i]->number = i;
  for (int i = 0; i < n; i++)
    for (int k = 0; k < n; k++) {
      if (i == k || !overlap(all[i], all[k])) continue;
      vec_push(f.a, &f.rivals[i], all[k]);
      pairs += (int64_t)all[i]->pieces.n * all[k]->pieces.n;
    }
  int64_t tries = WORK / ARRAY_LEN(orders) / pairs;
  if (tries > TRIES) tries = TRIES;
  for (int o = 0; o < ARRAY_LEN(orders) && f.least > bound; o++) {
    qsort(all, (size_t)n, sizeof *all, orders[o]);
    int64_t total = try_order(&f);
    for (int i = 0; i < tries && f.least > bound; i++) {
      advance_top(&f, total, i);
      total = try_order(&f);
    }
  }
  for (int i = 0; i < n; i++) all[i]->offset = f.best[all[i]->number];
  return n ? f.least : 0;
}

// ---- many buffers ---------------------------------------------------------------------------------------------

typedef struct Gap {
  int64_t at, bytes;
} Gap;

typedef struct Gaps {
  Arena *a;
  Vec(Gap) list; // by place; neighbours do not touch
  int64_t top;   // everything behind is free
} Gaps;

static int by_death(const void *x, const void *y) {
  const Live *a = *(Live *const *)x, *b = *(Live *const *)y;
  return a->last != b->last ? (a->last < b->last ? -1 : 1) : a->number < b->number ? -1 : 1;
}

static void remove_gap(Gaps *g, int i) {
  memmove(&g->list.data[i], &g->list.data[i + 1], (size_t)(--g->list.n - i) * sizeof(Gap));
}

static int64_t take_gap(Gaps *g, int64_t bytes) {
  int best = -1;
  for (int i = 0; i < g->list.n; i++)
    if (g->list.data[i].bytes >= bytes && (best < 0 || g->list.data[i].bytes < g->list.data[best].bytes))
      best = i;
  if (best < 0) return (g->top += bytes) - bytes;
  Gap *gap = &g->list.data[best];
  int64_t at = gap->at;
  gap->at += bytes;
  gap->bytes -= bytes;
  if (gap->bytes == 0) remove_gap(g, best);
  return at;
}

static int first_behind(const Gaps *g, int64_t at) {
  int low = 0, high = g->list.n;
  while (low < high) {
    int mid = low + (high - low) / 2;
    if (g->list.data[mid].at > at)
      high = mid;
    else
      low = mid + 1;
  }
  return low;
}

static void give_gap(Gaps *g, int64_t at, int64_t bytes) {
  if (bytes == 0) return;
  int i = first_behind(g, at);
  Gap *list = g->list.data;
  bool joins_left = i > 0 && list[i - 1].at + list[i - 1].bytes == at;
  bool joins_right = i < g->list.n && at + bytes == list[i].at;
  if (joins_left && joins_right) {
    list[i - 1].bytes += bytes + list[i].bytes;
    remove_gap(g, i);
  } else if (joins_left) {
    list[i - 1].bytes += bytes;
  } else if (joins_right) {
    list[i] = (Gap){at, bytes + list[i].bytes};
  } else {
    vec_push(g->a, &g->list, ((Gap){0}));
    list = g->list.data;
    memmove(&list[i + 1], &list[i], (size_t)(g->list.n - 1 - i) * sizeof(Gap));
    list[i] = (Gap){at, bytes};
  }
}

// In order of time, as an allocator would: for graphs whose buffers are too many to compare each with each.
static int64_t fit_by_time(Plan *p, Live **all, int n) {
  Live **ending = NEW_ARRAY(p->c->arena, Live *, n);
  memcpy(ending, all, (size_t)n * sizeof *all);
  qsort(all, (size_t)n, sizeof *all, by_birth);
  qsort(ending, (size_t)n, sizeof *ending, by_death);
  Gaps g = {.a = p->c->arena};
  for (int i = 0, dead = 0; i < n; i++) {
    for (; dead < n && ending[dead]->last < all[i]->first; dead++)
      give_gap(&g, ending[dead]->offset, round_up(ending[dead]->bytes, ALIGN));
    all[i]->offset = take_gap(&g, round_up(all[i]->bytes, ALIGN));
  }
  return g.top;
}

enum { MANY = 4000 };

int64_t memory_fit(Plan *p) {
  int n = 0;
  Arena *a = p->c->arena;
  Live **all = NEW_ARRAY(a, Live *, p->live.n);
  for (int i = 0; i < p->live.n; i++) {
    Live *l = p->live.data[i];
    l->number = i;
    if (l->part)
      add_part(a, l);
    else if (!l->shared)
      all[n++] = l;
  }
  for (int i = 0; i < n; i++) finish_pieces(a, all[i]);
  return n > MANY ? fit_by_time(p, all, n) : fit_by_orders(p, all, n, live_bound(all, n, p->position));
}
