// onnx_windows.c: strides, dilations and padding of ONNX's convolutions and pools.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_windows.h"

static bool read_list(Call *c, const char *name, int want, int64_t or_else, int64_t *out) {
  const int64_t *v;
  int n = attr_is(c, name, &v);
  if (n && n != want) return call_fail(c, "%s has %d elements, must have %d", name, n, want);
  for (int i = 0; i < want; i++) out[i] = n ? v[i] : or_else;
  return !c->failed;
}

bool windows_kernel(Call *c, const Value *x, const Value *weights, Windows *w) {
  w->n = rank_of(x) - 2;
  if (w->n < 0 || (weights && rank_of(weights) != rank_of(x))) {
    return call_fail(c, "its operands have %d and %d dimensions", rank_of(x), weights ? rank_of(weights) : 0);
  }
  if (!weights && !attr_required(c, "kernel_shape", ONNX_ATTR_INTS)) return false;
  if (!read_list(c, "kernel_shape", w->n, 1, w->kernel)) return false;
  for (int d = 0; weights && d < w->n; d++) {
    int64_t taps = dim_of(weights, d + 2).n;
    if (attr_has(c, "kernel_shape") && taps != w->kernel[d]) {
      return call_fail(c, "kernel_shape does not fit the weights");
    }
    w->kernel[d] = taps;
  }
  return true;
}

bool windows_same(Call *c, bool *upper) {
  const char *mode = attr_s(c, "auto_pad", "NOTSET");
  *upper = strcmp(mode, "SAME_UPPER") == 0;
  return *upper || strcmp(mode, "SAME_LOWER") == 0;
}

// Padding that makes the result as large as the input divided by the stride, rounded up.
static bool same_pads(Call *c, const Value *x, bool upper, Windows *w) {
  for (int d = 0; d < w->n; d++) {
    Dim in = dim_of(x, d + 2);
    int64_t reach = (w->kernel[d] - 1) * w->dilation[d] + 1, total = reach - w->stride[d];
    if (in.sym && w->stride[d] != 1)
      return call_fail(c, "auto_pad needs known extents if the stride is not 1");
    if (!in.sym) total = (ceil_div(in.n, w->stride[d]) - 1) * w->stride[d] + reach - in.n;
    if (total < 0) total = 0;
    w->pads[d] = upper ? total / 2 : total - total / 2;
    w->pads[w->n + d] = total - w->pads[d];
  }
  return true;
}

static bool in_range(Call *c, const char *name, const int64_t *v, int n, int64_t least) {
  for (int i = 0; i < n; i++) {
    if (v[i] < least || v[i] > INT32_MAX)
      return call_fail(c, "%s has the element %lld", name, (long long)v[i]);
  }
  return true;
}

bool windows_read(Call *c, const Value *x, Windows *w) {
  bool upper;
  if (!read_list(c, "strides", w->n, 1, w->stride) || !read_list(c, "dilations", w->n, 1, w->dilation))
    return false;
  if (!in_range(c, "kernel_shape", w->kernel, w->n, 0) || !in_range(c, "strides", w->stride, w->n, 1))
    return false;
  if (!in_range(c, "dilations", w->dilation, w->n, 1)) return false;
  if (windows_same(c, &upper)) return same_pads(c, x, upper, w);
  if (strcmp(attr_s(c, "auto_pad", "NOTSET"), "VALID") == 0) {
    memset(w->pads, 0, sizeof w->pads);
    return !c->failed;
  }
  return read_list(c, "pads", 2 * w->n, 0, w->pads);
}

void windows_attrs(const Windows *w, Attr *attrs) {
  attrs[0] = A_INTS("stride", w->stride, w->n);
  attrs[1] = A_INTS("dilation", w->dilation, w->n);
  attrs[2] = A_INTS("pads", w->pads, 2 * w->n);
}
