// weights_safetensors.c: the .safetensors format: a JSON directory and then the tensors, mapped in place.
// SPDX-License-Identifier: Apache-2.0
// Format: https://github.com/huggingface/safetensors (README, "Format")
#include "frontend/weights_formats.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

typedef struct Element {
  const char *name;
  DType dtype;
} Element;

static const Element ELEMENTS[] = {
    {"BOOL", DT_BOOL}, {"I8", DT_I8},   {"U8", DT_U8},     {"I16", DT_I16}, {"U16", DT_U16},
    {"I32", DT_I32},   {"U32", DT_U32}, {"I64", DT_I64},   {"U64", DT_U64}, {"F16", DT_F16},
    {"F32", DT_F32},   {"F64", DT_F64}, {"BF16", DT_BF16},
};

static DType parse_element(const char *name) {
  for (int i = 0; i < ARRAY_LEN(ELEMENTS); i++) {
    if (strcmp(name, ELEMENTS[i].name) == 0) return ELEMENTS[i].dtype;
  }
  return DT_NONE;
}

// JSON numbers are doubles here: exact up to 2^53.
static bool natural(const cJSON *j, int64_t *v) {
  if (!cJSON_IsNumber(j) || !(j->valuedouble >= 0) || j->valuedouble > 9007199254740992.0) return false;
  *v = (int64_t)j->valuedouble;
  return (double)*v == j->valuedouble;
}

static const char *parse_shape(const cJSON *shape, Type *t) {
  const cJSON *extent;
  if (!cJSON_IsArray(shape)) return "has no shape";
  cJSON_ArrayForEach(extent, shape) {
    if (t->rank == MAX_RANK) return "has too many dimensions";
    if (!natural(extent, &t->dim[t->rank++].n)) return "has a shape that is not of natural numbers";
  }
  return NULL;
}

static const char *parse_offsets(const cJSON *pair, uint64_t room, int64_t *begin, int64_t *end) {
  if (!cJSON_IsArray(pair) || cJSON_GetArraySize(pair) != 2) return "has no data_offsets";
  if (!natural(pair->child, begin) || !natural(pair->child->next, end) || *begin > *end) {
    return "has broken data_offsets";
  }
  return (uint64_t)*end > room ? "lies outside the file (is the file truncated?)" : NULL;
}

// Fills `e` with one tensor's description; NULL if fine, else what is wrong.
static const char *parse_tensor(const WeightFile *f, const cJSON *j, uint64_t data_at, WeightEntry *e) {
  const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(j, "dtype");
  if (!cJSON_IsString(dtype)) return "has no dtype";
  e->dtype = arena_strdup(f->ctx->arena, dtype->valuestring);
  e->type.dtype = parse_element(e->dtype);
  const char *fault = parse_shape(cJSON_GetObjectItemCaseSensitive(j, "shape"), &e->type);
  int64_t begin, end, need;
  const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(j, "data_offsets");
  if (!fault) fault = parse_offsets(offsets, f->size - data_at, &begin, &end);
  if (fault) return fault;
  e->offset = data_at + (uint64_t)begin;
  e->size = (uint64_t)(end - begin);
  if (e->type.dtype == DT_NONE) return NULL; // refused when it is asked for
  if (!weights_shape_ok(&e->type, &need)) return "has an absurdly large shape";
  return (uint64_t)need == e->size ? NULL : "has data_offsets that do not fit its shape and dtype";
}

static int by_offset(const void *pa, const void *pb) {
  const WeightEntry *a = *(const WeightEntry *const *)pa, *b = *(const WeightEntry *const *)pb;
  if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
  return (a->size > b->size) - (a->size < b->size);
}

// The tensors must cover the data exactly: no overlap, no gap.
static bool check_cover(WeightFile *f, Loc loc, uint64_t data_at) {
  int n = f->entries.n;
  const WeightEntry **order = NEW_ARRAY(f->ctx->arena, const WeightEntry *, n ? n : 1);
  for (int i = 0; i < n; i++) order[i] = &f->entries.data[i];
  qsort(order, (size_t)n, sizeof *order, by_offset);
  uint64_t at = data_at;
  for (int i = 0; i < n; i++) {
    if (order[i]->offset != at) {
      diag_error(f->ctx->diag, loc, "'%s': tensor '%s' %s", f->path, order[i]->name,
                 order[i]->offset < at ? "overlaps another one" : "leaves a gap before it");
      return false;
    }
    at += order[i]->size;
  }
  if (at == f->size) return true;
  diag_error(f->ctx->diag, loc, "'%s': %llu bytes at the end belong to no tensor", f->path,
             (unsigned long long)(f->size - at));
  return false;
}

static void delete_json(void *j) {
  cJSON_Delete(j);
}

static bool read_tensors(WeightFile *f, Loc loc, const cJSON *root, uint64_t data_at) {
  const cJSON *j;
  cJSON_ArrayForEach(j, root) {
    if (strcmp(j->string, "__metadata__") == 0) continue;
    WeightEntry e = {.name = arena_strdup(f->ctx->arena, j->string), .packing = WEIGHT_PLAIN};
    const char *fault = parse_tensor(f, j, data_at, &e);
    if (fault) {
      diag_error(f->ctx->diag, loc, "'%s': tensor '%s' %s", f->path, e.name, fault);
      return false;
    }
    if (!weights_add(f, loc, e)) return false;
  }
  return check_cover(f, loc, data_at);
}

bool safetensors_read_directory(WeightFile *f, Loc loc) {
  uint64_t n = get_le64(f->data);
  if (n > SAFETENSORS_HEADER_MAX) {
    diag_error(f->ctx->diag, loc, "'%s': its header is absurdly long (%llu bytes)", f->path,
               (unsigned long long)n);
    return false;
  }
  if (f->size - 8 < n) {
    diag_error(f->ctx->diag, loc, "'%s': it is truncated in its header", f->path);
    return false;
  }
  const char *end = NULL;
  cJSON *root = cJSON_ParseWithLengthOpts((const char *)f->data + 8, n, &end, false);
  if (root) arena_defer(f->ctx->arena, delete_json, root);
  if (!cJSON_IsObject(root)) {
    diag_error(f->ctx->diag, loc, "'%s': its header is not a JSON object", f->path);
    return false;
  }
  return read_tensors(f, loc, root, 8 + n);
}
