// dry_run.h: what a compilation would give.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_DRY_RUN_H
#define INGOT_TOOLS_DRY_RUN_H

#include "tools/tool.h"

// Takes the model through the passes and tells what would come of it. false after reporting.
bool dry_run(BuildArgs *a, const char *path);
// dry_size.c: bytes of machine code that the kernel's loops become, estimated.
double dry_code_bytes(Ctx *c, const Target *t, const Kernel *k);

#endif
