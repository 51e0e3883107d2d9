// onnx_ops_conv.c: ONNX convolutions.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_windows.h"

// Negative padding cuts, which the core ops do not do themselves.
static Value *crop(Call *c, Value *x, Windows *w) {
  int64_t cut[2 * MAX_RANK] = {0};
  bool any = false;
  int rank = rank_of(x);
  for (int d = 0; d < 2 * w->n; d++) {
    if (w->pads[d] >= 0) continue;
    cut[d < w->n ? d + 2 : rank + 2 + d - w->n] = w->pads[d];
    w->pads[d] = 0;
    any = true;
  }
  return any ? make(c, "pad", IN(x, NULL), ATTRS(A_INTS("pads", cut, 2 * rank))) : x;
}

// The windows of a convolution and its four attributes; x is cut where padding is negative.
static bool conv_attrs(Call *c, Value **x, Value *weights, Windows *w, Attr *attrs) {
  if (!windows_kernel(c, *x, weights, w) || !windows_read(c, *x, w)) return false;
  *x = crop(c, *x, w);
  windows_attrs(w, attrs);
  attrs[3] = A_INT("groups", attr_i(c, "group", 1));
  return !c->failed;
}

static bool conv(Call *c) {
  Value *x = arg(c, 0), *weights = arg(c, 1);
  Windows w;
  Attr attrs[4];
  if (!conv_attrs(c, &x, weights, &w, attrs)) return false;
  return ret(c, 0, make(c, "conv", IN(x, weights, arg_opt(c, 2)), attrs, 4));
}

static bool conv_integer(Call *c) {
  Value *x = arg(c, 0), *weights = arg(c, 1);
  Windows w;
  Attr attrs[4];
  if (!conv_attrs(c, &x, weights, &w, attrs)) return false;
  return ret(c, 0, make(c, "conv_integer", IN(x, weights, arg_opt(c, 2), arg_opt(c, 3)), attrs, 4));
}

// Finds pads and output padding that give the wanted extents of a transposed convolution.
static bool fit_output(Call *c, const Value *x, const int64_t *want, bool upper, Windows *w, int64_t *extra) {
  for (int d = 0; d < w->n; d++) {
    Dim in = dim_of(x, d + 2);
    if (in.sym) return call_fail(c, "the extents of its input must be known");
    int64_t full = (in.n - 1) * w->stride[d] + (w->kernel[d] - 1) * w->dilation[d] + 1 + extra[d];
    int64_t total = full - (want ? want[d] : in.n * w->stride[d]);
    if (total < 0) { // larger than the kernel reaches
      extra[d] -= total;
      total = 0;
    }
    w->pads[d] = upper ? total / 2 : total - total / 2;
    w->pads[w->n + d] = total - w->pads[d];
  }
  return true;
}

static bool conv_transpose(Call *c) {
  Value *x = arg(c, 0), *weights = arg(c, 1);
  Windows w;
  Attr attrs[5];
  int64_t extra[ONNX_MAX_SPATIAL] = {0};
  const int64_t *padding, *shape;
  if (!conv_attrs(c, &x, weights, &w, attrs)) return false;
  int npadding = attr_is(c, "output_padding", &padding), nshape = attr_is(c, "output_shape", &shape);
  if (npadding && npadding != w.n) return call_fail(c, "output_padding has %d elements", npadding);
  if (nshape && nshape < w.n) return call_fail(c, "output_shape has %d elements", nshape);
  for (int d = 0; d < npadding; d++) extra[d] = padding[d];
  bool upper, same = windows_same(c, &upper);
  const int64_t *want = nshape ? shape + nshape - w.n : NULL; // some exporters list batch and channels too
  if ((same || want) && !fit_output(c, x, want, upper, &w, extra)) return false;
  attrs[4] = A_INTS("output_padding", extra, w.n);
  return ret(c, 0, make(c, "conv_transpose", IN(x, weights, arg_opt(c, 2)), attrs, 5));
}

static bool col2im(Call *c) {
  Dim size[MAX_RANK];
  const int64_t *kernel, *dilation, *pads, *stride;
  int n = arg_dims(c, 1, size, MAX_RANK), nkernel = arg_ints(c, 2, &kernel);
  if (n < 0 || nkernel < 0) return false;
  int ndilation = attr_is(c, "dilations", &dilation), npads = attr_is(c, "pads", &pads);
  int nstride = attr_is(c, "strides", &stride);
  Attr attrs[] = {A_SHAPE("size", size, n), A_INTS("kernel", kernel, nkernel),
                  A_INTS("stride", stride, nstride), A_INTS("dilation", dilation, ndilation),
                  A_INTS("pads", pads, npads)};
  return ret(c, 0, make(c, "col2im", IN(arg(c, 0)), attrs, 5));
}

const OnnxOp ONNX_OPS_CONV[] = {
    {"", "Conv", conv, NULL},
    {"", "ConvInteger", conv_integer, NULL},
    {"", "ConvTranspose", conv_transpose, NULL},
    {"", "Col2Im", col2im, NULL},
    {0},
};
