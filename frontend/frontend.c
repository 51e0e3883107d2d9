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

static Module *load_text(Ctx *c, const char *path, const FrontendOptions *o, bool ir) {
  Source *src = source_read(c->arena, c->diag, path);
  if (!src) return NULL;
  if (!ir) return yaml_load(c, src, o);
  Module *m = module_parse(c, src);
  if (m && o && o->name) m->name = o->name;
  return m;
}

static Module *load_any(Ctx *c, const char *path, const FrontendOptions *o) {
  const uint8_t *data;
  size_t size;
  if (!file_map(c->arena, c->diag, NO_LOC, path, &data, &size)) return NULL;
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
