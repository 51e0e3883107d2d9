// math.c: functions of one variable as polynomials; see math_*.c.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

LLVMValueRef math_unary(Gen *g, ExprOp op, DType t, LLVMValueRef x) {
  (void)t;
  static const struct {
    ExprOp op;
    const char *name;
  } names[] = {{E_EXP, "llvm.exp"}, {E_LOG, "llvm.log"}, {E_SIN, "llvm.sin"}, {E_COS, "llvm.cos"}};
  for (int i = 0; i < ARRAY_LEN(names); i++)
    if (names[i].op == op) return gen_intrinsic(g, names[i].name, LLVMTypeOf(x), &x, 1);
  return NULL;
}

LLVMValueRef math_pow(Gen *g, DType t, LLVMValueRef x, LLVMValueRef y) {
  (void)t;
  return gen_intrinsic(g, "llvm.pow", LLVMTypeOf(x), (LLVMValueRef[]){x, y}, 2);
}

LLVMValueRef math_atan2(Gen *g, DType t, LLVMValueRef y, LLVMValueRef x) {
  (void)g, (void)t, (void)y, (void)x;
  return NULL;
}

LLVMValueRef math_rem(Gen *g, DType t, LLVMValueRef x, LLVMValueRef y) {
  (void)t;
  return LLVMBuildFRem(g->b, x, y, "");
}

LLVMValueRef math_fma(Gen *g, DType t, LLVMValueRef a, LLVMValueRef b, LLVMValueRef d) {
  (void)t;
  return gen_intrinsic(g, "llvm.fma", LLVMTypeOf(a), (LLVMValueRef[]){a, b, d}, 3);
}

LLVMValueRef math_round(Gen *g, ExprOp op, LLVMValueRef x) {
  const char *name = op == E_FLOOR   ? "llvm.floor"
                     : op == E_CEIL  ? "llvm.ceil"
                     : op == E_TRUNC ? "llvm.trunc"
                                     : "llvm.rint";
  return gen_intrinsic(g, name, LLVMTypeOf(x), &x, 1);
}
