// elf.c: ELF files that a linker has just written, read and changed in place.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLASS(E, bytes)                                                                                      \
  {                                                                                                          \
    .word = bytes, .shdr = sizeof(E##_Shdr), .phdr = sizeof(E##_Phdr), .sym = sizeof(E##_Sym),               \
    .phoff = offsetof(E##_Ehdr, e_phoff), .shoff = offsetof(E##_Ehdr, e_shoff),                              \
    .phentsize = offsetof(E##_Ehdr, e_phentsize), .phnum = offsetof(E##_Ehdr, e_phnum),                      \
    .shentsize = offsetof(E##_Ehdr, e_shentsize), .shnum = offsetof(E##_Ehdr, e_shnum),                      \
    .shstrndx = offsetof(E##_Ehdr, e_shstrndx), .sh_flags = offsetof(E##_Shdr, sh_flags),                    \
    .sh_addr = offsetof(E##_Shdr, sh_addr), .sh_offset = offsetof(E##_Shdr, sh_offset),                      \
    .sh_size = offsetof(E##_Shdr, sh_size), .sh_link = offsetof(E##_Shdr, sh_link),                          \
    .sh_info = offsetof(E##_Shdr, sh_info), .info = offsetof(E##_Sym, st_info),                              \
    .shndx = offsetof(E##_Sym, st_shndx), .p_flags = offsetof(E##_Phdr, p_flags),                            \
    .p_offset = offsetof(E##_Phdr, p_offset), .p_vaddr = offsetof(E##_Phdr, p_vaddr),                        \
    .p_paddr = offsetof(E##_Phdr, p_paddr), .p_filesz = offsetof(E##_Phdr, p_filesz),                        \
    .p_memsz = offsetof(E##_Phdr, p_memsz), .p_align = offsetof(E##_Phdr, p_align)                           \
  }
static const ElfClass classes[] = {CLASS(Elf32, 4), CLASS(Elf64, 8)};

uint64_t elf_get(const unsigned char *p, int bytes) {
  uint64_t v = 0;
  for (int i = 0; i < bytes; i++) v |= (uint64_t)p[i] << (8 * i);
  return v;
}

void elf_set(unsigned char *p, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; i++) p[i] = (unsigned char)(v >> (8 * i));
}

// Do `n` entries of that size lie in the file from `at` on?
static bool table_fits(const ElfImage *m, uint64_t at, unsigned n, uint64_t entry, size_t want) {
  return n == 0 || (entry == want && at <= m->size && n <= (m->size - at) / entry);
}

static bool read_headers(ElfImage *m) {
  if (m->size < sizeof(Elf64_Ehdr) || memcmp(m->data, ELFMAG, SELFMAG) != 0) return false;
  const ElfClass *k = m->k = &classes[m->data[EI_CLASS] == ELFCLASS64];
  m->type = (unsigned)elf_get(m->data + offsetof(Elf64_Ehdr, e_type), 2);
  m->table = elf_get(m->data + k->shoff, k->word);
  m->sections = (unsigned)elf_get(m->data + k->shnum, 2); // 0 if there are more than 65279
  m->names = (unsigned)elf_get(m->data + k->shstrndx, 2);
  m->segment_table = elf_get(m->data + k->phoff, k->word);
  m->segments = (unsigned)elf_get(m->data + k->phnum, 2);
  return table_fits(m, m->table, m->sections, elf_get(m->data + k->shentsize, 2), k->shdr) &&
         table_fits(m, m->segment_table, m->segments, elf_get(m->data + k->phentsize, 2), k->phdr);
}

bool elf_open(ElfImage *m, const char *path) {
  struct stat st;
  *m = (ElfImage){.fd = open(path, O_RDWR | O_CLOEXEC)};
  if (m->fd < 0 || fstat(m->fd, &st) != 0) return false;
  m->size = (size_t)st.st_size;
  if (m->size) m->data = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
  if (m->data == MAP_FAILED) m->data = NULL;
  if (!m->data && m->size) return false;
  m->legal = m->data && read_headers(m);
  return true;
}

void elf_close(ElfImage *m) {
  if (m->data) munmap(m->data, m->size);
  if (m->fd >= 0) close(m->fd);
}

unsigned char *elf_section(const ElfImage *m, unsigned i) {
  return m->data + m->table + i * m->k->shdr;
}

unsigned char *elf_segment(const ElfImage *m, unsigned i) {
  return m->data + m->segment_table + i * m->k->phdr;
}

unsigned elf_section_type(const ElfImage *m, unsigned i) {
  return (unsigned)elf_get(elf_section(m, i) + 4, 4);
}

bool elf_is_inside(const ElfImage *m, unsigned i) {
  uint64_t at = elf_get(elf_section(m, i) + m->k->sh_offset, m->k->word),
           size = elf_get(elf_section(m, i) + m->k->sh_size, m->k->word);
  return at <= m->size && size <= m->size - at;
}

unsigned elf_find_section(const ElfImage *m, const char *name) {
  if (m->names >= m->sections || !elf_is_inside(m, m->names)) return 0;
  const char *names = (const char *)m->data + elf_get(elf_section(m, m->names) + m->k->sh_offset, m->k->word);
  uint64_t size = elf_get(elf_section(m, m->names) + m->k->sh_size, m->k->word), n = strlen(name) + 1;
  for (unsigned i = 1; i < m->sections; i++) {
    uint64_t at = elf_get(elf_section(m, i), 4);
    if (at < size && n <= size - at && memcmp(names + at, name, n) == 0) return i;
  }
  return 0;
}
