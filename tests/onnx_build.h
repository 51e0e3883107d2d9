// onnx_build.h: writes protobuf messages, for tests that need an ONNX file made to measure.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TESTS_ONNX_BUILD_H
#define INGOT_TESTS_ONNX_BUILD_H

#include "ir/base.h"

static inline void pb_raw_varint(Str *s, uint64_t v) {
  for (; v >= 0x80; v >>= 7) str_put(s, &(char){(char)(v | 0x80)}, 1);
  str_put(s, &(char){(char)v}, 1);
}

static inline void pb_int(Str *s, int field, int64_t v) {
  pb_raw_varint(s, (uint64_t)field << 3);
  pb_raw_varint(s, (uint64_t)v);
}

static inline void pb_bytes(Str *s, int field, const void *p, size_t n) {
  pb_raw_varint(s, (uint64_t)field << 3 | 2);
  pb_raw_varint(s, n);
  str_put(s, p, n);
}

static inline void pb_text(Str *s, int field, const char *text) {
  pb_bytes(s, field, text, strlen(text));
}

static inline void pb_message(Str *s, int field, Str *message) {
  pb_bytes(s, field, str_text(message), message->n);
}

static inline void pb_float(Str *s, int field, float v) {
  pb_raw_varint(s, (uint64_t)field << 3 | 5);
  str_put(s, (const char *)&v, 4);
}

static inline void pb_packed(Str *s, int field, const int64_t *v, int n) {
  Str body = {.arena = s->arena};
  for (int i = 0; i < n; i++) pb_raw_varint(&body, (uint64_t)v[i]);
  pb_message(s, field, &body);
}

// A NodeProto with up to four inputs ("" is an absent one, NULL ends) and one output.
static inline Str pb_node(Arena *a, const char *op, const char *const *in, const char *out) {
  Str node = {.arena = a};
  for (int i = 0; in && in[i]; i++) pb_text(&node, 1, in[i]);
  pb_text(&node, 2, out);
  pb_text(&node, 3, arena_printf(a, "n_%s", out));
  pb_text(&node, 4, op);
  return node;
}

// A ValueInfoProto of a tensor type; an extent below 0 is the parameter "N<-extent>".
static inline Str pb_value(Arena *a, const char *name, int elem, const int64_t *dims, int rank) {
  Str shape = {.arena = a}, tensor = {.arena = a}, type = {.arena = a}, value = {.arena = a};
  for (int i = 0; i < rank; i++) {
    Str dim = {.arena = a};
    if (dims[i] >= 0) pb_int(&dim, 1, dims[i]);
    if (dims[i] < 0) pb_text(&dim, 2, arena_printf(a, "N%lld", (long long)-dims[i]));
    pb_message(&shape, 1, &dim);
  }
  pb_int(&tensor, 1, elem);
  pb_message(&tensor, 2, &shape);
  pb_message(&type, 1, &tensor);
  pb_text(&value, 1, name);
  pb_message(&value, 2, &type);
  return value;
}

// A TensorProto with raw data.
static inline Str pb_tensor(Arena *a, const char *name, int elem, const int64_t *dims, int rank,
                            const void *p, size_t n) {
  Str tensor = {.arena = a};
  for (int i = 0; i < rank; i++) pb_int(&tensor, 1, dims[i]);
  pb_int(&tensor, 2, elem);
  pb_text(&tensor, 8, name);
  pb_bytes(&tensor, 9, p, n);
  return tensor;
}

// A ModelProto around a GraphProto.
static inline Str pb_model(Arena *a, Str *graph, int opset) {
  Str model = {.arena = a}, set = {.arena = a};
  pb_int(&model, 1, 8);
  pb_message(&model, 7, graph);
  pb_int(&set, 2, opset);
  pb_message(&model, 8, &set);
  return model;
}

#endif
