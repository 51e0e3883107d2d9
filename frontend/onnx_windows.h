// onnx_windows.h: kernels that slide over space, as Conv and the pooling operators describe them; private.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_ONNX_WINDOWS_H
#define INGOT_ONNX_WINDOWS_H

#include "frontend/onnx_import.h"

enum { ONNX_MAX_SPATIAL = MAX_RANK - 2 };

typedef struct Windows {
  int n;
  int64_t kernel[ONNX_MAX_SPATIAL], stride[ONNX_MAX_SPATIAL], dilation[ONNX_MAX_SPATIAL];
  int64_t pads[2 * ONNX_MAX_SPATIAL]; // all begins, then all ends
} Windows;

// Reads strides, dilations, pads and auto_pad for the spatial dimensions of x; w->kernel is set already.
// Reports what does not fit.
bool windows_read(Call *c, const Value *x, Windows *w);
bool windows_kernel(Call *c, const Value *x, const Value *weights,
                    Windows *w);         // kernel_shape, or the weights'
bool windows_same(Call *c, bool *upper); // auto_pad is SAME_*
// The first three attributes of the core ops: stride, dilation, pads.
void windows_attrs(const Windows *w, Attr *attrs);

#endif
