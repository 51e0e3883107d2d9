// onnx_ml.h: what the operators of ai.onnx.ml have in common; private to onnx_ml*.c.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_ONNX_ML_H
#define INGOT_ONNX_ML_H

#include "frontend/onnx_import.h"

#define ML "ai.onnx.ml"

Value *float_list(Call *c, const char *name, int *n); // an attribute as f32[n]; n is 0 if absent

// ---- onnx_ml_scores.c: from sums to scores and labels ------------------------------------------------------------

// A classifier's answer from its sums [N,C]. With one sum for two classes, the other class gets 1 - sum if `share`
// (the sum is a share of 1) and -sum if not.
bool ret_classes(Call *c, Value *sums, bool share);
// The answer from votes [N,C] and what each of n pairs of classes decided, [N,1] each.
bool ret_votes(Call *c, Value *votes, Value *const *decisions, int n);
int class_count(Call *c); // labels; -1 after reporting that there are none
// The sums after the attribute post_transform.
Value *post_transform(Call *c, Value *sums, const char *name);

#endif
