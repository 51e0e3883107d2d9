// onnx_ops_sequence.c: ONNX sequences and optionals, whose lengths are known during import: they leave no trace.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

static Val *sequence_arg(Call *c, int k) {
  if (has_arg(c, k) && c->in[k]->kind == VAL_SEQUENCE) return c->in[k];
  call_fail(c, "operand %d must be a sequence", k);
  return val_new(c->im, VAL_SEQUENCE, "");
}

static bool construct(Call *c) {
  return ret_sequence(c, 0, c->in, c->nin);
}

static bool empty(Call *c) {
  return ret_sequence(c, 0, NULL, 0);
}

// A position in [0, n + over), from operand k; the end if that is absent.
static bool position(Call *c, int k, int n, int over, int64_t *at) {
  *at = n + over - 1;
  if (!has_arg(c, k)) return true;
  if (!arg_int(c, k, at)) return false;
  if (*at < 0) *at += n;
  return (*at >= 0 && *at < n + over) || call_fail(c, "position %lld in a sequence of %d", (long long)*at, n);
}

static bool insert(Call *c) {
  Val *s = sequence_arg(c, 0);
  int64_t at;
  if (c->failed || !position(c, 2, s->items.n, 1, &at)) return false;
  Val **items = NEW_ARRAY(call_arena(c), Val *, s->items.n + 1);
  for (int i = 0; i <= s->items.n; i++)
    items[i] = i < at ? s->items.data[i] : i == at ? c->in[1] : s->items.data[i - 1];
  return ret_sequence(c, 0, items, s->items.n + 1);
}

static bool erase(Call *c) {
  Val *s = sequence_arg(c, 0);
  int64_t at;
  if (c->failed || !position(c, 1, s->items.n, 0, &at)) return false;
  Val **items = NEW_ARRAY(call_arena(c), Val *, s->items.n + 1);
  int n = 0;
  for (int i = 0; i < s->items.n; i++) {
    if (i != at) items[n++] = s->items.data[i];
  }
  return ret_sequence(c, 0, items, n);
}

static bool at(Call *c) {
  Val *s = sequence_arg(c, 0);
  int64_t i;
  return !c->failed && position(c, 1, s->items.n, 0, &i) && ret_val(c, 0, s->items.data[i]);
}

static bool length(Call *c) {
  return ret(c, 0, make_scalar(c, DT_I64, sequence_arg(c, 0)->items.n));
}

// Sizes of the parts along the axis: given one by one, one for all (the last may be smaller), or 1 each.
static int part_sizes(Call *c, int64_t extent, int64_t *sizes, int room) {
  const int64_t *v;
  int n = 0;
  int64_t each = 1;
  if (has_arg(c, 1) && rank_of(arg(c, 1)) > 0) {
    n = arg_ints(c, 1, &v);
    if (n > room) return call_fail(c, "%d parts", n), 0;
    for (int i = 0; i < n; i++) sizes[i] = v[i];
    return n;
  }
  if (has_arg(c, 1) && !arg_int(c, 1, &each)) return 0;
  if (each < 1) return call_fail(c, "parts of %lld", (long long)each), 0;
  for (int64_t left = extent; left > 0; left -= each) sizes[n++] = left < each ? left : each;
  return n;
}

static bool split_to_sequence(Call *c) {
  Value *x = arg(c, 0);
  int axis = axis_of(c, attr_i(c, "axis", 0), rank_of(x));
  Dim extent = dim_of(x, axis);
  if (c->failed || extent.sym || extent.n > MAX_OPERANDS)
    return call_fail(c, "the extent to split must be known");
  int64_t *sizes = NEW_ARRAY(call_arena(c), int64_t, MAX_OPERANDS), axes[] = {axis};
  int n = part_sizes(c, extent.n, sizes, MAX_OPERANDS);
  if (c->failed || n < 1) return call_fail(c, "the sizes do not fit");
  Value **parts = make_all(c, "split", IN(x), ATTRS(A_INT("axis", axis), A_INTS("sizes", sizes, n)), n);
  Val **items = NEW_ARRAY(call_arena(c), Val *, n + 1);
  bool drop = !has_arg(c, 1) && !attr_i(c, "keepdims", 1);
  for (int i = 0; i < n; i++) {
    Value *v = drop ? make(c, "squeeze", IN(parts[i]), ATTRS(A_INTS("axes", axes, 1))) : parts[i];
    items[i] = val_tensor(c->im, "", v, arg_elem(c, 0));
  }
  return ret_sequence(c, 0, items, n);
}

static bool concat_from_sequence(Call *c) {
  Val *s = sequence_arg(c, 0);
  int n = s->items.n;
  if (c->failed || n == 0) return call_fail(c, "the sequence is empty");
  Value **v = NEW_ARRAY(call_arena(c), Value *, n + 1);
  for (int i = 0; i < n; i++) {
    if (s->items.data[i]->kind != VAL_TENSOR)
      return call_fail(c, "the sequence holds other things than tensors");
    v[i] = s->items.data[i]->v;
  }
  Attr axis = A_INT("axis", attr_i(c, "axis", 0));
  const char *op = attr_i(c, "new_axis", 0) ? "stack" : "concat";
  return ret_as(c, 0, make(c, op, v, n, &axis, 1), s->items.data[0]->elem);
}

// Runs the body for every item; operands that are tensors are the same for all.
static bool sequence_map(Call *c) {
  const OnnxAttr *a = attr_find(c, "body", ONNX_ATTR_GRAPH);
  Val *s = sequence_arg(c, 0);
  if (c->failed || !a || !a->g || a->g->nout < c->nout) return call_fail(c, "its body is missing");
  int n = s->items.n;
  Val **args = NEW_ARRAY(call_arena(c), Val *, c->nin + 1),
      **outs = NEW_ARRAY(call_arena(c), Val *, a->g->nout + 1);
  Val **results = NEW_ARRAY(call_arena(c), Val *, (size_t)n * (size_t)c->nout + 1);
  for (int i = 0; i < n; i++) {
    for (int k = 0; k < c->nin; k++) {
      bool list = c->in[k] && c->in[k]->kind == VAL_SEQUENCE;
      if (list && c->in[k]->items.n != n) return call_fail(c, "its sequences differ in length");
      args[k] = list ? c->in[k]->items.data[i] : c->in[k];
    }
    if (!import_inline(c, a->g, args, c->nin, outs)) return false;
    for (int k = 0; k < c->nout; k++) results[k * n + i] = outs[k];
  }
  for (int k = 0; k < c->nout; k++) ret_sequence(c, k, results + k * n, n);
  return !c->failed;
}

// ---- optionals --------------------------------------------------------------------------------------------------

static bool optional(Call *c) {
  if (!has_arg(c, 0)) return ret_val(c, 0, val_new(c->im, VAL_ABSENT, c->node->out[0]));
  return ret_val(c, 0, c->in[0]);
}

static bool has_element(Call *c) {
  return ret(c, 0, make_scalar(c, DT_BOOL, has_arg(c, 0)));
}

static bool get_element(Call *c) {
  return has_arg(c, 0) ? ret_val(c, 0, c->in[0]) : call_fail(c, "the optional has no value");
}

const OnnxOp ONNX_OPS_SEQUENCE[] = {
    {"", "SequenceConstruct", construct, NULL},
    {"", "SequenceEmpty", empty, NULL},
    {"", "SequenceInsert", insert, NULL},
    {"", "SequenceErase", erase, NULL},
    {"", "SequenceAt", at, NULL},
    {"", "SequenceLength", length, NULL},
    {"", "SplitToSequence", split_to_sequence, NULL},
    {"", "ConcatFromSequence", concat_from_sequence, NULL},
    {"", "SequenceMap", sequence_map, NULL},
    {"", "Optional", optional, NULL},
    {"", "OptionalHasElement", has_element, NULL},
    {"", "OptionalGetElement", get_element, NULL},
    {0},
};
