// compare.h: how far apart two tensors are.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_COMPARE_H
#define INGOT_TOOLS_COMPARE_H

#include "ir/ir.h"

typedef struct Difference {
  bool same_type;  // else nothing below is set
  double abs;      // largest |got - want|
  double rel;      // largest |got - want| / |want|
  double ulp;      // largest distance in representable numbers of the type; 0 for integers
  double norm;     // abs / largest |want|: what the verdict goes by, since it does not punish cancellation
  int64_t at;      // element with the largest |got - want|
  int64_t unequal; // elements that are not bitwise equal numbers
} Difference;

// NaN equals NaN and an infinity the same infinity; against anything else they are infinitely far.
Difference tensor_compare(const Tensor *want, const Tensor *got);
// What `norm` may be before values of that type count as departing: rounding of a deep network, not more.
double compare_tolerance(DType t);

#endif
