// onnx_import.h: what the translators of ONNX operators (onnx_ops_*.c) stand on; private to onnx*.c.
// SPDX-License-Identifier: Apache-2.0
//
// A translator gets a Call: one node with its operands looked up. It reads attributes and operands through
// the accessors here, builds core ops with make() and sets the results with ret(). The first fault marks the
// call as failed; from then on make() returns a harmless dummy, so translators need not check every step.
// Nodes whose operands all are small constants are evaluated on the spot (mk does it), so shape arithmetic
// never reaches the graph.
#ifndef INGOT_ONNX_IMPORT_H
#define INGOT_ONNX_IMPORT_H

#include "frontend/onnx.h"
#include "frontend/onnx_tensor.h"

enum {
  ONNX_OPSET_MAX = 27,          // newest operator set the table was written for
  ONNX_FOLD_ELEMENTS = 1 << 14, // constants up to this size are computed during import
  ONNX_KNOWN_ELEMENTS = 1024,   // integer tensors up to this size are tracked as expressions
  ONNX_UNROLL_MAX = 4096,       // iterations of a loop that is unrolled
  ONNX_CALL_DEPTH = 64,         // functions in functions
  ONNX_PATH = 256,              // bytes of the calls' names that the names of nodes within begin with
  ONNX_IMPORT_NODES = 1 << 19,  // translated in all: functions that call others twice grow without end
  ONNX_OUTPUTS = 1 << 16,       // of the module: items of sequences count
};

typedef struct Import Import;
typedef struct Call Call;
typedef struct Scope Scope;

typedef enum ValKind { VAL_TENSOR, VAL_SEQUENCE, VAL_ABSENT, VAL_STRINGS, VAL_CODES, VAL_FAILED } ValKind;

// What an ONNX name stands for.
typedef struct Val {
  ValKind kind;
  const char *name;
  int32_t elem;              // ONNX element type
  Value *v;                  // VAL_TENSOR; VAL_CODES: the number of each element's string in `strings`
  Vec(struct Val *) items;   // VAL_SEQUENCE: its length is known during import
  const OnnxTensor *strings; // VAL_STRINGS: a constant; VAL_CODES: those that there can be
} Val;

typedef bool (*OnnxFn)(Call *c);

// One row per operator and domain. `arg` parametrises translators that serve several rows. A row without a
// function says in `arg` why the operator cannot be supported.
typedef struct OnnxOp {
  const char *domain, *name;
  OnnxFn fn;
  const char *arg;
} OnnxOp;

extern const OnnxOp ONNX_OPS_ELEMENTWISE[], ONNX_OPS_SHAPE[], ONNX_OPS_INDEX[], ONNX_OPS_REDUCE[],
    ONNX_OPS_LINEAR[], ONNX_OPS_CONV[], ONNX_OPS_POOL[], ONNX_OPS_NORM[], ONNX_OPS_RECURRENT[],
    ONNX_OPS_CONTROL[], ONNX_OPS_SEQUENCE[], ONNX_OPS_IMAGE[], ONNX_OPS_QUANT[], ONNX_OPS_SIGNAL[],
    ONNX_OPS_LOSS[], ONNX_OPS_RANDOM[], ONNX_OPS_ATTENTION[], ONNX_OPS_SORT[], ONNX_OPS_TEXT[],
    ONNX_OPS_CONTRIB[], ONNX_OPS_CONTRIB_QUANT[], ONNX_OPS_CONTRIB_ATTENTION[], ONNX_OPS_ML[],
    ONNX_OPS_ML_SCORES[], ONNX_OPS_ML_TREES[], ONNX_OPS_ML_SVM[], ONNX_OPS_REFUSED[];

struct Call {
  Import *im;
  const OnnxNode *node;
  const OnnxOp *op;
  int version; // operator set of the node's domain
  Loc loc;
  Scope *scope;
  int nin, nout;
  Val **in, **out; // in: NULL where absent
  bool failed;
};

// ---- onnx_call.c: accessors -----------------------------------------------------------------------------------

// Reports at the node and marks the call failed. Always false.
bool call_fail(Call *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
Ctx *call_ctx(const Call *c);
Arena *call_arena(const Call *c);

// Attributes. A wrong kind is reported; an absent one gives the default.
const OnnxAttr *attr_find(Call *c, const char *name, int32_t type); // NULL if absent (or not of the type)
bool attr_has(Call *c, const char *name);
int64_t attr_i(Call *c, const char *name, int64_t or_else);
double attr_f(Call *c, const char *name, double or_else);
const char *attr_s(Call *c, const char *name, const char *or_else);
int attr_is(Call *c, const char *name, const int64_t **v); // how many; 0 if absent
int attr_fs(Call *c, const char *name, const float **v);
bool attr_required(Call *c, const char *name, int32_t type); // reports if it is not there

// Operands. `arg` reports if it is absent or not a tensor; `arg_opt` gives NULL for an absent one.
bool has_arg(const Call *c, int k);
Value *arg(Call *c, int k);
Value *arg_opt(Call *c, int k);
int32_t arg_elem(const Call *c, int k); // ONNX element type, ONNX_UNDEFINED if absent
// Contents that must be known during import: reports if they are not. Return how many, -1 on a fault.
int arg_ints(Call *c, int k, const int64_t **v);
int arg_floats(Call *c, int k, const double **v);
int arg_dims(Call *c, int k, Dim *dims, int room); // may be symbolic
bool arg_int(Call *c, int k, int64_t *v);          // one element
bool arg_float(Call *c, int k, double *v);
const Tensor *arg_const(Call *c, int k); // NULL (without a report) if it is not a constant
// Integers from attribute `name` before operator set `since`, from operand k from then on. 0 if neither.
int ints_of(Call *c, const char *name, int since, int k, const int64_t **v);
int axis_of(Call *c, int64_t axis, int rank); // brought into [0, rank); reports and gives 0 if it is not

int rank_of(const Value *v);
Dim dim_of(const Value *v, int axis);

// ---- building --------------------------------------------------------------------------------------------------

Value *make(Call *c, const char *op, Value *const *in, int nin, const Attr *attrs, int nattrs);
// The first nout results.
Value **make_all(Call *c, const char *op, Value *const *in, int nin, const Attr *attrs, int nattrs, int nout);
Value *make_const(Call *c, const Tensor *t);
Value *make_ints(Call *c, const int64_t *v, int n);     // i64[n]
Value *make_scalar(Call *c, DType t, double v);         // rank 0
Value *make_like(Call *c, const Value *like, double v); // scalar of the same element type
Value *make_cast(Call *c, Value *v, DType t);           // itself if it has that type
Value *make_unary(Call *c, const char *op, Value *x);
Value *make_binary(Call *c, const char *op, Value *x, Value *y);
Value *make_reshape(Call *c, Value *v, const Dim *dims, int rank);
Value *make_transpose(Call *c, Value *v, const int64_t *perm);
Value *make_unsqueeze_last(Call *c, Value *v, int count); // adds trailing extents of 1
Value *make_slice(Call *c, Value *v, int axis, int64_t from, int64_t to);
Value *make_concat(Call *c, Value *const *v, int n, int axis);
Value *make_scaled(Call *c, Value *v, double by);                // v times a number
Value *make_random(Call *c, const Dim *dims, int rank, DType t); // in [0, 1), by the node's seed
Value *positions(Call *c, Dim n, int before, int after); // 0, 1, ... as i64 with extents of 1 around it
Value *make_dummy(Call *c);
Value *make_activation(Call *c, const char *name, Value *x, const float *params, int n); // by its ONNX name
Value *scalar_if_one(Call *c, Value *v); // one element of any rank as a scalar; NULL stays NULL
// Casts to and from types narrower than a byte and floats of a byte, with their rounding (onnx_small.c).
bool cast_small(Call *c, int32_t to);
bool cast_strings(Call *c, const OnnxTensor *strings, int32_t to); // constant ones, read as numbers
Value *make_small(Call *c, Value *x, int32_t to, bool saturate);

// Results. ret sets result k from a tensor; its ONNX type is the exact one of the IR's unless given.
bool ret(Call *c, int k, Value *v);
bool ret_as(Call *c, int k, Value *v, int32_t elem);
bool ret_val(Call *c, int k, Val *v);
// Strings of a list of n, by number.
bool ret_codes(Call *c, int k, Value *number, const OnnxBytes *strings, int64_t n);
bool ret_sequence(Call *c, int k, Val *const *items, int n);
bool wants(const Call *c, int k); // result k is asked for

Val *val_tensor(Import *im, const char *name, Value *v, int32_t elem);
Val *val_new(Import *im, ValKind kind, const char *name);
Val *val_strings(Import *im, const char *name, const OnnxTensor *strings);

// ---- onnx_support.c ----------------------------------------------------------------------------------------------

// Translates the node as if it were operator `name` of the default domain, with its first nin operands. Results
// are in c->out, for the caller to go on with.
bool call_as(Call *c, const char *name, int nin);

// ---- onnx_known.c: shape arithmetic over symbols ---------------------------------------------------------------

// Contents of a small integer or bool tensor as expressions of its element type over symbols: a constant's,
// or what known_derive found before. NULL if not known.
const Expr *const *known_contents(Import *im, const Value *v);
// Finds and remembers the contents of a node's result from its operands' contents. NULL if it cannot.
const Expr *const *known_derive(Import *im, const Value *v);
// An integer element as i64, without the casts on the way if they change nothing.
const Expr *known_extent(Import *im, const Expr *e);
Tensor *known_tensor(Import *im, const Value *v, const Expr *const *known); // NULL if symbols are left

// ---- onnx_import.c: graphs within graphs -----------------------------------------------------------------------

struct Import {
  Ctx *ctx;
  Module *module;
  const OnnxModel *model;
  const OnnxOptions *options;
  OnnxFiles *files;
  Builder b; // where nodes are made now
  Scope *scope;
  Map *ops; // "domain:name" -> OnnxOp
  Value *dummy;
  int depth, translated, outputs; // functions around; nodes and outputs up to now
  Vec(const Expr *const *) known; // by value id
};

// Translates a subgraph in place (in the builder's graph), with `args` for its inputs (nargs may be fewer
// than the inputs, never more). Its outputs go to `outs`. False after reporting.
bool import_inline(Call *c, const OnnxGraph *g, Val *const *args, int nargs, Val **outs);

#endif
