// calls.h: a node on random data from a line like "conv(f32[1,3,8,8], f32[4,3,3,3], stride=[2,2])".
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TESTS_CALLS_H
#define INGOT_TESTS_CALLS_H

#include "ir/ir.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

enum { CALL_MAX_IN = 16, CALL_MAX_ATTR = 16 };

// A module whose main graph is the one call; operands are its inputs, or constants if `constant` is set.
typedef struct Call {
  Ctx *c;
  Module *m;
  Node *n; // NULL if it was refused
  int nin;
  Tensor *in[CALL_MAX_IN];
  Tensor *out[CALL_MAX_IN]; // room for its results
  uint32_t random;
  bool no_data; // build only
} Call;

static jmp_buf oom; // never set: running out of memory crashes the test

// A context of its own arena, whose messages go to `messages`.
static inline Ctx *ctx_make(FILE *messages) {
  Arena *a = arena_new(&oom);
  return ctx_new(a, diag_new(a, messages, false));
}

static inline void ctx_free(Ctx *c) {
  arena_free(c->arena);
}

static inline uint32_t call_random(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

// Floats in [-2, 2], integers small enough to be indices, extents at their bounds.
static inline Tensor *call_tensor(Ctx *c, const Type *type, uint32_t *state) {
  Type t = *type;
  for (int i = 0; i < t.rank; i++) t.dim[i].sym = NULL;
  Tensor *x = tensor_new(c, &t);
  for (int64_t i = 0; i < type_elements(&t); i++) {
    if (dtype_is_float(t.dtype))
      tensor_set(x, i, call_random(state) / (double)(1 << 24) * 4 - 2);
    else
      tensor_set_int(x, i, call_random(state) / 64 % 2);
  }
  return x;
}

static inline void call_space(const char **s) {
  while (**s == ' ' || **s == ';') ++*s;
}

static inline size_t call_word(const char *s) {
  size_t n = 0;
  while (isalnum((unsigned char)s[n]) || s[n] == '_') n++;
  return n;
}

static inline Type call_type(const char **s) {
  size_t n = call_word(*s);
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

static inline void call_attr(Call *r, const Op *op, const char **s, Attr *a) {
  size_t n = call_word(*s);
  for (int i = 0; i < op->nattr; i++) {
    if (strlen(op->attr[i].name) != n || memcmp(op->attr[i].name, *s, n) != 0) continue;
    *s += n + 1;
    cr_assert(op_parse_attr(r->c, &op->attr[i], s, a), "%s: attribute %s", op->name, op->attr[i].name);
    return;
  }
  cr_assert_fail("%s has no attribute at '%s'", op->name, *s);
}

static inline void call_start(Call *r, Ctx *c) {
  *r = (Call){.c = c, .m = module_new(c, "test"), .random = 1};
  r->m->main = graph_new(r->m, "main", NULL);
  r->m->target = target_default(c);
}

// Operand or attribute at *s. False if a type of absurd size was refused.
static inline bool call_argument(Call *r, const Op *op, const char **s, Value **in, Attr *attrs,
                                 int *nattrs) {
  if ((*s)[call_word(*s)] != '[') {
    call_attr(r, op, s, &attrs[(*nattrs)++]);
    return true;
  }
  Type t = call_type(s);
  if (!type_check_size(r->c, NO_LOC, &t)) return false;
  in[r->nin] = graph_input(r->m->main, arena_printf(r->c->arena, "in%d", r->nin), t, NO_LOC);
  if (!r->no_data) r->in[r->nin] = call_tensor(r->c, &t, &r->random);
  r->nin++;
  return true;
}

// Adds the call at *s, which moves behind it. n is NULL if it was refused.
static inline void call_parse(Call *r, const char **s) {
  Attr attrs[CALL_MAX_ATTR];
  Value *in[CALL_MAX_IN];
  int nattrs = 0;
  call_space(s);
  size_t n = call_word(*s);
  const Op *op = op_find(r->c, arena_strndup(r->c->arena, *s, n));
  cr_assert(op, "no op at '%s'", *s);
  *s += n + 1;
  while (**s != ')') {
    if (!call_argument(r, op, s, in, attrs, &nattrs)) return;
    while (**s == ',' || **s == ' ') ++*s;
  }
  ++*s;
  Builder b = builder_at(r->m->main, NULL, NO_LOC);
  r->n = build_node(&b, op->name, in, r->nin, attrs, nattrs);
  for (int k = 0; r->n && k < r->n->nout; k++) graph_output(r->m->main, NULL, r->n->out[k]);
  call_space(s);
}

// ---- comparing: sums in another order, and fused operations, differ by a few last places of the largest element ----

static inline double largest(const Tensor *t) {
  double most = 1;
  for (int64_t i = 0; i < type_elements(&t->type); i++)
    if (isfinite(tensor_get(t, i)) && fabs(tensor_get(t, i)) > most) most = fabs(tensor_get(t, i));
  return most;
}

static inline bool near_enough(DType t, double x, double y, double size) {
  if (isnan(x) || isnan(y)) return isnan(x) == isnan(y);
  if (x == y) return true;
  double eps = t == DT_F16 ? 4e-3 : t == DT_BF16 ? 2e-2 : t == DT_F64 ? 1e-9 : 1e-5;
  return dtype_is_float(t) && fabs(x - y) <= eps * size;
}

#endif
