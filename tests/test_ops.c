// test_ops.c: the op table: every op builds from its samples and computes; the important ones against plain C.
// SPDX-License-Identifier: Apache-2.0
#include "ops_call.h"

// ---- every row ------------------------------------------------------------------------------------------------

static bool needs_no_sample(const Op *op) {
  return op->info->flags & (OP_REGION | OP_INTERNAL);
}

static void check_results(const Call *r) {
  for (int k = 0; k < r->n->nout; k++) {
    const Type *t = &r->n->out[k]->type;
    cr_assert(t->dtype < DT_COUNT && t->rank <= MAX_RANK, "%s: result %d", r->n->op->name, k);
    if (type_is_static(t))
      cr_assert(type_equal(t, &r->out[k]->type), "%s: result %d is %s, evaluated %s", r->n->op->name, k,
                type_text(r->c, t), type_text(r->c, &r->out[k]->type));
  }
}

Test(ops, samples_build_and_evaluate) {
  Call r;
  start(&r, stderr);
  for (int i = 0; i < op_count(r.c); i++) {
    const Op *op = op_at(r.c, i);
    const char *s = op->info->sample;
    cr_expect(s || needs_no_sample(op), "%s has no sample", op->name);
    while (s && *s) {
      Call one;
      start(&one, stderr);
      call_parse(&one, &s);
      cr_assert(one.n, "%s: the sample before '%s' is refused", op->name, s);
      evaluate(&one);
      check_results(&one);
      call_space(&s);
    }
  }
}

Test(ops, rows_are_complete) {
  Call r;
  start(&r, stderr);
  for (int i = 0; i < op_count(r.c); i++) {
    const Op *op = op_at(r.c, i);
    const OpInfo *f = op->info;
    int ways = !!f->expr + !!f->define + !!f->stages + !!f->decompose + !!f->routine;
    cr_expect(ways == 1 || (ways == 0 && f->flags & OP_REGION), "%s is defined in %d ways", op->name, ways);
    cr_expect(f->doc && f->group && op_find(r.c, op->name) == op, "%s", op->name);
    Str page = {.arena = r.c->arena};
    op_document(&page, op);
    cr_expect(strstr(str_text(&page), op->name), "%s has no page", op->name);
  }
  cr_expect(diag_errors(r.c->diag) == 0);
  cr_expect_str_eq(op_suggest(r.c, "matmull"), "matmul");
  cr_expect(op_find(r.c, "no_such_op") == NULL);
}

typedef double (*Fn1)(double);

static double ref_relu(double x) {
  return x > 0 ? x : 0;
}
static double ref_sigmoid(double x) {
  return 1 / (1 + exp(-x));
}
static double ref_silu(double x) {
  return x * ref_sigmoid(x);
}
static double ref_softplus(double x) {
  return log(1 + exp(x));
}
static double ref_mish(double x) {
  return x * tanh(ref_softplus(x));
}
static double ref_gelu(double x) {
  return 0.5 * x * (1 + erf(x / sqrt(2)));
}
static double ref_elu(double x) {
  return x < 0 ? exp(x) - 1 : x;
}
static double ref_selu(double x) {
  return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * (exp(x) - 1));
}
static double ref_hard_swish(double x) {
  return x * fmax(0, fmin(1, x / 6 + 0.5));
}
static double ref_tanh_shrink(double x) {
  return x - tanh(x);
}
static double ref_sign(double x) {
  return (x > 0) - (x < 0);
}
static double ref_rsqrt(double x) {
  return 1 / sqrt(x);
}

Test(ops, elementwise) {
  static const struct {
    const char *name;
    Fn1 f;
  } TABLE[] = {{"relu", ref_relu},
               {"sigmoid", ref_sigmoid},
               {"silu", ref_silu},
               {"mish", ref_mish},
               {"softplus", ref_softplus},
               {"gelu", ref_gelu},
               {"elu", ref_elu},
               {"selu", ref_selu},
               {"hard_swish", ref_hard_swish},
               {"tanh_shrink", ref_tanh_shrink},
               {"sign", ref_sign},
               {"exp", exp},
               {"tanh", tanh},
               {"erf", erf},
               {"floor", floor},
               {"round", nearbyint},
               {"abs", fabs},
               {"rsqrt", ref_rsqrt},
               {"atan", atan},
               {"cosh", cosh},
               {"log1p", log1p}};
  for (int i = 0; i < ARRAY_LEN(TABLE); i++) {
    Call r;
    start(&r, stderr);
    const char *s = arena_printf(r.c->arena, "%s(f32[50])", TABLE[i].name);
    call_parse(&r, &s);
    evaluate(&r);
    for (int k = 0; k < 50; k++) {
      double x = in_at(&r, 0, k), want = TABLE[i].f(x);
      NEAR(&r, 0, k, want);
    }
  }
}

// Formulas must not overflow where the function does not.
Test(ops, stable_formulas) {
  static const struct {
    const char *name;
    double x, want;
  } TABLE[] = {{"softplus", 1000, 1000}, {"softplus", -1000, 0}, {"log_sigmoid", -1000, -1000},
               {"sigmoid", -1000, 0},    {"sigmoid", 1000, 1},   {"mish", 1000, 1000},
               {"log_sigmoid", 1000, 0}, {"silu", 1000, 1000},   {"softsign", 1e30, 1},
               {"elu", -1000, -1}};
  for (int i = 0; i < ARRAY_LEN(TABLE); i++) {
    Call r;
    start(&r, stderr);
    const char *s = arena_printf(r.c->arena, "%s(f32[1])", TABLE[i].name);
    call_parse(&r, &s);
    tensor_set(r.in[0], 0, TABLE[i].x);
    evaluate(&r);
    NEAR(&r, 0, 0, TABLE[i].want);
  }
}

// ---- products -------------------------------------------------------------------------------------------------

Test(ops, matmul_broadcasts_batches) {
  Call r;
  run(&r, "matmul(f32[5,1,2,3], f32[4,3,2])");
  for (int a = 0; a < 5; a++)
    for (int b = 0; b < 4; b++)
      for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
          double sum = 0;
          for (int k = 0; k < 3; k++) sum += in4(&r, 0, a, 0, i, k) * in4(&r, 1, b, k, j, 0);
          NEAR(&r, 0, ((a * 4 + b) * 2 + i) * 2 + j, sum);
        }
}

Test(ops, linear_transposes_and_adds) {
  Call r;
  run(&r, "linear(f32[5,2,3], f32[4,3], f32[4], transpose_w=true)");
  for (int a = 0; a < 10; a++)
    for (int j = 0; j < 4; j++) {
      double sum = in_at(&r, 2, j);
      for (int k = 0; k < 3; k++) sum += in_at(&r, 0, a * 3 + k) * in_at(&r, 1, j * 3 + k);
      NEAR(&r, 0, a * 4 + j, sum);
    }
}

Test(ops, einsum_sums_products) {
  Call r;
  run(&r, "einsum(f32[2,3,4], f32[5,4,3], equation=\"bij,kji->kb\")");
  for (int k = 0; k < 5; k++)
    for (int b = 0; b < 2; b++) {
      double sum = 0;
      for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++) sum += in4(&r, 0, b, i, j, 0) * in4(&r, 1, k, j, i, 0);
      NEAR(&r, 0, k * 2 + b, sum);
    }
}

typedef struct Geometry {
  int stride, dilation, before, after;
} Geometry;

// Plain two-dimensional convolution of the call's operands at one output element.
static double conv_at(const Call *r, int n, int co, int oy, int ox, int groups, Geometry gy, Geometry gx,
                      bool bias) {
  const Type *x = &r->in[0]->type, *w = &r->in[1]->type;
  int per = (int)w->dim[1].n, out_per = (int)w->dim[0].n / groups;
  double sum = bias ? in_at(r, 2, co) : 0;
  for (int ci = 0; ci < per; ci++)
    for (int ky = 0; ky < w->dim[2].n; ky++)
      for (int kx = 0; kx < w->dim[3].n; kx++) {
        int y = oy * gy.stride + ky * gy.dilation - gy.before,
            xx = ox * gx.stride + kx * gx.dilation - gx.before;
        if (y < 0 || xx < 0 || y >= x->dim[2].n || xx >= x->dim[3].n) continue;
        sum += in4(r, 0, n, co / out_per * per + ci, y, xx) * in4(r, 1, co, ci, ky, kx);
      }
  return sum;
}

static void check_conv(const char *call, int groups, Geometry gy, Geometry gx, bool bias) {
  Call r;
  run(&r, call);
  const Type *t = &r.out[0]->type, *x = &r.in[0]->type, *w = &r.in[1]->type;
  int64_t wide = (x->dim[3].n + gx.before + gx.after - (w->dim[3].n - 1) * gx.dilation - 1) / gx.stride + 1;
  cr_assert_eq(t->dim[3].n, wide);
  int64_t i = 0;
  for (int n = 0; n < t->dim[0].n; n++)
    for (int c = 0; c < t->dim[1].n; c++)
      for (int y = 0; y < t->dim[2].n; y++)
        for (int xx = 0; xx < t->dim[3].n; xx++, i++)
          NEAR(&r, 0, i, conv_at(&r, n, c, y, xx, groups, gy, gx, bias));
}

Test(ops, conv) {
  check_conv("conv(f32[1,3,8,8], f32[4,3,3,3], stride=[2,2])", 1, (Geometry){2, 1, 0, 0},
             (Geometry){2, 1, 0, 0}, false);
  check_conv("conv(f32[2,4,7,6], f32[6,2,3,2], f32[6], pads=[1,0,2,1], groups=2, dilation=[2,1])", 2,
             (Geometry){1, 2, 1, 2}, (Geometry){1, 1, 0, 1}, true);
  check_conv("conv(f32[1,3,5,5], f32[3,1,3,3], pads=[1], groups=3)", 3, (Geometry){1, 1, 1, 1},
             (Geometry){1, 1, 1, 1}, false);
  check_conv("conv(f32[1,8,4,4], f32[5,8,1,1], f32[5])", 1, (Geometry){1, 1, 0, 0}, (Geometry){1, 1, 0, 0},
             true);
}

Test(ops, conv_integer_takes_zero_points_off) {
  Call r;
  run(&r, "conv_integer(u8[1,2,4,4], i8[3,2,3,3], u8[], i8[3], pads=[1])");
  for (int co = 0; co < 3; co++)
    for (int y = 0; y < 4; y++)
      for (int x = 0; x < 4; x++) {
        double sum = 0;
        for (int ci = 0; ci < 2; ci++)
          for (int k = 0; k < 9; k++) {
            int yy = y + k / 3 - 1, xx = x + k % 3 - 1;
            if (yy < 0 || xx < 0 || yy > 3 || xx > 3) continue;
            sum += (in4(&r, 0, 0, ci, yy, xx) - in_at(&r, 2, 0)) *
                   (in4(&r, 1, co, ci, k / 3, k % 3) - in_at(&r, 3, co));
          }
        NEAR(&r, 0, (co * 4 + y) * 4 + x, sum);
      }
}

// The other way round: every element of x is spread over the result.
Test(ops, conv_transpose) {
  Call r;
  run(&r, "conv_transpose(f32[1,4,5,3], f32[4,1,3,2], f32[2], stride=[3,2], pads=[1,0,0,1], groups=2, "
          "output_padding=[1,0])");
  const Type *t = &r.out[0]->type;
  int h = (int)t->dim[2].n, w = (int)t->dim[3].n;
  cr_assert_eq(h, 4 * 3 + 3 + 1 - 1);
  cr_assert_eq(w, 2 * 2 + 2 - 1);
  double *y = arena_alloc(r.c->arena, sizeof(double) * (size_t)(2 * h * w));
  for (int i = 0; i < 2 * h * w; i++) y[i] = in_at(&r, 2, i / (h * w));
  for (int ci = 0; ci < 4; ci++)
    for (int iy = 0; iy < 5; iy++)
      for (int ix = 0; ix < 3; ix++)
        for (int k = 0; k < 6; k++) {
          int oy = iy * 3 + k / 2 - 1, ox = ix * 2 + k % 2;
          if (oy >= 0 && oy < h && ox >= 0 && ox < w)
            y[(ci / 2 * h + oy) * w + ox] += in4(&r, 0, 0, ci, iy, ix) * in4(&r, 1, ci, 0, k / 2, k % 2);
        }
  for (int i = 0; i < 2 * h * w; i++) NEAR(&r, 0, i, y[i]);
}

// ---- pools ----------------------------------------------------------------------------------------------------

// 5x5 windows of 3, stride 2, padding 1, with a cut-off last window when `ceil`.
static void check_pool(const char *call, bool max, bool with_pads, int outs) {
  Call r;
  run(&r, call);
  cr_assert_eq(r.out[0]->type.dim[2].n, outs);
  for (int oy = 0; oy < outs; oy++)
    for (int ox = 0; ox < outs; ox++) {
      double best = -INFINITY, sum = 0;
      int count = 0;
      for (int k = 0; k < 9; k++) {
        int y = oy * 2 + k / 3 - 1, x = ox * 2 + k % 3 - 1;
        bool inside = y >= 0 && x >= 0 && y < 6 && x < 6;
        bool padded = y >= -1 && x >= -1 && y < 7 && x < 7;
        count += with_pads ? padded : inside;
        if (!inside) continue;
        best = fmax(best, in4(&r, 0, 0, 0, y, x));
        sum += in4(&r, 0, 0, 0, y, x);
      }
      NEAR(&r, 0, oy * outs + ox, max ? best : sum / count);
    }
}

Test(ops, pools) {
  check_pool("max_pool(f32[1,1,6,6], kernel=[3], stride=[2], pads=[1])", true, false, 3);
  check_pool("max_pool(f32[1,1,6,6], kernel=[3], stride=[2], pads=[1], ceil_mode=true)", true, false, 4);
  check_pool("avg_pool(f32[1,1,6,6], kernel=[3], stride=[2], pads=[1])", false, false, 3);
  check_pool("avg_pool(f32[1,1,6,6], kernel=[3], stride=[2], pads=[1], ceil_mode=true)", false, false, 4);
  check_pool("avg_pool(f32[1,1,6,6], kernel=[3], stride=[2], pads=[1], count_include_pad=true)", false, true,
             3);
  check_pool(
      "avg_pool(f32[1,1,6,6], kernel=[3], stride=[2], pads=[1], count_include_pad=true, ceil_mode=true)",
      false, true, 4);
}

Test(ops, max_pool_indices_find_the_maxima) {
  Call r;
  run(&r, "max_pool_indices(f32[2,3,4,6], kernel=[2,2], stride=[2,2])");
  for (int64_t i = 0; i < type_elements(&r.out[0]->type); i++)
    NEAR(&r, 0, i, in_at(&r, 0, tensor_get_int(r.out[1], i)));
}

Test(ops, adaptive_pool_covers_everything) {
  Call r;
  run(&r, "adaptive_avg_pool(f32[1,1,7,5], size=[3,5])");
  for (int o = 0; o < 3; o++)
    for (int x = 0; x < 5; x++) {
      int from = o * 7 / 3, to = ((o + 1) * 7 + 2) / 3;
      double sum = 0;
      for (int y = from; y < to; y++) sum += in4(&r, 0, 0, 0, y, x);
      NEAR(&r, 0, o * 5 + x, sum / (to - from));
    }
}

// ---- reductions, softmax, norms -------------------------------------------------------------------------------

Test(ops, reductions) {
  static const char *const NAMES[] = {"reduce_sum", "reduce_mean", "reduce_prod", "reduce_max",
                                      "reduce_min", "reduce_l1",   "reduce_l2",   "reduce_logsumexp",
                                      "reduce_var", "reduce_sumsq"};
  for (int f = 0; f < ARRAY_LEN(NAMES); f++) {
    Call r;
    start(&r, stderr);
    const char *s = arena_printf(r.c->arena, "%s(f32[2,3,4], axes=[-1,0], keepdims=false)", NAMES[f]);
    call_parse(&r, &s);
    evaluate(&r);
    for (int j = 0; j < 3; j++) {
      double sum = 0, prod = 1, max = -INFINITY, min = INFINITY, l1 = 0, sq = 0, lse = 0;
      for (int k = 0; k < 8; k++) {
        double x = in4(&r, 0, k / 4, j, k % 4, 0);
        sum += x, prod *= x, l1 += fabs(x), sq += x * x, lse += exp(x);
        max = fmax(max, x), min = fmin(min, x);
      }
      double want[] = {sum, sum / 8, prod, max, min, l1, sqrt(sq), log(lse), sq / 8 - sum * sum / 64, sq};
      NEAR(&r, 0, j, want[f]);
    }
  }
}

Test(ops, argmax_takes_the_first_or_last_and_nan) {
  static const float DATA[3][4] = {
      {1, 5, 5, 2}, {NAN, 9, NAN, 1}, {-INFINITY, -INFINITY, -INFINITY, -INFINITY}};
  static const int FIRST[] = {1, 0, 0}, LAST[] = {2, 2, 3};
  for (int last = 0; last < 2; last++) {
    Call r;
    start(&r, stderr);
    const char *s = last ? "argmax(f32[3,4], axis=1, select_last=true)" : "argmax(f32[3,4], axis=1)";
    call_parse(&r, &s);
    memcpy(tensor_data(r.in[0]), DATA, sizeof DATA);
    evaluate(&r);
    for (int i = 0; i < 3; i++) cr_expect_eq(tensor_get_int(r.out[0], i), last ? LAST[i] : FIRST[i]);
  }
}

Test(ops, softmax_does_not_overflow) {
  Call r;
  start(&r, stderr);
  const char *s = "softmax(f32[2,3,5], axis=1)";
  call_parse(&r, &s);
  for (int i = 0; i < 30; i++) tensor_set(r.in[0], i, in_at(&r, 0, i) * 500);
  evaluate(&r);
  for (int b = 0; b < 2; b++)
    for (int j = 0; j < 5; j++) {
      double sum = 0, max = -INFINITY;
      for (int k = 0; k < 3; k++) max = fmax(max, in4(&r, 0, b, k, j, 0));
      for (int k = 0; k < 3; k++) sum += exp(in4(&r, 0, b, k, j, 0) - max);
      for (int k = 0; k < 3; k++) NEAR(&r, 0, (b * 3 + k) * 5 + j, exp(in4(&r, 0, b, k, j, 0) - max) / sum);
    }
}

Test(ops, cumsum) {
  Call r;
  run(&r, "cumsum(f32[2,5,3], axis=1, exclusive=true, reverse=true)");
  for (int a = 0; a < 2; a++)
    for (int b = 0; b < 3; b++)
      for (int i = 0; i < 5; i++) {
        double sum = 0;
        for (int k = i + 1; k < 5; k++) sum += in4(&r, 0, a, k, b, 0);
        NEAR(&r, 0, (a * 5 + i) * 3 + b, sum);
      }
}

static void check_standardised(const Call *r, int groups, int per, bool channel) {
  int64_t all = type_elements(&r->in[0]->type);
  for (int g = 0; g < groups; g++) {
    double mean = 0, var = 0;
    for (int i = 0; i < per; i++) mean += in_at(r, 0, g * per + i) / per;
    for (int i = 0; i < per; i++) var += pow(in_at(r, 0, g * per + i) - mean, 2) / per;
    for (int i = 0; i < per; i++) {
      int64_t at = g * per + i, channels = r->in[1]->type.dim[0].n;
      int64_t p = channel ? at / (all / (r->in[0]->type.dim[0].n * channels)) % channels : i % channels;
      NEAR(r, 0, at, (in_at(r, 0, at) - mean) / sqrt(var + 1e-5) * in_at(r, 1, p) + in_at(r, 2, p));
    }
  }
}

Test(ops, norms) {
  Call r;
  run(&r, "layer_norm(f32[4,6], f32[6], f32[6])");
  check_standardised(&r, 4, 6, false);
  run(&r, "instance_norm(f32[2,3,4,5], f32[3], f32[3])");
  check_standardised(&r, 6, 20, true);
  run(&r, "group_norm(f32[2,6,5], f32[6], f32[6], groups=2)");
  check_standardised(&r, 4, 15, true);
}

Test(ops, batch_norm) {
  Call r;
  start(&r, stderr);
  const char *s = "batch_norm(f32[2,3,4], f32[3], f32[3], f32[3], f32[3], eps=0.001)";
  call_parse(&r, &s);
  for (int i = 0; i < 3; i++) tensor_set(r.in[4], i, 0.5 + i);
  evaluate(&r);
  for (int i = 0; i < 24; i++) {
    int c = i / 4 % 3;
    NEAR(&r, 0, i, (in_at(&r, 0, i) - in_at(&r, 3, c)) / sqrt(0.501 + c) * in_at(&r, 1, c) + in_at(&r, 2, c));
  }
}

Test(ops, lrn) {
  Call r;
  run(&r, "lrn(f32[1,5,2], size=4, alpha=0.5, beta=0.7, bias=2)");
  for (int c = 0; c < 5; c++)
    for (int x = 0; x < 2; x++) {
      double sum = 0;
      for (int k = c - 1; k <= c + 2; k++)
        if (k >= 0 && k < 5) sum += pow(in4(&r, 0, 0, k, x, 0), 2);
      NEAR(&r, 0, c * 2 + x, in4(&r, 0, 0, c, x, 0) / pow(2 + 0.5 / 4 * sum, 0.7));
    }
}

// ---- views ----------------------------------------------------------------------------------------------------

Test(ops, reshape_keeps_the_order) {
  static const char *const CALLS[] = {
      "reshape(f32[2,3,4], shape=[6,4])", "reshape(f32[2,3,4], shape=[0,-1])",
      "reshape(f32[4,6], shape=[3,8])",   "reshape(f32[2,1,12], shape=[4,1,6,1])",
      "flatten(f32[2,3,4], axis=2)",      "squeeze(f32[1,24,1])",
      "unsqueeze(f32[24], axes=[0,2])"};
  for (int i = 0; i < ARRAY_LEN(CALLS); i++) {
    Call r;
    run(&r, CALLS[i]);
    cr_assert_eq(type_elements(&r.out[0]->type), 24);
    for (int k = 0; k < 24; k++) NEAR(&r, 0, k, in_at(&r, 0, k));
  }
}

Test(ops, slices_as_python) {
  Call r;
  run(&r, "slice(f32[5,6], starts=[-1,0], ends=[-9,5], axes=[1,0], steps=[-2,3])"); // x[0:5:3, -1:-9:-2]
  cr_assert_eq(r.out[0]->type.dim[0].n, 2);
  cr_assert_eq(r.out[0]->type.dim[1].n, 3);
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 3; j++) NEAR(&r, 0, i * 3 + j, in4(&r, 0, i * 3, 5 - 2 * j, 0, 0));
  run(&r, "slice(f32[5], starts=[3], ends=[9223372036854775807])");
  cr_assert_eq(r.out[0]->type.dim[0].n, 2);
  run(&r, "slice(f32[5], starts=[4], ends=[2])");
  cr_assert_eq(r.out[0]->type.dim[0].n, 0);
  run(&r, "slice(f32[5], starts=[9223372036854775807], ends=[-9223372036854775807], steps=[-1])");
  cr_assert_eq(r.out[0]->type.dim[0].n, 5);
  for (int i = 0; i < 5; i++) NEAR(&r, 0, i, in_at(&r, 0, 4 - i));
}

Test(ops, concat_split_stack) {
  Call r;
  run(&r, "concat(f32[2,3], f32[2,1], f32[2,4], axis=-1)");
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 8; j++) {
      int k = j < 3 ? 0 : j < 4 ? 1 : 2, from = k == 0 ? 0 : k == 1 ? 3 : 4;
      NEAR(&r, 0, i * 8 + j, in4(&r, k, i, j - from, 0, 0));
    }
  run(&r, "split(f32[2,7], axis=1, parts=3)");
  cr_assert_eq(r.n->nout, 3);
  cr_assert_eq(r.out[2]->type.dim[1].n, 1);
  NEAR(&r, 1, 5, in4(&r, 0, 1, 5, 0, 0));
  run(&r, "stack(f32[2,3], f32[2,3], axis=1)");
  for (int i = 0; i < 12; i++) NEAR(&r, 0, i, in4(&r, i / 3 % 2, i / 6, i % 3, 0, 0));
}

Test(ops, pads) {
  static const struct {
    const char *call;
    int at[9]; // which element of x stands where; -1: the value
  } TABLE[] = {{"pad(f32[4], f32[], pads=[2,3])", {-1, -1, 0, 1, 2, 3, -1, -1, -1}},
               {"pad(f32[4], pads=[2,3], mode=reflect)", {2, 1, 0, 1, 2, 3, 2, 1, 0}},
               {"pad(f32[4], pads=[2,3], mode=edge)", {0, 0, 0, 1, 2, 3, 3, 3, 3}},
               {"pad(f32[4], pads=[2,3], mode=wrap)", {2, 3, 0, 1, 2, 3, 0, 1, 2}},
               {"pad(f32[2], pads=[3,4], mode=reflect)", {1, 0, 1, 0, 1, 0, 1, 0, 1}},
               {"pad(f32[6], f32[], pads=[-2,5])", {2, 3, 4, 5, -1, -1, -1, -1, -1}}};
  for (int i = 0; i < ARRAY_LEN(TABLE); i++) {
    Call r;
    run(&r, TABLE[i].call);
    cr_assert_eq(r.out[0]->type.dim[0].n, 9);
    for (int k = 0; k < 9; k++) {
      int at = TABLE[i].at[k];
      double want = at < 0 ? in_at(&r, 1, 0) : in_at(&r, 0, at);
      NEAR(&r, 0, k, want);
    }
  }
}

Test(ops, pixel_shuffles) {
  Call r;
  run(&r, "depth_to_space(f32[1,8,2,3], block=2)");
  for (int c = 0; c < 2; c++)
    for (int y = 0; y < 4; y++)
      for (int x = 0; x < 6; x++)
        NEAR(&r, 0, (c * 4 + y) * 6 + x, in4(&r, 0, 0, (y % 2 * 2 + x % 2) * 2 + c, y / 2, x / 2));
  run(&r, "depth_to_space(f32[1,8,2,3], block=2, mode=crd)");
  NEAR(&r, 0, (1 * 4 + 3) * 6 + 2, in4(&r, 0, 0, 4 + 2, 1, 1));
  run(&r, "space_to_depth(f32[1,2,4,6], block=2)");
  for (int c = 0; c < 8; c++)
    for (int i = 0; i < 6; i++)
      NEAR(&r, 0, c * 6 + i, in4(&r, 0, 0, c % 2, i / 3 * 2 + c / 4, i % 3 * 2 + c / 2 % 2));
}

// ---- indexing -------------------------------------------------------------------------------------------------

static void set_ints(Call *r, int k, const int64_t *v) {
  for (int64_t i = 0; i < type_elements(&r->in[k]->type); i++) tensor_set_int(r->in[k], i, v[i]);
}

Test(ops, gather_clamps_and_counts_from_the_end) {
  static const int64_t AT[] = {0, -1, 4, 99, -99};
  static const int WHERE[] = {0, 4, 4, 4, 0};
  Call r;
  start(&r, stderr);
  const char *s = "gather(f32[2,5,3], i64[5], axis=1)";
  call_parse(&r, &s);
  set_ints(&r, 1, AT);
  evaluate(&r);
  for (int i = 0; i < 30; i++) NEAR(&r, 0, i, in4(&r, 0, i / 15, WHERE[i / 3 % 5], i % 3, 0));
}

Test(ops, gather_nd_and_elements) {
  static const int64_t TUPLES[] = {0, 1, 2, 2, -1, 0, 1, 1};
  Call r;
  start(&r, stderr);
  const char *s = "gather_nd(f32[3,3,2], i64[4,2])";
  call_parse(&r, &s);
  set_ints(&r, 1, TUPLES);
  evaluate(&r);
  for (int i = 0; i < 8; i++)
    NEAR(&r, 0, i, in4(&r, 0, (TUPLES[i / 2 * 2] + 3) % 3, TUPLES[i / 2 * 2 + 1], i % 2, 0));
  start(&r, stderr);
  s = "gather_elements(f32[3,3], i64[2,3])";
  static const int64_t ROWS[] = {1, 2, 0, 2, 0, 0};
  call_parse(&r, &s);
  set_ints(&r, 1, ROWS);
  evaluate(&r);
  for (int i = 0; i < 6; i++) NEAR(&r, 0, i, in4(&r, 0, ROWS[i], i % 3, 0, 0));
}

Test(ops, scatter_puts_and_combines) {
  static const int64_t AT[] = {1, 0, 1, 1};
  static const char *const CALLS[] = {"scatter_elements(f32[4], i64[4], f32[4])",
                                      "scatter_elements(f32[4], i64[4], f32[4], reduction=add)",
                                      "scatter_elements(f32[4], i64[4], f32[4], reduction=mul)",
                                      "scatter_elements(f32[4], i64[4], f32[4], reduction=min)",
                                      "scatter_nd(f32[4], i64[4,1], f32[4], reduction=max)"};
  for (int f = 0; f < ARRAY_LEN(CALLS); f++) {
    Call r;
    start(&r, stderr);
    const char *s = CALLS[f];
    double y[4];
    call_parse(&r, &s);
    set_ints(&r, 1, AT);
    evaluate(&r);
    for (int i = 0; i < 4; i++) y[i] = in_at(&r, 0, i);
    for (int i = 0; i < 4; i++) {
      double u = in_at(&r, 2, i), *p = &y[AT[i]];
      *p = f == 0 ? u : f == 1 ? *p + u : f == 2 ? *p * u : f == 3 ? fmin(*p, u) : fmax(*p, u);
    }
    for (int i = 0; i < 4; i++) NEAR(&r, 0, i, y[i]);
  }
}

Test(ops, dynamic_slices_stay_inside) {
  static const int64_t START[] = {4, -3};
  Call r;
  start(&r, stderr);
  const char *s = "dynamic_slice(f32[5,4], i64[2], sizes=[2,2])";
  call_parse(&r, &s);
  set_ints(&r, 1, START);
  evaluate(&r);
  for (int i = 0; i < 4; i++) NEAR(&r, 0, i, in4(&r, 0, 3 + i / 2, 1 + i % 2, 0, 0));
  start(&r, stderr);
  s = "dynamic_update_slice(f32[5,4], f32[2,2], i64[2])";
  call_parse(&r, &s);
  set_ints(&r, 2, START);
  evaluate(&r);
  for (int i = 0; i < 20; i++) {
    int y = i / 4 - 3, x = i % 4 - 1;
    bool within = y >= 0 && x >= 0 && x < 2;
    NEAR(&r, 0, i, within ? in4(&r, 1, y, x, 0, 0) : in_at(&r, 0, i));
  }
}
