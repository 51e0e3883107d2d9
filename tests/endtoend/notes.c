// notes.c: Basic Pitch hears in a recording what its authors' own run heard.
// SPDX-License-Identifier: Apache-2.0
#include "endtoend.h"

#include <math.h>
#include <stdlib.h>

enum {
  RATE = 22050,
  WINDOW = 43844, // samples at a time
  HOP = 256,      // samples per frame
  OVERLAP = 30,   // frames that neighbouring windows share
  FRAMES = 172,   // per window
  EXPECTED_FRAMES = 787,
  BINS = 264, // of the finest result
};

// ---- half the rate --------------------------------------------------------------------------------------------

// A low-pass filter: sinc under a Kaiser window.
enum { TAPS = 400 };

static double bessel0(double x) {
  double term = 1, sum = 1;
  for (int k = 1; k < 60; k++) {
    term *= x * x / (4.0 * k * k);
    sum += term;
  }
  return sum;
}

static void low_pass(double *tap) {
  static const double cut = 0.956 / 2, beta = 14.7; // of the old rate's half; near 150 dB
  for (int i = -TAPS; i <= TAPS; i++) {
    double x = (double)i / (TAPS + 1), arg = M_PI * cut * i;
    tap[i + TAPS] = cut * (i ? sin(arg) / arg : 1) * bessel0(beta * sqrt(1 - x * x)) / bessel0(beta);
  }
}

static Sound halved(Test *t, Sound s) {
  static double tap[2 * TAPS + 1];
  low_pass(tap);
  Sound out = {.rate = s.rate / 2, .n = (s.n + 1) / 2};
  out.sample = NEW_ARRAY(t->arena, float, out.n + 1);
  for (int64_t i = 0; i < out.n; i++) {
    double sum = 0;
    for (int k = -TAPS; k <= TAPS; k++) {
      int64_t at = 2 * i + k;
      if (at >= 0 && at < s.n) sum += tap[k + TAPS] * s.sample[at];
    }
    out.sample[i] = (float)sum;
  }
  return out;
}

// ---- the model, window by window ------------------------------------------------------------------------------

typedef struct Heard {
  int64_t frames;
  float *value[3]; // notes, onsets, contours
} Heard;

static const int RESULT[] = {1, 0, 2}; // of the model, which gives onsets first

static const int WIDTH[] = {88, 88, BINS};

static Heard listen(Test *t, const Sound *s) {
  Net net = net_load(t, "basic_pitch_nmp.onnx", "dim:unk__749=1");
  const int64_t step = WINDOW - OVERLAP * HOP, before = OVERLAP * HOP / 2;
  int64_t windows = (s->n + before + step - 1) / step, kept = FRAMES - OVERLAP;
  Heard h = {.frames = windows * kept};
  for (int k = 0; k < 3; k++) h.value[k] = NEW_ARRAY(t->arena, float, h.frames *WIDTH[k]);
  Tensor *in = float_tensor(t, 3, (int64_t[]){1, WINDOW, 1});
  for (int64_t w = 0; w < windows; w++) {
    float *x = tensor_data(in);
    for (int64_t i = 0; i < WINDOW; i++) {
      int64_t at = w * step - before + i;
      x[i] = at >= 0 && at < s->n ? s->sample[at] : 0;
    }
    Tensor **out = net_run(&net, (const Tensor *[]){in});
    for (int k = 0; k < 3; k++) {
      const float *from = floats(out[RESULT[k]]) + OVERLAP / 2 * WIDTH[k];
      memcpy(h.value[k] + w * kept * WIDTH[k], from, (size_t)(kept * WIDTH[k]) * sizeof *from);
    }
  }
  return h;
}

// ---- what is expected -----------------------------------------------------------------------------------------

// The .npz holds a pickled Python dictionary of arrays, not compressed. Their bytes stand in it as strings, marked
// by a B and their length, in this order: notes, onsets, contours.
static const uint8_t *pickled(const uint8_t *p, const uint8_t *end, uint32_t n) {
  const uint8_t mark[] = {'B', (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};
  const uint8_t *at = memmem(p, (size_t)(end - p), mark, sizeof mark);
  return at && (size_t)(end - at) >= sizeof mark + n ? at + sizeof mark : NULL;
}

// The greatest and the mean difference. The sound was brought to the lower rate by another filter than ours, which
// is seen in the fourth digit.
static void compare(Test *t, const char *name, const float *got, const uint8_t *want, int64_t n) {
  double worst = 0, sum = 0;
  for (int64_t i = 0; i < n; i++) {
    float w;
    memcpy(&w, want + 4 * i, sizeof w);
    double d = fabs((double)got[i] - (double)w);
    worst = fmax(worst, d);
    sum += d;
  }
  printf("%s: differs by %.2g at most, %.2g in the mean\n", name, worst, sum / (double)n);
  CHECK(t, worst < 2e-3 && sum / (double)n < 1e-4, "%s differ too much", name);
}

void notes_case(Test *t) {
  static const char *const names[] = {"notes", "onsets", "contours"};
  Sound s = sound_load(t, "inputs/bp_vocadito_10.wav");
  CHECK(t, s.rate == 2 * RATE, "the recording's rate is %d", s.rate);
  s = halved(t, s);
  Heard h = listen(t, &s);
  CHECK(t, h.frames >= EXPECTED_FRAMES, "only %lld frames", (long long)h.frames);
  const uint8_t *p;
  size_t n;
  if (!file_map(t->arena, t->ctx->diag, NO_LOC, test_path(t, "inputs/bp_vocadito_10_output.npz"), &p, &n))
    exit(1);
  const uint8_t *end = p + n;
  for (int k = 0; k < 3 && !t->failed; k++) {
    int64_t count = (int64_t)EXPECTED_FRAMES * WIDTH[k];
    p = pickled(p, end, (uint32_t)(count * 4));
    CHECK(t, p, "the expected %s are not there", names[k]);
    if (!p) return;
    compare(t, names[k], h.value[k], p, count);
    p += count * 4;
  }
}
