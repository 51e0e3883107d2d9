// base.h: what every part of the compiler stands on: arena, vectors, strings, files, diagnostics.
// SPDX-License-Identifier: Apache-2.0
//
// Ownership: everything is allocated in an Arena and lives until the arena is freed; nothing is freed
// one by one. Errors in the user's input are reported to a Diag and the function returns false or NULL;
// running out of memory jumps to the arena's `oom` target. None of these types is thread-safe: one Arena
// and one Diag belong to one thread at a time.
#ifndef INGOT_BASE_H
#define INGOT_BASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define ARRAY_LEN(a)      ((int)(sizeof(a) / sizeof((a)[0])))

// ---- arena.c: memory --------------------------------------------------------------------------------

typedef struct Arena Arena;

// A new arena. `oom` is where arena_alloc longjmps (with value 1) when memory runs out; the caller set it
// with setjmp and frees the arena there. Returns NULL if not even the arena itself could be allocated.
Arena *arena_new(jmp_buf *oom);
void arena_free(Arena *a); // NULL is fine
jmp_buf *arena_oom(Arena *a);
// Zeroed memory, aligned to 64 bytes if size >= 64, else to 16. Never NULL.
void *arena_alloc(Arena *a, size_t size);
// count * size, overflow counts as out of memory.
void *arena_array(Arena *a, size_t count, size_t size);
void *arena_dup(Arena *a, const void *p, size_t size);
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(Arena *a, const char *fmt, va_list ap);
// Runs `fn(p)` when the arena is freed (unmapping files, closing handles), last registered first.
void arena_defer(Arena *a, void (*fn)(void *), void *p);
size_t arena_used(const Arena *a); // bytes handed out so far

#define NEW(a, T)          ((T *)arena_alloc((a), sizeof(T)))
#define NEW_ARRAY(a, T, n) ((T *)arena_array((a), (size_t)(n), sizeof(T)))

// A growable array in an arena: `Vec(Node *) nodes;` starts as {0}.
#define Vec(T)                                                                                               \
  struct {                                                                                                   \
    T *data;                                                                                                 \
    int n, cap;                                                                                              \
  }
#define vec_push(a, v, x)                                                                                    \
  (((v)->n == (v)->cap ? vec_grow_((a), (void **)&(v)->data, (v)->n, &(v)->cap, sizeof(*(v)->data))          \
                       : (void)0),                                                                           \
   (void)((v)->data[(v)->n++] = (x)))
void vec_grow_(Arena *a, void **data, int n, int *cap, size_t elem);

// Checked size arithmetic: true and *r set, or false on overflow.
static inline bool mul_ok(int64_t a, int64_t b, int64_t *r) {
  return !__builtin_mul_overflow(a, b, r);
}
static inline bool add_ok(int64_t a, int64_t b, int64_t *r) {
  return !__builtin_add_overflow(a, b, r);
}

// Division and remainder rounding to minus infinity (b > 0).
static inline int64_t floor_div(int64_t a, int64_t b) {
  return a / b - (a % b < 0);
}
static inline int64_t floor_mod(int64_t a, int64_t b) {
  return a % b + (a % b < 0 ? b : 0);
}
static inline int64_t ceil_div(int64_t a, int64_t b) {
  return -floor_div(-a, b);
}
static inline int64_t round_up(int64_t a, int64_t b) {
  return ceil_div(a, b) * b;
}

// ---- strings ------------------------------------------------------------------------------------------

// A growing text, always NUL-terminated once something was put in.
typedef struct Str {
  Arena *arena;
  char *s;
  size_t n, cap;
} Str;

void str_put(Str *s, const char *bytes, size_t n);
void str_puts(Str *s, const char *text);
void str_printf(Str *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
char *str_text(Str *s); // "" when empty

uint64_t hash_bytes(const void *p, size_t n); // XXH3, stable between runs and machines

// A string -> pointer map.
typedef struct Map Map;
Map *map_new(Arena *a);
void *map_get(const Map *m, const char *key);       // NULL if absent
bool map_put(Map *m, const char *key, void *value); // false if the key was there (value replaced)
// The key of `keys` nearest to `word` by edit distance, if near enough to be worth suggesting, else NULL.
const char *nearest_word(const char *word, const char *const *keys, int n);

// ---- diag.c: sources, diagnostics, and the files read ----------------------------------------------------

// A file the user gave us. For binary files `text` is NULL and positions name things instead of lines.
typedef struct Source {
  const char *path;
  const char *text; // NUL-terminated
  size_t len;
} Source;

// A place in a user's file: line and column count from 1; 0 means unknown. `what` names the thing in
// binary files ("node 'conv1' (Conv)") and may be NULL.
typedef struct Loc {
  const Source *src;
  int line, col;
  const char *what;
} Loc;

#define NO_LOC ((Loc){0})
enum { DIAG_MAX_ERRORS = 20 }; // after so many errors the rest is counted only

typedef struct Diag Diag;
// Messages go to `out` (stderr in the tool), coloured if `color`.
Diag *diag_new(Arena *a, FILE *out, bool color);
// Prints "file:line:col: error: message", the source line and a caret. `notes` belong to the last error.
void diag_error(Diag *d, Loc loc, const char *fmt, ...) PRINTF_LIKE(3, 4);
void diag_warn(Diag *d, Loc loc, const char *fmt, ...) PRINTF_LIKE(3, 4);
void diag_note(Diag *d, Loc loc, const char *fmt, ...) PRINTF_LIKE(3, 4);
void diag_remark(Diag *d, Loc loc, const char *fmt, ...) PRINTF_LIKE(3, 4);
int diag_errors(const Diag *d); // errors so far, including those not printed
// What is said between the two is neither printed nor counted.
typedef struct DiagMark {
  int errors, warnings;
  bool muted;
} DiagMark;
DiagMark diag_mute(Diag *d);
void diag_unmute(Diag *d, DiagMark mark);
// Files that were opened for reading, in order; NULL after the last.
const char *diag_file(const Diag *d, int i);
void diag_add_file(Diag *d, const char *path);
// Prints "N errors, not all shown" if some were suppressed.
void diag_finish(Diag *d);

// ---- file.c: files --------------------------------------------------------------------------------------

// Maps a file read-only for the arena's life. Zero-length files give a valid pointer. On failure reports at
// `loc` (the place that named the file) and returns false.
bool file_map(Arena *a, Diag *d, Loc loc, const char *path, const uint8_t **data, size_t *size);
// Reads a text file as a Source (rejects NUL bytes and more than 1 GiB).
Source *source_read(Arena *a, Diag *d, const char *path);
Source *source_from_text(Arena *a, const char *name, const char *text);

// Output that appears whole or not at all: written under a temporary name in the target's folder, then
// renamed. file_commit returns false and reports on any failure (disk full included); file_abort removes it.
// An output still open when its arena is freed is removed too.
typedef struct OutFile OutFile;
OutFile *file_create(Arena *a, Diag *d, const char *path);
FILE *file_stream(OutFile *f);
const char *file_temp_path(const OutFile *f); // for tools that write by name (the linker)
bool file_commit(OutFile *f);
void file_abort(OutFile *f);
// Unlinks the temporary files of all open outputs. Async-signal-safe: for the tool's handler of SIGINT and
// SIGTERM, which calls it and then dies of the signal.
void file_remove_open_outputs(void);
// dir of `path` joined with `name`, unless name is absolute.
char *path_join_dir(Arena *a, const char *path, const char *name);

#endif
