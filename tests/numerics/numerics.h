// numerics.h: compiled code on given inputs, for measuring its errors.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TESTS_NUMERICS_H
#define INGOT_TESTS_NUMERICS_H

#include "codegen/codegen.h"
#include "passes/passes.h"

typedef long double Exact; // 64 bits of mantissa

extern const DType NUMERICS_TYPES[4]; // f32, f64, f16, bf16, as bounds are listed
// Error of `got` in units in the last place of t; infinite where one is NaN and the other is not, or a zero has the
// wrong sign, unless any will do.
double numerics_error(DType t, Exact exact, double got, bool any_zero);
double numerics_unit(uint64_t *state); // random, 0 <= x < 1

// The target that code is made for and runs on.
extern const char *numerics_target;

typedef struct World {
  Ctx *c;
} World;
void world_open(World *w);
void world_close(World *w);
// Compiles the graph and runs it. Ends the program on failure.
void world_run(World *w, const char *text, const Tensor *const *x, Tensor **y);
// The same for a module, whose convolutions are done by Winograd (NULL: directly).
typedef struct WinogradForm {
  int tile;    // outputs in each direction
  bool stored; // weights are transformed at compile time
} WinogradForm;
void world_run_module(World *w, Module *m, const Tensor *const *x, Tensor **y, const WinogradForm *form);

// Functions of two operands; products, reductions and Winograd. false: a bound is passed.
bool check_binary(bool print);
bool check_sums(bool print);

#endif
