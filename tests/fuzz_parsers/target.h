// target.h: the reader of one file format, fed with any bytes.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_FUZZ_PARSERS_TARGET_H
#define INGOT_FUZZ_PARSERS_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// false: there is no such format.
bool fuzz_parse(const char *format, const uint8_t *data, size_t size);

#endif
