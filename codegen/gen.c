// gen.c: one kernel's loops -> one LLVM function of the runtime's kernel signature.
// SPDX-License-Identifier: Apache-2.0
//
// Everything below works on a copy of the kernel in the worker's own Ctx. Unrolled loops and chunks of vector
// loops are emitted again and again with their variables replaced by constants, so that indices fold; other
// loops become loops with a phi.
#include "codegen/internal.h"

void gen_fail(Gen *g, Loc loc, const char *what) {
  if (!g->failed) diag_error(g->c->diag, loc, "internal error: code generation: %s", what);
  g->failed = true;
}

const Expr *gen_subst(Gen *g, const Expr *e) {
  int n = g->subst_var.n;
  return n ? expr_subst(g->c, e, g->subst_var.data, g->subst_expr.data, n) : e;
}

static void push_subst(Gen *g, const Var *v, const Expr *with) {
  vec_push(g->c->arena, &g->subst_var, v);
  vec_push(g->c->arena, &g->subst_expr, with);
}

static void pop_subst(Gen *g, int to) {
  g->subst_var.n = g->subst_expr.n = to;
}

// ---- loops ----------------------------------------------------------------------------------------------

static void gen_body_as(Gen *g, const Stmt *s, const Expr *value) {
  int mark = g->subst_var.n;
  push_subst(g, s->loop.var, value);
  gen_stmts(g, s->loop.body);
  pop_subst(g, mark);
}

// for v in [first, end): at least once. The loop is rotated: the test stands at its end.
static void counted_loop(Gen *g, const Stmt *s, LLVMValueRef first, LLVMValueRef end) {
  LLVMBasicBlockRef before = LLVMGetInsertBlock(g->b);
  LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(g->llvm, g->fn, s->loop.var->name);
  LLVMBuildBr(g->b, body);
  LLVMPositionBuilderAtEnd(g->b, body);
  LLVMValueRef i = LLVMBuildPhi(g->b, LLVMInt64TypeInContext(g->llvm), s->loop.var->name);
  pmap_put(&g->vars, s->loop.var, i);
  debug_variable(g, s->loop.var, s->line, i);
  gen_stmts(g, s->loop.body);
  debug_at(g, s);
  LLVMValueRef next = LLVMBuildNSWAdd(g->b, i, gen_i64(g, 1), "");
  LLVMValueRef more = LLVMBuildICmp(g->b, LLVMIntSLT, next, end, "");
  LLVMAddIncoming(i, (LLVMValueRef[]){first, next}, (LLVMBasicBlockRef[]){before, LLVMGetInsertBlock(g->b)},
                  2);
  LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "end");
  LLVMBuildCondBr(g->b, more, body, after);
  LLVMPositionBuilderAtEnd(g->b, after);
}

static void serial_loop(Gen *g, const Stmt *s, const Expr *extent) {
  int64_t n, lo, hi;
  if (expr_is_const_int(extent, &n) && n <= 1) {
    if (n < 1) return;
    debug_variable(g, s->loop.var, s->line, gen_i64(g, 0));
    gen_body_as(g, s, ex_idx(g->c, 0));
    return;
  }
  LLVMValueRef end = gen_expr(g, extent), zero = gen_i64(g, 0);
  gen_cache_forget(g, 0);
  bool runs = expr_bounds(g->c, extent, NULL, &lo, &hi) && lo > 0;
  LLVMBasicBlockRef skip = NULL;
  if (!runs) {
    LLVMBasicBlockRef enter = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "enter");
    skip = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "skip");
    LLVMBuildCondBr(g->b, LLVMBuildICmp(g->b, LLVMIntSGT, end, zero, ""), enter, skip);
    LLVMPositionBuilderAtEnd(g->b, enter);
  }
  g->branches++;
  counted_loop(g, s, zero, end);
  g->branches--;
  if (skip) {
    LLVMBuildBr(g->b, skip);
    LLVMPositionBuilderAtEnd(g->b, skip);
  }
}

// ---- unrolled loops -----------------------------------------------------------------------------------------

// Unrolled steps of a reduction into a register tile. If such steps read the same memory (neighbouring positions of
// a convolution do), LLVM loads it once and keeps it, for which there is no register left: it would spill
// accumulators to save loads that cost nothing beside the multiplications. So from step to step it must forget what
// it has loaded.
typedef struct TileStep {
  Gen *g;
  const Var *step;
  int64_t tile;  // bytes of the largest register tile that is accumulated into
  bool is_index; // the step's variable chooses accumulators
} TileStep;

static bool is_accumulation(const Stmt *s) {
  if (s->store.op != STORE_SET) return true;
  const Expr *v = s->store.value;
  const Expr *last = v->op == E_FMA ? v->args[2] : v->op == E_ADD ? v->args[0] : NULL;
  return last && last->op == E_READ && last->value == s->store.dst;
}

static void find_tile(TileStep *t, const Stmt *s) {
  for (; s; s = s->next) {
    if (s->kind == S_FOR) find_tile(t, s->loop.body);
    if (s->kind == S_IF) find_tile(t, s->cond.then);
    if (s->kind != S_STORE || s->store.dst->space != SPACE_REG || !is_accumulation(s)) continue;
    int64_t bytes = type_bytes(&s->store.dst->type);
    if (bytes > t->tile) t->tile = bytes;
    for (int i = 0; i < s->store.nindex; i++)
      t->is_index = t->is_index || expr_uses_var(t->g->c, s->store.index[i], t->step);
  }
}

static bool is_tile_step(Gen *g, const Stmt *loop) {
  TileStep t = {.g = g, .step = loop->loop.var};
  find_tile(&t, loop->loop.body);
  return !t.is_index && 8 * t.tile >= 4 * g->target->vector_regs * g->target->vector_bytes;
}

static void unrolled_loop(Gen *g, const Stmt *s, const Expr *extent) {
  int64_t n;
  if (!expr_is_const_int(extent, &n)) {
    gen_fail(g, s->loc, "an unrolled loop's extent is not a constant");
    return;
  }
  bool forget = !g->lane && is_tile_step(g, s);
  for (int64_t i = 0; i < n; i++) {
    gen_body_as(g, s, ex_idx(g->c, i));
    if (forget) LLVMBuildFence(g->b, LLVMAtomicOrderingAcquireRelease, true, "");
  }
}

static void gen_loop(Gen *g, const Stmt *s) {
  const Expr *extent = gen_subst(g, s->loop.var->extent);
  switch (s->loop.kind) {
  case LOOP_UNROLL: unrolled_loop(g, s, extent); return;
  case LOOP_VECTOR: gen_vector_loop(g, s); return;
  case LOOP_SERIAL:
  case LOOP_PARALLEL: serial_loop(g, s, extent); return;
  }
}

// ---- other statements -------------------------------------------------------------------------------------

static bool is_read(const Expr *e, void *data) {
  (void)data;
  return e->op != E_READ;
}

// Integer lets without reads are put in where they are used: addresses stay visible as sums of variables.
static void gen_let(Gen *g, const Stmt *s) {
  const Expr *e = gen_subst(g, s->let.value);
  if (s->let.var->dtype == DT_I64 && expr_visit(g->c, e, is_read, NULL))
    push_subst(g, s->let.var, e);
  else {
    LLVMValueRef v = gen_expr(g, e);
    pmap_put(&g->vars, s->let.var, v);
    debug_variable(g, s->let.var, s->line, v);
  }
}

static void gen_branch(Gen *g, const Stmt *s, const Expr *cond) {
  LLVMBasicBlockRef then = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "then");
  LLVMBasicBlockRef otherwise = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "else");
  LLVMBasicBlockRef end =
      s->cond.otherwise ? LLVMAppendBasicBlockInContext(g->llvm, g->fn, "endif") : otherwise;
  LLVMBuildCondBr(g->b, gen_expr(g, cond), then, otherwise);
  gen_cache_forget(g, 0);
  g->branches++;
  LLVMPositionBuilderAtEnd(g->b, then);
  gen_stmts(g, s->cond.then);
  LLVMBuildBr(g->b, end);
  if (s->cond.otherwise) {
    LLVMPositionBuilderAtEnd(g->b, otherwise);
    gen_stmts(g, s->cond.otherwise);
    LLVMBuildBr(g->b, end);
  }
  g->branches--;
  LLVMPositionBuilderAtEnd(g->b, end);
}

static void gen_masked(Gen *g, const Stmt *s, const Expr *cond) {
  LLVMValueRef outer = g->mask, m = gen_cond(g, cond);
  gen_cache_forget(g, 0);
  g->mask = outer ? LLVMBuildAnd(g->b, outer, m, "") : m;
  gen_stmts(g, s->cond.then);
  if (s->cond.otherwise) {
    LLVMValueRef not = LLVMBuildNot(g->b, m, "");
    g->mask = outer ? LLVMBuildAnd(g->b, outer, not, "") : not ;
    gen_stmts(g, s->cond.otherwise);
  }
  g->mask = outer;
}

static void gen_if(Gen *g, const Stmt *s) {
  const Expr *cond = gen_subst(g, s->cond.cond);
  int64_t known;
  if (expr_is_const_int(cond, &known))
    gen_stmts(g, known ? s->cond.then : s->cond.otherwise);
  else if (gen_varies(g, cond))
    gen_masked(g, s, cond);
  else
    gen_branch(g, s, cond);
}

static void gen_alloc(Gen *g, const Value *v) {
  Slot *slot = gen_slot_new(g, v);
  slot->local = true;
  slot->per_lane = g->lane != NULL;
  int64_t lanes = slot->per_lane ? g->lanes : 1;
  if (v->space == SPACE_SCRATCH) {
    LLVMValueRef at = gen_i64(g, v->offset);
    slot->ptr = LLVMBuildInBoundsGEP2(g->b, LLVMInt8TypeInContext(g->llvm), g->scratch, &at, 1, v->name);
  } else {
    LLVMTypeRef t = LLVMArrayType2(gen_type_memory(g, v->type.dtype), (uint64_t)(slot->room * lanes));
    LLVMBasicBlockRef here = LLVMGetInsertBlock(g->b);
    LLVMPositionBuilderBefore(g->b, LLVMGetBasicBlockTerminator(g->entry));
    slot->ptr = LLVMBuildAlloca(g->b, t, v->name);
    LLVMPositionBuilderAtEnd(g->b, here);
    LLVMSetAlignment(slot->ptr, v->space == SPACE_REG ? (unsigned)g->target->vector_bytes : 64);
  }
  slot->align = v->space == SPACE_REG ? (unsigned)g->target->vector_bytes : 64;
}

static void gen_stmt(Gen *g, const Stmt *s) {
  debug_at(g, s);
  switch (s->kind) {
  case S_FOR: gen_loop(g, s); break;
  case S_STORE: gen_store(g, s); break;
  case S_LET: gen_let(g, s); break;
  case S_IF: gen_if(g, s); break;
  case S_ALLOC: gen_alloc(g, s->alloc); break;
  case S_PREFETCH: gen_prefetch(g, s); break;
  }
  gen_cache_forget(g, 0); // stores may have changed what was read, branches may not dominate
}

void gen_stmts(Gen *g, const Stmt *s) {
  int mark = g->subst_var.n;
  for (; s && !g->failed; s = s->next) gen_stmt(g, s);
  pop_subst(g, mark);
}

// ---- the function -----------------------------------------------------------------------------------------

static void set_attribute(Gen *g, const char *key, const char *value) {
  LLVMAttributeRef a =
      LLVMCreateStringAttribute(g->llvm, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
  LLVMAddAttributeAtIndex(g->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

static void enum_attribute(Gen *g, const char *name, uint64_t value) {
  unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
  LLVMAddAttributeAtIndex(g->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                          LLVMCreateEnumAttribute(g->llvm, kind, value));
}

static void param_attribute(Gen *g, unsigned param, const char *name) {
  unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
  LLVMAddAttributeAtIndex(g->fn, param + 1, LLVMCreateEnumAttribute(g->llvm, kind, 0));
}

// void kernel(void *const *buf, const int64_t *sym, int64_t lo, int64_t hi, void *scratch)
static void make_function(Gen *g, const char *symbol) {
  LLVMTypeRef ptr = LLVMPointerTypeInContext(g->llvm, 0), i64 = LLVMInt64TypeInContext(g->llvm);
  LLVMTypeRef t =
      LLVMFunctionType(LLVMVoidTypeInContext(g->llvm), (LLVMTypeRef[]){ptr, ptr, i64, i64, ptr}, 5, 0);
  g->fn = LLVMAddFunction(g->module, symbol, t);
  LLVMSetVisibility(g->fn, LLVMHiddenVisibility);
  const Target *target = g->target;
  if (target->cpu && *target->cpu) set_attribute(g, "target-cpu", target->cpu);
  if (target->features && *target->features) set_attribute(g, "target-features", target->features);
  if (target->tune) set_attribute(g, "tune-cpu", target->tune);
  if (target->vector_bytes == 64) set_attribute(g, "prefer-vector-width", "512");
  // Registers are at least so long: vectors of that many bytes fit one.
  if (target->vscale) enum_attribute(g, "vscale_range", (uint64_t)target->vscale << 32);
  enum_attribute(g, "nounwind", 0);
  set_attribute(g, "warn-stack-size", "0"); // LLVM tells the frame's size: workers.c
  for (unsigned p = 0; p < 5; p++)
    if (p != 2 && p != 3) param_attribute(g, p, "noalias");
  g->scratch = LLVMGetParam(g->fn, 4);
  g->entry = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "entry");
  LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(g->llvm, g->fn, "start");
  LLVMPositionBuilderAtEnd(g->b, g->entry);
  LLVMBuildBr(g->b, start);
  LLVMPositionBuilderBefore(g->b, LLVMGetBasicBlockTerminator(g->entry));
}

static LLVMValueRef metadata_ints(Gen *g, LLVMTypeRef t, const int64_t *v, int n) {
  LLVMMetadataRef ops[2];
  for (int i = 0; i < n; i++) ops[i] = LLVMValueAsMetadata(LLVMConstInt(t, (unsigned long long)v[i], true));
  return LLVMMetadataAsValue(g->llvm, LLVMMDNodeInContext2(g->llvm, ops, (size_t)n));
}

static void annotate(Gen *g, LLVMValueRef inst, const char *kind, LLVMValueRef node) {
  LLVMSetMetadata(inst, LLVMGetMDKindIDInContext(g->llvm, kind, (unsigned)strlen(kind)), node);
}

// The pointer of buffer k, with what is known about it.
static LLVMValueRef load_buffer(Gen *g, const Unit *u, int k, int64_t bytes) {
  LLVMTypeRef ptr = LLVMPointerTypeInContext(g->llvm, 0), i64 = LLVMInt64TypeInContext(g->llvm);
  LLVMValueRef at = gen_i64(g, k);
  LLVMValueRef from = LLVMBuildInBoundsGEP2(g->b, ptr, LLVMGetParam(g->fn, 0), &at, 1, "");
  LLVMValueRef p = LLVMBuildLoad2(g->b, ptr, from, u->buffers[k].name);
  annotate(g, p, "invariant.load", LLVMMetadataAsValue(g->llvm, LLVMMDNodeInContext2(g->llvm, NULL, 0)));
  int64_t align = u->buffers[k].align;
  annotate(g, p, "align", metadata_ints(g, i64, &align, 1));
  if (bytes > 0) annotate(g, p, "dereferenceable", metadata_ints(g, i64, &bytes, 1));
  return p;
}

// Scopes for "does not alias": one per buffer, and for each the list of the others that it does not overlap.
static void alias_scopes(Gen *g, const Unit *u, Slot **slots) {
  LLVMMetadataRef domain_name = LLVMMDStringInContext2(g->llvm, u->symbol, strlen(u->symbol));
  LLVMMetadataRef domain = LLVMMDNodeInContext2(g->llvm, &domain_name, 1);
  LLVMMetadataRef *scope = NEW_ARRAY(g->c->arena, LLVMMetadataRef, u->nbuffers);
  LLVMMetadataRef *list = NEW_ARRAY(g->c->arena, LLVMMetadataRef, u->nbuffers);
  for (int k = 0; k < u->nbuffers; k++) {
    char *name = arena_printf(g->c->arena, "%s.%d", u->symbol, k);
    LLVMMetadataRef parts[] = {LLVMMDStringInContext2(g->llvm, name, strlen(name)), domain};
    scope[k] = LLVMMDNodeInContext2(g->llvm, parts, 2);
  }
  for (int k = 0; k < u->nbuffers; k++) {
    if (!slots[k]) continue;
    size_t n = 0;
    for (int j = 0; j < u->nbuffers; j++)
      if (j != k && !unit_overlap(u, j, k)) list[n++] = scope[j];
    slots[k]->scope = LLVMMetadataAsValue(g->llvm, LLVMMDNodeInContext2(g->llvm, &scope[k], 1));
    if (n) slots[k]->others = LLVMMetadataAsValue(g->llvm, LLVMMDNodeInContext2(g->llvm, list, n));
  }
}

static void bind_buffers(Gen *g, const Unit *u, Clone *k) {
  Slot **slots = NEW_ARRAY(g->c->arena, Slot *, u->nbuffers);
  for (int i = 0; i < u->nbuffers; i++) {
    const Value *v = u->buffers[i].value;
    if (!v) continue;
    Value *own = clone_value(k, v);
    Slot *slot = gen_slot(g, own); // the same value may stand at two places
    if (slot) continue;
    slot = gen_slot_new(g, own);
    slot->align = (unsigned)u->buffers[i].align;
    slot->ptr = load_buffer(g, u, i, slot->elements * dtype_bytes(v->type.dtype));
    debug_buffer(g, own, slot->ptr);
    slot->number = i;
    slots[i] = slot;
  }
  alias_scopes(g, u, slots);
  if (!u->check) return;
  LLVMValueRef at = gen_i64(g, u->nbuffers);
  LLVMTypeRef ptr = LLVMPointerTypeInContext(g->llvm, 0);
  LLVMValueRef from = LLVMBuildInBoundsGEP2(g->b, ptr, LLVMGetParam(g->fn, 0), &at, 1, "");
  g->fault = LLVMBuildLoad2(g->b, ptr, from, "fault");
}

static void load_syms(Gen *g, const Unit *u) {
  LLVMTypeRef i64 = LLVMInt64TypeInContext(g->llvm);
  g->syms = NEW_ARRAY(g->c->arena, LLVMValueRef, u->nsyms);
  for (int i = 0; i < u->nsyms; i++) {
    LLVMValueRef at = gen_i64(g, u->syms[i]->index);
    LLVMValueRef from = LLVMBuildInBoundsGEP2(g->b, i64, LLVMGetParam(g->fn, 1), &at, 1, "");
    g->syms[i] = LLVMBuildLoad2(g->b, i64, from, u->syms[i]->name);
    int64_t range[] = {u->syms[i]->min, u->syms[i]->max + 1};
    if (range[1] > range[0]) annotate(g, g->syms[i], "range", metadata_ints(g, i64, range, 2));
  }
}

// A page to read zeros from where a guarded read is not allowed, so that no branch is needed.
static void make_zeros(Gen *g) {
  g->zeros = LLVMGetNamedGlobal(g->module, "ingot.zeros");
  if (g->zeros) return;
  LLVMTypeRef t = LLVMArrayType2(LLVMInt8TypeInContext(g->llvm), 1024);
  g->zeros = LLVMAddGlobal(g->module, t, "ingot.zeros");
  LLVMSetInitializer(g->zeros, LLVMConstNull(t));
  LLVMSetGlobalConstant(g->zeros, true);
  LLVMSetLinkage(g->zeros, LLVMPrivateLinkage);
  LLVMSetUnnamedAddress(g->zeros, LLVMGlobalUnnamedAddr);
  LLVMSetAlignment(g->zeros, 64);
}

bool gen_kernel(Worker *w, LLVMModuleRef module, const Unit *u) {
  Ctx *c = w->ctx;
  PMap empty = {.arena = c->arena};
  Gen lower = {.w = w, .c = c, .target = w->machine.target, .llvm = w->llvm, .module = module};
  lower.unit = u;
  lower.debug = w->debug;
  Gen *g = &lower;
  g->slots = g->vars = g->known = empty;
  g->b = LLVMCreateBuilderInContext(w->llvm);
  Clone k = clone_new(c, false);
  make_function(g, u->symbol);
  debug_kernel(g);
  make_zeros(g);
  load_syms(g, u);
  bind_buffers(g, u, &k);
  const Stmt *body = clone_stmt(&k, u->kernel->body);
  LLVMPositionBuilderAtEnd(g->b, LLVMGetLastBasicBlock(g->fn));
  if (body && body->kind == S_FOR && body->loop.kind == LOOP_PARALLEL && !body->next)
    counted_loop(g, body, LLVMGetParam(g->fn, 2), LLVMGetParam(g->fn, 3));
  else
    gen_stmts(g, body);
  LLVMBuildRetVoid(g->b);
  LLVMDisposeBuilder(g->b);
  return !g->failed;
}
