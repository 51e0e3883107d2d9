// onnx_call.c: what translators of ONNX operators use: attributes, operands, building, results.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"
#include "frontend/onnx_scope.h"

bool call_fail(Call *c, const char *fmt, ...) {
  if (c->failed) return false; // one report per node: what follows is a consequence
  c->failed = true;
  va_list ap;
  va_start(ap, fmt);
  diag_error(c->im->ctx->diag, c->loc, "%s", arena_vprintf(c->im->ctx->arena, fmt, ap));
  va_end(ap);
  return false;
}

Ctx *call_ctx(const Call *c) {
  return c->im->ctx;
}

Arena *call_arena(const Call *c) {
  return c->im->ctx->arena;
}

// ---- attributes ---------------------------------------------------------------------------------------------

// The kind of an attribute; IR version 1 did not store it.
static int32_t attr_type(const OnnxAttr *a) {
  if (a->type != ONNX_ATTR_UNDEFINED) return a->type;
  if (a->has & ONNX_HAS_ATTR_F) return ONNX_ATTR_FLOAT;
  if (a->has & ONNX_HAS_ATTR_I) return ONNX_ATTR_INT;
  if (a->has & ONNX_HAS_ATTR_S) return ONNX_ATTR_STRING;
  if (a->t) return ONNX_ATTR_TENSOR;
  if (a->g) return ONNX_ATTR_GRAPH;
  if (a->nfloats) return ONNX_ATTR_FLOATS;
  if (a->nints) return ONNX_ATTR_INTS;
  return a->nstrings ? ONNX_ATTR_STRINGS : ONNX_ATTR_UNDEFINED;
}

static const OnnxAttr *attr_any(Call *c, const char *name) {
  for (int64_t i = 0; i < c->node->nattrs; i++) {
    const OnnxAttr *a = &c->node->attrs[i];
    if (strcmp(a->name, name) == 0) return scope_attr(c->scope, a);
  }
  return NULL;
}

const OnnxAttr *attr_find(Call *c, const char *name, int32_t type) {
  const OnnxAttr *a = attr_any(c, name);
  if (!a) return NULL;
  int32_t is = attr_type(a);
  // An empty list does not say of what.
  if (is == type || (is == ONNX_ATTR_UNDEFINED && type >= ONNX_ATTR_FLOATS)) return a;
  call_fail(c, "attribute '%s' must be %s, not %s", name, onnx_attr_type_name(type), onnx_attr_type_name(is));
  return NULL;
}

bool attr_has(Call *c, const char *name) {
  return attr_any(c, name) != NULL;
}

int64_t attr_i(Call *c, const char *name, int64_t or_else) {
  const OnnxAttr *a = attr_find(c, name, ONNX_ATTR_INT);
  return a ? a->i : or_else;
}

double attr_f(Call *c, const char *name, double or_else) {
  const OnnxAttr *a = attr_find(c, name, ONNX_ATTR_FLOAT);
  return a ? a->f : or_else;
}

const char *attr_s(Call *c, const char *name, const char *or_else) {
  const OnnxAttr *a = attr_find(c, name, ONNX_ATTR_STRING);
  return a ? arena_strndup(call_arena(c), (const char *)a->s.p, a->s.n) : or_else;
}

int attr_is(Call *c, const char *name, const int64_t **v) {
  const OnnxAttr *a = attr_find(c, name, ONNX_ATTR_INTS);
  *v = a ? a->ints : NULL;
  return a ? (int)a->nints : 0;
}

int attr_fs(Call *c, const char *name, const float **v) {
  const OnnxAttr *a = attr_find(c, name, ONNX_ATTR_FLOATS);
  *v = a ? a->floats : NULL;
  return a ? (int)a->nfloats : 0;
}

bool attr_required(Call *c, const char *name, int32_t type) {
  return attr_find(c, name, type) || call_fail(c, "attribute '%s' is missing", name);
}

// ---- operands -----------------------------------------------------------------------------------------------

bool has_arg(const Call *c, int k) {
  return k < c->nin && c->in[k] && c->in[k]->kind != VAL_ABSENT;
}

Value *arg_opt(Call *c, int k) {
  if (!has_arg(c, k)) return NULL;
  if (c->in[k]->kind == VAL_TENSOR) return c->in[k]->v;
  call_fail(c, "operand %d ('%s') must be a tensor", k, c->in[k]->name);
  return make_dummy(c);
}

Value *arg(Call *c, int k) {
  Value *v = arg_opt(c, k);
  if (v) return v;
  call_fail(c, "operand %d is missing", k);
  return make_dummy(c);
}

int32_t arg_elem(const Call *c, int k) {
  return has_arg(c, k) ? c->in[k]->elem : ONNX_UNDEFINED;
}

const Tensor *arg_const(Call *c, int k) {
  Value *v = arg_opt(c, k);
  return v ? v->data : NULL;
}

static int not_known(Call *c, int k) {
  call_fail(c, "operand %d ('%s') must be known when the model is compiled", k, c->in[k]->name);
  return -1;
}

int arg_ints(Call *c, int k, const int64_t **v) {
  Value *x = arg(c, k);
  if (c->failed) return -1;
  const Expr *const *known = known_contents(c->im, x);
  int64_t n = type_elements(&x->type);
  if (!known && !x->data) return not_known(c, k);
  if (n > INT32_MAX) return not_known(c, k);
  int64_t *out = NEW_ARRAY(call_arena(c), int64_t, n + 1);
  for (int64_t i = 0; i < n; i++) {
    if (x->data) {
      out[i] = tensor_get_int(x->data, i);
    } else if (!expr_is_const_int(known[i], &out[i])) {
      return not_known(c, k);
    }
  }
  *v = out;
  return (int)n;
}

int arg_floats(Call *c, int k, const double **v) {
  Value *x = arg(c, k);
  if (c->failed) return -1;
  int64_t n = type_elements(&x->type);
  if (!x->data || n > INT32_MAX) return not_known(c, k);
  double *out = NEW_ARRAY(call_arena(c), double, n + 1);
  for (int64_t i = 0; i < n; i++) out[i] = tensor_get(x->data, i);
  *v = out;
  return (int)n;
}

int arg_dims(Call *c, int k, Dim *dims, int room) {
  Value *x = arg(c, k);
  if (c->failed) return -1;
  const Expr *const *known = known_contents(c->im, x);
  if (!known && x->data && dtype_is_float(x->type.dtype)) { // OneHot's depth may be any number
    x = make_cast(c, x, DT_I64);
    known = known_contents(c->im, x);
  }
  if (!known) return not_known(c, k);
  int n = (int)type_elements(&x->type);
  if (n > room) return call_fail(c, "operand %d gives %d extents; at most %d are supported", k, n, room), -1;
  for (int i = 0; i < n; i++) dims[i] = dim_expr(c->im->ctx, known_extent(c->im, known[i]));
  return n;
}

bool arg_int(Call *c, int k, int64_t *v) {
  const int64_t *all;
  int n = arg_ints(c, k, &all);
  if (n == 1) return *v = all[0], true;
  return n < 0 ? false : call_fail(c, "operand %d ('%s') must have one element", k, c->in[k]->name);
}

bool arg_float(Call *c, int k, double *v) {
  const double *all;
  int n = arg_floats(c, k, &all);
  if (n == 1) return *v = all[0], true;
  return n < 0 ? false : call_fail(c, "operand %d ('%s') must have one element", k, c->in[k]->name);
}

int ints_of(Call *c, const char *name, int since, int k, const int64_t **v) {
  *v = NULL;
  if (c->version < since) return attr_is(c, name, v);
  if (!has_arg(c, k)) return 0;
  int n = arg_ints(c, k, v);
  return n < 0 ? 0 : n;
}

int axis_of(Call *c, int64_t axis, int rank) {
  int64_t at = axis < 0 ? axis + rank : axis;
  if (at >= 0 && at < rank) return (int)at;
  call_fail(c, "axis %lld is not a dimension of a tensor with %d dimensions", (long long)axis, rank);
  return 0;
}

int rank_of(const Value *v) {
  return v->type.rank;
}

Dim dim_of(const Value *v, int axis) {
  return axis >= 0 && axis < v->type.rank ? v->type.dim[axis] : dim_const(1);
}

// ---- building -----------------------------------------------------------------------------------------------

Value *make_dummy(Call *c) {
  return c->im->dummy;
}

Value *make_const(Call *c, const Tensor *t) {
  return graph_const(c->im->module->main, NULL, t, c->loc);
}

static bool small_enough(const Value *v) {
  return type_elements(&v->type) <= ONNX_FOLD_ELEMENTS;
}

// Does a shape among the attributes depend on the extents of inputs? (Symbols for what the node itself
// finds out, as the number of elements that are not zero, do no harm: the evaluator finds out, too.)
static bool has_symbols(const Node *n) {
  for (int i = 0; i < n->op->nattr; i++) {
    const Attr *a = &n->attr[i];
    bool own = strcmp(a->name, "extent") == 0; // what the node itself finds out
    for (int k = 0; a->kind == ATTR_SHAPE && k < a->n; k++) {
      const Expr *e = a->dims[k].sym;
      if (e && !(own && e->op == E_SYM && e->sym->data_dependent)) return true;
    }
  }
  return false;
}

static bool can_fold(const Node *n) {
  if (n->nregions || n->op->info->flags & OP_IMPURE || has_symbols(n)) return false;
  for (int i = 0; i < n->nin; i++) {
    if (n->in[i] && (!n->in[i]->data || !small_enough(n->in[i]))) return false;
  }
  for (int i = 0; i < n->nout; i++) {
    if (!small_enough(n->out[i])) return false;
  }
  return true;
}

// Replaces a node of constants by its results.
static bool fold(Call *c, Node *n, Value **out) {
  const Tensor **in = NEW_ARRAY(call_arena(c), const Tensor *, n->nin + 1);
  Tensor **results = NEW_ARRAY(call_arena(c), Tensor *, n->nout + 1);
  for (int i = 0; i < n->nin; i++) in[i] = n->in[i] ? n->in[i]->data : NULL;
  if (!eval_node(c->im->ctx, n, in, results)) return false;
  for (int i = 0; i < n->nout; i++) out[i] = make_const(c, results[i]);
  node_remove(n);
  return true;
}

// A node whose contents follow from symbols and constants: found out, and replaced if no symbol is left.
static void track(Call *c, Node *n, Value **out) {
  for (int i = 0; i < n->nout; i++) {
    const Expr *const *known = known_derive(c->im, n->out[i]);
    Tensor *t = known ? known_tensor(c->im, n->out[i], known) : NULL;
    if (t) out[i] = make_const(c, t);
  }
}

Value **make_all(Call *c, const char *op, Value *const *in, int nin, const Attr *attrs, int nattrs,
                 int nout) {
  Value **out = NEW_ARRAY(call_arena(c), Value *, nout + 1);
  for (int i = 0; i < nout; i++) out[i] = make_dummy(c);
  Node *n = c->failed ? NULL : build_node(&c->im->b, op, in, nin, attrs, nattrs);
  if (!n) {
    c->failed = true; // build reported
    return out;
  }
  Value **all = NEW_ARRAY(call_arena(c), Value *, n->nout + 1);
  memcpy(all, n->out, (size_t)n->nout * sizeof *all);
  if (can_fold(n)) {
    c->failed = !fold(c, n, all);
  } else {
    track(c, n, all);
  }
  for (int i = 0; i < nout && i < n->nout; i++) out[i] = all[i];
  return out;
}

Value *make(Call *c, const char *op, Value *const *in, int nin, const Attr *attrs, int nattrs) {
  return make_all(c, op, in, nin, attrs, nattrs, 1)[0];
}

Value *make_ints(Call *c, const int64_t *v, int n) {
  return make_const(c, tensor_ints(c->im->ctx, v, n));
}

Value *make_scalar(Call *c, DType t, double v) {
  return make_const(c, tensor_scalar(c->im->ctx, t, v));
}

Value *make_like(Call *c, const Value *like, double v) {
  return make_scalar(c, like->type.dtype, v);
}

Value *make_cast(Call *c, Value *v, DType t) {
  return v->type.dtype == t ? v : make(c, "cast", IN(v), ATTRS(A_DTYPE("dtype", t)));
}

Value *make_unary(Call *c, const char *op, Value *x) {
  return make(c, op, IN(x), NO_ATTRS);
}

Value *make_binary(Call *c, const char *op, Value *x, Value *y) {
  return make(c, op, IN(x, y), NO_ATTRS);
}

Value *make_reshape(Call *c, Value *v, const Dim *dims, int rank) {
  return make(c, "reshape", IN(v), ATTRS(A_SHAPE("shape", dims, rank), A_BOOL("allow_zero", true)));
}

Value *make_transpose(Call *c, Value *v, const int64_t *perm) {
  return make(c, "transpose", IN(v), ATTRS(A_INTS("perm", perm, rank_of(v))));
}

Value *make_unsqueeze_last(Call *c, Value *v, int count) {
  int64_t axes[MAX_RANK];
  if (count < 0 || count > MAX_RANK) return call_fail(c, "too many dimensions"), make_dummy(c);
  for (int i = 0; i < count; i++) axes[i] = rank_of(v) + i;
  return count ? make(c, "unsqueeze", IN(v), ATTRS(A_INTS("axes", axes, count))) : v;
}

Value *make_slice(Call *c, Value *v, int axis, int64_t from, int64_t to) {
  int64_t axes[] = {axis};
  Dim start = dim_const(from), end = dim_const(to);
  return make(c, "slice", IN(v),
              ATTRS(A_SHAPE("starts", &start, 1), A_SHAPE("ends", &end, 1), A_INTS("axes", axes, 1)));
}

Value *make_concat(Call *c, Value *const *v, int n, int axis) {
  return make(c, "concat", v, n, ATTRS(A_INT("axis", axis)));
}

Value *positions(Call *c, Dim n, int before, int after) {
  Dim shape[MAX_RANK];
  for (int d = 0; d < before + 1 + after; d++) shape[d] = d == before ? n : dim_const(1);
  Attr attrs[] = {A_SHAPE("shape", shape, before + 1 + after), A_INT("axis", before),
                  A_DTYPE("dtype", DT_I64)};
  return make(c, "iota", NULL, 0, attrs, 3);
}

// ---- results ------------------------------------------------------------------------------------------------

bool wants(const Call *c, int k) {
  return k < c->nout && c->node->out[k][0] != '\0';
}

bool ret_val(Call *c, int k, Val *v) {
  if (c->failed) return false;
  if (k < c->nout) c->out[k] = v;
  return true;
}

bool ret_as(Call *c, int k, Value *v, int32_t elem) {
  if (c->failed) return false;
  if (k >= c->nout) return true;
  return ret_val(c, k, val_tensor(c->im, c->node->out[k], v, elem));
}

bool ret(Call *c, int k, Value *v) {
  return ret_as(c, k, v, onnx_elem_of(v->type.dtype));
}

bool ret_sequence(Call *c, int k, Val *const *items, int n) {
  if (c->failed || k >= c->nout) return !c->failed;
  Val *v = val_new(c->im, VAL_SEQUENCE, c->node->out[k]);
  for (int i = 0; i < n; i++) vec_push(call_arena(c), &v->items, items[i]);
  return ret_val(c, k, v);
}

// ---- values -------------------------------------------------------------------------------------------------

Val *val_new(Import *im, ValKind kind, const char *name) {
  Val *v = NEW(im->ctx->arena, Val);
  v->kind = kind;
  v->name = name;
  return v;
}

Val *val_strings(Import *im, const char *name, const OnnxTensor *strings) {
  Val *v = val_new(im, VAL_STRINGS, name);
  v->strings = strings;
  v->elem = ONNX_STRING;
  return v;
}

bool ret_codes(Call *c, int k, Value *number, const OnnxBytes *strings, int64_t n) {
  if (c->failed || k >= c->nout) return !c->failed;
  OnnxTensor *t = NEW(call_arena(c), OnnxTensor);
  int64_t *dims = arena_dup(call_arena(c), &n, sizeof n);
  *t = (OnnxTensor){
      .elem = ONNX_STRING, .ndims = 1, .dims = dims, .nstrings = n, .strings = (OnnxBytes *)strings};
  Val *v = val_strings(c->im, c->node->out[k], t);
  v->kind = VAL_CODES;
  v->v = number;
  return ret_val(c, k, v);
}

Val *val_tensor(Import *im, const char *name, Value *v, int32_t elem) {
  Val *val = val_new(im, VAL_TENSOR, name);
  val->v = v;
  val->elem = elem;
  return val;
}
