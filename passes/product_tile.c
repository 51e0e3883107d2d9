// product_tile.c: the cost model that chooses register tiles and loop order of products.
// SPDX-License-Identifier: Apache-2.0
#include "passes/product_impl.h"

// What the model assumes of a core: two FMAs and two loads (vectors or broadcast scalars) a cycle, four
// cycles from an FMA's start to its result and a little slack for the scheduler, a tenth of the loads in the
// way of the FMAs. Close for Zen 3, Zen 5, Skylake and NEON cores.
static const double FMA_PER_CYCLE = 2, LOADS_PER_CYCLE = 2, FMA_LATENCY = 4.4, LOAD_SHARE = 0.1;

double tile_cycles(const Target *t, int mr, int nv, bool depthwise) {
  (void)t;
  double fma = mr * nv / FMA_PER_CYCLE;
  double loads = (depthwise ? mr * nv + nv : mr + nv) / LOADS_PER_CYCLE;
  double cycles = fma > loads ? fma : loads;
  return (cycles > FMA_LATENCY ? cycles : FMA_LATENCY) + LOAD_SHARE * loads;
}

bool tile_fits(const Target *t, int mr, int nv, bool depthwise) {
  return mr * nv + (depthwise ? 2 : nv + 1) <= t->vector_regs;
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

static double row_cycles(const Product *p, const RowSplit *r, int nv) {
  double small = r->small > 0 ? (double)r->small * tile_cycles(p->target, r->mr - 1, nv, p->depthwise) : 0;
  return (double)r->big * tile_cycles(p->target, r->mr, nv, p->depthwise) + small;
}

// Cycles per step of K for all rows and columns.
static double total_cycles(const Product *p, int64_t rows, int64_t vectors, int mr, int nv) {
  RowSplit r = row_split(rows, mr);
  double cycles = (double)(vectors / nv) * row_cycles(p, &r, nv);
  if (vectors % nv) cycles += row_cycles(p, &r, (int)(vectors % nv));
  // Ties go to one kind of tile, and to the larger one: less code, fewer epilogues, less traffic from caches.
  double odd = (vectors % nv ? 0.02 : 0) + (r.small > 0 ? 0.005 : 0);
  return cycles * (1 + odd + 0.02 / mr + 0.02 / nv);
}

static int64_t rows_of(const Product *p) {
  if (p->tile < 0) return 1;
  return p->dim[p->tile].fixed ? p->dim[p->tile].extent : 1 << 12;
}

static void choose_registers(const Product *p, Tile *t) {
  int64_t rows = rows_of(p), vectors = ceil_div(p->dim[p->lane].extent, t->lanes);
  double best = 0;
  for (int nv = 1; nv <= 12 && nv <= vectors; nv++) {
    for (int mr = 1; mr <= 16 && mr <= rows && tile_fits(p->target, mr, nv, p->depthwise); mr++) {
      double cost = total_cycles(p, rows, vectors, mr, nv);
      if (best > 0 && cost >= best) continue;
      best = cost;
      t->mr = mr;
      t->nv = nv;
    }
  }
}

static int64_t dims_product(const Product *p, Role role) {
  int64_t n = 1;
  for (int i = 0; i < p->ndims; i++)
    if (p->dim[i].role == role) n = mul_sat(n, p->dim[i].extent);
  return n;
}

// Bytes of an operand of which `reads` elements are used: a convolution reads the same ones many times.
static int64_t operand_bytes(const Expr *operand, int64_t reads) {
  const Expr *r = product_read(operand);
  int64_t bytes = mul_sat(reads, 4);
  if (!r) return bytes;
  int64_t whole = type_bytes(&r->value->type);
  return whole < bytes ? whole : bytes;
}

// Rows first keeps one panel of the vector operand in cache and streams the other operand once per panel;
// columns first does the opposite. The one that moves fewer bytes from beyond the second-level cache wins.
static void choose_order(const Product *p, Tile *t) {
  int64_t k = 1;
  for (int i = 0; i < p->nk; i++) k = mul_sat(k, p->k_extent[i]);
  int64_t m = dims_product(p, ROLE_M), n = dims_product(p, ROLE_N);
  int64_t l2 = p->target->l2 / 2;
  int64_t a_bytes = operand_bytes(p->a, mul_sat(m, k)), b_bytes = operand_bytes(p->b, mul_sat(n, k));
  int64_t panel = mul_sat(k, 4 * t->nv * t->lanes), strip = mul_sat(k, 4 * t->mr);
  t->rows = 0;
  if (p->depthwise || b_bytes <= l2) {
    t->n_outer = false;
    t->rows = 8;
  } else if (a_bytes <= l2) {
    t->n_outer = true;
    t->rows = 32;
  } else {
    // Neither fits: either strips of rows that do, the vector operand read once per strip, or the rows read
    // once per column of tiles.
    int64_t fit = (l2 > panel ? l2 - panel : l2 / 4) / (strip > 0 ? strip : 1);
    fit = fit < 1 ? 1 : fit > 64 ? 64 : fit;
    int64_t strips = ceil_div(m, fit * t->mr), columns = ceil_div(n, (int64_t)t->nv * t->lanes);
    int64_t by_strips = mul_sat(b_bytes, strips) / 2 + a_bytes / 2;
    int64_t by_columns = mul_sat(a_bytes, columns) / 2 + b_bytes / 2;
    t->n_outer = by_columns < by_strips;
    t->rows = t->n_outer ? 32 : (int)fit;
  }
}

Tile tile_choose(const Product *p) {
  Tile t = {.lanes = lanes_of(p), .mr = 1, .nv = 1};
  choose_registers(p, &t);
  choose_order(p, &t);
  return t;
}

// ---- the schedule's parameters -----------------------------------------------------------------------------

void tile_save(Ctx *c, Kernel *k, const Tile *t) {
  schedule_set(c, k, "lanes", t->lanes);
  schedule_set(c, k, "mr", t->mr);
  schedule_set(c, k, "nv", t->nv);
  schedule_set(c, k, "rows", t->rows);
  schedule_set(c, k, "n_outer", t->n_outer);
}

// Parameters may come from a text: out of range ones are brought into range.
static int clamp_param(const Kernel *k, const char *name, int lo, int hi) {
  int64_t v = schedule_get(k, name, lo);
  return (int)(v < lo ? lo : v > hi ? hi : v);
}

Tile tile_load(const Kernel *k) {
  return (Tile){.lanes = clamp_param(k, "lanes", 1, 64),
                .mr = clamp_param(k, "mr", 1, 32),
                .nv = clamp_param(k, "nv", 1, 32),
                .rows = clamp_param(k, "rows", 0, 1 << 20),
                .n_outer = clamp_param(k, "n_outer", 0, 1)};
}
