// inject.c: preloaded into a program, makes one of its calls fail: the FAULT_AT-th of kind FAULT_KIND.
// SPDX-License-Identifier: Apache-2.0
//
// Kinds: alloc (malloc and its relatives), map (mmap), open, rename, thread (pthread_create), read (read, fread, fstat),
// write (write, pwrite, fwrite: every other one short, and the device full from then on). Without FAULT_AT the calls are
// counted, and their number is written to the file FAULT_COUNT when the program ends. Calls count from the start of main,
// so that what the dynamic linker does is left alone.
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
#include <sys/stat.h>
#include <unistd.h>

typedef enum Kind { ALLOC, MAP, OPEN, RENAME, THREAD, READ, WRITE, NONE } Kind;

static Kind kind = NONE;
static long fail_at;
static atomic_long calls;
static const char *report;

__attribute__((constructor)) static void start(void) {
  static const char *const names[] = {"alloc", "map", "open", "rename", "thread", "read", "write"};
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

ssize_t read(int fd, void *to, size_t n) {
  static ssize_t (*real)(int, void *, size_t);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "read");
  if (fails(READ)) FAIL(EIO, -1);
  return real(fd, to, n);
}

size_t fread(void *to, size_t size, size_t n, FILE *f) {
  static size_t (*real)(void *, size_t, size_t, FILE *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fread");
  if (fails(READ)) FAIL(EIO, 0);
  return real(to, size, n, f);
}

int fstat(int fd, struct stat *st) {
  static int (*real)(int, struct stat *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fstat");
  if (fails(READ)) FAIL(EIO, -1);
  return real(fd, st);
}

ssize_t write(int fd, const void *from, size_t n) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "write");
  if (!fails(WRITE)) return real(fd, from, n);
  if (fail_at % 2 && n > 1) return real(fd, from, n / 2);
  FAIL(ENOSPC, -1);
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at) {
  static ssize_t (*real)(int, const void *, size_t, off_t);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "pwrite");
  if (!fails(WRITE)) return real(fd, from, n, at);
  if (fail_at % 2 && n > 1) return real(fd, from, n / 2, at);
  FAIL(ENOSPC, -1);
}

// What the stream holds goes to a device without room.
size_t fwrite(const void *from, size_t size, size_t n, FILE *f) {
  static size_t (*real)(const void *, size_t, size_t, FILE *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fwrite");
  if (f != stderr && fileno(f) >= 0 && fails(WRITE)) {
    Kind k = kind;
    kind = NONE;
    int full = open("/dev/full", O_WRONLY);
    if (full >= 0) dup2(full, fileno(f)), close(full);
    kind = k;
  }
  return real(from, size, n, f);
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
