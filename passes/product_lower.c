// product_lower.c: the loops of a product around its tiles: rows, columns, blocks of K, the parallel loop.
// SPDX-License-Identifier: Apache-2.0
#include "passes/product_emit.h"

enum { MAX_BORDER_TILES = 12 }; // row tiles written out one by one because they touch the padding

// ---- rows -------------------------------------------------------------------------------------------------------

// Do all guards on the rows hold for the mr rows from row0 on, whatever K is?
static bool rows_inside(Emit *s, const Expr *row0, int mr) {
  const Var *i = var_new(s->c, "i", ex_idx(s->c, mr));
  s->at[s->p->tile] = ex_add(s->c, row0, ex_var(s->c, i));
  bool inside = true;
  for (int g = 0; g < s->nguards && inside; g++)
    if (expr_uses_var(s->c, s->guard[g], s->p->dim[s->p->tile].var))
      inside = product_is_true(product_place(s, s->guard[g]));
  s->at[s->p->tile] = NULL;
  return inside;
}

// `count` tiles of mr rows from row `first` on, the first of them number `number`, as one loop; border: each by
// itself with its row a constant.
static void run_of_tiles(Emit *s, TileAt t, int64_t number, int64_t first, int64_t count, int mr,
                         bool border) {
  t.mr = mr;
  if (!border) {
    EmitLoop loop;
    const Expr *n = emit_loop(s, &loop, "tile", LOOP_SERIAL, ex_idx(s->c, count));
    t.row0 = ex_add(s->c, ex_idx(s->c, first), ex_mul(s->c, n, ex_idx(s->c, mr)));
    t.number = ex_add(s->c, ex_idx(s->c, number), n);
    product_emit_tile(s, t, false);
    emit_end(s, &loop);
    return;
  }
  for (int64_t n = 0; n < count; n++) {
    t.row0 = ex_idx(s->c, first + n * mr);
    t.number = ex_idx(s->c, number + n);
    product_emit_tile(s, t, true);
  }
}

// Tiles of one size: those that touch the padding by themselves, the others in a loop.
static void tiles_of_size(Emit *s, TileAt t, int64_t number, int64_t first, int64_t count, int mr) {
  int64_t lo = 0, hi = count;
  while (lo < count && !rows_inside(s, ex_idx(s->c, first + lo * mr), mr)) lo++;
  while (hi > lo && !rows_inside(s, ex_idx(s->c, first + (hi - 1) * mr), mr)) hi--;
  bool clean = true; // a hole in the middle would need a guard
  for (int64_t n = lo; n < hi && clean; n++) clean = rows_inside(s, ex_idx(s->c, first + n * mr), mr);
  if (!clean || lo + count - hi > MAX_BORDER_TILES) {
    run_of_tiles(s, t, number, first, count, mr, false);
    return;
  }
  run_of_tiles(s, t, number, first, lo, mr, true);
  if (hi > lo) run_of_tiles(s, t, number + lo, first + lo * mr, hi - lo, mr, false);
  run_of_tiles(s, t, number + hi, first + hi * mr, count - hi, mr, true);
}

static void all_rows(Emit *s, TileAt t, int64_t extent) {
  RowSplit r = row_split(extent, s->tile.mr);
  tiles_of_size(s, t, 0, 0, r.big, r.mr);
  if (r.small > 0) tiles_of_size(s, t, r.big, r.big * r.mr, r.small, r.mr - 1);
}

// Tile number n of the block, if it is one of the `count` tiles of mr rows that begin with number `first` at
// row `row`. A condition, not bounds of the loop: so the verifier sees that the rows exist.
static void tile_of_size(Emit *s, TileAt t, const Expr *n, int64_t first, int64_t count, int64_t row,
                         int mr) {
  Ctx *c = s->c;
  if (count == 0) return;
  EmitLoop from, to;
  emit_if(s, &from, ex_binary(c, E_LE, ex_idx(c, first), n));
  emit_if(s, &to, ex_binary(c, E_LT, n, ex_idx(c, first + count)));
  t.mr = mr;
  t.row0 = ex_add(c, ex_idx(c, row), ex_mul(c, ex_sub(c, n, ex_idx(c, first)), ex_idx(c, mr)));
  product_emit_tile(s, t, false);
  emit_end(s, &to);
  emit_end(s, &from);
}

static void block_rows(Emit *s, TileAt t, int64_t extent, const Expr *block) {
  Ctx *c = s->c;
  RowSplit r = row_split(extent, s->tile.mr);
  EmitLoop loop;
  const Expr *i = emit_loop(s, &loop, "tile", LOOP_SERIAL, ex_idx(c, s->tile.rows));
  const Expr *n = ex_add(c, ex_mul(c, block, ex_idx(c, s->tile.rows)), i);
  t.number = i;
  tile_of_size(s, t, n, 0, r.big, 0, r.mr);
  tile_of_size(s, t, n, r.big, r.small, r.big * r.mr, r.mr - 1);
  emit_end(s, &loop);
}

static int largest_divisor(int n) {
  for (int d = n / 2; d > 1; d--)
    if (n % d == 0) return d;
  return 1;
}

// A tile dim whose extent is known at run time: whole tiles, then for the rest ever smaller ones, each size a
// divisor of the one before.
static void symbolic_rows(Emit *s, TileAt t, const Expr *extent) {
  Ctx *c = s->c;
  const Expr *whole = ex_binary(c, E_FDIV, extent, ex_idx(c, s->tile.mr));
  EmitLoop loop, inside;
  const Expr *n = emit_loop(s, &loop, "tile", LOOP_SERIAL, whole);
  t.mr = s->tile.mr;
  t.row0 = ex_mul(c, n, ex_idx(c, t.mr));
  t.number = n;
  product_emit_tile(s, t, false);
  emit_end(s, &loop);
  for (int size = s->tile.mr, before = 0; size > 1; size = t.mr) {
    const Expr *first = ex_mul(c, ex_binary(c, E_FDIV, extent, ex_idx(c, size)), ex_idx(c, size));
    t.mr = largest_divisor(size);
    n = emit_loop(s, &loop, "rest", LOOP_SERIAL, ex_idx(c, size / t.mr - 1));
    t.row0 = ex_add(c, first, ex_mul(c, n, ex_idx(c, t.mr)));
    t.number = ex_add(c, ex_add(c, whole, ex_idx(c, before)), n);
    emit_if(s, &inside, ex_binary(c, E_LE, ex_add(c, t.row0, ex_idx(c, t.mr)), extent));
    product_emit_tile(s, t, false);
    emit_end(s, &inside);
    emit_end(s, &loop);
    before += size / t.mr - 1;
  }
}

int64_t product_row_tiles(const Product *p, const Tile *tile) {
  if (p->tile < 0) return 1;
  RowSplit r = row_split(p->dim[p->tile].extent, tile->mr);
  return r.big + r.small + (p->dim[p->tile].fixed ? 0 : tile->mr);
}

static int64_t row_tiles(const Emit *s) {
  return product_row_tiles(s->p, &s->tile);
}

static bool rows_in_blocks(const Emit *s) {
  const Product *p = s->p;
  if (p->tile < 0 || !p->dim[p->tile].fixed || s->tile.rows == 0 || s->nguards > 0) return false;
  return row_tiles(s) > s->tile.rows;
}

static int64_t row_blocks(const Emit *s) {
  return rows_in_blocks(s) ? ceil_div(row_tiles(s), s->tile.rows) : 1;
}

static void emit_rows(Emit *s, TileAt t, const Expr *block) {
  Product *p = s->p;
  const Expr *b = p->b;
  if (product_unpacks(s)) product_unpack_panel(s, &t);
  if (p->tile < 0 || s->single) {
    t.mr = 1;
    t.row0 = t.number = ex_idx(s->c, 0);
    product_emit_tile(s, t, false);
  } else if (!p->dim[p->tile].fixed) {
    symbolic_rows(s, t, p->dim[p->tile].var->extent);
  } else if (rows_in_blocks(s)) {
    block_rows(s, t, p->dim[p->tile].extent, block);
  } else {
    all_rows(s, t, p->dim[p->tile].extent);
  }
  p->b = b;
}

// ---- columns and the parallel loop --------------------------------------------------------------------------------

static int64_t column_count(const Emit *s) {
  return ceil_div(s->p->dim[s->p->lane].extent, (int64_t)s->tile.nv * s->tile.lanes);
}

// Column number `column` of `nv` vectors, which is number `in_group` of the parallel iteration.
static void emit_columns(Emit *s, int nv, const Expr *column, const Expr *in_group, const Expr *block) {
  Ctx *c = s->c;
  int64_t extent = s->p->dim[s->p->lane].extent;
  int64_t width = (int64_t)nv * s->tile.lanes, whole = extent / width, rest = extent % width;
  TileAt t = {.lane0 = ex_mul(c, column, ex_idx(c, width)), .nv = nv, .column = in_group};
  EmitLoop branch;
  if (whole > 0) {
    emit_if(s, &branch, rest ? ex_binary(c, E_LT, column, ex_idx(c, whole)) : NULL);
    emit_rows(s, t, block);
    emit_end(s, &branch);
  }
  if (rest == 0) return;
  emit_if(s, &branch, ex_binary(c, E_EQ, column, ex_idx(c, whole)));
  t.lane0 = ex_idx(c, whole * width);
  t.nv = (int)ceil_div(rest, s->tile.lanes);
  t.masked = rest % s->tile.lanes != 0;
  emit_rows(s, t, block);
  emit_end(s, &branch);
}

// One index out of the parallel loop's counter, fastest first.
static const Expr *take_index(Ctx *c, const Expr **left, const Expr *extent) {
  const Expr *i = ex_binary(c, E_MOD, *left, extent);
  *left = ex_binary(c, E_FDIV, *left, extent);
  return i;
}

// Number of rows, if a single one goes through all columns of the group at once; NULL: it does not.
static const Expr *wide_rows(const Emit *s) {
  const Product *p = s->p;
  int64_t lo, hi;
  bool plain = s->tile.wide && s->nguards == 0 && !p->depthwise && s->blocks.count == 1;
  if (!plain || p->tile < 0) return plain ? ex_idx(s->c, 1) : NULL;
  const Expr *rows = p->dim[p->tile].var->extent;
  return expr_bounds(s->c, rows, NULL, &lo, &hi) && lo >= 1 ? rows : NULL;
}

// The columns of a parallel iteration for a single row, and an open branch for more rows; false: there are none.
static bool emit_wide(Emit *s, const Expr *group, const Expr *block, LowerMark *more) {
  Ctx *c = s->c;
  const Expr *one = ex_idx(c, 1), *rows = wide_rows(s);
  int64_t n;
  EmitLoop loop, inside;
  Tile tile = s->tile;
  Ahead ahead = s->ahead;
  bool open = !expr_is_const_int(rows, &n);
  if (!open && n > 1) return true;
  if (open) lower_if(s->l, ex_binary(c, E_EQ, rows, one), more);
  s->tile.mr = 1;
  s->ahead.lines = 0;
  s->single = true;
  if (s->tile.round && product_fields(s->p, s->tile.round, &s->rounded)) product_round_row(s);
  int64_t all = ceil_div(column_count(s), s->tile.cols), span = s->tile.span;
  const Expr *i = emit_loop(s, &loop, "group", LOOP_SERIAL, ex_idx(c, span));
  const Expr *at = ex_add(c, ex_mul(c, group, ex_idx(c, span)), i);
  emit_if(s, &inside, all % span ? ex_binary(c, E_LT, at, ex_idx(c, all)) : NULL);
  emit_columns(s, s->tile.nv * s->tile.cols, at, ex_idx(c, 0), block);
  emit_end(s, &inside);
  emit_end(s, &loop);
  s->rounded = (Rounded){0};
  s->single = false;
  s->tile = tile;
  s->ahead = ahead;
  if (open) lower_else(s->l, more);
  return open;
}

// The columns of one parallel iteration, as often as there are blocks of K.
static void emit_group(Emit *s, const Expr *group, const Expr *block) {
  Ctx *c = s->c;
  int64_t columns = column_count(s), cols = (int64_t)s->tile.cols * s->tile.span;
  KBlocks *b = &s->blocks;
  EmitLoop blocks, loop, inside;
  LowerMark wide = {0};
  bool branches = wide_rows(s) != NULL;
  if (branches && !emit_wide(s, group, block, &wide)) return;
  if (b->count > 1) {
    int64_t rows = rows_in_blocks(s) ? s->tile.rows : row_tiles(s);
    int64_t shape[] = {cols, rows, s->tile.mr, (int64_t)s->tile.nv * s->tile.lanes};
    b->sums = lower_alloc(s->l, "sums", SPACE_SCRATCH, DT_F32, 4, shape);
    b->at = emit_loop(s, &blocks, "kb", LOOP_SERIAL, ex_idx(c, b->count));
  }
  s->ahead.steps = product_k_steps(s);
  const Expr *i = emit_loop(s, &loop, "column", LOOP_SERIAL, ex_idx(c, cols));
  const Expr *column = ex_add(c, ex_mul(c, group, ex_idx(c, cols)), i);
  emit_if(s, &inside, columns % cols ? ex_binary(c, E_LT, column, ex_idx(c, columns)) : NULL);
  emit_columns(s, s->tile.nv, column, i, block);
  emit_end(s, &inside);
  emit_end(s, &loop);
  if (b->count > 1) emit_end(s, &blocks);
  if (wide.inside) lower_end(s->l, &wide);
}

// Tiles of rows before this parallel iteration, in the order in which they use a column's panel.
static const Expr *tiles_before(const Emit *s, const Expr *block) {
  Ctx *c = s->c;
  const Expr *rows = ex_idx(c, 0);
  for (int i = 0; i < s->p->ndims; i++)
    if (i != s->p->lane && i != s->p->tile && s->p->dim[i].role == ROLE_M)
      rows = ex_add(c, ex_mul(c, rows, s->p->dim[i].var->extent), s->at[i]);
  rows = ex_mul(c, rows, ex_idx(c, row_tiles(s)));
  return rows_in_blocks(s) ? ex_add(c, rows, ex_mul(c, block, ex_idx(c, s->tile.rows))) : rows;
}

// The loops outside the tile in one parallel loop: batch and further M and N dims slowest; then, as the
// schedule says, columns around blocks of rows or the other way round.
static void emit_parallel(Emit *s) {
  Ctx *c = s->c;
  Product *p = s->p;
  const Expr *groups = ex_idx(c, ceil_div(column_count(s), (int64_t)s->tile.cols * s->tile.span));
  const Expr *blocks = ex_idx(c, row_blocks(s)), *total = ex_mul(c, groups, blocks);
  for (int i = 0; i < p->ndims; i++)
    if (i != p->lane && i != p->tile) total = ex_mul(c, total, p->dim[i].var->extent);
  EmitLoop loop;
  const Expr *left = emit_loop(s, &loop, "task", LOOP_PARALLEL, total), *block = NULL, *group = NULL;
  if (!s->tile.n_outer) group = take_index(c, &left, groups);
  block = take_index(c, &left, blocks);
  for (int pass = 0; pass < 2; pass++) { // rows of the image belong with the blocks, batch dims lie outside
    for (int i = p->ndims - 1; i >= 0; i--) {
      if (i == p->lane || i == p->tile || (p->dim[i].role == ROLE_M) != (pass == 0)) continue;
      s->at[i] = take_index(c, &left, p->dim[i].var->extent);
    }
    if (pass == 0 && s->tile.n_outer) group = take_index(c, &left, groups);
  }
  s->ahead.first = s->tile.cols > 1 || !s->tile.n_outer ? ex_idx(c, 0) : tiles_before(s, block);
  emit_group(s, group, block);
  emit_end(s, &loop);
}

void product_emit_block(Lower *l, Product *p, const Tile *tile, const Expr *const *at, const Expr *first,
                        int64_t columns, const ProductInside *inside) {
  Emit s = {.l = l, .c = l->c, .p = p, .tile = *tile, .inside = *inside};
  s.tile.rows = 0;
  memcpy(s.at, at, (size_t)p->ndims * sizeof *at);
  s.nloops = product_k_loops(p, s.loop);
  s.ahead = (Ahead){tile->ahead, product_k_steps(&s), ex_idx(l->c, 0)};
  EmitLoop loop, exists;
  const Expr *i = emit_loop(&s, &loop, "column", LOOP_SERIAL, ex_idx(l->c, columns)),
             *column = ex_add(l->c, first, i);
  emit_if(&s, &exists, ex_binary(l->c, E_LT, column, ex_idx(l->c, column_count(&s))));
  emit_columns(&s, tile->nv, column, i, ex_idx(l->c, 0));
  emit_end(&s, &exists);
  emit_end(&s, &loop);
}

// Is the vector operand a constant whose panels lie behind one another?
static bool is_packed(const Emit *s) {
  const Expr *b = s->p->b;
  return b->op == E_READ && b->value->data && b->value->layout;
}

// The schedule's blocks of K, if they are of one size and no border needs the whole of K in constants.
static KBlocks k_blocks(const Emit *s) {
  int64_t extent = s->loop[0].extent, size = s->tile.kc;
  bool whole = s->loop[0].block == 0 || extent * s->loop[0].block == s->p->k_extent[s->loop[0].k];
  bool fits = size > 0 && size < extent && extent % size == 0 && whole && s->nguards == 0 && !s->p->depthwise;
  return fits ? (KBlocks){.count = extent / size, .size = size} : (KBlocks){.count = 1, .size = extent};
}

// Is the operand made of constants in which nothing is infinite or NaN?
static bool is_finite(Ctx *c, const Expr *operand) {
  const Expr **reads;
  int n = expr_read_list(c, operand, &reads);
  for (int i = 0; i < n; i++)
    if (!const_is_finite(reads[i]->value)) return false;
  return true;
}

bool product_lower(Lower *l) {
  Product p;
  if (!product_match(l->m, l->k, &p)) return false;
  p.in_order = l->o->fp_strict;
  if (!l->careful) product_collapse(&p);
  Emit s = {.l = l, .c = l->c, .p = &p, .tile = tile_load(&l->k->schedule)};
  if (p.guard) s.nguards = expr_conjuncts(p.guard, s.guard, MAX_CONJUNCTS);
  if (s.nguards < 0) return false;
  s.finite = s.nguards == 0 || is_finite(l->c, p.a);
  s.nloops = product_k_loops(&p, s.loop);
  if (s.nloops == 0) return false;
  s.blocks = k_blocks(&s);
  s.ahead.lines = is_packed(&s) ? s.tile.ahead : 0;
  emit_parallel(&s);
  return true;
}
