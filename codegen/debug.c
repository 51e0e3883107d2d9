// debug.c: DWARF that maps machine code to lines of the loop dump, and loops' variables to registers.
// SPDX-License-Identifier: Apache-2.0
//
// The compile unit's source is the dump that the driver writes beside the artefact (Stmt.line). A kernel is a
// function; the op of the model that a statement came from is an inlined one, whose lines lie in the dump too: a
// debugger steps through the dump, and its backtrace names the op and the kernel. Variables belong to the inlined
// frames, because debuggers do not look beyond those.
#include "codegen/internal.h"

#include <llvm-c/DebugInfo.h>

struct Debug {
  Arena *arena;
  LLVMContextRef llvm;
  LLVMDIBuilderRef b;
  LLVMMetadataRef dump, function_type, nothing;
};

// DWARF's encodings of base types.
enum { ATE_BOOLEAN = 2, ATE_FLOAT = 4, ATE_SIGNED = 5, ATE_UNSIGNED = 7, DWARF_VERSION = 4 };

// ---- modules ------------------------------------------------------------------------------------------------

static LLVMMetadataRef file_of(Debug *d, const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  size_t dir = slash ? (size_t)(slash - path) : 0;
  return LLVMDIBuilderCreateFile(d->b, name, strlen(name), path, dir);
}

static void module_flag(LLVMModuleRef m, LLVMContextRef llvm, const char *key, unsigned v) {
  LLVMMetadataRef value = LLVMValueAsMetadata(LLVMConstInt(LLVMInt32TypeInContext(llvm), v, false));
  LLVMAddModuleFlag(m, LLVMModuleFlagBehaviorWarning, key, strlen(key), value);
}

Debug *debug_open(Worker *w, LLVMModuleRef module, const CodegenOptions *o) {
  if (!o->debug_info || !o->dump_path) return NULL;
  static const char producer[] = "ingot";
  Debug *d = NEW(w->arena, Debug);
  d->arena = w->arena;
  d->llvm = w->llvm;
  d->b = LLVMCreateDIBuilder(module);
  d->dump = file_of(d, o->dump_path);
  LLVMDIBuilderCreateCompileUnit(d->b, LLVMDWARFSourceLanguageC99, d->dump, producer, sizeof producer - 1,
                                 true, "", 0, 0, "", 0, LLVMDWARFEmissionFull, 0, true, false, "", 0, "", 0);
  d->function_type = LLVMDIBuilderCreateSubroutineType(d->b, d->dump, NULL, 0, LLVMDIFlagZero);
  d->nothing = LLVMDIBuilderCreateExpression(d->b, NULL, 0);
  module_flag(module, w->llvm, "Debug Info Version", LLVMDebugMetadataVersion());
  module_flag(module, w->llvm, "Dwarf Version", DWARF_VERSION);
  return d;
}

void debug_close(Debug *d) {
  if (!d) return;
  LLVMDIBuilderFinalize(d->b);
  LLVMDisposeDIBuilder(d->b);
}

// ---- ops as inlined functions -------------------------------------------------------------------------------

static bool same_text(const char *a, const char *b) {
  return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_place(Loc a, Loc b) {
  return a.line == b.line && a.col == b.col && same_text(a.what, b.what);
}

// The ops of the model at `loc` that the kernel was made from, or, where none stands there, all of them.
static const char *op_name(Debug *d, const Unit *u, Loc loc) {
  enum { NAMED = 4 };
  Str s = {.arena = d->arena};
  const Node *n = u->node;
  for (int all = 0; n && all < 2 && s.n == 0; all++) {
    int count = 0;
    for (int i = 0; i < n->origins.n && count <= NAMED; i++) {
      if (!all && !same_place(n->origins.data[i].loc, loc)) continue;
      str_printf(&s, "%s%s", count ? ", " : "", count < NAMED ? n->origins.data[i].name : "...");
      count++;
    }
  }
  return s.n ? str_text(&s) : u->kernel->name;
}

static LLVMMetadataRef function(Debug *d, LLVMMetadataRef file, const char *name, const char *symbol,
                                int line) {
  return LLVMDIBuilderCreateFunction(d->b, file, name, strlen(name), symbol, strlen(symbol), file,
                                     (unsigned)line, d->function_type, true, true, (unsigned)line,
                                     LLVMDIFlagZero, true);
}

static int op_scope(Gen *g, Loc loc) {
  for (int i = 0; i < g->ops.n; i++)
    if (same_place(g->ops.data[i].loc, loc)) return i;
  Debug *d = g->debug;
  LLVMMetadataRef file = loc.src && loc.line ? file_of(d, loc.src->path) : d->dump;
  LLVMMetadataRef op = function(d, file, op_name(d, g->unit, loc), "", loc.line);
  LLVMMetadataRef scope = LLVMDIBuilderCreateLexicalBlockFile(d->b, op, d->dump, 0);
  vec_push(d->arena, &g->ops, ((DebugOp){loc, op, scope}));
  return g->ops.n - 1;
}

static void find_ops(Gen *g, const Stmt *s) {
  for (; s; s = s->next) {
    op_scope(g, s->loc);
    if (s->kind == S_FOR) find_ops(g, s->loop.body);
    if (s->kind == S_IF) find_ops(g, s->cond.then);
    if (s->kind == S_IF) find_ops(g, s->cond.otherwise);
  }
}

static LLVMMetadataRef line_in(Gen *g, int op, int line) {
  return LLVMDIBuilderCreateDebugLocation(g->llvm, (unsigned)line, 0, g->ops.data[op].scope, g->inlined_at);
}

// ---- places -------------------------------------------------------------------------------------------------

void debug_kernel(Gen *g) {
  Debug *d = g->debug;
  if (!d) return;
  const Kernel *k = g->unit->kernel;
  LLVMMetadataRef f = function(d, d->dump, k->name, g->unit->symbol, k->line);
  LLVMSetSubprogram(g->fn, f);
  g->inlined_at = LLVMDIBuilderCreateDebugLocation(g->llvm, (unsigned)k->line, 0, f, NULL);
  LLVMSetCurrentDebugLocation2(g->b, g->inlined_at);
  find_ops(g, k->body);
}

void debug_at(Gen *g, const Stmt *s) {
  if (g->debug && s->line) LLVMSetCurrentDebugLocation2(g->b, line_in(g, op_scope(g, s->loc), s->line));
}

// ---- variables ----------------------------------------------------------------------------------------------

static LLVMMetadataRef type_of(Debug *d, DType t) {
  static const char *const names[DT_COUNT] = {[DT_F32] = "float", [DT_F64] = "double", [DT_F16] = "_Float16"};
  const char *name = names[t] ? names[t] : dtype_name(t);
  char cls = dtype_class(t);
  unsigned encoding = cls == 'b'   ? ATE_BOOLEAN
                      : cls == 'f' ? ATE_FLOAT
                      : cls == 's' ? ATE_SIGNED
                                   : ATE_UNSIGNED;
  return LLVMDIBuilderCreateBasicType(d->b, name, strlen(name), 8 * (uint64_t)dtype_bytes(t), encoding,
                                      LLVMDIFlagZero);
}

// At the end of a block, whether that is complete or not.
static void insert_value(Gen *g, LLVMValueRef v, LLVMMetadataRef var, LLVMMetadataRef at,
                         LLVMBasicBlockRef block) {
  LLVMDIBuilderRef b = g->debug->b;
  LLVMMetadataRef as_is = g->debug->nothing;
  LLVMValueRef last = LLVMGetBasicBlockTerminator(block);
  if (last)
    LLVMDIBuilderInsertDbgValueRecordBefore(b, v, var, as_is, at, last);
  else
    LLVMDIBuilderInsertDbgValueRecordAtEnd(b, v, var, as_is, at, block);
}

static void declare(Gen *g, const char *name, LLVMMetadataRef type, int line, LLVMValueRef v,
                    LLVMBasicBlockRef at) {
  Debug *d = g->debug;
  for (int i = 0; i < g->ops.n; i++) {
    LLVMMetadataRef var =
        LLVMDIBuilderCreateAutoVariable(d->b, g->ops.data[i].function, name, strlen(name), d->dump,
                                        (unsigned)line, type, false, LLVMDIFlagZero, 0);
    insert_value(g, v, var, line_in(g, i, line), at);
  }
}

void debug_variable(Gen *g, const Var *v, int line, LLVMValueRef value) {
  if (!g->debug || !v->name) return;
  if (is_vector(value) || LLVMGetTypeKind(LLVMTypeOf(value)) != LLVMIntegerTypeKind) return;
  declare(g, v->name, type_of(g->debug, v->dtype), line, value, LLVMGetInsertBlock(g->b));
}

// A buffer: a pointer to an array of the physical shape, at the bounds.
void debug_buffer(Gen *g, const Value *v, LLVMValueRef ptr) {
  Debug *d = g->debug;
  if (!d || !v->name) return;
  Dim dim[MAX_PHYS_RANK];
  LLVMMetadataRef range[MAX_PHYS_RANK], type = type_of(d, v->type.dtype);
  unsigned rank = (unsigned)layout_rank(v->layout, &v->type);
  layout_shape(g->c, v->layout, &v->type, dim);
  for (unsigned i = 0; i < rank; i++) range[i] = LLVMDIBuilderGetOrCreateSubrange(d->b, 0, dim[i].n);
  if (rank) {
    uint64_t bits = 8 * (uint64_t)layout_bytes(g->c, v->layout, &v->type);
    type = LLVMDIBuilderCreateArrayType(d->b, bits, 0, type, range, rank);
  }
  type = LLVMDIBuilderCreatePointerType(d->b, type, 8 * (uint64_t)g->target->pointer_bytes, 0, 0, "", 0);
  declare(g, v->name, type, g->unit->kernel->line, ptr, LLVMGetInsertBlock(g->b));
}
