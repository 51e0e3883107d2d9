// hash.c: a fast 64-bit hash of large data: FNV-1a over eight interleaved lanes of 64-bit words.
// SPDX-License-Identifier: Apache-2.0
//
// One lane of byte-wise FNV-1a does a byte per multiply latency; eight lanes of words keep the multiplier
// busy and read at memory speed. It guards against mix-ups and damage, not against an attacker.
#include "internal.h"

#include <string.h>

enum { LANES = INGOT_HASH_LANES };
static const uint64_t fnv_prime = 0x100000001b3u, fnv_basis = 0xcbf29ce484222325u;

// Little-endian on every machine.
static uint64_t load_word(const unsigned char *p, uint64_t n) {
  uint64_t w = 0;
  for (uint64_t i = 0; i < n; i++) w |= (uint64_t)p[i] << (8 * i);
  return w;
}

// Multiplication carries upwards only: without the fold, high bits of a word would never reach low ones.
static uint64_t mix(uint64_t h, uint64_t word) {
  h = (h ^ word) * fnv_prime;
  return h ^ (h >> 32);
}

void ingot_hash_begin(struct ingot_hasher *h) {
  h->bytes = 0;
  for (int i = 0; i < LANES; i++) h->lane[i] = fnv_basis + (uint64_t)i;
}

void ingot_hash_add(struct ingot_hasher *h, const void *data, uint64_t bytes) {
  const unsigned char *p = data;
  uint64_t n = bytes, *lane = h->lane;
  h->bytes += bytes;
  for (; n >= 8 * LANES; n -= 8 * LANES, p += 8 * LANES)
    for (int i = 0; i < LANES; i++) lane[i] = mix(lane[i], load_word(p + 8 * i, 8));
  for (int i = 0; n > 0; i++) {
    uint64_t take = n < 8 ? n : 8;
    lane[i] = mix(lane[i], load_word(p, take));
    n -= take, p += take;
  }
}

uint64_t ingot_hash_end(const struct ingot_hasher *h) {
  uint64_t all = mix(fnv_basis, h->bytes);
  for (int i = 0; i < LANES; i++) all = mix(all, h->lane[i]);
  return all;
}

uint64_t ingot_hash(const void *data, uint64_t bytes) {
  struct ingot_hasher h;
  ingot_hash_begin(&h);
  ingot_hash_add(&h, data, bytes);
  return ingot_hash_end(&h);
}
