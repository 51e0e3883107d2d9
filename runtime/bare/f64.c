// f64.c: what compilers call for doubles where the processor has no instruction: fused multiply-add, and on 32-bit ARM
// conversions or all of their arithmetic.
// SPDX-License-Identifier: Apache-2.0
//
// All weak, as in arith.c.
#include "runtime/bare/f64.h"

typedef union Double {
  double d;
  uint64_t u;
} Double;

#if defined(INGOT_BARE)
#define ROUTINE __attribute__((weak, visibility("hidden")))
double fma(double a, double b, double c);
ROUTINE double fma(double a, double b, double c) {
  return (Double){.u = f64_fma((Double){.d = a}.u, (Double){.d = b}.u, (Double){.d = c}.u)}.d;
}
double sqrt(double x);
ROUTINE double sqrt(double x) {
  return (Double){.u = f64_sqrt((Double){.d = x}.u)}.d;
}
#endif

#if defined(__arm__)
// ARM's run-time ABI hands doubles over as pairs of registers, as it does 64-bit integers.
#define BASE __attribute__((weak, visibility("hidden"), pcs("aapcs")))
#define BASE_CALL(result, name, params)                                                                      \
  BASE result name params;                                                                                   \
  BASE result name params
BASE_CALL(uint64_t, __aeabi_l2d, (int64_t v)) {
  return f64_from_i64(v);
}
BASE_CALL(uint64_t, __aeabi_ul2d, (uint64_t v)) {
  return f64_from_u64(v, 0);
}
BASE_CALL(int64_t, __aeabi_d2lz, (uint64_t x)) {
  return f64_to_i64(x, INT64_MAX);
}
BASE_CALL(uint64_t, __aeabi_d2ulz, (uint64_t x)) {
  return f64_to_u64(x, UINT64_MAX);
}
#if !(__ARM_FP & 8) // no doubles in hardware
BASE_CALL(uint64_t, __aeabi_dadd, (uint64_t a, uint64_t b)) {
  return f64_add(a, b);
}
BASE_CALL(uint64_t, __aeabi_dsub, (uint64_t a, uint64_t b)) {
  return f64_add(a, b ^ F64_SIGN);
}
BASE_CALL(uint64_t, __aeabi_dmul, (uint64_t a, uint64_t b)) {
  return f64_mul(a, b);
}
BASE_CALL(uint64_t, __aeabi_ddiv, (uint64_t a, uint64_t b)) {
  return f64_div(a, b);
}
BASE_CALL(int, __aeabi_dcmpeq, (uint64_t a, uint64_t b)) {
  return f64_equal(a, b);
}
BASE_CALL(int, __aeabi_dcmplt, (uint64_t a, uint64_t b)) {
  return f64_less(a, b);
}
BASE_CALL(int, __aeabi_dcmple, (uint64_t a, uint64_t b)) {
  return f64_less(a, b) || f64_equal(a, b);
}
BASE_CALL(int, __aeabi_dcmpge, (uint64_t a, uint64_t b)) {
  return f64_less(b, a) || f64_equal(a, b);
}
BASE_CALL(int, __aeabi_dcmpgt, (uint64_t a, uint64_t b)) {
  return f64_less(b, a);
}
BASE_CALL(int, __aeabi_dcmpun, (uint64_t a, uint64_t b)) {
  return f64_unordered(a, b);
}
BASE_CALL(uint64_t, __aeabi_i2d, (int32_t v)) {
  return f64_from_i64(v);
}
BASE_CALL(uint64_t, __aeabi_ui2d, (uint32_t v)) {
  return f64_from_u64(v, 0);
}
BASE_CALL(int32_t, __aeabi_d2iz, (uint64_t x)) {
  return (int32_t)f64_to_i64(x, INT32_MAX);
}
BASE_CALL(uint32_t, __aeabi_d2uiz, (uint64_t x)) {
  return (uint32_t)f64_to_u64(x, UINT32_MAX);
}
BASE_CALL(uint64_t, __aeabi_f2d, (uint32_t x)) {
  return f64_from_f32(x);
}
BASE_CALL(uint32_t, __aeabi_d2f, (uint64_t x)) {
  return f64_to_f32(x);
}
#endif
#endif

typedef int F64NotEmpty;
