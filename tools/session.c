// session.c: one model with one context and its inputs and outputs.
// SPDX-License-Identifier: Apache-2.0
#include "tools/session.h"

#include <sched.h>

static void destroy_ctx(void *p) {
  ingot_ctx_destroy(p);
}

int session_cores(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

bool session_open(BuildArgs *a, const char *path, const SessionOptions *o, Session *s) {
  Tool *t = a->tool;
  *s = (Session){.tool = t, .prep = image_prep_default()};
  if (!model_load(a, path, &s->loaded)) return false;
  s->model = s->loaded.model;
  s->threads = a->pass.threads ? a->pass.threads : session_cores();
  const char *prep = o->prep ? o->prep : model_meta(t, s->model, "preprocess");
  if (prep && !image_prep_parse(t, prep, &s->prep)) return false;
  char why[512] = "";
  struct ingot_options options = {.size = sizeof options,
                                  .threads = s->threads,
                                  .flags = o->flags,
                                  .hook = o->hook,
                                  .hook_user = o->hook_user,
                                  .error = why,
                                  .error_size = sizeof why};
  double start = seconds_now();
  int e = ingot_ctx_create(s->model, &options, &s->ctx);
  s->create_ms = (seconds_now() - start) * 1e3;
  if (e != INGOT_OK) {
    diag_error(t->diag, NO_LOC, "cannot set up '%s': %s", path, *why ? why : ingot_error_text(s->model, e));
    return false;
  }
  arena_defer(t->arena, destroy_ctx, s->ctx);
  s->in = NEW_ARRAY(t->arena, const Tensor *, ingot_input_count(s->model) + 1);
  s->out = NEW_ARRAY(t->arena, Tensor *, ingot_output_count(s->model) + 1);
  s->extent = NEW_ARRAY(t->arena, int64_t, ingot_symbol_count(s->model) + 1);
  s->begin = NEW_ARRAY(t->arena, int64_t, ingot_symbol_count(s->model) + 1);
  for (int i = 0; i < ingot_symbol_count(s->model); i++) {
    s->extent[i] = -1;
    s->begin[i] = ingot_symbol_info(s->model, i)->min;
  }
  return true;
}

const char *session_names(const Session *s, bool outputs) {
  Str text = {.arena = s->tool->arena};
  int n = outputs ? ingot_output_count(s->model) : ingot_input_count(s->model);
  for (int i = 0; i < n && i < 8; i++) {
    const struct ingot_tensor_info *info =
        outputs ? ingot_output_info(s->model, i) : ingot_input_info(s->model, i);
    str_printf(&text, "%s%s", i ? ", " : "; it has: ", info->name);
  }
  if (n > 8) str_puts(&text, ", ...");
  return str_text(&text);
}

// ---- inputs -----------------------------------------------------------------------------------------------

// Remembers what a given input says about the model's symbols.
static void note_extents(Session *s, int k, const Tensor *x) {
  const struct ingot_tensor_info *info = ingot_input_info(s->model, k);
  for (int d = 0; d < info->rank && d < x->type.rank; d++)
    if (info->dims[d].sym >= 0) s->extent[info->dims[d].sym] = x->type.dim[d].n;
}

// Input k's type with the extents that other inputs have settled.
static Type settled_type(Session *s, int k) {
  const struct ingot_tensor_info *info = ingot_input_info(s->model, k);
  Type type = model_type(s->tool, s->model, false, k);
  for (int d = 0; d < type.rank; d++) {
    int sym = info->dims[d].sym;
    if (sym >= 0 && s->extent[sym] >= 0) type.dim[d] = dim_const(s->extent[sym]);
  }
  return type;
}

bool session_input_arg(Session *s, const char *arg) {
  Tool *t = s->tool;
  const char *name, *source = arg;
  int k = -1;
  if (split_assign(t, arg, &name, &source)) {
    k = ingot_find_input(s->model, name);
  } else if (ingot_input_count(s->model) == 1) {
    k = 0;
    name = ingot_input_info(s->model, 0)->name;
  } else {
    diag_error(t->diag, NO_LOC, "--input wants NAME=SOURCE, not '%s'%s", arg, session_names(s, false));
    return false;
  }
  if (k < 0) {
    diag_error(t->diag, NO_LOC, "the model has no input '%s'%s", name, session_names(s, false));
    return false;
  }
  Type want = model_type(t, s->model, false, k);
  s->in[k] = tensor_load(t, name, source, &want, ingot_input_info(s->model, k)->limit, &s->prep);
  if (s->in[k]) note_extents(s, k, s->in[k]);
  return s->in[k] != NULL;
}

static int32_t to_abi(DType d) {
  for (int32_t i = INGOT_NO_DTYPE + 1; i < INGOT_DTYPE_END; i++)
    if (strcmp(ingot_dtype_name(i), dtype_name(d)) == 0) return i;
  return INGOT_NO_DTYPE;
}

// Data at the alignment the model asks for; mapped files may be less aligned.
static const void *aligned_data(Session *s, const Tensor *x, int32_t align) {
  if ((uintptr_t)x->data % (uintptr_t)align == 0) return x->data;
  return arena_dup(s->tool->arena, x->data, x->bytes < 64 ? 64 : x->bytes);
}

static bool runtime_error(Session *s) {
  diag_error(s->tool->diag, NO_LOC, "%s", ingot_last_error(s->ctx));
  return false;
}

static bool bind_input(Session *s, int k, bool fill) {
  Tool *t = s->tool;
  const struct ingot_tensor_info *info = ingot_input_info(s->model, k);
  if (!s->in[k] && !fill) {
    diag_error(t->diag, NO_LOC, "input '%s' is not given; use --input %s=FILE", info->name, info->name);
    return false;
  }
  if (!s->in[k]) {
    Type want = settled_type(s, k);
    s->in[k] = tensor_load(t, info->name, "random", &want, info->limit, &s->prep);
  }
  const Tensor *x = s->in[k];
  int64_t dims[MAX_RANK];
  for (int d = 0; d < x->type.rank; d++) dims[d] = x->type.dim[d].n;
  const void *data = aligned_data(s, x, info->align);
  return ingot_set_input(s->ctx, k, data, to_abi(x->type.dtype), x->type.rank, dims, x->bytes) == INGOT_OK ||
         runtime_error(s);
}

static bool bind_output(Session *s, int k) {
  Type type = model_type(s->tool, s->model, true, k);
  for (int d = 0; d < type.rank; d++) type.dim[d].sym = NULL;
  s->out[k] = tensor_new(s->tool->ctx, &type);
  return ingot_set_output(s->ctx, k, tensor_data(s->out[k]), s->out[k]->bytes) == INGOT_OK ||
         runtime_error(s);
}

bool session_bind(Session *s, bool fill) {
  for (int k = 0; k < ingot_input_count(s->model); k++)
    if (!bind_input(s, k, fill)) return false;
  for (int k = 0; k < ingot_output_count(s->model); k++)
    if (!bind_output(s, k)) return false;
  return true;
}

// ---- running ----------------------------------------------------------------------------------------------

static bool run(Session *s) {
  return ingot_run(s->ctx) == INGOT_OK || runtime_error(s);
}

// States that grow become as short again as they were before the first run.
bool session_rewind(Session *s) {
  for (int i = 0; i < ingot_symbol_count(s->model); i++)
    if (ingot_symbol_info(s->model, i)->kind == INGOT_SYM_STATE &&
        ingot_set_symbol(s->ctx, i, s->begin[i]) != INGOT_OK)
      return runtime_error(s);
  return true;
}

bool session_run(Session *s) {
  return session_rewind(s) && run(s);
}

bool session_grow(Session *s, const char *name, int64_t extent) {
  Diag *d = s->tool->diag;
  int sym = ingot_find_symbol(s->model, name);
  if (sym < 0 || ingot_symbol_info(s->model, sym)->kind != INGOT_SYM_STATE) {
    diag_error(d, NO_LOC, "the model has no state that grows by a symbol '%s'", name);
    return false;
  }
  const struct ingot_symbol *info = ingot_symbol_info(s->model, sym);
  if (extent < info->min || extent > info->bound) {
    diag_error(d, NO_LOC, "'%s' lies between %lld and %lld; %lld does not", name, (long long)info->min,
               (long long)info->bound, (long long)extent);
    return false;
  }
  for (int64_t before = info->min, now = before; now < extent; before = now) {
    if (!run(s)) return false;
    ingot_get_symbol(s->ctx, sym, &now);
    if (now > before) continue;
    diag_error(d, NO_LOC, "a run leaves '%s' at %lld", name, (long long)now);
    return false;
  }
  s->begin[sym] = extent;
  return true;
}

const Tensor *session_output(Session *s, int k) {
  const struct ingot_tensor_info *info = ingot_output_info(s->model, k);
  int64_t dims[INGOT_MAX_RANK];
  if (ingot_output_shape(s->ctx, k, dims) != INGOT_OK) return s->out[k];
  Type actual = type_make(s->out[k]->type.dtype, info->rank, dims);
  return tensor_view(s->tool->ctx, &actual, s->out[k]->data);
}
