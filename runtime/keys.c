// keys.c: order-preserving keys for elements of any type; sorting and selecting by them.
// SPDX-License-Identifier: Apache-2.0
#include "keys.h"

#include <string.h>

// ---- elements ----------------------------------------------------------------------------------------

static uint64_t bits_of(const void *data, int64_t i, int size) {
  switch (size) {
  case 1: return ((const uint8_t *)data)[i];
  case 2: return ((const uint16_t *)data)[i];
  case 4: return ((const uint32_t *)data)[i];
  default: return ((const uint64_t *)data)[i];
  }
}

// Bits of a float of which `infinity` is the magnitude of infinity.
static uint64_t float_key(uint64_t bits, uint64_t sign, uint64_t infinity) {
  uint64_t magnitude = bits & (sign - 1);
  if (magnitude > infinity) return UINT64_MAX;
  return bits & sign ? sign - magnitude : sign + magnitude;
}

uint64_t ingot_key_of(int32_t dtype, const void *data, int64_t i) {
  int size = ingot_dtype_size(dtype);
  uint64_t bits = bits_of(data, i, size), sign = (uint64_t)1 << (8 * size - 1);
  switch (dtype) {
  case INGOT_I8:
  case INGOT_I16:
  case INGOT_I32:
  case INGOT_I64: return bits ^ sign;
  case INGOT_F16: return float_key(bits, sign, 0x7c00);
  case INGOT_BF16: return float_key(bits, sign, 0x7f80);
  case INGOT_F32: return float_key(bits, sign, 0x7f800000);
  case INGOT_F64: return float_key(bits, sign, 0x7ff0000000000000);
  default: return bits;
  }
}

bool ingot_key_nonzero(int32_t dtype, const void *data, int64_t i) {
  int size = ingot_dtype_size(dtype);
  uint64_t bits = bits_of(data, i, size);
  return (dtype >= INGOT_F16 ? bits & (((uint64_t)1 << (8 * size - 1)) - 1) : bits) != 0;
}

// ---- sorting -----------------------------------------------------------------------------------------

enum { RUN = 12 }; // sorted by insertion before merging begins

static bool before(const Key *a, const Key *b, KeyTie tie, const void *arg) {
  if (a->key != b->key) return a->key < b->key;
  int order = tie ? tie(arg, a->index, b->index) : 0;
  return order ? order < 0 : a->index < b->index;
}

static void insertion_sort(Key *k, int64_t n, KeyTie tie, const void *arg) {
  for (int64_t i = 1; i < n; i++) {
    Key x = k[i];
    int64_t j = i;
    for (; j > 0 && before(&x, &k[j - 1], tie, arg); j--) k[j] = k[j - 1];
    k[j] = x;
  }
}

static void merge(const Key *a, const Key *a_end, const Key *b, const Key *b_end, Key *to, KeyTie tie,
                  const void *arg) {
  while (a < a_end && b < b_end) *to++ = before(b, a, tie, arg) ? *b++ : *a++;
  while (a < a_end) *to++ = *a++;
  while (b < b_end) *to++ = *b++;
}

static int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

void ingot_keys_sort(Key *keys, Key *tmp, int64_t n, KeyTie tie, const void *arg) {
  for (int64_t i = 0; i < n; i += RUN) insertion_sort(keys + i, least(RUN, n - i), tie, arg);
  Key *from = keys, *to = tmp;
  for (int64_t width = RUN; width < n; width *= 2) {
    for (int64_t i = 0; i < n; i += 2 * width) {
      int64_t mid = least(i + width, n), end = least(i + 2 * width, n);
      merge(from + i, from + mid, from + mid, from + end, to + i, tie, arg);
    }
    Key *swap = from;
    from = to, to = swap;
  }
  if (from != keys) memcpy(keys, from, (size_t)n * sizeof *keys);
}

static void swap_keys(Key *a, Key *b) {
  Key t = *a;
  *a = *b, *b = t;
}

static bool less(const Key *a, const Key *b) {
  return before(a, b, NULL, NULL);
}

// Puts the median of the first, middle and last key first.
static void median_first(Key *k, int64_t n) {
  Key *a = &k[0], *b = &k[n / 2], *c = &k[n - 1];
  if (less(b, a)) swap_keys(a, b);
  if (less(c, b)) swap_keys(b, c);
  if (less(b, a)) swap_keys(a, b);
  swap_keys(a, b);
}

// Splits around the first key; returns where it ends up.
static int64_t partition(Key *k, int64_t n) {
  Key pivot = k[0];
  int64_t i = 0, j = n;
  for (;;) {
    while (++i < n && less(&k[i], &pivot)) {
    }
    while (less(&pivot, &k[--j])) {
    }
    if (i >= j) break;
    swap_keys(&k[i], &k[j]);
  }
  swap_keys(&k[0], &k[j]);
  return j;
}

void ingot_keys_sort_first(Key *keys, Key *tmp, int64_t n, int64_t k) {
  int64_t lo = 0, hi = n;
  // Quickselect: k lies in [lo, hi). Bad pivots in a row, which only made-up data has, leave the rest to the
  // sort.
  for (int tries = 0; hi - lo > 2 * RUN && k > lo && k < hi && tries < 64; tries++) {
    median_first(keys + lo, hi - lo);
    int64_t p = lo + partition(keys + lo, hi - lo);
    if (p < k)
      lo = p + 1;
    else
      hi = p;
  }
  int64_t end = k > lo && k < hi ? hi : k; // all that come first are now in front of `end`
  ingot_keys_sort(keys, tmp, end, NULL, NULL);
}
