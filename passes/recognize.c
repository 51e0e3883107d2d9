// recognize.c: activations that a model spells out in pieces become the one op.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "passes/rewrite.h"

static bool is_near(double a, double b) {
  return fabs(a - b) <= 1e-4 * fabs(b);
}

// ---- products of several factors ----------------------------------------------------------------------------

enum { MAX_FACTORS = 6 };

// v = number * factor[0] * factor[1] ..., the multiplications inside used by nothing else.
typedef struct Factors {
  double number;
  Value *factor[MAX_FACTORS];
  int n;
} Factors;

static bool add_factors(Factors *f, Value *v, bool top) {
  Node *mul = top ? made_by(v, "mul") : made_by_once(v, "mul");
  if (!mul) {
    if (f->n == MAX_FACTORS) return false;
    f->factor[f->n++] = v;
    return true;
  }
  double k;
  if (!operand_number(mul, 1, &k))
    return add_factors(f, mul->in[0], false) && add_factors(f, mul->in[1], false);
  if (!same_type(mul->in[0], mul->out[0])) return false;
  f->number *= k;
  return add_factors(f, mul->in[0], false);
}

// The other one of two factors, if one of them is made by `op`.
static Node *factor_by(const Factors *f, const char *op, Value **other) {
  for (int i = 0; f->n == 2 && i < 2; i++) {
    Node *n = made_by(f->factor[i], op);
    if (!n) continue;
    *other = f->factor[1 - i];
    return n;
  }
  return NULL;
}

// v = number * x, or x itself.
static bool is_multiple(Value *v, Value *x, double *number) {
  double k;
  Node *n;
  *number = 1;
  if (v == x) return true;
  if ((n = made_by(v, "mul")) && operand_number(n, 1, &k)) *number = k;
  if (!n && (n = made_by(v, "div")) && operand_number(n, 1, &k)) *number = 1 / k;
  return n && n->in[0] == x;
}

// ---- activations --------------------------------------------------------------------------------------------

// x * sigmoid(x), x * hard_sigmoid(x) with slope 1/6.
static Value *find_silu(Rewrite *r, const Factors *f) {
  Value *x;
  Node *s = factor_by(f, "sigmoid", &x);
  if (f->number != 1) return NULL;
  if (s && s->in[0] == x) return build1(r, "silu", x);
  double k;
  if (s && is_multiple(s->in[0], x, &k) && is_near(k, 1.702))
    return build(&r->b, "quick_gelu", IN(x), ATTRS(A_FLOAT("alpha", k)));
  s = factor_by(f, "hard_sigmoid", &x);
  if (!s || s->in[0] != x || !is_near(attr_float(s, "alpha"), 1.0 / 6) || attr_float(s, "beta") != 0.5)
    return NULL;
  return build1(r, "hard_swish", x);
}

// 0.5 * x * (1 + erf(x / sqrt(2)))
static Value *find_gelu(Rewrite *r, const Factors *f) {
  Value *x;
  double one, k;
  Node *sum = factor_by(f, "add", &x);
  if (!sum || f->number != 0.5 || !operand_number(sum, 1, &one) || one != 1) return NULL;
  Node *erf = made_by(sum->in[0], "erf");
  if (!erf || !is_multiple(erf->in[0], x, &k) || !is_near(k, M_SQRT1_2)) return NULL;
  return build1(r, "gelu", x);
}

static Value *find_activation(Rewrite *r, bool *changed) {
  (void)changed;
  Factors f = {.number = 1};
  if (!dtype_is_float(r->n->out[0]->type.dtype) || !add_factors(&f, r->n->out[0], true) || f.n != 2)
    return NULL;
  Value *v = find_silu(r, &f);
  return v ? v : find_gelu(r, &f);
}

static const Rule RULES[] = {{"mul", find_activation}};

bool pass_recognize(Module *m, const PassOptions *o) {
  return rewrite_module(m, o, "recognize", RULES, ARRAY_LEN(RULES), 2);
}
