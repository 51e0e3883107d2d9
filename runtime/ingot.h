// ingot.h: the public C interface of compiled models: types, error codes, contexts, running, loading.
// SPDX-License-Identifier: Apache-2.0
//
// A compiled model (an "artefact") is a library that needs libc only. It carries its own executor, so this
// header is all a program needs: every function below is a small inline wrapper over the table of functions
// inside the artefact, and programs built against an older header keep working with newer artefacts and the
// other way round. Only ingot_library_open/close, for programs that choose a model at run time, live in the
// loader library (libingot_runtime).
//
//   const ingot_model *m = &ingot_model_resnet50;           // linked in, or ingot_library_model(lib, NULL)
//   ingot_ctx *c;
//   if (ingot_ctx_create(m, NULL, &c)) ...
//   ingot_set_input(c, 0, image, INGOT_F32, 4, (int64_t[]){1, 3, 224, 224}, sizeof image);
//   ingot_set_output(c, 0, scores, sizeof scores);
//   if (ingot_run(c)) fprintf(stderr, "%s\n", ingot_last_error(c));
//   ingot_ctx_destroy(c);
//
// Threads: a model is read-only and may be used by any number of contexts in any number of threads. A context
// belongs to one thread at a time; use by two at once is detected and refused with INGOT_E_BUSY.
#ifndef INGOT_H
#define INGOT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The inline wrappers become real functions where one file defines this otherwise (see api.c).
#ifndef INGOT_API
#define INGOT_API static inline
#endif

// ---- types of the description ------------------------------------------------------------------------

// Element types. The numbers are part of the ABI and never change.
enum ingot_dtype {
  INGOT_NO_DTYPE = 0,
  INGOT_BOOL = 1, // one byte, 0 or 1
  INGOT_I8 = 2,
  INGOT_U8 = 3,
  INGOT_I16 = 4,
  INGOT_U16 = 5,
  INGOT_I32 = 6,
  INGOT_U32 = 7,
  INGOT_I64 = 8,
  INGOT_U64 = 9,
  INGOT_F16 = 10, // IEEE binary16
  INGOT_BF16 = 11,
  INGOT_F32 = 12,
  INGOT_F64 = 13,
  INGOT_DTYPE_END
};

enum {
  INGOT_MAX_RANK = 16,
  INGOT_CTX_ALIGN = 128 // of options.memory
};

// An extent: a constant (sym < 0, value n), or the value of symbol `sym`, which never exceeds n.
struct ingot_dim {
  int64_t n;
  int32_t sym;
  int32_t reserved; // 0
};

// A tensor, row-major (C order) and dense. `bytes` is the size at the symbols' bounds.
struct ingot_tensor_info {
  const char *name;
  const char *doc; // NULL or a text for people
  const struct ingot_dim *dims;
  int32_t dtype; // enum ingot_dtype
  int32_t rank;
  int64_t bytes;
  int32_t align; // the address must be a multiple of this; a power of two
  int32_t
      limit; // of an input of integers: a run is refused unless all of them lie in 0 .. limit - 1; 0: any will do
};

// Where the value of a symbol comes from.
enum ingot_symbol_kind {
  INGOT_SYM_INPUT = 0,   // an input's extent: extent = mul * value + add
  INGOT_SYM_DERIVED = 1, // computed from others by the model's `shapes` function
  INGOT_SYM_STEP = 2,    // found during the run (data-dependent); holds its bound until then
  // Kept by the context between runs: starts at min, set by ingot_set_symbol or by a step.
  INGOT_SYM_CALLER = 3,
  // The extent of a state that grows. Kept as CALLER is; after a run that has ended well it is the value of
  // symbol `input`, which is checked before the run starts. ingot_set_symbol can take it back, not forward.
  INGOT_SYM_STATE = 4
};

struct ingot_symbol {
  const char *name;
  int64_t min, bound; // min <= value <= bound, checked
  int32_t kind;       // enum ingot_symbol_kind
  int32_t input, dim; // INPUT: input number and dimension. STATE: number of the symbol that it becomes
  int32_t reserved;   // 0
  int64_t mul, add;   // INPUT: mul > 0
};

// Error codes. Zero is success; the numbers never change.
enum ingot_error {
  INGOT_OK = 0,
  INGOT_E_ARGUMENT = 1, // a NULL pointer, an index out of range, an unknown name
  INGOT_E_SHAPE = 2,    // wrong rank or extent, or a symbol out of its range
  INGOT_E_DTYPE = 3,
  INGOT_E_BYTES = 4, // buffer too small
  INGOT_E_ALIGN = 5, // address not aligned as the description says
  INGOT_E_UNSET = 6, // an input or output was not set before the run
  INGOT_E_BUSY = 7,  // context in use by another thread
  INGOT_E_MEMORY = 8,
  INGOT_E_THREADS = 9,  // worker threads could not be started
  INGOT_E_DATA = 10,    // the data of an input leads outside what the model allows
  INGOT_E_FILE = 11,    // a file cannot be opened or read
  INGOT_E_FORMAT = 12,  // not an artefact, truncated or damaged
  INGOT_E_ARCH = 13,    // an artefact for another architecture
  INGOT_E_CPU = 14,     // this processor lacks an instruction set that the artefact needs
  INGOT_E_ABI = 15,     // an artefact of an ABI that this loader does not know
  INGOT_E_WEIGHTS = 16, // the weights file is missing or belongs to another build
  INGOT_E_INDEX = 17,   // compiled with --check: an index lies outside its buffer
  INGOT_E_NAN = 18      // compiled with --check: a step makes a NaN of operands that have none
};

typedef struct ingot_model ingot_model;     // described in ingot_abi.h
typedef struct ingot_ctx ingot_ctx;         // one instance: memory, threads, bound inputs and outputs
typedef struct ingot_library ingot_library; // an artefact opened at run time

// Runs fn(arg, 0) ... fn(arg, n - 1), in any order and on any threads, and returns when all are done. Calls
// must be able to run one after the other on one thread.
typedef void (*ingot_parallel_for)(void *user, int32_t n, void (*fn)(void *arg, int32_t i), void *arg);

// Called before (`begin` = 1) and after each step, on the thread that called ingot_run. Must not call
// functions of the same context but ingot_step_arg.
typedef void (*ingot_step_hook)(void *user, ingot_ctx *ctx, int32_t step, int32_t begin);

enum ingot_option_flags {
  INGOT_OWN_OUTPUTS = 1,    // the context has room for the outputs; ingot_output_data tells where
  INGOT_PIN_THREADS = 2,    // each worker stays on one processor of the creating thread's set
  INGOT_NO_SPIN = 4,        // idle workers sleep at once (for shared machines and batteries)
  INGOT_VERIFY_WEIGHTS = 8, // hash the whole weights file, not only its header
  INGOT_NO_HUGE_PAGES = 16,
  INGOT_WARM = 32, // bring in memory, the state by huge pages, and weights at creation
  // A copy of the weights in the context's memory, by huge pages: faster to read, if they are larger than the caches, but
  // this context's alone. What the copy is made from is shared as ever, and need not be there after creation.
  INGOT_OWN_WEIGHTS = 64
};

// All zero is a good default. Set `size` to sizeof(struct ingot_options).
struct ingot_options {
  uint64_t size;
  int32_t threads; // threads that compute, the caller's included; 0: one per processor of the caller's set
  uint32_t flags;
  void *arena; // caller's working memory, ingot_arena_bytes long, 64-byte aligned; NULL: allocated. May be
  uint64_t arena_bytes;            // shared by contexts that never run at the same time
  ingot_parallel_for parallel_for; // NULL: the context's own threads
  void *parallel_user;
  ingot_step_hook hook; // NULL: none
  void *hook_user;
  const void *weights;     // the data of the weights file, already mapped by the caller; NULL: mapped
  const char *weights_dir; // folder of the weights file; NULL: the artefact's own
  char *error;             // receives the text if the context cannot be made; NULL: none wanted
  uint64_t error_size;
  int32_t spin_us;     // how long idle workers spin before they sleep; 0: default
  int32_t n_cpus;      // of `cpus`
  const int32_t *cpus; // worker i stays on processor cpus[i % n_cpus]; read at creation only; NULL: see flags
  const char *isa; // the form to run, of those for several processors ("x86-64-v2"); NULL: the best that fits
  void *memory;    // the whole context's memory, ingot_ctx_bytes long, aligned to INGOT_CTX_ALIGN; NULL:
  uint64_t memory_bytes; // allocated
};

// A step of the executor, for people. Set `size` to sizeof(struct ingot_step_info).
struct ingot_step_info {
  uint64_t size;
  const char *name;   // unique in the model
  const char *source; // the ops of the model that it came from
  int64_t flops, bytes,
      scratch; // at the bounds: operations, bytes read and written, scratch memory per thread
};

// What an instrumented artefact counted of one step on one thread, in ticks of the processor's time-stamp counter.
struct ingot_probe {
  uint64_t calls, ticks; // since the context was made
  uint64_t begin, end;   // of the last call
};

// What an artefact's executor offers. Grows at the end only; `size` tells how much is there.
struct ingot_api {
  uint64_t size;
  int (*ctx_bytes)(const ingot_model *, const struct ingot_options *, uint64_t *arena, uint64_t *total);
  int (*ctx_create)(const ingot_model *, const struct ingot_options *, ingot_ctx **);
  void (*ctx_destroy)(ingot_ctx *);
  int (*set_input)(ingot_ctx *, int32_t i, const void *, int32_t dtype, int32_t rank, const int64_t *dims,
                   uint64_t bytes);
  int (*set_output)(ingot_ctx *, int32_t i, void *, uint64_t bytes);
  int (*set_symbol)(ingot_ctx *, int32_t sym, int64_t value);
  int (*get_symbol)(const ingot_ctx *, int32_t sym, int64_t *value);
  int (*output_shape)(const ingot_ctx *, int32_t i, int64_t *dims);
  void *(*output_data)(const ingot_ctx *, int32_t i);
  int (*run)(ingot_ctx *);
  const char *(*last_error)(const ingot_ctx *);
  const char *(*error_text)(int code);
  // The description, independent of the layout of struct ingot_model.
  const char *(*model_name)(const ingot_model *);
  const char *(*model_metadata)(const ingot_model *);
  int32_t (*input_count)(const ingot_model *);
  int32_t (*output_count)(const ingot_model *);
  int32_t (*symbol_count)(const ingot_model *);
  const struct ingot_tensor_info *(*input_info)(const ingot_model *, int32_t i);
  const struct ingot_tensor_info *(*output_info)(const ingot_model *, int32_t i);
  const struct ingot_symbol *(*symbol_info)(const ingot_model *, int32_t i);
  // State: values that live in the context from run to run.
  uint64_t (*state_bytes)(const ingot_model *);
  int (*state_reset)(ingot_ctx *);
  int (*state_save)(const ingot_ctx *, void *to, uint64_t bytes);
  int (*state_restore)(ingot_ctx *, const void *from, uint64_t bytes);
  // Seeing inside, for hooks: number of steps, a step's name, the address of its k-th argument.
  int32_t (*step_count)(const ingot_model *);
  const char *(*step_name)(const ingot_model *, int32_t step);
  void *(*step_arg)(const ingot_ctx *, int32_t step, int32_t k, const struct ingot_tensor_info **info);
  // INGOT_OK or INGOT_E_CPU; `missing` then holds the name of the first instruction set that is not there.
  int (*check_cpu)(const ingot_model *, char *missing, uint64_t size);
  const ingot_model *(*pick)(const ingot_model *); // first variant this processor can run, or NULL
  const ingot_model *(*ctx_model)(const ingot_ctx *);
  // since ABI 1.1
  const char *(*model_isa)(const ingot_model *);
  int (*step_info)(const ingot_model *, int32_t step, struct ingot_step_info *);
  // One probe per step, of a thread of the context; NULL if the artefact is not instrumented.
  const struct ingot_probe *(*probes)(const ingot_ctx *, int32_t thread);
};

// The first words of every context and, after its header, of every model (see ingot_abi.h).
struct ingot_ctx_head {
  const struct ingot_api *api;
};
struct ingot_model_head {
  uint32_t magic;
  uint16_t abi_major, abi_minor;
  uint64_t size;
  const struct ingot_api *api;
};

#define INGOT_M(m) (((const struct ingot_model_head *)(const void *)(m))->api)
#define INGOT_C(c) (((const struct ingot_ctx_head *)(const void *)(c))->api)

// ---- the model ---------------------------------------------------------------------------------------

INGOT_API const char *ingot_model_name(const ingot_model *m) {
  return INGOT_M(m)->model_name(m);
}
// The instruction set that this form of the model was compiled for ("x86-64-v3"); "" if the artefact is older than
// that was told.
INGOT_API const char *ingot_model_isa(const ingot_model *m) {
  const struct ingot_api *a = INGOT_M(m);
  return a->size > offsetof(struct ingot_api, model_isa) ? a->model_isa(m) : "";
}
// JSON text: options, source hash, kernels, memory plan.
INGOT_API const char *ingot_model_metadata(const ingot_model *m) {
  return INGOT_M(m)->model_metadata(m);
}
INGOT_API int32_t ingot_input_count(const ingot_model *m) {
  return INGOT_M(m)->input_count(m);
}
INGOT_API int32_t ingot_output_count(const ingot_model *m) {
  return INGOT_M(m)->output_count(m);
}
INGOT_API int32_t ingot_symbol_count(const ingot_model *m) {
  return INGOT_M(m)->symbol_count(m);
}
// NULL if there is no such number.
INGOT_API const struct ingot_tensor_info *ingot_input_info(const ingot_model *m, int32_t i) {
  return INGOT_M(m)->input_info(m, i);
}
INGOT_API const struct ingot_tensor_info *ingot_output_info(const ingot_model *m, int32_t i) {
  return INGOT_M(m)->output_info(m, i);
}
INGOT_API const struct ingot_symbol *ingot_symbol_info(const ingot_model *m, int32_t i) {
  return INGOT_M(m)->symbol_info(m, i);
}
// Number of the input (output, symbol) of that name, or -1.
INGOT_API int32_t ingot_find_input(const ingot_model *m, const char *name);
INGOT_API int32_t ingot_find_output(const ingot_model *m, const char *name);
INGOT_API int32_t ingot_find_symbol(const ingot_model *m, const char *name);
INGOT_API uint64_t ingot_state_bytes(const ingot_model *m) {
  return INGOT_M(m)->state_bytes(m);
}
INGOT_API int32_t ingot_step_count(const ingot_model *m) {
  return INGOT_M(m)->step_count(m);
}
INGOT_API const char *ingot_step_name(const ingot_model *m, int32_t step) {
  return INGOT_M(m)->step_name(m, step);
}

INGOT_API int ingot_describe_step(const ingot_model *m, int32_t step, struct ingot_step_info *info) {
  const struct ingot_api *a = INGOT_M(m);
  return a->size > offsetof(struct ingot_api, step_info) ? a->step_info(m, step, info) : INGOT_E_ABI;
}

// ---- contexts ----------------------------------------------------------------------------------------

// Bytes of working memory to give in options.arena. 0 if the options are wrong.
INGOT_API uint64_t ingot_arena_bytes(const ingot_model *m, const struct ingot_options *o) {
  uint64_t arena = 0, total = 0;
  return INGOT_M(m)->ctx_bytes(m, o, &arena, &total) == INGOT_OK ? arena : 0;
}
// Bytes of memory a context takes in all, arena included; threads' stacks and weights are not counted, but for a copy
// that is its own.
INGOT_API uint64_t ingot_ctx_bytes(const ingot_model *m, const struct ingot_options *o) {
  uint64_t arena = 0, total = 0;
  return INGOT_M(m)->ctx_bytes(m, o, &arena, &total) == INGOT_OK ? total : 0;
}
// A new context in *ctx (NULL on failure). The only function here that allocates memory or starts threads.
INGOT_API int ingot_ctx_create(const ingot_model *m, const struct ingot_options *o, ingot_ctx **ctx) {
  return INGOT_M(m)->ctx_create(m, o, ctx);
}
INGOT_API void ingot_ctx_destroy(ingot_ctx *c) { // NULL is fine
  if (c) INGOT_C(c)->ctx_destroy(c);
}

// The model a context runs: of several variants for different processors, the one that was chosen.
INGOT_API const ingot_model *ingot_ctx_model(const ingot_ctx *c) {
  return INGOT_C(c)->ctx_model(c);
}

// Binds input i. The data is read during ingot_run and must stay until then. `dims` are `rank` extents; with
// dims == NULL the description's own extents are meant, which must then be constants. Checked against the
// description at once, extents that depend on each other at the run.
INGOT_API int ingot_set_input(ingot_ctx *c, int32_t i, const void *data, int32_t dtype, int32_t rank,
                              const int64_t *dims, uint64_t bytes) {
  return INGOT_C(c)->set_input(c, i, data, dtype, rank, dims, bytes);
}
// Binds output i to `bytes` bytes, enough for its size at the bounds or at the extents of the run.
// It must not overlap an input.
INGOT_API int ingot_set_output(ingot_ctx *c, int32_t i, void *data, uint64_t bytes) {
  return INGOT_C(c)->set_output(c, i, data, bytes);
}
// Symbols of kind CALLER and STATE can be set; all can be read (after a run: the run's values).
INGOT_API int ingot_set_symbol(ingot_ctx *c, int32_t sym, int64_t value) {
  return INGOT_C(c)->set_symbol(c, sym, value);
}
INGOT_API int ingot_get_symbol(const ingot_ctx *c, int32_t sym, int64_t *value) {
  return INGOT_C(c)->get_symbol(c, sym, value);
}
// Runs the model on what is bound. No heap use, bit-identical results for any number of threads.
INGOT_API int ingot_run(ingot_ctx *c) {
  return INGOT_C(c)->run(c);
}
// The extents of output i as of the last run: `dims` has room for its rank.
INGOT_API int ingot_output_shape(const ingot_ctx *c, int32_t i, int64_t *dims) {
  return INGOT_C(c)->output_shape(c, i, dims);
}
// Where output i is: what ingot_set_output gave, or the context's own room (INGOT_OWN_OUTPUTS).
INGOT_API void *ingot_output_data(const ingot_ctx *c, int32_t i) {
  return INGOT_C(c)->output_data(c, i);
}
// What went wrong in the last call on this context that failed; "" if none did. INGOT_E_BUSY leaves the text alone,
// which is the other thread's: ingot_error_text tells what it means.
INGOT_API const char *ingot_last_error(const ingot_ctx *c) {
  return INGOT_C(c)->last_error(c);
}
INGOT_API const char *ingot_error_text(const ingot_model *m, int code) {
  return INGOT_M(m)->error_text(code);
}

// State: what a model keeps from run to run, in its context. A run that fails leaves it as it was. It can be set
// back to its initial values; copied out (ingot_state_bytes long); set from a copy made by a context
// of the same model. A copy of another model is refused with INGOT_E_FORMAT and leaves the state as it was.
INGOT_API int ingot_state_reset(ingot_ctx *c) {
  return INGOT_C(c)->state_reset(c);
}
INGOT_API int ingot_state_save(const ingot_ctx *c, void *to, uint64_t bytes) {
  return INGOT_C(c)->state_save(c, to, bytes);
}
INGOT_API int ingot_state_restore(ingot_ctx *c, const void *from, uint64_t bytes) {
  return INGOT_C(c)->state_restore(c, from, bytes);
}
// The address and description of argument k of a step, for hooks; NULL past the last.
INGOT_API void *ingot_step_arg(const ingot_ctx *c, int32_t step, int32_t k,
                               const struct ingot_tensor_info **info) {
  return INGOT_C(c)->step_arg(c, step, k, info);
}

// By step number; NULL if the artefact is not instrumented or there is no such thread. Not while a run is going on.
INGOT_API const struct ingot_probe *ingot_probes(const ingot_ctx *c, int32_t thread) {
  if (INGOT_C(c)->size < offsetof(struct ingot_api, probes) + sizeof INGOT_C(c)->probes) return NULL;
  return INGOT_C(c)->probes(c, thread);
}

// ---- small helpers -----------------------------------------------------------------------------------

INGOT_API const char *ingot_dtype_name(int32_t dtype) {
  static const char *const names[] = {"none", "bool", "i8",  "u8",  "i16",  "u16", "i32",
                                      "u32",  "i64",  "u64", "f16", "bf16", "f32", "f64"};
  return dtype >= 0 && dtype < INGOT_DTYPE_END ? names[dtype] : "?";
}
INGOT_API int32_t ingot_dtype_size(int32_t dtype) { // bytes; 0 if there is no such type
  static const int8_t sizes[] = {0, 1, 1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8};
  return dtype >= 0 && dtype < INGOT_DTYPE_END ? sizes[dtype] : 0;
}
INGOT_API int32_t ingot_same_text(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}
INGOT_API int32_t ingot_find_input(const ingot_model *m, const char *name) {
  for (int32_t i = 0, n = ingot_input_count(m); i < n; i++)
    if (ingot_same_text(ingot_input_info(m, i)->name, name)) return i;
  return -1;
}
INGOT_API int32_t ingot_find_output(const ingot_model *m, const char *name) {
  for (int32_t i = 0, n = ingot_output_count(m); i < n; i++)
    if (ingot_same_text(ingot_output_info(m, i)->name, name)) return i;
  return -1;
}
INGOT_API int32_t ingot_find_symbol(const ingot_model *m, const char *name) {
  for (int32_t i = 0, n = ingot_symbol_count(m); i < n; i++)
    if (ingot_same_text(ingot_symbol_info(m, i)->name, name)) return i;
  return -1;
}

// ---- loader (libingot_runtime) -----------------------------------------------------------------------

// Opens an artefact. On failure *lib is NULL and `err` (if not NULL) receives a text of at most err_size
// bytes. The file's header is checked before any of its code is mapped: architecture, completeness, ABI,
// processor.
int ingot_library_open(const char *path, ingot_library **lib, char *err, size_t err_size);
// All contexts of its models must have been destroyed.
void ingot_library_close(ingot_library *lib); // NULL is fine
// The model of that name, or the first one if name is NULL; NULL if there is none.
const ingot_model *ingot_library_model(const ingot_library *lib, const char *name);

#ifdef __cplusplus
}
#endif
#endif
