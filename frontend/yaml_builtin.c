// yaml_builtin.c: functions that are computed while a model is read, and indexing with brackets.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/yaml.h"

#include <math.h>

// ---- arguments --------------------------------------------------------------------------------------------------

static const Arg *need(Yaml *y, Args *args, const char *name, int k) {
  const Arg *a = args_take(args, name, k);
  if (!a) {
    yaml_fail(y, args->loc, "%s: argument '%s' is missing", args->what, name);
    return NULL;
  }
  return yaml_is_bad(y, &a->val, a->loc) ? NULL : a;
}

static Value *need_tensor(Yaml *y, Args *args, int k) {
  const Arg *a = need(y, args, "x", k);
  if (!a) return NULL;
  if (a->val.kind == V_TENSOR) return a->val.v;
  yaml_fail(y, a->loc, "%s needs a tensor, not %s", args->what, val_kind(&a->val));
  return NULL;
}

// ---- shapes -----------------------------------------------------------------------------------------------------

static Val fn_shape(Yaml *y, Args *args) {
  Value *x = need_tensor(y, args, 0);
  if (!x || !args_done(y, args)) return VAL_ERROR;
  Val *items = NEW_ARRAY(y->ctx->arena, Val, x->type.rank);
  for (int i = 0; i < x->type.rank; i++) items[i] = yaml_dim_val(x->type.dim[i]);
  return val_list(items, x->type.rank);
}

static Val extent(Yaml *y, const Value *x, int64_t axis, Loc loc) {
  int rank = x->type.rank;
  if (axis < -rank || axis >= rank) {
    return yaml_fail(y, loc, "dimension %lld does not exist in %s", (long long)axis,
                     type_text(y->ctx, &x->type));
  }
  return yaml_dim_val(x->type.dim[axis < 0 ? axis + rank : axis]);
}

static Val fn_dim(Yaml *y, Args *args) {
  Value *x = need_tensor(y, args, 0);
  const Arg *axis = x ? need(y, args, "axis", 1) : NULL;
  int64_t k;
  if (!axis || !yaml_int(y, &axis->val, axis->loc, "the dimension", &k) || !args_done(y, args))
    return VAL_ERROR;
  return extent(y, x, k, axis->loc);
}

static Val fn_channels(Yaml *y, Args *args) {
  Value *x = need_tensor(y, args, 0);
  return x && args_done(y, args) ? extent(y, x, 1, args->loc) : VAL_ERROR;
}

static Val fn_rank(Yaml *y, Args *args) {
  Value *x = need_tensor(y, args, 0);
  return x && args_done(y, args) ? val_int(x->type.rank) : VAL_ERROR;
}

static Val fn_len(Yaml *y, Args *args) {
  const Arg *a = need(y, args, "list", 0);
  if (!a || !args_done(y, args)) return VAL_ERROR;
  if (a->val.kind != V_LIST) return yaml_fail(y, a->loc, "len needs a list, not %s", val_kind(&a->val));
  return val_int(a->val.n);
}

// ---- constants --------------------------------------------------------------------------------------------------

typedef struct Literal {
  Vec(const Val *) items; // flattened
  bool has_float;
  Type type;
} Literal;

static bool flatten(Yaml *y, const Val *v, int depth, Loc loc, Literal *out) {
  if (v->kind != V_LIST) {
    bool number = val_is_number(v) || v->kind == V_BOOL;
    if (!number || depth != out->type.rank)
      return yaml_fail(y, loc, "tensor needs numbers in lists of equal length"), false;
    out->has_float |= v->kind == V_FLOAT;
    vec_push(y->ctx->arena, &out->items, v);
    return true;
  }
  if (depth >= out->type.rank || v->n != out->type.dim[depth].n) {
    return yaml_fail(y, loc, "tensor needs numbers in lists of equal length"), false;
  }
  for (int i = 0; i < v->n; i++) {
    if (!flatten(y, &v->items[i], depth + 1, loc, out)) return false;
  }
  return true;
}

static bool literal_shape(Yaml *y, const Arg *a, Type *t) {
  for (const Val *v = &a->val; v->kind == V_LIST; v = &v->items[0]) {
    if (t->rank == MAX_RANK) return yaml_fail(y, a->loc, "more than %d dimensions", MAX_RANK), false;
    t->dim[t->rank++] = dim_const(v->n);
    if (v->n == 0) break;
  }
  return true;
}

// tensor([[1, 2], [3, 4]], f32)
static Val fn_tensor(Yaml *y, Args *args) {
  const Arg *a = need(y, args, "value", 0), *type = args_take(args, "dtype", 1);
  if (!a || !args_done(y, args)) return VAL_ERROR;
  Literal l = {0};
  if (!literal_shape(y, a, &l.type) || !flatten(y, &a->val, 0, a->loc, &l)) return VAL_ERROR;
  if (type && type->val.kind != V_DTYPE) return yaml_fail(y, type->loc, "expected an element type like f32");
  l.type.dtype = type ? type->val.t : l.has_float || !l.items.n ? DT_F32 : DT_I64;
  Tensor *t = tensor_new(y->ctx, &l.type);
  for (int i = 0; i < l.items.n; i++) {
    const Val *v = l.items.data[i];
    if (v->kind == V_FLOAT)
      tensor_set(t, i, v->f);
    else
      tensor_set_int(t, i, v->i);
  }
  return val_tensor(graph_const(y->graph, yaml_unique(y, "tensor"), t, args->loc));
}

static const char *in_scope(Yaml *y, const char *name) {
  return *y->scope ? arena_printf(y->ctx->arena, "%s.%s", y->scope, name) : name;
}

// weight('name'), weight('name', [64, 3], init=he, dtype=f32)
static Val fn_weight(Yaml *y, Args *args) {
  const Arg *name = need(y, args, "name", 0), *shape = args_take(args, "shape", 1);
  const Arg *init_arg = args_take(args, "init", -1), *type = args_take(args, "dtype", -1);
  if (!name || !args_done(y, args)) return VAL_ERROR;
  if (name->val.kind != V_STRING)
    return yaml_fail(y, name->loc, "a weight's name is a string: weight('name')");
  const char *full = in_scope(y, name->val.s);
  if (!shape) return val_tensor(yaml_weight_untyped(y, args->loc, full));
  Init init = {INIT_DEFAULT, 0, 1, 1};
  const Dim *dims;
  int n;
  if (init_arg && !yaml_init_parse(y, &init_arg->val, init_arg->loc, &init)) return VAL_ERROR;
  if (!yaml_dims(y, &shape->val, shape->loc, &dims, &n)) return VAL_ERROR;
  if (n > MAX_RANK) return yaml_fail(y, shape->loc, "more than %d dimensions", MAX_RANK);
  if (type && type->val.kind != V_DTYPE) return yaml_fail(y, type->loc, "expected an element type like f32");
  Type t = {.dtype = type ? type->val.t : DT_F32, .rank = n};
  for (int i = 0; i < n; i++) t.dim[i] = dims[i];
  if (n) init.fan_out = dims[0].n;
  if (n) init.fan_in = dims[n - 1].n;
  return val_tensor(yaml_weight(y, args->loc, full, &t, init));
}

// normal(0.02), uniform(0.1): a kind of initialisation with its number.
static Val fn_init(Yaml *y, Args *args) {
  const Arg *a = need(y, args, "value", 0);
  if (!a || !args_done(y, args)) return VAL_ERROR;
  if (!val_is_number(&a->val))
    return yaml_fail(y, a->loc, "%s needs a number, not %s", args->what, val_kind(&a->val));
  Val *items = NEW_ARRAY(y->ctx->arena, Val, 2);
  items[0] = (Val){.kind = V_STRING, .s = args->what};
  items[1] = a->val;
  return val_list(items, 2);
}

// ---- what is not there at inference -------------------------------------------------------------------------------

static Val fn_dropout(Yaml *y, Args *args) {
  Value *x = need_tensor(y, args, 0);
  args_take(args, "p", 1);
  return x && args_done(y, args) ? val_tensor(x) : VAL_ERROR;
}

// ---- numbers ----------------------------------------------------------------------------------------------------

typedef struct NumberFn {
  const char *name;
  double (*one)(double);
  double (*two)(double, double);
} NumberFn;

// The same names are ops for tensors.
static const NumberFn NUMBERS[] = {
    {"sqrt", sqrt, NULL}, {"exp", exp, NULL},  {"log", log, NULL},    {"floor", floor, NULL},
    {"ceil", ceil, NULL}, {"abs", fabs, NULL}, {"round", rint, NULL}, {"pow", NULL, pow},
    {"min", NULL, fmin},  {"max", NULL, fmax}, {"int", trunc, NULL},
};

static const NumberFn *number_fn(const char *name) {
  for (int i = 0; i < ARRAY_LEN(NUMBERS); i++) {
    if (strcmp(NUMBERS[i].name, name) == 0) return &NUMBERS[i];
  }
  return NULL;
}

static double number(const Arg *a) {
  return a->val.kind == V_INT ? (double)a->val.i : a->val.f;
}

// Integers stay integers where the result is one by nature.
static Val fn_number(Yaml *y, Args *args) {
  const NumberFn *f = number_fn(args->what);
  const Arg *a = need(y, args, "x", 0), *b = f->two && a ? need(y, args, "y", 1) : NULL;
  if (!a || (f->two && !b) || !args_done(y, args)) return VAL_ERROR;
  double r = f->two ? f->two(number(a), number(b)) : f->one(number(a));
  bool ints = a->val.kind == V_INT && (!b || b->val.kind == V_INT);
  bool keeps = f->one == fabs || f->two == fmin || f->two == fmax;
  bool rounds = f->one == floor || f->one == ceil || f->one == rint || f->one == trunc;
  bool exact = fabs(r) <= 9007199254740992.0;
  return exact && (rounds || (ints && keeps)) ? val_int((int64_t)r) : val_float(r);
}

static bool all_numbers(const Args *args) {
  for (int i = 0; i < args->list.n; i++) {
    if (!val_is_number(&args->list.data[i].val)) return false;
  }
  return args->list.n > 0;
}

static const struct {
  const char *name;
  YamlFn fn;
} FUNCTIONS[] = {
    {"shape", fn_shape}, {"dim", fn_dim},       {"channels", fn_channels}, {"rank", fn_rank},
    {"len", fn_len},     {"tensor", fn_tensor}, {"weight", fn_weight},     {"dropout", fn_dropout},
    {"normal", fn_init}, {"uniform", fn_init},
};

YamlFn yaml_builtin(const char *name, const Args *args) {
  for (int i = 0; i < ARRAY_LEN(FUNCTIONS); i++) {
    if (strcmp(FUNCTIONS[i].name, name) == 0) return FUNCTIONS[i].fn;
  }
  return number_fn(name) && all_numbers(args) ? fn_number : NULL;
}

const char *const *yaml_builtin_names(int *n) {
  static const char *const names[] = {"shape",  "dim",    "channels", "rank", "len",
                                      "tensor", "weight", "dropout",  "if"};
  *n = ARRAY_LEN(names);
  return names;
}
