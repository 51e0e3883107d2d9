// textdiff.c: what changed between two texts, line by line.
// SPDX-License-Identifier: Apache-2.0
//
// Patience diff: lines that occur once in both texts and stand in the same order are anchors; what lies between two
// anchors is compared in the same way, and where it has no anchors, by a table if that is small. Dumps repeat
// few lines, so that this keeps statements whole, where shorter scripts of changes would mix them.
#include "tools/textdiff.h"

typedef struct Lines {
  const char **s; // start of each
  int *n, *id;    // length; equal lines have equal numbers
  bool *kept;     // stands in both texts
  int count;
} Lines;

typedef struct Differ {
  Arena *arena;
  Lines a, b;
  int *pair; // line of a -> line of b, or -1
  int ids;
  int *count_a, *count_b, *place; // by id; all zero between uses
} Differ;

// ---- lines --------------------------------------------------------------------------------------------------

static int id_of(Differ *d, Map *ids, const char *s, int n) {
  char *key = arena_strndup(d->arena, s, (size_t)n);
  int *id = map_get(ids, key);
  if (id) return *id;
  id = NEW(d->arena, int);
  *id = d->ids++;
  map_put(ids, key, id);
  return *id;
}

static Lines split(Differ *d, Map *ids, const char *text) {
  Lines l = {0};
  for (const char *p = text; *p; p++) l.count += *p == '\n';
  l.count++;
  l.s = NEW_ARRAY(d->arena, const char *, l.count);
  l.n = NEW_ARRAY(d->arena, int, l.count);
  l.id = NEW_ARRAY(d->arena, int, l.count);
  l.count = 0;
  for (const char *p = text; *p;) {
    int n = (int)strcspn(p, "\n");
    l.s[l.count] = p;
    l.n[l.count] = n;
    l.id[l.count++] = id_of(d, ids, p, n);
    p += n + (p[n] == '\n');
  }
  return l;
}

// ---- pairing ------------------------------------------------------------------------------------------------

typedef struct Range {
  int a0, a1, b0, b1;
} Range;

// Longest common subsequence by the textbook's table.
static void pair_by_table(Differ *d, Range r) {
  int n = r.a1 - r.a0, m = r.b1 - r.b0, w = m + 1;
  uint16_t *best = NEW_ARRAY(d->arena, uint16_t, (size_t)(n + 1) * (size_t)w);
  for (int i = n - 1; i >= 0; i--)
    for (int j = m - 1; j >= 0; j--) {
      uint16_t down = best[(i + 1) * w + j], right = best[i * w + j + 1];
      bool same = d->a.id[r.a0 + i] == d->b.id[r.b0 + j];
      best[i * w + j] = same ? (uint16_t)(best[(i + 1) * w + j + 1] + 1) : down > right ? down : right;
    }
  for (int i = 0, j = 0; i < n && j < m;) {
    if (d->a.id[r.a0 + i] == d->b.id[r.b0 + j])
      d->pair[r.a0 + i++] = r.b0 + j++;
    else if (best[(i + 1) * w + j] >= best[i * w + j + 1])
      i++;
    else
      j++;
  }
}

typedef struct Anchor {
  int a, b, before; // before: the anchor that ends the best chain in front of this one
} Anchor;

// Lines that are unique in both ranges, by their place in a.
static int find_anchors(Differ *d, Range r, Anchor *out) {
  int n = 0;
  for (int i = r.a0; i < r.a1; i++) d->count_a[d->a.id[i]]++;
  for (int j = r.b0; j < r.b1; j++) {
    d->count_b[d->b.id[j]]++;
    d->place[d->b.id[j]] = j;
  }
  for (int i = r.a0; i < r.a1; i++) {
    int id = d->a.id[i];
    if (d->count_a[id] == 1 && d->count_b[id] == 1) out[n++] = (Anchor){i, d->place[id], -1};
  }
  for (int i = r.a0; i < r.a1; i++) d->count_a[d->a.id[i]] = 0;
  for (int j = r.b0; j < r.b1; j++) d->count_b[d->b.id[j]] = 0;
  return n;
}

// The longest chain of anchors that rises in both texts (patience sorting); returns its last one.
static int longest_chain(Differ *d, Anchor *x, int n) {
  int *top = NEW_ARRAY(d->arena, int, n + 1), piles = 0;
  for (int i = 0; i < n; i++) {
    int lo = 0, hi = piles;
    while (lo < hi) {
      int mid = (lo + hi) / 2;
      if (x[top[mid]].b < x[i].b)
        lo = mid + 1;
      else
        hi = mid;
    }
    x[i].before = lo ? top[lo - 1] : -1;
    top[lo] = i;
    piles += lo == piles;
  }
  return piles ? top[piles - 1] : -1;
}

static void pair_range(Differ *d, Range r, int depth) {
  enum { SMALL_TABLE = 1 << 21, MAX_DEPTH = 64 };
  for (; r.a0 < r.a1 && r.b0 < r.b1 && d->a.id[r.a0] == d->b.id[r.b0]; r.a0++, r.b0++) d->pair[r.a0] = r.b0;
  for (; r.a0 < r.a1 && r.b0 < r.b1 && d->a.id[r.a1 - 1] == d->b.id[r.b1 - 1]; r.a1--, r.b1--)
    d->pair[r.a1 - 1] = r.b1 - 1;
  if (r.a0 == r.a1 || r.b0 == r.b1) return;
  Anchor *x = NEW_ARRAY(d->arena, Anchor, r.a1 - r.a0);
  int at = depth < MAX_DEPTH ? longest_chain(d, x, find_anchors(d, r, x)) : -1;
  if (at < 0) {
    int64_t cells = (int64_t)(r.a1 - r.a0 + 1) * (r.b1 - r.b0 + 1);
    if (cells <= SMALL_TABLE && r.a1 - r.a0 < UINT16_MAX) pair_by_table(d, r);
    return;
  }
  for (; at >= 0; at = x[at].before) { // from the last to the first
    d->pair[x[at].a] = x[at].b;
    pair_range(d, (Range){x[at].a + 1, r.a1, x[at].b + 1, r.b1}, depth + 1);
    r.a1 = x[at].a;
    r.b1 = x[at].b;
  }
  pair_range(d, r, depth + 1);
}

// ---- output -------------------------------------------------------------------------------------------------

static void put_line(Str *out, char mark, const Lines *l, int i) {
  str_put(out, &mark, 1);
  str_put(out, l->s[i], (size_t)l->n[i]);
  str_puts(out, "\n");
}

// One change and those that follow it closely; returns where it ends in a and b.
static void put_hunk(Str *out, const Differ *d, int *a, int *b, int context) {
  int i = *a, j = *b, same = 0, a0 = i - context > 0 ? i - context : 0, b0 = j - (i - a0);
  Str body = {.arena = out->arena};
  for (int k = a0; k < i; k++) put_line(&body, ' ', &d->a, k);
  while (i < d->a.count || j < d->b.count) {
    bool kept = i < d->a.count && d->pair[i] == j;
    if (kept && same == 2 * context) break;
    same = kept ? same + 1 : 0;
    if (kept) {
      put_line(&body, ' ', &d->a, i++);
      j++;
    } else if (i < d->a.count && d->pair[i] < 0) {
      put_line(&body, '-', &d->a, i++);
    } else {
      put_line(&body, '+', &d->b, j++);
    }
  }
  for (int extra = same - context; extra > 0; extra--) { // context behind the last change only
    body.n -= (size_t)d->a.n[--i] + 2;
    j--;
  }
  str_printf(out, "@@ -%d,%d +%d,%d @@\n", a0 + 1, i - a0, b0 + 1, j - b0);
  str_put(out, body.s, body.n);
  *a = i;
  *b = j;
}

bool text_diff(Str *out, const char *a, const char *b, const char *a_name, const char *b_name, int context) {
  Differ diff = {.arena = out->arena}, *d = &diff;
  Map *ids = map_new(d->arena);
  if (strcmp(a, b) == 0) return false;
  d->a = split(d, ids, a);
  d->b = split(d, ids, b);
  d->pair = NEW_ARRAY(d->arena, int, d->a.count + 1);
  for (int i = 0; i < d->a.count; i++) d->pair[i] = -1;
  d->count_a = NEW_ARRAY(d->arena, int, d->ids);
  d->count_b = NEW_ARRAY(d->arena, int, d->ids);
  d->place = NEW_ARRAY(d->arena, int, d->ids);
  pair_range(d, (Range){0, d->a.count, 0, d->b.count}, 0);
  str_printf(out, "--- %s\n+++ %s\n", a_name, b_name);
  for (int i = 0, j = 0; i < d->a.count || j < d->b.count;) {
    if (i < d->a.count && d->pair[i] == j) {
      i++;
      j++;
    } else {
      put_hunk(out, d, &i, &j, context);
    }
  }
  return true;
}
