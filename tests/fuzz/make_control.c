// make_control.c: branches and loops.
// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz.h"

// A chain of ops on x that keeps its type, in the graph of the builder.
static Value *body_chain(Gen *g, Builder *b, Value *x) {
  static const char *const unary[] = {"neg", "abs", "relu", "square"}, *const binary[] = {"add", "sub", "mul",
                                                                                          "min", "max"};
  bool sgn = x->type.dtype != DT_BOOL;
  for (int64_t n = rng_range(&g->rng, 0, 3); n > 0 && x && sgn; n--) {
    Value *other = rng_chance(&g->rng, 50) ? gen_shaped(g, "u", &x->type) : x;
    x = rng_chance(&g->rng, 40) ? build(b, rng_pick(&g->rng, unary), IN(x), NO_ATTRS)
                                : build(b, rng_pick(&g->rng, binary), IN(x, other), NO_ATTRS);
  }
  return x;
}

static void add_results(Gen *g, Node *n) {
  g->made++;
  for (int k = 0; k < n->nout; k++) {
    n->out[k]->name = arena_printf(g->c->arena, "v%d", g->serial++);
    vec_push(g->c->arena, &g->pool, n->out[k]);
  }
}

static Node *make_if(Gen *g, const Op *op) {
  Type scalar = type_make(DT_BOOL, 0, NULL);
  Value *cond = gen_leaf(g, "n", &scalar), *x = gen_operand(g, op_find(g->c, "add"), "T", 0, 4);
  Graph *region[2];
  for (int i = 0; i < 2; i++) {
    region[i] = graph_new(g->graph->module, i ? "else" : "then", g->graph);
    Builder b = builder_at(region[i], NULL, NO_LOC);
    Value *y = body_chain(g, &b, x);
    if (!y) return NULL;
    graph_output(region[i], NULL, y);
  }
  Node *n = build_region_node(&g->builder, op->name, IN(cond), NO_ATTRS, region, 2);
  if (n) add_results(g, n);
  return n;
}

// for (i = 0; i < trips; i++) x = f(x), and perhaps x is collected.
static Node *make_loop(Gen *g, const Op *op) {
  Value *x = gen_operand(g, op_find(g->c, "add"), "T", 0, 3);
  int64_t trips = rng_range(&g->rng, 0, 4);
  Graph *body = graph_new(g->graph->module, "body", g->graph);
  Builder b = builder_at(body, NULL, NO_LOC);
  graph_input(body, arena_printf(g->c->arena, "trip%d", g->serial++), type_make(DT_I64, 0, NULL), NO_LOC);
  Value *cond = graph_input(body, arena_printf(g->c->arena, "cond%d", g->serial++),
                            type_make(DT_BOOL, 0, NULL), NO_LOC);
  Value *carried = graph_input(body, arena_printf(g->c->arena, "carried%d", g->serial++), x->type, NO_LOC);
  Value *y = body_chain(g, &b, carried);
  if (!y) return NULL;
  graph_output(body, NULL, cond);
  graph_output(body, NULL, y);
  if (rng_chance(&g->rng, 50) && x->type.rank < MAX_RANK) graph_output(body, NULL, carried);
  Type scalar = type_make(DT_I64, 0, NULL);
  Value *trip = rng_chance(&g->rng, 40) ? gen_leaf(g, "j4_", &scalar) : NULL;
  Dim bound = dim_const(trip ? 4 : trips);
  Node *n = build_region_node(&g->builder, op->name, IN(trip, NULL, x), ATTRS(A_SHAPE("trips", &bound, 1)),
                              &body, 1);
  if (n) add_results(g, n);
  return n;
}

const Maker MAKERS_CONTROL[] = {{"if", 2, make_if}, {"loop", 2, make_loop}, {0}};
