// yaml_model.c: the sections of a YAML model.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/yaml.h"

#include <stdlib.h>

static bool is_identifier(const char *s) {
  for (const char *t = s; *t; t++) {
    bool letter = (*t >= 'a' && *t <= 'z') || (*t >= 'A' && *t <= 'Z') || *t == '_';
    if (!letter && (t == s || *t < '0' || *t > '9')) return false;
  }
  return *s != '\0';
}

static bool expect_map(Yaml *y, const YNode *n, const char *what) {
  if (n->kind == Y_MAP) return true;
  yaml_fail(y, n->loc, "%s must be 'name: value' pairs", what);
  return false;
}

static bool expect_text(Yaml *y, const YNode *n, const char *what) {
  if (n->kind == Y_SCALAR) return true;
  yaml_fail(y, n->loc, "%s must be a text", what);
  return false;
}

// ---- parameters and symbols ---------------------------------------------------------------------------------------

static bool check_name(Yaml *y, const YNode *key) {
  if (!is_identifier(key->text)) {
    yaml_fail(y, key->loc, "'%s' is no name: letters, digits and '_' are possible", key->text);
    return false;
  }
  if (!yaml_lookup(y, key->text)) return true;
  yaml_fail(y, key->loc, "the name '%s' is taken", key->text);
  return false;
}

static void read_params(Yaml *y, YNode *n) {
  if (!expect_map(y, n, "params")) return;
  for (int i = 0; i < n->pairs.n; i++) {
    const YPair *p = &n->pairs.data[i];
    if (check_name(y, p->key)) yaml_bind(y, y->globals, p->key->text, yaml_eval_node(y, p->value));
  }
}

// What the user says of symbol `name` on the command line: a value or a bound.
static const char *symbol_option(const Yaml *y, const char *name, bool *fixed) {
  size_t n = strlen(name);
  for (int i = 0; y->options && i < y->options->dims.n; i++) {
    const char *s = y->options->dims.data[i];
    if (strncmp(s, name, n) != 0) continue;
    if (s[n] == '=') return *fixed = true, s + n + 1;
    if (s[n] == '<' && s[n + 1] == '=') return *fixed = false, s + n + 2;
  }
  return NULL;
}

static bool parse_count(Yaml *y, const char *text, Loc loc, int64_t *out) {
  char *end;
  *out = strtoll(text, &end, 10);
  if (end != text && !*end && *out >= 0 && *out <= MAX_ELEMENTS) return true;
  yaml_fail(y, loc, "'%s' is no extent", text);
  return false;
}

// Declares a symbol, or, if the user fixed it, a number of that name.
static bool declare_symbol(Yaml *y, const char *name, int64_t min, int64_t max, Loc loc) {
  bool fixed = false;
  int64_t value;
  vec_push(y->ctx->arena, &y->symbols, name);
  const char *option = symbol_option(y, name, &fixed);
  if (option && !parse_count(y, option, loc, &value)) return false;
  if (option && !fixed) max = value;
  if (min < 0 || max < min || max > MAX_ELEMENTS) {
    yaml_fail(y, loc, "the symbol '%s' cannot run from %lld to %lld", name, (long long)min, (long long)max);
    return false;
  }
  Val v = val_int(option && fixed ? value : 0);
  if (option && fixed && value < min) {
    yaml_fail(y, loc, "'%s' must be at least %lld", name, (long long)min);
    return false;
  }
  if (!option || !fixed)
    v = (Val){.kind = V_DIM,
              .dim = dim_expr(y->ctx, ex_sym(y->ctx, module_sym(y->module, name, min, max, loc)))};
  yaml_bind(y, y->globals, name, v);
  return true;
}

// past + T: 512
static void read_limit(Yaml *y, const YPair *p) {
  const XExpr *key = yaml_expr(y->ctx, p->key), *value = key ? yaml_expr(y->ctx, p->value) : NULL;
  int64_t max;
  if (!value) return;
  Val sum = yaml_eval(y, key), v = yaml_eval(y, value);
  if (sum.kind == V_ERROR || !yaml_int(y, &v, value->loc, "a limit", &max)) return;
  if (sum.kind != V_DIM && sum.kind != V_INT)
    yaml_fail(y, key->loc, "a limit is set on symbols, not on %s", val_kind(&sum));
  else if (max < 0 || max > MAX_ELEMENTS || (sum.kind == V_INT && sum.i > max))
    yaml_fail(y, value->loc, "this limit cannot be kept");
  else if (sum.kind == V_DIM)
    module_limit(y->module, dim_to_expr(y->ctx, sum.dim), max);
}

// T: 512 (a bound), T: 1..512, or past + T: 512 (a limit for the sum)
static void read_symbols(Yaml *y, YNode *n) {
  if (!expect_map(y, n, "symbols")) return;
  for (int i = 0; i < n->pairs.n; i++) {
    const YPair *p = &n->pairs.data[i];
    if (!is_identifier(p->key->text)) {
      read_limit(y, p);
      continue;
    }
    if (!check_name(y, p->key)) continue;
    const XExpr *e = yaml_expr(y->ctx, p->value);
    if (!e) continue;
    bool range = e->kind == X_RANGE;
    Val from = range ? yaml_eval(y, e->args.data[0]) : val_int(1),
        to = yaml_eval(y, range ? e->args.data[1] : e);
    int64_t min, max;
    if (!yaml_int(y, &from, e->loc, "the lower end", &min) ||
        !yaml_int(y, &to, e->loc, "the upper end", &max))
      continue;
    declare_symbol(y, p->key->text, min, max, p->key->loc);
  }
}

// ---- inputs -------------------------------------------------------------------------------------------------------

// An extent of an input: a number, an expression, or T<=512, which declares T.
static bool input_dim(Yaml *y, const XExpr *e, const XExpr *bound, Dim *d) {
  bool fresh = e->kind == X_NAME && !yaml_lookup(y, e->text);
  if (fresh) {
    bool fixed;
    if (!bound && !symbol_option(y, e->text, &fixed)) {
      yaml_fail(y, e->loc, "the symbol '%s' needs a bound: %s<=512", e->text, e->text);
      return false;
    }
    Val max = bound ? yaml_eval(y, bound) : val_int(0);
    int64_t n;
    if (!yaml_int(y, &max, e->loc, "a bound", &n) ||
        !declare_symbol(y, e->text, y->least_extent, bound ? n : 1, e->loc))
      return false;
  } else if (bound) {
    Val max = yaml_eval(y, bound);
    int64_t n;
    if (!yaml_int(y, &max, bound->loc, "a bound", &n)) return false;
  }
  Val v = yaml_eval(y, e);
  if (!yaml_dim(y, &v, e->loc, d)) return false;
  if (d->n >= 0) return true;
  yaml_fail(y, e->loc, "negative extent %lld", (long long)d->n);
  return false;
}

// The user's "--shape INPUT=1,3,224,224" for this input, or NULL.
static const char *shape_option(const Yaml *y, const char *input) {
  size_t n = strlen(input);
  for (int i = 0; y->options && i < y->options->shapes.n; i++) {
    const char *s = y->options->shapes.data[i];
    if (strncmp(s, input, n) == 0 && s[n] == '=') return s + n + 1;
  }
  return NULL;
}

static bool override_dim(Yaml *y, const char *text, Loc loc, Dim *d) {
  char *bound = strstr(text, "<=");
  int64_t n;
  if (!bound) {
    if (!parse_count(y, text, loc, &n)) return false;
    *d = dim_const(n);
    return true;
  }
  const char *name = arena_strndup(y->ctx->arena, text, (size_t)(bound - text));
  if (!is_identifier(name) || !parse_count(y, bound + 2, loc, &n)) return false;
  if (!yaml_lookup(y, name) && !declare_symbol(y, name, 1, n, loc)) return false;
  return yaml_dim(y, yaml_lookup(y, name), loc, d);
}

static bool override_shape(Yaml *y, const char *option, Loc loc, Type *t) {
  int rank = 0;
  char *save = NULL;
  for (char *s = strtok_r(arena_strdup(y->ctx->arena, option), ",", &save); s;
       s = strtok_r(NULL, ",", &save)) {
    if (rank == t->rank || !override_dim(y, s, loc, &t->dim[rank])) {
      yaml_fail(y, loc, "the shape '%s' does not go with this input of %d dimensions", option, t->rank);
      return false;
    }
    rank++;
  }
  if (rank == t->rank) return true;
  yaml_fail(y, loc, "the shape '%s' has %d of %d dimensions", option, rank, t->rank);
  return false;
}

static bool input_type(Yaml *y, const YNode *key, const YNode *value, Type *t) {
  XType x;
  if (!expect_text(y, value, "an input's type") || !yaml_type(y->ctx, value, &x)) return false;
  if (x.dims.n > MAX_RANK) return yaml_fail(y, value->loc, "more than %d dimensions", MAX_RANK), false;
  *t = (Type){.dtype = x.dtype, .rank = x.dims.n};
  const char *option = shape_option(y, key->text);
  if (option && !override_shape(y, option, value->loc, t)) return false;
  for (int i = 0; !option && i < x.dims.n; i++) {
    if (!input_dim(y, x.dims.data[i], x.bounds.data[i], &t->dim[i])) return false;
  }
  return type_check_size(y->ctx, x.loc, t);
}

static void declare_input(Yaml *y, const YNode *key, const YNode *type) {
  Type t;
  if (!check_name(y, key)) return;
  bool ok = input_type(y, key, type, &t);
  const char *name = yaml_unique(y, key->text);
  Val v = ok ? val_tensor(graph_input(y->graph, name, t, key->loc)) : VAL_ERROR;
  yaml_bind(y, y->frame, key->text, v);
}

// What a declaration says besides the type: name: type, or name: {type: ..., KEY: ...}. NULL: nothing, or no type, which
// is reported.
static YNode *declaration(Yaml *y, const YPair *p, const char *what, const char *key, YNode **type) {
  *type = p->value;
  if (p->value->kind != Y_MAP) return NULL;
  *type = yaml_get(p->value, "type");
  for (int k = 0; k < p->value->pairs.n; k++) {
    const YNode *other = p->value->pairs.data[k].key;
    if (strcmp(other->text, "type") != 0 && strcmp(other->text, key) != 0)
      yaml_fail(y, other->loc, "%s '%s' has a type and %s, but no '%s'", what, p->key->text, key,
                other->text);
  }
  if (!*type) yaml_fail(y, p->key->loc, "%s '%s' has no type", what, p->key->text);
  return yaml_get(p->value, key);
}

// Elements of the input are below the value of an expression.
static void limit_input(Yaml *y, Value *input, YNode *below) {
  const XExpr *e = yaml_expr(y->ctx, below);
  if (!e) return;
  Val v = yaml_eval(y, e);
  if (!yaml_int(y, &v, below->loc, "a limit", &input->limit)) return;
  if (!type_takes_limit(&input->type, input->limit))
    yaml_fail(y, below->loc, "only inputs of integers have a limit, a number from 1 to %d", INT32_MAX);
}

static void read_inputs(Yaml *y, YNode *n) {
  if (!expect_map(y, n, "inputs")) return;
  for (int i = 0; i < n->pairs.n; i++) {
    YNode *type, *below = declaration(y, &n->pairs.data[i], "input", "below", &type);
    int inputs = y->graph->inputs.n;
    if (type) declare_input(y, n->pairs.data[i].key, type);
    if (below && y->graph->inputs.n > inputs) limit_input(y, y->graph->inputs.data[inputs], below);
  }
}

// ---- states -------------------------------------------------------------------------------------------------------

// name: type, or name: {type: ..., init: ...}; its symbols may be 0.
static void read_states(Yaml *y, YNode *n) {
  if (!expect_map(y, n, "state")) return;
  y->least_extent = 0;
  for (int i = 0; i < n->pairs.n; i++) {
    const YPair *p = &n->pairs.data[i];
    YNode *type, *init = declaration(y, p, "state", "init", &type);
    int inputs = y->graph->inputs.n;
    if (type) declare_input(y, p->key, type);
    if (y->graph->inputs.n > inputs) yaml_state_open(y, p->key->text, inputs, init, p->key->loc);
  }
  y->least_extent = 1;
}

static void read_graph(Yaml *y, YNode *n) {
  y->frame->steps = n;
  yaml_run_steps(y, n);
}

// ---- blocks -------------------------------------------------------------------------------------------------------

static void read_block(Yaml *y, const YPair *p) {
  Block *b = NEW(y->ctx->arena, Block);
  *b = (Block){.signature = yaml_signature(y->ctx, p->key), .body = p->value};
  if (!b->signature) return;
  b->name = b->signature->text;
  if (op_find(y->ctx, b->name) || yaml_is_layer(b->name) || strcmp(b->name, "if") == 0) {
    yaml_fail(y, p->key->loc, "the name '%s' is taken by an op", b->name);
  } else if (!map_put(y->blocks, b->name, b)) {
    yaml_fail(y, p->key->loc, "the block '%s' is defined twice", b->name);
  } else {
    vec_push(y->ctx->arena, &y->block_names, b->name);
  }
}

static void read_blocks(Yaml *y, YNode *n) {
  if (!expect_map(y, n, "blocks")) return;
  for (int i = 0; i < n->pairs.n; i++) read_block(y, &n->pairs.data[i]);
}

static void read_defaults(Yaml *y, YNode *n) {
  if (!expect_map(y, n, "defaults")) return;
  for (int i = 0; i < n->pairs.n; i++) {
    const YPair *p = &n->pairs.data[i];
    if (!yaml_is_layer(p->key->text))
      yaml_fail(y, p->key->loc, "there is no layer '%s'", p->key->text);
    else
      expect_map(y, p->value, "default arguments");
  }
  y->defaults = n;
}

// ---- outputs --------------------------------------------------------------------------------------------------------

static void add_output(Yaml *y, const char *name, YNode *n, Loc loc) {
  for (int i = 0; i < y->graph->output_names.n; i++) {
    if (strcmp(y->graph->output_names.data[i], name) == 0) {
      yaml_fail(y, loc, "the output '%s' is here twice", name);
      return;
    }
  }
  Val v = yaml_eval_node(y, n);
  if (v.kind == V_ERROR) return;
  if (v.kind != V_TENSOR)
    yaml_fail(y, n->loc, "the output '%s' is %s, not a tensor", name, val_kind(&v));
  else
    graph_output(y->graph, name, v.v);
}

// A name, a list of names, or name: expression.
static void read_outputs(Yaml *y, YNode *n) {
  int count = n->kind == Y_MAP ? n->pairs.n : n->kind == Y_LIST ? n->items.n : 1;
  if (!count) yaml_fail(y, n->loc, "the model has no outputs");
  for (int i = 0; i < count; i++) {
    YNode *value = n->kind == Y_MAP ? n->pairs.data[i].value : n->kind == Y_LIST ? n->items.data[i] : n;
    const YNode *key = n->kind == Y_MAP ? n->pairs.data[i].key : value;
    if (!expect_text(y, key, "an output") || !expect_text(y, value, "an output")) continue;
    if (!is_identifier(key->text))
      yaml_fail(y, key->loc, "'%s' is no name for an output; write name: expression", key->text);
    else
      add_output(y, key->text, value, key->loc);
  }
}

// ---- descriptions ---------------------------------------------------------------------------------------------------

static void add_meta(Yaml *y, const char *key, const char *value) {
  MetaEntry e = {key, value};
  vec_push(y->ctx->arena, &y->module->meta, e);
}

static void read_description(Yaml *y, YNode *n) {
  if (expect_text(y, n, "the description")) add_meta(y, "description", n->text);
}

// A list of names, or a file with one a line.
static void read_labels(Yaml *y, YNode *n) {
  if (n->kind == Y_SCALAR) {
    const char *path = yaml_path(y, n);
    Source *s = path ? source_read(y->ctx->arena, y->ctx->diag, path) : NULL;
    if (s)
      add_meta(y, "labels", s->text);
    else if (path)
      diag_note(y->ctx->diag, n->loc, "named here");
    return;
  }
  Str text = {.arena = y->ctx->arena};
  if (n->kind != Y_LIST) yaml_fail(y, n->loc, "labels are a list or the name of a file");
  for (int i = 0; n->kind == Y_LIST && i < n->items.n; i++) {
    if (!expect_text(y, n->items.data[i], "a label")) return;
    str_printf(&text, "%s\n", n->items.data[i]->text);
  }
  add_meta(y, "labels", str_text(&text));
}

static bool put_numbers(Yaml *y, Str *out, YNode *n) {
  Val v = yaml_eval_node(y, n);
  const Val *items = v.kind == V_LIST ? v.items : &v;
  int count = v.kind == V_LIST ? v.n : 1;
  for (int i = 0; i < count; i++) {
    if (!val_is_number(&items[i])) {
      if (v.kind != V_ERROR) yaml_fail(y, n->loc, "expected a number or a list of them");
      return false;
    }
    str_printf(out, "%s%.9g", i ? ":" : "", items[i].kind == V_INT ? (double)items[i].i : items[i].f);
  }
  return true;
}

// How images become the input's numbers: scale, mean, std and the order of channels, as `ingot run` takes it.
static void read_preprocess(Yaml *y, YNode *n) {
  static const char *const keys[] = {"scale", "mean", "std", "channels"};
  Str text = {.arena = y->ctx->arena};
  if (!expect_map(y, n, "preprocess")) return;
  for (int i = 0; i < n->pairs.n; i++) {
    const YPair *p = &n->pairs.data[i];
    const char *near = nearest_word(p->key->text, keys, ARRAY_LEN(keys));
    if (text.n) str_puts(&text, ",");
    if (strcmp(p->key->text, "channels") == 0 && p->value->kind == Y_SCALAR) {
      str_puts(&text, p->value->text);
    } else if (near && strcmp(near, p->key->text) == 0) {
      str_printf(&text, "%s=", p->key->text);
      if (!put_numbers(y, &text, p->value)) return;
    } else {
      yaml_fail(y, p->key->loc, "preprocess has no '%s': it takes scale, mean, std and channels",
                p->key->text);
    }
  }
  add_meta(y, "preprocess", str_text(&text));
}

// One value or a list of values of a symbol, as "T=1,128". Symbols that the user fixed have no values left.
static void put_extents(Yaml *y, Str *text, const YPair *p) {
  bool known = false, fixed = false;
  for (int i = 0; i < y->symbols.n; i++) known = known || strcmp(y->symbols.data[i], p->key->text) == 0;
  if (!known) {
    yaml_fail(y, p->key->loc, "the model has no symbol '%s'", p->key->text);
    return;
  }
  if (symbol_option(y, p->key->text, &fixed) && fixed) return;
  int n = p->value->kind == Y_LIST ? p->value->items.n : 1;
  str_printf(text, "%s%s=", text->n ? ":" : "", p->key->text);
  for (int i = 0; i < n; i++) {
    const YNode *item = p->value->kind == Y_LIST ? p->value->items.data[i] : p->value;
    int64_t value;
    if (!expect_text(y, item, "an extent") || !parse_count(y, item->text, item->loc, &value)) return;
    str_printf(text, "%s%lld", i ? "," : "", (long long)value);
  }
}

// Extents that get code of their own: {T: [1, 128]}, or a list of such.
static void read_specialize(Yaml *y, YNode *n) {
  Str all = {.arena = y->ctx->arena};
  int forms = n->kind == Y_LIST ? n->items.n : 1;
  for (int i = 0; i < forms; i++) {
    const YNode *form = n->kind == Y_LIST ? n->items.data[i] : n;
    Str text = {.arena = y->ctx->arena};
    if (!expect_map(y, form, "specialize")) return;
    for (int k = 0; k < form->pairs.n; k++) put_extents(y, &text, &form->pairs.data[k]);
    if (text.n) str_printf(&all, "%s%s", all.n ? " " : "", str_text(&text));
  }
  if (all.n) add_meta(y, "specialize", str_text(&all));
}

static void read_meta(Yaml *y, YNode *n) {
  if (!expect_map(y, n, "meta")) return;
  for (int i = 0; i < n->pairs.n; i++) {
    const YPair *p = &n->pairs.data[i];
    if (expect_text(y, p->value, "a meta entry")) add_meta(y, p->key->text, p->value->text);
  }
}

// ---- the model ------------------------------------------------------------------------------------------------------

static void read_weights(Yaml *y, YNode *n) {
  y->weights = yaml_weights_open(y, n);
}

static void read_name(Yaml *y, YNode *n) {
  if (!expect_text(y, n, "the model's name")) return;
  if (!is_identifier(n->text))
    yaml_fail(y, n->loc, "the model's name must be a C identifier: letters, digits and '_'");
  else if (!y->options || !y->options->name)
    y->module->name = n->text;
}

// In the order in which they are read, whatever it is in the file.
static const struct {
  const char *name;
  void (*read)(Yaml *y, YNode *n);
  bool required;
} SECTIONS[] = {
    {"model", read_name, false},
    {"description", read_description, false},
    {"params", read_params, false},
    {"symbols", read_symbols, false},
    {"inputs", read_inputs, true},
    {"state", read_states, false},
    {"specialize", read_specialize, false},
    {"weights", read_weights, false},
    {"defaults", read_defaults, false},
    {"blocks", read_blocks, false},
    {"graph", read_graph, true},
    {"outputs", read_outputs, true},
    {"labels", read_labels, false},
    {"preprocess", read_preprocess, false},
    {"meta", read_meta, false},
};

static void check_sections(Yaml *y, const YNode *root) {
  const char *names[ARRAY_LEN(SECTIONS)];
  for (int i = 0; i < ARRAY_LEN(SECTIONS); i++) {
    names[i] = SECTIONS[i].name;
    if (SECTIONS[i].required && !yaml_get(root, names[i]))
      yaml_fail(y, root->loc, "the model has no '%s'", names[i]);
  }
  for (int i = 0; i < root->pairs.n; i++) {
    const YNode *key = root->pairs.data[i].key;
    const char *near = nearest_word(key->text, names, ARRAY_LEN(names));
    if (near && strcmp(near, key->text) == 0) continue;
    yaml_fail(y, key->loc, "unknown section '%s'%s%s%s", key->text, near ? "; did you mean '" : "",
              near ? near : "", near ? "'?" : "");
  }
}

static void read_sections(Yaml *y, const YNode *root) {
  check_sections(y, root);
  if (!yaml_get(root, "weights")) read_weights(y, NULL);
  for (int i = 0; i < ARRAY_LEN(SECTIONS); i++) {
    YNode *n = yaml_get(root, SECTIONS[i].name);
    if (n) SECTIONS[i].read(y, n);
  }
}

static void report_stranger(Yaml *y, const char *what, const char *option, const char *const *names, int n) {
  const char *name = arena_strndup(y->ctx->arena, option, strcspn(option, "<="));
  for (int i = 0; i < n; i++)
    if (strcmp(name, names[i]) == 0) return;
  const char *near = nearest_word(name, names, n);
  yaml_fail(y, NO_LOC, "the model has no %s '%s'%s%s%s", what, name, near ? "; did you mean '" : "",
            near ? near : "", near ? "'?" : "");
}

// Options that name nothing in the model are mistakes, not preferences.
static void report_unused(Yaml *y) {
  const FrontendOptions *o = y->options;
  Vec(const char *) inputs = {0};
  for (int i = 0; i < y->graph->inputs.n; i++)
    vec_push(y->ctx->arena, &inputs, y->graph->inputs.data[i]->name);
  for (int i = 0; o && i < o->dims.n; i++)
    report_stranger(y, "dimension", o->dims.data[i], y->symbols.data, y->symbols.n);
  for (int i = 0; o && i < o->shapes.n; i++)
    report_stranger(y, "input", o->shapes.data[i], inputs.data, inputs.n);
}

Module *yaml_load(Ctx *c, const Source *src, const FrontendOptions *o) {
  int errors = diag_errors(c->diag);
  YNode *root = yaml_read(c, src);
  if (!root) return NULL;
  Yaml y = {.ctx = c, .options = o, .scope = "", .blocks = map_new(c->arena), .taken = map_new(c->arena)};
  if (!expect_map(&y, root, "a model")) return NULL;
  y.module = module_new(c, frontend_name(c, src->path, o));
  y.graph = y.module->main;
  y.globals = yaml_frame(&y);
  y.frame = yaml_frame(&y);
  y.least_extent = 1;
  read_sections(&y, root);
  if (diag_errors(c->diag) == errors) report_unused(&y);
  if (diag_errors(c->diag) == errors) yaml_states_close(&y);
  return diag_errors(c->diag) > errors ? NULL : y.module;
}
