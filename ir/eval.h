// eval.h: what the files of the reference evaluator share; private to ir/eval*.c.
// SPDX-License-Identifier: Apache-2.0
//
// A stage (or a kernel's loop body) is compiled to a Program: a tree of loops with instructions on registers.
// Every expression becomes one instruction, placed in the innermost loop it depends on, so what does not
// change in a loop is computed outside it. One output dimension runs in blocks of LANES elements ("lanes"):
// an instruction that depends on it works on a block at once. That changes no value: each element is still
// computed by itself, reductions one element after the other, everything in the declared dtype.
#ifndef INGOT_EVAL_H
#define INGOT_EVAL_H

#include "ir/expr_impl.h"

enum { LANES = 128 };

// ---- programs -------------------------------------------------------------------------------------------

// How the values of a dtype are held in registers.
typedef enum RegClass { RC_I64, RC_F32, RC_F64 } RegClass; // integers and bool; f16, bf16 and f32; f64

static inline RegClass reg_class(DType t) {
  return !dtype_is_float(t) ? RC_I64 : t == DT_F64 ? RC_F64 : RC_F32;
}

// Operations with code of their own; suffix: class of the operands. The rest go through scalar_op.
// clang-format off
#define FAST_OPS(X) \
  X(ADD_I64) X(SUB_I64) X(MUL_I64) X(AND_I64) X(OR_I64) X(XOR_I64) X(MIN_I64) X(MAX_I64) X(LT_I64) \
  X(LE_I64) X(EQ_I64) X(NE_I64) \
  X(ADD_F32) X(SUB_F32) X(MUL_F32) X(DIV_F32) X(MIN_F32) X(MAX_F32) X(LT_F32) X(LE_F32) X(EQ_F32) \
  X(NE_F32) \
  X(ADD_F64) X(SUB_F64) X(MUL_F64) X(DIV_F64) X(MIN_F64) X(MAX_F64) X(LT_F64) X(LE_F64) X(EQ_F64) \
  X(NE_F64)
// clang-format on

typedef enum Code {
#define X(id) C_##id,
  FAST_OPS(X)
#undef X
      C_FDIV_IMM, // i64 by the constant imm > 0, rounding down
  C_MOD_IMM,
  C_NEG_F32,
  C_NEG_F64,
  C_SELECT,     // 8 or 4 bytes a lane, by class
  C_MULADD_F32, // dst += a * b, rounded twice
  C_MULADD_F64,
  C_CONST,      // imm (bits)
  C_MOVE,       // dst = a
  C_BROADCAST,  // all lanes = a's one
  C_LANE_INDEX, // the lane variable: block start + 0, 1, 2 ...
  C_WRAP,       // an i64 back into dtype t
  C_ROUND,      // an f32 to f16 or bf16
  C_CAST,       // from dtype t to dtype u
  C_BITCAST,
  C_GENERIC,   // scalar_op(op, t)
  C_CHECK,     // 0 <= a < imm where mask c holds, else the program fails
  C_READ,      // dst = buffer[a], where mask c holds, else 0
  C_READ_STEP, // dst = buffer[a + lane * imm]
  C_STORE,     // buffer[a] (combine) b
  C_STORE_STEP,
  C_LOOP, // runs block imm
  C_IF    // runs block imm if a, else block `otherwise`
} Code;

typedef struct Ins {
  uint8_t code, op;         // op: ExprOp of C_GENERIC, StoreKind of stores
  uint8_t t, u;             // dtypes
  bool wide;                // works on a block of lanes
  bool one_a, one_b, one_c; // operand is one value for all lanes
  int dst, a, b, c;         // registers; c of reads, stores and checks: the mask, or -1
  int otherwise;
  int64_t imm;
  struct Buffer *buffer;
  const Value *value; // for messages
  int dim;
} Ins;

typedef struct Block {
  Vec(Ins) ins;
  int var;    // register of the loop's variable
  int extent; // register of its extent; -1: the block runs once
  bool lanes; // runs in blocks of lanes
  int depth;
  struct Block *parent;
} Block;

typedef struct Buffer {
  char *data;
  DType dtype;
  int rank;                                          // physical
  int64_t dim[MAX_PHYS_RANK], stride[MAX_PHYS_RANK]; // actual extents, in elements
  int64_t elements;
  bool owned; // to be freed
  int refs;   // values that have it
} Buffer;

typedef struct Program {
  Ctx *ctx;
  Loc loc;
  Vec(Block *) blocks; // [0] is the outermost
  int nregs;           // of 8 bytes, lanes counted
  int64_t *reg;
  int block_lanes; // LANES, or 1 where elements must be computed one by one
  int n;           // lanes of the current block
  int64_t lane_base;
  bool failed;
} Program;

// False after reporting an access outside a buffer.
bool program_run(Program *p);

// ---- compiling ------------------------------------------------------------------------------------------

typedef struct Eval Eval;

typedef struct VarHome {
  const Var *var;
  Block *block;
  int reg;
} VarHome;

typedef struct Slot { // where an expression's value is
  int reg, wide_reg;  // wide_reg: its copy in all lanes, -1 if there is none yet
  bool wide;
  Block *home;
} Slot;

typedef struct Compiler {
  Ctx *ctx;
  Eval *eval;
  Program *program;
  Memo *slots; // expression -> Slot *
  Memo *masks; // guarded read -> bool expression
  Vec(VarHome) vars;
  Vec(WalkFrame) stack;
  Block *here;         // loops: the block statements are put in now
  Block *lanes;        // the block of lanes, or NULL
  const Value *pinned; // reads of it stay in the innermost loop of the stage
  bool literal;        // loops: reads are done where they stand
} Compiler;

void compiler_start(Compiler *k, Eval *ev, Program *p, Loc loc);
void compiler_end(Compiler *k);
Block *block_new(Compiler *k, Block *parent);
Ins *emit(Compiler *k, Block *b, Ins ins);
int new_reg(Compiler *k, bool wide);
Slot *compile_expr(Compiler *k, const Expr *e);
// The block of a new loop over v, inside parent; its extent must be computable there.
Block *compile_loop(Compiler *k, const Var *v, Block *parent, bool lanes);
void enter_loop(Compiler *k, Block *loop); // puts the loop into its parent, which is complete so far
void compile_masks(Compiler *k, const Expr *e);
// Stores value at an index of v, in block b.
void compile_store(Compiler *k, Block *b, const Value *v, StoreKind op, const Expr *const *index, int n,
                   const Expr *value);
const Expr *buffer_offset(Compiler *k, const Buffer *buf, const Expr *const *index, int n);

// ---- evaluation -----------------------------------------------------------------------------------------

typedef struct SymValue {
  const Sym *sym;
  int64_t value;
} SymValue;

struct Eval {
  Ctx *ctx;
  Module *module;
  Vec(SymValue) syms; // bound so far
  Vec(Buffer *) all;  // owned ones, for the end
  bool physical;      // buffers lie as layouts say
  char *planned;      // all that is in SPACE_ARENA, if values have the places that the memory plan gave them
  Buffer **buffers;   // by value id
  int nbuffers;
  EvalWatch watch;
  void *watch_data;
  int depth; // of nested evaluation: regions and decompositions
};

Buffer *eval_buffer(Eval *ev, const Value *v);         // NULL if it has none yet
Buffer *eval_need(Eval *ev, const Value *v);           // made if missing; NULL after reporting
Buffer *eval_set(Eval *ev, const Value *v, Buffer *b); // shares b
Buffer *buffer_new(Eval *ev, DType t, const int64_t *dims, int rank);
void eval_drop(Eval *ev, const Value *v);
bool eval_dim(Eval *ev, Loc loc, Dim d,
              int64_t *n); // its value now; false after reporting
void eval_bind(Eval *ev, const Sym *s, int64_t value);
const Expr *eval_bind_expr(Eval *ev, const Expr *e); // symbols replaced by their values

bool eval_stage(Eval *ev, const Stage *s);
bool eval_body(Eval *ev, const Kernel *k, Loc loc); // loops
bool eval_nodes(Eval *ev, const Graph *g);
bool eval_one(Eval *ev, const Node *n);
bool eval_routine(Eval *ev, const Node *n, const char *routine, Value *const *in, Value *const *out);
bool eval_region_op(Eval *ev, const Node *n);

#endif
