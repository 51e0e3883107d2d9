// rodata.c: the constants' bytes, in memory, as a stream, or in a weights file.
// SPDX-License-Identifier: Apache-2.0
//
// They are written front to back with no more memory than a piece of one takes: LLVM constants or an assembler would
// take seconds and gigabytes for what a disk writes at once.
#include "codegen/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

// ---- bytes ------------------------------------------------------------------------------------------------------

void rodata_fill(const Plan *p, void *to) {
  for (int i = 0; i < p->pool->list.n; i++) {
    const Constant *k = p->pool->list.data[i];
    layout_pack(p->c, k->layout, k->tensor, (char *)to + k->offset);
  }
}

static bool put_zeros(FILE *out, int64_t n) {
  static const char zeros[64];
  for (; n > 0; n -= 64)
    if (!fwrite(zeros, (size_t)(n < 64 ? n : 64), 1, out)) return false;
  return true;
}

enum { PIECE = 32 << 20 }; // of a constant that is packed

static bool put_constant(const Plan *p, const Constant *k, FILE *out) {
  if (k->bytes == 0) return true;
  if (!k->layout) return fwrite(k->tensor->data, (size_t)k->bytes, 1, out) == 1;
  int64_t slices = layout_slices(p->c, k->layout, &k->tensor->type), each = k->bytes / slices;
  int64_t step = each < PIECE ? PIECE / each : 1;
  if (step > slices) step = slices;
  void *packed = malloc((size_t)(step * each));
  if (!packed) {
    diag_error(p->c->diag, NO_LOC, "out of memory");
    return false;
  }
  bool ok = true;
  for (int64_t i = 0; i < slices && ok; i += step) {
    int64_t end = i + step < slices ? i + step : slices;
    layout_pack_slices(p->c, k->layout, k->tensor, i, end, packed);
    ok = fwrite(packed, (size_t)((end - i) * each), 1, out) == 1;
  }
  free(packed);
  return ok;
}

bool rodata_stream(const Plan *p, FILE *out) {
  int64_t at = 0;
  for (int i = 0; i < p->pool->list.n; i++) {
    const Constant *k = p->pool->list.data[i];
    if (!put_zeros(out, k->offset - at) || !put_constant(p, k, out)) return false;
    at = k->offset + k->bytes;
  }
  return true;
}

// ---- the weights file -------------------------------------------------------------------------------------------

// The hash of what was just written, read back in pieces; 0 with errno set where it cannot be read.
static bool hash_file(FILE *f, int64_t bytes, uint64_t *hash) {
  enum { BLOCK = 1 << 20 };
  char *block = malloc(BLOCK);
  struct ingot_hasher h;
  bool ok = block;
  ingot_hash_begin(&h);
  for (int64_t at = 0; at < bytes && ok; at += BLOCK) {
    size_t n = bytes - at < BLOCK ? (size_t)(bytes - at) : BLOCK;
    ok = pread(fileno(f), block, n, (off_t)(INGOT_WEIGHTS_HEADER + at)) == (ssize_t)n;
    if (ok) ingot_hash_add(&h, block, n);
  }
  free(block);
  *hash = ingot_hash_end(&h);
  return ok;
}

// The header comes last, when the hash is known: a file that was cut short is none.
bool rodata_write_file(const Plan *p, FILE *out, uint64_t *hash) {
  int64_t bytes = p->model.weights.bytes;
  if (!put_zeros(out, INGOT_WEIGHTS_HEADER) || !rodata_stream(p, out) || fflush(out) != 0) return false;
  if (!hash_file(out, bytes, hash)) return false;
  struct ingot_weights_header head = {INGOT_WEIGHTS_MAGIC, 1, (uint64_t)bytes, *hash};
  return fseek(out, 0, SEEK_SET) == 0 && fwrite(&head, sizeof head, 1, out) == 1 && fflush(out) == 0;
}
