// gen_expr.c: expressions -> LLVM values. What does not depend on the lane stays a scalar.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/math.h"

// ---- the cache: each node of the DAG is emitted once per statement and branch -----------------------------------

int gen_cache_mark(Gen *g) {
  return g->cached.n;
}

void gen_cache_forget(Gen *g, int mark) {
  for (int i = mark; i < g->cached.n; i++) pmap_put(&g->known, g->cached.data[i], NULL);
  g->cached.n = mark;
}

static void cache_put(Gen *g, const Expr *e, LLVMValueRef v) {
  pmap_put(&g->known, e, v);
  vec_push(g->c->arena, &g->cached, e);
}

// ---- does it depend on the lane? ----------------------------------------------------------------------------------

static bool same_in_all_lanes(const Expr *e, void *data) {
  Gen *g = data;
  if (e->op == E_READ) {
    const Slot *s = gen_slot(g, e->value);
    return !(s && s->per_lane);
  }
  if (e->op != E_VAR) return true;
  if (e->var == g->lane) return false;
  LLVMValueRef v = pmap_get(&g->vars, e->var);
  return !(v && is_vector(v));
}

bool gen_varies(Gen *g, const Expr *e) {
  return g->lane && !expr_visit(g->c, e, same_in_all_lanes, g);
}

// ---- guards ---------------------------------------------------------------------------------------------------------

// Evaluates e where only some lanes, or only a true predicate, may read.
static LLVMValueRef under(Gen *g, LLVMValueRef mask, LLVMValueRef pred, const Expr *e) {
  LLVMValueRef old_mask = g->mask, old_pred = g->pred;
  int mark = gen_cache_mark(g);
  if (mask) g->mask = old_mask ? LLVMBuildAnd(g->b, old_mask, mask, "") : mask;
  if (pred) g->pred = old_pred ? LLVMBuildAnd(g->b, old_pred, pred, "") : pred;
  LLVMValueRef v = gen_expr(g, e);
  gen_cache_forget(g, mark);
  g->mask = old_mask;
  g->pred = old_pred;
  return v;
}

typedef struct Cost {
  int reads, nodes;
} Cost;

static bool count_node(const Expr *e, void *data) {
  Cost *c = data;
  c->reads += e->op == E_READ;
  c->nodes++;
  return true;
}

// Is e cheap enough to be computed always, its reads redirected where it is not wanted?
static bool is_cheap(Gen *g, const Expr *e) {
  Cost c = {0};
  expr_visit(g->c, e, count_node, &c);
  return c.reads <= 2 && c.nodes <= 40;
}

static LLVMValueRef guard_branch(Gen *g, LLVMValueRef cond, const Expr *e) {
  LLVMBasicBlockRef then = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "guarded");
  LLVMBasicBlockRef otherwise = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "outside");
  LLVMBasicBlockRef end = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "guard");
  LLVMBuildCondBr(g->b, cond, then, otherwise);
  LLVMValueRef v[2];
  LLVMBasicBlockRef from[2];
  LLVMPositionBuilderAtEnd(g->b, then);
  v[0] = under(g, NULL, NULL, e->args[1]);
  LLVMBasicBlockRef then_end = LLVMGetInsertBlock(g->b);
  LLVMPositionBuilderAtEnd(g->b, otherwise);
  v[1] = under(g, NULL, NULL, e->args[2]);
  unsigned lanes = gen_lanes(v[0]) ? gen_lanes(v[0]) : gen_lanes(v[1]);
  v[1] = gen_splat(g, v[1], lanes);
  from[1] = LLVMGetInsertBlock(g->b);
  LLVMBuildBr(g->b, end);
  LLVMPositionBuilderAtEnd(g->b, then_end);
  v[0] = gen_splat(g, v[0], lanes);
  from[0] = then_end;
  LLVMBuildBr(g->b, end);
  LLVMPositionBuilderAtEnd(g->b, end);
  LLVMValueRef phi = LLVMBuildPhi(g->b, LLVMTypeOf(v[0]), "");
  LLVMAddIncoming(phi, v, from, 2);
  return phi;
}

static LLVMValueRef gen_guard(Gen *g, const Expr *e) {
  const Expr *cond = e->args[0];
  bool varies = gen_varies(g, cond);
  LLVMValueRef c = varies ? gen_cond(g, cond) : gen_expr(g, cond);
  if (!varies && !g->mask && !is_cheap(g, e->args[1])) return guard_branch(g, c, e);
  LLVMValueRef v = under(g, varies ? c : NULL, varies ? NULL : c, e->args[1]);
  return gen_select(g, c, v, gen_expr(g, e->args[2]));
}

// ---- conditions on lanes ----------------------------------------------------------------------------------------------

// lane < bound for each lane, bound a scalar: compared in the width of the lanes' elements, not in 64 bits.
static LLVMValueRef lanes_below(Gen *g, LLVMValueRef bound) {
  LLVMTypeRef i64 = LLVMInt64TypeInContext(g->llvm);
  LLVMValueRef lo[] = {bound, gen_i64(g, 0)};
  LLVMValueRef hi[] = {gen_intrinsic(g, "llvm.smax", i64, lo, 2), gen_i64(g, g->lanes)};
  LLVMValueRef n = gen_intrinsic(g, "llvm.smin", i64, hi, 2);
  unsigned bits = 8 * (unsigned)g->target->vector_bytes / g->lanes;
  bits = bits < 8 ? 8 : bits > 64 ? 64 : bits;
  if (g->lanes > 127 && bits == 8) bits = 16;
  LLVMTypeRef t = LLVMIntTypeInContext(g->llvm, bits);
  n = bits < 64 ? LLVMBuildTrunc(g->b, n, t, "") : n;
  return LLVMBuildICmp(g->b, LLVMIntSLT, gen_iota(g, t, g->lanes), gen_splat(g, n, g->lanes), "");
}

// a < b or a <= b where a - b is a scalar plus or minus the lane; NULL if it is not.
static LLVMValueRef lane_compare(Gen *g, const Expr *e) {
  if ((e->op != E_LT && e->op != E_LE) || e->args[0]->dtype != DT_I64) return NULL;
  const Expr *d = ex_sub(g->c, e->args[0], e->args[1]), *rest;
  int64_t coeff;
  if (!expr_affine(g->c, d, g->lane, &coeff, &rest) || gen_varies(g, rest)) return NULL;
  const Expr *one = ex_idx(g->c, 1), *zero = ex_idx(g->c, 0);
  bool strict = e->op == E_LT;
  if (coeff == 1) { // lane + rest < 0  <=>  lane < -rest
    const Expr *bound = ex_sub(g->c, strict ? zero : one, rest);
    return lanes_below(g, gen_expr(g, bound));
  }
  if (coeff == -1) { // rest - lane < 0  <=>  !(lane <= rest)
    const Expr *bound = strict ? ex_add(g->c, rest, one) : rest;
    return LLVMBuildNot(g->b, lanes_below(g, gen_expr(g, bound)), "");
  }
  return NULL;
}

// ---- nodes --------------------------------------------------------------------------------------------------------------

static LLVMValueRef gen_const(Gen *g, const Expr *e) {
  LLVMTypeRef t = gen_type_register(g, e->dtype);
  if (dtype_is_float(e->dtype)) return LLVMConstReal(t, e->float_value);
  return LLVMConstInt(t, (unsigned long long)e->int_value, true);
}

static LLVMValueRef gen_var(Gen *g, const Expr *e) {
  if (e->var == g->lane) return gen_iota(g, LLVMInt64TypeInContext(g->llvm), g->lanes);
  LLVMValueRef v = pmap_get(&g->vars, e->var);
  if (v) return v;
  gen_fail(g, NO_LOC, "a variable is used outside its loop");
  return LLVMGetUndef(gen_type_register(g, e->dtype));
}

// x / (exp(y) + c), as in the logistic function and what is made of it: where exp(y) is tiny c hides it, and where it
// is all but infinite so is the sum. NULL: something else.
static LLVMValueRef logistic_node(Gen *g, const Expr *e) {
  const Expr *sum = e->args[1];
  if (e->op != E_DIV || sum->op != E_ADD || (e->dtype != DT_F32 && e->dtype != DT_F64)) return NULL;
  int k = sum->args[0]->op == E_EXP ? 0 : 1;
  const Expr *c = sum->args[1 - k];
  if (sum->args[k]->op != E_EXP || c->op != E_CONST || !(c->float_value >= 0x1p-60)) return NULL;
  LLVMValueRef y = math_exp_coarse(g, gen_expr(g, sum->args[k]->args[0]));
  LLVMValueRef below = gen_binary(g, E_ADD, e->dtype, y, gen_expr(g, c));
  return gen_binary(g, E_DIV, e->dtype, gen_expr(g, e->args[0]), below);
}

// 1 + erf(y) of f32, as in GELU. NULL: something else.
static LLVMValueRef one_plus_node(Gen *g, const Expr *e) {
  if (e->op != E_ADD || e->dtype != DT_F32 || (g->unit && g->unit->strict)) return NULL;
  int k = e->args[0]->op == E_CONST ? 1 : 0;
  const Expr *one = e->args[1 - k], *f = e->args[k];
  if (one->op != E_CONST || one->float_value != 1 || f->op != E_ERF) return NULL;
  return math_erf_plus_1(g, gen_expr(g, f->args[0]));
}

// x >> n & m of u32 where m leaves of both halves what a shift of the halves by themselves leaves: numbers in the highest
// bits need no mask then. NULL: something else.
static LLVMValueRef halves_node(Gen *g, const Expr *e) {
  int64_t n, mask;
  const Expr *shifted = e->args[0];
  if (e->op != E_AND || e->dtype != DT_U32 || shifted->op != E_SHR || !expr_is_const_int(e->args[1], &mask))
    return NULL;
  if (!expr_is_const_int(shifted->args[1], &n) || n < 1 || n > 15 || mask != (0xffff >> n) * INT64_C(0x10001))
    return NULL;
  LLVMValueRef x = gen_expr(g, shifted->args[0]);
  if (LLVMGetTypeKind(LLVMTypeOf(x)) != LLVMVectorTypeKind) return NULL;
  LLVMTypeRef half = LLVMInt16TypeInContext(g->llvm), halves = LLVMVectorType(half, 2 * gen_lanes(x));
  LLVMValueRef by = gen_splat(g, LLVMConstInt(half, (unsigned long long)n, false), 2 * gen_lanes(x));
  LLVMValueRef v = LLVMBuildLShr(g->b, LLVMBuildBitCast(g->b, x, halves, ""), by, "");
  return LLVMBuildBitCast(g->b, v, LLVMTypeOf(x), "");
}

static LLVMValueRef binary_node(Gen *g, const Expr *e) {
  LLVMValueRef special = g->lane ? lane_compare(g, e) : NULL;
  if (!special) special = logistic_node(g, e);
  if (!special) special = one_plus_node(g, e);
  if (!special) special = halves_node(g, e);
  if (special) return special;
  LLVMValueRef a = gen_expr(g, e->args[0]), b = gen_expr(g, e->args[1]);
  LLVMValueRef v = gen_binary(g, e->op, e->args[0]->dtype, a, b);
  if (v) return v;
  gen_fail(g, NO_LOC, "an operation is not defined on its type");
  return LLVMGetUndef(LLVMTypeOf(a));
}

// Can it not be above 0? -|x|, or x where it is not and 0 elsewhere.
static bool is_not_positive(const Expr *e) {
  if (e->op == E_NEG) return e->args[0]->op == E_ABS;
  if (e->op != E_SELECT || e->args[0]->op != E_LT) return false;
  const Expr *a = e->args[0]->args[0], *b = e->args[0]->args[1];
  return a->op == E_CONST && a->float_value == 0 && e->args[1] == a && e->args[2] == b;
}

// exp(x) of f32 and f64 where x is known not to be positive. NULL: something else.
static LLVMValueRef falling_node(Gen *g, const Expr *e) {
  if (e->op != E_EXP || (e->dtype != DT_F32 && e->dtype != DT_F64) || !is_not_positive(e->args[0]))
    return NULL;
  return math_exp_falling(g, gen_expr(g, e->args[0]));
}

static LLVMValueRef unary_node(Gen *g, const Expr *e) {
  LLVMValueRef special = falling_node(g, e);
  if (special) return special;
  LLVMValueRef a = gen_expr(g, e->args[0]);
  DType from = e->args[0]->dtype;
  if (e->op == E_CAST) return gen_cast(g, a, from, e->dtype);
  if (e->op == E_BITCAST) return gen_cast_bits(g, a, from, e->dtype);
  LLVMValueRef v = gen_unary(g, e->op, from, a);
  if (v) return v;
  gen_fail(g, NO_LOC, "an operation is not defined on its type");
  return LLVMGetUndef(LLVMTypeOf(a));
}

static LLVMValueRef gen_node(Gen *g, const Expr *e) {
  switch (e->op) {
  case E_READ: return gen_load(g, e);
  case E_GUARD: return gen_guard(g, e);
  case E_SELECT: {
    LLVMValueRef c = gen_expr(g, e->args[0]), a = gen_expr(g, e->args[1]);
    return gen_select(g, c, a, gen_expr(g, e->args[2]));
  }
  case E_FMA: {
    LLVMValueRef a = gen_expr(g, e->args[0]), b = gen_expr(g, e->args[1]);
    return gen_fma(g, e->dtype, a, b, gen_expr(g, e->args[2]));
  }
  case E_REDUCE:
    gen_fail(g, NO_LOC, "a reduction is left at loops level");
    return LLVMGetUndef(gen_type_register(g, e->dtype));
  default: return e->nargs == 1 ? unary_node(g, e) : binary_node(g, e);
  }
}

LLVMValueRef gen_expr(Gen *g, const Expr *e) {
  switch (e->op) {
  case E_CONST: return gen_const(g, e);
  case E_VAR: return gen_var(g, e);
  case E_SYM: return g->syms[e->sym->index];
  default: break;
  }
  LLVMValueRef v = pmap_get(&g->known, e);
  if (v) return v;
  v = gen_node(g, e);
  cache_put(g, e, v);
  return v;
}

LLVMValueRef gen_cond(Gen *g, const Expr *e) {
  return gen_splat(g, gen_expr(g, e), g->lanes);
}
