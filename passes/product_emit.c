// product_emit.c: one tile of a product: registers, loops over K, prefetching, epilogue.
// SPDX-License-Identifier: Apache-2.0
#include "passes/product_emit.h"

// ---- substitution -------------------------------------------------------------------------------------------

const Expr *product_place(const Emit *s, const Expr *e) {
  const Var *vars[MAX_LOOP_DIMS + MAX_RANK + 2];
  const Expr *with[MAX_LOOP_DIMS + MAX_RANK + 2];
  int n = 0;
  for (int i = 0; i < s->p->ndims; i++)
    if (s->at[i]) vars[n] = s->p->dim[i].var, with[n++] = s->at[i];
  for (int i = 0; i < s->p->nk; i++)
    if (s->k_at[i]) vars[n] = s->p->k_var[i], with[n++] = s->k_at[i];
  return expr_subst(s->c, e, vars, with, n);
}

// The offset of a logical index where rows are joined: affine in the joint row, which is easier to see before the
// row is replaced.
static const Expr *joint_offset(const Product *p, const Value *v, const Expr *const *logical) {
  const Expr *offset = flat_offset(p->c, v, logical), *rest;
  const Var *row = p->dim[p->tile].var;
  int64_t coeff;
  if (!expr_affine(p->c, offset, row, &coeff, &rest)) return offset;
  return ex_add(p->c, rest, ex_mul(p->c, ex_var(p->c, row), ex_idx(p->c, coeff)));
}

static const Expr *flat_read(Ctx *c, const Expr *e, void *data) {
  if (e->op != E_READ || e->value->space == SPACE_REG || e->value->type.rank == 0) return e;
  const Expr *offset = joint_offset(data, e->value, e->args);
  return ex_read(c, e->value, &offset, 1);
}

const Expr *product_place_reads(const Emit *s, const Expr *e) {
  if (s->p->joint) return product_place(s, expr_rewrite(s->c, e, flat_read, s->p));
  return lower_reads(s->l, product_place(s, e));
}

static bool mentions_unset(const Emit *s, const Expr *e) {
  for (int i = 0; i < s->p->ndims; i++)
    if (!s->at[i] && expr_uses_var(s->c, e, s->p->dim[i].var)) return true;
  for (int i = 0; i < s->p->nk; i++)
    if (!s->k_at[i] && expr_uses_var(s->c, e, s->p->k_var[i])) return true;
  return false;
}

bool product_is_true(const Expr *e) {
  int64_t v;
  return expr_is_const_int(e, &v) && v != 0;
}

// ---- loops that disappear when they run once ----------------------------------------------------------------

const Expr *emit_loop(Emit *s, EmitLoop *loop, const char *name, LoopKind kind, const Expr *extent) {
  int64_t n;
  *loop = (EmitLoop){.open = kind == LOOP_VECTOR || kind == LOOP_PARALLEL || !expr_is_const_int(extent, &n) ||
                             n != 1};
  if (!loop->open) return ex_idx(s->c, 0);
  const Var *v = var_new(s->c, name, extent);
  lower_for(s->l, v, kind, &loop->mark);
  return ex_var(s->c, v);
}

void emit_end(Emit *s, EmitLoop *loop) {
  if (loop->open) lower_end(s->l, &loop->mark);
}

void emit_if(Emit *s, EmitLoop *loop, const Expr *cond) {
  loop->open = cond && !product_is_true(cond);
  if (loop->open) lower_if(s->l, cond, &loop->mark);
}

// The guards that became decidable at this place and were not at the one before, as one condition.
static const Expr *guards_here(const Emit *s, unsigned *done) {
  const Expr *cond = NULL;
  for (int i = 0; i < s->nguards; i++) {
    if (*done & 1u << i || mentions_unset(s, s->guard[i])) continue;
    *done |= 1u << i;
    const Expr *g = product_place_reads(s, s->guard[i]);
    if (product_is_true(g)) continue;
    cond = cond ? ex_binary(s->c, E_AND, cond, g) : g;
  }
  return cond;
}

// ---- the tile -----------------------------------------------------------------------------------------------

void product_enter_column(Emit *s, const TileAt *t, Lane *x) {
  const Expr *j = emit_loop(s, &x->column, "j", LOOP_UNROLL, ex_idx(s->c, t->nv));
  const Expr *v = emit_loop(s, &x->vector, "v", LOOP_VECTOR, ex_idx(s->c, s->tile.lanes));
  x->col = ex_add(s->c, ex_mul(s->c, j, ex_idx(s->c, s->tile.lanes)), v);
  s->at[s->p->lane] = ex_add(s->c, t->lane0, x->col);
}

void product_leave_column(Emit *s, Lane *x) {
  s->at[s->p->lane] = NULL;
  emit_end(s, &x->vector);
  emit_end(s, &x->column);
}

static void enter_row(Emit *s, const TileAt *t, Lane *x) {
  x->i = emit_loop(s, &x->row, "i", LOOP_UNROLL, ex_idx(s->c, t->mr));
  if (s->p->tile >= 0) s->at[s->p->tile] = ex_add(s->c, t->row0, x->i);
}

static void leave_row(Emit *s, Lane *x) {
  if (s->p->tile >= 0) s->at[s->p->tile] = NULL;
  emit_end(s, &x->row);
}

// What a tile's registers are set to, or what is set from them.
typedef enum TileCopy { TO_ZERO, FROM_SUMS, TO_SUMS, FROM_RESULT } TileCopy;

static const Expr *read_result(Emit *s) {
  const Expr *logical[MAX_RANK], *physical[MAX_PHYS_RANK];
  Value *out = s->p->stage->out;
  for (int i = 0; i < out->type.rank; i++) logical[i] = product_place(s, s->p->index[i]);
  int n = lower_index(s->l, out, logical, physical);
  return ex_read(s->c, out, physical, n);
}

static void copy_tile(Emit *s, const TileAt *tile, TileCopy what) {
  Lane x;
  TileAt rows = *tile, *t = &rows;
  rows.mr *= t->chains;
  enter_row(s, t, &x);
  product_enter_column(s, t, &x);
  const Expr *index[] = {x.i, x.col}, *sum[] = {t->column, t->number, x.i, x.col};
  Value *sums = s->blocks.sums;
  if (what == TO_SUMS)
    lower_store(s->l, sums, sum, 4, STORE_SET, ex_read(s->c, t->acc, index, 2));
  else
    lower_store(s->l, t->acc, index, 2, STORE_SET,
                what == TO_ZERO       ? ex_num(s->c, DT_F32, 0)
                : what == FROM_RESULT ? read_result(s)
                                      : ex_read(s->c, sums, sum, 4));
  product_leave_column(s, &x);
  leave_row(s, &x);
}

// A packed constant has zeros up to a whole tile, unless its panels are those of a group of channels.
static bool padded_to_tile(const Emit *s, const Expr *read) {
  const Layout *l = read && read->value->data ? read->value->layout : NULL;
  return l && l->part[l->n - 1].mod == (int64_t)s->tile.nv * s->tile.lanes;
}

// Are all lanes of the tile inside what is read, perhaps in the rest of its last block? What lies there is undefined,
// but so is what becomes of it.
static bool has_room(const Emit *s, const TileAt *t, const Expr *read) {
  int64_t first, end;
  const Expr *last = ex_add(s->c, t->lane0, ex_idx(s->c, (int64_t)t->nv * s->tile.lanes));
  return expr_bounds(s->c, last, NULL, &first, &end) && end <= product_lane_room(s->p, read);
}

// Is all of the tile there to be read, although some lanes of it are of no use?
static bool is_padded(const Emit *s, const TileAt *t, const Expr *operand) {
  const Expr **reads;
  int n = expr_read_list(s->c, operand, &reads);
  for (int i = 0; i < n; i++)
    if (!padded_to_tile(s, reads[i]) && reads[i]->nargs > 0 && !has_room(s, t, reads[i])) return false;
  return true;
}

const Expr *product_vector_operand(Emit *s, const TileAt *t, const Expr *operand, const Expr *cond) {
  const Expr *e = product_place_reads(s, operand);
  if (t->masked && !is_padded(s, t, operand)) {
    const ProductDim *lane = &s->p->dim[s->p->lane];
    const Expr *inside = ex_binary(s->c, E_LT, s->at[s->p->lane], ex_idx(s->c, lane->extent));
    cond = cond ? ex_binary(s->c, E_AND, inside, cond) : inside;
  }
  return cond ? ex_guard(s->c, cond, e, ex_num(s->c, e->dtype, 0)) : e;
}

// The sum of the broadcast operand's elements, by which the offset that steps share is multiplied.
static void add_to_sum(Emit *s) {
  const Expr *zero[] = {ex_idx(s->c, 0), ex_idx(s->c, 0)};
  const Expr *sum = ex_read(s->c, s->shared.sum, zero, 2);
  lower_store(s->l, s->shared.sum, zero, 2, STORE_SET, ex_add(s->c, sum, product_place_reads(s, s->p->a)));
}

static void multiply_add(Emit *s, const TileAt *t, unsigned done) {
  Lane x;
  EmitLoop guard;
  enter_row(s, t, &x);
  emit_if(s, &guard, guards_here(s, &done));
  if (s->shared.offset) add_to_sum(s);
  product_enter_column(s, t, &x);
  const Expr *lanes = guards_here(s, &done); // padding along the lanes
  const Expr *index[] = {s->chain ? s->chain : x.i, x.col};
  const Expr *acc = ex_read(s->c, t->acc, index, 2);
  const Expr *a =
      s->p->depthwise ? product_vector_operand(s, t, s->p->a, lanes) : product_place_reads(s, s->p->a);
  const Expr *b = product_vector_operand(s, t, s->p->b, lanes);
  if (s->shared.scale) a = ex_mul(s->c, a, product_place_reads(s, s->shared.scale));
  const Expr *sum = s->l->target->fma && !s->l->o->fp_strict ? ex_ternary(s->c, E_FMA, a, b, acc)
                                                             : ex_add(s->c, ex_mul(s->c, a, b), acc);
  if (lanes && !s->finite && !s->p->depthwise) sum = ex_select(s->c, lanes, sum, acc);
  lower_store(s->l, t->acc, index, 2, STORE_SET, sum);
  product_leave_column(s, &x);
  emit_end(s, &guard);
  leave_row(s, &x);
}

// ---- loops over K ---------------------------------------------------------------------------------------------

// Largest divisor of n that is at most PRODUCT_UNROLL.
static int unroll_of(int64_t n) {
  for (int u = PRODUCT_UNROLL; u > 1; u--)
    if (n % u == 0) return u;
  return 1;
}

// Does a guard depend on the tile's rows and on this K variable? Then it must be a constant in every copy.
static bool decides_rows(const Emit *s, int k) {
  for (int i = 0; i < s->nguards; i++)
    if (s->p->tile >= 0 && expr_uses_var(s->c, s->guard[i], s->p->dim[s->p->tile].var) &&
        expr_uses_var(s->c, s->guard[i], s->p->k_var[k]))
      return true;
  return false;
}

// Iterations of a loop over K at one place.
static int64_t k_extent(const Emit *s, int level) {
  return level == 0 && s->blocks.sums ? s->blocks.size : s->loop[level].extent;
}

const Expr *product_set_k(Emit *s, int level, const Expr *v) {
  const KLoop *k = &s->loop[level];
  const Expr *before = s->k_at[k->k];
  if (level == 0 && s->blocks.sums)
    v = ex_add(s->c, ex_mul(s->c, s->blocks.at, ex_idx(s->c, s->blocks.size)), v);
  if (k->inner)
    v = ex_add(s->c, before, v);
  else if (k->block)
    v = ex_mul(s->c, v, ex_idx(s->c, k->block));
  s->k_at[k->k] = v;
  return before;
}

static void k_loops(Emit *s, const TileAt *t, int level, const Expr *step, unsigned done, bool border);

// One step of the loop at `level`; `step` counts what product_k_steps does.
static void k_body(Emit *s, const TileAt *t, int level, const Expr *v, const Expr *step, unsigned done,
                   bool border) {
  KLoop *k = &s->loop[level];
  const Expr *before = product_set_k(s, level, v);
  EmitLoop guard;
  // Between the outer and the inner loop over one variable its value is not known yet.
  if (k->block && !k->inner) {
    k_loops(s, t, level + 1, step, done, border);
  } else {
    emit_if(s, &guard, guards_here(s, &done));
    k_loops(s, t, level + 1, step, done, border);
    emit_end(s, &guard);
  }
  s->k_at[k->k] = before;
}

// The innermost loop: `main` of its steps in iterations of `unroll`.
typedef struct Unrolled {
  int64_t main;
  int unroll;
} Unrolled;

static Unrolled unrolled(int64_t extent) {
  int u = unroll_of(extent);
  if (u == 1 && extent > PRODUCT_UNROLL) return (Unrolled){extent / 4 * 4, 4}; // a prime number of steps
  return (Unrolled){extent, u};
}

int64_t product_k_steps(const Emit *s) {
  int64_t steps = 1;
  for (int i = 0; i + 1 < s->nloops; i++) steps *= k_extent(s, i);
  Unrolled u = unrolled(k_extent(s, s->nloops - 1));
  return steps * (u.main / u.unroll);
}

// ---- what several steps have in common --------------------------------------------------------------------

// The first of the tile's chains becomes the sum of all.
static void add_chains(Emit *s, const TileAt *t) {
  for (int step = t->chains / 2; step > 0; step /= 2)
    for (int i = 0; i < step; i++) {
      Lane x;
      product_enter_column(s, t, &x);
      const Expr *to[] = {ex_idx(s->c, i), x.col}, *from[] = {ex_idx(s->c, i + step), x.col};
      const Expr *sum = ex_add(s->c, ex_read(s->c, t->acc, to, 2), ex_read(s->c, t->acc, from, 2));
      lower_store(s->l, t->acc, to, 2, STORE_SET, sum);
      product_leave_column(s, &x);
    }
}

// acc += (part + offset * sum) * factor
static void add_part(Emit *s, const TileAt *t, Value *part) {
  Ctx *c = s->c;
  const Shared *h = &s->shared;
  bool fma = s->l->target->fma;
  Lane x;
  enter_row(s, t, &x);
  product_enter_column(s, t, &x);
  const Expr *index[] = {x.i, x.col}, *zero[] = {ex_idx(c, 0), ex_idx(c, 0)};
  const Expr *acc = ex_read(c, t->acc, index, 2), *sum = ex_read(c, part, index, 2);
  if (h->offset) {
    const Expr *o = product_vector_operand(s, t, h->offset, NULL), *all = ex_read(c, h->sum, zero, 2);
    sum = fma ? ex_ternary(c, E_FMA, o, all, sum) : ex_add(c, ex_mul(c, o, all), sum);
  }
  const Expr *f = h->factor ? product_vector_operand(s, t, h->factor, NULL) : ex_num(c, DT_F32, 1);
  sum = fma ? ex_ternary(c, E_FMA, sum, f, acc) : ex_add(c, ex_mul(c, sum, f), acc);
  lower_store(s->l, t->acc, index, 2, STORE_SET, sum);
  product_leave_column(s, &x);
  leave_row(s, &x);
}

// `steps` steps of K, unrolled.
static void unrolled_steps(Emit *s, const TileAt *t, int level, const Expr *first, int64_t steps,
                           const Expr *step, unsigned done, bool border) {
  EmitLoop inner;
  const Expr *ki = emit_loop(s, &inner, "ku", LOOP_UNROLL, ex_idx(s->c, steps));
  s->chain = t->chains > 1 ? ex_binary(s->c, E_MOD, ki, ex_idx(s->c, t->chains)) : NULL;
  k_body(s, t, level, ex_add(s->c, first, ki), step, done, border);
  s->chain = NULL;
  emit_end(s, &inner);
}

// What steps share is left out of them until end_shared: they make a sum of their own, and that of the elements of the
// broadcast operand. Returns what the vector operand was.
static const Expr *begin_shared(Emit *s, TileAt *part) {
  const Expr *before = s->p->b;
  const int64_t one[] = {1, 1}, shape[] = {part->chains, (int64_t)part->nv * s->tile.lanes};
  const Expr *zero[] = {ex_idx(s->c, 0), ex_idx(s->c, 0)};
  part->acc = lower_alloc(s->l, "part", SPACE_REG, DT_F32, 2, shape);
  copy_tile(s, part, TO_ZERO);
  s->p->b = s->shared.number;
  if (!s->shared.offset) return before;
  s->shared.sum = lower_alloc(s->l, "sum", SPACE_REG, DT_F32, 2, one);
  lower_store(s->l, s->shared.sum, zero, 2, STORE_SET, ex_num(s->c, DT_F32, 0));
  return before;
}

static void end_shared(Emit *s, const TileAt *t, const TileAt *part, int level, const Expr *first) {
  add_chains(s, part);
  const Expr *before = product_set_k(s, level, first);
  add_part(s, t, part->acc);
  s->k_at[s->loop[level].k] = before;
}

static void innermost(Emit *s, const TileAt *t, int level, const Expr *step, unsigned done, bool border) {
  Ctx *c = s->c;
  int64_t extent = k_extent(s, level);
  Unrolled u = unrolled(extent);
  int64_t count = u.main / u.unroll, in_group = count;
  EmitLoop groups, loop;
  TileAt part = *t;
  const Expr *unroll = ex_idx(c, u.unroll), *group = ex_idx(c, 0), *before = NULL;
  bool shares = product_shares(s, t, level, u.unroll, u.main);
  if (shares) {
    in_group = s->shared.steps / u.unroll;
    group = emit_loop(s, &groups, "group", LOOP_SERIAL, ex_idx(c, count / in_group));
    group = ex_mul(c, group, ex_idx(c, in_group));
    before = begin_shared(s, &part);
  }
  const Expr *ko = ex_add(c, group, emit_loop(s, &loop, "k", LOOP_SERIAL, ex_idx(c, in_group)));
  step = ex_add(c, ex_mul(c, step, ex_idx(c, count)), ko);
  product_prefetch(s, t, step);
  product_prefetch_streams(s, t, level, ex_mul(c, ko, unroll), u.unroll);
  unrolled_steps(s, &part, level, ex_mul(c, ko, unroll), u.unroll, step, done, border);
  emit_end(s, &loop);
  if (shares) {
    s->p->b = before;
    end_shared(s, t, &part, level, ex_mul(c, group, unroll));
    s->shared = (Shared){0};
    emit_end(s, &groups);
  }
  if (u.main < extent) unrolled_steps(s, t, level, ex_idx(c, u.main), extent - u.main, step, done, border);
}

// What is left of a K that blocks do not divide: the inside of one more block, shorter.
static void last_block(Emit *s, const TileAt *t, int level, const Expr *step, unsigned done, bool border) {
  const KLoop *k = &s->loop[level];
  KLoop *inner = &s->loop[s->nloops - 1];
  int64_t rest = s->p->k_extent[k->k] % k->block;
  if (rest == 0) return;
  inner->extent = rest;
  k_body(s, t, level, ex_idx(s->c, k->extent), step, done, border);
  inner->extent = k->block;
}

static void k_loops(Emit *s, const TileAt *t, int level, const Expr *step, unsigned done, bool border) {
  if (level == s->nloops) {
    multiply_add(s, t, done);
    return;
  }
  bool constant = border && decides_rows(s, s->loop[level].k);
  if (level == s->nloops - 1 && !constant) {
    innermost(s, t, level, step, done, border);
    return;
  }
  EmitLoop loop;
  const KLoop *k = &s->loop[level];
  const Expr *extent = ex_idx(s->c, k_extent(s, level));
  step = ex_mul(s->c, step, extent);
  if (k_extent(s, level) > 0) {
    const Expr *v = emit_loop(s, &loop, "k", constant ? LOOP_UNROLL : LOOP_SERIAL, extent);
    k_body(s, t, level, v, ex_add(s->c, step, v), done, border);
    emit_end(s, &loop);
  }
  if (k->block && !k->inner) last_block(s, t, level, step, done, border);
}

// ---- epilogue -------------------------------------------------------------------------------------------------

// Blocks narrower than the vectors are stored one by one.
static TileAt by_blocks(Emit *s, const TileAt *t) {
  TileAt narrow = *t;
  int block = product_block(s->p);
  if (block == 0 || block >= s->tile.lanes || s->tile.lanes % block) return narrow;
  narrow.nv = t->nv * (s->tile.lanes / block);
  s->tile.lanes = block;
  return narrow;
}

// Lanes of the result that may be stored to.
static int64_t result_room(const Product *p) {
  const Value *out = p->stage->out;
  const ProductDim *lane = &p->dim[p->lane];
  bool alone = p->index[lane->out_dim] == ex_var(p->c, lane->var);
  return alone ? layout_room(out->layout, &out->type, lane->out_dim) : lane->extent;
}

typedef struct MaskReads {
  const Emit *s;
  const TileAt *t;
} MaskReads;

// Reads that have no room for lanes beyond the extent do not touch them.
static const Expr *mask_read(Ctx *c, const Expr *e, void *data) {
  const MaskReads *m = data;
  const ProductDim *lane = &m->s->p->dim[m->s->p->lane];
  if (e->op != E_READ || e->value == m->t->acc || has_room(m->s, m->t, e)) return e;
  const Expr *inside = ex_binary(c, E_LT, m->s->at[m->s->p->lane], ex_idx(c, lane->extent));
  return ex_guard(c, inside, e, ex_num(c, e->dtype, 0));
}

static void store_tile(Emit *s, const TileAt *whole) {
  Product *p = s->p;
  Loc loc = s->l->loc;
  s->l->loc = p->stage->loc; // the epilogue's last op
  Lane x;
  EmitLoop mask;
  int lanes = s->tile.lanes;
  int64_t room = result_room(p);
  TileAt narrow = by_blocks(s, whole), *t = &narrow;
  enter_row(s, t, &x);
  product_enter_column(s, t, &x);
  emit_if(s, &mask, t->masked ? ex_binary(s->c, E_LT, s->at[p->lane], ex_idx(s->c, room)) : NULL);
  const Expr *index[] = {x.i, x.col}, *logical[MAX_RANK], *physical[MAX_PHYS_RANK];
  MaskReads reads = {s, t};
  const Expr *value = expr_replace(s->c, p->value, p->sum, ex_read(s->c, t->acc, index, 2));
  if (t->masked && room > p->dim[p->lane].extent) value = expr_rewrite(s->c, value, mask_read, &reads);
  value = product_place_reads(s, value);
  Value *out = p->stage->out;
  int n = 1;
  for (int i = 0; i < out->type.rank; i++) logical[i] = product_place(s, p->index[i]);
  if (p->joint)
    physical[0] = product_place(s, joint_offset(p, out, p->index));
  else
    n = lower_index(s->l, out, logical, physical);
  lower_store(s->l, out, physical, n, STORE_SET, value);
  emit_end(s, &mask);
  product_leave_column(s, &x);
  leave_row(s, &x);
  s->tile.lanes = lanes;
  s->l->loc = loc;
}

// Registers before and after the loops over a block of K.
static void begin_tile(Emit *s, const TileAt *t) {
  LowerMark branch;
  const Expr *first = s->blocks.sums ? ex_binary(s->c, E_EQ, s->blocks.at, ex_idx(s->c, 0)) : NULL;
  if (s->inside.resume) first = ex_unary(s->c, E_NOT, s->inside.resume);
  for (int i = 0; i < ARRAY_LEN(s->inside.next); i++) product_prefetch_next(s, t, &s->inside.next[i]);
  if (first) lower_if(s->l, first, &branch);
  copy_tile(s, t, TO_ZERO);
  if (!first) return;
  lower_else(s->l, &branch);
  copy_tile(s, t, s->blocks.sums ? FROM_SUMS : FROM_RESULT);
  lower_end(s->l, &branch);
}

static void end_tile(Emit *s, const TileAt *t) {
  LowerMark branch;
  if (!s->blocks.sums) {
    add_chains(s, t);
    store_tile(s, t);
    return;
  }
  lower_if(s->l, ex_binary(s->c, E_EQ, s->blocks.at, ex_idx(s->c, s->blocks.count - 1)), &branch);
  store_tile(s, t);
  lower_else(s->l, &branch);
  copy_tile(s, t, TO_SUMS);
  lower_end(s->l, &branch);
}

// Sums side by side in a tile of one row: with fewer vectors than it takes to hide the latency of additions.
static int chains_of(const Emit *s, const TileAt *t) {
  int64_t steps = unrolled(k_extent(s, s->nloops - 1)).unroll;
  bool ordered =
      s->l->o->fp_strict || s->nguards > 0 || s->blocks.sums || s->inside.resume || s->p->depthwise;
  return ordered || t->mr > 1 ? 1 : tile_row_chains(s->p, t->nv, steps);
}

void product_emit_tile(Emit *s, TileAt t, bool border) {
  t.chains = s->rounded.steps ? 1 : chains_of(s, &t);
  int64_t shape[] = {(int64_t)t.mr * t.chains, (int64_t)t.nv * s->tile.lanes};
  t.acc = lower_alloc(s->l, "acc", SPACE_REG, DT_F32, 2, shape);
  begin_tile(s, &t);
  unsigned done = 0;
  EmitLoop guard;
  emit_if(s, &guard, guards_here(s, &done));
  if (s->rounded.steps)
    product_rounded_steps(s, &t);
  else
    k_loops(s, &t, 0, ex_idx(s->c, 0), done, border);
  emit_end(s, &guard);
  end_tile(s, &t);
}
