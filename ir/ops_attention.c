// ops_attention.c: attention and rotary position embedding.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

#include <math.h>

// ---- attention --------------------------------------------------------------------------------------------------

// q [b,h,s,d], k [b,g,l,d], v [b,g,l,e], h a multiple of g; or [b,s,h*d] and so on with the numbers of heads given.
typedef struct Heads {
  bool packed; // three-dimensional
  Dim batch, s, l, d, e;
  int64_t h, g;
} Heads;

static bool split_heads(Ctx *c, const Node *n, int k, int64_t heads, Dim *each) {
  const Type *t = in_type(n, k);
  *each = dim_binary(c, E_FDIV, t->dim[2], dim_const(heads));
  if (dim_equal(dim_binary(c, E_MUL, *each, dim_const(heads)), t->dim[2])) return true;
  return op_fail(c, n, "%s is %s, does not divide into %lld heads", op_param(n->op, k)->name, type_text(c, t),
                 (long long)heads);
}

static bool heads_packed(Ctx *c, const Node *n, Heads *a) {
  a->h = attr_int(n, "heads");
  a->g = attr_int(n, "kv_heads") ? attr_int(n, "kv_heads") : a->h;
  if (a->h < 1 || a->g < 1) return op_fail(c, n, "three-dimensional operands need `heads`");
  Dim dk;
  a->s = in_type(n, 0)->dim[1];
  a->l = in_type(n, 1)->dim[1];
  return split_heads(c, n, 0, a->h, &a->d) && split_heads(c, n, 1, a->g, &dk) &&
         split_heads(c, n, 2, a->g, &a->e) && op_same_dim(c, n, a->d, dk, "head sizes of q and k") &&
         op_same_dim(c, n, a->l, in_type(n, 2)->dim[1], "lengths of k and v");
}

static bool heads_apart(Ctx *c, const Node *n, Heads *a) {
  const Type *q = in_type(n, 0), *k = in_type(n, 1), *v = in_type(n, 2);
  if (q->dim[1].sym || k->dim[1].sym) return op_fail(c, n, "the numbers of heads must be known");
  a->h = q->dim[1].n;
  a->g = k->dim[1].n;
  a->s = q->dim[2];
  a->l = k->dim[2];
  a->d = q->dim[3];
  a->e = v->dim[3];
  return op_same_dim(c, n, q->dim[3], k->dim[3], "head sizes of q and k") &&
         op_same_dim(c, n, k->dim[1], v->dim[1], "heads of k and v") &&
         op_same_dim(c, n, k->dim[2], v->dim[2], "lengths of k and v");
}

static bool heads_of(Ctx *c, const Node *n, Heads *a) {
  const Type *q = in_type(n, 0), *k = in_type(n, 1), *v = in_type(n, 2);
  bool fits = (q->rank == 3 || q->rank == 4) && k->rank == q->rank && v->rank == q->rank;
  if (!fits) return op_fail(c, n, "q, k and v must all have three or all four dimensions");
  a->packed = q->rank == 3;
  a->batch = q->dim[0];
  if (!op_same_dim(c, n, q->dim[0], k->dim[0], "batch extents of q and k") ||
      !op_same_dim(c, n, q->dim[0], v->dim[0], "batch extents of q and v") ||
      !(a->packed ? heads_packed(c, n, a) : heads_apart(c, n, a)))
    return false;
  if (a->g >= 1 && a->h % a->g == 0) return true;
  return op_fail(c, n, "%lld heads of q cannot share %lld heads of k", (long long)a->h, (long long)a->g);
}

static bool attention_infer(Ctx *c, Node *n) {
  Heads a;
  if (!heads_of(c, n, &a)) return false;
  const Value *mask = op_in(n, 3);
  const Attr *offset = node_attr(n, "offset");
  if (mask && mask->type.dtype != DT_BOOL && mask->type.dtype != in_type(n, 0)->dtype)
    return op_fail(c, n, "mask is %s, must be bool or of the type of q", type_text(c, &mask->type));
  if (mask) {
    Type scores = {.rank = 4, .dim = {a.batch, dim_const(a.h), a.s, a.l}}, both = {0};
    bool fits = type_broadcast(c, (const Type *[]){&scores, &mask->type}, 2, &both) && both.rank == 4;
    for (int d = 0; fits && d < 4; d++) fits = dim_equal(both.dim[d], scores.dim[d]);
    if (!fits)
      return op_fail(c, n, "mask is %s, does not broadcast to the scores", type_text(c, &mask->type));
  }
  if (offset->n > 1) return op_fail(c, n, "offset must be one extent");
  if (a.packed) return op_set(c, n, 0, 3, (Dim[]){a.batch, a.s, dim_binary(c, E_MUL, a.e, dim_const(a.h))});
  return op_set(c, n, 0, 4, (Dim[]){a.batch, dim_const(a.h), a.s, a.e});
}

// x as [b, heads, group, length, size], in the type that sums are taken in.
static Value *as_groups(Builder *b, Value *x, const Heads *a, int64_t heads, int64_t group, Dim length,
                        Dim size) {
  x = mk_cast(b, x, acc_dtype(x->type.dtype));
  if (a->packed) {
    x = mk_reshape(b, x, 4, (Dim[]){a->batch, length, dim_const(heads * group), size});
    x = mk_transpose(b, x, (int64_t[]){0, 2, 1, 3}, 4);
  }
  return mk_reshape(b, x, 5, (Dim[]){a->batch, dim_const(heads), dim_const(group), length, size});
}

// True where query i may see key j: j <= i + offset, i + offset - j <= left, j - i - offset <= right.
static Value *window_mask(Builder *b, const Node *n, const Heads *a) {
  const Attr *offset = node_attr(n, "offset");
  int64_t left = attr_int(n, "left"), right = attr_bool(n, "causal") ? 0 : attr_int(n, "right");
  if (left < 0 && right < 0) return NULL;
  Dim rows[2] = {a->s, dim_const(1)}, cols[2] = {dim_const(1), a->l};
  Value *i = build(b, "iota", NULL, 0, ATTRS(A_SHAPE("shape", rows, 2), A_INT("axis", 0)));
  Value *j = build(b, "iota", NULL, 0, ATTRS(A_SHAPE("shape", cols, 2), A_INT("axis", 1)));
  if (offset->n) {
    Value *shift = build(b, "extents", NULL, 0, ATTRS(A_SHAPE("of", offset->dims, 1)));
    i = mk2(b, "add", i, shift);
  }
  Value *ahead = mk2(b, "sub", j, i), *mask = NULL;
  if (right >= 0) mask = mk_with(b, "less_equal", ahead, (double)right);
  if (left >= 0) {
    Value *behind = mk_with(b, "less_equal", mk1(b, "neg", ahead), (double)left);
    mask = mask ? mk2(b, "and", mask, behind) : behind;
  }
  return mask;
}

// A mask that broadcasts to [b,h,s,l] as one that does to [b,g,group,s,l].
static Value *mask_groups(Builder *b, Value *mask, const Heads *a, int64_t group) {
  const Type *t = &mask->type;
  if (t->rank < 3) return mask;
  bool each = !t->dim[t->rank - 3].sym && t->dim[t->rank - 3].n > 1;
  Dim dims[5] = {t->rank == 4 ? t->dim[0] : dim_const(1), dim_const(each ? a->g : 1),
                 dim_const(each ? group : 1), t->dim[t->rank - 2], t->dim[t->rank - 1]};
  return mk_reshape(b, mask, 5, dims);
}

// Scores outside of the mask become -inf; a mask of numbers is added.
static Value *apply_mask(Builder *b, Value *scores, Value *mask) {
  if (!scores || !mask) return scores;
  DType t = scores->type.dtype;
  if (mask->type.dtype == DT_BOOL) return mk_where(b, mask, scores, mk_scalar(b, t, -INFINITY));
  return mk2(b, "add", scores, mk_cast(b, mask, t));
}

// Heads that share a key stay apart as a dimension [b,g,group,s,l] from end to end: one row of scores is the same
// row everywhere.
static bool attention_decompose(Builder *b, const Node *n, Value **out) {
  Heads a;
  if (!heads_of(b->ctx, n, &a)) return false;
  int64_t group = a.h / a.g;
  DType t = in_type(n, 0)->dtype;
  double scale = attr_float(n, "scale"), cap = attr_float(n, "softcap");
  if (scale == 0) scale = 1 / sqrt((double)a.d.n);
  Value *q = as_groups(b, n->in[0], &a, a.g, group, a.s, a.d),
        *k = as_groups(b, n->in[1], &a, a.g, 1, a.l, a.d);
  Value *v = as_groups(b, n->in[2], &a, a.g, 1, a.l, a.e);
  Value *scores =
      mk2(b, "matmul", mk_with(b, "mul", q, scale), mk_transpose(b, k, (int64_t[]){0, 1, 2, 4, 3}, 5));
  if (cap > 0) scores = mk_with(b, "mul", mk1(b, "tanh", mk_with(b, "div", scores, cap)), cap);
  if (op_in(n, 3)) scores = apply_mask(b, scores, mask_groups(b, n->in[3], &a, group));
  scores = apply_mask(b, scores, window_mask(b, n, &a));
  Value *weights = mk_softmax(b, scores, 4, true);
  Value *y = mk_reshape(b, mk2(b, "matmul", weights, v), 4, (Dim[]){a.batch, dim_const(a.h), a.s, a.e});
  if (a.packed) {
    y = mk_transpose(b, y, (int64_t[]){0, 2, 1, 3}, 4);
    y = mk_reshape(b, y, 3, n->out[0]->type.dim);
  }
  return (out[0] = mk_cast(b, y, t)) != NULL;
}

// ---- rope -------------------------------------------------------------------------------------------------------

// x is [b,h,s,d] or [b,s,h*d]. `size` is d, `turned` how many of the d are rotated.
static bool rope_sizes(Ctx *c, const Node *n, int64_t *size, int64_t *turned) {
  const Type *x = in_type(n, 0);
  int64_t heads = attr_int(n, "heads");
  if (x->rank != 3 && x->rank != 4)
    return op_fail(c, n, "x is %s, must have 3 or 4 dimensions", type_text(c, x));
  Dim last = x->dim[x->rank - 1];
  if (last.sym) return op_fail(c, n, "the last dimension of x must have a known extent");
  if (x->rank == 3 && (heads < 1 || last.n % heads))
    return op_fail(c, n, "x is %s, does not divide into %lld heads", type_text(c, x), (long long)heads);
  *size = x->rank == 3 ? last.n / heads : last.n;
  *turned = attr_int(n, "dims") ? attr_int(n, "dims") : *size;
  if (*turned >= 2 && *turned % 2 == 0 && *turned <= *size) return true;
  return op_fail(c, n, "cannot rotate %lld of %lld elements", (long long)*turned, (long long)*size);
}

static bool rope_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0), *cs = in_type(n, 1), *sn = in_type(n, 2);
  int64_t size, turned;
  if (!rope_sizes(c, n, &size, &turned)) return false;
  Dim s = x->dim[x->rank == 3 ? 1 : 2];
  bool fits = type_equal(cs, sn) && cs->rank >= 1 && dim_is(cs->dim[cs->rank - 1], turned / 2);
  if (op_in(n, 3)) {
    const Type *p = in_type(n, 3);
    fits =
        fits && cs->rank == 2 && p->rank == 2 && dim_equal(p->dim[0], x->dim[0]) && dim_equal(p->dim[1], s);
  } else {
    fits = fits && (cs->rank == 2 || (cs->rank == 3 && dim_equal(cs->dim[0], x->dim[0]))) &&
           dim_equal(cs->dim[cs->rank - 2], s);
  }
  if (fits) return op_infer_same(c, n);
  return op_fail(c, n, "cos and sin must be [%s%lld] each: x is %s, they are %s, %s",
                 op_in(n, 3) ? "positions," : "batch?,length,", (long long)(turned / 2), type_text(c, x),
                 type_text(c, cs), type_text(c, sn));
}

static const Expr *rope_angle(Ctx *c, const Node *n, int k, const Expr *batch, const Expr *pos,
                              const Expr *pair) {
  const Type *t = in_type(n, k);
  if (op_in(n, 3)) {
    const Expr *where[2] = {batch, pos};
    pos = ex_safe_index(c, ex_read(c, n->in[3], where, 2), ex_dim(c, t, 0));
  }
  const Expr *at[3] = {batch, pos, pair};
  return ex_acc(c, ex_read_at(c, n->in[k], t->rank == 3 ? at : at + 1));
}

// Su et al. 2021: pairs of elements are turned by an angle; elements of a pair lie side by side (interleaved) or
// half of the rotated part apart.
static const Expr *rope_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Type *x = in_type(n, 0);
  int64_t size, turned;
  rope_sizes(c, n, &size, &turned);
  int last = x->rank - 1;
  const Expr *d = index[last], *zero = ex_idx(c, 0), *one = ex_idx(c, 1), *at[MAX_RANK];
  if (x->rank == 3) d = ex_binary(c, E_MOD, d, ex_idx(c, size));
  const Expr *half = ex_idx(c, turned / 2), *two = ex_idx(c, 2), *pair, *second, *away;
  if (attr_bool(n, "interleaved")) {
    pair = ex_binary(c, E_FDIV, d, two);
    second = ex_binary(c, E_EQ, ex_binary(c, E_MOD, d, two), one);
    away = one;
  } else {
    pair = ex_binary(c, E_MOD, d, half);
    second = ex_binary(c, E_LE, half, d);
    away = half;
  }
  if (turned < size) pair = ex_clamp(c, pair, zero, ex_sub(c, half, one));
  for (int i = 0; i < last; i++) at[i] = index[i];
  at[last] = ex_clamp(c, ex_add(c, index[last], ex_select(c, second, ex_sub(c, zero, away), away)), zero,
                      ex_sub(c, ex_dim(c, x, last), one));
  const Expr *own = ex_acc(c, ex_read_at(c, n->in[0], index)),
             *other = ex_acc(c, ex_read_at(c, n->in[0], at));
  const Expr *pos = index[x->rank == 3 ? 1 : 2];
  const Expr *cosine = rope_angle(c, n, 1, index[0], pos, pair),
             *sine = rope_angle(c, n, 2, index[0], pos, pair);
  const Expr *cross = ex_mul(c, other, sine);
  cross = ex_select(c, second, cross, ex_unary(c, E_NEG, cross));
  const Expr *y = ex_add(c, ex_mul(c, own, cosine), cross);
  if (turned < size) y = ex_select(c, ex_binary(c, E_LT, d, ex_idx(c, turned)), y, own);
  return ex_cast(c, n->out[out]->type.dtype, y);
}

const OpInfo OPS_ATTENTION[] = {
    {.name = "attention",
     .group = "attention",
     .ins = "q:T, k:T, v:T, mask:U?",
     .outs = "T",
     .t = "float, U:float|bool",
     .attrs = "scale:float=0, causal:bool=false, softcap:float=0, heads:int=0, kv_heads:int=0, left:int=-1, "
              "right:int=-1, offset:shape=[]",
     .infer = attention_infer,
     .decompose = attention_decompose,
     .doc =
         "softmax(q k^T * scale + mask) v for each head of q [b,h,s,d], k [b,g,l,d], v [b,g,l,e]; h/g heads "
         "of q "
         "share one of k and v. Packed as [b,s,h*d] they need heads (and kv_heads). scale is 1/sqrt(d) if 0; "
         "softcap bounds the scores by tanh. A bool mask says what may be seen, another is added. Query i "
         "stands "
         "at position i + offset; causal hides later keys, left and right (if not negative) those further "
         "away. "
         "Where nothing may be seen the result is 0.",
     .sample =
         "attention(f32[1,2,3,4], f32[1,2,5,4], f32[1,2,5,3]); attention(f32[2,3,8], f32[2,4,4], f32[2,4,4], "
         "heads=4, kv_heads=2, causal=true, offset=[1]); attention(f32[1,2,3,4], f32[1,2,3,4], f32[1,2,3,4], "
         "bool[3,3], scale=0.3, softcap=2)"},
    {.name = "rope",
     .group = "attention",
     .ins = "x:T, cos:T, sin:T, positions:U?",
     .outs = "T",
     .t = "float, U:int",
     .attrs = "heads:int=0, dims:int=0, interleaved:bool=false",
     .infer = rope_infer,
     .define = rope_define,
     .doc = "Rotary position embedding of x [b,h,s,d] or [b,s,heads*d]: the first dims (0: all) elements of "
            "each head "
            "in pairs, turned by the angles with the given cosines and sines [length,dims/2], or "
            "[b,length,dims/2], "
            "or [max,dims/2] looked up by positions [b,s].",
     .sample =
         "rope(f32[1,2,3,4], f32[3,2], f32[3,2]); rope(f32[2,3,8], f32[5,1], f32[5,1], i64[2,3], heads=2, "
         "dims=2, interleaved=true)"},
    {0},
};
