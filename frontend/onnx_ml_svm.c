// onnx_ml_svm.c: support vector machines (ai.onnx.ml).
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_ml.h"

enum { CLASSES_MAX = 256 }; // every pair of them is compared

// How like each row of x [N,F] is to each support vector: [N,S].
static Value *kernel(Call *c, Value *x, Value *vectors) {
  const char *type = attr_s(c, "kernel_type", "LINEAR");
  const float *params;
  int n = attr_fs(c, "kernel_params", &params);
  double gamma = n > 0 ? (double)params[0] : 0, coef0 = n > 1 ? (double)params[1] : 0,
         degree = n > 2 ? (double)params[2] : 3;
  Attr turned = A_BOOL("transpose_w", true);
  Value *dot = make(c, "linear", IN(x, vectors, NULL), &turned, 1);
  if (strcmp(type, "LINEAR") == 0) return dot;
  if (strcmp(type, "RBF") == 0) { // by differences: products of large numbers would cancel
    int64_t second[] = {1}, last[] = {2};
    Value *apart =
        make_binary(c, "sub", make(c, "unsqueeze", IN(x), ATTRS(A_INTS("axes", second, 1))), vectors);
    Attr over[] = {A_INTS("axes", last, 1), A_BOOL("keepdims", false)};
    Value *square = make(c, "reduce_sum", IN(make_binary(c, "mul", apart, apart)), over, 2);
    return make_unary(c, "exp", make_scaled(c, square, -gamma));
  }
  Value *shifted = make_binary(c, "add", make_scaled(c, dot, gamma), make_like(c, dot, coef0));
  if (strcmp(type, "POLY") == 0) return make_binary(c, "pow", shifted, make_like(c, dot, degree));
  if (strcmp(type, "SIGMOID") == 0) return make_unary(c, "tanh", shifted);
  return call_fail(c, "the kernel '%s' is not known", type), dot;
}

// An attribute of rows * columns floats as a matrix; dummy after reporting if it has another length.
static Value *matrix(Call *c, const char *name, int64_t rows, int64_t columns) {
  int n;
  Value *v = float_list(c, name, &n);
  Dim shape[] = {dim_const(rows), dim_const(columns)};
  if (rows < 1 || columns < 1 || n / rows != columns || n % rows)
    return call_fail(c, "its %s are %d, not %lld times %lld", name, n, (long long)rows, (long long)columns),
           v;
  return make_reshape(c, v, shape, 2);
}

// The operand as rows of f32 of a known length.
static Value *rows(Call *c, int64_t *columns) {
  Value *x = make_cast(c, arg(c, 0), DT_F32);
  Dim row[] = {dim_const(1), dim_of(x, 0)};
  if (rank_of(x) == 1) x = make_reshape(c, x, row, 2);
  Dim last = dim_of(x, 1);
  if (c->failed || rank_of(x) != 2 || last.sym || last.n < 1)
    return call_fail(c, "its operand must be rows of a known length"), make_dummy(c);
  *columns = last.n;
  return x;
}

static bool svm_regressor(Call *c) {
  int64_t supports = attr_i(c, "n_supports", 0), columns = 1;
  int m;
  Value *x = rows(c, &columns), *rho = float_list(c, "rho", &m), *alike = x;
  if (c->failed || m < 1) return call_fail(c, "rho is missing");
  if (supports > 0) alike = kernel(c, x, matrix(c, "support_vectors", supports, columns));
  Value *w = matrix(c, "coefficients", supports > 0 ? supports : columns, 1);
  Value *y = make_binary(c, "add", make_binary(c, "matmul", alike, w), make_slice(c, rho, 0, 0, 1));
  if (attr_i(c, "one_class", 0)) {
    Value *one = make_like(c, y, 1), *within = make_binary(c, "greater", y, make_like(c, y, 0));
    return ret(c, 0, make(c, "where", IN(within, one, make_unary(c, "neg", one)), NO_ATTRS));
  }
  return ret(c, 0, post_transform(c, y, attr_s(c, "post_transform", "NONE")));
}

// ---- SVMClassifier ------------------------------------------------------------------------------------------------

typedef struct Machine {
  Call *c;
  int classes;
  int64_t first[CLASSES_MAX + 1]; // of each class's support vectors
  Value *coefficients;            // [classes - 1, vectors]
} Machine;

// Sum over class a's vectors of their likeness times their coefficient against class b.
static Value *against(const Machine *m, Value *alike, int a, int b) {
  Call *c = m->c;
  int row = b < a ? b : b - 1;
  Value *of = make_slice(c, alike, 1, m->first[a], m->first[a + 1]);
  Value *w = make_slice(c, make_slice(c, m->coefficients, 0, row, row + 1), 1, m->first[a], m->first[a + 1]);
  Attr turned = A_BOOL("transpose_w", true);
  return make(c, "linear", IN(of, w, NULL), &turned, 1); // [N,1]
}

// What each pair of classes decides, [N,1] each: positive for the first.
static Value **decisions(const Machine *m, Value *alike, Value *rho) {
  Call *c = m->c;
  Value **d = NEW_ARRAY(call_arena(c), Value *, m->classes * (m->classes - 1) / 2 + 1);
  for (int i = 0, p = 0; i < m->classes; i++) {
    for (int j = i + 1; j < m->classes; j++, p++) {
      Value *sum = make_binary(c, "add", against(m, alike, i, j), against(m, alike, j, i));
      d[p] = make_binary(c, "add", sum, make_slice(c, rho, 0, p, p + 1));
    }
  }
  return d;
}

// Each pair gives its winner a vote: [N,classes].
static Value *votes(const Machine *m, Value *const *d) {
  Call *c = m->c;
  Value **sum = NEW_ARRAY(call_arena(c), Value *, m->classes + 1);
  for (int i = 0, p = 0; i < m->classes; i++) {
    for (int j = i + 1; j < m->classes; j++, p++) {
      Value *first = make_binary(c, "greater", d[p], make_like(c, d[p], 0));
      Value *won[] = {make_cast(c, first, DT_F32), make_cast(c, make_unary(c, "not", first), DT_F32)};
      sum[i] = sum[i] ? make_binary(c, "add", sum[i], won[0]) : won[0];
      sum[j] = sum[j] ? make_binary(c, "add", sum[j], won[1]) : won[1];
    }
  }
  return make_concat(c, sum, m->classes, 1);
}

static bool read_machine(Machine *m) {
  Call *c = m->c;
  const int64_t *per_class;
  int n = attr_is(c, "vectors_per_class", &per_class);
  if (m->classes < 2 || m->classes > CLASSES_MAX || n != m->classes)
    return call_fail(c, "%d classes, and vectors of %d", m->classes, n);
  for (int k = 0; k < n; k++) {
    if (per_class[k] < 1 || per_class[k] > INT32_MAX) return call_fail(c, "class %d has no vectors", k);
    m->first[k + 1] = m->first[k] + per_class[k];
  }
  return true;
}

// The probability of the first of two classes (Platt's): 1 / (1 + exp(a decision + b)).
static bool two_probabilities(Call *c, Value *decision) {
  int n, k;
  Value *a = float_list(c, "prob_a", &n), *b = float_list(c, "prob_b", &k), *p[2];
  if (n != 1 || k != 1) return call_fail(c, "probabilities of more than two classes are not supported");
  Value *t = make_binary(c, "add", make_binary(c, "mul", decision, a), b);
  p[0] = make_unary(c, "sigmoid", make_unary(c, "neg", t));
  p[1] = make_unary(c, "sigmoid", t);
  return ret_classes(c, make_concat(c, p, 2, 1), false);
}

static bool svm_classifier(Call *c) {
  Machine m = {.c = c, .classes = class_count(c)};
  const float *prob;
  int n;
  int64_t columns = 1;
  Value *x = rows(c, &columns), *rho = float_list(c, "rho", &n);
  if (c->failed || !read_machine(&m)) return false;
  if (n != m.classes * (m.classes - 1) / 2) return call_fail(c, "rho has %d numbers", n);
  int64_t vectors = m.first[m.classes];
  m.coefficients = matrix(c, "coefficients", m.classes - 1, vectors);
  Value *alike = kernel(c, x, matrix(c, "support_vectors", vectors, columns));
  if (c->failed) return false;
  Value **d = decisions(&m, alike, rho);
  if (attr_fs(c, "prob_a", &prob)) return two_probabilities(c, d[0]);
  return ret_votes(c, votes(&m, d), d, n);
}

const OnnxOp ONNX_OPS_ML_SVM[] = {
    {ML, "SVMRegressor", svm_regressor, NULL},
    {ML, "SVMClassifier", svm_classifier, NULL},
    {0},
};
