// dtype.c: the element types: names, sizes, numpy codes; 16-bit floats to and from f32.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"

typedef struct DTypeRow {
  const char *name, *npy;
  int bits;
  char cls;
} DTypeRow;

static const DTypeRow rows[DT_COUNT + 1] = {
#define X(id, text, bits, cls, npy) {text, npy, bits, cls},
    DTYPES(X)
#undef X
        {"none", "", 0, '?'},
};

const char *dtype_name(DType t) {
  return rows[t].name;
}

DType dtype_parse(const char *s, size_t n) {
  for (int i = 0; i < DT_COUNT; i++)
    if (strlen(rows[i].name) == n && memcmp(rows[i].name, s, n) == 0) return (DType)i;
  return DT_NONE;
}

int dtype_bytes(DType t) {
  return rows[t].bits / 8;
}

char dtype_class(DType t) {
  return rows[t].cls;
}

const char *dtype_npy(DType t) {
  return rows[t].npy;
}

static uint32_t f32_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  return u;
}

static float f32_from_bits(uint32_t u) {
  float x;
  memcpy(&x, &u, 4);
  return x;
}

// u >> shift, the bits shifted out rounded to nearest, ties to even (0 < shift < 32).
static uint32_t shift_rne(uint32_t u, int shift) {
  uint32_t half = 1u << (shift - 1), odd = (u >> shift) & 1;
  return (u + half - 1 + odd) >> shift;
}

uint16_t f16_from_f32(float x) {
  uint32_t u = f32_bits(x);
  uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
  u &= 0x7fffffff;
  if (u > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (u >> 13 & 0x3ff)); // NaN, made quiet
  if (u >= 0x477ff000) return sign | 0x7c00;                                // rounds to infinity
  if (u >= 0x38800000) return (uint16_t)(sign | shift_rne(u - (112u << 23), 13));
  if (u < 0x33000000) return sign;               // below half of the smallest subnormal
  int shift = 126 - (int)(u >> 23);              // 14 .. 24
  uint32_t m = (u & 0x7fffff) | 0x800000;        // with the hidden bit
  return (uint16_t)(sign | shift_rne(m, shift)); // a carry gives the smallest normal: right as it is
}

float f16_to_f32(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3ff;
  if (e == 31) return f32_from_bits(sign | 0x7f800000 | m << 13);
  if (e == 0) return f32_from_bits(sign | f32_bits((float)m * 0x1p-24f));
  return f32_from_bits(sign | (e + 112) << 23 | m << 13);
}

uint16_t bf16_from_f32(float x) {
  uint32_t u = f32_bits(x);
  if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40); // NaN stays NaN
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float bf16_to_f32(uint16_t h) {
  return f32_from_bits((uint32_t)h << 16);
}
