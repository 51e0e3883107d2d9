// vector_nest.c: from a stage to a nest of axes: strides, joining of axes, the choice of the lanes.
// SPDX-License-Identifier: Apache-2.0
#include "passes/schedule.h"
#include "passes/vector.h"

// ---- substitution -------------------------------------------------------------------------------------------

void nest_subst(Nest *n, const Var *v, const Expr *by) {
  n->value = expr_subst(n->c, n->value, &v, &by, 1);
  for (int i = 0; i < n->nindex; i++) n->index[i] = expr_subst(n->c, n->index[i], &v, &by, 1);
}

static bool is_one(Ctx *c, const Expr *extent) {
  return extent == ex_idx(c, 1);
}

// ---- blocked layouts ----------------------------------------------------------------------------------------

// A dim of the stage along which memory lies in blocks: elements of one block side by side.
typedef struct Split {
  int dim; // -1: none
  int64_t block;
} Split;

static bool block_of(const Layout *l, int *dim, int64_t *block) {
  const LayoutPart *last = l ? &l->part[l->n - 1] : NULL;
  if (!last || last->div != 1 || last->mod < 2) return false;
  *dim = last->dim;
  *block = last->mod;
  return true;
}

typedef struct SplitFinder {
  const Stage *s;
  int at;
  Split found;
} SplitFinder;

// Where blocks do not divide the extent, the rest of the last one is computed too, which the result must have room
// for.
static bool fits_split(const Stage *s, int at, int dim, int64_t block) {
  int64_t extent;
  if (dim < at || !expr_is_const_int(s->dims[dim]->extent, &extent)) return false;
  return round_up(extent, block) <= layout_room(s->out->layout, &s->out->type, dim);
}

static bool find_split_read(const Expr *e, void *data) {
  SplitFinder *f = data;
  int dim;
  int64_t block;
  if (e->op != E_READ || !block_of(e->value->layout, &dim, &block)) return true;
  const Expr *index = e->args[dim];
  while (index->op == E_ADD || index->op == E_SUB) index = index->args[0]; // a part of the channels
  for (int i = f->at; index->op == E_VAR && i < f->s->ndims; i++)
    if (index->var == f->s->dims[i] && fits_split(f->s, f->at, i, block)) f->found = (Split){i, block};
  return f->found.dim < 0;
}

// By the result's layout, or else by that of something read.
static Split find_split(Ctx *c, const Stage *s, int at) {
  Split split;
  if (block_of(s->out->layout, &split.dim, &split.block))
    return fits_split(s, at, split.dim, split.block) ? split : (Split){-1, 0};
  SplitFinder f = {s, at, {-1, 0}};
  expr_visit(c, s->value, find_split_read, &f);
  return f.found;
}

typedef struct Beyond {
  const Var *dim;
  int64_t end;        // of the last block
  const Expr *inside; // in terms of the axes
} Beyond;

// Reads that have no room for the rest of the last block do not touch it.
static const Expr *mask_read(Ctx *c, const Expr *e, void *data) {
  const Beyond *b = data;
  bool room = true;
  if (e->op != E_READ) return e;
  for (int i = 0; i < e->nargs; i++) {
    if (!expr_uses_var(c, e->args[i], b->dim)) continue;
    bool alone = e->args[i] == ex_var(c, b->dim);
    room = room && alone && layout_room(e->value->layout, &e->value->type, i) >= b->end;
  }
  return room ? e : ex_guard(c, b->inside, e, ex_num(c, e->dtype, 0));
}

// The stage's value, for all of the last block; index: what the dim stands for.
static const Expr *mask_beyond(Ctx *c, const Stage *s, Split split, const Expr *index) {
  int64_t extent;
  if (split.dim < 0 || !expr_is_const_int(s->dims[split.dim]->extent, &extent)) return s->value;
  if (extent % split.block == 0) return s->value;
  const Expr *inside = ex_binary(c, E_LT, index, ex_idx(c, extent));
  Beyond b = {s->dims[split.dim], round_up(extent, split.block), inside};
  return expr_rewrite(c, s->value, mask_read, &b);
}

// A reduction variable that walks along blocks.
typedef struct Walk {
  Ctx *c;
  const Var *v;
  int64_t block; // 0: it does not
} Walk;

static bool find_walk(const Expr *e, void *data) {
  Walk *w = data;
  int dim;
  int64_t block, coeff;
  const Expr *rest;
  if (e->op != E_READ || !block_of(e->value->layout, &dim, &block)) return true;
  if (expr_affine(w->c, e->args[dim], w->v, &coeff, &rest) && coeff == 1 &&
      ex_binary(w->c, E_MOD, rest, ex_idx(w->c, block)) == ex_idx(w->c, 0))
    w->block = block;
  return true;
}

// The reduction with each such variable as two, the inside of the block behind the other: it can run over lanes.
static const Expr *split_reduction(Ctx *c, const Expr *e, void *data) {
  (void)data;
  for (int i = 0; e->op == E_REDUCE && i < e->reduce.nvars && e->reduce.nvars < MAX_AXES; i++) {
    const Var *v = e->reduce.vars[i], *vars[MAX_AXES];
    Walk w = {c, v, 0};
    int64_t extent;
    expr_visit(c, e->args[0], find_walk, &w);
    if (!w.block || !expr_is_const_int(v->extent, &extent) || extent % w.block || extent == w.block) continue;
    const Expr *block = ex_idx(c, w.block);
    const Var *outer = var_new(c, v->name, ex_idx(c, extent / w.block)), *inner = var_new(c, "ri", block);
    const Expr *by = ex_add(c, ex_mul(c, ex_var(c, outer), block), ex_var(c, inner));
    int n = 0;
    for (int k = 0; k < e->reduce.nvars; k++) {
      vars[n++] = k == i ? outer : e->reduce.vars[k];
      if (k == i) vars[n++] = inner;
    }
    e = ex_reduce(c, e->reduce.kind, vars, n, expr_subst(c, e->args[0], &v, &by, 1));
    i++; // the inner one is done
  }
  return e;
}

// ---- from a stage to axes -------------------------------------------------------------------------------------

static const Expr *block_count(Ctx *c, const Expr *extent, int64_t block) {
  return ex_binary(c, E_FDIV, ex_add(c, extent, ex_idx(c, block - 1)), ex_idx(c, block));
}

// The stage with its first `at` dims replaced by `shared`; dims of extent 1 are no axes; one that lies in
// blocks is two, the inside of the block last.
void nest_of_stage(Lower *l, const Stage *s, int at, const Expr *const *shared, Nest *n) {
  Ctx *c = l->c;
  const Expr *logical[MAX_AXES];
  const Var *inside = NULL;
  l->physical = false;
  *n = (Nest){.l = l, .c = c, .out = lower_storage(l, s->out)};
  Split split = s->index ? (Split){-1, 0} : find_split(c, s, at);
  for (int i = 0; i < s->ndims; i++) {
    const Var *v = s->dims[i];
    if (i < at) {
      logical[i] = shared[i];
    } else if (is_one(c, v->extent)) {
      logical[i] = ex_idx(c, 0);
    } else if (i == split.dim) {
      const Expr *block = ex_idx(c, split.block), *blocks = block_count(c, v->extent, split.block);
      const Var *outer = var_new(c, v->name, blocks);
      inside = var_new(c, "ci", block);
      logical[i] = ex_add(c, ex_mul(c, ex_var(c, outer), block), ex_var(c, inside));
      if (!is_one(c, blocks))
        n->axis[n->naxes++] = outer;
      else
        logical[i] = ex_var(c, inside);
    } else {
      logical[i] = ex_var(c, v);
      n->axis[n->naxes++] = v;
    }
  }
  if (inside) n->axis[n->naxes++] = inside;
  const Expr *value = mask_beyond(c, s, split, split.dim < 0 ? NULL : logical[split.dim]), *target[MAX_AXES];
  value = expr_subst(c, value, s->dims, logical, s->ndims);
  for (int i = 0; i < s->out->type.rank; i++)
    target[i] = s->index ? expr_subst(c, s->index[i], s->dims, logical, s->ndims) : logical[i];
  n->nindex = lower_index(l, s->out, target, n->index);
  if (!l->careful) value = expr_rewrite(c, value, split_reduction, NULL);
  n->value = lower_reads(l, value);
  l->physical = true; // what lower_value gets from here on
}

// ---- strides ------------------------------------------------------------------------------------------------

// The flat index of an access; NULL if extents are symbolic in a way that leaves strides unknown.
static const Expr *flat_index(Ctx *c, const Value *v, const Expr *const *index, int nindex) {
  int rank = layout_rank(v->layout, &v->type);
  if (nindex == 1) return index[0];
  if (nindex != rank) return NULL;
  Dim shape[MAX_PHYS_RANK];
  layout_shape(c, v->layout, &v->type, shape);
  const Expr *flat = ex_idx(c, 0);
  for (int i = 0; i < nindex; i++) flat = ex_add(c, ex_mul(c, flat, dim_to_expr(c, shape[i])), index[i]);
  return flat;
}

bool access_stride(Ctx *c, const Value *v, const Expr *const *index, int nindex, const Var *var,
                   int64_t *stride) {
  const Expr *flat = flat_index(c, v, index, nindex), *rest;
  return flat && expr_affine(c, flat, var, stride, &rest);
}

// ---- joining ------------------------------------------------------------------------------------------------

// Two neighbours, to become one variable that runs over both.
typedef struct Join {
  Ctx *c;
  const Var *outer, *inner;
  int64_t n; // extent of inner
  const Var *both;
  bool failed;
} Join;

static bool uses_either(const Join *j, const Expr *const *index, int n) {
  for (int i = 0; i < n; i++)
    if (expr_uses_var(j->c, index[i], j->outer) || expr_uses_var(j->c, index[i], j->inner)) return true;
  return false;
}

// The flat index in terms of the joint variable; NULL if the access does not walk through both in one go.
static const Expr *joint_index(const Join *j, const Value *v, const Expr *const *index, int n) {
  Ctx *c = j->c;
  int64_t so, si;
  const Expr *flat = flat_index(c, v, index, n), *rest, *base;
  if (!flat || !expr_affine(c, flat, j->outer, &so, &rest) || !expr_affine(c, rest, j->inner, &si, &base))
    return NULL;
  int64_t whole;
  if (!mul_ok(si, j->n, &whole) || so != whole) return NULL;
  return ex_add(c, ex_mul(c, ex_var(c, j->both), ex_idx(c, si)), base);
}

static const Expr *join_read(Ctx *c, const Expr *e, void *data) {
  Join *j = data;
  if (e->op != E_READ || !uses_either(j, e->args, e->nargs)) return e;
  const Expr *flat = joint_index(j, e->value, e->args, e->nargs);
  if (!flat) j->failed = true;
  return flat ? ex_read(c, e->value, &flat, 1) : e;
}

static bool join_start(Ctx *c, Join *j, const Var *outer, const Var *inner) {
  *j = (Join){.c = c, .outer = outer, .inner = inner};
  if (!expr_is_const_int(inner->extent, &j->n)) return false;
  j->both = var_new(c, outer->name, ex_mul(c, outer->extent, inner->extent));
  return true;
}

// e with all its reads in terms of the joint variable; NULL if something else still needs the two.
static const Expr *join_expr(Join *j, const Expr *e) {
  e = expr_rewrite(j->c, e, join_read, j);
  bool rest = expr_uses_var(j->c, e, j->outer) || expr_uses_var(j->c, e, j->inner);
  return j->failed || rest ? NULL : e;
}

static bool try_join_axes(Nest *n, int i) {
  Join j;
  if (!join_start(n->c, &j, n->axis[i], n->axis[i + 1])) return false;
  const Expr *value = join_expr(&j, n->value), *index = NULL;
  bool stores = uses_either(&j, n->index, n->nindex);
  if (stores) index = joint_index(&j, n->out, n->index, n->nindex);
  if (!value || (stores && !index)) return false;
  n->value = value;
  if (stores) {
    n->index[0] = index;
    n->nindex = 1;
  }
  n->axis[i] = j.both;
  for (int k = i + 1; k < n->naxes - 1; k++) n->axis[k] = n->axis[k + 1];
  n->naxes--;
  return true;
}

// The reduction with its variables i and i + 1 joined, or NULL.
static const Expr *try_join_vars(Ctx *c, const Expr *e, int i) {
  Join j;
  const Var *vars[MAX_AXES];
  if (!join_start(c, &j, e->reduce.vars[i], e->reduce.vars[i + 1])) return NULL;
  const Expr *body = join_expr(&j, e->args[0]);
  if (!body) return NULL;
  int n = 0;
  for (int k = 0; k < e->reduce.nvars; k++)
    if (k != i) vars[n++] = k == i + 1 ? j.both : e->reduce.vars[k];
  return ex_reduce(c, e->reduce.kind, vars, n, body);
}

static const Expr *join_reduction(Ctx *c, const Expr *e, void *data) {
  (void)data;
  for (int i = e->op == E_REDUCE ? e->reduce.nvars - 2 : -1; i >= 0; i--) {
    const Expr *joined = e->reduce.nvars <= MAX_AXES ? try_join_vars(c, e, i) : NULL;
    if (joined) e = joined;
    if (e->op != E_REDUCE) break;
    if (i > e->reduce.nvars - 1) i = e->reduce.nvars - 1;
  }
  return e;
}

void nest_join(Nest *n) {
  for (int i = n->naxes - 2; i >= 0; i--) try_join_axes(n, i);
  n->value = expr_rewrite(n->c, n->value, join_reduction, NULL);
}

// ---- the lanes ----------------------------------------------------------------------------------------------

typedef struct Score {
  Ctx *c;
  const Var *v;
  int unit, splat, other; // accesses with stride 1, 0, anything else
} Score;

static void score_access(Score *s, const Value *v, const Expr *const *index, int n) {
  int64_t stride;
  bool known = access_stride(s->c, v, index, n, s->v, &stride);
  if (known && stride == 0)
    s->splat++;
  else if (known && stride == 1)
    s->unit++;
  else
    s->other++;
}

static bool score_read(const Expr *e, void *data) {
  Score *s = data;
  if (e->op == E_READ) score_access(s, e->value, e->args, e->nargs);
  return true;
}

// Is the stride of v 1 (or 0) wherever it counts?
static int score_var(Nest *n, const Expr *e, const Var *v, bool store) {
  Score s = {.c = n->c, .v = v};
  expr_visit(n->c, e, score_read, &s);
  if (store) {
    Score own = {.c = n->c, .v = v};
    score_access(&own, n->out, n->index, n->nindex);
    s.unit += own.unit;
    s.other += 2 * (own.other + own.splat);
  }
  return 4 * s.unit - 16 * s.other;
}

static bool widest(const Expr *e, void *data) {
  int *bytes = data, b = e->op == E_READ || e->op == E_CAST ? dtype_bytes(e->dtype) : 1;
  if ((e->op == E_READ || e->dtype != DT_I64) && b > *bytes) *bytes = b;
  return true;
}

static int lanes_of(Nest *n) {
  int bytes = dtype_bytes(n->out->type.dtype);
  expr_visit(n->c, n->value, widest, &bytes);
  int vector = n->l->target ? n->l->target->vector_bytes : 32;
  return vector / bytes > 1 ? vector / bytes : 1;
}

static int64_t fixed_extent(const Var *v) {
  int64_t n;
  return expr_is_const_int(v->extent, &n) ? n : 0;
}

static bool is_reordered(const Nest *n, const Expr *reduction) {
  ReduceKind k = reduction->reduce.kind;
  bool rounds = dtype_is_float(reduction->dtype) && (k == R_SUM || k == R_PROD);
  return !(rounds && n->l->o->fp_strict) && k != R_ALL && k != R_ANY && reduction->dtype != DT_BOOL;
}

const Var *reduce_lane(Nest *n, const Expr *reduction) {
  const Var *best = NULL;
  int most = 0;
  if (!is_reordered(n, reduction)) return NULL;
  for (int i = 0; i < reduction->reduce.nvars; i++) {
    const Var *v = reduction->reduce.vars[i];
    int64_t extent = fixed_extent(v);
    int score = score_var(n, reduction->args[0], v, false);
    if (extent && extent < n->unit) continue;
    if (score > most) {
      most = score;
      best = v;
    }
  }
  return best;
}

typedef struct Largest {
  Ctx *c;
  const Expr *e;
} Largest;

static bool last_reduction(const Expr *e, void *data) {
  Largest *l = data;
  if (e->op == E_REDUCE) l->e = e;
  return true;
}

// Of two equals the inner axis. A reduction over contiguous elements beats an axis with strides.
void nest_choose_lane(Nest *n) {
  n->unit = lanes_of(n);
  int best = -1, most = -1000000;
  Largest r = {n->c, NULL};
  expr_visit(n->c, n->value, last_reduction, &r);
  for (int i = 0; i < n->naxes; i++) {
    int64_t extent = fixed_extent(n->axis[i]);
    int score = score_var(n, r.e ? r.e->args[0] : n->value, n->axis[i], true);
    if (extent && extent < n->unit) score -= extent * 2 > n->unit ? 4 : 24;
    if (score >= most) {
      most = score;
      best = i;
    }
  }
  bool along = r.e && reduce_lane(n, r.e) && (most <= 0 || best < 0);
  if (best >= 0 && !along) {
    n->lane = n->axis[best];
    for (int k = best; k < n->naxes - 1; k++) n->axis[k] = n->axis[k + 1];
    n->naxes--;
  }
  n->block = n->lane && !fixed_extent(n->lane) ? n->unit : 4 * n->unit;
  int64_t vectors = schedule_get(n->l->k, "block", 0);
  if (vectors >= 1 && vectors <= MAX_BLOCK) n->block = (int)vectors * n->unit;
}
