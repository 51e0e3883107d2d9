// lower_serial.c: the unscheduled lowering: every loop serial and scalar, stages literally in order. It takes
// every kernel and is the second oracle: what any schedule computes must agree with it.
// SPDX-License-Identifier: Apache-2.0
#include "passes/lower.h"

// A stage with its leading `at` dims replaced by the loop variables that all stages share.
static Stage share_dims(Lower *l, const Stage *s, const Var *const *shared, int at) {
  Stage r = *s;
  const Expr *with[2 * MAX_RANK];
  for (int i = 0; i < at; i++) with[i] = ex_var(l->c, shared[i]);
  r.value = expr_subst(l->c, s->value, s->dims, with, at);
  if (!s->index) return r;
  const Expr **index = NEW_ARRAY(l->c->arena, const Expr *, s->out->type.rank);
  for (int i = 0; i < s->out->type.rank; i++) index[i] = expr_subst(l->c, s->index[i], s->dims, with, at);
  r.index = index;
  return r;
}

static void stage_body(Lower *l, const Stage *s, const Var *const *shared, int at) {
  const Expr *index[2 * MAX_RANK];
  int rank = s->out->type.rank;
  for (int i = 0; i < rank; i++) {
    if (s->index)
      index[i] = lower_value(l, s->index[i]);
    else
      index[i] = ex_var(l->c, i < at ? shared[i] : s->dims[i]);
  }
  lower_stage_store(l, s, index, lower_value(l, s->value));
}

static void stage_loops(Lower *l, const Stage *s, int d, const Var *const *shared, int at) {
  if (d == s->ndims) {
    stage_body(l, s, shared, at);
    return;
  }
  LowerMark mark;
  lower_for(l, s->dims[d], LOOP_SERIAL, &mark);
  stage_loops(l, s, d + 1, shared, at);
  lower_end(l, &mark);
}

// Do all stages share the same dims? Then the locals live inside those loops, else outside of everything.
static bool all_share(const Kernel *k) {
  for (int i = 1; i < k->stages.n; i++)
    if (k->stages.data[i].at != k->stages.data[0].at) return false;
  return true;
}

// The stages [from, to) with their shared dims outside.
static void group_loops(Lower *l, int from, int to, int d) {
  const Stage *first = &l->k->stages.data[from];
  int at = first->at;
  if (d < at) {
    LowerMark mark;
    lower_for(l, first->dims[d], LOOP_SERIAL, &mark);
    group_loops(l, from, to, d + 1);
    lower_end(l, &mark);
    return;
  }
  if (at > 0 && all_share(l->k)) lower_locals(l, at);
  for (int i = from; i < to; i++) {
    Stage s = share_dims(l, &l->k->stages.data[i], first->dims, at);
    l->loc = s.loc;
    stage_loops(l, &s, at, first->dims, at);
  }
}

bool lower_serial(Lower *l) {
  const Kernel *k = l->k;
  if (k->stages.n == 0) return false;
  l->loc = k->stages.data[0].loc;
  if (k->stages.data[0].at == 0 || !all_share(k)) lower_locals(l, 0);
  for (int i = 0, end; i < k->stages.n; i = end) {
    for (end = i + 1; end < k->stages.n && k->stages.data[end].at == k->stages.data[i].at; end++) {
      if (k->stages.data[i].at == 0) break;
    }
    group_loops(l, i, end, 0);
  }
  return true;
}
