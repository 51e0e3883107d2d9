// onnx_ops_signal.c: ONNX windows, Fourier transforms and the determinant.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"

#include <math.h>

enum {
  WINDOW_MAX = 1 << 24,
  DFT_MAX = 1 << 13,      // length of a transform: it is a product with a constant matrix
  DET_MAX = 64,           // rows of a matrix: the elimination is written out
  STFT_INDICES = 1 << 26, // samples in all frames: a constant has the number of each
};

static const double PI = 3.14159265358979323846;

// ---- windows ----------------------------------------------------------------------------------------------------

// The window a0 - a1 cos(2 pi k / n) + a2 cos(4 pi k / n).
static bool window(Call *c, double a0, double a1, double a2) {
  int64_t size;
  DType t = onnx_dtype((int32_t)attr_i(c, "output_datatype", ONNX_FLOAT));
  if (!arg_int(c, 0, &size)) return false;
  if (size < 0 || size > WINDOW_MAX || t == DT_NONE)
    return call_fail(c, "a window of %lld numbers", (long long)size);
  Type type = type_make(t, 1, &size);
  Tensor *w = tensor_new(call_ctx(c), &type);
  double n = (double)(attr_i(c, "periodic", 1) ? size : size - 1);
  for (int64_t k = 0; k < size; k++) {
    double angle = n ? 2 * PI * (double)k / n : 0;
    tensor_set(w, k, a0 - a1 * cos(angle) + a2 * cos(2 * angle));
  }
  return ret(c, 0, make_const(c, w));
}

static bool hann_window(Call *c) {
  return window(c, 0.5, 0.5, 0);
}

static bool hamming_window(Call *c) {
  return window(c, 25.0 / 46, 1 - 25.0 / 46, 0);
}

static bool blackman_window(Call *c) {
  return window(c, 0.42, 0.5, 0.08);
}

// ---- mel scale --------------------------------------------------------------------------------------------------

static double mel_of(double hertz) {
  return 2595 * log10(1 + hertz / 700);
}

// The bins of the spectrum at the edges of the bands, equally spaced on the mel scale.
static void mel_edges(int64_t bands, int64_t length, int64_t rate, double low, double high, int64_t *edge) {
  double from = mel_of(low), step = (mel_of(high) - from) / (double)(bands + 2);
  for (int64_t i = 0; i < bands + 2; i++) {
    double hertz = 700 * (pow(10, ((double)i * step + from) / 2595) - 1);
    edge[i] = (int64_t)floor((double)(length + 1) * hertz / (double)rate);
  }
}

// Each band rises from its lower edge to its centre and falls to its upper edge.
static bool mel_weight_matrix(Call *c) {
  int64_t bands, length, rate;
  double low, high;
  if (!arg_int(c, 0, &bands) || !arg_int(c, 1, &length) || !arg_int(c, 2, &rate)) return false;
  if (!arg_float(c, 3, &low) || !arg_float(c, 4, &high)) return false;
  int64_t bins = length / 2 + 1, *edge;
  if (bands < 1 || bands > 65536 || length < 1 || length > 1 << 24 || rate < 1)
    return call_fail(c, "absurd sizes");
  DType t = onnx_dtype((int32_t)attr_i(c, "output_datatype", ONNX_FLOAT));
  Type type = type_make(t, 2, (int64_t[]){bins, bands});
  if (t == DT_NONE || !type_check_size(call_ctx(c), c->loc, &type)) return call_fail(c, "absurd sizes");
  Tensor *w = tensor_new(call_ctx(c), &type);
  edge = NEW_ARRAY(call_arena(c), int64_t, bands + 2);
  mel_edges(bands, length, rate, low, high, edge);
  for (int64_t i = 0; i < bands; i++) {
    int64_t from = edge[i], mid = edge[i + 1], to = edge[i + 2];
    if (from < 0 || to > bins) return call_fail(c, "the edges lie outside of the spectrum");
    if (mid == from && mid < bins) tensor_set(w, mid * bands + i, 1);
    for (int64_t j = from; mid > from && j <= mid && j < bins; j++) {
      tensor_set(w, j * bands + i, (double)(j - from) / (double)(mid - from));
    }
    for (int64_t j = mid; j < to; j++) tensor_set(w, j * bands + i, (double)(to - j) / (double)(to - mid));
  }
  return ret(c, 0, make_const(c, w));
}

// ---- Fourier transforms -------------------------------------------------------------------------------------------

// The matrix [n,bins] of cos or sin(2 pi i k / n), times `scale`. Angles are reduced to whole turns first.
static Value *wave_matrix(Call *c, DType t, int64_t n, int64_t bins, bool is_sin, double scale) {
  Type type = type_make(t, 2, (int64_t[]){n, bins});
  Tensor *m = tensor_new(call_ctx(c), &type);
  for (int64_t i = 0; i < n; i++) {
    for (int64_t k = 0; k < bins; k++) {
      double angle = 2 * PI * (double)(i * k % n) / (double)n;
      tensor_set(m, i * bins + k, scale * (is_sin ? sin(angle) : cos(angle)));
    }
  }
  return make_const(c, m);
}

// The transform along the last dimension of a signal with real and (or NULL) imaginary part, both [...,n]: the
// result is [...,bins,2].
static Value *transform(Call *c, Value *re, Value *im, int64_t n, int64_t bins, bool inverse) {
  DType t = re->type.dtype;
  double scale = inverse ? 1.0 / (double)n : 1;
  Value *cosine = wave_matrix(c, t, n, bins, false, scale);
  Value *sine = wave_matrix(c, t, n, bins, true, inverse ? -scale : scale); // forward: exp(-i angle)
  Value *out[2] = {make_binary(c, "matmul", re, cosine),
                   make_unary(c, "neg", make_binary(c, "matmul", re, sine))};
  if (im) {
    out[0] = make_binary(c, "add", out[0], make_binary(c, "matmul", im, sine));
    out[1] = make_binary(c, "add", out[1], make_binary(c, "matmul", im, cosine));
  }
  return make(c, "stack", out, 2, ATTRS(A_INT("axis", -1)));
}

// Is the last dimension that of the real and (or not) imaginary parts?
static bool is_complex(Call *c, const Value *v) {
  Dim d = dim_of(v, rank_of(v) - 1);
  return !d.sym && (d.n == 1 || d.n == 2) ? true : call_fail(c, "the last dimension must be 1 or 2");
}

// Part k of the last dimension [..., 1 or 2]; NULL if it has none.
static Value *part(Call *c, Value *v, int k) {
  int64_t last[] = {-1};
  if (k >= dim_of(v, rank_of(v) - 1).n) return NULL;
  return make(c, "squeeze", IN(make_slice(c, v, rank_of(v) - 1, k, k + 1)), ATTRS(A_INTS("axes", last, 1)));
}

// v with `axis` last; the same permutation, being a swap, brings it back.
static Value *swap_last(Call *c, Value *v, int axis, int last) {
  int64_t perm[MAX_RANK];
  for (int d = 0; d < rank_of(v); d++) perm[d] = d == axis ? last : d == last ? axis : d;
  return axis == last ? v : make_transpose(c, v, perm);
}

// Cuts or pads dimension `axis` to n elements.
static Value *fit_length(Call *c, Value *v, int axis, int64_t n) {
  int64_t pads[2 * MAX_RANK] = {0}, have = dim_of(v, axis).n;
  pads[rank_of(v) + axis] = n - have;
  return have == n ? v : make(c, "pad", IN(v, NULL), ATTRS(A_INTS("pads", pads, 2 * rank_of(v))));
}

static bool dft_axis(Call *c, int rank, int *axis) {
  int64_t at = c->version < 20 ? attr_i(c, "axis", 1) : -2;
  if (c->version >= 20 && has_arg(c, 2) && !arg_int(c, 2, &at)) return false;
  *axis = axis_of(c, at, rank);
  return !c->failed && (*axis < rank - 1 || call_fail(c, "the axis is that of the real and imaginary parts"));
}

// The matrix [bins,n] that gives a real signal from half of its spectrum: the other half mirrors it.
static Value *mirror_matrix(Call *c, DType t, int64_t bins, int64_t n, bool is_sin) {
  Type type = type_make(t, 2, (int64_t[]){bins, n});
  Tensor *m = tensor_new(call_ctx(c), &type);
  for (int64_t k = 0; k < bins; k++) {
    double weight = (k == 0 || 2 * k == n ? 1.0 : 2.0) / (double)n;
    for (int64_t i = 0; i < n; i++) {
      double angle = 2 * PI * (double)(i * k % n) / (double)n;
      tensor_set(m, k * n + i, weight * (is_sin ? -sin(angle) : cos(angle)));
    }
  }
  return make_const(c, m);
}

// The real signal [...,n,1] whose spectrum begins with x [...,bins,2].
static bool inverse_real(Call *c, Value *x, int axis) {
  int rank = rank_of(x);
  int64_t n = 2 * (dim_of(x, axis).n - 1);
  if (has_arg(c, 1) && !arg_int(c, 1, &n)) return false;
  if (dim_of(x, axis).sym || n < 1 || n > DFT_MAX)
    return call_fail(c, "a transform of length %lld", (long long)n);
  int64_t bins = n / 2 + 1;
  DType t = x->type.dtype;
  x = swap_last(c, fit_length(c, x, axis, bins), axis, rank - 2);
  Value *im = part(c, x, 1),
        *y = make_binary(c, "matmul", part(c, x, 0), mirror_matrix(c, t, bins, n, false));
  if (im) y = make_binary(c, "add", y, make_binary(c, "matmul", im, mirror_matrix(c, t, bins, n, true)));
  return ret(c, 0, swap_last(c, make_unsqueeze_last(c, y, 1), axis, rank - 2));
}

static bool dft(Call *c) {
  Value *x = arg(c, 0);
  int rank = rank_of(x), axis;
  bool inverse = attr_i(c, "inverse", 0), onesided = attr_i(c, "onesided", 0);
  if (c->failed || rank < 2) return call_fail(c, "its operand has %d dimensions", rank);
  if (!is_complex(c, x) || !dft_axis(c, rank, &axis)) return false;
  if (inverse && onesided) return inverse_real(c, x, axis);
  int64_t n = dim_of(x, axis).n;
  if (has_arg(c, 1) && !arg_int(c, 1, &n)) return false;
  if (dim_of(x, axis).sym || n < 1 || n > DFT_MAX)
    return call_fail(c, "a transform of length %lld", (long long)n);
  x = swap_last(c, fit_length(c, x, axis, n), axis, rank - 2);
  int64_t bins = onesided ? n / 2 + 1 : n;
  Value *y = transform(c, part(c, x, 0), part(c, x, 1), n, bins, inverse);
  return ret(c, 0, swap_last(c, y, axis, rank - 2));
}

// Frame i of `length` numbers begins at i * step.
static Value *frame_indices(Call *c, int64_t frames, int64_t length, int64_t step) {
  Type type = type_make(DT_I64, 2, (int64_t[]){frames, length});
  Tensor *t = tensor_new(call_ctx(c), &type);
  for (int64_t i = 0; i < frames * length; i++) tensor_set_int(t, i, i / length * step + i % length);
  return make_const(c, t);
}

static bool stft(Call *c) {
  Value *signal = arg(c, 0), *win = arg_opt(c, 2), *frames[2] = {NULL, NULL};
  int64_t step, length = win ? dim_of(win, 0).n : 0, elements;
  int rank = rank_of(signal);
  if (!arg_int(c, 1, &step) || (has_arg(c, 3) && !arg_int(c, 3, &length))) return false;
  if (rank != 2 && rank != 3) return call_fail(c, "its operand has %d dimensions", rank);
  if (rank == 3 && !is_complex(c, signal)) return false;
  Dim total = dim_of(signal, 1);
  if (step < 1 || length < 1 || length > DFT_MAX || total.sym || total.n < length) {
    return call_fail(c, "frames of %lld every %lld do not fit", (long long)length, (long long)step);
  }
  int64_t count = (total.n - length) / step + 1;
  if (!mul_ok(count, length, &elements) || elements > STFT_INDICES)
    return call_fail(c, "%lld frames of %lld are too many", (long long)count, (long long)length);
  Value *at = frame_indices(c, count, length, step);
  for (int k = 0; k < 2; k++) {
    Value *v = rank == 2 ? (k ? NULL : signal) : part(c, signal, k);
    if (!v) continue;
    frames[k] = make(c, "gather", IN(v, at), ATTRS(A_INT("axis", 1)));
    if (win) frames[k] = make_binary(c, "mul", frames[k], win);
  }
  int64_t bins = attr_i(c, "onesided", 1) ? length / 2 + 1 : length;
  return ret(c, 0, transform(c, frames[0], frames[1], length, bins, false));
}

// ---- determinant ------------------------------------------------------------------------------------------------

// One step of Gaussian elimination with pivoting on m [b,n,n]: multiplies *det [b,1,1] by the pivot and gives the
// rest, [b,n-1,n-1].
static Value *eliminate(Call *c, Value *m, Value **det) {
  int64_t n = dim_of(m, 1).n;
  Dim batch = dim_of(m, 0);
  Value *column = make_unary(c, "abs", make_slice(c, m, 2, 0, 1));
  Value *at = make(c, "argmax", IN(column), ATTRS(A_INT("axis", 1))); // [b,1,1]
  Dim row[] = {batch, dim_const(1), dim_const(n)}, shape[] = {dim_const(1), dim_const(n), dim_const(1)};
  Value *index = make(c, "broadcast", IN(at), ATTRS(A_SHAPE("shape", row, 3)));
  Value *pivot_row = make(c, "gather_elements", IN(m, index), ATTRS(A_INT("axis", 1)));
  Value *rows = make(c, "iota", NULL, 0, ATTRS(A_SHAPE("shape", shape, 3), A_INT("axis", 1)));
  Value *swapped =
      make(c, "where", IN(make_binary(c, "equal", rows, at), make_slice(c, m, 1, 0, 1), m), NO_ATTRS);
  Value *pivot = make_slice(c, pivot_row, 2, 0, 1), *zero = make_like(c, m, 0);
  Value *in_place = make_binary(c, "equal", at, make_scalar(c, DT_I64, 0));
  Value *signed_pivot = make(c, "where", IN(in_place, pivot, make_unary(c, "neg", pivot)), NO_ATTRS);
  *det = make_binary(c, "mul", *det, signed_pivot);
  Value *below = make_slice(c, swapped, 1, 1, n);
  Value *factor = make_binary(c, "div", make_slice(c, below, 2, 0, 1), pivot);
  factor = make(c, "where", IN(make_binary(c, "equal", pivot, zero), zero, factor), NO_ATTRS);
  Value *product = make_binary(c, "mul", factor, make_slice(c, pivot_row, 2, 1, n));
  return make_binary(c, "sub", make_slice(c, below, 2, 1, n), product);
}

static bool determinant(Call *c) {
  Value *x = arg(c, 0);
  int rank = rank_of(x);
  Dim n = dim_of(x, rank - 1), dims[] = {dim_const(-1), n, n};
  if (c->failed || rank < 2 || n.sym || n.n < 1 || n.n > DET_MAX)
    return call_fail(c, "at most %d rows are supported", DET_MAX);
  Type shape = x->type;
  Value *m = make(c, "reshape", IN(x), ATTRS(A_SHAPE("shape", dims, 3)));
  Value *det = make_like(c, x, 1);
  for (int64_t i = 0; i + 1 < n.n; i++) m = eliminate(c, m, &det);
  return ret(c, 0, make_reshape(c, make_binary(c, "mul", det, m), shape.dim, rank - 2));
}

const OnnxOp ONNX_OPS_SIGNAL[] = {
    {"", "HannWindow", hann_window, NULL},
    {"", "HammingWindow", hamming_window, NULL},
    {"", "BlackmanWindow", blackman_window, NULL},
    {"", "MelWeightMatrix", mel_weight_matrix, NULL},
    {"", "DFT", dft, NULL},
    {"", "STFT", stft, NULL},
    {"", "Det", determinant, NULL},
    {0},
};
