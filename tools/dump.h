// dump.h: what --dump writes.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_DUMP_H
#define INGOT_TOOLS_DUMP_H

#include "tools/tool.h"

typedef struct Dumps Dumps;
Dumps *dumps_new(BuildArgs *a);
// Writes what the options want to see of the module after `pass` ("input" before the first). false after reporting.
bool dump_after(Dumps *d, const Module *m, const char *pass, bool changed);
void dumps_close(Dumps *d,
                 const Module *m); // after the last pass: warns if the kernel asked for was never there
bool dump_write(Tool *t, const char *path, const Str *text); // "-": standard error
// One kernel as a module of its own, its operands being the inputs; NULL if there is none of this name. It shares
// everything with `m`: for printing only.
Module *module_of_kernel(Tool *t, const Module *m, const char *name);

#endif
