// layout_states.c: keys and values that are kept from run to run lie as attention goes through them.
// SPDX-License-Identifier: Apache-2.0
//
// A task of attention does some of the heads (attention_single.c). Of a cache whose rows are those of all heads it reads a
// part of each row, which memory gives at little more than half the rate of whole rows (9 and 15 GB/s; Zen 3). So heads that
// go together have rows of their own: [1, keys, heads * size] lies as [1, heads / together, keys, together * size].
#include "passes/attention_impl.h"
#include "passes/layout.h"

// A state that grows, and how attention is known to read it.
typedef struct Kept {
  Module *m;
  const PassOptions *o;
  const Value *now, *then;
  int axis;      // along which it grows: the keys
  int64_t width; // elements of the last dim that go together; 0: nothing read it yet
} Kept;

// Where head number `head` of what is read begins in the last dim, or -1.
static int64_t head_begins(const Attention *a, const Expr *read, const Var *element, int64_t head) {
  Ctx *c = a->c;
  const Expr *at[MAX_RANK], *zero = ex_idx(c, 0), *e = read->args[read->nargs - 1];
  int64_t n;
  for (int i = a->nlead - 1; i >= 0; i--) {
    if (i == a->row || !expr_is_const_int(a->lead[i]->extent, &n)) {
      at[i] = zero;
      continue;
    }
    at[i] = ex_idx(c, head % n);
    head /= n;
  }
  e = expr_subst(c, e, a->lead, at, a->nlead);
  return expr_is_const_int(attention_put(c, e, element, zero), &n) ? n : -1;
}

// Elements of a row that one task goes through; 0: parts of rows are not what it reads.
static int64_t width_of(const Kept *k, const Attention *a, const Expr *read, const Var *element) {
  int last = read->nargs - 1, together = attention_group(a, k->m->target, k->o->threads);
  const Dim *d = &k->then->type.dim[last];
  const Expr *rest;
  int64_t size, step;
  if (k->axis >= last || read->args[k->axis] != ex_var(a->c, a->key) || d->sym) return 0;
  if (!expr_is_const_int(element->extent, &size) ||
      !expr_affine(a->c, read->args[last], element, &step, &rest))
    return 0;
  int64_t width = head_begins(a, read, element, together - 1) + size;
  bool apart = head_begins(a, read, element, 0) == 0 && head_begins(a, read, element, together) == width;
  return step == 1 && apart && d->n % width == 0 ? width : 0;
}

// Does the node read the state as keys or values of attention, once, and as others do?
static bool reads_rows(Kept *k, const Node *n) {
  Attention a;
  const Expr **reads;
  int count = 0;
  if (!n->kernel || n->kernel->routine || !attention_match(k->m->ctx, n->kernel, &a)) return false;
  for (int i = 0; i < n->kernel->stages.n; i++)
    count += expr_reads(k->m->ctx, n->kernel->stages.data[i].value, k->then);
  const Expr *both[] = {a.k, a.v};
  const Var *element[] = {a.size, a.col};
  for (int i = 0; i < 2; i++) {
    if (expr_read_list(k->m->ctx, both[i], &reads) != 1 || reads[0]->value != k->then) continue;
    int64_t width = width_of(k, &a, reads[0], element[i]);
    if (!width || (k->width && k->width != width)) return false;
    k->width = width;
    count--;
  }
  return count == 0;
}

// Only what makes the new value reads the old one, and only attention the new one?
static bool is_read_by_rows(Kept *k) {
  const Graph *g = k->m->main;
  for (const Node *n = g->first; n; n = n->next) {
    if (n->nregions > 0) return false;
    for (int i = 0; i < n->nin; i++) {
      if (n->in[i] == k->now && n != k->then->def) return false;
      if (n->in[i] == k->then && !reads_rows(k, n)) return false;
    }
  }
  int outputs = 0;
  for (int i = 0; i < g->outputs.n; i++) outputs += g->outputs.data[i] == k->then;
  return outputs == 1 && k->width > 0;
}

static const Layout *by_width(const Kept *k) {
  LayoutPart part[MAX_RANK + 1];
  const Layout *plain = k->now->layout;
  int n = 0, last = k->now->type.rank - 1;
  for (int i = 0; i < last; i++) {
    if (i == k->axis) part[n++] = (LayoutPart){.dim = last, .div = k->width};
    part[n++] = plain->part[i];
  }
  part[n++] = (LayoutPart){.dim = last, .div = 1, .mod = k->width};
  return layout_new(k->m->ctx, part, n);
}

void layout_states(Module *m, const PassOptions *o) {
  const Sym *sym;
  const Expr *next;
  Graph *g = m->main;
  for (int i = 0; i < g->states.n && o->opt_level >= 2; i++) {
    const State *s = &g->states.data[i];
    Value *now = g->inputs.data[s->input], *then = g->outputs.data[s->output];
    Kept k = {.m = m, .o = o, .now = now, .then = then, .axis = state_growth(g, s, &sym, &next)};
    if (k.axis < 0 || !now->layout || !then->def || !layout_equal(now->layout, then->layout)) continue;
    if (!is_read_by_rows(&k)) continue;
    now->layout = then->layout = by_width(&k);
    remark(m, "layout", then, "%s: the heads that attention does together have rows of their own",
           layout_text(m->ctx, then->layout));
  }
}
