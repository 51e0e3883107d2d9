// model.c: opens what `run`, `bench` and `inspect` work on: a compiled library, or a model file that is
// compiled into a temporary one first.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tool.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/ingot.h"

static void close_library(void *p) {
  ingot_library_close(p);
}
static void delete_json(void *p) {
  cJSON_Delete(p);
}

bool is_library(Tool *t, const char *path, bool *library) {
  const uint8_t *data;
  size_t size;
  if (!file_map(t->arena, t->diag, NO_LOC, path, &data, &size)) return false;
  *library = size >= 4 && memcmp(data, "\177ELF", 4) == 0;
  return true;
}

// ---- temporary libraries --------------------------------------------------------------------------------

// Removes a folder of ours with all that is in it.
static void remove_folder(void *p) {
  char path[4096];
  DIR *dir = opendir(p);
  if (!dir) return;
  for (struct dirent *e; (e = readdir(dir));) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    if (unlinkat(dirfd(dir), e->d_name, 0) == 0) continue;
    if (snprintf(path, sizeof path, "%s/%s", (char *)p, e->d_name) < (int)sizeof path) remove_folder(path);
  }
  closedir(dir);
  rmdir(p);
}

// A fresh folder that goes with the arena. (The arena also goes when memory runs out.)
char *tool_temp_folder(Tool *t) {
  const char *tmp = getenv("TMPDIR");
  char *dir = tool_printf(t, "%s/ingot-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  if (mkdtemp(dir)) {
    arena_defer(t->arena, remove_folder, dir);
    return dir;
  }
  diag_error(t->diag, NO_LOC, "cannot make a temporary folder '%s'", dir);
  return NULL;
}

// ---- opening ----------------------------------------------------------------------------------------------

static bool open_library(Tool *t, const char *path, Loaded *out) {
  char err[512];
  double start = seconds_now();
  if (ingot_library_open(path, &out->lib, err, sizeof err) != INGOT_OK) {
    diag_error(t->diag, NO_LOC, "%s", err);
    return false;
  }
  out->load_ms = (seconds_now() - start) * 1e3;
  arena_defer(t->arena, close_library, out->lib);
  out->model = ingot_library_model(out->lib, NULL);
  if (!out->model) diag_error(t->diag, NO_LOC, "'%s' holds no model", path);
  return out->model != NULL;
}

bool model_load(BuildArgs *a, const char *path, Loaded *out) {
  Tool *t = a->tool;
  bool library;
  if (!is_library(t, path, &library)) return false;
  if (library) return open_library(t, strchr(path, '/') ? path : tool_printf(t, "./%s", path), out);
  char *dir = tool_temp_folder(t);
  if (!dir) return false;
  char *lib = tool_printf(t, "%s/model.so", dir);
  a->codegen.header_path = tool_printf(t, "%s/model.h", dir);
  a->codegen.debug_info = false; // the dump would go with the folder
  return driver_compile(a, path, lib) && open_library(t, lib, out);
}

// ---- description ------------------------------------------------------------------------------------------

static DType to_dtype(int32_t d) {
  bool known = d > INGOT_NO_DTYPE && d < INGOT_DTYPE_END;
  return known ? dtype_parse(ingot_dtype_name(d), strlen(ingot_dtype_name(d))) : DT_NONE;
}

// An extent of an artefact as one of the compiler's: its symbol stands for itself alone.
static Dim to_dim(Tool *t, const ingot_model *m, const struct ingot_dim *d) {
  const struct ingot_symbol *info = d->sym < 0 ? NULL : ingot_symbol_info(m, d->sym);
  if (!info) return dim_const(d->n);
  Sym *sym = NEW(t->arena, Sym);
  *sym = (Sym){.name = info->name, .index = d->sym, .min = info->min, .max = info->bound};
  return (Dim){d->n, ex_sym(t->ctx, sym)};
}

Type model_type(Tool *t, const ingot_model *m, bool output, int i) {
  const struct ingot_tensor_info *info = output ? ingot_output_info(m, i) : ingot_input_info(m, i);
  Type type = {.dtype = to_dtype(info->dtype), .rank = info->rank < MAX_RANK ? info->rank : MAX_RANK};
  for (int k = 0; k < type.rank; k++) type.dim[k] = to_dim(t, m, &info->dims[k]);
  return type;
}

// Kernels with what the table of steps says of them.
static void complete_kernel(const ingot_model *m, int i, cJSON *kernel) {
  struct ingot_step_info info = {.size = sizeof info};
  if (cJSON_GetObjectItemCaseSensitive(kernel, "name") || ingot_describe_step(m, i, &info)) return;
  cJSON_AddStringToObject(kernel, "name", info.name ? info.name : "");
  cJSON_AddStringToObject(kernel, "from", info.source ? info.source : "");
  cJSON_AddNumberToObject(kernel, "flops", (double)info.flops);
  cJSON_AddNumberToObject(kernel, "bytes", (double)info.bytes);
  cJSON_AddNumberToObject(kernel, "scratch", (double)info.scratch);
}

struct cJSON *model_json(const ingot_model *m) {
  cJSON *json = cJSON_Parse(ingot_model_metadata(m)), *k;
  int i = 0;
  cJSON_ArrayForEach(k, cJSON_GetObjectItemCaseSensitive(json, "kernels")) complete_kernel(m, i++, k);
  return json;
}

const char *model_meta(Tool *t, const ingot_model *m, const char *key) {
  cJSON *json = cJSON_Parse(ingot_model_metadata(m));
  if (!json) return NULL;
  arena_defer(t->arena, delete_json, json);
  const cJSON *meta = cJSON_GetObjectItemCaseSensitive(json, "meta");
  return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(meta, key));
}
