// shares.c: the iterations of a parallel loop, in equal shares for its threads, and who is done early helps the others.
// SPDX-License-Identifier: Apache-2.0
//
// The loop is cut in units, as many for each thread, which takes them one by one from the front of its share. One whose
// share is empty takes half of what is left in another's, from the back. So nobody waits for a thread that was interrupted
// or that started late for longer than a unit takes, and without such trouble each thread does the same iterations in
// every step, whose data it has in its caches. What a unit computes does not depend on who computes it.
//
// A share is one word, the next unit and the end. Units that left a share never come back to it unless it was empty, so
// that a word that was seen once does not return: compare-and-swap is enough.
#include "internal.h"

static unsigned pack(unsigned next, unsigned end) {
  return end << 16 | next;
}

void ingot_shares_init(Shares *s, int32_t parts, int32_t units) {
  s->parts = parts;
  for (int32_t p = 0; p < parts; p++)
    atomic_store_explicit(&s->share[p].units, pack((unsigned)(p * units), (unsigned)((p + 1) * units)),
                          memory_order_relaxed);
}

static bool take_front(atomic_uint *share, int32_t *unit) {
  unsigned now = atomic_load_explicit(share, memory_order_relaxed), next;
  do {
    next = now & 0xffff;
    if (next >= now >> 16) return false;
  } while (!atomic_compare_exchange_weak_explicit(share, &now, pack(next + 1, now >> 16),
                                                  memory_order_relaxed, memory_order_relaxed));
  *unit = (int32_t)next;
  return true;
}

// Moves the back half of `from` to `to`, which is empty.
static bool take_back(atomic_uint *from, atomic_uint *to) {
  unsigned now = atomic_load_explicit(from, memory_order_relaxed), middle;
  do {
    unsigned next = now & 0xffff, end = now >> 16;
    if (next >= end) return false;
    middle = next + (end - next) / 2;
  } while (!atomic_compare_exchange_weak_explicit(from, &now, pack(now & 0xffff, middle),
                                                  memory_order_relaxed, memory_order_relaxed));
  atomic_store_explicit(to, pack(middle, now >> 16), memory_order_relaxed);
  return true;
}

bool ingot_shares_take(Shares *s, int32_t part, int32_t *unit) {
  while (!take_front(&s->share[part].units, unit)) {
    bool found = false;
    for (int32_t i = 1; i < s->parts && !found; i++)
      found = take_back(&s->share[(part + i) % s->parts].units, &s->share[part].units);
    if (!found) return false;
  }
  return true;
}
