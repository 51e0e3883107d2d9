// product_round.c: a single row times weights of few bits: the row's elements are rounded to 16 bits (to 8 for weights of
// four), group by group, and multiplied as whole numbers, two or four in one instruction.
// SPDX-License-Identifier: Apache-2.0
#include "passes/product_emit.h"

enum { WORD_BITS = 32, HALF = 16, BYTE = 8, GREATEST = 32767, GREATEST_BYTE = 127 };

static int64_t per_word(const Rounded *r) {
  return WORD_BITS / r->bits;
}

static double greatest(const Rounded *r) {
  return r->bytes ? GREATEST_BYTE : GREATEST;
}

// ---- the row ------------------------------------------------------------------------------------------------------

// The row's element at K.
static const Expr *element(Emit *s, const Expr *k) {
  const Expr *before = product_set_k(s, 0, k), *a = product_place_reads(s, s->p->a);
  s->k_at[s->loop[0].k] = before;
  return a;
}

static Value *lanes_new(Emit *s, const char *name, int64_t lanes) {
  EmitLoop loop;
  Value *x = lower_alloc(s->l, name, SPACE_REG, DT_I32, 1, &lanes);
  const Expr *v = emit_loop(s, &loop, "v", LOOP_VECTOR, ex_idx(s->c, lanes));
  lower_store(s->l, x, &v, 1, STORE_SET, ex_int(s->c, DT_I32, 0));
  emit_end(s, &loop);
  return x;
}

// All lanes combined in the first `to`.
static void lanes_fold(Emit *s, Value *x, ExprOp op, int64_t lanes, int64_t to) {
  for (int64_t n = lanes / 2; n >= to; n /= 2) {
    EmitLoop loop;
    const Expr *v = emit_loop(s, &loop, "v", n > 1 ? LOOP_VECTOR : LOOP_UNROLL, ex_idx(s->c, n));
    const Expr *other = ex_add(s->c, v, ex_idx(s->c, n));
    const Expr *both = ex_binary(s->c, op, ex_read(s->c, x, &v, 1), ex_read(s->c, x, &other, 1));
    lower_store(s->l, x, &v, 1, STORE_SET, both);
    emit_end(s, &loop);
  }
}

static const Expr *lanes_join(Emit *s, Value *x, ExprOp op, int64_t lanes) {
  const Expr *first = ex_idx(s->c, 0);
  lanes_fold(s, x, op, lanes, 1);
  return ex_read(s->c, x, &first, 1);
}

// The largest magnitude of the group from `first` on. Bits of magnitudes are ordered as these are, NaN above all, so that
// it makes the group's sums NaN. Below 2^-100 there is no telling apart, which keeps the scale's reciprocal finite.
static const Expr *largest(Emit *s, const Expr *first) {
  Ctx *c = s->c;
  EmitLoop loop, lane;
  int64_t steps = s->rounded.steps, lanes = s->tile.lanes;
  while (steps % lanes) lanes /= 2;
  Value *most = lanes_new(s, "most", lanes);
  const Expr *i = emit_loop(s, &loop, "i", LOOP_SERIAL, ex_idx(c, steps / lanes));
  const Expr *v = emit_loop(s, &lane, "v", LOOP_VECTOR, ex_idx(c, lanes));
  const Expr *a = element(s, ex_add(c, first, ex_add(c, ex_mul(c, i, ex_idx(c, lanes)), v)));
  const Expr *size = ex_binary(c, E_AND, ex_bitcast(c, DT_I32, a), ex_int(c, DT_I32, INT32_MAX));
  lower_store(s->l, most, &v, 1, STORE_SET, ex_binary(c, E_MAX, ex_read(c, most, &v, 1), size));
  emit_end(s, &lane);
  emit_end(s, &loop);
  const Expr *least = ex_bitcast(c, DT_I32, ex_num(c, DT_F32, 0x1p-100));
  return ex_bitcast(c, DT_F32, ex_binary(c, E_MAX, lanes_join(s, most, E_MAX, lanes), least));
}

// The nearest whole number, in the low half of an i32: the last bits of a float of that size are ones.
static const Expr *rounded_bits(Emit *s, const Expr *k, const Expr *reciprocal) {
  const Expr *shift = ex_num(s->c, DT_F32, 0x1.8p23);
  return ex_bitcast(s->c, DT_I32, ex_add(s->c, ex_mul(s->c, element(s, k), reciprocal), shift));
}

static const Expr *whole_bits(Emit *s, const Expr *e, int64_t mask) {
  return ex_binary(s->c, E_AND, e, ex_int(s->c, DT_I32, mask));
}

// Word number w of group g as pairs: elements that lie half a word apart, which its numbers do in the halves of the word.
// Returns the sums of pairs, one a lane.
static const Expr *round_pairs(Emit *s, const Expr *k, const Expr *number, const Expr *reciprocal,
                               const Expr *v) {
  Ctx *c = s->c;
  int64_t half = per_word(&s->rounded) / 2;
  k = ex_add(c, k, v);
  const Expr *low = whole_bits(s, rounded_bits(s, k, reciprocal), (1 << HALF) - 1);
  const Expr *high = rounded_bits(s, ex_add(c, k, ex_idx(c, half)), reciprocal);
  const Expr *pair = ex_binary(c, E_OR, low, ex_binary(c, E_SHL, high, ex_int(c, DT_I32, HALF)));
  const Expr *at = ex_add(c, ex_mul(c, number, ex_idx(c, half)), v);
  lower_store(s->l, s->rounded.pairs, &at, 1, STORE_SET, pair);
  return ex_binary(c, E_DOT16, ex_read(c, s->rounded.pairs, &at, 1), ex_int(c, DT_I32, 1 << HALF | 1));
}

// Byte v // 2 of words, as v goes through the elements of one: those of even and of odd ones are apart.
static const Expr *to_byte(Emit *s, const Expr *bits, const Expr *v) {
  const Expr *by = ex_mul(s->c, ex_binary(s->c, E_FDIV, v, ex_idx(s->c, 2)), ex_idx(s->c, BYTE));
  return ex_binary(s->c, E_SHL, whole_bits(s, bits, (1 << BYTE) - 1), ex_cast(s->c, DT_I32, by));
}

// As bytes, four in an i32: the elements that the word's even numbers meet, and those that the odd ones do.
static void round_bytes(Emit *s, const Expr *first, const Expr *number, const Expr *reciprocal, Value *sum) {
  Ctx *c = s->c;
  EmitLoop lane;
  int64_t per = per_word(&s->rounded);
  Value *bytes = lanes_new(s, "bytes", per);
  const Expr *v = emit_loop(s, &lane, "v", LOOP_VECTOR, ex_idx(c, per));
  const Expr *bits = lower_let(s->l, "bits", rounded_bits(s, ex_add(c, first, v), reciprocal));
  lower_store(s->l, bytes, &v, 1, STORE_SET, to_byte(s, bits, v));
  if (sum) { // with the sign of the byte
    const Expr *by = ex_int(c, DT_I32, WORD_BITS - BYTE);
    const Expr *whole = ex_binary(c, E_SHR, ex_binary(c, E_SHL, bits, by), by);
    lower_store(s->l, sum, &v, 1, STORE_SET, ex_add(c, ex_read(c, sum, &v, 1), whole));
  }
  emit_end(s, &lane);
  lanes_fold(s, bytes, E_OR, per, 2);
  v = emit_loop(s, &lane, "v", LOOP_VECTOR, ex_idx(c, 2));
  const Expr *at = ex_add(c, ex_mul(c, number, ex_idx(c, 2)), v);
  lower_store(s->l, s->rounded.pairs, &at, 1, STORE_SET, ex_read(c, bytes, &v, 1));
  emit_end(s, &lane);
}

// One group, number g.
static void round_group(Emit *s, const Expr *g) {
  Ctx *c = s->c;
  Rounded *r = &s->rounded;
  EmitLoop words, lane;
  int64_t per = per_word(r), lanes = r->bytes ? per : per / 2;
  const Expr *first = ex_mul(c, g, ex_idx(c, r->steps));
  const Expr *top = lower_let(s->l, "top", largest(s, first));
  lower_store(s->l, r->scale, &g, 1, STORE_SET, ex_mul(c, top, ex_num(c, DT_F32, 1.0 / greatest(r))));
  const Expr *reciprocal =
      lower_let(s->l, "reciprocal", ex_binary(c, E_DIV, ex_num(c, DT_F32, greatest(r)), top));
  Value *sum = r->offset ? lanes_new(s, "sum", lanes) : NULL;
  const Expr *w = emit_loop(s, &words, "w", LOOP_SERIAL, ex_idx(c, r->steps / per));
  const Expr *k = ex_add(c, first, ex_mul(c, w, ex_idx(c, per)));
  const Expr *number = ex_add(c, ex_mul(c, g, ex_idx(c, r->steps / per)), w);
  if (r->bytes) {
    round_bytes(s, k, number, reciprocal, sum);
  } else {
    const Expr *v = emit_loop(s, &lane, "v", LOOP_VECTOR, ex_idx(c, lanes));
    const Expr *both = round_pairs(s, k, number, reciprocal, v);
    if (sum) lower_store(s->l, sum, &v, 1, STORE_SET, ex_add(c, ex_read(c, sum, &v, 1), both));
    emit_end(s, &lane);
  }
  emit_end(s, &words);
  if (sum) lower_store(s->l, r->sum, &g, 1, STORE_SET, lanes_join(s, sum, E_ADD, lanes));
}

void product_round_row(Emit *s) {
  Rounded *r = &s->rounded;
  EmitLoop loop;
  int64_t groups = s->loop[0].extent / r->steps, pairs = s->loop[0].extent / (r->bytes ? 4 : 2);
  const Expr *row = ex_idx(s->c, 0);
  r->pairs = lower_alloc(s->l, "pairs", SPACE_SCRATCH, DT_I32, 1, &pairs);
  r->scale = lower_alloc(s->l, "scale", SPACE_SCRATCH, DT_F32, 1, &groups);
  r->sum = r->offset ? lower_alloc(s->l, "sums", SPACE_SCRATCH, DT_I32, 1, &groups) : NULL;
  if (s->p->tile >= 0) s->at[s->p->tile] = row;
  round_group(s, emit_loop(s, &loop, "group", LOOP_SERIAL, ex_idx(s->c, groups)));
  emit_end(s, &loop);
  if (s->p->tile >= 0) s->at[s->p->tile] = NULL;
}

// ---- the products ---------------------------------------------------------------------------------------------------

// Two numbers of a word meet two elements of the row, as often as it has pairs.
static const Expr *add_word(Emit *s, const Expr *sum, const Expr *word, const Expr *number) {
  Ctx *c = s->c;
  const Rounded *r = &s->rounded;
  int64_t half = per_word(r) / 2, mask = (1 << r->bits) - 1;
  for (int64_t j = 0; j < half; j++) {
    const Expr *at = ex_add(c, ex_mul(c, number, ex_idx(c, half)), ex_idx(c, j));
    const Expr *shifted = ex_binary(c, E_SHR, word, ex_int(c, DT_U32, j * r->bits));
    const Expr *two = ex_binary(c, E_AND, shifted, ex_int(c, DT_U32, mask << HALF | mask));
    sum = ex_add(c, sum, ex_binary(c, E_DOT16, ex_cast(c, DT_I32, two), ex_read(c, r->pairs, &at, 1)));
  }
  return sum;
}

// Numbers of four bits in every other place of a word, each in a byte.
static const Expr *every_other(Emit *s, const Expr *word, int64_t shift) {
  Ctx *c = s->c;
  word = ex_binary(c, E_SHR, word, ex_int(c, DT_U32, shift));
  return ex_cast(c, DT_I32, ex_binary(c, E_AND, word, ex_int(c, DT_U32, 0x0f0f0f0f)));
}

// The same with bytes, for sums in the halves of i32s: those of 32 steps, at most 16 * 15 * 127, have room there.
static const Expr *add_bytes(Emit *s, const Expr *sum, const Expr *word, const Expr *number) {
  Ctx *c = s->c;
  for (int i = 0; i < 2; i++) {
    const Expr *at = ex_add(c, ex_mul(c, number, ex_idx(c, 2)), ex_idx(c, i));
    const Expr *numbers = every_other(s, word, (int64_t)i * s->rounded.bits);
    sum = ex_binary(c, E_ADD16, sum, ex_binary(c, E_DOT8, numbers, ex_read(c, s->rounded.pairs, &at, 1)));
  }
  return sum;
}

// The group's sum begins with its offset's part, which is the same in all its steps.
static const Expr *offset_part(Emit *s, const TileAt *t, const Expr *g) {
  const Rounded *r = &s->rounded;
  if (!r->offset) return ex_int(s->c, DT_I32, 0);
  return ex_mul(s->c, product_vector_operand(s, t, r->offset, NULL), ex_read(s->c, r->sum, &g, 1));
}

static const Expr *add_group(Emit *s, const TileAt *t, const Expr *acc, const Expr *part, const Expr *g) {
  Ctx *c = s->c;
  const Expr *sum = ex_cast(c, DT_F32, part), *scale = ex_read(c, s->rounded.scale, &g, 1);
  if (s->rounded.factor) scale = ex_mul(c, product_vector_operand(s, t, s->rounded.factor, NULL), scale);
  return s->l->target->fma ? ex_ternary(c, E_FMA, sum, scale, acc) : ex_add(c, ex_mul(c, sum, scale), acc);
}

void product_rounded_steps(Emit *s, const TileAt *t) {
  Ctx *c = s->c;
  const Rounded *r = &s->rounded;
  EmitLoop groups, words;
  Lane x;
  int64_t in_group = r->steps / per_word(r), shape[] = {1, (int64_t)t->nv * s->tile.lanes};
  const Expr *zero = ex_idx(c, 0);
  const Expr *g = emit_loop(s, &groups, "group", LOOP_SERIAL, ex_idx(c, s->loop[0].extent / r->steps));
  const Expr *before = product_set_k(s, 0, ex_mul(c, g, ex_idx(c, r->steps)));
  Value *part = lower_alloc(s->l, "part", SPACE_REG, DT_I32, 2, shape);
  product_enter_column(s, t, &x);
  const Expr *begin = r->bytes ? ex_int(c, DT_I32, 0) : offset_part(s, t, g);
  lower_store(s->l, part, (const Expr *[]){zero, x.col}, 2, STORE_SET, begin);
  product_leave_column(s, &x);

  const Expr *w = emit_loop(s, &words, "w", LOOP_SERIAL, ex_idx(c, in_group));
  const Expr *number = ex_add(c, ex_mul(c, g, ex_idx(c, in_group)), w);
  const Expr *first = ex_mul(c, number, ex_idx(c, per_word(r)));
  product_prefetch_streams(s, t, 0, first, per_word(r));
  product_set_k(s, 0, first);
  product_enter_column(s, t, &x);
  const Expr *at[] = {zero, x.col}, *word = product_vector_operand(s, t, r->word, NULL);
  const Expr *more = (r->bytes ? add_bytes : add_word)(s, ex_read(c, part, at, 2), word, number);
  lower_store(s->l, part, at, 2, STORE_SET, more);
  product_leave_column(s, &x);
  emit_end(s, &words);

  product_set_k(s, 0, ex_mul(c, g, ex_idx(c, r->steps)));
  product_enter_column(s, t, &x);
  const Expr *to[] = {zero, x.col}, *acc = ex_read(c, t->acc, to, 2), *sum = ex_read(c, part, to, 2);
  if (r->bytes)
    sum = ex_add(c, offset_part(s, t, g), ex_binary(c, E_DOT16, sum, ex_int(c, DT_I32, 1 << HALF | 1)));
  lower_store(s->l, t->acc, to, 2, STORE_SET, add_group(s, t, acc, sum, g));
  product_leave_column(s, &x);
  s->k_at[s->loop[0].k] = before;
  emit_end(s, &groups);
}
