// memory_fit.c: offsets for buffers with lifetimes: the largest first, each in the tightest gap it fits.
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

int64_t memory_fit(Plan *p) {
  int n = 0;
  Live **all = NEW_ARRAY(p->c->arena, Live *, p->live.n), **busy = NEW_ARRAY(p->c->arena, Live *, p->live.n);
  for (int i = 0; i < p->live.n; i++) p->live.data[i]->number = i;
  for (int i = 0; i < p->live.n; i++)
    if (!p->live.data[i]->shared && !p->live.data[i]->part) all[n++] = p->live.data[i];
  qsort(all, (size_t)n, sizeof *all, by_size);
  int64_t total = 0;
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
