// plain.c: a shared library that is no artefact.
// SPDX-License-Identifier: Apache-2.0
int plain_answer(void);
int plain_answer(void) {
  return 42;
}
