// op_util.c: what the rows of the op table have in common: reports, axes, windows, reads.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

#include <math.h>

// ---- reports ----------------------------------------------------------------------------------------------

static void note_operand(Ctx *c, const Node *n, int k) {
  const Value *v = n->in[k];
  const OpParam *p = op_param(n->op, k);
  if (!v || !p) return;
  const char *from = v->def ? v->def->op->name : v->data ? "a constant" : "an input";
  const char *name = v->name ? v->name : "?";
  diag_note(c->diag, v->loc, "%s is '%s', %s, from %s", p->name, name, type_text(c, &v->type), from);
}

bool op_fail(Ctx *c, const Node *n, const char *fmt, ...) {
  enum { MAX_NOTES = 4 };
  va_list ap;
  va_start(ap, fmt);
  const char *text = arena_vprintf(c->arena, fmt, ap);
  va_end(ap);
  diag_error(c->diag, n->loc, "%s: %s", n->op->name, text);
  for (int k = 0; k < n->nin && k < MAX_NOTES; k++) note_operand(c, n, k);
  return false;
}

// ---- results ----------------------------------------------------------------------------------------------

// A symbolic extent may be too small for what is taken from it: then nothing is left.
static Dim not_negative(Ctx *c, Dim d) {
  return d.sym ? dim_expr(c, ex_binary(c, E_MAX, d.sym, ex_idx(c, 0))) : d;
}

bool op_set_dtype(Ctx *c, Node *n, int k, DType t, int rank, const Dim *dims) {
  if (rank > MAX_RANK) return op_fail(c, n, "the result has %d dimensions, more than %d", rank, MAX_RANK);
  if (t == DT_NONE) return op_fail(c, n, "the element type of the result is not known");
  Type type = {.dtype = t, .rank = rank};
  for (int d = 0; d < rank; d++) {
    if (dims[d].n < 0) return op_fail(c, n, "extent %d of the result would be %lld", d, (long long)dims[d].n);
    type.dim[d] = not_negative(c, dims[d]);
  }
  n->out[k]->type = type;
  return type_check_size(c, n->loc, &type);
}

bool op_set(Ctx *c, Node *n, int k, int rank, const Dim *dims) {
  return op_set_dtype(c, n, k, op_result_dtype(n, k), rank, dims);
}

bool op_infer_same(Ctx *c, Node *n) {
  for (int k = 0; k < n->nout; k++)
    if (!op_set(c, n, k, in_rank(n, 0), in_type(n, 0)->dim)) return false;
  return true;
}

bool op_infer_broadcast(Ctx *c, Node *n) {
  const Type **types = NEW_ARRAY(c->arena, const Type *, n->nin + 1);
  int count = 0;
  for (int i = 0; i < n->nin; i++)
    if (n->in[i]) types[count++] = in_type(n, i);
  Type out = {0};
  if (!type_broadcast(c, types, count, &out)) {
    Str text = {.arena = c->arena};
    for (int i = 0; i < count; i++)
      str_printf(&text, "%s%s", i ? (i + 1 < count ? ", " : " and ") : "", type_text(c, types[i]));
    return op_fail(c, n, "the shapes do not broadcast: %s", str_text(&text));
  }
  for (int k = 0; k < n->nout; k++)
    if (!op_set(c, n, k, out.rank, out.dim)) return false;
  return true;
}

void op_put_attr(Node *n, Attr a) {
  for (int i = 0; i < n->op->nattr; i++)
    if (strcmp(n->op->attr[i].name, a.name) == 0) n->attr[i] = a;
}

// ---- axes ---------------------------------------------------------------------------------------------------

bool op_axis(Ctx *c, const Node *n, const char *attr, int64_t axis, int rank, int *out) {
  *out = (int)(axis < 0 ? axis + rank : axis);
  if (axis >= -rank && axis < rank) return true;
  *out = 0;
  return op_fail(c, n, "%s %lld is not a dimension of a tensor with %d dimensions", attr, (long long)axis,
                 rank);
}

bool op_axes(Ctx *c, const Node *n, const char *attr, int rank, bool empty_is_all, bool *on) {
  const Attr *a = node_attr(n, attr);
  for (int d = 0; d < rank; d++) on[d] = a->n == 0 && empty_is_all;
  for (int i = 0; i < a->n; i++) {
    int d;
    if (!op_axis(c, n, attr, a->ints[i], rank, &d)) return false;
    if (on[d]) return op_fail(c, n, "%s names dimension %d twice", attr, d);
    on[d] = true;
  }
  return true;
}

int op_axis_of(const Node *n, const char *attr, int rank) {
  int64_t axis = attr_int(n, attr);
  return (int)(axis < 0 ? axis + rank : axis);
}

void op_axes_of(const Node *n, const char *attr, int rank, bool empty_is_all, bool *on) {
  const Attr *a = node_attr(n, attr);
  for (int d = 0; d < rank; d++) on[d] = a->n == 0 && empty_is_all;
  for (int i = 0; i < a->n; i++) on[a->ints[i] < 0 ? a->ints[i] + rank : a->ints[i]] = true;
}

bool op_choice(Ctx *c, const Node *n, const char *attr, const char *choices) {
  const char *value = attr_string(n, attr);
  size_t len = strlen(value);
  for (const char *s = choices; *s;) {
    size_t word = strcspn(s, "|");
    if (word == len && memcmp(s, value, len) == 0) return true;
    s += word + (s[word] == '|');
  }
  return op_fail(c, n, "%s is '%s', must be one of %s", attr, value, choices);
}

bool dim_is(Dim d, int64_t n) {
  return !d.sym && d.n == n;
}

bool op_same_dim(Ctx *c, const Node *n, Dim a, Dim b, const char *what) {
  if (dim_equal(a, b)) return true;
  Type t = {.dtype = DT_I64, .rank = 2, .dim = {a, b}};
  const char *text = type_text(c, &t);
  return op_fail(c, n, "%s differ: %s", what, text + 3);
}

// ---- extents that depend on data ------------------------------------------------------------------------------

static bool sym_known(const Module *m, const char *name) {
  for (int i = 0; i < m->syms.n; i++)
    if (strcmp(m->syms.data[i]->name, name) == 0) return true;
  return false;
}

bool op_data_extent(Ctx *c, Node *n, int64_t max, Dim *out) {
  const Attr *a = node_attr(n, "extent");
  Module *m = n->graph->module;
  if (a->given && a->n == 1) {
    *out = a->dims[0];
    return out->n >= max ||
           op_fail(c, n, "extent is at most %lld, must allow %lld", (long long)out->n, (long long)max);
  }
  char *name = arena_printf(c->arena, "%s_%d", n->op->name, n->id);
  for (int i = 1; sym_known(m, name); i++) name = arena_printf(c->arena, "%s_%d_%d", n->op->name, n->id, i);
  Sym *s = module_sym(m, name, 0, max, n->loc);
  if (!s) return false;
  s->data_dependent = true;
  Dim *dim = NEW(c->arena, Dim);
  *dim = *out = dim_expr(c, ex_sym(c, s));
  op_put_attr(n, (Attr){.name = "extent", .kind = ATTR_SHAPE, .given = true, .n = 1, .dims = dim});
  return true;
}

// ---- expressions ----------------------------------------------------------------------------------------------

DType acc_dtype(DType t) {
  return t == DT_F16 || t == DT_BF16 ? DT_F32 : t;
}

const Expr *ex_acc(Ctx *c, const Expr *e) {
  return ex_cast(c, acc_dtype(e->dtype), e);
}

static int64_t int_limit(DType t, bool high) {
  int bits = dtype_bytes(t) * 8;
  if (dtype_class(t) == 'b') return high;
  if (dtype_class(t) == 'u') return !high ? 0 : bits == 64 ? -1 : ((int64_t)1 << bits) - 1;
  int64_t top = (int64_t)(((uint64_t)1 << (bits - 1)) - 1);
  return high ? top : -top - 1;
}

const Expr *ex_lowest(Ctx *c, DType t) {
  return dtype_is_float(t) ? ex_float(c, t, -INFINITY) : ex_int(c, t, int_limit(t, false));
}

const Expr *ex_highest(Ctx *c, DType t) {
  return dtype_is_float(t) ? ex_float(c, t, INFINITY) : ex_int(c, t, int_limit(t, true));
}

const Expr *ex_and(Ctx *c, const Expr *a, const Expr *b) {
  return ex_binary(c, E_AND, a, b);
}

const Expr *ex_clamp(Ctx *c, const Expr *x, const Expr *lo, const Expr *hi) {
  return ex_binary(c, E_MIN, ex_binary(c, E_MAX, x, lo), hi);
}

const Expr *ex_product(Ctx *c, const Type *t, int from, int to) {
  const Expr *p = ex_idx(c, 1);
  for (int d = from; d < to; d++) p = ex_mul(c, p, ex_dim(c, t, d));
  return p;
}

const Expr *ex_read_at(Ctx *c, Value *v, const Expr *const *index) {
  return ex_read(c, v, index, v->type.rank);
}

const Expr *ex_read_broadcast(Ctx *c, Value *v, const Expr *const *index, int rank) {
  const Expr *at[MAX_RANK];
  int skip = rank - v->type.rank;
  for (int d = 0; d < v->type.rank; d++) at[d] = dim_is(v->type.dim[d], 1) ? ex_idx(c, 0) : index[skip + d];
  return ex_read_at(c, v, at);
}

const Expr *ex_read_scalar(Ctx *c, Value *v) {
  const Expr *at[MAX_RANK];
  for (int d = 0; d < v->type.rank; d++) at[d] = ex_idx(c, 0);
  return ex_read_at(c, v, at);
}

const Expr *ex_safe_index(Ctx *c, const Expr *i, const Expr *extent) {
  i = ex_cast(c, DT_I64, i);
  const Expr *from_end = ex_select(c, ex_binary(c, E_LT, i, ex_idx(c, 0)), ex_add(c, i, extent), i);
  const Expr *last = ex_sub(c, extent, ex_idx(c, 1));
  return ex_binary(c, E_MAX, ex_binary(c, E_MIN, from_end, last), ex_idx(c, 0));
}

const Expr *ex_loop(Ctx *c, const char *name, const Expr *extent, const Var **v) {
  int64_t n;
  *v = NULL;
  if (expr_is_const_int(extent, &n) && n == 1) return ex_idx(c, 0);
  *v = var_new(c, name, extent);
  return ex_var(c, *v);
}

const Expr *loops_add(Ctx *c, Loops *l, const char *name, const Expr *extent) {
  const Expr *e = ex_loop(c, name, extent, &l->var[l->n]);
  l->n += l->var[l->n] != NULL;
  return e;
}

const Expr *loops_reduce(Ctx *c, const Loops *l, ReduceKind k, const Expr *body) {
  return l->n ? ex_reduce(c, k, l->var, l->n, body) : body;
}

// ---- windows ----------------------------------------------------------------------------------------------------

// Element d of a list that may be empty (all `otherwise`), have one element for all, or one per dimension.
static int64_t per_dim(const Attr *a, int d, int64_t otherwise) {
  return a->n == 0 ? otherwise : a->ints[a->n == 1 ? 0 : d];
}

static bool check_positive(Ctx *c, const Node *n, const Attr *a, int spatial) {
  if (a->n > 1 && a->n != spatial)
    return op_fail(c, n, "%s has %d elements for %d spatial dimensions", a->name, a->n, spatial);
  for (int i = 0; i < a->n; i++)
    if (a->ints[i] < 1 || a->ints[i] > INT32_MAX)
      return op_fail(c, n, "%s must be positive, not %lld", a->name, (long long)a->ints[i]);
  return true;
}

bool op_windows(Ctx *c, const Node *n, int spatial, Window *w) {
  const Attr *stride = node_attr(n, "stride"), *dilation = node_attr(n, "dilation"),
             *pads = node_attr(n, "pads");
  if (!check_positive(c, n, stride, spatial) || !check_positive(c, n, dilation, spatial)) return false;
  if (pads->n > 1 && pads->n != spatial && pads->n != 2 * spatial)
    return op_fail(c, n, "pads has %d elements for %d spatial dimensions; give 1, %d or %d", pads->n, spatial,
                   spatial, 2 * spatial);
  for (int d = 0; d < spatial; d++) {
    w[d].stride = per_dim(stride, d, 1);
    w[d].dilation = per_dim(dilation, d, 1);
    w[d].before = per_dim(pads, d, 0);
    w[d].after = pads->n == 2 * spatial ? pads->ints[spatial + d] : w[d].before;
    if (w[d].before < 0 || w[d].after < 0 || w[d].before > INT32_MAX || w[d].after > INT32_MAX)
      return op_fail(c, n, "pads must not be negative nor exceed %d", INT32_MAX);
  }
  return true;
}

const Expr *window_at(Ctx *c, const Window *w, const Expr *o, const Expr *k) {
  const Expr *at = ex_add(c, ex_mul(c, o, ex_idx(c, w->stride)), ex_mul(c, k, ex_idx(c, w->dilation)));
  return ex_sub(c, at, ex_idx(c, w->before));
}

// Windows that fit; with ceil_mode also a last one that is cut off, if it begins before the padding after.
const Expr *window_extent(Ctx *c, const Window *w, const Expr *in, bool ceil_mode) {
  const Expr *one = ex_idx(c, 1), *stride = ex_idx(c, w->stride);
  const Expr *reach = ex_mul(c, ex_sub(c, w->kernel, one), ex_idx(c, w->dilation));
  const Expr *room = ex_sub(c, ex_add(c, in, ex_idx(c, w->before + w->after)), ex_add(c, reach, one));
  if (!ceil_mode) return ex_add(c, ex_binary(c, E_FDIV, room, stride), one);
  const Expr *last = ex_binary(c, E_FDIV, ex_add(c, room, ex_idx(c, w->stride - 1)), stride);
  const Expr *begins = ex_sub(c, ex_add(c, in, ex_idx(c, w->before)), one);
  return ex_add(c, ex_binary(c, E_MIN, last, ex_binary(c, E_FDIV, begins, stride)), one);
}
