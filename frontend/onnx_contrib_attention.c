// onnx_contrib_attention.c: attention in the forms of the domain com.microsoft.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_attention.h"

#include <math.h>

#define MS "com.microsoft"

// ---- masks ------------------------------------------------------------------------------------------------------

static Value *not_zero(Call *c, Value *v) {
  return v->type.dtype == DT_BOOL ? v : make_binary(c, "not_equal", v, make_like(c, v, 0));
}

// A mask operand as bool that broadcasts to [b,h,s,l]: lengths [b], or flags [b,l], [b,s,l] or [b,1,s,l]. Keys that
// it hides get `filter` added, which is no infinity: where all are hidden, all count alike.
static Value *key_mask(Call *c, Value *mask, const Attention *a, double filter) {
  DType t = a->q->type.dtype;
  int64_t axes2[] = {1, 2}, axes3[] = {1};
  if (rank_of(mask) == 1) {
    if (!dim_equal(dim_of(mask, 0), dim_of(a->q, 0)))
      return call_fail(c, "a mask of begins and ends of the keys is not supported"), mask;
    mask = length_mask(c, mask, dim_of(a->k, 2));
  } else if (rank_of(mask) == 2) {
    mask = make(c, "unsqueeze", IN(not_zero(c, mask)), ATTRS(A_INTS("axes", axes2, 2)));
  } else if (rank_of(mask) == 3) {
    mask = make(c, "unsqueeze", IN(not_zero(c, mask)), ATTRS(A_INTS("axes", axes3, 1)));
  } else {
    return call_fail(c, "a mask with %d dimensions is not supported", rank_of(mask)), mask;
  }
  return make(c, "where", IN(mask, make_scalar(c, t, 0), make_scalar(c, t, filter)), NO_ATTRS);
}

// The mask and what is added to the scores, together.
static Value *whole_mask(Call *c, Value *mask, Value *bias, const Attention *a) {
  double filter = attr_f(c, "mask_filter_value", -10000);
  if (mask) mask = key_mask(c, mask, a, filter);
  return mask && bias ? make_binary(c, "add", mask, bias) : mask ? mask : bias;
}

// ---- Attention --------------------------------------------------------------------------------------------------

// The widths of q, k and v in the joint projection.
static bool widths(Call *c, Value *weights, int64_t *w) {
  const int64_t *given;
  int n = attr_is(c, "qkv_hidden_sizes", &given);
  Dim all = dim_of(weights, 1);
  if (n != 0 && n != 3) return call_fail(c, "qkv_hidden_sizes must be three numbers");
  if (all.sym || rank_of(weights) != 2) return call_fail(c, "its weights must be a matrix of known extents");
  for (int i = 0; i < 3; i++) w[i] = n ? given[i] : all.n / 3;
  return w[0] > 0 && w[1] > 0 && w[2] > 0 && w[0] + w[1] + w[2] == all.n
             ? true
             : call_fail(c, "its weights do not fit");
}

// Part k (0 or 1) of [2,b,h,l,d].
static Value *past_part(Call *c, Value *past, int64_t k) {
  int64_t axes[] = {0};
  return past ? make(c, "squeeze", IN(make_slice(c, past, 0, k, k + 1)), ATTRS(A_INTS("axes", axes, 1)))
              : NULL;
}

// Input, weights, bias, mask, past, what is added to the scores.
static bool ms_attention(Call *c) {
  Value *weights = arg(c, 1), *past = arg_opt(c, 4), *bias = arg_opt(c, 2), *part[3];
  int64_t heads = attr_i(c, "num_heads", 0), w[3], at = 0;
  if (attr_i(c, "do_rotary", 0) || has_arg(c, 6))
    return call_fail(c, "rotation and shared buffers are not supported here");
  if (c->failed || !widths(c, weights, w)) return false;
  Value *x = make(c, "linear", IN(arg(c, 0), weights, bias), NO_ATTRS);
  for (int i = 0; i < 3; i++) {
    part[i] = split_heads(c, make_slice(c, x, 2, at, at + w[i]), heads);
    at += w[i];
  }
  Attention a = {.q = part[0],
                 .k = append_rows(c, past_part(c, past, 0), part[1]),
                 .v = append_rows(c, past_part(c, past, 1), part[2]),
                 .scale = attr_f(c, "scale", 0),
                 .causal = attr_i(c, "unidirectional", 0),
                 .window = -1,
                 .past = past ? dim_of(past, 3) : dim_const(0)};
  if (c->failed) return false;
  a.mask = whole_mask(c, arg_opt(c, 3), arg_opt(c, 5), &a);
  ret(c, 0, merge_heads(c, attend(c, &a)));
  if (!wants(c, 1)) return !c->failed;
  return ret(c, 1, make(c, "stack", IN(a.k, a.v), ATTRS(A_INT("axis", 0))));
}

// ---- MultiHeadAttention -----------------------------------------------------------------------------------------

// Part k of [b,s,h,n,d], which holds n things side by side: [b,h,s,d].
static Value *packed_part(Call *c, Value *x, int64_t k) {
  static const int64_t order[] = {0, 2, 1, 3};
  int64_t axes[] = {3};
  x = make(c, "squeeze", IN(make_slice(c, x, 3, k, k + 1)), ATTRS(A_INTS("axes", axes, 1)));
  return make_transpose(c, x, order);
}

// Operand x with its part of the bias, as [b,h,l,d]; one with four dimensions has neither need.
static Value *head_operand(Call *c, Value *x, Value *bias, int64_t from, int64_t heads) {
  if (rank_of(x) == 4) return x;
  int64_t width = dim_of(x, 2).n;
  if (bias) x = make_binary(c, "add", x, make_slice(c, bias, 0, from, from + width));
  return split_heads(c, x, heads);
}

static bool mha_operands(Call *c, Attention *a, int64_t heads) {
  Value *q = arg(c, 0), *k = arg_opt(c, 1), *v = arg_opt(c, 2), *bias = arg_opt(c, 3);
  bool packed_q = rank_of(q) == 5, packed_k = k && rank_of(k) == 5;
  if (c->failed) return false;
  if (packed_q || packed_k) {
    if (bias) return call_fail(c, "a bias for packed operands is not supported");
    a->q = packed_q ? packed_part(c, q, 0) : split_heads(c, q, heads);
    a->k = packed_part(c, packed_q ? q : k, packed_q);
    a->v = packed_part(c, packed_q ? q : k, packed_q + 1);
    return !c->failed;
  }
  if (!k || !v) return call_fail(c, "its keys or values are missing");
  if (rank_of(q) != 3 || dim_of(q, 2).sym) return call_fail(c, "its first operand must be [b,s,n]");
  int64_t width = dim_of(q, 2).n;
  a->q = head_operand(c, q, bias, 0, heads);
  a->k = head_operand(c, k, bias, width, heads);
  a->v = head_operand(c, v, bias, 2 * width, heads);
  return !c->failed;
}

// q, k, v, bias, mask of keys, what is added to the scores, past keys and values.
static bool multi_head_attention(Call *c) {
  Value *past_k = arg_opt(c, 6), *past_v = arg_opt(c, 7);
  Attention a = {.scale = attr_f(c, "scale", 0),
                 .causal = attr_i(c, "unidirectional", 0),
                 .window = -1,
                 .past = past_k ? dim_of(past_k, 2) : dim_const(0)};
  if (has_arg(c, 8) || has_arg(c, 9)) return call_fail(c, "shared buffers are not supported");
  if (!mha_operands(c, &a, attr_i(c, "num_heads", 0))) return false;
  a.k = append_rows(c, past_k, a.k);
  a.v = append_rows(c, past_v, a.v);
  a.mask = whole_mask(c, arg_opt(c, 4), arg_opt(c, 5), &a);
  ret(c, 0, merge_heads(c, attend(c, &a)));
  return ret(c, 1, a.k) && ret(c, 2, a.v);
}

// ---- RotaryEmbedding, GroupQueryAttention -----------------------------------------------------------------------

// x turned by the angles of its positions: [b,s], or [1], the first one's.
static Value *rotated(Call *c, Value *x, Value *places, Value *cosine, Value *sine, const Attr *attrs,
                      int n) {
  bool flat = rank_of(x) == 3;
  Dim shape[] = {dim_of(x, 0), dim_of(x, flat ? 1 : 2)};
  places = make_cast(c, places, DT_I64);
  if (rank_of(places) < 2)
    places = make_binary(c, "add", scalar_if_one(c, places), positions(c, shape[1], 1, 0));
  places = make(c, "broadcast", IN(places), ATTRS(A_SHAPE("shape", shape, 2)));
  return make(c, "rope", IN(x, cosine, sine, places), attrs, n);
}

static bool ms_rotary(Call *c) {
  Value *x = arg(c, 0), *cosine = arg(c, 2);
  int64_t dims = attr_i(c, "rotary_embedding_dim", 0), heads = attr_i(c, "num_heads", 0);
  Dim last = dim_of(x, rank_of(x) - 1), half = dim_of(cosine, 1);
  if (c->failed || last.sym || half.sym || half.n < 1) return call_fail(c, "its extents must be known");
  // Without a number of heads each is as wide as the table of cosines says.
  if (heads == 0 && rank_of(x) == 3) heads = last.n / (2 * half.n);
  Attr attrs[] = {A_INT("heads", heads), A_INT("dims", dims),
                  A_BOOL("interleaved", attr_i(c, "interleaved", 0))};
  Value *y = rotated(c, x, arg(c, 1), cosine, arg(c, 3), attrs, 3);
  return ret(c, 0, make_scaled(c, y, attr_f(c, "scale", 1)));
}

// New rows x [b,g,s,d] in a buffer that holds past [b,g,p,d], from row `at` [b] on; `length` rows in all.
static Value *write_rows(Call *c, Value *past, Value *x, Value *at, Dim length) {
  Ctx *ctx = call_ctx(c);
  Dim p = past ? dim_of(past, 2) : dim_const(0), shape[] = {dim_of(x, 0), dim_of(x, 1), length, dim_of(x, 3)};
  Value *row = make_binary(c, "sub", positions(c, length, 2, 1), make_unsqueeze_last(c, at, 3));
  Value *zero = make_scalar(c, DT_I64, 0),
        *n = make(c, "extents", NULL, 0, ATTRS(A_SHAPE("of", &x->type.dim[2], 1)));
  Value *inside =
      make_binary(c, "and", make_binary(c, "less_equal", zero, row), make_binary(c, "less", row, n));
  Value *safe = make_binary(c, "min", make_binary(c, "max", row, zero),
                            make_binary(c, "sub", n, make_scalar(c, DT_I64, 1)));
  safe = make(c, "broadcast", IN(safe), ATTRS(A_SHAPE("shape", shape, 4)));
  Value *moved = make(c, "gather_elements", IN(x, safe), ATTRS(A_INT("axis", 2)));
  Value *old = make_like(c, x, 0);
  if (past && dim_equal(p, length)) {
    old = past;
  } else if (past) {
    Dim more[] = {shape[0], shape[1], dim_binary(ctx, E_SUB, length, p), shape[3]};
    Value *rest = make(c, "broadcast", IN(make_like(c, x, 0)), ATTRS(A_SHAPE("shape", more, 4)));
    old = append_rows(c, past, rest);
  }
  return make(c, "where", IN(inside, moved, old), NO_ATTRS);
}

// The rows that the buffers have after the call: as the total says if it is known, else those of before and the new.
static Dim buffer_rows(Call *c, Value *past, Value *x) {
  Dim p = past ? dim_of(past, 2) : dim_const(0);
  Value *total = arg(c, 6);
  if (total->data && type_elements(&total->type) == 1)
    return dim_binary(call_ctx(c), E_MAX, p, dim_const(tensor_get_int(total->data, 0)));
  return dim_binary(call_ctx(c), E_ADD, p, dim_of(x, 2));
}

// True where query i of sample b, which stands at at[b] + i, may see key j.
static Value *sample_mask(Call *c, Value *at, Dim s, Dim l, int64_t window) {
  Value *row = make_binary(c, "add", positions(c, s, 2, 1), make_unsqueeze_last(c, at, 3));
  Value *behind = make_binary(c, "sub", row, positions(c, l, 3, 0));
  Value *seen = make_binary(c, "less_equal", make_scalar(c, DT_I64, 0), behind);
  if (window < 0) return seen;
  return make_binary(c, "and", seen, make_binary(c, "less", behind, make_scalar(c, DT_I64, (double)window)));
}

// q, k, v, past keys and values, each sample's last row, total rows, cosines, sines.
static bool group_query_attention(Call *c) {
  int64_t heads = attr_i(c, "num_heads", 0), groups = attr_i(c, "kv_num_heads", 0);
  Value *q = arg(c, 0), *k = arg_opt(c, 1), *v = arg_opt(c, 2), *past[] = {arg_opt(c, 3), arg_opt(c, 4)};
  if (has_arg(c, 9) || has_arg(c, 10) || has_arg(c, 11))
    return call_fail(c, "positions, biases and sinks as operands are not supported");
  if (c->failed || heads < 1 || groups < 1 || heads % groups)
    return call_fail(c, "its numbers of heads do not fit");
  if (!k) { // all three side by side
    int64_t each = dim_of(q, 2).n / (heads + 2 * groups), from = heads * each, to = from + groups * each;
    k = make_slice(c, q, 2, from, to);
    v = make_slice(c, q, 2, to, to + groups * each);
    q = make_slice(c, q, 2, 0, from);
  }
  Value *x[] = {split_heads(c, q, heads), split_heads(c, k, groups), split_heads(c, v ? v : k, groups)};
  if (c->failed) return false;
  // A prompt shorter than the others of its batch begins at row 0 all the same.
  Value *last = make_cast(c, arg(c, 5), DT_I64), *zero = make_scalar(c, DT_I64, 0);
  Value *n = make(c, "extents", NULL, 0, ATTRS(A_SHAPE("of", &x[0]->type.dim[2], 1)));
  Dim batch = dim_of(q, 0);
  last = make_reshape(c, last, &batch, 1);
  Value *at = make_binary(c, "add", make_binary(c, "sub", last, n), make_scalar(c, DT_I64, 1));
  at = make_binary(c, "max", at, zero);
  if (attr_i(c, "do_rotary", 0)) {
    Attr attrs[] = {A_INT("heads", 0), A_INT("dims", 2 * dim_of(arg(c, 7), 1).n),
                    A_BOOL("interleaved", attr_i(c, "rotary_interleaved", 0))};
    Value *places = make_binary(c, "add", make_unsqueeze_last(c, at, 1), positions(c, dim_of(x[0], 2), 1, 0));
    for (int i = 0; i < 2; i++) x[i] = rotated(c, x[i], places, arg(c, 7), arg(c, 8), attrs, 3);
  }
  Dim length = buffer_rows(c, past[0], x[1]);
  Attention a = {.q = x[0],
                 .k = write_rows(c, past[0], x[1], at, length),
                 .v = write_rows(c, past[1], x[2], at, length),
                 .scale = attr_f(c, "scale", 0),
                 .softcap = attr_f(c, "softcap", 0),
                 .window = -1,
                 .past = dim_const(0)};
  a.mask = sample_mask(c, at, dim_of(a.q, 2), length, attr_i(c, "local_window_size", -1));
  ret(c, 0, merge_heads(c, attend(c, &a)));
  return ret(c, 1, a.k) && ret(c, 2, a.v);
}

const OnnxOp ONNX_OPS_CONTRIB_ATTENTION[] = {
    {MS, "Attention", ms_attention, NULL},
    {MS, "MultiHeadAttention", multi_head_attention, NULL},
    {MS, "GroupQueryAttention", group_query_attention, NULL},
    {MS, "RotaryEmbedding", ms_rotary, NULL},
    {0},
};
