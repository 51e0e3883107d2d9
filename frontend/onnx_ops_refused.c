// onnx_ops_refused.c: ONNX operators that a static compiler to plain C libraries cannot mean, and why.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

#define STRINGS "it makes strings, which a compiled model cannot; do it before the model is called"

const OnnxOp ONNX_OPS_REFUSED[] = {
    {"", "StringNormalizer", NULL, STRINGS},
    {"", "StringConcat", NULL, STRINGS},
    {"", "StringSplit", NULL, STRINGS},
    {"", "RegexFullMatch", NULL,
     "it reads strings, which a compiled model cannot; do it before the model is called"},
    {"", "ImageDecoder", NULL, "pictures are decoded before the model is called (ingot run does it)"},
    {"ai.onnx.preview.training", "Gradient", NULL,
     "gradients are not computed; export the model with its backward pass"},
    {0},
};
