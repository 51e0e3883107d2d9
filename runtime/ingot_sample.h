// ingot_sample.h: choosing the next token from a model's logits: greedy, temperature, top-k, top-p, repetition penalty.
// SPDX-License-Identifier: Apache-2.0
//
//   struct ingot_candidate room[VOCABULARY];
//   struct ingot_sampler s = {.temperature = 0.8f, .top_p = 0.95f, .seed = 1};
//   int32_t next = ingot_sample(&s, logits, VOCABULARY, tokens, n_tokens, room);
//
// Needs the C library and its mathematics (-lm), nothing of Ingot. All zero is greedy. The same seed and the same
// logits give the same tokens on every machine whose expf does.
#ifndef INGOT_SAMPLE_H
#define INGOT_SAMPLE_H

#include <math.h>
#include <stdint.h>

struct ingot_sampler {
  float temperature; // 0: always the largest
  int32_t top_k;     // only the k largest count; 0: all
  float top_p;       // only the largest that make up this probability count; 0 or 1: all
  // Logits of tokens that were seen are divided by it, or multiplied if negative; 0 or 1: none.
  float repetition_penalty;
  uint64_t seed; // changes with every token
};

// A token and its logit, later its probability.
struct ingot_candidate {
  float value;
  int32_t token;
};

// Steele, Lea and Flood 2014 (SplitMix64); in [0, 1).
static inline double ingot_sample_random(uint64_t *seed) {
  uint64_t z = *seed += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

// a before b: larger, or equal and of a smaller number.
static inline int ingot_sample_before(struct ingot_candidate a, struct ingot_candidate b) {
  return a.value != b.value ? a.value > b.value : a.token < b.token;
}

// Sifts element i of a heap down; its top is the last in order.
static inline void ingot_sample_sift(struct ingot_candidate *c, int32_t i, int32_t n) {
  struct ingot_candidate x = c[i];
  for (int32_t k = 2 * i + 1; k < n; i = k, k = 2 * i + 1) {
    if (k + 1 < n && ingot_sample_before(c[k], c[k + 1])) k++;
    if (!ingot_sample_before(x, c[k])) break;
    c[i] = c[k];
  }
  c[i] = x;
}

// The k first of n candidates, in order, to the front.
static inline void ingot_sample_first(struct ingot_candidate *c, int32_t n, int32_t k) {
  for (int32_t i = k / 2; i-- > 0;) ingot_sample_sift(c, i, k);
  for (int32_t i = k; i < n; i++) {
    if (!ingot_sample_before(c[i], c[0])) continue;
    c[0] = c[i];
    ingot_sample_sift(c, 0, k);
  }
  for (int32_t end = k - 1; end > 0; end--) {
    struct ingot_candidate last = c[0];
    c[0] = c[end];
    c[end] = last;
    ingot_sample_sift(c, 0, end);
  }
}

static inline void ingot_sample_penalise(struct ingot_candidate *c, int32_t n, const int32_t *seen,
                                         int32_t n_seen, float penalty) {
  for (int32_t i = 0; i < n_seen; i++) {
    if (seen[i] < 0 || seen[i] >= n || c[seen[i]].token < 0) continue;
    float *v = &c[seen[i]].value;
    *v = *v > 0 ? *v / penalty : *v * penalty;
    c[seen[i]].token = -1; // done, however often it was seen
  }
  for (int32_t i = 0; i < n; i++) c[i].token = i;
}

// Logits of the first n candidates, in order, to probabilities; how many of them make up top_p.
static inline int32_t ingot_sample_weigh(const struct ingot_sampler *s, struct ingot_candidate *c, int32_t n,
                                         double *sum) {
  double all = 0, top = s->top_p > 0 && s->top_p < 1 ? s->top_p : 2;
  float most = c[0].value;
  for (int32_t i = 0; i < n; i++) all += c[i].value = expf((c[i].value - most) / s->temperature);
  *sum = 0;
  for (int32_t i = 0; i < n; i++)
    if ((*sum += c[i].value) >= top * all) return i + 1;
  return n;
}

// The first of the largest; NaN never is.
static inline int32_t ingot_sample_largest(const float *logits, int32_t n) {
  enum { LANES = 16 }; // which compilers make vectors of
  float most[LANES], top = -INFINITY;
  int32_t i = 0, k;
  for (k = 0; k < LANES; k++) most[k] = -INFINITY;
  for (; i + LANES <= n; i += LANES)
    for (k = 0; k < LANES; k++) most[k] = logits[i + k] > most[k] ? logits[i + k] : most[k];
  for (; i < n; i++) top = logits[i] > top ? logits[i] : top;
  for (k = 0; k < LANES; k++) top = most[k] > top ? most[k] : top;
  for (i = 0; i < n; i++)
    if (logits[i] == top) return i;
  return 0;
}

// The next token. logits: n of them; seen: the tokens so far, for the penalty (NULL, 0 without one); room: n candidates.
// NaN never wins. n must be at least 1.
static inline int32_t ingot_sample(struct ingot_sampler *s, const float *logits, int32_t n,
                                   const int32_t *seen, int32_t n_seen, struct ingot_candidate *room) {
  int32_t best = 0, k = s->top_k > 0 && s->top_k < n ? s->top_k : n;
  int penalise = s->repetition_penalty > 0 && s->repetition_penalty != 1;
  double sum, at;
  if (!penalise && !(s->temperature > 0)) return ingot_sample_largest(logits, n);
  for (int32_t i = 0; i < n; i++) {
    room[i].value = logits[i] == logits[i] ? logits[i] : -INFINITY;
    room[i].token = i;
  }
  if (penalise) ingot_sample_penalise(room, n, seen, n_seen, s->repetition_penalty);
  if (!(s->temperature > 0)) {
    for (int32_t i = 1; i < n; i++)
      if (room[i].value > room[best].value) best = i;
    return best;
  }
  ingot_sample_first(room, n, k);
  k = ingot_sample_weigh(s, room, k, &sum);
  at = ingot_sample_random(&s->seed) * sum;
  // Added up as in ingot_sample_weigh: what is impossible is never drawn, whatever is rounded.
  for (best = 0, sum = 0; best < k - 1 && (sum += room[best].value) <= at;) best++;
  return room[best].token;
}

#endif
