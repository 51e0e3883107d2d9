// tokenizer.c: what all tokenizers share: the table of pieces, special tokens, opening.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tokenizer.h"

void tokenizer_room(Tokenizer *t, int32_t count) {
  if (count <= t->count) return;
  const char **piece = NEW_ARRAY(t->arena, const char *, count);
  size_t *length = NEW_ARRAY(t->arena, size_t, count);
  if (t->count) memcpy(piece, t->piece, (size_t)t->count * sizeof *piece);
  if (t->count) memcpy(length, t->length, (size_t)t->count * sizeof *length);
  t->piece = piece;
  t->length = length;
  t->count = count;
}

void tokenizer_add(Tokenizer *t, int32_t token, const char *key, const char *bytes, size_t n) {
  if (token < 0 || token >= t->count) return;
  char *copy = arena_alloc(t->arena, n + 1);
  memcpy(copy, bytes, n);
  t->piece[token] = copy;
  t->length[token] = n;
  if (!map_get(t->by_piece, key)) // of two equal ones the first
    map_put(t->by_piece, arena_strdup(t->arena, key), (void *)((intptr_t)token + 1));
}

int32_t tokenizer_find(const Tokenizer *t, const char *key, size_t n) {
  char small[128];
  if (n >= sizeof small) return (int32_t)(intptr_t)map_get(t->by_piece, arena_strndup(t->arena, key, n)) - 1;
  memcpy(small, key, n);
  small[n] = '\0';
  return (int32_t)(intptr_t)map_get(t->by_piece, small) - 1;
}

size_t utf8_length(const char *s, size_t n) {
  size_t k = 1;
  while (k < n && k < 4 && ((unsigned char)s[k] & 0xc0) == 0x80) k++;
  return k;
}

Tokenizer *tokenizer_open(Arena *a, Diag *d, const char *path) {
  const uint8_t *data;
  size_t size, blanks = 0;
  if (!file_map(a, d, NO_LOC, path, &data, &size)) return NULL;
  Tokenizer *t = NEW(a, Tokenizer);
  *t = (Tokenizer){.arena = a, .bos = -1, .eos = -1, .by_piece = map_new(a)};
  while (blanks < size && strchr(" \t\r\n", data[blanks]) && data[blanks]) blanks++;
  if (blanks < size && data[blanks] == '{')
    return json_tokenizer(t, d, path, (const char *)data, size) ? t : NULL;
  if (llama2c_tokenizer(t, data, size)) return t;
  diag_error(d, NO_LOC, "'%s' is neither a tokenizer.json nor a tokenizer of llama2.c", path);
  return NULL;
}

// The special token that text begins with, or -1.
static int32_t special_at(const Tokenizer *t, const char *text, size_t n) {
  int32_t best = -1;
  for (int i = 0; i < t->special.n; i++) {
    int32_t k = t->special.data[i];
    bool longer = best < 0 || t->length[k] > t->length[best];
    if (longer && t->length[k] && t->length[k] <= n && memcmp(t->piece[k], text, t->length[k]) == 0) best = k;
  }
  return best;
}

void tokenizer_encode(Tokenizer *t, const char *text, TokenList *out) {
  size_t n = strlen(text), from = 0;
  if (t->add_bos && t->bos >= 0) vec_push(t->arena, out, t->bos);
  for (size_t i = 0; i < n;) {
    int32_t special = t->special.n ? special_at(t, text + i, n - i) : -1;
    if (special < 0) {
      i++;
      continue;
    }
    if (i > from) t->encode(t, text + from, i - from, out);
    vec_push(t->arena, out, special);
    from = i += t->length[special];
  }
  if (n > from) t->encode(t, text + from, n - from, out);
}

static int hex(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// "<0x0A>" stands for a byte.
static int byte_of(const char *s, size_t n) {
  if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>' || hex(s[3]) < 0 || hex(s[4]) < 0) return -1;
  return hex(s[3]) * 16 + hex(s[4]);
}

const char *tokenizer_piece(const Tokenizer *t, int32_t previous, int32_t token, size_t *n) {
  *n = 0;
  if (token < 0 || token >= t->count || !t->piece[token] || token == t->bos || token == t->eos) return "";
  const char *s = t->piece[token];
  *n = t->length[token];
  int byte = t->hex_bytes ? byte_of(s, *n) : -1;
  if (byte >= 0) {
    char *one = arena_alloc(t->arena, 1);
    *one = (char)byte;
    *n = 1;
    return one;
  }
  bool first = previous == t->bos || previous < 0;
  if (t->add_space && first && *n && *s == ' ') s++, --*n; // the space that encoding puts before a text
  return s;
}
