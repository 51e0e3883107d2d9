// verify_loops.c: checks of loop nests.
// SPDX-License-Identifier: Apache-2.0
#include "ir/verify.h"

// Where a statement stands.
typedef struct Place {
  const Node *node;
  bool outermost; // not inside a loop: a parallel loop may stand here
  bool in_vector; // inside a vector loop
} Place;

static bool verify_stmts(Verify *v, const Stmt *s, Place at);

// ---- loops --------------------------------------------------------------------------------------------------

static bool verify_loop_kind(Verify *v, const Stmt *s, Place at) {
  const char *name = s->loop.var->name;
  int64_t extent;
  bool constant = s->loop.var->extent && expr_is_const_int(s->loop.var->extent, &extent);
  switch (s->loop.kind) {
  case LOOP_SERIAL: return !at.in_vector || verify_fail(v, s->loc, "a serial loop inside a vector loop");
  case LOOP_PARALLEL:
    return at.outermost || verify_fail(v, s->loc, "the parallel loop '%s' is not outermost", name);
  case LOOP_UNROLL:
    return constant || verify_fail(v, s->loc, "the unrolled loop '%s' has no constant extent", name);
  case LOOP_VECTOR:
    if (!constant) return verify_fail(v, s->loc, "the vector loop '%s' has no constant extent", name);
    return !at.in_vector || verify_fail(v, s->loc, "a vector loop inside another");
  }
  return verify_fail(v, s->loc, "unknown kind of loop");
}

static bool verify_loop(Verify *v, const Stmt *s, Place at) {
  if (!verify_loop_kind(v, s, at) || !verify_push_var(v, s->loop.var, true, s->loc)) return false;
  at.outermost = false;
  at.in_vector |= s->loop.kind == LOOP_VECTOR;
  return verify_stmts(v, s->loop.body, at);
}

// ---- other statements ---------------------------------------------------------------------------------------

static bool verify_store(Verify *v, const Stmt *s) {
  const Value *x = s->store.dst;
  if (!(verify_access(v, x) & ACCESS_WRITE))
    return verify_fail(v, s->loc, "%%%s cannot be written here", x->name);
  if (s->store.value->dtype != x->type.dtype) {
    return verify_fail(v, s->loc, "%s is stored to %%%s, which is %s", dtype_name(s->store.value->dtype),
                       x->name, dtype_name(x->type.dtype));
  }
  if (s->store.op != STORE_SET && x->type.dtype == DT_BOOL)
    return verify_fail(v, s->loc, "arithmetic on bool");
  for (int i = 0; i < s->store.nindex; i++) {
    if (!verify_expr(v, s->store.index[i], true, s->loc)) return false;
  }
  return verify_index(v, x, s->store.index, s->store.nindex, true, s->loc) &&
         verify_expr(v, s->store.value, true, s->loc);
}

static bool verify_let(Verify *v, const Stmt *s) {
  const Var *var = s->let.var;
  if (var->extent) return verify_fail(v, s->loc, "'%s' is a loop variable", var->name);
  if (var->dtype != s->let.value->dtype)
    return verify_fail(v, s->loc, "'%s' has another type than its value", var->name);
  if (!verify_expr(v, s->let.value, true, s->loc)) return false;
  vec_push(v->ctx->arena, &v->scope, var);
  if (!dtype_is_float(var->dtype)) vec_push(v->ctx->arena, &v->lets, ((LetValue){var, s->let.value}));
  return true;
}

static bool verify_if(Verify *v, const Stmt *s, Place at) {
  if (s->cond.cond->dtype != DT_BOOL) return verify_fail(v, s->loc, "the condition is no bool");
  if (!verify_expr(v, s->cond.cond, true, s->loc)) return false;
  at.outermost = false;
  const Expr *old = verify_assume(v, s->cond.cond, true);
  bool ok = verify_stmts(v, s->cond.then, at);
  v->assume = old;
  if (!ok || !s->cond.otherwise) return ok;
  verify_assume(v, s->cond.cond, false);
  ok = verify_stmts(v, s->cond.otherwise, at);
  v->assume = old;
  return ok;
}

static bool verify_alloc(Verify *v, const Stmt *s, Place at) {
  const Value *x = s->alloc;
  bool local = x->space == SPACE_REG || x->space == SPACE_STACK || x->space == SPACE_SCRATCH;
  if (!local) return verify_fail(v, s->loc, "%%%s must be in reg, stack or scratch", x->name);
  if (at.in_vector && x->space != SPACE_REG)
    return verify_fail(v, s->loc, "memory is allocated inside a vector loop");
  if (!type_is_static(&x->type)) return verify_fail(v, s->loc, "%%%s has no constant size", x->name);
  int64_t end, bytes = layout_bytes(v->ctx, x->layout, &x->type);
  bool fits = x->space != SPACE_SCRATCH ||
              (x->offset >= 0 && add_ok(x->offset, bytes, &end) && end <= v->kernel->scratch);
  if (!fits) return verify_fail(v, s->loc, "%%%s does not lie inside the kernel's scratch memory", x->name);
  if (x->space == SPACE_STACK && (v->stack += bytes) > VERIFY_STACK)
    return verify_fail(v, s->loc, "kernel '%s' wants more than %d KiB of stack", v->kernel->name,
                       VERIFY_STACK / 1024);
  return verify_declare(v, x, ACCESS_READ | ACCESS_WRITE);
}

static bool verify_prefetch(Verify *v, const Stmt *s) {
  if (s->prefetch.at->dtype != DT_I64) return verify_fail(v, s->loc, "the index of a prefetch is no i64");
  if (!verify_access(v, s->prefetch.of))
    return verify_fail(v, s->loc, "%%%s is not there to be prefetched", s->prefetch.of->name);
  return verify_expr(v, s->prefetch.at, true, s->loc);
}

static bool verify_stmt(Verify *v, const Stmt *s, Place at) {
  switch (s->kind) {
  case S_FOR: return verify_loop(v, s, at);
  case S_STORE: return verify_store(v, s);
  case S_LET: return verify_let(v, s);
  case S_IF: return verify_if(v, s, at);
  case S_ALLOC: return verify_alloc(v, s, at);
  case S_PREFETCH: return verify_prefetch(v, s);
  }
  return verify_fail(v, s->loc, "unknown kind of statement");
}

// What a block declares ends with it.
static bool verify_stmts(Verify *v, const Stmt *s, Place at) {
  int scope = v->scope.n, lets = v->lets.n;
  const Stmt *first = s;
  bool ok = true;
  for (; ok && s; s = s->next) {
    int depth = v->scope.n;
    ok = verify_stmt(v, s, at);
    if (s->kind == S_FOR) v->scope.n = depth;
  }
  v->scope.n = scope;
  v->lets.n = lets;
  for (const Stmt *t = first; ok && t; t = t->next) {
    if (t->kind == S_ALLOC) verify_set_access(v, t->alloc, ACCESS_NONE);
  }
  return ok;
}

bool verify_body(Verify *v, const Node *n) {
  const Kernel *k = n->kernel;
  for (int i = 0; i < n->nout; i++) verify_set_access(v, n->out[i], ACCESS_READ | ACCESS_WRITE);
  for (int i = 0; i < k->locals.n; i++) verify_set_access(v, k->locals.data[i], ACCESS_READ | ACCESS_WRITE);
  v->scope.n = v->lets.n = 0;
  v->assume = NULL;
  return verify_stmts(v, k->body, (Place){.node = n, .outermost = true});
}
