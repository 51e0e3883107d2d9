// onnx_attention.h: attention as ONNX operators of several domains describe it; private to onnx*.c.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_ONNX_ATTENTION_H
#define INGOT_ONNX_ATTENTION_H

#include "frontend/onnx_import.h"

// q [b,h,s,d], k [b,g,l,d], v [b,g,l,e]; query i stands at key position i + past.
typedef struct Attention {
  Value *q, *k, *v;
  Value *mask;    // bool (true: may be seen) or added to the scores; broadcasts to [b,h,s,l]; NULL: none
  double scale;   // 0: 1 / sqrt(d)
  double softcap; // 0: none
  bool causal;
  int64_t window; // keys further back than this are hidden; -1: none
  Dim past;
} Attention;

Value *split_heads(Call *c, Value *x, int64_t heads); // [b,s,h*d] to [b,h,s,d]
Value *merge_heads(Call *c, Value *x);                // and back
Value *append_rows(Call *c, Value *past, Value *x);   // along dimension 2; past may be NULL
Value *attend(Call *c, const Attention *a);           // [b,h,s,e]
// q k^T times the scale, with k's heads repeated for the groups of q's.
Value *attention_scores(Call *c, const Attention *a);
// Both masks at once; either may be NULL, `allowed` is bool.
Value *mask_both(Call *c, Value *mask, Value *allowed, DType t);
// True at [b,1,1,l] where l < length[b] (+ more).
Value *length_mask(Call *c, Value *length, Dim l);

#endif
