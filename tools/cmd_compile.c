// cmd_compile.c: `ingot compile FILE -o LIB`.
// SPDX-License-Identifier: Apache-2.0
#include "tools/dry_run.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>

enum {
  OPT_EMIT = 512,
  OPT_HEADER,
  OPT_DEPFILE,
  OPT_DRY_RUN,
  OPT_FREESTANDING,
  OPT_WEIGHTS_FILE,
  OPT_MAX_ARENA,
  OPT_MAX_STACK,
  OPT_MAX_SIZE,
  OPT_REAL_TIME
};

typedef struct CompileArgs {
  BuildArgs build; // first: the child parser's input
  const char *file, *out;
  bool emit_given, dry_run;
} CompileArgs;

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0,
     "the artefact (default: libNAME.so in the current folder, or .o, .a, .ll, .bc, .s)", 0},
    {"emit", OPT_EMIT, "KIND", 0,
     "so, obj, archive, exe, llvm, bc, asm, or graph, kernels, loops: IR text (default: by FILE's suffix, "
     "else so)",
     0},
    {"freestanding", OPT_FREESTANDING, NULL, 0, "an object that needs no libc, no threads and no heap", 0},
    {"weights-file", OPT_WEIGHTS_FILE, "NAME", OPTION_ARG_OPTIONAL,
     "constants in a file beside the artefact, which is mapped when it is used", 0},
    {"max-arena", OPT_MAX_ARENA, "BYTES", 0, "fail if working memory takes more (K, M, G may follow)", 0},
    {"max-stack", OPT_MAX_STACK, "BYTES", 0, "fail if a run may need more stack", 0},
    {"max-size", OPT_MAX_SIZE, "BYTES", 0, "fail if the artefact is larger", 0},
    {"real-time", OPT_REAL_TIME, NULL, 0,
     "a run allocates nothing, waits for nothing, calls the system for nothing", 0},
    {"dry-run", OPT_DRY_RUN, NULL, 0,
     "tell what would come of it: kernels, memory, size, time; write nothing", 0},
    {"header", OPT_HEADER, "FILE", 0, "the C header (default: beside the artefact, libX.so has X.h)", 0},
    {"depfile", OPT_DEPFILE, "FILE", 0, "write which files were read, as a rule for make and ninja", 0},
    {0},
};

static const struct {
  const char *name, *suffix;
  EmitKind kind;
} emit_kinds[] = {
    {"so", ".so", EMIT_SHARED},   {"obj", ".o", EMIT_OBJECT},   {"archive", ".a", EMIT_ARCHIVE},
    {"so", ".wasm", EMIT_SHARED}, {"exe", "", EMIT_EXECUTABLE}, {"llvm", ".ll", EMIT_LLVM_IR},
    {"bc", ".bc", EMIT_BITCODE},  {"asm", ".s", EMIT_ASM},
};

// Kinds that are IR text: how far passes go.
static const char *const emit_levels[] = {"graph", "kernels", "loops"};

bool emit_from_suffix(const char *path, EmitKind *kind) {
  const char *dot = strrchr(path, '.');
  for (int i = 0; dot && i < ARRAY_LEN(emit_kinds); i++) {
    if (strcmp(emit_kinds[i].suffix, dot) != 0) continue;
    *kind = emit_kinds[i].kind;
    return true;
  }
  return false;
}

static void set_emit(CompileArgs *a, const char *name, struct argp_state *state) {
  a->emit_given = true;
  a->build.stop_at_level = false;
  for (int i = 0; i < ARRAY_LEN(emit_levels); i++) {
    if (strcmp(emit_levels[i], name) != 0) continue;
    a->build.stop_at_level = true;
    a->build.level = (Level)i;
    return;
  }
  for (int i = 0; i < ARRAY_LEN(emit_kinds); i++) {
    if (strcmp(emit_kinds[i].name, name) != 0) continue;
    a->build.codegen.emit = emit_kinds[i].kind;
    return;
  }
  argp_error(state, "--emit is so, obj, archive, exe, llvm, bc, asm, graph, kernels or loops, not '%s'",
             name);
}

static void weights_option(CompileArgs *a, const char *name, struct argp_state *state) {
  if (name && (strchr(name, '/') || !*name || *name == '.'))
    argp_error(state, "--weights-file wants a plain file name, not '%s': the file lies beside the artefact",
               name);
  a->build.codegen.weights_beside = true;
  a->build.codegen.weights_file = name;
}

// A number of bytes, with K, M or G for powers of 1024.
static error_t bytes_option(const char *text, int64_t *to, struct argp_state *state) {
  static const char units[] = "KMG";
  char *end;
  errno = 0;
  long long n = strtoll(text, &end, 10);
  const char *unit = *end ? strchr(units, *end) : NULL;
  int shift = unit ? 10 * (int)(unit - units + 1) : 0;
  bool ok = end != text && !errno && n > 0 && !end[unit != NULL] && n <= INT64_MAX >> shift;
  if (!ok) argp_error(state, "a limit is a number of bytes, like 4096 or 64K, not '%s'", text);
  *to = ok ? n << shift : 0;
  return 0;
}

static error_t parse(int key, char *arg, struct argp_state *state) {
  CompileArgs *a = state->input;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &a->build; return 0;
  case 'o': a->out = arg; return 0;
  case OPT_DRY_RUN: a->dry_run = true; return 0;
  case OPT_EMIT: set_emit(a, arg, state); return 0;
  case OPT_DEPFILE: a->build.depfile = arg; return 0;
  case OPT_HEADER: a->build.codegen.header_path = arg; return 0;
  case OPT_FREESTANDING: a->build.codegen.freestanding = true; return 0;
  case OPT_MAX_ARENA: return bytes_option(arg, &a->build.codegen.max_arena, state);
  case OPT_MAX_STACK: return bytes_option(arg, &a->build.codegen.max_stack, state);
  case OPT_MAX_SIZE: return bytes_option(arg, &a->build.codegen.max_size, state);
  case OPT_REAL_TIME: a->build.codegen.real_time = true; return 0;
  case OPT_WEIGHTS_FILE: weights_option(a, arg, state); return 0;
  default: return file_option(key, arg, state, &a->file, "model file");
  }
}

// libNAME.so and so on, NAME from the option or the model file's name.
static const char *default_output(Tool *t, const CompileArgs *a) {
  const char *suffix = ".so";
  for (int i = 0; i < ARRAY_LEN(emit_kinds); i++)
    if (emit_kinds[i].kind == a->build.codegen.emit && strcmp(emit_kinds[i].suffix, ".wasm") != 0)
      suffix = emit_kinds[i].suffix;
  bool library = a->build.codegen.emit == EMIT_SHARED || a->build.codegen.emit == EMIT_ARCHIVE;
  char *base = basename(arena_strdup(t->arena, a->file));
  char *dot = strrchr(base, '.');
  if (dot && dot != base) *dot = '\0';
  return tool_printf(t, "%s%s%s", library ? "lib" : "",
                     a->build.frontend.name ? a->build.frontend.name : base, suffix);
}

// As IR text: to standard output if no file is named.
static bool emit_text(Tool *t, CompileArgs *a) {
  Module *m = driver_load(&a->build, a->file);
  return m && driver_passes(&a->build, m) && driver_write_ir(t, m, a->out);
}

int cmd_compile(Tool *t, int argc, char **argv) {
  static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
  static const struct argp argp = {
      options,  parse,
      "FILE",   "Compile a model (YAML, ONNX or IR text) ahead of time to a library that needs libc only.",
      children, NULL,
      NULL};
  CompileArgs a = {.build = build_args(t)};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &a, &code)) return code;
  if (a.dry_run) return dry_run(&a.build, a.file) ? EXIT_FINE : EXIT_INPUT;
  if (a.build.stop_at_level) return emit_text(t, &a) ? EXIT_FINE : EXIT_INPUT;
  if (a.out && strcmp(a.out, "-") == 0) {
    diag_error(t->diag, NO_LOC,
               "'-o -' goes with IR text (--emit=graph, kernels or loops): artefacts have files beside them, "
               "which need a name; '-o ./-' names a file '-'");
    return EXIT_USAGE;
  }
  if (!a.out)
    a.out = default_output(t, &a);
  else if (!a.emit_given)
    emit_from_suffix(a.out, &a.build.codegen.emit);
  return driver_compile(&a.build, a.file, a.out) ? EXIT_FINE : EXIT_INPUT;
}
