// dump.c: what --dump writes after a pass: the whole module, one kernel, or the difference to the pass before.
// SPDX-License-Identifier: Apache-2.0
#include "tools/dump.h"

#include "tools/textdiff.h"

struct Dumps {
  BuildArgs *args;
  BlobFile *blobs;
  const char *before, *before_name; // the module as it was written last, for --diff
  bool any;                         // something was dumped
};

Dumps *dumps_new(BuildArgs *a) {
  Dumps *d = NEW(a->tool->arena, Dumps);
  d->args = a;
  return d;
}

static bool wanted(const BuildArgs *a, const char *pass, bool changed) {
  for (int i = 0; i < a->dumps.n; i++) {
    const char *what = a->dumps.data[i];
    if (strcmp(what, "all") == 0 || (changed && strcmp(what, "changed") == 0)) return true;
    if (strncmp(what, "after:", 6) == 0 && strcmp(what + 6, pass) == 0) return true;
  }
  return false;
}

static bool to_terminal(const BuildArgs *a) {
  return a->dump_dir && strcmp(a->dump_dir, "-") == 0;
}

static bool prepare(Dumps *d, const Module *m) {
  BuildArgs *a = d->args;
  if (d->blobs || to_terminal(a)) return true;
  if (!a->dump_dir) a->dump_dir = tool_printf(a->tool, "%s.dump", m->name);
  if (!driver_make_folder(a->tool, a->dump_dir)) return false;
  d->blobs = blob_new(a->tool->ctx, tool_printf(a->tool, "%s/%s.weights", a->dump_dir, m->name));
  return d->blobs != NULL;
}

// ---- one kernel ---------------------------------------------------------------------------------------------

static void add_once(Arena *a, Graph *g, Value *v) {
  for (int i = 0; i < g->consts.n; i++)
    if (g->consts.data[i] == v) return;
  for (int i = 0; i < g->inputs.n; i++)
    if (g->inputs.data[i] == v) return;
  if (v->data)
    vec_push(a, &g->consts, v);
  else
    vec_push(a, &g->inputs, v);
}

Module *module_of_kernel(Tool *t, const Module *m, const char *name) {
  const Node *n = graph_find_kernel(m->main, name);
  if (!n) return NULL;
  Module *one = arena_dup(t->arena, m, sizeof *m);
  Graph *g = one->main = NEW(t->arena, Graph);
  *g = (Graph){.ctx = m->ctx, .module = one, .name = "main", .nnodes = 1};
  g->first = g->last = arena_dup(t->arena, n, sizeof *n);
  g->first->next = g->first->prev = NULL;
  for (int i = 0; i < n->nin; i++)
    if (n->in[i]) add_once(t->arena, g, n->in[i]);
  for (int i = 0; i < n->nout; i++) {
    vec_push(t->arena, &g->outputs, n->out[i]);
    vec_push(t->arena, &g->output_names, n->out[i]->name);
  }
  return one;
}

// ---- writing ------------------------------------------------------------------------------------------------

bool dump_write(Tool *t, const char *path, const Str *text) {
  if (strcmp(path, "-") == 0) return fwrite(text->s, 1, text->n, stderr) == text->n;
  OutFile *f = file_create(t->arena, t->diag, path);
  if (!f) return false;
  fwrite(text->s, 1, text->n, file_stream(f));
  return file_commit(f);
}

static const char *path_of(const Dumps *d, const Module *m, const char *pass, const char *suffix) {
  if (to_terminal(d->args)) return "-";
  return tool_printf(d->args->tool, "%s/%02d-%s.%s", d->args->dump_dir, m->passes.n, pass, suffix);
}

// The module without what changes all the time: counters, locations.
static bool write_difference(Dumps *d, const Module *m, const char *pass) {
  Tool *t = d->args->tool;
  Str now = {.arena = t->arena}, text = {.arena = t->arena};
  module_print_plain(&now, m);
  const char *before = d->before ? d->before : "", *name = d->before_name ? d->before_name : "nothing";
  bool differs = text_diff(&text, before, str_text(&now), name, pass, 2);
  d->before = str_text(&now);
  d->before_name = pass;
  return !differs || dump_write(t, path_of(d, m, pass, "diff"), &text);
}

static bool write_whole(Dumps *d, const Module *m, const char *pass) {
  Str text = {.arena = d->args->tool->arena};
  if (to_terminal(d->args)) {
    str_printf(&text, "# after %s\n", pass);
    module_print_plain(&text, m);
  } else {
    module_print(&text, m, d->blobs);
  }
  return dump_write(d->args->tool, path_of(d, m, pass, "ing"), &text);
}

typedef Vec(const char *) NameList;

static void add_kernels(Arena *a, const Graph *g, NameList *list) {
  for (const Node *n = g->first; n; n = n->next) {
    if (n->kernel) vec_push(a, list, n->kernel->name);
    for (int i = 0; i < n->nregions; i++) add_kernels(a, n->region[i], list);
  }
}

void dumps_close(Dumps *d, const Module *m) {
  BuildArgs *a = d->args;
  if (!a->dump_kernel || d->any) return;
  NameList names = {0};
  add_kernels(a->tool->arena, m->main, &names);
  const char *near = nearest_word(a->dump_kernel, names.data, names.n);
  diag_warn(a->tool->diag, NO_LOC, "nothing was dumped of a kernel '%s'%s%s%s", a->dump_kernel,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

bool dump_after(Dumps *d, const Module *m, const char *pass, bool changed) {
  BuildArgs *a = d->args;
  if (!wanted(a, pass, changed)) return true;
  if (a->dump_kernel && !(m = module_of_kernel(a->tool, m, a->dump_kernel))) return true; // not there yet
  d->any = true;
  if (!prepare(d, m)) return false;
  return a->dump_diff ? write_difference(d, m, pass) : write_whole(d, m, pass);
}
