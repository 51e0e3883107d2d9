// onnx_document.h: the document of ONNX support.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TESTS_ONNX_DOCUMENT_H
#define INGOT_TESTS_ONNX_DOCUMENT_H

#include "ir/base.h"

// Prints it to standard output; `trained` is a file with a table, `known` are files as onnx_conformance takes them.
// Returns an exit status.
int print_document(Arena *a, const char *trained, const char *const *known, int n);

#endif
