// onnx_tensor.h: ONNX tensors, in the file or beside it, as constants of the IR.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_ONNX_TENSOR_H
#define INGOT_ONNX_TENSOR_H

#include "frontend/onnx_wire.h"
#include "ir/ir.h"

// The file that tensors come from, and the external files they name.
typedef struct OnnxFiles {
  Ctx *ctx;
  const char *path; // of the model
  const uint8_t *bytes;
  size_t size;
  Map *external; // location -> OnnxExternal *
} OnnxFiles;

OnnxFiles *onnx_files_new(Ctx *c, const char *path, const uint8_t *bytes, size_t size);

// The element type that values of an ONNX type have in the IR: its own where the IR has it, i8/u8 for the
// types of 2 and 4 bits, f32 for floats of 4 and 8 bits (whose values it holds exactly). DT_NONE for
// strings, complex numbers and what is unknown.
DType onnx_dtype(int32_t elem);
int32_t onnx_elem_of(DType t); // the ONNX type that is exactly t
// Bits of one element of the small types, 0 for the others.
int onnx_small_bits(int32_t elem);
// The value of a float of 4 or 8 bits.
float onnx_small_float(int32_t elem, uint8_t bits);

// The constant. Its data is mapped if the file holds it as the IR wants it, else converted. Reports at
// `loc` and returns NULL if sizes do not fit, the type has no counterpart, or external data is not there.
Tensor *onnx_tensor(OnnxFiles *f, Loc loc, const OnnxTensor *t);
Tensor *onnx_sparse_tensor(OnnxFiles *f, Loc loc, const OnnxSparse *s); // made dense

#endif
