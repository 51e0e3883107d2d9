// elf.c: looks at a library's file before it is loaded: is it one, is it whole, is it for this machine.
// SPDX-License-Identifier: Apache-2.0
#include "loader.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if UINTPTR_MAX == UINT64_MAX
typedef Elf64_Ehdr Header;
typedef Elf64_Phdr Segment;
enum { OWN_CLASS = ELFCLASS64 };
#else
typedef Elf32_Ehdr Header;
typedef Elf32_Phdr Segment;
enum { OWN_CLASS = ELFCLASS32 };
#endif

#if defined(__x86_64__)
enum { OWN_MACHINE = EM_X86_64 };
#elif defined(__i386__)
enum { OWN_MACHINE = EM_386 };
#elif defined(__aarch64__)
enum { OWN_MACHINE = EM_AARCH64 };
#elif defined(__arm__)
enum { OWN_MACHINE = EM_ARM };
#elif defined(__riscv)
enum { OWN_MACHINE = 243 };
#else
enum { OWN_MACHINE = EM_NONE }; // anything goes: dlopen will tell
#endif

static const char *machine_name(int machine, char *room, size_t size) {
  static const struct {
    int machine;
    const char *name;
  } names[] = {{EM_X86_64, "x86-64"}, {EM_386, "x86"},         {EM_AARCH64, "aarch64"}, {EM_ARM, "arm"},
               {243, "riscv"},        {EM_PPC64, "powerpc64"}, {EM_S390, "s390"},       {EM_MIPS, "mips"}};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (names[i].machine == machine) return names[i].name;
  snprintf(room, size, "machine %d", machine);
  return room;
}

static bool read_at(int fd, void *to, size_t n, uint64_t at) {
  return pread(fd, to, n, (off_t)at) == (ssize_t)n;
}

static bool inside(uint64_t at, uint64_t n, uint64_t size) {
  return at <= size && n <= size - at;
}

// Segments and the section table, which linkers put at the end of the file, lie inside the file.
static bool is_whole(int fd, const Header *h, uint64_t size) {
  if (!inside(h->e_phoff, (uint64_t)h->e_phnum * sizeof(Segment), size)) return false;
  if (!inside(h->e_shoff, (uint64_t)h->e_shnum * h->e_shentsize, size)) return false;
  for (int i = 0; i < h->e_phnum; i++) {
    Segment s;
    if (!read_at(fd, &s, sizeof s, h->e_phoff + (uint64_t)i * sizeof s)) return false;
    if (!inside(s.p_offset, s.p_filesz, size)) return false;
  }
  return true;
}

static int own_data_order(void) {
  const uint16_t one = 1;
  return *(const uint8_t *)&one ? ELFDATA2LSB : ELFDATA2MSB;
}

// e_machine lies at the same place in both classes; only the byte order may differ.
static int machine_of(const unsigned char *ident) {
  int lo = ident[offsetof(Header, e_machine)], hi = ident[offsetof(Header, e_machine) + 1];
  return ident[EI_DATA] == ELFDATA2MSB ? lo << 8 | hi : hi << 8 | lo;
}

static int check_machine(const unsigned char *start, Text *err) {
  char a[32], b[32];
  int machine = machine_of(start);
  bool same = start[EI_CLASS] == OWN_CLASS && start[EI_DATA] == own_data_order() && machine == OWN_MACHINE;
  if (OWN_MACHINE == EM_NONE || same) return INGOT_OK;
  return ingot_text_fail(err, INGOT_E_ARCH, "made for %s, %d bits, this program runs on %s, %d bits",
                         machine_name(machine, a, sizeof a), start[EI_CLASS] == ELFCLASS64 ? 64 : 32,
                         machine_name(OWN_MACHINE, b, sizeof b), OWN_CLASS == ELFCLASS64 ? 64 : 32);
}

static int check_open_file(int fd, Text *err) {
  unsigned char start[EI_NIDENT + 4];
  struct stat st;
  Header h;
  if (fstat(fd, &st) != 0) return ingot_text_fail(err, INGOT_E_FILE, "%s", strerror(errno));
  if (!S_ISREG(st.st_mode)) return ingot_text_fail(err, INGOT_E_FILE, "not a regular file");
  if (st.st_size < (off_t)sizeof start || !read_at(fd, start, sizeof start, 0) ||
      memcmp(start, ELFMAG, SELFMAG) != 0)
    return ingot_text_fail(err, INGOT_E_FORMAT, "not a shared library");
  int code = check_machine(start, err);
  if (code) return code;
  if (!read_at(fd, &h, sizeof h, 0)) return ingot_text_fail(err, INGOT_E_FORMAT, "truncated");
  if (h.e_type != ET_DYN)
    return ingot_text_fail(err, INGOT_E_FORMAT, "an ELF file, but not a shared library");
  if (h.e_phentsize != sizeof(Segment))
    return ingot_text_fail(err, INGOT_E_FORMAT, "damaged: wrong size of program headers");
  if (!is_whole(fd, &h, (uint64_t)st.st_size)) return ingot_text_fail(err, INGOT_E_FORMAT, "truncated");
  return INGOT_OK;
}

int ingot_elf_check(const char *path, Text *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ingot_text_fail(err, INGOT_E_FILE, "%s", strerror(errno));
  int code = check_open_file(fd, err);
  close(fd);
  return code;
}
