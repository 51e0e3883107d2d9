// verify_type.c: checks of types, layouts and places in memory.
// SPDX-License-Identifier: Apache-2.0
#include "ir/verify.h"

static bool extent_node(const Expr *e, void *data) {
  const Verify *v = data;
  if (e->op == E_SYM) {
    const Sym *s = e->sym;
    return s->index >= 0 && s->index < v->module->syms.n && v->module->syms.data[s->index] == s;
  }
  return e->op != E_READ && e->op != E_VAR && e->op != E_REDUCE;
}

static bool verify_dim(Verify *v, Loc loc, Dim d) {
  int64_t lo, hi;
  if (!d.sym) return d.n >= 0 || verify_fail(v, loc, "negative extent %lld", (long long)d.n);
  if (d.sym->dtype != DT_I64 || !expr_visit(v->ctx, d.sym, extent_node, v)) {
    return verify_fail(v, loc, "the extent %s is not one over the module's symbols",
                       expr_text(v->ctx, d.sym));
  }
  if (!expr_bounds(v->ctx, d.sym, NULL, &lo, &hi) || hi > d.n) {
    return verify_fail(v, loc, "the extent %s can pass its bound %lld", expr_text(v->ctx, d.sym),
                       (long long)d.n);
  }
  return lo >= 0 || verify_fail(v, loc, "the extent %s can be negative", expr_text(v->ctx, d.sym));
}

bool verify_type(Verify *v, Loc loc, const Type *t) {
  if (t->dtype >= DT_COUNT) return verify_fail(v, loc, "a value without element type");
  if (t->rank < 0 || t->rank > MAX_RANK) return verify_fail(v, loc, "rank %d is out of range", t->rank);
  for (int i = 0; i < t->rank; i++) {
    if (!verify_dim(v, loc, t->dim[i])) return false;
  }
  if (type_check_size(v->ctx, loc, t)) return true;
  v->ok = false;
  return false;
}

// ---- layouts ----------------------------------------------------------------------------------------------

// The part of dimension d with the smallest div above `div`, or -1.
static int next_part(const Layout *l, int d, int64_t div) {
  int best = -1;
  for (int i = 0; i < l->n; i++) {
    const LayoutPart *p = &l->part[i];
    if (p->dim == d && p->div > div && (best < 0 || p->div < l->part[best].div)) best = i;
  }
  return best;
}

static bool same_padding(const LayoutPart *a, const LayoutPart *b) {
  return a->pad == b->pad && a->pad_after == b->pad_after;
}

// The parts of a dimension must be the digits of a mixed radix, so that each element has its own place.
static bool verify_layout_dim(Verify *v, const Value *x, int d) {
  const Layout *l = x->layout;
  int k = next_part(l, d, 0);
  if (k < 0 || l->part[k].div != 1)
    return verify_fail(v, x->loc, "the layout of %%%s loses dimension %d", x->name, d);
  int parts = 1;
  for (; l->part[k].mod; parts++) {
    int next = next_part(l, d, l->part[k].div);
    int64_t step;
    bool fits = next >= 0 && mul_ok(l->part[k].div, l->part[k].mod, &step) && step == l->part[next].div &&
                same_padding(&l->part[k], &l->part[next]);
    if (!fits)
      return verify_fail(v, x->loc, "the layout of %%%s does not fit together in dimension %d", x->name, d);
    k = next;
  }
  for (int i = 0; i < l->n; i++) parts -= l->part[i].dim == d;
  return parts == 0 || verify_fail(v, x->loc, "the layout of %%%s has dimension %d twice", x->name, d);
}

static bool verify_layout(Verify *v, const Value *x) {
  const Layout *l = x->layout;
  if (!l) return true;
  if (l->n > MAX_PHYS_RANK)
    return verify_fail(v, x->loc, "the layout of %%%s has too many dimensions", x->name);
  for (int i = 0; i < l->n; i++) {
    const LayoutPart *p = &l->part[i];
    bool sane = p->dim >= 0 && p->dim < x->type.rank && p->div >= 1 && p->mod >= 0 && p->pad >= 0 &&
                p->pad_after >= 0 && (!p->room || p->room >= x->type.dim[p->dim].n) &&
                p->div <= MAX_ELEMENTS && p->mod <= MAX_ELEMENTS && p->pad <= MAX_ELEMENTS &&
                p->pad_after <= MAX_ELEMENTS;
    if (!sane) return verify_fail(v, x->loc, "part %d of the layout of %%%s makes no sense", i, x->name);
  }
  for (int d = 0; d < x->type.rank; d++) {
    if (!verify_layout_dim(v, x, d)) return false;
  }
  int64_t limit = MAX_ELEMENTS * 8;
  return layout_bytes(v->ctx, l, &x->type) <= limit ||
         verify_fail(v, x->loc, "the layout of %%%s is too large", x->name);
}

// ---- places -----------------------------------------------------------------------------------------------

// The value whose buffer x lies in, and where; false if the chain of bases does not end.
static bool find_root(const Value *x, const Value **root, int64_t *offset) {
  enum { MAX_CHAIN = 1000 };
  *offset = 0;
  for (int i = 0; i < MAX_CHAIN; i++) {
    if (!x->base) return *root = x, true;
    if (!add_ok(*offset, x->offset, offset)) return false;
    x = x->base;
  }
  return false;
}

static bool verify_place(Verify *v, const Value *x) {
  const Value *root;
  int64_t at, end, bytes = layout_bytes(v->ctx, x->layout, &x->type);
  if (!find_root(x, &root, &at))
    return verify_fail(v, x->loc, "the buffers of %%%s contain each other", x->name);
  if (root != x) {
    bool fits = at >= 0 && add_ok(at, bytes, &end) && end <= layout_bytes(v->ctx, root->layout, &root->type);
    if (!fits) return verify_fail(v, x->loc, "%%%s does not lie inside %%%s", x->name, root->name);
  }
  if ((x->space != SPACE_ARENA && x->space != SPACE_STATE) || x->base) return true;
  int64_t size = x->space == SPACE_STATE ? v->module->state_bytes : v->module->arena_bytes;
  bool fits = x->offset >= 0 && add_ok(x->offset, bytes, &end) && end <= size;
  return fits || verify_fail(v, x->loc, "%%%s does not lie inside the %s", x->name,
                             x->space == SPACE_STATE ? "states' memory" : "arena");
}

bool verify_value(Verify *v, const Value *x) {
  return verify_type(v, x->loc, &x->type) && verify_layout(v, x) && verify_place(v, x);
}
