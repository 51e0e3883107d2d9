// profile_ops.c: a profile by the ops of the model, and by their kinds.
// SPDX-License-Identifier: Apache-2.0
//
// A kernel runs as one, so nothing can measure the ops that were fused into it. Its time is divided among them by the
// work that each is by its definition; an op that is in several kernels brings an equal part of its work to each. Such
// times are estimates and are marked so. Work that has gone into constants (batch norms) counts nothing.
#include <stdlib.h>

#include "tools/profile.h"

static double number_of(const cJSON *o, const char *key) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
  return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

static const char *op_of(const cJSON *part) {
  const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(part, "op"));
  return s ? s : "";
}

// "conv1 (conv)" -> "conv"; what has no kind is its own.
static const char *kind_of(Arena *a, const char *op) {
  const char *open = strrchr(op, '('), *end = open ? strchr(open, ')') : NULL;
  return end ? arena_strndup(a, open + 1, (size_t)(end - open - 1)) : op;
}

// ---- one model's ops ----------------------------------------------------------------------------------------

typedef struct Gather {
  Arena *arena;
  Profile *p;
  Map *by_name, *by_kind; // -> number of the row + 1
} Gather;

static OpTime *row_of(Gather *g, OpTimeList *list, Map *names, const char *name) {
  intptr_t at = (intptr_t)map_get(names, name);
  if (!at) {
    OpTime row = {.name = name, .kind = kind_of(g->arena, name)};
    vec_push(g->arena, list, row);
    at = list->n;
    map_put(names, name, (void *)at);
  }
  return &list->data[at - 1];
}

static void add(OpTime *row, const StepRow *s, double share, bool estimated) {
  row->ms += s->ms * share;
  row->flops += s->flops * share;
  row->bytes += s->bytes * share;
  row->steps++;
  row->estimated |= estimated;
}

// The work that an op brings to this kernel.
static double weight(Gather *g, const cJSON *part) {
  const OpTime *row = row_of(g, &g->p->ops, g->by_name, op_of(part));
  return number_of(part, "flops") / (row->kernels > 0 ? row->kernels : 1);
}

static void divide(Gather *g, const StepRow *s) {
  const cJSON *part;
  double sum = 0;
  int n = cJSON_GetArraySize(s->work), working = 0;
  cJSON_ArrayForEach(part, s->work) {
    double w = weight(g, part);
    sum += w;
    working += w > 0;
  }
  cJSON_ArrayForEach(part, s->work) {
    double share = sum > 0 ? weight(g, part) / sum : 1.0 / n;
    add(row_of(g, &g->p->ops, g->by_name, op_of(part)), s, share, sum > 0 ? working > 1 && share > 0 : n > 1);
  }
}

static int by_time(const void *a, const void *b) {
  double x = ((const OpTime *)a)->ms, y = ((const OpTime *)b)->ms;
  return (x < y) - (x > y);
}

static void sort(OpTimeList *list) {
  if (list->n) qsort(list->data, (size_t)list->n, sizeof *list->data, by_time);
}

void profile_ops(Arena *a, Profile *p) {
  Gather g = {a, p, map_new(a), map_new(a)};
  const cJSON *part;
  for (int i = 0; i < p->rows.n; i++)
    cJSON_ArrayForEach(part, p->rows.data[i].work) row_of(&g, &p->ops, g.by_name, op_of(part))->kernels++;
  for (int i = 0; i < p->rows.n; i++) divide(&g, &p->rows.data[i]);
  for (int i = 0; i < p->ops.n; i++) {
    const OpTime *op = &p->ops.data[i];
    OpTime *kind = row_of(&g, &p->kinds, g.by_kind, op->kind);
    kind->ms += op->ms;
    kind->flops += op->flops;
    kind->bytes += op->bytes;
    kind->steps++;
    kind->estimated |= op->estimated;
  }
  sort(&p->ops);
  sort(&p->kinds);
}
