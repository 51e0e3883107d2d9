// opened.c: opens a model at run time.
// SPDX-License-Identifier: Apache-2.0
#include <ingot.h>
#include <stdio.h>

int main(int argc, char **argv) {
  char error[256];
  ingot_library *lib;
  if (argc < 2 || ingot_library_open(argv[1], &lib, error, sizeof error) != INGOT_OK) {
    fprintf(stderr, "%s\n", argc < 2 ? "usage: opened LIB" : error);
    return 1;
  }
  const ingot_model *m = ingot_library_model(lib, NULL);
  ingot_ctx *c;
  if (ingot_ctx_create(m, NULL, &c) != INGOT_OK) return 1;
  const float x[4] = {1, 2, 3, 4};
  float y[4] = {0};
  if (ingot_set_input(c, 0, x, INGOT_F32, 2, (int64_t[]){1, 4}, sizeof x) ||
      ingot_set_output(c, 0, y, sizeof y) || ingot_run(c)) {
    fprintf(stderr, "%s\n", ingot_last_error(c));
    return 1;
  }
  printf("%s %g %g %g %g\n", ingot_model_name(m), y[0], y[1], y[2], y[3]);
  ingot_ctx_destroy(c);
  ingot_library_close(lib);
  return 0;
}
