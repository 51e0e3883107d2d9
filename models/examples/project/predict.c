// predict.c: a model that is part of the program: its header declares one function.
// SPDX-License-Identifier: Apache-2.0
#include "lenet.h"

#include <stdio.h>

int main(void) {
  static float image[28 * 28];
  float scores[10];
  for (int i = 0; i < 28 * 28; i++) image[i] = (float)(i % 28) / 28;
  int code = lenet_run(image, 1, scores), best = 0;
  if (code) {
    fprintf(stderr, "predict: error %d\n", code);
    return 1;
  }
  for (int i = 1; i < 10; i++)
    if (scores[i] > scores[best]) best = i;
  printf("class %d: %.2f\n", best, (double)scores[best]);
  return 0;
}
