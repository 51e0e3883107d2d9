// target.c: what is fuzzed: the readers of every file format but ONNX (tests/fuzz_onnx).
// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz_parsers/target.h"

#include "frontend/weights.h"
#include "frontend/yaml.h"
#include "runtime/loader.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// ---- readers --------------------------------------------------------------------------------------------------

static Source *text_of(Ctx *c, const uint8_t *data, size_t size) {
  return source_from_text(c->arena, "fuzz", arena_strndup(c->arena, (const char *)data, size));
}

static void read_yaml(Ctx *c, const uint8_t *data, size_t size) {
  Module *m = yaml_load(c, text_of(c, data, size), NULL);
  if (m) module_verify(m, "import");
}

// What is read must print, and read again.
static void read_ir(Ctx *c, const uint8_t *data, size_t size) {
  Module *m = module_parse(c, text_of(c, data, size));
  if (!m) return;
  Str text = {.arena = c->arena};
  module_print(&text, m, NULL);
  if (!module_parse(c, source_from_text(c->arena, "again", str_text(&text)))) abort();
}

static void read_npy(Ctx *c, const uint8_t *data, size_t size) {
  npy_parse(c, NO_LOC, "fuzz", data, size);
}

static void as_file(const uint8_t *data, size_t size, void (*fn)(Ctx *c, const char *path), Ctx *c) {
  char path[64];
  int fd = memfd_create("fuzz", 0);
  if (fd < 0) return;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  if (write(fd, data, size) == (ssize_t)size) fn(c, path);
  close(fd);
}

static void open_weights(Ctx *c, const char *path) {
  WeightFile *f = weights_open(c, NO_LOC, path);
  for (int i = 0; f && i < weights_count(f); i++) weights_at(f, NO_LOC, i);
}

static void read_weights(Ctx *c, const uint8_t *data, size_t size) {
  as_file(data, size, open_weights, c);
}

// What is looked at before a library is loaded; loading one runs its code.
static void check_library(Ctx *c, const char *path) {
  char message[256];
  Text err = {path, message, sizeof message};
  (void)c;
  ingot_elf_check(path, &err);
}

static void read_library(Ctx *c, const uint8_t *data, size_t size) {
  as_file(data, size, check_library, c);
}

// ---- by name ----------------------------------------------------------------------------------------------------

typedef struct Format {
  const char *name;
  void (*read)(Ctx *c, const uint8_t *data, size_t size);
} Format;

static const Format FORMATS[] = {{"yaml", read_yaml},
                                 {"ir", read_ir},
                                 {"npy", read_npy},
                                 {"weights", read_weights}, // .npz, .safetensors, told apart by content
                                 {"library", read_library}};

static const Format *find_format(const char *name) {
  for (int i = 0; i < ARRAY_LEN(FORMATS); i++)
    if (strcmp(FORMATS[i].name, name) == 0) return &FORMATS[i];
  return NULL;
}

static void read_as(const Format *f, const uint8_t *data, size_t size) {
  jmp_buf oom;
  Arena *a = arena_new(&oom);
  if (!a) return;
  if (!setjmp(oom)) f->read(ctx_new(a, diag_new(a, NULL, false)), data, size);
  arena_free(a);
}

bool fuzz_parse(const char *format, const uint8_t *data, size_t size) {
  const Format *f = find_format(format);
  if (f) read_as(f, data, size);
  return f != NULL;
}

#ifdef FORMAT
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_parse(FORMAT, data, size);
  return 0;
}
#endif
