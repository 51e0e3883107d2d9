// product.h: schedules of sums of products: matrix products and convolutions in register tiles.
// SPDX-License-Identifier: Apache-2.0
//
// A product kernel has one stage whose value holds exactly one sum, of a product of two operands:
//
//   out[n, co, oh, ow] = max(sum(ci, kh, kw) if(inside, x[n, ci, oh+kh-1, ow+kw-1], 0) * w[co, ci, kh, kw]
//                            + bias[co] + skip[n, co, oh, ow], 0)
//
// Output variables that only one operand depends on span the tile: those of the broadcast operand are called
// M, those of the vector operand N; variables of both are batch, reduction variables K.
#ifndef INGOT_PASSES_PRODUCT_H
#define INGOT_PASSES_PRODUCT_H

#include "passes/passes.h"

// Layouts a kernel would like, before values have any: see layout.c. Fills in the schedule's kind and
// returns true if the kernel is a product that these schedules handle.
bool product_accepts(Module *m, Kernel *k);
// Chooses the tile and loop order for the layouts that the values have now. false: use another class.
bool product_schedule(Module *m, Node *n, Kernel *k, const PassOptions *o);
// Makes k->body. false: use another class (nothing was changed).
bool product_lower(Module *m, Node *n, Kernel *k);

#endif
