// test_tools.c: the command's own arithmetic: distances between tensors, floating-point operations of a model.
// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <math.h>

#include "tools/compare.h"
#include "tools/cost.h"

typedef struct Bench {
  Arena *arena;
  Ctx *ctx;
} Bench;

static jmp_buf oom;

static Bench bench_new(void) {
  Arena *a = arena_new(&oom);
  return (Bench){a, ctx_new(a, diag_new(a, stderr, false))};
}

static Tensor *vector(Ctx *c, DType t, int n, const double *v) {
  Type type = type_make(t, 1, (int64_t[]){n});
  Tensor *x = tensor_new(c, &type);
  for (int i = 0; i < n; i++) tensor_set(x, i, v[i]);
  return x;
}

static Difference apart(Bench *b, DType t, double want, double got) {
  return tensor_compare(vector(b->ctx, t, 1, &want), vector(b->ctx, t, 1, &got));
}

Test(tools, equal_numbers_are_no_distance_apart) {
  Bench b = bench_new();
  static const double same[][2] = {
      {1, 1}, {0.0, -0.0}, {NAN, NAN}, {INFINITY, INFINITY}, {-INFINITY, -INFINITY}};
  for (int i = 0; i < ARRAY_LEN(same); i++) {
    Difference d = apart(&b, DT_F32, same[i][0], same[i][1]);
    cr_assert(d.same_type && d.abs == 0 && d.rel == 0 && d.ulp == 0 && d.norm == 0 && d.unequal == 0, "%d",
              i);
  }
  arena_free(b.arena);
}

Test(tools, numbers_against_nan_are_infinitely_far) {
  Bench b = bench_new();
  static const double far[][2] = {{1, NAN}, {NAN, 1}, {INFINITY, -INFINITY}, {1, INFINITY}, {INFINITY, 3e38}};
  for (int i = 0; i < ARRAY_LEN(far); i++) {
    Difference d = apart(&b, DT_F32, far[i][0], far[i][1]);
    cr_assert(isinf(d.abs) && isinf(d.norm) && isinf(d.ulp) && d.unequal == 1 && d.at == 0, "%d", i);
  }
  arena_free(b.arena);
}

Test(tools, units_in_the_last_place) {
  Bench b = bench_new();
  cr_assert_eq(apart(&b, DT_F32, 1, nextafterf(1, 2)).ulp, 1);
  cr_assert_eq(apart(&b, DT_F32, nextafterf(0, 1), -nextafterf(0, 1)).ulp, 2);
  cr_assert_eq(apart(&b, DT_F64, 1, nextafter(nextafter(1, 0), 0)).ulp, 2);
  cr_assert_eq(apart(&b, DT_F16, 1, 1 + 0x1p-10).ulp, 1);
  cr_assert_eq(apart(&b, DT_BF16, 1, 1 + 0x1p-6).ulp, 2);
  cr_assert_eq(apart(&b, DT_I32, 5, 9).ulp, 0);
  cr_assert_eq(apart(&b, DT_I32, 5, 9).abs, 4);
  arena_free(b.arena);
}

Test(tools, the_norm_is_relative_to_the_largest_magnitude) {
  Bench b = bench_new();
  const double want[] = {-200, 1, 0}, got[] = {-200, 1.5, 0.25};
  Difference d = tensor_compare(vector(b.ctx, DT_F32, 3, want), vector(b.ctx, DT_F32, 3, got));
  cr_assert_eq(d.abs, 0.5);
  cr_assert_eq(d.norm, 0.5 / 200);
  cr_assert(isinf(d.rel)); // 0.25 against 0
  cr_assert_eq(d.at, 1);
  cr_assert_eq(d.unequal, 2);
  arena_free(b.arena);
}

Test(tools, other_types_are_not_compared) {
  Bench b = bench_new();
  const double v[] = {1, 2};
  cr_assert_not(tensor_compare(vector(b.ctx, DT_F32, 2, v), vector(b.ctx, DT_F64, 2, v)).same_type);
  cr_assert_not(tensor_compare(vector(b.ctx, DT_F32, 2, v), vector(b.ctx, DT_F32, 1, v)).same_type);
  arena_free(b.arena);
}

// ---- FLOPs ------------------------------------------------------------------------------------------------

static double flops_of(const char *body) {
  Bench b = bench_new();
  char *text = arena_printf(b.arena, "ingot 1 graph\ngraph main(%s}\n", body);
  Module *m = module_parse(b.ctx, source_from_text(b.arena, "test.ing", text));
  cr_assert_not_null(m, "%s", text);
  double flops = graph_flops(b.ctx, m->main);
  arena_free(b.arena);
  return flops;
}

Test(tools, flops_of_ops) {
  cr_assert_eq(flops_of("%x: f32[4,8]) {\n  %y: f32[4,8] = add(%x, %x)\n  return %y\n"), 32);
  cr_assert_eq(flops_of("%x: i32[4,8]) {\n  %y: i32[4,8] = add(%x, %x)\n  return %y\n"), 0);
  cr_assert_eq(flops_of("%x: f32[4,8]) {\n  %y: f32[8,4] = transpose(%x) perm=[1, 0]\n  return %y\n"), 0);
  cr_assert_eq(flops_of("%x: f32[4,8], %w: f32[8,5]) {\n  %y: f32[4,5] = matmul(%x, %w)\n  return %y\n"),
               2 * 4 * 8 * 5);
  cr_assert_eq(
      flops_of("%x: f32[1,3,8,8], %w: f32[4,3,3,3]) {\n  %y: f32[1,4,6,6] = conv(%x, %w)\n  return %y\n"),
      2 * 36 * 4 * 27);
}

// Through the definition by other ops: maximum, difference, exponential, sum, quotient.
Test(tools, flops_of_decomposed_ops) {
  double flops = flops_of("%x: f32[4,8]) {\n  %y: f32[4,8] = softmax(%x) axis=-1\n  return %y\n");
  cr_assert_geq(flops, 5 * 32 - 8);
  cr_assert_leq(flops, 6 * 32);
}
