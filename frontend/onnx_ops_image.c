// onnx_ops_image.c: ONNX operators that resample images.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

#include <math.h>

// ---- Resize and Upsample ----------------------------------------------------------------------------------------

// What a resize asks for, for every dimension of x.
typedef struct Zoom {
  double scales[MAX_RANK], roi[2 * MAX_RANK];
  Dim sizes[MAX_RANK];
  bool has_scales, has_sizes, has_roi;
} Zoom;

// Entry i of a list over `axes` (NULL: all dimensions, in order) belongs to this dimension.
static int dim_at(Call *c, const int64_t *axes, int i, int rank) {
  return axes ? axis_of(c, axes[i], rank) : i;
}

static bool read_scales(Call *c, int k, const int64_t *axes, int n, int rank, Zoom *z) {
  const double *v;
  int count = arg_floats(c, k, &v);
  if (count <= 0) return count == 0;
  if (count != n) return call_fail(c, "%d scales for %d dimensions", count, n);
  for (int i = 0; i < n; i++) {
    if (!(v[i] > 0) || !isfinite(v[i])) return call_fail(c, "a scale of %g", v[i]);
    z->scales[dim_at(c, axes, i, rank)] = v[i];
  }
  return z->has_scales = !c->failed;
}

static bool read_roi(Call *c, int k, const int64_t *axes, int n, int rank, Zoom *z) {
  const double *v;
  int count = arg_floats(c, k, &v);
  if (count <= 0) return count == 0;
  if (count != 2 * n) return call_fail(c, "roi has %d elements for %d dimensions", count, n);
  for (int d = 0; d < rank; d++) z->roi[rank + d] = 1;
  for (int i = 0; i < n; i++) {
    int d = dim_at(c, axes, i, rank);
    z->roi[d] = v[i];
    z->roi[rank + d] = v[n + i];
  }
  return z->has_roi = !c->failed;
}

// With keep_aspect_ratio_policy all sizes follow from one scale, the least or greatest of the wanted ones.
static bool keep_aspect(Call *c, const Value *x, const int64_t *axes, int n, const char *policy, Zoom *z) {
  bool larger = strcmp(policy, "not_smaller") == 0;
  double scale = larger ? 0 : INFINITY;
  if (!larger && strcmp(policy, "not_larger") != 0) return call_fail(c, "the policy '%s'", policy);
  for (int i = 0; i < n; i++) {
    int d = dim_at(c, axes, i, rank_of(x));
    if (x->type.dim[d].sym || z->sizes[d].sym) return call_fail(c, "%s needs known extents", policy);
    double s = (double)z->sizes[d].n / (double)x->type.dim[d].n;
    scale = larger ? fmax(scale, s) : fmin(scale, s);
  }
  for (int i = 0; i < n; i++) {
    int d = dim_at(c, axes, i, rank_of(x));
    z->sizes[d] = dim_const((int64_t)floor(scale * (double)x->type.dim[d].n + 0.5));
    z->scales[d] = scale;
  }
  z->has_scales = true;
  return true;
}

static bool read_sizes(Call *c, int k, const Value *x, const int64_t *axes, int n, Zoom *z) {
  Dim dims[MAX_RANK];
  int count = arg_dims(c, k, dims, MAX_RANK);
  if (count <= 0) return count == 0;
  if (count != n) return call_fail(c, "%d sizes for %d dimensions", count, n);
  for (int i = 0; i < n; i++) z->sizes[dim_at(c, axes, i, rank_of(x))] = dims[i];
  z->has_sizes = true;
  const char *policy = attr_s(c, "keep_aspect_ratio_policy", "stretch");
  return strcmp(policy, "stretch") == 0 || keep_aspect(c, x, axes, n, policy, z);
}

static void zoom_start(const Value *x, Zoom *z) {
  *z = (Zoom){0};
  for (int d = 0; d < rank_of(x); d++) {
    z->scales[d] = 1;
    z->sizes[d] = dim_of(x, d);
  }
}

// Modes are spelled with or without their dimension: "linear", "bilinear", "trilinear".
static const char *mode_of(Call *c, const char *mode) {
  if (strstr(mode, "linear")) return "linear";
  if (strstr(mode, "cubic")) return "cubic";
  if (strcmp(mode, "nearest") == 0) return mode;
  call_fail(c, "the mode '%s' is not supported", mode);
  return mode;
}

static bool resize_node(Call *c, Value *x, const Zoom *z, const char *mode, const char *coords,
                        const char *nearest) {
  int rank = rank_of(x);
  Attr attrs[] = {
      A_STRING("mode", mode),
      A_STRING("coords", coords),
      A_STRING("nearest", nearest),
      A_FLOAT("cubic_a", attr_f(c, "cubic_coeff_a", -0.75)),
      A_BOOL("antialias", attr_i(c, "antialias", 0)),
      A_BOOL("exclude_outside", attr_i(c, "exclude_outside", 0)),
      A_FLOAT("extrapolation", attr_f(c, "extrapolation_value", 0)),
      A_SHAPE("sizes", z->sizes, z->has_sizes ? rank : 0),
      A_FLOATS("scales", z->scales, z->has_scales ? rank : 0),
      A_FLOATS("roi", z->roi, z->has_roi ? 2 * rank : 0),
  };
  return ret(c, 0, make(c, "resize", IN(x), attrs, ARRAY_LEN(attrs)));
}

static bool resize(Call *c) {
  Value *x = arg(c, 0);
  Zoom z;
  const int64_t *axes;
  int n = attr_is(c, "axes", &axes), first = c->version < 11 ? 1 : 2;
  const char *mode = mode_of(c, attr_s(c, "mode", "nearest"));
  if (n == 0) n = rank_of(x);
  zoom_start(x, &z);
  if (c->failed) return false;
  if (c->version >= 11 && has_arg(c, 1) && !read_roi(c, 1, axes, n, rank_of(x), &z)) return false;
  if (has_arg(c, first) && !read_scales(c, first, axes, n, rank_of(x), &z)) return false;
  if (has_arg(c, first + 1) && !read_sizes(c, first + 1, x, axes, n, &z)) return false;
  if (!z.has_scales && !z.has_sizes) return call_fail(c, "it has neither scales nor sizes");
  // Operator set 10 knew one way only: corners to corners, rounding down.
  const char *coords =
      c->version < 11 ? "asymmetric" : attr_s(c, "coordinate_transformation_mode", "half_pixel");
  const char *nearest = c->version < 11 ? "floor" : attr_s(c, "nearest_mode", "round_prefer_floor");
  if (strcmp(coords, "tf_crop_and_resize") != 0) z.has_roi = false;
  return resize_node(c, x, &z, mode, coords, nearest);
}

static bool upsample(Call *c) {
  Value *x = arg(c, 0);
  Zoom z;
  const float *scales;
  int n = attr_fs(c, "scales", &scales);
  zoom_start(x, &z);
  if (c->version >= 9) {
    if (!read_scales(c, 1, NULL, rank_of(x), rank_of(x), &z)) return false;
  } else if (c->version >= 7) {
    if (n != rank_of(x)) return call_fail(c, "%d scales for %d dimensions", n, rank_of(x));
    for (int d = 0; d < n; d++) z.scales[d] = scales[d];
    z.has_scales = true;
  } else {
    if (rank_of(x) != 4) return call_fail(c, "its operand has %d dimensions, not 4", rank_of(x));
    z.scales[2] = attr_f(c, "height_scale", 1);
    z.scales[3] = attr_f(c, "width_scale", 1);
    z.has_scales = true;
  }
  return resize_node(c, x, &z, mode_of(c, attr_s(c, "mode", "nearest")), "asymmetric", "floor");
}

// ---- points and regions -----------------------------------------------------------------------------------------

static bool grid_sample(Call *c) {
  Attr attrs[] = {A_STRING("mode", mode_of(c, attr_s(c, "mode", "linear"))),
                  A_STRING("padding", attr_s(c, "padding_mode", "zeros")),
                  A_BOOL("align_corners", attr_i(c, "align_corners", 0))};
  return ret(c, 0, make(c, "grid_sample", IN(arg(c, 0), arg(c, 1)), attrs, 3));
}

static bool roi_align(Call *c) {
  int64_t size[] = {attr_i(c, "output_height", 1), attr_i(c, "output_width", 1)};
  const char *coords = attr_s(c, "coordinate_transformation_mode", "half_pixel");
  bool half = c->version >= 16 && strcmp(coords, "half_pixel") == 0;
  Attr attrs[] = {A_INTS("size", size, 2), A_FLOAT("scale", attr_f(c, "spatial_scale", 1)),
                  A_INT("samples", attr_i(c, "sampling_ratio", 0)),
                  A_STRING("mode", attr_s(c, "mode", "avg")), A_BOOL("half_pixel", half)};
  return ret(c, 0, make(c, "roi_align", IN(arg(c, 0), arg(c, 1), arg(c, 2)), attrs, 5));
}

// Coordinates of n places from -1 to 1 along dimension d of `spatial`, with an extent of 1 elsewhere and last.
static Value *normal_places(Call *c, Dim n, int d, int spatial, bool align, DType t) {
  Dim shape[MAX_RANK];
  for (int i = 0; i < spatial + 2; i++) shape[i] = dim_const(1);
  shape[d + 1] = n;
  Attr attrs[] = {A_SHAPE("shape", shape, spatial + 2), A_INT("axis", d + 1), A_DTYPE("dtype", t)};
  Value *at = make(c, "iota", NULL, 0, attrs, 3);
  double step = 2.0 / (double)(align ? n.n - 1 : n.n);
  return make_binary(c, "add", make_scaled(c, at, step), make_scalar(c, t, align ? -1 : step / 2 - 1));
}

// theta [n,k,k+1] times (x, y, .. , 1) for every place of a grid: [n,..,y,x,k].
static bool affine_grid(Call *c) {
  Value *theta = arg(c, 0);
  const int64_t *size;
  int rank = arg_ints(c, 1, &size), spatial = rank - 2;
  bool align = attr_i(c, "align_corners", 0);
  if (rank < 0) return false;
  if ((spatial != 2 && spatial != 3) || rank_of(theta) != 3)
    return call_fail(c, "it must have 2 or 3 dimensions");
  Dim dims[5] = {dim_of(theta, 0), dim_const(1), dim_const(1), dim_const(1), dim_const(1)};
  dims[spatial + 1] = dim_const(spatial);
  Value *sum = make_reshape(c, make_slice(c, theta, 2, spatial, spatial + 1), dims, spatial + 2);
  for (int k = 0; k < spatial; k++) { // the first column belongs to x, the last dimension of space
    int d = spatial - 1 - k;
    if (size[2 + d] < 1) return call_fail(c, "a grid without places");
    Value *column = make_reshape(c, make_slice(c, theta, 2, k, k + 1), dims, spatial + 2);
    Value *at =
        normal_places(c, dim_const(size[2 + d]), d, spatial, align && size[2 + d] > 1, theta->type.dtype);
    sum = make_binary(c, "add", sum, make_binary(c, "mul", column, at));
  }
  return ret(c, 0, sum);
}

// One side of the bins of each region [r]: the greatest elements of x [r,c,n] (along `axis` of it) in `bins` bins
// between first and last, which are elements of x and both belong to the region.
static Value *max_bins(Call *c, Value *x, int axis, Value *first, Value *last, int64_t bins, Value **empty) {
  int rank = rank_of(x), after = rank - axis - 1;
  DType t = DT_F32;
  Value *one = make_scalar(c, t, 1), *zero = make_scalar(c, t, 0), *n;
  n = make_cast(c, make(c, "extents", NULL, 0, ATTRS(A_SHAPE("of", &x->type.dim[axis], 1))), t);
  Value *size = make_binary(c, "add", make_binary(c, "sub", last, first), one);
  size = make_scaled(c, make_binary(c, "max", size, one), 1.0 / (double)bins);
  Value *bin = make_cast(c, positions(c, dim_const(bins), axis, after + 1), t); // [1,1,bins,1..]
  size = make_unsqueeze_last(c, size, rank);
  first = make_unsqueeze_last(c, first, rank);
  Value *from = make_unary(c, "floor", make_binary(c, "mul", bin, size)),
        *to = make_unary(c, "ceil", make_binary(c, "mul", make_binary(c, "add", bin, one), size));
  from = make_binary(c, "min", make_binary(c, "max", make_binary(c, "add", from, first), zero), n);
  to = make_binary(c, "min", make_binary(c, "max", make_binary(c, "add", to, first), zero), n);
  Value *at = make_cast(c, positions(c, dim_of(x, axis), axis + 1, after), t);
  Value *in = make_binary(c, "and", make_binary(c, "less_equal", from, at), make_binary(c, "less", at, to));
  int64_t here[] = {axis}, over[] = {axis + 1};
  x = make(c, "unsqueeze", IN(x), ATTRS(A_INTS("axes", here, 1)));
  x = make(c, "where", IN(in, x, make_like(c, x, -INFINITY)), NO_ATTRS);
  Attr attrs[] = {A_INTS("axes", over, 1), A_BOOL("keepdims", false)};
  *empty = make(c, "squeeze", IN(make_binary(c, "less_equal", to, from)), ATTRS(A_INTS("axes", over, 1)));
  return make(c, "reduce_max", IN(x), attrs, 2);
}

// Regions [r,5]: the sample, and the corners x1, y1, x2, y2 in units of 1 / spatial_scale; bins that hold no
// element give 0.
static bool max_roi_pool(Call *c) {
  Value *x = arg(c, 0), *rois = arg(c, 1), *v[5], *empty[2];
  const int64_t *bins;
  if (attr_is(c, "pooled_shape", &bins) != 2 || rank_of(x) != 4)
    return call_fail(c, "pooled_shape must be two numbers");
  double scale = attr_f(c, "spatial_scale", 1);
  int64_t axes[] = {1};
  for (int k = 0; k < 5; k++) {
    v[k] = make(c, "squeeze", IN(make_slice(c, rois, 1, k, k + 1)), ATTRS(A_INTS("axes", axes, 1)));
    v[k] = make_cast(c, v[k], DT_F32);
    if (k > 0) { // rounded, halves away from zero (corners are not negative)
      Value *half = make_scalar(c, DT_F32, 0.5);
      v[k] = make_unary(c, "floor", make_binary(c, "add", make_scaled(c, v[k], scale), half));
    }
  }
  Value *y = make(c, "gather", IN(x, make_cast(c, v[0], DT_I64)), ATTRS(A_INT("axis", 0)));
  y = max_bins(c, y, 3, v[1], v[3], bins[1], &empty[0]);
  y = max_bins(c, y, 2, v[2], v[4], bins[0], &empty[1]);
  Value *none = make_binary(c, "or", empty[0], empty[1]);
  return ret(c, 0, make(c, "where", IN(none, make_like(c, y, 0), y), NO_ATTRS));
}

const OnnxOp ONNX_OPS_IMAGE[] = {
    {"", "Resize", resize, NULL},
    {"", "Upsample", upsample, NULL},
    {"", "GridSample", grid_sample, NULL},
    {"", "RoiAlign", roi_align, NULL},
    {"", "AffineGrid", affine_grid, NULL},
    {"", "MaxRoiPool", max_roi_pool, NULL},
    {0},
};
