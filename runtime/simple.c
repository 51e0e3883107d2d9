// simple.c: the convenience call: finds or makes a context, binds, runs, keeps the context for the next call.
// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#include <pthread.h>
#include <stdlib.h>

// State has no place to live between such calls, which may come from anywhere: each begins with the initial values.

// Contexts between two calls. As many per model as there were calls at the same time; all are freed when the
// library is unloaded or the program ends.
static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;
static ingot_ctx *idle;

static ingot_ctx *take_idle(const struct ingot_model *m) {
  pthread_mutex_lock(&idle_lock);
  ingot_ctx **at = &idle;
  while (*at && (*at)->model != m) at = &(*at)->next;
  ingot_ctx *c = *at;
  if (c) *at = c->next;
  pthread_mutex_unlock(&idle_lock);
  return c;
}

static void keep_idle(ingot_ctx *c) {
  pthread_mutex_lock(&idle_lock);
  c->next = idle;
  idle = c;
  pthread_mutex_unlock(&idle_lock);
}

#ifndef INGOT_BARE // what never ends needs no end
__attribute__((destructor)) static void free_idle(void) {
  while (idle) {
    ingot_ctx *c = idle;
    idle = c->next;
    ingot_api_ctx_destroy(c);
  }
}
#endif

// The environment variable INGOT_THREADS stands in for the option that this call does not have.
static int new_context(const struct ingot_model *m, ingot_ctx **c) {
  struct ingot_options o = {.size = sizeof o};
  const char *threads = getenv("INGOT_THREADS");
  long n = threads ? strtol(threads, NULL, 10) : 0;
  o.threads = n < 0 || n > INGOT_MAX_THREADS ? 0 : (int32_t)n;
  return ingot_api_ctx_create(m, &o, c);
}

static int bind_and_run(ingot_ctx *c, const void *const *inputs, const int64_t *symbols,
                        void *const *outputs) {
  const struct ingot_model *m = c->model;
  int64_t dims[INGOT_MAX_RANK];
  if (m->n_states) ingot_state_start(c);
  int code = ingot_symbols_from_values(c, symbols);
  if (code) c->dirty = true; // the values of the last run are gone
  for (int32_t i = 0; i < m->n_inputs && !code; i++) {
    const struct ingot_tensor_info *t = &m->inputs[i];
    for (int32_t d = 0; d < t->rank; d++) dims[d] = ingot_dim_value(&t->dims[d], c->sym);
    code = ingot_api_set_input(c, i, inputs[i], t->dtype, t->rank, dims, (uint64_t)t->bytes);
  }
  for (int32_t i = 0; i < m->n_outputs && !code; i++)
    code = ingot_api_set_output(c, i, outputs[i], (uint64_t)m->outputs[i].bytes);
  return code ? code : ingot_api_run(c);
}

int ingot_run_simple(const struct ingot_model *head, const void *const *inputs, const int64_t *symbols,
                     void *const *outputs) {
  const struct ingot_model *m = head ? ingot_api_pick(head) : NULL;
  if (!head) return INGOT_E_ARGUMENT;
  if (!m) return INGOT_E_CPU;
  ingot_ctx *c = take_idle(m);
  int code = c ? INGOT_OK : new_context(m, &c);
  if (code) return code;
  code = bind_and_run(c, inputs, symbols, outputs);
  keep_idle(c);
  return code;
}
