// bare.c: what the executor takes from libc and the system elsewhere, for machines that have neither.
// SPDX-License-Identifier: Apache-2.0
//
// No heap: a context lies in the room that the artefact brings or the caller gives. No threads: jobs run on the
// caller's. No files: weights are embedded or given. The mem functions are weak, since compilers call them too
// and a firmware may bring better ones; compiled with -fno-builtin, so that they do not become calls of
// themselves.
#include "runtime/internal.h"

#include <stdio.h>
#include <string.h>

#define WEAK __attribute__((weak))

// From the first byte to the last, so that `to` may overlap what lies behind it.
static void copy_forward(void *to, const void *from, size_t n) {
  char *t = to;
  const char *f = from;
  if (((uintptr_t)t | (uintptr_t)f) % sizeof(long) == 0)
    for (; n >= sizeof(long); n -= sizeof(long), t += sizeof(long), f += sizeof(long))
      *(long __attribute__((may_alias)) *)t = *(const long __attribute__((may_alias)) *)f;
  while (n--) *t++ = *f++;
}

WEAK void *memcpy(void *restrict to, const void *restrict from, size_t n) {
  copy_forward(to, from, n);
  return to;
}

WEAK void *memmove(void *to, const void *from, size_t n) {
  char *t = to;
  const char *f = from;
  if ((uintptr_t)t - (uintptr_t)f >= n)
    copy_forward(to, from, n); // not memcpy, which a firmware may replace by one that copies backwards
  else
    while (n--) t[n] = f[n];
  return to;
}

WEAK void *memset(void *to, int byte, size_t n) {
  char *t = to;
  for (size_t i = 0; i < n; i++) t[i] = (char)byte;
  return to;
}

WEAK int memcmp(const void *a, const void *b, size_t n) {
  const unsigned char *x = a, *y = b;
  for (; n; n--, x++, y++)
    if (*x != *y) return *x < *y ? -1 : 1;
  return 0;
}

WEAK size_t strlen(const char *s) {
  size_t n = 0;
  while (s[n]) n++;
  return n;
}

#ifdef __arm__ // the names that ARM's run-time ABI gives them
#define ALIASES(name, result, target, params)                                                                \
  result name params __attribute__((weak, alias(#target)));                                                  \
  result name##4 params __attribute__((weak, alias(#target)));                                               \
  result name##8 params __attribute__((weak, alias(#target)));
static void clear(void *to, size_t n) {
  memset(to, 0, n);
}
static void fill(void *to, size_t n, int byte) {
  memset(to, byte, n);
}
ALIASES(__aeabi_memcpy, void *, memcpy, (void *restrict to, const void *restrict from, size_t n))
ALIASES(__aeabi_memmove, void *, memmove, (void *to, const void *from, size_t n))
ALIASES(__aeabi_memclr, void, clear, (void *to, size_t n))
ALIASES(__aeabi_memset, void, fill, (void *to, size_t n, int byte))
#endif

// ---- memory.c, pool.c --------------------------------------------------------------------------------

void *ingot_memory_alloc(uint64_t bytes, uint64_t huge_bytes) {
  (void)bytes, (void)huge_bytes;
  return NULL;
}
void ingot_memory_free(void *p, uint64_t bytes) {
  (void)p, (void)bytes;
}

int ingot_pool_cpus(void) {
  return 1;
}
int ingot_pool_create(Pool **pool, int threads, const struct ingot_options *o) {
  (void)o;
  *pool = NULL;
  return threads <= 1 ? INGOT_OK : INGOT_E_THREADS;
}
void ingot_pool_destroy(Pool *p) {
  (void)p;
}
void ingot_pool_run(Pool *p, int32_t n, PoolFn fn, void *arg) {
  (void)p;
  for (int32_t i = 0; i < n; i++) fn(arg, i);
}
void ingot_pool_begin(Pool *p) {
  (void)p;
}
void ingot_pool_end(Pool *p) {
  (void)p;
}

// ---- weights.c, cpu.c --------------------------------------------------------------------------------

int ingot_weights_open(Weights *w, const struct ingot_model *m, const struct ingot_options *o, char *err,
                       size_t size) {
  *w = (Weights){.data = m->weights.data ? m->weights.data : o->weights};
  if (!w->data && m->weights.bytes > 0) {
    snprintf(err, size, "weights: there are no files here, so the caller must give them");
    return INGOT_E_WEIGHTS;
  }
  if ((uintptr_t)w->data % INGOT_ALIGN == 0) return INGOT_OK;
  snprintf(err, size, "weights: the address %p is not a multiple of %d", w->data, INGOT_ALIGN);
  return INGOT_E_ALIGN;
}
void ingot_weights_close(Weights *w) {
  (void)w;
}

// Who builds a firmware knows the processor.
int ingot_cpu_check(const char *features, char *missing, size_t size) {
  (void)features, (void)missing, (void)size;
  return INGOT_OK;
}
