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

// ---- DeformConv -------------------------------------------------------------------------------------------------

// Where tap t of output o lies along spatial dimension d, without the offsets: [1,1,taps,o,1] or [1,1,taps,1,o].
static Value *regular_places(Call *c, const Windows *w, int d, int64_t outputs) {
  int64_t taps = w->kernel[0] * w->kernel[1];
  Type type = type_make(DT_F32, 5, (int64_t[]){1, 1, taps, d == 0 ? outputs : 1, d == 1 ? outputs : 1});
  if (!type_check_size(call_ctx(c), c->loc, &type)) return c->failed = true, make_dummy(c);
  Tensor *t = tensor_new(call_ctx(c), &type);
  for (int64_t k = 0; k < taps; k++) {
    int64_t tap = d == 0 ? k / w->kernel[1] : k % w->kernel[1];
    for (int64_t o = 0; o < outputs; o++)
      tensor_set(t, k * outputs + o, (double)(o * w->stride[d] - w->pads[d] + tap * w->dilation[d]));
  }
  return make_const(c, t);
}

// Coordinate d of all sampled places, offsets [n,groups,taps,2,oh,ow] included, as grid_sample counts it.
static Value *moved_places(Call *c, const Windows *w, Value *offsets, Dim extent, int d) {
  int64_t axes[] = {3};
  Value *o = make(c, "squeeze", IN(make_slice(c, offsets, 3, d, d + 1)), ATTRS(A_INTS("axes", axes, 1)));
  Value *at =
      make_binary(c, "add", o, make_cast(c, regular_places(c, w, d, dim_of(o, 3 + d).n), o->type.dtype));
  at = make_scaled(c, at, 2.0 / (double)extent.n);
  return make_binary(c, "add", at, make_like(c, at, 1.0 / (double)extent.n - 1));
}

// x sampled between its elements at every tap of every output: a product with the weights remains.
static bool deform_conv(Call *c) {
  Value *x = arg(c, 0), *weights = arg(c, 1), *offset = arg(c, 2), *bias = arg_opt(c, 3),
        *mask = arg_opt(c, 4);
  int64_t groups = attr_i(c, "group", 1), moves = attr_i(c, "offset_group", 1);
  Windows w;
  if (c->failed || rank_of(x) != 4 || !type_is_static(&x->type) || !type_is_static(&offset->type) ||
      !type_is_static(&weights->type) || rank_of(weights) != 4 || rank_of(offset) != 4)
    return call_fail(c, "only pictures of known extents are supported");
  if (!windows_kernel(c, x, weights, &w) || !windows_read(c, x, &w)) return false;
  int64_t n = x->type.dim[0].n, ic = x->type.dim[1].n, oc = weights->type.dim[0].n;
  int64_t oh = offset->type.dim[2].n, ow = offset->type.dim[3].n, taps = w.kernel[0] * w.kernel[1];
  if (groups < 1 || moves < 1 || ic % groups || oc % groups || ic % moves ||
      offset->type.dim[1].n != moves * taps * 2)
    return call_fail(c, "its operands do not fit");
#define DIMS(...) (Dim[]){__VA_ARGS__}, ARRAY_LEN(((Dim[]){__VA_ARGS__}))
#define N(v)      dim_const(v)
  Value *o = make_reshape(c, offset, DIMS(N(n), N(moves), N(taps), N(2), N(oh), N(ow)));
  Value *at[] = {moved_places(c, &w, o, x->type.dim[3], 1), moved_places(c, &w, o, x->type.dim[2], 0)};
  Value *grid = make(c, "stack", at, 2, ATTRS(A_INT("axis", -1)));
  grid = make_reshape(c, grid, DIMS(N(n * moves), N(taps * oh), N(ow), N(2)));
  Value *each = make_reshape(c, x, DIMS(N(n * moves), N(ic / moves), x->type.dim[2], x->type.dim[3]));
  Value *y = make(c, "grid_sample", IN(each, grid), NO_ATTRS);
  y = make_reshape(c, y, DIMS(N(n), N(moves), N(ic / moves), N(taps), N(oh * ow)));
  if (mask)
    y = make_binary(c, "mul", y, make_reshape(c, mask, DIMS(N(n), N(moves), N(1), N(taps), N(oh * ow))));
  y = make_reshape(c, y, DIMS(N(n), N(groups), N(ic / groups * taps), N(oh * ow)));
  Value *m = make_reshape(c, weights, DIMS(N(groups), N(oc / groups), N(ic / groups * taps)));
  y = make_reshape(c, make_binary(c, "matmul", m, y), DIMS(N(n), N(oc), N(oh), N(ow)));
  return ret(c, 0, bias ? make_binary(c, "add", y, make_unsqueeze_last(c, bias, 2)) : y);
#undef DIMS
#undef N
}

const OnnxOp ONNX_OPS_CONV[] = {
    {"", "Conv", conv, NULL},
    {"", "ConvInteger", conv_integer, NULL},
    {"", "ConvTranspose", conv_transpose, NULL},
    {"", "Col2Im", col2im, NULL},
    {"", "DeformConv", deform_conv, NULL},
    {0},
};
