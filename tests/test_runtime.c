// test_runtime.c: contexts, binding, control flow, state, weights and the loader, on hand-written artefacts.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/internal.h"
#include "tests/folder.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIB(name) BINARY_DIR "/tests/runtime/lib" name ".so"

enum { ROWS = 150, COLUMNS = 16 };

static ingot_library *open_fake(void) {
  static ingot_library *lib; // one per test: each runs in a process of its own
  char err[256];
  if (lib) return lib;
  cr_assert_eq(ingot_library_open(LIB("fake"), &lib, err, sizeof err), INGOT_OK, "%s", err);
  return lib;
}

static ingot_ctx *make(const char *model, int threads, uint32_t flags) {
  char err[256] = "";
  struct ingot_options o = {
      .size = sizeof o, .threads = threads, .flags = flags, .error = err, .error_size = sizeof err};
  ingot_ctx *c;
  const ingot_model *m = ingot_library_model(open_fake(), model);
  cr_assert_not_null(m);
  cr_assert_eq(ingot_ctx_create(m, &o, &c), INGOT_OK, "%s", err);
  return c;
}

static bool has(const char *text, const char *part) {
  return strstr(text, part) != NULL;
}

#define EXPECT_ERROR(c, call, code, ...)                                                                     \
  do {                                                                                                       \
    cr_assert_eq(call, code);                                                                                \
    const char *const parts[] = {__VA_ARGS__};                                                               \
    for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++)                                              \
      cr_assert(has(ingot_last_error(c), parts[k]), "'%s' not in '%s'", parts[k], ingot_last_error(c));      \
  } while (0)

// ---- the rows model ----------------------------------------------------------------------------------

static float x[ROWS * COLUMNS], y[ROWS * COLUMNS], total[1];
static int32_t odd[2 * ROWS + 1];

static int set_x(ingot_ctx *c, int64_t rows) {
  return ingot_set_input(c, 0, x, INGOT_F32, 2, (int64_t[]){rows, COLUMNS}, sizeof x);
}

static void bind_rows(ingot_ctx *c, int64_t rows) {
  for (int i = 0; i < ROWS * COLUMNS; i++) x[i] = (float)(i % 131) * 0.37f - 11;
  cr_assert_eq(set_x(c, rows), INGOT_OK, "%s", ingot_last_error(c));
  cr_assert_eq(ingot_set_output(c, 0, y, sizeof y), INGOT_OK, "%s", ingot_last_error(c));
  cr_assert_eq(ingot_set_output(c, 1, total, sizeof total), INGOT_OK);
  cr_assert_eq(ingot_set_output(c, 2, odd, sizeof odd), INGOT_OK, "%s", ingot_last_error(c));
}

Test(runtime, description) {
  const ingot_model *m = ingot_library_model(open_fake(), "rows");
  cr_assert_str_eq(ingot_model_name(m), "rows");
  cr_assert_eq(ingot_input_count(m), 1);
  cr_assert_eq(ingot_output_count(m), 3);
  cr_assert_eq(ingot_find_output(m, "odd"), 2);
  cr_assert_eq(ingot_find_output(m, "od"), -1);
  cr_assert_eq(ingot_find_symbol(m, "D"), 1);
  cr_assert_null(ingot_input_info(m, 1));
  cr_assert_null(ingot_output_info(m, -1));
  cr_assert_eq(ingot_input_info(m, 0)->dims[0].n, 1024);
  cr_assert_eq(ingot_step_count(m), 4);
  cr_assert_str_eq(ingot_step_name(m, 1), "rows_square");
  cr_assert_null(ingot_library_model(open_fake(), "nobody"));
}

Test(runtime, same_result_for_any_number_of_threads) {
  static float first[ROWS * COLUMNS];
  for (int threads = 1; threads <= 9; threads++) {
    ingot_ctx *c = make("rows", threads, 0);
    bind_rows(c, ROWS - 1);
    memset(y, 0, sizeof y);
    cr_assert_eq(ingot_run(c), INGOT_OK, "%s", ingot_last_error(c));
    if (threads == 1) memcpy(first, y, sizeof y);
    cr_assert_eq(memcmp(first, y, sizeof y), 0, "%d threads", threads);
    cr_assert_float_eq(y[17], (x[17] * 2 + 1) * (x[17] * 2 + 1), 0);
    int64_t dims[2];
    cr_assert_eq(ingot_output_shape(c, 2, dims), INGOT_OK);
    cr_assert_eq(dims[0], 2 * (ROWS - 1) + 1);
    cr_assert_eq(odd[dims[0] - 1], dims[0] - 1);
    ingot_ctx_destroy(c);
  }
}

Test(runtime, extents_change_from_run_to_run) {
  ingot_ctx *c = make("rows", 2, 0);
  for (int64_t rows = ROWS; rows > 0; rows -= 7) {
    bind_rows(c, rows);
    memset(y, 0, sizeof y);
    cr_assert_eq(ingot_run(c), INGOT_OK, "%s", ingot_last_error(c));
    cr_assert_neq(y[rows * COLUMNS - 1], 0);
    if (rows < ROWS) cr_assert_eq(y[rows * COLUMNS], 0);
  }
  ingot_ctx_destroy(c);
}

Test(runtime, wrong_inputs_are_named) {
  ingot_ctx *c = make("rows", 1, 0);
  EXPECT_ERROR(c, ingot_run(c), INGOT_E_UNSET, "input 'x'");
  EXPECT_ERROR(c, ingot_set_input(c, 1, x, INGOT_F32, 0, NULL, 0), INGOT_E_ARGUMENT, "number 1", "has 1");
  EXPECT_ERROR(c, ingot_set_input(c, 0, x, INGOT_F64, 2, (int64_t[]){1, 16}, sizeof x), INGOT_E_DTYPE, "'x'",
               "f64", "f32");
  EXPECT_ERROR(c, ingot_set_input(c, 0, x, INGOT_F32, 3, (int64_t[]){1, 1, 16}, sizeof x), INGOT_E_SHAPE,
               "'x'", "rank is 3", "wants 2", "[T<=1024, 16]");
  EXPECT_ERROR(c, ingot_set_input(c, 0, x, INGOT_F32, 2, (int64_t[]){4, 15}, sizeof x), INGOT_E_SHAPE, "'x'",
               "extent 1 is 15", "wants 16", "[4, 15]");
  EXPECT_ERROR(c, set_x(c, 1025), INGOT_E_SHAPE, "extent 0 is 1025", "at most 1024");
  EXPECT_ERROR(c, set_x(c, -1), INGOT_E_SHAPE, "extent 0 is -1");
  EXPECT_ERROR(c, set_x(c, ROWS + 1), INGOT_E_BYTES, "'x'", "9600 bytes given", "9664 needed");
  EXPECT_ERROR(c, ingot_set_input(c, 0, x, INGOT_F32, 2, NULL, sizeof x), INGOT_E_SHAPE,
               "extent 0 (T) varies");
  EXPECT_ERROR(c, ingot_set_input(c, 0, NULL, INGOT_F32, 2, (int64_t[]){1, 16}, 64), INGOT_E_ARGUMENT,
               "NULL");
  EXPECT_ERROR(c, ingot_set_input(c, 0, (char *)x + 1, INGOT_F32, 2, (int64_t[]){1, 16}, 64), INGOT_E_ALIGN,
               "'x'", "multiple of 4");
  cr_assert_eq(set_x(c, 0), INGOT_OK); // within the bound; the symbol's minimum is looked at in the run
  ingot_set_output(c, 0, y, sizeof y);
  ingot_set_output(c, 1, total, sizeof total);
  ingot_set_output(c, 2, odd, sizeof odd);
  EXPECT_ERROR(c, ingot_run(c), INGOT_E_SHAPE, "input 'x'", "extent 0 is 0", "1 to 1024", "(T)");
  ingot_ctx_destroy(c);
}

Test(runtime, outputs_must_hold_what_the_run_makes) {
  ingot_ctx *c = make("rows", 1, 0);
  bind_rows(c, 10);
  EXPECT_ERROR(c, ingot_set_output(c, 1, total, 3), INGOT_E_BYTES, "output 'total'", "3 bytes", "4 needed");
  EXPECT_ERROR(c, ingot_set_output(c, 7, total, 4), INGOT_E_ARGUMENT, "number 7");
  cr_assert_eq(ingot_set_output(c, 0, y, 10 * COLUMNS * 4), INGOT_OK);
  cr_assert_eq(ingot_run(c), INGOT_OK, "%s", ingot_last_error(c));
  cr_assert_eq(set_x(c, 11), INGOT_OK);
  EXPECT_ERROR(c, ingot_run(c), INGOT_E_BYTES, "output 'y'", "640 bytes given", "704 needed");
  cr_assert_eq(ingot_output_data(c, 0), (void *)y);
  ingot_ctx_destroy(c);
}

Test(runtime, own_outputs_and_callers_arena) {
  const ingot_model *m = ingot_library_model(open_fake(), "rows");
  struct ingot_options o = {.size = sizeof o, .threads = 2, .flags = INGOT_OWN_OUTPUTS};
  o.arena_bytes = ingot_arena_bytes(m, NULL);
  cr_assert_eq(o.arena_bytes, 65536);
  uint64_t whole = ingot_ctx_bytes(m, &o);
  o.arena = aligned_alloc(64, o.arena_bytes);
  cr_assert_eq(ingot_ctx_bytes(m, &o), whole - o.arena_bytes);
  ingot_ctx *c;
  cr_assert_eq(ingot_ctx_create(m, &o, &c), INGOT_OK);
  for (int i = 0; i < COLUMNS; i++) x[i] = 1;
  cr_assert_eq(set_x(c, 1), INGOT_OK);
  cr_assert_eq(ingot_run(c), INGOT_OK, "%s", ingot_last_error(c));
  cr_assert_eq(((float *)ingot_output_data(c, 0))[15], 17 * 17);
  cr_assert_eq(((float *)o.arena)[15], 17);
  ingot_ctx_destroy(c);
  free(o.arena);
}

// A context that needs nothing of the heap; and the bound that artefacts for bare machines set memory aside by.
Test(runtime, callers_memory) {
  const ingot_model *m = ingot_library_model(open_fake(), "rows");
  char error[200];
  struct ingot_options o = {.size = sizeof o, .threads = 1, .error = error, .error_size = sizeof error};
  o.memory_bytes = ingot_ctx_bytes(m, &o);
  cr_expect_geq(ingot_ctx_bound(m), o.memory_bytes);
  o.memory = aligned_alloc(INGOT_CTX_ALIGN, (o.memory_bytes + 127) & ~(uint64_t)127);
  memset(o.memory, 0xff, o.memory_bytes);
  ingot_ctx *c;
  cr_assert_eq(ingot_ctx_create(m, &o, &c), INGOT_OK);
  cr_expect_eq((void *)c, o.memory);
  for (int i = 0; i < COLUMNS; i++) x[i] = 1;
  cr_assert_eq(set_x(c, 1), INGOT_OK);
  for (int i = 0; i < 3; i++) cr_assert_eq(ingot_set_output(c, i, y, sizeof y), INGOT_OK);
  cr_assert_eq(ingot_run(c), INGOT_OK, "%s", ingot_last_error(c));
  ingot_ctx_destroy(c);
  o.memory_bytes--;
  cr_expect_eq(ingot_ctx_create(m, &o, &c), INGOT_E_MEMORY);
  o.memory_bytes++, o.memory = (char *)o.memory + 64;
  cr_expect_eq(ingot_ctx_create(m, &o, &c), INGOT_E_ALIGN);
  cr_expect(strstr(error, "multiple of 128"), "%s", error);
  free((char *)o.memory - 64);
}

Test(runtime, threads_stay_where_the_caller_wants) {
  const ingot_model *m = ingot_library_model(open_fake(), "rows");
  const int32_t first = 0;
  struct ingot_options o = {
      .size = sizeof o, .threads = 3, .cpus = &first, .n_cpus = 1, .flags = INGOT_OWN_OUTPUTS};
  ingot_ctx *c;
  cr_assert_eq(ingot_ctx_create(m, &o, &c), INGOT_OK);
  int pinned = 0;
  DIR *tasks = opendir("/proc/self/task");
  for (struct dirent *e; tasks && (e = readdir(tasks));) {
    cpu_set_t set;
    if (atoi(e->d_name) > 0 && sched_getaffinity(atoi(e->d_name), sizeof set, &set) == 0)
      pinned += CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set);
  }
  if (tasks) closedir(tasks);
  cr_expect_geq(pinned, 2);
  for (int i = 0; i < COLUMNS; i++) x[i] = 1;
  cr_assert_eq(set_x(c, 1), INGOT_OK);
  cr_assert_eq(ingot_run(c), INGOT_OK, "%s", ingot_last_error(c));
  ingot_ctx_destroy(c);
  o.n_cpus = -1;
  cr_expect_eq(ingot_ctx_create(m, &o, &c), INGOT_E_ARGUMENT);
}

Test(runtime, wrong_options_are_explained) {
  const ingot_model *m = ingot_library_model(open_fake(), "rows");
  static _Alignas(64) char arena[65536 + 64];
  char err[200] = "";
  ingot_ctx *c = (ingot_ctx *)1;
  struct ingot_options o = {.size = sizeof o, .error = err, .error_size = sizeof err};
  o.threads = 100000;
  cr_assert_eq(ingot_ctx_create(m, &o, &c), INGOT_E_ARGUMENT);
  cr_assert(has(err, "100000 threads") && c == NULL);
  o.threads = 1, o.arena = arena, o.arena_bytes = 100;
  cr_assert_eq(ingot_ctx_create(m, &o, &c), INGOT_E_BYTES);
  cr_assert(has(err, "100 bytes given") && has(err, "65536 needed"));
  o.arena = arena + 4, o.arena_bytes = 65536;
  cr_assert_eq(ingot_ctx_create(m, &o, &c), INGOT_E_ALIGN);
  o.size = 3;
  cr_assert_eq(ingot_ctx_create(m, &o, &c), INGOT_E_ARGUMENT);
  cr_assert_eq(ingot_ctx_bytes(m, &o), 0);
  // A program older than this runtime: the options end after the flags.
  o = (struct ingot_options){.size = offsetof(struct ingot_options, arena), .threads = 1, .arena = arena + 1};
  cr_assert_eq(ingot_ctx_create(m, &o, &c), INGOT_OK);
  ingot_ctx_destroy(c);
  ingot_ctx_destroy(NULL);
}

// Models that differ from one in the library by their size only.
static ingot_model resized(int64_t arena, int64_t scratch) {
  ingot_model m = *ingot_library_model(open_fake(), "rows");
  m.arena_bytes = arena;
  m.scratch_bytes = scratch;
  return m;
}

Test(runtime, large_contexts_are_mapped) {
  for (int64_t bytes = 1 << 20; bytes <= 64 << 20; bytes *= 8) {
    const ingot_model m = resized(bytes + 12345, 100);
    struct ingot_options o = {.size = sizeof o, .threads = 3};
    for (o.flags = 0; o.flags <= INGOT_NO_HUGE_PAGES; o.flags += INGOT_NO_HUGE_PAGES) {
      ingot_ctx *c;
      cr_assert_eq(ingot_ctx_create(&m, &o, &c), INGOT_OK);
      cr_assert_geq(ingot_ctx_bytes(&m, &o), (uint64_t)bytes);
      cr_assert_eq((uintptr_t)ingot_step_arg(c, 0, 2, NULL) % INGOT_ALIGN, 0);
      bind_rows(c, ROWS);
      cr_assert_eq(ingot_run(c), INGOT_OK);
      ingot_ctx_destroy(c);
    }
  }
}

Test(runtime, contexts_beyond_memory_are_refused) {
  static const int64_t sizes[][2] = {
      {INT64_MAX, 0}, {0, INT64_MAX}, {INT64_MAX / 2, INT64_MAX / 8}, {(int64_t)1 << 60, 0}};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    const ingot_model m = resized(sizes[i][0], sizes[i][1]);
    char err[200] = "";
    struct ingot_options o = {.size = sizeof o, .threads = 16, .error = err, .error_size = sizeof err};
    ingot_ctx *c;
    cr_assert_eq(ingot_ctx_create(&m, &o, &c), INGOT_E_MEMORY, "%zu", i);
    cr_assert(c == NULL && err[0] != 0);
  }
}

// ---- hooks and threads of the caller -----------------------------------------------------------------

typedef struct Seen {
  int begins, ends;
  float affine;
} Seen;

static void look(void *user, ingot_ctx *c, int32_t step, int32_t begin) {
  Seen *s = user;
  *(begin ? &s->begins : &s->ends) += 1;
  if (step == 0 && !begin) s->affine = *(float *)ingot_step_arg(c, 0, 2, NULL);
}

Test(runtime, hooks_see_every_step) {
  Seen seen = {0};
  struct ingot_options o = {.size = sizeof o, .threads = 2, .hook = look, .hook_user = &seen};
  ingot_ctx *c;
  cr_assert_eq(ingot_ctx_create(ingot_library_model(open_fake(), "rows"), &o, &c), INGOT_OK);
  bind_rows(c, 5);
  cr_assert_eq(ingot_run(c), INGOT_OK);
  cr_assert_eq(seen.begins, 4);
  cr_assert_eq(seen.ends, 4);
  cr_assert_float_eq(seen.affine, x[0] + 1, 0);
  cr_assert_null(ingot_step_arg(c, 0, 3, NULL));
  cr_assert_null(ingot_step_arg(c, 4, 0, NULL));
  ingot_ctx_destroy(c);
}

// Two threads at once: while a run is in a step, another thread comes with the same context.
typedef struct Intruder {
  ingot_ctx *c;
  pthread_t thread;
  int codes[5];
} Intruder;

static void *intrude(void *arg) {
  Intruder *i = arg;
  i->codes[0] = ingot_run(i->c);
  i->codes[1] = set_x(i->c, 1);
  i->codes[2] = ingot_set_output(i->c, 0, y, sizeof y);
  i->codes[3] = ingot_set_symbol(i->c, 0, 1);
  i->codes[4] = ingot_state_reset(i->c);
  return NULL;
}

static void let_in(void *user, ingot_ctx *c, int32_t step, int32_t begin) {
  Intruder *i = user;
  if (step != 1 || !begin) return;
  i->c = c;
  cr_assert_eq(pthread_create(&i->thread, NULL, intrude, i), 0);
  pthread_join(i->thread, NULL);
}

Test(runtime, two_threads_in_one_context_are_refused) {
  Intruder i = {.codes = {0}};
  struct ingot_options o = {.size = sizeof o, .threads = 1, .hook = let_in, .hook_user = &i};
  ingot_ctx *c;
  const ingot_model *m = ingot_library_model(open_fake(), "rows");
  cr_assert_eq(ingot_ctx_create(m, &o, &c), INGOT_OK);
  bind_rows(c, 5);
  cr_assert_eq(ingot_run(c), INGOT_OK);
  for (int k = 0; k < 5; k++) cr_expect_eq(i.codes[k], INGOT_E_BUSY, "call %d: %d", k, i.codes[k]);
  cr_expect(has(ingot_error_text(m, INGOT_E_BUSY), "another thread"));
  cr_expect_float_eq(y[17], (x[17] * 2 + 1) * (x[17] * 2 + 1), 0); // the run was not disturbed
  ingot_ctx_destroy(c);
}

static void in_order(void *user, int32_t n, void (*fn)(void *, int32_t), void *arg) {
  *(int *)user += n;
  for (int32_t i = 0; i < n; i++) fn(arg, i);
}

Test(runtime, callers_parallel_for) {
  int parts = 0;
  struct ingot_options o = {
      .size = sizeof o, .threads = 6, .parallel_for = in_order, .parallel_user = &parts};
  ingot_ctx *c;
  cr_assert_eq(ingot_ctx_create(ingot_library_model(open_fake(), "rows"), &o, &c), INGOT_OK);
  bind_rows(c, ROWS);
  cr_assert_eq(ingot_run(c), INGOT_OK);
  cr_assert_eq(parts, 6); // the chain of two dear steps; the serial and the cheap one are not split
  cr_assert_float_eq(y[17], (x[17] * 2 + 1) * (x[17] * 2 + 1), 0);
  ingot_ctx_destroy(c);
}

// ---- control flow ------------------------------------------------------------------------------------

static int run_control(ingot_ctx *c, int64_t n, uint8_t negate, uint8_t ok, int64_t *sum, int64_t *list) {
  int code = ingot_set_input(c, 0, &n, INGOT_I64, 0, NULL, 8);
  if (!code) code = ingot_set_input(c, 1, &negate, INGOT_BOOL, 0, NULL, 1);
  if (!code) code = ingot_set_input(c, 2, &ok, INGOT_BOOL, 0, NULL, 1);
  if (!code) code = ingot_set_output(c, 0, sum, 8);
  if (!code) code = ingot_set_output(c, 1, list, 640);
  return code ? code : ingot_run(c);
}

Test(runtime, loops_branches_and_data_dependent_extents) {
  for (int threads = 1; threads < 4; threads++) {
    ingot_ctx *c = make("control", threads, 0);
    int64_t sum, list[80], dims[1];
    cr_assert_eq(run_control(c, 10, 0, 1, &sum, list), INGOT_OK, "%s", ingot_last_error(c));
    cr_assert_eq(sum, 45);
    cr_assert_eq(ingot_output_shape(c, 1, dims), INGOT_OK);
    cr_assert_eq(dims[0], 10);
    cr_assert_eq(list[9], 9);
    cr_assert_eq(run_control(c, 80, 1, 1, &sum, list), INGOT_OK);
    cr_assert_eq(sum, -79 * 80 / 2);
    cr_assert_eq(list[79], 79);
    cr_assert_eq(run_control(c, 0, 0, 1, &sum, list), INGOT_OK);
    cr_assert_eq(sum, 0);
    int64_t count;
    cr_assert_eq(ingot_get_symbol(c, 0, &count), INGOT_OK);
    cr_assert_eq(count, 0);
    EXPECT_ERROR(c, run_control(c, 81, 0, 1, &sum, list), INGOT_E_DATA, "'N' would be 81", "0 to 80");
    EXPECT_ERROR(c, run_control(c, 5, 0, 0, &sum, list), INGOT_E_DATA, "'ok' must be true");
    EXPECT_ERROR(c, ingot_set_output(c, 1, list, 8) ? 0 : ingot_run(c), INGOT_E_BYTES, "'list'",
                 "640 needed");
    ingot_ctx_destroy(c);
  }
}

// ---- state -------------------------------------------------------------------------------------------

static int feed(ingot_ctx *c, int64_t n, float value, float *sum) {
  float in[4] = {value, value, value, value};
  int code = ingot_set_input(c, 0, in, INGOT_F32, 1, &n, sizeof in);
  if (!code) code = ingot_set_output(c, 0, sum, 4);
  return code ? code : ingot_run(c);
}

Test(runtime, state_lives_from_run_to_run) {
  ingot_ctx *c = make("memory", 1, 0);
  float sum;
  int64_t past;
  cr_assert_eq(feed(c, 3, 1, &sum), INGOT_OK, "%s", ingot_last_error(c));
  cr_assert_eq(sum, 103);
  cr_assert_eq(feed(c, 4, 10, &sum), INGOT_OK);
  cr_assert_eq(sum, 143);
  EXPECT_ERROR(c, feed(c, 2, 1, &sum), INGOT_E_SHAPE, "'past+L' would be 9", "1 to 8");
  cr_assert_eq(ingot_get_symbol(c, 1, &past), INGOT_OK);
  cr_assert_eq(past, 7);
  cr_assert_eq(feed(c, 1, 5, &sum), INGOT_OK); // just full
  cr_assert_eq(sum, 148);
  cr_assert_eq(ingot_state_reset(c), INGOT_OK);
  cr_assert_eq(feed(c, 1, 5, &sum), INGOT_OK);
  cr_assert_eq(sum, 105);
  ingot_ctx_destroy(c);
}

Test(runtime, state_can_be_saved_restored_and_forked) {
  ingot_ctx *a = make("memory", 1, 0), *b = make("memory", 1, 0), *other = make("rows", 1, 0);
  const ingot_model *m = ingot_ctx_model(a);
  uint64_t bytes = ingot_state_bytes(m);
  char *copy = malloc(bytes), *foreign = malloc(bytes);
  float sum;
  feed(a, 3, 1, &sum);
  cr_assert_eq(ingot_state_save(a, copy, bytes), INGOT_OK);
  EXPECT_ERROR(a, ingot_state_save(a, copy, bytes - 1), INGOT_E_BYTES, "needed");
  feed(a, 4, 10, &sum);
  cr_assert_eq(ingot_state_restore(b, copy, bytes), INGOT_OK); // another context goes on from the same place
  cr_assert_eq(feed(b, 1, 2, &sum), INGOT_OK);
  cr_assert_eq(sum, 105);
  cr_assert_eq(ingot_state_restore(a, copy, bytes), INGOT_OK);
  cr_assert_eq(feed(a, 1, 7, &sum), INGOT_OK);
  cr_assert_eq(sum, 110);
  memset(foreign, 0, bytes);
  cr_assert_eq(ingot_state_bytes(ingot_ctx_model(other)), 0); // which keeps nothing
  cr_assert_eq(ingot_state_save(other, foreign, bytes), INGOT_OK);
  cr_assert_eq(ingot_state_restore(other, foreign, 0), INGOT_OK);
  EXPECT_ERROR(other, ingot_state_restore(other, copy, bytes), INGOT_E_FORMAT, "not a copy");
  EXPECT_ERROR(a, ingot_state_restore(a, foreign, bytes), INGOT_E_FORMAT, "not a copy");
  copy[16] = 99; // past, out of its range
  EXPECT_ERROR(a, ingot_state_restore(a, copy, bytes), INGOT_E_FORMAT, "'past'");
  cr_assert_eq(feed(a, 1, 0, &sum), INGOT_OK); // untouched by the refusals
  cr_assert_eq(sum, 110);
  free(copy), free(foreign);
  ingot_ctx_destroy(a), ingot_ctx_destroy(b), ingot_ctx_destroy(other);
}

// What INGOT_ISA says is for those who have not asked for another form.
Test(runtime, state_has_the_size_of_the_context_s_form) {
  char err[128] = "", copy[1024];
  struct ingot_options o = {
      .size = sizeof o, .threads = 1, .isa = "wide", .error = err, .error_size = sizeof err};
  const ingot_model *m = ingot_library_model(open_fake(), "forms");
  ingot_ctx *c;
  setenv("INGOT_ISA", "narrow", 1);
  cr_assert_eq(ingot_ctx_create(m, &o, &c), INGOT_OK, "%s", err);
  cr_assert_lt(ingot_state_bytes(m), 256);
  EXPECT_ERROR(c, ingot_state_save(c, copy, ingot_state_bytes(m)), INGOT_E_BYTES, "needed");
  cr_assert_eq(ingot_state_save(c, copy, sizeof copy), INGOT_OK);
  cr_assert_eq(ingot_state_restore(c, copy, sizeof copy), INGOT_OK);
  ingot_ctx_destroy(c);
}

Test(runtime, symbols_of_the_caller) {
  ingot_ctx *c = make("memory", 1, 0);
  float sum;
  cr_assert_eq(ingot_set_symbol(c, 1, 6), INGOT_OK);
  cr_assert_eq(feed(c, 2, 3, &sum), INGOT_OK);
  cr_assert_eq(sum, 106);
  EXPECT_ERROR(c, ingot_set_symbol(c, 1, 9), INGOT_E_SHAPE, "'past' is 9", "0 to 8");
  EXPECT_ERROR(c, ingot_set_symbol(c, 0, 1), INGOT_E_ARGUMENT, "'L'", "cannot be set");
  EXPECT_ERROR(c, ingot_set_symbol(c, 3, 1), INGOT_E_ARGUMENT, "number 3");
  ingot_ctx_destroy(c);
}

// ---- weights files -----------------------------------------------------------------------------------

static void write_weights(const char *path, uint64_t bytes, uint64_t hash, const float *data, size_t n) {
  struct ingot_weights_header h = {INGOT_WEIGHTS_MAGIC, 1, bytes, hash};
  FILE *f = fopen(path, "wb");
  cr_assert_not_null(f);
  fwrite(&h, sizeof h, 1, f);
  fseek(f, INGOT_WEIGHTS_HEADER, SEEK_SET);
  fwrite(data, sizeof *data, n, f);
  fclose(f);
}

static int make_aside(const char *dir, uint32_t flags, const void *weights, char *err, ingot_ctx **c) {
  struct ingot_options o = {.size = sizeof o,
                            .threads = 1,
                            .flags = flags | INGOT_OWN_OUTPUTS,
                            .weights = weights,
                            .weights_dir = dir,
                            .error = err,
                            .error_size = 256};
  return ingot_ctx_create(ingot_library_model(open_fake(), "aside"), &o, c);
}

Test(runtime, weights_in_a_file) {
  static const _Alignas(64) float good[4] = {1, 2, 3, 4}, bad[4] = {1, 2, 3, 5};
  const char *dir = test_folder();
  char path[256], err[256];
  uint64_t hash = ingot_hash(good, 16);
  ingot_ctx *c;
  snprintf(path, sizeof path, "%s/fake.weights", dir);
  cr_assert_eq(make_aside(dir, 0, NULL, err, &c), INGOT_E_WEIGHTS);
  cr_assert(has(err, path) && has(err, "No such file"), "%s", err);
  cr_assert_eq(make_aside(NULL, 0, NULL, err, &c), INGOT_E_WEIGHTS);
  cr_assert(has(err, BINARY_DIR "/tests/runtime/fake.weights"), "%s", err); // the artefact's folder
  write_weights(path, 16, hash, good, 4);
  cr_assert_eq(make_aside(dir, INGOT_VERIFY_WEIGHTS, NULL, err, &c), INGOT_OK, "%s", err);
  cr_assert_eq(ingot_run(c), INGOT_OK);
  cr_assert_eq(memcmp(ingot_output_data(c, 0), good, sizeof good), 0);
  ingot_ctx_destroy(c);
  write_weights(path, 16, hash, bad, 4);
  cr_assert_eq(make_aside(dir, INGOT_VERIFY_WEIGHTS, NULL, err, &c), INGOT_E_WEIGHTS);
  cr_assert(has(err, "damaged"), "%s", err);
  write_weights(path, 16, hash + 1, good, 4);
  cr_assert_eq(make_aside(dir, 0, NULL, err, &c), INGOT_E_WEIGHTS);
  cr_assert(has(err, "another build"), "%s", err);
  write_weights(path, 16, hash, good, 3);
  cr_assert_eq(make_aside(dir, 0, NULL, err, &c), INGOT_E_WEIGHTS);
  cr_assert(has(err, "truncated"), "%s", err);
  cr_assert_eq(make_aside(NULL, 0, good, err, &c), INGOT_OK); // mapped by the caller
  cr_assert_eq(ingot_run(c), INGOT_OK);
  cr_assert_eq(((float *)ingot_output_data(c, 0))[3], 4);
  ingot_ctx_destroy(c);
  cr_assert_eq(make_aside(NULL, 0, good + 1, err, &c), INGOT_E_ALIGN);
}

Test(runtime, weights_of_its_own) {
  static const _Alignas(64) float good[4] = {1, 2, 3, 4}, other[4] = {5, 6, 7, 8};
  static _Alignas(64) float given[4] = {1, 2, 3, 4};
  const char *dir = test_folder();
  char path[256], err[256];
  ingot_ctx *c, *d;
  const ingot_model *m = ingot_library_model(open_fake(), "aside");
  struct ingot_options o = {.size = sizeof o, .threads = 1};
  uint64_t without = ingot_ctx_bytes(m, &o);
  o.flags = INGOT_OWN_WEIGHTS;
  cr_assert_eq(ingot_ctx_bytes(m, &o), without + INGOT_ALIGN);
  snprintf(path, sizeof path, "%s/fake.weights", dir);
  write_weights(path, 16, ingot_hash(good, 16), good, 4);
  cr_assert_eq(make_aside(dir, INGOT_OWN_WEIGHTS, NULL, err, &c), INGOT_OK, "%s", err);
  cr_assert_eq(make_aside(NULL, INGOT_OWN_WEIGHTS, given, err, &d), INGOT_OK, "%s", err);
  write_weights(path, 16, ingot_hash(good, 16), other, 4); // in place: what is mapped would change
  memcpy(given, other, sizeof given);
  cr_assert_eq(ingot_run(c), INGOT_OK);
  cr_assert_eq(ingot_run(d), INGOT_OK);
  cr_assert_eq(memcmp(ingot_output_data(c, 0), good, sizeof good), 0);
  cr_assert_eq(memcmp(ingot_output_data(d, 0), good, sizeof good), 0);
  ingot_ctx_destroy(c), ingot_ctx_destroy(d);
  c = make("rows", 1, INGOT_OWN_WEIGHTS); // which has none
  bind_rows(c, ROWS);
  cr_assert_eq(ingot_run(c), INGOT_OK);
  ingot_ctx_destroy(c);
  // Embedded ones, and a state that begins with them.
  float sum;
  c = make("memory", 1, INGOT_OWN_WEIGHTS);
  cr_assert_eq(feed(c, 2, 3, &sum), INGOT_OK);
  cr_assert_eq(sum, 106);
  cr_assert_eq(ingot_state_reset(c), INGOT_OK);
  cr_assert_eq(feed(c, 1, 3, &sum), INGOT_OK);
  cr_assert_eq(sum, 103);
  ingot_ctx_destroy(c);
}

// ---- the loader --------------------------------------------------------------------------------------

static int open_error(const char *path, char *err, size_t size) {
  ingot_library *lib = (ingot_library *)1;
  int code = ingot_library_open(path, &lib, err, size);
  cr_assert_null(lib);
  cr_assert(has(err, path), "'%s' does not name the file", err);
  return code;
}

// A copy of the fake artefact, `keep` bytes of it (0: all), with one byte changed at `at` (< 0: none).
static void copy_fake(const char *path, double keep, long at, unsigned char byte) {
  struct stat st;
  cr_assert_eq(stat(LIB("fake"), &st), 0);
  unsigned char *data = malloc((size_t)st.st_size);
  FILE *in = fopen(LIB("fake"), "rb"), *out = fopen(path, "wb");
  cr_assert_eq(fread(data, 1, (size_t)st.st_size, in), (size_t)st.st_size);
  if (at >= 0) data[at] = byte;
  fwrite(data, 1, (size_t)(keep * (double)st.st_size), out);
  fclose(in), fclose(out), free(data);
}

Test(runtime, the_loader_refuses_what_it_cannot_run) {
  const char *path = test_path("loader.so");
  char err[300];
  int fd = open(path, O_RDWR | O_CREAT, 0600);
  cr_assert_geq(fd, 0);
  cr_assert_eq(open_error(path, err, sizeof err), INGOT_E_FORMAT);
  cr_assert(has(err, "not a shared library"), "%s", err);
  cr_assert_eq(write(fd, "ir_version: 8, and some more text of no shared library", 54), 54);
  close(fd);
  cr_assert_eq(open_error(path, err, sizeof err), INGOT_E_FORMAT);
  for (double keep = 0.001; keep < 1; keep += 0.0999) {
    copy_fake(path, keep, -1, 0);
    cr_assert_eq(open_error(path, err, sizeof err), INGOT_E_FORMAT);
    cr_assert(has(err, "truncated") || has(err, "not a shared library"), "%s", err);
  }
  copy_fake(path, 1, 18, 0xf3); // e_machine: RISC-V
  cr_assert_eq(open_error(path, err, sizeof err), INGOT_E_ARCH);
  cr_assert(has(err, "riscv") && has(err, "64 bits"), "%s", err);
  copy_fake(path, 1, 4, 1); // 32 bits
  cr_assert_eq(open_error(path, err, sizeof err), INGOT_E_ARCH);
  copy_fake(path, 1, 5, 2); // big endian
  cr_assert_eq(open_error(path, err, sizeof err), INGOT_E_ARCH);
  copy_fake(path, 1, 16, 1); // e_type: an object file
  cr_assert_eq(open_error(path, err, sizeof err), INGOT_E_FORMAT);
  unlink(path);
  cr_assert_eq(open_error(path, err, sizeof err), INGOT_E_FILE);
  cr_assert_eq(open_error(test_folder(), err, sizeof err), INGOT_E_FILE);
  cr_assert_eq(open_error(LIB("fake_plain"), err, sizeof err), INGOT_E_FORMAT);
  cr_assert(has(err, "not one that ingot made"), "%s", err);
  cr_assert_eq(open_error(LIB("fake_future"), err, sizeof err), INGOT_E_ABI);
  cr_assert(has(err, "ABI 99.0") && has(err, "newer"), "%s", err);
  cr_assert_eq(open_error(LIB("fake_imaginary"), err, sizeof err), INGOT_E_CPU);
  cr_assert(has(err, "'imaginary'"), "%s", err);
  cr_assert_eq(ingot_library_open(LIB("fake_plain"), NULL, NULL, 0), INGOT_E_ARGUMENT);
}

Test(runtime, the_loader_takes_plain_names_as_paths) {
  ingot_library *lib;
  char err[300] = "";
  cr_assert_eq(chdir(BINARY_DIR "/tests/runtime"), 0);
  cr_assert_eq(ingot_library_open("libfake.so", &lib, err, sizeof err), INGOT_OK, "%s", err);
  ingot_library_close(lib);
  ingot_library_close(NULL);
}

static int count_threads(void) {
  int n = 0;
  DIR *d = opendir("/proc/self/task");
  for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
  if (d) closedir(d);
  return n;
}

// Workers must be gone before their code is.
Test(runtime, unloading_ends_the_threads_of_convenience_calls) {
  setenv("INGOT_THREADS", "3", 1);
  int before = count_threads();
  void *lib = dlopen(LIB("fake"), RTLD_NOW | RTLD_LOCAL);
  int (*run)(const float *, int64_t, float *, float *, int32_t *);
  cr_assert_not_null(lib);
  *(void **)&run = dlsym(lib, "rows_run");
  for (int64_t rows = 1; rows < 20; rows++) cr_assert_eq(run(x, rows, y, total, odd), INGOT_OK);
  cr_assert_eq(run(x, 1025, y, total, odd), INGOT_E_SHAPE);
  cr_assert_eq(run(x, 20, y, total, odd), INGOT_OK);
  cr_assert_eq(count_threads(), before + 2);
  dlclose(lib);
  cr_assert_eq(count_threads(), before);
}

#if defined(__x86_64__) && defined(__linux__)
static bool flag_of_cpuinfo(const char *name) {
  static char text[1 << 16];
  char word[32];
  if (!text[0]) {
    FILE *f = fopen("/proc/cpuinfo", "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = 0;
    if (f) fclose(f);
  }
  snprintf(word, sizeof word, " %s", name);
  for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
    if (p[strlen(word)] == ' ' || p[strlen(word)] == '\n') return true;
  return false;
}

Test(runtime, processor_features_agree_with_the_kernels) {
  static const char *const names[][2] = {
      {"sse4.2", "sse4_2"},     {"popcnt", "popcnt"},     {"movbe", "movbe"},
      {"cx16", "cx16"},         {"sahf", "lahf_lm"},      {"lzcnt", "abm"},
      {"bmi", "bmi1"},          {"bmi2", "bmi2"},         {"avx", "avx"},
      {"f16c", "f16c"},         {"fma", "fma"},           {"avx2", "avx2"},
      {"avxvnni", "avx_vnni"},  {"avx512f", "avx512f"},   {"avx512vl", "avx512vl"},
      {"avx512bw", "avx512bw"}, {"avx512dq", "avx512dq"}, {"avx512vnni", "avx512_vnni"}};
  char missing[32];
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    cr_assert_eq(ingot_cpu_check(names[i][0], missing, sizeof missing) == INGOT_OK,
                 flag_of_cpuinfo(names[i][1]), "%s", names[i][0]);
  cr_assert_eq(ingot_cpu_check("+sse2,-avx512f,imaginary,more", missing, sizeof missing), INGOT_E_CPU);
  cr_assert_str_eq(missing, "imaginary");
  cr_assert_eq(ingot_cpu_check("", missing, sizeof missing), INGOT_OK);
  setenv("INGOT_CPU", "sse2", 1);
  cr_assert_eq(ingot_cpu_check("sse2", missing, sizeof missing), INGOT_OK);
  cr_assert_eq(ingot_cpu_check("sse", missing, sizeof missing), INGOT_E_CPU);
}
#endif

Test(runtime, variants_fall_back) {
  const ingot_model *m = ingot_library_model(open_fake(), "variant");
  cr_assert_not_null(m);
  cr_assert_str_eq(ingot_model_name(m), "aside");
}

Test(runtime, environment_limits_the_processor) {
  setenv("INGOT_CPU", "imaginary,avx2", 1); // a name that is not known stays missing
  cr_assert_str_eq(ingot_model_name(ingot_library_model(open_fake(), "variant")), "aside");
}

Test(runtime, error_texts) {
  const ingot_model *m = ingot_library_model(open_fake(), NULL);
  for (int code = 0; code <= INGOT_E_WEIGHTS; code++) cr_assert_gt(strlen(ingot_error_text(m, code)), 3);
  cr_assert_str_eq(ingot_error_text(m, 1000), "unknown error");
  cr_assert_str_eq(ingot_error_text(m, -1), "unknown error");
}

Test(runtime, hash_tells_data_apart) {
  unsigned char data[300] = {0};
  uint64_t zero = ingot_hash(data, sizeof data);
  for (size_t i = 0; i < sizeof data; i++) {
    data[i] = 0x80;
    cr_assert_neq(ingot_hash(data, sizeof data), zero);
    data[i] = 0;
    cr_assert_neq(ingot_hash(data, i), zero);
  }
}
