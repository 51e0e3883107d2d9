// rt_topk.c: the first k of every row in order, with their indices; sorting is k = n.
// SPDX-License-Identifier: Apache-2.0
#include "keys.h"

#include <string.h>

enum { X, VALUES, INDICES };
enum { AXIS, LARGEST };

typedef struct Rows {
  int64_t n, k,
      inner; // extents along the axis of operand and results; elements between neighbours on the axis
  int32_t dtype, size;
  bool largest;
} Rows;

static void load(const Rows *r, const void *x, int64_t base, Key *keys) {
  uint64_t flip = r->largest ? UINT64_MAX : 0;
  for (int64_t i = 0; i < r->n; i++)
    keys[i] = (Key){ingot_key_of(r->dtype, x, base + i * r->inner) ^ flip, i};
}

static void store(const Rows *r, const struct ingot_routine_call *c, int64_t from, int64_t to,
                  const Key *keys) {
  const char *x = c->buf[X];
  char *values = routine_buf(c, VALUES);
  int64_t *indices = routine_buf(c, INDICES);
  size_t size = (size_t)r->size;
  for (int64_t i = 0; i < r->k; i++) {
    int64_t at = to + i * r->inner;
    if (values)
      memcpy(values + (size_t)at * size, x + (size_t)(from + keys[i].index * r->inner) * size, size);
    if (indices) indices[at] = keys[i].index;
  }
}

int ingot_rt_topk(const struct ingot_routine_call *c) {
  const struct ingot_tensor_info *x = ingot_call_tensor(c, X);
  int32_t axis = (int32_t)c->step->ints[AXIS], result = routine_buf(c, VALUES) ? VALUES : INDICES;
  if (!routine_buf(c, result)) return INGOT_OK;
  const Rows r = {routine_extent(c, X, axis),
                  routine_extent(c, result, axis),
                  routine_elements(c, X, axis + 1, x->rank),
                  x->dtype,
                  ingot_dtype_size(x->dtype),
                  c->step->ints[LARGEST] != 0};
  if (r.k > r.n) return INGOT_E_DATA;
  Key *keys = c->scratch;
  for (int64_t row = c->lo; row < c->hi; row++) {
    int64_t outer = row / r.inner, inner = row % r.inner;
    int64_t from = outer * r.n * r.inner + inner;
    load(&r, c->buf[X], from, keys);
    ingot_keys_sort_first(keys, keys + r.n, r.n, r.k);
    store(&r, c, from, outer * r.k * r.inner + inner, keys);
  }
  return INGOT_OK;
}
