// onnx_attention.c: heads, masks and scores of attention.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_attention.h"

#include <math.h>

// ---- heads ------------------------------------------------------------------------------------------------------

static const int64_t SWAP_MIDDLE[] = {0, 2, 1, 3};

Value *split_heads(Call *c, Value *x, int64_t heads) {
  if (rank_of(x) == 4) return x;
  if (rank_of(x) != 3 || heads < 1) return call_fail(c, "the number of heads is missing"), make_dummy(c);
  Dim each = dim_binary(call_ctx(c), E_FDIV, dim_of(x, 2), dim_const(heads));
  x = make_reshape(c, x, (Dim[]){dim_of(x, 0), dim_of(x, 1), dim_const(heads), each}, 4);
  return make_transpose(c, x, SWAP_MIDDLE);
}

Value *merge_heads(Call *c, Value *x) {
  Dim wide = dim_binary(call_ctx(c), E_MUL, dim_of(x, 1), dim_of(x, 3));
  Dim dims[] = {dim_of(x, 0), dim_of(x, 2), wide};
  return make_reshape(c, make_transpose(c, x, SWAP_MIDDLE), dims, 3);
}

Value *append_rows(Call *c, Value *past, Value *x) {
  return past ? make_concat(c, (Value *[]){past, x}, 2, 2) : x;
}

// Each head of k as often as heads of q share it.
static Value *repeat_heads(Call *c, Value *k, Dim heads) {
  if (dim_equal(dim_of(k, 1), heads)) return k;
  if (heads.sym || dim_of(k, 1).sym || dim_of(k, 1).n < 1 || heads.n % dim_of(k, 1).n)
    return call_fail(c, "its heads cannot share those of the keys"), k;
  int64_t axes[] = {2};
  Dim wide[] = {dim_of(k, 0), dim_of(k, 1), dim_const(heads.n / dim_of(k, 1).n), dim_of(k, 2), dim_of(k, 3)};
  Dim flat[] = {wide[0], heads, wide[3], wide[4]};
  k = make(c, "unsqueeze", IN(k), ATTRS(A_INTS("axes", axes, 1)));
  return make_reshape(c, make(c, "broadcast", IN(k), ATTRS(A_SHAPE("shape", wide, 5))), flat, 4);
}

// ---- masks ------------------------------------------------------------------------------------------------------

Value *length_mask(Call *c, Value *length, Dim l) {
  length = make_unsqueeze_last(c, make_cast(c, length, DT_I64), 3);
  return make_binary(c, "less", positions(c, l, 3, 0), length);
}

Value *mask_both(Call *c, Value *mask, Value *allowed, DType t) {
  if (!mask || !allowed) return mask ? mask : allowed;
  if (mask->type.dtype == DT_BOOL) return make_binary(c, "and", mask, allowed);
  return make(c, "where", IN(allowed, make_cast(c, mask, t), make_scalar(c, t, -INFINITY)), NO_ATTRS);
}

// ---- the whole ----------------------------------------------------------------------------------------------------

static double scale_of(Call *c, const Attention *a) {
  Dim d = dim_of(a->q, 3);
  if (a->scale == 0 && (d.sym || d.n < 1)) call_fail(c, "the size of its heads must be known");
  return a->scale != 0 ? a->scale : 1 / sqrt((double)d.n);
}

Value *attention_scores(Call *c, const Attention *a) {
  static const int64_t turn[] = {0, 1, 3, 2};
  if (rank_of(a->k) != 4 || rank_of(a->q) != 4) return call_fail(c, "its operands do not fit"), a->q;
  Value *k = make_transpose(c, repeat_heads(c, a->k, dim_of(a->q, 1)), turn);
  return make_binary(c, "matmul", make_scaled(c, a->q, scale_of(c, a)), k);
}

Value *attend(Call *c, const Attention *a) {
  if (c->failed) return a->q;
  Value *mask = a->mask;
  DType t = a->q->type.dtype;
  if (mask && mask->type.dtype != DT_BOOL) mask = make_cast(c, mask, t);
  Attr attrs[] = {
      A_FLOAT("scale", scale_of(c, a)), A_FLOAT("softcap", a->softcap), A_BOOL("causal", a->causal),
      A_INT("left", a->window),         A_SHAPE("offset", &a->past, 1),
  };
  return make(c, "attention", IN(a->q, a->k, a->v, mask), attrs, 5);
}
