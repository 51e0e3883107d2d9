// yaml.h: what the files of the YAML front end share. The format is described in docs/yaml.md.
// SPDX-License-Identifier: Apache-2.0
//
// The way of a file: yaml_tree.c reads it into nodes that know their places; yaml_expr.c parses the
// expressions in them; yaml_model.c goes through the sections and runs the graph's steps, which is a small
// language evaluated while the model is read: numbers and lists are values of this evaluation, tensors are
// values of the graph being built.
#ifndef INGOT_YAML_H
#define INGOT_YAML_H

#include "frontend/frontend.h"
#include "frontend/weights.h"

enum {
  YAML_MAX_NODES = 1000000, // with aliases expanded
  YAML_MAX_STEPS = 1000000, // evaluated expressions, repetitions included
  YAML_MAX_CALLS = 64,      // blocks inside blocks
  YAML_MAX_LIST = 1 << 20,  // items of a list that is computed
};

// ---- yaml_tree.c: the document ------------------------------------------------------------------------------

typedef enum YKind { Y_SCALAR, Y_LIST, Y_MAP } YKind;

typedef struct YNode YNode;
typedef struct YPair {
  YNode *key, *value; // keys are scalars
} YPair;

struct YNode {
  YKind kind;
  Loc loc;
  const char *text; // of a scalar, NUL-terminated
  size_t n;
  size_t begin, end; // bytes of the source it comes from
  Vec(YNode *) items;
  Vec(YPair) pairs;
  Map *index;                 // of a map: key -> value
  int64_t weight;             // nodes in it, aliases expanded
  bool open;                  // being read: an alias to it would be endless
  const struct XExpr *parsed; // by yaml_eval_node
  bool parse_failed;
};

YNode *yaml_read(Ctx *c, const Source *src); // NULL after reporting
// Goes through a scalar's text from its beginning; offsets asked for must not fall.
typedef struct YCursor {
  const YNode *node;
  size_t offset, at; // in the text, in the source
  Loc loc;
  char quote;
} YCursor;
YCursor yaml_cursor(const YNode *scalar);
Loc yaml_place(YCursor *c, size_t offset);          // of a character of the text
YNode *yaml_get(const YNode *map, const char *key); // NULL if absent

// ---- yaml_expr.c: expressions as trees ----------------------------------------------------------------------

typedef enum XKind {
  X_INT,
  X_FLOAT,
  X_STRING,
  X_NAME,
  X_LIST,   // args
  X_UNARY,  // op args[0]
  X_BINARY, // args[0] op args[1]
  X_RANGE,  // args[0] .. args[1], both included
  X_CALL,   // text@label(args)
  X_INDEX,  // args[0][args[1], ...]
  X_SLICE,  // args[0] : args[1] : args[2], each may be NULL
  X_ELLIPSIS
} XKind;

typedef struct XExpr XExpr;

// A name with computed parts: layer{i}.conv
typedef struct XPart {
  const char *text;
  const XExpr *expr; // instead of text
} XPart;
typedef struct XName {
  Vec(XPart) parts;
} XName;

struct XExpr {
  XKind kind;
  Loc loc;
  const char *text; // name, string, operator
  int64_t i;
  double f;
  const XName *label; // of a call, or NULL
  Vec(const XExpr *) args;
  Vec(const char *) keys; // of a call's arguments, NULL where positional
};

const XExpr *yaml_expr(Ctx *c, const YNode *n);      // of a scalar or a list of them; NULL after reporting
const XName *yaml_name(Ctx *c, const YNode *n);      // a step's key
const XExpr *yaml_signature(Ctx *c, const YNode *n); // name(a, b=1): a call whose arguments are names
// name: type, as in f32[B<=8, 64]. Declares symbols through `symbol`.
typedef struct XType {
  DType dtype;
  Loc loc;
  Vec(const XExpr *) dims;   // extents
  Vec(const XExpr *) bounds; // NULL where none is given
} XType;
bool yaml_type(Ctx *c, const YNode *n, XType *out);

// ---- values --------------------------------------------------------------------------------------------------

typedef enum VKind {
  V_ERROR, // was reported; silently spreads
  V_NONE,
  V_INT,
  V_FLOAT,
  V_BOOL,
  V_STRING,
  V_WORD, // a name that stands for nothing: good where a string is wanted (mode=edge)
  V_DTYPE,
  V_DIM, // symbolic
  V_LIST,
  V_TENSOR
} VKind;

typedef struct Val Val;
struct Val {
  VKind kind;
  union {
    int64_t i;
    double f;
    const char *s;
    DType t;
    Dim dim;
    Value *v;
    struct {
      int n;
      const Val *items;
    };
  };
};

static const Val VAL_ERROR = {.kind = V_ERROR};
static inline Val val_int(int64_t i) {
  return (Val){.kind = V_INT, .i = i};
}
static inline Val val_float(double f) {
  return (Val){.kind = V_FLOAT, .f = f};
}
static inline Val val_bool(bool b) {
  return (Val){.kind = V_BOOL, .i = b};
}
static inline Val val_tensor(Value *v) {
  return v ? (Val){.kind = V_TENSOR, .v = v} : VAL_ERROR;
}
static inline Val val_list(const Val *items, int n) {
  return (Val){.kind = V_LIST, .n = n, .items = items};
}

// ---- the model being read --------------------------------------------------------------------------------------

typedef struct Frame {
  Map *vars; // name -> Val *
  Vec(const char *) names;
  const YNode *steps; // of the block, for messages
} Frame;

typedef struct Block {
  const char *name;
  const XExpr *signature; // a call
  YNode *body;
} Block;

typedef struct WeightSet WeightSet;

// A state whose next value is not known yet: what its name stands for when the steps are done.
typedef struct OpenState {
  const char *name;
  int input;
  YNode *init; // NULL: zeros
  Loc loc;
} OpenState;

typedef struct Yaml {
  Ctx *ctx;
  Module *module;
  Graph *graph;
  const FrontendOptions *options;
  Frame *frame;   // of the block being run
  Frame *globals; // parameters and symbols
  Map *blocks;
  Vec(const char *) block_names;
  const YNode *defaults; // layer -> arguments
  WeightSet *weights;
  Vec(const char *) symbols; // declared, those that the user fixed included
  Map *taken;                // names of values and layers
  const char *scope;         // of layers: "" or "layer1.0"
  // the step being run:
  const char *key;  // its name, with the scope
  bool key_is_free; // the one unnamed layer in it gets the name
  Vec(OpenState) states;
  int64_t least_extent; // of the symbols that are being declared
  int calls;            // blocks inside blocks
  int steps;            // evaluated so far
} Yaml;

Module *yaml_load(Ctx *c, const Source *src, const FrontendOptions *o);
// frontend.c: the user's name for the module, or the file's as a C identifier.
const char *frontend_name(Ctx *c, const char *path, const FrontendOptions *o);

// ---- yaml_steps.c -----------------------------------------------------------------------------------------------

// Runs steps in the present frame; the value is that of `return` or of the last step.
Val yaml_run_steps(Yaml *y, YNode *steps);

// ---- yaml_eval.c ------------------------------------------------------------------------------------------------

Val yaml_eval(Yaml *y, const XExpr *e);
bool yaml_tick(Yaml *y, Loc loc);      // counts a step; false, reported once, if there were too many
Val yaml_eval_node(Yaml *y, YNode *n); // parsed once
const char *yaml_eval_name(Yaml *y, const XName *n, Loc loc); // NULL after reporting
const Val *yaml_lookup(const Yaml *y, const char *name);
void yaml_bind(Yaml *y, Frame *f, const char *name, Val v);
Frame *yaml_frame(Yaml *y);
Val yaml_fail(Yaml *y, Loc loc, const char *fmt, ...) PRINTF_LIKE(3, 4); // VAL_ERROR
const char *val_kind(const Val *v);                                      // "a number", for messages
static inline bool val_is_number(const Val *v) {
  return v->kind == V_INT || v->kind == V_FLOAT;
}
// Is v an error, or a word that stands for nothing (reported now)?
bool yaml_is_bad(Yaml *y, const Val *v, Loc loc);

// ---- yaml_operator.c --------------------------------------------------------------------------------------------

Val yaml_unary(Yaml *y, const XExpr *e, Val x);
Val yaml_binary(Yaml *y, const XExpr *e, Val a, Val b);

// ---- yaml_call.c: calls of blocks, functions, layers and ops --------------------------------------------------------

typedef struct Arg {
  const char *key; // NULL: positional
  Val val;
  Loc loc;
  bool used;
} Arg;

// A call with its arguments evaluated.
typedef struct Args {
  Vec(Arg) list;
  const XExpr *call;
  const char *what; // "conv", for messages
  Loc loc;
} Args;

Val yaml_call(Yaml *y, const XExpr *e);
// Argument `name`, or positional number k (named ones not counted; -1: by name only); NULL if absent. Marks
// it used.
const Arg *args_take(Args *a, const char *name, int k);
// Reports what was not used. False if there was something.
bool args_done(Yaml *y, const Args *a);
// The name of the layer that a call makes: its label, or the step's, or one made up.
// NULL after reporting: a layer whose weights it would share without saying so.
const char *yaml_layer_name(Yaml *y, const XExpr *call, bool share);
const char *yaml_label(Yaml *y, const XExpr *call); // the call's label, with the scope
char *yaml_unique(Yaml *y, const char *name);       // name, or name_2 ...; taken from now on
bool yaml_makes_layers(const Yaml *y, const XExpr *call);

// ---- yaml_op.c: ops -----------------------------------------------------------------------------------------------

Val yaml_op(Yaml *y, const Op *op, Args *args);
// A node of the op with given operands; what is left of args are attributes. `name`: of the result, or NULL.
Val yaml_op_on(Yaml *y, const char *name, Value *const *in, int nin, Args *args, const char *result);
// The same without arguments.
Value *yaml_build(Yaml *y, const char *op, Loc loc, Value *const *in, int nin, const Attr *attrs, int nattrs);
Value *yaml_scalar(Yaml *y, DType t, const Val *v, Loc loc);
bool yaml_int(Yaml *y, const Val *v, Loc loc, const char *what, int64_t *out);
bool yaml_dim(Yaml *y, const Val *v, Loc loc, Dim *d);                    // an extent: number or symbol
bool yaml_dims(Yaml *y, const Val *v, Loc loc, const Dim **dims, int *n); // a list of them, or one
Val yaml_dim_val(Dim d);

// ---- yaml_builtin.c: functions of the evaluation, indexing --------------------------------------------------------

typedef Val (*YamlFn)(Yaml *y, Args *args);
YamlFn yaml_builtin(const char *name, const Args *args); // NULL if there is none for such arguments
const char *const *yaml_builtin_names(int *n);
Val yaml_index(Yaml *y, const XExpr *e);

// ---- yaml_layers.c ------------------------------------------------------------------------------------------------

// Layers make their own weights. NULL if `name` is no layer or the arguments are those of the plain op.
YamlFn yaml_layer(const char *name, const Args *args);
bool yaml_is_layer(const char *name);
const char *const *yaml_layer_names(int *n);

// ---- yaml_states.c ------------------------------------------------------------------------------------------------

void yaml_state_open(Yaml *y, const char *name, int input, YNode *init, Loc loc);
void yaml_states_close(Yaml *y); // after the steps: pairs them with their next values
// cache@name(x, axis, length): x behind all that earlier runs gave it, along axis.
Val layer_cache(Yaml *y, Args *args);

// ---- yaml_weights.c -----------------------------------------------------------------------------------------------

typedef enum InitKind {
  INIT_DEFAULT,
  INIT_HE,
  INIT_GLOROT,
  INIT_NORMAL,
  INIT_UNIFORM,
  INIT_CONSTANT
} InitKind;

typedef struct Init {
  InitKind kind;
  double value;            // standard deviation, range or constant
  int64_t fan_in, fan_out; // for He and Glorot
} Init;

// The file that a scalar names, looked up beside the model and not outside its folder. NULL after reporting.
const char *yaml_path(Yaml *y, const YNode *n);
WeightSet *yaml_weights_open(Yaml *y, const YNode *n);            // NULL after reporting
bool yaml_init_parse(Yaml *y, const Val *v, Loc loc, Init *init); // "he", "zeros", normal(0.02) ...
// The constant `name` of the given type: from the files, or initialised. NULL after reporting.
Value *yaml_weight(Yaml *y, Loc loc, const char *name, const Type *type, Init init);
// From the files, whatever its type.
Value *yaml_weight_untyped(Yaml *y, Loc loc, const char *name);
void init_fill(Tensor *t, Init init, uint64_t seed);

#endif
