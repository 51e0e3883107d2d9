// test_onnx_big.c: ONNX models of gigabytes are mapped, not read.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx.h"
#include "tests/folder.h"
#include "tests/onnx_build.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const int64_t GIB = (int64_t)1 << 30;

// A message field whose content, of `size` bytes, follows elsewhere.
static void open_field(Str *s, int field, uint64_t size) {
  pb_raw_varint(s, (uint64_t)field << 3 | 2);
  pb_raw_varint(s, size);
}

// y = gather(w, i) with a w of n zeros, which end the file: they take no room on the disk.
static const char *write_big(Arena *a, int64_t n) {
  int64_t one = 1;
  uint64_t bytes = (uint64_t)n * 4;
  Str tensor = {.arena = a}, graph = {.arena = a}, file = {.arena = a}, set = {.arena = a};
  Str node = pb_node(a, "Gather", (const char *[]){"w", "i", NULL}, "y");
  Str in = pb_value(a, "i", 7, &one, 1), out = pb_value(a, "y", 1, &one, 1);
  pb_int(&tensor, 1, n);
  pb_int(&tensor, 2, 1);
  pb_text(&tensor, 8, "w");
  open_field(&tensor, 9, bytes);
  pb_message(&graph, 1, &node);
  pb_message(&graph, 11, &in);
  pb_message(&graph, 12, &out);
  open_field(&graph, 5, tensor.n + bytes);
  pb_int(&file, 1, 8);
  pb_int(&set, 2, 17);
  pb_message(&file, 8, &set);
  open_field(&file, 7, graph.n + tensor.n + bytes);
  const char *path = test_path("big.onnx");
  FILE *f = fopen(path, "wb");
  cr_assert(f, "cannot write '%s'", path);
  fwrite(file.s, 1, file.n, f);
  fwrite(graph.s, 1, graph.n, f);
  fwrite(tensor.s, 1, tensor.n, f);
  cr_assert_eq(fflush(f), 0);
  cr_assert_eq(ftruncate(fileno(f), (off_t)(file.n + graph.n + tensor.n + bytes)), 0);
  fclose(f);
  return path;
}

static int64_t resident_bytes(void) {
  long pages = 0, all = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f && fscanf(f, "%ld %ld", &all, &pages) != 2) pages = 0;
  if (f) fclose(f);
  return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// Loads a model of n numbers and checks what comes out; says what that took.
static void load_big(int64_t n, double *seconds, int64_t *bytes) {
  jmp_buf oom;
  Arena *a = arena_new(&oom);
  cr_assert(a && !setjmp(oom));
  const char *path = write_big(a, n);
  int64_t before = resident_bytes();
  double start = cpu_seconds();
  Module *m = onnx_load(ctx_new(a, diag_new(a, stderr, false)), path, NULL);
  *seconds = cpu_seconds() - start;
  *bytes = resident_bytes() - before;
  unlink(path);
  cr_assert(m);
  cr_assert_eq(m->main->consts.n, 1);
  const Tensor *t = m->main->consts.data[0]->data;
  cr_assert_eq(t->bytes, (size_t)n * 4);
  cr_assert_eq(((const uint8_t *)t->data)[t->bytes - 1], 0); // the last byte can be read
  arena_free(a);
}

Test(onnx_big, a_gigabyte_costs_nothing) {
  double seconds;
  int64_t bytes;
  load_big(GIB / 4, &seconds, &bytes);
  cr_expect_lt(seconds, 0.05, "%.3f s", seconds);
  cr_expect_lt(bytes, 20 << 20, "%lld bytes", (long long)bytes);
}

Test(onnx_big, more_than_two_gigabytes_work) {
  double seconds;
  int64_t bytes;
  load_big(5 * GIB / 8, &seconds, &bytes);
  cr_expect_lt(seconds, 0.05, "%.3f s", seconds);
  cr_expect_lt(bytes, 20 << 20, "%lld bytes", (long long)bytes);
}
