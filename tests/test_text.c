// test_text.c: the IR's text form: printing and parsing are inverse, and faults are reported, not fallen over.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "tests/fixture.h"
#include "tests/folder.h"

#include <math.h>
#include <stdlib.h>

static Module *parse(Bench *b, const char *text) {
  return module_parse(b->ctx, source_from_text(b->arena, "test.ing", text));
}

static char *print(Bench *b, const Module *m) {
  Str s = {.arena = b->arena};
  module_print(&s, m, NULL);
  return str_text(&s);
}

// The text of `text` after one reading must stay the same from then on.
static void check_stable(const char *text) {
  Bench *b = bench_new();
  Module *m = parse(b, text);
  cr_assert_not_null(m, "%s\nin\n%s", said(b), text);
  char *once = print(b, m);
  Bench *b2 = bench_new();
  Module *again = parse(b2, once);
  cr_assert_not_null(again, "%s\nin\n%s", said(b2), once);
  cr_assert_str_eq(print(b2, again), once);
  bench_free(b2);
  bench_free(b);
}

static void check_fails(const char *text, const char *expect) {
  Bench *b = bench_new();
  cr_assert_null(parse(b, text), "%s", text);
  cr_assert(diag_errors(b->ctx->diag) > 0);
  cr_assert(strstr(said(b), expect), "expected '%s' in:\n%s", expect, said(b));
  bench_free(b);
}

// ---- expressions ----

typedef struct Names {
  Ctx *ctx;
  const Expr *x, *y, *n, *p;
} Names;

static const Expr *lookup(void *data, const char *name) {
  const Names *s = data;
  return name[1]          ? NULL
         : name[0] == 'x' ? s->x
         : name[0] == 'y' ? s->y
         : name[0] == 'n' ? s->n
         : name[0] == 'p' ? s->p
                          : NULL;
}

static Names names_new(Ctx *c) {
  return (Names){c, ex_var(c, var_new_let(c, "x", DT_F32, NULL)),
                 ex_var(c, var_new_let(c, "y", DT_F32, NULL)), ex_var(c, var_new_let(c, "n", DT_I64, NULL)),
                 ex_var(c, var_new_let(c, "p", DT_BOOL, NULL))};
}

static const Expr *formula(Bench *b, Names *n, const char *text) {
  return expr_parse(b->ctx, source_from_text(b->arena, "formula", text), text, lookup, n);
}

Test(text, formulas_print_as_they_read) {
  static const char *const cases[] = {
      "x + y",
      "x * 0.5 + y",
      "max(x, 0.0)",
      "x - (y - x)",
      "x - y - x",
      "(x + y) * x",
      "select(p, x, y)",
      "select(x < y, x, 0.0)",
      "f64(x)",
      "p & x < y",
      "exp(-x)",
      "!p",
      "n // 3 + n % 3",
      "erf(x * 0.70710677)",
      "bitcast(i32, x)",
      "fma(x, y, x)",
      "pow(x, 2.5)",
      "f32(n) * x",
      "x / y / x",
      "x / (y / x)",
      "select(p, x, inf)",
      "select(x == y, nan, x)",
      "select(p, x, -0.0)",
      "rem(n, 7)",
      "(x + y) * (x + y)",
  };
  Bench *b = bench_new();
  Names n = names_new(b->ctx);
  for (int i = 0; i < ARRAY_LEN(cases); i++) {
    const Expr *e = formula(b, &n, cases[i]);
    cr_assert_not_null(e, "%s: %s", cases[i], said(b));
    cr_assert_str_eq(expr_text(b->ctx, e), cases[i]);
  }
  bench_free(b);
}

Test(text, greater_is_less_swapped) {
  Bench *b = bench_new();
  Names n = names_new(b->ctx);
  cr_assert_eq(formula(b, &n, "x > y"), formula(b, &n, "y < x"));
  cr_assert_eq(formula(b, &n, "x >= y"), formula(b, &n, "y <= x"));
  bench_free(b);
}

Test(text, bare_numbers_are_computed_exactly) {
  Bench *b = bench_new();
  Names n = names_new(b->ctx);
  cr_assert_eq(formula(b, &n, "x * (1 / 2)"), formula(b, &n, "x * 0.5"));
  cr_assert_eq(formula(b, &n, "n + 2 * 3 - 7 // 2"), formula(b, &n, "n + 3"));
  cr_assert_eq(formula(b, &n, "x + 1"), formula(b, &n, "x + 1.0"));
  bench_free(b);
}

Test(text, formulas_with_faults) {
  static const char *const cases[][2] = {
      {"x +", "expected an expression"},
      {"x + z", "unknown name 'z'"},
      {"x + n", "different types"},
      {"n + 0.5", "does not fit i64"},
      {"foo(x)", "there is no function 'foo'"},
      {"max(x)", "expected ','"},
      {"x y", "unexpected 'y'"},
      {"if(x, x, y)", "expected bool"},
      {"x // y", "not defined on this type"},
      {"exp(n)", "not defined on this type"},
      {"1 < 2", "needs a type"},
      {"$1", "not defined before"},
      {"n + 99999999999999999999", "too large"},
      {"u8(300)", "does not fit u8"},
      {"bitcast(i64, x)", "changes the width"},
      {"sum(k<4) p", "not defined on bool"},
      {"x ; y", "unexpected"},
      {"\x01", "unexpected character"},
  };
  for (int i = 0; i < ARRAY_LEN(cases); i++) {
    Bench *b = bench_new();
    Names n = names_new(b->ctx);
    cr_assert_null(formula(b, &n, cases[i][0]), "%s", cases[i][0]);
    cr_assert(strstr(said(b), cases[i][1]), "%s: %s", cases[i][0], said(b));
    bench_free(b);
  }
}

Test(text, deep_nesting_is_an_error) {
  Bench *b = bench_new();
  Names n = names_new(b->ctx);
  char text[4001];
  memset(text, '(', 4000);
  text[4000] = '\0';
  cr_assert_null(formula(b, &n, text));
  cr_assert(strstr(said(b), "nested more than 256 deep"));
  memset(text, '-', 4000);
  cr_assert_null(formula(b, &n, text));
  bench_free(b);
}

// A chain of squares has 2^40 nodes as a tree.
Test(text, shared_parts_are_printed_once) {
  Str s = {0};
  Bench *b = bench_new();
  s.arena = b->arena;
  str_puts(&s, "ingot 1 kernels\ngraph main(%x: f32[4]) {\n  %y: f32[4] = kernel k(%x)\n  return %y\n}\n"
               "kernel k {\n  %y[i<4] = ");
  Names n = names_new(b->ctx);
  const Expr *e = n.x;
  for (int i = 0; i < 40; i++) {
    e = ex_unary(b->ctx, E_SIN, ex_add(b->ctx, ex_mul(b->ctx, e, e), e));
  }
  char *text = expr_text(b->ctx, e);
  cr_assert_lt(strlen(text), 2000u);
  cr_assert(strstr(text, "$3 = "));
  const Expr *back = formula(b, &n, text);
  cr_assert_eq(back, e, "%s\n%s", said(b), text);
  bench_free(b);
}

// ---- modules ----

#define GRAPH                                                                                                \
  "ingot 1 graph\n"                                                                                          \
  "module net target \"x86-64-v3\"\n"                                                                        \
  "source \"net.yaml\"\n"                                                                                    \
  "passes canonicalize, fold\n"                                                                              \
  "meta \"labels\" = \"cat\\ndog \\\"x\\\"\"\n"                                                              \
  "sym T: 1..512 loc(3:1)\n"

Test(text, graph_level) {
  check_stable(GRAPH "graph main(%x: f32[2,3] loc(4:3), %t: i64[T<=512] loc(5:3)) {\n"
                     "  %w: f32[3] = const [1, -2.5, inf] loc(6:1)\n"
                     "  %a: f32[2,3] = add(%x, %w) loc(7:5) from \"layer.0 (add)\", \"b\" loc(9:9)\n"
                     "  %b: f32[2,3] = relu(%a) loc(8:5) by fold\n"
                     "  %c: i64[T<=512] = neg(%t) loc()\n"
                     "  return out=%b, \"odd name\"=%c, w=%w\n"
                     "}\n");
}

Test(text, attributes_and_quoted_names) {
  check_stable("ingot 1 graph\ngraph main(%\"/in:0\": f32[1,3,8,8], %w: f32[4,3,3,3]) {\n"
               "  %y: f32[1,4,4,4] = conv(%\"/in:0\", %w) stride=[2, 2] pads=[1,1,1,1]\n"
               "  %z: f32[4,16] = reshape(%y) shape=[4, 16]\n"
               "  %s: f32[4,16] = softmax(%z) axis=-1 loc(\"node 'a' (Softmax)\")\n"
               "  return %s\n}\n");
}

Test(text, constants_keep_every_bit) {
  Bench *b = bench_new();
  Module *m =
      parse(b, "ingot 1 graph\ngraph main() {\n"
               "  %a: f32[7] = const [nan, nan(0x7f800001), nan(0xffc12345), -inf, -0.0, 0.1, 1e-45]\n"
               "  %b: f16[3] = const [nan(0x7c01), 65504, 6e-08]\n"
               "  %c: bf16[2] = const [0.1, nan(0xff81)]\n"
               "  %d: f64[3] = const [0.1, 1.7976931348623157e+308, 5e-324]\n"
               "  %e: i64[2] = const [-9223372036854775808, 9223372036854775807]\n"
               "  %f: u64[1] = const [18446744073709551615]\n"
               "  %g: bool[2] = const [0, 1]\n"
               "  %h: i8[0] = const []\n"
               "  %i: f32[] = const [3]\n"
               "  return a=%a, b=%b, c=%c, d=%d, e=%e, f=%f, g=%g, h=%h, i=%i\n}\n");
  cr_assert_not_null(m, "%s", said(b));
  Bench *b2 = bench_new();
  Module *m2 = parse(b2, print(b, m));
  cr_assert_not_null(m2, "%s", said(b2));
  for (int i = 0; i < m->main->consts.n; i++) {
    const Tensor *t = m->main->consts.data[i]->data, *u = m2->main->consts.data[i]->data;
    cr_assert(tensor_equal(t, u), "constant %d", i);
  }
  uint32_t bits;
  memcpy(&bits, (const char *)m->main->consts.data[0]->data->data + 4, 4);
  cr_assert_eq(bits, 0x7f800001u);
  bench_free(b2);
  bench_free(b);
}

Test(text, kernels_level) {
  check_stable("ingot 1 kernels\nmodule k arena=8192\nsym T: 0..16\n"
               "graph main(%a: f32[4,64] @input, %b: f32[64,8] @input, %t: f32[T<=16]) {\n"
               "  %bias: f32[8] @const = const [0,1,2,3,4,5,6,7]\n"
               "  %y: f32[4,8] layout<0,1/8,1%8> @arena+64 = kernel mm(%a, %b, %bias) loc()\n"
               "  %z: f32[4,8] @arena in %y = kernel soft(%y)\n"
               "  %u: f32[T<=16] = kernel dyn(%t)\n"
               "  return out=%z, u=%u\n"
               "}\n\n"
               "kernel mm flops=4096 bytes=128 {\n"
               "  schedule product(mr=6, nr=16)\n"
               "  %y[i<4, j<8] = max((sum(k<64) %a[i, k] * %b[k, j]) + %bias[j], 0.0)\n"
               "}\n"
               "kernel soft {\n"
               "  local %m: f32[4]\n"
               "  %m[i<4] = maximum(j<8) %y[i, j]\n"
               "  %z[i<4, j<8] = exp(%y[i, j] - %m[i]) at 1\n"
               "}\n"
               "kernel dyn {\n"
               "  %u[i<T] = if(0 < i, %t[i - 1], 0.0)\n"
               "  scatter (k<T) %u[k] += if(k < T - 1, %t[k + 1], 1.0)\n"
               "}\n");
}

Test(text, loops_level) {
  check_stable("ingot 1 loops\n"
               "graph main(%a: f32[100], %w: f32[16]) {\n"
               "  %y: f32[100] = kernel k(%a, %w)\n"
               "  return out=%y\n"
               "}\n\n"
               "kernel k parallel=12 scratch=64 {\n"
               "  schedule map(vector=8)\n"
               "  %y[i<100] = %a[i] * %w[i % 16]\n"
               "  body {\n"
               "    alloc %tmp: f32[16] @scratch\n"
               "    for i<16 {\n"
               "      %tmp[i] = %w[i]\n"
               "      if i < 3 {\n"
               "        %tmp[i] max= 0.0\n"
               "      } else {\n"
               "        %tmp[i] *= 2.0\n"
               "      }\n"
               "    }\n"
               "    parallel io<13 {\n"
               "      prefetch %a[io * 8 + 64]\n"
               "      vector v<8 {\n"
               "        if io * 8 + v < 100 {\n"
               "          let x: f32 = %a[io * 8 + v]\n"
               "          %y[io * 8 + v] = x * x * %tmp[(io * 8 + v) % 16]\n"
               "        }\n"
               "      }\n"
               "    }\n"
               "  }\n"
               "}\n");
}

Test(text, names_are_made_unique) {
  Bench *b = bench_new();
  Module *m = module_new(b->ctx, "m");
  Type t = type_make(DT_F32, 1, (int64_t[]){4});
  Value *x = graph_input(m->main, "x", t, NO_LOC);
  Builder at = builder_at(m->main, NULL, NO_LOC);
  for (int i = 0; i < 3; i++) {
    x = build(&at, "relu", IN(x), NO_ATTRS);
    x->name = "x";
  }
  graph_output(m->main, "out", x);
  char *text = print(b, m);
  cr_assert(strstr(text, "%x.1: f32[4] = relu(%x)"), "%s", text);
  cr_assert(strstr(text, "%x.3: f32[4] = relu(%x.2)"), "%s", text);
  check_stable(text);
  bench_free(b);
}

// What is left when the first of two variables of one name goes away goes on under the name that a dump gave it.
Test(text, variables_of_loops_keep_their_names) {
  Bench *b = bench_new();
  const char *text =
      "ingot 1 loops\ngraph main(%a: f32[16]) {\n  %y: f32[16] = kernel k(%a)\n  return out=%y\n}\n\n"
      "kernel k parallel=1 {\n  %y[q<16] = %a[q]\n  body {\n"
      "    for i<8 {\n      %y[i] = %a[i]\n    }\n"
      "    for j<8 {\n      %y[j + 8] = %a[j + 8]\n    }\n  }\n}\n";
  Module *m = module_parse(b->ctx, source_from_text(b->arena, "m.ing", text));
  cr_assert(m);
  Stmt *first = m->main->first->kernel->body, *second = first->next;
  ((Var *)second->loop.var)->name = first->loop.var->name;
  module_unique_names(m);
  cr_expect_str_eq(first->loop.var->name, "i");
  cr_expect_str_eq(second->loop.var->name, "i1");
  m->main->first->kernel->body = second;
  cr_expect(strstr(print(b, m), "for i1<8"));
  bench_free(b);
}

// ---- large constants ----

Test(text, large_constants_go_to_files) {
  const char *folder = test_folder();
  Bench *b = bench_new();
  Module *m = module_new(b->ctx, "m");
  Type t = type_make(DT_F32, 1, (int64_t[]){1000});
  Tensor *data = tensor_new(b->ctx, &t);
  for (int i = 0; i < 1000; i++) tensor_set(data, i, i * 0.25);
  graph_output(m->main, "out", graph_const(m->main, "w", data, NO_LOC));
  graph_output(m->main, "again", graph_const(m->main, "w2", data, NO_LOC));
  BlobFile *blobs = blob_new(b->ctx, arena_printf(b->arena, "%s/m.blobs", folder));
  Str s = {.arena = b->arena};
  module_print(&s, m, blobs);
  cr_assert(strstr(str_text(&s), "= const file(\"m.blobs/"), "%s%s", said(b), s.s);

  char *path = arena_printf(b->arena, "%s/m.ing", folder);
  FILE *f = fopen(path, "w");
  fputs(s.s, f);
  fclose(f);
  Bench *b2 = bench_new();
  Module *m2 = module_parse(b2->ctx, source_read(b2->arena, b2->ctx->diag, path));
  cr_assert_not_null(m2, "%s", said(b2));
  cr_assert(tensor_equal(m2->main->consts.data[0]->data, data));
  Str again = {.arena = b2->arena};
  module_print(&again, m2, blob_new(b2->ctx, arena_printf(b2->arena, "%s/m.blobs", folder)));
  cr_assert_str_eq(str_text(&again), s.s);
  bench_free(b2);
  bench_free(b);
}

// ---- every pass on real models ----

typedef struct Trip {
  const char *folder;
  int passes;
} Trip;

static char *print_beside(Bench *b, const Module *m, const Trip *t) {
  Str s = {.arena = b->arena};
  module_print(&s, m, blob_new(b->ctx, arena_printf(b->arena, "%s/m.weights", t->folder)));
  return str_text(&s);
}

// The module as it is now must print, read back, and print the same.
static bool check_trip(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  (void)seconds;
  (void)changed;
  Trip *t = data;
  Bench *b = bench_new();
  char *text = print_beside(&(Bench){.arena = m->ctx->arena, .ctx = m->ctx}, m, t);
  Source *src = source_from_text(b->arena, arena_printf(b->arena, "%s/m.ing", t->folder), text);
  Module *again = module_parse(b->ctx, src);
  cr_assert_not_null(again, "after %s: %s", p->name, said(b));
  cr_assert_str_eq(print_beside(b, again, t), text, "after %s", p->name);
  bench_free(b);
  t->passes++;
  return true;
}

static void check_model(const char *name) {
  Trip t = {.folder = test_folder()};
  Bench *b = bench_new();
  Module *m = frontend_load(b->ctx, arena_printf(b->arena, SOURCE_DIR "/models/%s.yaml", name), NULL);
  cr_assert_not_null(m, "%s", said(b));
  PassOptions o = {.opt_level = 2, .threads = 2};
  PassHooks hooks = {.after = check_trip, .data = &t, .verify_each = true};
  cr_assert(passes_run(m, &o, NULL, NULL, &hooks), "%s", said(b));
  cr_assert_geq(t.passes, 8);
  bench_free(b);
}

Test(text, lenet_reads_back_after_every_pass) {
  check_model("lenet_fashion");
}

Test(text, resnet_reads_back_after_every_pass) {
  check_model("resnet_fashion");
}

Test(text, an_lstm_reads_back_after_every_pass) {
  check_model("lstm_tagger");
}

// ---- faults ----

#define G1 "ingot 1 graph\ngraph main(%x: f32[4]) {\n"

Test(text, faults_are_reported_where_they_are) {
  check_fails("", "must start with 'ingot 1'");
  check_fails("ingot 2 graph\n", "test.ing:1:7: error: format version 2");
  check_fails("ingot 1 graph\n", "no graph");
  check_fails(G1 "  %y: f32[4] = rleu(%x)\n  return %y\n}\n",
              "test.ing:3:16: error: unknown op 'rleu'; did you mean 'relu'?");
  check_fails(G1 "  %y: f32[4] = relu(%z)\n  return %y\n}\n", "test.ing:3:21: error: there is no value %z");
  check_fails(G1 "  %y: f32[5] = relu(%x)\n  return %y\n}\n", "%y is f32[5], but relu gives f32[4]");
  check_fails(G1 "  %y: f32[4] = relu(%x, %x)\n  return %y\n}\n", "takes 1 operands, not 2");
  check_fails(G1 "  %y: f32[4] = softmax(%x) axes=3\n  return %y\n}\n",
              "no attribute 'axes'; did you mean 'axis'?");
  check_fails(G1 "  %x: f32[4] = relu(%x)\n  return %x\n}\n", "declared twice");
  check_fails(G1 "  %y: f33[4] = relu(%x)\n  return %y\n}\n", "unknown element type 'f33'");
  check_fails(G1 "  %y: f32[4] = relu(%x)\n}\n", "ends without 'return'");
  check_fails(G1 "  %y: f32[99999999999999] = relu(%x)\n  return %y\n}\n", "too large");
  check_fails(G1 "  %y: f32[-4] = relu(%x)\n  return %y\n}\n", "negative extent");
  check_fails(G1 "  %y: f32[1,1,1,1,1,1,1,1,1] = relu(%x)\n  return %y\n}\n", "more than 8 dimensions");
  check_fails(G1 "  %y: f32[4] = const [1, 2]\n  return %y\n}\n", "has 4 elements, here are 2");
  check_fails(G1 "  %y: i8[1] = const [200]\n  return %y\n}\n", "does not fit i8");
  check_fails(G1 "  %y: f32[4] = const file(\"../x\", 0, 0x1)\n  return %y\n}\n",
              "leaves the model's folder");
  check_fails(G1 "  %y: f32[4] = const file(\"/no/such\", 0, 0x1)\n  return %y\n}\n", "No such file");
  check_fails(G1 "  %y: f32[T] = relu(%x)\n  return %y\n}\n", "unknown name 'T'");
  check_fails(G1 "  return %x\n}\n}\n", "'}' closes nothing");
  check_fails("ingot 1 graph\nsym T: 5..3\ngraph main() {\n  return\n}\n", "impossible range");
  check_fails("ingot 1 kernels\n"
              "graph main(%x: f32[4]) {\n  %y: f32[4] = kernel k(%x)\n  return %y\n}\n",
              "not written down");
}

Test(text, several_faults_in_one_go) {
  Bench *b = bench_new();
  cr_assert_null(parse(b, G1 "  %y: f32[4] = rleu(%x)\n  %z: f32[4] = relu(%y, )\n  %w: f32[4] = tahn(%z)\n"
                             "  return %w\n}\nnonsense\n"));
  cr_assert_eq(diag_errors(b->ctx->diag), 4, "%s", said(b));
  bench_free(b);
}

#define K1                                                                                                   \
  "ingot 1 kernels\ngraph main(%x: f32[4]) {\n  %y: f32[4] = kernel k(%x)\n  return %y\n}\nkernel k {\n"
#define L1                                                                                                   \
  "ingot 1 loops\ngraph main(%x: f32[4]) {\n  %y: f32[4] = kernel k(%x)\n  return %y\n}\nkernel k {\n"       \
  "  %y[i<4] = %x[i]\n  body {\n"

Test(text, the_verifier_sees_what_is_read) {
  check_fails(K1 "  %y[i<4] = %x[i + 1]\n}\n", "index 0 of %x, i + 1, is not known to lie in 0..4");
  check_fails(K1 "  %y[i<5] = %x[0]\n}\n", "dimension 0 of %y is 4");
  check_fails(K1 "  %y[i<4] = %x[i, i]\n}\n", "has 1 dimensions, not 2");
  check_fails(K1 "  %x[i<4] = 1.0\n}\n", "not this kernel's to write");
  check_fails(K1 "}\n", "computes nothing");
  check_fails(K1 "  %y[i<4] = sum(i<4) %x[i]\n}\n", "bound twice");
  check_fails(L1 "    for i<5 {\n      %y[i] = %x[i]\n    }\n  }\n}\n", "index 0 of %y");
  check_fails(L1 "    for i<4 {\n      %x[i] = 1.0\n    }\n  }\n}\n", "cannot be written here");
  check_fails(L1 "    for i<4 {\n      parallel j<4 {\n        %y[j] = 1.0\n      }\n    }\n  }\n}\n",
              "not outermost");
  check_fails(L1 "    for i<4 {\n      %y[i] = 1.0\n    }\n    %y[i] = 1.0\n  }\n}\n", "'i' is not in scope");
  check_fails(L1 "    alloc %t: f32[4] @scratch\n  }\n}\n",
              "does not lie inside the kernel's scratch memory");
}

// What is wrong with a dump is said of the dump's own lines, not of the model's that it was made from.
Test(text, faults_of_a_dump_have_its_lines) {
  static const struct {
    const char *text, *place;
  } cases[] = {
      {"graph main(%x: f32[2,3] loc(4:3)) {\n  %a: f32[2,4] = relu(%x) loc(7:5)\n  return y=%a\n}\n",
       ":4:3: error: %a is"},
      {"graph main(%x: f32[2,3] loc(4:3)) {\n  %w: f32[2] = const [1, 2] loc(8:1)\n"
       "  %a: f32[2,3] = add(%x, %w) loc(7:5)\n  return y=%a\n}\n",
       ":5:3: error: add"},
  };
  for (int i = 0; i < ARRAY_LEN(cases); i++) {
    Bench *b = bench_new();
    parse(b, arena_printf(b->arena, "ingot 1 graph\nsource \"model.yaml\"\n%s", cases[i].text));
    cr_expect(strstr(said(b), cases[i].place), "case %d: %s", i, said(b));
    cr_expect_not(strstr(said(b), "model.yaml"), "case %d: %s", i, said(b));
    bench_free(b);
  }
  const char *kernel =
      "ingot 1 loops\nsource \"model.yaml\"\ngraph main(%x: f32[4] loc(4:3)) {\n"
      "  %y: f32[4] = kernel k(%x) loc(7:5)\n  return y=%y\n}\nkernel k {\n  %y[i<4] = %x[i]\n  body {\n"
      "    for i<4 {\n      %y[i] = %x[i + 1] loc(8:1)\n    }\n  }\n}\n";
  Bench *b = bench_new();
  cr_expect_null(parse(b, kernel));
  cr_expect(strstr(said(b), ":11:7: error: index 0 of %x"), "%s", said(b));
  bench_free(b);
}

// An extent that a node finds out is known behind that node only.
Test(text, extents_are_found_before_they_are_used) {
  static const char node[] = "  %i: i64[1,M] = nonzero(%x) extent=[M]\n",
                    user[] = "  %y: f32[M] = broadcast(%s) shape=[M]\n";
  for (int order = 0; order < 3; order++) {
    char text[512];
    snprintf(
        text, sizeof text,
        "ingot 1 graph\nsym M: 0..4 data\ngraph main(%%x: f32[4], %%s: f32[]) {\n%s%s  return y=%%y\n}\n",
        order == 0 ? node : user,
        order == 0   ? user
        : order == 1 ? node
                     : "");
    Bench *b = bench_new();
    cr_expect_eq(parse(b, text) != NULL, order == 0, "order %d: %s", order, said(b));
    bench_free(b);
  }
}

Test(text, prefixes_of_a_text_never_crash) {
  const char *text = GRAPH "graph main(%x: f32[2,3] loc(4:3)) {\n"
                           "  %w: f32[3] = const [1, -2.5, inf] loc(6:1)\n"
                           "  %a: f32[2,3] = add(%x, %w) loc(7:5) from \"l (add)\"\n"
                           "  %b: f32[2,3] layout<0,1/8,1%8> @arena+64 = relu(%a)\n  return out=%b\n}\n";
  for (size_t n = 0; n < strlen(text); n++) {
    Bench *b = bench_new();
    char *cut = arena_strndup(b->arena, text, n);
    parse(b, cut);
    for (size_t i = 0; i < n; i += 7) { // and with one byte changed
      char *bad = arena_strdup(b->arena, text);
      bad[n] = (char)(' ' + (i * 31 + n) % 95);
      if (i < 21) parse(b, bad);
    }
    bench_free(b);
  }
}
