// memory_alias.c: parts that are only copied into a whole (concat) are computed right where they end up.
// SPDX-License-Identifier: Apache-2.0
//
// A part becomes a piece of the whole's buffer if it fills a contiguous range of it unchanged. The statement
// that copied it then stores each element onto itself and is dropped.
#include "passes/memory.h"

typedef struct Part {
  Value *v;
  int64_t elements; // before it in the whole
} Part;

// ---- which values are parts -----------------------------------------------------------------------------------

static bool is_one(Dim d) {
  return !d.sym && d.n == 1;
}

static bool same_extents(const Value *v, const Value *out, int axis) {
  for (int i = 0; i < out->type.rank; i++) {
    if (i < axis && !is_one(out->type.dim[i])) return false;
    if (i != axis && !dim_equal(v->type.dim[i], out->type.dim[i])) return false;
  }
  return type_is_static(&v->type) && type_is_static(&out->type);
}

// The dimension along which the whole is longer than the part: the first one that is not 1 in it.
static int long_axis(const Value *out) {
  int axis = 0;
  while (axis < out->type.rank - 1 && is_one(out->type.dim[axis])) axis++;
  return axis;
}

// Does the stage give exactly v for the rows start .. start + extent of the axis?
static bool is_copy_of(Ctx *c, const Stage *s, const Value *v, int axis, int64_t start) {
  const Var *d = var_new(c, "part", dim_to_expr(c, v->type.dim[axis]));
  const Expr *at = ex_add(c, ex_idx(c, start), ex_var(c, d));
  const Expr *e = expr_subst(c, s->value, &s->dims[axis], &at, 1);
  if (e->op != E_READ || e->value != v) return false;
  for (int i = 0; i < v->type.rank; i++) {
    const Expr *want = ex_var(c, i == axis ? d : s->dims[i]);
    if (e->args[i] != want && !(is_one(v->type.dim[i]) && e->args[i] == ex_idx(c, 0))) return false;
  }
  return true;
}

// Elements of the whole before row `start` of the axis; -1: rows start .. start + extent are no contiguous range.
static int64_t elements_before(Ctx *c, const Value *v, const Value *out, int axis, int64_t start) {
  Dim shape[MAX_PHYS_RANK];
  int64_t div = 1, after = 1, end = start + v->type.dim[axis].n;
  int n = layout_rank(out->layout, &out->type), at = 0;
  const LayoutPart *part = out->layout ? out->layout->part : NULL;
  layout_shape(c, out->layout, &out->type, shape);
  while (at < n && is_one(shape[at]) && (part ? part[at].dim : at) != axis) at++;
  if (at == n || (part ? part[at].dim : at) != axis) return -1;
  if (part) div = part[at].div;
  for (int i = 0; part && i < n; i++)
    if (part[i].pad || part[i].pad_after || (i < at && part[i].dim == axis)) return -1;
  if (start % div || (end % div && end != out->type.dim[axis].n)) return -1;
  for (int i = at + 1; i < n; i++) after = mul_sat(after, shape[i].n);
  return mul_sat(start / div, after);
}

static bool find_part(Ctx *c, const Stage *s, const Expr *read, Part *part) {
  Value *v = read->value, *out = s->out;
  if (v == out || v->type.rank != out->type.rank || out->type.rank == 0) return false;
  int axis = long_axis(out);
  int64_t coeff, start;
  const Expr *rest;
  if (v->type.dtype != out->type.dtype || !same_extents(v, out, axis)) return false;
  if (!layout_equal(v->layout, out->layout)) return false;
  if (!expr_affine(c, read->args[axis], s->dims[axis], &coeff, &rest) || !expr_is_const_int(rest, &start))
    return false;
  start = -start;
  bool inside = start >= 0 && start + v->type.dim[axis].n <= out->type.dim[axis].n;
  if (!inside || !is_copy_of(c, s, v, axis, start)) return false;
  *part = (Part){v, elements_before(c, v, out, axis, start)};
  return part->elements >= 0;
}

// ---- dropping the copies --------------------------------------------------------------------------------------

static const Expr *flat_index(Ctx *c, const Value *v, const Expr *const *index, int n) {
  if (n == 1) return index[0];
  const Expr *flat = ex_idx(c, 0);
  Dim shape[MAX_PHYS_RANK];
  layout_shape(c, v->layout, &v->type, shape);
  for (int i = 0; i < n; i++) flat = ex_add(c, ex_mul(c, flat, dim_to_expr(c, shape[i])), index[i]);
  return flat;
}

static bool stores_onto_itself(Ctx *c, const Stmt *s, const Part *part, const Value *out) {
  const Expr *e = s->store.value;
  if (s->store.dst != out || s->store.op != STORE_SET || e->op != E_READ || e->value != part->v) return false;
  bool same =
      part->elements == 0 && e->nargs == s->store.nindex && layout_equal(part->v->layout, out->layout);
  for (int i = 0; same && i < e->nargs; i++) same = e->args[i] == s->store.index[i];
  if (same) return true;
  if (part->v->layout || out->layout) return false;
  const Expr *from = flat_index(c, part->v, e->args, e->nargs);
  return ex_add(c, from, ex_idx(c, part->elements)) == flat_index(c, out, s->store.index, s->store.nindex);
}

// Removes the copies, and loops and branches that nothing is left in. Returns whether any store remains.
static bool prune(Ctx *c, Stmt **list, const Part *part, const Value *out) {
  bool stores = false;
  for (Stmt **at = list; *at;) {
    Stmt *s = *at;
    bool keep = true;
    if (s->kind == S_STORE) {
      keep = !stores_onto_itself(c, s, part, out);
    } else if (s->kind == S_FOR) {
      keep = prune(c, &s->loop.body, part, out);
    } else if (s->kind == S_IF) {
      bool then = prune(c, &s->cond.then, part, out), otherwise = prune(c, &s->cond.otherwise, part, out);
      keep = then || otherwise;
      if (otherwise && !then) {
        s->cond.cond = ex_unary(c, E_NOT, s->cond.cond);
        s->cond.then = s->cond.otherwise;
      }
      if (!otherwise || !then) s->cond.otherwise = NULL;
    }
    stores |= keep && s->kind != S_LET && s->kind != S_ALLOC && s->kind != S_PREFETCH;
    if (keep)
      at = &s->next;
    else
      *at = s->next;
  }
  if (!stores) *list = NULL;
  return stores;
}

// ---- placing --------------------------------------------------------------------------------------------------

static bool may_move(const Node *n, const Value *v, const Value *out) {
  const Live *l = v->info;
  bool in_arena = l && v->space == SPACE_ARENA && !v->base && !l->shared;
  return in_arena && l->owner == n->graph && v->def && v->def->kernel && out->space != SPACE_NONE;
}

static void place_part(const Part *part, Value *out) {
  Live *l = part->v->info, *whole = out->info;
  part->v->base = out;
  part->v->space = out->space;
  part->v->offset = part->elements * dtype_bytes(out->type.dtype);
  l->part = true;
  if (!whole) return; // an output's buffer is there all the time
  whole->whole = true;
  if (l->first < whole->first) whole->first = l->first;
  if (l->last > whole->last) whole->last = l->last;
}

void memory_drop_copies(Ctx *c, Node *n, Value *v, const Value *out) {
  Part part = {v, 0};
  prune(c, &n->kernel->body, &part, out);
  if (!n->kernel->body) n->kernel->parallel = 1;
}

void memory_alias(Plan *p, Node *n) {
  if (!n->kernel || n->kernel->stages.n != 1 || n->nout != 1 || n->out[0]->base) return;
  const Stage *s = &n->kernel->stages.data[0];
  if (s->index || s->store != STORE_SET || expr_has(p->c, s->value, E_REDUCE)) return;
  const Expr **reads;
  int nreads = expr_read_list(p->c, s->value, &reads);
  for (int i = 0; i < nreads; i++) {
    Part part;
    if (!may_move(n, reads[i]->value, s->out) || !find_part(p->c, s, reads[i], &part)) continue;
    place_part(&part, s->out);
    prune(p->c, &n->kernel->body, &part, s->out);
    if (!n->kernel->body) n->kernel->parallel = 1;
  }
}
