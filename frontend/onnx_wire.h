// onnx_wire.h: an ONNX file as plain structs, decoded from the protobuf wire format without copying data.
// SPDX-License-Identifier: Apache-2.0
//
// Everything small (names, counts, structs) is in the arena; raw_data, float_data, double_data and strings
// of tensors point into the mapped file and are NOT aligned. What a struct says was checked only to be
// well-formed protobuf: names may be missing, sizes contradictory, types unknown. Fields that Ingot has no
// use for (doc strings, denotations, training info) are skipped.
// Format: https://protobuf.dev/programming-guides/encoding and onnx/onnx.proto
#ifndef INGOT_ONNX_WIRE_H
#define INGOT_ONNX_WIRE_H

#include "ir/base.h"

enum {
  ONNX_MAX_DEPTH = 256,        // messages in messages; three levels per nested graph
  ONNX_MAX_OBJECTS = 16 << 20, // messages in one file: bounds memory to some GiB for hostile input
};

// TensorProto.DataType
typedef enum OnnxElem {
  ONNX_UNDEFINED,
  ONNX_FLOAT,
  ONNX_UINT8,
  ONNX_INT8,
  ONNX_UINT16,
  ONNX_INT16,
  ONNX_INT32,
  ONNX_INT64,
  ONNX_STRING,
  ONNX_BOOL,
  ONNX_FLOAT16,
  ONNX_DOUBLE,
  ONNX_UINT32,
  ONNX_UINT64,
  ONNX_COMPLEX64,
  ONNX_COMPLEX128,
  ONNX_BFLOAT16,
  ONNX_FLOAT8E4M3FN,
  ONNX_FLOAT8E4M3FNUZ,
  ONNX_FLOAT8E5M2,
  ONNX_FLOAT8E5M2FNUZ,
  ONNX_UINT4,
  ONNX_INT4,
  ONNX_FLOAT4E2M1,
  ONNX_FLOAT8E8M0,
  ONNX_UINT2,
  ONNX_INT2,
  ONNX_ELEM_COUNT
} OnnxElem;

// AttributeProto.AttributeType
typedef enum OnnxAttrType {
  ONNX_ATTR_UNDEFINED,
  ONNX_ATTR_FLOAT,
  ONNX_ATTR_INT,
  ONNX_ATTR_STRING,
  ONNX_ATTR_TENSOR,
  ONNX_ATTR_GRAPH,
  ONNX_ATTR_FLOATS,
  ONNX_ATTR_INTS,
  ONNX_ATTR_STRINGS,
  ONNX_ATTR_TENSORS,
  ONNX_ATTR_GRAPHS,
  ONNX_ATTR_SPARSE_TENSOR,
  ONNX_ATTR_SPARSE_TENSORS,
  ONNX_ATTR_TYPE_PROTO,
  ONNX_ATTR_TYPE_PROTOS
} OnnxAttrType;

typedef struct OnnxGraph OnnxGraph;
typedef struct OnnxType OnnxType;
typedef struct OnnxSequence OnnxSequence;
typedef struct OnnxOptional OnnxOptional;

typedef struct OnnxBytes {
  const uint8_t *p;
  size_t n;
} OnnxBytes;

// `has` records which of the fields that may be absent were present.
enum {
  ONNX_HAS_RAW = 1,    // OnnxTensor.raw
  ONNX_HAS_VALUE = 1,  // OnnxDim.value
  ONNX_HAS_PARAM = 2,  // OnnxDim.param
  ONNX_HAS_ATTR_F = 1, // OnnxAttr: from IR version 1, where `type` did not exist
  ONNX_HAS_ATTR_I = 2,
  ONNX_HAS_ATTR_S = 4,
};

typedef struct OnnxEntry {
  const char *key, *value;
} OnnxEntry;

typedef struct OnnxTensor {
  uint32_t has;
  int32_t elem, location; // location 1: external
  const char *name;
  int64_t ndims, *dims;
  OnnxBytes raw, floats, doubles; // floats and doubles: 4 and 8 bytes each, little-endian
  int64_t nints32, nints64, nuints64, nstrings, nexternal;
  int64_t *ints32, *ints64; // int32_data also holds the narrower types, bool, f16 and bf16 bits
  uint64_t *uints64;
  OnnxBytes *strings;
  OnnxEntry *external;
} OnnxTensor;

typedef struct OnnxSparse {
  OnnxTensor *values, *indices;
  int64_t ndims, *dims;
} OnnxSparse;

typedef struct OnnxDim {
  uint32_t has;
  int64_t value;
  const char *param;
} OnnxDim;

typedef struct OnnxShape {
  int64_t ndims;
  OnnxDim *dims;
} OnnxShape;

typedef struct OnnxTensorType {
  int32_t elem;
  OnnxShape *shape; // NULL: rank unknown
} OnnxTensorType;

typedef struct OnnxElemType { // Sequence, Optional
  OnnxType *elem;
} OnnxElemType;

typedef struct OnnxMapType {
  int32_t key;
  OnnxType *value;
} OnnxMapType;

struct OnnxType { // at most one is set
  OnnxTensorType *tensor, *sparse;
  OnnxElemType *sequence, *optional;
  OnnxMapType *map;
};

typedef struct OnnxValueInfo {
  const char *name;
  OnnxType *type;
} OnnxValueInfo;

typedef struct OnnxAttr {
  uint32_t has;
  int32_t type; // OnnxAttrType
  const char *name, *ref;
  float f;
  int64_t i;
  OnnxBytes s;
  OnnxTensor *t;
  OnnxGraph *g;
  OnnxSparse *sparse;
  OnnxType *tp;
  int64_t nfloats, nints, nstrings, ntensors, ngraphs;
  float *floats;
  int64_t *ints;
  OnnxBytes *strings;
  OnnxTensor *tensors;
  OnnxGraph *graphs;
} OnnxAttr;

typedef struct OnnxNode {
  const char *name, *op, *domain, *overload;
  int64_t nin, nout, nattrs;
  const char **in, **out; // "": absent
  OnnxAttr *attrs;
} OnnxNode;

struct OnnxGraph {
  const char *name;
  int64_t nnodes, ninits, nsparse, nin, nout, nvalues;
  OnnxNode *nodes;
  OnnxTensor *inits;
  OnnxSparse *sparse;
  OnnxValueInfo *in, *out, *values;
};

typedef struct OnnxOpset {
  const char *domain;
  int64_t version;
} OnnxOpset;

typedef struct OnnxFunction {
  const char *name, *domain, *overload;
  int64_t nin, nout, nattrs, ndefaults, nnodes, nopsets, nvalues;
  const char **in, **out, **attrs;
  OnnxAttr *defaults;
  OnnxNode *nodes;
  OnnxOpset *opsets;
  OnnxValueInfo *values;
} OnnxFunction;

typedef struct OnnxModel {
  const Source *src;    // for messages; src->path is the file
  const uint8_t *bytes; // the whole file
  size_t size;
  int64_t ir_version, model_version;
  const char *producer, *producer_version, *domain;
  OnnxGraph *graph;
  int64_t nopsets, nfunctions, nmeta;
  OnnxOpset *opsets;
  OnnxFunction *functions;
  OnnxEntry *meta;
} OnnxModel;

// What test data files hold.
struct OnnxSequence {
  const char *name;
  int32_t elem; // 1 tensor, 3 sequence, 5 optional
  int64_t ntensors, nsequences, noptionals;
  OnnxTensor *tensors;
  OnnxSequence *sequences;
  OnnxOptional *optionals;
};

struct OnnxOptional {
  const char *name;
  int32_t elem; // 0 absent, 1 tensor, 3 sequence
  OnnxTensor *tensor;
  OnnxSequence *sequence;
};

// Maps and decodes a model. Reports and returns NULL if the file cannot be read or is not well-formed.
OnnxModel *onnx_open(Arena *a, Diag *d, Loc loc, const char *path);
// Decodes a message that lies in memory; the memory must outlive the result. NULL after reporting.
OnnxModel *onnx_decode_model(Arena *a, Diag *d, const Source *src, const uint8_t *p, size_t n);
OnnxTensor *onnx_decode_tensor(Arena *a, Diag *d, const Source *src, const uint8_t *p, size_t n);
OnnxSequence *onnx_decode_sequence(Arena *a, Diag *d, const Source *src, const uint8_t *p, size_t n);
OnnxOptional *onnx_decode_optional(Arena *a, Diag *d, const Source *src, const uint8_t *p, size_t n);

const char *onnx_elem_name(int32_t elem); // "float16"
const char *onnx_attr_type_name(int32_t type);

#endif
