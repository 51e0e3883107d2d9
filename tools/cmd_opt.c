// cmd_opt.c: `ingot opt FILE --passes=... -o FILE`: IR in, passes, IR out.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tool.h"

typedef struct OptArgs {
  BuildArgs build;
  const char *file, *out;
} OptArgs;

static const struct argp_option options[] = {
    {"output", 'o', "FILE", 0,
     "where the IR goes (default: standard output); a library if FILE ends in .so, .o or .a", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  OptArgs *a = state->input;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &a->build; return 0;
  case 'o': a->out = arg; return 0;
  case ARGP_KEY_ARG:
    if (a->file) argp_error(state, "one file at a time, please");
    a->file = arg;
    return 0;
  case ARGP_KEY_NO_ARGS: argp_error(state, "which file?"); return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

int cmd_opt(Tool *t, int argc, char **argv) {
  static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
  static const struct argp argp = {
      options,
      parse,
      "FILE",
      "Load a model or IR dump, run passes (the rest of the standard list, or --passes=), print the IR.",
      children,
      NULL,
      NULL};
  OptArgs a = {.build = build_args(t)};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &a, &code)) return code;
  Module *m = driver_load(&a.build, a.file);
  if (!m || !driver_passes(&a.build, m)) return EXIT_INPUT;
  bool emit = a.out && emit_from_suffix(a.out, &a.build.codegen.emit);
  return (emit ? driver_emit(&a.build, &m, 1, a.out) : driver_write_ir(t, m, a.out)) ? EXIT_FINE : EXIT_INPUT;
}
