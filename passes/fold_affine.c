// fold_affine.c: scales and shifts per channel go into the weights and bias of the product before them.
// SPDX-License-Identifier: Apache-2.0
//
// The new weights are written as nodes of constants (w * scale); folding computes them.
#include "passes/rewrite.h"

// ---- batch norm ---------------------------------------------------------------------------------------------

// p, one number per channel, in the shape in which it meets x: channels are dimension 1.
static Value *per_channel(Rewrite *r, Value *p, const Value *x) {
  Dim dims[MAX_RANK];
  if (!p) return NULL;
  for (int i = 0; i < x->type.rank - 1; i++) dims[i] = i ? dim_const(1) : p->type.dim[0];
  return build_reshape(r, p, x->type.rank - 1, dims);
}

// (x - mean) * rsqrt(var + epsilon) * scale + bias as x * s + t.
static Value *affine_batch_norm(Rewrite *r, bool *changed) {
  (void)changed;
  Node *n = r->n;
  Value *x = n->in[0], *scale = n->in[1], *bias = n->in[2], *mean = n->in[3], *var = n->in[4];
  if (x->type.rank < 2 || !scale || !bias || !mean || !var) return NULL;
  if (x->type.dtype != scale->type.dtype || x->type.dtype != mean->type.dtype) return NULL;
  if (!const_of(scale) || !const_of(bias) || !const_of(mean) || !const_of(var)) return NULL;
  Value *eps = build_scalar(r, var->type.dtype, attr_float(n, "eps"));
  Value *s = build2(r, "mul", scale, build1(r, "rsqrt", build2(r, "add", var, eps)));
  Value *t = build2(r, "sub", bias, build2(r, "mul", mean, s));
  return build2(r, "add", build2(r, "mul", x, per_channel(r, s, x)), per_channel(r, t, x));
}

// ---- products -----------------------------------------------------------------------------------------------

// A product with constant weights, and where its result's channels are.
typedef struct Product {
  Node *n;
  Value *w, *bias;
  int channel, w_channel; // dimensions of the result and of w
} Product;

static int last_but(const Value *v, bool swapped) {
  return v->type.rank - (swapped ? 2 : 1);
}

static bool match_product(Value *v, Product *p) {
  Node *n = v->uses == 1 ? v->def : NULL;
  if (!n || n->nin < 2 || !dtype_is_float(v->type.dtype)) return false;
  *p = (Product){.n = n, .w = n->in[1], .bias = n->nin > 2 ? n->in[2] : NULL, .channel = 1};
  if (op_is(n, "conv_transpose")) {
    if (attr_int(n, "groups") != 1) return false;
    p->w_channel = 1;
  } else if (op_is(n, "linear")) {
    p->channel = v->type.rank - 1;
    p->w_channel = last_but(p->w, attr_bool(n, "transpose_w"));
  } else if (op_is(n, "matmul")) {
    if (p->w->type.rank < 2 || n->in[0]->type.rank < 2) return false;
    p->channel = v->type.rank - 1;
    p->w_channel = last_but(p->w, false);
  } else if (!op_is(n, "conv")) {
    return false;
  }
  return const_of(p->w) && (!p->bias || const_of(p->bias));
}

// Is k one number, or one per channel, along dimension `axis` of a result of rank `rank`?
static bool is_per_channel(const Value *k, const Value *y, int axis) {
  if (!const_of(k) || k->type.rank > y->type.rank) return false;
  for (int i = 0; i < k->type.rank; i++) {
    int d = y->type.rank - k->type.rank + i;
    if (d != axis && k->type.dim[i].n != 1) return false;
  }
  return true;
}

// k as a tensor of rank `rank` whose only long dimension is `axis`.
static Value *along(Rewrite *r, Value *k, int rank, int axis) {
  Dim dims[MAX_RANK];
  for (int i = 0; i < rank; i++) dims[i] = dim_const(i == axis ? type_elements(&k->type) : 1);
  return build_reshape(r, k, rank, dims);
}

static Value *rebuild(Rewrite *r, const Product *p, Value *w, Value *bias) {
  Builder b = r->b;
  b.loc = p->n->loc;
  b.like = p->n;
  Value *in[] = {p->n->in[0], w, bias};
  const char *op = op_is(p->n, "matmul") && bias ? "linear" : p->n->op->name;
  bool attrs = strcmp(op, p->n->op->name) == 0;
  if (!w) return NULL;
  Value *v = build(&b, op, in, bias ? 3 : 2, attrs ? p->n->attr : NULL, attrs ? p->n->op->nattr : 0);
  if (v) node_inherit_free(v->def, r->n);
  return v;
}

static Value *scale_into_product(Rewrite *r, bool *changed) {
  (void)changed;
  Node *n = r->n;
  Product p;
  if (!match_product(n->in[0], &p) || !same_type(n->in[0], n->out[0])) return NULL;
  if (!is_per_channel(n->in[1], n->out[0], p.channel)) return NULL;
  Value *w = build2(r, "mul", p.w, along(r, n->in[1], p.w->type.rank, p.w_channel));
  Value *bias = p.bias ? build2(r, "mul", p.bias, along(r, n->in[1], 1, 0)) : NULL;
  return rebuild(r, &p, w, bias);
}

// One number per channel from what may be a single one.
static Value *per_channel_bias(Rewrite *r, const Product *p, Value *k) {
  Dim dim = p->n->out[0]->type.dim[p->channel];
  Value *v = along(r, k, 1, 0);
  if (v && type_elements(&k->type) == 1 && dim.n != 1)
    v = build(&r->b, "broadcast", IN(v), ATTRS(A_SHAPE("shape", &dim, 1)));
  return v;
}

static Value *shift_into_product(Rewrite *r, bool *changed) {
  (void)changed;
  Node *n = r->n;
  Product p;
  if (!match_product(n->in[0], &p) || !same_type(n->in[0], n->out[0])) return NULL;
  if (!is_per_channel(n->in[1], n->out[0], p.channel)) return NULL;
  if (op_is(p.n, "matmul") && p.w->type.rank != 2) return NULL; // linear wants one matrix
  Value *k = per_channel_bias(r, &p, n->in[1]);
  if (op_is(n, "sub")) k = build1(r, "neg", k);
  return rebuild(r, &p, p.w, p.bias ? build2(r, "add", p.bias, k) : k);
}

// Division by constants per channel, so that the rule for products sees a multiplication.
static Value *divide_is_scale(Rewrite *r, bool *changed) {
  (void)changed;
  Node *n = r->n;
  Product p;
  if (!match_product(n->in[0], &p) || !is_per_channel(n->in[1], n->out[0], p.channel)) return NULL;
  return build2(r, "mul", n->in[0], build1(r, "reciprocal", n->in[1]));
}

// ---- the pass -----------------------------------------------------------------------------------------------

static const Rule NORMS[] = {{"batch_norm", affine_batch_norm}, {"div", divide_is_scale}};
static const Rule PRODUCTS[] = {{"mul", scale_into_product}, {"add sub", shift_into_product}};

// Rewriting makes nodes of constants; folding them lets the next rule see constants again.
bool pass_fold_affine(Module *m, const PassOptions *o) {
  if (o->fp_strict) return true;
  return rewrite_module(m, o, "fold_affine", NORMS, ARRAY_LEN(NORMS), 2) && pass_fold(m, o) &&
         rewrite_module(m, o, "fold_affine", PRODUCTS, ARRAY_LEN(PRODUCTS), 1) && pass_fold(m, o) &&
         rewrite_module(m, o, "fold_affine", PRODUCTS, ARRAY_LEN(PRODUCTS), 1) && pass_fold(m, o);
}
