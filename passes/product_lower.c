// product_lower.c: the loops of a product: tiles in registers around loops over K, epilogue in registers.
// SPDX-License-Identifier: Apache-2.0
#include "passes/product_impl.h"

enum {
  MAX_CONJUNCTS = 16,
  MAX_BORDER_TILES = 12, // row tiles written out one by one because they touch the padding
  MAX_UNROLL = 8,        // steps of K in one iteration of the innermost loop
};

// The state of lowering one product. `at[d]` is what dim d stands for at the current place; NULL: not yet.
typedef struct Emit {
  Lower *l;
  Ctx *c;
  Product *p;
  Tile tile;
  const Expr *at[MAX_LOOP_DIMS];
  const Expr *k_at[MAX_RANK + 2];
  int nguards;
  const Expr *guard[MAX_CONJUNCTS];
  KLoop loop[MAX_RANK + 4];
  int nloops;
} Emit;

// One tile: rows row0 .. row0+mr-1 of the tile dim, nv vectors from lane0 on.
typedef struct TileAt {
  const Expr *row0, *lane0;
  int mr, nv;
  bool masked; // the last vectors reach beyond the lane dim's extent
  Value *acc;  // [mr, nv * lanes]
} TileAt;

// ---- substitution -------------------------------------------------------------------------------------------

// e with every dim and K variable replaced by what it stands for here (those that are set).
static const Expr *place(const Emit *s, const Expr *e) {
  const Var *vars[MAX_LOOP_DIMS + MAX_RANK + 2];
  const Expr *with[MAX_LOOP_DIMS + MAX_RANK + 2];
  int n = 0;
  for (int i = 0; i < s->p->ndims; i++)
    if (s->at[i]) vars[n] = s->p->dim[i].var, with[n++] = s->at[i];
  for (int i = 0; i < s->p->nk; i++)
    if (s->k_at[i]) vars[n] = s->p->k_var[i], with[n++] = s->k_at[i];
  return expr_subst(s->c, e, vars, with, n);
}

static const Expr *flat_read(Ctx *c, const Expr *e, void *data) {
  (void)data;
  if (e->op != E_READ || e->value->space == SPACE_REG || e->value->type.rank == 0) return e;
  const Expr *offset = flat_offset(c, e->value, e->args);
  return ex_read(c, e->value, &offset, 1);
}

// The same with physical reads: flat ones where rows were joined.
static const Expr *place_reads(const Emit *s, const Expr *e) {
  e = place(s, e);
  return s->p->joint ? expr_rewrite(s->c, e, flat_read, NULL) : lower_reads(s->l, e);
}

static bool mentions_unset(const Emit *s, const Expr *e) {
  for (int i = 0; i < s->p->ndims; i++)
    if (!s->at[i] && expr_uses_var(s->c, e, s->p->dim[i].var)) return true;
  for (int i = 0; i < s->p->nk; i++)
    if (!s->k_at[i] && expr_uses_var(s->c, e, s->p->k_var[i])) return true;
  return false;
}

static bool is_true(const Expr *e) {
  int64_t v;
  return expr_is_const_int(e, &v) && v != 0;
}

// ---- loops that disappear when they run once ----------------------------------------------------------------

typedef struct Loop {
  LowerMark mark;
  bool open;
} Loop;

static const Expr *loop_begin(Emit *s, Loop *loop, const char *name, LoopKind kind, const Expr *extent) {
  int64_t n;
  *loop = (Loop){.open = kind == LOOP_VECTOR || kind == LOOP_PARALLEL || !expr_is_const_int(extent, &n) ||
                         n != 1};
  if (!loop->open) return ex_idx(s->c, 0);
  const Var *v = var_new(s->c, name, extent);
  lower_for(s->l, v, kind, &loop->mark);
  return ex_var(s->c, v);
}

static void loop_end(Emit *s, Loop *loop) {
  if (loop->open) lower_end(s->l, &loop->mark);
}

static void if_begin(Emit *s, Loop *loop, const Expr *cond) {
  loop->open = cond && !is_true(cond);
  if (loop->open) lower_if(s->l, cond, &loop->mark);
}

// The guards that became decidable at this place and were not at the one before, as one condition.
static const Expr *guards_here(const Emit *s, unsigned *done) {
  const Expr *cond = NULL;
  for (int i = 0; i < s->nguards; i++) {
    if (*done & 1u << i || mentions_unset(s, s->guard[i])) continue;
    *done |= 1u << i;
    const Expr *g = place_reads(s, s->guard[i]);
    if (is_true(g)) continue;
    cond = cond ? ex_binary(s->c, E_AND, cond, g) : g;
  }
  return cond;
}

// ---- the tile -----------------------------------------------------------------------------------------------

typedef struct Lane {
  Loop vector, column, row, mask;
  const Expr *i, *col; // row in the tile, column in the tile
} Lane;

// Sets the lane dim to vector j, lane v of the tile at t.
static void enter_column(Emit *s, const TileAt *t, Lane *x) {
  const Expr *j = loop_begin(s, &x->column, "j", LOOP_UNROLL, ex_idx(s->c, t->nv));
  const Expr *v = loop_begin(s, &x->vector, "v", LOOP_VECTOR, ex_idx(s->c, s->tile.lanes));
  x->col = ex_add(s->c, ex_mul(s->c, j, ex_idx(s->c, s->tile.lanes)), v);
  s->at[s->p->lane] = ex_add(s->c, t->lane0, x->col);
}

static void leave_column(Emit *s, Lane *x) {
  s->at[s->p->lane] = NULL;
  loop_end(s, &x->vector);
  loop_end(s, &x->column);
}

static void enter_row(Emit *s, const TileAt *t, Lane *x) {
  x->i = loop_begin(s, &x->row, "i", LOOP_UNROLL, ex_idx(s->c, t->mr));
  if (s->p->tile >= 0) s->at[s->p->tile] = ex_add(s->c, t->row0, x->i);
}

static void leave_row(Emit *s, Lane *x) {
  if (s->p->tile >= 0) s->at[s->p->tile] = NULL;
  loop_end(s, &x->row);
}

static void clear_tile(Emit *s, const TileAt *t) {
  Lane x;
  enter_row(s, t, &x);
  enter_column(s, t, &x);
  const Expr *index[] = {x.i, x.col};
  lower_store(s->l, t->acc, index, 2, STORE_SET, ex_num(s->c, DT_F32, 0));
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

// An operand that varies over the lanes, 0 where `cond` (NULL: true) fails or the lane is beyond the extent.
// Constants are padded with zeros there, but nothing else may be touched.
static const Expr *vector_operand(Emit *s, const TileAt *t, const Expr *operand, const Expr *cond) {
  const Expr *e = place_reads(s, operand);
  const Expr *r = product_read(operand);
  if (t->masked && !padded_to_tile(s, r) && !(r && has_room(s, t, r))) {
    const ProductDim *lane = &s->p->dim[s->p->lane];
    const Expr *inside = ex_binary(s->c, E_LT, s->at[s->p->lane], ex_idx(s->c, lane->extent));
    cond = cond ? ex_binary(s->c, E_AND, inside, cond) : inside;
  }
  return cond ? ex_guard(s->c, cond, e, ex_num(s->c, e->dtype, 0)) : e;
}

static void multiply_add(Emit *s, const TileAt *t, unsigned done) {
  Lane x;
  Loop guard;
  enter_row(s, t, &x);
  if_begin(s, &guard, guards_here(s, &done));
  enter_column(s, t, &x);
  const Expr *lanes = guards_here(s, &done); // padding along the lanes
  const Expr *index[] = {x.i, x.col};
  const Expr *acc = ex_read(s->c, t->acc, index, 2);
  const Expr *a = s->p->depthwise ? vector_operand(s, t, s->p->a, lanes) : place_reads(s, s->p->a);
  const Expr *b = vector_operand(s, t, s->p->b, lanes);
  const Expr *sum =
      s->l->target->fma ? ex_ternary(s->c, E_FMA, a, b, acc) : ex_add(s->c, ex_mul(s->c, a, b), acc);
  lower_store(s->l, t->acc, index, 2, STORE_SET, sum);
  leave_column(s, &x);
  loop_end(s, &guard);
  leave_row(s, &x);
}

// ---- loops over K ---------------------------------------------------------------------------------------------

// Largest divisor of n that is at most MAX_UNROLL.
static int unroll_of(int64_t n) {
  for (int u = MAX_UNROLL; u > 1; u--)
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

static const Expr *set_k(Emit *s, const KLoop *k, const Expr *v) {
  const Expr *before = s->k_at[k->k];
  if (k->inner)
    v = ex_add(s->c, before, v);
  else if (k->block)
    v = ex_mul(s->c, v, ex_idx(s->c, k->block));
  s->k_at[k->k] = v;
  return before;
}

static void k_loops(Emit *s, const TileAt *t, int level, unsigned done, bool border);

static void k_body(Emit *s, const TileAt *t, int level, const Expr *v, unsigned done, bool border) {
  KLoop *k = &s->loop[level];
  const Expr *before = set_k(s, k, v);
  Loop guard;
  // Between the outer and the inner loop over one variable its value is not known yet.
  if (k->block && !k->inner) {
    k_loops(s, t, level + 1, done, border);
  } else {
    if_begin(s, &guard, guards_here(s, &done));
    k_loops(s, t, level + 1, done, border);
    loop_end(s, &guard);
  }
  s->k_at[k->k] = before;
}

static void innermost(Emit *s, const TileAt *t, int level, unsigned done, bool border) {
  KLoop *k = &s->loop[level];
  Loop outer, inner;
  int u = unroll_of(k->extent);
  int64_t main = k->extent;
  if (u == 1 && k->extent > MAX_UNROLL) u = 4, main = k->extent / 4 * 4; // a prime number of steps
  const Expr *step = ex_idx(s->c, u);
  const Expr *ko = loop_begin(s, &outer, "k", LOOP_SERIAL, ex_idx(s->c, main / u));
  const Expr *ki = loop_begin(s, &inner, "ku", LOOP_UNROLL, step);
  k_body(s, t, level, ex_add(s->c, ex_mul(s->c, ko, step), ki), done, border);
  loop_end(s, &inner);
  loop_end(s, &outer);
  if (main == k->extent) return;
  const Expr *rest = loop_begin(s, &inner, "kr", LOOP_UNROLL, ex_idx(s->c, k->extent - main));
  k_body(s, t, level, ex_add(s->c, ex_idx(s->c, main), rest), done, border);
  loop_end(s, &inner);
}

// What is left of a K that blocks do not divide: the inside of one more block, shorter.
static void last_block(Emit *s, const TileAt *t, int level, unsigned done, bool border) {
  const KLoop *k = &s->loop[level];
  KLoop *inner = &s->loop[s->nloops - 1];
  int64_t rest = s->p->k_extent[k->k] % k->block;
  if (rest == 0) return;
  inner->extent = rest;
  k_body(s, t, level, ex_idx(s->c, k->extent), done, border);
  inner->extent = k->block;
}

static void k_loops(Emit *s, const TileAt *t, int level, unsigned done, bool border) {
  if (level == s->nloops) {
    multiply_add(s, t, done);
    return;
  }
  KLoop *k = &s->loop[level];
  if (level == s->nloops - 1 && !(border && decides_rows(s, k->k))) {
    innermost(s, t, level, done, border);
    return;
  }
  Loop loop;
  LoopKind kind = border && decides_rows(s, k->k) ? LOOP_UNROLL : LOOP_SERIAL;
  if (k->extent > 0) {
    const Expr *v = loop_begin(s, &loop, "k", kind, ex_idx(s->c, k->extent));
    k_body(s, t, level, v, done, border);
    loop_end(s, &loop);
  }
  if (k->block && !k->inner) last_block(s, t, level, done, border);
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
  Lane x;
  Loop mask;
  int lanes = s->tile.lanes;
  int64_t room = result_room(p);
  TileAt narrow = by_blocks(s, whole), *t = &narrow;
  enter_row(s, t, &x);
  enter_column(s, t, &x);
  if_begin(s, &mask, t->masked ? ex_binary(s->c, E_LT, s->at[p->lane], ex_idx(s->c, room)) : NULL);
  const Expr *index[] = {x.i, x.col}, *logical[MAX_RANK], *physical[MAX_PHYS_RANK];
  SumSwap swap = {p->sum, ex_read(s->c, t->acc, index, 2)};
  MaskReads reads = {s, t};
  const Expr *value = expr_rewrite(s->c, p->value, swap_sum, &swap);
  if (t->masked && room > p->dim[p->lane].extent) value = expr_rewrite(s->c, value, mask_read, &reads);
  value = place_reads(s, value);
  Value *out = p->stage->out;
  for (int i = 0; i < out->type.rank; i++) logical[i] = place(s, p->index[i]);
  int n = 1;
  if (p->joint)
    physical[0] = flat_offset(s->c, out, logical);
  else
    n = lower_index(s->l, out, logical, physical);
  lower_store(s->l, out, physical, n, STORE_SET, value);
  loop_end(s, &mask);
  leave_column(s, &x);
  leave_row(s, &x);
  s->tile.lanes = lanes;
}

static void emit_tile(Emit *s, TileAt t, bool border) {
  int64_t shape[] = {t.mr, (int64_t)t.nv * s->tile.lanes};
  t.acc = lower_alloc(s->l, "acc", SPACE_REG, DT_F32, 2, shape);
  clear_tile(s, &t);
  unsigned done = 0;
  Loop guard;
  if_begin(s, &guard, guards_here(s, &done));
  k_loops(s, &t, 0, done, border);
  loop_end(s, &guard);
  store_tile(s, &t);
}

// ---- rows -------------------------------------------------------------------------------------------------------

// Do all guards on the rows hold for the mr rows from row0 on, whatever K is?
static bool rows_inside(Emit *s, const Expr *row0, int mr) {
  const Var *i = var_new(s->c, "i", ex_idx(s->c, mr));
  s->at[s->p->tile] = ex_add(s->c, row0, ex_var(s->c, i));
  bool inside = true;
  for (int g = 0; g < s->nguards && inside; g++)
    if (expr_uses_var(s->c, s->guard[g], s->p->dim[s->p->tile].var)) inside = is_true(place(s, s->guard[g]));
  s->at[s->p->tile] = NULL;
  return inside;
}

// `count` tiles of mr rows from row `first` on, as one loop; border: each by itself with its row a constant.
static void run_of_tiles(Emit *s, TileAt t, int64_t first, int64_t count, int mr, bool border) {
  t.mr = mr;
  if (!border) {
    Loop loop;
    const Expr *n = loop_begin(s, &loop, "tile", LOOP_SERIAL, ex_idx(s->c, count));
    t.row0 = ex_add(s->c, ex_idx(s->c, first), ex_mul(s->c, n, ex_idx(s->c, mr)));
    emit_tile(s, t, false);
    loop_end(s, &loop);
    return;
  }
  for (int64_t n = 0; n < count; n++) {
    t.row0 = ex_idx(s->c, first + n * mr);
    emit_tile(s, t, true);
  }
}

// Tiles of one size: those that touch the padding by themselves, the others in a loop.
static void tiles_of_size(Emit *s, TileAt t, int64_t first, int64_t count, int mr) {
  int64_t lo = 0, hi = count;
  while (lo < count && !rows_inside(s, ex_idx(s->c, first + lo * mr), mr)) lo++;
  while (hi > lo && !rows_inside(s, ex_idx(s->c, first + (hi - 1) * mr), mr)) hi--;
  bool clean = true; // a hole in the middle would need a guard
  for (int64_t n = lo; n < hi && clean; n++) clean = rows_inside(s, ex_idx(s->c, first + n * mr), mr);
  if (!clean || lo + count - hi > MAX_BORDER_TILES) {
    run_of_tiles(s, t, first, count, mr, false);
    return;
  }
  run_of_tiles(s, t, first, lo, mr, true);
  if (hi > lo) run_of_tiles(s, t, first + lo * mr, hi - lo, mr, false);
  run_of_tiles(s, t, first + hi * mr, count - hi, mr, true);
}

static void all_rows(Emit *s, TileAt t, int64_t extent) {
  RowSplit r = row_split(extent, s->tile.mr);
  tiles_of_size(s, t, 0, r.big, r.mr);
  if (r.small > 0) tiles_of_size(s, t, r.big * r.mr, r.small, r.mr - 1);
}

// Tile number n of the block, if it is one of the `count` tiles of mr rows that begin with number `first` at
// row `row`. A condition, not bounds of the loop: so the verifier sees that the rows exist.
static void tile_of_size(Emit *s, TileAt t, const Expr *n, int64_t first, int64_t count, int64_t row,
                         int mr) {
  Ctx *c = s->c;
  if (count == 0) return;
  Loop from, to;
  if_begin(s, &from, ex_binary(c, E_LE, ex_idx(c, first), n));
  if_begin(s, &to, ex_binary(c, E_LT, n, ex_idx(c, first + count)));
  t.mr = mr;
  t.row0 = ex_add(c, ex_idx(c, row), ex_mul(c, ex_sub(c, n, ex_idx(c, first)), ex_idx(c, mr)));
  emit_tile(s, t, false);
  loop_end(s, &to);
  loop_end(s, &from);
}

static void block_rows(Emit *s, TileAt t, int64_t extent, const Expr *block) {
  Ctx *c = s->c;
  RowSplit r = row_split(extent, s->tile.mr);
  Loop loop;
  const Expr *i = loop_begin(s, &loop, "tile", LOOP_SERIAL, ex_idx(c, s->tile.rows));
  const Expr *n = ex_add(c, ex_mul(c, block, ex_idx(c, s->tile.rows)), i);
  tile_of_size(s, t, n, 0, r.big, 0, r.mr);
  tile_of_size(s, t, n, r.big, r.small, r.big * r.mr, r.mr - 1);
  loop_end(s, &loop);
}

// A tile dim whose extent is known at run time: whole tiles, then single rows.
static void symbolic_rows(Emit *s, TileAt t, const Expr *extent) {
  Ctx *c = s->c;
  const Expr *mr = ex_idx(c, s->tile.mr), *whole = ex_binary(c, E_FDIV, extent, mr);
  Loop loop;
  const Expr *n = loop_begin(s, &loop, "tile", LOOP_SERIAL, whole);
  t.mr = s->tile.mr;
  t.row0 = ex_mul(c, n, mr);
  emit_tile(s, t, false);
  loop_end(s, &loop);
  if (s->tile.mr == 1) return;
  n = loop_begin(s, &loop, "row", LOOP_SERIAL, ex_binary(c, E_MOD, extent, mr));
  t.mr = 1;
  t.row0 = ex_add(c, ex_mul(c, whole, mr), n);
  emit_tile(s, t, false);
  loop_end(s, &loop);
}

static bool rows_in_blocks(const Emit *s) {
  const Product *p = s->p;
  if (p->tile < 0 || !p->dim[p->tile].fixed || s->tile.rows == 0 || s->nguards > 0) return false;
  RowSplit r = row_split(p->dim[p->tile].extent, s->tile.mr);
  return r.big + r.small > s->tile.rows;
}

static int64_t row_blocks(const Emit *s) {
  if (!rows_in_blocks(s)) return 1;
  RowSplit r = row_split(s->p->dim[s->p->tile].extent, s->tile.mr);
  return ceil_div(r.big + r.small, s->tile.rows);
}

static void emit_rows(Emit *s, TileAt t, const Expr *block) {
  const Product *p = s->p;
  if (p->tile < 0) {
    t.mr = 1;
    t.row0 = ex_idx(s->c, 0);
    emit_tile(s, t, false);
  } else if (!p->dim[p->tile].fixed) {
    symbolic_rows(s, t, p->dim[p->tile].var->extent);
  } else if (rows_in_blocks(s)) {
    block_rows(s, t, p->dim[p->tile].extent, block);
  } else {
    all_rows(s, t, p->dim[p->tile].extent);
  }
}

// ---- columns and the parallel loop --------------------------------------------------------------------------------

static void emit_columns(Emit *s, const Expr *column, const Expr *block) {
  Ctx *c = s->c;
  int64_t extent = s->p->dim[s->p->lane].extent;
  int64_t width = (int64_t)s->tile.nv * s->tile.lanes, whole = extent / width, rest = extent % width;
  TileAt t = {.lane0 = ex_mul(c, column, ex_idx(c, width)), .nv = s->tile.nv};
  Loop branch;
  if (whole > 0) {
    if_begin(s, &branch, rest ? ex_binary(c, E_LT, column, ex_idx(c, whole)) : NULL);
    emit_rows(s, t, block);
    loop_end(s, &branch);
  }
  if (rest == 0) return;
  if_begin(s, &branch, ex_binary(c, E_EQ, column, ex_idx(c, whole)));
  t.lane0 = ex_idx(c, whole * width);
  t.nv = (int)ceil_div(rest, s->tile.lanes);
  t.masked = rest % s->tile.lanes != 0;
  emit_rows(s, t, block);
  loop_end(s, &branch);
}

// One index out of the parallel loop's counter, fastest first.
static const Expr *take_index(Ctx *c, const Expr **left, const Expr *extent) {
  const Expr *i = ex_binary(c, E_MOD, *left, extent);
  *left = ex_binary(c, E_FDIV, *left, extent);
  return i;
}

// The loops outside the tile in one parallel loop: batch and further M and N dims slowest; then, as the
// schedule says, columns around blocks of rows or the other way round.
static void emit_parallel(Emit *s) {
  Ctx *c = s->c;
  Product *p = s->p;
  const Expr *columns = ex_idx(c, ceil_div(p->dim[p->lane].extent, (int64_t)s->tile.nv * s->tile.lanes));
  const Expr *blocks = ex_idx(c, row_blocks(s)), *total = ex_mul(c, columns, blocks);
  for (int i = 0; i < p->ndims; i++)
    if (i != p->lane && i != p->tile) total = ex_mul(c, total, p->dim[i].var->extent);
  Loop loop;
  const Expr *left = loop_begin(s, &loop, "task", LOOP_PARALLEL, total), *block = NULL, *column = NULL;
  if (!s->tile.n_outer) column = take_index(c, &left, columns);
  block = take_index(c, &left, blocks);
  for (int pass = 0; pass < 2; pass++) { // rows of the image belong with the blocks, batch dims lie outside
    for (int i = p->ndims - 1; i >= 0; i--) {
      if (i == p->lane || i == p->tile || (p->dim[i].role == ROLE_M) != (pass == 0)) continue;
      s->at[i] = take_index(c, &left, p->dim[i].var->extent);
    }
    if (pass == 0 && s->tile.n_outer) column = take_index(c, &left, columns);
  }
  emit_columns(s, column, block);
  loop_end(s, &loop);
}

void product_emit_block(Lower *l, Product *p, const Tile *tile, const Expr *const *at, const Expr *first,
                        int64_t columns) {
  Emit s = {.l = l, .c = l->c, .p = p, .tile = *tile};
  s.tile.rows = 0;
  memcpy(s.at, at, (size_t)p->ndims * sizeof *at);
  s.nloops = product_k_loops(p, s.loop);
  Loop loop;
  const Expr *i = loop_begin(&s, &loop, "column", LOOP_SERIAL, ex_idx(l->c, columns));
  emit_columns(&s, ex_add(l->c, first, i), ex_idx(l->c, 0));
  loop_end(&s, &loop);
}

bool product_lower(Lower *l) {
  Product p;
  if (!product_match(l->m, l->k, &p)) return false;
  if (!l->careful) product_collapse(&p);
  Emit s = {.l = l, .c = l->c, .p = &p, .tile = tile_load(l->k)};
  if (p.guard) s.nguards = expr_conjuncts(p.guard, s.guard, MAX_CONJUNCTS);
  if (s.nguards < 0) return false;
  s.nloops = product_k_loops(&p, s.loop);
  if (s.nloops == 0) return false;
  emit_parallel(&s);
  return true;
}

// ---- choosing -------------------------------------------------------------------------------------------------------

// The kernel reads `to` instead of `from`.
static const Expr *swap_value(Ctx *c, const Expr *e, void *data) {
  Value **pair = data;
  return e->op == E_READ && e->value == pair[0] ? ex_read(c, pair[1], e->args, e->nargs) : e;
}

// Gives the constant the layout, or, where others use it too, a copy of its own.
static void pack_constant(Module *m, Node *n, Value *w, const Layout *layout) {
  if (layout_equal(w->layout, layout)) return;
  if (w->uses <= 1 && !w->layout) {
    w->layout = layout;
    return;
  }
  Value *copy = graph_const(n->graph, w->name, w->data, w->loc), *pair[] = {w, copy};
  copy->layout = layout;
  copy->uses = 1;
  w->uses--;
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] == w) n->in[i] = copy;
  Stage *s = &n->kernel->stages.data[0];
  s->value = expr_rewrite(m->ctx, s->value, swap_value, pair);
}

bool product_choose(Module *m, Node *n, const PassOptions *o) {
  Product p;
  if (o->opt_level < 2 || !product_match(m, n->kernel, &p)) return false;
  if (p.depthwise && p.tile < 0) return false;
  product_collapse(&p);
  KLoop loops[MAX_RANK + 4];
  if (product_k_loops(&p, loops) == 0) return false;
  Tile t = tile_choose(&p);
  const Layout *layout;
  if (product_pack(&p, &t, &layout)) pack_constant(m, n, product_read(p.b)->value, layout);
  tile_save(m->ctx, n->kernel, &t);
  return true;
}
