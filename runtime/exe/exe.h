// exe.h: what the files of a standalone executable share.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_RUNTIME_EXE_H
#define INGOT_RUNTIME_EXE_H

#include "runtime/ingot.h"

#include <stdbool.h>

enum { EXE_FINE = 0, EXE_INPUT = 1, EXE_USAGE = 2 };

// An array as it lies in a .npy file.
typedef struct Array {
  int32_t dtype, rank;
  int64_t dims[INGOT_MAX_RANK];
  const char *data;
  uint64_t bytes;
} Array;

// A file in memory, ended by a zero byte beyond its size. Says what is wrong and returns NULL on failure.
char *exe_read_file(const char *path, uint64_t *size);
// An array out of `size` bytes of a .npy file; NULL or what is wrong.
const char *npy_parse(const char *file, uint64_t size, Array *out);
bool npy_write(const char *path, const Array *a);

// Goes over the members of a .npz file: calls fn with each member's name (without .npy) until it returns false.
typedef bool (*NpzFn)(void *user, const char *name, const Array *a);
const char *npz_each(const char *file, uint64_t size, NpzFn fn, void *user);

#endif
