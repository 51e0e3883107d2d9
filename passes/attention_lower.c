// attention_lower.c: attention for blocks of queries: these lie in the vector's lanes while scores are made, so
// that maximum and sum are taken lane by lane and neither keys nor values are moved before they are used.
// SPDX-License-Identifier: Apache-2.0
//
// A task is one block of queries of one head:
//
//   Q[d, i]  the block's queries, transposed, in scratch memory
//   for every block of keys
//     S[j, i] = scores, in register tiles of keys x queries        top[i] = maximum
//     S[j, i] = exp(S[j, i] - top[i])                              total[i] = sum
//     acc[i, e] = sum(j) S[j, i] * v[j, e], in register tiles of queries x elements
//   out[i, e] = acc[i, e] / total[i]
//
// With several blocks of keys top, total and acc go on from block to block, rescaled when top grows. Rows of S
// beyond the last key repeat it, and lanes beyond the last query repeat that, so that nothing outside is read.
#include <math.h>

#include "passes/attention_impl.h"
#include "passes/product_impl.h"

enum { UNROLL_SIZE = 4 }; // elements of a query in one iteration of the innermost loop

typedef struct Emit {
  Lower *l;
  Ctx *c;
  const Attention *a;
  AttentionTile t;
  int64_t size, cols;       // extents of q and v
  int lanes;                // of v
  bool blocks;              // of keys: more than one
  const Expr *at[MAX_RANK]; // leading dims; that of the queries is NULL
  const Expr *row0;         // first query
  Value *q, *s, *acc, *total, *scale;
  Value *top_reg, *sum_reg;
} Emit;

// ---- places ---------------------------------------------------------------------------------------------------

static const Expr *idx(const Emit *s, int64_t v) {
  return ex_idx(s->c, v);
}

static const Expr *begin(Emit *s, LowerMark *mark, const char *name, LoopKind kind, const Expr *extent) {
  const Var *v = var_new(s->c, name, extent);
  lower_for(s->l, v, kind, mark);
  return ex_var(s->c, v);
}

static const Expr *begin_n(Emit *s, LowerMark *mark, const char *name, LoopKind kind, int64_t n) {
  return begin(s, mark, name, kind, idx(s, n));
}

static const Expr *queries(const Emit *s) {
  return s->a->lead[s->a->row]->extent;
}

static bool is_partial(const Emit *s) {
  int64_t n;
  return !expr_is_const_int(queries(s), &n) || n % s->t.queries != 0;
}

typedef struct RowClamp {
  const Var *row;
  const Expr *by;
} RowClamp;

static const Expr *clamp_read(Ctx *c, const Expr *e, void *data) {
  const RowClamp *r = data;
  if (e->op != E_READ) return e;
  const Expr *args[MAX_PHYS_RANK];
  for (int i = 0; i < e->nargs; i++) args[i] = attention_put(c, e->args[i], r->row, r->by);
  return ex_read(c, e->value, args, e->nargs);
}

// e for query `row` of the tensor, reads physical. Where the last block is not full, reads stay inside.
static const Expr *place(const Emit *s, const Expr *e, const Expr *row) {
  const Attention *a = s->a;
  const Expr *with[MAX_RANK];
  if (is_partial(s)) {
    RowClamp r = {a->lead[a->row], ex_binary(s->c, E_MIN, row, ex_sub(s->c, queries(s), idx(s, 1)))};
    e = expr_rewrite(s->c, e, clamp_read, &r);
  }
  for (int i = 0; i < a->nlead; i++) with[i] = i == a->row ? row : s->at[i];
  return lower_reads(s->l, expr_subst(s->c, e, a->lead, with, a->nlead));
}

// Key number n, or the last one: for tiles that reach beyond.
static const Expr *existing_key(Emit *s, const Expr *n) {
  const Expr *last = ex_sub(s->c, s->a->key->extent, idx(s, 1));
  int64_t lo, hi;
  bool inside = expr_bounds(s->c, ex_sub(s->c, last, n), NULL, &lo, &hi) && lo >= 0;
  return inside ? n : lower_let(s->l, "key", ex_binary(s->c, E_MIN, n, last));
}

static void store(Emit *s, Value *v, const Expr *i, const Expr *k, const Expr *value) {
  const Expr *index[] = {i, k};
  lower_store(s->l, v, index, k ? 2 : 1, STORE_SET, value);
}

static const Expr *load(const Emit *s, Value *v, const Expr *i, const Expr *k) {
  const Expr *index[] = {i, k};
  return ex_read(s->c, v, index, k ? 2 : 1);
}

static const Expr *larger(const Emit *s, const Expr *a, const Expr *b) {
  return ex_select(s->c, ex_binary(s->c, E_LT, a, b), b, a); // NaN goes through exp, not through here
}

static const Expr *multiply_add(const Emit *s, const Expr *a, const Expr *b, const Expr *sum) {
  if (s->l->target->fma) return ex_ternary(s->c, E_FMA, a, b, sum);
  return ex_add(s->c, ex_mul(s->c, a, b), sum);
}

static void fill(Emit *s, Value *v, double number) {
  LowerMark mark;
  const Expr *i = begin_n(s, &mark, "v", LOOP_VECTOR, s->t.queries);
  store(s, v, i, NULL, ex_num(s->c, DT_F32, number));
  lower_end(s->l, &mark);
}

// ---- queries --------------------------------------------------------------------------------------------------

static void pack_queries(Emit *s) {
  LowerMark rows, cols, unroll;
  int64_t u = s->size % 8 == 0 ? 8 : 1;
  const Expr *i = begin_n(s, &rows, "i", LOOP_SERIAL, s->t.queries);
  const Expr *d = begin_n(s, &cols, "d", LOOP_SERIAL, s->size / u);
  const Expr *k = begin_n(s, &unroll, "du", LOOP_UNROLL, u);
  d = ex_add(s->c, ex_mul(s->c, d, idx(s, u)), k);
  const Expr *e = attention_put(s->c, s->a->q, s->a->size, d);
  store(s, s->q, d, i, place(s, e, ex_add(s->c, s->row0, i)));
  lower_end(s->l, &unroll);
  lower_end(s->l, &cols);
  lower_end(s->l, &rows);
}

// ---- scores ---------------------------------------------------------------------------------------------------

static void step_of_size(Emit *s, Value *acc, const Expr *const *key, const Expr *d) {
  for (int r = 0; r < s->t.keys; r++) {
    LowerMark mark;
    const Expr *e = attention_put(s->c, attention_put(s->c, s->a->k, s->a->size, d), s->a->key, key[r]);
    const Expr *k = lower_let(s->l, "k", place(s, e, s->row0));
    const Expr *v = begin_n(s, &mark, "v", LOOP_VECTOR, s->t.queries);
    store(s, acc, idx(s, r), v, multiply_add(s, k, load(s, s->q, d, v), load(s, acc, idx(s, r), v)));
    lower_end(s->l, &mark);
  }
}

static void dot_products(Emit *s, Value *acc, const Expr *const *key) {
  LowerMark loop, unroll;
  int64_t u = s->size % UNROLL_SIZE == 0 ? UNROLL_SIZE : 1;
  const Expr *d = begin_n(s, &loop, "d", LOOP_SERIAL, s->size / u);
  const Expr *k = begin_n(s, &unroll, "du", LOOP_UNROLL, u);
  step_of_size(s, acc, key, ex_add(s->c, ex_mul(s->c, d, idx(s, u)), k));
  lower_end(s->l, &unroll);
  lower_end(s->l, &loop);
}

// Scores of t.keys keys from `first` of the block on, which begins with key0.
static void score_tile(Emit *s, const Expr *key0, const Expr *first) {
  int64_t shape[] = {s->t.keys, s->t.queries};
  Value *acc = lower_alloc(s->l, "acc", SPACE_REG, DT_F32, 2, shape);
  const Expr *key[64];
  for (int r = 0; r < s->t.keys; r++) {
    key[r] = existing_key(s, ex_add(s->c, key0, ex_add(s->c, first, idx(s, r))));
    LowerMark mark;
    const Expr *v = begin_n(s, &mark, "v", LOOP_VECTOR, s->t.queries);
    store(s, acc, idx(s, r), v, ex_num(s->c, DT_F32, 0));
    lower_end(s->l, &mark);
  }
  dot_products(s, acc, key);
  for (int r = 0; r < s->t.keys; r++) {
    LowerMark mark;
    const Expr *v = begin_n(s, &mark, "v", LOOP_VECTOR, s->t.queries);
    const Expr *e = expr_replace(s->c, s->a->score, s->a->dot, load(s, acc, idx(s, r), v));
    e = place(s, attention_put(s->c, e, s->a->key, key[r]), ex_add(s->c, s->row0, v));
    e = lower_let(s->l, "s", e);
    store(s, s->s, ex_add(s->c, first, idx(s, r)), v, e);
    store(s, s->top_reg, v, NULL, larger(s, load(s, s->top_reg, v, NULL), e));
    lower_end(s->l, &mark);
  }
}

static void scores(Emit *s, const Expr *key0, const Expr *count) {
  LowerMark loop;
  const Expr *n = idx(s, s->t.keys);
  const Expr *tiles = ex_binary(s->c, E_FDIV, ex_add(s->c, count, idx(s, s->t.keys - 1)), n);
  const Expr *t = begin(s, &loop, "tile", LOOP_SERIAL, tiles);
  score_tile(s, key0, ex_mul(s->c, t, n));
  lower_end(s->l, &loop);
}

// ---- weights --------------------------------------------------------------------------------------------------

// What earlier blocks gave is scaled to the new maximum: scale = exp(old - new), 0 where all was hidden.
static void rescale(Emit *s, Value *old) {
  LowerMark mark;
  const Expr *v = begin_n(s, &mark, "v", LOOP_VECTOR, s->t.queries);
  const Expr *before = load(s, old, v, NULL), *now = load(s, s->top_reg, v, NULL);
  const Expr *same = ex_binary(s->c, E_EQ, before, now);
  const Expr *by = ex_select(s->c, same, ex_num(s->c, DT_F32, 1), attention_exp(s->c, before, now));
  by = lower_let(s->l, "by", by);
  store(s, s->scale, v, NULL, by);
  store(s, s->sum_reg, v, NULL, ex_mul(s->c, load(s, s->sum_reg, v, NULL), by));
  lower_end(s->l, &mark);
}

static void weights(Emit *s, const Expr *count) {
  LowerMark mark, loop;
  const int64_t n = s->t.queries;
  Value *top = lower_alloc(s->l, "top", SPACE_REG, DT_F32, 1, &n);
  const Expr *v = begin_n(s, &mark, "v", LOOP_VECTOR, n), *hidden = ex_num(s->c, DT_F32, -INFINITY);
  const Expr *t = load(s, s->top_reg, v, NULL);
  store(s, top, v, NULL, ex_select(s->c, ex_binary(s->c, E_EQ, t, hidden), ex_num(s->c, DT_F32, 0), t));
  lower_end(s->l, &mark);
  const Expr *j = begin(s, &loop, "j", LOOP_SERIAL, count);
  v = begin_n(s, &mark, "v", LOOP_VECTOR, n);
  const Expr *w = lower_let(s->l, "w", attention_exp(s->c, load(s, s->s, j, v), load(s, top, v, NULL)));
  store(s, s->s, j, v, w);
  store(s, s->sum_reg, v, NULL, ex_add(s->c, load(s, s->sum_reg, v, NULL), w));
  lower_end(s->l, &mark);
  lower_end(s->l, &loop);
}

// ---- the product with the values ------------------------------------------------------------------------------------

typedef struct ValueTile {
  const Expr *row, *col; // first query of the block's, first element
  Value *acc;
} ValueTile;

static int64_t tile_width(const Emit *s) {
  return (int64_t)s->t.vectors * s->lanes;
}

static void value_steps(Emit *s, const ValueTile *t, const Expr *key0, const Expr *count) {
  LowerMark loop, row, vec;
  const Expr *j = begin(s, &loop, "j", LOOP_SERIAL, count);
  const Expr *key = existing_key(s, ex_add(s->c, key0, j));
  const Expr *r = begin_n(s, &row, "r", LOOP_UNROLL, s->t.rows);
  const Expr *w = lower_let(s->l, "w", load(s, s->s, j, ex_add(s->c, t->row, r)));
  const Expr *v = begin_n(s, &vec, "v", LOOP_VECTOR, tile_width(s));
  const Expr *e =
      attention_put(s->c, attention_put(s->c, s->a->v, s->a->key, key), s->a->col, ex_add(s->c, t->col, v));
  store(s, t->acc, r, v, multiply_add(s, w, place(s, e, s->row0), load(s, t->acc, r, v)));
  lower_end(s->l, &vec);
  lower_end(s->l, &row);
  lower_end(s->l, &loop);
}

// The result for query `row` of the block at elements from `col` on; `sum` is the weighted sum.
static void store_result(Emit *s, const Expr *row, const Expr *col, const Expr *sum) {
  const Attention *a = s->a;
  Ctx *c = s->c;
  LowerMark mask;
  const Expr *query = ex_add(c, s->row0, row), *index[MAX_RANK], *at[MAX_PHYS_RANK], *with[MAX_RANK];
  const Expr *norm = expr_replace(c, a->norm, a->total, load(s, s->total, row, NULL));
  const Expr *value = expr_replace(c, a->value, a->sum, ex_binary(c, E_DIV, sum, norm));
  value = place(s, attention_put(c, value, a->col, col), query);
  Value *out = a->last->out;
  for (int i = 0; i < a->nlead; i++) with[i] = i == a->row ? query : s->at[i];
  for (int i = 0; i < out->type.rank; i++) {
    const Expr *e = a->last->index ? a->last->index[i] : ex_var(c, a->last->dims[i]);
    index[i] = expr_subst(c, attention_put(c, e, a->col, col), a->lead, with, a->nlead);
  }
  bool partial = is_partial(s);
  if (partial) lower_if(s->l, ex_binary(c, E_LT, query, queries(s)), &mask);
  int n = lower_index(s->l, out, index, at);
  lower_store(s->l, out, at, n, STORE_SET, value);
  if (partial) lower_end(s->l, &mask);
}

static void begin_values(Emit *s, const ValueTile *t) {
  LowerMark row, vec;
  const Expr *r = begin_n(s, &row, "r", LOOP_UNROLL, s->t.rows);
  const Expr *v = begin_n(s, &vec, "v", LOOP_VECTOR, tile_width(s)), *at = ex_add(s->c, t->row, r);
  const Expr *start = ex_num(s->c, DT_F32, 0);
  if (s->blocks)
    start = ex_mul(s->c, load(s, s->acc, at, ex_add(s->c, t->col, v)), load(s, s->scale, at, NULL));
  store(s, t->acc, r, v, start);
  lower_end(s->l, &vec);
  lower_end(s->l, &row);
}

static void end_values(Emit *s, const ValueTile *t) {
  LowerMark row, vec;
  const Expr *r = begin_n(s, &row, "r", LOOP_UNROLL, s->t.rows);
  const Expr *v = begin_n(s, &vec, "v", LOOP_VECTOR, tile_width(s)), *at = ex_add(s->c, t->row, r);
  const Expr *sum = load(s, t->acc, r, v), *col = ex_add(s->c, t->col, v);
  if (s->blocks)
    store(s, s->acc, at, col, sum);
  else
    store_result(s, at, col, sum);
  lower_end(s->l, &vec);
  lower_end(s->l, &row);
}

// Tiles of queries that exist: the last block may have fewer.
static const Expr *row_tiles(const Emit *s) {
  Ctx *c = s->c;
  const Expr *all = idx(s, s->t.queries / s->t.rows);
  if (!is_partial(s)) return all;
  const Expr *left = ex_add(c, ex_sub(c, queries(s), s->row0), idx(s, s->t.rows - 1));
  return ex_binary(c, E_MIN, all, ex_binary(c, E_FDIV, left, idx(s, s->t.rows)));
}

static void values(Emit *s, const Expr *key0, const Expr *count) {
  LowerMark cols, rows;
  int64_t shape[] = {s->t.rows, tile_width(s)};
  const Expr *n = begin_n(s, &cols, "n", LOOP_SERIAL, s->cols / tile_width(s));
  const Expr *m = begin(s, &rows, "m", LOOP_SERIAL, row_tiles(s));
  ValueTile t = {ex_mul(s->c, m, idx(s, s->t.rows)), ex_mul(s->c, n, idx(s, tile_width(s))), NULL};
  t.acc = lower_alloc(s->l, "acc", SPACE_REG, DT_F32, 2, shape);
  begin_values(s, &t);
  value_steps(s, &t, key0, count);
  end_values(s, &t);
  lower_end(s->l, &rows);
  lower_end(s->l, &cols);
}

// ---- blocks of keys -----------------------------------------------------------------------------------------------

static void copy_queries(Emit *s, Value *to, Value *from) {
  LowerMark mark;
  const Expr *v = begin_n(s, &mark, "v", LOOP_VECTOR, s->t.queries);
  store(s, to, v, NULL, load(s, from, v, NULL));
  lower_end(s->l, &mark);
}

static void key_block(Emit *s, const Expr *key0, const Expr *count) {
  const int64_t n = s->t.queries;
  Value *old = s->blocks ? lower_alloc(s->l, "old", SPACE_REG, DT_F32, 1, &n) : NULL;
  if (old) copy_queries(s, old, s->top_reg);
  scores(s, key0, count);
  if (old) rescale(s, old);
  weights(s, count);
  copy_queries(s, s->total, s->sum_reg);
  values(s, key0, count);
}

// The keys that the block of queries sees, of those from key0 on: at most t.block.
static const Expr *block_count(Emit *s, const Expr *key0, const Expr *end) {
  Ctx *c = s->c;
  const Expr *left = ex_sub(c, end, key0);
  int64_t lo, hi, n = s->t.block;
  if (expr_bounds(c, left, NULL, &lo, &hi) && hi <= n && lo >= 0) return lower_let(s->l, "count", left);
  left = ex_binary(c, E_MAX, ex_binary(c, E_MIN, left, idx(s, n)), idx(s, 0));
  return lower_let(s->l, "count", left);
}

static KeyRange key_range(Emit *s) {
  Ctx *c = s->c;
  const Attention *a = s->a;
  const Expr *row1 = ex_add(c, s->row0, idx(s, s->t.queries - 1)), *with[MAX_RANK];
  if (is_partial(s)) row1 = ex_binary(c, E_MIN, row1, ex_sub(c, queries(s), idx(s, 1)));
  KeyRange r = attention_range(a, (Queries){s->row0, row1, false});
  for (int i = 0; i < a->nlead; i++) with[i] = i == a->row ? s->row0 : s->at[i];
  if (r.first) r.first = expr_subst(c, r.first, a->lead, with, a->nlead);
  if (r.end) r.end = expr_subst(c, r.end, a->lead, with, a->nlead);
  r.end = r.end ? ex_binary(c, E_MIN, r.end, a->key->extent) : a->key->extent;
  r.first = r.first ? ex_binary(c, E_MAX, r.first, idx(s, 0)) : idx(s, 0);
  return r;
}

static void clear_values(Emit *s) {
  LowerMark row, vec;
  const Expr *r = begin_n(s, &row, "r", LOOP_SERIAL, s->t.queries);
  const Expr *v = begin_n(s, &vec, "v", LOOP_VECTOR, s->cols);
  store(s, s->acc, r, v, ex_num(s->c, DT_F32, 0));
  lower_end(s->l, &vec);
  lower_end(s->l, &row);
}

static void all_key_blocks(Emit *s) {
  Ctx *c = s->c;
  LowerMark loop, row, vec;
  KeyRange r = key_range(s);
  const Expr *n = idx(s, s->t.block);
  const Expr *first = lower_let(s->l, "first", ex_binary(c, E_FDIV, r.first, n));
  const Expr *end = lower_let(s->l, "end", r.end);
  const Expr *blocks = ex_sub(c, ex_binary(c, E_FDIV, ex_add(c, end, idx(s, s->t.block - 1)), n), first);
  blocks = lower_let(s->l, "blocks", ex_binary(c, E_MAX, blocks, idx(s, 0)));
  clear_values(s);
  const Expr *b = begin(s, &loop, "block", LOOP_SERIAL, blocks);
  const Expr *key0 = lower_let(s->l, "key0", ex_mul(c, ex_add(c, first, b), n));
  key_block(s, key0, block_count(s, key0, end));
  lower_end(s->l, &loop);
  const Expr *m = begin_n(s, &row, "r", LOOP_SERIAL, s->t.queries);
  const Expr *v = begin_n(s, &vec, "v", LOOP_VECTOR, s->cols);
  store_result(s, m, v, load(s, s->acc, m, v));
  lower_end(s->l, &vec);
  lower_end(s->l, &row);
}

// ---- tasks --------------------------------------------------------------------------------------------------------

static void alloc_buffers(Emit *s) {
  int64_t n = s->t.queries, q[] = {s->size, n}, sc[] = {s->t.block, n}, acc[] = {n, s->cols};
  s->q = lower_alloc(s->l, "queries", SPACE_SCRATCH, DT_F32, 2, q);
  s->s = lower_alloc(s->l, "scores", SPACE_SCRATCH, DT_F32, 2, sc);
  s->total = lower_alloc(s->l, "total", SPACE_SCRATCH, DT_F32, 1, &n);
  s->top_reg = lower_alloc(s->l, "top", SPACE_REG, DT_F32, 1, &n);
  s->sum_reg = lower_alloc(s->l, "sum", SPACE_REG, DT_F32, 1, &n);
  if (!s->blocks) return;
  s->acc = lower_alloc(s->l, "result", SPACE_SCRATCH, DT_F32, 2, acc);
  s->scale = lower_alloc(s->l, "scale", SPACE_SCRATCH, DT_F32, 1, &n);
}

// All queries of a group of heads, one by one, if `head` is the first of a group.
static void single_queries(Emit *s, const Expr *head) {
  LowerMark loop, branch;
  int heads = attention_group_load(s->l, s->a);
  lower_if(s->l, ex_binary(s->c, E_EQ, ex_binary(s->c, E_MOD, head, idx(s, heads)), idx(s, 0)), &branch);
  const Expr *query = begin(s, &loop, "query", LOOP_SERIAL, queries(s));
  attention_emit_single(s->l, s->a, query, head, heads);
  lower_end(s->l, &loop);
  lower_end(s->l, &branch);
}

static void task(Emit *s) {
  alloc_buffers(s);
  pack_queries(s);
  fill(s, s->top_reg, -INFINITY);
  fill(s, s->sum_reg, 0);
  if (s->blocks) {
    all_key_blocks(s);
    return;
  }
  KeyRange r = key_range(s);
  key_block(s, idx(s, 0), block_count(s, idx(s, 0), r.end));
}

static const Expr *take_index(Ctx *c, const Expr **left, const Expr *extent) {
  const Expr *i = ex_binary(c, E_MOD, *left, extent);
  *left = ex_binary(c, E_FDIV, *left, extent);
  return i;
}

bool attention_lower_rows(Lower *l, const Attention *a) {
  Emit s = {.l = l, .c = l->c, .a = a};
  Ctx *c = l->c;
  LowerMark mark;
  expr_is_const_int(a->size->extent, &s.size);
  expr_is_const_int(a->col->extent, &s.cols);
  if (!attention_tile_load(l, a, &s.t)) return false;
  s.lanes = attention_lanes(l->target, s.cols);
  s.blocks = var_bound(c, a->key) > s.t.block;
  const Expr *n = idx(&s, s.t.queries);
  const Expr *blocks = ex_binary(c, E_FDIV, ex_add(c, queries(&s), idx(&s, s.t.queries - 1)), n),
             *total = blocks;
  for (int i = 0; i < a->nlead; i++)
    if (i != a->row) total = ex_mul(c, total, a->lead[i]->extent);
  const Expr *left = begin(&s, &mark, "task", LOOP_PARALLEL, total);
  s.row0 = lower_let(l, "row0", ex_mul(c, take_index(c, &left, blocks), n));
  const Expr *head = left;
  for (int i = a->nlead - 1; i >= 0; i--)
    if (i != a->row) s.at[i] = take_index(c, &left, a->lead[i]->extent);
  LowerMark branch;
  if (s.t.few) {
    lower_if(l, ex_binary(c, E_LT, queries(&s), idx(&s, s.t.few)), &branch);
    single_queries(&s, head);
    lower_else(l, &branch);
  }
  task(&s);
  if (s.t.few) lower_end(l, &branch);
  lower_end(l, &mark);
  return true;
}
