// layout_gather.c: rows of products that lie scattered in memory are gathered before.
// SPDX-License-Identifier: Apache-2.0
//
// A 1x1 convolution reads each element of its input once for every panel of its weights. Where channels lie a plane apart
// (a plain image) or a stride leaves most pixels out, each of these reads fetches a cache line for one or a few elements.
// A copy in blocks of channels, made once, is read front to back instead.
#include "passes/layout.h"
#include "passes/product_impl.h"

enum {
  LEAST_STEPS = 32,    // of K
  LEAST_COLUMNS = 128, // for which rows are read again
};

// Do neighbouring steps of K lie apart?
static bool steps_apart(Product *p, const Expr *read) {
  const Expr *rest;
  int64_t step;
  if (read->value->layout) return false; // in blocks
  return !expr_affine(p->c, flat_offset(p->c, read->value, read->args), p->k_var[0], &step, &rest) ||
         step != 1;
}

// Are rows further apart than their neighbours in memory, which come along with each and are not read?
static bool leaves_out(const Product *p, const Expr *read) {
  const Expr *rest;
  int64_t step;
  for (int i = 0; i < p->ndims; i++)
    for (int d = 0; p->dim[i].role == ROLE_M && d < read->nargs; d++)
      if (expr_affine(p->c, read->args[d], p->dim[i].var, &step, &rest) && step > 1) return true;
  return false;
}

static int64_t block_of(const Product *p) {
  int64_t lanes = p->target->vector_bytes / dtype_bytes(DT_F32);
  while (lanes > 1 && p->k_extent[0] % lanes) lanes /= 2;
  return lanes;
}

static bool reads_once(const Product *p) {
  const Expr **reads;
  int n = expr_read_list(p->c, p->value, &reads), found = 0;
  for (int i = 0; i < n; i++) found += reads[i]->value == p->a->value;
  return found == 1;
}

// One sum over one variable, of known extents, whose rows are read as they are.
static bool fits(const Product *p) {
  const Expr *read = product_plain_read(p->a);
  if (!read || read != p->a || const_of(read->value) || read->dtype != DT_F32 || p->guard || p->depthwise)
    return false;
  if (p->nk != 1 || p->k_extent[0] < LEAST_STEPS || p->dim[p->lane].extent < LEAST_COLUMNS) return false;
  if (p->value != p->stage->value || p->tile < 0 || block_of(p) < 4 ||
      !expr_uses_var(p->c, read, p->k_var[0]))
    return false;
  int rows = 0;
  for (int i = 0; i < p->ndims; i++) {
    bool batch = p->dim[i].role == ROLE_BATCH && expr_uses_var(p->c, read, p->dim[i].var);
    if (!p->dim[i].fixed || batch) return false;
    rows += p->dim[i].role == ROLE_M;
  }
  return rows < MAX_RANK && reads_once(p);
}

// [K, rows...] in blocks of K that stand side by side in memory, behind the rows.
static const Layout *rows_layout(Ctx *c, int rank, int64_t block) {
  LayoutPart part[MAX_RANK + 1];
  for (int i = 0; i < rank; i++) part[i] = (LayoutPart){.dim = i, .div = i == 0 ? block : 1};
  part[rank] = (LayoutPart){.dim = 0, .div = 1, .mod = block};
  return layout_new(c, part, rank + 1);
}

typedef struct NameSearch {
  const char *name;
  bool taken;
} NameSearch;

static bool find_name(Graph *g, void *data) {
  NameSearch *s = data;
  for (const Node *n = g->first; n; n = n->next)
    s->taken |= n->kernel && strcmp(n->kernel->name, s->name) == 0;
  return true;
}

// A name that no kernel has yet.
static const char *new_name(Module *m, const Kernel *k) {
  NameSearch s = {.taken = true};
  for (int i = 1; s.taken; i++) {
    s.name = i == 1 ? arena_printf(m->ctx->arena, "%s_rows", k->name)
                    : arena_printf(m->ctx->arena, "%s_rows_%d", k->name, i);
    s.taken = false;
    each_graph(m->main, find_name, &s);
  }
  return s.name;
}

// Puts a kernel before n that copies what the product reads, and makes n read the copy.
static void gather(Module *m, Node *n, Product *p) {
  Ctx *c = m->ctx;
  const Expr *read = p->a, *at[MAX_RANK], *with[MAX_RANK];
  const Var *vars[MAX_RANK], **dims = NEW_ARRAY(c->arena, const Var *, MAX_RANK);
  Type t = {.dtype = DT_F32};
  for (int i = -1; i < p->ndims; i++) {
    if (i >= 0 && p->dim[i].role != ROLE_M) continue;
    const Var *var = i < 0 ? p->k_var[0] : p->dim[i].var;
    int64_t extent = i < 0 ? p->k_extent[0] : p->dim[i].extent;
    vars[t.rank] = var;
    at[t.rank] = ex_var(c, var);
    dims[t.rank] = var_new(c, i < 0 ? "k" : var->name, ex_idx(c, extent));
    with[t.rank] = ex_var(c, dims[t.rank]);
    t.dim[t.rank++] = dim_const(extent);
  }
  Builder b = builder_at(n->graph, n, n->loc);
  b.made_by = "layout";
  b.like = n;
  Value *copy = value_new(c, NULL, t, n->loc), *in = read->value;
  copy->layout = rows_layout(c, t.rank, block_of(p));
  Kernel *k = NEW(c->arena, Kernel);
  Stage s = {.out = copy, .ndims = t.rank, .dims = dims, .loc = n->loc};
  s.value = expr_subst(c, read, vars, with, t.rank);
  vec_push(c->arena, &k->stages, s);
  k->name = new_name(m, n->kernel);
  k->bytes = 2 * type_bytes(&t);
  k->parallel = 1;
  build_kernel(&b, k, &in, 1, &copy, 1);
  Stage *product = &n->kernel->stages.data[0];
  product->value = expr_replace(c, product->value, read, ex_read(c, copy, at, t.rank));
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] == in) n->in[i] = copy;
  remark(m, "layout", n->out[0], "the rows that it reads lie scattered: %s copies them in blocks first",
         k->name);
}

static bool gather_graph(Graph *g, void *data) {
  Module *m = data;
  Product p;
  for (Node *n = g->first; n; n = n->next) {
    if (!n->kernel || n->kernel->routine || !product_match(m, n->kernel, &p) || !fits(&p)) continue;
    if (steps_apart(&p, p.a) || leaves_out(&p, p.a)) gather(m, n, &p);
  }
  return true;
}

void layout_gather(Module *m) {
  each_graph(m->main, gather_graph, m);
  graph_count_uses(m->main);
}
