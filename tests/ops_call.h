// ops_call.h: calls of ops written as text, run by the reference evaluator on random data.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TESTS_OPS_CALL_H
#define INGOT_TESTS_OPS_CALL_H

#include "ir/ops.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

static jmp_buf oom; // never set: running out of memory crashes the test

enum { MAX_IN = 16, MAX_ATTR = 16 };

// ---- calls: "name(f32[2,3], i64[2], axis=1)" on random data ---------------------------------------------------

typedef struct Call {
  Ctx *c;
  Module *m;
  Node *n;
  int nin;
  Tensor *in[MAX_IN];
  Tensor *out[MAX_IN];
  uint32_t random;
  bool no_data; // build only
} Call;

static inline uint32_t next_random(Call *r) {
  r->random = r->random * 1664525u + 1013904223u;
  return r->random >> 8;
}

// Floats in [-2, 2], integers small enough to be indices, both signs of float.
static inline Tensor *random_tensor(Call *r, const Type *t) {
  Tensor *x = tensor_new(r->c, t);
  for (int64_t i = 0; i < type_elements(t); i++) {
    if (dtype_is_float(t->dtype))
      tensor_set(x, i, next_random(r) / (double)(1 << 24) * 4 - 2);
    else
      tensor_set_int(x, i, next_random(r) / 64 % 2);
  }
  return x;
}

static inline void skip(const char **s) {
  while (**s == ' ' || **s == ';') ++*s;
}

static inline size_t word(const char *s) {
  size_t n = 0;
  while (isalnum((unsigned char)s[n]) || s[n] == '_') n++;
  return n;
}

static inline Type parse_type(const char **s) {
  size_t n = word(*s);
  Type t = {.dtype = dtype_parse(*s, n)};
  *s += n;
  cr_assert(t.dtype != DT_NONE && **s == '[', "a type is expected at '%s'", *s);
  ++*s;
  while (**s != ']') {
    t.dim[t.rank++] = dim_const(strtoll(*s, (char **)s, 10));
    if (**s == ',') ++*s;
  }
  ++*s;
  return t;
}

static inline void parse_attr_text(Call *r, const Op *op, const char **s, Attr *a) {
  size_t n = word(*s);
  for (int i = 0; i < op->nattr; i++) {
    if (strlen(op->attr[i].name) != n || memcmp(op->attr[i].name, *s, n) != 0) continue;
    *s += n + 1;
    cr_assert(op_parse_attr(r->c, &op->attr[i], s, a), "%s: attribute %s", op->name, op->attr[i].name);
    return;
  }
  cr_assert_fail("%s has no attribute at '%s'", op->name, *s);
}

static inline void start(Call *r, FILE *messages) {
  Arena *a = arena_new(&oom);
  *r = (Call){.c = ctx_new(a, diag_new(a, messages, false)), .random = 1};
  r->m = module_new(r->c, "test");
  r->m->main = graph_new(r->m, "main", NULL);
}

// Builds one call; *s moves behind it. n is NULL if it was refused.
static inline void parse_call(Call *r, const char **s) {
  Attr attrs[MAX_ATTR];
  Value *in[MAX_IN];
  int nattrs = 0;
  skip(s);
  size_t n = word(*s);
  const Op *op = op_find(r->c, arena_strndup(r->c->arena, *s, n));
  cr_assert(op, "no op at '%s'", *s);
  *s += n + 1;
  while (**s != ')') {
    bool type = (*s)[word(*s)] == '[';
    if (type) {
      Type t = parse_type(s);
      if (!type_check_size(r->c, NO_LOC, &t)) return;
      in[r->nin] = graph_input(r->m->main, arena_printf(r->c->arena, "in%d", r->nin), t, NO_LOC);
      if (!r->no_data) r->in[r->nin] = random_tensor(r, &t);
      r->nin++;
    } else {
      parse_attr_text(r, op, s, &attrs[nattrs++]);
    }
    while (**s == ',' || **s == ' ') ++*s;
  }
  ++*s;
  Builder b = builder_at(r->m->main, NULL, NO_LOC);
  r->n = build_node(&b, op->name, in, r->nin, attrs, nattrs);
  if (!r->n) return;
  for (int k = 0; k < r->n->nout; k++) graph_output(r->m->main, NULL, r->n->out[k]);
}

static inline void evaluate(Call *r) {
  cr_assert(eval_module(r->m, (const Tensor *const *)r->in, r->out), "%s does not evaluate", r->n->op->name);
}

static inline void run(Call *r, const char *call) {
  start(r, stderr);
  parse_call(r, &call);
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
