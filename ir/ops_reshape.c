// ops_reshape.c: ops that give the same elements, in the same order, other extents.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

// Finds a shortest run of dimensions, from i of a and j of b on, with the same number of elements; *i and *j
// move behind it. Runs keep the index arithmetic of a reshape local: [T,12,64] -> [T,768] leaves T alone.
static void next_run(Ctx *c, const Type *a, int *i, const Type *b, int *j) {
  Dim pa = dim_const(1), pb = dim_const(1);
  if (*i < a->rank) pa = a->dim[(*i)++];
  if (*j < b->rank) pb = b->dim[(*j)++];
  while (!dim_equal(pa, pb) && (*i < a->rank || *j < b->rank)) {
    bool grow_a = *i < a->rank && (pa.n < pb.n || *j == b->rank);
    if (grow_a)
      pa = dim_binary(c, E_MUL, pa, a->dim[(*i)++]);
    else
      pb = dim_binary(c, E_MUL, pb, b->dim[(*j)++]);
  }
}

// Number of an element among those of dimensions [from, to), row-major.
static const Expr *flatten_index(Ctx *c, const Type *t, int from, int to, const Expr *const *index) {
  const Expr *flat = ex_idx(c, 0);
  for (int d = from; d < to; d++) flat = ex_add(c, ex_mul(c, flat, ex_dim(c, t, d)), index[d]);
  return flat;
}

// The inverse. The outermost dimension that is not 1 takes the whole quotient.
static void unflatten_index(Ctx *c, const Type *t, int from, int to, const Expr *flat, const Expr **index) {
  int first = from;
  while (first < to && dim_is(t->dim[first], 1)) first++;
  for (int d = to - 1; d >= from; d--) {
    if (dim_is(t->dim[d], 1)) {
      index[d] = ex_idx(c, 0);
    } else if (d == first) {
      index[d] = flat;
    } else {
      index[d] = ex_binary(c, E_MOD, flat, ex_dim(c, t, d));
      flat = ex_binary(c, E_FDIV, flat, ex_dim(c, t, d));
    }
  }
}

static const Expr *reshape_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Type *from = in_type(n, 0), *to = &n->out[out]->type;
  const Expr *at[MAX_RANK];
  for (int i = 0, j = 0; i < from->rank || j < to->rank;) {
    int i0 = i, j0 = j;
    next_run(c, from, &i, to, &j);
    unflatten_index(c, from, i0, i, flatten_index(c, to, j0, j, index), at);
  }
  return ex_read_at(c, n->in[0], at);
}

// Extents of `have` whose product is known to be the same as some of `want` are struck from both lists.
static void cancel_dims(Dim *have, int *nhave, Dim *want, int *nwant) {
  for (int i = 0; i < *nwant; i++)
    for (int j = 0; j < *nhave; j++)
      if (dim_equal(want[i], have[j]) && !dim_is(want[i], 0)) {
        want[i--] = want[--*nwant];
        have[j] = have[--*nhave];
        break;
      }
}

static Dim dims_product(Ctx *c, const Dim *d, int n) {
  Dim p = dim_const(1);
  for (int i = 0; i < n; i++) p = dim_binary(c, E_MUL, p, d[i]);
  return p;
}

// The extent that makes the other extents of out[rank] (all but `hole`) hold x's elements.
static bool infer_hole(Ctx *c, const Node *n, const Type *x, Dim *out, int rank, int hole) {
  Dim have[MAX_RANK], want[MAX_RANK];
  int nhave = x->rank, nwant = 0;
  memcpy(have, x->dim, sizeof have);
  for (int d = 0; d < rank; d++)
    if (d != hole) want[nwant++] = out[d];
  cancel_dims(have, &nhave, want, &nwant);
  Dim total = dims_product(c, have, nhave), known = dims_product(c, want, nwant);
  if (dim_is(known, 0)) return op_fail(c, n, "-1 in shape cannot be known beside an extent of 0");
  out[hole] = dim_binary(c, E_FDIV, total, known);
  if (dim_equal(dim_binary(c, E_MUL, out[hole], known), total)) return true;
  return op_fail(c, n, "%s cannot be divided as shape demands: no extent fits for -1", type_text(c, x));
}

static bool reshape_infer(Ctx *c, Node *n) {
  const Attr *shape = node_attr(n, "shape");
  const Type *x = in_type(n, 0);
  Dim out[MAX_RANK];
  int hole = -1;
  if (shape->n > MAX_RANK) return op_fail(c, n, "shape has %d extents, more than %d", shape->n, MAX_RANK);
  for (int d = 0; d < shape->n; d++) {
    out[d] = shape->dims[d];
    if (dim_is(out[d], 0) && !attr_bool(n, "allow_zero")) {
      if (d >= x->rank) return op_fail(c, n, "extent %d of shape is 0 (copied), but x has none there", d);
      out[d] = x->dim[d];
    } else if (dim_is(out[d], -1)) {
      if (hole >= 0) return op_fail(c, n, "shape has more than one -1");
      hole = d;
    } else if (out[d].n < 0) {
      return op_fail(c, n, "extent %d of shape is %lld", d, (long long)out[d].n);
    }
  }
  if (hole >= 0 && !infer_hole(c, n, x, out, shape->n, hole)) return false;
  if (!op_set(c, n, 0, shape->n, out)) return false;
  if (dim_equal(dims_product(c, x->dim, x->rank), dims_product(c, out, shape->n))) return true;
  return op_fail(c, n, "%s cannot become %s: the number of elements differs", type_text(c, x),
                 type_text(c, &n->out[0]->type));
}

static bool flatten_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  int64_t axis = attr_int(n, "axis");
  if (axis < -x->rank || axis > x->rank)
    return op_fail(c, n, "axis %lld is outside of %d dimensions", (long long)axis, x->rank);
  int at = (int)(axis < 0 ? axis + x->rank : axis);
  Dim out[2] = {dims_product(c, x->dim, at), dims_product(c, x->dim + at, x->rank - at)};
  return op_set(c, n, 0, 2, out);
}

static bool squeeze_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  bool drop[MAX_RANK], all = node_attr(n, "axes")->n == 0;
  Dim out[MAX_RANK];
  int rank = 0;
  if (!op_axes(c, n, "axes", x->rank, false, drop)) return false;
  for (int d = 0; d < x->rank; d++) {
    bool one = dim_is(x->dim[d], 1);
    if (drop[d] && !one) return op_fail(c, n, "dimension %d is not 1", d);
    if (!drop[d] && !(all && one)) out[rank++] = x->dim[d];
  }
  return op_set(c, n, 0, rank, out);
}

static bool unsqueeze_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  int rank = x->rank + node_attr(n, "axes")->n;
  bool added[MAX_RANK];
  Dim out[MAX_RANK];
  if (rank > MAX_RANK) return op_fail(c, n, "the result has %d dimensions, more than %d", rank, MAX_RANK);
  if (!op_axes(c, n, "axes", rank, false, added)) return false;
  for (int d = 0, from = 0; d < rank; d++) out[d] = added[d] ? dim_const(1) : x->dim[from++];
  return op_set(c, n, 0, rank, out);
}

const OpInfo OPS_RESHAPE[] = {
    {.name = "reshape",
     .ins = "x:T",
     VIEW,
     .attrs = "shape:shape, allow_zero:bool=false",
     .infer = reshape_infer,
     .define = reshape_define,
     .doc = "The elements of x in row-major order with new extents. One extent may be -1, it is worked out; "
            "0 copies "
            "the extent of x at that place unless allow_zero.",
     .sample = "reshape(f32[2,3,4], shape=[6,4]); reshape(f32[2,3,4], shape=[0,-1]); reshape(f32[4,6], "
               "shape=[2,12])"},
    {.name = "flatten",
     .ins = "x:T",
     VIEW,
     .attrs = "axis:int=1",
     .infer = flatten_infer,
     .define = reshape_define,
     .doc = "Two dimensions: those before axis and those from axis on.",
     .sample = "flatten(f32[2,3,4]); flatten(f32[2,3,4], axis=0)"},
    {.name = "squeeze",
     .ins = "x:T",
     VIEW,
     .attrs = "axes:ints=[]",
     .infer = squeeze_infer,
     .define = reshape_define,
     .doc = "Without the dimensions `axes`, which must be 1; without any of extent 1 if no axes are given.",
     .sample = "squeeze(f32[1,3,1]); squeeze(f32[1,3,1], axes=[-1])"},
    {.name = "unsqueeze",
     .ins = "x:T",
     VIEW,
     .attrs = "axes:ints",
     .infer = unsqueeze_infer,
     .define = reshape_define,
     .doc = "With new dimensions of extent 1 at the places `axes` of the result.",
     .sample = "unsqueeze(f32[2,3], axes=[0,-1])"},
    {0},
};
