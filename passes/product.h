// product.h: the schedule class of sums of products: matrix products and convolutions in register tiles.
// SPDX-License-Identifier: Apache-2.0
//
// A product kernel has one stage whose value holds exactly one sum, of a product of two operands:
//
//   out[n, co, oh, ow] = max(sum(ci, kh, kw) if(inside, x[n, ci, oh+kh-1, ow+kw-1], 0) * w[co, ci, kh, kw]
//                            + bias[co] + skip[n, co, oh, ow], 0)
//
// Output variables that only one operand depends on span the tile: those of the broadcast operand are called
// M, those of the vector operand N; variables of both are batch, reduction variables K. Tiles of mr rows
// (M) by nv vectors (N) stay in registers while all of K is walked; the epilogue is applied there.
#ifndef INGOT_PASSES_PRODUCT_H
#define INGOT_PASSES_PRODUCT_H

#include "passes/schedule.h"

// Takes f32 products; packs the constant operand by giving it a layout.
bool product_choose(Module *m, Node *n, const PassOptions *o, const Schedule *wanted);
void product_candidates(Module *m, Node *n, const PassOptions *o, const Schedule *near, ScheduleList *out);
bool product_lower(Lower *l);
double product_cycles(Module *m, Node *n);

#endif
