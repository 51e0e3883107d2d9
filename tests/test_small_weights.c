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

// y = x w, w of k rows.
static Module *model_of(Ctx *c, int64_t rows, int64_t k, bool transposed) {
  Module *m = module_new(c, "m");
  m->target = target_default(c);
  Graph *g = m->main;
  Value *x = graph_input(g, "x", type_make(DT_F32, 2, (int64_t[]){rows, k}), NO_LOC);
  Type t = type_make(DT_F32, 2, transposed ? (int64_t[]){N, k} : (int64_t[]){k, N});
  Value *w = graph_const(g, "w", numbers(c, &t, 7), NO_LOC);
  Builder b = builder_at(g, NULL, NO_LOC);
  graph_output(g, "y", build(&b, "linear", IN(x, w), ATTRS(A_BOOL("transpose_w", transposed))));
  return m;
}

// The same, rows of the result also taken from a table that is w itself if `tied`.
static Module *model(Ctx *c, int64_t rows, bool transposed, bool tied) {
  Module *m = model_of(c, rows, K, transposed);
  if (!tied) return m;
  Builder b = builder_at(m->main, NULL, NO_LOC);
  Value *ids = graph_input(m->main, "ids", type_make(DT_I64, 1, (int64_t[]){2}), NO_LOC);
  graph_output(m->main, "rows", build(&b, "gather", IN(m->main->consts.data[0], ids), NO_ATTRS));
  return m;
}

static double largest_difference(const Tensor *a, const Tensor *b) {
  double most = 0;
  for (int64_t i = 0; i < type_elements(&a->type); i++)
    most = fmax(most, fabs(tensor_get(a, i) - tensor_get(b, i)));
  return most;
}

// How a product rounds a single row of it: weights of four bits meet 8 bits of the elements, by groups of 32; others 16 bits,
// by groups that have one scale, which are all K here.
typedef struct Rounding {
  int64_t group;
  float greatest;
} Rounding;

static Rounding rounding_of(const char *format) {
  return strncmp(format, "int4", 4) == 0 ? (Rounding){32, 127} : (Rounding){K, 32767};
}

static Tensor *rounded_row(Ctx *c, const Tensor *x, Rounding r) {
  Tensor *y = tensor_new(c, &x->type);
  for (int64_t g = 0; g < type_elements(&x->type); g += r.group) {
    float top = 0x1p-100f;
    for (int64_t i = g; i < g + r.group; i++) top = fmaxf(top, fabsf((float)tensor_get(x, i)));
    for (int64_t i = g; i < g + r.group; i++)
      tensor_set(y, i,
                 rintf((float)tensor_get(x, i) * (r.greatest / top)) * (double)(top * (1 / r.greatest)));
  }
  return y;
}

// What that may do to a sum of K products with such weights, of magnitude 1.1 at most, the elements being at most `top`: six
// standard deviations of errors that are even within half a unit.
static double rounding_error(Rounding r, int64_t k, double top) {
  return 6 * sqrt((double)k / 12) * 1.1 * top / r.greatest;
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
    n += strncmp(str_text(&text), "product", 7) == 0 && (!rounded || strstr(str_text(&text), "round="));
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
  if (rounded) cr_assert(has_text(m, strncmp(k->format, "int4", 4) == 0 ? "round=8" : "round=16"));
  // Streams of what takes several instructions to convert are asked for ahead.
  bool asked = streams && rows == 1 && !dtype_is_float(k->stored);
  cr_assert_eq(has_text(m, "prefetch %"), asked, "%s", k->format);
  bool integers = k->stored == DT_I8 || k->stored == DT_U32; // conversions of floats cost nothing
  cr_assert_eq(has_text(m, "alloc %panel"), rows == MANY_ROWS && integers, "%s", k->format);
  Tensor *want[2], *small[2], *got[2];
  cr_assert(eval_module(exact, in, want) && eval_module(plain, in, small) && eval_module(m, in, got));
  for (int i = 0; i < 1 + tied; i++) {
    double most = rounded ? rounding_error(rounding_of(k->format), K, 1) : 1e-5;
    cr_expect_lt(largest_difference(small[i], got[i]), most, "%s", k->format);
    cr_expect_lt(largest_difference(want[i], got[i]), k->error, "%s: %g", k->format,
                 largest_difference(want[i], got[i]));
  }
  if (rounded) { // all but that is exact
    in[0] = rounded_row(c, in[0], rounding_of(k->format));
    cr_assert(eval_module(plain, in, small));
    cr_expect_lt(largest_difference(small[0], got[0]), 1e-5, "%s", k->format);
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

// Numbers of four bits meet bytes of the row where the target multiplies bytes and --weights says that four bits will do;
// pairs of 16 bits elsewhere and where a model came with such weights.
Test(small_weights, bytes_or_pairs_of_a_row) {
  static const char *const targets[] = {"x86-64", "x86-64-v3", "x86-64-v3"}, *const formats[] = {
                                                                                 "int4", "int4:128:asym"};
  for (int i = 0; i < 3 * ARRAY_LEN(formats); i++) {
    bool asked = i % 3 < 2, bytes = i % 3 == 1;
    Ctx *c = ctx_make();
    Module *plain = model_of(c, 1, 256, false), *m = model_of(c, 1, 256, false);
    Target target = *target_find(c, targets[i % 3]);
    target.l2 = 1 << 10;
    m->target = plain->target = &target;
    PassOptions o = {.opt_level = 2};
    cr_assert(weight_format_parse(formats[i / 3], &o.weights));
    cr_assert(passes_run(plain, &o, "quantize_weights", NULL, NULL));
    if (!asked) {
      cr_assert(passes_run(m, &o, "quantize_weights", NULL, NULL));
      o.weights = (WeightFormat){.kind = WEIGHTS_F32};
    }
    cr_assert(passes_run(m, &o, NULL, NULL, &(PassHooks){.verify_each = true}));
    cr_expect(products(m, true) == 1 && has_text(m, "dot16("));
    cr_expect_eq(has_text(m, "dot8("), bytes, "%s", targets[i % 3]);
    Type t = plain->main->inputs.data[0]->type;
    const Tensor *in = numbers(c, &t, 99);
    Rounding pairs = {i < 3 ? 32 : 128, 32767};
    const Tensor *near = rounded_row(c, in, bytes ? rounding_of("int4") : pairs);
    Tensor *want, *got;
    cr_assert(eval_module(plain, &near, &want) && eval_module(m, &in, &got));
    cr_expect_lt(largest_difference(want, got), 2e-5, "%s, %s", targets[i % 3], formats[i / 3]);
    arena_free(c->arena);
  }
}

// x as its largest element is `top`, once: y of a single row of such weights, scheduled or as the model says it, in which
// case x may have been rounded before.
typedef enum How { AS_IT_IS, OF_ROUNDED, SCHEDULED } How;

static double *single_row(Ctx *c, const char *format, double top, bool strict, How how) {
  Module *m = model(c, 1, false, false);
  Target target = *target_find(c, "x86-64-v3");
  target.l2 = 1 << 10;
  m->target = &target;
  PassOptions o = {.opt_level = 2, .fp_strict = strict};
  cr_assert(weight_format_parse(format, &o.weights));
  Type t = m->main->inputs.data[0]->type;
  Tensor *x = numbers(c, &t, 99), *y;
  tensor_set(x, 40, top);
  if (how == OF_ROUNDED) x = rounded_row(c, x, rounding_of(format));
  cr_assert(passes_run(m, &o, how == SCHEDULED ? NULL : "quantize_weights", NULL, NULL));
  if (how == SCHEDULED) cr_assert_eq(products(m, true), !strict);
  cr_assert(eval_module(m, (const Tensor *[]){x}, &y));
  double *out = NEW_ARRAY(c->arena, double, N);
  for (int i = 0; i < N; i++) out[i] = tensor_get(y, i);
  return out;
}

// Each group of elements is rounded by its own largest one: a large one costs those of the other groups nothing.
Test(small_weights, rows_are_rounded_group_by_group) {
  static const double tops[] = {0, 1e-30, 1000, 1e30};
  static const char *const formats[] = {"int4", "int8"};
  for (int i = 0; i < ARRAY_LEN(formats) * ARRAY_LEN(tops); i++) {
    Ctx *c = ctx_make();
    const char *format = formats[i % 2];
    double top = tops[i / 2];
    const double *want = single_row(c, format, top, false, OF_ROUNDED),
                 *got = single_row(c, format, top, false, SCHEDULED);
    for (int n = 0; n < N; n++)
      cr_expect_lt(fabs(got[n] - want[n]), 1e-5 * fmax(top, 1), "%s, %g: %g, not %g", format, top, got[n],
                   want[n]);
    arena_free(c->arena);
  }
}

Test(small_weights, rows_with_nan_or_infinity_and_strict_ones) {
  static const char *const formats[] = {"int4", "int8"};
  for (int k = 0; k < ARRAY_LEN(formats); k++) {
    Ctx *c = ctx_make();
    const char *f = formats[k];
    const double *nan = single_row(c, f, NAN, false, SCHEDULED),
                 *infinite = single_row(c, f, INFINITY, false, SCHEDULED);
    const double *want = single_row(c, f, 1000, true, AS_IT_IS),
                 *strict = single_row(c, f, 1000, true, SCHEDULED);
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
