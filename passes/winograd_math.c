// winograd_math.c: the matrices of Winograd's F(2,3), F(4,3) and F(6,3), transformed weights, and transforms
// as expressions.
// SPDX-License-Identifier: Apache-2.0
#include "passes/winograd.h"

#include <math.h>

// Interpolation points beside 0 and infinity: p and -p of each. Those of F(4,3) were found by measuring errors of
// random convolutions over a grid of fractions: 2/3 and 3/2 have 0.44 times the error of 1 and 2, and their product is
// 1, which saves multiplications. For F(6,3) nothing on such a grid was better than 1/2, 1 and 2.
static const struct {
  int m, pairs;
  double point[WINOGRAD_PAIRS];
} FORMS[] = {{2, 1, {1}}, {4, 2, {2.0 / 3, 1.5}}, {6, 3, {0.5, 1, 2}}};

// Multiplies the polynomial p of degree n by x + root.
static void times_root(double *p, int n, double root) {
  p[n + 1] = 0;
  for (int i = n + 1; i >= 0; i--) p[i] = p[i] * root + (i > 0 ? p[i - 1] : 0);
}

// Toom and Cook's construction: row i of B^T has the coefficients of the polynomial that is zero at all finite points
// but the i-th, row i of G the powers of the point over that polynomial's value there, column i of A^T the powers.
static void make_matrices(WinogradMatrices *w) {
  double point[WINOGRAD_MAX] = {0};
  int finite = w->a - 1;
  for (int i = 1; i < finite; i++) point[i] = (i % 2 ? 1 : -1) * w->point[(i - 1) / 2];
  for (int i = 0; i < w->a; i++) {
    double poly[WINOGRAD_MAX + 1] = {1}, value = 1;
    for (int k = 0, n = 0; k < finite; k++) {
      if (k == i) continue;
      times_root(poly, n++, -point[k]);
      value *= point[i] - point[k];
    }
    memcpy(w->bt[i], poly, sizeof w->bt[i]);
    for (int k = 0; k < 3; k++) w->g[i][k] = i == finite ? k == 2 : pow(point[i], k) / value;
    for (int k = 0; k < w->m; k++) w->at[k][i] = i == finite ? k == w->m - 1 : pow(point[i], k);
  }
}

bool winograd_matrices(WinogradMatrices *w, int m) {
  for (int i = 0; i < ARRAY_LEN(FORMS); i++) {
    if (FORMS[i].m != m) continue;
    *w = (WinogradMatrices){.m = m, .a = m + 2, .pairs = FORMS[i].pairs};
    memcpy(w->point, FORMS[i].point, sizeof w->point);
    make_matrices(w);
    return true;
  }
  return false;
}

// G g G^T of one 3x3 filter.
static void transform_filter(const WinogradMatrices *w, const double g[9], double *out) {
  double half[WINOGRAD_MAX][3];
  for (int i = 0; i < w->a; i++)
    for (int j = 0; j < 3; j++)
      half[i][j] = w->g[i][0] * g[j] + w->g[i][1] * g[3 + j] + w->g[i][2] * g[6 + j];
  for (int i = 0; i < w->a; i++)
    for (int j = 0; j < w->a; j++)
      out[i * w->a + j] = half[i][0] * w->g[j][0] + half[i][1] * w->g[j][1] + half[i][2] * w->g[j][2];
}

Tensor *winograd_weights(Ctx *c, const WinogradMatrices *w, const Tensor *weights) {
  int64_t co = weights->type.dim[0].n, ci = weights->type.dim[1].n, points = w->a * w->a;
  Type t = type_make(DT_F32, 3, (int64_t[]){points, co, ci});
  Tensor *u = tensor_new(c, &t);
  float *to = tensor_data(u);
  for (int64_t f = 0; f < co * ci; f++) {
    float g32[9];
    double g[9], out[WINOGRAD_MAX * WINOGRAD_MAX];
    memcpy(g32, (const char *)weights->data + f * (int64_t)sizeof g32, sizeof g32); // may be unaligned
    for (int i = 0; i < 9; i++) g[i] = g32[i];
    transform_filter(w, g, out);
    for (int64_t p = 0; p < points; p++) to[p * co * ci + f] = (float)out[p];
  }
  return u;
}

// ---- transforms as expressions --------------------------------------------------------------------------------

// The points p and -p share all but the last addition of their rows: even and odd parts.

static bool is_one(double k) {
  return (float)k == 1;
}

// sum + k * x; sum may be NULL.
static const Expr *scaled_add(const Transform *t, const Expr *sum, double k, const Expr *x) {
  Ctx *c = t->c;
  if (!sum && is_one(k)) return x;
  if (!sum) return ex_mul(c, ex_num(c, x->dtype, k), x);
  if (is_one(k)) return ex_add(c, sum, x);
  if (is_one(-k)) return ex_sub(c, sum, x);
  const Expr *f = ex_num(c, x->dtype, k);
  return t->fma ? ex_ternary(c, E_FMA, f, x, sum) : ex_add(c, sum, ex_mul(c, f, x));
}

// The terms of one row with even or odd column numbers, divided by the last one's factor, which is returned.
static double half_row(const Transform *t, const double *row, int parity, const Expr *const *x,
                       const Expr **sum) {
  int last = t->w->a - 1;
  while (last >= 0 && (last % 2 != parity || row[last] == 0)) last--;
  *sum = last < 0 ? NULL : x[last];
  for (int j = last - 2; j >= 0; j -= 2)
    if (row[j] != 0) *sum = scaled_add(t, *sum, row[j] / row[last], x[j]);
  return last < 0 ? 0 : row[last];
}

void winograd_input(const Transform *t, const Expr *const *x, const Expr **y) {
  for (int i = 0; i < t->w->a; i++) {
    const Expr *even, *odd;
    double even_factor = half_row(t, t->w->bt[i], 0, x, &even),
           odd_factor = half_row(t, t->w->bt[i], 1, x, &odd);
    y[i] = even ? scaled_add(t, NULL, even_factor, even) : NULL;
    if (odd) y[i] = scaled_add(t, y[i], odd_factor, odd);
  }
}

void winograd_filter(const Transform *t, const Expr *const *x, const Expr **y) {
  const WinogradMatrices *w = t->w;
  y[0] = scaled_add(t, NULL, w->g[0][0], x[0]);
  for (int i = 1; i + 1 < w->a; i++)
    y[i] = scaled_add(t, scaled_add(t, scaled_add(t, NULL, w->g[i][0], x[0]), w->g[i][2], x[2]), w->g[i][1],
                      x[1]);
  y[w->a - 1] = x[2];
}

void winograd_output(const Transform *t, const Expr *const *x, const Expr **y) {
  const WinogradMatrices *w = t->w;
  const Expr *sum[WINOGRAD_PAIRS], *difference[WINOGRAD_PAIRS];
  for (int k = 0; k < w->pairs; k++) {
    sum[k] = ex_add(t->c, x[2 * k + 1], x[2 * k + 2]);
    difference[k] = ex_sub(t->c, x[2 * k + 1], x[2 * k + 2]);
  }
  for (int i = 0; i < w->m; i++) {
    const Expr *e = NULL;
    for (int k = 0; k < w->pairs; k++)
      e = scaled_add(t, e, w->at[i][2 * k + 1], i % 2 ? difference[k] : sum[k]);
    if (i == 0) e = ex_add(t->c, e, x[0]);
    if (i == w->m - 1) e = ex_add(t->c, e, x[w->a - 1]);
    y[i] = e;
  }
}
