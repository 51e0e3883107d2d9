// stdlib.h: there is no environment on bare machines.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_BARE_STDLIB_H
#define INGOT_BARE_STDLIB_H

#include <stddef.h>

static inline char *getenv(const char *name) {
  (void)name;
  return NULL;
}
static inline long strtol(const char *s, char **end, int base) {
  (void)s, (void)end, (void)base;
  return 0;
}

#endif
