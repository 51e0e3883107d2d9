// test_ops_values.c: sorting, quantisation, generators, casts and the rarer element types.
// SPDX-License-Identifier: Apache-2.0
#include "ops_call.h"

static void set_floats(Call *r, int k, const float *v, int n) {
  for (int i = 0; i < n; i++) tensor_set(r->in[k], i, v[i]);
}

static void expect_ints(const Call *r, int k, const int64_t *want, int n) {
  cr_assert_eq(type_elements(&r->out[k]->type), n);
  for (int i = 0; i < n; i++)
    cr_expect(tensor_get_int(r->out[k], i) == want[i], "%s: element %d of result %d is %lld, not %lld",
              r->n->op->name, i, k, (long long)tensor_get_int(r->out[k], i), (long long)want[i]);
}

// ---- sorting --------------------------------------------------------------------------------------------------

static const float SIX[] = {3, 1, NAN, 3, -2, 0};

static void on_six(Call *r, const char *call) {
  start(r, stderr);
  call_parse(r, &call);
  set_floats(r, 0, SIX, 6);
  evaluate(r);
}

Test(ops_values, topk_and_sort) {
  Call r;
  on_six(&r, "topk(f32[6], k=3)");
  expect_ints(&r, 1, (int64_t[]){2, 0, 3}, 3);
  on_six(&r, "topk(f32[6], k=2, largest=false)");
  expect_ints(&r, 1, (int64_t[]){4, 5}, 2);
  on_six(&r, "sort(f32[6])");
  expect_ints(&r, 1, (int64_t[]){4, 5, 1, 0, 3, 2}, 6);
  on_six(&r, "sort(f32[2,3], axis=0, descending=true)");
  expect_ints(&r, 1, (int64_t[]){0, 0, 0, 1, 1, 1}, 6);
}

Test(ops_values, nonzero_and_compress) {
  Call r;
  on_six(&r, "nonzero(f32[2,3])");
  expect_ints(&r, 0, (int64_t[]){0, 0, 0, 1, 1, 0, 1, 2, 0, 1}, 10);
  start(&r, stderr);
  const char *s = "compress(f32[3,2], bool[3], axis=0)";
  call_parse(&r, &s);
  for (int i = 0; i < 3; i++) tensor_set_int(r.in[1], i, i != 1);
  evaluate(&r);
  cr_assert_eq(r.out[0]->type.dim[0].n, 2);
  for (int i = 0; i < 4; i++) NEAR(&r, 0, i, in_at(&r, 0, i < 2 ? i : i + 2));
}

Test(ops_values, unique) {
  static const int64_t X[] = {5, 2, 5, 1, 2, 5};
  for (int sorted = 0; sorted < 2; sorted++) {
    Call r;
    start(&r, stderr);
    const char *s = sorted ? "unique(i32[6])" : "unique(i32[2,3], sorted=false)";
    call_parse(&r, &s);
    for (int i = 0; i < 6; i++) tensor_set_int(r.in[0], i, X[i]);
    evaluate(&r);
    expect_ints(&r, 0, sorted ? (int64_t[]){1, 2, 5} : (int64_t[]){5, 2, 1}, 3);
    expect_ints(&r, 1, sorted ? (int64_t[]){3, 1, 0} : (int64_t[]){0, 1, 3}, 3);
    expect_ints(&r, 2, sorted ? (int64_t[]){2, 1, 2, 0, 1, 2} : (int64_t[]){0, 1, 0, 2, 1, 0}, 6);
    expect_ints(&r, 3, sorted ? (int64_t[]){1, 2, 3} : (int64_t[]){3, 2, 1}, 3);
  }
}

Test(ops_values, nms_keeps_the_best_of_overlapping_boxes) {
  static const float BOXES[] = {0, 0,  1, 1,  0, 0.1f,  1, 1.1f,  0, -0.1f, 1, 0.9f,
                                0, 10, 1, 11, 0, 10.1f, 1, 11.1f, 0, 100,   1, 101};
  static const float SCORES[] = {0.9f, 0.75f, 0.6f, 0.95f, 0.5f, 0.3f};
  Call r;
  start(&r, stderr);
  const char *s = "nms(f32[1,6,4], f32[1,1,6], i64[1], f32[1], f32[1])";
  call_parse(&r, &s);
  set_floats(&r, 0, BOXES, 24);
  set_floats(&r, 1, SCORES, 6);
  tensor_set_int(r.in[2], 0, 3);
  tensor_set(r.in[3], 0, 0.5);
  tensor_set(r.in[4], 0, 0.4);
  evaluate(&r);
  expect_ints(&r, 0, (int64_t[]){0, 0, 3, 0, 0, 0}, 6);
}

// ---- quantisation ---------------------------------------------------------------------------------------------

Test(ops_values, quantise_rounds_to_even_and_saturates) {
  static const float X[] = {0.5f, 1.5f, 2.5f, -0.5f, 1000, -1000};
  Call r;
  start(&r, stderr);
  const char *s = "quantize_linear(f32[6], f32[], i8[])";
  call_parse(&r, &s);
  set_floats(&r, 0, X, 6);
  tensor_set(r.in[1], 0, 1);
  tensor_set_int(r.in[2], 0, 3);
  evaluate(&r);
  expect_ints(&r, 0, (int64_t[]){3, 5, 5, 3, 127, -128}, 6);
}

Test(ops_values, quantised_by_channel_and_block) {
  Call r;
  run(&r, "dequantize_linear(i8[2,6], f32[2,2], i8[2,2], axis=1, block=3)");
  for (int i = 0; i < 12; i++) {
    int p = i / 6 * 2 + i % 6 / 3;
    NEAR(&r, 0, i, (in_at(&r, 0, i) - in_at(&r, 2, p)) * in_at(&r, 1, p));
  }
  run(&r, "dequantize_linear(u8[2,3], f32[3], u8[3])");
  for (int i = 0; i < 6; i++) NEAR(&r, 0, i, (in_at(&r, 0, i) - in_at(&r, 2, i % 3)) * in_at(&r, 1, i % 3));
}

Test(ops_values, dynamic_quantisation_covers_the_range) {
  static const float X[] = {0, 2, -3, -2.5f, 1.34f, 0.5f};
  Call r;
  start(&r, stderr);
  const char *s = "dynamic_quantize_linear(f32[6])";
  call_parse(&r, &s);
  set_floats(&r, 0, X, 6);
  evaluate(&r);
  NEAR(&r, 1, 0, 5.0 / 255);
  expect_ints(&r, 2, (int64_t[]){153}, 1);
  expect_ints(&r, 0, (int64_t[]){153, 255, 0, 26, 221, 179}, 6);
}

// ---- generators -----------------------------------------------------------------------------------------------

Test(ops_values, generators) {
  Call r;
  run(&r, "iota(shape=[2,3], axis=1, dtype=i32)");
  expect_ints(&r, 0, (int64_t[]){0, 1, 2, 0, 1, 2}, 6);
  run(&r, "eye(shape=[2,3], k=1, dtype=i8)");
  expect_ints(&r, 0, (int64_t[]){0, 1, 0, 0, 0, 1}, 6);
  run(&r, "extents(of=[7,1,3])");
  expect_ints(&r, 0, (int64_t[]){7, 1, 3}, 3);
  run(&r, "range(f32[], f32[], count=[4])");
  for (int i = 0; i < 4; i++) NEAR(&r, 0, i, in_at(&r, 0, 0) + i * in_at(&r, 1, 0));
  for (int upper = 0; upper < 2; upper++) {
    run(&r, upper ? "trilu(f32[3,4], k=-1)" : "trilu(f32[3,4], upper=false, k=1)");
    for (int i = 0; i < 12; i++) {
      int y = i / 4, x = i % 4;
      NEAR(&r, 0, i, (upper ? x - y >= -1 : x - y <= 1) ? in_at(&r, 0, i) : 0);
    }
  }
}

Test(ops_values, one_hot_counts_from_the_end) {
  static const int64_t AT[] = {1, -1, 5};
  Call r;
  start(&r, stderr);
  const char *s = "one_hot(i64[3], f32[], f32[], depth=[4], axis=0)";
  call_parse(&r, &s);
  for (int i = 0; i < 3; i++) tensor_set_int(r.in[0], i, AT[i]);
  evaluate(&r);
  for (int i = 0; i < 12; i++) {
    int64_t at = AT[i % 3] < 0 ? AT[i % 3] + 4 : AT[i % 3];
    NEAR(&r, 0, i, at == i / 3 ? in_at(&r, 1, 0) : in_at(&r, 2, 0));
  }
}

Test(ops_values, random_numbers_are_spread_as_promised) {
  enum { COUNT = 20000 };
  for (int normal = 0; normal < 2; normal++) {
    Call r;
    run(&r, normal ? "random_normal(shape=[20000], seed=5, mean=1, scale=2)"
                   : "random_uniform(shape=[20000], seed=5)");
    double mean = 0, var = 0, lag = 0;
    for (int i = 0; i < COUNT; i++) mean += tensor_get(r.out[0], i) / COUNT;
    for (int i = 0; i < COUNT; i++) {
      double d = tensor_get(r.out[0], i) - mean, next = tensor_get(r.out[0], (i + 1) % COUNT) - mean;
      var += d * d / COUNT;
      lag += d * next / COUNT;
    }
    cr_expect_float_eq(mean, normal ? 1 : 0.5, normal ? 0.05 : 0.01);
    cr_expect_float_eq(var, normal ? 4 : 1.0 / 12, normal ? 0.15 : 0.003);
    cr_expect(fabs(lag) < 0.03 * var, "neighbours correlate: %g", lag / var);
  }
}

// ---- element types --------------------------------------------------------------------------------------------

Test(ops_values, casts) {
  static const float X[] = {-1.7f, 300, NAN, INFINITY, -0.2f, 0};
  Call r;
  start(&r, stderr);
  const char *s = "cast(f32[6], dtype=u8)";
  call_parse(&r, &s);
  set_floats(&r, 0, X, 6);
  evaluate(&r);
  expect_ints(&r, 0, (int64_t[]){0, 255, 0, 255, 0, 0}, 6);
  start(&r, stderr);
  s = "cast(f32[6], dtype=bool)";
  call_parse(&r, &s);
  set_floats(&r, 0, X, 6);
  evaluate(&r);
  expect_ints(&r, 0, (int64_t[]){1, 1, 1, 1, 1, 0}, 6);
}

Test(ops_values, integer_arithmetic) {
  static const int64_t A[] = {7, -7, 7, -7, 5}, B[] = {3, 3, -3, -3, 0};
  static const struct {
    const char *name;
    int64_t want[5];
  } TABLE[] = {{"div", {2, -2, -2, 2, 0}}, {"mod", {1, 2, -2, -1, 0}}, {"rem", {1, -1, 1, -1, 0}}};
  for (int k = 0; k < ARRAY_LEN(TABLE); k++) {
    Call r;
    start(&r, stderr);
    const char *s = arena_printf(r.c->arena, "%s(i32[5], i32[5])", TABLE[k].name);
    call_parse(&r, &s);
    for (int i = 0; i < 5; i++) {
      tensor_set_int(r.in[0], i, A[i]);
      tensor_set_int(r.in[1], i, B[i]);
    }
    evaluate(&r);
    expect_ints(&r, 0, TABLE[k].want, 5);
  }
}

// 16-bit floats are summed in f32: 4096 ones are 4096, not 2048.
Test(ops_values, half_sums_do_not_stall) {
  static const char *const CALLS[] = {"reduce_sum(f16[4096])", "matmul(f16[1,4096], f16[4096,1])",
                                      "reduce_mean(bf16[4096])"};
  for (int k = 0; k < 3; k++) {
    Call r;
    start(&r, stderr);
    const char *s = CALLS[k];
    call_parse(&r, &s);
    for (int j = 0; j < r.nin; j++)
      for (int i = 0; i < 4096; i++) tensor_set(r.in[j], i, 1);
    evaluate(&r);
    NEAR(&r, 0, 0, k == 2 ? 1 : 4096);
  }
}

Test(ops_values, isinf_and_where) {
  static const float X[] = {INFINITY, -INFINITY, NAN, 1};
  for (int negative = 0; negative < 2; negative++) {
    Call r;
    start(&r, stderr);
    const char *s = negative ? "isinf(f32[4], positive=false)" : "isinf(f32[4])";
    call_parse(&r, &s);
    set_floats(&r, 0, X, 4);
    evaluate(&r);
    expect_ints(&r, 0, negative ? (int64_t[]){0, 1, 0, 0} : (int64_t[]){1, 1, 0, 0}, 4);
  }
  Call r;
  run(&r, "clip(f32[50], f32[], f32[])");
  for (int i = 0; i < 50; i++) NEAR(&r, 0, i, fmin(fmax(in_at(&r, 0, i), in_at(&r, 1, 0)), in_at(&r, 2, 0)));
}
