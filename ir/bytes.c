// bytes.c: counts what kernels read and write, as expressions of a run's extents.
// SPDX-License-Identifier: Apache-2.0
//
// Each element that a kernel reads or writes counts once, however often it does. Of a tensor no more counts than the
// loops around its reads can reach: of a table the rows that are looked up, of a cache what has been put into it, of a
// sequence what one turn of a loop takes. Reads of different parts of a tensor add up, up to the whole.
#include "ir/ir.h"

#define MOST ((int64_t)1 << 60) // no product may come to more: then the other bound counts

static bool find_var(const Expr *e, void *data) {
  const Var **found = data;
  if (e->op != E_VAR) return true;
  *found = e->var;
  return false;
}

static const Expr *highest(Ctx *c, const Expr *e) {
  int64_t lo, hi;
  return ex_idx(c, expr_bounds(c, e, NULL, &lo, &hi) ? hi : MOST);
}

// The most that the extent of a loop becomes while the loops around it turn.
static const Expr *whole_extent(Ctx *c, const Var *v) {
  enum { DEPTH = 16 };
  const Expr *e = v->extent, *rest;
  const Var *outer;
  int64_t times;
  if (!e) return ex_idx(c, MOST);
  for (int i = 0; i < DEPTH; i++) {
    if (expr_visit(c, e, find_var, (void *)&outer)) return e;
    if (!outer->extent || !expr_affine(c, e, outer, &times, &rest)) break;
    const Expr *last = ex_sub(c, outer->extent, ex_idx(c, 1));
    e = times > 0 ? ex_add(c, rest, ex_mul(c, ex_idx(c, times), last)) : rest;
  }
  return highest(c, e);
}

// NULL stands for more than anybody wants to know.
static const Expr *product(Ctx *c, const Expr *a, const Expr *b) {
  int64_t lo, x, y;
  if (!a || !b || !expr_bounds(c, a, NULL, &lo, &x) || !expr_bounds(c, b, NULL, &lo, &y)) return NULL;
  return y > 0 && x > MOST / y ? NULL : ex_mul(c, a, b);
}

static const Expr *smaller(Ctx *c, const Expr *a, const Expr *b) {
  return a && b ? ex_binary(c, E_MIN, a, b) : a ? a : b;
}

static const Expr *elements(Ctx *c, const Type *t) {
  const Expr *all = ex_idx(c, 1);
  for (int d = 0; d < t->rank; d++) all = product(c, all, dim_to_expr(c, t->dim[d]));
  return all;
}

// ---- one read -----------------------------------------------------------------------------------------------------

typedef struct Loops {
  Arena *arena;
  Vec(const Var *) of;
} Loops;

static bool note_loop(const Expr *e, void *data) {
  Loops *l = data;
  if (e->op == E_VAR) vec_push(l->arena, &l->of, e->var);
  return true;
}

// The loops that e depends on, each once.
static Loops loops_of(Ctx *c, const Expr *e) {
  Loops l = {.arena = c->arena};
  expr_visit(c, e, note_loop, &l);
  return l;
}

static const Expr *turns_of(Ctx *c, const Var *const *loops, int n) {
  const Expr *all = ex_idx(c, 1);
  for (int i = 0; i < n; i++) all = product(c, all, whole_extent(c, loops[i]));
  return all;
}

// Values of an index as far as its range goes; NULL: nobody knows.
static const Expr *range_of(Ctx *c, const Expr *index) {
  int64_t lo, hi;
  if (!expr_bounds(c, index, NULL, &lo, &hi) || lo < -MOST || hi > MOST) return NULL;
  return ex_idx(c, hi - lo + 1);
}

// Elements of the tensor that a read meets: no more along any dimension than it has or the index has values, and no
// more than the loops have turns.
static const Expr *met_by(Ctx *c, const Expr *read) {
  const Type *type = &read->value->type;
  const Expr *met = ex_idx(c, 1);
  int named = 0;
  for (int d = 0; d < read->nargs && d < type->rank; d++) {
    Loops l = loops_of(c, read->args[d]);
    const Expr *values = smaller(c, turns_of(c, l.of.data, l.of.n), range_of(c, read->args[d]));
    met = product(c, met, smaller(c, dim_to_expr(c, type->dim[d]), values));
    named += l.of.n;
  }
  Loops all = loops_of(c, read);
  return named > all.of.n ? smaller(c, met, turns_of(c, all.of.data, all.of.n))
                          : met; // one in several indices
}

// ---- kernels ------------------------------------------------------------------------------------------------------

typedef struct Loop {
  int place; // in the order of a read's indices
  const Var *var;
} Loop;

typedef struct Counter {
  Ctx *c;
  const Kernel *k;
  Traffic *all, **end;
  Vec(Loop) loops;         // that stand for all of one place and extent
  Vec(const Expr *) reads; // that have been counted, over those loops
} Counter;

// NULL elements: all.
static void note(Counter *t, const Value *v, const Expr *elements) {
  for (Traffic *m = t->all; m; m = m->next) {
    if (m->value != v) continue;
    m->elements = m->elements && elements ? ex_add(t->c, elements, m->elements) : NULL;
    return;
  }
  Traffic *m = NEW(t->c->arena, Traffic);
  *m = (Traffic){.value = v, .elements = elements};
  *t->end = m;
  t->end = &m->next;
}

static const Var *loop_at(Counter *t, int place, const Expr *extent) {
  for (int i = 0; i < t->loops.n; i++)
    if (t->loops.data[i].place == place && t->loops.data[i].var->extent == extent)
      return t->loops.data[i].var;
  Var *v = var_new(t->c, "i", extent);
  vec_push(t->c->arena, &t->loops, ((Loop){place, v}));
  return v;
}

// Whether the same elements have been read before: two reads differ in the names of their loops alone, as those of
// several stages over one row do.
static bool is_known(Counter *t, const Expr *read) {
  Ctx *c = t->c;
  Loops l = loops_of(c, read);
  const Expr **with = NEW_ARRAY(c->arena, const Expr *, l.of.n);
  for (int i = 0; i < l.of.n; i++) with[i] = ex_var(c, loop_at(t, i, whole_extent(c, l.of.data[i])));
  const Expr *renamed = expr_subst(c, read, l.of.data, with, l.of.n);
  for (int i = 0; i < t->reads.n; i++)
    if (t->reads.data[i] == renamed) return true;
  vec_push(c->arena, &t->reads, renamed);
  return false;
}

static bool is_local(const Kernel *k, const Value *v) {
  for (int i = 0; i < k->locals.n; i++)
    if (k->locals.data[i] == v) return true;
  return false;
}

static bool is_inside(const Kernel *k, const Value *v) {
  for (int i = 0; i < k->stages.n; i++)
    if (k->stages.data[i].out == v) return true;
  return is_local(k, v);
}

static bool note_read(const Expr *e, void *data) {
  Counter *t = data;
  if (e->op == E_READ && !is_inside(t->k, e->value) && !is_known(t, e)) note(t, e->value, met_by(t->c, e));
  return true;
}

static bool same_place(const Value *a, const Value *b) {
  int64_t ahead = 0;
  for (; a->base; a = a->base) ahead += a->offset;
  for (; b->base; b = b->base) ahead -= b->offset;
  return a == b && ahead == 0;
}

// What lies in the same place already, such as the old rows of a cache that is appended to.
static bool copies_onto_itself(const Stage *s) {
  const Expr *e = s->value;
  if (e->op != E_READ || s->store != STORE_SET || !same_place(s->out, e->value)) return false;
  for (int d = 0; d < e->nargs; d++)
    if (e->args[d] != (s->index ? s->index[d] : NULL)) return false;
  return s->index;
}

static void note_kernel(Counter *t) {
  for (int i = 0; i < t->k->stages.n; i++) {
    const Stage *s = &t->k->stages.data[i];
    if (copies_onto_itself(s)) continue;
    for (int d = 0; s->index && d < s->out->type.rank; d++) expr_visit(t->c, s->index[d], note_read, t);
    expr_visit(t->c, s->value, note_read, t);
    if (!is_local(t->k, s->out)) note(t, s->out, turns_of(t->c, s->dims, s->ndims));
  }
}

static void note_all(Counter *t, Value *const *v, int n) {
  for (int i = 0; i < n; i++)
    if (v[i]) note(t, v[i], NULL);
}

const Traffic *node_traffic(Ctx *c, const Node *n) {
  Counter t = {.c = c, .k = n->kernel};
  t.end = &t.all;
  if (!n->kernel->routine) {
    note_kernel(&t);
  } else {
    note_all(&t, n->in, n->nin);
    note_all(&t, n->out, n->nout);
  }
  for (Traffic *m = t.all; m; m = m->next) {
    m->elements = smaller(c, elements(c, &m->value->type), m->elements);
    if (!m->elements) m->elements = ex_idx(c, type_elements(&m->value->type));
  }
  return t.all;
}

double node_bytes(Ctx *c, const Node *n) {
  double sum = 0;
  for (const Traffic *m = node_traffic(c, n); m; m = m->next) {
    int64_t lo, hi, all = type_elements(&m->value->type);
    int64_t most = expr_bounds(c, m->elements, NULL, &lo, &hi) && hi < all ? hi : all;
    sum += (double)most * dtype_bytes(m->value->type.dtype);
  }
  return sum;
}
