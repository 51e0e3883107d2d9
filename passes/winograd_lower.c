// winograd_lower.c: the loops of Winograd convolutions.
// SPDX-License-Identifier: Apache-2.0
#include "passes/winograd_impl.h"

// ---- places ---------------------------------------------------------------------------------------------------

static const Expr *idx(const Winograd *w, int64_t v) {
  return ex_idx(w->c, v);
}

// First output row and column of tile t, and its image.
typedef struct TilePlace {
  const Expr *n, *row, *col;
} TilePlace;

static TilePlace place_tile(const Winograd *w, const Expr *t) {
  Ctx *c = w->c;
  const Expr *per_image = idx(w, w->tiles_h * w->tiles_w), *m = idx(w, w->f.m);
  const Expr *in_image = ex_binary(c, E_MOD, t, per_image);
  return (TilePlace){ex_binary(c, E_FDIV, t, per_image),
                     ex_mul(c, ex_binary(c, E_FDIV, in_image, idx(w, w->tiles_w)), m),
                     ex_mul(c, ex_binary(c, E_MOD, in_image, idx(w, w->tiles_w)), m)};
}

// e at output (row, col), tap (0, 0) and channel `ch` of the input.
static const Expr *at_input(const Winograd *w, const Expr *e, const TilePlace *t, const Expr *ch, int i,
                            int j) {
  const Product *p = &w->p;
  int ci = 3 - w->kh - w->kw;
  const Var *vars[] = {p->dim[w->oh].var, p->dim[w->ow].var, p->k_var[w->kh],
                       p->k_var[w->kw],   p->k_var[ci],      w->n < 0 ? p->k_var[ci] : p->dim[w->n].var};
  const Expr *with[] = {t->row, t->col, idx(w, i), idx(w, j), ch, t->n};
  return expr_subst(w->c, e, vars, with, w->n < 0 ? 5 : 6);
}

// A loop and the place after it.
typedef struct Loop {
  LowerMark mark;
} Loop;

static const Expr *loop_begin(Winograd *w, Loop *loop, const char *name, LoopKind kind, const Expr *extent) {
  const Var *v = var_new(w->c, name, extent);
  lower_for(w->l, v, kind, &loop->mark);
  return ex_var(w->c, v);
}

static void loop_end(Winograd *w, Loop *loop) {
  lower_end(w->l, &loop->mark);
}

// A branch, unless its condition is known to hold.
typedef struct Branch {
  LowerMark mark;
  bool open;
} Branch;

static void branch_begin(Winograd *w, Branch *b, const Expr *cond) {
  int64_t known;
  b->open = !expr_is_const_int(cond, &known) || known == 0;
  if (b->open) lower_if(w->l, cond, &b->mark);
}

static void branch_end(Winograd *w, Branch *b) {
  if (b->open) lower_end(w->l, &b->mark);
}

// ---- input transform ------------------------------------------------------------------------------------------

static void transform_input(Winograd *w, const TilePlace *t, const Expr *local, const Expr *block,
                            bool inside) {
  Ctx *c = w->c;
  int a = w->f.a;
  Transform tr = {c, &w->f, w->l->target->fma};
  const Expr *half[WINOGRAD_MAX][WINOGRAD_MAX];
  Loop vec;
  const Expr *v = loop_begin(w, &vec, "v", LOOP_VECTOR, idx(w, w->lanes_in));
  const Expr *ch = ex_add(c, ex_mul(c, block, idx(w, w->lanes_in)), v);
  for (int j = 0; j < a; j++) {
    const Expr *d[WINOGRAD_MAX], *y[WINOGRAD_MAX];
    for (int i = 0; i < a; i++) {
      const Expr *x = at_input(w, w->x, t, ch, i, j);
      const Expr *read = lower_reads(w->l, x);
      if (!inside)
        read = ex_guard(c, winograd_inside(w, x->args[IN_H], x->args[IN_W]), read, ex_num(c, DT_F32, 0));
      d[i] = lower_let(w->l, "d", read);
    }
    winograd_input(&tr, d, y);
    for (int i = 0; i < a; i++) half[i][j] = lower_let(w->l, "h", y[i]);
  }
  for (int i = 0; i < a; i++) {
    const Expr *y[WINOGRAD_MAX];
    winograd_input(&tr, half[i], y);
    for (int j = 0; j < a; j++) {
      const Expr *index[] = {idx(w, i * a + j), local, ch}, *at[MAX_PHYS_RANK];
      int n = lower_index(w->l, w->v, index, at);
      lower_store(w->l, w->v, at, n, STORE_SET, y[j]);
    }
  }
  loop_end(w, &vec);
}

// Does the whole square of inputs lie inside the image?
static const Expr *square_inside(Winograd *w, const TilePlace *t) {
  const Expr *zero = idx(w, 0);
  const Expr *first = at_input(w, w->x, t, zero, 0, 0),
             *last = at_input(w, w->x, t, zero, w->f.a - 1, w->f.a - 1);
  return ex_binary(w->c, E_AND, winograd_inside(w, first->args[IN_H], first->args[IN_W]),
                   winograd_inside(w, last->args[IN_H], last->args[IN_W]));
}

static void input_step(Winograd *w, const Expr *first, const Expr *count) {
  Loop blocks, tiles;
  LowerMark branch;
  const Expr *block = loop_begin(w, &blocks, "cb", LOOP_SERIAL, idx(w, w->ci / w->lanes_in));
  const Expr *local = loop_begin(w, &tiles, "t", LOOP_SERIAL, count);
  TilePlace t = place_tile(w, ex_add(w->c, first, local));
  lower_if(w->l, square_inside(w, &t), &branch);
  transform_input(w, &t, local, block, true);
  lower_else(w->l, &branch);
  transform_input(w, &t, local, block, false);
  lower_end(w->l, &branch);
  loop_end(w, &tiles);
  loop_end(w, &blocks);
}

// ---- products ---------------------------------------------------------------------------------------------------

// A further constant of the node. The weights stay: they are what the kernel's definition reads.
static Value *add_weights(Winograd *w, const Tensor *t) {
  Node *n = w->l->node;
  const Value *from = w->w->value;
  Value *u = graph_const(n->graph, arena_printf(w->c->arena, "%s.winograd", from->name), t, from->loc);
  Value **in = NEW_ARRAY(w->c->arena, Value *, n->nin + 1);
  memcpy(in, n->in, (size_t)n->nin * sizeof *in);
  in[n->nin++] = u;
  n->in = in;
  return u;
}

// The product of one point: M[p, t, co] = sum(ci) V[p, t, first + ci] * U[p, co, ci], for `co` channels and `ci` of K.
static void make_product(Winograd *w, Value *u, int64_t co, int64_t ci, const Expr *first, Stage *stage,
                         Product *q) {
  Ctx *c = w->c;
  int64_t points = w->f.a * w->f.a;
  int64_t extent[] = {points, w->block, co};
  static const char *const names[] = {"p", "t", "co"};
  static const Role roles[] = {ROLE_BATCH, ROLE_M, ROLE_N};
  *q = (Product){
      .c = c, .k = w->p.k, .stage = stage, .target = w->p.target, .ndims = 3, .nk = 1, .lane = 2, .tile = 1};
  for (int i = 0; i < 3; i++) {
    q->dim[i] = (ProductDim){var_new(c, names[i], idx(w, extent[i])), extent[i], true, roles[i], i};
    q->index[i] = ex_var(c, q->dim[i].var);
  }
  q->k_var[0] = var_new(c, "ci", idx(w, ci));
  q->k_extent[0] = ci;
  const Expr *k = ex_var(c, q->k_var[0]);
  q->a = ex_read(c, w->v, (const Expr *[]){q->index[0], q->index[1], ex_add(c, first, k)}, 3);
  q->b = ex_read(c, u, (const Expr *[]){q->index[0], q->index[2], k}, 3);
  q->sum = q->value = ex_reduce(c, R_SUM, &q->k_var[0], 1, ex_mul(c, q->a, q->b));
  *stage = (Stage){.out = w->m, .ndims = 3, .store = STORE_SET, .value = q->value};
}

// [point, tile, channel] with channels in blocks of lanes, the tiles of a block side by side.
static Value *scratch_tiles(Winograd *w, const char *name, int64_t channels, int lanes) {
  int64_t shape[] = {w->f.a * w->f.a, w->block, channels};
  Value *v = lower_alloc(w->l, name, SPACE_SCRATCH, DT_F32, 3, shape);
  LayoutPart part[] = {{.dim = 0, .div = 1},
                       {.dim = 2, .div = lanes},
                       {.dim = 1, .div = 1},
                       {.dim = 2, .div = 1, .mod = lanes}};
  int n = ARRAY_LEN(part);
  if (part[n - 1].mod == 1) n--; // no vectors: nothing lies side by side
  v->layout = layout_new(w->c, part, n);
  return v;
}

// ---- output transform ----------------------------------------------------------------------------------------------

// Epilogue and store of output (i, j) of the tile.
static void store_output(Winograd *w, const TilePlace *t, const Expr *ch, int i, int j, const Expr *y,
                         bool whole) {
  Ctx *c = w->c;
  const Product *p = &w->p;
  const Expr *row = ex_add(c, t->row, idx(w, i)), *col = ex_add(c, t->col, idx(w, j));
  LowerMark mark;
  bool check = !whole && (i > 0 || j > 0); // a tile's first output always exists
  if (check)
    lower_if(w->l,
             ex_binary(c, E_AND, ex_binary(c, E_LT, row, idx(w, w->height)),
                       ex_binary(c, E_LT, col, idx(w, w->width))),
             &mark);
  const Var *vars[] = {p->dim[w->oh].var, p->dim[w->ow].var, p->dim[p->lane].var,
                       w->n < 0 ? NULL : p->dim[w->n].var};
  const Expr *with[] = {row, col, ch, t->n}, *logical[MAX_RANK], *at[MAX_PHYS_RANK];
  int nvars = w->n < 0 ? 3 : 4;
  const Expr *value = expr_subst(c, expr_replace(c, p->value, p->sum, y), vars, with, nvars);
  Value *out = p->stage->out;
  for (int k = 0; k < out->type.rank; k++) logical[k] = expr_subst(c, p->index[k], vars, with, nvars);
  int n = lower_index(w->l, out, logical, at);
  lower_store(w->l, out, at, n, STORE_SET, lower_reads(w->l, value));
  if (check) lower_end(w->l, &mark);
}

// Vector number `vec` of M's channels, which begin with channel `first` of the output.
static void transform_output(Winograd *w, const TilePlace *t, const Expr *local, const Expr *first,
                             const Expr *vec, bool whole) {
  Ctx *c = w->c;
  int a = w->f.a, m = w->f.m;
  Transform tr = {c, &w->f, w->l->target->fma};
  const Expr *half[WINOGRAD_MAX][WINOGRAD_MAX];
  Loop lanes;
  const Expr *v = loop_begin(w, &lanes, "v", LOOP_VECTOR, idx(w, w->lanes_out));
  const Expr *ch = ex_add(c, ex_mul(c, vec, idx(w, w->lanes_out)), v);
  for (int j = 0; j < a; j++) {
    const Expr *d[WINOGRAD_MAX], *y[WINOGRAD_MAX];
    for (int i = 0; i < a; i++) {
      const Expr *index[] = {idx(w, i * a + j), local, ch}, *at[MAX_PHYS_RANK];
      int n = lower_index(w->l, w->m, index, at);
      d[i] = lower_let(w->l, "d", ex_read(c, w->m, at, n));
    }
    winograd_output(&tr, d, y);
    for (int i = 0; i < m; i++) half[i][j] = lower_let(w->l, "h", y[i]);
  }
  for (int i = 0; i < m; i++) {
    const Expr *y[WINOGRAD_MAX];
    winograd_output(&tr, half[i], y);
    for (int j = 0; j < m; j++) store_output(w, t, ex_add(c, first, ch), i, j, y[j], whole);
  }
  loop_end(w, &lanes);
}

// `vectors` vectors of M's channels from number `from` on, as far as there are any.
static void output_step(Winograd *w, const Expr *first, const Expr *count, const Expr *channel,
                        const Expr *from, int64_t vectors) {
  Ctx *c = w->c;
  Loop blocks, tiles;
  LowerMark branch;
  Branch inside;
  const Expr *vec = ex_add(c, from, loop_begin(w, &blocks, "cb", LOOP_SERIAL, idx(w, vectors)));
  branch_begin(w, &inside,
               ex_binary(c, E_LT, vec, idx(w, (w->stored ? w->co : vectors * w->lanes_out) / w->lanes_out)));
  const Expr *local = loop_begin(w, &tiles, "t", LOOP_SERIAL, count);
  TilePlace t = place_tile(w, ex_add(c, first, local));
  if (w->height % w->f.m == 0 && w->width % w->f.m == 0) {
    transform_output(w, &t, local, channel, vec, true);
  } else {
    const Expr *m = idx(w, w->f.m);
    lower_if(w->l,
             ex_binary(c, E_AND, ex_binary(c, E_LE, ex_add(c, t.row, m), idx(w, w->height)),
                       ex_binary(c, E_LE, ex_add(c, t.col, m), idx(w, w->width))),
             &branch);
    transform_output(w, &t, local, channel, vec, true);
    lower_else(w->l, &branch);
    transform_output(w, &t, local, channel, vec, false);
    lower_end(w->l, &branch);
  }
  loop_end(w, &tiles);
  branch_end(w, &inside);
  loop_end(w, &blocks);
}

// Columns of tiles, and how many of them are one task's; the last task may have fewer.
static int64_t column_count(const Winograd *w) {
  return ceil_div(w->co, (int64_t)w->tile.nv * w->tile.lanes);
}

static int64_t split_columns(const Winograd *w) {
  return ceil_div(column_count(w), w->splits);
}

// ---- weights transformed on the way -------------------------------------------------------------------------------

// Weights in panels of a column of tiles, in which the filters of an input channel lie side by side.
static Value *add_panels(Winograd *w, int64_t width) {
  Value *u = add_weights(w, w->w->value->data);
  LayoutPart part[] = {{.dim = 0, .div = width},
                       {.dim = 1, .div = 1},
                       {.dim = 2, .div = 1},
                       {.dim = 3, .div = 1},
                       {.dim = 0, .div = 1, .mod = width}};
  u->layout = layout_new(w->c, part, ARRAY_LEN(part));
  return u;
}

// [point, channel of the column, channel of the block of K]: one row more than the block, so that the points lie in
// different sets of the first-level cache.
static Value *scratch_weights(Winograd *w, int64_t width, int64_t k) {
  int64_t shape[] = {w->f.a * w->f.a, width, k + 1};
  Value *u = lower_alloc(w->l, "U", SPACE_SCRATCH, DT_F32, 3, shape);
  LayoutPart part[] = {{.dim = 0, .div = 1}, {.dim = 2, .div = 1}, {.dim = 1, .div = 1}};
  u->layout = layout_new(w->c, part, ARRAY_LEN(part));
  return u;
}

// U[p, v, k] = (G g G^T)[p] for lanes v of vector `vec` of the column that begins with channel co0, and channel ci0 + k.
static void transform_filters(Winograd *w, Value *from, Value *u, const Expr *co0, const Expr *ci0,
                              const Expr *vec, const Expr *k) {
  Ctx *c = w->c;
  int a = w->f.a;
  Transform tr = {c, &w->f, w->l->target->fma};
  const Expr *half[WINOGRAD_MAX][3], *y[WINOGRAD_MAX];
  Loop lanes;
  const Expr *v = loop_begin(w, &lanes, "v", LOOP_VECTOR, idx(w, w->lanes_out));
  const Expr *column = ex_add(c, ex_mul(c, vec, idx(w, w->lanes_out)), v);
  for (int j = 0; j < 3; j++) {
    const Expr *g[3];
    for (int i = 0; i < 3; i++) {
      const Expr *index[] = {ex_add(c, co0, column), ex_add(c, ci0, k), idx(w, i), idx(w, j)};
      g[i] = lower_let(w->l, "g", lower_reads(w->l, ex_read(c, from, index, 4)));
    }
    winograd_filter(&tr, g, y);
    for (int i = 0; i < a; i++) half[i][j] = lower_let(w->l, "h", y[i]);
  }
  for (int i = 0; i < a; i++) {
    winograd_filter(&tr, half[i], y);
    for (int j = 0; j < a; j++) {
      const Expr *index[] = {idx(w, i * a + j), column, k}, *at[MAX_PHYS_RANK];
      int n = lower_index(w->l, u, index, at);
      lower_store(w->l, u, at, n, STORE_SET, y[j]);
    }
  }
  loop_end(w, &lanes);
}

// The tile's columns must divide the channels.
static void fit_columns(Winograd *w) {
  Tile *t = &w->tile;
  int64_t vectors = w->co / w->lanes_out;
  t->lanes = w->lanes_out;
  while (vectors % t->nv) t->nv--;
  while (tile_fits(w->p.target, t->mr + 1, t->nv, false) && t->mr < w->block) t->mr++;
  t->mr = row_split(w->block, t->mr).mr;
}

// Channels of one block of K: whole vectors of V, which divide the input channels, while the transformed weights take at
// most half of the second-level cache.
static int64_t block_of_k(const Winograd *w, int64_t width) {
  int64_t most = w->p.target->l2 / 2 / (w->f.a * w->f.a * width * 4), vectors = w->ci / w->lanes_in;
  for (int64_t parts = 1; parts < vectors; parts++)
    if (vectors % parts == 0 && w->ci / parts <= most) return w->ci / parts;
  return w->lanes_in;
}

enum { LINE = 16 }; // elements of a cache line

// `elements` elements from `at` on, prefetched by the tiles of `products` products.
static NextRead next_read(const Winograd *w, const Product *q, Value *of, const Expr *at, int64_t elements,
                          int64_t products) {
  int64_t tiles = product_row_tiles(q, &w->tile) * products;
  return (NextRead){of, at, ceil_div(ceil_div(elements, LINE), tiles)};
}

// While the products of one block run, the weights of the next one come, which lie right behind; while that of one
// point runs, the part of V that the next point reads.
static void read_ahead(Winograd *w, const Product *q, ProductInside *in, Value *panels, const Expr *number,
                       const Expr *p, const Expr *ci0) {
  Ctx *c = w->c;
  int64_t l2 = w->p.target->l2, points = w->f.a * w->f.a, k = q->k_extent[0],
          weights = 9 * k * q->dim[2].extent;
  if (type_bytes(&panels->type) > l2 / 2) {
    NextRead next = next_read(w, q, panels, NULL, weights, points);
    int64_t of_point = product_row_tiles(q, &w->tile) * next.lines * LINE;
    next.at =
        ex_add(c, ex_mul(c, ex_add(c, number, idx(w, 1)), idx(w, weights)), ex_mul(c, p, idx(w, of_point)));
    in->next[0] = next;
  }
  if (type_bytes(&w->v->type) > l2 / 2) {
    const Expr *after = ex_binary(c, E_MOD, ex_add(c, p, idx(w, 1)), idx(w, points));
    const Expr *at = ex_mul(c, ex_add(c, ex_mul(c, after, idx(w, w->ci)), ci0), idx(w, w->block));
    in->next[1] = next_read(w, q, w->v, at, k * w->block, 1);
  }
}

static void columns_with_transform(Winograd *w, const Expr *first, const Expr *count, const Expr *split) {
  Ctx *c = w->c;
  int64_t width = (int64_t)w->tile.nv * w->tile.lanes, k = block_of_k(w, width), blocks = w->ci / k;
  int64_t columns = split_columns(w);
  Value *panels = add_panels(w, width), *u = scratch_weights(w, width, k);
  Stage stage;
  Product q;
  Branch inside;
  Loop column_loop, k_loop, row_loop, vec_loop, point_loop;
  const Expr *column = loop_begin(w, &column_loop, "column", LOOP_SERIAL, idx(w, columns));
  column = ex_add(c, ex_mul(c, split, idx(w, columns)), column);
  branch_begin(w, &inside, ex_binary(c, E_LT, column, idx(w, column_count(w))));
  const Expr *channel = ex_mul(c, column, idx(w, width));
  const Expr *kb = loop_begin(w, &k_loop, "kb", LOOP_SERIAL, idx(w, blocks)), *ci0 = ex_mul(c, kb, idx(w, k));
  const Expr *row = loop_begin(w, &row_loop, "ci", LOOP_SERIAL, idx(w, k));
  const Expr *vec = loop_begin(w, &vec_loop, "cv", LOOP_SERIAL, idx(w, w->tile.nv));
  transform_filters(w, panels, u, channel, ci0, vec, row);
  loop_end(w, &vec_loop);
  loop_end(w, &row_loop);
  make_product(w, u, width, k, ci0, &stage, &q);
  const Expr *number = ex_add(c, ex_mul(c, column, idx(w, blocks)), kb);
  ProductInside in = {.resume = blocks > 1 ? ex_binary(c, E_LT, idx(w, 0), kb) : NULL};
  const Expr *p = loop_begin(w, &point_loop, "p", LOOP_SERIAL, idx(w, w->f.a * w->f.a)),
             *at[] = {p, NULL, NULL};
  read_ahead(w, &q, &in, panels, number, p, ci0);
  product_emit_block(w->l, &q, &w->tile, at, idx(w, 0), 1, &in);
  loop_end(w, &point_loop);
  loop_end(w, &k_loop);
  output_step(w, first, count, channel, idx(w, 0), w->tile.nv);
  branch_end(w, &inside);
  loop_end(w, &column_loop);
}

// ---- weights transformed at compile time --------------------------------------------------------------------------

static void all_columns(Winograd *w, Value *u, const Expr *first, const Expr *count, const Expr *split) {
  Ctx *c = w->c;
  Stage stage;
  Product q;
  Loop points;
  make_product(w, u, w->co, w->ci, idx(w, 0), &stage, &q);
  if (!product_pack(&q, &w->tile, product_read(q.b), &u->layout)) u->layout = NULL;
  const Expr *p = loop_begin(w, &points, "p", LOOP_SERIAL, idx(w, w->f.a * w->f.a)), *at[] = {p, NULL, NULL};
  int64_t columns = split_columns(w);
  ProductInside in = {0};
  product_emit_block(w->l, &q, &w->tile, at, ex_mul(c, split, idx(w, columns)), columns, &in);
  loop_end(w, &points);
  int64_t vectors = columns * w->tile.nv * (w->tile.lanes / w->lanes_out);
  output_step(w, first, count, idx(w, 0), ex_mul(c, split, idx(w, vectors)), vectors);
}

// ---- the whole ----------------------------------------------------------------------------------------------------

// Tasks of about 96 tiles, an even number of them so that two threads share the work. Where there are too few tiles for
// that, tasks share the output channels instead; where each task transforms weights, as long as one task holds all tiles.
static void set_blocks(Winograd *w, int64_t wanted) {
  int64_t blocks = ceil_div(w->tiles, WINOGRAD_BLOCK);
  if (blocks == 1 && w->stored && w->tiles >= 64) blocks = 2;
  if (blocks % 2 && blocks > 1) blocks++;
  w->block = wanted > 0 && wanted <= w->tiles ? wanted : ceil_div(w->tiles, blocks);
  w->splits = 1;
  w->lanes_in = winograd_lanes(w->p.target, w->ci);
  w->lanes_out = winograd_lanes(w->p.target, w->co);
}

bool winograd_lower(Lower *l) {
  Winograd w = {.l = l};
  int64_t m = schedule_get(l->k, "m", 4);
  if (!winograd_matrices(&w.f, (int)m) || !winograd_match(l->m, l->k, &w)) return false;
  winograd_set_form(&w, (int)m);
  w.stored = schedule_get(l->k, "stored", 1) != 0;
  set_blocks(&w, schedule_get(l->k, "block", 0));
  Ctx *c = w.c;
  Value *u = w.stored ? add_weights(&w, winograd_weights(c, &w.f, w.w->value->data)) : w.w->value;
  LowerMark task_mark;
  int64_t blocks = ceil_div(w.tiles, w.block);
  // The tile is chosen before the parallel loop is made: its extent depends on it.
  Stage stage;
  Product q;
  w.m = w.v = value_new(c, "V", type_make(DT_F32, 3, (int64_t[]){1, 1, 1}), l->loc);
  make_product(&w, u, w.co, w.ci, idx(&w, 0), &stage, &q);
  w.tile = tile_choose(&q);
  if (!w.stored) fit_columns(&w);
  bool far = w.stored && type_bytes(&u->type) > l->target->l2 / 2;
  w.tile.ahead = far ? tile_ahead(&q, &w.tile, ceil_div(w.block, w.tile.mr)) : 0;
  w.splits = schedule_get(l->k, "splits", w.block == w.tiles ? 2 : 1);
  if (w.splits < 1 || w.splits > column_count(&w)) w.splits = 1;
  const Var *task = var_new(c, "task", idx(&w, blocks * w.splits));
  lower_for(l, task, LOOP_PARALLEL, &task_mark);
  w.v = scratch_tiles(&w, "V", w.ci, w.lanes_in);
  w.m = scratch_tiles(&w, "M", w.stored ? w.co : (int64_t)w.tile.nv * w.tile.lanes, w.lanes_out);
  const Expr *block = ex_binary(c, E_FDIV, ex_var(c, task), idx(&w, w.splits));
  const Expr *split = ex_binary(c, E_MOD, ex_var(c, task), idx(&w, w.splits));
  const Expr *first = ex_mul(c, block, idx(&w, w.block));
  const Expr *count = ex_binary(c, E_MIN, idx(&w, w.block), ex_sub(c, idx(&w, w.tiles), first));
  input_step(&w, first, count);
  if (w.stored)
    all_columns(&w, u, first, count, split);
  else
    columns_with_transform(&w, first, count, split);
  lower_end(l, &task_mark);
  return true;
}
