// gen_shapes.c: the function that computes derived symbols.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

static bool any_derived(const Plan *p) {
  for (int i = 0; i < p->symbols.n; i++)
    if (p->symbol_value.data[i]) return true;
  return false;
}

static LLVMValueRef symbol_address(Gen *g, int i) {
  LLVMValueRef at = gen_i64(g, i);
  return LLVMBuildInBoundsGEP2(g->b, LLVMInt64TypeInContext(g->llvm), LLVMGetParam(g->fn, 0), &at, 1, "");
}

// void shapes(int64_t *sym); NULL if no symbol is derived.
LLVMValueRef gen_shapes(Worker *w, LLVMModuleRef module, const Plan *p) {
  if (!any_derived(p)) return NULL;
  Gen gen = {.w = w, .c = w->ctx, .target = w->machine.target, .llvm = w->llvm, .module = module};
  Gen *g = &gen;
  g->known = g->vars = g->slots = (PMap){.arena = w->ctx->arena};
  LLVMTypeRef ptr = LLVMPointerTypeInContext(w->llvm, 0), i64 = LLVMInt64TypeInContext(w->llvm);
  g->fn = LLVMAddFunction(module, "shapes", LLVMFunctionType(LLVMVoidTypeInContext(w->llvm), &ptr, 1, false));
  LLVMSetLinkage(g->fn, LLVMPrivateLinkage);
  g->b = LLVMCreateBuilderInContext(w->llvm);
  LLVMPositionBuilderAtEnd(g->b, LLVMAppendBasicBlockInContext(w->llvm, g->fn, ""));
  g->syms = NEW_ARRAY(w->ctx->arena, LLVMValueRef, p->symbols.n);
  for (int i = 0; i < p->m->syms.n; i++) g->syms[i] = LLVMBuildLoad2(g->b, i64, symbol_address(g, i), "");
  Clone k = clone_new(w->ctx, false);
  for (int i = 0; i < p->symbols.n; i++) {
    if (!p->symbol_value.data[i]) continue;
    LLVMValueRef at =
        symbol_address(g, i); // one after the other: C compilers differ in the order of arguments
    LLVMBuildStore(g->b, gen_expr(g, clone_expr(&k, p->symbol_value.data[i])), at);
  }
  LLVMBuildRetVoid(g->b);
  LLVMDisposeBuilder(g->b);
  return g->fn;
}
