// lower.c: kernels -> loops: hands every kernel to the lowering of its schedule class. The stages stay beside
// the loops, to say what these compute.
// SPDX-License-Identifier: Apache-2.0
//
// Every access of the loops is proved to lie inside its buffer, at every compilation. Loops that cannot be proved
// are thrown away: the class writes them again without joining dimensions, then the next class has its turn.
#include "passes/schedule.h"

typedef struct LowerAll {
  Module *m;
  const PassOptions *o;
  Prover *prover;
  const char *why; // the last loops were not proved
} LowerAll;

// The kernel's loops by one class; false if it declines or what it wrote cannot be proved.
static bool lower_by(LowerAll *all, Node *n, const ScheduleClass *cls, bool careful) {
  LowerScope scope = {0};
  Kernel *k = n->kernel;
  Lower l = {.c = all->m->ctx, .m = all->m, .node = n, .k = k, .o = all->o, .target = all->m->target};
  l.loc = n->loc;
  l.careful = careful;
  l.scope = &scope;
  l.block.tail = &k->body;
  k->body = NULL;
  int64_t parallel = k->parallel;
  if (!cls->lower(&l)) return false;
  k->scratch = l.scratch;
  k->schedule.kind = cls->name;
  if (prover_kernel(all->prover, n, &all->why)) return true;
  k->parallel = parallel;
  return false;
}

// Results without elements need no loops. Over nothing they would not run, but a read that does not vary in them would
// stand outside, of an operand that may have no elements either.
static bool is_empty(const Node *n) {
  for (int i = 0; i < n->nout; i++)
    if (type_elements(&n->out[i]->type) > 0) return false;
  return true;
}

static bool lower_nothing(Kernel *k) {
  k->schedule.kind = "serial";
  k->parallel = 1;
  return true;
}

// Tries the kernel's class and those after it in the table; the last takes everything and can be proved always.
static bool lower_kernel(LowerAll *all, Node *n) {
  Diag *d = all->m->ctx->diag;
  const ScheduleClass *first = schedule_class_find(n->kernel->schedule.kind);
  int i = 0, errors = diag_errors(d);
  if (is_empty(n)) return lower_nothing(n->kernel);
  while (first && schedule_class_at(i) != first) i++;
  all->why = NULL;
  for (; i < schedule_class_count() && diag_errors(d) == errors; i++)
    for (int careful = 0; careful < 2; careful++) {
      if (lower_by(all, n, schedule_class_at(i), careful)) return true;
      if (careful || !all->why) continue;
      all->m->unproved++;
      all->m->unproved_why = all->why;
      remark(all->m, "lower", n->out[0], "loops of class %s are thrown away, as they cannot be proved: %s",
             schedule_class_at(i)->name, all->why);
    }
  if (diag_errors(d) == errors)
    diag_error(d, n->loc, "internal error: kernel '%s' cannot be lowered: %s", n->kernel->name,
               all->why ? all->why : "no class of schedules takes it");
  return false;
}

static bool lower_graph(Graph *g, void *data) {
  LowerAll *all = data;
  for (Node *n = g->first; n; n = n->next) {
    if (!n->kernel || n->kernel->routine) continue;
    if (!lower_kernel(all, n)) return false;
  }
  return true;
}

bool pass_lower(Module *m, const PassOptions *o) {
  LowerAll all = {m, o, prover_new(m), NULL};
  return each_graph(m->main, lower_graph, &all);
}
