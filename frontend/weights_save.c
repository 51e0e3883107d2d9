// weights_save.c: writes .npy and .npz files.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/weights.h"

#include <zlib.h>

enum {
  ALIGN = 64,           // numpy's own choice for where data starts
  ZIP_VERSION = 45,     // zip64
  DOS_DATE = 0x21,      // 1980-01-01: archives are the same from run to run
  PAD_EXTRA_ID = 0xd935 // an extra field that only pads (zipalign's number)
};

static void put_le(Str *s, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; i++) str_put(s, &(char){(char)(v >> 8 * i)}, 1);
}

// The header of one array; its length is a multiple of ALIGN.
static void npy_header(Str *out, const Type *t) {
  Str dict = {.arena = out->arena};
  str_printf(&dict, "{'descr': '%s', 'fortran_order': False, 'shape': (", dtype_npy(t->dtype));
  for (int i = 0; i < t->rank; i++) {
    str_printf(&dict, "%lld%s", (long long)t->dim[i].n, i + 1 < t->rank ? ", " : t->rank == 1 ? "," : "");
  }
  str_puts(&dict, "), }");
  while ((10 + dict.n + 1) % ALIGN) str_puts(&dict, " ");
  str_puts(&dict, "\n");
  str_put(out, "\x93NUMPY\1\0", 8);
  put_le(out, dict.n, 2);
  str_put(out, dict.s, dict.n);
}

static void write_bytes(FILE *out, const void *p, size_t n) {
  if (n) fwrite(p, 1, n, out); // a fault stays in the stream and file_commit reports it
}

bool npy_save(Ctx *c, const char *path, const Tensor *t) {
  OutFile *f = file_create(c->arena, c->diag, path);
  if (!f) return false;
  Str header = {.arena = c->arena};
  npy_header(&header, &t->type);
  write_bytes(file_stream(f), header.s, header.n);
  write_bytes(file_stream(f), t->data, t->bytes);
  return file_commit(f);
}

typedef struct Written {
  const char *name;
  uint64_t offset, size;
  uint32_t crc;
} Written;

// Local header with zip64 sizes and a padding field that brings the data to a multiple of ALIGN.
static void local_header(Str *s, const Written *w) {
  size_t name = strlen(w->name), fixed = 30 + name + 20 + 4;
  size_t pad = (ALIGN - (w->offset + fixed) % ALIGN) % ALIGN;
  str_put(s, "PK\3\4", 4);
  put_le(s, ZIP_VERSION, 2);
  put_le(s, 0, 2 + 2 + 2); // flags, stored, time
  put_le(s, DOS_DATE, 2);
  put_le(s, w->crc, 4);
  put_le(s, UINT32_MAX, 4);
  put_le(s, UINT32_MAX, 4);
  put_le(s, name, 2);
  put_le(s, 20 + 4 + pad, 2);
  str_put(s, w->name, name);
  put_le(s, 1, 2);
  put_le(s, 16, 2);
  put_le(s, w->size, 8);
  put_le(s, w->size, 8);
  put_le(s, PAD_EXTRA_ID, 2);
  put_le(s, pad, 2);
  for (size_t i = 0; i < pad; i++) put_le(s, 0, 1);
}

static void central_header(Str *s, const Written *w) {
  size_t name = strlen(w->name);
  str_put(s, "PK\1\2", 4);
  put_le(s, ZIP_VERSION, 2);
  put_le(s, ZIP_VERSION, 2);
  put_le(s, 0, 2 + 2 + 2);
  put_le(s, DOS_DATE, 2);
  put_le(s, w->crc, 4);
  put_le(s, UINT32_MAX, 4);
  put_le(s, UINT32_MAX, 4);
  put_le(s, name, 2);
  put_le(s, 28, 2);
  put_le(s, 0, 2 + 2 + 2); // comment, disk, internal attributes
  put_le(s, 0, 4);
  put_le(s, UINT32_MAX, 4);
  str_put(s, w->name, name);
  put_le(s, 1, 2);
  put_le(s, 24, 2);
  put_le(s, w->size, 8);
  put_le(s, w->size, 8);
  put_le(s, w->offset, 8);
}

// Zip64 end record, its locator, and the classic end record with all fields deferring to them.
static void end_records(Str *s, uint64_t at, uint64_t size, uint64_t count) {
  str_put(s, "PK\6\6", 4);
  put_le(s, 44, 8);
  put_le(s, ZIP_VERSION, 2);
  put_le(s, ZIP_VERSION, 2);
  put_le(s, 0, 4);
  put_le(s, 0, 4);
  put_le(s, count, 8);
  put_le(s, count, 8);
  put_le(s, size, 8);
  put_le(s, at, 8);
  str_put(s, "PK\6\7", 4);
  put_le(s, 0, 4);
  put_le(s, at + size, 8);
  put_le(s, 1, 4);
  str_put(s, "PK\5\6", 4);
  put_le(s, 0, 4);
  put_le(s, UINT16_MAX, 2);
  put_le(s, UINT16_MAX, 2);
  put_le(s, UINT32_MAX, 4);
  put_le(s, UINT32_MAX, 4);
  put_le(s, 0, 2);
}

// Writes one member at `at`; returns the offset after it.
static uint64_t write_member(Ctx *c, FILE *out, uint64_t at, const Tensor *t, Written *w) {
  Str npy = {.arena = c->arena}, local = {.arena = c->arena};
  npy_header(&npy, &t->type);
  uint32_t crc = (uint32_t)crc32_z(0, (const Bytef *)npy.s, npy.n);
  if (t->bytes) crc = (uint32_t)crc32_z(crc, t->data, t->bytes);
  *w = (Written){.name = w->name, .offset = at, .size = npy.n + t->bytes, .crc = crc};
  local_header(&local, w);
  write_bytes(out, local.s, local.n);
  write_bytes(out, npy.s, npy.n);
  write_bytes(out, t->data, t->bytes);
  return at + local.n + npy.n + t->bytes;
}

bool npz_save(Ctx *c, const char *path, const char *const *names, const Tensor *const *tensors, int n) {
  OutFile *f = file_create(c->arena, c->diag, path);
  if (!f) return false;
  Str central = {.arena = c->arena};
  uint64_t at = 0;
  for (int i = 0; i < n; i++) {
    Written w = {.name = arena_printf(c->arena, "%s.npy", names[i])};
    if (strlen(w.name) > UINT16_MAX) {
      diag_error(c->diag, NO_LOC, "cannot write '%s': a tensor's name is too long", path);
      return false; // the open file goes with the arena
    }
    at = write_member(c, file_stream(f), at, tensors[i], &w);
    central_header(&central, &w);
  }
  uint64_t size = central.n;
  end_records(&central, at, size, (uint64_t)n);
  write_bytes(file_stream(f), central.s, central.n);
  return file_commit(f);
}
