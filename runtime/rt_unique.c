// rt_unique.c: the distinct elements of a tensor, or its distinct slices along an axis.
// SPDX-License-Identifier: Apache-2.0
#include "keys.h"

#include <string.h>

enum { X, Y, INDICES, INVERSE, COUNTS };
enum { AXIS, SORTED };

// The operand as n slices, each of `outer` blocks of `inner` elements; a flat operand has slices of one
// element.
typedef struct Slices {
  const void *data;
  int64_t n, outer, inner;
  int32_t dtype;
} Slices;

// Position of element e of slice s.
static int64_t element(const Slices *x, int64_t s, int64_t e) {
  return (e / x->inner * x->n + s) * x->inner + e % x->inner;
}

static int compare(const void *arg, int64_t a, int64_t b) {
  const Slices *x = arg;
  for (int64_t e = 0; e < x->outer * x->inner; e++) {
    uint64_t p = ingot_key_of(x->dtype, x->data, element(x, a, e)),
             q = ingot_key_of(x->dtype, x->data, element(x, b, e));
    if (p != q) return p < q ? -1 : 1;
  }
  return 0;
}

static Slices slices_of(const struct ingot_routine_call *c) {
  const struct ingot_tensor_info *t = ingot_call_tensor(c, X);
  int32_t axis = (int32_t)c->step->ints[AXIS];
  if (axis < 0) return (Slices){c->buf[X], routine_elements(c, X, 0, t->rank), 1, 1, t->dtype};
  return (Slices){c->buf[X], routine_extent(c, X, axis), routine_elements(c, X, 0, axis),
                  routine_elements(c, X, axis + 1, t->rank), t->dtype};
}

// Sorted order of the slices, each with the number of its group in `key`; returns the number of groups.
static int64_t group(const Slices *x, Key *order, Key *tmp) {
  bool empty = x->outer * x->inner == 0; // then all slices are equal
  for (int64_t s = 0; s < x->n; s++)
    order[s] = (Key){empty ? 0 : ingot_key_of(x->dtype, x->data, element(x, s, 0)), s};
  ingot_keys_sort(order, tmp, x->n, compare, x);
  int64_t groups = 0, last = -1;
  for (int64_t i = 0; i < x->n; i++) {
    groups += last < 0 || compare(x, last, order[i].index) != 0;
    last = order[i].index;
    order[i].key = (uint64_t)(groups - 1);
  }
  return groups;
}

// tmp[g] = {number of group g in the result, its first slice}: in sorted order, or in order of first
// appearance.
static void name_groups(const Key *order, int64_t n, Key *tmp, int64_t groups, bool sorted,
                        int64_t *appearance) {
  for (int64_t i = n - 1; i >= 0; i--) tmp[order[i].key] = (Key){order[i].key, order[i].index};
  if (sorted) return;
  // appearance[s] = group whose first slice is s
  for (int64_t s = 0; s < n; s++) appearance[s] = -1;
  for (int64_t g = 0; g < groups; g++) appearance[tmp[g].index] = g;
  uint64_t next = 0;
  for (int64_t s = 0; s < n; s++)
    if (appearance[s] >= 0) tmp[appearance[s]].key = next++;
}

static void store_slice(const Slices *x, char *y, int64_t groups, int64_t to, int64_t from) {
  size_t block = (size_t)x->inner * (size_t)ingot_dtype_size(x->dtype);
  for (int64_t o = 0; o < x->outer; o++)
    memcpy(y + (size_t)(o * groups + to) * block, (const char *)x->data + (size_t)(o * x->n + from) * block,
           block);
}

int ingot_rt_unique(const struct ingot_routine_call *c) {
  const Slices x = slices_of(c);
  Key *order = c->scratch, *name = order + x.n;
  int64_t *appearance = (int64_t *)(name + x.n);
  int64_t groups = group(&x, order, name);
  int code = routine_set_extent(c, groups);
  if (code) return code;
  name_groups(order, x.n, name, groups, c->step->ints[SORTED] != 0, appearance);
  int64_t *indices = routine_buf(c, INDICES), *inverse = routine_buf(c, INVERSE),
          *counts = routine_buf(c, COUNTS);
  for (int64_t g = 0; g < groups; g++) {
    if (c->buf[Y]) store_slice(&x, c->buf[Y], groups, (int64_t)name[g].key, name[g].index);
    if (indices) indices[name[g].key] = name[g].index;
    if (counts) counts[g] = 0;
  }
  for (int64_t i = 0; i < x.n; i++) {
    uint64_t to = name[order[i].key].key;
    if (inverse) inverse[order[i].index] = (int64_t)to;
    if (counts) counts[to]++;
  }
  return INGOT_OK;
}
