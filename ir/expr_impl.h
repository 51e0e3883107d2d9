// expr_impl.h: what the files that implement expressions share; private to ir/.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_EXPR_IMPL_H
#define INGOT_EXPR_IMPL_H

#include "ir/ir.h"

// ---- scalar.c: the meaning of one operation ---------------------------------------------------------------

// A scalar of some dtype: `f` for floats (already rounded to the dtype), else `i` (already wrapped: sign-
// or zero-extended; u64 by its bit pattern).
typedef union Scalar {
  int64_t i;
  double f;
} Scalar;

int64_t int_wrap(DType t, int64_t v);
double float_round(DType t, double v);
Scalar scalar_cast(DType from, DType to, Scalar v);
Scalar scalar_bitcast(DType from, DType to, Scalar v);
// Applies op (arithmetic or comparison) to operands of dtype t. false if op is not defined on t.
bool scalar_op(ExprOp op, DType t, const Scalar *arg, Scalar *out);
Scalar scalar_load(DType t, const void *p); // p may be unaligned
void scalar_store(DType t, void *p, Scalar v);

// ---- expr_table.c: interning ------------------------------------------------------------------------------

typedef struct Range {
  int64_t lo, hi; // INT64_MIN / INT64_MAX: unknown on that side
} Range;

typedef struct WalkFrame {
  const Expr *e;
  int next; // argument to go to
} WalkFrame;

// A map from expressions to pointers that is emptied in O(1), and the lists a walk needs.
typedef struct Memo {
  struct MemoSlot {
    uint32_t id, epoch;
    const void *value;
  } * slots;
  uint32_t cap, n, epoch;
  Vec(const Expr *) order; // of expr_postorder
  Vec(WalkFrame) stack;
  struct Memo *next; // in the pool
} Memo;

typedef struct Assume Assume;

typedef struct ExprTable {
  const Expr **slots;
  uint32_t cap, n;
  Memo *memos;    // pool
  Assume *assume; // facts that hold for the simplification going on, or NULL
  bool thorough;  // facts are brought together at length: for what is not proved otherwise
} ExprTable;

ExprTable *expr_table_new(Arena *a);
// The unique node of this structure, with no simplification at all.
const Expr *expr_intern(Ctx *c, const Expr *like);
// Computes all ranges again, after new facts about symbols.
void expr_ranges_anew(Ctx *c);
const Expr *mk_unary(Ctx *c, ExprOp op, DType t, const Expr *a);
const Expr *mk_binary(Ctx *c, ExprOp op, DType t, const Expr *a, const Expr *b);
const Expr *mk_ternary(Ctx *c, ExprOp op, DType t, const Expr *a, const Expr *b, const Expr *d);
const Expr *mk_const(Ctx *c, DType t, Scalar v);

Memo *memo_take(Ctx *c);         // empty
void memo_give(Ctx *c, Memo *m); // back to the pool
const void *memo_get(const Memo *m, const Expr *e);
void memo_put(Ctx *c, Memo *m, const Expr *e, const void *value);

// ---- expr_bounds.c ----------------------------------------------------------------------------------------

Range range_of_dtype(DType t);
Range range_compute(Ctx *c, const Expr *e); // from the arguments' ranges
Range expr_range(Ctx *c, const Expr *e);    // under the current assumption
static inline bool range_known(Range r) {
  return r.lo != INT64_MIN && r.hi != INT64_MAX;
}
// a < b (a <= b) for all values of the variables, as far as can be seen.
bool expr_proves_lt(Ctx *c, const Expr *a, const Expr *b);
bool expr_proves_le(Ctx *c, const Expr *a, const Expr *b);

// ---- expr_linear.c: sums of products over i64 --------------------------------------------------------------

enum { LINEAR_MAX = 32 }; // longer sums are left as they are

typedef struct Term {
  const Expr *atom; // not a constant, sum, or product with a constant
  int64_t coeff;    // not 0
} Term;

typedef struct Linear {
  int n;
  Term term[LINEAR_MAX];
  int64_t constant;
} Linear;

bool linear_of(const Expr *e, Linear *out); // false: too long
bool linear_add(Linear *l, const Linear *m, int64_t scale);
const Expr *linear_expr(Ctx *c, Linear *l);
Range linear_range(Ctx *c, const Linear *l);
int64_t linear_content(const Linear *l); // gcd of the coefficients, 0 if there are none
static inline bool linear_is_plain(const Linear *l) {
  return l->n == 1 && l->term[0].coeff == 1 && l->constant == 0;
}
// A total order that does not depend on addresses.
int expr_order(const Expr *a, const Expr *b);

const Expr *simplify_sum(Ctx *c, ExprOp op, const Expr *a, const Expr *b);      // i64 ADD, SUB
const Expr *simplify_product(Ctx *c, const Expr *a, const Expr *b);             // i64 MUL
const Expr *simplify_division(Ctx *c, ExprOp op, const Expr *a, const Expr *b); // i64 FDIV, MOD
const Expr *simplify_compare(Ctx *c, ExprOp op, const Expr *a, const Expr *b);  // i64 EQ NE LT LE

// ---- expr_bool.c ------------------------------------------------------------------------------------------

const Expr *simplify_bool(Ctx *c, ExprOp op, const Expr *a, const Expr *b); // AND OR XOR EQ NE of bools
const Expr *simplify_not(Ctx *c, const Expr *a);

// ---- expr_facts.c -----------------------------------------------------------------------------------------

enum { DIGIT_DEPTH = 2 }; // numbers are not taken apart into digits beyond it

typedef struct Fact {
  const Expr *form; // a linear form: no constant, content 1, its first term positive
  Range range;
} Fact;

struct Assume {
  Assume *outer;
  Vec(Fact) facts;
  Vec(const Expr *) holds; // conjuncts as they are
  Vec(const Expr *) fails; // bool expressions known to be false
  Memo *ranges;            // expression -> Range *, under this assumption
  Memo *done;              // expression -> its simplification, under this assumption
  int range_depth, depth;  // of recursion
  int digit_depth;         // the same for digits taken apart
  int sum_depth;           // the same for sums whose ranges ask for those of others
  bool choices;            // there are facts about a maximum or minimum
  bool nested;             // and about quotients and remainders of such, or of others
  int *budget;             // expressions that may still be simplified
};

// l = k * form + constant, with the form as facts have it; false if l is constant.
bool linear_key(Ctx *c, Linear l, const Expr **form, int64_t *k, int64_t *constant);
// Adds what it says that p holds (or does not), as the ranges known now have it.
void facts_add(Ctx *c, Assume *a, const Expr *p, bool truth);
// Adds what the facts of `a`, the current assumption, say together.
void facts_settle(Ctx *c, Assume *a);

// ---- expr_assume.c ----------------------------------------------------------------------------------------

// Narrows r, the range of e, by what is assumed of e itself.
Range assume_narrow(Ctx *c, const Expr *e, Range r);
// Is it known that p is false? What stands under such a condition is never reached.
bool expr_never_holds(Ctx *c, const Expr *p);
Range assume_narrow_linear(Ctx *c, const Linear *l, Range r); // there is an assumption

// ---- expr_walk.c ------------------------------------------------------------------------------------------

// Appends the distinct nodes of e that are not in m yet to m->order, arguments first, and maps each to
// itself.
void expr_postorder(Ctx *c, Memo *m, const Expr *e);

// ---- graph.c ----------------------------------------------------------------------------------------------

void node_insert(Graph *g, Node *n, Node *before); // does not count it in g->nnodes

// ---- build.c ----------------------------------------------------------------------------------------------

// Checks n's operands against its op and infers its results' types anew.
bool node_check(Ctx *c, Node *n);
const Op *op_kernel(Ctx *c); // the op of fused kernels

#endif
