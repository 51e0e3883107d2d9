// gen_cast.c: conversions between element types and between memory and registers.
// SPDX-License-Identifier: Apache-2.0
//
// In registers bool is i1, and f16 and bf16 are float: they are rounded where they are stored, cast or
// taken apart into bits, not after every operation.
#include "codegen/internal.h"

static LLVMTypeRef int_type(Gen *g, LLVMValueRef like, unsigned bits) {
  return gen_type_with(like, LLVMIntTypeInContext(g->llvm, bits));
}

// ---- f16 and bf16 ---------------------------------------------------------------------------------------

// i16 -> float: the exponent is re-biased by a multiplication, which also normalises denormals.
static LLVMValueRef f16_widen_bits(Gen *g, LLVMValueRef h) {
  LLVMTypeRef i32 = int_type(g, h, 32), f32 = gen_type_with(h, gen_type_register(g, DT_F32));
  LLVMValueRef x = LLVMBuildZExt(g->b, h, i32, "");
  LLVMValueRef sign = LLVMBuildShl(g->b, LLVMBuildAnd(g->b, x, gen_int(x, 0x8000), ""), gen_int(x, 16), "");
  LLVMValueRef rest = LLVMBuildShl(g->b, LLVMBuildAnd(g->b, x, gen_int(x, 0x7fff), ""), gen_int(x, 13), "");
  LLVMValueRef f = LLVMBuildBitCast(g->b, rest, f32, "");
  LLVMValueRef scaled = LLVMBuildFMul(g->b, f, gen_num(f, 0x1p112), "");
  LLVMValueRef bits = LLVMBuildBitCast(g->b, scaled, i32, "");
  LLVMValueRef special = LLVMBuildICmp(g->b, LLVMIntUGE, rest, gen_int(x, 0x0f800000), "");
  LLVMValueRef infnan = LLVMBuildOr(g->b, rest, gen_int(x, 0x7f800000), "");
  bits = LLVMBuildOr(g->b, LLVMBuildSelect(g->b, special, infnan, bits, ""), sign, "");
  return LLVMBuildBitCast(g->b, bits, f32, "");
}

// float -> i16, round to nearest even. Normal results: add half of the last place, exponent by subtraction.
// Small ones: adding 0.5 lets the float adder round at the right place.
static LLVMValueRef f16_narrow_bits(Gen *g, LLVMValueRef f) {
  LLVMBuilderRef b = g->b;
  LLVMTypeRef i32 = int_type(g, f, 32);
  LLVMValueRef u = LLVMBuildBitCast(b, f, i32, "");
  LLVMValueRef abs = LLVMBuildAnd(b, u, gen_int(u, 0x7fffffff), "");
  LLVMValueRef sign = LLVMBuildLShr(b, LLVMBuildXor(b, u, abs, ""), gen_int(u, 16), "");
  LLVMValueRef odd = LLVMBuildAnd(b, LLVMBuildLShr(b, abs, gen_int(u, 13), ""), gen_int(u, 1), "");
  LLVMValueRef normal = LLVMBuildAdd(b, LLVMBuildAdd(b, abs, gen_int(u, -0x38000000 + 0xfff), ""), odd, "");
  normal = LLVMBuildLShr(b, normal, gen_int(u, 13), "");
  LLVMValueRef af = LLVMBuildBitCast(b, abs, LLVMTypeOf(f), "");
  LLVMValueRef tiny = LLVMBuildBitCast(b, LLVMBuildFAdd(b, af, gen_num(f, 0.5), ""), i32, "");
  tiny = LLVMBuildSub(b, tiny, gen_int(u, 0x3f000000), "");
  LLVMValueRef is_tiny = LLVMBuildICmp(b, LLVMIntULT, abs, gen_int(u, 0x38800000), "");
  LLVMValueRef is_big = LLVMBuildICmp(b, LLVMIntUGE, abs, gen_int(u, 0x47800000), "");
  LLVMValueRef is_nan = LLVMBuildICmp(b, LLVMIntUGT, abs, gen_int(u, 0x7f800000), "");
  LLVMValueRef r = LLVMBuildSelect(b, is_tiny, tiny, normal, "");
  LLVMValueRef big = LLVMBuildSelect(b, is_nan, gen_int(u, 0x7e00), gen_int(u, 0x7c00), "");
  r = LLVMBuildOr(b, LLVMBuildSelect(b, is_big, big, r, ""), sign, "");
  return LLVMBuildTrunc(b, r, int_type(g, f, 16), "");
}

static LLVMValueRef f16_widen(Gen *g, LLVMValueRef h) {
  if (!target_has_f16(g->target)) return f16_widen_bits(g, h);
  LLVMTypeRef half = gen_type_with(h, LLVMHalfTypeInContext(g->llvm));
  LLVMValueRef v = LLVMBuildBitCast(g->b, h, half, "");
  return LLVMBuildFPExt(g->b, v, gen_type_with(h, gen_type_register(g, DT_F32)), "");
}

static LLVMValueRef f16_narrow(Gen *g, LLVMValueRef f) {
  if (!target_has_f16(g->target)) return f16_narrow_bits(g, f);
  LLVMValueRef v = LLVMBuildFPTrunc(g->b, f, gen_type_with(f, LLVMHalfTypeInContext(g->llvm)), "");
  return LLVMBuildBitCast(g->b, v, int_type(g, f, 16), "");
}

static LLVMValueRef bf16_widen(Gen *g, LLVMValueRef h) {
  LLVMValueRef x = LLVMBuildZExt(g->b, h, int_type(g, h, 32), "");
  x = LLVMBuildShl(g->b, x, gen_int(x, 16), "");
  return LLVMBuildBitCast(g->b, x, gen_type_with(h, gen_type_register(g, DT_F32)), "");
}

static LLVMValueRef bf16_narrow(Gen *g, LLVMValueRef f) {
  LLVMBuilderRef b = g->b;
  LLVMValueRef u = LLVMBuildBitCast(b, f, int_type(g, f, 32), "");
  LLVMValueRef high = LLVMBuildLShr(b, u, gen_int(u, 16), "");
  LLVMValueRef odd = LLVMBuildAnd(b, high, gen_int(u, 1), "");
  LLVMValueRef r = LLVMBuildAdd(b, LLVMBuildAdd(b, u, odd, ""), gen_int(u, 0x7fff), "");
  r = LLVMBuildLShr(b, r, gen_int(u, 16), "");
  LLVMValueRef nan = LLVMBuildFCmp(b, LLVMRealUNO, f, f, "");
  r = LLVMBuildSelect(b, nan, LLVMBuildOr(b, high, gen_int(u, 0x40), ""), r, "");
  return LLVMBuildTrunc(b, r, int_type(g, f, 16), "");
}

LLVMValueRef gen_loaded(Gen *g, LLVMValueRef raw, DType t) {
  switch (t) {
  case DT_BOOL: return LLVMBuildICmp(g->b, LLVMIntNE, raw, gen_int(raw, 0), "");
  case DT_F16: return f16_widen(g, raw);
  case DT_BF16: return bf16_widen(g, raw);
  default: return raw;
  }
}

LLVMValueRef gen_stored(Gen *g, LLVMValueRef v, DType t) {
  switch (t) {
  case DT_BOOL: return LLVMBuildZExt(g->b, v, int_type(g, v, 8), "");
  case DT_F16: return f16_narrow(g, v);
  case DT_BF16: return bf16_narrow(g, v);
  default: return v;
  }
}

// ---- values ---------------------------------------------------------------------------------------------

// Range of an integer type as doubles that the float type holds: the largest one below the upper limit.
static void float_limits(DType to, bool from_double, double *lo, double *hi) {
  int bits = 8 * dtype_bytes(to);
  bool s = dtype_class(to) == 's';
  int digits = from_double ? 53 : 24, magnitude = s ? bits - 1 : bits;
  *lo = s ? -__builtin_ldexp(1, magnitude) : 0;
  double step = magnitude > digits ? __builtin_ldexp(1, magnitude - digits) : 1;
  *hi = __builtin_ldexp(1, magnitude) - step;
}

// Truncates, saturates, NaN gives 0. Narrow types are clamped as floats and go by way of i32, for which
// every machine has an instruction; the wide ones are left to LLVM.
static LLVMValueRef float_to_int(Gen *g, LLVMValueRef v, DType from, DType to) {
  LLVMTypeRef it = gen_type_with(v, gen_type_register(g, to));
  if (dtype_bytes(to) >= 4) {
    const char *name = dtype_class(to) == 's' ? "llvm.fptosi.sat" : "llvm.fptoui.sat";
    return gen_intrinsic2(g, name, (LLVMTypeRef[]){it, LLVMTypeOf(v)}, 2, &v, 1);
  }
  double lo, hi;
  float_limits(to, from == DT_F64, &lo, &hi);
  LLVMValueRef below = LLVMBuildFCmp(g->b, LLVMRealOGT, v, gen_num(v, lo), ""); // NaN goes to lo
  v = LLVMBuildSelect(g->b, below, v, gen_num(v, lo), "");
  LLVMValueRef above = LLVMBuildFCmp(g->b, LLVMRealOLT, v, gen_num(v, hi), "");
  LLVMValueRef clamped = LLVMBuildSelect(g->b, above, v, gen_num(v, hi), "");
  return LLVMBuildTrunc(g->b, LLVMBuildFPToSI(g->b, clamped, int_type(g, v, 32), ""), it, "");
}

static LLVMValueRef nan_to_zero(Gen *g, LLVMValueRef v) {
  LLVMValueRef nan = LLVMBuildFCmp(g->b, LLVMRealUNO, v, v, "");
  return LLVMBuildSelect(g->b, nan, gen_num(v, 0), v, "");
}

static LLVMValueRef int_to_float(Gen *g, LLVMValueRef v, DType from, DType to) {
  LLVMTypeRef t = gen_type_with(v, gen_type_register(g, to));
  return dtype_class(from) == 's' ? LLVMBuildSIToFP(g->b, v, t, "") : LLVMBuildUIToFP(g->b, v, t, "");
}

static LLVMValueRef int_to_int(Gen *g, LLVMValueRef v, DType from, DType to) {
  LLVMTypeRef t = gen_type_with(v, gen_type_register(g, to));
  unsigned a = LLVMGetIntTypeWidth(gen_type_scalar(v)), b = (unsigned)(8 * dtype_bytes(to));
  if (a == b) return v;
  if (a > b) return LLVMBuildTrunc(g->b, v, t, "");
  return dtype_class(from) == 's' ? LLVMBuildSExt(g->b, v, t, "") : LLVMBuildZExt(g->b, v, t, "");
}

static LLVMValueRef float_to_float(Gen *g, LLVMValueRef v, DType from, DType to) {
  LLVMTypeRef t = gen_type_with(v, gen_type_register(g, to));
  if (from == DT_F64 && to != DT_F64) v = LLVMBuildFPTrunc(g->b, v, t, "");
  if (from != DT_F64 && to == DT_F64) return LLVMBuildFPExt(g->b, v, t, "");
  if (to == DT_F16 || to == DT_BF16) return gen_loaded(g, gen_stored(g, v, to), to);
  return v;
}

LLVMValueRef gen_cast(Gen *g, LLVMValueRef v, DType from, DType to) {
  if (from == to) return v;
  bool from_float = dtype_is_float(from), to_float = dtype_is_float(to);
  if (to == DT_BOOL)
    return from_float ? LLVMBuildFCmp(g->b, LLVMRealUNE, v, gen_num(v, 0), "")
                      : LLVMBuildICmp(g->b, LLVMIntNE, v, gen_int(v, 0), "");
  if (from_float && to_float) return float_to_float(g, v, from, to);
  if (from_float) return float_to_int(g, dtype_bytes(to) < 4 ? nan_to_zero(g, v) : v, from, to);
  if (to_float) {
    v = int_to_float(g, v, from, to);
    return to == DT_F16 || to == DT_BF16 ? gen_loaded(g, gen_stored(g, v, to), to) : v;
  }
  return int_to_int(g, v, from, to);
}

LLVMValueRef gen_cast_bits(Gen *g, LLVMValueRef v, DType from, DType to) {
  LLVMValueRef raw = gen_stored(g, v, from);
  LLVMValueRef bits = LLVMBuildBitCast(g->b, raw, gen_type_with(v, gen_type_memory(g, to)), "");
  return gen_loaded(g, bits, to);
}
