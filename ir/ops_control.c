// ops_control.c: if and loop, whose bodies are graphs of their own.
// SPDX-License-Identifier: Apache-2.0
//
// A body may use values of the graphs around it. Their types are fixed: what a loop carries keeps its type from
// iteration to iteration, both branches of an if give the same types.
#include "ir/ops.h"

enum { MAX_TRIPS = INT32_MAX }; // of a loop whose bound nobody named

static int if_results(const Node *n) {
  return n->nregions == 2 ? n->region[0]->outputs.n : 0;
}

static bool if_infer(Ctx *c, Node *n) {
  if (n->nregions != 2) return op_fail(c, n, "needs two regions, then and else");
  const Graph *then = n->region[0], *otherwise = n->region[1];
  if (type_elements(in_type(n, 0)) != 1) return op_fail(c, n, "cond must have one element");
  if (then->inputs.n || otherwise->inputs.n) return op_fail(c, n, "the branches take no parameters");
  if (then->outputs.n != otherwise->outputs.n)
    return op_fail(c, n, "the branches have %d and %d results", then->outputs.n, otherwise->outputs.n);
  for (int k = 0; k < n->nout; k++) {
    const Type *a = &then->outputs.data[k]->type, *b = &otherwise->outputs.data[k]->type;
    if (!type_equal(a, b))
      return op_fail(c, n, "result %d is %s in one branch and %s in the other", k, type_text(c, a),
                     type_text(c, b));
    n->out[k]->type = *a;
  }
  return true;
}

static int loop_results(const Node *n) {
  return n->nregions == 1 && n->region[0]->outputs.n > 0 ? n->region[0]->outputs.n - 1 : 0;
}

static bool is_scalar(const Value *v, DType t) {
  return v->type.dtype == t && v->type.rank == 0;
}

static bool loop_body(Ctx *c, const Node *n, int carried) {
  const Graph *body = n->region[0];
  if (body->inputs.n != 2 + carried || body->outputs.n < 1 + carried)
    return op_fail(c, n, "the body has %d parameters and %d results, but %d values are carried",
                   body->inputs.n, body->outputs.n, carried);
  if (!is_scalar(body->inputs.data[0], DT_I64) || !is_scalar(body->inputs.data[1], DT_BOOL) ||
      !is_scalar(body->outputs.data[0], DT_BOOL))
    return op_fail(
        c, n,
        "the body takes the iteration (i64[]) and the condition (bool[]), and first gives the next "
        "condition");
  for (int k = 0; k < carried; k++) {
    const Type *in = in_type(n, 2 + k), *param = &body->inputs.data[2 + k]->type;
    const Type *out = &body->outputs.data[1 + k]->type;
    if (!type_equal(in, param) || !type_equal(in, out))
      return op_fail(c, n, "carried value %d changes its type: %s, in the body %s, after it %s", k,
                     type_text(c, in), type_text(c, param), type_text(c, out));
  }
  return true;
}

// How often the body runs: *bound at most; *exact if exactly so often.
static bool loop_trips(Ctx *c, const Node *n, Dim *bound, bool *exact) {
  const Attr *trips = node_attr(n, "trips");
  const Value *trip = op_in(n, 0), *cond = op_in(n, 1);
  *bound = dim_const(MAX_TRIPS);
  *exact = false;
  if ((trip && type_elements(&trip->type) != 1) || (cond && type_elements(&cond->type) != 1))
    return op_fail(c, n, "trip and cond must have one element");
  if (trips->n > 1 || (trips->n == 1 && trips->dims[0].n < 0))
    return op_fail(c, n, "trips must be one extent");
  if (trips->n) {
    *bound = trips->dims[0];
    *exact = !trip && !cond;
  }
  if (trip && trip->data) {
    int64_t count = tensor_get_int(trip->data, 0);
    if (count < 0) count = 0;
    *exact = !cond && (!trips->n || count <= bound->n);
    if (!trips->n || count < bound->n) *bound = dim_const(count);
  }
  return true;
}

static bool loop_infer(Ctx *c, Node *n) {
  if (n->nregions != 1) return op_fail(c, n, "needs one region, the body");
  int carried = n->nin - 2;
  Dim bound;
  bool exact;
  if (!loop_body(c, n, carried) || !loop_trips(c, n, &bound, &exact)) return false;
  for (int k = 0; k < carried; k++) n->out[k]->type = *in_type(n, 2 + k);
  if (n->nout > carried && bound.n == MAX_TRIPS)
    return op_fail(c, n,
                   "collects a value of every iteration, so `trips` must say how many there are at most");
  if (n->nout > carried && !exact && !op_data_extent(c, n, bound.n, &bound)) return false;
  for (int k = carried; k < n->nout; k++) {
    const Type *each = &n->region[0]->outputs.data[1 + k]->type;
    Dim out[MAX_RANK + 1] = {bound};
    memcpy(out + 1, each->dim, sizeof each->dim);
    if (!op_set_dtype(c, n, k, each->dtype, each->rank + 1, out)) return false;
  }
  return true;
}

const OpInfo OPS_CONTROL[] = {
    {.name = "if",
     .group = "control",
     .ins = "cond:bool",
     .outs = "any*",
     .infer = if_infer,
     .results = if_results,
     .flags = OP_REGION,
     .doc = "The results of the first region if cond holds, else those of the second. The branches take no "
            "parameters; they may use values from around."},
    {.name = "loop",
     .group = "control",
     .ins = "trip:i64?, cond:bool?, carried:any*",
     .outs = "any*",
     .attrs = "trips:shape=[], extent:shape=[]",
     .infer = loop_infer,
     .results = loop_results,
     .flags = OP_REGION,
     .doc = "Runs its region as long as fewer than trip (and `trips`) iterations are done and the condition "
            "holds; "
            "without cond the condition is ignored. The region takes the number of the iteration, the "
            "condition and "
            "the carried values, and gives the next condition, the next carried values, and any number of "
            "values "
            "that are collected. Results: the carried values at the end, then each collected value with a "
            "new first "
            "dimension for the iterations: `trips` if there are neither trip nor cond, else the symbol "
            "`extent`."},
    {0},
};
