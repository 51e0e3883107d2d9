// linked.c: calls a model that was compiled with the build.
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "ingot.h"
#include "tiny.h"

int main(void) {
  const float x[4] = {1, 2, 3, 4};
  float y[4] = {0};
  int e = tiny_run(x, y);
  if (e != INGOT_OK) return e;
  printf("%s %g %g %g %g\n", ingot_model_name(&ingot_model_tiny), y[0], y[1], y[2], y[3]);
  return 0;
}
