// onnx_fixture.h: builds small ONNX models, imports them and keeps what was reported, for tests of the importer.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TESTS_ONNX_FIXTURE_H
#define INGOT_TESTS_ONNX_FIXTURE_H

#include "frontend/onnx.h"
#include "tests/fixture.h"
#include "tests/onnx_build.h"

static Source SRC = {.path = "m.onnx"};

typedef struct Fixture {
  Bench *b;
  Ctx *c;
  Arena *a;
  FrontendOptions user;
} Fixture;

static inline Fixture begin(void) {
  Bench *b = bench_new();
  return (Fixture){.b = b, .c = b->ctx, .a = b->arena};
}

static inline Module *import(Fixture *f, Str *model) {
  OnnxModel *m = onnx_decode_model(f->a, f->c->diag, &SRC, (const uint8_t *)model->s, model->n);
  return m ? onnx_import(f->c, m, &(OnnxOptions){.user = &f->user}) : NULL;
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define DIMS(...)  (int64_t[]){__VA_ARGS__}, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static inline void add_node(Str *graph, const char *op, const char *const *in, const char *out) {
  Str n = pb_node(graph->arena, op, in, out);
  pb_message(graph, 1, &n);
}

static inline void add_value(Str *graph, int field, const char *name, int elem, const int64_t *dims,
                             int rank) {
  Str v = pb_value(graph->arena, name, elem, dims, rank);
  pb_message(graph, field, &v);
}

static inline void add_ints(Str *graph, const char *name, const int64_t *v, int n) {
  Str t = pb_tensor(graph->arena, name, ONNX_INT64, (int64_t[]){n}, 1, v, (size_t)n * 8);
  pb_message(graph, 5, &t);
}

enum { INPUT = 11, OUTPUT = 12 };

static inline const Tensor *ramp(Fixture *f, int rank, const int64_t *dims) {
  Type type = type_make(DT_F32, rank, dims);
  Tensor *t = tensor_new(f->c, &type);
  for (int64_t i = 0; i < type_elements(&type); i++) tensor_set(t, i, (double)i);
  return t;
}

static inline Tensor *run(Fixture *f, Module *m, const Tensor *in) {
  Tensor *out[4];
  cr_assert(module_verify(m, "import"), "%s", said(f->b));
  cr_assert(eval_module(m, &in, out), "%s", said(f->b));
  return out[0];
}

#endif
