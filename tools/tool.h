// tool.h: what the commands of `ingot` share: set-up, common options, the way from a file to a module.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOL_H
#define INGOT_TOOL_H

#include <argp.h>

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "ir/ir.h"
#include "passes/passes.h"

// Exit codes (docs/cli.md).
enum { EXIT_FINE = 0, EXIT_INPUT = 1, EXIT_USAGE = 2, EXIT_BUG = 70 };

// One invocation of a command.
typedef struct Tool {
  Arena *arena;
  Diag *diag;
  Ctx *ctx;
  bool terminal; // stderr is a terminal: show progress
  bool colour;
  bool bug; // what went wrong is our fault, not the input's: exit code 70
} Tool;

// One row per command; main.c holds the table.
typedef struct Command {
  const char *name;
  int (*run)(Tool *t, int argc, char **argv); // returns the exit code
  const char *doc;                            // one line for `ingot --help`
} Command;

int cmd_compile(Tool *t, int argc, char **argv);
int cmd_run(Tool *t, int argc, char **argv);
int cmd_generate(Tool *t, int argc, char **argv);
int cmd_inspect(Tool *t, int argc, char **argv);
int cmd_opt(Tool *t, int argc, char **argv);
int cmd_verify(Tool *t, int argc, char **argv);
int cmd_tune(Tool *t, int argc, char **argv);
int cmd_bench(Tool *t, int argc, char **argv);
int cmd_ops(Tool *t, int argc, char **argv);
int cmd_explain(Tool *t, int argc, char **argv);
int cmd_report(Tool *t, int argc, char **argv);
int cmd_reduce(Tool *t, int argc, char **argv);
int cmd_diff(Tool *t, int argc, char **argv);

// ---- options.c: options that several commands take --------------------------------------------------------

typedef struct BuildArgs {
  Tool *tool;
  FrontendOptions frontend;
  PassOptions pass;
  CodegenOptions codegen;
  const char *target; // name, NULL: default
  const char *isas;   // --isa=: names of targets for one artefact, comma-separated; NULL: one
  const char *passes; // --passes=
  const char *stop_after;
  bool stop_at_level; // passes end with the last one that leaves a module at `level`
  Level level;
  Vec(const char *) dumps; // --dump=, in order
  const char *dump_dir;    // "-": standard error
  const char *dump_kernel; // this one only; NULL: everything
  bool remarks;            // print them
  bool dump_diff;          // the change, not the whole
  bool verify_each, time_passes;
  const char *weights;          // --weights=; NULL: as they are
  Vec(const char *) specialize; // "T=1,128" or "B=1:T=1,128"; none: what the model says
  bool is_special;              // the form at hand is one of those
  bool verbose;
  bool quiet;          // not even what --weights tells without it
  const char *depfile; // --depfile=: gets the names of all files that were read; NULL: none
  const char *tune;    // --tune=: file of the database that pass.tuning is read from
  uint64_t tune_hash;  // of its content
} BuildArgs;

// argp child for the options above; its input is a BuildArgs made by build_args.
extern const struct argp build_argp;
BuildArgs build_args(Tool *t);
// The options that shape the result, in one canonical spelling: part of the self-description.
char *build_options_text(const BuildArgs *a);
// Parses argv with `argp`; false (with *code set) if the command is to end here.
bool tool_parse(Tool *t, const struct argp *argp, int argc, char **argv, void *input, int *code);
char *tool_printf(Tool *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
// The end of a command's parser: takes the one file that it works on, a "library" or whatever it is called.
error_t file_option(int key, char *arg, struct argp_state *state, const char **file, const char *what);
double number_option(const char *text, double min, double max, struct argp_state *state, const char *what);

// ---- driver.c: file -> module -> passes ------------------------------------------------------------------

// Loads any model file and binds the target. NULL after reporting.
Module *driver_load(BuildArgs *a, const char *path);
// Runs the passes with dumps, checks, timing and progress as the options say.
bool driver_passes(BuildArgs *a, Module *m);
// The same, and calls `watch` after every pass.
typedef bool (*PassWatch)(void *data, Module *m, const Pass *p, double seconds, bool changed);
bool driver_passes_with(BuildArgs *a, Module *m, PassWatch watch, void *data);
// Generates code and writes the artefact at `out`.
bool driver_emit(BuildArgs *a, const Form *forms, int n, const char *out);
// Load, passes, emit.
bool driver_compile(BuildArgs *a, const char *path, const char *out);
const char *meta_get(const Module *m, const char *key); // NULL: the module has no such entry
// specialize.c: compiles the forms for certain extents that the options or the model ask for.
bool special_forms(BuildArgs *a, const char *path, Form *form);
// What these forms are and the options that compile each by itself.
typedef struct SpecialBuild {
  const char *name; // "B=1, T=128"
  BuildArgs args;
} SpecialBuild;
bool special_builds(BuildArgs *a, Module *m, SpecialBuild **out, int *n);
// Writes the module as text, large constants into the folder PATH.weights; NULL or "-": all to standard output.
bool driver_write_ir(Tool *t, const Module *m, const char *path);
bool driver_make_folder(Tool *t, const char *path); // it may be there already
// What a file name's suffix asks for: ".so", ".o", ".a", ".ll", ".bc", ".s". false for any other.
bool emit_from_suffix(const char *path, EmitKind *kind);
void print_passes(FILE *out);

// ---- tensors.c: inputs and outputs on the command line -----------------------------------------------------

// "NAME=FILE" split in two; false if there is no '='.
bool split_assign(Tool *t, const char *arg, const char **name, const char **value);

// How images become tensors (docs/cli.md): resized to the input's height and width, channels from its
// shape, then (value * scale - mean[c]) / std[c]. Integer inputs get the plain 0..255 values.
typedef struct ImagePrep {
  double scale;
  double mean[4], std[4];
  bool bgr;
} ImagePrep;
ImagePrep image_prep_default(void);
bool image_prep_parse(Tool *t, const char *text,
                      ImagePrep *p); // "scale=1/255,mean=0.485:0.456:0.406,std=..."
// Reads .npy, .npz (the entry `name`), .png/.jpg/.jpeg/.bmp, any other file as raw bytes, or makes
// "random[:SEED]", "zeros", "ones". `want` is the input's type. Where it is symbolic, arrays have the extents
// they have, raw bytes fill one open extent, images are one of a batch and keep their own size, and
// what is made has the bound's; random integers are below `limit` (0: any).
const Tensor *tensor_load(Tool *t, const char *name, const char *source, const Type *want, int64_t limit,
                          const ImagePrep *prep);
bool tensor_save_npy(Tool *t, const Tensor *tensor, const char *path);

// ---- model.c: an artefact or a model file, opened for running -----------------------------------------------

struct ingot_model;
typedef struct Loaded {
  struct ingot_library *lib;
  const struct ingot_model *model;
  double load_ms;
} Loaded;
// Opens a .so, or compiles a model file into a temporary one first. Closed with the arena.
bool model_load(BuildArgs *a, const char *path, Loaded *out);
// The type of input or output i; symbolic extents have `n` = bound and a `sym` of their own.
Type model_type(Tool *t, const struct ingot_model *m, bool output, int i);
struct cJSON *model_json(const struct ingot_model *m); // NULL if it is damaged; to be deleted
const char *model_meta(Tool *t, const struct ingot_model *m,
                       const char *key); // of the metadata's "meta"; NULL

char *tool_temp_folder(Tool *t);                           // goes with the arena, with the files in it
bool is_library(Tool *t, const char *path, bool *library); // by content; false after reporting

double seconds_now(void); // monotonic

#endif
