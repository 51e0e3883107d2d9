// lower_vector.c: vectorised lowering of maps, reductions and rows: the outer loops and their parallelism.
// SPDX-License-Identifier: Apache-2.0
#include "passes/vector.h"

enum {
  PARALLEL_WORK = 65536, // operations and bytes below which threads cost more than they save
  ENOUGH = 64,           // iterations that spread well over threads
  PIECE_BLOCKS = 16,     // blocks of lanes that one parallel iteration should have at least
};

static bool is_parallel(const Lower *l) {
  return l->k->flops + l->k->bytes >= PARALLEL_WORK;
}

// ---- one loop for several axes ------------------------------------------------------------------------------

// Opens a parallel loop over the first `n` variables as one, plus `pieces` innermost; index[i] is the value
// of variable i.
static void open_parallel(Lower *l, const Var *const *v, int n, int64_t pieces, const Expr **index,
                          const Expr **piece, LowerMark *mark) {
  Ctx *c = l->c;
  const Expr *total = ex_idx(c, pieces);
  for (int i = 0; i < n; i++) total = ex_mul(c, total, v[i]->extent);
  const Var *p = var_new(c, "p", total);
  lower_for(l, p, LOOP_PARALLEL, mark);
  const Expr *rest = ex_var(c, p), *size = ex_idx(c, pieces);
  *piece = ex_binary(c, E_MOD, rest, size);
  rest = ex_binary(c, E_FDIV, rest, size);
  for (int i = n - 1; i >= 0; i--) {
    index[i] = lower_let(l, v[i]->name, i ? ex_binary(c, E_MOD, rest, v[i]->extent) : rest);
    rest = ex_binary(c, E_FDIV, rest, v[i]->extent);
  }
  *piece = lower_let(l, "piece", *piece);
  l->k->parallel = var_bound(c, p) > 1 ? var_bound(c, p) : 1;
}

static void serial_axes(Nest *n, int from, const LanePart *part) {
  if (from == n->naxes) {
    vector_inner(n, part);
    return;
  }
  LowerMark mark;
  lower_for(n->l, n->axis[from], LOOP_SERIAL, &mark);
  serial_axes(n, from + 1, part);
  lower_end(n->l, &mark);
}

// ---- a single stage -----------------------------------------------------------------------------------------

// How many outer axes go into the parallel loop: until there is enough to spread.
static int parallel_axes(const Nest *n, int64_t *iterations) {
  int k = 0;
  *iterations = 1;
  while (k < n->naxes && *iterations < ENOUGH)
    *iterations = mul_sat(*iterations, var_bound(n->c, n->axis[k++]));
  return k;
}

// Cuts a long lane axis into parts when the outer axes alone are too few iterations.
static LanePart lane_parts(const Nest *n, int64_t iterations) {
  LanePart part = {.pieces = 0};
  int64_t extent, cut[1];
  if (!n->lane || iterations >= ENOUGH / 2 || !expr_is_const_int(n->lane->extent, &extent)) return part;
  if (guard_cuts(n, cut, 1) != 0 || vector_has_invariant(n)) return part;
  int64_t want = ENOUGH / (iterations > 0 ? iterations : 1);
  int64_t least = expr_has(n->c, n->value, E_REDUCE) ? 1 : PIECE_BLOCKS;
  int64_t blocks = ceil_div(ceil_div(extent, n->block), want);
  part.piece_size = (blocks > least ? blocks : least) * n->block;
  part.pieces = ceil_div(extent, part.piece_size);
  if (part.pieces < 2) part.pieces = 0;
  return part;
}

static void single_stage(Lower *l, const Stage *s) {
  Nest n;
  nest_of_stage(l, s, 0, NULL, &n);
  if (!l->careful) nest_join(&n);
  nest_choose_lane(&n);
  if (!is_parallel(l)) {
    serial_axes(&n, 0, NULL);
    return;
  }
  int64_t iterations;
  int outer = parallel_axes(&n, &iterations);
  LanePart part = lane_parts(&n, iterations);
  if (outer == 0 && !part.pieces) {
    serial_axes(&n, 0, NULL);
    return;
  }
  const Expr *index[MAX_AXES];
  LowerMark mark;
  open_parallel(l, n.axis, outer, part.pieces ? part.pieces : 1, index, &part.piece, &mark);
  for (int i = 0; i < outer; i++) nest_subst(&n, n.axis[i], index[i]);
  serial_axes(&n, outer, &part);
  lower_end(l, &mark);
}

// ---- rows ---------------------------------------------------------------------------------------------------

static void row_stages(Lower *l, const Expr *const *shared, int at) {
  lower_locals(l, at);
  for (int i = 0; i < l->k->stages.n; i++) {
    const Stage *s = &l->k->stages.data[i];
    Nest n;
    l->loc = s->loc;
    nest_of_stage(l, s, at, shared, &n);
    if (!l->careful) nest_join(&n);
    nest_choose_lane(&n);
    serial_axes(&n, 0, NULL);
  }
}

static void serial_rows(Lower *l, const Var *const *dims, int i, const Expr **shared, int at) {
  if (i == at) {
    row_stages(l, shared, at);
    return;
  }
  LowerMark mark;
  shared[i] = ex_var(l->c, dims[i]);
  lower_for(l, dims[i], LOOP_SERIAL, &mark);
  serial_rows(l, dims, i + 1, shared, at);
  lower_end(l, &mark);
}

static void rows(Lower *l, int at) {
  const Stage *root = &l->k->stages.data[l->k->stages.n - 1];
  const Expr *shared[MAX_AXES], *piece;
  LowerMark mark;
  if (!is_parallel(l)) {
    serial_rows(l, root->dims, 0, shared, at);
    return;
  }
  open_parallel(l, root->dims, at, 1, shared, &piece, &mark);
  row_stages(l, shared, at);
  lower_end(l, &mark);
}

// ---- entry --------------------------------------------------------------------------------------------------

static bool is_simple(const Kernel *k) {
  int at = k->stages.n ? k->stages.data[0].at : 0;
  for (int i = 0; i < k->stages.n; i++) {
    const Stage *s = &k->stages.data[i];
    if (s->index || s->store != STORE_SET || s->at != at || s->ndims > MAX_RANK) return false;
  }
  return k->stages.n == 1 || at > 0;
}

bool lower_vector(Lower *l) {
  if (!is_simple(l->k)) return false;
  int at = l->k->stages.data[0].at;
  l->loc = l->k->stages.data[0].loc;
  l->k->parallel = 1;
  if (at > 0)
    rows(l, at);
  else
    single_stage(l, &l->k->stages.data[0]);
  return true;
}

// ---- moved stages ---------------------------------------------------------------------------------------------

// One stage after the other, each to places of its own.
bool lower_moves(Lower *l) {
  const Kernel *k = l->k;
  l->k->parallel = 1;
  for (int i = 0; i < k->stages.n; i++) {
    Nest n;
    l->loc = k->stages.data[i].loc;
    nest_of_stage(l, &k->stages.data[i], 0, NULL, &n);
    nest_join(&n);
    nest_choose_lane(&n);
    serial_axes(&n, 0, NULL);
  }
  return k->stages.n > 0;
}
