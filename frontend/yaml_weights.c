// yaml_weights.c: weights of YAML models: from files by name, or initialised.
// SPDX-License-Identifier: Apache-2.0
//
// Initial values depend on the seed, the weight's name and the position only, and are computed with integer
// arithmetic and exactly rounded operations: they are the same on every machine, whatever else is in the
// model.
#include "frontend/yaml.h"

#include <math.h>

#define MAX_INIT_BYTES ((int64_t)1 << 34) // of one weight that comes from no file

struct WeightSet {
  Vec(WeightFile *) files;
  const char *prefix; // of names in the files
  bool cast;          // convert element types
  Init init;          // for weights not in a file; INIT_DEFAULT with files: they must be there
  bool may_init;
  uint64_t seed;
  Map *made; // name -> Value *
};

// ---- the section ------------------------------------------------------------------------------------------------

static const char *const INIT_NAMES[] = {"default", "he", "glorot", "normal", "uniform", "constant"};

static bool init_named(const char *name, Init *init) {
  if (strcmp(name, "zeros") == 0) return *init = (Init){INIT_CONSTANT, 0, init->fan_in, init->fan_out}, true;
  if (strcmp(name, "ones") == 0) return *init = (Init){INIT_CONSTANT, 1, init->fan_in, init->fan_out}, true;
  for (int i = INIT_HE; i <= INIT_UNIFORM; i++) {
    if (strcmp(name, INIT_NAMES[i]) != 0) continue;
    init->kind = (InitKind)i;
    init->value = i == INIT_NORMAL ? 0.02 : i == INIT_UNIFORM ? 0.1 : 0;
    return true;
  }
  return false;
}

bool yaml_init_parse(Yaml *y, const Val *v, Loc loc, Init *init) {
  bool word = v->kind == V_WORD || v->kind == V_STRING;
  if (word && init_named(v->s, init)) return true;
  if (val_is_number(v)) {
    init->kind = INIT_CONSTANT;
    init->value = v->kind == V_INT ? (double)v->i : v->f;
    if (isfinite(init->value)) return true;
    yaml_fail(y, loc, "a weight must be finite");
    return false;
  }
  // normal(0.01) gives a kind and its number
  if (v->kind == V_LIST && v->n == 2 && v->items[0].kind == V_STRING && val_is_number(&v->items[1])) {
    if (init_named(v->items[0].s, init) && init->kind >= INIT_NORMAL) {
      init->value = v->items[1].kind == V_INT ? (double)v->items[1].i : v->items[1].f;
      return true;
    }
  }
  if (word) {
    const char *near = nearest_word(v->s, INIT_NAMES + 1, INIT_UNIFORM);
    yaml_fail(y, loc, "unknown initialisation '%s'%s%s%s", v->s, near ? "; did you mean '" : "",
              near ? near : "", near ? "'?" : "");
  } else {
    yaml_fail(y, loc,
              "an initialisation is he, glorot, normal, uniform, zeros, ones, a number, normal(0.01) or "
              "uniform(0.1)");
  }
  return false;
}

const char *yaml_path(Yaml *y, const YNode *n) {
  const char *s = n->text;
  bool leaves = *s == '/';
  for (const char *t = s; *t; t++) {
    bool start = t == s || t[-1] == '/';
    leaves |= start && t[0] == '.' && t[1] == '.' && (t[2] == '/' || !t[2]);
  }
  if (!leaves) return path_join_dir(y->ctx->arena, n->loc.src->path, s);
  yaml_fail(y, n->loc, "the path '%s' leaves the model's folder", s);
  return NULL;
}

static bool open_file(Yaml *y, WeightSet *w, const YNode *n) {
  if (n->kind != Y_SCALAR) return yaml_fail(y, n->loc, "expected the name of a file"), false;
  const char *path = yaml_path(y, n);
  if (!path) return false;
  WeightFile *f = weights_open(y->ctx, n->loc, path);
  if (f) vec_push(y->ctx->arena, &w->files, f);
  return f != NULL;
}

static bool open_files(Yaml *y, WeightSet *w, const YNode *n) {
  if (n->kind != Y_LIST) return open_file(y, w, n);
  bool ok = true;
  for (int i = 0; i < n->items.n; i++) ok &= open_file(y, w, n->items.data[i]);
  return ok;
}

static bool read_init(Yaml *y, WeightSet *w, YNode *n) {
  const XExpr *e = yaml_expr(y->ctx, n);
  Val v = e ? yaml_eval(y, e) : VAL_ERROR;
  w->may_init = true;
  return v.kind != V_ERROR && yaml_init_parse(y, &v, n->loc, &w->init);
}

static bool read_seed(Yaml *y, WeightSet *w, YNode *n) {
  Val v = yaml_eval_node(y, n);
  int64_t seed;
  if (!yaml_int(y, &v, n->loc, "the seed", &seed)) return false;
  w->seed = (uint64_t)seed;
  return true;
}

static bool read_bool(Yaml *y, bool *out, YNode *n) {
  Val v = yaml_eval_node(y, n);
  if (v.kind == V_BOOL) return *out = v.i, true;
  if (v.kind != V_ERROR) yaml_fail(y, n->loc, "expected true or false");
  return false;
}

static bool read_option(Yaml *y, WeightSet *w, const YPair *p) {
  static const char *const keys[] = {"file", "files", "init", "seed", "prefix", "cast"};
  const char *key = p->key->text;
  if (strcmp(key, "file") == 0 || strcmp(key, "files") == 0) return open_files(y, w, p->value);
  if (strcmp(key, "init") == 0) return read_init(y, w, p->value);
  if (strcmp(key, "seed") == 0) return read_seed(y, w, p->value);
  if (strcmp(key, "cast") == 0) return read_bool(y, &w->cast, p->value);
  if (strcmp(key, "prefix") == 0 && p->value->kind == Y_SCALAR) return w->prefix = p->value->text, true;
  const char *near = nearest_word(key, keys, ARRAY_LEN(keys));
  yaml_fail(y, p->key->loc, "weights have no option '%s'%s%s%s", key, near ? "; did you mean '" : "",
            near ? near : "", near ? "'?" : "");
  return false;
}

WeightSet *yaml_weights_open(Yaml *y, const YNode *n) {
  WeightSet *w = NEW(y->ctx->arena, WeightSet);
  *w = (WeightSet){.made = map_new(y->ctx->arena), .prefix = "", .init = {INIT_HE, 0, 1, 1}};
  w->may_init = !n;
  bool ok = true;
  if (n && n->kind == Y_MAP) {
    for (int i = 0; i < n->pairs.n; i++) ok &= read_option(y, w, &n->pairs.data[i]);
  } else if (n) {
    ok = open_files(y, w, n);
  }
  return ok ? w : NULL;
}

// ---- from files -------------------------------------------------------------------------------------------------

static const Tensor *cast_tensor(Yaml *y, const Tensor *t, DType to) {
  Type type = t->type;
  type.dtype = to;
  Tensor *out = tensor_new(y->ctx, &type);
  int64_t n = type_elements(&type);
  for (int64_t i = 0; i < n; i++) tensor_set(out, i, tensor_get(t, i));
  return out;
}

static bool find_in_files(Yaml *y, Loc loc, const char *name, const Tensor **out, const WeightFile **file) {
  WeightSet *w = y->weights;
  const char *full = arena_printf(y->ctx->arena, "%s%s", w->prefix, name);
  for (int i = 0; i < w->files.n; i++) {
    if (!weights_has(w->files.data[i], full)) continue;
    *file = w->files.data[i];
    *out = weights_get(w->files.data[i], loc, full);
    return true;
  }
  return false;
}

static void report_missing(Yaml *y, Loc loc, const char *name) {
  WeightSet *w = y->weights;
  const char *full = arena_printf(y->ctx->arena, "%s%s", w->prefix, name);
  const char *best = NULL;
  for (int i = 0; i < w->files.n && !best; i++) {
    Vec(const char *) names = {0};
    for (int k = 0; k < weights_count(w->files.data[i]); k++) {
      vec_push(y->ctx->arena, &names, weights_name(w->files.data[i], k));
    }
    best = nearest_word(full, names.data, names.n);
  }
  const char *where = w->files.n == 1 ? weights_path(w->files.data[0]) : "the weight files";
  if (!w->files.n)
    yaml_fail(y, loc, "the weight '%s' comes from a file, but the model names none", full);
  else
    yaml_fail(y, loc, "there is no weight '%s' in %s%s%s%s", full, where, best ? "; did you mean '" : "",
              best ? best : "", best ? "'?" : "");
}

// Does what the file has fit what is wanted? Converts on demand.
static const Tensor *fit(Yaml *y, Loc loc, const char *name, const Tensor *t, const WeightFile *f,
                         const Type *want) {
  Type as_is = *want;
  as_is.dtype = t->type.dtype;
  if (!type_equal(&as_is, &t->type)) {
    yaml_fail(y, loc, "the weight '%s' in %s is %s; %s is wanted here", name, weights_path(f),
              type_text(y->ctx, &t->type), type_text(y->ctx, want));
    return NULL;
  }
  if (t->type.dtype == want->dtype) return t;
  if (y->weights->cast) return cast_tensor(y, t, want->dtype);
  yaml_fail(y, loc, "the weight '%s' in %s has element type %s; %s is wanted here (`cast: true` converts)",
            name, weights_path(f), dtype_name(t->type.dtype), dtype_name(want->dtype));
  return NULL;
}

// ---- initial values -----------------------------------------------------------------------------------------------

// SplitMix64 (Steele, Lea and Flood 2014): element i of a stream without going through those before it.
static uint64_t random_bits(uint64_t seed, uint64_t i) {
  uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static int32_t halves(uint64_t z) {
  return (int32_t)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48));
}

// A sum of 8 uniform numbers of 16 bits: mean 0, variance 1, as good as normal for this purpose.
static double random_normal(uint64_t seed, uint64_t i) {
  int32_t sum = halves(random_bits(seed, 2 * i)) + halves(random_bits(seed, 2 * i + 1));
  return (sum - 8 * 32767.5) * (1.2247448713915890 / 65536.0);
}

static double random_uniform(uint64_t seed, uint64_t i) {
  return (double)(random_bits(seed, i) >> 11) * 0x1p-52 - 1; // -1 <= x < 1
}

static double fan(int64_t n) {
  return n > 0 ? (double)n : 1;
}

void init_fill(Tensor *t, Init init, uint64_t seed) {
  int64_t n = type_elements(&t->type);
  bool f32 = t->type.dtype == DT_F32;
  float *fast = tensor_data(t);
  double scale = init.value;
  bool uniform = init.kind == INIT_UNIFORM || init.kind == INIT_GLOROT;
  if (init.kind == INIT_HE) scale = sqrt(2 / fan(init.fan_in));
  if (init.kind == INIT_GLOROT) scale = sqrt(6 / (fan(init.fan_in) + fan(init.fan_out)));
  if (init.kind == INIT_CONSTANT && scale == 0) return; // tensors begin as zeros
  for (int64_t i = 0; i < n; i++) {
    double x = init.kind == INIT_CONSTANT ? 1
               : uniform                  ? random_uniform(seed, (uint64_t)i)
                                          : random_normal(seed, (uint64_t)i);
    if (f32)
      fast[i] = (float)(x * scale);
    else
      tensor_set(t, i, x * scale);
  }
}

static const Tensor *make_initial(Yaml *y, Loc loc, const char *name, const Type *type, Init init) {
  const WeightSet *w = y->weights;
  if (init.kind == INIT_DEFAULT) {
    init.kind = w->init.kind;
    init.value = w->init.value;
  }
  if (!type_check_size(y->ctx, loc, type)) return NULL;
  if (type_bytes(type) > MAX_INIT_BYTES) {
    yaml_fail(y, loc, "the weight '%s' would be %s, which is too large to be made up", name,
              type_text(y->ctx, type));
    return NULL;
  }
  Tensor *t = tensor_new(y->ctx, type);
  init_fill(t, init, hash_bytes(name, strlen(name)) ^ w->seed * 0x9e3779b97f4a7c15u);
  return t;
}

// ---- the public functions -------------------------------------------------------------------------------------------

static Value *as_constant(Yaml *y, Loc loc, const char *name, const Tensor *t) {
  if (!t) return NULL;
  Value *v = graph_const(y->graph, yaml_unique(y, name), t, loc);
  map_put(y->weights->made, name, v);
  return v;
}

Value *yaml_weight(Yaml *y, Loc loc, const char *name, const Type *type, Init init) {
  WeightSet *w = y->weights;
  if (!w) return NULL; // was reported
  if (!type_is_static(type)) {
    yaml_fail(y, loc, "the weight '%s' would be %s; its size must be constant", name,
              type_text(y->ctx, type));
    return NULL;
  }
  Value *made = map_get(w->made, name);
  if (made && type_equal(&made->type, type)) return made;
  const Tensor *t = NULL;
  const WeightFile *f;
  if (find_in_files(y, loc, name, &t, &f))
    return t ? as_constant(y, loc, name, fit(y, loc, name, t, f, type)) : NULL;
  if (w->may_init) return as_constant(y, loc, name, make_initial(y, loc, name, type, init));
  report_missing(y, loc, name);
  return NULL;
}

Value *yaml_weight_untyped(Yaml *y, Loc loc, const char *name) {
  WeightSet *w = y->weights;
  if (!w) return NULL;
  Value *made = map_get(w->made, name);
  if (made) return made;
  const Tensor *t = NULL;
  const WeightFile *f;
  if (find_in_files(y, loc, name, &t, &f)) return as_constant(y, loc, name, t);
  if (w->may_init && !w->files.n)
    yaml_fail(y, loc, "the weight '%s' needs a shape: weight('%s', [64, 3])", name, name);
  else
    report_missing(y, loc, name);
  return NULL;
}
