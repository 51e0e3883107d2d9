// onnx_conformance.c: runs ONNX's backend test data through the importer and the evaluator or compiled code.
// SPDX-License-Identifier: Apache-2.0
//
//   onnx_conformance --document --trained=FILE --known=FILE... prints docs/onnx-support.md.
//   onnx_conformance [--engine=evaluate|O0|O2] [--known=FILE] [--list] [--test=NAME]
//                    [--atol=X] [--steps=N] DIR...
//
// Each DIR holds folders of a model.onnx and test_data_set_* with inputs and expected outputs, or models NAME.onnx
// with their outputs NAME_output_*.pb for inputs that upstream computes ("light" models). A case runs in a process
// of its own, so a crash is a failure like another. FILE names the cases that are known to fail,
// one a line, "name: reason"; the program fails if another one does, or if one of them passes. Lines of FILE that
// begin with "=" say for a DIR how many cases pass in what way; the program fails if that changes.
//
// Operands that shape a result (a list of axes, the scales of a Resize) come as inputs in this data. A static
// compiler needs to know them: where a case does not compile without, its small inputs are frozen to their
// values, no more of them than it takes, and the number of such cases is told. Where random numbers come in, only
// types and shapes of the results can agree with the data; those cases are counted, too.
#include "codegen/codegen.h"
#include "frontend/onnx.h"
#include "frontend/onnx_tensor.h"
#include "passes/passes.h"
#include "tests/child.h"
#include "tests/onnx_document.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  FREEZE_ELEMENTS = 256, // inputs up to this size may be frozen
  CASE_SECONDS = 120,
};
static const double RTOL = 1e-3, ATOL = 1e-7; // upstream's

typedef enum Engine { EVALUATE, COMPILE_O0, COMPILE_O2 } Engine;
// How a case went: the first ones are the levels of freezing, see below.
typedef enum Outcome {
  PASSED,
  PASSED_INTEGERS,
  PASSED_ALL_BUT_FIRST,
  PASSED_ALL,
  PASSED_RANDOM,
  FAILED,
  SKIPPED
} Outcome;
enum { MAX_KNOWN = 4 };

typedef struct Options {
  Engine engine;
  const char *known[MAX_KNOWN], *only, *trained;
  int nknown;
  bool document;
  double atol; // that floats may be off
  int steps;   // that integers may be off
  bool list;
} Options;

// A value of the test data: a tensor, a sequence or nothing.
typedef struct Datum {
  const Tensor *tensor;
  const OnnxTensor *strings;
  bool is_sequence;
  int n;
  struct Datum *items;
} Datum;

typedef struct Case {
  Ctx *ctx;
  OnnxModel *model;
  Options *options;
  OnnxValueInfo *inputs; // those of the model that have no initialiser: the data is for them
  int64_t ninputs;
} Case;

// ---- reading the data -----------------------------------------------------------------------------------------

static bool datum_sequence(Case *k, OnnxFiles *files, const OnnxSequence *s, Datum *d) {
  d->is_sequence = true;
  d->n = (int)(s->ntensors + s->nsequences);
  d->items = NEW_ARRAY(k->ctx->arena, Datum, d->n + 1);
  for (int64_t i = 0; i < s->ntensors; i++) {
    d->items[i].tensor = onnx_tensor(files, NO_LOC, &s->tensors[i]);
    if (!d->items[i].tensor) return false;
  }
  for (int64_t i = 0; i < s->nsequences; i++) {
    if (!datum_sequence(k, files, &s->sequences[i], &d->items[s->ntensors + i])) return false;
  }
  return true;
}

// Reads a file that holds a value of the given type, as the model declares it.
static bool datum_read(Case *k, const char *path, const OnnxType *type, Datum *d) {
  Ctx *c = k->ctx;
  const uint8_t *p;
  size_t n;
  if (!file_map(c->arena, c->diag, NO_LOC, path, &p, &n)) return false;
  Source *src = NEW(c->arena, Source);
  src->path = path;
  OnnxFiles *files = onnx_files_new(c, path, p, n);
  if (type && type->optional) {
    OnnxOptional *o = onnx_decode_optional(c->arena, c->diag, src, p, n);
    if (o && o->sequence) return datum_sequence(k, files, o->sequence, d);
    if (o && o->tensor) d->tensor = onnx_tensor(files, NO_LOC, o->tensor);
    return o && (!o->tensor || d->tensor);
  }
  if (type && type->sequence) {
    OnnxSequence *s = onnx_decode_sequence(c->arena, c->diag, src, p, n);
    return s && datum_sequence(k, files, s, d);
  }
  OnnxTensor *t = onnx_decode_tensor(c->arena, c->diag, src, p, n);
  if (t && t->elem == ONNX_STRING) {
    d->strings = t;
    return true;
  }
  // The data of older sets has bf16 as the u16 with the same bits.
  if (t && type && type->tensor && type->tensor->elem == ONNX_BFLOAT16) t->elem = ONNX_BFLOAT16;
  if (t) d->tensor = onnx_tensor(files, NO_LOC, t);
  return d->tensor != NULL;
}

// Reads PREFIX_0.pb, PREFIX_1.pb ..., one for each value.
static bool read_all(Case *k, const char *prefix, const OnnxValueInfo *values, int64_t n, Datum *out) {
  for (int64_t i = 0; i < n; i++) {
    const char *path = arena_printf(k->ctx->arena, "%s_%lld.pb", prefix, (long long)i);
    if (!datum_read(k, path, values[i].type, &out[i])) return false;
  }
  return true;
}

// The input that upstream gives to models without input files: numbers that rise evenly from 0 to 1; extents with
// a name are 1.
static bool make_ramp(Case *k, const OnnxValueInfo *value, Datum *d) {
  const OnnxTensorType *of = value->type ? value->type->tensor : NULL;
  Type type = {.dtype = DT_F32};
  if (!of || of->elem != ONNX_FLOAT || !of->shape || of->shape->ndims > MAX_RANK) return false;
  type.rank = (int)of->shape->ndims;
  for (int i = 0; i < type.rank; i++) {
    const OnnxDim *dim = &of->shape->dims[i];
    type.dim[i] = dim_const(dim->has & ONNX_HAS_VALUE ? dim->value : 1);
  }
  if (!type_check_size(k->ctx, NO_LOC, &type)) return false;
  Tensor *t = tensor_new(k->ctx, &type);
  int64_t n = type_elements(&type);
  for (int64_t i = 0; i < n; i++) tensor_set(t, i, (double)i / (double)n);
  d->tensor = t;
  return true;
}

// ---- import ---------------------------------------------------------------------------------------------------

static void describe(Case *k, const Datum *d, const char *name, bool freeze, OnnxInput *out) {
  *out = (OnnxInput){.name = name};
  if (d->is_sequence) {
    OnnxInput *items = NEW_ARRAY(k->ctx->arena, OnnxInput, d->n + 1);
    for (int i = 0; i < d->n; i++) {
      describe(k, &d->items[i], arena_printf(k->ctx->arena, "%s_%d", name, i), freeze, &items[i]);
    }
    out->is_sequence = true;
    out->nitems = d->n;
    out->items = items;
  } else if (d->strings) {
    out->strings = d->strings;
  } else if (!d->tensor) {
    out->is_absent = true;
  } else if (freeze && type_elements(&d->tensor->type) <= FREEZE_ELEMENTS) {
    out->frozen = d->tensor;
  } else {
    out->type = &d->tensor->type;
  }
}

// How much is frozen: nothing, small integer inputs, all small inputs but the first, all small inputs.
enum {
  FREEZE_NOTHING = PASSED,
  FREEZE_INTEGERS = PASSED_INTEGERS,
  FREEZE_ALL_BUT_FIRST = PASSED_ALL_BUT_FIRST,
  FREEZE_ALL = PASSED_ALL,
  FREEZE_LEVELS
};

static bool freezes(const Datum *d, int64_t i, int level) {
  DType t = d->tensor ? d->tensor->type.dtype : DT_NONE;
  if (level == FREEZE_INTEGERS) return t != DT_NONE && !dtype_is_float(t);
  return level == FREEZE_ALL || (level == FREEZE_ALL_BUT_FIRST && i > 0);
}

static Module *import(Case *k, const Datum *in, int level) {
  OnnxInput *inputs = NEW_ARRAY(k->ctx->arena, OnnxInput, k->ninputs + 1);
  for (int64_t i = 0; i < k->ninputs; i++)
    describe(k, &in[i], k->inputs[i].name, freezes(&in[i], i, level), &inputs[i]);
  OnnxOptions o = {.inputs = inputs, .ninputs = (int)k->ninputs};
  return onnx_import(k->ctx, k->model, &o);
}

// ---- running and comparing --------------------------------------------------------------------------------------

static void add_named(Case *k, Map *m, const char *name, const Datum *d) {
  for (int i = 0; i < d->n; i++) add_named(k, m, arena_printf(k->ctx->arena, "%s_%d", name, i), &d->items[i]);
  if (d->tensor) map_put(m, name, (void *)d->tensor);
}

static Map *named(Case *k, const OnnxValueInfo *values, int64_t n, const Datum *d) {
  Map *m = map_new(k->ctx->arena);
  for (int64_t i = 0; i < n; i++) add_named(k, m, values[i].name, &d[i]);
  return m;
}

static bool fail(Case *k, const char *text) {
  diag_error(k->ctx->diag, NO_LOC, "%s", text);
  return false;
}

// Are there random numbers? Theirs differ from those that the data was made with.
static bool is_random(const OnnxGraph *g) {
  static const char *const ops[] = {"Bernoulli",    "RandomUniform",    "RandomUniformLike",
                                    "RandomNormal", "RandomNormalLike", "Multinomial",
                                    "Dropout"};
  for (int64_t i = 0; i < g->nnodes; i++) {
    for (int k = 0; k < ARRAY_LEN(ops); k++) {
      if (strcmp(g->nodes[i].op, ops[k]) == 0) return true;
    }
  }
  return false;
}

static bool near(double got, double want, double atol) {
  if (isnan(want)) return isnan(got);
  if (got == want) return true;
  return isfinite(want) && fabs(got - want) <= atol + RTOL * fabs(want);
}

static bool same_int(int64_t got, int64_t want, int steps) {
  return got == want || (steps && llabs(got - want) <= steps);
}

static bool same(Case *k, const char *name, const Tensor *got, const Tensor *want, bool types_only) {
  Arena *a = k->ctx->arena;
  if (!type_equal(&got->type, &want->type)) {
    return fail(k, arena_printf(a, "output '%s' is %s, should be %s", name, type_text(k->ctx, &got->type),
                                type_text(k->ctx, &want->type)));
  }
  if (types_only) return true;
  bool exact = !dtype_is_float(want->type.dtype);
  for (int64_t i = 0, n = type_elements(&want->type); i < n; i++) {
    double x = tensor_get(got, i), y = tensor_get(want, i);
    if (exact ? same_int(tensor_get_int(got, i), tensor_get_int(want, i), k->options->steps)
              : near(x, y, k->options->atol))
      continue;
    return fail(
        k, arena_printf(a, "output '%s': element %lld is %.9g, should be %.9g", name, (long long)i, x, y));
  }
  return true;
}

static bool execute(Case *k, Module *m, const Tensor *const *in, Tensor **out) {
  if (k->options->engine == EVALUATE) return eval_module(m, in, out);
  int level = k->options->engine == COMPILE_O0 ? 0 : 2;
  PassOptions po = {.opt_level = level, .threads = 1, .winograd = "off"};
  CodegenOptions co = {.jobs = 1, .opt_level = level};
  if (!passes_run(m, &po, NULL, NULL, NULL)) return false;
  Jit *j = jit_compile(m, &co);
  return j && jit_run(j, in, out, 1);
}

static bool run(Case *k, Module *m, const Datum *in, const Datum *want, bool types_only) {
  Arena *a = k->ctx->arena;
  const OnnxGraph *g = k->model->graph;
  Map *inputs = named(k, k->inputs, k->ninputs, in), *outputs = named(k, g->out, g->nout, want);
  int nin = m->main->inputs.n, nout = m->main->outputs.n, expected = 0;
  const Tensor **args = NEW_ARRAY(a, const Tensor *, nin + 1);
  const char **names = NEW_ARRAY(a, const char *, nout + 1);
  Tensor **results = NEW_ARRAY(a, Tensor *, nout + 1);
  for (int i = 0; i < nin; i++) args[i] = map_get(inputs, m->main->inputs.data[i]->name);
  for (int i = 0; i < nout; i++) names[i] = m->main->output_names.data[i];
  if (!module_verify(m, "import") || !execute(k, m, args, results)) return false;
  for (int i = 0; i < nout; i++) {
    const Tensor *t = map_get(outputs, names[i]);
    if (!t) return fail(k, arena_printf(a, "an output '%s' that should not be there", names[i]));
    if (!same(k, names[i], results[i], t, types_only)) return false;
    expected++;
  }
  for (int64_t i = 0; i < g->nout; i++) { // a sequence counts for its items
    const Datum *d = &want[i];
    expected -= d->is_sequence ? d->n : d->tensor != NULL;
  }
  return expected == 0 || fail(k, "some outputs are not there");
}

// ---- one case ---------------------------------------------------------------------------------------------------

static Outcome run_module(Case *k, Module *m, const Datum *in, const Datum *want, int level) {
  Diag *loud = k->ctx->diag;
  bool random = is_random(k->model->graph);
  if (random) k->ctx->diag = diag_new(k->ctx->arena, NULL, false);
  bool ok = run(k, m, in, want, false);
  k->ctx->diag = loud;
  if (ok) return (Outcome)level;
  if (!random) return FAILED;
  m = import(k, in, level); // compiling consumed it
  return m && run(k, m, in, want, true) ? PASSED_RANDOM : FAILED;
}

static Outcome run_data(Case *k, const Datum *in, const Datum *want) {
  Diag *loud = k->ctx->diag;
  for (int level = 0; level < FREEZE_LEVELS; level++) {
    bool last = level + 1 == FREEZE_LEVELS;
    if (!last) k->ctx->diag = diag_new(k->ctx->arena, NULL, false);
    Module *m = import(k, in, level);
    k->ctx->diag = loud;
    if (m) return run_module(k, m, in, want, level);
  }
  import(k, in, FREEZE_NOTHING); // the report that a user would get
  return FAILED;
}

static Outcome run_set(Case *k, const char *set) {
  Arena *a = k->ctx->arena;
  const OnnxGraph *g = k->model->graph;
  Datum *in = NEW_ARRAY(a, Datum, k->ninputs + 1), *want = NEW_ARRAY(a, Datum, g->nout + 1);
  if (!read_all(k, arena_printf(a, "%s/input", set), k->inputs, k->ninputs, in)) return FAILED;
  if (!read_all(k, arena_printf(a, "%s/output", set), g->out, g->nout, want)) return FAILED;
  return run_data(k, in, want);
}

static Outcome run_light(Case *k, const char *path) {
  Arena *a = k->ctx->arena;
  const OnnxGraph *g = k->model->graph;
  Datum *in = NEW_ARRAY(a, Datum, k->ninputs + 1), *want = NEW_ARRAY(a, Datum, g->nout + 1);
  const char *prefix = arena_printf(a, "%.*s_output", (int)(strlen(path) - strlen(".onnx")), path);
  for (int64_t i = 0; i < k->ninputs; i++) {
    if (!make_ramp(k, &k->inputs[i], &in[i])) return fail(k, "no data can be made for its inputs"), FAILED;
  }
  return read_all(k, prefix, g->out, g->nout, want) ? run_data(k, in, want) : FAILED;
}

static bool is_model(const char *path) {
  size_t n = strlen(path);
  return n > 5 && strcmp(path + n - 5, ".onnx") == 0;
}

static void find_inputs(Case *k) {
  const OnnxGraph *g = k->model->graph;
  k->inputs = NEW_ARRAY(k->ctx->arena, OnnxValueInfo, g->nin + 1);
  for (int64_t i = 0; i < g->nin; i++) {
    bool given = false;
    for (int64_t n = 0; n < g->ninits; n++) given |= strcmp(g->inits[n].name, g->in[i].name) == 0;
    if (!given) k->inputs[k->ninputs++] = g->in[i];
  }
}

static Outcome run_sets(Case *k, const char *folder) {
  Outcome worst = SKIPPED;
  for (int i = 0;; i++) {
    const char *set = arena_printf(k->ctx->arena, "%s/test_data_set_%d", folder, i);
    if (access(set, F_OK) != 0) return worst;
    Outcome got = run_set(k, set);
    if (got == FAILED) return FAILED;
    if (worst == SKIPPED || got > worst) worst = got;
  }
}

// A case is a folder or a light model.
static Outcome run_case(const char *path, Options *o, FILE *log) {
  jmp_buf oom;
  Arena *a = arena_new(&oom);
  if (!a || setjmp(oom)) return FAILED;
  Case k = {.ctx = ctx_new(a, diag_new(a, log, false)), .options = o};
  k.model = onnx_open(a, k.ctx->diag, NO_LOC, is_model(path) ? path : arena_printf(a, "%s/model.onnx", path));
  if (!k.model) return FAILED;
  find_inputs(&k);
  Outcome got = is_model(path) ? run_light(&k, path) : run_sets(&k, path);
  arena_free(a);
  return got;
}

// The outcome comes back as the exit status, what was reported as text.
static Outcome run_apart(const char *path, Options *o, char *text, size_t room) {
  FILE *log = tmpfile();
  fflush(stdout);
  pid_t pid = log ? fork() : -1;
  if (pid == 0) {
    alarm(CASE_SECONDS);
    Outcome got = run_case(path, o, log);
    fflush(log);
    child_exit((int)got);
  }
  int status = 0;
  text[0] = '\0';
  if (pid < 0 || waitpid(pid, &status, 0) < 0) return FAILED;
  rewind(log);
  size_t n = fread(text, 1, room - 1, log);
  text[n] = '\0';
  text[strcspn(text, "\n")] = '\0';
  fclose(log);
  if (WIFEXITED(status)) return (Outcome)WEXITSTATUS(status);
  snprintf(text, room, "died of signal %d", WTERMSIG(status));
  return FAILED;
}

// ---- all cases --------------------------------------------------------------------------------------------------

typedef struct Tally {
  Map *known;  // name -> anything
  Map *counts; // last part of a folder's name -> text
  int count[SKIPPED + 1], surprises;
} Tally;

static bool read_known(Arena *a, const char *path, Tally *t) {
  FILE *f = fopen(path, "r");
  char line[1024];
  while (f && fgets(line, sizeof line, f)) {
    bool counts = strncmp(line, "= ", 2) == 0;
    const char *name = counts ? line + 2 : line;
    size_t n = strcspn(name, ":\n");
    line[strcspn(line, "\n")] = '\0';
    if (counts && name[n]) map_put(t->counts, arena_strndup(a, name, n), arena_strdup(a, name + n + 2));
    if (!counts && n && line[0] != '#') map_put(t->known, arena_strndup(a, line, n), t);
  }
  if (!f) return fprintf(stderr, "cannot read '%s'\n", path), false;
  fclose(f);
  return true;
}

static void count(Tally *t, const char *name, Outcome got, const char *text, const Options *o) {
  bool known = map_get(t->known, name) != NULL, ok = got < FAILED, surprise = o->nknown && known == ok;
  t->count[got]++;
  t->surprises += surprise;
  if (!ok && (o->list || surprise)) printf("%s: %s\n", name, text);
  if (ok && surprise) printf("%s: passes now, but is in the list of known failures\n", name);
}

// What is said of a folder, in the known list and in the document.
static const char *counts_text(Arena *a, const int *n) {
  int all = n[SKIPPED], frozen = n[PASSED_INTEGERS] + n[PASSED_ALL_BUT_FIRST] + n[PASSED_ALL];
  for (int k = 0; k < SKIPPED; k++) all += n[k];
  return arena_printf(
      a,
      "%d of %d pass: %d as they are, %d with inputs frozen (%d integers, %d all but the first, %d "
      "all), %d by types and shapes alone",
      n[PASSED] + frozen + n[PASSED_RANDOM], all, n[PASSED], frozen, n[PASSED_INTEGERS],
      n[PASSED_ALL_BUT_FIRST], n[PASSED_ALL], n[PASSED_RANDOM]);
}

static void compare_counts(Arena *a, const char *dir, Tally *t, const int *n, const Options *o) {
  const char *slash = strrchr(dir, '/'), *name = slash ? slash + 1 : dir, *text = counts_text(a, n);
  const char *expected = map_get(t->counts, name);
  printf("%s: %s\n", name, text);
  if (o->only || !expected || strcmp(expected, text) == 0) return;
  printf("  the known list says: %s\n", expected);
  t->surprises++;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *d) {
  return d->d_name[0] != '.';
}

static void run_entry(Arena *a, const char *dir, const char *entry, Options *o, Tally *t) {
  const char *path = arena_printf(a, "%s/%s", dir, entry);
  int n = (int)(strlen(entry) - (is_model(path) ? strlen(".onnx") : 0));
  const char *name = arena_printf(a, "%.*s", n, entry);
  char text[512];
  if (!is_model(path) && access(arena_printf(a, "%s/model.onnx", path), F_OK) != 0) return;
  if (o->only && strcmp(o->only, name) != 0) return;
  Outcome got = run_apart(path, o, text, sizeof text);
  count(t, name, got, text, o);
}

static bool run_folder(Arena *a, const char *dir, Options *o, Tally *t) {
  struct dirent **names;
  int n = scandir(dir, &names, visible, by_name);
  if (n < 0) return fprintf(stderr, "cannot read '%s'\n", dir), false;
  Tally start = *t;
  int counts[SKIPPED + 1];
  for (int i = 0; i < n; i++) {
    run_entry(a, dir, names[i]->d_name, o, t);
    free(names[i]);
  }
  free(names);
  for (int k = 0; k <= SKIPPED; k++) counts[k] = t->count[k] - start.count[k];
  compare_counts(a, dir, t, counts, o);
  return true;
}

static bool parse_option(const char *s, Options *o) {
  if (strcmp(s, "--engine=evaluate") == 0) return o->engine = EVALUATE, true;
  if (strcmp(s, "--engine=O0") == 0) return o->engine = COMPILE_O0, true;
  if (strcmp(s, "--engine=O2") == 0) return o->engine = COMPILE_O2, true;
  if (strcmp(s, "--list") == 0) return o->list = true;
  if (strcmp(s, "--document") == 0) return o->document = true;
  if (strncmp(s, "--known=", 8) == 0 && o->nknown < MAX_KNOWN) return o->known[o->nknown++] = s + 8, true;
  if (strncmp(s, "--trained=", 10) == 0) return o->trained = s + 10, true;
  if (strncmp(s, "--atol=", 7) == 0) return o->atol = strtod(s + 7, NULL), true;
  if (strncmp(s, "--steps=", 8) == 0) return o->steps = atoi(s + 8), true;
  if (strncmp(s, "--test=", 7) == 0) return o->only = s + 7, true;
  return false;
}

int main(int argc, char **argv) {
  jmp_buf oom;
  Arena *a = arena_new(&oom);
  if (!a || setjmp(oom)) return 70;
  Options o = {.atol = ATOL};
  Tally t = {.known = map_new(a), .counts = map_new(a)};
  int first = 1;
  for (; first < argc && argv[first][0] == '-'; first++) {
    if (!parse_option(argv[first], &o)) return fprintf(stderr, "unknown option '%s'\n", argv[first]), 2;
  }
  if (o.document) {
    int code = print_document(a, o.trained, o.known, o.nknown);
    arena_free(a);
    return code;
  }
  if (first == argc) return fprintf(stderr, "usage: onnx_conformance [options] DIR...\n"), 2;
  for (int i = 0; i < o.nknown; i++) {
    if (!read_known(a, o.known[i], &t)) return 2;
  }
  for (int i = first; i < argc; i++) {
    if (!run_folder(a, argv[i], &o, &t)) return 77;
  }
  arena_free(a);
  return o.nknown ? t.surprises > 0 : t.count[FAILED] > 0;
}
