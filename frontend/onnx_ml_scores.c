// onnx_ml_scores.c: how classifiers of ai.onnx.ml make scores and labels of sums, and linear ones.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_ml.h"

#include <math.h>

// The inverse of the normal distribution, sqrt(2) erfinv(2 y - 1), by Winitzki's approximation of erfinv, as ONNX
// Runtime computes it: https://www.academia.edu/9730974/A_handy_approximation_for_the_error_function_and_its_inverse
static Value *probit(Call *c, Value *y) {
  const double a = 0.147, pi = 3.14159265358979323846;
  Value *one = make_like(c, y, 1), *x = make_binary(c, "sub", make_scaled(c, y, 2), one);
  Value *product = make_binary(c, "mul", make_binary(c, "sub", one, x), make_binary(c, "add", one, x));
  Value *log = make_unary(c, "log", product);
  Value *v = make_binary(c, "add", make_scaled(c, log, 0.5), make_like(c, y, 2 / (pi * a)));
  Value *root =
      make_unary(c, "sqrt", make_binary(c, "sub", make_binary(c, "mul", v, v), make_scaled(c, log, 1 / a)));
  Value *magnitude = make_unary(c, "sqrt", make_binary(c, "sub", root, v));
  Value *negative = make_binary(c, "less", x, make_like(c, y, 0));
  Value *erfinv = make(c, "where", IN(negative, make_unary(c, "neg", magnitude), magnitude), NO_ATTRS);
  return make_scaled(c, erfinv, sqrt(2));
}

// Softmax over the sums that are not zero; zeros stay.
static Value *softmax_zero(Call *c, Value *y) {
  Value *zero = make_like(c, y, 0), *tiny = make_like(c, y, 1e-7);
  Value *none = make_binary(c, "less_equal", make_unary(c, "abs", y), tiny);
  int64_t axes[] = {rank_of(y) - 1};
  Attr over[] = {A_INTS("axes", axes, 1), A_BOOL("keepdims", true)};
  Value *shifted = make_binary(c, "sub", y, make(c, "reduce_max", IN(y), over, 2));
  Value *power = make(c, "where", IN(none, zero, make_unary(c, "exp", shifted)), NO_ATTRS);
  Value *sum = make(c, "reduce_sum", IN(power), over, 2);
  Value *empty = make_binary(c, "equal", sum, zero);
  return make_binary(c, "div", power, make(c, "where", IN(empty, make_like(c, y, 1), sum), NO_ATTRS));
}

Value *post_transform(Call *c, Value *y, const char *name) {
  if (strcmp(name, "NONE") == 0) return y;
  if (strcmp(name, "LOGISTIC") == 0) return make_unary(c, "sigmoid", y);
  if (strcmp(name, "SOFTMAX") == 0) return make(c, "softmax", IN(y), ATTRS(A_INT("axis", -1)));
  if (strcmp(name, "SOFTMAX_ZERO") == 0) return softmax_zero(c, y);
  if (strcmp(name, "PROBIT") == 0) return probit(c, y);
  return call_fail(c, "the transform '%s' is not supported", name), y;
}

// ---- labels -----------------------------------------------------------------------------------------------------

// The labels, integers or strings: newer operators and older ones call them differently.
static int int_labels(Call *c, const int64_t **v) {
  int n = attr_is(c, "classlabels_int64s", v);
  return n ? n : attr_is(c, "classlabels_ints", v);
}

static int64_t string_labels(Call *c, const OnnxBytes **s) {
  const OnnxAttr *a = attr_find(c, "classlabels_strings", ONNX_ATTR_STRINGS);
  return a ? (*s = a->strings, a->nstrings) : 0;
}

int class_count(Call *c) {
  const int64_t *v;
  const OnnxBytes *s;
  int64_t n = int_labels(c, &v);
  if (n == 0) n = string_labels(c, &s);
  if (n > 0 && n <= ONNX_FOLD_ELEMENTS) return (int)n;
  return call_fail(c, "it has no labels, or too many"), -1;
}

// The label that belongs to each index.
static bool ret_labels(Call *c, Value *index) {
  const int64_t *v;
  const OnnxBytes *s = NULL;
  int n = int_labels(c, &v);
  int64_t strings = n ? 0 : string_labels(c, &s);
  if (n == 0) return ret_codes(c, 0, index, s, strings);
  for (int i = 0; i < n && v[i] == i; i++) {
    if (i == n - 1) return ret(c, 0, index); // 0, 1, 2 ...
  }
  return ret(c, 0, make(c, "gather", IN(make_ints(c, v, n), index), NO_ATTRS));
}

bool ret_classes(Call *c, Value *sums, bool share) {
  const char *transform = attr_s(c, "post_transform", "NONE");
  Dim rows = dim_of(sums, 0);
  if (c->failed) return false;
  if (dim_of(sums, 1).sym || dim_of(sums, 1).n != 1) {
    Value *best = make(c, "argmax", IN(sums), ATTRS(A_INT("axis", 1), A_BOOL("keepdims", false)));
    return ret_labels(c, best) && ret(c, 1, post_transform(c, sums, transform));
  }
  if (class_count(c) != 2) { // one score: the first label or none
    Value *only = make(c, "broadcast", IN(make_scalar(c, DT_I64, 0)), ATTRS(A_SHAPE("shape", &rows, 1)));
    return ret_labels(c, only) && ret(c, 1, post_transform(c, sums, transform));
  }
  Value *above = make_binary(c, "greater", sums, make_like(c, sums, share ? 0.5 : 0));
  Value *second = strcmp(transform, "PROBIT") == 0 ? post_transform(c, sums, transform) : sums, *pair[2];
  bool logistic = strcmp(transform, "LOGISTIC") == 0;
  pair[0] = share && !logistic ? make_binary(c, "sub", make_like(c, sums, 1), second)
                               : make_unary(c, "neg", second);
  pair[1] = second;
  for (int k = 0; k < 2 && logistic; k++) pair[k] = make_unary(c, "sigmoid", pair[k]);
  Value *index = make_reshape(c, make_cast(c, above, DT_I64), &rows, 1);
  return ret_labels(c, index) && ret(c, 1, make_concat(c, pair, 2, 1));
}

bool ret_votes(Call *c, Value *votes, Value *const *decisions, int n) {
  Value *best = make(c, "argmax", IN(votes), ATTRS(A_INT("axis", 1), A_BOOL("keepdims", false)));
  Value *pair[] = {make_unary(c, "neg", decisions[0]), decisions[0]}; // the order is ONNX Runtime's
  Value *scores = n == 1 ? make_concat(c, pair, 2, 1) : make_concat(c, decisions, n, 1);
  return ret_labels(c, best) && ret(c, 1, post_transform(c, scores, attr_s(c, "post_transform", "NONE")));
}

// ---- linear models ------------------------------------------------------------------------------------------------

// x as rows of f32.
static Value *rows_of(Call *c, Value *x) {
  Dim row[] = {dim_const(1), dim_of(x, 0)};
  return make_cast(c, rank_of(x) == 1 ? make_reshape(c, x, row, 2) : x, DT_F32);
}

// x times the coefficients [targets,columns], plus intercepts.
static Value *linear_targets(Call *c, int64_t targets) {
  int n, m;
  Value *w = float_list(c, "coefficients", &n), *bias = float_list(c, "intercepts", &m), *x = arg(c, 0);
  if (targets < 1 || n % targets) return call_fail(c, "%d coefficients do not fit", n), w;
  Dim shape[] = {dim_const(targets), dim_const(n / targets)};
  Attr turned = A_BOOL("transpose_w", true);
  w = make_reshape(c, w, shape, 2);
  return make(c, "linear", IN(rows_of(c, x), w, m ? bias : NULL), &turned, 1);
}

static bool linear_regressor(Call *c) {
  Value *y = linear_targets(c, attr_i(c, "targets", 1));
  return ret(c, 0, post_transform(c, y, attr_s(c, "post_transform", "NONE")));
}

// As many sums as there are intercepts, or as rows of coefficients fit the columns of x.
static bool linear_classifier(Call *c) {
  const float *v;
  Value *x = arg(c, 0);
  Dim columns = dim_of(x, rank_of(x) - 1);
  int n = attr_fs(c, "coefficients", &v), targets = attr_fs(c, "intercepts", &v);
  if (c->failed || columns.sym || columns.n < 1) return call_fail(c, "the number of columns must be known");
  if (targets == 0) targets = (int)(n / columns.n);
  return ret_classes(c, linear_targets(c, targets), false);
}

const OnnxOp ONNX_OPS_ML_SCORES[] = {
    {ML, "LinearRegressor", linear_regressor, NULL},
    {ML, "LinearClassifier", linear_classifier, NULL},
    {0},
};
