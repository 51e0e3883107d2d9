// archive.c: ar archives: written for the linker, and the runtime's, which the compiler carries with it.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

// The build lists the files (CMakeLists.txt): RUNTIME(name, symbol, path).
#define RUNTIME(name, symbol, path)                                                                          \
  __asm__(".section .rodata\n"                                                                               \
          ".balign 16\n"                                                                                     \
          ".globl ingot_runtime_" #symbol "\n"                                                               \
          ".hidden ingot_runtime_" #symbol "\n"                                                              \
          "ingot_runtime_" #symbol ":\n"                                                                     \
          ".incbin \"" path "\"\n"                                                                           \
          ".globl ingot_runtime_" #symbol "_end\n"                                                           \
          ".hidden ingot_runtime_" #symbol "_end\n"                                                          \
          "ingot_runtime_" #symbol "_end:\n"                                                                 \
          ".byte 0\n"                                                                                        \
          ".text\n");                                                                                        \
  extern const char ingot_runtime_##symbol[], ingot_runtime_##symbol##_end[];
#include INGOT_RUNTIMES
#undef RUNTIME

static const struct {
  const char *name, *begin, *end;
} runtimes[] = {
#define RUNTIME(name, symbol, path) {name, ingot_runtime_##symbol, ingot_runtime_##symbol##_end},
#include INGOT_RUNTIMES
#undef RUNTIME
};

const void *runtime_archive(const char *name, size_t *size) {
  for (int i = 0; i < ARRAY_LEN(runtimes); i++) {
    if (strcmp(runtimes[i].name, name) != 0) continue;
    *size = (size_t)(runtimes[i].end - runtimes[i].begin);
    return runtimes[i].begin;
  }
  return NULL;
}

size_t codegen_executor_bytes(const Target *t) {
  char name[64];
  size_t size;
  snprintf(name, sizeof name, "%s%s", t->runtime, t->bare ? "-bare" : "");
  return runtime_archive(name, &size) ? size * 3 / 8
                                      : 0; // the rest is debug information, symbols, relocations
}

// A member: 60 bytes of text, the data, and a newline if its length is odd. No dates, no owners.
static bool put_member(FILE *out, const char *name, const void *data, size_t size) {
  return fprintf(out, "%-16s%-12d%-6d%-6d%-8o%-10zu`\n", name, 0, 0, 0, 0644, size) == 60 &&
         fwrite(data, 1, size, out) == size && (size % 2 == 0 || fputc('\n', out) == '\n');
}

static bool put_magic(FILE *out) {
  return fwrite("!<arch>\n", 8, 1, out) == 1;
}

bool archive_write(Ctx *c, FILE *out, const Compiled *objects) {
  bool ok = put_magic(out);
  for (int i = 0; ok && i < objects->n; i++)
    ok = put_member(out, arena_printf(c->arena, "%d.o/", i), LLVMGetBufferStart(objects->data[i]),
                    LLVMGetBufferSize(objects->data[i]));
  return ok;
}

static void put_be32(Str *s, size_t v) {
  const char bytes[] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
  str_put(s, bytes, sizeof bytes);
}

// The index ("/", System V): number of symbols, for each where its member begins, their names.
bool archive_write_indexed(Ctx *c, FILE *out, const void *object, size_t size, const char *const *symbols,
                           int n) {
  size_t names = 0;
  for (int i = 0; i < n; i++) names += strlen(symbols[i]) + 1;
  size_t index_size = 4 + 4 * (size_t)n + names, begin = 8 + 60 + index_size + index_size % 2;
  Str index = {.arena = c->arena};
  put_be32(&index, (size_t)n);
  for (int i = 0; i < n; i++) put_be32(&index, begin);
  for (int i = 0; i < n; i++) str_put(&index, symbols[i], strlen(symbols[i]) + 1);
  return put_magic(out) && put_member(out, "/", index.s, index.n) &&
         put_member(out, "model.o/", object, size);
}
