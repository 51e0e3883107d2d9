// make_layers.c: normalisation, attention, recurrence, quantisation.
// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz.h"

// ---- normalisation ------------------------------------------------------------------------------------------------

static Value *maybe_leaf(Gen *g, const Type *t) {
  return rng_chance(&g->rng, 65) ? gen_leaf(g, "n", t) : NULL;
}

static Node *make_layer_norm(Gen *g, const Op *op) {
  Value *x = gen_operand(g, op, "T", 1, 5);
  int rank = x->type.rank, axis = rng_chance(&g->rng, 70) ? rank - 1 : (int)rng_below(&g->rng, rank);
  Type p = {.dtype = x->type.dtype, .rank = rank - axis};
  for (int d = axis; d < rank; d++) p.dim[d - axis] = x->type.dim[d];
  Value *in[] = {x, maybe_leaf(g, &p), maybe_leaf(g, &p)};
  return gen_build(g, op, in, op->nin, ATTRS(A_INT("axis", rng_chance(&g->rng, 50) ? axis : axis - rank)));
}

static Node *make_channel_norm(Gen *g, const Op *op) {
  Value *x = gen_operand(g, op, "T", 3, 5);
  Type p = {.dtype = x->type.dtype, .rank = 1, .dim = {x->type.dim[1]}};
  Value *in[] = {x, maybe_leaf(g, &p), maybe_leaf(g, &p)};
  if (op->nattr == 1) return gen_build(g, op, in, 3, NO_ATTRS);
  int64_t groups = rng_range(&g->rng, 1, 4);
  while (groups > 1 && x->type.dim[1].n % groups) groups--;
  return gen_build(g, op, in, 3, ATTRS(A_INT("groups", groups)));
}

static Node *make_axis_norm(Gen *g, const Op *op) {
  Value *x = gen_operand(g, op, "T", 1, 5);
  return gen_build(g, op, IN(x), ATTRS(A_INT("axis", rng_range(&g->rng, -x->type.rank, x->type.rank - 1))));
}

// ---- attention ------------------------------------------------------------------------------------------------------

static Node *make_attention(Gen *g, const Op *op) {
  int64_t heads = rng_range(&g->rng, 1, 4),
          kv = heads % 2 == 0 && rng_chance(&g->rng, 40) ? heads / 2 : heads;
  int64_t tq = rng_range(&g->rng, 1, 17), tk = rng_chance(&g->rng, 50) ? tq : rng_range(&g->rng, 1, 33),
          d = rng_range(&g->rng, 1, 17), dv = rng_chance(&g->rng, 70) ? d : rng_range(&g->rng, 1, 9);
  if (rng_chance(&g->rng, 50)) d = dv = 8 * rng_range(&g->rng, 1, 4); // whole vectors
  if (rng_chance(&g->rng, 20)) tq = rng_range(&g->rng, 17, 70), tk = rng_range(&g->rng, 17, 90);
  if (rng_chance(&g->rng, 20)) { // many keys for few queries: several blocks of keys
    tq = rng_range(&g->rng, 4, 20), tk = rng_range(&g->rng, 60, 260);
    heads = kv = rng_range(&g->rng, 1, 2);
  }
  int64_t batch = rng_range(&g->rng, 1, 2), mask_dims[2] = {tq, tk};
  DType t = rng_chance(&g->rng, 70) ? DT_F32 : gen_dtype(g, op, "T");
  Type q = type_make(t, 4, (int64_t[]){batch, heads, tq, d}),
       k = type_make(t, 4, (int64_t[]){batch, kv, tk, d}),
       v = type_make(t, 4, (int64_t[]){batch, kv, tk, dv});
  Value *in[4] = {gen_shaped(g, "n", &q), gen_shaped(g, "n", &k), gen_shaped(g, "n", &v), NULL};
  if (rng_chance(&g->rng, 40))
    in[3] = gen_leaf_of(g, "n", rng_chance(&g->rng, 50) ? DT_BOOL : t, 2, mask_dims);
  Attr attrs[] = {
      A_BOOL("causal", rng_chance(&g->rng, 40)), A_FLOAT("softcap", rng_chance(&g->rng, 20) ? 2 : 0),
      A_FLOAT("scale", rng_chance(&g->rng, 30) ? 0.3 : 0), A_INT("left", rng_chance(&g->rng, 20) ? 3 : -1)};
  return gen_build(g, op, in, 4, attrs, ARRAY_LEN(attrs));
}

// ---- recurrence -----------------------------------------------------------------------------------------------------

static Node *make_recurrent(Gen *g, const Op *op) {
  static const char *const directions[] = {"forward", "reverse", "bidirectional"};
  int64_t gates = strcmp(op->name, "lstm") == 0 ? 4 : strcmp(op->name, "gru") == 0 ? 3 : 1;
  int64_t steps = rng_range(&g->rng, 0, 5), batch = rng_range(&g->rng, 1, 3), size = rng_range(&g->rng, 1, 9),
          hidden = rng_range(&g->rng, 1, 17);
  int64_t way = rng_below(&g->rng, 3), d = way == 2 ? 2 : 1;
  bool batch_first = rng_chance(&g->rng, 30);
  DType t = rng_chance(&g->rng, 80) ? DT_F32 : gen_dtype(g, op, "T");
  int64_t seq[3] = {batch_first ? batch : steps, batch_first ? steps : batch, size};
  int64_t state[3] = {batch_first ? batch : d, batch_first ? d : batch, hidden};
  Value *in[8] = {0};
  in[0] = gen_leaf_of(g, "n", t, 3, seq);
  in[1] = gen_leaf_of(g, "u", t, 3, (int64_t[]){d, gates * hidden, size});
  in[2] = gen_leaf_of(g, "u", t, 3, (int64_t[]){d, gates * hidden, hidden});
  if (rng_chance(&g->rng, 60)) in[3] = gen_leaf_of(g, "u", t, 2, (int64_t[]){d, 2 * gates * hidden});
  if (rng_chance(&g->rng, 30))
    in[4] = gen_leaf_of(g, arena_printf(g->c->arena, "j%lld_", (long long)steps), DT_I32, 1, &batch);
  if (rng_chance(&g->rng, 40)) in[5] = gen_leaf_of(g, "u", t, 3, state);
  if (gates == 4 && rng_chance(&g->rng, 40)) in[6] = gen_leaf_of(g, "u", t, 3, state);
  return gen_build(g, op, in, op->nin,
                   ATTRS(A_STRING("direction", directions[way]), A_BOOL("batch_first", batch_first)));
}

// ---- quantisation -----------------------------------------------------------------------------------------------------

static Node *make_quantize(Gen *g, const Op *op) {
  static const DType types[] = {DT_I8, DT_U8, DT_I16, DT_U16};
  Value *x = gen_operand(g, op, "T", 1, 4);
  int64_t axis = rng_below(&g->rng, x->type.rank);
  bool whole = rng_chance(&g->rng, 50);
  Type s = {.dtype = dtype_is_float(x->type.dtype) ? x->type.dtype : DT_F32,
            .rank = !whole,
            .dim = {x->type.dim[axis]}},
       z = s;
  z.dtype = rng_pick(&g->rng, types);
  Value *scale = gen_leaf(g, "p", &s);
  return gen_build(g, op, (Value *[]){x, scale, gen_leaf(g, "n", &z)}, 3, ATTRS(A_INT("axis", axis)));
}

static Node *make_dequantize(Gen *g, const Op *op) {
  Value *x = gen_operand(g, op, "U", 1, 4);
  int64_t axis = rng_below(&g->rng, x->type.rank);
  Type s = {.dtype = gen_dtype(g, op, "T"), .rank = rng_chance(&g->rng, 50), .dim = {x->type.dim[axis]}},
       z = s;
  z.dtype = x->type.dtype;
  Value *zero = rng_chance(&g->rng, 60) ? gen_leaf(g, "n", &z) : NULL;
  return gen_build(g, op, (Value *[]){x, gen_leaf(g, "p", &s), zero}, 3, ATTRS(A_INT("axis", axis)));
}

const Maker MAKERS_LAYERS[] = {{"layer_norm", 6, make_layer_norm},
                               {"rms_norm", 4, make_layer_norm},
                               {"instance_norm", 3, make_channel_norm},
                               {"group_norm", 3, make_channel_norm},
                               {"softmax", 7, make_axis_norm},
                               {"log_softmax", 3, make_axis_norm},
                               {"lp_normalize", 1, make_axis_norm},
                               {"attention", 3, make_attention},
                               {"rnn", 1, make_recurrent},
                               {"gru", 1, make_recurrent},
                               {"lstm", 1, make_recurrent},
                               {"quantize_linear", 3, make_quantize},
                               {"dequantize_linear", 3, make_dequantize},
                               {0}};
