// inspect_weights.c: `ingot inspect` of a .safetensors file: the tensors that its header lists.
// SPDX-License-Identifier: Apache-2.0
#include "tools/inspect.h"

enum { LENGTH_BYTES = 8 };

// The length of the header, which comes first, as eight little-endian bytes; 0 if this is no such file.
static size_t header_bytes(const uint8_t *data, size_t size) {
  uint64_t n = 0;
  if (size < LENGTH_BYTES + 2 || data[LENGTH_BYTES] != '{') return 0;
  for (int i = LENGTH_BYTES - 1; i >= 0; i--) n = n << 8 | data[i];
  return n >= 2 && n <= size - LENGTH_BYTES ? (size_t)n : 0;
}

bool is_safetensors(const uint8_t *data, size_t size) {
  return header_bytes(data, size) > 0;
}

static void add_tensor(cJSON *list, const cJSON *entry, double *parameters, double *bytes) {
  const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype"), *d;
  const cJSON *shape = cJSON_GetObjectItemCaseSensitive(entry, "shape");
  const cJSON *at = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
  if (!cJSON_IsString(dtype) || !cJSON_IsArray(shape)) return;
  cJSON *o = cJSON_CreateObject();
  double elements = 1, first = cJSON_GetNumberValue(cJSON_GetArrayItem(at, 0)),
         last = cJSON_GetNumberValue(cJSON_GetArrayItem(at, 1));
  cJSON_ArrayForEach(d, shape) elements *= cJSON_IsNumber(d) ? d->valuedouble : 0;
  cJSON_AddStringToObject(o, "name", entry->string);
  cJSON_AddStringToObject(o, "dtype", dtype->valuestring);
  cJSON_AddItemToObject(o, "shape", cJSON_Duplicate(shape, true));
  cJSON_AddNumberToObject(o, "bytes", last >= first ? last - first : 0);
  cJSON_AddItemToArray(list, o);
  *parameters += elements;
  *bytes += last >= first ? last - first : 0;
}

cJSON *describe_safetensors(Tool *t, const char *path, const uint8_t *data, size_t size) {
  size_t n = header_bytes(data, size);
  cJSON *header = cJSON_ParseWithLength((const char *)data + LENGTH_BYTES, n), *entry;
  if (!header) {
    diag_error(t->diag, NO_LOC, "'%s': the header is damaged", path);
    return NULL;
  }
  cJSON *o = cJSON_CreateObject();
  double parameters = 0, bytes = 0;
  cJSON_AddStringToObject(o, "file", path);
  cJSON_AddStringToObject(o, "kind", "weights");
  cJSON *list = cJSON_CreateArray();
  cJSON_ArrayForEach(entry, header) add_tensor(list, entry, &parameters, &bytes);
  cJSON_AddNumberToObject(o, "parameters", parameters);
  cJSON_AddNumberToObject(o, "weights_bytes", bytes);
  cJSON_AddItemToObject(o, "tensors", list);
  cJSON *meta = cJSON_DetachItemFromObjectCaseSensitive(header, "__metadata__");
  if (meta) cJSON_AddItemToObject(o, "meta", meta);
  cJSON_Delete(header);
  return o;
}
