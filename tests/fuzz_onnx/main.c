// main.c: feeds the fuzz target with models, damaged copies and blown-up ones: fuzz_onnx COPIES DIR...
// SPDX-License-Identifier: Apache-2.0
//
// Takes every DIR/*/model.onnx, DIR/*.onnx and DIR/<SHA-1> of up to 16 KiB. Copies are made the same way in every run; of one model in
// GROWN, one is a graph of a megabyte, which may take two seconds of processor time and 512 MiB. For a search that follows
// coverage see run.sh.
#include "ir/base.h"
#include "tests/damage.h"

#include <glob.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST = 16 << 10, GROWN = 8, GRAPH_FIELD = 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEX2  "[0-9a-f][0-9a-f]"
#define HEX10 HEX2 HEX2 HEX2 HEX2 HEX2

static const char NASTY[] = {0, 1, 0x7f, (char)0x80, (char)0xff, 0x0a, 0x12, 0x08};

static void feed(const uint8_t *data, size_t n) {
  uint8_t *exact = malloc(n ? n : 1); // of exactly this size: sanitizers see what reads beyond it
  if (exact) memcpy(exact, data, n), LLVMFuzzerTestOneInput(exact, n);
  free(exact);
}

// ---- models of a megabyte -------------------------------------------------------------------------------------

static size_t put_varint(uint8_t *out, uint64_t v) {
  size_t n = 0;
  for (; v > 127; v >>= 7) out[n++] = (uint8_t)(v | 128);
  out[n++] = (uint8_t)v;
  return n;
}

static uint64_t get_varint(const uint8_t **p, const uint8_t *end) {
  uint64_t v = 0;
  for (int shift = 0; *p < end && shift < 64; shift += 7) {
    v |= (uint64_t)(**p & 127) << shift;
    if (*(*p)++ < 128) break;
  }
  return v;
}

typedef struct Field {
  uint64_t number;
  const uint8_t *start, *data, *end; // start: its tag
} Field;

// The next field that has a length; false at the end or at anything else but numbers.
static bool next_field(const uint8_t **p, const uint8_t *end, Field *f) {
  while (*p < end) {
    f->start = *p;
    uint64_t tag = get_varint(p, end), n = get_varint(p, end); // of numbers: the value
    f->number = tag >> 3;
    if ((tag & 7) == 0) continue;
    if ((tag & 7) != 2 || n > (uint64_t)(end - *p)) return false;
    f->data = *p;
    *p = f->end = f->data + n;
    return true;
  }
  return false;
}

// The model with one part of its graph (a node, a weight, an input ...) so often that it has LARGE_FILE bytes.
static size_t grow_graph(uint8_t *out, const uint8_t *p, size_t n, uint64_t *state) {
  const uint8_t *end = p + n, *at = p;
  Field graph, part, chosen = {0};
  while (next_field(&at, end, &graph) && graph.number != GRAPH_FIELD) {
  }
  if (at == p || graph.number != GRAPH_FIELD) return 0;
  uint32_t seen = 0;
  for (const uint8_t *q = graph.data; next_field(&q, graph.end, &part);)
    if (random_below(state, ++seen) == 0) chosen = part;
  if (!seen) return 0;
  size_t piece = (size_t)(chosen.end - chosen.start), own = (size_t)(graph.end - graph.data);
  size_t times = (LARGE_FILE - n - 16) / piece, to = (size_t)(graph.start - p);
  memcpy(out, p, to);
  out[to++] = GRAPH_FIELD << 3 | 2;
  to += put_varint(out + to, own + times * piece);
  memcpy(out + to, graph.data, own);
  to += own;
  for (size_t i = 0; i < times; i++, to += piece) memcpy(out + to, chosen.start, piece);
  memcpy(out + to, graph.end, (size_t)(end - graph.end));
  return to + (size_t)(end - graph.end);
}

static bool affordable(clock_t start) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
#ifdef __SANITIZE_ADDRESS__ // keeps what was freed and has shadows of everything
  u.ru_maxrss = 0;
#endif
  return clock() - start < LARGE_SECONDS * CLOCKS_PER_SEC && u.ru_maxrss < LARGE_MIB << 10;
}

static bool feed_grown(const char *path, const uint8_t *whole, size_t n, uint64_t *state) {
  uint8_t *large = malloc(LARGE_FILE);
  size_t size = large ? grow_graph(large, whole, n, state) : 0;
  clock_t start = clock();
  if (size) feed(large, size);
  free(large);
  if (affordable(start)) return true;
  fprintf(stderr, "%s: grown to %zu bytes takes more than %d seconds or %d MiB\n", path, size, LARGE_SECONDS,
          LARGE_MIB);
  return false;
}

// ---- files ----------------------------------------------------------------------------------------------------

static bool one_file(const char *path, int copies, uint64_t *state) {
  static uint8_t whole[LARGEST + 1], copy[LARGEST + 1];
  FILE *f = fopen(path, "rb");
  size_t n = f ? fread(whole, 1, sizeof whole, f) : 0;
  if (f) fclose(f);
  if (n == 0 || n > LARGEST) return true;
  for (int i = 0; i <= copies; i++) {
    memcpy(copy, whole, n);
    feed(copy, i ? damage(copy, n, NASTY, sizeof NASTY, state) : n);
  }
  return random_below(state, GROWN) || feed_grown(path, whole, n, state);
}

static size_t all_files(const char *dir, const char *which, int copies, uint64_t *state, bool *ok) {
  char pattern[4096];
  glob_t found;
  snprintf(pattern, sizeof pattern, "%s/%s", dir, which);
  if (glob(pattern, 0, NULL, &found) != 0) return 0;
  size_t n = found.gl_pathc;
  for (size_t k = 0; k < n; k++) *ok &= one_file(found.gl_pathv[k], copies, state);
  globfree(&found);
  return n;
}

int main(int argc, char **argv) {
  uint64_t state = 1;
  size_t files = 0;
  bool ok = true;
  if (argc < 3) return fprintf(stderr, "usage: fuzz_onnx COPIES DIR...\n"), 2;
  for (int i = 2; i < argc; i++) {
    files += all_files(argv[i], "*/model.onnx", atoi(argv[1]), &state, &ok);
    files += all_files(argv[i], "*.onnx", atoi(argv[1]), &state, &ok);
    files += all_files(argv[i], HEX10 HEX10 HEX10 HEX10, atoi(argv[1]), &state, &ok);
  }
  printf("%zu models and %s damaged copies of each\n", files, argv[1]);
  return !ok ? 1 : files ? 0 : 77;
}
