// test_yaml.c: YAML models: the language, layers and their names, weights, and every diagnostic.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/yaml.h"
#include "tests/fixture.h"
#include "tests/folder.h"

#include <math.h>
#include <stdlib.h>

static Module *load_with(Bench *b, const char *text, const FrontendOptions *o) {
  return yaml_load(b->ctx, source_from_text(b->arena, "m.yaml", text), o);
}

static Module *load(Bench *b, const char *text) {
  Module *m = load_with(b, text, NULL);
  cr_assert_not_null(m, "%s\nin\n%s", said(b), text);
  cr_assert(module_verify(m, NULL), "%s", said(b));
  return m;
}

static char *graph_text(Bench *b, const Module *m) {
  Str s = {.arena = b->arena};
  graph_print(&s, m->main);
  return str_text(&s);
}

#define X4 "inputs: {x: 'f32[2,4]'}\n"

// The graph of `steps` over x, f32[2,4], must contain each of the expected pieces.
static void check_graph(const char *steps, const char *const *expect, int n) {
  Bench *b = bench_new();
  Module *m = load(b, arena_printf(b->arena, X4 "graph:\n%soutputs: y\n", steps));
  char *text = graph_text(b, m);
  for (int i = 0; i < n; i++) cr_assert(strstr(text, expect[i]), "no '%s' in\n%s", expect[i], text);
  bench_free(b);
}
#define GRAPH(steps, ...)                                                                                    \
  check_graph(steps, (const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

// The type of y.
static void check_type(const char *expr, const char *type) {
  Bench *b = bench_new();
  Module *m = load(b, arena_printf(b->arena, X4 "graph:\n  y: %s\noutputs: y\n", expr));
  cr_assert_str_eq(type_text(b->ctx, &m->main->outputs.data[0]->type), type, "%s", expr);
  bench_free(b);
}

static void check_fails(const char *text, const char *expect) {
  Bench *b = bench_new();
  cr_assert_null(load_with(b, text, NULL), "%s", text);
  cr_assert(strstr(said(b), expect), "expected '%s' in:\n%s\nfor\n%s", expect, said(b), text);
  bench_free(b);
}

static void step_fails(const char *expr, const char *expect) {
  Bench *b = bench_new();
  char *text = arena_printf(b->arena, X4 "graph:\n  - y: %s\noutputs: y\n", expr);
  cr_assert_null(load_with(b, text, NULL), "%s", text);
  cr_assert(strstr(said(b), expect), "expected '%s' in:\n%s", expect, said(b));
  bench_free(b);
}

// ---- the language ----

Test(yaml, operators_become_ops) {
  GRAPH("  y: (x + 1) * 2.5 - x / x ** 2\n", "= add(%x, %number)", "= mul(", "= div(", "= pow(",
        "%y: f32[2,4] = sub(");
  GRAPH("  y: where(x > 0 and x <= 1, -x, x)\n", "= greater(", "= less_equal(", "= and(", "= neg(",
        "= where(");
  GRAPH("  y: cast(x, i32) & 7 | 1\n", "dtype=i32", "= bit_and(", "= bit_or(");
  GRAPH("  y: x // 2\n", "= div(", "= floor(");
}

Test(yaml, indexing_is_numpys) {
  check_type("x[0]", "f32[4]");
  check_type("x[-1, 2]", "f32[]");
  check_type("x[:, 1:3]", "f32[2,2]");
  check_type("x[..., -1]", "f32[2]");
  check_type("x[:, none]", "f32[2,1,4]");
  check_type("x[:, ::2]", "f32[2,2]");
  check_type("x[:, tensor([0, 0, 1])]", "f32[2,3]");
  check_type("x[1:]", "f32[1,4]");
}

Test(yaml, attributes_by_position_and_name) {
  check_type("reshape(x, [4, 2])", "f32[4,2]");
  check_type("reshape(x, [-1])", "f32[8]");
  check_type("transpose(x, [1, 0])", "f32[4,2]");
  check_type("concat(x, x, axis=1)", "f32[2,8]");
  check_type("concat([x, x], axis=0)", "f32[4,4]");
  check_type("topk(x, 3)[0]", "f32[2,3]");
  check_type("pad(x, pads=[0,1,0,1], mode=edge)", "f32[2,6]");
  check_type("clip(x, 0, 6)", "f32[2,4]");
  check_type("cast(x, f16)", "f16[2,4]");
  check_type("max_pool(reshape(x, [1,2,2,2]), kernel=2, pad=1)", "f32[1,2,3,3]");
}

Test(yaml, numbers_are_computed_while_reading) {
  check_type("reshape(x, [2 * 3 - 4, 8 // 2])", "f32[2,4]");
  check_type("reshape(x, [dim(x, 1), dim(x, -2)])", "f32[4,2]");
  check_type("reshape(x, shape(x) + [1])", "f32[2,4,1]");
  check_type("reshape(x, [1] * 3 + [8])", "f32[1,1,1,8]");
  check_type("reshape(x, [2 ** 3])", "f32[8]");
  check_type("if(rank(x) == 2 and not false, x[0], x)", "f32[4]");
  check_type("reshape(x, [max(2, 1), min(4, 9)])", "f32[2,4]");
  check_type("x * sqrt(2) + int(3.7)", "f32[2,4]");
}

Test(yaml, steps_rebind_and_unpack) {
  GRAPH("  - a: relu(x)\n  - a: tanh(a)\n  - y: a + 1\n", "= relu(%x)", "= tanh(%a)");
  GRAPH("  - a, b: split(x, axis=1, parts=2)\n  - y: a + b\n", "= split(%x)", "add(%split.0, %split.1)");
}

Test(yaml, repetition) {
  GRAPH("  - repeat: 3\n    x: x + i\n  - y: x\n", "add(%x.add, ", "add(%x.add_2");
  GRAPH("  - for: {a: [1, 2], b: [3, 4]}\n    do:\n      - x: x * a\n      - x: x + b\n  - y: x\n", "= mul(",
        "= add(");
  GRAPH("  - for: {k: 1..3}\n    y{k}: x * k\n  - y: y1 + y3\n", "add(%y1, %y3)");
}

Test(yaml, blocks_have_their_own_names_and_defaults) {
  Bench *b = bench_new();
  Module *m =
      load(b, X4 "blocks:\n"
                 "  twice(a, n, act=true):\n"
                 "    - h: linear(a, n)\n"
                 "    - h: if(act, relu(h), h)\n"
                 "    - out: linear(h, n // 2)\n"
                 "graph:\n  first: twice(x, 8)\n  y: twice@second(first, n=6, act=false)\noutputs: y\n");
  char *text = graph_text(b, m);
  cr_assert(strstr(text, "%first.h.weight: f32[8,4]"), "%s", text);
  cr_assert(strstr(text, "%first.out.weight: f32[4,8]"), "%s", text);
  cr_assert(strstr(text, "%second.out.weight: f32[3,6]"), "%s", text);
  cr_assert(strstr(text, "%first.h.relu: f32[2,8] = relu(%first.h)"), "%s", text);
  bench_free(b);
}

Test(yaml, a_block_may_return_several_values) {
  Bench *b = bench_new();
  load(b, X4 "blocks:\n  both(a):\n    return: [relu(a), -a]\n"
             "graph:\n  - p, q: both(x)\n  - y: p * q\noutputs: {y: y, q: q, z: x * 2}\n");
  bench_free(b);
}

Test(yaml, symbols) {
  Bench *b = bench_new();
  Module *m = load(b, "symbols: {N: 0..32}\ninputs: {t: 'i64[N,T<=16]', u: 'i64[N,T]'}\n"
                      "graph: {y: 'reshape(t + u, [N * T])', z: 't[:, :T // 2]'}\noutputs: [y, z]\n");
  cr_assert_str_eq(type_text(b->ctx, &m->main->outputs.data[0]->type), "i64[N * T<=512]");
  cr_assert_str_eq(type_text(b->ctx, &m->main->outputs.data[1]->type), "i64[N<=32,min(T, T // 2)<=8]");
  cr_assert_eq(m->syms.data[0]->min, 0);
  bench_free(b);
}

Test(yaml, options_fix_symbols_and_shapes) {
  Bench *b = bench_new();
  FrontendOptions o = {.name = "other"};
  vec_push(b->arena, &o.dims, "N=4");
  vec_push(b->arena, &o.dims, "T<=8");
  vec_push(b->arena, &o.shapes, "u=7,3");
  Module *m = load_with(
      b,
      "model: net\ninputs: {t: 'i64[N<=9,T<=16]', u: 'f32[2,2]'}\ngraph: {y: -t}\noutputs: {y: y, u: -u}\n",
      &o);
  cr_assert_not_null(m, "%s", said(b));
  cr_assert_str_eq(m->name, "other");
  cr_assert_str_eq(type_text(b->ctx, &m->main->outputs.data[0]->type), "i64[4,T<=8]");
  cr_assert_str_eq(type_text(b->ctx, &m->main->outputs.data[1]->type), "f32[7,3]");
  bench_free(b);
}

Test(yaml, anchors_and_descriptions) {
  Bench *b = bench_new();
  Module *m = load(b, "model: net\ndescription: a net\nlabels: [cat, dog]\nmeta: {author: me}\n"
                      "preprocess: {mean: [0.5, 0.25], std: 1/4, channels: bgr}\n"
                      "params: &p {width: 8}\ninputs: {x: &t 'f32[1,8]', z: *t}\n"
                      "graph: {y: 'linear(x + z, width)'}\noutputs: {y: y}\n");
  const char *const want[][2] = {{"description", "a net"},
                                 {"labels", "cat\ndog\n"},
                                 {"preprocess", "mean=0.5:0.25,std=0.25,bgr"},
                                 {"author", "me"}};
  for (int i = 0; i < ARRAY_LEN(want); i++) {
    cr_assert_str_eq(m->meta.data[i].key, want[i][0]);
    cr_assert_str_eq(m->meta.data[i].value, want[i][1]);
  }
  bench_free(b);
}

Test(yaml, nodes_know_their_place) {
  Bench *b = bench_new();
  Module *m = load(b, "inputs:\n  x: f32[2]\ngraph:\n  y: >-\n    tanh(x)\n    + relu(\n        x)\n  z: "
                      "'exp(y)'\noutputs: z\n");
  const int want[][2] = {{5, 5}, {6, 7}, {6, 5}, {8, 7}};
  const Node *n = m->main->first;
  for (int i = 0; i < ARRAY_LEN(want); i++, n = n->next) {
    cr_assert_eq(n->loc.line, want[i][0], "%s at %d", n->op->name, n->loc.line);
    cr_assert_eq(n->loc.col, want[i][1], "%s at %d:%d", n->op->name, n->loc.line, n->loc.col);
  }
  bench_free(b);
}

// ---- layers ----

static void check_weights(const char *input, const char *step, const char *const *expect, int n) {
  Bench *b = bench_new();
  Module *m =
      load(b, arena_printf(b->arena, "inputs: {x: '%s'}\ngraph:\n  - l: %s\noutputs: {y: l}\n", input, step));
  char *text = graph_text(b, m);
  for (int i = 0; i < n; i++) cr_assert(strstr(text, expect[i]), "no '%s' in\n%s", expect[i], text);
  int consts = 0;
  for (int i = 0; i < m->main->consts.n; i++) consts += strstr(m->main->consts.data[i]->name, "l.") != NULL;
  cr_assert_eq(consts, n, "%s", text);
  bench_free(b);
}
#define LAYER(input, step, ...)                                                                              \
  check_weights(input, step, (const char *const[]){__VA_ARGS__},                                             \
                ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

Test(yaml, layers_make_pytorchs_weights) {
  LAYER("f32[1,6,8,8]", "conv(x, 4, 3, groups=2)", "%l.weight: f32[4,3,3,3]", "%l.bias: f32[4]");
  LAYER("f32[1,6,8,8]", "conv(x, 4, kernel=[1,5], bias=false)", "%l.weight: f32[4,6,1,5]");
  LAYER("f32[1,6,8]", "conv(x, 4, 3)", "%l.weight: f32[4,6,3]", "%l.bias: f32[4]");
  LAYER("f32[1,6,8,8]", "conv_transpose(x, 4, 2, stride=2)", "%l.weight: f32[6,4,2,2]", "%l.bias: f32[4]");
  LAYER("f16[5,6]", "linear(x, 4)", "%l.weight: f16[4,6]", "%l.bias: f16[4]");
  LAYER("f32[1,6,8,8]", "relu(bn(x))", "%l.weight: f32[6]", "%l.bias: f32[6]", "%l.running_mean: f32[6]",
        "%l.running_var: f32[6]");
  LAYER("f32[2,5,6]", "layer_norm(x)", "%l.weight: f32[6]", "%l.bias: f32[6]");
  LAYER("f32[2,5,6]", "layer_norm(x, axis=1, bias=false)", "%l.weight: f32[5,6]");
  LAYER("f32[2,5,6]", "rms_norm(x)", "%l.weight: f32[6]");
  LAYER("f32[2,6,5]", "group_norm(x, groups=3)", "%l.weight: f32[6]", "%l.bias: f32[6]");
  LAYER("i64[2,5]", "embedding(x, 100, 8)", "%l.weight: f32[100,8]");
  LAYER("f32[2,6,5]", "prelu(x)", "%l.weight: f32[6]");
  LAYER("f32[7,2,6]", "lstm(x, 3)", "%l.weight_ih_l0: f32[12,6]", "%l.weight_hh_l0: f32[12,3]",
        "%l.bias_ih_l0: f32[12]", "%l.bias_hh_l0: f32[12]", "%l.weight_ih_l0.packed: f32[1,12,6]",
        "%l.weight_hh_l0.packed: f32[1,12,3]", "%l.bias_l0.packed: f32[1,24]");
}

Test(yaml, layers_in_one_step_are_told_apart) {
  GRAPH("  y: linear(relu(linear(x, 8)), 2)\n", "%y.linear.weight: f32[8,4]", "%y.linear_2.weight: f32[2,8]");
  GRAPH("  y: linear@a.1(relu(linear@a.0(x, 8)), 2)\n", "%a.0.weight: f32[8,4]", "%a.1.weight: f32[2,8]");
  GRAPH("  - a: linear@l(x, 4)\n  - y: linear@l(a, 4, share=true)\n",
        "%l: f32[2,4] = linear(%x, %l.weight, %l.bias)", "%l_2: f32[2,4] = linear(%l, %l.weight, %l.bias)");
  GRAPH("  y: linear(x, tensor([[1.0], [2], [3], [4]]))\n", "= linear(%x, %tensor, _)");
}

Test(yaml, default_arguments_of_layers) {
  Bench *b = bench_new();
  Module *m = load(b, "defaults: {linear: {bias: false}}\n" X4
                      "graph: {y: 'linear(x, 2)', z: 'linear(x, 2, bias=true)'}\noutputs: [y, z]\n");
  char *text = graph_text(b, m);
  cr_assert_null(strstr(text, "%y.bias"));
  cr_assert(strstr(text, "%z.bias"));
  bench_free(b);
}

// ---- weights ----

Test(yaml, initial_weights_are_reproducible) {
  Bench *b = bench_new();
  Module *m =
      load(b, "weights: {init: normal(0.5), seed: 7}\n" X4 "graph: {y: 'linear(x, 1000)'}\noutputs: y\n");
  const Tensor *w = m->main->consts.data[0]->data;
  double sum = 0, squares = 0;
  for (int i = 0; i < 4000; i++) {
    sum += tensor_get(w, i);
    squares += tensor_get(w, i) * tensor_get(w, i);
  }
  cr_assert_lt(fabs(sum / 4000), 0.05);
  cr_assert_lt(fabs(squares / 4000 - 0.25), 0.02);
  cr_assert_eq(tensor_hash(w), 0x11b23860544dc651u, "%llx", (unsigned long long)tensor_hash(w));
  Bench *b2 = bench_new();
  m = load(b2, "weights: {init: normal(0.5), seed: 7}\n" X4
               "graph: {z: 'linear(x, 3)', y: 'linear(x, 1000)'}\noutputs: y\n");
  cr_assert_eq(tensor_hash(m->main->consts.data[2]->data), tensor_hash(w),
               "a weight depends on its name only");
  bench_free(b2);
  bench_free(b);
}

// A model in the folder whose weights are w.npz: l.weight f32[3,4], l.bias f64[3].
static const char *write_model(Bench *b, const char *folder, const char *text) {
  Type t = type_make(DT_F32, 2, (int64_t[]){3, 4}), u = type_make(DT_F64, 1, (int64_t[]){3});
  Tensor *w = tensor_new(b->ctx, &t), *v = tensor_new(b->ctx, &u);
  for (int i = 0; i < 12; i++) tensor_set(w, i, i);
  cr_assert(npz_save(b->ctx, arena_printf(b->arena, "%s/w.npz", folder),
                     (const char *const[]){"l.weight", "l.bias"}, (const Tensor *const[]){w, v}, 2));
  const char *path = arena_printf(b->arena, "%s/m.yaml", folder);
  FILE *out = fopen(path, "w");
  fputs(text, out);
  fclose(out);
  return path;
}

static void check_weight_file(const char *text, const char *expect) {
  Bench *b = bench_new();
  Module *m = frontend_load(b->ctx, write_model(b, test_folder(), text), NULL);
  if (expect) {
    cr_assert_null(m);
    cr_assert(strstr(said(b), expect), "expected '%s' in\n%s", expect, said(b));
  } else {
    cr_assert_not_null(m, "%s", said(b));
    cr_assert_eq(tensor_get(m->main->consts.data[0]->data, 11), 11);
  }
  bench_free(b);
}

Test(yaml, weights_come_from_files_by_name) {
  check_weight_file("weights: w.npz\n" X4 "graph: {l: 'linear(x, 3, bias=false)'}\noutputs: l\n", NULL);
  check_weight_file("weights: {file: w.npz, cast: true}\n" X4 "graph: {l: 'linear(x, 3)'}\noutputs: l\n",
                    NULL);
  check_weight_file("weights: {file: w.npz, prefix: l.}\n" X4 "graph: {y: \"x @ x\"}\noutputs: y\n",
                    "unexpected '@'");
  check_weight_file("weights: {file: w.npz, prefix: l.}\n" X4
                    "graph: {y: \"x * weight('weight')\"}\noutputs: y\n",
                    "do not broadcast");
  check_weight_file("weights: w.npz\n" X4 "graph: {l: 'linear(x, 3)'}\noutputs: l\n",
                    "m.yaml:3:13: error: the weight 'l.bias' in ");
  check_weight_file("weights: w.npz\n" X4 "graph: {k: 'linear(x, 3, bias=false)'}\noutputs: k\n",
                    "there is no weight 'k.weight' in ");
  check_weight_file("weights: w.npz\n" X4 "graph: {l: 'linear(x, 5, bias=false)'}\noutputs: l\n",
                    "is f32[3,4]; f32[5,4] is wanted here");
  check_weight_file("weights: none.npz\n" X4 "graph: {l: 'linear(x, 3)'}\noutputs: l\n",
                    "m.yaml:1:10: error: ");
  check_weight_file("weights: m.yaml\n" X4 "graph: {l: 'linear(x, 3)'}\noutputs: l\n",
                    "m.yaml:1:10: error: ");
}

// ---- faults ----

#define TAIL "inputs: {x: 'f32[2]'}\ngraph: {y: -x}\noutputs: y\n"

Test(yaml, broken_documents) {
  check_fails("", "the document is empty");
  check_fails("graph: [1, 2\n", "m.yaml:2:1: error: while parsing a flow sequence");
  check_fails("a: b: c\n", "m.yaml:1:5: error: mapping values are not allowed");
  check_fails("- 1\n", "m.yaml:1:1: error: a model must be 'name: value' pairs");
  check_fails("graph: {}\n", "the model has no 'inputs'");
  check_fails(TAIL "grahp: {}\n", "m.yaml:4:1: error: unknown section 'grahp'; did you mean 'graph'?");
  check_fails(TAIL "model: 'a b'\n", "must be a C identifier");
  check_fails("model: a\nmodel: b\n" TAIL, "m.yaml:2:1: error: 'model' is here twice");
  check_fails(TAIL "---\n" TAIL, "a second document begins here");
  check_fails("x: *a\n", "there is no anchor '&a'");
  check_fails("x: &a [*a]\n", "'*a' contains itself");
  check_fails("? [a]\n: b\n", "a key must be a plain word");
  check_fails("x: \"\\0\"\n", "NUL");
  check_fails("x: \xff\xfe\n", "m.yaml:1:1: error:");
}

Test(yaml, aliases_that_expand_without_bound) {
  Str s = {0};
  Bench *b = bench_new();
  s.arena = b->arena;
  str_puts(&s, "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n");
  for (int i = 1; i < 12; i++) {
    str_printf(&s, "a%d: &a%d [", i, i);
    for (int k = 0; k < 10; k++) str_printf(&s, "%s*a%d", k ? "," : "", i - 1);
    str_puts(&s, "]\n");
  }
  check_fails(str_text(&s), "too large once its aliases are expanded");
  bench_free(b);
}

Test(yaml, deep_nesting) {
  Bench *b = bench_new();
  Str s = {.arena = b->arena};
  str_puts(&s, "a: ");
  for (int i = 0; i < 5000; i++) str_puts(&s, "[");
  check_fails(str_text(&s), "nested too deeply");
  Str e = {.arena = b->arena};
  for (int i = 0; i < 5000; i++) str_puts(&e, "(");
  step_fails(str_text(&e), "nested too deeply");
  Str m = {.arena = b->arena};
  for (int i = 0; i < 5000; i++) str_puts(&m, "not ");
  step_fails(str_text(&m), "nested too deeply");
  bench_free(b);
}

Test(yaml, faults_in_expressions) {
  step_fails("x +", "m.yaml:3:11: error: expected an expression here");
  step_fails("relu(x", "expected ',' or ')' here");
  step_fails("x x", "unexpected 'x'");
  step_fails("x ? 1", "unexpected character '?'");
  step_fails("'''a'", "string without an end");
  step_fails("1.5abc", "malformed number");
  step_fails("99999999999999999999", "too large");
  step_fails("z", "m.yaml:3:8: error: unknown name 'z'");
  step_fails("relu(xx)", "unknown name 'xx'; did you mean 'x'?");
  step_fails("rleu(x)", "m.yaml:3:8: error: unknown op 'rleu'; did you mean 'relu'?");
  step_fails("softmax(x, axes=1)",
             "m.yaml:3:24: error: softmax has no attribute 'axes'; did you mean 'axis'?");
  step_fails("softmax(x, axis=0.5)", "axis must be an integer, not a number");
  step_fails("softmax(x, 1, 2)", "softmax has too many arguments");
  step_fails("softmax(axis=0, x)", "arguments without a name must come first");
  step_fails("softmax(x, axis=1, axis=1)", "'axis' is given twice");
  step_fails("leaky_relu(x, alpha=inf)", "'alpha' must be finite");
  step_fails("relu(x, x)", "relu has too many operands");
  step_fails("add(x)", "operand 2 ('y') is missing");
  step_fails("x + tensor([1, 2, 3])", "must have the same element type");
  step_fails("x + tensor([1.0, 2, 3])", "do not broadcast");
  step_fails("matmul(x, x)", "note: ");
  step_fails("cast(x, i32) + 0.5", "cannot be combined with i32 tensors");
  step_fails("cast(x, i8) + 300", "300 does not fit i8");
  step_fails("x + 'a'", "a string cannot be combined");
  step_fails("reshape(x, [3, 3])", "reshape: ");
  step_fails("reshape(x, [9223372036854775807 * 2])", "integer overflow");
  step_fails("broadcast(x, [1099511627776, 2, 4])", "too large");
  step_fails("1 // 0", "division by zero");
  step_fails("if(x, 1, 2)", "must be known when the model is read");
  step_fails("if(true, x)", "'if' takes a condition and two values");
  step_fails("x[5]", "index 5 is outside dimension 0 of f32[2,4]");
  step_fails("x[0, 0, 0]", "3 indices for f32[2,4]");
  step_fails("([x])[3]", "index 3 is outside the list of 1 items");
  step_fails("tensor([[1, 2], [3]])", "lists of equal length");
  step_fails("([1]) * 999999999", "the list is too long");
  step_fails("reshape(x, [1..9999999])", "the range is too long");
  step_fails("linear(x, 0)", "'out' cannot be 0");
  step_fails("linear(x)", "argument 'out' is missing");
  step_fails("linear(x, 4, init=hee)", "unknown initialisation 'hee'; did you mean 'he'?");
  step_fails("conv(x, 4, 3)", "the input is f32[2,4], but must have at least 3 dimensions");
  step_fails("linear(x, 99999999999)", "too large");
  step_fails("5", "the output 'y' is an integer, not a tensor");
}

Test(yaml, faults_in_the_graph) {
  check_fails(X4 "graph: {a: b, b: relu(x)}\noutputs: a\n", "'b' is used before it is defined");
  check_fails(X4 "graph: {y: relu(x), y: x}\noutputs: y\n", "m.yaml:2:21: error: 'y' is here twice");
  check_fails(X4 "graph: {y: relu(x)}\noutputs: [y, y]\n", "the output 'y' is here twice");
  check_fails(X4 "graph: {y: relu(x)}\noutputs: z\n", "unknown name 'z'");
  check_fails(X4 "graph: {y: relu(x)}\noutputs: []\n", "the model has no outputs");
  check_fails(X4 "graph: {y: {a: b}}\noutputs: y\n", "a step is an expression");
  check_fails(X4 "graph: {return: x, y: x}\noutputs: y\n", "nothing may follow 'return'");
  check_fails(X4 "graph: ['a, b, c: x']\noutputs: x\n", "unexpected ','");
  check_fails(X4 "graph: [{'a, b, c': 'split(x, axis=1, parts=2)'}]\noutputs: x\n",
              "more names than the 2 values");
  check_fails(X4 "graph: [{for: {a: [1], b: [1, 2]}, y: x}]\noutputs: x\n", "'b' has 2 items, 'a' has 1");
  check_fails(X4 "graph: [{repeat: -1, y: x}]\noutputs: x\n", "-1 repetitions");
  check_fails(X4 "graph: [{repeat: 1000000, x: x + 1}]\noutputs: x\n", "takes more than 1000000 steps");
  check_fails(X4 "graph: [{repeat: 1000000, do: []}, {repeat: 1000000, do: []}, {y: x}]\noutputs: y\n",
              "takes more than");
  check_fails("inputs: {x: 'f32[2]', x: 'f32[2]'}\ngraph: {y: x}\noutputs: y\n", "'x' is here twice");
  check_fails("inputs: {x: 'f33[2]'}\ngraph: {y: x}\noutputs: y\n",
              "m.yaml:1:14: error: expected a type like f32[1,3,224,224], found 'f33'");
  check_fails("inputs: {x: 'f32[-2]'}\ngraph: {y: x}\noutputs: y\n", "negative extent -2");
  check_fails("inputs: {x: 'f32[T]'}\ngraph: {y: x}\noutputs: y\n", "the symbol 'T' needs a bound: T<=512");
  check_fails("inputs: {x: 'f32[T<=0]'}\ngraph: {y: x}\noutputs: y\n", "cannot run from 1 to 0");
  check_fails("inputs: {x: 'f32[1,1,1,1,1,1,1,1,1]'}\ngraph: {y: x}\noutputs: y\n", "more than 8 dimensions");
  check_fails("inputs: {x: 'f32[1000000,1000000,1000000]'}\ngraph: {y: x}\noutputs: y\n", "too large");
  check_fails("inputs: {'a b': 'f32[1]'}\ngraph: {y: 1}\noutputs: y\n", "'a b' is no name");
}

Test(yaml, paths_stay_in_the_models_folder) {
  check_fails("weights: ../w.npz\n" TAIL,
              "m.yaml:1:10: error: the path '../w.npz' leaves the model's folder");
  check_fails("weights: [/etc/passwd]\n" TAIL, "leaves the model's folder");
  check_fails("labels: a/../../b\n" TAIL, "leaves the model's folder");
}

Test(yaml, faults_in_blocks) {
  check_fails("blocks: {relu(a): a}\n" X4 "graph: {y: x}\noutputs: y\n", "the name 'relu' is taken by an op");
  check_fails("blocks: {f(a): a, f(b): b}\n" X4 "graph: {y: x}\noutputs: y\n",
              "the block 'f' is defined twice");
  check_fails("blocks: {f: a}\n" X4 "graph: {y: x}\noutputs: y\n", "expected name(parameter, ...)");
  check_fails("blocks: {f(1): a}\n" X4 "graph: {y: x}\noutputs: y\n", "a parameter is a word");
  check_fails("blocks: {'f(a, b)': a + b}\n" X4 "graph: {y: f(x)}\noutputs: y\n", "argument 'b' is missing");
  check_fails("blocks: {f(a): a}\n" X4 "graph: {y: 'f(x, x)'}\noutputs: y\n", "f has too many arguments");
  check_fails("blocks: {f(a): a}\n" X4 "graph: {y: 'f(x, c=1)'}\noutputs: y\n", "f has no argument 'c'");
  check_fails("blocks: {f(a): f(a)}\n" X4 "graph: {y: f(x)}\noutputs: y\n",
              "blocks call each other more than 64 deep");
  check_fails("blocks: {ff(a): a}\n" X4 "graph: {y: fg(x)}\noutputs: y\n", "did you mean 'ff'?");
  check_fails("blocks: {f(a): b}\n" X4 "graph: {b: x, y: f(x)}\noutputs: y\n", "unknown name 'b'");
  check_fails(X4 "graph: [{a: 'linear@l(x, 4)'}, {y: 'linear@l(a, 4)'}]\noutputs: y\n",
              "share=true uses its weights again");
}

Test(yaml, several_faults_in_one_go) {
  Bench *b = bench_new();
  cr_assert_null(load_with(
      b,
      X4
      "graph:\n  a: rleu(x)\n  b: a + 1\n  c: x[9]\n  d: b * tanh(q)\n  y: relu(\noutputs: {y: y, z: zz}\n",
      NULL));
  cr_assert_eq(diag_errors(b->ctx->diag), 5, "%s", said(b));
  bench_free(b);
}

Test(yaml, shapes_say_where_they_come_from) {
  Bench *b = bench_new();
  cr_assert_null(load_with(b, X4 "graph:\n  h: linear(x, 3)\n  y: matmul(h, x)\noutputs: y\n", NULL));
  cr_assert(strstr(said(b), "m.yaml:4:6: error: matmul: "), "%s", said(b));
  cr_assert(strstr(said(b), "m.yaml:3:6: note: x is 'h', f32[2,3], from linear"), "%s", said(b));
  cr_assert(strstr(said(b), "note: y is 'x', f32[2,4], from an input"), "%s", said(b));
  bench_free(b);
}

// Every prefix of a model, and every one with a byte changed, is answered and not fallen over.
Test(yaml, hostile_texts_are_answered) {
  const char *text =
      "params: {n: [1, 2]}\nblocks:\n  f(a, k=2): {h: 'linear(a, k)', return: 'h[:, ::2]'}\n" X4
      "graph:\n  - for: {i: n}\n    x: f@b{i}(x, 4)\n  - y, z: split(x, axis=1, parts=2)\noutputs: {y: y}\n";
  size_t len = strlen(text);
  for (size_t n = 0; n < len; n++) {
    Bench *b = bench_new();
    load_with(b, arena_strndup(b->arena, text, n), NULL);
    for (int k = 0; k < 3; k++) {
      char *bad = arena_strdup(b->arena, text);
      bad[n] = " \n:{}[](),'\"&*@.-#0x%"[(n * 7 + (size_t)k * 5) % 21];
      load_with(b, bad, NULL);
    }
    bench_free(b);
  }
}

// ---- the models that ship ----

static void check_model(const char *name, int max_lines, int64_t parameters) {
  Bench *b = bench_new();
  const char *path = arena_printf(b->arena, SOURCE_DIR "/models/%s.yaml", name);
  Source *src = source_read(b->arena, b->ctx->diag, path);
  int lines = 0;
  for (const char *s = src->text; *s; s++) lines += *s == '\n';
  cr_assert_leq(lines, max_lines, "%s has %d lines", name, lines);
  Module *m = frontend_load(b->ctx, path, NULL);
  cr_assert_not_null(m, "%s", said(b));
  cr_assert(module_verify(m, NULL), "%s", said(b));
  int64_t n = 0;
  for (int i = 0; i < m->main->consts.n; i++) {
    const Value *v = m->main->consts.data[i];
    bool counted = v->type.rank && !strstr(v->name, "running_") && !strstr(v->name, ".packed");
    if (counted && strcmp(v->name, "mean") != 0 && strcmp(v->name, "std") != 0) n += type_elements(&v->type);
  }
  cr_assert_eq(n, parameters, "%s has %lld parameters", name, (long long)n);
  bench_free(b);
}

Test(yaml, shipped_models) {
  check_model("lenet_fashion", 40, 61706);
  check_model("resnet_fashion", 60, 77754);
  check_model("resnet50", 80, 25557032);
  check_model("mobilenetv2", 60, 3504872);
}

Test(yaml, shipped_large_models) {
  check_model("vgg16", 60, 138357544);
  check_model("gpt", 80, 123849984);
  check_model("lstm_tagger", 60, 3223825);
}
