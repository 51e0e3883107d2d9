// tensors.c: tensors named on the command line: npy, npz, raw bytes, images, generated ones.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tool.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "frontend/weights.h"
#include "tools/image.h"

bool split_assign(Tool *t, const char *arg, const char **name, const char **value) {
  const char *eq = strchr(arg, '=');
  if (!eq || eq == arg) return false;
  *name = arena_strndup(t->arena, arg, (size_t)(eq - arg));
  *value = eq + 1;
  return true;
}

// ---- image preprocessing ------------------------------------------------------------------------------------

ImagePrep image_prep_default(void) {
  return (ImagePrep){.scale = 1.0 / 255, .std = {1, 1, 1, 1}};
}

// A number, or a quotient of two ("1/255").
static bool parse_ratio(const char *s, char **end, double *v) {
  *v = strtod(s, end);
  if (*end == s) return false;
  if (**end != '/') return true;
  const char *denominator = *end + 1;
  double d = strtod(denominator, end);
  *v /= d;
  return *end != denominator && d != 0;
}

// Up to four ratios separated by ':'; a single one stands for all channels.
static bool parse_channels(const char *s, double out[4]) {
  int n = 0;
  for (char *end;; s = end + 1) {
    if (n == 4 || !parse_ratio(s, &end, &out[n++])) return false;
    if (*end != ':' && *end != '\0') return false;
    if (*end == '\0') break;
  }
  for (int i = n; i < 4; i++) out[i] = out[n - 1];
  return true;
}

static bool prep_item(const char *item, ImagePrep *p) {
  char *end;
  if (strncmp(item, "scale=", 6) == 0) return parse_ratio(item + 6, &end, &p->scale) && *end == '\0';
  if (strncmp(item, "mean=", 5) == 0) return parse_channels(item + 5, p->mean);
  if (strncmp(item, "std=", 4) == 0) {
    if (!parse_channels(item + 4, p->std)) return false;
    for (int i = 0; i < 4; i++)
      if (p->std[i] == 0) return false;
    return true;
  }
  if (strcmp(item, "bgr") == 0) return p->bgr = true;
  return strcmp(item, "rgb") == 0;
}

bool image_prep_parse(Tool *t, const char *text, ImagePrep *p) {
  char *copy = arena_strdup(t->arena, text), *save = NULL;
  for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
    while (*item == ' ') item++;
    if (prep_item(item, p)) continue;
    diag_error(t->diag, NO_LOC,
               "preprocessing wants scale=N, mean=N[:N...], std=N[:N...], rgb or bgr, not '%s'", item);
    return false;
  }
  return true;
}

// Where channels, height and width are in an image input's shape.
typedef struct ImageShape {
  int channels, height, width; // numbers of dimensions; channels -1: the shape has none
} ImageShape;

static bool is_channels(Dim d) {
  return !d.sym && (d.n == 1 || d.n == 3 || d.n == 4);
}

// [..,C,H,W], [..,H,W,C] or [H,W]; what stands before must be 1 or open.
static bool image_shape(const Type *want, ImageShape *s) {
  int r = want->rank;
  const Dim *d = want->dim;
  for (int i = 0; i < r - 3; i++)
    if (d[i].n != 1 && !d[i].sym) return false;
  if (r == 2)
    *s = (ImageShape){-1, 0, 1};
  else if (r >= 3 && is_channels(d[r - 3]))
    *s = (ImageShape){r - 3, r - 2, r - 1};
  else if (r >= 3 && is_channels(d[r - 1]))
    *s = (ImageShape){r - 1, r - 3, r - 2};
  else
    return false;
  return true;
}

static int side(Dim want, int have) {
  if (!want.sym) return want.n > INT32_MAX ? 0 : (int)want.n;
  return have < want.n ? have : (int)want.n;
}

// Extents of the tensor that an image of w x h becomes.
static Type image_type(const Type *want, const ImageShape *s, int w, int h) {
  int64_t dims[MAX_RANK];
  for (int i = 0; i < want->rank; i++) dims[i] = want->dim[i].sym ? 1 : want->dim[i].n;
  dims[s->height] = side(want->dim[s->height], h);
  dims[s->width] = side(want->dim[s->width], w);
  return type_make(want->dtype, want->rank, dims);
}

static void image_fill(Tensor *out, const uint8_t *pixels, int64_t n, int channels, bool channels_last,
                       const ImagePrep *p) {
  bool is_float = dtype_is_float(out->type.dtype);
  for (int64_t i = 0; i < n; i++) {
    for (int ch = 0; ch < channels; ch++) {
      int from = p->bgr && channels >= 3 && ch < 3 ? 2 - ch : ch;
      double v = pixels[i * channels + from];
      if (is_float) v = (v * p->scale - p->mean[ch]) / p->std[ch];
      tensor_set(out, channels_last ? i * channels + ch : ch * n + i, v);
    }
  }
}

static Tensor *image_tensor(Tool *t, const char *name, const char *path, const Type *want,
                            const ImagePrep *p) {
  ImageShape s;
  if (!image_shape(want, &s)) {
    diag_error(t->diag, NO_LOC, "input '%s' is %s, which is no image of 1, 3 or 4 channels", name,
               type_text(t->ctx, want));
    return NULL;
  }
  int channels = s.channels < 0 ? 1 : (int)want->dim[s.channels].n, w, h;
  uint8_t *pixels = image_load(t->arena, t->diag, path, channels, &w, &h);
  if (!pixels) return NULL;
  Type type = image_type(want, &s, w, h);
  int to_w = (int)type.dim[s.width].n, to_h = (int)type.dim[s.height].n;
  int64_t n = (int64_t)to_w * to_h;
  if (n > 0 && (w != to_w || h != to_h)) {
    uint8_t *fit = arena_array(t->arena, (size_t)n, (size_t)channels);
    if (!image_resize(pixels, w, h, fit, to_w, to_h, channels)) longjmp(*arena_oom(t->arena), 1);
    pixels = fit;
  }
  Tensor *out = tensor_new(t->ctx, &type);
  image_fill(out, pixels, n, channels, s.channels > s.height, p);
  return out;
}

// ---- other sources --------------------------------------------------------------------------------------------

static uint64_t next_random(uint64_t *state) { // splitmix64 (Steele, Lea, Flood 2014)
  uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
  z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
  return z ^ z >> 31;
}

// `want` with every symbolic extent at its bound.
static Type bound_type(const Type *want) {
  Type type = *want;
  for (int i = 0; i < type.rank; i++) type.dim[i].sym = NULL;
  return type;
}

// Standard normal values for floats (Box and Muller), 0..9 for integers, as far as the limit allows, both for bool.
static Tensor *random_tensor(Tool *t, const char *spec, const Type *want, int64_t limit) {
  uint64_t values = want->dtype == DT_BOOL ? 2 : limit > 0 && limit < 10 ? (uint64_t)limit : 10;
  char *end = "";
  uint64_t state = spec[6] == ':' ? strtoull(spec + 7, &end, 10) : 1;
  if (*end || (spec[6] == ':' && !isdigit((unsigned char)spec[7]))) {
    diag_error(t->diag, NO_LOC, "'%s': the seed of random numbers is a number, as in random:7", spec);
    return NULL;
  }
  Tensor *out = tensor_new(t->ctx, want);
  int64_t n = type_elements(want);
  for (int64_t i = 0; i < n; i++) {
    uint64_t r = next_random(&state);
    double u = ((double)(r >> 11) + 1) * 0x1p-53, v = (double)(next_random(&state) >> 11) * 0x1p-53;
    if (dtype_is_float(want->dtype))
      tensor_set(out, i, sqrt(-2 * log(u)) * cos(2 * M_PI * v));
    else
      tensor_set(out, i, (double)(r % values));
  }
  return out;
}

static Tensor *filled_tensor(Tool *t, const Type *want, double v) {
  Tensor *out = tensor_new(t->ctx, want);
  for (int64_t i = 0, n = type_elements(want); i < n; i++) tensor_set(out, i, v);
  return out;
}

// The type of `size` raw bytes: one open extent takes what they hold. false if they do not fit.
static bool raw_type(const Type *want, size_t size, Type *out) {
  *out = bound_type(want);
  int open = -1;
  for (int i = 0; i < want->rank; i++) {
    if (!want->dim[i].sym) continue;
    if (open >= 0) return (int64_t)size == type_bytes(out);
    open = i;
  }
  if (open < 0) return (int64_t)size == type_bytes(out);
  out->dim[open].n = 1;
  int64_t one = type_bytes(out);
  if (one <= 0 || (int64_t)size % one != 0 || (int64_t)size / one > want->dim[open].n) return false;
  out->dim[open].n = (int64_t)size / one;
  return true;
}

static Tensor *raw_tensor(Tool *t, const char *name, const char *path, const Type *want) {
  const uint8_t *data;
  size_t size;
  if (!file_map(t->arena, t->diag, NO_LOC, path, &data, &size)) return NULL;
  Type type;
  if (raw_type(want, size, &type)) return tensor_view(t->ctx, &type, data);
  diag_error(t->diag, NO_LOC, "input '%s' is %s, %lld bytes; '%s' has %zu", name, type_text(t->ctx, want),
             (long long)type_bytes(want), path, size);
  return NULL;
}

static bool has_suffix(const char *path, const char *suffix) {
  size_t n = strlen(path), k = strlen(suffix);
  return n > k && strcasecmp(path + n - k, suffix) == 0;
}

static const Tensor *array_tensor(Tool *t, const char *name, const char *path) {
  WeightFile *f = weights_open(t->ctx, NO_LOC, path);
  if (!f) return NULL;
  if (weights_count(f) == 1 && !weights_has(f, name)) return weights_at(f, NO_LOC, 0);
  return weights_get(f, NO_LOC, name);
}

static bool has_any_suffix(const char *path, const char *const *suffixes) {
  for (; *suffixes; suffixes++)
    if (has_suffix(path, *suffixes)) return true;
  return false;
}

static const char *const image_suffixes[] = {".png", ".jpg", ".jpeg", ".bmp", NULL};
static const char *const array_suffixes[] = {".npy", ".npz", ".safetensors", NULL};

const Tensor *tensor_load(Tool *t, const char *name, const char *source, const Type *want, int64_t limit,
                          const ImagePrep *prep) {
  Type bound = bound_type(want);
  if (strcmp(source, "zeros") == 0) return filled_tensor(t, &bound, 0);
  if (strcmp(source, "ones") == 0) return filled_tensor(t, &bound, 1);
  if (strcmp(source, "random") == 0 || strncmp(source, "random:", 7) == 0)
    return random_tensor(t, source, &bound, limit);
  if (has_any_suffix(source, image_suffixes)) return image_tensor(t, name, source, want, prep);
  if (has_any_suffix(source, array_suffixes)) return array_tensor(t, name, source);
  return raw_tensor(t, name, source, want);
}

bool tensor_save_npy(Tool *t, const Tensor *tensor, const char *path) {
  return npy_save(t->ctx, path, tensor);
}
