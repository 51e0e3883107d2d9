// states.h: pairs of inputs and outputs that the user declares to be states.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_STATES_H
#define INGOT_STATES_H

#include "frontend/frontend.h"

// Does an option make this input a state? Its symbolic extents may then be 0.
bool states_name_input(const FrontendOptions *o, const char *name);
// Pairs inputs and outputs as the options say. false after reporting.
bool states_pair(Module *m, const FrontendOptions *o);

#endif
