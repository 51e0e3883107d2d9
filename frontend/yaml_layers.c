// yaml_layers.c: layers: calls that make their own weights, named as in PyTorch's state_dict.
// SPDX-License-Identifier: Apache-2.0
//
// A layer has the name of an op. It is meant if the operands that would be its weights are not given:
// conv(x, 64, 3) is a layer, conv(x, w, b) the op. What a layer does not know of its arguments it hands on
// to the op as attributes.
#include "frontend/yaml_layers.h"

// ---- arguments --------------------------------------------------------------------------------------------------

// The defaults section gives arguments for all layers of a kind.
static Val default_argument(Yaml *y, const char *layer, const char *name) {
  YNode *n = yaml_get(yaml_get(y->defaults, layer), name);
  return n ? yaml_eval_node(y, n) : (Val){.kind = V_NONE};
}

// Default arguments of the layer, added as if they had been written.
static void add_defaults(Yaml *y, Args *args) {
  const YNode *n = yaml_get(y->defaults, args->what);
  for (int i = 0; n && n->kind == Y_MAP && i < n->pairs.n; i++) {
    const YPair *p = &n->pairs.data[i];
    bool given = false;
    for (int k = 0; k < args->list.n; k++) {
      given |= args->list.data[k].key && strcmp(args->list.data[k].key, p->key->text) == 0;
    }
    if (given) continue;
    Arg a = {.key = p->key->text, .loc = p->value->loc, .val = default_argument(y, args->what, p->key->text)};
    vec_push(y->ctx->arena, &args->list, a);
  }
}

bool layer_int(Layer *l, const char *name, int k, int64_t min, int64_t *out) {
  const Arg *a = args_take(l->args, name, k);
  if (!a) return yaml_fail(l->y, l->args->loc, "%s: argument '%s' is missing", l->args->what, name), false;
  if (!yaml_int(l->y, &a->val, a->loc, name, out)) return false;
  if (*out >= min && *out <= MAX_ELEMENTS) return true;
  return yaml_fail(l->y, a->loc, "%s: '%s' cannot be %lld", l->args->what, name, (long long)*out), false;
}

bool layer_bool(Layer *l, const char *name, bool or_else) {
  const Arg *a = args_take(l->args, name, -1);
  if (!a) return or_else;
  if (a->val.kind != V_BOOL && a->val.kind != V_ERROR) {
    yaml_fail(l->y, a->loc, "%s: '%s' is true or false", l->args->what, name);
    l->failed = true;
  }
  return a->val.i;
}

// The input, the name, how weights are initialised.
bool layer_start(Yaml *y, Args *args, Layer *l) {
  *l = (Layer){.y = y, .args = args};
  add_defaults(y, args);
  const Arg *x = args_take(args, "x", 0), *init = args_take(args, "init", -1);
  if (!x) return yaml_fail(y, args->loc, "%s: argument 'x' is missing", args->what), false;
  if (yaml_is_bad(y, &x->val, x->loc)) return false;
  if (x->val.kind != V_TENSOR) {
    return yaml_fail(y, x->loc, "%s needs a tensor, not %s", args->what, val_kind(&x->val)), false;
  }
  l->x = x->val.v;
  l->dtype = l->x->type.dtype;
  if (init && !yaml_init_parse(y, &init->val, init->loc, &l->init)) return false;
  l->share = layer_bool(l, "share", false);
  return !l->failed && (l->name = yaml_layer_name(y, args->call, l->share)) != NULL;
}

bool layer_rank(Layer *l, int min) {
  if (l->x->type.rank >= min) return true;
  yaml_fail(l->y, l->args->loc, "%s: the input is %s, but must have at least %d dimensions", l->args->what,
            type_text(l->y->ctx, &l->x->type), min);
  return false;
}

// An extent of the input that weights are made for.
bool layer_extent(Layer *l, int axis, int64_t *n) {
  const Type *t = &l->x->type;
  Dim d = t->dim[axis < 0 ? axis + t->rank : axis];
  *n = d.n;
  if (!d.sym) return true;
  yaml_fail(l->y, l->args->loc, "%s: the weights need a constant extent, dimension %d of %s is none",
            l->args->what, axis, type_text(l->y->ctx, t));
  return false;
}

// ---- weights ----------------------------------------------------------------------------------------------------

Value *layer_weight(Layer *l, const char *suffix, int rank, const int64_t *dims, Init init) {
  Type t = type_make(l->dtype, rank, dims);
  if (!type_check_size(l->y->ctx, l->args->loc, &t)) return NULL;
  return yaml_weight(l->y, l->args->loc, arena_printf(l->y->ctx->arena, "%s.%s", l->name, suffix), &t, init);
}

// One number for each of n channels.
static Value *vector(Layer *l, const char *suffix, int64_t n, double value) {
  return layer_weight(l, suffix, 1, &n, (Init){INIT_CONSTANT, value, 1, 1});
}

static Init with_fans(Layer *l, int64_t in, int64_t out) {
  return (Init){l->init.kind, l->init.value, in, out};
}

static Val finish(Layer *l, const char *op, Value *const *in, int nin) {
  if (l->failed) return VAL_ERROR;
  for (int i = 0; i < l->args->list.n; i++) {
    const Arg *a = &l->args->list.data[i];
    if (!a->used && !a->key) return yaml_fail(l->y, a->loc, "%s has too many arguments", l->args->what);
  }
  return yaml_op_on(l->y, op, in, nin, l->args, l->share ? yaml_unique(l->y, l->name) : l->name);
}

// ---- products -----------------------------------------------------------------------------------------------------

static bool kernel_sizes(Layer *l, int spatial, int64_t *sizes) {
  const Arg *a = args_take(l->args, "kernel", 2);
  if (!a) return yaml_fail(l->y, l->args->loc, "%s: argument 'kernel' is missing", l->args->what), false;
  const Val *items = a->val.kind == V_LIST ? a->val.items : &a->val;
  int n = a->val.kind == V_LIST ? a->val.n : 1;
  if (n != 1 && n != spatial) {
    return yaml_fail(l->y, a->loc, "kernel has %d extents, the input %d spatial dimensions", n, spatial),
           false;
  }
  for (int i = 0; i < spatial; i++) {
    if (!yaml_int(l->y, &items[n == 1 ? 0 : i], a->loc, "kernel", &sizes[i])) return false;
    if (sizes[i] < 1 || sizes[i] > MAX_ELEMENTS)
      return yaml_fail(l->y, a->loc, "the kernel's extent is out of range"), false;
  }
  return true;
}

static int64_t product(const int64_t *v, int n) {
  int64_t p = 1;
  for (int i = 0; i < n; i++) {
    if (!mul_ok(p, v[i], &p)) return INT64_MAX;
  }
  return p;
}

// `groups` belongs to the op too, so it is only looked at.
static bool read_groups(Layer *l, int64_t channels, int64_t out, int64_t *groups) {
  *groups = 1;
  for (int i = 0; i < l->args->list.n; i++) {
    const Arg *a = &l->args->list.data[i];
    if (!a->key || strcmp(a->key, "groups") != 0) continue;
    if (!yaml_int(l->y, &a->val, a->loc, "groups", groups)) return false;
    if (*groups < 1 || channels % *groups || out % *groups) {
      return yaml_fail(l->y, a->loc, "%lld and %lld channels do not divide into %lld groups",
                       (long long)channels, (long long)out, (long long)*groups),
             false;
    }
  }
  return true;
}

static Val conv_layer(Yaml *y, Args *args, bool transposed) {
  Layer l;
  int64_t out, in, groups, dims[MAX_RANK];
  if (!layer_start(y, args, &l) || !layer_rank(&l, 3) || !layer_int(&l, "out", 1, 1, &out)) return VAL_ERROR;
  int rank = l.x->type.rank;
  if (!kernel_sizes(&l, rank - 2, dims + 2) || !layer_extent(&l, 1, &in)) return VAL_ERROR;
  if (!read_groups(&l, in, out, &groups)) return VAL_ERROR;
  bool bias = layer_bool(&l, "bias", true);
  dims[0] = transposed ? in : out;
  dims[1] = (transposed ? out : in) / groups;
  int64_t taps = product(dims + 2, rank - 2), fan_in, fan_out;
  if (!mul_ok(in / groups, taps, &fan_in) || !mul_ok(out / groups, taps, &fan_out)) {
    return yaml_fail(y, args->loc, "the kernel is too large");
  }
  Value *w = layer_weight(&l, "weight", rank, dims, with_fans(&l, fan_in, fan_out));
  Value *b = bias ? vector(&l, "bias", out, 0) : NULL;
  if (!w || (bias && !b)) return VAL_ERROR;
  return finish(&l, transposed ? "conv_transpose" : "conv", (Value *[]){l.x, w, b}, bias ? 3 : 2);
}

static Val layer_conv(Yaml *y, Args *args) {
  return conv_layer(y, args, false);
}

static Val layer_conv_transpose(Yaml *y, Args *args) {
  return conv_layer(y, args, true);
}

static Val layer_linear(Yaml *y, Args *args) {
  Layer l;
  int64_t out, in;
  if (!layer_start(y, args, &l) || !layer_rank(&l, 1) || !layer_int(&l, "out", 1, 1, &out)) return VAL_ERROR;
  if (!layer_extent(&l, -1, &in)) return VAL_ERROR;
  bool bias = layer_bool(&l, "bias", true);
  Value *w = layer_weight(&l, "weight", 2, (int64_t[]){out, in}, with_fans(&l, in, out));
  Value *b = bias ? vector(&l, "bias", out, 0) : NULL;
  if (!w || (bias && !b)) return VAL_ERROR;
  Arg transpose = {.key = "transpose_w", .val = val_bool(true), .loc = args->loc};
  vec_push(y->ctx->arena, &args->list, transpose);
  return finish(&l, "linear", (Value *[]){l.x, w, b}, bias ? 3 : 2);
}

static Val layer_embedding(Yaml *y, Args *args) {
  Layer l;
  int64_t count, size;
  if (!layer_start(y, args, &l) || !layer_int(&l, "count", 1, 1, &count) ||
      !layer_int(&l, "size", 2, 1, &size)) {
    return VAL_ERROR;
  }
  if (!dtype_is_int(l.dtype)) {
    return yaml_fail(y, args->loc, "embedding looks up integers, not %s", dtype_name(l.dtype));
  }
  l.dtype = DT_F32;
  const Arg *type = args_take(args, "dtype", -1);
  if (type && type->val.kind == V_DTYPE) l.dtype = type->val.t;
  Value *w = layer_weight(&l, "weight", 2, (int64_t[]){count, size}, with_fans(&l, size, size));
  if (!w) return VAL_ERROR;
  return finish(&l, "gather", (Value *[]){w, l.x}, 2);
}

// ---- normalisation ------------------------------------------------------------------------------------------------

static Val layer_batch_norm(Yaml *y, Args *args) {
  Layer l;
  int64_t n;
  if (!layer_start(y, args, &l) || !layer_rank(&l, 2) || !layer_extent(&l, 1, &n)) return VAL_ERROR;
  bool affine = layer_bool(&l, "affine", true);
  Value *in[] = {
      l.x,
      affine ? vector(&l, "weight", n, 1) : yaml_scalar(y, l.dtype, &(Val){.kind = V_INT, .i = 1}, args->loc),
      affine ? vector(&l, "bias", n, 0) : yaml_scalar(y, l.dtype, &(Val){.kind = V_INT, .i = 0}, args->loc),
      vector(&l, "running_mean", n, 0), vector(&l, "running_var", n, 1)};
  for (int i = 0; i < ARRAY_LEN(in); i++) {
    if (!in[i]) return VAL_ERROR;
  }
  return finish(&l, "batch_norm", in, ARRAY_LEN(in));
}

// Scale and bias over the channels.
static Val channel_norm(Yaml *y, Args *args, const char *op) {
  Layer l;
  int64_t n;
  if (!layer_start(y, args, &l) || !layer_rank(&l, 2) || !layer_extent(&l, 1, &n)) return VAL_ERROR;
  if (!layer_bool(&l, "affine", true)) return finish(&l, op, &l.x, 1);
  Value *w = vector(&l, "weight", n, 1), *b = vector(&l, "bias", n, 0);
  return w && b ? finish(&l, op, (Value *[]){l.x, w, b}, 3) : VAL_ERROR;
}

static Val layer_group_norm(Yaml *y, Args *args) {
  return channel_norm(y, args, "group_norm");
}

static Val layer_instance_norm(Yaml *y, Args *args) {
  return channel_norm(y, args, "instance_norm");
}

// The first dimension that is normalised over: attribute `axis` of the op, only looked at here.
static bool read_axis(Layer *l, int *axis) {
  int64_t k = -1;
  for (int i = 0; i < l->args->list.n; i++) {
    const Arg *a = &l->args->list.data[i];
    if (a->key && strcmp(a->key, "axis") == 0 && !yaml_int(l->y, &a->val, a->loc, "axis", &k)) return false;
  }
  int rank = l->x->type.rank;
  if (k < -rank || k >= rank)
    return yaml_fail(l->y, l->args->loc, "axis %lld does not exist", (long long)k), false;
  *axis = (int)(k < 0 ? k + rank : k);
  return true;
}

// Scale, and bias if the op has one, over the trailing dimensions.
static Val trailing_norm(Yaml *y, Args *args, const char *op, bool has_bias) {
  Layer l;
  int axis;
  int64_t dims[MAX_RANK];
  if (!layer_start(y, args, &l) || !layer_rank(&l, 1) || !read_axis(&l, &axis)) return VAL_ERROR;
  bool affine = layer_bool(&l, "affine", true), bias = layer_bool(&l, "bias", has_bias);
  if (bias && !has_bias) return yaml_fail(y, args->loc, "%s has no bias", args->what);
  if (!affine) return finish(&l, op, &l.x, 1);
  int rank = l.x->type.rank - axis;
  for (int i = 0; i < rank; i++) {
    if (!layer_extent(&l, axis + i, &dims[i])) return VAL_ERROR;
  }
  Value *w = layer_weight(&l, "weight", rank, dims, (Init){INIT_CONSTANT, 1, 1, 1});
  Value *b = bias ? layer_weight(&l, "bias", rank, dims, (Init){INIT_CONSTANT, 0, 1, 1}) : NULL;
  if (!w || (bias && !b)) return VAL_ERROR;
  return finish(&l, op, (Value *[]){l.x, w, b}, bias ? 3 : 2);
}

static Val layer_layer_norm(Yaml *y, Args *args) {
  return trailing_norm(y, args, "layer_norm", true);
}

static Val layer_rms_norm(Yaml *y, Args *args) {
  return trailing_norm(y, args, "rms_norm", false);
}

// ---- activations --------------------------------------------------------------------------------------------------

// One slope for each channel, or one for all.
static Val layer_prelu(Yaml *y, Args *args) {
  Layer l;
  int64_t n = 1;
  if (!layer_start(y, args, &l) || !layer_rank(&l, 2)) return VAL_ERROR;
  if (!layer_bool(&l, "shared", false) && !layer_extent(&l, 1, &n)) return VAL_ERROR;
  Value *w = vector(&l, "weight", n, 0.25);
  if (!w) return VAL_ERROR;
  Dim dims[MAX_RANK];
  int rank = l.x->type.rank - 1; // [channels, 1, 1 ...] broadcasts along dimension 1
  for (int i = 0; i < rank; i++) dims[i] = dim_const(i ? 1 : n);
  if (rank > 1) w = yaml_build(y, "reshape", args->loc, IN(w), ATTRS(A_SHAPE("shape", dims, rank)));
  return w ? finish(&l, "prelu", (Value *[]){l.x, w}, 2) : VAL_ERROR;
}

// ---- the table ----------------------------------------------------------------------------------------------------

// `weights_at`: the operand that, if it is a tensor, says that the plain op is meant.
static const struct {
  const char *name;
  YamlFn fn;
  int weights_at;
} LAYERS[] = {
    {"conv", layer_conv, 1},
    {"conv_transpose", layer_conv_transpose, 1},
    {"linear", layer_linear, 1},
    {"embedding", layer_embedding, 1},
    {"batch_norm", layer_batch_norm, 1},
    {"bn", layer_batch_norm, 1},
    {"layer_norm", layer_layer_norm, 1},
    {"rms_norm", layer_rms_norm, 1},
    {"group_norm", layer_group_norm, 1},
    {"instance_norm", layer_instance_norm, 1},
    {"prelu", layer_prelu, 1},
    {"lstm", layer_lstm, 1},
    {"gru", layer_gru, 1},
    {"rnn", layer_rnn, 1},
    {"cache", layer_cache, 99},
};

bool yaml_is_layer(const char *name) {
  for (int i = 0; i < ARRAY_LEN(LAYERS); i++) {
    if (strcmp(LAYERS[i].name, name) == 0) return true;
  }
  return false;
}

// Weights given as operands, by position or by one of the names that ops use.
static bool brings_weights(const Args *args, int at) {
  static const char *const names[] = {"w", "r", "scale", "slope", "mean", "var"};
  for (int i = 0; i < args->list.n; i++) {
    const Arg *a = &args->list.data[i];
    if (!a->key && at-- == 0 && a->val.kind == V_TENSOR) return true;
    for (int k = 0; a->key && k < ARRAY_LEN(names); k++) {
      if (strcmp(a->key, names[k]) == 0) return true;
    }
  }
  return false;
}

YamlFn yaml_layer(const char *name, const Args *args) {
  for (int i = 0; i < ARRAY_LEN(LAYERS); i++) {
    if (strcmp(LAYERS[i].name, name) == 0)
      return brings_weights(args, LAYERS[i].weights_at) ? NULL : LAYERS[i].fn;
  }
  return NULL;
}

const char *const *yaml_layer_names(int *n) {
  static const char *const names[] = {"conv",  "conv_transpose", "linear",   "embedding",  "batch_norm",
                                      "bn",    "layer_norm",     "rms_norm", "group_norm", "instance_norm",
                                      "prelu", "lstm",           "gru",      "rnn",        "cache"};
  *n = ARRAY_LEN(names);
  return names;
}
