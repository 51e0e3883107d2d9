// winograd.h: the schedule class of 3x3 convolutions by Winograd's minimal filtering.
// SPDX-License-Identifier: Apache-2.0
//
// F(m,3): m x m outputs from (m+2) x (m+2) inputs with (m+2)^2 products instead of 9 m^2 (Lavin and Gray,
// "Fast Algorithms for Convolutional Neural Networks", 2015). A task takes a block of output tiles through
// all three steps while the transformed data stays in the second-level cache:
//
//   V[p, t, ci] = (B^T d B)[p]        d: the inputs of tile t, p: one of the (m+2)^2 points
//   M[p, t, co] = sum(ci) V[p, t, ci] * U[p, co, ci]      U: the weights, transformed at compile time
//   out         = A^T M A, epilogue
//
// Rounding errors grow with m: against direct convolution about 1, 5 and 15 times for m = 2, 4, 6.
#ifndef INGOT_PASSES_WINOGRAD_H
#define INGOT_PASSES_WINOGRAD_H

#include "passes/schedule.h"

bool winograd_choose(Module *m, Node *n, const PassOptions *o);
bool winograd_lower(Lower *l);

// ---- winograd_math.c ----------------------------------------------------------------------------------------

enum { WINOGRAD_MAX = 8 }; // points of one dimension

typedef struct WinogradMatrices {
  int m, a; // outputs and points of one dimension
  double bt[WINOGRAD_MAX][WINOGRAD_MAX], g[WINOGRAD_MAX][3], at[WINOGRAD_MAX][WINOGRAD_MAX];
} WinogradMatrices;

const WinogradMatrices *winograd_matrices(int m); // m is 2, 4 or 6; NULL otherwise
// f32 [a*a, co, ci] from f32 [co, ci, 3, 3], computed in f64.
Tensor *winograd_weights(Ctx *c, const WinogradMatrices *w, const Tensor *weights);
// y[i] = sum(j) matrix[i][j] * x[j] for i < rows, with few operations; x[j] == NULL counts as 0.
void winograd_transform(Ctx *c, bool fma, const double (*matrix)[WINOGRAD_MAX], int rows, int cols,
                        const Expr *const *x, const Expr **y);

#endif
