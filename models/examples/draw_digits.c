// draw_digits.c: draws digits with ddpm_unet.yaml, from noise to image in 1000 steps, into a PNG.
// SPDX-License-Identifier: Apache-2.0
//
//   draw_digits libddpm_unet.so digits.png [COLUMNS [SEED]]
//
// Needs stb_image_write.h beside what all examples need. The steps are those of Ho, Jain and Abbeel 2020 with the
// variance beta, the image that the noise implies being kept within -1..1.
#include "ingot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

enum { STEPS = 1000, SIDE = 28, PIXELS = SIDE * SIDE, MOST_COLUMNS = 8 };

// beta grows from 0.0001 to 0.02; kept[t] is the product of 1 - beta up to t.
typedef struct Schedule {
  double beta[STEPS], kept[STEPS];
} Schedule;

static void make_schedule(Schedule *s) {
  double kept = 1;
  for (int t = 0; t < STEPS; t++) {
    s->beta[t] = 1e-4 + (0.02 - 1e-4) * t / (STEPS - 1);
    s->kept[t] = kept *= 1 - s->beta[t];
  }
}

// SplitMix64 (Steele, Lea and Flood 2014), in (0, 1).
static double uniform(uint64_t *seed) {
  uint64_t z = *seed += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return ((double)((z ^ z >> 31) >> 11) + 0.5) * 0x1p-53;
}

// Box and Muller 1958.
static double normal(uint64_t *seed) {
  double radius = sqrt(-2 * log(uniform(seed)));
  return radius * cos(2 * 3.14159265358979323846 * uniform(seed));
}

// Images at step t - 1 from those at step t and their noise.
static void step_back(const Schedule *s, int t, float *x, const float *noise, size_t n, uint64_t *seed) {
  double kept = s->kept[t], before = t ? s->kept[t - 1] : 1, beta = s->beta[t];
  double from_x = sqrt(1 - beta) * (1 - before) / (1 - kept), from_image = sqrt(before) * beta / (1 - kept);
  for (size_t i = 0; i < n; i++) {
    double image = (x[i] - sqrt(1 - kept) * noise[i]) / sqrt(kept);
    image = image < -1 ? -1 : image > 1 ? 1 : image;
    x[i] = (float)(from_x * x[i] + from_image * image + (t ? sqrt(beta) * normal(seed) : 0));
  }
}

static int draw(ingot_ctx *c, float *x, float *noise, int images, uint64_t seed) {
  Schedule s;
  size_t n = (size_t)images * PIXELS;
  int32_t t = STEPS - 1;
  make_schedule(&s);
  for (size_t i = 0; i < n; i++) x[i] = (float)normal(&seed);
  if (ingot_set_input(c, 0, x, INGOT_F32, 4, (int64_t[]){images, 1, SIDE, SIDE}, n * sizeof *x) ||
      ingot_set_input(c, 1, &t, INGOT_I32, 1, (int64_t[]){1}, sizeof t) ||
      ingot_set_output(c, 0, noise, n * sizeof *noise))
    return 0;
  for (; t >= 0; t--) {
    if (ingot_run(c)) return 0;
    step_back(&s, t, x, noise, n, &seed);
    if (t % 100 == 0) fprintf(stderr, "%d\n", t);
  }
  return 1;
}

// A square of images with white on black.
static int write_grid(const char *path, const float *x, int columns) {
  static unsigned char out[MOST_COLUMNS * MOST_COLUMNS * PIXELS];
  for (int y = 0; y < columns * SIDE; y++)
    for (int k = 0; k < columns * SIDE; k++) {
      float v = x[(y / SIDE * columns + k / SIDE) * PIXELS + y % SIDE * SIDE + k % SIDE] * 255;
      out[y * columns * SIDE + k] = (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
  return stbi_write_png(path, columns * SIDE, columns * SIDE, 1, out, columns * SIDE);
}

int main(int argc, char **argv) {
  static float x[MOST_COLUMNS * MOST_COLUMNS * PIXELS], noise[MOST_COLUMNS * MOST_COLUMNS * PIXELS];
  char error[256] = "";
  ingot_library *lib = NULL;
  ingot_ctx *c = NULL;
  int columns = argc > 3 ? atoi(argv[3]) : MOST_COLUMNS;
  uint64_t seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
  if (argc < 3 || columns < 1 || columns > MOST_COLUMNS) {
    fprintf(stderr, "usage: %s libddpm_unet.so digits.png [COLUMNS [SEED]], up to %d columns\n", argv[0],
            MOST_COLUMNS);
    return 2;
  }
  if (ingot_library_open(argv[1], &lib, error, sizeof error)) {
    fprintf(stderr, "%s\n", error);
    return 1;
  }
  if (ingot_ctx_create(ingot_library_model(lib, NULL), NULL, &c)) {
    fprintf(stderr, "cannot make a context\n");
    return 1;
  }
  int ok = draw(c, x, noise, columns * columns, seed);
  if (!ok) fprintf(stderr, "%s\n", ingot_last_error(c));
  if (ok && !write_grid(argv[2], x, columns)) {
    fprintf(stderr, "cannot write %s\n", argv[2]);
    ok = 0;
  }
  ingot_ctx_destroy(c);
  ingot_library_close(lib);
  return !ok;
}
