// test_onnx_control.c: ONNX If and Loop where what is known when compiling does not settle them.
// SPDX-License-Identifier: Apache-2.0
#include "tests/onnx_fixture.h"

enum { THREE = 3 };

static void add_graph(Str *node, const char *name, Str *graph) {
  Str attr = {.arena = node->arena};
  pb_text(&attr, 1, name);
  pb_message(&attr, 6, graph);
  pb_int(&attr, 20, ONNX_ATTR_GRAPH);
  pb_message(node, 5, &attr);
}

static Tensor *scalar_of(Fixture *f, DType t, int64_t v) {
  Type type = {.dtype = t};
  Tensor *s = tensor_new(f->c, &type);
  tensor_set_int(s, 0, v);
  return s;
}

static void evaluate(Fixture *f, Module *m, const Tensor *const *in, Tensor **out) {
  cr_assert(module_verify(m, "import"), "%s", said(f->b));
  cr_assert(eval_module(m, in, out), "%s", said(f->b));
}

// ---- If ----

// y = if c then x[:2] else x, x f32[N1<=8,3].
static Str if_model(Arena *a, const char *otherwise) {
  Str g = {.arena = a}, then = {.arena = a}, other = {.arena = a}, node = pb_node(a, "If", NAMES("c"), "y");
  add_node(&then, "Slice", NAMES("x", "zero", "two"), "t");
  add_value(&then, OUTPUT, "t", ONNX_FLOAT, DIMS(-1, 3));
  add_node(&other, otherwise, NAMES("x"), "e");
  add_value(&other, OUTPUT, "e", ONNX_FLOAT, DIMS(-1, 3));
  add_graph(&node, "then_branch", &then);
  add_graph(&node, "else_branch", &other);
  add_ints(&g, "zero", (int64_t[]){0}, 1);
  add_ints(&g, "two", (int64_t[]){2}, 1);
  pb_message(&g, 1, &node);
  add_value(&g, INPUT, "c", ONNX_BOOL, NULL, 0);
  add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(-1, 3));
  add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(-2, 3));
  return pb_model(a, &g, 17);
}

Test(onnx_control, branches_of_different_extents) {
  Fixture f = begin();
  vec_push(f.a, &f.user.dims, "N1<=8");
  Str model = if_model(f.a, "Neg");
  Module *m = import(&f, &model);
  cr_assert_not_null(m, "%s", said(f.b));
  for (int taken = 0; taken < 2; taken++) {
    for (int64_t n = 1; n <= 8; n += 3) {
      Tensor *out[1];
      const Tensor *in[] = {scalar_of(&f, DT_BOOL, taken), ramp(&f, 2, (int64_t[]){n, THREE})};
      evaluate(&f, m, in, out);
      int64_t rows = taken && n > 2 ? 2 : n, last = rows * THREE - 1;
      cr_expect_eq(type_elements(&out[0]->type), rows * THREE, "taken %d, %lld rows", taken, (long long)n);
      cr_expect_eq(tensor_get(out[0], last), (double)(taken ? last : -last));
    }
  }
  bench_free(f.b);
}

Test(onnx_control, branches_of_different_ranks) {
  Fixture f = begin();
  vec_push(f.a, &f.user.dims, "N1<=8");
  Str model = if_model(f.a, "Shape");
  cr_assert_null(import(&f, &model));
  cr_assert_not_null(strstr(said(f.b), "in one branch and"), "%s", said(f.b));
  bench_free(f.b);
}

// ---- Loop ----

// acc, y = for i < n, while acc[0] < stop (if any): acc += x[i], y collects acc; n is an input or the rows of x.
static Str loop_model(Arena *a, bool given, bool stops) {
  Str g = {.arena = a}, body = {.arena = a};
  Str loop = {.arena = a};
  pb_text(&loop, 1, "n"), pb_text(&loop, 1, stops ? "true" : ""), pb_text(&loop, 1, "start");
  pb_text(&loop, 2, "acc"), pb_text(&loop, 2, "y");
  pb_text(&loop, 3, "loop"), pb_text(&loop, 4, "Loop");
  add_node(&body, "Gather", NAMES("x", "i"), "row");
  add_node(&body, "Add", NAMES("before", "row"), "after");
  add_node(&body, "Identity", NAMES("after"), "each");
  add_node(&body, stops ? "Less" : "Identity", stops ? NAMES("before", "limit") : NAMES("going"), "next");
  add_value(&body, INPUT, "i", ONNX_INT64, NULL, 0);
  add_value(&body, INPUT, "going", ONNX_BOOL, NULL, 0);
  add_value(&body, INPUT, "before", ONNX_FLOAT, NULL, 0);
  add_value(&body, OUTPUT, "next", ONNX_BOOL, NULL, 0);
  add_value(&body, OUTPUT, "after", ONNX_FLOAT, NULL, 0);
  add_value(&body, OUTPUT, "each", ONNX_FLOAT, NULL, 0);
  add_graph(&loop, "body", &body);
  Str zero = pb_tensor(a, "start", ONNX_FLOAT, NULL, 0, (float[]){0}, 4);
  Str limit = pb_tensor(a, "limit", ONNX_FLOAT, NULL, 0, (float[]){4}, 4);
  pb_message(&g, 5, &zero);
  pb_message(&g, 5, &limit);
  Str yes = pb_tensor(a, "true", ONNX_BOOL, NULL, 0, (uint8_t[]){1}, 1);
  pb_message(&g, 5, &yes);
  if (!given) add_node(&g, "Size", NAMES("x"), "n");
  if (given) add_value(&g, INPUT, "n", ONNX_INT64, NULL, 0);
  pb_message(&g, 1, &loop);
  add_value(&g, INPUT, "x", ONNX_FLOAT, DIMS(-1));
  add_value(&g, OUTPUT, "acc", ONNX_FLOAT, NULL, 0);
  add_value(&g, OUTPUT, "y", ONNX_FLOAT, DIMS(-2));
  return pb_model(a, &g, 17);
}

static void check_loop(Fixture *f, const Tensor *const *in, Module *m, int64_t trips) {
  Tensor *out[2];
  evaluate(f, m, in, out);
  cr_expect_eq(type_elements(&out[1]->type), trips, "%lld, not %lld", (long long)type_elements(&out[1]->type),
               (long long)trips);
  if (trips > 0) cr_expect_eq(tensor_get(out[1], trips - 1), (double)(trips * (trips - 1) / 2));
}

Test(onnx_control, as_many_iterations_as_rows) {
  Fixture f = begin();
  vec_push(f.a, &f.user.dims, "N1<=40");
  Str model = loop_model(f.a, false, false);
  Module *m = import(&f, &model);
  cr_assert_not_null(m, "%s", said(f.b));
  const Sym *s = m->main->outputs.data[1]->type.dim[0].sym ? m->syms.data[0] : NULL;
  cr_expect(s && !s->data_dependent); // the extent is the input's, not one that the run finds
  for (int64_t n = 1; n <= 40; n += 13) check_loop(&f, (const Tensor *[]){ramp(&f, 1, &n)}, m, n);
  bench_free(f.b);
}

Test(onnx_control, iterations_that_end_early) {
  Fixture f = begin();
  vec_push(f.a, &f.user.dims, "N1<=40");
  Str model = loop_model(f.a, false, true);
  Module *m = import(&f, &model);
  cr_assert_not_null(m, "%s", said(f.b));
  int64_t n = 30;
  check_loop(&f, (const Tensor *[]){ramp(&f, 1, &n)}, m, 5); // before it: 0, 0, 1, 3, 6
  bench_free(f.b);
}

Test(onnx_control, iterations_bounded_by_the_user) {
  Fixture f = begin();
  vec_push(f.a, &f.user.dims, "N1=40");
  Str model = loop_model(f.a, true, false);
  cr_assert_null(import(&f, &model));
  cr_assert_not_null(strstr(said(f.b), "--dim 'N2<=BOUND'"), "%s", said(f.b));
  bench_free(f.b);
  f = begin();
  vec_push(f.a, &f.user.dims, "N1=40");
  vec_push(f.a, &f.user.dims, "N2<=20");
  model = loop_model(f.a, true, false);
  Module *m = import(&f, &model);
  cr_assert_not_null(m, "%s", said(f.b));
  int64_t rows = 40;
  for (int64_t n = 0; n <= 20; n += 10)
    check_loop(&f, (const Tensor *[]){scalar_of(&f, DT_I64, n), ramp(&f, 1, &rows)}, m, n);
  bench_free(f.b);
}
