// rewrite.h: rewriting a graph node by node: rules that name an op and offer a replacement for its result.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_PASSES_REWRITE_H
#define INGOT_PASSES_REWRITE_H

#include "passes/internal.h"

// What a rule gets: a builder that inserts before n and inherits its origins.
typedef struct Rewrite {
  Builder b;
  const PassOptions *o;
  Node *n;
} Rewrite;

// Returns what stands for n's first result from now on, or NULL if the rule does not apply. May change n's
// operands in place instead, setting *changed.
typedef Value *(*RewriteFn)(Rewrite *r, bool *changed);

typedef struct Rule {
  const char *ops; // names separated by blanks, or "*"
  RewriteFn fn;
} Rule;

// Applies the rules to every node of the module's graphs, first to last, until nothing changes (or `rounds`
// are over: rules that undo each other must not hang the compiler). Replaced nodes are removed.
bool rewrite_module(Module *m, const PassOptions *o, const char *pass, const Rule *rules, int n, int rounds);

// ---- what rules ask and build --------------------------------------------------------------------------------

// The node that makes v if its op has this name and nothing else uses v; uses are counted at a round's start.
Node *made_by_once(const Value *v, const char *op);
Node *made_by(const Value *v, const char *op);
// Operand k if it is a float or integer constant with all elements equal: its value in *x.
bool operand_number(const Node *n, int k, double *x);
const int64_t *attr_ints(const Node *n, const char *name, int *count);
bool same_type(const Value *a, const Value *b);

Value *build1(Rewrite *r, const char *op, Value *x);
Value *build2(Rewrite *r, const char *op, Value *x, Value *y);
Value *build_reshape(Rewrite *r, Value *x, int rank, const Dim *dims);
Value *build_scalar(Rewrite *r, DType t, double v);

#endif
