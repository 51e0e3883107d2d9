// llvm.h: LLVM's C headers, and in one place whatever differs between LLVM 19 and later ones.
// SPDX-License-Identifier: Apache-2.0
//
// Known differences up to LLVM 22: llvm.masked.load and llvm.masked.store lose their alignment operand (it
// becomes a parameter attribute), functions of the global context are gone.
#ifndef INGOT_CODEGEN_LLVM_H
#define INGOT_CODEGEN_LLVM_H

#include <llvm-c/Analysis.h>
#include <llvm-c/BitReader.h>
#include <llvm-c/BitWriter.h>
#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Linker.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <llvm/Config/llvm-config.h>

#endif
