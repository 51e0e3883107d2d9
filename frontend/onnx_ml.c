// onnx_ml.c: operators of the domain ai.onnx.ml, which come from scikit-learn and its like.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_ml.h"

Value *float_list(Call *c, const char *name, int *n) {
  const float *v;
  *n = attr_fs(c, name, &v);
  int64_t count = *n;
  Type type = type_make(DT_F32, 1, &count);
  Tensor *t = tensor_new(call_ctx(c), &type);
  for (int i = 0; i < *n; i++) tensor_set(t, i, (double)v[i]);
  return make_const(c, t);
}

static bool same_bytes(const OnnxBytes *a, const OnnxBytes *b) {
  return a->n == b->n && memcmp(a->p, b->p, a->n) == 0;
}

// Ones where x is above the threshold.
static bool binarizer(Call *c) {
  Value *x = arg(c, 0), *limit = make_like(c, x, attr_f(c, "threshold", 0));
  return ret(c, 0, make_cast(c, make_binary(c, "greater", x, limit), x->type.dtype));
}

// Columns of x, in the order of the indices.
static bool array_feature_extractor(Call *c) {
  Value *x = arg(c, 0), *index = arg(c, 1);
  Dim count = dim_const(1);
  for (int d = 0; d < rank_of(index); d++)
    count = dim_expr(call_ctx(c), ex_mul(call_ctx(c), dim_to_expr(call_ctx(c), count),
                                         dim_to_expr(call_ctx(c), dim_of(index, d))));
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

// The number of each word in a list, or -1.
static Value *word_numbers(Call *c, const OnnxAttr *words, const OnnxTensor *list) {
  Tensor *t =
      tensor_new(call_ctx(c), &(Type){.dtype = DT_I64, .rank = 1, .dim = {dim_const(words->nstrings)}});
  for (int64_t i = 0; i < words->nstrings; i++) {
    const OnnxBytes *w = &words->strings[i];
    int64_t k = 0;
    while (k < list->nstrings && !same_bytes(&list->strings[k], w)) k++;
    tensor_set_int(t, i, k < list->nstrings ? k : -1);
  }
  return make_const(c, t);
}

// All operands as f32, side by side.
static bool feature_vectorizer(Call *c) {
  Value **parts = NEW_ARRAY(call_arena(c), Value *, c->nin + 1);
  for (int k = 0; k < c->nin; k++) {
    Value *x = arg(c, k);
    if (rank_of(x) == 1) x = make_unsqueeze_last(c, x, 1);
    parts[k] = make_cast(c, x, DT_F32);
  }
  return c->nin > 0 && ret(c, 0, make_concat(c, parts, c->nin, 1));
}

// The maps from a class to its score that this makes are no tensors: the scores themselves are given, in the order of
// the classes.
static bool zip_map(Call *c) {
  diag_warn(call_ctx(c)->diag, c->loc, "gives the scores as a tensor, one column for each class");
  return ret(c, 0, arg(c, 0));
}

// A last dimension of ones and zeros: which category x is.
static bool one_hot_encoder(Call *c) {
  const int64_t *cats;
  int n = attr_is(c, "cats_int64s", &cats);
  Value *key, *x;
  const OnnxAttr *words = attr_find(c, "cats_strings", ONNX_ATTR_STRINGS);
  if (n > 0) {
    x = arg(c, 0);
    key = make_ints(c, cats, n);
    if (dtype_is_float(x->type.dtype)) key = make_cast(c, key, x->type.dtype);
    if (!dtype_is_float(x->type.dtype)) x = make_cast(c, x, DT_I64);
  } else if (words && has_arg(c, 0) && c->in[0]->kind == VAL_CODES) {
    x = c->in[0]->v;
    key = word_numbers(c, words, c->in[0]->strings);
  } else {
    return call_fail(c, "a compiled model reads no strings: encode the categories as numbers before");
  }
  Value *equal = make_binary(c, "equal", make_unsqueeze_last(c, x, 1), key);
  return ret(c, 0, make_cast(c, equal, DT_F32));
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
    while (k < n && !same_bytes(&key[k], w)) k++;
    const Tensor *from = k < n ? values : other->data;
    if (dtype_is_float(type.dtype)) tensor_set(t, i, tensor_get(from, k < n ? k : 0));
    if (!dtype_is_float(type.dtype)) tensor_set_int(t, i, tensor_get_int(from, k < n ? k : 0));
  }
  return make_const(c, t);
}

// Which key each element of x is; *found says whether it is any. The first of equal keys counts.
static Value *key_number(Call *c, Value *x, const Tensor *keys, Value **found) {
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
  *found = make_binary(c, "greater", make(c, "reduce_max", IN(flags), over, 2), make_scalar(c, DT_I32, 0));
  return make(c, "argmax", IN(flags), first, 2);
}

// Strings for numbers: the values and, last, the default.
static bool encode_strings(Call *c, const OnnxBytes *values, int64_t n) {
  const Tensor *keys = label_list(c, "keys");
  const char *other = attr_s(c, "default_string", "_Unused");
  Value *found, *x = arg(c, 0);
  if (!keys || type_elements(&keys->type) != n) return call_fail(c, "its keys and values do not fit");
  OnnxBytes *all = NEW_ARRAY(call_arena(c), OnnxBytes, n + 1);
  memcpy(all, values, (size_t)n * sizeof *all);
  all[n] = (OnnxBytes){(const uint8_t *)other, strlen(other)};
  Value *at = key_number(c, x, keys, &found);
  at = make(c, "where", IN(found, at, make_scalar(c, DT_I64, (double)n)), NO_ATTRS);
  return ret_codes(c, 0, at, all, n + 1);
}

// The value that belongs to each key: that of the first key that equals x, or the default.
static bool label_encoder(Call *c) {
  const Tensor *values = label_list(c, "values");
  const OnnxBytes *words;
  const Val *in = has_arg(c, 0) ? c->in[0] : NULL;
  if (c->failed) return false;
  if (!values) {
    int64_t n = label_strings(c, "values", &words);
    return n ? encode_strings(c, words, n) : call_fail(c, "it has no values");
  }
  if (in && in->kind == VAL_STRINGS) return ret(c, 0, label_words(c, in->strings, values));
  if (in && in->kind == VAL_CODES)
    return ret(c, 0, make(c, "gather", IN(label_words(c, in->strings, values), in->v), NO_ATTRS));
  const Tensor *keys = label_list(c, "keys");
  Value *found, *x = arg(c, 0);
  if (!keys || type_elements(&keys->type) != type_elements(&values->type))
    return call_fail(c, "its keys and values do not fit");
  Value *at = key_number(c, x, keys, &found);
  Value *v = make(c, "gather", IN(make_const(c, values), at), ATTRS(A_INT("axis", 0)));
  return ret(c, 0, make(c, "where", IN(found, v, label_default(c, values->type.dtype)), NO_ATTRS));
}

const OnnxOp ONNX_OPS_ML[] = {
    {ML, "Binarizer", binarizer, NULL},
    {ML, "ArrayFeatureExtractor", array_feature_extractor, NULL},
    {ML, "Scaler", scaler, NULL},
    {ML, "Normalizer", normalizer, NULL},
    {ML, "Imputer", imputer, NULL},
    {ML, "FeatureVectorizer", feature_vectorizer, NULL},
    {ML, "ZipMap", zip_map, NULL},
    {ML, "OneHotEncoder", one_hot_encoder, NULL},
    {ML, "LabelEncoder", label_encoder, NULL},
    {0},
};
