// test_ops_sequence.c: recurrent ops, attention, rotary embedding, loops and branches against plain C.
// SPDX-License-Identifier: Apache-2.0
#include "ops_call.h"

// ---- recurrent ------------------------------------------------------------------------------------------------

enum { T = 4, B = 3, I = 2, H = 5 };

static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}

// Row g * H + k of direction d's products with x and h and their biases.
typedef struct Net {
  const Call *r;
  int gates, d;
} Net;

static double from_x(const Net *n, int row, int t, int b) {
  double s = n->r->nin > 3 ? in_at(n->r, 3, n->d * 2 * n->gates * H + row) : 0;
  for (int i = 0; i < I; i++) s += in4(n->r, 1, n->d, row, i, 0) * in4(n->r, 0, t, b, i, 0);
  return s;
}

static double from_h(const Net *n, int row, const double *h) {
  double s = n->r->nin > 3 ? in_at(n->r, 3, (n->d * 2 + 1) * n->gates * H + row) : 0;
  for (int i = 0; i < H; i++) s += in4(n->r, 2, n->d, row, i, 0) * h[i];
  return s;
}

static double both(const Net *n, int row, int t, int b, const double *h) {
  return from_x(n, row, t, b) + from_h(n, row, h);
}

static void lstm_step(const Net *n, int t, int b, double *h, double *c) {
  double nh[H], nc[H];
  for (int k = 0; k < H; k++) {
    bool peep = n->r->nin > 7;
    double p[3] = {0};
    for (int g = 0; peep && g < 3; g++) p[g] = in_at(n->r, 7, n->d * 3 * H + g * H + k);
    double i = sigmoid(both(n, k, t, b, h) + p[0] * c[k]),
           f = sigmoid(both(n, 2 * H + k, t, b, h) + p[2] * c[k]);
    nc[k] = f * c[k] + i * tanh(both(n, 3 * H + k, t, b, h));
    nh[k] = sigmoid(both(n, H + k, t, b, h) + p[1] * nc[k]) * tanh(nc[k]);
  }
  memcpy(h, nh, sizeof nh);
  memcpy(c, nc, sizeof nc);
}

static void gru_step(const Net *n, int t, int b, double *h, bool linear) {
  double nh[H], r[H], rh[H];
  for (int k = 0; k < H; k++) {
    r[k] = sigmoid(both(n, H + k, t, b, h));
    rh[k] = r[k] * h[k];
  }
  for (int k = 0; k < H; k++) {
    double z = sigmoid(both(n, k, t, b, h)), x = from_x(n, 2 * H + k, t, b);
    double fresh = tanh(x + (linear ? r[k] * from_h(n, 2 * H + k, h) : from_h(n, 2 * H + k, rh)));
    nh[k] = (1 - z) * fresh + z * h[k];
  }
  memcpy(h, nh, sizeof nh);
}

static void rnn_step(const Net *n, int t, int b, double *h) {
  double nh[H];
  for (int k = 0; k < H; k++) nh[k] = tanh(both(n, k, t, b, h));
  memcpy(h, nh, sizeof nh);
}

// Runs direction d of batch element b for `len` steps; checks y and the last states.
static void check_sequence(const Net *n, int dirs, int b, bool reverse, int len, bool states, bool linear) {
  double h[H] = {0}, c[H] = {0};
  const Call *r = n->r;
  for (int k = 0; states && k < H; k++) {
    h[k] = in4(r, 5, n->d, b, k, 0);
    if (n->gates == 4) c[k] = in4(r, 6, n->d, b, k, 0);
  }
  for (int s = 0; s < T; s++) {
    int t = reverse ? T - 1 - s : s;
    if (t < len && n->gates == 4) lstm_step(n, t, b, h, c);
    if (t < len && n->gates == 3) gru_step(n, t, b, h, linear);
    if (t < len && n->gates == 1) rnn_step(n, t, b, h);
    for (int k = 0; k < H; k++) NEAR(r, 0, ((t * dirs + n->d) * B + b) * H + k, t < len ? h[k] : 0);
  }
  for (int k = 0; k < H; k++) {
    NEAR(r, 1, (n->d * B + b) * H + k, h[k]);
    if (n->gates == 4) NEAR(r, 2, (n->d * B + b) * H + k, c[k]);
  }
}

static void check_recurrent(const char *call, int gates, int dirs, bool reverse, bool lengths, bool linear) {
  static const int64_t LENGTHS[] = {4, 0, 2};
  Call r;
  start(&r, stderr);
  const char *s = call;
  call_parse(&r, &s);
  for (int i = 0; lengths && i < B; i++) tensor_set_int(r.in[4], i, LENGTHS[i]);
  evaluate(&r);
  for (int d = 0; d < dirs; d++)
    for (int b = 0; b < B; b++)
      check_sequence(&(Net){&r, gates, d}, dirs, b, reverse || d == 1, lengths ? (int)LENGTHS[b] : T,
                     r.nin > 5, linear);
}

Test(ops_sequence, rnn) {
  check_recurrent("rnn(f32[4,3,2], f32[1,5,2], f32[1,5,5], f32[1,10])", 1, 1, false, false, false);
  check_recurrent(
      "rnn(f32[4,3,2], f32[2,5,2], f32[2,5,5], f32[2,10], i32[3], f32[2,3,5], direction=bidirectional)", 1, 2,
      false, true, false);
}

Test(ops_sequence, gru) {
  check_recurrent("gru(f32[4,3,2], f32[1,15,2], f32[1,15,5])", 3, 1, false, false, false);
  check_recurrent("gru(f32[4,3,2], f32[1,15,2], f32[1,15,5], f32[1,30], i64[3], direction=reverse)", 3, 1,
                  true, true, false);
  check_recurrent(
      "gru(f32[4,3,2], f32[2,15,2], f32[2,15,5], f32[2,30], i32[3], f32[2,3,5], direction=bidirectional, "
      "linear_before_reset=true)",
      3, 2, false, true, true);
}

Test(ops_sequence, lstm) {
  check_recurrent("lstm(f32[4,3,2], f32[1,20,2], f32[1,20,5])", 4, 1, false, false, false);
  check_recurrent(
      "lstm(f32[4,3,2], f32[2,20,2], f32[2,20,5], f32[2,40], i32[3], f32[2,3,5], f32[2,3,5], f32[2,15], "
      "direction=bidirectional)",
      4, 2, false, true, false);
}

Test(ops_sequence, batch_first_moves_dimensions_only) {
  Call a, b;
  start(&a, stderr);
  start(&b, stderr);
  const char *p = "lstm(f32[4,3,2], f32[1,20,2], f32[1,20,5])";
  const char *q = "lstm(f32[3,4,2], f32[1,20,2], f32[1,20,5], batch_first=true)";
  call_parse(&a, &p);
  call_parse(&b, &q);
  for (int t = 0; t < T; t++)
    for (int n = 0; n < B; n++)
      for (int i = 0; i < I; i++) tensor_set(b.in[0], (n * T + t) * I + i, in4(&a, 0, t, n, i, 0));
  evaluate(&a);
  evaluate(&b);
  for (int t = 0; t < T; t++)
    for (int n = 0; n < B; n++)
      for (int k = 0; k < H; k++) NEAR(&b, 0, (n * T + t) * H + k, tensor_get(a.out[0], (t * B + n) * H + k));
}

// ---- attention ------------------------------------------------------------------------------------------------

typedef struct Attention {
  int heads, kv_heads, s, l, d, e, offset;
  double scale, cap;
  bool causal, mask;
} Attention;

// q, k, v are [1,heads,length,size].
static double attention_at(const Attention *a, const Call *r, int h, int i, int e) {
  double score[16], sum = 0, y = 0, max = -INFINITY;
  int g = h / (a->heads / a->kv_heads);
  for (int j = 0; j < a->l; j++) {
    score[j] = 0;
    for (int d = 0; d < a->d; d++) score[j] += in4(r, 0, 0, h, i, d) * in4(r, 1, 0, g, j, d) * a->scale;
    if (a->cap > 0) score[j] = a->cap * tanh(score[j] / a->cap);
    if (a->mask && in_at(r, 3, i * a->l + j) == 0) score[j] = -INFINITY;
    if (a->causal && j > i + a->offset) score[j] = -INFINITY;
    max = fmax(max, score[j]);
  }
  if (max == -INFINITY) return 0;
  for (int j = 0; j < a->l; j++) sum += exp(score[j] - max);
  for (int j = 0; j < a->l; j++) y += exp(score[j] - max) / sum * in4(r, 2, 0, g, j, e);
  return y;
}

static void check_attention(const char *call, Attention a) {
  Call r;
  run(&r, call);
  for (int h = 0; h < a.heads; h++)
    for (int i = 0; i < a.s; i++)
      for (int e = 0; e < a.e; e++) NEAR(&r, 0, (h * a.s + i) * a.e + e, attention_at(&a, &r, h, i, e));
}

Test(ops_sequence, attention) {
  check_attention("attention(f32[1,2,3,4], f32[1,2,5,4], f32[1,2,5,6])",
                  (Attention){2, 2, 3, 5, 4, 6, 0, 0.5, 0, 0, 0});
  check_attention("attention(f32[1,4,3,4], f32[1,2,5,4], f32[1,2,5,3], causal=true, offset=[2], scale=0.3)",
                  (Attention){4, 2, 3, 5, 4, 3, 2, 0.3, 0, true, false});
  check_attention("attention(f32[1,2,6,4], f32[1,2,6,4], f32[1,2,6,3], bool[6,6], causal=true, softcap=2)",
                  (Attention){2, 2, 6, 6, 4, 3, 0, 0.5, 2, true, true});
}

Test(ops_sequence, packed_attention_is_the_same) {
  Call a, b;
  start(&a, stderr);
  start(&b, stderr);
  const char *p = "attention(f32[1,4,3,2], f32[1,2,5,2], f32[1,2,5,2])";
  const char *q = "attention(f32[1,3,8], f32[1,5,4], f32[1,5,4], heads=4, kv_heads=2)";
  call_parse(&a, &p);
  call_parse(&b, &q);
  for (int k = 0; k < 3; k++) {
    int heads = k ? 2 : 4, len = k ? 5 : 3;
    for (int i = 0; i < heads * len * 2; i++)
      tensor_set(b.in[k], i, in4(&a, k, 0, i / 2 % heads, i / (2 * heads), i % 2));
  }
  evaluate(&a);
  evaluate(&b);
  for (int i = 0; i < 24; i++) NEAR(&b, 0, i, tensor_get(a.out[0], (i / 2 % 4 * 3 + i / 8) * 2 + i % 2));
}

Test(ops_sequence, rope_turns_pairs) {
  for (int interleaved = 0; interleaved < 2; interleaved++) {
    Call r;
    run(&r, interleaved ? "rope(f32[2,2,3,6], f32[5,2], f32[5,2], i64[2,3], dims=4, interleaved=true)"
                        : "rope(f32[2,2,3,6], f32[5,2], f32[5,2], i64[2,3], dims=4)");
    for (int i = 0; i < 72; i++) {
      int d = i % 6, s = i / 6 % 3, h = i / 18 % 2, b = i / 36;
      int64_t pos = tensor_get_int(r.in[3], b * 3 + s);
      int pair = interleaved ? d / 2 : d % 2, first = interleaved ? pair * 2 : pair,
          second = interleaved ? first + 1 : first + 2;
      double x = in4(&r, 0, b, h, s, first), y = in4(&r, 0, b, h, s, second);
      double c = in4(&r, 1, pos, pair, 0, 0), sn = in4(&r, 2, pos, pair, 0, 0);
      double want = d >= 4 ? in_at(&r, 0, i) : d == first ? x * c - y * sn : x * sn + y * c;
      NEAR(&r, 0, i, want);
    }
  }
}

// ---- control --------------------------------------------------------------------------------------------------

static Value *number(Builder *b, DType t, double v) {
  return mk_scalar(b, t, v);
}

// Body: x' = x * 2, goes on while x' < limit; collects x.
static Graph *doubling(Call *r, double limit) {
  Graph *g = graph_new(r->m, "body", r->m->main);
  Builder b = builder_at(g, NULL, NO_LOC);
  graph_input(g, "i", (Type){.dtype = DT_I64}, NO_LOC);
  graph_input(g, "go", (Type){.dtype = DT_BOOL}, NO_LOC);
  Value *x = graph_input(g, "x", (Type){.dtype = DT_F32}, NO_LOC);
  Value *next = mk_with(&b, "mul", x, 2);
  graph_output(g, NULL, mk_with(&b, "less", next, limit));
  graph_output(g, NULL, next);
  graph_output(g, NULL, x);
  return g;
}

Test(ops_sequence, loop_counts_and_stops) {
  for (int dynamic = 0; dynamic < 2; dynamic++) {
    Call r;
    start(&r, stderr);
    Builder b = builder_at(r.m->main, NULL, NO_LOC);
    Graph *body = doubling(&r, 20);
    Value *in[] = {NULL, dynamic ? number(&b, DT_BOOL, 1) : NULL, number(&b, DT_F32, 3)};
    Dim trips = dim_const(5);
    r.n = build_region_node(&b, "loop", in, 3, ATTRS(A_SHAPE("trips", &trips, 1)), &body, 1);
    cr_assert(r.n && r.n->nout == 2);
    cr_expect_eq(type_is_static(&r.n->out[1]->type), !dynamic);
    for (int k = 0; k < 2; k++) graph_output(r.m->main, NULL, r.n->out[k]);
    evaluate(&r);
    int n = dynamic ? 3 : 5; // 3 6 12 and out
    cr_expect_eq(r.out[1]->type.dim[0].n, n);
    NEAR(&r, 0, 0, 3 << n);
    for (int i = 0; i < n; i++) NEAR(&r, 1, i, 3 << i);
  }
}

Test(ops_sequence, loop_refuses_a_carried_value_that_changes_type) {
  Call r;
  start(&r, fopen("/dev/null", "w"));
  Builder b = builder_at(r.m->main, NULL, NO_LOC);
  Graph *body = doubling(&r, 20);
  Dim trips = dim_const(5);
  Value *in[] = {NULL, NULL, number(&b, DT_F64, 3)};
  cr_expect(!build_region_node(&b, "loop", in, 3, ATTRS(A_SHAPE("trips", &trips, 1)), &body, 1));
  Value *good[] = {NULL, number(&b, DT_BOOL, 1), number(&b, DT_F32, 3)};
  cr_expect(!build_region_node(&b, "loop", good, 3, NO_ATTRS, &body, 1), "collects without a bound");
  cr_expect_eq(diag_errors(r.c->diag), 2);
}

Test(ops_sequence, branches) {
  for (int which = 0; which < 2; which++) {
    Call r;
    start(&r, stderr);
    Builder b = builder_at(r.m->main, NULL, NO_LOC);
    Value *x = number(&b, DT_F32, 5);
    Graph *arm[2];
    for (int i = 0; i < 2; i++) {
      arm[i] = graph_new(r.m, i ? "else" : "then", r.m->main);
      Builder inner = builder_at(arm[i], NULL, NO_LOC);
      graph_output(arm[i], NULL, mk_with(&inner, i ? "add" : "mul", x, 7));
    }
    Value *cond = number(&b, DT_BOOL, which);
    r.n = build_region_node(&b, "if", IN(cond), NO_ATTRS, arm, 2);
    cr_assert(r.n);
    graph_output(r.m->main, NULL, r.n->out[0]);
    evaluate(&r);
    NEAR(&r, 0, 0, which ? 35 : 12);
  }
}
