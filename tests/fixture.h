// fixture.h: a context whose messages are kept, for tests of what is said.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TESTS_FIXTURE_H
#define INGOT_TESTS_FIXTURE_H

#include "ir/ir.h"

#include <criterion/criterion.h>
#include <stdlib.h>

typedef struct Bench {
  Arena *arena;
  Ctx *ctx;
  char *said;
  size_t len;
  FILE *out;
} Bench;

static jmp_buf oom; // never set: running out of memory crashes the test

static inline Bench *bench_new(void) {
  Arena *a = arena_new(&oom);
  Bench *b = NEW(a, Bench);
  b->arena = a;
  b->out = open_memstream(&b->said, &b->len);
  b->ctx = ctx_new(a, diag_new(a, b->out, false));
  return b;
}

// All diagnostics so far.
static inline const char *said(Bench *b) {
  fflush(b->out);
  return b->said ? b->said : "";
}

static inline void bench_free(Bench *b) {
  fclose(b->out);
  free(b->said);
  arena_free(b->arena);
}

#endif
