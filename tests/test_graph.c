// test_graph.c: graphs and the builder: checks against the op table, replacing, counting, copying.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static jmp_buf oom; // never set: running out of memory crashes the test

typedef struct Fixture {
  Ctx *ctx;
  Module *module;
  Graph *graph;
  Builder b;
  char *said;
  size_t said_n;
  FILE *out;
} Fixture;

static void start(Fixture *f) {
  Arena *a = arena_new(&oom);
  f->out = open_memstream(&f->said, &f->said_n);
  f->ctx = ctx_new(a, diag_new(a, f->out, false));
  f->module = module_new(f->ctx, "m");
  f->graph = f->module->main;
  f->b = builder_at(f->graph, NULL, NO_LOC);
}

// Whether what was reported contains the text.
static bool said(Fixture *f, const char *text) {
  fflush(f->out);
  return strstr(f->said, text) != NULL;
}

static Value *input(Fixture *f, const char *name, DType t, int64_t n) {
  return graph_input(f->graph, name, type_make(t, 1, &n), NO_LOC);
}

Test(graph, builds_nodes) {
  Fixture f;
  start(&f);
  Value *x = input(&f, "x", DT_F32, 4), *y = build(&f.b, "relu", IN(x), NO_ATTRS);
  cr_assert_not_null(y);
  cr_expect(y->def && y->def->graph == f.graph && y->def_index == 0);
  cr_expect_eq(f.graph->nnodes, 1);
  cr_expect(type_equal(&y->type, &x->type));
  Value *s = build(&f.b, "softmax", IN(y), ATTRS(A_INT("axis", 0)));
  cr_assert_not_null(s);
  cr_expect_eq(attr_int(s->def, "axis"), 0);
  cr_expect(f.graph->first == y->def && f.graph->last == s->def && y->def->next == s->def);
}

Test(graph, reports_what_does_not_fit) {
  Fixture f;
  start(&f);
  Value *x = input(&f, "x", DT_F32, 4), *i = input(&f, "i", DT_I32, 4), *y = input(&f, "y", DT_F32, 3);
  cr_expect_null(build(&f.b, "rellu", IN(x), NO_ATTRS));
  cr_expect(said(&f, "no op 'rellu'; did you mean 'relu'?"));
  cr_expect_null(build(&f.b, "add", IN(x), NO_ATTRS));
  cr_expect(said(&f, "operand 2 ('y') is missing"));
  cr_expect_null(build(&f.b, "relu", IN(x, x), NO_ATTRS));
  cr_expect(said(&f, "takes 1 operands, not 2"));
  cr_expect_null(build(&f.b, "exp", IN(i), NO_ATTRS));
  cr_expect(said(&f, "'x' must be of type float, not i32"));
  cr_expect_null(build(&f.b, "add", IN(x, i), NO_ATTRS));
  cr_expect(said(&f, "must have the same element type"));
  cr_expect_null(build(&f.b, "softmax", IN(x), ATTRS(A_INT("axes", 0))));
  cr_expect(said(&f, "no attribute 'axes'; did you mean 'axis'?"));
  cr_expect_null(build(&f.b, "softmax", IN(x), ATTRS(A_STRING("axis", "last"))));
  cr_expect(said(&f, "'axis' must be an integer, not a string"));
  cr_expect_null(build(&f.b, "topk", IN(x), NO_ATTRS));
  cr_expect(said(&f, "attribute 'k' (an integer) is missing"));
  cr_expect_null(build(&f.b, "add", IN(x, y), NO_ATTRS));
  cr_expect_eq(f.graph->nnodes, 0, "what does not fit is not built");
  cr_expect_eq(diag_errors(f.ctx->diag), 9);
}

Test(graph, attributes_are_copied_and_converted) {
  Fixture f;
  start(&f);
  Value *x = graph_input(f.graph, "x", type_make(DT_F32, 4, (int64_t[]){1, 2, 8, 8}), NO_LOC);
  Value *w = graph_input(f.graph, "w", type_make(DT_F32, 4, (int64_t[]){3, 2, 3, 3}), NO_LOC);
  int64_t stride[] = {2, 1};
  Value *y = build(&f.b, "conv", IN(x, w), ATTRS(A_INTS("stride", stride, 2)));
  cr_assert_not_null(y);
  stride[0] = 7; // the caller's memory is the caller's
  cr_expect_eq(node_attr(y->def, "stride")->ints[0], 2);
  cr_expect(node_attr(y->def, "stride")->given);
  cr_expect(!node_attr(y->def, "dilation")->given);
  Value *one = build(&f.b, "conv", IN(x, w), ATTRS(A_INT("stride", 2))); // one number for a list
  cr_assert_not_null(one);
  cr_expect_eq(node_attr(one->def, "stride")->n, 1);
  Value *l = build(&f.b, "leaky_relu", IN(x), ATTRS(A_INT("alpha", 2))); // an integer for a float
  cr_assert_not_null(l);
  cr_expect_eq(attr_float(l->def, "alpha"), 2.0);
}

Test(graph, replaces_values) {
  Fixture f;
  start(&f);
  Value *x = input(&f, "x", DT_F32, 4);
  Value *a = build(&f.b, "neg", IN(x), NO_ATTRS), *b = build(&f.b, "neg", IN(a), NO_ATTRS);
  Value *c = build(&f.b, "relu", IN(b), NO_ATTRS);
  graph_output(f.graph, "y", c);
  graph_output(f.graph, "z", b);
  value_replace(b, x);
  value_replace(c, b); // chains
  value_replace(x, x); // nothing
  graph_resolve(f.graph);
  cr_expect_eq(f.graph->outputs.data[0], x);
  cr_expect_eq(f.graph->outputs.data[1], x);
  cr_expect_eq(c->def->in[0], x);
  graph_count_uses(f.graph);
  cr_expect_eq(x->uses, 4); // neg, relu, two outputs
  cr_expect_eq(a->uses, 1);
  cr_expect_eq(b->uses, 0);
  node_remove(c->def);
  node_remove(b->def);
  cr_expect_eq(f.graph->nnodes, 1);
  cr_expect(f.graph->first == a->def && f.graph->last == a->def);
}

Test(graph, a_long_chain_of_replacements_is_linear) {
  Fixture f;
  start(&f);
  enum { N = 200000 };
  Value *x = input(&f, "x", DT_F32, 4), *first = x, *v = x;
  for (int i = 0; i < N; i++) {
    Value *w = value_new(f.ctx, NULL, x->type, NO_LOC);
    v->forward = w; // the worst order: each resolve would walk the whole chain
    v = w;
  }
  for (int i = 0; i < 1000; i++) cr_assert_eq(value_resolve(first), v);
}

Test(graph, moves_nodes) {
  Fixture f;
  start(&f);
  Value *x = input(&f, "x", DT_F32, 4);
  Node *a = build_node(&f.b, "neg", IN(x), NO_ATTRS), *b = build_node(&f.b, "relu", IN(x), NO_ATTRS);
  node_move_before(b, a);
  cr_expect(f.graph->first == b && b->next == a && a->prev == b && f.graph->last == a && !a->next);
  node_move_before(b, NULL);
  cr_expect(f.graph->first == a && f.graph->last == b);
  node_move_before(b, b);
  cr_expect(f.graph->first == a && f.graph->last == b);
  Builder before = builder_at(f.graph, b, NO_LOC);
  Node *c = build_node(&before, "abs", IN(x), NO_ATTRS);
  cr_expect(a->next == c && c->next == b && b->prev == c);
}

Test(graph, inherits_origins) {
  Fixture f;
  start(&f);
  Value *x = input(&f, "x", DT_F32, 4);
  Node *a = build_node(&f.b, "neg", IN(x), NO_ATTRS);
  a->loc.line = 7;
  a->out[0]->name = "act1";
  Builder b = builder_replacing(a, "some_pass");
  Node *n = build_node(&b, "relu", IN(x), NO_ATTRS);
  cr_expect_eq(n->loc.line, 7);
  cr_expect_str_eq(node_made_by(n), "some_pass");
  cr_assert_eq(n->origins.n, 1);
  cr_expect_str_eq(n->origins.data[0].name, "act1 (neg)");
  Builder again = builder_replacing(n, "later");
  Node *m = build_node(&again, "abs", IN(x), NO_ATTRS);
  cr_expect_str_eq(m->origins.data[0].name, "act1 (neg)", "the user's node, however often it was rewritten");
  cr_assert_eq(m->makers.n, 2);
  cr_expect_str_eq(m->makers.data[0], "some_pass");
  cr_expect_str_eq(node_made_by(m), "later");
  node_add_maker(m, "some_pass");
  cr_assert_eq(m->makers.n, 2, "each pass once");
  cr_expect_str_eq(node_made_by(m), "some_pass");
}

Test(graph, inlines_bodies) {
  Fixture f;
  start(&f);
  Value *x = input(&f, "x", DT_F32, 4);
  Graph *body = graph_new(f.module, "body", f.graph);
  Value *p = graph_input(body, "p", x->type, NO_LOC);
  Builder inside = builder_at(body, NULL, NO_LOC);
  Value *k = graph_const(body, "k", tensor_scalar(f.ctx, DT_F32, 2), NO_LOC);
  Value *v = build(&inside, "mul", IN(p, k), NO_ATTRS), *w = build(&inside, "add", IN(v, x), NO_ATTRS);
  graph_output(body, "w", w);
  graph_output(body, "p", p);
  Value *result[2];
  cr_assert(graph_inline(&f.b, body, &x, result));
  cr_expect_eq(f.graph->nnodes, 2);
  cr_expect_eq(result[1], x, "a parameter stands for its argument");
  Node *add = result[0]->def, *mul = add->in[0]->def;
  cr_expect(result[0] != w && add->graph == f.graph && mul->graph == f.graph);
  cr_expect_eq(add->in[1], x, "values from around stay");
  cr_expect_eq(mul->in[0], x);
  cr_expect(mul->in[1] != k && mul->in[1]->data == k->data);
  cr_expect_eq(f.graph->consts.n, 1);
  cr_expect_eq(body->nnodes, 2);
}

// Kernels name their values in expressions: these are renamed when the kernel's operands change.
Test(graph, kernels_follow_their_operands) {
  Fixture f;
  start(&f);
  Ctx *c = f.ctx;
  Value *x = input(&f, "x", DT_F32, 4), *z = input(&f, "z", DT_F32, 4),
        *y = value_new(c, "y", x->type, NO_LOC);
  const Var *i = var_new(c, "i", ex_idx(c, 4));
  const Expr *at = ex_var(c, i);
  Kernel *k = NEW(c->arena, Kernel);
  vec_push(c->arena, &k->stages, ((Stage){.out = y, .ndims = 1, .dims = &i, .value = ex_read(c, x, &at, 1)}));
  Node *n = build_kernel(&f.b, k, &x, 1, &y, 1);
  value_replace(x, z);
  graph_resolve(f.graph);
  cr_expect_eq(n->in[0], z);
  cr_expect_eq(n->kernel->stages.data[0].value, ex_read(c, z, &at, 1));
}
