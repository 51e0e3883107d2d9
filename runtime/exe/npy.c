// npy.c: NumPy's files: .npy read and written, .npz (uncompressed, as numpy.savez writes them) read.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/exe/exe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *exe_read_file(const char *path, uint64_t *size) {
  FILE *f = fopen(path, "rb");
  char *data = NULL;
  size_t n = 0, room = 0;
  while (f && !feof(f) && !ferror(f)) {
    if (n + 1 >= room) {
      char *more = realloc(data, room = room ? 2 * room : 1 << 16);
      if (!more) break;
      data = more;
    }
    n += fread(data + n, 1, room - 1 - n, f);
  }
  bool ok = f && data && feof(f);
  if (!ok) fprintf(stderr, "error: cannot read '%s': %s\n", path, strerror(errno));
  if (f) fclose(f);
  if (!ok) {
    free(data);
    return NULL;
  }
  data[n] = 0;
  *size = n;
  return data;
}

// ---- .npy --------------------------------------------------------------------------------------------

static const char *const descr[INGOT_DTYPE_END] = {
    [INGOT_BOOL] = "|b1", [INGOT_I8] = "|i1",  [INGOT_U8] = "|u1",  [INGOT_I16] = "<i2", [INGOT_U16] = "<u2",
    [INGOT_I32] = "<i4",  [INGOT_U32] = "<u4", [INGOT_I64] = "<i8", [INGOT_U64] = "<u8", [INGOT_F16] = "<f2",
    [INGOT_BF16] = "<V2", [INGOT_F32] = "<f4", [INGOT_F64] = "<f8",
};

// What follows `'key':` in the header, or NULL.
static const char *value_of(const char *head, const char *key) {
  const char *at = strstr(head, key);
  if (!at || at[strlen(key)] != '\'') return NULL;
  at += strlen(key) + 1;
  return at + strspn(at, " :");
}

static int32_t parse_dtype(const char *s) {
  if (!s || *s != '\'' || !s[1]) return INGOT_NO_DTYPE;
  for (int32_t t = 1; t < INGOT_DTYPE_END; t++)
    if (strncmp(s + 2, descr[t] + 1, 2) == 0 && s[4] == '\'' && s[1] != '>') return t;
  return INGOT_NO_DTYPE;
}

static const char *parse_shape(const char *s, Array *out) {
  if (!s || *s != '(') return "the header has no shape";
  for (s++; *s && *s != ')';) {
    char *end;
    if (out->rank == INGOT_MAX_RANK) return "too many dimensions";
    long long n = strtoll(s, &end, 10);
    if (end == s || n < 0) return "the shape is damaged";
    out->dims[out->rank++] = n;
    s = end + strspn(end, ", L");
  }
  return NULL;
}

static const char *parse_head(const char *head, Array *out) {
  const char *order = value_of(head, "fortran_order");
  out->dtype = parse_dtype(value_of(head, "descr"));
  if (out->dtype == INGOT_NO_DTYPE) return "an element type that is not supported";
  if (!order || strncmp(order, "False", 5) != 0) return "columns first (Fortran order) is not supported";
  return parse_shape(value_of(head, "shape"), out);
}

const char *npy_parse(const char *file, uint64_t size, Array *out) {
  char head[4096];
  memset(out, 0, sizeof *out);
  if (size < 12 || memcmp(file, "\x93NUMPY", 6) != 0) return "not a .npy file";
  const unsigned char *u = (const unsigned char *)file;
  uint64_t begin = u[6] == 1 ? 10 : 12, n = u[8] | (uint64_t)u[9] << 8;
  if (u[6] > 1) n |= (uint64_t)u[10] << 16 | (uint64_t)u[11] << 24;
  if (n >= sizeof head || begin + n > size) return "truncated";
  memcpy(head, file + begin, n);
  head[n] = 0;
  const char *why = parse_head(head, out);
  if (why) return why;
  out->bytes = (uint64_t)ingot_dtype_size(out->dtype);
  for (int32_t i = 0; i < out->rank; i++)
    if (__builtin_mul_overflow(out->bytes, (uint64_t)out->dims[i], &out->bytes)) return "too large";
  out->data = file + begin + n;
  return out->bytes > size - begin - n ? "truncated" : NULL;
}

bool npy_write(const char *path, const Array *a) {
  char head[512];
  int n = snprintf(head, sizeof head, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr[a->dtype]);
  for (int32_t i = 0; i < a->rank; i++)
    n += snprintf(head + n, sizeof head - (size_t)n, "%lld%s", (long long)a->dims[i],
                  i + 1 < a->rank || a->rank == 1 ? ", " : "");
  n += snprintf(head + n, sizeof head - (size_t)n, "), }");
  int all = (10 + n + 1 + 63) / 64 * 64; // the data begins at a multiple of 64
  FILE *f = fopen(path, "wb");
  bool ok = f && fwrite("\x93NUMPY\1", 7, 1, f) == 1 && fputc(0, f) != EOF &&
            fputc((all - 10) & 255, f) != EOF && fputc((all - 10) >> 8, f) != EOF &&
            fprintf(f, "%s%*s\n", head, all - 10 - n - 1, "") > 0 &&
            (a->bytes == 0 || fwrite(a->data, (size_t)a->bytes, 1, f) == 1);
  if (f && fclose(f) != 0) ok = false;
  if (!ok) fprintf(stderr, "error: cannot write '%s': %s\n", path, strerror(errno));
  return ok;
}

// ---- .npz --------------------------------------------------------------------------------------------

static uint64_t le(const char *p, int bytes) {
  uint64_t v = 0;
  for (int i = 0; i < bytes; i++) v |= (uint64_t)(unsigned char)p[i] << (8 * i);
  return v;
}

// One entry of the central directory.
typedef struct Member {
  unsigned method;
  uint64_t size, packed, at;
  const char *name;
  size_t name_size;
} Member;

// Fields that do not fit 32 bits stand in an extra field, in this order.
static void read_wide(Member *m, const char *extra, const char *end) {
  for (; extra + 4 <= end; extra += 4 + le(extra + 2, 2)) {
    if (le(extra, 2) != 1) continue;
    const char *at = extra + 4;
    uint64_t *const field[] = {&m->size, &m->packed, &m->at};
    for (int i = 0; i < 3; i++)
      if (*field[i] == UINT32_MAX && at + 8 <= end) *field[i] = le(at, 8), at += 8;
  }
}

static const char *call_member(const char *file, uint64_t size, const Member *m, NpzFn fn, void *user,
                               bool *more) {
  char name[256];
  Array a;
  if (m->method != 0) return "compressed members are not supported (numpy.savez writes plain ones)";
  if (m->at > size || size - m->at < 30 || le(file + m->at, 4) != 0x04034b50) return "damaged";
  uint64_t data = m->at + 30 + le(file + m->at + 26, 2) + le(file + m->at + 28, 2);
  if (data > size || m->size > size - data || m->name_size >= sizeof name) return "damaged";
  memcpy(name, m->name, m->name_size);
  name[m->name_size] = 0;
  char *dot = strrchr(name, '.');
  if (dot && strcmp(dot, ".npy") == 0) *dot = 0;
  const char *why = npy_parse(file + data, m->size, &a);
  if (!why) *more = fn(user, name, &a);
  return why;
}

const char *npz_each(const char *file, uint64_t size, NpzFn fn, void *user) {
  uint64_t end = size < 22 ? 0 : size - 22;
  while (end > 0 && le(file + end, 4) != 0x06054b50) end--;
  if (end == 0) return "not a .npz file";
  uint64_t n = le(file + end + 10, 2), at = le(file + end + 16, 4);
  bool more = true;
  for (uint64_t i = 0; i < n && more; i++) {
    if (at + 46 > size || le(file + at, 4) != 0x02014b50) return "damaged";
    const char *e = file + at;
    Member m = {(unsigned)le(e + 10, 2), le(e + 24, 4), le(e + 20, 4), le(e + 42, 4), e + 46, le(e + 28, 2)};
    uint64_t next = at + 46 + m.name_size + le(e + 30, 2) + le(e + 32, 2);
    if (next > size) return "damaged";
    read_wide(&m, e + 46 + m.name_size, e + 46 + m.name_size + le(e + 30, 2));
    const char *why = call_member(file, size, &m, fn, user, &more);
    if (why) return why;
    at = next;
  }
  return NULL;
}
