// onnx_ops_control.c: If, Loop and Scan.
// SPDX-License-Identifier: Apache-2.0
//
// A branch whose condition is known is translated in place. A loop whose number of iterations is known is
// unrolled if it must be (sequences, types that change) or if that is short; else it becomes a core loop.
#include "frontend/onnx_import.h"
#include "frontend/onnx_scope.h"

enum { UNROLL_ANYWAY = 16 }; // loops up to this many iterations

static const OnnxGraph *body_of(Call *c, const char *name) {
  const OnnxAttr *a = attr_find(c, name, ONNX_ATTR_GRAPH);
  if (!a || !a->g) call_fail(c, "its subgraph '%s' is missing", name);
  return a ? a->g : NULL;
}

// A region of the builder's graph, into which nodes go until it ends.
typedef struct Region {
  Graph *graph;
  Builder outer;
} Region;

static Region region_begin(Call *c, const char *name) {
  Import *im = c->im;
  Region r = {.graph = graph_new(im->module, name, im->b.graph), .outer = im->b};
  im->b = builder_at(r.graph, NULL, c->loc);
  return r;
}

static void region_end(Call *c, const Region *r) {
  c->im->b = r->outer;
}

// The outputs of a subgraph as those of a region; only tensors can leave it.
static bool region_outputs(Call *c, Graph *region, Val *const *outs, int from, int to) {
  for (int i = from; i < to; i++) {
    if (outs[i]->kind != VAL_TENSOR)
      return call_fail(c, "only tensors can leave a branch or loop that is not known");
    graph_output(region, outs[i]->name, outs[i]->v);
  }
  return true;
}

// Are all operands from the first one on there?
static bool all_there(Call *c, int first) {
  for (int k = first; k < c->nin; k++) {
    if (!c->in[k] || c->in[k]->kind == VAL_ABSENT) return call_fail(c, "operand %d is missing", k);
  }
  return true;
}

static Value *scalar(Call *c, Value *v) {
  return rank_of(v) == 0 ? v : make_reshape(c, v, NULL, 0);
}

// ---- If ---------------------------------------------------------------------------------------------------------

// A result of both branches where their shapes differ: each branch gives it as large as the larger one, and its
// extents; afterwards it is cut to them.
typedef struct Uneven {
  bool any, at[MAX_RANK]; // in which dimensions
  Dim most[MAX_RANK];
} Uneven;

static bool compare_results(Call *c, const Val *const *v, Uneven *u) {
  if (v[0]->kind != VAL_TENSOR || v[1]->kind != VAL_TENSOR)
    return call_fail(c, "only tensors can leave a branch that is not known");
  const Type *t[] = {&v[0]->v->type, &v[1]->v->type};
  if (t[0]->dtype != t[1]->dtype || t[0]->rank != t[1]->rank)
    return call_fail(c, "'%s' is %s in one branch and %s in the other", v[0]->name,
                     type_text(call_ctx(c), t[0]), type_text(call_ctx(c), t[1]));
  for (int d = 0; d < t[0]->rank; d++) {
    u->at[d] = !dim_equal(t[0]->dim[d], t[1]->dim[d]);
    u->any |= u->at[d];
    u->most[d] = u->at[d] ? dim_const(t[0]->dim[d].n > t[1]->dim[d].n ? t[0]->dim[d].n : t[1]->dim[d].n)
                          : t[0]->dim[d];
  }
  return true;
}

// v with the larger extents; what is beyond its own is never looked at.
static Value *enlarge(Call *c, Value *v, const Uneven *u) {
  int rank = rank_of(v);
  int64_t pads[2 * MAX_RANK] = {0};
  for (int d = 0; d < rank; d++) {
    if (u->at[d] && v->type.dim[d].sym)
      v = make(c, "gather", IN(v, positions(c, u->most[d], 0, 0)), ATTRS(A_INT("axis", d)));
    pads[rank + d] = u->at[d] ? u->most[d].n - v->type.dim[d].n : 0;
  }
  return make(c, "pad", IN(v, NULL), ATTRS(A_INTS("pads", pads, 2 * rank)));
}

// The first rows along each uneven dimension, as many as `extents` says.
static Value *cut(Call *c, Value *v, Value *extents, const Uneven *u) {
  for (int d = 0; d < rank_of(v); d++) {
    if (!u->at[d]) continue;
    Value *within =
        make_binary(c, "less", positions(c, u->most[d], 0, 0), make_slice(c, extents, 0, d, d + 1));
    v = make(c, "compress", IN(v, within), ATTRS(A_INT("axis", d)));
  }
  return v;
}

static Graph *branch(Call *c, const OnnxGraph *g, Val **outs) {
  Region r = region_begin(c, g->name);
  bool ok = import_inline(c, g, NULL, 0, outs);
  region_end(c, &r);
  return ok ? r.graph : NULL;
}

// The outputs of a branch's region: its results, then the extents of uneven ones.
static void branch_outputs(Call *c, Graph *region, Val *const *outs, const Uneven *u) {
  Builder outer = c->im->b;
  c->im->b = builder_at(region, NULL, c->loc);
  for (int i = 0; i < c->nout; i++)
    graph_output(region, outs[i]->name, u[i].any ? enlarge(c, outs[i]->v, &u[i]) : outs[i]->v);
  for (int i = 0; i < c->nout; i++) {
    const Type *t = &outs[i]->v->type;
    if (!u[i].any) continue;
    Value *extents = make(c, "extents", NULL, 0, ATTRS(A_SHAPE("of", t->dim, t->rank)));
    graph_output(region, arena_printf(call_arena(c), "%s_extents", outs[i]->name), extents);
  }
  c->im->b = outer;
}

static bool unknown_if(Call *c, Value *cond, const OnnxGraph *const *g) {
  Uneven *u = NEW_ARRAY(call_arena(c), Uneven, c->nout + 1);
  Graph *regions[2];
  Val **outs[2];
  for (int i = 0; i < 2; i++) {
    outs[i] = NEW_ARRAY(call_arena(c), Val *, c->nout + 1);
    if (!(regions[i] = branch(c, g[i], outs[i]))) return false;
  }
  for (int k = 0; k < c->nout; k++) {
    if (!compare_results(c, (const Val *const[]){outs[0][k], outs[1][k]}, &u[k])) return false;
  }
  for (int i = 0; i < 2; i++) branch_outputs(c, regions[i], outs[i], u);
  if (c->failed) return false;
  Node *n = build_region_node(&c->im->b, "if", IN(scalar(c, cond)), NO_ATTRS, regions, 2);
  if (!n) return c->failed = true, false;
  for (int k = 0, extra = c->nout; k < c->nout; k++) {
    Value *v = u[k].any ? cut(c, n->out[k], n->out[extra++], &u[k]) : n->out[k];
    ret_as(c, k, v, outs[0][k]->elem);
  }
  return !c->failed;
}

static bool if_op(Call *c) {
  Value *cond = arg(c, 0);
  const OnnxGraph *g[] = {body_of(c, "then_branch"), body_of(c, "else_branch")};
  if (c->failed) return false;
  if (g[0]->nout != c->nout || g[1]->nout != c->nout)
    return call_fail(c, "its branches have other numbers of outputs");
  if (!cond->data || type_elements(&cond->type) != 1) return unknown_if(c, cond, g);
  Val **outs = NEW_ARRAY(call_arena(c), Val *, c->nout + 1);
  if (!import_inline(c, g[tensor_get_int(cond->data, 0) ? 0 : 1], NULL, 0, outs)) return false;
  for (int i = 0; i < c->nout; i++) ret_val(c, i, outs[i]);
  return !c->failed;
}

// ---- loops, however they are written ------------------------------------------------------------------------------

// A loop under translation. The body is called with whatever `args` makes of an iteration's number and the
// carried values.
typedef struct Looping {
  Call *c;
  const OnnxGraph *body;
  int ncarried, ncollected;
  Val **carried;
  bool has_condition; // the body's first output says whether to go on
  // Makes the body's arguments from the iteration (i64 scalar), the condition and the carried values.
  int (*args)(struct Looping *l, Value *iteration, Value *cond, Val *const *carried, Val **args);
  int nscanned; // Scan
} Looping;

typedef struct Collected {
  Vec(Value *) each; // of one result: its value in every iteration
  int32_t elem;
} Collected;

static Value *unsqueeze_first(Call *c, Value *v) {
  int64_t zero[] = {0};
  return make(c, "unsqueeze", IN(v), ATTRS(A_INTS("axes", zero, 1)));
}

// The collected values along a new first dimension.
static Value *stacked(Call *c, const Collected *k) {
  Value **v = NEW_ARRAY(call_arena(c), Value *, k->each.n + 1);
  for (int i = 0; i < k->each.n; i++) v[i] = unsqueeze_first(c, k->each.data[i]);
  return make_concat(c, v, k->each.n, 0);
}

// Runs the body once per iteration. *unknown: it cannot be done so, since the condition is not known or there is no
// iteration; nothing is set then.
static bool unroll(Looping *l, int64_t trips, Value *cond, Value **out, int32_t *elems, bool *unknown) {
  Call *c = l->c;
  Arena *a = call_arena(c);
  int first = l->has_condition ? 1 : 0, nouts = first + l->ncarried + l->ncollected;
  Collected *collected = NEW_ARRAY(a, Collected, l->ncollected + 1);
  Val **outs = NEW_ARRAY(a, Val *, nouts + 1), **args = NEW_ARRAY(a, Val *, l->body->nin + 2);
  for (int64_t i = 0; i < trips; i++) {
    if (cond && !tensor_get_int(cond->data, 0)) break;
    int n = l->args(l, make_scalar(c, DT_I64, (double)i), cond ? cond : make_scalar(c, DT_BOOL, 1),
                    l->carried, args);
    if (!import_inline(c, l->body, args, n, outs)) return false;
    if (l->has_condition) {
      cond = outs[0]->v;
      if (outs[0]->kind != VAL_TENSOR || !cond->data) return *unknown = true;
    }
    for (int k = 0; k < l->ncarried; k++) l->carried[k] = outs[first + k];
    for (int k = 0; k < l->ncollected; k++) {
      Val *v = outs[first + l->ncarried + k];
      if (v->kind != VAL_TENSOR) return call_fail(c, "only tensors can be collected");
      vec_push(a, &collected[k].each, v->v);
      collected[k].elem = v->elem;
    }
  }
  for (int k = 0; k < l->ncollected; k++) {
    if (collected[k].each.n == 0) return *unknown = true; // of what shape is for the core loop to find out
    out[k] = stacked(c, &collected[k]);
    elems[k] = collected[k].elem;
  }
  return !c->failed;
}

static Value *region_input(Graph *g, const char *name, DType t, Loc loc) {
  return graph_input(g, name, (Type){.dtype = t}, loc);
}

// Does the body go on whatever happens?
static bool never_stops(const Val *next, const Value *going, const Value *cond) {
  if (next->kind != VAL_TENSOR || (cond && !(cond->data && tensor_get_int(cond->data, 0)))) return false;
  return next->v == going || (next->v->data && tensor_get_int(next->v->data, 0));
}

// A core loop around the body. trip and cond may be NULL; `trips` bounds their number (NULL: unbounded), and is it
// if `exact`.
static bool roll(Looping *l, Value *trip, Value *cond, const Dim *trips, bool exact, Value **out,
                 int32_t *elems) {
  Call *c = l->c;
  Arena *a = call_arena(c);
  int first = l->has_condition ? 1 : 0, n = l->ncarried, nouts = first + n + l->ncollected;
  Val **outs = NEW_ARRAY(a, Val *, nouts + 1), **args = NEW_ARRAY(a, Val *, l->body->nin + 2);
  Val **inner = NEW_ARRAY(a, Val *, n + 1);
  Value **in = NEW_ARRAY(a, Value *, n + 3);
  in[0] = trip ? scalar(c, trip) : NULL;
  in[1] = cond ? scalar(c, cond) : NULL;
  Region r = region_begin(c, l->body->name);
  Value *iteration = region_input(r.graph, "iteration", DT_I64, c->loc);
  Value *going = region_input(r.graph, "going", DT_BOOL, c->loc);
  for (int k = 0; k < n; k++) {
    if (l->carried[k]->kind != VAL_TENSOR)
      call_fail(c, "a sequence in a loop of unknown length is not supported");
    if (c->failed) break;
    in[2 + k] = l->carried[k]->v;
    Value *v = graph_input(r.graph, l->carried[k]->name, in[2 + k]->type, c->loc);
    inner[k] = val_tensor(c->im, l->carried[k]->name, v, l->carried[k]->elem);
  }
  bool ok = !c->failed && import_inline(c, l->body, args, l->args(l, iteration, going, inner, args), outs);
  if (ok && first) ok = region_outputs(c, r.graph, outs, 0, 1);
  if (ok && !first) graph_output(r.graph, "going", make_scalar(c, DT_BOOL, 1));
  ok = ok && region_outputs(c, r.graph, outs, first, nouts);
  region_end(c, &r);
  if (ok && first && never_stops(outs[0], going, cond)) in[1] = NULL;
  if (exact && !in[1]) in[0] = NULL;
  if (!ok) return false;
  Attr bound = A_SHAPE("trips", trips, 1);
  Node *node = build_region_node(&c->im->b, "loop", in, n + 2, &bound, trips ? 1 : 0, &r.graph, 1);
  if (!node) return c->failed = true, false;
  for (int k = 0; k < n; k++)
    l->carried[k] = val_tensor(c->im, l->carried[k]->name, node->out[k], l->carried[k]->elem);
  for (int k = 0; k < l->ncollected; k++) {
    out[k] = node->out[n + k];
    elems[k] = outs[first + n + k]->elem;
  }
  return true;
}

static bool carries_sequences(const Looping *l) {
  for (int k = 0; k < l->ncarried; k++) {
    if (l->carried[k]->kind != VAL_TENSOR) return true;
  }
  return false;
}

// ---- Loop -------------------------------------------------------------------------------------------------------

static int loop_args(Looping *l, Value *iteration, Value *cond, Val *const *carried, Val **args) {
  Import *im = l->c->im;
  args[0] = val_tensor(im, "", iteration, ONNX_INT64);
  args[1] = val_tensor(im, "", cond, ONNX_BOOL);
  for (int k = 0; k < l->ncarried; k++) args[2 + k] = carried[k];
  return 2 + l->ncarried;
}

// How often a loop runs at most, where that can be said; *exact: so often unless it stops by itself.
static bool loop_bound(Looping *l, const Value *trip, const Value *cond, Dim *bound, bool *exact) {
  Call *c = l->c;
  Ctx *x = call_ctx(c);
  const Expr *const *known = trip && type_elements(&trip->type) == 1 ? known_contents(c->im, trip) : NULL;
  *bound = dim_const(0);
  *exact = true;
  if (cond && cond->data && !tensor_get_int(cond->data, 0)) return true;
  if (known) {
    *bound = dim_expr(x, ex_binary(x, E_MAX, known_extent(c->im, known[0]), ex_idx(x, 0)));
    return true;
  }
  *exact = false;
  for (int k = l->ncarried; k < c->nout; k++) { // what the user says of an output's first dimension
    const char *name = declared_dim(c->im, c->node->out[k], 0);
    int64_t most;
    if (!name || !given_bound(c->im, name, &most)) continue;
    *bound = dim_const(most);
    return true;
  }
  return false;
}

// The loop cannot be unrolled.
static bool rolled_loop(Looping *l, Value *trip, Value *cond, Value **out, int32_t *elems) {
  Call *c = l->c;
  Dim bound;
  bool exact, bounded = loop_bound(l, trip, cond, &bound, &exact);
  if (!bounded && l->ncollected > 0) {
    const char *name = c->nout > l->ncarried ? declared_dim(c->im, c->node->out[l->ncarried], 0) : NULL;
    call_fail(c, "how often it runs, and so how much it collects, is not known");
    if (name) diag_note(call_ctx(c)->diag, c->loc, "say how often at most with --dim '%s<=BOUND'", name);
    return false;
  }
  return roll(l, trip, cond, bounded ? &bound : NULL, exact, out, elems);
}

static bool loop(Call *c) {
  const OnnxGraph *body = body_of(c, "body");
  Looping l = {.c = c,
               .body = body,
               .ncarried = c->nin > 2 ? c->nin - 2 : 0,
               .has_condition = true,
               .args = loop_args};
  if (c->failed || !all_there(c, 2)) return false;
  if (body->nin != 2 + l.ncarried || body->nout < 1 + l.ncarried)
    return call_fail(c, "its body does not fit it");
  l.ncollected = (int)body->nout - 1 - l.ncarried;
  if (c->nout > l.ncarried + l.ncollected) return call_fail(c, "it has more outputs than its body");
  l.carried = NEW_ARRAY(call_arena(c), Val *, l.ncarried + 1);
  for (int k = 0; k < l.ncarried; k++) l.carried[k] = c->in[2 + k];
  Value *trip = arg_opt(c, 0), *cond = arg_opt(c, 1);
  Value **out = NEW_ARRAY(call_arena(c), Value *, l.ncollected + 1);
  int32_t *elems = NEW_ARRAY(call_arena(c), int32_t, l.ncollected + 1);
  bool fixed = (!cond || cond->data) && (!trip || trip->data), unknown = false, must = carries_sequences(&l);
  int64_t trips = trip && trip->data ? tensor_get_int(trip->data, 0) : ONNX_UNROLL_MAX;
  bool unrolled = fixed && trips <= (must ? ONNX_UNROLL_MAX : UNROLL_ANYWAY);
  Val **carried = arena_dup(call_arena(c), l.carried, (size_t)(l.ncarried + 1) * sizeof *carried);
  if (unrolled && !unroll(&l, trips, cond, out, elems, &unknown)) return false;
  if (!unrolled || unknown) {
    l.carried = carried; // as they were before unrolling was tried
    if (!rolled_loop(&l, trip, cond, out, elems)) return false;
  }
  for (int k = 0; k < l.ncarried; k++) ret_val(c, k, l.carried[k]);
  for (int k = 0; k < l.ncollected; k++) ret_as(c, l.ncarried + k, out[k], elems[k]);
  return !c->failed;
}

// ---- Scan -------------------------------------------------------------------------------------------------------

static int64_t list_at(Call *c, const char *name, int i) {
  const int64_t *v;
  int n = attr_is(c, name, &v);
  return i < n ? v[i] : 0;
}

// The slice of scanned operand k (of the node) at an iteration; directions of 1 run backwards.
static Value *scanned(Call *c, Value *x, int k, Value *iteration) {
  int axis = axis_of(c, list_at(c, "scan_input_axes", k), rank_of(x));
  if (list_at(c, "scan_input_directions", k)) {
    Attr of = A_SHAPE("of", &x->type.dim[axis], 1);
    Value *last = scalar(c, make(c, "extents", NULL, 0, &of, 1));
    last = make_binary(c, "sub", last, make_scalar(c, DT_I64, 1));
    iteration = make_binary(c, "sub", last, iteration);
  }
  return make(c, "gather", IN(x, iteration), ATTRS(A_INT("axis", axis)));
}

static int scan_args(Looping *l, Value *iteration, Value *cond, Val *const *carried, Val **args) {
  Call *c = l->c;
  (void)cond;
  for (int k = 0; k < l->ncarried; k++) args[k] = carried[k];
  for (int k = 0; k < l->nscanned; k++) {
    int at = c->nin - l->nscanned + k;
    args[l->ncarried + k] = val_tensor(c->im, "", scanned(c, arg(c, at), k, iteration), arg_elem(c, at));
  }
  return l->ncarried + l->nscanned;
}

// Brings what was collected along dimension 0 to its axis and direction.
static Value *place(Call *c, Value *v, int k) {
  int64_t first[] = {0}, perm[MAX_RANK];
  int axis = axis_of(c, list_at(c, "scan_output_axes", k), rank_of(v));
  if (list_at(c, "scan_output_directions", k)) v = make(c, "flip", IN(v), ATTRS(A_INTS("axes", first, 1)));
  if (axis == 0) return v;
  for (int d = 0; d < rank_of(v); d++) perm[d] = d < axis ? d + 1 : d == axis ? 0 : d;
  return make_transpose(c, v, perm);
}

static bool scan_over(Call *c, int offset) {
  const OnnxGraph *body = body_of(c, "body");
  int nscanned = (int)attr_i(c, "num_scan_inputs", 0), n = c->nin - offset;
  if (c->failed || !all_there(c, offset)) return false;
  if (nscanned < 1 || nscanned > n || body->nin != n || body->nout < n - nscanned) {
    return call_fail(c, "its body does not fit it");
  }
  Looping l = {.c = c, .body = body, .ncarried = n - nscanned, .nscanned = nscanned, .args = scan_args};
  l.ncollected = (int)body->nout - l.ncarried;
  l.carried = NEW_ARRAY(call_arena(c), Val *, l.ncarried + 1);
  for (int k = 0; k < l.ncarried; k++) l.carried[k] = c->in[offset + k];
  Value *x = arg(c, c->nin - nscanned);
  Value **out = NEW_ARRAY(call_arena(c), Value *, l.ncollected + 1);
  int32_t *elems = NEW_ARRAY(call_arena(c), int32_t, l.ncollected + 1);
  Dim trips = dim_of(x, axis_of(c, list_at(c, "scan_input_axes", 0), rank_of(x)));
  bool unknown = false, ok, short_one = !trips.sym && trips.n > 0 && trips.n <= UNROLL_ANYWAY;
  if (c->failed) return false;
  if (short_one) {
    ok = unroll(&l, trips.n, NULL, out, elems, &unknown);
  } else {
    ok = roll(&l, NULL, NULL, &trips, true, out, elems);
  }
  for (int k = 0; ok && k < l.ncarried; k++) ret_val(c, k, l.carried[k]);
  for (int k = 0; ok && k < l.ncollected; k++) ret_as(c, l.ncarried + k, place(c, out[k], k), elems[k]);
  return ok && !c->failed;
}

// Operator set 8 had sequence lengths and a batch dimension in front: each batch element is scanned alone.
static bool scan_batches(Call *c) {
  if (has_arg(c, 0)) return call_fail(c, "sequence lengths are not supported");
  Value *x = arg(c, 1);
  Dim batch = dim_of(x, 0);
  if (c->failed || batch.sym || batch.n < 1) return call_fail(c, "its batch must be known");
  Val **whole = c->in, ***results = NEW_ARRAY(call_arena(c), Val **, batch.n);
  for (int k = 1; k < c->nin; k++) arg(c, k); // must be tensors
  if (c->failed) return false;
  for (int64_t b = 0; b < batch.n; b++) {
    c->in = NEW_ARRAY(call_arena(c), Val *, c->nin + 1);
    c->out = NEW_ARRAY(call_arena(c), Val *, c->nout + 1);
    for (int k = 1; k < c->nin; k++) {
      Value *one =
          make(c, "gather", IN(whole[k]->v, make_scalar(c, DT_I64, (double)b)), ATTRS(A_INT("axis", 0)));
      c->in[k] = val_tensor(c->im, whole[k]->name, one, whole[k]->elem);
    }
    results[b] = c->out;
    if (!scan_over(c, 1)) return false;
  }
  Value **parts = NEW_ARRAY(call_arena(c), Value *, batch.n);
  for (int k = 0; k < c->nout; k++) {
    if (batch.n > 0 && !results[0][k]) return call_fail(c, "it has more outputs than its body");
    for (int64_t b = 0; b < batch.n; b++) parts[b] = unsqueeze_first(c, results[b][k]->v);
    ret_as(c, k, make_concat(c, parts, (int)batch.n, 0), results[0][k]->elem);
  }
  return !c->failed;
}

static bool scan(Call *c) {
  return c->version < 9 ? scan_batches(c) : scan_over(c, 0);
}

const OnnxOp ONNX_OPS_CONTROL[] = {
    {"", "If", if_op, NULL},
    {"", "Loop", loop, NULL},
    {"", "Scan", scan, NULL},
    {0},
};
