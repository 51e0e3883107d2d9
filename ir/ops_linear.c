// ops_linear.c: matrix products: matmul, linear layers, einsum.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

#include <ctype.h>

// ---- matmul and linear ----------------------------------------------------------------------------------------

// A product of stacks of matrices by numpy's rules. Of x the rows and of y the columns remain; a vector has
// none of them and leaves no dimension.
typedef struct MatMul {
  const Type *x, *y;
  int xrow, xk, yk, ycol; // dimensions of x and y; -1: absent
  int nbatch;             // leading dimensions of the result
} MatMul;

static MatMul matmul_of(const Type *x, const Type *y, bool tx, bool ty) {
  MatMul m = {.x = x, .y = y, .xrow = -1, .xk = 0, .yk = 0, .ycol = -1};
  if (x->rank > 1) {
    m.xrow = tx ? x->rank - 1 : x->rank - 2;
    m.xk = tx ? x->rank - 2 : x->rank - 1;
  }
  if (y->rank > 1) {
    m.yk = ty ? y->rank - 1 : y->rank - 2;
    m.ycol = ty ? y->rank - 2 : y->rank - 1;
  }
  int longer = x->rank > y->rank ? x->rank : y->rank;
  m.nbatch = longer > 2 ? longer - 2 : 0;
  return m;
}

static bool matmul_shape(Ctx *c, Node *n, bool tx, bool ty) {
  const Type *x = in_type(n, 0), *y = in_type(n, 1);
  if (x->rank < 1 || y->rank < 1)
    return op_fail(c, n, "needs at least one dimension each: x is %s, y is %s", type_text(c, x),
                   type_text(c, y));
  MatMul m = matmul_of(x, y, tx, ty);
  if (!dim_equal(x->dim[m.xk], y->dim[m.yk]))
    return op_fail(c, n, "inner extents differ: x is %s, y is %s", type_text(c, x), type_text(c, y));
  Type bx = {.rank = x->rank > 2 ? x->rank - 2 : 0}, by = {.rank = y->rank > 2 ? y->rank - 2 : 0}, out = {0};
  memcpy(bx.dim, x->dim, sizeof bx.dim);
  memcpy(by.dim, y->dim, sizeof by.dim);
  if (!type_broadcast(c, (const Type *[]){&bx, &by}, 2, &out))
    return op_fail(c, n, "leading extents do not broadcast: x is %s, y is %s", type_text(c, x),
                   type_text(c, y));
  int rank = m.nbatch;
  if (m.xrow >= 0) out.dim[rank++] = x->dim[m.xrow];
  if (m.ycol >= 0) out.dim[rank++] = y->dim[m.ycol];
  return op_set(c, n, 0, rank, out.dim);
}

// Where to read the operands for the result at index and inner position k.
static void matmul_index(Ctx *c, const MatMul *m, const Expr *const *index, const Expr *k, const Expr **at_x,
                         const Expr **at_y) {
  for (int d = 0; d < m->x->rank - 2; d++)
    at_x[d] = dim_is(m->x->dim[d], 1) ? ex_idx(c, 0) : index[m->nbatch - (m->x->rank - 2) + d];
  for (int d = 0; d < m->y->rank - 2; d++)
    at_y[d] = dim_is(m->y->dim[d], 1) ? ex_idx(c, 0) : index[m->nbatch - (m->y->rank - 2) + d];
  if (m->xrow >= 0) at_x[m->xrow] = index[m->nbatch];
  if (m->ycol >= 0) at_y[m->ycol] = index[m->nbatch + (m->xrow >= 0)];
  at_x[m->xk] = at_y[m->yk] = k;
}

static const Expr *matmul_sum(Ctx *c, const Node *n, bool tx, bool ty, const Expr *const *index) {
  MatMul m = matmul_of(in_type(n, 0), in_type(n, 1), tx, ty);
  const Expr *at_x[MAX_RANK], *at_y[MAX_RANK];
  Loops loops = {0};
  matmul_index(c, &m, index, loops_add(c, &loops, "k", ex_dim(c, m.x, m.xk)), at_x, at_y);
  const Expr *x = ex_acc(c, ex_read_at(c, n->in[0], at_x)), *y = ex_acc(c, ex_read_at(c, n->in[1], at_y));
  return loops_reduce(c, &loops, R_SUM, ex_mul(c, x, y));
}

static bool matmul_infer(Ctx *c, Node *n) {
  return matmul_shape(c, n, false, false);
}

static const Expr *matmul_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  return ex_cast(c, n->out[out]->type.dtype, matmul_sum(c, n, false, false, index));
}

static bool linear_infer(Ctx *c, Node *n) {
  if (!matmul_shape(c, n, attr_bool(n, "transpose_x"), attr_bool(n, "transpose_w"))) return false;
  if (!op_in(n, 2)) return true;
  Type out = n->out[0]->type, both = {0};
  bool fits = type_broadcast(c, (const Type *[]){&out, in_type(n, 2)}, 2, &both) && both.rank == out.rank;
  for (int d = 0; fits && d < out.rank; d++) fits = dim_equal(both.dim[d], out.dim[d]);
  if (fits) return true;
  return op_fail(c, n, "bias %s does not broadcast to the product %s", type_text(c, in_type(n, 2)),
                 type_text(c, &out));
}

static const Expr *linear_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Type *t = &n->out[out]->type;
  const Expr *y = matmul_sum(c, n, attr_bool(n, "transpose_x"), attr_bool(n, "transpose_w"), index);
  if (op_in(n, 2)) y = ex_add(c, y, ex_acc(c, ex_read_broadcast(c, n->in[2], index, t->rank)));
  return ex_cast(c, t->dtype, y);
}

// ---- integers with zero points ----------------------------------------------------------------------------------

// A zero point may be a scalar, one number per row of x (column of y), or have the operand's rank with
// an inner extent of 1.
static bool check_zero(Ctx *c, const Node *n, int operand, int zero, Dim line) {
  const Value *z = op_in(n, zero);
  if (!z || type_elements(&z->type) == 1) return true;
  const Type *t = &z->type, *of = in_type(n, operand);
  if (t->rank == 1 && dim_equal(t->dim[0], line)) return true;
  bool fits = t->rank == of->rank;
  for (int d = 0; fits && d < t->rank; d++) fits = dim_is(t->dim[d], 1) || dim_equal(t->dim[d], of->dim[d]);
  return fits || op_fail(c, n, "zero point %s does not fit %s", type_text(c, t), type_text(c, of));
}

static const Expr *less_zero(Ctx *c, const Node *n, int operand, int zero, const Expr *const *at, int line) {
  const Expr *x = ex_cast(c, DT_I32, ex_read_at(c, n->in[operand], at));
  Value *z = op_in(n, zero);
  if (!z) return x;
  const Type *t = &z->type;
  const Expr *p = type_elements(t) == 1 ? ex_read_scalar(c, z)
                  : t->rank == 1        ? ex_read(c, z, &at[line], 1)
                                        : ex_read_broadcast(c, z, at, t->rank);
  return ex_sub(c, x, ex_cast(c, DT_I32, p));
}

static bool matmul_integer_infer(Ctx *c, Node *n) {
  if (!matmul_shape(c, n, false, false)) return false;
  MatMul m = matmul_of(in_type(n, 0), in_type(n, 1), false, false);
  Dim row = m.xrow >= 0 ? m.x->dim[m.xrow] : dim_const(1),
      col = m.ycol >= 0 ? m.y->dim[m.ycol] : dim_const(1);
  return check_zero(c, n, 0, 2, row) && check_zero(c, n, 1, 3, col);
}

static const Expr *matmul_integer_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  MatMul m = matmul_of(in_type(n, 0), in_type(n, 1), false, false);
  const Expr *at_x[MAX_RANK], *at_y[MAX_RANK];
  Loops loops = {0};
  matmul_index(c, &m, index, loops_add(c, &loops, "k", ex_dim(c, m.x, m.xk)), at_x, at_y);
  const Expr *x = less_zero(c, n, 0, 2, at_x, m.xrow), *y = less_zero(c, n, 1, 3, at_y, m.ycol);
  return loops_reduce(c, &loops, R_SUM, ex_mul(c, x, y));
}

// ---- einsum -------------------------------------------------------------------------------------------------------

enum { MAX_EINSUM = 16, LABELS = 128 };

// Labels of the dimensions: letters as written; the dimensions that an ellipsis stands for are numbered from
// the right with the characters from 1 on, so that they broadcast.
typedef struct Einsum {
  int nin;
  char in[MAX_EINSUM][MAX_RANK], out[2 * MAX_RANK];
  int nout;
  Dim extent[LABELS]; // n = -1: not seen
} Einsum;

// One operand's or the result's labels; an ellipsis becomes `wild` dimensions. -1 if it does not parse.
static int einsum_labels(const char *s, size_t len, int wild, char *out, int room) {
  int n = 0;
  for (size_t i = 0; i < len; i++) {
    if (s[i] == ' ') continue;
    int add = 1;
    bool dots = s[i] == '.';
    if (dots) {
      if (len - i < 3 || s[i + 1] != '.' || s[i + 2] != '.') return -1;
      i += 2;
      add = wild;
    } else if (!isalpha((unsigned char)s[i])) {
      return -1;
    }
    if (add < 0 || n + add > room) return -1;
    for (int k = 0; k < add; k++) out[n + k] = (char)(dots ? add - k : s[i]);
    n += add;
  }
  return n;
}

static int count_letters(const char *s, size_t len) {
  int n = 0;
  for (size_t i = 0; i < len; i++) n += isalpha((unsigned char)s[i]) != 0;
  return n;
}

static bool einsum_extent(Einsum *e, char label, Dim d) {
  Dim *have = &e->extent[(int)label];
  if (have->n < 0 || (dim_is(*have, 1) && label < 'A')) *have = d;
  return dim_equal(*have, d) || (dim_is(d, 1) && label < 'A');
}

static bool einsum_operand(Ctx *c, const Node *n, Einsum *e, int k, const char *s, size_t len) {
  const Type *t = in_type(n, k);
  int wild = t->rank - count_letters(s, len);
  bool ellipsis = memchr(s, '.', len) != NULL;
  int got = wild < 0 || (wild && !ellipsis) ? -1 : einsum_labels(s, len, wild, e->in[k], MAX_RANK);
  if (got != t->rank)
    return op_fail(c, n, "operand %d is %s, the equation has '%.*s' for it", k, type_text(c, t), (int)len, s);
  for (int d = 0; d < t->rank; d++)
    if (!einsum_extent(e, e->in[k][d], t->dim[d]))
      return op_fail(c, n, "extents of '%c' differ between operands", e->in[k][d]);
  return true;
}

// Without "->": the ellipsis, then the letters that occur once, in alphabetical order.
static void einsum_implicit(const Node *n, Einsum *e, int wild) {
  int seen[LABELS] = {0};
  for (int k = 0; k < e->nin; k++)
    for (int d = 0; d < in_rank(n, k); d++) seen[(int)e->in[k][d]]++;
  for (int i = wild; i > 0; i--) e->out[e->nout++] = (char)i;
  for (int ch = 'A'; ch < LABELS && e->nout < 2 * MAX_RANK; ch++)
    if (seen[ch] == 1) e->out[e->nout++] = (char)ch;
}

static int einsum_wild(const Einsum *e) {
  int wild = 0;
  while (wild < MAX_RANK && e->extent[wild + 1].n >= 0) wild++;
  return wild;
}

static bool einsum_parse(Ctx *c, const Node *n, Einsum *e) {
  const char *s = attr_string(n, "equation"), *arrow = strstr(s, "->"), *end = arrow ? arrow : s + strlen(s);
  *e = (Einsum){.nin = n->nin};
  for (int i = 0; i < LABELS; i++) e->extent[i] = dim_const(-1);
  if (n->nin < 1 || n->nin > MAX_EINSUM) return op_fail(c, n, "needs 1 to %d operands", MAX_EINSUM);
  for (int k = 0; k < n->nin; k++) {
    if (s > end) return op_fail(c, n, "the equation has fewer terms than operands");
    size_t len = strcspn(s, ",");
    if (s + len > end) len = (size_t)(end - s);
    if (!einsum_operand(c, n, e, k, s, len)) return false;
    s += len + 1;
  }
  if (s <= end) return op_fail(c, n, "the equation has more terms than operands");
  if (arrow) {
    e->nout = einsum_labels(arrow + 2, strlen(arrow + 2), einsum_wild(e), e->out, 2 * MAX_RANK);
  } else {
    einsum_implicit(n, e, einsum_wild(e));
  }
  if (e->nout < 0)
    return op_fail(c, n, "the result of equation '%s' does not parse", attr_string(n, "equation"));
  return true;
}

static bool einsum_infer(Ctx *c, Node *n) {
  Einsum e;
  Dim out[2 * MAX_RANK];
  if (!einsum_parse(c, n, &e)) return false;
  for (int d = 0; d < e.nout; d++) {
    out[d] = e.extent[(int)e.out[d]];
    if (out[d].n < 0) return op_fail(c, n, "'%c' is in no operand", e.out[d]);
    if (memchr(e.out, e.out[d], (size_t)d)) return op_fail(c, n, "'%c' occurs twice in the result", e.out[d]);
  }
  return op_set(c, n, 0, e.nout, out);
}

static const Expr *einsum_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  Einsum e;
  const Expr *var[LABELS] = {0}, *product = NULL;
  const Var *loop[LABELS];
  int nloops = 0;
  if (!einsum_parse(c, n, &e)) return NULL;
  for (int d = 0; d < e.nout; d++) var[(int)e.out[d]] = index[d];
  for (int k = 0; k < n->nin; k++) {
    const Type *t = in_type(n, k);
    const Expr *at[MAX_RANK];
    for (int d = 0; d < t->rank; d++) {
      int label = e.in[k][d];
      if (!var[label]) {
        var[label] = ex_loop(c, "k", dim_to_expr(c, e.extent[label]), &loop[nloops]);
        nloops += loop[nloops] != NULL;
      }
      at[d] = dim_is(t->dim[d], 1) ? ex_idx(c, 0) : var[label];
    }
    const Expr *x = ex_acc(c, ex_read_at(c, n->in[k], at));
    product = product ? ex_mul(c, product, x) : x;
  }
  if (nloops) product = ex_reduce(c, R_SUM, loop, nloops, product);
  return ex_cast(c, n->out[out]->type.dtype, product);
}

const OpInfo OPS_LINEAR[] = {
    {.name = "matmul",
     .group = "linear",
     .ins = "x:T, y:T",
     .outs = "T",
     .t = "num",
     .infer = matmul_infer,
     .define = matmul_define,
     .doc =
         "Matrix product by numpy's rules: leading dimensions broadcast, a vector is a row on the left and a "
         "column on the right and leaves no dimension. f16 and bf16 are summed in f32.",
     .sample = "matmul(f32[2,3], f32[3,4]); matmul(f32[5,1,2,3], f32[4,3,2]); matmul(f32[3], f32[3,2]); "
               "matmul(f32[2,3], f32[3]); matmul(f32[3], f32[3])"},
    {.name = "linear",
     .group = "linear",
     .ins = "x:T, w:T, bias:T?",
     .outs = "T",
     .t = "num",
     .attrs = "transpose_x:bool=false, transpose_w:bool=false",
     .infer = linear_infer,
     .define = linear_define,
     .doc = "matmul(x, w) + bias, with the last two dimensions of x or w swapped on demand.",
     .sample = "linear(f32[2,3], f32[3,4], f32[4]); linear(f32[5,2,3], f32[4,3], f32[4], transpose_w=true); "
               "linear(f32[3,2], f32[3,4], transpose_x=true)"},
    {.name = "matmul_integer",
     .group = "linear",
     .ins = "x:T, y:U, x_zero:T?, y_zero:U?",
     .outs = "i32",
     .t = "i8|u8, U:i8|u8",
     .infer = matmul_integer_infer,
     .define = matmul_integer_define,
     .doc = "matmul of (x - x_zero) and (y - y_zero) in i32. Zero points are scalars, one per row of x, or "
            "one per "
            "column of y.",
     .sample = "matmul_integer(u8[2,3], i8[3,4]); matmul_integer(u8[2,3], u8[3,4], u8[2], u8[4])"},
    {.name = "einsum",
     .group = "linear",
     .ins = "xs:T*",
     .outs = "T",
     .t = "num",
     .attrs = "equation:string",
     .infer = einsum_infer,
     .define = einsum_define,
     .doc = "Sum of products by Einstein's notation: letters name dimensions, those missing in the result "
            "are summed "
            "over, '...' stands for dimensions that broadcast, a letter twice in a term takes the diagonal.",
     .sample = "einsum(f32[2,3], f32[3,4], equation=\"ij,jk->ik\"); einsum(f32[2,3,4], f32[2,4,5], "
               "equation=\"...ij,...jk\"); einsum(f32[3,3], equation=\"ii->i\"); einsum(f32[2,3], "
               "equation=\"ij->\")"},
    {0},
};
