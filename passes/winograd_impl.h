// winograd_impl.h: what choosing and lowering of Winograd convolutions share.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_PASSES_WINOGRAD_IMPL_H
#define INGOT_PASSES_WINOGRAD_IMPL_H

#include "passes/product_impl.h"
#include "passes/winograd.h"

enum { IN_N, IN_C, IN_H, IN_W };

enum { WINOGRAD_BLOCK = 96 }; // tiles of one task: measured best between 96 and 192

// A 3x3 convolution of stride 1, seen through the product it is.
typedef struct Winograd {
  Lower *l;
  Ctx *c;
  Product p;
  const Expr *x, *w; // reads of the input and of the constant weights
  int n, oh, ow;     // dims of p; n is -1 for one image
  int kh, kw;        // loops of p over the taps
  int64_t images, height, width, ci, co;
  WinogradMatrices f;
  int64_t tiles_h, tiles_w, tiles;
  bool stored;    // the artefact holds transformed weights; else each task transforms them, block by block
  int64_t block;  // tiles of one task
  int64_t splits; // parts of the output channels, each a task of its own
  int lanes_in, lanes_out;
  Tile tile;
  Value *v, *m;
} Winograd;

bool winograd_match(Module *m, Kernel *k, Winograd *w);
// The condition under which the taps at row h and column x lie inside the image.
const Expr *winograd_inside(Winograd *w, const Expr *h, const Expr *x);
void winograd_set_form(Winograd *w, int m);            // F(m, 3), and the tiles that this makes
int winograd_lanes(const Target *t, int64_t channels); // of the widest vectors that divide them

#endif
