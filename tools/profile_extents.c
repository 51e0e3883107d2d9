// profile_extents.c: what steps do at the extents of a run; the tables of an artefact are for the symbols' bounds.
// SPDX-License-Identifier: Apache-2.0
#include "tools/profile.h"

#include <math.h>

static bool is_kept(int32_t kind) {
  return kind == INGOT_SYM_CALLER || kind == INGOT_SYM_STATE;
}

void extents_note(RunExtents *x, const ingot_ctx *ctx, bool before) {
  for (int32_t i = 0; i < ingot_symbol_count(x->model); i++)
    if (is_kept(ingot_symbol_info(x->model, i)->kind) == before) ingot_get_symbol(ctx, i, &x->value[i]);
}

typedef struct Names {
  Ctx *c;
  const RunExtents *x;
} Names;

static const Expr *value_of(void *data, const char *name) {
  const Names *n = data;
  int32_t i = ingot_find_symbol(n->x->model, name);
  return i < 0 ? NULL : ex_idx(n->c, n->x->value[i]);
}

// One extent: a text of the compiler's. With numbers for all names it is a number. -1: it cannot be told.
static double extent_of(Names *n, const char *text) {
  int64_t v;
  const Source *src = source_from_text(n->c->arena, "metadata", text);
  const Expr *e = expr_parse(n->c, src, text, value_of, n);
  return e && expr_is_const_int(e, &v) ? (double)v : -1;
}

double extents_sum(Ctx *c, const RunExtents *x, const cJSON *terms, double otherwise) {
  Names n = {c, x};
  double sum = 0;
  const cJSON *term, *factor;
  if (!cJSON_IsArray(terms)) return otherwise;
  cJSON_ArrayForEach(term, terms) {
    double product = 1;
    cJSON_ArrayForEach(factor, term) {
      const char *text = cJSON_GetStringValue(factor);
      double v = text ? extent_of(&n, text) : factor->valuedouble;
      if (v < 0) return otherwise;
      product *= v;
    }
    sum += product;
  }
  return sum;
}

double extents_taken(const RunExtents *x, const ingot_ctx *ctx, int step) {
  const struct ingot_tensor_info *t;
  double sum = 0;
  bool symbolic = false;
  for (int k = 0; ingot_step_arg(ctx, step, k, &t); k++) {
    double bytes = t ? (double)t->bytes : 0;
    for (int d = 0; t && d < t->rank; d++) {
      if (t->dims[d].sym < 0 || t->dims[d].n <= 0) continue;
      bytes *= (double)x->value[t->dims[d].sym] / (double)t->dims[d].n;
      symbolic = true;
    }
    sum += bytes;
  }
  return symbolic ? sum : INFINITY;
}
