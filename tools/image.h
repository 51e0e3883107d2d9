// image.h: reading image files for `ingot run`.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_IMAGE_H
#define INGOT_TOOLS_IMAGE_H

#include "ir/base.h"

// Pixels [height, width, channels], converted to 1 (grey), 3 (RGB) or 4 channels. NULL after reporting.
uint8_t *image_load(Arena *a, Diag *d, const char *path, int channels, int *width, int *height);
// Resamples with stb's default filter (Catmull-Rom up, Mitchell down). false when memory runs out.
bool image_resize(const uint8_t *in, int w, int h, uint8_t *out, int to_w, int to_h, int channels);

#endif
