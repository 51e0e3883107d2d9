// winograd_math.c: the matrices of Winograd's F(2,3), F(4,3) and F(6,3), transformed weights, and transforms
// as expressions.
// SPDX-License-Identifier: Apache-2.0
#include "passes/winograd.h"

// Interpolation points: 0, 1, -1, infinity; for F(4,3) also 2, -2; for F(6,3) also 1/2, -1/2.
static const WinogradMatrices MATRICES[] = {
    {2,
     4,
     {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}},
     {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}},
     {{1, 1, 1, 0}, {0, 1, -1, -1}}},
    {4,
     6,
     {{4, 0, -5, 0, 1, 0},
      {0, -4, -4, 1, 1, 0},
      {0, 4, -4, -1, 1, 0},
      {0, -2, -1, 2, 1, 0},
      {0, 2, -1, -2, 1, 0},
      {0, 4, 0, -5, 0, 1}},
     {{1.0 / 4, 0, 0},
      {-1.0 / 6, -1.0 / 6, -1.0 / 6},
      {-1.0 / 6, 1.0 / 6, -1.0 / 6},
      {1.0 / 24, 1.0 / 12, 1.0 / 6},
      {1.0 / 24, -1.0 / 12, 1.0 / 6},
      {0, 0, 1}},
     {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}}},
    {6,
     8,
     {{1, 0, -5.25, 0, 5.25, 0, -1, 0},
      {0, 1, 1, -4.25, -4.25, 1, 1, 0},
      {0, -1, 1, 4.25, -4.25, -1, 1, 0},
      {0, 0.5, 0.25, -2.5, -1.25, 2, 1, 0},
      {0, -0.5, 0.25, 2.5, -1.25, -2, 1, 0},
      {0, 2, 4, -2.5, -5, 0.5, 1, 0},
      {0, -2, 4, 2.5, -5, -0.5, 1, 0},
      {0, -1, 0, 5.25, 0, -5.25, 0, 1}},
     {{1, 0, 0},
      {-2.0 / 9, -2.0 / 9, -2.0 / 9},
      {-2.0 / 9, 2.0 / 9, -2.0 / 9},
      {1.0 / 90, 1.0 / 45, 2.0 / 45},
      {1.0 / 90, -1.0 / 45, 2.0 / 45},
      {32.0 / 45, 16.0 / 45, 8.0 / 45},
      {32.0 / 45, -16.0 / 45, 8.0 / 45},
      {0, 0, 1}},
     {{1, 1, 1, 1, 1, 1, 1, 0},
      {0, 1, -1, 2, -2, 0.5, -0.5, 0},
      {0, 1, 1, 4, 4, 0.25, 0.25, 0},
      {0, 1, -1, 8, -8, 0.125, -0.125, 0},
      {0, 1, 1, 16, 16, 0.0625, 0.0625, 0},
      {0, 1, -1, 32, -32, 0.03125, -0.03125, 1}}},
};

const WinogradMatrices *winograd_matrices(int m) {
  for (int i = 0; i < ARRAY_LEN(MATRICES); i++)
    if (MATRICES[i].m == m) return &MATRICES[i];
  return NULL;
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

static const Expr *scaled_add(Ctx *c, bool fma, const Expr *sum, double k, const Expr *x) {
  if (!sum && k == 1) return x;
  if (!sum) return ex_mul(c, ex_num(c, x->dtype, k), x);
  if (k == 1) return ex_add(c, sum, x);
  if (k == -1) return ex_sub(c, sum, x);
  const Expr *f = ex_num(c, x->dtype, k);
  return fma ? ex_ternary(c, E_FMA, f, x, sum) : ex_add(c, sum, ex_mul(c, f, x));
}

// The terms of one row with odd (even) column numbers, divided by the sign of the last of them, which comes
// first: rows for the points p and -p then share both halves.
static const Expr *half_row(Ctx *c, bool fma, const double *row, int cols, int parity, const Expr *const *x,
                            double *sign) {
  const Expr *sum = NULL;
  *sign = 0;
  for (int j = cols - 1; j >= 0; j--) {
    if (j % 2 != parity || row[j] == 0 || !x[j]) continue;
    if (*sign == 0) *sign = row[j] < 0 ? -1 : 1;
    sum = scaled_add(c, fma, sum, row[j] * *sign, x[j]);
  }
  return sum;
}

void winograd_transform(Ctx *c, bool fma, const double (*matrix)[WINOGRAD_MAX], int rows, int cols,
                        const Expr *const *x, const Expr **y) {
  for (int i = 0; i < rows; i++) {
    double even_sign, odd_sign;
    const Expr *even = half_row(c, fma, matrix[i], cols, 0, x, &even_sign);
    const Expr *odd = half_row(c, fma, matrix[i], cols, 1, x, &odd_sign);
    if (!even || !odd) {
      const Expr *only = even ? even : odd;
      double sign = even ? even_sign : odd_sign;
      y[i] = !only ? ex_num(c, DT_F32, 0) : sign < 0 ? ex_unary(c, E_NEG, only) : only;
    } else if (even_sign > 0) {
      y[i] = ex_binary(c, odd_sign > 0 ? E_ADD : E_SUB, even, odd);
    } else {
      const Expr *sum =
          ex_binary(c, odd_sign > 0 ? E_SUB : E_ADD, odd_sign > 0 ? odd : even, odd_sign > 0 ? even : odd);
      y[i] = odd_sign > 0 ? sum : ex_unary(c, E_NEG, sum);
    }
  }
}
