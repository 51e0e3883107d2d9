// test_small_weights.c: weights in fewer bits: what is stored, how far it departs, and that compiled kernels mean the
// ops that make f32 of it.
// SPDX-License-Identifier: Apache-2.0
#include "passes/passes.h"

#include <criterion/criterion.h>
#include <math.h>

static jmp_buf oom; // never set: running out of memory crashes the test

static Ctx *ctx_make(void) {
  Arena *a = arena_new(&oom);
  return ctx_new(a, diag_new(a, stderr, false));
}

static Tensor *numbers(Ctx *c, const Type *t, uint32_t seed) {
  Tensor *x = tensor_new(c, t);
  for (int64_t i = 0; i < type_elements(t); i++) {
    seed = seed * 1664525u + 1013904223u;
    tensor_set(x, i, (seed >> 8) / 8388608.0 - 1);
  }
  return x;
}

enum { ROWS = 3, MANY_ROWS = 29, K = 64, N = 190 };

// y = x w, rows of the result also taken from a table that is w itself if `tied`.
static Module *model(Ctx *c, int64_t rows, bool transposed, bool tied) {
  Module *m = module_new(c, "m");
  m->target = target_default(c);
  Graph *g = m->main;
  Value *x = graph_input(g, "x", type_make(DT_F32, 2, (int64_t[]){rows, K}), NO_LOC);
  Type t = type_make(DT_F32, 2, transposed ? (int64_t[]){N, K} : (int64_t[]){K, N});
  Value *w = graph_const(g, "w", numbers(c, &t, 7), NO_LOC);
  Builder b = builder_at(g, NULL, NO_LOC);
  Value *y = build(&b, "linear", IN(x, w), ATTRS(A_BOOL("transpose_w", transposed)));
  graph_output(g, "y", y);
  if (!tied) return m;
  Value *ids = graph_input(g, "ids", type_make(DT_I64, 1, (int64_t[]){2}), NO_LOC);
  graph_output(g, "rows", build(&b, "gather", IN(w, ids), NO_ATTRS));
  return m;
}

static double largest_difference(const Tensor *a, const Tensor *b) {
  double most = 0;
  for (int64_t i = 0; i < type_elements(&a->type); i++)
    most = fmax(most, fabs(tensor_get(a, i) - tensor_get(b, i)));
  return most;
}

// Is there a constant of this type, large enough for the weights?
static bool holds_weights(const Module *m, DType t) {
  for (int i = 0; i < m->main->consts.n; i++) {
    const Type *x = &m->main->consts.data[i]->type;
    if (x->dtype == t && type_elements(x) >= K * N / 8) return true;
  }
  return false;
}

// Of the numbers of which words of the weights hold several.
static int bits_of_words(const Module *m) {
  for (const Node *n = m->main->first; n; n = n->next)
    if (op_is(n, "unpack_bits")) return (int)attr_int(n, "bits");
  return 0;
}

static int products(const Module *m, bool rounded) {
  int n = 0;
  for (const Node *x = m->main->first; x; x = x->next) {
    if (!x->kernel || !x->kernel->schedule.kind) continue;
    Str text = {.arena = m->ctx->arena};
    schedule_print(&text, &x->kernel->schedule);
    n += strncmp(str_text(&text), "product", 7) == 0 && (!rounded || strstr(str_text(&text), "round=1"));
  }
  return n;
}

static bool has_text(const Module *m, const char *what) {
  Str text = {.arena = m->ctx->arena};
  module_print_plain(&text, m);
  return strstr(str_text(&text), what) != NULL;
}

typedef struct Case {
  const char *format;
  DType stored;
  double error; // of a result, at most: some five standard deviations of a sum of K numbers that are rounded
} Case;

// What rounding a row's elements, all of magnitude 1 at most, to 16 bits may do to a sum of their products with such
// weights: half a unit of each.
static const double ROUNDING = K * 1.1 / 65534;

static void check(const Case *k, int64_t rows, bool streams, bool transposed, bool tied) {
  Ctx *c = ctx_make();
  Module *exact = model(c, rows, transposed, tied), *plain = model(c, rows, transposed, tied),
         *m = model(c, rows, transposed, tied);
  Target target = *target_find(c, "x86-64-v3");
  if (streams) target.l2 = 1 << 10; // a single row reads several panels at once
  m->target = &target;
  PassOptions o = {.opt_level = 2};
  cr_assert(weight_format_parse(k->format, &o.weights));
  Type t = exact->main->inputs.data[0]->type;
  const Tensor *in[2] = {numbers(c, &t, 99), tensor_ints(c, (int64_t[]){5, N - 1}, 2)};
  cr_assert(passes_run(plain, &o, "quantize_weights", NULL, NULL));
  cr_assert(passes_run(m, &o, NULL, NULL, &(PassHooks){.verify_each = true}));
  cr_assert(holds_weights(plain, k->stored) && holds_weights(m, k->stored) && !holds_weights(m, DT_F32), "%s",
            k->format);
  cr_assert_eq(products(m, false), 1, "%s: the weights are unpacked by the product", k->format);
  bool rounded = streams && rows == 1 && k->stored == DT_U32;
  cr_assert_eq(products(m, true), rounded, "%s", k->format);
  // Streams of what takes several instructions to convert are asked for ahead.
  bool asked = streams && rows == 1 && !dtype_is_float(k->stored);
  cr_assert_eq(has_text(m, "prefetch %"), asked, "%s", k->format);
  bool integers = k->stored == DT_I8 || k->stored == DT_U32; // conversions of floats cost nothing
  cr_assert_eq(has_text(m, "alloc %panel"), rows == MANY_ROWS && integers, "%s", k->format);
  Tensor *want[2], *small[2], *got[2];
  cr_assert(eval_module(exact, in, want) && eval_module(plain, in, small) && eval_module(m, in, got));
  for (int i = 0; i < 1 + tied; i++) {
    cr_expect_lt(largest_difference(small[i], got[i]), rounded ? ROUNDING : 1e-5, "%s", k->format);
    cr_expect_lt(largest_difference(want[i], got[i]), k->error, "%s: %g", k->format,
                 largest_difference(want[i], got[i]));
  }
  arena_free(c->arena);
}

static const Case CASES[] = {
    {"f16", DT_F16, 0.003},        {"bf16", DT_BF16, 0.02},  {"int8", DT_U32, 0.05},
    {"int4", DT_U32, 0.9},         {"int4:64", DT_U32, 0.9}, {"int4:32:asym", DT_U32, 0.9},
    {"int4:64:asym", DT_U32, 0.9},
};

Test(small_weights, products_read_them) {
  for (int i = 0; i < ARRAY_LEN(CASES); i++) {
    check(&CASES[i], ROWS, false, false, false);
    check(&CASES[i], ROWS, false, true, false);
  }
}

// The rows share what one of their tiles has unpacked; the last columns do not fill a panel.
Test(small_weights, many_rows_unpack_them_once) {
  for (int i = 0; i < ARRAY_LEN(CASES); i++) {
    check(&CASES[i], MANY_ROWS, false, false, false);
    check(&CASES[i], MANY_ROWS, false, true, true);
  }
}

// One row is where unpacking is most of the work: what steps have in common is taken out of them.
Test(small_weights, a_single_row_reads_them) {
  for (int i = 0; i < ARRAY_LEN(CASES); i++)
    for (int streams = 0; streams < 2; streams++) {
      check(&CASES[i], 1, streams, false, false);
      check(&CASES[i], 1, streams, true, false);
    }
}

// Bytes lie in words where single rows are multiplied as whole numbers, and by themselves elsewhere.
Test(small_weights, bytes_and_words) {
  static const struct {
    const char *target;
    bool strict, words;
  } cases[] = {{"x86-64-v3", false, true}, {"x86-64-v3", true, false}, {"aarch64", false, false}};
  for (int i = 0; i < ARRAY_LEN(cases); i++) {
    Ctx *c = ctx_make();
    Module *exact = model(c, 1, false, false), *m = model(c, 1, false, false);
    PassOptions o = {.opt_level = 2, .fp_strict = cases[i].strict};
    m->target = target_find(c, cases[i].target);
    cr_assert(m->target && weight_format_parse("int8", &o.weights));
    cr_assert(passes_run(m, &o, NULL, NULL, &(PassHooks){.verify_each = true}));
    cr_expect(holds_weights(m, cases[i].words ? DT_U32 : DT_I8), "%s", cases[i].target);
    Type t = exact->main->inputs.data[0]->type;
    const Tensor *in = numbers(c, &t, 99);
    Tensor *want, *got;
    cr_assert(eval_module(exact, &in, &want) && eval_module(m, &in, &got));
    cr_expect_lt(largest_difference(want, got), 0.05, "%s", cases[i].target);
    arena_free(c->arena);
  }
}

// x as its largest element is `top`, once: y of a single row of such weights, scheduled or as the model says it.
static double *single_row(Ctx *c, const char *format, double top, bool strict, bool scheduled) {
  Module *m = model(c, 1, false, false);
  Target target = *target_find(c, "x86-64-v3");
  target.l2 = 1 << 10;
  m->target = &target;
  PassOptions o = {.opt_level = 2, .fp_strict = strict};
  cr_assert(weight_format_parse(format, &o.weights));
  Type t = m->main->inputs.data[0]->type;
  Tensor *x = numbers(c, &t, 99), *y;
  tensor_set(x, 40, top);
  cr_assert(passes_run(m, &o, scheduled ? NULL : "quantize_weights", NULL, NULL));
  if (scheduled) cr_assert_eq(products(m, true), !strict);
  cr_assert(eval_module(m, (const Tensor *[]){x}, &y));
  double *out = NEW_ARRAY(c->arena, double, N);
  for (int i = 0; i < N; i++) out[i] = tensor_get(y, i);
  return out;
}

// Each group of elements is rounded by its own largest one: a large one costs those of the other groups nothing. Groups of
// int8 are of all K elements here, those of int4 of 32.
Test(small_weights, rows_are_rounded_group_by_group) {
  static const double tops[] = {0, 1e-30, 1000, 1e30};
  static const struct {
    const char *format;
    int group;
  } formats[] = {{"int4", 32}, {"int8", K}};
  for (int i = 0; i < ARRAY_LEN(formats); i++)
    for (int k = 0; k < ARRAY_LEN(tops); k++) {
      Ctx *c = ctx_make();
      const char *format = formats[i].format;
      const double *want = single_row(c, format, tops[k], false, false);
      const double *got = single_row(c, format, tops[k], false, true);
      double own = formats[i].group * 1.1 * fmax(tops[k], 1) / 65534;
      double rest = (K - formats[i].group) * 1.1 / 65534;
      for (int n = 0; n < N; n++)
        cr_expect_lt(fabs(got[n] - want[n]), own + rest, "%s, %g: %g, not %g", format, tops[k], got[n],
                     want[n]);
      arena_free(c->arena);
    }
}

Test(small_weights, rows_with_nan_or_infinity_and_strict_ones) {
  static const char *const formats[] = {"int4", "int8"};
  for (int k = 0; k < ARRAY_LEN(formats); k++) {
    Ctx *c = ctx_make();
    const char *f = formats[k];
    const double *nan = single_row(c, f, NAN, false, true),
                 *infinite = single_row(c, f, INFINITY, false, true);
    const double *want = single_row(c, f, 1000, true, false), *strict = single_row(c, f, 1000, true, true);
    for (int i = 0; i < N; i++) {
      cr_expect(isnan(nan[i]) && isnan(infinite[i]));
      cr_expect_float_eq(strict[i], want[i], 1e-3);
    }
    arena_free(c->arena);
  }
}

Test(small_weights, a_table_that_is_a_products_weights_too) {
  for (int i = 0; i < ARRAY_LEN(CASES); i++) check(&CASES[i], ROWS, false, true, true);
}

// Multiplies the weights; one of them is `odd` if that is not 0.
static Module *scaled_model(Ctx *c, double by, double odd) {
  Module *m = model(c, ROWS, false, false);
  Type t = type_make(DT_F32, 2, (int64_t[]){K, N});
  Tensor *w = numbers(c, &t, 7);
  for (int64_t i = 0; i < K * N; i++) tensor_set(w, i, tensor_get(w, i) * by);
  if (odd != 0) tensor_set(w, 100, odd);
  m->main->consts.data[0]->data = w;
  return m;
}

typedef struct Scaled {
  const char *format;
  double by, odd;
  DType stored;
  int bits; // of words: of a number in one
} Scaled;

Test(small_weights, numbers_that_a_format_cannot_hold) {
  static const Scaled cases[] = {
      {"f16", 1e6, 0, DT_BF16, 0},      {"f16", 1e-7, 0, DT_BF16, 0},     {"int4", 1e6, 0, DT_U32, 8},
      {"int4", 1e-7, 0, DT_U32, 8},     {"int4:asym", 5e5, 0, DT_U32, 8}, {"int8", 1e6, 0, DT_U32, 8},
      {"int4", 1, 0, DT_U32, 4},        {"int8", 1, INFINITY, DT_F32, 0}, {"int4", 1, NAN, DT_F32, 0},
      {"f16", 1, -INFINITY, DT_F32, 0},
  };
  for (int i = 0; i < ARRAY_LEN(cases); i++) {
    const Scaled *k = &cases[i];
    Ctx *c = ctx_make();
    Module *m = scaled_model(c, k->by, k->odd), *exact = scaled_model(c, k->by, k->odd);
    PassOptions o = {.opt_level = 2};
    cr_assert(weight_format_parse(k->format, &o.weights));
    Type t = exact->main->inputs.data[0]->type;
    const Tensor *in = numbers(c, &t, 99);
    Tensor *want, *got;
    cr_assert(passes_run(m, &o, "quantize_weights", NULL, NULL));
    cr_expect(holds_weights(m, k->stored), "%s of numbers times %g", k->format, k->by);
    if (k->bits) cr_expect_eq(bits_of_words(m), k->bits, "%s of numbers times %g", k->format, k->by);
    cr_assert(eval_module(exact, &in, &want) && eval_module(m, &in, &got));
    double most = k->bits == 4 ? 0.9 : 0.04;
    if (k->odd == 0) cr_expect_lt(largest_difference(want, got) / k->by, most, "%s, %g", k->format, k->by);
    arena_free(c->arena);
  }
}

Test(small_weights, strict_products_keep_their_operations) {
  for (int strict = 0; strict < 2; strict++) {
    Ctx *c = ctx_make();
    Module *m = model(c, 1, false, false);
    PassOptions o = {.opt_level = 2, .fp_strict = strict, .weights = {.kind = WEIGHTS_INT4, .group = 32}};
    cr_assert(passes_run(m, &o, NULL, NULL, NULL));
    Str out = {.arena = c->arena};
    module_print(&out, m, NULL);
    const char *text = str_text(&out);
    cr_expect_eq(!strstr(text, "fma(") && !strstr(text, "bitcast("), strict, "%s", text);
    arena_free(c->arena);
  }
}

Test(small_weights, formats) {
  WeightFormat f;
  cr_expect(weight_format_parse("int4:128:asym", &f) && f.kind == WEIGHTS_INT4 && f.group == 128 && f.asym);
  cr_expect(weight_format_parse("int4:asym", &f) && f.group == 32 && f.asym);
  cr_expect(weight_format_parse("f32", &f) && f.kind == WEIGHTS_F32);
  static const char *const wrong[] = {"",         "int9",        "int4:",   "int4:33",
                                      "int4:32:", "int4:32:sym", "int8:32", "f16x"};
  for (int i = 0; i < ARRAY_LEN(wrong); i++) cr_expect(!weight_format_parse(wrong[i], &f), "%s", wrong[i]);
}

typedef struct Lines {
  int each, total;
} Lines;

static void count_line(void *data, bool total, const char *line) {
  Lines *l = data;
  total ? l->total++ : l->each++;
  cr_expect(strstr(line, "error"), "%s", line);
}

Test(small_weights, errors_are_reported) {
  Ctx *c = ctx_make();
  Module *m = model(c, ROWS, false, false);
  Lines l = {0};
  PassOptions o = {.weights = {.kind = WEIGHTS_INT8}, .report = count_line, .report_data = &l};
  cr_assert(passes_run(m, &o, "quantize_weights", NULL, NULL));
  cr_expect(l.each == 1 && l.total == 1);
  arena_free(c->arena);
}
