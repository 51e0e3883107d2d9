// onnx_ops_index.c: ONNX operators that read or write elements at computed places.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

static bool gather(Call *c) {
  Attr axis = A_INT("axis", attr_i(c, "axis", 0));
  return ret_as(c, 0, make(c, c->op->arg, IN(arg(c, 0), arg(c, 1)), &axis, 1), arg_elem(c, 0));
}

static bool gather_nd(Call *c) {
  Attr batch = A_INT("batch_dims", attr_i(c, "batch_dims", 0));
  return ret_as(c, 0, make(c, "gather_nd", IN(arg(c, 0), arg(c, 1)), &batch, 1), arg_elem(c, 0));
}

static bool scatter_elements(Call *c) {
  Attr attrs[] = {A_INT("axis", attr_i(c, "axis", 0)), A_STRING("reduction", attr_s(c, "reduction", "none"))};
  return ret(c, 0, make(c, "scatter_elements", IN(arg(c, 0), arg(c, 1), arg(c, 2)), attrs, 2));
}

static bool scatter_nd(Call *c) {
  Attr reduction = A_STRING("reduction", attr_s(c, "reduction", "none"));
  return ret(c, 0, make(c, "scatter_nd", IN(arg(c, 0), arg(c, 1), arg(c, 2)), &reduction, 1));
}

static bool reverse_sequence(Call *c) {
  Attr attrs[] = {A_INT("batch_axis", attr_i(c, "batch_axis", 1)),
                  A_INT("time_axis", attr_i(c, "time_axis", 0))};
  return ret(c, 0, make(c, "reverse_sequence", IN(arg(c, 0), arg(c, 1)), attrs, 2));
}

// The third operand holds the values for "off" and "on".
static bool one_hot(Call *c) {
  Value *values = arg(c, 2);
  Dim depth;
  if (arg_dims(c, 1, &depth, 1) < 0) return false;
  if (type_elements(&values->type) != 2) return call_fail(c, "values must be two numbers");
  Value *off = make_slice(c, values, 0, 0, 1), *on = make_slice(c, values, 0, 1, 2);
  Attr attrs[] = {A_SHAPE("depth", &depth, 1), A_INT("axis", attr_i(c, "axis", -1))};
  return ret(c, 0, make(c, "one_hot", IN(arg(c, 0), on, off), attrs, 2));
}

const OnnxOp ONNX_OPS_INDEX[] = {
    {"", "Gather", gather, "gather"},
    {"", "GatherElements", gather, "gather_elements"},
    {"", "GatherND", gather_nd, NULL},
    {"", "Scatter", scatter_elements, NULL},
    {"", "ScatterElements", scatter_elements, NULL},
    {"", "ScatterND", scatter_nd, NULL},
    {"", "ReverseSequence", reverse_sequence, NULL},
    {"", "OneHot", one_hot, NULL},
    {0},
};
