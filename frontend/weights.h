// weights.h: tensors in .npy, .npz and .safetensors files, mapped where the format allows; .npy/.npz output.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_WEIGHTS_H
#define INGOT_WEIGHTS_H

#include "ir/ir.h"

// An open weight file: a list of named tensors, in file order. A .npy file has one tensor, named after the
// file without folder and suffix. Files are untrusted: every size is checked against the file before use.
typedef struct WeightFile WeightFile;

// Opens by content, not by suffix. Reports at `loc` (the place that named the file) and returns NULL when
// the file is unreadable or its directory is broken. Tensors are looked at when they are asked for.
WeightFile *weights_open(Ctx *c, Loc loc, const char *path);
int weights_count(const WeightFile *f);
const char *weights_name(const WeightFile *f, int i);
const char *weights_path(const WeightFile *f);
bool weights_has(const WeightFile *f, const char *name);
// The tensor: dense, row-major, little-endian. Its data points into the mapped file (and may be unaligned)
// unless it had to be inflated, byte-swapped or brought to row-major order; then `file` is NULL. Reports at
// `loc` and returns NULL if there is none of that name (with the nearest name) or it is damaged.
const Tensor *weights_get(WeightFile *f, Loc loc, const char *name);
const Tensor *weights_at(WeightFile *f, Loc loc, int i);

// Parses one .npy image; `name` is used in messages. The tensor's data points into `bytes` if possible.
Tensor *npy_parse(Ctx *c, Loc loc, const char *name, const uint8_t *bytes, size_t size);

// Writes files that appear whole or not at all. bf16 is stored as numpy's raw 2-byte type ("<V2").
bool npy_save(Ctx *c, const char *path, const Tensor *t);
// An uncompressed archive whose members can be mapped: their data starts at multiples of 64.
bool npz_save(Ctx *c, const char *path, const char *const *names, const Tensor *const *tensors, int n);

#endif
