// cmd_run.c: `ingot run LIB --input NAME=FILE ...`: runs a compiled library once on files.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tool.h"

#include <stdlib.h>

#include "runtime/ingot.h"
#include "tools/session.h"

enum { OPT_OUTPUT_DIR = 512, OPT_TOP, OPT_LABELS, OPT_PREP };

typedef struct RunArgs {
  BuildArgs build;
  const char *file, *output_dir, *labels, *prep;
  Vec(const char *) inputs, outputs;
  int top;
} RunArgs;

static const struct argp_option options[] = {
    {"input", 'i', "NAME=SOURCE", 0,
     "an input: .npy, .npz, .safetensors, an image (.png .jpg .bmp), a file of raw bytes, or random[:SEED], "
     "zeros, "
     "ones. NAME= may be left out if there is one input",
     0},
    {"output", 'o', "NAME=FILE", 0, "write an output as .npy", 0},
    {"output-dir", OPT_OUTPUT_DIR, "DIR", 0, "write every output as DIR/NAME.npy", 0},
    {"top", OPT_TOP, "K", 0, "print the K largest of a vector of scores (default 5)", 0},
    {"labels", OPT_LABELS, "FILE", 0, "names of the classes, one a line (default: the model's own)", 0},
    {"preprocess", OPT_PREP, "LIST", 0,
     "how images become numbers: scale=1/255,mean=M[:M:M],std=S[:S:S],rgb|bgr (default: the model's own, "
     "else scale=1/255)",
     0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  RunArgs *a = state->input;
  Arena *arena = a->build.tool->arena;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &a->build; return 0;
  case 'i': vec_push(arena, &a->inputs, (const char *)arg); return 0;
  case 'o': vec_push(arena, &a->outputs, (const char *)arg); return 0;
  case OPT_OUTPUT_DIR: a->output_dir = arg; return 0;
  case OPT_TOP:
    a->top = atoi(arg);
    if (a->top < 1) argp_error(state, "--top wants a positive number, not '%s'", arg);
    return 0;
  case OPT_LABELS: a->labels = arg; return 0;
  case OPT_PREP: a->prep = arg; return 0;
  default: return file_option(key, arg, state, &a->file, "library");
  }
}

// ---- results on the terminal ----------------------------------------------------------------------------------

// Line i of a text of lines, without its end; NULL if there are not so many.
static const char *nth_line(Tool *t, const char *text, int64_t i) {
  for (; text && i > 0; i--) {
    text = strchr(text, '\n');
    if (text) text++;
  }
  return text && *text ? arena_strndup(t->arena, text, strcspn(text, "\r\n")) : NULL;
}

static void print_top(Tool *t, const char *name, const Tensor *x, int k, const char *labels) {
  int64_t n = type_elements(&x->type);
  bool *taken = NEW_ARRAY(t->arena, bool, n);
  printf("%s: %s\n", name, type_text(t->ctx, &x->type));
  for (int r = 0; r < k && r < n; r++) {
    int64_t best = -1;
    for (int64_t i = 0; i < n; i++)
      if (!taken[i] && (best < 0 || tensor_get(x, i) > tensor_get(x, best))) best = i;
    taken[best] = true;
    const char *label = nth_line(t, labels, best);
    printf("  %3d. %-24s %12.6g   [%lld]\n", r + 1, label ? label : "", tensor_get(x, best), (long long)best);
  }
}

static void print_summary(Tool *t, const char *name, const Tensor *x) {
  int64_t n = type_elements(&x->type);
  printf("%s: %s\n ", name, type_text(t->ctx, &x->type));
  for (int64_t i = 0; i < n && i < 16; i++) {
    if (dtype_is_float(x->type.dtype))
      printf(" %.6g", tensor_get(x, i));
    else
      printf(" %lld", (long long)tensor_get_int(x, i));
  }
  puts(n > 16 ? " ..." : "");
}

// A vector of scores: float, one dimension longer than 1.
static bool is_scores(const Tensor *x) {
  int64_t n = type_elements(&x->type);
  if (!dtype_is_float(x->type.dtype) || n < 2) return false;
  return x->type.dim[x->type.rank - 1].n == n;
}

static const char *load_labels(RunArgs *a, const Session *s) {
  Tool *t = a->build.tool;
  if (!a->labels) return model_meta(t, s->model, "labels");
  Source *src = source_read(t->arena, t->diag, a->labels);
  return src ? src->text : NULL;
}

// ---- outputs --------------------------------------------------------------------------------------------------

// Output names come from the model; as file names they must stay in the folder.
static char *safe_name(Tool *t, const char *name) {
  char *s = arena_strdup(t->arena, *name ? name : "output");
  for (char *p = s; *p; p++)
    if (*p == '/' || (unsigned char)*p < 32) *p = '_';
  if (*s == '.') *s = '_';
  return s;
}

static bool save_named(RunArgs *a, Session *s) {
  Tool *t = a->build.tool;
  for (int i = 0; i < a->outputs.n; i++) {
    const char *name, *path;
    if (!split_assign(t, a->outputs.data[i], &name, &path)) {
      diag_error(t->diag, NO_LOC, "--output wants NAME=FILE, not '%s'", a->outputs.data[i]);
      return false;
    }
    int k = ingot_find_output(s->model, name);
    if (k < 0) {
      diag_error(t->diag, NO_LOC, "the model has no output '%s'%s", name, session_names(s, true));
      return false;
    }
    if (!tensor_save_npy(t, session_output(s, k), path)) return false;
  }
  return true;
}

static bool save_all(RunArgs *a, Session *s) {
  Tool *t = a->build.tool;
  if (!a->output_dir) return true;
  if (!driver_make_folder(t, a->output_dir)) return false;
  for (int k = 0; k < ingot_output_count(s->model); k++) {
    const char *name = ingot_output_info(s->model, k)->name;
    char *path = tool_printf(t, "%s/%s.npy", a->output_dir, safe_name(t, name));
    if (!tensor_save_npy(t, session_output(s, k), path)) return false;
  }
  return true;
}

static void print_outputs(RunArgs *a, Session *s) {
  Tool *t = a->build.tool;
  const char *labels = load_labels(a, s);
  for (int k = 0; k < ingot_output_count(s->model); k++) {
    const Tensor *x = session_output(s, k);
    const char *name = ingot_output_info(s->model, k)->name;
    if (is_scores(x))
      print_top(t, name, x, a->top, labels);
    else
      print_summary(t, name, x);
  }
}

int cmd_run(Tool *t, int argc, char **argv) {
  static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
  static const struct argp argp = {
      options,     parse,
      "LIB|MODEL", "Run a model once. Results are printed, or written with --output and --output-dir.",
      children,    NULL,
      NULL};
  RunArgs a = {.build = build_args(t), .top = 5};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &a, &code)) return code;
  Session s;
  SessionOptions options = {.prep = a.prep};
  if (!session_open(&a.build, a.file, &options, &s)) return EXIT_INPUT;
  for (int i = 0; i < a.inputs.n; i++)
    if (!session_input_arg(&s, a.inputs.data[i])) return EXIT_INPUT;
  if (!session_bind(&s, false) || !session_run(&s)) return EXIT_INPUT;
  if (!save_named(&a, &s) || !save_all(&a, &s)) return EXIT_INPUT;
  if (a.outputs.n == 0 && !a.output_dir) print_outputs(&a, &s);
  return diag_errors(t->diag) ? EXIT_INPUT : EXIT_FINE;
}
