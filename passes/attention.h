// attention.h: softmax(q k^T) v as one kernel: the pass that merges its kernels, and its schedule class.
// SPDX-License-Identifier: Apache-2.0
//
// An attention kernel has one stage for each step, all of them sharing the dims of a row of scores (batch, head,
// query), so that everything between is local to that row:
//
//   S[b,h,i, j]   = f(sum(d) q[b,h,i,d] * k[b,h,j,d])      f: scale, mask, bias: of indices or of operands
//   m[b,h,i]      = maximum(j) S[b,h,i,j]
//   l[b,h,i]      = sum(j) exp(S[b,h,i,j] - m[b,h,i])
//   out[b,h,i, e] = sum(j) exp(S[b,h,i,j] - m[b,h,i]) / l[b,h,i] * v[b,h,j,e]
//
// That is what the kernel means. The schedule computes a block of rows at a time: scores of a block of keys in
// scratch memory, their maximum, weights, and the product with the values, going from block to block with the
// running maximum and sum; the division comes last. The score matrix never exists as a whole.
#ifndef INGOT_PASSES_ATTENTION_H
#define INGOT_PASSES_ATTENTION_H

#include "passes/schedule.h"

bool attention_choose(Module *m, Node *n, const PassOptions *o, const Schedule *wanted);
void attention_candidates(Module *m, Node *n, const PassOptions *o, const Schedule *near, ScheduleList *out);
bool attention_lower(Lower *l);
double attention_cycles(Module *m, Node *n);

#endif
