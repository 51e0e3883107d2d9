// specialize.c: `--specialize`: the forms of a model for certain extents, each through all passes.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tool.h"

#include <errno.h>
#include <stdlib.h>

enum { SPECIAL_MAX = 16, SYM_MAX = ARRAY_LEN(((SpecialForm *)0)->sym) };

typedef struct Wanted {
  BuildArgs *a;
  const Module *m; // for all extents
  Vec(SpecialForm) forms;
} Wanted;

static const Sym *find_symbol(const Wanted *w, const char *name) {
  Vec(const char *) names = {0};
  for (int i = 0; i < w->m->syms.n; i++) {
    if (strcmp(w->m->syms.data[i]->name, name) == 0) return w->m->syms.data[i];
    vec_push(w->a->tool->arena, &names, w->m->syms.data[i]->name);
  }
  const char *near = nearest_word(name, names.data, names.n);
  diag_error(w->a->tool->diag, NO_LOC, "--specialize: the model has no symbolic dimension '%s'%s%s%s", name,
             near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
  return NULL;
}

// A symbol that the caller's inputs or calls decide, not the run itself.
static bool check_symbol(const Wanted *w, const Sym *s) {
  const char *why = s->data_dependent                  ? "is found out during a run"
                    : state_next_extent(w->m->main, s) ? "grows from run to run"
                                                       : NULL;
  if (why) diag_error(w->a->tool->diag, NO_LOC, "--specialize: '%s' %s", s->name, why);
  return !why;
}

static bool read_value(const Wanted *w, const Sym *s, const char *text, int64_t *value) {
  char *end;
  errno = 0;
  *value = strtoll(text, &end, 10);
  if (errno || end == text || *end) {
    diag_error(w->a->tool->diag, NO_LOC, "--specialize: '%s' is no extent", text);
    return false;
  }
  if (*value >= s->min && *value <= s->max) return true;
  diag_error(w->a->tool->diag, NO_LOC, "--specialize: '%s' is %lld to %lld, and never %lld", s->name,
             (long long)s->min, (long long)s->max, (long long)*value);
  return false;
}

// The forms of `first` on, each once for every value of one more symbol: "T=1,128".
static bool multiply(Wanted *w, int first, char *group) {
  Tool *t = w->a->tool;
  char *save = NULL, *values = strchr(group, '=');
  int last = w->forms.n;
  if (!values || values == group || !values[1]) {
    diag_error(t->diag, NO_LOC, "--specialize wants SYM=N,..., not '%s'", group);
    return false;
  }
  *values++ = '\0';
  const Sym *s = find_symbol(w, group);
  if (!s || !check_symbol(w, s)) return false;
  Vec(SpecialForm) more = {0};
  for (int i = first; i < last; i++) {
    char *list = arena_strdup(t->arena, values);
    for (char *v = strtok_r(list, ",", &save); v; v = strtok_r(NULL, ",", &save)) {
      SpecialForm f = w->forms.data[i];
      if (f.n == SYM_MAX) {
        diag_error(t->diag, NO_LOC, "--specialize: more than %d symbols", SYM_MAX);
        return false;
      }
      f.sym[f.n] = s->name;
      if (!read_value(w, s, v, &f.value[f.n++])) return false;
      vec_push(t->arena, &more, f);
    }
  }
  w->forms.n = first;
  for (int i = 0; i < more.n; i++) vec_push(t->arena, &w->forms, more.data[i]);
  return true;
}

// "B=1:T=1,128": both symbols, with every combination of values.
static bool read_forms(Wanted *w, const char *text) {
  Tool *t = w->a->tool;
  char *save = NULL, *copy = arena_strdup(t->arena, text);
  int first = w->forms.n;
  vec_push(t->arena, &w->forms, (SpecialForm){0});
  for (char *group = strtok_r(copy, ":", &save); group; group = strtok_r(NULL, ":", &save))
    if (!multiply(w, first, group)) return false;
  if (w->forms.n <= SPECIAL_MAX) return true;
  diag_error(t->diag, NO_LOC, "--specialize: more than %d forms", SPECIAL_MAX);
  return false;
}

static bool read_all(Wanted *w) {
  const BuildArgs *a = w->a;
  for (int i = 0; i < a->specialize.n; i++)
    if (!read_forms(w, a->specialize.data[i])) return false;
  const char *own = meta_get(w->m, "specialize");
  if (a->specialize.n || !own) return true;
  char *save = NULL, *copy = arena_strdup(a->tool->arena, own);
  for (char *text = strtok_r(copy, " ", &save); text; text = strtok_r(NULL, " ", &save))
    if (!read_forms(w, text)) return false;
  return true;
}

// The options with the form's symbols fixed, as by --dim.
static BuildArgs fix_symbols(BuildArgs a, const SpecialForm *f) {
  FrontendOptions plain = a.frontend;
  a.frontend.dims.data = NULL;
  a.frontend.dims.n = a.frontend.dims.cap = 0;
  for (int i = 0; i < f->n; i++)
    vec_push(a.tool->arena, &a.frontend.dims,
             tool_printf(a.tool, "%s=%lld", f->sym[i], (long long)f->value[i]));
  for (int i = 0; i < plain.dims.n; i++) vec_push(a.tool->arena, &a.frontend.dims, plain.dims.data[i]);
  return a;
}

bool special_builds(BuildArgs *a, Module *m, SpecialBuild **out, int *n) {
  Wanted w = {.a = a, .m = m};
  if (!read_all(&w)) return false;
  *n = w.forms.n;
  *out = NEW_ARRAY(a->tool->arena, SpecialBuild, w.forms.n + 1);
  for (int i = 0; i < w.forms.n; i++) {
    const SpecialForm *f = &w.forms.data[i];
    Str name = {.arena = a->tool->arena};
    for (int k = 0; k < f->n; k++)
      str_printf(&name, "%s%s=%lld", k ? ", " : "", f->sym[k], (long long)f->value[k]);
    (*out)[i] = (SpecialBuild){str_text(&name), fix_symbols(*a, f)};
  }
  return true;
}

// As if the symbols were fixed by --dim; dumps go to a folder of their own.
static Module *compile_special(BuildArgs a, const char *path, const SpecialForm *f, const char *target) {
  Tool *t = a.tool;
  Str label = {.arena = t->arena};
  for (int i = 0; i < f->n; i++) str_printf(&label, "-%s=%lld", f->sym[i], (long long)f->value[i]);
  a = fix_symbols(a, f);
  a.target = target;
  a.is_special = true;
  Module *m = driver_load(&a, path);
  if (!m) return NULL;
  for (int i = 0; i < m->syms.n; i++)
    for (int k = 0; k < f->n; k++)
      if (strcmp(m->syms.data[i]->name, f->sym[k]) == 0) {
        diag_error(t->diag, NO_LOC, "--specialize takes a model: the extents of IR text are as they are");
        return NULL;
      }
  if (!a.dump_dir || strcmp(a.dump_dir, "-") != 0)
    a.dump_dir = tool_printf(t, "%s%s", a.dump_dir ? a.dump_dir : tool_printf(t, "%s.dump", m->name),
                             str_text(&label));
  return driver_passes(&a, m) ? m : NULL;
}

bool special_forms(BuildArgs *a, const char *path, Form *form) {
  Wanted w = {.a = a, .m = form->module};
  if (!read_all(&w)) return false;
  if (w.forms.n && a->codegen.debug_info) {
    diag_error(a->tool->diag, NO_LOC, "-g and --specialize do not go together: debug it with --dim");
    return false;
  }
  for (int i = 0; i < w.forms.n; i++) {
    SpecialForm *f = &w.forms.data[i];
    f->module = compile_special(*a, path, f, form->module->target->name);
    if (!f->module) return false;
  }
  form->special = w.forms.data;
  form->n_special = w.forms.n;
  return true;
}
