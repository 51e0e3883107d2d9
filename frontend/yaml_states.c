// yaml_states.c: values that live from run to run: the `state` section and caches.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/yaml_layers.h"

// ---- initial values -----------------------------------------------------------------------------------------------

// A number, for every element, or a constant of the state's type.
static Value *initial_value(Yaml *y, YNode *n, const Value *state) {
  Val v = yaml_eval_node(y, n);
  if (v.kind == V_TENSOR && v.v->data) return v.v;
  if (!val_is_number(&v) || !type_is_static(&state->type)) {
    if (v.kind != V_ERROR)
      yaml_fail(y, n->loc, "the initial value of a state is a number or a constant, not %s", val_kind(&v));
    return NULL;
  }
  Tensor *t = tensor_new(y->ctx, &state->type);
  double x = v.kind == V_INT ? (double)v.i : v.f;
  for (int64_t i = 0; i < type_elements(&state->type); i++) tensor_set(t, i, x);
  return graph_const(y->graph, yaml_unique(y, "init"), t, n->loc);
}

// ---- pairing ------------------------------------------------------------------------------------------------------

void yaml_state_open(Yaml *y, const char *name, int input, YNode *init, Loc loc) {
  OpenState s = {name, input, init, loc};
  vec_push(y->ctx->arena, &y->states, s);
}

static bool pair(Yaml *y, int input, Value *next, Value *init, Loc loc) {
  const char *name = y->graph->inputs.data[input]->name;
  graph_output(y->graph, arena_printf(y->ctx->arena, "%s.next", name), next);
  return graph_state(y->graph, input, y->graph->outputs.n - 1, init, loc);
}

void yaml_states_close(Yaml *y) {
  for (int i = 0; i < y->states.n; i++) {
    const OpenState *s = &y->states.data[i];
    Value *state = y->graph->inputs.data[s->input], *init = NULL;
    const Val *next = yaml_lookup(y, s->name);
    if (!next || next->kind == V_ERROR) continue;
    if (next->kind != V_TENSOR)
      yaml_fail(y, s->loc, "state '%s' would become %s", s->name, val_kind(next));
    else if (next->v == state)
      yaml_fail(y, s->loc, "no step changes the state '%s': %s: ... gives it its next value", s->name,
                s->name);
    else if (!s->init || (init = initial_value(y, s->init, state)))
      pair(y, s->input, next->v, init, s->loc);
  }
}

// ---- caches -------------------------------------------------------------------------------------------------------

// The symbol that counts what is in the cache.
static bool cache_length(Yaml *y, Args *args, Dim *length) {
  const Arg *a = args_take(args, "length", 2);
  const Val *v = a ? &a->val : yaml_lookup(y, "past");
  if (v && v->kind == V_DIM && v->dim.sym->op == E_SYM) return *length = v->dim, true;
  yaml_fail(y, a ? a->loc : args->loc, "%s needs a symbol for its length: symbols: {past: 0..512}",
            args->what);
  return false;
}

Val layer_cache(Yaml *y, Args *args) {
  Layer l;
  int64_t axis;
  Dim length;
  if (!layer_start(y, args, &l) || !layer_int(&l, "axis", 1, 0, &axis) || !cache_length(y, args, &length))
    return VAL_ERROR;
  if (!args_done(y, args)) return VAL_ERROR;
  if (axis >= l.x->type.rank)
    return yaml_fail(y, args->loc, "dimension %lld does not exist in %s", (long long)axis,
                     type_text(y->ctx, &l.x->type));
  Type t = l.x->type;
  t.dim[axis] = length;
  Value *state = graph_input(y->graph, l.name, t, args->loc);
  Value *all = yaml_build(y, "concat", args->loc, IN(state, l.x), ATTRS(A_INT("axis", axis)));
  if (!all || !pair(y, y->graph->inputs.n - 1, all, NULL, args->loc)) return VAL_ERROR;
  return val_tensor(all);
}
