// plan_special.c: code for certain extents beside the code for all: steps that choose when a run begins.
// SPDX-License-Identifier: Apache-2.0
//
// A special form is the model compiled with some symbols fixed. It shares the tables of the model: what it reads and
// writes outside of the arena is described there, for all extents, and constants that lie alike are stored once.
#include "codegen/internal.h"

const char *plan_special_name(const Plan *p, const SpecialForm *f) {
  Str s = {.arena = p->arena};
  for (int i = 0; i < f->n; i++) str_printf(&s, "%s%s=%lld", i ? "," : "", f->sym[i], (long long)f->value[i]);
  return str_text(&s);
}

static Sym *find_symbol(const Module *m, const char *name) {
  for (int i = 0; i < m->syms.n; i++)
    if (strcmp(m->syms.data[i]->name, name) == 0) return m->syms.data[i];
  return NULL;
}

static bool refuse(Plan *p, const SpecialForm *f, const char *what, const char *name) {
  diag_error(p->c->diag, NO_LOC, "--specialize: with %s %s '%s'", plan_special_name(p, f), what, name);
  return false;
}

// Code finds symbols by their numbers, which are the model's.
static bool join_symbols(Plan *p, const SpecialForm *f) {
  for (int i = 0; i < f->module->syms.n; i++) {
    Sym *own = f->module->syms.data[i];
    const Sym *all = find_symbol(p->m, own->name);
    if (!all) return refuse(p, f, "there is a new symbol", own->name);
    own->index = all->index;
  }
  return true;
}

// What one run leaves in a state the next one reads, whichever form it takes.
static bool join_states(Plan *p, const SpecialForm *f) {
  const Graph *all = p->m->main, *own = f->module->main;
  for (int i = 0; i < all->states.n; i++) {
    const Value *a = all->inputs.data[all->states.data[i].input];
    const Value *b = own->inputs.data[own->states.data[i].input];
    if (a->offset != b->offset || a->type.dtype != b->type.dtype || plan_bytes(p, a) != plan_bytes(p, b) ||
        !layout_equal(a->layout, b->layout))
      return refuse(p, f, "another form is best for state", a->name);
  }
  return true;
}

bool plan_join(Plan *p, const SpecialForm *f) {
  const Graph *all = p->m->main, *own = f->module->main;
  if (all->inputs.n != own->inputs.n || all->outputs.n != own->outputs.n || all->states.n != own->states.n)
    return refuse(p, f, "inputs and outputs are others than those of", p->m->name);
  return join_symbols(p, f) && join_states(p, f);
}

static struct ingot_range plan_case(Plan *p, const SpecialForm *f, int k, struct ingot_range then,
                                    struct ingot_range otherwise) {
  const char *name = arena_printf(p->arena, "%s=%lld", f->sym[k], (long long)f->value[k]);
  PlannedStep s = plan_step(p, NULL, INGOT_STEP_CASE, name);
  StepList list = {0};
  s.step.sym = find_symbol(p->m, f->sym[k])->index;
  s.step.imm = f->value[k];
  s.step.body[0] = then;
  s.step.body[1] = otherwise;
  vec_push(p->arena, &list, s);
  return plan_append(p, &list);
}

struct ingot_range plan_specials(Plan *p, struct ingot_range general) {
  struct ingot_range start = general;
  for (int i = p->n_special - 1; i >= 0; i--) {
    const SpecialForm *f = &p->special[i];
    struct ingot_range then = plan_steps_of(p, f), rest = start;
    for (int k = f->n - 1; k >= 0; k--) then = plan_case(p, f, k, then, rest);
    start = then;
  }
  return start;
}
