// eval_control.c: evaluates the ops with bodies of their own, `if` and `loop`.
// SPDX-License-Identifier: Apache-2.0
#include "ir/eval.h"

static bool read_scalar(Eval *ev, const Value *v, int64_t *out) {
  Buffer *b = eval_buffer(ev, v);
  if (!b || b->elements < 1) {
    diag_error(ev->ctx->diag, v->loc, "evaluation: '%s' has no value", v->name);
    return false;
  }
  *out = scalar_cast(b->dtype, DT_I64, scalar_load(b->dtype, b->data)).i;
  return true;
}

static Buffer *copy_buffer(Eval *ev, const Buffer *b) {
  Buffer *copy = buffer_new(ev, b->dtype, b->dim, b->rank);
  size_t bytes = (size_t)b->elements * (size_t)dtype_bytes(b->dtype);
  if (copy && bytes) memcpy(copy->data, b->data, bytes);
  return copy;
}

static bool set_scalar(Eval *ev, const Value *v, int64_t x) {
  Buffer *b = buffer_new(ev, v->type.dtype, NULL, 0);
  if (!b) return false;
  scalar_store(b->dtype, b->data, (Scalar){.i = x});
  return eval_set(ev, v, b) != NULL;
}

// The values of a body's nodes hold for one iteration.
static void forget_body(Eval *ev, const Graph *g) {
  for (const Node *n = g->first; n; n = n->next)
    for (int i = 0; i < n->nout; i++) eval_drop(ev, n->out[i]);
}

static bool eval_if(Eval *ev, const Node *n) {
  int64_t cond;
  if (!read_scalar(ev, n->in[0], &cond)) return false;
  const Graph *g = n->region[cond ? 0 : 1];
  bool ok = eval_nodes(ev, g);
  for (int i = 0; ok && i < n->nout; i++) {
    Buffer *b = eval_buffer(ev, g->outputs.data[i]);
    ok = b && (b = copy_buffer(ev, b)) && eval_set(ev, n->out[i], b);
  }
  forget_body(ev, g);
  return ok;
}

// ---- loop ---------------------------------------------------------------------------------------------------------

typedef struct LoopRun {
  const Node *node;
  const Graph *body;
  int carried, collected;
  int64_t limit, done, cond;
  Vec(Buffer *) * rows; // of each collected value, one an iteration
} LoopRun;

static bool loop_start(Eval *ev, LoopRun *r) {
  const Node *n = r->node;
  r->limit = INT64_MAX;
  r->cond = 1;
  const Attr *trips = node_attr(n, "trips");
  if (trips->n && !eval_dim(ev, n->loc, trips->dims[0], &r->limit)) return false;
  if (n->in[0]) {
    int64_t trip;
    if (!read_scalar(ev, n->in[0], &trip)) return false;
    if (trip < r->limit) r->limit = trip;
  }
  if (n->in[1] && !read_scalar(ev, n->in[1], &r->cond)) return false;
  for (int i = 0; i < r->carried; i++) {
    Buffer *b = eval_buffer(ev, n->in[2 + i]);
    if (!b || !eval_set(ev, r->body->inputs.data[2 + i], copy_buffer(ev, b))) return false;
  }
  return true;
}

static bool loop_collect(Eval *ev, LoopRun *r) {
  for (int i = 0; i < r->collected; i++) {
    Buffer *b = eval_buffer(ev, r->body->outputs.data[1 + r->carried + i]);
    if (!b || !(b = copy_buffer(ev, b))) return false;
    vec_push(ev->ctx->arena, &r->rows[i], b);
  }
  return true;
}

// All results are copied before any parameter changes: they may be each other's.
static bool loop_carry(Eval *ev, LoopRun *r) {
  Buffer **next = NEW_ARRAY(ev->ctx->arena, Buffer *, r->carried);
  for (int i = 0; i < r->carried; i++) {
    Buffer *b = eval_buffer(ev, r->body->outputs.data[1 + i]);
    if (!b || !(next[i] = copy_buffer(ev, b))) return false;
  }
  if (r->node->in[1] && !read_scalar(ev, r->body->outputs.data[0], &r->cond)) return false;
  for (int i = 0; i < r->carried; i++) eval_set(ev, r->body->inputs.data[2 + i], next[i]);
  return true;
}

static bool loop_step(Eval *ev, LoopRun *r) {
  bool ok = set_scalar(ev, r->body->inputs.data[0], r->done) &&
            set_scalar(ev, r->body->inputs.data[1], r->cond) && eval_nodes(ev, r->body) &&
            loop_collect(ev, r) && loop_carry(ev, r);
  eval_drop(ev, r->body->inputs.data[0]);
  eval_drop(ev, r->body->inputs.data[1]);
  forget_body(ev, r->body);
  r->done++;
  return ok;
}

// Collected values, stacked along a new first dimension.
static bool loop_stack(Eval *ev, const LoopRun *r, int k) {
  const Value *v = r->node->out[r->carried + k];
  int64_t dims[MAX_RANK + 1] = {r->done};
  const Expr *extent = v->type.dim[0].sym;
  if (extent && extent->op == E_SYM) eval_bind(ev, extent->sym, r->done);
  for (int d = 1; d < v->type.rank; d++)
    if (!eval_dim(ev, v->loc, v->type.dim[d], &dims[d])) return false;
  Buffer *b = buffer_new(ev, v->type.dtype, dims, v->type.rank);
  if (!b) return false;
  size_t row = r->done ? (size_t)(b->elements / r->done) * (size_t)dtype_bytes(b->dtype) : 0;
  for (int64_t i = 0; row && i < r->done; i++)
    memcpy(b->data + (size_t)i * row, r->rows[k].data[i]->data, row);
  return eval_set(ev, v, b) != NULL;
}

static bool eval_loop(Eval *ev, const Node *n) {
  LoopRun r = {.node = n, .body = n->region[0], .carried = n->nin - 2};
  r.collected = r.body->outputs.n - 1 - r.carried;
  r.rows = arena_array(ev->ctx->arena, (size_t)r.collected, sizeof *r.rows);
  bool ok = loop_start(ev, &r);
  while (ok && r.done < r.limit && r.cond) ok = loop_step(ev, &r);
  for (int i = 0; ok && i < r.carried; i++) {
    Value *param = r.body->inputs.data[2 + i];
    ok = eval_set(ev, n->out[i], eval_buffer(ev, param)) != NULL;
    eval_drop(ev, param);
  }
  for (int i = 0; ok && i < r.collected; i++) ok = loop_stack(ev, &r, i);
  return ok;
}

bool eval_region_op(Eval *ev, const Node *n) {
  if (op_is(n, "if")) return eval_if(ev, n);
  if (op_is(n, "loop")) return eval_loop(ev, n);
  diag_error(ev->ctx->diag, n->loc, "internal: the evaluator does not know '%s'", n->op->name);
  return false;
}
