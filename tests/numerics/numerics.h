// numerics.h: compiled code on given inputs, for measuring its errors.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TESTS_NUMERICS_H
#define INGOT_TESTS_NUMERICS_H

#include "codegen/codegen.h"
#include "passes/passes.h"

typedef struct World {
  Ctx *c;
} World;
void world_open(World *w);
void world_close(World *w);
// Compiles the graph for x86-64-v3 and runs it. Ends the program on failure.
void world_run(World *w, const char *text, const Tensor *x, Tensor **y);
// The same for a module, whose convolutions are done by Winograd with tiles of m (0: directly).
void world_run_module(World *w, Module *m, const Tensor *const *x, Tensor **y, int tile);

// Products, reductions and Winograd. false: a bound is passed.
bool check_sums(bool print);

#endif
