// fpenv.c: the floating-point mode that kernels run in, so that results do not depend on the caller's thread.
// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#if defined(__x86_64__) || (defined(__i386__) && defined(__SSE__))

enum { MXCSR_DEFAULT = 0x1f80, MXCSR_FLUSH = 0x8040 }; // all exceptions masked, round to nearest; FTZ | DAZ

uint64_t ingot_fpenv_enter(bool flush) {
  unsigned saved = __builtin_ia32_stmxcsr();
  unsigned want = MXCSR_DEFAULT | (flush ? MXCSR_FLUSH : 0);
  if ((saved & ~0x3fu) != want) __builtin_ia32_ldmxcsr(want); // the low six bits are sticky exception flags
  return saved;
}

void ingot_fpenv_leave(uint64_t saved) {
  if ((__builtin_ia32_stmxcsr() & ~0x3fu) != ((unsigned)saved & ~0x3fu))
    __builtin_ia32_ldmxcsr((unsigned)saved);
}

#elif defined(__aarch64__)

enum { FPCR_FLUSH = 1 << 24 }; // FZ; all other control bits zero: round to nearest, no traps

static void fpcr_set(uint64_t v) {
  __asm__ volatile("msr fpcr, %0" ::"r"(v));
}

uint64_t ingot_fpenv_enter(bool flush) {
  uint64_t saved, want = flush ? FPCR_FLUSH : 0;
  __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
  if (saved != want) fpcr_set(want);
  return saved;
}

void ingot_fpenv_leave(uint64_t saved) {
  uint64_t now;
  __asm__ volatile("mrs %0, fpcr" : "=r"(now));
  if (now != saved) fpcr_set(saved);
}

#else

uint64_t ingot_fpenv_enter(bool flush) {
  (void)flush;
  return 0;
}

void ingot_fpenv_leave(uint64_t saved) {
  (void)saved;
}

#endif
