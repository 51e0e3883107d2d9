// test_yaml_errors.c: what is said of mistakes in YAML models, one line for each kind of them.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/yaml.h"
#include "tests/fixture.h"

#define X4 "inputs: {x: 'f32[2,4]'}\n"
#define Y  "graph:\n  - y: relu(x)\noutputs: y\n"

typedef struct Mistake {
  const char *text, *said;
} Mistake;

static void check(const char *text, const char *expect) {
  Bench *b = bench_new();
  cr_expect_null(yaml_load(b->ctx, source_from_text(b->arena, "m.yaml", text), NULL), "%s", text);
  cr_expect(strstr(said(b), expect), "expected '%s' in:\n%s\nfor\n%s", expect, said(b), text);
  bench_free(b);
}

static void check_models(const Mistake *all, int n) {
  for (int i = 0; i < n; i++) check(all[i].text, all[i].said);
}

// In place of y's expression.
static void check_expressions(const Mistake *all, int n) {
  jmp_buf oom_here;
  Arena *a = arena_new(&oom_here);
  for (int i = 0; i < n; i++)
    check(arena_printf(a, X4 "graph:\n  - y: %s\noutputs: y\n", all[i].text), all[i].said);
  arena_free(a);
}

// ---- expressions ----------------------------------------------------------------------------------------------------

Test(yaml_errors, syntax) {
  static const Mistake all[] = {
      {"x * 3abc", "malformed number '3a'"},
      {"x * 1e999", "the number '1e999' is too large"},
      {"x * 99999999999999999999", "is too large"},
      {"relu(3=x)", "the name of an argument is a word"},
      {"x[]", "expected an index"},
      {"linear@a{x}(x, 4)", "a name cannot contain"},
      {"linear@a{1 2}(x, 4)", "expected '}'"},
      {"linear@(x, 4)", "expected a name"},
      {"{a: 1}", "a step is an expression"},
  };
  check_expressions(all, ARRAY_LEN(all));
}

Test(yaml_errors, nesting) {
  static const char *const repeated[] = {"(", "-", "2 ** ", "not "};
  for (int i = 0; i < ARRAY_LEN(repeated); i++) {
    Bench *b = bench_new();
    Str s = {.arena = b->arena};
    for (int k = 0; k < 2000; k++) str_puts(&s, repeated[i]);
    check(arena_printf(b->arena, X4 "graph:\n  - y: %sx\noutputs: y\n", str_text(&s)),
          "the expression is nested too deeply");
    bench_free(b);
  }
}

Test(yaml_errors, indices) {
  static const Mistake all[] = {
      {"x * [1, 2, 3][0:2:2][0]", "lists are sliced by steps of 1 only"},
      {"x * [1, 2][0, 1]", "a list has one index"},
      {"x[::-1]", "the step of a slice must be positive; flip(x, axes) reverses"},
      {"x['a']", "a string cannot be an index"},
      {"x[1:2:'a']", "an index must be an integer, not a string"},
      {"x[1, tensor([0, 1])]", "an index that is a tensor goes with slices only; use gather"},
      {"x[..., ...]", "only one '...' is possible"},
      {"3[0]", "an integer has no elements"},
  };
  check_expressions(all, ARRAY_LEN(all));
}

Test(yaml_errors, operators) {
  static const Mistake all[] = {
      {"cast(x, i32) // cast(x, i32)", "'//' of integer tensors is not there; use div"},
      {"x * ('a' * 2)", "'*' does not go with a string and an integer"},
      {"x * (7 % -2)", "the divisor must not be negative"},
      {"x * (7 // -2)", "the divisor must not be negative"},
      {"x * (7 & 2)", "'&' is not defined on integers"},
      {"x * (7.5 & 2)", "'&' is not defined on numbers"},
      {"x * -'a'", "'-' does not go with a string"},
      {"x + 'a'", "a string cannot be combined with f32 tensors"},
  };
  check_expressions(all, ARRAY_LEN(all));
}

Test(yaml_errors, functions) {
  static const Mistake all[] = {
      {"x * len(3)", "len needs a list, not an integer"},
      {"dim(3, 0)", "dim needs a tensor, not an integer"},
      {"dropout('a')", "dropout needs a tensor, not a string"},
      {"relu(tensor([[1, 2], [3]]))", "tensor needs numbers in lists of equal length"},
      {"relu(tensor([1, [3]]))", "tensor needs numbers in lists of equal length"},
      {"relu(tensor(['a']))", "tensor needs numbers in lists of equal length"},
      {"relu(tensor([[[[[[[[[1]]]]]]]]]))", "more than 8 dimensions"},
      {"relu(tensor([1], dtype=3))", "expected an element type like f32"},
      {"x + weight(3, [4])", "a weight's name is a string: weight('name')"},
      {"x + weight('w', [4], dtype=3)", "expected an element type like f32"},
      {"x + weight('w', [1, 1, 1, 1, 1, 1, 1, 1, 4])", "more than 8 dimensions"},
      {"x + weight('w', [4], init='abc')", "unknown initialisation 'abc'"},
      {"x + weight('w', [4], init=[1])", "an initialisation is he, glorot"},
      {"x + weight('w', [4], init=inf)", "a weight must be finite"},
      {"x + weight('w', [4], init=normal('a'))", "normal needs a number, not a string"},
      {"if(x, 1)", "'if' takes a condition and two values: if(condition, then, else)"},
      {"if(x, x, x)", "the condition of 'if' must be known when the model is read; where(condition, x, y)"},
      {"if('a', x, x)", "a condition is true or false, not a string"},
      {"loop(x)", "the op 'loop' cannot be called"},
      {"concat(3, axis=0)", "concat has too many arguments"},
  };
  check_expressions(all, ARRAY_LEN(all));
}

Test(yaml_errors, layers) {
  static const Mistake all[] = {
      {"linear(x, 4, bias=3)", "'bias' is true or false"},
      {"linear(out=4)", "argument 'x' is missing"},
      {"linear(3, 4)", "linear needs a tensor, not an integer"},
      {"conv(reshape(x, [1, 1, 2, 4]), 4)", "argument 'kernel' is missing"},
      {"conv(reshape(x, [1, 1, 2, 4]), 4, 0)", "the kernel's extent is out of range"},
      {"conv(reshape(x, [1, 1, 2, 4]), 1000000, [2000000000, 2000000000])", "the kernel is too large"},
      {"embedding(x, 10, 4)", "embedding looks up integers, not f32"},
      {"layer_norm(x, axis=7)", "axis 7 does not exist"},
      {"rms_norm(x, bias=true)", "rms_norm has no bias"},
      {"lstm(reshape(x, [1, 1, 2, 4]), 4)", "lstm needs 3 dimensions: time, batch and features"},
      {"cache(x, axis=1)", "cache needs a symbol for its length: symbols: {past: 0..512}"},
      {"cache(x, axis=1, length=3)", "cache needs a symbol for its length"},
  };
  check_expressions(all, ARRAY_LEN(all));
}

// ---- sections -------------------------------------------------------------------------------------------------------

Test(yaml_errors, names_and_symbols) {
  static const Mistake all[] = {
      {"model: [1]\n" X4 Y, "the model's name must be a text"},
      {"model: 3a\n" X4 Y, "the model's name must be a C identifier"},
      {"inputs: 3\n" Y, "must be 'name: value' pairs"},
      {"inputs: {'a b': 'f32[2,4]'}\n" Y, "'a b' is no name: letters, digits and '_' are possible"},
      {"symbols: {N: -3..4}\n" X4 Y, "the symbol 'N' cannot run from -3 to 4"},
      {"symbols: {N: 1..4, 3: 2}\n" X4 Y, "this limit cannot be kept"},
      {"symbols: {N: 1..4, N + 3: 2.5}\n" X4 Y, "a limit must be an integer"},
      {"symbols: {N: 1..4, N + 3: -1}\n" X4 Y, "this limit cannot be kept"},
      {"symbols: {N: 1..4, 'abs(-9) + 0': 2}\n" X4 Y, "this limit cannot be kept"},
      {"symbols: {N: 1..4, \"'a'[0] + 1\": 2}\n" X4 Y, "has no elements"},
      {X4 Y "specialize: {N: 1}\n", "the model has no symbol 'N'"},
      {X4 Y "specialize: 3\n", "must be 'name: value' pairs"},
      {X4 Y "specialise: {N: 1}\n", "unknown section 'specialise'; did you mean 'specialize'?"},
  };
  check_models(all, ARRAY_LEN(all));
}

Test(yaml_errors, states) {
  static const Mistake all[] = {
      {"state: {s: {type: 'f32[2,4]', int: 0}}\n" X4 Y, "state 's' has a type and init, but no 'int'"},
      {"state: {s: {init: 0}}\n" X4 Y, "state 's' has no type"},
      {"state: {s: {type: 'f32[2,4]', init: [1]}}\n" X4 "graph:\n  - s: s + x\n  - y: relu(s)\noutputs: y\n",
       "the initial value of a state is a number or a constant, not a list"},
      {"state: {s: {type: 'f32[2,4]', init: 0}}\n" X4 "graph:\n  - y: relu(s)\noutputs: y\n",
       "no step changes the state 's'"},
  };
  check_models(all, ARRAY_LEN(all));
}

Test(yaml_errors, steps) {
  static const Mistake all[] = {
      {X4 "graph:\n  - y, z: relu(x)\noutputs: y\n", "several names for one value"},
      {X4 "graph:\n  - for: 3\n    y: relu(x)\noutputs: y\n", "'for' takes variables and lists"},
      {X4 "graph:\n  - for: {i: 3}\n    y: relu(x)\noutputs: y\n", "'i' needs a list, not an integer"},
      {X4 "graph:\n  - y: relu(x)\noutputs: [y + 1]\n", "is no name for an output; write name: expression"},
      {X4 "graph:\n  - y: [x]\noutputs: y\n", "the output 'y' is a list, not a tensor"},
  };
  check_models(all, ARRAY_LEN(all));
}

Test(yaml_errors, what_goes_along) {
  static const Mistake all[] = {
      {X4 Y "labels: {a: 1}\n", "labels are a list or the name of a file"},
      {X4 Y "labels: nosuch.txt\n", "cannot open 'nosuch.txt'"},
      {X4 Y "preprocess: {scale: [[1]]}\n", "expected a number or a list of them"},
      {X4 Y "preprocess: {scale: true}\n", "expected a number or a list of them"},
      {X4 Y "preprocess: {mode: 1}\n", "preprocess has no 'mode': it takes scale, mean, std and channels"},
      {X4 Y "meta: {a: [1]}\n", "a meta entry must be a text"},
      {X4 Y "weights: {file: {a: 1}}\n", "expected the name of a file"},
      {X4 Y "weights: {cast: 3}\n", "expected true or false"},
      {X4 Y "weights: {fiel: a.npz}\n", "weights have no option 'fiel'; did you mean 'file'?"},
      {X4 Y "weights: {file: ../a.npz}\n", "the path '../a.npz' leaves the model's folder"},
      {X4 Y "weights: {init: abc}\n", "unknown initialisation 'abc'"},
      {X4 Y "weights: {seed: a}\n", "unknown name 'a'"},
      {X4 Y "defaults: {nosuch: {bias: false}}\n", "there is no layer 'nosuch'"},
  };
  check_models(all, ARRAY_LEN(all));
}

// ---- documents --------------------------------------------------------------------------------------------------------

// Ten times as many items with each line.
Test(yaml_errors, documents_that_grow) {
  Bench *b = bench_new();
  Str s = {.arena = b->arena};
  str_puts(&s, "a0: &a0 [1]\n");
  for (int i = 1; i < 9; i++) {
    str_printf(&s, "a%d: &a%d [", i, i);
    for (int k = 0; k < 10; k++) str_printf(&s, "%s*a%d", k ? ", " : "", i - 1);
    str_puts(&s, "]\n");
  }
  check(str_text(&s), "the document is too large once its aliases are expanded");
  s.n = 0;
  str_puts(&s, "a: ");
  for (int i = 0; i < 2000; i++) str_puts(&s, "[");
  check(str_text(&s), "the document is nested too deeply");
  bench_free(b);
  check("a: \"x\\0y\"\n", "a NUL character in the text");
}

// A loop in a loop in a block that calls another ...: each file is small.
Test(yaml_errors, models_that_grow) {
  Bench *b = bench_new();
  Str s = {.arena = b->arena};
  str_puts(&s, X4 "blocks:\n  f0(x):\n    return: x\n");
  for (int i = 1; i < 30; i++) str_printf(&s, "  f%d(x):\n    return: f%d(f%d(x))\n", i, i - 1, i - 1);
  str_puts(&s, "graph:\n  - y: f29(x)\noutputs: y\n");
  check(str_text(&s), "steps to build");
  bench_free(b);
}
