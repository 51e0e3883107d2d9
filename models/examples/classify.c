// classify.c: names what an image shows, with any compiled classifier that takes one image of floats in 0..1.
// SPDX-License-Identifier: Apache-2.0
//
//   classify libmodel.so image.pgm labels.txt
//
// The image is binary PGM (P5) or PPM (P6) of the size that the model wants, f32[1, C, H, W]; labels one a line.
#include "ingot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOP = 3 };

typedef struct Image {
  int width, height, channels;
  unsigned char *pixels; // interleaved
} Image;

// The next number of a PNM header, comments skipped.
static int read_number(FILE *f) {
  int c, n = 0;
  while ((c = fgetc(f)) == '#' || (c >= 0 && c <= ' '))
    if (c == '#')
      while ((c = fgetc(f)) != '\n' && c != EOF) {
      }
  for (; c >= '0' && c <= '9' && n < 1 << 20; c = fgetc(f)) n = n * 10 + c - '0';
  return n;
}

static int read_image(const char *path, Image *im) {
  FILE *f = fopen(path, "rb");
  if (!f) return 0;
  int p = fgetc(f), kind = fgetc(f);
  im->channels = kind == '6' ? 3 : 1;
  im->width = read_number(f);
  im->height = read_number(f);
  int ok = p == 'P' && (kind == '5' || kind == '6') && read_number(f) == 255;
  size_t n = (size_t)im->width * (size_t)im->height * (size_t)im->channels;
  im->pixels = ok && n > 0 && n < 1u << 28 ? malloc(n) : NULL;
  ok = im->pixels && fread(im->pixels, 1, n, f) == n;
  fclose(f);
  return ok;
}

// Planes of floats in 0..1.
static float *to_planes(const Image *im) {
  size_t pixels = (size_t)im->width * (size_t)im->height, c = (size_t)im->channels;
  float *x = malloc(pixels * c * sizeof *x);
  for (size_t i = 0; x && i < pixels * c; i++) x[i % c * pixels + i / c] = (float)im->pixels[i] / 255;
  return x;
}

static void print_label(const char *path, int64_t number, float score) {
  char line[128];
  FILE *f = fopen(path, "r");
  for (int64_t i = 0; f && i <= number; i++)
    if (!fgets(line, sizeof line, f)) strcpy(line, "?");
  line[f ? strcspn(line, "\n") : 0] = 0;
  printf("%8.4f  %s\n", (double)score, line);
  if (f) fclose(f);
}

static void print_best(const float *scores, int64_t n, const char *labels) {
  float limit = 0;
  for (int k = 0; k < TOP; k++) {
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++)
      if ((k == 0 || scores[i] < limit) && (best < 0 || scores[i] > scores[best])) best = i;
    if (best < 0) return;
    limit = scores[best];
    print_label(labels, best, limit);
  }
}

static int classify(const ingot_model *m, const Image *im, const char *labels) {
  struct ingot_options o = {.size = sizeof o, .flags = INGOT_OWN_OUTPUTS};
  ingot_ctx *c;
  int code = ingot_ctx_create(m, &o, &c);
  if (code) {
    fprintf(stderr, "classify: %s\n", ingot_error_text(m, code));
    return 1;
  }
  // A model with another input or size refuses this, and says what it wants.
  int64_t dims[] = {1, im->channels, im->height, im->width}, shape[INGOT_MAX_RANK], n = 1;
  float *x = to_planes(im);
  code = ingot_set_input(c, 0, x, INGOT_F32, 4, dims, (uint64_t)(dims[1] * dims[2] * dims[3]) * sizeof *x);
  if (!code) code = ingot_run(c);
  if (code) {
    fprintf(stderr, "classify: %s\n", ingot_last_error(c));
  } else {
    ingot_output_shape(c, 0, shape);
    for (int32_t d = 0; d < ingot_output_info(m, 0)->rank; d++) n *= shape[d];
    print_best(ingot_output_data(c, 0), n, labels);
  }
  free(x);
  ingot_ctx_destroy(c);
  return code != INGOT_OK;
}

int main(int argc, char **argv) {
  ingot_library *lib;
  char err[256];
  Image image = {0};
  if (argc < 4) {
    fprintf(stderr, "usage: classify LIBRARY IMAGE.pgm LABELS\n");
    return 2;
  }
  if (!read_image(argv[2], &image)) {
    fprintf(stderr, "classify: %s: not a binary PGM or PPM image of 8 bits\n", argv[2]);
    return 1;
  }
  int status = 1;
  if (ingot_library_open(argv[1], &lib, err, sizeof err)) {
    fprintf(stderr, "classify: %s\n", err);
  } else {
    status = classify(ingot_library_model(lib, NULL), &image, argv[3]);
    ingot_library_close(lib);
  }
  free(image.pixels);
  return status;
}
