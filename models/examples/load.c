// load.c: opens an artefact, says what it wants and gives, and runs it once on made-up data.
// SPDX-License-Identifier: Apache-2.0
//
//   load libmodel.so
#include "ingot.h"

#include <stdio.h>
#include <stdlib.h>

// At the bounds: bounded dimensions get the largest extent that the model allows.
static void full_shape(const struct ingot_tensor_info *t, int64_t *dims) {
  for (int32_t d = 0; d < t->rank; d++) dims[d] = t->dims[d].n;
}

static void print_tensor(const ingot_model *m, const char *what, const struct ingot_tensor_info *t) {
  printf("%s %s: %s[", what, t->name, ingot_dtype_name(t->dtype));
  for (int32_t d = 0; d < t->rank; d++) {
    if (t->dims[d].sym >= 0) printf("%s%s<=", d ? ", " : "", ingot_symbol_info(m, t->dims[d].sym)->name);
    printf("%s%lld", d && t->dims[d].sym < 0 ? ", " : "", (long long)t->dims[d].n);
  }
  printf("]\n");
}

// Zeros but for floats, which count up in small steps.
static void *make_data(const struct ingot_tensor_info *t) {
  char *p = calloc(1, (size_t)t->bytes + 64);
  if (p && t->dtype == INGOT_F32)
    for (int64_t i = 0; i < t->bytes / 4; i++) ((float *)(void *)p)[i] = (float)(i % 17) / 17;
  return p;
}

static int bind_inputs(ingot_ctx *c, const ingot_model *m, void **data) {
  for (int32_t i = 0; i < ingot_input_count(m); i++) {
    const struct ingot_tensor_info *t = ingot_input_info(m, i);
    int64_t dims[INGOT_MAX_RANK];
    full_shape(t, dims);
    data[i] = make_data(t);
    int code = ingot_set_input(c, i, data[i], t->dtype, t->rank, dims, (uint64_t)t->bytes);
    if (code) return code;
  }
  return INGOT_OK;
}

static void print_output(const ingot_ctx *c, int32_t i, const struct ingot_tensor_info *t) {
  int64_t dims[INGOT_MAX_RANK], n = 1;
  ingot_output_shape(c, i, dims);
  printf("%s [", t->name);
  for (int32_t d = 0; d < t->rank; n *= dims[d++]) printf("%s%lld", d ? ", " : "", (long long)dims[d]);
  printf("]");
  const float *v = ingot_output_data(c, i);
  for (int64_t k = 0; t->dtype == INGOT_F32 && k < n && k < 8; k++) printf(" %g", (double)v[k]);
  printf("\n");
}

static int run(const ingot_model *m) {
  char err[256] = "";
  struct ingot_options o = {
      .size = sizeof o, .flags = INGOT_OWN_OUTPUTS, .error = err, .error_size = sizeof err};
  ingot_ctx *c;
  if (ingot_ctx_create(m, &o, &c)) {
    fprintf(stderr, "load: %s\n", err);
    return 1;
  }
  void **data = calloc((size_t)ingot_input_count(m) + 1, sizeof *data);
  int code = data ? bind_inputs(c, m, data) : INGOT_E_MEMORY;
  if (!code) code = ingot_run(c);
  if (code) fprintf(stderr, "load: %s: %s\n", ingot_error_text(m, code), ingot_last_error(c));
  for (int32_t i = 0; i < ingot_output_count(m) && !code; i++) print_output(c, i, ingot_output_info(m, i));
  for (int32_t i = 0; i < ingot_input_count(m) && data; i++) free(data[i]);
  free(data);
  ingot_ctx_destroy(c);
  return code != INGOT_OK;
}

int main(int argc, char **argv) {
  ingot_library *lib;
  char err[256];
  if (argc < 2) {
    fprintf(stderr, "usage: load LIBRARY\n");
    return 2;
  }
  if (ingot_library_open(argv[1], &lib, err, sizeof err)) {
    fprintf(stderr, "load: %s\n", err);
    return 1;
  }
  const ingot_model *m = ingot_library_model(lib, NULL);
  printf("model %s, %llu bytes a context\n", ingot_model_name(m),
         (unsigned long long)ingot_ctx_bytes(m, NULL));
  for (int32_t i = 0; i < ingot_input_count(m); i++) print_tensor(m, "input", ingot_input_info(m, i));
  for (int32_t i = 0; i < ingot_output_count(m); i++) print_tensor(m, "output", ingot_output_info(m, i));
  int status = run(m);
  ingot_library_close(lib);
  return status;
}
