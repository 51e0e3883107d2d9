// options.c: the command line options that several commands share, parsed by argp from one table.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tool.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

enum {
  OPT_TARGET = 256,
  OPT_PASSES,
  OPT_DUMP,
  OPT_DUMP_DIR,
  OPT_DUMP_KERNEL,
  OPT_DIFF,
  OPT_REMARKS,
  OPT_INSTRUMENT,
  OPT_STOP_AFTER,
  OPT_LIST_PASSES,
  OPT_VERIFY_EACH,
  OPT_TIME_PASSES,
  OPT_DIM,
  OPT_SHAPE,
  OPT_STATE,
  OPT_THREADS,
  OPT_FP,
  OPT_CHECK,
  OPT_WINOGRAD,
  OPT_WEIGHTS,
  OPT_LINKER,
  OPT_TUNE,
  OPT_NAME,
  OPT_ISA,
  OPT_SPECIALIZE,
};

static const struct argp_option build_options[] = {
    {NULL, 0, NULL, 0, "Compilation:", 1},
    {NULL, 'O', "LEVEL", 0, "0: unscheduled code, 1: graph passes only, 2: everything (default)", 1},
    {"target", OPT_TARGET, "NAME", 0, "x86-64-v3 (default), native, ...; `--target=help` lists them", 1},
    {"isa", OPT_ISA, "NAME,...", 0,
     "several targets in one artefact; the best that runs is chosen at run time", 1},
    {"name", OPT_NAME, "NAME", 0, "name of the model: prefix of the artefact's C symbols", 1},
    {"dim", OPT_DIM, "SYM=N", 0, "fix a symbolic dimension (SYM=4) or set its bound (SYM<=512)", 1},
    {"specialize", OPT_SPECIALIZE, "SYM=N,...[:SYM=N,...]", 0,
     "code of its own for these extents, chosen when a run begins (may be repeated)", 1},
    {"shape", OPT_SHAPE, "INPUT=D,D,...", 0, "fix an input's shape", 1},
    {"state", OPT_STATE, "INPUT=OUTPUT", 0,
     "an input and an output that are one value, kept from run to run; * stands for any text", 1},
    {"threads", OPT_THREADS, "N", 0,
     "threads to compile for and to run with (default: the target's cores, this machine's)", 1},
    {"tune", OPT_TUNE, "FILE", 0, "schedules that `ingot tune` measured; the cost model chooses the others",
     1},
    {"fp", OPT_FP, "strict|fast", 0, "strict keeps the order of float operations (default: fast)", 1},
    {"check", OPT_CHECK, NULL, 0, "verify every index and look for NaN as the code runs (slow)", 1},
    {"winograd", OPT_WINOGRAD, "off|auto", 0, "Winograd convolutions where their error bound allows", 1},
    {"weights", OPT_WEIGHTS, "f16|bf16|int8|int4[:32|64|128][:asym]", 0,
     "keep weights of matrix products in fewer bits; int4 in groups that share a scale (default: 32)", 1},
    {"verbose", 'v', NULL, 0, "with --weights: the error of every tensor", 1},
    {"jobs", 'j', "N", 0, "threads of the compiler (default: all cores); the output is the same", 1},
    {"linker", OPT_LINKER, "PROGRAM", 0, "linker to use instead of ld", 1},
    {"debug", 'g', NULL, 0, "line information that points into the loop dump", 1},
    {"instrument", OPT_INSTRUMENT, NULL, 0, "steps count their time, for `ingot bench --profile`", 1},
    {NULL, 0, NULL, 0, "Seeing inside:", 2},
    {"passes", OPT_PASSES, "LIST", 0, "run these passes (comma separated) instead of the standard list", 2},
    {"stop-after", OPT_STOP_AFTER, "PASS", 0, "stop after this pass", 2},
    {"list-passes", OPT_LIST_PASSES, NULL, 0, "list the passes in order, and end", 2},
    {"dump", OPT_DUMP, "after:PASS|changed|all", 0,
     "write the IR after a pass, after those that changed it, or after every one (may be repeated)", 2},
    {"diff", OPT_DIFF, NULL, 0, "dumps tell what changed since the last one (without --dump: --dump=changed)",
     2},
    {"dump-kernel", OPT_DUMP_KERNEL, "NAME", 0, "dumps hold this kernel only, as a module of its own", 2},
    {"remarks", OPT_REMARKS, NULL, 0, "print what the passes decided, and why", 2},
    {"dump-dir", OPT_DUMP_DIR, "DIR", 0, "where the dumps go (default: NAME.dump); -: standard error", 2},
    {"verify-each", OPT_VERIFY_EACH, NULL, 0, "check the IR's invariants after every pass", 2},
    {"time-passes", OPT_TIME_PASSES, NULL, 0, "print how long each pass took", 2},
    {0},
};

static bool parse_count(const char *text, int max, int *out) {
  char *end;
  errno = 0;
  long v = strtol(text, &end, 10);
  if (errno || end == text || *end || v < 0 || v > max) return false;
  *out = (int)v;
  return true;
}

double number_option(const char *text, double min, double max, struct argp_state *state, const char *what) {
  char *end;
  double v = strtod(text, &end);
  if (end == text || *end || !(v >= min && v <= max))
    argp_error(state, "%s wants a number from %.15g to %.15g, not '%s'", what, min, max, text);
  return v;
}

error_t file_option(int key, char *arg, struct argp_state *state, const char **file, const char *what) {
  switch (key) {
  case ARGP_KEY_ARG:
    if (*file) argp_error(state, "one %s at a time, please", what);
    *file = arg;
    return 0;
  case ARGP_KEY_NO_ARGS: argp_error(state, "which %s?", what); return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

static void list_targets(void) {
  for (int i = 0; i < target_count(); i++) {
    const Target *t = target_at(i);
    printf("%-12s %s, %d-byte vectors, %d registers\n", t->name, t->triple, t->vector_bytes, t->vector_regs);
  }
}

static error_t count_option(const char *text, int max, int *out, struct argp_state *state, const char *what) {
  if (!parse_count(text, max, out))
    argp_error(state, "%s wants a number from 0 to %d, not '%s'", what, max, text);
  return 0;
}

static error_t choice_option(const char *text, const char *a, const char *b, struct argp_state *state,
                             const char *what) {
  if (strcmp(text, a) != 0 && strcmp(text, b) != 0)
    argp_error(state, "%s is %s or %s, not '%s'", what, a, b, text);
  return 0;
}

static error_t name_option(BuildArgs *a, const char *name, struct argp_state *state) {
  bool ok = !isdigit((unsigned char)*name) && *name;
  for (const char *p = name; *p; p++) ok = ok && (isalnum((unsigned char)*p) || *p == '_');
  if (!ok) argp_error(state, "--name wants a C identifier, not '%s'", name);
  a->frontend.name = name;
  return 0;
}

static void pass_option(const char *name, struct argp_state *state) {
  if (pass_find(name)) return;
  const char *names[64];
  int n = 0;
  for (; n < pass_count() && n < ARRAY_LEN(names); n++) names[n] = pass_at(n)->name;
  const char *near = nearest_word(name, names, n);
  if (near)
    argp_error(state, "there is no pass '%s'; did you mean '%s'?", name, near);
  else
    argp_error(state, "there is no pass '%s'; --list-passes lists them", name);
}

static void dump_option(BuildArgs *a, const char *text, struct argp_state *state) {
  if (strcmp(text, "all") != 0 && strcmp(text, "changed") != 0) {
    if (strncmp(text, "after:", 6) != 0)
      argp_error(state, "--dump takes after:PASS, changed or all, not '%s'", text);
    pass_option(text + 6, state);
  }
  vec_push(a->tool->arena, &a->dumps, text);
}

static void pass_list_option(BuildArgs *a, const char *list, struct argp_state *state) {
  char *copy = arena_strdup(a->tool->arena, list), *save = NULL;
  for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) pass_option(p, state);
  a->passes = list;
}

// An option of the form NAME=VALUE (or, of --dim, NAME<=VALUE).
static const char *pair_option(const char *text, struct argp_state *state, const char *what) {
  const char *mark = strchr(text, '=');
  if (!mark || mark == text || !mark[1]) argp_error(state, "%s, not '%s'", what, text);
  return text;
}

static error_t parse_build(int key, char *arg, struct argp_state *state) {
  BuildArgs *a = state->input;
  Arena *arena = a->tool->arena;
  switch (key) {
  case 'O':
    count_option(arg, 3, &a->pass.opt_level, state, "-O");
    a->codegen.opt_level = a->pass.opt_level;
    return 0;
  case 'j': return count_option(arg, 1024, &a->codegen.jobs, state, "--jobs");
  case OPT_INSTRUMENT: a->codegen.instrument = true; return 0;
  case 'g': a->codegen.debug_info = true; return 0;
  case OPT_THREADS: return count_option(arg, 4096, &a->pass.threads, state, "--threads");
  case OPT_NAME: return name_option(a, arg, state);
  case OPT_DIM:
    vec_push(arena, &a->frontend.dims, pair_option(arg, state, "--dim wants SYM=N or SYM<=N"));
    return 0;
  case OPT_SHAPE:
    vec_push(arena, &a->frontend.shapes, pair_option(arg, state, "--shape wants INPUT=D,D,..."));
    return 0;
  case OPT_STATE:
    vec_push(arena, &a->frontend.states, pair_option(arg, state, "--state wants INPUT=OUTPUT"));
    return 0;
  case OPT_CHECK: a->pass.check = a->codegen.check = true; return 0;
  case OPT_FP:
    a->pass.fp_strict = a->codegen.fp_strict = strcmp(arg, "strict") == 0;
    return choice_option(arg, "strict", "fast", state, "--fp");
  case OPT_WINOGRAD: a->pass.winograd = arg; return choice_option(arg, "off", "auto", state, "--winograd");
  case OPT_WEIGHTS:
    a->weights = arg;
    if (!weight_format_parse(arg, &a->pass.weights))
      argp_error(state, "--weights is f32, f16, bf16, int8 or int4[:32|64|128][:asym], not '%s'", arg);
    return 0;
  case 'v': a->verbose = true; return 0;
  case OPT_TUNE: a->tune = arg; return 0;
  case OPT_LINKER: a->codegen.linker = arg; return 0;
  case OPT_TARGET:
    a->target = arg;
    if (strcmp(arg, "help") != 0) return 0;
    list_targets();
    return ECANCELED; // tool_parse knows it
  case OPT_ISA: a->isas = arg; return 0;
  case OPT_SPECIALIZE:
    vec_push(arena, &a->specialize, pair_option(arg, state, "--specialize wants SYM=N,..."));
    return 0;
  case OPT_PASSES: pass_list_option(a, arg, state); return 0;
  case OPT_STOP_AFTER:
    pass_option(arg, state);
    a->stop_after = arg;
    return 0;
  case OPT_LIST_PASSES: print_passes(stdout); return ECANCELED;
  case OPT_DUMP: dump_option(a, arg, state); return 0;
  case OPT_DUMP_DIR: a->dump_dir = arg; return 0;
  case OPT_DUMP_KERNEL: a->dump_kernel = arg; return 0;
  case OPT_REMARKS: a->remarks = true; return 0;
  case OPT_DIFF: a->dump_diff = true; return 0;
  case ARGP_KEY_END:
    if ((a->dump_diff || a->dump_kernel) && a->dumps.n == 0)
      vec_push(arena, &a->dumps, (const char *)"changed");
    return 0;
  case OPT_VERIFY_EACH: a->verify_each = true; return 0;
  case OPT_TIME_PASSES: a->time_passes = true; return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

const struct argp build_argp = {build_options, parse_build, NULL, NULL, NULL, NULL, NULL};

BuildArgs build_args(Tool *t) {
  return (BuildArgs){
      .tool = t,
      .pass = {.opt_level = 2, .winograd = "auto"},
      .codegen = {.emit = EMIT_SHARED, .opt_level = 2},
  };
}

char *build_options_text(const BuildArgs *a) {
  Str s = {.arena = a->tool->arena};
  str_printf(&s, "-O%d", a->pass.opt_level);
  if (a->isas)
    str_printf(&s, " --isa=%s", a->isas);
  else if (a->target)
    str_printf(&s, " --target=%s", a->target);
  if (a->pass.threads) str_printf(&s, " --threads=%d", a->pass.threads);
  if (a->pass.fp_strict) str_puts(&s, " --fp=strict");
  if (a->codegen.check) str_puts(&s, " --check");
  if (strcmp(a->pass.winograd, "auto") != 0) str_printf(&s, " --winograd=%s", a->pass.winograd);
  if (a->weights) str_printf(&s, " --weights=%s", a->weights);
  if (a->tune) str_printf(&s, " --tune=%016llx", (unsigned long long)a->tune_hash);
  if (a->codegen.debug_info) str_puts(&s, " --debug");
  if (a->codegen.instrument) str_puts(&s, " --instrument");
  for (int i = 0; i < a->frontend.dims.n; i++) str_printf(&s, " --dim=%s", a->frontend.dims.data[i]);
  for (int i = 0; i < a->frontend.shapes.n; i++) str_printf(&s, " --shape=%s", a->frontend.shapes.data[i]);
  for (int i = 0; i < a->frontend.states.n; i++) str_printf(&s, " --state=%s", a->frontend.states.data[i]);
  for (int i = 0; i < a->specialize.n; i++) str_printf(&s, " --specialize=%s", a->specialize.data[i]);
  if (a->passes) str_printf(&s, " --passes=%s", a->passes);
  return str_text(&s);
}

typedef Vec(const struct argp_option *) OptionList;

static void list_options(Arena *arena, const struct argp *argp, OptionList *list) {
  for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc); o++)
    vec_push(arena, list, o);
  for (const struct argp_child *c = argp->children; c && c->argp; c++) list_options(arena, c->argp, list);
}

// The option that an argument is, by its full name, an abbreviation, or its letter. NULL: unknown.
static const struct argp_option *option_of(const OptionList *list, const char *arg) {
  size_t n = arg[1] == '-' ? strcspn(arg + 2, "=") : 0;
  for (int i = 0; i < list->n; i++) {
    const struct argp_option *o = list->data[i];
    bool same = n ? o->name && strncmp(o->name, arg + 2, n) == 0 : o->key == arg[1];
    if (same) return o;
  }
  return NULL;
}

static const char *nearest_option(Arena *arena, const OptionList *list, const char *arg) {
  Vec(const char *) names = {0};
  for (int i = 0; i < list->n; i++)
    if (list->data[i]->name) vec_push(arena, &names, list->data[i]->name);
  return nearest_word(arena_strndup(arena, arg + 2, strcspn(arg + 2, "=")), names.data, names.n);
}

// getopt says that it knows no such option, and not which one is like it.
static bool report_misspelt(Tool *t, const struct argp *argp, char **argv) {
  OptionList list = {0};
  list_options(t->arena, argp, &list);
  vec_push(t->arena, &list, &(const struct argp_option){.name = "help"});
  vec_push(t->arena, &list, &(const struct argp_option){.name = "usage"});
  for (char **p = argv + 1; *p && strcmp(*p, "--") != 0; p++) {
    bool is_long = strncmp(*p, "--", 2) == 0;
    const struct argp_option *o = (*p)[0] == '-' ? option_of(&list, *p) : NULL;
    const char *near = is_long && !o ? nearest_option(t->arena, &list, *p) : NULL;
    if (near) {
      fprintf(stderr, "%s: unrecognized option '%s'; did you mean '--%s'?\n", argv[0], *p, near);
      fprintf(stderr, "Try `%s --help' for more information.\n", argv[0]);
      return true;
    }
    bool alone = is_long ? !strchr(*p, '=') : o && !(*p)[2]; // its value is the next argument
    if (o && o->arg && !(o->flags & OPTION_ARG_OPTIONAL) && alone && p[1]) p++;
  }
  return false;
}

bool tool_parse(Tool *t, const struct argp *argp, int argc, char **argv, void *input, int *code) {
  *code = EXIT_USAGE;
  if (report_misspelt(t, argp, argv)) return false;
  error_t e = argp_parse(argp, argc, argv, 0, NULL, input);
  *code = e && e != ECANCELED ? EXIT_USAGE : EXIT_FINE; // cancelled: the option did all there is to do
  return e == 0;
}

char *tool_printf(Tool *t, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  char *s = arena_vprintf(t->arena, fmt, ap);
  va_end(ap);
  return s;
}
