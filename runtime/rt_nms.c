// rt_nms.c: non-maximum suppression: the best boxes per class, without those that overlap a better one.
// SPDX-License-Identifier: Apache-2.0
#include "keys.h"

enum { BOXES, SCORES, MAX_PER_CLASS, IOU, SCORE, SELECTED };
enum { CENTER_POINT_BOX };

typedef struct Box {
  float y0, x0, y1, x1; // y0 <= y1, x0 <= x1
} Box;

typedef struct Nms {
  int64_t n, classes, batch, most;
  float iou, score;
  bool center, has_score;
  Key *keys;   // 2 n
  Box *chosen; // n
} Nms;

static float least(float a, float b) {
  return a < b ? a : b;
}
static float most(float a, float b) {
  return a > b ? a : b;
}

static Box read_box(const float *b, bool center) {
  if (center) return (Box){b[1] - b[3] / 2, b[0] - b[2] / 2, b[1] + b[3] / 2, b[0] + b[2] / 2};
  return (Box){least(b[0], b[2]), least(b[1], b[3]), most(b[0], b[2]), most(b[1], b[3])};
}

static float area(const Box *b) {
  return (b->y1 - b->y0) * (b->x1 - b->x0);
}

static bool overlap(const Box *a, const Box *b, float limit) {
  float h = least(a->y1, b->y1) - most(a->y0, b->y0), w = least(a->x1, b->x1) - most(a->x0, b->x0);
  if (h <= 0 || w <= 0 || area(a) <= 0 || area(b) <= 0) return 0 > limit;
  return h * w / (area(a) + area(b) - h * w) > limit;
}

static bool suppressed(const Nms *s, const Box *b, int64_t chosen) {
  for (int64_t i = 0; i < chosen; i++)
    if (overlap(&s->chosen[i], b, s->iou)) return true;
  return false;
}

// Candidates, best first; those below the limit are left out, and so are scores that are no number.
static int64_t rank_boxes(const Nms *s, const float *scores) {
  int64_t n = 0;
  for (int64_t i = 0; i < s->n; i++)
    if (s->has_score ? scores[i] > s->score : scores[i] == scores[i])
      s->keys[n++] = (Key){~ingot_key_of(INGOT_F32, scores, i), i};
  ingot_keys_sort(s->keys, s->keys + s->n, n, NULL, NULL);
  return n;
}

// Appends the boxes of one class to `out`; at most `room`. Returns how many, or -1.
static int64_t choose(const Nms *s, const float *boxes, const float *scores, int64_t room, int64_t *out,
                      int64_t batch, int64_t class) {
  int64_t n = rank_boxes(s, scores), chosen = 0;
  for (int64_t i = 0; i < n && chosen < s->most; i++) {
    int64_t index = s->keys[i].index;
    Box b = read_box(boxes + 4 * index, s->center);
    if (suppressed(s, &b, chosen)) continue;
    if (chosen == room) return -1;
    s->chosen[chosen] = b;
    out[3 * chosen] = batch, out[3 * chosen + 1] = class, out[3 * chosen + 2] = index;
    chosen++;
  }
  return chosen;
}

static float read_real(const struct ingot_routine_call *c, int32_t k) {
  const float *p = routine_buf(c, k);
  return p ? *p : 0;
}

static Nms setup(const struct ingot_routine_call *c) {
  const int64_t *limit = routine_buf(c, MAX_PER_CLASS);
  Nms s = {.n = routine_extent(c, BOXES, 1),
           .classes = routine_extent(c, SCORES, 1),
           .batch = routine_extent(c, BOXES, 0),
           .most = limit ? *limit : 0,
           .iou = read_real(c, IOU),
           .score = read_real(c, SCORE),
           .center = c->step->ints[CENTER_POINT_BOX] != 0,
           .has_score = routine_buf(c, SCORE) != NULL,
           .keys = c->scratch};
  s.chosen = (Box *)(s.keys + 2 * s.n);
  return s;
}

int ingot_rt_nms(const struct ingot_routine_call *c) {
  const Nms s = setup(c);
  const float *boxes = c->buf[BOXES], *scores = c->buf[SCORES];
  int64_t *out = c->buf[SELECTED], bound = routine_bound(c), total = 0;
  for (int64_t b = 0; b < s.batch; b++) {
    for (int64_t k = 0; k < s.classes; k++) {
      const float *row = scores + (b * s.classes + k) * s.n;
      int64_t got = choose(&s, boxes + b * s.n * 4, row, bound - total, out + 3 * total, b, k);
      if (got < 0) return INGOT_E_DATA;
      total += got;
    }
  }
  return routine_set_extent(c, total);
}
