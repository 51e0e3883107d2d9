// test_eval.c: the reference evaluator: definitions, reductions, guards, control flow, symbols, loops.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"

#include <criterion/criterion.h>
#include <math.h>

static jmp_buf oom; // never set: running out of memory crashes the test

typedef struct Bench {
  Ctx *ctx;
  Module *module;
  Graph *graph;
  Builder b;
} Bench;

static Bench start(FILE *errors) {
  Arena *a = arena_new(&oom);
  Bench t = {.ctx = ctx_new(a, diag_new(a, errors, false))};
  t.module = module_new(t.ctx, "m");
  t.graph = t.module->main;
  t.b = builder_at(t.graph, NULL, NO_LOC);
  return t;
}

static Type shape(DType t, int rank, const int64_t *dims) {
  return type_make(t, rank, dims);
}
#define SHAPE(t, ...) shape(t, (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__})

// Values that differ everywhere and are exact in every dtype: 0, 1, -2, 3, ...
static Tensor *counting(Bench *t, Type type) {
  Tensor *x = tensor_new(t->ctx, &type);
  for (int64_t i = 0; i < type_elements(&type); i++) tensor_set(x, i, (double)((i * 7 + 3) % 11) - 4);
  return x;
}

static Tensor *run1(Bench *t, Value *out, const Tensor *const *in) {
  Tensor *result = NULL;
  graph_output(t->graph, "y", out);
  cr_assert(eval_module(t->module, in, &result));
  return result;
}

Test(eval, elementwise_broadcast) {
  Bench t = start(stderr);
  Value *x = graph_input(t.graph, "x", SHAPE(DT_F32, 3, 200), NO_LOC);
  Value *y = graph_input(t.graph, "y", SHAPE(DT_F32, 3, 1), NO_LOC);
  Tensor *a = counting(&t, x->type), *b = counting(&t, y->type);
  Tensor *r = run1(&t, build(&t.b, "mul", IN(x, y), NO_ATTRS), (const Tensor *[]){a, b});
  for (int i = 0; i < 600; i++) cr_assert_eq(tensor_get(r, i), tensor_get(a, i) * tensor_get(b, i / 200));
}

Test(eval, matmul) {
  Bench t = start(stderr);
  Value *x = graph_input(t.graph, "x", SHAPE(DT_F32, 5, 7), NO_LOC);
  Value *y = graph_input(t.graph, "y", SHAPE(DT_F32, 7, 300), NO_LOC);
  Tensor *a = counting(&t, x->type), *b = counting(&t, y->type);
  Tensor *r = run1(&t, build(&t.b, "matmul", IN(x, y), NO_ATTRS), (const Tensor *[]){a, b});
  for (int i = 0; i < 5; i++)
    for (int j = 0; j < 300; j++) {
      double want = 0;
      for (int k = 0; k < 7; k++) want += tensor_get(a, i * 7 + k) * tensor_get(b, k * 300 + j);
      cr_assert_eq(tensor_get(r, i * 300 + j), want);
    }
}

Test(eval, padded_convolution) {
  Bench t = start(stderr);
  Value *x = graph_input(t.graph, "x", SHAPE(DT_F32, 1, 2, 9, 9), NO_LOC);
  Value *w = graph_input(t.graph, "w", SHAPE(DT_F32, 3, 2, 3, 3), NO_LOC);
  Tensor *a = counting(&t, x->type), *b = counting(&t, w->type);
  Value *y =
      build(&t.b, "conv", IN(x, w, NULL),
            ATTRS(A_INTS("pads", ((int64_t[]){1, 1, 1, 1}), 4), A_INTS("stride", ((int64_t[]){2, 2}), 2)));
  cr_assert_not_null(y);
  Tensor *r = run1(&t, y, (const Tensor *[]){a, b});
  cr_assert_eq(r->type.dim[2].n, 5);
  for (int o = 0; o < 3; o++)
    for (int i = 0; i < 5; i++)
      for (int j = 0; j < 5; j++) {
        double want = 0;
        for (int c = 0; c < 2; c++)
          for (int u = 0; u < 3; u++)
            for (int v = 0; v < 3; v++) {
              int h = i * 2 + u - 1, l = j * 2 + v - 1;
              if (h >= 0 && h < 9 && l >= 0 && l < 9)
                want += tensor_get(a, (c * 9 + h) * 9 + l) * tensor_get(b, ((o * 2 + c) * 3 + u) * 3 + v);
            }
        cr_assert_eq(tensor_get(r, (o * 5 + i) * 5 + j), want);
      }
}

Test(eval, softmax_rows) {
  Bench t = start(stderr);
  Value *x = graph_input(t.graph, "x", SHAPE(DT_F32, 4, 50), NO_LOC);
  Tensor *a = counting(&t, x->type);
  Tensor *r = run1(&t, build(&t.b, "softmax", IN(x), NO_ATTRS), (const Tensor *[]){a});
  for (int i = 0; i < 4; i++) {
    double sum = 0, total = 0;
    for (int j = 0; j < 50; j++) total += exp(tensor_get(a, i * 50 + j));
    for (int j = 0; j < 50; j++) {
      double got = tensor_get(r, i * 50 + j);
      cr_assert_float_eq(got, exp(tensor_get(a, i * 50 + j)) / total, 1e-6);
      sum += got;
    }
    cr_assert_float_eq(sum, 1, 1e-5);
  }
}

// ---- every operation against scalar_op, in every dtype --------------------------------------------------

static double sample(int i) {
  static const double values[] = {0,   -0.0, 1,   -1,  2,    3.5,      -7,        0.25,
                                  100, -128, 255, 1e9, 1e-3, INFINITY, -INFINITY, NAN};
  return values[i % 16];
}

static void check_op(ExprOp op, int arity, DType dt) {
  Bench t = start(stderr);
  Ctx *x = t.ctx;
  Value *in[3], *out;
  Tensor *data[3];
  int64_t n = 300;
  for (int k = 0; k < 3; k++) {
    in[k] = graph_input(t.graph, "x", shape(dt, 1, &n), NO_LOC);
    data[k] = tensor_new(x, &in[k]->type);
    for (int i = 0; i < n; i++) tensor_set(data[k], i, sample(k == 0 ? i : k == 1 ? i / 16 : i / 7));
  }
  const Var *i = var_new(x, "i", ex_idx(x, n));
  const Expr *at = ex_var(x, i), *arg[3];
  for (int k = 0; k < 3; k++) arg[k] = ex_read(x, in[k], &at, 1);
  Scalar probe[3] = {{0}}, want;
  if (!scalar_op(op, dt, probe, &want)) return;
  const Expr *e = arity == 1   ? ex_unary(x, op, arg[0])
                  : arity == 2 ? ex_binary(x, op, arg[0], arg[1])
                               : ex_ternary(x, op, arg[0], arg[1], arg[2]);
  out = value_new(x, "y", shape(e->dtype, 1, &n), NO_LOC);
  Kernel *k = NEW(x->arena, Kernel);
  vec_push(x->arena, &k->stages, ((Stage){.out = out, .ndims = 1, .dims = &i, .value = e}));
  build_kernel(&t.b, k, in, 3, &out, 1);
  Tensor *r = run1(&t, out, (const Tensor *const *)data);
  for (int j = 0; j < n; j++) {
    Scalar a[3];
    for (int m = 0; m < 3; m++) a[m] = scalar_load(dt, (char *)data[m]->data + j * dtype_bytes(dt));
    scalar_op(op, dt, a, &want);
    Scalar got = scalar_load(e->dtype, (char *)r->data + j * dtype_bytes(e->dtype));
    bool same =
        dtype_is_float(e->dtype) ? got.f == want.f || (isnan(got.f) && isnan(want.f)) : got.i == want.i;
    cr_assert(same, "%s %s of %g %g %g", expr_op_name(op), dtype_name(dt), tensor_get(data[0], j),
              tensor_get(data[1], j), tensor_get(data[2], j));
  }
}

Test(eval, every_operation_in_every_dtype) {
  static const int arity[] = {
#define X(id, text, n, form) n,
      EXPR_OPS(X)
#undef X
  };
  for (int dt = 0; dt < DT_COUNT; dt++)
    for (int op = E_NEG; op < E_COUNT; op++) check_op((ExprOp)op, arity[op], (DType)dt);
}

// ---- kernels --------------------------------------------------------------------------------------------

// A kernel of one stage over x: y[dims] = value.
static Tensor *run_stage(Bench *t, Value *x, const Tensor *data, Stage s) {
  Kernel *k = NEW(t->ctx->arena, Kernel);
  vec_push(t->ctx->arena, &k->stages, s);
  build_kernel(&t->b, k, &x, 1, &s.out, 1);
  return run1(t, s.out, &data);
}

Test(eval, guards_protect_reads) {
  Bench t = start(stderr);
  Ctx *x = t.ctx;
  Value *in = graph_input(t.graph, "x", SHAPE(DT_F32, 10), NO_LOC),
        *out = value_new(x, "y", SHAPE(DT_F32, 200), NO_LOC);
  const Var *i = var_new(x, "i", ex_idx(x, 200));
  const Expr *at = ex_sub(x, ex_var(x, i), ex_idx(x, 95));
  const Expr *e =
      ex_guard(x, ex_in_range(x, at, ex_idx(x, 10)), ex_read(x, in, &at, 1), ex_float(x, DT_F32, -9));
  Tensor *a = counting(&t, in->type),
         *r = run_stage(&t, in, a, (Stage){.out = out, .ndims = 1, .dims = &i, .value = e});
  for (int j = 0; j < 200; j++)
    cr_assert_eq(tensor_get(r, j), j >= 95 && j < 105 ? tensor_get(a, j - 95) : -9);
}

Test(eval, reads_outside_are_reported) {
  char *said = NULL;
  size_t size = 0;
  FILE *f = open_memstream(&said, &size);
  Bench t = start(f);
  Ctx *x = t.ctx;
  Value *in = graph_input(t.graph, "x", SHAPE(DT_F32, 10), NO_LOC),
        *out = value_new(x, "y", SHAPE(DT_F32, 20), NO_LOC);
  const Var *i = var_new(x, "i", ex_idx(x, 20));
  const Expr *at = ex_var(x, i);
  Kernel *k = NEW(x->arena, Kernel);
  vec_push(x->arena, &k->stages,
           ((Stage){.out = out, .ndims = 1, .dims = &i, .value = ex_read(x, in, &at, 1)}));
  build_kernel(&t.b, k, &in, 1, &out, 1);
  graph_output(t.graph, "y", out);
  const Tensor *a = counting(&t, in->type);
  Tensor *r;
  cr_assert(!eval_module(t.module, &a, &r));
  fflush(f);
  cr_assert(strstr(said, "index 10 is outside 'x'"), "%s", said);
  fclose(f);
}

Test(eval, running_sum_reads_what_it_wrote) {
  Bench t = start(stderr);
  Ctx *x = t.ctx;
  Value *in = graph_input(t.graph, "x", SHAPE(DT_F32, 3, 50), NO_LOC),
        *out = value_new(x, "y", SHAPE(DT_F32, 3, 50), NO_LOC);
  const Var *dims[] = {var_new(x, "i", ex_idx(x, 3)), var_new(x, "j", ex_idx(x, 50))};
  const Expr *i = ex_var(x, dims[0]), *j = ex_var(x, dims[1]), *index[] = {i, j};
  const Expr *before[] = {i, ex_sub(x, j, ex_idx(x, 1))};
  const Expr *old =
      ex_guard(x, ex_binary(x, E_LT, ex_idx(x, 0), j), ex_read(x, out, before, 2), ex_float(x, DT_F32, 0));
  Stage s = {.out = out,
             .ndims = 2,
             .dims = dims,
             .index = index,
             .value = ex_add(x, old, ex_read(x, in, index, 2))};
  Tensor *a = counting(&t, in->type), *r = run_stage(&t, in, a, s);
  for (int k = 0; k < 150; k++)
    cr_assert_eq(tensor_get(r, k), tensor_get(a, k) + (k % 50 ? tensor_get(r, k - 1) : 0));
}

Test(eval, extents_may_depend_on_dims) {
  Bench t = start(stderr);
  Ctx *x = t.ctx;
  Value *in = graph_input(t.graph, "x", SHAPE(DT_F32, 70), NO_LOC),
        *out = value_new(x, "y", SHAPE(DT_F32, 70), NO_LOC);
  const Var *i = var_new(x, "i", ex_idx(x, 70)), *k = var_new(x, "k", ex_add(x, ex_var(x, i), ex_idx(x, 1)));
  const Expr *at = ex_var(x, k), *e = ex_reduce(x, R_SUM, &k, 1, ex_read(x, in, &at, 1));
  Tensor *a = counting(&t, in->type),
         *r = run_stage(&t, in, a, (Stage){.out = out, .ndims = 1, .dims = &i, .value = e});
  for (int j = 0; j < 70; j++)
    cr_assert_eq(tensor_get(r, j), tensor_get(a, j) + (j ? tensor_get(r, j - 1) : 0));
}

Test(eval, sixteen_bit_floats_round_every_step) {
  Bench t = start(stderr);
  Value *x = graph_input(t.graph, "x", SHAPE(DT_BF16, 4), NO_LOC),
        *y = graph_input(t.graph, "y", SHAPE(DT_BF16, 4), NO_LOC);
  Value *s = build(&t.b, "add", IN(x, y), NO_ATTRS);
  Tensor *a = tensor_new(t.ctx, &x->type), *b = tensor_new(t.ctx, &y->type);
  for (int i = 0; i < 4; i++) tensor_set(a, i, 256), tensor_set(b, i, i * 0.5 + 0.5);
  Tensor *r = run1(&t, s, (const Tensor *[]){a, b});
  cr_assert_eq(tensor_get(r, 0), 256); // 256.5, and the next number is 258
  cr_assert_eq(tensor_get(r, 1), 256); // a tie: to even
  cr_assert_eq(tensor_get(r, 2), 258);
}

// ---- symbols --------------------------------------------------------------------------------------------

Test(eval, symbols_are_bound_by_inputs) {
  Bench t = start(stderr);
  Ctx *x = t.ctx;
  Dim T_ = dim_expr(x, ex_sym(x, module_sym(t.module, "T", 1, 512, NO_LOC)));
  Type type = {.dtype = DT_F32, .rank = 2, .dim = {T_, dim_const(3)}};
  Value *in = graph_input(t.graph, "x", type, NO_LOC);
  Value *y = build(&t.b, "softmax", IN(in), ATTRS(A_INT("axis", 0)));
  cr_assert_not_null(y);
  Tensor *a = counting(&t, SHAPE(DT_F32, 5, 3)), *r = run1(&t, y, (const Tensor *[]){a});
  cr_assert_eq(r->type.dim[0].n, 5);
  double sum = 0;
  for (int i = 0; i < 5; i++) sum += tensor_get(r, i * 3);
  cr_assert_float_eq(sum, 1, 1e-6);
}

Test(eval, inputs_outside_their_bounds_are_refused) {
  char *said = NULL;
  size_t size = 0;
  FILE *f = open_memstream(&said, &size);
  Bench t = start(f);
  Dim T_ = dim_expr(t.ctx, ex_sym(t.ctx, module_sym(t.module, "T", 1, 4, NO_LOC)));
  Value *in = graph_input(t.graph, "x", (Type){.dtype = DT_F32, .rank = 1, .dim = {T_}}, NO_LOC);
  graph_output(t.graph, "y", build(&t.b, "neg", IN(in), NO_ATTRS));
  const Tensor *a = counting(&t, SHAPE(DT_F32, 5));
  Tensor *r;
  cr_assert(!eval_module(t.module, &a, &r));
  fflush(f);
  cr_assert(strstr(said, "f32[5]"), "%s", said);
  fclose(f);
}

Test(eval, sizes_known_after_the_data) {
  Bench t = start(stderr);
  Value *in = graph_input(t.graph, "x", SHAPE(DT_I32, 2, 3), NO_LOC);
  Value *y = build(&t.b, "nonzero", IN(in), NO_ATTRS);
  cr_assert_not_null(y);
  Tensor *a = tensor_new(t.ctx, &in->type);
  tensor_set(a, 1, 5);
  tensor_set(a, 5, -1);
  Tensor *r = run1(&t, y, (const Tensor *[]){a});
  cr_assert_eq(r->type.dim[1].n, 2);
  static const int64_t want[] = {0, 1, 1, 2};
  for (int i = 0; i < 4; i++) cr_assert_eq(tensor_get_int(r, i), want[i]);
}

// ---- loops ----------------------------------------------------------------------------------------------

static Stmt *stmt(Ctx *c, Stmt s) {
  return arena_dup(c->arena, &s, sizeof s);
}

// y = x * 2 for even elements, else x - 1, through a local, with a flat index for the store.
Test(eval, loop_bodies) {
  Bench t = start(stderr);
  Ctx *c = t.ctx;
  Value *x = graph_input(t.graph, "x", SHAPE(DT_F32, 4, 6), NO_LOC),
        *y = value_new(c, "y", SHAPE(DT_F32, 4, 6), NO_LOC);
  Value *acc = value_new(c, "acc", SHAPE(DT_F32, 6), NO_LOC);
  const Var *i = var_new(c, "i", ex_idx(c, 4)), *j = var_new(c, "j", ex_idx(c, 6)),
            *k = var_new(c, "k", ex_idx(c, 6));
  const Var *twice = var_new_let(c, "t", DT_F32, NULL);
  const Expr *ei = ex_var(c, i), *ej = ex_var(c, j), *ek = ex_var(c, k),
             *read = ex_read(c, x, (const Expr *[]){ei, ej}, 2);
  const Expr *flat = ex_add(c, ex_mul(c, ei, ex_idx(c, 6)), ek),
             *even = ex_binary(c, E_EQ, ex_binary(c, E_MOD, ej, ex_idx(c, 2)), ex_idx(c, 0));
  Stmt *store = stmt(c, (Stmt){.kind = S_STORE, .store = {acc, 1, &ej, STORE_SET, ex_var(c, twice)}});
  Stmt *minus = stmt(
      c, (Stmt){.kind = S_STORE, .store = {acc, 1, &ej, STORE_SET, ex_sub(c, read, ex_float(c, DT_F32, 1))}});
  Stmt *choice = stmt(c, (Stmt){.kind = S_IF, .cond = {even, store, minus}});
  Stmt *let = stmt(c, (Stmt){.kind = S_LET, .next = choice, .let = {twice, ex_add(c, read, read)}});
  const Expr *back = ex_read(c, acc, &ek, 1);
  Stmt *out = stmt(c, (Stmt){.kind = S_STORE, .store = {y, 1, &flat, STORE_ADD, back}});
  Stmt *inner2 = stmt(c, (Stmt){.kind = S_FOR, .loop = {k, LOOP_VECTOR, out}});
  Stmt *inner = stmt(c, (Stmt){.kind = S_FOR, .next = inner2, .loop = {j, LOOP_SERIAL, let}});
  Stmt *alloc = stmt(c, (Stmt){.kind = S_ALLOC, .next = inner, .alloc = acc});
  Kernel *kernel = NEW(c->arena, Kernel);
  kernel->body = stmt(c, (Stmt){.kind = S_FOR, .loop = {i, LOOP_PARALLEL, alloc}});
  build_kernel(&t.b, kernel, &x, 1, &y, 1);
  t.module->level = LEVEL_LOOPS;
  Tensor *a = counting(&t, x->type), *r = run1(&t, y, (const Tensor *[]){a});
  for (int m = 0; m < 24; m++)
    cr_assert_eq(tensor_get(r, m), m % 2 ? tensor_get(a, m) - 1 : 2 * tensor_get(a, m));
}

// ---- control flow ---------------------------------------------------------------------------------------

Test(eval, control_flow) {
  Bench t = start(stderr);
  Ctx *c = t.ctx;
  Value *x = graph_input(t.graph, "x", SHAPE(DT_F32, 3), NO_LOC);
  Graph *body = graph_new(t.module, "body", t.graph);
  graph_input(body, "i", (Type){.dtype = DT_I64}, NO_LOC);
  Value *cond = graph_input(body, "c", (Type){.dtype = DT_BOOL}, NO_LOC),
        *s = graph_input(body, "s", x->type, NO_LOC);
  Builder b = builder_at(body, NULL, NO_LOC);
  Value *next = build(&b, "add", IN(s, x), NO_ATTRS); // x is the outer graph's
  graph_output(body, "c", cond);
  graph_output(body, "s", next);
  graph_output(body, "each", next);
  Value *trip = graph_const(t.graph, "n", tensor_scalar(c, DT_I64, 4), NO_LOC);
  Node *loop = build_region_node(&t.b, "loop", IN(trip, NULL, x), NO_ATTRS, &body, 1);
  cr_assert_not_null(loop);
  graph_output(t.graph, "last", loop->out[0]);
  graph_output(t.graph, "all", loop->out[1]);
  const Tensor *a = counting(&t, x->type);
  Tensor *r[2];
  cr_assert(eval_module(t.module, &a, r));
  cr_assert_eq(r[1]->type.dim[0].n, 4);
  for (int i = 0; i < 3; i++) cr_assert_eq(tensor_get(r[0], i), 5 * tensor_get(a, i));
  for (int i = 0; i < 12; i++) cr_assert_eq(tensor_get(r[1], i), (2 + i / 3) * tensor_get(a, i % 3));
}
