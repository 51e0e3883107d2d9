// main.c: feeds a reader with files, damaged copies and blown-up ones: fuzz_parsers FORMAT COPIES FILE...
// SPDX-License-Identifier: Apache-2.0
//
// Copies are made the same way in every run; one in twenty is grown to a megabyte. For a search that follows coverage
// see run.sh. No file may take more than two seconds of processor time or 512 MiB.
#include "tests/damage.h"
#include "tests/fuzz_parsers/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { GROWN = 20 }; // one copy in so many

// Sanitizers keep what was freed, have shadows of everything, and check each access: code takes several times as long.
#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1, SLOWER = 4 };
#else
enum { SANITIZED = 0, SLOWER = 1 };
#endif

static const char NASTY[] = {0, 1, 0x7f, (char)0x80, (char)0xff, '-', '9', '{', '[', '(', ' ', '\n'};

static uint8_t *read_file(const char *path, size_t *n) {
  uint8_t *p = malloc(LARGE_FILE);
  FILE *f = fopen(path, "rb");
  *n = p && f ? fread(p, 1, LARGE_FILE, f) : 0;
  if (f) fclose(f);
  return p;
}

// The most that this process ever had.
static bool much_memory(void) {
  struct rusage u;
  return !SANITIZED && getrusage(RUSAGE_SELF, &u) == 0 && u.ru_maxrss > LARGE_MIB << 10;
}

static bool feed(const char *format, const uint8_t *data, size_t n) {
  uint8_t *exact = malloc(n ? n : 1); // of exactly this size: sanitizers see what reads beyond it
  if (!exact) return true;
  memcpy(exact, data, n);
  clock_t start = clock();
  fuzz_parse(format, exact, n);
  free(exact);
  return clock() - start < LARGE_SECONDS * SLOWER * CLOCKS_PER_SEC && !much_memory();
}

static bool one_file(const char *format, const char *path, int copies, uint64_t *state) {
  size_t n;
  uint8_t *whole = read_file(path, &n), *copy = malloc(LARGE_FILE);
  bool ok = true;
  for (int i = 0; ok && whole && copy && i <= copies; i++) {
    size_t size = n;
    memcpy(copy, whole, n);
    if (i % GROWN == GROWN - 1 && n)
      size = grow(copy, LARGE_FILE, whole, n, state);
    else if (i)
      size = damage(copy, n, NASTY, sizeof NASTY, state);
    ok = feed(format, copy, size);
    if (!ok)
      fprintf(stderr, "%s: copy %d of %zu bytes takes more than %d seconds or %d MiB\n", path, i, size,
              LARGE_SECONDS, LARGE_MIB);
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
