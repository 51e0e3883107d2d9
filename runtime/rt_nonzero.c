// rt_nonzero.c: the indices of all elements that are not zero, one column each, in row-major order.
// SPDX-License-Identifier: Apache-2.0
#include "keys.h"

enum { X, INDICES };

// The next index in row-major order.
static void advance(int64_t *at, const struct ingot_routine_call *c, int32_t rank) {
  for (int32_t d = rank - 1; d >= 0; d--) {
    if (++at[d] < routine_extent(c, X, d)) return;
    at[d] = 0;
  }
}

int ingot_rt_nonzero(const struct ingot_routine_call *c) {
  const struct ingot_tensor_info *x = ingot_call_tensor(c, X);
  int64_t elements = routine_elements(c, X, 0, x->rank), count = 0, column = 0;
  for (int64_t i = 0; i < elements; i++) count += ingot_key_nonzero(x->dtype, c->buf[X], i);
  int code = routine_set_extent(c, count);
  if (code) return code;
  int64_t at[INGOT_MAX_RANK] = {0}, *indices = c->buf[INDICES];
  for (int64_t i = 0; i < elements && column < count; i++, advance(at, c, x->rank)) {
    if (!ingot_key_nonzero(x->dtype, c->buf[X], i)) continue;
    for (int32_t d = 0; d < x->rank; d++) indices[d * count + column] = at[d];
    column++;
  }
  return INGOT_OK;
}
