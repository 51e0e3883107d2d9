// onnx_ops_shape.c: ONNX operators that make, rearrange, join and cut tensors.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

#include <math.h>

// ---- shapes as data ---------------------------------------------------------------------------------------------

static bool shape(Call *c) {
  Value *x = arg(c, 0);
  int rank = rank_of(x);
  int64_t from = attr_i(c, "start", 0), to = attr_i(c, "end", rank);
  from = from < 0 ? from + rank : from;
  to = to < 0 ? to + rank : to;
  from = from < 0 ? 0 : from > rank ? rank : from;
  to = to < from ? from : to > rank ? rank : to;
  Attr of = A_SHAPE("of", x->type.dim + from, (int)(to - from));
  return ret(c, 0, make(c, "extents", NULL, 0, &of, 1));
}

static bool size(Call *c) {
  Value *x = arg(c, 0);
  Dim n = dim_const(1);
  for (int i = 0; i < rank_of(x); i++) n = dim_binary(call_ctx(c), E_MUL, n, x->type.dim[i]);
  Attr of = A_SHAPE("of", &n, 1);
  Value *v = make(c, "extents", NULL, 0, &of, 1);
  return ret(c, 0, make_reshape(c, v, NULL, 0));
}

// ---- constants --------------------------------------------------------------------------------------------------

static bool strings_const(Call *c, const OnnxBytes *s, int64_t n, int rank) {
  OnnxTensor *t = NEW(call_arena(c), OnnxTensor);
  int64_t *dims = NEW_ARRAY(call_arena(c), int64_t, 1);
  dims[0] = n;
  *t = (OnnxTensor){
      .elem = ONNX_STRING, .ndims = rank, .dims = dims, .nstrings = n, .strings = (OnnxBytes *)s};
  return ret_val(c, 0, val_strings(c->im, c->node->out[0], t));
}

static bool tensor_value(Call *c, const OnnxTensor *t) {
  if (t->elem == ONNX_STRING) return ret_val(c, 0, val_strings(c->im, c->node->out[0], t));
  Tensor *data = onnx_tensor(c->im->files, c->loc, t);
  if (!data) return c->failed = true, false;
  return ret_as(c, 0, make_const(c, data), t->elem);
}

static bool floats_value(Call *c, const OnnxAttr *a) {
  Type t = type_make(DT_F32, 1, &a->nfloats);
  return ret(c, 0, make_const(c, tensor_view(call_ctx(c), &t, a->floats ? (const void *)a->floats : "")));
}

// One of several attributes holds the value.
static bool constant(Call *c) {
  const OnnxAttr *a;
  if ((a = attr_find(c, "value", ONNX_ATTR_TENSOR)) && a->t) return tensor_value(c, a->t);
  if ((a = attr_find(c, "sparse_value", ONNX_ATTR_SPARSE_TENSOR)) && a->sparse) {
    Tensor *t = onnx_sparse_tensor(c->im->files, c->loc, a->sparse);
    return t ? ret(c, 0, make_const(c, t)) : (c->failed = true, false);
  }
  if ((a = attr_find(c, "value_float", ONNX_ATTR_FLOAT))) return ret(c, 0, make_scalar(c, DT_F32, a->f));
  if ((a = attr_find(c, "value_int", ONNX_ATTR_INT))) {
    Tensor *t = tensor_new(call_ctx(c), &(Type){.dtype = DT_I64});
    tensor_set_int(t, 0, a->i);
    return ret(c, 0, make_const(c, t));
  }
  if ((a = attr_find(c, "value_floats", ONNX_ATTR_FLOATS))) return floats_value(c, a);
  if ((a = attr_find(c, "value_ints", ONNX_ATTR_INTS)))
    return ret(c, 0, make_ints(c, a->ints, (int)a->nints));
  if ((a = attr_find(c, "value_string", ONNX_ATTR_STRING))) return strings_const(c, &a->s, 1, 0);
  if ((a = attr_find(c, "value_strings", ONNX_ATTR_STRINGS)))
    return strings_const(c, a->strings, a->nstrings, 1);
  return call_fail(c, "it has no value");
}

static bool constant_of_shape(Call *c) {
  Dim dims[MAX_RANK];
  int rank = arg_dims(c, 0, dims, MAX_RANK);
  const OnnxAttr *a = attr_find(c, "value", ONNX_ATTR_TENSOR);
  if (rank < 0) return false;
  Value *value = make_scalar(c, DT_F32, 0);
  int32_t elem = ONNX_FLOAT;
  if (a && a->t) {
    Tensor *t = onnx_tensor(c->im->files, c->loc, a->t);
    if (!t) return c->failed = true, false;
    value = make_const(c, t);
    elem = a->t->elem;
  }
  return ret_as(c, 0, make(c, "fill", IN(value), ATTRS(A_SHAPE("shape", dims, rank))), elem);
}

static bool eye_like(Call *c) {
  Value *x = arg(c, 0);
  DType t = onnx_dtype((int32_t)attr_i(c, "dtype", arg_elem(c, 0)));
  if (rank_of(x) != 2) return call_fail(c, "its operand has %d dimensions, not 2", rank_of(x));
  Attr attrs[] = {A_SHAPE("shape", x->type.dim, 2), A_INT("k", attr_i(c, "k", 0)), A_DTYPE("dtype", t)};
  return ret(c, 0, make(c, "eye", NULL, 0, attrs, 3));
}

// How many numbers from `start` before `limit`, in floats.
static bool float_count(Call *c, Dim *count) {
  double start, limit, delta;
  if (!arg_float(c, 0, &start) || !arg_float(c, 1, &limit) || !arg_float(c, 2, &delta)) return false;
  double n = ceil((limit - start) / delta);
  if (!(n <= (double)MAX_ELEMENTS)) return call_fail(c, "a range of absurdly many numbers");
  *count = dim_const(n > 0 ? (int64_t)n : 0);
  return true;
}

static bool int_count(Call *c, Dim *count) {
  Ctx *x = call_ctx(c);
  Dim ends[2];
  int64_t delta;
  if (arg_dims(c, 0, &ends[0], 1) != 1 || arg_dims(c, 1, &ends[1], 1) != 1) return false;
  if (!arg_int(c, 2, &delta)) return false;
  if (delta == 0) return call_fail(c, "a step of 0");
  const Expr *span = ex_sub(x, dim_to_expr(x, ends[delta > 0]), dim_to_expr(x, ends[delta < 0]));
  int64_t step = delta > 0 ? delta : -delta;
  const Expr *n = ex_binary(x, E_FDIV, ex_add(x, span, ex_idx(x, step - 1)), ex_idx(x, step));
  *count = dim_expr(x, ex_binary(x, E_MAX, n, ex_idx(x, 0)));
  return true;
}

static bool range(Call *c) {
  Value *start = arg(c, 0), *delta = arg(c, 2);
  Dim count;
  bool ok = dtype_is_float(start->type.dtype) ? float_count(c, &count) : int_count(c, &count);
  return ok && ret(c, 0, make(c, "range", IN(start, delta), ATTRS(A_SHAPE("count", &count, 1))));
}

// ---- views ------------------------------------------------------------------------------------------------------

static bool reshape(Call *c) {
  Dim dims[MAX_RANK];
  int rank;
  if (c->version < 5) {
    const int64_t *v;
    rank = attr_is(c, "shape", &v);
    if (rank > MAX_RANK) return call_fail(c, "%d dimensions; at most %d are supported", rank, MAX_RANK);
    for (int i = 0; i < rank; i++) dims[i] = dim_const(v[i]);
  } else {
    rank = arg_dims(c, 1, dims, MAX_RANK);
  }
  if (rank < 0) return false;
  bool zero = attr_i(c, "allowzero", 0);
  Value *y =
      make(c, "reshape", IN(arg(c, 0)), ATTRS(A_SHAPE("shape", dims, rank), A_BOOL("allow_zero", zero)));
  return ret_as(c, 0, y, arg_elem(c, 0));
}

static bool flatten(Call *c) {
  Value *y = make(c, "flatten", IN(arg(c, 0)), ATTRS(A_INT("axis", attr_i(c, "axis", 1))));
  return ret_as(c, 0, y, arg_elem(c, 0));
}

static bool squeeze(Call *c) {
  const int64_t *axes;
  int n = ints_of(c, "axes", 13, 1, &axes);
  Value *x = arg(c, 0);
  if (n == 0 && (has_arg(c, 1) || attr_has(c, "axes"))) return ret_as(c, 0, x, arg_elem(c, 0));
  return ret_as(c, 0, make(c, "squeeze", IN(x), ATTRS(A_INTS("axes", axes, n))), arg_elem(c, 0));
}

static bool unsqueeze(Call *c) {
  const int64_t *axes;
  int n = ints_of(c, "axes", 13, 1, &axes);
  return ret_as(c, 0, make(c, "unsqueeze", IN(arg(c, 0)), ATTRS(A_INTS("axes", axes, n))), arg_elem(c, 0));
}

static bool transpose(Call *c) {
  const int64_t *perm;
  int n = attr_is(c, "perm", &perm);
  Value *x = arg(c, 0);
  if (rank_of(x) < 2) return ret_as(c, 0, x, arg_elem(c, 0));
  return ret_as(c, 0, make(c, "transpose", IN(x), ATTRS(A_INTS("perm", perm, n))), arg_elem(c, 0));
}

// Extents of 1 in the wanted shape keep those of x: both sides are broadcast.
static bool expand(Call *c) {
  Value *x = arg(c, 0);
  Dim want[MAX_RANK], out[MAX_RANK];
  int n = arg_dims(c, 1, want, MAX_RANK);
  if (n < 0) return false;
  int rank = n > rank_of(x) ? n : rank_of(x);
  for (int i = 0; i < rank; i++) {
    int at = i - (rank - n);
    bool keep = at < 0 || (!want[at].sym && want[at].n == 1);
    out[i] = keep ? dim_of(x, i - (rank - rank_of(x))) : want[at];
  }
  return ret_as(c, 0, make(c, "broadcast", IN(x), ATTRS(A_SHAPE("shape", out, rank))), arg_elem(c, 0));
}

static bool tile(Call *c) {
  Value *x = arg(c, 0);
  const int64_t *v;
  int64_t repeats[MAX_RANK];
  int n = arg_ints(c, 1, &v);
  for (int i = 0; i < rank_of(x); i++) repeats[i] = 1;
  if (c->version < 6) { // one axis: tiles, axis
    int64_t axis;
    if (n < 1 || !arg_int(c, 2, &axis)) return call_fail(c, "tiles and axis are needed");
    repeats[axis_of(c, axis, rank_of(x))] = v[0];
  } else if (n != rank_of(x)) {
    return call_fail(c, "%d repeats for %d dimensions", n, rank_of(x));
  } else {
    memcpy(repeats, v, (size_t)n * sizeof *v);
  }
  return ret_as(c, 0, make(c, "tile", IN(x), ATTRS(A_INTS("repeats", repeats, rank_of(x)))), arg_elem(c, 0));
}

static bool concat(Call *c) {
  Value **v = NEW_ARRAY(call_arena(c), Value *, c->nin + 1);
  int64_t axis = attr_i(c, "axis", 1);
  for (int i = 0; i < c->nin; i++) v[i] = arg(c, i);
  if (c->version >= 4 && !attr_required(c, "axis", ONNX_ATTR_INT)) return false;
  return ret_as(c, 0, make_concat(c, v, c->nin, (int)axis), arg_elem(c, 0));
}

// Sizes are given, or follow from the number of results; the last part may be smaller since version 18.
static bool split(Call *c) {
  Value *x = arg(c, 0);
  const int64_t *sizes;
  int axis = axis_of(c, attr_i(c, "axis", 0), rank_of(x));
  int n = c->version < 2 && has_arg(c, 1) ? arg_ints(c, 1, &sizes) : ints_of(c, "split", 13, 1, &sizes);
  if (n < 0 || c->failed) return false;
  if (n && n != c->nout) return call_fail(c, "%d sizes for %d results", n, c->nout);
  int64_t extent = dim_of(x, axis).n;
  if (!n && c->version < 18 && extent % c->nout) {
    return call_fail(c, "%lld elements cannot be split into %d equal parts", (long long)extent, c->nout);
  }
  Attr attrs[] = {A_INT("axis", axis), n ? A_INTS("sizes", sizes, n) : A_INT("parts", c->nout)};
  Value **parts = make_all(c, "split", IN(x), attrs, 2, c->nout);
  for (int i = 0; i < c->nout; i++) ret_as(c, i, parts[i], arg_elem(c, 0));
  return !c->failed;
}

static bool dims_from_attr(Call *c, const char *name, Dim *dims, int *n) {
  const int64_t *v;
  *n = attr_is(c, name, &v);
  if (*n > MAX_RANK) return call_fail(c, "%s has %d elements", name, *n);
  for (int i = 0; i < *n; i++) dims[i] = dim_const(v[i]);
  return true;
}

static bool slice(Call *c) {
  Dim starts[MAX_RANK], ends[MAX_RANK];
  const int64_t *axes = NULL, *steps = NULL;
  int n, nends, naxes = 0, nsteps = 0;
  if (c->version < 10) {
    if (!dims_from_attr(c, "starts", starts, &n) || !dims_from_attr(c, "ends", ends, &nends)) return false;
    naxes = attr_is(c, "axes", &axes);
  } else {
    n = arg_dims(c, 1, starts, MAX_RANK);
    nends = arg_dims(c, 2, ends, MAX_RANK);
    if (has_arg(c, 3)) naxes = arg_ints(c, 3, &axes);
    if (has_arg(c, 4)) nsteps = arg_ints(c, 4, &steps);
  }
  if (n < 0 || nends < 0 || naxes < 0 || nsteps < 0) return false;
  Attr attrs[] = {A_SHAPE("starts", starts, n), A_SHAPE("ends", ends, nends), A_INTS("axes", axes, naxes),
                  A_INTS("steps", steps, nsteps)};
  return ret_as(c, 0, make(c, "slice", IN(arg(c, 0)), attrs, 4), arg_elem(c, 0));
}

// Padding of the dimensions `axes`, brought to all dimensions.
static bool pad_amounts(Call *c, int rank, int64_t *all) {
  const int64_t *pads, *axes = NULL;
  int n = c->version < 2 ? attr_is(c, "paddings", &pads) : ints_of(c, "pads", 11, 1, &pads);
  int naxes = rank;
  if (has_arg(c, 3)) naxes = arg_ints(c, 3, &axes);
  if (c->failed || naxes < 0) return false;
  if (n != 2 * naxes) return call_fail(c, "%d amounts of padding for %d dimensions", n, naxes);
  memset(all, 0, 2 * (size_t)rank * sizeof *all);
  for (int i = 0; i < naxes; i++) {
    int d = axes ? axis_of(c, axes[i], rank) : i;
    all[d] = pads[i];
    all[rank + d] = pads[naxes + i];
  }
  return !c->failed;
}

static bool pad(Call *c) {
  Value *x = arg(c, 0), *value = NULL;
  const char *mode = attr_s(c, "mode", "constant");
  int64_t pads[2 * MAX_RANK];
  if (!pad_amounts(c, rank_of(x), pads)) return false;
  if (c->version >= 11) {
    value = arg_opt(c, 2);
  } else if (attr_f(c, "value", 0) != 0) {
    value = make_like(c, x, attr_f(c, "value", 0));
  }
  Attr attrs[] = {A_INTS("pads", pads, 2 * rank_of(x)), A_STRING("mode", mode)};
  return ret_as(c, 0, make(c, "pad", IN(x, value), attrs, 2), arg_elem(c, 0));
}

static bool depth_to_space(Call *c) {
  const char *mode = attr_s(c, "mode", "DCR");
  Attr attrs[] = {A_INT("block", attr_i(c, "blocksize", 0)),
                  A_STRING("mode", strcmp(mode, "CRD") == 0 ? "crd" : "dcr")};
  return ret(c, 0, make(c, "depth_to_space", IN(arg(c, 0)), attrs, 2));
}

static bool space_to_depth(Call *c) {
  return ret(c, 0,
             make(c, "space_to_depth", IN(arg(c, 0)), ATTRS(A_INT("block", attr_i(c, "blocksize", 0)))));
}

static bool trilu(Call *c) {
  int64_t k = 0;
  if (has_arg(c, 1) && !arg_int(c, 1, &k)) return false;
  Attr attrs[] = {A_BOOL("upper", attr_i(c, "upper", 1)), A_INT("k", k)};
  return ret(c, 0, make(c, "trilu", IN(arg(c, 0)), attrs, 2));
}

// Each axis is cut or padded about its middle to the wanted extent.
static bool center_crop_pad(Call *c) {
  Value *x = arg(c, 0);
  const int64_t *want, *axes;
  int n = arg_ints(c, 1, &want), naxes = attr_is(c, "axes", &axes);
  int64_t pads[2 * MAX_RANK] = {0};
  if (n < 0) return false;
  if (n != (naxes ? naxes : rank_of(x))) return call_fail(c, "%d extents do not fit the axes", n);
  for (int i = 0; i < n; i++) {
    int d = axis_of(c, naxes ? axes[i] : i, rank_of(x));
    int64_t more = want[i] - dim_of(x, d).n;
    // An odd one is taken or added at the end; floor for cutting means the negative half rounds up.
    pads[d] = more >= 0 ? more / 2 : -(-more / 2);
    pads[rank_of(x) + d] = more - pads[d];
  }
  return ret(c, 0, make(c, "pad", IN(x, NULL), ATTRS(A_INTS("pads", pads, 2 * rank_of(x)))));
}

const OnnxOp ONNX_OPS_SHAPE[] = {
    {"", "Shape", shape, NULL},
    {"", "Size", size, NULL},
    {"", "Constant", constant, NULL},
    {"", "ConstantOfShape", constant_of_shape, NULL},
    {"", "EyeLike", eye_like, NULL},
    {"", "Range", range, NULL},
    {"", "Reshape", reshape, NULL},
    {"", "Flatten", flatten, NULL},
    {"", "Squeeze", squeeze, NULL},
    {"", "Unsqueeze", unsqueeze, NULL},
    {"", "Transpose", transpose, NULL},
    {"", "Expand", expand, NULL},
    {"", "Tile", tile, NULL},
    {"", "Concat", concat, NULL},
    {"", "Split", split, NULL},
    {"", "Slice", slice, NULL},
    {"", "Pad", pad, NULL},
    {"", "DepthToSpace", depth_to_space, NULL},
    {"", "SpaceToDepth", space_to_depth, NULL},
    {"", "Trilu", trilu, NULL},
    {"", "CenterCropPad", center_crop_pad, NULL},
    {0},
};
