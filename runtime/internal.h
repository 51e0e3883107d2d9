// internal.h: what the executor's files share: the context, threads, waiting, memory, processor features.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_RUNTIME_INTERNAL_H
#define INGOT_RUNTIME_INTERNAL_H

#include "ingot_abi.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>

// ---- park.c: sleeping on a word ----------------------------------------------------------------------

// Sleeps while *word == expect; may return early. Wakes everyone who sleeps on the word.
void ingot_park_wait(atomic_uint *word, unsigned expect);
void ingot_park_wake(atomic_uint *word);
int64_t ingot_park_now(void); // nanoseconds, monotonic
void ingot_park_pause(void);  // one turn of a spin loop

// ---- pool.c: threads ---------------------------------------------------------------------------------

typedef void (*PoolFn)(void *arg, int32_t part);
typedef struct Pool Pool;

int ingot_pool_cpus(void); // processors the calling thread may run on
// A pool of `threads` threads, the one that calls ingot_pool_run included. NULL in *pool with threads == 1.
int ingot_pool_create(Pool **pool, int threads, const struct ingot_options *o);
void ingot_pool_destroy(Pool *p); // NULL is fine
// Runs fn(arg, 0 .. n-1), n <= threads, part 0 on the calling thread; returns when all are done.
void ingot_pool_run(Pool *p, int32_t n, PoolFn fn, void *arg);
// Between these two calls idle workers spin for longer: more work will follow at once.
void ingot_pool_begin(Pool *p);
void ingot_pool_end(Pool *p);

// ---- shares.c: who does what of a parallel loop --------------------------------------------------------

enum { MAX_SHARES = 32, MAX_UNITS = 8 }; // threads that share, units of one of them

typedef struct Shares {
  int32_t parts;
  struct {
    _Alignas(64) atomic_uint units; // next and end, 16 bits each
  } share[MAX_SHARES];
} Shares;

// Units 0 .. parts * units - 1, `units` of them for each part.
void ingot_shares_init(Shares *s, int32_t parts, int32_t units);
// The next unit for a part: of its own share, or of another's; false: nothing is left that nobody is at.
bool ingot_shares_take(Shares *s, int32_t part, int32_t *unit);

// ---- fpenv.c: the same arithmetic on every thread ----------------------------------------------------

// Rounding to nearest, denormals kept (or flushed to zero); returns what to give to ingot_fpenv_leave.
uint64_t ingot_fpenv_enter(bool flush_denormals);
void ingot_fpenv_leave(uint64_t saved);

// ---- memory.c ----------------------------------------------------------------------------------------

enum { HUGE_PAGE = 2 << 20 };

// Zeroed memory aligned to 128 bytes. Blocks of a huge page and more are mapped, begin at a multiple of it, and are given
// back to the system; their first huge_bytes are on huge pages. NULL if there is none.
void *ingot_memory_alloc(uint64_t bytes, uint64_t huge_bytes);
void ingot_memory_free(void *p, uint64_t bytes); // the same bytes; NULL is fine

// ---- weights.c ---------------------------------------------------------------------------------------

typedef struct Weights {
  const void *data;
  void *map; // to unmap; NULL if not ours
  uint64_t map_bytes;
} Weights;

// Embedded, given by the caller, or mapped from the weights file. Writes a text into err on failure.
int ingot_weights_open(Weights *w, const struct ingot_model *m, const struct ingot_options *o, char *err,
                       size_t size);
void ingot_weights_close(Weights *w);

// ---- cpu.c -------------------------------------------------------------------------------------------

// INGOT_OK, or INGOT_E_CPU and the first name of the comma-separated list that this processor lacks (or that
// is not known). The environment variable INGOT_CPU, if set, lists the only features that may be used.
int ingot_cpu_check(const char *features, char *missing, size_t size);

// ---- context -----------------------------------------------------------------------------------------

enum { ERROR_TEXT = 320 };

// What is bound to an input or output.
typedef struct Binding {
  void *data;
  uint64_t bytes;
  int64_t *dims;   // inputs: the extents given
  int32_t *places; // numbers of the arguments (in ingot_model.args) that live in this tensor
  int32_t n_places;
  bool set;
} Binding;

struct ingot_ctx {
  const struct ingot_api *api; // first: struct ingot_ctx_head
  const struct ingot_model *model;
  atomic_bool busy;
  bool dirty;            // something was bound or set: check and resolve before the next run
  bool has_step_symbols; // symbols of kind STEP, which begin every run at their bounds
  void **buf;            // by argument number: its address
  int64_t *sym;
  int64_t *next_sym; // CALLER symbols as the next run will see them
  Binding *in, *out;
  char *scratch; // threads * scratch_stride
  uint64_t scratch_stride;
  char *arena, *own_weights, *state; // own_weights: NULL without INGOT_OWN_WEIGHTS
  Pool *pool;                        // NULL: one thread, or the caller's parallel_for
  int32_t threads;
  Weights weights;
  struct ingot_options options;
  uint64_t block_bytes;   // of the allocation that holds all this
  uint64_t working_bytes; // of these, what every run walks through; the state comes after
  struct ingot_ctx *next; // in the list of simple.c
  char error[ERROR_TEXT];
};

// context.c
int ingot_api_ctx_bytes(const ingot_model *, const struct ingot_options *, uint64_t *arena, uint64_t *total);
int ingot_api_ctx_create(const ingot_model *, const struct ingot_options *, ingot_ctx **);
void ingot_api_ctx_destroy(ingot_ctx *);
bool ingot_ctx_enter(ingot_ctx *c);          // false if another thread is inside
int ingot_ctx_leave(ingot_ctx *c, int code); // returns code
// Sets the text of ingot_last_error and returns `code`.
int ingot_ctx_fail(ingot_ctx *c, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

// bind.c
int ingot_api_set_input(ingot_ctx *, int32_t i, const void *, int32_t dtype, int32_t rank,
                        const int64_t *dims, uint64_t bytes);
int ingot_api_set_output(ingot_ctx *, int32_t i, void *, uint64_t bytes);
int ingot_api_output_shape(const ingot_ctx *, int32_t i, int64_t *dims);
void *ingot_api_output_data(const ingot_ctx *, int32_t i);
void ingot_bind_own_outputs(ingot_ctx *c); // at creation
int ingot_bind_inputs(ingot_ctx *c);       // before a run: all set
int ingot_bind_outputs(ingot_ctx *c);      // the same, and large enough for the symbols' values

// symbols.c
int ingot_api_set_symbol(ingot_ctx *, int32_t sym, int64_t value);
int ingot_api_get_symbol(const ingot_ctx *, int32_t sym, int64_t *value);
void ingot_symbols_init(ingot_ctx *c);
bool ingot_symbol_settled(const ingot_ctx *c, int32_t sym); // its value is known before a run starts
int ingot_symbols_from_inputs(ingot_ctx *c);                // all symbols, with all checks
// INPUT and CALLER symbols from the values given in table order, derived ones from them.
int ingot_symbols_from_values(ingot_ctx *c, const int64_t *values);
void ingot_symbols_start_run(ingot_ctx *c);
int ingot_symbols_set(ingot_ctx *c, int32_t sym, int64_t value, const char *step); // during a run
void ingot_symbols_end_run(ingot_ctx *c, bool ok);

// exec.c
int ingot_api_run(ingot_ctx *);

// state.c
uint64_t ingot_api_state_bytes(const ingot_model *);
int ingot_api_state_reset(ingot_ctx *);
int ingot_api_state_save(const ingot_ctx *, void *to, uint64_t bytes);
int ingot_api_state_restore(ingot_ctx *, const void *from, uint64_t bytes);
void ingot_state_init(ingot_ctx *c);  // at creation, when the block is zero
void ingot_state_start(ingot_ctx *c); // back to the initial values

// model.c
const char *ingot_api_error_text(int code);
const ingot_model *ingot_pick_isa(const ingot_model *, const char *isa);
const ingot_model *ingot_api_pick(const ingot_model *); // first variant that this processor can run, or NULL

static inline uint64_t round_up_64(uint64_t n) {
  return (n + 63) & ~(uint64_t)63;
}

#endif
