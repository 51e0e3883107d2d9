// onnx_ml.c: operators of the domain ai.onnx.ml, which come from scikit-learn and its like.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

#define ML "ai.onnx.ml"

static Value *float_list(Call *c, const char *name, int *n) {
  const float *v;
  *n = attr_fs(c, name, &v);
  int64_t count = *n;
  Type type = type_make(DT_F32, 1, &count);
  Tensor *t = tensor_new(call_ctx(c), &type);
  for (int i = 0; i < *n; i++) tensor_set(t, i, (double)v[i]);
  return make_const(c, t);
}

// Ones where x is above the threshold.
static bool binarizer(Call *c) {
  Value *x = arg(c, 0), *limit = make_like(c, x, attr_f(c, "threshold", 0));
  return ret(c, 0, make_cast(c, make_binary(c, "greater", x, limit), x->type.dtype));
}

// Columns of x, in the order of the indices.
static bool array_feature_extractor(Call *c) {
  Value *x = arg(c, 0), *index = arg(c, 1);
  Dim count = dim_const(type_elements(&index->type));
  if (!type_is_static(&index->type)) return call_fail(c, "the number of its indices must be known");
  if (rank_of(index) != 1) index = make_reshape(c, index, &count, 1);
  Value *y = make(c, "gather", IN(x, index), ATTRS(A_INT("axis", -1)));
  Dim row[] = {dim_const(1), count};
  return ret(c, 0, rank_of(x) == 1 ? make_reshape(c, y, row, 2) : y);
}

// (x - offset) * scale for each column.
static bool scaler(Call *c) {
  int n, m;
  Value *x = make_cast(c, arg(c, 0), DT_F32), *offset = float_list(c, "offset", &n),
        *scale = float_list(c, "scale", &m);
  if (n) x = make_binary(c, "sub", x, offset);
  return ret(c, 0, m ? make_binary(c, "mul", x, scale) : x);
}

// Rows divided by their greatest magnitude, the sum of magnitudes or the root of the sum of squares.
static bool normalizer(Call *c) {
  const char *norm = attr_s(c, "norm", "MAX"), *op;
  op = strcmp(norm, "L1") == 0 ? "reduce_l1" : strcmp(norm, "L2") == 0 ? "reduce_l2" : "reduce_max";
  Value *x = make_cast(c, arg(c, 0), DT_F32);
  int64_t axes[] = {rank_of(x) - 1};
  Attr over[] = {A_INTS("axes", axes, 1), A_BOOL("keepdims", true)};
  return ret(c, 0, make_binary(c, "div", x, make(c, op, IN(x), over, 2)));
}

// Missing numbers, marked by NaN or a value, replaced column by column.
static bool imputer(Call *c) {
  int n;
  Value *x = arg(c, 0), *with = float_list(c, "imputed_value_floats", &n);
  if (n == 0 || !dtype_is_float(x->type.dtype)) return call_fail(c, "only floats are replaced");
  double marker = attr_f(c, "replaced_value_float", 0);
  Value *missing =
      marker == marker ? make_binary(c, "equal", x, make_like(c, x, marker)) : make_unary(c, "isnan", x);
  return ret(c, 0, make(c, "where", IN(missing, make_cast(c, with, x->type.dtype), x), NO_ATTRS));
}

static Value *post_transform(Call *c, Value *y) {
  const char *name = attr_s(c, "post_transform", "NONE");
  if (strcmp(name, "NONE") == 0) return y;
  if (strcmp(name, "LOGISTIC") == 0) return make_unary(c, "sigmoid", y);
  if (strcmp(name, "SOFTMAX") == 0) return make(c, "softmax", IN(y), ATTRS(A_INT("axis", -1)));
  return call_fail(c, "the transform '%s' is not supported", name), y;
}

// x times the coefficients [targets,columns], plus intercepts.
static Value *linear_targets(Call *c, int64_t targets) {
  int n, m;
  Value *w = float_list(c, "coefficients", &n), *bias = float_list(c, "intercepts", &m), *x = arg(c, 0);
  if (targets < 1 || n % targets) return call_fail(c, "%d coefficients do not fit", n), w;
  Dim shape[] = {dim_const(targets), dim_const(n / targets)};
  Attr turned = A_BOOL("transpose_w", true);
  w = make_reshape(c, w, shape, 2);
  return make(c, "linear", IN(make_cast(c, x, DT_F32), w, m ? bias : NULL), &turned, 1);
}

static bool linear_regressor(Call *c) {
  return ret(c, 0, post_transform(c, linear_targets(c, attr_i(c, "targets", 1))));
}

// ---- LabelEncoder -----------------------------------------------------------------------------------------------

// Keys or values: a list of integers or floats, or (from version 4 on) a tensor. NULL if there is neither.
static const Tensor *label_list(Call *c, const char *what) {
  Arena *a = call_arena(c);
  const OnnxAttr *t = attr_find(c, arena_printf(a, "%s_tensor", what), ONNX_ATTR_TENSOR);
  if (t && t->t && t->t->elem != ONNX_STRING) return onnx_tensor(c->im->files, c->loc, t->t);
  const int64_t *v;
  int n = attr_is(c, arena_printf(a, "%s_int64s", what), &v);
  if (n) return tensor_ints(call_ctx(c), v, n);
  int m;
  Value *f = float_list(c, arena_printf(a, "%s_floats", what), &m);
  return m ? f->data : NULL;
}

// The strings of a list or tensor attribute; how many there are.
static int64_t label_strings(Call *c, const char *what, const OnnxBytes **s) {
  Arena *a = call_arena(c);
  const OnnxAttr *t = attr_find(c, arena_printf(a, "%s_tensor", what), ONNX_ATTR_TENSOR);
  if (t && t->t && t->t->elem == ONNX_STRING) return *s = t->t->strings, t->t->nstrings;
  t = attr_find(c, arena_printf(a, "%s_strings", what), ONNX_ATTR_STRINGS);
  return t ? (*s = t->strings, t->nstrings) : 0;
}

static Value *label_default(Call *c, DType t) {
  const OnnxAttr *given = attr_find(c, "default_tensor", ONNX_ATTR_TENSOR);
  if (given && given->t) {
    Tensor *v = onnx_tensor(c->im->files, c->loc, given->t);
    if (v && type_elements(&v->type) == 1) return scalar_if_one(c, make_const(c, v));
  }
  if (dtype_is_float(t)) return make_scalar(c, t, attr_f(c, "default_float", -0.0));
  return make_scalar(c, t, (double)attr_i(c, "default_int64", -1));
}

// Constant words are looked up here and now.
static Value *label_words(Call *c, const OnnxTensor *words, const Tensor *values) {
  const OnnxBytes *key;
  int64_t n = label_strings(c, "keys", &key);
  Value *other = label_default(c, values->type.dtype);
  Type type = {.dtype = values->type.dtype, .rank = (int)words->ndims};
  if (words->ndims > MAX_RANK || n != type_elements(&values->type))
    return call_fail(c, "its keys and values do not fit"), other;
  for (int d = 0; d < type.rank; d++) type.dim[d] = dim_const(words->dims[d]);
  if (!type_check_size(call_ctx(c), c->loc, &type) || type_elements(&type) != words->nstrings)
    return call_fail(c, "its words do not fit their shape"), other;
  Tensor *t = tensor_new(call_ctx(c), &type);
  for (int64_t i = 0; i < words->nstrings; i++) {
    const OnnxBytes *w = &words->strings[i];
    int64_t k = 0;
    while (k < n && !(key[k].n == w->n && memcmp(key[k].p, w->p, w->n) == 0)) k++;
    const Tensor *from = k < n ? values : other->data;
    if (dtype_is_float(type.dtype)) tensor_set(t, i, tensor_get(from, k < n ? k : 0));
    if (!dtype_is_float(type.dtype)) tensor_set_int(t, i, tensor_get_int(from, k < n ? k : 0));
  }
  return make_const(c, t);
}

// The value that belongs to each key: that of the first key that equals x, or the default.
static bool label_encoder(Call *c) {
  const Tensor *values = label_list(c, "values");
  const OnnxBytes *words;
  if (c->failed) return false;
  if (!values)
    return call_fail(c, label_strings(c, "values", &words) ? "a compiled model makes no strings"
                                                           : "it has no values");
  if (c->in[0] && c->in[0]->kind == VAL_STRINGS) return ret(c, 0, label_words(c, c->in[0]->strings, values));
  const Tensor *keys = label_list(c, "keys");
  Value *x = arg(c, 0);
  if (!keys || type_elements(&keys->type) != type_elements(&values->type))
    return call_fail(c, "its keys and values do not fit");
  Value *key = make_cast(c, make_const(c, keys), x->type.dtype), *wide = make_unsqueeze_last(c, x, 1);
  Value *equal = make_binary(c, "equal", wide, key);
  if (dtype_is_float(x->type.dtype)) { // NaN is a key, too
    Value *both = make_binary(c, "and", make_unary(c, "isnan", wide), make_unary(c, "isnan", key));
    equal = make_binary(c, "or", equal, both);
  }
  int64_t axes[] = {rank_of(x)};
  Attr over[] = {A_INTS("axes", axes, 1), A_BOOL("keepdims", false)};
  Attr first[] = {A_INT("axis", -1), A_BOOL("keepdims", false)};
  Value *flags = make_cast(c, equal, DT_I32);
  Value *found =
      make_binary(c, "greater", make(c, "reduce_max", IN(flags), over, 2), make_scalar(c, DT_I32, 0));
  Value *at = make(c, "argmax", IN(flags), first, 2);
  Value *v = make(c, "gather", IN(make_const(c, values), at), ATTRS(A_INT("axis", 0)));
  return ret(c, 0, make(c, "where", IN(found, v, label_default(c, values->type.dtype)), NO_ATTRS));
}

const OnnxOp ONNX_OPS_ML[] = {
    {ML, "Binarizer", binarizer, NULL},
    {ML, "ArrayFeatureExtractor", array_feature_extractor, NULL},
    {ML, "Scaler", scaler, NULL},
    {ML, "Normalizer", normalizer, NULL},
    {ML, "Imputer", imputer, NULL},
    {ML, "LinearRegressor", linear_regressor, NULL},
    {ML, "LabelEncoder", label_encoder, NULL},
    {0},
};
