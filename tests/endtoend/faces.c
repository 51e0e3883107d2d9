// faces.c: UltraFace finds the faces in the front row of a crowd.
// SPDX-License-Identifier: Apache-2.0
#include "endtoend.h"

enum { ANCHORS = 4420 };

// The four who stand in front, by eye, in the picture's pixels.
static const Box FRONT_ROW[] = {
    {.x0 = 668, .y0 = 606, .x1 = 768, .y1 = 728},
    {.x0 = 880, .y0 = 690, .x1 = 1000, .y1 = 835},
    {.x0 = 1016, .y0 = 592, .x1 = 1098, .y1 = 704},
    {.x0 = 1110, .y0 = 592, .x1 = 1222, .y1 = 744},
};

void faces_case(Test *t) {
  Picture p = picture_load(t, "inputs/ultraface_17.jpg");
  static const Pixels how = {{127, 127, 127}, {1.f / 128, 1.f / 128, 1.f / 128}, false};
  Net net = net_load(t, "ultraface_rfb320.onnx", NULL);
  const Tensor *in = picture_tensor(t, p, whole(p), 320, 240, &how);
  Tensor **out = net_run(&net, &in);
  const float *scores = floats(out[0]), *boxes = floats(out[1]);
  static Box found[ANCHORS];
  int n = 0;
  for (int i = 0; i < ANCHORS; i++) {
    if (scores[2 * i + 1] < 0.7f) continue;
    const float *b = &boxes[4 * i];
    float w = (float)p.w, h = (float)p.h;
    found[n++] = (Box){b[0] * w, b[1] * h, b[2] * w, b[3] * h, scores[2 * i + 1], 0};
  }
  n = box_suppress(found, n, 0.3f);
  for (int i = 0; i < n && i < 40; i++)
    printf("%.2f: %.0f %.0f %.0f %.0f\n", found[i].score, found[i].x0, found[i].y0, found[i].x1, found[i].y1);
  for (int i = 0; i < ARRAY_LEN(FRONT_ROW); i++)
    CHECK(t, box_found(found, n, FRONT_ROW[i]), "face %d of the front row was not found", i);
}
