// test_onnx_refused.c: nodes whose operands or attributes do not fit: each operator says what is wrong.
// SPDX-License-Identifier: Apache-2.0
#include "tests/onnx_fixture.h"

#include <ctype.h>

enum { MAX_ITEMS = 64 };

// A model of one node, written down: the operator ("DOMAIN:NAME@OPSET"), its operands ("f32[2,N]": an input; "i64=1,2"
// or "f32=0.5": a constant; "-": absent), its attributes ("axis=1 mode='abc' scale=0.5 pads=[0,1] w=[0.5,1.0]
// modes=['A','B']"), and what is said of it.
typedef struct Mistake {
  const char *op, *operands, *attributes, *said;
} Mistake;

// ---- from text ------------------------------------------------------------------------------------------------------

static int element(const char *name, size_t n) {
  static const struct {
    const char *name;
    int code;
  } all[] = {{"f32", ONNX_FLOAT}, {"i64", ONNX_INT64}, {"i32", ONNX_INT32},
             {"u8", ONNX_UINT8},  {"i8", ONNX_INT8},   {"bool", ONNX_BOOL}};
  for (int i = 0; i < ARRAY_LEN(all); i++)
    if (strlen(all[i].name) == n && memcmp(all[i].name, name, n) == 0) return all[i].code;
  cr_assert_fail("no element type in '%s'", name);
  return 0;
}

static int numbers(const char *s, double *out) {
  int n = 0;
  for (char *end; *s && *s != ']'; s = *end == ',' ? end + 1 : end) {
    cr_assert_lt(n, MAX_ITEMS);
    out[n++] = strtod(s, &end);
    cr_assert_neq(s, end, "no number in '%s'", s);
  }
  return n;
}

// Adds an operand to the graph and returns its name.
static const char *operand(Str *graph, const char *spec, int number) {
  Arena *a = graph->arena;
  const char *name = arena_printf(a, "in%d", number), *at = strpbrk(spec, "[=");
  double v[MAX_ITEMS];
  int64_t dims[MAX_ITEMS];
  if (strcmp(spec, "-") == 0) return "";
  cr_assert(at, "the operand '%s'", spec);
  int elem = element(spec, (size_t)(at - spec)), n = 0;
  if (*at == '=') {
    Str data = {.arena = a};
    n = numbers(at + 1, v);
    for (int i = 0; i < n; i++) {
      int64_t whole = (int64_t)v[i];
      float real = (float)v[i];
      if (elem == ONNX_FLOAT) str_put(&data, (const char *)&real, 4);
      if (elem != ONNX_FLOAT)
        str_put(&data, (const char *)&whole, elem == ONNX_INT64 ? 8 : elem == ONNX_INT32 ? 4 : 1);
    }
    Str t = pb_tensor(a, name, elem, (int64_t[]){n}, 1, str_text(&data), data.n);
    pb_message(graph, 5, &t);
    return name;
  }
  for (const char *s = at + 1; *s != ']'; s += strcspn(s, ",]"), s += *s == ',')
    dims[n++] = *s == 'N' ? -1 : strtoll(s, NULL, 10);
  add_value(graph, INPUT, name, elem, dims, n);
  return name;
}

static void put_words(Str *attr, const char *s) {
  for (const char *end; *s == '\''; s = end[1] == ',' ? end + 2 : end + 1) {
    end = strchr(s + 1, '\'');
    pb_bytes(attr, 9, s + 1, (size_t)(end - s - 1));
  }
  pb_int(attr, 20, ONNX_ATTR_STRINGS);
}

static void attribute(Str *node, char *spec) {
  Str attr = {.arena = node->arena};
  char *value = strchr(spec, '=');
  double v[MAX_ITEMS];
  bool list = value[1] == '[', real = strchr(value, '.') != NULL;
  *value++ = '\0';
  pb_text(&attr, 1, spec);
  int n = *value == '\'' || value[1] == '\'' ? 0 : numbers(value + list, v);
  if (*value == '\'') {
    pb_bytes(&attr, 4, value + 1, strlen(value) - 2);
    pb_int(&attr, 20, ONNX_ATTR_STRING);
  } else if (list && value[1] == '\'') {
    put_words(&attr, value + 1);
  } else if (real) {
    for (int i = 0; i < n; i++) pb_float(&attr, list ? 7 : 2, (float)v[i]);
    pb_int(&attr, 20, list ? ONNX_ATTR_FLOATS : ONNX_ATTR_FLOAT);
  } else {
    for (int i = 0; i < n; i++) pb_int(&attr, list ? 8 : 3, (int64_t)v[i]);
    pb_int(&attr, 20, list ? ONNX_ATTR_INTS : ONNX_ATTR_INT);
  }
  pb_message(node, 5, &attr);
}

static Str model_of(Arena *a, const Mistake *m) {
  Str graph = {.arena = a}, set = {.arena = a};
  const char *in[MAX_ITEMS] = {NULL}, *colon = strchr(m->op, ':'), *opset = strchr(m->op, '@');
  const char *name = colon ? colon + 1 : m->op;
  int n = 0;
  for (char *s = strtok(arena_strdup(a, m->operands), " "); s; s = strtok(NULL, " "), n++)
    in[n] = operand(&graph, s, n);
  Str node = pb_node(a, arena_strndup(a, name, strcspn(name, "@")), in, "y");
  const char *domain = colon ? arena_strndup(a, m->op, (size_t)(colon - m->op)) : "";
  if (colon) pb_text(&node, 7, domain);
  for (char *s = strtok(arena_strdup(a, m->attributes), " "); s; s = strtok(NULL, " ")) attribute(&node, s);
  pb_message(&graph, 1, &node);
  add_value(&graph, OUTPUT, "y", ONNX_FLOAT, NULL, 0);
  Str model = pb_model(a, &graph, !colon && opset ? atoi(opset + 1) : 21);
  pb_text(&set, 1, domain);
  pb_int(&set, 2, colon && opset ? atoi(opset + 1) : 1);
  if (colon) pb_message(&model, 8, &set);
  return model;
}

static void check(const Mistake *all, int n) {
  for (int i = 0; i < n; i++) {
    const Mistake *m = &all[i];
    Fixture f = begin();
    if (strchr(m->operands, 'N')) vec_push(f.a, &f.user.dims, "N1<=8");
    Str model = model_of(f.a, m);
    cr_expect_null(import(&f, &model), "%s %s %s was taken", m->op, m->operands, m->attributes);
    cr_expect_not_null(strstr(said(f.b), m->said), "%s %s %s: '%s' is not in: %s", m->op, m->operands,
                       m->attributes, m->said, said(f.b));
    bench_free(f.b);
  }
}

// ---- the default domain -----------------------------------------------------------------------------------------------

Test(onnx_refused, attention) {
  static const Mistake all[] = {
      {"Attention@23", "f32[1,2,8] f32[1,2,8] f32[1,2,8]", "", "the number of heads is missing"},
      {"Attention@23", "f32[1,2,2,N] f32[1,2,2,N] f32[1,2,2,4]", "", "the size of its heads must be known"},
      {"ai.onnx.preview:FlexAttention", "f32[1,3,2,4] f32[1,2,2,4] f32[1,2,2,4]", "",
       "its heads cannot share those of the keys"},
      {"ai.onnx.preview:FlexAttention", "f32[1,2] f32[1,2] f32[1,2]", "", "its operands do not fit"},
      {"CausalConvWithState@27", "f32[1,2,8] f32[2,1,3]", "activation='elu'", "the activation 'elu'"},
      {"CausalConvWithState@27", "f32[2,8] f32[2,1,3]", "", "its operands must have three dimensions"},
      {"TensorScatter@24", "f32[1,2,8,4] f32[1,2,4]", "", "its operands do not fit"},
      {"LinearAttention@27", "f32[1,2,8] f32[1,2,8] f32[1,2,8]", "q_num_heads=3 kv_num_heads=2",
       "its numbers of heads do not fit"},
      {"LinearAttention@27", "f32[1,2,8] - f32[1,2,8]", "q_num_heads=2 kv_num_heads=2",
       "an operand is missing"},
      {"LinearAttention@27", "f32[2,8] f32[1,2,8] f32[1,2,8]", "q_num_heads=2 kv_num_heads=2",
       "operand 0 must be [b,t,n]"},
  };
  check(all, ARRAY_LEN(all));
}

Test(onnx_refused, windows) {
  static const Mistake all[] = {
      {"Conv", "f32[1,2,8,8] f32[4,2,3,3]", "pads=[1,1]", "pads has 2 elements, must have 4"},
      {"Conv", "f32[1,2,8,8] f32[4,2,3,3]", "kernel_shape=[3,4]", "kernel_shape does not fit the weights"},
      {"Conv", "f32[1,2,N,8] f32[4,2,3,3]", "auto_pad='SAME_UPPER' strides=[2,2]",
       "auto_pad needs known extents if the stride is not 1"},
      {"Conv", "f32[1,2,8,8] f32[4,2,3,3]", "strides=[0,1]", "strides has the element 0"},
      {"Conv", "f32[1,2,8] f32[4,2,3,3]", "", "its operands have 3 and 4 dimensions"},
      {"ConvTranspose", "f32[1,2,8,8] f32[2,4,3,3]", "output_padding=[1]", "output_padding has 1 elements"},
      {"ConvTranspose", "f32[1,2,8,8] f32[2,4,3,3]", "output_shape=[1]", "output_shape has 1 elements"},
      {"ConvTranspose", "f32[1,2,N,8] f32[2,4,3,3]", "output_shape=[10,10]",
       "the extents of its input must be known"},
      {"DeformConv@19", "f32[1,2,N,8] f32[4,2,3,3] f32[1,18,6,6]", "",
       "only pictures of known extents are supported"},
      {"DeformConv@19", "f32[1,2,8,8] f32[4,2,3,3] f32[1,17,6,6]", "", "its operands do not fit"},
      {"MaxPool", "f32[1,2,8,8]", "", "kernel_shape"},
      {"GlobalLpPool", "f32[1,2]", "", "its operand has no spatial dimensions"},
      {"MaxUnpool", "f32[1,2,N,4] i64[1,2,N,4]", "kernel_shape=[2,2]",
       "the extents of its operand must be known"},
      {"MaxUnpool", "f32[1,2,4,4] i64[1,2,4,4] i64=1,2", "kernel_shape=[2,2]", "output_shape does not fit"},
      {"MaxRoiPool", "f32[1,2,8,8] f32[1,5]", "pooled_shape=[2]", "pooled_shape must be two numbers"},
  };
  check(all, ARRAY_LEN(all));
}

Test(onnx_refused, images) {
  static const Mistake all[] = {
      {"Resize", "f32[1,1,4,4]", "", "it has neither scales nor sizes"},
      {"Resize", "f32[1,1,4,4] - f32=1,2", "", "2 scales for 4 dimensions"},
      {"Resize", "f32[1,1,4,4] - f32=1,1,-2,2", "", "a scale of -2"},
      {"Resize", "f32[1,1,4,4] - - i64=1,1", "", "2 sizes for 4 dimensions"},
      {"Resize", "f32[1,1,4,4] - f32=1,1,2,2", "mode='fancy'", "the mode 'fancy' is not supported"},
      {"Resize", "f32[1,1,4,4] f32=0,1 f32=1,1,2,2", "coordinate_transformation_mode='tf_crop_and_resize'",
       "roi has 2 elements for 4 dimensions"},
      {"Resize", "f32[1,1,4,4] - - i64=1,1,8,8", "keep_aspect_ratio_policy='never'", "the policy 'never'"},
      {"Resize", "f32[1,1,N,4] - - i64=1,1,8,8", "keep_aspect_ratio_policy='not_larger'",
       "not_larger needs known extents"},
      {"Upsample@7", "f32[1,1,4,4]", "scales=[1.0,2.0]", "2 scales for 4 dimensions"},
      {"Upsample@1", "f32[1,4,4]", "width_scale=2.0 height_scale=2.0", "its operand has 3 dimensions, not 4"},
      {"AffineGrid@20", "f32[1,2,3] i64=1,1,4", "", "it must have 2 or 3 dimensions"},
      {"AffineGrid@20", "f32[1,2,3] i64=1,1,0,4", "", "a grid without places"},
  };
  check(all, ARRAY_LEN(all));
}

Test(onnx_refused, signals) {
  static const Mistake all[] = {
      {"HannWindow", "i64=-1", "", "a window of -1 numbers"},
      {"MelWeightMatrix", "i64=0 i64=16 i64=8000 f32=0 f32=4000", "", "absurd sizes"},
      {"MelWeightMatrix", "i64=4 i64=16 i64=8000 f32=0 f32=40000", "",
       "the edges lie outside of the spectrum"},
      {"DFT@20", "f32[1,8,3]", "", "the last dimension must be 1 or 2"},
      {"DFT@20", "f32[8]", "", "its operand has 1 dimensions"},
      {"DFT@20", "f32[1,8,1] - i64=2", "", "the axis is that of the real and imaginary parts"},
      {"DFT@20", "f32[1,8,1] i64=-4", "", "a transform of length -4"},
      {"DFT@20", "f32[1,N,2]", "inverse=1 onesided=1", "a transform of length"},
      {"STFT", "f32[1,16] i64=0 - i64=8", "", "frames of 8 every 0 do not fit"},
      {"STFT", "f32[16] i64=2 - i64=8", "", "its operand has 1 dimensions"},
      {"STFT", "f32[1,8388608,1] i64=1 - i64=4096", "", "are too many"},
      {"Det", "f32[2,99,99]", "", "rows are supported"},
  };
  check(all, ARRAY_LEN(all));
}

Test(onnx_refused, elements_and_shapes) {
  static const Mistake all[] = {
      {"Gelu@20", "f32[4]", "approximate='fine'", "approximate is 'fine'"},
      {"BitShift", "u8[4] u8[4]", "direction='UP'", "direction is 'UP'"},
      {"OneHot", "i64[4] i64=3 f32=0", "", "values must be two numbers"},
      {"NegativeLogLikelihoodLoss", "f32[2,3] i64[2]", "reduction='most'", "reduction is 'most'"},
      {"ai.onnx.preview.training:Adam", "f32[1] i64[1] f32[4]", "", "3 operands do not fit"},
      {"GroupNormalization@18", "f32[1,6,4] f32[4] f32[4]", "num_groups=4", "4 groups do not fit"},
      {"RandomNormal", "", "shape=[2] dtype=7", "random numbers of type"},
      {"LSTM", "f32[2,1,4] f32[1,12,4] f32[1,12,3]", "hidden_size=3 activations=['Wave','Tanh','Tanh']",
       "the activation 'Wave' is unknown"},
      {"Constant", "", "", "it has no value"},
      {"Range", "i64=0 i64=9000000000000 i64=1", "", "is too large or has a negative extent"},
      {"Expand", "f32[1] i64=1,1,1,1,1,1,1,1,1,1", "", "gives 10 extents; at most 8 are supported"},
      {"Slice@1", "f32[4,4]", "starts=[0] ends=[1,2] axes=[0]", ""},
      {"SplitToSequence", "f32[N]", "", "the extent to split must be known"},
      {"SplitToSequence", "f32[6] i64=2,2", "", "the parts add up to 4, dimension 0 has 6"},
      {"TfIdfVectorizer", "i64[N]",
       "max_gram_length=1 min_gram_length=1 max_skip_count=0 mode='TF' ngram_counts=[0] ngram_indexes=[0] "
       "pool_int64s=[1]",
       "its operand must be rows of known length"},
      {"TfIdfVectorizer", "i64[4]",
       "max_gram_length=1 min_gram_length=1 max_skip_count=0 mode='TF' ngram_counts=[5] ngram_indexes=[0] "
       "pool_int64s=[1]",
       "ngram_counts do not fit the pool"},
      {"TfIdfVectorizer", "i64[4]",
       "max_gram_length=1 min_gram_length=1 max_skip_count=0 mode='TF' ngram_counts=[0] ngram_indexes=[0,1] "
       "pool_int64s=[1]",
       "ngram_indexes do not fit the pool"},
      {"TfIdfVectorizer", "i64[4]",
       "max_gram_length=1 min_gram_length=1 max_skip_count=0 mode='TF' ngram_counts=[0] ngram_indexes=[0] "
       "pool_strings=['a']",
       "a pool of strings is not supported"},
  };
  check(all, ARRAY_LEN(all));
}

// ---- com.microsoft -----------------------------------------------------------------------------------------------------

#define MS "com.microsoft:"

Test(onnx_refused, contrib) {
  static const Mistake all[] = {
      {MS "FusedConv", "f32[1,2,8,8] f32[4,2,3,3]", "activation='Wave'",
       "the activation 'Wave' is not supported"},
      {MS "BiasSplitGelu", "f32[1,2,N] f32[1]", "", "the last extent must be known"},
      {MS "EmbedLayerNormalization", "i32[4] - f32[8,4] f32[8,4] - f32[4] f32[4]", "",
       "the words must be [batch,sequence]"},
      {MS "GroupNorm", "f32[1,8,4] f32[4] f32[4]", "groups=2", "its operand must have 4 dimensions"},
      {MS "NhwcConv", "f32[1,8,4] f32[4,4,3]", "", "its operand must have 4 dimensions"},
      {MS "QLinearConcat", "f32=1 u8=0", "axis=0", "it has no operands"},
      {MS "QGemm", "u8[2] f32=1 u8=0 u8[2,2] f32=1 u8=0", "", "its operands must be matrices"},
      {MS "MatMulNBits", "f32[1,16] u8=0 f32=1", "N=1 K=16 bits=3", "weights of 3 bits"},
      {MS "MatMulNBits", "f32[1,16] u8=0 f32=1", "N=1 K=16 bits=4 block_size=8", "its attributes do not fit"},
      {MS "MatMulNBits", "f32[1,16] u8=0 f32=1", "N=1 K=16 bits=4 block_size=16",
       "its weights must be a constant of 8 bytes"},
      {MS "MatMulNBits", "f32[1,16] u8=1,2,3,4,5,6,7,8 f32=1 u8[1]", "N=1 K=16 bits=4 block_size=16",
       "its zero points must be a constant of 1 bytes"},
      {MS "MatMulNBits", "f32[1,16] u8=1,2,3,4,5,6,7,8 f32=1 - i32[16]", "N=1 K=16 bits=4 block_size=16",
       "groups in another order (g_idx) are not supported"},
  };
  check(all, ARRAY_LEN(all));
}

Test(onnx_refused, contrib_attention) {
  static const Mistake all[] = {
      {MS "Attention", "f32[1,2,8] f32[8,24] f32[24]", "num_heads=2 do_rotary=1",
       "rotation and shared buffers are not supported here"},
      {MS "Attention", "f32[1,2,8] f32[8,24] f32[24]", "num_heads=2 qkv_hidden_sizes=[8,8]",
       "qkv_hidden_sizes must be three numbers"},
      {MS "Attention", "f32[1,2,8] f32[8,N] f32[24]", "num_heads=2",
       "its weights must be a matrix of known extents"},
      {MS "Attention", "f32[1,2,8] f32[8,24] f32[24]", "num_heads=2 qkv_hidden_sizes=[8,8,4]",
       "its weights do not fit"},
      {MS "Attention", "f32[1,2,8] f32[8,24] f32[24] i32[3]", "num_heads=2",
       "a mask of begins and ends of the keys is not supported"},
      {MS "Attention", "f32[1,2,8] f32[8,24] f32[24] i32[1,1,1,2,2]", "num_heads=2",
       "a mask with 5 dimensions is not supported"},
      {MS "MultiHeadAttention", "f32[1,2,8]", "num_heads=2", "its keys or values are missing"},
      {MS "MultiHeadAttention", "f32[1,2,2,3,4] - - f32[24]", "num_heads=2",
       "a bias for packed operands is not supported"},
      {MS "MultiHeadAttention", "f32[1,2,N] f32[1,2,8] f32[1,2,8]", "num_heads=2",
       "its first operand must be [b,s,n]"},
      {MS "MultiHeadAttention", "f32[1,2,8] f32[1,2,8] f32[1,2,8] - - - - - i32[1]", "num_heads=2",
       "shared buffers are not supported"},
      {MS "RotaryEmbedding", "f32[1,2,N] i64[1,2] f32[8,4] f32[8,4]", "", "its extents must be known"},
      {MS "GroupQueryAttention", "f32[1,2,8] f32[1,2,8] f32[1,2,8] - - i32[1,1] i32=2",
       "num_heads=3 kv_num_heads=2", "its numbers of heads do not fit"},
      {MS "GroupQueryAttention", "f32[1,2,8] f32[1,2,8] f32[1,2,8] - - i32[1,1] i32=2 - - i64[1,2]",
       "num_heads=2 kv_num_heads=2", "positions, biases and sinks as operands are not supported"},
  };
  check(all, ARRAY_LEN(all));
}

// ---- ai.onnx.ml ---------------------------------------------------------------------------------------------------------

#define ML "ai.onnx.ml:"
#define NODES(ids, modes, yes, no)                                                                           \
  "nodes_treeids=[0,0,0] nodes_nodeids=" ids                                                                 \
  " nodes_featureids=[0,0,0] nodes_values=[0.5,0.0,0.0] nodes_modes=" modes " nodes_truenodeids=" yes        \
  " nodes_falsenodeids=" no
#define STUMP NODES("[0,1,2]", "['BRANCH_LEQ','LEAF','LEAF']", "[1,0,0]", "[2,0,0]")
#define LEAVES(ids, targets)                                                                                 \
  " target_treeids=[0,0] target_nodeids=" ids " target_ids=" targets " target_weights=[1.0,2.0]"

Test(onnx_refused, trees) {
  static const Mistake all[] = {
      {ML "TreeEnsembleRegressor@3", "f32[2,3]", "nodes_treeids=[0]", "its lists of nodes differ in length"},
      {ML "TreeEnsembleRegressor@3", "f32[2,3]", "n_targets=1", "it has no nodes, or too many"},
      {ML "TreeEnsembleRegressor@3", "f32[2,3]", "n_targets=0", "0 targets"},
      {ML "TreeEnsembleRegressor@3", "f32[2,3]",
       NODES("[0,1,2]", "['BRANCH_ODD','LEAF','LEAF']", "[1,0,0]", "[2,0,0]"), "node 0 has an unknown mode"},
      {ML "TreeEnsembleRegressor@3", "f32[2,3]",
       NODES("[0,1,2]", "['BRANCH_LEQ','LEAF','LEAF']", "[1,0,0]", "[7,0,0]"),
       "node 0 leads to a node that does not exist"},
      {ML "TreeEnsembleRegressor@3", "f32[2,3]",
       NODES("[0,1,2]", "['BRANCH_LEQ','LEAF','LEAF']", "[1,0,0]", "[2]"),
       "its lists of nodes differ in length"},
      {ML "TreeEnsembleRegressor@3", "f32[2,3]",
       NODES("[0,1,2]", "['BRANCH_LEQ','BRANCH_LEQ','LEAF']", "[1,1,0]", "[2,2,0]") LEAVES("[2,2]", "[0,0]"),
       "node 1 is among its own children"},
      {ML "TreeEnsembleRegressor@3", "f32[2,3]",
       NODES("[0,1,2]", "['BRANCH_LEQ','BRANCH_LEQ','LEAF']", "[1,0,0]", "[2,2,0]") LEAVES("[2,2]", "[0,0]"),
       "it has no tree"},
      {ML "TreeEnsembleRegressor@3", "f32[2,3]", STUMP LEAVES("[1]", "[0,0]"),
       "its lists of leaves differ in length"},
      {ML "TreeEnsembleRegressor@3", "f32[2,3]", STUMP LEAVES("[1,2]", "[0,5]"),
       "weight 1 belongs to no leaf or target"},
      {ML "TreeEnsembleRegressor@3", "f32[2,3]",
       STUMP LEAVES("[1,2]", "[0,0]") " aggregate_function='MEDIAN'",
       "the aggregation 'MEDIAN' is not known"},
      {ML "TreeEnsembleRegressor@3", "f32[2,3]", STUMP LEAVES("[1,2]", "[0,0]") " post_transform='CUBE'",
       "the transform 'CUBE' is not supported"},
      {ML "TreeEnsembleRegressor@3", "f32[2,3]", STUMP LEAVES("[1,2]", "[0,0]") " base_values=[1.0,2.0,3.0]",
       "its base values do not fit"},
      {ML "TreeEnsembleRegressor@3", "f32[2,N]", STUMP LEAVES("[1,2]", "[0,0]"),
       "its operand must be rows of a known length"},
      {ML "TreeEnsembleClassifier@3", "f32[2,3]", STUMP, "it has no labels, or too many"},
      {ML "TreeEnsemble@5", "f32[2,3]", "aggregate_function=9", "an unknown aggregation or transform"},
      {ML "TreeEnsemble@5", "f32[2,3]", "n_targets=1", "its lists of nodes and leaves do not fit each other"},
  };
  check(all, ARRAY_LEN(all));
}

Test(onnx_refused, scores_and_labels) {
  static const Mistake all[] = {
      {ML "LinearRegressor", "f32[2,3]", "coefficients=[1.0,2.0,3.0] targets=2", "3 coefficients do not fit"},
      {ML "LinearClassifier", "f32[2,N]", "coefficients=[1.0,2.0,3.0]",
       "the number of columns must be known"},
      {ML "SVMRegressor", "f32[2,3]", "", "rho is missing"},
      {ML "SVMRegressor", "f32[2,N]", "rho=[1.0]", "its operand must be rows of a known length"},
      {ML "SVMRegressor", "f32[2,3]", "rho=[1.0] n_supports=2 support_vectors=[1.0]",
       "its support_vectors are 1, not 2 times 3"},
      {ML "SVMRegressor", "f32[2,3]",
       "rho=[1.0] n_supports=1 kernel_type='WAVE' kernel_params=[1.0,1.0,1.0] support_vectors=[1.0,1.0,1.0] "
       "coefficients=[1.0]",
       "the kernel 'WAVE' is not known"},
      {ML "SVMClassifier", "f32[2,3]", "rho=[1.0] classlabels_ints=[0,1] vectors_per_class=[1]",
       "2 classes, and vectors of 1"},
      {ML "SVMClassifier", "f32[2,3]", "rho=[1.0] classlabels_ints=[0,1] vectors_per_class=[1,0]",
       "class 1 has no vectors"},
      {ML "SVMClassifier", "f32[2,3]", "rho=[1.0,2.0] classlabels_ints=[0,1] vectors_per_class=[1,1]",
       "rho has 2 numbers"},
      {ML "SVMClassifier", "f32[2,3]",
       "rho=[1.0] classlabels_ints=[0,1] vectors_per_class=[1,1] coefficients=[1.0,1.0] prob_a=[1.0,2.0] "
       "prob_b=[1.0] "
       "support_vectors=[1.0,1.0,1.0,1.0,1.0,1.0]",
       "probabilities of more than two classes are not supported"},
      {ML "LabelEncoder@2", "i64[4]", "keys_int64s=[1,2]", "it has no values"},
      {ML "LabelEncoder@2", "i64[4]", "keys_int64s=[1,2] values_int64s=[1]",
       "its keys and values do not fit"},
      {ML "LabelEncoder@2", "i64[4]", "keys_int64s=[1,2] values_strings=['a']",
       "its keys and values do not fit"},
      {ML "Imputer", "i64[4]", "", "only floats are replaced"},
  };
  check(all, ARRAY_LEN(all));
}
