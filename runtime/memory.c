// memory.c: the blocks that contexts live in.
// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BLOCK_ALIGN = 128 };

static uint64_t round_up(uint64_t bytes, uint64_t unit) {
  return (bytes + unit - 1) & ~(unit - 1);
}

// What of a block lies on huge pages. A rest of half a page and more takes a whole one: bringing in a huge page takes
// the time of some hundred small ones.
static uint64_t huge_size(uint64_t bytes) {
  return (bytes + HUGE_PAGE / 2) & ~(uint64_t)(HUGE_PAGE - 1);
}

// A multiple of every page size in use, with room for the rest of the last huge page.
static uint64_t mapped_size(uint64_t bytes) {
  return round_up(bytes, 65536) + HUGE_PAGE / 2;
}

static void *map_block(uint64_t bytes, uint64_t huge_bytes) {
  uint64_t size = mapped_size(bytes), room = size + HUGE_PAGE;
  if (room < bytes || room > SIZE_MAX) return NULL;
  char *p = mmap(NULL, (size_t)room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  size_t skip = (size_t)(-(uintptr_t)p & (HUGE_PAGE - 1));
  if (skip) munmap(p, skip);
  munmap(p + skip + size, (size_t)(room - size - skip));
#ifdef MADV_HUGEPAGE
  uint64_t huge = huge_size(huge_bytes);
  if (huge) madvise(p + skip, (size_t)huge, MADV_HUGEPAGE); // only a hint: failure does not matter
#else
  (void)huge_bytes;
#endif
  return p + skip;
}

void *ingot_memory_alloc(uint64_t bytes, uint64_t huge_bytes) {
  if (bytes >= HUGE_PAGE) return map_block(bytes, huge_bytes);
  void *p = aligned_alloc(BLOCK_ALIGN, (size_t)round_up(bytes + 1, BLOCK_ALIGN));
  if (p) memset(p, 0, (size_t)round_up(bytes + 1, BLOCK_ALIGN));
  return p;
}

void ingot_memory_free(void *p, uint64_t bytes) {
  if (!p) return;
  if (bytes >= HUGE_PAGE) {
    munmap(p, (size_t)mapped_size(bytes));
  } else {
    free(p);
  }
}
