// child.h: how child processes of tests end.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_CHILD_H
#define TESTS_CHILD_H

#include <unistd.h>

#ifdef INGOT_COVERAGE
void __gcov_dump(void);
#endif

// Without the parent's exit handlers; in builds that count what is reached, what the child reached is kept.
_Noreturn static inline void child_exit(int code) {
#ifdef INGOT_COVERAGE
  __gcov_dump();
#endif
  _exit(code);
}

#endif
