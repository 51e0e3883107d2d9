// race.c: several libraries of one model take turns; prints what each of their steps took, as JSON.
// SPDX-License-Identifier: Apache-2.0
//
//   race THREADS SECONDS LIBRARY...
//
// {"LIBRARY": {"STEP": microseconds, ...}, ...}: the value below which a tenth of the rounds lies. What disturbs only
// makes runs longer, and turns let a drifting clock hit all alike.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/ingot.h"

enum { MAX_ROUNDS = 4000 };

struct runner {
  const char *path;
  const ingot_model *model;
  ingot_ctx *ctx;
  int steps;
  double begin, *now, *all; // microseconds: when the step began, of this round's steps, all[step][round]
};

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static void on_step(void *user, ingot_ctx *c, int32_t step, int32_t begin) {
  struct runner *r = user;
  (void)c;
  if (begin)
    r->begin = now_us();
  else
    r->now[step] += now_us() - r->begin;
}

static void *allocate(size_t bytes) {
  void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!p) exit((perror("race"), 1));
  return memset(p, 0, bytes);
}

static void check(int code, const struct runner *r) {
  if (code) exit((fprintf(stderr, "%s: %s\n", r->path, r->ctx ? ingot_last_error(r->ctx) : "no context"), 1));
}

static void bind_inputs(struct runner *r) {
  for (int i = 0; i < ingot_input_count(r->model); i++) {
    const struct ingot_tensor_info *info = ingot_input_info(r->model, i);
    float *data = allocate((size_t)info->bytes);
    for (int64_t k = 0; info->dtype == INGOT_F32 && k < info->bytes / 4; k++)
      data[k] = (float)rand() / (float)RAND_MAX - 0.5f;
    check(ingot_set_input(r->ctx, i, data, info->dtype, info->rank, NULL, (uint64_t)info->bytes), r);
  }
}

static void open_runner(struct runner *r, const char *path, int threads) {
  char error[512];
  ingot_library *library;
  r->path = path;
  if (ingot_library_open(path, &library, error, sizeof error)) exit((fprintf(stderr, "%s\n", error), 1));
  r->model = ingot_library_model(library, NULL);
  r->steps = ingot_step_count(r->model);
  r->now = allocate(sizeof(double) * (size_t)r->steps);
  r->all = allocate(sizeof(double) * (size_t)r->steps * MAX_ROUNDS);
  struct ingot_options o = {
      .size = sizeof o, .threads = threads, .flags = INGOT_OWN_OUTPUTS, .hook = on_step, .hook_user = r};
  check(ingot_ctx_create(r->model, &o, &r->ctx), r);
  bind_inputs(r);
  check(ingot_run(r->ctx), r);
}

static void run(struct runner *r, int round) {
  memset(r->now, 0, sizeof(double) * (size_t)r->steps);
  check(ingot_run(r->ctx), r);
  for (int i = 0; i < r->steps; i++) r->all[i * MAX_ROUNDS + round] = r->now[i];
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void report(struct runner *r, int rounds) {
  printf("\"%s\":{", r->path);
  for (int i = 0; i < r->steps; i++) {
    double *us = r->all + (size_t)i * MAX_ROUNDS;
    qsort(us, (size_t)rounds, sizeof *us, by_value);
    printf("%s\"%s\":%.2f", i ? "," : "", ingot_step_name(r->model, i), us[rounds / 10]);
  }
  printf("}");
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  int n = argc - 3, rounds = 0;
  struct runner *r = allocate(sizeof *r * (size_t)n);
  for (int i = 0; i < n; i++) open_runner(&r[i], argv[3 + i], atoi(argv[1]));
  double end = now_us() + atof(argv[2]) * 1e6;
  for (; rounds < MAX_ROUNDS && (rounds < 3 || now_us() < end); rounds++)
    for (int i = 0; i < n; i++) run(&r[(i + rounds) % n], rounds); // each comes first in its turn
  printf("{");
  for (int i = 0; i < n; i++) {
    if (i) printf(",\n");
    report(&r[i], rounds);
  }
  printf("}\n");
  return 0;
}
