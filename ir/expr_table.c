// expr_table.c: interning of expressions, and maps keyed by expressions.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"

// ---- interning ------------------------------------------------------------------------------------------

// Every interned expression carries its range, computed once: bounds are then free.
typedef struct ExprNode {
  Expr e;
  Range range;
} ExprNode;

enum { FIRST_SLOTS = 1024 };

ExprTable *expr_table_new(Arena *a) {
  ExprTable *t = NEW(a, ExprTable);
  t->cap = FIRST_SLOTS;
  t->slots = NEW_ARRAY(a, const Expr *, t->cap);
  return t;
}

static uint64_t mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9e3779b97f4a7c15u;
  return h ^ h >> 29;
}

// What distinguishes nodes besides op, dtype and arguments, as one word; reductions' variables apart.
static uint64_t payload(const Expr *e) {
  switch (e->op) {
  case E_CONST: return (uint64_t)e->int_value; // a double's bits for floats
  case E_VAR: return (uint64_t)(uintptr_t)e->var->id;
  case E_SYM: return (uint64_t)(uintptr_t)e->sym->index;
  case E_READ: return (uint64_t)e->value->id;
  case E_REDUCE: return (uint64_t)e->reduce.kind << 32 | (uint32_t)e->reduce.nvars;
  default: return 0;
  }
}

static uint32_t expr_hash(const Expr *e) {
  uint64_t h = mix((uint64_t)e->op << 8 | e->dtype, payload(e));
  for (int i = 0; i < e->nargs; i++) h = mix(h, e->args[i]->id);
  if (e->op == E_REDUCE)
    for (int i = 0; i < e->reduce.nvars; i++) h = mix(h, (uint64_t)e->reduce.vars[i]->id);
  return (uint32_t)(h ^ h >> 32);
}

static bool same_node(const Expr *a, const Expr *b) {
  if (a->op != b->op || a->dtype != b->dtype || a->nargs != b->nargs || payload(a) != payload(b))
    return false;
  if (a->op == E_SYM && a->sym != b->sym) return false; // two modules in one context
  if (a->op == E_READ && a->value != b->value) return false;
  for (int i = 0; i < a->nargs; i++)
    if (a->args[i] != b->args[i]) return false;
  if (a->op == E_REDUCE)
    for (int i = 0; i < a->reduce.nvars; i++)
      if (a->reduce.vars[i] != b->reduce.vars[i]) return false;
  return true;
}

static void table_grow(Ctx *c, ExprTable *t) {
  uint32_t cap = t->cap * 2;
  const Expr **slots = NEW_ARRAY(c->arena, const Expr *, cap);
  for (uint32_t i = 0; i < t->cap; i++) {
    if (!t->slots[i]) continue;
    uint32_t at = expr_hash(t->slots[i]) & (cap - 1);
    while (slots[at]) at = (at + 1) & (cap - 1);
    slots[at] = t->slots[i];
  }
  t->slots = slots;
  t->cap = cap;
}

static const Expr *copy_into_arena(Ctx *c, const Expr *like, uint32_t id) {
  ExprNode *n = NEW(c->arena, ExprNode);
  n->e = *like;
  n->e.id = id;
  if (like->nargs) n->e.args = arena_dup(c->arena, like->args, (size_t)like->nargs * sizeof *like->args);
  if (like->op == E_REDUCE)
    n->e.reduce.vars = arena_dup(c->arena, like->reduce.vars, (size_t)like->reduce.nvars * sizeof(Var *));
  // The range is a fact about the node alone, so no assumption of the moment may enter it.
  Assume *assume = c->exprs->assume;
  c->exprs->assume = NULL;
  n->range = range_compute(c, &n->e);
  c->exprs->assume = assume;
  return &n->e;
}

const Expr *expr_intern(Ctx *c, const Expr *like) {
  ExprTable *t = c->exprs;
  uint32_t at = expr_hash(like) & (t->cap - 1);
  for (; t->slots[at]; at = (at + 1) & (t->cap - 1))
    if (same_node(t->slots[at], like)) return t->slots[at];
  const Expr *e = copy_into_arena(c, like, t->n);
  t->slots[at] = e;
  if (++t->n * 2 > t->cap) table_grow(c, t);
  return e;
}

// Arguments come before what they are part of.
void expr_ranges_anew(Ctx *c) {
  ExprTable *t = c->exprs;
  const Expr **by_id = NEW_ARRAY(c->arena, const Expr *, t->n);
  for (uint32_t i = 0; i < t->cap; i++)
    if (t->slots[i]) by_id[t->slots[i]->id] = t->slots[i];
  Assume *assume = t->assume;
  t->assume = NULL;
  for (uint32_t i = 0; i < t->n; i++) {
    ExprNode *n = (ExprNode *)by_id[i]; // ours to change: what is handed out is only const
    n->range = range_compute(c, &n->e);
  }
  t->assume = assume;
}

Range expr_range(Ctx *c, const Expr *e) {
  Range r = ((const ExprNode *)e)->range;
  return c->exprs->assume ? assume_narrow(c, e, r) : r;
}

const Expr *mk_const(Ctx *c, DType t, Scalar v) {
  Expr e = {.op = E_CONST, .dtype = t};
  if (dtype_is_float(t))
    e.float_value = v.f;
  else
    e.int_value = v.i;
  return expr_intern(c, &e);
}

const Expr *mk_unary(Ctx *c, ExprOp op, DType t, const Expr *a) {
  return expr_intern(c, &(Expr){.op = op, .dtype = t, .nargs = 1, .args = &a});
}

const Expr *mk_binary(Ctx *c, ExprOp op, DType t, const Expr *a, const Expr *b) {
  const Expr *args[] = {a, b};
  return expr_intern(c, &(Expr){.op = op, .dtype = t, .nargs = 2, .args = args});
}

const Expr *mk_ternary(Ctx *c, ExprOp op, DType t, const Expr *a, const Expr *b, const Expr *d) {
  const Expr *args[] = {a, b, d};
  return expr_intern(c, &(Expr){.op = op, .dtype = t, .nargs = 3, .args = args});
}

// ---- memo -----------------------------------------------------------------------------------------------

Memo *memo_take(Ctx *c) {
  ExprTable *t = c->exprs;
  Memo *m = t->memos;
  if (m)
    t->memos = m->next;
  else
    m = NEW(c->arena, Memo);
  m->n = 0;
  m->epoch++;
  m->order.n = m->stack.n = 0;
  return m;
}

void memo_give(Ctx *c, Memo *m) {
  m->next = c->exprs->memos;
  c->exprs->memos = m;
}

static struct MemoSlot *memo_slot(const Memo *m, uint32_t id) {
  uint32_t at = id * 0x9e3779b1u & (m->cap - 1);
  while (m->slots[at].epoch == m->epoch && m->slots[at].id != id) at = (at + 1) & (m->cap - 1);
  return &m->slots[at];
}

const void *memo_get(const Memo *m, const Expr *e) {
  if (!m->n) return NULL;
  struct MemoSlot *s = memo_slot(m, e->id);
  return s->epoch == m->epoch ? s->value : NULL;
}

static void memo_grow(Ctx *c, Memo *m) {
  Memo old = *m;
  m->cap = old.cap ? old.cap * 2 : 64;
  m->slots = NEW_ARRAY(c->arena, struct MemoSlot, m->cap);
  m->epoch = 1;
  for (uint32_t i = 0; i < old.cap; i++)
    if (old.slots[i].epoch == old.epoch)
      *memo_slot(m, old.slots[i].id) = (struct MemoSlot){old.slots[i].id, 1, old.slots[i].value};
}

void memo_put(Ctx *c, Memo *m, const Expr *e, const void *value) {
  if (m->n * 2 >= m->cap) memo_grow(c, m);
  struct MemoSlot *s = memo_slot(m, e->id);
  if (s->epoch != m->epoch) m->n++;
  *s = (struct MemoSlot){e->id, m->epoch, value};
}
