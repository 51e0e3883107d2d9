// yaml_steps.c: runs the steps of graphs and blocks: names bound to expressions, and repetitions of them.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/yaml.h"

// What a list of steps has come to.
typedef struct Run {
  Val last;
  bool returned;
} Run;

static void run_node(Yaml *y, YNode *n, Run *run);

// ---- names ------------------------------------------------------------------------------------------------------

static int count_layers(const Yaml *y, const XExpr *e) {
  if (!e) return 0;
  int n = e->kind == X_CALL && !e->label && yaml_makes_layers(y, e);
  for (int i = 0; i < e->args.n; i++) n += count_layers(y, e->args.data[i]);
  return n;
}

static const char *in_scope(Yaml *y, const char *name) {
  return *y->scope ? arena_printf(y->ctx->arena, "%s.%s", y->scope, name) : name;
}

// The step's value takes the step's name, if a layer has not taken it.
static void name_value(Yaml *y, const Val *v, const char *key) {
  if (v->kind != V_TENSOR || !v->v->def || map_get(y->taken, key)) return;
  size_t n = strlen(key);
  bool ours = v->v->name && strncmp(v->v->name, key, n) == 0 && v->v->name[n] == '.';
  if (ours) v->v->name = yaml_unique(y, key);
}

// "q, k, v" binds the results of one call.
static Val bind_several(Yaml *y, const YNode *key, Val v) {
  char *save = NULL, *text = arena_strdup(y->ctx->arena, key->text);
  int n = 0;
  if (v.kind == V_ERROR)
    v = val_list(NULL, 0);
  else if (v.kind != V_LIST)
    return yaml_fail(y, key->loc, "several names for one value");
  for (char *s = strtok_r(text, ", ", &save); s; s = strtok_r(NULL, ", ", &save), n++) {
    if (v.n && n == v.n) return yaml_fail(y, key->loc, "more names than the %d values", v.n);
    yaml_bind(y, y->frame, s, v.n ? v.items[n] : VAL_ERROR);
  }
  if (v.n && n < v.n) return yaml_fail(y, key->loc, "%d names for %d values", n, v.n);
  return v;
}

// ---- steps ------------------------------------------------------------------------------------------------------

// `key`: the step's name, without the scope; NULL if it has none.
static Val eval_step(Yaml *y, YNode *value, const char *key) {
  if (value->kind == Y_MAP) return yaml_fail(y, value->loc, "a step is an expression");
  if (!value->parsed && !value->parse_failed) value->parsed = yaml_expr(y->ctx, value);
  y->key = key ? in_scope(y, key) : *y->scope ? y->scope : NULL;
  y->key_is_free = key && value->parsed && count_layers(y, value->parsed) == 1;
  value->parse_failed = !value->parsed;
  Val v = yaml_eval_node(y, value);
  if (key) name_value(y, &v, y->key);
  y->key = NULL;
  y->key_is_free = false;
  return v;
}

static const char *step_name(Yaml *y, const YNode *key) {
  const XName *name = yaml_name(y->ctx, key);
  return name ? yaml_eval_name(y, name, key->loc) : NULL;
}

static void run_step(Yaml *y, const YNode *key, YNode *value, Run *run) {
  if (run->returned) {
    yaml_fail(y, key->loc, "nothing may follow 'return'");
    return;
  }
  if (strcmp(key->text, "return") == 0) {
    run->last = eval_step(y, value, NULL);
    run->returned = true;
  } else if (strchr(key->text, ',')) {
    run->last = bind_several(y, key, eval_step(y, value, NULL));
  } else {
    const char *name = step_name(y, key);
    run->last = eval_step(y, value, name);
    if (name) yaml_bind(y, y->frame, name, run->last);
  }
}

// ---- repetition ---------------------------------------------------------------------------------------------------

// Variables that run over lists together.
typedef struct Loop {
  Vec(const char *) names;
  Vec(Val) lists;
  int count;
} Loop;

static bool loop_over(Yaml *y, const YNode *n, Loop *l) {
  if (n->kind != Y_MAP || !n->pairs.n) {
    yaml_fail(y, n->loc, "'for' takes variables and lists: {i: 1..4, width: [64, 128, 256, 512]}");
    return false;
  }
  for (int i = 0; i < n->pairs.n; i++) {
    const YPair *p = &n->pairs.data[i];
    Val v = yaml_eval_node(y, p->value);
    if (v.kind == V_ERROR) return false;
    if (v.kind != V_LIST)
      return yaml_fail(y, p->value->loc, "'%s' needs a list, not %s", p->key->text, val_kind(&v)), false;
    if (i && v.n != l->count) {
      yaml_fail(y, p->value->loc, "'%s' has %d items, '%s' has %d", p->key->text, v.n, l->names.data[0],
                l->count);
      return false;
    }
    l->count = v.n;
    vec_push(y->ctx->arena, &l->names, p->key->text);
    vec_push(y->ctx->arena, &l->lists, v);
  }
  return true;
}

static bool loop_repeat(Yaml *y, YNode *n, Loop *l) {
  Val v = yaml_eval_node(y, n);
  int64_t count;
  if (!yaml_int(y, &v, n->loc, "the number of repetitions", &count)) return false;
  if (count < 0 || count > YAML_MAX_STEPS)
    return yaml_fail(y, n->loc, "%lld repetitions", (long long)count), false;
  l->count = (int)count;
  return true;
}

// The pairs after `for` or `repeat`, or what stands under `do`.
static void run_body(Yaml *y, const YNode *item, Run *run) {
  for (int i = 1; i < item->pairs.n; i++) {
    const YPair *p = &item->pairs.data[i];
    if (strcmp(p->key->text, "do") == 0)
      run_node(y, p->value, run);
    else
      run_step(y, p->key, p->value, run);
  }
}

static void run_loop(Yaml *y, const YNode *item, Run *run) {
  const YPair *head = &item->pairs.data[0];
  Loop l = {0};
  bool repeat = strcmp(head->key->text, "repeat") == 0;
  if (!(repeat ? loop_repeat(y, head->value, &l) : loop_over(y, head->value, &l))) {
    run->last = VAL_ERROR;
    return;
  }
  for (int i = 0; i < l.count && yaml_tick(y, head->key->loc); i++) { // an empty body takes time too
    if (repeat) yaml_bind(y, y->frame, "i", val_int(i));
    for (int k = 0; k < l.names.n; k++) yaml_bind(y, y->frame, l.names.data[k], l.lists.data[k].items[i]);
    run_body(y, item, run);
  }
}

static bool is_loop(const YNode *n) {
  if (n->kind != Y_MAP || !n->pairs.n) return false;
  const char *first = n->pairs.data[0].key->text;
  return strcmp(first, "for") == 0 || strcmp(first, "repeat") == 0;
}

static void run_node(Yaml *y, YNode *n, Run *run) {
  if (is_loop(n)) {
    run_loop(y, n, run);
  } else if (n->kind == Y_MAP) {
    for (int i = 0; i < n->pairs.n; i++) run_step(y, n->pairs.data[i].key, n->pairs.data[i].value, run);
  } else if (n->kind == Y_LIST) {
    for (int i = 0; i < n->items.n; i++) run_node(y, n->items.data[i], run);
  } else {
    run->last = eval_step(y, n, NULL);
  }
}

Val yaml_run_steps(Yaml *y, YNode *steps) {
  Run run = {.last = {.kind = V_NONE}};
  run_node(y, steps, &run);
  return run.last;
}
