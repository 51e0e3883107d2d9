// onnx_wire.c: a table-driven decoder of the protobuf messages of ONNX.
// SPDX-License-Identifier: Apache-2.0
//
// Each message is scanned twice: once to count its repeated fields, so that their arrays are allocated in
// one piece, and once to fill them. Nested messages are skipped by their length in the first scan, so the
// cost is linear in the bytes that are not tensor data.
#include "frontend/onnx_wire.h"

// ---- what the messages look like --------------------------------------------------------------------------

typedef enum FieldKind {
  F_INT64,
  F_INT32,
  F_FLOAT,
  F_TEXT,    // const char *, NUL-terminated copy
  F_BYTES,   // OnnxBytes in place
  F_MESSAGE, // pointer, NULL if absent
  F_REPEATED,
  F_INT64S = F_REPEATED, // array and count from here on
  F_UINT64S,
  F_INT32S, // sign-extended into int64_t
  F_FLOATS,
  F_TEXTS,
  F_BYTESES,
  F_MESSAGES,
  F_RAW32S, // packed fixed-width numbers as OnnxBytes, in place if they are in one piece
  F_RAW64S,
} FieldKind;

typedef struct Message Message;

typedef struct Field {
  int number;
  FieldKind kind;
  uint16_t at, count_at; // offsets in the struct
  const Message *message;
  uint32_t has; // bit to set in the struct's first member, `has`
} Field;

struct Message {
  const char *name;
  size_t size;
  const Field *fields;
  int nfields;
};

enum { MAX_FIELDS = 24 };

#define ONE(number, kind, T, member)                                                                         \
  { number, F_##kind, offsetof(T, member), 0, NULL, 0 }
#define HAS(number, kind, T, member, bit)                                                                    \
  { number, F_##kind, offsetof(T, member), 0, NULL, bit }
#define MANY(number, kind, T, member)                                                                        \
  { number, F_##kind, offsetof(T, member), offsetof(T, n##member), NULL, 0 }
#define SUB(number, T, member, of)                                                                           \
  { number, F_MESSAGE, offsetof(T, member), 0, &MSG_##of, 0 }
#define SUBS(number, T, member, count, of)                                                                   \
  { number, F_MESSAGES, offsetof(T, member), offsetof(T, count), &MSG_##of, 0 }
#define MESSAGE(id, T)                                                                                       \
  static const Message MSG_##id = {#T, sizeof(T), FIELDS_##id, ARRAY_LEN(FIELDS_##id)};                      \
  _Static_assert(sizeof FIELDS_##id / sizeof(Field) <= MAX_FIELDS, "counted on the stack")

static const Message MSG_GRAPH, MSG_TYPE, MSG_SEQUENCE, MSG_OPTIONAL; // these contain themselves

static const Field FIELDS_ENTRY[] = {ONE(1, TEXT, OnnxEntry, key), ONE(2, TEXT, OnnxEntry, value)};
MESSAGE(ENTRY, OnnxEntry);

static const Field FIELDS_OPSET[] = {ONE(1, TEXT, OnnxOpset, domain), ONE(2, INT64, OnnxOpset, version)};
MESSAGE(OPSET, OnnxOpset);

static const Field FIELDS_TENSOR[] = {
    MANY(1, INT64S, OnnxTensor, dims),
    ONE(2, INT32, OnnxTensor, elem),
    ONE(4, RAW32S, OnnxTensor, floats),
    MANY(5, INT32S, OnnxTensor, ints32),
    MANY(6, BYTESES, OnnxTensor, strings),
    MANY(7, INT64S, OnnxTensor, ints64),
    ONE(8, TEXT, OnnxTensor, name),
    HAS(9, BYTES, OnnxTensor, raw, ONNX_HAS_RAW),
    ONE(10, RAW64S, OnnxTensor, doubles),
    MANY(11, UINT64S, OnnxTensor, uints64),
    SUBS(13, OnnxTensor, external, nexternal, ENTRY),
    ONE(14, INT32, OnnxTensor, location),
};
MESSAGE(TENSOR, OnnxTensor);

static const Field FIELDS_SPARSE[] = {
    SUB(1, OnnxSparse, values, TENSOR),
    SUB(2, OnnxSparse, indices, TENSOR),
    MANY(3, INT64S, OnnxSparse, dims),
};
MESSAGE(SPARSE, OnnxSparse);

static const Field FIELDS_DIM[] = {
    HAS(1, INT64, OnnxDim, value, ONNX_HAS_VALUE),
    HAS(2, TEXT, OnnxDim, param, ONNX_HAS_PARAM),
};
MESSAGE(DIM, OnnxDim);

static const Field FIELDS_SHAPE[] = {SUBS(1, OnnxShape, dims, ndims, DIM)};
MESSAGE(SHAPE, OnnxShape);

static const Field FIELDS_TENSOR_TYPE[] = {
    ONE(1, INT32, OnnxTensorType, elem),
    SUB(2, OnnxTensorType, shape, SHAPE),
};
MESSAGE(TENSOR_TYPE, OnnxTensorType);

static const Field FIELDS_ELEM_TYPE[] = {SUB(1, OnnxElemType, elem, TYPE)};
MESSAGE(ELEM_TYPE, OnnxElemType);

static const Field FIELDS_MAP_TYPE[] = {ONE(1, INT32, OnnxMapType, key), SUB(2, OnnxMapType, value, TYPE)};
MESSAGE(MAP_TYPE, OnnxMapType);

static const Field FIELDS_TYPE[] = {
    SUB(1, OnnxType, tensor, TENSOR_TYPE), SUB(4, OnnxType, sequence, ELEM_TYPE),
    SUB(5, OnnxType, map, MAP_TYPE),       SUB(8, OnnxType, sparse, TENSOR_TYPE),
    SUB(9, OnnxType, optional, ELEM_TYPE),
};
MESSAGE(TYPE, OnnxType);

static const Field FIELDS_VALUE_INFO[] = {
    ONE(1, TEXT, OnnxValueInfo, name),
    SUB(2, OnnxValueInfo, type, TYPE),
};
MESSAGE(VALUE_INFO, OnnxValueInfo);

static const Field FIELDS_ATTR[] = {
    ONE(1, TEXT, OnnxAttr, name),
    HAS(2, FLOAT, OnnxAttr, f, ONNX_HAS_ATTR_F),
    HAS(3, INT64, OnnxAttr, i, ONNX_HAS_ATTR_I),
    HAS(4, BYTES, OnnxAttr, s, ONNX_HAS_ATTR_S),
    SUB(5, OnnxAttr, t, TENSOR),
    SUB(6, OnnxAttr, g, GRAPH),
    MANY(7, FLOATS, OnnxAttr, floats),
    MANY(8, INT64S, OnnxAttr, ints),
    MANY(9, BYTESES, OnnxAttr, strings),
    SUBS(10, OnnxAttr, tensors, ntensors, TENSOR),
    SUBS(11, OnnxAttr, graphs, ngraphs, GRAPH),
    SUB(14, OnnxAttr, tp, TYPE),
    ONE(20, INT32, OnnxAttr, type),
    ONE(21, TEXT, OnnxAttr, ref),
    SUB(22, OnnxAttr, sparse, SPARSE),
};
MESSAGE(ATTR, OnnxAttr);

static const Field FIELDS_NODE[] = {
    MANY(1, TEXTS, OnnxNode, in),     MANY(2, TEXTS, OnnxNode, out),          ONE(3, TEXT, OnnxNode, name),
    ONE(4, TEXT, OnnxNode, op),       SUBS(5, OnnxNode, attrs, nattrs, ATTR), ONE(7, TEXT, OnnxNode, domain),
    ONE(8, TEXT, OnnxNode, overload),
};
MESSAGE(NODE, OnnxNode);

static const Field FIELDS_GRAPH[] = {
    SUBS(1, OnnxGraph, nodes, nnodes, NODE),      ONE(2, TEXT, OnnxGraph, name),
    SUBS(5, OnnxGraph, inits, ninits, TENSOR),    SUBS(11, OnnxGraph, in, nin, VALUE_INFO),
    SUBS(12, OnnxGraph, out, nout, VALUE_INFO),   SUBS(13, OnnxGraph, values, nvalues, VALUE_INFO),
    SUBS(15, OnnxGraph, sparse, nsparse, SPARSE),
};
MESSAGE(GRAPH, OnnxGraph);

static const Field FIELDS_FUNCTION[] = {
    ONE(1, TEXT, OnnxFunction, name),
    MANY(4, TEXTS, OnnxFunction, in),
    MANY(5, TEXTS, OnnxFunction, out),
    MANY(6, TEXTS, OnnxFunction, attrs),
    SUBS(7, OnnxFunction, nodes, nnodes, NODE),
    SUBS(9, OnnxFunction, opsets, nopsets, OPSET),
    ONE(10, TEXT, OnnxFunction, domain),
    SUBS(11, OnnxFunction, defaults, ndefaults, ATTR),
    SUBS(12, OnnxFunction, values, nvalues, VALUE_INFO),
    ONE(13, TEXT, OnnxFunction, overload),
};
MESSAGE(FUNCTION, OnnxFunction);

static const Field FIELDS_MODEL[] = {
    ONE(1, INT64, OnnxModel, ir_version),
    ONE(2, TEXT, OnnxModel, producer),
    ONE(3, TEXT, OnnxModel, producer_version),
    ONE(4, TEXT, OnnxModel, domain),
    ONE(5, INT64, OnnxModel, model_version),
    SUB(7, OnnxModel, graph, GRAPH),
    SUBS(8, OnnxModel, opsets, nopsets, OPSET),
    SUBS(14, OnnxModel, meta, nmeta, ENTRY),
    SUBS(25, OnnxModel, functions, nfunctions, FUNCTION),
};
MESSAGE(MODEL, OnnxModel);

static const Field FIELDS_SEQUENCE[] = {
    ONE(1, TEXT, OnnxSequence, name),
    ONE(2, INT32, OnnxSequence, elem),
    SUBS(3, OnnxSequence, tensors, ntensors, TENSOR),
    SUBS(5, OnnxSequence, sequences, nsequences, SEQUENCE),
    SUBS(7, OnnxSequence, optionals, noptionals, OPTIONAL),
};
MESSAGE(SEQUENCE, OnnxSequence);

static const Field FIELDS_OPTIONAL[] = {
    ONE(1, TEXT, OnnxOptional, name),
    ONE(2, INT32, OnnxOptional, elem),
    SUB(3, OnnxOptional, tensor, TENSOR),
    SUB(5, OnnxOptional, sequence, SEQUENCE),
};
MESSAGE(OPTIONAL, OnnxOptional);

// ---- the wire ---------------------------------------------------------------------------------------------

typedef enum Wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 } Wire;

typedef struct Decoder {
  Arena *arena;
  Diag *diag;
  const Source *src;
  const uint8_t *base; // of the file, for positions in messages
  int64_t objects;     // decoded so far
} Decoder;

// One field as it stands in the file: a number, or a run of bytes.
typedef struct Item {
  int number;
  Wire wire;
  uint64_t value; // varint and fixed widths
  const uint8_t *p;
  size_t n; // bytes (WIRE_BYTES)
} Item;

static bool fault(const Decoder *d, const uint8_t *at, const Message *m, const char *what) {
  diag_error(d->diag, (Loc){.src = d->src}, "not a well-formed ONNX file: %s at byte %zu, in %s", what,
             (size_t)(at - d->base), m->name + strlen("Onnx"));
  return false;
}

static bool get_varint(const uint8_t **p, const uint8_t *end, uint64_t *v) {
  *v = 0;
  for (int shift = 0; shift < 70 && *p < end; shift += 7) {
    uint8_t byte = *(*p)++;
    *v |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
    if (byte < 0x80) return true;
  }
  return false;
}

static uint64_t get_fixed(const uint8_t *p, int bytes) {
  uint64_t v = 0;
  for (int i = 0; i < bytes; i++) v |= (uint64_t)p[i] << 8 * i;
  return v;
}

// Reads the next field and moves *p behind it.
static bool get_item(const Decoder *d, const Message *m, const uint8_t **p, const uint8_t *end, Item *item) {
  const uint8_t *start = *p;
  uint64_t tag, len;
  if (!get_varint(p, end, &tag)) return fault(d, start, m, "a truncated tag");
  if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return fault(d, start, m, "an invalid field number");
  *item = (Item){.number = (int)(tag >> 3), .wire = (Wire)(tag & 7)};
  int fixed = item->wire == WIRE_FIXED32 ? 4 : 8;
  switch (item->wire) {
  case WIRE_VARINT: return get_varint(p, end, &item->value) || fault(d, start, m, "a truncated number");
  case WIRE_FIXED32:
  case WIRE_FIXED64:
    if (end - *p < fixed) return fault(d, start, m, "a truncated number");
    item->value = get_fixed(*p, fixed);
    *p += fixed;
    return true;
  case WIRE_BYTES:
    if (!get_varint(p, end, &len)) return fault(d, start, m, "a truncated length");
    if (len > (uint64_t)(end - *p)) return fault(d, start, m, "a length beyond the end");
    item->p = *p;
    item->n = (size_t)len;
    *p += len;
    return true;
  }
  return fault(d, start, m, "an invalid wire type");
}

// Fields mostly come in ascending order: start looking where the last one was found.
static int find_field(const Message *m, int number, int hint) {
  for (int i = 0; i < m->nfields; i++) {
    int k = (hint + i) % m->nfields;
    if (m->fields[k].number == number) return k;
  }
  return -1;
}

static int element_bytes(FieldKind k) {
  return k == F_FLOATS || k == F_RAW32S ? 4 : 8;
}

static bool is_fixed(FieldKind k) {
  return k == F_FLOATS || k == F_RAW32S || k == F_RAW64S;
}

static bool is_varints(FieldKind k) {
  return k == F_INT64S || k == F_UINT64S || k == F_INT32S;
}

// How many elements of field f the item carries; -1 if its wire type does not fit.
static int64_t item_count(const Field *f, const Item *item) {
  if (is_fixed(f->kind)) {
    int bytes = element_bytes(f->kind);
    if (item->wire == (bytes == 4 ? WIRE_FIXED32 : WIRE_FIXED64)) return 1;
    return item->wire == WIRE_BYTES && item->n % (size_t)bytes == 0 ? (int64_t)(item->n / (size_t)bytes) : -1;
  }
  if (is_varints(f->kind)) {
    if (item->wire == WIRE_VARINT) return 1;
    if (item->wire != WIRE_BYTES) return -1;
    int64_t n = 0;
    for (size_t i = 0; i < item->n; i++) n += item->p[i] < 0x80;
    return item->n && item->p[item->n - 1] >= 0x80 ? -1 : n;
  }
  Wire want = f->kind <= F_INT32 ? WIRE_VARINT : f->kind == F_FLOAT ? WIRE_FIXED32 : WIRE_BYTES;
  return item->wire == want ? 1 : -1;
}

// ---- decoding ---------------------------------------------------------------------------------------------

static bool decode(Decoder *d, const Message *m, const uint8_t *p, size_t n, void *to, int depth);

static size_t slot_bytes(const Field *f) {
  switch (f->kind) {
  case F_FLOATS:
  case F_RAW32S: return 4;
  case F_TEXTS: return sizeof(char *);
  case F_BYTESES: return sizeof(OnnxBytes);
  case F_MESSAGES: return f->message->size;
  default: return 8;
  }
}

// First scan: the number of elements of each repeated field.
static bool count_fields(Decoder *d, const Message *m, const uint8_t *p, const uint8_t *end,
                         int64_t *counts) {
  Item item;
  for (int k = 0; p < end;) {
    const uint8_t *start = p;
    if (!get_item(d, m, &p, end, &item)) return false;
    int found = find_field(m, item.number, k);
    if (found < 0) continue;
    k = found;
    int64_t n = item_count(&m->fields[k], &item);
    if (n < 0) return fault(d, start, m, "a field of the wrong type");
    counts[k] += n;
    if (m->fields[k].kind != F_MESSAGES && m->fields[k].kind != F_TEXTS && m->fields[k].kind != F_BYTESES)
      continue;
    if (++d->objects > ONNX_MAX_OBJECTS) return fault(d, start, m, "absurdly many objects");
  }
  return true;
}

// The array of each repeated field. Packed numbers in one piece get none: they are used in place.
static void allocate(Decoder *d, const Message *m, const int64_t *counts, char *to, bool *in_place) {
  for (int k = 0; k < m->nfields; k++) {
    const Field *f = &m->fields[k];
    if (f->kind < F_REPEATED || counts[k] == 0 || in_place[k]) continue;
    void *array = arena_array(d->arena, (size_t)counts[k], slot_bytes(f));
    if (f->kind == F_RAW32S || f->kind == F_RAW64S) {
      *(OnnxBytes *)(to + f->at) = (OnnxBytes){array, (size_t)counts[k] * slot_bytes(f)};
    } else {
      *(void **)(to + f->at) = array;
      *(int64_t *)(to + f->count_at) = counts[k];
    }
  }
}

static bool get_text(Decoder *d, const Message *m, const Item *item, const char **text) {
  if (memchr(item->p, 0, item->n)) return fault(d, item->p, m, "a NUL byte in a name");
  *text = arena_strndup(d->arena, (const char *)item->p, item->n);
  return true;
}

// Appends an item's numbers (packed or single) to array[at...].
static void put_numbers(const Field *f, const Item *item, char *array, int64_t at) {
  size_t width = slot_bytes(f);
  if (item->wire != WIRE_BYTES) {
    uint64_t v = f->kind == F_INT32S ? (uint64_t)(int64_t)(int32_t)item->value : item->value;
    memcpy(array + (size_t)at * width, &v, width); // little-endian host
  } else if (is_fixed(f->kind)) {
    if (item->n) memcpy(array + (size_t)at * width, item->p, item->n);
  } else {
    const uint8_t *p = item->p, *end = item->p + item->n;
    for (uint64_t v; p < end && get_varint(&p, end, &v); at++) {
      if (f->kind == F_INT32S) v = (uint64_t)(int64_t)(int32_t)v;
      memcpy(array + (size_t)at * width, &v, width);
    }
  }
}

// Packed numbers of more than ten bytes each would be counted and not be there: check before trusting counts.
static bool varints_ok(const Field *f, const Item *item) {
  if (!is_varints(f->kind) || item->wire != WIRE_BYTES) return true;
  int run = 0;
  for (size_t i = 0; i < item->n; i++) {
    run = item->p[i] < 0x80 ? 0 : run + 1;
    if (run >= 10) return false;
  }
  return true;
}

static bool put_single(Decoder *d, const Message *m, const Field *f, const Item *item, char *to, int depth) {
  void *member = to + f->at;
  float single;
  switch (f->kind) {
  case F_INT64: *(int64_t *)member = (int64_t)item->value; return true;
  case F_INT32: *(int32_t *)member = (int32_t)item->value; return true;
  case F_FLOAT:
    memcpy(&single, &(uint32_t){(uint32_t)item->value}, sizeof single);
    *(float *)member = single;
    return true;
  case F_TEXT: return get_text(d, m, item, member);
  case F_BYTES: *(OnnxBytes *)member = (OnnxBytes){item->p, item->n}; return true;
  default: break;
  }
  if (++d->objects > ONNX_MAX_OBJECTS) return fault(d, item->p, m, "absurdly many objects");
  void *message = arena_alloc(d->arena, f->message->size);
  *(void **)member = message;
  return decode(d, f->message, item->p, item->n, message, depth + 1);
}

// `at`: how many elements of the field are filled already.
static bool put_repeated(Decoder *d, const Message *m, const Field *f, const Item *item, char *to, int64_t at,
                         int depth) {
  if (f->kind == F_RAW32S || f->kind == F_RAW64S) {
    put_numbers(f, item, (char *)((OnnxBytes *)(to + f->at))->p, at);
    return true;
  }
  char *array = *(char **)(to + f->at);
  switch (f->kind) {
  case F_TEXTS: return get_text(d, m, item, (const char **)array + at);
  case F_BYTESES: ((OnnxBytes *)array)[at] = (OnnxBytes){item->p, item->n}; return true;
  case F_MESSAGES:
    return decode(d, f->message, item->p, item->n, array + (size_t)at * f->message->size, depth + 1);
  default: put_numbers(f, item, array, at); return true;
  }
}

// Second scan: fills the struct.
static bool fill(Decoder *d, const Message *m, const uint8_t *p, const uint8_t *end, char *to,
                 const bool *in_place, int depth) {
  int64_t at[MAX_FIELDS] = {0};
  Item item;
  for (int k = 0; p < end;) {
    if (!get_item(d, m, &p, end, &item)) return false;
    int found = find_field(m, item.number, k);
    if (found < 0) continue;
    const Field *f = &m->fields[k = found];
    if (f->has) *(uint32_t *)to |= f->has;
    if (!varints_ok(f, &item)) return fault(d, item.p, m, "an overlong number");
    if (in_place[k]) {
      *(OnnxBytes *)(to + f->at) = (OnnxBytes){item.p, item.n};
    } else if (f->kind < F_REPEATED) {
      if (!put_single(d, m, f, &item, to, depth)) return false;
    } else if (item.wire != WIRE_BYTES || item.n || !(is_fixed(f->kind) || is_varints(f->kind))) {
      if (!put_repeated(d, m, f, &item, to, at[k], depth)) return false;
    }
    at[k] += item_count(f, &item);
  }
  return true;
}

// Marks the raw number fields that occur once, packed.
static bool find_in_place(Decoder *d, const Message *m, const uint8_t *p, const uint8_t *end,
                          bool *in_place) {
  int pieces[MAX_FIELDS] = {0};
  Item item;
  for (int k = 0; p < end;) {
    if (!get_item(d, m, &p, end, &item)) return false;
    int found = find_field(m, item.number, k);
    if (found < 0) continue;
    k = found;
    FieldKind kind = m->fields[k].kind;
    if (kind == F_RAW32S || kind == F_RAW64S) in_place[k] = ++pieces[k] == 1 && item.wire == WIRE_BYTES;
  }
  return true;
}

// Texts that are absent are "", never NULL.
static void default_texts(const Message *m, char *to) {
  for (int k = 0; k < m->nfields; k++) {
    if (m->fields[k].kind == F_TEXT) *(const char **)(to + m->fields[k].at) = "";
  }
}

static bool decode(Decoder *d, const Message *m, const uint8_t *p, size_t n, void *to, int depth) {
  int64_t counts[MAX_FIELDS] = {0};
  bool in_place[MAX_FIELDS] = {false};
  if (depth > ONNX_MAX_DEPTH) return fault(d, p, m, "messages nested too deeply");
  default_texts(m, to);
  if (!count_fields(d, m, p, p + n, counts)) return false;
  if (m == &MSG_TENSOR && !find_in_place(d, m, p, p + n, in_place)) return false;
  allocate(d, m, counts, to, in_place);
  return fill(d, m, p, p + n, to, in_place, depth);
}

static void *decode_top(Arena *a, Diag *diag, const Source *src, const Message *m, const uint8_t *p,
                        size_t n) {
  Decoder d = {.arena = a, .diag = diag, .src = src, .base = p};
  void *to = arena_alloc(a, m->size);
  return decode(&d, m, p, n, to, 0) ? to : NULL;
}

OnnxModel *onnx_decode_model(Arena *a, Diag *d, const Source *src, const uint8_t *p, size_t n) {
  OnnxModel *model = decode_top(a, d, src, &MSG_MODEL, p, n);
  if (!model) return NULL;
  model->src = src;
  model->bytes = p;
  model->size = n;
  if (model->graph) return model;
  diag_error(d, (Loc){.src = src}, "not an ONNX model: it holds no graph");
  return NULL;
}

OnnxTensor *onnx_decode_tensor(Arena *a, Diag *d, const Source *src, const uint8_t *p, size_t n) {
  return decode_top(a, d, src, &MSG_TENSOR, p, n);
}

OnnxSequence *onnx_decode_sequence(Arena *a, Diag *d, const Source *src, const uint8_t *p, size_t n) {
  return decode_top(a, d, src, &MSG_SEQUENCE, p, n);
}

OnnxOptional *onnx_decode_optional(Arena *a, Diag *d, const Source *src, const uint8_t *p, size_t n) {
  return decode_top(a, d, src, &MSG_OPTIONAL, p, n);
}

OnnxModel *onnx_open(Arena *a, Diag *d, Loc loc, const char *path) {
  const uint8_t *p;
  size_t n;
  if (!file_map(a, d, loc, path, &p, &n)) return NULL;
  Source *src = NEW(a, Source);
  *src = (Source){.path = arena_strdup(a, path), .len = n};
  return onnx_decode_model(a, d, src, p, n);
}

// ---- names ------------------------------------------------------------------------------------------------

const char *onnx_elem_name(int32_t elem) {
  static const char *const names[ONNX_ELEM_COUNT] = {
      "undefined",      "float",      "uint8",          "int8",       "uint16",   "int16",
      "int32",          "int64",      "string",         "bool",       "float16",  "double",
      "uint32",         "uint64",     "complex64",      "complex128", "bfloat16", "float8e4m3fn",
      "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4",      "int4",     "float4e2m1",
      "float8e8m0",     "uint2",      "int2",
  };
  return elem >= 0 && elem < ONNX_ELEM_COUNT ? names[elem] : "unknown";
}

const char *onnx_attr_type_name(int32_t type) {
  static const char *const names[] = {
      "undefined",      "float",      "int",         "string",  "tensor", "graph",
      "floats",         "ints",       "strings",     "tensors", "graphs", "sparse tensor",
      "sparse tensors", "type proto", "type protos",
  };
  return type >= 0 && type < ARRAY_LEN(names) ? names[type] : "unknown";
}
