// test_base.c: arena, vectors, text, maps, spelling, diagnostics and files.
// SPDX-License-Identifier: Apache-2.0
#include "ir/base.h"
#include "tests/folder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static jmp_buf oom; // never set: running out of memory crashes the test

static Arena *new_arena(void) {
  Arena *a = arena_new(&oom);
  cr_assert_not_null(a);
  return a;
}

// A Diag that writes into memory; text_of() reads what it said.
typedef struct Said {
  char *text;
  size_t len;
  FILE *out;
} Said;

static Diag *said_diag(Arena *a, Said *s) {
  s->out = open_memstream(&s->text, &s->len);
  return diag_new(a, s->out, false);
}

static const char *said(Said *s) {
  fflush(s->out);
  return s->text;
}

static void said_free(Said *s) {
  fclose(s->out);
  free(s->text);
}

static void count_down(void *p) {
  int *n = p;
  *n = *n * 10 + 1;
}

static void count_up(void *p) {
  int *n = p;
  *n = *n * 10 + 2;
}

// ---- arena ----

Test(base, arena_gives_zeroed_aligned_memory) {
  Arena *a = new_arena();
  for (size_t size = 0; size < 5000; size += 37) {
    uint8_t *p = arena_alloc(a, size);
    cr_assert_eq((uintptr_t)p % (size >= 64 ? 64 : 16), 0);
    for (size_t i = 0; i < size; i++) cr_assert_eq(p[i], 0);
    memset(p, 0xff, size);
  }
  uint8_t *big = arena_alloc(a, 50 << 20);
  cr_assert_eq(big[(50 << 20) - 1], 0);
  cr_assert_geq(arena_used(a), 50u << 20);
  arena_free(a);
  arena_free(NULL);
}

Test(base, arena_out_of_memory_jumps) {
  jmp_buf target;
  Arena *a = arena_new(&target);
  int volatile jumps = 0;
  if (setjmp(target)) jumps++;
  if (jumps == 0) arena_alloc(a, SIZE_MAX);
  if (jumps == 1) arena_alloc(a, SIZE_MAX - 100);
  if (jumps == 2) arena_array(a, SIZE_MAX / 2, 3);
  cr_assert_eq(jumps, 3);
  cr_assert_eq(arena_oom(a), &target);
  arena_free(a);
}

Test(base, arena_defers_run_last_first) {
  Arena *a = new_arena();
  int order = 0;
  arena_defer(a, count_down, &order);
  arena_defer(a, count_up, &order);
  arena_free(a);
  cr_assert_eq(order, 21);
}

Test(base, arena_text) {
  Arena *a = new_arena();
  cr_assert_str_eq(arena_printf(a, "%s-%d", "conv", 7), "conv-7");
  cr_assert_str_eq(arena_strndup(a, "abcdef", 3), "abc");
  cr_assert_str_eq(arena_strdup(a, ""), "");
  arena_free(a);
}

Test(base, vec_grows) {
  Arena *a = new_arena();
  Vec(int64_t) v = {0};
  for (int i = 0; i < 1000; i++) vec_push(a, &v, i * (int64_t)i);
  cr_assert_eq(v.n, 1000);
  for (int i = 0; i < 1000; i++) cr_assert_eq(v.data[i], i * (int64_t)i);
  arena_free(a);
}

Test(base, division_rounds_down) {
  cr_assert_eq(floor_div(-7, 4), -2);
  cr_assert_eq(floor_mod(-7, 4), 1);
  cr_assert_eq(floor_div(8, 4), 2);
  cr_assert_eq(ceil_div(7, 4), 2);
  cr_assert_eq(ceil_div(-7, 4), -1);
  cr_assert_eq(round_up(65, 64), 128);
  int64_t r;
  cr_assert(!mul_ok(INT64_MAX, 2, &r));
  cr_assert(add_ok(INT64_MAX, -1, &r));
}

// ---- strings ----

Test(base, str_grows) {
  Arena *a = new_arena();
  Str s = {.arena = a};
  cr_assert_str_eq(str_text(&s), "");
  for (int i = 0; i < 1000; i++) str_printf(&s, "%d,", i);
  cr_assert_eq(s.n, strlen(s.s));
  cr_assert_eq(strncmp(s.s, "0,1,2,3,", 8), 0);
  cr_assert_str_eq(s.s + s.n - 4, "999,");
  str_puts(&s, "end");
  cr_assert_str_eq(s.s + s.n - 7, "999,end");
  arena_free(a);
}

Test(base, hash_is_xxh3) {
  // Published check values of XXH3 with seed 0: a change would break stored tuning databases.
  cr_assert_eq(hash_bytes("", 0), UINT64_C(0x2d06800538d394c2));
  cr_assert_neq(hash_bytes("a", 1), hash_bytes("b", 1));
}

Test(base, map_keeps_many_keys) {
  Arena *a = new_arena();
  Map *m = map_new(a);
  static int values[5000];
  char key[32];
  cr_assert_null(map_get(m, "nothing"));
  for (int i = 0; i < 5000; i++) {
    snprintf(key, sizeof key, "key%d", i); // the buffer is reused: the map keeps its own copy
    cr_assert(map_put(m, key, &values[i]));
  }
  for (int i = 0; i < 5000; i++) cr_assert_eq(map_get(m, arena_printf(a, "key%d", i)), &values[i]);
  cr_assert(!map_put(m, "key7", &values[0]));
  cr_assert_eq(map_get(m, "key7"), &values[0]);
  cr_assert_null(map_get(m, "key5000"));
  arena_free(a);
}

Test(base, nearest_word_suggests) {
  static const char *const ops[] = {"conv", "relu", "sigmoid", "batch_norm", "max_pool"};
  int n = ARRAY_LEN(ops);
  cr_assert_str_eq(nearest_word("rleu", ops, n), "relu");
  cr_assert_str_eq(nearest_word("Relu", ops, n), "relu");
  cr_assert_str_eq(nearest_word("batchnorm", ops, n), "batch_norm");
  cr_assert_str_eq(nearest_word("sigmod", ops, n), "sigmoid");
  cr_assert_null(nearest_word("transpose", ops, n));
  cr_assert_null(nearest_word("", ops, n));
  cr_assert_null(nearest_word("x", ops, n));
}

// ---- diagnostics ----

Test(base, diag_shows_line_and_caret) {
  Arena *a = new_arena();
  Said s;
  Diag *d = said_diag(a, &s);
  Source *src = source_from_text(a, "m.yaml", "first\n  op: rleu\r\nlast");
  diag_error(d, (Loc){.src = src, .line = 2, .col = 7}, "unknown op '%s'", "rleu");
  diag_note(d, (Loc){.src = src, .line = 3, .col = 1}, "seen from here");
  cr_assert_str_eq(said(&s), "m.yaml:2:7: error: unknown op 'rleu'\n"
                             "     2 |   op: rleu\n"
                             "       |       ^\n"
                             "m.yaml:3:1: note: seen from here\n"
                             "     3 | last\n"
                             "       | ^\n");
  cr_assert_eq(diag_errors(d), 1);
  said_free(&s);
  arena_free(a);
}

Test(base, diag_names_things_in_binary_files) {
  Arena *a = new_arena();
  Said s;
  Diag *d = said_diag(a, &s);
  Source src = {.path = "m.onnx"};
  diag_warn(d, (Loc){.src = &src, .what = "node 'c\033[31m' (Conv)"}, "odd");
  diag_error(d, NO_LOC, "plain");
  cr_assert_str_eq(said(&s), "m.onnx: node 'c\\x1b[31m' (Conv): warning: odd\nerror: plain\n");
  said_free(&s);
  arena_free(a);
}

Test(base, diag_stops_at_twenty) {
  Arena *a = new_arena();
  Said s;
  Diag *d = said_diag(a, &s);
  for (int i = 0; i < 30; i++) {
    diag_error(d, NO_LOC, "e%d", i);
    diag_note(d, NO_LOC, "n%d", i);
  }
  diag_finish(d);
  cr_assert_eq(diag_errors(d), 30);
  cr_assert_not_null(strstr(said(&s), "n19"));
  cr_assert_null(strstr(said(&s), "e20"));
  cr_assert_null(strstr(said(&s), "n20"));
  cr_assert_not_null(strstr(said(&s), "30 errors, the first 20 are shown"));
  said_free(&s);
  arena_free(a);
}

Test(base, diag_cuts_long_lines) {
  Arena *a = new_arena();
  Said s;
  Diag *d = said_diag(a, &s);
  char line[1001];
  memset(line, 'x', 1000);
  line[1000] = 0;
  line[700] = 'Y';
  diag_error(d, (Loc){.src = source_from_text(a, "f", line), .line = 1, .col = 701}, "here");
  const char *y = strchr(said(&s), 'Y'), *caret = strchr(said(&s), '^');
  const char *excerpt = strstr(said(&s), "     1 |"), *mark = strstr(said(&s), "       |");
  cr_assert_eq(y - excerpt, caret - mark);
  cr_assert_lt(strlen(said(&s)), 400);
  said_free(&s);
  arena_free(a);
}

// ---- files ----

static int files_in(Arena *a, const char *dir) {
  FILE *p = popen(arena_printf(a, "ls -A %s | wc -l", dir), "r");
  int n = -1;
  cr_assert_eq(fscanf(p, "%d", &n), 1);
  pclose(p);
  return n;
}

Test(base, file_map_reads_and_reports) {
  Arena *a = new_arena();
  Said s;
  Diag *d = said_diag(a, &s);
  char *path = arena_printf(a, "%s/x", test_folder());
  const uint8_t *data;
  size_t size;
  cr_assert(!file_map(a, d, NO_LOC, path, &data, &size));
  cr_assert_not_null(strstr(said(&s), "No such file"));
  cr_assert(!file_map(a, d, NO_LOC, test_folder(), &data, &size));
  cr_assert(!file_map(a, d, NO_LOC, "/dev/null", &data, &size));
  FILE *f = fopen(path, "w");
  fclose(f);
  cr_assert(file_map(a, d, NO_LOC, path, &data, &size));
  cr_assert_eq(size, 0);
  f = fopen(path, "w");
  fputs("hello", f);
  fclose(f);
  cr_assert(file_map(a, d, NO_LOC, path, &data, &size));
  cr_assert_eq(size, 5);
  cr_assert_eq(memcmp(data, "hello", 5), 0);
  cr_assert_eq(diag_errors(d), 3);
  said_free(&s);
  arena_free(a);
}

Test(base, source_read_refuses_binary) {
  Arena *a = new_arena();
  Said s;
  Diag *d = said_diag(a, &s);
  char *path = arena_printf(a, "%s/x", test_folder());
  FILE *f = fopen(path, "w");
  fwrite("a\0b", 1, 3, f);
  fclose(f);
  cr_assert_null(source_read(a, d, path));
  cr_assert_null(source_read(a, d, "/nonexistent/file"));
  f = fopen(path, "w");
  fputs("text\n", f);
  fclose(f);
  Source *src = source_read(a, d, path);
  cr_assert_str_eq(src->text, "text\n");
  cr_assert_eq(src->len, 5);
  cr_assert_eq(diag_errors(d), 2);
  said_free(&s);
  arena_free(a);
}

Test(base, output_appears_whole) {
  Arena *a = new_arena();
  Diag *d = diag_new(a, NULL, false);
  const char *dir = test_folder(), *path = arena_printf(a, "%s/out", dir);
  OutFile *f = file_create(a, d, path);
  fputs("data", file_stream(f));
  cr_assert_neq(access(path, F_OK), 0);
  cr_assert(file_commit(f));
  struct stat st;
  cr_assert_eq(stat(path, &st), 0);
  cr_assert_eq(st.st_size, 4);
  cr_assert_eq(files_in(a, dir), 1);
  arena_free(a);
}

Test(base, output_leaves_nothing_when_aborted) {
  Arena *a = new_arena();
  Diag *d = diag_new(a, NULL, false);
  const char *dir = test_folder(), *path = arena_printf(a, "%s/out", dir);
  file_abort(file_create(a, d, path));
  cr_assert_eq(files_in(a, dir), 0);
  Arena *b = arena_new(&oom); // freed while the output is open
  file_create(b, d, path);
  cr_assert_eq(files_in(a, dir), 1);
  arena_free(b);
  cr_assert_eq(files_in(a, dir), 0);
  file_create(a, d, path);
  file_remove_open_outputs(); // as the signal handler does
  cr_assert_eq(files_in(a, dir), 0);
  arena_free(a);
}

Test(base, output_faults_are_reported) {
  Arena *a = new_arena();
  Said s;
  Diag *d = said_diag(a, &s);
  cr_assert_null(file_create(a, d, "/nonexistent/dir/out"));
  cr_assert_null(file_create(a, d, test_folder()));
  OutFile *full = file_create(a, d, "/dev/full");
  for (int i = 0; i < 100000; i++) fputs("fill", file_stream(full));
  cr_assert(!file_commit(full));
  cr_assert_not_null(strstr(said(&s), "No space left on device"));
  cr_assert_eq(diag_errors(d), 3);
  OutFile *null = file_create(a, d, "/dev/null"); // a device is written in place, not replaced
  cr_assert(file_commit(null));
  struct stat st;
  cr_assert(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
  said_free(&s);
  arena_free(a);
}

Test(base, output_follows_links) {
  Arena *a = new_arena();
  Diag *d = diag_new(a, NULL, false);
  const char *dir = test_folder(), *path = arena_printf(a, "%s/real", dir),
             *link = arena_printf(a, "%s/link", dir);
  fclose(fopen(path, "w"));
  cr_assert_eq(symlink(path, link), 0);
  OutFile *f = file_create(a, d, link);
  fputs("12345", file_stream(f));
  cr_assert(file_commit(f));
  struct stat st;
  cr_assert(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
  cr_assert(stat(path, &st) == 0 && st.st_size == 5);
  arena_free(a);
}

Test(base, paths_join) {
  Arena *a = new_arena();
  cr_assert_str_eq(path_join_dir(a, "models/net.yaml", "w.npz"), "models/w.npz");
  cr_assert_str_eq(path_join_dir(a, "net.yaml", "w.npz"), "w.npz");
  cr_assert_str_eq(path_join_dir(a, "models/net.yaml", "/w.npz"), "/w.npz");
  cr_assert_str_eq(path_join_dir(a, "/net.yaml", "w.npz"), "/w.npz");
  arena_free(a);
}
