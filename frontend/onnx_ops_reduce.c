// onnx_ops_reduce.c: ONNX operators that reduce over axes, or normalise along one.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

// Axes were an attribute until operator set 18 (ReduceSum: 13). Without axes: all of them, or none at all if
// noop_with_empty_axes.
typedef struct Axes {
  const int64_t *v;
  int n;
  bool keep, none;
} Axes;

static bool axes_of(Call *c, Axes *a) {
  int since = strcmp(c->node->op, "ReduceSum") == 0 ? 13 : 18;
  a->n = ints_of(c, "axes", since, 1, &a->v);
  a->keep = attr_i(c, "keepdims", 1);
  a->none = a->n == 0 && attr_i(c, "noop_with_empty_axes", 0);
  return !c->failed;
}

static Value *reduced(Call *c, const char *op, Value *x, const Axes *a) {
  return make(c, op, IN(x), ATTRS(A_INTS("axes", a->v, a->n), A_BOOL("keepdims", a->keep)));
}

static bool reduce(Call *c) {
  Axes a;
  Value *x = arg(c, 0);
  if (!axes_of(c, &a)) return false;
  return ret(c, 0, a.none ? x : reduced(c, c->op->arg, x, &a));
}

// max and min of bools are any and all.
static bool reduce_extreme(Call *c) {
  Axes a;
  Value *x = arg(c, 0);
  if (!axes_of(c, &a)) return false;
  bool is_max = strcmp(c->op->arg, "reduce_max") == 0;
  const char *op = x->type.dtype != DT_BOOL ? c->op->arg : is_max ? "reduce_any" : "reduce_all";
  return ret(c, 0, a.none ? x : reduced(c, op, x, &a));
}

// The part of a reduction that works on single elements is done even if no axis is reduced.
static bool reduce_mapped(Call *c) {
  Axes a;
  Value *x = arg(c, 0);
  if (!axes_of(c, &a)) return false;
  bool l1 = strcmp(c->op->arg, "reduce_l1") == 0;
  if (!a.none) return ret(c, 0, reduced(c, c->op->arg, x, &a));
  return ret(c, 0, make_unary(c, l1 || strcmp(c->op->arg, "reduce_l2") == 0 ? "abs" : "square", x));
}

static bool reduce_l2(Call *c) {
  Axes a;
  Value *x = arg(c, 0);
  DType t = x->type.dtype;
  if (!axes_of(c, &a)) return false;
  if (a.none) return ret(c, 0, make_unary(c, "abs", x));
  x = make_cast(c, x, dtype_is_float(t) ? t : DT_F64);
  return ret(c, 0, make_cast(c, reduced(c, "reduce_l2", x, &a), t));
}

static bool reduce_log_sum(Call *c) {
  Axes a;
  Value *x = arg(c, 0);
  DType t = x->type.dtype;
  if (!axes_of(c, &a)) return false;
  Value *sum = a.none ? x : reduced(c, "reduce_sum", x, &a);
  sum = make_cast(c, sum, dtype_is_float(t) ? t : DT_F64);
  return ret(c, 0, make_cast(c, make_unary(c, "log", sum), t));
}

static bool reduce_log_sum_exp(Call *c) {
  Axes a;
  Value *x = arg(c, 0);
  DType t = x->type.dtype;
  if (!axes_of(c, &a)) return false;
  if (a.none) return ret(c, 0, x);
  x = make_cast(c, x, dtype_is_float(t) ? t : DT_F64);
  return ret(c, 0, make_cast(c, reduced(c, "reduce_logsumexp", x, &a), t));
}

static bool arg_extreme(Call *c) {
  Attr attrs[] = {A_INT("axis", attr_i(c, "axis", 0)), A_BOOL("keepdims", attr_i(c, "keepdims", 1)),
                  A_BOOL("select_last", attr_i(c, "select_last_index", 0))};
  return ret(c, 0, make(c, c->op->arg, IN(arg(c, 0)), attrs, 3));
}

// Before operator set 13 the operand was taken as a matrix: everything from `axis` on is one row.
static Value *along_axis(Call *c, const char *op, Value *x) {
  if (c->version >= 13) return make(c, op, IN(x), ATTRS(A_INT("axis", attr_i(c, "axis", -1))));
  Type shape = x->type;
  int axis = rank_of(x) ? axis_of(c, attr_i(c, "axis", 1), rank_of(x)) : 0;
  if (axis == rank_of(x) - 1) return make(c, op, IN(x), ATTRS(A_INT("axis", -1)));
  Value *flat = make(c, "flatten", IN(x), ATTRS(A_INT("axis", axis)));
  flat = make(c, op, IN(flat), ATTRS(A_INT("axis", 1)));
  return make_reshape(c, flat, shape.dim, shape.rank);
}

static bool softmax(Call *c) {
  return ret(c, 0, along_axis(c, c->op->arg, arg(c, 0)));
}

// 1 at the first greatest element along the axis, 0 elsewhere.
static Value *hardmax_of(Call *c, Value *x, int axis) {
  Value *at = make(c, "argmax", IN(x), ATTRS(A_INT("axis", axis), A_BOOL("keepdims", false)));
  Dim depth = dim_of(x, axis);
  Attr attrs[] = {A_SHAPE("depth", &depth, 1), A_INT("axis", axis)};
  return make(c, "one_hot", IN(at, make_like(c, x, 1), make_like(c, x, 0)), attrs, 2);
}

static bool hardmax(Call *c) {
  Value *x = arg(c, 0);
  int axis = axis_of(c, attr_i(c, "axis", c->version >= 13 ? -1 : 1), rank_of(x));
  if (c->version >= 13 || axis == rank_of(x) - 1) return ret(c, 0, hardmax_of(c, x, axis));
  Type shape = x->type;
  Value *flat = make(c, "flatten", IN(x), ATTRS(A_INT("axis", axis)));
  return ret(c, 0, make_reshape(c, hardmax_of(c, flat, 1), shape.dim, shape.rank));
}

static bool cumulative(Call *c) {
  int64_t axis;
  if (!arg_int(c, 1, &axis)) return false;
  Attr attrs[] = {A_INT("axis", axis), A_BOOL("exclusive", attr_i(c, "exclusive", 0)),
                  A_BOOL("reverse", attr_i(c, "reverse", 0))};
  return ret(c, 0, make(c, c->op->arg, IN(arg(c, 0)), attrs, 3));
}

const OnnxOp ONNX_OPS_REDUCE[] = {
    {"", "ReduceSum", reduce, "reduce_sum"},
    {"", "ReduceMean", reduce, "reduce_mean"},
    {"", "ReduceProd", reduce, "reduce_prod"},
    {"", "ReduceMax", reduce_extreme, "reduce_max"},
    {"", "ReduceMin", reduce_extreme, "reduce_min"},
    {"", "ReduceL1", reduce_mapped, "reduce_l1"},
    {"", "ReduceL2", reduce_l2, NULL},
    {"", "ReduceSumSquare", reduce_mapped, "reduce_sumsq"},
    {"", "ReduceLogSum", reduce_log_sum, NULL},
    {"", "ReduceLogSumExp", reduce_log_sum_exp, NULL},
    {"", "ArgMax", arg_extreme, "argmax"},
    {"", "ArgMin", arg_extreme, "argmin"},
    {"", "Softmax", softmax, "softmax"},
    {"", "LogSoftmax", softmax, "log_softmax"},
    {"", "Hardmax", hardmax, NULL},
    {"", "CumSum", cumulative, "cumsum"},
    {"", "CumProd", cumulative, "cumprod"},
    {0},
};
