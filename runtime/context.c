// context.c: making and ending contexts: one block of memory for all, every address resolved beforehand.
// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(struct ingot_ctx) <= INGOT_CTX_HEAD && sizeof(Binding) <= INGOT_CTX_BINDING,
               "ingot_ctx_bound");

// ---- layout of the block -----------------------------------------------------------------------------

// Hands out places one after the other. With base == NULL it only measures.
typedef struct Layout {
  char *base;
  uint64_t at;
  bool overflow;
} Layout;

static void *place(Layout *l, uint64_t count, uint64_t size) {
  uint64_t bytes, at = l->at;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > INT64_MAX - 64 ||
      __builtin_add_overflow(l->at, round_up_64(bytes), &l->at)) {
    l->overflow = true;
    return NULL;
  }
  return l->base ? l->base + at : NULL;
}

// The numbers of the arguments that live in tensor `index` of inputs or outputs, into *numbers.
static int32_t list_places(const struct ingot_model *m, int kind, int32_t index, int32_t *numbers) {
  int32_t n = 0;
  for (int32_t a = 0; a < m->n_args; a++)
    if (m->args[a].kind == kind && m->args[a].index == index) numbers[n++] = a;
  return n;
}

static void place_bindings(ingot_ctx *c, Layout *l, const struct ingot_model *m) {
  c->in = place(l, (uint64_t)m->n_inputs, sizeof *c->in);
  c->out = place(l, (uint64_t)m->n_outputs, sizeof *c->out);
  for (int32_t i = 0; i < m->n_inputs; i++) {
    int64_t *dims = place(l, (uint64_t)m->inputs[i].rank, sizeof *dims);
    if (l->base) c->in[i].dims = dims;
  }
  int32_t *numbers = place(l, (uint64_t)m->n_args, sizeof *numbers);
  if (!l->base) return;
  for (int32_t i = 0; i < m->n_inputs; i++) {
    c->in[i].places = numbers;
    numbers += c->in[i].n_places = list_places(m, INGOT_ARG_INPUT, i, numbers);
  }
  for (int32_t i = 0; i < m->n_outputs; i++) {
    c->out[i].places = numbers;
    numbers += c->out[i].n_places = list_places(m, INGOT_ARG_OUTPUT, i, numbers);
  }
}

static void place_outputs(ingot_ctx *c, Layout *l, const struct ingot_model *m) {
  for (int32_t i = 0; i < m->n_outputs; i++) {
    void *data = place(l, (uint64_t)m->outputs[i].bytes, 1);
    if (!l->base) continue;
    c->out[i].data = data;
    c->out[i].bytes = (uint64_t)m->outputs[i].bytes;
    c->out[i].set = true;
  }
}

// Everything a context needs, in one block that begins with the context itself. c->options and c->threads are
// set.
static void place_all(ingot_ctx *c, Layout *l, const struct ingot_model *m) {
  place(l, 1, sizeof *c);
  c->buf = place(l, (uint64_t)m->n_args, sizeof *c->buf);
  c->sym = place(l, (uint64_t)m->n_symbols, sizeof *c->sym);
  c->next_sym = place(l, (uint64_t)m->n_symbols, sizeof *c->next_sym);
  place_bindings(c, l, m);
  // Parts of different threads begin on lines of their own, and not all on the same set of the cache.
  c->scratch_stride = round_up_64((uint64_t)m->scratch_bytes) + (m->scratch_bytes ? 128 : 0);
  c->scratch = place(l, (uint64_t)c->threads, c->scratch_stride);
  if (c->options.flags & INGOT_OWN_OUTPUTS) place_outputs(c, l, m);
  c->arena = c->options.arena ? c->options.arena : place(l, (uint64_t)m->arena_bytes, 1);
  if (c->options.flags & INGOT_OWN_WEIGHTS) c->own_weights = place(l, (uint64_t)m->weights.bytes, 1);
  c->working_bytes = l->at;
  // Last, and on small pages unless all is brought in now: of a state that has room to grow a run touches a few rows here
  // and there, and huge pages for them would take as long as many a run.
  c->state = place(l, (uint64_t)m->state_bytes, 1);
}

// ---- options -----------------------------------------------------------------------------------------

// Options as given, the fields an older program does not know left zero.
static int read_options(struct ingot_options *to, const struct ingot_options *from) {
  memset(to, 0, sizeof *to);
  if (!from) return INGOT_OK;
  if (from->size < offsetof(struct ingot_options, arena)) return INGOT_E_ARGUMENT;
  memcpy(to, from, from->size < sizeof *to ? (size_t)from->size : sizeof *to);
  return INGOT_OK;
}

// Writes a text where the options want it and returns code.
static int refuse(const struct ingot_options *o, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(const struct ingot_options *o, int code, const char *fmt, ...) {
  va_list ap;
  if (!o->error || o->error_size == 0) return code;
  va_start(ap, fmt);
  vsnprintf(o->error, (size_t)o->error_size, fmt, ap);
  va_end(ap);
  return code;
}

static int check_options(const struct ingot_options *o, const struct ingot_model *m) {
  if (o->threads < 0 || o->threads > INGOT_MAX_THREADS)
    return refuse(o, INGOT_E_ARGUMENT, "%d threads wanted, 0 to %d are possible", o->threads,
                  INGOT_MAX_THREADS);
  if (m->flags & INGOT_MODEL_REAL_TIME && o->threads > 1 && !o->parallel_for)
    return refuse(o, INGOT_E_ARGUMENT,
                  "the model was compiled for real time: threads that wait for each other are the caller's "
                  "(parallel_for)");
  if (o->n_cpus < 0) return refuse(o, INGOT_E_ARGUMENT, "n_cpus is negative");
  if (o->spin_us < 0) return refuse(o, INGOT_E_ARGUMENT, "spin_us is negative");
  if ((uintptr_t)o->memory % INGOT_CTX_ALIGN)
    return refuse(o, INGOT_E_ALIGN, "memory: the address %p is not a multiple of %d", o->memory,
                  INGOT_CTX_ALIGN);
  if (!o->arena) return INGOT_OK;
  if (o->arena_bytes < (uint64_t)m->arena_bytes)
    return refuse(o, INGOT_E_BYTES, "arena: %llu bytes given, %lld needed",
                  (unsigned long long)o->arena_bytes, (long long)m->arena_bytes);
  if ((uintptr_t)o->arena % INGOT_ALIGN)
    return refuse(o, INGOT_E_ALIGN, "arena: the address %p is not a multiple of %d", o->arena, INGOT_ALIGN);
  return INGOT_OK;
}

static int32_t thread_count(const struct ingot_options *o, const struct ingot_model *m) {
  if (m->flags & INGOT_MODEL_REAL_TIME && !o->parallel_for) return 1;
  int n = o->threads ? o->threads : ingot_pool_cpus();
  return n < INGOT_MAX_THREADS ? n : INGOT_MAX_THREADS;
}

// A context as far as it can be told without memory: model, options, threads, block_bytes.
static int draft_context(ingot_ctx *draft, const struct ingot_model *head, const struct ingot_options *o) {
  memset(draft, 0, sizeof *draft);
  if (!head || read_options(&draft->options, o)) return INGOT_E_ARGUMENT;
  const char *isa = draft->options.isa;
  const struct ingot_model *m = draft->model = isa ? ingot_pick_isa(head, isa) : ingot_api_pick(head);
  if (!m && isa)
    return refuse(&draft->options, INGOT_E_CPU, "model '%s' has no form for '%s' that this processor can run",
                  head->name, isa);
  if (!m)
    return refuse(&draft->options, INGOT_E_CPU, "model '%s': %s", head->name,
                  ingot_api_error_text(INGOT_E_CPU));
  int code = check_options(&draft->options, m);
  if (code) return code;
  draft->threads = thread_count(&draft->options, m);
  Layout l = {0};
  place_all(draft, &l, m);
  draft->block_bytes = l.at;
  if (l.overflow || l.at > SIZE_MAX)
    return refuse(&draft->options, INGOT_E_MEMORY, "larger than the address space");
  return INGOT_OK;
}

int ingot_api_ctx_bytes(const ingot_model *head, const struct ingot_options *o, uint64_t *arena,
                        uint64_t *total) {
  ingot_ctx draft;
  int code = draft_context(&draft, head, o);
  if (code) return code;
  *arena = (uint64_t)draft.model->arena_bytes;
  *total = draft.block_bytes;
  return INGOT_OK;
}

// ---- making and ending -------------------------------------------------------------------------------

// The address of an argument, as far as it is the same in every run.
static void *fixed_address(const ingot_ctx *c, const struct ingot_arg *a) {
  switch (a->kind) {
  case INGOT_ARG_ARENA: return c->arena + a->offset;
  case INGOT_ARG_STATE: return c->state + a->offset;
  case INGOT_ARG_WEIGHT: return (char *)(uintptr_t)c->weights.data + a->offset; // kernels only read it
  default: return NULL;
  }
}

// Every page once, so that no run waits for the system to bring one. An arena of the caller's may be in use now.
static void touch(const ingot_ctx *c) {
  enum { PAGE = 4096 };
  volatile char *block = (volatile char *)(uintptr_t)c;
  const volatile char *weights = c->weights.data;
  for (uint64_t at = 0; at < c->block_bytes; at += PAGE) block[at] = block[at];
  for (int64_t at = 0; at < c->model->weights.bytes; at += PAGE) (void)weights[at];
}

static bool is_warm(const ingot_ctx *c) {
  return c->model->flags & INGOT_MODEL_REAL_TIME || c->options.flags & INGOT_WARM;
}

// Copies the weights to the context's own room, and lets go of where they were.
static void own_weights(ingot_ctx *c) {
  memcpy(c->own_weights, c->weights.data, (size_t)c->model->weights.bytes);
  ingot_weights_close(&c->weights);
  c->weights = (Weights){.data = c->own_weights};
}

static int build(ingot_ctx *c, const ingot_ctx *draft) {
  const struct ingot_model *m = c->model = draft->model;
  c->api = &ingot_runtime_api;
  c->block_bytes = draft->block_bytes;
  c->options = draft->options;
  c->threads = draft->threads;
  c->dirty = true;
  Layout l = {.base = (char *)c};
  place_all(c, &l, m);
  int code = ingot_weights_open(&c->weights, m, &c->options, c->error, sizeof c->error);
  if (code) return refuse(&c->options, code, "%s", c->error);
  if (c->own_weights && c->weights.data) own_weights(c);
  for (int32_t a = 0; a < m->n_args; a++) c->buf[a] = fixed_address(c, &m->args[a]);
  ingot_bind_own_outputs(c);
  ingot_symbols_init(c);
  ingot_state_init(c);
  if (is_warm(c)) touch(c);
  if (c->options.parallel_for) return INGOT_OK;
  code = ingot_pool_create(&c->pool, c->threads, &c->options);
  return code ? refuse(&c->options, code, "%d threads: %s", c->threads, ingot_api_error_text(code))
              : INGOT_OK;
}

// Where a context lies: in what the caller gives, in the room that the artefact brings, which holds one, or in
// memory of its own.
static void *take_memory(const ingot_ctx *draft) {
  const struct ingot_options *o = &draft->options;
  const struct ingot_model *m = draft->model;
  void *block = o->memory ? o->memory : m->room;
  uint64_t bytes = o->memory ? o->memory_bytes : m->room_bytes;
  if (!block) {
    uint64_t huge = is_warm(draft) ? draft->block_bytes : draft->working_bytes;
    return ingot_memory_alloc(draft->block_bytes, o->flags & INGOT_NO_HUGE_PAGES ? 0 : huge);
  }
  bool taken = block == m->room && ((ingot_ctx *)block)->api;
  if (bytes < draft->block_bytes || taken) return NULL;
  return memset(block, 0, (size_t)draft->block_bytes);
}

int ingot_api_ctx_create(const ingot_model *head, const struct ingot_options *o, ingot_ctx **ctx) {
  ingot_ctx draft;
  if (!ctx) return INGOT_E_ARGUMENT;
  *ctx = NULL;
  int code = draft_context(&draft, head, o);
  if (code) return code;
  ingot_ctx *c = take_memory(&draft);
  if (!c)
    return refuse(&draft.options, INGOT_E_MEMORY, "%llu bytes: out of memory",
                  (unsigned long long)draft.block_bytes);
  code = build(c, &draft);
  if (code) {
    ingot_api_ctx_destroy(c);
    return code;
  }
  *ctx = c;
  return INGOT_OK;
}

void ingot_api_ctx_destroy(ingot_ctx *c) {
  ingot_pool_destroy(c->pool);
  ingot_weights_close(&c->weights);
  c->api = NULL; // the room is free again
  if (!c->options.memory && (void *)c != c->model->room) ingot_memory_free(c, c->block_bytes);
}

// ---- one thread at a time ----------------------------------------------------------------------------

bool ingot_ctx_enter(ingot_ctx *c) {
  return !atomic_exchange_explicit(&c->busy, true, memory_order_acquire);
}

int ingot_ctx_leave(ingot_ctx *c, int code) {
  atomic_store_explicit(&c->busy, false, memory_order_release);
  return code;
}

int ingot_ctx_fail(ingot_ctx *c, int code, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(c->error, sizeof c->error, fmt, ap);
  va_end(ap);
  return code;
}
