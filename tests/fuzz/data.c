// data.c: the elements of inputs and constants, from their names.
// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdlib.h>

static double ordinary(Rng *r) {
  switch (rng_below(r, 8)) {
  case 0: return (double)rng_range(r, -8, 8) / 4; // ties
  case 1: return (double)rng_range(r, -2, 2);
  default: return rng_unit(r) * 4 - 2;
  }
}

static double special(Rng *r) {
  static const double values[] = {0.0,    -0.0, INFINITY, -INFINITY, NAN, 1e-40,
                                  -1e-40, 1e15, -1e15,    65504,     1e-7};
  return rng_chance(r, 12) ? rng_pick(r, values) : ordinary(r);
}

static double real(Rng *r, char kind) {
  switch (kind) {
  case 'p': return rng_unit(r) * 1.9 + 0.1;
  case 'u': return rng_unit(r) * 1.8 - 0.9;
  case 'g': return rng_unit(r) * 2 + 1.01;
  case 's': return special(r);
  default: return ordinary(r);
  }
}

// Mostly small; the ends of the type and everything between now and then.
static int64_t integer(Rng *r, DType t, char kind) {
  int bits = dtype_bytes(t) * 8;
  uint64_t ones = UINT64_MAX >> (64 - bits);
  bool sgn = dtype_class(t) == 's';
  if (kind == 'p' || kind == 'g') return rng_range(r, 1, 5);
  switch (rng_below(r, 16)) {
  case 0: return (int64_t)rng_next(r);
  case 1: return (int64_t)(sgn ? ones >> 1 : ones);
  case 2: return sgn ? (int64_t) ~(ones >> 1) : 0;
  default: return rng_range(r, sgn ? -8 : 0, 8);
  }
}

static int64_t index_of(Rng *r, int64_t extent, char kind) {
  if (kind == 'j') return rng_range(r, 0, extent);
  if (rng_chance(r, 2)) return rng_range(r, -extent - 2, extent + 1);
  return rng_chance(r, 20) ? rng_range(r, -extent, extent - 1) : rng_below(r, extent);
}

Tensor *fuzz_tensor(Ctx *c, const char *name, const Type *type) {
  Tensor *x = tensor_new(c, type);
  Rng r = {hash_bytes(name, strlen(name))};
  char kind = name[0];
  bool index = kind == 'i' || kind == 'j';
  int64_t extent = index ? strtoll(name + 1, NULL, 10) : 0;
  for (int64_t i = 0, n = type_elements(type); i < n; i++) {
    if (dtype_is_float(type->dtype))
      tensor_set(x, i, index ? (double)index_of(&r, extent, kind) : real(&r, kind));
    else if (type->dtype == DT_BOOL)
      tensor_set_int(x, i, rng_below(&r, 2));
    else
      tensor_set_int(x, i, index ? index_of(&r, extent, kind) : integer(&r, type->dtype, kind));
  }
  return x;
}
