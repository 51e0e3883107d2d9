// codegen.h: from a module at loops level to machine code, artefacts and headers.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_CODEGEN_H
#define INGOT_CODEGEN_H

#include "ir/ir.h"

typedef enum EmitKind {
  EMIT_SHARED,
  EMIT_OBJECT,
  EMIT_ARCHIVE,
  EMIT_EXECUTABLE,
  EMIT_LLVM_IR,
  EMIT_BITCODE,
  EMIT_ASM
} EmitKind;

typedef struct CodegenOptions {
  EmitKind emit;
  int jobs;                 // threads of the compiler; 0: as many as cores. The output does not depend on it
  int opt_level;            // as PassOptions
  bool fp_strict;           // products and sums are rounded one by one, as PassOptions
  bool check;               // code that verifies every index, and steps that look for NaN that are born
  bool debug_info;          // DWARF that points into the loop dump; no two kernels share code
  bool instrument;          // steps count their time (struct ingot_probe)
  const char *dump_path;    // of that dump (module_print_numbered), absolute; NULL: no DWARF
  const char *header_path;  // NULL: beside the output, NAME.h
  const char *source_path;  // of the model, for the self-description
  const char *options_text; // command line options, for the self-description
  const char *linker;       // NULL: ld, ld.lld, cc in this order
  int64_t max_arena, max_stack, max_size; // bytes; more is an error. 0: no limit
  bool real_time;                         // a run neither allocates nor waits nor calls the system
  bool freestanding;                      // an object that needs no libc, no threads and no heap
  bool weights_beside;                    // constants in a file of their own
  const char *weights_file;               // its plain name; NULL: after the output
} CodegenOptions;

// The same model with some symbols fixed: code for extents that are met often. The module has no such symbols.
typedef struct SpecialForm {
  Module *module;
  int n;
  const char *sym[8];
  int64_t value[8];
} SpecialForm;

// A model for one processor: code for all extents, and for certain ones, of which the first that fits is taken.
typedef struct Form {
  Module *module;
  const SpecialForm *special;
  int n_special;
} Form;

// Compiles the module and writes the artefact (and its header) at `path`. Reports and returns false on any
// failure; nothing partial is left behind.
bool codegen_write(Module *m, const CodegenOptions *o, const char *path);
// Several forms of one model in one artefact, compiled for different processors of one architecture: the best that
// runs is chosen when it is used. Best first.
bool codegen_write_forms(const Form *forms, int n, const CodegenOptions *o, const char *path);

// Bytes that the executor takes in a library for t, about. 0: this compiler has none.
size_t codegen_executor_bytes(const Target *t);

// In-process compilation (ORC): for constant folding, verify, tests and tuning.
typedef struct Jit Jit;
Jit *jit_compile(Module *m, const CodegenOptions *o); // NULL after reporting; freed with the arena
// Runs the compiled module; in/out as eval_module (out tensors are allocated). threads >= 1.
bool jit_run(Jit *j, const Tensor *const *in, Tensor **out, int threads);
void jit_close(Jit *j); // frees code and constants now rather than with the arena
// What PassOptions.compiled_eval wants; data is a JitEval.
typedef struct JitEval {
  const CodegenOptions *options;
  bool (*lower)(void *lower_data,
                Module *m); // takes a module from graph to loops level: the pass driver's part
  void *lower_data;
} JitEval;
bool jit_eval_values(void *data, Module *m, Value *const *want, int n, const Tensor **out);

#endif
