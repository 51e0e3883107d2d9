// string.h: what the executor uses of it on bare machines; bare.c defines it.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_BARE_STRING_H
#define INGOT_BARE_STRING_H

#include <stddef.h>

#pragma GCC visibility push(hidden)
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
#pragma GCC visibility pop

#endif
