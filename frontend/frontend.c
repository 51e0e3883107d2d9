// frontend.c: tells model formats apart and hands files to their readers.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/frontend.h"

#include "frontend/onnx.h"
#include "frontend/states.h"
#include "frontend/yaml.h"

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

const char *frontend_name(Ctx *c, const char *path, const FrontendOptions *o) {
  if (o && o->name) return o->name;
  const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
  char *name = arena_strndup(c->arena, base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
  for (char *s = name; *s; s++) {
    if (!is_letter(*s) && (*s < '0' || *s > '9')) *s = '_';
  }
  return is_letter(*name) ? name : arena_printf(c->arena, "m%s", name);
}

static bool ends_with(const char *s, const char *end) {
  size_t n = strlen(s), m = strlen(end);
  return n >= m && strcmp(s + n - m, end) == 0;
}

// IR text says what it is in its first word.
static bool is_ir_text(const uint8_t *data, size_t size) {
  static const char blanks[] = " \t\r\n";
  size_t i = 0;
  while (i < size && (strchr(blanks, data[i]) || data[i] == '#')) {
    if (data[i] == '#') {
      while (i < size && data[i] != '\n') i++;
    } else {
      i++;
    }
  }
  return size - i > 6 && memcmp(data + i, "ingot ", 6) == 0;
}

// Text has no control bytes; protocol buffers begin with some.
static bool is_text(const uint8_t *data, size_t size) {
  for (size_t i = 0; i < size && i < 512; i++) {
    if (data[i] < 0x20 && data[i] != '\n' && data[i] != '\r' && data[i] != '\t') return false;
  }
  return true;
}

// Files that people have where they need a model: what they are, by their first bytes, and what to do.
static const struct {
  int at, size;
  const char *bytes, *what;
} foreign[] = {
    {0, 4,
     "\x7f"
     "ELF",
     "a compiled library or program; this needs the model that it was made of"},
    {0, 4, "PK\3\4", "a zip archive, like PyTorch's .pt and numpy's .npz; export the model to ONNX"},
    {0, 4, "\x89HDF", "an HDF5 file; export the model to ONNX"},
    {4, 4, "TFL3", "a TensorFlow Lite model; convert it to ONNX"},
    {0, 6, "\x93NUMPY", "an array of numpy"},
    {0, 4, "\x89PNG", "an image"},
    {0, 3, "\xff\xd8\xff", "an image"},
};

static bool is_foreign(Ctx *c, const char *path, const uint8_t *data, size_t size) {
  for (int i = 0; i < ARRAY_LEN(foreign); i++) {
    if (size < (size_t)(foreign[i].at + foreign[i].size)) continue;
    if (memcmp(data + foreign[i].at, foreign[i].bytes, (size_t)foreign[i].size) != 0) continue;
    diag_error(c->diag, NO_LOC, "'%s' is no model, but %s", path, foreign[i].what);
    return true;
  }
  return false;
}

static Module *load_text(Ctx *c, const char *path, const FrontendOptions *o, bool ir) {
  Source *src = source_read(c->arena, c->diag, path);
  if (!src) return NULL;
  if (!ir) return yaml_load(c, src, o);
  if (o && o->dims.n + o->shapes.n > 0)
    diag_warn(c->diag, NO_LOC, "--dim and --shape do nothing to '%s': IR text has its shapes", path);
  Module *m = module_parse(c, src);
  if (m && o && o->name) m->name = o->name;
  return m;
}

static Module *load_any(Ctx *c, const char *path, const FrontendOptions *o) {
  const uint8_t *data;
  size_t size;
  if (!file_map(c->arena, c->diag, NO_LOC, path, &data, &size)) return NULL;
  if (size == 0) return diag_error(c->diag, NO_LOC, "'%s' is empty", path), NULL;
  if (is_foreign(c, path, data, size)) return NULL;
  bool text = is_text(data, size);
  if (text && is_ir_text(data, size)) return load_text(c, path, o, true);
  if (ends_with(path, ".yaml") || ends_with(path, ".yml") || ends_with(path, ".ing")) {
    return load_text(c, path, o, ends_with(path, ".ing"));
  }
  if (text && !ends_with(path, ".onnx")) return load_text(c, path, o, false);
  return onnx_load(c, path, o);
}

Module *frontend_load(Ctx *c, const char *path, const FrontendOptions *o) {
  Module *m = load_any(c, path, o);
  return m && states_pair(m, o) ? m : NULL;
}
