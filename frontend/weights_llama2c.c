// weights_llama2c.c: checkpoints of llama2.c (version 0): seven numbers, then all f32 weights in a fixed order.
// SPDX-License-Identifier: Apache-2.0
//
// The form has no magic number: a file is taken for one if its size is exactly what its numbers say. Tensors
// get the names of the original Llama checkpoints, whose rotary pairs lie side by side as they do here.
#include "frontend/weights_formats.h"

enum { LLAMA_HEADER = 28, LLAMA_LIMIT = 1 << 24, LLAMA_LAYERS = 4096 };

typedef struct Llama {
  int64_t dim, hidden, layers, heads, kv_heads, vocabulary, length;
  bool shared; // the embedding is also the head
} Llama;

static bool read_numbers(const WeightFile *f, Llama *l) {
  int64_t v[7];
  if (f->size < LLAMA_HEADER) return false;
  for (int i = 0; i < 7; i++) v[i] = (int32_t)get_le32(f->data + 4 * i);
  l->shared = v[5] > 0;
  if (!l->shared) v[5] = -v[5];
  for (int i = 0; i < 7; i++)
    if (v[i] < 1 || v[i] > LLAMA_LIMIT) return false;
  *l = (Llama){v[0], v[1], v[2], v[3], v[4], v[5], v[6], l->shared};
  return l->layers <= LLAMA_LAYERS && l->dim % l->heads == 0 && l->heads % l->kv_heads == 0;
}

// One tensor of every layer, `name` with the layer's number in it, or, with each == false, one in all.
typedef struct LlamaPart {
  const char *name;
  bool each;
  int rank;
  int64_t rows, columns; // rank 1: rows only
} LlamaPart;

enum { LLAMA_PARTS = 13 };

static int list_parts(const Llama *l, LlamaPart *part) {
  int64_t kv = l->dim / l->heads * l->kv_heads, turns = l->length * (l->dim / l->heads / 2);
  const LlamaPart all[LLAMA_PARTS] = {{"tok_embeddings.weight", false, 2, l->vocabulary, l->dim},
                                      {"attention_norm.weight", true, 1, l->dim, 1},
                                      {"attention.wq.weight", true, 2, l->dim, l->dim},
                                      {"attention.wk.weight", true, 2, kv, l->dim},
                                      {"attention.wv.weight", true, 2, kv, l->dim},
                                      {"attention.wo.weight", true, 2, l->dim, l->dim},
                                      {"ffn_norm.weight", true, 1, l->dim, 1},
                                      {"feed_forward.w1.weight", true, 2, l->hidden, l->dim},
                                      {"feed_forward.w2.weight", true, 2, l->dim, l->hidden},
                                      {"feed_forward.w3.weight", true, 2, l->hidden, l->dim},
                                      {"norm.weight", false, 1, l->dim, 1},
                                      {NULL, false, 1, 2 * turns, 1}, // cosines and sines that nobody reads
                                      {"output.weight", false, 2, l->vocabulary, l->dim}};
  memcpy(part, all, sizeof all);
  return l->shared ? LLAMA_PARTS - 1 : LLAMA_PARTS;
}

static uint64_t part_bytes(const LlamaPart *p) {
  return 4 * (uint64_t)p->rows * (uint64_t)p->columns; // no overflow: each is at most 2^24, but for the turns
}

bool llama2c_is(const WeightFile *f) {
  Llama l;
  LlamaPart part[LLAMA_PARTS];
  if (!read_numbers(f, &l)) return false;
  uint64_t size = LLAMA_HEADER;
  int n = list_parts(&l, part);
  for (int i = 0; i < n && size <= f->size; i++)
    size += part_bytes(&part[i]) * (uint64_t)(part[i].each ? l.layers : 1);
  return size == f->size;
}

static bool add_tensor(WeightFile *f, Loc loc, const LlamaPart *p, const char *name, uint64_t *at) {
  WeightEntry e = {
      .name = name, .packing = WEIGHT_PLAIN, .offset = *at, .size = part_bytes(p), .dtype = "f32"};
  e.type = type_make(DT_F32, p->rank, (int64_t[]){p->rows, p->columns});
  *at += e.size;
  return !name || weights_add(f, loc, e);
}

bool llama2c_read_directory(WeightFile *f, Loc loc) {
  Llama l;
  LlamaPart part[LLAMA_PARTS];
  if (!read_numbers(f, &l)) return false;
  int n = list_parts(&l, part);
  uint64_t at = LLAMA_HEADER;
  for (int i = 0; i < n; i++) {
    if (!part[i].each && !add_tensor(f, loc, &part[i], part[i].name, &at)) return false;
    for (int64_t k = 0; part[i].each && k < l.layers; k++) {
      char *name = arena_printf(f->ctx->arena, "layers.%lld.%s", (long long)k, part[i].name);
      if (!add_tensor(f, loc, &part[i], name, &at)) return false;
    }
  }
  return true;
}
