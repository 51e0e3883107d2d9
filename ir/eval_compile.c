// eval_compile.c: expressions to instructions of the evaluator, each in the outermost loop it can be in.
// SPDX-License-Identifier: Apache-2.0
#include "ir/eval.h"

void compiler_start(Compiler *k, Eval *ev, Program *p, Loc loc) {
  *p = (Program){.ctx = ev->ctx, .loc = loc, .block_lanes = LANES};
  *k = (Compiler){.ctx = ev->ctx, .eval = ev, .program = p};
  k->slots = memo_take(k->ctx);
  k->masks = memo_take(k->ctx);
  k->here = block_new(k, NULL);
}

void compiler_end(Compiler *k) {
  memo_give(k->ctx, k->masks);
  memo_give(k->ctx, k->slots);
}

// A kernel that breaks the rules: reported, and not run.
static void broken(Compiler *k, const char *what, const char *name) {
  if (!k->program->failed) diag_error(k->ctx->diag, k->program->loc, "evaluation: %s '%s'", what, name);
  k->program->failed = true;
}

// ---- blocks and registers -----------------------------------------------------------------------------------

Block *block_new(Compiler *k, Block *parent) {
  Block *b = NEW(k->ctx->arena, Block);
  b->parent = parent;
  b->depth = parent ? parent->depth + 1 : 0;
  b->var = b->extent = -1;
  vec_push(k->ctx->arena, &k->program->blocks, b);
  return b;
}

Ins *emit(Compiler *k, Block *b, Ins ins) {
  vec_push(k->ctx->arena, &b->ins, ins);
  return &b->ins.data[b->ins.n - 1];
}

int new_reg(Compiler *k, bool wide) {
  int r = k->program->nregs;
  k->program->nregs += wide ? LANES : 1;
  return r;
}

static Block *deeper(Block *a, Block *b) {
  return a->depth >= b->depth ? a : b;
}

static Block *root(Compiler *k) {
  return k->program->blocks.data[0];
}

static Slot *slot_new(Compiler *k, const Expr *e, bool wide, Block *home) {
  Slot *s = NEW(k->ctx->arena, Slot);
  *s = (Slot){.reg = new_reg(k, wide), .wide_reg = -1, .wide = wide, .home = home};
  if (wide) s->wide_reg = s->reg;
  memo_put(k->ctx, k->slots, e, s);
  return s;
}

static Slot *find_slot(Compiler *k, const Expr *e) {
  return (Slot *)memo_get(k->slots, e);
}

static VarHome *find_var(Compiler *k, const Var *v) {
  for (int i = k->vars.n - 1; i >= 0; i--)
    if (k->vars.data[i].var == v) return &k->vars.data[i];
  return NULL;
}

// The register that has s in every lane.
static int wide_reg_of(Compiler *k, Slot *s, DType t) {
  if (s->wide_reg < 0) {
    s->wide_reg = new_reg(k, true);
    emit(k, s->home, (Ins){.code = C_BROADCAST, .t = (uint8_t)t, .dst = s->wide_reg, .a = s->reg});
  }
  return s->wide_reg;
}

// ---- masks ------------------------------------------------------------------------------------------------------------

// The ways an expression is reached: each a conjunction of the guards on the way. Reached without guard:
// the conjunction `true`. A conjunction that another one implies goes.
typedef struct Ways {
  int n;
  const Expr *conj[4];
} Ways;

static bool implies(Ctx *c, const Expr *a, const Expr *b) { // every conjunct of b is one of a's
  return ex_binary(c, E_AND, a, b) == a;
}

static void add_way(Ctx *c, Ways *w, const Expr *conj) {
  for (int i = 0; i < w->n; i++)
    if (implies(c, conj, w->conj[i])) return;
  int n = 0;
  for (int i = 0; i < w->n; i++)
    if (!implies(c, w->conj[i], conj)) w->conj[n++] = w->conj[i];
  w->n = n;
  if (n == ARRAY_LEN(w->conj)) { // too many to tell apart: as if unguarded, and any index may be asked for
    w->n = 1;
    w->conj[0] = ex_bool(c, true);
    return;
  }
  w->conj[w->n++] = conj;
}

static Ways *ways_of(Ctx *c, Memo *m, const Expr *e) {
  Ways *w = (Ways *)memo_get(m, e);
  if (w) return w;
  w = NEW(c->arena, Ways);
  memo_put(c, m, e, w);
  return w;
}

static bool has_guard(const Memo *order) {
  for (int i = 0; i < order->order.n; i++)
    if (order->order.data[i]->op == E_GUARD) return true;
  return false;
}

// What else was compiled before may reach the read in other ways.
static void add_mask(Compiler *k, const Expr *read, const Expr *mask) {
  const Expr *before = memo_get(k->masks, read);
  memo_put(k->ctx, k->masks, read, before ? ex_binary(k->ctx, E_OR, before, mask) : mask);
}

static const Expr *mask_of(Compiler *k, const Expr *read) {
  const Expr *mask = memo_get(k->masks, read);
  return mask && mask->op == E_CONST && mask->int_value ? NULL : mask;
}

static void pass_ways_on(Ctx *c, Memo *ways, const Expr *e) {
  const Ways *mine = ways_of(c, ways, e);
  for (int a = 0; a < e->nargs; a++) {
    Ways *its = ways_of(c, ways, e->args[a]);
    for (int i = 0; i < mine->n; i++) {
      const Expr *conj = mine->conj[i];
      if (e->op == E_GUARD && a == 1) conj = ex_binary(c, E_AND, conj, e->args[0]);
      add_way(c, its, conj);
    }
  }
}

static const Expr *mask_from_ways(Ctx *c, const Ways *w) {
  const Expr *mask = ex_bool(c, false);
  for (int i = 0; i < w->n; i++) mask = ex_binary(c, E_OR, mask, w->conj[i]);
  return mask;
}

void compile_masks(Compiler *k, const Expr *e) {
  Ctx *c = k->ctx;
  Memo *order = memo_take(c), *ways = memo_take(c);
  expr_postorder(c, order, e);
  bool guarded = has_guard(order);
  if (guarded) add_way(c, ways_of(c, ways, e), ex_bool(c, true));
  for (int i = order->order.n - 1; i >= 0; i--) {
    const Expr *x = order->order.data[i];
    if (guarded) pass_ways_on(c, ways, x);
    if (x->op == E_READ) add_mask(k, x, guarded ? mask_from_ways(c, ways_of(c, ways, x)) : ex_bool(c, true));
  }
  memo_give(c, ways);
  memo_give(c, order);
}

// ---- which loop ---------------------------------------------------------------------------------------------

// The innermost of the loops around e's value that e depends on. Variables of reductions inside e have no loop
// yet and do not count.
static Block *home_of_free_vars(Compiler *k, const Expr *e) {
  Memo *m = memo_take(k->ctx);
  expr_postorder(k->ctx, m, e);
  for (int i = 0; i < m->order.n; i++) { // extents and masks are part of what e depends on
    const Expr *x = m->order.data[i];
    const Expr *mask = x->op == E_READ ? mask_of(k, x) : NULL;
    if (mask) expr_postorder(k->ctx, m, mask);
    for (int j = 0; x->op == E_REDUCE && j < x->reduce.nvars; j++)
      expr_postorder(k->ctx, m, x->reduce.vars[j]->extent);
  }
  Block *home = root(k);
  for (int i = 0; i < m->order.n; i++) {
    const Expr *x = m->order.data[i];
    VarHome *h = x->op == E_VAR ? find_var(k, x->var) : NULL;
    if (h) home = deeper(home, h->block);
    if (x->op == E_READ && x->value == k->pinned) home = deeper(home, k->lanes);
    Slot *s = find_slot(k, x); // masks may have made its home deeper than its variables do
    if (s) home = deeper(home, s->home);
  }
  memo_give(k->ctx, m);
  return home;
}

// ---- leaves ---------------------------------------------------------------------------------------------------

static Slot *compile_const(Compiler *k, const Expr *e) {
  Slot *s = slot_new(k, e, false, root(k));
  int64_t bits = e->int_value;
  if (reg_class(e->dtype) == RC_F32) {
    float f = (float)e->float_value;
    bits = 0;
    memcpy(&bits, &f, sizeof f);
  }
  emit(k, root(k), (Ins){.code = C_CONST, .t = (uint8_t)e->dtype, .dst = s->reg, .imm = bits});
  return s;
}

static Slot *compile_var(Compiler *k, const Expr *e) {
  VarHome *h = find_var(k, e->var), none = {e->var, root(k), 0};
  if (!h) {
    broken(k, "use outside its loop of the variable", e->var->name);
    h = &none;
  }
  Slot *s = NEW(k->ctx->arena, Slot);
  *s = (Slot){
      .reg = h->reg, .wide_reg = -1, .home = h->block, .wide = h->block == k->lanes && h->block->lanes};
  if (s->wide) s->wide_reg = s->reg;
  memo_put(k->ctx, k->slots, e, s);
  return s;
}

// ---- operations -------------------------------------------------------------------------------------------------

// The fast code of op on class rc, or -1.
static int fast_code(ExprOp op, RegClass rc, DType t) {
  static const int8_t codes[][3] = {
      // i64, f32, f64; 0 (which is ADD_I64) stands for none outside its own row
      [E_ADD] = {C_ADD_I64, C_ADD_F32, C_ADD_F64},
      [E_SUB] = {C_SUB_I64, C_SUB_F32, C_SUB_F64},
      [E_MUL] = {C_MUL_I64, C_MUL_F32, C_MUL_F64},
      [E_DIV] = {0, C_DIV_F32, C_DIV_F64},
      [E_MIN] = {C_MIN_I64, C_MIN_F32, C_MIN_F64},
      [E_MAX] = {C_MAX_I64, C_MAX_F32, C_MAX_F64},
      [E_AND] = {C_AND_I64, 0, 0},
      [E_OR] = {C_OR_I64, 0, 0},
      [E_XOR] = {C_XOR_I64, 0, 0},
      [E_EQ] = {C_EQ_I64, C_EQ_F32, C_EQ_F64},
      [E_NE] = {C_NE_I64, C_NE_F32, C_NE_F64},
      [E_LT] = {C_LT_I64, C_LT_F32, C_LT_F64},
      [E_LE] = {C_LE_I64, C_LE_F32, C_LE_F64},
  };
  bool ordered = op == E_MIN || op == E_MAX || op == E_LT || op == E_LE;
  if ((size_t)op >= sizeof codes / sizeof *codes || (ordered && t == DT_U64)) return -1;
  int code = codes[op][rc];
  return code || (op == E_ADD && rc == RC_I64) ? code : -1;
}

// Arithmetic on narrow integers may leave their range.
static bool may_leave_range(ExprOp op) {
  return op == E_ADD || op == E_SUB || op == E_MUL;
}

static void finish_value(Compiler *k, Block *home, const Slot *s, ExprOp op, DType t) {
  Ins fix = {.t = (uint8_t)t, .wide = s->wide, .dst = s->reg, .a = s->reg};
  bool narrow = dtype_is_int(t) && dtype_bytes(t) < 8 && may_leave_range(op);
  if (narrow)
    fix.code = C_WRAP;
  else if (t == DT_F16 || t == DT_BF16)
    fix.code = C_ROUND;
  else
    return;
  emit(k, home, fix);
}

// Slots of e's arguments; returns whether the result is wide, and the loop it belongs into.
static bool gather_args(Compiler *k, const Expr *e, Slot **arg, Block **home) {
  bool wide = false;
  *home = root(k);
  for (int i = 0; i < e->nargs; i++) {
    arg[i] = find_slot(k, e->args[i]);
    wide |= arg[i]->wide;
    *home = deeper(*home, arg[i]->home);
  }
  return wide;
}

static void compile_choice(Compiler *k, const Expr *e, Slot **arg, Slot *s, Block *home) {
  int reg[3];
  for (int i = 0; i < 3; i++) reg[i] = s->wide ? wide_reg_of(k, arg[i], e->args[i]->dtype) : arg[i]->reg;
  emit(k, home,
       (Ins){.code = C_SELECT,
             .t = (uint8_t)e->dtype,
             .wide = s->wide,
             .dst = s->reg,
             .a = reg[1],
             .b = reg[2],
             .c = reg[0]});
}

static bool div_by_constant(const Expr *e, int64_t *d) {
  return (e->op == E_FDIV || e->op == E_MOD) && e->dtype == DT_I64 && expr_is_const_int(e->args[1], d) &&
         *d > 0;
}

static Ins convert_ins(const Expr *e, const Slot *arg) {
  return (Ins){.code = e->op == E_CAST ? C_CAST : C_BITCAST,
               .t = (uint8_t)e->args[0]->dtype,
               .u = (uint8_t)e->dtype,
               .a = arg->reg};
}

static Ins generic_ins(const Expr *e, Slot **arg, bool wide) {
  Ins i = {.code = C_GENERIC,
           .op = (uint8_t)e->op,
           .t = (uint8_t)e->args[0]->dtype,
           .u = (uint8_t)e->dtype,
           .b = -1,
           .c = -1};
  i.a = arg[0]->reg;
  i.one_a = wide && !arg[0]->wide;
  if (e->nargs > 1) i.b = arg[1]->reg, i.one_b = wide && !arg[1]->wide;
  if (e->nargs > 2) i.c = arg[2]->reg, i.one_c = wide && !arg[2]->wide;
  return i;
}

static void compile_op(Compiler *k, const Expr *e) {
  Slot *arg[3];
  Block *home;
  bool wide = gather_args(k, e, arg, &home);
  DType t = e->args[0]->dtype;
  Slot *s = slot_new(k, e, wide, home);
  int code = e->nargs == 2 ? fast_code(e->op, reg_class(t), t) : -1;
  int64_t d;
  if (e->op == E_SELECT || e->op == E_GUARD) {
    compile_choice(k, e, arg, s, home);
    return;
  }
  Ins i = generic_ins(e, arg, wide);
  if (e->op == E_CAST || e->op == E_BITCAST)
    i = convert_ins(e, arg[0]);
  else if (div_by_constant(e, &d))
    i.code = e->op == E_FDIV ? C_FDIV_IMM : C_MOD_IMM, i.imm = d;
  else if (e->op == E_NEG && reg_class(t) != RC_I64)
    i.code = reg_class(t) == RC_F32 ? C_NEG_F32 : C_NEG_F64;
  else if (code >= 0)
    i.code = (uint8_t)code;
  i.dst = s->reg;
  i.wide = wide;
  emit(k, home, i);
  if (i.code != C_GENERIC && i.code != C_CAST && i.code != C_BITCAST && e->dtype != DT_BOOL)
    finish_value(k, home, s, e->op, e->dtype);
}

// ---- reads ------------------------------------------------------------------------------------------------------

const Expr *buffer_offset(Compiler *k, const Buffer *buf, const Expr *const *index, int n) {
  Ctx *c = k->ctx;
  if (n != buf->rank) return index[0]; // a flat index, in loops
  const Expr *off = ex_idx(c, 0);
  for (int d = 0; d < n; d++) off = ex_add(c, off, ex_mul(c, index[d], ex_idx(c, buf->stride[d])));
  return off;
}

// What an access checks and needs besides its offset.
typedef struct Access {
  const Buffer *buf;
  const Value *value;
  const Expr *const *index;
  int n;
  const Expr *mask; // NULL: always done
  Slot *mask_slot;
} Access;

// Emits the check of index d, unless its bounds decide it, and makes *home the loop that is in, if deeper.
static void check_index(Compiler *k, const Access *a, int d, Block **home) {
  int64_t lo, hi, extent = a->n == a->buf->rank ? a->buf->dim[d] : a->buf->elements;
  if (expr_bounds(k->ctx, a->index[d], a->mask, &lo, &hi) && lo >= 0 && hi < extent) return;
  Slot *s = compile_expr(k, a->index[d]), *mask = a->mask_slot;
  *home = deeper(*home, s->home);
  if (mask) *home = deeper(*home, mask->home);
  Ins i = {
      .code = C_CHECK, .a = s->reg, .imm = extent, .value = a->value, .dim = d, .c = mask ? mask->reg : -1};
  i.wide = s->wide || (mask && mask->wide);
  i.one_a = !s->wide;
  i.one_c = mask && !mask->wide;
  emit(k, *home, i);
}

static bool check_access(Compiler *k, const Access *a, Block **home) {
  if (!a->buf || (a->n != a->buf->rank && a->n != 1)) {
    broken(k, a->buf ? "wrong number of indices for" : "no data for", a->value->name);
    return false;
  }
  for (int d = 0; d < a->n; d++) check_index(k, a, d, home);
  return true;
}

// offset = imm * lane + rest with rest the same in all lanes: the form of nearly every read.
static bool is_step(Compiler *k, const Expr *offset, int64_t *imm, const Expr **rest) {
  if (!k->lanes || !k->lanes->lanes) return false;
  for (int i = 0; i < k->vars.n; i++)
    if (k->vars.data[i].block == k->lanes)
      return expr_affine(k->ctx, offset, k->vars.data[i].var, imm, rest) && *imm != 0;
  return false;
}

static Slot *compile_read(Compiler *k, const Expr *e) {
  Buffer *buf = eval_buffer(k->eval, e->value);
  Access a = {.buf = buf, .value = e->value, .index = e->args, .n = e->nargs, .mask = mask_of(k, e)};
  Block *home = k->literal ? k->here : e->value == k->pinned ? k->lanes : root(k);
  if (a.mask) a.mask_slot = compile_expr(k, a.mask);
  if (!check_access(k, &a, &home)) return slot_new(k, e, false, root(k));
  const Expr *offset = buffer_offset(k, buf, e->args, e->nargs), *rest = offset;
  int64_t imm = 0;
  bool step = is_step(k, offset, &imm, &rest);
  Slot *at = compile_expr(k, step ? rest : offset);
  if (step && at->wide) step = false, at = compile_expr(k, offset);
  home = deeper(home, at->home);
  if (step) home = deeper(home, k->lanes);
  if (a.mask_slot) home = deeper(home, a.mask_slot->home);
  bool wide = step || at->wide || (a.mask_slot && a.mask_slot->wide);
  Slot *s = slot_new(k, e, wide, home);
  emit(k, home,
       (Ins){.code = step ? C_READ_STEP : C_READ,
             .t = (uint8_t)e->dtype,
             .wide = wide,
             .dst = s->reg,
             .a = at->reg,
             .one_a = !at->wide,
             .imm = imm,
             .buffer = buf,
             .value = e->value,
             .c = a.mask_slot ? a.mask_slot->reg : -1,
             .one_c = a.mask_slot && !a.mask_slot->wide});
  return s;
}

// ---- reductions ---------------------------------------------------------------------------------------------------

static const Expr *identity(Ctx *c, ReduceKind kind, DType t) {
  const Var *none = var_new(c, "none", ex_idx(c, 0));
  return ex_reduce(c, kind, &none, 1, ex_int(c, t, 0));
}

static ExprOp reduce_op(ReduceKind kind) {
  static const ExprOp ops[] = {
      [R_SUM] = E_ADD, [R_PROD] = E_MUL, [R_MAX] = E_MAX, [R_MIN] = E_MIN, [R_ALL] = E_AND, [R_ANY] = E_OR};
  return ops[kind];
}

Block *compile_loop(Compiler *k, const Var *v, Block *parent, bool lanes) {
  Slot *extent = compile_expr(k, v->extent);
  Block *b = block_new(k, parent);
  b->extent = extent->reg;
  b->lanes = lanes;
  b->var = new_reg(k, lanes);
  if (lanes) emit(k, b, (Ins){.code = C_LANE_INDEX, .t = DT_I64, .wide = true, .dst = b->var});
  vec_push(k->ctx->arena, &k->vars, ((VarHome){v, b, b->var}));
  return b;
}

void enter_loop(Compiler *k, Block *loop) {
  int at = 0;
  while (k->program->blocks.data[at] != loop) at++;
  emit(k, loop->parent, (Ins){.code = C_LOOP, .imm = at});
}

// acc = acc (op) body, in the innermost loop. Sums of products of floats take one instruction.
static void accumulate(Compiler *k, Block *b, const Expr *e, Slot *acc) {
  const Expr *body = e->args[0];
  DType t = e->dtype;
  ExprOp op = reduce_op(e->reduce.kind);
  bool product = op == E_ADD && body->op == E_MUL && (t == DT_F32 || t == DT_F64) && !find_slot(k, body);
  Slot *x = compile_expr(k, product ? body->args[0] : body),
       *y = product ? compile_expr(k, body->args[1]) : NULL;
  Ins i = {.code = C_GENERIC,
           .op = (uint8_t)op,
           .t = (uint8_t)t,
           .u = (uint8_t)t,
           .wide = acc->wide,
           .dst = acc->reg,
           .c = -1};
  int code = fast_code(op, reg_class(t), t);
  if (product) {
    i.code = t == DT_F32 ? C_MULADD_F32 : C_MULADD_F64;
    i.a = x->reg, i.one_a = acc->wide && !x->wide;
    i.b = y->reg, i.one_b = acc->wide && !y->wide;
    if (i.one_a && i.one_b) i.b = wide_reg_of(k, y, t), i.one_b = false;
  } else {
    if (code >= 0) i.code = (uint8_t)code;
    i.a = acc->reg;
    i.b = x->reg, i.one_b = acc->wide && !x->wide;
  }
  emit(k, b, i);
  if (i.code != C_GENERIC) finish_value(k, b, acc, op, t);
}

// Which of the loops from `parent` inwards have an effect on the width: a reduction is wide if its body is.
static bool depends_on_lanes(Compiler *k, const Block *parent) {
  if (!k->lanes || !k->lanes->lanes) return false;
  for (const Block *b = parent; b; b = b->parent)
    if (b == k->lanes) return true;
  return false;
}

static Slot *compile_reduce(Compiler *k, const Expr *e) {
  Block *parent = home_of_free_vars(k, e);
  if (k->literal) parent = deeper(parent, k->here);
  Block *here = k->here;
  bool wide = depends_on_lanes(k, parent);
  // The accumulator's register is set up before the loops, which are entered when they are complete.
  Slot *acc = NEW(k->ctx->arena, Slot);
  *acc = (Slot){.reg = new_reg(k, wide), .wide = wide, .home = parent, .wide_reg = -1};
  if (wide) acc->wide_reg = acc->reg;
  Slot *init = compile_expr(k, identity(k->ctx, e->reduce.kind, e->dtype));
  int start = wide ? wide_reg_of(k, init, e->dtype) : init->reg;
  int n = e->reduce.nvars;
  Block **loop = NEW_ARRAY(k->ctx->arena, Block *, n), *b = parent;
  for (int i = 0; i < n; i++) b = loop[i] = compile_loop(k, e->reduce.vars[i], b, false);
  if (k->literal) k->here = b;
  accumulate(k, b, e, acc);
  k->here = here;
  emit(k, parent, (Ins){.code = C_MOVE, .t = (uint8_t)e->dtype, .wide = wide, .dst = acc->reg, .a = start});
  for (int i = n - 1; i >= 0; i--) enter_loop(k, loop[i]);
  memo_put(k->ctx, k->slots, e, acc);
  return acc;
}

// ---- expressions ----------------------------------------------------------------------------------------------------

// Whether e is compiled by a function that takes care of its arguments.
static bool is_leaf(const Expr *e) {
  return e->nargs == 0 || e->op == E_READ || e->op == E_REDUCE;
}

static void compile_leaf(Compiler *k, const Expr *e) {
  switch (e->op) {
  case E_CONST: compile_const(k, e); break;
  case E_VAR: compile_var(k, e); break;
  case E_READ: compile_read(k, e); break;
  case E_REDUCE: compile_reduce(k, e); break;
  default: // symbols are bound before
    broken(k, "no value for the symbol", e->op == E_SYM ? e->sym->name : "?");
    slot_new(k, e, false, root(k));
  }
}

// Arguments first, with a stack of its own: only reads and reductions nest calls.
Slot *compile_expr(Compiler *k, const Expr *e) {
  Slot *done = find_slot(k, e);
  if (done) return done;
  int base = k->stack.n;
  vec_push(k->ctx->arena, &k->stack, ((WalkFrame){e, 0}));
  while (k->stack.n > base) {
    WalkFrame *f = &k->stack.data[k->stack.n - 1];
    const Expr *x = f->e;
    if (find_slot(k, x)) {
      k->stack.n--;
    } else if (is_leaf(x)) {
      compile_leaf(k, x);
    } else if (f->next < x->nargs) {
      const Expr *arg = x->args[f->next++];
      if (!find_slot(k, arg)) vec_push(k->ctx->arena, &k->stack, ((WalkFrame){arg, 0}));
    } else {
      compile_op(k, x);
    }
  }
  return find_slot(k, e);
}

// ---- stores -------------------------------------------------------------------------------------------------------------

void compile_store(Compiler *k, Block *b, const Value *v, StoreKind op, const Expr *const *index, int n,
                   const Expr *value) {
  Buffer *buf = eval_buffer(k->eval, v);
  Block *home = b;
  if (!check_access(k, &(Access){.buf = buf, .value = v, .index = index, .n = n}, &home)) return;
  Slot *x = compile_expr(k, value);
  const Expr *offset = buffer_offset(k, buf, index, n), *rest = offset;
  int64_t imm = 0;
  bool step = is_step(k, offset, &imm, &rest);
  Slot *at = compile_expr(k, step ? rest : offset);
  if (step && at->wide) step = false, at = compile_expr(k, offset);
  bool wide = k->lanes && k->lanes->lanes;
  int reg = wide ? wide_reg_of(k, x, value->dtype) : x->reg;
  emit(k, b,
       (Ins){.code = step ? C_STORE_STEP : C_STORE,
             .op = (uint8_t)op,
             .t = (uint8_t)buf->dtype,
             .wide = wide,
             .a = at->reg,
             .one_a = !at->wide,
             .b = reg,
             .c = -1,
             .imm = imm,
             .buffer = buf,
             .value = v});
}
