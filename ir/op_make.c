// op_make.c: short names for the nodes that decompositions build.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

#include <math.h>

Value *mk1(Builder *b, const char *op, Value *x) {
  return x ? build(b, op, IN(x), NO_ATTRS) : NULL;
}

Value *mk2(Builder *b, const char *op, Value *x, Value *y) {
  return x && y ? build(b, op, IN(x, y), NO_ATTRS) : NULL;
}

Value *mk_cast(Builder *b, Value *x, DType t) {
  if (!x || x->type.dtype == t) return x;
  return build(b, "cast", IN(x), ATTRS(A_DTYPE("dtype", t)));
}

Value *mk_scalar(Builder *b, DType t, double v) {
  return graph_const(b->graph, NULL, tensor_scalar(b->ctx, t, v), b->loc);
}

Value *mk_reshape(Builder *b, Value *x, int rank, const Dim *dims) {
  if (!x) return NULL;
  return build(b, "reshape", IN(x), ATTRS(A_SHAPE("shape", dims, rank), A_BOOL("allow_zero", true)));
}

Value *mk_transpose(Builder *b, Value *x, const int64_t *perm, int rank) {
  return x ? build(b, "transpose", IN(x), ATTRS(A_INTS("perm", perm, rank))) : NULL;
}

Value *mk_slice(Builder *b, Value *x, int axis, int64_t from, int64_t to) {
  if (!x) return NULL;
  Dim start = dim_const(from), end = dim_const(to);
  int64_t axes = axis;
  return build(b, "slice", IN(x),
               ATTRS(A_SHAPE("starts", &start, 1), A_SHAPE("ends", &end, 1), A_INTS("axes", &axes, 1)));
}

Value *mk_reduce(Builder *b, const char *op, Value *x, const bool *axes, bool keepdims) {
  if (!x) return NULL;
  int64_t list[MAX_RANK];
  int n = 0;
  for (int d = 0; d < x->type.rank; d++)
    if (axes[d]) list[n++] = d;
  if (n == 0) return x;
  return build(b, op, IN(x), ATTRS(A_INTS("axes", list, n), A_BOOL("keepdims", keepdims)));
}

Value *mk_reduce1(Builder *b, const char *op, Value *x, int axis) {
  bool axes[MAX_RANK] = {false};
  axes[axis] = true;
  return mk_reduce(b, op, x, axes, true);
}

Value *mk_where(Builder *b, Value *cond, Value *x, Value *y) {
  return cond && x && y ? build(b, "where", IN(cond, x, y), NO_ATTRS) : NULL;
}

Value *mk_with(Builder *b, const char *op, Value *x, double v) {
  return x ? mk2(b, op, x, mk_scalar(b, x->type.dtype, v)) : NULL;
}

// The maximum is taken off first, so that exp cannot overflow. `masked`: a row of -inf alone gives zeros, not
// NaN; its maximum and its sum are then replaced by numbers that do no harm.
Value *mk_softmax(Builder *b, Value *x, int axis, bool masked) {
  if (!x) return NULL;
  DType t = x->type.dtype;
  x = mk_cast(b, x, acc_dtype(t));
  Value *top = mk_reduce1(b, "reduce_max", x, axis);
  if (masked) top = mk_where(b, mk_with(b, "equal", top, -INFINITY), mk_scalar(b, acc_dtype(t), 0), top);
  Value *e = mk1(b, "exp", mk2(b, "sub", x, top));
  Value *sum = mk_reduce1(b, "reduce_sum", e, axis);
  if (masked) sum = mk_where(b, mk_with(b, "equal", sum, 0), mk_scalar(b, acc_dtype(t), 1), sum);
  return mk_cast(b, mk2(b, "div", e, sum), t);
}
