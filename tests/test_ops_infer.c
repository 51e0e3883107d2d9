// test_ops_infer.c: shapes of results, symbolic ones included, and what is refused with which message.
// SPDX-License-Identifier: Apache-2.0
#include "ops_call.h"

// ---- symbolic extents -----------------------------------------------------------------------------------------

typedef struct World {
  Call r;
  Builder b;
  Dim t; // T <= 512
} World;

static void world(World *w) {
  start(&w->r, stderr);
  w->b = builder_at(w->r.m->main, NULL, NO_LOC);
  w->t = dim_expr(w->r.c, ex_sym(w->r.c, module_sym(w->r.m, "T", 1, 512, NO_LOC)));
}

static Value *input(World *w, int rank, const Dim *dims) {
  Type t = {.dtype = DT_F32, .rank = rank};
  memcpy(t.dim, dims, sizeof *dims * (size_t)rank);
  return graph_input(w->r.m->main, NULL, t, NO_LOC);
}

#define INPUT(w, ...) input(w, (int)(sizeof((Dim[]){__VA_ARGS__}) / sizeof(Dim)), (Dim[]){__VA_ARGS__})
#define N(v)          dim_const(v)
#define TYPE(v, text)                                                                                        \
  do {                                                                                                       \
    Value *v_ = (v);                                                                                         \
    cr_assert(v_, "%s is refused", #v);                                                                      \
    cr_expect_str_eq(type_text(w.r.c, &v_->type), text);                                                     \
  } while (0)

static Value *reshape(World *w, Value *x, int n, const Dim *dims) {
  return build(&w->b, "reshape", IN(x), ATTRS(A_SHAPE("shape", dims, n)));
}

#define RESHAPE(x, ...)                                                                                      \
  reshape(&w, x, (int)(sizeof((Dim[]){__VA_ARGS__}) / sizeof(Dim)), (Dim[]){__VA_ARGS__})

Test(ops_infer, reshape_with_symbols) {
  World w;
  world(&w);
  Value *x = INPUT(&w, N(2), w.t, N(768));
  Value *heads = RESHAPE(x, N(0), N(-1), N(12), N(64));
  TYPE(heads, "f32[2,T<=512,12,64]");
  TYPE(RESHAPE(heads, N(2), w.t, N(-1)), "f32[2,T<=512,768]");
  TYPE(RESHAPE(heads, N(-1), N(64)), "f32[T * 24<=12288,64]");
  TYPE(RESHAPE(RESHAPE(heads, N(-1)), N(2), N(-1), N(768)), "f32[2,T<=512,768]");
}

Test(ops_infer, slices_and_concat_with_symbols) {
  World w;
  world(&w);
  Value *x = INPUT(&w, w.t, N(8));
  Dim one = N(1), zero = N(0), all = N(INT64_MAX), last = N(-1);
  TYPE(build(&w.b, "slice", IN(x), ATTRS(A_SHAPE("starts", &one, 1), A_SHAPE("ends", &all, 1))),
       "f32[T - 1<=511,8]");
  TYPE(build(&w.b, "slice", IN(x), ATTRS(A_SHAPE("starts", &last, 1), A_SHAPE("ends", &all, 1))), "f32[1,8]");
  TYPE(build(&w.b, "slice", IN(x), ATTRS(A_SHAPE("starts", &zero, 1), A_SHAPE("ends", &w.t, 1))),
       "f32[T<=512,8]");
  Value *y = INPUT(&w, N(4), N(8));
  TYPE(build(&w.b, "concat", IN(x, y, x), ATTRS(A_INT("axis", 0))), "f32[T * 2 + 4<=1028,8]");
}

Test(ops_infer, windows_and_products_with_symbols) {
  World w;
  world(&w);
  int64_t one[] = {1}, two[] = {2};
  Value *x = INPUT(&w, N(1), N(3), w.t), *k = INPUT(&w, N(5), N(3), N(3));
  TYPE(build(&w.b, "conv", IN(x, k), ATTRS(A_INTS("pads", one, 1))), "f32[1,5,T<=512]");
  TYPE(build(&w.b, "conv", IN(x, k), ATTRS(A_INTS("pads", one, 1), A_INTS("stride", two, 1))),
       "f32[1,5,(T + 1) // 2<=256]");
  TYPE(build(&w.b, "max_pool", IN(x), ATTRS(A_INTS("kernel", two, 1), A_INTS("stride", two, 1))),
       "f32[1,3,T // 2<=256]");
  TYPE(build(&w.b, "matmul", IN(INPUT(&w, w.t, N(4)), INPUT(&w, N(4), w.t)), NO_ATTRS), "f32[T<=512,T<=512]");
  double scales[] = {1, 1, 2};
  TYPE(build(&w.b, "resize", IN(x), ATTRS(A_FLOATS("scales", scales, 3))), "f32[1,3,T * 2<=1024]");
  TYPE(build(&w.b, "add", IN(x, INPUT(&w, N(3), N(1))), NO_ATTRS), "f32[1,3,T<=512]");
}

Test(ops_infer, data_dependent_extents_are_symbols_of_their_own) {
  World w;
  world(&w);
  Value *x = INPUT(&w, N(4), N(5));
  Value *a = build(&w.b, "nonzero", IN(x), NO_ATTRS), *b = build(&w.b, "nonzero", IN(x), NO_ATTRS);
  cr_assert(a && b);
  cr_expect(a->type.dim[1].sym && a->type.dim[1].n == 20);
  cr_expect(!dim_equal(a->type.dim[1], b->type.dim[1]));
  const Attr *extent = node_attr(a->def, "extent");
  cr_expect(extent->given && dim_equal(extent->dims[0], a->type.dim[1]));
  Value *c = build(&w.b, "nonzero", IN(x), ATTRS(A_SHAPE("extent", extent->dims, 1)));
  cr_expect(c && dim_equal(c->type.dim[1], a->type.dim[1]));
}

// Whatever an index tensor holds, what is read lies inside.
Test(ops_infer, indices_from_memory_are_bounded) {
  Call r;
  run(&r, "gather(f32[50,3], i64[4])");
  const Expr *i = ex_safe_index(r.c, ex_read_scalar(r.c, r.n->in[1]), ex_idx(r.c, 50));
  int64_t lo, hi;
  cr_expect(expr_bounds(r.c, i, NULL, &lo, &hi) && lo == 0 && hi == 49);
}

// ---- messages -------------------------------------------------------------------------------------------------

typedef struct Refusal {
  const char *call, *message;
} Refusal;

static const Refusal REFUSALS[] = {
    {"matmul(f32[2,3], f32[4,5])", "matmul: inner extents differ: x is f32[2,3], y is f32[4,5]"},
    {"matmul(f32[2,3], f64[3,5])", "must have the same element type"},
    {"matmul(f32[], f32[4])", "needs at least one dimension each"},
    {"matmul(f32[2,2,3], f32[3,3,5])", "leading extents do not broadcast"},
    {"add(f32[2,3], f32[4])", "the shapes do not broadcast: f32[2,3] and f32[4]"},
    {"add(f32[2,3])", "operand 2 ('y') is missing"},
    {"exp(i32[2])", "operand 'x' must be of type float, not i32"},
    {"reshape(f32[2,3], shape=[4,2])", "f32[2,3] cannot become f32[4,2]: the number of elements differs"},
    {"reshape(f32[2,3], shape=[4,-1])", "no extent fits for -1"},
    {"reshape(f32[2,3], shape=[-1,-1])", "shape has more than one -1"},
    {"reshape(f32[2,3], shape=[1,1,0])", "x has none there"},
    {"reshape(f32[2,3], shape=[-2])", "extent 0 of shape is -2"},
    {"transpose(f32[2,3], perm=[0,0])", "perm names dimension 0 twice"},
    {"transpose(f32[2,3], perm=[0])", "perm has 1 elements, x has 2 dimensions"},
    {"softmax(f32[2,3], axis=2)", "axis 2 is not a dimension of a tensor with 2 dimensions"},
    {"concat(f32[2,3], f32[3,3], axis=1)", "operand 1 does not fit along axis 1: f32[3,3] after f32[2,3]"},
    {"slice(f32[5], starts=[0], ends=[2], steps=[0])", "a step of 0"},
    {"slice(f32[5], starts=[0,1], ends=[2])", "the same number of elements"},
    {"squeeze(f32[2,1], axes=[0])", "dimension 0 is not 1"},
    {"split(f32[6], sizes=[2,3])", "the parts add up to 5, dimension 0 has 6"},
    {"pad(f32[2,3], pads=[1,1])", "pads has 2 elements"},
    {"pad(f32[2], pads=[1,1], mode=mirror)", "mode is 'mirror', must be one of constant|reflect|edge|wrap"},
    {"pad(f32[2], pads=[-3,0])", "extent 0 of the result would be -1"},
    {"conv(f32[1,3,8,8], f32[4,2,3,3])", "channels do not fit with groups=1"},
    {"conv(f32[1,3,2,2], f32[4,3,3,3])", "the kernel is larger than the padded input in dimension 2"},
    {"conv(f32[1,3,8,8], f32[4,3,3,3], f32[3])",
     "bias is f32[3], must have one element for each of 4 channels"},
    {"conv(f32[1,3,8,8], f32[4,3,3,3], stride=[0])", "stride must be positive"},
    {"conv(f32[1,3,8,8], f32[4,3,3,3], pads=[1,2,3])", "pads has 3 elements for 2 spatial dimensions"},
    {"conv(f32[1,4,8], f32[6,2,3], groups=2, dilation=[2,2])",
     "dilation has 2 elements for 1 spatial dimensions"},
    {"conv(f32[1,4,8], f32[5,2,3], groups=2)", "5 channels in 2 groups"},
    {"max_pool(f32[1,3,8,8], kernel=[3,3,3])", "kernel has 3 elements for 2 spatial dimensions"},
    {"max_pool(f32[3,8], kernel=[3])", "must be [n,c,space...]"},
    {"batch_norm(f32[1,3,2], f32[3], f32[3], f32[2], f32[3])", "mean is f32[2], must have one element"},
    {"layer_norm(f32[2,3], f32[4])", "does not broadcast to x"},
    {"group_norm(f32[1,5,2], groups=2)", "5 channels in 2 groups"},
    {"gather(f32[0,3], i64[2])", "dimension 0 of x is empty"},
    {"gather_nd(f32[2,3], i64[2,3])", "index tuples have 3 elements"},
    {"scatter_nd(f32[4,2], i64[2,1], f32[2,3])", "updates f32[2,3] do not fit"},
    {"scatter_elements(f32[3], i64[2], f32[3])", "indices and updates differ in shape"},
    {"scatter_elements(bool[3], i64[2], bool[2], reduction=add)", "not defined on bool"},
    {"einsum(f32[2,3], f32[4,5], equation=\"ij,jk->ik\")", "extents of 'j' differ"},
    {"einsum(f32[2,3], equation=\"ijk->i\")", "the equation has 'ijk' for it"},
    {"einsum(f32[2,3], equation=\"ij->k\")", "'k' is in no operand"},
    {"einsum(f32[2,3], equation=\"ij->ii\")", "'i' occurs twice in the result"},
    {"einsum(f32[2,3], equation=\"ij,jk->ik\")", "more terms than operands"},
    {"topk(f32[3], k=4)", "k is 4, dimension 0 of x has 3 elements"},
    {"resize(f32[1,1,4,4], scales=[1,2])", "one element for each of 4 dimensions"},
    {"resize(f32[4], scales=[2], mode=cubist)", "mode is 'cubist'"},
    {"resize(i32[4], scales=[2], mode=linear)", "needs a float tensor"},
    {"quantize_linear(f32[2,3], f32[4])", "scale is f32[4], does not fit x"},
    {"attention(f32[1,2,3,4], f32[1,2,3,5], f32[1,2,3,4])", "head sizes of q and k differ"},
    {"attention(f32[1,3,4], f32[1,3,4], f32[1,3,4])", "need `heads`"},
    {"lstm(f32[3,2,4], f32[1,20,5], f32[1,20,5])", "w is f32[1,20,5], must be f32[1,20,4]"},
    {"rnn(f32[3,2,4], f32[1,5,4], f32[1,5,5], activations=\"sin\")", "there is no activation 'sin'"},
    {"broadcast(f32[3], shape=[2,4])", "an extent of x and that of shape differ: [3,4]"},
    {"cast(f32[2], dtype=none)", "element type of the result is not known"},
    {"bitcast(f32[2], dtype=i16)", "f32 and i16 have not the same width"},
    {"iota(shape=[1099511627776,4])", ""},
    {"tile(f32[65536,65536], repeats=[65536,65536])", ""},
};

Test(ops_infer, what_does_not_fit_is_refused_with_a_reason) {
  for (int i = 0; i < ARRAY_LEN(REFUSALS); i++) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    Call r;
    start(&r, out);
    r.no_data = true;
    const char *s = REFUSALS[i].call;
    call_parse(&r, &s);
    fflush(out);
    cr_expect(!r.n, "%s is accepted", REFUSALS[i].call);
    cr_expect(strstr(text, REFUSALS[i].message), "%s: not '%s' but %s", REFUSALS[i].call, REFUSALS[i].message,
              text);
    cr_expect(diag_errors(r.c->diag) >= 1, "%s reports nothing", REFUSALS[i].call);
    fclose(out);
    free(text);
  }
}

// A note says for each operand what it is and where it comes from.
Test(ops_infer, messages_say_how_shapes_arose) {
  char *text = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&text, &size);
  World w;
  start(&w.r, out);
  w.b = builder_at(w.r.m->main, NULL, NO_LOC);
  Value *x = mk1(&w.b, "relu", INPUT(&w, N(2), N(3)));
  cr_expect(!mk2(&w.b, "matmul", x, x));
  fflush(out);
  cr_expect(strstr(text, "note: x is 'relu_0', f32[2,3], from relu"), "%s", text);
  fclose(out);
  free(text);
}

// ---- hostile numbers --------------------------------------------------------------------------------------------

// Defines every result of a node once, at index variables.
static void define_all(Call *r) {
  const Expr *index[MAX_RANK];
  for (int k = 0; k < r->n->nout; k++) {
    const Type *t = &r->n->out[k]->type;
    for (int d = 0; d < t->rank; d++) index[d] = ex_var(r->c, var_new(r->c, "i", ex_dim(r->c, t, d)));
    node_define(r->c, r->n, k, index);
  }
}

// The sample's call with its `which`-th number replaced; NULL if it has fewer.
static char *with_number(Call *r, const char *s, size_t len, int which, const char *number) {
  Str out = {.arena = r->c->arena};
  int seen = 0;
  bool done = false;
  for (size_t i = 0; i < len; i++) {
    bool begins = (isdigit((unsigned char)s[i]) || s[i] == '-') && i && strchr("[,=", s[i - 1]);
    if (begins && seen++ == which) {
      str_puts(&out, number);
      while (i + 1 < len && (isdigit((unsigned char)s[i + 1]) || s[i + 1] == '.')) i++;
      done = true;
    } else {
      str_put(&out, s + i, 1);
    }
  }
  return done ? str_text(&out) : NULL;
}

// Builds or refuses, but neither crashes nor overflows (which the sanitizer build sees).
Test(ops_infer, hostile_numbers_do_no_harm) {
  static const char *const NUMBERS[] = {
      "0", "-1", "9223372036854775807", "-9223372036854775808", "2147483647", "1099511627776"};
  Call r;
  FILE *quiet = fopen("/dev/null", "w");
  start(&r, quiet);
  int built = 0, refused = 0;
  for (int i = 0; i < op_count(r.c); i++)
    for (const char *s = op_at(r.c, i)->info->sample; s && *s;) {
      size_t len = strcspn(s, ";");
      for (int k = 0; k < 200; k++) {
        Call one;
        start(&one, quiet);
        one.no_data = true;
        const char *text = with_number(&one, s, len, k / ARRAY_LEN(NUMBERS), NUMBERS[k % ARRAY_LEN(NUMBERS)]);
        if (text) call_parse(&one, &text);
        if (text && one.n) define_all(&one);
        *(text && one.n ? &built : &refused) += 1;
        arena_free(one.c->arena);
        if (!text) break;
      }
      s += len + (s[len] == ';');
      call_space(&s);
    }
  cr_expect(built > 500 && refused > 500, "%d built, %d refused", built, refused);
}
