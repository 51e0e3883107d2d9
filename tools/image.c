// image.c: PNG, JPEG and BMP files, read and resized through the stb library.
// SPDX-License-Identifier: Apache-2.0
#include "tools/image.h"

#define STBI_NO_STDIO
#include <stb/stb_image.h>
#include <stb/stb_image_resize.h>

uint8_t *image_load(Arena *a, Diag *d, const char *path, int channels, int *width, int *height) {
  const uint8_t *file;
  size_t size;
  if (!file_map(a, d, NO_LOC, path, &file, &size)) return NULL;
  int in_file;
  uint8_t *pixels =
      size > INT32_MAX ? NULL : stbi_load_from_memory(file, (int)size, width, height, &in_file, channels);
  if (!pixels) {
    diag_error(d, NO_LOC, "cannot read image '%s': %s", path,
               size > INT32_MAX ? "too large" : stbi_failure_reason());
    return NULL;
  }
  uint8_t *copy = arena_dup(a, pixels, (size_t)*width * (size_t)*height * (size_t)channels);
  stbi_image_free(pixels);
  return copy;
}

bool image_resize(const uint8_t *in, int w, int h, uint8_t *out, int to_w, int to_h, int channels) {
  return stbir_resize_uint8(in, w, h, 0, out, to_w, to_h, 0, channels);
}
