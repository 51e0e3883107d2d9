// weights_zip.c: the zip container of .npz files: stored members are mapped, deflated ones inflated on use.
// SPDX-License-Identifier: Apache-2.0
// Format: PKWARE APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.3 (zip64).
#include "frontend/weights_formats.h"

#include <limits.h>
#include <zlib.h>

enum {
  LOCAL_BYTES = 30,
  CENTRAL_BYTES = 46,
  END_BYTES = 22,
  LOCATOR64_BYTES = 20,
  END64_BYTES = 56,
  COMMENT_MAX = 65535,
  METHOD_STORED = 0,
  METHOD_DEFLATED = 8,
  FLAG_ENCRYPTED = 1,
  DEFLATE_RATIO_MAX = 1032, // deflate cannot do better: a larger claim is a bomb
};

// Where the central directory lies.
typedef struct Directory {
  uint64_t offset, size, count;
} Directory;

static bool zip_fault(WeightFile *f, Loc loc, const char *fault) {
  diag_error(f->ctx->diag, loc, "'%s': %s", f->path, fault);
  return false;
}

static bool is_at(const WeightFile *f, uint64_t at, const char *signature, size_t bytes) {
  return at <= f->size && f->size - at >= bytes && memcmp(f->data + at, signature, 4) == 0;
}

// Zip64 records replace fields that are all ones.
static void read_end64(const WeightFile *f, size_t end, Directory *dir) {
  if (end < LOCATOR64_BYTES || !is_at(f, end - LOCATOR64_BYTES, "PK\6\7", LOCATOR64_BYTES)) return;
  uint64_t at = get_le64(f->data + end - LOCATOR64_BYTES + 8);
  if (!is_at(f, at, "PK\6\6", END64_BYTES)) return;
  dir->count = get_le64(f->data + at + 32);
  dir->size = get_le64(f->data + at + 40);
  dir->offset = get_le64(f->data + at + 48);
}

// Scans back for the end record, over a comment of at most 64 KiB.
static bool find_directory(WeightFile *f, Loc loc, Directory *dir) {
  if (f->size < END_BYTES) return zip_fault(f, loc, "the archive is truncated");
  size_t last = f->size - END_BYTES, first = last > COMMENT_MAX ? last - COMMENT_MAX : 0;
  for (size_t at = last + 1; at-- > first;) {
    const uint8_t *p = f->data + at;
    if (memcmp(p, "PK\5\6", 4) != 0) continue;
    *dir = (Directory){.count = get_le16(p + 10), .size = get_le32(p + 12), .offset = get_le32(p + 16)};
    read_end64(f, at, dir);
    if (dir->offset > at || dir->size > at - dir->offset) {
      return zip_fault(f, loc, "the archive's directory lies outside the file");
    }
    return true;
  }
  return zip_fault(f, loc, "the archive is truncated: it has no directory");
}

// Sizes and offset of a member, from its central record and that record's zip64 extra field.
typedef struct Member {
  uint64_t packed, full, local;
} Member;

static bool read_zip64_extra(const uint8_t *extra, size_t n, Member *m) {
  uint64_t *field[] = {&m->full, &m->packed, &m->local};
  while (n >= 4) {
    size_t id = get_le16(extra), len = get_le16(extra + 2);
    if (n - 4 < len) return false;
    const uint8_t *p = extra + 4, *end = p + len;
    for (int i = 0; id == 1 && i < ARRAY_LEN(field); i++) {
      if (*field[i] != UINT32_MAX) continue;
      if (end - p < 8) return false;
      *field[i] = get_le64(p);
      p += 8;
    }
    extra += 4 + len;
    n -= 4 + len;
  }
  return true;
}

// Finds a member's bytes behind its local header; false if they are not inside the file.
static bool find_bytes(const WeightFile *f, const Member *m, uint64_t *offset) {
  if (!is_at(f, m->local, "PK\3\4", LOCAL_BYTES)) return false;
  const uint8_t *p = f->data + m->local;
  *offset = m->local + LOCAL_BYTES + get_le16(p + 26) + get_le16(p + 28);
  return *offset <= f->size && m->packed <= f->size - *offset;
}

// Reads the member whose central record is `p`. Other files than .npy are passed over.
static bool read_member(WeightFile *f, Loc loc, const uint8_t *p) {
  Arena *a = f->ctx->arena;
  size_t name_len = get_le16(p + 28), extra_len = get_le16(p + 30);
  const char *name = arena_strndup(a, (const char *)p + CENTRAL_BYTES, name_len);
  size_t len = strlen(name);
  if (len < 4 || strcmp(name + len - 4, ".npy") != 0) return true;
  Member m = {.packed = get_le32(p + 20), .full = get_le32(p + 24), .local = get_le32(p + 42)};
  int method = get_le16(p + 10);
  WeightEntry e = {.name = arena_strndup(a, name, len - 4), .crc = get_le32(p + 16)};
  if (!read_zip64_extra(p + CENTRAL_BYTES + name_len, extra_len, &m) || !find_bytes(f, &m, &e.offset)) {
    return zip_fault(f, loc, arena_printf(a, "member '%s' lies outside the file", name));
  }
  if (get_le16(p + 8) & FLAG_ENCRYPTED) {
    return zip_fault(f, loc, arena_printf(a, "member '%s' is encrypted", name));
  }
  if (method != METHOD_STORED && method != METHOD_DEFLATED) {
    return zip_fault(f, loc, arena_printf(a, "member '%s' uses compression method %d", name, method));
  }
  if (method == METHOD_STORED ? m.full != m.packed : m.full / DEFLATE_RATIO_MAX > m.packed) {
    return zip_fault(f, loc, arena_printf(a, "member '%s' claims an impossible size", name));
  }
  e.packing = method == METHOD_STORED ? WEIGHT_NPY : WEIGHT_DEFLATED_NPY;
  e.size = m.packed;
  e.full_size = m.full;
  return weights_add(f, loc, e);
}

bool zip_read_directory(WeightFile *f, Loc loc) {
  Directory dir;
  if (!find_directory(f, loc, &dir)) return false;
  const uint8_t *p = f->data + dir.offset;
  uint64_t left = dir.size;
  for (uint64_t i = 0; i < dir.count; i++) {
    if (left < CENTRAL_BYTES || memcmp(p, "PK\1\2", 4) != 0) {
      return zip_fault(f, loc, "the archive's directory is damaged");
    }
    uint64_t n = (uint64_t)CENTRAL_BYTES + get_le16(p + 28) + get_le16(p + 30) + get_le16(p + 32);
    if (left < n) return zip_fault(f, loc, "the archive's directory is damaged");
    if (!read_member(f, loc, p)) return false;
    p += n;
    left -= n;
  }
  return true;
}

static void end_inflate(void *z) {
  inflateEnd(z);
}

// zlib counts in 32 bits: feed it slices. True if exactly `size` bytes came out of exactly `packed`.
static bool inflate_all(z_stream *z, const uint8_t *from, uint64_t packed, uint8_t *to, uint64_t size) {
  int state = Z_OK;
  z->next_in = (Bytef *)from;
  z->next_out = to;
  while (state == Z_OK) {
    uint64_t in = packed - (uint64_t)((const uint8_t *)z->next_in - from);
    uint64_t out = size - (uint64_t)(z->next_out - to);
    uInt slice_in = in > UINT_MAX ? UINT_MAX : (uInt)in, slice_out = out > UINT_MAX ? UINT_MAX : (uInt)out;
    z->avail_in = slice_in;
    z->avail_out = slice_out;
    state = inflate(z, Z_NO_FLUSH);
    if (z->avail_in == slice_in && z->avail_out == slice_out && state == Z_OK) return false;
  }
  return state == Z_STREAM_END && z->next_out == to + size && z->next_in == from + packed;
}

uint8_t *zip_inflate(WeightFile *f, Loc loc, const WeightEntry *e) {
  Arena *a = f->ctx->arena;
  uint8_t *to = arena_alloc(a, e->full_size);
  z_stream *z = NEW(a, z_stream);
  if (inflateInit2(z, -MAX_WBITS) != Z_OK) {
    zip_fault(f, loc, "the decompressor could not start");
    return NULL;
  }
  arena_defer(a, end_inflate, z);
  if (!inflate_all(z, f->data + e->offset, e->size, to, e->full_size) ||
      crc32_z(0, to, e->full_size) != e->crc) {
    zip_fault(f, loc, arena_printf(a, "the compressed data of '%s' is damaged", e->name));
    return NULL;
  }
  return to;
}
