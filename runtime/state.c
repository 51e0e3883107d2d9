// state.c: values that live in a context from run to run: reset, copied out, put back.
// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#include <string.h>

uint64_t ingot_api_state_bytes(const ingot_model *head) {
  const ingot_model *m = ingot_api_pick(head);
  return m ? ingot_state_copy_bytes(m) : 0;
}

// The block comes zeroed from its allocation.
void ingot_state_init(ingot_ctx *c) {
  const struct ingot_model *m = c->model;
  for (int32_t i = 0; i < m->n_states; i++) {
    const struct ingot_state *s = &m->states[i];
    if (s->init < 0) continue;
    memcpy(c->state + s->offset, (const char *)c->weights.data + s->init,
           (size_t)m->tensors[s->tensor].bytes);
  }
}

// What grows is left as it is: its extent alone says how much of it there is.
void ingot_state_start(ingot_ctx *c) {
  const struct ingot_model *m = c->model;
  for (int32_t i = 0; i < m->n_states; i++) {
    const struct ingot_state *s = &m->states[i];
    if (s->flags & INGOT_STATE_GROWS || s->init >= 0) continue;
    memset(c->state + s->offset, 0, (size_t)m->tensors[s->tensor].bytes);
  }
  ingot_state_init(c);
  for (int32_t s = 0; s < m->n_symbols; s++)
    if (ingot_symbol_kept(m, s)) c->next_sym[s] = m->symbols[s].min;
  c->dirty = true;
}

int ingot_api_state_reset(ingot_ctx *c) {
  if (!c) return INGOT_E_ARGUMENT;
  if (!ingot_ctx_enter(c)) return INGOT_E_BUSY;
  ingot_state_start(c);
  return ingot_ctx_leave(c, INGOT_OK);
}

static void save(const ingot_ctx *c, char *to, uint64_t bytes) {
  const struct ingot_state_head head = {c->model->id, bytes};
  memcpy(to, &head, sizeof head);
  to += sizeof head;
  for (int32_t s = 0; s < c->model->n_symbols; s++) {
    if (!ingot_symbol_kept(c->model, s)) continue;
    memcpy(to, &c->next_sym[s], sizeof(int64_t));
    to += sizeof(int64_t);
  }
  if (c->model->state_bytes) memcpy(to, c->state, (size_t)c->model->state_bytes);
}

int ingot_api_state_save(const ingot_ctx *c, void *to, uint64_t bytes) {
  if (!c || !to) return INGOT_E_ARGUMENT;
  ingot_ctx *own = (ingot_ctx *)(uintptr_t)c; // the lock and the text change, the state does not
  if (!ingot_ctx_enter(own)) return INGOT_E_BUSY;
  uint64_t want = ingot_state_copy_bytes(c->model);
  if (bytes < want)
    return ingot_ctx_leave(own, ingot_ctx_fail(own, INGOT_E_BYTES, "state: %llu bytes given, %llu needed",
                                               (unsigned long long)bytes, (unsigned long long)want));
  if (want) save(c, to, want);
  return ingot_ctx_leave(own, INGOT_OK);
}

// Checks the whole copy before anything is changed.
static int check_copy(ingot_ctx *c, const char *from, uint64_t bytes, uint64_t want) {
  struct ingot_state_head head = {0};
  if (bytes < want)
    return ingot_ctx_fail(c, INGOT_E_BYTES, "state: %llu bytes given, %llu needed", (unsigned long long)bytes,
                          (unsigned long long)want);
  if (!want && !bytes) return INGOT_OK; // nothing, of a model that keeps nothing
  if (bytes >= sizeof head) memcpy(&head, from, sizeof head);
  if (!want || head.model != c->model->id || head.bytes != want)
    return ingot_ctx_fail(c, INGOT_E_FORMAT, "state: not a copy of a state of '%s'", c->model->name);
  from += sizeof head;
  for (int32_t s = 0; s < c->model->n_symbols; s++) {
    int64_t value;
    if (!ingot_symbol_kept(c->model, s)) continue;
    memcpy(&value, from, sizeof value);
    from += sizeof value;
    if (value < c->model->symbols[s].min || value > c->model->symbols[s].bound)
      return ingot_ctx_fail(c, INGOT_E_FORMAT, "state: '%s' is out of its range", c->model->symbols[s].name);
  }
  return INGOT_OK;
}

int ingot_api_state_restore(ingot_ctx *c, const void *from, uint64_t bytes) {
  if (!c || !from) return INGOT_E_ARGUMENT;
  if (!ingot_ctx_enter(c)) return INGOT_E_BUSY;
  int code = check_copy(c, from, bytes, ingot_state_copy_bytes(c->model));
  if (code) return ingot_ctx_leave(c, code);
  if (!bytes) return ingot_ctx_leave(c, INGOT_OK);
  const char *p = (const char *)from + sizeof(struct ingot_state_head);
  for (int32_t s = 0; s < c->model->n_symbols; s++) {
    if (!ingot_symbol_kept(c->model, s)) continue;
    memcpy(&c->next_sym[s], p, sizeof(int64_t));
    p += sizeof(int64_t);
  }
  if (c->model->state_bytes) memcpy(c->state, p, (size_t)c->model->state_bytes);
  c->dirty = true;
  return ingot_ctx_leave(c, INGOT_OK);
}
