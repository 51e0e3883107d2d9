// cost.h: how many floating-point operations a model is worth, counted from the ops' definitions.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_COST_H
#define INGOT_TOOLS_COST_H

#include "ir/ir.h"

// Additions, multiplications, comparisons and functions on floats count one each, a fused multiply-add two;
// index arithmetic, conversions and moves nothing. Symbolic extents count at their bounds, branches of an
// `if` both, a loop's body once.
double node_flops(Ctx *c, const Node *n);
double graph_flops(Ctx *c, const Graph *g);

#endif
