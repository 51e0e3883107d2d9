// profile_arena.c: working memory over the time of a run.
// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "tools/profile.h"

// ---- what is live while a step runs --------------------------------------------------------------------------

typedef struct Place {
  int first, last; // steps
  double from, to; // bytes in the arena
} Place;

typedef Vec(Place) PlaceList;

static int by_place(const void *a, const void *b) {
  const Place *x = a, *y = b;
  return (x->from > y->from) - (x->from < y->from);
}

static double number_of(const cJSON *o, const char *key) {
  const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
  return cJSON_IsNumber(v) ? v->valuedouble : -1;
}

static PlaceList places_of(Arena *a, const cJSON *meta) {
  PlaceList list = {0};
  const cJSON *v;
  cJSON_ArrayForEach(v, cJSON_GetObjectItemCaseSensitive(meta, "memory")) {
    double first = number_of(v, "first"), from = number_of(v, "offset");
    if (first < 0 || from < 0) continue;
    Place p = {(int)first, (int)number_of(v, "last"), from, from + number_of(v, "bytes")};
    vec_push(a, &list, p);
  }
  if (list.n) qsort(list.data, (size_t)list.n, sizeof *list.data, by_place);
  return list;
}

// Views and parts lie inside wholes: what several values have in common counts once. The places are sorted.
static double live_at(const PlaceList *places, int step) {
  double live = 0, end = 0;
  for (int i = 0; i < places->n; i++) {
    const Place *p = &places->data[i];
    if (step < p->first || step > p->last || p->to <= end) continue;
    live += p->to - (p->from > end ? p->from : end);
    end = p->to;
  }
  return live;
}

static int by_begin(const void *a, const void *b) {
  const ArenaStep *x = a, *y = b;
  return (x->begin_ms > y->begin_ms) - (x->begin_ms < y->begin_ms);
}

void profile_arena(Arena *a, Profile *p, const cJSON *meta) {
  PlaceList places = places_of(a, meta);
  int n = 0; // steps, of which not all have a row
  for (int i = 0; i < p->spans.n; i++)
    if (p->spans.data[i].step >= n) n = p->spans.data[i].step + 1;
  ArenaStep **at = NEW_ARRAY(a, ArenaStep *, n + 1);
  p->arena_bytes = number_of(meta, "arena_bytes");
  for (int i = 0; i < p->spans.n; i++) { // threads' parts of a step are one
    const Span *s = &p->spans.data[i];
    ArenaStep *have = at[s->step];
    if (!have) {
      have = at[s->step] = NEW(a, ArenaStep);
      *have = (ArenaStep){s->step, s->begin_ms, s->end_ms, live_at(&places, s->step)};
    }
    if (s->begin_ms < have->begin_ms) have->begin_ms = s->begin_ms;
    if (s->end_ms > have->end_ms) have->end_ms = s->end_ms;
  }
  for (int i = 0; i < n; i++)
    if (at[i]) vec_push(a, &p->arena, *at[i]);
  if (p->arena.n) qsort(p->arena.data, (size_t)p->arena.n, sizeof *p->arena.data, by_begin);
}

static const ArenaStep *fullest(const Profile *p, double from, double to) {
  const ArenaStep *most = NULL;
  for (int i = 0; i < p->arena.n; i++) {
    const ArenaStep *s = &p->arena.data[i];
    if (s->begin_ms < to && s->end_ms > from && (!most || s->live > most->live)) most = s;
  }
  return most;
}

// ---- the table and JSON ---------------------------------------------------------------------------------------

static const char *name_of(const Profile *p, int step) {
  const StepRow *r = profile_row(p, step);
  return r ? r->name : "";
}

void profile_print_arena(const Profile *p) {
  enum { SLICES = 20, WIDTH = 40 };
  const double KIB = 1024;
  double end = p->arena.n ? p->arena.data[p->arena.n - 1].end_ms : 0;
  const ArenaStep *peak = fullest(p, -1, end + 1), *last = NULL;
  if (!peak || peak->live <= 0) return;
  printf("\nworking memory: %.0f KiB planned; the fullest step has %.0f KiB alive\n%10s %10s\n",
         p->arena_bytes / KIB, peak->live / KIB, "from ms", "KiB");
  for (int i = 0; i < SLICES; i++) {
    const ArenaStep *s = fullest(p, end * i / SLICES, end * (i + 1) / SLICES);
    if (!s || s == last) continue;
    last = s;
    printf("%10.4f %10.0f  %-*.*s  %s\n", end * i / SLICES, s->live / KIB, WIDTH,
           (int)(s->live / peak->live * WIDTH + 0.5), "########################################",
           name_of(p, s->step));
  }
}

cJSON *profile_arena_json(const Profile *p) {
  cJSON *o = cJSON_CreateObject(), *steps = cJSON_CreateArray();
  const ArenaStep *peak = fullest(p, -1, 1e300);
  cJSON_AddNumberToObject(o, "planned_bytes", p->arena_bytes);
  cJSON_AddNumberToObject(o, "peak_bytes", peak ? peak->live : 0);
  if (peak) cJSON_AddStringToObject(o, "peak_in", name_of(p, peak->step));
  for (int i = 0; i < p->arena.n; i++) {
    const ArenaStep *s = &p->arena.data[i];
    cJSON *x = cJSON_CreateObject();
    cJSON_AddStringToObject(x, "name", name_of(p, s->step));
    cJSON_AddNumberToObject(x, "step", s->step);
    cJSON_AddNumberToObject(x, "begin_ms", s->begin_ms);
    cJSON_AddNumberToObject(x, "end_ms", s->end_ms);
    cJSON_AddNumberToObject(x, "live_bytes", s->live);
    cJSON_AddItemToArray(steps, x);
  }
  cJSON_AddItemToObject(o, "steps", steps);
  return o;
}
