// random.h: the fuzzers' random numbers: the same everywhere for the same seed.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_FUZZ_RANDOM_H
#define INGOT_FUZZ_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Rng {
  uint64_t state;
} Rng;

// SplitMix64 (Steele, Lea, Flood 2014).
static inline uint64_t rng_next(Rng *r) {
  uint64_t z = r->state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static inline int64_t rng_below(Rng *r, int64_t n) {
  return n > 1 ? (int64_t)(rng_next(r) % (uint64_t)n) : 0;
}

// lo <= x <= hi
static inline int64_t rng_range(Rng *r, int64_t lo, int64_t hi) {
  return lo + rng_below(r, hi - lo + 1);
}

static inline bool rng_chance(Rng *r, int percent) {
  return rng_below(r, 100) < percent;
}

// 0 <= x < 1
static inline double rng_unit(Rng *r) {
  return (double)(rng_next(r) >> 11) * 0x1p-53;
}

#define rng_pick(r, list) ((list)[rng_below((r), (int64_t)(sizeof(list) / sizeof((list)[0])))])

#endif
