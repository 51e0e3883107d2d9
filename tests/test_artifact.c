// test_artifact.c: what codegen_write leaves on disk: libraries that run, their headers, symbols, reproducible bytes,
// and nothing when something fails.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/codegen.h"
#include "passes/passes.h"
#include "runtime/ingot_abi.h"
#include "tests/folder.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static jmp_buf oom; // never set: running out of memory crashes the test

typedef struct Fix {
  Ctx *c;
  const char *dir;
  FILE *said;
  char *text;
  size_t size;
} Fix;

static void fix_make(Fix *f) {
  *f = (Fix){.dir = test_folder()};
  Arena *a = arena_new(&oom);
  f->said = open_memstream(&f->text, &f->size);
  f->c = ctx_new(a, diag_new(a, f->said, false));
}

static char *in_dir(Fix *f, const char *name) {
  return arena_printf(f->c->arena, "%s/%s", f->dir, name);
}

static const char *said(Fix *f) {
  fflush(f->said);
  return f->text;
}

static int files_in(const char *dir) {
  DIR *d = opendir(dir);
  int n = -2; // . and ..
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

static void fix_free(Fix *f) {
  arena_free(f->c->arena);
}

// ---- a small network ----------------------------------------------------------------------------------------------

static Value *weight(Ctx *c, Graph *g, const char *name, int64_t rows, int64_t columns, double by) {
  Type t = type_make(DT_F32, 2, (int64_t[]){rows, columns});
  Tensor *x = tensor_new(c, &t);
  for (int64_t i = 0; i < rows * columns; i++) tensor_set(x, i, by * ((double)(i * 7 % 23) - 11));
  return graph_const(g, name, x, NO_LOC);
}

// Two equal layers, so that their kernels are one; the input and a constant are outputs too.
static Module *network(Ctx *c) {
  Module *m = module_new(c, "net");
  Graph *g = m->main;
  Builder b = builder_at(g, NULL, NO_LOC);
  Value *x = graph_input(g, "x", type_make(DT_F32, 2, (int64_t[]){5, 32}), NO_LOC), *h = x;
  Value *w[] = {weight(c, g, "w0", 32, 32, 0.01), weight(c, g, "w1", 32, 32, -0.02)};
  for (int i = 0; i < 2; i++) {
    h = build(&b, "matmul", IN(h, w[i]), NO_ATTRS);
    h = build(&b, "relu", IN(h), NO_ATTRS);
  }
  graph_output(g, "y", h);
  graph_output(g, "same", x);
  graph_output(g, "w", w[1]);
  return m;
}

static bool lower(Module *m, int level) {
  PassOptions o = {.opt_level = level, .winograd = "off", .threads = 1};
  return passes_run(m, &o, NULL, NULL, NULL);
}

// In a context of its own, as a run of the compiler would.
static bool write_net(Fix *f, const char *path, CodegenOptions o) {
  Ctx *c = ctx_new(f->c->arena, f->c->diag);
  Module *m = network(c);
  o.opt_level = 2;
  return lower(m, 2) && codegen_write(m, &o, path);
}

static void fill(float *x, int n) {
  for (int i = 0; i < n; i++) x[i] = (float)(i % 17) * 0.25f - 2;
}

static void expect_net(Ctx *c, const float *x, const float *y) {
  Type t = type_make(DT_F32, 2, (int64_t[]){5, 32});
  const Tensor *in = tensor_view(c, &t, x);
  Tensor *out[3];
  cr_assert(eval_module(network(c), &in, out));
  for (int i = 0; i < 5 * 32; i++)
    cr_assert_float_eq(y[i], tensor_get(out[0], i), 1e-4, "element %d: %g, not %g", i, (double)y[i],
                       tensor_get(out[0], i));
}

// ---- libraries ------------------------------------------------------------------------------------------------------

Test(artifact, library_runs_by_its_typed_function) {
  Fix f;
  fix_make(&f);
  char *path = in_dir(&f, "libnet.so");
  cr_assert(write_net(&f, path, (CodegenOptions){.emit = EMIT_SHARED}), "%s", said(&f));
  cr_expect_eq(files_in(f.dir), 2, "library and header, nothing else");
  void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  cr_assert(lib, "%s", dlerror());
  int (*run)(const float *, float *, float *, float *) =
      (int (*)(const float *, float *, float *, float *))(uintptr_t)dlsym(lib, "net_run");
  cr_assert(run);
  float x[160], y[160], same[160], w[1024];
  fill(x, 160);
  cr_assert_eq(run(x, y, same, w), 0);
  expect_net(f.c, x, y);
  cr_expect_eq(memcmp(x, same, sizeof x), 0);
  cr_expect_float_eq(w[1], -0.02f * -4, 1e-6);
  dlclose(lib);
  fix_free(&f);
}

Test(artifact, library_runs_by_contexts) {
  Fix f;
  fix_make(&f);
  char *path = in_dir(&f, "libnet.so"), err[200];
  cr_assert(write_net(&f, path, (CodegenOptions){.emit = EMIT_SHARED}), "%s", said(&f));
  ingot_library *lib;
  cr_assert_eq(ingot_library_open(path, &lib, err, sizeof err), INGOT_OK, "%s", err);
  const ingot_model *m = ingot_library_model(lib, "net");
  cr_assert(m);
  cr_expect_str_eq(ingot_input_info(m, 0)->name, "x");
  cr_expect_eq(ingot_output_count(m), 3);
  ingot_ctx *c;
  struct ingot_options o = {.size = sizeof o, .threads = 2};
  cr_assert_eq(ingot_ctx_create(m, &o, &c), INGOT_OK);
  float x[160], y[160], same[160], w[1024];
  fill(x, 160);
  cr_assert_eq(ingot_set_input(c, 0, x, INGOT_F32, 2, (int64_t[]){5, 32}, sizeof x), INGOT_OK);
  cr_expect_eq(ingot_set_input(c, 0, x, INGOT_F32, 2, (int64_t[]){4, 32}, sizeof x), INGOT_E_SHAPE);
  cr_assert_eq(ingot_set_input(c, 0, x, INGOT_F32, 2, (int64_t[]){5, 32}, sizeof x), INGOT_OK);
  float *outs[] = {y, same, w};
  for (int i = 0; i < 3; i++)
    cr_assert_eq(ingot_set_output(c, i, outs[i], (uint64_t)ingot_output_info(m, i)->bytes), INGOT_OK);
  cr_assert_eq(ingot_run(c), INGOT_OK, "%s", ingot_last_error(c));
  expect_net(f.c, x, y);
  ingot_ctx_destroy(c);
  ingot_library_close(lib);
  fix_free(&f);
}

Test(artifact, only_documented_symbols_are_exported) {
  Fix f;
  fix_make(&f);
  char *path = in_dir(&f, "net.so");
  cr_assert(write_net(&f, path, (CodegenOptions){.emit = EMIT_SHARED}), "%s", said(&f));
  void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  cr_assert(lib, "%s", dlerror());
  static const char *const there[] = {"ingot_artefact", "ingot_model_net", "net_run"};
  static const char *const hidden[] = {"ingot_run_simple", "ingot_runtime_api", "ingot_weights_net",
                                       "ingot_hash"};
  for (int i = 0; i < ARRAY_LEN(there); i++) cr_expect(dlsym(lib, there[i]), "%s", there[i]);
  // The test program has the runtime too: what is found must not be the library's.
  for (int i = 0; i < ARRAY_LEN(hidden); i++) {
    Dl_info info;
    void *p = dlsym(lib, hidden[i]);
    cr_expect(!p || (dladdr(p, &info) && !strstr(info.dli_fname, f.dir)), "%s", hidden[i]);
  }
  dlclose(lib);
  fix_free(&f);
}

// ---- what the description says ----------------------------------------------------------------------------------

static int count(const char *text, const char *word) {
  int n = 0;
  for (const char *s = text; (s = strstr(s, word)); s++) n++;
  return n;
}

Test(artifact, equal_kernels_and_constants_are_shared) {
  Fix f;
  fix_make(&f);
  char *path = in_dir(&f, "net.so");
  Module *m = network(f.c);
  Builder b = builder_at(m->main, NULL, NO_LOC);
  Value *again = weight(f.c, m->main, "w2", 32, 32, 0.01); // equal to w0
  graph_output(m->main, "z", build(&b, "matmul", IN(m->main->inputs.data[0], again), NO_ATTRS));
  CodegenOptions o = {.emit = EMIT_SHARED};
  cr_assert(lower(m, 0) && codegen_write(m, &o, path), "%s", said(&f));
  ingot_library *lib;
  char err[200];
  cr_assert_eq(ingot_library_open(path, &lib, err, sizeof err), INGOT_OK, "%s", err);
  const ingot_model *model = ingot_library_model(lib, NULL);
  const char *meta = ingot_model_metadata(model);
  cr_expect_eq(count(meta, "\"function\":\"k0_"), 3, "%s", meta);
  cr_expect_eq(count(meta, "\"function\":\"k1_"), 2, "%s", meta);
  cr_expect_eq(model->weights.bytes, 2 * 32 * 32 * 4);
  ingot_library_close(lib);
  fix_free(&f);
}

// ---- bytes ------------------------------------------------------------------------------------------------------

static void expect_same_files(Fix *f, const char *a, const char *b) {
  const uint8_t *x, *y;
  size_t n, k;
  cr_assert(file_map(f->c->arena, f->c->diag, NO_LOC, a, &x, &n));
  cr_assert(file_map(f->c->arena, f->c->diag, NO_LOC, b, &y, &k));
  cr_expect(n == k && memcmp(x, y, n) == 0, "%s and %s differ", a, b);
}

Test(artifact, bytes_do_not_depend_on_place_time_or_threads) {
  static const EmitKind kinds[] = {EMIT_SHARED,  EMIT_OBJECT,  EMIT_ARCHIVE,
                                   EMIT_LLVM_IR, EMIT_BITCODE, EMIT_ASM};
  Fix f;
  fix_make(&f);
  for (int i = 0; i < ARRAY_LEN(kinds); i++) {
    char *one = in_dir(&f, "one"), *dir = in_dir(&f, "sub"), *two = in_dir(&f, "sub/two");
    mkdir(dir, 0777);
    cr_assert(write_net(&f, one, (CodegenOptions){.emit = kinds[i], .jobs = 1}), "%s", said(&f));
    cr_assert(write_net(&f, two, (CodegenOptions){.emit = kinds[i], .jobs = 5}), "%s", said(&f));
    expect_same_files(&f, one, two);
  }
  fix_free(&f);
}

// ---- headers ----------------------------------------------------------------------------------------------------

static bool have(const char *program) {
  char command[100];
  snprintf(command, sizeof command, "command -v %s >/dev/null 2>&1", program);
  return system(command) == 0;
}

Test(artifact, header_suits_c_and_cpp) {
  Fix f;
  fix_make(&f);
  char *path = in_dir(&f, "libnet.so");
  cr_assert(write_net(&f, path, (CodegenOptions){.emit = EMIT_SHARED}), "%s", said(&f));
  static const char program[] =
      "#include \"net.h\"\n#include \"net.h\"\n"
      "int main(void) {\n  static float x[NET_X_SIZE], y[NET_Y_SIZE], same[NET_SAME_SIZE], w[NET_W_SIZE];\n"
      "  return NET_X_ALIGN == 4 && NET_WEIGHT_BYTES > 0 ? net_run(x, y, same, w) : 1;\n}\n";
  static const char *const compilers[] = {"cc -std=c99 -x c", "c++ -std=c++11 -x c++"};
  FILE *out = fopen(in_dir(&f, "main.txt"), "w");
  fputs(program, out);
  fclose(out);
  for (int i = 0; i < 2; i++) {
    if (!have(i ? "c++" : "cc")) continue;
    char *command = arena_printf(f.c->arena,
                                 "cd %s && %s -Wall -Wextra -pedantic -Werror main.txt -x none -o main -L. "
                                 "-lnet -Wl,-rpath,%s && ./main",
                                 f.dir, compilers[i], f.dir);
    cr_expect_eq(system(command), 0, "%s", compilers[i]);
  }
  fix_free(&f);
}

// Names that C cannot spell, keywords, names that differ in case only, text that would end a comment.
Test(artifact, header_copes_with_any_name) {
  Fix f;
  fix_make(&f);
  Module *m = module_new(f.c, "odd");
  static const char *const names[] = {"int", "7-up", "X", "x", "a*/b\\", ""};
  Type t = type_make(DT_F32, 0, NULL);
  for (int i = 0; i < ARRAY_LEN(names); i++) {
    Builder b = builder_at(m->main, NULL, NO_LOC);
    Value *v = graph_input(m->main, names[i], t, NO_LOC);
    graph_output(m->main, names[i], build(&b, "exp", IN(v), NO_ATTRS));
  }
  CodegenOptions o = {.emit = EMIT_SHARED};
  cr_assert(lower(m, 2) && codegen_write(m, &o, in_dir(&f, "odd.so")), "%s", said(&f));
  if (have("cc")) {
    char *command =
        arena_printf(f.c->arena, "cc -Wall -Wextra -pedantic -Werror -fsyntax-only -x c %s/odd.h", f.dir);
    cr_expect_eq(system(command), 0);
  }
  fix_free(&f);
}

// ---- failures -----------------------------------------------------------------------------------------------------

Test(artifact, a_failing_linker_leaves_nothing) {
  static const char *const linkers[] = {"false", "no-such-linker", "/dev/null"};
  for (int i = 0; i < ARRAY_LEN(linkers); i++) {
    Fix f;
    fix_make(&f);
    cr_expect_not(write_net(&f, in_dir(&f, "net.so"), (CodegenOptions){.linker = linkers[i]}));
    cr_expect(strstr(said(&f), linkers[i]), "%s", said(&f));
    cr_expect_eq(files_in(f.dir), 0);
    fix_free(&f);
  }
}

Test(artifact, a_missing_linker_is_explained) {
  Fix f;
  fix_make(&f);
  setenv("PATH", f.dir, 1);
  cr_expect_not(write_net(&f, in_dir(&f, "net.so"), (CodegenOptions){.emit = EMIT_SHARED}));
  cr_expect(strstr(said(&f), "no linker found"), "%s", said(&f));
  cr_expect_eq(files_in(f.dir), 0);
  setenv("PATH", "/usr/bin:/bin", 1);
  fix_free(&f);
}

// Constants are read-only data in a segment of their own, the file's last bytes.
static void expect_segment(const char *path, const ingot_model *m, const char *linker) {
  FILE *f = fopen(path, "r");
  ElfW(Ehdr) head;
  ElfW(Phdr) segment;
  int own = 0;
  cr_assert(f && fread(&head, sizeof head, 1, f) == 1 && fseek(f, 0, SEEK_END) == 0);
  uint64_t size = (uint64_t)ftell(f), bytes = (uint64_t)m->weights.bytes;
  for (int i = 0; i < head.e_phnum; i++) {
    cr_assert_eq(fseek(f, (long)(head.e_phoff + (size_t)i * head.e_phentsize), SEEK_SET), 0);
    cr_assert_eq(fread(&segment, sizeof segment, 1, f), 1);
    if (segment.p_type != PT_LOAD || segment.p_filesz != bytes) continue;
    own += segment.p_flags == PF_R && segment.p_memsz == bytes && segment.p_offset + bytes == size;
  }
  cr_expect_eq(own, 1, "%s", linker);
  fclose(f);
}

Test(artifact, every_linker_that_is_here_works) {
  static const char *const linkers[] = {"ld", "ld.lld", "ld.lld-19", "ld.gold", "cc", "clang"};
  for (int i = 0; i < ARRAY_LEN(linkers); i++) {
    if (!have(linkers[i])) continue;
    Fix f;
    fix_make(&f);
    char *path = in_dir(&f, "net.so"), err[200];
    cr_expect(write_net(&f, path, (CodegenOptions){.linker = linkers[i]}), "%s: %s", linkers[i], said(&f));
    ingot_library *lib;
    cr_assert_eq(ingot_library_open(path, &lib, err, sizeof err), INGOT_OK, "%s: %s", linkers[i], err);
    expect_segment(path, ingot_library_model(lib, "net"), linkers[i]);
    ingot_library_close(lib);
    fix_free(&f);
  }
}

// The segment that has that many bytes.
static ElfW(Phdr) find_segment(const char *path, uint64_t bytes) {
  FILE *f = fopen(path, "r");
  ElfW(Ehdr) head;
  ElfW(Phdr) s = {0};
  cr_assert(f && fread(&head, sizeof head, 1, f) == 1);
  cr_assert_eq(fseek(f, (long)head.e_phoff, SEEK_SET), 0);
  for (int i = 0; i < head.e_phnum && (s.p_type != PT_LOAD || s.p_filesz != bytes); i++)
    cr_assert_eq(fread(&s, sizeof s, 1, f), 1);
  fclose(f);
  return s;
}

// From 4 MiB on constants lie in the file as they do in memory, seen from the beginnings of huge pages.
Test(artifact, large_constants_may_be_mapped_by_huge_pages) {
  enum { N = 1100 };
  Fix f;
  fix_make(&f);
  char *path = in_dir(&f, "large.so"), err[200];
  Ctx *c = ctx_new(f.c->arena, f.c->diag);
  Module *m = module_new(c, "large");
  Builder b = builder_at(m->main, NULL, NO_LOC);
  Value *x = graph_input(m->main, "x", type_make(DT_F32, 2, (int64_t[]){1, N}), NO_LOC);
  graph_output(m->main, "y", build(&b, "add", IN(x, weight(c, m->main, "w", N, N, 1)), NO_ATTRS));
  CodegenOptions o = {.emit = EMIT_SHARED, .opt_level = 2};
  cr_assert(lower(m, 2) && codegen_write(m, &o, path), "%s", said(&f));
  ingot_library *lib;
  cr_assert_eq(ingot_library_open(path, &lib, err, sizeof err), INGOT_OK, "%s", err);
  const ingot_model *model = ingot_library_model(lib, "large");
  ElfW(Phdr) s = find_segment(path, (uint64_t)model->weights.bytes);
  cr_expect_eq(s.p_align, (uint64_t)2 << 20);
  cr_expect_eq(s.p_vaddr % s.p_align, s.p_offset % s.p_align);
  float *in = calloc(N, sizeof *in), *y = malloc(sizeof *y * N * N);
  int (*run)(const float *, float *) =
      (int (*)(const float *, float *))(uintptr_t)dlsym(dlopen(path, RTLD_NOW), "large_run");
  cr_assert(run && run(in, y) == 0);
  for (int i = 0; i < N * N; i++) cr_assert_eq(y[i], (float)(i * 7 % 23 - 11));
  free(in);
  free(y);
  ingot_library_close(lib);
  fix_free(&f);
}

// Threads write pieces of constants that have parts of huge pages in common.
Test(artifact, large_constants_come_together) {
  static const int size[][2] = {{900, 901}, {5, 5}, {600, 700}, {1300, 1400}, {3, 7}};
  float x = 0, *y[ARRAY_LEN(size)];
  for (int i = 0; i < ARRAY_LEN(size); i++) y[i] = malloc(sizeof(float) * size[i][0] * size[i][1]);
  for (int jobs = 1; jobs <= 3; jobs += 2) {
    Fix f;
    fix_make(&f);
    char *path = in_dir(&f, "together.so"), name[8];
    Module *m = module_new(f.c, "together");
    Builder b = builder_at(m->main, NULL, NO_LOC);
    Value *in = graph_input(m->main, "x", type_make(DT_F32, 2, (int64_t[]){1, 1}), NO_LOC);
    for (int i = 0; i < ARRAY_LEN(size); i++) {
      snprintf(name, sizeof name, "w%d", i);
      Value *w = weight(f.c, m->main, name, size[i][0], size[i][1], i + 1);
      name[0] = 'y';
      graph_output(m->main, arena_strdup(f.c->arena, name), build(&b, "add", IN(in, w), NO_ATTRS));
    }
    CodegenOptions o = {.emit = EMIT_SHARED, .opt_level = 2, .jobs = jobs};
    cr_assert(lower(m, 2) && codegen_write(m, &o, path), "%s", said(&f));
    int (*run)(const float *, float *, float *, float *, float *, float *) =
        (int (*)(const float *, float *, float *, float *, float *, float *))(uintptr_t)dlsym(
            dlopen(path, RTLD_NOW), "together_run");
    cr_assert(run && run(&x, y[0], y[1], y[2], y[3], y[4]) == 0);
    for (int i = 0; i < ARRAY_LEN(size); i++)
      for (int k = 0; k < size[i][0] * size[i][1]; k++)
        cr_assert_eq(y[i][k], (float)((k * 7 % 23 - 11) * (i + 1)), "%d jobs, constant %d, element %d", jobs,
                     i, k);
    fix_free(&f);
  }
  for (int i = 0; i < ARRAY_LEN(size); i++) free(y[i]);
}

// One that calls the section otherwise, so that there is no room to fill: the constants are linked as a whole.
Test(artifact, a_linker_that_lays_files_out_otherwise_works) {
  if (!have("ld") || !have("objcopy")) cr_skip("no binutils");
  Fix f;
  fix_make(&f);
  char *linker = in_dir(&f, "ld.sh"), *path = in_dir(&f, "net.so"), *object = in_dir(&f, "net.o");
  FILE *script = fopen(linker, "w");
  fputs("#!/bin/sh\nld \"$@\" || exit 1\n"
        "for o; do [ \"$last\" != -o ] || objcopy --rename-section .ingot.constants=.other "
        "--rename-section .rodata.ingot=.other \"$o\"; last=$o; done\n",
        script);
  fclose(script);
  cr_assert_eq(chmod(linker, 0755), 0);
  cr_assert(write_net(&f, path, (CodegenOptions){.linker = linker}), "%s", said(&f));
  void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  cr_assert(lib, "%s", dlerror());
  int (*run)(const float *, float *, float *, float *) =
      (int (*)(const float *, float *, float *, float *))(uintptr_t)dlsym(lib, "net_run");
  float x[160], y[160], same[160], w[1024];
  fill(x, 160);
  cr_assert_eq(run(x, y, same, w), 0);
  expect_net(f.c, x, y);
  dlclose(lib);
  cr_expect(write_net(&f, object, (CodegenOptions){.linker = linker, .emit = EMIT_OBJECT}), "%s", said(&f));
  cr_expect_eq(files_in(f.dir), 4, "the script, two artefacts and their header");
  fix_free(&f);
}

// ---- folding --------------------------------------------------------------------------------------------------------

static bool lower_plain(void *data, Module *m) {
  (void)data;
  return lower(m, 0);
}

Test(artifact, constants_are_folded_by_compiled_code) {
  Fix f;
  fix_make(&f);
  Module *m = module_new(f.c, "fold");
  Builder b = builder_at(m->main, NULL, NO_LOC);
  Value *w = weight(f.c, m->main, "w", 40, 50, 0.1);
  Value *v = build(&b, "exp", IN(w), NO_ATTRS);
  Value *sum = build(&b, "add", IN(v, w), NO_ATTRS);
  CodegenOptions o = {.opt_level = 2};
  JitEval e = {.options = &o, .lower = lower_plain};
  const Tensor *out[2];
  cr_assert(jit_eval_values(&e, m, (Value *[]){sum, v}, 2, out), "%s", said(&f));
  for (int64_t i = 0; i < 2000; i++) {
    double x = tensor_get(w->data, i);
    cr_assert_float_eq(tensor_get(out[0], i), exp(x) + x, 1e-5);
    cr_assert_float_eq(tensor_get(out[1], i), exp(x), 1e-5);
  }
  fix_free(&f);
}

// ---- promises -------------------------------------------------------------------------------------------------------

#ifndef __SANITIZE_ADDRESS__ // whose own frames and system calls are not ours
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

typedef struct Opened {
  ingot_library *lib;
  ingot_ctx *c;
  float x[160], y[160], same[160], w[1024];
} Opened;

static void open_net(const char *path, Opened *o) {
  char err[200];
  cr_assert_eq(ingot_library_open(path, &o->lib, err, sizeof err), INGOT_OK, "%s", err);
  cr_assert_eq(ingot_ctx_create(ingot_library_model(o->lib, NULL), NULL, &o->c), INGOT_OK);
  fill(o->x, 160);
  cr_assert_eq(ingot_set_input(o->c, 0, o->x, INGOT_F32, 2, (int64_t[]){5, 32}, sizeof o->x), INGOT_OK);
  cr_assert_eq(ingot_set_output(o->c, 0, o->y, sizeof o->y), INGOT_OK);
  cr_assert_eq(ingot_set_output(o->c, 1, o->same, sizeof o->same), INGOT_OK);
  cr_assert_eq(ingot_set_output(o->c, 2, o->w, sizeof o->w), INGOT_OK);
}

static void *run_once(void *arg) {
  return ingot_run(((Opened *)arg)->c) == INGOT_OK ? arg : NULL;
}

// A thread's stack is filled with a pattern beforehand; how much of it is gone tells what the run took, with what
// libc needs to start a thread.
Test(artifact, a_run_keeps_its_stack_bound) {
  enum { STACK = 256 << 10, PATTERN = 0xa5 };
  Fix f;
  fix_make(&f);
  char *path = in_dir(&f, "libnet.so");
  cr_assert(write_net(&f, path, (CodegenOptions){.emit = EMIT_SHARED, .real_time = true}), "%s", said(&f));
  static Opened o;
  open_net(path, &o);
  unsigned char *stack = aligned_alloc(4096, STACK);
  cr_assert(stack);
  memset(stack, PATTERN, STACK);
  pthread_attr_t attr;
  pthread_t thread;
  void *ok;
  pthread_attr_init(&attr);
  pthread_attr_setstack(&attr, stack, STACK);
  cr_assert_eq(pthread_create(&thread, &attr, run_once, &o), 0);
  pthread_join(thread, &ok);
  cr_assert(ok);
  int64_t left = 0, bound = ingot_library_model(o.lib, NULL)->stack_bytes;
  while (stack[left] == PATTERN) left++;
  cr_expect_gt(bound, 0);
  cr_expect_leq(STACK - left, bound, "%lld of %lld", (long long)(STACK - left), (long long)bound);
  fix_free(&f);
}

// After this only read, write and exit are allowed: anything else kills.
static void run_without_system(Opened *o, int to) {
  char done = 1;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) done = 2;
  for (int i = 0; i < 100 && done == 1; i++) {
    o->x[i] += 1;
    if (ingot_run(o->c)) done = 3;
  }
  if (write(to, &done, 1) != 1) done = 0;
  syscall(SYS_exit, 0);
}

Test(artifact, a_real_time_run_makes_no_system_call) {
  Fix f;
  fix_make(&f);
  char *path = in_dir(&f, "libnet.so"), done = 0;
  int to[2], status;
  cr_assert(write_net(&f, path, (CodegenOptions){.emit = EMIT_SHARED, .real_time = true}), "%s", said(&f));
  static Opened o;
  open_net(path, &o);
  struct ingot_options two = {.size = sizeof two, .threads = 2};
  ingot_ctx *c;
  cr_expect_eq(ingot_ctx_create(ingot_library_model(o.lib, NULL), &two, &c), INGOT_E_ARGUMENT);
  cr_assert_eq(pipe(to), 0);
  pid_t pid = fork();
  if (pid == 0) run_without_system(&o, to[1]);
  cr_assert_eq(waitpid(pid, &status, 0), pid);
  close(to[1]);
  cr_assert_eq(read(to[0], &done, 1), 1, "killed by signal %d", WTERMSIG(status));
  cr_expect_eq(done, 1);
  fix_free(&f);
}

// How many pages a context's first run has to wait for.
static long faults_of_first_run(const char *path, uint32_t flags) {
  static float x[64 * 1024], y[64 * 1024];
  char err[200];
  ingot_library *lib;
  ingot_ctx *c;
  struct rusage before, after;
  struct ingot_options o = {.size = sizeof o, .threads = 1, .flags = flags};
  memset(x, 1, sizeof x), memset(y, 1, sizeof y);
  cr_assert_eq(ingot_library_open(path, &lib, err, sizeof err), INGOT_OK, "%s", err);
  cr_assert_eq(ingot_ctx_create(ingot_library_model(lib, NULL), &o, &c), INGOT_OK);
  cr_assert_eq(ingot_set_input(c, 0, x, INGOT_F32, 2, (int64_t[]){64, 1024}, sizeof x), INGOT_OK);
  cr_assert_eq(ingot_set_output(c, 0, y, sizeof y), INGOT_OK);
  getrusage(RUSAGE_THREAD, &before);
  cr_assert_eq(ingot_run(c), INGOT_OK, "%s", ingot_last_error(c));
  getrusage(RUSAGE_THREAD, &after);
  ingot_ctx_destroy(c);
  ingot_library_close(lib);
  return after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt;
}

Test(artifact, a_warm_context_has_its_memory) {
  Fix f;
  fix_make(&f);
  char *path = in_dir(&f, "libwide.so");
  Module *m = module_new(f.c, "wide");
  Builder b = builder_at(m->main, NULL, NO_LOC);
  Value *h = graph_input(m->main, "x", type_make(DT_F32, 2, (int64_t[]){64, 1024}), NO_LOC);
  for (int i = 0; i < 2; i++)
    h = build(&b, "matmul", IN(h, weight(f.c, m->main, i ? "w1" : "w0", 1024, 1024, 1e-5 * (i + 1))),
              NO_ATTRS);
  graph_output(m->main, "y", h);
  CodegenOptions o = {.emit = EMIT_SHARED, .weights_beside = true};
  cr_assert(lower(m, 2) && codegen_write(m, &o, path), "%s", said(&f));
  long cold = faults_of_first_run(path, 0), warm = faults_of_first_run(path, INGOT_WARM);
  cr_expect_leq(warm, 12, "%ld pages: code and stack alone", warm);
  cr_expect_gt(cold, warm, "%ld pages, warm %ld", cold, warm);
  fix_free(&f);
}
#endif

Test(artifact, limits_are_kept_and_explained) {
  Fix f;
  fix_make(&f);
  char *path = in_dir(&f, "libnet.so");
  cr_expect_not(write_net(&f, path, (CodegenOptions){.emit = EMIT_SHARED, .max_arena = 10}));
  cr_expect(strstr(said(&f), "working memory:") && strstr(said(&f), "takes 640 bytes"), "%s", said(&f));
  cr_expect_eq(files_in(f.dir), 0);
  fix_free(&f);
  fix_make(&f);
  path = in_dir(&f, "libnet.so");
  cr_expect_not(write_net(&f, path, (CodegenOptions){.emit = EMIT_SHARED, .max_stack = 100}));
  cr_expect(strstr(said(&f), "stack:"), "%s", said(&f));
  cr_expect_eq(files_in(f.dir), 0);
  fix_free(&f);
  fix_make(&f);
  path = in_dir(&f, "libnet.so");
  cr_expect_not(write_net(&f, path, (CodegenOptions){.emit = EMIT_SHARED, .max_size = 1000}));
  cr_expect(strstr(said(&f), "the artefact:") && strstr(said(&f), "--weights-file"), "%s", said(&f));
  cr_expect_eq(files_in(f.dir), 0);
  fix_free(&f);
}
