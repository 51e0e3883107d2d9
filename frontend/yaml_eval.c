// yaml_eval.c: evaluates expressions: names, lists, ranges, and everything else by its own file.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/yaml.h"

#include <math.h>

Val yaml_fail(Yaml *y, Loc loc, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  diag_error(y->ctx->diag, loc, "%s", arena_vprintf(y->ctx->arena, fmt, ap));
  va_end(ap);
  return VAL_ERROR;
}

const char *val_kind(const Val *v) {
  switch (v->kind) {
  case V_ERROR: return "an error";
  case V_NONE: return "none";
  case V_INT: return "an integer";
  case V_FLOAT: return "a number";
  case V_BOOL: return "true or false";
  case V_STRING: return "a string";
  case V_WORD: return "a word";
  case V_DTYPE: return "an element type";
  case V_DIM: return "a symbolic extent";
  case V_LIST: return "a list";
  case V_TENSOR: return "a tensor";
  }
  return "";
}

// ---- names ------------------------------------------------------------------------------------------------------

Frame *yaml_frame(Yaml *y) {
  Frame *f = NEW(y->ctx->arena, Frame);
  f->vars = map_new(y->ctx->arena);
  return f;
}

void yaml_bind(Yaml *y, Frame *f, const char *name, Val v) {
  if (!map_get(f->vars, name)) vec_push(y->ctx->arena, &f->names, arena_strdup(y->ctx->arena, name));
  map_put(f->vars, name, arena_dup(y->ctx->arena, &v, sizeof v));
}

const Val *yaml_lookup(const Yaml *y, const char *name) {
  const Val *v = map_get(y->frame->vars, name);
  return v ? v : map_get(y->globals->vars, name);
}

// The step that will define `name` later on, or NULL.
static const YNode *defined_later(const YNode *steps, const char *name) {
  if (!steps) return NULL;
  for (int i = 0; i < steps->pairs.n; i++) {
    if (strcmp(steps->pairs.data[i].key->text, name) == 0) return steps->pairs.data[i].key;
  }
  for (int i = 0; i < steps->items.n; i++) {
    const YNode *found = defined_later(steps->items.data[i], name);
    if (found) return found;
  }
  return NULL;
}

static Val unknown_name(Yaml *y, const char *name, Loc loc) {
  const YNode *later = defined_later(y->frame->steps, name);
  const char *near = nearest_word(name, y->frame->names.data, y->frame->names.n);
  if (!near) near = nearest_word(name, y->globals->names.data, y->globals->names.n);
  if (later) {
    yaml_fail(y, loc, "'%s' is used before it is defined", name);
    diag_note(y->ctx->diag, later->loc, "it is defined here; a graph has no cycles");
  } else if (near) {
    yaml_fail(y, loc, "unknown name '%s'; did you mean '%s'?", name, near);
  } else {
    yaml_fail(y, loc, "unknown name '%s'", name);
  }
  return VAL_ERROR;
}

bool yaml_is_bad(Yaml *y, const Val *v, Loc loc) {
  if (v->kind == V_WORD) unknown_name(y, v->s, loc);
  return v->kind == V_WORD || v->kind == V_ERROR;
}

static Val eval_name(Yaml *y, const XExpr *e) {
  const Val *v = yaml_lookup(y, e->text);
  if (v) return *v;
  if (strcmp(e->text, "true") == 0) return val_bool(true);
  if (strcmp(e->text, "false") == 0) return val_bool(false);
  if (strcmp(e->text, "none") == 0) return (Val){.kind = V_NONE};
  if (strcmp(e->text, "inf") == 0) return val_float(INFINITY);
  if (strcmp(e->text, "nan") == 0) return val_float(NAN);
  DType t = dtype_parse(e->text, strlen(e->text));
  if (t != DT_NONE) return (Val){.kind = V_DTYPE, .t = t};
  return (Val){.kind = V_WORD, .s = e->text};
}

const char *yaml_eval_name(Yaml *y, const XName *n, Loc loc) {
  Str s = {.arena = y->ctx->arena};
  for (int i = 0; i < n->parts.n; i++) {
    const XPart *part = &n->parts.data[i];
    if (part->text) {
      str_puts(&s, part->text);
      continue;
    }
    Val v = yaml_eval(y, part->expr);
    if (yaml_is_bad(y, &v, part->expr->loc)) return NULL;
    if (v.kind == V_INT) {
      str_printf(&s, "%lld", (long long)v.i);
    } else if (v.kind == V_STRING) {
      str_puts(&s, v.s);
    } else {
      yaml_fail(y, loc, "a name cannot contain %s", val_kind(&v));
      return NULL;
    }
  }
  return str_text(&s);
}

// ---- lists ------------------------------------------------------------------------------------------------------

static Val eval_list(Yaml *y, const XExpr *e) {
  Val *items = NEW_ARRAY(y->ctx->arena, Val, e->args.n);
  bool bad = false;
  for (int i = 0; i < e->args.n; i++) {
    items[i] = yaml_eval(y, e->args.data[i]);
    bad |= yaml_is_bad(y, &items[i], e->args.data[i]->loc);
  }
  return bad ? VAL_ERROR : val_list(items, e->args.n);
}

static Val eval_range(Yaml *y, const XExpr *e) {
  Val from = yaml_eval(y, e->args.data[0]), to = yaml_eval(y, e->args.data[1]);
  int64_t a, b, n;
  if (!yaml_int(y, &from, e->loc, "the beginning of a range", &a) ||
      !yaml_int(y, &to, e->loc, "the end of a range", &b)) {
    return VAL_ERROR;
  }
  if (__builtin_sub_overflow(b, a, &n) || n >= YAML_MAX_LIST)
    return yaml_fail(y, e->loc, "the range is too long");
  if (n < 0) n = -1;
  Val *items = NEW_ARRAY(y->ctx->arena, Val, n + 1);
  for (int64_t i = 0; i <= n; i++) items[i] = val_int(a + i);
  return val_list(items, (int)n + 1);
}

// ---- expressions ------------------------------------------------------------------------------------------------

static Val eval_binary(Yaml *y, const XExpr *e) {
  const XExpr *left = e->args.data[0], *right = e->args.data[1];
  Val a = yaml_eval(y, left);
  bool bad = yaml_is_bad(y, &a, left->loc);
  // `and` and `or` stop early, so that `i > 0 and list[i - 1]` works.
  if (a.kind == V_BOOL && strcmp(e->text, "and") == 0 && !a.i) return a;
  if (a.kind == V_BOOL && strcmp(e->text, "or") == 0 && a.i) return a;
  Val b = yaml_eval(y, right);
  bad |= yaml_is_bad(y, &b, right->loc);
  return bad ? VAL_ERROR : yaml_binary(y, e, a, b);
}

static Val eval_unary(Yaml *y, const XExpr *e) {
  Val x = yaml_eval(y, e->args.data[0]);
  if (yaml_is_bad(y, &x, e->args.data[0]->loc)) return VAL_ERROR;
  return yaml_unary(y, e, x);
}

bool yaml_tick(Yaml *y, Loc loc) {
  if (y->steps > YAML_MAX_STEPS) return false;
  if (++y->steps <= YAML_MAX_STEPS) return true;
  yaml_fail(y, loc, "the model takes more than %d steps to build", YAML_MAX_STEPS);
  return false;
}

Val yaml_eval(Yaml *y, const XExpr *e) {
  if (!yaml_tick(y, e->loc)) return VAL_ERROR;
  switch (e->kind) {
  case X_INT: return val_int(e->i);
  case X_FLOAT: return val_float(e->f);
  case X_STRING: return (Val){.kind = V_STRING, .s = e->text};
  case X_NAME: return eval_name(y, e);
  case X_LIST: return eval_list(y, e);
  case X_RANGE: return eval_range(y, e);
  case X_UNARY: return eval_unary(y, e);
  case X_BINARY: return eval_binary(y, e);
  case X_CALL: return yaml_call(y, e);
  case X_INDEX: return yaml_index(y, e);
  case X_SLICE:
  case X_ELLIPSIS: break;
  }
  return yaml_fail(y, e->loc, "a slice is possible in brackets only");
}

Val yaml_eval_node(Yaml *y, YNode *n) {
  if (n->parse_failed) return VAL_ERROR;
  if (!n->parsed) n->parsed = yaml_expr(y->ctx, n);
  n->parse_failed = !n->parsed;
  if (!n->parsed) return VAL_ERROR;
  Val v = yaml_eval(y, n->parsed);
  return yaml_is_bad(y, &v, n->parsed->loc) ? VAL_ERROR : v;
}
