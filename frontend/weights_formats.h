// weights_formats.h: what the readers of the weight formats share; private to weights*.c.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_WEIGHTS_FORMATS_H
#define INGOT_WEIGHTS_FORMATS_H

#include "frontend/weights.h"

enum {
  NPY_HEADER_MAX = 64 << 10,         // numpy itself warns beyond 10,000 bytes
  SAFETENSORS_HEADER_MAX = 32 << 20, // hundreds of thousands of tensors
  WEIGHT_NAME_MAX = 4096,            // bytes in a tensor's name
};

typedef enum WeightPacking { WEIGHT_NPY, WEIGHT_DEFLATED_NPY, WEIGHT_PLAIN } WeightPacking;

// One tensor as the file's directory describes it.
typedef struct WeightEntry {
  const char *name;
  WeightPacking packing;
  uint64_t offset, size; // of its bytes in the file, inside it
  uint64_t full_size;    // WEIGHT_DEFLATED_NPY: after inflating
  uint32_t crc;          // WEIGHT_DEFLATED_NPY
  Type type;             // WEIGHT_PLAIN; dtype DT_NONE: an element type we do not have,
  const char *dtype;     // which is named here
  Tensor *tensor;        // once loaded
} WeightEntry;

struct WeightFile {
  Ctx *ctx;
  const char *path;
  const uint8_t *data;
  size_t size;
  Vec(WeightEntry) entries;
  Map *by_name; // -> index + 1, as a pointer
};

// Adds an entry; reports and returns false if the name is taken or absurd.
bool weights_add(WeightFile *f, Loc loc, WeightEntry e);
// count of elements and bytes of a shape read from a file; false if it overflows or passes the limits.
bool weights_shape_ok(const Type *t, int64_t *bytes);

bool zip_read_directory(WeightFile *f, Loc loc);
uint8_t *zip_inflate(WeightFile *f, Loc loc, const WeightEntry *e); // NULL after reporting
bool safetensors_read_directory(WeightFile *f, Loc loc);
bool llama2c_is(const WeightFile *f); // by its size: the form has no mark
bool llama2c_read_directory(WeightFile *f, Loc loc);

// Little-endian fields at unaligned places.
static inline uint16_t get_le16(const uint8_t *p) {
  return (uint16_t)(p[0] | p[1] << 8);
}
static inline uint32_t get_le32(const uint8_t *p) {
  return get_le16(p) | (uint32_t)get_le16(p + 2) << 16;
}
static inline uint64_t get_le64(const uint8_t *p) {
  return get_le32(p) | (uint64_t)get_le32(p + 4) << 32;
}

#endif
