// shell.c: commands of the user that are run on a file, for `reduce` and `opt --bisect`.
// SPDX-License-Identifier: Apache-2.0
#include "tools/shell.h"

#include <stdlib.h>
#include <sys/wait.h>

static char *command_for(Arena *a, const char *command, const char *file) {
  Str s = {.arena = a};
  bool named = false;
  for (const char *p = command; *p; p++) {
    if (strncmp(p, "{}", 2) != 0) {
      str_put(&s, p, 1);
      continue;
    }
    str_printf(&s, "'%s'", file);
    named = true;
    p++;
  }
  if (!named) str_printf(&s, " '%s'", file);
  return arena_printf(a, "{ %s\n} >/dev/null 2>&1 </dev/null", str_text(&s));
}

int shell_run(Arena *a, const char *command, const char *file) {
  int status = system(command_for(a, command, file));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
