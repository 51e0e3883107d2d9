// rodata.c: the constants' bytes, in memory, in a file, or in an ELF object with a symbol for them.
// SPDX-License-Identifier: Apache-2.0
//
// The object is written front to back with no more memory than the largest constant that needs packing:
// LLVM constants or an assembler would take seconds and gigabytes for what a disk writes at once.
#include "codegen/internal.h"

#include <elf.h>
#include <stdlib.h>

// From here on x86-64's small code model may not reach what lies behind the constants, so that they go into
// a "large" section, which linkers put last.
#define LARGE_BYTES ((int64_t)1 << 30)

// ---- bytes ------------------------------------------------------------------------------------------------------

void rodata_fill(const Plan *p, void *to) {
  for (int i = 0; i < p->constants.n; i++) {
    const Constant *k = p->constants.data[i];
    layout_pack(p->c, k->layout, k->tensor, (char *)to + k->offset);
  }
}

static bool put_zeros(FILE *out, int64_t n) {
  static const char zeros[64];
  for (; n > 0; n -= 64)
    if (!fwrite(zeros, (size_t)(n < 64 ? n : 64), 1, out)) return false;
  return true;
}

static bool put_constant(const Plan *p, const Constant *k, FILE *out) {
  if (k->bytes == 0) return true;
  if (!k->layout) return fwrite(k->tensor->data, (size_t)k->bytes, 1, out) == 1;
  void *packed = malloc((size_t)k->bytes);
  if (!packed) {
    diag_error(p->c->diag, NO_LOC, "out of memory");
    return false;
  }
  layout_pack(p->c, k->layout, k->tensor, packed);
  bool ok = fwrite(packed, (size_t)k->bytes, 1, out) == 1;
  free(packed);
  return ok;
}

bool rodata_stream(const Plan *p, FILE *out) {
  int64_t at = 0;
  for (int i = 0; i < p->constants.n; i++) {
    const Constant *k = p->constants.data[i];
    if (!put_zeros(out, k->offset - at) || !put_constant(p, k, out)) return false;
    at = k->offset + k->bytes;
  }
  return true;
}

// ---- the ELF object -----------------------------------------------------------------------------------------------

typedef struct ElfMachine {
  const char *triple; // how it begins
  int machine;
  unsigned flags;
} ElfMachine;

static const ElfMachine elf_machines[] = {
    {"x86_64", EM_X86_64, 0},
    {"aarch64", EM_AARCH64, 0},
    {"riscv64", EM_RISCV, 5}, // compressed instructions, floats passed in double registers
};

static const ElfMachine *find_machine(const char *triple) {
  for (int i = 0; i < ARRAY_LEN(elf_machines); i++)
    if (strncmp(triple, elf_machines[i].triple, strlen(elf_machines[i].triple)) == 0) return &elf_machines[i];
  return NULL;
}

enum { S_NULL, S_DATA, S_SYMTAB, S_STRTAB, S_NAMES, S_STACK, SECTIONS };

// Section names; the data section's offset in them depends on which of the two it is.
static const char section_names[] =
    "\0.rodata.ingot\0.lrodata.ingot\0.symtab\0.strtab\0.shstrtab\0.note.GNU-stack";
enum { N_RODATA = 1, N_LRODATA = 15, N_SYMTAB = 30, N_STRTAB = 38, N_NAMES = 46, N_STACK = 56 };

typedef struct ElfObject {
  Elf64_Ehdr head;
  Elf64_Shdr section[SECTIONS];
  Elf64_Sym symbol[2];
  char names[128]; // of symbols
  size_t names_size;
} ElfObject;

static void lay_out(ElfObject *o, int64_t bytes, bool large) {
  uint64_t at = 64, size[SECTIONS] = {[S_DATA] = (uint64_t)bytes,
                                      [S_SYMTAB] = sizeof o->symbol,
                                      [S_STRTAB] = o->names_size,
                                      [S_NAMES] = sizeof section_names};
  static const int type[SECTIONS] = {SHT_NULL,   SHT_PROGBITS, SHT_SYMTAB,
                                     SHT_STRTAB, SHT_STRTAB,   SHT_PROGBITS};
  static const int align[SECTIONS] = {0, 64, 8, 1, 1, 1};
  const int name[SECTIONS] = {0, large ? N_LRODATA : N_RODATA, N_SYMTAB, N_STRTAB, N_NAMES, N_STACK};
  for (int i = 1; i < SECTIONS; i++) {
    at = (at + 7) & ~(uint64_t)7;
    if (i == S_DATA) at = 64;
    o->section[i] = (Elf64_Shdr){.sh_name = (Elf64_Word)name[i],
                                 .sh_type = (Elf64_Word)type[i],
                                 .sh_offset = at,
                                 .sh_size = size[i],
                                 .sh_addralign = (Elf64_Xword)align[i]};
    at += size[i];
  }
  o->section[S_DATA].sh_flags = SHF_ALLOC | (large ? 0x10000000 /* SHF_X86_64_LARGE */ : 0);
  o->section[S_SYMTAB].sh_link = S_STRTAB;
  o->section[S_SYMTAB].sh_info = 1; // first that is not local
  o->section[S_SYMTAB].sh_entsize = sizeof(Elf64_Sym);
  o->head.e_shoff = (at + 7) & ~(uint64_t)7;
}

static void fill_head(ElfObject *o, const ElfMachine *m) {
  static const unsigned char ident[EI_NIDENT] = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
  memcpy(o->head.e_ident, ident, sizeof ident);
  o->head.e_type = ET_REL;
  o->head.e_machine = (Elf64_Half)m->machine;
  o->head.e_version = EV_CURRENT;
  o->head.e_flags = m->flags;
  o->head.e_ehsize = sizeof(Elf64_Ehdr);
  o->head.e_shentsize = sizeof(Elf64_Shdr);
  o->head.e_shnum = SECTIONS;
  o->head.e_shstrndx = S_NAMES;
}

// Zeros up to offset `to`; the stream stands at *at.
static bool put_at(FILE *out, uint64_t *at, uint64_t to, const void *data, uint64_t size) {
  if (!put_zeros(out, (int64_t)(to - *at)) || (size && !fwrite(data, size, 1, out))) return false;
  *at = to + size;
  return true;
}

bool rodata_write_object(const Plan *p, FILE *out) {
  const ElfMachine *m = find_machine(p->m->target->triple);
  if (!m) {
    diag_error(p->c->diag, NO_LOC, "constants cannot be written for target '%s'", p->m->target->name);
    return false;
  }
  int64_t bytes = p->model.weights.bytes;
  ElfObject o = {.names_size = 1};
  int n = snprintf(o.names + 1, sizeof o.names - 1, "ingot_weights_%.100s", p->model.name);
  o.names_size += (size_t)n + 1;
  o.symbol[1] = (Elf64_Sym){.st_name = 1,
                            .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
                            .st_other = STV_HIDDEN,
                            .st_shndx = S_DATA,
                            .st_size = (uint64_t)bytes};
  fill_head(&o, m);
  lay_out(&o, bytes, m->machine == EM_X86_64 && bytes > LARGE_BYTES);
  uint64_t at = 0, data_end = o.section[S_DATA].sh_offset + (uint64_t)bytes;
  if (!put_at(out, &at, 0, &o.head, sizeof o.head) || !rodata_stream(p, out)) return false;
  at = data_end;
  return put_at(out, &at, o.section[S_SYMTAB].sh_offset, o.symbol, sizeof o.symbol) &&
         put_at(out, &at, o.section[S_STRTAB].sh_offset, o.names, o.names_size) &&
         put_at(out, &at, o.section[S_NAMES].sh_offset, section_names, sizeof section_names) &&
         put_at(out, &at, o.head.e_shoff, o.section, sizeof o.section);
}
