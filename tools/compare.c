// compare.c: how far apart two tensors are.
// SPDX-License-Identifier: Apache-2.0
#include "tools/compare.h"

#include <math.h>

// The bits of a float as an integer that grows with its value: neighbours differ by 1.
static int64_t ordered(int64_t bits, int width) {
  int64_t sign = (int64_t)1 << (width - 1);
  return bits & sign ? -(bits & (sign - 1)) : bits;
}

static int64_t float_key(DType t, double x) {
  float f = (float)x;
  int64_t wide;
  int32_t bits;
  switch (t) {
  case DT_F16: return ordered(f16_from_f32(f), 16);
  case DT_BF16: return ordered(bf16_from_f32(f), 16);
  case DT_F32: memcpy(&bits, &f, sizeof bits); return ordered((int64_t)(uint32_t)bits, 32);
  default: memcpy(&wide, &x, sizeof wide); return wide < 0 ? -(wide & INT64_MAX) : wide;
  }
}

static double distance(double want, double got) {
  if (want == got || (isnan(want) && isnan(got))) return 0;
  return isfinite(want) && isfinite(got) ? fabs(got - want) : INFINITY;
}

Difference tensor_compare(const Tensor *want, const Tensor *got) {
  Difference d = {.same_type = type_equal(&want->type, &got->type), .at = -1};
  if (!d.same_type) return d;
  DType t = want->type.dtype;
  double scale = 0;
  for (int64_t i = 0, n = type_elements(&want->type); i < n; i++) {
    double w = tensor_get(want, i), g = tensor_get(got, i), apart = distance(w, g);
    if (isfinite(w) && fabs(w) > scale) scale = fabs(w);
    if (apart == 0) continue;
    d.unequal++;
    if (apart > d.abs) d.abs = apart, d.at = i;
    d.rel = fmax(d.rel, apart / fabs(w));
    if (dtype_is_float(t))
      d.ulp = fmax(d.ulp, isinf(apart) ? INFINITY : fabs((double)(float_key(t, w) - float_key(t, g))));
  }
  d.norm = d.abs > 0 ? d.abs / fmax(scale, 1e-30) : 0;
  return d;
}

double compare_tolerance(DType t) {
  switch (t) {
  case DT_F64: return 1e-10;
  case DT_F32: return 1e-4;
  case DT_F16: return 1e-2;
  case DT_BF16: return 5e-2;
  default: return 0;
  }
}
