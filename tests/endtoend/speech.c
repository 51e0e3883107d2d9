// speech.c: Silero tells speech from silence, chunk by chunk, with its state carried along.
// SPDX-License-Identifier: Apache-2.0
#include "endtoend.h"

enum { CHUNK = 512, CONTEXT = 64, STATE = 2 * 128 };

// Runs a model over the sound, as if it were followed by a second of silence. Operands and results are in the
// order of `silero_vad_16k_static.onnx`; the other model has the rate as a third operand.
static int64_t listen(Test *t, Net *net, const Sound *s, float *probability) {
  Tensor *in = float_tensor(t, 2, (int64_t[]){1, CONTEXT + CHUNK}),
         *state = float_tensor(t, 3, (int64_t[]){2, 1, 128}), *rate = tensor_scalar(t->ctx, DT_I64, s->rate);
  float *x = tensor_data(in);
  int64_t chunks = (s->n + s->rate) / CHUNK;
  for (int64_t i = 0; i < chunks; i++) {
    memmove(x, x + CHUNK, CONTEXT * sizeof *x);
    for (int64_t k = 0; k < CHUNK; k++) x[CONTEXT + k] = i * CHUNK + k < s->n ? s->sample[i * CHUNK + k] : 0;
    Tensor **out = net_run(net, (const Tensor *[]){in, state, rate});
    probability[i] = floats(out[0])[0];
    memcpy(tensor_data(state), out[1]->data, STATE * sizeof(float));
  }
  return chunks;
}

void speech_case(Test *t) {
  static const char *const models[][2] = {
      {"silero_vad_16k_static.onnx", NULL},
      {"silero_vad_16k_op15.onnx", "shape:input=1,576"},
  };
  Sound s = sound_load(t, "inputs/silero_test.wav");
  float *p[2];
  int64_t n = 0;
  for (int m = 0; m < 2; m++) {
    p[m] = NEW_ARRAY(t->arena, float, (s.n + s.rate) / CHUNK + 1);
    Net net = net_load(t, models[m][0], models[m][1]);
    n = listen(t, &net, &s, p[m]);
  }
  int64_t speech = 0, spoken = s.n / CHUNK;
  for (int64_t i = 0; i < spoken; i++) speech += p[0][i] > 0.5f;
  printf("%lld of %lld chunks are speech\n", (long long)speech, (long long)spoken);
  CHECK(t, speech * 2 > spoken, "too little speech");
  CHECK(t, p[0][n - 1] < 0.1f, "silence at the end has a probability of %g", p[0][n - 1]);
  for (int64_t i = 0; i < n; i++) {
    float d = p[0][i] - p[1][i];
    CHECK(t, d < 1e-3f && d > -1e-3f, "chunk %lld: the two models say %g and %g", (long long)i, p[0][i],
          p[1][i]);
  }
}
