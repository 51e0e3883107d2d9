// test_ops_image.c: resize, grid_sample and roi_align against plain C after their papers and the ONNX text.
// SPDX-License-Identifier: Apache-2.0
#include "ops_call.h"

// ---- resize ---------------------------------------------------------------------------------------------------

typedef struct Resize {
  const char *mode, *coords, *nearest;
  double scale[2];
  int in[2], out[2];
  double roi[4]; // from y, x, to y, x
  bool antialias, exclude;
  double extrapolation;
} Resize;

static double place(const Resize *s, int d, int o) {
  double scale = s->scale[d], in = s->in[d], width = scale * in;
  if (!strcmp(s->coords, "align_corners")) return width == 1 ? 0 : o * (in - 1) / (width - 1);
  if (!strcmp(s->coords, "asymmetric")) return o / scale;
  if (!strcmp(s->coords, "tf_half_pixel_for_nn")) return (o + 0.5) / scale;
  if (!strcmp(s->coords, "pytorch_half_pixel") && width == 1) return -0.5;
  if (!strcmp(s->coords, "half_pixel_symmetric"))
    return in / 2 * (1 - s->out[d] / width) + (o + 0.5) / scale - 0.5;
  if (!strcmp(s->coords, "tf_crop_and_resize")) {
    double from = s->roi[d], to = s->roi[d + 2];
    return width == 1 ? (from + to) / 2 * (in - 1)
                      : from * (in - 1) + o * (to - from) * (in - 1) / (width - 1);
  }
  return (o + 0.5) / scale - 0.5;
}

static double cubic(double t) {
  double a = -0.75;
  t = fabs(t);
  if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return t < 2 ? a * t * t * t - 5 * a * t * t + 8 * a * t - 4 * a : 0;
}

static double weight(const Resize *s, double t) {
  return !strcmp(s->mode, "cubic") ? cubic(t) : fmax(0, 1 - fabs(t));
}

static double line_at(const Resize *s, int d, const double *line, int o) {
  double x = place(s, d, o), scale = s->antialias ? fmin(s->scale[d], 1) : 1, sum = 0, total = 0;
  if (s->scale[d] == 1 && s->in[d] == s->out[d] && strcmp(s->coords, "tf_crop_and_resize")) return line[o];
  int n = s->in[d], reach = (int)ceil(2 / scale) + 1;
  if (!strcmp(s->mode, "nearest")) {
    double low = floor(x), f = x - low,
           up = !strcmp(s->nearest, "ceil")                 ? f > 0
                : !strcmp(s->nearest, "round_prefer_floor") ? f > 0.5
                : !strcmp(s->nearest, "round_prefer_ceil")  ? f >= 0.5
                                                            : 0;
    return line[(int)fmax(0, fmin(n - 1, low + up))];
  }
  for (int i = (int)floor(x) - reach; i <= (int)floor(x) + reach; i++) {
    double w = weight(s, (i - x) * scale);
    if (s->exclude && (i < 0 || i >= n)) w = 0;
    sum += w * line[i < 0 ? 0 : i >= n ? n - 1 : i];
    total += w;
  }
  return sum / total;
}

static double resize_at(const Resize *s, const Call *r, int oy, int ox) {
  double column[32], line[32];
  if (!strcmp(s->coords, "tf_crop_and_resize")) {
    double y = place(s, 0, oy), x = place(s, 1, ox);
    if (y < 0 || x < 0 || y > s->in[0] - 1 || x > s->in[1] - 1) return s->extrapolation;
  }
  for (int y = 0; y < s->in[0]; y++) {
    for (int x = 0; x < s->in[1]; x++) line[x] = in4(r, 0, 0, 0, y, x);
    column[y] = line_at(s, 1, line, ox);
  }
  return line_at(s, 0, column, oy);
}

static void check_resize(Resize s, bool by_scale) {
  Call r;
  start(&r, stderr);
  const char *extent = arena_printf(r.c->arena, "sizes=[1,1,%d,%d]", s.out[0], s.out[1]);
  if (by_scale) extent = arena_printf(r.c->arena, "scales=[1,1,%.9g,%.9g]", s.scale[0], s.scale[1]);
  const char *text = arena_printf(
      r.c->arena,
      "resize(f32[1,1,%d,%d], %s, mode=%s, coords=%s, nearest=%s, antialias=%s, exclude_outside=%s, "
      "roi=[0,0,%g,%g,1,1,%g,%g], extrapolation=%g)",
      s.in[0], s.in[1], extent, s.mode, s.coords, s.nearest, s.antialias ? "true" : "false",
      s.exclude ? "true" : "false", s.roi[0], s.roi[1], s.roi[2], s.roi[3], s.extrapolation);
  const char *p = text;
  call_parse(&r, &p);
  cr_assert(r.n, "%s", text);
  evaluate(&r);
  const Type *t = &r.out[0]->type;
  cr_assert(t->dim[2].n == s.out[0] && t->dim[3].n == s.out[1], "%s: %s", text, type_text(r.c, t));
  for (int y = 0; y < s.out[0]; y++)
    for (int x = 0; x < s.out[1]; x++) {
      double got = tensor_get(r.out[0], y * s.out[1] + x), want = resize_at(&s, &r, y, x);
      cr_assert(fabs(got - want) < 2e-5 * (1 + fabs(want)), "%s at %d,%d: %g, not %g", text, y, x, got, want);
    }
}

static const char *const COORDS[] = {"half_pixel",        "half_pixel_symmetric", "pytorch_half_pixel",
                                     "align_corners",     "asymmetric",           "tf_half_pixel_for_nn",
                                     "tf_crop_and_resize"};
static const char *const NEAREST[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
static const char *const MODES[] = {"nearest", "linear", "cubic"};

static void check_modes(Resize s, bool by_scale) {
  for (int i = 0; i < ARRAY_LEN(COORDS); i++)
    for (int m = 0; m < 3; m++)
      for (int k = 0; k < (m == 0 ? ARRAY_LEN(NEAREST) : 1); k++) {
        s.coords = COORDS[i];
        s.mode = MODES[m];
        s.nearest = NEAREST[k];
        s.roi[0] = 0.1, s.roi[1] = -0.2, s.roi[2] = 0.8, s.roi[3] = 1.3;
        s.extrapolation = 7;
        check_resize(s, by_scale);
      }
}

static Resize of_sizes(int ih, int iw, int oh, int ow) {
  return (Resize){.in = {ih, iw}, .out = {oh, ow}, .scale = {(double)oh / ih, (double)ow / iw}};
}

Test(ops_image, resize_to_sizes) {
  check_modes(of_sizes(4, 5, 8, 15), false);
  check_modes(of_sizes(6, 7, 4, 3), false);
  check_modes(of_sizes(5, 4, 1, 6), false);
  check_modes(of_sizes(1, 3, 4, 2), false);
}

Test(ops_image, resize_by_scales) {
  Resize s = {.in = {4, 6}, .out = {8, 3}, .scale = {2, 0.5}};
  check_modes(s, true);
  Resize odd = {.in = {5, 7}, .out = {3, 11}, .scale = {0.60009765625, 1.7001953125}};
  check_modes(odd, true);
}

Test(ops_image, resize_with_wide_filters) {
  static const int IN[][2] = {{6, 8}, {9, 5}}, OUT[][2] = {{3, 3}, {4, 7}};
  for (int i = 0; i < 2; i++)
    for (int m = 1; m < 3; m++)
      for (int exclude = 0; exclude < 2; exclude++) {
        Resize s = of_sizes(IN[i][0], IN[i][1], OUT[i][0], OUT[i][1]);
        s.mode = MODES[m], s.coords = "half_pixel", s.nearest = "floor", s.antialias = true,
        s.exclude = exclude;
        check_resize(s, false);
      }
  Resize s = of_sizes(4, 4, 7, 6);
  s.mode = "cubic", s.coords = "half_pixel", s.nearest = "floor", s.exclude = true;
  check_resize(s, false);
}

// ---- grid_sample ----------------------------------------------------------------------------------------------

typedef struct Sampler {
  const char *mode, *padding;
  bool corners;
} Sampler;

static double mirrored(double x, double lo, double hi) {
  while (hi > lo && (x < lo || x > hi)) x = x < lo ? 2 * lo - x : 2 * hi - x;
  return hi > lo ? x : lo;
}

static double pixel(const Sampler *s, const Call *r, int y, int x) {
  int h = 4, w = 5;
  double lo = s->corners ? 0 : -0.5, hi = s->corners ? -1 : -0.5;
  if (!strcmp(s->padding, "zeros") && (y < 0 || x < 0 || y >= h || x >= w)) return 0;
  if (!strcmp(s->padding, "reflection")) {
    y = (int)mirrored(y, lo, h + hi);
    x = (int)mirrored(x, lo, w + hi);
  }
  y = y < 0 ? 0 : y >= h ? h - 1 : y;
  x = x < 0 ? 0 : x >= w ? w - 1 : x;
  return in4(r, 0, 0, 0, y, x);
}

static double unnormalised(const Sampler *s, float v, int n) {
  double x = s->corners ? (v + 1) / 2 * (n - 1) : ((v + 1) * n - 1) / 2;
  if (!strcmp(s->mode, "nearest")) x = nearbyint(x);
  if (!strcmp(s->padding, "border")) x = fmax(0, fmin(n - 1, x));
  if (!strcmp(s->padding, "reflection")) x = mirrored(x, s->corners ? 0 : -0.5, s->corners ? n - 1 : n - 0.5);
  return x;
}

static double sample_at(const Sampler *s, const Call *r, float gy, float gx) {
  double y = unnormalised(s, gy, 4), x = unnormalised(s, gx, 5), sum = 0;
  int y0 = (int)floor(y), x0 = (int)floor(x);
  if (!strcmp(s->mode, "nearest")) return pixel(s, r, (int)y, (int)x);
  for (int i = -1; i <= 2; i++)
    for (int j = -1; j <= 2; j++) {
      double dy = y0 + i - y, dx = x0 + j - x;
      bool cub = !strcmp(s->mode, "cubic");
      double w = cub ? cubic(dy) * cubic(dx) : fmax(0, 1 - fabs(dy)) * fmax(0, 1 - fabs(dx));
      if (w != 0) sum += w * pixel(s, r, y0 + i, x0 + j);
    }
  return sum;
}

Test(ops_image, grid_sample) {
  static const char *const PADDING[] = {"zeros", "border", "reflection"};
  for (int i = 0; i < 18; i++) {
    Sampler s = {MODES[i % 3], PADDING[i / 3 % 3], i >= 9};
    Call r;
    start(&r, stderr);
    const char *text = arena_printf(
        r.c->arena, "grid_sample(f32[1,1,4,5], f32[1,6,7,2], mode=%s, padding=%s, align_corners=%s)", s.mode,
        s.padding, s.corners ? "true" : "false");
    const char *p = text;
    call_parse(&r, &p);
    evaluate(&r);
    for (int k = 0; k < 42; k++) {
      double want = sample_at(&s, &r, (float)in_at(&r, 1, 2 * k + 1), (float)in_at(&r, 1, 2 * k));
      double got = tensor_get(r.out[0], k);
      cr_assert(fabs(got - want) < 2e-5 * (1 + fabs(want)), "%s at %d: %g, not %g", text, k, got, want);
    }
  }
}

// A grid may hold anything; what is read stays inside.
Test(ops_image, grid_sample_survives_bad_coordinates) {
  static const float BAD[] = {INFINITY, -INFINITY, NAN, 3e38f, -3e38f, 1e19f, 0, NAN};
  for (int i = 0; i < 6; i++) {
    static const char *const PADDING[] = {"zeros", "border", "reflection"};
    Call r;
    start(&r, stderr);
    const char *p = arena_printf(r.c->arena, "grid_sample(f32[1,1,4,5], f32[1,2,2,2], mode=%s, padding=%s)",
                                 i < 3 ? "linear" : "nearest", PADDING[i % 3]);
    call_parse(&r, &p);
    memcpy(tensor_data(r.in[1]), BAD, sizeof BAD);
    evaluate(&r);
  }
}

// ---- roi_align ------------------------------------------------------------------------------------------------

static double bilinear(const Call *r, int n, int c, double y, double x, bool max) {
  if (y < -1 || x < -1 || y > 6 || x > 8) return 0;
  y = fmin(fmax(y, 0), 5), x = fmin(fmax(x, 0), 7);
  int y0 = (int)y, x0 = (int)x, y1 = y0 < 5 ? y0 + 1 : y0, x1 = x0 < 7 ? x0 + 1 : x0;
  double fy = y - y0, fx = x - x0;
  double v[4] = {(1 - fy) * (1 - fx) * in4(r, 0, n, c, y0, x0), (1 - fy) * fx * in4(r, 0, n, c, y0, x1),
                 fy * (1 - fx) * in4(r, 0, n, c, y1, x0), fy * fx * in4(r, 0, n, c, y1, x1)};
  return max ? fmax(fmax(v[0], v[1]), fmax(v[2], v[3])) : v[0] + v[1] + v[2] + v[3];
}

static void check_roi_align(int samples, bool max, bool half) {
  static const float ROIS[3][4] = {{1, 1, 9, 5}, {-3, 0, 4, 9.5f}, {5, 2, 5.5f, 2.5f}};
  Call r;
  start(&r, stderr);
  const char *p = arena_printf(r.c->arena,
                               "roi_align(f32[2,2,6,8], f32[3,4], i64[3], size=[2,3], scale=0.75, "
                               "samples=%d, mode=%s, half_pixel=%s)",
                               samples, max ? "max" : "avg", half ? "true" : "false");
  call_parse(&r, &p);
  memcpy(tensor_data(r.in[1]), ROIS, sizeof ROIS);
  evaluate(&r);
  for (int i = 0; i < 3 * 2 * 2 * 3; i++) {
    int roi = i / 12, c = i / 6 % 2, oy = i / 3 % 2, ox = i % 3, n = (int)tensor_get_int(r.in[2], roi);
    double shift = half ? 0.5 : 0, y0 = ROIS[roi][1] * 0.75 - shift, x0 = ROIS[roi][0] * 0.75 - shift;
    double h = ROIS[roi][3] * 0.75 - shift - y0, w = ROIS[roi][2] * 0.75 - shift - x0;
    if (!half) h = fmax(h, 1), w = fmax(w, 1);
    int gy = samples ? samples : (int)ceil(h / 2), gx = samples ? samples : (int)ceil(w / 3);
    double sum = 0, best = -INFINITY;
    for (int k = 0; k < gy * gx; k++) {
      double y = y0 + h / 2 * (oy + (k / gx + 0.5) / gy), x = x0 + w / 3 * (ox + (k % gx + 0.5) / gx);
      double v = bilinear(&r, n, c, y, x, max);
      sum += v, best = fmax(best, v);
    }
    NEAR(&r, 0, i, max ? best : sum / fmax(1, gy * gx));
  }
}

Test(ops_image, roi_align) {
  check_roi_align(2, false, true);
  check_roi_align(0, false, true);
  check_roi_align(0, false, false);
  check_roi_align(3, true, true);
  check_roi_align(0, true, false);
}
