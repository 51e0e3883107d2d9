// cost.c: counts floating-point operations from the ops' definitions.
// SPDX-License-Identifier: Apache-2.0
#include "tools/cost.h"

// ---- nodes ------------------------------------------------------------------------------------------------

static double defined_flops(Ctx *c, const Node *n, int out) {
  const Type *type = &n->out[out]->type;
  const Expr *index[MAX_RANK];
  for (int i = 0; i < type->rank; i++) index[i] = ex_var(c, var_new(c, "i", dim_to_expr(c, type->dim[i])));
  const Expr *e = node_define(c, n, out, index);
  return e ? expr_flops(c, e) * (double)type_elements(type) : 0;
}

static double kernel_flops(Ctx *c, const Kernel *k) {
  double sum = 0;
  for (int i = 0; i < k->stages.n; i++) sum += stage_flops(c, &k->stages.data[i]);
  return sum;
}

// Builds the op's parts in a graph of their own, which nothing refers to afterwards.
static double decomposed_flops(Ctx *c, const Node *n) {
  Graph *scratch = graph_new(n->graph->module, "cost", n->graph);
  Builder b = builder_at(scratch, NULL, n->loc);
  Value **out = NEW_ARRAY(c->arena, Value *, n->nout);
  return n->op->info->decompose(&b, n, out) ? graph_flops(c, scratch) : 0;
}

double node_flops(Ctx *c, const Node *n) {
  const OpInfo *info = n->op->info;
  double sum = 0;
  for (int i = 0; i < n->nregions; i++) sum += graph_flops(c, n->region[i]);
  if (n->kernel) return sum + (n->kernel->flops ? (double)n->kernel->flops : kernel_flops(c, n->kernel));
  if (info->expr || info->define) {
    for (int k = 0; k < n->nout; k++) sum += n->out[k] ? defined_flops(c, n, k) : 0;
  } else if (info->stages) {
    Kernel k = {.name = "cost"};
    if (info->stages(c, (Node *)n, &k)) sum += kernel_flops(c, &k);
  } else if (info->decompose) {
    sum += decomposed_flops(c, n);
  }
  return sum;
}

double graph_flops(Ctx *c, const Graph *g) {
  double sum = 0;
  for (const Node *n = g->first; n; n = n->next) sum += node_flops(c, n);
  return sum;
}
