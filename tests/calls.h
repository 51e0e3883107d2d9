// calls.h: a node on random data from a line like "conv(f32[1,3,8,8], f32[4,3,3,3], stride=[2,2])".
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TESTS_CALLS_H
#define INGOT_TESTS_CALLS_H

#include "ir/ir.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdlib.h>

enum { CALL_MAX_IN = 16, CALL_MAX_ATTR = 16 };

// A module whose main graph is the one call; operands are its inputs, or constants if `constant` is set.
typedef struct Call {
  Ctx *c;
  Module *m;
  Node *n; // NULL if it was refused
  int nin;
  Tensor *in[CALL_MAX_IN];
  uint32_t random;
} Call;

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

static inline size_t call_word(const char *s) {
  size_t n = 0;
  while (isalnum((unsigned char)s[n]) || s[n] == '_') n++;
  return n;
}

static inline Type call_type(const char **s) {
  size_t n = call_word(*s);
  Type t = {.dtype = dtype_parse(*s, n)};
  *s += n + 1;
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

// Builds one call in a new module of the context; *s moves behind it.
static inline void call_parse(Call *r, Ctx *c, const char **s) {
  Attr attrs[CALL_MAX_ATTR];
  Value *in[CALL_MAX_IN];
  int nattrs = 0;
  *r = (Call){.c = c, .m = module_new(c, "test"), .random = 1};
  r->m->main = graph_new(r->m, "main", NULL);
  r->m->target = target_default(c);
  while (**s == ' ' || **s == ';') ++*s;
  size_t n = call_word(*s);
  const Op *op = op_find(c, arena_strndup(c->arena, *s, n));
  cr_assert(op, "no op at '%s'", *s);
  *s += n + 1;
  while (**s != ')') {
    if ((*s)[call_word(*s)] == '[') {
      Type t = call_type(s);
      in[r->nin] = graph_input(r->m->main, arena_printf(c->arena, "in%d", r->nin), t, NO_LOC);
      r->in[r->nin++] = call_tensor(c, &t, &r->random);
    } else {
      call_attr(r, op, s, &attrs[nattrs++]);
    }
    while (**s == ',' || **s == ' ') ++*s;
  }
  ++*s;
  Builder b = builder_at(r->m->main, NULL, NO_LOC);
  r->n = build_node(&b, op->name, in, r->nin, attrs, nattrs);
  for (int k = 0; r->n && k < r->n->nout; k++) graph_output(r->m->main, NULL, r->n->out[k]);
  while (**s == ' ' || **s == ';') ++*s;
}

#endif
