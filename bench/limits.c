// limits.c: what this machine can do at best: multiply-adds, clock, bandwidth of each level of memory.
// SPDX-License-Identifier: Apache-2.0
//
// Reads requests from stdin, one a line, and answers each with one number on stdout; waits in between without
// using the processor, so that it can take its turn among the engines that are measured.
//
//   fma THREADS MS            GFLOP/s of independent f32 multiply-adds, two operations each
//   clock MS                  GHz: dependent additions a nanosecond
//   read THREADS BYTES MS     GB/s of reading BYTES (per thread, again and again): the most that reading them front to
//                             back, or in 2, 4 or 8 parts side by side gives
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
enum { LANES = WIDTH / 4, MAX_THREADS = 64, MAX_WAYS = 4 };

// Makes the compiler take a value as unknown from here on.
#define OPAQUE(v) __asm__ volatile("" : REG(v))

struct job;
typedef int64_t (*Work)(struct job *job,
                        int64_t reps); // returns the work done, in units that the caller knows

// What one thread does, in several ways one after the other.
struct job {
  const Work *way; // up to NULL, MAX_WAYS at most
  int thread;
  size_t bytes;
  char *memory;
  int64_t ms, reps;
  double rate[MAX_WAYS]; // units of work a nanosecond
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

// Reads the memory in `streams` parts side by side, some vectors of each at a time: one core may get more from memory
// (half as much again on Zen 3) through several streams than through one.
static inline __attribute__((always_inline)) int64_t read_streams(struct job *job, int64_t reps,
                                                                  int streams) {
  enum { SUMS = 8, LEAST = 2 };
  const Vec *v = (const Vec *)(const void *)job->memory;
  int64_t at_once = streams * LEAST > SUMS ? LEAST : SUMS / streams;
  int64_t part = (int64_t)(job->bytes / WIDTH) / (streams * at_once) * at_once;
  Vec sum[SUMS];
  memset(sum, 0, sizeof sum);
  for (int64_t r = 0; r < reps; r++) {
    for (int64_t i = 0; i < part; i += at_once) {
#pragma GCC unroll 8
      for (int s = 0; s < streams; s++) {
#pragma GCC unroll 8
        for (int64_t k = 0; k < at_once; k++) sum[(s * at_once + k) % SUMS] += v[s * part + i + k];
      }
    }
    __asm__ volatile("" ::: "memory");
  }
  for (int k = 0; k < SUMS; k++) OPAQUE(sum[k]);
  return reps * part * streams * WIDTH;
}

static int64_t work_read(struct job *job, int64_t reps) {
  return read_streams(job, reps, 1);
}

static int64_t work_read2(struct job *job, int64_t reps) {
  return read_streams(job, reps, 2);
}

static int64_t work_read4(struct job *job, int64_t reps) {
  return read_streams(job, reps, 4);
}

static int64_t work_read8(struct job *job, int64_t reps) {
  return read_streams(job, reps, 8);
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

static int64_t timed(struct job *job, Work work, double *rate) {
  int64_t begin = now_ns(), done = work(job, job->reps), taken = now_ns() - begin;
  *rate = (double)done / (double)(taken > 0 ? taken : 1);
  return taken;
}

// Repetitions that take about `ms`, found by doubling; warms clock and caches on the way.
static int64_t calibrate(struct job *job, Work work) {
  int64_t taken = 0;
  double rate;
  for (job->reps = 1; (taken = timed(job, work, &rate)) < job->ms * 250000 && job->reps < INT64_MAX / 4;)
    job->reps *= 2;
  int64_t reps = (int64_t)((double)job->reps * (double)job->ms * 1e6 / (double)taken);
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
  for (int i = 0; job->way[i]; i++) {
    pthread_barrier_wait(job->barrier);
    job->reps = calibrate(job, job->way[i]); // beside the others, as in the measurement
    pthread_barrier_wait(job->barrier);
    timed(job, job->way[i], &job->rate[i]);
  }
  free(job->memory);
  return NULL;
}

// Units of work a nanosecond, all threads together, in the best of the ways.
static double measure(const Work *way, int threads, size_t bytes, int64_t ms) {
  pthread_t ids[MAX_THREADS];
  struct job jobs[MAX_THREADS];
  pthread_barrier_t barrier;
  double best = 0;
  pthread_barrier_init(&barrier, NULL, (unsigned)threads);
  for (int i = 0; i < threads; i++) {
    jobs[i] = (struct job){.way = way, .thread = i, .bytes = bytes, .ms = ms, .barrier = &barrier};
    if (pthread_create(&ids[i], NULL, thread_main, &jobs[i])) exit(1);
  }
  for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  for (int w = 0; way[w]; w++) {
    double rate = 0;
    for (int i = 0; i < threads; i++) rate += jobs[i].rate[w];
    if (rate > best) best = rate;
  }
  pthread_barrier_destroy(&barrier);
  return best;
}

// The answer to one request, negative if it makes no sense.
static double answer(const char *line) {
  static const Work fma[] = {work_fma, NULL}, add[] = {work_clock, NULL}, copy[] = {work_copy, NULL};
  static const Work read[MAX_WAYS + 1] = {work_read, work_read2, work_read4, work_read8};
  int threads = 1;
  size_t bytes = 0;
  int64_t ms = 0;
  if (sscanf(line, "clock %" SCNd64, &ms) == 1) return measure(add, 1, 0, ms);
  if (sscanf(line, "fma %d %" SCNd64, &threads, &ms) == 2 && threads > 0 && threads <= MAX_THREADS)
    return measure(fma, threads, 0, ms);
  if (sscanf(line, "read %d %zu %" SCNd64, &threads, &bytes, &ms) == 3 && threads > 0 &&
      threads <= MAX_THREADS)
    return measure(read, threads, bytes, ms);
  if (sscanf(line, "copy %d %zu %" SCNd64, &threads, &bytes, &ms) == 3 && threads > 0 &&
      threads <= MAX_THREADS)
    return measure(copy, threads, bytes, ms);
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
