// product_shape.c: where the operands of a product lie: addresses, joint rows, packing of constants.
// SPDX-License-Identifier: Apache-2.0
#include "passes/product_impl.h"

const Expr *flat_offset(Ctx *c, const Value *v, const Expr *const *logical) {
  const Expr *index[MAX_PHYS_RANK];
  Dim shape[MAX_PHYS_RANK];
  int n = layout_index(c, v->layout, &v->type, logical, index);
  layout_shape(c, v->layout, &v->type, shape);
  const Expr *offset = ex_idx(c, 0);
  for (int i = 0; i < n; i++) offset = ex_add(c, ex_mul(c, offset, dim_to_expr(c, shape[i])), index[i]);
  return offset;
}

// ---- joint rows ----------------------------------------------------------------------------------------------

typedef struct JointCheck {
  const Var *row;
  bool ok;
} JointCheck;

static const Expr *check_read(Ctx *c, const Expr *e, void *data) {
  JointCheck *j = data;
  if (e->op != E_READ) return e;
  int64_t coeff;
  const Expr *rest, *offset = flat_offset(c, e->value, e->args);
  if (!expr_affine(c, offset, j->row, &coeff, &rest)) j->ok = false;
  return e;
}

// The M dims from dim `first` on as positions in a joint row number, the last one fastest.
static int joint_exprs(const Product *p, int first, const Expr *row, const Var **vars, const Expr **with) {
  const Expr *left = row;
  int n = 0;
  for (int i = p->ndims - 1; i >= first; i--) {
    const ProductDim *d = &p->dim[i];
    if (d->role != ROLE_M) continue;
    vars[n] = d->var;
    with[n++] = ex_binary(p->c, E_MOD, left, ex_idx(p->c, d->extent));
    left = ex_binary(p->c, E_FDIV, left, ex_idx(p->c, d->extent));
  }
  return n;
}

// Replaces the M dims from `first` on by `row`, which takes the place of the last of them.
static void replace_dims(Product *p, int first, const Var *row, int64_t rows) {
  const Var *lane = p->dim[p->lane].var;
  int kept = 0, last = 0;
  for (int i = 0; i < p->ndims; i++)
    if (p->dim[i].role == ROLE_M) last = i;
  for (int i = 0; i < p->ndims; i++) {
    ProductDim d = p->dim[i];
    if (i == last)
      d = (ProductDim){row, rows, true, ROLE_M, d.out_dim};
    else if (i >= first && d.role == ROLE_M)
      continue;
    if (i == last) p->tile = kept;
    if (d.var == lane) p->lane = kept;
    p->dim[kept++] = d;
  }
  p->ndims = kept;
  p->joint = true;
}

static bool join_from(Product *p, int first) {
  Ctx *c = p->c;
  int64_t rows = 1;
  int count = 0;
  for (int i = first; i < p->ndims; i++) {
    if (p->dim[i].role != ROLE_M) continue;
    if (!p->dim[i].fixed) return false;
    rows = mul_sat(rows, p->dim[i].extent);
    count++;
  }
  if (count < 2) return false;
  const Var *row = var_new(c, "row", ex_idx(c, rows)), *vars[MAX_LOOP_DIMS];
  const Expr *with[MAX_LOOP_DIMS], *index[MAX_RANK], *rest;
  int n = joint_exprs(p, first, ex_var(c, row), vars, with);
  JointCheck check = {row, true};
  const Expr *value = expr_subst(c, p->value, vars, with, n);
  expr_rewrite(c, value, check_read, &check);
  const Value *out = p->stage->out;
  for (int i = 0; i < out->type.rank; i++) index[i] = expr_subst(c, p->index[i], vars, with, n);
  int64_t coeff;
  if (!check.ok || !expr_affine(c, flat_offset(c, out, index), row, &coeff, &rest)) return false;
  p->value = value;
  p->sum = expr_subst(c, p->sum, vars, with, n);
  p->a = expr_subst(c, p->a, vars, with, n);
  p->b = expr_subst(c, p->b, vars, with, n);
  memcpy(p->index, index, (size_t)out->type.rank * sizeof *index);
  replace_dims(p, first, row, rows);
  return true;
}

void product_collapse(Product *p) {
  if (p->guard || p->depthwise) return;
  for (int first = 0; first < p->ndims; first++)
    if (p->dim[first].role == ROLE_M && join_from(p, first)) return;
}

// ---- loops over K ----------------------------------------------------------------------------------------------

// The K variable that logical index `e` of the broadcast operand walks with coefficient 1 and nothing else
// of K in it, in a dimension that is blocked by `block`; -1: none.
static int blocked_k(const Product *p, const Expr *e, int64_t block) {
  for (int i = 0; i < p->nk; i++) {
    int64_t coeff, rest_const;
    const Expr *rest;
    if (!expr_affine(p->c, e, p->k_var[i], &coeff, &rest) || coeff != 1) continue;
    const Expr *rem = ex_binary(p->c, E_MOD, rest, ex_idx(p->c, block));
    if (expr_is_const_int(rem, &rest_const) && rest_const == 0) return i;
  }
  return -1;
}

// A channel block of the broadcast operand: its K variable and size; false if it is not blocked.
static bool find_block(const Product *p, int *k, int64_t *block) {
  const Expr *r = product_read(p->a);
  if (!r || !r->value->layout) return false;
  const Layout *l = r->value->layout;
  const LayoutPart *last = &l->part[l->n - 1];
  if (last->mod == 0 || last->div != 1) return false;
  *block = last->mod;
  *k = blocked_k(p, r->args[last->dim], *block);
  return *k >= 0;
}

int product_k_loops(const Product *p, KLoop *out) {
  int n = 0, k = -1;
  int64_t block = 0;
  bool blocks =
      p->nk == 1 || !p->in_order; // else steps of other variables would come between those of one block
  if (blocks && find_block(p, &k, &block)) out[n++] = (KLoop){k, block, false, p->k_extent[k] / block};
  for (int i = 0; i < p->nk; i++)
    if (i != k) out[n++] = (KLoop){i, 0, false, p->k_extent[i]};
  if (k >= 0) out[n++] = (KLoop){k, block, true, block};
  return n;
}

// ---- packing ----------------------------------------------------------------------------------------------------

// Which dimension of the constant is indexed by variable v alone (times nothing), or by v // n; -1: none.
static int dim_of_var(const Expr *read, const Var *v) {
  for (int i = 0; i < read->nargs; i++) {
    const Expr *e = read->args[i];
    if (e->op == E_FDIV && e->args[1]->op == E_CONST) e = e->args[0]; // several numbers in one element
    if (e->op == E_VAR && e->var == v) return i;
  }
  return -1;
}

// The dimension whose index is lane + something that is a multiple of the lane dim's extent (a group).
static int lane_dim(const Product *p, const Expr *read, bool *grouped) {
  const ProductDim *lane = &p->dim[p->lane];
  for (int i = 0; i < read->nargs; i++) {
    int64_t coeff, zero;
    const Expr *rest;
    if (!expr_affine(p->c, read->args[i], lane->var, &coeff, &rest) || coeff != 1) continue;
    const Expr *rem = ex_binary(p->c, E_MOD, rest, ex_idx(p->c, lane->extent));
    if (!expr_is_const_int(rem, &zero) || zero != 0) return -1;
    *grouped = !expr_is_const_int(rest, &zero);
    return i;
  }
  return -1;
}

// Panels that are read side by side lie far apart, each behind the one that its stream has read before: memory gives most
// to few long streams. Their number is made a multiple of the streams', which must not cost much. 1: one after the other.
static int64_t far_streams(const Tile *t, int64_t lanes) {
  enum { MOST_PADDING = 32 }; // a part of so many
  int64_t width = (int64_t)t->nv * t->lanes, all = round_up(lanes, width * t->cols);
  return t->wide && (all - round_up(lanes, width)) * MOST_PADDING <= lanes ? t->cols : 1;
}

bool product_pack(const Product *p, const Tile *t, const Expr *r, const Layout **out) {
  if (!r || !const_of(r->value) || r->value->type.rank == 0) return false;
  bool grouped = false, done[MAX_RANK] = {0};
  int n = 0, lane = lane_dim(p, r, &grouped);
  LayoutPart part[MAX_PHYS_RANK];
  if (lane < 0) return false;
  int64_t width = (int64_t)t->nv * t->lanes, group = p->dim[p->lane].extent;
  if (grouped && group % width != 0) width = group;
  int64_t streams = grouped ? 1 : far_streams(t, group);
  if (streams > 1) part[n++] = (LayoutPart){.dim = lane, .div = width, .mod = streams};
  part[n++] = (LayoutPart){.dim = lane, .div = width * streams};
  done[lane] = true;
  for (int i = 0; i < r->nargs; i++) { // what no loop over K walks: groups, extents of 1
    bool by_k = false;
    for (int k = 0; k < p->nk; k++) by_k |= dim_of_var(r, p->k_var[k]) == i;
    if (!by_k && !done[i]) part[n++] = (LayoutPart){.dim = i, .div = 1};
    done[i] |= !by_k;
  }
  KLoop loop[MAX_RANK + 4];
  int nloops = product_k_loops(p, loop);
  for (int i = 0; i < nloops; i++) {
    int d = dim_of_var(r, p->k_var[loop[i].k]);
    if (d < 0) continue; // not an index of the constant: a sum over other operand's elements only
    if (loop[i].block && r->args[d]->op != E_VAR) return false;
    LayoutPart whole = {.dim = d, .div = loop[i].block && !loop[i].inner ? loop[i].block : 1};
    if (loop[i].inner) whole.mod = loop[i].block;
    part[n++] = whole;
    done[d] = true;
  }
  for (int i = 0; i < r->nargs; i++)
    if (!done[i]) return false;
  if (width > 1) part[n++] = (LayoutPart){.dim = lane, .div = 1, .mod = width};
  *out = layout_new(p->c, part, n);
  return true;
}
