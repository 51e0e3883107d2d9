// product_impl.h: what the parts of the product schedules share (match, tile choice, lowering).
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_PASSES_PRODUCT_IMPL_H
#define INGOT_PASSES_PRODUCT_IMPL_H

#include "passes/product.h"

enum {
  MAX_LOOP_DIMS = MAX_RANK + 4,
  PRODUCT_UNROLL = 8, // steps of K in one iteration of the innermost loop, at most
  MAX_TILE_ROWS = 16,
  MAX_TILE_VECTORS = 12,
  MAX_AHEAD = 16,    // cache lines prefetched in an iteration
  MAX_DISTANCE = 64, // cache lines between what a stream reads and prefetches
};

// What an output variable is to the product: see product.h.
typedef enum Role { ROLE_M, ROLE_N, ROLE_BATCH } Role;

typedef struct ProductDim {
  const Var *var;
  int64_t extent; // bound
  bool fixed;     // the extent is a constant
  Role role;
  int out_dim; // the output dimension whose index it appears in
} ProductDim;

// A kernel seen as a product. Output variables may have been split (channels of a grouped convolution into
// group and channel): `index` gives the output's logical index in terms of `dim`.
typedef struct Product {
  Ctx *c;
  Kernel *k;
  const Stage *stage;
  const Target *target;
  const Expr *index[MAX_RANK];
  const Expr *value; // stage->value in terms of `dim`
  const Expr *sum;   // the reduction inside it
  const Expr *a, *b; // broadcast operand and vector operand; in a depthwise product both vary over the lanes
  const Expr *guard; // the term counts only where this holds; NULL: always
  int ndims;
  ProductDim dim[MAX_LOOP_DIMS];
  int nk;
  const Var *k_var[MAX_RANK + 2];
  int64_t k_extent[MAX_RANK + 2];
  int lane;       // dim of the vector lanes: N, or batch in a depthwise product
  int tile;       // dim of the tile's rows: an M dim; -1: none
  bool depthwise; // no N dim
  bool in_order;  // sums add their terms in the order in which the kernel says them (--fp=strict)
  int row_bits;   // that a single row may be rounded to where it meets weights of four bits
  bool joint;     // product_collapse joined the M dims: addresses are flat
  int64_t model;  // bytes of all constants of the model; 0: not known
} Product;

// Recognises the kernel; false: it is no product these schedules handle.
bool product_match(Module *m, Kernel *k, Product *p);
// The same, with rows joined, if the class takes it, for these options (NULL: the default ones).
bool product_view(Module *m, Kernel *k, const PassOptions *o, Product *p);
// The one READ in an operand if the operand is nothing but that (perhaps cast), else NULL.
const Expr *product_plain_read(const Expr *operand);
// The same, or, of an operand that is made of constants only (weights in few bits, their scales), the READ of the
// largest of them.
const Expr *product_read(const Expr *operand);

// ---- tile choice ------------------------------------------------------------------------------------------

typedef struct Tile {
  int lanes;    // of one vector
  int mr, nv;   // rows and vectors of the largest tile
  bool n_outer; // parallel iterations go through the rows first, then the next columns; else columns first
  int rows;     // tiles of rows in one parallel iteration; 0: all of the tile dim
  int cols;     // columns of tiles in one parallel iteration
  int span;     // of these in one parallel iteration, for what all of them share
  int round;    // bits that a single row is rounded to: 8 or 16 (product_round.c); 0: it is not
  bool wide;    // a single row goes through all of these at once: memory gives most to several streams
  int kc;       // iterations of the outermost loop over K in one block; 0: all
  int ahead;    // cache lines of the next panel to prefetch in each iteration of the innermost loop
  int distance; // a wide row: how many cache lines ahead of its reads each stream is prefetched; 0: it is not
} Tile;

// Cycles that one of k steps takes in an mr x nv tile, from the throughput of FMAs, loads and the second-level cache.
// k is 1 where the panel comes from the first level anyway.
double tile_cycles(const Target *t, int mr, int nv, bool depthwise, int64_t k);
bool tile_fits(const Target *t, int mr, int nv, bool depthwise); // no spills
// Sums that `steps` steps of K go to in turns where a tile has one row of nv vectors: a power of two.
int tile_row_chains(const Product *p, int nv, int64_t steps);
Tile tile_choose(const Product *p);
// Can tiles of nv vectors walk so many columns at once?
bool tile_streams_fit(const Product *p, int nv, int cols);
// May tiles be of that size? Cycles for a step of K with them, for all rows and columns.
bool tile_allowed(const Product *p, int mr, int nv);
double tile_cost(const Product *p, int mr, int nv);
int64_t tile_cost_rows(const Product *p); // how many these are: where it is known at run time only, many
// The sizes that may be best, by falling hope; returns how many. mr and nv have room for max.
int tile_ranking(const Product *p, int *mr, int *nv, int max);
Tile tile_with(const Product *p, int mr, int nv); // everything else is chosen
// The tile of a schedule; where that has no tile, or nothing but its size, the rest is chosen. false: it does not fit
// the product.
bool tile_wanted(const Product *p, const Schedule *s, Tile *t);
// Bits that a single row's elements may be rounded to, and the steps of K that are rounded together; 0: they cannot be.
int product_rounds(const Product *p, int64_t *steps);
// How many cache lines of the next panel each unrolled iteration over K must prefetch: all of it while `tiles` tiles
// are computed from this one. 0 where so few use a panel that there is no time for it.
int tile_ahead(const Product *p, const Tile *t, int64_t tiles);
// The same for the tile's order of loops; 0, too, where the next panel is near anyway.
int tile_prefetch(const Product *p, const Tile *t);
// Lanes for whose elements of the read value there is room: more than the extent where blocks are rounded up.
int64_t product_lane_room(const Product *p, const Expr *read);
void tile_candidates(const Product *p, const Tile *chosen, Str *out); // what else there was, for remarks
// Lane elements that lie side by side in the result's blocks; 0: it is not blocked along the lanes.
int product_block(const Product *p);
void tile_save(Ctx *c, Schedule *s, const Tile *t); // as parameters, and back
Tile tile_load(const Schedule *s);

// Row tiles that cover `extent` in balance: `big` tiles of mr rows, then `small` ones of mr - 1.
typedef struct RowSplit {
  int mr;
  int64_t big, small;
} RowSplit;
RowSplit row_split(int64_t extent, int max_rows);

// ---- product_shape.c: addresses, packing -------------------------------------------------------------------

// Joins the M dims into one where every operand and result is affine in the joint row number, so that tiles
// may straddle image rows. Needs the values' layouts.
void product_collapse(Product *p);
// The element offset of a logical index in v's buffer.
const Expr *flat_offset(Ctx *c, const Value *v, const Expr *const *logical);

// One loop over K: the whole of k_var[k], or, if block > 0, its blocks (outer) or the inside of one (inner).
typedef struct KLoop {
  int k;
  int64_t block;
  bool inner;
  int64_t extent;
} KLoop;
// The loops over K from the outside in: as the broadcast operand lies in memory, or, in_order, as the sum says.
int product_k_loops(const Product *p, KLoop *out);
// The layout in which a constant that the vector operand reads is read front to back; false: it cannot be packed.
bool product_pack(const Product *p, const Tile *t, const Expr *read, const Layout **out);

// What the tiles of a product prefetch of what the schedule around it reads next, one part each.
typedef struct NextRead {
  Value *of;      // NULL: nothing
  const Expr *at; // first element
  int64_t lines;  // cache lines that each tile prefetches
} NextRead;

// What a schedule that has products inside wants of their tiles.
typedef struct ProductInside {
  const Expr *resume; // where this holds, sums go on from what the result holds; NULL: they begin at 0
  NextRead next[2];
} ProductInside;

// The tiles of `columns` columns of tiles from `first` on, as far as there are any, for all rows, with dim d fixed at at[d] (NULL for the
// lanes and the rows).
void product_emit_block(Lower *l, Product *p, const Tile *tile, const Expr *const *at, const Expr *first,
                        int64_t columns, const ProductInside *inside);
// Tiles of rows that cover the product's tile dim (at most).
int64_t product_row_tiles(const Product *p, const Tile *tile);

#endif
