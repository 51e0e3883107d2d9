// yaml_op.c: calls of ops: which argument is an operand and which an attribute.
// SPDX-License-Identifier: Apache-2.0
//
// Operands come first, by position or by name. What is left over goes to the attributes: by name, or by
// position to those that must be given and then to the others, in the op's order.
#include "frontend/yaml.h"

#include <math.h>

// ---- conversions ------------------------------------------------------------------------------------------------

bool yaml_int(Yaml *y, const Val *v, Loc loc, const char *what, int64_t *out) {
  if (yaml_is_bad(y, v, loc)) return false;
  if (v->kind == V_INT) return *out = v->i, true;
  const char *hint = v->kind == V_FLOAT && v->f == floor(v->f) ? " (// divides integers)" : "";
  yaml_fail(y, loc, "%s must be an integer, not %s%s", what, val_kind(v), hint);
  return false;
}

bool yaml_dim(Yaml *y, const Val *v, Loc loc, Dim *d) {
  if (v->kind == V_DIM) return *d = v->dim, true;
  int64_t i;
  if (!yaml_int(y, v, loc, "an extent", &i)) return false;
  *d = dim_const(i);
  return true;
}

Val yaml_dim_val(Dim d) {
  return d.sym ? (Val){.kind = V_DIM, .dim = d} : val_int(d.n);
}

bool yaml_dims(Yaml *y, const Val *v, Loc loc, const Dim **dims, int *n) {
  const Val *items = v->kind == V_LIST ? v->items : v;
  *n = v->kind == V_LIST ? v->n : 1;
  Dim *d = NEW_ARRAY(y->ctx->arena, Dim, *n);
  for (int i = 0; i < *n; i++) {
    if (!yaml_dim(y, &items[i], loc, &d[i])) return false;
  }
  *dims = d;
  return true;
}

Value *yaml_scalar(Yaml *y, DType t, const Val *v, Loc loc) {
  bool fits = v->kind == V_INT || v->kind == V_BOOL || (v->kind == V_FLOAT && dtype_is_float(t));
  if (!fits) {
    yaml_fail(y, loc, "%s cannot be combined with %s tensors", val_kind(v), dtype_name(t));
    return NULL;
  }
  Type type = {.dtype = t};
  Tensor *x = tensor_new(y->ctx, &type);
  if (v->kind == V_FLOAT) {
    tensor_set(x, 0, v->f);
  } else {
    tensor_set_int(x, 0, v->i);
    if (!dtype_is_float(t) && tensor_get_int(x, 0) != v->i) {
      yaml_fail(y, loc, "%lld does not fit %s", (long long)v->i, dtype_name(t));
      return NULL;
    }
  }
  return graph_const(y->graph, yaml_unique(y, "number"), x, loc);
}

// ---- attributes -------------------------------------------------------------------------------------------------

static bool wrong_kind(Yaml *y, const char *op, const Attr *spec, const Arg *arg, const char *want) {
  yaml_fail(y, arg->loc, "%s: '%s' must be %s, not %s", op, spec->name, want, val_kind(&arg->val));
  return false;
}

static bool is_finite(Yaml *y, const Attr *spec, const Arg *arg, const Val *v, double *out) {
  *out = v->kind == V_INT ? (double)v->i : v->f;
  if (isfinite(*out)) return true;
  yaml_fail(y, arg->loc, "'%s' must be finite", spec->name);
  return false;
}

static bool int_list(Yaml *y, const Attr *spec, const Arg *arg, Attr *out) {
  const Val *v = &arg->val, *items = v->kind == V_LIST ? v->items : v;
  out->n = v->kind == V_LIST ? v->n : 1;
  int64_t *ints = NEW_ARRAY(y->ctx->arena, int64_t, out->n);
  for (int i = 0; i < out->n; i++) {
    if (!yaml_int(y, &items[i], arg->loc, spec->name, &ints[i])) return false;
  }
  out->ints = ints;
  return true;
}

static bool float_list(Yaml *y, const char *op, const Attr *spec, const Arg *arg, Attr *out) {
  const Val *v = &arg->val, *items = v->kind == V_LIST ? v->items : v;
  out->n = v->kind == V_LIST ? v->n : 1;
  double *floats = NEW_ARRAY(y->ctx->arena, double, out->n);
  for (int i = 0; i < out->n; i++) {
    if (!val_is_number(&items[i])) return wrong_kind(y, op, spec, arg, "a list of numbers");
    if (!is_finite(y, spec, arg, &items[i], &floats[i])) return false;
  }
  out->floats = floats;
  return true;
}

static bool to_attr(Yaml *y, const char *op, const Attr *spec, const Arg *arg, Attr *out) {
  const Val *v = &arg->val;
  *out = (Attr){.name = spec->name, .kind = spec->kind, .given = true};
  if (spec->kind != ATTR_STRING && yaml_is_bad(y, v, arg->loc)) return false;
  switch (spec->kind) {
  case ATTR_INT: return yaml_int(y, v, arg->loc, spec->name, &out->i);
  case ATTR_FLOAT:
    if (!val_is_number(v)) return wrong_kind(y, op, spec, arg, "a number");
    return is_finite(y, spec, arg, v, &out->f);
  case ATTR_BOOL: out->i = v->i; return v->kind == V_BOOL || wrong_kind(y, op, spec, arg, "true or false");
  case ATTR_STRING:
    out->s = v->s;
    return v->kind == V_STRING || v->kind == V_WORD || wrong_kind(y, op, spec, arg, "a string");
  case ATTR_DTYPE:
    out->t = v->t;
    return v->kind == V_DTYPE || wrong_kind(y, op, spec, arg, "an element type");
  case ATTR_INTS: return int_list(y, spec, arg, out);
  case ATTR_FLOATS: return float_list(y, op, spec, arg, out);
  case ATTR_SHAPE: return yaml_dims(y, v, arg->loc, &out->dims, &out->n);
  case ATTR_TENSOR:
    if (v->kind != V_TENSOR || !v->v->data) return wrong_kind(y, op, spec, arg, "a constant");
    out->tensor = v->v->data;
    return true;
  }
  return false;
}

// `pad` is what everybody calls it.
static const char *attr_alias(const Op *op, const char *key) {
  for (int i = 0; i < op->nattr; i++) {
    if (strcmp(key, "pad") == 0 && strcmp(op->attr[i].name, "pads") == 0) return "pads";
  }
  return key;
}

static int find_attr(const Op *op, const char *key) {
  for (int i = 0; i < op->nattr; i++) {
    if (strcmp(op->attr[i].name, attr_alias(op, key)) == 0) return i;
  }
  return -1;
}

static bool unknown_argument(Yaml *y, const Op *op, const Arg *arg) {
  Vec(const char *) names = {0};
  for (int i = 0; i < op->nin; i++) vec_push(y->ctx->arena, &names, op->in[i].name);
  for (int i = 0; i < op->nattr; i++) vec_push(y->ctx->arena, &names, op->attr[i].name);
  const char *near = nearest_word(arg->key, names.data, names.n);
  yaml_fail(y, arg->loc, "%s has no attribute '%s'%s%s%s", op->name, arg->key, near ? "; did you mean '" : "",
            near ? near : "", near ? "'?" : "");
  return false;
}

// The attribute that the next argument without a name is for, or -1.
static int next_attr(const Op *op, const Attr *attrs) {
  for (int required = 1; required >= 0; required--) {
    for (int i = 0; i < op->nattr; i++) {
      if (op->attr[i].given == required && !attrs[i].given) return i;
    }
  }
  return -1;
}

static bool named_attrs(Yaml *y, const Op *op, Args *args, Attr *attrs) {
  bool ok = true;
  for (int i = 0; i < args->list.n; i++) {
    Arg *a = &args->list.data[i];
    if (a->used || !a->key) continue;
    a->used = true;
    int k = find_attr(op, a->key);
    ok &= k < 0 ? unknown_argument(y, op, a) : to_attr(y, op->name, &op->attr[k], a, &attrs[k]);
  }
  return ok;
}

static bool positional_attrs(Yaml *y, const Op *op, Args *args, Attr *attrs) {
  for (int i = 0; i < args->list.n; i++) {
    Arg *a = &args->list.data[i];
    if (a->used || a->key) continue;
    a->used = true;
    int k = next_attr(op, attrs);
    if (k < 0 || a->val.kind == V_TENSOR) {
      yaml_fail(y, a->loc, "%s has too many %s", args->what,
                a->val.kind == V_TENSOR ? "operands" : "arguments");
      return false;
    }
    if (!to_attr(y, op->name, &op->attr[k], a, &attrs[k])) return false;
  }
  return true;
}

// What is left of args, as attributes of op.
static bool collect_attrs(Yaml *y, const Op *op, Args *args, Attr **out, int *n) {
  Attr *attrs = NEW_ARRAY(y->ctx->arena, Attr, op->nattr);
  if (!named_attrs(y, op, args, attrs) || !positional_attrs(y, op, args, attrs)) return false;
  *out = attrs;
  *n = 0;
  for (int i = 0; i < op->nattr; i++) {
    if (attrs[i].given) attrs[(*n)++] = attrs[i];
  }
  return true;
}

// ---- nodes --------------------------------------------------------------------------------------------------------

// Results are named after their layer or their step; the step's own value gets the plain name later.
static void name_results(Yaml *y, Node *n, const char *layer) {
  Arena *a = y->ctx->arena;
  const char *name = layer ? layer : y->key ? arena_printf(a, "%s.%s", y->key, n->op->name) : n->op->name;
  for (int i = 0; i < n->nout; i++) {
    const char *each = n->nout > 1 ? arena_printf(a, "%s.%d", name, i) : name;
    n->out[i]->name = layer && n->nout == 1 ? layer : yaml_unique(y, each);
  }
}

static Node *make_node(Yaml *y, const char *op, Loc loc, Value *const *in, int nin, const Attr *attrs,
                       int nattrs, const char *name) {
  Builder b = builder_at(y->graph, NULL, loc);
  Node *n = build_node(&b, op, in, nin, attrs, nattrs);
  if (n) name_results(y, n, name);
  return n;
}

static Val results(Yaml *y, const Node *n) {
  if (!n) return VAL_ERROR;
  if (n->nout == 1) return val_tensor(n->out[0]);
  Val *items = NEW_ARRAY(y->ctx->arena, Val, n->nout);
  for (int i = 0; i < n->nout; i++) items[i] = val_tensor(n->out[i]);
  return val_list(items, n->nout);
}

Value *yaml_build(Yaml *y, const char *op, Loc loc, Value *const *in, int nin, const Attr *attrs,
                  int nattrs) {
  Node *n = make_node(y, op, loc, in, nin, attrs, nattrs, NULL);
  return n && n->nout ? n->out[0] : NULL;
}

Val yaml_op_on(Yaml *y, const char *name, Value *const *in, int nin, Args *args, const char *result) {
  const Op *op = op_find(y->ctx, name);
  Attr *attrs;
  int n;
  if (!op) return yaml_fail(y, args->loc, "there is no op '%s'", name);
  if (!collect_attrs(y, op, args, &attrs, &n)) return VAL_ERROR;
  return results(y, make_node(y, name, args->loc, in, nin, attrs, n, result));
}

// ---- operands -----------------------------------------------------------------------------------------------------

typedef struct Operands {
  Vec(const Arg *) list; // NULL: absent
} Operands;

static bool all_tensors(const Val *list) {
  for (int i = 0; i < list->n; i++) {
    if (list->items[i].kind != V_TENSOR) return false;
  }
  return list->n > 0;
}

static bool is_operand(const Val *v) {
  return v->kind == V_TENSOR || v->kind == V_NONE || v->kind == V_BOOL || val_is_number(v);
}

// Argument k without a name that was not used yet.
static Arg *next_positional(Args *args) {
  for (int i = 0; i < args->list.n; i++) {
    if (!args->list.data[i].key && !args->list.data[i].used) return &args->list.data[i];
  }
  return NULL;
}

static void take_variadic(Yaml *y, Args *args, Operands *in) {
  for (Arg *a; (a = next_positional(args));) {
    bool list = a->val.kind == V_LIST && all_tensors(&a->val);
    if (a->val.kind != V_TENSOR && a->val.kind != V_NONE && !list) return;
    a->used = true;
    if (!list) vec_push(y->ctx->arena, &in->list, a);
    for (int i = 0; list && i < a->val.n; i++) {
      Arg *item = NEW(y->ctx->arena, Arg);
      *item = (Arg){.val = a->val.items[i], .loc = a->loc};
      vec_push(y->ctx->arena, &in->list, item);
    }
  }
}

static void take_operands(Yaml *y, const Op *op, Args *args, Operands *in) {
  for (int k = 0; k < op->nin; k++) {
    if (op->in[k].variadic) {
      take_variadic(y, args, in);
      return;
    }
    const Arg *named = args_take(args, op->in[k].name, -1);
    Arg *a = named ? NULL : next_positional(args);
    bool misspelt = a && a->val.kind == V_WORD && !op->in[k].optional; // to be reported as such
    if (a && !misspelt && !is_operand(&a->val)) a = NULL;
    if (a) a->used = true;
    vec_push(y->ctx->arena, &in->list, named ? named : a);
  }
}

// The element type for a number given as operand k: that of an operand of the same kind.
static DType scalar_type(const Op *op, const Operands *in, int k, const Val *v) {
  const char *type = k < op->nin ? op->in[k].type : "T";
  for (int i = 0; i < in->list.n; i++) {
    const Arg *a = in->list.data[i];
    bool same = i < op->nin && strcmp(op->in[i].type, type) == 0;
    if (same && a && a->val.kind == V_TENSOR) return a->val.v->type.dtype;
  }
  DType t = dtype_parse(type, strlen(type));
  if (t != DT_NONE) return t;
  return v->kind == V_BOOL ? DT_BOOL : v->kind == V_INT ? DT_I64 : DT_F32;
}

static bool to_value(Yaml *y, const Op *op, const Operands *in, int k, Value **out) {
  const Arg *a = in->list.data[k];
  *out = NULL;
  if (!a || a->val.kind == V_NONE) return true;
  if (yaml_is_bad(y, &a->val, a->loc)) return false;
  if (a->val.kind == V_TENSOR) return *out = a->val.v, true;
  return (*out = yaml_scalar(y, scalar_type(op, in, k, &a->val), &a->val, a->loc)) != NULL;
}

Val yaml_op(Yaml *y, const Op *op, Args *args) {
  Operands in = {0};
  take_operands(y, op, args, &in);
  Value **values = NEW_ARRAY(y->ctx->arena, Value *, in.list.n + 1);
  for (int i = 0; i < in.list.n; i++) {
    if (!to_value(y, op, &in, i, &values[i])) return VAL_ERROR;
  }
  int n = in.list.n;
  while (n && !values[n - 1]) n--; // absent at the end
  const char *name = args->call->label ? yaml_label(y, args->call) : NULL;
  if (args->call->label && !name) return VAL_ERROR;
  if (name) name = yaml_unique(y, name);
  return yaml_op_on(y, op->name, values, n, args, name);
}
