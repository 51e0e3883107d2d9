// test_tools.c: the command's own arithmetic: distances between tensors, floating-point operations of a model.
// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <math.h>

#include "tools/compare.h"
#include "tools/textdiff.h"

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

// ---- differences of texts -----------------------------------------------------------------------------------

// What `b` is, if the changes are made to `a`: hunks carry whole lines.
static char *patched(Bench *b, const char *a, const char *diff) {
  Str out = {.arena = b->arena};
  const char *from = a;
  int line = 1;
  for (const char *p = diff; *p;) {
    const char *end = strchr(p, '\n');
    int first;
    if (sscanf(p, "@@ -%d", &first) == 1) {
      for (; line < first; line++) {
        const char *next = strchr(from, '\n') + 1;
        str_put(&out, from, (size_t)(next - from));
        from = next;
      }
    } else if (strncmp(p, "---", 3) != 0 && strncmp(p, "+++", 3) != 0) {
      if (*p != '-') str_put(&out, p + 1, (size_t)(end - p));
      if (*p != '+') from = strchr(from, '\n') + 1;
      line += *p != '+';
    }
    p = end + 1;
  }
  str_puts(&out, from);
  return str_text(&out);
}

Test(tools, a_difference_leads_from_one_text_to_the_other) {
  static const char *const texts[] = {"",
                                      "a\n",
                                      "a\nb\nc\nd\ne\nf\ng\nh\n",
                                      "a\nb\nX\nd\ne\nf\ng\nh\n",
                                      "b\na\nc\nd\nd\nd\ng\nf\nnew\nh\n",
                                      "x\nx\nx\nx\na\nx\nx\n",
                                      "x\nx\nb\nx\nx\nx\nx\nx\nx\nx\nx\n"};
  Bench b = bench_new();
  for (int i = 0; i < ARRAY_LEN(texts); i++)
    for (int k = 0; k < ARRAY_LEN(texts); k++)
      for (int context = 0; context < 3; context++) {
        Str diff = {.arena = b.arena};
        bool differs = text_diff(&diff, texts[i], texts[k], "old", "new", context);
        cr_assert_eq(differs, i != k);
        cr_assert_str_eq(patched(&b, texts[i], str_text(&diff)), texts[k], "%d to %d:\n%s", i, k,
                         str_text(&diff));
      }
  arena_free(b.arena);
}

Test(tools, a_difference_shows_little_around_a_change) {
  Bench b = bench_new();
  Str diff = {.arena = b.arena};
  text_diff(&diff, "1\n2\n3\n4\n5\n6\n7\n", "1\n2\n3\nfour\n5\n6\n7\n", "old", "new", 1);
  cr_assert_str_eq(str_text(&diff), "--- old\n+++ new\n@@ -3,3 +3,3 @@\n 3\n-4\n+four\n 5\n");
  arena_free(b.arena);
}
