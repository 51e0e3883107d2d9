// layout.h: the parts of the layout pass.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_PASSES_LAYOUT_H
#define INGOT_PASSES_LAYOUT_H

#include "passes/internal.h"

// States that grow and that attention reads: how their rows lie. In layout_states.c.
void layout_states(Module *m, const PassOptions *o);
// Rows of products that lie scattered are copied first. In layout_gather.c.
void layout_gather(Module *m);

#endif
