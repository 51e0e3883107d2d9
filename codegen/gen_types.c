// gen_types.c: LLVM types of element types, constants, splats and calls of intrinsics.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

LLVMTypeRef gen_type_register(Gen *g, DType t) {
  switch (t) {
  case DT_BOOL: return LLVMInt1TypeInContext(g->llvm);
  case DT_F16:
  case DT_BF16:
  case DT_F32: return LLVMFloatTypeInContext(g->llvm);
  case DT_F64: return LLVMDoubleTypeInContext(g->llvm);
  default: return LLVMIntTypeInContext(g->llvm, 8u * (unsigned)dtype_bytes(t));
  }
}

LLVMTypeRef gen_type_memory(Gen *g, DType t) {
  if (t == DT_F32 || t == DT_F64) return gen_type_register(g, t);
  return LLVMIntTypeInContext(g->llvm, 8u * (unsigned)dtype_bytes(t));
}

LLVMTypeRef gen_type_lanes(LLVMTypeRef scalar, unsigned lanes) {
  return lanes ? LLVMVectorType(scalar, lanes) : scalar;
}

unsigned gen_lanes(LLVMValueRef v) {
  return is_vector(v) ? LLVMGetVectorSize(LLVMTypeOf(v)) : 0;
}

LLVMTypeRef gen_type_scalar(LLVMValueRef v) {
  LLVMTypeRef t = LLVMTypeOf(v);
  return is_vector(v) ? LLVMGetElementType(t) : t;
}

LLVMTypeRef gen_type_with(LLVMValueRef like, LLVMTypeRef scalar) {
  return gen_type_lanes(scalar, gen_lanes(like));
}

LLVMValueRef gen_i64(Gen *g, int64_t v) {
  return LLVMConstInt(LLVMInt64TypeInContext(g->llvm), (unsigned long long)v, true);
}

LLVMValueRef gen_i32(Gen *g, int v) {
  return LLVMConstInt(LLVMInt32TypeInContext(g->llvm), (unsigned long long)v, true);
}

enum { MAX_LANES = 1024 }; // of one LLVM vector

static LLVMValueRef const_splat(LLVMValueRef scalar, unsigned lanes) {
  LLVMValueRef all[MAX_LANES];
  for (unsigned i = 0; i < lanes; i++) all[i] = scalar;
  return LLVMConstVector(all, lanes);
}

LLVMValueRef gen_num(LLVMValueRef like, double v) {
  LLVMValueRef s = LLVMConstReal(gen_type_scalar(like), v);
  return is_vector(like) ? const_splat(s, gen_lanes(like)) : s;
}

LLVMValueRef gen_int(LLVMValueRef like, int64_t v) {
  LLVMValueRef s = LLVMConstInt(gen_type_scalar(like), (unsigned long long)v, true);
  return is_vector(like) ? const_splat(s, gen_lanes(like)) : s;
}

LLVMValueRef gen_splat(Gen *g, LLVMValueRef scalar, unsigned lanes) {
  if (lanes == 0 || is_vector(scalar)) return scalar;
  if (LLVMIsConstant(scalar)) return const_splat(scalar, lanes);
  LLVMTypeRef one = LLVMVectorType(LLVMTypeOf(scalar), lanes);
  LLVMTypeRef i32 = LLVMInt32TypeInContext(g->llvm);
  LLVMValueRef v = LLVMBuildInsertElement(g->b, LLVMGetPoison(one), scalar, gen_i64(g, 0), "");
  return LLVMBuildShuffleVector(g->b, v, LLVMGetPoison(one), LLVMConstNull(LLVMVectorType(i32, lanes)), "");
}

void gen_match(Gen *g, LLVMValueRef *a, LLVMValueRef *b) {
  if (is_vector(*a) && !is_vector(*b)) *b = gen_splat(g, *b, gen_lanes(*a));
  if (is_vector(*b) && !is_vector(*a)) *a = gen_splat(g, *a, gen_lanes(*b));
}

LLVMValueRef gen_iota(Gen *g, LLVMTypeRef scalar, unsigned lanes) {
  (void)g;
  LLVMValueRef all[MAX_LANES];
  for (unsigned i = 0; i < lanes; i++) all[i] = LLVMConstInt(scalar, i, false);
  return LLVMConstVector(all, lanes);
}

LLVMValueRef gen_intrinsic2(Gen *g, const char *name, LLVMTypeRef *types, int ntypes, LLVMValueRef *args,
                            int n) {
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  LLVMValueRef fn = LLVMGetIntrinsicDeclaration(g->module, id, types, (size_t)ntypes);
  LLVMTypeRef ft = LLVMIntrinsicGetType(g->llvm, id, types, (size_t)ntypes);
  return LLVMBuildCall2(g->b, ft, fn, args, (unsigned)n, "");
}

LLVMValueRef gen_intrinsic(Gen *g, const char *name, LLVMTypeRef t, LLVMValueRef *args, int n) {
  return gen_intrinsic2(g, name, &t, 1, args, n);
}

LLVMValueRef gen_contract(LLVMValueRef v) {
  if (LLVMIsAInstruction(v) && LLVMCanValueUseFastMathFlags(v))
    LLVMSetFastMathFlags(v, LLVMFastMathAllowContract);
  return v;
}
