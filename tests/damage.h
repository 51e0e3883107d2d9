// damage.h: damaged copies of files, for the short runs of the fuzz targets: the same ones in every run.
// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_DAMAGE_H
#define TESTS_DAMAGE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t random_below(uint64_t *state, uint32_t n) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33) % n;
}

// Changes some bytes, cuts out a part or repeats one; returns the new size. `nasty`: bytes that mean something to the
// format, or nothing to anyone.
static inline size_t damage(uint8_t *p, size_t n, const char *nasty, size_t n_nasty, uint64_t *state) {
  for (uint32_t i = 0, times = 1 + random_below(state, 4); i < times && n > 2; i++) {
    size_t at = random_below(state, (uint32_t)n), len = random_below(state, (uint32_t)(n - at)) % 32;
    switch (random_below(state, 5)) {
    case 0: p[at] ^= (uint8_t)(1u << random_below(state, 8)); break;
    case 1: p[at] = (uint8_t)nasty[random_below(state, (uint32_t)n_nasty)]; break;
    case 2: memmove(p + at, p + at + len, n - at - len), n -= len; break;
    case 3: memmove(p + at, p + random_below(state, (uint32_t)(n - len)), len); break;
    default: n = random_below(state, 8) ? n : at; break;
    }
  }
  return n;
}

// What a reader may need for a file of up to a megabyte (SECURITY.md).
enum { LARGE_FILE = 1 << 20, LARGE_SECONDS = 2, LARGE_MIB = 512 };

// A part of the file again and again, until `size` is reached: many lines, deep nesting, long names. Whole lines, every
// other time. Returns the new size; out has room for `size`.
static inline size_t grow(uint8_t *out, size_t size, const uint8_t *p, size_t n, uint64_t *state) {
  size_t at = random_below(state, (uint32_t)n), end = at + 1 + random_below(state, (uint32_t)(n - at)) % 200,
         to = 0;
  if (random_below(state, 2)) {
    while (at > 0 && p[at - 1] != '\n') at--;
    while (end < n && p[end - 1] != '\n') end++;
  }
  if (end > n) end = n;
  for (size_t i = 0; i < at && to < size; i++) out[to++] = p[i];
  while (to + (end - at) + (n - end) <= size)
    for (size_t i = at; i < end; i++) out[to++] = p[i];
  for (size_t i = end; i < n && to < size; i++) out[to++] = p[i];
  return to;
}

#endif
