// main.c: feeds a reader with files and damaged copies of them: fuzz_parsers FORMAT COPIES FILE...
// SPDX-License-Identifier: Apache-2.0
//
// Copies are damaged the same way in every run. For a search that follows coverage see run.sh. No file may take more
// than two seconds of processor time; memory is limited by run.sh.
#include "tests/damage.h"
#include "tests/fuzz_parsers/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LARGEST = 1 << 20, SLOW = 2 };

static const char NASTY[] = {0, 1, 0x7f, (char)0x80, (char)0xff, '-', '9', '{', '[', '(', ' ', '\n'};

static uint8_t *read_file(const char *path, size_t *n) {
  uint8_t *p = malloc(LARGEST);
  FILE *f = fopen(path, "rb");
  *n = p && f ? fread(p, 1, LARGEST, f) : 0;
  if (f) fclose(f);
  return p;
}

static bool feed(const char *format, const uint8_t *data, size_t n) {
  uint8_t *exact = malloc(n ? n : 1); // of exactly this size: sanitizers see what reads beyond it
  if (!exact) return true;
  memcpy(exact, data, n);
  clock_t start = clock();
  fuzz_parse(format, exact, n);
  free(exact);
  return clock() - start < SLOW * CLOCKS_PER_SEC;
}

static bool one_file(const char *format, const char *path, int copies, uint64_t *state) {
  size_t n;
  uint8_t *whole = read_file(path, &n), *copy = malloc(n ? n : 1);
  bool ok = true;
  for (int i = 0; ok && whole && copy && i <= copies; i++) {
    memcpy(copy, whole, n);
    ok = feed(format, copy, i ? damage(copy, n, NASTY, sizeof NASTY, state) : n);
    if (!ok) fprintf(stderr, "%s: copy %d takes more than %d seconds\n", path, i, SLOW);
  }
  free(whole);
  free(copy);
  return ok;
}

int main(int argc, char **argv) {
  uint64_t state = 1;
  bool ok = true;
  if (argc < 4 || !fuzz_parse(argv[1], NULL, 0))
    return fprintf(stderr, "usage: fuzz_parsers FORMAT COPIES FILE...\n"), 2;
  for (int i = 3; i < argc; i++) ok &= one_file(argv[1], argv[i], atoi(argv[2]), &state);
  printf("%d files and %s damaged copies of each\n", argc - 3, argv[2]);
  return !ok;
}
