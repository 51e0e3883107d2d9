// test_runtime_routines.c: the runtime's routines against plain restatements of what they promise.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/ingot_abi.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// A step with up to 8 arguments of rank up to 4, made on the spot.
typedef struct Rig {
  struct ingot_model model;
  struct ingot_step step;
  struct ingot_arg args[8];
  struct ingot_tensor_info tensors[8];
  struct ingot_dim dims[8][4];
  struct ingot_symbol symbol;
  void *buf[8];
  int64_t sym[1];
  void *scratch;
} Rig;

static Rig *rig(const int64_t *ints, int64_t bound, int64_t scratch) {
  Rig *r = calloc(1, sizeof *r);
  r->symbol = (struct ingot_symbol){.name = "N", .bound = bound};
  r->model =
      (struct ingot_model){.args = r->args, .tensors = r->tensors, .symbols = &r->symbol, .n_symbols = 1};
  r->step.ints = ints;
  r->scratch = malloc((size_t)scratch + 1);
  return r;
}

static void rig_free(Rig *r) {
  free(r->scratch);
  free(r);
}

static void rig_arg(Rig *r, void *buf, int32_t dtype, int32_t rank, const int64_t *dims) {
  int32_t k = r->step.n_args++;
  r->buf[k] = buf;
  r->args[k] = (struct ingot_arg){.kind = buf ? INGOT_ARG_ARENA : INGOT_ARG_NONE, .tensor = k};
  for (int32_t d = 0; d < rank; d++) r->dims[k][d] = (struct ingot_dim){dims[d], -1, 0};
  r->tensors[k] = (struct ingot_tensor_info){.dtype = dtype, .rank = rank, .dims = r->dims[k]};
}

static int rig_call(Rig *r, ingot_routine_fn fn, int64_t lo, int64_t hi) {
  const struct ingot_routine_call call = {&r->model, &r->step, r->buf, r->sym, lo, hi, r->scratch};
  return fn(&call);
}

static uint32_t next(uint32_t *seed) {
  return *seed = *seed * 1664525u + 1013904223u;
}

// ---- top k -------------------------------------------------------------------------------------------

// True if a[i] comes before a[j]: by value, NaN above all, equal ones by index.
static bool first(const float *a, int64_t i, int64_t j, bool largest) {
  bool ni = isnan(a[i]), nj = isnan(a[j]);
  if (ni != nj) return largest ? ni : nj;
  if (!ni && a[i] != a[j]) return largest ? a[i] > a[j] : a[i] < a[j];
  return i < j;
}

static void check_topk(int64_t n, int64_t k, bool largest, uint32_t range) {
  float *x = malloc(sizeof(float) * (size_t)n), *v = malloc(sizeof(float) * (size_t)k + 1);
  int64_t *at = malloc(sizeof(int64_t) * (size_t)k + 1), ints[] = {0, largest, 1};
  uint32_t seed = (uint32_t)(n * 31 + k);
  for (int64_t i = 0; i < n; i++) {
    x[i] = (float)(next(&seed) >> 8) / 16777216.0f * (float)range - (float)(range / 2);
    if (range < 100) x[i] = truncf(x[i]);
    if (next(&seed) >> 27 == 0) x[i] = NAN;
  }
  Rig *r = rig(ints, 0, ingot_rt_topk_scratch(n));
  rig_arg(r, x, INGOT_F32, 1, &n), rig_arg(r, v, INGOT_F32, 1, &k), rig_arg(r, at, INGOT_I64, 1, &k);
  cr_assert_eq(rig_call(r, ingot_rt_topk, 0, 1), INGOT_OK);
  for (int64_t i = 0; i < k; i++) {
    cr_assert(memcmp(&v[i], &x[at[i]], 4) == 0);
    int64_t ahead = 0;
    for (int64_t j = 0; j < n; j++) ahead += first(x, j, at[i], largest);
    cr_assert_eq(ahead, i, "n %d k %d: place %d holds the one of rank %d", (int)n, (int)k, (int)i,
                 (int)ahead);
  }
  free(x), free(v), free(at), rig_free(r);
}

Test(runtime_routines, topk_of_one_row) {
  static const int64_t sizes[] = {1, 2, 11, 12, 13, 24, 25, 26, 100, 257, 600};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (int64_t k = 0; k <= sizes[s]; k += k < 3 ? 1 : sizes[s] / 3)
      for (int largest = 0; largest < 2; largest++)
        check_topk(sizes[s], k, largest, 1000), check_topk(sizes[s], k, largest, 8);
}

Test(runtime_routines, topk_of_sorted_and_equal_rows) {
  enum { N = 5000 };
  static int32_t x[N];
  static int64_t at[10];
  int64_t ints[] = {0, 1, 1}, n = N, k = 10;
  for (int mode = 0; mode < 3; mode++) {
    for (int i = 0; i < N; i++) x[i] = mode == 0 ? i : mode == 1 ? -i : 7;
    Rig *r = rig(ints, 0, ingot_rt_topk_scratch(N));
    rig_arg(r, x, INGOT_I32, 1, &n), rig_arg(r, NULL, 0, 0, NULL), rig_arg(r, at, INGOT_I64, 1, &k);
    cr_assert_eq(rig_call(r, ingot_rt_topk, 0, 1), INGOT_OK);
    for (int i = 0; i < 10; i++) cr_assert_eq(at[i], mode == 0 ? N - 1 - i : i);
    rig_free(r);
  }
}

Test(runtime_routines, topk_along_a_middle_axis_in_parts) {
  int16_t x[2][5][3], v[2][2][3];
  int64_t at[2][2][3], ints[] = {1, 0, 1};
  for (int i = 0; i < 30; i++) ((int16_t *)x)[i] = (int16_t)(i * 17 % 31 - 15);
  Rig *r = rig(ints, 0, ingot_rt_topk_scratch(5));
  rig_arg(r, x, INGOT_I16, 3, (int64_t[]){2, 5, 3});
  rig_arg(r, v, INGOT_I16, 3, (int64_t[]){2, 2, 3}), rig_arg(r, at, INGOT_I64, 3, (int64_t[]){2, 2, 3});
  cr_assert_eq(rig_call(r, ingot_rt_topk, 0, 4), INGOT_OK);
  cr_assert_eq(rig_call(r, ingot_rt_topk, 4, 6), INGOT_OK);
  for (int a = 0; a < 2; a++)
    for (int c = 0; c < 3; c++) {
      int16_t least = 100;
      for (int b = 0; b < 5; b++) least = x[a][b][c] < least ? x[a][b][c] : least;
      cr_assert_eq(v[a][0][c], least);
      cr_assert_eq(x[a][at[a][1][c]][c], v[a][1][c]);
      cr_assert_geq(v[a][1][c], least);
    }
  rig_free(r);
}

// Each element type in its own order: the values ascend, written as the bits of the type.
#define CHECK_ORDER(T, type, ...)                                                                            \
  do {                                                                                                       \
    T x[] = {__VA_ARGS__};                                                                                   \
    int64_t n = sizeof x / sizeof *x, at[16], ints[] = {0, 1, 1};                                            \
    Rig *r = rig(ints, 0, ingot_rt_topk_scratch(n));                                                         \
    rig_arg(r, x, type, 1, &n), rig_arg(r, NULL, 0, 0, NULL), rig_arg(r, at, INGOT_I64, 1, &n);              \
    cr_assert_eq(rig_call(r, ingot_rt_topk, 0, 1), INGOT_OK);                                                \
    for (int64_t i = 0; i < n; i++) cr_assert_eq(at[i], n - 1 - i, #type);                                   \
    rig_free(r);                                                                                             \
  } while (0)

Test(runtime_routines, every_element_type_has_its_order) {
  CHECK_ORDER(uint8_t, INGOT_BOOL, 0, 1);
  CHECK_ORDER(int8_t, INGOT_I8, -128, -1, 0, 127);
  CHECK_ORDER(uint8_t, INGOT_U8, 0, 1, 127, 128, 255);
  CHECK_ORDER(int16_t, INGOT_I16, INT16_MIN, -1, 0, INT16_MAX);
  CHECK_ORDER(uint16_t, INGOT_U16, 0, 1, 40000, UINT16_MAX);
  CHECK_ORDER(int32_t, INGOT_I32, INT32_MIN, -1, 0, INT32_MAX);
  CHECK_ORDER(uint32_t, INGOT_U32, 0, 1, 3000000000u, UINT32_MAX);
  CHECK_ORDER(int64_t, INGOT_I64, INT64_MIN, -1, 0, INT64_MAX);
  CHECK_ORDER(uint64_t, INGOT_U64, 0, 1, INT64_MAX, UINT64_MAX);
  CHECK_ORDER(uint16_t, INGOT_F16, 0xfc00, 0xc000, 0x8001, 0x0000, 0x0001, 0x3c00, 0x7c00,
              0x7e00); // -inf .. NaN
  CHECK_ORDER(uint16_t, INGOT_BF16, 0xff80, 0xc000, 0x8001, 0x0000, 0x0001, 0x3f80, 0x7f80, 0xffc0);
  CHECK_ORDER(float, INGOT_F32, -INFINITY, -1, -1e-40f, 0, 1e-40f, 1, INFINITY, -NAN);
  CHECK_ORDER(double, INGOT_F64, -INFINITY, -1, -4e-320, 0, 4e-320, 1, INFINITY, NAN);
}

Test(runtime_routines, minus_zero_equals_zero) {
  float x[] = {0.0f, -0.0f, 0.0f};
  int64_t n = 3, at[3], ints[] = {0, 1, 1};
  Rig *r = rig(ints, 0, ingot_rt_topk_scratch(n));
  rig_arg(r, x, INGOT_F32, 1, &n), rig_arg(r, NULL, 0, 0, NULL), rig_arg(r, at, INGOT_I64, 1, &n);
  cr_assert_eq(rig_call(r, ingot_rt_topk, 0, 1), INGOT_OK);
  cr_assert(at[0] == 0 && at[1] == 1 && at[2] == 2);
  rig_free(r);
}

// ---- nonzero -----------------------------------------------------------------------------------------

Test(runtime_routines, nonzero) {
  float x[2][3] = {{0, 1, -0.0f}, {NAN, 0, -2}};
  int64_t out[2][6];
  Rig *r = rig(NULL, 6, 0);
  rig_arg(r, x, INGOT_F32, 2, (int64_t[]){2, 3}), rig_arg(r, out, INGOT_I64, 2, (int64_t[]){2, 6});
  cr_assert_eq(rig_call(r, ingot_rt_nonzero, 0, 1), INGOT_OK);
  cr_assert_eq(r->sym[0], 3);
  cr_assert_eq(memcmp(out, (int64_t[]){0, 1, 1, 1, 0, 2}, 6 * 8), 0);
  r->symbol.bound = 2;
  memset(out, 7, sizeof out);
  cr_assert_eq(rig_call(r, ingot_rt_nonzero, 0, 1), INGOT_E_DATA);
  cr_assert_eq(((char *)out)[0], 7); // nothing written
  rig_free(r);
}

Test(runtime_routines, nonzero_of_nothing_and_of_a_scalar) {
  uint8_t one = 1;
  int64_t out[4];
  Rig *r = rig(NULL, 4, 0);
  rig_arg(r, &one, INGOT_BOOL, 2, (int64_t[]){3, 0}), rig_arg(r, out, INGOT_I64, 2, (int64_t[]){2, 0});
  cr_assert_eq(rig_call(r, ingot_rt_nonzero, 0, 1), INGOT_OK);
  cr_assert_eq(r->sym[0], 0);
  r->step.n_args = 0;
  rig_arg(r, &one, INGOT_BOOL, 0, NULL), rig_arg(r, out, INGOT_I64, 2, (int64_t[]){0, 1});
  cr_assert_eq(rig_call(r, ingot_rt_nonzero, 0, 1), INGOT_OK);
  cr_assert_eq(r->sym[0], 1);
  rig_free(r);
}

// ---- unique ------------------------------------------------------------------------------------------

static Rig *unique(void *x, int32_t dtype, int32_t rank, const int64_t *dims, int64_t n, int64_t *ints,
                   void *y, int64_t *indices, int64_t *inverse, int64_t *counts) {
  Rig *r = rig(ints, n, ingot_rt_unique_scratch(n));
  rig_arg(r, x, dtype, rank, dims), rig_arg(r, y, dtype, rank, dims);
  rig_arg(r, indices, INGOT_I64, 1, &n), rig_arg(r, inverse, INGOT_I64, 1, &n),
      rig_arg(r, counts, INGOT_I64, 1, &n);
  cr_assert_eq(rig_call(r, ingot_rt_unique, 0, 1), INGOT_OK);
  return r;
}

Test(runtime_routines, unique_flat) {
  float x[] = {2, 1, 1, 3, 4, 3}, y[6];
  int64_t n = 6, indices[6], inverse[6], counts[6], ints[] = {-1, 1};
  Rig *r = unique(x, INGOT_F32, 1, &n, n, ints, y, indices, inverse, counts);
  cr_assert_eq(r->sym[0], 4);
  cr_assert_eq(memcmp(y, (float[]){1, 2, 3, 4}, 16), 0);
  cr_assert_eq(memcmp(indices, (int64_t[]){1, 0, 3, 4}, 32), 0);
  cr_assert_eq(memcmp(inverse, (int64_t[]){1, 0, 0, 2, 3, 2}, 48), 0);
  cr_assert_eq(memcmp(counts, (int64_t[]){2, 1, 2, 1}, 32), 0);
  rig_free(r);
  ints[1] = 0; // in order of appearance
  r = unique(x, INGOT_F32, 1, &n, n, ints, y, indices, inverse, counts);
  cr_assert_eq(memcmp(y, (float[]){2, 1, 3, 4}, 16), 0);
  cr_assert_eq(memcmp(indices, (int64_t[]){0, 1, 3, 4}, 32), 0);
  cr_assert_eq(memcmp(inverse, (int64_t[]){0, 1, 1, 2, 3, 2}, 48), 0);
  cr_assert_eq(memcmp(counts, (int64_t[]){1, 2, 2, 1}, 32), 0);
  rig_free(r);
}

Test(runtime_routines, unique_along_axes) {
  int32_t rows[3][3] = {{1, 0, 0}, {1, 0, 0}, {-2, 3, 4}}, y[9];
  int64_t inverse[3], ints[] = {0, 1}, dims[] = {3, 3};
  Rig *r = unique(rows, INGOT_I32, 2, dims, 3, ints, y, NULL, inverse, NULL);
  cr_assert_eq(r->sym[0], 2);
  cr_assert_eq(memcmp(y, (int32_t[]){-2, 3, 4, 1, 0, 0}, 24), 0);
  cr_assert_eq(memcmp(inverse, (int64_t[]){1, 1, 0}, 24), 0);
  rig_free(r);
  uint8_t cube[2][4][2] = {{{1, 1}, {0, 1}, {2, 1}, {0, 1}}, {{1, 1}, {0, 1}, {2, 1}, {0, 1}}}, z[16];
  int64_t indices[4], cube_dims[] = {2, 4, 2};
  ints[0] = 1;
  r = unique(cube, INGOT_U8, 3, cube_dims, 4, ints, z, indices, NULL, NULL);
  cr_assert_eq(r->sym[0], 3);
  cr_assert_eq(memcmp(z, (uint8_t[]){0, 1, 1, 1, 2, 1, 0, 1, 1, 1, 2, 1}, 12), 0);
  cr_assert_eq(memcmp(indices, (int64_t[]){1, 0, 2}, 24), 0);
  r->symbol.bound = 2;
  cr_assert_eq(rig_call(r, ingot_rt_unique, 0, 1), INGOT_E_DATA);
  rig_free(r);
}

Test(runtime_routines, unique_of_many) {
  enum { N = 3000 };
  static int32_t x[N], y[N];
  static int64_t inverse[N], counts[N];
  int64_t n = N, ints[] = {-1, 1}, sum = 0;
  uint32_t seed = 5;
  for (int i = 0; i < N; i++) x[i] = (int32_t)(next(&seed) >> 22) - 500;
  Rig *r = unique(x, INGOT_I32, 1, &n, n, ints, y, NULL, inverse, counts);
  for (int i = 0; i < N; i++) cr_assert_eq(y[inverse[i]], x[i]);
  for (int64_t g = 0; g < r->sym[0]; g++) sum += counts[g];
  for (int64_t g = 1; g < r->sym[0]; g++) cr_assert_lt(y[g - 1], y[g]);
  cr_assert_eq(sum, N);
  rig_free(r);
}

// ---- non-maximum suppression -------------------------------------------------------------------------

static Rig *nms(float *boxes, float *scores, int64_t n, int64_t classes, int64_t *most, float *iou,
                float *score, int64_t *out, int64_t *ints, int64_t bound) {
  Rig *r = rig(ints, bound, ingot_rt_nms_scratch(n));
  rig_arg(r, boxes, INGOT_F32, 3, (int64_t[]){1, n, 4});
  rig_arg(r, scores, INGOT_F32, 3, (int64_t[]){1, classes, n});
  rig_arg(r, most, INGOT_I64, 0, NULL), rig_arg(r, iou, INGOT_F32, 0, NULL),
      rig_arg(r, score, INGOT_F32, 0, NULL);
  rig_arg(r, out, INGOT_I64, 2, (int64_t[]){bound, 3});
  return r;
}

Test(runtime_routines, nms) {
  // Three clusters; the second of each overlaps the first. Corners of one box are given in the other order.
  float boxes[6][4] = {{0, 0, 1, 1},   {0, 0.1f, 1, 1.1f},   {1, 0.9f, 0, -0.1f},
                       {0, 10, 1, 11}, {0, 10.1f, 1, 11.1f}, {0, 100, 1, 101}};
  float scores[2][6] = {{0.9f, 0.75f, 0.6f, 0.95f, 0.5f, 0.3f}, {0.1f, 0.2f, NAN, 0.2f, 0.2f, 0.2f}};
  float iou = 0.5f, score = 0;
  int64_t most = 3, out[12][3], ints[] = {0};
  Rig *r = nms(boxes[0], scores[0], 6, 2, &most, &iou, &score, out[0], ints, 12);
  cr_assert_eq(rig_call(r, ingot_rt_nms, 0, 1), INGOT_OK);
  cr_assert_eq(r->sym[0], 6);
  cr_assert_eq(memcmp(out, (int64_t[]){0, 0, 3, 0, 0, 0, 0, 0, 5, 0, 1, 1, 0, 1, 3, 0, 1, 5}, 6 * 24), 0);
  score = 0.4f, most = 1;
  cr_assert_eq(rig_call(r, ingot_rt_nms, 0, 1), INGOT_OK);
  cr_assert_eq(r->sym[0], 1);
  most = 100, score = 0, iou = 1; // nothing overlaps that much
  cr_assert_eq(rig_call(r, ingot_rt_nms, 0, 1), INGOT_OK);
  cr_assert_eq(r->sym[0], 11);
  r->symbol.bound = 10;
  cr_assert_eq(rig_call(r, ingot_rt_nms, 0, 1), INGOT_E_DATA);
  rig_free(r);
}

Test(runtime_routines, nms_options_may_be_absent) {
  float boxes[2][4] = {{0.5f, 0.5f, 1, 1}, {0.5f, 10.5f, 1, 1}}, scores[2] = {-1, -2};
  int64_t out[2][3], ints[] = {1}, most = 5;
  Rig *r = nms(boxes[0], scores, 2, 1, NULL, NULL, NULL, out[0], ints, 2);
  cr_assert_eq(rig_call(r, ingot_rt_nms, 0, 1), INGOT_OK);
  cr_assert_eq(r->sym[0], 0); // no limit given: no boxes
  rig_free(r);
  r = nms(boxes[0], scores, 2, 1, &most, NULL, NULL, out[0], ints, 2);
  cr_assert_eq(rig_call(r, ingot_rt_nms, 0, 1), INGOT_OK);
  cr_assert_eq(r->sym[0], 2); // no least score given: all count
  rig_free(r);
}
