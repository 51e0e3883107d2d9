// api.c: the inline functions of ingot.h as real ones, for languages that can only call symbols of a library.
// SPDX-License-Identifier: Apache-2.0
#define INGOT_API __attribute__((visibility("default")))
#include "ingot.h"
