// motifs.c: what rewrites look for and chance seldom makes: ops behind ops, twins, constants that mean something.
// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

// ---- one behind the other -----------------------------------------------------------------------------------------

// Pairs that some pass joins, or that must not be joined.
static const char *const PAIRS[][2] = {
    {"slice", "slice"},
    {"slice", "concat"},
    {"concat", "slice"},
    {"split", "concat"},
    {"transpose", "transpose"},
    {"transpose", "reshape"},
    {"reshape", "transpose"},
    {"reshape", "reshape"},
    {"reshape", "slice"},
    {"flip", "slice"},
    {"slice", "flip"},
    {"pad", "slice"},
    {"pad", "pad"},
    {"pad", "conv"},
    {"pad", "max_pool"},
    {"pad", "avg_pool"},
    {"conv", "batch_norm"},
    {"conv", "conv"},
    {"conv", "mul"},
    {"conv", "add"},
    {"conv", "max_pool"},
    {"conv", "avg_pool"},
    {"conv", "pad"},
    {"conv", "concat"},
    {"conv_transpose", "batch_norm"},
    {"linear", "mul"},
    {"linear", "add"},
    {"linear", "softmax"},
    {"matmul", "softmax"},
    {"matmul", "add"},
    {"matmul", "matmul"},
    {"matmul", "transpose"},
    {"transpose", "matmul"},
    {"softmax", "matmul"},
    {"cast", "cast"},
    {"cast", "matmul"},
    {"exp", "exp"},
    {"abs", "abs"},
    {"neg", "neg"},
    {"relu", "relu"},
    {"relu", "max_pool"},
    {"floor", "cast"},
    {"not", "not"},
    {"bit_not", "bit_not"},
    {"sqrt", "square"},
    {"exp", "log"},
    {"square", "reduce_mean"},
    {"reduce_sum", "reduce_sum"},
    {"reduce_max", "reduce_max"},
    {"reduce_sum", "matmul"},
    {"reduce_mean", "sub"},
    {"broadcast", "reduce_sum"},
    {"gather", "gather"},
    {"gather", "slice"},
    {"concat", "gather"},
    {"resize", "conv"},
    {"layer_norm", "linear"},
    {"mul", "reduce_sum"},
    {"mul", "reduce_max"},
    {"mul", "reduce_min"},
    {"mul", "max_pool"},
    {"div", "reduce_max"},
    {"reverse_sequence", "slice"},
    {"tile", "reduce_max"},
    {"cumsum", "slice"},
    {"where", "where"},
    {"clip", "clip"},
    {"max_pool", "max_pool"},
    {"dequantize_linear", "matmul"},
    {"dequantize_linear", "conv"},
    {"space_to_depth", "conv"},
    {"depth_to_space", "conv"},
};

static bool make_pair(Gen *g) {
  const char *const *pair = rng_pick(&g->rng, PAIRS);
  const Op *a = op_find(g->c, pair[0]), *b = op_find(g->c, pair[1]);
  if (!a || !b || !gen_node(g, a)) return false;
  int64_t times = rng_chance(&g->rng, 25) ? 2 : 1;
  bool made = false;
  for (int64_t i = 0; i < times; i++) {
    g->follow = true;
    made |= gen_node(g, b) != NULL;
    g->follow = false;
  }
  return made;
}

// ---- a value and itself at other places ------------------------------------------------------------------------------

// What is too dear to be computed again for each of its readers, so that it gets a buffer of its own.
static const char *const DEAR[] = {"matmul", "linear",   "conv",       "attention", "softmax",
                                   "gelu",   "max_pool", "layer_norm", "cumsum",    "reduce_sum"};

static Node *follow(Gen *g, const char *name) {
  const Op *op = op_find(g->c, name);
  g->follow = true;
  Node *n = op ? gen_node(g, op) : NULL;
  g->follow = false;
  return n;
}

// x op f(x), where f moves elements or makes them of several, between dear ops: buffers that are read at two places, and
// free afterwards.
static bool make_moved(Gen *g) {
  static const char *const moves[] = {"flip",     "flip",      "roll",   "transpose",        "slice",
                                      "pad",      "gather",    "cumsum", "reverse_sequence", "softmax",
                                      "max_pool", "reduce_max"};
  static const char *const joins[] = {"add", "sub", "mul", "max", "min"};
  const Op *first = op_find(g->c, rng_pick(&g->rng, DEAR)), *join = op_find(g->c, rng_pick(&g->rng, joins));
  Node *x = first ? gen_node(g, first) : NULL, *y = x ? follow(g, rng_pick(&g->rng, moves)) : NULL;
  if (!y) return x != NULL;
  Type both;
  bool fit = x->out[0]->type.dtype == y->out[0]->type.dtype &&
             op_allows(join, join->in[0].type, x->out[0]->type.dtype) &&
             type_broadcast(g->c, (const Type *[]){&x->out[0]->type, &y->out[0]->type}, 2, &both);
  bool swapped = rng_chance(&g->rng, 50);
  if (fit) gen_build(g, join, IN((swapped ? y : x)->out[0], (swapped ? x : y)->out[0]), NO_ATTRS);
  if (rng_chance(&g->rng, 70)) follow(g, rng_pick(&g->rng, DEAR));
  return true;
}

// ---- siblings ---------------------------------------------------------------------------------------------------------

// Products of one value with weights of their own, which may be constants; with further products behind each, which leave
// it as it is.
static bool make_siblings(Gen *g) {
  static const char *const products[] = {"matmul", "linear", "linear", "conv"};
  const Op *op = op_find(g->c, rng_pick(&g->rng, products));
  Node *first = op ? gen_node(g, op) : NULL;
  bool chained = rng_chance(&g->rng, 60), constant = rng_chance(&g->rng, 50);
  if (first && chained) follow(g, "matmul");
  for (int64_t more = rng_range(&g->rng, 1, 2) + constant; first && more > 0; more--) {
    Value *in[3] = {first->in[0], first->in[1], first->nin > 2 ? first->in[2] : NULL};
    for (int k = 1; k < 3; k++)
      if (in[k])
        in[k] = constant && gen_static(in[k]) ? gen_constant(g, "n", &in[k]->type)
                                              : gen_leaf(g, "n", &in[k]->type);
    gen_build(g, op, in, first->nin, first->attr, first->op->nattr);
    if (chained) follow(g, "matmul");
  }
  return first != NULL;
}

// ---- constants behind constants ---------------------------------------------------------------------------------------

// A product with constant weights and bias, scaled or shifted by a constant per channel: fold_affine makes one of them.
static bool make_scaled(Gen *g) {
  static const char *const products[] = {"linear", "conv", "conv", "conv_transpose"};
  static const char *const after[] = {"mul", "mul", "div", "add", "sub"};
  const Op *op = op_find(g->c, rng_pick(&g->rng, products));
  Node *first = op ? gen_node(g, op) : NULL;
  if (!first || !gen_static(first->in[1])) return first != NULL;
  const Type *y = &first->out[0]->type;
  int channel = op_is(first, "linear") ? y->rank - 1 : 1;
  Type bias = {.dtype = y->dtype, .rank = 1, .dim = {y->dim[channel]}},
       k = {.dtype = y->dtype, .rank = y->rank};
  if (y->dim[channel].sym) return true;
  for (int d = 0; d < y->rank; d++) k.dim[d] = d == channel ? y->dim[d] : dim_const(1);
  if (rng_chance(&g->rng, 20)) k.rank = 0;
  Value *w = gen_constant(g, "n", &first->in[1]->type),
        *b = rng_chance(&g->rng, 70) ? gen_constant(g, "n", &bias) : NULL;
  Node *n = gen_build(g, op, IN(first->in[0], w, b), first->attr, op->nattr);
  for (int64_t more = rng_range(&g->rng, 1, 2); n && more > 0; more--)
    n = gen_build(g, op_find(g->c, rng_pick(&g->rng, after)), IN(n->out[0], gen_constant(g, "n", &k)),
                  NO_ATTRS);
  return true;
}

// ---- many columns -----------------------------------------------------------------------------------------------------

// A product of many steps and columns whose rows lie scattered: transposed, a plane apart, or with others between. The layout
// pass gathers such rows. Large enough for several threads, which share the parts.
static bool make_wide(Gen *g) {
  static const int64_t steps[] = {31, 32, 33, 40, 48, 64, 65}, columns[] = {127, 128, 129, 144, 160};
  int64_t k = rng_pick(&g->rng, steps), n = rng_pick(&g->rng, columns), h = rng_range(&g->rng, 1, 6),
          w = rng_range(&g->rng, 2, 7), *stride = gen_ints(g, 2);
  const Op *conv = op_find(g->c, "conv"), *linear = op_find(g->c, "linear");
  Node *y;
  if (rng_chance(&g->rng, 50)) {
    Value *x = gen_leaf_of(g, "n", DT_F32, 4, (int64_t[]){1, k, h, w});
    stride[0] = stride[1] = rng_range(&g->rng, 1, 2);
    y = gen_build(g, conv, IN(x, gen_leaf_of(g, "n", DT_F32, 4, (int64_t[]){n, k, 1, 1})),
                  ATTRS(A_INTS("stride", stride, 2)));
  } else {
    bool swapped = rng_chance(&g->rng, 50);
    Value *x = gen_leaf_of(g, "n", DT_F32, 2, (int64_t[]){k, h * w});
    y = gen_build(g, linear,
                  IN(x, gen_leaf_of(g, "n", DT_F32, 2, (int64_t[]){swapped ? n : k, swapped ? k : n})),
                  ATTRS(A_BOOL("transpose_x", true), A_BOOL("transpose_w", swapped)));
  }
  static const char *const behind[] = {"transpose", "softmax", "gelu", "matmul", "layer_norm", "reduce_sum"};
  for (int64_t more = rng_range(&g->rng, 0, 2); y && more > 0; more--) follow(g, rng_pick(&g->rng, behind));
  return y != NULL;
}

// ---- twins ----------------------------------------------------------------------------------------------------------

static Value *another(Gen *g, const Value *v) {
  for (int i = g->pool.n - 1; i >= 0; i--) {
    Value *w = g->pool.data[i];
    if (w != v && type_equal(&w->type, &v->type) && rng_chance(&g->rng, 50)) return w;
  }
  return gen_leaf(g, "n", &v->type);
}

// A small change of a number or a switch.
static bool change(Gen *g, Attr *a) {
  switch (a->kind) {
  case ATTR_BOOL: a->i = !a->i; return true;
  case ATTR_INT: a->i += rng_chance(&g->rng, 50) ? 1 : -1; return true;
  case ATTR_FLOAT: a->f += 0.5; return true;
  case ATTR_INTS: {
    int64_t *v = gen_ints(g, a->n);
    for (int i = 0; i < a->n; i++) v[i] = a->ints[i];
    if (a->n) v[rng_below(&g->rng, a->n)] += rng_chance(&g->rng, 50) ? 1 : -1;
    a->ints = v;
    return a->n > 0;
  }
  default: return false;
  }
}

// A node of the graph once more: the same, or with another operand, or another attribute.
static bool make_twin(Gen *g) {
  const Node *n = g->graph->last;
  for (int64_t back = rng_below(&g->rng, 3); n && back > 0; back--) n = n->prev;
  if (!n || n->nregions || n->nin > 8 || op_is(n, "random_uniform") || op_is(n, "random_normal"))
    return false;
  Value *in[8];
  Attr *attrs = NEW_ARRAY(g->c->arena, Attr, n->op->nattr + 1);
  int nattrs = 0;
  for (int i = 0; i < n->nin; i++) in[i] = n->in[i];
  for (int i = 0; i < n->op->nattr; i++)
    if (n->attr[i].given && strcmp(n->attr[i].name, "extent") != 0) attrs[nattrs++] = n->attr[i];
  int64_t kind = rng_below(&g->rng, 5);
  if (kind > 2 && nattrs) {
    if (!change(g, &attrs[rng_below(&g->rng, nattrs)])) return false;
  } else if (kind > 0 && n->nin) {
    int k = (int)rng_below(&g->rng, n->nin);
    if (in[k]) in[k] = another(g, in[k]);
  }
  return gen_build(g, n->op, in, n->nin, attrs, nattrs);
}

// ---- constants --------------------------------------------------------------------------------------------------------

static Value *constant(Gen *g, DType t, const Value *like, double number) {
  Type type = {.dtype = t, .rank = like && rng_chance(&g->rng, 30) ? like->type.rank : 0};
  for (int d = 0; d < type.rank; d++) type.dim[d] = like->type.dim[d];
  if (!type_is_static(&type)) type.rank = 0;
  Tensor *x = tensor_new(g->c, &type);
  for (int64_t i = 0; i < type_elements(&type); i++) tensor_set(x, i, number);
  Value *v = graph_const(g->graph, arena_printf(g->c->arena, "k%d", g->serial++), x, NO_LOC);
  v->info = x;
  vec_push(g->c->arena, &g->pool, v);
  return v;
}

// x op constant, with numbers for which there are rules, and their neighbours.
static bool make_with_constant(Gen *g) {
  static const char *const ops[] = {"add",  "sub",     "mul",    "div",        "pow",        "pow",
                                    "min",  "max",     "mod",    "rem",        "where",      "equal",
                                    "less", "bit_and", "bit_or", "shift_left", "shift_right"};
  static const double numbers[] = {0, 1, 2, 3, 4, -1, -2, 0.5, -0.5, 0.1, 7, 8, 31, 33, 255};
  const Op *op = op_find(g->c, rng_pick(&g->rng, ops));
  double number = rng_pick(&g->rng, numbers);
  if (!op) return false;
  if (op->nin == 3) { // where(constant, x, y)
    Value *x = gen_operand(g, op, "T", 0, 4), *y = another(g, x);
    Value *cond = constant(g, DT_BOOL, x, number > 0.9 ? 1 : 0);
    return gen_build(g, op, (Value *[]){cond, x, y}, 3, NULL, 0);
  }
  Value *x = gen_operand(g, op, op->in[0].type, 0, 5);
  if (!dtype_is_float(x->type.dtype) && dtype_class(x->type.dtype) == 'u' && number < 0) number = -number;
  Value *k = constant(g, x->type.dtype, x, number);
  bool swapped = rng_chance(&g->rng, 20);
  Value *y = gen_build(g, op, swapped ? (Value *[]){k, x} : (Value *[]){x, k}, 2, NULL, 0) ? x : NULL;
  return y != NULL;
}

bool make_motif(Gen *g) {
  int64_t kind = rng_below(&g->rng, 13);
  if (rng_chance(&g->rng, 4)) return make_wide(g);
  if (kind < 1) return make_scaled(g);
  if (kind < 3) return rng_chance(&g->rng, 60) ? make_moved(g) : make_siblings(g);
  return kind < 9 ? make_pair(g) : kind < 11 ? make_twin(g) : make_with_constant(g);
}
