// cmd_inspect.c: `ingot inspect FILE`: what is in a library, a model file or an IR dump.
// SPDX-License-Identifier: Apache-2.0
//
// Both kinds of file are first described as one JSON tree, which --json prints as it is and the text form
// walks; so the two can never tell different things.
#include <cjson/cJSON.h>
#include <stdlib.h>

#include "runtime/ingot.h"
#include "tools/inspect.h"

enum { OPT_JSON = 512 };

typedef struct InspectArgs {
  BuildArgs build;
  const char *file;
  bool json;
} InspectArgs;

static const struct argp_option options[] = {
    {"json", OPT_JSON, NULL, 0, "print one JSON object", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  InspectArgs *a = state->input;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &a->build; return 0;
  case OPT_JSON: a->json = true; return 0;
  default: return file_option(key, arg, state, &a->file, "file");
  }
}

// ---- a compiled library -----------------------------------------------------------------------------------

static cJSON *tensor_json(Tool *t, const ingot_model *m, bool output, int i) {
  const struct ingot_tensor_info *info = output ? ingot_output_info(m, i) : ingot_input_info(m, i);
  Type type = model_type(t, m, output, i);
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "name", info->name);
  cJSON_AddStringToObject(o, "type", type_text(t->ctx, &type));
  cJSON_AddNumberToObject(o, "bytes", (double)info->bytes);
  cJSON_AddNumberToObject(o, "align", info->align);
  if (info->limit) cJSON_AddNumberToObject(o, "limit", info->limit);
  return o;
}

static cJSON *symbol_json(const ingot_model *m, int i) {
  static const char *const kinds[] = {"input", "derived", "found in the run", "set by the caller",
                                      "kept from run to run"};
  const struct ingot_symbol *s = ingot_symbol_info(m, i);
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "name", s->name);
  cJSON_AddNumberToObject(o, "min", (double)s->min);
  cJSON_AddNumberToObject(o, "max", (double)s->bound);
  if (s->kind >= 0 && s->kind < ARRAY_LEN(kinds)) cJSON_AddStringToObject(o, "from", kinds[s->kind]);
  return o;
}

// What the executor knows, then everything that the metadata says beside it.
static cJSON *describe_library(Tool *t, const char *path, const ingot_model *m) {
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "file", path);
  cJSON_AddStringToObject(o, "kind", "library");
  cJSON_AddStringToObject(o, "name", ingot_model_name(m));
  cJSON *list = cJSON_AddArrayToObject(o, "inputs");
  for (int i = 0; i < ingot_input_count(m); i++) cJSON_AddItemToArray(list, tensor_json(t, m, false, i));
  list = cJSON_AddArrayToObject(o, "outputs");
  for (int i = 0; i < ingot_output_count(m); i++) cJSON_AddItemToArray(list, tensor_json(t, m, true, i));
  list = cJSON_AddArrayToObject(o, "symbols");
  for (int i = 0; i < ingot_symbol_count(m); i++) cJSON_AddItemToArray(list, symbol_json(m, i));
  cJSON_AddNumberToObject(o, "context_bytes", (double)ingot_ctx_bytes(m, NULL));
  cJSON_AddNumberToObject(o, "state_bytes", (double)ingot_state_bytes(m));
  cJSON *meta = model_json(m);
  for (cJSON *item = meta ? meta->child : NULL; item;) {
    cJSON *next = item->next;
    if (!cJSON_GetObjectItemCaseSensitive(o, item->string))
      cJSON_AddItemToObject(o, item->string, cJSON_DetachItemViaPointer(meta, item));
    item = next;
  }
  cJSON_Delete(meta);
  return o;
}

// ---- a model file or dump ---------------------------------------------------------------------------------

static cJSON *value_json(Ctx *c, const char *name, const Value *v) {
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "name", name ? name : "");
  cJSON_AddStringToObject(o, "type", type_text(c, &v->type));
  cJSON_AddNumberToObject(o, "bytes", (double)type_bytes(&v->type));
  return o;
}

static cJSON *sym_json(const Sym *s) {
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "name", s->name);
  cJSON_AddNumberToObject(o, "min", (double)s->min);
  cJSON_AddNumberToObject(o, "max", (double)s->max);
  return o;
}

// Totals over a graph and its regions.
typedef struct Totals {
  int nodes;
  double parameters, weights_bytes;
  int *ops;      // by op number; kernels behind all ops
  double *flops; // the same, regions not included
} Totals;

static int op_index(Ctx *c, const Op *op) {
  int i = 0;
  while (i < op_count(c) && op_at(c, i) != op) i++;
  return i;
}

static void count_graph(Ctx *c, const Graph *g, Totals *sum) {
  for (int i = 0; i < g->consts.n; i++) {
    const Type *type = &g->consts.data[i]->type;
    if (dtype_is_float(type->dtype) || dtype_bytes(type->dtype) == 1)
      sum->parameters += (double)type_elements(type);
    sum->weights_bytes += (double)type_bytes(type);
  }
  for (const Node *n = g->first; n; n = n->next) {
    int op = op_index(c, n->op);
    double flops = node_flops(c, n);
    sum->nodes++;
    sum->ops[op]++;
    for (int i = 0; i < n->nregions; i++) {
      flops -= graph_flops(c, n->region[i]);
      count_graph(c, n->region[i], sum);
    }
    sum->flops[op] += flops;
  }
}

// {"kind": "product", "mr": 6, ...}, as in the metadata of libraries.
static cJSON *schedule_json(const Schedule *s) {
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "kind", s->kind);
  for (int i = 0; i < s->params.n; i++)
    cJSON_AddNumberToObject(o, s->params.data[i].name, (double)s->params.data[i].value);
  return o;
}

static cJSON *kernel_json(const Node *n) {
  const Kernel *k = n->kernel;
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "name", k->name ? k->name : "");
  if (k->routine) cJSON_AddStringToObject(o, "routine", k->routine);
  if (k->schedule.kind) cJSON_AddItemToObject(o, "schedule", schedule_json(&k->schedule));
  if (k->schedule.tuned) cJSON_AddBoolToObject(o, "tuned", true);
  cJSON_AddNumberToObject(o, "flops", (double)k->flops);
  cJSON_AddNumberToObject(o, "bytes", node_bytes(n->graph->ctx, n));
  Str from = {.arena = n->graph->ctx->arena};
  for (int i = 0; i < n->origins.n; i++) str_printf(&from, "%s%s", i ? ", " : "", n->origins.data[i].name);
  if (from.n) cJSON_AddStringToObject(o, "from", str_text(&from));
  return o;
}

static void add_totals(Ctx *c, cJSON *o, const Totals *sum) {
  cJSON_AddNumberToObject(o, "nodes", sum->nodes);
  cJSON_AddNumberToObject(o, "parameters", sum->parameters);
  cJSON_AddNumberToObject(o, "weights_bytes", sum->weights_bytes);
  double flops = sum->flops[op_count(c)];
  cJSON *ops = cJSON_AddArrayToObject(o, "ops");
  for (int i = 0; i < op_count(c); i++) {
    flops += sum->flops[i];
    if (!sum->ops[i]) continue;
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "op", op_at(c, i)->name);
    cJSON_AddNumberToObject(row, "count", sum->ops[i]);
    cJSON_AddNumberToObject(row, "flops", sum->flops[i]);
    cJSON_AddItemToArray(ops, row);
  }
  cJSON_AddNumberToObject(o, "flops", flops);
}

static void add_interface(Ctx *c, cJSON *o, const Module *m) {
  const Graph *g = m->main;
  cJSON *list = cJSON_AddArrayToObject(o, "inputs");
  for (int i = 0; i < g->inputs.n; i++)
    if (!state_of_input(g, i))
      cJSON_AddItemToArray(list, value_json(c, g->inputs.data[i]->name, g->inputs.data[i]));
  list = cJSON_AddArrayToObject(o, "outputs");
  for (int i = 0; i < g->outputs.n; i++)
    if (!state_of_output(g, i))
      cJSON_AddItemToArray(list, value_json(c, g->output_names.data[i], g->outputs.data[i]));
  list = g->states.n ? cJSON_AddArrayToObject(o, "states") : NULL;
  for (int i = 0; i < g->states.n; i++) {
    const Value *v = g->inputs.data[g->states.data[i].input];
    cJSON_AddItemToArray(list, value_json(c, v->name, v));
  }
  list = cJSON_AddArrayToObject(o, "symbols");
  for (int i = 0; i < m->syms.n; i++) cJSON_AddItemToArray(list, sym_json(m->syms.data[i]));
}

// The memory plan: every value of the arena, in the order in which they are computed.
static void add_memory(Ctx *c, cJSON *list, const Graph *g) {
  for (const Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nregions; i++) add_memory(c, list, n->region[i]);
    for (int i = 0; i < n->nout; i++) {
      const Value *v = n->out[i];
      if (v->space != SPACE_ARENA) continue;
      cJSON *o = value_json(c, v->name, v);
      if (v->layout) cJSON_AddStringToObject(o, "layout", layout_text(c, v->layout));
      cJSON_AddNumberToObject(o, "offset", (double)v->offset);
      cJSON_AddItemToArray(list, o);
    }
  }
}

static cJSON *describe_module(Tool *t, const char *path, const Module *m) {
  static const char *const levels[] = {"graph", "kernels", "loops"};
  cJSON *o = cJSON_CreateObject();
  cJSON_AddStringToObject(o, "file", path);
  cJSON_AddStringToObject(o, "kind", "model");
  cJSON_AddStringToObject(o, "name", m->name);
  cJSON_AddStringToObject(o, "level", levels[m->level]);
  add_interface(t->ctx, o, m);
  Totals sum = {.ops = NEW_ARRAY(t->arena, int, op_count(t->ctx) + 1),
                .flops = NEW_ARRAY(t->arena, double, op_count(t->ctx) + 1)};
  count_graph(t->ctx, m->main, &sum);
  add_totals(t->ctx, o, &sum);
  if (m->arena_bytes) cJSON_AddNumberToObject(o, "arena_bytes", (double)m->arena_bytes);
  cJSON *list = m->passes.n ? cJSON_AddArrayToObject(o, "passes") : NULL;
  for (int i = 0; i < m->passes.n; i++) cJSON_AddItemToArray(list, cJSON_CreateString(m->passes.data[i]));
  list = m->level > LEVEL_GRAPH ? cJSON_AddArrayToObject(o, "kernels") : NULL;
  for (const Node *n = m->main->first; n; n = n->next)
    if (n->kernel) cJSON_AddItemToArray(list, kernel_json(n));
  if (m->arena_bytes) add_memory(t->ctx, cJSON_AddArrayToObject(o, "memory"), m->main);
  cJSON *meta = cJSON_AddObjectToObject(o, "meta");
  for (int i = 0; i < m->meta.n; i++)
    cJSON_AddStringToObject(meta, m->meta.data[i].key, m->meta.data[i].value);
  return o;
}

// ---- text -------------------------------------------------------------------------------------------------

static const cJSON *item(const cJSON *o, const char *key) {
  return cJSON_GetObjectItemCaseSensitive(o, key);
}

static const char *text_of(const cJSON *o, const char *key) {
  const char *s = cJSON_GetStringValue(item(o, key));
  return s ? s : "";
}

static double number_of(const cJSON *o, const char *key) {
  const cJSON *v = item(o, key);
  return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

// 12345678 -> "12.3 M", by thousands or, for bytes, by 1024.
static const char *scaled(Tool *t, double v, double step) {
  static const char *const thousands[] = {"", " k", " M", " G", " T", " P"};
  static const char *const binary[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB"};
  int i = 0;
  for (; v >= step && i < 5; i++) v /= step;
  return tool_printf(t, i == 0 ? "%.0f%s" : "%.2f%s", v, step == 1024 ? binary[i] : thousands[i]);
}

static void print_tensors(const cJSON *o, const char *key) {
  const cJSON *x;
  cJSON_ArrayForEach(x, item(o, key)) {
    printf("%-8s %-20s %s\n", x->prev && x->prev->next ? "" : key, text_of(x, "name"), text_of(x, "type"));
  }
}

static void print_symbols(const cJSON *o) {
  const cJSON *x;
  cJSON_ArrayForEach(x, item(o, "symbols")) {
    if (number_of(x, "min") < INT32_MIN) continue; // an extent of a special form, without a range
    printf("%-8s %-20s %.0f to %.0f%s%s\n", x->prev && x->prev->next ? "" : "symbols", text_of(x, "name"),
           number_of(x, "min"), number_of(x, "max"), *text_of(x, "from") ? ", " : "", text_of(x, "from"));
  }
}

static void print_ops(Tool *t, const cJSON *o) {
  const cJSON *x;
  if (cJSON_GetArraySize(item(o, "ops")) == 0) return;
  printf("\n%6s %12s  op\n", "count", "flops");
  cJSON_ArrayForEach(x, item(o, "ops")) {
    printf("%6.0f %12s  %s\n", number_of(x, "count"), scaled(t, number_of(x, "flops"), 1000),
           text_of(x, "op"));
  }
}

// "product(mr=6, nr=16)"
static const char *schedule_text(Tool *t, const cJSON *kernel) {
  if (item(kernel, "routine")) return "routine";
  const cJSON *schedule = item(kernel, "schedule"), *x;
  if (!schedule) return "";
  Str text = {.arena = t->arena};
  str_puts(&text, text_of(schedule, "kind"));
  const char *mark = "(";
  cJSON_ArrayForEach(x, schedule) {
    if (!cJSON_IsNumber(x)) continue;
    str_printf(&text, "%s%s=%.0f", mark, x->string, x->valuedouble);
    mark = ", ";
  }
  if (*mark == ',') str_puts(&text, ")");
  if (cJSON_IsTrue(item(kernel, "tuned"))) str_puts(&text, " tuned");
  return str_text(&text);
}

static void print_kernels(Tool *t, const cJSON *o) {
  const cJSON *x;
  if (!item(o, "kernels") || cJSON_GetArraySize(item(o, "kernels")) == 0) return;
  printf("\n%10s %12s  kernel\n", "flops", "bytes");
  cJSON_ArrayForEach(x, item(o, "kernels")) {
    if (item(x, "chooses")) continue;
    printf("%10s %12s  %s  %s%s%s\n", scaled(t, number_of(x, "flops"), 1000),
           scaled(t, number_of(x, "bytes"), 1024), text_of(x, "name"), schedule_text(t, x),
           *text_of(x, "from") ? "  from " : "", text_of(x, "from"));
  }
}

static void print_plan(Tool *t, const cJSON *o) {
  const cJSON *x;
  if (!item(o, "memory") || cJSON_GetArraySize(item(o, "memory")) == 0) return;
  printf("\n%12s %12s  value in the arena\n", "offset", "bytes");
  cJSON_ArrayForEach(x, item(o, "memory")) {
    printf("%12.0f %12s  %s  %s\n", number_of(x, "offset"), scaled(t, number_of(x, "bytes"), 1024),
           text_of(x, "name"), text_of(x, "type"));
  }
}

// Every number and text of the tree that has no table of its own and was not `told` before.
static void print_facts(Tool *t, const cJSON *o, const cJSON *told) {
  const cJSON *x;
  cJSON_ArrayForEach(x, o) {
    size_t n = strlen(x->string);
    if (item(told, x->string)) continue;
    bool bytes = n > 6 && strcmp(x->string + n - 6, "_bytes") == 0;
    if (cJSON_IsNumber(x)) printf("%-14s %s\n", x->string, scaled(t, x->valuedouble, bytes ? 1024 : 1000));
    if (cJSON_IsString(x) && !strchr(x->valuestring, '\n')) printf("%-14s %s\n", x->string, x->valuestring);
  }
}

static void print_weights(Tool *t, const cJSON *o) {
  const cJSON *x, *d;
  if (item(o, "tensors")) printf("%10s  %-6s tensor\n", "bytes", "type");
  cJSON_ArrayForEach(x, item(o, "tensors")) {
    printf("%10s  %-6s %s [", scaled(t, number_of(x, "bytes"), 1024), text_of(x, "dtype"),
           text_of(x, "name"));
    cJSON_ArrayForEach(d, item(x, "shape"))
        printf("%s%.0f", d->prev && d->prev->next ? "," : "", d->valuedouble);
    puts("]");
  }
}

static void print_text(Tool *t, const cJSON *o) {
  print_facts(t, o, NULL);
  print_facts(t, item(o, "meta"), o);
  const cJSON *x;
  if (item(o, "passes")) printf("%-14s", "passes");
  cJSON_ArrayForEach(x, item(o, "passes")) printf(" %s", cJSON_GetStringValue(x));
  puts(item(o, "passes") ? "\n" : "");
  if (item(o, "specialized")) printf("%-14s", "specialized");
  cJSON_ArrayForEach(x, item(o, "specialized")) printf(" %s", cJSON_GetStringValue(x));
  if (item(o, "specialized")) puts("\n");
  print_tensors(o, "inputs");
  print_tensors(o, "outputs");
  print_tensors(o, "states");
  print_symbols(o);
  print_ops(t, o);
  print_kernels(t, o);
  print_plan(t, o);
  print_weights(t, o);
}

// ---- the command ------------------------------------------------------------------------------------------

static cJSON *describe(InspectArgs *a) {
  Tool *t = a->build.tool;
  bool library;
  const uint8_t *data;
  size_t size;
  if (!is_library(t, a->file, &library) || !file_map(t->arena, t->diag, NO_LOC, a->file, &data, &size))
    return NULL;
  if (is_safetensors(data, size)) return describe_safetensors(t, a->file, data, size);
  if (library) {
    Loaded loaded;
    return model_load(&a->build, a->file, &loaded) ? describe_library(t, a->file, loaded.model) : NULL;
  }
  Module *m = driver_load(&a->build, a->file);
  return m ? describe_module(t, a->file, m) : NULL;
}

int cmd_inspect(Tool *t, int argc, char **argv) {
  static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
  static const struct argp argp = {
      options,  parse, "FILE", "Tell what is in a compiled library, a model file or an IR dump.",
      children, NULL,  NULL};
  InspectArgs a = {.build = build_args(t)};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &a, &code)) return code;
  cJSON *o = describe(&a);
  if (!o) return EXIT_INPUT;
  char *text = a.json ? cJSON_Print(o) : NULL;
  if (text) puts(text);
  if (!a.json) print_text(t, o);
  cJSON_free(text);
  cJSON_Delete(o);
  return EXIT_FINE;
}
