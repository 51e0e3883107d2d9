// yaml_call.c: calls: of `if`, blocks, functions, layers and ops; names of layers.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/yaml.h"

// ---- arguments --------------------------------------------------------------------------------------------------

const Arg *args_take(Args *a, const char *name, int k) {
  for (int i = 0; i < a->list.n; i++) {
    Arg *arg = &a->list.data[i];
    if (arg->key ? strcmp(arg->key, name) != 0 : k-- != 0) continue;
    arg->used = true;
    return arg;
  }
  return NULL;
}

bool args_done(Yaml *y, const Args *a) {
  bool ok = true;
  for (int i = 0; i < a->list.n; i++) {
    const Arg *arg = &a->list.data[i];
    if (arg->used) continue;
    if (arg->key)
      yaml_fail(y, arg->loc, "%s has no argument '%s'", a->what, arg->key);
    else
      yaml_fail(y, arg->loc, "%s has too many arguments", a->what);
    ok = false;
  }
  return ok;
}

static bool eval_args(Yaml *y, const XExpr *e, Args *out) {
  *out = (Args){.call = e, .what = e->text, .loc = e->loc};
  bool ok = true;
  for (int i = 0; i < e->args.n; i++) {
    Arg a = {.key = e->keys.data[i], .loc = e->args.data[i]->loc};
    a.val = yaml_eval(y, e->args.data[i]);
    ok &= a.val.kind != V_ERROR;
    vec_push(y->ctx->arena, &out->list, a);
  }
  return ok;
}

// ---- names --------------------------------------------------------------------------------------------------------

char *yaml_unique(Yaml *y, const char *name) {
  Arena *a = y->ctx->arena;
  int *count = map_get(y->taken, name);
  if (!count) {
    map_put(y->taken, name, NEW(a, int));
    return arena_strdup(a, name);
  }
  if (*count == 0) *count = 1;
  for (;;) {
    char *next = arena_printf(a, "%s_%d", name, ++*count);
    if (map_get(y->taken, next)) continue;
    map_put(y->taken, next, NEW(a, int));
    return next;
  }
}

bool yaml_makes_layers(const Yaml *y, const XExpr *call) {
  return map_get(y->blocks, call->text) || yaml_is_layer(call->text);
}

static const char *in_scope(Yaml *y, const char *name) {
  return *y->scope ? arena_printf(y->ctx->arena, "%s.%s", y->scope, name) : name;
}

const char *yaml_label(Yaml *y, const XExpr *call) {
  const char *name = yaml_eval_name(y, call->label, call->loc);
  return name ? in_scope(y, name) : NULL;
}

static const char *made_up_name(Yaml *y, const XExpr *call) {
  if (!y->key) return call->text;
  return y->key_is_free ? y->key : arena_printf(y->ctx->arena, "%s.%s", y->key, call->text);
}

const char *yaml_layer_name(Yaml *y, const XExpr *call, bool share) {
  if (!call->label) return yaml_unique(y, made_up_name(y, call));
  const char *name = yaml_label(y, call);
  if (!name || share || !map_get(y->taken, name)) return name ? (share ? name : yaml_unique(y, name)) : NULL;
  yaml_fail(y, call->loc, "there is a layer '%s' already; share=true uses its weights again", name);
  return NULL;
}

// ---- if -----------------------------------------------------------------------------------------------------------

// Decided while the model is read; the other branch is not even evaluated.
static Val call_if(Yaml *y, const XExpr *e) {
  if (e->args.n != 3 || e->keys.data[1] || e->keys.data[2]) {
    return yaml_fail(y, e->loc, "'if' takes a condition and two values: if(condition, then, else)");
  }
  Val cond = yaml_eval(y, e->args.data[0]);
  if (yaml_is_bad(y, &cond, e->args.data[0]->loc)) return VAL_ERROR;
  if (cond.kind == V_TENSOR) {
    return yaml_fail(y, e->args.data[0]->loc,
                     "the condition of 'if' must be known when the model is read; "
                     "where(condition, x, y) chooses between tensors");
  }
  if (cond.kind != V_BOOL) {
    return yaml_fail(y, e->args.data[0]->loc, "a condition is true or false, not %s", val_kind(&cond));
  }
  return yaml_eval(y, e->args.data[cond.i ? 1 : 2]);
}

// ---- blocks -------------------------------------------------------------------------------------------------------

static bool bind_parameter(Yaml *y, Frame *f, const Block *b, Args *args, int k) {
  const XExpr *sig = b->signature;
  const char *name = sig->keys.data[k] ? sig->keys.data[k] : sig->args.data[k]->text;
  const Arg *a = args_take(args, name, k);
  if (a) {
    if (yaml_is_bad(y, &a->val, a->loc)) return false;
    yaml_bind(y, f, name, a->val);
    return true;
  }
  if (!sig->keys.data[k]) {
    yaml_fail(y, args->loc, "%s: argument '%s' is missing", b->name, name);
    diag_note(y->ctx->diag, sig->loc, "the block is defined here");
    return false;
  }
  Frame *outer = y->frame;
  y->frame = f; // a default may use earlier parameters
  Val v = yaml_eval(y, sig->args.data[k]);
  y->frame = outer;
  if (yaml_is_bad(y, &v, sig->args.data[k]->loc)) return false;
  yaml_bind(y, f, name, v);
  return true;
}

static Val run_block(Yaml *y, const Block *b, Frame *f, const char *scope) {
  Yaml outer = *y;
  y->frame = f;
  y->scope = scope;
  y->key = NULL;
  y->key_is_free = false;
  y->calls++;
  Val v = yaml_run_steps(y, b->body);
  y->frame = outer.frame;
  y->scope = outer.scope;
  y->key = outer.key;
  y->key_is_free = outer.key_is_free;
  y->calls--;
  return v;
}

static Val call_block(Yaml *y, const Block *b, Args *args) {
  if (y->calls >= YAML_MAX_CALLS)
    return yaml_fail(y, args->loc, "blocks call each other more than %d deep", YAML_MAX_CALLS);
  Frame *f = yaml_frame(y);
  f->steps = b->body;
  bool ok = true;
  for (int k = 0; k < b->signature->args.n; k++) ok &= bind_parameter(y, f, b, args, k);
  if (!ok || !args_done(y, args)) return VAL_ERROR;
  const char *scope =
      args->call->label ? yaml_label(y, args->call) : yaml_unique(y, made_up_name(y, args->call));
  return scope ? run_block(y, b, f, scope) : VAL_ERROR;
}

// ---- calls --------------------------------------------------------------------------------------------------------

static Val unknown_function(Yaml *y, const XExpr *e) {
  int n;
  const char *near = op_suggest(y->ctx, e->text);
  const char *const *names = yaml_layer_names(&n);
  if (!near) near = nearest_word(e->text, names, n);
  names = yaml_builtin_names(&n);
  if (!near) near = nearest_word(e->text, names, n);
  if (!near) near = nearest_word(e->text, y->block_names.data, y->block_names.n);
  return yaml_fail(y, e->loc, "unknown op '%s'%s%s%s", e->text, near ? "; did you mean '" : "",
                   near ? near : "", near ? "'?" : "");
}

Val yaml_call(Yaml *y, const XExpr *e) {
  if (strcmp(e->text, "if") == 0) return call_if(y, e);
  const Block *block = map_get(y->blocks, e->text);
  Args args;
  if (!eval_args(y, e, &args)) return VAL_ERROR;
  if (block) return call_block(y, block, &args);
  YamlFn fn = yaml_builtin(e->text, &args);
  if (!fn) fn = yaml_layer(e->text, &args);
  if (fn) return fn(y, &args);
  const Op *op = op_find(y->ctx, e->text);
  if (!op) return unknown_function(y, e);
  if (op->info->flags & (OP_INTERNAL | OP_REGION))
    return yaml_fail(y, e->loc, "the op '%s' cannot be called", e->text);
  return yaml_op(y, op, &args);
}
