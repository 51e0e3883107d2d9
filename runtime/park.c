// park.c: sleeping until a word changes: futex on Linux, elsewhere a mutex and a condition; time and pauses.
// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#include <time.h>

#if defined(__linux__) && !defined(INGOT_NO_FUTEX)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

// No cancellation point and no allocation, unlike what libc offers.
void ingot_park_wait(atomic_uint *word, unsigned expect) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expect, NULL, NULL, 0);
}

void ingot_park_wake(atomic_uint *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

#else
#include <pthread.h>

// One pair for all words: waking is rare where spinning comes first, and every waiter checks its own word.
static pthread_mutex_t park_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t park_changed = PTHREAD_COND_INITIALIZER;

void ingot_park_wait(atomic_uint *word, unsigned expect) {
  pthread_mutex_lock(&park_lock);
  while (atomic_load(word) == expect) pthread_cond_wait(&park_changed, &park_lock);
  pthread_mutex_unlock(&park_lock);
}

void ingot_park_wake(atomic_uint *word) {
  (void)word;
  pthread_mutex_lock(&park_lock); // a waiter is either before its check or inside the wait
  pthread_cond_broadcast(&park_changed);
  pthread_mutex_unlock(&park_lock);
}
#endif

int64_t ingot_park_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void ingot_park_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile(
      "isb" ::
          : "memory"); // `yield` does nothing on most cores, isb waits about as long as x86's pause
#elif defined(__arm__)
  __asm__ volatile("yield" ::: "memory");
#else
  atomic_signal_fence(memory_order_seq_cst);
#endif
}
