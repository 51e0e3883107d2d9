// model.c: opens what `run`, `bench` and `inspect` work on: a compiled library, or a model file that is
// compiled into a temporary one first.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tool.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/ingot.h"

static void close_library(void *p) {
  ingot_library_close(p);
}
static void delete_json(void *p) {
  cJSON_Delete(p);
}

static bool is_elf(Tool *t, const char *path, bool *elf) {
  const uint8_t *data;
  size_t size;
  if (!file_map(t->arena, t->diag, NO_LOC, path, &data, &size)) return false;
  *elf = size >= 4 && memcmp(data, "\177ELF", 4) == 0;
  return true;
}

// A fresh folder for the temporary library, removed again with remove_temp.
static char *temp_dir(Tool *t) {
  const char *tmp = getenv("TMPDIR");
  char *dir = tool_printf(t, "%s/ingot-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  if (mkdtemp(dir)) return dir;
  diag_error(t->diag, NO_LOC, "cannot make a temporary folder '%s'", dir);
  return NULL;
}

static bool open_library(Tool *t, const char *path, Loaded *out) {
  char err[512];
  double start = seconds_now();
  if (ingot_library_open(path, &out->lib, err, sizeof err) != 0) {
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
  bool elf;
  if (!is_elf(t, path, &elf)) return false;
  if (elf) return open_library(t, strchr(path, '/') ? path : tool_printf(t, "./%s", path), out);
  char *dir = temp_dir(t);
  if (!dir) return false;
  char *lib = tool_printf(t, "%s/model.so", dir), *header = tool_printf(t, "%s/model.h", dir);
  a->codegen.header_path = header;
  bool ok = driver_compile(a, path, lib) && open_library(t, lib, out);
  unlink(lib);
  unlink(header);
  rmdir(dir);
  return ok;
}

static DType to_dtype(int32_t d) {
  return d > INGOT_NO_DTYPE && d < INGOT_DTYPE_END
             ? dtype_parse(ingot_dtype_name(d), strlen(ingot_dtype_name(d)))
             : DT_NONE;
}

Type model_type(Tool *t, const ingot_model *m, bool output, int i) {
  (void)t;
  const struct ingot_tensor_info *info = output ? ingot_output_info(m, i) : ingot_input_info(m, i);
  int64_t dims[MAX_RANK];
  int rank = info->rank < MAX_RANK ? info->rank : MAX_RANK;
  for (int k = 0; k < rank; k++) dims[k] = info->dims[k].n;
  return type_make(to_dtype(info->dtype), rank, dims);
}

const char *model_meta(Tool *t, const ingot_model *m, const char *key) {
  cJSON *json = cJSON_Parse(ingot_model_metadata(m));
  if (!json) return NULL;
  arena_defer(t->arena, delete_json, json);
  const cJSON *meta = cJSON_GetObjectItemCaseSensitive(json, "meta");
  return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(meta, key));
}
