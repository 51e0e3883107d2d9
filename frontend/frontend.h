// frontend.h: model files of every format, read into a module.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_FRONTEND_H
#define INGOT_FRONTEND_H

#include "ir/ir.h"

// What the user says beside the file. Texts are as on the command line; what is wrong with them is reported.
typedef struct FrontendOptions {
  const char *name;       // of the module; NULL: the file's name as a C identifier
  Vec(const char *) dims; // "SYM=4" fixes a symbolic dimension, "SYM<=512" sets its bound
  Vec(const char *)
      states; // "PAST=PRESENT": an input and an output, one value from run to run; * fits any text
  Vec(const char *) shapes; // "INPUT=1,3,224,224" fixes an input's shape; an extent may be "SYM<=512"
} FrontendOptions;

// Reads the model at `path`: YAML, ONNX or IR text (a graph or any dump), told apart by content. NULL after
// reporting; options NULL means none.
Module *frontend_load(Ctx *c, const char *path, const FrontendOptions *o);

#endif
