// ops_quant.c: quantised numbers: q stands for (q - zero) * scale.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

// Scale and zero point may be scalars (of rank 0 if there are blocks), hold one number per index along axis, or (block > 0) have the rank of x
// and one number per block along axis.
static bool check_params(Ctx *c, const Node *n, int k) {
  const Value *v = op_in(n, k);
  const Type *x = in_type(n, 0);
  int axis;
  int64_t block = attr_int(n, "block");
  if (!v || (type_elements(&v->type) == 1 && (block == 0 || v->type.rank == 0))) return true;
  if (!op_axis(c, n, "axis", attr_int(n, "axis"), x->rank, &axis)) return false;
  if (block < 0) return op_fail(c, n, "block is %lld", (long long)block);
  bool fits = block ? v->type.rank == x->rank : v->type.rank == 1;
  if (fits && !block) fits = dim_equal(v->type.dim[0], x->dim[axis]);
  for (int d = 0; fits && block && d < x->rank; d++)
    fits =
        d == axis ? v->type.dim[d].n >= ceil_div(x->dim[d].n, block) : dim_equal(v->type.dim[d], x->dim[d]);
  if (fits) return true;
  return op_fail(c, n, "%s is %s, does not fit x, %s, along axis %d", op_param(n->op, k)->name,
                 type_text(c, &v->type), type_text(c, x), axis);
}

static const Expr *read_param(Ctx *c, const Node *n, int k, const Expr *const *index) {
  Value *v = n->in[k];
  int64_t block = attr_int(n, "block");
  if (type_elements(&v->type) == 1) return ex_read_scalar(c, v);
  int rank = in_rank(n, 0), axis = op_axis_of(n, "axis", rank);
  if (!block) return ex_read(c, v, &index[axis], 1);
  const Expr *at[MAX_RANK];
  for (int d = 0; d < rank; d++)
    at[d] = d == axis ? ex_binary(c, E_FDIV, index[d], ex_idx(c, block)) : index[d];
  return ex_read_at(c, v, at);
}

static bool quantize_infer(Ctx *c, Node *n) {
  DType t = attr_dtype(n, "dtype");
  const Type *x = in_type(n, 0);
  const Value *zero = op_in(n, 2);
  if (t == DT_NONE) t = zero ? zero->type.dtype : DT_U8;
  if (!dtype_is_int(t)) return op_fail(c, n, "cannot quantise to %s", dtype_name(t));
  if (zero && zero->type.dtype != t)
    return op_fail(c, n, "zero is %s, the result %s", dtype_name(zero->type.dtype), dtype_name(t));
  return check_params(c, n, 1) && check_params(c, n, 2) && op_set_dtype(c, n, 0, t, x->rank, x->dim);
}

// Rounds half to even, then saturates (which the cast does).
static const Expr *quantize_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  DType scale_type = in_type(n, 1)->dtype, acc = scale_type == DT_F64 ? DT_F64 : DT_F32;
  const Expr *x = ex_cast(c, acc, ex_read_at(c, n->in[0], index));
  const Expr *q = ex_binary(c, E_DIV, x, ex_cast(c, acc, read_param(c, n, 1, index)));
  q = ex_unary(c, E_ROUND, q);
  if (op_in(n, 2)) q = ex_add(c, q, ex_cast(c, acc, read_param(c, n, 2, index)));
  return ex_cast(c, n->out[out]->type.dtype, q);
}

static bool dequantize_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  return check_params(c, n, 1) && check_params(c, n, 2) && op_set(c, n, 0, x->rank, x->dim);
}

static const Expr *dequantize_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  DType t = n->out[out]->type.dtype, acc = acc_dtype(t);
  const Expr *x = ex_cast(c, DT_I32, ex_read_at(c, n->in[0], index));
  if (op_in(n, 2)) x = ex_sub(c, x, ex_cast(c, DT_I32, read_param(c, n, 2, index)));
  return ex_cast(c, t, ex_mul(c, ex_cast(c, acc, x), ex_cast(c, acc, read_param(c, n, 1, index))));
}

static bool dynamic_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  return op_set(c, n, 0, x->rank, x->dim) && op_set(c, n, 1, 0, NULL) && op_set(c, n, 2, 0, NULL);
}

// The range is made to hold 0, so that 0 is represented exactly.
static bool dynamic_decompose(Builder *b, const Node *n, Value **out) {
  bool on[MAX_RANK];
  for (int d = 0; d < MAX_RANK; d++) on[d] = true;
  Value *high = mk_with(b, "max", mk_reduce(b, "reduce_max", n->in[0], on, false), 0);
  Value *low = mk_with(b, "min", mk_reduce(b, "reduce_min", n->in[0], on, false), 0);
  Value *scale = mk_with(b, "div", mk2(b, "sub", high, low), 255);
  scale = mk_where(b, mk_with(b, "equal", scale, 0), mk_scalar(b, DT_F32, 1), scale);
  Value *zero = mk1(b, "neg", mk2(b, "div", low, scale));
  zero = mk_cast(b, mk1(b, "round", zero), DT_U8);
  if (!scale || !zero) return false;
  out[0] = build(b, "quantize_linear", IN(n->in[0], scale, zero), NO_ATTRS);
  out[1] = scale;
  out[2] = zero;
  return out[0] != NULL;
}

// ---- numbers of a few bits ----------------------------------------------------------------------------------------

static bool unpack_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  int64_t bits = attr_int(n, "bits");
  int axis;
  Dim dims[MAX_RANK];
  if (!op_axis(c, n, "axis", attr_int(n, "axis"), x->rank, &axis)) return false;
  if (bits != 1 && bits != 2 && bits != 4 && bits != 8)
    return op_fail(c, n, "bits is %lld, must be 1, 2, 4 or 8", (long long)bits);
  memcpy(dims, x->dim, sizeof dims);
  dims[axis] = dim_binary(c, E_MUL, dims[axis], dim_const(32 / bits));
  return op_set(c, n, 0, x->rank, dims);
}

static const Expr *unpack_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  int64_t bits = attr_int(n, "bits");
  int rank = in_rank(n, 0), axis = op_axis_of(n, "axis", rank);
  const Expr *at[MAX_RANK], *each = ex_idx(c, 32 / bits);
  for (int d = 0; d < rank; d++) at[d] = d == axis ? ex_binary(c, E_FDIV, index[d], each) : index[d];
  const Expr *place = ex_mul(c, ex_binary(c, E_MOD, index[axis], each), ex_idx(c, bits));
  const Expr *x = ex_binary(c, E_SHR, ex_read_at(c, n->in[0], at), ex_cast(c, DT_U32, place));
  x = ex_binary(c, E_AND, x, ex_int(c, DT_U32, ((int64_t)1 << bits) - 1));
  return ex_cast(c, n->out[out]->type.dtype, x);
}

const OpInfo OPS_QUANT[] = {
    {.name = "unpack_bits",
     .group = "quantisation",
     .ins = "x:u32",
     .outs = "u8",
     .t = "any",
     .attrs = "axis:int=0, bits:int=4",
     .infer = unpack_infer,
     .define = unpack_define,
     .doc = "Numbers of a few bits (1, 2, 4 or 8), of which each element of x holds as many as fit, one "
            "behind the "
            "other along axis, the first in the lowest bits.",
     .sample = "unpack_bits(u32[2,3]); unpack_bits(u32[2,3], axis=1, bits=2)"},
    {.name = "quantize_linear",
     .group = "quantisation",
     .ins = "x:T, scale:U, zero:V?",
     .outs = "=dtype",
     .t = "float|i32, U:float, V:int",
     .attrs = "axis:int=1, block:int=0, dtype:dtype=none",
     .infer = quantize_infer,
     .define = quantize_define,
     .doc = "round(x / scale) + zero, halves to even, saturated to the result's type: dtype, or that of "
            "zero, or u8. "
            "scale and zero are scalars, hold one number per index along axis, or one per block of `block` "
            "elements.",
     .sample = "quantize_linear(f32[2,3], f32[], u8[]); quantize_linear(f32[2,3], f32[3], i8[3]); "
               "quantize_linear(f32[4,2], f32[2,2], axis=0, block=2, dtype=i16)"},
    {.name = "dequantize_linear",
     .group = "quantisation",
     .ins = "x:U, scale:T, zero:U?",
     .outs = "T",
     .t = "float, U:int",
     .attrs = "axis:int=1, block:int=0",
     .infer = dequantize_infer,
     .define = dequantize_define,
     .doc = "(x - zero) * scale, in the type of scale; operands as in quantize_linear.",
     .sample = "dequantize_linear(u8[2,3], f32[], u8[]); dequantize_linear(i8[2,3], f16[2], i8[2], axis=0); "
               "dequantize_linear(i8[2,6], f32[2,2], axis=1, block=3)"},
    {.name = "dynamic_quantize_linear",
     .group = "quantisation",
     .ins = "x:T",
     .outs = "u8, f32, u8",
     .t = "f32",
     .infer = dynamic_infer,
     .decompose = dynamic_decompose,
     .doc = "x quantised to u8 with the scale and zero point that cover its range: results q, scale, zero.",
     .sample = "dynamic_quantize_linear(f32[2,3])"},
    {0},
};
