// make_products.c: matrix products and convolutions.
// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz.h"

// Extents around the tiles of the product schedules: 6 x 16, 4 x 24, vectors of 4 to 16.
static int64_t side(Gen *g) {
  static const int64_t corners[] = {1,  2,  3,  5,  6,  7,  8,  9,  11, 12, 13, 15, 16,  17,  23,
                                    24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96, 127, 128, 129};
  if (rng_chance(&g->rng, 1)) return 0;
  return rng_chance(&g->rng, 30) ? rng_range(&g->rng, 1, 6) : rng_pick(&g->rng, corners);
}

// Halves the largest of the extents until their product is at most `work`.
static void limit(int64_t work, int64_t **v, int n) {
  for (;;) {
    int64_t all = 1, *most = v[0];
    for (int i = 0; i < n; i++) {
      all *= *v[i] ? *v[i] : 1;
      if (*v[i] > *most) most = v[i];
    }
    if (all <= work || *most <= 1) return;
    *most = (*most + 1) / 2;
  }
}

static Type matrix(DType t, const Value *like, Dim rows, Dim cols, bool flipped) {
  Type m = {.dtype = t, .rank = 2, .dim = {flipped ? cols : rows, flipped ? rows : cols}};
  for (int d = 0; like && d + 2 < like->type.rank; d++) {
    m.dim[d + 2] = m.dim[d + 1];
    m.dim[d + 1] = m.dim[d];
    m.dim[d] = like->type.dim[d];
    m.rank++;
  }
  if (m.rank > 2) { // the last two, whatever stood before them
    m.dim[m.rank - 2] = flipped ? cols : rows;
    m.dim[m.rank - 1] = flipped ? rows : cols;
  }
  return m;
}

// A left operand [..., m, k]: of the pool, or of extents at the corners.
static Value *left(Gen *g, const Op *op, int64_t *n) {
  int64_t m = side(g), k = side(g);
  *n = side(g);
  if (rng_chance(&g->rng, 50)) {
    Value *x = gen_operand(g, op, "T", 2, 4);
    int64_t work = type_elements(&x->type) * *n;
    while (work > g->max_work && *n > 1) work /= 2, *n /= 2;
    return x;
  }
  limit(g->max_work, (int64_t *[]){&m, &k, n}, 3);
  int64_t dims[3] = {rng_range(&g->rng, 1, 3), m, k};
  bool batched = rng_chance(&g->rng, 25);
  Type t = type_make(gen_dtype(g, op, "T"), batched ? 3 : 2, batched ? dims : dims + 1);
  if (g->sym && rng_chance(&g->rng, 50)) t.dim[t.rank - 2] = dim_expr(g->c, ex_sym(g->c, g->sym));
  return gen_leaf(g, "n", &t);
}

static Node *make_matmul(Gen *g, const Op *op) {
  int64_t n;
  Value *x = left(g, op, &n);
  Dim k = x->type.dim[x->type.rank - 1];
  if (rng_chance(&g->rng, 10)) {
    Type v = {.dtype = x->type.dtype, .rank = 1, .dim = {k}};
    return gen_build(g, op, IN(x, gen_shaped(g, "n", &v)), NO_ATTRS);
  }
  Type t = matrix(x->type.dtype, rng_chance(&g->rng, 40) ? x : NULL, k, dim_const(n), false);
  if (t.rank > 2 && rng_chance(&g->rng, 30)) t.dim[0] = dim_const(1);
  return gen_build(g, op, IN(x, gen_shaped(g, "n", &t)), NO_ATTRS);
}

static Node *make_linear(Gen *g, const Op *op) {
  int64_t n;
  Value *x = left(g, op, &n);
  bool tx = x->type.rank == 2 && rng_chance(&g->rng, 25), tw = rng_chance(&g->rng, 50);
  Dim k = x->type.dim[tx ? 0 : x->type.rank - 1];
  Type w = matrix(x->type.dtype, NULL, k, dim_const(n), tw);
  Value *bias = rng_chance(&g->rng, 60) ? gen_leaf_of(g, "n", x->type.dtype, 1, &n) : NULL;
  return gen_build(g, op, (Value *[]){x, gen_shaped(g, "n", &w), bias}, 3,
                   ATTRS(A_BOOL("transpose_x", tx), A_BOOL("transpose_w", tw)));
}

static Node *make_matmul_integer(Gen *g, const Op *op) {
  int64_t n;
  Value *x = left(g, op, &n);
  Type w = matrix(rng_chance(&g->rng, 50) ? DT_I8 : DT_U8, NULL, x->type.dim[x->type.rank - 1], dim_const(n),
                  false);
  Value *y = gen_shaped(g, "n", &w), *xz = NULL, *yz = NULL;
  Type sx = type_make(x->type.dtype, 0, NULL), sy = type_make(w.dtype, rng_chance(&g->rng, 50), &n);
  if (rng_chance(&g->rng, 50)) xz = gen_leaf(g, "n", &sx);
  if (rng_chance(&g->rng, 50)) yz = gen_leaf(g, "n", &sy);
  return gen_build(g, op, (Value *[]){x, y, xz, yz}, 4, NO_ATTRS);
}

// Letters stand for extents: the operands' shapes follow from the equation.
static Node *make_einsum(Gen *g, const Op *op) {
  static const char *const equations[] = {"ij,jk->ik",   "ij,kj->ik", "bij,bjk->bik",   "bhid,bhjd->bhij",
                                          "ij->ji",      "ij->j",     "ij->",           "ii->i",
                                          "i,j->ij",     "ij,ij->ij", "bij,jk->bik",    "ij,jk,kl->il",
                                          "abc,bd->acd", "ijk,ijk->", "bihd,bjhd->bhij"};
  const char *equation = rng_pick(&g->rng, equations);
  DType t = gen_dtype(g, op, "T");
  int64_t extent[26];
  for (int i = 0; i < 26; i++) extent[i] = rng_chance(&g->rng, 60) ? rng_range(&g->rng, 1, 6) : side(g);
  int64_t *all[26];
  for (int i = 0; i < 26; i++) all[i] = &extent[i];
  int used = 0;
  for (const char *s = equation; *s; s++)
    if (*s >= 'a' && *s <= 'z' && memchr(equation, *s, (size_t)(s - equation)) == NULL)
      all[used++] = &extent[*s - 'a'];
  limit(g->max_work / 4, all, used);
  Value *in[4];
  int nin = 0;
  for (const char *s = equation; *s && *s != '-'; s += *s == ',') {
    int64_t dims[MAX_RANK];
    int rank = 0;
    for (; *s >= 'a' && *s <= 'z'; s++) dims[rank++] = extent[*s - 'a'];
    Type type = type_make(t, rank, dims);
    in[nin++] = gen_shaped(g, "n", &type);
  }
  return gen_build(g, op, in, nin, ATTRS(A_STRING("equation", equation)));
}

// ---- convolutions -----------------------------------------------------------------------------------------------

typedef struct Conv {
  int spatial;
  int64_t groups, in, out, kernel[3]; // channels of all groups
  int64_t *stride, *dilation, *pads;
  Value *x;
} Conv;

// Channels for x's, if it is of the pool; groups that divide them.
static void channels(Gen *g, Conv *v, int64_t in) {
  int64_t kind = rng_below(&g->rng, 10), per = rng_range(&g->rng, 1, 9);
  v->groups = 1;
  v->out = side(g) ? side(g) : 1;
  if (v->out == 0) v->out = 1;
  if (kind < 2 && in > 0) { // depthwise
    v->groups = in;
    v->out = in * (rng_chance(&g->rng, 70) ? 1 : 2);
  } else if (kind < 4) {
    for (v->groups = rng_range(&g->rng, 2, 4); in % v->groups; v->groups--) {
    }
    v->out = v->groups * per;
  }
  v->in = in;
}

static void kernel_of(Gen *g, Conv *v, const int64_t *extent) {
  static const int64_t taps[] = {1, 1, 2, 3, 3, 3, 3, 4, 5, 7};
  int64_t square = rng_pick(&g->rng, taps);
  v->stride = gen_ints(g, v->spatial);
  v->dilation = gen_ints(g, v->spatial);
  v->pads = gen_ints(g, 2 * v->spatial);
  bool same = rng_chance(&g->rng, 60), plain = rng_chance(&g->rng, 40);
  int64_t stride = rng_range(&g->rng, 1, 3);
  for (int d = 0; d < v->spatial; d++) {
    v->kernel[d] = same ? square : rng_pick(&g->rng, taps);
    v->stride[d] = plain ? 1 : same ? stride : rng_range(&g->rng, 1, 3);
    v->dilation[d] = plain || rng_chance(&g->rng, 70) ? 1 : rng_range(&g->rng, 1, 3);
    int64_t reach = (v->kernel[d] - 1) * v->dilation[d];
    for (int k = 0; k < 2; k++)
      v->pads[d + k * v->spatial] = same ? reach / 2 : rng_range(&g->rng, 0, reach + 1);
    if (extent[d] + v->pads[d] + v->pads[d + v->spatial] <= reach) v->pads[d] = reach;
  }
}

static void shrink_to_work(Gen *g, Conv *v) {
  int64_t work = type_elements(&v->x->type) / v->groups * v->out;
  for (int d = 0; d < v->spatial; d++) work = work * v->kernel[d] / v->stride[d];
  while (work > 2 * g->max_work && v->groups == 1 && v->out > 1) work /= 2, v->out /= 2;
  for (int d = 0; work > 4 * g->max_work && d < v->spatial; d++)
    if (v->stride[d] == 1) v->stride[d] = 2, work /= 2;
}

static Conv some_conv(Gen *g, const Op *op, bool transposed) {
  Conv v = {.spatial = rng_chance(&g->rng, 80) ? 2 : (int)rng_range(&g->rng, 1, 3)};
  if (rng_chance(&g->rng, 45)) {
    v.x = gen_operand(g, op, "T", v.spatial + 2, v.spatial + 2);
  } else {
    int64_t dims[5] = {rng_chance(&g->rng, 70) ? 1 : rng_range(&g->rng, 1, 3), side(g)};
    int64_t *all[5] = {&dims[0], &dims[1]};
    for (int d = 0; d < v.spatial; d++) {
      dims[2 + d] = rng_chance(&g->rng, 60) ? rng_range(&g->rng, 1, 14) : gen_extent(g);
      all[2 + d] = &dims[2 + d];
    }
    limit(g->max_elements, all, v.spatial + 2);
    Type t = type_make(gen_dtype(g, op, "T"), v.spatial + 2, dims);
    v.x = gen_leaf(g, "n", &t);
  }
  int64_t extent[3];
  for (int d = 0; d < v.spatial; d++) extent[d] = v.x->type.dim[2 + d].n;
  channels(g, &v, v.x->type.dim[1].n);
  kernel_of(g, &v, extent);
  if (transposed)
    for (int d = 0; d < 2 * v.spatial; d++)
      v.pads[d] = rng_chance(&g->rng, 50) ? 0 : rng_below(&g->rng, v.kernel[d % v.spatial]);
  shrink_to_work(g, &v);
  return v;
}

static Type weights(const Conv *v, DType t, bool transposed) {
  int64_t groups = v->groups ? v->groups : 1;
  Type w = {.dtype = t, .rank = v->spatial + 2};
  w.dim[0] = dim_const(transposed ? v->in : v->out);
  w.dim[1] = dim_const(transposed ? v->out / groups : v->in / groups);
  for (int d = 0; d < v->spatial; d++) w.dim[2 + d] = dim_const(v->kernel[d]);
  return w;
}

static Node *build_conv(Gen *g, const Op *op, Conv *v, Value *const *in, int nin) {
  Attr attrs[] = {A_INTS("stride", v->stride, v->spatial), A_INTS("dilation", v->dilation, v->spatial),
                  A_INTS("pads", v->pads, 2 * v->spatial), A_INT("groups", v->groups)};
  return gen_build(g, op, in, nin, attrs, ARRAY_LEN(attrs));
}

static Node *some_conv_node(Gen *g, const Op *op, bool transposed) {
  Conv v = some_conv(g, op, transposed);
  Type w = weights(&v, v.x->type.dtype, transposed);
  // What padding times infinity gives is not defined: finite weights only.
  Value *wv = g->wild ? gen_leaf(g, "u", &w) : gen_shaped(g, "n", &w);
  Value *bias = rng_chance(&g->rng, 50) ? gen_leaf_of(g, "n", w.dtype, 1, &v.out) : NULL;
  return build_conv(g, op, &v, (Value *[]){v.x, wv, bias}, 3);
}

static Node *make_conv(Gen *g, const Op *op) {
  return some_conv_node(g, op, false);
}

static Node *make_conv_transpose(Gen *g, const Op *op) {
  return some_conv_node(g, op, true);
}

static Node *make_conv_integer(Gen *g, const Op *op) {
  Conv v = some_conv(g, op, false);
  Type w = weights(&v, rng_chance(&g->rng, 50) ? DT_I8 : DT_U8, false);
  Type sx = type_make(v.x->type.dtype, 0, NULL), sw = type_make(w.dtype, rng_chance(&g->rng, 50), &v.out);
  Value *wv = gen_shaped(g, "n", &w), *xz = rng_chance(&g->rng, 50) ? gen_leaf(g, "n", &sx) : NULL;
  Value *wz = rng_chance(&g->rng, 50) ? gen_leaf(g, "n", &sw) : NULL;
  return build_conv(g, op, &v, (Value *[]){v.x, wv, xz, wz}, 4);
}

// Weights of a whole convolution block: what front ends make, and fold_affine and fusion look for.
static Node *make_batch_norm(Gen *g, const Op *op) {
  Value *x = gen_operand(g, op, "T", 2, 5);
  Type p = {.dtype = rng_chance(&g->rng, 80) ? x->type.dtype : gen_dtype(g, op, "U"),
            .rank = 1,
            .dim = {x->type.dim[1]}};
  Value *in[] = {x, gen_leaf(g, "n", &p), gen_leaf(g, "n", &p), gen_leaf(g, "n", &p), gen_leaf(g, "p", &p)};
  return gen_build(g, op, in, 5, NO_ATTRS);
}

const Maker MAKERS_PRODUCTS[] = {{"matmul", 10, make_matmul},
                                 {"linear", 9, make_linear},
                                 {"matmul_integer", 2, make_matmul_integer},
                                 {"einsum", 3, make_einsum},
                                 {"conv", 10, make_conv},
                                 {"conv_transpose", 4, make_conv_transpose},
                                 {"conv_integer", 2, make_conv_integer},
                                 {"batch_norm", 4, make_batch_norm},
                                 {0}};
