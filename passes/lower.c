// lower.c: kernels -> loops: hands every kernel to the lowering of its schedule class. The stages stay beside
// the loops, to say what these compute.
// SPDX-License-Identifier: Apache-2.0
#include "passes/schedule.h"

static Lower lower_start(Module *m, Node *n, const PassOptions *o) {
  Lower l = {.c = m->ctx, .m = m, .node = n, .k = n->kernel, .o = o, .target = m->target, .loc = n->loc};
  l.k->body = NULL;
  l.block.tail = &l.k->body;
  return l;
}

// Tries the kernel's class and those after it in the table; the last takes everything.
static bool lower_kernel(Module *m, Node *n, const PassOptions *o) {
  const ScheduleClass *first = schedule_class_find(n->kernel->schedule.kind);
  int i = 0;
  while (first && schedule_class_at(i) != first) i++;
  int errors = diag_errors(m->ctx->diag);
  for (; i < schedule_class_count(); i++) {
    const ScheduleClass *cls = schedule_class_at(i);
    Lower l = lower_start(m, n, o);
    LowerScope scope = {0};
    l.scope = &scope;
    if (cls->lower(&l)) {
      n->kernel->scratch = l.scratch;
      n->kernel->schedule.kind = cls->name;
      return true;
    }
    if (diag_errors(m->ctx->diag) > errors) return false;
  }
  diag_error(m->ctx->diag, n->loc, "internal error: kernel '%s' cannot be lowered", n->kernel->name);
  return false;
}

typedef struct LowerAll {
  Module *m;
  const PassOptions *o;
} LowerAll;

static bool lower_graph(Graph *g, void *data) {
  LowerAll *all = data;
  for (Node *n = g->first; n; n = n->next) {
    if (!n->kernel || n->kernel->routine) continue;
    if (!lower_kernel(all->m, n, all->o)) return false;
  }
  return true;
}

bool pass_lower(Module *m, const PassOptions *o) {
  LowerAll all = {m, o};
  return each_graph(m->main, lower_graph, &all);
}
