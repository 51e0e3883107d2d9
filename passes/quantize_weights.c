// quantize_weights.c: weights in fewer bits: constants that matrix products and gathers read become constants of
// f16, bf16, or of integers with scales, behind the ops that make f32 of them again.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdlib.h>

#include "passes/rewrite.h"

enum {
  MIN_ELEMENTS = 2048, // smaller constants stay
  DEFAULT_GROUP = 32,
  PACKED = 8, // numbers of four bits in one u32
  BYTES = 4,  // and of eight
  MOST_INT8 = 127,
};

// What became of a constant.
typedef struct Small {
  Value *value;    // f32 again
  WeightKind kind; // see kind_for
  double max_error, norm_error;
  int64_t bytes;
  double most, worst, squares, errors; // largest weight and error, sums of squares of both
} Small;

typedef struct Quantize {
  Module *m;
  Ctx *c;
  const PassOptions *o;
  PtrMap done; // constant -> Small
  int tensors;
  int64_t before, after;
  double worst, worst_norm, sum_error, sum_norm;
} Quantize;

bool weight_format_parse(const char *text, WeightFormat *f) {
  static const char *const names[] = {"f32", "f16", "bf16", "int8"};
  *f = (WeightFormat){0};
  for (int i = 0; i < ARRAY_LEN(names); i++)
    if (strcmp(text, names[i]) == 0) return f->kind = (WeightKind)i, true;
  if (strncmp(text, "int4", 4) != 0) return false;
  *f = (WeightFormat){.kind = WEIGHTS_INT4, .group = DEFAULT_GROUP};
  text += 4;
  if (text[0] == ':' && text[1] >= '1' && text[1] <= '9') {
    char *end;
    f->group = (int)strtol(text + 1, &end, 10);
    text = end;
    if (f->group != 32 && f->group != 64 && f->group != 128) return false;
  }
  f->asym = strcmp(text, ":asym") == 0;
  return f->asym || !*text;
}

// ---- tensors ----------------------------------------------------------------------------------------------------

static float element(const Tensor *t, int64_t i) {
  float v;
  memcpy(&v, (const char *)t->data + 4 * i, 4);
  return v;
}

// A matrix with K along dim `axis`: element k of channel n.
typedef struct Matrix {
  const Tensor *t;
  int axis;
  int64_t k, n;
} Matrix;

static int64_t place_of(const Matrix *w, int64_t rows, int64_t k, int64_t n) {
  return w->axis == 0 ? k * w->n + n : n * rows + k;
}

static float weight(const Matrix *w, int64_t k, int64_t n) {
  return element(w->t, place_of(w, w->k, k, n));
}

// A tensor like w with K divided by `by`.
static Tensor *divided(Ctx *c, const Matrix *w, DType t, int64_t by) {
  int64_t dims[2] = {w->axis == 0 ? w->k / by : w->n, w->axis == 0 ? w->n : w->k / by};
  Type type = type_make(t, 2, dims);
  return tensor_new(c, &type);
}

static Value *add_const(Builder *b, const Value *like, const char *what, const Tensor *t) {
  return graph_const(b->graph, arena_printf(b->ctx->arena, "%s.%s", like->name, what), t, like->loc);
}

static void note_error(Small *s, double v, double kept) {
  double size = fabs(v), error = fabs(v - kept);
  if (size > s->most) s->most = size;
  if (error > s->worst) s->worst = error;
  s->squares += size * size;
  s->errors += error * error;
}

// ---- one float less ----------------------------------------------------------------------------------------------

static Value *narrow(Builder *b, const Value *w, Small *s, DType t) {
  Type type = w->type;
  type.dtype = t;
  Tensor *small = tensor_new(b->ctx, &type);
  for (int64_t i = 0; i < type_elements(&type); i++) {
    tensor_set(small, i, element(w->data, i));
    note_error(s, element(w->data, i), tensor_get(small, i));
  }
  return build(b, "cast", IN(add_const(b, w, dtype_name(t), small)), ATTRS(A_DTYPE("dtype", DT_F32)));
}

// ---- int8: a scale for each channel ----------------------------------------------------------------------------

static int to_int8(float x, float scale) {
  return scale > 0 ? (int)rintf(fmaxf(-MOST_INT8, fminf(x / scale, MOST_INT8))) : 0;
}

static float channel_scale(const Matrix *w, int64_t n) {
  float most = 0;
  for (int64_t k = 0; k < w->k; k++) most = fmaxf(most, fabsf(weight(w, k, n)));
  return most / MOST_INT8;
}

static void bytes_of_channel(Small *s, const Matrix *w, int64_t n, float scale, int8_t *to) {
  for (int64_t k = 0; k < w->k; k++) {
    int i = to_int8(weight(w, k, n), scale);
    to[place_of(w, w->k, k, n)] = (int8_t)i;
    note_error(s, weight(w, k, n), (float)i * scale);
  }
}

// The same plus 128, four numbers in a word.
static void words_of_channel(Small *s, const Matrix *w, int64_t n, float scale, uint32_t *to) {
  for (int64_t k = 0; k < w->k; k += BYTES) {
    uint32_t word = 0;
    for (int j = 0; j < BYTES; j++) {
      int i = to_int8(weight(w, k + j, n), scale);
      word |= (uint32_t)(i + MOST_INT8 + 1) << (8 * j);
      note_error(s, weight(w, k + j, n), (float)i * scale);
    }
    to[place_of(w, w->k / BYTES, k / BYTES, n)] = word;
  }
}

static Value *per_channel(Builder *b, const Value *v, Small *s, const Matrix *w, bool words) {
  Ctx *c = b->ctx;
  Tensor *q = words ? divided(c, w, DT_U32, BYTES) : divided(c, w, DT_I8, 1);
  Type type = type_make(DT_F32, 1, &w->n);
  Tensor *scales = tensor_new(c, &type);
  for (int64_t n = 0; n < w->n; n++) {
    float scale = channel_scale(w, n);
    tensor_set(scales, n, scale);
    if (words)
      words_of_channel(s, w, n, scale, tensor_data(q));
    else
      bytes_of_channel(s, w, n, scale, tensor_data(q));
  }
  Value *x = add_const(b, v, "int8", q), *scale = add_const(b, v, "scale", scales);
  if (words) x = build(b, "unpack_bits", IN(x), ATTRS(A_INT("axis", w->axis), A_INT("bits", 8)));
  Value *in[] = {x, scale, words ? add_const(b, v, "zero", tensor_scalar(c, DT_U8, MOST_INT8 + 1)) : NULL};
  return build(b, "dequantize_linear", in, words ? 3 : 2, ATTRS(A_INT("axis", 1 - w->axis)));
}

// ---- int4: a scale, perhaps a zero point, for each group along K -----------------------------------------------------

typedef struct Group {
  float scale;
  int zero;
} Group;

// Scales are kept as f16: of tensors whose numbers leave no room for that see kind_for.
static float f16_scale(float s) {
  return f16_to_f32(f16_from_f32(s));
}

// The number of largest magnitude is met exactly by -8, or, with a zero point, both ends by 0 and 15.
static Group group_of(const Matrix *w, int64_t first, int size, int64_t n, bool asym) {
  float low = 0, high = 0;
  for (int i = 0; i < size; i++) {
    float v = weight(w, first + i, n);
    low = fminf(low, v);
    high = fmaxf(high, v);
  }
  if (!asym) return (Group){f16_scale((high > -low ? high : low) / -8), 8};
  float scale = f16_scale((high - low) / 15);
  return (Group){scale, scale > 0 ? (int)rintf(-low / scale) : 0};
}

static uint32_t nibble(float v, Group g) {
  float q = g.scale != 0 ? rintf(v / g.scale) + (float)g.zero : (float)g.zero;
  return (uint32_t)(q < 0 ? 0 : q > 15 ? 15 : q);
}

static void pack_group(Small *s, const Matrix *w, uint32_t *to, int64_t first, int size, int64_t n, Group g) {
  for (int i = 0; i < size; i += PACKED) {
    uint32_t word = 0;
    for (int j = 0; j < PACKED; j++) {
      float x = weight(w, first + i + j, n);
      uint32_t q = nibble(x, g);
      word |= q << (4 * j);
      note_error(s, x, (float)((int)q - g.zero) * g.scale);
    }
    to[place_of(w, w->k / PACKED, (first + i) / PACKED, n)] = word;
  }
}

static Value *per_group(Builder *b, const Value *v, Small *s, const Matrix *w, const WeightFormat *f) {
  Ctx *c = b->ctx;
  Tensor *q = divided(c, w, DT_U32, PACKED), *scales = divided(c, w, DT_F16, f->group);
  Tensor *zeros = f->asym ? divided(c, w, DT_U8, f->group) : tensor_scalar(c, DT_U8, 8);
  int64_t groups = w->k / f->group;
  for (int64_t at = 0; at < w->n * groups; at++) { // as the scales lie in memory
    int64_t n = w->axis == 0 ? at % w->n : at / groups, g = w->axis == 0 ? at / w->n : at % groups;
    Group x = group_of(w, g * f->group, f->group, n, f->asym);
    tensor_set(scales, at, x.scale);
    if (f->asym) tensor_set(zeros, at, x.zero);
    pack_group(s, w, tensor_data(q), g * f->group, f->group, n, x);
  }
  Value *packed = add_const(b, v, "int4", q), *scale = add_const(b, v, "scale", scales);
  packed = build(b, "unpack_bits", IN(packed), ATTRS(A_INT("axis", w->axis)));
  scale = build(b, "cast", IN(scale), ATTRS(A_DTYPE("dtype", DT_F32)));
  Value *in[] = {packed, scale, add_const(b, v, "zero", zeros)};
  return build(b, "dequantize_linear", in, 3, ATTRS(A_INT("axis", w->axis), A_INT("block", f->group)));
}

// ---- errors ------------------------------------------------------------------------------------------------------

static int64_t const_bytes(const Value *v) {
  int64_t n = const_of(v) ? type_bytes(&v->type) : 0;
  for (int i = 0; v->def && i < v->def->nin; i++) n += v->def->in[i] ? const_bytes(v->def->in[i]) : 0;
  return n;
}

static void sum_up(Quantize *q, Small *s) {
  s->max_error = s->most > 0 ? s->worst / s->most : 0;
  s->norm_error = s->squares > 0 ? sqrt(s->errors / s->squares) : 0;
  q->sum_error += s->errors;
  q->sum_norm += s->squares;
  q->worst = fmax(q->worst, s->max_error);
  q->worst_norm = fmax(q->worst_norm, s->norm_error);
}

static const char *kind_name(WeightKind k) {
  static const char *const names[] = {"f32", "f16", "bf16", "int8", "int4"};
  return names[k];
}

static void report(Quantize *q, bool total, const char *line) {
  if (q->o->report) q->o->report(q->o->report_data, total, line);
}

static void report_one(Quantize *q, const Value *w, const Small *s) {
  q->tensors++;
  q->before += type_bytes(&w->type);
  q->after += s->bytes;
  report(q, false,
         arena_printf(q->c->arena, "%s %s: %s, largest error %.2g of the largest weight, normwise %.2g",
                      w->name, type_text(q->c, &w->type), kind_name(s->kind), s->max_error, s->norm_error));
}

static void report_all(Quantize *q) {
  double all = q->sum_norm > 0 ? sqrt(q->sum_error / q->sum_norm) : 0;
  report(
      q, true,
      arena_printf(q->c->arena,
                   "%d weights as %s: %.1f MB of %.1f MB; largest error %.2g of a tensor's largest weight; "
                   "normwise error %.2g, of one tensor at most %.2g",
                   q->tensors, kind_name(q->o->weights.kind), (double)q->after / 1e6, (double)q->before / 1e6,
                   q->worst, all, q->worst_norm));
}

// ---- which constants -----------------------------------------------------------------------------------------------

// The largest magnitude; infinite if a number is infinite or NaN.
static float magnitude(const Tensor *t) {
  float most = 0;
  for (int64_t i = 0; i < type_elements(&t->type); i++) {
    float size = fabsf(element(t, i));
    if (!isfinite(size)) return INFINITY;
    most = fmaxf(most, size);
  }
  return most;
}

// Does f16 hold the number with all its bits, neither as infinity nor as one of the small ones that have fewer?
static bool suits_f16(float v) {
  return v == 0 || (v >= 0x1p-14f && v <= 65504);
}

// What becomes of the constant: the format asked for, or a wider one where that cannot hold its numbers.
static WeightKind kind_for(const WeightFormat *f, const Matrix *w) {
  float most = magnitude(w->t);
  if (isinf(most)) return WEIGHTS_F32;
  if (f->kind == WEIGHTS_F16) return suits_f16(most) ? WEIGHTS_F16 : WEIGHTS_BF16;
  if (f->kind != WEIGHTS_INT4) return f->kind;
  // Scales lie between a fifteenth (numbers of one sign) and two fifteenths of it.
  return w->k % f->group == 0 && suits_f16(most / 15) && suits_f16(most / 7) ? WEIGHTS_INT4 : WEIGHTS_INT8;
}

// Where single rows are multiplied as whole numbers (product_round.c), bytes lie in words, as those need them.
static bool multiplies_words(const Quantize *q, const Matrix *w) {
  enum { LEAST_STEPS = 32 };
  return q->m->target->dot16 && !q->o->fp_strict && w->k % LEAST_STEPS == 0;
}

static Value *make_small(Quantize *q, Value *v, int axis, Node *before) {
  Small *s = ptr_get(&q->done, v);
  if (s) return s->value;
  const WeightFormat *f = &q->o->weights;
  Builder b = builder_at(before->graph, before, v->loc);
  b.made_by = "quantize_weights";
  Matrix w = {v->data, axis, v->type.dim[axis].n, v->type.dim[1 - axis].n};
  WeightKind kind = kind_for(f, &w);
  if (kind == WEIGHTS_F32) return v;
  s = NEW(q->c->arena, Small);
  s->kind = kind;
  switch (s->kind) {
  case WEIGHTS_F16: s->value = narrow(&b, v, s, DT_F16); break;
  case WEIGHTS_BF16: s->value = narrow(&b, v, s, DT_BF16); break;
  case WEIGHTS_INT8: s->value = per_channel(&b, v, s, &w, multiplies_words(q, &w)); break;
  default: s->value = per_group(&b, v, s, &w, f); break;
  }
  if (!s->value) return NULL;
  s->bytes = const_bytes(s->value);
  sum_up(q, s);
  report_one(q, v, s);
  ptr_put(q->c->arena, &q->done, v, s);
  return s->value;
}

static bool is_matrix(const Value *v) {
  return const_of(v) && v->type.rank == 2 && v->type.dtype == DT_F32 && type_is_static(&v->type) &&
         type_elements(&v->type) >= MIN_ELEMENTS;
}

// The constant that an operand is, perhaps transposed: *axis is where K lies in it.
static Value **matrix_of(Value **operand, int *axis) {
  Node *n = (*operand)->def;
  if (!n || !op_is(n, "transpose") || n->out[0]->type.rank != 2) return operand;
  const int64_t *perm;
  int count;
  perm = attr_ints(n, "perm", &count);
  if (count == 2 && perm[0] == 0) return operand;
  *axis = 1 - *axis;
  return &n->in[0];
}

static bool quantize_node(Quantize *q, Node *n) {
  int axis = 0;
  Value **w;
  if (op_is(n, "matmul")) {
    w = matrix_of(&n->in[1], &axis);
  } else if (op_is(n, "linear")) {
    axis = attr_bool(n, "transpose_w") ? 1 : 0;
    w = matrix_of(&n->in[1], &axis);
  } else if (op_is(n, "gather") && attr_int(n, "axis") == 0) {
    w = &n->in[0];
    axis = 1; // a row is what is taken
  } else {
    return true;
  }
  if (!is_matrix(*w)) return true;
  Value *small = make_small(q, *w, axis, n->graph->first);
  if (small) *w = small;
  return small != NULL;
}

typedef struct Round {
  Quantize *q;
  bool gathers;
} Round;

static bool quantize_graph(Graph *g, void *data) {
  Round *r = data;
  for (Node *n = g->first; n; n = n->next)
    if (op_is(n, "gather") == r->gathers && !quantize_node(r->q, n)) return false;
  return true;
}

// Constants of an outer graph that a region reads are made small in the region: each has its own graph's.
static bool quantize_region(Graph *g, void *data) {
  Round *r = data;
  r->q->done = (PtrMap){0};
  r->gathers = false;
  if (!quantize_graph(g, r)) return false;
  r->gathers = true; // tables that are products' weights too keep their form
  return quantize_graph(g, r);
}

bool pass_quantize_weights(Module *m, const PassOptions *o) {
  if (o->weights.kind == WEIGHTS_F32) return true;
  Quantize q = {.m = m, .c = m->ctx, .o = o};
  Round r = {.q = &q};
  if (!each_graph(m->main, quantize_region, &r)) return false;
  report_all(&q);
  return pass_dce(m, o);
}
