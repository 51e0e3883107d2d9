// ops.h: what the files of the op table (ops_*.c) share: the tables' names and helpers for their rows.
// SPDX-License-Identifier: Apache-2.0
//
// A row's functions are called by build (infer), by evaluation, fusion and lowering (define, stages,
// decompose). infer reports whatever does not fit and is the only one that meets unchecked input; the others
// may rely on what it accepted.
#ifndef INGOT_OPS_H
#define INGOT_OPS_H

#include "ir/ir.h"

// Each ends with a row whose name is NULL.
extern const OpInfo OPS_ARITHMETIC[], OPS_ACTIVATION[], OPS_LOGIC[], OPS_RESHAPE[], OPS_VIEW[], OPS_INDEX[],
    OPS_GENERATE[], OPS_REDUCE[], OPS_LINEAR[], OPS_CONV[], OPS_POOL[], OPS_NORM[], OPS_RESIZE[],
    OPS_ATTENTION[], OPS_RECURRENT[], OPS_SORT[], OPS_QUANT[], OPS_CONTROL[];

// What rows of views have in common.
#define VIEW .group = "views", .outs = "T", .t = "any", .flags = OP_VIEW

// ---- operands, attributes, results ------------------------------------------------------------------------

// Operand k, or NULL if absent.
static inline Value *op_in(const Node *n, int k) {
  return k < n->nin ? n->in[k] : NULL;
}
static inline const Type *in_type(const Node *n, int k) {
  return &n->in[k]->type;
}
static inline int in_rank(const Node *n, int k) {
  return n->in[k]->type.rank;
}
// The parameter that operand k belongs to.
const OpParam *op_param(const Op *op, int k);

// Reports "<op>: message" at the node, with a note for every operand that says its type and where it came
// from. Always false, so that infer can return it.
bool op_fail(Ctx *c, const Node *n, const char *fmt, ...) PRINTF_LIKE(3, 4);

// Sets result k: extents as given, dtype by the row. Checks rank and size.
bool op_set(Ctx *c, Node *n, int k, int rank, const Dim *dims);
bool op_set_dtype(Ctx *c, Node *n, int k, DType t, int rank, const Dim *dims);
bool op_infer_same(Ctx *c, Node *n); // every result has the first operand's shape

// An axis in [-rank, rank) made >= 0. False after reporting if it is not one.
bool op_axis(Ctx *c, const Node *n, const char *attr, int64_t axis, int rank, int *out);
// The axes of an `ints` attribute as flags on[rank]; none given: all if `empty_is_all`. Reports doubles.
bool op_axes(Ctx *c, const Node *n, const char *attr, int rank, bool empty_is_all, bool *on);
int op_axis_of(const Node *n, const char *attr, int rank); // after infer
void op_axes_of(const Node *n, const char *attr, int rank, bool empty_is_all, bool *on);
// Reports unless the string attribute is one of the `choices` (separated by '|').
bool op_choice(Ctx *c, const Node *n, const char *attr, const char *choices);
static inline bool attr_is(const Node *n, const char *name, const char *value) {
  return strcmp(attr_string(n, name), value) == 0;
}
static inline bool attr_given(const Node *n, const char *name) {
  return node_attr(n, name)->given;
}
// Sets an attribute from infer (a symbol made for a data-dependent extent).
void op_put_attr(Node *n, Attr a);

// The extent, known only when the model runs, that attribute `extent` names; a symbol of at most `max` is made if
// it is not given. It becomes part of the node's attributes, so that printing a node keeps it.
bool op_data_extent(Ctx *c, Node *n, int64_t max, Dim *out);

bool dim_is(Dim d, int64_t n); // the constant n
// May a and b be the same extent? Symbols that differ are not.
bool op_same_dim(Ctx *c, const Node *n, Dim a, Dim b, const char *what);

// ---- expressions --------------------------------------------------------------------------------------------

// Sums of f16 and bf16 are taken in f32, others in their own type.
DType acc_dtype(DType t);
const Expr *ex_acc(Ctx *c, const Expr *e); // e in that type
const Expr *ex_lowest(Ctx *c, DType t);    // -inf, lowest integer, false
const Expr *ex_highest(Ctx *c, DType t);   // +inf, highest integer, true
const Expr *ex_and(Ctx *c, const Expr *a, const Expr *b);
const Expr *ex_clamp(Ctx *c, const Expr *x, const Expr *lo, const Expr *hi); // hi wins
static inline const Expr *ex_dim(Ctx *c, const Type *t, int d) {
  return dim_to_expr(c, t->dim[d]);
}
const Expr *ex_product(Ctx *c, const Type *t, int from, int to); // of extents [from, to)
// v at index (of an `rank`-dimensional result), numpy broadcasting: aligned at the end, extent 1 repeats.
const Expr *ex_read_broadcast(Ctx *c, Value *v, const Expr *const *index, int rank);
const Expr *ex_read_at(Ctx *c, Value *v, const Expr *const *index); // rank-many indices
const Expr *ex_read_scalar(Ctx *c, Value *v);                       // a tensor of one element, any rank
// An index read from a tensor, made safe: negative counts from the end, then clamped to [0, extent).
const Expr *ex_safe_index(Ctx *c, const Expr *i, const Expr *extent);
// A loop variable as expression; extent 1 gives the constant 0 and leaves *v NULL.
const Expr *ex_loop(Ctx *c, const char *name, const Expr *extent, const Var **v);

// Reduction variables under construction: loops of extent 1 are left out.
typedef struct Loops {
  int n;
  const Var *var[2 * MAX_RANK];
} Loops;
const Expr *loops_add(Ctx *c, Loops *l, const char *name, const Expr *extent);
const Expr *loops_reduce(Ctx *c, const Loops *l, ReduceKind k, const Expr *body);

// ---- decompositions -----------------------------------------------------------------------------------------
// All return NULL if an operand that is needed is NULL, so that only the end of a chain has to be checked.

Value *mk1(Builder *b, const char *op, Value *x);
Value *mk2(Builder *b, const char *op, Value *x, Value *y);
Value *mk_cast(Builder *b, Value *x, DType t); // x itself if it is of type t
Value *mk_scalar(Builder *b, DType t, double v);
Value *mk_reshape(Builder *b, Value *x, int rank, const Dim *dims);
Value *mk_transpose(Builder *b, Value *x, const int64_t *perm, int rank);
Value *mk_slice(Builder *b, Value *x, int axis, int64_t from, int64_t to);
Value *mk_reduce(Builder *b, const char *op, Value *x, const bool *axes, bool keepdims);
Value *mk_reduce1(Builder *b, const char *op, Value *x, int axis); // keeps the dimension
Value *mk_where(Builder *b, Value *cond, Value *x, Value *y);
// x by the numpy rules with the scalar v of x's type.
Value *mk_with(Builder *b, const char *op, Value *x, double v);
// `masked`: a row of -inf alone gives zeros.
Value *mk_softmax(Builder *b, Value *x, int axis, bool masked);

// ---- windows (conv, pool) -----------------------------------------------------------------------------------

enum { MAX_SPATIAL = MAX_RANK - 2 };
// One spatial dimension of a sliding window.
typedef struct Window {
  int64_t stride, dilation, before, after; // padding before the first and after the last element
  const Expr *kernel;                      // extent, in taps
} Window;
// Reads stride, dilation and pads (one number for all, one per dimension, or begins and ends) into w[n].
bool op_windows(Ctx *c, const Node *n, int spatial, Window *w);
// Element of x that tap k of output o touches (may lie outside), and the extent of the output.
const Expr *window_at(Ctx *c, const Window *w, const Expr *o, const Expr *k);
const Expr *window_extent(Ctx *c, const Window *w, const Expr *in, bool ceil_mode);

#endif
