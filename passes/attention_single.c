// attention_single.c: attention for one query at a time, as in generation: bound by the bytes of keys and values,
// each of which is read once, for several heads together, in several streams side by side.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "passes/attention_impl.h"

enum {
  MAX_LENGTH = 1024, // of queries and values
  MAX_UNROLL = 8,    // vectors of a query in one iteration
  CHAINS = 8,        // vectors of sums side by side, since each addition waits for the one before
  MAX_KEYS = 8,      // whose values are added in one iteration
};

typedef struct Emit {
  Lower *l;
  Ctx *c;
  const Attention *a;
  int64_t size, cols;
  int lanes, width;          // of the query's elements; of vectors of scores
  int heads;                 // that go together
  const Expr *head0;         // the first of them
  bool in_registers;         // their results are until all values are added
  int chains, keys;          // sums of one result; keys whose values are added in one iteration
  int streams;               // parts of the keys that are read side by side, see key_number
  const Expr *at[MAX_RANK];  // the leading dims, at the present head
  const Expr *first, *count; // of the keys that the query sees
  const Expr *part;          // how many keys a stream has
  const Expr *score;         // of one of them
  Value *q, *s;              // [heads, size], [heads, keys]
  Value *top, *total;        // [heads, width], [heads, 1]
} Emit;

static const Expr *idx(const Emit *s, int64_t v) {
  return ex_idx(s->c, v);
}

static const Expr *begin(Emit *s, LowerMark *mark, const char *name, LoopKind kind, const Expr *extent) {
  const Var *v = var_new(s->c, name, extent);
  lower_for(s->l, v, kind, mark);
  return ex_var(s->c, v);
}

// A vector loop. Until its end v is the lane.
static const Expr *begin_vector(Emit *s, LowerMark *mark, int64_t lanes) {
  return begin(s, mark, "v", LOOP_VECTOR, idx(s, lanes));
}

// Puts the leading dims at a head.
static void go_to_head(Emit *s, const Expr *head) {
  const Attention *a = s->a;
  for (int i = a->nlead - 1; i >= 0; i--) {
    if (i == a->row) continue;
    s->at[i] = ex_binary(s->c, E_MOD, head, a->lead[i]->extent);
    head = ex_binary(s->c, E_FDIV, head, a->lead[i]->extent);
  }
}

// A loop over the heads; the leading dims are at that one until its end.
static const Expr *begin_heads(Emit *s, LowerMark *mark, LoopKind kind) {
  const Expr *g = begin(s, mark, "head", kind, idx(s, s->heads));
  go_to_head(s, ex_add(s->c, s->head0, g));
  return g;
}

static const Expr *place(const Emit *s, const Expr *e) {
  return lower_reads(s->l, expr_subst(s->c, e, s->a->lead, s->at, s->a->nlead));
}

static const Expr *load(const Emit *s, Value *v, const Expr *i, const Expr *k) {
  const Expr *index[] = {i, k};
  return ex_read(s->c, v, index, v->type.rank);
}

static void store(Emit *s, Value *v, const Expr *i, const Expr *k, StoreKind op, const Expr *value) {
  const Expr *index[] = {i, k};
  lower_store(s->l, v, index, v->type.rank, op, value);
}

static const Expr *multiply_add(const Emit *s, const Expr *a, const Expr *b, const Expr *sum) {
  if (s->l->target->fma) return ex_ternary(s->c, E_FMA, a, b, sum);
  return ex_add(s->c, ex_mul(s->c, a, b), sum);
}

static Value *registers(Emit *s, const char *name, int64_t rows, int64_t cols) {
  const int64_t shape[] = {rows, cols};
  return lower_alloc(s->l, name, SPACE_REG, DT_F32, 2, shape);
}

// v[row] = value, all of it.
static void fill(Emit *s, Value *v, const Expr *row, double value) {
  LowerMark mark;
  const Expr *i = begin_vector(s, &mark, v->type.dim[1].n);
  store(s, v, row, i, STORE_SET, ex_num(s->c, DT_F32, value));
  lower_end(s->l, &mark);
}

static void copy(Emit *s, Value *to, const Expr *row, Value *from, const Expr *from_row) {
  LowerMark mark;
  const Expr *i = begin_vector(s, &mark, to->type.dim[1].n);
  store(s, to, row, i, STORE_SET, load(s, from, from_row, i));
  lower_end(s->l, &mark);
}

// ---- which keys ----------------------------------------------------------------------------------------------

// Several heads together go through the keys that any of them sees.
static void find_keys(Emit *s) {
  const Attention *a = s->a;
  Ctx *c = s->c;
  int64_t lo, hi;
  const Expr *row = a->row < 0 ? idx(s, 0) : s->at[a->row], *last = row, *end = a->key->extent;
  if (a->row >= 0) last = ex_sub(c, a->lead[a->row]->extent, idx(s, 1));
  KeyRange r = attention_range(a, (Queries){row, row, s->heads > 1}),
           most = attention_range(a, (Queries){idx(s, 0), last, true});
  if (most.end) most.end = ex_sub(c, end, most.end);
  bool inside = most.end && expr_bounds(c, most.end, NULL, &lo, &hi) && lo >= 0;
  go_to_head(s, s->head0);
  if (r.first) r.first = expr_subst(c, r.first, a->lead, s->at, a->nlead);
  if (r.end) r.end = expr_subst(c, r.end, a->lead, s->at, a->nlead);
  if (r.end) end = inside ? r.end : ex_binary(c, E_MIN, r.end, end);
  s->first = r.first ? lower_let(s->l, "first", ex_binary(c, E_MAX, r.first, idx(s, 0))) : idx(s, 0);
  s->count = ex_sub(c, end, s->first);
  if (!expr_bounds(c, s->count, NULL, &lo, &hi) || lo < 0)
    s->count = ex_binary(c, E_MAX, s->count, idx(s, 0));
  s->count = lower_let(s->l, "count", s->count);
  s->part = lower_let(s->l, "part", ex_binary(c, E_FDIV, s->count, idx(s, s->streams)));
  s->score = r.score;
}

// ---- scores ---------------------------------------------------------------------------------------------------

// dots[r] = q * k of the keys `key`[r], a vector of them together: so their sums over lanes are taken together, too.
static void dot_products(Emit *s, const Expr *g, Value *dots, const Expr *const *key) {
  LowerMark loop, unroll, vec;
  const int64_t chunks = s->size / s->lanes;
  const int64_t together = chunks % MAX_UNROLL == 0 ? MAX_UNROLL : chunks < MAX_UNROLL ? chunks : 1;
  const Expr *zero = idx(s, 0);
  Value *acc = registers(s, "acc", s->width, s->lanes);
  for (int r = 0; r < s->width && chunks > 1; r++) fill(s, acc, idx(s, r), 0);
  const Expr *d = begin(s, &loop, "d", LOOP_SERIAL, idx(s, chunks / together));
  const Expr *u = begin(s, &unroll, "du", LOOP_UNROLL, idx(s, together));
  d = ex_mul(s->c, ex_add(s->c, ex_mul(s->c, d, idx(s, together)), u), idx(s, s->lanes));
  const Expr *v = begin_vector(s, &vec, s->lanes), *i = ex_add(s->c, d, v);
  const Expr *q = lower_let(s->l, "q", load(s, s->q, g, i));
  for (int r = 0; r < s->width; r++) {
    const Expr *k = attention_put(s->c, attention_put(s->c, s->a->k, s->a->size, i), s->a->key, key[r]);
    k = place(s, k);
    k = chunks > 1 ? multiply_add(s, q, k, load(s, acc, idx(s, r), v)) : ex_mul(s->c, q, k);
    store(s, acc, idx(s, r), v, STORE_SET, k);
  }
  lower_end(s->l, &vec);
  lower_end(s->l, &unroll);
  lower_end(s->l, &loop);
  fill(s, dots, zero, -0.0); // which nothing need be added to
  v = begin_vector(s, &vec, s->lanes);
  for (int r = 0; r < s->width; r++) store(s, dots, zero, idx(s, r), STORE_ADD, load(s, acc, idx(s, r), v));
  lower_end(s->l, &vec);
}

static const Expr *larger(const Emit *s, const Expr *a, const Expr *b) {
  return ex_select(s->c, ex_binary(s->c, E_LT, a, b), b, a); // NaN goes through exp, not through here
}

// A core gets more from memory through several streams than through one (half as much again on Zen 3), so the keys are
// cut into as many parts of equal length, which are read side by side: scores lie in the order in which they are
// made, one key of each part after the other. Keys that are left over come last.

// The key, counted from the first that is seen, whose score is number round * streams + stream.
static const Expr *key_number(const Emit *s, const Expr *round, const Expr *stream) {
  return ex_add(s->c, round, ex_mul(s->c, s->part, stream));
}

// The number of the first score, and key, that is left over, and how many are.
static const Expr *left_over(const Emit *s) {
  return ex_mul(s->c, s->part, idx(s, s->streams));
}

static const Expr *number_left(const Emit *s) {
  return ex_binary(s->c, E_MOD, s->count, idx(s, s->streams));
}

// The scores of a vector of keys for each head, from number `at` on: those of this round in the streams from `stream`
// on. No round: keys that are left over, of which the last ones may not exist: they are computed from the last one that
// does, and hidden.
static void score_vector(Emit *s, const Expr *at, const Expr *round, int stream) {
  Ctx *c = s->c;
  LowerMark heads, vec;
  bool last = !round;
  const Expr *key[64], *final = ex_sub(c, s->count, idx(s, 1));
  for (int r = 0; r < s->width; r++) {
    key[r] = last ? ex_binary(c, E_MIN, ex_add(c, at, idx(s, r)), final)
                  : key_number(s, round, idx(s, stream + r));
    key[r] = ex_add(c, s->first, key[r]);
    if (last) key[r] = lower_let(s->l, "key", key[r]);
  }
  const Expr *g = begin_heads(s, &heads, LOOP_SERIAL);
  Value *dots = registers(s, "dots", 1, s->width);
  dot_products(s, g, dots, key);
  const Expr *v = begin_vector(s, &vec, s->width), *i = ex_add(c, at, v);
  const Expr *real =
      last ? ex_binary(c, E_MIN, i, final) : key_number(s, round, ex_add(c, idx(s, stream), v));
  const Expr *e = expr_replace(c, s->score, s->a->dot, load(s, dots, idx(s, 0), v));
  e = place(s, attention_put(c, e, s->a->key, ex_add(c, s->first, real)));
  if (last) e = ex_select(c, ex_binary(c, E_LT, i, s->count), e, ex_num(c, DT_F32, -INFINITY));
  e = lower_let(s->l, "s", e);
  store(s, s->s, g, i, STORE_SET, e);
  store(s, s->top, g, v, STORE_SET, larger(s, load(s, s->top, g, v), e));
  lower_end(s->l, &vec);
  lower_end(s->l, &heads);
}

static void scores(Emit *s) {
  Ctx *c = s->c;
  LowerMark mark;
  const Expr *width = idx(s, s->width), *rest = left_over(s);
  const Expr *b = begin(s, &mark, "b", LOOP_SERIAL, s->part);
  for (int stream = 0; stream < s->streams; stream += s->width)
    score_vector(s, ex_add(c, ex_mul(c, b, idx(s, s->streams)), idx(s, stream)), b, stream);
  lower_end(s->l, &mark);
  const Expr *vectors = ex_binary(c, E_FDIV, ex_add(c, number_left(s), idx(s, s->width - 1)), width);
  b = begin(s, &mark, "rest", LOOP_SERIAL, vectors);
  score_vector(s, ex_add(c, rest, ex_mul(c, b, width)), NULL, 0);
  lower_end(s->l, &mark);
}

// ---- softmax ----------------------------------------------------------------------------------------------------

// Weights of all scores of a head; those of keys that do not exist are exp(-inf).
static void weights(Emit *s) {
  Ctx *c = s->c;
  LowerMark heads, mark, vec;
  const Expr *width = idx(s, s->width), *zero = idx(s, 0);
  const Expr *whole = ex_binary(c, E_FDIV, ex_add(c, s->count, idx(s, s->width - 1)), width);
  const Expr *g = begin_heads(s, &heads, LOOP_SERIAL);
  Value *top = registers(s, "top", 1, 1), *sums = registers(s, "sums", 1, s->width);
  const Expr *hidden = ex_num(c, DT_F32, -INFINITY);
  fill(s, top, zero, -INFINITY);
  fill(s, sums, zero, 0);
  const Expr *v = begin_vector(s, &mark, s->width);
  store(s, top, zero, zero, STORE_MAX, load(s, s->top, g, v));
  lower_end(s->l, &mark);
  const Expr *t = load(s, top, zero, zero);
  store(s, top, zero, zero, STORE_SET, ex_select(c, ex_binary(c, E_EQ, t, hidden), ex_num(c, DT_F32, 0), t));
  const Expr *b = begin(s, &mark, "b", LOOP_SERIAL, whole);
  v = begin_vector(s, &vec, s->width);
  const Expr *i = ex_add(c, ex_mul(c, b, width), v);
  const Expr *w = lower_let(s->l, "w", attention_exp(c, load(s, s->s, g, i), t));
  store(s, s->s, g, i, STORE_SET, w);
  store(s, sums, zero, v, STORE_ADD, w);
  lower_end(s->l, &vec);
  lower_end(s->l, &mark);
  store(s, s->total, g, zero, STORE_SET, ex_num(c, DT_F32, 0));
  v = begin_vector(s, &vec, s->width);
  store(s, s->total, g, zero, STORE_ADD, load(s, sums, zero, v));
  lower_end(s->l, &vec);
  lower_end(s->l, &heads);
}

// ---- values ---------------------------------------------------------------------------------------------------------

// The result of head g from sum `row` of acc.
static void store_result(Emit *s, const Expr *g, Value *acc, const Expr *row) {
  const Attention *a = s->a;
  Ctx *c = s->c;
  LowerMark mark;
  const Expr *v = begin_vector(s, &mark, s->cols), *index[MAX_RANK], *at[MAX_PHYS_RANK];
  const Expr *norm = expr_replace(c, a->norm, a->total, load(s, s->total, g, idx(s, 0)));
  const Expr *value = expr_replace(c, a->value, a->sum, ex_binary(c, E_DIV, load(s, acc, row, v), norm));
  Value *out = a->last->out;
  for (int i = 0; i < out->type.rank; i++) {
    const Expr *e = a->last->index ? a->last->index[i] : ex_var(c, a->last->dims[i]);
    index[i] = expr_subst(c, attention_put(c, e, a->col, v), a->lead, s->at, a->nlead);
  }
  int n = lower_index(s->l, out, index, at);
  lower_store(s->l, out, at, n, STORE_SET, place(s, attention_put(c, value, a->col, v)));
  lower_end(s->l, &mark);
}

// Adds the value of a key of those that are seen, by the weight for head g that is number j, to a sum.
static void add_value(Emit *s, const Expr *g, Value *acc, const Expr *row, const Expr *j, const Expr *key) {
  LowerMark vec;
  const Expr *w = lower_let(s->l, "w", load(s, s->s, g, j));
  const Expr *v = begin_vector(s, &vec, s->cols);
  const Expr *e = attention_put(s->c, s->a->v, s->a->key, ex_add(s->c, s->first, key));
  e = place(s, attention_put(s->c, e, s->a->col, v));
  store(s, acc, row, v, STORE_SET, multiply_add(s, w, e, load(s, acc, row, v)));
  lower_end(s->l, &vec);
}

// key[n], whose weights are those from number j on, for all heads. Sums in memory are fetched for that.
static void add_keys(Emit *s, Value *acc, const Expr *j, const Expr *const *key, int n) {
  LowerMark heads;
  if (s->in_registers) {
    for (int k = 0; k < n; k++) {
      const Expr *g = begin_heads(s, &heads, LOOP_UNROLL);
      const Expr *row = ex_add(s->c, ex_mul(s->c, g, idx(s, s->chains)), idx(s, k % s->chains));
      add_value(s, g, acc, row, ex_add(s->c, j, idx(s, k)), key[k]);
      lower_end(s->l, &heads);
    }
    return;
  }
  const Expr *g = begin_heads(s, &heads, LOOP_SERIAL), *zero = idx(s, 0);
  Value *sum = registers(s, "sum", 1, s->cols);
  copy(s, sum, zero, acc, g);
  for (int k = 0; k < n; k++) add_value(s, g, sum, zero, ex_add(s->c, j, idx(s, k)), key[k]);
  copy(s, acc, g, sum, zero);
  lower_end(s->l, &heads);
}

static void all_keys(Emit *s, Value *acc) {
  Ctx *c = s->c;
  LowerMark loop;
  const Expr *n = s->count, *from = left_over(s);
  const Expr *t = begin(s, &loop, "round", LOOP_SERIAL, s->part), *j = ex_mul(c, t, idx(s, s->streams));
  for (int stream = 0; stream < s->streams; stream += s->keys) {
    const Expr *key[MAX_KEYS];
    for (int k = 0; k < s->keys; k++) key[k] = key_number(s, t, idx(s, stream + k));
    add_keys(s, acc, ex_add(c, j, idx(s, stream)), key, s->keys);
  }
  lower_end(s->l, &loop);
  const Expr *r = begin(s, &loop, "rest", LOOP_SERIAL, number_left(s));
  // What the minimum says is plain, but not to the prover.
  r = lower_let(s->l, "key", ex_binary(c, E_MIN, ex_add(c, from, r), ex_sub(c, n, idx(s, 1))));
  add_keys(s, acc, r, &r, 1);
  lower_end(s->l, &loop);
}

static void add_chains(Emit *s, Value *acc, const Expr *first) {
  LowerMark vec;
  for (int i = 1; i < s->chains; i++) {
    const Expr *v = begin_vector(s, &vec, s->cols), *from = ex_add(s->c, first, idx(s, i));
    store(s, acc, first, v, STORE_SET, ex_add(s->c, load(s, acc, first, v), load(s, acc, from, v)));
    lower_end(s->l, &vec);
  }
}

static void values(Emit *s) {
  LowerMark loop;
  const int64_t shape[] = {(int64_t)s->heads * s->chains, s->cols};
  LoopKind kind = s->in_registers ? LOOP_UNROLL : LOOP_SERIAL;
  Value *acc = lower_alloc(s->l, "results", s->in_registers ? SPACE_REG : SPACE_SCRATCH, DT_F32, 2, shape);
  fill(s, acc, begin(s, &loop, "i", kind, idx(s, shape[0])), 0);
  lower_end(s->l, &loop);
  all_keys(s, acc);
  const Expr *g = begin_heads(s, &loop, kind), *row = ex_mul(s->c, g, idx(s, s->chains));
  add_chains(s, acc, row);
  store_result(s, g, acc, row);
  lower_end(s->l, &loop);
}

// ---- the whole --------------------------------------------------------------------------------------------------------

static void load_queries(Emit *s) {
  LowerMark heads, vec;
  const Expr *g = begin_heads(s, &heads, LOOP_SERIAL), *v = begin_vector(s, &vec, s->size);
  store(s, s->q, g, v, STORE_SET, place(s, attention_put(s->c, s->a->q, s->a->size, v)));
  lower_end(s->l, &vec);
  fill(s, s->top, g, -INFINITY);
  lower_end(s->l, &heads);
}

static void alloc_buffers(Emit *s) {
  int64_t width = s->width, keys = (var_bound(s->c, s->a->key) / width + 1) * width, n = s->heads;
  const int64_t q[] = {n, s->size}, sc[] = {n, keys}, top[] = {n, width}, total[] = {n, 1};
  s->q = lower_alloc(s->l, "queries", SPACE_SCRATCH, DT_F32, 2, q);
  s->s = lower_alloc(s->l, "scores", SPACE_SCRATCH, DT_F32, 2, sc);
  s->top = lower_alloc(s->l, "tops", SPACE_SCRATCH, DT_F32, 2, top);
  s->total = lower_alloc(s->l, "totals", SPACE_SCRATCH, DT_F32, 2, total);
}

bool attention_is_short(const Attention *a) {
  int64_t size, cols;
  return expr_is_const_int(a->size->extent, &size) && expr_is_const_int(a->col->extent, &cols) &&
         size <= MAX_LENGTH && cols <= MAX_LENGTH;
}

// Results of all heads stay in registers if they are few; so that additions need not wait, one that is short then has
// several sums.
static void choose_sums(Emit *s) {
  int vectors = s->heads * (int)(s->cols / attention_lanes(s->l->target, s->cols));
  s->in_registers = vectors <= CHAINS && vectors <= s->l->target->vector_regs / 2;
  s->chains = 1;
  while (s->in_registers && 2 * s->chains * vectors <= CHAINS && 2 * s->chains <= MAX_KEYS) s->chains *= 2;
  s->keys = MAX_KEYS;
  while (s->in_registers && s->keys > s->chains && s->keys * vectors > 4 * CHAINS) s->keys /= 2;
}

void attention_emit_single(Lower *l, const Attention *a, const Expr *row, const Expr *head, int heads) {
  Emit s = {.l = l, .c = l->c, .a = a, .head0 = head, .heads = heads};
  if (a->row >= 0) s.at[a->row] = row;
  expr_is_const_int(a->size->extent, &s.size);
  expr_is_const_int(a->col->extent, &s.cols);
  s.lanes = attention_lanes(l->target, s.size);
  s.width = l->target->vector_bytes / dtype_bytes(DT_F32);
  choose_sums(&s);
  s.streams = s.width > s.keys ? s.width : s.keys;
  alloc_buffers(&s);
  load_queries(&s);
  find_keys(&s);
  scores(&s);
  weights(&s);
  values(&s);
}

bool attention_lower_single(Lower *l, const Attention *a) {
  Ctx *c = l->c;
  LowerMark mark;
  int heads = attention_group_load(l, a);
  const Expr *all = ex_idx(c, 1), *row = ex_idx(c, 0);
  if (!attention_is_short(a)) return false;
  for (int i = 0; i < a->nlead; i++)
    if (i != a->row) all = ex_mul(c, all, a->lead[i]->extent);
  const Expr *groups = ex_binary(c, E_FDIV, all, ex_idx(c, heads)); // which divides the last ones
  const Expr *rows = a->row >= 0 ? a->lead[a->row]->extent : ex_idx(c, 1);
  const Var *task = var_new(c, "task", ex_mul(c, groups, rows));
  lower_for(l, task, LOOP_PARALLEL, &mark);
  if (a->row >= 0) row = ex_binary(c, E_MOD, ex_var(c, task), rows);
  const Expr *group = ex_binary(c, E_FDIV, ex_var(c, task), rows);
  attention_emit_single(l, a, row, ex_mul(c, group, ex_idx(c, heads)), heads);
  lower_end(l, &mark);
  return true;
}
