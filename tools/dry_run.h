// dry_run.h: what a compilation would give.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_DRY_RUN_H
#define INGOT_TOOLS_DRY_RUN_H

#include "tools/tool.h"

// Of a module that has been through the passes.
void dry_run_print(const BuildArgs *a, const Module *m);

#endif
