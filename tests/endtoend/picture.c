// picture.c: pictures as tensors, and boxes in them.
// SPDX-License-Identifier: Apache-2.0
#include "endtoend.h"

#include "tools/image.h"

#include <math.h>
#include <stdlib.h>

Picture picture_load(Test *t, const char *name) {
  Picture p;
  p.rgb = image_load(t->arena, t->ctx->diag, test_path(t, name), 3, &p.w, &p.h);
  if (!p.rgb) exit(1);
  return p;
}

Box whole(Picture p) {
  return (Box){.x1 = (float)p.w, .y1 = (float)p.h};
}

static int clamp_to(int i, int n) {
  return i < 0 ? 0 : i >= n ? n - 1 : i;
}

// The picture at a point; pixels are squares with their colour in the middle.
static float sample(Picture p, float x, float y, int channel) {
  float fx = floorf(x - 0.5f), fy = floorf(y - 0.5f), ax = x - 0.5f - fx, ay = y - 0.5f - fy, sum = 0;
  for (int k = 0; k < 4; k++) {
    int px = clamp_to((int)fx + k % 2, p.w), py = clamp_to((int)fy + k / 2, p.h);
    float weight = (k % 2 ? ax : 1 - ax) * (k / 2 ? ay : 1 - ay);
    sum += weight * p.rgb[((int64_t)py * p.w + px) * 3 + channel];
  }
  return sum;
}

Tensor *picture_tensor(Test *t, Picture p, Box part, int w, int h, const Pixels *how) {
  Tensor *out = float_tensor(t, 4, (int64_t[]){1, 3, h, w});
  float *to = tensor_data(out), sx = (part.x1 - part.x0) / (float)w, sy = (part.y1 - part.y0) / (float)h;
  for (int c = 0; c < 3; c++) {
    for (int y = 0; y < h; y++) {
      for (int x = 0; x < w; x++) {
        float at_x = part.x0 + ((float)x + 0.5f) * sx, at_y = part.y0 + ((float)y + 0.5f) * sy;
        float v = sample(p, at_x, at_y, how->bgr ? 2 - c : c);
        *to++ = (v - how->mean[c]) * how->scale[c];
      }
    }
  }
  return out;
}

static float area(Box b) {
  return fmaxf(0, b.x1 - b.x0) * fmaxf(0, b.y1 - b.y0);
}

float box_overlap(Box a, Box b) {
  Box both = {fmaxf(a.x0, b.x0), fmaxf(a.y0, b.y0), fminf(a.x1, b.x1), fminf(a.y1, b.y1), 0, 0};
  return area(both) / (area(a) + area(b) - area(both));
}

static int by_score(const void *a, const void *b) {
  float x = ((const Box *)a)->score, y = ((const Box *)b)->score;
  return (x < y) - (x > y);
}

int box_suppress(Box *b, int n, float limit) {
  int kept = 0;
  qsort(b, (size_t)n, sizeof *b, by_score);
  for (int i = 0; i < n; i++) {
    bool best = true;
    for (int k = 0; k < kept; k++) best &= b[k].label != b[i].label || box_overlap(b[k], b[i]) <= limit;
    if (best) b[kept++] = b[i];
  }
  return kept;
}

bool box_found(const Box *b, int n, Box expected) {
  for (int i = 0; i < n; i++) {
    if (b[i].label == expected.label && box_overlap(b[i], expected) >= 0.5f) return true;
  }
  return false;
}
