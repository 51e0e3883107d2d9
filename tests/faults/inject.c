// inject.c: preloaded into a program, makes one of its calls fail: the FAULT_AT-th of kind FAULT_KIND.
// SPDX-License-Identifier: Apache-2.0
//
// Kinds: alloc (malloc and its relatives), map (mmap), open, rename, thread (pthread_create). Without FAULT_AT the
// calls are counted, and their number is written to the file FAULT_COUNT when the program ends. Calls count from the
// start of main, so that what the dynamic linker does is left alone.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef enum Kind { ALLOC, MAP, OPEN, RENAME, THREAD, NONE } Kind;

static Kind kind = NONE;
static long fail_at;
static atomic_long calls;
static const char *report;

__attribute__((constructor)) static void start(void) {
  static const char *const names[] = {"alloc", "map", "open", "rename", "thread"};
  const char *name = getenv("FAULT_KIND"), *at = getenv("FAULT_AT");
  fail_at = at ? atol(at) : -1;
  report = getenv("FAULT_COUNT");
  unsetenv("LD_PRELOAD"); // the linker that is run is another program
  for (int i = 0; name && i < NONE; i++)
    if (strcmp(name, names[i]) == 0) kind = (Kind)i;
}

__attribute__((destructor)) static void finish(void) {
  long n = calls;
  kind = NONE;
  FILE *f = report ? fopen(report, "w") : NULL;
  if (f) fprintf(f, "%ld\n", n), fclose(f);
}

static bool fails(Kind k) {
  return k == kind && atomic_fetch_add(&calls, 1) == fail_at;
}

#define FAIL(why, result) return errno = (why), (result)

// ---- memory -----------------------------------------------------------------------------------------------------

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

void *malloc(size_t n) {
  if (fails(ALLOC)) FAIL(ENOMEM, NULL);
  return __libc_malloc(n);
}

void *calloc(size_t n, size_t size) {
  if (fails(ALLOC)) FAIL(ENOMEM, NULL);
  return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n) {
  if (fails(ALLOC)) FAIL(ENOMEM, NULL);
  return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n) {
  if (fails(ALLOC)) FAIL(ENOMEM, NULL);
  return __libc_memalign(align, n);
}

int posix_memalign(void **p, size_t align, size_t n) {
  if (fails(ALLOC)) return ENOMEM;
  *p = __libc_memalign(align, n);
  return *p ? 0 : ENOMEM;
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset) {
  static void *(*real)(void *, size_t, int, int, int, off_t);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "mmap");
  if (fails(MAP)) FAIL(ENOMEM, MAP_FAILED);
  return real(at, n, prot, flags, fd, offset);
}

// ---- files and threads --------------------------------------------------------------------------------------------

int open(const char *path, int flags, ...) {
  static int (*real)(const char *, int, ...);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "open");
  va_list ap;
  va_start(ap, flags);
  int mode = va_arg(ap, int);
  va_end(ap);
  if (fails(OPEN)) FAIL(EMFILE, -1);
  return real(path, flags, mode);
}

int rename(const char *from, const char *to) {
  static int (*real)(const char *, const char *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "rename");
  if (fails(RENAME)) FAIL(ENOSPC, -1);
  return real(from, to);
}

int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg) {
  static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
  if (fails(THREAD)) return EAGAIN;
  return real(t, attr, fn, arg);
}
