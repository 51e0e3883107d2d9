// gen_vector.c: vector loops in chunks of the machine's vector, and reductions over lanes.
// SPDX-License-Identifier: Apache-2.0
//
// A vector loop of any extent is cut into chunks of at most one machine vector (of the widest element its
// body handles), the body is emitted for each chunk in order, and a rest of lanes takes narrower vectors. As
// the chunks run one after the other, this is nearer to the loop's meaning than wide vectors would be, and
// register arrays are only ever accessed in the pieces that the machine has.
#include "codegen/internal.h"

// ---- how many lanes -----------------------------------------------------------------------------------------

static void widen(unsigned *bytes, DType t) {
  unsigned n = t == DT_F16 || t == DT_BF16 ? 4u : (unsigned)dtype_bytes(t);
  if (n > *bytes) *bytes = n;
}

// Data counts, index arithmetic (i64) does not.
static bool widen_by_node(const Expr *e, void *data) {
  bool data_node = e->op == E_READ || e->op == E_CAST;
  if (data_node && e->dtype != DT_I64) widen(data, e->dtype);
  return true;
}

static void widest_element(Gen *g, const Stmt *s, unsigned *bytes) {
  for (; s; s = s->next) switch (s->kind) {
    case S_FOR: widest_element(g, s->loop.body, bytes); break;
    case S_STORE:
      widen(bytes, s->store.dst->type.dtype);
      expr_visit(g->c, s->store.value, widen_by_node, bytes);
      break;
    case S_LET: expr_visit(g->c, s->let.value, widen_by_node, bytes); break;
    case S_IF:
      widest_element(g, s->cond.then, bytes);
      widest_element(g, s->cond.otherwise, bytes);
      break;
    case S_ALLOC:
    case S_PREFETCH: break;
    }
}

static unsigned chunk_lanes(unsigned max, int64_t left) {
  unsigned n = max;
  while (n > left) n /= 2;
  return n;
}

// ---- reductions over lanes ------------------------------------------------------------------------------------

static LLVMValueRef half(Gen *g, LLVMValueRef v, unsigned from, unsigned n) {
  LLVMValueRef pick[1024];
  for (unsigned i = 0; i < n; i++) pick[i] = gen_i32(g, (int)(from + i));
  return LLVMBuildShuffleVector(g->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(pick, n), "");
}

// Halves are combined until one lane is left: always the same tree, whatever LLVM's version.
static LLVMValueRef reduce_lanes(Gen *g, StoreKind op, DType t, LLVMValueRef v) {
  while (gen_lanes(v) > 1) {
    unsigned n = gen_lanes(v) / 2;
    v = gen_combine(g, op, t, half(g, v, 0, n), half(g, v, n, n));
  }
  return is_vector(v) ? LLVMBuildExtractElement(g->b, v, gen_i64(g, 0), "") : v;
}

static double limit(DType t, bool highest) {
  if (dtype_is_float(t)) return highest ? __builtin_inf() : -__builtin_inf();
  return 0; // integers: see identity
}

static LLVMValueRef identity(StoreKind op, DType t, LLVMValueRef like) {
  bool real = dtype_is_float(t), s = dtype_class(t) == 's';
  int bits = t == DT_BOOL ? 1 : 8 * dtype_bytes(t);
  switch (op) {
  case STORE_MUL: return real ? gen_num(like, 1) : gen_int(like, 1);
  case STORE_MIN:
    if (real) return gen_num(like, limit(t, true));
    return gen_int(like, s ? (int64_t)(~0ull >> (65 - bits)) : -1);
  case STORE_MAX:
    if (real) return gen_num(like, limit(t, false));
    return gen_int(like, s ? -(int64_t)(~0ull >> (65 - bits)) - 1 : 0);
  default: return real ? gen_num(like, 0) : gen_int(like, 0);
  }
}

static int log2_of(unsigned n) {
  return 31 - __builtin_clz(n);
}

static Pending *pending_find(Gen *g, const Value *dst, const Expr *flat, StoreKind op) {
  for (int i = g->pending.n - 1; i >= 0; i--) {
    Pending *p = &g->pending.data[i];
    if (p->dst == dst && p->flat == flat && p->op == op) return p;
  }
  vec_push(g->c->arena, &g->pending, ((Pending){.dst = dst, .flat = flat, .op = op}));
  return &g->pending.data[g->pending.n - 1];
}

static void store_reduced(Gen *g, const Value *dst, const Expr *flat, StoreKind op, LLVMValueRef v) {
  const Var *lane = g->lane;
  LLVMValueRef mask = g->mask;
  g->lane = NULL;
  g->mask = NULL;
  gen_store_flat(g, gen_slot(g, dst), dst->type.dtype, flat, op, v);
  g->lane = lane;
  g->mask = mask;
}

// The lanes' values are combined with what earlier chunks gave; the tree and the store come after the last
// chunk. Inside a branch the partial value would not reach that point: there all is done at once.
void gen_reduce_store(Gen *g, const Value *dst, const Expr *flat, StoreKind op, LLVMValueRef v) {
  DType t = dst->type.dtype;
  v = gen_splat(g, v, g->lanes);
  if (g->mask) v = LLVMBuildSelect(g->b, g->mask, v, identity(op, t, v), "");
  if (g->branches || pmap_get(&g->read_in_loop, dst)) {
    store_reduced(g, dst, flat, op, reduce_lanes(g, op, t, v));
    return;
  }
  LLVMValueRef *partial = &pending_find(g, dst, flat, op)->partial[log2_of(g->lanes)];
  *partial = *partial ? gen_combine(g, op, t, *partial, v) : v;
}

static void flush_pending(Gen *g) {
  for (int i = 0; i < g->pending.n; i++) {
    Pending *p = &g->pending.data[i];
    DType t = p->dst->type.dtype;
    LLVMValueRef sum = NULL;
    for (int k = ARRAY_LEN(p->partial) - 1; k >= 0; k--) {
      if (!p->partial[k]) continue;
      LLVMValueRef v = reduce_lanes(g, p->op, t, p->partial[k]);
      sum = sum ? gen_combine(g, p->op, t, sum, v) : v;
    }
    store_reduced(g, p->dst, p->flat, p->op, sum);
  }
  g->pending.n = 0;
}

// ---- the loop -------------------------------------------------------------------------------------------------

static bool note_read(const Expr *e, void *data) {
  Gen *g = data;
  if (e->op == E_READ) pmap_put(&g->read_in_loop, e->value, (void *)e);
  return true;
}

static void note_reads(Gen *g, const Stmt *s) {
  for (; s; s = s->next) switch (s->kind) {
    case S_FOR: note_reads(g, s->loop.body); break;
    case S_STORE: expr_visit(g->c, s->store.value, note_read, g); break;
    case S_LET: expr_visit(g->c, s->let.value, note_read, g); break;
    case S_IF:
      expr_visit(g->c, s->cond.cond, note_read, g);
      note_reads(g, s->cond.then);
      note_reads(g, s->cond.otherwise);
      break;
    case S_ALLOC:
    case S_PREFETCH: break;
    }
}

static void gen_chunk(Gen *g, const Stmt *s, int64_t first, unsigned lanes) {
  const Expr *at = ex_idx(g->c, first);
  const Var *lane = lanes > 1 ? var_new(g->c, s->loop.var->name, ex_idx(g->c, lanes)) : NULL;
  if (lane) at = ex_add(g->c, at, ex_var(g->c, lane));
  int mark = g->subst_var.n;
  vec_push(g->c->arena, &g->subst_var, s->loop.var);
  vec_push(g->c->arena, &g->subst_expr, at);
  g->lane = lane;
  g->lanes = lane ? lanes : 0;
  gen_stmts(g, s->loop.body);
  g->lane = NULL;
  g->lanes = 0;
  g->subst_var.n = g->subst_expr.n = mark;
}

void gen_vector_loop(Gen *g, const Stmt *s) {
  int64_t n;
  if (!expr_is_const_int(gen_subst(g, s->loop.var->extent), &n) || g->lane) {
    gen_fail(g, s->loc, "a vector loop's extent is not a constant, or it lies within another");
    return;
  }
  unsigned bytes = 1, branches = g->branches;
  widest_element(g, s->loop.body, &bytes);
  unsigned max = (unsigned)g->target->vector_bytes / bytes;
  g->branches = 0;
  g->read_in_loop = (PMap){.arena = g->c->arena};
  note_reads(g, s->loop.body);
  for (int64_t first = 0; first < n;) {
    unsigned lanes = chunk_lanes(max ? max : 1, n - first);
    gen_chunk(g, s, first, lanes);
    first += lanes;
  }
  flush_pending(g);
  g->branches = branches;
}
