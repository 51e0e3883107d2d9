// keys.h: elements of any type as integers of the same order, and sorting by them.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_RUNTIME_KEYS_H
#define INGOT_RUNTIME_KEYS_H

#include "internal.h"

// An element's rank among its kind and where it was. Keys compare as the elements do; -0 equals +0, and all
// NaN are equal and above everything else.
typedef struct Key {
  uint64_t key;
  int64_t index;
} Key;

// Decides between two elements with equal keys: < 0 if a comes first, 0 if they are equal (then by index).
typedef int (*KeyTie)(const void *arg, int64_t a, int64_t b);

uint64_t ingot_key_of(int32_t dtype, const void *data, int64_t i);
bool ingot_key_nonzero(int32_t dtype, const void *data, int64_t i); // NaN counts as non-zero

// Stable: equal elements stay in order of their index. `tmp` has room for n keys; tie may be NULL.
void ingot_keys_sort(Key *keys, Key *tmp, int64_t n, KeyTie tie, const void *arg);
// Brings the k first of n keys in sorted order to the front; the rest is in no order. tmp: n keys.
void ingot_keys_sort_first(Key *keys, Key *tmp, int64_t n, int64_t k);

// ---- what routines do with their arguments -----------------------------------------------------------

// The extent that the routine finds out is at most this; without a symbol it can only be 0.
static inline int64_t routine_bound(const struct ingot_routine_call *c) {
  return c->step->sym >= 0 ? c->model->symbols[c->step->sym].bound : 0;
}

static inline void *routine_buf(const struct ingot_routine_call *c, int32_t k) {
  return k < c->step->n_args ? c->buf[k] : NULL;
}
static inline int64_t routine_extent(const struct ingot_routine_call *c, int32_t k, int32_t d) {
  return ingot_dim_value(&ingot_call_tensor(c, k)->dims[d], c->sym);
}
// The product of extents [from, to) of argument k.
static inline int64_t routine_elements(const struct ingot_routine_call *c, int32_t k, int32_t from,
                                       int32_t to) {
  int64_t n = 1;
  for (int32_t d = from; d < to; d++) n *= routine_extent(c, k, d);
  return n;
}
// Sets the step's symbol, which is the extent of a result; more than the model allows is INGOT_E_DATA, and
// then nothing may be written.
static inline int routine_set_extent(const struct ingot_routine_call *c, int64_t n) {
  if (n > routine_bound(c)) return INGOT_E_DATA;
  if (c->step->sym >= 0) c->sym[c->step->sym] = n;
  return INGOT_OK;
}

#endif
