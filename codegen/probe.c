// probe.c: instrumented steps: functions around kernels, routines and copies that count calls and time.
// SPDX-License-Identifier: Apache-2.0
//
// A step's table row names the function here instead of the kernel, so that code without instrumentation is what it
// always was. Counts lie behind the scratch memory, which each thread has for itself: no atomics, no sharing.
#include "codegen/internal.h"

typedef struct Probe {
  const Plan *p;
  LLVMContextRef llvm;
  LLVMModuleRef module;
  LLVMBuilderRef b;
  LLVMValueRef fn;
  LLVMTypeRef ptr, i8, i64;
  int step;
} Probe;

static LLVMValueRef number(Probe *k, int64_t v) {
  return LLVMConstInt(k->i64, (unsigned long long)v, true);
}

static LLVMValueRef at_byte(Probe *k, LLVMValueRef base, int64_t offset) {
  LLVMValueRef at = number(k, offset);
  return LLVMBuildInBoundsGEP2(k->b, k->i8, base, &at, 1, "");
}

// The counter that runs at one rate on all cores: rdtsc, cntvct, rdtime.
static LLVMValueRef ticks(Probe *k) {
  bool x86 = strncmp(k->p->m->target->triple, "x86_64", 6) == 0;
  const char *name = x86 ? "llvm.readcyclecounter" : "llvm.readsteadycounter";
  unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
  LLVMValueRef f = LLVMGetIntrinsicDeclaration(k->module, id, NULL, 0);
  return LLVMBuildCall2(k->b, LLVMFunctionType(k->i64, NULL, 0, false), f, NULL, 0, "");
}

static void add_to(Probe *k, LLVMValueRef base, int64_t offset, LLVMValueRef more) {
  LLVMValueRef at = at_byte(k, base, offset), old = LLVMBuildLoad2(k->b, k->i64, at, "");
  LLVMBuildStore(k->b, LLVMBuildAdd(k->b, old, more, ""), at);
}

static void note(Probe *k, LLVMValueRef scratch, LLVMValueRef begin) {
  const struct ingot_model *m = &k->p->model;
  int64_t first = m->scratch_bytes - m->n_steps * (int64_t)sizeof(struct ingot_probe);
  LLVMValueRef end = ticks(k);
  LLVMValueRef at = at_byte(k, scratch, first + k->step * (int64_t)sizeof(struct ingot_probe));
  add_to(k, at, offsetof(struct ingot_probe, calls), number(k, 1));
  add_to(k, at, offsetof(struct ingot_probe, ticks), LLVMBuildSub(k->b, end, begin, ""));
  LLVMBuildStore(k->b, begin, at_byte(k, at, offsetof(struct ingot_probe, begin)));
  LLVMBuildStore(k->b, end, at_byte(k, at, offsetof(struct ingot_probe, end)));
}

static void open_function(Probe *k, LLVMTypeRef type) {
  char name[32];
  snprintf(name, sizeof name, "probe%d", k->step);
  k->fn = LLVMAddFunction(k->module, name, type);
  LLVMSetLinkage(k->fn, LLVMInternalLinkage);
  LLVMPositionBuilderAtEnd(k->b, LLVMAppendBasicBlockInContext(k->llvm, k->fn, ""));
}

// void f(buf, sym, lo, hi, scratch)
static LLVMTypeRef kernel_type(Probe *k) {
  LLVMTypeRef params[] = {k->ptr, k->ptr, k->i64, k->i64, k->ptr};
  return LLVMFunctionType(LLVMVoidTypeInContext(k->llvm), params, 5, false);
}

static void around_kernel(Probe *k, LLVMValueRef callee) {
  LLVMTypeRef type = kernel_type(k);
  open_function(k, type);
  LLVMValueRef begin = ticks(k), args[5];
  LLVMGetParams(k->fn, args);
  LLVMBuildCall2(k->b, type, callee, args, 5, "");
  note(k, args[4], begin);
  LLVMBuildRetVoid(k->b);
}

// int f(call)
static void around_routine(Probe *k, LLVMValueRef callee) {
  LLVMTypeRef type = LLVMFunctionType(LLVMInt32TypeInContext(k->llvm), &k->ptr, 1, false);
  open_function(k, type);
  LLVMValueRef begin = ticks(k), call = LLVMGetParam(k->fn, 0);
  LLVMValueRef code = LLVMBuildCall2(k->b, type, callee, &call, 1, "");
  LLVMValueRef scratch = at_byte(k, call, offsetof(struct ingot_routine_call, scratch));
  note(k, LLVMBuildLoad2(k->b, k->ptr, scratch, ""), begin);
  LLVMBuildRet(k->b, code);
}

// A copy as a kernel: lo and hi count units of `unit` bytes. Source and destination may be the same.
static void around_copy(Probe *k, int64_t unit) {
  open_function(k, kernel_type(k));
  LLVMValueRef begin = ticks(k), buf = LLVMGetParam(k->fn, 0), lo = LLVMGetParam(k->fn, 2);
  LLVMValueRef from = LLVMBuildLoad2(k->b, k->ptr, buf, "");
  LLVMValueRef to = LLVMBuildLoad2(k->b, k->ptr, at_byte(k, buf, (int64_t)sizeof(void *)), "");
  LLVMValueRef n =
      LLVMBuildMul(k->b, LLVMBuildSub(k->b, LLVMGetParam(k->fn, 3), lo, ""), number(k, unit), "");
  LLVMValueRef at = LLVMBuildMul(k->b, lo, number(k, unit), "");
  from = LLVMBuildInBoundsGEP2(k->b, k->i8, from, &at, 1, "");
  to = LLVMBuildInBoundsGEP2(k->b, k->i8, to, &at, 1, "");
  LLVMBuildMemMove(k->b, to, 1, from, 1, n);
  note(k, LLVMGetParam(k->fn, 4), begin);
  LLVMBuildRetVoid(k->b);
}

LLVMValueRef probe_step(LLVMModuleRef module, const Plan *p, int step, LLVMValueRef callee) {
  Probe probe = {.p = p, .llvm = LLVMGetModuleContext(module), .module = module, .step = step};
  Probe *k = &probe;
  k->b = LLVMCreateBuilderInContext(k->llvm);
  k->ptr = LLVMPointerTypeInContext(k->llvm, 0);
  k->i8 = LLVMInt8TypeInContext(k->llvm);
  k->i64 = LLVMInt64TypeInContext(k->llvm);
  const struct ingot_step *s = &p->model.steps[step];
  if (s->kind == INGOT_STEP_COPY)
    around_copy(k, s->imm);
  else if (s->kind == INGOT_STEP_ROUTINE)
    around_routine(k, callee);
  else
    around_kernel(k, callee);
  LLVMDisposeBuilder(k->b);
  return k->fn;
}
