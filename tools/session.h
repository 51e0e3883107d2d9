// session.h: one model with one context and its inputs and outputs, for `run` and `bench`.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_SESSION_H
#define INGOT_TOOLS_SESSION_H

#include "runtime/ingot.h"
#include "tools/tool.h"

typedef struct Session {
  Tool *tool;
  Loaded loaded;
  const ingot_model *model;
  ingot_ctx *ctx;
  const Tensor **in; // by input number; NULL: not given yet
  Tensor **out;      // at the symbols' bounds
  ImagePrep prep;
  double create_ms;
} Session;

// Opens LIB or compiles MODEL, and makes a context (threads 0: all cores). `prep` overrides the model's own
// preprocessing. Closed with the arena. false after reporting.
bool session_open(BuildArgs *a, const char *path, int threads, const char *prep, Session *s);
// "NAME=SOURCE", or "SOURCE" if the model has one input.
bool session_input_arg(Session *s, const char *arg);
// Gives every input and output to the context; inputs not given are an error, or random if `fill`.
bool session_bind(Session *s, bool fill);
bool session_run(Session *s);
// Output k of the last run with its actual shape.
const Tensor *session_output(Session *s, int k);
// "; it has: a, b, c" for messages.
const char *session_names(Tool *t, const Session *s, bool outputs);

#endif
