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
  const Value **values; // by id: what was declared anywhere
  uint8_t *access;      // by id: AccessRight here and now
  int nvalues;
  Map *kernel_names;
  // inside a kernel:
  const Kernel *kernel;
  Vec(const Var *) scope;
  Vec(LetValue) lets; // integers only
  const Expr *assume; // NULL, or what holds here
  int budget;         // expressions that may still be visited
} Verify;

typedef enum AccessRight { ACCESS_NONE, ACCESS_READ = 1, ACCESS_WRITE = 2 } AccessRight;

enum { VERIFY_BUDGET = 20000000 };

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
static inline AccessRight verify_access(const Verify *v, const Value *x) {
  return x->id >= 0 && x->id < v->nvalues && v->values[x->id] == x ? (AccessRight)v->access[x->id]
                                                                   : ACCESS_NONE;
}

// ---- verify_proof.c -----------------------------------------------------------------------------------------

// 0 <= index < extent, or, which memory safety needs only, below the extent's bound, under what is assumed.
bool verify_proves_range(Verify *v, const Expr *index, Dim extent);
const Expr *verify_without_lets(Verify *v, const Expr *e); // over loop variables only

// ---- verify_kernel.c --------------------------------------------------------------------------------------

bool verify_kernel(Verify *v, const Node *n);
// Declares a value that did not exist before; false after reporting a doubled id.
bool verify_declare(Verify *v, const Value *x, AccessRight access);

// ---- verify_loops.c ---------------------------------------------------------------------------------------

bool verify_body(Verify *v, const Node *n);

#endif
