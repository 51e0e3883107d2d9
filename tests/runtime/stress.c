// stress.c: contexts and threads under load; a plain program, for TSan.
// SPDX-License-Identifier: Apache-2.0
//
//     runtime_stress ROUNDS             # every check, so many rounds
//     runtime_stress ROUNDS SECONDS     # again and again for so long; memory, threads and files must not grow
#include "runtime/internal.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
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

// ---- signals -------------------------------------------------------------------------------------------

static atomic_int ticks;

static void tick(int number) {
  (void)number;
  volatile float x = 1.5f; // uses the registers that a run uses
  for (int i = 0; i < 20; i++) x = x * 1.25f - 0.25f;
  atomic_fetch_add(&ticks, 1);
}

static void set_timer(long microseconds) {
  struct itimerval t = {.it_interval.tv_usec = microseconds, .it_value.tv_usec = microseconds};
  setitimer(ITIMER_REAL, &t, NULL);
}

// Runs that a signal interrupts every 200 us, while workers sleep and wake.
static void check_signals(int rounds) {
  struct sigaction handler = {.sa_handler = tick, .sa_flags = SA_RESTART}, old;
  sigaction(SIGALRM, &handler, &old);
  Data *d = malloc(sizeof *d);
  fill(d);
  ingot_ctx *c = make(3, INGOT_NO_SPIN, NULL);
  set_timer(200);
  int before = atomic_load(&ticks);
  for (int r = 0; r < rounds * 20 || atomic_load(&ticks) - before < 20; r++) run_once(c, d, 1 + r % MAX_ROWS);
  set_timer(0);
  ingot_ctx_destroy(c);
  free(d);
  sigaction(SIGALRM, &old, NULL);
}

// ---- cancellation --------------------------------------------------------------------------------------

typedef struct Victim {
  ingot_ctx *c;
  atomic_int runs;
} Victim;

static void *run_until_cancelled(void *arg) {
  Victim *v = arg;
  for (;;) {
    expect(ingot_run(v->c) == INGOT_OK, "a run of a thread that will be cancelled");
    atomic_fetch_add(&v->runs, 1);
    pthread_testcancel();
  }
  return NULL;
}

// A run is no cancellation point: the thread ends behind it, and the context serves the next one.
static void check_cancel(int rounds) {
  Data *d = malloc(sizeof *d);
  fill(d);
  Victim v = {.c = make(3, 0, NULL)};
  for (int r = 0; r < rounds; r++) {
    pthread_t t;
    run_once(v.c, d, MAX_ROWS);
    int before = atomic_load(&v.runs);
    expect(pthread_create(&t, NULL, run_until_cancelled, &v) == 0, "pthread_create");
    while (atomic_load(&v.runs) == before) sched_yield();
    pthread_cancel(t);
    void *how = NULL;
    pthread_join(t, &how);
    expect(how == PTHREAD_CANCELED, "a cancelled thread");
    expect(memcmp(d->y, d->want, sizeof d->y) == 0, "wrong result of a cancelled thread");
  }
  ingot_ctx_destroy(v.c);
  free(d);
}

// ---- all, and for long ---------------------------------------------------------------------------------

// ---- shares: every unit is done once, whoever comes when --------------------------------------------

enum { PARTS = 5 };

typedef struct Taking {
  Shares shares;
  atomic_int next_part, ready, times[PARTS * MAX_UNITS];
} Taking;

static void take_all(Taking *t, int32_t part) {
  for (int32_t unit; ingot_shares_take(&t->shares, part, &unit);) atomic_fetch_add(&t->times[unit], 1);
}

static void *take(void *arg) {
  Taking *t = arg;
  int32_t part = atomic_fetch_add(&t->next_part, 1);
  atomic_fetch_add(&t->ready, 1);
  while (atomic_load(&t->ready) < PARTS) sched_yield();
  take_all(t, part);
  return NULL;
}

static void begin_shares(Taking *t, int32_t units) {
  memset(t, 0, sizeof *t);
  ingot_shares_init(&t->shares, PARTS, units);
}

static void check_taken(const Taking *t, int32_t units) {
  for (int32_t u = 0; u < PARTS * MAX_UNITS; u++)
    expect(atomic_load(&t->times[u]) == (u < PARTS * units), "a unit that is not done once");
}

static void check_shares(int rounds) {
  static Taking t;
  for (int r = 0; r < rounds; r++) {
    int32_t units = 1 + r % MAX_UNITS;
    begin_shares(&t, units);
    pthread_t thread[PARTS];
    for (int i = 0; i < PARTS; i++) expect(pthread_create(&thread[i], NULL, take, &t) == 0, "pthread_create");
    for (int i = 0; i < PARTS; i++) pthread_join(thread[i], NULL);
    check_taken(&t, units);
    begin_shares(&t, units); // one part alone, as a caller's parallel_for may run them
    take_all(&t, r % PARTS);
    check_taken(&t, units);
    for (int p = 0; p < PARTS; p++) take_all(&t, p);
    check_taken(&t, units);
  }
}

static void everything(int rounds) {
  check_parallel_for();
  if (!UNDER_TSAN) check_fork(); // TSan does not follow a fork of a program with threads
  in_threads(churn, 4, rounds);
  in_threads(simple, 4, rounds * 10);
  check_shared(rounds);
  check_shares(rounds);
  check_cancel(rounds / 4 + 1);
  if (!UNDER_TSAN) check_signals(rounds / 4 + 1); // TSan holds signals back
}

static long count_entries(const char *folder) {
  DIR *d = opendir(folder);
  long n = 0;
  while (d && readdir(d)) n++;
  if (d) closedir(d);
  return n;
}

static long resident_kib(void) {
  long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f || fscanf(f, "%*s %ld", &pages) != 1) pages = 0;
  if (f) fclose(f);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

// The first tenth warms up: libc keeps arenas and stacks of threads for the next ones.
// What is resident after a round goes up and down with the threads' stacks and heaps that libc keeps; a leak would lift the
// lowest values, too.
static void soak(int rounds, double seconds) {
  time_t start = time(NULL), end = start + (time_t)seconds;
  long first = 0, most = 0, least = 0, times = 0, files = 0, threads = 0;
  for (; time(NULL) < end && !atomic_load(&faults); times++) {
    everything(rounds);
    long now = resident_kib();
    if (time(NULL) - start < seconds / 10 || times < 2) {
      files = count_entries("/proc/self/fd"), threads = count_entries("/proc/self/task");
      first = now > first ? now : first;
    }
    most = now > most ? now : most;
    if (least == 0 || now < least || end - time(NULL) > seconds / 5) least = now; // of the last fifth
  }
  expect(least <= first + 1024, "memory grows");
  expect(count_entries("/proc/self/fd") == files, "open files grow");
  expect(count_entries("/proc/self/task") == threads, "threads grow");
  printf("soak: %ld times in %.0f s; KiB resident after a round: at most %ld at first, %ld later, at least "
         "%ld at the end\n",
         times, seconds, first, most, least);
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 20;
  if (argc > 2)
    soak(rounds, atof(argv[2]));
  else
    everything(rounds);
  if (atomic_load(&faults)) return 1;
  printf("stress: fine\n");
  return 0;
}
