// onnx.h: ONNX models as modules of the IR.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_ONNX_H
#define INGOT_ONNX_H

#include "frontend/frontend.h"
#include "frontend/onnx_wire.h"

// What is known of an input beside the model file: more than text on a command line can say.
typedef struct OnnxInput {
  const char *name;
  const OnnxTensor *strings;   // these constant strings
  const Tensor *frozen;        // this constant, instead of an input
  const Type *type;            // its type; NULL: as in the file
  bool is_sequence, is_absent; // a list of `items`; an optional without a value
  int nitems;
  const struct OnnxInput *items; // their types (or constants)
} OnnxInput;

typedef struct OnnxOptions {
  const FrontendOptions *user; // may be NULL
  int ninputs;
  const OnnxInput *inputs;
} OnnxOptions;

// Reads and translates the model at `path`. Everything unsupported is reported at once, before any
// translation. NULL after reporting.
Module *onnx_load(Ctx *c, const char *path, const FrontendOptions *user);
Module *onnx_import(Ctx *c, const OnnxModel *model, const OnnxOptions *o);

// The table of operators, for documents and tests: row i, false behind the last one.
typedef struct OnnxOpInfo {
  const char *domain, *name;
  const char *unsupported; // why, if it is
} OnnxOpInfo;
bool onnx_op_at(int i, OnnxOpInfo *info);

#endif
