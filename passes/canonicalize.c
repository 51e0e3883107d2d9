// canonicalize.c: one form of each thing: rules that remove what does nothing and order what commutes.
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdlib.h>

#include "passes/rewrite.h"

// ---- views --------------------------------------------------------------------------------------------------

static Value *drop_identity(Rewrite *r, bool *changed) {
  (void)changed;
  return r->n->in[0];
}

// A view with the shape and dtype of its operand that cannot have moved anything.
static Value *drop_same_shape(Rewrite *r, bool *changed) {
  (void)changed;
  return same_type(r->n->in[0], r->n->out[0]) ? r->n->in[0] : NULL;
}

static bool is_reshape(const Node *n) {
  return op_is(n, "reshape") || op_is(n, "flatten") || op_is(n, "squeeze") || op_is(n, "unsqueeze");
}

// flatten, squeeze and unsqueeze are reshapes; a reshape of a reshape is one.
static Value *one_reshape(Rewrite *r, bool *changed) {
  (void)changed;
  Value *x = r->n->in[0], *y = r->n->out[0];
  while (x->def && is_reshape(x->def)) x = x->def->in[0];
  if (same_type(x, y)) return x;
  if (x == r->n->in[0] && op_is(r->n, "reshape")) return NULL;
  return build_reshape(r, x, y->type.rank, y->type.dim);
}

// perm with the default (reversal) written out.
static void perm_of(const Node *n, int64_t *perm) {
  int count, rank = n->in[0]->type.rank;
  const int64_t *p = attr_ints(n, "perm", &count);
  for (int i = 0; i < rank; i++) perm[i] = count ? p[i] + (p[i] < 0 ? rank : 0) : rank - 1 - i;
}

static bool is_one(Dim d) {
  return !d.sym && d.n == 1;
}

// Do the dimensions that are not 1 keep their order?
static bool moves_nothing(const Value *x, const int64_t *perm) {
  int64_t last = -1;
  for (int i = 0; i < x->type.rank; i++) {
    if (is_one(x->type.dim[perm[i]])) continue;
    if (perm[i] < last) return false;
    last = perm[i];
  }
  return true;
}

static Value *one_transpose(Rewrite *r, bool *changed) {
  (void)changed;
  int64_t perm[MAX_RANK], inner[MAX_RANK], both[MAX_RANK];
  Value *x = r->n->in[0], *y = r->n->out[0];
  perm_of(r->n, perm);
  if (moves_nothing(x, perm)) return same_type(x, y) ? x : build_reshape(r, x, y->type.rank, y->type.dim);
  Node *before = made_by(x, "transpose");
  if (!before) return NULL;
  perm_of(before, inner);
  for (int i = 0; i < x->type.rank; i++) both[i] = inner[perm[i]];
  return build(&r->b, "transpose", IN(before->in[0]), ATTRS(A_INTS("perm", both, x->type.rank)));
}

static Value *one_part(Rewrite *r, bool *changed) {
  (void)changed;
  const Node *n = r->n;
  if (n->nin != 1) return NULL;
  return op_is(n, "concat") ? n->in[0]
                            : build_reshape(r, n->in[0], n->out[0]->type.rank, n->out[0]->type.dim);
}

// The first element and the step of a slice along each dimension of its operand; false if symbolic.
static bool slice_range(const Node *n, int64_t *start, int64_t *step) {
  int rank = n->in[0]->type.rank, naxes, nsteps;
  const Attr *starts = node_attr(n, "starts");
  const int64_t *axes = attr_ints(n, "axes", &naxes), *steps = attr_ints(n, "steps", &nsteps);
  for (int d = 0; d < rank; d++) start[d] = 0, step[d] = 1;
  for (int i = 0; i < starts->n; i++) {
    int64_t d = naxes ? axes[i] + (axes[i] < 0 ? rank : 0) : i;
    Dim extent = n->in[0]->type.dim[d];
    if (starts->dims[i].sym || extent.sym) return false;
    int64_t s = starts->dims[i].n;
    step[d] = nsteps ? steps[i] : 1;
    s += s < 0 ? extent.n : 0;
    int64_t top = step[d] > 0 ? extent.n : extent.n - 1;
    start[d] = s < 0 ? 0 : s > top ? top : s;
  }
  return true;
}

// A slice of a slice, both forward: starts add up, steps multiply.
static Value *one_slice(Rewrite *r, bool *changed) {
  (void)changed;
  Node *n = r->n, *before = made_by(n->in[0], "slice");
  if (same_type(n->in[0], n->out[0])) {
    int64_t start[MAX_RANK], step[MAX_RANK];
    if (!slice_range(n, start, step)) return NULL;
    for (int d = 0; d < n->in[0]->type.rank; d++)
      if (step[d] < 0) return NULL;
    return n->in[0];
  }
  if (!before) return NULL;
  int64_t s1[MAX_RANK], t1[MAX_RANK], s2[MAX_RANK], t2[MAX_RANK], axes[MAX_RANK], steps[MAX_RANK];
  Dim starts[MAX_RANK], ends[MAX_RANK];
  int rank = n->in[0]->type.rank;
  if (!type_is_static(&n->out[0]->type) || !slice_range(n, s2, t2) || !slice_range(before, s1, t1))
    return NULL;
  for (int d = 0; d < rank; d++) {
    if (t1[d] < 1 || t2[d] < 1 || n->out[0]->type.dim[d].n < 1) return NULL;
    int64_t first = s1[d] + s2[d] * t1[d];
    axes[d] = d;
    steps[d] = t1[d] * t2[d];
    starts[d] = dim_const(first);
    ends[d] = dim_const(first + (n->out[0]->type.dim[d].n - 1) * steps[d] + 1);
  }
  return build(&r->b, "slice", IN(before->in[0]),
               ATTRS(A_SHAPE("starts", starts, rank), A_SHAPE("ends", ends, rank), A_INTS("axes", axes, rank),
                     A_INTS("steps", steps, rank)));
}

static Value *no_padding(Rewrite *r, bool *changed) {
  (void)changed;
  int n;
  const int64_t *pads = attr_ints(r->n, "pads", &n);
  for (int i = 0; i < n; i++)
    if (pads[i]) return NULL;
  return r->n->in[0];
}

// ---- padding into convolutions ------------------------------------------------------------------------------

// pad that adds zeros to the spatial dimensions only.
static bool pads_space_with_zero(const Node *p) {
  int n;
  double zero = 0;
  const int64_t *pads = attr_ints(p, "pads", &n);
  if (strcmp(attr_string(p, "mode"), "constant") != 0) return false;
  if (p->nin > 1 && p->in[1] && (!operand_number(p, 1, &zero) || zero != 0)) return false;
  for (int i = 0; i < n; i++)
    if (pads[i] < 0 || (pads[i] && i % (n / 2) < 2)) return false;
  return n >= 6;
}

static Value *pad_into_conv(Rewrite *r, bool *changed) {
  Node *n = r->n, *p = made_by(n->in[0], "pad");
  if (!p || !pads_space_with_zero(p)) return NULL;
  int rank = n->in[0]->type.rank, space = rank - 2, given, n_pads;
  const int64_t *have = attr_ints(n, "pads", &given), *add = attr_ints(p, "pads", &n_pads);
  int64_t *pads = NEW_ARRAY(r->b.ctx->arena, int64_t, 2 * space);
  for (int i = 0; i < 2 * space; i++) {
    int64_t own = given == 0 ? 0 : given == 1 ? have[0] : given == space ? have[i % space] : have[i];
    pads[i] = own + add[i < space ? i + 2 : rank + 2 + i - space];
  }
  Attr *attrs = arena_dup(r->b.ctx->arena, n->attr, (size_t)n->op->nattr * sizeof *n->attr);
  for (int i = 0; i < n->op->nattr; i++)
    if (strcmp(attrs[i].name, "pads") == 0) attrs[i] = A_INTS("pads", pads, 2 * space);
  (void)changed;
  Value **in = arena_dup(r->b.ctx->arena, n->in, (size_t)n->nin * sizeof *n->in);
  in[0] = p->in[0];
  return build(&r->b, n->op->name, in, n->nin, attrs, n->op->nattr);
}

// ---- arithmetic ---------------------------------------------------------------------------------------------

static Value *constants_right(Rewrite *r, bool *changed) {
  Node *n = r->n;
  if (!(n->op->info->flags & OP_COMMUTES) || n->nin != 2) return NULL;
  if (!const_of(n->in[0]) || const_of(n->in[1])) return NULL;
  Value *x = n->in[0];
  n->in[0] = n->in[1];
  n->in[1] = x;
  *changed = true;
  return NULL;
}

// x + 0, x - 0, x * 1, x / 1, pow(x, 1). The sum turns -0 into +0: not under strict rules for floats.
static Value *neutral_operand(Rewrite *r, bool *changed) {
  (void)changed;
  Node *n = r->n;
  double k;
  if (!operand_number(n, 1, &k) || !same_type(n->in[0], n->out[0])) return NULL;
  bool strict = r->o->fp_strict && dtype_is_float(n->out[0]->type.dtype);
  if (op_is(n, "add")) return k == 0 && (!strict || signbit(k)) ? n->in[0] : NULL;
  if (op_is(n, "sub")) return k == 0 && !signbit(k) ? n->in[0] : NULL;
  return k == 1 ? n->in[0] : NULL;
}

// Powers that are cheaper by another name.
static Value *simple_power(Rewrite *r, bool *changed) {
  (void)changed;
  Node *n = r->n;
  double k;
  if (!operand_number(n, 1, &k) || !same_type(n->in[0], n->out[0])) return NULL;
  bool is_float = dtype_is_float(n->out[0]->type.dtype);
  if (k == 2) return build1(r, "square", n->in[0]);
  if (k == 3) return build2(r, "mul", build1(r, "square", n->in[0]), n->in[0]);
  if (!is_float || r->o->fp_strict) return NULL;
  if (k == 0.5) return build1(r, "sqrt", n->in[0]);
  if (k == -0.5) return build1(r, "rsqrt", n->in[0]);
  return k == -1 ? build1(r, "reciprocal", n->in[0]) : NULL;
}

// Division of floats by a constant: multiplication by its reciprocal, always where that is exact.
static Value *divide_by_constant(Rewrite *r, bool *changed) {
  (void)changed;
  Node *n = r->n;
  double k;
  int exponent;
  if (!dtype_is_float(n->out[0]->type.dtype) || !operand_number(n, 1, &k) || k == 0 || !isfinite(k))
    return NULL;
  if (type_elements(&n->in[1]->type) != 1) return NULL;
  bool exact = fabs(frexp(k, &exponent)) == 0.5 && abs(exponent) < 14;
  if (!exact && (r->o->fp_strict || n->out[0]->type.dtype != DT_F32 || !isnormal((float)(1 / k))))
    return NULL;
  Value *by =
      build_reshape(r, build_scalar(r, n->in[1]->type.dtype, 1 / k), n->in[1]->type.rank, n->in[1]->type.dim);
  return build2(r, "mul", n->in[0], by);
}

// (x op a) op b with constants: x op (a op b), to be folded.
static Value *chain_of_constants(Rewrite *r, bool *changed) {
  (void)changed;
  Node *n = r->n;
  Node *before = made_by_once(n->in[0], n->op->name);
  if (!before || !const_of(n->in[1]) || !const_of(before->in[1]) || const_of(before->in[0])) return NULL;
  bool is_float = dtype_is_float(n->out[0]->type.dtype);
  if (is_float && r->o->fp_strict && !op_is(n, "min") && !op_is(n, "max")) return NULL;
  int64_t both = type_elements(&n->in[1]->type) + type_elements(&before->in[1]->type);
  Value *k = build2(r, n->op->name, before->in[1], n->in[1]);
  if (!k || type_elements(&k->type) > both) return NULL;
  return build2(r, n->op->name, before->in[0], k);
}

// f(f(x)) = x, or f(f(x)) = f(x).
static Value *twice_is_none(Rewrite *r, bool *changed) {
  (void)changed;
  Node *before = made_by(r->n->in[0], r->n->op->name);
  return before ? before->in[0] : NULL;
}

static Value *twice_is_once(Rewrite *r, bool *changed) {
  (void)changed;
  return made_by(r->n->in[0], r->n->op->name) ? r->n->in[0] : NULL;
}

// max(x, 0) is relu; clip between 0 and nothing too.
static Value *max_is_relu(Rewrite *r, bool *changed) {
  (void)changed;
  double k;
  Node *n = r->n;
  bool zero = operand_number(n, 1, &k) && k == 0 && same_type(n->in[0], n->out[0]);
  return zero ? build1(r, "relu", n->in[0]) : NULL;
}

static Value *clip_forms(Rewrite *r, bool *changed) {
  (void)changed;
  Node *n = r->n;
  bool lo = n->nin > 1 && n->in[1], hi = n->nin > 2 && n->in[2];
  if (!lo && !hi) return n->in[0];
  return hi ? NULL : max_is_relu(r, changed);
}

static Value *where_forms(Rewrite *r, bool *changed) {
  (void)changed;
  Node *n = r->n;
  Value *pick = NULL;
  if (n->in[1] == n->in[2]) pick = n->in[1];
  if (const_is_splat(n->in[0], 1)) pick = n->in[1];
  if (const_is_splat(n->in[0], 0)) pick = n->in[2];
  return pick && same_type(pick, n->out[0]) ? pick : NULL;
}

// cast(cast(x)) where the first loses nothing.
static bool widens(DType from, DType to) {
  char a = dtype_class(from), b = dtype_class(to);
  int x = dtype_bytes(from), y = dtype_bytes(to);
  if (from == to) return true;
  if (a == 'b') return true;
  if (a == b) return x < y && !(from == DT_F16 && to == DT_BF16);
  if (a == 'u' && b == 's') return x < y;
  return b == 'f' && ((x == 1 && y >= 4) || (x == 2 && y >= 4) || (x == 4 && y == 8));
}

// What does not fit is saturated coming from a float, and wraps coming from an integer.
static bool same_overflow(DType from, DType between, DType to) {
  bool by_float = dtype_is_int(from) && dtype_is_float(between) && dtype_is_int(to);
  return !by_float || widens(from, to);
}

static Value *one_cast(Rewrite *r, bool *changed) {
  (void)changed;
  Node *n = r->n, *before = made_by(n->in[0], "cast");
  DType to = n->out[0]->type.dtype;
  if (same_type(n->in[0], n->out[0])) return n->in[0];
  if (!before || !widens(before->in[0]->type.dtype, before->out[0]->type.dtype)) return NULL;
  if (!same_overflow(before->in[0]->type.dtype, before->out[0]->type.dtype, to)) return NULL;
  if (before->in[0]->type.dtype == to) return before->in[0];
  return build(&r->b, "cast", IN(before->in[0]), ATTRS(A_DTYPE("dtype", to)));
}

// ---- the rules ----------------------------------------------------------------------------------------------

static const Rule RULES[] = {
    {"identity", drop_identity},
    {"broadcast tile", drop_same_shape},
    {"reshape flatten squeeze unsqueeze", one_reshape},
    {"transpose", one_transpose},
    {"concat stack", one_part},
    {"slice", one_slice},
    {"pad", no_padding},
    {"conv", pad_into_conv},
    {"*", constants_right},
    {"add sub mul div pow", neutral_operand},
    {"pow", simple_power},
    {"div", divide_by_constant},
    {"add mul min max and or bit_and bit_or bit_xor xor", chain_of_constants},
    {"neg not bit_not", twice_is_none},
    {"relu abs floor ceil trunc round sign", twice_is_once},
    {"max", max_is_relu},
    {"clip", clip_forms},
    {"where", where_forms},
    {"cast", one_cast},
};

bool pass_canonicalize(Module *m, const PassOptions *o) {
  return rewrite_module(m, o, "canonicalize", RULES, ARRAY_LEN(RULES), 8);
}
