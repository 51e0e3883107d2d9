// ops_call.h: calls of ops written as text, run by the reference evaluator on random data.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TESTS_OPS_CALL_H
#define INGOT_TESTS_OPS_CALL_H

#include "ir/ops.h"
#include "tests/calls.h"

// A call's module, not yet with the call.
static inline void start(Call *r, FILE *messages) {
  call_start(r, ctx_make(messages));
}

static inline void evaluate(Call *r) {
  cr_assert(eval_module(r->m, (const Tensor *const *)r->in, r->out), "%s does not evaluate", r->n->op->name);
}

static inline void run(Call *r, const char *call) {
  start(r, stderr);
  call_parse(r, &call);
  cr_assert(r->n, "%s is refused", call);
  evaluate(r);
}

// ---- comparison -----------------------------------------------------------------------------------------------

#define NEAR(r, k, i, want)                                                                                  \
  do {                                                                                                       \
    double got_ = tensor_get((r)->out[k], (i)), want_ = (want);                                              \
    bool same_ = fabs(got_ - want_) <= 1e-5 * (1 + fabs(want_)) || (isnan(got_) && isnan(want_));            \
    cr_assert(same_, "%s: element %lld of result %d is %.9g, not %.9g", (r)->n->op->name, (long long)(i), k, \
              got_, want_);                                                                                  \
  } while (0)

static inline double in_at(const Call *r, int k, int64_t i) {
  return tensor_get(r->in[k], i);
}

// Element at up to four indices of operand k.
static inline double in4(const Call *r, int k, int64_t a, int64_t b, int64_t c, int64_t d) {
  const Type *t = &r->in[k]->type;
  int64_t at[4] = {a, b, c, d}, flat = 0;
  for (int i = 0; i < t->rank; i++) flat = flat * t->dim[i].n + at[i];
  return in_at(r, k, flat);
}

#endif
