// winograd.h: the schedule class of 3x3 convolutions by Winograd's minimal filtering.
// SPDX-License-Identifier: Apache-2.0
//
// F(m,3): m x m outputs from (m+2) x (m+2) inputs with (m+2)^2 products instead of 9 m^2 (Lavin and Gray,
// "Fast Algorithms for Convolutional Neural Networks", 2015). A task takes a block of output tiles through
// all three steps while the transformed data stays in the second-level cache:
//
//   V[p, t, ci] = (B^T d B)[p]        d: the inputs of tile t, p: one of the (m+2)^2 points
//   M[p, t, co] = sum(ci) V[p, t, ci] * U[p, co, ci]      U: the weights, transformed: G g G^T
//   out         = A^T M A, epilogue
//
// Transformed weights are 16/9 or 4 times as large as the weights. They are made at compile time where there is room for
// them in the artefact and no time is lost by reading them; elsewhere tasks transform the weights of some output
// channels and a part of K into scratch memory, use them for all their tiles, and go on to the next.
//
// Rounding errors grow with m: those of F(4,3) are 2.8 times, of F(6,3) 12 times those of F(2,3).
#ifndef INGOT_PASSES_WINOGRAD_H
#define INGOT_PASSES_WINOGRAD_H

#include "passes/schedule.h"

bool winograd_choose(Module *m, Node *n, const PassOptions *o, const Schedule *wanted);
void winograd_candidates(Module *m, Node *n, const PassOptions *o, const Schedule *near, ScheduleList *out);
bool winograd_lower(Lower *l);
double winograd_cycles(Module *m, Node *n);
double winograd_flops(const Kernel *k);
// After all choices: where transformed weights would take too much room, they are transformed as the code runs instead.
void winograd_limit(Module *m);

// ---- winograd_math.c ----------------------------------------------------------------------------------------

enum { WINOGRAD_MAX = 8, WINOGRAD_PAIRS = 3 }; // points of one dimension, pairs p and -p among them

typedef struct WinogradMatrices {
  int m, a, pairs; // outputs and points of one dimension
  double point[WINOGRAD_PAIRS];
  double bt[WINOGRAD_MAX][WINOGRAD_MAX], g[WINOGRAD_MAX][3], at[WINOGRAD_MAX][WINOGRAD_MAX];
} WinogradMatrices;

bool winograd_matrices(WinogradMatrices *w, int m); // m is 2, 4 or 6, else false
// f32 [a*a, co, ci] from f32 [co, ci, 3, 3], computed in f64.
Tensor *winograd_weights(Ctx *c, const WinogradMatrices *w, const Tensor *weights);

// One dimension's transforms as expressions of few operations: B^T x (a from a), G x (a from 3), A^T x (m from a).
typedef struct Transform {
  Ctx *c;
  const WinogradMatrices *w;
  bool fma;
} Transform;
void winograd_input(const Transform *t, const Expr *const *x, const Expr **y);
void winograd_filter(const Transform *t, const Expr *const *x, const Expr **y);
void winograd_output(const Transform *t, const Expr *const *x, const Expr **y);

#endif
