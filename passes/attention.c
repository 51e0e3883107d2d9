// attention.c: the schedule class of attention: which of its schedules, and with what tiles.
// SPDX-License-Identifier: Apache-2.0
#include "passes/attention_impl.h"
#include "passes/product_impl.h"

enum {
  MIN_QUERIES = 4,          // fewer are done one by one
  MAX_KEYS = 24,            // of one register tile
  MAX_QUERY_VECTORS = 6,    // of one
  MAX_HEADS = 16,           // done together, of single queries
  SCORE_BYTES = 128 * 1024, // of one block of scores, if
  SCORE_PART = 4,           // no more of the second-level cache than its part: keys and values are beside it
};

// ---- tiles ------------------------------------------------------------------------------------------------------

static int64_t extent_of(const Attention *a, const Var *v) {
  return var_bound(a->c, v);
}

// Cycles of scores for one head.
static double score_cycles(const Target *t, const Attention *a, int keys, int nv) {
  int64_t lanes = t->vector_bytes / dtype_bytes(DT_F32), rows = extent_of(a, a->lead[a->row]);
  double tiles = (double)ceil_div(rows, lanes * nv) * (double)ceil_div(extent_of(a, a->key), keys);
  double keys_from_cache = (double)keys * 4 / 32; // bytes of a step, by what the second-level cache delivers
  double cycles = tile_cycles(t, keys, nv, false, 1);
  return tiles * (double)extent_of(a, a->size) * (cycles > keys_from_cache ? cycles : keys_from_cache) *
         (1 + 0.02 / keys + 0.02 / nv);
}

static void choose_scores(const Target *t, const Attention *a, AttentionTile *r) {
  double best = 0;
  int lanes = t->vector_bytes / dtype_bytes(DT_F32);
  for (int nv = 1; nv <= MAX_QUERY_VECTORS; nv++)
    for (int keys = 1; keys <= MAX_KEYS && tile_fits(t, keys, nv, false); keys++) {
      double cycles = score_cycles(t, a, keys, nv);
      if (best > 0 && cycles >= best) continue;
      best = cycles;
      r->keys = keys;
      r->queries = nv * lanes;
    }
}

// The block's queries in equal tiles, the elements of a value too. All keys' values pass by for each tile.
static void choose_values(const Target *t, const Attention *a, AttentionTile *r) {
  int64_t cols = extent_of(a, a->col), vectors = cols / attention_lanes(t, cols);
  double best = 0;
  for (int nv = 1; nv <= vectors && nv <= 8; nv++) {
    if (vectors % nv) continue;
    for (int rows = 1; rows <= 12 && tile_fits(t, rows, nv, false); rows++) {
      if (r->queries % rows) continue;
      double cycles = tile_cycles(t, rows, nv, false, extent_of(a, a->key)) / (rows * nv);
      if (best > 0 && cycles >= best) continue;
      best = cycles;
      r->rows = rows;
      r->vectors = nv;
    }
  }
}

static bool has_vector_queries(const Target *t, const Attention *a) {
  return attention_lanes(t, extent_of(a, a->size)) >= 4;
}

static AttentionTile choose_tile(const Target *t, const Attention *a) {
  AttentionTile r = {0};
  choose_scores(t, a, &r);
  choose_values(t, a, &r);
  int64_t bytes = t->l2 / SCORE_PART < SCORE_BYTES ? t->l2 / SCORE_PART : SCORE_BYTES;
  int64_t all = round_up(extent_of(a, a->key), r.keys), fit = bytes / (4 * r.queries) / r.keys * r.keys;
  if (fit < r.keys) fit = r.keys;
  r.block = (int)(all <= 2 * fit ? all : fit);
  if (!expr_is_const_int(a->lead[a->row]->extent, &all) && has_vector_queries(t, a)) r.few = MIN_QUERIES;
  return r;
}

static int clamp(int64_t v, int64_t lo, int64_t hi) {
  return (int)(v < lo ? lo : v > hi ? hi : v);
}

bool attention_tile_load(const Lower *l, const Attention *a, AttentionTile *t) {
  const Kernel *k = l->k;
  int64_t cols = extent_of(a, a->col), vectors = cols / attention_lanes(l->target, cols);
  t->queries = clamp(schedule_get(k, "queries", 8), 1, 128);
  t->keys = clamp(schedule_get(k, "keys", 4), 1, 32);
  t->block = clamp(schedule_get(k, "block", 512), 1, 1 << 16);
  t->block = (int)round_up(t->block, t->keys);
  t->rows = clamp(schedule_get(k, "rows", 1), 1, 16);
  t->vectors = clamp(schedule_get(k, "vectors", 1), 1, 16);
  t->few = attention_is_short(a) ? clamp(schedule_get(k, "few", 0), 0, t->queries) : 0;
  while (t->queries % t->rows) t->rows--;
  while (vectors % t->vectors) t->vectors--;
  return a->row >= 0;
}

// ---- heads that go together ---------------------------------------------------------------------------------------

int64_t attention_heads(const Attention *a) {
  int64_t n = 1, e;
  for (int i = a->nlead - 1; i >= 0; i--) {
    if (i == a->row) continue;
    if (!expr_is_const_int(a->lead[i]->extent, &e)) break;
    n = mul_sat(n, e);
  }
  return n;
}

static int largest_divisor(int64_t n, int64_t most) {
  for (int64_t d = most < n ? most : n; d > 1; d--)
    if (n % d == 0) return (int)d;
  return 1;
}

// Do the keys that are seen depend on the head?
static bool range_varies(const Attention *a) {
  const Expr *row = a->row < 0 ? ex_idx(a->c, 0) : ex_var(a->c, a->lead[a->row]);
  KeyRange r = attention_range(a, (Queries){row, row, false});
  for (int i = 0; i < a->nlead; i++) {
    if (i == a->row) continue;
    if (r.first && expr_uses_var(a->c, r.first, a->lead[i])) return true;
    if (r.end && expr_uses_var(a->c, r.end, a->lead[i])) return true;
  }
  return false;
}

// The keys of neighbouring heads lie side by side: together they are whole cache lines and long runs. But each thread
// needs its share, and the scores of all must stay in the second-level cache.
int attention_group(const Attention *a, const Target *t, int threads) {
  int64_t heads = attention_heads(a), fit = t->l2 / 4 / mul_sat(4, var_bound(a->c, a->key));
  if (range_varies(a)) return 1;
  if (threads == 0) threads = 2;
  if (fit > MAX_HEADS) fit = MAX_HEADS;
  return largest_divisor(heads % threads ? heads : heads / threads, fit);
}

int attention_group_load(const Lower *l, const Attention *a) {
  int64_t heads = schedule_get(l->k, "heads", 1);
  return largest_divisor(attention_heads(a), range_varies(a) || heads < 1 ? 1 : heads);
}

// ---- the class ----------------------------------------------------------------------------------------------------

static bool has_vector_values(const Target *t, const Attention *a) {
  return attention_lanes(t, extent_of(a, a->col)) >= 4;
}

static void save(Ctx *c, Schedule *s, const AttentionTile *t) {
  schedule_add(c, s, "queries", t->queries);
  schedule_add(c, s, "keys", t->keys);
  schedule_add(c, s, "block", t->block);
  schedule_add(c, s, "rows", t->rows);
  schedule_add(c, s, "vectors", t->vectors);
  if (t->few) schedule_add(c, s, "few", t->few);
}

// Takes the parameters as they are: attention_tile_load makes them fit. Those of one query at a time are none.
static bool take(Ctx *c, Schedule *s, const Schedule *wanted, const AttentionTile *t) {
  if (schedule_param(wanted, "queries", 0) < 2) return false;
  AttentionTile r = {.queries = (int)schedule_param(wanted, "queries", t->queries),
                     .keys = (int)schedule_param(wanted, "keys", t->keys),
                     .block = (int)schedule_param(wanted, "block", t->block),
                     .rows = (int)schedule_param(wanted, "rows", t->rows),
                     .vectors = (int)schedule_param(wanted, "vectors", t->vectors),
                     .few = t->few};
  save(c, s, &r);
  return true;
}

// Does the class take the kernel, and is it done in blocks of queries?
static bool view(Module *m, Kernel *k, const PassOptions *o, Attention *a, bool *blocks) {
  if (o->opt_level < 2 || o->fp_strict || !attention_match(m->ctx, k, a)) return false;
  if (!has_vector_values(m->target, a)) return false;
  *blocks = a->row >= 0 && extent_of(a, a->lead[a->row]) >= MIN_QUERIES;
  return *blocks || has_vector_queries(m->target, a);
}

bool attention_choose(Module *m, Node *n, const PassOptions *o, const Schedule *wanted) {
  Attention a;
  bool blocks;
  Schedule *s = &n->kernel->schedule;
  if (!view(m, n->kernel, o, &a, &blocks)) return false;
  if (!blocks) {
    schedule_add(m->ctx, s, "queries", 1);
    schedule_add(m->ctx, s, "heads", attention_group(&a, m->target, o->threads));
    return !wanted;
  }
  AttentionTile t = choose_tile(m->target, &a);
  if (wanted && !take(m->ctx, s, wanted, &t)) return false;
  if (!wanted) save(m->ctx, s, &t);
  if (t.few) schedule_add(m->ctx, s, "heads", attention_group(&a, m->target, o->threads));
  return true;
}

// ---- candidates ---------------------------------------------------------------------------------------------------

static void list(Ctx *c, const AttentionTile *t, ScheduleList *out) {
  Schedule s = schedule_like("attention");
  save(c, &s, t);
  schedule_list(c, out, &s);
}

// The tallest tiles of scores for each width.
static void list_scores(const Target *target, Ctx *c, AttentionTile t, ScheduleList *out) {
  int lanes = target->vector_bytes / dtype_bytes(DT_F32), block = t.block;
  for (int nv = 1; nv <= MAX_QUERY_VECTORS; nv++)
    for (int keys = MAX_KEYS, n = 0; keys > 1 && n < 3; keys--) {
      if (!tile_fits(target, keys, nv, false)) continue;
      t.queries = nv * lanes;
      t.keys = keys;
      t.block = (int)round_up(block, keys);
      list(c, &t, out);
      n++;
    }
}

static void list_values(const Target *target, Ctx *c, AttentionTile t, int64_t vectors, ScheduleList *out) {
  for (int nv = 1; nv <= vectors && nv <= 8; nv++)
    for (int rows = 12, n = 0; rows > 1 && n < 2; rows--) {
      if (vectors % nv || t.queries % rows || !tile_fits(target, rows, nv, false)) continue;
      t.rows = rows;
      t.vectors = nv;
      list(c, &t, out);
      n++;
    }
}

static void list_blocks(Ctx *c, AttentionTile t, int64_t all, ScheduleList *out) {
  for (int64_t parts = 1; parts <= 8; parts *= 2) {
    int64_t block = round_up(ceil_div(all, parts), t.keys);
    t.block = (int)(block < 1 << 16 ? block : 1 << 16);
    list(c, &t, out);
  }
}

void attention_candidates(Module *m, Node *n, const PassOptions *o, const Schedule *near, ScheduleList *out) {
  Attention a;
  bool blocks;
  if (!view(m, n->kernel, o, &a, &blocks) || !blocks) return;
  AttentionTile t = choose_tile(m->target, &a);
  if (!near) {
    list_scores(m->target, m->ctx, t, out);
    return;
  }
  Schedule s = {0};
  if (!take(m->ctx, &s, near, &t)) return;
  t.queries = (int)schedule_param(&s, "queries", 0);
  t.keys = (int)schedule_param(&s, "keys", 0);
  t.block = (int)schedule_param(&s, "block", 0);
  int64_t cols = extent_of(&a, a.col);
  list_values(m->target, m->ctx, t, cols / attention_lanes(m->target, cols), out);
  list_blocks(m->ctx, t, extent_of(&a, a.key), out);
}

// Long products, whose operands are in the caches.
double attention_cycles(Module *m, Node *n) {
  return (double)n->kernel->flops / (m->target->vector_bytes / 4.0 * 4) / m->target->costs.peak;
}

bool attention_lower(Lower *l) {
  Attention a;
  if (!attention_match(l->c, l->k, &a)) return false;
  l->loc = a.last->loc;
  bool single = schedule_get(l->k, "queries", 1) <= 1;
  return single ? attention_lower_single(l, &a) : attention_lower_rows(l, &a);
}
