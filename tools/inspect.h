// inspect.h: what `ingot inspect` tells of files of several kinds.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_INSPECT_H
#define INGOT_TOOLS_INSPECT_H

#include <cjson/cJSON.h>

#include "tools/tool.h"

bool is_safetensors(const uint8_t *data, size_t size); // by content
cJSON *describe_safetensors(Tool *t, const char *path, const uint8_t *data,
                            size_t size); // NULL after reporting

#endif
