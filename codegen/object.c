// object.c: object files that hold the constants, or room for them, and a symbol: ELF of both classes, WebAssembly.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

#include <elf.h>

// From here on x86-64's small code model may not reach what lies behind the constants, so that they go into
// a "large" section, which linkers put last.
#define LARGE_BYTES ((int64_t)1 << 30)
// Of what becomes a segment: every target's largest page.
#define SEGMENT_ALIGN 65536

static const char *symbol_name(const Plan *p) {
  return arena_printf(p->arena, "ingot_weights_%s", p->model.name);
}

// Numbers, little-endian, of 1 to 8 bytes.
static void put_le(Str *s, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; i++) str_put(s, &(char){(char)(v >> (8 * i))}, 1);
}

static bool put_str(FILE *out, const Str *s) {
  return s->n == 0 || fwrite(s->s, s->n, 1, out) == 1;
}

// ---- ELF ----------------------------------------------------------------------------------------------------------

typedef struct ElfMachine {
  const char *runtime; // as in Target
  int machine;
  unsigned flags;
} ElfMachine;

static const ElfMachine elf_machines[] = {
    {"x86_64", EM_X86_64, 0},          {"aarch64", EM_AARCH64, 0},
    {"riscv64", EM_RISCV, 5},      // compressed instructions, floats passed in double registers
    {"armv7", EM_ARM, 0x05000400}, // EABI version 5, floats in registers
    {"thumbv7em", EM_ARM, 0x05000400},
};

static const ElfMachine *find_machine(const Target *t) {
  for (int i = 0; i < ARRAY_LEN(elf_machines); i++)
    if (strcmp(t->runtime, elf_machines[i].runtime) == 0) return &elf_machines[i];
  return NULL;
}

// The note is there in CONSTANTS_SEGMENT only.
enum { S_NULL, S_DATA, S_SYMTAB, S_STRTAB, S_NAMES, S_STACK, S_NOTE, SECTIONS };

// A note of type 1 of "Ingot", without more.
static const unsigned char note[] = {6, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'I', 'n', 'g', 'o', 't', 0, 0, 0};

typedef struct Section {
  unsigned name, type, link, info;
  uint64_t flags, at, size, align, entry;
} Section;

typedef struct ElfObject {
  const ElfMachine *machine;
  ConstantsForm form;
  int word; // bytes of an address: 4 or 8
  Section section[SECTIONS];
  int sections;
  uint64_t table; // where the section table begins
  Str symbols, names, section_names;
} ElfObject;

static void put_symbol(ElfObject *o, uint64_t size) {
  for (int i = 0; i < 16 + (o->word == 8 ? 8 : 0); i++) put_le(&o->symbols, 0, 1);
  uint64_t info = ELF32_ST_INFO(STB_GLOBAL, STT_OBJECT) | STV_HIDDEN << 8 | S_DATA << 16;
  put_le(&o->symbols, 1, 4);
  if (o->word == 8) put_le(&o->symbols, info, 4);
  put_le(&o->symbols, 0, o->word);
  put_le(&o->symbols, size, o->word);
  if (o->word == 4) put_le(&o->symbols, info, 4);
}

static bool is_large(const Plan *p) {
  return strcmp(p->m->target->runtime, "x86_64") == 0 && p->model.weights.bytes > LARGE_BYTES;
}

const char *object_section(const Plan *p, ConstantsForm form) {
  return form == CONSTANTS_SEGMENT ? ".ingot.constants" : is_large(p) ? ".lrodata.ingot" : ".rodata.ingot";
}

static uint64_t data_flags(const Plan *p, ConstantsForm form) {
  if (form == CONSTANTS_SEGMENT) return SHF_ALLOC | SHF_WRITE; // so that it comes behind what is zeroed
  return SHF_ALLOC | (is_large(p) ? 0x10000000 /* SHF_X86_64_LARGE */ : 0);
}

static unsigned add_name(ElfObject *o, const char *name) {
  unsigned at = (unsigned)o->section_names.n;
  str_put(&o->section_names, name, strlen(name) + 1);
  return at;
}

static void lay_out(ElfObject *o, const Plan *p) {
  static const char *const names[] = {
      "", NULL, ".symtab", ".strtab", ".shstrtab", ".note.GNU-stack", CONSTANTS_NOTE};
  static const unsigned type[SECTIONS] = {SHT_NULL,   SHT_NOBITS,   SHT_SYMTAB, SHT_STRTAB,
                                          SHT_STRTAB, SHT_PROGBITS, SHT_NOTE},
                        align[SECTIONS] = {0, INGOT_ALIGN, 8, 1, 1, 1, 4};
  o->sections = o->form == CONSTANTS_SEGMENT ? SECTIONS : S_NOTE;
  for (int i = 0; i < o->sections; i++)
    o->section[i] = (Section){.name = add_name(o, i == S_DATA ? object_section(p, o->form) : names[i]),
                              .type = type[i],
                              .align = align[i]};
  const uint64_t size[SECTIONS] = {[S_DATA] = (uint64_t)p->model.weights.bytes,
                                   [S_SYMTAB] = o->symbols.n,
                                   [S_STRTAB] = o->names.n,
                                   [S_NAMES] = o->section_names.n,
                                   [S_NOTE] = sizeof note};
  Section *data = &o->section[S_DATA];
  if (o->form == CONSTANTS_WHOLE) data->type = SHT_PROGBITS;
  if (o->form == CONSTANTS_SEGMENT) data->align = SEGMENT_ALIGN;
  uint64_t at = 64;
  for (int i = 1; i < o->sections; i++) {
    at = (at + 7) & ~(uint64_t)7;
    o->section[i].at = at;
    o->section[i].size = size[i];
    if (o->section[i].type != SHT_NOBITS) at += size[i];
  }
  data->flags = data_flags(p, o->form);
  o->section[S_SYMTAB].link = S_STRTAB;
  o->section[S_SYMTAB].info = 1; // first that is not local
  o->section[S_SYMTAB].entry = o->word == 8 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
  if (o->form == CONSTANTS_SEGMENT) o->section[S_NOTE].flags = SHF_ALLOC;
  o->table = (at + 7) & ~(uint64_t)7;
}

static void put_head(const ElfObject *o, Str *s) {
  bool wide = o->word == 8;
  const unsigned char ident[EI_NIDENT] = {0x7f,        'E',       'L', 'F', wide ? ELFCLASS64 : ELFCLASS32,
                                          ELFDATA2LSB, EV_CURRENT};
  str_put(s, (const char *)ident, sizeof ident);
  put_le(s, ET_REL, 2);
  put_le(s, (uint64_t)o->machine->machine, 2);
  put_le(s, EV_CURRENT, 4);
  put_le(s, 0, o->word); // no entry, no segments
  put_le(s, 0, o->word);
  put_le(s, o->table, o->word);
  put_le(s, o->machine->flags, 4);
  const uint64_t sizes[] = {wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr),
                            0,
                            0,
                            wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr),
                            (uint64_t)o->sections,
                            S_NAMES};
  for (int i = 0; i < ARRAY_LEN(sizes); i++) put_le(s, sizes[i], 2);
}

static void put_table(const ElfObject *o, Str *s) {
  for (int i = 0; i < o->sections; i++) {
    const Section *x = &o->section[i];
    put_le(s, x->name, 4);
    put_le(s, x->type, 4);
    const uint64_t wide[] = {x->flags, 0, x->at, x->size};
    for (int k = 0; k < ARRAY_LEN(wide); k++) put_le(s, wide[k], o->word);
    put_le(s, x->link, 4);
    put_le(s, x->info, 4);
    put_le(s, x->align, o->word);
    put_le(s, x->entry, o->word);
  }
}

// Zeros up to offset `to` of the text that began at `from`.
static void pad(Str *s, uint64_t from, uint64_t to) {
  while (from + s->n < to) str_put(s, "", 1);
}

// The file between `head` and `tail`: constants, or nothing.
static bool put_all(const Plan *p, const Str *head, const Str *tail, bool constants, FILE *out) {
  int64_t bytes = constants ? p->model.weights.bytes : 0;
  if (!put_str(out, head) || fflush(out) != 0) return false;
  if (bytes && !rodata_write(p, fileno(out), (int64_t)head->n)) return false;
  return fseeko(out, (off_t)head->n + bytes, SEEK_SET) == 0 && put_str(out, tail);
}

static bool write_elf(const Plan *p, const ElfMachine *machine, ConstantsForm form, FILE *out) {
  Arena *a = p->arena;
  ElfObject o = {.machine = machine,
                 .form = form,
                 .word = p->m->target->pointer_bytes,
                 .symbols = {.arena = a},
                 .names = {.arena = a},
                 .section_names = {.arena = a}};
  str_put(&o.names, "", 1);
  str_puts(&o.names, symbol_name(p));
  str_put(&o.names, "", 1);
  put_symbol(&o, (uint64_t)p->model.weights.bytes);
  lay_out(&o, p);
  bool whole = form == CONSTANTS_WHOLE;
  uint64_t end = o.section[S_DATA].at + (whole ? (uint64_t)p->model.weights.bytes : 0);
  Str head = {.arena = a}, tail = {.arena = a};
  put_head(&o, &head);
  pad(&head, 0, o.section[S_DATA].at);
  const Str parts[SECTIONS] = {[S_SYMTAB] = o.symbols,
                               [S_STRTAB] = o.names,
                               [S_NAMES] = o.section_names,
                               [S_NOTE] = {.s = (char *)(uintptr_t)note, .n = sizeof note}};
  for (int i = S_SYMTAB; i < o.sections; i++) {
    pad(&tail, end, o.section[i].at);
    if (parts[i].n) str_put(&tail, parts[i].s, parts[i].n);
  }
  pad(&tail, end, o.table);
  put_table(&o, &tail);
  return put_all(p, &head, &tail, whole, out);
}

// ---- WebAssembly --------------------------------------------------------------------------------------------------

static void put_leb(Str *s, uint64_t v) {
  do {
    unsigned byte = v & 0x7f;
    v >>= 7;
    str_put(s, &(char){(char)(byte | (v ? 0x80 : 0))}, 1);
  } while (v);
}

static void put_name(Str *s, const char *name) {
  put_leb(s, strlen(name));
  str_puts(s, name);
}

// A section of a module, or a subsection of its "linking" section: number, length, contents.
static void put_section(Str *s, int id, const Str *body) {
  put_leb(s, (uint64_t)id);
  put_leb(s, body->n);
  str_put(s, body->s, body->n);
}

// The memory that every object takes from its surroundings.
static void put_memory_import(Str *s, Arena *a) {
  Str body = {.arena = a};
  put_leb(&body, 1);
  put_name(&body, "env");
  put_name(&body, "__linear_memory");
  str_put(&body, "\2\0\0", 3); // a memory, no limit, at least 0 pages
  put_section(s, 2, &body);
}

// What the linker wants to know: the data segment's name and alignment, and the symbol that lies in it.
static void put_linking(Str *s, const Plan *p) {
  Str body = {.arena = p->arena}, segments = {.arena = p->arena}, symbols = {.arena = p->arena};
  put_name(&body, "linking");
  put_leb(&body, 2); // version
  put_leb(&segments, 1);
  put_name(&segments, ".rodata.ingot");
  put_leb(&segments, 6); // alignment, as a power of two
  put_leb(&segments, 0);
  put_section(&body, 5, &segments);
  put_leb(&symbols, 1);
  put_leb(&symbols, 1); // data
  put_leb(&symbols, 4); // hidden
  put_name(&symbols, symbol_name(p));
  put_leb(&symbols, 0); // segment, offset, size
  put_leb(&symbols, 0);
  put_leb(&symbols, (uint64_t)p->model.weights.bytes);
  put_section(&body, 8, &symbols);
  put_section(s, 0, &body);
}

static bool write_wasm(const Plan *p, FILE *out) {
  Str head = {.arena = p->arena}, start = {.arena = p->arena}, tail = {.arena = p->arena};
  uint64_t bytes = (uint64_t)p->model.weights.bytes;
  str_put(&head, "\0asm\1\0\0\0", 8);
  put_memory_import(&head, p->arena);
  put_leb(&start, 1); // one segment, active, at address 0 until the linker moves it
  str_put(&start, "\0\x41\0\x0b", 4);
  put_leb(&start, bytes);
  put_leb(&head, 11); // the data section
  put_leb(&head, start.n + bytes);
  str_put(&head, start.s, start.n);
  put_linking(&tail, p);
  return put_all(p, &head, &tail, true, out);
}

bool object_write(const Plan *p, ConstantsForm form, FILE *out) {
  const ElfMachine *m = find_machine(p->m->target);
  return m ? write_elf(p, m, form, out) : write_wasm(p, out);
}
