// main.c: feeds the fuzz target with models and damaged copies of them: fuzz_onnx COPIES DIR...
// SPDX-License-Identifier: Apache-2.0
//
// Takes every DIR/*/model.onnx and DIR/*.onnx of up to 16 KiB. Copies are damaged the same way in every run. For a search that
// follows coverage see run.sh.
#include "ir/base.h"
#include "tests/damage.h"

#include <glob.h>
#include <stdlib.h>
#include <unistd.h>

enum { LARGEST = 16 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char NASTY[] = {0, 1, 0x7f, (char)0x80, (char)0xff, 0x0a, 0x12, 0x08};

static void one_file(const char *path, int copies, uint64_t *state) {
  static uint8_t whole[LARGEST + 1];
  FILE *f = fopen(path, "rb");
  size_t n = f ? fread(whole, 1, sizeof whole, f) : 0;
  if (f) fclose(f);
  if (n == 0 || n > LARGEST) return;
  for (int i = 0; i <= copies; i++) {
    uint8_t *copy = malloc(n); // of exactly this size: sanitizers see what reads beyond it
    if (!copy) return;
    memcpy(copy, whole, n);
    size_t left = i ? damage(copy, n, NASTY, sizeof NASTY, state) : n;
    uint8_t *exact = malloc(left ? left : 1);
    if (exact) memcpy(exact, copy, left), LLVMFuzzerTestOneInput(exact, left);
    free(exact);
    free(copy);
  }
}

static size_t all_files(const char *dir, const char *which, int copies, uint64_t *state) {
  char pattern[4096];
  glob_t found;
  snprintf(pattern, sizeof pattern, "%s/%s", dir, which);
  if (glob(pattern, 0, NULL, &found) != 0) return 0;
  size_t n = found.gl_pathc;
  for (size_t k = 0; k < n; k++) one_file(found.gl_pathv[k], copies, state);
  globfree(&found);
  return n;
}

int main(int argc, char **argv) {
  uint64_t state = 1;
  size_t files = 0;
  if (argc < 3) return fprintf(stderr, "usage: fuzz_onnx COPIES DIR...\n"), 2;
  for (int i = 2; i < argc; i++) {
    files += all_files(argv[i], "*/model.onnx", atoi(argv[1]), &state);
    files += all_files(argv[i], "*.onnx", atoi(argv[1]), &state);
  }
  printf("%zu models and %s damaged copies of each\n", files, argv[1]);
  return files ? 0 : 77;
}
