// product_tile.c: the cost model that chooses register tiles and loop order of products.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "passes/product_impl.h"

// What the model assumes of a core: two FMAs and two loads (vectors or broadcast scalars) a cycle; the rest is the
// target's.
static const double FMA_PER_CYCLE = 2, LOADS_PER_CYCLE = 2;

// Bytes that come from the second-level cache in each step of K: those of the vector operand, unless a panel of it
// stays in the first level, and the rows'.
static double l2_bytes(const Target *t, int mr, int nv, int64_t k) {
  int64_t panel = (int64_t)nv * t->vector_bytes;
  return mr * 4.0 + (mul_sat(k, panel) <= t->l1 / 2 ? 0 : (double)panel);
}

// Sums that `steps` steps of K go to in turns where a tile has one row of nv vectors: a power of two.
static int tile_chains(int nv, int64_t steps) {
  int n = 1;
  while (2 * n * nv <= 8 && 2 * n <= steps) n *= 2;
  return n;
}

double tile_cycles(const Target *t, int mr, int nv, bool depthwise, int64_t k) {
  const Costs *c = &t->costs;
  double fma = mr * nv / FMA_PER_CYCLE;
  double loads = (depthwise ? mr * nv + nv : mr + nv) / LOADS_PER_CYCLE;
  double l2 = depthwise ? 0 : l2_bytes(t, mr, nv, k) / c->l2_bytes, cycles = fma;
  if (cycles < loads) cycles = loads;
  if (cycles < l2) cycles = l2;
  // The few terms of a window leave room for the next tile's in the meantime.
  double latency = depthwise ? 0 : mr == 1 ? c->latency / tile_chains(nv, k) : c->latency;
  return (cycles > latency ? cycles : latency) + c->load_share * loads + c->l2_share * l2;
}

// Accumulators, the vector operand, and scalars of the other one: how many of these the instruction scheduler keeps
// (and spills if it cannot) was found by looking.
bool tile_fits(const Target *t, int mr, int nv, bool depthwise) {
  bool many = t->vector_regs >= 32;
  int scalars = nv == 1 ? 3 : nv == 2 ? 2 : many ? 3 : 1;
  return mr * nv + (depthwise ? 2 : nv + scalars) <= t->vector_regs;
}

RowSplit row_split(int64_t extent, int max_rows) {
  int64_t count = ceil_div(extent, max_rows);
  int64_t mr = ceil_div(extent, count);
  int64_t big = extent - count * (mr - 1);
  return (RowSplit){(int)mr, big, count - big};
}

int product_block(const Product *p) {
  const Layout *l = p->stage->out->layout;
  const LayoutPart *last = l ? &l->part[l->n - 1] : NULL;
  bool blocked = last && last->dim == p->dim[p->lane].out_dim && last->div == 1 && last->mod > 1;
  return blocked && last->mod < 64 ? (int)last->mod : 0;
}

int64_t product_lane_room(const Product *p, const Expr *read) {
  const ProductDim *lane = &p->dim[p->lane];
  int64_t room = INT64_MAX, k;
  for (int i = 0; i < read->nargs; i++) {
    if (!expr_uses_var(p->c, read->args[i], lane->var)) continue;
    bool alone = read->args[i] == ex_var(p->c, lane->var);
    k = alone ? layout_room(read->value->layout, &read->value->type, i) : lane->extent;
    if (k < room) room = k;
  }
  return room;
}

// Lanes of one vector, for the fewest vectors; those of a depthwise product are read side by side.
static int lanes_of(const Product *p) {
  int most = p->target->vector_bytes / dtype_bytes(DT_F32), block = product_block(p);
  int64_t n = p->dim[p->lane].extent;
  if (p->depthwise && block > 0 && block < most) most = block;
  int lanes = most;
  while (lanes > 4 && ceil_div(n, lanes / 2) == ceil_div(n, lanes)) lanes /= 2;
  return lanes;
}

static int64_t tile_vectors(const Product *p) {
  return ceil_div(p->dim[p->lane].extent, lanes_of(p));
}

static double row_cycles(const Product *p, const RowSplit *r, int nv, int64_t k) {
  double small = r->small > 0 ? (double)r->small * tile_cycles(p->target, r->mr - 1, nv, p->depthwise, k) : 0;
  return (double)r->big * tile_cycles(p->target, r->mr, nv, p->depthwise, k) + small;
}

static int64_t steps_of(const Product *p) {
  int64_t k = 1;
  for (int i = 0; i < p->nk; i++) k = mul_sat(k, p->k_extent[i]);
  return k;
}

// Do two threads with so many tasks between them wait for each other for long?
static bool is_uneven(int64_t tasks) {
  return tasks % 2 && tasks < 16;
}

// Cycles per step of K for all rows and columns.
static double total_cycles(const Product *p, int64_t rows, int64_t vectors, int mr, int nv) {
  RowSplit r = row_split(rows, mr);
  int64_t k = steps_of(p);
  double cycles = (double)(vectors / nv) * row_cycles(p, &r, nv, k);
  if (vectors % nv) cycles += row_cycles(p, &r, (int)(vectors % nv), k);
  // Ties go to one kind of tile, and to the larger one: less code, fewer epilogues, less traffic from caches.
  double odd = (vectors % nv ? 0.02 : 0) + (r.small > 0 ? 0.005 : 0);
  if (rows == 1 && is_uneven(ceil_div(vectors, nv))) odd += 0.1; // which the weights' bandwidth hides
  // A window has few terms: while one tile is stored the next one should be under way already, which a large one is not
  // (8 to 20 % on MobileNetV2's, Zen 3). As many sums as the latency needs are enough.
  if (p->depthwise && mr * nv > FMA_PER_CYCLE * p->target->costs.latency) odd += 0.2;
  return cycles * (1 + odd + 0.02 / mr + 0.02 / nv);
}

int64_t tile_cost_rows(const Product *p) {
  if (p->tile < 0) return 1;
  return p->dim[p->tile].fixed ? p->dim[p->tile].extent : 1 << 12;
}

// Where the number of rows is known at run time only, the rest is done by ever smaller divisors of the tile.
static bool suits_rest(const Product *p, int mr) {
  return p->tile < 0 || p->dim[p->tile].fixed || mr < 4 || mr % 4 == 0 || mr == 6;
}

// With one row and weights that are unpacked, words, their sums and those of a group want registers as well.
static bool fits_unpacking(const Product *p, int mr, int nv) {
  return mr > 1 || p->depthwise || product_plain_read(p->b) || !product_read(p->b) ||
         3 * nv <= p->target->vector_regs * 7 / 8;
}

int tile_row_chains(const Product *p, int nv, int64_t steps) {
  int n = tile_chains(nv, steps);
  while (n > 1 && !fits_unpacking(p, 1, nv * n)) n /= 2;
  return n;
}

bool tile_allowed(const Product *p, int mr, int nv) {
  return mr >= 1 && nv >= 1 && mr <= MAX_TILE_ROWS && nv <= MAX_TILE_VECTORS && mr <= tile_cost_rows(p) &&
         nv <= tile_vectors(p) && tile_fits(p->target, mr, nv, p->depthwise) && suits_rest(p, mr) &&
         fits_unpacking(p, mr, nv);
}

double tile_cost(const Product *p, int mr, int nv) {
  return total_cycles(p, tile_cost_rows(p), tile_vectors(p), mr, nv);
}

static void choose_registers(const Product *p, Tile *t) {
  double best = 0;
  for (int nv = 1; nv <= MAX_TILE_VECTORS; nv++) {
    for (int mr = 1; mr <= MAX_TILE_ROWS; mr++) {
      if (!tile_allowed(p, mr, nv)) continue;
      double cost = tile_cost(p, mr, nv);
      if (best > 0 && cost >= best) continue;
      best = cost;
      t->mr = mr;
      t->nv = nv;
    }
  }
}

void tile_candidates(const Product *p, const Tile *chosen, Str *out) {
  int64_t rows = tile_cost_rows(p), vectors = tile_vectors(p);
  double best = tile_cost(p, chosen->mr, chosen->nv);
  str_printf(out, "tile of %d rows by %d vectors of %d", chosen->mr, chosen->nv, chosen->lanes);
  for (int nv = 1, n = 0; nv <= MAX_TILE_VECTORS && nv <= vectors;
       nv++) // the tallest tile that fits, for each width
    for (int mr = MAX_TILE_ROWS; mr >= 1; mr--) {
      if (mr > rows || !tile_fits(p->target, mr, nv, p->depthwise)) continue;
      double cost = tile_cost(p, mr, nv);
      str_printf(out, "%s%dx%d %+.0f %%", n++ ? ", " : "; estimated against it: ", mr, nv,
                 (cost / best - 1) * 100);
      break;
    }
}

static int64_t dims_product(const Product *p, Role role) {
  int64_t n = 1;
  for (int i = 0; i < p->ndims; i++)
    if (p->dim[i].role == role) n = mul_sat(n, p->dim[i].extent);
  return n;
}

// Bytes that move for an operand of which `reads` elements are used: a convolution reads the same ones many times; one with
// a stride leaves some out, but their neighbours come along.
static int64_t operand_bytes(const Expr *operand, int64_t reads) {
  const Expr *r = product_read(operand);
  int64_t bytes = mul_sat(reads, 4);
  if (!r) return bytes;
  int64_t whole = type_bytes(&r->value->type);
  if (bytes < whole) bytes = mul_sat(bytes, 2);
  return whole < bytes ? whole : bytes;
}

// ---- blocks -------------------------------------------------------------------------------------------------

// A product in numbers, for the choice of blocks.
typedef struct Sizes {
  int64_t m, n, k; // rows of all M dims; columns; steps
  int64_t tile_m;  // rows of the tile dim
  int64_t around;  // how often the tile dim is gone through: rows of the other M dims
  int64_t a, b;    // bytes of the operands
  int64_t columns; // panels of the vector operand
  int64_t l2;      // bytes
  bool blocks;     // rows and K can be cut in blocks
  KLoop outer;     // outermost loop over K
} Sizes;

static Sizes sizes_of(const Product *p, const Tile *t) {
  KLoop loop[MAX_RANK + 4];
  Sizes z = {.m = dims_product(p, ROLE_M), .n = dims_product(p, ROLE_N), .k = steps_of(p)};
  z.tile_m = p->tile < 0 ? 1 : p->dim[p->tile].extent;
  z.a = operand_bytes(p->a, mul_sat(z.m, z.k));
  z.b = operand_bytes(p->b, mul_sat(z.n, z.k));
  z.columns = ceil_div(p->dim[p->lane].extent, (int64_t)t->nv * t->lanes);
  z.l2 = p->target->l2;
  z.blocks = !p->guard && p->tile >= 0 && p->dim[p->tile].fixed;
  z.around = z.m / (z.tile_m > 0 ? z.tile_m : 1);
  if (product_k_loops(p, loop) > 0) z.outer = loop[0];
  return z;
}

// An even number of parts, at least `least`, so that two threads share the work evenly; 1 for 1.
static int64_t even_parts(int64_t least) {
  return least > 1 ? round_up(least, 2) : 1;
}

// Largest divisor of n that is at most `most`; 1 at least.
static int64_t divisor_below(int64_t n, int64_t most) {
  for (int64_t d = most < n ? most : n; d > 1; d--)
    if (n % d == 0) return d;
  return 1;
}

// Blocks of rows for which the rows stay in the second-level cache while all panels of the vector operand pass by.
// Returns the bytes that come from beyond that cache.
static int64_t block_rows(const Sizes *z, Tile *t) {
  int64_t tiles = ceil_div(z->tile_m, t->mr), fit = z->l2 * 2 / 5 / mul_sat(z->k, 4 * t->mr);
  int64_t parts = even_parts(ceil_div(tiles, fit > 0 ? fit : 1));
  if (parts > tiles) parts = tiles;
  t->rows = (int)ceil_div(tiles, parts);
  t->cols = (int)z->columns;
  return mul_sat(z->b, mul_sat(parts, z->around)) + z->a;
}

// Columns of one group, at most `most`: as two threads share the groups most evenly, and else the more the better.
static int64_t columns_of_group(int64_t columns, int64_t most) {
  int64_t best = 1;
  double least = 2;
  for (int64_t n = 1; n <= most && n <= columns; n++) {
    int64_t groups = ceil_div(columns, n);
    double share = (double)(ceil_div(groups, 2) * n) / (double)columns + 0.0005 * (double)groups;
    if (share > least) continue;
    least = share;
    best = n;
  }
  return best;
}

// Blocks of K for which all rows stay there, and groups of columns whose sums do.
static int64_t block_k(const Sizes *z, Tile *t) {
  if (z->outer.extent < 2) return INT64_MAX;
  int64_t grain = z->k / z->outer.extent, steps = z->l2 * 2 / 5 / mul_sat(z->tile_m, 4);
  int64_t size = divisor_below(z->outer.extent, steps / grain);
  // Short blocks would move more sums than operands.
  if (size * grain < z->l2 / 8192 || size == z->outer.extent) return INT64_MAX;
  int64_t column = mul_sat(z->tile_m, 4 * t->nv * t->lanes);
  t->kc = (int)size;
  t->cols = (int)columns_of_group(z->columns, z->l2 / 4 / column);
  t->rows = 0;
  return mul_sat(z->b, z->around) + mul_sat(z->a, ceil_div(z->columns, t->cols));
}

// What reading a byte of so many costs, over and over, in bytes of the third-level cache; nothing from the second.
static double far_cost(const Target *t, int64_t bytes) {
  if (bytes <= t->l2 / 2) return 0;
  return bytes <= t->l3 / 8 ? 1 : 5;
}

// Should each panel of the vector operand be read once for all rows? The rows then come again for every panel; the other
// way round the panels come again for every time that the tile dim is gone through, for few rows each, which makes their
// bytes dearer (found on ResNet-50's, Inception's and ConvNeXt's convolutions of stride 2, Zen 3).
static bool panels_once(const Product *p, const Sizes *z) {
  const double FEW_ROWS = 1.5;
  int64_t inner = z->a / (z->around > 0 ? z->around : 1);
  double rows = (double)z->a * (double)z->columns, panels = (double)z->b * (double)z->around * FEW_ROWS;
  double once = (double)z->b + rows * far_cost(p->target, z->a);
  double often = panels * far_cost(p->target, z->b) + rows * far_cost(p->target, inner);
  return once <= often;
}

// The share of all tiles that the busier of two threads has, where each has half of the parallel iterations: all columns of
// one block of rows, then of the next, through the tile dim as often as it is gone through.
static double busier_half(const Sizes *z, int64_t tiles, int64_t rows) {
  int64_t parts = ceil_div(tiles, rows), groups = parts * z->around, half = ceil_div(groups * z->columns, 2);
  int64_t whole = half / z->columns, rounds = whole / parts, rest = whole % parts,
          last = tiles - (parts - 1) * rows;
  int64_t next = rest == parts - 1 ? last : rows;
  double first =
      (double)(rounds * tiles + rest * rows) * (double)z->columns + (double)(half % z->columns * next);
  double share = first / ((double)(tiles * z->around) * (double)z->columns);
  return share > 0.5 ? share : 1 - share;
}

// Tiles of rows in a block: about eight, so that a panel is used often before the next one, as two threads share them best.
static int rows_of_block(const Sizes *z, int64_t tiles) {
  enum { LEAST = 4, MOST = 16, LIKED = 8 };
  int best = LIKED;
  double least = INFINITY;
  for (int rows = LEAST; rows <= MOST; rows++) {
    double cost = busier_half(z, tiles, rows < tiles ? rows : tiles) + 0.002 * fabs((double)rows - LIKED);
    if (cost >= least) continue;
    least = cost;
    best = rows;
  }
  return best;
}

// Columns first, where the vector operand stays in the second-level cache: it is read again for every few rows.
// Else each of its panels is read once for all rows, or for as many as stay in that cache.
static void choose_order(const Product *p, Tile *t) {
  Sizes z = sizes_of(p, t);
  // Channels that lie in blocks of the lanes: an image's rows are used by several filter rows while they are near.
  if (p->depthwise && product_block(p) > 0) {
    t->n_outer = true;
    t->rows = 0;
    return;
  }
  t->n_outer = !p->depthwise && z.b > z.l2 / 2;
  int64_t tiles = ceil_div(z.tile_m, t->mr);
  t->rows = t->n_outer ? 0 : rows_of_block(&z, tiles);
  int64_t parts = t->n_outer ? 1 : ceil_div(tiles, t->rows);
  if (tiles > 1 && !p->depthwise && z.tile_m == z.m && is_uneven(parts * z.columns))
    t->rows = (int)ceil_div(tiles, even_parts(parts + 1));
  if (!t->n_outer || z.a <= z.l2 / 2) return;
  if (!z.blocks || z.around > 1) t->n_outer = panels_once(p, &z);
  if (!z.blocks || (z.around > 1 && t->n_outer)) return;
  Tile by_rows = *t, by_k = *t;
  by_rows.n_outer = by_k.n_outer = true;
  int64_t rows_bytes = block_rows(&z, &by_rows), k_bytes = block_k(&z, &by_k);
  *t = k_bytes < rows_bytes ? by_k : by_rows;
}

int tile_ahead(const Product *p, const Tile *t, int64_t tiles) {
  enum { LEAST_TILES = 2, LINE = 64, MOST = 16 };
  const Expr *b = product_read(p->b);
  if (!b || tiles < LEAST_TILES) return 0;
  int64_t bytes = PRODUCT_UNROLL * (int64_t)t->nv * t->lanes * dtype_bytes(b->value->type.dtype);
  int64_t lines = ceil_div(ceil_div(bytes, LINE), tiles);
  return (int)(lines < MOST ? lines : MOST);
}

int tile_prefetch(const Product *p, const Tile *t) {
  enum { MOST_PASSES = 16 };
  int64_t tiles = ceil_div(dims_product(p, ROLE_M), t->mr), rows = tiles;
  if (p->depthwise || p->dim[p->lane].extent <= (int64_t)t->nv * t->lanes) return 0;
  if ((t->cols > 1 || !t->n_outer) && t->rows && t->rows < tiles) rows = t->rows;
  if (!t->n_outer) { // all panels pass by for every few rows: from the second time on they are near
    int64_t panels = operand_bytes(p->b, mul_sat(dims_product(p, ROLE_N), steps_of(p)));
    if (t->wide || panels <= p->target->l1 || ceil_div(tiles, rows) > MOST_PASSES) return 0;
  }
  return tile_ahead(p, t, rows);
}

bool tile_streams_fit(const Product *p, int nv, int cols) {
  return nv * cols <= p->target->vector_regs * 3 / 4;
}

// Each parallel iteration rounds the row anew, which takes a tenth of the time of one group of columns: how many of these it
// goes through, so that two threads are done first.
static int span_of(int64_t groups) {
  enum { MOST = 4 };
  const double ROUNDING = 0.1;
  int best = 1;
  double least = INFINITY;
  for (int n = 1; n <= MOST; n++) {
    double cost = (double)ceil_div(ceil_div(groups, n), 2) * (n + ROUNDING);
    if (cost >= least) continue;
    least = cost;
    best = n;
  }
  return best;
}

// Cache lines that a stream is prefetched ahead of its reads. The processor runs ahead by itself as far as its buffers of
// instructions reach: many lines of floats, which take one or two a vector, but few of integers, which take several
// (prefetched, int8 goes from 11.4 to 13.7 GB/s and int4 from 11.9 to 14.1, where f16 loses a tenth; Zen 3).
static int stream_distance(const Expr *read) {
  enum { LINES = 6 };
  return dtype_is_float(read->value->type.dtype) ? 0 : LINES;
}

// A single row reads each weight once. Where they do not stay in the second-level cache, four panels are read side by
// side: several streams get more from the third level (71 GB/s, not 58; Zen 3) and from memory (16 GB/s, not 10).
static void choose_streams(const Product *p, Tile *t) {
  enum { STREAMS = 4, PANEL = 2 };
  bool one = tile_cost_rows(p) == 1, open = p->tile >= 0 && !p->dim[p->tile].fixed;
  const Expr *b = product_read(p->b);
  int64_t lo = 1, hi, steps;
  if (open && !expr_bounds(p->c, p->dim[p->tile].var->extent, NULL, &lo, &hi)) lo = 0;
  if ((!one && !open) || p->guard || p->depthwise || !b || !const_of(b->value)) return;
  if (p->model <= p->target->l2) return;
  int nv = one && t->nv > PANEL ? PANEL : t->nv, cols = STREAMS;
  while (cols > 1 && !tile_streams_fit(p, nv, cols)) cols /= 2;
  int64_t columns = ceil_div(p->dim[p->lane].extent, (int64_t)nv * t->lanes);
  if (lo < 1 || t->cols > 1 || cols < 2 || columns < 2 * cols) return;
  t->nv = nv;
  t->cols = cols;
  t->wide = true;
  t->distance = stream_distance(b);
  t->round = product_rounds(p, &steps);
  if (t->round) t->span = span_of(ceil_div(columns, cols));
}

Tile tile_with(const Product *p, int mr, int nv) {
  Tile t = {.lanes = lanes_of(p), .mr = mr, .nv = nv, .cols = 1, .span = 1};
  choose_order(p, &t);
  choose_streams(p, &t);
  t.ahead = tile_prefetch(p, &t);
  return t;
}

Tile tile_choose(const Product *p) {
  Tile t = {.mr = 1, .nv = 1};
  choose_registers(p, &t);
  return tile_with(p, t.mr, t.nv);
}

// ---- the schedule's parameters -----------------------------------------------------------------------------

void tile_save(Ctx *c, Schedule *s, const Tile *t) {
  schedule_add(c, s, "lanes", t->lanes);
  schedule_add(c, s, "mr", t->mr);
  schedule_add(c, s, "nv", t->nv);
  schedule_add(c, s, "rows", t->rows);
  schedule_add(c, s, "n_outer", t->n_outer);
  if (t->cols != 1) schedule_add(c, s, "cols", t->cols);
  if (t->wide) schedule_add(c, s, "wide", 1);
  if (t->round) schedule_add(c, s, "round", t->round);
  if (t->span != 1) schedule_add(c, s, "span", t->span);
  if (t->kc) schedule_add(c, s, "kc", t->kc);
  if (t->ahead) schedule_add(c, s, "ahead", t->ahead);
  if (t->distance) schedule_add(c, s, "distance", t->distance);
}

// Parameters may come from a text: out of range ones are brought into range.
static int clamp_param(const Schedule *s, const char *name, int lo, int hi) {
  int64_t v = schedule_param(s, name, lo);
  return (int)(v < lo ? lo : v > hi ? hi : v);
}

Tile tile_load(const Schedule *s) {
  return (Tile){.lanes = clamp_param(s, "lanes", 1, 64),
                .mr = clamp_param(s, "mr", 1, 32),
                .nv = clamp_param(s, "nv", 1, 32),
                .rows = clamp_param(s, "rows", 0, 1 << 20),
                .cols = clamp_param(s, "cols", 1, 1 << 20),
                .kc = clamp_param(s, "kc", 0, 1 << 30),
                .ahead = clamp_param(s, "ahead", 0, MAX_AHEAD),
                .distance = clamp_param(s, "distance", 0, MAX_DISTANCE),
                .span = clamp_param(s, "span", 1, 1 << 20),
                .round = clamp_param(s, "round", 0, 16),
                .wide = clamp_param(s, "wide", 0, 1),
                .n_outer = clamp_param(s, "n_outer", 0, 1)};
}

bool tile_wanted(const Product *p, const Schedule *s, Tile *t) {
  int64_t mr = schedule_param(s, "mr", 0), nv = schedule_param(s, "nv", 0);
  if (!mr && !nv) {
    *t = tile_choose(p);
    return true;
  }
  if (mr > MAX_TILE_ROWS || nv > MAX_TILE_VECTORS || !tile_allowed(p, (int)mr, (int)nv)) return false;
  bool whole = schedule_param(s, "n_outer", -1) >= 0;
  *t = whole ? tile_load(s) : tile_with(p, (int)mr, (int)nv);
  return t->lanes == lanes_of(p) && (!t->wide || tile_streams_fit(p, t->nv, t->cols));
}
