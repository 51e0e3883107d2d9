// test_onnx.c: the ONNX importer: graphs, scopes, functions, dimensions, constants, and what it refuses.
// SPDX-License-Identifier: Apache-2.0
#include "tests/folder.h"
#include "tests/onnx_fixture.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- graphs ----

Test(onnx, nodes_may_stand_in_any_order) {
  Fixture f = begin();
  Str g = {.arena = f.a};
  add_node(&g, "Neg", NAMES("b"), "y");
  add_node(&g, "Exp", NAMES("dead"), "deader"); // nothing needs it, so that it makes no sense does not matter
  add_node(&g, "Abs", NAMES("x"), "b");
  add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(3));
  add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(3));
  Str model = pb_model(f.a, &g, 17);
  Module *m = import(&f, &model);
  cr_assert_not_null(m, "%s", said(f.b));
  cr_assert_eq(m->main->nnodes, 2);
  cr_assert_eq(tensor_get(run(&f, m, ramp(&f, 1, (int64_t[]){3})), 2), -2);
  bench_free(f.b);
}

Test(onnx, faults_of_graphs_are_named) {
  static const struct {
    const char *op1, *in1, *out1, *op2, *in2, *out2, *message;
  } bad[] = {
      {"Neg", "b", "a", "Abs", "a", "b", "a cycle"},
      {"Neg", "x", "b", "Abs", "x", "b", "the name 'b' is defined twice"},
      {"Neg", "nowhere", "a", "Abs", "a", "b", "nothing defines its operand 'nowhere'"},
      {"Neg", "x", "a", "Abs", "a", "c", "output 'b': error: nothing defines it"},
  };
  for (int i = 0; i < ARRAY_LEN(bad); i++) {
    Fixture f = begin();
    Str g = {.arena = f.a};
    add_node(&g, bad[i].op1, NAMES(bad[i].in1), bad[i].out1);
    add_node(&g, bad[i].op2, NAMES(bad[i].in2), bad[i].out2);
    add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(3));
    add_value(&g, OUTPUT, "b", ONNX_FLOAT, DIMS(3));
    Str model = pb_model(f.a, &g, 17);
    cr_expect_null(import(&f, &model), "case %d", i);
    cr_expect_not_null(strstr(said(f.b), bad[i].message), "case %d said: %s", i, said(f.b));
    bench_free(f.b);
  }
}

Test(onnx, unsupported_operators_are_reported_at_once) {
  Fixture f = begin();
  Str g = {.arena = f.a};
  add_node(&g, "Rleu", NAMES("x"), "a");
  add_node(&g, "Rleu", NAMES("a"), "b");
  add_node(&g, "StringNormalizer", NAMES("b"), "c");
  add_node(&g, "Neg", NAMES("c"), "y");
  add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(-1)); // not even looked at
  add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(3));
  Str model = pb_model(f.a, &g, 17);
  cr_assert_null(import(&f, &model));
  cr_assert_str_eq(said(f.b),
                   "m.onnx: node 'n_a' (Rleu): error: the operator Rleu, version 17, is not supported (and 1 "
                   "more nodes)\n"
                   "note: did you mean Relu?\n"
                   "m.onnx: node 'n_c' (StringNormalizer): error: the operator StringNormalizer, version "
                   "17, is not supported\n"
                   "note: it makes strings, which a compiled model cannot; do it before the model is "
                   "called\n");
  bench_free(f.b);
}

Test(onnx, a_fault_does_not_hide_the_next) {
  Fixture f = begin();
  Str g = {.arena = f.a};
  add_ints(&g, "five", DIMS(5));
  add_node(&g, "Reshape", NAMES("x", "five"), "a");
  add_node(&g, "Neg", NAMES("a"), "b"); // depends on the fault: silent
  add_node(&g, "Reshape", NAMES("x", "five"), "c");
  add_node(&g, "Add", NAMES("b", "c"), "y");
  add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(3));
  add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(5));
  Str model = pb_model(f.a, &g, 17);
  cr_assert_null(import(&f, &model));
  cr_assert_eq(diag_errors(f.c->diag), 2, "%s", said(f.b));
  bench_free(f.b);
}

// ---- dimensions ----

// y = reshape(x, concat(shape(x)[0], -1)): shape arithmetic over x [N1,2,3].
static Str shape_model(Arena *a) {
  Str g = {.arena = a};
  add_ints(&g, "zero", (int64_t[]){0}, 1);
  add_ints(&g, "rest", (int64_t[]){-1}, 1);
  add_node(&g, "Shape", NAMES("x"), "s");
  add_node(&g, "Gather", NAMES("s", "zero"), "n");
  Str n = pb_node(a, "Concat", NAMES("n", "rest"), "shape"), axis = {.arena = a};
  pb_text(&axis, 1, "axis");
  pb_int(&axis, 3, 0);
  pb_int(&axis, 20, ONNX_ATTR_INT);
  pb_message(&n, 5, &axis);
  pb_message(&g, 1, &n);
  add_node(&g, "Reshape", NAMES("x", "shape"), "y");
  add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(-1, 2, 3));
  add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(-1, 6));
  return pb_model(a, &g, 17);
}

Test(onnx, unknown_dimensions_are_asked_for) {
  Fixture f = begin();
  Str model = shape_model(f.a);
  cr_assert_null(import(&f, &model));
  cr_assert_not_null(strstr(said(f.b), "the dimension 'N1' is not known"));
  cr_assert_not_null(strstr(said(f.b), "--dim N1=EXTENT"));
  bench_free(f.b);
}

Test(onnx, dimensions_can_be_fixed) {
  static const char *const how[] = {"N1=4", "x=4,2,3"};
  for (int i = 0; i < 2; i++) {
    Fixture f = begin();
    if (i == 0) vec_push(f.a, &f.user.dims, how[0]);
    if (i == 1) vec_push(f.a, &f.user.shapes, how[1]);
    Str model = shape_model(f.a);
    Module *m = import(&f, &model);
    cr_assert_not_null(m, "%s", said(f.b));
    cr_assert_str_eq(type_text(f.c, &m->main->outputs.data[0]->type), "f32[4,6]");
    cr_assert_eq(m->main->nnodes, 1, "shape arithmetic folds away");
    bench_free(f.b);
  }
}

Test(onnx, dimensions_can_stay_open) {
  Fixture f = begin();
  vec_push(f.a, &f.user.dims, "N1<=8");
  Str model = shape_model(f.a);
  Module *m = import(&f, &model);
  cr_assert_not_null(m, "%s", said(f.b));
  cr_assert_str_eq(type_text(f.c, &m->main->outputs.data[0]->type), "f32[N1<=8,6]");
  for (int64_t n = 1; n <= 8; n += 3) {
    Tensor *y = run(&f, m, ramp(&f, 3, (int64_t[]){n, 2, 3}));
    cr_assert_eq(type_elements(&y->type), 6 * n);
    cr_assert_eq(tensor_get(y, 6 * n - 1), (double)(6 * n - 1));
  }
  bench_free(f.b);
}

Test(onnx, options_that_fit_nothing_are_faults) {
  static const char *const dims[] = {"N2=4", "N1", "N1=", "N1<4", "N1=x", "N1=99999999999999999999"};
  for (int i = 0; i < ARRAY_LEN(dims); i++) {
    Fixture f = begin();
    vec_push(f.a, &f.user.dims, dims[i]);
    Str model = shape_model(f.a);
    cr_expect_null(import(&f, &model), "%s", dims[i]);
    bench_free(f.b);
  }
  Fixture f = begin();
  vec_push(f.a, &f.user.shapes, "z=1,2");
  vec_push(f.a, &f.user.dims, "N1=1");
  Str model = shape_model(f.a);
  cr_assert_null(import(&f, &model));
  cr_assert_not_null(strstr(said(f.b), "names no input"));
  bench_free(f.b);
}

// ---- functions ----

// A function of domain "f" that applies `op` to its input; op of domain "f" too if `recursive`.
static Str function(Arena *a, const char *name, const char *op, bool own) {
  Str fn = {.arena = a}, set = {.arena = a}, node = pb_node(a, op, NAMES("in"), "out");
  if (own) pb_text(&node, 7, "f");
  pb_text(&fn, 1, name);
  pb_text(&fn, 4, "in");
  pb_text(&fn, 5, "out");
  pb_message(&fn, 7, &node);
  pb_int(&set, 2, 17);
  pb_message(&fn, 9, &set);
  pb_text(&fn, 10, "f");
  return fn;
}

static Str function_model(Arena *a, Str *fn) {
  Str g = {.arena = a}, node = pb_node(a, "Mine", NAMES("x"), "y"), set = {.arena = a};
  pb_text(&node, 7, "f");
  pb_message(&g, 1, &node);
  add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(3));
  add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(3));
  Str model = pb_model(a, &g, 17);
  pb_text(&set, 1, "f");
  pb_int(&set, 2, 1);
  pb_message(&model, 8, &set);
  pb_message(&model, 25, fn);
  return model;
}

Test(onnx, local_functions_are_inlined) {
  Fixture f = begin();
  Str fn = function(f.a, "Mine", "Neg", false), model = function_model(f.a, &fn);
  Module *m = import(&f, &model);
  cr_assert_not_null(m, "%s", said(f.b));
  cr_assert_eq(tensor_get(run(&f, m, ramp(&f, 1, (int64_t[]){3})), 1), -1);
  bench_free(f.b);
}

// Nodes, and the values they make, have the path of the calls before their names; what a call gives is its caller's.
Test(onnx, nodes_of_functions_say_which_call_they_are_of) {
  Fixture f = begin();
  Str inner = function(f.a, "Inner", "Neg", false), outer = function(f.a, "Mine", "Inner", true);
  Str model = function_model(f.a, &outer);
  pb_message(&model, 25, &inner);
  Module *m = import(&f, &model);
  cr_assert_not_null(m, "%s", said(f.b));
  const Value *y = m->main->outputs.data[0];
  cr_assert_str_eq(y->def->loc.what, "node 'n_y/n_out/n_out' (Neg)");
  cr_assert_str_eq(y->name, "y");
  bench_free(f.b);
}

Test(onnx, what_is_wrong_in_a_function_says_where) {
  Fixture f = begin();
  Str fn = function(f.a, "Mine", "Negg", false), model = function_model(f.a, &fn);
  cr_assert_null(import(&f, &model));
  cr_assert_not_null(strstr(said(f.b), "node 'Mine/n_out' (Negg)"), "%s", said(f.b));
  fn = function(f.a, "Mine", "Einsum", false), model = function_model(f.a, &fn); // without its equation
  cr_assert_null(import(&f, &model));
  cr_assert_not_null(strstr(said(f.b), "node 'n_y/n_out' (Einsum)"), "%s", said(f.b));
  bench_free(f.b);
}

Test(onnx, recursive_functions_are_refused) {
  Fixture f = begin();
  Str fn = function(f.a, "Mine", "Mine", true), model = function_model(f.a, &fn);
  cr_assert_null(import(&f, &model));
  cr_assert_not_null(strstr(said(f.b), "too deeply"), "%s", said(f.b));
  bench_free(f.b);
}

// ---- constants ----

static Str add_model(Arena *a, Str *tensor) {
  Str g = {.arena = a};
  pb_message(&g, 5, tensor);
  add_node(&g, "Add", NAMES("x", "w"), "y");
  add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(3));
  add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(3));
  return pb_model(a, &g, 17);
}

Test(onnx, faults_of_constants_are_named) {
  static const struct {
    int elem;
    int64_t dims[3];
    int rank;
    size_t bytes;
    const char *message;
  } bad[] = {
      {ONNX_FLOAT, {3}, 1, 8, "needs 12 bytes, the file has 8"},
      {ONNX_FLOAT, {3}, 1, 16, "needs 12 bytes, the file has 16"},
      {ONNX_STRING, {3}, 1, 12, "must be a tensor"},
      {ONNX_COMPLEX64, {3}, 1, 24, "element type complex64 is not supported"},
      {99, {3}, 1, 12, "element type unknown is not supported"},
      {ONNX_FLOAT, {-3}, 1, 12, "negative extent"},
      {ONNX_FLOAT, {1 << 30, 1 << 30, 1 << 30}, 3, 12, "too large"},
      {ONNX_DOUBLE, {3}, 1, 24, "add"},
  };
  for (int i = 0; i < ARRAY_LEN(bad); i++) {
    Fixture f = begin();
    char data[64] = {0};
    Str t = pb_tensor(f.a, "w", bad[i].elem, bad[i].dims, bad[i].rank, data, bad[i].bytes);
    Str model = add_model(f.a, &t);
    cr_expect_null(import(&f, &model), "case %d", i);
    cr_expect_not_null(strstr(said(f.b), bad[i].message), "case %d said: %s", i, said(f.b));
    bench_free(f.b);
  }
}

static Str external(Arena *a, const char *location, const char *offset, const char *length) {
  Str t = {.arena = a};
  const char *pairs[][2] = {{"location", location}, {"offset", offset}, {"length", length}};
  pb_int(&t, 1, 3);
  pb_int(&t, 2, ONNX_FLOAT);
  pb_text(&t, 8, "w");
  for (int i = 0; i < 3; i++) {
    Str e = {.arena = a};
    if (!pairs[i][1]) continue;
    pb_text(&e, 1, pairs[i][0]);
    pb_text(&e, 2, pairs[i][1]);
    pb_message(&t, 13, &e);
  }
  pb_int(&t, 14, 1);
  return t;
}

// A folder with the data of a model, 20 bytes of floats 0 to 4, and a link that leads out of it.
static const char *data_folder(Arena *a) {
  const char *dir = test_folder();
  FILE *f = fopen(arena_printf(a, "%s/w.bin", dir), "wb");
  fwrite((float[]){0, 1, 2, 3, 4}, 4, 5, f);
  fclose(f);
  cr_assert_eq(symlink("/etc/hostname", arena_printf(a, "%s/link", dir)), 0);
  return dir;
}

Test(onnx, external_data_is_mapped) {
  Fixture f = begin();
  SRC.path = arena_printf(f.a, "%s/m.onnx", data_folder(f.a));
  Str t = external(f.a, "w.bin", "4", "12"), model = add_model(f.a, &t);
  Module *m = import(&f, &model);
  cr_assert_not_null(m, "%s", said(f.b));
  cr_assert_eq(tensor_get(run(&f, m, ramp(&f, 1, (int64_t[]){3})), 2), 5);
  bench_free(f.b);
}

Test(onnx, external_data_stays_in_its_folder) {
  static const struct {
    const char *location, *offset, *length, *message;
  } bad[] = {
      {"../w.bin", NULL, NULL, "not a path inside"},
      {"a/../../w.bin", NULL, NULL, "not a path inside"},
      {"..", NULL, NULL, "not a path inside"},
      {"/etc/hostname", NULL, NULL, "not a path inside"},
      {"", NULL, NULL, "not a path inside"},
      {"link", "0", NULL, "leads out of the model's folder"},
      {"missing.bin", NULL, NULL, "No such file"},
      {NULL, NULL, NULL, "without a location"},
      {"w.bin", "12", NULL, "needs 12 bytes, there are 8"},
      {"w.bin", "99", NULL, "needs 12 bytes"},
      {"w.bin", "-4", NULL, "invalid offset"},
      {"w.bin", "4x", NULL, "invalid offset"},
      {"w.bin", "99999999999999999999", NULL, "invalid offset"},
      {"w.bin", "0", "16", "needs 12 bytes, there are 16"},
  };
  for (int i = 0; i < ARRAY_LEN(bad); i++) {
    Fixture f = begin();
    SRC.path = arena_printf(f.a, "%s/m.onnx", data_folder(f.a));
    Str t = external(f.a, bad[i].location, bad[i].offset, bad[i].length), model = add_model(f.a, &t);
    cr_expect_null(import(&f, &model), "case %d", i);
    cr_expect_not_null(strstr(said(f.b), bad[i].message), "case %d said: %s", i, said(f.b));
    bench_free(f.b);
  }
}

Test(onnx, small_types_become_wider_ones) {
  static const struct {
    int elem;
    uint8_t bytes[2];
    double want[3];
  } small[] = {
      {ONNX_INT4, {0x7f, 0x08}, {-1, 7, -8}},
      {ONNX_UINT4, {0x7f, 0x08}, {15, 7, 8}},
      {ONNX_FLOAT4E2M1, {0x71, 0x0a}, {0.5, 6, -1}},
  };
  for (int i = 0; i < ARRAY_LEN(small); i++) {
    Fixture f = begin();
    Str t = pb_tensor(f.a, "w", small[i].elem, DIMS(3), small[i].bytes, 2), g = {.arena = f.a};
    pb_message(&g, 5, &t);
    add_node(&g, "Identity", NAMES("w"), "y");
    add_value(&g, OUTPUT, "y", small[i].elem, DIMS(3));
    Str model = pb_model(f.a, &g, 21);
    Module *m = import(&f, &model);
    cr_assert_not_null(m, "%s", said(f.b));
    const Tensor *y = m->main->outputs.data[0]->data;
    for (int k = 0; k < 3; k++) cr_expect_eq(tensor_get(y, k), small[i].want[k], "%d %d", i, k);
    bench_free(f.b);
  }
}
