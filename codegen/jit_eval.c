// jit_eval.c: constant folding by compiled code: a slice of the graph becomes a module of its own and is run.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

typedef struct Slice {
  Ctx *c;
  Builder b;
  PMap copy; // Value -> Value
} Slice;

static Value *slice_value(Slice *s, Value *v);

static Node *slice_node(Slice *s, const Node *n) {
  Value **in = NEW_ARRAY(s->c->arena, Value *, n->nin);
  for (int i = 0; i < n->nin; i++) {
    in[i] = n->in[i] ? slice_value(s, value_resolve(n->in[i])) : NULL;
    if (n->in[i] && !in[i]) return NULL;
  }
  s->b.loc = n->loc;
  return build_node(&s->b, n->op->name, in, n->nin, n->attr, n->op->nattr);
}

// The copy of v in the slice, with everything that it is computed from; NULL after reporting.
static Value *slice_value(Slice *s, Value *v) {
  Value *copy = pmap_get(&s->copy, v);
  if (copy) return copy;
  if (v->data) {
    copy = graph_const(s->b.graph, v->name, v->data, v->loc);
    pmap_put(&s->copy, v, copy);
    return copy;
  }
  if (!v->def || v->def->nregions) {
    diag_error(s->c->diag, v->loc, "internal error: '%s' is not computed from constants",
               v->name ? v->name : "");
    return NULL;
  }
  Node *n = slice_node(s, v->def);
  if (!n) return NULL;
  for (int i = 0; i < n->nout; i++) pmap_put(&s->copy, v->def->out[i], n->out[i]);
  return pmap_get(&s->copy, v);
}

// The default target where this machine can run it, so that the artefact does not depend on the machine that
// the compiler ran on.
static const Target *eval_target(Ctx *c) {
  const Target *native = target_find(c, "native"), *usual = target_default(c);
  return strcmp(native->name, "x86-64-v4") == 0 ? usual : native;
}

static Module *slice_module(Module *m, Value *const *want, int n) {
  Module *part = module_new(m->ctx, "fold");
  part->target = eval_target(m->ctx);
  Slice s = {.c = m->ctx, .b = builder_at(part->main, NULL, NO_LOC), .copy = {.arena = m->ctx->arena}};
  for (int i = 0; i < n; i++) {
    Value *v = slice_value(&s, want[i]);
    if (!v) return NULL;
    graph_output(part->main, arena_printf(m->ctx->arena, "v%d", i), v);
  }
  return part;
}

bool jit_eval_values(void *data, Module *m, Value *const *want, int n, const Tensor **out) {
  const JitEval *e = data;
  Module *part = slice_module(m, want, n);
  if (!part || !e->lower(e->lower_data, part)) return false;
  CodegenOptions options = *e->options;
  options.opt_level = 1;
  Jit *j = jit_compile(part, &options);
  bool ok = j && jit_run(j, NULL, (Tensor **)out, options.jobs > 0 ? options.jobs : 1);
  if (j) jit_close(j);
  return ok;
}
