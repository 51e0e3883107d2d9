// yaml_recurrent.c: recurrent layers with PyTorch's weights: any number of layers, one or both directions.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/yaml_layers.h"

// PyTorch's order of the gates is not the op's (ONNX's): order[k] is where the op's gate k comes from.
typedef struct Cell {
  const char *op;
  int gates, order[4];
  int states; // results after the sequence
} Cell;

static const Cell LSTM = {"lstm", 4, {0, 3, 1, 2}, 2};
static const Cell GRU = {"gru", 3, {1, 0, 2}, 1};
static const Cell RNN = {"rnn", 1, {0}, 1};

typedef struct Stack {
  Layer l;
  const Cell *cell;
  int64_t hidden, layers;
  int dirs;
  bool bias, batch_first, want_states;
} Stack;

// ---- weights ----------------------------------------------------------------------------------------------------

// Copies the gates of `from` [gates * rows, ...] in the op's order to `to`.
static char *copy_gates(const Cell *c, const Tensor *from, char *to) {
  size_t gate = from->bytes / (size_t)c->gates;
  for (int k = 0; k < c->gates; k++, to += gate) {
    memcpy(to, (const char *)from->data + (size_t)c->order[k] * gate, gate);
  }
  return to;
}

static const Tensor *part(Stack *s, const char *what, int64_t layer, int dir, int64_t columns) {
  Yaml *y = s->l.y;
  char *suffix = arena_printf(y->ctx->arena, "%s_l%lld%s", what, (long long)layer, dir ? "_reverse" : "");
  int64_t dims[2] = {s->cell->gates * s->hidden, columns};
  Init init =
      columns ? (Init){s->l.init.kind, s->l.init.value, columns, s->hidden} : (Init){INIT_CONSTANT, 0, 1, 1};
  Value *v = layer_weight(&s->l, suffix, columns ? 2 : 1, dims, init);
  return v ? v->data : NULL;
}

static Value *packed(Stack *s, const char *what, int64_t layer, Tensor *t) {
  Yaml *y = s->l.y;
  char *name = arena_printf(y->ctx->arena, "%s.%s_l%lld.packed", s->l.name, what, (long long)layer);
  return graph_const(y->graph, yaml_unique(y, name), t, s->l.args->loc);
}

// [dirs, gates * hidden, columns]
static Value *pack_matrix(Stack *s, const char *what, int64_t layer, int64_t columns) {
  Type t = type_make(s->l.dtype, 3, (int64_t[]){s->dirs, s->cell->gates * s->hidden, columns});
  if (!type_check_size(s->l.y->ctx, s->l.args->loc, &t)) return NULL;
  Tensor *out = tensor_new(s->l.y->ctx, &t);
  char *to = tensor_data(out);
  for (int d = 0; d < s->dirs; d++) {
    const Tensor *from = part(s, what, layer, d, columns);
    if (!from) return NULL;
    to = copy_gates(s->cell, from, to);
  }
  return packed(s, what, layer, out);
}

// [dirs, 2 * gates * hidden]: those of the input, then those of the state.
static Value *pack_bias(Stack *s, int64_t layer) {
  Type t = type_make(s->l.dtype, 2, (int64_t[]){s->dirs, 2 * s->cell->gates * s->hidden});
  Tensor *out = tensor_new(s->l.y->ctx, &t);
  char *to = tensor_data(out);
  for (int d = 0; d < s->dirs; d++) {
    const Tensor *input = part(s, "bias_ih", layer, d, 0), *state = part(s, "bias_hh", layer, d, 0);
    if (!input || !state) return NULL;
    to = copy_gates(s->cell, state, copy_gates(s->cell, input, to));
  }
  return packed(s, "bias", layer, out);
}

// ---- layers -----------------------------------------------------------------------------------------------------

// The directions side by side, as the next layer and PyTorch's users want them.
static Value *join_directions(Stack *s, Value *v) {
  Yaml *y = s->l.y;
  Loc loc = s->l.args->loc;
  int64_t perm[] = {0, 2, 1, 3};
  if (!s->batch_first) v = yaml_build(y, "transpose", loc, IN(v), ATTRS(A_INTS("perm", perm, 4)));
  if (!v) return NULL;
  Dim dims[] = {v->type.dim[0], v->type.dim[1], dim_const(s->dirs * s->hidden)};
  return yaml_build(y, "reshape", loc, IN(v), ATTRS(A_SHAPE("shape", dims, 3)));
}

static Node *build_layer(Stack *s, Value *x, int64_t layer) {
  Yaml *y = s->l.y;
  Dim in = x->type.dim[2];
  Value *w = in.sym ? NULL : pack_matrix(s, "weight_ih", layer, in.n);
  Value *r = w ? pack_matrix(s, "weight_hh", layer, s->hidden) : NULL;
  Value *b = r && s->bias ? pack_bias(s, layer) : NULL;
  if (!r || (s->bias && !b)) return NULL;
  Attr attrs[] = {A_STRING("direction", s->dirs == 2 ? "bidirectional" : "forward"),
                  A_BOOL("batch_first", s->batch_first), A_BOOL("linear_before_reset", true)};
  int n = s->cell == &GRU ? 3 : 2;
  Value *v = yaml_build(y, s->cell->op, s->l.args->loc, (Value *[]){x, w, r, b}, s->bias ? 4 : 3, attrs, n);
  return v ? v->def : NULL;
}

// [y, h, c]: the sequence and the last layer's states.
static Val results(Stack *s, Value *sequence, const Node *last) {
  if (!s->want_states) return val_tensor(sequence);
  Val *items = NEW_ARRAY(s->l.y->ctx->arena, Val, 1 + s->cell->states);
  items[0] = val_tensor(sequence);
  for (int i = 0; i < s->cell->states; i++) items[1 + i] = val_tensor(last->out[1 + i]);
  return val_list(items, 1 + s->cell->states);
}

static Val build_stack(Stack *s) {
  Value *x = s->l.x;
  Node *n = NULL;
  for (int64_t k = 0; k < s->layers; k++) {
    if (!(n = build_layer(s, x, k)) || !(x = join_directions(s, n->out[0]))) return VAL_ERROR;
  }
  return results(s, x, n);
}

static Val recurrent(Yaml *y, Args *args, const Cell *cell) {
  enum { MAX_LAYERS = 1000 };
  Stack s = {.cell = cell, .layers = 1};
  int64_t unused;
  if (!layer_start(y, args, &s.l) || !layer_rank(&s.l, 3) || !layer_extent(&s.l, 2, &unused))
    return VAL_ERROR;
  if (s.l.x->type.rank != 3)
    return yaml_fail(y, args->loc, "%s needs 3 dimensions: time, batch and features", args->what);
  if (!layer_int(&s.l, "hidden", 1, 1, &s.hidden)) return VAL_ERROR;
  for (int i = 0; i < args->list.n; i++) {
    const char *key = args->list.data[i].key;
    if (key && strcmp(key, "layers") == 0 && !layer_int(&s.l, "layers", -1, 1, &s.layers)) return VAL_ERROR;
  }
  if (s.layers > MAX_LAYERS) return yaml_fail(y, args->loc, "more than %d layers", MAX_LAYERS);
  s.dirs = layer_bool(&s.l, "bidirectional", false) ? 2 : 1;
  s.bias = layer_bool(&s.l, "bias", true);
  s.batch_first = layer_bool(&s.l, "batch_first", false);
  s.want_states = layer_bool(&s.l, "states", false);
  if (s.l.failed || !args_done(y, args)) return VAL_ERROR;
  return build_stack(&s);
}

Val layer_lstm(Yaml *y, Args *args) {
  return recurrent(y, args, &LSTM);
}

Val layer_gru(Yaml *y, Args *args) {
  return recurrent(y, args, &GRU);
}

Val layer_rnn(Yaml *y, Args *args) {
  return recurrent(y, args, &RNN);
}
