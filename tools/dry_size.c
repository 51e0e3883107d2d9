// dry_size.c: how much machine code loops become, estimated by counting what is emitted for each statement.
// SPDX-License-Identifier: Apache-2.0
#include "tools/dry_run.h"

// Fitted to the models that ship (docs/inspecting.md). Operations are less than an instruction each, since loads go into
// those and tiles share them; functions are many; most of an index goes into addresses.
static const double BYTES_PER_OPERATION = 2, LOOP = 4, FUNCTION = 30, INDEX = 0.3;

typedef struct Size {
  Ctx *c;
  const Target *target;
  double vectors; // registers that a value of the loop at hand takes
  double sum;     // of the expression at hand
} Size;

static bool is_function(ExprOp op) {
  return (op >= E_EXP && op <= E_ERF) || op == E_POW || op == E_ATAN2;
}

static bool add_operation(const Expr *e, void *data) {
  Size *z = data;
  if (e->op == E_CONST || e->op == E_VAR || e->op == E_SYM) return true;
  if (e->op == E_READ)
    z->sum += 1;
  else
    z->sum += !dtype_is_float(e->dtype) ? INDEX : is_function(e->op) ? FUNCTION : 1;
  return true;
}

static double operations(const Size *z, const Expr *e) {
  Size own = {.c = z->c};
  expr_visit(z->c, e, add_operation, &own);
  return own.sum;
}

static double size_of(const Size *z, const Stmt *s);

static double loop_size(const Size *z, const Stmt *s) {
  int64_t turns = 1;
  Size inner = *z;
  bool fixed = expr_is_const_int(s->loop.var->extent, &turns);
  if (s->loop.kind == LOOP_VECTOR && fixed)
    inner.vectors = (double)ceil_div(turns * dtype_bytes(DT_F32), z->target->vector_bytes);
  double body = size_of(&inner, s->loop.body);
  if (s->loop.kind == LOOP_UNROLL && fixed) return (double)turns * body;
  return s->loop.kind == LOOP_VECTOR ? body : LOOP + body;
}

static double size_of(const Size *z, const Stmt *s) {
  double sum = 0;
  for (; s; s = s->next) {
    if (s->kind == S_FOR) sum += loop_size(z, s);
    if (s->kind == S_STORE) sum += z->vectors * (1 + operations(z, s->store.value));
    for (int i = 0; s->kind == S_STORE && i < s->store.nindex; i++) sum += operations(z, s->store.index[i]);
    if (s->kind == S_LET) sum += z->vectors * operations(z, s->let.value);
    if (s->kind == S_IF)
      sum += 1 + operations(z, s->cond.cond) + size_of(z, s->cond.then) + size_of(z, s->cond.otherwise);
    if (s->kind == S_PREFETCH) sum += 1;
  }
  return sum;
}

double dry_code_bytes(Ctx *c, const Target *t, const Kernel *k) {
  return BYTES_PER_OPERATION * size_of(&(Size){.c = c, .target = t, .vectors = 1}, k->body);
}
