// onnx_ops_text.c: what can be done with words: constant strings as numbers, and n-grams of integer tokens.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

#include <stdlib.h>

enum { COLUMNS_MAX = 1 << 24 }; // of a TfIdfVectorizer

// Constant strings, read as numbers ("3.14", "1e-5", "NaN", "INF").
bool cast_strings(Call *c, const OnnxTensor *strings, int32_t to) {
  Type type = {.dtype = onnx_dtype(to), .rank = (int)strings->ndims};
  if (type.dtype == DT_NONE || strings->ndims > MAX_RANK)
    return call_fail(c, "the strings cannot become numbers");
  for (int d = 0; d < type.rank; d++) type.dim[d] = dim_const(strings->dims[d]);
  if (!type_check_size(call_ctx(c), c->loc, &type)) return c->failed = true, false;
  if (type_elements(&type) != strings->nstrings) return call_fail(c, "the strings do not fit their shape");
  Tensor *t = tensor_new(call_ctx(c), &type);
  for (int64_t i = 0; i < strings->nstrings; i++) {
    const OnnxBytes *s = &strings->strings[i];
    const char *text = arena_strndup(call_arena(c), (const char *)s->p, s->n);
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end) return call_fail(c, "the string '%s' is not a number", text);
    if (dtype_is_float(type.dtype)) tensor_set(t, i, v);
    if (!dtype_is_float(type.dtype)) tensor_set_int(t, i, strtoll(text, NULL, 10));
  }
  return ret_as(c, 0, make_const(c, t), to);
}

// ---- TfIdfVectorizer --------------------------------------------------------------------------------------------

// The n-grams of one length: `count` of them, each of `n` tokens, in `pool`.
typedef struct Grams {
  const int64_t *pool;
  int64_t n, count;
} Grams;

// Token k of every n-gram, as the type of x.
static Value *tokens_at(Call *c, const Grams *g, int64_t k, DType t) {
  Type type = type_make(t, 1, &g->count);
  Tensor *column = tensor_new(call_ctx(c), &type);
  for (int64_t i = 0; i < g->count; i++) tensor_set_int(column, i, g->pool[i * g->n + k]);
  return make_const(c, column);
}

// How often each n-gram occurs in the rows of x [b,l] with `step` between its tokens: [b,count], or NULL if it
// is longer than a row.
static Value *occurrences(Call *c, Value *x, const Grams *g, int64_t step) {
  int64_t length = dim_of(x, 1).n, places = length - (g->n - 1) * step, axes[] = {1};
  Value *all = NULL;
  if (places < 1) return NULL;
  for (int64_t k = 0; k < g->n; k++) {
    Value *column = make_unsqueeze_last(c, make_slice(c, x, 1, k * step, k * step + places), 1);
    Value *equal = make_binary(c, "equal", column, tokens_at(c, g, k, x->type.dtype));
    all = all ? make_binary(c, "and", all, equal) : equal;
  }
  Attr over[] = {A_INTS("axes", axes, 1), A_BOOL("keepdims", false)};
  return make(c, "reduce_sum", IN(make_cast(c, all, DT_F32)), over, 2);
}

// Counts over all skips; an n-gram of one token has none.
static Value *gram_counts(Call *c, Value *x, const Grams *g, int64_t max_skip) {
  Value *sum = NULL;
  for (int64_t skip = 0; skip <= (g->n > 1 ? max_skip : 0); skip++) {
    Value *v = occurrences(c, x, g, skip + 1);
    if (v) sum = sum ? make_binary(c, "add", sum, v) : v;
  }
  if (sum) return sum;
  Dim none[] = {dim_of(x, 0), dim_const(g->count)};
  return make(c, "fill", IN(make_scalar(c, DT_F32, 0)), ATTRS(A_SHAPE("shape", none, 2)));
}

// The counts [b,grams] put into columns `index`; columns without an n-gram are 0.
static Value *in_columns(Call *c, Value *counts, const int64_t *index, int n) {
  int64_t columns = 0, pads[] = {0, 0, 0, 1};
  for (int i = 0; i < n; i++) {
    if (index[i] < 0 || index[i] >= COLUMNS_MAX)
      return call_fail(c, "index %lld", (long long)index[i]), counts;
    if (index[i] >= columns) columns = index[i] + 1;
  }
  int64_t *from = NEW_ARRAY(call_arena(c), int64_t, columns + 1);
  for (int64_t i = 0; i < columns; i++) from[i] = n; // the column of zeros that is padded on
  for (int i = 0; i < n; i++) from[index[i]] = i;
  counts = make(c, "pad", IN(counts, NULL), ATTRS(A_INTS("pads", pads, 4)));
  return make(c, "gather", IN(counts, make_ints(c, from, (int)columns)), ATTRS(A_INT("axis", 1)));
}

static Value *weighted(Call *c, Value *y, const int64_t *index, int n) {
  const char *mode = attr_s(c, "mode", "TF");
  const float *weights;
  int nweights = attr_fs(c, "weights", &weights);
  bool tf = strcmp(mode, "TF") == 0, idf = strcmp(mode, "IDF") == 0;
  if (!tf && !idf && strcmp(mode, "TFIDF") != 0) return call_fail(c, "mode is '%s'", mode), y;
  if (idf) y = make_cast(c, make_binary(c, "greater", y, make_like(c, y, 0)), DT_F32);
  if (tf || nweights == 0) return y;
  Type type = {.dtype = DT_F32, .rank = 1, .dim = {dim_of(y, 1)}};
  Tensor *w = tensor_new(call_ctx(c), &type);
  for (int i = 0; i < n && i < nweights; i++) tensor_set(w, index[i], weights[i]);
  return make_binary(c, "mul", y, make_const(c, w));
}

// The pool as groups of n-grams of 1, 2 ... tokens; ngram_counts says where each group begins.
static bool read_grams(Call *c, int64_t n, Grams *g) {
  const int64_t *pool, *starts;
  int total = attr_is(c, "pool_int64s", &pool), nstarts = attr_is(c, "ngram_counts", &starts);
  if (n > nstarts) return false;
  int64_t from = starts[n - 1], to = n < nstarts ? starts[n] : total;
  if (from < 0 || to < from || to > total || (to - from) % n)
    return call_fail(c, "ngram_counts do not fit the pool");
  *g = (Grams){.pool = to > from ? pool + from : NULL, .n = n, .count = (to - from) / n};
  return true;
}

static bool tfidf(Call *c) {
  Value *x = arg(c, 0);
  bool line = rank_of(x) == 1;
  int64_t axes[] = {0}, shortest = attr_i(c, "min_gram_length", 1), longest = attr_i(c, "max_gram_length", 1);
  const int64_t *index;
  int n = attr_is(c, "ngram_indexes", &index);
  if (attr_has(c, "pool_strings")) return call_fail(c, "a pool of strings is not supported");
  if (line) x = make(c, "unsqueeze", IN(x), ATTRS(A_INTS("axes", axes, 1)));
  if (c->failed || rank_of(x) != 2 || dim_of(x, 1).sym)
    return call_fail(c, "its operand must be rows of known length");
  Vec(Value *) groups = {0};
  Grams g;
  int64_t total = 0;
  for (int64_t k = 1; k <= MAX_OPERANDS && read_grams(c, k, &g); k++) {
    total += g.count;
    if (g.count == 0) continue;
    bool counted = k >= shortest && k <= longest;
    Value *zero = NULL;
    Dim none[] = {dim_of(x, 0), dim_const(g.count)};
    if (!counted) zero = make(c, "fill", IN(make_scalar(c, DT_F32, 0)), ATTRS(A_SHAPE("shape", none, 2)));
    vec_push(call_arena(c), &groups, counted ? gram_counts(c, x, &g, attr_i(c, "max_skip_count", 0)) : zero);
  }
  if (c->failed || groups.n == 0 || total != n) return call_fail(c, "ngram_indexes do not fit the pool");
  Value *y = in_columns(c, make_concat(c, groups.data, groups.n, 1), index, n);
  y = weighted(c, y, index, n);
  return ret(c, 0, line ? make(c, "squeeze", IN(y), ATTRS(A_INTS("axes", axes, 1))) : y);
}

const OnnxOp ONNX_OPS_TEXT[] = {
    {"", "TfIdfVectorizer", tfidf, NULL},
    {0},
};
