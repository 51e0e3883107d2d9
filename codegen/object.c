// object.c: object files that hold the constants and a symbol for them: ELF of both classes, WebAssembly.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

#include <elf.h>

// From here on x86-64's small code model may not reach what lies behind the constants, so that they go into
// a "large" section, which linkers put last.
#define LARGE_BYTES ((int64_t)1 << 30)

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

enum { S_NULL, S_DATA, S_SYMTAB, S_STRTAB, S_NAMES, S_STACK, SECTIONS };

// Section names; the data section's is one of the first two.
static const char section_names[] =
    "\0.rodata.ingot\0.lrodata.ingot\0.symtab\0.strtab\0.shstrtab\0.note.GNU-stack";
enum { N_RODATA = 1, N_LRODATA = 15, N_SYMTAB = 30, N_STRTAB = 38, N_NAMES = 46, N_STACK = 56 };

typedef struct Section {
  unsigned name, type, link, info;
  uint64_t flags, at, size, align, entry;
} Section;

typedef struct ElfObject {
  const ElfMachine *machine;
  int word; // bytes of an address: 4 or 8
  Section section[SECTIONS];
  uint64_t table; // where the section table begins
  Str symbols, names;
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

static void lay_out(ElfObject *o, int64_t bytes, bool large) {
  const uint64_t size[SECTIONS] = {[S_DATA] = (uint64_t)bytes,
                                   [S_SYMTAB] = o->symbols.n,
                                   [S_STRTAB] = o->names.n,
                                   [S_NAMES] = sizeof section_names};
  static const unsigned type[SECTIONS] = {SHT_NULL,   SHT_PROGBITS, SHT_SYMTAB,
                                          SHT_STRTAB, SHT_STRTAB,   SHT_PROGBITS};
  static const unsigned align[SECTIONS] = {0, 64, 8, 1, 1, 1};
  const unsigned name[SECTIONS] = {0, large ? N_LRODATA : N_RODATA, N_SYMTAB, N_STRTAB, N_NAMES, N_STACK};
  uint64_t at = 64;
  for (int i = 1; i < SECTIONS; i++) {
    at = (at + 7) & ~(uint64_t)7;
    o->section[i] = (Section){.name = name[i], .type = type[i], .at = at, .size = size[i], .align = align[i]};
    at += size[i];
  }
  o->section[S_DATA].flags = SHF_ALLOC | (large ? 0x10000000 /* SHF_X86_64_LARGE */ : 0);
  o->section[S_SYMTAB].link = S_STRTAB;
  o->section[S_SYMTAB].info = 1; // first that is not local
  o->section[S_SYMTAB].entry = o->word == 8 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
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
  const uint64_t sizes[] = {wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr), 0,        0,
                            wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr), SECTIONS, S_NAMES};
  for (int i = 0; i < ARRAY_LEN(sizes); i++) put_le(s, sizes[i], 2);
}

static void put_table(const ElfObject *o, Str *s) {
  for (int i = 0; i < SECTIONS; i++) {
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

static bool write_elf(const Plan *p, const ElfMachine *machine, FILE *out) {
  int64_t bytes = p->model.weights.bytes;
  Arena *a = p->arena;
  ElfObject o = {.machine = machine,
                 .word = p->m->target->pointer_bytes,
                 .symbols = {.arena = a},
                 .names = {.arena = a}};
  str_put(&o.names, "", 1);
  str_puts(&o.names, symbol_name(p));
  str_put(&o.names, "", 1);
  put_symbol(&o, (uint64_t)bytes);
  lay_out(&o, bytes, machine->machine == EM_X86_64 && bytes > LARGE_BYTES);
  uint64_t end = o.section[S_DATA].at + (uint64_t)bytes;
  Str head = {.arena = a}, tail = {.arena = a};
  put_head(&o, &head);
  pad(&head, 0, o.section[S_DATA].at);
  pad(&tail, end, o.section[S_SYMTAB].at);
  str_put(&tail, o.symbols.s, o.symbols.n);
  pad(&tail, end, o.section[S_STRTAB].at);
  str_put(&tail, o.names.s, o.names.n);
  pad(&tail, end, o.section[S_NAMES].at);
  str_put(&tail, section_names, sizeof section_names);
  pad(&tail, end, o.table);
  put_table(&o, &tail);
  return put_str(out, &head) && rodata_stream(p, out) && put_str(out, &tail);
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
  return put_str(out, &head) && rodata_stream(p, out) && put_str(out, &tail);
}

bool object_write(const Plan *p, FILE *out) {
  const ElfMachine *m = find_machine(p->m->target);
  return m ? write_elf(p, m, out) : write_wasm(p, out);
}
