// onnx_scope.h: names in ONNX graphs and what they stand for; private to onnx*.c.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_ONNX_SCOPE_H
#define INGOT_ONNX_SCOPE_H

#include "frontend/onnx_import.h"

// The names of one graph or function body. Subgraphs see the names of the graphs around them, functions
// do not. Initialisers are turned into constants when they are first looked up.
struct Scope {
  Scope *parent; // NULL for the main graph and for functions
  Map *names;    // -> Entry
  const OnnxOpset *opsets;
  int64_t nopsets;
  bool is_function;
  const char *path;      // of the calls around, each with a '/'; "" in the main graph
  const OnnxAttr *attrs; // function: its attributes' values
  int nattrs;
};

Scope *scope_new(Import *im, Scope *parent);
// The path within a function that this node calls.
const char *scope_call_path(Import *im, const OnnxNode *n);
// Declares the initialisers of a graph; reports names that are taken.
bool scope_add_initialisers(Import *im, Scope *s, const OnnxGraph *g);
bool scope_bind(Import *im, Scope *s, Loc loc, Val *v);  // by v->name; reports if taken
Val *scope_find(Import *im, Scope *s, const char *name); // NULL if unknown
bool scope_declares(const Scope *s, const char *name);   // in this scope itself
// The attribute itself, or what it refers to in the function around; NULL if that is absent.
const OnnxAttr *scope_attr(const Scope *s, const OnnxAttr *a);
int scope_version(const Scope *s, const char *domain); // operator set in force; 0 if none is imported

// The order in which the nodes needed for `outputs` can be translated: each after its producers, else as
// in the file. Reports doubly defined names and cycles; -1 then. `order` has room for all nodes.
int order_nodes(Import *im, const OnnxNode *nodes, int64_t n, const char *const *outputs, int64_t noutputs,
                int *order);
Loc node_loc(Import *im, const OnnxNode *n); // with the path of the calls that led to it

// onnx_inputs.c: makes the main graph's inputs.
bool import_inputs(Import *im, const OnnxGraph *g);
// The name that the main graph declares for a dimension of a value, or NULL.
const char *declared_dim(Import *im, const char *value, int axis);
// The extent or bound that the user gave for a name.
bool given_bound(Import *im, const char *name, int64_t *bound);

// onnx_support.c: reports every operator that cannot be translated; false if there are any.
bool check_support(Import *im);
const OnnxOp *find_op(const Import *im, const char *domain, const char *name);
const OnnxFunction *find_function(const Import *im, const OnnxNode *n);
Map *ops_map(Arena *a);

#endif
