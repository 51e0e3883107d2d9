// product_prefetch.c: what a tile of a product asks for before it is needed.
// SPDX-License-Identifier: Apache-2.0
#include "passes/product_emit.h"

enum { CACHE_LINE = 64 }; // bytes

// Where the next panel begins in the vector operand's buffer, or the present block of K in it.
static const Expr *next_panel(Emit *s, const TileAt *t) {
  const Expr *lane = s->at[s->p->lane], *k_at[MAX_RANK + 2];
  memcpy(k_at, s->k_at, sizeof k_at);
  for (int i = 0; i < s->p->nk; i++) s->k_at[i] = ex_idx(s->c, 0);
  if (s->blocks.sums) product_set_k(s, 0, ex_idx(s->c, 0));
  s->at[s->p->lane] = ex_add(s->c, t->lane0, ex_idx(s->c, (int64_t)s->tile.nv * s->tile.lanes));
  const Expr *read = product_place(s, s->p->b);
  s->at[s->p->lane] = lane;
  memcpy(s->k_at, k_at, sizeof k_at);
  return flat_offset(s->c, read->value, read->args);
}

void product_prefetch(Emit *s, const TileAt *t, const Expr *step) {
  Ctx *c = s->c;
  if (!s->ahead.lines) return;
  const Expr *tile = ex_add(c, s->ahead.first, t->number);
  const Expr *done = ex_add(c, ex_mul(c, tile, ex_idx(c, s->ahead.steps)), step);
  Value *b = s->p->b->value;
  int64_t line = CACHE_LINE / dtype_bytes(b->type.dtype);
  const Expr *at = ex_add(c, next_panel(s, t), ex_mul(c, done, ex_idx(c, s->ahead.lines * line)));
  for (int64_t i = 0; i < s->ahead.lines; i++) lower_prefetch(s->l, b, ex_add(c, at, ex_idx(c, i * line)));
}

// Numbers in one element of what is read: more than one where they have few bits.
static int64_t numbers_of(const Expr *read) {
  int64_t numbers = 1, n;
  for (int i = 0; i < read->nargs; i++)
    if (read->args[i]->op == E_FDIV && expr_is_const_int(read->args[i]->args[1], &n)) numbers *= n;
  return numbers;
}

void product_prefetch_streams(Emit *s, const TileAt *t, int level, const Expr *first, int64_t steps) {
  Ctx *c = s->c;
  const Expr *b = product_read(s->p->b), *lane = s->at[s->p->lane];
  if (!s->single || !s->tile.distance || !b) return;
  int64_t line = CACHE_LINE / dtype_bytes(b->value->type.dtype), width = (int64_t)s->tile.nv * s->tile.lanes;
  int64_t lines = ceil_div(steps * width, numbers_of(b) * line);
  const Expr *before = product_set_k(s, level, first);
  for (int64_t i = 0; i * s->tile.nv < t->nv; i++) {
    s->at[s->p->lane] = ex_add(c, t->lane0, ex_idx(c, i * width));
    const Expr *read = product_place(s, b), *at = flat_offset(c, read->value, read->args);
    for (int64_t n = 0; n < lines; n++)
      lower_prefetch(s->l, b->value, ex_add(c, at, ex_idx(c, (s->tile.distance + n) * line)));
  }
  s->at[s->p->lane] = lane;
  s->k_at[s->loop[level].k] = before;
}

void product_prefetch_next(Emit *s, const TileAt *t, const NextRead *next) {
  Ctx *c = s->c;
  if (!next->of) return;
  int64_t line = CACHE_LINE / dtype_bytes(next->of->type.dtype);
  const Expr *at = ex_add(c, next->at, ex_mul(c, t->number, ex_idx(c, next->lines * line)));
  for (int64_t i = 0; i < next->lines; i++)
    lower_prefetch(s->l, next->of, ex_add(c, at, ex_idx(c, i * line)));
}
