// test_onnx_hostile.c: ONNX models that were made to do harm give diagnostics, quickly.
// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with single bytes is in test_onnx_wire.c; what libFuzzer finds is in fuzz_onnx/found.
#include "tests/folder.h"
#include "tests/onnx_fixture.h"

static void expect_refusal(Fixture *f, Str *model, const char *what, const char *message) {
  cr_expect_null(import(f, model), "%s was taken", what);
  cr_expect_not_null(strstr(said(f->b), message), "%s: said: %s", what, said(f->b));
}

static void add_attr_ints(Str *node, const char *name, const int64_t *v, int n) {
  Str attr = {.arena = node->arena};
  pb_text(&attr, 1, name);
  pb_packed(&attr, 8, v, n);
  pb_int(&attr, 20, ONNX_ATTR_INTS);
  pb_message(node, 5, &attr);
}

// ---- damage ----

// Every beginning of a good model is refused or, where what is missing is not needed, taken.
Test(onnx_hostile, truncated) {
  Fixture whole = begin();
  Str g = {.arena = whole.a};
  add_ints(&g, "shape", DIMS(3, -1));
  add_node(&g, "Abs", NAMES("x"), "a");
  add_node(&g, "Reshape", NAMES("a", "shape"), "y");
  add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(2, 3));
  add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(3, 2));
  Str model = pb_model(whole.a, &g, 17);
  cr_assert_not_null(import(&whole, &model), "%s", said(whole.b));
  int taken = 0;
  for (size_t n = 0; n < model.n; n++) {
    Fixture f = begin();
    Str part = {.s = malloc(n ? n : 1), .n = n}; // its own block: a sanitizer sees what reads beyond
    memcpy(part.s, model.s, n);
    Module *m = import(&f, &part);
    taken += m != NULL;
    cr_expect((m != NULL) != (diag_errors(f.c->diag) > 0), "%zu bytes: said: %s", n, said(f.b));
    free(part.s);
    bench_free(f.b);
  }
  cr_expect_eq(taken, 0, "%d", taken);
  bench_free(whole.b);
}

// A small file that claims to hold a large tensor costs nothing.
Test(onnx_hostile, length_bombs) {
  static const int64_t lengths[] = {1 << 20, INT64_C(1) << 31, INT64_C(1) << 38};
  for (int i = 0; i < ARRAY_LEN(lengths); i++) {
    Fixture f = begin();
    Str g = {.arena = f.a}, t = pb_tensor(f.a, "w", ONNX_FLOAT, &lengths[i], 1, "abcd", 4);
    pb_message(&g, 5, &t);
    add_node(&g, "Neg", NAMES("w"), "y");
    add_value(&g, OUTPUT, "y", ONNX_FLOAT, &lengths[i], 1);
    Str model = pb_model(f.a, &g, 17);
    expect_refusal(&f, &model, "a tensor without its data", "the file has 4");
    bench_free(f.b);
  }
}

// ---- growth ----

// Function `i` calls `next` twice, one call inside the other.
static Str doubling(Arena *a, const char *name, const char *next, bool own) {
  Str fn = {.arena = a}, set = {.arena = a}, own_set = {.arena = a};
  Str first = pb_node(a, next, NAMES("in"), "mid"), second = pb_node(a, next, NAMES("mid"), "out");
  if (own) pb_text(&first, 7, "f"), pb_text(&second, 7, "f");
  pb_text(&fn, 1, name);
  pb_text(&fn, 4, "in");
  pb_text(&fn, 5, "out");
  pb_message(&fn, 7, &first);
  pb_message(&fn, 7, &second);
  pb_int(&set, 2, 17);
  pb_message(&fn, 9, &set);
  pb_text(&own_set, 1, "f");
  pb_int(&own_set, 2, 1);
  pb_message(&fn, 9, &own_set);
  pb_text(&fn, 10, "f");
  return fn;
}

// y = F0(x), a function of the domain "f" that the caller adds with the others.
static Str calling_model(Arena *a) {
  Str g = {.arena = a}, node = pb_node(a, "F0", NAMES("x"), "y"), set = {.arena = a};
  pb_text(&node, 7, "f");
  pb_message(&g, 1, &node);
  add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(3));
  add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(3));
  Str model = pb_model(a, &g, 17);
  pb_text(&set, 1, "f");
  pb_int(&set, 2, 1);
  pb_message(&model, 8, &set);
  return model;
}

Test(onnx_hostile, functions_that_call_twice) {
  Fixture f = begin();
  Str model = calling_model(f.a);
  for (int i = 0; i < 40; i++) {
    Str fn =
        doubling(f.a, arena_printf(f.a, "F%d", i), i < 39 ? arena_printf(f.a, "F%d", i + 1) : "Neg", i < 39);
    pb_message(&model, 25, &fn);
  }
  expect_refusal(&f, &model, "2^40 nodes", "the model has more than");
  bench_free(f.b);
}

Test(onnx_hostile, functions_that_call_each_other) {
  Fixture f = begin();
  Str model = calling_model(f.a);
  for (int i = 0; i < 2; i++) {
    Str fn = doubling(f.a, i ? "F1" : "F0", i ? "F0" : "F1", true);
    pb_message(&model, 25, &fn);
  }
  expect_refusal(&f, &model, "recursion", "too deeply");
  bench_free(f.b);
}

Test(onnx_hostile, a_cycle_of_many_nodes) {
  Fixture f = begin();
  Str g = {.arena = f.a};
  enum { N = 50000 };
  for (int i = 0; i < N; i++) {
    add_node(&g, "Neg", NAMES(arena_printf(f.a, "v%d", (i + 1) % N)), arena_printf(f.a, "v%d", i));
  }
  add_value(&g, OUTPUT, "v7", ONNX_FLOAT, DIMS(3));
  Str model = pb_model(f.a, &g, 17);
  expect_refusal(&f, &model, "a cycle", "a cycle");
  bench_free(f.b);
}

// An extent that is squared 60 times is no number that can be used, but also none that takes forever.
Test(onnx_hostile, shapes_that_grow) {
  Fixture f = begin();
  vec_push(f.a, &f.user.dims, "N1<=64");
  Str g = {.arena = f.a};
  add_node(&g, "Shape", NAMES("x"), "s0");
  for (int i = 0; i < 60; i++) {
    char *from = arena_printf(f.a, "s%d", i), *to = arena_printf(f.a, "s%d", i + 1);
    add_node(&g, "Mul", NAMES(from, from), to);
  }
  add_node(&g, "Reshape", NAMES("x", "s60"), "y");
  add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(-1));
  add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(-1));
  Str model = pb_model(f.a, &g, 17);
  cr_expect_null(import(&f, &model));
  cr_expect_gt(diag_errors(f.c->diag), 0);
  cr_expect_lt(strlen(said(f.b)), (size_t)100000);
  bench_free(f.b);
}

Test(onnx_hostile, sequences_of_sequences) {
  Fixture f = begin();
  Str g = {.arena = f.a};
  add_node(&g, "SequenceConstruct", NAMES("x", "x"), "s0");
  for (int i = 0; i < 50; i++) {
    char *from = arena_printf(f.a, "s%d", i), *to = arena_printf(f.a, "s%d", i + 1);
    add_node(&g, "SequenceConstruct", NAMES(from, from), to);
  }
  add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(3));
  add_value(&g, OUTPUT, "s50", ONNX_FLOAT, DIMS(3));
  Str model = pb_model(f.a, &g, 17);
  expect_refusal(&f, &model, "2^51 outputs", "outputs");
  bench_free(f.b);
}

// ---- absurd extents ----

Test(onnx_hostile, absurd_extents) {
  const int64_t big = INT64_C(1) << 62;
  const struct {
    const char *op;
    int64_t v[4]; // its second operand
    int n;
  } bad[] = {
      {"Expand", {big}, 1},         {"Expand", {1 << 30, 1 << 30, 1 << 30, 3}, 4},
      {"Tile", {big}, 1},           {"Tile", {-1}, 1},
      {"Pad", {big, big}, 2},       {"Pad", {-4, 0}, 2},
      {"Reshape", {big}, 1},        {"Reshape", {-1, -1}, 2},
      {"Reshape", {0, 0, 0, 0}, 4}, {"TopK", {big}, 1},
      {"Unsqueeze", {big}, 1},      {"Split", {big, -big + 3}, 2},
      {"CenterCropPad", {-big}, 1},
  };
  for (int i = 0; i < ARRAY_LEN(bad); i++) {
    Fixture f = begin();
    Str g = {.arena = f.a};
    add_ints(&g, "v", bad[i].v, bad[i].n);
    add_node(&g, bad[i].op, NAMES("x", "v"), "y");
    add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(3));
    add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(3));
    Str model = pb_model(f.a, &g, 18);
    expect_refusal(&f, &model, arena_printf(f.a, "case %d, %s", i, bad[i].op), "error: ");
    bench_free(f.b);
  }
}

Test(onnx_hostile, absurd_attributes) {
  const int64_t big = INT64_C(1) << 40;
  static const char *const names[] = {"pads", "dilations", "strides", "kernel_shape"};
  for (int i = 0; i < 2 * ARRAY_LEN(names); i++) {
    Fixture f = begin();
    int64_t v[] = {i % 2 ? big : -1, big, big, big};
    Str g = {.arena = f.a}, node = pb_node(f.a, "MaxPool", NAMES("x"), "y");
    const char *name = names[i / 2];
    if (i / 2 != 3) add_attr_ints(&node, "kernel_shape", (int64_t[]){3, 3}, 2);
    add_attr_ints(&node, name, v, i / 2 ? 2 : 4);
    pb_message(&g, 1, &node);
    add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(1, 1, 8, 8));
    add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(1, 1, 8, 8));
    Str model = pb_model(f.a, &g, 17);
    expect_refusal(&f, &model, arena_printf(f.a, "case %d, %s", i, name), "error: ");
    bench_free(f.b);
  }
}

// ---- external data ----

static void add_external(Str *graph, const char *name, const char *location, const char *offset, int64_t n) {
  Str t = {.arena = graph->arena};
  const char *pairs[][2] = {{"location", location}, {"offset", offset}};
  pb_int(&t, 1, n);
  pb_int(&t, 2, ONNX_FLOAT);
  pb_text(&t, 8, name);
  for (int i = 0; i < 2; i++) {
    Str e = {.arena = graph->arena};
    pb_text(&e, 1, pairs[i][0]);
    pb_text(&e, 2, pairs[i][1]);
    pb_message(&t, 13, &e);
  }
  pb_int(&t, 14, 1);
  pb_message(graph, 5, &t);
}

// Two tensors of three floats in a file of twenty-four bytes. The same bytes, or others, are fine.
Test(onnx_hostile, overlapping_external_data) {
  static const struct {
    const char *offset;
    bool told;
  } cases[] = {{"0", false}, {"12", false}, {"4", true}, {"8", true}};
  for (int i = 0; i < ARRAY_LEN(cases); i++) {
    Fixture f = begin();
    const char *dir = test_folder();
    SRC.path = arena_printf(f.a, "%s/m.onnx", dir);
    const char *data = arena_printf(f.a, "%s/w.bin", dir);
    FILE *file = fopen(data, "wb");
    fwrite((float[]){0, 1, 2, 3, 4, 5}, 4, 6, file);
    fclose(file);
    Str g = {.arena = f.a};
    add_external(&g, "a", "w.bin", "0", 3);
    add_external(&g, "b", "w.bin", cases[i].offset, 3);
    add_node(&g, "Add", NAMES("a", "b"), "y");
    add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(3));
    Str model = pb_model(f.a, &g, 17);
    cr_expect_not_null(import(&f, &model), "%s", said(f.b));
    cr_expect_eq(strstr(said(f.b), "overlaps") != NULL, cases[i].told, "case %d: said: %s", i, said(f.b));
    bench_free(f.b);
  }
}
