// weights.c: one view of the weight formats: open, list, look up, load.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/weights_formats.h"

bool weights_add(WeightFile *f, Loc loc, WeightEntry e) {
  Diag *d = f->ctx->diag;
  if (strlen(e.name) > WEIGHT_NAME_MAX) {
    diag_error(d, loc, "'%s': a tensor's name is longer than %d bytes", f->path, WEIGHT_NAME_MAX);
    return false;
  }
  if (map_get(f->by_name, e.name)) {
    diag_error(d, loc, "'%s': there are two tensors named '%s'", f->path, e.name);
    return false;
  }
  vec_push(f->ctx->arena, &f->entries, e);
  map_put(f->by_name, e.name, (void *)(intptr_t)f->entries.n);
  return true;
}

bool weights_shape_ok(const Type *t, int64_t *bytes) {
  int64_t n = 1, strides = 1; // strides must not overflow even if an extent of 0 makes the tensor empty
  for (int i = 0; i < t->rank; i++) {
    int64_t extent = t->dim[i].n;
    if (extent < 0 || extent > MAX_ELEMENTS) return false;
    if (!mul_ok(strides, extent ? extent : 1, &strides) || strides > MAX_ELEMENTS) return false;
    n *= extent;
  }
  *bytes = n * dtype_bytes(t->dtype);
  return true;
}

// "models/w.npy" -> "w"
static const char *base_name(Arena *a, const char *path) {
  const char *slash = strrchr(path, '/');
  const char *name = slash ? slash + 1 : path;
  const char *dot = strrchr(name, '.');
  return dot && dot != name ? arena_strndup(a, name, (size_t)(dot - name)) : arena_strdup(a, name);
}

static bool read_directory(WeightFile *f, Loc loc) {
  if (f->size >= 6 && memcmp(f->data, "\x93NUMPY", 6) == 0) {
    WeightEntry e = {.name = base_name(f->ctx->arena, f->path), .packing = WEIGHT_NPY, .size = f->size};
    return weights_add(f, loc, e);
  }
  if (f->size >= 4 && (memcmp(f->data, "PK\3\4", 4) == 0 || memcmp(f->data, "PK\5\6", 4) == 0)) {
    return zip_read_directory(f, loc);
  }
  if (f->size >= 9 && f->data[8] == '{') return safetensors_read_directory(f, loc);
  if (llama2c_is(f)) return llama2c_read_directory(f, loc);
  diag_error(f->ctx->diag, loc, "'%s' is not a .npy, .npz or .safetensors file", f->path);
  return false;
}

WeightFile *weights_open(Ctx *c, Loc loc, const char *path) {
  WeightFile *f = NEW(c->arena, WeightFile);
  *f = (WeightFile){.ctx = c, .path = arena_strdup(c->arena, path), .by_name = map_new(c->arena)};
  if (!file_map(c->arena, c->diag, loc, path, &f->data, &f->size)) return NULL;
  return read_directory(f, loc) ? f : NULL;
}

int weights_count(const WeightFile *f) {
  return f->entries.n;
}

const char *weights_name(const WeightFile *f, int i) {
  return f->entries.data[i].name;
}

const char *weights_path(const WeightFile *f) {
  return f->path;
}

bool weights_has(const WeightFile *f, const char *name) {
  return map_get(f->by_name, name) != NULL;
}

// A bool is read as one byte that must be 0 or 1 everywhere else in the compiler.
static bool bools_ok(const Tensor *t) {
  const uint8_t *p = t->data;
  for (size_t i = 0; i < t->bytes; i++) {
    if (p[i] > 1) return false;
  }
  return true;
}

static Tensor *load_plain(WeightFile *f, Loc loc, const WeightEntry *e) {
  if (e->type.dtype == DT_NONE) {
    diag_error(f->ctx->diag, loc, "'%s': tensor '%s' has the unsupported element type %s", f->path, e->name,
               e->dtype);
    return NULL;
  }
  return tensor_view(f->ctx, &e->type, f->data + e->offset);
}

static Tensor *load(WeightFile *f, Loc loc, const WeightEntry *e) {
  const uint8_t *bytes = f->data + e->offset;
  size_t size = e->size;
  if (e->packing == WEIGHT_PLAIN) return load_plain(f, loc, e);
  if (e->packing == WEIGHT_DEFLATED_NPY) {
    bytes = zip_inflate(f, loc, e);
    size = e->full_size;
    if (!bytes) return NULL;
  }
  const char *name = e->packing == WEIGHT_NPY && e->offset == 0
                         ? f->path
                         : arena_printf(f->ctx->arena, "%s: %s", f->path, e->name);
  return npy_parse(f->ctx, loc, name, bytes, size);
}

const Tensor *weights_at(WeightFile *f, Loc loc, int i) {
  WeightEntry *e = &f->entries.data[i];
  if (e->tensor) return e->tensor;
  Tensor *t = load(f, loc, e);
  if (!t) return NULL;
  const uint8_t *p = t->data;
  if (t->bytes && p >= f->data && p < f->data + f->size) {
    t->file = f->path;
    t->offset = p - f->data;
  }
  if (t->type.dtype == DT_BOOL && !bools_ok(t)) {
    diag_error(f->ctx->diag, loc, "'%s': bool tensor '%s' has bytes other than 0 and 1", f->path, e->name);
    return NULL;
  }
  return e->tensor = t;
}

static void report_missing(const WeightFile *f, Loc loc, const char *name) {
  Ctx *c = f->ctx;
  const char **names = NEW_ARRAY(c->arena, const char *, f->entries.n ? f->entries.n : 1);
  for (int i = 0; i < f->entries.n; i++) names[i] = f->entries.data[i].name;
  const char *near = nearest_word(name, names, f->entries.n);
  diag_error(c->diag, loc, "'%s' has no tensor '%s'", f->path, name);
  if (near) {
    diag_note(c->diag, NO_LOC, "did you mean '%s'?", near);
  } else if (f->entries.n) {
    diag_note(c->diag, NO_LOC, "it has %d tensors, the first is '%s'", f->entries.n, names[0]);
  }
}

const Tensor *weights_get(WeightFile *f, Loc loc, const char *name) {
  intptr_t at = (intptr_t)map_get(f->by_name, name);
  if (at) return weights_at(f, loc, (int)at - 1);
  report_missing(f, loc, name);
  return NULL;
}
