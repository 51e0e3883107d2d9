// magika.c: Magika names the type of 141 files, given their first and last bytes.
// SPDX-License-Identifier: Apache-2.0
#include "endtoend.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <zlib.h>

enum {
  PART = 1024,  // bytes of the beginning, and of the end, that the model sees
  BLOCK = 4096, // that are searched for them
  PADDING = 256,
  AT_LEAST = 8, // shorter files are not shown to the model
  LABELS = 214,
};

// What is in a gzip file, NUL-terminated.
static char *unzip(Test *t, const char *name) {
  gzFile f = gzopen(test_path(t, name), "rb");
  Str text = {.arena = t->arena};
  char part[4096];
  for (int n; f && (n = gzread(f, part, sizeof part)) > 0;) str_put(&text, part, (size_t)n);
  if (f) gzclose(f);
  return str_text(&text);
}

static int digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static size_t base64(const char *s, uint8_t *out) {
  uint32_t bits = 0;
  int count = 0;
  size_t n = 0;
  for (; digit(*s) >= 0; s++) {
    bits = bits << 6 | (uint32_t)digit(*s);
    count += 6;
    if (count >= 8) out[n++] = (uint8_t)(bits >> (count -= 8));
  }
  return n;
}

static bool is_space(uint8_t c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// The first bytes after blanks and the last before blanks, each padded where it is short. False if so little is
// left that the model is not asked.
static bool features(const uint8_t *p, size_t n, int32_t *x) {
  size_t block = n < BLOCK ? n : BLOCK, from = 0, to = n;
  while (from < block && is_space(p[from])) from++;
  while (to > n - block && is_space(p[to - 1])) to--;
  size_t head = block - from, tail = to - (n - block);
  for (size_t i = 0; i < PART; i++) {
    x[i] = i < head ? p[from + i] : PADDING;
    x[2 * PART - 1 - i] = i < tail ? p[to - 1 - i] : PADDING;
  }
  return n >= AT_LEAST && head >= AT_LEAST;
}

static void read_labels(Test *t, const char **labels) {
  Source *s = source_read(t->arena, t->ctx->diag, SOURCE_DIR "/tests/endtoend/magika_labels.txt");
  if (!s) exit(1);
  const char *p = s->text;
  for (int i = 0; i < LABELS; i++) {
    size_t n = strcspn(p, "\n");
    labels[i] = arena_strndup(t->arena, p, n);
    p += n + 1;
  }
}

static int greatest(const float *v, int n) {
  int best = 0;
  for (int i = 1; i < n; i++) best = v[i] > v[best] ? i : best;
  return best;
}

static void one_file(Test *t, Net *net, const char *const *labels, const cJSON *file, int number) {
  const char *content = cJSON_GetObjectItem(file, "content_base64")->valuestring;
  const cJSON *expected = cJSON_GetObjectItem(file, "prediction");
  const char *want = cJSON_GetObjectItem(expected, "dl")->valuestring;
  double score = cJSON_GetObjectItem(expected, "score")->valuedouble;
  uint8_t *bytes = NEW_ARRAY(t->arena, uint8_t, strlen(content) + 1);
  Type type = type_make(DT_I32, 2, (int64_t[]){1, 2 * PART});
  Tensor *in = tensor_new(t->ctx, &type);
  bool enough = features(bytes, base64(content, bytes), tensor_data(in));
  if (strcmp(want, "undefined") == 0) {
    CHECK(t, !enough, "file %d should be too short", number);
    return;
  }
  const float *p = floats(net_run(net, (const Tensor *[]){in})[0]);
  int got = greatest(p, LABELS);
  CHECK(t, enough && strcmp(labels[got], want) == 0, "file %d is %s, not %s", number, labels[got], want);
  CHECK(t, fabs((double)p[got] - score) < 1e-4, "file %d: score %g, not %g", number, p[got], score);
}

void magika_case(Test *t) {
  const char *labels[LABELS];
  read_labels(t, labels);
  cJSON *files = cJSON_Parse(unzip(t, "inputs/magika_v3_3_by_content.json.gz"));
  int n = 0;
  Net net = net_load(t, "magika_v3_3.onnx", "dim:unk__214=1");
  const cJSON *file;
  cJSON_ArrayForEach(file, files) one_file(t, &net, labels, file, n++);
  CHECK(t, n == 141, "%d files, should be 141", n);
  cJSON_Delete(files);
}
