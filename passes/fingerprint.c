// fingerprint.c: a number for the state of a module, to tell whether a pass changed anything.
// SPDX-License-Identifier: Apache-2.0
//
// Cheaper than printing: it relies on expressions, layouts and tensors being immutable, so that their
// addresses stand for their contents within one run.
#include "passes/internal.h"

static uint64_t mix(uint64_t h, uint64_t x) {
  uint64_t pair[2] = {h, x};
  return hash_bytes(pair, sizeof pair);
}

static uint64_t mix_ptr(uint64_t h, const void *p) {
  return mix(h, (uint64_t)(uintptr_t)p);
}

static uint64_t mix_value(uint64_t h, const Value *v) {
  if (!v) return mix(h, 0);
  h = mix(h, (uint64_t)v->id);
  h = mix(h, hash_bytes(&v->type.rank, sizeof v->type.rank));
  h = mix_ptr(mix(h, v->space), v->layout);
  return mix_ptr(mix(h, (uint64_t)v->offset), v->base);
}

static uint64_t mix_stmts(uint64_t h, const Stmt *s) {
  for (; s; s = s->next) {
    h = mix_ptr(mix(h, s->kind), s);
    if (s->kind == S_FOR) h = mix_stmts(mix(h, s->loop.kind), s->loop.body);
    if (s->kind == S_IF) h = mix_stmts(mix_stmts(h, s->cond.then), s->cond.otherwise);
  }
  return h;
}

static uint64_t mix_kernel(uint64_t h, const Kernel *k) {
  for (int i = 0; i < k->stages.n; i++) {
    const Stage *s = &k->stages.data[i];
    h = mix(mix_ptr(mix_value(h, s->out), s->value), (uint64_t)s->at);
  }
  if (k->schedule.kind) h = mix(h, hash_bytes(k->schedule.kind, strlen(k->schedule.kind)));
  for (int i = 0; i < k->schedule.params.n; i++) h = mix(h, (uint64_t)k->schedule.params.data[i].value);
  return mix_stmts(h, k->body);
}

static bool mix_graph(Graph *g, void *data) {
  uint64_t h = *(uint64_t *)data;
  for (Node *n = g->first; n; n = n->next) {
    h = mix(mix_ptr(h, n->op), (uint64_t)n->id);
    for (int i = 0; i < n->nin; i++) h = mix_value(h, n->in[i]);
    for (int i = 0; i < n->nout; i++) h = mix_value(h, n->out[i]);
    for (int i = 0; i < n->op->nattr; i++) h = mix(h, (uint64_t)n->attr[i].i);
    if (n->kernel) h = mix_kernel(h, n->kernel);
  }
  for (int i = 0; i < g->outputs.n; i++) h = mix_value(h, g->outputs.data[i]);
  for (int i = 0; i < g->consts.n; i++) h = mix_ptr(mix_value(h, g->consts.data[i]), g->consts.data[i]->data);
  *(uint64_t *)data = h;
  return true;
}

uint64_t module_fingerprint(const Module *m) {
  uint64_t h = mix(m->level, (uint64_t)m->arena_bytes);
  each_graph(m->main, mix_graph, &h);
  return h;
}
