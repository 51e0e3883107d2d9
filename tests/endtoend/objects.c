// objects.c: FastestDet finds the four people in a picture.
// SPDX-License-Identifier: Apache-2.0
#include "endtoend.h"

#include <math.h>

enum { CELLS = 22, PERSON = 0, CLASSES = 80 };

// By eye, in the picture's pixels.
static const Box EXPECTED[] = {
    {.x0 = 42, .y0 = 65, .x1 = 163, .y1 = 299, .label = PERSON},
    {.x0 = 160, .y0 = 135, .x1 = 245, .y1 = 264, .label = PERSON},
    {.x0 = 237, .y0 = 134, .x1 = 318, .y1 = 283, .label = PERSON},
    {.x0 = 290, .y0 = 144, .x1 = 500, .y1 = 293, .label = PERSON},
};

static float sigmoid(float x) {
  return 1 / (1 + expf(-x));
}

// One cell of the map: is there something, where (relative to the cell), and what.
static Box cell(const float *map, int x, int y) {
  enum { PLANE = CELLS * CELLS };
  const float *at = map + y * CELLS + x;
  Box b = {0};
  float best = 0;
  for (int k = 0; k < CLASSES; k++) {
    float p = at[(5 + k) * PLANE];
    if (p <= best) continue;
    best = p;
    b.label = k;
  }
  b.score = powf(at[0], 0.6f) * powf(best, 0.4f);
  float w = sigmoid(at[3 * PLANE]), h = sigmoid(at[4 * PLANE]);
  float cx = ((float)x + tanhf(at[PLANE])) / CELLS, cy = ((float)y + tanhf(at[2 * PLANE])) / CELLS;
  b.x0 = cx - w / 2, b.x1 = cx + w / 2, b.y0 = cy - h / 2, b.y1 = cy + h / 2;
  return b;
}

void objects_case(Test *t) {
  Picture p = picture_load(t, "inputs/fastestdet_3.jpg");
  static const Pixels how = {{0, 0, 0}, {1.f / 255, 1.f / 255, 1.f / 255}, true};
  Net net = net_load(t, "fastestdet.onnx", NULL);
  const Tensor *in = picture_tensor(t, p, whole(p), 352, 352, &how);
  Tensor **out = net_run(&net, &in);
  Box found[CELLS * CELLS];
  int n = 0;
  for (int i = 0; i < CELLS * CELLS; i++) {
    Box b = cell(floats(out[0]), i % CELLS, i / CELLS);
    if (b.score < 0.6f) continue;
    float w = (float)p.w, h = (float)p.h;
    found[n++] = (Box){b.x0 * w, b.y0 * h, b.x1 * w, b.y1 * h, b.score, b.label};
  }
  n = box_suppress(found, n, 0.45f);
  for (int i = 0; i < n; i++)
    printf("%.2f %d: %.0f %.0f %.0f %.0f\n", found[i].score, found[i].label, found[i].x0, found[i].y0,
           found[i].x1, found[i].y1);
  CHECK(t, n == ARRAY_LEN(EXPECTED), "%d objects, should be %d", n, ARRAY_LEN(EXPECTED));
  for (int i = 0; i < ARRAY_LEN(EXPECTED); i++)
    CHECK(t, box_found(found, n, EXPECTED[i]), "object %d (class %d) was not found", i, EXPECTED[i].label);
}
