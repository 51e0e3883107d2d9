// fuse_const.c: constants that are simple functions of their indices (counting, triangles) as such: cheaper than
// memory, and what attention needs to know which keys a query sees.
// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse.h"

enum { MAX_CHECKED = 1 << 20 }; // elements of a constant that are looked at

// Index of an element by its number.
static void indices_of(const Type *t, int64_t n, int64_t *at) {
  for (int d = t->rank - 1; d >= 0; d--) {
    at[d] = t->dim[d].n ? n % t->dim[d].n : 0;
    n /= t->dim[d].n ? t->dim[d].n : 1;
  }
}

// No index is larger, and a sum of MAX_CHECKED such steps does not overflow.
static bool is_index(int64_t n) {
  return n > -(INT64_C(1) << 40) && n < INT64_C(1) << 40;
}

// t[i, j, ..] = base + step[0] * i + step[1] * j + .. for all elements?
static bool is_linear(const Tensor *t, int64_t *base, int64_t *step) {
  int64_t n = type_elements(&t->type), at[MAX_RANK], stride = n;
  *base = tensor_get_int(t, 0);
  if (!is_index(*base)) return false;
  for (int d = 0; d < t->type.rank; d++) {
    stride /= t->type.dim[d].n;
    int64_t next = t->type.dim[d].n > 1 ? tensor_get_int(t, stride) : *base;
    if (!is_index(next)) return false;
    step[d] = next - *base;
  }
  for (int64_t i = 0; i < n; i++) {
    int64_t want = *base;
    indices_of(&t->type, i, at);
    for (int d = 0; d < t->type.rank; d++) want += step[d] * at[d];
    if (tensor_get_int(t, i) != want) return false;
  }
  return true;
}

static const Expr *linear_read(Ctx *c, const Expr *e, const Tensor *t) {
  int64_t base, step[MAX_RANK];
  if (!is_linear(t, &base, step)) return NULL;
  const Expr *sum = ex_idx(c, base);
  for (int d = 0; d < e->nargs; d++) sum = ex_add(c, sum, ex_mul(c, e->args[d], ex_idx(c, step[d])));
  return sum;
}

// t[.., i, j] = (j - i <= *shift), or the opposite (*flipped), the same for all leading indices?
static bool is_triangle(const Tensor *t, int64_t *shift, bool *flipped) {
  int rank = t->type.rank;
  int64_t rows = t->type.dim[rank - 2].n, cols = t->type.dim[rank - 1].n, n = type_elements(&t->type);
  *flipped = tensor_get_int(t, 0) == 0;
  int64_t ones = 0; // in the first row, from the left
  while (ones < cols && (tensor_get_int(t, ones) != 0) != *flipped) ones++;
  *shift = ones - 1;
  if (ones == cols || rows < 2) return false;
  for (int64_t i = 0; i < n; i++) {
    bool inside = i % cols - i / cols % rows <= *shift;
    if ((tensor_get_int(t, i) != 0) != (inside != *flipped)) return false;
  }
  return true;
}

static const Expr *triangle_read(Ctx *c, const Expr *e, const Tensor *t) {
  int64_t shift;
  bool flipped;
  if (t->type.rank < 2 || !is_triangle(t, &shift, &flipped)) return NULL;
  const Expr *i = e->args[e->nargs - 2], *j = e->args[e->nargs - 1];
  const Expr *inside = ex_binary(c, E_LE, ex_sub(c, j, i), ex_idx(c, shift));
  return flipped ? ex_unary(c, E_NOT, inside) : inside;
}

const Expr *fuse_read_const(Ctx *c, const Expr *e, const Tensor *t) {
  int64_t n = type_elements(&t->type);
  if (n < 2 || n > MAX_CHECKED) return NULL;
  if (t->type.dtype == DT_I64) return linear_read(c, e, t);
  return t->type.dtype == DT_BOOL ? triangle_read(c, e, t) : NULL;
}
