// cmd_verify.c: `ingot verify MODEL`: compiled code against the meaning of the language.
// SPDX-License-Identifier: Apache-2.0
//
// The reference is the evaluator, which walks the ops' definitions; for models too large for it, code
// compiled without any optimisation. Each optimisation level is run and its outputs compared. Where one
// departs, the search goes on: does the module still mean the same after the graph passes? If not, which
// pass changed it; if so, the first kernel whose compiled code does not compute what the kernel says.
#include <stdlib.h>

#include "tools/compare.h"
#include "tools/tool.h"

enum { OPT_TOLERANCE = 512, OPT_REFERENCE, OPT_VALUES, OPT_BISECT };

typedef enum Reference { REF_AUTO, REF_EVALUATOR, REF_O0 } Reference;

typedef struct Verify {
  BuildArgs build;
  Tool *tool;
  const char *file;
  Vec(const char *) input_args;
  double tolerance; // negative: by type
  Reference reference;
  bool values, bisect;
  const Tensor **in;
  int nout;
  Tensor **want; // the reference's outputs
  bool departed;
} Verify;

// Work the evaluator is trusted with before unoptimised code stands in for it: about a minute.
#define EVALUATOR_FLOPS 3e8

static const struct argp_option options[] = {
    {"input", 'i', "NAME=SOURCE", 0, "as for `ingot run`; inputs not given are random", 0},
    {"tolerance", OPT_TOLERANCE, "X", 0,
     "largest error allowed, relative to the largest magnitude in the tensor (default: f64 1e-10, f32 1e-4, "
     "f16 "
     "1e-2, bf16 5e-2, integers 0)",
     0},
    {"reference", OPT_REFERENCE, "evaluator|O0", 0,
     "what to compare with (default: the evaluator, for large models code without optimisation)", 0},
    {"values", OPT_VALUES, NULL, 0, "compare every kernel's results too, and print them all", 0},
    {"bisect", OPT_BISECT, NULL, 0, "evaluate the module after every pass and name the first that changes it",
     0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  Verify *v = state->input;
  char *end;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &v->build; return 0;
  case 'i': vec_push(v->tool->arena, &v->input_args, (const char *)arg); return 0;
  case OPT_TOLERANCE:
    v->tolerance = strtod(arg, &end);
    if (end == arg || *end || !(v->tolerance >= 0))
      argp_error(state, "--tolerance wants a number from 0 on, not '%s'", arg);
    return 0;
  case OPT_REFERENCE:
    if (strcmp(arg, "evaluator") != 0 && strcmp(arg, "O0") != 0)
      argp_error(state, "--reference is evaluator or O0, not '%s'", arg);
    v->reference = *arg == 'e' ? REF_EVALUATOR : REF_O0;
    return 0;
  case OPT_VALUES: v->values = true; return 0;
  case OPT_BISECT: v->bisect = true; return 0;
  default: return file_option(key, arg, state, &v->file, "model");
  }
}

// ---- inputs -----------------------------------------------------------------------------------------------

static bool given_input(Verify *v, const Graph *g, const char *arg) {
  Tool *t = v->tool;
  const char *name = NULL, *source = arg;
  bool named = split_assign(t, arg, &name, &source);
  ImagePrep prep = image_prep_default();
  for (int i = 0; i < g->inputs.n; i++) {
    const Value *in = g->inputs.data[i];
    if (named ? strcmp(in->name, name) != 0 : g->inputs.n != 1) continue;
    v->in[i] = tensor_load(t, in->name, source, &in->type, in->limit, &prep);
    return v->in[i] != NULL;
  }
  if (named)
    diag_error(t->diag, NO_LOC, "the model has no input '%s'", name);
  else
    diag_error(t->diag, NO_LOC, "--input wants NAME=SOURCE, not '%s'", arg);
  return false;
}

// What a state holds before the run: as much as leaves room for what the run adds.
static Type filled_state(const Module *m, int input) {
  const Graph *g = m->main;
  Ctx *c = m->ctx;
  Type t = g->inputs.data[input]->type;
  const State *s = state_of_input(g, input);
  const Sym *sym;
  const Expr *next;
  int axis = s ? state_growth(g, s, &sym, &next) : -1;
  int64_t lo, hi;
  if (axis < 0) return t;
  const Expr *added = ex_sub(c, next, ex_sym(c, sym));
  bool known = expr_bounds(c, added, NULL, &lo, &hi);
  t.dim[axis] = dim_const(known && hi >= 0 && hi < sym->max ? sym->max - hi : 0);
  return t;
}

static bool make_inputs(Verify *v, const Module *m) {
  const Graph *g = m->main;
  ImagePrep prep = image_prep_default();
  v->in = NEW_ARRAY(v->tool->arena, const Tensor *, g->inputs.n + 1);
  for (int i = 0; i < v->input_args.n; i++)
    if (!given_input(v, g, v->input_args.data[i])) return false;
  for (int i = 0; i < g->inputs.n; i++) {
    const Value *in = g->inputs.data[i];
    Type type = filled_state(m, i);
    if (!v->in[i]) v->in[i] = tensor_load(v->tool, in->name, "random", &type, in->limit, &prep);
    if (!v->in[i]) return false;
  }
  return true;
}

// ---- values by name ---------------------------------------------------------------------------------------

// What a run computed, by the values' names.
typedef struct Values {
  Arena *arena;
  Map *by_name;
} Values;

// The evaluator reuses a value's memory once nothing needs it: hence the copy.
static void keep_value(void *data, const Value *value, const Tensor *x) {
  Values *values = data;
  if (!value->name) return;
  Tensor *copy = arena_dup(values->arena, x, sizeof *x);
  copy->data = arena_dup(values->arena, x->data, x->bytes);
  map_put(values->by_name, value->name, copy);
}

static bool has_output(const Graph *g, const Value *value) {
  for (int i = 0; i < g->outputs.n; i++)
    if (g->outputs.data[i] == value) return true;
  return false;
}

// Makes every kernel's results outputs of the module, so that compiled code shows them.
static void expose_values(Module *m) {
  const int64_t most_bytes = (int64_t)1 << 31;
  int64_t bytes = 0;
  for (const Node *n = m->main->first; n; n = n->next) {
    for (int k = 0; k < n->nout; k++) {
      Value *value = n->out[k];
      if (!value || !value->name || has_output(m->main, value)) continue;
      bytes += type_bytes(&value->type);
      if (bytes > most_bytes) return;
      graph_output(m->main, value->name, value);
    }
  }
}

// ---- running ----------------------------------------------------------------------------------------------

// The module after the passes up to fusion at level `opt`: the kernels of the compilation.
static Module *fused_module(Verify *v, int opt) {
  BuildArgs b = v->build;
  b.pass.opt_level = opt;
  b.stop_after = "fuse";
  Module *m = driver_load(&b, v->file);
  return m && driver_passes(&b, m) ? m : NULL;
}

// Runs the remaining passes at level `opt` and the code that comes out.
static bool compiled_run(Verify *v, Module *m, int opt, int threads, Tensor **out) {
  BuildArgs b = v->build;
  b.pass.opt_level = b.codegen.opt_level = opt;
  if (!driver_passes(&b, m)) return false;
  Jit *jit = jit_compile(m, &b.codegen);
  return jit && jit_run(jit, v->in, out, threads);
}

static Tensor **new_outputs(Verify *v, const Module *m) {
  return NEW_ARRAY(v->tool->arena, Tensor *, m->main->outputs.n + 1);
}

// The unoptimised code of a module's kernels stands in for the evaluator when that would take too long.
static bool reference_values(Verify *v, Module *m, int opt, Values *values) {
  if (v->reference == REF_EVALUATOR)
    return eval_module_watch(m, v->in, new_outputs(v, m), keep_value, values);
  Module *twin = fused_module(v, opt);
  if (!twin) return false;
  expose_values(twin);
  Tensor **out = new_outputs(v, twin);
  if (!compiled_run(v, twin, 0, 1, out)) return false;
  for (int i = 0; i < twin->main->outputs.n; i++) keep_value(values, twin->main->outputs.data[i], out[i]);
  return true;
}

// ---- reporting --------------------------------------------------------------------------------------------

static bool within(const Verify *v, DType t, const Difference *d) {
  return d->same_type && d->norm <= (v->tolerance >= 0 ? v->tolerance : compare_tolerance(t));
}

static void print_head(void) {
  printf("%-24s %-24s %10s %10s %10s  verdict\n", "", "value", "max abs", "max rel", "max ulp");
}

static bool print_difference(const Verify *v, const char *what, const char *name, const Tensor *want,
                             const Tensor *got) {
  Difference d = tensor_compare(want, got);
  if (!d.same_type) {
    printf("%-24s %-24s %s against %s  DEPARTS\n", what, name, type_text(v->tool->ctx, &want->type),
           type_text(v->tool->ctx, &got->type));
    return false;
  }
  bool ok = within(v, want->type.dtype, &d);
  printf("%-24s %-24s %10.3g %10.3g %10.3g  %s", what, name, d.abs, d.rel, d.ulp,
         d.unequal == 0 ? "equal"
         : ok           ? "fine"
                        : "DEPARTS");
  if (!ok)
    printf(" at element %lld: %.9g, not %.9g", (long long)d.at, tensor_get(got, d.at),
           tensor_get(want, d.at));
  putchar('\n');
  return ok;
}

static bool compare_outputs(const Verify *v, const Module *m, const char *what, Tensor *const *got) {
  bool ok = true;
  for (int i = 0; i < v->nout; i++)
    ok &= print_difference(v, what, m->main->output_names.data[i], v->want[i], got[i]);
  return ok;
}

// ---- the search -------------------------------------------------------------------------------------------

static bool same_outputs(const Verify *v, Tensor *const *got) {
  bool ok = true;
  for (int i = 0; i < v->nout; i++) {
    Difference d = tensor_compare(v->want[i], got[i]);
    ok &= within(v, v->want[i]->type.dtype, &d);
  }
  return ok;
}

typedef struct Bisection {
  Verify *verify;
  const char *first_bad; // pass
} Bisection;

static bool evaluate_after(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  Bisection *b = data;
  (void)seconds;
  if (!changed && !b->verify->values) return true;
  Tensor **out = new_outputs(b->verify, m);
  if (!eval_module(m, b->verify->in, out)) return false;
  compare_outputs(b->verify, m, tool_printf(b->verify->tool, "after %s", p->name), out);
  if (!b->first_bad && !same_outputs(b->verify, out)) b->first_bad = p->name;
  return true;
}

// Evaluates the module after each pass of level `opt`. NULL: all passes keep its meaning.
static bool find_bad_pass(Verify *v, int opt, const char **pass) {
  BuildArgs b = v->build;
  b.pass.opt_level = opt;
  Bisection bisection = {.verify = v};
  PassHooks hooks = {.after = evaluate_after, .data = &bisection};
  Module *m = driver_load(&b, v->file);
  if (!m || !passes_run(m, &b.pass, b.passes, NULL, &hooks)) return false;
  *pass = bisection.first_bad;
  return true;
}

static const Node *maker(const Module *m, const char *name) {
  for (const Node *n = m->main->first; n; n = n->next)
    for (int k = 0; k < n->nout; k++)
      if (n->out[k] && n->out[k]->name && strcmp(n->out[k]->name, name) == 0) return n;
  return NULL;
}

static void name_culprit(Verify *v, const Module *m, const char *name) {
  const Node *n = maker(m, name);
  Loc loc = n && n->origins.n ? n->origins.data[0].loc : n ? n->loc : NO_LOC;
  diag_error(v->tool->diag, loc, "the compiled code of '%s' departs from its definition", name);
  for (int i = 0; n && i < n->origins.n; i++)
    diag_note(v->tool->diag, n->origins.data[i].loc, "it computes %s", n->origins.data[i].name);
}

// Compares what each kernel of level `opt` computes with what its definition says, in order.
static bool compare_kernels(Verify *v, int opt) {
  char *what = tool_printf(v->tool, "-O%d kernel", opt);
  Values want = {v->tool->arena, map_new(v->tool->arena)};
  Module *m = fused_module(v, opt);
  if (!m || !reference_values(v, m, opt, &want)) return false;
  expose_values(m);
  int n = m->main->outputs.n;
  const Value **shown = NEW_ARRAY(v->tool->arena, const Value *, n + 1);
  for (int i = 0; i < n; i++) shown[i] = m->main->outputs.data[i];
  Tensor **out = new_outputs(v, m);
  if (!compiled_run(v, m, opt, 1, out)) return false;
  const char *first = NULL;
  for (int i = v->nout; i < n + v->nout; i++) { // the model's own outputs last: they come last
    const Value *value = shown[i % n];
    const Tensor *x = value->name ? map_get(want.by_name, value->name) : NULL;
    if (!x) continue;
    Difference d = tensor_compare(x, out[i % n]);
    bool ok = within(v, x->type.dtype, &d);
    if (v->values || (!ok && !first)) print_difference(v, what, value->name, x, out[i % n]);
    if (!ok && !first) first = value->name;
  }
  if (first) name_culprit(v, m, first);
  return first == NULL;
}

static void search(Verify *v, int opt) {
  const char *pass = NULL;
  Tool *t = v->tool;
  if (v->reference == REF_EVALUATOR && !find_bad_pass(v, opt, &pass)) return;
  if (pass)
    diag_error(t->diag, NO_LOC, "pass '%s' at -O%d changes what the model computes", pass, opt);
  else if (compare_kernels(v, opt))
    diag_error(t->diag, NO_LOC, "at -O%d each kernel is right by itself: suspect the memory plan", opt);
}

// ---- the command ------------------------------------------------------------------------------------------

static bool compute_reference(Verify *v) {
  Module *m = driver_load(&v->build, v->file);
  if (!m || !make_inputs(v, m)) return false;
  if (v->reference == REF_AUTO)
    v->reference = graph_flops(v->tool->ctx, m->main) <= EVALUATOR_FLOPS ? REF_EVALUATOR : REF_O0;
  v->nout = m->main->outputs.n;
  v->want = new_outputs(v, m);
  printf("%s: reference is %s\n", m->name,
         v->reference == REF_O0 ? "code without optimisation" : "the evaluator");
  fflush(stdout);
  return v->reference == REF_O0 ? compiled_run(v, m, 0, 1, v->want) : eval_module(m, v->in, v->want);
}

static bool same_bits(const Verify *v, Tensor *const *a, Tensor *const *b) {
  bool same = true;
  for (int i = 0; i < v->nout; i++) same &= tensor_equal(a[i], b[i]);
  return same;
}

// Outputs must not depend on the number of threads.
static bool check_threads(Verify *v, Jit *jit, Tensor *const *one, int opt) {
  bool same = true;
  for (int threads = 2; threads <= 3; threads++) {
    Tensor **out = NEW_ARRAY(v->tool->arena, Tensor *, v->nout + 1);
    if (!jit_run(jit, v->in, out, threads)) return false;
    same &= same_bits(v, one, out);
  }
  printf("-O%d: 1, 2 and 3 threads %s\n", opt, same ? "give the same bits" : "DIFFER");
  return same;
}

static bool verify_level(Verify *v, int opt) {
  BuildArgs b = v->build;
  b.pass.opt_level = b.codegen.opt_level = opt;
  Module *m = driver_load(&b, v->file);
  if (!m || !driver_passes(&b, m)) return false;
  Jit *jit = jit_compile(m, &b.codegen);
  Tensor **out = new_outputs(v, m);
  if (!jit || !jit_run(jit, v->in, out, 1)) return false;
  bool ok = compare_outputs(v, m, tool_printf(v->tool, "-O%d output", opt), out);
  v->departed |= !ok | !check_threads(v, jit, out, opt);
  if (!ok)
    search(v, opt);
  else if (v->values)
    v->departed |= !compare_kernels(v, opt);
  return true;
}

static bool verify(Verify *v) {
  int opt = v->build.pass.opt_level;
  if (!compute_reference(v)) return false;
  print_head();
  const char *pass = NULL;
  if (v->bisect && !find_bad_pass(v, opt, &pass)) return false;
  if (pass) diag_error(v->tool->diag, NO_LOC, "pass '%s' changes what the model computes", pass);
  v->departed |= pass != NULL;
  if (v->reference == REF_EVALUATOR && opt > 0 && !verify_level(v, 0)) return false;
  return verify_level(v, opt);
}

// The same for each form of --specialize or of the model's own, with inputs of its extents.
static bool verify_forms(Verify *v) {
  SpecialBuild *forms;
  int n;
  Module *m = driver_load(&v->build, v->file);
  if (!m || !special_builds(&v->build, m, &forms, &n)) return false;
  for (int i = 0; i < n && !v->input_args.n; i++) {
    Verify form = {.build = forms[i].args,
                   .tool = v->tool,
                   .file = v->file,
                   .tolerance = v->tolerance,
                   .reference = v->reference,
                   .values = v->values,
                   .bisect = v->bisect};
    printf("with %s\n", forms[i].name);
    if (!verify(&form)) return false;
    v->departed |= form.departed;
  }
  return true;
}

int cmd_verify(Tool *t, int argc, char **argv) {
  static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
  static const struct argp argp = {
      options,
      parse,
      "MODEL",
      "Compare compiled code, unoptimised and optimised, with the reference evaluator. Exit code 70 if it "
      "departs, which is a bug of ours. Forms that --specialize or the model asks for are compared, too, "
      "unless inputs "
      "are given.",
      children,
      NULL,
      NULL};
  Verify v = {.build = build_args(t), .tool = t, .tolerance = -1};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &v, &code)) return code;
  bool ran = verify(&v) && verify_forms(&v);
  t->bug |= v.departed;
  return ran && !v.departed ? EXIT_FINE : EXIT_INPUT;
}
