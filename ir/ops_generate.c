// ops_generate.c: ops that make tensors from attributes: numbers, masks, extents, random elements.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

static bool shape_infer(Ctx *c, Node *n) {
  const Attr *shape = node_attr(n, "shape");
  return op_set(c, n, 0, shape->n, shape->dims);
}

static bool fill_infer(Ctx *c, Node *n) {
  if (type_elements(in_type(n, 0)) != 1) return op_fail(c, n, "value must have one element");
  return shape_infer(c, n);
}

static const Expr *fill_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  (void)index;
  return ex_read_scalar(c, n->in[0]);
}

static bool iota_infer(Ctx *c, Node *n) {
  int axis;
  return op_axis(c, n, "axis", attr_int(n, "axis"), node_attr(n, "shape")->n, &axis) && shape_infer(c, n);
}

static const Expr *iota_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Type *t = &n->out[out]->type;
  return ex_cast(c, t->dtype, index[op_axis_of(n, "axis", t->rank)]);
}

static bool range_infer(Ctx *c, Node *n) {
  const Attr *count = node_attr(n, "count");
  if (count->n != 1) return op_fail(c, n, "count must be one extent");
  for (int k = 0; k < n->nin; k++)
    if (type_elements(in_type(n, k)) != 1) return op_fail(c, n, "start and step must have one element each");
  return op_set(c, n, 0, 1, count->dims);
}

static const Expr *range_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  const Expr *start = ex_read_scalar(c, n->in[0]), *step = ex_read_scalar(c, n->in[1]);
  return ex_add(c, start, ex_mul(c, ex_cast(c, start->dtype, index[0]), step));
}

static bool eye_infer(Ctx *c, Node *n) {
  if (node_attr(n, "shape")->n != 2) return op_fail(c, n, "shape must have two extents");
  return shape_infer(c, n);
}

static const Expr *eye_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Expr *diagonal = ex_add(c, index[0], ex_idx(c, attr_int(n, "k")));
  return ex_cast(c, n->out[out]->type.dtype, ex_binary(c, E_EQ, index[1], diagonal));
}

static bool trilu_infer(Ctx *c, Node *n) {
  if (in_rank(n, 0) < 2) return op_fail(c, n, "x needs at least two dimensions");
  return op_infer_same(c, n);
}

static const Expr *trilu_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Type *t = &n->out[out]->type;
  const Expr *row = ex_add(c, index[t->rank - 2], ex_idx(c, attr_int(n, "k"))), *col = index[t->rank - 1];
  const Expr *keep = attr_bool(n, "upper") ? ex_binary(c, E_LE, row, col) : ex_binary(c, E_LE, col, row);
  return ex_select(c, keep, ex_read_at(c, n->in[0], index), ex_num(c, t->dtype, 0));
}

static bool extents_infer(Ctx *c, Node *n) {
  Dim count = dim_const(node_attr(n, "of")->n);
  return op_set(c, n, 0, 1, &count);
}

static const Expr *extents_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  const Attr *of = node_attr(n, "of");
  const Expr *e = ex_idx(c, 0);
  for (int i = of->n - 1; i >= 0; i--)
    e = ex_select(c, ex_binary(c, E_EQ, index[0], ex_idx(c, i)), dim_to_expr(c, of->dims[i]), e);
  return e;
}

// ---- random -------------------------------------------------------------------------------------------------

// Element number -> 32 well mixed bits: the finaliser of MurmurHash3 over a Weyl sequence, twice, as the
// sequence of one seed must not be a shifted copy of another's. Every element is computed independently, so the
// order of evaluation and the number of threads do not matter.
static const Expr *mix(Ctx *c, const Expr *h) {
  static const uint32_t FACTOR[] = {0x85ebca6bu, 0xc2b2ae35u};
  static const int SHIFT[] = {16, 13};
  for (int i = 0; i < 2; i++) {
    h = ex_binary(c, E_XOR, h, ex_binary(c, E_SHR, h, ex_int(c, DT_U32, SHIFT[i])));
    h = ex_mul(c, h, ex_int(c, DT_U32, FACTOR[i]));
  }
  return ex_binary(c, E_XOR, h, ex_binary(c, E_SHR, h, ex_int(c, DT_U32, 16)));
}

static const Expr *random_bits(Ctx *c, const Expr *flat, int64_t seed, uint32_t stream) {
  uint32_t lo = (uint32_t)seed ^ stream, hi = (uint32_t)((uint64_t)seed >> 32);
  const Expr *h = ex_mul(c, ex_cast(c, DT_U32, flat), ex_int(c, DT_U32, 0x9e3779b9u));
  h = mix(c, ex_add(c, h, ex_int(c, DT_U32, lo)));
  return mix(c, ex_add(c, h, ex_int(c, DT_U32, hi ^ 0x7f4a7c15u)));
}

// Uniform in (0, 1): 23 bits, shifted by half a step so that neither end occurs.
static const Expr *random_unit(Ctx *c, const Expr *flat, int64_t seed, uint32_t stream) {
  const Expr *top = ex_binary(c, E_SHR, random_bits(c, flat, seed, stream), ex_int(c, DT_U32, 9));
  const Expr *x = ex_add(c, ex_cast(c, DT_F32, top), ex_float(c, DT_F32, 0.5));
  return ex_mul(c, x, ex_float(c, DT_F32, 1.0 / (1 << 23)));
}

static const Expr *flat_index(Ctx *c, const Type *t, const Expr *const *index) {
  const Expr *flat = ex_idx(c, 0);
  for (int d = 0; d < t->rank; d++) flat = ex_add(c, ex_mul(c, flat, ex_dim(c, t, d)), index[d]);
  return flat;
}

static const Expr *scaled(Ctx *c, const Expr *x, double scale, double offset, DType t) {
  x = ex_add(c, ex_mul(c, x, ex_float(c, DT_F32, scale)), ex_float(c, DT_F32, offset));
  return ex_cast(c, t, x);
}

static const Expr *random_uniform_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Type *t = &n->out[out]->type;
  const Expr *u = random_unit(c, flat_index(c, t, index), attr_int(n, "seed"), 0);
  double low = attr_float(n, "low"), high = attr_float(n, "high");
  return scaled(c, u, high - low, low, t->dtype);
}

// Box and Muller, 1958.
static const Expr *random_normal_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Type *t = &n->out[out]->type;
  const Expr *flat = flat_index(c, t, index);
  int64_t seed = attr_int(n, "seed");
  const Expr *u = random_unit(c, flat, seed, 0), *v = random_unit(c, flat, seed, 0x5851f42du);
  const Expr *radius = ex_unary(c, E_SQRT, ex_mul(c, ex_float(c, DT_F32, -2), ex_unary(c, E_LOG, u)));
  const Expr *angle = ex_unary(c, E_COS, ex_mul(c, v, ex_float(c, DT_F32, 6.283185307179586)));
  return scaled(c, ex_mul(c, radius, angle), attr_float(n, "scale"), attr_float(n, "mean"), t->dtype);
}

const OpInfo OPS_GENERATE[] = {
    {.name = "fill",
     .group = "generators",
     .ins = "value:T",
     .outs = "T",
     .t = "any",
     .attrs = "shape:shape",
     .infer = fill_infer,
     .define = fill_define,
     .doc = "A tensor of the given shape, every element of which is value.",
     .sample = "fill(f32[], shape=[2,3])"},
    {.name = "iota",
     .group = "generators",
     .outs = "=dtype",
     .attrs = "shape:shape, axis:int=0, dtype:dtype=i64",
     .infer = iota_infer,
     .define = iota_define,
     .doc = "Each element is its index along axis.",
     .sample = "iota(shape=[4]); iota(shape=[2,3], axis=1, dtype=f32)"},
    {.name = "range",
     .group = "generators",
     .ins = "start:T, step:T",
     .outs = "T",
     .t = "num",
     .attrs = "count:shape",
     .infer = range_infer,
     .define = range_define,
     .doc = "count numbers: start, start + step, start + 2 * step ...",
     .sample = "range(f32[], f32[], count=[5])"},
    {.name = "eye",
     .group = "generators",
     .outs = "=dtype",
     .attrs = "shape:shape, k:int=0, dtype:dtype=f32",
     .infer = eye_infer,
     .define = eye_define,
     .doc = "Ones on the diagonal that begins at column k, zeros elsewhere.",
     .sample = "eye(shape=[3,4], k=1)"},
    {.name = "trilu",
     .group = "generators",
     .ins = "x:T",
     .outs = "T",
     .t = "any",
     .attrs = "upper:bool=true, k:int=0",
     .infer = trilu_infer,
     .define = trilu_define,
     .doc =
         "The upper (or lower) triangle of the last two dimensions of x, from diagonal k on; the rest is 0.",
     .sample = "trilu(f32[3,4]); trilu(f32[2,3,3], upper=false, k=-1)"},
    {.name = "extents",
     .group = "generators",
     .outs = "i64",
     .attrs = "of:shape",
     .infer = extents_infer,
     .define = extents_define,
     .doc = "The given extents, symbolic ones included, as a tensor.",
     .sample = "extents(of=[2,3,4])"},
    {.name = "random_uniform",
     .group = "generators",
     .outs = "=dtype",
     .attrs = "shape:shape, seed:int=0, low:float=0, high:float=1, dtype:dtype=f32",
     .infer = shape_infer,
     .define = random_uniform_define,
     .doc = "Numbers spread evenly over [low, high), a function of seed and place alone.",
     .sample = "random_uniform(shape=[2,3], seed=7)"},
    {.name = "random_normal",
     .group = "generators",
     .outs = "=dtype",
     .attrs = "shape:shape, seed:int=0, mean:float=0, scale:float=1, dtype:dtype=f32",
     .infer = shape_infer,
     .define = random_normal_define,
     .doc = "Normally distributed numbers, a function of seed and place alone.",
     .sample = "random_normal(shape=[2,3], seed=7)"},
    {0},
};
