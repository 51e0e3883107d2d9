// tokenizer_json.c: tokenizer.json files of byte pair encodings: GPT-2's over bytes, sentencepiece's over characters.
// SPDX-License-Identifier: Apache-2.0
//
// Byte pair encoding (Sennrich, Haddow and Birch 2016): of all neighbours in a word the pair that was learned first is
// joined, again and again. GPT-2 (Radford et al. 2019) writes each byte as a character of its own and cuts texts into
// words by a pattern; sentencepiece takes the text as one word and writes spaces as U+2581.
#include <cjson/cJSON.h>
#include <locale.h>
#include <wctype.h>

#include "tools/tokenizer.h"

typedef struct Bpe {
  Map *rank; // "a b" -> rank + 1
  bool bytes, fallback;
  int32_t unknown;
  char letter[256][3]; // bytes as characters
  int byte_of[512];    // characters as bytes, -1: none
  locale_t locale;
} Bpe;

static const char SPACE[] = "\xe2\x96\x81"; // U+2581

// ---- bytes as characters --------------------------------------------------------------------------------------

static void put_char(char *to, int c) {
  if (c < 0x80) {
    to[0] = (char)c;
    to[1] = '\0';
  } else {
    to[0] = (char)(0xc0 | c >> 6);
    to[1] = (char)(0x80 | (c & 0x3f));
    to[2] = '\0';
  }
}

// Printable ones stand for themselves, the others follow from U+0100 on.
static void letter_tables(Bpe *b) {
  for (int i = 0; i < ARRAY_LEN(b->byte_of); i++) b->byte_of[i] = -1;
  for (int i = 0, next = 256; i < 256; i++) {
    bool plain = (i >= '!' && i <= '~') || (i >= 0xa1 && i <= 0xac) || i >= 0xae;
    int c = plain ? i : next++;
    put_char(b->letter[i], c);
    b->byte_of[c] = i;
  }
}

static int32_t code_point(const char *s, size_t n) {
  unsigned char c = (unsigned char)*s;
  if (n == 1) return c;
  int32_t v = n == 2 ? c & 0x1f : n == 3 ? c & 0x0f : c & 0x07;
  for (size_t i = 1; i < n; i++) v = v << 6 | ((unsigned char)s[i] & 0x3f);
  return v;
}

// The bytes that a token of the file stands for.
static char *raw_bytes(const Bpe *b, Arena *a, const char *key, size_t *n) {
  char *out = arena_alloc(a, strlen(key) + 1);
  size_t at = 0, k;
  for (size_t i = 0, size = strlen(key); i < size; i += k) {
    k = utf8_length(key + i, size - i);
    int32_t c = code_point(key + i, k);
    if (b->bytes && c < ARRAY_LEN(b->byte_of) && b->byte_of[c] >= 0) {
      out[at++] = (char)b->byte_of[c];
    } else if (!b->bytes && k == 3 && memcmp(key + i, SPACE, 3) == 0) {
      out[at++] = ' ';
    } else {
      memcpy(out + at, key + i, k);
      at += k;
    }
  }
  *n = at;
  return out;
}

// ---- one word -------------------------------------------------------------------------------------------------

typedef struct Piece {
  size_t at, n;
} Piece;

static intptr_t pair_rank(const Bpe *b, const char *word, const Piece *p) {
  char text[256];
  if (p[0].n + p[1].n + 2 > sizeof text) return 0;
  memcpy(text, word + p[0].at, p[0].n);
  text[p[0].n] = ' ';
  memcpy(text + p[0].n + 1, word + p[1].at, p[1].n);
  text[p[0].n + 1 + p[1].n] = '\0';
  return (intptr_t)map_get(b->rank, text);
}

static void add_unknown(Tokenizer *t, const Bpe *b, const char *s, size_t n, TokenList *out) {
  char hex[8];
  for (size_t i = 0; b->fallback && i < n; i++) {
    snprintf(hex, sizeof hex, "<0x%02X>", (unsigned char)s[i]);
    int32_t token = tokenizer_find(t, hex, 6);
    if (token >= 0) vec_push(t->arena, out, token);
  }
  if (!b->fallback && b->unknown >= 0) vec_push(t->arena, out, b->unknown);
}

// Joins the pieces of a word, characters at first, and adds their tokens.
static void encode_word(Tokenizer *t, const char *word, size_t size, TokenList *out) {
  const Bpe *b = t->own;
  Vec(Piece) list = {0};
  for (size_t i = 0, k; i < size; i += k) {
    k = utf8_length(word + i, size - i);
    vec_push(t->arena, &list, ((Piece){i, k}));
  }
  for (;;) {
    int best = -1;
    intptr_t least = INTPTR_MAX;
    for (int i = 0; i + 1 < list.n; i++) {
      intptr_t rank = pair_rank(b, word, &list.data[i]);
      if (rank && rank < least) least = rank, best = i;
    }
    if (best < 0) break;
    list.data[best].n += list.data[best + 1].n;
    for (int i = best + 1; i + 1 < list.n; i++) list.data[i] = list.data[i + 1];
    list.n--;
  }
  for (int i = 0; i < list.n; i++) {
    const Piece *p = &list.data[i];
    int32_t token = tokenizer_find(t, word + p->at, p->n);
    if (token >= 0)
      vec_push(t->arena, out, token);
    else
      add_unknown(t, b, word + p->at, p->n, out);
  }
}

// ---- words of a text ------------------------------------------------------------------------------------------

typedef enum Class { C_SPACE, C_LETTER, C_NUMBER, C_OTHER } Class;

static Class class_at(const Bpe *b, const char *s, size_t n) {
  wint_t c = (wint_t)code_point(s, utf8_length(s, n));
  if (c < 0x80) {
    if (strchr(" \t\n\v\f\r", (int)c) && c) return C_SPACE;
    if (c >= '0' && c <= '9') return C_NUMBER;
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? C_LETTER : C_OTHER;
  }
  if (c == 0x85 || c == 0xa0 || iswspace_l(c, b->locale)) return C_SPACE;
  if (c == 0xb2 || c == 0xb3 || c == 0xb9 || (c >= 0xbc && c <= 0xbe)) return C_NUMBER;
  return iswalpha_l(c, b->locale) ? C_LETTER : C_OTHER;
}

static size_t run_of(const Bpe *b, Class want, const char *s, size_t n) {
  size_t i = 0;
  while (i < n && class_at(b, s + i, n - i) == want) i += utf8_length(s + i, n - i);
  return i;
}

static size_t contraction(const char *s, size_t n) {
  static const char *const ends[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  for (int i = 0; i < ARRAY_LEN(ends); i++)
    if (strlen(ends[i]) <= n && memcmp(s, ends[i], strlen(ends[i])) == 0) return strlen(ends[i]);
  return 0;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?letters| ?numbers| ?others|spaces(?!other)|spaces
static size_t next_word(const Bpe *b, const char *s, size_t n) {
  size_t k = contraction(s, n), lead = *s == ' ' && n > 1;
  if (k) return k;
  Class c = class_at(b, s + lead, n - lead);
  if (c != C_SPACE) return lead + run_of(b, c, s + lead, n - lead);
  k = run_of(b, C_SPACE, s, n);
  if (k == n) return k;
  size_t last = k - 1; // the last space goes with what follows
  while (last && ((unsigned char)s[last] & 0xc0) == 0x80) last--;
  return last ? last : k;
}

static void encode_bytes(Tokenizer *t, const char *text, size_t n, TokenList *out) {
  const Bpe *b = t->own;
  if (t->add_space && *text != ' ') {
    text = arena_printf(t->arena, " %.*s", (int)n, text);
    n++;
  }
  for (size_t i = 0, k; i < n; i += k) {
    k = next_word(b, text + i, n - i);
    Str word = {.arena = t->arena};
    for (size_t j = 0; j < k; j++) str_puts(&word, b->letter[(unsigned char)text[i + j]]);
    encode_word(t, str_text(&word), word.n, out);
  }
}

static void encode_characters(Tokenizer *t, const char *text, size_t n, TokenList *out) {
  Str word = {.arena = t->arena};
  if (t->add_space) str_puts(&word, SPACE);
  for (size_t i = 0; i < n; i++)
    if (text[i] == ' ')
      str_puts(&word, SPACE);
    else
      str_put(&word, text + i, 1);
  encode_word(t, str_text(&word), word.n, out);
}

// ---- the file -------------------------------------------------------------------------------------------------

static const cJSON *item(const cJSON *o, const char *key) {
  return cJSON_GetObjectItemCaseSensitive(o, key);
}

static const char *text_of(const cJSON *o, const char *key) {
  const char *s = cJSON_GetStringValue(item(o, key));
  return s ? s : "";
}

// Is there a part of this type in a pre_tokenizer or normalizer, or in one of its sequence?
static const cJSON *part(const cJSON *o, const char *type) {
  const cJSON *x, *list = item(o, "pretokenizers") ? item(o, "pretokenizers") : item(o, "normalizers");
  if (strcmp(text_of(o, "type"), type) == 0) return o;
  cJSON_ArrayForEach(x, list) if (strcmp(text_of(x, "type"), type) == 0) return x;
  return NULL;
}

static bool valid_id(const cJSON *x) {
  return cJSON_IsNumber(x) && x->valuedouble >= 0 && x->valuedouble < 1 << 24 &&
         x->valuedouble == (double)(int32_t)x->valuedouble;
}

static bool read_vocabulary(Tokenizer *t, const Bpe *b, const cJSON *vocabulary, const cJSON *added) {
  const cJSON *x;
  int32_t most = -1;
  cJSON_ArrayForEach(x, vocabulary) {
    if (!x->string || !valid_id(x)) return false; // a list has no names
    if (x->valuedouble > most) most = (int32_t)x->valuedouble;
  }
  cJSON_ArrayForEach(x, added) {
    if (!valid_id(item(x, "id"))) return false;
    if (item(x, "id")->valuedouble > most) most = (int32_t)item(x, "id")->valuedouble;
  }
  tokenizer_room(t, most + 1);
  cJSON_ArrayForEach(x, added) {
    int32_t id = (int32_t)item(x, "id")->valuedouble;
    const char *s = text_of(x, "content");
    tokenizer_add(t, id, s, s, strlen(s));
    vec_push(t->arena, &t->special, id);
  }
  cJSON_ArrayForEach(x, vocabulary) {
    size_t n;
    const char *bytes = raw_bytes(b, t->arena, x->string, &n);
    tokenizer_add(t, (int32_t)x->valuedouble, x->string, bytes, n);
  }
  return most >= 0;
}

// "a b" or ["a", "b"], the first learned first.
static bool read_merges(Tokenizer *t, Bpe *b, const cJSON *merges) {
  const cJSON *x;
  intptr_t rank = 1;
  b->rank = map_new(t->arena);
  cJSON_ArrayForEach(x, merges) {
    const char *key = cJSON_GetStringValue(x);
    const char *first = cJSON_GetStringValue(cJSON_GetArrayItem(x, 0)),
               *second = cJSON_GetStringValue(cJSON_GetArrayItem(x, 1));
    if (!key && first && second) key = arena_printf(t->arena, "%s %s", first, second);
    if (!key) return false;
    if (!map_get(b->rank, key)) map_put(b->rank, arena_strdup(t->arena, key), (void *)rank);
    rank++;
  }
  return true;
}

// The tokens that begin and end texts have no common mark: these are the names in use.
static void find_ends(Tokenizer *t) {
  static const char *const begin[] = {"<s>", "<|begin_of_text|>", "<bos>"};
  static const char *const end[] = {"</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>"};
  for (int i = 0; i < ARRAY_LEN(begin) && t->bos < 0; i++)
    t->bos = tokenizer_find(t, begin[i], strlen(begin[i]));
  for (int i = 0; i < ARRAY_LEN(end) && t->eos < 0; i++) t->eos = tokenizer_find(t, end[i], strlen(end[i]));
}

static void drop_locale(void *locale) {
  freelocale(locale);
}

static bool read_json(Tokenizer *t, const cJSON *root, const char **why) {
  Bpe *b = t->own = NEW(t->arena, Bpe);
  const cJSON *model = item(root, "model"), *pre = item(root, "pre_tokenizer"),
              *norm = item(root, "normalizer");
  *why = "has no byte pair encoding (\"type\": \"BPE\")";
  if (strcmp(text_of(model, "type"), "BPE") != 0 && !item(model, "merges")) return false;
  b->bytes = part(pre, "ByteLevel") != NULL;
  b->fallback = cJSON_IsTrue(item(model, "byte_fallback"));
  t->hex_bytes = b->fallback;
  *why = "cuts texts by a pattern of its own, which is not supported";
  if (part(pre, "Split")) return false;
  letter_tables(b);
  *why = "has a damaged vocabulary or list of merges";
  if (!read_vocabulary(t, b, item(model, "vocab"), item(root, "added_tokens"))) return false;
  if (!read_merges(t, b, item(model, "merges"))) return false;
  const char *unknown = text_of(model, "unk_token");
  b->unknown = *unknown ? tokenizer_find(t, unknown, strlen(unknown)) : -1;
  t->add_space = b->bytes ? cJSON_IsTrue(item(part(pre, "ByteLevel"), "add_prefix_space"))
                          : part(norm, "Prepend") || part(pre, "Metaspace");
  find_ends(t);
  t->add_bos = !b->bytes && t->bos >= 0;
  t->encode = b->bytes ? encode_bytes : encode_characters;
  *why = "needs the locale C.UTF-8";
  b->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
  if (b->locale) arena_defer(t->arena, drop_locale, b->locale);
  return b->locale != (locale_t)0;
}

bool json_tokenizer(Tokenizer *t, Diag *d, const char *path, const char *text, size_t size) {
  const char *why = "is no JSON";
  cJSON *root = cJSON_ParseWithLength(text, size);
  bool ok = root && read_json(t, root, &why);
  cJSON_Delete(root);
  if (!ok) diag_error(d, NO_LOC, "the tokenizer '%s' %s", path, why);
  return ok;
}
