// ops_recurrent.c: rnn, gru and lstm: cells as products and element-wise ops, sequences as loops over them.
// SPDX-License-Identifier: Apache-2.0
//
// Shapes, the order of gates and options are ONNX's: x [t,b,i], w [dirs,gates*h,i], r [dirs,gates*h,h], bias
// [dirs,2*gates*h] (of w, then of r), h0 and c0 [dirs,b,h]; y [t,dirs,b,h]. Gates: lstm i o f c, gru z r h.
#include "ir/ops.h"

#include <stdlib.h>

enum { MAX_ACTIVATIONS = 6 };

typedef struct Activation {
  const char *name;
  double alpha, beta;
  bool has_alpha, has_beta;
} Activation;

typedef struct Rnn {
  Ctx *c;
  const Node *n;
  int gates; // 1, 3, 4
  int dirs;
  bool batch_first;
  Dim t, b, i, h;
  Activation act[MAX_ACTIVATIONS];
} Rnn;

// ---- activations ------------------------------------------------------------------------------------------------

static const char *const ACTIVATIONS[] = {"relu",       "tanh",        "sigmoid",          "affine",
                                          "leaky_relu", "scaled_tanh", "thresholded_relu", "hard_sigmoid",
                                          "elu",        "softsign",    "softplus"};

static int activations_per_direction(int gates) {
  return gates == 4 ? 3 : gates == 3 ? 2 : 1;
}

static bool set_activation(Rnn *r, int k, const char *s, size_t len) {
  const Attr *alpha = node_attr(r->n, "alpha"), *beta = node_attr(r->n, "beta");
  for (int i = 0; i < ARRAY_LEN(ACTIVATIONS); i++) {
    if (strlen(ACTIVATIONS[i]) != len || memcmp(ACTIVATIONS[i], s, len) != 0) continue;
    r->act[k] = (Activation){.name = ACTIVATIONS[i], .has_alpha = k < alpha->n, .has_beta = k < beta->n};
    if (k < alpha->n) r->act[k].alpha = alpha->floats[k];
    if (k < beta->n) r->act[k].beta = beta->floats[k];
    return true;
  }
  return op_fail(r->c, r->n, "there is no activation '%.*s'", (int)len, s);
}

// The comma-separated names of attribute `activations`, or the usual ones for each direction.
static bool read_activations(Rnn *r) {
  static const char *const USUAL[] = {[1] = "tanh", [3] = "sigmoid,tanh", [4] = "sigmoid,tanh,tanh"};
  int each = activations_per_direction(r->gates), want = each * r->dirs;
  const char *given = attr_string(r->n, "activations"), *s = *given ? given : USUAL[r->gates];
  int k = 0;
  while (k < want) {
    size_t len = strcspn(s, ",");
    if (!set_activation(r, k++, s, len)) return false;
    s += len;
    if (*s == ',') s++;
    if (!*s && k % each == 0 && !*given) s = USUAL[r->gates];
    if (!*s && k < want) return op_fail(r->c, r->n, "%d activations, need %d", k, want);
  }
  return true;
}

static Value *affine(Builder *b, Value *x, double scale, double offset) {
  if (scale != 1) x = mk_with(b, "mul", x, scale);
  return offset != 0 ? mk_with(b, "add", x, offset) : x;
}

static Value *activate(Builder *b, const Activation *a, Value *x) {
  if (!x) return NULL;
  if (strcmp(a->name, "affine") == 0) return affine(b, x, a->has_alpha ? a->alpha : 1, a->beta);
  if (strcmp(a->name, "scaled_tanh") == 0) {
    Value *t = mk1(b, "tanh", affine(b, x, a->has_beta ? a->beta : 1, 0));
    return affine(b, t, a->has_alpha ? a->alpha : 1, 0);
  }
  const Op *op = op_find(b->ctx, a->name);
  Attr attrs[2];
  int n = 0;
  for (int i = 0; i < op->nattr; i++) {
    if (strcmp(op->attr[i].name, "alpha") == 0 && a->has_alpha) attrs[n++] = A_FLOAT("alpha", a->alpha);
    if (strcmp(op->attr[i].name, "beta") == 0 && a->has_beta) attrs[n++] = A_FLOAT("beta", a->beta);
  }
  return build(b, a->name, IN(x), attrs, n);
}

// ---- shapes -------------------------------------------------------------------------------------------------------

static bool check_operand(Rnn *r, int k, int rank, const Dim *dims) {
  const Value *v = op_in(r->n, k);
  if (!v) return true;
  bool fits = v->type.rank == rank;
  for (int d = 0; fits && d < rank; d++) fits = dim_equal(v->type.dim[d], dims[d]);
  Type want = {.dtype = v->type.dtype, .rank = rank};
  memcpy(want.dim, dims, sizeof *dims * (size_t)rank);
  if (fits) return true;
  return op_fail(r->c, r->n, "%s is %s, must be %s", op_param(r->n->op, k)->name, type_text(r->c, &v->type),
                 type_text(r->c, &want));
}

// h0 and c0: [dirs,b,h], or [b,dirs,h] if the batch comes first.
static bool check_state(Rnn *r, int k) {
  Dim dirs = dim_const(r->dirs);
  return check_operand(r, k, 3, r->batch_first ? (Dim[]){r->b, dirs, r->h} : (Dim[]){dirs, r->b, r->h});
}

static bool rnn_read(Ctx *c, const Node *n, int gates, Rnn *r) {
  *r = (Rnn){.c = c, .n = n, .gates = gates};
  const Type *x = in_type(n, 0), *w = in_type(n, 1), *rec = in_type(n, 2);
  if (!op_choice(c, n, "direction", "forward|reverse|bidirectional")) return false;
  r->dirs = attr_is(n, "direction", "bidirectional") ? 2 : 1;
  r->batch_first = attr_bool(n, "batch_first");
  if (x->rank != 3 || w->rank != 3 || rec->rank != 3)
    return op_fail(c, n, "x, w and r must have three dimensions: they are %s, %s, %s", type_text(c, x),
                   type_text(c, w), type_text(c, rec));
  r->t = x->dim[r->batch_first];
  r->b = x->dim[!r->batch_first];
  r->i = x->dim[2];
  r->h = rec->dim[2];
  if (r->h.sym) return op_fail(c, n, "the hidden size must be known");
  Dim dirs = dim_const(r->dirs), all = dim_const(r->h.n * gates), two = dim_const(2 * r->h.n * gates);
  return check_operand(r, 1, 3, (Dim[]){dirs, all, r->i}) &&
         check_operand(r, 2, 3, (Dim[]){dirs, all, r->h}) && check_operand(r, 3, 2, (Dim[]){dirs, two}) &&
         check_operand(r, 4, 1, (Dim[]){r->b}) && check_state(r, 5) &&
         (gates != 4 ||
          (check_state(r, 6) && check_operand(r, 7, 2, (Dim[]){dirs, dim_const(3 * r->h.n)}))) &&
         read_activations(r);
}

static bool rnn_shapes(Ctx *c, Node *n, int gates) {
  Rnn r;
  if (!rnn_read(c, n, gates, &r)) return false;
  Dim dirs = dim_const(r.dirs);
  bool ok = r.batch_first ? op_set(c, n, 0, 4, (Dim[]){r.b, r.t, dirs, r.h})
                          : op_set(c, n, 0, 4, (Dim[]){r.t, dirs, r.b, r.h});
  for (int k = 1; ok && k < n->nout; k++)
    ok = r.batch_first ? op_set(c, n, k, 3, (Dim[]){r.b, dirs, r.h})
                       : op_set(c, n, k, 3, (Dim[]){dirs, r.b, r.h});
  return ok;
}

static bool rnn_infer(Ctx *c, Node *n) {
  return rnn_shapes(c, n, 1);
}

static bool gru_infer(Ctx *c, Node *n) {
  return rnn_shapes(c, n, 3);
}

static bool lstm_infer(Ctx *c, Node *n) {
  return rnn_shapes(c, n, 4);
}

// ---- cells --------------------------------------------------------------------------------------------------------

// One direction's operands; x is what comes from the input, w x + biases, of one step: [b,gates*h].
typedef struct Cell {
  const Rnn *r;
  const Activation *act;
  Value *w_rec; // [gates*h,h]
  Value *b_rec; // [gates*h], or NULL: already in x
  Value *peep;  // [3*h], or NULL
  double clip;
} Cell;

static Value *gate(Builder *b, const Cell *k, Value *all, int g) {
  return mk_slice(b, all, 1, g * k->r->h.n, (g + 1) * k->r->h.n);
}

static Value *clipped(Builder *b, const Cell *k, Value *x) {
  if (k->clip <= 0 || !x) return x;
  Value *lo = mk_scalar(b, x->type.dtype, -k->clip), *hi = mk_scalar(b, x->type.dtype, k->clip);
  return build(b, "clip", IN(x, lo, hi), NO_ATTRS);
}

static Value *gate_of(Builder *b, const Cell *k, const Activation *a, Value *x) {
  return activate(b, a, clipped(b, k, x));
}

// h * w_rec^T (+ b_rec) with rows [from, to) of the weight, in units of h.
static Value *recur(Builder *b, const Cell *k, Value *h, int from, int to) {
  int64_t size = k->r->h.n;
  Value *w = k->w_rec, *bias = k->b_rec;
  if (to - from < k->r->gates) {
    w = mk_slice(b, w, 0, from * size, to * size);
    bias = mk_slice(b, bias, 0, from * size, to * size);
  }
  if (!h || !w) return NULL;
  return build(b, "linear", IN(h, w, bias), ATTRS(A_BOOL("transpose_w", true)));
}

static Value *rnn_cell(Builder *b, const Cell *k, Value *x, Value *h) {
  return gate_of(b, k, &k->act[0], mk2(b, "add", x, recur(b, k, h, 0, 1)));
}

static Value *gru_cell(Builder *b, const Cell *k, Value *x, Value *h) {
  bool linear_first = attr_bool(k->r->n, "linear_before_reset");
  Value *zr = recur(b, k, h, 0, 2), *rh;
  Value *z = gate_of(b, k, &k->act[0], mk2(b, "add", gate(b, k, x, 0), gate(b, k, zr, 0)));
  Value *r = gate_of(b, k, &k->act[0], mk2(b, "add", gate(b, k, x, 1), gate(b, k, zr, 1)));
  if (linear_first)
    rh = mk2(b, "mul", r, recur(b, k, h, 2, 3));
  else
    rh = recur(b, k, mk2(b, "mul", r, h), 2, 3);
  Value *fresh = gate_of(b, k, &k->act[1], mk2(b, "add", gate(b, k, x, 2), rh));
  return mk2(b, "add", mk2(b, "mul", mk2(b, "sub", mk_scalar(b, x->type.dtype, 1), z), fresh),
             mk2(b, "mul", z, h));
}

static Value *peeped(Builder *b, const Cell *k, Value *x, Value *c, int which) {
  if (!k->peep) return x;
  Value *p = mk_slice(b, k->peep, 0, which * k->r->h.n, (which + 1) * k->r->h.n);
  return mk2(b, "add", x, mk2(b, "mul", p, c));
}

static bool lstm_cell(Builder *b, const Cell *k, Value *x, Value *h, Value *c, Value **next_h,
                      Value **next_c) {
  Value *all = mk2(b, "add", x, recur(b, k, h, 0, 4));
  Value *i = gate_of(b, k, &k->act[0], peeped(b, k, gate(b, k, all, 0), c, 0)), *f;
  if (attr_bool(k->r->n, "input_forget"))
    f = i ? mk2(b, "sub", mk_scalar(b, i->type.dtype, 1), i) : NULL;
  else
    f = gate_of(b, k, &k->act[0], peeped(b, k, gate(b, k, all, 2), c, 2));
  Value *fresh = gate_of(b, k, &k->act[1], gate(b, k, all, 3));
  *next_c = mk2(b, "add", mk2(b, "mul", f, c), mk2(b, "mul", i, fresh));
  Value *o = gate_of(b, k, &k->act[0], peeped(b, k, gate(b, k, all, 1), *next_c, 1));
  *next_h = mk2(b, "mul", o, activate(b, &k->act[2], *next_c));
  return *next_h && *next_c;
}

// ---- sequences ------------------------------------------------------------------------------------------------------

// x[d] of a tensor whose first dimension is the directions.
static Value *of_direction(Builder *b, Value *x, int dirs, int d) {
  if (!x) return NULL;
  if (dirs > 1) x = mk_slice(b, x, 0, d, d + 1);
  return mk_reshape(b, x, x->type.rank - 1, x->type.dim + 1);
}

// What the input adds to the gates of all steps: x w^T + biases, [t,b,gates*h]. The recurrent bias goes in here too,
// but not where gru multiplies it by a gate.
static Value *input_part(Builder *b, const Rnn *r, Value *x, int d, Cell *cell) {
  Value *w = of_direction(b, r->n->in[1], r->dirs, d), *bias = of_direction(b, op_in(r->n, 3), r->dirs, d);
  int64_t all = r->gates * r->h.n;
  if (bias) {
    Value *first = mk_slice(b, bias, 0, 0, all), *second = mk_slice(b, bias, 0, all, 2 * all);
    bool apart = r->gates == 3 && attr_bool(r->n, "linear_before_reset");
    bias = apart ? first : mk2(b, "add", first, second);
    if (apart) cell->b_rec = second;
  }
  return x && w ? build(b, "linear", IN(x, w, bias), ATTRS(A_BOOL("transpose_w", true))) : NULL;
}

// A state's value at the start: the operand, or zeros [b,h].
static Value *first_state(Builder *b, const Rnn *r, int operand, int d) {
  Value *v = op_in(r->n, operand);
  if (v) {
    if (r->batch_first) v = mk_transpose(b, v, (int64_t[]){1, 0, 2}, 3);
    return of_direction(b, v, r->dirs, d);
  }
  Dim dims[2] = {r->b, r->h};
  return build(b, "fill", IN(mk_scalar(b, in_type(r->n, 0)->dtype, 0)), ATTRS(A_SHAPE("shape", dims, 2)));
}

// `next` where the sequence still runs at step t, else `otherwise`.
static Value *while_running(Builder *b, Value *running, Value *next, Value *otherwise) {
  return running ? mk_where(b, running, next, otherwise) : next;
}

// The loop's body: (step, condition, h[, c]) -> (condition, h[, c], y).
static bool build_body(Graph *g, const Cell *k, Value *xw, bool reverse, Loc loc) {
  const Rnn *r = k->r;
  DType t = xw->type.dtype;
  bool lstm = r->gates == 4;
  Type state = {.dtype = t, .rank = 2, .dim = {r->b, r->h}};
  Builder b = builder_at(g, NULL, loc);
  Value *step = graph_input(g, NULL, (Type){.dtype = DT_I64}, loc);
  Value *cond = graph_input(g, NULL, (Type){.dtype = DT_BOOL}, loc);
  Value *h = graph_input(g, NULL, state, loc), *c = lstm ? graph_input(g, NULL, state, loc) : NULL;
  Value *at = step, *lengths = op_in(r->n, 4), *running = NULL;
  if (reverse) {
    Value *count = build(&b, "extents", NULL, 0, ATTRS(A_SHAPE("of", &r->t, 1)));
    at = mk2(&b, "sub", mk_with(&b, "sub", mk_reshape(&b, count, 0, NULL), 1), step);
  }
  if (!at) return false;
  if (lengths) {
    running = mk2(&b, "less", at, mk_cast(&b, lengths, DT_I64));
    running = mk_reshape(&b, running, 2, (Dim[]){r->b, dim_const(1)});
  }
  Value *x = build(&b, "gather", IN(xw, at), ATTRS(A_INT("axis", 0))), *next_h = NULL, *next_c = NULL;
  if (!x) return false;
  if (lstm)
    lstm_cell(&b, k, x, h, c, &next_h, &next_c);
  else
    next_h = r->gates == 3 ? gru_cell(&b, k, x, h) : rnn_cell(&b, k, x, h);
  Value *y = while_running(&b, running, next_h, mk_scalar(&b, t, 0));
  next_h = while_running(&b, running, next_h, h);
  if (lstm) next_c = while_running(&b, running, next_c, c);
  if (!y || !next_h || (lstm && !next_c)) return false;
  graph_output(g, NULL, cond);
  graph_output(g, NULL, next_h);
  if (lstm) graph_output(g, NULL, next_c);
  graph_output(g, NULL, y);
  return true;
}

// One direction: out[0] = y [t,b,h], out[1] = last h, out[2] = last c.
static bool run_direction(Builder *b, const Rnn *r, Value *x, int d, Value **out) {
  bool reverse = d == 1 || attr_is(r->n, "direction", "reverse"), lstm = r->gates == 4;
  Cell cell = {
      .r = r, .act = r->act + d * activations_per_direction(r->gates), .clip = attr_float(r->n, "clip")};
  cell.w_rec = of_direction(b, r->n->in[2], r->dirs, d);
  if (lstm) cell.peep = of_direction(b, op_in(r->n, 7), r->dirs, d);
  Value *xw = input_part(b, r, x, d, &cell), *h = first_state(b, r, 5, d);
  Value *c = lstm ? first_state(b, r, 6, d) : NULL;
  if (!xw || !h || !cell.w_rec || (lstm && !c)) return false;
  Graph *body = graph_new(b->graph->module, r->n->op->name, b->graph);
  if (!build_body(body, &cell, xw, reverse, b->loc)) return false;
  Value *in[4] = {NULL, NULL, h, c};
  Node *loop = build_region_node(b, "loop", in, lstm ? 4 : 3, ATTRS(A_SHAPE("trips", &r->t, 1)), &body, 1);
  if (!loop) return false;
  out[0] = loop->out[lstm ? 2 : 1];
  out[1] = loop->out[0];
  out[2] = lstm ? loop->out[1] : NULL;
  int64_t axis = 0;
  if (reverse) out[0] = build(b, "flip", IN(out[0]), ATTRS(A_INTS("axes", &axis, 1)));
  return out[0] != NULL;
}

// The directions' values along a new dimension.
static Value *join(Builder *b, Value *const *v, int dirs, int axis) {
  return build(b, "stack", v, dirs, ATTRS(A_INT("axis", axis)));
}

static bool decompose(Builder *b, const Node *n, int gates, Value **out) {
  Rnn r;
  Value *parts[3][2], *one[3];
  if (!rnn_read(b->ctx, n, gates, &r)) return false;
  Value *x = r.batch_first ? mk_transpose(b, n->in[0], (int64_t[]){1, 0, 2}, 3) : n->in[0];
  for (int d = 0; d < r.dirs; d++) {
    if (!run_direction(b, &r, x, d, one)) return false;
    for (int k = 0; k < n->nout; k++) parts[k][d] = one[k];
  }
  for (int k = 0; k < n->nout; k++) {
    out[k] = join(b, parts[k], r.dirs, k == 0);
    if (r.batch_first && k == 0) out[k] = mk_transpose(b, out[k], (int64_t[]){2, 0, 1, 3}, 4);
    if (r.batch_first && k > 0) out[k] = mk_transpose(b, out[k], (int64_t[]){1, 0, 2}, 3);
    if (!out[k]) return false;
  }
  return true;
}

static bool rnn_decompose(Builder *b, const Node *n, Value **out) {
  return decompose(b, n, 1, out);
}

static bool gru_decompose(Builder *b, const Node *n, Value **out) {
  return decompose(b, n, 3, out);
}

static bool lstm_decompose(Builder *b, const Node *n, Value **out) {
  return decompose(b, n, 4, out);
}

#define RNN_INS "x:T, w:T, r:T, bias:T?, lengths:U?, h0:T?"
#define RNN_ATTRS                                                                                            \
  "direction:string=forward, activations:string=, alpha:floats=[], beta:floats=[], clip:float=0, "           \
  "batch_first:bool=false"
#define RNN_DOC                                                                                              \
  " over a sequence x [t,b,i] with weights w [dirs,gates*h,i], r [dirs,gates*h,h], bias [dirs,2*gates*h], "  \
  "lengths [b] and states [dirs,b,h]; results y [t,dirs,b,h] and the last states. With batch_first x is "    \
  "[b,t,i], y [b,t,dirs,h], states [b,dirs,h]. direction is forward, reverse or bidirectional; activations " \
  "are names separated by commas, for each direction, with a number of alpha and beta each; clip bounds "    \
  "what goes into them. Past the end of a sequence y is 0 and the states stay."

const OpInfo OPS_RECURRENT[] = {
    {.name = "rnn",
     .group = "recurrent",
     .ins = RNN_INS,
     .outs = "T, T",
     .t = "float, U:int",
     .attrs = RNN_ATTRS,
     .infer = rnn_infer,
     .decompose = rnn_decompose,
     .doc = "The plain recurrent network h' = f(w x + r h + bias)" RNN_DOC,
     .sample =
         "rnn(f32[3,2,4], f32[1,5,4], f32[1,5,5], f32[1,10]); rnn(f32[3,2,4], f32[2,5,4], f32[2,5,5], "
         "direction=bidirectional, activations=\"relu,affine\", alpha=[0,0.5], beta=[0,0.1], clip=0.9)"},
    {.name = "gru",
     .group = "recurrent",
     .ins = RNN_INS,
     .outs = "T, T",
     .t = "float, U:int",
     .attrs = RNN_ATTRS ", linear_before_reset:bool=false",
     .infer = gru_infer,
     .decompose = gru_decompose,
     .doc = "Gated recurrent unit (gates z, r, h; linear_before_reset multiplies r by the product instead of "
            "the "
            "state)" RNN_DOC,
     .sample =
         "gru(f32[3,2,4], f32[1,15,4], f32[1,15,5], f32[1,30]); gru(f32[2,3,4], f32[1,15,4], f32[1,15,5], "
         "f32[1,30], i32[2], f32[2,1,5], linear_before_reset=true, direction=reverse, batch_first=true)"},
    {.name = "lstm",
     .group = "recurrent",
     .ins = RNN_INS ", c0:T?, peephole:T?",
     .outs = "T, T, T",
     .t = "float, U:int",
     .attrs = RNN_ATTRS ", input_forget:bool=false",
     .infer = lstm_infer,
     .decompose = lstm_decompose,
     .doc = "Long short-term memory (gates i, o, f, c; peephole [dirs,3*h] for i, o, f; input_forget takes 1 "
            "- i for "
            "f)" RNN_DOC,
     .sample =
         "lstm(f32[3,2,4], f32[1,20,4], f32[1,20,5], f32[1,40]); lstm(f32[3,2,4], f32[2,20,4], f32[2,20,5], "
         "f32[2,40], i32[2], f32[2,2,5], f32[2,2,5], f32[2,15], direction=bidirectional)"},
    {0},
};
