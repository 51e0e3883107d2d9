// sound.c: sounds from .wav files.
// SPDX-License-Identifier: Apache-2.0
#include "endtoend.h"

#include <stdlib.h>

static uint32_t little(const uint8_t *p, int n) {
  uint32_t v = 0;
  for (int i = n - 1; i >= 0; i--) v = v << 8 | p[i];
  return v;
}

// A chunk of the file: its name, the length of what follows, and that.
static const uint8_t *chunk(const uint8_t *p, const uint8_t *end, const char *name, uint32_t *n) {
  for (p += 12; end - p >= 8; p += 8 + *n + *n % 2) {
    *n = little(p + 4, 4);
    if (*n > (size_t)(end - p - 8)) return NULL;
    if (memcmp(p, name, 4) == 0) return p + 8;
  }
  return NULL;
}

Sound sound_load(Test *t, const char *name) {
  const uint8_t *p;
  size_t size;
  uint32_t nformat, n;
  if (!file_map(t->arena, t->ctx->diag, NO_LOC, test_path(t, name), &p, &size) || size < 12) exit(1);
  const uint8_t *format = chunk(p, p + size, "fmt ", &nformat), *data = chunk(p, p + size, "data", &n);
  bool known = format && data && nformat >= 16 && little(format, 2) == 1 && little(format + 2, 2) == 1 &&
               little(format + 14, 2) == 16;
  if (!known) {
    test_fail(t, "%s is not 16 bit PCM in one channel", name);
    exit(1);
  }
  Sound s = {.rate = (int)little(format + 4, 4), .n = n / 2};
  s.sample = NEW_ARRAY(t->arena, float, s.n + 1);
  for (int64_t i = 0; i < s.n; i++) s.sample[i] = (float)(int16_t)little(data + 2 * i, 2) / 32768;
  return s;
}
