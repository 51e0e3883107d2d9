// fuse_decide.c: whether a value is inlined, becomes a stage of its reader, or gets a buffer.
// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse.h"

enum {
  MAX_NODES = 512,         // of a composed expression: larger ones only cost compile time
  MAX_GUARDS = 40,         // of one, composed of two that have some: each is decided under all around it
  MAX_TERMS = 8192,        // the same, written out: what is shared counts each time
  MAX_LOCAL_BYTES = 65536, // of one row's locals: what stays in the second-level cache
  MIN_ROWS = 8,            // fewer rows cannot be spread over threads
  SMALL_WORK = 65536,      // operations that one thread does in passing
  MAX_INDEX_OPS = 8,       // of an expression of indices that is computed wherever it is read
  DEAR = 16,               // operations of an expression with a function like exp in it
  SMALL_PART = 16,         // a value so many times smaller than another is nothing beside it
};
// Cost of a buffer in simple operations: a store and a load an element, and a kernel's start.
static const double BUFFER_COST = 6, KERNEL_COST = 2000;

static bool is_view(const Expr *e) {
  return e->op == E_READ || e->op == E_CONST;
}

static bool is_expression(const Node *n) {
  return n->op->info->define || n->op->info->expr;
}

// ---- views --------------------------------------------------------------------------------------------------

// Offset in elements of a read of a plain value.
static const Expr *flat_offset(Ctx *c, const Value *v, const Expr *const *index) {
  const Expr *flat = ex_idx(c, 0);
  for (int i = 0; i < v->type.rank; i++)
    flat = ex_add(c, ex_mul(c, flat, dim_to_expr(c, v->type.dim[i])), index[i]);
  return flat;
}

static bool not_division(const Expr *e, void *data) {
  (void)data;
  return e->op != E_FDIV && e->op != E_MOD && e->op != E_DIV && e->op != E_REM && e->op != E_READ;
}

// May the view `def` be read in place of v by a product? Its address must stay affine.
static bool view_is_affine(Fuse *f, const Stage *def, const Expr *read) {
  Ctx *c = f->c;
  const Expr *e = expr_subst(c, def->value, def->dims, read->args, def->ndims);
  if (e->op == E_CONST) return true;
  if (e->op != E_READ) return false;
  return expr_visit(c, flat_offset(c, e->value, e->args), not_division, NULL);
}

static bool view_fits(Fuse *f, const Value *v, const Stage *def, const UseList *uses) {
  double elements = (double)type_elements(&v->type);
  for (int i = 0; i < uses->n; i++) {
    const Use *u = &uses->data[i];
    bool product = u->in_reduce && u->group->heavy;
    if (product && u->evals > 2 * elements && !view_is_affine(f, def, u->read)) return false;
  }
  return true;
}

// ---- recomputation ------------------------------------------------------------------------------------------

// Counts *left down by the terms of e, and those of `terms` for each read of v; false once they are used up.
static bool count_terms(const Expr *e, const Value *v, int terms, int *left) {
  *left -= 1 + (v && e->op == E_READ && e->value == v ? terms : 0);
  for (int i = 0; *left >= 0 && i < e->nargs; i++) count_terms(e->args[i], v, terms, left);
  return *left >= 0;
}

// A chain of look-ups each of which reads the one before more than once doubles with every link.
static bool fits_written_out(const Value *v, const Stage *def, const UseList *uses) {
  int left = MAX_TERMS;
  if (!count_terms(def->value, NULL, 0, &left)) return false;
  int terms = MAX_TERMS - left;
  for (int i = 0; i < uses->n; i++) {
    left = MAX_TERMS;
    if (!count_terms(uses->data[i].group->stages.data[uses->data[i].stage].value, v, terms, &left))
      return false;
  }
  return true;
}

static bool fits_size(Fuse *f, const Work *w, const UseList *uses) {
  for (int i = 0; i < uses->n; i++) {
    const Use *u = &uses->data[i];
    Work all = fuse_work(f->c, u->group->stages.data[u->stage].value);
    if (all.nodes + w->nodes > MAX_NODES) return false;
    if (w->guards && all.guards && w->guards + all.guards > MAX_GUARDS) return false;
  }
  return true;
}

// Does the stage read x at its own indices?
static bool same_place(Ctx *c, const Stage *s, const Expr *read) {
  for (int i = 0; i < read->nargs; i++)
    if (i >= s->ndims || (read->args[i] != ex_var(c, s->dims[i]) && s->dims[i]->extent != ex_idx(c, 1)))
      return false;
  return read->nargs == s->ndims;
}

static Rides rides_on(Fuse *f, Value *v);

// An element-wise stage rides on what one of its operands rides on. An operand that is broadcast may come
// from the product itself (a row's maximum, a channel's mean); then there is no doing it in the epilogue.
static Rides stage_rides(Fuse *f, const Stage *s) {
  const Expr **reads;
  int n = expr_read_list(f->c, s->value, &reads);
  Rides most = RIDES_ON_NOTHING;
  for (int i = 0; i < n; i++) {
    Value *x = reads[i]->value;
    if (same_place(f->c, s, reads[i]) && type_elements(&x->type) == type_elements(&s->out->type)) {
      Rides rides = rides_on(f, x);
      if (rides > most) most = rides;
    } else if (x->def) {
      return RIDES_ON_NOTHING;
    }
  }
  return most;
}

// Is v the result of a reduction, or of element-wise operations on one? As its epilogue they cost nothing, and a
// product's result needs a buffer in any case.
static Rides rides_on(Fuse *f, Value *v) {
  FuseInfo *info = fuse_info(f, v);
  if (info->rides != RIDES_UNKNOWN) return info->rides;
  info->rides = RIDES_ON_NOTHING;
  Node *n = v->def;
  Stage s;
  if (!n || n->nout != 1 || n->graph != f->g || !is_expression(n)) return info->rides;
  if (n->op->info->flags & OP_VIEW || !fuse_define(f, n, 0, &s)) return info->rides;
  if (!expr_has(f->c, s.value, E_REDUCE))
    info->rides = stage_rides(f, &s);
  else
    info->rides = fuse_is_heavy(f->c, &s) ? RIDES_ON_PRODUCT : RIDES_ON_REDUCTION;
  return info->rides;
}

static bool rides_on_product(Fuse *f, const Value *v) {
  return rides_on(f, (Value *)v) == RIDES_ON_PRODUCT;
}

// Is computing v at each of its reads no dearer than a buffer?
static bool cheap_to_repeat(Fuse *f, const Value *v, const Work *w, const UseList *uses) {
  double evals = 0, elements = (double)type_elements(&v->type);
  for (int i = 0; i < uses->n; i++) {
    const Use *u = &uses->data[i];
    if (u->in_reduce && u->group->heavy && u->evals > 2 * elements) return false;
    evals += u->evals;
  }
  double again = evals > elements ? evals - elements : 0;
  if (again > 0 && rides_on_product(f, v)) return false;
  return again * w->ops <= BUFFER_COST * elements + KERNEL_COST;
}

// ---- epilogues ----------------------------------------------------------------------------------------------

// Does the stage read v once for each of its own elements? Dims may be permuted, extents 1 dropped.
static bool one_to_one(Ctx *c, const Stage *s, const Value *v, const Expr *read) {
  bool taken[MAX_RANK] = {0};
  if (s->index || s->ndims > MAX_RANK) return false;
  for (int i = 0; i < read->nargs; i++) {
    const Expr *e = read->args[i];
    int64_t zero;
    if (expr_is_const_int(e, &zero)) {
      if (v->type.dim[i].sym || v->type.dim[i].n != 1) return false;
      continue;
    }
    int d = 0;
    while (d < s->ndims && e != ex_var(c, s->dims[d])) d++;
    if (d == s->ndims || taken[d] || s->dims[d]->extent != dim_to_expr(c, v->type.dim[i])) return false;
    taken[d] = true;
  }
  for (int d = 0; d < s->ndims; d++)
    if (!taken[d] && s->dims[d]->extent != ex_idx(c, 1)) return false;
  return true;
}

static bool fits_epilogue(Fuse *f, const Value *v, const UseList *uses) {
  if (uses->n != 1) return false;
  const Use *u = &uses->data[0];
  const Group *g = u->group;
  if (g->closed || g->stages.n != 1 || u->in_reduce || u->guarded) return false;
  const Stage *s = &g->stages.data[0];
  return !expr_has(f->c, s->value, E_REDUCE) && one_to_one(f->c, s, v, u->read);
}

// Something that comes for nothing behind the reduction before it, but would be done over and over where it is
// read: in front of copies, or, with a function like exp in it, once for each element that it is broadcast to.
static bool better_as_epilogue(Fuse *f, const Value *v, const Work *w, const UseList *uses) {
  if (w->reduces || fits_epilogue(f, v, uses)) return false;
  return rides_on_product(f, v) || (rides_on(f, (Value *)v) == RIDES_ON_REDUCTION && w->ops >= DEAR);
}

// ---- rows ---------------------------------------------------------------------------------------------------

// Leading dims that the stage and its read of v share.
static int shared_dims(Ctx *c, const Stage *s, const Value *v, const Expr *read) {
  int k = 0;
  for (; k < read->nargs && k < s->ndims; k++) {
    const Expr *extent = s->dims[k]->extent, *one = ex_idx(c, 1);
    bool same = read->args[k] == ex_var(c, s->dims[k]) || (extent == one && read->args[k] == ex_idx(c, 0));
    if (!same || extent != dim_to_expr(c, v->type.dim[k])) break;
  }
  return k;
}

static int64_t row_bytes(const Value *v, int at) {
  int64_t n = dtype_bytes(v->type.dtype);
  for (int i = at; i < v->type.rank; i++) n = mul_sat(n, v->type.dim[i].n);
  return n;
}

static bool rows_fit(const Group *g, const Value *v, int at) {
  int64_t bytes = row_bytes(v, at);
  for (int i = 0; i < g->locals.n; i++) bytes += row_bytes(g->locals.data[i], at);
  return bytes <= MAX_LOCAL_BYTES;
}

enum { MAX_LOOK_BACK = 4 }; // element-wise operations between two reads of one value

// Does the stage read v, or what v is made of element by element? Not asked of constants.
static bool reads_source(Fuse *f, const Stage *s, const Value *v, int depth) {
  if (v->data) return false;
  if (expr_reads(f->c, s->value, v)) return true;
  const Node *n = v->def;
  if (!n || depth == 0 || n->graph != f->g || !n->op->info->expr) return false;
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && reads_source(f, s, n->in[i], depth - 1)) return true;
  return false;
}

// Do two stages read the same value? Then computing them row by row finds it in cache.
static bool share_reads(Fuse *f, const Stage *a, const Stage *b) {
  const Expr **reads;
  int n = expr_read_list(f->c, b->value, &reads);
  for (int i = 0; i < n; i++)
    if (reads_source(f, a, reads[i]->value, MAX_LOOK_BACK)) return true;
  return false;
}

// A small factor of something large (the gate of a squeeze-excite block) saves nothing as a row of its own, but
// ties the large one's loops to its dims.
static bool is_small_factor(Fuse *f, const Group *g, const Stage *def) {
  const Stage *root = &g->stages.data[g->stages.n - 1];
  double small = (double)type_elements(&def->out->type), large = (double)type_elements(&root->out->type);
  if (small * SMALL_PART > large) return false;
  for (int i = 0; i < g->stages.n; i++)
    if (share_reads(f, &g->stages.data[i], def)) return false;
  return true;
}

static bool rows_pay(Fuse *f, const Group *g, const Stage *def, int at) {
  const Stage *root = &g->stages.data[g->stages.n - 1];
  if (is_small_factor(f, g, def)) return false;
  int64_t rows = vars_product(f->c, root->dims, at);
  if (rows >= MIN_ROWS) return true;
  double work = fuse_points(f->c, def) + fuse_points(f->c, root);
  return work <= SMALL_WORK;
}

// Anything but a sum of products of two things.
static bool is_no_product(const Expr *e, void *data) {
  (void)data;
  return e->op != E_REDUCE || e->reduce.kind != R_SUM || e->args[0]->op != E_MUL ||
         e->args[0]->args[0] == e->args[0]->args[1];
}

static bool is_product(Fuse *f, const Stage *s) {
  return !expr_visit(f->c, s->value, is_no_product, NULL);
}

static bool fits_rows(Fuse *f, const Value *v, const Stage *def, const UseList *uses, Group **group,
                      int *at) {
  Group *g = uses->data[0].group;
  if (g->heavy || g->closed || fuse_is_heavy(f->c, def)) return false;
  int k = g->locals.n ? g->at : MAX_RANK;
  for (int i = 0; i < uses->n; i++) {
    const Use *u = &uses->data[i];
    if (u->group != g) return false;
    int shared = shared_dims(f->c, &g->stages.data[u->stage], v, u->read);
    if (shared < k) k = shared;
  }
  if (is_product(f, def) && k < def->ndims - 1) return false; // would be computed as a whole, by one thread
  if (k < 1 || !rows_fit(g, v, k) || !rows_pay(f, g, def, k)) return false;
  *group = g;
  *at = k;
  return true;
}

// ---- joined values ---------------------------------------------------------------------------------------------

// The first node that joins v with others.
static const Node *first_concat(const Value *v) {
  for (const Node *n = v->def->next; n; n = n->next)
    for (int i = 0; op_is(n, "concat") && i < n->nin; i++)
      if (n->in[i] == v) return n;
  return NULL;
}

bool fuse_joins_in_place(const Node *n) {
  if (!op_is(n, "concat") || n->graph->parent) return false;
  const Type *t = &n->out[0]->type;
  int64_t axis = attr_int(n, "axis"), first = 0;
  while (first < t->rank - 1 && !t->dim[first].sym && t->dim[first].n == 1) first++;
  if ((axis < 0 ? axis + t->rank : axis) != first || !type_is_static(t)) return false;
  for (int i = 0; i < n->nin; i++) {
    const Value *v = n->in[i];
    for (int k = 0; k < i; k++)
      if (n->in[k] == v) return false;
    if (!v->def || v->def->graph != n->graph || v->def->op->info->flags & OP_VIEW) return false;
    if (!(is_expression(v->def) && v->def->nout == 1) || first_concat(v) != n) return false;
  }
  return true;
}

// ---- all together -------------------------------------------------------------------------------------------

// Operations of computing v from indices alone; more than MAX_INDEX_OPS: it takes memory, or too many.
static double index_ops(Fuse *f, const Value *v) {
  const double too_many = MAX_INDEX_OPS + 1;
  Node *n = v->def;
  Stage s;
  const Expr **reads;
  bool defined = n && n->nout == 1 && n->graph == f->g && (n->op->info->expr || n->op->info->define);
  if (!defined || dtype_is_float(v->type.dtype) || !fuse_define(f, n, 0, &s)) return too_many;
  Work w = fuse_work(f->c, s.value);
  int count = expr_read_list(f->c, s.value, &reads);
  double ops = w.reduces ? too_many : w.ops - 2 * count;
  for (int i = 0; i < count && ops <= MAX_INDEX_OPS; i++) ops += index_ops(f, reads[i]->value);
  return ops;
}

// Unpacking is a few operations; constants that lie behind more are not looked for, so that time stays linear.
enum { MAX_UNPACK_DEPTH = 8 };

// Bytes of the constants that v is made of by element-wise operations and views; -1: of other things too.
static int64_t const_bytes(Fuse *f, const Value *v, int depth) {
  if (const_of(v)) return type_bytes(&v->type);
  const Node *n = v->def;
  Stage s;
  if (!n || n->nout != 1 || n->graph != f->g || !is_expression(n) || n->nin == 0 || depth == 0) return -1;
  int64_t sum = 0;
  for (int i = 0; i < n->nin && sum >= 0; i++) {
    int64_t bytes = n->in[i] ? const_bytes(f, n->in[i], depth - 1) : 0;
    sum = bytes < 0 ? -1 : sum + bytes;
  }
  if (sum < 0 || !fuse_define(f, v->def, 0, &s) || expr_has(f->c, s.value, E_REDUCE)) return -1;
  return sum;
}

// Constants that are kept small become numbers only in the registers of what reads them.
static bool is_unpacked(Fuse *f, const Value *v) {
  int64_t bytes = const_bytes(f, v, MAX_UNPACK_DEPTH);
  return bytes > 0 && bytes <= type_bytes(&v->type);
}

static Fate say(Fuse *f, Fate fate, const char *why) {
  f->why = why;
  return fate;
}

// A value that is not forced to have a buffer, and is no view.
static Fate decide_free(Fuse *f, const Value *v, const Stage *def, const UseList *uses, Group **group,
                        int *at) {
  Work w = fuse_work(f->c, def->value);
  if (is_unpacked(f, v))
    return say(f, FATE_INLINE, "constants that are kept small become numbers in their reader");
  if (index_ops(f, v) <= MAX_INDEX_OPS)
    return say(f, FATE_INLINE, "computing it from indices is less than the memory it would lie in");
  bool apart = better_as_epilogue(f, v, &w, uses);
  if (apart && rides_on_product(f, v))
    return say(f, FATE_ROOT, "it is the epilogue of the product it stands on");
  if (!apart && w.reduces && fits_epilogue(f, v, uses))
    return say(f, FATE_INLINE, "its one reader is element-wise on it: that becomes its epilogue");
  if (!apart && !w.reduces && cheap_to_repeat(f, v, &w, uses))
    return say(f, FATE_INLINE, "computing it at each read costs no more than a buffer");
  if (fits_rows(f, v, def, uses, group, at))
    return say(f, FATE_LOCAL, "one kernel reads it, row by row, and its rows fit into the cache");
  return say(f, FATE_ROOT,
             w.reduces ? "a reduction whose readers need it more than once or in another order"
                       : "to compute it at each read would cost more than a buffer");
}

Fate fuse_decide(Fuse *f, const Value *v, const Stage *def, const UseList *uses, Group **group, int *at) {
  const FuseInfo *info = v->info;
  if (uses->n == 0)
    return say(f, info->must ? FATE_ROOT : FATE_DEAD, info->must ? "an output" : "nothing reads it");
  if (f->opt < 2) return say(f, FATE_ROOT, "fusion is off below -O2");
  Work w = fuse_work(f->c, def->value);
  if (!fits_size(f, &w, uses) || !fits_written_out(v, def, uses))
    return say(f, FATE_ROOT, "the composed expression would be too large");
  if (fuse_joins_in_place(v->def)) return say(f, FATE_ROOT, "its parts are written to their places in it");
  if (is_view(def->value)) {
    bool fits = view_fits(f, v, def, uses);
    return say(f, fits ? FATE_INLINE : FATE_ROOT,
               fits ? "a view: readers index its operand"
                    : "a product that reads this view would lose its affine addresses");
  }
  if (info->must) return say(f, FATE_ROOT, "an output, or read by something that wants a buffer");
  return decide_free(f, v, def, uses, group, at);
}
