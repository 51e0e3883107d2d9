// localize.c: makes the hidden symbols of a relocatable object local, in place.
// SPDX-License-Identifier: Apache-2.0
//
// An object for users to link defines the documented symbols and nothing else. The linker that made it of
// several leaves hidden symbols visible to other objects, where the executors of two models would clash. Local
// symbols come first in the table, so that all references by number change with it.
#include "codegen/internal.h"

#include <elf.h>
#include <errno.h>

// Where symbols went: the new number of each.
typedef struct Moved {
  uint32_t *to;
  uint32_t n;
} Moved;

static unsigned section_link(const ElfImage *m, unsigned i) {
  return (unsigned)elf_get(elf_section(m, i) + m->k->sh_link, 4);
}
static unsigned char *section_data(const ElfImage *m, unsigned i) {
  return m->data + elf_get(elf_section(m, i) + m->k->sh_offset, m->k->word);
}
static uint64_t section_size(const ElfImage *m, unsigned i) {
  return elf_get(elf_section(m, i) + m->k->sh_size, m->k->word);
}

// ---- symbols --------------------------------------------------------------------------------------------------

static bool becomes_local(const ElfImage *m, const unsigned char *sym) {
  unsigned info = sym[m->k->info], other = sym[m->k->info + 1];
  bool defined = elf_get(sym + m->k->shndx, 2) != SHN_UNDEF;
  return info >> 4 == STB_LOCAL || (defined && (other & 3) >= STV_INTERNAL && (other & 3) <= STV_HIDDEN);
}

// Copies the symbols of one kind to the front of what is left of the table.
static uint32_t gather(const ElfImage *m, const unsigned char *from, unsigned char *to, Moved *moved,
                       uint32_t at, bool local) {
  for (uint32_t i = 0; i < moved->n; i++) {
    const unsigned char *sym = from + i * m->k->sym;
    if (becomes_local(m, sym) != local) continue;
    unsigned char *copy = to + at * m->k->sym;
    memcpy(copy, sym, m->k->sym);
    if (local) {
      copy[m->k->info] = (unsigned char)(STB_LOCAL << 4 | (copy[m->k->info] & 15));
      copy[m->k->info + 1] &= (unsigned char)~3u;
    }
    moved->to[i] = at++;
  }
  return at;
}

static Moved reorder(const ElfImage *m, unsigned section, Arena *a) {
  Moved moved = {.n = (uint32_t)(section_size(m, section) / m->k->sym)};
  const unsigned char *from = arena_dup(a, section_data(m, section), section_size(m, section));
  moved.to = NEW_ARRAY(a, uint32_t, moved.n + 1);
  uint32_t locals = gather(m, from, section_data(m, section), &moved, 0, true);
  gather(m, from, section_data(m, section), &moved, locals, false);
  elf_set(elf_section(m, section) + m->k->sh_info, locals, 4);
  return moved;
}

// ---- references to symbols --------------------------------------------------------------------------------------

// r_info follows the offset: a symbol above a type of 8 or 32 bits.
static bool renumber_relocations(const ElfImage *m, const Moved *moved, unsigned section, bool addend) {
  int word = m->k->word, shift = word == 8 ? 32 : 8;
  size_t each = (size_t)word * (addend ? 3 : 2), n = section_size(m, section) / each;
  unsigned char *at = section_data(m, section) + word;
  for (size_t i = 0; i < n; i++, at += each) {
    uint64_t info = elf_get(at, word), type = info & (((uint64_t)1 << shift) - 1);
    if (info >> shift >= moved->n) return false;
    elf_set(at, (uint64_t)moved->to[info >> shift] << shift | type, word);
  }
  return true;
}

static bool renumber_group(const ElfImage *m, const Moved *moved, unsigned section) {
  unsigned char *info = elf_section(m, section) + m->k->sh_info;
  uint64_t symbol = elf_get(info, 4);
  if (symbol >= moved->n) return false;
  elf_set(info, moved->to[symbol], 4);
  return true;
}

// False for what is damaged, and for tables of section numbers, which more than 65279 sections need.
static bool renumber(const ElfImage *m, const Moved *moved, unsigned section) {
  if (!elf_is_inside(m, section)) return false;
  switch (elf_section_type(m, section)) {
  case SHT_REL: return renumber_relocations(m, moved, section, false);
  case SHT_RELA: return renumber_relocations(m, moved, section, true);
  case SHT_GROUP: return renumber_group(m, moved, section);
  case SHT_SYMTAB_SHNDX: return false;
  default: return true;
  }
}

static bool localize(const ElfImage *m, Arena *a) {
  unsigned symtab = 0;
  for (unsigned i = 1; i < m->sections; i++)
    if (elf_section_type(m, i) == SHT_SYMTAB) symtab = i;
  if (!symtab || !elf_is_inside(m, symtab)) return false;
  Moved moved = reorder(m, symtab, a);
  for (unsigned i = 1; i < m->sections; i++)
    if (section_link(m, i) == symtab && !renumber(m, &moved, i)) return false;
  return true;
}

bool localize_file(const Plan *p, const char *path) {
  ElfImage m;
  bool ok = elf_open(&m, path);
  if (!ok)
    diag_error(p->c->diag, NO_LOC, "cannot change '%s': %s", path, strerror(errno));
  else if (!(ok = m.legal && localize(&m, p->arena)))
    diag_error(p->c->diag, NO_LOC, "the linker's object '%s' is not what was expected", path);
  elf_close(&m);
  return ok;
}
