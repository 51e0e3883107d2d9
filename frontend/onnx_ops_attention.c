// onnx_ops_attention.c: ONNX attention, rotary embedding and their recurrent relatives.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_attention.h"

#include <math.h>

// ---- Attention --------------------------------------------------------------------------------------------------

// Pads the last dimension of a mask that is shorter than the keys: what is beyond it is not seen.
static Value *widen_mask(Call *c, Value *mask, Dim l) {
  int rank = rank_of(mask);
  Dim have = dim_of(mask, rank - 1);
  if (rank < 1 || dim_equal(have, l) || have.sym || l.sym || (rank > 0 && have.n == 1)) return mask;
  int64_t pads[2 * MAX_RANK] = {0};
  pads[2 * rank - 1] = l.n - have.n;
  Value *with = make_like(c, mask, mask->type.dtype == DT_BOOL ? 0 : -INFINITY);
  return make(c, "pad", IN(mask, with), ATTRS(A_INTS("pads", pads, 2 * rank)));
}

// The mask operand with `nonpad_kv_seqlen` (operator set 24), which hides the end of each sample's keys.
static Value *attention_mask(Call *c, Dim l, DType t) {
  Value *mask = arg_opt(c, 3), *length = arg_opt(c, 6);
  if (mask) mask = widen_mask(c, mask, l);
  return length ? mask_both(c, mask, length_mask(c, length, l), t) : mask;
}

// True where query i may see key j: j <= i + past.
static Value *causal_mask(Call *c, const Attention *a) {
  Value *row = positions(c, dim_of(a->q, 2), 2, 1), *col = positions(c, dim_of(a->k, 2), 3, 0);
  Value *past = make(c, "extents", NULL, 0, ATTRS(A_SHAPE("of", &a->past, 1)));
  return make_binary(c, "less_equal", col, make_binary(c, "add", row, past));
}

// The fourth result: the scores at some stage on their way to weights.
static Value *stage_of_scores(Call *c, const Attention *a, int64_t stage) {
  Value *s = attention_scores(c, a);
  DType t = s->type.dtype;
  if (stage >= 1 && a->softcap > 0)
    s = make_scaled(c, make_unary(c, "tanh", make_scaled(c, s, 1 / a->softcap)), a->softcap);
  if (stage < 2) return s;
  Value *mask = mask_both(c, a->mask, a->causal ? causal_mask(c, a) : NULL, t);
  if (mask && mask->type.dtype == DT_BOOL)
    s = make(c, "where", IN(mask, s, make_scalar(c, t, -INFINITY)), NO_ATTRS);
  else if (mask)
    s = make_binary(c, "add", s, mask);
  return stage < 3 ? s : make(c, "softmax", IN(s), ATTRS(A_INT("axis", -1)));
}

static bool attention(Call *c) {
  int64_t heads = attr_i(c, "q_num_heads", 0), kv_heads = attr_i(c, "kv_num_heads", 0);
  Value *q = arg(c, 0), *past_k = arg_opt(c, 4), *past_v = arg_opt(c, 5);
  Attention a = {.q = split_heads(c, q, heads),
                 .k = append_rows(c, past_k, split_heads(c, arg(c, 1), kv_heads)),
                 .v = append_rows(c, past_v, split_heads(c, arg(c, 2), kv_heads)),
                 .scale = attr_f(c, "scale", 0),
                 .softcap = attr_f(c, "softcap", 0),
                 .causal = attr_i(c, "is_causal", 0),
                 .window = -1,
                 .past = past_k ? dim_of(past_k, 2) : dim_const(0)};
  if (c->failed) return false;
  DType t = a.q->type.dtype;
  a.mask = attention_mask(c, dim_of(a.k, 2), t);
  Value *y = attend(c, &a);
  ret(c, 0, rank_of(q) == 3 ? merge_heads(c, y) : y);
  ret(c, 1, a.k);
  ret(c, 2, a.v);
  if (wants(c, 3)) ret(c, 3, stage_of_scores(c, &a, attr_i(c, "qk_matmul_output_mode", 0)));
  return !c->failed;
}

// ---- FlexAttention ----------------------------------------------------------------------------------------------

// Runs a subgraph of one operand and one result, if there is one.
static Value *modified(Call *c, const char *name, Value *x) {
  const OnnxAttr *a = attr_find(c, name, ONNX_ATTR_GRAPH);
  Val *out, *in = val_tensor(c->im, "", x, onnx_elem_of(x->type.dtype));
  if (!a || !a->g || c->failed) return x;
  if (a->g->nin != 1 || a->g->nout != 1) return call_fail(c, "'%s' must have one input and output", name), x;
  if (!import_inline(c, a->g, &in, 1, &out)) return c->failed = true, x;
  return out->kind == VAL_TENSOR ? out->v : x;
}

static bool flex_attention(Call *c) {
  Attention a = {.q = arg(c, 0), .k = arg(c, 1), .v = arg(c, 2), .scale = attr_f(c, "scale", 0)};
  if (c->failed) return false;
  DType own = a.q->type.dtype, t = onnx_dtype((int32_t)attr_i(c, "softmax_precision", ONNX_UNDEFINED));
  if (t == DT_NONE) t = own == DT_F64 ? DT_F64 : DT_F32;
  Value *s = modified(c, "score_mod", make_cast(c, attention_scores(c, &a), t));
  s = modified(c, "prob_mod", make(c, "softmax", IN(s), ATTRS(A_INT("axis", -1))));
  // With the weights for scores, attention without a softmax is what remains: one product per head.
  Value *v = make_cast(c, a.v, t);
  int64_t heads = dim_of(a.q, 1).n, groups = dim_of(a.v, 1).n;
  if (c->failed || groups < 1 || heads % groups) return call_fail(c, "its heads do not fit");
  Dim split[] = {dim_of(s, 0), dim_const(groups), dim_const(heads / groups), dim_of(s, 2), dim_of(s, 3)};
  int64_t axes[] = {2};
  s = make_reshape(c, s, split, 5);
  Value *y = make_binary(c, "matmul", s, make(c, "unsqueeze", IN(v), ATTRS(A_INTS("axes", axes, 1))));
  Dim whole[] = {split[0], dim_const(heads), split[3], dim_of(a.v, 3)};
  return ret(c, 0, make_cast(c, make_reshape(c, y, whole, 4), a.v->type.dtype));
}

// ---- RotaryEmbedding --------------------------------------------------------------------------------------------

static bool rotary_embedding(Call *c) {
  Attr attrs[] = {A_INT("heads", attr_i(c, "num_heads", 0)),
                  A_INT("dims", attr_i(c, "rotary_embedding_dim", 0)),
                  A_BOOL("interleaved", attr_i(c, "interleaved", 0))};
  return ret(c, 0, make(c, "rope", IN(arg(c, 0), arg(c, 1), arg(c, 2), arg_opt(c, 3)), attrs, 3));
}

// ---- CausalConvWithState ----------------------------------------------------------------------------------------

// A convolution of each channel that sees the past only; what the next call must know of this one is a result.
static bool causal_conv(Call *c) {
  Value *x = arg(c, 0), *w = arg(c, 1), *past = arg_opt(c, 3);
  const char *activation = attr_s(c, "activation", "none");
  bool silu = strcmp(activation, "silu") == 0 || strcmp(activation, "swish") == 0;
  if (!silu && strcmp(activation, "none") != 0) return call_fail(c, "the activation '%s'", activation);
  if (c->failed || rank_of(x) != 3 || rank_of(w) != 3 || dim_of(x, 1).sym || dim_of(w, 2).sym)
    return call_fail(c, "its operands must have three dimensions");
  int64_t keep = dim_of(w, 2).n - 1, pads[6] = {0, 0, keep, 0, 0, 0};
  Value *line = past ? make_concat(c, (Value *[]){past, x}, 2, 2)
                     : make(c, "pad", IN(x, NULL), ATTRS(A_INTS("pads", pads, 6)));
  Attr groups = A_INT("groups", dim_of(x, 1).n);
  Value *y = make(c, "conv", IN(line, w, arg_opt(c, 2)), &groups, 1);
  ret(c, 0, silu ? make_unary(c, "silu", y) : y);
  if (!wants(c, 1)) return !c->failed;
  Dim from = dim_of(x, 2), to = dim_of(line, 2);
  int64_t axes[] = {2};
  return ret(c, 1,
             make(c, "slice", IN(line),
                  ATTRS(A_SHAPE("starts", &from, 1), A_SHAPE("ends", &to, 1), A_INTS("axes", axes, 1))));
}

// ---- TensorScatter ----------------------------------------------------------------------------------------------

// The cache with rows of `update` from each sample's index on; circular ones wrap around.
static bool tensor_scatter(Call *c) {
  Value *cache = arg(c, 0), *update = arg(c, 1), *index = arg_opt(c, 2);
  int rank = rank_of(cache), axis = axis_of(c, attr_i(c, "axis", -2), rank);
  bool circular = strcmp(attr_s(c, "mode", "linear"), "circular") == 0;
  if (c->failed || rank != rank_of(update) || axis == 0) return call_fail(c, "its operands do not fit");
  Value *row = positions(c, dim_of(cache, axis), axis, rank - 1 - axis), *n;
  n = make(c, "extents", NULL, 0, ATTRS(A_SHAPE("of", &update->type.dim[axis], 1)));
  if (index) row = make_binary(c, "sub", row, make_unsqueeze_last(c, make_cast(c, index, DT_I64), rank - 1));
  Value *all = make(c, "extents", NULL, 0, ATTRS(A_SHAPE("of", &cache->type.dim[axis], 1)));
  if (circular) row = make_binary(c, "mod", row, all);
  Value *zero = make_scalar(c, DT_I64, 0), *one = make_scalar(c, DT_I64, 1);
  Value *inside =
      make_binary(c, "and", make_binary(c, "less_equal", zero, row), make_binary(c, "less", row, n));
  Value *at = make_binary(c, "min", make_binary(c, "max", row, zero), make_binary(c, "sub", n, one));
  at = make(c, "broadcast", IN(at), ATTRS(A_SHAPE("shape", cache->type.dim, rank)));
  Value *moved = make(c, "gather_elements", IN(update, at), ATTRS(A_INT("axis", axis)));
  return ret_as(c, 0, make(c, "where", IN(inside, moved, cache), NO_ATTRS), arg_elem(c, 0));
}

// ---- LinearAttention --------------------------------------------------------------------------------------------

// One step per position: the state [b,g,d,e] decays, takes in key and value, and is read by the query.
typedef struct Linear {
  Value *q, *k, *v, *decay, *beta; // [b,heads,t,...] in f32
  int64_t heads, groups;
  double scale;
} Linear;

// Row `at` of a sequence [b,h,t,x]: [b,h,x].
static Value *row_at(Call *c, Value *v, Value *at) {
  return make(c, "gather", IN(v, at), ATTRS(A_INT("axis", 2)));
}

static Value *unsqueeze_at(Call *c, Value *v, int64_t axis) {
  return make(c, "unsqueeze", IN(v), ATTRS(A_INTS("axes", &axis, 1)));
}

// x [b,h,1,d] times s [b,h,d,e].
static Value *read_state(Call *c, Value *x, Value *s) {
  return make_binary(c, "matmul", unsqueeze_at(c, x, 2), s);
}

static Value *linear_step(Call *c, const Linear *l, Value *at, Value **state) {
  Value *k = row_at(c, l->k, at), *v = unsqueeze_at(c, row_at(c, l->v, at), 2), *s = *state;
  if (l->decay)
    s = make_binary(c, "mul", s, make_unsqueeze_last(c, make_unary(c, "exp", row_at(c, l->decay, at)), 1));
  if (l->beta) {
    Value *missing = make_binary(c, "sub", v, read_state(c, k, s));
    v = make_binary(c, "mul", missing, unsqueeze_at(c, row_at(c, l->beta, at), 2));
  }
  s = make_binary(c, "add", s, make_binary(c, "mul", make_unsqueeze_last(c, k, 1), v));
  *state = s;
  Value *q = make_scaled(c, row_at(c, l->q, at), l->scale);
  Dim split[] = {dim_of(q, 0), dim_const(l->groups), dim_const(l->heads / l->groups), dim_of(q, 2)};
  Value *y = make_binary(c, "matmul", make_reshape(c, q, split, 4), s);
  return make_reshape(c, y, (Dim[]){split[0], dim_const(l->heads), dim_of(y, 3)}, 3);
}

// The steps as a core loop; results are [t,b,heads,e] and the last state.
static bool linear_loop(Call *c, const Linear *l, Value *state, Value **y, Value **last) {
  Builder outer = c->im->b;
  Graph *body = graph_new(c->im->module, "positions", outer.graph);
  c->im->b = builder_at(body, NULL, c->loc);
  Value *at = graph_input(body, "position", (Type){.dtype = DT_I64}, c->loc);
  graph_input(body, "going", (Type){.dtype = DT_BOOL}, c->loc);
  Value *s = graph_input(body, "state", state->type, c->loc);
  Value *row = linear_step(c, l, at, &s);
  graph_output(body, "going", make_scalar(c, DT_BOOL, 1));
  graph_output(body, "state", s);
  graph_output(body, "row", row);
  c->im->b = outer;
  if (c->failed) return false;
  Attr trips = A_SHAPE("trips", &l->q->type.dim[2], 1);
  Node *n = build_region_node(&c->im->b, "loop", IN(NULL, NULL, state), &trips, 1, &body, 1);
  if (!n) return c->failed = true, false;
  *last = n->out[0];
  *y = n->out[1];
  return true;
}

// Operand k as [b,heads,t,...] in f32; NULL if absent. One number per head has a last extent of 1.
static Value *sequence_arg(Call *c, int k, int64_t heads) {
  Value *v = arg_opt(c, k);
  if (!v || c->failed) return NULL;
  Dim last = dim_of(v, 2);
  if (rank_of(v) != 3 || last.sym || heads < 1) return call_fail(c, "operand %d must be [b,t,n]", k), v;
  return split_heads(c, make_cast(c, v, DT_F32), last.n % heads == 0 ? heads : 1);
}

static bool linear_attention(Call *c) {
  int64_t heads = attr_i(c, "q_num_heads", 0), groups = attr_i(c, "kv_num_heads", 0);
  Value *x = arg(c, 0), *past = arg_opt(c, 3);
  if (heads < 1 || groups < 1 || heads % groups) return call_fail(c, "its numbers of heads do not fit");
  Linear l = {.q = sequence_arg(c, 0, heads),
              .k = sequence_arg(c, 1, groups),
              .v = sequence_arg(c, 2, groups),
              .decay = sequence_arg(c, 4, groups),
              .beta = sequence_arg(c, 5, groups),
              .heads = heads,
              .groups = groups,
              .scale = attr_f(c, "scale", 0)};
  if (c->failed || !l.k || !l.v) return call_fail(c, "an operand is missing");
  if (l.scale == 0) l.scale = 1 / sqrt((double)dim_of(l.q, 3).n);
  Dim shape[] = {dim_of(x, 0), dim_const(groups), dim_of(l.k, 3), dim_of(l.v, 3)};
  Value *zero = make_scalar(c, DT_F32, 0), *state, *y, *last;
  state =
      past ? make_cast(c, past, DT_F32) : make(c, "broadcast", IN(zero), ATTRS(A_SHAPE("shape", shape, 4)));
  if (!linear_loop(c, &l, state, &y, &last)) return false;
  static const int64_t order[] = {1, 0, 2, 3}; // [t,b,h,e] to [b,t,h,e]
  Dim wide = dim_binary(call_ctx(c), E_MUL, dim_const(heads), dim_of(y, 3));
  y = make_reshape(c, make_transpose(c, y, order), (Dim[]){dim_of(x, 0), dim_of(x, 1), wide}, 3);
  ret(c, 0, make_cast(c, y, x->type.dtype));
  return ret(c, 1, make_cast(c, last, past ? past->type.dtype : x->type.dtype));
}

const OnnxOp ONNX_OPS_ATTENTION[] = {
    {"", "Attention", attention, NULL},
    {"ai.onnx.preview", "FlexAttention", flex_attention, NULL},
    {"", "RotaryEmbedding", rotary_embedding, NULL},
    {"", "CausalConvWithState", causal_conv, NULL},
    {"", "TensorScatter", tensor_scatter, NULL},
    {"", "LinearAttention", linear_attention, NULL},
    {0},
};
