// limits.c: what this machine can do at best: multiply-adds, clock, bandwidth of each level of memory.
// SPDX-License-Identifier: Apache-2.0
//
// Reads requests from stdin, one a line, and answers each with one number on stdout; waits in between without
// using the processor, so that it can take its turn among the engines that are measured.
//
//   fma THREADS MS            GFLOP/s of independent f32 multiply-adds, two operations each
//   clock MS                  GHz: dependent additions a nanosecond
//   read THREADS BYTES MS     GB/s of reading BYTES (per thread, again and again)
//   copy THREADS BYTES MS     GB/s read plus GB/s written, copying one half of BYTES to the other
//
// Thread i runs on the i-th processor of the set that the process was given.
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#if defined(__AVX512F__)
enum { WIDTH = 64, CHAINS = 24 };
#define REG "+v"
#elif defined(__AVX__)
enum { WIDTH = 32, CHAINS = 12 };
#define REG "+x"
#elif defined(__aarch64__)
enum { WIDTH = 16, CHAINS = 24 };
#define REG "+w"
#else
enum { WIDTH = 16, CHAINS = 12 };
#define REG "+x"
#endif
typedef float Vec __attribute__((vector_size(WIDTH)));
enum { LANES = WIDTH / 4, MAX_THREADS = 64 };

// Makes the compiler take a value as unknown from here on.
#define OPAQUE(v) __asm__ volatile("" : REG(v))

struct job {
  int64_t (*work)(struct job *job, int64_t reps); // returns the work done, in units that the caller knows
  int thread, threads;
  size_t bytes;
  char *memory;
  int64_t reps, done;
  int64_t begin, end; // ns
  pthread_barrier_t *barrier;
};

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

// ---- loops that are timed ----------------------------------------------------------------------------

static int64_t work_fma(struct job *job, int64_t reps) {
  Vec a[CHAINS], x = {0}, y = {0};
  (void)job;
  x = x + 0.5f;
  OPAQUE(x);
  OPAQUE(y);
#pragma GCC unroll 32
  for (int i = 0; i < CHAINS; i++) {
    a[i] = y;
    OPAQUE(a[i]);
  }
  for (int64_t r = 0; r < reps; r++) {
#pragma GCC unroll 32
    for (int i = 0; i < CHAINS; i++) a[i] = a[i] * x + y;
  }
#pragma GCC unroll 32
  for (int i = 0; i < CHAINS; i++) OPAQUE(a[i]);
  return reps * CHAINS * LANES * 2;
}

static int64_t work_clock(struct job *job, int64_t reps) {
  uint64_t x = 1, y = 3;
  (void)job;
  __asm__ volatile("" : "+r"(y));
  for (int64_t r = 0; r < reps; r++) {
#pragma GCC unroll 64
    for (int i = 0; i < 64; i++) {
      x += y;
      __asm__ volatile("" : "+r"(x));
    }
  }
  return reps * 64;
}

static int64_t work_read(struct job *job, int64_t reps) {
  enum { AT_ONCE = 8 };
  const Vec *v = (const Vec *)(const void *)job->memory;
  int64_t n = (int64_t)(job->bytes / (WIDTH * AT_ONCE)) * AT_ONCE;
  Vec sum[AT_ONCE];
  memset(sum, 0, sizeof sum);
  for (int64_t r = 0; r < reps; r++) {
    for (int64_t i = 0; i < n; i += AT_ONCE) {
#pragma GCC unroll 8
      for (int k = 0; k < AT_ONCE; k++) sum[k] += v[i + k];
    }
    __asm__ volatile("" ::: "memory");
  }
  for (int k = 0; k < AT_ONCE; k++) OPAQUE(sum[k]);
  return reps * n * WIDTH;
}

static int64_t work_copy(struct job *job, int64_t reps) {
  enum { AT_ONCE = 4 };
  int64_t n = (int64_t)(job->bytes / (2 * WIDTH * AT_ONCE)) * AT_ONCE;
  const Vec *from = (const Vec *)(const void *)job->memory;
  Vec *to = (Vec *)(void *)job->memory + n;
  for (int64_t r = 0; r < reps; r++) {
    for (int64_t i = 0; i < n; i += AT_ONCE) {
#pragma GCC unroll 4
      for (int k = 0; k < AT_ONCE; k++) to[i + k] = from[i + k];
    }
    __asm__ volatile("" ::: "memory");
  }
  return reps * n * 2 * WIDTH;
}

// ---- timing ------------------------------------------------------------------------------------------

static int64_t timed(struct job *job) {
  int64_t begin = now_ns();
  job->done = job->work(job, job->reps);
  return now_ns() - begin;
}

// Repetitions that take about `ms`, found by doubling; warms clock and caches on the way.
static int64_t calibrate(struct job *job, int64_t ms) {
  int64_t taken = 0;
  for (job->reps = 1; (taken = timed(job)) < ms * 250000 && job->reps < INT64_MAX / 4;) job->reps *= 2;
  int64_t reps = (int64_t)((double)job->reps * (double)ms * 1e6 / (double)taken);
  return reps > 0 ? reps : 1;
}

// Binds the calling thread to the i-th processor of the process's set.
static void stay(int i) {
  cpu_set_t all, one;
  if (sched_getaffinity(0, sizeof all, &all)) return;
  int count = CPU_COUNT(&all), seen = 0;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &all) && seen++ == i % count) CPU_SET(cpu, &one);
  pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

static char *memory_new(size_t bytes) {
  size_t huge = (size_t)2 << 20, size = (bytes + huge - 1) / huge * huge;
  char *p = NULL;
  if (posix_memalign((void **)&p, huge, size)) return NULL;
  madvise(p, size, MADV_HUGEPAGE);
  memset(p, 0, size); // each page is touched by the thread that uses it
  return p;
}

static void *thread_main(void *arg) {
  struct job *job = arg;
  stay(job->thread);
  if (job->bytes && !(job->memory = memory_new(job->bytes))) job->bytes = 0;
  int64_t ms = job->reps;
  pthread_barrier_wait(job->barrier);
  job->reps = calibrate(job, ms); // beside the others, as in the measurement
  pthread_barrier_wait(job->barrier);
  job->begin = now_ns();
  job->done = job->work(job, job->reps);
  job->end = now_ns();
  free(job->memory);
  return NULL;
}

// Units of work a nanosecond, all threads together.
static double measure(int64_t (*work)(struct job *, int64_t), int threads, size_t bytes, int64_t ms) {
  pthread_t ids[MAX_THREADS];
  struct job jobs[MAX_THREADS];
  pthread_barrier_t barrier;
  double rate = 0;
  pthread_barrier_init(&barrier, NULL, (unsigned)threads);
  for (int i = 0; i < threads; i++) {
    jobs[i] = (struct job){
        .work = work, .thread = i, .threads = threads, .bytes = bytes, .reps = ms, .barrier = &barrier};
    if (pthread_create(&ids[i], NULL, thread_main, &jobs[i])) exit(1);
  }
  for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  for (int i = 0; i < threads; i++) rate += (double)jobs[i].done / (double)(jobs[i].end - jobs[i].begin);
  pthread_barrier_destroy(&barrier);
  return rate;
}

// The answer to one request, negative if it makes no sense.
static double answer(const char *line) {
  int threads = 1;
  size_t bytes = 0;
  int64_t ms = 0;
  if (sscanf(line, "clock %" SCNd64, &ms) == 1) return measure(work_clock, 1, 0, ms);
  if (sscanf(line, "fma %d %" SCNd64, &threads, &ms) == 2 && threads > 0 && threads <= MAX_THREADS)
    return measure(work_fma, threads, 0, ms);
  if (sscanf(line, "read %d %zu %" SCNd64, &threads, &bytes, &ms) == 3 && threads > 0 &&
      threads <= MAX_THREADS)
    return measure(work_read, threads, bytes, ms);
  if (sscanf(line, "copy %d %zu %" SCNd64, &threads, &bytes, &ms) == 3 && threads > 0 &&
      threads <= MAX_THREADS)
    return measure(work_copy, threads, bytes, ms);
  return -1;
}

int main(void) {
  char line[256];
  while (fgets(line, sizeof line, stdin)) {
    printf("%.6g\n", answer(line));
    fflush(stdout);
  }
  return 0;
}
