// onnx_ops_sort.c: ONNX operators that sort, select and find.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

static bool topk(Call *c) {
  Value *x = arg(c, 0);
  int64_t k = attr_i(c, "k", 0);
  if (c->version >= 10 && !arg_int(c, 1, &k)) return false;
  Attr attrs[] = {A_INT("axis", attr_i(c, "axis", -1)), A_BOOL("largest", attr_i(c, "largest", 1)),
                  A_BOOL("sorted", attr_i(c, "sorted", 1)), A_INT("k", k)};
  Value **out = make_all(c, "topk", IN(x), attrs, 4, 2);
  return ret(c, 0, out[0]) && ret(c, 1, out[1]);
}

static bool nonzero(Call *c) {
  return ret(c, 0, make_unary(c, "nonzero", arg(c, 0)));
}

static bool compress(Call *c) {
  Attr axis = A_INT("axis", attr_i(c, "axis", 0));
  return ret(c, 0, make(c, "compress", IN(arg(c, 0), arg(c, 1)), &axis, attr_has(c, "axis")));
}

static bool unique(Call *c) {
  Value *x = arg(c, 0);
  Attr attrs[] = {A_BOOL("sorted", attr_i(c, "sorted", 1)), A_INT("axis", 0)};
  if (attr_has(c, "axis")) attrs[1].i = axis_of(c, attr_i(c, "axis", 0), rank_of(x));
  Value **out = make_all(c, "unique", IN(x), attrs, attr_has(c, "axis") ? 2 : 1, 4);
  for (int i = 0; i < 4; i++) ret(c, i, out[i]);
  return !c->failed;
}

static bool non_max_suppression(Call *c) {
  Attr box = A_INT("center_point_box", attr_i(c, "center_point_box", 0));
  Value *v[] = {arg(c, 0), arg(c, 1), arg_opt(c, 2), arg_opt(c, 3), arg_opt(c, 4)};
  return ret(c, 0, make(c, "nms", v, 5, &box, 1));
}

const OnnxOp ONNX_OPS_SORT[] = {
    {"", "TopK", topk, NULL},
    {"", "NonZero", nonzero, NULL},
    {"", "Compress", compress, NULL},
    {"", "Unique", unique, NULL},
    {"", "NonMaxSuppression", non_max_suppression, NULL},
    {0},
};
