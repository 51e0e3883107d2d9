// noise.c: how far apart correct results may be, learnt by disturbing every rounding of the reference.
// SPDX-License-Identifier: Apache-2.0
//
// Monte Carlo arithmetic in the spirit of Stott Parker (1997): inputs, constants and the result of every op
// are moved by a few units in the last place at random. What an output element does then is what rounding may
// do to it: a comparison that flips, an index that jumps and a sum that cancels all show. Exact ops add nothing.
#include "passes/passes.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>

enum { NOISE_FIRST = 4, NOISE_MOST = 64, HUGE_RESULT = 1000000 };

struct Noise {
  Ctx *c;
  const char *text;
  const Tensor *const *in;
  Tensor *const *ref;
  int runs;
  double **spread; // by output: largest departure of each element; infinite where it changes altogether
  Rng rng;
};

static double epsilon(DType t) {
  switch (t) {
  case DT_F16: return 0x1p-11;
  case DT_BF16: return 0x1p-8;
  case DT_F32: return 0x1p-24;
  default: return 0x1p-53;
  }
}

Noise *noise_new(Ctx *c, const char *text, const Tensor *const *in, Tensor *const *ref) {
  Noise *n = NEW(c->arena, Noise);
  *n = (Noise){.c = c, .text = text, .in = in, .ref = ref, .rng = {hash_bytes(text, strlen(text))}};
  return n;
}

// ---- disturbing -----------------------------------------------------------------------------------------------

// By what a value of type t may be off, if it is not a long sum.
static double usual_error(DType t) {
  return (dtype_bytes(t) == 2 ? 2 : 8) * epsilon(t);
}

static double largest_finite(const Tensor *x) {
  double most = 0;
  for (int64_t i = 0, count = type_elements(&x->type); i < count; i++) {
    double v = fabs(tensor_get(x, i));
    if (isfinite(v)) most = fmax(most, v);
  }
  return most;
}

// Moves the elements of x by at most `size` of them; those below `rest` may become 0.
static void disturb(Noise *n, Tensor *x, double size, double rest) {
  if (!dtype_is_float(x->type.dtype)) return;
  for (int64_t i = 0, count = type_elements(&x->type); i < count; i++) {
    double v = tensor_get(x, i), r = rng_unit(&n->rng) * 2 - 1;
    bool zero = v == 0 || (fabs(v) < rest && rng_chance(&n->rng, 25));
    tensor_set(x, i, zero ? (r < 0 ? -0.0 : 0.0) : v + v * r * size);
  }
}

static bool is_exact(const Node *n) {
  static const char *const names[] = {"floor", "ceil", "trunc", "round", "relu", "max",  "min",    "neg",
                                      "abs",   "sign", "where", "pad",   "fill", "iota", "gather", "one_hot"};
  if (n->op->info->flags & OP_VIEW) return true;
  for (int i = 0; i < ARRAY_LEN(names); i++)
    if (op_is(n, names[i])) return true;
  return op_is(n, "cast") && !dtype_is_float(n->in[0]->type.dtype);
}

// The evaluator adds one term after the other: of n terms that are much alike, the sum is off by 4 sqrt(n) roundings but
// rarely (the probabilistic bound of Higham and Mary, 2019, with a constant of 4).
static double sum_error(const Node *n, DType t) {
  if (strncmp(n->op->info->name, "reduce_", 7) != 0) return 0;
  double terms = (double)type_elements(&n->in[0]->type) / (double)type_elements(&n->out[0]->type);
  return isfinite(terms) ? 4 * sqrt(terms) * epsilon(t) : 0;
}

// What is left where the terms of a sum cancel, a few units in the last place of results beside it, may be 0 in another order,
// which conversion to bool tells from all other numbers.
static double sum_rest(const Node *n, const Tensor *x) {
  static const char *const names[] = {"add",  "sub",    "reduce_sum", "reduce_mean", "avg_pool",
                                      "conv", "matmul", "linear",     "cumsum",      "conv_transpose"};
  for (int i = 0; i < ARRAY_LEN(names); i++)
    if (op_is(n, names[i])) return 16 * epsilon(x->type.dtype) * largest_finite(x);
  return 0;
}

static void disturb_result(void *data, const Value *v, const Tensor *x) {
  if (v->def && is_exact(v->def)) return;
  bool single = v->def && (op_is(v->def, "random_normal") || op_is(v->def, "roi_align")); // f32 inside
  DType t = single ? DT_F32 : x->type.dtype;
  double sum = v->def && v->def->nin > 0 ? sum_error(v->def, t) : 0;
  double rest = v->def && dtype_is_float(t) ? sum_rest(v->def, x) : 0;
  disturb(data, (Tensor *)x, fmax(usual_error(t), sum), rest); // the evaluator's own buffer
}

static Tensor *copy_of(Ctx *c, const Tensor *x) {
  Tensor *copy = tensor_new(c, &x->type);
  memcpy(tensor_data(copy), x->data, x->bytes);
  return copy;
}

// Scalars stay: exponents, thresholds and the like are what they are.
static void disturb_leaves(Noise *n, Module *m, const Tensor **in) {
  Graph *g = m->main;
  for (int i = 0; i < g->inputs.n; i++) {
    Tensor *x = copy_of(m->ctx, n->in[i]);
    disturb(n, x, usual_error(x->type.dtype), 0);
    in[i] = x;
  }
  for (int i = 0; i < g->consts.n; i++) {
    Value *v = g->consts.data[i];
    Tensor *x = copy_of(m->ctx, v->data);
    if (type_elements(&x->type) > 1) disturb(n, x, usual_error(x->type.dtype), 0);
    v->data = x;
  }
}

// ---- learning -------------------------------------------------------------------------------------------------

static double departure(const Tensor *ref, double want, double got) {
  if (want == got || (isnan(want) && isnan(got))) return 0;
  if (!dtype_is_float(ref->type.dtype) || !isfinite(want) || !isfinite(got)) return INFINITY;
  return fabs(want - got);
}

static double element_departure(const Tensor *ref, const Tensor *got, int64_t i) {
  if (!dtype_is_float(ref->type.dtype))
    return tensor_get_int(ref, i) == tensor_get_int(got, i) ? 0 : INFINITY;
  return departure(ref, tensor_get(ref, i), tensor_get(got, i));
}

static void learn(Noise *n, int k, const Tensor *got) {
  const Tensor *ref = n->ref[k];
  bool same = type_equal(&ref->type, &got->type); // extents may depend on data
  for (int64_t i = 0; i < type_elements(&ref->type); i++)
    n->spread[k][i] = fmax(n->spread[k][i], same ? element_departure(ref, got, i) : INFINITY);
}

static bool run_once(Noise *n) {
  jmp_buf oom;
  Arena *a = arena_new(&oom);
  if (setjmp(oom)) return arena_free(a), false;
  FILE *sink = fopen("/dev/null", "w");
  Ctx *c = ctx_new(a, diag_new(a, sink, false));
  Module *m = module_parse(c, source_from_text(a, "model.ing", n->text));
  PassOptions o = {.winograd = "off"};
  bool ok = m && (m->target || (m->target = target_default(c))) && passes_run(m, &o, "decompose", NULL, NULL);
  if (ok) {
    const Tensor **in = NEW_ARRAY(a, const Tensor *, m->main->inputs.n + 1);
    Tensor **out = NEW_ARRAY(a, Tensor *, m->main->outputs.n + 1);
    disturb_leaves(n, m, in);
    ok = eval_module_watch(m, in, out, disturb_result, n);
    if (ok && !n->spread) n->spread = NEW_ARRAY(n->c->arena, double *, m->main->outputs.n + 1);
    for (int k = 0; ok && k < m->main->outputs.n; k++) {
      if (!n->spread[k]) n->spread[k] = NEW_ARRAY(n->c->arena, double, type_elements(&n->ref[k]->type) + 1);
      learn(n, k, out[k]);
    }
  }
  fclose(sink);
  arena_free(a);
  n->runs++;
  return ok;
}

// ---- judging --------------------------------------------------------------------------------------------------

// Of the elements that do not change altogether.
static double typical(const Noise *n, int k) {
  double sum = 0;
  int64_t used = 0;
  for (int64_t i = 0; i < type_elements(&n->ref[k]->type); i++) {
    double s = n->spread[k][i];
    if (isfinite(s)) sum += s * s, used++;
  }
  return used ? sqrt(sum / (double)used) : 0;
}

// A direct comparison, enough for nearly all elements of nearly all models.
static bool close_anyway(const Tensor *ref, const Tensor *got, int64_t i) {
  double apart = element_departure(ref, got, i);
  return apart <= 4 * epsilon(ref->type.dtype) * fabs(tensor_get(ref, i));
}

static bool within(const Noise *n, int k, const Tensor *got, int64_t i, double usual, double *allowed) {
  const Tensor *ref = n->ref[k];
  double want = tensor_get(ref, i);
  *allowed = n->spread[k][i];
  if (isinf(*allowed)) return true;
  if (fabs(want) > HUGE_RESULT && *allowed > fabs(want) / 2) return true; // beside a pole
  double tiny = ref->type.dtype == DT_F64 ? 0x1p-1068 : ref->type.dtype == DT_F16 ? 0x1p-22 : 0x1p-140;
  *allowed = 8 * (*allowed + usual) + 4 * epsilon(ref->type.dtype) * fabs(want) + tiny;
  return element_departure(ref, got, i) <= *allowed;
}

bool noise_explains(Noise *n, int k, const Tensor *got, double scale, int64_t *at, double *allowed) {
  const Tensor *ref = n->ref[k];
  int64_t count = type_elements(&ref->type), i = 0;
  while (i < count && close_anyway(ref, got, i)) i++;
  if (i == count) return true;
  for (int want = NOISE_FIRST;; want *= 2) {
    while (n->runs < want)
      if (!run_once(n)) return *at = i, false;
    double usual = typical(n, k);
    for (i = 0; i < count; i++) {
      if (close_anyway(ref, got, i) || within(n, k, got, i, usual, allowed)) continue;
      if (element_departure(ref, got, i) > *allowed * scale) break;
    }
    if (i == count) return true;
    if (want >= NOISE_MOST) return *at = i, false;
  }
}

int64_t noise_unstable(const Noise *n, int k) {
  int64_t unstable = 0;
  for (int64_t i = 0; n->spread && n->spread[k] && i < type_elements(&n->ref[k]->type); i++)
    unstable += isinf(n->spread[k][i]);
  return unstable;
}
