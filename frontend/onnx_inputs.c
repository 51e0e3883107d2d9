// onnx_inputs.c: the inputs of an ONNX model: their types, with the dimensions that the user gave.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_scope.h"
#include "frontend/states.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

// A dimension the user gave: an extent, or a bound.
typedef struct DimGiven {
  const char *name, *symbol; // symbol NULL: named as the dimension
  int64_t value;             // the extent or its bound
  int64_t multiple;          // "32*H<=960": the extent is 32 times the symbol
  bool is_bound, used;
} DimGiven;

typedef struct Inputs {
  Import *im;
  Vec(DimGiven) dims;
  Vec(const char *) missing; // dimensions that nobody gave, each once
  int64_t least;             // of the symbolic dimensions of this input
  bool failed;
} Inputs;

static void fault(Inputs *s, Loc loc, const char *text) {
  diag_error(s->im->ctx->diag, loc, "%s", text);
  s->failed = true;
}

// A C identifier like `name`: symbols are written in the IR's text form.
static const char *identifier(Arena *a, const char *name) {
  char *id = arena_printf(a, "%s%s", isdigit((unsigned char)name[0]) ? "d" : "", name);
  for (char *p = id; *p; p++) {
    if (!isalnum((unsigned char)*p)) *p = '_';
  }
  return id;
}

// ---- what the user gave ---------------------------------------------------------------------------------------

static bool parse_extent(const char *s, const char **end, int64_t *v) {
  char *stop;
  errno = 0;
  if (!isdigit((unsigned char)*s)) return false;
  *v = strtoll(s, &stop, 10);
  *end = stop;
  return errno == 0 && *v <= MAX_ELEMENTS;
}

// "SYM=4", "SYM<=512" or "32*SYM<=512"
static bool parse_dim(Arena *a, const char *text, DimGiven *out) {
  const char *star;
  int64_t multiple = 1;
  bool scaled = parse_extent(text, &star, &multiple) && *star == '*' && multiple > 0;
  if (scaled) text = star + 1;
  size_t n = strcspn(text, "<=");
  const char *end = text + n;
  if (n == 0 || !*end) return false;
  *out = (DimGiven){.name = arena_strndup(a, text, n), .is_bound = strncmp(end, "<=", 2) == 0};
  out->multiple = scaled ? multiple : 1;
  if (*end == '<' && !out->is_bound) return false;
  return parse_extent(end + (out->is_bound ? 2 : 1), &end, &out->value) && *end == '\0';
}

static void parse_dims(Inputs *s) {
  const FrontendOptions *user = s->im->options->user;
  for (int i = 0; user && i < user->dims.n; i++) {
    DimGiven g;
    if (parse_dim(s->im->ctx->arena, user->dims.data[i], &g)) {
      vec_push(s->im->ctx->arena, &s->dims, g);
    } else {
      fault(s, NO_LOC,
            arena_printf(s->im->ctx->arena, "the dimension '%s' is not written as NAME=EXTENT or NAME<=BOUND",
                         user->dims.data[i]));
    }
  }
}

// The text behind "INPUT=" among the shapes given, or NULL.
static const char *shape_given(Inputs *s, const char *input) {
  const FrontendOptions *user = s->im->options->user;
  size_t n = strlen(input);
  for (int i = 0; user && i < user->shapes.n; i++) {
    const char *text = user->shapes.data[i];
    if (strncmp(text, input, n) == 0 && text[n] == '=') return text + n + 1;
  }
  return NULL;
}

static DimGiven *find_dim(Inputs *s, const char *name) {
  const char *id = identifier(s->im->ctx->arena, name);
  for (int i = 0; i < s->dims.n; i++) {
    DimGiven *g = &s->dims.data[i];
    if (strcmp(g->name, name) == 0 || strcmp(g->name, id) == 0) return g;
  }
  return NULL;
}

static Dim symbol(Inputs *s, const char *name, const DimGiven *g, Loc loc) {
  Ctx *c = s->im->ctx;
  if (g->value < g->multiple) {
    fault(s, loc,
          arena_printf(c->arena, "the bound %lld of '%s' leaves no extent", (long long)g->value, name));
    return dim_const(1);
  }
  Sym *sym = module_sym(s->im->module, identifier(c->arena, name), s->least, g->value / g->multiple, loc);
  return dim_expr(c, ex_mul(c, ex_idx(c, g->multiple), ex_sym(c, sym)));
}

// ---- types ----------------------------------------------------------------------------------------------------

static const char *dim_name(Arena *a, const char *input, int axis, const OnnxDim *d) {
  if ((d->has & ONNX_HAS_PARAM) && d->param[0]) return d->param;
  return arena_printf(a, "%s_%d", input, axis);
}

static bool dim_is_fixed(const OnnxDim *d) {
  return (d->has & ONNX_HAS_VALUE) && d->value >= 0;
}

static Dim resolve_name(Inputs *s, const char *name, Loc loc) {
  DimGiven *g = find_dim(s, name);
  if (!g) {
    for (int i = 0; i < s->missing.n; i++) {
      if (strcmp(s->missing.data[i], name) == 0) return dim_const(1);
    }
    vec_push(s->im->ctx->arena, &s->missing, name);
    return dim_const(1);
  }
  g->used = true;
  return g->is_bound ? symbol(s, g->symbol ? g->symbol : name, g, loc) : dim_const(g->value);
}

// "past + 1", as exporters write it, unless the user means the whole by its name.
static Dim resolve_sum(Inputs *s, const char *name, Loc loc) {
  Arena *a = s->im->ctx->arena;
  const char *plus = strchr(name, '+'), *end;
  int64_t n;
  if (parse_extent(name, &end, &n) && !end[strspn(end, " ")]) return dim_const(n);
  if (!plus || find_dim(s, name)) return resolve_name(s, name, loc);
  size_t left = (size_t)(plus - name);
  while (left && name[left - 1] == ' ') left--;
  Dim x = resolve_sum(s, arena_strndup(a, name, left), loc);
  return dim_binary(s->im->ctx, E_ADD, x, resolve_sum(s, plus + 1 + strspn(plus + 1, " "), loc));
}

static Dim resolve_dim(Inputs *s, const char *input, int axis, const OnnxDim *d, Loc loc) {
  if (dim_is_fixed(d)) return dim_const(d->value);
  return resolve_sum(s, dim_name(s->im->ctx->arena, input, axis, d), loc);
}

// "1,3,224,N<=224" into t. An extent that the file calls by a name is known by that name from here on.
static bool parse_shape(Inputs *s, const char *text, const OnnxShape *declared, Loc loc, Type *t) {
  Arena *a = s->im->ctx->arena;
  for (t->rank = 0; *text; t->rank++) {
    if (t->rank == MAX_RANK) return false;
    size_t n = strcspn(text, ",");
    const char *part = arena_strndup(a, text, n), *end;
    DimGiven g = {0};
    if (parse_extent(part, &end, &g.value) && *end == '\0') {
      t->dim[t->rank] = dim_const(g.value);
    } else if (parse_dim(a, part, &g)) {
      t->dim[t->rank] = g.is_bound ? symbol(s, g.name, &g, loc) : dim_const(g.value);
    } else {
      return false;
    }
    // The symbol keeps the user's name; other inputs find it by the file's.
    bool named = declared && t->rank < declared->ndims && declared->dims[t->rank].param[0];
    g.symbol = g.name;
    g.name = named ? declared->dims[t->rank].param : NULL;
    g.used = true;
    if (named && !find_dim(s, g.name)) vec_push(a, &s->dims, g);
    text += n;
    text += *text == ',';
  }
  return true;
}

static bool shape_of_type(Inputs *s, const char *input, const OnnxTensorType *tt, Loc loc, Type *t) {
  Ctx *c = s->im->ctx;
  const char *given = shape_given(s, input);
  if (given) {
    if (parse_shape(s, given, tt->shape, loc, t)) return true;
    fault(s, loc, arena_printf(c->arena, "the shape '%s' is not a list of extents", given));
    return false;
  }
  if (!tt->shape) {
    fault(s, loc, arena_printf(c->arena, "the shape is not known: give it with --shape %s=...", input));
    return false;
  }
  if (tt->shape->ndims > MAX_RANK) {
    fault(s, loc,
          arena_printf(c->arena, "it has %lld dimensions; at most %d are supported",
                       (long long)tt->shape->ndims, MAX_RANK));
    return false;
  }
  t->rank = (int)tt->shape->ndims;
  for (int i = 0; i < t->rank; i++) t->dim[i] = resolve_dim(s, input, i, &tt->shape->dims[i], loc);
  return true;
}

static const OnnxInput *beside(const Import *im, const char *name) {
  for (int i = 0; i < im->options->ninputs; i++) {
    if (strcmp(im->options->inputs[i].name, name) == 0) return &im->options->inputs[i];
  }
  return NULL;
}

static Loc input_loc(Import *im, const char *name) {
  return (Loc){.src = im->model->src, .what = arena_printf(im->ctx->arena, "input '%s'", name)};
}

// An input tensor. `given` may be NULL.
static Val *tensor_input(Inputs *s, const char *name, const OnnxTensorType *tt, const OnnxInput *given) {
  Import *im = s->im;
  Loc loc = input_loc(im, name);
  s->least = states_name_input(im->options->user, name) ? 0 : 1;
  if (given && given->strings) return val_strings(im, name, given->strings);
  if (given && given->frozen) {
    int32_t elem = tt ? tt->elem : onnx_elem_of(given->frozen->type.dtype);
    return val_tensor(im, name, graph_const(im->module->main, name, given->frozen, loc), elem);
  }
  Type t = {.dtype = tt ? onnx_dtype(tt->elem) : DT_NONE};
  if (given && given->type) {
    t = *given->type;
  } else if (t.dtype == DT_NONE) {
    fault(s, loc,
          arena_printf(im->ctx->arena, "inputs of element type %s are not supported",
                       onnx_elem_name(tt ? tt->elem : 0)));
    return NULL;
  } else if (!shape_of_type(s, name, tt, loc, &t)) {
    return NULL;
  }
  if (!type_check_size(im->ctx, loc, &t)) {
    s->failed = true;
    return NULL;
  }
  return val_tensor(im, name, graph_input(im->module->main, name, t, loc),
                    tt ? tt->elem : onnx_elem_of(t.dtype));
}

static Val *any_input(Inputs *s, const char *name, const OnnxType *type, const OnnxInput *given);

static Val *sequence_input(Inputs *s, const char *name, const OnnxType *elem, const OnnxInput *given) {
  Import *im = s->im;
  if (!given || !given->is_sequence) {
    fault(s, input_loc(im, name), "the length of a sequence input is not known");
    return NULL;
  }
  Val *v = val_new(im, VAL_SEQUENCE, name);
  for (int i = 0; i < given->nitems; i++) {
    const char *item_name = arena_printf(im->ctx->arena, "%s_%d", name, i);
    Val *item = any_input(s, item_name, elem, &given->items[i]);
    if (!item) return NULL;
    vec_push(im->ctx->arena, &v->items, item);
  }
  return v;
}

static Val *any_input(Inputs *s, const char *name, const OnnxType *type, const OnnxInput *given) {
  if (given && given->is_absent) return val_new(s->im, VAL_ABSENT, name);
  if (type && type->optional) return any_input(s, name, type->optional->elem, given);
  if (type && type->sequence) return sequence_input(s, name, type->sequence->elem, given);
  if (type && type->tensor) return tensor_input(s, name, type->tensor, given);
  fault(s, input_loc(s->im, name), "it is neither a tensor, a sequence nor an optional");
  return NULL;
}

// ---- all inputs -----------------------------------------------------------------------------------------------

static void report_missing(Inputs *s) {
  for (int i = 0; i < s->missing.n; i++) {
    const char *name = s->missing.data[i];
    Loc loc = {.src = s->im->model->src};
    fault(s, loc, arena_printf(s->im->ctx->arena, "the dimension '%s' is not known", name));
    diag_note(s->im->ctx->diag, NO_LOC,
              "fix it with --dim %s=EXTENT, or keep it open up to a bound with --dim '%s<=BOUND'", name,
              name);
  }
}

const char *declared_dim(Import *im, const char *value, int axis) {
  const OnnxGraph *g = im->model->graph;
  for (int64_t i = 0; i < g->nout + g->nvalues; i++) {
    const OnnxValueInfo *v = i < g->nout ? &g->out[i] : &g->values[i - g->nout];
    const OnnxShape *shape = v->type && v->type->tensor ? v->type->tensor->shape : NULL;
    if (strcmp(v->name, value) != 0 || !shape || axis >= shape->ndims) continue;
    const OnnxDim *d = &shape->dims[axis];
    return (d->has & ONNX_HAS_PARAM) && d->param[0] ? d->param : NULL;
  }
  return NULL;
}

bool given_bound(Import *im, const char *name, int64_t *bound) {
  Inputs s = {.im = im};
  parse_dims(&s);
  const DimGiven *g = find_dim(&s, name);
  if (g) *bound = g->value;
  return g != NULL;
}

// Does a loop's result have a dimension of this name? Its bound is the loop's.
static bool bounds_loop(Import *im, const OnnxGraph *g, const char *name) {
  for (int64_t i = 0; i < g->nnodes; i++) {
    const OnnxNode *n = &g->nodes[i];
    for (int64_t k = 0; strcmp(n->op, "Loop") == 0 && k < n->nout; k++) {
      const char *dim = declared_dim(im, n->out[k], 0);
      if (dim && strcmp(dim, name) == 0) return true;
    }
  }
  return false;
}

// Options that name nothing in the model are mistakes, not preferences.
static void report_unused(Inputs *s, const OnnxGraph *g) {
  Arena *a = s->im->ctx->arena;
  const FrontendOptions *user = s->im->options->user;
  for (int i = 0; i < s->dims.n; i++) {
    const DimGiven *d = &s->dims.data[i];
    if (!d->used && !bounds_loop(s->im, g, d->name))
      fault(s, NO_LOC, arena_printf(a, "the model has no dimension '%s'", d->name));
  }
  for (int i = 0; user && i < user->shapes.n; i++) {
    const char *text = user->shapes.data[i];
    bool found = false;
    for (int64_t k = 0; k < g->nin; k++) {
      size_t n = strlen(g->in[k].name);
      found |= strncmp(text, g->in[k].name, n) == 0 && text[n] == '=';
    }
    if (!found) fault(s, NO_LOC, arena_printf(a, "the shape '%s' names no input of the model", text));
  }
}

bool import_inputs(Import *im, const OnnxGraph *g) {
  Inputs s = {.im = im, .least = 1};
  parse_dims(&s);
  for (int64_t i = 0; i < g->nin; i++) { // given shapes bind names of dimensions of other inputs too
    const char *text = shape_given(&s, g->in[i].name);
    const OnnxType *type = g->in[i].type;
    Type unused = {0};
    if (text && type && type->tensor) {
      parse_shape(&s, text, type->tensor->shape, input_loc(im, g->in[i].name), &unused);
    }
  }
  for (int64_t i = 0; i < g->nin; i++) {
    const char *name = g->in[i].name;
    if (scope_declares(im->scope, name)) continue; // an initialiser is its default: taken as a constant
    Val *v = any_input(&s, name, g->in[i].type, beside(im, name));
    if (v) s.failed |= !scope_bind(im, im->scope, input_loc(im, name), v);
  }
  report_missing(&s);
  report_unused(&s, g);
  return !s.failed;
}
