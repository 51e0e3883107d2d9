// stdio.h: formatting of texts on bare machines (format.c): %d %u %x %lld %llu %s %.*s %p.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_BARE_STDIO_H
#define INGOT_BARE_STDIO_H

#include <stdarg.h>
#include <stddef.h>

#define snprintf  ingot_bare_snprintf
#define vsnprintf ingot_bare_vsnprintf
#pragma GCC visibility push(hidden)
int snprintf(char *to, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *to, size_t size, const char *fmt, va_list ap);
#pragma GCC visibility pop

#endif
