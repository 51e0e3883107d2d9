// jit.c: compiled modules in this process: the artefact's own tables and kernels, linked by ORC in memory.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

#include <llvm-c/LLJIT.h>
#include <stdlib.h>
#include <sys/mman.h>

struct Jit {
  Plan *plan;
  LLVMOrcLLJITRef lljit;
  const ingot_model *model;
  void *weights; // mapped
  ingot_ctx *ctx;
  int threads;  // of ctx
  void *memory; // its working memory
};

void jit_close(Jit *j) {
  ingot_ctx_destroy(j->ctx);
  if (j->lljit) LLVMConsumeError(LLVMOrcDisposeLLJIT(j->lljit));
  if (j->weights) munmap(j->weights, (size_t)j->plan->model.weights.bytes);
  free(j->memory);
  j->ctx = NULL;
  j->lljit = NULL;
  j->weights = NULL;
  j->memory = NULL;
}

static void jit_free(void *data) {
  jit_close(data);
}

// Reports e, if it is one.
static bool check(Jit *j, LLVMErrorRef e) {
  if (!e) return true;
  char *text = LLVMGetErrorMessage(e);
  diag_error(j->plan->c->diag, NO_LOC, "internal error: LLVM: %s", text);
  LLVMDisposeErrorMessage(text);
  return false;
}

// ---- linking ----------------------------------------------------------------------------------------------------

// What generated code refers to, where it is in this process.
typedef struct Known {
  const char *name;
  void *address;
} Known;

// ISO C has no conversion between pointers to functions and to data; POSIX does.
#define FUNCTION(f)                                                                                          \
  { #f, (void *)(uintptr_t)(f) }

static bool define_symbols(Jit *j) {
  const char *weights = arena_printf(j->plan->arena, "ingot_weights_%s", j->plan->model.name);
  const Known known[] = {{"ingot_runtime_api", (void *)(uintptr_t)&ingot_runtime_api},
                         {weights, j->weights},
                         FUNCTION(ingot_run_simple),
                         FUNCTION(ingot_rt_topk),
                         FUNCTION(ingot_rt_nonzero),
                         FUNCTION(ingot_rt_unique),
                         FUNCTION(ingot_rt_nms),
                         FUNCTION(ingot_rt_check)};
  LLVMOrcCSymbolMapPair pairs[ARRAY_LEN(known)];
  for (int i = 0; i < ARRAY_LEN(known); i++) {
    pairs[i].Name = LLVMOrcLLJITMangleAndIntern(j->lljit, known[i].name);
    pairs[i].Sym.Address = (LLVMOrcExecutorAddress)(uintptr_t)known[i].address;
    pairs[i].Sym.Flags = (LLVMJITSymbolFlags){LLVMJITSymbolGenericFlagsExported, 0};
  }
  LLVMOrcMaterializationUnitRef unit = LLVMOrcAbsoluteSymbols(pairs, ARRAY_LEN(pairs));
  LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(j->lljit);
  LLVMOrcDefinitionGeneratorRef process; // libc and libm
  char prefix = LLVMOrcLLJITGetGlobalPrefix(j->lljit);
  if (!check(j, LLVMOrcJITDylibDefine(lib, unit)) ||
      !check(j, LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, prefix, NULL, NULL)))
    return false;
  LLVMOrcJITDylibAddGenerator(lib, process);
  return true;
}

static bool add_objects(Jit *j) {
  Compiled objects = {0};
  if (!workers_compile(j->plan, COMPILE_OBJECT, TABLES_STATIC, &objects)) return false;
  LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(j->lljit);
  bool ok = true;
  for (int i = 0; i < objects.n; i++) { // takes the buffers, in failure too
    if (ok)
      ok = check(j, LLVMOrcLLJITAddObjectFile(j->lljit, lib, objects.data[i]));
    else
      LLVMDisposeMemoryBuffer(objects.data[i]);
  }
  return ok;
}

static bool map_weights(Jit *j) {
  size_t bytes = (size_t)j->plan->model.weights.bytes;
  if (bytes == 0) return true;
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    diag_error(j->plan->c->diag, NO_LOC, "out of memory");
    return false;
  }
  j->weights = at;
  rodata_fill(j->plan, at);
  return true;
}

static bool find_model(Jit *j) {
  LLVMOrcExecutorAddress at = 0;
  const char *name = arena_printf(j->plan->arena, "ingot_model_%s", j->plan->model.name);
  if (!check(j, LLVMOrcLLJITLookup(j->lljit, &at, name))) return false;
  j->model = (const ingot_model *)(uintptr_t)at;
  return true;
}

// What a processor of the right kind lacks is found when a context is made.
static bool can_run(Module *m) {
  const Target *here = target_find(m->ctx, "native");
  if (here && strcmp(here->runtime, m->target->runtime) == 0) return true;
  diag_error(m->ctx->diag, NO_LOC, "code for %s cannot run on this machine%s%s", m->target->name,
             here ? ", which is " : "", here ? here->runtime : "");
  return false;
}

Jit *jit_compile(Module *m, const CodegenOptions *o) {
  if (!can_run(m)) return NULL;
  Jit *j = NEW(m->ctx->arena, Jit);
  j->plan = plan_make(&(Form){.module = m}, 1, o);
  if (!j->plan) return NULL;
  machine_init();
  if (!check(j, LLVMOrcCreateLLJIT(&j->lljit, LLVMOrcCreateLLJITBuilder()))) return NULL;
  arena_defer(m->ctx->arena, jit_free, j);
  return map_weights(j) && define_symbols(j) && add_objects(j) && find_model(j) ? j : NULL;
}

// ---- running ------------------------------------------------------------------------------------------------------

static bool failed(Jit *j, int code) {
  if (code == INGOT_OK) return false;
  const char *text = j->ctx ? ingot_last_error(j->ctx) : ingot_error_text(j->model, code);
  diag_error(j->plan->c->diag, NO_LOC, "%s: %s", j->plan->model.name, text);
  return true;
}

// Nothing may depend on what lies in the memory that a model works in: it is full of NaN here.
static bool fill_memory(Jit *j, struct ingot_options *o) {
  o->arena_bytes = (ingot_arena_bytes(j->model, o) / INGOT_ALIGN + 1) * INGOT_ALIGN;
  if (!j->memory) j->memory = aligned_alloc(INGOT_ALIGN, o->arena_bytes);
  o->arena = j->memory;
  if (!o->arena)
    diag_error(j->plan->c->diag, NO_LOC, "out of memory");
  else
    memset(o->arena, 0xff, o->arena_bytes);
  return o->arena;
}

static bool make_context(Jit *j, int threads) {
  if (j->ctx && j->threads == threads) return true;
  ingot_ctx_destroy(j->ctx);
  j->ctx = NULL;
  struct ingot_options o = {.size = sizeof o, .threads = threads, .flags = INGOT_OWN_OUTPUTS};
  if (!fill_memory(j, &o)) return false;
  j->threads = threads;
  return !failed(j, ingot_ctx_create(j->model, &o, &j->ctx));
}

static bool bind_input(Jit *j, int i, const Tensor *t) {
  const void *data = t->data;
  int64_t dims[MAX_RANK];
  for (int d = 0; d < t->type.rank; d++) dims[d] = t->type.dim[d].n;
  if ((uintptr_t)data % (uintptr_t)dtype_bytes(t->type.dtype))
    data = arena_dup(j->plan->arena, data, t->bytes);
  int32_t dtype = plan_dtype(t->type.dtype);
  return !failed(j, ingot_set_input(j->ctx, i, data, dtype, t->type.rank, dims, t->bytes));
}

static bool fetch_output(Jit *j, int i, const Type *as, Tensor **out) {
  Type type = *as;
  int64_t dims[INGOT_MAX_RANK];
  if (failed(j, ingot_output_shape(j->ctx, i, dims))) return false;
  for (int d = 0; d < type.rank; d++) type.dim[d] = dim_const(dims[d]);
  *out = tensor_new(j->plan->c, &type);
  memcpy(tensor_data(*out), ingot_output_data(j->ctx, i), (*out)->bytes);
  return true;
}

// ---- states: given and taken as copies of the context's ------------------------------------------------------------

// The place of a kept symbol in a copy.
static int64_t *kept_symbol(const Jit *j, char *copy, const Sym *s) {
  int64_t *at = (int64_t *)(copy + sizeof(struct ingot_state_head));
  for (int i = 0; i < j->plan->symbols.n; i++) {
    int32_t kind = j->plan->symbols.data[i].kind;
    if (i == s->index) return at;
    at += kind == INGOT_SYM_CALLER || kind == INGOT_SYM_STATE;
  }
  return NULL;
}

static char *state_block(const Jit *j, char *copy) {
  return copy + ingot_state_bytes(j->model) - (uint64_t)j->plan->model.state_bytes;
}

// The extent of a state that grows, in a copy, and its axis; NULL: it does not grow.
static int64_t *kept_extent(const Jit *j, char *copy, const State *s, int *axis) {
  const Sym *sym;
  const Expr *next;
  *axis = state_growth(j->plan->m->main, s, &sym, &next);
  return *axis >= 0 ? kept_symbol(j, copy, sym) : NULL;
}

// A copy of the context's states; NULL if that fails.
static char *copy_states(Jit *j) {
  uint64_t bytes = ingot_state_bytes(j->model);
  char *copy = arena_alloc(j->plan->arena, bytes);
  return failed(j, ingot_state_save(j->ctx, copy, bytes)) ? NULL : copy;
}

static bool give_states(Jit *j, const Tensor *const *in) {
  const Graph *g = j->plan->m->main;
  char *copy = g->states.n ? copy_states(j) : NULL;
  if (!copy) return !g->states.n;
  for (int i = 0, axis; i < g->states.n; i++) {
    const State *s = &g->states.data[i];
    const Value *v = g->inputs.data[s->input];
    int64_t *extent = kept_extent(j, copy, s, &axis);
    if (extent) *extent = in[s->input]->type.dim[axis].n;
    layout_pack(j->plan->c, v->layout, in[s->input], state_block(j, copy) + v->offset);
  }
  return !failed(j, ingot_state_restore(j->ctx, copy, ingot_state_bytes(j->model)));
}

static bool take_states(Jit *j, Tensor **out) {
  const Graph *g = j->plan->m->main;
  char *copy = g->states.n ? copy_states(j) : NULL;
  if (!copy) return !g->states.n;
  for (int i = 0, axis; i < g->states.n; i++) {
    const State *s = &g->states.data[i];
    const Value *v = g->inputs.data[s->input];
    const int64_t *extent = kept_extent(j, copy, s, &axis);
    Type t = v->type;
    if (extent) t.dim[axis] = dim_const(*extent);
    out[s->output] = layout_unpack(j->plan->c, v->layout, &t, state_block(j, copy) + v->offset);
  }
  return true;
}

bool jit_run(Jit *j, const Tensor *const *in, Tensor **out, int threads) {
  const Graph *g = j->plan->m->main;
  if (!make_context(j, threads) || !give_states(j, in)) return false;
  for (int i = 0, k = 0; i < g->inputs.n; i++)
    if (!state_of_input(g, i) && !bind_input(j, k++, in[i])) return false;
  if (failed(j, ingot_run(j->ctx))) return false;
  for (int i = 0, k = 0; i < g->outputs.n; i++)
    if (!state_of_output(g, i) && !fetch_output(j, k++, &g->outputs.data[i]->type, &out[i])) return false;
  return take_states(j, out);
}
