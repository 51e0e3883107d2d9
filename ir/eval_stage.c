// eval_stage.c: evaluates stages of kernels, and the loops of scheduled ones.
// SPDX-License-Identifier: Apache-2.0
#include "ir/eval.h"

// ---- symbols --------------------------------------------------------------------------------------------------

static const Expr *bind_extents(Eval *ev, const Expr *e) {
  Ctx *c = ev->ctx;
  int n = e->reduce.nvars;
  const Var **vars = NEW_ARRAY(c->arena, const Var *, n);
  const Expr **with = NEW_ARRAY(c->arena, const Expr *, n);
  bool changed = false;
  for (int i = 0; i < n; i++) {
    const Var *v = e->reduce.vars[i];
    const Expr *extent = expr_subst(c, eval_bind_expr(ev, v->extent), e->reduce.vars, with, i);
    bool same = extent == v->extent;
    vars[i] = same ? v : var_new(c, v->name, extent);
    with[i] = ex_var(c, vars[i]);
    changed |= !same;
  }
  if (!changed) return e;
  return ex_reduce(c, e->reduce.kind, vars, n, expr_subst(c, e->args[0], e->reduce.vars, with, n));
}

static const Expr *bind_node(Ctx *c, const Expr *e, void *data) {
  Eval *ev = data;
  if (e->op == E_REDUCE) return bind_extents(ev, e);
  if (e->op != E_SYM) return e;
  for (int i = 0; i < ev->syms.n; i++)
    if (ev->syms.data[i].sym == e->sym) return ex_idx(c, ev->syms.data[i].value);
  return e;
}

const Expr *eval_bind_expr(Eval *ev, const Expr *e) {
  return ev->syms.n ? expr_rewrite(ev->ctx, e, bind_node, ev) : e;
}

// ---- stages -----------------------------------------------------------------------------------------------------

// A stage with all symbols bound.
typedef struct Bound {
  int n, rank;
  const Var **dim;
  const Expr **index, *value;
  StoreKind store;
  Value *out;
} Bound;

static Bound bind_stage(Eval *ev, const Stage *s) {
  Ctx *c = ev->ctx;
  Bound b = {.n = s->ndims, .rank = s->out->type.rank, .out = s->out, .store = s->store};
  const Expr **with = NEW_ARRAY(c->arena, const Expr *, b.n);
  b.dim = NEW_ARRAY(c->arena, const Var *, b.n);
  for (int i = 0; i < b.n; i++) {
    const Expr *extent = expr_subst(c, eval_bind_expr(ev, s->dims[i]->extent), s->dims, with, i);
    bool same = extent == s->dims[i]->extent;
    b.dim[i] = same ? s->dims[i] : var_new(c, s->dims[i]->name, extent);
    with[i] = ex_var(c, b.dim[i]);
  }
  b.index = NEW_ARRAY(c->arena, const Expr *, b.rank);
  for (int i = 0; i < b.rank; i++)
    b.index[i] = s->index ? expr_subst(c, eval_bind_expr(ev, s->index[i]), s->dims, with, b.n) : with[i];
  b.value = expr_subst(c, eval_bind_expr(ev, s->value), s->dims, with, b.n);
  return b;
}

typedef struct ExtentQuery {
  Ctx *ctx;
  const Var *var;
} ExtentQuery;

static bool extent_lacks_var(const Expr *e, void *data) {
  const ExtentQuery *q = data;
  for (int i = 0; e->op == E_REDUCE && i < e->reduce.nvars; i++)
    if (expr_uses_var(q->ctx, e->reduce.vars[i]->extent, q->var)) return false;
  return true;
}

// May dim d run in lanes? Not if the extent of a loop depends on it.
static bool can_be_lanes(Ctx *c, const Bound *b, int d) {
  for (int i = 0; i < b->n; i++)
    if (expr_uses_var(c, b->dim[i]->extent, b->dim[d])) return false;
  return expr_visit(c, b->value, extent_lacks_var, &(ExtentQuery){c, b->dim[d]});
}

// The dim to run in lanes: the last one if it is long enough, else the longest.
static int choose_lanes(Ctx *c, const Bound *b) {
  int best = -1;
  int64_t most = 0;
  for (int d = b->n - 1; d >= 0; d--) {
    int64_t extent = expr_range(c, b->dim[d]->extent).hi;
    if (!can_be_lanes(c, b, d) || extent <= most) continue;
    best = d;
    most = extent;
    if (most >= LANES / 4) break;
  }
  return best;
}

// Whether elements must be computed one by one: a stage that reads what it wrote.
static bool reads_own(Ctx *c, const Bound *b) {
  bool own = expr_reads(c, b->value, b->out) > 0;
  for (int i = 0; i < b->rank; i++) own |= expr_reads(c, b->index[i], b->out) > 0;
  return own;
}

// Loops over the dims, the lanes innermost; returns the innermost block.
static Block *compile_dims(Compiler *k, const Bound *b, int lane_dim) {
  Block *at = k->program->blocks.data[0];
  for (int d = 0; d < b->n; d++)
    if (d != lane_dim) at = compile_loop(k, b->dim[d], at, false);
  if (lane_dim >= 0) at = compile_loop(k, b->dim[lane_dim], at, true);
  return at;
}

static void compile_stage(Compiler *k, const Stage *s, const Bound *b) {
  Ctx *c = k->ctx;
  bool in_order = s->index != NULL, own = reads_own(c, b);
  int lane_dim = in_order ? b->n - 1 : choose_lanes(c, b);
  if (in_order && lane_dim >= 0 && !can_be_lanes(c, b, lane_dim)) own = true;
  if (own) lane_dim = b->n - 1;
  if (own) k->program->block_lanes = 1;
  if (own) k->pinned = b->out;
  Block *inner = compile_dims(k, b, lane_dim);
  k->lanes = inner;
  const Expr *value = expr_fresh(c, b->value); // no two reductions share a variable
  compile_masks(k, value);
  for (int i = 0; i < b->rank; i++) compile_masks(k, b->index[i]);
  compile_store(k, inner, b->out, b->store, b->index, b->rank, value);
  for (Block *at = inner; at->parent; at = at->parent) enter_loop(k, at);
}

// No iterations: what does not depend on the loops must not be computed either.
static bool is_empty(const Bound *b) {
  int64_t extent;
  for (int i = 0; i < b->n; i++)
    if (expr_is_const_int(b->dim[i]->extent, &extent) && extent <= 0) return true;
  return false;
}

bool eval_stage(Eval *ev, const Stage *s) {
  if (!eval_need(ev, s->out)) return false;
  Bound b = bind_stage(ev, s);
  if (is_empty(&b)) return true;
  Compiler k;
  Program p;
  compiler_start(&k, ev, &p, s->loc);
  compile_stage(&k, s, &b);
  compiler_end(&k);
  return !p.failed && program_run(&p);
}

// ---- loops --------------------------------------------------------------------------------------------------------

static void compile_stmts(Compiler *k, Block *b, const Stmt *s);

// Expressions that read memory, and those on let-bound scalars, hold at one place only.
static void forget_expressions(Compiler *k) {
  memo_give(k->ctx, k->slots);
  memo_give(k->ctx, k->masks);
  k->slots = memo_take(k->ctx);
  k->masks = memo_take(k->ctx);
}

static const Expr *prepare(Compiler *k, const Expr *e) {
  e = eval_bind_expr(k->eval, e);
  compile_masks(k, e);
  return e;
}

static void compile_for(Compiler *k, Block *b, const Stmt *s) {
  const Var *v = s->loop.var;
  const Expr *extent = prepare(k, v->extent);
  Var *bound = var_new(k->ctx, v->name, extent);
  Block *loop = compile_loop(k, bound, b, false);
  vec_push(k->ctx->arena, &k->vars, ((VarHome){v, loop, loop->var}));
  compile_stmts(k, loop, s->loop.body);
  enter_loop(k, loop);
}

static void compile_loop_store(Compiler *k, Block *b, const Stmt *s) {
  const Expr **index = NEW_ARRAY(k->ctx->arena, const Expr *, s->store.nindex);
  for (int i = 0; i < s->store.nindex; i++) index[i] = prepare(k, s->store.index[i]);
  if (!eval_need(k->eval, s->store.dst))
    k->program->failed = true;
  else
    compile_store(k, b, s->store.dst, s->store.op, index, s->store.nindex, prepare(k, s->store.value));
}

static void compile_let(Compiler *k, Block *b, const Stmt *s) {
  Slot *x = compile_expr(k, prepare(k, s->let.value));
  int reg = new_reg(k, false);
  emit(k, b, (Ins){.code = C_MOVE, .t = (uint8_t)s->let.var->dtype, .dst = reg, .a = x->reg});
  vec_push(k->ctx->arena, &k->vars, ((VarHome){s->let.var, b, reg}));
}

static int block_number(const Compiler *k) {
  return k->program->blocks.n;
}

static void compile_if(Compiler *k, Block *b, const Stmt *s) {
  Slot *p = compile_expr(k, prepare(k, s->cond.cond));
  int then = block_number(k);
  compile_stmts(k, block_new(k, b), s->cond.then);
  int otherwise = s->cond.otherwise ? block_number(k) : -1;
  if (s->cond.otherwise) compile_stmts(k, block_new(k, b), s->cond.otherwise);
  emit(k, b, (Ins){.code = C_IF, .t = DT_BOOL, .a = p->reg, .imm = then, .otherwise = otherwise});
}

static void compile_stmts(Compiler *k, Block *b, const Stmt *s) {
  for (; s && !k->program->failed; s = s->next) {
    forget_expressions(k);
    k->here = b;
    switch (s->kind) {
    case S_FOR: compile_for(k, b, s); break;
    case S_STORE: compile_loop_store(k, b, s); break;
    case S_LET: compile_let(k, b, s); break;
    case S_IF: compile_if(k, b, s); break;
    case S_ALLOC:
      if (!eval_need(k->eval, s->alloc)) k->program->failed = true;
      break;
    case S_PREFETCH: break;
    }
  }
}

bool eval_body(Eval *ev, const Kernel *kernel, Loc loc) {
  Compiler k;
  Program p;
  compiler_start(&k, ev, &p, loc);
  k.literal = true;
  compile_stmts(&k, p.blocks.data[0], kernel->body);
  compiler_end(&k);
  return !p.failed && program_run(&p);
}
