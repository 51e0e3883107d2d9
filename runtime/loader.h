// loader.h: what the loader's two files share: the text of an error and the look at a file.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_RUNTIME_LOADER_H
#define INGOT_RUNTIME_LOADER_H

#include "ingot_abi.h"

// Where a caller wants the text of an error; `path` is put in front of it.
typedef struct Text {
  const char *path;
  char *to; // may be NULL
  size_t size;
} Text;

// Writes "path: text" and returns code.
int ingot_text_fail(Text *t, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

// INGOT_OK, or why the file is no shared library that this machine could load.
int ingot_elf_check(const char *path, Text *err);

#endif
