// ir.h: the whole representation in one place: types, expressions, op table, graph, kernels, loops.
// SPDX-License-Identifier: Apache-2.0
//
// A Module goes through three levels, each printed and parsed back by ir/text*.c (a fourth, LLVM IR, lives
// in codegen/):
//
//   graph     SSA values of tensor type, produced by nodes (op + operands + attributes).
//   kernels   every node is a fused kernel: stages `out[i,j] = expression of reads`.
//   loops     every kernel has a body: loops, local buffers, loads and stores at physical indices.
//
// One scalar expression language (Expr) serves index arithmetic, symbolic extents, op definitions, kernel
// stages and loop bodies. An op defines its result once, as such an expression (or as a decomposition into
// other ops, or a runtime routine); evaluator, fusion, code generation and documents come from that.
//
// Ownership: everything lives in ctx->arena. Nothing here is thread-safe; one Ctx belongs to one thread.
// Functions that can meet bad input report to ctx->diag and return false or NULL.
#ifndef INGOT_IR_H
#define INGOT_IR_H

#include "ir/base.h"

typedef struct Ctx Ctx;
typedef struct Expr Expr;
typedef struct Var Var;
typedef struct Sym Sym;
typedef struct Tensor Tensor;
typedef struct Value Value;
typedef struct Node Node;
typedef struct Graph Graph;
typedef struct Kernel Kernel;
typedef struct Stmt Stmt;
typedef struct Module Module;
typedef struct Layout Layout;
typedef struct Target Target;
typedef struct OpInfo OpInfo;
typedef struct Op Op;
typedef struct Builder Builder;

// ---- limits (each has a test) ---------------------------------------------------------------------------

enum {
  MAX_RANK = 8,        // logical dimensions of a tensor
  MAX_PHYS_RANK = 16,  // physical dimensions after layout
  MAX_OPERANDS = 4096, // operands or results of one node
  MAX_NESTING = 256,   // depth of expressions in text, of regions, of YAML
};
#define MAX_ELEMENTS ((int64_t)1 << 40) // of one tensor: sizes in bytes stay far inside int64

// ---- dtype.c: element types -----------------------------------------------------------------------------

// id, text, bits, class (b bool, s signed, u unsigned, f float), numpy type string
#define DTYPES(X)                                                                                            \
  X(BOOL, "bool", 8, 'b', "|b1")                                                                             \
  X(I8, "i8", 8, 's', "|i1")                                                                                 \
  X(U8, "u8", 8, 'u', "|u1")                                                                                 \
  X(I16, "i16", 16, 's', "<i2")                                                                              \
  X(U16, "u16", 16, 'u', "<u2")                                                                              \
  X(I32, "i32", 32, 's', "<i4")                                                                              \
  X(U32, "u32", 32, 'u', "<u4")                                                                              \
  X(I64, "i64", 64, 's', "<i8")                                                                              \
  X(U64, "u64", 64, 'u', "<u8")                                                                              \
  X(F16, "f16", 16, 'f', "<f2")                                                                              \
  X(BF16, "bf16", 16, 'f', "<V2")                                                                            \
  X(F32, "f32", 32, 'f', "<f4")                                                                              \
  X(F64, "f64", 64, 'f', "<f8")

typedef enum DType {
#define X(id, text, bits, cls, npy) DT_##id,
  DTYPES(X)
#undef X
      DT_COUNT,
  DT_NONE = DT_COUNT
} DType;

const char *dtype_name(DType t);
DType dtype_parse(const char *s, size_t n); // DT_NONE if unknown
int dtype_bytes(DType t);
char dtype_class(DType t); // 'b', 's', 'u' or 'f'
const char *dtype_npy(DType t);
static inline bool dtype_is_float(DType t) {
  return dtype_class(t) == 'f';
}
static inline bool dtype_is_int(DType t) {
  return dtype_class(t) == 's' || dtype_class(t) == 'u';
}
uint16_t f16_from_f32(float x); // round to nearest even
float f16_to_f32(uint16_t h);
uint16_t bf16_from_f32(float x);
float bf16_to_f32(uint16_t h);

// ---- expr.c: scalar expressions -------------------------------------------------------------------------

// id, text, arity (-1: see comment), how it prints (i infix, f function call, s special)
//
// Arithmetic wraps for integers. Integer x/0, x//0, x%0 and rem(x,0) are 0. Float min/max propagate NaN;
// which zero they return for +0 and -0 is not defined. Shifts by the width or more give 0 (or the sign).
#define EXPR_OPS(X)                                                                                          \
  X(CONST, "", 0, 's') /* int_value, or float_value when the dtype is a float */                             \
  X(VAR, "", 0, 's')   /* loop, output-dimension or reduction variable, or a let-bound scalar */             \
  X(SYM, "", 0, 's')   /* a bounded symbol of the module: i64 */                                             \
  X(READ, "", -1, 's') /* value[args...]: logical indices in kernels, physical ones in loops (in loops,    \
                            one index of a value of another rank is a flat one: elements from the start) */ \
  X(REDUCE, "", 1, 's')  /* kind(vars) args[0] */                                                            \
  X(GUARD, "if", 3, 'f') /* args[0] ? args[1] : args[2], where args[1] may only be touched if args[0] */     \
  X(SELECT, "select", 3, 'f') /* args[0] ? args[1] : args[2], both always safe to compute */                 \
  X(CAST, "", 1, 's')    /* to the dtype of the expression; float->int truncates and saturates, NaN -> 0 */  \
  X(BITCAST, "", 1, 's') /* same width */                                                                    \
  X(NEG, "-", 1, 'f')                                                                                        \
  X(NOT, "!", 1, 'f') /* bool: logical, int: bitwise */                                                      \
  X(ABS, "abs", 1, 'f')                                                                                      \
  X(SQRT, "sqrt", 1, 'f')                                                                                    \
  X(EXP, "exp", 1, 'f')                                                                                      \
  X(LOG, "log", 1, 'f')                                                                                      \
  X(EXPM1, "expm1", 1, 'f')                                                                                  \
  X(LOG1P, "log1p", 1, 'f')                                                                                  \
  X(SIN, "sin", 1, 'f')                                                                                      \
  X(COS, "cos", 1, 'f')                                                                                      \
  X(TAN, "tan", 1, 'f')                                                                                      \
  X(ASIN, "asin", 1, 'f')                                                                                    \
  X(ACOS, "acos", 1, 'f')                                                                                    \
  X(ATAN, "atan", 1, 'f')                                                                                    \
  X(SINH, "sinh", 1, 'f')                                                                                    \
  X(COSH, "cosh", 1, 'f')                                                                                    \
  X(TANH, "tanh", 1, 'f')                                                                                    \
  X(ASINH, "asinh", 1, 'f')                                                                                  \
  X(ACOSH, "acosh", 1, 'f')                                                                                  \
  X(ATANH, "atanh", 1, 'f')                                                                                  \
  X(ERF, "erf", 1, 'f')                                                                                      \
  X(FLOOR, "floor", 1, 'f')                                                                                  \
  X(CEIL, "ceil", 1, 'f')                                                                                    \
  X(TRUNC, "trunc", 1, 'f')                                                                                  \
  X(ROUND, "round", 1, 'f') /* half to even */                                                               \
  X(POPCOUNT, "popcount", 1, 'f')                                                                            \
  X(ADD, "+", 2, 'i')                                                                                        \
  X(SUB, "-", 2, 'i')                                                                                        \
  X(MUL, "*", 2, 'i')                                                                                        \
  X(DIV, "/", 2, 'i')   /* truncating for integers */                                                        \
  X(FDIV, "//", 2, 'i') /* integers only: rounds to minus infinity */                                        \
  X(MOD, "%", 2, 'i')   /* sign of the divisor (floats too) */                                               \
  X(REM, "rem", 2, 'f') /* sign of the dividend, C's % and fmod */                                           \
  X(MIN, "min", 2, 'f')                                                                                      \
  X(MAX, "max", 2, 'f')                                                                                      \
  X(POW, "pow", 2, 'f')                                                                                      \
  X(ATAN2, "atan2", 2, 'f')                                                                                  \
  X(AND, "&", 2, 'i') /* bool and int */                                                                     \
  X(OR, "|", 2, 'i')                                                                                         \
  X(XOR, "^", 2, 'i')                                                                                        \
  X(SHL, "<<", 2, 'i')                                                                                       \
  X(SHR, ">>", 2, 'i')      /* arithmetic for signed types */                                                \
  X(DOT16, "dot16", 2, 'f') /* of pairs of i16 in i32s: low * low + high * high, which may wrap */           \
  X(DOT8, "dot8", 2, 'f') /* of four u8 and four i8 in i32s: sums of two products, as halves, kept in i16 */ \
  X(ADD16, "add16", 2, 'f') /* of the halves of i32s, each of which may wrap */                              \
  X(EQ, "==", 2, 'i')       /* comparisons give bool; with NaN all but != are false */                       \
  X(NE, "!=", 2, 'i')                                                                                        \
  X(LT, "<", 2, 'i')                                                                                         \
  X(LE, "<=", 2, 'i')   /* > and >= are parsed and become these with swapped operands */                     \
  X(FMA, "fma", 3, 'f') /* args[0] * args[1] + args[2], rounded once */

typedef enum ExprOp {
#define X(id, text, arity, form) E_##id,
  EXPR_OPS(X)
#undef X
      E_COUNT
} ExprOp;

// id, text. Identity elements: 0, 1, -inf (or lowest), +inf (or highest), true, false.
#define REDUCE_KINDS(X)                                                                                      \
  X(SUM, "sum") X(PROD, "prod") X(MAX, "maximum") X(MIN, "minimum") X(ALL, "all") X(ANY, "any")

typedef enum ReduceKind {
#define X(id, text) R_##id,
  REDUCE_KINDS(X)
#undef X
      R_COUNT
} ReduceKind;

// An integer variable that runs over 0 <= v < extent, or (extent == NULL) a scalar bound by a let.
struct Var {
  const char *name; // printing makes names unique within a kernel
  int id;           // unique in the Ctx, in order of creation
  DType dtype;      // I64 for loop variables
  const Expr *extent;
  const Expr *value; // of a let: what it is bound to, as far as its range goes
};

// A runtime extent with a bound, min <= sym <= max. `def` is set for derived ones (2*T+1), whose value is
// computed from others; `data` for ones written by a routine (NonZero).
struct Sym {
  const char *name;
  int index; // in module->syms
  int64_t min, max;
  bool data_dependent;
  Loc loc;
};

// Immutable and hash-consed: structurally equal expressions of one Ctx are the same pointer.
struct Expr {
  ExprOp op;
  DType dtype;
  int nargs;
  uint32_t id; // order of creation
  union {
    int64_t int_value;
    double float_value;
    const Var *var;
    const Sym *sym;
    Value *value;
    struct {
      ReduceKind kind;
      int nvars;
      const Var *const *vars;
    } reduce;
  };
  const Expr *const *args;
};

const char *expr_op_name(ExprOp op);
const char *reduce_name(ReduceKind k);

// Constructors fold constants and simplify integer arithmetic (x+0, x*1, sums of products in a normal
// form, (a*c+b)//c, (a*c+b)%c, min/max and comparisons decided by variable ranges ...). Operands of binary
// operators must have the same dtype; the caller inserts casts.
const Expr *ex_int(Ctx *c, DType t, int64_t v);
const Expr *ex_float(Ctx *c, DType t, double v);
const Expr *ex_num(Ctx *c, DType t, double v); // whichever of the two fits t
const Expr *ex_idx(Ctx *c, int64_t v);         // i64 constant
const Expr *ex_bool(Ctx *c, bool v);
const Expr *ex_var(Ctx *c, const Var *v);
const Expr *ex_sym(Ctx *c, const Sym *s);
const Expr *ex_read(Ctx *c, Value *v, const Expr *const *index, int n);
const Expr *ex_reduce(Ctx *c, ReduceKind k, const Var *const *vars, int nvars, const Expr *body);
const Expr *ex_unary(Ctx *c, ExprOp op, const Expr *a);
const Expr *ex_binary(Ctx *c, ExprOp op, const Expr *a, const Expr *b);
const Expr *ex_ternary(Ctx *c, ExprOp op, const Expr *a, const Expr *b, const Expr *d);
const Expr *ex_cast(Ctx *c, DType t, const Expr *a);
const Expr *ex_bitcast(Ctx *c, DType t, const Expr *a);
// Rebuilds e with other arguments (same op, dtype, payload), simplifying again.
const Expr *ex_with_args(Ctx *c, const Expr *e, const Expr *const *args);

#define ex_add(c, a, b)       ex_binary(c, E_ADD, a, b)
#define ex_sub(c, a, b)       ex_binary(c, E_SUB, a, b)
#define ex_mul(c, a, b)       ex_binary(c, E_MUL, a, b)
#define ex_guard(c, p, a, b)  ex_ternary(c, E_GUARD, p, a, b)
#define ex_select(c, p, a, b) ex_ternary(c, E_SELECT, p, a, b)
// 0 <= e < n as a bool expression
const Expr *ex_in_range(Ctx *c, const Expr *e, const Expr *n);

Var *var_new(Ctx *c, const char *name, const Expr *extent);             // loop variable
Var *var_new_let(Ctx *c, const char *name, DType t, const Expr *value); // value may be NULL

bool expr_is_const_int(const Expr *e, int64_t *v);
bool expr_is_const(const Expr *e);

// Rewrites bottom-up, memoised over the DAG: fn gets each node with its arguments already rewritten and
// returns its replacement (or the node itself).
typedef const Expr *(*ExprFn)(Ctx *c, const Expr *e, void *data);
const Expr *expr_rewrite(Ctx *c, const Expr *e, ExprFn fn, void *data);
// e with every place of the expression `what` in it taken by `by`. Not looked for in what it becomes, nor in extents
// of reductions.
const Expr *expr_replace(Ctx *c, const Expr *e, const Expr *what, const Expr *by);
// Replaces variables: vars[i] by with[i], everywhere including reads' indices.
const Expr *expr_subst(Ctx *c, const Expr *e, const Var *const *vars, const Expr *const *with, int n);
// Gives every reduction in e fresh variables, so that two copies can stand in one kernel.
const Expr *expr_fresh(Ctx *c, const Expr *e);
// Calls fn on each distinct node of the DAG once, arguments first. Stops early when fn returns false.
bool expr_visit(Ctx *c, const Expr *e, bool (*fn)(const Expr *e, void *data), void *data);
bool expr_uses_var(Ctx *c, const Expr *e, const Var *v);
int expr_reads(Ctx *c, const Expr *e, const Value *v); // distinct reads of v in e
// Bounds of an integer expression from the ranges of its variables and symbols. false if unbounded.
// `assume` may be NULL or a bool expression known to hold (its conjuncts narrow the ranges).
bool expr_bounds(Ctx *c, const Expr *e, const Expr *assume, int64_t *lo, int64_t *hi);
// From now on the sum of symbols is known never to exceed max, whatever the symbols' own ranges allow: past + seq.
// Whoever runs the module must see to it.
void expr_limit(Ctx *c, const Expr *sum, int64_t max);
// e = coeff * v + rest with rest free of v; false if e is not of that form.
bool expr_affine(Ctx *c, const Expr *e, const Var *v, int64_t *coeff, const Expr **rest);
// Simplifies a bool or integer expression under a condition known to hold.
const Expr *expr_assume(Ctx *c, const Expr *e, const Expr *assume);

// ---- type.c: extents, shapes, types ---------------------------------------------------------------------

// One extent: the constant n, or, if sym is set, that i64 expression over symbols, which never exceeds n.
typedef struct Dim {
  int64_t n;
  const Expr *sym;
} Dim;

typedef struct Type {
  DType dtype;
  int rank;
  Dim dim[MAX_RANK];
} Type;

static inline Dim dim_const(int64_t n) {
  return (Dim){n, NULL};
}
Dim dim_expr(Ctx *c, const Expr *e); // folds to a constant where it can; bound by expr_bounds
const Expr *dim_to_expr(Ctx *c, Dim d);
bool dim_equal(Dim a, Dim b);
Dim dim_binary(Ctx *c, ExprOp op, Dim a, Dim b); // ADD SUB MUL FDIV MIN MAX
Type type_make(DType t, int rank, const int64_t *dims);
bool type_equal(const Type *a, const Type *b);
bool type_is_static(const Type *t);
bool type_check_size(Ctx *c, Loc loc, const Type *t); // reports if MAX_ELEMENTS would be exceeded
bool type_takes_limit(const Type *t, int64_t limit);  // see Value
int64_t type_elements(const Type *t);                 // for the bounds
int64_t type_bytes(const Type *t);
char *type_text(Ctx *c, const Type *t); // f32[1,3,224,224], f32[T<=512,64], i64[] for a scalar
// numpy broadcasting of n shapes into *out (dtype untouched). false if they do not fit.
bool type_broadcast(Ctx *c, const Type *const *in, int n, Type *out);

// ---- tensor.c: constant data ----------------------------------------------------------------------------

// Dense row-major data of a static type. `data` may point into a mapped file and be unaligned.
struct Tensor {
  Type type;
  const void *data;
  size_t bytes;
  const char *file; // where it is mapped from, or NULL
  int64_t offset;   // byte offset in that file
  uint64_t hash;    // of the bytes; 0 = not computed yet
};

Tensor *tensor_new(Ctx *c, const Type *type);                    // zeroed, writable through tensor_data
Tensor *tensor_view(Ctx *c, const Type *type, const void *data); // no copy
void *tensor_data(Tensor *t);
Tensor *tensor_scalar(Ctx *c, DType dt, double v);
Tensor *tensor_ints(Ctx *c, const int64_t *v, int n); // i64[n]
double tensor_get(const Tensor *t, int64_t i);        // element i as double (i64 loses bits beyond 2^53)
int64_t tensor_get_int(const Tensor *t, int64_t i);
void tensor_set(Tensor *t, int64_t i, double v); // converts as CAST does
void tensor_set_int(Tensor *t, int64_t i, int64_t v);
bool tensor_equal(const Tensor *a, const Tensor *b); // bitwise
uint64_t tensor_hash(const Tensor *t);

// ---- layout.c: how a tensor lies in memory --------------------------------------------------------------

// Physical dimension k of a layout holds (index[dim] + pad) / div, modulo mod unless mod == 0. Example
// NCHW8c of [n,c,h,w]: {0,1,0} {1,8,0} {2,1,0} {3,1,0} {1,1,8}, printed layout<0,1/8,2,3,1%8>. A physical
// dimension with room has that extent whatever the logical one is: a cache that grows in place.
// Extents are rounded up; what lies beyond the logical extent is undefined and must not be used.
typedef struct LayoutPart {
  int dim;
  int64_t div, mod, pad; // pad: elements before index 0
  int64_t pad_after;     // only with pad: elements after the last
  int64_t room;          // if not 0: the physical extent; only without div, mod and padding
} LayoutPart;

struct Layout {
  int n;
  const LayoutPart *part;
};

// NULL stands for plain row-major everywhere.
const Layout *layout_new(Ctx *c, const LayoutPart *parts, int n);
bool layout_equal(const Layout *a, const Layout *b);
int layout_rank(const Layout *l, const Type *t);                     // physical rank
void layout_shape(Ctx *c, const Layout *l, const Type *t, Dim *out); // physical extents
// Physical index expressions of a logical index; returns their number.
int layout_index(Ctx *c, const Layout *l, const Type *t, const Expr *const *index, const Expr **out);
int64_t layout_bytes(Ctx *c, const Layout *l, const Type *t); // bound
// Indices of dim that have a place of their own: its extent, or more where blocks are rounded up.
int64_t layout_room(const Layout *l, const Type *t, int dim);
char *layout_text(Ctx *c, const Layout *l);
// Physical bytes of a constant; what lies outside is zero. Used when the artefact is written.
void layout_pack(Ctx *c, const Layout *l, const Tensor *t, void *out);
// The same in pieces: indices from <= i < to of the first physical dimension, of which there are so many (1 where it
// cannot be split).
int64_t layout_slices(Ctx *c, const Layout *l, const Type *t);
void layout_pack_slices(Ctx *c, const Layout *l, const Tensor *t, int64_t from, int64_t to, void *out);
// The opposite: reads a static tensor of the given type out of its physical bytes.
Tensor *layout_unpack(Ctx *c, const Layout *l, const Type *type, const void *in);

// ---- op.c, ops_*.c: the op table ------------------------------------------------------------------------

typedef enum AttrKind {
  ATTR_INT,
  ATTR_FLOAT,
  ATTR_BOOL,
  ATTR_STRING,
  ATTR_DTYPE,
  ATTR_INTS,
  ATTR_FLOATS,
  ATTR_SHAPE,
  ATTR_TENSOR
} AttrKind;

typedef struct Attr {
  const char *name;
  AttrKind kind;
  bool given; // false: the op's default, not printed
  union {
    int64_t i;
    double f;
    const char *s;
    DType t;
    const Tensor *tensor;
  };
  int n; // of ints, floats, dims
  const int64_t *ints;
  const double *floats;
  const Dim *dims; // ATTR_SHAPE: like ints, but extents may be symbolic
} Attr;

// What each op says of itself. Exactly one of expr, define, stages, decompose, routine is set (or none for
// `const`-like and region ops, which have their own code).
struct OpInfo {
  const char *name;  // the one spelling, in C, YAML, IR text, dumps, documents, tests
  const char *group; // section of the documents
  const char *ins;   // "x:T, y:T", "x:T, w:T, bias:T?" (? may be absent), "xs:T*" (any number, last)
  const char
      *outs;     // "T", "bool", "T, i64"; "=attr" takes the dtype from a dtype attribute; "any*": `results`
  const char *t; // what T may be: "any", "num", "float", "int", "bool", "signed", ... ; U likewise by "U:..."
  const char *attrs; // "axis:int=-1, keepdims:bool=true, pads:ints=[0,0]"; no default: required
  const char *doc;   // one or more sentences
  // Element-wise op: formula over operand and attribute names; operands broadcast. E.g. "max(x, 0)".
  const char *expr;
  // Sets node->out[*]->type (rank, dims, dtype) from operands and attributes; reports what does not fit.
  // NULL: op_infer_broadcast. May fill in attributes (a symbol for a data-dependent extent).
  bool (*infer)(Ctx *c, Node *n);
  // Number of results of a node whose operands, attributes and regions are set; only if outs is "any*".
  int (*results)(const Node *n);
  // The element of result `out` at `index` (rank-many expressions).
  const Expr *(*define)(Ctx *c, const Node *n, int out, const Expr *const *index);
  // Stages that write the results, when one expression per element does not say it (scatter, scans).
  bool (*stages)(Ctx *c, Node *n, Kernel *k);
  // Builds the results from other ops, at the builder's place.
  bool (*decompose)(Builder *b, const Node *n, Value **out);
  const char *routine; // runtime routine ingot_rt_<routine>
  unsigned flags;
  const char *
      sample; // calls for tests and documents: "conv(f32[1,3,8,8], f32[4,3,3,3], stride=[2,2])"; several by ';'
};

enum {
  OP_COMMUTES = 1, // two operands may be swapped
  OP_VIEW =
      2, // every element is one element of an operand, unchanged (reshape, transpose, slice, concat ...)
  OP_REGION = 4,    // has subgraphs (if, loop)
  OP_IMPURE = 8,    // not to be merged or dropped (random without seed, state writes)
  OP_INTERNAL = 16, // made by passes only; not in the documents for users
};

// Parsed form of a row: operand names, type classes, attribute specs with defaults.
typedef struct OpParam {
  const char *name;
  char type[16]; // "T", "U", or a dtype or class name
  bool optional, variadic;
} OpParam;
struct Op {
  const OpInfo *info;
  const char *name; // = info->name
  int nin, nout, nattr;
  const OpParam *in;
  const char (*out)[16];
  const Attr *attr;   // specs: kind and default; `given` = required
  const char *cls[3]; // classes of T, U and V
};

const Op *op_find(Ctx *c, const char *name); // NULL if unknown
const char *op_suggest(Ctx *c, const char *name);
int op_count(Ctx *c);
const Op *op_at(Ctx *c, int i); // in documents' order
// What `type` (of an operand: "T", "U", a dtype or a class such as "float" or "i8|u8") may be.
bool op_allows(const Op *op, const char *type, DType t);
const char *op_class(const Op *op, const char *type); // as text: "float"
int op_results(const Node *n);                        // how many results n has
// The dtype of result k by the row's `outs`, from the operands' dtypes and the attributes.
DType op_result_dtype(const Node *n, int k);
bool op_infer_broadcast(Ctx *c, Node *n); // every result: all operands broadcast, dtype as above
// Reads the value of an attribute of the kind of `spec` as written in rows and samples ("[1,2]", "true",
// "edge") from *text and moves *text behind it. Symbols are not known here.
bool op_parse_attr(Ctx *c, const Attr *spec, const char **text, Attr *out);
void op_document(Str *out, const Op *op); // op_doc.c: the op's page, in Markdown
static inline bool op_is(const Node *n, const char *name);

// ---- graph.c: values, nodes, graphs ---------------------------------------------------------------------

// Where a value's bytes are, once planned.
typedef enum Space {
  SPACE_NONE,
  SPACE_INPUT,
  SPACE_OUTPUT,
  SPACE_CONST,
  SPACE_ARENA,
  SPACE_STATE,
  SPACE_REG,
  SPACE_STACK,
  SPACE_SCRATCH
} Space;

struct Value {
  int id;           // unique in the Ctx
  const char *name; // stable; unique within the module when printed
  Type type;
  const Layout *layout; // NULL: plain
  Node *def;            // NULL for inputs, constants and kernel locals
  int def_index;        // which result of def
  const Tensor *data;   // constants only
  Loc loc;
  Space space;
  int64_t offset; // bytes into the arena (SPACE_ARENA), index of the input or output
  Value *base;    // if set: lives inside base's buffer, at `offset` bytes from its start
  int64_t limit;  // inputs of integers: elements lie in 0 .. limit - 1, or a run is refused; 0: any
  int uses;       // valid after graph_count_uses
  Value *forward; // value that replaces this one, until graph_resolve
  void *info;     // scratch of the running pass
};

// Source-level origin: the user's node that something came from.
typedef struct Origin {
  Loc loc;
  const char *name; // "layer1.0.conv1 (conv)"
  int64_t flops;    // by its definition, if the module wants to know; else 0
} Origin;

struct Node {
  const Op *op;
  int id;
  int nin, nout, nregions;
  Value **in; // NULL for an absent optional operand
  Value **out;
  Attr *attr; // op->nattr many, in the op's order
  Graph **region;
  Kernel *kernel; // op "kernel": its definition
  Graph *graph;
  Node *prev, *next;
  Loc loc;
  Vec(Origin) origins;      // none: it is the model's own
  Vec(const char *) makers; // passes that made it and what it stands for, in order; none: the front end
  void *info;               // scratch of the running pass
};

// A value that lives from run to run: what input `input` of the main graph is, and output `output`, which
// it becomes when a run has ended well. Neither belongs to the interface of the artefact. Where the input's
// extent is a symbol and the output's another expression, the state grows: the symbol keeps its value between
// runs and becomes that expression's.
typedef struct State {
  int input, output;
  Value *init; // a constant; NULL: zeros
  Loc loc;
} State;

struct Graph {
  Ctx *ctx;
  Module *module;
  const char *name;
  Vec(Value *) inputs;  // region: the body's parameters
  Vec(Value *) outputs; // may repeat a value, may be inputs or constants
  Vec(const char *) output_names;
  Vec(Value *) consts;
  Vec(State) states;  // main graph only
  Node *first, *last; // every node comes after its operands' definitions
  Graph *parent;      // of a region: values of the parents may be used
  int nnodes;
};

typedef enum Level { LEVEL_GRAPH, LEVEL_KERNELS, LEVEL_LOOPS } Level;

typedef struct MetaEntry {
  const char *key, *value;
} MetaEntry;

// A sum of symbols that is never more than max: what a state grows to.
typedef struct Limit {
  const Expr *sum;
  int64_t max;
} Limit;

// What a pass decided and why, for people: --remarks, `ingot explain`, reports.
typedef struct Remark {
  const char *pass;
  const char *about; // name of the value (a kernel's first result)
  Loc loc;
  const char *text;
} Remark;

struct Module {
  Ctx *ctx;
  const char *name; // C identifier; prefix of the artefact's symbols
  Level level;
  Graph *main;
  Vec(Sym *) syms;
  Vec(Limit) limits;
  const Target *target;
  int64_t arena_bytes;      // after the memory plan
  int64_t state_bytes;      // the same
  int unproved;             // loops that lowering threw away because they could not be proved
  const char *unproved_why; // of the last of them
  Vec(const char *) passes; // names of the passes that ran
  bool wants_remarks;
  bool wants_work;     // origins say how much their ops do, for profiles
  Vec(Remark) remarks; // in the order in which they were made
  Vec(MetaEntry) meta; // description, labels, preprocessing: kept in the artefact
};

struct Ctx {
  Arena *arena;
  Diag *diag;
  struct ExprTable *exprs; // expr.c
  struct OpTable *ops;     // op.c
  Vec(Limit) limits;       // of all modules: expr_limit
  int next_var, next_value, next_node;
};

Ctx *ctx_new(Arena *a, Diag *d);
Module *module_new(Ctx *c, const char *name);
// Notes a decision, if anybody wants to know. Passes call it where they decide.
void remark(Module *m, const char *pass, const Value *about, const char *fmt, ...) PRINTF_LIKE(4, 5);
Sym *module_sym(Module *m, const char *name, int64_t min, int64_t max, Loc loc); // finds or makes

Graph *graph_new(Module *m, const char *name, Graph *parent);
Value *graph_input(Graph *g, const char *name, Type type, Loc loc);
Value *graph_const(Graph *g, const char *name, const Tensor *t, Loc loc);
void graph_output(Graph *g, const char *name, Value *v);
Value *value_new(Ctx *c, const char *name, Type type, Loc loc); // kernel locals
// The symbol, known only when the model runs, whose value n finds out; NULL: none. What has it in its type needs
// n even if it reads nothing of it.
const Sym *node_data_sym(const Node *n);
bool expr_uses_sym(Ctx *c, const Expr *e, const Sym *s); // e may be NULL
bool type_uses_sym(Ctx *c, const Type *t, const Sym *s);
// Unlinks a node whose results have no uses.
void node_remove(Node *n);
// Notes that `pass` had a part in n.
void node_add_maker(Node *n, const char *pass);
// The pass that made n last; NULL for the front end.
const char *node_made_by(const Node *n);
void node_move_before(Node *n, Node *before); // before == NULL: to the end
// state.c: makes input and output, numbers in the main graph's lists, one state. Extents that the output's growth
// limits get their new bounds throughout the graph. false after reporting.
bool graph_state(Graph *g, int input, int output, Value *init, Loc loc);
const State *state_of_input(const Graph *g, int input); // NULL: none
const State *state_of_output(const Graph *g, int output);
// The dimension along which a state grows, or -1; *sym is the symbol that keeps its extent, *next what it becomes.
int state_growth(const Graph *g, const State *s, const Sym **sym, const Expr **next);
// What symbol s becomes when a run has ended, or NULL if no state keeps it.
const Expr *state_next_extent(const Graph *g, const Sym *s);
// Adds a limit to the module, once.
void module_limit(Module *m, const Expr *sum, int64_t max);
// Records that v stands for old; takes effect for all operands at graph_resolve.
void value_replace(Value *old, Value *by);
Value *value_resolve(Value *v); // follows forwards
void graph_resolve(Graph *g);   // and regions
void graph_count_uses(Graph *g);
const Node *graph_find_kernel(const Graph *g, const char *name); // in regions too; NULL: none
// Deep copy of all nodes into `into` at builder b's place; operands mapped by map[value id] or kept.
bool graph_inline(Builder *b, const Graph *g, Value *const *args, Value **results);

const Attr *node_attr(const Node *n, const char *name); // must exist in the op
int64_t attr_int(const Node *n, const char *name);
double attr_float(const Node *n, const char *name);
bool attr_bool(const Node *n, const char *name);
const char *attr_string(const Node *n, const char *name);
DType attr_dtype(const Node *n, const char *name);
static inline bool op_is(const Node *n, const char *name) {
  return strcmp(n->op->name, name) == 0;
}

// Builds nodes at one place with one source position.
struct Builder {
  Ctx *ctx;
  Graph *graph;
  Node *before; // NULL: append
  Loc loc;
  const char *made_by;
  const Node *like; // its origins are inherited, if set
};

Builder builder_at(Graph *g, Node *before, Loc loc);
Builder builder_replacing(Node *n, const char *pass); // before n, with its loc and origins

// Makes a node, checks arity, operand types and attributes against the op, infers the result types and
// returns the first result (node in result->def), or NULL after reporting. Attributes not given get
// defaults. attrs[i] needs name, kind and value; kinds are converted where that loses nothing (int to
// float, int to one-element ints, ints to shape).
Value *build(Builder *b, const char *op, Value *const *in, int nin, const Attr *attrs, int nattrs);
Node *build_node(Builder *b, const char *op, Value *const *in, int nin, const Attr *attrs, int nattrs);
Node *build_region_node(Builder *b, const char *op, Value *const *in, int nin, const Attr *attrs, int nattrs,
                        Graph *const *regions, int nregions);
// A node of op "kernel" that computes outs (already made with value_new) from ins by k.
Node *build_kernel(Builder *b, Kernel *k, Value *const *in, int nin, Value *const *out, int nout);

#define IN(...)             (Value *[]){__VA_ARGS__}, (int)(sizeof((Value *[]){__VA_ARGS__}) / sizeof(Value *))
#define ATTRS(...)          (Attr[]){__VA_ARGS__}, (int)(sizeof((Attr[]){__VA_ARGS__}) / sizeof(Attr))
#define NO_ATTRS            NULL, 0
#define A_INT(k, v)         ((Attr){.name = (k), .kind = ATTR_INT, .given = true, .i = (v)})
#define A_BOOL(k, v)        ((Attr){.name = (k), .kind = ATTR_BOOL, .given = true, .i = (v)})
#define A_FLOAT(k, v)       ((Attr){.name = (k), .kind = ATTR_FLOAT, .given = true, .f = (v)})
#define A_STRING(k, v)      ((Attr){.name = (k), .kind = ATTR_STRING, .given = true, .s = (v)})
#define A_DTYPE(k, v)       ((Attr){.name = (k), .kind = ATTR_DTYPE, .given = true, .t = (v)})
#define A_INTS(k, v, count) ((Attr){.name = (k), .kind = ATTR_INTS, .given = true, .n = (count), .ints = (v)})
#define A_SHAPE(k, v, count)                                                                                 \
  ((Attr){.name = (k), .kind = ATTR_SHAPE, .given = true, .n = (count), .dims = (v)})
#define A_FLOATS(k, v, count)                                                                                \
  ((Attr){.name = (k), .kind = ATTR_FLOATS, .given = true, .n = (count), .floats = (v)})

// The element of a node's result at index: op->info->expr or define, with operands as reads.
const Expr *node_define(Ctx *c, const Node *n, int out, const Expr *const *index);

// ---- kernels --------------------------------------------------------------------------------------------

typedef enum StoreKind {
  STORE_SET,
  STORE_ADD,
  STORE_MUL,
  STORE_MIN,
  STORE_MAX
} StoreKind; // = += *= min= max=

// for every dims: out[index] = value (or combined with what is there). index NULL: out[dims], each element
// once. With index given, iterations run in order, and value may read what earlier ones wrote.
typedef struct Stage {
  Value *out;
  int ndims;
  const Var *const *dims;
  const Expr *const *index; // out->type.rank many, or NULL
  StoreKind store;
  const Expr *value;
  int at; // how many of the leading dims are shared with the kernel's other stages (fused loops)
  Loc loc;
} Stage;

// Schedule: a class of loop nest and its named parameters, e.g. product(mr=6, nr=16, kc=256, threads=m).
typedef struct SchedParam {
  const char *name;
  int64_t value;
} SchedParam;
typedef struct Schedule {
  const char *kind; // "serial" (unscheduled), "map", "reduce", "row", "product", "depthwise", "winograd" ...
  Vec(SchedParam) params;
  bool tuned; // taken from a tuning database, not chosen by the cost model
} Schedule;

struct Kernel {
  const char *name;         // unique in the module, stable: from its main origin
  Vec(Value *) locals;      // values that live only inside, written by a stage
  Vec(Stage) stages;        // in order
  const char *routine;      // instead of stages: runtime routine, with the node's attributes
  const Node *routine_node; // the node it came from (its attributes)
  Schedule schedule;
  Stmt *body;       // LEVEL_LOOPS
  int line;         // in the dump of module_print_numbered; 0: none was made
  int64_t parallel; // iterations of the outermost parallel loop (bound); 1: none
  int64_t scratch;  // bytes of per-thread scratch memory
  // What the passes decide by, of threads too: operations of the stages as they were fused, and all that its operands
  // and results take, whether it is read or not (node_bytes).
  int64_t flops, bytes;
};

// Loops that are not proved to stay in their buffers: code must test each index as it runs.
bool kernel_is_checked(const Kernel *k);

// ---- text_tuning.c: schedules that were measured: the tuning database --------------------------------------

// Times are of the machine where it was measured. What a schedule gains is base_us - us.
typedef struct TuneEntry {
  uint64_t kernel;    // its key (passes.h)
  const char *target; // its name
  int threads;
  Schedule schedule;
  double us, base_us; // microseconds with it, and with what the cost model had chosen
  const char *name;   // of a kernel that was measured, for people
} TuneEntry;

typedef struct Tuning {
  Vec(TuneEntry) entries;
} Tuning;

// NULL after reporting: not such a file, of a newer version, damaged.
Tuning *tuning_read(Ctx *c, const char *path);
void tuning_print(Str *out, const Tuning *t); // in one order, whatever that of the entries
// The entry for a kernel; of several for different numbers of threads that of the nearest one, with `threads` 0 that
// of the most. NULL: none.
const TuneEntry *tuning_find(const Tuning *t, uint64_t kernel, const char *target, int threads);
// Adds an entry, or replaces that for the same kernel, target and threads.
void tuning_put(Arena *a, Tuning *t, const TuneEntry *e);
void tuning_drop(Tuning *t, uint64_t kernel, const char *target, int threads);

// ---- flops.c: what is computed, at the bounds of symbols ------------------------------------------------

// Additions, multiplications, comparisons and functions of floats in one evaluation of e, one each.
double expr_flops(Ctx *c, const Expr *e);
double stage_flops(Ctx *c, const Stage *s); // of all its elements
// A list: `ops` operations in every turn of the loops over `vars`, which are inside those of `outer`.
typedef struct FlopScope FlopScope;
struct FlopScope {
  double ops;
  const Var *const *vars;
  int nvars;
  const FlopScope *outer;
  FlopScope *next;
};
const FlopScope *stage_flop_scopes(Ctx *c, const Stage *s);
// Of a node by the definition of its op. Branches of an `if` count both, a loop's body once.
double node_flops(Ctx *c, const Node *n);
double graph_flops(Ctx *c, const Graph *g);
// What n is to nodes that are made from it, n being the model's own.
Origin node_as_origin(const Node *n);

// ---- bytes.c: what is read and written ------------------------------------------------------------------

// A list, by value. What lies where it belongs already (a cache that is appended to) is known after the memory plan.
typedef struct Traffic Traffic;
struct Traffic {
  const Value *value;
  const Expr *elements; // that are read or written, each once: of the symbols' values in a run
  Traffic *next;
};
const Traffic *node_traffic(Ctx *c, const Node *n); // of a kernel's node
double node_bytes(Ctx *c, const Node *n);           // of all of them together, at the bounds of symbols

// ---- loops ----------------------------------------------------------------------------------------------

typedef enum StmtKind { S_FOR, S_STORE, S_LET, S_IF, S_ALLOC, S_PREFETCH } StmtKind;

// Loop kinds never change what a loop nest means: executed one by one, in order, they give the same values
// (up to the order of float additions that the schedule wrote down). A parallel loop is the outermost
// statement; vector loops are innermost but for unrolled ones, have a constant extent (the lanes) and a
// body of stores, lets and ifs; unrolled loops have constant extents.
typedef enum LoopKind { LOOP_SERIAL, LOOP_PARALLEL, LOOP_UNROLL, LOOP_VECTOR } LoopKind;

struct Stmt {
  StmtKind kind;
  Stmt *next;
  Loc loc;  // source position of the op it came from
  int line; // in the dump of module_print_numbered; 0: none was made
  union {
    struct {
      const Var *var;
      LoopKind kind;
      Stmt *body;
    } loop;
    struct {
      Value *dst;
      int nindex;
      const Expr *const *index; // physical; or one flat index, as in READ
      StoreKind op;
      const Expr *value;
    } store;
    struct {
      const Var *var;
      const Expr *value;
    } let;
    struct {
      const Expr *cond;
      Stmt *then, *otherwise;
    } cond;
    Value *alloc; // space REG, STACK or SCRATCH; lives to the end of the enclosing block
    // A hint that what lies at flat index `at` is read soon; `at` may lie outside of the buffer.
    struct {
      Value *of;
      const Expr *at;
    } prefetch;
  };
};

// ---- target.c -------------------------------------------------------------------------------------------

// What the cost models of products assume, in cycles, and bytes a cycle. Fitted to measurements (bench/cost_model).
typedef struct Costs {
  // Register tiles (passes/product_tile.c).
  double latency;    // from an FMA's start to the next one on its result, with some slack for the scheduler
  double load_share; // of the loads that is in the way of the FMAs
  double l2_bytes;   // from the second-level cache
  double l2_share;   // of that traffic that is in the way
  // Winograd or direct (passes/winograd.c).
  double peak;         // of the FMAs' peak that long products reach
  double short_rows;   // so many rows more would make up for what short products lose
  double memory_bytes; // weights from memory, for one thread
  double memory_share; // of that time that is not behind the arithmetic
  double transform_2;  // to transform one vector of a tile of F(2,3), in and out
  double transform_4;  // the same of F(4,3)
} Costs;

struct Target {
  const char *name;                    // "x86-64-v3"
  const char *triple, *cpu, *features; // LLVM's
  int vector_bytes;                    // of one register
  int vector_regs;
  bool fma, masked;   // fused multiply-add; cheap masked loads and stores
  int cores;          // 0: unknown
  int64_t l1, l2, l3; // bytes per core (l3: shared)
  Costs costs;
  int pointer_bytes;
  int vscale;          // SVE: registers are taken to be 128 * vscale bits; 0: no such registers
  bool bare;           // there is no operating system: always freestanding
  const char *needs;   // features that the loader checks, by LLVM's names: "avx2,fma"
  const char *tune;    // LLVM's name of the processor to be fast on; NULL: the cpu
  const char *runtime; // which of the executors in the compiler goes into artefacts
  // Of a common processor of the row, for estimates where the one that will run the model is not at hand: its clock, and
  // multiply-adds of vectors a cycle (pairs of a multiplication and an addition without fma).
  double ghz, fmas;
  bool dot16, dot8; // E_DOT16 and E_DOT8 of vectors are one instruction, x86's
};

const Target *target_find(Ctx *c, const char *name); // by name; NULL if unknown
const Target *target_default(Ctx *c);                // x86-64-v3 on x86-64
int target_count(void);
const Target *target_at(int i);

// ---- text.c, text_*.c: print and parse --------------------------------------------------------------------

// Prints a module at its level. Constants of up to 16 elements are printed inline; larger ones by reference:
// to their file, or to one in the folder of `blobs`, where tensors from no file are put (NULL: inline all).
typedef struct BlobFile BlobFile;
BlobFile *blob_new(Ctx *c, const char *folder); // made when first needed
void module_print(Str *out, const Module *m, BlobFile *blobs);
// The same, and notes the line of every kernel and statement in them (debug information points there); variables
// take the names that they are printed with.
void module_print_numbered(Str *out, Module *m, BlobFile *blobs);
// Without header, locations and origins: for tests and people.
void module_print_plain(Str *out, const Module *m);
// Gives values, and variables of kernels with loops, from which passes take statements away, the unique names that
// printing would give them. The pass manager calls it after every pass, so that names (which reach the artefact) do not
// depend on whether a dump was read back in between.
void module_unique_names(Module *m);
void graph_print(Str *out, const Graph *g);
void node_print_op(Str *out, const Node *n); // op and attributes, without operands
void kernel_print(Str *out, const Kernel *k);
void schedule_print(Str *out, const Schedule *s); // product(mr=6, nv=2)
void expr_print(Str *out, const Expr *e);
void stmt_print(Str *out, const Stmt *s, int indent);
char *expr_text(Ctx *c, const Expr *e);
// Parses what module_print printed; NULL after reporting. Relative paths are looked up beside src->path.
Module *module_parse(Ctx *c, const Source *src);
// Parses an element-wise formula (OpInfo.expr, YAML): names resolve through `lookup`.
const Expr *expr_parse(Ctx *c, const Source *src, const char *text,
                       const Expr *(*lookup)(void *data, const char *name), void *data);

// ---- verify.c ---------------------------------------------------------------------------------------------

// Checks every invariant of the module's level; reports what is broken (as an internal error, naming the
// pass) and returns false. At loops level it proves every access inside its buffer by interval arithmetic.
bool module_verify(Module *m, const char *after_pass);
// Every value's type, layout and place in memory alone: what is left to check after the memory plan where kernels
// were proved one by one.
bool module_verify_places(Module *m, const char *after_pass);
// Checks the loops of one kernel after another as module_verify does, but says nothing: *why is the reason.
typedef struct Prover Prover;
Prover *prover_new(Module *m);
bool prover_kernel(Prover *p, const Node *n, const char **why);

// ---- eval.c: the reference evaluator ----------------------------------------------------------------------

// Evaluates the module at whatever level it is, serially and literally. in[i] must match the main graph's
// inputs (extents within bounds). Returns false after reporting.
bool eval_module(Module *m, const Tensor *const *in, Tensor **out);
// Evaluates one node on constant operands (NULL for absent ones).
bool eval_node(Ctx *c, const Node *n, const Tensor *const *in, Tensor **out);
// Calls `watch` with every value computed (verify's per-value comparison).
typedef void (*EvalWatch)(void *data, const Value *v, const Tensor *t);
bool eval_module_watch(Module *m, const Tensor *const *in, Tensor **out, EvalWatch watch, void *data);

#endif
