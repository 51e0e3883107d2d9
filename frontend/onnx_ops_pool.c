// onnx_ops_pool.c: ONNX pooling operators.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_windows.h"

enum { POOL_ATTRS = 5 }; // kernel, stride, dilation, pads, ceil_mode

static bool pool_attrs(Call *c, const Value *x, Windows *w, Attr *attrs) {
  if (!windows_kernel(c, x, NULL, w) || !windows_read(c, x, w)) return false;
  windows_attrs(w, attrs);
  attrs[3] = A_INTS("kernel", w->kernel, w->n);
  attrs[4] = A_BOOL("ceil_mode", attr_i(c, "ceil_mode", 0));
  return !c->failed;
}

static bool max_pool(Call *c) {
  Value *x = arg(c, 0);
  Windows w;
  Attr attrs[POOL_ATTRS + 1];
  if (!pool_attrs(c, x, &w, attrs)) return false;
  if (!wants(c, 1)) return ret(c, 0, make(c, "max_pool", IN(x), attrs, POOL_ATTRS));
  attrs[POOL_ATTRS] = A_BOOL("column_major", attr_i(c, "storage_order", 0));
  Value **out = make_all(c, "max_pool_indices", IN(x), attrs, POOL_ATTRS + 1, 2);
  return ret(c, 0, out[0]) && ret(c, 1, out[1]);
}

static bool average_pool(Call *c) {
  Value *x = arg(c, 0);
  Windows w;
  Attr attrs[POOL_ATTRS + 1];
  if (!pool_attrs(c, x, &w, attrs)) return false;
  attrs[POOL_ATTRS] = A_BOOL("count_include_pad", attr_i(c, "count_include_pad", 0));
  return ret(c, 0, make(c, "avg_pool", IN(x), attrs, POOL_ATTRS + 1));
}

// The norm's order was a float in operator set 1.
static double order_of(Call *c) {
  return c->version < 2 ? attr_f(c, "p", 2) : (double)attr_i(c, "p", 2);
}

static bool lp_pool(Call *c) {
  Value *x = arg(c, 0);
  Windows w;
  Attr attrs[POOL_ATTRS + 1];
  if (!pool_attrs(c, x, &w, attrs)) return false;
  attrs[POOL_ATTRS] = A_FLOAT("p", order_of(c));
  return ret(c, 0, make(c, "lp_pool", IN(x), attrs, POOL_ATTRS + 1));
}

static bool global_pool(Call *c) {
  return ret(c, 0, make_unary(c, c->op->arg, arg(c, 0)));
}

static bool global_lp_pool(Call *c) {
  Value *x = arg(c, 0);
  double p = order_of(c);
  int64_t axes[MAX_RANK];
  int n = rank_of(x) - 2;
  for (int d = 0; d < n; d++) axes[d] = d + 2;
  if (n < 1) return call_fail(c, "its operand has no spatial dimensions");
  Value *powers = make_binary(c, "pow", make_unary(c, "abs", x), make_like(c, x, p));
  Value *sum = make(c, "reduce_sum", IN(powers), ATTRS(A_INTS("axes", axes, n)));
  return ret(c, 0, make_binary(c, "pow", sum, make_like(c, x, 1 / p)));
}

// Extents of what MaxPool would have made this operand from.
static bool unpool_shape(Call *c, const Value *x, Dim *out) {
  Windows w;
  if (!windows_kernel(c, x, NULL, &w) || !windows_read(c, x, &w)) return false;
  for (int d = 0; d < rank_of(x); d++) {
    out[d] = dim_of(x, d);
    if (d < 2) continue;
    int64_t pads = w.pads[d - 2] + w.pads[w.n + d - 2];
    if (out[d].sym) return call_fail(c, "the extents of its operand must be known");
    out[d] = dim_const((out[d].n - 1) * w.stride[d - 2] - pads + w.kernel[d - 2]);
  }
  return true;
}

// Brings v to the wanted extents with zeros at the end.
static Value *extend(Call *c, Value *v, const int64_t *want) {
  int64_t pads[2 * MAX_RANK] = {0};
  for (int d = 0; d < rank_of(v); d++) pads[rank_of(v) + d] = want[d] - dim_of(v, d).n;
  return make(c, "pad", IN(v, NULL), ATTRS(A_INTS("pads", pads, 2 * rank_of(v))));
}

// Puts each element where MaxPool found it: indices count through the whole input of that pool, even where a
// larger result is wanted.
static bool max_unpool(Call *c) {
  Value *x = arg(c, 0), *indices = arg(c, 1);
  Dim out[MAX_RANK], line = dim_const(-1);
  if (c->failed || !unpool_shape(c, x, out)) return false;
  Value *flat = make_reshape(c, x, &line, 1), *at = make_reshape(c, indices, &line, 1);
  Dim total = dim_const(1);
  for (int d = 0; d < rank_of(x); d++) total = dim_binary(call_ctx(c), E_MUL, total, out[d]);
  Value *zeros = make(c, "fill", IN(make_like(c, x, 0)), ATTRS(A_SHAPE("shape", &total, 1)));
  Value *y = make(c, "scatter_elements", IN(zeros, at, flat), NO_ATTRS);
  y = make_reshape(c, y, out, rank_of(x));
  const int64_t *want;
  if (!has_arg(c, 2)) return ret(c, 0, y);
  if (arg_ints(c, 2, &want) != rank_of(x)) return call_fail(c, "output_shape does not fit");
  return ret(c, 0, extend(c, y, want));
}

const OnnxOp ONNX_OPS_POOL[] = {
    {"", "MaxPool", max_pool, NULL},
    {"", "AveragePool", average_pool, NULL},
    {"", "LpPool", lp_pool, NULL},
    {"", "GlobalAveragePool", global_pool, "global_avg_pool"},
    {"", "GlobalMaxPool", global_pool, "global_max_pool"},
    {"", "GlobalLpPool", global_lp_pool, NULL},
    {"", "MaxUnpool", max_unpool, NULL},
    {0},
};
