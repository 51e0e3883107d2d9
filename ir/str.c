// str.c: growing text, stable hashing, string maps, spelling suggestions.
// SPDX-License-Identifier: Apache-2.0
#include "ir/base.h"

#include <ctype.h>
#include <xxhash.h>

// ---- text ---------------------------------------------------------------------------------------------

// Room for n more bytes and the terminator.
static void str_reserve(Str *s, size_t n) {
  size_t need;
  if (__builtin_add_overflow(s->n, n, &need) || need > SIZE_MAX / 4) need = SIZE_MAX / 2; // arena says no
  if (need < s->cap) return;
  size_t cap = s->cap ? s->cap : 64;
  while (cap <= need) cap *= 2;
  char *grown = arena_alloc(s->arena, cap);
  if (s->n) memcpy(grown, s->s, s->n);
  s->s = grown;
  s->cap = cap;
}

void str_put(Str *s, const char *bytes, size_t n) {
  str_reserve(s, n);
  if (n) memcpy(s->s + s->n, bytes, n);
  s->n += n;
  s->s[s->n] = '\0';
}

void str_puts(Str *s, const char *text) {
  str_put(s, text, strlen(text));
}

void str_printf(Str *s, const char *fmt, ...) {
  va_list ap, again;
  va_start(ap, fmt);
  va_copy(again, ap);
  size_t room = s->cap - s->n;
  int n = vsnprintf(room ? s->s + s->n : NULL, room, fmt, ap);
  if (n > 0 && (size_t)n >= room) {
    str_reserve(s, (size_t)n);
    vsnprintf(s->s + s->n, (size_t)n + 1, fmt, again);
  }
  if (n > 0) s->n += (size_t)n;
  va_end(again);
  va_end(ap);
}

char *str_text(Str *s) {
  if (!s->s) str_put(s, "", 0);
  return s->s;
}

uint64_t hash_bytes(const void *p, size_t n) {
  return XXH3_64bits(p, n);
}

// ---- maps -----------------------------------------------------------------------------------------------

typedef struct Entry {
  const char *key; // NULL: free
  uint64_t hash;
  void *value;
} Entry;

// Open addressing with linear probing; `cap` is a power of two, at most three quarters full.
struct Map {
  Arena *arena;
  Entry *entries;
  size_t n, cap;
};

Map *map_new(Arena *a) {
  Map *m = NEW(a, Map);
  m->arena = a;
  return m;
}

// The entry of `key`, or the free one where it would go. Needs cap > n.
static Entry *map_slot(const Map *m, const char *key, uint64_t hash) {
  for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
    Entry *e = &m->entries[i];
    if (!e->key || (e->hash == hash && strcmp(e->key, key) == 0)) return e;
  }
}

static void map_grow(Map *m) {
  Map old = *m;
  m->cap = old.cap ? old.cap * 2 : 16;
  m->entries = NEW_ARRAY(m->arena, Entry, m->cap);
  for (size_t i = 0; i < old.cap; i++) {
    const Entry *e = &old.entries[i];
    if (e->key) *map_slot(m, e->key, e->hash) = *e;
  }
}

void *map_get(const Map *m, const char *key) {
  return m->n ? map_slot(m, key, hash_bytes(key, strlen(key)))->value : NULL;
}

bool map_put(Map *m, const char *key, void *value) {
  if ((m->n + 1) * 4 > m->cap * 3) map_grow(m);
  size_t len = strlen(key);
  uint64_t hash = hash_bytes(key, len);
  Entry *e = map_slot(m, key, hash);
  bool fresh = !e->key;
  if (fresh) {
    *e = (Entry){.key = arena_strndup(m->arena, key, len), .hash = hash};
    m->n++;
  }
  e->value = value;
  return fresh;
}

// ---- spelling -------------------------------------------------------------------------------------------

enum { WORD_MAX = 63 }; // longer words get no suggestion

static int min3(int a, int b, int c) {
  int m = a < b ? a : b;
  return m < c ? m : c;
}

static bool same_letter(char a, char b) {
  return tolower((unsigned char)a) == tolower((unsigned char)b);
}

// Optimal string alignment distance (insert, delete, replace, swap of neighbours), ignoring case.
static int edit_distance(const char *a, int na, const char *b, int nb) {
  int rows[3][WORD_MAX + 1];
  int *before = rows[0], *last = rows[1], *row = rows[2];
  for (int j = 0; j <= nb; j++) last[j] = j;
  for (int i = 1; i <= na; i++) {
    row[0] = i;
    for (int j = 1; j <= nb; j++) {
      int replace = last[j - 1] + !same_letter(a[i - 1], b[j - 1]);
      row[j] = min3(replace, last[j] + 1, row[j - 1] + 1);
      bool swapped = i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]);
      if (swapped && before[j - 2] + 1 < row[j]) row[j] = before[j - 2] + 1;
    }
    int *spare = before;
    before = last;
    last = row;
    row = spare;
  }
  return last[nb];
}

const char *nearest_word(const char *word, const char *const *keys, int n) {
  size_t len = strlen(word);
  if (!len || len > WORD_MAX) return NULL;
  const char *best = NULL;
  int limit = len <= 2 ? 1 : 1 + (int)len / 4; // farther words only confuse
  for (int i = 0; i < n; i++) {
    size_t klen = strlen(keys[i]);
    if (klen > WORD_MAX || klen > len + (size_t)limit || len > klen + (size_t)limit) continue;
    int d = edit_distance(word, (int)len, keys[i], (int)klen);
    if (d > limit || d >= (int)(len > klen ? len : klen)) continue;
    if (best && d == limit) continue; // ties: the first key wins
    best = keys[i];
    limit = d;
  }
  return best;
}
