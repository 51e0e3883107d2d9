// yaml_layers.h: what the files of layers share.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_YAML_LAYERS_H
#define INGOT_YAML_LAYERS_H

#include "frontend/yaml.h"

// A layer being built from a call.
typedef struct Layer {
  Yaml *y;
  Args *args;
  Value *x;
  const char *name; // full
  DType dtype;      // of the weights
  Init init;
  bool share; // the weights of the layer that had the name before
  bool failed;
} Layer;

// Adds the default arguments, takes `x` and `init`, chooses the name. False after reporting.
bool layer_start(Yaml *y, Args *args, Layer *l);
// Argument `name`, or positional number k, at least `min`.
bool layer_int(Layer *l, const char *name, int k, int64_t min, int64_t *out);
bool layer_bool(Layer *l, const char *name, bool or_else); // a wrong kind marks the layer as failed
bool layer_rank(Layer *l, int min);                        // of the input
bool layer_extent(Layer *l, int axis, int64_t *n);         // of the input, which must be constant there
// The constant NAME.suffix.
Value *layer_weight(Layer *l, const char *suffix, int rank, const int64_t *dims, Init init);

Val layer_lstm(Yaml *y, Args *args);
Val layer_gru(Yaml *y, Args *args);
Val layer_rnn(Yaml *y, Args *args);

#endif
