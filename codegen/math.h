// math.h: building blocks of the functions in math*.c: everything works on scalars and vectors alike.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_CODEGEN_MATH_H
#define INGOT_CODEGEN_MATH_H

#include "codegen/internal.h"
#include "codegen/math_tables.h"

// What differs between the two formats.
typedef struct Format {
  int mantissa, bias;                     // bits stored; of the exponent
  double round;                           // adding it leaves the integer in the low bits
  double ln2_hi, ln2_lo;                  // hi times any exponent is exact
  double smallest_normal, exp_lo, exp_hi; // beyond the last two exp is 0 and infinite
  double exp_normal_lo;                   // from here on it is normal
} Format;
const Format *math_format(LLVMValueRef x);
bool is_f64(LLVMValueRef x);

static inline LLVMValueRef num(LLVMValueRef like, double v) {
  return gen_num(like, v);
}
LLVMValueRef m_add(Gen *g, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef m_sub(Gen *g, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef m_mul(Gen *g, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef m_div(Gen *g, LLVMValueRef a, LLVMValueRef b);
// a * b + c: fused where the target has it, else rounded twice.
LLVMValueRef m_fma(Gen *g, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
LLVMValueRef m_fma_num(Gen *g, LLVMValueRef a, double b, LLVMValueRef c);
LLVMValueRef m_poly(Gen *g, LLVMValueRef x, const double *c, int n); // by Horner
#define M_POLY(g, x, table) m_poly(g, x, table, ARRAY_LEN(table))
LLVMValueRef m_abs(Gen *g, LLVMValueRef x);
LLVMValueRef m_neg(Gen *g, LLVMValueRef x);
LLVMValueRef m_sqrt(Gen *g, LLVMValueRef x);
LLVMValueRef m_sign_of(Gen *g, LLVMValueRef magnitude, LLVMValueRef sign);
LLVMValueRef m_compare(Gen *g, LLVMRealPredicate p, LLVMValueRef a, double b);
LLVMValueRef m_select(Gen *g, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b);
// Bit patterns.
LLVMValueRef m_bits(Gen *g, LLVMValueRef x);
LLVMValueRef m_from_bits(Gen *g, LLVMValueRef bits, LLVMValueRef like);
LLVMValueRef m_power_of_two(Gen *g, LLVMValueRef n, LLVMValueRef like); // n within the normal exponents
// The nearest integer of |x| < 2^22 (2^51), as a float, and as an int of the same width in *n.
LLVMValueRef m_nearest(Gen *g, LLVMValueRef x, LLVMValueRef *n);
LLVMValueRef m_nearest_of(Gen *g, LLVMValueRef x, double factor, LLVMValueRef *n); // of the product

// The same function of doubles, for an f32 argument.
typedef LLVMValueRef (*MathFn)(Gen *g, LLVMValueRef x);
LLVMValueRef m_by_f64(Gen *g, MathFn fn, LLVMValueRef x);
// `fast`, but where `slow` is set what libm's function gives. Costs a branch that is hardly ever taken.
LLVMValueRef m_or_libm(Gen *g, LLVMValueRef slow, LLVMValueRef fast, const char *name, LLVMValueRef x,
                       LLVMValueRef y);

LLVMValueRef math_exp(Gen *g, LLVMValueRef x);
// For sums with something like 1: what is below the normal numbers is the smallest of them instead, and the upper
// half of the last binade infinite.
LLVMValueRef math_exp_coarse(Gen *g, LLVMValueRef x);
// For x that is not positive (it may be NaN): the same bits as math_exp gives, with fewer instructions.
LLVMValueRef math_exp_falling(Gen *g, LLVMValueRef x);
LLVMValueRef math_expm1(Gen *g, LLVMValueRef x);
LLVMValueRef math_sinh(Gen *g, LLVMValueRef x);
LLVMValueRef math_cosh(Gen *g, LLVMValueRef x);
LLVMValueRef math_tanh(Gen *g, LLVMValueRef x);
LLVMValueRef math_erf(Gen *g, LLVMValueRef x);
LLVMValueRef math_erf_plus_1(Gen *g, LLVMValueRef x); // of f32
LLVMValueRef math_log(Gen *g, LLVMValueRef x);
LLVMValueRef math_log1p(Gen *g, LLVMValueRef x);
LLVMValueRef math_asinh(Gen *g, LLVMValueRef x);
LLVMValueRef math_acosh(Gen *g, LLVMValueRef x);
LLVMValueRef math_atanh(Gen *g, LLVMValueRef x);
LLVMValueRef math_sin(Gen *g, LLVMValueRef x);
LLVMValueRef math_cos(Gen *g, LLVMValueRef x);
LLVMValueRef math_tan(Gen *g, LLVMValueRef x);
LLVMValueRef math_asin(Gen *g, LLVMValueRef x);
LLVMValueRef math_acos(Gen *g, LLVMValueRef x);
LLVMValueRef math_atan(Gen *g, LLVMValueRef x);

#endif
