// steps.c: times every step of a compiled model inside whole runs, as bench/kernels wants it.
// SPDX-License-Identifier: Apache-2.0
//
//   steps ns|cycles LIBRARY THREADS SECONDS INPUT...
//
// INPUT: a file of raw bytes for each input, in the model's order. Prints one line per step: name, least and
// median nanoseconds; the last line is "run" with those of whole runs, hooks included. Instead of nanoseconds it
// counts cycles of the calling thread in user mode, which other processes on the machine disturb little.
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/ingot.h"

enum { MAX_RUNS = 4096 };

struct times {
  int64_t begin, *of_step; // of_step: [n][MAX_RUNS]
  int run;
  int counter; // of cycles; -1: nanoseconds are counted
};

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int counter_open(void) {
  struct perf_event_attr a = {.type = PERF_TYPE_HARDWARE,
                              .size = sizeof a,
                              .config = PERF_COUNT_HW_CPU_CYCLES,
                              .exclude_kernel = 1,
                              .exclude_hv = 1};
  int fd = (int)syscall(SYS_perf_event_open, &a, 0, -1, -1, 0);
  if (fd < 0) exit((perror("perf_event_open"), 1));
  return fd;
}

static int64_t count(const struct times *t) {
  int64_t n;
  if (t->counter < 0) return now_ns();
  if (read(t->counter, &n, sizeof n) != (ssize_t)sizeof n) exit((perror("perf counter"), 1));
  return n;
}

// Steps with a body (loops, branches) come out as the time of their last iteration.
static void on_step(void *user, ingot_ctx *c, int32_t step, int32_t begin) {
  struct times *t = user;
  (void)c;
  if (begin)
    t->begin = count(t);
  else
    t->of_step[(int64_t)step * MAX_RUNS + t->run] = count(t) - t->begin;
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static void report(const char *name, int64_t *ns, int runs) {
  qsort(ns, (size_t)runs, sizeof *ns, by_value);
  printf("%s %" PRId64 " %" PRId64 "\n", name, ns[0], ns[runs / 2]);
}

static void *file_read(const char *path, uint64_t *size) {
  FILE *f = fopen(path, "rb");
  if (!f || fseek(f, 0, SEEK_END)) exit((perror(path), 1));
  *size = (uint64_t)ftell(f);
  rewind(f);
  void *data = aligned_alloc(64, (*size + 63) / 64 * 64);
  if (!data || fread(data, 1, *size, f) != *size) exit((perror(path), 1));
  fclose(f);
  return data;
}

static void check(int code, const ingot_ctx *c) {
  if (code) exit((fprintf(stderr, "%s\n", c ? ingot_last_error(c) : "no context"), 1));
}

static void measure(ingot_ctx *c, struct times *t, int steps, double seconds, const ingot_model *m) {
  int64_t *whole = calloc(MAX_RUNS, sizeof *whole), end = now_ns() + (int64_t)(seconds * 2e8);
  if (!whole) exit(1);
  while (now_ns() < end) check(ingot_run(c), c); // warms up; its times are written over
  end += (int64_t)(seconds * 1e9);
  for (; t->run < MAX_RUNS && (t->run < 3 || now_ns() < end); t->run++) {
    int64_t begin = count(t);
    check(ingot_run(c), c);
    whole[t->run] = count(t) - begin;
  }
  for (int i = 0; i < steps; i++) report(ingot_step_name(m, i), t->of_step + (int64_t)i * MAX_RUNS, t->run);
  report("run", whole, t->run);
}

int main(int argc, char **argv) {
  char error[512];
  ingot_library *library;
  if (argc < 5) return 2;
  if (ingot_library_open(argv[2], &library, error, sizeof error)) return fprintf(stderr, "%s\n", error), 1;
  const ingot_model *m = ingot_library_model(library, NULL);
  int steps = ingot_step_count(m);
  struct times t = {.of_step = calloc((size_t)steps * MAX_RUNS, sizeof(int64_t)),
                    .counter = strcmp(argv[1], "cycles") == 0 ? counter_open() : -1};
  struct ingot_options o = {.size = sizeof o,
                            .threads = atoi(argv[3]),
                            .flags = INGOT_OWN_OUTPUTS,
                            .hook = on_step,
                            .hook_user = &t};
  ingot_ctx *c = NULL;
  if (!t.of_step) return 1;
  check(ingot_ctx_create(m, &o, &c), NULL);
  for (int i = 0; i < argc - 5; i++) {
    uint64_t size;
    void *data = file_read(argv[5 + i], &size);
    const struct ingot_tensor_info *info = ingot_input_info(m, i);
    check(ingot_set_input(c, i, data, info->dtype, info->rank, NULL, size), c);
  }
  measure(c, &t, steps, atof(argv[4]), m);
  return 0;
}
