// make_index.c: gather, scatter and their kin; sorting.
// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz.h"

static DType index_type(Gen *g) {
  static const DType types[] = {DT_I64, DT_I64, DT_I32, DT_I8, DT_U8, DT_I16};
  return rng_pick(&g->rng, types);
}

static Value *any(Gen *g, const Op *op, int min_rank, int max_rank) {
  return gen_operand(g, op, "T", min_rank, max_rank);
}

static const char *indices_into(Gen *g, int64_t extent) {
  return arena_printf(g->c->arena, "i%lld_", (long long)extent);
}

static int64_t smallest_extent(const Type *t, int dims) {
  int64_t least = dims ? t->dim[0].n : 1;
  for (int d = 1; d < dims; d++)
    if (t->dim[d].n < least) least = t->dim[d].n;
  return least;
}

static Node *make_gather(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 5);
  int64_t axis = rng_below(&g->rng, x->type.rank);
  Type t = gen_type(g, index_type(g), 0, 2);
  Value *i = gen_leaf(g, indices_into(g, x->type.dim[axis].n), &t);
  return gen_build(g, op, IN(x, i),
                   ATTRS(A_INT("axis", rng_chance(&g->rng, 30) ? axis - x->type.rank : axis)));
}

// Extents of indices: at most those of x but along the axis.
static Type element_indices(Gen *g, const Value *x, int64_t axis) {
  Type t = x->type;
  t.dtype = index_type(g);
  for (int d = 0; d < t.rank; d++)
    if (d == axis || rng_chance(&g->rng, 30))
      t.dim[d] = dim_const(d == axis ? rng_range(&g->rng, 0, 5)
                                     : rng_range(&g->rng, 0, t.dim[d].sym ? 0 : t.dim[d].n));
  return t;
}

static Node *make_gather_elements(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 4);
  int64_t axis = rng_below(&g->rng, x->type.rank);
  Type t = element_indices(g, x, axis);
  Value *i = gen_leaf(g, indices_into(g, x->type.dim[axis].n), &t);
  return gen_build(g, op, IN(x, i), ATTRS(A_INT("axis", axis)));
}

static const char *some_reduction(Gen *g) {
  static const char *const names[] = {"none", "add", "mul", "min", "max"};
  return rng_pick(&g->rng, names);
}

static Node *make_scatter_elements(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 4);
  int64_t axis = rng_below(&g->rng, x->type.rank);
  Type t = element_indices(g, x, axis), u = t;
  u.dtype = x->type.dtype;
  Value *i = gen_leaf(g, indices_into(g, x->type.dim[axis].n), &t);
  return gen_build(g, op, IN(x, i, gen_shaped(g, "n", &u)),
                   ATTRS(A_INT("axis", axis), A_STRING("reduction", some_reduction(g))));
}

// Indices [batch..., n..., depth] into x.
static Value *nd_indices(Gen *g, const Value *x, int batch, int *depth) {
  *depth = (int)rng_range(&g->rng, 1, x->type.rank - batch);
  Type t = {.dtype = index_type(g), .rank = batch + 2};
  for (int d = 0; d < batch; d++) t.dim[d] = x->type.dim[d];
  t.dim[batch] = dim_const(rng_range(&g->rng, 1, 5));
  t.dim[batch + 1] = dim_const(*depth);
  return gen_leaf(g, indices_into(g, smallest_extent(&x->type, batch + *depth)), &t);
}

static Node *make_gather_nd(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 4);
  int depth, batch = x->type.rank > 1 && rng_chance(&g->rng, 30);
  Value *i = nd_indices(g, x, batch, &depth);
  return gen_build(g, op, IN(x, i), ATTRS(A_INT("batch_dims", batch)));
}

static Node *make_scatter_nd(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 4);
  int depth;
  Value *i = nd_indices(g, x, 0, &depth);
  Type u = {.dtype = x->type.dtype, .rank = 1 + x->type.rank - depth, .dim = {i->type.dim[0]}};
  for (int d = depth; d < x->type.rank; d++) u.dim[1 + d - depth] = x->type.dim[d];
  return gen_build(g, op, IN(x, i, gen_shaped(g, "n", &u)), ATTRS(A_STRING("reduction", some_reduction(g))));
}

static Node *make_dynamic_slice(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 4);
  int64_t *sizes = gen_ints(g, x->type.rank), rank = x->type.rank;
  for (int d = 0; d < rank; d++) sizes[d] = x->type.dim[d].sym ? -1 : rng_range(&g->rng, 0, x->type.dim[d].n);
  Value *starts = gen_leaf_of(g, "i6_", index_type(g), 1, &rank);
  return gen_build(g, op, IN(x, starts), ATTRS(A_SHAPE("sizes", gen_dims(g, (int)rank, sizes), (int)rank)));
}

static Node *make_dynamic_update_slice(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 4);
  int64_t rank = x->type.rank;
  Type u = x->type;
  for (int d = 0; d < rank; d++)
    if (!u.dim[d].sym) u.dim[d] = dim_const(rng_range(&g->rng, 0, u.dim[d].n));
  Value *starts = gen_leaf_of(g, "i6_", index_type(g), 1, &rank);
  return gen_build(g, op, IN(x, gen_shaped(g, "n", &u), starts), NO_ATTRS);
}

static Node *make_one_hot(Gen *g, const Op *op) {
  int64_t depth = rng_range(&g->rng, 1, 9);
  Type t = gen_type(g, index_type(g), 0, 3), scalar = type_make(gen_dtype(g, op, "T"), 0, NULL);
  Value *i = gen_leaf(g, indices_into(g, depth), &t);
  return gen_build(
      g, op, IN(i, gen_leaf(g, "n", &scalar), gen_leaf(g, "n", &scalar)),
      ATTRS(A_SHAPE("depth", gen_dims(g, 1, &depth), 1), A_INT("axis", rng_range(&g->rng, -1, t.rank))));
}

static Node *make_reverse_sequence(Gen *g, const Op *op) {
  Value *x = any(g, op, 2, 4);
  int64_t batch = rng_below(&g->rng, 2);
  Type t = {.dtype = index_type(g), .rank = 1, .dim = {x->type.dim[batch]}};
  Value *lengths = gen_leaf(g, arena_printf(g->c->arena, "j%lld_", (long long)x->type.dim[1 - batch].n), &t);
  return gen_build(g, op, IN(x, lengths), ATTRS(A_INT("batch_axis", batch), A_INT("time_axis", 1 - batch)));
}

static Node *make_topk(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 4);
  int64_t axis = rng_below(&g->rng, x->type.rank);
  return gen_build(g, op, IN(x),
                   ATTRS(A_INT("axis", axis), A_INT("k", rng_range(&g->rng, 0, x->type.dim[axis].n)),
                         A_BOOL("largest", rng_chance(&g->rng, 50))));
}

static Node *make_sort(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 4);
  return gen_build(g, op, IN(x),
                   ATTRS(A_INT("axis", rng_range(&g->rng, -1, x->type.rank - 1)),
                         A_BOOL("descending", rng_chance(&g->rng, 50))));
}

static Node *make_nonzero(Gen *g, const Op *op) {
  return gen_build(g, op, IN(any(g, op, 0, 4)), NO_ATTRS);
}

const Maker MAKERS_INDEX[] = {{"gather", 6, make_gather},
                              {"gather_elements", 2, make_gather_elements},
                              {"gather_nd", 2, make_gather_nd},
                              {"scatter_elements", 2, make_scatter_elements},
                              {"scatter_nd", 2, make_scatter_nd},
                              {"dynamic_slice", 2, make_dynamic_slice},
                              {"dynamic_update_slice", 2, make_dynamic_update_slice},
                              {"reverse_sequence", 1, make_reverse_sequence},
                              {"one_hot", 1, make_one_hot},
                              {"topk", 2, make_topk},
                              {"sort", 1, make_sort},
                              {"nonzero", 1, make_nonzero},
                              {0}};
