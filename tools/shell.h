// shell.h: commands of the user that are run on a file.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_SHELL_H
#define INGOT_TOOLS_SHELL_H

#include "ir/base.h"

// Runs the command by the shell, "{}" in it being the file (without it, the file comes last), in silence. Returns the
// exit status; 128 if a signal ended it.
int shell_run(Arena *a, const char *command, const char *file);

#endif
