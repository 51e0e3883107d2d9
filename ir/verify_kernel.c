// verify_kernel.c: checks of kernels and their stages.
// SPDX-License-Identifier: Apache-2.0
#include "ir/verify.h"

bool verify_declare(Verify *v, const Value *x, AccessRight access) {
  if (x->id < 0 || x->id >= v->nvalues || v->values[x->id]) {
    return verify_fail(v, x->loc, "the value %%%s is declared twice", x->name);
  }
  v->values[x->id] = x;
  verify_set_access(v, x, access);
  if (!v->kernel) vec_push(v->ctx->arena, &v->declared, x);
  return verify_value(v, x);
}

void verify_set_access(Verify *v, const Value *x, AccessRight access) {
  if (!verify_knows(v, x)) return;
  if (v->kernel)
    v->inside[x->id] = v->epoch * 4 + (uint32_t)access;
  else
    v->access[x->id] = (uint8_t)access;
}

// ---- stages -------------------------------------------------------------------------------------------------

static bool is_ours(const Node *n, const Value *x) {
  for (int i = 0; i < n->nout; i++) {
    if (n->out[i] == x) return true;
  }
  for (int i = 0; i < n->kernel->locals.n; i++) {
    if (n->kernel->locals.data[i] == x) return true;
  }
  return false;
}

// Without indices the stage's variables run over exactly the elements of the result.
static bool verify_extents(Verify *v, const Stage *s) {
  const Type *t = &s->out->type;
  if (s->ndims != t->rank) {
    return verify_fail(v, s->loc, "the stage writes %d dimensions of %%%s, which has %d", s->ndims,
                       s->out->name, t->rank);
  }
  for (int i = 0; i < s->ndims; i++) {
    const Expr *want = dim_to_expr(v->ctx, t->dim[i]), *is = s->dims[i]->extent;
    if (is == want) continue;
    return verify_fail(v, s->loc, "dimension %d of %%%s is %s, '%s' runs to %s", i, s->out->name,
                       expr_text(v->ctx, want), s->dims[i]->name, expr_text(v->ctx, is));
  }
  return true;
}

static bool verify_target(Verify *v, const Stage *s) {
  if (!s->index) return verify_extents(v, s);
  for (int i = 0; i < s->out->type.rank; i++) {
    if (!verify_expr(v, s->index[i], false, s->loc)) return false;
  }
  return verify_index(v, s->out, s->index, s->out->type.rank, false, s->loc);
}

static bool verify_stage(Verify *v, const Node *n, const Stage *s) {
  if (!is_ours(n, s->out)) return verify_fail(v, s->loc, "%%%s is not this kernel's to write", s->out->name);
  if (s->at < 0 || s->at > s->ndims)
    return verify_fail(v, s->loc, "the stage shares %d of %d loops", s->at, s->ndims);
  if (s->value->dtype != s->out->type.dtype) {
    return verify_fail(v, s->loc, "%s is stored to %%%s, which is %s", dtype_name(s->value->dtype),
                       s->out->name, dtype_name(s->out->type.dtype));
  }
  if (s->store != STORE_SET && s->out->type.dtype == DT_BOOL)
    return verify_fail(v, s->loc, "arithmetic on bool");
  v->scope.n = 0;
  for (int i = 0; i < s->ndims; i++) {
    if (!verify_push_var(v, s->dims[i], false, s->loc)) return false;
  }
  bool rewrites = s->index || s->store != STORE_SET; // may read what it wrote before
  if (rewrites) verify_set_access(v, s->out, ACCESS_READ | ACCESS_WRITE);
  if (!verify_target(v, s) || !verify_expr(v, s->value, false, s->loc)) return false;
  verify_set_access(v, s->out, ACCESS_READ | ACCESS_WRITE);
  return true;
}

static bool verify_written(Verify *v, const Node *n) {
  for (int i = 0; i < n->nout; i++) {
    if (verify_access(v, n->out[i]) & ACCESS_READ) continue;
    return verify_fail(v, n->loc, "no stage of kernel '%s' writes %%%s", n->kernel->name, n->out[i]->name);
  }
  return true;
}

static bool verify_stages(Verify *v, const Node *n) {
  const Kernel *k = n->kernel;
  for (int i = 0; i < k->stages.n; i++) {
    if (!verify_stage(v, n, &k->stages.data[i])) return false;
  }
  return k->routine || verify_written(v, n);
}

bool kernel_is_checked(const Kernel *k) {
  return k->schedule.kind && strcmp(k->schedule.kind, "checked") == 0;
}

// ---- kernels ------------------------------------------------------------------------------------------------

// A kernel sees its operands, its results and its locals, nothing else.
static bool open_kernel(Verify *v, const Node *n) {
  for (int i = 0; i < n->nin; i++) {
    if (!n->in[i]) return verify_fail(v, n->loc, "kernel '%s' lacks an operand", n->kernel->name);
    verify_set_access(v, n->in[i], ACCESS_READ);
  }
  for (int i = 0; i < n->nout; i++) verify_set_access(v, n->out[i], ACCESS_WRITE);
  for (int i = 0; i < n->kernel->locals.n; i++) {
    if (!verify_declare(v, n->kernel->locals.data[i], ACCESS_WRITE)) return false;
  }
  return true;
}

static void start_kernel(Verify *v, const Kernel *k) {
  v->kernel = k;
  v->epoch++;
  v->scope.n = v->lets.n = 0;
  v->assume = NULL;
  v->budget = VERIFY_BUDGET;
  v->stack = 0;
}

static bool verify_content(Verify *v, const Node *n) {
  const Kernel *k = n->kernel;
  if (!k->name || !*k->name) return verify_fail(v, n->loc, "a kernel without a name");
  if (!map_put(v->kernel_names, k->name, v))
    return verify_fail(v, n->loc, "two kernels are named '%s'", k->name);
  if (!open_kernel(v, n)) return false;
  if (!k->routine && !k->stages.n) return verify_fail(v, n->loc, "kernel '%s' computes nothing", k->name);
  if (!verify_stages(v, n)) return false;
  if (v->module->level < LEVEL_LOOPS || k->routine) return true;
  return verify_body(v, n);
}

bool verify_kernel(Verify *v, const Node *n) {
  start_kernel(v, n->kernel);
  bool ok = verify_content(v, n);
  v->kernel = NULL;
  return ok;
}

// ---- one by one -----------------------------------------------------------------------------------------------

struct Prover {
  Verify v;
};

Prover *prover_new(Module *m) {
  Prover *p = NEW(m->ctx->arena, Prover);
  p->v = (Verify){.ctx = m->ctx, .module = m, .quiet = true};
  return p;
}

// Lowering makes values: the tables grow with their number.
static void prover_grow(Verify *v) {
  if (v->ctx->next_value <= v->nvalues) return;
  int n = v->ctx->next_value + v->ctx->next_value / 2;
  const Value **values = NEW_ARRAY(v->ctx->arena, const Value *, n);
  uint32_t *inside = NEW_ARRAY(v->ctx->arena, uint32_t, n);
  if (v->nvalues) {
    memcpy(values, v->values, (size_t)v->nvalues * sizeof *values);
    memcpy(inside, v->inside, (size_t)v->nvalues * sizeof *inside);
  }
  v->values = values;
  v->inside = inside;
  v->nvalues = n;
}

static void prover_knows(Verify *v, const Value *x, AccessRight access) {
  v->values[x->id] = x;
  verify_set_access(v, x, access);
}

bool prover_kernel(Prover *p, const Node *n, const char **why) {
  Verify *v = &p->v;
  prover_grow(v);
  start_kernel(v, n->kernel);
  for (int i = 0; i < n->nin; i++) prover_knows(v, n->in[i], ACCESS_READ);
  for (int i = 0; i < n->kernel->locals.n; i++) prover_knows(v, n->kernel->locals.data[i], ACCESS_NONE);
  for (int i = 0; i < n->nout; i++) prover_knows(v, n->out[i], ACCESS_NONE);
  bool ok = verify_body(v, n);
  *why = v->why;
  return ok;
}
