// fuse.c: graph -> kernels: composes tensor expressions from the last node to the first.
// SPDX-License-Identifier: Apache-2.0
//
// Requires: no node whose op is only defined by a decomposition. Leaves: every node is a kernel (stages or a
// routine) or an op with regions, whose graphs are fused in the same way.
#include "passes/fuse.h"

static bool is_expression(const Node *n) {
  return n->op->info->define || n->op->info->expr;
}

FuseInfo *fuse_info(Fuse *f, Value *v) {
  if (!v->info) v->info = NEW(f->c->arena, FuseInfo);
  return v->info;
}

// ---- definitions --------------------------------------------------------------------------------------------

// Reads of constants at constant places become numbers.
static const Expr *fold_const_read(Ctx *c, const Expr *e, void *data) {
  (void)data;
  const Tensor *t = e->op == E_READ ? const_of(e->value) : NULL;
  if (!t || !type_is_static(&t->type)) return e;
  const Expr *simple = fuse_read_const(c, e, t);
  if (simple) return simple;
  int64_t at = 0;
  for (int i = 0; i < e->nargs; i++) {
    int64_t k, n = t->type.dim[i].n;
    if (n == 1) continue;
    if (!expr_is_const_int(e->args[i], &k) || k < 0 || k >= n) return e;
    at = at * n + k;
  }
  if (dtype_is_float(t->type.dtype)) return ex_float(c, t->type.dtype, tensor_get(t, at));
  if (t->type.dtype == DT_BOOL) return ex_bool(c, tensor_get_int(t, at) != 0);
  return ex_int(c, t->type.dtype, tensor_get_int(t, at));
}

bool fuse_define(Fuse *f, Node *n, int k, Stage *s) {
  Ctx *c = f->c;
  Value *v = n->out[k];
  int rank = v->type.rank;
  const Var **dims = NEW_ARRAY(c->arena, const Var *, rank);
  const Expr *index[MAX_RANK];
  for (int i = 0; i < rank; i++) {
    const Expr *extent = dim_to_expr(c, v->type.dim[i]);
    dims[i] = var_new(c, arena_printf(c->arena, "i%d", i), extent);
    index[i] = extent == ex_idx(c, 1) ? ex_idx(c, 0) : ex_var(c, dims[i]);
  }
  const Expr *e = node_define(c, n, k, index);
  if (!e) return false;
  if (f->opt >= 1) e = expr_rewrite(c, e, fold_const_read, NULL);
  *s = (Stage){.out = v, .ndims = rank, .dims = dims, .value = e, .loc = n->loc};
  return true;
}

// ---- groups -------------------------------------------------------------------------------------------------

enum { FEW_READERS = 8 };

static bool is_reader(const FuseInfo *info, const Group *g) {
  if (info->readers.n > FEW_READERS && ptr_get(&info->known, g)) return true;
  for (int k = 0; k < info->readers.n && k < FEW_READERS; k++)
    if (info->readers.data[k] == g) return true;
  return false;
}

static void note_reader(Fuse *f, FuseInfo *info, Group *g) {
  if (is_reader(info, g)) return;
  vec_push(f->c->arena, &info->readers, g);
  if (info->readers.n > FEW_READERS) ptr_put(f->c->arena, &info->known, g, g);
}

// Enters the group as a reader of everything its stage reads.
static void note_reads(Fuse *f, Group *g, const Expr *e) {
  const Expr **reads;
  int n = expr_read_list(f->c, e, &reads);
  for (int i = 0; i < n; i++) note_reader(f, fuse_info(f, reads[i]->value), g);
}

static void note_stage(Fuse *f, Group *g, const Stage *s) {
  note_reads(f, g, s->value);
  for (int i = 0; s->index && i < s->out->type.rank; i++) note_reads(f, g, s->index[i]);
}

static Group *group_new(Fuse *f, Node *root) {
  Group *g = NEW(f->c->arena, Group);
  g->root = root;
  vec_push(f->c->arena, &g->members, root);
  vec_push(f->c->arena, &f->groups, g);
  return g;
}

static void add_member(Fuse *f, Group *g, Node *n) {
  for (int i = 0; i < g->members.n; i++)
    if (g->members.data[i] == n) return;
  vec_push(f->c->arena, &g->members, n);
}

static void make_root(Fuse *f, Node *n, const Stage *s) {
  Group *g = group_new(f, n);
  vec_push(f->c->arena, &g->outs, s->out);
  vec_push(f->c->arena, &g->stages, *s);
  g->heavy = fuse_is_heavy(f->c, s);
  g->closed = fuse_joins_in_place(n);
  note_stage(f, g, s);
}

// Puts the stage before the others of the group.
static void make_local(Fuse *f, Node *n, const Stage *s, Group *g, int at) {
  vec_push(f->c->arena, &g->stages, *s);
  for (int i = g->stages.n - 1; i > 0; i--) g->stages.data[i] = g->stages.data[i - 1];
  g->stages.data[0] = *s;
  g->at = at;
  for (int i = 0; i < g->stages.n; i++) g->stages.data[i].at = at;
  vec_push(f->c->arena, &g->locals, s->out);
  add_member(f, g, n);
  note_stage(f, g, s);
}

typedef struct Inline {
  const Value *v;
  const Stage *def;
} Inline;

static const Expr *inline_read(Ctx *c, const Expr *e, void *data) {
  const Inline *in = data;
  if (e->op != E_READ || e->value != in->v) return fold_const_read(c, e, NULL);
  const Expr *r = expr_subst(c, in->def->value, in->def->dims, e->args, in->def->ndims);
  return expr_rewrite(c, r, fold_const_read, NULL);
}

static bool inline_in_stage(Fuse *f, Group *g, Stage *s, Inline *in) {
  const Expr *value = expr_rewrite(f->c, s->value, inline_read, in);
  bool changed = value != s->value;
  s->value = value;
  if (s->index) {
    const Expr **index = NEW_ARRAY(f->c->arena, const Expr *, s->out->type.rank);
    for (int i = 0; i < s->out->type.rank; i++) {
      index[i] = expr_rewrite(f->c, s->index[i], inline_read, in);
      changed |= index[i] != s->index[i];
    }
    s->index = index;
  }
  if (changed) note_stage(f, g, s);
  return changed;
}

static void inline_everywhere(Fuse *f, Node *n, const Value *v, const Stage *def) {
  Inline in = {v, def};
  const FuseInfo *info = v->info;
  bool heavy = fuse_is_heavy(f->c, def);
  for (int i = 0; i < info->readers.n; i++) {
    Group *g = info->readers.data[i];
    bool changed = false;
    for (int k = 0; k < g->stages.n; k++) changed |= inline_in_stage(f, g, &g->stages.data[k], &in);
    if (!changed) continue;
    g->heavy |= heavy;
    add_member(f, g, n);
  }
}

// ---- the walk -----------------------------------------------------------------------------------------------

static const char *const FATES[] = {[FATE_DEAD] = "dropped",
                                    [FATE_INLINE] = "fused into its readers",
                                    [FATE_LOCAL] = "fused as a stage of its reader",
                                    [FATE_ROOT] = "has a buffer of its own"};

static bool fuse_result(Fuse *f, Node *n, int k) {
  Value *v = n->out[k];
  const FuseInfo *info = fuse_info(f, v);
  if (!info->must && info->readers.n == 0) return true;
  Stage s;
  if (!fuse_define(f, n, k, &s)) return false;
  UseList uses = {0};
  fuse_uses(f, v, &uses);
  Group *group = NULL;
  int at = 0;
  Fate fate = fuse_decide(f, v, &s, &uses, &group, &at);
  remark(f->m, "fuse", v, "%s: %s", FATES[fate], f->why);
  switch (fate) {
  case FATE_DEAD: break;
  case FATE_LOCAL: make_local(f, n, &s, group, at); break;
  case FATE_ROOT: make_root(f, n, &s); break;
  case FATE_INLINE:
    inline_everywhere(f, n, v, &s);
    if (info->must) make_root(f, n, &s);
  }
  return true;
}

static bool is_used(Fuse *f, Node *n) {
  for (int i = 0; i < n->nout; i++) {
    const FuseInfo *info = fuse_info(f, n->out[i]);
    if (info->must || info->readers.n) return true;
  }
  return (n->op->info->flags & OP_IMPURE) || node_data_sym(n); // dead ones dce has removed
}

// An op that writes its results in stages of its own.
static bool fuse_stages(Fuse *f, Node *n) {
  if (!is_used(f, n)) return true;
  Kernel *k = NEW(f->c->arena, Kernel);
  if (!n->op->info->stages(f->c, n, k)) return false;
  Group *g = group_new(f, n);
  g->closed = true;
  for (int i = 0; i < n->nout; i++) vec_push(f->c->arena, &g->outs, n->out[i]);
  for (int i = 0; i < k->locals.n; i++) vec_push(f->c->arena, &g->locals, k->locals.data[i]);
  for (int i = 0; i < k->stages.n; i++) {
    vec_push(f->c->arena, &g->stages, k->stages.data[i]);
    note_stage(f, g, &k->stages.data[i]);
  }
  return true;
}

static void must_have(Fuse *f, Value *v) {
  if (v) fuse_info(f, v)->must = true;
}

static void must_have_own(Fuse *f, Value *v) {
  if (v && v->def && v->def->graph == f->g) must_have(f, v);
}

// What a region reads of the graph around it, at whatever depth, needs a buffer there.
static void must_have_region(Fuse *f, const Graph *r) {
  for (const Node *n = r->first; n; n = n->next) {
    for (int i = 0; i < n->nin; i++) must_have_own(f, n->in[i]);
    for (int i = 0; i < n->nregions; i++) must_have_region(f, n->region[i]);
  }
  for (int i = 0; i < r->outputs.n; i++) must_have_own(f, r->outputs.data[i]);
}

static bool fuse_graph(Fuse *f, Graph *g);

static bool fuse_regions(Fuse *f, Node *n) {
  for (int i = 0; i < n->nregions; i++) {
    must_have_region(f, n->region[i]);
    Fuse inner = {
        .c = f->c, .m = f->m, .g = n->region[i], .opt = f->opt, .strict = f->strict, .names = f->names};
    if (!fuse_graph(&inner, n->region[i])) return false;
  }
  for (int i = 0; i < n->nin; i++) must_have(f, n->in[i]);
  return true;
}

static bool fuse_node(Fuse *f, Node *n) {
  const OpInfo *info = n->op->info;
  if (n->kernel) {
    for (int i = 0; i < n->nin; i++) must_have(f, n->in[i]);
    return true;
  }
  if (n->nregions) return fuse_regions(f, n);
  if (is_expression(n)) {
    for (int i = n->nout - 1; i >= 0; i--)
      if (!fuse_result(f, n, i)) return false;
    return true;
  }
  if (info->stages) return fuse_stages(f, n);
  if (info->routine) {
    for (int i = 0; is_used(f, n) && i < n->nin; i++) must_have(f, n->in[i]);
    return true;
  }
  diag_error(f->c->diag, n->loc, "internal error: no definition of '%s' is left to fuse", n->op->name);
  return false;
}

// Is output i's value also another output that keeps it? States do so first: they may be large, and theirs is
// the layout.
static bool belongs_to_other(const Graph *g, int i) {
  bool state = state_of_output(g, i) != NULL;
  for (int k = 0; k < g->outputs.n; k++) {
    bool other_state = state_of_output(g, k) != NULL;
    if (k == i || g->outputs.data[k] != g->outputs.data[i]) continue;
    if (state == other_state ? k < i : other_state) return true;
  }
  return false;
}

// Outputs of the main graph that nothing computes, or that two names stand for, get a copy of their own:
// the caller's buffers are distinct.
static void copy_outputs(Fuse *f, Graph *g) {
  for (int i = 0; i < g->outputs.n; i++) {
    Value *v = g->outputs.data[i];
    if (v->def && !belongs_to_other(g, i) && !v->def->nregions) continue;
    Builder b = builder_at(g, NULL, v->loc);
    b.made_by = "fuse";
    b.like = v->def;
    Value *copy = value_new(f->c, g->output_names.data[i], v->type, v->loc);
    const State *state = state_of_output(g, i);
    if (state) copy->layout = g->inputs.data[state->input]->layout;
    Kernel *k = NEW(f->c->arena, Kernel);
    const Var **dims = NEW_ARRAY(f->c->arena, const Var *, v->type.rank);
    const Expr *index[MAX_RANK];
    for (int d = 0; d < v->type.rank; d++) {
      dims[d] = var_new(f->c, arena_printf(f->c->arena, "i%d", d), dim_to_expr(f->c, v->type.dim[d]));
      index[d] = ex_var(f->c, dims[d]);
    }
    Stage s = {.out = copy, .ndims = v->type.rank, .dims = dims, .loc = v->loc};
    s.value = ex_read(f->c, v, index, v->type.rank);
    vec_push(f->c->arena, &k->stages, s);
    k->name = fuse_kernel_name(f, copy->name, "copy");
    build_kernel(&b, k, &v, 1, &copy, 1);
    g->outputs.data[i] = copy;
    must_have(f, v);
  }
}

// Replaces nodes by kernels: groups stand last first, as their roots do.
static bool build_all(Fuse *f, Graph *g) {
  for (int i = f->groups.n - 1; i >= 0; i--)
    if (!fuse_build(f, f->groups.data[i])) return false;
  for (Node *n = g->first, *next; n; n = next) {
    next = n->next;
    if (!n->kernel && !n->nregions && n->op->info->routine && is_used(f, n) && !fuse_build_routine(f, n))
      return false;
  }
  for (Node *n = g->last, *prev; n; n = prev) {
    prev = n->prev;
    if (!n->kernel && !n->nregions) node_remove(n);
  }
  return true;
}

static bool fuse_graph(Fuse *f, Graph *g) {
  for (int i = 0; i < g->outputs.n; i++) must_have(f, g->outputs.data[i]);
  if (!g->parent) copy_outputs(f, g);
  for (Node *n = g->last; n; n = n->prev)
    if (!fuse_node(f, n)) return false;
  return build_all(f, g);
}

bool pass_fuse(Module *m, const PassOptions *o) {
  Fuse f = {.c = m->ctx,
            .m = m,
            .g = m->main,
            .opt = o->opt_level,
            .strict = o->fp_strict,
            .names = map_new(m->ctx->arena)};
  clear_info(m->main);
  if (!fuse_graph(&f, m->main)) return false;
  fuse_own_vars(m->main);
  clear_info(m->main);
  graph_count_uses(m->main);
  return true;
}
