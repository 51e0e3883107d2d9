// plan_control.c: if and loop -> steps with bodies.
// SPDX-License-Identifier: Apache-2.0
//
// Branches copy their results to the node's; a loop's carried values live in the region's parameters, to which
// each iteration copies what the next one gets. Little kernels, made here, limit the number of iterations and
// store collected values.
#include "codegen/internal.h"

// ---- made values and kernels ------------------------------------------------------------------------------------

// Memory beyond what the memory plan gave out.
static Value *new_temp(Plan *p, const char *name, Type type) {
  Value *v = value_new(p->c, name, type, NO_LOC);
  v->space = SPACE_ARENA;
  v->offset = p->arena_bytes;
  p->arena_bytes = round_up(p->arena_bytes + type_bytes(&type), INGOT_ALIGN);
  return v;
}

static const Expr *read_scalar(Plan *p, Value *v) {
  const Expr *zero = ex_idx(p->c, 0);
  return ex_read(p->c, v, &zero, v->type.rank == 1 ? 1 : v->type.rank > 1 ? 1 : 0);
}

static Kernel *store_kernel(Plan *p, const char *name, Value *dst, const Expr *index, int nindex,
                            const Expr *value, const Var *loop) {
  Kernel *k = NEW(p->arena, Kernel);
  Stmt *s = NEW(p->arena, Stmt);
  s->kind = S_STORE;
  s->store.dst = dst;
  s->store.nindex = nindex;
  s->store.index = arena_dup(p->arena, &index, sizeof index);
  s->store.value = value;
  k->name = name;
  k->body = s;
  k->parallel = 1;
  k->schedule.kind = "serial";
  if (!loop) return k;
  Stmt *f = NEW(p->arena, Stmt);
  f->kind = S_FOR;
  f->loop.var = loop;
  f->loop.kind = LOOP_SERIAL;
  f->loop.body = s;
  k->body = f;
  return k;
}

// ---- if ---------------------------------------------------------------------------------------------------------

static struct ingot_range plan_branch(Plan *p, const Graph *g, Value *const *out, int nout) {
  StepList list = {0};
  plan_nodes(p, g, &list);
  for (int i = 0; i < nout; i++)
    if (g->outputs.data[i] != out[i]) plan_copy(p, g->outputs.data[i], out[i], &list);
  return plan_append(p, &list);
}

void plan_if(Plan *p, const Node *n, StepList *list) {
  PlannedStep s = plan_step(p, n, INGOT_STEP_IF, "if");
  for (int k = 0; k < 2; k++) s.step.body[k] = plan_branch(p, n->region[k], n->out, n->nout);
  plan_add_args(p, &s.step, n->in, 1, INGOT_ARG_READ);
  vec_push(p->arena, list, s);
}

// ---- loop -------------------------------------------------------------------------------------------------------

// The number of iterations where attribute `trips` limits it: min(trip, trips), computed before the loop.
static Value *limited_count(Plan *p, const Node *n, StepList *list) {
  const Attr *trips = node_attr(n, "trips");
  Value *trip = n->in[0];
  if (trips->n == 0) return trip;
  const Expr *count = dim_to_expr(p->c, trips->dims[0]);
  if (trip) count = ex_binary(p->c, E_MIN, read_scalar(p, trip), count);
  Value *v = new_temp(p, "trips", type_make(DT_I64, 0, NULL));
  Kernel *k = store_kernel(p, "trips", v, ex_idx(p->c, 0), 0, count, NULL);
  plan_kernel(p, k, NULL, &trip, trip != NULL, &v, 1, list);
  return v;
}

// Is `v` one of the region's carried parameters other than number k: overwritten before it is copied?
static bool is_other_param(const Graph *body, const Value *v, int k) {
  for (int i = 2; i < body->inputs.n; i++)
    if (body->inputs.data[i] == v && i != 2 + k) return true;
  return false;
}

// The next iteration's values. Those that stand in another parameter (a swap) go by way of temporary memory.
static void plan_carry(Plan *p, const Graph *body, int carried, StepList *list) {
  Value **from = NEW_ARRAY(p->arena, Value *, carried);
  for (int k = 0; k < carried; k++) {
    from[k] = body->outputs.data[1 + k];
    if (!is_other_param(body, from[k], k)) continue;
    Value *temp = new_temp(p, "carried", from[k]->type);
    plan_copy(p, from[k], temp, list);
    from[k] = temp;
  }
  for (int k = 0; k < carried; k++)
    if (from[k] != body->inputs.data[2 + k]) plan_copy(p, from[k], body->inputs.data[2 + k], list);
}

// all[iteration, ...] = one
static void plan_collect(Plan *p, Value *iteration, Value *one, Value *all, StepList *list) {
  const Expr *n = ex_idx(p->c, 1);
  for (int d = 0; d < one->type.rank; d++) n = ex_mul(p->c, n, dim_to_expr(p->c, one->type.dim[d]));
  const Var *i = var_new(p->c, "i", n);
  const Expr *at = ex_var(p->c, i);
  const Expr *to = ex_add(p->c, ex_mul(p->c, ex_read(p->c, iteration, NULL, 0), n), at);
  const Expr *value = one->type.rank ? ex_read(p->c, one, &at, 1) : ex_read(p->c, one, NULL, 0);
  Kernel *k = store_kernel(p, "collect", all, to, 1, value, i);
  plan_kernel(p, k, NULL, (Value *[]){iteration, one}, 2, &all, 1, list);
}

static int32_t count_symbol(const Node *n, int carried) {
  if (n->nout == carried) return -1;
  const Expr *e = n->out[carried]->type.dim[0].sym;
  return e && e->op == E_SYM && e->sym->data_dependent ? e->sym->index : -1;
}

void plan_loop(Plan *p, const Node *n, StepList *list) {
  const Graph *body = n->region[0];
  int carried = n->nin - 2;
  Value *cond = n->in[1], *number = body->inputs.data[0], *again = body->inputs.data[1];
  Value *count = limited_count(p, n, list);
  if (cond) plan_copy(p, cond, again, list);
  for (int k = 0; k < carried; k++) plan_copy(p, n->in[2 + k], body->inputs.data[2 + k], list);
  StepList inner = {0};
  plan_nodes(p, body, &inner);
  for (int k = carried; k < n->nout; k++)
    plan_collect(p, number, body->outputs.data[1 + k], n->out[k], &inner);
  if (cond && body->outputs.data[0] != again) plan_copy(p, body->outputs.data[0], again, &inner);
  plan_carry(p, body, carried, &inner);
  PlannedStep s = plan_step(p, n, INGOT_STEP_LOOP, "loop");
  s.step.body[0] = plan_append(p, &inner);
  s.step.trip.n = INT32_MAX;
  s.step.sym = count_symbol(n, carried);
  plan_add_args(p, &s.step, (Value *[]){count, cond ? again : NULL, number}, 3, INGOT_ARG_READ);
  vec_push(p->arena, list, s);
  for (int k = 0; k < carried; k++)
    if (n->out[k]) plan_copy(p, body->inputs.data[2 + k], n->out[k], list);
}
