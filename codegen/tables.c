// tables.c: the artefact's tables as LLVM constants, and the typed entry function.
// SPDX-License-Identifier: Apache-2.0
//
// Field by field in the order of runtime/ingot_abi.h; LLVM lays structs out as C does.
#include "codegen/internal.h"

typedef struct Tables {
  const Plan *plan;
  Arena *arena; // the worker's
  LLVMContextRef llvm;
  LLVMModuleRef module;
  LLVMTargetDataRef layout;
  LLVMTypeRef ptr, i16, i32, i64;
  Map *dims; // extents by their text: equal ones once
} Tables;

// One struct being built.
typedef struct Row {
  LLVMValueRef field[48];
  unsigned n;
} Row;

static void put(Row *r, LLVMValueRef v) {
  r->field[r->n++] = v;
}

static void put_i16(Tables *t, Row *r, int v) {
  put(r, LLVMConstInt(t->i16, (unsigned long long)v, true));
}

static void put_i32(Tables *t, Row *r, int64_t v) {
  put(r, LLVMConstInt(t->i32, (unsigned long long)v, true));
}

static void put_i64(Tables *t, Row *r, int64_t v) {
  put(r, LLVMConstInt(t->i64, (unsigned long long)v, true));
}

static void put_null(Tables *t, Row *r) {
  put(r, LLVMConstNull(t->ptr));
}

static LLVMValueRef make_struct(Tables *t, const Row *r) {
  return LLVMConstStructInContext(t->llvm, (LLVMValueRef *)r->field, r->n, false);
}

// A struct whose field number `at` is its own size on the target.
static LLVMValueRef make_sized(Tables *t, Row *r, int at) {
  unsigned long long size = LLVMABISizeOfType(t->layout, LLVMTypeOf(make_struct(t, r)));
  r->field[at] = LLVMConstInt(t->i64, size, false);
  return make_struct(t, r);
}

static LLVMValueRef constant(Tables *t, const char *name, LLVMValueRef init) {
  LLVMValueRef g = LLVMAddGlobal(t->module, LLVMTypeOf(init), name);
  LLVMSetInitializer(g, init);
  LLVMSetGlobalConstant(g, true);
  LLVMSetLinkage(g, LLVMPrivateLinkage);
  return g;
}

// NULL for an empty table.
static LLVMValueRef make_array(Tables *t, const char *name, LLVMValueRef *rows, int n) {
  if (n == 0) return LLVMConstNull(t->ptr);
  return constant(t, name, LLVMConstArray2(LLVMTypeOf(rows[0]), rows, (uint64_t)n));
}

static void put_text(Tables *t, Row *r, const char *text) {
  if (!text) {
    put_null(t, r);
    return;
  }
  LLVMValueRef g = constant(t, "text", LLVMConstStringInContext2(t->llvm, text, strlen(text), false));
  LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
  put(r, g);
}

static LLVMValueRef *new_rows(Tables *t, int n) {
  return NEW_ARRAY(t->arena, LLVMValueRef, n + 1);
}

// A hidden symbol defined in another object.
static LLVMValueRef external(Tables *t, const char *name) {
  LLVMValueRef g = LLVMGetNamedGlobal(t->module, name);
  if (g) return g;
  g = LLVMAddGlobal(t->module, LLVMInt8TypeInContext(t->llvm), name);
  LLVMSetVisibility(g, LLVMHiddenVisibility);
  return g;
}

// ---- rows ---------------------------------------------------------------------------------------------------

static LLVMValueRef dim_row(Tables *t, const struct ingot_dim *d) {
  Row r = {.n = 0};
  put_i64(t, &r, d->n);
  put_i32(t, &r, d->sym);
  put_i32(t, &r, 0);
  return make_struct(t, &r);
}

static LLVMValueRef dims_table(Tables *t, const struct ingot_tensor_info *x) {
  Str key = {.arena = t->arena};
  for (int i = 0; i < x->rank; i++) str_printf(&key, "%lld:%d ", (long long)x->dims[i].n, x->dims[i].sym);
  LLVMValueRef known = map_get(t->dims, str_text(&key));
  if (known) return known;
  LLVMValueRef *dims = new_rows(t, x->rank);
  for (int i = 0; i < x->rank; i++) dims[i] = dim_row(t, &x->dims[i]);
  known = make_array(t, "dims", dims, x->rank);
  map_put(t->dims, str_text(&key), known);
  return known;
}

static LLVMValueRef tensor_row(Tables *t, const struct ingot_tensor_info *x) {
  Row r = {.n = 0};
  put_text(t, &r, x->name);
  put_text(t, &r, x->doc);
  put(&r, dims_table(t, x));
  put_i32(t, &r, x->dtype);
  put_i32(t, &r, x->rank);
  put_i64(t, &r, x->bytes);
  put_i32(t, &r, x->align);
  put_i32(t, &r, x->limit);
  return make_struct(t, &r);
}

static LLVMValueRef tensor_table(Tables *t, const char *name, const struct ingot_tensor_info *x, int n) {
  LLVMValueRef *rows = new_rows(t, n);
  for (int i = 0; i < n; i++) rows[i] = tensor_row(t, &x[i]);
  return make_array(t, name, rows, n);
}

static LLVMValueRef symbol_row(Tables *t, const struct ingot_symbol *y) {
  Row r = {.n = 0};
  put_text(t, &r, y->name);
  put_i64(t, &r, y->min);
  put_i64(t, &r, y->bound);
  put_i32(t, &r, y->kind);
  put_i32(t, &r, y->input);
  put_i32(t, &r, y->dim);
  put_i32(t, &r, 0);
  put_i64(t, &r, y->mul);
  put_i64(t, &r, y->add);
  return make_struct(t, &r);
}

static LLVMValueRef arg_row(Tables *t, const struct ingot_arg *a) {
  Row r = {.n = 0};
  put_i32(t, &r, a->kind);
  put_i32(t, &r, a->index);
  put_i64(t, &r, a->offset);
  put_i32(t, &r, a->tensor);
  put_i32(t, &r, a->flags);
  return make_struct(t, &r);
}

static LLVMValueRef state_row(Tables *t, const struct ingot_state *s) {
  Row r = {.n = 0};
  put_i32(t, &r, s->tensor);
  put_i32(t, &r, s->flags);
  put_i64(t, &r, s->offset);
  put_i64(t, &r, s->init);
  return make_struct(t, &r);
}

static LLVMValueRef int_table(Tables *t, const int64_t *v, int n) {
  LLVMValueRef *rows = new_rows(t, n);
  for (int i = 0; i < n; i++) rows[i] = LLVMConstInt(t->i64, (unsigned long long)v[i], true);
  return make_array(t, "ints", rows, n);
}

static LLVMValueRef real_table(Tables *t, const double *v, int n) {
  LLVMValueRef *rows = new_rows(t, n);
  for (int i = 0; i < n; i++) rows[i] = LLVMConstReal(LLVMDoubleTypeInContext(t->llvm), v[i]);
  return make_array(t, "reals", rows, n);
}

// With its type, which WebAssembly checks where functions are called by address.
static LLVMValueRef external_function(Tables *t, const char *name, LLVMTypeRef type) {
  LLVMValueRef fn = LLVMGetNamedFunction(t->module, name);
  if (fn) return fn;
  fn = LLVMAddFunction(t->module, name, type);
  LLVMSetVisibility(fn, LLVMHiddenVisibility);
  return fn;
}

static bool is_probed(const Tables *t, const struct ingot_step *s) {
  bool works = s->kind == INGOT_STEP_KERNEL || s->kind == INGOT_STEP_ROUTINE || s->kind == INGOT_STEP_COPY;
  return works && t->plan->options->instrument;
}

static LLVMValueRef step_function(Tables *t, const struct ingot_step *s) {
  int i = (int)(s - t->plan->model.steps);
  const Unit *u = t->plan->step_unit.data[i];
  const char *routine = t->plan->step_routine.data[i];
  LLVMTypeRef none = LLVMVoidTypeInContext(t->llvm), params[] = {t->ptr, t->ptr, t->i64, t->i64, t->ptr};
  LLVMValueRef f = LLVMConstNull(t->ptr);
  if (u) f = external_function(t, u->symbol, LLVMFunctionType(none, params, 5, false));
  if (routine)
    f = external_function(t, arena_printf(t->arena, "ingot_rt_%s", routine),
                          LLVMFunctionType(t->i32, params, 1, false));
  return is_probed(t, s) ? probe_step(t->module, t->plan, i, f) : f;
}

static void put_range(Tables *t, Row *r, struct ingot_range x) {
  Row s = {.n = 0};
  put_i32(t, &s, x.first);
  put_i32(t, &s, x.n);
  put(r, make_struct(t, &s));
}

static LLVMValueRef step_row(Tables *t, const struct ingot_step *s) {
  Row r = {.n = 0};
  put_i32(t, &r, s->kind == INGOT_STEP_COPY && is_probed(t, s) ? INGOT_STEP_KERNEL : s->kind);
  put_i32(t, &r, s->flags);
  put(&r, step_function(t, s));
  put_i32(t, &r, s->first_arg);
  put_i32(t, &r, s->n_args);
  put(&r, dim_row(t, &s->trip));
  put_i64(t, &r, s->grain);
  put_i64(t, &r, s->cost);
  put_i64(t, &r, s->scratch);
  put_range(t, &r, s->body[0]);
  put_range(t, &r, s->body[1]);
  put_i32(t, &r, s->sym);
  put_i32(t, &r, 0);
  put_i64(t, &r, s->imm);
  put(&r, int_table(t, s->ints, s->n_ints));
  put(&r, real_table(t, s->reals, s->n_reals));
  put_i32(t, &r, s->n_ints);
  put_i32(t, &r, s->n_reals);
  put_text(t, &r, s->name);
  put_text(t, &r, s->source);
  put_i64(t, &r, s->flops);
  put_i64(t, &r, s->bytes);
  return make_struct(t, &r);
}

#define TABLE(kind, count)                                                                                   \
  static LLVMValueRef kind##_table(Tables *t) {                                                              \
    const struct ingot_model *m = &t->plan->model;                                                           \
    LLVMValueRef *rows = new_rows(t, m->count);                                                              \
    for (int i = 0; i < m->count; i++) rows[i] = kind##_row(t, &m->kind##s[i]);                              \
    return make_array(t, #kind "s", rows, m->count);                                                         \
  }
TABLE(symbol, n_symbols)
TABLE(state, n_states)
TABLE(arg, n_args)
TABLE(step, n_steps)
#undef TABLE

// ---- the model --------------------------------------------------------------------------------------------------

static void put_weights(Tables *t, Row *r) {
  const struct ingot_weights *w = &t->plan->model.weights;
  Row s = {.n = 0};
  if (w->bytes && !w->file)
    put(&s, external(t, arena_printf(t->arena, "ingot_weights_%s", t->plan->model.name)));
  else
    put_null(t, &s);
  put_text(t, &s, w->file);
  put_i64(t, &s, w->bytes);
  put_i64(t, &s, (int64_t)w->hash);
  put(r, make_struct(t, &s));
}

// Zeroed memory for one context, where there is no heap.
static void put_room(Tables *t, Row *r) {
  const struct ingot_model *m = &t->plan->model;
  if (m->room_bytes == 0) {
    put_null(t, r);
  } else {
    LLVMTypeRef type = LLVMArrayType2(LLVMInt8TypeInContext(t->llvm), m->room_bytes);
    LLVMValueRef g = LLVMAddGlobal(t->module, type, "ingot_room");
    LLVMSetInitializer(g, LLVMConstNull(type));
    LLVMSetLinkage(g, LLVMInternalLinkage);
    LLVMSetAlignment(g, INGOT_CTX_ALIGN);
    put(r, g);
  }
  put_i64(t, r, (int64_t)m->room_bytes);
}

// The first form is what users see.
static const char *model_symbol(Tables *t, const Plan *p) {
  if (p->variant == 0) return arena_printf(t->arena, "ingot_model_%s", p->model.name);
  return arena_printf(t->arena, "ingot_form%d_%s", p->variant, p->model.name);
}

static LLVMValueRef model_row(Tables *t, LLVMValueRef shapes) {
  const struct ingot_model *m = &t->plan->model;
  Row r = {.n = 0};
  put_i32(t, &r, m->magic);
  put_i16(t, &r, m->abi_major);
  put_i16(t, &r, m->abi_minor);
  put_i64(t, &r, 0); // the size
  put(&r, external(t, "ingot_runtime_api"));
  put_text(t, &r, m->name);
  put_text(t, &r, m->target);
  put_text(t, &r, m->cpu_features);
  if (t->plan->next)
    put(&r, external(t, model_symbol(t, t->plan->next)));
  else
    put_null(t, &r);
  put_text(t, &r, m->metadata);
  put(&r, tensor_table(t, "inputs", m->inputs, m->n_inputs));
  put(&r, tensor_table(t, "outputs", m->outputs, m->n_outputs));
  put(&r, tensor_table(t, "tensors", m->tensors, m->n_tensors));
  put(&r, symbol_table(t));
  put(&r, state_table(t));
  put(&r, arg_table(t));
  put(&r, step_table(t));
  const int32_t counts[] = {m->n_inputs, m->n_outputs, m->n_tensors, m->n_symbols,
                            m->n_states, m->n_args,    m->n_steps};
  for (int i = 0; i < ARRAY_LEN(counts); i++) put_i32(t, &r, counts[i]);
  put_range(t, &r, m->main);
  put_i32(t, &r, m->flags);
  put(&r, shapes);
  put_weights(t, &r);
  put_i64(t, &r, m->arena_bytes);
  put_i64(t, &r, m->scratch_bytes);
  put_i64(t, &r, m->state_bytes);
  put_i64(t, &r, m->flops);
  put_i64(t, &r, (int64_t)m->id);
  put_text(t, &r, m->isa);
  put_room(t, &r);
  put_i64(t, &r, m->stack_bytes);
  return make_sized(t, &r, 3);
}

// What a loader looks up.
static void add_artefact(Tables *t, LLVMValueRef model) {
  Row r = {.n = 0};
  put_i32(t, &r, INGOT_MAGIC);
  put_i16(t, &r, INGOT_ABI_MAJOR);
  put_i16(t, &r, INGOT_ABI_MINOR);
  put_i64(t, &r, 0); // the size
  put_i32(t, &r, 1);
  put_i32(t, &r, 0);
  put(&r, make_array(t, "models", &model, 1));
  LLVMValueRef g = constant(t, "ingot_artefact", make_sized(t, &r, 3));
  LLVMSetLinkage(g, LLVMExternalLinkage);
}

// ---- the entry function ---------------------------------------------------------------------------------------------

// Stores pointers in an array on the stack and returns its address.
static LLVMValueRef pointer_array(Tables *t, LLVMBuilderRef b, LLVMValueRef fn, int first, int n,
                                  LLVMTypeRef elem) {
  if (n == 0) return LLVMConstNull(t->ptr);
  LLVMValueRef a = LLVMBuildAlloca(b, LLVMArrayType2(elem, (uint64_t)n), "");
  for (int i = 0; i < n; i++) {
    LLVMValueRef at = LLVMConstInt(t->i64, (unsigned long long)i, false);
    LLVMBuildStore(b, LLVMGetParam(fn, (unsigned)(first + i)), LLVMBuildInBoundsGEP2(b, elem, a, &at, 1, ""));
  }
  return a;
}

// No tables for exceptions, which would want routines of a C++ library.
static void set_nounwind(Tables *t, LLVMValueRef fn) {
  unsigned kind = LLVMGetEnumAttributeKindForName("nounwind", 8);
  LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                          LLVMCreateEnumAttribute(t->llvm, kind, 0));
}

// int <name>_run(inputs, symbols, outputs)
static void add_run(Tables *t, LLVMValueRef model) {
  const Plan *p = t->plan;
  int in = p->model.n_inputs, out = p->model.n_outputs, syms = plan_run_symbols(p), n = in + syms + out;
  LLVMTypeRef *params = NEW_ARRAY(t->arena, LLVMTypeRef, n + 1);
  for (int i = 0; i < n; i++) params[i] = i >= in && i < in + syms ? t->i64 : t->ptr;
  LLVMTypeRef type = LLVMFunctionType(t->i32, params, (unsigned)n, false);
  LLVMValueRef fn = LLVMAddFunction(t->module, arena_printf(t->arena, "%s_run", p->model.name), type);
  set_nounwind(t, fn);
  LLVMBuilderRef b = LLVMCreateBuilderInContext(t->llvm);
  LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(t->llvm, fn, ""));
  LLVMTypeRef four[] = {t->ptr, t->ptr, t->ptr, t->ptr};
  LLVMTypeRef simple = LLVMFunctionType(t->i32, four, 4, false);
  LLVMValueRef callee = LLVMAddFunction(t->module, "ingot_run_simple", simple);
  LLVMSetVisibility(callee, LLVMHiddenVisibility);
  LLVMValueRef args[] = {model, pointer_array(t, b, fn, 0, in, t->ptr),
                         pointer_array(t, b, fn, in, syms, t->i64),
                         pointer_array(t, b, fn, in + syms, out, t->ptr)};
  LLVMBuildRet(b, LLVMBuildCall2(b, simple, callee, args, 4, ""));
  LLVMDisposeBuilder(b);
}

// What a C compiler's start files would bring into a shared library: the handle under which libc keeps this
// library's fork and exit handlers, and the call that drops them when the library is unloaded. Weak and
// repeatable, because a compiler driver as linker adds its own.
static LLVMValueRef add_handle(Tables *t) {
  LLVMValueRef handle = LLVMAddGlobal(t->module, t->ptr, "__dso_handle");
  LLVMSetInitializer(handle, handle);
  LLVMSetLinkage(handle, LLVMWeakAnyLinkage);
  LLVMSetVisibility(handle, LLVMHiddenVisibility);
  return handle;
}

static void add_unload(Tables *t) {
  LLVMValueRef handle = add_handle(t);
  LLVMTypeRef none = LLVMVoidTypeInContext(t->llvm);
  LLVMTypeRef type = LLVMFunctionType(none, NULL, 0, false),
              takes_handle = LLVMFunctionType(none, &t->ptr, 1, false);
  LLVMValueRef finalize = LLVMAddFunction(t->module, "__cxa_finalize", takes_handle);
  LLVMValueRef fn = LLVMAddFunction(t->module, "unload", type);
  LLVMSetLinkage(fn, LLVMInternalLinkage);
  LLVMBuilderRef b = LLVMCreateBuilderInContext(t->llvm);
  LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(t->llvm, fn, ""));
  LLVMBuildCall2(b, takes_handle, finalize, &handle, 1, "");
  LLVMBuildRetVoid(b);
  LLVMDisposeBuilder(b);
  Row r = {.n = 0};
  put_i32(t, &r, 65535); // the default priority
  put(&r, fn);
  put_null(t, &r);
  LLVMValueRef row = make_struct(t, &r);
  LLVMValueRef list = constant(t, "llvm.global_dtors", LLVMConstArray2(LLVMTypeOf(row), &row, 1));
  LLVMSetGlobalConstant(list, false);
  LLVMSetLinkage(list, LLVMAppendingLinkage);
}

// What the executable's main function looks for.
static void add_main_model(Tables *t, LLVMValueRef model) {
  LLVMValueRef g = constant(t, "ingot_exe_model", model);
  LLVMSetLinkage(g, LLVMExternalLinkage);
  LLVMSetVisibility(g, LLVMHiddenVisibility);
}

LLVMModuleRef tables_build(Worker *w, const Plan *p, TablesKind kind) {
  Tables tables = {.plan = p, .arena = w->arena, .llvm = w->llvm, .layout = w->machine.layout};
  Tables *t = &tables;
  t->module = worker_module(w, "tables");
  t->dims = map_new(w->arena);
  t->ptr = LLVMPointerTypeInContext(t->llvm, 0);
  t->i16 = LLVMInt16TypeInContext(t->llvm);
  t->i32 = LLVMInt32TypeInContext(t->llvm);
  t->i64 = LLVMInt64TypeInContext(t->llvm);
  LLVMValueRef shapes = gen_shapes(w, t->module, p);
  LLVMValueRef model = constant(t, model_symbol(t, p), model_row(t, shapes ? shapes : LLVMConstNull(t->ptr)));
  LLVMSetLinkage(model, LLVMExternalLinkage);
  if (p->variant > 0) {
    LLVMSetVisibility(model, LLVMHiddenVisibility);
    return t->module;
  }
  if (kind == TABLES_SHARED) add_artefact(t, model);
  if (kind == TABLES_SHARED) add_unload(t);
  if (kind == TABLES_EXECUTABLE) {
    add_main_model(t, model);
    add_handle(t);
  }
  add_run(t, model);
  return t->module;
}
