// make_views.c: views, slices, joins and generators.
// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz.h"

static Value *any(Gen *g, const Op *op, int min_rank, int max_rank) {
  return gen_operand(g, op, op->in[0].type, min_rank, max_rank);
}

static int some_dim(Gen *g, const Value *v) {
  return (int)rng_below(&g->rng, v->type.rank);
}

// d, or the same counted from the end.
static int64_t signed_axis(Gen *g, int d, int rank) {
  return rng_chance(&g->rng, 30) ? d - rank : d;
}

static void shuffle(Gen *g, int64_t *v, int n) {
  for (int i = n - 1; i > 0; i--) {
    int64_t k = rng_below(&g->rng, i + 1), t = v[i];
    v[i] = v[k];
    v[k] = t;
  }
}

// ---- shapes -----------------------------------------------------------------------------------------------------

// The same number of elements as a product of at most n factors; returns their number.
static int factor(Gen *g, int64_t elements, int64_t *out, int n) {
  int k = 0;
  for (int64_t f = 2; f <= elements && k < 24;) {
    if (elements % f) {
      f++;
      continue;
    }
    if (f > 1000) f = elements;
    elements /= f;
    if (k < n && rng_chance(&g->rng, 50))
      out[k++] = f;
    else if (k)
      out[rng_below(&g->rng, k)] *= f;
    else
      out[k++] = f;
  }
  while (k < n && rng_chance(&g->rng, 20)) out[k++] = 1;
  shuffle(g, out, k);
  return k;
}

static Node *make_reshape(Gen *g, const Op *op) {
  Value *x = any(g, op, 0, 6);
  int64_t elements = type_elements(&x->type);
  int64_t *shape = gen_ints(g, 6);
  if (!gen_static(x)) { // keeps the symbol's place: merges what comes after the first dimension
    shape[1] = -1;
    return gen_build(g, op, IN(x), ATTRS(A_INTS("shape", shape, x->type.rank > 1 ? 2 : 1)));
  }
  int n = elements ? factor(g, elements, shape, 6) : 2;
  if (n && elements && rng_chance(&g->rng, 20)) shape[rng_below(&g->rng, n)] = -1;
  return gen_build(g, op, IN(x),
                   ATTRS(A_SHAPE("shape", gen_dims(g, n, shape), n), A_BOOL("allow_zero", elements == 0)));
}

static Node *make_flatten(Gen *g, const Op *op) {
  Value *x = any(g, op, 0, 6);
  return gen_build(g, op, IN(x), ATTRS(A_INT("axis", rng_range(&g->rng, -x->type.rank, x->type.rank))));
}

static Node *make_squeeze(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 6);
  int64_t *axes = gen_ints(g, x->type.rank);
  int n = 0;
  for (int d = 0; d < x->type.rank; d++)
    if (!x->type.dim[d].sym && x->type.dim[d].n == 1 && rng_chance(&g->rng, 70))
      axes[n++] = signed_axis(g, d, x->type.rank);
  return gen_build(g, op, IN(x), ATTRS(A_INTS("axes", axes, n)));
}

static Node *make_unsqueeze(Gen *g, const Op *op) {
  Value *x = any(g, op, 0, 4);
  int n = (int)rng_range(&g->rng, 1, 2), rank = x->type.rank + n;
  int64_t *axes = gen_ints(g, n);
  axes[0] = rng_below(&g->rng, rank);
  if (n > 1) axes[1] = (axes[0] + 1) % rank;
  return gen_build(g, op, IN(x), ATTRS(A_INTS("axes", axes, n)));
}

static Node *make_transpose(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 6);
  int64_t *perm = gen_ints(g, x->type.rank);
  for (int d = 0; d < x->type.rank; d++) perm[d] = d;
  shuffle(g, perm, x->type.rank);
  return gen_build(g, op, IN(x), ATTRS(A_INTS("perm", perm, x->type.rank)));
}

static Node *make_flip(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 6);
  int64_t *axes = gen_ints(g, x->type.rank);
  int n = 0;
  for (int d = 0; d < x->type.rank; d++)
    if (rng_chance(&g->rng, 40)) axes[n++] = d;
  return gen_build(g, op, IN(x), ATTRS(A_INTS("axes", axes, n)));
}

static Node *make_roll(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 6);
  int64_t *axes = gen_ints(g, 1), *shifts = gen_ints(g, 1);
  axes[0] = signed_axis(g, some_dim(g, x), x->type.rank);
  shifts[0] = rng_range(&g->rng, -70, 70);
  return gen_build(g, op, IN(x), ATTRS(A_INTS("axes", axes, 1), A_INTS("shifts", shifts, 1)));
}

static Node *make_slice(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 6);
  int rank = x->type.rank, n = 0;
  int64_t *axes = gen_ints(g, rank), *starts = gen_ints(g, rank), *ends = gen_ints(g, rank),
          *steps = gen_ints(g, rank);
  for (int d = 0; d < rank; d++) {
    int64_t extent = x->type.dim[d].n;
    if (n && rng_chance(&g->rng, 50)) continue;
    axes[n] = signed_axis(g, d, rank);
    steps[n] = rng_chance(&g->rng, 60)   ? 1
               : rng_chance(&g->rng, 50) ? rng_range(&g->rng, 2, 4)
               : x->type.dim[d].sym      ? 1
                                         : rng_range(&g->rng, -3, 2);
    if (steps[n] == 0) steps[n] = 1;
    bool empty = extent == 0 || rng_chance(&g->rng, 3); // else at least one, mostly many
    int64_t cut = rng_chance(&g->rng, 60) ? (extent + 3) / 4 : extent;
    int64_t a = empty ? rng_below(&g->rng, extent + 1) : rng_below(&g->rng, cut);
    int64_t b = empty ? a : rng_range(&g->rng, a + 1, extent);
    if (!empty && rng_chance(&g->rng, 50)) b = extent;
    starts[n] = steps[n] > 0 ? a : b;
    ends[n] = steps[n] > 0 ? b : a - 1 < 0 ? -extent - 5 : a - 1;
    if (rng_chance(&g->rng, 15)) starts[n] -= extent;
    if (rng_chance(&g->rng, 15)) ends[n] = steps[n] > 0 ? INT32_MAX : -INT32_MAX;
    n++;
  }
  return gen_build(g, op, IN(x),
                   ATTRS(A_INTS("axes", axes, n), A_SHAPE("starts", gen_dims(g, n, starts), n),
                         A_SHAPE("ends", gen_dims(g, n, ends), n), A_INTS("steps", steps, n)));
}

static Node *make_split(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 6);
  int d = some_dim(g, x);
  int64_t extent = x->type.dim[d].n, *sizes = gen_ints(g, 3), axis = signed_axis(g, d, x->type.rank);
  if (extent > 1 && rng_chance(&g->rng, 50)) {
    for (int64_t parts = rng_range(&g->rng, 2, 5); parts > 0; parts--)
      if (extent % parts == 0)
        return gen_build(g, op, IN(x), ATTRS(A_INT("axis", axis), A_INT("parts", parts)));
  }
  sizes[0] = rng_below(&g->rng, extent + 1);
  sizes[1] = rng_below(&g->rng, extent - sizes[0] + 1);
  sizes[2] = extent - sizes[0] - sizes[1];
  return gen_build(g, op, IN(x), ATTRS(A_INT("axis", axis), A_INTS("sizes", sizes, 3)));
}

static Node *make_concat(Gen *g, const Op *op) {
  Value *in[4];
  in[0] = any(g, op, 1, 6);
  int n = (int)rng_range(&g->rng, 1, 4), d = some_dim(g, in[0]);
  for (int i = 1; i < n; i++) {
    Type t = in[0]->type;
    if (rng_chance(&g->rng, 60)) t.dim[d] = dim_const(gen_extent(g));
    in[i] = rng_chance(&g->rng, 15) ? in[0] : gen_shaped(g, "n", &t);
  }
  return gen_build(g, op, in, n, ATTRS(A_INT("axis", signed_axis(g, d, in[0]->type.rank))));
}

static Node *make_stack(Gen *g, const Op *op) {
  Value *in[3];
  in[0] = any(g, op, 0, 5);
  int n = (int)rng_range(&g->rng, 1, 3);
  for (int i = 1; i < n; i++) in[i] = gen_shaped(g, "n", &in[0]->type);
  return gen_build(g, op, in, n, ATTRS(A_INT("axis", rng_range(&g->rng, 0, in[0]->type.rank))));
}

static Node *make_broadcast(Gen *g, const Op *op) {
  Value *x = any(g, op, 0, 4);
  int more = (int)rng_below(&g->rng, 2), rank = x->type.rank + more;
  Dim *shape = NEW_ARRAY(g->c->arena, Dim, rank + 1);
  for (int d = 0; d < rank; d++) shape[d] = dim_const(rng_range(&g->rng, 1, 5));
  for (int d = 0; d < x->type.rank; d++)
    if (!dim_equal(x->type.dim[d], dim_const(1))) shape[d + more] = x->type.dim[d];
  return gen_build(g, op, IN(x), ATTRS(A_SHAPE("shape", shape, rank)));
}

static Node *make_tile(Gen *g, const Op *op) {
  Value *x = any(g, op, 1, 5);
  int64_t *repeats = gen_ints(g, x->type.rank);
  for (int d = 0; d < x->type.rank; d++) repeats[d] = rng_chance(&g->rng, 60) ? 1 : rng_range(&g->rng, 0, 3);
  return gen_build(g, op, IN(x), ATTRS(A_INTS("repeats", repeats, x->type.rank)));
}

static Node *make_pad(Gen *g, const Op *op) {
  static const char *const modes[] = {"constant", "constant", "constant", "reflect", "edge", "wrap"};
  Value *x = any(g, op, 1, 5);
  int rank = x->type.rank;
  int64_t *pads = gen_ints(g, 2 * rank);
  const char *mode = gen_static(x) ? rng_pick(&g->rng, modes) : "constant";
  for (int d = 0; d < 2 * rank; d++) {
    int64_t extent = x->type.dim[d % rank].n;
    if (rng_chance(&g->rng, 50)) pads[d] = rng_range(&g->rng, extent > 3 ? -1 : 0, 4);
  }
  Type scalar = type_make(x->type.dtype, 0, NULL);
  Value *value = *mode == 'c' && rng_chance(&g->rng, 40) ? gen_leaf(g, "n", &scalar) : NULL;
  return gen_build(g, op, (Value *[]){x, value}, value ? 2 : 1,
                   ATTRS(A_INTS("pads", pads, 2 * rank), A_STRING("mode", mode)));
}

static Node *make_depth_to_space(Gen *g, const Op *op) {
  int64_t block = rng_range(&g->rng, 1, 3);
  int64_t dims[4] = {rng_range(&g->rng, 1, 2), rng_range(&g->rng, 1, 9) * block * block,
                     rng_range(&g->rng, 1, 6), rng_range(&g->rng, 1, 6)};
  Type t = type_make(gen_dtype(g, op, "T"), 4, dims);
  return gen_build(g, op, IN(gen_shaped(g, "n", &t)),
                   ATTRS(A_INT("block", block), A_STRING("mode", rng_chance(&g->rng, 50) ? "dcr" : "crd")));
}

static Node *make_space_to_depth(Gen *g, const Op *op) {
  int64_t block = rng_range(&g->rng, 1, 3);
  int64_t dims[4] = {rng_range(&g->rng, 1, 2), rng_range(&g->rng, 1, 9), rng_range(&g->rng, 1, 5) * block,
                     rng_range(&g->rng, 1, 5) * block};
  Type t = type_make(gen_dtype(g, op, "T"), 4, dims);
  return gen_build(g, op, IN(gen_shaped(g, "n", &t)), ATTRS(A_INT("block", block)));
}

// ---- types --------------------------------------------------------------------------------------------------------

static Node *make_cast(Gen *g, const Op *op) {
  return gen_build(g, op, IN(any(g, op, 0, 6)), ATTRS(A_DTYPE("dtype", (DType)rng_below(&g->rng, DT_COUNT))));
}

static Node *make_bitcast(Gen *g, const Op *op) {
  Value *x = any(g, op, 0, 6);
  DType t = (DType)rng_below(&g->rng, DT_COUNT);
  while (t == DT_BOOL || dtype_bytes(t) != dtype_bytes(x->type.dtype))
    t = (DType)rng_below(&g->rng, DT_COUNT);
  return gen_build(g, op, IN(x), ATTRS(A_DTYPE("dtype", t)));
}

// ---- generators -----------------------------------------------------------------------------------------------------

static Attr some_shape(Gen *g, int min_rank, int max_rank, int *rank) {
  Type t = gen_type(g, DT_F32, min_rank, max_rank);
  if (rank) *rank = t.rank;
  return A_SHAPE("shape", arena_dup(g->c->arena, t.dim, sizeof t.dim), t.rank);
}

static Node *make_fill(Gen *g, const Op *op) {
  Type scalar = type_make(gen_dtype(g, op, "T"), 0, NULL);
  return gen_build(g, op, IN(gen_shaped(g, "n", &scalar)), ATTRS(some_shape(g, 0, 4, NULL)));
}

static Node *make_iota(Gen *g, const Op *op) {
  static const DType types[] = {DT_I64, DT_I32, DT_F32, DT_U8, DT_F16};
  int rank;
  Attr shape = some_shape(g, 1, 4, &rank);
  return gen_build(
      g, op, NULL, 0,
      ATTRS(shape, A_INT("axis", rng_below(&g->rng, rank)), A_DTYPE("dtype", rng_pick(&g->rng, types))));
}

static Node *make_range(Gen *g, const Op *op) {
  Type scalar = type_make(gen_dtype(g, op, "T"), 0, NULL);
  int64_t count = gen_extent(g);
  return gen_build(g, op, IN(gen_leaf(g, "n", &scalar), gen_leaf(g, "n", &scalar)),
                   ATTRS(A_SHAPE("count", gen_dims(g, 1, &count), 1)));
}

static Node *make_eye(Gen *g, const Op *op) {
  return gen_build(g, op, NULL, 0, ATTRS(some_shape(g, 2, 2, NULL), A_INT("k", rng_range(&g->rng, -3, 3))));
}

static Node *make_random(Gen *g, const Op *op) {
  static const DType types[] = {DT_F32, DT_F64, DT_F16, DT_BF16};
  return gen_build(g, op, NULL, 0,
                   ATTRS(some_shape(g, 0, 3, NULL), A_INT("seed", rng_range(&g->rng, 1, 99)),
                         A_DTYPE("dtype", rng_pick(&g->rng, types))));
}

static Node *make_trilu(Gen *g, const Op *op) {
  return gen_build(g, op, IN(any(g, op, 2, 5)),
                   ATTRS(A_BOOL("upper", rng_chance(&g->rng, 50)), A_INT("k", rng_range(&g->rng, -4, 4))));
}

const Maker MAKERS_VIEWS[] = {{"reshape", 6, make_reshape},
                              {"flatten", 2, make_flatten},
                              {"squeeze", 2, make_squeeze},
                              {"unsqueeze", 2, make_unsqueeze},
                              {"transpose", 8, make_transpose},
                              {"flip", 2, make_flip},
                              {"roll", 2, make_roll},
                              {"slice", 6, make_slice},
                              {"split", 6, make_split},
                              {"concat", 8, make_concat},
                              {"stack", 3, make_stack},
                              {"broadcast", 3, make_broadcast},
                              {"tile", 3, make_tile},
                              {"pad", 6, make_pad},
                              {"depth_to_space", 2, make_depth_to_space},
                              {"space_to_depth", 2, make_space_to_depth},
                              {"cast", 8, make_cast},
                              {"bitcast", 1, make_bitcast},
                              {"fill", 1, make_fill},
                              {"iota", 2, make_iota},
                              {"range", 1, make_range},
                              {"eye", 1, make_eye},
                              {"random_uniform", 1, make_random},
                              {"random_normal", 1, make_random},
                              {"trilu", 2, make_trilu},
                              {0}};
