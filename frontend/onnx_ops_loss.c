// onnx_ops_loss.c: ONNX losses and the optimisers of ai.onnx.preview.training.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

static Value *where(Call *c, Value *cond, Value *x, Value *y) {
  return make(c, "where", IN(cond, x, y), NO_ATTRS);
}

static Value *sum_all(Call *c, Value *v) {
  return make(c, "reduce_sum", IN(v), ATTRS(A_BOOL("keepdims", false)));
}

// The negative logarithmic likelihood of `target` [n,d...] under log_prob [n,classes,d...], weighted by class and
// reduced as asked. Targets equal to ignore_index count for nothing.
static Value *likelihood_loss(Call *c, Value *log_prob, Value *target, Value *weight) {
  const char *reduction = attr_s(c, "reduction", "mean");
  int64_t one[] = {1};
  Value *ignored = NULL, *zero = make_like(c, log_prob, 0);
  if (attr_has(c, "ignore_index")) {
    ignored = make_binary(c, "equal", target, make_like(c, target, (double)attr_i(c, "ignore_index", 0)));
    target = where(c, ignored, make_like(c, target, 0), target);
  }
  Value *at = make(c, "unsqueeze", IN(target), ATTRS(A_INTS("axes", one, 1)));
  Value *picked = make(c, "gather_elements", IN(log_prob, at), ATTRS(A_INT("axis", 1)));
  Value *loss = make_unary(c, "neg", make(c, "squeeze", IN(picked), ATTRS(A_INTS("axes", one, 1))));
  Value *each = weight ? make(c, "gather", IN(weight, target), NO_ATTRS) : NULL;
  if (!each)
    each = make(c, "fill", IN(make_like(c, loss, 1)), ATTRS(A_SHAPE("shape", loss->type.dim, rank_of(loss))));
  if (weight) loss = make_binary(c, "mul", loss, each);
  if (ignored) {
    loss = where(c, ignored, zero, loss);
    each = where(c, ignored, zero, each);
  }
  if (strcmp(reduction, "none") == 0) return loss;
  if (strcmp(reduction, "sum") == 0) return sum_all(c, loss);
  if (strcmp(reduction, "mean") != 0) call_fail(c, "reduction is '%s'", reduction);
  return make_binary(c, "div", sum_all(c, loss), sum_all(c, each));
}

static bool negative_log_likelihood(Call *c) {
  return ret(c, 0, likelihood_loss(c, arg(c, 0), arg(c, 1), arg_opt(c, 2)));
}

static bool softmax_cross_entropy(Call *c) {
  Value *log_prob = make(c, "log_softmax", IN(arg(c, 0)), ATTRS(A_INT("axis", 1)));
  ret(c, 0, likelihood_loss(c, log_prob, arg(c, 1), arg_opt(c, 2)));
  return wants(c, 1) ? ret(c, 1, log_prob) : !c->failed;
}

// ---- optimisers -------------------------------------------------------------------------------------------------

// One step of one tensor: x and gradient g with `norm` * x added, and states of the optimiser.
typedef struct Step {
  Value *rate, *count; // learning rate (scalar), number of steps done before (i64 scalar)
  Value *x, *g, *state[2];
} Step;

static Value *number(Call *c, const Value *like, double v) {
  return make_like(c, like, v);
}

static Value *add(Call *c, Value *x, Value *y) {
  return make_binary(c, "add", x, y);
}

static Value *mul(Call *c, Value *x, Value *y) {
  return make_binary(c, "mul", x, y);
}

static Value *sub(Call *c, Value *x, Value *y) {
  return make_binary(c, "sub", x, y);
}

static Value *divide(Call *c, Value *x, Value *y) {
  return make_binary(c, "div", x, y);
}

static Value *count_as_rate(Call *c, const Step *s) {
  return make_cast(c, s->count, s->rate->type.dtype);
}

static Value *not_first(Call *c, const Step *s) {
  return make_binary(c, "greater", s->count, number(c, s->count, 0));
}

static Value *adagrad(Call *c, Step *s) {
  Value *decay = make_scaled(c, count_as_rate(c, s), attr_f(c, "decay_factor", 0));
  Value *rate = divide(c, s->rate, add(c, decay, number(c, s->rate, 1)));
  s->state[0] = add(c, s->state[0], mul(c, s->g, s->g));
  Value *size = add(c, make_unary(c, "sqrt", s->state[0]), number(c, s->x, attr_f(c, "epsilon", 0)));
  return sub(c, s->x, divide(c, mul(c, rate, s->g), size));
}

static Value *momentum(Call *c, Step *s) {
  double alpha = attr_f(c, "alpha", 0), beta = attr_f(c, "beta", 0);
  Value *weight = where(c, not_first(c, s), number(c, s->g, beta), number(c, s->g, 1));
  s->state[0] = add(c, make_scaled(c, s->state[0], alpha), mul(c, weight, s->g));
  Value *by = s->state[0];
  if (strcmp(attr_s(c, "mode", "standard"), "nesterov") == 0) by = add(c, s->g, make_scaled(c, by, alpha));
  return sub(c, s->x, mul(c, s->rate, by));
}

// 1 - base to the power of the number of steps
static Value *bias(Call *c, const Step *s, double base) {
  Value *power = make_binary(c, "pow", number(c, s->rate, base), count_as_rate(c, s));
  return sub(c, number(c, s->rate, 1), power);
}

static Value *adam(Call *c, Step *s) {
  double alpha = attr_f(c, "alpha", 0.9), beta = attr_f(c, "beta", 0.999);
  s->state[0] = add(c, make_scaled(c, s->state[0], alpha), make_scaled(c, s->g, 1 - alpha));
  s->state[1] = add(c, make_scaled(c, s->state[1], beta), make_scaled(c, mul(c, s->g, s->g), 1 - beta));
  Value *size = add(c, make_unary(c, "sqrt", s->state[1]), number(c, s->x, attr_f(c, "epsilon", 1e-6)));
  Value *corrected = divide(c, mul(c, s->rate, make_unary(c, "sqrt", bias(c, s, beta))), bias(c, s, alpha));
  Value *rate = where(c, not_first(c, s), corrected, s->rate);
  Value *x = sub(c, s->x, divide(c, mul(c, rate, s->state[0]), size));
  return make_scaled(c, x, 1 - attr_f(c, "norm_coefficient_post", 0));
}

// Operands: rate, count, then all tensors, all gradients, and all states of each kind; results likewise.
static bool optimise(Call *c, Value *(*step)(Call *, Step *), int nstates) {
  int each = 2 + nstates, n = (c->nin - 2) / each;
  if (c->nin < 2 || (c->nin - 2) % each) return call_fail(c, "%d operands do not fit", c->nin);
  for (int i = 0; i < n; i++) {
    Step s = {.rate = arg(c, 0), .count = arg(c, 1), .x = arg(c, 2 + i), .g = arg(c, 2 + n + i)};
    for (int k = 0; k < nstates; k++) s.state[k] = arg(c, 2 + (2 + k) * n + i);
    s.g = add(c, s.g, make_scaled(c, s.x, attr_f(c, "norm_coefficient", 0)));
    ret(c, i, step(c, &s));
    for (int k = 0; k < nstates; k++) ret(c, (1 + k) * n + i, s.state[k]);
  }
  return !c->failed;
}

static bool adagrad_op(Call *c) {
  return optimise(c, adagrad, 1);
}

static bool momentum_op(Call *c) {
  return optimise(c, momentum, 1);
}

static bool adam_op(Call *c) {
  return optimise(c, adam, 2);
}

const OnnxOp ONNX_OPS_LOSS[] = {
    {"", "NegativeLogLikelihoodLoss", negative_log_likelihood, NULL},
    {"", "SoftmaxCrossEntropyLoss", softmax_cross_entropy, NULL},
    {"ai.onnx.preview.training", "Adagrad", adagrad_op, NULL},
    {"ai.onnx.preview.training", "Momentum", momentum_op, NULL},
    {"ai.onnx.preview.training", "Adam", adam_op, NULL},
    {0},
};
