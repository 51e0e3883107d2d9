// onnx_ops_recurrent.c: RNN, GRU and LSTM.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

#include <strings.h>

enum { MAX_ACTIVATIONS = 6 }; // three for each direction of an LSTM

// An activation by its ONNX name, with the parameters it has and their defaults.
typedef struct Activation {
  const char *onnx, *core;
  bool has_alpha, has_beta;
  double alpha, beta;
} Activation;

static const Activation ACTIVATIONS[] = {
    {"Relu", "relu", false, false, 0, 0},
    {"Tanh", "tanh", false, false, 0, 0},
    {"Sigmoid", "sigmoid", false, false, 0, 0},
    {"Affine", "affine", true, true, 1, 0},
    {"LeakyRelu", "leaky_relu", true, false, 0.01, 0},
    {"ThresholdedRelu", "thresholded_relu", true, false, 1, 0},
    {"ScaledTanh", "scaled_tanh", true, true, 1, 1},
    {"HardSigmoid", "hard_sigmoid", true, true, 0.2, 0.5},
    {"Elu", "elu", true, false, 1, 0},
    {"Softsign", "softsign", false, false, 0, 0},
    {"Softplus", "softplus", false, false, 0, 0},
};

// What the attributes say of the activations, as the core ops want it: a name, an alpha and a beta for each.
typedef struct Chosen {
  Str names;
  int n;
  double alpha[MAX_ACTIVATIONS], beta[MAX_ACTIVATIONS];
} Chosen;

// Parameter lists hold one number for each activation that has the parameter, or one for every activation.
static double parameter(const float *v, int n, int total, int k, int *used, bool has, double usual) {
  if (n == total) return has ? v[k] : usual;
  if (!has || *used >= n) return usual;
  return v[(*used)++];
}

static bool choose(Call *c, const OnnxAttr *names, Chosen *out) {
  const float *alpha, *beta;
  int nalpha = attr_fs(c, "activation_alpha", &alpha), nbeta = attr_fs(c, "activation_beta", &beta);
  int used_alpha = 0, used_beta = 0;
  if (names->nstrings > MAX_ACTIVATIONS) return call_fail(c, "%d activations", (int)names->nstrings);
  for (out->n = 0; out->n < names->nstrings; out->n++) {
    const OnnxBytes *s = &names->strings[out->n];
    const char *name = arena_strndup(call_arena(c), (const char *)s->p, s->n);
    const Activation *a = NULL;
    for (int i = 0; i < ARRAY_LEN(ACTIVATIONS); i++) {
      if (strcasecmp(ACTIVATIONS[i].onnx, name) == 0) a = &ACTIVATIONS[i];
    }
    if (!a) return call_fail(c, "the activation '%s' is unknown", name);
    str_printf(&out->names, "%s%s", out->n ? "," : "", a->core);
    int total = (int)names->nstrings, k = out->n;
    out->alpha[k] = parameter(alpha, nalpha, total, k, &used_alpha, a->has_alpha, a->alpha);
    out->beta[k] = parameter(beta, nbeta, total, k, &used_beta, a->has_beta, a->beta);
  }
  return true;
}

static bool recurrent(Call *c) {
  bool lstm = strcmp(c->op->arg, "lstm") == 0, gru = strcmp(c->op->arg, "gru") == 0;
  Value *in[8];
  Chosen chosen = {.names = {.arena = call_arena(c)}};
  const OnnxAttr *names = attr_find(c, "activations", ONNX_ATTR_STRINGS);
  for (int k = 0; k < 8; k++) in[k] = k < 3 ? arg(c, k) : arg_opt(c, k);
  if (c->failed || (names && !choose(c, names, &chosen))) return false;
  Attr attrs[8] = {
      A_STRING("direction", attr_s(c, "direction", "forward")),
      A_STRING("activations", str_text(&chosen.names)),
      A_FLOATS("alpha", chosen.alpha, chosen.n),
      A_FLOATS("beta", chosen.beta, chosen.n),
      A_FLOAT("clip", attr_f(c, "clip", 0)),
      A_BOOL("batch_first", attr_i(c, "layout", 0)),
  };
  int nattrs = 6, nout = lstm ? 3 : 2;
  if (gru) attrs[nattrs++] = A_BOOL("linear_before_reset", attr_i(c, "linear_before_reset", 0));
  if (lstm) attrs[nattrs++] = A_BOOL("input_forget", attr_i(c, "input_forget", 0));
  Value **out = make_all(c, c->op->arg, in, lstm ? 8 : 6, attrs, nattrs, nout);
  for (int k = 0; k < nout; k++) ret(c, k, out[k]);
  return !c->failed;
}

const OnnxOp ONNX_OPS_RECURRENT[] = {
    {"", "RNN", recurrent, "rnn"},
    {"", "GRU", recurrent, "gru"},
    {"", "LSTM", recurrent, "lstm"},
    {0},
};
