// gen_memory.c: addresses, loads and stores of scalars and of lanes.
// SPDX-License-Identifier: Apache-2.0
//
// An access is classified by how its flat index depends on the lane: not at all (uniform), one by one
// (contiguous), backwards, by a small stride, or in any other way (each lane by itself). Under a mask or
// predicate an access that is not proven to lie within its buffer must not touch memory where it is off:
// contiguous ones become masked loads, others read from a page of zeros instead.
#include "codegen/internal.h"

// ---- slots ------------------------------------------------------------------------------------------------

Slot *gen_slot(Gen *g, const Value *v) {
  return pmap_get(&g->slots, v);
}

Slot *gen_slot_new(Gen *g, const Value *v) {
  Slot *s = NEW(g->c->arena, Slot);
  Dim dim[MAX_PHYS_RANK];
  layout_shape(g->c, v->layout, &v->type, dim);
  s->rank = layout_rank(v->layout, &v->type);
  const Expr *stride = ex_idx(g->c, 1);
  bool fixed = true;
  s->room = 1;
  for (int k = s->rank - 1; k >= 0; k--) {
    s->stride[k] = stride;
    stride = ex_mul(g->c, stride, dim_to_expr(g->c, dim[k]));
    s->room *= dim[k].n;
    fixed = fixed && !dim[k].sym;
  }
  s->elements = fixed ? s->room : 0;
  s->count = stride;
  s->number = -1;
  pmap_put(&g->slots, v, s);
  return s;
}

// One index of a value of another rank is a flat one already.
const Expr *gen_flat(Gen *g, const Slot *slot, const Expr *const *index, int n) {
  if (n == 1 && slot->rank != 1) return index[0];
  const Expr *flat = ex_idx(g->c, 0);
  for (int i = 0; i < n; i++) flat = ex_add(g->c, flat, ex_mul(g->c, index[i], slot->stride[i]));
  return flat;
}

// ---- classification -----------------------------------------------------------------------------------------

typedef struct Access {
  const Slot *slot;
  DType dtype;
  LLVMTypeRef elem; // in memory
  const Expr *base; // flat index of lane 0
  const Expr *flat; // EACH: flat index as a function of the lane
  enum { UNIFORM, CONTIGUOUS, BACKWARD, STRIDED, EACH } form;
  int64_t step; // elements from lane to lane
  bool safe;    // within the buffer whatever mask and predicate say
} Access;

static bool in_bounds(Gen *g, const Slot *slot, const Expr *flat) {
  int64_t lo, hi;
  return slot->elements > 0 && expr_bounds(g->c, flat, NULL, &lo, &hi) && lo >= 0 && hi < slot->elements;
}

static Access access_of(Gen *g, const Slot *slot, DType t, const Expr *flat) {
  Access a = {.slot = slot, .dtype = t, .elem = gen_type_memory(g, t), .base = flat, .flat = flat};
  a.safe = (!g->mask && !g->pred) || in_bounds(g, slot, flat);
  if (slot->per_lane) { // lanes are innermost
    flat = ex_add(g->c, ex_mul(g->c, flat, ex_idx(g->c, g->lanes)), ex_var(g->c, g->lane));
    a.flat = flat;
  }
  if (!g->lane || !gen_varies(g, flat)) return a;
  const Expr *rest;
  if (!expr_affine(g->c, flat, g->lane, &a.step, &rest) || gen_varies(g, rest)) {
    a.form = EACH;
    a.step = 0;
    return a;
  }
  a.base = rest;
  a.form = a.step == 1 ? CONTIGUOUS : a.step == -1 ? BACKWARD : a.step > 1 && a.step <= 4 ? STRIDED : EACH;
  return a;
}

// ---- addresses ----------------------------------------------------------------------------------------------

// e = *var + constant.
static int64_t split_constant(Gen *g, const Expr *e, const Expr **var) {
  int64_t v;
  *var = e;
  if (expr_is_const_int(e, &v)) {
    *var = NULL;
    return v;
  }
  for (int i = 0; e->op == E_ADD && i < 2; i++)
    if (expr_is_const_int(e->args[i], &v)) {
      *var = e->args[1 - i];
      return v;
    }
  if (e->op == E_SUB && expr_is_const_int(e->args[1], &v)) {
    *var = e->args[0];
    return -v;
  }
  (void)g;
  return 0;
}

static LLVMValueRef gep(Gen *g, const Access *a, LLVMValueRef p, LLVMValueRef by) {
  // An address that may lie outside (of an access that is off) must not claim otherwise.
  return a->safe ? LLVMBuildInBoundsGEP2(g->b, a->elem, p, &by, 1, "")
                 : LLVMBuildGEP2(g->b, a->elem, p, &by, 1, "");
}

// The address of element `flat` + `more`. The constant part comes last, so that neighbours share the rest.
static LLVMValueRef address(Gen *g, const Access *a, const Expr *flat, int64_t more) {
  const Expr *var;
  int64_t k = split_constant(g, flat, &var) + more;
  LLVMValueRef p = a->slot->ptr;
  if (var) p = gep(g, a, p, gen_expr(g, var));
  return k ? gep(g, a, p, gen_i64(g, k)) : p;
}

static void annotate_alias(Gen *g, const Slot *s, LLVMValueRef inst) {
  if (s->scope) LLVMSetMetadata(inst, LLVMGetMDKindIDInContext(g->llvm, "alias.scope", 11), s->scope);
  if (s->others) LLVMSetMetadata(inst, LLVMGetMDKindIDInContext(g->llvm, "noalias", 7), s->others);
}

static unsigned known_align(Gen *g, const Access *a, const Expr *flat, int64_t more, unsigned start) {
  const Expr *var;
  int64_t size = dtype_bytes(a->dtype), k = split_constant(g, flat, &var) + more;
  unsigned align = start;
  while (align > (unsigned)size && (k * size) % align) align /= 2;
  return var || align < (unsigned)size ? (unsigned)size : align;
}

static LLVMValueRef plain_load(Gen *g, const Access *a, LLVMTypeRef t, LLVMValueRef p, unsigned align) {
  LLVMValueRef v = LLVMBuildLoad2(g->b, t, p, "");
  LLVMSetAlignment(v, align);
  annotate_alias(g, a->slot, v);
  return v;
}

static void plain_store(Gen *g, const Access *a, LLVMValueRef v, LLVMValueRef p, unsigned align) {
  LLVMValueRef s = LLVMBuildStore(g->b, v, p);
  LLVMSetAlignment(s, align);
  annotate_alias(g, a->slot, s);
}

// ---- masks --------------------------------------------------------------------------------------------------

// Is any lane on, and the predicate true? NULL: surely.
static LLVMValueRef any_on(Gen *g) {
  LLVMValueRef on = g->pred;
  if (!g->mask) return on;
  LLVMTypeRef bits = LLVMIntTypeInContext(g->llvm, gen_lanes(g->mask));
  LLVMValueRef m = LLVMBuildBitCast(g->b, g->mask, bits, "");
  LLVMValueRef any = LLVMBuildICmp(g->b, LLVMIntNE, m, LLVMConstNull(bits), "");
  return on ? LLVMBuildAnd(g->b, on, any, "") : any;
}

static LLVMValueRef full_mask(Gen *g) {
  LLVMValueRef m = g->mask;
  if (!g->pred) return m;
  LLVMValueRef p = gen_splat(g, g->pred, g->lanes);
  return m ? LLVMBuildAnd(g->b, m, p, "") : p;
}

static LLVMValueRef lane_of(Gen *g, LLVMValueRef v, unsigned lane) {
  return is_vector(v) ? LLVMBuildExtractElement(g->b, v, gen_i64(g, lane), "") : v;
}

// p, or the page of zeros where `on` is false.
static LLVMValueRef or_zeros(Gen *g, LLVMValueRef on, LLVMValueRef p) {
  return on ? LLVMBuildSelect(g->b, on, p, g->zeros, "") : p;
}

// ---- loads --------------------------------------------------------------------------------------------------

static LLVMValueRef load_uniform(Gen *g, const Access *a) {
  LLVMValueRef p = address(g, a, a->base, 0);
  if (!a->safe) p = or_zeros(g, any_on(g), p);
  return plain_load(g, a, a->elem, p, known_align(g, a, a->base, 0, a->safe ? a->slot->align : 1));
}

static LLVMValueRef load_contiguous(Gen *g, const Access *a) {
  LLVMTypeRef t = LLVMVectorType(a->elem, g->lanes);
  LLVMValueRef p = address(g, a, a->base, 0);
  unsigned align = known_align(g, a, a->base, 0, a->slot->align);
  if (a->safe) return plain_load(g, a, t, p, align);
  if (!g->mask) return plain_load(g, a, t, or_zeros(g, g->pred, p), (unsigned)dtype_bytes(a->dtype));
  LLVMValueRef args[] = {p, gen_i32(g, dtype_bytes(a->dtype)), full_mask(g), LLVMConstNull(t)};
  LLVMTypeRef types[] = {t, LLVMTypeOf(p)};
  LLVMValueRef v = gen_intrinsic2(g, "llvm.masked.load", types, 2, args, 4);
  annotate_alias(g, a->slot, v);
  return v;
}

static LLVMValueRef shuffle(Gen *g, LLVMValueRef x, LLVMValueRef y, const int *pick, unsigned n) {
  LLVMValueRef all[1024];
  for (unsigned i = 0; i < n; i++) all[i] = gen_i32(g, pick[i]);
  return LLVMBuildShuffleVector(g->b, x, y ? y : LLVMGetPoison(LLVMTypeOf(x)), LLVMConstVector(all, n), "");
}

static LLVMValueRef load_backward(Gen *g, const Access *a) {
  int pick[1024], n = (int)g->lanes;
  for (int i = 0; i < n; i++) pick[i] = n - 1 - i;
  LLVMValueRef p = address(g, a, a->base, 1 - n);
  LLVMValueRef v = plain_load(g, a, LLVMVectorType(a->elem, g->lanes), p, (unsigned)dtype_bytes(a->dtype));
  return shuffle(g, v, NULL, pick, g->lanes);
}

// Whole vectors that together cover all lanes and nothing beyond the last one; lanes are picked from each.
static LLVMValueRef load_strided(Gen *g, const Access *a) {
  int n = (int)g->lanes, step = (int)a->step, last = (n - 1) * step;
  LLVMTypeRef t = LLVMVectorType(a->elem, g->lanes);
  LLVMValueRef v = NULL;
  for (int start = 0, done = 0; done < n;) {
    int from = start + n - 1 > last ? last - (n - 1) : start; // the last vector ends with the last lane
    LLVMValueRef p = address(g, a, a->base, from);
    LLVMValueRef part = plain_load(g, a, t, p, (unsigned)dtype_bytes(a->dtype));
    int pick[1024], end = done;
    while (end < n && end * step <= from + n - 1) end++;
    for (int i = 0; i < n; i++)
      pick[i] = i < done ? i : i < end ? (v ? n : 0) + i * step - from : i < n && v ? n : 0;
    v = shuffle(g, v ? v : part, v ? part : NULL, pick, g->lanes);
    done = end;
    start = done * step;
  }
  return v;
}

// The address of each lane's element.
typedef struct LaneAddresses {
  LLVMValueRef vector; // flat indices, or NULL: base and step
  LLVMValueRef on;     // mask, or NULL
} LaneAddresses;

static LaneAddresses lane_addresses(Gen *g, const Access *a) {
  LaneAddresses l = {.on = a->safe ? NULL : full_mask(g)};
  if (!a->step) l.vector = gen_expr(g, a->flat);
  return l;
}

static LLVMValueRef lane_address(Gen *g, const Access *a, const LaneAddresses *l, unsigned lane) {
  if (!l->vector) return address(g, a, a->base, a->step * lane);
  return gep(g, a, a->slot->ptr, lane_of(g, l->vector, lane));
}

static LLVMValueRef load_each(Gen *g, const Access *a) {
  LaneAddresses l = lane_addresses(g, a);
  LLVMValueRef v = LLVMGetPoison(LLVMVectorType(a->elem, g->lanes));
  for (unsigned i = 0; i < g->lanes; i++) {
    LLVMValueRef p = lane_address(g, a, &l, i);
    if (l.on) p = or_zeros(g, lane_of(g, l.on, i), p);
    LLVMValueRef one = plain_load(g, a, a->elem, p, (unsigned)dtype_bytes(a->dtype));
    v = LLVMBuildInsertElement(g->b, v, one, gen_i64(g, i), "");
  }
  return v;
}

static LLVMValueRef load_access(Gen *g, const Access *a) {
  switch (a->form) {
  case UNIFORM: return load_uniform(g, a);
  case CONTIGUOUS: return load_contiguous(g, a);
  case BACKWARD: return a->safe ? load_backward(g, a) : load_each(g, a);
  case STRIDED: return a->safe ? load_strided(g, a) : load_each(g, a);
  default: return load_each(g, a);
  }
}

// ---- checked indices ----------------------------------------------------------------------------------------

// Any lane, of those that are on, outside?
static LLVMValueRef is_outside(Gen *g, const Slot *slot, LLVMValueRef index) {
  LLVMValueRef count = gen_expr(g, slot->count), on;
  if (!is_vector(index)) {
    LLVMValueRef bad = LLVMBuildICmp(g->b, LLVMIntUGE, index, count, "");
    on = g->mask || g->pred ? any_on(g) : NULL;
    return on ? LLVMBuildAnd(g->b, bad, on, "") : bad;
  }
  LLVMValueRef bad = LLVMBuildICmp(g->b, LLVMIntUGE, index, gen_splat(g, count, g->lanes), "");
  on = g->mask || g->pred ? full_mask(g) : NULL;
  if (on) bad = LLVMBuildAnd(g->b, bad, on, "");
  LLVMTypeRef bits = LLVMIntTypeInContext(g->llvm, g->lanes);
  return LLVMBuildICmp(g->b, LLVMIntNE, LLVMBuildBitCast(g->b, bad, bits, ""), LLVMConstNull(bits), "");
}

// Ends the kernel, leaving a record, if the index is not one of the buffer.
static void check_index(Gen *g, const Slot *slot, const Expr *flat) {
  if (!g->fault) return;
  LLVMTypeRef i64 = LLVMInt64TypeInContext(g->llvm);
  LLVMValueRef index = gen_expr(g, flat), bad = is_outside(g, slot, index), one = gen_i64(g, 1);
  LLVMBasicBlockRef wrong = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "outside");
  LLVMBasicBlockRef right = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "inside");
  LLVMBuildCondBr(g->b, bad, wrong, right);
  LLVMPositionBuilderAtEnd(g->b, wrong);
  LLVMValueRef at = LLVMBuildGEP2(g->b, i64, g->fault, &one, 1, "");
  LLVMBuildStore(g->b, lane_of(g, index, 0), at);
  LLVMBuildStore(g->b, gen_i64(g, slot->number + 2), g->fault);
  LLVMBuildRetVoid(g->b);
  LLVMPositionBuilderAtEnd(g->b, right);
}

LLVMValueRef gen_load(Gen *g, const Expr *e) {
  const Slot *slot = gen_slot(g, e->value);
  if (!slot) {
    gen_fail(g, e->value->loc, "a value is read that the kernel does not have");
    return LLVMGetUndef(gen_type_register(g, e->dtype));
  }
  const Expr *flat = gen_flat(g, slot, e->args, e->nargs);
  check_index(g, slot, flat);
  Access a = access_of(g, slot, e->dtype, flat);
  return gen_loaded(g, load_access(g, &a), e->dtype);
}

// ---- stores -------------------------------------------------------------------------------------------------

static void store_contiguous(Gen *g, const Access *a, LLVMValueRef v) {
  LLVMValueRef p = address(g, a, a->base, 0);
  unsigned align = known_align(g, a, a->base, 0, a->slot->align);
  if (!g->mask) {
    plain_store(g, a, v, p, align);
  } else if (a->slot->local && a->safe) { // nobody else writes there
    LLVMValueRef old = plain_load(g, a, LLVMTypeOf(v), p, align);
    plain_store(g, a, LLVMBuildSelect(g->b, g->mask, v, old, ""), p, align);
  } else {
    LLVMValueRef args[] = {v, p, gen_i32(g, dtype_bytes(a->dtype)), g->mask};
    LLVMTypeRef types[] = {LLVMTypeOf(v), LLVMTypeOf(p)};
    annotate_alias(g, a->slot, gen_intrinsic2(g, "llvm.masked.store", types, 2, args, 4));
  }
}

// Where lanes that are off write to.
static LLVMValueRef sink(Gen *g) {
  if (g->sink) return g->sink;
  LLVMBasicBlockRef here = LLVMGetInsertBlock(g->b);
  LLVMPositionBuilderBefore(g->b, LLVMGetBasicBlockTerminator(g->entry));
  g->sink = LLVMBuildAlloca(g->b, LLVMInt64TypeInContext(g->llvm), "sink");
  LLVMPositionBuilderAtEnd(g->b, here);
  return g->sink;
}

// Lane by lane, in order: what an earlier lane wrote a later one finds there.
static void store_each(Gen *g, const Access *a, StoreKind op, LLVMValueRef v) {
  LaneAddresses l = lane_addresses(g, a);
  unsigned align = (unsigned)dtype_bytes(a->dtype);
  for (unsigned i = 0; i < g->lanes; i++) {
    LLVMValueRef p = a->form == UNIFORM ? address(g, a, a->base, 0) : lane_address(g, a, &l, i);
    LLVMValueRef nowhere = g->mask ? sink(g) : NULL;
    if (g->mask) p = LLVMBuildSelect(g->b, lane_of(g, g->mask, i), p, nowhere, "");
    LLVMValueRef one = lane_of(g, v, i);
    if (op != STORE_SET) {
      LLVMValueRef old = gen_loaded(g, plain_load(g, a, a->elem, p, align), a->dtype);
      one = gen_combine(g, op, a->dtype, old, one);
    }
    LLVMValueRef s = LLVMBuildStore(g->b, gen_stored(g, one, a->dtype), p);
    LLVMSetAlignment(s, align);
    if (!g->mask) annotate_alias(g, a->slot, s);
  }
}

// Without lanes, or the last lane's value.
static void store_uniform(Gen *g, const Access *a, StoreKind op, LLVMValueRef v) {
  v = g->lane ? lane_of(g, v, g->lanes - 1) : v;
  LLVMValueRef p = address(g, a, a->base, 0);
  unsigned align = known_align(g, a, a->base, 0, a->slot->align);
  if (op != STORE_SET)
    v = gen_combine(g, op, a->dtype, gen_loaded(g, plain_load(g, a, a->elem, p, align), a->dtype), v);
  plain_store(g, a, gen_stored(g, v, a->dtype), p, align);
}

static void store_lanes(Gen *g, const Access *a, StoreKind op, LLVMValueRef v) {
  v = gen_splat(g, v, g->lanes);
  if (op != STORE_SET) v = gen_combine(g, op, a->dtype, gen_loaded(g, load_contiguous(g, a), a->dtype), v);
  store_contiguous(g, a, gen_stored(g, v, a->dtype));
}

void gen_store_flat(Gen *g, const Slot *slot, DType t, const Expr *flat, StoreKind op, LLVMValueRef v) {
  check_index(g, slot, flat);
  Access a = access_of(g, slot, t, flat);
  if (a.form == CONTIGUOUS)
    store_lanes(g, &a, op, v);
  else if (a.form == UNIFORM && !(g->lane && g->mask))
    store_uniform(g, &a, op, v);
  else
    store_each(g, &a, op, v);
}

void gen_store(Gen *g, const Stmt *s) {
  const Value *dst = s->store.dst;
  const Slot *slot = gen_slot(g, dst);
  if (!slot) {
    gen_fail(g, s->loc, "a value is written that the kernel does not have");
    return;
  }
  const Expr *index[MAX_PHYS_RANK];
  for (int i = 0; i < s->store.nindex; i++) index[i] = gen_subst(g, s->store.index[i]);
  const Expr *flat = gen_flat(g, slot, index, s->store.nindex);
  LLVMValueRef v = gen_expr(g, gen_subst(g, s->store.value));
  bool reduction = g->lane && s->store.op != STORE_SET && !slot->per_lane && !gen_varies(g, flat);
  if (reduction)
    gen_reduce_store(g, dst, flat, s->store.op, v);
  else
    gen_store_flat(g, slot, dst->type.dtype, flat, s->store.op, v);
}

// Into the second-level cache: what is prefetched is as large as that, and not needed at once.
void gen_prefetch(Gen *g, const Stmt *s) {
  const Slot *slot = gen_slot(g, s->prefetch.of);
  if (!slot) return; // a constant that is only prefetched is not in the artefact
  const Expr *flat = gen_subst(g, s->prefetch.at);
  Access a = {.slot = slot, .elem = gen_type_memory(g, s->prefetch.of->type.dtype)};
  LLVMValueRef at = address(g, &a, flat, 0);
  LLVMValueRef args[] = {at, gen_i32(g, 0), gen_i32(g, 2), gen_i32(g, 1)};
  gen_intrinsic(g, "llvm.prefetch", LLVMTypeOf(at), args, ARRAY_LEN(args));
}
