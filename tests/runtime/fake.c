// fake.c: an artefact written by hand: small models that use every kind of step, argument and symbol.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/ingot_abi.h"

#ifndef FAKE_ABI_MAJOR
#define FAKE_ABI_MAJOR INGOT_ABI_MAJOR
#endif

#define EXPORT __attribute__((visibility("default")))
#define LEN(a) ((int32_t)(sizeof(a) / sizeof((a)[0])))
#define FIXED(x)                                                                                             \
  { (x), -1, 0 }
#define SYMBOL(s, x)                                                                                         \
  { (x), (s), 0 }
#define DIMS(...)                                                                                            \
  (const struct ingot_dim[]) {                                                                               \
    __VA_ARGS__                                                                                              \
  }
#define TENSOR(id, type, r, b, ...)                                                                          \
  { .name = id, .dims = DIMS(__VA_ARGS__), .dtype = type, .rank = r, .bytes = b, .align = 4 }
#define SCALAR(id, type, b)                                                                                  \
  { .name = id, .dtype = type, .bytes = b, .align = 1 }
#define ARG(k, i, at, t, f)                                                                                  \
  { INGOT_ARG_##k, i, at, t, f }
#define HEAD(n)                                                                                              \
  .magic = INGOT_MAGIC, .abi_major = FAKE_ABI_MAJOR, .size = sizeof(struct ingot_model),                     \
  .api = &ingot_runtime_api, .name = n, .target = "host", .metadata = "{}"

enum { R = INGOT_ARG_READ, W = INGOT_ARG_WRITE };
// So expensive that every step is split over all threads, or so cheap that none is.
enum { DEAR = 1000000000, CHEAP = 1 };

// ---- rows: x[T, 16] -> y[T, 16] = (x * w + 1)^2, total[1] = sum of y, odd[2 T + 1] = 0, 1, 2 ... -----

static void rows_affine(void *const *buf, const int64_t *sym, int64_t lo, int64_t hi, void *scratch) {
  const float *x = buf[0], *w = buf[1];
  float *a = buf[2];
  (void)sym, (void)scratch;
  for (int64_t i = lo * 16; i < hi * 16; i++) a[i] = x[i] * w[i % 16] + 1;
}

static void rows_square(void *const *buf, const int64_t *sym, int64_t lo, int64_t hi, void *scratch) {
  const float *a = buf[0];
  float *y = buf[1], *tmp = scratch;
  (void)sym;
  for (int64_t r = lo; r < hi; r++) { // through scratch memory, so that two threads sharing it would be seen
    for (int64_t i = 0; i < 16; i++) tmp[i] = a[r * 16 + i];
    for (int64_t i = 0; i < 16; i++) y[r * 16 + i] = tmp[i] * tmp[i];
  }
}

static void rows_total(void *const *buf, const int64_t *sym, int64_t lo, int64_t hi, void *scratch) {
  const float *y = buf[0];
  float sum = 0;
  (void)lo, (void)hi, (void)scratch;
  for (int64_t i = 0; i < sym[0] * 16; i++) sum += y[i];
  *(float *)buf[1] = sum;
}

static void rows_odd(void *const *buf, const int64_t *sym, int64_t lo, int64_t hi, void *scratch) {
  (void)sym, (void)scratch;
  for (int64_t i = lo; i < hi; i++) ((int32_t *)buf[0])[i] = (int32_t)i;
}

static void rows_shapes(int64_t *sym) {
  sym[1] = 2 * sym[0] + 1;
}

static const struct ingot_symbol rows_symbols[] = {
    {.name = "T", .min = 1, .bound = 1024, .kind = INGOT_SYM_INPUT, .mul = 1},
    {.name = "D", .min = 3, .bound = 2049, .kind = INGOT_SYM_DERIVED},
};
static const struct ingot_tensor_info rows_inputs[] = {
    TENSOR("x", INGOT_F32, 2, 65536, SYMBOL(0, 1024), FIXED(16)),
};
static const struct ingot_tensor_info rows_outputs[] = {
    TENSOR("y", INGOT_F32, 2, 65536, SYMBOL(0, 1024), FIXED(16)),
    TENSOR("total", INGOT_F32, 1, 4, FIXED(1)),
    TENSOR("odd", INGOT_I32, 1, 8196, SYMBOL(1, 2049)),
};
static const struct ingot_arg rows_args[] = {
    ARG(INPUT, 0, 0, -1, R),  ARG(WEIGHT, 0, 64, -1, R), ARG(ARENA, 0, 0, -1, W), // affine
    ARG(ARENA, 0, 0, -1, R),  ARG(OUTPUT, 0, 0, -1, W),                           // square
    ARG(OUTPUT, 0, 0, -1, R), ARG(OUTPUT, 1, 0, -1, W),                           // total
    ARG(OUTPUT, 2, 0, -1, W),                                                     // odd
};
#define KERNEL(f, at, n, t, c, ...)                                                                          \
  {                                                                                                          \
    .kind = INGOT_STEP_KERNEL, .kernel = f, .first_arg = at, .n_args = n, .trip = t, .grain = 1, .cost = c,  \
    .sym = -1, .name = #f, __VA_ARGS__                                                                       \
  }
#define SYM_TRIP(s, x) ((struct ingot_dim)SYMBOL(s, x))
#define TRIP(x)        ((struct ingot_dim)FIXED(x))
static const struct ingot_step rows_steps[] = {
    KERNEL(rows_affine, 0, 3, SYMBOL(0, 1024), DEAR, .flags = INGOT_STEP_CHAIN),
    KERNEL(rows_square, 3, 2, SYMBOL(0, 1024), DEAR, .scratch = 64),
    KERNEL(rows_total, 5, 2, FIXED(1), DEAR, .flags = INGOT_STEP_SERIAL),
    KERNEL(rows_odd, 7, 1, SYMBOL(1, 2049), CHEAP, .flags = 0),
};
static const _Alignas(64) float rows_weights[32] = {[16] = 1, 2,  3,  4,  5,  6,  7,  8,
                                                    9,        10, 11, 12, 13, 14, 15, 16};

EXPORT const struct ingot_model ingot_model_rows = {
    HEAD("rows"),
    .inputs = rows_inputs,
    .outputs = rows_outputs,
    .symbols = rows_symbols,
    .args = rows_args,
    .steps = rows_steps,
    .n_inputs = LEN(rows_inputs),
    .n_outputs = LEN(rows_outputs),
    .n_symbols = LEN(rows_symbols),
    .n_args = LEN(rows_args),
    .n_steps = LEN(rows_steps),
    .main = {0, LEN(rows_steps)},
    .shapes = rows_shapes,
    .weights = {.data = rows_weights, .bytes = sizeof rows_weights},
    .arena_bytes = 65536,
    .scratch_bytes = 64,
    .id = 1,
};

EXPORT int rows_run(const float *x, int64_t T, float *y, float *total, int32_t *odd) {
  const void *in[] = {x};
  void *out[] = {y, total, odd};
  return ingot_run_simple(&ingot_model_rows, in, &T, out);
}

// ---- control: n(i64), negate(bool), ok(bool) -> sum(i64) = +-(0 + ... + n - 1), list(i64)[n] = 0 .. n - 1

static void control_zero(void *const *buf, const int64_t *sym, int64_t lo, int64_t hi, void *scratch) {
  (void)sym, (void)lo, (void)hi, (void)scratch;
  *(int64_t *)buf[0] = 0;
}
static void control_add(void *const *buf, const int64_t *sym, int64_t lo, int64_t hi, void *scratch) {
  (void)lo, (void)hi, (void)scratch;
  *(int64_t *)buf[0] += sym[0] == *(int64_t *)buf[1] ? sym[0] : 1000000;
}
static void control_negate(void *const *buf, const int64_t *sym, int64_t lo, int64_t hi, void *scratch) {
  (void)sym, (void)lo, (void)hi, (void)scratch;
  *(int64_t *)buf[0] = -*(int64_t *)buf[0];
}
static void control_list(void *const *buf, const int64_t *sym, int64_t lo, int64_t hi, void *scratch) {
  (void)sym, (void)scratch;
  for (int64_t i = lo; i < hi; i++) ((int64_t *)buf[0])[i] = i;
}

static const struct ingot_symbol control_symbols[] = {
    {.name = "i", .min = 0, .bound = 100, .kind = INGOT_SYM_STEP},
    {.name = "N", .min = 0, .bound = 80, .kind = INGOT_SYM_STEP},
};
static const struct ingot_tensor_info control_inputs[] = {
    SCALAR("n", INGOT_I64, 8),
    SCALAR("negate", INGOT_BOOL, 1),
    SCALAR("ok", INGOT_BOOL, 1),
};
static const struct ingot_tensor_info control_outputs[] = {
    SCALAR("sum", INGOT_I64, 8),
    TENSOR("list", INGOT_I64, 1, 640, SYMBOL(1, 80)),
};
static const struct ingot_arg control_args[] = {
    ARG(ARENA, 0, 0, -1, W),                                                      // 0 zero, negate
    ARG(INPUT, 0, 0, 0, R),   ARG(NONE, 0, 0, -1, 0),   ARG(ARENA, 0, 64, -1, W), // 1 loop
    ARG(ARENA, 0, 0, -1, W),  ARG(ARENA, 0, 64, -1, R),                           // 4 add
    ARG(INPUT, 1, 0, -1, R),                                                      // 6 if
    ARG(INPUT, 2, 0, -1, R),                                                      // 7 check
    ARG(ARENA, 0, 0, -1, R),  ARG(OUTPUT, 0, 0, -1, W),                           // 8 copy
    ARG(OUTPUT, 1, 0, -1, W),                                                     // 10 list
};
static const struct ingot_step control_steps[] = {
    KERNEL(control_zero, 0, 1, FIXED(1), CHEAP, .flags = 0),
    {.kind = INGOT_STEP_SYMBOL, .first_arg = 1, .n_args = 1, .sym = 1, .name = "count"},
    {.kind = INGOT_STEP_LOOP,
     .first_arg = 1,
     .n_args = 3,
     .trip = FIXED(100),
     .sym = 0,
     .body = {{7, 1}},
     .name = "loop"},
    {.kind = INGOT_STEP_IF, .first_arg = 6, .n_args = 1, .body = {{8, 1}}, .sym = -1, .name = "if"},
    {.kind = INGOT_STEP_CHECK, .first_arg = 7, .n_args = 1, .sym = -1, .name = "input 'ok' must be true"},
    {.kind = INGOT_STEP_COPY,
     .first_arg = 8,
     .n_args = 2,
     .trip = FIXED(1),
     .grain = 1,
     .imm = 8,
     .sym = -1,
     .name = "copy"},
    KERNEL(control_list, 10, 1, SYMBOL(1, 80), DEAR, .flags = 0),
    KERNEL(control_add, 4, 2, FIXED(1), CHEAP, .flags = 0),    // body of the loop
    KERNEL(control_negate, 0, 1, FIXED(1), CHEAP, .flags = 0), // body of the if
};

static const struct ingot_model control_model = {
    HEAD("control"),
    .inputs = control_inputs,
    .outputs = control_outputs,
    .tensors = control_inputs,
    .symbols = control_symbols,
    .args = control_args,
    .steps = control_steps,
    .n_inputs = LEN(control_inputs),
    .n_outputs = LEN(control_outputs),
    .n_tensors = LEN(control_inputs),
    .n_symbols = LEN(control_symbols),
    .n_args = LEN(control_args),
    .n_steps = LEN(control_steps),
    .main = {0, 7},
    .arena_bytes = 128,
    .id = 2,
};

// ---- memory: x[L] goes to the end of a cache of 8 -> sum[1] of all that is in the cache --------------

static void memory_store(void *const *buf, const int64_t *sym, int64_t lo, int64_t hi, void *scratch) {
  (void)scratch;
  for (int64_t i = lo; i < hi; i++) ((float *)buf[1])[sym[1] + i] = ((const float *)buf[0])[i];
}
static void memory_sum(void *const *buf, const int64_t *sym, int64_t lo, int64_t hi, void *scratch) {
  float sum = *(const float *)buf[3]; // the bias, a state with an initial value
  (void)lo, (void)hi, (void)scratch;
  for (int64_t i = 0; i < sym[2]; i++) sum += ((const float *)buf[0])[i];
  *(float *)buf[1] = sum;
  *(int32_t *)buf[2] = (int32_t)sym[2];
}
static void memory_shapes(int64_t *sym) {
  sym[2] = sym[0] + sym[1];
}

static const struct ingot_symbol memory_symbols[] = {
    {.name = "L", .min = 1, .bound = 4, .kind = INGOT_SYM_INPUT, .mul = 1},
    {.name = "past", .min = 0, .bound = 8, .kind = INGOT_SYM_CALLER},
    {.name = "past+L", .min = 1, .bound = 8, .kind = INGOT_SYM_DERIVED},
};
static const struct ingot_tensor_info memory_inputs[] = {TENSOR("x", INGOT_F32, 1, 16, SYMBOL(0, 4))};
static const struct ingot_tensor_info memory_outputs[] = {TENSOR("sum", INGOT_F32, 1, 4, FIXED(1))};
static const struct ingot_tensor_info memory_tensors[] = {
    TENSOR("cache", INGOT_F32, 1, 32, FIXED(8)),
    TENSOR("bias", INGOT_F32, 1, 4, FIXED(1)),
    SCALAR("total", INGOT_I32, 4),
};
static const struct ingot_state memory_states[] = {{0, 0, 0, -1}, {1, 0, 64, 0}};
static const struct ingot_arg memory_args[] = {
    ARG(INPUT, 0, 0, -1, R), ARG(STATE, 0, 0, 0, W),                           // store
    ARG(STATE, 0, 0, 0, R),  ARG(OUTPUT, 0, 0, -1, W), ARG(ARENA, 0, 0, 2, W), // sum
    ARG(STATE, 0, 64, 1, R), ARG(ARENA, 0, 0, 2, R),                           // and: symbol
};
static const struct ingot_step memory_steps[] = {
    KERNEL(memory_store, 0, 2, SYMBOL(0, 4), DEAR, .flags = 0),
    KERNEL(memory_sum, 2, 4, FIXED(1), DEAR, .flags = 0),
    {.kind = INGOT_STEP_SYMBOL, .first_arg = 6, .n_args = 1, .sym = 1, .name = "advance"},
};
static const _Alignas(64) float memory_weights[1] = {100};

static const struct ingot_model memory_model = {
    HEAD("memory"),
    .inputs = memory_inputs,
    .outputs = memory_outputs,
    .tensors = memory_tensors,
    .symbols = memory_symbols,
    .states = memory_states,
    .args = memory_args,
    .steps = memory_steps,
    .n_inputs = 1,
    .n_outputs = 1,
    .n_tensors = LEN(memory_tensors),
    .n_symbols = LEN(memory_symbols),
    .n_states = LEN(memory_states),
    .n_args = LEN(memory_args),
    .n_steps = LEN(memory_steps),
    .main = {0, LEN(memory_steps)},
    .shapes = memory_shapes,
    .weights = {.data = memory_weights, .bytes = sizeof memory_weights},
    .arena_bytes = 64,
    .state_bytes = 128,
    .id = 3,
};

// ---- aside: weights in a file -> y[4] = the weights --------------------------------------------------

static const struct ingot_tensor_info aside_outputs[] = {TENSOR("y", INGOT_F32, 1, 16, FIXED(4))};
static const struct ingot_arg aside_args[] = {ARG(WEIGHT, 0, 0, -1, R), ARG(OUTPUT, 0, 0, -1, W)};
static const struct ingot_step aside_steps[] = {
    {.kind = INGOT_STEP_COPY,
     .n_args = 2,
     .trip = FIXED(4),
     .grain = 1,
     .cost = DEAR,
     .imm = 4,
     .sym = -1,
     .name = "copy"},
};
static const struct ingot_model aside_model = {
    HEAD("aside"),
    .outputs = aside_outputs,
    .args = aside_args,
    .steps = aside_steps,
    .n_outputs = 1,
    .n_args = LEN(aside_args),
    .n_steps = 1,
    .main = {0, 1},
    // ingot_hash of the floats 1, 2, 3, 4
    .weights = {.file = "fake.weights", .bytes = 16, .hash = 0x5520f4504f24b6bu},
    .id = 4,
};

// ---- variant: the first form needs a processor that nobody has ---------------------------------------

static const struct ingot_model imaginary_model = {HEAD("imaginary"), .cpu_features = "imaginary", .id = 5};
static const struct ingot_model variant_model = {HEAD("variant"), .cpu_features = "imaginary",
                                                 .next_variant = &aside_model, .id = 6};

// ---- forms: two that any processor runs, with states of different sizes ------------------------------

static const struct ingot_model narrow_model = {HEAD("forms"), .isa = "narrow", .state_bytes = 64, .id = 7};
static const struct ingot_model forms_model = {HEAD("forms"), .isa = "wide", .next_variant = &narrow_model,
                                               .state_bytes = 512, .id = 8};

static const struct ingot_model *const models[] = {&ingot_model_rows, &control_model, &memory_model,
                                                   &aside_model,      &variant_model, &forms_model,
#ifdef FAKE_IMAGINARY
                                                   &imaginary_model
#endif
};

EXPORT const struct ingot_artefact ingot_artefact = {
    .magic = INGOT_MAGIC,
    .abi_major = FAKE_ABI_MAJOR,
    .size = sizeof(struct ingot_artefact),
    .n_models = LEN(models),
    .models = models,
};

// Kept, so that one source serves all forms of the library.
__attribute__((used)) static const struct ingot_model *const unlisted = &imaginary_model;
