// op_define.c: the defining expression of a node's result.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"

// Names of a formula: operands become reads, attributes constants of the first operand's type.
typedef struct Formula {
  Ctx *ctx;
  const Node *node;
  const Expr *const *index; // of the result
  int rank;
} Formula;

// v at the result's index, numpy broadcasting: aligned at the end, extent 1 repeats.
static const Expr *read_broadcast(const Formula *f, Value *v) {
  const Expr *at[MAX_RANK];
  int skip = f->rank - v->type.rank;
  for (int d = 0; d < v->type.rank; d++) {
    Dim dim = v->type.dim[d];
    at[d] = !dim.sym && dim.n == 1 ? ex_idx(f->ctx, 0) : f->index[skip + d];
  }
  return ex_read(f->ctx, v, at, v->type.rank);
}

static const Expr *attr_constant(const Formula *f, const Attr *a) {
  DType t = f->node->nin && f->node->in[0] ? f->node->in[0]->type.dtype : f->node->out[0]->type.dtype;
  switch (a->kind) {
  case ATTR_INT: return ex_int(f->ctx, t, a->i);
  case ATTR_FLOAT: return ex_num(f->ctx, t, a->f);
  case ATTR_BOOL: return ex_bool(f->ctx, a->i != 0);
  default: return NULL;
  }
}

static const Expr *formula_name(void *data, const char *name) {
  const Formula *f = data;
  const Node *n = f->node;
  for (int i = 0; i < n->op->nin && i < n->nin; i++)
    if (strcmp(n->op->in[i].name, name) == 0) return n->in[i] ? read_broadcast(f, n->in[i]) : NULL;
  const Attr *a = node_attr(n, name);
  return a ? attr_constant(f, a) : NULL;
}

const Expr *node_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const OpInfo *info = n->op->info;
  if (info->define) return info->define(c, n, out, index);
  if (!info->expr) return NULL;
  Formula f = {c, n, index, n->out[out]->type.rank};
  const Source *src = source_from_text(c->arena, info->name, info->expr);
  const Expr *e = expr_parse(c, src, info->expr, formula_name, &f);
  return e ? ex_cast(c, n->out[out]->type.dtype, e) : NULL;
}
