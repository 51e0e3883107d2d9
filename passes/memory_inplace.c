// memory_inplace.c: whether a kernel's result may overwrite one of its operands.
// SPDX-License-Identifier: Apache-2.0
//
// It may if every element of the operand is read only by the one statement that overwrites this element: all
// stores to the result are plain sets whose value reads the operand at exactly the index stored to, and
// nothing else in the kernel reads it. Since a vector loop reads all its lanes before it stores them, the
// same holds for vectors.
#include "passes/memory.h"

typedef struct InPlace {
  Ctx *c;
  const Value *in, *out;
} InPlace;

static bool reads_in(const InPlace *p, const Expr *e) {
  return expr_reads(p->c, e, p->in) > 0 || expr_reads(p->c, e, p->out) > 0;
}

// Is every read of the operand in the store's value at the index stored to?
static bool store_matches(const InPlace *p, const Stmt *s) {
  const Expr **reads;
  int n = expr_read_list(p->c, s->store.value, &reads), own = 0;
  for (int i = 0; i < n; i++) {
    if (reads[i]->value == p->out) return false;
    if (reads[i]->value != p->in) continue;
    own++;
    if (reads[i]->nargs != s->store.nindex) return false;
    for (int k = 0; k < reads[i]->nargs; k++)
      if (reads[i]->args[k] != s->store.index[k]) return false;
  }
  return own > 0;
}

static bool store_ok(const InPlace *p, const Stmt *s) {
  for (int i = 0; i < s->store.nindex; i++)
    if (reads_in(p, s->store.index[i])) return false;
  if (s->store.dst != p->out) return !reads_in(p, s->store.value);
  return s->store.op == STORE_SET && store_matches(p, s);
}

static bool stmts_ok(const InPlace *p, const Stmt *s) {
  for (; s; s = s->next) {
    switch (s->kind) {
    case S_FOR:
      if (!stmts_ok(p, s->loop.body)) return false;
      break;
    case S_IF:
      if (reads_in(p, s->cond.cond) || !stmts_ok(p, s->cond.then) || !stmts_ok(p, s->cond.otherwise))
        return false;
      break;
    case S_LET:
      if (reads_in(p, s->let.value)) return false;
      break;
    case S_STORE:
      if (!store_ok(p, s)) return false;
      break;
    case S_ALLOC:
    case S_PREFETCH: break;
    }
  }
  return true;
}

static bool same_shape(const Value *a, const Value *b) {
  if (a->type.rank != b->type.rank || !layout_equal(a->layout, b->layout)) return false;
  for (int i = 0; i < a->type.rank; i++)
    if (!dim_equal(a->type.dim[i], b->type.dim[i])) return false;
  return dtype_bytes(a->type.dtype) == dtype_bytes(b->type.dtype);
}

static const Value *whole_of(const Value *v) {
  while (v->base) v = v->base;
  return v;
}

// Is a part of the operand, or the whole that it is a part of, another operand? Its reads are not those that are checked.
static bool has_alias(const Node *n, const Value *in) {
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && n->in[i] != in && whole_of(n->in[i]) == whole_of(in)) return true;
  return false;
}

// Flat indices mean the same place only if both buffers are walked in the same way.
bool memory_in_place(Ctx *c, const Node *n, const Value *in, const Value *out) {
  InPlace p = {c, in, out};
  return same_shape(in, out) && !has_alias(n, in) && n->kernel->body && stmts_ok(&p, n->kernel->body);
}
