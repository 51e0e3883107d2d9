// memory_fit.c: offsets for buffers with lifetimes: the largest first, each in the tightest gap it fits; where
// there are very many, in order of time.
// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "passes/memory.h"

enum { ALIGN = 64 }; // a cache line, and the widest vector

static int by_size(const void *x, const void *y) {
  const Live *a = *(Live *const *)x, *b = *(Live *const *)y;
  if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
  if (a->first != b->first) return a->first < b->first ? -1 : 1;
  return a->number < b->number ? -1 : 1; // not the values' ids: those differ after reading a dump
}

static int by_offset(const void *x, const void *y) {
  const Live *a = *(Live *const *)x, *b = *(Live *const *)y;
  return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static bool overlap(const Live *a, const Live *b) {
  return a->first <= b->last && b->first <= a->last;
}

static int64_t end_of(const Live *l) {
  return l->offset + round_up(l->bytes, ALIGN);
}

// The smallest gap between `busy` (sorted by offset) that holds the bytes, else the place behind all.
static int64_t best_gap(Live *const *busy, int n, int64_t bytes) {
  int64_t best = -1, best_size = INT64_MAX, top = 0;
  for (int i = 0; i < n; i++) {
    int64_t gap = busy[i]->offset - top;
    if (gap >= bytes && gap < best_size) {
      best = top;
      best_size = gap;
    }
    if (end_of(busy[i]) > top) top = end_of(busy[i]);
  }
  return best >= 0 ? best : top;
}

// The largest first: the plan that needs least, but every buffer meets all others.
static int64_t fit_by_size(Plan *p, Live **all, int n) {
  Live **busy = NEW_ARRAY(p->c->arena, Live *, n);
  int64_t total = 0;
  qsort(all, (size_t)n, sizeof *all, by_size);
  for (int i = 0; i < n; i++) {
    int nbusy = 0;
    for (int k = 0; k < i; k++)
      if (overlap(all[i], all[k])) busy[nbusy++] = all[k];
    qsort(busy, (size_t)nbusy, sizeof *busy, by_offset);
    all[i]->offset = best_gap(busy, nbusy, round_up(all[i]->bytes, ALIGN));
    if (end_of(all[i]) > total) total = end_of(all[i]);
  }
  return total;
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

static int by_birth(const void *x, const void *y) {
  const Live *a = *(Live *const *)x, *b = *(Live *const *)y;
  return a->first != b->first ? (a->first < b->first ? -1 : 1) : by_size(x, y);
}

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
  Live **all = NEW_ARRAY(p->c->arena, Live *, p->live.n);
  for (int i = 0; i < p->live.n; i++) p->live.data[i]->number = i;
  for (int i = 0; i < p->live.n; i++)
    if (!p->live.data[i]->shared && !p->live.data[i]->part) all[n++] = p->live.data[i];
  return n > MANY ? fit_by_time(p, all, n) : fit_by_size(p, all, n);
}
