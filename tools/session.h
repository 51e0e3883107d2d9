// session.h: one model with one context and its inputs and outputs, for `run` and `bench`.
// SPDX-License-Identifier: Apache-2.0
#ifndef INGOT_TOOLS_SESSION_H
#define INGOT_TOOLS_SESSION_H

#include "runtime/ingot.h"
#include "tools/tool.h"

typedef struct SessionOptions {
  const char *prep;     // image preprocessing; NULL: the model's own
  ingot_step_hook hook; // NULL: none
  void *hook_user;
  uint32_t flags; // enum ingot_option_flags
} SessionOptions;

typedef struct Session {
  Tool *tool;
  Loaded loaded;
  const ingot_model *model;
  ingot_ctx *ctx;
  int threads;
  const Tensor **in; // by input number; NULL: not given yet
  Tensor **out;      // at the symbols' bounds
  int64_t *extent;   // by symbol number: what the given inputs say, or -1
  int64_t *begin;    // by symbol number: of states that grow, what a run begins with
  ImagePrep prep;
  double create_ms;
} Session;

// Opens LIB or compiles MODEL, and makes a context with the threads that the options say. Closed with the
// arena. false after reporting.
bool session_open(BuildArgs *a, const char *path, const SessionOptions *o, Session *s);
int session_cores(void); // that this process may run on: threads where none are asked for
// "NAME=SOURCE", or "SOURCE" if the model has one input.
bool session_input_arg(Session *s, const char *arg);
// Gives every input and output to the context; inputs not given are an error, or random if `fill`.
bool session_bind(Session *s, bool fill);
// States that grow begin each run with the same extent: the least, or what session_grow has set.
bool session_run(Session *s);
bool session_rewind(Session *s); // what each run begins with
// Runs until the state's extent is as large.
bool session_grow(Session *s, const char *name, int64_t extent);
// Output k of the last run with its actual shape.
const Tensor *session_output(Session *s, int k);
// "; it has: a, b, c" for messages.
const char *session_names(const Session *s, bool outputs);

#endif
