// rt_check.c: looks at what a kernel compiled with checks has done.
// SPDX-License-Identifier: Apache-2.0
#include "keys.h"

enum { FAULT, FIRST };

static bool is_nan_bits(uint64_t bits, int exponent, int fraction) {
  uint64_t e = (UINT64_C(1) << exponent) - 1;
  return (bits >> fraction & e) == e && (bits & ((UINT64_C(1) << fraction) - 1)) != 0;
}

static bool is_nan(int32_t dtype, const void *data, int64_t i) {
  switch (dtype) {
  case INGOT_F16: return is_nan_bits(((const uint16_t *)data)[i], 5, 10);
  case INGOT_BF16: return is_nan_bits(((const uint16_t *)data)[i], 8, 7);
  case INGOT_F32: return is_nan_bits(((const uint32_t *)data)[i], 8, 23);
  case INGOT_F64: return is_nan_bits(((const uint64_t *)data)[i], 11, 52);
  default: return false;
  }
}

static bool has_nan(const struct ingot_routine_call *c, int32_t k) {
  const struct ingot_tensor_info *t = ingot_call_tensor(c, k);
  if (!t || !c->buf[k]) return false;
  int64_t n = routine_elements(c, k, 0, t->rank);
  for (int64_t i = 0; i < n; i++)
    if (is_nan(t->dtype, c->buf[k], i)) return true;
  return false;
}

int ingot_rt_check(const struct ingot_routine_call *c) {
  int64_t *fault = c->buf[FAULT], results = c->step->ints[0];
  bool outside = fault[0] != 0;
  fault[0] = 0;
  if (results < 0) return INGOT_OK;
  if (outside) return INGOT_E_INDEX;
  int32_t k = FIRST, born = 0;
  for (; k < FIRST + results; k++) born |= has_nan(c, k);
  for (; born && k < c->step->n_args; k++)
    if (has_nan(c, k)) return INGOT_OK;
  return born ? INGOT_E_NAN : INGOT_OK;
}
