// workers.c: many threads, one model: each thread has a context of its own that computes on that thread alone.
// SPDX-License-Identifier: Apache-2.0
//
//   workers libmodel.so [THREADS [RUNS]]
//
// For many independent inputs this gives more than one context with many threads: nobody ever waits.
#include "ingot.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct Worker {
  const ingot_model *model;
  int runs, code;
  pthread_t thread;
} Worker;

// Zeros for all inputs, at the largest extents.
static int bind_zeros(ingot_ctx *c, const ingot_model *m, const void *zeros) {
  int code = INGOT_OK;
  for (int32_t i = 0; i < ingot_input_count(m) && !code; i++) {
    const struct ingot_tensor_info *t = ingot_input_info(m, i);
    int64_t dims[INGOT_MAX_RANK];
    for (int32_t d = 0; d < t->rank; d++) dims[d] = t->dims[d].n;
    code = ingot_set_input(c, i, zeros, t->dtype, t->rank, dims, (uint64_t)t->bytes);
  }
  return code;
}

static size_t largest_input(const ingot_model *m) {
  size_t most = 1;
  for (int32_t i = 0; i < ingot_input_count(m); i++)
    if ((size_t)ingot_input_info(m, i)->bytes > most) most = (size_t)ingot_input_info(m, i)->bytes;
  return most;
}

static void *work(void *arg) {
  Worker *w = arg;
  struct ingot_options o = {.size = sizeof o, .threads = 1, .flags = INGOT_OWN_OUTPUTS};
  ingot_ctx *c = NULL;
  void *zeros = calloc(1, largest_input(w->model));
  w->code = zeros ? ingot_ctx_create(w->model, &o, &c) : INGOT_E_MEMORY;
  if (!w->code) w->code = bind_zeros(c, w->model, zeros);
  for (int i = 0; i < w->runs && !w->code; i++) w->code = ingot_run(c);
  ingot_ctx_destroy(c);
  free(zeros);
  return NULL;
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int run_threads(const ingot_model *m, int threads, int runs) {
  Worker *w = calloc((size_t)threads, sizeof *w);
  if (!w) return 1;
  int code = 0, started = 0;
  double start = seconds();
  for (; started < threads; started++) {
    w[started].model = m, w[started].runs = runs;
    if (pthread_create(&w[started].thread, NULL, work, &w[started])) break;
  }
  for (int i = 0; i < started; i++) {
    pthread_join(w[i].thread, NULL);
    if (w[i].code) code = w[i].code;
  }
  double time = seconds() - start;
  if (code)
    fprintf(stderr, "workers: %s\n", ingot_error_text(m, code));
  else
    printf("%d threads, %d runs in %.3f s: %.0f runs a second\n", started, started * runs, time,
           started * runs / time);
  free(w);
  return code || started < threads;
}

int main(int argc, char **argv) {
  ingot_library *lib;
  char err[256];
  int threads = argc > 2 ? atoi(argv[2]) : 2, runs = argc > 3 ? atoi(argv[3]) : 100;
  if (argc < 2 || threads < 1 || runs < 0) {
    fprintf(stderr, "usage: workers LIBRARY [THREADS [RUNS]]\n");
    return 2;
  }
  if (ingot_library_open(argv[1], &lib, err, sizeof err)) {
    fprintf(stderr, "workers: %s\n", err);
    return 1;
  }
  int status = run_threads(ingot_library_model(lib, NULL), threads, runs);
  ingot_library_close(lib);
  return status;
}
