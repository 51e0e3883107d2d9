// tokenizer_llama2c.c: the tokenizers of llama2.c: pieces with scores, joined best first.
// SPDX-License-Identifier: Apache-2.0
//
// A file is the length of the longest piece and then, for each token, score, length and bytes. Tokens 1 and 2 begin
// and end a text, 3 to 258 are the bytes.
#include "tools/tokenizer.h"

enum { FIRST_BYTE = 3, BOS = 1, EOS = 2 };

typedef struct Reader {
  const uint8_t *data;
  size_t size, at;
} Reader;

static bool take(Reader *r, void *to, size_t n) {
  if (n > r->size - r->at) return false;
  memcpy(to, r->data + r->at, n);
  r->at += n;
  return true;
}

static bool take_piece(Reader *r, float *score, const char **s, size_t *n) {
  int32_t length;
  if (!take(r, score, 4) || !take(r, &length, 4) || length < 0 || (size_t)length > r->size - r->at)
    return false;
  *s = (const char *)r->data + r->at;
  *n = (size_t)length;
  r->at += *n;
  return true;
}

static int32_t count_pieces(Reader r) {
  int32_t n = 0;
  float score;
  const char *s;
  size_t length;
  for (; r.at < r.size; n++)
    if (n == INT32_MAX || !take_piece(&r, &score, &s, &length)) return -1;
  return n;
}

// Of all neighbours that make a piece together the one with the best score, or -1.
static int best_pair(Tokenizer *t, const float *score, const TokenList *list, int from, int32_t *joined) {
  int best = -1;
  for (int i = from; i + 1 < list->n; i++) {
    char text[512];
    int32_t a = list->data[i], b = list->data[i + 1];
    size_t n = t->length[a] + t->length[b];
    if (n > sizeof text) continue;
    memcpy(text, t->piece[a], t->length[a]);
    memcpy(text + t->length[a], t->piece[b], t->length[b]);
    int32_t both = tokenizer_find(t, text, n);
    if (both < 0 || (best >= 0 && score[both] <= score[*joined])) continue;
    best = i;
    *joined = both;
  }
  return best;
}

static void add_character(Tokenizer *t, const char *s, size_t n, TokenList *out) {
  int32_t token = tokenizer_find(t, s, n);
  if (token >= 0) {
    vec_push(t->arena, out, token);
    return;
  }
  for (size_t i = 0; i < n; i++) vec_push(t->arena, out, (int32_t)((unsigned char)s[i] + FIRST_BYTE));
}

static void encode(Tokenizer *t, const char *text, size_t n, TokenList *out) {
  const float *score = *(const float *const *)t->own;
  int from = out->n, at;
  int32_t joined = -1;
  add_character(t, " ", 1, out);
  for (size_t i = 0, k; i < n; i += k) add_character(t, text + i, k = utf8_length(text + i, n - i), out);
  while ((at = best_pair(t, score, out, from, &joined)) >= 0) {
    out->data[at] = joined;
    for (int i = at + 1; i + 1 < out->n; i++) out->data[i] = out->data[i + 1];
    out->n--;
  }
}

bool llama2c_tokenizer(Tokenizer *t, const uint8_t *data, size_t size) {
  Reader r = {data, size, 0};
  int32_t longest, count;
  if (!take(&r, &longest, 4) || longest < 1 || (count = count_pieces(r)) < FIRST_BYTE + 256) return false;
  float *score = NEW_ARRAY(t->arena, float, count);
  tokenizer_room(t, count);
  for (int32_t i = 0; i < count; i++) {
    const char *s;
    size_t n;
    if (!take_piece(&r, &score[i], &s, &n)) return false;
    tokenizer_add(t, i, arena_strndup(t->arena, s, n), s, n);
  }
  t->bos = BOS;
  t->eos = EOS;
  t->add_bos = t->add_space = t->hex_bytes = true;
  t->encode = encode;
  const float **own = NEW(t->arena, const float *);
  *own = score;
  t->own = own;
  return true;
}
