// driver.c: the way from a model file to an artefact: load, passes, dumps, code generation.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tool.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void print_passes(FILE *out) {
  static const char *const levels[] = {"graph", "kernels", "loops"};
  for (int i = 0; i < pass_count(); i++) {
    const Pass *p = pass_at(i);
    fprintf(out, "%-14s -O%d  %-7s -> %-7s  %s\n", p->name, p->min_opt, levels[p->from], levels[p->to],
            p->doc);
  }
}

static bool bind_target(BuildArgs *a, Module *m) {
  Tool *t = a->tool;
  if (!a->target) {
    if (!m->target) m->target = target_default(t->ctx);
    return true;
  }
  const Target *target = target_find(t->ctx, a->target);
  if (!target) {
    diag_error(t->diag, NO_LOC, "unknown target '%s'; `--target=help` lists them", a->target);
    return false;
  }
  if (m->level != LEVEL_GRAPH && m->target && strcmp(m->target->name, target->name) != 0) {
    diag_error(t->diag, NO_LOC, "this dump was already made for target %s and cannot become %s",
               m->target->name, target->name);
    return false;
  }
  m->target = target;
  return true;
}

Module *driver_load(BuildArgs *a, const char *path) {
  Module *m = frontend_load(a->tool->ctx, path, &a->frontend);
  if (!m || diag_errors(a->tool->diag) > 0) return NULL;
  return bind_target(a, m) ? m : NULL;
}

// ---- passes with dumps ------------------------------------------------------------------------------------

typedef struct PassRun {
  BuildArgs *args;
  Module *module;
  BlobFile *blobs;
  double total;
  bool shown; // a progress line stands on the terminal
} PassRun;

static void progress(PassRun *r, const char *what) {
  Tool *t = r->args->tool;
  if (!t->terminal || r->args->time_passes) return;
  fprintf(stderr, "\r\033[K%s: %s", r->module->name, what);
  fflush(stderr);
  r->shown = true;
}

static void progress_end(PassRun *r) {
  if (r->shown) fputs("\r\033[K", stderr);
  r->shown = false;
}

static bool wants_dump(const BuildArgs *a, const char *pass) {
  for (int i = 0; i < a->dumps.n; i++)
    if (strcmp(a->dumps.data[i], "all") == 0 || strcmp(a->dumps.data[i] + strlen("after:"), pass) == 0)
      return true;
  return false;
}

static bool write_text(Tool *t, const char *path, const Str *text) {
  OutFile *f = file_create(t->arena, t->diag, path);
  if (!f) return false;
  fwrite(text->s, 1, text->n, file_stream(f));
  return file_commit(f);
}

static bool write_module(PassRun *r, const char *path) {
  Str text = {.arena = r->args->tool->arena};
  module_print(&text, r->module, r->blobs);
  return write_text(r->args->tool, path, &text);
}

static bool dump_prepare(PassRun *r) {
  Tool *t = r->args->tool;
  if (r->args->dumps.n == 0 || r->blobs) return true;
  if (!r->args->dump_dir) r->args->dump_dir = tool_printf(t, "%s.dump", r->module->name);
  if (mkdir(r->args->dump_dir, 0777) < 0 && errno != EEXIST) {
    diag_error(t->diag, NO_LOC, "cannot make folder '%s': %s", r->args->dump_dir, strerror(errno));
    return false;
  }
  r->blobs = blob_new(t->ctx, tool_printf(t, "%s/%s.weights", r->args->dump_dir, r->module->name));
  return r->blobs != NULL;
}

static bool after_pass(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  PassRun *r = data;
  Tool *t = r->args->tool;
  r->module = m;
  r->total += seconds;
  progress(r, p->name);
  if (r->args->time_passes)
    fprintf(stderr, "%9.3f ms  %s%s\n", seconds * 1e3, p->name, changed ? "" : " (no change)");
  if (!wants_dump(r->args, p->name)) return true;
  if (!dump_prepare(r)) return false;
  return write_module(r, tool_printf(t, "%s/%02d-%s.ing", r->args->dump_dir, m->passes.n, p->name));
}

bool driver_passes(BuildArgs *a, Module *m) {
  PassRun r = {.args = a, .module = m};
  PassHooks hooks = {.after = after_pass, .data = &r, .verify_each = a->verify_each};
  CodegenOptions fold = a->codegen;
  fold.debug_info = false;
  a->pass.compiled_eval = jit_eval_values;
  a->pass.compiled_eval_data = &fold;
  if (a->dumps.n && wants_dump(a, "")) { // all: also what the front end made
    if (!dump_prepare(&r) || !write_module(&r, tool_printf(a->tool, "%s/00-input.ing", a->dump_dir)))
      return false;
  }
  bool ok = passes_run(m, &a->pass, a->passes, a->stop_after, &hooks) && diag_errors(a->tool->diag) == 0;
  progress_end(&r);
  if (a->time_passes) fprintf(stderr, "%9.3f ms  all passes\n", r.total * 1e3);
  return ok;
}

bool driver_compile(BuildArgs *a, const char *path, const char *out) {
  Tool *t = a->tool;
  Module *m = driver_load(a, path);
  if (!m || !driver_passes(a, m)) return false;
  if (a->stop_after) return true;
  PassRun r = {.args = a, .module = m};
  progress(&r, "generating code");
  double start = seconds_now();
  a->codegen.source_path = path;
  a->codegen.options_text = a->command_line;
  bool ok = codegen_write(m, &a->codegen, out);
  progress_end(&r);
  if (a->time_passes)
    fprintf(stderr, "%9.3f ms  code generation and linking\n", (seconds_now() - start) * 1e3);
  return ok && diag_errors(t->diag) == 0;
}
