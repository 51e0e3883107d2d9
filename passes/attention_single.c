// attention_single.c: attention for one query at a time, as in generation: bound by the bytes of keys and values,
// each of which is read once, front to back.
// SPDX-License-Identifier: Apache-2.0
#include <limits.h>
#include <math.h>

#include "passes/attention_impl.h"

enum {
  MAX_LENGTH = 1024, // of queries and values, which are held in registers
  KEYS = 4,          // whose products with the query are taken together
  MAX_CHAINS = 4,    // sums of values side by side, since each addition waits for the one before
  CHAIN_VECTORS = 12
};

typedef struct Emit {
  Lower *l;
  Ctx *c;
  const Attention *a;
  int64_t size, cols;
  int lanes, width; // of the query's elements; of vectors of scores
  int chains;
  const Expr *at[MAX_RANK];
  Value *q, *s;         // the query in registers, the scores
  Value *top, *total;   // of vectors of scores
  Value *top1, *total1; // of all
} Emit;

static const Expr *idx(const Emit *s, int64_t v) {
  return ex_idx(s->c, v);
}

static const Expr *begin(Emit *s, LowerMark *mark, const char *name, LoopKind kind, const Expr *extent) {
  const Var *v = var_new(s->c, name, extent);
  lower_for(s->l, v, kind, mark);
  return ex_var(s->c, v);
}

static const Expr *place(const Emit *s, const Expr *e) {
  return lower_reads(s->l, expr_subst(s->c, e, s->a->lead, s->at, s->a->nlead));
}

static const Expr *load(const Emit *s, Value *v, const Expr *i) {
  return ex_read(s->c, v, &i, i ? 1 : 0);
}

static void store(Emit *s, Value *v, const Expr *i, StoreKind op, const Expr *value) {
  lower_store(s->l, v, &i, i ? 1 : 0, op, value);
}

static const Expr *load2(const Emit *s, Value *v, const Expr *i, const Expr *k) {
  const Expr *index[] = {i, k};
  return ex_read(s->c, v, index, 2);
}

static void store2(Emit *s, Value *v, const Expr *i, const Expr *k, const Expr *value) {
  const Expr *index[] = {i, k};
  lower_store(s->l, v, index, 2, STORE_SET, value);
}

static const Expr *multiply_add(const Emit *s, const Expr *a, const Expr *b, const Expr *sum) {
  if (s->l->target->fma) return ex_ternary(s->c, E_FMA, a, b, sum);
  return ex_add(s->c, ex_mul(s->c, a, b), sum);
}

static void load_query(Emit *s) {
  LowerMark mark;
  const Expr *v = begin(s, &mark, "v", LOOP_VECTOR, idx(s, s->size));
  store(s, s->q, v, STORE_SET, place(s, attention_put(s->c, s->a->q, s->a->size, v)));
  lower_end(s->l, &mark);
}

// ---- scores ---------------------------------------------------------------------------------------------------

// Lanes with the fewest instructions for one product: those that multiply, then two for each halving of the sum.
static int dot_lanes(const Target *t, int64_t size) {
  int best = attention_lanes(t, size), least = INT_MAX, halvings = 0;
  for (int lanes = best; lanes > 1; lanes /= 2) halvings++;
  for (int lanes = best; lanes >= 4; lanes /= 2, halvings--) {
    int cost = (int)(size / lanes) + 2 * halvings;
    if (cost < least) least = cost, best = lanes;
  }
  return best;
}

// s[key .. key + n] = q * k.
static void dot_products(Emit *s, const Expr *key, int n) {
  LowerMark mark;
  for (int r = 0; r < n; r++) {
    const Expr *at = ex_add(s->c, key, idx(s, r));
    const int64_t lanes = s->lanes;
    Value *acc = lower_alloc(s->l, "acc", SPACE_REG, DT_F32, 1, &lanes);
    Value *dot = lower_alloc(s->l, "dot", SPACE_REG, DT_F32, 0, NULL);
    for (int64_t d = 0; d < s->size; d += lanes) {
      const Expr *v = begin(s, &mark, "v", LOOP_VECTOR, idx(s, lanes)), *i = ex_add(s->c, v, idx(s, d));
      const Expr *k = attention_put(s->c, attention_put(s->c, s->a->k, s->a->size, i), s->a->key, at);
      const Expr *q = load(s, s->q, i);
      k = place(s, k);
      store(s, acc, v, STORE_SET, d ? multiply_add(s, q, k, load(s, acc, v)) : ex_mul(s->c, q, k));
      lower_end(s->l, &mark);
    }
    store(s, dot, NULL, STORE_SET, ex_num(s->c, DT_F32, -0.0)); // which nothing need be added to
    const Expr *v = begin(s, &mark, "v", LOOP_VECTOR, idx(s, lanes));
    store(s, dot, NULL, STORE_ADD, load(s, acc, v));
    lower_end(s->l, &mark);
    store(s, s->s, at, STORE_SET, load(s, dot, NULL));
  }
}

static void all_dot_products(Emit *s) {
  Ctx *c = s->c;
  LowerMark mark;
  const Expr *n = s->a->key->extent, *tiles = ex_binary(c, E_FDIV, n, idx(s, KEYS));
  const Expr *t = begin(s, &mark, "tile", LOOP_SERIAL, tiles);
  dot_products(s, ex_mul(c, t, idx(s, KEYS)), KEYS);
  lower_end(s->l, &mark);
  const Expr *r = begin(s, &mark, "rest", LOOP_SERIAL, ex_binary(c, E_MOD, n, idx(s, KEYS)));
  dot_products(s, ex_add(c, ex_mul(c, tiles, idx(s, KEYS)), r), 1);
  lower_end(s->l, &mark);
}

// ---- softmax ----------------------------------------------------------------------------------------------------

typedef void (*KeyStep)(Emit *s, const Expr *key, const Expr *lane, bool last);

// step for vectors of keys; the last vector may reach beyond the keys.
static void over_keys(Emit *s, KeyStep step) {
  Ctx *c = s->c;
  LowerMark mark, vec;
  const Expr *n = s->a->key->extent, *width = idx(s, s->width), *whole = ex_binary(c, E_FDIV, n, width);
  const Expr *b = begin(s, &mark, "b", LOOP_SERIAL, whole);
  const Expr *v = begin(s, &vec, "v", LOOP_VECTOR, width);
  step(s, ex_add(c, ex_mul(c, b, width), v), v, false);
  lower_end(s->l, &vec);
  lower_end(s->l, &mark);
  lower_if(s->l, ex_binary(c, E_LT, ex_mul(c, whole, width), n), &mark);
  v = begin(s, &vec, "v", LOOP_VECTOR, width);
  step(s, ex_add(c, ex_mul(c, whole, width), v), v, true);
  lower_end(s->l, &vec);
  lower_end(s->l, &mark);
}

static const Expr *larger(const Emit *s, const Expr *a, const Expr *b) {
  return ex_select(s->c, ex_binary(s->c, E_LT, a, b), b, a); // NaN goes through exp, not through here
}

// Keys that do not exist are hidden.
static void score_step(Emit *s, const Expr *key, const Expr *lane, bool last) {
  Ctx *c = s->c;
  const Expr *n = s->a->key->extent, *real = key;
  if (last) real = ex_binary(c, E_MIN, key, ex_sub(c, n, idx(s, 1)));
  const Expr *e = attention_swap(c, s->a->score, s->a->dot, load(s, s->s, key));
  e = place(s, attention_put(c, e, s->a->key, real));
  if (last) e = ex_select(c, ex_binary(c, E_LT, key, n), e, ex_num(c, DT_F32, -INFINITY));
  e = lower_let(s->l, "s", e);
  store(s, s->s, key, STORE_SET, e);
  store(s, s->top, lane, STORE_SET, larger(s, load(s, s->top, lane), e));
}

static void weight_step(Emit *s, const Expr *key, const Expr *lane, bool last) {
  (void)last;
  const Expr *w = ex_unary(s->c, E_EXP, ex_sub(s->c, load(s, s->s, key), load(s, s->top1, NULL)));
  w = lower_let(s->l, "w", w);
  store(s, s->s, key, STORE_SET, w);
  store(s, s->total, lane, STORE_ADD, w);
}

static void softmax(Emit *s) {
  Ctx *c = s->c;
  LowerMark mark;
  const Expr *hidden = ex_num(c, DT_F32, -INFINITY), *zero = ex_num(c, DT_F32, 0);
  const Expr *v = begin(s, &mark, "v", LOOP_VECTOR, idx(s, s->width));
  store(s, s->top, v, STORE_SET, hidden);
  store(s, s->total, v, STORE_SET, zero);
  lower_end(s->l, &mark);
  store(s, s->top1, NULL, STORE_SET, hidden);
  store(s, s->total1, NULL, STORE_SET, zero);
  over_keys(s, score_step);
  v = begin(s, &mark, "v", LOOP_VECTOR, idx(s, s->width));
  store(s, s->top1, NULL, STORE_MAX, load(s, s->top, v));
  lower_end(s->l, &mark);
  const Expr *top = load(s, s->top1, NULL);
  store(s, s->top1, NULL, STORE_SET, ex_select(c, ex_binary(c, E_EQ, top, hidden), zero, top));
  over_keys(s, weight_step);
  v = begin(s, &mark, "v", LOOP_VECTOR, idx(s, s->width));
  store(s, s->total1, NULL, STORE_ADD, load(s, s->total, v));
  lower_end(s->l, &mark);
}

// ---- values ---------------------------------------------------------------------------------------------------------

static void store_result(Emit *s, Value *acc) {
  const Attention *a = s->a;
  Ctx *c = s->c;
  LowerMark mark;
  const Expr *v = begin(s, &mark, "v", LOOP_VECTOR, idx(s, s->cols)), *index[MAX_RANK], *at[MAX_PHYS_RANK];
  const Expr *norm = attention_swap(c, a->norm, a->total, load(s, s->total1, NULL));
  const Expr *value =
      attention_swap(c, a->value, a->sum, ex_binary(c, E_DIV, load2(s, acc, idx(s, 0), v), norm));
  Value *out = a->last->out;
  for (int i = 0; i < out->type.rank; i++) {
    const Expr *e = a->last->index ? a->last->index[i] : ex_var(c, a->last->dims[i]);
    index[i] = expr_subst(c, attention_put(c, e, a->col, v), a->lead, s->at, a->nlead);
  }
  int n = lower_index(s->l, out, index, at);
  lower_store(s->l, out, at, n, STORE_SET, place(s, attention_put(c, value, a->col, v)));
  lower_end(s->l, &mark);
}

// Adds the value of key j, by its weight, to a chain.
static void add_value(Emit *s, Value *acc, const Expr *chain, const Expr *j) {
  LowerMark vec;
  const Expr *w = lower_let(s->l, "w", load(s, s->s, j));
  const Expr *v = begin(s, &vec, "v", LOOP_VECTOR, idx(s, s->cols));
  const Expr *e = attention_put(s->c, attention_put(s->c, s->a->v, s->a->key, j), s->a->col, v);
  store2(s, acc, chain, v, multiply_add(s, w, place(s, e), load2(s, acc, chain, v)));
  lower_end(s->l, &vec);
}

static void add_values(Emit *s, Value *acc) {
  Ctx *c = s->c;
  LowerMark loop, unroll;
  const Expr *n = s->a->key->extent, *chains = idx(s, s->chains), *whole = ex_binary(c, E_FDIV, n, chains);
  const Expr *t = begin(s, &loop, "tile", LOOP_SERIAL, whole);
  const Expr *k = begin(s, &unroll, "chain", LOOP_UNROLL, chains);
  add_value(s, acc, k, ex_add(c, ex_mul(c, t, chains), k));
  lower_end(s->l, &unroll);
  lower_end(s->l, &loop);
  if (s->chains == 1) return;
  const Expr *r = begin(s, &loop, "rest", LOOP_SERIAL, ex_binary(c, E_MOD, n, chains));
  add_value(s, acc, idx(s, 0), ex_add(c, ex_mul(c, whole, chains), r));
  lower_end(s->l, &loop);
}

static void values(Emit *s) {
  Ctx *c = s->c;
  LowerMark unroll, vec;
  const int64_t shape[] = {s->chains, s->cols};
  Value *acc = lower_alloc(s->l, "acc", SPACE_REG, DT_F32, 2, shape);
  const Expr *k = begin(s, &unroll, "chain", LOOP_UNROLL, idx(s, s->chains));
  const Expr *v = begin(s, &vec, "v", LOOP_VECTOR, idx(s, s->cols));
  store2(s, acc, k, v, ex_num(c, DT_F32, 0));
  lower_end(s->l, &vec);
  lower_end(s->l, &unroll);
  add_values(s, acc);
  for (int i = 1; i < s->chains; i++) {
    v = begin(s, &vec, "v", LOOP_VECTOR, idx(s, s->cols));
    store2(s, acc, idx(s, 0), v, ex_add(c, load2(s, acc, idx(s, 0), v), load2(s, acc, idx(s, i), v)));
    lower_end(s->l, &vec);
  }
  store_result(s, acc);
}

// ---- the whole --------------------------------------------------------------------------------------------------------

static void alloc_buffers(Emit *s) {
  int64_t width = s->width, keys = (var_bound(s->c, s->a->key) / width + 1) * width;
  s->q = lower_alloc(s->l, "query", SPACE_REG, DT_F32, 1, &s->size);
  s->s = lower_alloc(s->l, "scores", SPACE_SCRATCH, DT_F32, 1, &keys);
  s->top = lower_alloc(s->l, "tops", SPACE_REG, DT_F32, 1, &width);
  s->total = lower_alloc(s->l, "totals", SPACE_REG, DT_F32, 1, &width);
  s->top1 = lower_alloc(s->l, "top", SPACE_REG, DT_F32, 0, NULL);
  s->total1 = lower_alloc(s->l, "total", SPACE_REG, DT_F32, 0, NULL);
}

bool attention_is_short(const Attention *a) {
  int64_t size, cols;
  return expr_is_const_int(a->size->extent, &size) && expr_is_const_int(a->col->extent, &cols) &&
         size <= MAX_LENGTH && cols <= MAX_LENGTH;
}

void attention_emit_single(Lower *l, const Attention *a, const Expr *const *at) {
  Emit s = {.l = l, .c = l->c, .a = a};
  memcpy(s.at, at, (size_t)a->nlead * sizeof *at);
  expr_is_const_int(a->size->extent, &s.size);
  expr_is_const_int(a->col->extent, &s.cols);
  s.lanes = dot_lanes(l->target, s.size);
  s.width = l->target->vector_bytes / dtype_bytes(DT_F32);
  s.chains = (int)(CHAIN_VECTORS * s.width / s.cols);
  s.chains = s.chains < 1 ? 1 : s.chains > MAX_CHAINS ? MAX_CHAINS : s.chains;
  alloc_buffers(&s);
  load_query(&s);
  all_dot_products(&s);
  softmax(&s);
  values(&s);
}

bool attention_lower_single(Lower *l, const Attention *a) {
  Ctx *c = l->c;
  LowerMark mark;
  const Expr *total = ex_idx(c, 1), *at[MAX_RANK];
  if (!attention_is_short(a)) return false;
  for (int i = 0; i < a->nlead; i++) total = ex_mul(c, total, a->lead[i]->extent);
  const Var *task = var_new(c, "task", total);
  lower_for(l, task, LOOP_PARALLEL, &mark);
  const Expr *left = ex_var(c, task);
  for (int i = a->nlead - 1; i >= 0; i--) {
    at[i] = ex_binary(c, E_MOD, left, a->lead[i]->extent);
    left = ex_binary(c, E_FDIV, left, a->lead[i]->extent);
  }
  attention_emit_single(l, a, at);
  lower_end(l, &mark);
  return true;
}
