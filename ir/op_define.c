// op_define.c: the defining expression of a node's result.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

// Names of a formula: operands become reads, attributes constants of the first operand's type. A formula on f16
// or bf16 is computed in f32 and rounded once.
typedef struct Formula {
  Ctx *ctx;
  const Node *node;
  const Expr *const *index; // of the result
  int rank;
} Formula;

static const Expr *attr_constant(const Formula *f, const Attr *a) {
  DType t = f->node->nin && f->node->in[0] ? f->node->in[0]->type.dtype : f->node->out[0]->type.dtype;
  t = acc_dtype(t);
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
    if (strcmp(n->op->in[i].name, name) == 0)
      return n->in[i] ? ex_acc(f->ctx, ex_read_broadcast(f->ctx, n->in[i], f->index, f->rank)) : NULL;
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
