// make_windows.c: pools and resampling.
// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz.h"

static Value *image(Gen *g, const Op *op, int min_spatial, int max_spatial) {
  if (rng_chance(&g->rng, 50)) return gen_operand(g, op, "T", min_spatial + 2, max_spatial + 2);
  int spatial = (int)rng_range(&g->rng, min_spatial, max_spatial);
  int64_t dims[MAX_RANK] = {rng_range(&g->rng, 1, 2), gen_extent(g)};
  for (int d = 0; d < spatial; d++) dims[2 + d] = rng_range(&g->rng, 1, spatial == 2 ? 14 : 8);
  if (dims[1] > 17 && g->max_elements < 10000) dims[1] = 17;
  return gen_leaf_of(g, "n", gen_dtype(g, op, "T"), spatial + 2, dims);
}

static Node *make_pool(Gen *g, const Op *op) {
  Value *x = image(g, op, 1, 3);
  int spatial = x->type.rank - 2, nattrs = 0;
  int64_t *kernel = gen_ints(g, spatial), *stride = gen_ints(g, spatial), *pads = gen_ints(g, 2 * spatial),
          *dilation = gen_ints(g, spatial);
  for (int d = 0; d < spatial; d++) {
    kernel[d] = rng_range(&g->rng, 1, 4);
    stride[d] = rng_range(&g->rng, 1, 3);
    dilation[d] = rng_chance(&g->rng, 80) ? 1 : 2;
    for (int k = 0; k < 2; k++) pads[d + k * spatial] = rng_below(&g->rng, kernel[d]);
    if (x->type.dim[2 + d].n + pads[d] + pads[d + spatial] <= (kernel[d] - 1) * dilation[d])
      kernel[d] = 1, pads[d] = pads[d + spatial] = 0;
  }
  Attr attrs[8] = {A_INTS("kernel", kernel, spatial), A_INTS("stride", stride, spatial),
                   A_INTS("pads", pads, 2 * spatial), A_INTS("dilation", dilation, spatial),
                   A_BOOL("ceil_mode", rng_chance(&g->rng, 30))};
  nattrs = 5;
  if (strcmp(op->name, "avg_pool") == 0)
    attrs[nattrs++] = A_BOOL("count_include_pad", rng_chance(&g->rng, 50));
  if (strcmp(op->name, "max_pool_indices") == 0)
    attrs[nattrs++] = A_BOOL("column_major", rng_chance(&g->rng, 30));
  return gen_build(g, op, IN(x), attrs, nattrs);
}

static Node *make_global_pool(Gen *g, const Op *op) {
  return gen_build(g, op, IN(image(g, op, 1, 3)), NO_ATTRS);
}

static Node *make_adaptive_pool(Gen *g, const Op *op) {
  Value *x = image(g, op, 1, 3);
  int64_t *size = gen_ints(g, 3);
  for (int d = 0; d < 3; d++) size[d] = rng_range(&g->rng, 1, 7);
  return gen_build(g, op, IN(x), ATTRS(A_INTS("size", size, x->type.rank - 2)));
}

static Node *make_resize(Gen *g, const Op *op) {
  static const char *const modes[] = {"nearest", "linear", "cubic"};
  static const char *const coords[] = {"half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel",
                                       "half_pixel_symmetric"};
  static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
  static const double scales[] = {0.5, 0.6, 1, 1.5, 2, 2, 3, 0.34};
  Value *x = image(g, op, 1, 2);
  int rank = x->type.rank;
  int64_t *sizes = gen_ints(g, rank);
  double *scale = NEW_ARRAY(g->c->arena, double, rank);
  for (int d = 0; d < rank; d++) {
    sizes[d] = d < 2 ? x->type.dim[d].n : rng_range(&g->rng, 1, 16);
    scale[d] = d < 2 ? 1 : rng_pick(&g->rng, scales);
  }
  Attr extent = rng_chance(&g->rng, 50) ? A_SHAPE("sizes", gen_dims(g, rank, sizes), rank)
                                        : A_FLOATS("scales", scale, rank);
  return gen_build(
      g, op, IN(x),
      ATTRS(extent, A_STRING("mode", rng_pick(&g->rng, modes)), A_STRING("coords", rng_pick(&g->rng, coords)),
            A_STRING("nearest", rng_pick(&g->rng, nearest)), A_BOOL("antialias", rng_chance(&g->rng, 20)),
            A_BOOL("exclude_outside", rng_chance(&g->rng, 20))));
}

static Node *make_grid_sample(Gen *g, const Op *op) {
  static const char *const modes[] = {"nearest", "linear", "cubic"};
  static const char *const padding[] = {"zeros", "border", "reflection"};
  Value *x = image(g, op, 2, 2);
  Type t = {.dtype = rng_chance(&g->rng, 70) ? x->type.dtype : DT_F32,
            .rank = 4,
            .dim = {x->type.dim[0], dim_const(rng_range(&g->rng, 1, 6)), dim_const(rng_range(&g->rng, 1, 9)),
                    dim_const(2)}};
  return gen_build(g, op, IN(x, gen_leaf(g, "n", &t)),
                   ATTRS(A_STRING("mode", rng_pick(&g->rng, modes)),
                         A_STRING("padding", rng_pick(&g->rng, padding)),
                         A_BOOL("align_corners", rng_chance(&g->rng, 50))));
}

static Node *make_lrn(Gen *g, const Op *op) {
  return gen_build(g, op, IN(image(g, op, 1, 2)),
                   ATTRS(A_INT("size", rng_range(&g->rng, 1, 6)), A_FLOAT("alpha", 0.5)));
}

const Maker MAKERS_WINDOWS[] = {{"max_pool", 5, make_pool},
                                {"avg_pool", 5, make_pool},
                                {"lp_pool", 1, make_pool},
                                {"max_pool_indices", 2, make_pool},
                                {"global_avg_pool", 3, make_global_pool},
                                {"global_max_pool", 2, make_global_pool},
                                {"adaptive_avg_pool", 2, make_adaptive_pool},
                                {"adaptive_max_pool", 1, make_adaptive_pool},
                                {"resize", 4, make_resize},
                                {"grid_sample", 1, make_grid_sample},
                                {"lrn", 1, make_lrn},
                                {0}};
