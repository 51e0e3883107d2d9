// gen_op.c: one operation of the expression language on LLVM values, scalars or vectors.
// SPDX-License-Identifier: Apache-2.0
//
// The meaning is that of ir.h: integers wrap, division by zero gives 0, min and max propagate NaN. f16 and
// bf16 are floats here.
#include "codegen/internal.h"

static bool is_signed(DType t) {
  return dtype_class(t) == 's';
}

// min and max with NaN propagated; which zero comes out is left open, which saves instructions on x86.
static LLVMValueRef float_minmax(Gen *g, const char *name, LLVMValueRef a, LLVMValueRef b) {
  LLVMValueRef v = gen_intrinsic(g, name, LLVMTypeOf(a), (LLVMValueRef[]){a, b}, 2);
  if (LLVMIsAInstruction(v)) LLVMSetFastMathFlags(v, LLVMFastMathNoSignedZeros);
  return v;
}

static LLVMValueRef minmax(Gen *g, bool max, DType t, LLVMValueRef a, LLVMValueRef b) {
  if (dtype_is_float(t)) return float_minmax(g, max ? "llvm.maximum" : "llvm.minimum", a, b);
  if (t == DT_BOOL) return max ? LLVMBuildOr(g->b, a, b, "") : LLVMBuildAnd(g->b, a, b, "");
  const char *name = is_signed(t) ? (max ? "llvm.smax" : "llvm.smin") : (max ? "llvm.umax" : "llvm.umin");
  return gen_intrinsic(g, name, LLVMTypeOf(a), (LLVMValueRef[]){a, b}, 2);
}

// A divisor that cannot trap: 1 where b is 0 or where a / b would overflow.
static LLVMValueRef safe_divisor(Gen *g, DType t, LLVMValueRef a, LLVMValueRef b, LLVMValueRef zero) {
  LLVMValueRef bad = zero;
  if (is_signed(t)) {
    unsigned bits = LLVMGetIntTypeWidth(gen_type_scalar(a));
    LLVMValueRef lowest = LLVMBuildICmp(g->b, LLVMIntEQ, a, gen_int(a, (int64_t)(~0ull << (bits - 1))), "");
    LLVMValueRef minus1 = LLVMBuildICmp(g->b, LLVMIntEQ, b, gen_int(b, -1), "");
    bad = LLVMBuildOr(g->b, bad, LLVMBuildAnd(g->b, lowest, minus1, ""), "");
  }
  return LLVMBuildSelect(g->b, bad, gen_int(b, 1), b, "");
}

typedef struct Division {
  LLVMValueRef zero;     // where the divisor is 0; NULL: nowhere
  LLVMValueRef quotient; // truncated
  LLVMValueRef rest;     // sign of the dividend
} Division;

// A constant operand's value, if it is one (splats included).
static bool const_int_of(LLVMValueRef v, int64_t *out) {
  if (is_vector(v) && LLVMIsAConstantDataVector(v)) {
    LLVMValueRef first = LLVMGetAggregateElement(v, 0);
    for (unsigned i = 1; i < gen_lanes(v); i++)
      if (LLVMGetAggregateElement(v, i) != first) return false;
    v = first;
  }
  if (!LLVMIsAConstantInt(v)) return false;
  *out = LLVMConstIntGetSExtValue(v);
  return true;
}

// Is b a constant by which any dividend may be divided?
static bool plain_divisor(DType t, LLVMValueRef b) {
  int64_t v;
  return const_int_of(b, &v) && v != 0 && !(is_signed(t) && v == -1);
}

static Division divide(Gen *g, DType t, LLVMValueRef a, LLVMValueRef b) {
  Division d = {0};
  LLVMValueRef by = b;
  if (!plain_divisor(t, b)) {
    d.zero = LLVMBuildICmp(g->b, LLVMIntEQ, b, gen_int(b, 0), "");
    by = safe_divisor(g, t, a, b, d.zero);
  }
  d.quotient = is_signed(t) ? LLVMBuildSDiv(g->b, a, by, "") : LLVMBuildUDiv(g->b, a, by, "");
  d.rest = is_signed(t) ? LLVMBuildSRem(g->b, a, by, "") : LLVMBuildURem(g->b, a, by, "");
  return d;
}

static LLVMValueRef zero_where(Gen *g, LLVMValueRef where, LLVMValueRef v) {
  return where ? LLVMBuildSelect(g->b, where, gen_int(v, 0), v, "") : v;
}

// Is the truncated quotient above the floored one: rest and divisor of different signs?
static LLVMValueRef rounds_up(Gen *g, LLVMValueRef rest, LLVMValueRef b) {
  LLVMValueRef some = LLVMBuildICmp(g->b, LLVMIntNE, rest, gen_int(rest, 0), "");
  LLVMValueRef mixed = LLVMBuildICmp(g->b, LLVMIntSLT, LLVMBuildXor(g->b, rest, b, ""), gen_int(rest, 0), "");
  return LLVMBuildAnd(g->b, some, mixed, "");
}

static LLVMValueRef int_division(Gen *g, ExprOp op, DType t, LLVMValueRef a, LLVMValueRef b) {
  int64_t by;
  bool power = is_signed(t) && const_int_of(b, &by) && by > 0 && (by & (by - 1)) == 0;
  if (power && op == E_FDIV) return LLVMBuildAShr(g->b, a, gen_int(a, __builtin_ctzll((uint64_t)by)), "");
  if (power && op == E_MOD) return LLVMBuildAnd(g->b, a, gen_int(a, by - 1), "");
  Division d = divide(g, t, a, b);
  if (op == E_DIV || (op == E_FDIV && !is_signed(t))) return zero_where(g, d.zero, d.quotient);
  if (op == E_REM || !is_signed(t)) return zero_where(g, d.zero, d.rest);
  LLVMValueRef up = rounds_up(g, d.rest, b);
  if (op == E_FDIV) {
    LLVMValueRef one = LLVMBuildSExt(g->b, up, LLVMTypeOf(a), "");
    return zero_where(g, d.zero, LLVMBuildAdd(g->b, d.quotient, one, ""));
  }
  LLVMValueRef add = LLVMBuildSelect(g->b, up, b, gen_int(b, 0), "");
  return zero_where(g, d.zero, LLVMBuildAdd(g->b, d.rest, add, ""));
}

// Floats: fmod, then into the range of the divisor's sign.
static LLVMValueRef float_mod(Gen *g, DType t, LLVMValueRef a, LLVMValueRef b) {
  LLVMValueRef r = math_rem(g, t, a, b);
  LLVMValueRef zero = gen_num(r, 0);
  LLVMValueRef some = LLVMBuildFCmp(g->b, LLVMRealONE, r, zero, "");
  LLVMValueRef r_neg = LLVMBuildFCmp(g->b, LLVMRealOLT, r, zero, "");
  LLVMValueRef b_neg = LLVMBuildFCmp(g->b, LLVMRealOLT, b, zero, "");
  LLVMValueRef mixed = LLVMBuildAnd(g->b, some, LLVMBuildXor(g->b, r_neg, b_neg, ""), "");
  LLVMValueRef fixed = LLVMBuildSelect(g->b, mixed, LLVMBuildFAdd(g->b, r, b, ""), r, "");
  LLVMValueRef signed0 = gen_intrinsic(g, "llvm.copysign", LLVMTypeOf(b), (LLVMValueRef[]){fixed, b}, 2);
  LLVMValueRef is0 = LLVMBuildFCmp(g->b, LLVMRealOEQ, fixed, zero, "");
  return LLVMBuildSelect(g->b, is0, signed0, fixed, "");
}

static LLVMValueRef shift(Gen *g, ExprOp op, DType t, LLVMValueRef a, LLVMValueRef n) {
  int64_t bits = LLVMGetIntTypeWidth(gen_type_scalar(a)), k;
  bool arithmetic = op == E_SHR && is_signed(t);
  LLVMValueRef in = LLVMBuildICmp(g->b, LLVMIntULT, n, gen_int(n, bits), "");
  if (arithmetic) { // too far: by all but the sign
    n = LLVMBuildSelect(g->b, in, n, gen_int(n, bits - 1), "");
    return LLVMBuildAShr(g->b, a, n, "");
  }
  bool known = const_int_of(n, &k) && k >= 0 && k < bits;
  LLVMValueRef by = known ? n : LLVMBuildSelect(g->b, in, n, gen_int(n, 0), "");
  LLVMValueRef v = op == E_SHL ? LLVMBuildShl(g->b, a, by, "") : LLVMBuildLShr(g->b, a, by, "");
  return known ? v : LLVMBuildSelect(g->b, in, v, gen_int(v, 0), "");
}

static LLVMValueRef compare(Gen *g, ExprOp op, DType t, LLVMValueRef a, LLVMValueRef b) {
  if (dtype_is_float(t)) {
    LLVMRealPredicate p = op == E_EQ   ? LLVMRealOEQ
                          : op == E_NE ? LLVMRealUNE
                          : op == E_LT ? LLVMRealOLT
                                       : LLVMRealOLE;
    return LLVMBuildFCmp(g->b, p, a, b, "");
  }
  bool s = is_signed(t);
  LLVMIntPredicate p = op == E_EQ   ? LLVMIntEQ
                       : op == E_NE ? LLVMIntNE
                       : op == E_LT ? (s ? LLVMIntSLT : LLVMIntULT)
                                    : (s ? LLVMIntSLE : LLVMIntULE);
  return LLVMBuildICmp(g->b, p, a, b, "");
}

// May be joined with a neighbour into one operation that rounds once, unless each is to round by itself.
static LLVMValueRef contracted(Gen *g, LLVMValueRef v) {
  return g->unit && g->unit->strict ? v : gen_contract(v);
}

static LLVMValueRef float_binary(Gen *g, ExprOp op, DType t, LLVMValueRef a, LLVMValueRef b) {
  switch (op) {
  case E_ADD: return contracted(g, LLVMBuildFAdd(g->b, a, b, ""));
  case E_SUB: return contracted(g, LLVMBuildFSub(g->b, a, b, ""));
  case E_MUL: return contracted(g, LLVMBuildFMul(g->b, a, b, ""));
  case E_DIV: return LLVMBuildFDiv(g->b, a, b, "");
  case E_FDIV: return math_round(g, E_FLOOR, LLVMBuildFDiv(g->b, a, b, ""));
  case E_MOD: return float_mod(g, t, a, b);
  case E_REM: return math_rem(g, t, a, b);
  case E_POW: return math_pow(g, t, a, b);
  case E_ATAN2: return math_atan2(g, t, a, b);
  default: return NULL;
  }
}

// Is any bit of any lane set?
static LLVMValueRef any_bit(Gen *g, LLVMValueRef v) {
  unsigned lanes = gen_lanes(v) ? gen_lanes(v) : 1;
  LLVMTypeRef all = LLVMIntTypeInContext(g->llvm, lanes * LLVMGetIntTypeWidth(gen_type_scalar(v)));
  return LLVMBuildICmp(g->b, LLVMIntNE, LLVMBuildBitCast(g->b, v, all, ""), LLVMConstNull(all), "");
}

// x^n for an unsigned n, wrapping: a loop of squarings over the bits of n.
static LLVMValueRef power_loop(Gen *g, LLVMValueRef x, LLVMValueRef n) {
  LLVMBasicBlockRef before = LLVMGetInsertBlock(g->b);
  LLVMBasicBlockRef loop = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "power");
  LLVMBasicBlockRef end = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "end");
  LLVMBuildBr(g->b, loop);
  LLVMPositionBuilderAtEnd(g->b, loop);
  LLVMTypeRef t = LLVMTypeOf(x);
  LLVMValueRef r = LLVMBuildPhi(g->b, t, ""), base = LLVMBuildPhi(g->b, t, ""), e = LLVMBuildPhi(g->b, t, "");
  LLVMValueRef odd = LLVMBuildTrunc(g->b, e, gen_type_with(e, LLVMInt1TypeInContext(g->llvm)), "");
  LLVMValueRef r1 = LLVMBuildSelect(g->b, odd, LLVMBuildMul(g->b, r, base, ""), r, "");
  LLVMValueRef base1 = LLVMBuildMul(g->b, base, base, ""), e1 = LLVMBuildLShr(g->b, e, gen_int(e, 1), "");
  LLVMBasicBlockRef from[] = {before, loop};
  LLVMAddIncoming(r, (LLVMValueRef[]){gen_int(x, 1), r1}, from, 2);
  LLVMAddIncoming(base, (LLVMValueRef[]){x, base1}, from, 2);
  LLVMAddIncoming(e, (LLVMValueRef[]){n, e1}, from, 2);
  LLVMBuildCondBr(g->b, any_bit(g, e1), loop, end);
  LLVMPositionBuilderAtEnd(g->b, end);
  return r1;
}

// Negative exponents: 1 / x^n truncated, that is 0 unless x is 1 or -1.
static LLVMValueRef int_pow(Gen *g, DType t, LLVMValueRef x, LLVMValueRef n) {
  LLVMValueRef r = power_loop(g, x, n);
  if (!is_signed(t)) return r;
  LLVMValueRef odd = LLVMBuildTrunc(g->b, n, gen_type_with(n, LLVMInt1TypeInContext(g->llvm)), "");
  LLVMValueRef one = LLVMBuildICmp(g->b, LLVMIntEQ, x, gen_int(x, 1), "");
  LLVMValueRef minus = LLVMBuildICmp(g->b, LLVMIntEQ, x, gen_int(x, -1), "");
  LLVMValueRef sign = LLVMBuildSelect(g->b, odd, gen_int(x, -1), gen_int(x, 1), "");
  LLVMValueRef inverse = LLVMBuildSelect(g->b, one, gen_int(x, 1), gen_int(x, 0), "");
  inverse = LLVMBuildSelect(g->b, minus, sign, inverse, "");
  LLVMValueRef negative = LLVMBuildICmp(g->b, LLVMIntSLT, n, gen_int(n, 0), "");
  return LLVMBuildSelect(g->b, negative, inverse, r, "");
}

// The instruction for vectors of so many lanes; NULL: there is none.
static const char *dot16_name(const Target *t, unsigned lanes) {
  if (!t->dot16 || (int)lanes * 4 > t->vector_bytes) return NULL;
  return lanes == 4    ? "llvm.x86.sse2.pmadd.wd"
         : lanes == 8  ? "llvm.x86.avx2.pmadd.wd"
         : lanes == 16 ? "llvm.x86.avx512.pmaddw.d.512"
                       : NULL;
}

static LLVMValueRef dot16(Gen *g, LLVMValueRef a, LLVMValueRef b) {
  unsigned lanes = is_vector(a) ? gen_lanes(a) : 1;
  const char *name = dot16_name(g->target, lanes);
  LLVMValueRef half = gen_int(a, 16);
  if (name) {
    LLVMTypeRef pairs = LLVMVectorType(LLVMInt16TypeInContext(g->llvm), 2 * lanes);
    LLVMValueRef args[] = {LLVMBuildBitCast(g->b, a, pairs, ""), LLVMBuildBitCast(g->b, b, pairs, "")};
    return gen_intrinsic2(g, name, NULL, 0, args, 2);
  }
  LLVMValueRef low = LLVMBuildMul(g->b, LLVMBuildAShr(g->b, LLVMBuildShl(g->b, a, half, ""), half, ""),
                                  LLVMBuildAShr(g->b, LLVMBuildShl(g->b, b, half, ""), half, ""), "");
  LLVMValueRef high =
      LLVMBuildMul(g->b, LLVMBuildAShr(g->b, a, half, ""), LLVMBuildAShr(g->b, b, half, ""), "");
  return LLVMBuildAdd(g->b, low, high, "");
}

// The same for E_DOT8.
static const char *dot8_name(const Target *t, unsigned lanes) {
  if (!t->dot8 || (int)lanes * 4 > t->vector_bytes) return NULL;
  return lanes == 4    ? "llvm.x86.ssse3.pmadd.ub.sw.128"
         : lanes == 8  ? "llvm.x86.avx2.pmadd.ub.sw"
         : lanes == 16 ? "llvm.x86.avx512.pmaddubs.w.512"
                       : NULL;
}

// Byte i of i32s, with its sign or without, as i32.
static LLVMValueRef byte_of(Gen *g, LLVMValueRef x, int i, bool sign) {
  LLVMValueRef up = LLVMBuildShl(g->b, x, gen_int(x, 24 - 8 * i), ""), by = gen_int(x, 24);
  return sign ? LLVMBuildAShr(g->b, up, by, "") : LLVMBuildLShr(g->b, up, by, "");
}

static LLVMValueRef half_dot8(Gen *g, LLVMValueRef a, LLVMValueRef b, int i) {
  LLVMValueRef sum = NULL;
  for (int k = 2 * i; k < 2 * i + 2; k++) {
    LLVMValueRef p = LLVMBuildMul(g->b, byte_of(g, a, k, false), byte_of(g, b, k, true), "");
    sum = sum ? LLVMBuildAdd(g->b, sum, p, "") : p;
  }
  sum = minmax(g, true, DT_I32, sum, gen_int(sum, INT16_MIN));
  return minmax(g, false, DT_I32, sum, gen_int(sum, INT16_MAX));
}

static LLVMValueRef dot8(Gen *g, LLVMValueRef a, LLVMValueRef b) {
  unsigned lanes = is_vector(a) ? gen_lanes(a) : 1;
  const char *name = dot8_name(g->target, lanes);
  if (name) {
    LLVMTypeRef bytes = LLVMVectorType(LLVMInt8TypeInContext(g->llvm), 4 * lanes);
    LLVMValueRef args[] = {LLVMBuildBitCast(g->b, a, bytes, ""), LLVMBuildBitCast(g->b, b, bytes, "")};
    return LLVMBuildBitCast(g->b, gen_intrinsic2(g, name, NULL, 0, args, 2), LLVMTypeOf(a), "");
  }
  LLVMValueRef high = LLVMBuildShl(g->b, half_dot8(g, a, b, 1), gen_int(a, 16), "");
  return LLVMBuildOr(g->b, high, LLVMBuildAnd(g->b, half_dot8(g, a, b, 0), gen_int(a, 0xffff), ""), "");
}

static LLVMValueRef add16(Gen *g, LLVMValueRef a, LLVMValueRef b) {
  LLVMTypeRef halves = LLVMVectorType(LLVMInt16TypeInContext(g->llvm), 2 * (is_vector(a) ? gen_lanes(a) : 1));
  LLVMValueRef sum =
      LLVMBuildAdd(g->b, LLVMBuildBitCast(g->b, a, halves, ""), LLVMBuildBitCast(g->b, b, halves, ""), "");
  return LLVMBuildBitCast(g->b, sum, LLVMTypeOf(a), "");
}

static LLVMValueRef int_binary(Gen *g, ExprOp op, DType t, LLVMValueRef a, LLVMValueRef b) {
  switch (op) {
  case E_ADD: return t == DT_BOOL ? LLVMBuildOr(g->b, a, b, "") : LLVMBuildAdd(g->b, a, b, "");
  case E_SUB: return LLVMBuildSub(g->b, a, b, "");
  case E_MUL: return t == DT_BOOL ? LLVMBuildAnd(g->b, a, b, "") : LLVMBuildMul(g->b, a, b, "");
  case E_DIV:
  case E_FDIV:
  case E_MOD:
  case E_REM: return int_division(g, op, t, a, b);
  case E_AND: return LLVMBuildAnd(g->b, a, b, "");
  case E_OR: return LLVMBuildOr(g->b, a, b, "");
  case E_XOR: return LLVMBuildXor(g->b, a, b, "");
  case E_SHL:
  case E_SHR: return shift(g, op, t, a, b);
  case E_DOT16: return dot16(g, a, b);
  case E_DOT8: return dot8(g, a, b);
  case E_ADD16: return add16(g, a, b);
  case E_POW: return int_pow(g, t, a, b);
  default: return NULL;
  }
}

LLVMValueRef gen_binary(Gen *g, ExprOp op, DType t, LLVMValueRef a, LLVMValueRef b) {
  gen_match(g, &a, &b);
  if (op == E_EQ || op == E_NE || op == E_LT || op == E_LE) return compare(g, op, t, a, b);
  if (op == E_MIN || op == E_MAX) return minmax(g, op == E_MAX, t, a, b);
  return dtype_is_float(t) ? float_binary(g, op, t, a, b) : int_binary(g, op, t, a, b);
}

static LLVMValueRef float_unary(Gen *g, ExprOp op, DType t, LLVMValueRef a) {
  switch (op) {
  case E_NEG: return LLVMBuildFNeg(g->b, a, "");
  case E_ABS: return gen_intrinsic(g, "llvm.fabs", LLVMTypeOf(a), &a, 1);
  case E_SQRT: return gen_intrinsic(g, "llvm.sqrt", LLVMTypeOf(a), &a, 1);
  case E_FLOOR:
  case E_CEIL:
  case E_TRUNC:
  case E_ROUND: return math_round(g, op, a);
  default: return math_unary(g, op, t == DT_F64 ? DT_F64 : DT_F32, a);
  }
}

static LLVMValueRef int_unary(Gen *g, ExprOp op, DType t, LLVMValueRef a) {
  switch (op) {
  case E_NEG: return LLVMBuildNeg(g->b, a, "");
  case E_NOT: return LLVMBuildNot(g->b, a, "");
  case E_ABS: {
    if (!is_signed(t)) return a;
    LLVMValueRef wraps = LLVMConstInt(LLVMInt1TypeInContext(g->llvm), 0, false);
    return gen_intrinsic(g, "llvm.abs", LLVMTypeOf(a), (LLVMValueRef[]){a, wraps}, 2);
  }
  case E_POPCOUNT: return gen_intrinsic(g, "llvm.ctpop", LLVMTypeOf(a), &a, 1);
  case E_FLOOR:
  case E_CEIL:
  case E_TRUNC:
  case E_ROUND: return a;
  default: return NULL;
  }
}

LLVMValueRef gen_unary(Gen *g, ExprOp op, DType t, LLVMValueRef a) {
  return dtype_is_float(t) ? float_unary(g, op, t, a) : int_unary(g, op, t, a);
}

LLVMValueRef gen_fma(Gen *g, DType t, LLVMValueRef a, LLVMValueRef b, LLVMValueRef d) {
  gen_match(g, &a, &b);
  gen_match(g, &a, &d);
  gen_match(g, &b, &d);
  if (!dtype_is_float(t)) return LLVMBuildAdd(g->b, LLVMBuildMul(g->b, a, b, ""), d, "");
  return math_fma(g, t, a, b, d);
}

LLVMValueRef gen_select(Gen *g, LLVMValueRef cond, LLVMValueRef a, LLVMValueRef b) {
  gen_match(g, &a, &b);
  if (is_vector(cond)) {
    a = gen_splat(g, a, gen_lanes(cond));
    b = gen_splat(g, b, gen_lanes(cond));
  }
  return LLVMBuildSelect(g->b, cond, a, b, "");
}

LLVMValueRef gen_combine(Gen *g, StoreKind op, DType t, LLVMValueRef old, LLVMValueRef v) {
  static const ExprOp ops[] = {
      [STORE_ADD] = E_ADD, [STORE_MUL] = E_MUL, [STORE_MIN] = E_MIN, [STORE_MAX] = E_MAX};
  return op == STORE_SET ? v : gen_binary(g, ops[op], t, old, v);
}
