// rodata.c: the constants' bytes, in memory, in a part of a file, or in a weights file.
// SPDX-License-Identifier: Apache-2.0
//
// They are packed and written piece by piece, by several threads and with no more memory than a piece for each: LLVM
// constants or an assembler would take seconds and gigabytes for what a disk writes at once. What lies in one window of
// the file is written at once, for file systems that keep what comes so as a huge page.
#include "codegen/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- bytes ------------------------------------------------------------------------------------------------------

void rodata_fill(const Plan *p, void *to) {
  for (int i = 0; i < p->pool->list.n; i++) {
    const Constant *k = p->pool->list.data[i];
    layout_pack(p->c, k->layout, k->tensor, (char *)to + k->offset);
  }
}

enum {
  PIECE = 4 << 20,    // bytes that a thread packs at a time, unless a slice has more
  WINDOW = HUGE_PAGE, // bytes of the file that are written at once, if constants fill it
};

// Some slices of a constant.
typedef struct Piece {
  const Constant *constant;
  int64_t from, to, each; // slices, and bytes of one
} Piece;

// What several pieces have of a window comes together in memory.
typedef struct Window {
  char *bytes;              // NULL: nothing yet, or written
  int64_t expected, filled; // bytes that pieces have of it; that are here
} Window;

typedef struct Writing {
  const Plan *plan;
  int fd;
  int64_t at, end; // of the constants in the file
  Vec(Piece) pieces;
  Window *windows;      // from the one that the constants begin in
  char *spare;          // rooms of windows that are written, each of which begins with the next one's address
  pthread_mutex_t lock; // of the windows and these
  int64_t room;         // bytes of the largest piece that is packed
  atomic_int next, fault; // errno of the first that failed
} Writing;

// The end of the window that `at` is in.
static int64_t window_end(int64_t at) {
  return at - at % WINDOW + WINDOW;
}

static Window *window_at(const Writing *w, int64_t at) {
  return &w->windows[at / WINDOW - w->at / WINDOW];
}

static int64_t place_of(const Writing *w, const Piece *p) {
  return w->at + p->constant->offset + p->from * p->each;
}

static bool put_bytes(int fd, const char *from, int64_t n, int64_t at) {
  while (n > 0) {
    ssize_t put = pwrite(fd, from, (size_t)n, (off_t)at);
    if (put < 0 && errno == EINTR) continue;
    if (put == 0) errno = EIO;
    if (put <= 0) return false;
    from += put, n -= put, at += put;
  }
  return true;
}

// Zeroed memory for a window, if possible some that another has left. For the lock's owner, as the next one.
static char *take_room(Writing *w) {
  char *room = w->spare;
  if (!room) return calloc(1, WINDOW);
  memcpy(&w->spare, room, sizeof w->spare);
  return memset(room, 0, WINDOW);
}

static void give_room(Writing *w, char *room) {
  memcpy(room, &w->spare, sizeof w->spare);
  w->spare = room;
}

// Adds bytes to a window that others have some of, too. The last ones bring it into the file, with zeros between constants.
static bool put_together(Writing *w, const char *from, int64_t n, int64_t at) {
  Window *of = window_at(w, at);
  int64_t start = at - at % WINDOW, begin = start > w->at ? start : w->at;
  int64_t end = window_end(at) < w->end ? window_end(at) : w->end;
  char *whole = NULL;
  pthread_mutex_lock(&w->lock);
  if (!of->bytes) of->bytes = take_room(w);
  bool ok = of->bytes;
  if (ok) {
    memcpy(of->bytes + (at - start), from, (size_t)n);
    of->filled += n;
  }
  if (ok && of->filled == of->expected) {
    whole = of->bytes;
    of->bytes = NULL;
  }
  pthread_mutex_unlock(&w->lock);
  if (!whole) return ok;
  ok = put_bytes(w->fd, whole + (begin - start), end - begin, begin);
  pthread_mutex_lock(&w->lock);
  give_room(w, whole);
  pthread_mutex_unlock(&w->lock);
  return ok;
}

// Those of windows that were not written, since something failed, too.
static void free_rooms(Writing *w) {
  for (int64_t at = w->at; at < w->end; at = window_end(at)) free(window_at(w, at)->bytes);
  for (char *room; (room = w->spare); free(room)) memcpy(&w->spare, room, sizeof w->spare);
}

static bool put(Writing *w, const char *from, int64_t n, int64_t at) {
  for (int64_t part; n > 0; from += part, n -= part, at += part) {
    part = window_end(at) - at < n ? window_end(at) - at : n;
    bool all = part == window_at(w, at)->expected;
    if (!(all ? put_bytes(w->fd, from, part, at) : put_together(w, from, part, at))) return false;
  }
  return true;
}

static void expect_pieces(Writing *w) {
  w->windows = NEW_ARRAY(w->plan->arena, Window, (w->end / WINDOW - w->at / WINDOW) + 1);
  for (int i = 0; i < w->pieces.n; i++) {
    const Piece *p = &w->pieces.data[i];
    int64_t at = place_of(w, p), end = at + (p->to - p->from) * p->each;
    for (int64_t part; at < end; at += part) {
      part = window_end(at) < end ? window_end(at) - at : end - at;
      window_at(w, at)->expected += part;
    }
  }
}

// A constant that lies as it is has slices of a byte each.
static void cut_pieces(Writing *w) {
  const Plan *p = w->plan;
  for (int i = 0; i < p->pool->list.n; i++) {
    const Constant *k = p->pool->list.data[i];
    int64_t slices = k->layout ? layout_slices(p->c, k->layout, &k->tensor->type) : k->bytes;
    int64_t each = slices ? k->bytes / slices : 0, step = each && each < PIECE ? PIECE / each : 1;
    for (int64_t from = 0; each && from < slices; from += step)
      vec_push(p->arena, &w->pieces, ((Piece){k, from, from + step < slices ? from + step : slices, each}));
    int64_t most = (step < slices ? step : slices) * each;
    if (k->layout && most > w->room) w->room = most;
  }
}

// In an arena of its own, as the pieces of all threads use.
static int write_packed(Writing *w, const Piece *p, void *room) {
  jmp_buf oom;
  Arena *volatile arena = NULL;
  volatile int fault = ENOMEM;
  if (setjmp(oom) == 0 && (arena = arena_new(&oom))) {
    Ctx *c = ctx_new(arena, diag_new(arena, stderr, false));
    layout_pack_slices(c, p->constant->layout, p->constant->tensor, p->from, p->to, room);
    fault = put(w, room, (p->to - p->from) * p->each, place_of(w, p)) ? 0 : errno;
  }
  arena_free(arena);
  return fault;
}

static int write_piece(Writing *w, const Piece *p, void *room) {
  if (p->constant->layout) return room ? write_packed(w, p, room) : ENOMEM;
  const char *from = (const char *)p->constant->tensor->data + p->from;
  return put(w, from, p->to - p->from, place_of(w, p)) ? 0 : errno;
}

static void *write_pieces(void *data) {
  Writing *w = data;
  void *room = malloc((size_t)w->room + 1);
  for (int i; !w->fault && (i = atomic_fetch_add(&w->next, 1)) < w->pieces.n;) {
    int fault = write_piece(w, &w->pieces.data[i], room), none = 0;
    if (fault) atomic_compare_exchange_strong(&w->fault, &none, fault);
  }
  free(room);
  return NULL;
}

// With its room reserved, a file takes bytes faster. What cannot be had shows when they are written.
static bool extend(int fd, int64_t end) {
  struct stat st;
  if (fstat(fd, &st) != 0) return false;
  if (!S_ISREG(st.st_mode)) return true;
  return fallocate(fd, 0, 0, (off_t)end) == 0 || ftruncate(fd, (off_t)end) == 0;
}

bool rodata_write(const Plan *p, int fd, int64_t at) {
  Writing w = {
      .plan = p, .fd = fd, .at = at, .end = at + p->model.weights.bytes, .lock = PTHREAD_MUTEX_INITIALIZER};
  if (!extend(fd, w.end)) return false;
  cut_pieces(&w);
  expect_pieces(&w);
  pthread_t threads[JOBS_MAX];
  int n = 0, wanted = codegen_jobs(p->options, w.pieces.n);
  while (n < wanted - 1 && pthread_create(&threads[n], NULL, write_pieces, &w) == 0) n++;
  write_pieces(&w);
  for (int i = 0; i < n; i++) pthread_join(threads[i], NULL);
  free_rooms(&w);
  errno = w.fault;
  return w.fault == 0;
}

// ---- the weights file -------------------------------------------------------------------------------------------

// The hash of what was just written, read back in pieces; 0 with errno set where it cannot be read.
static bool hash_file(FILE *f, int64_t bytes, uint64_t *hash) {
  enum { BLOCK = 1 << 20 };
  char *block = malloc(BLOCK);
  struct ingot_hasher h;
  bool ok = block;
  ingot_hash_begin(&h);
  for (int64_t at = 0; at < bytes && ok; at += BLOCK) {
    size_t n = bytes - at < BLOCK ? (size_t)(bytes - at) : BLOCK;
    ok = pread(fileno(f), block, n, (off_t)(INGOT_WEIGHTS_HEADER + at)) == (ssize_t)n;
    if (ok) ingot_hash_add(&h, block, n);
  }
  free(block);
  *hash = ingot_hash_end(&h);
  return ok;
}

// The header comes last, when the hash is known: a file that was cut short is none.
bool rodata_write_file(const Plan *p, FILE *out, uint64_t *hash) {
  int64_t bytes = p->model.weights.bytes;
  if (!rodata_write(p, fileno(out), INGOT_WEIGHTS_HEADER) || !hash_file(out, bytes, hash)) return false;
  struct ingot_weights_header head = {INGOT_WEIGHTS_MAGIC, 1, (uint64_t)bytes, *hash};
  return fseek(out, 0, SEEK_SET) == 0 && fwrite(&head, sizeof head, 1, out) == 1 && fflush(out) == 0;
}
