// make_generic.c: nodes of ops that need no recipe: broadcasting operands, attributes by their names, samples.
// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <stdlib.h>

enum { MAX_CALL = 16 };

// ---- attributes -------------------------------------------------------------------------------------------------

static Attr some_axes(Gen *g, const Attr *spec, int rank) {
  int64_t *axes = gen_ints(g, rank);
  int n = 0;
  for (int d = 0; d < rank; d++)
    if (rng_chance(&g->rng, 50)) axes[n++] = rng_chance(&g->rng, 30) ? d - rank : d;
  return A_INTS(spec->name, axes, n);
}

static double some_number(Gen *g, double otherwise) {
  static const double numbers[] = {0.5, 1, 0.25, 1.5, 0.125, 2, 0.1};
  return rng_chance(&g->rng, 40) ? otherwise : rng_pick(&g->rng, numbers);
}

// A random value for an attribute of which only kind and name are known; false: leave the default.
static bool some_attr(Gen *g, const Op *op, const Attr *spec, int rank, Attr *out) {
  bool axis = strcmp(spec->name, "axis") == 0;
  switch (spec->kind) {
  case ATTR_BOOL: *out = A_BOOL(spec->name, rng_chance(&g->rng, 50)); return true;
  case ATTR_INT:
    *out = A_INT(spec->name, axis && rank ? rng_range(&g->rng, -rank, rank - 1) : rng_range(&g->rng, 0, 3));
    return true;
  case ATTR_FLOAT: *out = A_FLOAT(spec->name, some_number(g, spec->f)); return strcmp(spec->name, "eps") != 0;
  case ATTR_DTYPE:
    *out = A_DTYPE(spec->name, gen_dtype(g, op, op->nin ? op->in[0].type : "any"));
    return true;
  case ATTR_INTS: *out = some_axes(g, spec, rank); return strcmp(spec->name, "axes") == 0;
  default: return false;
  }
}

static int some_attrs(Gen *g, const Op *op, int rank, Attr *out) {
  int n = 0;
  for (int i = 0; i < op->nattr; i++)
    if ((op->attr[i].given || rng_chance(&g->rng, 60)) && some_attr(g, op, &op->attr[i], rank, &out[n])) n++;
  return n;
}

// ---- operands ---------------------------------------------------------------------------------------------------

// A shape that broadcasts with t: fewer dimensions, ones in place of some extents.
static Type narrower(Gen *g, const Type *t, DType dt) {
  Type r = *t;
  r.dtype = dt;
  int cut = rng_chance(&g->rng, 40) ? (int)rng_range(&g->rng, 0, t->rank) : 0;
  r.rank -= cut;
  for (int d = 0; d < r.rank; d++) r.dim[d] = rng_chance(&g->rng, 20) ? dim_const(1) : t->dim[d + cut];
  return r;
}

static const char *some_kind(Gen *g) {
  static const char *const kinds[] = {"n", "n", "n", "p", "u", "g"};
  return rng_pick(&g->rng, kinds);
}

// What tells of a float and makes none: infinities, NaN and zeros with signs do not spread from there.
static bool only_tells(const Op *op) {
  return op->nout == 1 && strcmp(op->out[0], "bool") == 0;
}

static Value *broadcasting(Gen *g, const Op *op, const OpParam *p, const Value *x, DType dt, bool special) {
  const Type *out = &x->type;
  for (int i = g->pool.n - 1; i >= 0; i--) { // one that happens to fit
    Value *v = g->pool.data[i];
    Type r;
    if (v->type.dtype != dt || !rng_chance(&g->rng, 40)) continue;
    if (type_broadcast(g->c, (const Type *[]){out, &v->type}, 2, &r) && type_elements(&r) <= g->max_elements)
      return v;
  }
  (void)op, (void)p;
  Type t = rng_chance(&g->rng, 15) ? type_make(dt, 0, NULL) : narrower(g, out, dt);
  return gen_leaf(g, special ? "s" : some_kind(g), &t);
}

Node *make_generic(Gen *g, const Op *op) {
  Value *in[MAX_CALL] = {0};
  Attr attrs[MAX_CALL];
  Value *first = NULL;
  DType of[128] = {0}; // by type variable
  bool special = only_tells(op) && rng_chance(&g->rng, 40);
  for (int i = 0; i < op->nin; i++) {
    const OpParam *p = &op->in[i];
    bool variable = p->type[1] == '\0';
    if (p->optional && rng_chance(&g->rng, 40)) continue;
    if (!first) {
      in[i] = first = !special && rng_chance(&g->rng, 75) ? gen_operand(g, op, p->type, 0, 6) : NULL;
      Type t = first ? first->type : gen_type(g, gen_dtype(g, op, p->type), 0, 4);
      if (!first) in[i] = first = gen_leaf(g, special ? "s" : some_kind(g), &t);
    } else {
      DType dt = variable && of[(int)p->type[0]] ? of[(int)p->type[0]] - 1 : gen_dtype(g, op, p->type);
      in[i] = broadcasting(g, op, p, first, dt, special);
    }
    if (variable) of[(int)p->type[0]] = in[i]->type.dtype + 1;
  }
  int nattrs = some_attrs(g, op, first->type.rank, attrs);
  return gen_build(g, op, in, op->nin, attrs, nattrs);
}

// ---- samples ----------------------------------------------------------------------------------------------------

static size_t word(const char *s) {
  size_t n = 0;
  while (isalnum((unsigned char)s[n]) || s[n] == '_') n++;
  return n;
}

static Type sample_type(const char **s) {
  size_t n = word(*s);
  Type t = {.dtype = dtype_parse(*s, n)};
  *s += n + 1;
  while (**s != ']') {
    t.dim[t.rank++] = dim_const(strtoll(*s, (char **)s, 10));
    if (**s == ',') ++*s;
  }
  ++*s;
  return t;
}

static bool sample_attr(Gen *g, const Op *op, const char **s, Attr *a) {
  size_t n = word(*s);
  for (int i = 0; i < op->nattr; i++) {
    if (strlen(op->attr[i].name) != n || memcmp(op->attr[i].name, *s, n) != 0) continue;
    *s += n + 1;
    return op_parse_attr(g->c, &op->attr[i], s, a);
  }
  return false;
}

// Operands of index types: small; their values stand for extents, offsets, lengths.
static const char *sample_kind(Gen *g, const Type *t) {
  if (dtype_is_int(t->dtype)) return rng_chance(&g->rng, 70) ? "j2_" : "n";
  return some_kind(g);
}

static Node *call(Gen *g, const Op *op, const char *s) {
  Value *in[MAX_CALL];
  Attr attrs[MAX_CALL];
  int nin = 0, nattrs = 0;
  s += strlen(op->name) + 1;
  while (*s != ')') {
    if (s[word(s)] == '[') {
      Type t = sample_type(&s);
      in[nin++] = gen_shaped(g, sample_kind(g, &t), &t);
    } else if (!sample_attr(g, op, &s, &attrs[nattrs++])) {
      return NULL;
    }
    while (*s == ',' || *s == ' ') s++;
  }
  return gen_build(g, op, in, nin, attrs, nattrs);
}

Node *make_sample(Gen *g, const Op *op) {
  int n = 0;
  const char *starts[32], *s = op->info->sample;
  while (s && *s && n < ARRAY_LEN(starts)) {
    starts[n++] = s;
    while (*s && *s != ';') s++;
    while (*s == ';' || *s == ' ') s++;
  }
  return n ? call(g, op, starts[rng_below(&g->rng, n)]) : op->info->expr ? make_generic(g, op) : NULL;
}
