// localize.c: makes the hidden symbols of a relocatable object local, in place.
// SPDX-License-Identifier: Apache-2.0
//
// An object for users to link defines the documented symbols and nothing else. The linker that made it of
// several leaves hidden symbols visible to other objects, where the executors of two models would clash. Local
// symbols come first in the table, so that all references by number change with it.
#include "codegen/internal.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// What differs between the two classes: sizes, and where fields are.
typedef struct Class {
  size_t shdr, sym, shoff, shentsize, shnum, sh_offset, sh_size, sh_link, sh_info, info, shndx;
  int word;
} Class;

#define CLASS(E, bytes)                                                                                      \
  {                                                                                                          \
    sizeof(E##_Shdr), sizeof(E##_Sym), offsetof(E##_Ehdr, e_shoff), offsetof(E##_Ehdr, e_shentsize),         \
        offsetof(E##_Ehdr, e_shnum), offsetof(E##_Shdr, sh_offset), offsetof(E##_Shdr, sh_size),             \
        offsetof(E##_Shdr, sh_link), offsetof(E##_Shdr, sh_info), offsetof(E##_Sym, st_info),                \
        offsetof(E##_Sym, st_shndx), bytes                                                                   \
  }
static const Class classes[] = {CLASS(Elf32, 4), CLASS(Elf64, 8)};

typedef struct Image {
  Arena *arena;
  unsigned char *data;
  size_t size;
  const Class *k;
  uint64_t table, entry; // section headers
  unsigned sections;
  uint32_t *new_index; // of symbols
  uint32_t symbols;
} Image;

static uint64_t get_le(const unsigned char *p, int bytes) {
  uint64_t v = 0;
  for (int i = 0; i < bytes; i++) v |= (uint64_t)p[i] << (8 * i);
  return v;
}

static void set_le(unsigned char *p, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; i++) p[i] = (unsigned char)(v >> (8 * i));
}

static unsigned char *header(const Image *m, unsigned i) {
  return m->data + m->table + i * m->entry;
}
static unsigned section_type(const Image *m, unsigned i) {
  return (unsigned)get_le(header(m, i) + 4, 4);
}
static unsigned section_link(const Image *m, unsigned i) {
  return (unsigned)get_le(header(m, i) + m->k->sh_link, 4);
}
static unsigned char *section_data(const Image *m, unsigned i) {
  return m->data + get_le(header(m, i) + m->k->sh_offset, m->k->word);
}
static uint64_t section_size(const Image *m, unsigned i) {
  return get_le(header(m, i) + m->k->sh_size, m->k->word);
}

// The headers of what a linker has just written; checked all the same.
static bool open_image(Image *m) {
  if (m->size < sizeof(Elf64_Ehdr) || memcmp(m->data, ELFMAG, SELFMAG) != 0) return false;
  m->k = &classes[m->data[EI_CLASS] == ELFCLASS64];
  m->table = get_le(m->data + m->k->shoff, m->k->word);
  m->entry = get_le(m->data + m->k->shentsize, 2);
  m->sections = (unsigned)get_le(m->data + m->k->shnum, 2); // 0 if there are more than 65279
  return m->entry == m->k->shdr && m->table <= m->size && m->sections <= (m->size - m->table) / m->entry;
}

// Lies the section in the file?
static bool is_inside(const Image *m, unsigned i) {
  uint64_t at = get_le(header(m, i) + m->k->sh_offset, m->k->word), size = section_size(m, i);
  return at <= m->size && size <= m->size - at;
}

// ---- symbols --------------------------------------------------------------------------------------------------

static bool becomes_local(const Image *m, const unsigned char *sym) {
  unsigned info = sym[m->k->info], other = sym[m->k->info + 1];
  bool defined = get_le(sym + m->k->shndx, 2) != SHN_UNDEF;
  return info >> 4 == STB_LOCAL || (defined && (other & 3) >= STV_INTERNAL && (other & 3) <= STV_HIDDEN);
}

// Copies the symbols of one kind to the front of what is left of the table.
static uint32_t gather(Image *m, const unsigned char *from, unsigned char *to, uint32_t n, uint32_t at,
                       bool local) {
  for (uint32_t i = 0; i < n; i++) {
    const unsigned char *sym = from + i * m->k->sym;
    if (becomes_local(m, sym) != local) continue;
    unsigned char *moved = to + at * m->k->sym;
    memcpy(moved, sym, m->k->sym);
    if (local) {
      moved[m->k->info] = (unsigned char)(STB_LOCAL << 4 | (moved[m->k->info] & 15));
      moved[m->k->info + 1] &= (unsigned char)~3u;
    }
    m->new_index[i] = at++;
  }
  return at;
}

static void reorder(Image *m, unsigned section) {
  uint32_t n = (uint32_t)(section_size(m, section) / m->k->sym);
  const unsigned char *from = arena_dup(m->arena, section_data(m, section), section_size(m, section));
  m->symbols = n;
  m->new_index = NEW_ARRAY(m->arena, uint32_t, n + 1);
  uint32_t locals = gather(m, from, section_data(m, section), n, 0, true);
  gather(m, from, section_data(m, section), n, locals, false);
  set_le(header(m, section) + m->k->sh_info, locals, 4);
}

// ---- references to symbols --------------------------------------------------------------------------------------

// r_info follows the offset: a symbol above a type of 8 or 32 bits.
static bool renumber_relocations(const Image *m, unsigned section, bool addend) {
  int word = m->k->word, shift = word == 8 ? 32 : 8;
  size_t each = (size_t)word * (addend ? 3 : 2), n = section_size(m, section) / each;
  unsigned char *at = section_data(m, section) + word;
  for (size_t i = 0; i < n; i++, at += each) {
    uint64_t info = get_le(at, word), type = info & (((uint64_t)1 << shift) - 1);
    if (info >> shift >= m->symbols) return false;
    set_le(at, (uint64_t)m->new_index[info >> shift] << shift | type, word);
  }
  return true;
}

static bool renumber_group(const Image *m, unsigned section) {
  unsigned char *info = header(m, section) + m->k->sh_info;
  uint64_t symbol = get_le(info, 4);
  if (symbol >= m->symbols) return false;
  set_le(info, m->new_index[symbol], 4);
  return true;
}

// False for what is damaged, and for tables of section numbers, which more than 65279 sections need.
static bool renumber(const Image *m, unsigned section) {
  if (!is_inside(m, section)) return false;
  switch (section_type(m, section)) {
  case SHT_REL: return renumber_relocations(m, section, false);
  case SHT_RELA: return renumber_relocations(m, section, true);
  case SHT_GROUP: return renumber_group(m, section);
  case SHT_SYMTAB_SHNDX: return false;
  default: return true;
  }
}

static bool localize(Image *m) {
  if (!open_image(m)) return false;
  unsigned symtab = 0;
  for (unsigned i = 1; i < m->sections; i++)
    if (section_type(m, i) == SHT_SYMTAB) symtab = i;
  if (!symtab || !is_inside(m, symtab)) return false;
  reorder(m, symtab);
  for (unsigned i = 1; i < m->sections; i++)
    if (section_link(m, i) == symtab && !renumber(m, i)) return false;
  return true;
}

bool localize_file(const Plan *p, const char *path) {
  struct stat st;
  Image m = {.arena = p->arena};
  int fd = open(path, O_RDWR | O_CLOEXEC);
  bool ok = fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0;
  if (ok) {
    m.size = (size_t)st.st_size;
    m.data = mmap(NULL, m.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ok = m.data != MAP_FAILED;
  }
  if (!ok)
    diag_error(p->c->diag, NO_LOC, "cannot change '%s': %s", path, strerror(errno));
  else if (!(ok = localize(&m)))
    diag_error(p->c->diag, NO_LOC, "the linker's object '%s' is not what was expected", path);
  if (m.data && m.data != MAP_FAILED) munmap(m.data, m.size);
  if (fd >= 0) close(fd);
  return ok;
}
