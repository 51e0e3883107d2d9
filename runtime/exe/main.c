// main.c: the command line of a standalone executable: inputs from .npy and .npz files, outputs to .npy files.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/exe/exe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Defined by the compiler.
extern const struct ingot_model *const ingot_exe_model __attribute__((visibility("hidden")));

typedef struct Run {
  const ingot_model *m;
  ingot_ctx *c;
  const char *dir;
  int32_t threads;
  long repeat;
} Run;

// ---- help --------------------------------------------------------------------------------------------

static void print_tensor(const ingot_model *m, const char *what, const struct ingot_tensor_info *t) {
  printf("  %s %s: %s[", what, t->name, ingot_dtype_name(t->dtype));
  for (int32_t d = 0; d < t->rank; d++) {
    if (d) putchar(',');
    if (t->dims[d].sym >= 0)
      printf("%s<=%lld", ingot_symbol_info(m, t->dims[d].sym)->name, (long long)t->dims[d].n);
    else
      printf("%lld", (long long)t->dims[d].n);
  }
  puts("]");
}

static int help(const ingot_model *m) {
  printf(
      "Usage: %s [OPTION...] INPUT=FILE.npy... | FILE.npz\n"
      "Runs the model once and writes every output to OUTPUT.npy.\n\n"
      "  -d, --output-dir=DIR   where the outputs go (default: the current folder)\n"
      "  -t, --threads=N        threads that compute (default: one per processor)\n"
      "  -n, --repeat=N         runs so often and prints the time of a run\n"
      "      --help             prints this\n\n"
      "The array of a .npz file that has an input's name is that input. With one input, FILE.npy will do.\n"
      "Exit codes: 0 fine, 1 the input is at fault, 2 wrong usage.\n\n",
      ingot_model_name(m));
  for (int32_t i = 0; i < ingot_input_count(m); i++) print_tensor(m, "input ", ingot_input_info(m, i));
  for (int32_t i = 0; i < ingot_output_count(m); i++) print_tensor(m, "output", ingot_output_info(m, i));
  return EXE_FINE;
}

static int usage(const Run *r, const char *what, const char *arg) {
  fprintf(stderr, "%s: %s '%s'; --help tells the usage\n", ingot_model_name(r->m), what, arg);
  return EXE_USAGE;
}

// ---- options -----------------------------------------------------------------------------------------

// The value of option -x or --name, which may stand in the next argument; NULL if this is another option.
static const char *option_value(char **argv, int *i, const char *shorter, const char *longer) {
  size_t n = strlen(longer);
  if (strncmp(argv[*i], longer, n) == 0 && argv[*i][n] == '=') return argv[*i] + n + 1;
  bool alone = strcmp(argv[*i], shorter) == 0 || strcmp(argv[*i], longer) == 0;
  return alone && argv[*i + 1] ? argv[++*i] : NULL;
}

static bool parse_count(const char *text, long max, long *to) {
  char *end;
  *to = strtol(text, &end, 10);
  return end != text && !*end && *to >= 1 && *to <= max;
}

static int parse_options(Run *r, char **argv, char **files) {
  int n = 0;
  for (int i = 1; argv[i]; i++) {
    const char *value;
    long count;
    if (argv[i][0] != '-') {
      files[n++] = argv[i];
    } else if ((value = option_value(argv, &i, "-d", "--output-dir"))) {
      r->dir = value;
    } else if ((value = option_value(argv, &i, "-t", "--threads"))) {
      if (!parse_count(value, 256, &count)) return usage(r, "--threads wants a number, not", value);
      r->threads = (int32_t)count;
    } else if ((value = option_value(argv, &i, "-n", "--repeat"))) {
      if (!parse_count(value, 1000000000, &r->repeat)) return usage(r, "--repeat wants a number, not", value);
    } else {
      return usage(r, "unknown or incomplete option", argv[i]);
    }
  }
  files[n] = NULL;
  return EXE_FINE;
}

// ---- inputs ------------------------------------------------------------------------------------------

static int fail(const char *where, const char *what) {
  fprintf(stderr, "error: %s%s%s\n", where, *where ? ": " : "", what);
  return EXE_INPUT;
}

// The data is copied where the file does not have it at the right alignment.
static bool bind(Run *r, int32_t i, const Array *a) {
  const struct ingot_tensor_info *t = ingot_input_info(r->m, i);
  void *copy = NULL;
  if ((uintptr_t)a->data % (uintptr_t)t->align) {
    if (posix_memalign(&copy, 64, a->bytes ? (size_t)a->bytes : 1) != 0)
      return fail("", "out of memory"), false;
    memcpy(copy, a->data, (size_t)a->bytes);
  }
  if (ingot_set_input(r->c, i, copy ? copy : a->data, a->dtype, a->rank, a->dims, a->bytes))
    return fail("", ingot_last_error(r->c)), false;
  return true;
}

typedef struct Archive {
  Run *run;
  bool ok;
} Archive;

static bool bind_member(void *user, const char *name, const Array *a) {
  Archive *z = user;
  int32_t i = ingot_find_input(z->run->m, name);
  if (i >= 0) z->ok = bind(z->run, i, a);
  return z->ok;
}

static bool ends_with(const char *s, const char *end) {
  size_t n = strlen(s), k = strlen(end);
  return n >= k && strcmp(s + n - k, end) == 0;
}

static int read_npz(Run *r, const char *path, const char *data, uint64_t size) {
  Archive z = {r, true};
  const char *why = npz_each(data, size, bind_member, &z);
  return why ? fail(path, why) : z.ok ? EXE_FINE : EXE_INPUT;
}

static int read_input(Run *r, char *arg) {
  char *path = strchr(arg, '=');
  int32_t i = 0;
  if (path) {
    *path++ = 0;
    i = ingot_find_input(r->m, arg);
    if (i < 0) return usage(r, "no input", arg);
  } else {
    path = arg;
    if (!ends_with(path, ".npz") && ingot_input_count(r->m) != 1) return usage(r, "which input is", path);
  }
  uint64_t size;
  char *data = exe_read_file(path, &size);
  if (!data) return EXE_INPUT;
  if (path == arg && ends_with(path, ".npz")) return read_npz(r, path, data, size);
  Array a;
  const char *why = npy_parse(data, size, &a);
  if (why) return fail(path, why);
  return bind(r, i, &a) ? EXE_FINE : EXE_INPUT;
}

// ---- running -----------------------------------------------------------------------------------------

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compute(Run *r) {
  double start = seconds();
  for (long i = 0; i < (r->repeat ? r->repeat : 1); i++)
    if (ingot_run(r->c)) return fail("", ingot_last_error(r->c));
  if (r->repeat) printf("%.6f ms a run\n", (seconds() - start) * 1e3 / (double)r->repeat);
  return EXE_FINE;
}

static int write_outputs(const Run *r) {
  char path[4096], name[256];
  for (int32_t i = 0; i < ingot_output_count(r->m); i++) {
    const struct ingot_tensor_info *t = ingot_output_info(r->m, i);
    Array a = {.dtype = t->dtype, .rank = t->rank, .data = ingot_output_data(r->c, i)};
    if (ingot_output_shape(r->c, i, a.dims)) return fail(t->name, "no shape");
    a.bytes = (uint64_t)ingot_dtype_size(t->dtype);
    for (int32_t d = 0; d < a.rank; d++) a.bytes *= (uint64_t)a.dims[d];
    snprintf(name, sizeof name, "%s", *t->name ? t->name : "output");
    for (char *c = name; *c; c++)
      if (*c == '/' || (unsigned char)*c < 32) *c = '_';
    if (snprintf(path, sizeof path, "%s/%s.npy", r->dir, name) >= (int)sizeof path)
      return fail(r->dir, "the path is too long");
    if (!npy_write(path, &a)) return EXE_INPUT;
  }
  return EXE_FINE;
}

static int make_context(Run *r) {
  char error[512] = "";
  struct ingot_options o = {.size = sizeof o,
                            .threads = r->threads,
                            .flags = INGOT_OWN_OUTPUTS,
                            .error = error,
                            .error_size = sizeof error};
  int code = ingot_ctx_create(r->m, &o, &r->c);
  return code ? fail(ingot_model_name(r->m), *error ? error : ingot_error_text(r->m, code)) : EXE_FINE;
}

int main(int argc, char **argv) {
  static Run r;
  r.m = ingot_exe_model, r.dir = ".";
  if (argc < 2 && ingot_input_count(r.m) > 0) return usage(&r, "no input given to", argv[0]);
  if (argc > 1 && strcmp(argv[1], "--help") == 0) return help(r.m);
  char **files = calloc((size_t)argc + 1, sizeof *files);
  if (!files) return fail("", "out of memory");
  int code = parse_options(&r, argv, files);
  if (!code) code = make_context(&r);
  for (int i = 0; files[i] && !code; i++) code = read_input(&r, files[i]);
  if (!code) code = compute(&r);
  if (!code) code = write_outputs(&r);
  if (r.c) ingot_ctx_destroy(r.c);
  free(files);
  return code;
}
