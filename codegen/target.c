// target.c: LLVM's target machines and the pass pipeline.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

void machine_init(void) {
  LLVMInitializeAllTargetInfos();
  LLVMInitializeAllTargets();
  LLVMInitializeAllTargetMCs();
  LLVMInitializeAllAsmPrinters();
  LLVMInitializeAllAsmParsers();
}

// A firmware's code and data are linked to fixed addresses, far from each other.
static LLVMRelocMode relocation(const Target *t) {
  return t->bare ? LLVMRelocStatic : LLVMRelocPIC;
}

bool machine_open(Machine *m, Ctx *c, const Target *t, int opt_level) {
  LLVMTargetRef backend;
  char *error = NULL;
  if (LLVMGetTargetFromTriple(t->triple, &backend, &error)) {
    diag_error(c->diag, NO_LOC, "target '%s': %s", t->name, error);
    LLVMDisposeMessage(error);
    return false;
  }
  // Level None selects instructions badly (a fifth of the speed) and turns the machine scheduler off, so that
  // even unoptimised models get the default level.
  LLVMCodeGenOptLevel level = opt_level > 1 ? LLVMCodeGenLevelAggressive : LLVMCodeGenLevelDefault;
  m->target = t;
  m->tm = LLVMCreateTargetMachine(backend, t->triple, t->cpu ? t->cpu : "", t->features ? t->features : "",
                                  level, relocation(t), LLVMCodeModelSmall);
  if (!m->tm) {
    diag_error(c->diag, NO_LOC, "target '%s': LLVM refuses cpu '%s'", t->name, t->cpu);
    return false;
  }
  m->layout = LLVMCreateTargetDataLayout(m->tm);
  m->layout_text = LLVMCopyStringRepOfTargetData(m->layout);
  return true;
}

void machine_close(Machine *m) {
  if (m->layout_text) LLVMDisposeMessage(m->layout_text);
  if (m->layout) LLVMDisposeTargetData(m->layout);
  if (m->tm) LLVMDisposeTargetMachine(m->tm);
  *m = (Machine){0};
}

// Loops come scheduled and vectors are written out, so all that is left is to bring local arrays into
// registers (sroa), merge repeated addresses and loads (early-cse), move what does not change out of loops
// (licm) and tidy up. O2 and O3 give the same code in more than twice the time.
static const char pipeline[] = "function("
                               "sroa,early-cse<memssa>,simplifycfg,"
                               "loop-mssa(licm),"
                               "instcombine<no-verify-fixpoint>,early-cse<memssa>,"
                               "loop-mssa(licm),"
                               "simplifycfg,adce)";

bool machine_optimise(const Machine *m, Ctx *c, LLVMModuleRef module) {
  LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
  LLVMErrorRef e = LLVMRunPasses(module, pipeline, m->tm, o);
  LLVMDisposePassBuilderOptions(o);
  if (!e) return true;
  char *text = LLVMGetErrorMessage(e);
  diag_error(c->diag, NO_LOC, "internal error: LLVM passes: %s", text);
  LLVMDisposeErrorMessage(text);
  return false;
}

static bool has(const Target *t, const char *feature) {
  return t->features && strstr(t->features, feature);
}

static bool is_x86(const Target *t) {
  return strncmp(t->triple, "x86_64", 6) == 0;
}

// The level N of cpu "x86-64-vN"; 1 for the base, 9 for a named processor, which is taken to be modern.
static int x86_level(const Target *t) {
  if (!t->cpu || !*t->cpu || strcmp(t->cpu, "x86-64") == 0 || strcmp(t->cpu, "generic") == 0) return 1;
  return strncmp(t->cpu, "x86-64-v", 8) == 0 ? t->cpu[8] - '0' : 9;
}

bool target_has_f16(const Target *t) {
  if (is_x86(t)) return x86_level(t) >= 3 || has(t, "+f16c");
  return strncmp(t->triple, "aarch64", 7) == 0 || has(t, "+zfhmin") || has(t, "+zfh");
}

bool target_has_round(const Target *t) {
  if (is_x86(t)) return x86_level(t) >= 2 || has(t, "+sse4.1") || has(t, "+avx");
  return strncmp(t->triple, "aarch64", 7) == 0 || strncmp(t->triple, "wasm", 4) == 0;
}

bool target_gains_by_alignment(const Target *t) {
  return is_x86(t) && t->vector_bytes == 16;
}
