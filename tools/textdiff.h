// textdiff.h: what changed between two texts, line by line.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_TEXTDIFF_H
#define INGOT_TOOLS_TEXTDIFF_H

#include "ir/base.h"

// Appends the changes from text `a` to text `b` in the unified format, with `context` lines around each; the two
// names head them. Nothing, and false, if the texts are equal.
bool text_diff(Str *out, const char *a, const char *b, const char *a_name, const char *b_name, int context);

#endif
