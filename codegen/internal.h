// internal.h: what the files of code generation share; LLVM's types appear here and nowhere outside codegen/.
// SPDX-License-Identifier: Apache-2.0
//
// A Module at loops level becomes a Plan (plan.c): the tables of runtime/ingot_abi.h, the list of distinct
// kernels and the constants' places. Workers (emit.c), each with an LLVM context, a target machine and an IR
// context of its own, lower kernels (gen*.c, math*.c) and compile them to objects; weights.c writes the
// constants, link.c makes the artefact, jit.c runs it in this process.
#ifndef INGOT_CODEGEN_INTERNAL_H
#define INGOT_CODEGEN_INTERNAL_H

#include "codegen/codegen.h"
#include "codegen/llvm.h"
#include "runtime/ingot_abi.h"

// ---- target.c: machines ---------------------------------------------------------------------------------

// A target with LLVM's view of it, owned by one worker.
typedef struct Machine {
  const Target *target;
  LLVMTargetMachineRef tm;
  LLVMTargetDataRef layout;
  char *layout_text;
} Machine;

// Registers LLVM's back ends; once, before workers start.
void machine_init(void);
// Reports and returns false if LLVM does not know the target.
bool machine_open(Machine *m, Ctx *c, const Target *t, int opt_level);
void machine_close(Machine *m);
// The short pass pipeline. Reports and returns false on failure (our bug).
bool machine_optimise(const Machine *m, Ctx *c, LLVMModuleRef module);
// Instructions that decide how something is lowered.
bool target_has_f16(const Target *t);            // conversions between f16 and f32
bool target_gains_by_alignment(const Target *t); // do aligned vectors make better code?
bool target_has_round(const Target *t);          // floor, ceil, trunc and round-to-even

// ---- clone.c: kernels into another Ctx --------------------------------------------------------------------

// Pointer -> pointer.
typedef struct PMap {
  Arena *arena;
  const void **keys;
  void **values;
  int n, cap;
} PMap;
void *pmap_get(const PMap *m, const void *key);
void pmap_put(PMap *m, const void *key, void *value);

// Rebuilds expressions and statements in `ctx`, so that a worker can simplify them without touching the
// module's tables. Variables and values are copied; symbols are shared (they never change).
typedef struct Clone {
  Ctx *ctx;
  PMap exprs, vars, values;
  bool canonical; // names become b0, b1, ... v0, v1, ...: equal kernels print equally
} Clone;
Clone clone_new(Ctx *to, bool canonical);
const Expr *clone_expr(Clone *k, const Expr *e);
Value *clone_value(Clone *k, const Value *v);
Stmt *clone_stmt(Clone *k, const Stmt *s);

// ---- plan.c, plan_symbols.c: the tables of the artefact -----------------------------------------------------

// A buffer of a kernel, in the order node->in, node->out.
typedef struct Buffer {
  const Value *value; // NULL: absent
  const char *name;
  int64_t align;      // bytes, of its address
  int place;          // buffers of different places never overlap
  int64_t begin, end; // bytes within the place
} Buffer;

// One kernel to be compiled; several steps may call it.
typedef struct Unit {
  const Kernel *kernel;
  const Node *node; // the first that it was made for
  const char *symbol;
  const char *text; // canonical: equal texts mean equal code
  int nbuffers, nsyms;
  bool strict; // float operations are not contracted
  bool check;  // a record of faults is the argument behind the buffers
  Buffer *buffers;
  Sym *const *syms;
} Unit;
bool unit_overlap(const Unit *u, int j, int k); // may these two buffers share bytes?

// A constant as it lies in the weights.
typedef struct Constant {
  const Tensor *tensor;
  const Layout *layout;
  int64_t offset, bytes;
} Constant;

// What the forms of a model for different processors share: each constant that lies alike in several, once.
typedef struct ConstantPool {
  Vec(Constant *) list; // by rising offset
  Map *by_hash;
} ConstantPool;

typedef struct Plan {
  Arena *arena;
  Ctx *c;
  Module *m; // for all extents
  const SpecialForm *special;
  int n_special;
  const SpecialForm *at; // whose steps are being made; NULL: m's
  const CodegenOptions *options;
  // Complete but for addresses of functions and weights, which live in units, routine, and constants.
  struct ingot_model model;
  Vec(struct ingot_tensor_info) tensors;
  Vec(struct ingot_symbol) symbols;
  Vec(const Expr *) symbol_value; // DERIVED: how it is computed; else NULL
  Vec(struct ingot_arg) args;
  Vec(struct ingot_step) steps;
  Vec(const Unit *) step_unit;    // by step; NULL: not a kernel
  Vec(const Node *) step_node;    // by step; NULL: a copy
  Vec(const char *) step_routine; // by step; NULL: not a routine
  int general_steps;              // the first so many are m's, those behind them the special forms'
  Vec(Unit *) units;
  ConstantPool *pool;
  int variant;          // 0: the first, which is tried before the others
  int64_t frame_bytes;  // the largest stack frame of a kernel, once compiled
  const char *frame_of; // whose it is
  struct Plan *next;    // the variant to try after this one; NULL: none
  int64_t arena_bytes;  // the memory plan's, and what control flow needs beyond it
  int64_t fault;        // with --check: place of the record in the arena
  bool bare;            // no libc, no threads, memory of its own
  Map *unit_by_text;
  PMap tensor_of;   // Value -> number + 1
  PMap constant_of; // Value -> Constant
} Plan;

// Reports and returns NULL if a module cannot be put into tables. The modules are forms of one model for different
// processors, best first; the result is the plan of the first, with the others behind it.
Plan *plan_make(const Form *forms, int n, const CodegenOptions *o);

// plan.c
Space plan_space(const Value *v);
int64_t plan_bytes(Plan *p, const Value *v);  // in its layout, at the bounds
int32_t plan_tensor(Plan *p, const Value *v); // number of its description
struct ingot_arg plan_arg(Plan *p, const Value *v, int32_t flags);
void plan_add_args(Plan *p, struct ingot_step *s, Value *const *v, int n, int32_t flags);
// The unit of this kernel on these buffers: an equal one that is there already, or a new one.
const Unit *plan_unit(Plan *p, const Kernel *k, const Node *node, Value *const *in, int nin,
                      Value *const *out, int nout);

// plan_steps.c, plan_control.c: steps of one range are gathered in a list, before they are put into the table:
// bodies of regions come before their owner.
typedef struct PlannedStep {
  const Node *node; // NULL: a copy
  struct ingot_step step;
  const Unit *unit;
  const char *routine;
} PlannedStep;
typedef Vec(PlannedStep) StepList;
PlannedStep plan_step(Plan *p, const Node *n, int32_t kind, const char *name);
struct ingot_range plan_append(Plan *p, const StepList *list);
void plan_kernel(Plan *p, const Kernel *k, const Node *n, Value *const *in, int nin, Value *const *out,
                 int nout, StepList *list);
void plan_copy(Plan *p, Value *src, Value *dst, StepList *list); // of one type
void plan_nodes(Plan *p, const Graph *g, StepList *list);
void plan_if(Plan *p, const Node *n, StepList *list);
void plan_loop(Plan *p, const Node *n, StepList *list);
void plan_main(Plan *p);

// plan_special.c
// What a special form must have in common with the model: symbols get the model's numbers; states must lie alike.
// Reports and returns false where it cannot be.
bool plan_join(Plan *p, const SpecialForm *f);
const char *plan_special_name(const Plan *p, const SpecialForm *f); // "B=1,T=128"
// Behind the model's own steps: those of the special forms, and steps that choose. What a run begins with.
struct ingot_range plan_specials(Plan *p, struct ingot_range general);
struct ingot_range plan_steps_of(Plan *p, const SpecialForm *f); // NULL: m's

// plan_symbols.c, plan_metadata.c
// An extent of the ABI; compound expressions become DERIVED symbols.
struct ingot_dim plan_dim(Plan *p, Dim d);
void plan_symbols(Plan *p);          // those of the module
int32_t plan_dtype(DType t);         // enum ingot_dtype
int plan_run_symbols(const Plan *p); // how many the entry function takes
int64_t plan_stack(const Plan *p);   // what a run needs of the calling thread's, kernels compiled
// JSON text.
const char *plan_metadata(Plan *p, const Plan *first);

// ---- gen*.c: loops -> LLVM IR ---------------------------------------------------------------------------

typedef struct Debug Debug;

// What one thread of the compiler owns.
typedef struct Worker {
  Arena *arena;
  Ctx *ctx;
  LLVMContextRef llvm;
  Machine machine;
  Debug *debug; // of the module at hand; NULL: none wanted
} Worker;

LLVMModuleRef worker_module(Worker *w, const char *name); // empty, for the worker's target

// Adds the function of `u` to `module`. Reports and returns false where the loops are not legal.
bool gen_kernel(Worker *w, LLVMModuleRef module, const Unit *u);

// Adds the function that computes derived symbols; NULL if there are none.
LLVMValueRef gen_shapes(Worker *w, LLVMModuleRef module, const Plan *p);

// Memory behind a value during lowering.
typedef struct Slot {
  LLVMValueRef ptr;
  int64_t elements;                  // that surely exist; 0: not known
  int64_t room;                      // elements at the bounds
  int rank;                          // physical
  const Expr *stride[MAX_PHYS_RANK]; // in elements
  const Expr *count;                 // elements that there are
  int number;                        // of the kernel's buffers; -1: local
  unsigned align;                    // bytes, of ptr
  bool local;
  bool per_lane;              // local of a vector loop's body: one instance per lane, lanes innermost
  LLVMValueRef scope, others; // alias metadata, or NULL
} Slot;

// A reduction over lanes that is not stored yet.
typedef struct Pending {
  const Value *dst;
  const Expr *flat;
  StoreKind op;
  LLVMValueRef partial[11]; // by log2 of the number of lanes
} Pending;

// An op of the model as debuggers see it: an inlined function.
typedef struct DebugOp {
  Loc loc;
  LLVMMetadataRef function, scope; // scope: the function's part in the dump
} DebugOp;

// State of lowering one kernel.
typedef struct Gen {
  Worker *w;
  const Unit *unit;
  Ctx *c;
  const Target *target;
  LLVMContextRef llvm;
  LLVMModuleRef module;
  LLVMBuilderRef b;
  LLVMValueRef fn, scratch;
  LLVMBasicBlockRef entry; // holds buffers, symbols and allocas
  LLVMValueRef zeros;      // page that redirected reads go to
  LLVMValueRef fault;      // record of an index that is outside (runtime/rt_check.c); NULL: none is wanted
  LLVMValueRef sink;       // where lanes that are off write to, once needed
  LLVMValueRef *syms;      // by Sym.index
  PMap slots;              // Value -> Slot
  PMap vars;               // Var -> LLVMValueRef: loop counters and lets
  // Variables that stand for expressions now: unrolled counters, lanes, integer lets.
  Vec(const Var *) subst_var;
  Vec(const Expr *) subst_expr;
  // Expressions computed already at a place that dominates this one, with no store since.
  PMap known;
  Vec(const Expr *) cached;
  // The vector loop at hand.
  const Var *lane; // runs over the lanes of the chunk; NULL: scalar code
  unsigned lanes;
  LLVMValueRef mask; // <lanes x i1>: lanes that do anything; NULL: all
  LLVMValueRef pred; // i1: reads are allowed only if true; NULL: they are
  unsigned branches; // branches and loops entered within the vector loop
  PMap read_in_loop;
  Vec(Pending) pending;
  bool failed;
  // Debug information.
  Debug *debug;               // NULL: none wanted
  Vec(DebugOp) ops;           // of the kernel
  LLVMMetadataRef inlined_at; // the kernel's own line
} Gen;

// debug.c: NULL and nothing without debug information.
Debug *debug_open(Worker *w, LLVMModuleRef module, const CodegenOptions *o);
void debug_close(Debug *d);
void debug_kernel(Gen *g);            // the function at hand
void debug_at(Gen *g, const Stmt *s); // what is built from now on belongs to s
void debug_variable(Gen *g, const Var *v, int line, LLVMValueRef value); // has this value from here on
void debug_buffer(Gen *g, const Value *v, LLVMValueRef ptr);

// gen.c
void gen_stmts(Gen *g, const Stmt *s);
const Expr *gen_subst(Gen *g, const Expr *e);
void gen_fail(Gen *g, Loc loc, const char *what); // a broken invariant

// gen_vector.c
void gen_vector_loop(Gen *g, const Stmt *s);
void gen_reduce_store(Gen *g, const Value *dst, const Expr *flat, StoreKind op, LLVMValueRef v);

// gen_expr.c
LLVMValueRef gen_expr(Gen *g, const Expr *e);
LLVMValueRef gen_cond(Gen *g, const Expr *e); // as a mask
bool gen_varies(Gen *g, const Expr *e);       // between lanes
int gen_cache_mark(Gen *g);
void gen_cache_forget(Gen *g, int mark);

// gen_memory.c
Slot *gen_slot_new(Gen *g, const Value *v);
Slot *gen_slot(Gen *g, const Value *v); // NULL if there is none
const Expr *gen_flat(Gen *g, const Slot *slot, const Expr *const *index, int n);
LLVMValueRef gen_load(Gen *g, const Expr *read);
void gen_store(Gen *g, const Stmt *s);
void gen_prefetch(Gen *g, const Stmt *s);
void gen_store_flat(Gen *g, const Slot *slot, DType t, const Expr *flat, StoreKind op, LLVMValueRef v);

// gen_op.c: one operation on values that are already there; scalars meet vectors by splatting.
LLVMValueRef gen_unary(Gen *g, ExprOp op, DType t, LLVMValueRef a);
LLVMValueRef gen_binary(Gen *g, ExprOp op, DType t, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef gen_combine(Gen *g, StoreKind op, DType t, LLVMValueRef old, LLVMValueRef v);
LLVMValueRef gen_fma(Gen *g, DType t, LLVMValueRef a, LLVMValueRef b, LLVMValueRef d);
LLVMValueRef gen_select(Gen *g, LLVMValueRef cond, LLVMValueRef a, LLVMValueRef b);

// gen_cast.c
LLVMValueRef gen_cast(Gen *g, LLVMValueRef v, DType from, DType to);
LLVMValueRef gen_cast_bits(Gen *g, LLVMValueRef v, DType from, DType to);
// Between the form in memory and the form in registers.
LLVMValueRef gen_loaded(Gen *g, LLVMValueRef raw, DType t);
LLVMValueRef gen_stored(Gen *g, LLVMValueRef v, DType t);

// gen_types.c: types, constants, splats, intrinsics
LLVMTypeRef gen_type_register(Gen *g, DType t);                 // scalar; bool is i1, f16 and bf16 are float
LLVMTypeRef gen_type_memory(Gen *g, DType t);                   // scalar; bool is i8, f16 and bf16 are i16
LLVMTypeRef gen_type_lanes(LLVMTypeRef scalar, unsigned lanes); // scalar itself if lanes == 0
unsigned gen_lanes(LLVMValueRef v);                             // 0 for a scalar
static inline bool is_vector(LLVMValueRef v) {
  return LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind;
}
LLVMTypeRef gen_type_scalar(LLVMValueRef v); // element type of a vector, type of a scalar
LLVMValueRef gen_splat(Gen *g, LLVMValueRef scalar, unsigned lanes);
// Makes two operands alike: if one is a vector, the other becomes one.
void gen_match(Gen *g, LLVMValueRef *a, LLVMValueRef *b);
LLVMValueRef gen_iota(Gen *g, LLVMTypeRef scalar, unsigned lanes);
// A constant of the type (scalar or vector) of `like`.
LLVMValueRef gen_num(LLVMValueRef like, double v);
LLVMValueRef gen_int(LLVMValueRef like, int64_t v);
LLVMValueRef gen_i64(Gen *g, int64_t v);
LLVMValueRef gen_i32(Gen *g, int v);
// Same lanes as `like`, another element type.
LLVMTypeRef gen_type_with(LLVMValueRef like, LLVMTypeRef scalar);
LLVMValueRef gen_intrinsic(Gen *g, const char *name, LLVMTypeRef t, LLVMValueRef *args, int n);
LLVMValueRef gen_intrinsic2(Gen *g, const char *name, LLVMTypeRef *types, int ntypes, LLVMValueRef *args,
                            int n);
LLVMValueRef gen_contract(LLVMValueRef v); // lets a multiplication and an addition fuse; returns v

// math.c: functions as polynomials; t is F32 or F64, operands scalars or vectors of it.
LLVMValueRef math_unary(Gen *g, ExprOp op, DType t, LLVMValueRef x);
LLVMValueRef math_pow(Gen *g, DType t, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef math_atan2(Gen *g, DType t, LLVMValueRef y, LLVMValueRef x);
LLVMValueRef math_rem(Gen *g, DType t, LLVMValueRef x, LLVMValueRef y); // fmod
// a * b + d rounded once; t as for math_unary, or F16 and BF16 (floats).
LLVMValueRef math_fma(Gen *g, DType t, LLVMValueRef a, LLVMValueRef b, LLVMValueRef d);
LLVMValueRef math_round(Gen *g, ExprOp op, LLVMValueRef x); // floor, ceil, trunc, round

// ---- probe.c: instrumentation ---------------------------------------------------------------------------

// The function that a step calls instead of `callee` (NULL for a copy) and that counts its time.
LLVMValueRef probe_step(LLVMModuleRef module, const Plan *p, int step, LLVMValueRef callee);

// ---- tables.c, workers.c: all modules -------------------------------------------------------------------

typedef enum CompileForm { COMPILE_OBJECT, COMPILE_BITCODE } CompileForm;
typedef enum TablesKind { TABLES_NONE, TABLES_STATIC, TABLES_SHARED, TABLES_EXECUTABLE } TablesKind;
// Model, artefact (in shared libraries) and entry function.
LLVMModuleRef tables_build(Worker *w, const Plan *p, TablesKind kind);
typedef Vec(LLVMMemoryBufferRef) Compiled; // in an order that depends on the plan alone
// Compiles all kernels and the tables on options->jobs threads. Reports and returns false on failure.
bool workers_compile(Plan *p, CompileForm form, TablesKind tables, Compiled *out);
void compiled_free(Compiled *c);
// How many threads options->jobs wants for work in so many parts.
enum { JOBS_MAX = 256 };
int codegen_jobs(const CodegenOptions *o, int parts);

// ---- rodata.c: constants --------------------------------------------------------------------------------

// Writes all constants, in their layouts, on options->jobs threads into the file from byte `at` on, where it has no
// other bytes yet. False with errno on failure.
bool rodata_write(const Plan *p, int fd, int64_t at);
// Into memory of p->model.weights.bytes bytes.
void rodata_fill(const Plan *p, void *to);
// A file of its own, with its header; `hash` is that of the data.
bool rodata_write_file(const Plan *p, FILE *out, uint64_t *hash);

// ---- object.c, localize.c, fill.c: object files -----------------------------------------------------------

// What an object file has of the constants: all bytes; or only room for them, which fill_file fills when it is linked.
typedef enum ConstantsForm { CONSTANTS_WHOLE, CONSTANTS_ROOM, CONSTANTS_SEGMENT } ConstantsForm;
// An object file for the target that defines ingot_weights_<name>. ELF only: CONSTANTS_ROOM, for relocatable objects;
// CONSTANTS_SEGMENT, for what is loaded.
bool object_write(const Plan *p, ConstantsForm form, FILE *out);
// Section names: of room in relocatable objects, as that of the whole, and of room that is loaded.
const char *object_section(const Plan *p, ConstantsForm form);
enum { HUGE_PAGE = 2 << 20 };        // bytes, of most processors
#define CONSTANTS_NOTE ".note.ingot" // its program header becomes that of the constants
// Makes the hidden symbols of a relocatable ELF object local, in place. Reports and returns false on failure.
bool localize_file(const Plan *p, const char *path);
// Puts the constants into an ELF file that was linked with room for them. FILL_NO_ROOM: the linker has laid the file
// out otherwise than expected; it is unchanged. FILL_FAILED has been reported.
typedef enum FillResult { FILL_DONE, FILL_NO_ROOM, FILL_FAILED } FillResult;
FillResult fill_file(const Plan *p, ConstantsForm form, const char *path);

// ---- elf.c: ELF files as a linker has written them --------------------------------------------------------------

// What differs between the two classes: sizes, and where fields are.
typedef struct ElfClass {
  int word; // bytes of an address
  size_t shdr, phdr, sym;
  size_t phoff, shoff, phentsize, phnum, shentsize, shnum, shstrndx;
  size_t sh_flags, sh_addr, sh_offset, sh_size, sh_link, sh_info;
  size_t info, shndx; // of symbols
  size_t p_flags, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align;
} ElfClass;

typedef struct ElfImage {
  int fd;
  unsigned char *data; // mapped: what is written here is in the file
  size_t size;
  bool legal; // its headers are; without that only elf_close is allowed
  const ElfClass *k;
  unsigned type;          // ET_REL, ...
  uint64_t table;         // section headers
  unsigned sections;      //
  unsigned names;         // the section of section names
  uint64_t segment_table; // program headers
  unsigned segments;
} ElfImage;

// False with errno where the file cannot be opened. To be closed in any case.
bool elf_open(ElfImage *m, const char *path);
void elf_close(ElfImage *m);
// Little-endian numbers.
uint64_t elf_get(const unsigned char *p, int bytes);
void elf_set(unsigned char *p, uint64_t v, int bytes);
unsigned char *elf_section(const ElfImage *m, unsigned i); // its header
unsigned char *elf_segment(const ElfImage *m, unsigned i);
unsigned elf_section_type(const ElfImage *m, unsigned i);
bool elf_is_inside(const ElfImage *m, unsigned i);              // does the section lie in the file?
unsigned elf_find_section(const ElfImage *m, const char *name); // 0: there is none

// ---- archive.c, link.c: files ---------------------------------------------------------------------------

// An ar archive of objects named by their order, without an index: for --whole-archive.
bool archive_write(Ctx *c, FILE *out, const Compiled *objects);
// One of a single object with an index of the symbols it defines: for programs to link.
bool archive_write_indexed(Ctx *c, FILE *out, const void *object, size_t size, const char *const *symbols,
                           int n);
// The executor of that name as an ar archive, embedded in the compiler: Target.runtime, or that and "-bare".
// NULL if this compiler was built without it.
const void *runtime_archive(const char *name, size_t *size);
typedef struct LinkInput {
  const char *path;
  bool whole; // archive of which every member is wanted
} LinkInput;
bool link_shared(const Plan *p, const LinkInput *in, int n, const char *version_script, const char *out);
bool link_executable(const Plan *p, const LinkInput *in, int n, const char *out);
bool link_relocatable(const Plan *p, const LinkInput *in, int n, const char *out);
bool link_wasm(const Plan *p, const LinkInput *in, int n, const char *out);

// ---- limits.c: what the caller has set limits to ----------------------------------------------------------

// Report and return false, with an explanation, where a limit is exceeded.
bool limit_arena(const Plan *first);
bool limit_stack(const Plan *first);
bool limit_size(const Plan *first, const char *path);

// ---- header.c -------------------------------------------------------------------------------------------

void header_print(const Plan *p, FILE *out);

#endif
