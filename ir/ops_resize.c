// ops_resize.c: resampling of space: resize, grid_sample, roi_align.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

#include <math.h>

// ---- kernels of interpolation -----------------------------------------------------------------------------------

static const Expr *num(const Expr *like, Ctx *c, double v) {
  return ex_num(c, like->dtype, v);
}

static const Expr *one_minus(Ctx *c, const Expr *x) {
  return ex_sub(c, num(x, c, 1), x);
}

// Keys 1981, by distance t >= 0: within 1 ((a+2)t - (a+3))t^2 + 1, from 1 to 2 ((t - 5)t + 8)t - 4, times a.
static const Expr *cubic_near(Ctx *c, const Expr *t, double a) {
  const Expr *s = ex_sub(c, ex_mul(c, num(t, c, a + 2), t), num(t, c, a + 3));
  return ex_add(c, ex_mul(c, ex_mul(c, s, t), t), num(t, c, 1));
}

static const Expr *cubic_far(Ctx *c, const Expr *t, double a) {
  const Expr *s = ex_add(c, ex_mul(c, ex_sub(c, t, num(t, c, 5)), t), num(t, c, 8));
  return ex_mul(c, ex_sub(c, ex_mul(c, s, t), num(t, c, 4)), num(t, c, a));
}

// Weights of the neighbours of a point that lies `frac` behind element 0: 2 (elements 0, 1) or 4 (-1 ... 2).
static int tap_weights(Ctx *c, bool cubic, const Expr *frac, double a, const Expr **w) {
  const Expr *rest = one_minus(c, frac);
  if (!cubic) {
    w[0] = rest;
    w[1] = frac;
    return 2;
  }
  w[0] = cubic_far(c, ex_add(c, frac, num(frac, c, 1)), a);
  w[1] = cubic_near(c, frac, a);
  w[2] = cubic_near(c, rest, a);
  w[3] = cubic_far(c, ex_add(c, rest, num(rest, c, 1)), a);
  return 4;
}

// ---- resize: from output indices to places in x -------------------------------------------------------------------

// Where an output index lies in x: element `low` plus `frac`. If the scale is a ratio of integers p/q the place is
// num / den exactly, so that rounding never depends on the precision of floats.
typedef struct Place {
  bool on;                // the dimension is resized
  const Expr *num, *den;  // integers, or NULL
  const Expr *x;          // f64, if num is NULL
  const Expr *low, *frac; // i64 and float
  const Expr *outside;    // bool, or NULL: beyond the ends, take the extrapolation value
  double scale;
} Place;

enum { MAX_DENOMINATOR = 64, MAX_SCALE = 1 << 20 };

// scale = p / q with a small q, if it is of that form.
static bool small_ratio(double scale, int64_t *p, int64_t *q) {
  for (*q = 1; *q <= MAX_DENOMINATOR; ++*q) {
    double x = scale * (double)*q;
    if (x == floor(x) && x < 1 << 24) return *p = (int64_t)x, true;
  }
  return false;
}

// Places as num / den. `in` and `out` are the extents, the result's width in x's scale is in * p / q.
static void place_ratio(Ctx *c, const Node *n, Place *at, const Expr *o, const Expr *in, const Expr *out,
                        const Expr *p, const Expr *q) {
  const Expr *one = ex_idx(c, 1), *two = ex_idx(c, 2);
  const Expr *centre = ex_mul(c, ex_add(c, ex_mul(c, o, two), one), q); // (o + 1/2) * q, doubled
  const Expr *width = ex_mul(c, in, p);                                 // times q
  at->den = ex_mul(c, p, two);
  if (attr_is(n, "coords", "asymmetric")) {
    at->num = ex_mul(c, o, q);
    at->den = p;
  } else if (attr_is(n, "coords", "align_corners")) {
    at->num = ex_mul(c, ex_mul(c, o, ex_sub(c, in, one)), q);
    at->den = ex_binary(c, E_MAX, ex_sub(c, width, q), one);
    if (width == q) at->num = ex_idx(c, 0);
  } else if (attr_is(n, "coords", "half_pixel_symmetric")) {
    at->num = ex_sub(c, ex_add(c, ex_sub(c, centre, p), width), ex_mul(c, out, q));
  } else if (attr_is(n, "coords", "tf_half_pixel_for_nn")) {
    at->num = centre;
  } else {
    at->num = ex_sub(c, centre, p);
    if (attr_is(n, "coords", "pytorch_half_pixel") && width == q) at->num = ex_sub(c, ex_idx(c, 0), p);
  }
}

static const Expr *f64(Ctx *c, double v) {
  return ex_float(c, DT_F64, v);
}

// x * a + b in f64.
static const Expr *line(Ctx *c, const Expr *x, double a, double b) {
  return ex_add(c, ex_mul(c, ex_cast(c, DT_F64, x), f64(c, a)), f64(c, b));
}

// tf_crop_and_resize: the region [roi[d], roi[rank + d]] of x, in parts of its extent, fills the result.
static void place_crop(Ctx *c, const Node *n, int d, Place *at, const Expr *o, double in, double width) {
  const Attr *roi = node_attr(n, "roi");
  double from = roi->floats[d], to = roi->floats[in_rank(n, 0) + d], span = (to - from) * (in - 1);
  at->x = width == 1 ? f64(c, span / 2 + from * (in - 1)) : line(c, o, span / (width - 1), from * (in - 1));
  at->outside =
      ex_binary(c, E_OR, ex_binary(c, E_LT, at->x, f64(c, 0)), ex_binary(c, E_LT, f64(c, in - 1), at->x));
}

// In the order of ONNX's text, so that places in the middle of two elements round alike.
static void place_float(Ctx *c, const Node *n, Place *at, const Expr *o, double in, double out) {
  double width = in * at->scale;
  bool centred = !attr_is(n, "coords", "asymmetric"), back = !attr_is(n, "coords", "tf_half_pixel_for_nn");
  if (attr_is(n, "coords", "align_corners")) {
    at->x = ex_mul(c, ex_cast(c, DT_F64, o), f64(c, in - 1));
    at->x = width == 1 ? f64(c, 0) : ex_binary(c, E_DIV, at->x, f64(c, width - 1));
    return;
  }
  at->x = ex_binary(c, E_DIV, line(c, o, 1, centred ? 0.5 : 0), f64(c, at->scale));
  if (attr_is(n, "coords", "half_pixel_symmetric"))
    at->x = ex_add(c, at->x, f64(c, in / 2 * (1 - out / width)));
  if (centred && back) at->x = ex_sub(c, at->x, f64(c, 0.5));
}

static void split_place(Ctx *c, Place *at, DType acc) {
  if (at->num) {
    at->low = ex_binary(c, E_FDIV, at->num, at->den);
    const Expr *rest = ex_binary(c, E_MOD, at->num, at->den);
    at->frac = ex_binary(c, E_DIV, ex_cast(c, acc, rest), ex_cast(c, acc, at->den));
  } else {
    const Expr *low = ex_unary(c, E_FLOOR, at->x);
    at->low = ex_cast(c, DT_I64, low);
    at->frac = ex_cast(c, acc, ex_sub(c, at->x, low));
  }
}

// The place of index o along dimension d. With scales given they say how indices map, else the extents do.
static Place place_of(Ctx *c, const Node *n, int d, const Type *out, const Expr *o) {
  const Type *x = in_type(n, 0);
  const Attr *scales = node_attr(n, "scales");
  const Expr *in = ex_dim(c, x, d), *outs = ex_dim(c, out, d);
  Place at = {.on = true, .scale = (double)out->dim[d].n / (double)x->dim[d].n};
  int64_t p, q;
  bool crop = attr_is(n, "coords", "tf_crop_and_resize"), ratio = true;
  const Expr *pe = outs, *qe = in;
  if (scales->n) {
    at.scale = scales->floats[d];
    ratio = small_ratio(at.scale, &p, &q);
    if (ratio) {
      pe = ex_idx(c, p);
      qe = ex_idx(c, q);
    }
  }
  if (!crop && dim_equal(x->dim[d], out->dim[d]) && at.scale == 1) return (Place){.on = false};
  double width = at.scale * (double)x->dim[d].n;
  if (crop)
    place_crop(c, n, d, &at, o, (double)x->dim[d].n, width);
  else if (ratio)
    place_ratio(c, n, &at, o, in, outs, pe, qe);
  else
    place_float(c, n, &at, o, (double)x->dim[d].n, (double)out->dim[d].n);
  split_place(c, &at, acc_dtype(x->dtype) == DT_F64 ? DT_F64 : DT_F32);
  return at;
}

// ---- resize -----------------------------------------------------------------------------------------------------

static const Expr *clamp_to(Ctx *c, const Expr *i, const Expr *extent) {
  return ex_binary(c, E_MAX, ex_binary(c, E_MIN, i, ex_sub(c, extent, ex_idx(c, 1))), ex_idx(c, 0));
}

// floor((num * a + b) / (den * a)) with b in terms of den: ways to round num / den.
static const Expr *round_ratio(Ctx *c, const Place *at, const Expr *add, int64_t twice) {
  const Expr *by = ex_idx(c, twice);
  return ex_binary(c, E_FDIV, ex_add(c, ex_mul(c, at->num, by), add), ex_mul(c, at->den, by));
}

static const Expr *nearest_index(Ctx *c, const Node *n, const Place *at) {
  const Expr *one = ex_idx(c, 1);
  bool floor_mode = attr_is(n, "nearest", "floor"), ceil_mode = attr_is(n, "nearest", "ceil");
  bool up = attr_is(n, "nearest", "round_prefer_ceil");
  if (floor_mode) return at->low;
  if (at->num) {
    if (ceil_mode) return round_ratio(c, at, ex_sub(c, at->den, one), 1);
    return round_ratio(c, at, up ? at->den : ex_sub(c, at->den, one), 2);
  }
  if (ceil_mode) return ex_cast(c, DT_I64, ex_unary(c, E_CEIL, at->x));
  const Expr *half = f64(c, 0.5);
  const Expr *i =
      up ? ex_unary(c, E_FLOOR, ex_add(c, at->x, half)) : ex_unary(c, E_CEIL, ex_sub(c, at->x, half));
  return ex_cast(c, DT_I64, i);
}

// Interpolation in progress: dimensions from `d` on are still open.
typedef struct Interp {
  Ctx *c;
  const Node *n;
  const Place *place;
  const Expr *at[MAX_RANK];
  int rank;
} Interp;

// Weights of taps that lie outside of x become 0, the others grow to make up for them.
static void drop_outside(Ctx *c, const Expr *first, const Expr *extent, const Expr **w, int taps) {
  const Expr *sum = NULL;
  for (int t = 0; t < taps; t++) {
    const Expr *i = ex_add(c, first, ex_idx(c, t));
    w[t] = ex_select(c, ex_in_range(c, i, extent), w[t], num(w[t], c, 0));
    sum = sum ? ex_add(c, sum, w[t]) : w[t];
  }
  for (int t = 0; t < taps; t++) w[t] = ex_binary(c, E_DIV, w[t], sum);
}

static const Expr *interpolate(Interp *p, int d) {
  Ctx *c = p->c;
  while (d < p->rank && !p->place[d].on) d++;
  if (d == p->rank) return ex_acc(c, ex_read_at(c, p->n->in[0], p->at));
  const Place *at = &p->place[d];
  bool cubic = attr_is(p->n, "mode", "cubic");
  const Expr *extent = ex_dim(c, in_type(p->n, 0), d), *w[4], *sum = NULL;
  int taps = tap_weights(c, cubic, at->frac, attr_float(p->n, "cubic_a"), w);
  const Expr *first = cubic ? ex_sub(c, at->low, ex_idx(c, 1)) : at->low;
  if (attr_bool(p->n, "exclude_outside")) drop_outside(c, first, extent, w, taps);
  for (int t = 0; t < taps; t++) {
    p->at[d] = clamp_to(c, ex_add(c, first, ex_idx(c, t)), extent);
    const Expr *v = interpolate(p, d + 1);
    v = ex_mul(c, ex_cast(c, v->dtype, w[t]), v);
    sum = sum ? ex_add(c, sum, v) : v;
  }
  return sum;
}

// Weight of the element at distance `away`, in units of x, of a filter stretched by 1 / scale.
static const Expr *stretched_weight(Ctx *c, const Node *n, const Expr *away, double scale) {
  const Expr *t = ex_unary(c, E_ABS, ex_mul(c, away, num(away, c, scale)));
  const Expr *zero = num(t, c, 0), *one = num(t, c, 1);
  if (attr_is(n, "mode", "linear")) return ex_binary(c, E_MAX, ex_sub(c, one, t), zero);
  double a = attr_float(n, "cubic_a");
  const Expr *far = ex_select(c, ex_binary(c, E_LT, t, num(t, c, 2)), cubic_far(c, t, a), zero);
  return ex_select(c, ex_binary(c, E_LE, t, one), cubic_near(c, t, a), far);
}

// Shrinking with a filter as wide as an output element is in x: a weighted mean over all elements it covers.
static const Expr *antialias(Ctx *c, const Node *n, const Place *place, const Expr *const *index) {
  const Type *x = in_type(n, 0);
  double reach = attr_is(n, "mode", "cubic") ? 2 : 1;
  const Expr *at[MAX_RANK], *weight = NULL, *total = NULL;
  Loops loops = {0};
  for (int d = 0; d < x->rank; d++) {
    at[d] = index[d];
    if (!place[d].on) continue;
    double scale = place[d].scale < 1 && place[d].scale > 0 ? place[d].scale : 1;
    int64_t first = (int64_t)floor(-reach / scale) + 1, taps = 2 - 2 * first;
    Loops one = {0};
    const Expr *k = loops_add(c, &one, "k", ex_idx(c, taps)), *extent = ex_dim(c, x, d);
    const Expr *step = ex_add(c, k, ex_idx(c, first)), *i = ex_add(c, place[d].low, step);
    const Expr *away = ex_sub(c, ex_cast(c, place[d].frac->dtype, step), place[d].frac);
    const Expr *w = stretched_weight(c, n, away, scale);
    if (attr_bool(n, "exclude_outside")) w = ex_select(c, ex_in_range(c, i, extent), w, num(w, c, 0));
    const Expr *sum = expr_fresh(c, loops_reduce(c, &one, R_SUM, w));
    weight = weight ? ex_mul(c, weight, w) : w;
    total = total ? ex_mul(c, total, sum) : sum;
    loops.var[loops.n++] = one.var[0];
    at[d] = clamp_to(c, i, extent);
  }
  const Expr *v = ex_acc(c, ex_read_at(c, n->in[0], at));
  if (!weight) return v;
  v = loops_reduce(c, &loops, R_SUM, ex_mul(c, v, ex_cast(c, v->dtype, weight)));
  return ex_binary(c, E_DIV, v, ex_cast(c, v->dtype, total));
}

static bool resize_extents(Ctx *c, const Node *n, Dim *out) {
  const Attr *sizes = node_attr(n, "sizes"), *scales = node_attr(n, "scales");
  const Type *x = in_type(n, 0);
  if ((sizes->n && sizes->n != x->rank) || (scales->n && scales->n != x->rank) || sizes->n + scales->n == 0)
    return op_fail(c, n, "sizes or scales must have one element for each of %d dimensions", x->rank);
  for (int d = 0; d < x->rank; d++) {
    double s = scales->n ? scales->floats[d] : 1;
    int64_t p, q;
    if (!(s >= 1.0 / MAX_SCALE) || s > MAX_SCALE) return op_fail(c, n, "scale %g of dimension %d", s, d);
    if (sizes->n)
      out[d] = sizes->dims[d];
    else if (small_ratio(s, &p, &q))
      out[d] = dim_binary(c, E_FDIV, dim_binary(c, E_MUL, x->dim[d], dim_const(p)), dim_const(q));
    else if (x->dim[d].sym)
      return op_fail(c, n, "dimension %d is not known; its scale must be a ratio of small integers", d);
    else
      out[d] = dim_const((int64_t)floor((double)x->dim[d].n * s));
  }
  return true;
}

static bool resize_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  const Attr *roi = node_attr(n, "roi"), *scales = node_attr(n, "scales");
  Dim out[MAX_RANK];
  bool crop = attr_is(n, "coords", "tf_crop_and_resize"), aa = attr_bool(n, "antialias");
  if (!op_choice(c, n, "mode", "nearest|linear|cubic") ||
      !op_choice(c, n, "coords",
                 "half_pixel|half_pixel_symmetric|pytorch_half_pixel|align_corners|asymmetric|"
                 "tf_half_pixel_for_nn|tf_crop_and_resize") ||
      !op_choice(c, n, "nearest", "round_prefer_floor|round_prefer_ceil|floor|ceil") ||
      !resize_extents(c, n, out))
    return false;
  if (crop && roi->n != 2 * x->rank) return op_fail(c, n, "roi must have two numbers for each dimension");
  if (!dtype_is_float(x->dtype) && !attr_is(n, "mode", "nearest"))
    return op_fail(c, n, "mode %s needs a float tensor, x is %s", attr_string(n, "mode"), type_text(c, x));
  for (int d = 0; d < x->rank; d++) {
    if (dim_equal(out[d], x->dim[d])) continue;
    if (dim_is(x->dim[d], 0)) return op_fail(c, n, "dimension %d of x is empty", d);
    if (x->dim[d].sym && (crop || (aa && !scales->n)))
      return op_fail(c, n, "dimension %d must have a known extent", d);
  }
  return op_set(c, n, 0, x->rank, out);
}

static const Expr *resize_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Type *x = in_type(n, 0), *y = &n->out[out]->type;
  Place place[MAX_RANK];
  Interp p = {.c = c, .n = n, .place = place, .rank = x->rank};
  const Expr *outside = ex_bool(c, false), *v;
  bool nearest = attr_is(n, "mode", "nearest");
  for (int d = 0; d < x->rank; d++) {
    place[d] = place_of(c, n, d, y, index[d]);
    p.at[d] = index[d];
    if (nearest && place[d].on) p.at[d] = clamp_to(c, nearest_index(c, n, &place[d]), ex_dim(c, x, d));
    if (place[d].outside) outside = ex_binary(c, E_OR, outside, place[d].outside);
  }
  if (nearest)
    v = ex_read_at(c, n->in[0], p.at);
  else if (attr_bool(n, "antialias"))
    v = antialias(c, n, place, index);
  else
    v = interpolate(&p, 0);
  v = ex_cast(c, y->dtype, v);
  return ex_select(c, outside, ex_num(c, y->dtype, attr_float(n, "extrapolation")), v);
}

// ---- grid_sample --------------------------------------------------------------------------------------------------

static bool grid_sample_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0), *g = in_type(n, 1);
  if (!op_choice(c, n, "mode", "nearest|linear|cubic") ||
      !op_choice(c, n, "padding", "zeros|border|reflection"))
    return false;
  bool fits = x->rank >= 3 && g->rank == x->rank && dim_equal(x->dim[0], g->dim[0]) &&
              dim_is(g->dim[g->rank - 1], x->rank - 2);
  if (!fits)
    return op_fail(c, n, "x must be [n,c,space...] and grid [n,space...,%d]: they are %s, %s", x->rank - 2,
                   type_text(c, x), type_text(c, g));
  Dim out[MAX_RANK] = {x->dim[0], x->dim[1]};
  for (int d = 2; d < x->rank; d++) {
    if (dim_is(x->dim[d], 0)) return op_fail(c, n, "dimension %d of x is empty", d);
    out[d] = g->dim[d - 1];
  }
  return op_set(c, n, 0, x->rank, out);
}

// Mirrors x at lo and hi until it lies between.
static const Expr *reflect(Ctx *c, const Expr *x, const Expr *lo, const Expr *span) {
  const Expr *way = ex_unary(c, E_ABS, ex_sub(c, x, lo)), *twice = ex_add(c, span, span);
  const Expr *rest = ex_binary(c, E_MOD, way, twice);
  return ex_add(c, lo, ex_binary(c, E_MIN, rest, ex_sub(c, twice, rest)));
}

// The point along dimension d of x that the grid names, in elements. Grids list dimensions in reverse.
static const Expr *grid_point(Ctx *c, const Node *n, int d, const Expr *const *index) {
  const Type *g = in_type(n, 1);
  const Expr *at[MAX_RANK] = {index[0]};
  bool corners = attr_bool(n, "align_corners");
  for (int k = 1; k < g->rank - 1; k++) at[k] = index[k + 1];
  at[g->rank - 1] = ex_idx(c, g->rank - 1 - d);
  const Expr *v = ex_acc(c, ex_read_at(c, n->in[1], at)), *one = num(v, c, 1), *half = num(v, c, 0.5);
  const Expr *extent = ex_cast(c, v->dtype, ex_dim(c, in_type(n, 0), d)), *last = ex_sub(c, extent, one);
  v = ex_add(c, v, one);
  v = ex_mul(c, corners ? ex_mul(c, v, last) : ex_sub(c, ex_mul(c, v, extent), one), half);
  if (attr_is(n, "mode", "nearest")) v = ex_unary(c, E_ROUND, v);
  if (attr_is(n, "padding", "border")) return ex_clamp(c, v, num(v, c, 0), last);
  if (!attr_is(n, "padding", "reflection")) return v;
  const Expr *lo = num(v, c, corners ? 0 : -0.5), *span = corners ? last : extent;
  const Expr *within = ex_and(c, ex_binary(c, E_LE, lo, v), ex_binary(c, E_LE, v, ex_add(c, lo, span)));
  return ex_select(c, within, v, reflect(c, v, lo, span));
}

// Element i of an extent-n dimension, by the padding mode; *inside is narrowed for mode zeros.
static const Expr *padded_index(Ctx *c, const Node *n, const Expr *i, const Expr *extent,
                                const Expr **inside) {
  if (attr_is(n, "padding", "zeros")) {
    *inside = ex_and(c, *inside, ex_in_range(c, i, extent));
    return i;
  }
  if (attr_is(n, "padding", "reflection")) {
    bool corners = attr_bool(n, "align_corners");
    const Expr *one = ex_idx(c, 1), *span = corners ? ex_sub(c, extent, one) : extent;
    const Expr *rest = ex_binary(c, E_MOD, i, ex_mul(c, span, ex_idx(c, 2)));
    const Expr *back = ex_sub(c, ex_mul(c, span, ex_idx(c, 2)), corners ? rest : ex_add(c, rest, one));
    i = ex_binary(c, E_MIN, rest, back);
  }
  return clamp_to(c, i, extent);
}

// The value at the points point[d ...], dimension by dimension.
static const Expr *grid_value(Ctx *c, const Node *n, const Expr *const *point, int d, const Expr **at,
                              const Expr *inside) {
  const Type *x = in_type(n, 0);
  if (d == x->rank) {
    const Expr *v = ex_acc(c, ex_read_at(c, n->in[0], at));
    return ex_guard(c, inside, v, num(v, c, 0));
  }
  const Expr *extent = ex_dim(c, x, d), *w[4] = {num(point[d], c, 1)}, *sum = NULL;
  bool nearest = attr_is(n, "mode", "nearest"), cubic = attr_is(n, "mode", "cubic");
  const Expr *floor_point = nearest ? point[d] : ex_unary(c, E_FLOOR, point[d]);
  const Expr *low = ex_cast(c, DT_I64, floor_point);
  int taps = nearest ? 1 : tap_weights(c, cubic, ex_sub(c, point[d], floor_point), -0.75, w);
  for (int t = 0; t < taps; t++) {
    const Expr *still = inside;
    at[d] = padded_index(c, n, ex_add(c, low, ex_idx(c, t - (cubic ? 1 : 0))), extent, &still);
    const Expr *v = grid_value(c, n, point, d + 1, at, still);
    if (!nearest) v = ex_mul(c, ex_cast(c, v->dtype, w[t]), v);
    sum = sum ? ex_add(c, sum, v) : v;
  }
  return sum;
}

static const Expr *grid_sample_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Expr *point[MAX_RANK], *at[MAX_RANK] = {index[0], index[1]};
  for (int d = 2; d < in_rank(n, 0); d++) point[d] = grid_point(c, n, d, index);
  return ex_cast(c, n->out[out]->type.dtype, grid_value(c, n, point, 2, at, ex_bool(c, true)));
}

// ---- roi_align ----------------------------------------------------------------------------------------------------

static bool roi_align_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0), *rois = in_type(n, 1), *batch = in_type(n, 2);
  const Attr *size = node_attr(n, "size");
  bool fits = x->rank == 4 && rois->rank == 2 && dim_is(rois->dim[1], 4) && batch->rank == 1 &&
              dim_equal(rois->dim[0], batch->dim[0]);
  if (!fits)
    return op_fail(c, n, "x must be [n,c,h,w], rois [r,4] and batch [r]: they are %s, %s, %s",
                   type_text(c, x), type_text(c, rois), type_text(c, batch));
  if (size->n != 2 || size->ints[0] < 1 || size->ints[1] < 1)
    return op_fail(c, n, "size must be [height,width]");
  if (attr_int(n, "samples") < 0 || attr_int(n, "samples") > MAX_SCALE)
    return op_fail(c, n, "samples is %lld", (long long)attr_int(n, "samples"));
  for (int d = 0; d < 4; d++)
    if (dim_is(x->dim[d], 0)) return op_fail(c, n, "dimension %d of x is empty", d);
  Dim out[4] = {rois->dim[0], x->dim[1], dim_const(size->ints[0]), dim_const(size->ints[1])};
  return op_choice(c, n, "mode", "avg|max") && op_set(c, n, 0, 4, out);
}

// One dimension of the grid of sampling points in a bin.
typedef struct Sampling {
  const Expr *used;       // is this point one of the bin's
  const Expr *near;       // is it at most one element outside of x; others count as 0
  const Expr *count;      // f32: points along the dimension
  const Expr *low, *high; // elements beside the point
  const Expr *w_low, *w_high;
} Sampling;

// `d` is the dimension of x (2 or 3), o the bin. Without a fixed number of points a bin has one for each element it
// spans, but not more than if the region were as large as x.
static Sampling roi_sampling(Ctx *c, const Node *n, int d, const Expr *roi, const Expr *o, Loops *loops) {
  int64_t bins = node_attr(n, "size")->ints[d - 2], samples = attr_int(n, "samples");
  bool half = attr_bool(n, "half_pixel");
  const Expr *at[2] = {roi, ex_idx(c, 3 - d)}, *extent = ex_dim(c, in_type(n, 0), d), *one_i = ex_idx(c, 1);
  const Expr *scale = ex_float(c, DT_F32, attr_float(n, "scale")),
             *shift = ex_float(c, DT_F32, half ? 0.5 : 0);
  const Expr *from = ex_sub(c, ex_mul(c, ex_cast(c, DT_F32, ex_read(c, n->in[1], at, 2)), scale), shift);
  at[1] = ex_idx(c, 5 - d);
  const Expr *to = ex_sub(c, ex_mul(c, ex_cast(c, DT_F32, ex_read(c, n->in[1], at, 2)), scale), shift);
  const Expr *size = ex_sub(c, to, from), *one = ex_float(c, DT_F32, 1), *zero = ex_float(c, DT_F32, 0);
  if (!half) size = ex_binary(c, E_MAX, size, one);
  const Expr *bin = ex_binary(c, E_DIV, size, ex_float(c, DT_F32, (double)bins));
  const Expr *most =
      ex_add(c, ex_binary(c, E_FDIV, ex_add(c, extent, ex_idx(c, bins - 1)), ex_idx(c, bins)), one_i);
  if (samples) most = ex_idx(c, samples);
  Sampling s = {.count = ex_cast(c, DT_F32, most)};
  if (!samples) s.count = ex_clamp(c, ex_unary(c, E_CEIL, bin), zero, s.count);
  const Expr *k = ex_cast(c, DT_F32, loops_add(c, loops, "k", most));
  s.used = samples ? ex_bool(c, true) : ex_binary(c, E_LT, k, s.count);
  const Expr *step = ex_binary(c, E_DIV, bin, ex_binary(c, E_MAX, s.count, one));
  const Expr *point = ex_mul(c, ex_add(c, k, ex_float(c, DT_F32, 0.5)), step);
  point = ex_add(c, ex_add(c, from, ex_mul(c, ex_cast(c, DT_F32, o), bin)), point);
  const Expr *size_f = ex_cast(c, DT_F32, extent), *last = ex_sub(c, size_f, one);
  s.near = ex_and(c, ex_binary(c, E_LE, ex_float(c, DT_F32, -1), point), ex_binary(c, E_LE, point, size_f));
  point = ex_clamp(c, point, zero, last);
  const Expr *floor_point = ex_unary(c, E_FLOOR, point);
  s.low = clamp_to(c, ex_cast(c, DT_I64, floor_point), extent);
  s.high = clamp_to(c, ex_add(c, s.low, one_i), extent);
  s.w_high = ex_sub(c, point, floor_point);
  s.w_low = ex_sub(c, one, s.w_high);
  return s;
}

static const Expr *roi_align_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  Loops loops = {0};
  bool max = attr_is(n, "mode", "max");
  Sampling y = roi_sampling(c, n, 2, index[0], index[2], &loops);
  Sampling x = roi_sampling(c, n, 3, index[0], index[3], &loops);
  const Expr *batch = ex_safe_index(c, ex_read(c, n->in[2], &index[0], 1), ex_dim(c, in_type(n, 0), 0));
  const Expr *v = NULL;
  for (int corner = 0; corner < 4; corner++) {
    const Expr *at[4] = {batch, index[1], corner & 2 ? y.high : y.low, corner & 1 ? x.high : x.low};
    const Expr *w = ex_mul(c, corner & 2 ? y.w_high : y.w_low, corner & 1 ? x.w_high : x.w_low);
    const Expr *term = ex_mul(c, w, ex_cast(c, DT_F32, ex_read_at(c, n->in[0], at)));
    v = !v ? term : ex_binary(c, max ? E_MAX : E_ADD, v, term);
  }
  const Expr *zero = ex_float(c, DT_F32, 0), *used = ex_and(c, y.used, x.used);
  v = ex_select(c, ex_and(c, y.near, x.near), v, zero);
  if (max) {
    v = loops_reduce(c, &loops, R_MAX, ex_guard(c, used, v, ex_lowest(c, DT_F32)));
    v = ex_select(c, ex_binary(c, E_EQ, v, ex_lowest(c, DT_F32)), zero, v);
  } else {
    v = loops_reduce(c, &loops, R_SUM, ex_guard(c, used, v, zero));
    v = ex_binary(c, E_DIV, v, ex_binary(c, E_MAX, ex_mul(c, y.count, x.count), ex_float(c, DT_F32, 1)));
  }
  return ex_cast(c, n->out[out]->type.dtype, v);
}

const OpInfo OPS_RESIZE[] = {
    {.name = "resize",
     .group = "resampling",
     .ins = "x:T",
     .outs = "T",
     .t = "num",
     .attrs = "sizes:shape=[], scales:floats=[], mode:string=nearest, coords:string=half_pixel, "
              "nearest:string=round_prefer_floor, cubic_a:float=-0.75, antialias:bool=false, "
              "exclude_outside:bool=false, extrapolation:float=0, roi:floats=[]",
     .infer = resize_infer,
     .define = resize_define,
     .doc = "x with new extents `sizes`, or its own times `scales`, rounded down; if both are given, scales "
            "say how "
            "indices map. mode is nearest, linear or cubic (cubic_a is its coefficient); coords says which "
            "place in x "
            "an element of the result stands for, with ONNX's names: half_pixel, half_pixel_symmetric, "
            "pytorch_half_pixel, align_corners, asymmetric, tf_half_pixel_for_nn, tf_crop_and_resize (of the "
            "region "
            "roi; extrapolation outside). antialias widens the filter when shrinking; exclude_outside leaves "
            "out what "
            "is beyond the edge instead of repeating it.",
     .sample =
         "resize(f32[1,2,3,4], scales=[1,1,2,2]); resize(f32[1,1,4,4], sizes=[1,1,3,5], mode=linear); "
         "resize(f32[1,1,5,4], scales=[1,1,0.6,1.5], mode=cubic); resize(f32[1,1,4,4], sizes=[1,1,8,8], "
         "mode=linear, coords=align_corners); resize(f32[1,1,6,6], scales=[1,1,0.5,0.5], mode=linear, "
         "antialias=true); resize(f32[1,1,4,4], sizes=[1,1,3,3], mode=linear, coords=tf_crop_and_resize, "
         "roi=[0,0,0.4,0.6,1,1,1.2,1.7], extrapolation=10)"},
    {.name = "grid_sample",
     .group = "resampling",
     .ins = "x:T, grid:U",
     .outs = "T",
     .t = "float, U:float",
     .attrs = "mode:string=linear, padding:string=zeros, align_corners:bool=false",
     .infer = grid_sample_infer,
     .define = grid_sample_define,
     .doc = "x [n,c,space...] at the points that grid [n,space...,k] names by coordinates from -1 to 1, the "
            "last "
            "dimension of space first. mode is nearest, linear or cubic; padding what lies outside: zeros, "
            "border or "
            "reflection; with align_corners -1 and 1 are the centres of the outermost elements, else their "
            "edges.",
     .sample =
         "grid_sample(f32[1,2,4,5], f32[1,3,3,2]); grid_sample(f32[1,1,4,5], f32[1,3,3,2], mode=nearest, "
         "padding=border); grid_sample(f32[1,1,4,5], f32[1,3,3,2], mode=cubic, padding=reflection, "
         "align_corners=true); grid_sample(f32[1,1,3,4,5], f32[1,2,2,2,3])"},
    {.name = "roi_align",
     .group = "resampling",
     .ins = "x:T, rois:T, batch:U",
     .outs = "T",
     .t = "float, U:int",
     .attrs = "size:ints, scale:float=1, samples:int=0, mode:string=avg, half_pixel:bool=true",
     .infer = roi_align_infer,
     .define = roi_align_define,
     .doc = "Regions rois [r,4] (x1, y1, x2, y2, times scale) of x [n,c,h,w], each of the sample that batch "
            "names, "
            "divided into bins of number size=[h,w]: the mean (or greatest term) of samples by samples "
            "interpolated "
            "points in each bin, or of one point per element if samples is 0.",
     .sample =
         "roi_align(f32[2,2,6,6], f32[3,4], i64[3], size=[2,2]); roi_align(f32[2,2,6,6], f32[3,4], i64[3], "
         "size=[2,3], samples=2, mode=max, half_pixel=false)"},
    {0},
};
