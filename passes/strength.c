// strength.c: operations replaced by cheaper ones that give the same: transposed convolutions by plain ones, mean
// and 1x1 convolution in the order in which there is less to multiply.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"
#include "passes/rewrite.h"

// ---- transposed convolutions --------------------------------------------------------------------------------
//
// Result element o of a transposed convolution with stride s gets something from the taps k with
// (o + before - k) % s == 0 only: all elements with the same (o + before) % s, a phase, are a plain convolution of
// the input with every s-th tap. All phases together are one convolution with s times as many channels a
// dimension, whose result is interleaved.

typedef struct Transposed {
  Rewrite *r;
  const Type *x, *w, *y;
  Window win[MAX_SPATIAL];
  int space;
  int64_t groups, phases;     // phases: of all dimensions together
  int64_t taps[MAX_SPATIAL];  // of one phase
  int64_t outer[MAX_SPATIAL]; // extents of the convolution's result
} Transposed;

static bool match_transposed(Transposed *t, Rewrite *r) {
  Node *n = r->n;
  *t = (Transposed){.r = r, .x = &n->in[0]->type, .w = &n->in[1]->type, .y = &n->out[0]->type, .phases = 1};
  t->space = t->x->rank - 2;
  t->groups = attr_int(n, "groups");
  int split = 2 * t->space + (t->groups > 1 ? 3 : 2); // rank of the result in pieces
  if (!const_of(n->in[1]) || split > MAX_RANK || !op_windows(r->b.ctx, n, t->space, t->win)) return false;
  for (int d = 0; d < t->space; d++) {
    const Window *w = &t->win[d];
    Dim in = t->x->dim[d + 2], out = t->y->dim[d + 2];
    if (w->dilation != 1 || in.sym || out.sym) return false;
    t->taps[d] = ceil_div(t->w->dim[d + 2].n, w->stride);
    t->outer[d] = (out.n - 1 + w->before) / w->stride + 1;
    t->phases = mul_sat(t->phases, w->stride);
    if (t->outer[d] < in.n) return false; // more padding than the kernel reaches
  }
  return t->phases <= 64;
}

static Value *permute(const Transposed *t, Value *v, const int64_t *perm, int n) {
  const int64_t *own = arena_dup(t->r->b.ctx->arena, perm, (size_t)n * sizeof *perm);
  return v ? build(&t->r->b, "transpose", IN(v), ATTRS(A_INTS("perm", own, n))) : NULL;
}

// Where tap `tap` (of all dimensions together, the last one fastest) goes: its phase, and its place among the taps of
// that phase, which a plain convolution has last to first.
static void tap_place(const Transposed *t, int64_t tap, int64_t *phase, int64_t *place) {
  int64_t phases = 1, taps = 1;
  *phase = *place = 0;
  for (int d = t->space - 1; d >= 0; d--) {
    int64_t extent = t->w->dim[d + 2].n, stride = t->win[d].stride, k = tap % extent;
    *phase += k % stride * phases;
    *place += (t->taps[d] - 1 - k / stride) * taps;
    phases *= stride;
    taps *= t->taps[d];
    tap /= extent;
  }
}

// w [(g) c, m, taps...] as weights [(g) phases m, c, taps of a phase...] of a convolution; taps that are not there
// are zero.
static Value *phase_weights(const Transposed *t) {
  Ctx *ctx = t->r->b.ctx;
  const Tensor *from = const_of(t->r->n->in[1]);
  int64_t c = t->w->dim[0].n / t->groups, m = t->w->dim[1].n, taps = 1, places = 1, phase, place;
  int64_t shape[MAX_RANK] = {t->groups * t->phases * m, c};
  for (int d = 0; d < t->space; d++) {
    taps *= t->w->dim[d + 2].n;
    places *= shape[d + 2] = t->taps[d];
  }
  Type type = type_make(t->w->dtype, t->w->rank, shape);
  if (!type_check_size(ctx, t->r->b.loc, &type)) return NULL;
  Tensor *to = tensor_new(ctx, &type);
  size_t bytes = (size_t)dtype_bytes(type.dtype);
  const char *source = from->data;
  for (int64_t i = 0; i < t->groups * c * m * taps; i++, source += bytes) {
    int64_t gc = i / taps / m, row = i / taps % m;
    tap_place(t, i % taps, &phase, &place);
    int64_t out = (gc / c * t->phases + phase) * m + row;
    memcpy((char *)tensor_data(to) + (size_t)((out * c + gc % c) * places + place) * bytes, source, bytes);
  }
  return graph_const(t->r->b.graph, t->r->n->in[1]->name, to, t->r->b.loc);
}

// The bias once for each phase.
static Value *phase_bias(const Transposed *t, Value *bias) {
  int64_t m = t->w->dim[1].n;
  Dim dims[] = {dim_const(t->groups), dim_const(1), dim_const(m)};
  Value *v = build_reshape(t->r, bias, 3, dims);
  dims[1] = dim_const(t->phases);
  const Dim *shape = arena_dup(t->r->b.ctx->arena, dims, sizeof dims);
  if (v) v = build(&t->r->b, "broadcast", IN(v), ATTRS(A_SHAPE("shape", shape, 3)));
  Dim flat = dim_const(t->groups * t->phases * m);
  return build_reshape(t->r, v, 1, &flat);
}

static Value *phase_conv(const Transposed *t) {
  const Node *n = t->r->n;
  Value *w = phase_weights(t), *bias = n->nin > 2 && n->in[2] ? phase_bias(t, n->in[2]) : NULL;
  int64_t pads[2 * MAX_SPATIAL];
  if (!w) return NULL;
  for (int d = 0; d < t->space; d++) {
    pads[d] = t->taps[d] - 1;
    pads[t->space + d] = t->outer[d] - t->x->dim[d + 2].n;
  }
  const int64_t *own = arena_dup(t->r->b.ctx->arena, pads, sizeof pads);
  Value *in[] = {n->in[0], w, bias};
  return build(&t->r->b, "conv", in, bias ? 3 : 2,
               ATTRS(A_INTS("pads", own, 2 * t->space), A_INT("groups", t->groups)));
}

// y [n, (g) s..., m, outer...] as [n, (g) m, outer, s ...], cut to what the padding leaves.
static Value *interleave(const Transposed *t, Value *v) {
  int lead = t->groups > 1 ? 2 : 1, n = 0, k = 0;
  int64_t perm[MAX_RANK];
  Dim dims[MAX_RANK], whole[MAX_RANK] = {t->x->dim[0], t->y->dim[1]};
  dims[n++] = t->x->dim[0];
  if (lead > 1) dims[n++] = dim_const(t->groups);
  for (int d = 0; d < t->space; d++) dims[n++] = dim_const(t->win[d].stride);
  dims[n++] = t->w->dim[1];
  for (int d = 0; d < t->space; d++) dims[n++] = dim_const(t->outer[d]);
  v = build_reshape(t->r, v, n, dims);
  for (int i = 0; i < lead; i++) perm[k++] = i;
  perm[k++] = lead + t->space;
  for (int d = 0; d < t->space; d++) {
    perm[k++] = lead + t->space + 1 + d;
    perm[k++] = lead + d;
  }
  v = permute(t, v, perm, n);
  for (int d = 0; d < t->space; d++) whole[d + 2] = dim_const(t->outer[d] * t->win[d].stride);
  v = build_reshape(t->r, v, t->space + 2, whole);
  for (int d = 0; v && d < t->space; d++) {
    int64_t from = t->win[d].before, to = from + t->y->dim[d + 2].n;
    if (from || to != whole[d + 2].n) v = mk_slice(&t->r->b, v, d + 2, from, to);
  }
  return v;
}

static Value *transposed_to_plain(Rewrite *r, bool *changed) {
  (void)changed;
  Transposed t;
  if (!match_transposed(&t, r)) return NULL;
  Value *y = phase_conv(&t);
  return y ? interleave(&t, y) : NULL;
}

// ---- means of 1x1 convolutions ------------------------------------------------------------------------------

static bool is_pointwise(const Node *conv) {
  int n;
  const int64_t *stride = attr_ints(conv, "stride", &n), *pads;
  for (int i = 0; i < n; i++)
    if (stride[i] != 1) return false;
  pads = attr_ints(conv, "pads", &n);
  for (int i = 0; i < n; i++)
    if (pads[i]) return false;
  const Type *w = &conv->in[1]->type;
  for (int d = 2; d < w->rank; d++)
    if (w->dim[d].sym || w->dim[d].n != 1) return false;
  return const_of(conv->in[1]);
}

// The mean of each window of a 1x1 convolution is the convolution of the means: with a stride, of fewer elements.
static Value *mean_before_conv(Rewrite *r, bool *changed) {
  (void)changed;
  Node *n = r->n, *conv = made_by_once(n->in[0], "conv");
  int count;
  const int64_t *pads = attr_ints(n, "pads", &count);
  for (int i = 0; i < count; i++)
    if (pads[i]) return NULL;
  if (!conv || !is_pointwise(conv) || attr_bool(n, "ceil_mode")) return NULL;
  const Type *x = &conv->in[0]->type, *y = &conv->out[0]->type, *out = &n->out[0]->type;
  if (!type_is_static(x) || !type_is_static(out)) return NULL;
  if (type_elements(out) * 2 > type_elements(y) || x->dim[1].n > 4 * y->dim[1].n) return NULL;
  Value *mean = build(&r->b, n->op->name, &conv->in[0], 1, n->attr, n->op->nattr);
  if (!mean) return NULL;
  Value *in[] = {mean, conv->in[1], conv->nin > 2 ? conv->in[2] : NULL};
  Value *v = build(&r->b, "conv", in, conv->nin, conv->attr, conv->op->nattr);
  if (v) node_inherit(v->def, conv);
  return v;
}

// ---- the pass -----------------------------------------------------------------------------------------------

static const Rule RULES[] = {{"conv_transpose", transposed_to_plain}, {"avg_pool", mean_before_conv}};

bool pass_strength(Module *m, const PassOptions *o) {
  if (o->fp_strict) return true;
  return rewrite_module(m, o, "strength", RULES, ARRAY_LEN(RULES), 2);
}
