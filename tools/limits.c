// limits.c: what this machine can do at best: multiply-adds and the bandwidth of each level of memory.
// SPDX-License-Identifier: Apache-2.0
//
// Loops of the kind that generated code is made of; every thread measures at the same time.
#include "tools/limits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_THREADS = 256, N_CHAINS = 12, N_SUMS = 8 };

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

uint64_t limits_ticks(void) {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t t;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
  return t;
#else
  return 0;
#endif
}

// ---- loops --------------------------------------------------------------------------------------------------

// Each gives two functions for vectors of `width` bytes: `reps` rounds of independent multiply-adds, which return the
// operations done, and reading `bytes` bytes `reps` times, which returns the bytes read.
#if defined(__x86_64__)
#define TARGET(isa) __attribute__((target(isa)))
#define REGISTER    "+v"
#elif defined(__aarch64__)
#define TARGET(isa)
#define REGISTER "+w"
#else
#define TARGET(isa)
#define REGISTER "+m"
#endif

// Variables, not arrays: those would lie in memory.
#define CHAINS(X)    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define SUMS(X)      X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define NEW_CHAIN(i) a##i = x,
#define NEXT(i)                                                                                              \
  a##i = a##i * x + y;                                                                                       \
  __asm__ volatile("" : REGISTER(a##i));
#define NEW_SUM(i) s##i = zero,
#define ADD(i)                                                                                               \
  s##i += v[at + i];                                                                                         \
  __asm__ volatile("" : REGISTER(s##i));

#define LOOPS(width, isa)                                                                                    \
  typedef float Vec##width __attribute__((vector_size(width)));                                              \
  TARGET(isa) static double fma_##width(int64_t reps) {                                                      \
    Vec##width x = {0.5f}, y = {0}, CHAINS(NEW_CHAIN) last = x;                                              \
    __asm__ volatile("" : REGISTER(x), REGISTER(last));                                                      \
    for (int64_t r = 0; r < reps; r++) {                                                                     \
      CHAINS(NEXT)                                                                                           \
    }                                                                                                        \
    return (double)reps * N_CHAINS * (width / 4) * 2;                                                        \
  }                                                                                                          \
  TARGET(isa) static double read_##width(const char *p, int64_t bytes, int64_t reps) {                       \
    const Vec##width *v = (const Vec##width *)(const void *)p;                                               \
    Vec##width zero = {0}, SUMS(NEW_SUM) last = zero;                                                        \
    int64_t n = bytes / (width * N_SUMS) * N_SUMS;                                                           \
    __asm__ volatile("" : REGISTER(last));                                                                   \
    for (int64_t r = 0; r < reps; r++)                                                                       \
      for (int64_t at = 0; at < n; at += N_SUMS) {                                                           \
        SUMS(ADD)                                                                                            \
      }                                                                                                      \
    return (double)reps * (double)n * width;                                                                 \
  }
LOOPS(16, "sse2")
LOOPS(32, "avx2,fma")
LOOPS(64, "avx512f")
#undef LOOPS

static double work_fma(int vector_bytes, int64_t reps) {
  return vector_bytes == 64 ? fma_64(reps) : vector_bytes == 32 ? fma_32(reps) : fma_16(reps);
}

static double work_read(int vector_bytes, const char *p, int64_t bytes, int64_t reps) {
  return vector_bytes == 64   ? read_64(p, bytes, reps)
         : vector_bytes == 32 ? read_32(p, bytes, reps)
                              : read_16(p, bytes, reps);
}

int limits_vector_bytes(bool avx512) {
#if defined(__x86_64__)
  if (avx512 && __builtin_cpu_supports("avx512f")) return 64;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 32;
#else
  (void)avx512;
#endif
  return 16;
}

// ---- measuring ----------------------------------------------------------------------------------------------

typedef struct Job {
  int vector_bytes;
  int64_t bytes; // 0: multiply-adds
  char *memory;
  pthread_barrier_t *barrier;
  double rate; // units of work a nanosecond
} Job;

static double job_work(const Job *j, int64_t reps) {
  return j->bytes ? work_read(j->vector_bytes, j->memory, j->bytes, reps) : work_fma(j->vector_bytes, reps);
}

// Rounds are doubled until they take a while; then the best of many counts: a limit is what nothing disturbs.
static void *job_main(void *arg) {
  enum { WHILE_NS = 500000, TRIES = 30 };
  Job *j = arg;
  if (j->bytes && !posix_memalign((void **)&j->memory, 4096, (size_t)j->bytes))
    memset(j->memory, 0, (size_t)j->bytes);
  pthread_barrier_wait(j->barrier);
  if (j->bytes && !j->memory) return NULL;
  int64_t reps = 1;
  for (int tries = 0; tries < TRIES;) {
    int64_t begin = now_ns();
    double done = job_work(j, reps);
    int64_t taken = now_ns() - begin;
    if (taken < WHILE_NS) reps *= 2;
    if (taken < WHILE_NS) continue;
    if (done / (double)taken > j->rate) j->rate = done / (double)taken;
    tries++;
  }
  free(j->memory);
  return NULL;
}

static double measure(int threads, int vector_bytes, int64_t bytes) {
  pthread_t id[MAX_THREADS];
  Job job[MAX_THREADS];
  pthread_barrier_t barrier;
  double sum = 0;
  if (threads > MAX_THREADS) threads = MAX_THREADS;
  pthread_barrier_init(&barrier, NULL, (unsigned)threads);
  int started = 0;
  for (; started < threads; started++) {
    job[started] = (Job){.vector_bytes = vector_bytes, .bytes = bytes, .barrier = &barrier};
    if (started && pthread_create(&id[started], NULL, job_main, &job[started])) break;
  }
  if (started == threads) job_main(&job[0]);
  for (int i = 1; i < started; i++)
    if (started == threads) pthread_join(id[i], NULL);
  for (int i = 0; i < started; i++) sum += job[i].rate;
  return sum;
}

static double tick_rate(void) {
  int64_t begin = now_ns();
  uint64_t first = limits_ticks();
  while (now_ns() - begin < 10000000) {
  }
  uint64_t last = limits_ticks();
  return (double)(last - first) / (double)(now_ns() - begin);
}

Limits limits_measure(int threads, int vector_bytes) {
  static const struct {
    const char *name;
    int64_t measured, holds; // bytes a thread
  } levels[LIMIT_LEVELS] = {{"L1", 16 << 10, 32 << 10},
                            {"L2", 256 << 10, 1 << 20},
                            {"L3", 4 << 20, 16 << 20},
                            {"memory", 64 << 20, INT64_MAX}};
  Limits l = {.ticks_per_ns = tick_rate(), .gflops = measure(threads, vector_bytes, 0)};
  for (int i = 0; i < LIMIT_LEVELS; i++) {
    l.level[i].name = levels[i].name;
    l.level[i].bytes = levels[i].holds;
    l.level[i].gbs = measure(threads, vector_bytes, levels[i].measured);
  }
  return l;
}

double limits_bandwidth(const Limits *l, double bytes, int threads) {
  int i = 1; // operands come from another step: they are not in the first level
  while (i < LIMIT_LEVELS - 1 && bytes / threads > (double)l->level[i].bytes) i++;
  return l->level[i].gbs;
}
