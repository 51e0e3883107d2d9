// archive.c: ar archives: written for the linker, and the runtime's, which the compiler carries with it.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

// The file is named by the build; see CMakeLists.txt.
__asm__(".section .rodata\n"
        ".balign 16\n"
        ".globl ingot_embedded_runtime\n"
        ".hidden ingot_embedded_runtime\n"
        "ingot_embedded_runtime:\n"
        ".incbin \"" INGOT_RUNTIME_ARCHIVE "\"\n"
        ".globl ingot_embedded_runtime_end\n"
        ".hidden ingot_embedded_runtime_end\n"
        "ingot_embedded_runtime_end:\n"
        ".byte 0\n"
        ".text\n");
extern const char ingot_embedded_runtime[], ingot_embedded_runtime_end[];

const void *runtime_archive(size_t *size) {
  *size = (size_t)(ingot_embedded_runtime_end - ingot_embedded_runtime);
  return ingot_embedded_runtime;
}

// A member: 60 bytes of text, the data, and a newline if its length is odd. No dates, owners or index.
bool archive_write(Ctx *c, FILE *out, const Compiled *objects) {
  bool ok = fwrite("!<arch>\n", 8, 1, out) == 1;
  for (int i = 0; ok && i < objects->n; i++) {
    size_t size = LLVMGetBufferSize(objects->data[i]);
    char *name = arena_printf(c->arena, "%d.o/", i);
    ok = fprintf(out, "%-16s%-12d%-6d%-6d%-8o%-10zu`\n", name, 0, 0, 0, 0644, size) == 60 &&
         fwrite(LLVMGetBufferStart(objects->data[i]), size, 1, out) == 1 &&
         (size % 2 == 0 || fputc('\n', out) == '\n');
  }
  return ok;
}
