// ops_conv.c: convolutions over any number of spatial dimensions, each one sum over channels and taps.
// SPDX-License-Identifier: Apache-2.0
//
// x is [n, c, space...]; the weight [m, c/groups, taps...], for conv_transpose [c, m/groups, taps...].
#include "ir/ops.h"

static bool conv_ranks(Ctx *c, const Node *n) {
  const Type *x = in_type(n, 0), *w = in_type(n, 1);
  if (x->rank >= 3 && w->rank == x->rank) return true;
  return op_fail(c, n, "x must be [n,c,space...] and w have as many dimensions: x is %s, w is %s",
                 type_text(c, x), type_text(c, w));
}

static bool conv_channels(Ctx *c, const Node *n, Dim channels, Dim expected) {
  int64_t groups = attr_int(n, "groups");
  const Type *x = in_type(n, 0), *w = in_type(n, 1);
  if (groups < 1) return op_fail(c, n, "groups is %lld", (long long)groups);
  if (!dim_equal(channels, expected))
    return op_fail(c, n, "channels do not fit with groups=%lld: x is %s, w is %s", (long long)groups,
                   type_text(c, x), type_text(c, w));
  return true;
}

static bool conv_bias(Ctx *c, const Node *n, int operand, Dim channels) {
  const Value *v = op_in(n, operand);
  if (!v || (v->type.rank == 1 && dim_equal(v->type.dim[0], channels))) return true;
  return op_fail(c, n, "bias is %s, must have one element for each of %lld channels", type_text(c, &v->type),
                 (long long)channels.n);
}

static bool windows_of(Ctx *c, const Node *n, Window *w) {
  const Type *t = in_type(n, 1), *x = in_type(n, 0);
  if (!op_windows(c, n, t->rank - 2, w)) return false;
  for (int d = 2; d < t->rank; d++) {
    int64_t reach, spread;
    Window *at = &w[d - 2];
    bool fits = mul_ok(t->dim[d].n, at->dilation, &reach) && mul_ok(x->dim[d].n, at->stride, &spread) &&
                reach <= MAX_ELEMENTS && spread <= MAX_ELEMENTS;
    if (!fits) return op_fail(c, n, "stride or dilation of dimension %d reaches too far", d);
    at->kernel = ex_dim(c, t, d);
  }
  return true;
}

static bool conv_infer(Ctx *c, Node *n) {
  if (!conv_ranks(c, n)) return false;
  const Type *x = in_type(n, 0), *w = in_type(n, 1);
  int64_t groups = attr_int(n, "groups");
  Window win[MAX_SPATIAL];
  Dim out[MAX_RANK] = {x->dim[0], w->dim[0]};
  if (!conv_channels(c, n, dim_binary(c, E_MUL, w->dim[1], dim_const(groups)), x->dim[1])) return false;
  if (w->dim[0].n % groups)
    return op_fail(c, n, "%lld channels in %lld groups", (long long)w->dim[0].n, (long long)groups);
  if (!windows_of(c, n, win)) return false;
  for (int d = 2; d < x->rank; d++) {
    out[d] = dim_expr(c, window_extent(c, &win[d - 2], ex_dim(c, x, d), false));
    if (out[d].n < 1 && !dim_is(x->dim[d], 0))
      return op_fail(c, n, "the kernel is larger than the padded input in dimension %d: x is %s, w is %s", d,
                     type_text(c, x), type_text(c, w));
  }
  bool biased = n->op->nin == 3;
  return op_set(c, n, 0, x->rank, out) && (!biased || conv_bias(c, n, 2, w->dim[0]));
}

// Positions in x and w of one product, and whether the one in x is within x.
typedef struct Tap {
  Loops loops;
  const Expr *x[MAX_RANK], *w[MAX_RANK], *inside;
} Tap;

// First channel of the group that channel `co` of the result belongs to. `each`: channels of w's group.
static const Expr *group_base(Ctx *c, int64_t groups, const Expr *channel, const Expr *per_group,
                              const Expr *each) {
  if (groups == 1) return ex_idx(c, 0);
  return ex_mul(c, ex_binary(c, E_FDIV, channel, per_group), each);
}

static void conv_tap(Ctx *c, const Node *n, const Expr *const *index, Tap *t) {
  const Type *x = in_type(n, 0), *w = in_type(n, 1);
  int64_t groups = attr_int(n, "groups");
  Window win[MAX_SPATIAL];
  windows_of(c, n, win);
  t->loops.n = 0;
  const Expr *ci = loops_add(c, &t->loops, "ci", ex_dim(c, w, 1));
  const Expr *per_group = ex_idx(c, w->dim[0].n / groups);
  t->x[0] = index[0];
  t->x[1] = ex_add(c, group_base(c, groups, index[1], per_group, ex_dim(c, w, 1)), ci);
  t->w[0] = index[1];
  t->w[1] = ci;
  t->inside = ex_bool(c, true);
  for (int d = 2; d < x->rank; d++) {
    t->w[d] = loops_add(c, &t->loops, "k", win[d - 2].kernel);
    t->x[d] = window_at(c, &win[d - 2], index[d], t->w[d]);
    t->inside = ex_and(c, t->inside, ex_in_range(c, t->x[d], ex_dim(c, x, d)));
  }
}

static const Expr *add_bias(Ctx *c, const Node *n, const Expr *y, const Expr *channel) {
  if (!op_in(n, 2)) return y;
  return ex_add(c, y, ex_acc(c, ex_read(c, n->in[2], &channel, 1)));
}

// A tap that lies in the padding adds nothing: it is not a product with zero, which with an infinite weight would
// be NaN.
static const Expr *product_inside(Ctx *c, const Expr *inside, const Expr *x, const Expr *w) {
  const Expr *product = ex_mul(c, ex_acc(c, x), ex_acc(c, w));
  return ex_guard(c, inside, product, ex_num(c, product->dtype, 0));
}

static const Expr *conv_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  Tap t;
  DType dt = n->out[out]->type.dtype;
  conv_tap(c, n, index, &t);
  const Expr *x = ex_read_at(c, n->in[0], t.x), *w = ex_read_at(c, n->in[1], t.w);
  const Expr *term = product_inside(c, t.inside, x, w);
  return ex_cast(c, dt, add_bias(c, n, loops_reduce(c, &t.loops, R_SUM, term), index[1]));
}

// ---- integers with zero points ----------------------------------------------------------------------------------

static bool conv_integer_infer(Ctx *c, Node *n) {
  if (!conv_infer(c, n)) return false;
  const Value *xz = op_in(n, 2), *wz = op_in(n, 3);
  if (xz && type_elements(&xz->type) != 1) return op_fail(c, n, "x_zero must have one element");
  if (!wz || type_elements(&wz->type) == 1) return true;
  if (wz->type.rank == 1 && dim_equal(wz->type.dim[0], in_type(n, 1)->dim[0])) return true;
  return op_fail(c, n, "w_zero is %s, must have one element or one for each channel",
                 type_text(c, &wz->type));
}

// Padding stands for x_zero, so that what is outside adds nothing.
static const Expr *conv_integer_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  (void)out;
  Tap t;
  Value *xz = op_in(n, 2), *wz = op_in(n, 3);
  conv_tap(c, n, index, &t);
  const Expr *x = ex_cast(c, DT_I32, ex_read_at(c, n->in[0], t.x));
  const Expr *w = ex_cast(c, DT_I32, ex_read_at(c, n->in[1], t.w));
  if (xz) x = ex_sub(c, x, ex_cast(c, DT_I32, ex_read_scalar(c, xz)));
  if (wz) {
    bool one = type_elements(&wz->type) == 1;
    w = ex_sub(c, w, ex_cast(c, DT_I32, one ? ex_read_scalar(c, wz) : ex_read(c, wz, &index[1], 1)));
  }
  x = ex_guard(c, t.inside, x, ex_int(c, DT_I32, 0));
  return loops_reduce(c, &t.loops, R_SUM, ex_mul(c, x, w));
}

// ---- conv_transpose -----------------------------------------------------------------------------------------------

// (in - 1) * stride + reach of the kernel + output_padding - pads.
static const Expr *transpose_extent(Ctx *c, const Window *w, const Expr *in, int64_t extra) {
  const Expr *one = ex_idx(c, 1);
  const Expr *spread = ex_mul(c, ex_sub(c, in, one), ex_idx(c, w->stride));
  const Expr *reach = ex_add(c, ex_mul(c, ex_sub(c, w->kernel, one), ex_idx(c, w->dilation)), one);
  return ex_add(c, ex_add(c, spread, reach), ex_idx(c, extra - w->before - w->after));
}

static bool conv_transpose_infer(Ctx *c, Node *n) {
  if (!conv_ranks(c, n)) return false;
  const Type *x = in_type(n, 0), *w = in_type(n, 1);
  const Attr *extra = node_attr(n, "output_padding");
  int64_t groups = attr_int(n, "groups");
  Window win[MAX_SPATIAL];
  if (!conv_channels(c, n, x->dim[1], w->dim[0])) return false;
  if (w->dim[0].n % groups)
    return op_fail(c, n, "%lld channels in %lld groups", (long long)w->dim[0].n, (long long)groups);
  if (!windows_of(c, n, win)) return false;
  if (extra->n > 1 && extra->n != x->rank - 2)
    return op_fail(c, n, "output_padding has %d elements for %d spatial dimensions", extra->n, x->rank - 2);
  Dim out[MAX_RANK] = {x->dim[0], dim_binary(c, E_MUL, w->dim[1], dim_const(groups))};
  for (int d = 2; d < x->rank; d++) {
    int64_t more = extra->n ? extra->ints[extra->n == 1 ? 0 : d - 2] : 0;
    if (more < -INT32_MAX || more > INT32_MAX)
      return op_fail(c, n, "output_padding is %lld", (long long)more);
    out[d] = dim_expr(c, transpose_extent(c, &win[d - 2], ex_dim(c, x, d), more));
    if (out[d].n < 1)
      return op_fail(c, n, "the result would be empty in dimension %d: x is %s, w is %s", d, type_text(c, x),
                     type_text(c, w));
  }
  return op_set(c, n, 0, x->rank, out) && conv_bias(c, n, 2, out[1]);
}

// The sum over the taps that reach output o: those for which o + before - k * dilation is a multiple of the
// stride and the quotient lies within x.
static const Expr *conv_transpose_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Type *x = in_type(n, 0), *w = in_type(n, 1);
  int64_t groups = attr_int(n, "groups");
  Window win[MAX_SPATIAL];
  DType dt = n->out[out]->type.dtype;
  Loops loops = {0};
  windows_of(c, n, win);
  const Expr *each = ex_idx(c, w->dim[0].n / groups), *per_group = ex_dim(c, w, 1);
  const Expr *ci =
      ex_add(c, group_base(c, groups, index[1], per_group, each), loops_add(c, &loops, "ci", each));
  const Expr *co = groups == 1 ? index[1] : ex_binary(c, E_MOD, index[1], per_group);
  const Expr *at_x[MAX_RANK] = {index[0], ci}, *at_w[MAX_RANK] = {ci, co}, *inside = ex_bool(c, true);
  for (int d = 2; d < x->rank; d++) {
    const Window *v = &win[d - 2];
    const Expr *stride = ex_idx(c, v->stride);
    at_w[d] = loops_add(c, &loops, "k", v->kernel);
    const Expr *from =
        ex_sub(c, ex_add(c, index[d], ex_idx(c, v->before)), ex_mul(c, at_w[d], ex_idx(c, v->dilation)));
    at_x[d] = ex_binary(c, E_FDIV, from, stride);
    const Expr *hits = ex_binary(c, E_EQ, ex_binary(c, E_MOD, from, stride), ex_idx(c, 0));
    inside = ex_and(c, inside, ex_and(c, hits, ex_in_range(c, at_x[d], ex_dim(c, x, d))));
  }
  const Expr *x_at = ex_read_at(c, n->in[0], at_x), *w_at = ex_read_at(c, n->in[1], at_w);
  const Expr *term = product_inside(c, inside, x_at, w_at);
  return ex_cast(c, dt, add_bias(c, n, loops_reduce(c, &loops, R_SUM, term), index[1]));
}

// ---- col2im -------------------------------------------------------------------------------------------------------

// x is [n, c * taps, blocks]; the result [n, c, size...]. Windows slide over the result.
static bool col2im_windows(Ctx *c, const Node *n, Window *w, const Expr **blocks) {
  const Attr *size = node_attr(n, "size"), *kernel = node_attr(n, "kernel");
  if (size->n < 1 || size->n > MAX_SPATIAL || kernel->n != size->n)
    return op_fail(c, n, "size and kernel must have one element for each spatial dimension");
  if (!op_windows(c, n, size->n, w)) return false;
  for (int d = 0; d < size->n; d++) {
    if (kernel->ints[d] < 1 || kernel->ints[d] > INT32_MAX) return op_fail(c, n, "kernel must be positive");
    w[d].kernel = ex_idx(c, kernel->ints[d]);
    blocks[d] = window_extent(c, &w[d], dim_to_expr(c, size->dims[d]), false);
  }
  return true;
}

static bool col2im_infer(Ctx *c, Node *n) {
  const Type *x = in_type(n, 0);
  const Attr *size = node_attr(n, "size");
  Window w[MAX_SPATIAL];
  const Expr *blocks[MAX_SPATIAL], *all = ex_idx(c, 1), *taps = ex_idx(c, 1);
  if (x->rank != 3) return op_fail(c, n, "x is %s, must be [n,c*taps,blocks]", type_text(c, x));
  if (!col2im_windows(c, n, w, blocks)) return false;
  for (int d = 0; d < size->n; d++) {
    all = ex_mul(c, all, blocks[d]);
    taps = ex_mul(c, taps, w[d].kernel);
  }
  Dim out[MAX_RANK] = {x->dim[0], dim_binary(c, E_FDIV, x->dim[1], dim_expr(c, taps))};
  bool fits = dim_equal(dim_binary(c, E_MUL, out[1], dim_expr(c, taps)), x->dim[1]);
  if (!fits || !dim_equal(x->dim[2], dim_expr(c, all)))
    return op_fail(c, n, "x is %s, but there are %lld taps and %lld blocks", type_text(c, x),
                   (long long)dim_expr(c, taps).n, (long long)dim_expr(c, all).n);
  for (int d = 0; d < size->n; d++) out[d + 2] = size->dims[d];
  return op_set(c, n, 0, size->n + 2, out);
}

static const Expr *col2im_define(Ctx *c, const Node *n, int out, const Expr *const *index) {
  const Attr *size = node_attr(n, "size");
  DType dt = n->out[out]->type.dtype;
  Window w[MAX_SPATIAL];
  const Expr *blocks[MAX_SPATIAL], *block = ex_idx(c, 0), *channel = index[1], *inside = ex_bool(c, true);
  Loops loops = {0};
  col2im_windows(c, n, w, blocks);
  for (int d = 0; d < size->n; d++) {
    const Expr *stride = ex_idx(c, w[d].stride), *k = loops_add(c, &loops, "k", w[d].kernel);
    const Expr *from =
        ex_sub(c, ex_add(c, index[d + 2], ex_idx(c, w[d].before)), ex_mul(c, k, ex_idx(c, w[d].dilation)));
    const Expr *at = ex_binary(c, E_FDIV, from, stride);
    const Expr *hits = ex_binary(c, E_EQ, ex_binary(c, E_MOD, from, stride), ex_idx(c, 0));
    inside = ex_and(c, inside, ex_and(c, hits, ex_in_range(c, at, blocks[d])));
    block = ex_add(c, ex_mul(c, block, blocks[d]), at);
    channel = ex_add(c, ex_mul(c, channel, w[d].kernel), k);
  }
  const Expr *at[3] = {index[0], channel, block};
  const Expr *x = ex_guard(c, inside, ex_read_at(c, n->in[0], at), ex_num(c, dt, 0));
  return ex_cast(c, dt, loops_reduce(c, &loops, R_SUM, ex_acc(c, x)));
}

#define CONV_ATTRS "stride:ints=[], dilation:ints=[], pads:ints=[], groups:int=1"

const OpInfo OPS_CONV[] = {
    {.name = "conv",
     .group = "convolution",
     .ins = "x:T, w:T, bias:T?",
     .outs = "T",
     .t = "num",
     .attrs = CONV_ATTRS,
     .infer = conv_infer,
     .define = conv_define,
     .doc = "Convolution of x [n,c,space...] with w [m,c/groups,taps...] plus bias [m]. stride, dilation and "
            "pads "
            "have one element for all dimensions or one each; pads may also list all begins, then all ends.",
     .sample = "conv(f32[1,3,8,8], f32[4,3,3,3], stride=[2,2]); conv(f32[2,4,7,6], f32[6,2,3,2], f32[6], "
               "pads=[1,0,2,1], groups=2, dilation=[2,1]); conv(f32[1,2,9], f32[3,2,3], pads=[1]); "
               "conv(f32[1,3,5,5], f32[3,1,3,3], pads=[1], groups=3); conv(f32[1,1,3,4,5], f32[2,1,2,2,2])"},
    {.name = "conv_integer",
     .group = "convolution",
     .ins = "x:T, w:U, x_zero:T?, w_zero:U?",
     .outs = "i32",
     .t = "i8|u8, U:i8|u8",
     .attrs = CONV_ATTRS,
     .infer = conv_integer_infer,
     .define = conv_integer_define,
     .doc = "Convolution of (x - x_zero) with (w - w_zero) in i32; w_zero has one element or one for each "
            "channel of "
            "the result. Padding stands for x_zero.",
     .sample = "conv_integer(u8[1,2,5,5], i8[3,2,3,3], u8[], pads=[1])"},
    {.name = "conv_transpose",
     .group = "convolution",
     .ins = "x:T, w:T, bias:T?",
     .outs = "T",
     .t = "num",
     .attrs = CONV_ATTRS ", output_padding:ints=[]",
     .infer = conv_transpose_infer,
     .define = conv_transpose_define,
     .doc = "Transposed convolution of x [n,c,space...] with w [c,m/groups,taps...]: the extents are (in - "
            "1) * stride "
            "+ (kernel - 1) * dilation + 1 + output_padding - pads.",
     .sample =
         "conv_transpose(f32[1,2,3,4], f32[2,3,3,3], stride=[2,2]); conv_transpose(f32[1,4,5], f32[4,1,3], "
         "f32[2], stride=[3], pads=[1], groups=2, output_padding=[1]); conv_transpose(f32[1,1,3,3], "
         "f32[1,2,2,2], dilation=[2,2])"},
    {.name = "col2im",
     .group = "convolution",
     .ins = "x:T",
     .outs = "T",
     .t = "num",
     .attrs = "size:shape, kernel:ints, stride:ints=[], dilation:ints=[], pads:ints=[]",
     .infer = col2im_infer,
     .define = col2im_define,
     .doc = "Adds up overlapping blocks x [n,c*taps,blocks] into an image [n,c,size...].",
     .sample = "col2im(f32[1,4,9], size=[4,4], kernel=[2,2]); col2im(f32[1,8,4], size=[4,4], kernel=[2,2], "
               "stride=[2])"},
    {0},
};
