// arena.c: bump allocation out of growing chunks, everything freed at once; growth of vectors.
// SPDX-License-Identifier: Apache-2.0
#include "ir/base.h"

#include <stdlib.h>

// Under AddressSanitizer every allocation is a chunk of its own, so that an overrun by one byte is seen.
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
void __asan_poison_memory_region(const volatile void *p, size_t n); // clang may come without the header
#else
#define ARENA_ASAN                        0
#define __asan_poison_memory_region(p, n) ((void)(p), (void)(n))
#endif

enum {
  ARENA_LINE = 64,              // alignment of large blocks: a cache line and the widest vector
  ARENA_WORD = 16,              // alignment of small ones
  ARENA_FIRST_CHUNK = 64 << 10, // chunks double from the first size to the last
  ARENA_LAST_CHUNK = 4 << 20,
};

// No block is larger: a request beyond it is a fault in a size, or input that asks for the absurd.
static const size_t ARENA_BLOCK_MAX = (size_t)1 << 39;

typedef struct Chunk {
  struct Chunk *next;
} Chunk;

typedef struct Deferred {
  struct Deferred *next;
  void (*fn)(void *);
  void *p;
} Deferred;

struct Arena {
  jmp_buf *oom;
  Chunk *chunks;
  Deferred *deferred;
  uintptr_t at, end; // free part of the current chunk
  size_t next_chunk, used;
};

static inline uintptr_t align_up(uintptr_t p, size_t align) {
  return (p + align - 1) & ~(uintptr_t)(align - 1);
}

Arena *arena_new(jmp_buf *oom) {
  Arena *a = calloc(1, sizeof *a);
  if (!a) return NULL;
  a->oom = oom;
  a->next_chunk = ARENA_FIRST_CHUNK;
  return a;
}

void arena_free(Arena *a) {
  if (!a) return;
  // A deferred function may not allocate, but may register nothing either: the list is final here.
  for (Deferred *d = a->deferred; d; d = d->next) d->fn(d->p);
  for (Chunk *c = a->chunks, *next; c; c = next) {
    next = c->next;
    free(c);
  }
  free(a);
}

jmp_buf *arena_oom(Arena *a) {
  return a->oom;
}

size_t arena_used(const Arena *a) {
  return a->used;
}

// A chunk that holds `size` bytes at alignment `align`; returns the address of its first usable byte, or 0.
// calloc gives large chunks as untouched zero pages, so an arena of tensors costs only what is written.
static uintptr_t chunk_new(Arena *a, size_t size, size_t align) {
  if (size > ARENA_BLOCK_MAX) return 0;
  Chunk *c = calloc(1, sizeof(Chunk) + size + align);
  if (!c) return 0;
  c->next = a->chunks;
  a->chunks = c;
  return (uintptr_t)(c + 1);
}

// NULL when memory is short.
static void *try_alloc(Arena *a, size_t size) {
  size_t align = size >= ARENA_LINE ? ARENA_LINE : ARENA_WORD;
  uintptr_t p = align_up(a->at, align);
  if (p < a->at || p > a->end || a->end - p < size || !a->at) {
    bool own = ARENA_ASAN || size > a->next_chunk / 4; // a big block does not waste the current chunk
    size_t chunk = own ? size : a->next_chunk;
    p = chunk_new(a, chunk, align);
    if (!p) return NULL;
    uintptr_t end = p + chunk + align;
    p = align_up(p, align);
    if (own) {
      a->used += size;
      if (ARENA_ASAN) __asan_poison_memory_region((void *)(p + size), end - (p + size));
      return (void *)p;
    }
    a->end = end;
    if (a->next_chunk < ARENA_LAST_CHUNK) a->next_chunk *= 2;
  }
  a->at = p + size;
  a->used += size;
  return (void *)p;
}

static _Noreturn void out_of_memory(Arena *a) {
  longjmp(*a->oom, 1);
}

void *arena_alloc(Arena *a, size_t size) {
  void *p = try_alloc(a, size ? size : 1);
  if (!p) out_of_memory(a);
  return p;
}

void *arena_array(Arena *a, size_t count, size_t size) {
  size_t total;
  if (__builtin_mul_overflow(count, size, &total)) out_of_memory(a);
  return arena_alloc(a, total);
}

void *arena_dup(Arena *a, const void *p, size_t size) {
  void *copy = arena_alloc(a, size);
  if (size) memcpy(copy, p, size);
  return copy;
}

char *arena_strndup(Arena *a, const char *s, size_t n) {
  if (n == SIZE_MAX) out_of_memory(a);
  char *copy = arena_alloc(a, n + 1);
  if (n) memcpy(copy, s, n);
  return copy;
}

char *arena_strdup(Arena *a, const char *s) {
  return arena_strndup(a, s, strlen(s));
}

char *arena_vprintf(Arena *a, const char *fmt, va_list ap) {
  va_list again;
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  if (n < 0) n = 0;
  char *s = arena_alloc(a, (size_t)n + 1);
  vsnprintf(s, (size_t)n + 1, fmt, again);
  va_end(again);
  return s;
}

char *arena_printf(Arena *a, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char *s = arena_vprintf(a, fmt, ap);
  va_end(ap);
  return s;
}

void arena_defer(Arena *a, void (*fn)(void *), void *p) {
  Deferred *d = try_alloc(a, sizeof *d);
  if (!d) {
    fn(p); // the caller has handed the resource over: it must not leak
    out_of_memory(a);
  }
  *d = (Deferred){.next = a->deferred, .fn = fn, .p = p};
  a->deferred = d;
}

void vec_grow_(Arena *a, void **data, int n, int *cap, size_t elem) {
  if (*cap > INT32_MAX / 2) out_of_memory(a);
  int bigger = *cap ? *cap * 2 : 8;
  void *grown = arena_array(a, (size_t)bigger, elem);
  if (n) memcpy(grown, *data, (size_t)n * elem);
  *data = grown;
  *cap = bigger;
}
