// tensor.c: constant data: dense row-major tensors of static type.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"

Tensor *tensor_view(Ctx *c, const Type *type, const void *data) {
  Tensor *t = NEW(c->arena, Tensor);
  *t = (Tensor){.type = *type, .data = data, .bytes = (size_t)type_bytes(type)};
  return t;
}

Tensor *tensor_new(Ctx *c, const Type *type) {
  return tensor_view(c, type, arena_alloc(c->arena, (size_t)type_bytes(type)));
}

void *tensor_data(Tensor *t) {
  return (void *)t->data;
}

Tensor *tensor_scalar(Ctx *c, DType dt, double v) {
  Type type = {.dtype = dt};
  Tensor *t = tensor_new(c, &type);
  tensor_set(t, 0, v);
  return t;
}

Tensor *tensor_ints(Ctx *c, const int64_t *v, int n) {
  Type type = {.dtype = DT_I64, .rank = 1, .dim = {{n, NULL}}};
  Tensor *t = tensor_new(c, &type);
  if (n) memcpy(tensor_data(t), v, (size_t)n * sizeof *v);
  return t;
}

static const char *element(const Tensor *t, int64_t i) {
  return (const char *)t->data + i * dtype_bytes(t->type.dtype);
}

double tensor_get(const Tensor *t, int64_t i) {
  DType dt = t->type.dtype;
  return scalar_cast(dt, DT_F64, scalar_load(dt, element(t, i))).f;
}

int64_t tensor_get_int(const Tensor *t, int64_t i) {
  DType dt = t->type.dtype;
  return scalar_cast(dt, DT_I64, scalar_load(dt, element(t, i))).i;
}

void tensor_set(Tensor *t, int64_t i, double v) {
  DType dt = t->type.dtype;
  scalar_store(dt, (void *)element(t, i), scalar_cast(DT_F64, dt, (Scalar){.f = v}));
}

void tensor_set_int(Tensor *t, int64_t i, int64_t v) {
  DType dt = t->type.dtype;
  scalar_store(dt, (void *)element(t, i), scalar_cast(DT_I64, dt, (Scalar){.i = v}));
}

bool tensor_equal(const Tensor *a, const Tensor *b) {
  if (a == b) return true;
  if (!type_equal(&a->type, &b->type) || (a->hash && b->hash && a->hash != b->hash)) return false;
  return a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0;
}

uint64_t tensor_hash(const Tensor *t) {
  if (t->hash) return t->hash;
  uint64_t h = hash_bytes(t->data, t->bytes);
  ((Tensor *)t)->hash = h ? h : 1; // a cache: 0 means not computed
  return t->hash;
}
