// verify.h: what the files verify*.c share.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_VERIFY_H
#define INGOT_VERIFY_H

#include "ir/ir.h"

typedef struct LetValue {
  const Var *var;
  const Expr *value; // over loop variables only
} LetValue;

typedef struct Verify {
  Ctx *ctx;
  Module *module;
  const char *pass; // NULL: the user's own text is checked
  bool ok;
  bool quiet; // failures are kept in `why`, not reported
  const char *why;
  const Value **values; // by id: what was declared anywhere
  uint8_t *access;      // by id: AccessRight of the graphs here and now
  int nvalues;
  Vec(const Value *) declared; // by the graphs, in order: what a region declares ends with it
  bool *found;                 // by symbol: a node so far finds it out
  Map *kernel_names;
  // inside a kernel:
  const Kernel *kernel; // NULL: outside
  uint32_t *inside;     // by id: AccessRight in the kernel numbered `epoch`, as epoch * 4 + right
  uint32_t epoch;
  int64_t stack; // bytes that the statements so far have on the stack
  Vec(const Var *) scope;
  Vec(LetValue) lets; // integers only
  const Expr *assume; // NULL, or what holds here
  int budget;         // expressions that may still be visited
} Verify;

typedef enum AccessRight { ACCESS_NONE, ACCESS_READ = 1, ACCESS_WRITE = 2 } AccessRight;

enum {
  VERIFY_BUDGET = 20000000,
  VERIFY_STACK = 256 * 1024, // bytes that a kernel may have on its thread's stack
};

// Reports at loc, as an internal error if a pass is to blame. Always false.
bool verify_fail(Verify *v, Loc loc, const char *fmt, ...) PRINTF_LIKE(3, 4);

// ---- verify_type.c ----------------------------------------------------------------------------------------

bool verify_type(Verify *v, Loc loc, const Type *t);
bool verify_value(Verify *v, const Value *x); // type, layout, place

// ---- verify_expr.c ----------------------------------------------------------------------------------------

// Types, variables in scope, reads allowed and proved in range. `physical`: indices are those of the layout.
bool verify_expr(Verify *v, const Expr *e, bool physical, Loc loc);
// Proves 0 <= index[k] < extent k of x.
bool verify_index(Verify *v, const Value *x, const Expr *const *index, int n, bool physical, Loc loc);
// Adds a condition to what is assumed; returns the old assumption for the caller to put back.
const Expr *verify_assume(Verify *v, const Expr *cond, bool holds);
bool verify_push_var(Verify *v, const Var *var, bool physical, Loc loc);
static inline bool verify_knows(const Verify *v, const Value *x) {
  return x->id >= 0 && x->id < v->nvalues && v->values[x->id] == x;
}
static inline AccessRight verify_access(const Verify *v, const Value *x) {
  if (!verify_knows(v, x)) return ACCESS_NONE;
  if (!v->kernel) return (AccessRight)v->access[x->id];
  uint32_t inside = v->inside[x->id];
  return inside / 4 == v->epoch ? (AccessRight)(inside % 4) : ACCESS_NONE;
}
// Does nothing for a value that was not declared.
void verify_set_access(Verify *v, const Value *x, AccessRight access);

// ---- verify_proof.c -----------------------------------------------------------------------------------------

// 0 <= index < extent, or, which memory safety needs only, below the extent's bound, under what is assumed.
bool verify_proves_range(Verify *v, const Expr *index, Dim extent);
const Expr *verify_without_lets(Verify *v, const Expr *e); // over loop variables only

// ---- verify_digits.c ----------------------------------------------------------------------------------------

// e with sums of digits of one number written as that number.
const Expr *verify_join_digits(Ctx *c, const Expr *e);
// e as *dividend // *d, if it is a quotient plus anything.
bool verify_split_quotient(Ctx *c, const Expr *e, const Expr **dividend, int64_t *d);

// ---- verify_kernel.c --------------------------------------------------------------------------------------

bool verify_kernel(Verify *v, const Node *n);
// Declares a value that did not exist before; false after reporting a doubled id.
bool verify_declare(Verify *v, const Value *x, AccessRight access);

// ---- verify_loops.c ---------------------------------------------------------------------------------------

// The operands' and results' rights are set.
bool verify_body(Verify *v, const Node *n);

#endif
