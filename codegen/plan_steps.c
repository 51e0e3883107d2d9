// plan_steps.c: nodes -> steps: kernels, routines, copies.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

static const char *origins_text(Plan *p, const Node *n) {
  Str s = {.arena = p->arena};
  for (int i = 0; i < n->origins.n; i++) str_printf(&s, "%s%s", i ? ", " : "", n->origins.data[i].name);
  return str_text(&s);
}

// Names are unique in the model: steps of special forms have the form's behind their own.
PlannedStep plan_step(Plan *p, const Node *n, int32_t kind, const char *name) {
  if (p->at && name) name = arena_printf(p->arena, "%s@%s", name, plan_special_name(p, p->at));
  return (PlannedStep){.node = n,
                       .step = {.kind = kind,
                                .trip = {.n = 1, .sym = -1},
                                .grain = 1,
                                .sym = -1,
                                .name = name ? name : "",
                                .source = n ? origins_text(p, n) : ""}};
}

struct ingot_range plan_append(Plan *p, const StepList *list) {
  struct ingot_range r = {p->steps.n, list->n};
  for (int i = 0; i < list->n; i++) {
    vec_push(p->arena, &p->steps, list->data[i].step);
    vec_push(p->arena, &p->step_unit, list->data[i].unit);
    vec_push(p->arena, &p->step_node, list->data[i].node);
    vec_push(p->arena, &p->step_routine, list->data[i].routine);
  }
  return r;
}

// ---- kernels --------------------------------------------------------------------------------------------------

static struct ingot_dim trip_of(Plan *p, const Kernel *k) {
  const Stmt *s = k->body;
  bool parallel = s && s->kind == S_FOR && s->loop.kind == LOOP_PARALLEL && !s->next;
  if (!parallel) return (struct ingot_dim){.n = 1, .sym = -1};
  return plan_dim(p, dim_expr(p->c, s->loop.var->extent));
}

// Picoseconds of one iteration, roughly: what decides how many threads are worth waking.
static int64_t cost_of(const Kernel *k, int64_t trip) {
  int64_t all = k->flops * 15 + k->bytes * 40;
  return trip > 0 && all > 0 ? all / trip + 1 : 0;
}

// What the loops read, as a set.
typedef struct ReadSet {
  Plan *p;
  PMap values;
} ReadSet;

static bool note_read(const Expr *e, void *data) {
  ReadSet *r = data;
  if (e->op == E_READ) pmap_put(&r->values, e->value, e->value);
  return true;
}

static void note_reads(ReadSet *r, const Stmt *s) {
  Ctx *c = r->p->c;
  for (; s; s = s->next) switch (s->kind) {
    case S_FOR:
      expr_visit(c, s->loop.var->extent, note_read, r);
      note_reads(r, s->loop.body);
      break;
    case S_STORE:
      for (int i = 0; i < s->store.nindex; i++) expr_visit(c, s->store.index[i], note_read, r);
      expr_visit(c, s->store.value, note_read, r);
      break;
    case S_LET: expr_visit(c, s->let.value, note_read, r); break;
    case S_IF:
      expr_visit(c, s->cond.cond, note_read, r);
      note_reads(r, s->cond.then);
      note_reads(r, s->cond.otherwise);
      break;
    case S_ALLOC:
    case S_PREFETCH: break;
    }
}

// The operands without the constants that only the kernel's definition reads, not its loops (weights that
// the schedule transformed): those need not be in the artefact.
static Value *const *needed(Plan *p, const Kernel *k, Value *const *in, int nin) {
  ReadSet r = {.p = p, .values = {.arena = p->arena}};
  Value **out = arena_dup(p->arena, in, (size_t)nin * sizeof *in);
  note_reads(&r, k->body);
  for (int i = 0; i < nin; i++)
    if (in[i] && in[i]->data && !pmap_get(&r.values, in[i])) out[i] = NULL;
  return out;
}

// ---- checks -----------------------------------------------------------------------------------------------------

static void add_fault(Plan *p, struct ingot_step *s) {
  struct ingot_arg a = {.kind = INGOT_ARG_ARENA, .offset = p->fault, .tensor = -1};
  a.flags = INGOT_ARG_READ | INGOT_ARG_WRITE;
  if (s->n_args == 0) s->first_arg = p->args.n;
  vec_push(p->arena, &p->args, a);
  s->n_args++;
}

// Of a layout that pads, elements are undefined.
static bool is_whole(Plan *p, const Value *v) {
  return v && dtype_is_float(v->type.dtype) && plan_bytes(p, v) == type_bytes(&v->type);
}

static void add_whole(Plan *p, struct ingot_step *s, Value *const *v, int n) {
  for (int i = 0; i < n; i++)
    if (is_whole(p, v[i])) plan_add_args(p, s, &v[i], 1, INGOT_ARG_READ);
}

// Behind a kernel: looks at its record of faults, and for a NaN that its results have and its operands do not.
// Without a kernel: clears the record.
static void plan_check(Plan *p, const Kernel *k, const Node *n, Value *const *in, int nin, Value *const *out,
                       int nout, StepList *list) {
  const char *of = n ? origins_text(p, n) : "";
  PlannedStep s =
      plan_step(p, n, INGOT_STEP_ROUTINE, k ? arena_printf(p->arena, "%s (%s)", k->name, of) : "");
  int64_t *ints = NEW(p->arena, int64_t);
  s.routine = "check";
  s.step.flags = INGOT_STEP_SERIAL;
  add_fault(p, &s.step);
  add_whole(p, &s.step, out, nout);
  *ints = k ? s.step.n_args - 1 : -1;
  add_whole(p, &s.step, in, nin);
  s.step.ints = ints;
  s.step.n_ints = 1;
  vec_push(p->arena, list, s);
}

void plan_kernel(Plan *p, const Kernel *k, const Node *n, Value *const *in, int nin, Value *const *out,
                 int nout, StepList *list) {
  PlannedStep s = plan_step(p, n, INGOT_STEP_KERNEL, k->name);
  in = needed(p, k, in, nin);
  s.unit = plan_unit(p, k, n, in, nin, out, nout);
  s.step.trip = trip_of(p, k);
  s.step.cost = cost_of(k, s.step.trip.n);
  s.step.scratch = k->scratch;
  s.step.flops = k->flops;
  s.step.bytes = n ? (int64_t)node_bytes(p->c, n) : 0;
  plan_add_args(p, &s.step, in, nin, INGOT_ARG_READ);
  plan_add_args(p, &s.step, out, nout, INGOT_ARG_READ | INGOT_ARG_WRITE);
  if (p->options->check) add_fault(p, &s.step);
  vec_push(p->arena, list, s);
  if (p->options->check) plan_check(p, k, n, in, nin, out, nout, list);
}

// ---- routines -------------------------------------------------------------------------------------------------

// The leading integer attributes are the routine's, in its order.
static void routine_ints(Plan *p, const Node *n, struct ingot_step *s) {
  int64_t *ints = NEW_ARRAY(p->arena, int64_t, n->op->nattr);
  for (int i = 0; i < n->op->nattr; i++) {
    const Attr *a = &n->attr[i];
    if (a->kind != ATTR_INT && a->kind != ATTR_BOOL) break;
    ints[s->n_ints++] = a->i;
  }
  s->ints = ints;
}

// The symbol that a result's extent is found by, or -1.
static int32_t found_symbol(const Node *n) {
  for (int i = 0; i < n->nout; i++)
    for (int d = 0; n->out[i] && d < n->out[i]->type.rank; d++) {
      const Expr *e = n->out[i]->type.dim[d].sym;
      if (e && e->op == E_SYM && e->sym->data_dependent) return e->sym->index;
    }
  return -1;
}

static int64_t extent_along(const Type *t, int64_t axis) {
  return axis < 0 || axis >= t->rank ? type_elements(t) : t->dim[axis].n;
}

static const Expr *rows_of(Plan *p, const Type *t, int64_t axis) {
  const Expr *rows = ex_idx(p->c, 1);
  for (int d = 0; d < t->rank; d++)
    if (d != axis) rows = ex_mul(p->c, rows, dim_to_expr(p->c, t->dim[d]));
  return rows;
}

// What differs between the routines: negative axes, trip counts and scratch memory.
static void routine_figures(Plan *p, const char *routine, const Node *n, struct ingot_step *s,
                            int64_t *ints) {
  const Type *x = &n->in[0]->type;
  if (strcmp(routine, "topk") == 0) {
    if (ints[0] < 0) ints[0] += x->rank;
    s->trip = plan_dim(p, dim_expr(p->c, rows_of(p, x, ints[0])));
    s->scratch = ingot_rt_topk_scratch(extent_along(x, ints[0]));
  } else if (strcmp(routine, "unique") == 0) {
    if (ints[0] < 0 && node_attr(n, "axis")->given && ints[0] != -1) ints[0] += x->rank;
    s->scratch = ingot_rt_unique_scratch(extent_along(x, ints[0]));
  } else if (strcmp(routine, "nms") == 0) {
    s->scratch = ingot_rt_nms_scratch(extent_along(x, 1));
  }
}

static void plan_routine(Plan *p, const Node *n, StepList *list) {
  const Kernel *k = n->kernel;
  const Node *call = k->routine_node;
  PlannedStep s = plan_step(p, n, INGOT_STEP_ROUTINE, k->name);
  s.routine = k->routine;
  s.step.bytes = (int64_t)node_bytes(p->c, n);
  s.step.sym = found_symbol(n);
  routine_ints(p, call, &s.step);
  routine_figures(p, k->routine, call, &s.step, (int64_t *)s.step.ints);
  plan_add_args(p, &s.step, n->in, n->nin, INGOT_ARG_READ);
  plan_add_args(p, &s.step, n->out, n->nout, INGOT_ARG_READ | INGOT_ARG_WRITE);
  vec_push(p->arena, list, s);
}

// ---- copies ---------------------------------------------------------------------------------------------------

static void copy_to(Plan *p, Value *src, struct ingot_arg to, StepList *list) {
  PlannedStep s = plan_step(p, NULL, INGOT_STEP_COPY, "copy");
  s.step.trip = src->layout
                    ? (struct ingot_dim){.n = plan_bytes(p, src) / dtype_bytes(src->type.dtype), .sym = -1}
                    : plan_dim(p, dim_expr(p->c, rows_of(p, &src->type, -1)));
  s.step.imm = dtype_bytes(src->type.dtype);
  s.step.cost = s.step.imm * 80;
  s.step.bytes = 2 * plan_bytes(p, src);
  plan_add_args(p, &s.step, &src, 1, INGOT_ARG_READ);
  vec_push(p->arena, &p->args, to);
  s.step.n_args++;
  vec_push(p->arena, list, s);
}

void plan_copy(Plan *p, Value *src, Value *dst, StepList *list) {
  copy_to(p, src, plan_arg(p, dst, INGOT_ARG_WRITE), list);
}

// Outputs that are inputs, constants or other outputs are copied at the end.
static void plan_outputs(Plan *p, const Graph *g, StepList *list) {
  int32_t number = 0;
  for (int i = 0; i < g->outputs.n; i++) {
    Value *v = g->outputs.data[i];
    if (state_of_output(g, i)) continue;
    int32_t own = number++;
    if (plan_space(v) == SPACE_OUTPUT && !v->base && v->offset == own) continue;
    struct ingot_arg to = {
        .kind = INGOT_ARG_OUTPUT, .index = own, .tensor = plan_tensor(p, v), .flags = INGOT_ARG_WRITE};
    copy_to(p, v, to, list);
  }
}

// States that were not computed in their place get their new values when everything else is done.
static void plan_state_copies(Plan *p, const Graph *g, StepList *list) {
  for (int i = 0; i < g->states.n; i++) {
    Value *now = g->inputs.data[g->states.data[i].input], *then = g->outputs.data[g->states.data[i].output];
    if (then->base != now) plan_copy(p, then, now, list);
  }
}

// ---- graphs ---------------------------------------------------------------------------------------------------

// A kernel without loops has nothing to do: its operands were computed inside its result.
static bool is_empty(const Node *n) {
  return n->kernel && !n->kernel->routine && !n->kernel->body;
}

static void plan_node(Plan *p, const Node *n, StepList *list) {
  if (is_empty(n)) return;
  if (n->kernel && n->kernel->routine)
    plan_routine(p, n, list);
  else if (n->kernel)
    plan_kernel(p, n->kernel, n, n->in, n->nin, n->out, n->nout, list);
  else if (op_is(n, "if"))
    plan_if(p, n, list);
  else if (op_is(n, "loop"))
    plan_loop(p, n, list);
  else
    diag_error(p->c->diag, n->loc, "op '%s' is not lowered to a kernel", n->op->name);
}

void plan_nodes(Plan *p, const Graph *g, StepList *list) {
  for (const Node *n = g->first; n; n = n->next) plan_node(p, n, list);
}

struct ingot_range plan_steps_of(Plan *p, const SpecialForm *f) {
  const Graph *g = (f ? f->module : p->m)->main;
  StepList list = {0};
  p->at = f;
  if (p->options->check) plan_check(p, NULL, NULL, NULL, 0, NULL, 0, &list);
  plan_nodes(p, g, &list);
  plan_outputs(p, g, &list);
  plan_state_copies(p, g, &list);
  p->at = NULL;
  return plan_append(p, &list);
}

void plan_main(Plan *p) {
  if (p->options->check) {
    p->fault = round_up(p->arena_bytes, INGOT_ALIGN);
    p->arena_bytes = p->fault + INGOT_ALIGN;
  }
  p->model.main = plan_steps_of(p, NULL);
  p->general_steps = p->steps.n;
  p->model.main = plan_specials(p, p->model.main);
}
