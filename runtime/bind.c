// bind.c: inputs and outputs: binding them to a caller's memory, with every check and its text.
// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#include <stdio.h>
#include <string.h>

// ---- texts -------------------------------------------------------------------------------------------

// "[1, 3, T<=224]" into text; `dims` NULL: the description's extents, else those given.
static const char *shape_text(const ingot_ctx *c, const struct ingot_tensor_info *t, int32_t rank,
                              const int64_t *dims, char *text, size_t size) {
  size_t at = 0;
  for (int32_t d = 0; d < rank && at < size; d++) {
    const char *comma = d ? ", " : "";
    if (dims)
      at += (size_t)snprintf(text + at, size - at, "%s%lld", comma, (long long)dims[d]);
    else if (t->dims[d].sym < 0)
      at += (size_t)snprintf(text + at, size - at, "%s%lld", comma, (long long)t->dims[d].n);
    else
      at += (size_t)snprintf(text + at, size - at, "%s%s<=%lld", comma,
                             c->model->symbols[t->dims[d].sym].name, (long long)t->dims[d].n);
  }
  if (rank == 0) text[0] = 0;
  return text;
}

static int fail_rank(ingot_ctx *c, const struct ingot_tensor_info *t, int32_t rank) {
  char want[160];
  return ingot_ctx_fail(c, INGOT_E_SHAPE, "input '%s': rank is %d, the model wants %d: [%s]", t->name, rank,
                        t->rank, shape_text(c, t, t->rank, NULL, want, sizeof want));
}

static int fail_extent(ingot_ctx *c, const struct ingot_tensor_info *t, int32_t d, const int64_t *dims) {
  char want[96], got[96];
  shape_text(c, t, t->rank, NULL, want, sizeof want);
  shape_text(c, t, t->rank, dims, got, sizeof got);
  return ingot_ctx_fail(
      c, INGOT_E_SHAPE,
      "input '%s': extent %d is %lld, the model wants %s%lld; shape given [%s], wanted [%s]", t->name, d,
      (long long)dims[d], t->dims[d].sym < 0 ? "" : "at most ", (long long)t->dims[d].n, got, want);
}

static int fail_bytes(ingot_ctx *c, const char *what, const char *name, uint64_t bytes, uint64_t want) {
  return ingot_ctx_fail(c, INGOT_E_BYTES, "%s '%s': %llu bytes given, %llu needed", what, name,
                        (unsigned long long)bytes, (unsigned long long)want);
}

static int check_address(ingot_ctx *c, const char *what, const struct ingot_tensor_info *t, const void *p,
                         uint64_t bytes) {
  if (!p && bytes > 0)
    return ingot_ctx_fail(c, INGOT_E_ARGUMENT, "%s '%s': the address is NULL", what, t->name);
  if (t->align > 1 && (uintptr_t)p % (uintptr_t)t->align != 0)
    return ingot_ctx_fail(c, INGOT_E_ALIGN, "%s '%s': the address %p is not a multiple of %d", what, t->name,
                          p, t->align);
  return INGOT_OK;
}

// Writes the new address into the arguments of all steps that use it.
static void patch(ingot_ctx *c, const Binding *b) {
  for (int32_t k = 0; k < b->n_places; k++) {
    int64_t offset = c->model->args[b->places[k]].offset;
    c->buf[b->places[k]] = b->data ? (char *)b->data + offset : NULL;
  }
}

// ---- inputs ------------------------------------------------------------------------------------------

// Extents as given against the description, symbolic ones against their bounds; the size they make in *bytes.
static int check_dims(ingot_ctx *c, const struct ingot_tensor_info *t, int32_t rank, const int64_t *dims,
                      uint64_t *bytes) {
  if (rank != t->rank) return fail_rank(c, t, rank);
  *bytes = (uint64_t)ingot_dtype_size(t->dtype);
  for (int32_t d = 0; d < rank; d++) {
    const struct ingot_dim *want = &t->dims[d];
    if (want->sym < 0 ? dims[d] != want->n : dims[d] < 0 || dims[d] > want->n)
      return fail_extent(c, t, d, dims);
    *bytes *=
        (uint64_t)dims[d]; // no overflow: at most the size at the bounds, which the compiler has checked
  }
  return INGOT_OK;
}

static int own_dims(ingot_ctx *c, const struct ingot_tensor_info *t, int64_t *dims) {
  for (int32_t d = 0; d < t->rank; d++) {
    if (t->dims[d].sym >= 0)
      return ingot_ctx_fail(c, INGOT_E_SHAPE, "input '%s': extent %d (%s) varies and must be given", t->name,
                            d, c->model->symbols[t->dims[d].sym].name);
    dims[d] = t->dims[d].n;
  }
  return INGOT_OK;
}

static int bind_input(ingot_ctx *c, int32_t i, const void *data, int32_t dtype, int32_t rank,
                      const int64_t *dims, uint64_t bytes) {
  if (i < 0 || i >= c->model->n_inputs)
    return ingot_ctx_fail(c, INGOT_E_ARGUMENT, "no input number %d: the model has %d", i, c->model->n_inputs);
  const struct ingot_tensor_info *t = &c->model->inputs[i];
  int64_t fixed[INGOT_MAX_RANK];
  uint64_t want = 0;
  if (dtype != t->dtype)
    return ingot_ctx_fail(c, INGOT_E_DTYPE, "input '%s': element type is %s, the model wants %s", t->name,
                          ingot_dtype_name(dtype), ingot_dtype_name(t->dtype));
  int code = dims ? INGOT_OK : own_dims(c, t, fixed);
  if (!dims) dims = fixed, rank = t->rank;
  if (!code) code = check_dims(c, t, rank, dims, &want);
  if (!code && bytes < want) code = fail_bytes(c, "input", t->name, bytes, want);
  if (!code) code = check_address(c, "input", t, data, want);
  if (code) return code;
  Binding *b = &c->in[i];
  // A new address alone, the usual case, needs no new look at the symbols.
  if (!b->set || (rank > 0 && memcmp(b->dims, dims, (size_t)rank * sizeof *dims) != 0)) c->dirty = true;
  if (rank > 0) memcpy(b->dims, dims, (size_t)rank * sizeof *dims);
  b->data = (void *)(uintptr_t)data;
  b->bytes = bytes;
  b->set = true;
  patch(c, b);
  return INGOT_OK;
}

int ingot_api_set_input(ingot_ctx *c, int32_t i, const void *data, int32_t dtype, int32_t rank,
                        const int64_t *dims, uint64_t bytes) {
  if (!c) return INGOT_E_ARGUMENT;
  if (!ingot_ctx_enter(c)) return INGOT_E_BUSY;
  return ingot_ctx_leave(c, bind_input(c, i, data, dtype, rank, dims, bytes));
}

int ingot_bind_inputs(ingot_ctx *c) {
  for (int32_t i = 0; i < c->model->n_inputs; i++)
    if (!c->in[i].set)
      return ingot_ctx_fail(c, INGOT_E_UNSET, "input '%s' was not set", c->model->inputs[i].name);
  return INGOT_OK;
}

// ---- outputs -----------------------------------------------------------------------------------------

// The size of an output in the coming run; extents that only the run will tell count with their bounds.
static uint64_t output_bytes(const ingot_ctx *c, const struct ingot_tensor_info *t) {
  uint64_t bytes = (uint64_t)ingot_dtype_size(t->dtype);
  for (int32_t d = 0; d < t->rank; d++) {
    const struct ingot_dim *n = &t->dims[d];
    bytes *= (uint64_t)(n->sym >= 0 && ingot_symbol_settled(c, n->sym) ? c->sym[n->sym] : n->n);
  }
  return bytes;
}

static bool is_static(const struct ingot_tensor_info *t) {
  for (int32_t d = 0; d < t->rank; d++)
    if (t->dims[d].sym >= 0) return false;
  return true;
}

static int bind_output(ingot_ctx *c, int32_t i, void *data, uint64_t bytes) {
  if (i < 0 || i >= c->model->n_outputs)
    return ingot_ctx_fail(c, INGOT_E_ARGUMENT, "no output number %d: the model has %d", i,
                          c->model->n_outputs);
  const struct ingot_tensor_info *t = &c->model->outputs[i];
  int code = check_address(c, "output", t, data, bytes);
  bool enough = bytes >= (uint64_t)t->bytes;
  if (!code && !enough && is_static(t)) code = fail_bytes(c, "output", t->name, bytes, (uint64_t)t->bytes);
  if (code) return code;
  Binding *b = &c->out[i];
  c->dirty |= !enough; // whether it will do depends on the run's extents
  b->data = data;
  b->bytes = bytes;
  b->set = true;
  patch(c, b);
  return INGOT_OK;
}

int ingot_api_set_output(ingot_ctx *c, int32_t i, void *data, uint64_t bytes) {
  if (!c) return INGOT_E_ARGUMENT;
  if (!ingot_ctx_enter(c)) return INGOT_E_BUSY;
  return ingot_ctx_leave(c, bind_output(c, i, data, bytes));
}

int ingot_bind_outputs(ingot_ctx *c) {
  for (int32_t i = 0; i < c->model->n_outputs; i++) {
    const struct ingot_tensor_info *t = &c->model->outputs[i];
    if (!c->out[i].set) return ingot_ctx_fail(c, INGOT_E_UNSET, "output '%s' was not set", t->name);
    uint64_t want = output_bytes(c, t);
    if (c->out[i].bytes < want) return fail_bytes(c, "output", t->name, c->out[i].bytes, want);
  }
  return INGOT_OK;
}

void ingot_bind_own_outputs(ingot_ctx *c) {
  for (int32_t i = 0; i < c->model->n_outputs; i++)
    if (c->out[i].set) patch(c, &c->out[i]);
}

int ingot_api_output_shape(const ingot_ctx *c, int32_t i, int64_t *dims) {
  if (!c || !dims || i < 0 || i >= c->model->n_outputs) return INGOT_E_ARGUMENT;
  const struct ingot_tensor_info *t = &c->model->outputs[i];
  for (int32_t d = 0; d < t->rank; d++) dims[d] = ingot_dim_value(&t->dims[d], c->sym);
  return INGOT_OK;
}

void *ingot_api_output_data(const ingot_ctx *c, int32_t i) {
  return c && i >= 0 && i < c->model->n_outputs ? c->out[i].data : NULL;
}
