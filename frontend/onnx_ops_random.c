// onnx_ops_random.c: ONNX random numbers. They are a function of a seed and the place in the tensor: the same in
// every run, as a compiled library must be. Without a seed one is made from the node's output name.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

static int64_t seed_of(Call *c) {
  bool whole = strcmp(c->node->op, "Dropout") == 0; // its seed is an integer
  const char *name = c->nout ? c->node->out[0] : "";
  double given = whole ? (double)attr_i(c, "seed", 0) : attr_f(c, "seed", 0);
  uint64_t seed = attr_has(c, "seed") ? hash_bytes(&given, sizeof given) : hash_bytes(name, strlen(name));
  return (int64_t)(seed >> 1);
}

static Value *uniform(Call *c, const Dim *dims, int rank, DType t, double low, double high) {
  Attr attrs[] = {A_SHAPE("shape", dims, rank), A_INT("seed", seed_of(c)), A_FLOAT("low", low),
                  A_FLOAT("high", high), A_DTYPE("dtype", t)};
  return make(c, "random_uniform", NULL, 0, attrs, 5);
}

// The shape and element type of the result: attributes, or an operand's.
static bool result_type(Call *c, Type *t) {
  const int64_t *shape;
  int32_t elem = (int32_t)attr_i(c, "dtype", ONNX_UNDEFINED);
  if (c->nin > 0) {
    *t = arg(c, 0)->type;
    if (elem == ONNX_UNDEFINED) elem = arg_elem(c, 0);
  } else {
    t->rank = attr_is(c, "shape", &shape);
    if (t->rank > MAX_RANK) return call_fail(c, "%d dimensions", t->rank);
    for (int d = 0; d < t->rank; d++) t->dim[d] = dim_const(shape[d]);
    if (elem == ONNX_UNDEFINED) elem = ONNX_FLOAT;
  }
  t->dtype = onnx_dtype(elem);
  return dtype_is_float(t->dtype) || call_fail(c, "random numbers of type %s", onnx_elem_name(elem));
}

Value *make_random(Call *c, const Dim *dims, int rank, DType t) {
  return uniform(c, dims, rank, t, 0, 1);
}

static bool random_uniform(Call *c) {
  Type t = {0};
  if (!result_type(c, &t)) return false;
  return ret(c, 0, uniform(c, t.dim, t.rank, t.dtype, attr_f(c, "low", 0), attr_f(c, "high", 1)));
}

static bool random_normal(Call *c) {
  Type t = {0};
  if (!result_type(c, &t)) return false;
  Attr attrs[] = {A_SHAPE("shape", t.dim, t.rank), A_INT("seed", seed_of(c)),
                  A_FLOAT("mean", attr_f(c, "mean", 0)), A_FLOAT("scale", attr_f(c, "scale", 1)),
                  A_DTYPE("dtype", t.dtype)};
  return ret(c, 0, make(c, "random_normal", NULL, 0, attrs, 5));
}

static bool bernoulli(Call *c) {
  Value *x = arg(c, 0);
  DType t = onnx_dtype((int32_t)attr_i(c, "dtype", arg_elem(c, 0)));
  if (t == DT_NONE) return call_fail(c, "the result's type is not supported");
  Value *dice = uniform(c, x->type.dim, rank_of(x), x->type.dtype, 0, 1);
  return ret(c, 0, make_cast(c, make_binary(c, "less", dice, x), t));
}

// Samples by the greatest of logit + Gumbel noise, -log(-log(u)).
static bool multinomial(Call *c) {
  Value *x = arg(c, 0);
  int64_t axes[] = {1};
  if (rank_of(x) != 2) return call_fail(c, "its operand has %d dimensions, not 2", rank_of(x));
  DType t = onnx_dtype((int32_t)attr_i(c, "dtype", ONNX_INT32));
  Dim dims[] = {dim_of(x, 0), dim_const(attr_i(c, "sample_size", 1)), dim_of(x, 1)};
  Value *u = uniform(c, dims, 3, x->type.dtype, 1e-7, 1);
  Value *noise = make_unary(c, "neg", make_unary(c, "log", make_unary(c, "neg", make_unary(c, "log", u))));
  Value *scores = make_binary(c, "add", make(c, "unsqueeze", IN(x), ATTRS(A_INTS("axes", axes, 1))), noise);
  Value *best = make(c, "argmax", IN(scores), ATTRS(A_INT("axis", 2), A_BOOL("keepdims", false)));
  return ret(c, 0, make_cast(c, best, t));
}

const OnnxOp ONNX_OPS_RANDOM[] = {
    {"", "RandomUniform", random_uniform, NULL},
    {"", "RandomUniformLike", random_uniform, NULL},
    {"", "RandomNormal", random_normal, NULL},
    {"", "RandomNormalLike", random_normal, NULL},
    {"", "Bernoulli", bernoulli, NULL},
    {"", "Multinomial", multinomial, NULL},
    {0},
};
