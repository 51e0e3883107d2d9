// attention_single.c: attention for one query at a time, as in generation: bound by the bytes of keys and values,
// each of which is read once, front to back.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "passes/attention_impl.h"

enum { KEYS = 4 }; // whose products with the query are taken together

typedef struct Emit {
  Lower *l;
  Ctx *c;
  const Attention *a;
  int64_t size, cols;
  int lanes, width; // of the query's elements; of vectors of scores
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
    store(s, dot, NULL, STORE_SET, ex_num(s->c, DT_F32, 0));
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

typedef void (*KeyStep)(Emit *s, const Expr *key, const Expr *lane);

// step for all keys, by vectors and then one by one: lane is NULL there.
static void over_keys(Emit *s, KeyStep step) {
  Ctx *c = s->c;
  LowerMark mark, vec;
  const Expr *n = s->a->key->extent, *width = idx(s, s->width), *whole = ex_binary(c, E_FDIV, n, width);
  const Expr *b = begin(s, &mark, "b", LOOP_SERIAL, whole);
  const Expr *v = begin(s, &vec, "v", LOOP_VECTOR, width);
  step(s, ex_add(c, ex_mul(c, b, width), v), v);
  lower_end(s->l, &vec);
  lower_end(s->l, &mark);
  const Expr *r = begin(s, &mark, "rest", LOOP_SERIAL, ex_binary(c, E_MOD, n, width));
  step(s, ex_add(c, ex_mul(c, whole, width), r), NULL);
  lower_end(s->l, &mark);
}

static const Expr *larger(const Emit *s, const Expr *a, const Expr *b) {
  return ex_select(s->c, ex_binary(s->c, E_LT, a, b), b, a); // NaN goes through exp, not through here
}

static void score_step(Emit *s, const Expr *key, const Expr *lane) {
  const Expr *e = attention_swap(s->c, s->a->score, s->a->dot, load(s, s->s, key));
  e = lower_let(s->l, "s", place(s, attention_put(s->c, e, s->a->key, key)));
  store(s, s->s, key, STORE_SET, e);
  Value *top = lane ? s->top : s->top1;
  store(s, top, lane, STORE_SET, larger(s, load(s, top, lane), e));
}

static void weight_step(Emit *s, const Expr *key, const Expr *lane) {
  const Expr *w = ex_unary(s->c, E_EXP, ex_sub(s->c, load(s, s->s, key), load(s, s->top1, NULL)));
  w = lower_let(s->l, "w", w);
  store(s, s->s, key, STORE_SET, w);
  store(s, lane ? s->total : s->total1, lane, STORE_ADD, w);
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
  const Expr *value = attention_swap(c, a->value, a->sum, ex_binary(c, E_DIV, load(s, acc, v), norm));
  Value *out = a->last->out;
  for (int i = 0; i < out->type.rank; i++) {
    const Expr *e = a->last->index ? a->last->index[i] : ex_var(c, a->last->dims[i]);
    index[i] = expr_subst(c, attention_put(c, e, a->col, v), a->lead, s->at, a->nlead);
  }
  int n = lower_index(s->l, out, index, at);
  lower_store(s->l, out, at, n, STORE_SET, place(s, attention_put(c, value, a->col, v)));
  lower_end(s->l, &mark);
}

static void values(Emit *s) {
  LowerMark loop, vec;
  Value *acc = lower_alloc(s->l, "acc", SPACE_REG, DT_F32, 1, &s->cols);
  const Expr *v = begin(s, &vec, "v", LOOP_VECTOR, idx(s, s->cols));
  store(s, acc, v, STORE_SET, ex_num(s->c, DT_F32, 0));
  lower_end(s->l, &vec);
  const Expr *j = begin(s, &loop, "j", LOOP_SERIAL, s->a->key->extent);
  const Expr *w = lower_let(s->l, "w", load(s, s->s, j));
  v = begin(s, &vec, "v", LOOP_VECTOR, idx(s, s->cols));
  const Expr *e = attention_put(s->c, attention_put(s->c, s->a->v, s->a->key, j), s->a->col, v);
  store(s, acc, v, STORE_SET, multiply_add(s, w, place(s, e), load(s, acc, v)));
  lower_end(s->l, &vec);
  lower_end(s->l, &loop);
  store_result(s, acc);
}

// ---- the whole --------------------------------------------------------------------------------------------------------

static void alloc_buffers(Emit *s) {
  int64_t keys = var_bound(s->c, s->a->key), width = s->width;
  s->q = lower_alloc(s->l, "query", SPACE_REG, DT_F32, 1, &s->size);
  s->s = lower_alloc(s->l, "scores", SPACE_SCRATCH, DT_F32, 1, &keys);
  s->top = lower_alloc(s->l, "tops", SPACE_REG, DT_F32, 1, &width);
  s->total = lower_alloc(s->l, "totals", SPACE_REG, DT_F32, 1, &width);
  s->top1 = lower_alloc(s->l, "top", SPACE_REG, DT_F32, 0, NULL);
  s->total1 = lower_alloc(s->l, "total", SPACE_REG, DT_F32, 0, NULL);
}

bool attention_lower_single(Lower *l, const Attention *a) {
  Emit s = {.l = l, .c = l->c, .a = a};
  Ctx *c = l->c;
  LowerMark mark;
  expr_is_const_int(a->size->extent, &s.size);
  expr_is_const_int(a->col->extent, &s.cols);
  s.lanes = attention_lanes(l->target, s.size);
  s.width = l->target->vector_bytes / dtype_bytes(DT_F32);
  if (s.size > 1024 || s.cols > 1024) return false; // held in registers
  const Expr *total = idx(&s, 1);
  for (int i = 0; i < a->nlead; i++) total = ex_mul(c, total, a->lead[i]->extent);
  const Expr *left = begin(&s, &mark, "task", LOOP_PARALLEL, total);
  for (int i = a->nlead - 1; i >= 0; i--) {
    s.at[i] = ex_binary(c, E_MOD, left, a->lead[i]->extent);
    left = ex_binary(c, E_FDIV, left, a->lead[i]->extent);
  }
  alloc_buffers(&s);
  load_query(&s);
  all_dot_products(&s);
  softmax(&s);
  values(&s);
  lower_end(l, &mark);
  return true;
}
