// fuse_hoist.c: factors that a sum does not vary: sum(k) x[k] * w[k] * s becomes s * sum(k) x[k] * w[k].
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"
#include "passes/fuse.h"

typedef struct Factors {
  Ctx *c;
  const Expr *sum;
  const Expr *inside, *outside; // products; NULL: 1
} Factors;

static bool varies(const Factors *f, const Expr *e) {
  for (int i = 0; i < f->sum->reduce.nvars; i++)
    if (expr_uses_var(f->c, e, f->sum->reduce.vars[i])) return true;
  return false;
}

static const Expr *times(Ctx *c, const Expr *a, const Expr *b) {
  return a ? ex_mul(c, a, b) : b;
}

static bool has_invariant(const Factors *f, const Expr *e) {
  if (!varies(f, e)) return true;
  return e->op == E_MUL && (has_invariant(f, e->args[0]) || has_invariant(f, e->args[1]));
}

static void sort_factors(Factors *f, const Expr *e) {
  if (!varies(f, e)) {
    f->outside = times(f->c, f->outside, e);
  } else if (e->op == E_MUL && has_invariant(f, e)) {
    sort_factors(f, e->args[0]);
    sort_factors(f, e->args[1]);
  } else {
    f->inside = times(f->c, f->inside, e);
  }
}

// Where the sum may have no terms, a factor must not make NaN of its 0: infinity is there 1.
static const Expr *unless_empty(Ctx *c, const Expr *sum, const Expr *factor) {
  const Expr *runs = ex_bool(c, true);
  for (int i = 0; i < sum->reduce.nvars; i++)
    runs = ex_and(c, runs, ex_binary(c, E_LT, ex_idx(c, 0), sum->reduce.vars[i]->extent));
  return ex_select(c, runs, factor, ex_num(c, factor->dtype, 1));
}

static const Expr *hoist(Ctx *c, const Expr *e, void *data) {
  (void)data;
  if (e->op != E_REDUCE || e->reduce.kind != R_SUM || !dtype_is_float(e->dtype)) return e;
  Factors f = {.c = c, .sum = e};
  sort_factors(&f, e->args[0]);
  if (!f.inside || !f.outside) return e;
  return ex_mul(c, ex_reduce(c, R_SUM, e->reduce.vars, e->reduce.nvars, f.inside),
                unless_empty(c, e, f.outside));
}

const Expr *fuse_hoist(Ctx *c, const Expr *e) {
  return expr_rewrite(c, e, hoist, NULL);
}
