// driver.c: the way from a model file to an artefact: load, passes, dumps, code generation.
// SPDX-License-Identifier: Apache-2.0
#include "tools/dump.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char *const LEVEL_NAMES[] = {"graph", "kernels", "loops"};

void print_passes(FILE *out) {
  for (int i = 0; i < pass_count(); i++) {
    const Pass *p = pass_at(i);
    fprintf(out, "%-14s -O%d  %-7s -> %-7s  %s\n", p->name, p->min_opt, LEVEL_NAMES[p->from],
            LEVEL_NAMES[p->to], p->doc);
  }
}

static void unknown_target(Tool *t, const char *name) {
  Vec(const char *) names = {0};
  for (int i = 0; i < target_count(); i++) vec_push(t->arena, &names, target_at(i)->name);
  const char *near = nearest_word(name, names.data, names.n);
  if (near)
    diag_error(t->diag, NO_LOC, "unknown target '%s'; did you mean '%s'?", name, near);
  else
    diag_error(t->diag, NO_LOC, "unknown target '%s'; `--target=help` lists them", name);
}

static bool bind_target(BuildArgs *a, Module *m) {
  Tool *t = a->tool;
  if (!a->target) {
    if (!m->target) m->target = target_default(t->ctx);
    return true;
  }
  const Target *target = target_find(t->ctx, a->target);
  if (!target) {
    unknown_target(t, a->target);
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

const char *meta_get(const Module *m, const char *key) {
  for (int i = 0; i < m->meta.n; i++)
    if (strcmp(m->meta.data[i].key, key) == 0) return m->meta.data[i].value;
  return NULL;
}

// The file is mapped for as long as that takes: the front end has it mapped too, and twice is much for gigabytes.
static bool hash_model(Tool *t, const char *path, uint64_t *hash) {
  const uint8_t *data;
  size_t size;
  Arena *a = arena_new(arena_oom(t->arena));
  bool ok = file_map(a, t->diag, NO_LOC, path, &data, &size);
  if (ok) *hash = hash_bytes(data, size);
  arena_free(a);
  return ok;
}

// Where the module came from and how it was made, for the self-description. Kept in the module, so that a
// compilation that goes on from a dump ends in the same bytes.
static bool note_origin(BuildArgs *a, Module *m, const char *path) {
  Tool *t = a->tool;
  if (meta_get(m, "source")) return true;
  uint64_t hash;
  if (!hash_model(t, path, &hash)) return false;
  const char *slash = strrchr(path, '/');
  const MetaEntry entries[] = {{"source", arena_strdup(t->arena, slash ? slash + 1 : path)},
                               {"source_hash", tool_printf(t, "%016llx", (unsigned long long)hash)},
                               {"options", build_options_text(a)}};
  for (int i = 0; i < ARRAY_LEN(entries); i++) vec_push(t->arena, &m->meta, entries[i]);
  return true;
}

static bool read_tuning(BuildArgs *a) {
  Tool *t = a->tool;
  if (!a->tune || a->pass.tuning) return true;
  const uint8_t *data;
  size_t size;
  if (!file_map(t->arena, t->diag, NO_LOC, a->tune, &data, &size)) return false;
  a->tune_hash = hash_bytes(data, size);
  a->pass.tuning = tuning_read(t->ctx, a->tune);
  return a->pass.tuning != NULL;
}

Module *driver_load(BuildArgs *a, const char *path) {
  if (!read_tuning(a)) return NULL;
  Module *m = frontend_load(a->tool->ctx, path, &a->frontend);
  if (!m || diag_errors(a->tool->diag) > 0) return NULL;
  return bind_target(a, m) && note_origin(a, m, path) ? m : NULL;
}

// ---- passes with dumps ------------------------------------------------------------------------------------

typedef struct PassRun {
  BuildArgs *args;
  Module *module;
  Dumps *dumps;
  PassWatch watch; // NULL: none
  void *watch_data;
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

bool driver_make_folder(Tool *t, const char *path) {
  if (mkdir(path, 0777) == 0 || errno == EEXIST) return true;
  diag_error(t->diag, NO_LOC, "cannot make folder '%s': %s", path, strerror(errno));
  return false;
}

static bool after_pass(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  PassRun *r = data;
  Tool *t = r->args->tool;
  r->total += seconds;
  progress(r, p->name);
  if (r->args->time_passes)
    fprintf(stderr, "%9.3f ms  %s%s\n", seconds * 1e3, p->name, changed ? "" : " (no change)");
  if (r->args->verify_each && !module_verify(m, p->name)) {
    t->bug = true;
    return false;
  }
  if (r->watch && !r->watch(r->watch_data, m, p, seconds, changed)) return false;
  return dump_after(r->dumps, m, p->name, changed);
}

// For folding by compiled code: plain kernels, and no folding within folding.
static bool lower_slice(void *data, Module *m) {
  const BuildArgs *a = data;
  PassOptions o = a->pass;
  o.opt_level = 0;
  o.compiled_eval = NULL;
  o.weights = (WeightFormat){0};
  return passes_run(m, &o, NULL, NULL, NULL);
}

static void report_weights(void *data, bool total, const char *line) {
  const BuildArgs *a = data;
  if ((total || a->verbose) && !a->is_special && !a->quiet) fprintf(stderr, "%s\n", line);
}

// The last pass of the standard list that leaves a module at `level`.
static const char *last_pass_at(Level level) {
  const char *name = NULL;
  for (int i = 0; i < pass_count(); i++)
    if (pass_at(i)->to == level) name = pass_at(i)->name;
  return name;
}

static void print_remarks(const Tool *t, const Module *m) {
  for (int i = 0; i < m->remarks.n; i++) {
    const Remark *r = &m->remarks.data[i];
    diag_remark(t->diag, r->loc, "%s %%%s: %s", r->pass, r->about ? r->about : "", r->text);
  }
}

bool driver_passes(BuildArgs *a, Module *m) {
  return driver_passes_with(a, m, NULL, NULL);
}

bool driver_passes_with(BuildArgs *a, Module *m, PassWatch watch, void *data) {
  if (!read_tuning(a)) return false;
  m->wants_remarks = m->wants_remarks || a->remarks;
  m->wants_work = m->wants_work || a->codegen.instrument;
  if (a->stop_at_level) a->stop_after = last_pass_at(a->level);
  PassRun r = {.args = a, .module = m, .dumps = dumps_new(a), .watch = watch, .watch_data = data};
  PassHooks hooks = {.after = after_pass, .data = &r};
  CodegenOptions fold = a->codegen;
  fold.debug_info = fold.freestanding = false;
  a->pass.report = report_weights;
  a->pass.report_data = a;
  fold.instrument = false;
  a->pass.compiled_eval = jit_eval_values;
  a->pass.compiled_eval_data = &(JitEval){.options = &fold, .lower = lower_slice, .lower_data = a};
  bool ok = dump_after(r.dumps, m, "input", true) &&
            passes_run(m, &a->pass, a->passes, a->stop_after, &hooks) && diag_errors(a->tool->diag) == 0;
  progress_end(&r);
  if (ok) dumps_close(r.dumps, m);
  if (a->remarks) print_remarks(a->tool, m);
  if (a->time_passes) fprintf(stderr, "%9.3f ms  all passes\n", r.total * 1e3);
  if (a->time_passes && m->unproved) fprintf(stderr, "%9d     loops thrown away unproved\n", m->unproved);
  return ok;
}

// libx.so -> libx.ing: the dump that debug information points into.
static bool write_debug_dump(BuildArgs *a, Module *m, const char *out) {
  Tool *t = a->tool;
  char dir[PATH_MAX];
  const char *slash = strrchr(out, '/'), *dot = strrchr(slash ? slash : out, '.');
  int stem = dot && dot != out ? (int)(dot - out) : (int)strlen(out);
  char *path = tool_printf(t, "%.*s.ing", stem, out);
  Str text = {.arena = t->arena};
  BlobFile *blobs = blob_new(t->ctx, tool_printf(t, "%s.weights", path));
  if (!blobs) return false;
  module_print_numbered(&text, m, blobs);
  if (!dump_write(t, path, &text)) return false;
  const char *folder = slash ? arena_strndup(t->arena, out, (size_t)(slash - out) + 1) : ".";
  if (!realpath(folder, dir)) {
    diag_error(t->diag, NO_LOC, "cannot find folder '%s': %s", folder, strerror(errno));
    return false;
  }
  a->codegen.dump_path = tool_printf(t, "%s/%s", dir, slash ? path + (slash - out) + 1 : path);
  return true;
}

// A name in a rule of make or ninja.
static void put_rule_name(FILE *f, const char *name) {
  for (; *name; name++) {
    if (strchr(" #\\", *name)) fputc('\\', f);
    if (*name == '$') fputc('$', f);
    fputc(*name, f);
  }
}

// A rule that says what `out` was made of, for build programs.
static bool write_depfile(const Tool *t, const char *path, const char *out) {
  OutFile *file = file_create(t->arena, t->diag, path);
  if (!file) return false;
  FILE *f = file_stream(file);
  put_rule_name(f, out);
  fputc(':', f);
  for (int i = 0; diag_file(t->diag, i); i++) {
    fputs(" \\\n  ", f);
    put_rule_name(f, diag_file(t->diag, i));
  }
  fputc('\n', f);
  return file_commit(file);
}

// Code is made of loops whose values have places. --passes= and dumps by hand may leave a module before that.
static bool is_whole(const Tool *t, const Module *m) {
  for (int i = 0; i < m->passes.n; i++)
    if (m->level == LEVEL_LOOPS && strcmp(m->passes.data[i], "memory") == 0) return true;
  diag_error(t->diag, NO_LOC,
             "there is no code of a module at level '%s' that pass 'memory' has not been through",
             LEVEL_NAMES[m->level]);
  return false;
}

bool driver_emit(BuildArgs *a, const Form *forms, int n, const char *out) {
  Module *m = forms[0].module;
  if (!is_whole(a->tool, m)) return false;
  if (a->depfile && !write_depfile(a->tool, a->depfile, out)) return false;
  if (a->codegen.debug_info && !write_debug_dump(a, m, out)) return false;
  PassRun r = {.args = a, .module = m};
  progress(&r, "generating code");
  double start = seconds_now();
  a->codegen.source_path = meta_get(m, "source");
  a->codegen.options_text = meta_get(m, "options");
  bool ok = codegen_write_forms(forms, n, &a->codegen, out);
  progress_end(&r);
  if (a->time_passes)
    fprintf(stderr, "%9.3f ms  code generation and linking\n", (seconds_now() - start) * 1e3);
  return ok && diag_errors(a->tool->diag) == 0;
}

// ---- several instruction sets -----------------------------------------------------------------------------

// A target that has longer vectors, or else needs more, is tried before.
static bool is_better(const Target *a, const Target *b) {
  if (a->vector_bytes != b->vector_bytes) return a->vector_bytes > b->vector_bytes;
  return strlen(a->needs) > strlen(b->needs);
}

enum { ISA_MAX = 16 };

// The targets of --isa, best first; 0 after reporting.
static int list_isas(BuildArgs *a, const Target **list) {
  Tool *t = a->tool;
  int n = 0;
  char *save = NULL, *names = arena_strdup(t->arena, a->isas);
  for (char *name = strtok_r(names, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
    const Target *target = target_find(t->ctx, name);
    if (!target)
      unknown_target(t, name);
    else if (n == ISA_MAX)
      diag_error(t->diag, NO_LOC, "more instruction sets than %d", ISA_MAX);
    else if (n > 0 && strcmp(target->runtime, list[0]->runtime) != 0)
      diag_error(t->diag, NO_LOC, "--isa: '%s' and '%s' are different architectures", name, list[0]->name);
    else
      list[n++] = target;
  }
  for (int i = 1; i < n; i++)
    for (int k = i; k > 0 && is_better(list[k], list[k - 1]); k--) {
      const Target *swap = list[k];
      list[k] = list[k - 1], list[k - 1] = swap;
    }
  return diag_errors(t->diag) ? 0 : n;
}

// The model goes through all passes once for each instruction set, and for each form there: their layouts may differ.
static bool compile_form(BuildArgs *a, const char *path, Form *form) {
  form->module = driver_load(a, path);
  return form->module && driver_passes(a, form->module) && (a->stop_after || special_forms(a, path, form));
}

static bool compile_isas(BuildArgs *a, const char *path, const char *out) {
  const Target *list[ISA_MAX];
  Form forms[ISA_MAX] = {0};
  int n = list_isas(a, list);
  if (n > 0 && a->codegen.debug_info) {
    diag_error(a->tool->diag, NO_LOC, "-g and --isa do not go together: debug it for one of them");
    return false;
  }
  const char *dump_dir = a->dump_dir;
  for (int i = 0; i < n; i++) {
    a->target = list[i]->name;
    if (dump_dir) a->dump_dir = tool_printf(a->tool, "%s-%s", dump_dir, a->target);
    if (!compile_form(a, path, &forms[i])) return false;
  }
  return n > 0 && (a->stop_after || driver_emit(a, forms, n, out));
}

bool driver_compile(BuildArgs *a, const char *path, const char *out) {
  Form form = {0};
  if (a->isas) return compile_isas(a, path, out);
  return compile_form(a, path, &form) && (a->stop_after || driver_emit(a, &form, 1, out));
}

bool driver_write_ir(Tool *t, const Module *m, const char *path) {
  Str text = {.arena = t->arena};
  if (!path || strcmp(path, "-") == 0) {
    module_print(&text, m, NULL);
    return fwrite(text.s, 1, text.n, stdout) == text.n;
  }
  BlobFile *blobs = blob_new(t->ctx, tool_printf(t, "%s.weights", path));
  if (!blobs) return false;
  module_print(&text, m, blobs);
  OutFile *f = file_create(t->arena, t->diag, path);
  if (!f) return false;
  fwrite(text.s, 1, text.n, file_stream(f));
  return file_commit(f);
}
