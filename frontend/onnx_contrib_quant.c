// onnx_contrib_quant.c: operators on quantised numbers of the domain com.microsoft.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

#include <math.h>

#define MS "com.microsoft"

// ---- by way of floats -------------------------------------------------------------------------------------------

// Operands k, k+1, k+2 (numbers, scale, zero point) as floats; the scale is one number or one for each index along
// `axis`.
static Value *real(Call *c, int k, int axis) {
  Value *x = arg(c, k), *scale = scalar_if_one(c, arg(c, k + 1)), *zero = scalar_if_one(c, arg_opt(c, k + 2));
  return make(c, "dequantize_linear", IN(x, scale, zero), ATTRS(A_INT("axis", axis)));
}

// y quantised with the scale and zero point of operands k and k+1; without the latter, to the type of `like`.
static bool give(Call *c, Value *y, int k, const Value *like) {
  Value *zero = scalar_if_one(c, arg_opt(c, k + 1));
  Attr t = A_DTYPE("dtype", zero ? zero->type.dtype : like->type.dtype);
  return ret(c, 0, make(c, "quantize_linear", IN(y, scalar_if_one(c, arg(c, k)), zero), &t, 1));
}

static bool qlinear_binary(Call *c) {
  return give(c, make_binary(c, c->op->arg, real(c, 0, 0), real(c, 3, 0)), 6, arg(c, 0));
}

static bool qlinear_sigmoid(Call *c) {
  return give(c, make_unary(c, "sigmoid", real(c, 0, 0)), 3, arg(c, 0));
}

static bool qlinear_leaky_relu(Call *c) {
  Value *y = make(c, "leaky_relu", IN(real(c, 0, 0)), ATTRS(A_FLOAT("alpha", attr_f(c, "alpha", 0.01))));
  return give(c, y, 3, arg(c, 0));
}

// Before operator set 13 all dimensions from the axis on counted as one.
static bool qlinear_softmax(Call *c) {
  Value *x = real(c, 0, 0);
  int64_t set = attr_i(c, "opset", 13);
  int axis = axis_of(c, attr_i(c, "axis", set < 13 ? 1 : -1), rank_of(x));
  if (set < 13 && axis != rank_of(x) - 1) {
    Value *flat = make(c, "flatten", IN(x), ATTRS(A_INT("axis", axis)));
    flat = make(c, "softmax", IN(flat), ATTRS(A_INT("axis", 1)));
    return give(c, make_reshape(c, flat, x->type.dim, rank_of(x)), 3, arg(c, 0));
  }
  return give(c, make(c, "softmax", IN(x), ATTRS(A_INT("axis", axis))), 3, arg(c, 0));
}

static bool qlinear_reduce_mean(Call *c) {
  const int64_t *axes;
  int n = attr_is(c, "axes", &axes);
  Attr attrs[] = {A_INTS("axes", axes, n), A_BOOL("keepdims", attr_i(c, "keepdims", 1))};
  return give(c, make(c, "reduce_mean", IN(real(c, 0, 0)), attrs, 2), 3, arg(c, 0));
}

static bool qlinear_concat(Call *c) {
  int n = (c->nin - 2) / 3;
  Value **v = NEW_ARRAY(call_arena(c), Value *, n + 1);
  for (int i = 0; i < n; i++) v[i] = real(c, 2 + 3 * i, 0);
  return n < 1 ? call_fail(c, "it has no operands")
               : give(c, make_concat(c, v, n, (int)attr_i(c, "axis", 0)), 0, arg(c, 2));
}

static bool qlinear_where(Call *c) {
  return give(c, make(c, "where", IN(arg(c, 0), real(c, 1, 0), real(c, 4, 0)), NO_ATTRS), 7, arg(c, 1));
}

// ---- pooling ----------------------------------------------------------------------------------------------------

// x with channels brought from the end to their usual place, or back.
static Value *move_channels(Call *c, Value *x, bool to_front) {
  int64_t perm[MAX_RANK] = {0};
  int rank = rank_of(x);
  for (int d = 1; d < rank; d++)
    perm[d] = to_front ? (d == 1 ? rank - 1 : d - 1) : (d == rank - 1 ? 1 : d + 1);
  return make_transpose(c, x, perm);
}

// Pools operand 0 in floats by the operator of the default domain that the row names.
static bool qlinear_pool(Call *c) {
  bool last = attr_i(c, "channels_last", 0);
  Value *x = real(c, 0, 0);
  if (last) x = move_channels(c, x, true);
  Val **in = arena_dup(call_arena(c), c->in, (size_t)(c->nin + 1) * sizeof *in);
  if (c->failed) return false;
  in[0] = val_tensor(c->im, c->in[0]->name, x, onnx_elem_of(x->type.dtype));
  Val **own = c->in;
  c->in = in;
  bool ok = call_as(c, c->op->arg, 1);
  c->in = own;
  if (!ok) return false;
  Value *y = c->out[0]->v;
  return give(c, last ? move_channels(c, y, false) : y, 3, arg(c, 0));
}

static bool qlinear_conv_last(Call *c) {
  if (!attr_i(c, "channels_last", 0)) return call_as(c, "QLinearConv", c->nin);
  Val **in = arena_dup(call_arena(c), c->in, (size_t)(c->nin + 1) * sizeof *in);
  Value *x = move_channels(c, arg(c, 0), true);
  if (c->failed) return false;
  in[0] = val_tensor(c->im, c->in[0]->name, x, arg_elem(c, 0));
  c->in = in;
  if (!call_as(c, "QLinearConv", c->nin)) return false;
  return ret(c, 0, move_channels(c, c->out[0]->v, false));
}

// ---- products ---------------------------------------------------------------------------------------------------

// Scales of one number per column (or row) stand where they multiply a product.
static Value *column_scale(Call *c, int k) {
  return scalar_if_one(c, arg(c, k));
}

static Value *with_bias(Call *c, Value *y, int k) {
  Value *bias = arg_opt(c, k);
  return bias ? make_binary(c, "add", y, bias) : y;
}

// A, B, scale of A, scale of B, zero of A, zero of B, bias.
static bool matmul_integer_to_float(Call *c) {
  Value *zeros[] = {scalar_if_one(c, arg_opt(c, 4)), scalar_if_one(c, arg_opt(c, 5))};
  Value *acc = make(c, "matmul_integer", IN(arg(c, 0), arg(c, 1), zeros[0], zeros[1]), NO_ATTRS);
  Value *scale = make_binary(c, "mul", column_scale(c, 2), column_scale(c, 3));
  Value *y = make_binary(c, "mul", make_cast(c, acc, scale->type.dtype), scale);
  return ret(c, 0, with_bias(c, y, 6));
}

// A in floats, quantised on the spot; B, its scale, its zero point, bias.
static bool dynamic_quantize_matmul(Call *c) {
  Value **a = make_all(c, "dynamic_quantize_linear", IN(arg(c, 0)), NO_ATTRS, 3);
  Value *zero = scalar_if_one(c, arg_opt(c, 3));
  Value *acc = make(c, "matmul_integer", IN(a[0], arg(c, 1), a[2], zero), NO_ATTRS);
  Value *scale = make_binary(c, "mul", a[1], column_scale(c, 2));
  Value *y = make_binary(c, "mul", make_cast(c, acc, DT_F32), scale);
  return ret(c, 0, with_bias(c, y, 4));
}

// alpha * A' B' + C with quantised A and B, C in units of their scales' product; floats if there is no result scale.
static bool qgemm(Call *c) {
  static const int64_t turn[] = {1, 0};
  Value *a = arg(c, 0), *b = arg(c, 3), *bias = arg_opt(c, 6);
  if (c->failed || rank_of(a) != 2 || rank_of(b) != 2) return call_fail(c, "its operands must be matrices");
  if (attr_i(c, "transA", 0)) a = make_transpose(c, a, turn);
  if (attr_i(c, "transB", 0)) b = make_transpose(c, b, turn);
  Value *zeros[] = {scalar_if_one(c, arg_opt(c, 2)), scalar_if_one(c, arg_opt(c, 5))};
  Value *acc = make(c, "matmul_integer", IN(a, b, zeros[0], zeros[1]), NO_ATTRS);
  if (bias) acc = make_binary(c, "add", acc, bias);
  Value *scale = make_binary(c, "mul", column_scale(c, 1), column_scale(c, 4));
  Value *y = make_scaled(c, make_binary(c, "mul", make_cast(c, acc, DT_F32), scale), attr_f(c, "alpha", 1));
  return has_arg(c, 7) ? give(c, y, 7, a) : ret(c, 0, y);
}

// ---- weights of a few bits ----------------------------------------------------------------------------------------

// Element i of a row of packed numbers.
static int packed_at(const uint8_t *row, int64_t i, int bits) {
  int64_t at = i * bits;
  return row[at / 8] >> (at % 8) & ((1 << bits) - 1);
}

typedef struct Blocks {
  int64_t n, k, size, count; // rows, elements of a row, elements of a block, blocks of a row
  int bits;
} Blocks;

// The packed numbers as u8 [n, k], unpacked once and for all. `row_bytes` lie between rows.
static Value *unpack(Call *c, const Tensor *packed, int64_t rows, int64_t cols, int64_t row_bytes, int bits) {
  Type type = type_make(DT_U8, 2, (int64_t[]){rows, cols});
  if (!type_check_size(call_ctx(c), c->loc, &type)) return c->failed = true, make_dummy(c);
  Tensor *t = tensor_new(call_ctx(c), &type);
  uint8_t *to = tensor_data(t);
  for (int64_t r = 0; r < rows; r++) {
    const uint8_t *row = (const uint8_t *)packed->data + r * row_bytes;
    for (int64_t i = 0; i < cols; i++) *to++ = (uint8_t)packed_at(row, i, bits);
  }
  return make_const(c, t);
}

static bool read_blocks(Call *c, Blocks *b) {
  *b = (Blocks){.n = attr_i(c, "N", 0),
                .k = attr_i(c, "K", 0),
                .size = attr_i(c, "block_size", 32),
                .bits = (int)attr_i(c, "bits", 4)};
  if (b->bits != 2 && b->bits != 4 && b->bits != 8) return call_fail(c, "weights of %d bits", b->bits);
  if (b->n < 1 || b->k < 1 || b->size < 16 || b->size > 1 << 20 || b->size % 8)
    return call_fail(c, "its attributes do not fit");
  b->count = ceil_div(b->k, b->size);
  return true;
}

// Zero points as u8 [n,count], or NULL for those that lie in the middle. They may be floats.
static Value *block_zeros(Call *c, const Blocks *b, DType t) {
  Value *zero = arg_opt(c, 3);
  if (!zero) return make_scalar(c, t, 1 << (b->bits - 1));
  Dim shape[] = {dim_const(b->n), dim_const(b->count), dim_const(1)};
  if (dtype_is_float(zero->type.dtype)) return make_reshape(c, make_cast(c, zero, t), shape, 3);
  int64_t row = ceil_div(b->count * b->bits, 8);
  if (!zero->data || (int64_t)zero->data->bytes < b->n * row) {
    call_fail(c, "its zero points must be a constant of %lld bytes", (long long)(b->n * row));
    return zero;
  }
  zero = unpack(c, zero->data, b->n, b->count, row, b->bits);
  return make_reshape(c, make_cast(c, zero, t), shape, 3);
}

// The weights [n, count * size] as they are kept, behind the ops that make numbers of them; NULL: not of this form.
static Value *packed_weights(Call *c, const Blocks *b, const Tensor *packed, DType t) {
  Value *zero = arg_opt(c, 3);
  int64_t row = b->count * b->size * b->bits / 8, cols = row / 4;
  bool fits = (b->bits == 2 || b->bits == 4) && row % 4 == 0 && b->size * b->bits % 32 == 0;
  if (!fits || (zero && (zero->type.dtype != DT_U8 || !zero->data))) return NULL;
  Type type = type_make(DT_U32, 2, (int64_t[]){b->n, cols});
  Value *q = make_const(c, tensor_view(call_ctx(c), &type, packed->data));
  q = make(c, "unpack_bits", IN(q), ATTRS(A_INT("axis", 1), A_INT("bits", b->bits)));
  Dim each[] = {dim_const(b->n), dim_const(b->count)};
  int64_t zero_row = ceil_div(b->count * b->bits, 8);
  if (zero && (int64_t)zero->data->bytes < b->n * zero_row) return NULL;
  zero = zero ? unpack(c, zero->data, b->n, b->count, zero_row, b->bits)
              : make_scalar(c, DT_U8, 1 << (b->bits - 1));
  Value *scale = make_reshape(c, make_cast(c, arg(c, 2), t), each, 2);
  return make(c, "dequantize_linear", IN(q, scale, zero), ATTRS(A_INT("axis", 1), A_INT("block", b->size)));
}

static Value *unpacked_weights(Call *c, const Blocks *b, const Tensor *packed, DType t) {
  int64_t row = b->count * b->size * b->bits / 8;
  Dim split[] = {dim_const(b->n), dim_const(b->count), dim_const(b->size)},
      flat[] = {split[0], dim_const(b->count * b->size)}, each[] = {split[0], split[1], dim_const(1)};
  Value *q = unpack(c, packed, b->n, b->count * b->size, row, b->bits);
  Value *w = make_cast(c, make_reshape(c, q, split, 3), t);
  w = make_binary(c, "sub", w, block_zeros(c, b, t));
  w = make_binary(c, "mul", w, make_reshape(c, make_cast(c, arg(c, 2), t), each, 3));
  return make_reshape(c, w, flat, 2);
}

// A times the transpose of weights [N,K] that are quantised in blocks along K.
static bool matmul_nbits(Call *c) {
  Blocks b;
  Value *a = arg(c, 0), *bias = arg_opt(c, 5);
  const Tensor *packed = arg_const(c, 1);
  if (!read_blocks(c, &b)) return false;
  int64_t row = b.count * b.size * b.bits / 8;
  if (has_arg(c, 4)) return call_fail(c, "groups in another order (g_idx) are not supported");
  if (!packed || (int64_t)packed->bytes != b.n * row)
    return call_fail(c, "its weights must be a constant of %lld bytes", (long long)(b.n * row));
  Value *w = packed_weights(c, &b, packed, a->type.dtype);
  if (!w) w = unpacked_weights(c, &b, packed, a->type.dtype);
  if (b.count * b.size != b.k) w = make_slice(c, w, 1, 0, b.k);
  Value *y = make_binary(c, "matmul", a, make_transpose(c, w, (int64_t[]){1, 0}));
  return ret(c, 0, bias ? make_binary(c, "add", y, bias) : y);
}

const OnnxOp ONNX_OPS_CONTRIB_QUANT[] = {
    {MS, "QLinearAdd", qlinear_binary, "add"},
    {MS, "QLinearMul", qlinear_binary, "mul"},
    {MS, "QLinearSigmoid", qlinear_sigmoid, NULL},
    {MS, "QLinearLeakyRelu", qlinear_leaky_relu, NULL},
    {MS, "QLinearSoftmax", qlinear_softmax, NULL},
    {MS, "QLinearReduceMean", qlinear_reduce_mean, NULL},
    {MS, "QLinearConcat", qlinear_concat, NULL},
    {MS, "QLinearWhere", qlinear_where, NULL},
    {MS, "QLinearAveragePool", qlinear_pool, "AveragePool"},
    {MS, "QLinearGlobalAveragePool", qlinear_pool, "GlobalAveragePool"},
    {MS, "QLinearConv", qlinear_conv_last, NULL},
    {MS, "MatMulIntegerToFloat", matmul_integer_to_float, NULL},
    {MS, "DynamicQuantizeMatMul", dynamic_quantize_matmul, NULL},
    {MS, "QGemm", qgemm, NULL},
    {MS, "MatMulNBits", matmul_nbits, NULL},
    {0},
};
