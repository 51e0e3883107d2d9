// ocr.c: PP-OCR finds the lines of text in two pictures, their direction and their words.
// SPDX-License-Identifier: Apache-2.0
#include "endtoend.h"

#include <math.h>
#include <stdlib.h>

enum {
  HEIGHT = 48,       // of a line as the recogniser sees it
  LEAST_WIDTH = 320, // narrower lines are padded
  MOST_WIDTH = 1536,
  KEYS = 6625, // a blank, the keys of the file, a space
  LINES = 64,
  SIDE = 704, // the longer one of a picture as the detector sees it; a multiple of 32
};

static const Pixels FIND = {{123.675f, 116.28f, 103.53f}, {1 / 58.395f, 1 / 57.12f, 1 / 57.375f}, true};
static const Pixels READ = {{127.5f, 127.5f, 127.5f}, {1 / 127.5f, 1 / 127.5f, 1 / 127.5f}, true};

// ---- finding lines --------------------------------------------------------------------------------------------

typedef struct Map2 {
  int w, h;
  const float *p; // how likely it is that here is text
  uint8_t *seen;
  int *stack;
} Map2;

static const float TEXT = 0.3f, LINE = 0.6f; // thresholds for a pixel and for the mean of a box

// Takes in a pixel that was not seen and may be text.
static int take(Map2 *m, int x, int y, int n) {
  if (x < 0 || y < 0 || x >= m->w || y >= m->h || m->seen[y * m->w + x]) return n;
  m->seen[y * m->w + x] = 1;
  if (m->p[y * m->w + x] > TEXT) m->stack[n++] = y * m->w + x;
  return n;
}

// The pixels connected with a first one, as the box around them; its score is the mean of the box.
static Box connected(Map2 *m, int first) {
  Box b = {.x0 = (float)m->w, .y0 = (float)m->h};
  for (int n = take(m, first % m->w, first / m->w, 0); n > 0;) {
    int at = m->stack[--n], x = at % m->w, y = at / m->w;
    b.x0 = fminf(b.x0, (float)x), b.x1 = fmaxf(b.x1, (float)x + 1);
    b.y0 = fminf(b.y0, (float)y), b.y1 = fmaxf(b.y1, (float)y + 1);
    for (int k = 0; k < 9; k++) n = take(m, x + k % 3 - 1, y + k / 3 - 1, n);
  }
  double sum = 0;
  for (int y = (int)b.y0; y < (int)b.y1; y++) {
    for (int x = (int)b.x0; x < (int)b.x1; x++) sum += m->p[y * m->w + x];
  }
  b.score = b.x1 > b.x0 ? (float)(sum / ((b.x1 - b.x0) * (b.y1 - b.y0))) : 0;
  return b;
}

// The model marks the core of a line only; the whole is larger by an amount that its area and outline give.
static Box grown(Box b, float sx, float sy, Picture p) {
  float w = b.x1 - b.x0, h = b.y1 - b.y0, d = 1.5f * w * h / (2 * (w + h));
  return (Box){fmaxf(0, (b.x0 - d) * sx),
               fmaxf(0, (b.y0 - d) * sy),
               fminf((float)p.w, (b.x1 + d) * sx),
               fminf((float)p.h, (b.y1 + d) * sy),
               b.score,
               0};
}

static int find_lines(Test *t, Picture p, Box *lines) {
  float zoom = (float)SIDE / (float)(p.w > p.h ? p.w : p.h) / 32;
  int w = (int)lroundf((float)p.w * zoom) * 32, h = (int)lroundf((float)p.h * zoom) * 32, n = 0;
  Net net = net_load(t, "ch_PP-OCRv4_det_infer.onnx", arena_printf(t->arena, "shape:x=1,3,%d,%d", h, w));
  const Tensor *in = picture_tensor(t, p, whole(p), w, h, &FIND);
  Map2 m = {w, h, floats(net_run(&net, &in)[0]), NEW_ARRAY(t->arena, uint8_t, w * h),
            NEW_ARRAY(t->arena, int, w *h)};
  for (int i = 0; i < w * h && n < LINES; i++) {
    if (m.seen[i] || m.p[i] <= TEXT) continue;
    Box b = connected(&m, i);
    if (b.score < LINE || b.y1 - b.y0 < 3) continue;
    lines[n++] = grown(b, (float)p.w / (float)w, (float)p.h / (float)h, p);
  }
  return n;
}

// ---- reading them ---------------------------------------------------------------------------------------------

typedef struct Reader {
  Net direction, words;
  const char *keys[KEYS];
} Reader;

static void read_keys(Test *t, Reader *r) {
  Source *s = source_read(t->arena, t->ctx->diag, test_path(t, "ppocr_keys_v1.txt"));
  if (!s) exit(1);
  const char *p = s->text;
  r->keys[0] = "";
  for (int i = 1; i < KEYS - 1; i++) {
    size_t n = strcspn(p, "\r\n");
    r->keys[i] = arena_strndup(t->arena, p, n);
    p += n;
    p += strspn(p, "\r\n");
  }
  r->keys[KEYS - 1] = " ";
}

// A line of text, HEIGHT high and at most `most` wide, padded with grey to `width`.
static Tensor *line_tensor(Test *t, Picture p, Box line, int least, int most) {
  int w = (int)ceilf(HEIGHT * (line.x1 - line.x0) / (line.y1 - line.y0));
  if (w > most) w = most;
  int width = w < least ? least : w;
  Tensor *narrow = picture_tensor(t, p, line, w, HEIGHT, &READ),
         *wide = float_tensor(t, 4, (int64_t[]){1, 3, HEIGHT, width});
  for (int row = 0; row < 3 * HEIGHT; row++)
    memcpy((float *)tensor_data(wide) + row * width, floats(narrow) + row * w, (size_t)w * sizeof(float));
  return wide;
}

// The best key of every column; repetitions count once, blanks part them.
static const char *decode(Test *t, const Reader *r, const Tensor *scores) {
  Str text = {.arena = t->arena};
  int last = 0;
  for (int64_t i = 0; i < scores->type.dim[1].n; i++) {
    const float *p = floats(scores) + i * KEYS;
    int best = 0;
    for (int k = 1; k < KEYS; k++) best = p[k] > p[best] ? k : best;
    if (best != last) str_puts(&text, r->keys[best]);
    last = best;
  }
  return str_text(&text);
}

static const char *read_line(Test *t, Reader *r, Picture p, Box line) {
  const Tensor *in = line_tensor(t, p, line, 192, 192);
  const float *upside_down = floats(net_run(&r->direction, &in)[0]);
  CHECK(t, upside_down[1] < 0.9f, "the line at %.0f, %.0f seems to stand on its head", line.x0, line.y0);
  in = line_tensor(t, p, line, LEAST_WIDTH, MOST_WIDTH);
  return decode(t, r, net_run(&r->words, &in)[0]);
}

// ---- comparing ------------------------------------------------------------------------------------------------

// Blanks are not compared: how wide one must be is a matter of taste.
static bool same_text(const char *a, const char *b) {
  for (;; a++, b++) {
    while (*a == ' ') a++;
    while (*b == ' ') b++;
    if (*a != *b) return false;
    if (!*a) return true;
  }
}

static void read_picture(Test *t, Reader *r, const char *name, const char *const *expected, int n) {
  Picture p = picture_load(t, name);
  Box lines[LINES];
  const char *text[LINES];
  int found = find_lines(t, p, lines);
  for (int i = 0; i < found; i++) {
    text[i] = read_line(t, r, p, lines[i]);
    printf("%4.0f %4.0f: %s\n", lines[i].x0, lines[i].y0, text[i]);
  }
  for (int k = 0; k < n; k++) {
    bool ok = false;
    for (int i = 0; i < found; i++) ok |= same_text(text[i], expected[k]);
    CHECK(t, ok, "%s: '%s' was not read", name, expected[k]);
  }
}

void ocr_case(Test *t) {
  static const char *const english[] = {
      "3 MovieShots Dataset",
      "To facilitate the shot type analysis in videos, we collect MovieShots, a large-scale",
      "shot type annotation set that contains 46K shots from 7858 movies. The details",
      "of this dataset are specified as follows.",
  };
  static const char *const chinese[] = {
      "正品促销", "大桶装更划算", "强力去污符合国标", "-40℃深度防冻不结冰", "直击",
      "底价",     "5.8",          "惊喜福利不容错过", "极速发货",           "冰点标准",
      "破损就赔", "假一赔十",     "10.0起",           "日常价￥",           "券后价￥",
  };
  Reader r = {.direction = net_load(t, "ch_ppocr_mobile_v2.0_cls_infer.onnx", "shape:x=1,3,48,192"),
              .words = net_load(t, "ch_PP-OCRv4_rec_infer.onnx", "shape:x=1,3,48,W<=1536")};
  read_keys(t, &r);
  read_picture(t, &r, "inputs/ocr_en.jpg", english, ARRAY_LEN(english));
  read_picture(t, &r, "inputs/ocr_ch_en_num.jpg", chinese, ARRAY_LEN(chinese));
}
