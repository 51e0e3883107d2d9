// test_onnx_wire.c: the ONNX reader on well-formed, odd and hostile bytes.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_wire.h"
#include "tests/fixture.h"
#include "tests/onnx_build.h"

static const Source SRC = {.path = "m.onnx"};

static OnnxModel *decode(Bench *b, Str *s) {
  return onnx_decode_model(b->arena, b->ctx->diag, &SRC, (const uint8_t *)str_text(s), s->n);
}

// A model with one of everything that matters.
static Str sample(Arena *a) {
  Str graph = {.arena = a};
  Str node = pb_node(a, "Conv", (const char *const[]){"x", "w", NULL}, "y");
  Str attr = {.arena = a};
  pb_text(&attr, 1, "pads");
  pb_packed(&attr, 8, (int64_t[]){1, -1, 300, INT64_MIN}, 4);
  pb_int(&attr, 8, 5); // packed and single items of one field add up
  pb_int(&attr, 20, ONNX_ATTR_INTS);
  pb_message(&node, 5, &attr);
  Str floats = {.arena = a};
  pb_text(&floats, 1, "scales");
  pb_bytes(&floats, 7, (float[]){1.5f, -2}, 8);
  pb_float(&floats, 7, 4);
  pb_message(&node, 5, &floats);
  pb_message(&graph, 1, &node);
  Str w = pb_tensor(a, "w", ONNX_FLOAT, (int64_t[]){2, 3}, 2, "abcdefghijklmnopqrstuvwx", 24);
  pb_message(&graph, 5, &w);
  Str x = pb_value(a, "x", ONNX_FLOAT, (int64_t[]){-1, 3}, 2);
  pb_message(&graph, 11, &x);
  Str y = pb_value(a, "y", ONNX_FLOAT, (int64_t[]){4}, 1);
  pb_message(&graph, 12, &y);
  return pb_model(a, &graph, 17);
}

Test(onnx_wire, decodes_a_model) {
  Bench *b = bench_new();
  Str s = sample(b->arena);
  OnnxModel *m = decode(b, &s);
  cr_assert_not_null(m);
  cr_assert_eq(m->ir_version, 8);
  cr_assert_eq(m->opsets[0].version, 17);
  cr_assert_str_eq(m->opsets[0].domain, "");
  OnnxGraph *g = m->graph;
  cr_assert_eq(g->nnodes, 1);
  cr_assert_str_eq(g->nodes[0].op, "Conv");
  cr_assert_eq(g->nodes[0].nin, 2);
  cr_assert_str_eq(g->nodes[0].in[1], "w");
  OnnxAttr *pads = &g->nodes[0].attrs[0];
  cr_assert_eq(pads->nints, 5);
  cr_assert_eq(pads->ints[1], -1);
  cr_assert_eq(pads->ints[3], INT64_MIN);
  cr_assert_eq(pads->ints[4], 5);
  OnnxAttr *scales = &g->nodes[0].attrs[1];
  cr_assert_eq(scales->nfloats, 3);
  cr_assert_float_eq(scales->floats[1], -2, 0);
  cr_assert_float_eq(scales->floats[2], 4, 0);
  cr_assert_eq(g->in[0].type->tensor->shape->dims[0].has, ONNX_HAS_PARAM);
  cr_assert_str_eq(g->in[0].type->tensor->shape->dims[0].param, "N1");
  cr_assert_eq(g->in[0].type->tensor->shape->dims[1].value, 3);
  bench_free(b);
}

Test(onnx_wire, tensor_data_stays_in_place) {
  Bench *b = bench_new();
  Str s = sample(b->arena);
  OnnxModel *m = decode(b, &s);
  OnnxTensor *w = &m->graph->inits[0];
  cr_assert_eq(w->raw.n, 24);
  cr_assert((const char *)w->raw.p > s.s && (const char *)w->raw.p < s.s + s.n);
  cr_assert_eq(memcmp(w->raw.p, "abc", 3), 0);
  Str t = {.arena = b->arena};
  pb_bytes(&t, 4, (float[]){1, 2}, 8);
  OnnxTensor *one = onnx_decode_tensor(b->arena, b->ctx->diag, &SRC, (const uint8_t *)t.s, t.n);
  cr_assert((const char *)one->floats.p > t.s && (const char *)one->floats.p < t.s + t.n);
  pb_float(&t, 4, 3); // a second piece: now it has to be gathered
  OnnxTensor *two = onnx_decode_tensor(b->arena, b->ctx->diag, &SRC, (const uint8_t *)t.s, t.n);
  cr_assert_eq(two->floats.n, 12);
  float last;
  memcpy(&last, two->floats.p + 8, 4);
  cr_assert_eq(last, 3);
  bench_free(b);
}

Test(onnx_wire, negative_int32_is_sign_extended) {
  Bench *b = bench_new();
  Str t = {.arena = b->arena};
  pb_packed(&t, 5, (int64_t[]){-7, 255}, 2);
  pb_int(&t, 5, 0xfffffff9); // as some writers store -7: five bytes
  OnnxTensor *tensor = onnx_decode_tensor(b->arena, b->ctx->diag, &SRC, (const uint8_t *)t.s, t.n);
  cr_assert_eq(tensor->nints32, 3);
  cr_assert_eq(tensor->ints32[0], -7);
  cr_assert_eq(tensor->ints32[1], 255);
  cr_assert_eq(tensor->ints32[2], -7);
  bench_free(b);
}

Test(onnx_wire, unknown_fields_are_skipped) {
  Bench *b = bench_new();
  Str s = sample(b->arena);
  pb_text(&s, 99, "from the future");
  pb_int(&s, 1000, 7);
  pb_float(&s, 1001, 7);
  cr_assert_not_null(decode(b, &s));
  cr_assert_eq(diag_errors(b->ctx->diag), 0);
  bench_free(b);
}

// Every prefix and every flipped byte of a good file is taken or refused, never read beyond.
Test(onnx_wire, damaged_files_are_survived) {
  Bench *b = bench_new();
  Str s = sample(b->arena);
  b->ctx->diag = diag_new(b->arena, NULL, false);
  for (size_t n = 0; n <= s.n; n++) {
    uint8_t *copy = malloc(n ? n : 1); // its own block, so that a sanitizer sees an overrun
    memcpy(copy, s.s, n);
    onnx_decode_model(b->arena, b->ctx->diag, &SRC, copy, n);
    for (size_t i = 0; i < n && n == s.n; i++) {
      for (int bit = 0; bit < 8; bit++) {
        copy[i] ^= (uint8_t)(1 << bit);
        onnx_decode_model(b->arena, b->ctx->diag, &SRC, copy, n);
        copy[i] ^= (uint8_t)(1 << bit);
      }
    }
    free(copy);
  }
  arena_free(b->arena);
}

typedef struct Bad {
  const char *bytes;
  size_t n;
  const char *message;
} Bad;

Test(onnx_wire, faults_are_named) {
  static const Bad bad[] = {
      {"", 0, "holds no graph"},
      {"\x80", 1, "truncated tag"},
      {"\x00", 1, "invalid field number"},
      {"\x08", 1, "truncated number"},
      {"\x0f", 1, "invalid wire type"},
      {"\x3a\xff\xff\xff\xff\x0f", 6, "length beyond the end"},
      {"\x3a\x80", 2, "truncated length"},
      {"\x38\x01", 2, "wrong type"}, // graph as a number
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "truncated number"},
      {"\x12\x02\x61\x00", 4, "NUL byte"},
  };
  for (int i = 0; i < ARRAY_LEN(bad); i++) {
    Bench *b = bench_new();
    cr_assert_null(onnx_decode_model(b->arena, b->ctx->diag, &SRC, (const uint8_t *)bad[i].bytes, bad[i].n));
    cr_expect_not_null(strstr(said(b), bad[i].message), "case %d said: %s", i, said(b));
    bench_free(b);
  }
}

Test(onnx_wire, nesting_is_bounded) {
  Bench *b = bench_new();
  Str type = {.arena = b->arena}; // sequences of sequences of ...
  for (int i = 0; i < 200; i++) {
    Str elem = {.arena = b->arena}, outer = {.arena = b->arena};
    pb_message(&elem, 1, &type);
    pb_message(&outer, 4, &elem);
    type = outer;
  }
  Str value = {.arena = b->arena}, graph = {.arena = b->arena};
  pb_message(&value, 2, &type);
  pb_message(&graph, 11, &value);
  Str s = pb_model(b->arena, &graph, 17);
  cr_assert_null(decode(b, &s));
  cr_assert_not_null(strstr(said(b), "nested too deeply"));
  bench_free(b);
}

Test(onnx_wire, objects_are_bounded) {
  Bench *b = bench_new();
  size_t n = 2 * ((size_t)ONNX_MAX_OBJECTS + 1);
  Str graph = {.arena = b->arena};
  char *empty_nodes = arena_alloc(b->arena, n);
  for (size_t i = 0; i < n; i += 2) empty_nodes[i] = 1 << 3 | 2;
  str_put(&graph, empty_nodes, n);
  Str s = pb_model(b->arena, &graph, 17);
  cr_assert_null(decode(b, &s));
  cr_assert_not_null(strstr(said(b), "absurdly many"));
  bench_free(b);
}

Test(onnx_wire, overlong_packed_numbers_are_refused) {
  Bench *b = bench_new();
  Str t = {.arena = b->arena};
  pb_bytes(&t, 7, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12);
  cr_assert_null(onnx_decode_tensor(b->arena, b->ctx->diag, &SRC, (const uint8_t *)t.s, t.n));
  cr_assert_not_null(strstr(said(b), "overlong number"));
  bench_free(b);
}
