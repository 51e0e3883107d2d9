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

enum { MAX_TOGETHER = 64 }; // reductions that share their shuffles

static LLVMValueRef half(Gen *g, LLVMValueRef v, unsigned from, unsigned n) {
  LLVMValueRef pick[1024];
  for (unsigned i = 0; i < n; i++) pick[i] = gen_i32(g, (int)(from + i));
  return LLVMBuildShuffleVector(g->b, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(pick, n), "");
}

// Halves are combined until one lane is left: always the same tree, whatever LLVM's version.
static LLVMValueRef reduce_lanes(Gen *g, StoreKind op, DType t, LLVMValueRef v) {
  while (gen_lanes(v) > 1) {
    unsigned n = gen_lanes(v) / 2;
    LLVMValueRef high = half(g, v, n, n);
    v = gen_combine(g, op, t, half(g, v, 0, n), high);
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

// Lanes of x and y, `n` of each: from each segment of 2 * step lanes of x the half that begins at `from`, then that of
// y; interleaved or one behind the other.
static LLVMValueRef halves_of(Gen *g, LLVMValueRef x, LLVMValueRef y, unsigned n, unsigned step,
                              unsigned from, bool interleaved) {
  LLVMValueRef pick[1024];
  for (unsigned i = 0; i < n; i++) {
    unsigned in = i % (2 * step), second = interleaved ? in % 2 : in / step;
    unsigned at = interleaved ? in / 2 : in % step;
    pick[i] = gen_i32(g, (int)(i - in + from + at + second * n));
  }
  return LLVMBuildShuffleVector(g->b, x, y, LLVMConstVector(pick, n), "");
}

// reduce_lanes of n vectors at once, n a power of two and no more than their lanes: two vectors are shuffled into one
// with half of each reduced, so that n results take n - 1 combinations instead of n times the tree's height. The same
// tree for each. Result i is in lane i.
static LLVMValueRef reduce_together(Gen *g, StoreKind op, DType t, LLVMValueRef *v, unsigned n) {
  unsigned lanes = gen_lanes(v[0]), block = 16u / (unsigned)dtype_bytes(t);
  for (; lanes > n; lanes /= 2)
    for (unsigned i = 0; i < n; i++) {
      LLVMValueRef high = half(g, v[i], lanes / 2, lanes / 2);
      v[i] = gen_combine(g, op, t, half(g, v[i], 0, lanes / 2), high);
    }
  if (block > lanes) block = lanes;
  for (unsigned segment = lanes; n > 1; n /= 2, segment /= 2) {
    bool interleaved =
        segment <= block; // machines shuffle fastest within 16 bytes, and there by interleaving
    unsigned step = (interleaved ? block : segment) / 2;
    for (unsigned i = 0; i < n / 2; i++) {
      LLVMValueRef high = halves_of(g, v[i], v[i + n / 2], lanes, step, step, interleaved);
      v[i] = gen_combine(g, op, t, halves_of(g, v[i], v[i + n / 2], lanes, step, 0, interleaved), high);
    }
  }
  return v[0];
}

static LLVMValueRef only_partial(const Pending *p) {
  LLVMValueRef only = NULL;
  for (int k = 0; k < ARRAY_LEN(p->partial); k++) {
    if (p->partial[k] && only) return NULL;
    if (p->partial[k]) only = p->partial[k];
  }
  return only && is_vector(only) ? only : NULL;
}

// How many pending reductions from `first` on go to neighbouring elements, from as many lanes.
static unsigned count_neighbours(Gen *g, int first) {
  const Pending *p = &g->pending.data[first];
  LLVMValueRef v = only_partial(p);
  unsigned n = 1;
  for (; v && first + (int)n < g->pending.n && n < gen_lanes(v) && n < MAX_TOGETHER; n++) {
    const Pending *q = &g->pending.data[first + (int)n];
    LLVMValueRef w = only_partial(q);
    int64_t distance;
    bool next = expr_is_const_int(ex_sub(g->c, q->flat, p->flat), &distance) && distance == n;
    if (!w || gen_lanes(w) != gen_lanes(v) || q->dst != p->dst || q->op != p->op || !next) break;
  }
  return 1u << log2_of(n);
}

static void store_together(Gen *g, int first, unsigned n) {
  const Pending *p = &g->pending.data[first];
  DType t = p->dst->type.dtype;
  LLVMValueRef v[MAX_TOGETHER] = {0};
  for (unsigned i = 0; i < n; i++) v[i] = only_partial(&p[i]);
  LLVMValueRef all = reduce_together(g, p->op, t, v, n);
  const Var *lane = var_new(g->c, "r", ex_idx(g->c, n)), *before = g->lane;
  LLVMValueRef mask = g->mask;
  unsigned lanes = g->lanes;
  g->lane = lane;
  g->lanes = n;
  g->mask = NULL;
  gen_store_flat(g, gen_slot(g, p->dst), t, ex_add(g->c, p->flat, ex_var(g->c, lane)), p->op, all);
  g->lane = before;
  g->lanes = lanes;
  g->mask = mask;
}

static void store_alone(Gen *g, const Pending *p) {
  DType t = p->dst->type.dtype;
  LLVMValueRef sum = NULL;
  for (int k = ARRAY_LEN(p->partial) - 1; k >= 0; k--) {
    if (!p->partial[k]) continue;
    LLVMValueRef v = reduce_lanes(g, p->op, t, p->partial[k]);
    sum = sum ? gen_combine(g, p->op, t, sum, v) : v;
  }
  store_reduced(g, p->dst, p->flat, p->op, sum);
}

static void flush_pending(Gen *g) {
  for (int i = 0; i < g->pending.n;) {
    unsigned n = count_neighbours(g, i);
    if (n > 1)
      store_together(g, i, n);
    else
      store_alone(g, &g->pending.data[i]);
    i += (int)n;
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
