// fill.c: puts the constants into a file that was linked without them.
// SPDX-License-Identifier: Apache-2.0
//
// Constants are most of an artefact, and a linker would read and write them once more. So it links a section without
// contents, whose place in memory is all that it has to know: the last one, behind the zeroed data. When it is done,
// the bytes are appended to the file, and the section gets a segment of its own, which is mapped read-only. Where the
// linker has made none, its program header is that of a note, which is linked for this. Relocatable objects have no
// segments: there the section is all.
#include "codegen/internal.h"

#include <elf.h>
#include <errno.h>

static uint64_t field(const ElfImage *m, const unsigned char *header, size_t at) {
  return elf_get(header + at, m->k->word);
}

static void set_field(const ElfImage *m, unsigned char *header, size_t at, uint64_t v) {
  elf_set(header + at, v, m->k->word);
}

static unsigned segment_type(const ElfImage *m, unsigned i) {
  return (unsigned)elf_get(elf_segment(m, i), 4);
}

// The number of the segment of that type whose memory the section is in; m->segments if there is none.
static unsigned find_segment(const ElfImage *m, unsigned type, unsigned section) {
  uint64_t at = field(m, elf_section(m, section), m->k->sh_addr);
  for (unsigned i = 0; i < m->segments; i++) {
    const unsigned char *s = elf_segment(m, i);
    uint64_t begin = field(m, s, m->k->p_vaddr), size = field(m, s, m->k->p_memsz);
    if (segment_type(m, i) == type && at >= begin && at - begin < size) return i;
  }
  return m->segments;
}

// Is segment `load` the last in memory, and do the program headers of all such segments come before number `next`?
static bool is_last(const ElfImage *m, unsigned load, unsigned next) {
  for (unsigned i = 0; i < m->segments; i++) {
    if (segment_type(m, i) != PT_LOAD) continue;
    bool above = field(m, elf_segment(m, i), m->k->p_vaddr) > field(m, elf_segment(m, load), m->k->p_vaddr);
    if (above || i > next) return false;
  }
  return true;
}

// What the segment is aligned to in memory and, by the same remainder, in the file: from some size on whole huge pages, as
// which the kernel maps what it has so in its cache. But not where the file would have to grow much for that.
static uint64_t segment_align(const ElfImage *m, uint64_t begin, uint64_t bytes, uint64_t page) {
  uint64_t hole = (begin - m->size) % HUGE_PAGE;
  return bytes >= 2 * HUGE_PAGE && hole <= bytes / 64 && page < HUGE_PAGE ? HUGE_PAGE : page;
}

static uint64_t page_size(const ElfImage *m) {
  for (unsigned i = 0; i < m->segments; i++)
    if (segment_type(m, i) == PT_LOAD) return field(m, elf_segment(m, i), m->k->p_align);
  return 0;
}

// Gives the section a segment of its own, whose bytes will be in the file at *at: the linker has made one, or it has
// put the section at the end of another, which is cut off there. False if it does not lie as expected.
static bool make_segment(const ElfImage *m, unsigned section, uint64_t *at) {
  const ElfClass *k = m->k;
  unsigned load = find_segment(m, PT_LOAD, section), own = load;
  if (load == m->segments) return false;
  unsigned char *l = elf_segment(m, load);
  uint64_t begin = field(m, elf_section(m, section), k->sh_addr),
           bytes = field(m, elf_section(m, section), k->sh_size), before = begin - field(m, l, k->p_vaddr),
           align = page_size(m);
  if (before) own = find_segment(m, PT_NOTE, elf_find_section(m, CONSTANTS_NOTE));
  if (own == m->segments || !is_last(m, load, own)) return false;
  if (before + bytes != field(m, l, k->p_memsz) || before < field(m, l, k->p_filesz)) return false;
  if (align == 0 || (align & (align - 1)) || begin % align) return false;
  align = segment_align(m, begin, bytes, align);
  *at = m->size + (begin - m->size) % align;
  set_field(m, l, k->p_memsz, before);
  unsigned char *s = elf_segment(m, own);
  elf_set(s, PT_LOAD, 4);
  elf_set(s + k->p_flags, PF_R, 4);
  const struct {
    size_t field;
    uint64_t value;
  } set[] = {{k->p_offset, *at},   {k->p_vaddr, begin}, {k->p_paddr, begin},
             {k->p_filesz, bytes}, {k->p_memsz, bytes}, {k->p_align, align}};
  for (int i = 0; i < ARRAY_LEN(set); i++) set_field(m, s, set[i].field, set[i].value);
  return true;
}

// Where the constants will be in the file, which is told so.
static bool make_room(const Plan *p, const ElfImage *m, ConstantsForm form, uint64_t *at) {
  unsigned section = elf_find_section(m, object_section(p, form));
  if (!section || elf_section_type(m, section) != SHT_NOBITS) return false;
  unsigned char *s = elf_section(m, section);
  if (field(m, s, m->k->sh_size) != (uint64_t)p->model.weights.bytes) return false;
  *at = (m->size + INGOT_ALIGN - 1) & ~(uint64_t)(INGOT_ALIGN - 1);
  if (form == CONSTANTS_SEGMENT && !make_segment(m, section, at)) return false;
  elf_set(s + 4, SHT_PROGBITS, 4);
  set_field(m, s, m->k->sh_flags, field(m, s, m->k->sh_flags) & ~(uint64_t)SHF_WRITE);
  set_field(m, s, m->k->sh_offset, *at);
  return true;
}

FillResult fill_file(const Plan *p, ConstantsForm form, const char *path) {
  ElfImage m;
  uint64_t at;
  FillResult result = FILL_FAILED;
  if (elf_open(&m, path)) {
    if (!m.legal || !make_room(p, &m, form, &at))
      result = FILL_NO_ROOM;
    else if (rodata_write(p, m.fd, (int64_t)at))
      result = FILL_DONE;
  }
  if (result == FILL_FAILED) diag_error(p->c->diag, NO_LOC, "cannot write '%s': %s", path, strerror(errno));
  elf_close(&m);
  return result;
}
