// product_candidates.c: schedules of a product that are worth measuring.
// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "passes/product_impl.h"

enum { MOST_TILES = 14, ALL_TILES = MAX_TILE_ROWS * MAX_TILE_VECTORS };
static const double WORST_TILE = 1.5; // times the best estimate

// ---- register tiles -----------------------------------------------------------------------------------------------

typedef struct Sized {
  int mr, nv;
  double cost;
} Sized;

static int by_cost(const void *a, const void *b) {
  const Sized *x = a, *y = b;
  if (x->cost != y->cost) return x->cost < y->cost ? -1 : 1;
  return x->nv != y->nv ? x->nv - y->nv : x->mr - y->mr;
}

int tile_ranking(const Product *p, int *mr, int *nv, int max) {
  Sized all[ALL_TILES];
  int n = 0, kept = 0;
  for (int v = 1; v <= MAX_TILE_VECTORS; v++)
    for (int r = 1; r <= MAX_TILE_ROWS; r++)
      if (tile_allowed(p, r, v)) all[n++] = (Sized){r, v, tile_cost(p, r, v)};
  qsort(all, (size_t)n, sizeof *all, by_cost);
  for (; kept < n && kept < max && (max == ALL_TILES || all[kept].cost <= WORST_TILE * all[0].cost); kept++) {
    mr[kept] = all[kept].mr;
    nv[kept] = all[kept].nv;
  }
  return kept;
}

static void list(const Product *p, const Tile *t, ScheduleList *out) {
  Schedule s = schedule_like("product");
  tile_save(p->c, &s, t);
  schedule_list(p->c, out, &s);
}

static void list_tiles(const Product *p, int most, ScheduleList *out) {
  int mr[ALL_TILES], nv[ALL_TILES], n = tile_ranking(p, mr, nv, most);
  for (int i = 0; i < n; i++) {
    Tile t = tile_with(p, mr[i], nv[i]);
    list(p, &t, out);
  }
}

// ---- the loops around them ----------------------------------------------------------------------------------------

typedef struct Around {
  const Product *p;
  Tile near;
  int64_t tiles, columns; // tiles of rows, columns of tiles
  ScheduleList *out;
} Around;

static void list_order(const Around *a, int n_outer, int64_t rows, int64_t cols, int64_t kc) {
  Tile t = a->near;
  t.n_outer = n_outer;
  t.rows = (int)(rows < a->tiles ? rows : 0);
  t.cols = (int)(cols < a->columns ? cols : a->columns);
  t.kc = (int)kc;
  t.wide = false;
  t.ahead = tile_prefetch(a->p, &t);
  list(a->p, &t, a->out);
}

// Columns first: the vector operand is read again for every few rows.
static void list_rows_outer(const Around *a) {
  static const int rows[] = {1, 2, 4, 8, 16, 32, 64};
  for (int i = 0; i < ARRAY_LEN(rows); i++)
    if (rows[i] < a->tiles) list_order(a, 0, rows[i], 1, 0);
  list_order(a, 0, 0, 1, 0);
}

// Rows first: each panel is read once for all rows, or for a part of them.
static void list_columns_outer(const Around *a) {
  list_order(a, 1, 0, 1, 0);
  for (int parts = 2; parts <= 16 && parts <= a->tiles; parts *= 2) {
    list_order(a, 1, ceil_div(a->tiles, parts), 1, 0);
    list_order(a, 1, ceil_div(a->tiles, parts), a->columns, 0);
  }
  for (int groups = 2; groups <= 8 && groups < a->columns; groups *= 2)
    list_order(a, 1, 0, ceil_div(a->columns, groups), 0);
}

static void list_blocks_of_k(const Around *a) {
  KLoop loop[MAX_RANK + 4];
  if (a->p->depthwise || a->p->guard || product_k_loops(a->p, loop) == 0) return;
  for (int blocks = 2; blocks <= 8; blocks *= 2)
    for (int groups = 1; groups <= 4; groups *= 2)
      if (loop[0].extent % blocks == 0 && loop[0].extent > blocks && groups <= a->columns)
        list_order(a, 1, 0, ceil_div(a->columns, groups), loop[0].extent / blocks);
}

static void list_prefetches(const Around *a) {
  static const int lines[] = {0, 1, 2, 4};
  Tile t = a->near;
  for (int i = 0; i < ARRAY_LEN(lines); i++) {
    t.ahead = lines[i];
    list(a->p, &t, a->out);
  }
}

// A single row: several panels side by side.
static void list_streams(const Around *a) {
  if (a->near.mr != 1 || a->p->depthwise || a->p->guard) return;
  for (int cols = 2; cols <= 4; cols *= 2) {
    Tile t = a->near;
    t.cols = cols;
    t.wide = true;
    if (tile_streams_fit(a->p, t.nv, cols) && a->columns >= 2 * cols) list(a->p, &t, a->out);
  }
}

static void list_orders(const Product *p, const Schedule *near, ScheduleList *out) {
  Around a = {.p = p, .out = out, .tiles = 1};
  if (!tile_wanted(p, near, &a.near)) return;
  if (p->tile >= 0) a.tiles = ceil_div(p->dim[p->tile].extent, a.near.mr);
  a.columns = ceil_div(p->dim[p->lane].extent, (int64_t)a.near.nv * a.near.lanes);
  list_rows_outer(&a);
  list_columns_outer(&a);
  list_blocks_of_k(&a);
  list_prefetches(&a);
  list_streams(&a);
}

void schedule_shape(Module *m, Node *n, Str *out) {
  Product p;
  if (!n->kernel || !product_view(m, n->kernel, NULL, &p)) return;
  int64_t size[3] = {1, 1, 1}, k = 1; // by role
  for (int i = 0; i < p.ndims; i++) size[p.dim[i].role] = mul_sat(size[p.dim[i].role], p.dim[i].extent);
  for (int i = 0; i < p.nk; i++) k = mul_sat(k, p.k_extent[i]);
  str_printf(out, "product m=%lld n=%lld k=%lld batch=%lld rows=%lld lanes=%lld%s%s", (long long)size[ROLE_M],
             (long long)size[ROLE_N], (long long)k, (long long)size[ROLE_BATCH],
             (long long)(p.tile < 0 ? 1 : p.dim[p.tile].extent), (long long)p.dim[p.lane].extent,
             p.depthwise ? " depthwise" : "", p.guard ? " padded" : "");
}

double product_cycles(Module *m, Node *n) {
  Product p;
  Tile t;
  if (!product_view(m, n->kernel, NULL, &p) || !tile_wanted(&p, &n->kernel->schedule, &t)) return 0;
  double cycles = tile_cost(&p, t.mr, t.nv);
  for (int i = 0; i < p.nk; i++) cycles *= (double)p.k_extent[i];
  for (int i = 0; i < p.ndims; i++) // the tile's cost is for all lanes and rows
    if (i != p.lane && i != p.tile) cycles *= (double)p.dim[i].extent;
  return p.tile < 0 ? cycles : cycles * (double)p.dim[p.tile].extent / (double)tile_cost_rows(&p);
}

void product_candidates(Module *m, Node *n, const PassOptions *o, const Schedule *near, ScheduleList *out) {
  Product p;
  if (!product_view(m, n->kernel, o, &p)) return;
  if (near)
    list_orders(&p, near, out);
  else
    list_tiles(&p, o->all_tiles ? ALL_TILES : MOST_TILES, out);
}
