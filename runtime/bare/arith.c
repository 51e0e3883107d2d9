// arith.c: arithmetic that compilers call routines for on 32-bit machines, where no compiler library is linked.
// SPDX-License-Identifier: Apache-2.0
//
// All weak: where libgcc or compiler-rt is there too, any of them will do.
#include <stdint.h>

#define ROUTINE __attribute__((weak, visibility("hidden")))

#if defined(__arm__)
#define BASE_CALL __attribute__((weak, visibility("hidden"), pcs("aapcs"))) // floats in integer registers

static uint64_t divide(uint64_t n, uint64_t d, uint64_t *rest) {
  uint64_t q = 0, r = 0;
  for (int bit = n >> 32 ? 63 : 31; bit >= 0; bit--) {
    r = r << 1 | (n >> bit & 1);
    q <<= 1;
    if (r >= d) r -= d, q |= 1;
  }
  *rest = r;
  return q;
}

__attribute__((used)) static uint64_t divide_signed(int64_t n, int64_t d, uint64_t *rest) {
  uint64_t q = divide(n < 0 ? 0 - (uint64_t)n : (uint64_t)n, d < 0 ? 0 - (uint64_t)d : (uint64_t)d, rest);
  if (n < 0) *rest = 0 - *rest;
  return (n < 0) != (d < 0) ? 0 - q : q;
}
__attribute__((used)) static uint64_t divide_unsigned(uint64_t n, uint64_t d, uint64_t *rest) {
  return divide(n, d, rest);
}

// The quotient in r0:r1, the remainder in r2:r3.
#define DIVMOD(name, function)                                                                               \
  ROUTINE __attribute__((naked)) void name(void) {                                                           \
    __asm__("push {r4, lr}\n sub sp, #16\n add r4, sp, #8\n str r4, [sp]\n bl " #function                    \
            "\n ldrd r2, r3, [sp, #8]\n add sp, #16\n pop {r4, pc}");                                        \
  }
void __aeabi_ldivmod(void);
void __aeabi_uldivmod(void);
DIVMOD(__aeabi_ldivmod, divide_signed)
DIVMOD(__aeabi_uldivmod, divide_unsigned)

#if !defined(__ARM_FEATURE_IDIV)
static uint32_t divide32(uint32_t n, uint32_t d) {
  uint32_t q = 0, r = 0;
  for (int bit = 31; bit >= 0; bit--) {
    r = r << 1 | (n >> bit & 1);
    q <<= 1;
    if (r >= d) r -= d, q |= 1;
  }
  return q;
}
uint32_t __aeabi_uidiv(uint32_t n, uint32_t d);
ROUTINE uint32_t __aeabi_uidiv(uint32_t n, uint32_t d) {
  return divide32(n, d);
}
int32_t __aeabi_idiv(int32_t n, int32_t d);
ROUTINE int32_t __aeabi_idiv(int32_t n, int32_t d) {
  uint32_t q = divide32(n < 0 ? 0 - (uint32_t)n : (uint32_t)n, d < 0 ? 0 - (uint32_t)d : (uint32_t)d);
  return (int32_t)((n < 0) != (d < 0) ? 0 - q : q);
}
uint64_t __aeabi_uidivmod(uint32_t n, uint32_t d);
ROUTINE uint64_t __aeabi_uidivmod(uint32_t n, uint32_t d) {
  uint32_t q = divide32(n, d);
  return (uint64_t)(n - q * d) << 32 | q;
}
uint64_t __aeabi_idivmod(int32_t n, int32_t d);
ROUTINE uint64_t __aeabi_idivmod(int32_t n, int32_t d) {
  uint32_t q = (uint32_t)__aeabi_idiv(n, d);
  return (uint64_t)((uint32_t)n - q * (uint32_t)d) << 32 | q;
}
#endif

// ---- between 64-bit integers and f32 -------------------------------------------------------------------------

typedef union Bits {
  float f;
  uint32_t u;
} Bits;

// Rounded to nearest, ties to even, from the bits alone.
static float from_unsigned(uint64_t v, uint32_t sign) {
  if (v == 0) return 0;
  int top = 63;
  while (!(v >> top & 1)) top--;
  uint64_t rest = 0, half = 0;
  uint32_t mantissa;
  if (top <= 23) {
    mantissa = (uint32_t)v << (23 - top);
  } else {
    mantissa = (uint32_t)(v >> (top - 23));
    rest = v & (((uint64_t)1 << (top - 23)) - 1);
    half = (uint64_t)1 << (top - 24);
  }
  // A carry out of the mantissa raises the exponent, as it should.
  uint32_t bits = ((uint32_t)(top + 127) << 23) + (mantissa & 0x7fffff);
  if (half && (rest > half || (rest == half && (mantissa & 1)))) bits++;
  return (Bits){.u = bits | sign}.f;
}

static uint64_t magnitude(float x) {
  uint32_t bits = (Bits){.f = x}.u;
  int shift = (int)(bits >> 23 & 0xff) - 150;
  uint64_t m = (bits & 0x7fffff) | 0x800000;
  if (shift >= 41) return UINT64_MAX;
  return shift >= 0 ? m << shift : shift > -24 ? m >> -shift : 0;
}

BASE_CALL float __aeabi_l2f(int64_t v);
BASE_CALL float __aeabi_l2f(int64_t v) {
  return from_unsigned(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0 ? 0x80000000u : 0);
}
BASE_CALL float __aeabi_ul2f(uint64_t v);
BASE_CALL float __aeabi_ul2f(uint64_t v) {
  return from_unsigned(v, 0);
}
BASE_CALL int64_t __aeabi_f2lz(float x);
BASE_CALL int64_t __aeabi_f2lz(float x) {
  if (x != x) return 0;
  uint64_t m = magnitude(x);
  if (x < 0) return m > INT64_MAX ? INT64_MIN : (int64_t)(0 - m);
  return m > INT64_MAX ? INT64_MAX : (int64_t)m;
}
BASE_CALL uint64_t __aeabi_f2ulz(float x);
BASE_CALL uint64_t __aeabi_f2ulz(float x) {
  return x > 0 ? magnitude(x) : 0;
}

#elif defined(__wasm__)

// The low 128 bits of a product, as clang wants them for 64-bit multiplication with overflow.
__int128 __multi3(__int128 a, __int128 b);
ROUTINE __int128 __multi3(__int128 a, __int128 b) {
  uint64_t al = (uint64_t)a, bl = (uint64_t)b, mask = UINT32_MAX;
  uint64_t low = (al & mask) * (bl & mask), m1 = (al >> 32) * (bl & mask) + (low >> 32);
  uint64_t m2 = (al & mask) * (bl >> 32) + (m1 & mask);
  uint64_t high = (al >> 32) * (bl >> 32) + (m1 >> 32) + (m2 >> 32);
  high += (uint64_t)((unsigned __int128)a >> 64) * bl + al * (uint64_t)((unsigned __int128)b >> 64);
  return (__int128)((unsigned __int128)high << 64 | (m2 << 32 | (low & mask)));
}

#endif

typedef int ArithNotEmpty;
