// weights_npy.c: the .npy format: header (a Python literal), byte order, Fortran order.
// SPDX-License-Identifier: Apache-2.0
// Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#include "frontend/weights_formats.h"

// A cursor over the header's text, which is not NUL-terminated.
typedef struct Header {
  const char *s, *end;
} Header;

static void skip_space(Header *h) {
  while (h->s < h->end && (*h->s == ' ' || *h->s == '\n' || *h->s == '\t')) h->s++;
}

static bool accept(Header *h, const char *token) {
  size_t n = strlen(token);
  skip_space(h);
  if ((size_t)(h->end - h->s) < n || memcmp(h->s, token, n) != 0) return false;
  h->s += n;
  return true;
}

// A quoted string without escapes, into buf.
static bool quoted(Header *h, char *buf, size_t room) {
  skip_space(h);
  if (h->s >= h->end || (*h->s != '\'' && *h->s != '"')) return false;
  char quote = *h->s++;
  const char *close = memchr(h->s, quote, (size_t)(h->end - h->s));
  if (!close || (size_t)(close - h->s) >= room || memchr(h->s, '\\', (size_t)(close - h->s))) return false;
  memcpy(buf, h->s, (size_t)(close - h->s));
  buf[close - h->s] = '\0';
  h->s = close + 1;
  return true;
}

static bool natural(Header *h, int64_t *v) {
  skip_space(h);
  const char *start = h->s;
  *v = 0;
  for (; h->s < h->end && *h->s >= '0' && *h->s <= '9'; h->s++) {
    if (!mul_ok(*v, 10, v) || !add_ok(*v, *h->s - '0', v)) return false;
  }
  bool any = h->s > start;
  accept(h, "L"); // long integers as Python 2 wrote them
  return any;
}

// NULL if fine, else what is wrong.
static const char *parse_shape(Header *h, Type *t) {
  if (!accept(h, "(")) return "its shape is not a tuple";
  while (!accept(h, ")")) {
    if (t->rank == MAX_RANK) return "it has too many dimensions";
    if (!natural(h, &t->dim[t->rank++].n)) return "its shape is not a tuple of natural numbers";
    if (!accept(h, ",") && (h->s >= h->end || *h->s != ')')) return "its shape is not a tuple";
  }
  return NULL;
}

typedef struct NpyInfo {
  Type type;
  char descr[32];
  bool fortran, swapped;
} NpyInfo;

// The keys may come in any order; all three are needed, others are refused.
static const char *parse_header(Header *h, NpyInfo *info) {
  char key[32];
  int seen = 0;
  if (!accept(h, "{")) return "its header is not a dictionary";
  while (!accept(h, "}")) {
    if (!quoted(h, key, sizeof key) || !accept(h, ":")) return "its header is not a dictionary";
    if (strcmp(key, "descr") == 0 && !(seen & 1)) {
      if (accept(h, "[")) return "it holds records, not one element type";
      if (!quoted(h, info->descr, sizeof info->descr)) return "its element type is not readable";
      seen |= 1;
    } else if (strcmp(key, "fortran_order") == 0 && !(seen & 2)) {
      info->fortran = accept(h, "True");
      if (!info->fortran && !accept(h, "False")) return "its fortran_order is neither True nor False";
      seen |= 2;
    } else if (strcmp(key, "shape") == 0 && !(seen & 4)) {
      const char *fault = parse_shape(h, &info->type);
      if (fault) return fault;
      seen |= 4;
    } else {
      return "its header has an unexpected key";
    }
    if (!accept(h, ",") && (h->s >= h->end || *h->s != '}')) return "its header is not a dictionary";
  }
  return seen == 7 ? NULL : "its header lacks descr, fortran_order or shape";
}

// "<f4" -> F32; '>' sets swapped; '|' and '=' are as good as '<'.
static DType parse_descr(const char *descr, bool *swapped) {
  if (!descr[0] || !strchr("<>|=", descr[0])) return DT_NONE;
  *swapped = descr[0] == '>';
  for (int t = 0; t < DT_COUNT; t++) {
    if (strcmp(descr + 1, dtype_npy((DType)t) + 1) == 0) return (DType)t;
  }
  return DT_NONE;
}

static void copy_element(uint8_t *to, const uint8_t *from, int bytes, bool swapped) {
  if (!swapped) {
    memcpy(to, from, (size_t)bytes);
    return;
  }
  for (int i = 0; i < bytes; i++) to[i] = from[bytes - 1 - i];
}

// A row-major, little-endian copy. The source runs with its first index fastest if fortran.
static Tensor *converted(Ctx *c, const NpyInfo *info, const uint8_t *from) {
  const Type *t = &info->type;
  Tensor *copy = tensor_new(c, t);
  uint8_t *to = tensor_data(copy);
  int bytes = dtype_bytes(t->dtype);
  int64_t stride[MAX_RANK], index[MAX_RANK] = {0}, n = type_elements(t), at = 0;
  int64_t step = 1;
  for (int i = 0; i < t->rank; i++) {
    int k = info->fortran ? i : t->rank - 1 - i;
    stride[k] = step;
    step *= t->dim[k].n;
  }
  for (int64_t i = 0; i < n; i++) {
    copy_element(to + i * bytes, from + at * bytes, bytes, info->swapped);
    for (int k = t->rank - 1; k >= 0; k--) {
      at += stride[k];
      if (++index[k] < t->dim[k].n) break;
      at -= stride[k] * t->dim[k].n;
      index[k] = 0;
    }
  }
  return copy;
}

// Finds the header's text and where the data starts; NULL if fine, else what is wrong.
static const char *find_header(const uint8_t *bytes, size_t size, Header *h, size_t *data_at) {
  if (size < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0) return "it is not in .npy format";
  int version = bytes[6];
  if (version < 1 || version > 3) return "its format version is not 1, 2 or 3";
  size_t lead = version == 1 ? 10 : 12;
  if (size < lead) return "it is truncated in its header";
  size_t n = version == 1 ? get_le16(bytes + 8) : get_le32(bytes + 8);
  if (n > NPY_HEADER_MAX) return "its header is absurdly long";
  if (size - lead < n) return "it is truncated in its header";
  *h = (Header){(const char *)bytes + lead, (const char *)bytes + lead + n};
  *data_at = lead + n;
  return NULL;
}

static Tensor *npy_fault(Ctx *c, Loc loc, const char *name, const char *fault) {
  diag_error(c->diag, loc, "'%s': %s", name, fault);
  return NULL;
}

Tensor *npy_parse(Ctx *c, Loc loc, const char *name, const uint8_t *bytes, size_t size) {
  Header h;
  NpyInfo info = {0};
  size_t data_at = 0;
  const char *fault = find_header(bytes, size, &h, &data_at);
  if (!fault) fault = parse_header(&h, &info);
  if (fault) return npy_fault(c, loc, name, fault);
  Type *t = &info.type;
  t->dtype = parse_descr(info.descr, &info.swapped);
  if (t->dtype == DT_NONE) {
    return npy_fault(c, loc, name,
                     arena_printf(c->arena, "it has the unsupported element type '%s'", info.descr));
  }
  int64_t need;
  if (!weights_shape_ok(t, &need)) return npy_fault(c, loc, name, "its shape is absurdly large");
  if ((uint64_t)need != size - data_at) {
    diag_error(c->diag, loc, "'%s': it is %s: %s needs %lld bytes of data, it has %llu", name,
               (uint64_t)need > size - data_at ? "truncated" : "too long", type_text(c, t), (long long)need,
               (unsigned long long)(size - data_at));
    return NULL;
  }
  bool reorder = info.fortran && t->rank > 1;
  if (info.swapped && dtype_bytes(t->dtype) == 1) info.swapped = false;
  if (reorder || info.swapped) return converted(c, &info, bytes + data_at);
  return tensor_view(c, t, bytes + data_at);
}
