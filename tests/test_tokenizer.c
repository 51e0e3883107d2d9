// test_tokenizer.c: tokenizers against what the library that made their files gives; sampling.
// SPDX-License-Identifier: Apache-2.0
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "runtime/ingot_sample.h"
#include "tests/folder.h"
#include "tools/tokenizer.h"

static jmp_buf oom; // never set: running out of memory crashes the test

static Diag *diag_of(Arena *a) {
  return diag_new(a, stderr, false);
}

static void check_line(Tokenizer *t, const cJSON *line) {
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(line, "text"));
  const cJSON *ids = cJSON_GetObjectItem(line, "ids");
  TokenList got = {0};
  t->add_bos = false;
  tokenizer_encode(t, text, &got);
  cr_expect_eq(got.n, cJSON_GetArraySize(ids), "'%s' has %d tokens, not %d", text, got.n,
               cJSON_GetArraySize(ids));
  Str back = {.arena = t->arena};
  for (int i = 0; i < got.n && i < cJSON_GetArraySize(ids); i++) {
    size_t n;
    cr_expect_eq(got.data[i], cJSON_GetArrayItem(ids, i)->valueint, "token %d of '%s' is %d", i, text,
                 got.data[i]);
    const char *s = tokenizer_piece(t, i ? got.data[i - 1] : -1, got.data[i], &n);
    str_put(&back, s, n);
  }
  if (!strstr(text, "<|")) cr_expect_str_eq(str_text(&back), text);
}

static void check_file(const char *name) {
  Arena *a = arena_new(&oom);
  Tokenizer *t = tokenizer_open(a, diag_of(a), arena_printf(a, SOURCE_DIR "/tests/tokenizers/%s.json", name));
  FILE *f = fopen(arena_printf(a, SOURCE_DIR "/tests/tokenizers/%s.txt", name), "r");
  char line[4096];
  int lines = 0;
  cr_assert(t && f);
  for (; fgets(line, sizeof line, f); lines++) {
    cJSON *o = cJSON_Parse(line);
    cr_assert(o);
    check_line(t, o);
    cJSON_Delete(o);
  }
  cr_expect_gt(lines, 10);
  fclose(f);
  arena_free(a);
}

Test(tokenizer, pairs_of_bytes) {
  check_file("bytes");
}

Test(tokenizer, pairs_of_characters) {
  check_file("characters");
}

static Tokenizer *open_bytes(Arena *a, const void *data, size_t n) {
  const char *path = test_path("tokenizer");
  FILE *f = fopen(path, "wb");
  cr_assert(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
  return tokenizer_open(a, diag_new(a, fopen("/dev/null", "w"), false), path);
}

// A llama2.c tokenizer: the bytes, then the pieces given.
static Tokenizer *open_llama(Arena *a, const char *const *pieces, const float *scores, int n, size_t cut) {
  Str s = {.arena = a};
  int32_t longest = 8;
  str_put(&s, (const char *)&longest, 4);
  for (int i = 0; i < 259 + n; i++) {
    char hex[8];
    snprintf(hex, sizeof hex, "<0x%02X>", (unsigned)(i - 3) & 255);
    const char *piece = i >= 259 ? pieces[i - 259]
                        : i == 0 ? "<unk>"
                        : i == 1 ? "\n<s>\n"
                        : i == 2 ? "\n</s>\n"
                                 : hex;
    float score = i >= 259 ? scores[i - 259] : 0;
    int32_t length = (int32_t)strlen(piece);
    str_put(&s, (const char *)&score, 4);
    str_put(&s, (const char *)&length, 4);
    str_puts(&s, piece);
  }
  return open_bytes(a, s.s, s.n - cut);
}

Test(tokenizer, llama2c_joins_the_best_scores) {
  static const char *const pieces[] = {" ", "a", "b", "ab", "bb", " a", " ab"};
  static const float scores[] = {0, 0, 0, -2, -1, -3, -4};
  Arena *a = arena_new(&oom);
  Tokenizer *t = open_llama(a, pieces, scores, ARRAY_LEN(pieces), 0);
  cr_assert(t);
  TokenList got = {0};
  tokenizer_encode(t, "abbab\xc3\xa9", &got);
  static const int32_t want[] = {1, 259 + 5, 259 + 4, 259 + 3, 3 + 0xc3, 3 + 0xa9};
  cr_assert_eq(got.n, ARRAY_LEN(want));
  for (int i = 0; i < got.n; i++) cr_expect_eq(got.data[i], want[i], "%d: %d", i, got.data[i]);
  size_t n;
  const char *s = tokenizer_piece(t, 1, got.data[1], &n);
  cr_expect(n == 1 && *s == 'a', "the first space is dropped");
  s = tokenizer_piece(t, got.data[3], got.data[4], &n);
  cr_expect(n == 1 && (unsigned char)*s == 0xc3);
  cr_expect_null(open_llama(a, pieces, scores, ARRAY_LEN(pieces), 1), "cut short");
  arena_free(a);
}

Test(tokenizer, damaged_files_are_refused) {
  static const char *const bad[] = {"",
                                    "{",
                                    "{}",
                                    "{\"model\":{\"type\":\"Unigram\"}}",
                                    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}",
                                    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[3]}}",
                                    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1e9},\"merges\":[]}}",
                                    "{\"model\":{\"type\":\"BPE\",\"vocab\":[0,1],\"merges\":[]}}"};
  for (int i = 0; i < ARRAY_LEN(bad); i++) {
    Arena *a = arena_new(&oom);
    cr_expect_null(open_bytes(a, bad[i], strlen(bad[i])), "%s", bad[i]);
    arena_free(a);
  }
}

// ---- sampling -------------------------------------------------------------------------------------------------

enum { N = 6 };
static const float LOGITS[N] = {1, 3, 2, -1, 3, NAN};

static int32_t draw(struct ingot_sampler s, const int32_t *seen, int n_seen) {
  struct ingot_candidate room[N];
  return ingot_sample(&s, LOGITS, N, seen, n_seen, room);
}

Test(tokenizer, greedy_takes_the_first_of_the_largest) {
  struct ingot_sampler s = {0};
  cr_expect_eq(draw(s, NULL, 0), 1);
  s.repetition_penalty = 2;
  cr_expect_eq(draw(s, (int32_t[]){1, 1, 700, -3}, 4), 4);
  cr_expect_eq(draw(s, (int32_t[]){1, 4}, 2), 2);
}

// How often each token is drawn in many draws.
static void count(struct ingot_sampler s, int *n, int draws) {
  struct ingot_candidate room[N];
  memset(n, 0, N * sizeof *n);
  for (int i = 0; i < draws; i++) n[ingot_sample(&s, LOGITS, N, NULL, 0, room)]++;
}

Test(tokenizer, draws_follow_the_odds) {
  enum { DRAWS = 20000 };
  int n[N];
  count((struct ingot_sampler){.temperature = 1, .seed = 7}, n, DRAWS);
  double sum = expf(1) + 2 * expf(3) + expf(2) + expf(-1);
  for (int i = 0; i < N - 1; i++)
    cr_expect(fabs(n[i] / (double)DRAWS - expf(LOGITS[i]) / sum) < 0.02, "%d: %d", i, n[i]);
  cr_expect_eq(n[5], 0, "not a number");
  count((struct ingot_sampler){.temperature = 1, .top_k = 3, .seed = 7}, n, DRAWS);
  cr_expect(n[1] && n[2] && n[4] && !n[0] && !n[3]);
  count((struct ingot_sampler){.temperature = 1, .top_p = 0.7f, .seed = 7}, n, DRAWS);
  cr_expect(n[1] && n[4] && !n[0] && !n[2] && !n[3]);
  count((struct ingot_sampler){.temperature = 1, .top_p = 0.1f, .seed = 7}, n, DRAWS);
  cr_expect_eq(n[1], DRAWS);
}

// Masked tokens stay so, at the edges of all settings too.
Test(tokenizer, what_is_impossible_is_never_drawn) {
  static const float logits[3] = {-INFINITY, 0, NAN}, infinite[3] = {0, INFINITY, 1};
  static const float heat[] = {1e-45f, 1, 1e30f};
  struct ingot_candidate room[3];
  for (int h = 0; h < ARRAY_LEN(heat); h++)
    for (uint64_t seed = 0; seed < 200; seed++) {
      struct ingot_sampler s = {.temperature = heat[h], .seed = seed};
      cr_expect_eq(ingot_sample(&s, logits, 3, NULL, 0, room), 1);
      cr_expect_eq(ingot_sample(&s, infinite, 3, NULL, 0, room), 1);
    }
}

Test(tokenizer, the_same_seed_draws_the_same) {
  for (uint64_t seed = 0; seed < 100; seed++) {
    struct ingot_sampler s = {.temperature = 2, .top_k = 4, .seed = seed};
    cr_expect_eq(draw(s, NULL, 0), draw(s, NULL, 0));
  }
}
