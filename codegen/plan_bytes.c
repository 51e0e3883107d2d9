// plan_bytes.c: what a step reads and writes, as a sum of expressions of the run's extents.
// SPDX-License-Identifier: Apache-2.0
//
// Each element that a kernel reads or writes counts once, however often it does. Of a tensor no more counts than the
// loops around its reads can reach: of a table the rows that are looked up, of a cache what has been put into it.
#include "codegen/internal.h"

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

// The turns of all loops that an index depends on.
typedef struct Turns {
  Ctx *c;
  PMap seen, anywhere; // variables, of this index and of all
  const Expr *times, *all;
  bool again; // a variable of an index before is met
} Turns;

static bool count_turns(const Expr *e, void *data) {
  Turns *t = data;
  if (e->op != E_VAR || pmap_get(&t->seen, e->var)) return true;
  const Expr *extent = whole_extent(t->c, e->var);
  pmap_put(&t->seen, e->var, (void *)e->var);
  t->times = product(t->c, t->times, extent);
  if (pmap_get(&t->anywhere, e->var))
    t->again = true;
  else
    t->all = product(t->c, t->all, extent);
  pmap_put(&t->anywhere, e->var, (void *)e->var);
  return true;
}

// Elements of the tensor that a read meets: no more along any dimension than it has or the index has values.
static const Expr *met_by(Ctx *c, const Expr *read) {
  const Type *type = &read->value->type;
  Turns t = {.c = c, .anywhere = {.arena = c->arena}, .all = ex_idx(c, 1)};
  const Expr *met = ex_idx(c, 1);
  for (int d = 0; d < read->nargs && d < type->rank; d++) {
    t.seen = (PMap){.arena = c->arena};
    t.times = ex_idx(c, 1);
    expr_visit(c, read->args[d], count_turns, &t);
    met = product(c, met, smaller(c, dim_to_expr(c, type->dim[d]), t.times));
  }
  return t.again ? smaller(c, met, t.all) : met;
}

// ---- kernels ------------------------------------------------------------------------------------------------------

typedef struct Moved {
  const Value *value;
  const Expr *elements; // the sum over its reads; NULL: all
} Moved;

typedef struct Traffic {
  Ctx *c;
  const Kernel *k;
  Vec(Moved) in;
} Traffic;

static bool is_inside(const Traffic *t, const Value *v) {
  for (int i = 0; i < t->k->locals.n; i++)
    if (t->k->locals.data[i] == v) return true;
  for (int i = 0; i < t->k->stages.n; i++)
    if (t->k->stages.data[i].out == v) return true;
  return false;
}

static bool note_read(const Expr *e, void *data) {
  Traffic *t = data;
  if (e->op != E_READ || is_inside(t, e->value)) return true;
  const Expr *met = met_by(t->c, e);
  for (int i = 0; i < t->in.n; i++) {
    Moved *m = &t->in.data[i];
    if (m->value != e->value) continue;
    m->elements = met && m->elements ? ex_add(t->c, met, m->elements) : NULL;
    return true;
  }
  vec_push(t->c->arena, &t->in, ((Moved){e->value, met}));
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

static const Expr *turns_of(Ctx *c, const Stage *s) {
  const Expr *all = ex_idx(c, 1);
  for (int d = 0; d < s->ndims; d++) all = product(c, all, whole_extent(c, s->dims[d]));
  return all;
}

static bool is_local(const Kernel *k, const Value *v) {
  for (int i = 0; i < k->locals.n; i++)
    if (k->locals.data[i] == v) return true;
  return false;
}

// ---- the sum ------------------------------------------------------------------------------------------------------

typedef struct Sum {
  Ctx *c;
  Str text;
  double constant;
} Sum;

static void add(Sum *s, const Value *v, const Expr *some) {
  const Expr *e = smaller(s->c, elements(s->c, &v->type), some);
  double size = dtype_bytes(v->type.dtype);
  int64_t n;
  if (!e) e = ex_idx(s->c, type_elements(&v->type));
  if (expr_is_const_int(e, &n)) {
    s->constant += size * (double)n;
  } else {
    str_printf(&s->text, ",[%.17g,", size);
    plan_put_string(&s->text, expr_text(s->c, e));
    str_puts(&s->text, "]");
  }
}

static void add_kernel(Sum *sum, const Kernel *k) {
  Traffic t = {.c = sum->c, .k = k};
  for (int i = 0; i < k->stages.n; i++) {
    const Stage *s = &k->stages.data[i];
    if (copies_onto_itself(s)) continue;
    for (int d = 0; s->index && d < s->out->type.rank; d++) expr_visit(t.c, s->index[d], note_read, &t);
    expr_visit(t.c, s->value, note_read, &t);
    if (!is_local(k, s->out)) add(sum, s->out, turns_of(t.c, s));
  }
  for (int i = 0; i < t.in.n; i++) add(sum, t.in.data[i].value, t.in.data[i].elements);
}

const char *plan_bytes_moved(Plan *p, const Node *n) {
  Sum s = {.c = p->c, .text = {.arena = p->arena}};
  if (!n->kernel->routine) {
    add_kernel(&s, n->kernel);
  } else {
    for (int i = 0; i < n->nin; i++)
      if (n->in[i]) add(&s, n->in[i], NULL);
    for (int i = 0; i < n->nout; i++)
      if (n->out[i]) add(&s, n->out[i], NULL);
  }
  return arena_printf(p->arena, "[[%.17g]%s]", s.constant, str_text(&s.text));
}
