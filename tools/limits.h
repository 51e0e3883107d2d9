// limits.h: what this machine can do at best: the roof of the roofline.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_LIMITS_H
#define INGOT_TOOLS_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

enum { LIMIT_LEVELS = 4 };

typedef struct Limits {
  double gflops; // f32 multiply-adds, two operations each, on all threads together
  struct {
    const char *name;    // "L2"
    int64_t bytes;       // a thread's working set up to which it holds
    double gbs;          // reading, all threads together
  } level[LIMIT_LEVELS]; // by rising size; the last is main memory
  double ticks_per_ns;   // of the time-stamp counter; 0: there is none
} Limits;

// Measures for about a third of a second, with vectors of `vector_bytes` (16, 32 or 64) on `threads` threads.
Limits limits_measure(int threads, int vector_bytes);
// Bandwidth that holds for a step that moves so many bytes on so many threads.
double limits_bandwidth(const Limits *l, double bytes, int threads);
uint64_t limits_ticks(void);          // the time-stamp counter
int limits_vector_bytes(bool avx512); // what this processor and these features allow

#endif
