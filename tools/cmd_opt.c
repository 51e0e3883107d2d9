// cmd_opt.c: `ingot opt FILE --passes=... -o FILE`: IR in, passes, IR out.
// SPDX-License-Identifier: Apache-2.0
#include "tools/shell.h"
#include "tools/tool.h"

typedef struct OptArgs {
  BuildArgs build;
  const char *file, *out;
  const char *bisect; // command
} OptArgs;

enum { OPT_BISECT = 512 };

static const struct argp_option options[] = {
    {"bisect", OPT_BISECT, "COMMAND", 0,
     "run COMMAND on the IR after each pass ({} is its file) and name the first after which it fails", 0},
    {"output", 'o', "FILE", 0,
     "where the IR goes (default: standard output); a library if FILE ends in .so, .o or .a", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  OptArgs *a = state->input;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &a->build; return 0;
  case 'o': a->out = arg; return 0;
  case OPT_BISECT: a->bisect = arg; return 0;
  default: return file_option(key, arg, state, &a->file, "file");
  }
}

// ---- finding the pass at fault ------------------------------------------------------------------------------

typedef struct Bisect {
  Tool *t;
  const char *command, *folder;
  const char *before; // the last pass after which the command was content
} Bisect;

// The command's exit status on the module as it stands; -1 if that cannot be written.
static int command_on(const Bisect *b, const Module *m) {
  char *path = tool_printf(b->t, "%s/module.ing", b->folder);
  return driver_write_ir(b->t, m, path) ? shell_run(b->t->arena, b->command, path) : -1;
}

static bool after_pass(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  (void)seconds;
  Bisect *b = data;
  int status = changed || m->level != LEVEL_GRAPH ? command_on(b, m) : 0;
  if (status == 0) b->before = p->name;
  if (status == 0) return true;
  printf("%s: the command is content with the module before it (after %s) and ends with %d after it\n",
         p->name, b->before, status);
  return false;
}

static int bisect(OptArgs *a) {
  Tool *t = a->build.tool;
  Bisect b = {.t = t, .command = a->bisect, .folder = tool_temp_folder(t), .before = "input"};
  Module *m = driver_load(&a->build, a->file);
  if (!m || !b.folder) return EXIT_INPUT;
  int status = command_on(&b, m);
  if (status != 0) printf("the command ends with %d on the model as it was read\n", status);
  if (status != 0) return EXIT_FINE;
  if (driver_passes_with(&a->build, m, after_pass, &b)) puts("the command is content after every pass");
  return diag_errors(t->diag) ? EXIT_INPUT : EXIT_FINE;
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
  if (a.bisect) return bisect(&a);
  Module *m = driver_load(&a.build, a.file);
  if (!m || !driver_passes(&a.build, m)) return EXIT_INPUT;
  bool emit = a.out && emit_from_suffix(a.out, &a.build.codegen.emit);
  return (emit ? driver_emit(&a.build, &(Form){.module = m}, 1, a.out) : driver_write_ir(t, m, a.out))
             ? EXIT_FINE
             : EXIT_INPUT;
}
