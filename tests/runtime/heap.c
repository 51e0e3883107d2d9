// heap.c: no allocation and no system call in a run; allocations that fail elsewhere are reported and undone.
// SPDX-License-Identifier: Apache-2.0
//
// Defines malloc and its kin and pthread_create in front of libc's. Usage: runtime_heap libfake.so
#include "runtime/ingot.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static atomic_long calls;      // of any of the functions here
static atomic_long live;       // blocks handed out and not given back
static atomic_long fail_after; // > 0: counts down, the call that reaches 0 fails

static int must_fail(void) {
  atomic_fetch_add(&calls, 1);
  return atomic_load(&fail_after) > 0 && atomic_fetch_sub(&fail_after, 1) == 1;
}

static void *handed_out(void *p) {
  if (p) atomic_fetch_add(&live, 1);
  return p;
}

void *malloc(size_t n) {
  return must_fail() ? NULL : handed_out(__libc_malloc(n));
}
void *calloc(size_t n, size_t size) {
  return must_fail() ? NULL : handed_out(__libc_calloc(n, size));
}
void *aligned_alloc(size_t align, size_t n) {
  return must_fail() ? NULL : handed_out(__libc_memalign(align, n));
}
void *realloc(void *p, size_t n) {
  if (must_fail()) return NULL;
  return p ? __libc_realloc(p, n) : handed_out(__libc_realloc(p, n));
}
void free(void *p) {
  atomic_fetch_add(&calls, 1);
  if (p) atomic_fetch_sub(&live, 1);
  __libc_free(p);
}

int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg) {
  int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
  return must_fail() ? EAGAIN : real(t, attr, fn, arg);
}

static int faults;

static void expect(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "heap: %s\n", what);
  faults++;
}

enum { ROWS = 200 };
static float x[ROWS * 16], y[ROWS * 16], total[1];
static int32_t odd[2 * ROWS + 1];

static int bind(ingot_ctx *c, int64_t rows) {
  int code = ingot_set_input(c, 0, x, INGOT_F32, 2, (int64_t[]){rows, 16}, sizeof x);
  if (!code) code = ingot_set_output(c, 0, y, sizeof y);
  if (!code) code = ingot_set_output(c, 1, total, sizeof total);
  return code ? code : ingot_set_output(c, 2, odd, sizeof odd);
}

static void check_run(const ingot_model *m, int threads) {
  struct ingot_options o = {.size = sizeof o, .threads = threads};
  ingot_ctx *c = NULL;
  expect(ingot_ctx_create(m, &o, &c) == INGOT_OK, "creation");
  // From the very first run on, with shapes that change and with errors.
  long before = atomic_load(&calls);
  for (int r = 0; r < 50; r++) {
    expect(bind(c, 1 + r * 4) == INGOT_OK && ingot_run(c) == INGOT_OK, "run");
    expect(ingot_set_input(c, 0, x, INGOT_F32, 2, (int64_t[]){5000, 16}, sizeof x) == INGOT_E_SHAPE,
           "wrong shape");
  }
  expect(atomic_load(&calls) == before, "a run used the heap");
  ingot_ctx_destroy(c);
}

// In a process that the kernel kills for anything but read, write and exit. One thread: more may have to sleep.
static void check_system_calls(const ingot_model *m) {
  struct ingot_options o = {.size = sizeof o, .threads = 1};
  ingot_ctx *c = NULL;
  expect(ingot_ctx_create(m, &o, &c) == INGOT_OK, "creation");
  pid_t child = fork();
  if (child == 0) {
    int bad = prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    for (int r = 1; r < ROWS && !bad; r++) {
      bad = bind(c, r) != INGOT_OK || ingot_run(c) != INGOT_OK;
      bad |= ingot_set_input(c, 0, x, INGOT_F64, 2, (int64_t[]){r, 16}, sizeof x) != INGOT_E_DTYPE;
    }
    syscall(SYS_exit, bad);
  }
  int status = 1;
  expect(waitpid(child, &status, 0) == child && status == 0, "a run made a system call");
  ingot_ctx_destroy(c);
}

// The n-th allocation fails, for n = 1, 2, ... until nothing fails any more.
static void check_failures(const char *path) {
  struct ingot_options o = {.size = sizeof o, .threads = 4};
  for (int n = 1; n < 1000; n++) {
    ingot_library *lib = NULL;
    ingot_ctx *c = NULL;
    char err[200] = "";
    long before = atomic_load(&live);
    atomic_store(&fail_after, n);
    int code = ingot_library_open(path, &lib, err, sizeof err);
    expect((code == INGOT_OK) == (lib != NULL) && (code == INGOT_OK) == (err[0] == 0), "opening");
    if (!code) code = ingot_ctx_create(ingot_library_model(lib, "rows"), &o, &c);
    long left = atomic_exchange(&fail_after, 0);
    expect((code == INGOT_OK) == (c != NULL), "creation");
    if (c) ingot_ctx_destroy(c);
    ingot_library_close(lib);
    // The dynamic linker and the thread library keep some of their own for later.
    expect(atomic_load(&live) - before <= 8, "a failed call left memory behind");
    if (left > 0) {
      expect(code == INGOT_OK, "failed without reason");
      return;
    }
  }
  expect(0, "never succeeded");
}

int main(int argc, char **argv) {
  ingot_library *lib = NULL;
  char err[200];
  if (argc < 2) return 2;
  expect(ingot_library_open(argv[1], &lib, err, sizeof err) == INGOT_OK, err);
  if (faults) return 1;
  for (int threads = 1; threads <= 4; threads++) check_run(ingot_library_model(lib, "rows"), threads);
  check_system_calls(ingot_library_model(lib, "rows"));
  ingot_library_close(lib);
  check_failures(argv[1]);
  if (!faults) printf("heap: fine\n");
  return faults != 0;
}
