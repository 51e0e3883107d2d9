// math.c: building blocks of mathematical functions, rounding, fused multiply-add, and the table of functions.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/math.h"

// ---- formats ----------------------------------------------------------------------------------------------------

bool is_f64(LLVMValueRef x) {
  return LLVMGetTypeKind(gen_type_scalar(x)) == LLVMDoubleTypeKind;
}

const Format *math_format(LLVMValueRef x) {
  static const Format f32 = {23, 127, 0x1.8p23, 0x1.62e4p-1, 0x1.7f7d1cf79abcap-20, 0x1p-126, -104, 89, -87};
  static const Format f64 = {52,   1023, 0x1.8p52, 0x1.62e42fefa3p-1, 0x1.3de6af278ece6p-42, 0x1p-1022,
                             -746, 710,  -708};
  return is_f64(x) ? &f64 : &f32;
}

// ---- arithmetic ---------------------------------------------------------------------------------------------------

LLVMValueRef m_add(Gen *g, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildFAdd(g->b, a, b, "");
}

LLVMValueRef m_sub(Gen *g, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildFSub(g->b, a, b, "");
}

LLVMValueRef m_mul(Gen *g, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildFMul(g->b, a, b, "");
}

LLVMValueRef m_div(Gen *g, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildFDiv(g->b, a, b, "");
}

LLVMValueRef m_fma(Gen *g, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
  if (!g->target->fma) return m_add(g, m_mul(g, a, b), c);
  return gen_intrinsic(g, "llvm.fma", LLVMTypeOf(a), (LLVMValueRef[]){a, b, c}, 3);
}

LLVMValueRef m_fma_num(Gen *g, LLVMValueRef a, double b, LLVMValueRef c) {
  return m_fma(g, a, num(a, b), c);
}

LLVMValueRef m_poly(Gen *g, LLVMValueRef x, const double *c, int n) {
  LLVMValueRef p = num(x, c[n - 1]);
  for (int i = n - 2; i >= 0; i--) p = m_fma(g, p, x, num(x, c[i]));
  return p;
}

LLVMValueRef m_abs(Gen *g, LLVMValueRef x) {
  return gen_intrinsic(g, "llvm.fabs", LLVMTypeOf(x), &x, 1);
}

LLVMValueRef m_neg(Gen *g, LLVMValueRef x) {
  return LLVMBuildFNeg(g->b, x, "");
}

LLVMValueRef m_sqrt(Gen *g, LLVMValueRef x) {
  return gen_intrinsic(g, "llvm.sqrt", LLVMTypeOf(x), &x, 1);
}

LLVMValueRef m_sign_of(Gen *g, LLVMValueRef magnitude, LLVMValueRef sign) {
  return gen_intrinsic(g, "llvm.copysign", LLVMTypeOf(sign), (LLVMValueRef[]){magnitude, sign}, 2);
}

LLVMValueRef m_compare(Gen *g, LLVMRealPredicate p, LLVMValueRef a, double b) {
  return LLVMBuildFCmp(g->b, p, a, num(a, b), "");
}

LLVMValueRef m_select(Gen *g, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b) {
  return LLVMBuildSelect(g->b, c, a, b, "");
}

// ---- bits ---------------------------------------------------------------------------------------------------------

LLVMValueRef m_bits(Gen *g, LLVMValueRef x) {
  LLVMTypeRef t = LLVMIntTypeInContext(g->llvm, is_f64(x) ? 64 : 32);
  return LLVMBuildBitCast(g->b, x, gen_type_with(x, t), "");
}

LLVMValueRef m_from_bits(Gen *g, LLVMValueRef bits, LLVMValueRef like) {
  return LLVMBuildBitCast(g->b, bits, LLVMTypeOf(like), "");
}

LLVMValueRef m_power_of_two(Gen *g, LLVMValueRef n, LLVMValueRef like) {
  const Format *f = math_format(like);
  LLVMValueRef biased = LLVMBuildAdd(g->b, n, gen_int(n, f->bias), "");
  return m_from_bits(g, LLVMBuildShl(g->b, biased, gen_int(n, f->mantissa), ""), like);
}

// By the sum with 1.5 * 2^mantissa: no instruction beyond an addition, no call on any target.
LLVMValueRef m_nearest_of(Gen *g, LLVMValueRef x, double factor, LLVMValueRef *n) {
  LLVMValueRef magic = num(x, math_format(x)->round);
  LLVMValueRef sum = factor == 1 ? m_add(g, x, magic) : m_fma_num(g, x, factor, magic);
  if (n) {
    LLVMValueRef from = m_bits(g, magic);
    *n = LLVMBuildSub(g->b, m_bits(g, sum), from, "");
  }
  return m_sub(g, sum, magic);
}

LLVMValueRef m_nearest(Gen *g, LLVMValueRef x, LLVMValueRef *n) {
  return m_nearest_of(g, x, 1, n);
}

LLVMValueRef m_by_f64(Gen *g, MathFn fn, LLVMValueRef x) {
  LLVMTypeRef f64 = gen_type_with(x, LLVMDoubleTypeInContext(g->llvm));
  LLVMValueRef y = fn(g, LLVMBuildFPExt(g->b, x, f64, ""));
  return LLVMBuildFPTrunc(g->b, y, LLVMTypeOf(x), "");
}

// ---- libm -----------------------------------------------------------------------------------------------------------

static LLVMValueRef call_libm(Gen *g, const char *name, LLVMValueRef x, LLVMValueRef y) {
  LLVMTypeRef t = LLVMTypeOf(x), two[] = {t, t};
  LLVMTypeRef ft = LLVMFunctionType(t, two, y ? 2 : 1, false);
  const char *full = is_f64(x) ? name : arena_printf(g->c->arena, "%sf", name);
  LLVMValueRef fn = LLVMGetNamedFunction(g->module, full);
  if (!fn) fn = LLVMAddFunction(g->module, full, ft);
  return LLVMBuildCall2(g->b, ft, fn, (LLVMValueRef[]){x, y}, y ? 2 : 1, "");
}

// Lane by lane.
static LLVMValueRef libm_lanes(Gen *g, const char *name, LLVMValueRef x, LLVMValueRef y) {
  if (!is_vector(x)) return call_libm(g, name, x, y);
  LLVMValueRef r = LLVMGetPoison(LLVMTypeOf(x));
  for (unsigned i = 0; i < gen_lanes(x); i++) {
    LLVMValueRef at = gen_i64(g, i);
    LLVMValueRef b = y ? LLVMBuildExtractElement(g->b, y, at, "") : NULL;
    LLVMValueRef one = call_libm(g, name, LLVMBuildExtractElement(g->b, x, at, ""), b);
    r = LLVMBuildInsertElement(g->b, r, one, at, "");
  }
  return r;
}

static LLVMValueRef any_lane(Gen *g, LLVMValueRef mask) {
  if (!is_vector(mask)) return mask;
  LLVMTypeRef bits = LLVMIntTypeInContext(g->llvm, gen_lanes(mask));
  return LLVMBuildICmp(g->b, LLVMIntNE, LLVMBuildBitCast(g->b, mask, bits, ""), LLVMConstNull(bits), "");
}

LLVMValueRef m_or_libm(Gen *g, LLVMValueRef slow, LLVMValueRef fast, const char *name, LLVMValueRef x,
                       LLVMValueRef y) {
  LLVMBasicBlockRef rare = LLVMAppendBasicBlockInContext(g->llvm, g->fn, name);
  LLVMBasicBlockRef end = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "fast");
  LLVMBasicBlockRef from[] = {LLVMGetInsertBlock(g->b), rare};
  LLVMBuildCondBr(g->b, any_lane(g, slow), rare, end);
  LLVMPositionBuilderAtEnd(g->b, rare);
  LLVMValueRef values[] = {fast, m_select(g, slow, libm_lanes(g, name, x, y), fast)};
  LLVMBuildBr(g->b, end);
  LLVMPositionBuilderAtEnd(g->b, end);
  LLVMValueRef phi = LLVMBuildPhi(g->b, LLVMTypeOf(fast), "");
  LLVMAddIncoming(phi, values, from, 2);
  return phi;
}

// ---- rounding to integers -------------------------------------------------------------------------------------------

// Without an instruction for it: all floats of 2^mantissa and more are integers, the sum rounds the others.
static LLVMValueRef round_even(Gen *g, LLVMValueRef x) {
  double limit = is_f64(x) ? 0x1p52 : 0x1p23;
  LLVMValueRef a = m_abs(g, x), shift = num(x, limit);
  LLVMValueRef r = m_sub(g, m_add(g, a, shift), shift);
  LLVMValueRef small = m_compare(g, LLVMRealOLT, a, limit); // NaN stays
  return m_select(g, small, m_sign_of(g, r, x), x);
}

static LLVMValueRef round_by_hand(Gen *g, ExprOp op, LLVMValueRef x) {
  if (op == E_TRUNC) return m_sign_of(g, round_by_hand(g, E_FLOOR, m_abs(g, x)), x);
  LLVMValueRef r = round_even(g, x);
  if (op == E_ROUND) return r;
  bool floor = op == E_FLOOR;
  LLVMValueRef off = LLVMBuildFCmp(g->b, floor ? LLVMRealOGT : LLVMRealOLT, r, x, "");
  LLVMValueRef next = m_add(g, r, num(x, floor ? -1 : 1));
  return m_sign_of(g, m_select(g, off, next, r), x); // -0.3 rounds up to -0
}

LLVMValueRef math_round(Gen *g, ExprOp op, LLVMValueRef x) {
  if (!target_has_round(g->target)) return round_by_hand(g, op, x);
  const char *name = op == E_FLOOR   ? "llvm.floor"
                     : op == E_CEIL  ? "llvm.ceil"
                     : op == E_TRUNC ? "llvm.trunc"
                                     : "llvm.roundeven";
  return gen_intrinsic(g, name, LLVMTypeOf(x), &x, 1);
}

// ---- fused multiply-add -----------------------------------------------------------------------------------------------

// By f64: the product is exact, the sum is rounded to odd, which makes the second rounding harmless
// (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
static LLVMValueRef fma_f32_by_f64(Gen *g, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
  LLVMTypeRef f64 = gen_type_with(a, LLVMDoubleTypeInContext(g->llvm));
  LLVMValueRef bd = LLVMBuildFPExt(g->b, b, f64, ""), p = m_mul(g, LLVMBuildFPExt(g->b, a, f64, ""), bd);
  LLVMValueRef d = LLVMBuildFPExt(g->b, c, f64, "");
  LLVMValueRef s = m_add(g, p, d), back = m_sub(g, s, p);
  LLVMValueRef rest = m_sub(g, d, back), err = m_add(g, m_sub(g, p, m_sub(g, s, back)), rest);
  LLVMValueRef bits = m_bits(g, s);
  LLVMValueRef even =
      LLVMBuildICmp(g->b, LLVMIntEQ, LLVMBuildAnd(g->b, bits, gen_int(bits, 1), ""), gen_int(bits, 0), "");
  LLVMValueRef inexact = m_compare(g, LLVMRealONE, err, 0);
  // One step in the error's direction: away from 0 if error and sum have one sign.
  LLVMValueRef same =
      LLVMBuildICmp(g->b, LLVMIntSGE, LLVMBuildXor(g->b, bits, m_bits(g, err), ""), gen_int(bits, 0), "");
  LLVMValueRef step = m_select(g, same, gen_int(bits, 1), gen_int(bits, -1));
  LLVMValueRef odd = m_from_bits(g, LLVMBuildAdd(g->b, bits, step, ""), s);
  s = m_select(g, LLVMBuildAnd(g->b, even, inexact, ""), odd, s);
  return LLVMBuildFPTrunc(g->b, s, LLVMTypeOf(a), "");
}

LLVMValueRef math_fma(Gen *g, DType t, LLVMValueRef a, LLVMValueRef b, LLVMValueRef d) {
  if (!g->target->fma && t != DT_F64) return fma_f32_by_f64(g, a, b, d);
  return gen_intrinsic(g, "llvm.fma", LLVMTypeOf(a), (LLVMValueRef[]){a, b, d}, 3);
}

// ---- remainder ----------------------------------------------------------------------------------------------------------

// fmod of f32 in f64: with a quotient below 2^28 the product is exact; the quotient may be one too large.
static LLVMValueRef rem_f32(Gen *g, LLVMValueRef x, LLVMValueRef y) {
  LLVMTypeRef f64 = gen_type_with(x, LLVMDoubleTypeInContext(g->llvm));
  LLVMValueRef a = m_abs(g, LLVMBuildFPExt(g->b, x, f64, "")), b = m_abs(g, LLVMBuildFPExt(g->b, y, f64, ""));
  LLVMValueRef q = m_div(g, a, b);
  LLVMValueRef whole = math_round(g, E_TRUNC, q);
  LLVMValueRef r = m_sub(g, a, m_mul(g, whole, b));
  LLVMValueRef up = m_add(g, r, b);
  r = m_select(g, m_compare(g, LLVMRealOLT, r, 0), up, r);
  LLVMValueRef finite = m_compare(g, LLVMRealOLT, a, __builtin_inf());
  LLVMValueRef infinite = LLVMBuildAnd(g->b, finite, m_compare(g, LLVMRealOEQ, b, __builtin_inf()), "");
  r = m_select(g, infinite, a, r);
  LLVMValueRef fast = m_sign_of(g, LLVMBuildFPTrunc(g->b, r, LLVMTypeOf(x), ""), x);
  LLVMValueRef bounded = m_compare(g, LLVMRealOLT, q, __builtin_inf());
  LLVMValueRef large = LLVMBuildAnd(g->b, m_compare(g, LLVMRealOGE, q, 0x1p28), bounded, "");
  return m_or_libm(g, large, fast, "fmod", x, y);
}

LLVMValueRef math_rem(Gen *g, DType t, LLVMValueRef x, LLVMValueRef y) {
  return t == DT_F64 ? libm_lanes(g, "fmod", x, y) : rem_f32(g, x, y);
}

// ---- powers ---------------------------------------------------------------------------------------------------------------

// x^y of f32 as exp(y log |x|) in f64, whose 29 spare bits outlast the largest exponent. Signs and special
// values as C's pow.
static LLVMValueRef pow_f32(Gen *g, LLVMValueRef x, LLVMValueRef y) {
  LLVMTypeRef f64 = gen_type_with(x, LLVMDoubleTypeInContext(g->llvm));
  LLVMValueRef xd = LLVMBuildFPExt(g->b, x, f64, ""), yd = LLVMBuildFPExt(g->b, y, f64, ""), a = m_abs(g, xd);
  LLVMValueRef r = math_exp(g, m_mul(g, yd, math_log(g, a)));
  r = m_select(g, m_compare(g, LLVMRealOEQ, a, 1), num(r, 1), r); // also for infinite y
  LLVMValueRef half = m_mul(g, yd, num(yd, 0.5));
  LLVMValueRef whole = LLVMBuildFCmp(g->b, LLVMRealOEQ, math_round(g, E_TRUNC, yd), yd, "");
  LLVMValueRef even = LLVMBuildFCmp(g->b, LLVMRealOEQ, math_round(g, E_TRUNC, half), half, "");
  LLVMValueRef odd = LLVMBuildAnd(g->b, whole, LLVMBuildNot(g->b, even, ""), "");
  r = m_select(g, odd, m_sign_of(g, r, xd), r);
  LLVMValueRef finite = m_compare(g, LLVMRealOGT, xd, -__builtin_inf());
  LLVMValueRef negative = LLVMBuildAnd(g->b, m_compare(g, LLVMRealOLT, xd, 0), finite, "");
  LLVMValueRef undefined = LLVMBuildAnd(g->b, negative, LLVMBuildNot(g->b, whole, ""), "");
  r = m_select(g, undefined, num(r, __builtin_nan("")), r);
  LLVMValueRef y_is_0 = m_compare(g, LLVMRealOEQ, yd, 0);
  LLVMValueRef one = LLVMBuildOr(g->b, m_compare(g, LLVMRealOEQ, xd, 1), y_is_0, "");
  r = m_select(g, one, num(r, 1), r);
  return LLVMBuildFPTrunc(g->b, r, LLVMTypeOf(x), "");
}

// f64 would need a logarithm of 64 bits and more: libm has it.
LLVMValueRef math_pow(Gen *g, DType t, LLVMValueRef x, LLVMValueRef y) {
  return t == DT_F64 ? libm_lanes(g, "pow", x, y) : pow_f32(g, x, y);
}

// ---- the table ------------------------------------------------------------------------------------------------------------

// op, function, largest error in units of the last place for f32 and f64 (measured by tests/test_math.c), and
// whether f32 goes by way of f64.
typedef struct MathRow {
  ExprOp op;
  MathFn fn;
  bool by_f64;
} MathRow;

static const MathRow rows[] = {
    {E_EXP, math_exp, false},     {E_EXPM1, math_expm1, false}, {E_LOG, math_log, false},
    {E_LOG1P, math_log1p, false}, {E_TANH, math_tanh, false},   {E_ERF, math_erf, false},
    {E_SIN, math_sin, false},     {E_COS, math_cos, false},     {E_TAN, math_tan, false},
    {E_SINH, math_sinh, true},    {E_COSH, math_cosh, true},    {E_ASINH, math_asinh, true},
    {E_ACOSH, math_acosh, true},  {E_ATANH, math_atanh, true},  {E_ASIN, math_asin, true},
    {E_ACOS, math_acos, true},    {E_ATAN, math_atan, true},
};

LLVMValueRef math_unary(Gen *g, ExprOp op, DType t, LLVMValueRef x) {
  for (int i = 0; i < ARRAY_LEN(rows); i++) {
    if (rows[i].op != op) continue;
    return rows[i].by_f64 && t != DT_F64 ? m_by_f64(g, rows[i].fn, x) : rows[i].fn(g, x);
  }
  return NULL;
}
