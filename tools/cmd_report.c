// cmd_report.c: `ingot report MODEL|LIB -o report.html`: one page that shows what was made of a model.
// SPDX-License-Identifier: Apache-2.0
//
// A model is compiled under observation: its graph after each pass that changed it, the passes' remarks, kernels at
// every level, and a profile of the library if it runs on this machine. Of a library there are its description and
// profile, and its graph if the dump that -g writes lies beside it.
#include <stdlib.h>
#include <unistd.h>

#include "tools/profile.h"
#include "tools/report.h"

enum { OPT_SECONDS = 512, OPT_NO_PROFILE };

typedef struct ReportArgs {
  BuildArgs build; // first: the child parser's input
  const char *file, *out;
  double seconds;
  bool no_profile;
} ReportArgs;

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0,
     "the page (default: NAME.html); a graph alone if FILE ends in .dot (Graphviz) or .json (Model Explorer)",
     0},
    {"seconds", OPT_SECONDS, "S", 0, "profile for at least so long (default 1)", 0},
    {"no-profile", OPT_NO_PROFILE, NULL, 0, "do not run the model", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  ReportArgs *a = state->input;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &a->build; return 0;
  case 'o': a->out = arg; return 0;
  case OPT_NO_PROFILE: a->no_profile = true; return 0;
  case OPT_SECONDS: a->seconds = number_option(arg, 0, 1e6, state, "--seconds"); return 0;
  default: return file_option(key, arg, state, &a->file, "file");
  }
}

// ---- a model, pass by pass ----------------------------------------------------------------------------------

enum { MANY_NODES = 1500 };

typedef struct Report {
  ReportArgs *a;
  Tool *t;
  cJSON *data, *passes, *graphs;
} Report;

static void add_graph(Report *r, const Module *m) {
  cJSON_AddItemToArray(r->graphs, report_graph(r->t, m));
}

static void add_pass(Report *r, const Module *m, const char *name, const char *doc, double seconds,
                     bool graph) {
  static const char *const levels[] = {"graph", "kernels", "loops"};
  cJSON *o = cJSON_CreateObject();
  if (graph) add_graph(r, m);
  cJSON_AddStringToObject(o, "name", name);
  cJSON_AddStringToObject(o, "doc", doc);
  cJSON_AddStringToObject(o, "level", levels[m->level]);
  cJSON_AddNumberToObject(o, "ms", seconds * 1e3);
  cJSON_AddBoolToObject(o, "changed", graph);
  cJSON_AddNumberToObject(o, "graph", cJSON_GetArraySize(r->graphs) - 1);
  cJSON_AddItemToArray(r->passes, o);
}

// Of large models only the passes that end a level are drawn: placing thousands of nodes takes its time.
static bool after_pass(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  Report *r = data;
  bool last = strcmp(p->name, "dce") == 0 || strcmp(p->name, "memory") == 0;
  bool draw = changed && (m->main->nnodes <= MANY_NODES || last);
  if (strcmp(p->name, "lower") == 0) draw = false; // the graph is as it was
  add_pass(r, m, p->name, p->doc, seconds, draw);
  return true;
}

static void add_source(Report *r, const Module *m) {
  enum { LARGEST = 1 << 20 };
  const Node *n = m->main->first;
  const Source *src = m->main->inputs.n ? m->main->inputs.data[0]->loc.src : n ? n->loc.src : NULL;
  if (!src || !src->text || src->len > LARGEST) return;
  const char *slash = strrchr(src->path, '/');
  cJSON_AddStringToObject(r->data, "source_name", slash ? slash + 1 : src->path);
  cJSON_AddStringToObject(r->data, "source", src->text);
}

// ---- the library --------------------------------------------------------------------------------------------

static void delete_json(void *p) {
  cJSON_Delete(p);
}

static cJSON *metadata_of(Tool *t, const ingot_model *m) {
  cJSON *meta = model_json(m);
  if (meta) arena_defer(t->arena, delete_json, meta);
  return meta;
}

// Runs the library if this machine can. A model that cannot be run is no fault of the report's.
static void add_profile(Report *r, const char *library) {
  Session s;
  Profile p;
  ProfileHook hook = {.on = false};
  SessionOptions o = {.hook = profile_hook, .hook_user = &hook};
  BuildArgs args = r->a->build;
  if (r->a->no_profile) return;
  if (!session_open(&args, library, &o, &s) || !session_bind(&s, true) || !session_run(&s)) return;
  if (profile_run(&s, &hook, 3, r->a->seconds, metadata_of(r->t, s.model), &p))
    cJSON_AddItemToObject(r->data, "profile", profile_json(&p));
  cJSON_AddNumberToObject(r->data, "threads", s.threads);
}

static bool describe_library(Report *r, const char *library) {
  Loaded loaded;
  BuildArgs args = r->a->build;
  if (!model_load(&args, library, &loaded)) return false;
  cJSON *meta = metadata_of(r->t, loaded.model);
  if (meta) cJSON_AddItemToObject(r->data, "built", cJSON_Duplicate(meta, true));
  cJSON *kernels = cJSON_GetObjectItemCaseSensitive(r->data, "kernels");
  const char *assembly = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(r->data, "assembly"));
  if (kernels && assembly && meta) report_assembly(r->t, kernels, assembly, meta);
  cJSON_DeleteItemFromObjectCaseSensitive(r->data, "assembly");
  add_profile(r, library);
  return true;
}

// Code generation twice: once as text to show, once as a library to describe and to run.
static bool compile_module(Report *r, Module *m) {
  BuildArgs *b = &r->a->build;
  char *dir = tool_temp_folder(r->t);
  const uint8_t *text;
  size_t size;
  if (!dir) return false;
  char *asm_path = tool_printf(r->t, "%s/model.s", dir), *library = tool_printf(r->t, "%s/model.so", dir);
  b->codegen.debug_info = false;
  b->codegen.emit = EMIT_ASM;
  if (!driver_emit(b, &(Form){.module = m}, 1, asm_path) ||
      !file_map(r->t->arena, r->t->diag, NO_LOC, asm_path, &text, &size))
    return false;
  cJSON_AddStringToObject(r->data, "assembly", arena_strndup(r->t->arena, (const char *)text, size));
  b->codegen.emit = EMIT_SHARED;
  b->codegen.instrument = true;
  b->codegen.header_path = tool_printf(r->t, "%s/model.h", dir);
  return driver_emit(b, &(Form){.module = m}, 1, library) && describe_library(r, library);
}

// ---- both ---------------------------------------------------------------------------------------------------

static bool report_model(Report *r, const char *path) {
  BuildArgs *b = &r->a->build;
  Module *m = driver_load(b, path);
  if (!m) return false;
  module_unique_names(m);
  m->wants_remarks = m->wants_work = true;
  cJSON_AddStringToObject(r->data, "name", m->name);
  add_pass(r, m, "input", "The model as it was read.", 0, true);
  add_source(r, m);
  if (!driver_passes_with(b, m, after_pass, r)) return false;
  cJSON_AddItemToObject(r->data, "remarks", report_remarks(m));
  cJSON_AddItemToObject(r->data, "kernels", report_kernels(r->t, m));
  return m->level == LEVEL_LOOPS ? compile_module(r, m) : true;
}

// libx.so -> libx.ing, if -g has written that.
static bool report_library(Report *r, const char *path) {
  Loaded loaded;
  BuildArgs args = r->a->build;
  if (!model_load(&args, path, &loaded)) return false;
  const char *dot = strrchr(path, '.');
  char *dump = tool_printf(r->t, "%.*s.ing", dot ? (int)(dot - path) : (int)strlen(path), path);
  Module *m = access(dump, R_OK) == 0 ? driver_load(&r->a->build, dump) : NULL;
  cJSON_AddStringToObject(r->data, "name", ingot_model_name(loaded.model));
  if (m) {
    add_pass(r, m, "library", "The loops that the library was made from.", 0, true);
    cJSON_AddItemToObject(r->data, "kernels", report_kernels(r->t, m));
  }
  return describe_library(r, path);
}

static bool ends_in(const char *path, const char *suffix) {
  size_t n = strlen(path), k = strlen(suffix);
  return n > k && strcmp(path + n - k, suffix) == 0;
}

// Only the graph, after the passes that were asked for (none, if not said otherwise).
static bool write_graph(ReportArgs *a, bool dot) {
  Tool *t = a->build.tool;
  Str text = {.arena = t->arena};
  Module *m = driver_load(&a->build, a->file);
  if (!m) return false;
  module_unique_names(m);
  bool pass = a->build.stop_after || a->build.passes;
  if (pass && !driver_passes(&a->build, m)) return false;
  if (dot)
    graph_to_dot(&text, m, false);
  else
    graph_to_explorer(t, &text, m);
  OutFile *f = file_create(t->arena, t->diag, a->out);
  if (!f) return false;
  fwrite(text.s, 1, text.n, file_stream(f));
  return file_commit(f);
}

static bool report(ReportArgs *a) {
  Tool *t = a->build.tool;
  bool library;
  if (a->out && (ends_in(a->out, ".dot") || ends_in(a->out, ".json")))
    return write_graph(a, ends_in(a->out, ".dot"));
  if (!is_library(t, a->file, &library)) return false;
  Report r = {.a = a, .t = t, .data = cJSON_CreateObject()};
  arena_defer(t->arena, delete_json, r.data);
  cJSON_AddStringToObject(r.data, "version", INGOT_VERSION);
  r.passes = cJSON_AddArrayToObject(r.data, "passes");
  r.graphs = cJSON_AddArrayToObject(r.data, "graphs");
  if (!(library ? report_library(&r, a->file) : report_model(&r, a->file))) return false;
  const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(r.data, "name"));
  if (!a->out) a->out = tool_printf(t, "%s.html", name);
  return report_write(t, r.data, name, a->out);
}

int cmd_report(Tool *t, int argc, char **argv) {
  static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
  static const struct argp argp = {
      options,
      parse,
      "MODEL|LIB",
      "Write one self-contained page: the graph after each pass, kernels down to assembly, "
      "the passes' reasons, memory over time, profile and roofline.",
      children,
      NULL,
      NULL};
  ReportArgs a = {.build = build_args(t), .seconds = 1};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &a, &code)) return code;
  return report(&a) ? EXIT_FINE : EXIT_INPUT;
}
