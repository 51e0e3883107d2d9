// loader.c: opens artefacts at run time.
// SPDX-License-Identifier: Apache-2.0
#ifdef INGOT_SHARED_LOADER
#pragma GCC visibility push(default)
#include "ingot.h"
#pragma GCC visibility pop
#endif
#include "loader.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_ROOM = 4096 };

struct ingot_library {
  void *handle;
  const struct ingot_artefact *artefact;
};

int ingot_text_fail(Text *t, int code, const char *fmt, ...) {
  va_list ap;
  if (!t->to || t->size == 0) return code;
  int n = snprintf(t->to, t->size, "%s: ", t->path);
  if (n < 0 || (size_t)n >= t->size) return code;
  va_start(ap, fmt);
  vsnprintf(t->to + n, t->size - (size_t)n, fmt, ap);
  va_end(ap);
  return code;
}

static int check_abi(uint32_t magic, unsigned major, unsigned minor, Text *err) {
  if (magic != INGOT_MAGIC)
    return ingot_text_fail(err, INGOT_E_FORMAT, "damaged: wrong magic number %08x", magic);
  if (major == INGOT_ABI_MAJOR) return INGOT_OK;
  return ingot_text_fail(err, INGOT_E_ABI, "has ABI %u.%u, %s than this loader, which knows %d.%d", major,
                         minor, major > INGOT_ABI_MAJOR ? "newer" : "older", INGOT_ABI_MAJOR,
                         INGOT_ABI_MINOR);
}

static int check_model(const struct ingot_model *m, Text *err) {
  char missing[64] = "";
  int code = check_abi(m->magic, m->abi_major, m->abi_minor, err);
  if (code) return code;
  if (m->api->pick(m)) return INGOT_OK;
  m->api->check_cpu(m, missing, sizeof missing);
  return ingot_text_fail(err, INGOT_E_CPU,
                         "model '%s' needs the instruction set '%s', which this processor lacks", m->name,
                         missing);
}

static int check_artefact(const struct ingot_artefact *a, Text *err) {
  if (!a) return ingot_text_fail(err, INGOT_E_FORMAT, "a shared library, but not one that ingot made");
  int code = check_abi(a->magic, a->abi_major, a->abi_minor, err);
  for (int32_t i = 0; i < a->n_models && !code; i++) code = check_model(a->models[i], err);
  return code;
}

static int open_checked(const char *path, ingot_library *lib, Text *err) {
  char local[PATH_ROOM];
  int code = ingot_elf_check(path, err);
  if (code) return code;
  // dlopen looks up plain names in the system's folders; a path was meant.
  if (!strchr(path, '/')) {
    if (snprintf(local, sizeof local, "./%s", path) >= (int)sizeof local)
      return ingot_text_fail(err, INGOT_E_FILE, "the path is too long");
    path = local;
  }
  lib->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!lib->handle) return ingot_text_fail(err, INGOT_E_FORMAT, "cannot be loaded: %s", dlerror());
  lib->artefact = dlsym(lib->handle, "ingot_artefact");
  return check_artefact(lib->artefact, err);
}

int ingot_library_open(const char *path, ingot_library **lib, char *err, size_t err_size) {
  Text text = {path, err, err_size};
  if (err && err_size) err[0] = 0;
  if (!path || !lib) return INGOT_E_ARGUMENT;
  *lib = NULL;
  ingot_library *l = calloc(1, sizeof *l);
  if (!l) return ingot_text_fail(&text, INGOT_E_MEMORY, "out of memory");
  int code = open_checked(path, l, &text);
  if (code) {
    ingot_library_close(l);
    return code;
  }
  *lib = l;
  return INGOT_OK;
}

void ingot_library_close(ingot_library *lib) {
  if (!lib) return;
  if (lib->handle) dlclose(lib->handle);
  free(lib);
}

const ingot_model *ingot_library_model(const ingot_library *lib, const char *name) {
  const struct ingot_artefact *a = lib ? lib->artefact : NULL;
  for (int32_t i = 0; a && i < a->n_models; i++) {
    const ingot_model *m = a->models[i];
    if (!name || strcmp(m->name, name) == 0) return m->api->pick(m);
  }
  return NULL;
}
