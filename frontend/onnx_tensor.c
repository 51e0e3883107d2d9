// onnx_tensor.c: checks the sizes of ONNX tensors and finds or converts their data.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_tensor.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

// A part of a file that holds a tensor.
typedef struct Extent {
  uint64_t from, to;
} Extent;

typedef struct OnnxExternal {
  const uint8_t *p;
  size_t size;
  const char *path;
  Vec(Extent) used; // by tensors: in order, none twice
} OnnxExternal;

OnnxFiles *onnx_files_new(Ctx *c, const char *path, const uint8_t *bytes, size_t size) {
  OnnxFiles *f = NEW(c->arena, OnnxFiles);
  *f = (OnnxFiles){.ctx = c, .path = path, .bytes = bytes, .size = size, .external = map_new(c->arena)};
  return f;
}

// ---- element types ------------------------------------------------------------------------------------------

typedef struct ElemInfo {
  DType dtype;
  bool exact; // the IR's type is the same type
  int bits;   // of the small types
} ElemInfo;

static const ElemInfo ELEMS[ONNX_ELEM_COUNT] = {
    [ONNX_UNDEFINED] = {DT_NONE, false, 0},
    [ONNX_FLOAT] = {DT_F32, true, 0},
    [ONNX_UINT8] = {DT_U8, true, 0},
    [ONNX_INT8] = {DT_I8, true, 0},
    [ONNX_UINT16] = {DT_U16, true, 0},
    [ONNX_INT16] = {DT_I16, true, 0},
    [ONNX_INT32] = {DT_I32, true, 0},
    [ONNX_INT64] = {DT_I64, true, 0},
    [ONNX_STRING] = {DT_NONE, false, 0},
    [ONNX_BOOL] = {DT_BOOL, true, 0},
    [ONNX_FLOAT16] = {DT_F16, true, 0},
    [ONNX_DOUBLE] = {DT_F64, true, 0},
    [ONNX_UINT32] = {DT_U32, true, 0},
    [ONNX_UINT64] = {DT_U64, true, 0},
    [ONNX_COMPLEX64] = {DT_NONE, false, 0},
    [ONNX_COMPLEX128] = {DT_NONE, false, 0},
    [ONNX_BFLOAT16] = {DT_BF16, true, 0},
    [ONNX_FLOAT8E4M3FN] = {DT_F32, false, 8},
    [ONNX_FLOAT8E4M3FNUZ] = {DT_F32, false, 8},
    [ONNX_FLOAT8E5M2] = {DT_F32, false, 8},
    [ONNX_FLOAT8E5M2FNUZ] = {DT_F32, false, 8},
    [ONNX_UINT4] = {DT_U8, false, 4},
    [ONNX_INT4] = {DT_I8, false, 4},
    [ONNX_FLOAT4E2M1] = {DT_F32, false, 4},
    [ONNX_FLOAT8E8M0] = {DT_F32, false, 8},
    [ONNX_UINT2] = {DT_U8, false, 2},
    [ONNX_INT2] = {DT_I8, false, 2},
};

DType onnx_dtype(int32_t elem) {
  return elem >= 0 && elem < ONNX_ELEM_COUNT ? ELEMS[elem].dtype : DT_NONE;
}

int32_t onnx_elem_of(DType t) {
  for (int32_t i = 0; i < ONNX_ELEM_COUNT; i++) {
    if (ELEMS[i].exact && ELEMS[i].dtype == t) return i;
  }
  return ONNX_UNDEFINED;
}

int onnx_small_bits(int32_t elem) {
  return elem >= 0 && elem < ONNX_ELEM_COUNT ? ELEMS[elem].bits : 0;
}

// Bias, width of the mantissa, and what the formats without infinities do with their top codes.
// https://arxiv.org/abs/2209.05433 (FN, E5M2), https://arxiv.org/abs/2206.02915 (UZ: one NaN, 0x80), and
// the OCP Microscaling specification (E2M1, E8M0).
static float decode_float(unsigned bits, int mantissa_bits, int exponent_bits, int bias) {
  unsigned mantissa = bits & ((1u << mantissa_bits) - 1);
  int exponent = (int)(bits >> mantissa_bits & ((1u << exponent_bits) - 1));
  bool negative = bits >> (mantissa_bits + exponent_bits) & 1;
  float v = exponent ? ldexpf((float)(mantissa + (1u << mantissa_bits)), exponent - bias - mantissa_bits)
                     : ldexpf((float)mantissa, 1 - bias - mantissa_bits);
  return negative ? -v : v;
}

float onnx_small_float(int32_t elem, uint8_t bits) {
  switch (elem) {
  case ONNX_FLOAT8E4M3FN: return (bits & 0x7f) == 0x7f ? NAN : decode_float(bits, 3, 4, 7);
  case ONNX_FLOAT8E4M3FNUZ: return bits == 0x80 ? NAN : decode_float(bits, 3, 4, 8);
  case ONNX_FLOAT8E5M2:
    if ((bits & 0x7f) > 0x7c) return NAN;
    if ((bits & 0x7f) == 0x7c) return bits & 0x80 ? -INFINITY : INFINITY;
    return decode_float(bits, 2, 5, 15);
  case ONNX_FLOAT8E5M2FNUZ: return bits == 0x80 ? NAN : decode_float(bits, 2, 5, 16);
  case ONNX_FLOAT8E8M0: return bits == 0xff ? NAN : ldexpf(1, bits - 127);
  case ONNX_FLOAT4E2M1: return decode_float(bits & 15, 1, 2, 1);
  default: return NAN;
  }
}

// ---- external data ------------------------------------------------------------------------------------------

static const char *external_entry(const OnnxTensor *t, const char *key) {
  for (int64_t i = 0; i < t->nexternal; i++) {
    if (strcmp(t->external[i].key, key) == 0) return t->external[i].value;
  }
  return NULL;
}

static bool leaves_folder(const char *location) {
  if (location[0] == '/' || location[0] == '\0') return true;
  for (const char *s = location; s; s = strchr(s, '/')) {
    s += *s == '/';
    if (strncmp(s, "..", 2) == 0 && (s[2] == '/' || s[2] == '\0')) return true;
  }
  return false;
}

// Does `path` lie, with all links followed, in the folder of the model?
static bool stays_beside(Arena *a, const char *model, const char *path) {
  char folder[PATH_MAX], real[PATH_MAX];
  if (!realpath(path_join_dir(a, model, "."), folder) || !realpath(path, real)) return false;
  size_t n = strlen(folder);
  if (n == 1) return true; // the model is in "/"
  return strncmp(real, folder, n) == 0 && real[n] == '/';
}

// Maps the file at `location`, once. NULL after reporting.
static OnnxExternal *open_external(OnnxFiles *f, Loc loc, const char *location) {
  Arena *a = f->ctx->arena;
  OnnxExternal *e = map_get(f->external, location);
  if (e) return e;
  if (leaves_folder(location)) {
    diag_error(f->ctx->diag, loc, "external data '%s' is not a path inside the model's folder", location);
    return NULL;
  }
  e = NEW(a, OnnxExternal);
  e->path = path_join_dir(a, f->path, location);
  const uint8_t *p;
  if (!file_map(a, f->ctx->diag, loc, e->path, &p, &e->size)) return NULL;
  if (!stays_beside(a, f->path, e->path)) {
    diag_error(f->ctx->diag, loc, "external data '%s' leads out of the model's folder", location);
    return NULL;
  }
  e->p = p;
  map_put(f->external, location, e);
  return e;
}

static bool parse_size(const char *s, uint64_t *v) {
  char *end;
  errno = 0;
  if (!s || *s < '0' || *s > '9') return false;
  *v = strtoull(s, &end, 10);
  return *end == '\0' && errno == 0;
}

// Where a tensor's packed bytes are.
typedef struct Packed {
  OnnxBytes bytes;
  const char *file;
  int64_t offset;
} Packed;

// Tensors may share their bytes, but a part of another's is a mistake or a trick: it is told.
static void claim(OnnxFiles *f, Loc loc, OnnxExternal *e, uint64_t from, uint64_t to) {
  int at = 0, n = e->used.n;
  for (int half = n; half > 0; half /= 2) { // the first that does not begin before
    while (at + half <= n && e->used.data[at + half - 1].from < from) at += half;
  }
  Extent *u = e->used.data;
  bool same = at < n && u[at].from == from && u[at].to == to;
  if (from == to || same) return;
  if ((at > 0 && u[at - 1].to > from) || (at < n && u[at].from < to)) {
    diag_warn(f->ctx->diag, loc, "its data overlaps that of another tensor, at offset %llu of '%s'",
              (unsigned long long)from, e->path);
  }
  vec_push(f->ctx->arena, &e->used, (Extent){0});
  u = e->used.data;
  memmove(u + at + 1, u + at, (size_t)(n - at) * sizeof *u);
  u[at] = (Extent){from, to};
}

static bool find_external(OnnxFiles *f, Loc loc, const OnnxTensor *t, uint64_t need, Packed *out) {
  Diag *d = f->ctx->diag;
  const char *location = external_entry(t, "location"), *offset_text = external_entry(t, "offset"),
             *length_text = external_entry(t, "length");
  uint64_t offset = 0, length;
  if (!location) return diag_error(d, loc, "external data without a location"), false;
  if (offset_text && !parse_size(offset_text, &offset)) {
    return diag_error(d, loc, "external data '%s' has the invalid offset '%s'", location, offset_text), false;
  }
  OnnxExternal *e = open_external(f, loc, location);
  if (!e) return false;
  length = offset <= e->size ? e->size - offset : 0;
  if (length_text && !parse_size(length_text, &length)) {
    return diag_error(d, loc, "external data '%s' has the invalid length '%s'", location, length_text), false;
  }
  if (offset > e->size || length > e->size - offset || length < need || (length_text && length != need)) {
    diag_error(
        d, loc, "external data '%s': the tensor needs %llu bytes, there are %llu at offset %llu of %zu",
        location, (unsigned long long)need, (unsigned long long)length, (unsigned long long)offset, e->size);
    return false;
  }
  claim(f, loc, e, offset, offset + need);
  *out = (Packed){{e->p + offset, (size_t)need}, e->path, (int64_t)offset};
  return true;
}

// ---- conversion ---------------------------------------------------------------------------------------------

static Tensor *size_fault(OnnxFiles *f, Loc loc, const Type *type, int64_t need, size_t have,
                          const char *unit) {
  diag_error(f->ctx->diag, loc, "a constant of type %s needs %lld %s, the file has %zu",
             type_text(f->ctx, type), (long long)need, unit, have);
  return NULL;
}

// One value of a small type: bit field i of the packed bytes, low bits first.
static void set_small(Tensor *out, int64_t i, int32_t elem, const uint8_t *bytes) {
  int bits = onnx_small_bits(elem);
  int64_t at = i * bits;
  unsigned v = bytes[at / 8] >> at % 8 & ((1u << bits) - 1);
  if (out->type.dtype == DT_F32) {
    tensor_set(out, i, onnx_small_float(elem, (uint8_t)v));
  } else {
    bool negative = out->type.dtype == DT_I8 && v >> (bits - 1);
    tensor_set_int(out, i, negative ? (int64_t)v - (1 << bits) : v);
  }
}

static bool bools_ok(const uint8_t *p, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    if (p[i] > 1) return false;
  }
  return true;
}

static int64_t packed_bytes(int32_t elem, const Type *type) {
  int64_t n = type_elements(type);
  int bits = onnx_small_bits(elem);
  return bits ? (n * bits + 7) / 8 : n * dtype_bytes(type->dtype);
}

static Tensor *from_packed(OnnxFiles *f, const OnnxTensor *t, const Type *type, Packed p) {
  Ctx *c = f->ctx;
  int64_t n = type_elements(type);
  if (onnx_small_bits(t->elem)) {
    Tensor *out = tensor_new(c, type);
    for (int64_t i = 0; i < n; i++) set_small(out, i, t->elem, p.bytes.p);
    return out;
  }
  if (type->dtype == DT_BOOL && !bools_ok(p.bytes.p, n)) {
    Tensor *out = tensor_new(c, type);
    for (int64_t i = 0; i < n; i++) tensor_set_int(out, i, p.bytes.p[i] != 0);
    return out;
  }
  Tensor *out = tensor_view(c, type, p.bytes.p);
  out->file = p.file;
  out->offset = p.offset;
  return out;
}

// Types that live in int32_data: whole integers, or the bits of a half or a packed byte.
static Tensor *from_ints32(OnnxFiles *f, Loc loc, const OnnxTensor *t, const Type *type) {
  Ctx *c = f->ctx;
  int64_t n = onnx_small_bits(t->elem) ? packed_bytes(t->elem, type) : type_elements(type);
  if (t->nints32 != n) return size_fault(f, loc, type, n, (size_t)t->nints32, "numbers");
  Tensor *out = tensor_new(c, type);
  if (onnx_small_bits(t->elem)) {
    uint8_t *bytes = NEW_ARRAY(c->arena, uint8_t, n ? n : 1);
    for (int64_t i = 0; i < n; i++) bytes[i] = (uint8_t)t->ints32[i];
    return from_packed(f, t, type, (Packed){.bytes = {bytes, (size_t)n}});
  }
  uint8_t *data = tensor_data(out);
  for (int64_t i = 0; i < n; i++) {
    uint16_t half = (uint16_t)t->ints32[i];
    if (type->dtype == DT_F16 || type->dtype == DT_BF16) {
      memcpy(data + 2 * i, &half, 2);
    } else if (type->dtype == DT_BOOL) {
      data[i] = t->ints32[i] != 0;
    } else {
      tensor_set_int(out, i, t->ints32[i]);
    }
  }
  return out;
}

static Tensor *from_wide(OnnxFiles *f, Loc loc, const Type *type, const void *data, int64_t have) {
  if (have != type_elements(type)) {
    return size_fault(f, loc, type, type_elements(type), (size_t)have, "numbers");
  }
  return tensor_view(f->ctx, type, data);
}

// Data in one of the typed fields, by element type.
static Tensor *from_fields(OnnxFiles *f, Loc loc, const OnnxTensor *t, const Type *type) {
  switch (type->dtype) {
  case DT_F32:
    if (t->elem == ONNX_FLOAT) return from_wide(f, loc, type, t->floats.p, (int64_t)(t->floats.n / 4));
    break;
  case DT_F64: return from_wide(f, loc, type, t->doubles.p, (int64_t)(t->doubles.n / 8));
  case DT_I64: return from_wide(f, loc, type, t->ints64, t->nints64);
  case DT_U64: return from_wide(f, loc, type, t->uints64, t->nuints64);
  case DT_U32: {
    if (t->nuints64 != type_elements(type)) {
      return size_fault(f, loc, type, type_elements(type), (size_t)t->nuints64, "numbers");
    }
    Tensor *out = tensor_new(f->ctx, type);
    for (int64_t i = 0; i < t->nuints64; i++) tensor_set_int(out, i, (int64_t)(uint32_t)t->uints64[i]);
    return out;
  }
  default: break;
  }
  return from_ints32(f, loc, t, type);
}

static bool tensor_type(OnnxFiles *f, Loc loc, const OnnxTensor *t, Type *type) {
  Ctx *c = f->ctx;
  *type = (Type){.dtype = onnx_dtype(t->elem)};
  if (type->dtype == DT_NONE) {
    diag_error(c->diag, loc, "a constant of element type %s is not supported", onnx_elem_name(t->elem));
    return false;
  }
  if (t->ndims > MAX_RANK) {
    diag_error(c->diag, loc, "a constant of %lld dimensions: at most %d are supported", (long long)t->ndims,
               MAX_RANK);
    return false;
  }
  type->rank = (int)t->ndims;
  for (int i = 0; i < type->rank; i++) type->dim[i] = dim_const(t->dims[i]);
  return type_check_size(c, loc, type);
}

Tensor *onnx_tensor(OnnxFiles *f, Loc loc, const OnnxTensor *t) {
  Type type;
  Packed p = {0};
  if (!tensor_type(f, loc, t, &type)) return NULL;
  int64_t need = packed_bytes(t->elem, &type);
  if (t->location == 1)
    return find_external(f, loc, t, (uint64_t)need, &p) ? from_packed(f, t, &type, p) : NULL;
  bool fields = t->floats.n || t->doubles.n || t->nints32 || t->nints64 || t->nuints64;
  if (!(t->has & ONNX_HAS_RAW) && (fields || need > 0)) return from_fields(f, loc, t, &type);
  if ((uint64_t)need != t->raw.n) return size_fault(f, loc, &type, need, t->raw.n, "bytes");
  p.bytes = t->raw;
  if (need && t->raw.p >= f->bytes && t->raw.p < f->bytes + f->size) {
    p.file = f->path;
    p.offset = t->raw.p - f->bytes;
  }
  if (!need) p.bytes.p = (const uint8_t *)"";
  return from_packed(f, t, &type, p);
}

// ---- sparse -------------------------------------------------------------------------------------------------

// The linear position of non-zero i; -1 if outside.
static int64_t sparse_at(const Type *type, const Tensor *indices, int64_t i) {
  if (indices->type.rank == 1) {
    int64_t at = tensor_get_int(indices, i);
    return at >= 0 && at < type_elements(type) ? at : -1;
  }
  int64_t at = 0;
  for (int k = 0; k < type->rank; k++) {
    int64_t index = tensor_get_int(indices, i * type->rank + k);
    if (index < 0 || index >= type->dim[k].n) return -1;
    at = at * type->dim[k].n + index;
  }
  return at;
}

static Tensor *sparse_fault(OnnxFiles *f, Loc loc, const char *what) {
  diag_error(f->ctx->diag, loc, "a sparse constant %s", what);
  return NULL;
}

Tensor *onnx_sparse_tensor(OnnxFiles *f, Loc loc, const OnnxSparse *s) {
  if (!s->values || !s->indices) return sparse_fault(f, loc, "has no values or no indices");
  OnnxTensor shape = {.elem = s->values->elem, .ndims = s->ndims, .dims = s->dims};
  Type type;
  if (!tensor_type(f, loc, &shape, &type)) return NULL;
  Tensor *values = onnx_tensor(f, loc, s->values), *indices = onnx_tensor(f, loc, s->indices);
  if (!values || !indices) return NULL;
  int64_t n = type_elements(&values->type);
  bool linear = indices->type.rank == 1 && indices->type.dim[0].n == n;
  bool rows = indices->type.rank == 2 && indices->type.dim[0].n == n && indices->type.dim[1].n == type.rank;
  if (indices->type.dtype != DT_I64 || values->type.rank != 1 || !(linear || rows)) {
    return sparse_fault(f, loc, "has indices that do not fit its values and shape");
  }
  Tensor *out = tensor_new(f->ctx, &type);
  size_t width = (size_t)dtype_bytes(type.dtype);
  for (int64_t i = 0; i < n; i++) {
    int64_t at = sparse_at(&type, indices, i);
    if (at < 0) return sparse_fault(f, loc, "has an index outside its shape");
    memcpy((char *)tensor_data(out) + (size_t)at * width, (const char *)values->data + (size_t)i * width,
           width);
  }
  return out;
}
