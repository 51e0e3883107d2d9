// test_abi.c: artefacts of every ABI so far, kept as they were compiled, load and run with this loader.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/ingot_abi.h"
#include "tests/folder.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER SOURCE_DIR "/tests/abi"

#if defined(__x86_64__)
#define OWN "x86_64-"
#elif defined(__aarch64__)
#define OWN "aarch64-"
#else
#define OWN "none-"
#endif

// y = softmax(relu(2 x - 1)) over rows of 4.
static void expect_values(const float *x, const float *y, int rows) {
  for (int r = 0; r < rows; r++) {
    double e[4], sum = 0;
    for (int i = 0; i < 4; i++) sum += e[i] = exp(fmax(2.0 * (double)x[4 * r + i] - 1, 0));
    for (int i = 0; i < 4; i++) cr_expect_float_eq(y[4 * r + i], e[i] / sum, 1e-5);
  }
}

static void run_artefact(const char *path) {
  char err[300];
  ingot_library *lib;
  ingot_ctx *c;
  float x[12], y[12];
  for (int i = 0; i < 12; i++) x[i] = (float)(i % 5) * 0.5f - 0.5f;
  cr_assert_eq(ingot_library_open(path, &lib, err, sizeof err), INGOT_OK, "%s", err);
  const ingot_model *m = ingot_library_model(lib, "fixture");
  cr_assert(m);
  cr_expect_str_eq(ingot_input_info(m, 0)->name, "x");
  cr_expect(ingot_model_isa(m)[0] == 0 || strcmp(ingot_model_isa(m), "x86-64") == 0);
  struct ingot_options o = {.size = sizeof o, .threads = 2};
  cr_assert_eq(ingot_ctx_create(m, &o, &c), INGOT_OK);
  cr_assert_eq(ingot_set_input(c, 0, x, INGOT_F32, 2, (int64_t[]){3, 4}, sizeof x), INGOT_OK);
  cr_assert_eq(ingot_set_output(c, 0, y, sizeof y), INGOT_OK);
  cr_assert_eq(ingot_run(c), INGOT_OK, "%s", ingot_last_error(c));
  expect_values(x, y, 3);
  cr_expect_eq(ingot_set_input(c, 0, x, INGOT_F32, 2, (int64_t[]){9, 4}, sizeof x), INGOT_E_SHAPE);
  ingot_ctx_destroy(c);
  ingot_library_close(lib);
}

static void refuse_artefact(const char *path) {
  char err[300];
  ingot_library *lib;
  cr_expect_eq(ingot_library_open(path, &lib, err, sizeof err), INGOT_E_ARCH, "%s", err);
  cr_expect(strstr(err, "made for "), "%s", err);
}

Test(abi, artefacts_of_every_version_load) {
  DIR *dir = opendir(FOLDER);
  cr_assert(dir);
  int own = 0, others = 0;
  for (struct dirent *e; (e = readdir(dir));) {
    char path[600];
    snprintf(path, sizeof path, FOLDER "/%s", e->d_name);
    if (!strstr(e->d_name, ".so")) continue;
    if (strncmp(e->d_name, OWN, strlen(OWN)) == 0)
      run_artefact(path), own++;
    else
      refuse_artefact(path), others++;
  }
  closedir(dir);
  cr_expect_gt(own + others, 4);
}

// Wherever a library ends too early, that is what is said, and none of it is run.
Test(abi, truncated_artefacts_are_refused) {
  static char data[1 << 20];
  char err[300];
  const char *path = test_path("truncated.so");
  FILE *f = fopen(FOLDER "/" OWN "1.1.so", "rb");
  if (!f) cr_skip_test("no artefact for this machine");
  size_t size = fread(data, 1, sizeof data, f);
  fclose(f);
  int fd = open(path, O_RDWR | O_CREAT, 0600);
  cr_assert_geq(fd, 0);
  for (size_t n = 0; n < size; n += n < 128 ? 16 : 1777) {
    ingot_library *lib;
    cr_assert_eq(pwrite(fd, data, n, 0), (ssize_t)n);
    cr_expect_eq(ingot_library_open(path, &lib, err, sizeof err), INGOT_E_FORMAT, "%zu bytes", n);
    cr_expect(strstr(err, "truncated") || strstr(err, "not a shared library"), "%zu bytes: %s", n, err);
  }
  close(fd);
}
