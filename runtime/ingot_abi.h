// ingot_abi.h: the binary contract between generated code, the executor in every artefact, and loaders.
// SPDX-License-Identifier: Apache-2.0
//
// The compiler emits constant tables of these structs and one function per kernel; the executor walks the
// step table. Rules that keep old artefacts loading:
//   - structs grow at the end only, numbers are never reused; a change that breaks this raises abi_major;
//   - all fields have a fixed width, padding is explicit, so that the tables can be written by any tool:
//     on 64-bit targets the offsets are those checked at the end of this file;
//   - an artefact is executed by its own executor (ingot_model.api); loaders read only the leading fields.
//
// Exported by an artefact <name> (everything else is hidden):
//   const struct ingot_artefact ingot_artefact;       data: what a loader looks up (shared libraries only)
//   const struct ingot_model ingot_model_<name>;      data: for programs that link the artefact
//   int <name>_run(<inputs>, <symbols>, <outputs>);   code: fills two arrays and calls ingot_run_simple
//
// Invariants that the compiler guarantees and the executor relies on (no check per step):
//   - every buffer a kernel touches lies within its argument's extent at the values of the symbols;
//   - iterations of one kernel's parallel loop are independent: any partition gives bit-identical results;
//   - arena offsets are multiples of INGOT_ALIGN, weights and states of the alignment in their description;
//   - inputs and outputs have only the alignment that their description promises.
#ifndef INGOT_ABI_H
#define INGOT_ABI_H

#include "ingot.h"

#define INGOT_MAGIC         0x4f474e49u // "INGO", little endian
#define INGOT_WEIGHTS_MAGIC 0x57474e49u // "INGW"
enum {
  INGOT_ABI_MAJOR = 1,
  INGOT_ABI_MINOR = 3,
  INGOT_ALIGN = 64,             // of the arena, of arena offsets and of scratch memory
  INGOT_WEIGHTS_HEADER = 65536, // data of a weights file begins here: a multiple of every page size
  INGOT_MAX_LOOP_DEPTH = 16,    // nesting of IF and LOOP steps
  INGOT_MAX_THREADS = 256
};

// ---- kernels -----------------------------------------------------------------------------------------

// Executes iterations [lo, hi) of the kernel's parallel loop. buf[k] is the step's k-th argument, sym the
// values of the model's symbols, scratch at least `step.scratch` bytes of this thread's own, aligned to
// INGOT_ALIGN, with arbitrary contents. Called with lo < hi. A kernel without a parallel loop has trip 1.
typedef void (*ingot_kernel_fn)(void *const *buf, const int64_t *sym, int64_t lo, int64_t hi, void *scratch);

struct ingot_step;
// What a routine (see below) is called with.
struct ingot_routine_call {
  const struct ingot_model *model;
  const struct ingot_step *step; // attributes: step->ints, step->reals
  void *const *buf;
  int64_t *sym; // a routine with a data-dependent extent stores it in sym[step->sym]
  int64_t lo, hi;
  void *scratch;
};
// Returns INGOT_OK or an error code.
typedef int (*ingot_routine_fn)(const struct ingot_routine_call *call);

// ---- arguments: where the buffers of steps are -------------------------------------------------------

enum ingot_arg_kind {
  INGOT_ARG_NONE = 0,   // an absent optional argument: NULL
  INGOT_ARG_ARENA = 1,  // arena + offset
  INGOT_ARG_INPUT = 2,  // input `index` + offset
  INGOT_ARG_OUTPUT = 3, // output `index` + offset
  INGOT_ARG_WEIGHT = 4, // weights data + offset; all constants, large and small, live there
  INGOT_ARG_STATE = 5   // the context's state block + offset (see struct ingot_state)
};
enum ingot_arg_flags { INGOT_ARG_READ = 1, INGOT_ARG_WRITE = 2 };

struct ingot_arg {
  int32_t kind;  // enum ingot_arg_kind
  int32_t index; // of the input or output, else 0
  int64_t offset;
  int32_t tensor; // number of the description in ingot_model.tensors, or -1; required for routines
  int32_t flags;  // enum ingot_arg_flags
};

enum ingot_state_flags {
  INGOT_STATE_GROWS = 1 // begins empty: what lies beyond its extent is never read
};

// A value that lives from run to run. Its place is [offset, offset + bytes) of the state block.
struct ingot_state {
  int32_t tensor; // description, in ingot_model.tensors
  int32_t flags;  // enum ingot_state_flags
  int64_t offset;
  int64_t init; // offset of the initial value in the weights, or -1: zeros
};

// What ingot_state_save writes: this head, the values of the symbols of kind CALLER and STATE (i64, in table
// order), the state block. Any alignment will do.
struct ingot_state_head {
  uint64_t model; // ingot_model.id
  uint64_t bytes; // of the whole copy
};

// ---- steps -------------------------------------------------------------------------------------------

enum ingot_step_kind {
  // step.kernel over [0, trip).
  INGOT_STEP_KERNEL = 1,
  // step.routine over [0, trip): an op that no expression fits. If step.sym >= 0 the routine sets that
  // symbol; then derived symbols are computed anew and ranges checked. Such a step has trip 1.
  INGOT_STEP_ROUTINE = 2,
  // args: source, destination. Copies trip * imm bytes.
  INGOT_STEP_COPY = 3,
  // args: an integer scalar (dtype from its description). sym[step.sym] = that scalar; derived symbols are
  // computed anew; out of the symbol's range is INGOT_E_DATA. A symbol of kind CALLER changes only when the
  // run has ended well: all steps of a run see the same value.
  INGOT_STEP_SYMBOL = 4,
  // args: a bool scalar. Runs the steps of body[0] if it is true, else those of body[1].
  INGOT_STEP_IF = 5,
  // args: trip count (i64 scalar or NONE), condition (bool scalar or NONE), iteration number (i64 scalar or
  // NONE). Runs the steps of body[0] while the condition holds and iterations are left; before each iteration
  // its number is stored in the third argument and, if step.sym >= 0, in that symbol, which after the loop
  // holds the number of iterations done; derived symbols are computed anew. The body updates the condition
  // and copies carried values itself. trip bounds the count: more iterations are INGOT_E_DATA.
  INGOT_STEP_LOOP = 6,
  // args: a bool scalar. False is INGOT_E_DATA with the step's name as text.
  INGOT_STEP_CHECK = 7,
  // Stands alone in its range, which is main or the body of another: the run goes on with the steps of body[0] if
  // sym[step.sym] == step.imm when it begins, else with those of body[1].
  INGOT_STEP_CASE = 8
};

enum ingot_step_flags {
  // A thread may go on to the next step before the others have finished this one: the next step does not
  // depend on this one, or its iteration i depends on iteration i only and trip and grain are equal. Both are
  // KERNEL or COPY, in one range.
  INGOT_STEP_CHAIN = 1,
  INGOT_STEP_SERIAL = 2 // never split
};

struct ingot_range {
  int32_t first, n;
};

// One unit of work. Hot fields first.
struct ingot_step {
  int32_t kind;  // enum ingot_step_kind
  int32_t flags; // enum ingot_step_flags
  union {
    ingot_kernel_fn kernel;
    ingot_routine_fn routine;
  };
  int32_t first_arg, n_args; // in ingot_model.args
  struct ingot_dim trip;     // iterations of the parallel loop
  int64_t grain;             // parts begin at multiples of this many iterations; at least 1
  int64_t cost;    // estimated picoseconds of one iteration on one thread; 0: unknown, taken as large
  int64_t scratch; // bytes of scratch memory per thread
  struct ingot_range body[2]; // IF, LOOP, CASE: ranges in ingot_model.steps
  int32_t sym;                // symbol set by this step, or -1
  int32_t reserved;           // 0
  int64_t imm;                // COPY: bytes per iteration; CASE: the symbol's value
  const int64_t *ints;        // ROUTINE: integer attributes, in the order that the routine documents
  const double *reals;        // ROUTINE: real attributes
  int32_t n_ints, n_reals;
  const char *name;   // of the kernel, unique in the model, stable between compilations
  const char *source; // the ops of the source that it came from, for people
  int64_t flops;      // at the bounds, for reports
  int64_t bytes;      // read and written at the bounds, for reports
};

// ---- the model ---------------------------------------------------------------------------------------

// Weights: embedded (data != NULL), or in the file `file` in the artefact's folder, which begins with a
// struct ingot_weights_header and holds the data from INGOT_WEIGHTS_HEADER on; or none (bytes == 0).
struct ingot_weights {
  const void *data;
  const char *file; // a plain name, no folders
  int64_t bytes;
  uint64_t hash; // ingot_hash of the data
};
struct ingot_weights_header {
  uint32_t magic;   // INGOT_WEIGHTS_MAGIC
  uint32_t version; // 1
  uint64_t bytes, hash;
};

enum ingot_model_flags {
  INGOT_MODEL_FLUSH_DENORMALS = 1, // kernels run with denormal results and operands taken as zero
  INGOT_MODEL_REAL_TIME = 2,       // one thread, all memory touched when a context is made
  // Steps count their ticks in struct ingot_probe: n_steps of them, at the end of each thread's scratch memory.
  INGOT_MODEL_PROBES = 4
};

struct ingot_model {
  // -- struct ingot_model_head
  uint32_t magic; // INGOT_MAGIC
  uint16_t abi_major, abi_minor;
  uint64_t size;               // sizeof(struct ingot_model) in the artefact
  const struct ingot_api *api; // &ingot_runtime_api of the executor that is linked in
  // -- what loaders of any version may read
  const char *name;
  const char *target;                     // LLVM triple
  const char *cpu_features;               // needed, comma-separated ("avx2,fma"), LLVM's names; "" for none
  const struct ingot_model *next_variant; // tried if the processor lacks a feature; NULL: none
  const char *metadata;                   // JSON text, never NULL
  // -- tables
  const struct ingot_tensor_info *inputs;
  const struct ingot_tensor_info *outputs;
  const struct ingot_tensor_info *tensors; // values inside, by ingot_arg.tensor and ingot_state.tensor
  const struct ingot_symbol *symbols;
  const struct ingot_state *states;
  const struct ingot_arg *args;
  const struct ingot_step *steps;
  int32_t n_inputs, n_outputs, n_tensors, n_symbols, n_states, n_args, n_steps;
  struct ingot_range main; // the steps of a run
  int32_t flags;           // enum ingot_model_flags
  // Computes all DERIVED symbols from the others, whose values are within their ranges; whether the derived
  // ones are is checked afterwards. Must not trap. NULL if there are none. Called again whenever a step sets
  // a symbol.
  void (*shapes)(int64_t *sym);
  struct ingot_weights weights;
  int64_t arena_bytes;   // working memory, scratch not included
  int64_t scratch_bytes; // per thread: the largest of the steps
  int64_t state_bytes;
  int64_t flops; // of a run at the bounds
  uint64_t id;   // hash of source, weights and options: state copies and weights belong to it
  // -- since ABI 1.1
  const char *isa; // the target's name, for people and for INGOT_ISA ("x86-64-v3")
  void *room;      // zeroed memory for one context, aligned to INGOT_CTX_ALIGN (bare machines); NULL: none
  uint64_t room_bytes; // large enough for a context of one thread
  int64_t stack_bytes; // a run needs at most so much stack on the calling thread; 0: not known
};

// Whether a context keeps the value of symbol s from run to run.
static inline int ingot_symbol_kept(const struct ingot_model *m, int32_t s) {
  return m->symbols[s].kind == INGOT_SYM_CALLER || m->symbols[s].kind == INGOT_SYM_STATE;
}

// What ingot_state_save writes of exactly this form, 0 if nothing is kept. Layouts, and with them sizes, may differ
// between the forms of a model.
static inline uint64_t ingot_state_copy_bytes(const struct ingot_model *m) {
  uint64_t bytes = (uint64_t)m->state_bytes;
  for (int32_t s = 0; s < m->n_symbols; s++) bytes += ingot_symbol_kept(m, s) ? sizeof(int64_t) : 0;
  return bytes ? bytes + sizeof(struct ingot_state_head) : 0;
}

// No context of one thread takes more than this, whatever the target; for memory that is set aside beforehand.
enum {
  INGOT_CTX_HEAD = 1024,
  INGOT_CTX_BINDING = 64
}; // what the context itself takes, and an input or output
static inline uint64_t ingot_ctx_bound(const struct ingot_model *m) {
  uint64_t bytes = INGOT_CTX_HEAD;
  const uint64_t parts[] = {12 * (uint64_t)m->n_args,
                            16 * (uint64_t)m->n_symbols,
                            (uint64_t)INGOT_CTX_BINDING * (uint64_t)(m->n_inputs + m->n_outputs),
                            8 * (uint64_t)INGOT_MAX_RANK * (uint64_t)m->n_inputs,
                            (uint64_t)m->scratch_bytes + 192,
                            (uint64_t)m->state_bytes,
                            (uint64_t)m->arena_bytes};
  for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++) bytes += parts[i] + 4 * INGOT_ALIGN;
  return bytes + (uint64_t)INGOT_ALIGN * (uint64_t)m->n_inputs;
}

// What a loader looks up in a shared library, by the name "ingot_artefact".
struct ingot_artefact {
  uint32_t magic; // INGOT_MAGIC
  uint16_t abi_major, abi_minor;
  uint64_t size; // sizeof(struct ingot_artefact) in the artefact
  int32_t n_models;
  int32_t reserved;                        // 0
  const struct ingot_model *const *models; // first variants
};

// ---- what generated code refers to -------------------------------------------------------------------

#if defined(__GNUC__)
#define INGOT_HIDDEN __attribute__((visibility("hidden")))
#else
#define INGOT_HIDDEN
#endif

extern INGOT_HIDDEN const struct ingot_api ingot_runtime_api;

// The convenience function: all inputs, the values of the symbols of kind INPUT and CALLER in table order
// (NULL if there are none), and all outputs. Keeps a context per model and concurrent caller for the next
// call. Returns an error code; on failure prints nothing, the text is had through a context.
INGOT_HIDDEN int ingot_run_simple(const struct ingot_model *m, const void *const *inputs,
                                  const int64_t *symbols, void *const *outputs);

// The hash of weights and ids: 64 bits, the same on every machine (FNV-1a over eight interleaved lanes,
// hash.c).
INGOT_HIDDEN uint64_t ingot_hash(const void *data, uint64_t bytes);
// The same in pieces, each but the last a multiple of 64 bytes.
enum { INGOT_HASH_LANES = 8 };
struct ingot_hasher {
  uint64_t lane[INGOT_HASH_LANES], bytes;
};
INGOT_HIDDEN void ingot_hash_begin(struct ingot_hasher *h);
INGOT_HIDDEN void ingot_hash_add(struct ingot_hasher *h, const void *data, uint64_t bytes);
INGOT_HIDDEN uint64_t ingot_hash_end(const struct ingot_hasher *h);

// ---- routines ----------------------------------------------------------------------------------------
//
// Arguments in the order given; "?" may be NONE. `int:` and `real:` list the attributes. Shapes and element
// types are read from the arguments' descriptions. "rows" are the trip count, `scratch` what the step must
// grant.

// args: x[..], values[..]?, indices(i64)[..]?   int: axis (>= 0), largest, sorted
//       trip: rows = elements / extent(axis)
// The first k = extent of the results along axis, of each row in order; k = n is a full sort. Equal elements
// keep their order, NaN counts as the largest. All element types.
INGOT_HIDDEN int ingot_rt_topk(const struct ingot_routine_call *call);
static inline int64_t ingot_rt_topk_scratch(int64_t n) {
  return n > 0 ? 32 * n : 0;
}

// args: x[..], indices(i64)[rank, sym]   sets step.sym
//       trip: 1. Indices of non-zero elements in row-major order.
INGOT_HIDDEN int ingot_rt_nonzero(const struct ingot_routine_call *call);

// args: x[..], y, indices(i64)?, inverse(i64)?, counts(i64)?   int: axis or -1 (flattened), sorted
// sets step.sym (extent of y along axis)
//       trip: 1. As ONNX Unique; n = extent along axis or number of elements.
INGOT_HIDDEN int ingot_rt_unique(const struct ingot_routine_call *call);
static inline int64_t ingot_rt_unique_scratch(int64_t n) {
  return n > 0 ? 40 * n : 0;
}

// args: boxes(f32)[batch, n, 4], scores(f32)[batch, classes, n], max_per_class(i64)?, iou(f32)?, score(f32)?,
//       selected(i64)[sym, 3]   int: center_point_box   sets step.sym   trip: 1. As ONNX NonMaxSuppression.
INGOT_HIDDEN int ingot_rt_nms(const struct ingot_routine_call *call);
static inline int64_t ingot_rt_nms_scratch(int64_t n) {
  return n > 0 ? 48 * n : 0;
}

// args: fault[2](i64), results..., operands...   int: number of results, or -1
//       trip: 1. What a kernel compiled with checks has left in its record: fault[0] != 0 is INGOT_E_INDEX; a NaN in
// a result while no operand has one is INGOT_E_NAN. With -1 clears the record.
INGOT_HIDDEN int ingot_rt_check(const struct ingot_routine_call *call);

// ---- helpers for routines ----------------------------------------------------------------------------

static inline int64_t ingot_dim_value(const struct ingot_dim *d, const int64_t *sym) {
  return d->sym < 0 ? d->n : sym[d->sym];
}
// The description of argument k; NULL if it is absent.
static inline const struct ingot_tensor_info *ingot_call_tensor(const struct ingot_routine_call *c,
                                                                int32_t k) {
  if (k >= c->step->n_args) return NULL;
  const struct ingot_arg *a = &c->model->args[c->step->first_arg + k];
  return a->kind == INGOT_ARG_NONE || a->tensor < 0 ? NULL : &c->model->tensors[a->tensor];
}

// ---- layout on 64-bit targets ------------------------------------------------------------------------

#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L && UINTPTR_MAX == UINT64_MAX
#define INGOT_AT(type, field, at) _Static_assert(offsetof(struct type, field) == (at), #type "." #field)
_Static_assert(sizeof(struct ingot_dim) == 16, "ingot_dim");
_Static_assert(sizeof(struct ingot_tensor_info) == 48, "ingot_tensor_info");
_Static_assert(sizeof(struct ingot_symbol) == 56, "ingot_symbol");
_Static_assert(sizeof(struct ingot_arg) == 24, "ingot_arg");
_Static_assert(sizeof(struct ingot_state) == 24, "ingot_state");
INGOT_AT(ingot_step, trip, 24);
INGOT_AT(ingot_step, scratch, 56);
INGOT_AT(ingot_step, body, 64);
INGOT_AT(ingot_step, imm, 88);
INGOT_AT(ingot_step, name, 120);
_Static_assert(sizeof(struct ingot_step) == 152, "ingot_step");
INGOT_AT(ingot_model, api, 16);
INGOT_AT(ingot_model, inputs, 64);
INGOT_AT(ingot_model, n_inputs, 120);
INGOT_AT(ingot_model, main, 148);
INGOT_AT(ingot_model, shapes, 160);
INGOT_AT(ingot_model, weights, 168);
INGOT_AT(ingot_model, arena_bytes, 200);
INGOT_AT(ingot_model, isa, 240);
_Static_assert(sizeof(struct ingot_model) == 272, "ingot_model");
_Static_assert(sizeof(struct ingot_artefact) == 32, "ingot_artefact");
#undef INGOT_AT
#endif

#endif
