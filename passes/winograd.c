// winograd.c: which convolutions become Winograd's, and their loops.
// SPDX-License-Identifier: Apache-2.0
#include "passes/winograd.h"

#include "passes/product_impl.h"

enum { IN_N, IN_C, IN_H, IN_W };

// A 3x3 convolution of stride 1, seen through the product it is.
typedef struct Winograd {
  Lower *l;
  Ctx *c;
  Product p;
  const Expr *x, *w; // reads of the input and of the constant weights
  int n, oh, ow;     // dims of p; n is -1 for one image
  int kh, kw;        // loops of p over the taps
  int64_t images, height, width, ci, co;
  const WinogradMatrices *f;
  int64_t tiles_h, tiles_w, tiles;
  int64_t block;  // tiles of one task
  int64_t splits; // parts of the output channels, each a task of its own
  int lanes_in, lanes_out;
  Tile tile;
  Value *v, *m;
} Winograd;

// ---- match --------------------------------------------------------------------------------------------------

static bool is_var(const Expr *e, const Var *v) {
  return e->op == E_VAR && e->var == v;
}

// e = row + tap + constant, for an output variable and a variable of three taps.
static bool find_tap(Winograd *w, const Expr *e, int *dim, int *tap) {
  *dim = *tap = -1;
  for (int i = 0; i < w->p.ndims; i++)
    if (expr_uses_var(w->c, e, w->p.dim[i].var)) *dim = i;
  for (int i = 0; i < w->p.nk; i++)
    if (w->p.k_extent[i] == 3 && expr_uses_var(w->c, e, w->p.k_var[i])) *tap = i;
  if (*dim < 0 || *tap < 0) return false;
  int64_t a, b, shift;
  const Expr *rest, *offset;
  return expr_affine(w->c, e, w->p.dim[*dim].var, &a, &rest) && a == 1 &&
         expr_affine(w->c, rest, w->p.k_var[*tap], &b, &offset) && b == 1 &&
         expr_is_const_int(offset, &shift);
}

// The condition under which the taps lie inside the image.
static const Expr *inside_image(Winograd *w, const Expr *h, const Expr *x) {
  const Type *t = &w->x->value->type;
  return ex_binary(w->c, E_AND, ex_in_range(w->c, h, dim_to_expr(w->c, t->dim[IN_H])),
                   ex_in_range(w->c, x, dim_to_expr(w->c, t->dim[IN_W])));
}

// The product's guard must be no more than that: Winograd's tiles read whole squares.
static bool guard_is_padding(Winograd *w) {
  if (!w->p.guard) return true;
  int64_t v;
  const Expr *left = expr_assume(w->c, w->p.guard, inside_image(w, w->x->args[IN_H], w->x->args[IN_W]));
  return expr_is_const_int(left, &v) && v;
}

static bool match_weights(Winograd *w, int ci) {
  const Type *t = &w->w->value->type;
  if (t->rank != 4 || t->dtype != DT_F32 || t->dim[2].n != 3 || t->dim[3].n != 3) return false;
  return is_var(w->w->args[0], w->p.dim[w->p.lane].var) && is_var(w->w->args[1], w->p.k_var[ci]) &&
         is_var(w->w->args[2], w->p.k_var[w->kh]) && is_var(w->w->args[3], w->p.k_var[w->kw]);
}

static bool match_image(Winograd *w) {
  Product *p = &w->p;
  int64_t zero;
  const Expr *n = w->x->args[IN_N];
  w->n = -1;
  for (int i = 0; i < p->ndims; i++) {
    if (!p->dim[i].fixed) return false;
    if (is_var(n, p->dim[i].var)) w->n = i;
  }
  if (w->n < 0 && !expr_is_const_int(n, &zero)) return false;
  if (!find_tap(w, w->x->args[IN_H], &w->oh, &w->kh) || !find_tap(w, w->x->args[IN_W], &w->ow, &w->kw))
    return false;
  for (int i = 0; i < p->ndims; i++) // every other output variable would be a product of its own
    if (i != w->n && i != w->oh && i != w->ow && i != p->lane && p->dim[i].extent != 1) return false;
  return w->oh != w->ow && w->kh != w->kw && w->oh != p->lane && w->ow != p->lane;
}

static bool match(Module *m, Kernel *k, Winograd *w) {
  Product *p = &w->p;
  w->c = m->ctx;
  if (!product_match(m, k, p) || p->depthwise || p->nk != 3 || p->stage->out->type.rank != 4) return false;
  if (p->a->op != E_READ || p->b->op != E_READ || !const_of(p->b->value) || p->a->value->type.rank != 4)
    return false;
  w->x = p->a;
  w->w = p->b;
  if (p->dim[p->lane].out_dim != 1 || !match_image(w)) return false;
  int ci = 3 - w->kh - w->kw;
  if (!is_var(w->x->args[IN_C], p->k_var[ci]) || !match_weights(w, ci) || !guard_is_padding(w)) return false;
  w->images = w->n < 0 ? 1 : p->dim[w->n].extent;
  w->height = p->dim[w->oh].extent;
  w->width = p->dim[w->ow].extent;
  w->ci = p->k_extent[ci];
  w->co = p->dim[p->lane].extent;
  return true;
}

// ---- choice -------------------------------------------------------------------------------------------------

static int lanes_for(const Target *t, int64_t channels) {
  int lanes = t->vector_bytes / 4;
  while (lanes > 1 && channels % lanes) lanes /= 2;
  return lanes;
}

static void set_tiles(Winograd *w, int m) {
  w->f = winograd_matrices(m);
  w->tiles_h = ceil_div(w->height, m);
  w->tiles_w = ceil_div(w->width, m);
  w->tiles = w->images * w->tiles_h * w->tiles_w;
}

// Cycles of transforming one vector of one tile, in and out; measured.
static double transform_cycles(int m) {
  return m == 2 ? 70 : m == 4 ? 150 : 300;
}

// Weights come from memory once in a run: bytes a cycle of one thread, and how much of that the products do not hide
// (threads share the memory, and larger weights cost room besides).
static const double BYTES_PER_CYCLE = 6, MEMORY_SHARE = 0.5;

static double more(double a, double b) {
  return a > b ? a : b;
}

static double winograd_cycles(const Target *t, const Winograd *w) {
  double lanes = t->vector_bytes / 4.0, points = w->f->a * w->f->a, channels = (double)w->ci * (double)w->co;
  double rows = (double)w->tiles / ((double)w->tiles + 4); // short products run below peak
  double memory = points * channels * 4 / BYTES_PER_CYCLE;
  double product = more(points * (double)w->tiles * channels / (2 * lanes * 0.9 * rows), memory);
  return product + MEMORY_SHARE * memory +
         (double)w->tiles * (double)(w->ci + w->co) / lanes * transform_cycles(w->f->m);
}

static double direct_cycles(const Target *t, const Winograd *w) {
  double lanes = t->vector_bytes / 4.0, channels = (double)w->ci * (double)w->co;
  double pixels = (double)(w->images * w->height * w->width);
  double memory = 9 * channels * 4 / BYTES_PER_CYCLE;
  return more(9 * channels * pixels / (2 * lanes * 0.9), memory) + MEMORY_SHARE * memory;
}

// Outputs per tile and dimension that are fastest; 0: direct convolution. F(6,3) would be faster still on
// large images, but its error is beyond what "auto" promises (docs/numerics.md).
static int choose_m(const Target *t, Winograd *w) {
  static const int sizes[] = {2, 4};
  double best = direct_cycles(t, w) * 0.9;
  int m = 0;
  for (int i = 0; i < ARRAY_LEN(sizes); i++) {
    set_tiles(w, sizes[i]);
    double cycles = winograd_cycles(t, w);
    if (cycles >= best) continue;
    best = cycles;
    m = sizes[i];
  }
  return m;
}

static void explain(Module *m, const Node *n, Winograd *w) {
  if (!m->wants_remarks) return;
  double direct = direct_cycles(m->target, w) * 1e-3, at[2];
  for (int i = 0; i < 2; i++) {
    set_tiles(w, i ? 4 : 2);
    at[i] = winograd_cycles(m->target, w) * 1e-3;
  }
  remark(m, "schedule", n->out[0],
         "estimated: direct %.0f, F(2,3) %.0f, F(4,3) %.0f thousand cycles; Winograd must "
         "save a tenth",
         direct, at[0], at[1]);
}

bool winograd_choose(Module *m, Node *n, const PassOptions *o) {
  Winograd w = {0};
  if (o->opt_level < 2 || o->fp_strict || (o->winograd && strcmp(o->winograd, "off") == 0)) return false;
  if (!match(m, n->kernel, &w) || w.ci % 4 || w.co % 4) return false;
  if (!const_is_finite(w.w->value)) return false; // transformed, an infinity would be everywhere
  int tile = choose_m(m->target, &w);
  explain(m, n, &w);
  if (!tile) return false;
  schedule_set(m->ctx, n->kernel, "m", tile);
  return true;
}

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
  const Expr *per_image = idx(w, w->tiles_h * w->tiles_w), *m = idx(w, w->f->m);
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

// ---- input transform ------------------------------------------------------------------------------------------

static void transform_input(Winograd *w, const TilePlace *t, const Expr *local, const Expr *block,
                            bool inside) {
  Ctx *c = w->c;
  int a = w->f->a;
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
        read = ex_guard(c, inside_image(w, x->args[IN_H], x->args[IN_W]), read, ex_num(c, DT_F32, 0));
      d[i] = lower_let(w->l, "d", read);
    }
    winograd_transform(c, w->l->target->fma, w->f->bt, a, a, d, y);
    for (int i = 0; i < a; i++) half[i][j] = lower_let(w->l, "h", y[i]);
  }
  for (int i = 0; i < a; i++) {
    const Expr *y[WINOGRAD_MAX];
    winograd_transform(c, w->l->target->fma, w->f->bt, a, a, half[i], y);
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
             *last = at_input(w, w->x, t, zero, w->f->a - 1, w->f->a - 1);
  return ex_binary(w->c, E_AND, inside_image(w, first->args[IN_H], first->args[IN_W]),
                   inside_image(w, last->args[IN_H], last->args[IN_W]));
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

// The weights' transform, as a further constant of the node. The weights stay: they are what the kernel's
// definition reads.
static Value *add_weights(Winograd *w) {
  Node *n = w->l->node;
  Value *from = w->w->value;
  const Tensor *t = winograd_weights(w->c, w->f, from->data);
  Value *u = graph_const(n->graph, arena_printf(w->c->arena, "%s.winograd", from->name), t, from->loc);
  Value **in = NEW_ARRAY(w->c->arena, Value *, n->nin + 1);
  memcpy(in, n->in, (size_t)n->nin * sizeof *in);
  in[n->nin++] = u;
  n->in = in;
  return u;
}

// The product of one point: M[p, t, co] = sum(ci) V[p, t, ci] * U[p, co, ci].
static void make_product(Winograd *w, Value *u, Stage *stage, Product *q) {
  Ctx *c = w->c;
  int64_t points = w->f->a * w->f->a;
  int64_t extent[] = {points, w->block, w->co};
  static const char *const names[] = {"p", "t", "co"};
  static const Role roles[] = {ROLE_BATCH, ROLE_M, ROLE_N};
  *q = (Product){
      .c = c, .k = w->p.k, .stage = stage, .target = w->p.target, .ndims = 3, .nk = 1, .lane = 2, .tile = 1};
  for (int i = 0; i < 3; i++) {
    q->dim[i] = (ProductDim){var_new(c, names[i], idx(w, extent[i])), extent[i], true, roles[i], i};
    q->index[i] = ex_var(c, q->dim[i].var);
  }
  q->k_var[0] = var_new(c, "ci", idx(w, w->ci));
  q->k_extent[0] = w->ci;
  const Expr *ci = ex_var(c, q->k_var[0]);
  q->a = ex_read(c, w->v, (const Expr *[]){q->index[0], q->index[1], ci}, 3);
  q->b = ex_read(c, u, (const Expr *[]){q->index[0], q->index[2], ci}, 3);
  q->sum = q->value = ex_reduce(c, R_SUM, &q->k_var[0], 1, ex_mul(c, q->a, q->b));
  *stage = (Stage){.out = w->m, .ndims = 3, .store = STORE_SET, .value = q->value};
}

// [point, tile, channel] with channels in blocks of lanes, the tiles of a block side by side.
static Value *scratch_tiles(Winograd *w, const char *name, int64_t channels, int lanes) {
  int64_t shape[] = {w->f->a * w->f->a, w->block, channels};
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

typedef struct SumSwap {
  const Expr *sum, *by;
} SumSwap;

static const Expr *swap_sum(Ctx *c, const Expr *e, void *data) {
  (void)c;
  const SumSwap *s = data;
  return e == s->sum ? s->by : e;
}

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
  SumSwap swap = {p->sum, y};
  const Var *vars[] = {p->dim[w->oh].var, p->dim[w->ow].var, p->dim[p->lane].var,
                       w->n < 0 ? NULL : p->dim[w->n].var};
  const Expr *with[] = {row, col, ch, t->n}, *logical[MAX_RANK], *at[MAX_PHYS_RANK];
  int nvars = w->n < 0 ? 3 : 4;
  const Expr *value = expr_subst(c, expr_rewrite(c, p->value, swap_sum, &swap), vars, with, nvars);
  Value *out = p->stage->out;
  for (int k = 0; k < out->type.rank; k++) logical[k] = expr_subst(c, p->index[k], vars, with, nvars);
  int n = lower_index(w->l, out, logical, at);
  lower_store(w->l, out, at, n, STORE_SET, lower_reads(w->l, value));
  if (check) lower_end(w->l, &mark);
}

static void transform_output(Winograd *w, const TilePlace *t, const Expr *local, const Expr *block,
                             bool whole) {
  Ctx *c = w->c;
  int a = w->f->a, m = w->f->m;
  const Expr *half[WINOGRAD_MAX][WINOGRAD_MAX];
  Loop vec;
  const Expr *v = loop_begin(w, &vec, "v", LOOP_VECTOR, idx(w, w->lanes_out));
  const Expr *ch = ex_add(c, ex_mul(c, block, idx(w, w->lanes_out)), v);
  for (int j = 0; j < a; j++) {
    const Expr *d[WINOGRAD_MAX], *y[WINOGRAD_MAX];
    for (int i = 0; i < a; i++) {
      const Expr *index[] = {idx(w, i * a + j), local, ch}, *at[MAX_PHYS_RANK];
      int n = lower_index(w->l, w->m, index, at);
      d[i] = lower_let(w->l, "d", ex_read(c, w->m, at, n));
    }
    winograd_transform(c, w->l->target->fma, w->f->at, m, a, d, y);
    for (int i = 0; i < m; i++) half[i][j] = lower_let(w->l, "h", y[i]);
  }
  for (int i = 0; i < m; i++) {
    const Expr *y[WINOGRAD_MAX];
    winograd_transform(c, w->l->target->fma, w->f->at, m, a, half[i], y);
    for (int j = 0; j < m; j++) store_output(w, t, ch, i, j, y[j], whole);
  }
  loop_end(w, &vec);
}

static void output_step(Winograd *w, const Expr *first, const Expr *count, const Expr *split) {
  Ctx *c = w->c;
  Loop blocks, tiles;
  LowerMark branch;
  int64_t per_split = w->co / w->splits / w->lanes_out;
  const Expr *b = loop_begin(w, &blocks, "cb", LOOP_SERIAL, idx(w, per_split));
  const Expr *block = ex_add(c, ex_mul(c, split, idx(w, per_split)), b);
  const Expr *local = loop_begin(w, &tiles, "t", LOOP_SERIAL, count);
  TilePlace t = place_tile(w, ex_add(c, first, local));
  if (w->height % w->f->m == 0 && w->width % w->f->m == 0) {
    transform_output(w, &t, local, block, true);
  } else {
    const Expr *m = idx(w, w->f->m);
    lower_if(w->l,
             ex_binary(c, E_AND, ex_binary(c, E_LE, ex_add(c, t.row, m), idx(w, w->height)),
                       ex_binary(c, E_LE, ex_add(c, t.col, m), idx(w, w->width))),
             &branch);
    transform_output(w, &t, local, block, true);
    lower_else(w->l, &branch);
    transform_output(w, &t, local, block, false);
    lower_end(w->l, &branch);
  }
  loop_end(w, &tiles);
  loop_end(w, &blocks);
}

// ---- the whole ----------------------------------------------------------------------------------------------------

// Tasks of about 96 tiles (measured best between 96 and 192), an even number of them so that two threads
// share the work; where there are too few tiles for that, tasks share the output channels instead.
static void set_blocks(Winograd *w) {
  int64_t blocks = ceil_div(w->tiles, 96);
  if (blocks == 1 && w->tiles >= 64) blocks = 2;
  if (blocks % 2 && blocks > 1) blocks++;
  w->block = ceil_div(w->tiles, blocks);
  w->splits = 1;
  w->lanes_in = lanes_for(w->p.target, w->ci);
  w->lanes_out = lanes_for(w->p.target, w->co);
}

static void split_channels(Winograd *w) {
  int64_t width = (int64_t)w->tile.nv * w->tile.lanes;
  if (w->block == w->tiles && w->co % (2 * width) == 0) w->splits = 2;
}

bool winograd_lower(Lower *l) {
  Winograd w = {.l = l};
  int64_t m = schedule_get(l->k, "m", 4);
  if (!winograd_matrices((int)m) || !match(l->m, l->k, &w)) return false;
  set_tiles(&w, (int)m);
  set_blocks(&w);
  Ctx *c = w.c;
  Value *u = add_weights(&w);
  LowerMark task_mark;
  int64_t blocks = ceil_div(w.tiles, w.block);
  // The tile is chosen before the parallel loop is made: its extent depends on it.
  Stage stage;
  Product q;
  w.v = value_new(c, "V", type_make(DT_F32, 3, (int64_t[]){1, 1, 1}), l->loc);
  w.m = w.v;
  make_product(&w, u, &stage, &q);
  w.tile = tile_choose(&q, 0);
  if (type_bytes(&u->type) > l->target->l2 / 2) w.tile.ahead = tile_ahead(&q, &w.tile);
  split_channels(&w);
  const Var *task = var_new(c, "task", idx(&w, blocks * w.splits));
  lower_for(l, task, LOOP_PARALLEL, &task_mark);
  w.v = scratch_tiles(&w, "V", w.ci, w.lanes_in);
  w.m = scratch_tiles(&w, "M", w.co, w.lanes_out);
  make_product(&w, u, &stage, &q);
  if (!product_pack(&q, &w.tile, product_read(q.b), &u->layout)) u->layout = NULL;
  const Expr *block = ex_binary(c, E_FDIV, ex_var(c, task), idx(&w, w.splits));
  const Expr *split = ex_binary(c, E_MOD, ex_var(c, task), idx(&w, w.splits));
  const Expr *first = ex_mul(c, block, idx(&w, w.block));
  const Expr *count = ex_binary(c, E_MIN, idx(&w, w.block), ex_sub(c, idx(&w, w.tiles), first));
  input_step(&w, first, count);
  Loop points;
  const Expr *p = loop_begin(&w, &points, "p", LOOP_SERIAL, idx(&w, w.f->a * w.f->a)),
             *at[] = {p, NULL, NULL};
  int64_t columns = ceil_div(w.co, (int64_t)w.tile.nv * w.tile.lanes) / w.splits;
  product_emit_block(l, &q, &w.tile, at, ex_mul(c, split, idx(&w, columns)), columns);
  loop_end(&w, &points);
  output_step(&w, first, count, split);
  lower_end(l, &task_mark);
  return true;
}
