// report.h: what `ingot report` shows, as one JSON tree.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_REPORT_H
#define INGOT_TOOLS_REPORT_H

#include <cjson/cJSON.h>

#include "tools/tool.h"

// ---- report_graph.c: graphs with the places of their nodes ---------------------------------------------------

// The graph of a module as it stands: nodes, edges, places on the plane (by Graphviz's dot; without it, one below the
// other). NULL after reporting.
cJSON *report_graph(Tool *t, const Module *m);
// The same in Graphviz's language. `places` leaves out everything but sizes.
void graph_to_dot(Str *out, const Module *m, bool places);

// As the JSON of graph collections that Model Explorer opens.
void graph_to_explorer(Tool *t, Str *out, const Module *m);

// ---- report_kernels.c: kernels as expressions, loops and assembly -------------------------------------------

// By name: expression and loops of every kernel of a module at loops level.
cJSON *report_kernels(Tool *t, const Module *m);
// Cuts assembly into functions and adds them to the kernels that metadata says they belong to.
void report_assembly(Tool *t, cJSON *kernels, const char *assembly, const cJSON *metadata);
cJSON *report_remarks(const Module *m);

// ---- report_page.c: the page --------------------------------------------------------------------------------

// One file that needs nothing else. false after reporting.
bool report_write(Tool *t, const cJSON *data, const char *title, const char *path);

#endif
