// stress.c: contexts and threads under load (usage: runtime_stress ROUNDS); a plain program, for TSan.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/ingot_abi.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern const struct ingot_model ingot_model_rows;
int rows_run(const float *x, int64_t T, float *y, float *total, int32_t *odd);

#ifdef __SANITIZE_THREAD__
enum { UNDER_TSAN = 1 };
#else
enum { UNDER_TSAN = 0 };
#endif

enum { COLUMNS = 16, MAX_ROWS = 300 };

typedef struct Data {
  float x[MAX_ROWS * COLUMNS], y[MAX_ROWS * COLUMNS], want[MAX_ROWS * COLUMNS], total[1];
  int32_t odd[2 * MAX_ROWS + 1];
} Data;

static atomic_int faults;

static void expect(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "stress: %s\n", what);
  atomic_fetch_add(&faults, 1);
}

static void fill(Data *d) {
  for (int i = 0; i < MAX_ROWS * COLUMNS; i++) {
    d->x[i] = (float)(i % 97) * 0.25f;
    float a = d->x[i] * (float)(i % COLUMNS + 1) + 1;
    d->want[i] = a * a;
  }
}

static ingot_ctx *make(int threads, uint32_t flags, ingot_parallel_for pf) {
  struct ingot_options o = {.size = sizeof o, .threads = threads, .flags = flags, .parallel_for = pf};
  ingot_ctx *c = NULL;
  expect(ingot_ctx_create(&ingot_model_rows, &o, &c) == INGOT_OK, "creation");
  return c;
}

static void run_once(ingot_ctx *c, Data *d, int64_t rows) {
  const int64_t dims[] = {rows, COLUMNS};
  size_t bytes = (size_t)rows * COLUMNS * sizeof(float);
  memset(d->y, 0, bytes);
  memset(d->odd, 0, sizeof d->odd);
  int code = ingot_set_input(c, 0, d->x, INGOT_F32, 2, dims, bytes);
  if (!code) code = ingot_set_output(c, 0, d->y, bytes);
  if (!code) code = ingot_set_output(c, 1, d->total, sizeof d->total);
  if (!code) code = ingot_set_output(c, 2, d->odd, sizeof d->odd);
  if (!code) code = ingot_run(c);
  expect(code == INGOT_OK, ingot_last_error(c));
  expect(memcmp(d->y, d->want, bytes) == 0, "wrong result");
  expect(d->odd[2 * rows] == 2 * rows, "wrong derived extent");
}

// Contexts of many kinds, made and destroyed while other threads do the same.
static void *churn(void *arg) {
  int rounds = *(int *)arg;
  Data *d = malloc(sizeof *d);
  fill(d);
  for (int r = 0; r < rounds; r++) {
    ingot_ctx *c = make(1 + r % 7, r % 3 == 1 ? INGOT_NO_SPIN : r % 3 == 2 ? INGOT_PIN_THREADS : 0, NULL);
    for (int k = 0; k < 8; k++) {
      run_once(c, d, 1 + (r * 37 + k * 11) % MAX_ROWS);
      if (k == 4) usleep(300); // long enough for idle workers to fall asleep
    }
    ingot_ctx_destroy(c);
  }
  free(d);
  return NULL;
}

static void *simple(void *arg) {
  int rounds = *(int *)arg;
  Data *d = malloc(sizeof *d);
  fill(d);
  for (int r = 0; r < rounds; r++) {
    int64_t rows = 1 + r * 13 % MAX_ROWS;
    expect(rows_run(d->x, rows, d->y, d->total, d->odd) == INGOT_OK, "convenience call");
    expect(memcmp(d->y, d->want, (size_t)rows * COLUMNS * sizeof(float)) == 0,
           "wrong result of convenience call");
  }
  free(d);
  return NULL;
}

static void in_threads(void *(*fn)(void *), int n, int rounds) {
  pthread_t t[16];
  for (int i = 0; i < n; i++) expect(pthread_create(&t[i], NULL, fn, &rounds) == 0, "pthread_create");
  for (int i = 0; i < n; i++) pthread_join(t[i], NULL);
}

// ---- one context, two threads: refused, never mixed up -----------------------------------------------

typedef struct Shared {
  ingot_ctx *c;
  int rounds;
  atomic_int ran, busy, other;
} Shared;

static void *contend(void *arg) {
  Shared *s = arg;
  for (int r = 0; r < s->rounds; r++) {
    int code = ingot_run(s->c);
    atomic_fetch_add(code == INGOT_OK ? &s->ran : code == INGOT_E_BUSY ? &s->busy : &s->other, 1);
  }
  return NULL;
}

static void check_shared(int rounds) {
  Data *d = malloc(sizeof *d);
  fill(d);
  Shared s = {.c = make(2, 0, NULL), .rounds = rounds * 10};
  run_once(s.c, d, MAX_ROWS);
  pthread_t t[3];
  for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, contend, &s);
  for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
  expect(s.ran > 0 && s.other == 0 && s.ran + s.busy == 3 * s.rounds, "use by several threads");
  expect(memcmp(d->y, d->want, sizeof d->y) == 0, "wrong result after use by several threads");
  ingot_ctx_destroy(s.c);
  free(d);
}

// ---- fork --------------------------------------------------------------------------------------------

static void check_fork(void) {
  Data *d = malloc(sizeof *d);
  fill(d);
  ingot_ctx *c = make(3, 0, NULL);
  run_once(c, d, MAX_ROWS);
  pid_t child = fork();
  if (child == 0) {
    alarm(20);
    run_once(c, d, 77); // its workers stayed with the parent
    ingot_ctx_destroy(c);
    free(d);
    _exit(atomic_load(&faults) != 0);
  }
  int status = 1;
  expect(waitpid(child, &status, 0) == child && status == 0, "a run in a forked child");
  run_once(c, d, 78);
  ingot_ctx_destroy(c);
  free(d);
}

// ---- a caller's threads ------------------------------------------------------------------------------

static void backwards(void *user, int32_t n, void (*fn)(void *, int32_t), void *arg) {
  (void)user;
  while (n-- > 0) fn(arg, n);
}

static void check_parallel_for(void) {
  Data *d = malloc(sizeof *d);
  fill(d);
  ingot_ctx *c = make(5, 0, backwards);
  for (int rows = 1; rows < MAX_ROWS; rows += 17) run_once(c, d, rows);
  ingot_ctx_destroy(c);
  free(d);
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 20;
  check_parallel_for();
  if (!UNDER_TSAN) check_fork(); // TSan does not follow a fork of a program with threads
  in_threads(churn, 4, rounds);
  in_threads(simple, 4, rounds * 10);
  check_shared(rounds);
  if (atomic_load(&faults)) return 1;
  printf("stress: fine\n");
  return 0;
}
