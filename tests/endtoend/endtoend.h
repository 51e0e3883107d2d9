// endtoend.h: trained models on real inputs: what the cases (one a file) share.
// SPDX-License-Identifier: Apache-2.0
//
// A case compiles models in process as `ingot compile` does at its default level, feeds them with pictures or
// sounds prepared as the model's authors say, and compares what comes out with what is in the picture.
#ifndef INGOT_TESTS_ENDTOEND_H
#define INGOT_TESTS_ENDTOEND_H

#include "codegen/codegen.h"
#include "ir/ir.h"

typedef struct Test {
  Arena *arena;
  Ctx *ctx;
  const char *models; // folder
  bool failed;
} Test;

// Says what is wrong and marks the case as failed. Always false.
bool test_fail(Test *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define CHECK(t, cond, ...) ((cond) ? (void)0 : (void)test_fail(t, __VA_ARGS__))
const char *test_path(Test *t, const char *name); // of a file among the models

// ---- models ---------------------------------------------------------------------------------------------------

typedef struct Net {
  Test *test;
  Module *module;
  Jit *jit;
  int nout;
} Net;

// Compiles a model; `option` is "dim:T=1" or "shape:x=1,3,48,W<=640" or NULL. Ends the program on failure.
Net net_load(Test *t, const char *file, const char *option);
// Runs it; the results are valid until the arena is freed.
Tensor **net_run(Net *n, const Tensor *const *in);
const float *floats(const Tensor *t);
Tensor *float_tensor(Test *t, int rank, const int64_t *dims);

// ---- pictures and sounds --------------------------------------------------------------------------------------

typedef struct Picture {
  int w, h;
  const uint8_t *rgb;
} Picture;

typedef struct Box {
  float x0, y0, x1, y1, score;
  int label;
} Box;

Picture picture_load(Test *t, const char *name);
// The part of a picture within `part` as f32[1,3,h,w] by bilinear sampling: (value - mean) * scale for each
// channel, in the order blue, green, red if bgr.
typedef struct Pixels {
  float mean[3], scale[3];
  bool bgr;
} Pixels;
Tensor *picture_tensor(Test *t, Picture p, Box part, int w, int h, const Pixels *how);
Box whole(Picture p);
float box_overlap(Box a, Box b); // area of the intersection / area of the union
// Keeps the best of boxes that overlap by more than `limit`; returns how many are left, best first.
int box_suppress(Box *b, int n, float limit);
// Is there a box that overlaps the expected one by at least half?
bool box_found(const Box *b, int n, Box expected);

typedef struct Sound {
  int rate;
  int64_t n;
  float *sample; // in [-1, 1)
} Sound;
Sound sound_load(Test *t, const char *name); // 16 bit PCM, one channel

// ---- the cases ------------------------------------------------------------------------------------------------

void magika_case(Test *t);
void ocr_case(Test *t);
void faces_case(Test *t);
void objects_case(Test *t);
void speech_case(Test *t);
void notes_case(Test *t);

#endif
