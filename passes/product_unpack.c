// product_unpack.c: what steps of a product have in common where its vector operand is unpacked from few bits.
// SPDX-License-Identifier: Apache-2.0
#include "passes/product_emit.h"

enum {
  MOST_STEPS = 128, // a group of weights that share a scale has as many at most
  LEAST_STEPS = 3,
  WORD_BITS = 32,
  NUMBER_BITS = 16, // f32 holds numbers of as many bits, and their sums with others, exactly
};

// Is the expression the same in all `steps` steps of K from `first` on?
static bool is_shared(Emit *s, int level, const Expr *first, int64_t steps, const Expr *e) {
  const Expr *at = NULL;
  for (int64_t i = 0; i < steps; i++) {
    const Expr *before = product_set_k(s, level, ex_add(s->c, first, ex_idx(s->c, i)));
    const Expr *here = product_place(s, e);
    s->k_at[s->loop[level].k] = before;
    if (at && here != at) return false;
    at = here;
  }
  return true;
}

// What b is a multiple of, and the factor, if the steps share that; else b, and NULL.
static const Expr *split_factor(Emit *s, int level, const Expr *first, int64_t steps, const Expr *b,
                                const Expr **factor) {
  *factor = NULL;
  for (int i = 0; b->op == E_MUL && i < 2; i++) {
    if (!is_shared(s, level, first, steps, b->args[i])) continue;
    *factor = b->args[i];
    return b->args[1 - i];
  }
  return b;
}

// The bits of a number taken out of a word, word >> shift & mask; 0: it is none, or of too many bits.
static int field_bits(const Expr *e) {
  int64_t mask;
  if (e->op != E_AND || e->dtype != DT_U32 || e->args[0]->op != E_SHR) return 0;
  if (!expr_is_const_int(e->args[1], &mask) || mask <= 0 || mask >= 1 << NUMBER_BITS) return 0;
  int bits = 0;
  while (mask >> bits & 1) bits++;
  return mask >> bits == 0 ? bits : 0;
}

// Is it a whole number that f32 holds exactly, as well as its sum with another one?
static bool is_small(const Expr *e) {
  int64_t v;
  if (expr_is_const_int(e, &v)) return v > -(1 << NUMBER_BITS) && v < 1 << NUMBER_BITS;
  if (e->op != E_CAST) return false;
  DType from = e->args[0]->dtype;
  return from == DT_I8 || from == DT_U8 || from == DT_I16 || from == DT_U16 || field_bits(e->args[0]) > 0;
}

// A number of a few bits taken out of a word is as good where it stands: word >> shift & mask is (word & mask << shift)
// times a power of two, without the shift. The highest ones, which would become negative, need no mask instead.
static const Expr *in_place(Ctx *c, const Expr *number, const Expr **scale) {
  const Expr *field = number->args[0];
  int bits = number->op == E_CAST ? field_bits(field) : 0;
  *scale = NULL;
  if (!bits) return ex_cast(c, DT_F32, number);
  const Expr *word = field->args[0]->args[0], *shift = field->args[0]->args[1], *zero = ex_int(c, DT_U32, 0);
  const Expr *highest = ex_binary(c, E_LE, ex_int(c, DT_U32, WORD_BITS - bits), shift);
  const Expr *inside = ex_binary(c, E_AND, word, ex_binary(c, E_SHL, field->args[1], shift));
  const Expr *steps = ex_cast(c, DT_I32, ex_select(c, highest, zero, shift));
  const Expr *exponent = ex_sub(c, ex_int(c, DT_I32, 127), steps);
  *scale = ex_bitcast(c, DT_F32, ex_binary(c, E_SHL, exponent, ex_int(c, DT_I32, 23)));
  return ex_cast(c, DT_F32, ex_cast(c, DT_I32, ex_select(c, highest, field->args[0], inside)));
}

// Splits `of`, f32(number + offset) or f32(number - offset), if the offset is shared; else all of it is the number.
static void split_offset(Emit *s, int level, const Expr *first, const Expr *of, Shared *h) {
  Ctx *c = s->c;
  const Expr *sum = of->op == E_CAST ? of->args[0] : NULL;
  h->number = of;
  if (!sum || (sum->op != E_ADD && sum->op != E_SUB) || sum->dtype != DT_I32) return;
  if (!is_small(sum->args[0]) || !is_small(sum->args[1])) return;
  if (!is_shared(s, level, first, h->steps, sum->args[1])) return;
  h->offset = ex_cast(c, DT_F32, sum->args[1]);
  if (sum->op == E_SUB) h->offset = ex_unary(c, E_NEG, h->offset);
  h->number = in_place(c, sum->args[0], &h->scale);
}

static Shared shared_by(Emit *s, int level, int64_t steps, const Expr *first) {
  Shared h = {.steps = steps};
  const Expr *rest = split_factor(s, level, first, steps, s->p->b, &h.factor);
  split_offset(s, level, first, rest, &h);
  return h;
}

bool product_shares(Emit *s, const TileAt *t, int level, int64_t unroll, int64_t count) {
  bool reorders = !s->l->o->fp_strict && !s->p->depthwise && !s->nguards;
  if (!reorders || t->mr > 1 || 2 * t->nv > s->l->target->vector_regs) return false;
  for (int64_t steps = MOST_STEPS / unroll * unroll; steps >= unroll && steps >= LEAST_STEPS;
       steps -= unroll) {
    if (count % steps != 0) continue;
    const Var *group = var_new(s->c, "group", ex_idx(s->c, count / steps));
    s->shared = shared_by(s, level, steps, ex_mul(s->c, ex_var(s->c, group), ex_idx(s->c, steps)));
    if (s->shared.factor || s->shared.offset) return true;
  }
  s->shared = (Shared){0};
  return false;
}

// ---- many rows ------------------------------------------------------------------------------------------------------

// What it takes to compute an element, beside the conversion of a float, which loads do on the way: little, or more.
typedef enum Work { NO_WORK, LITTLE_WORK, MUCH_WORK } Work;

static Work work_of(const Expr *e) {
  if (e->op == E_CAST && dtype_is_float(e->args[0]->dtype)) e = e->args[0];
  if (e->op == E_READ || e->nargs == 0) return NO_WORK;
  return e->op == E_CAST && e->args[0]->op == E_READ ? LITTLE_WORK : MUCH_WORK;
}

bool product_unpacks(const Emit *s) {
  const Product *p = s->p;
  bool plain = s->nloops == 1 && !s->loop[0].block && s->nguards == 0 && !p->depthwise;
  if (!plain || p->tile < 0 || s->single) return false;
  int64_t tiles = p->dim[p->tile].fixed ? ceil_div(p->dim[p->tile].extent, s->tile.mr) : INT64_MAX;
  Work work = work_of(p->b);
  return work == MUCH_WORK ? tiles > 1 : work == LITTLE_WORK && tiles > 2;
}

void product_unpack_panel(Emit *s, const TileAt *t) {
  Ctx *c = s->c;
  Product *p = s->p;
  const Expr *k_var = ex_var(c, p->k_var[s->loop[0].k]);
  const Expr *lane = ex_sub(c, ex_var(c, p->dim[p->lane].var), t->lane0);
  int64_t steps = s->blocks.sums ? s->blocks.size : s->loop[0].extent, width = (int64_t)t->nv * s->tile.lanes;
  int64_t elements = steps * width;
  Value *panel = lower_alloc(s->l, "panel", SPACE_SCRATCH, DT_F32, 1, &elements);
  EmitLoop loop, unroll;
  Lane x;
  int64_t unrolled = steps % PRODUCT_UNROLL == 0 ? PRODUCT_UNROLL : 1;
  const Expr *k = emit_loop(s, &loop, "k", LOOP_SERIAL, ex_idx(c, steps / unrolled));
  const Expr *u = emit_loop(s, &unroll, "ku", LOOP_UNROLL, ex_idx(c, unrolled));
  k = ex_add(c, ex_mul(c, k, ex_idx(c, unrolled)), u);
  const Expr *k_before = product_set_k(s, 0, k);
  product_enter_column(s, t, &x);
  const Expr *at = ex_add(c, ex_mul(c, k, ex_idx(c, width)), x.col);
  lower_store(s->l, panel, &at, 1, STORE_SET, product_vector_operand(s, t, p->b, NULL));
  product_leave_column(s, &x);
  s->k_at[s->loop[0].k] = k_before;
  emit_end(s, &unroll);
  emit_end(s, &loop);
  if (s->blocks.sums) k_var = ex_sub(c, k_var, ex_mul(c, s->blocks.at, ex_idx(c, steps)));
  at = ex_add(c, ex_mul(c, k_var, ex_idx(c, width)), lane);
  p->b = ex_read(c, panel, &at, 1);
}

// ---- rows in whole numbers ----------------------------------------------------------------------------------------

// The number that is added to each of the group: a constant, or one that takes no more bits than theirs.
static bool is_small_offset(const Expr *e, int bits) {
  int64_t v;
  if (expr_is_const_int(e, &v)) return v >= -(1 << bits) && v <= 1 << bits;
  return e->op == E_CAST && e->dtype == DT_I32 && e->args[0]->dtype == DT_U8;
}

// Do the steps from `first` on read the numbers of one word after the other?
static bool fills_words(Emit *s, const Var *word, const Expr *field, int bits) {
  Ctx *c = s->c;
  int64_t per = WORD_BITS / bits, at;
  const Expr *first = ex_mul(c, ex_var(c, word), ex_idx(c, per)), *same = NULL;
  for (int64_t j = 0; j < per; j++) {
    const Expr *before = product_set_k(s, 0, ex_add(c, first, ex_idx(c, j)));
    const Expr *here = product_place(s, field->args[0]->args[0]);
    const Expr *shift = product_place(s, field->args[0]->args[1]);
    s->k_at[s->loop[0].k] = before;
    if (!expr_is_const_int(shift, &at) || at != j * bits || (same && here != same)) return false;
    same = here;
  }
  return true;
}

// b = f32(number + offset) * factor
static bool split_fields(Emit *s, const Expr *b, const Expr *first, Rounded *r) {
  Ctx *c = s->c;
  const Expr *rest = split_factor(s, 0, first, r->steps, b, &r->factor);
  r->offset = NULL;
  const Expr *number = rest->op == E_CAST ? rest->args[0] : rest;
  if ((number->op == E_ADD || number->op == E_SUB) && number->dtype == DT_I32) {
    r->offset = number->op == E_SUB ? ex_unary(c, E_NEG, number->args[1]) : number->args[1];
    if (!is_shared(s, 0, first, r->steps, number->args[1])) return false;
    number = number->args[0];
  }
  if (number->op == E_CAST) number = number->args[0];
  r->bits = field_bits(number);
  bool fits =
      r->bits > 0 && r->bits <= 8 && WORD_BITS / 2 % r->bits == 0 && r->steps * r->bits % WORD_BITS == 0;
  const Expr *offset = r->offset && r->offset->op == E_NEG ? r->offset->args[0] : r->offset;
  if (!fits || (offset && !is_small_offset(offset, r->bits))) return false;
  r->word = number->args[0]->args[0];
  return fills_words(s, var_new(c, "word", ex_idx(c, s->loop[0].extent * r->bits / WORD_BITS)), number,
                     r->bits);
}

bool product_fields(const Product *p, int row_bits, Rounded *r) {
  Product copy = *p;
  Emit s = {.c = p->c, .p = &copy, .nloops = 0};
  s.nloops = product_k_loops(p, s.loop);
  bool reorders = p->target->dot16 && !p->in_order && !p->depthwise && !p->guard;
  if (!reorders || s.nloops != 1 || s.loop[0].block || p->sum->dtype != DT_F32 || p->a->dtype != DT_F32)
    return false;
  int64_t count = s.loop[0].extent;
  for (int64_t steps = MOST_STEPS; steps >= WORD_BITS; steps /= 2) {
    if (count % steps != 0) continue;
    const Var *group = var_new(p->c, "group", ex_idx(p->c, count / steps));
    *r = (Rounded){.steps = steps};
    if (!split_fields(&s, p->b, ex_mul(p->c, ex_var(p->c, group), ex_idx(p->c, steps)), r)) continue;
    r->bytes = row_bits == 8 && r->bits == 4 && p->target->dot8;
    if (r->bytes) r->steps = WORD_BITS; // whose sums have room in 16 bits
    return true;
  }
  *r = (Rounded){0};
  return false;
}

int product_rounds(const Product *p, int64_t *steps) {
  Rounded r;
  if (!product_fields(p, p->row_bits, &r)) return 0;
  *steps = r.steps;
  return r.bytes ? 8 : 16;
}
