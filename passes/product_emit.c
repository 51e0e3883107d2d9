// product_emit.c: one tile of a product: registers, loops over K, prefetching, epilogue.
// SPDX-License-Identifier: Apache-2.0
#include "passes/product_emit.h"

enum { CACHE_LINE = 64 }; // bytes

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

// The same with physical reads: flat ones where rows were joined.
static const Expr *place_reads(const Emit *s, const Expr *e) {
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
    const Expr *g = place_reads(s, s->guard[i]);
    if (product_is_true(g)) continue;
    cond = cond ? ex_binary(s->c, E_AND, cond, g) : g;
  }
  return cond;
}

// ---- the tile -----------------------------------------------------------------------------------------------

typedef struct Lane {
  EmitLoop vector, column, row, mask;
  const Expr *i, *col; // row in the tile, column in the tile
} Lane;

// Sets the lane dim to vector j, lane v of the tile at t.
static void enter_column(Emit *s, const TileAt *t, Lane *x) {
  const Expr *j = emit_loop(s, &x->column, "j", LOOP_UNROLL, ex_idx(s->c, t->nv));
  const Expr *v = emit_loop(s, &x->vector, "v", LOOP_VECTOR, ex_idx(s->c, s->tile.lanes));
  x->col = ex_add(s->c, ex_mul(s->c, j, ex_idx(s->c, s->tile.lanes)), v);
  s->at[s->p->lane] = ex_add(s->c, t->lane0, x->col);
}

static void leave_column(Emit *s, Lane *x) {
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
  enter_column(s, t, &x);
  const Expr *index[] = {x.i, x.col}, *sum[] = {t->column, t->number, x.i, x.col};
  Value *sums = s->blocks.sums;
  if (what == TO_SUMS)
    lower_store(s->l, sums, sum, 4, STORE_SET, ex_read(s->c, t->acc, index, 2));
  else
    lower_store(s->l, t->acc, index, 2, STORE_SET,
                what == TO_ZERO       ? ex_num(s->c, DT_F32, 0)
                : what == FROM_RESULT ? read_result(s)
                                      : ex_read(s->c, sums, sum, 4));
  leave_column(s, &x);
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

// An operand that varies over the lanes, 0 where `cond` (NULL: true) fails or the lane is beyond the extent.
// Constants are padded with zeros there, but nothing else may be touched.
static const Expr *vector_operand(Emit *s, const TileAt *t, const Expr *operand, const Expr *cond) {
  const Expr *e = place_reads(s, operand);
  if (t->masked && !is_padded(s, t, operand)) {
    const ProductDim *lane = &s->p->dim[s->p->lane];
    const Expr *inside = ex_binary(s->c, E_LT, s->at[s->p->lane], ex_idx(s->c, lane->extent));
    cond = cond ? ex_binary(s->c, E_AND, inside, cond) : inside;
  }
  return cond ? ex_guard(s->c, cond, e, ex_num(s->c, e->dtype, 0)) : e;
}

// A number of a few bits taken out of a word, f32(i32(x >> shift & mask) + c), is as good where it stands: *scale
// times f32(i32(x & mask << shift) + (c << shift)), without the shift. All numbers but the highest fit in any case;
// that one does where c makes it a signed number. NULL: e is nothing of the kind.
static const Expr *in_place(Ctx *c, const Expr *e, const Expr **scale) {
  int64_t mask, offset;
  if (e->op != E_CAST || e->args[0]->op != E_ADD || e->args[0]->dtype != DT_I32) return NULL;
  const Expr *sum = e->args[0], *cast = sum->args[0], *field = cast->op == E_CAST ? cast->args[0] : cast;
  if (field->op != E_AND || field->dtype != DT_U32 || field->args[0]->op != E_SHR) return NULL;
  if (!expr_is_const_int(sum->args[1], &offset) || !expr_is_const_int(field->args[1], &mask)) return NULL;
  if (offset * -2 != mask + 1) return NULL;
  const Expr *shift = field->args[0]->args[1], *steps = ex_cast(c, DT_I32, shift);
  const Expr *word = ex_binary(c, E_AND, field->args[0]->args[0], ex_binary(c, E_SHL, field->args[1], shift));
  const Expr *number = ex_add(c, ex_cast(c, DT_I32, word), ex_binary(c, E_SHL, sum->args[1], steps));
  const Expr *exponent = ex_sub(c, ex_int(c, DT_I32, 127), steps);
  *scale = ex_bitcast(c, DT_F32, ex_binary(c, E_SHL, exponent, ex_int(c, DT_I32, 23)));
  return ex_cast(c, DT_F32, number);
}

static void multiply_add(Emit *s, const TileAt *t, unsigned done) {
  Lane x;
  EmitLoop guard;
  enter_row(s, t, &x);
  emit_if(s, &guard, guards_here(s, &done));
  enter_column(s, t, &x);
  const Expr *lanes = guards_here(s, &done); // padding along the lanes
  const Expr *index[] = {s->chain ? s->chain : x.i, x.col};
  const Expr *acc = ex_read(s->c, t->acc, index, 2);
  const Expr *a = s->p->depthwise ? vector_operand(s, t, s->p->a, lanes) : place_reads(s, s->p->a);
  const Expr *scale, *number = t->mr == 1 && !s->l->o->fp_strict ? in_place(s->c, s->p->b, &scale) : NULL;
  const Expr *b = vector_operand(s, t, number ? number : s->p->b, lanes);
  if (number) a = ex_mul(s->c, a, place_reads(s, scale));
  const Expr *sum = s->l->target->fma && !s->l->o->fp_strict ? ex_ternary(s->c, E_FMA, a, b, acc)
                                                             : ex_add(s->c, ex_mul(s->c, a, b), acc);
  if (lanes && !s->finite && !s->p->depthwise) sum = ex_select(s->c, lanes, sum, acc);
  lower_store(s->l, t->acc, index, 2, STORE_SET, sum);
  leave_column(s, &x);
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

static const Expr *set_k(Emit *s, int level, const Expr *v) {
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
  const Expr *before = set_k(s, level, v);
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

// Where the next panel begins in the vector operand's buffer, or the present block of K in it.
static const Expr *next_panel(Emit *s, const TileAt *t) {
  const Expr *lane = s->at[s->p->lane], *k_at[MAX_RANK + 2];
  memcpy(k_at, s->k_at, sizeof k_at);
  for (int i = 0; i < s->p->nk; i++) s->k_at[i] = ex_idx(s->c, 0);
  if (s->blocks.sums) set_k(s, 0, ex_idx(s->c, 0));
  s->at[s->p->lane] = ex_add(s->c, t->lane0, ex_idx(s->c, (int64_t)s->tile.nv * s->tile.lanes));
  const Expr *read = product_place(s, s->p->b);
  s->at[s->p->lane] = lane;
  memcpy(s->k_at, k_at, sizeof k_at);
  return flat_offset(s->c, read->value, read->args);
}

static void prefetch(Emit *s, const TileAt *t, const Expr *step) {
  Ctx *c = s->c;
  if (!s->ahead.lines) return;
  const Expr *tile = ex_add(c, s->ahead.first, t->number);
  const Expr *done = ex_add(c, ex_mul(c, tile, ex_idx(c, s->ahead.steps)), step);
  Value *b = s->p->b->value;
  int64_t line = CACHE_LINE / dtype_bytes(b->type.dtype);
  const Expr *at = ex_add(c, next_panel(s, t), ex_mul(c, done, ex_idx(c, s->ahead.lines * line)));
  for (int64_t i = 0; i < s->ahead.lines; i++) lower_prefetch(s->l, b, ex_add(c, at, ex_idx(c, i * line)));
}

// ---- factors of several steps -----------------------------------------------------------------------------------

// The vector operand's factor that all `steps` steps of K from `first` on have in common (the scale of a group of
// weights); *rest: the others. NULL: none.
static const Expr *common_factor(Emit *s, int level, const Expr *first, int64_t steps, const Expr **rest) {
  const Expr *b = s->p->b;
  for (int i = 0; b->op == E_MUL && i < 2; i++) {
    const Expr *at[2];
    for (int end = 0; end < 2; end++) {
      const Expr *step = end ? ex_add(s->c, first, ex_idx(s->c, steps - 1)) : first;
      const Expr *before = set_k(s, level, step);
      at[end] = product_place(s, b->args[i]);
      s->k_at[s->loop[level].k] = before;
    }
    *rest = b->args[1 - i];
    if (at[0] == at[1]) return b->args[i];
  }
  return NULL;
}

// The first of the tile's chains becomes the sum of all.
static void add_chains(Emit *s, const TileAt *t) {
  for (int step = t->chains / 2; step > 0; step /= 2)
    for (int i = 0; i < step; i++) {
      Lane x;
      enter_column(s, t, &x);
      const Expr *to[] = {ex_idx(s->c, i), x.col}, *from[] = {ex_idx(s->c, i + step), x.col};
      const Expr *sum = ex_add(s->c, ex_read(s->c, t->acc, to, 2), ex_read(s->c, t->acc, from, 2));
      lower_store(s->l, t->acc, to, 2, STORE_SET, sum);
      leave_column(s, &x);
    }
}

// acc += part * factor
static void add_part(Emit *s, const TileAt *t, Value *part, const Expr *factor) {
  Lane x;
  enter_row(s, t, &x);
  enter_column(s, t, &x);
  const Expr *index[] = {x.i, x.col};
  const Expr *acc = ex_read(s->c, t->acc, index, 2), *sum = ex_read(s->c, part, index, 2);
  const Expr *f = vector_operand(s, t, factor, NULL);
  sum = s->l->target->fma ? ex_ternary(s->c, E_FMA, sum, f, acc) : ex_add(s->c, ex_mul(s->c, sum, f), acc);
  lower_store(s->l, t->acc, index, 2, STORE_SET, sum);
  leave_column(s, &x);
  leave_row(s, &x);
}

// `steps` steps of K, unrolled. A factor that they have in common is multiplied by once, if there are registers for
// their sum: with one row, where unpacking the weights is most of the work.
static void unrolled_steps(Emit *s, const TileAt *t, int level, const Expr *first, int64_t steps,
                           const Expr *step, unsigned done, bool border) {
  const Expr *rest, *factor = NULL, *b = s->p->b;
  bool fits = t->mr == 1 && steps > 2 && 2 * t->nv <= s->l->target->vector_regs;
  if (fits && !s->p->depthwise && !s->nguards && !s->l->o->fp_strict)
    factor = common_factor(s, level, first, steps, &rest);
  EmitLoop inner;
  TileAt part = *t;
  if (factor) {
    int64_t shape[] = {part.chains, (int64_t)t->nv * s->tile.lanes};
    part.acc = lower_alloc(s->l, "part", SPACE_REG, DT_F32, 2, shape);
    s->p->b = rest;
    copy_tile(s, &part, TO_ZERO);
  }
  const Expr *ki = emit_loop(s, &inner, "ku", LOOP_UNROLL, ex_idx(s->c, steps));
  s->chain = t->chains > 1 ? ex_binary(s->c, E_MOD, ki, ex_idx(s->c, t->chains)) : NULL;
  k_body(s, &part, level, ex_add(s->c, first, ki), step, done, border);
  s->chain = NULL;
  emit_end(s, &inner);
  s->p->b = b;
  if (!factor) return;
  add_chains(s, &part);
  const Expr *before = set_k(s, level, first);
  add_part(s, t, part.acc, factor);
  s->k_at[s->loop[level].k] = before;
}

static void innermost(Emit *s, const TileAt *t, int level, const Expr *step, unsigned done, bool border) {
  int64_t extent = k_extent(s, level);
  EmitLoop outer;
  Unrolled u = unrolled(extent);
  const Expr *unroll = ex_idx(s->c, u.unroll), *count = ex_idx(s->c, u.main / u.unroll);
  const Expr *ko = emit_loop(s, &outer, "k", LOOP_SERIAL, count);
  step = ex_add(s->c, ex_mul(s->c, step, count), ko);
  prefetch(s, t, step);
  unrolled_steps(s, t, level, ex_mul(s->c, ko, unroll), u.unroll, step, done, border);
  emit_end(s, &outer);
  if (u.main < extent) unrolled_steps(s, t, level, ex_idx(s->c, u.main), extent - u.main, step, done, border);
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

typedef struct SumSwap {
  const Expr *sum, *acc;
} SumSwap;

static const Expr *swap_sum(Ctx *c, const Expr *e, void *data) {
  (void)c;
  const SumSwap *w = data;
  return e == w->sum ? w->acc : e;
}

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
  enter_column(s, t, &x);
  emit_if(s, &mask, t->masked ? ex_binary(s->c, E_LT, s->at[p->lane], ex_idx(s->c, room)) : NULL);
  const Expr *index[] = {x.i, x.col}, *logical[MAX_RANK], *physical[MAX_PHYS_RANK];
  SumSwap swap = {p->sum, ex_read(s->c, t->acc, index, 2)};
  MaskReads reads = {s, t};
  const Expr *value = expr_rewrite(s->c, p->value, swap_sum, &swap);
  if (t->masked && room > p->dim[p->lane].extent) value = expr_rewrite(s->c, value, mask_read, &reads);
  value = place_reads(s, value);
  Value *out = p->stage->out;
  int n = 1;
  for (int i = 0; i < out->type.rank; i++) logical[i] = product_place(s, p->index[i]);
  if (p->joint)
    physical[0] = product_place(s, joint_offset(p, out, p->index));
  else
    n = lower_index(s->l, out, logical, physical);
  lower_store(s->l, out, physical, n, STORE_SET, value);
  emit_end(s, &mask);
  leave_column(s, &x);
  leave_row(s, &x);
  s->tile.lanes = lanes;
  s->l->loc = loc;
}

static void prefetch_next(Emit *s, const TileAt *t, const NextRead *next) {
  Ctx *c = s->c;
  if (!next->of) return;
  int64_t line = CACHE_LINE / dtype_bytes(next->of->type.dtype);
  const Expr *at = ex_add(c, next->at, ex_mul(c, t->number, ex_idx(c, next->lines * line)));
  for (int64_t i = 0; i < next->lines; i++)
    lower_prefetch(s->l, next->of, ex_add(c, at, ex_idx(c, i * line)));
}

// Registers before and after the loops over a block of K.
static void begin_tile(Emit *s, const TileAt *t) {
  LowerMark branch;
  const Expr *first = s->blocks.sums ? ex_binary(s->c, E_EQ, s->blocks.at, ex_idx(s->c, 0)) : NULL;
  if (s->inside.resume) first = ex_unary(s->c, E_NOT, s->inside.resume);
  for (int i = 0; i < ARRAY_LEN(s->inside.next); i++) prefetch_next(s, t, &s->inside.next[i]);
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
  t.chains = chains_of(s, &t);
  int64_t shape[] = {(int64_t)t.mr * t.chains, (int64_t)t.nv * s->tile.lanes};
  t.acc = lower_alloc(s->l, "acc", SPACE_REG, DT_F32, 2, shape);
  begin_tile(s, &t);
  unsigned done = 0;
  EmitLoop guard;
  emit_if(s, &guard, guards_here(s, &done));
  k_loops(s, &t, 0, ex_idx(s->c, 0), done, border);
  emit_end(s, &guard);
  end_tile(s, &t);
}
