// internal.h: what the passes share: the pass functions of the table, maps, walks over graphs.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_PASSES_INTERNAL_H
#define INGOT_PASSES_INTERNAL_H

#include "passes/passes.h"

// ---- the passes (see the table in passes.c for what each does) --------------------------------------------

bool pass_canonicalize(Module *m, const PassOptions *o);
bool pass_recognize(Module *m, const PassOptions *o);
bool pass_fold(Module *m, const PassOptions *o);
bool pass_fold_affine(Module *m, const PassOptions *o);
bool pass_strength(Module *m, const PassOptions *o);
bool pass_decompose(Module *m, const PassOptions *o);
bool pass_cse(Module *m, const PassOptions *o);
bool pass_dce(Module *m, const PassOptions *o);
bool pass_merge_products(Module *m, const PassOptions *o);
bool pass_states(Module *m, const PassOptions *o);
bool pass_quantize_weights(Module *m, const PassOptions *o);
bool pass_fuse(Module *m, const PassOptions *o);
bool pass_attention(Module *m, const PassOptions *o);
bool pass_layout(Module *m, const PassOptions *o);
bool pass_schedule(Module *m, const PassOptions *o);
bool pass_lower(Module *m, const PassOptions *o);
bool pass_memory(Module *m, const PassOptions *o);

// A number that changes when anything about the module that a pass may change does.
uint64_t module_fingerprint(const Module *m);

// ---- util.c -------------------------------------------------------------------------------------------------

// Pointer -> pointer; starts as {0}.
typedef struct PtrMap {
  const void **keys;
  void **values;
  int n, cap;
} PtrMap;
void *ptr_get(const PtrMap *m, const void *key); // NULL if absent
void ptr_put(Arena *a, PtrMap *m, const void *key, void *value);
void ptr_clear(PtrMap *m); // keeps its room

// Calls fn on every graph of the module, regions before the graph that holds them. Stops when fn is false.
bool each_graph(Graph *g, bool (*fn)(Graph *g, void *data), void *data);
// Forgets what passes noted at nodes and values (their `info`): before and after a pass that uses it.
void clear_info(Graph *main);

// The distinct READ nodes of e in order of first visit; the array is the arena's.
int expr_read_list(Ctx *c, const Expr *e, const Expr ***out);
bool expr_has(Ctx *c, const Expr *e, ExprOp op);
// The conjuncts of a bool expression (a & b & c).
int expr_conjuncts(const Expr *e, const Expr **out, int max); // -1: more than max
// Product of the bounds of n variables' extents, saturating at MAX_ELEMENTS * MAX_ELEMENTS' cap.
int64_t vars_product(Ctx *c, const Var *const *v, int n);
int64_t var_bound(Ctx *c, const Var *v);
int64_t mul_sat(int64_t a, int64_t b);

// Constant operand: its tensor, or NULL.
static inline const Tensor *const_of(const Value *v) {
  return v && !v->def ? v->data : NULL;
}
// Is v a constant of which every element is x?
bool const_is_splat(const Value *v, double x);
// In its results' types or in what its stages compute.
bool kernel_uses_sym(Ctx *c, const Node *n, const Sym *s);
// Is v a constant, not too large to look at, without infinities and NaN?
bool const_is_finite(const Value *v);
// Is v an output of its graph?
bool value_is_output(const Graph *g, const Value *v);
Graph *graph_of_value(const Value *v); // of the node that makes it; NULL for inputs and constants

// Replaces result k of n by v and remembers n's name and origins on what makes v. n goes when unused.
void node_replace(Node *n, int k, Value *v);
// Adds the origins of `from`, or, if it is the model's own node, `from` itself.
void node_inherit(Node *to, const Node *from);
// The same, where what `from` did has gone into constants and takes no time any more.
void node_inherit_free(Node *to, const Node *from);
// Removes n if nothing uses its results (uses must be counted) and it has no side effect.
bool node_remove_if_dead(Node *n);

// The identity element of a reduction.
const Expr *reduce_identity(Ctx *c, ReduceKind k, DType t);
// a combined with b as the reduction does.
const Expr *reduce_combine(Ctx *c, ReduceKind k, const Expr *a, const Expr *b);

#endif
