// passes.c: the pass table, in the order of execution, and the loop that runs it.
// SPDX-License-Identifier: Apache-2.0
#include <time.h>

#include "passes/internal.h"

// name, from, to, smallest optimisation level, what it does and why here
static const Pass PASSES[] = {
    {"canonicalize", LEVEL_GRAPH, LEVEL_GRAPH, 1,
     "Rewrites nodes into one form of each thing (constants to the right, no-op casts, reshapes, transposes "
     "and slices away, padding into convolutions). First, so that every later pattern has one shape to "
     "match.",
     pass_canonicalize},
    {"recognize", LEVEL_GRAPH, LEVEL_GRAPH, 1,
     "Finds operations that the model spells out in pieces (gelu, silu, hard swish) and puts the one op in "
     "their place. Before folding, which would hide the constants the patterns look for.",
     pass_recognize},
    {"fold", LEVEL_GRAPH, LEVEL_GRAPH, 1,
     "Computes nodes of constants at compile time: small ones by the evaluator, large ones by compiled code. "
     "Before fold_affine, which wants its weights as constants.",
     pass_fold},
    {"fold_affine", LEVEL_GRAPH, LEVEL_GRAPH, 1,
     "Multiplies batch norms and per-channel scales and shifts into the weights of the product before them. "
     "Before decompose, while batch norm is still one node.",
     pass_fold_affine},
    {"strength", LEVEL_GRAPH, LEVEL_GRAPH, 1,
     "Replaces transposed convolutions by plain ones, phase by phase, and takes means before 1x1 "
     "convolutions. After fold_affine, which puts batch norms into the original weights.",
     pass_strength},
    {"decompose", LEVEL_GRAPH, LEVEL_GRAPH, 0,
     "Replaces ops that are defined by other ops by those. After the passes that want the high-level op.",
     pass_decompose},
    {"simplify", LEVEL_GRAPH, LEVEL_GRAPH, 1,
     "canonicalize and fold again, on what fold_affine and decompose left.", NULL},
    {"cse", LEVEL_GRAPH, LEVEL_GRAPH, 1,
     "Merges nodes that compute the same, and equal constants. After simplify, which makes equal things look "
     "equal.",
     pass_cse},
    {"dce", LEVEL_GRAPH, LEVEL_GRAPH, 1,
     "Drops nodes and constants that nothing uses. Last at this level: fusion counts uses.", pass_dce},
    {"merge_products", LEVEL_GRAPH, LEVEL_GRAPH, 1,
     "Makes one product of those of few rows that share their left operand (queries, keys and values), with "
     "the weights side by side. After dce, for what is not used need not be computed.",
     pass_merge_products},
    {"states", LEVEL_GRAPH, LEVEL_GRAPH, 0,
     "Gives states that grow (caches) the room that they may need, and makes their new values appends. "
     "Before fusion, which would compose a concat into its readers.",
     pass_states},
    {"quantize_weights", LEVEL_GRAPH, LEVEL_GRAPH, 0,
     "With `--weights`: keeps weights of matrix products and tables in fewer bits; what reads them gets the "
     "ops that make f32 of them, which fusion puts into the products. Behind everything that folds "
     "constants.",
     pass_quantize_weights},
    {"fuse", LEVEL_GRAPH, LEVEL_KERNELS, 0,
     "Turns the graph into kernels: composes the tensor expressions of views, element-wise chains, products "
     "with what follows them, and reductions over the same rows. At -O0 one kernel per node.",
     pass_fuse},
    {"attention", LEVEL_KERNELS, LEVEL_KERNELS, 2,
     "Merges scores, softmax and the product with the values into one kernel that works row by row, so that "
     "the score matrix never exists as a whole. After fusion, in whose kernels every way to write attention "
     "looks the same. Not with `--fp=strict`: the weights are divided by their sum last.",
     pass_attention},
    {"layout", LEVEL_KERNELS, LEVEL_KERNELS, 2,
     "Gives values the memory layouts that the products read and write fastest; rows that lie scattered for "
     "a "
     "product with many columns are copied in blocks first. After fusion, which decides which values exist "
     "at all.",
     pass_layout},
    {"schedule", LEVEL_KERNELS, LEVEL_KERNELS, 0,
     "Chooses for every kernel the class of its loop nest and its parameters. After layout, which fixes what "
     "the loops walk over.",
     pass_schedule},
    {"lower", LEVEL_KERNELS, LEVEL_LOOPS, 0, "Writes every kernel as loops, by its schedule.", pass_lower},
    {"memory", LEVEL_LOOPS, LEVEL_LOOPS, 0,
     "Orders the kernels and gives values their place in the arena: reuse, in place where legal, parts "
     "inside wholes. Last, because only the loops show what may share a buffer.",
     pass_memory},
};

// canonicalize and fold feed each other; two rounds reach the fixed point of everything seen so far.
static bool pass_simplify(Module *m, const PassOptions *o) {
  for (int i = 0; i < 2; i++)
    if (!pass_canonicalize(m, o) || !pass_fold(m, o)) return false;
  return true;
}

static bool run_pass(const Pass *p, Module *m, const PassOptions *o) {
  if (!(p->run ? p->run(m, o) : pass_simplify(m, o))) return false;
  module_unique_names(m); // names reach the artefact; a dump has unique ones
  return true;
}

int pass_count(void) {
  return ARRAY_LEN(PASSES);
}

const Pass *pass_at(int i) {
  return &PASSES[i];
}

const Pass *pass_find(const char *name) {
  for (int i = 0; i < ARRAY_LEN(PASSES); i++)
    if (strcmp(PASSES[i].name, name) == 0) return &PASSES[i];
  return NULL;
}

static const char *level_name(Level l) {
  static const char *const names[] = {"graph", "kernels", "loops"};
  return names[l];
}

void passes_document(Str *out) {
  str_puts(
      out,
      "# Passes\n\nIn the order in which they run; each takes a module at one level and leaves it at the "
      "same "
      "or the\nnext one. `--passes=`, `--dump=after:` and `--stop-after=` take these names. This page is "
      "printed from\nthe table in `passes/passes.c`.\n");
  for (int i = 0; i < ARRAY_LEN(PASSES); i++) {
    const Pass *p = &PASSES[i];
    str_printf(out, "\n## %s\n\nFrom %s to %s, at `-O%d` and above.\n\n%s\n", p->name, level_name(p->from),
               level_name(p->to), p->min_opt, p->doc);
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Runs one pass with its hooks.
static bool pass_run(Module *m, const Pass *p, const PassOptions *o, const PassHooks *hooks) {
  if (m->level != p->from) {
    diag_error(m->ctx->diag, NO_LOC, "pass '%s' takes a module at level '%s', but this one is at level '%s'",
               p->name, level_name(p->from), level_name(m->level));
    return false;
  }
  int errors = diag_errors(m->ctx->diag);
  uint64_t before = hooks && hooks->after ? module_fingerprint(m) : 0;
  double start = now();
  if (!run_pass(p, m, o)) return false;
  m->level = p->to;
  vec_push(m->ctx->arena, &m->passes, p->name);
  double seconds = now() - start;
  if (diag_errors(m->ctx->diag) > errors) return false;
  if (hooks && hooks->verify_each && !module_verify(m, p->name)) return false;
  if (!hooks || !hooks->after) return true;
  return hooks->after(hooks->data, m, p, seconds, module_fingerprint(m) != before);
}

// Index behind the last row of the table that the module has been through.
static int first_to_run(const Module *m) {
  int first = 0;
  for (int i = 0; i < m->passes.n; i++) {
    const Pass *p = pass_find(m->passes.data[i]);
    if (p && p - PASSES + 1 > first) first = (int)(p - PASSES) + 1;
  }
  return first;
}

static bool stops_after(const Pass *p, const char *stop_after) {
  return stop_after && strcmp(p->name, stop_after) == 0;
}

static bool run_all(Module *m, const PassOptions *o, const char *stop_after, const PassHooks *hooks) {
  for (int i = first_to_run(m); i < ARRAY_LEN(PASSES); i++) {
    const Pass *p = &PASSES[i];
    bool applies = p->min_opt <= o->opt_level && p->from == m->level;
    if (applies && !pass_run(m, p, o, hooks)) return false;
    if (stops_after(p, stop_after)) break;
  }
  return true;
}

static void unknown_pass(Module *m, const char *name) {
  const char *names[ARRAY_LEN(PASSES)];
  for (int i = 0; i < ARRAY_LEN(PASSES); i++) names[i] = PASSES[i].name;
  const char *near = nearest_word(name, names, ARRAY_LEN(PASSES));
  diag_error(m->ctx->diag, NO_LOC, "there is no pass '%s'", name);
  if (near) diag_note(m->ctx->diag, NO_LOC, "did you mean '%s'?", near);
}

static bool run_list(Module *m, const PassOptions *o, const char *list, const char *stop_after,
                     const PassHooks *hooks) {
  while (*list) {
    size_t n = strcspn(list, ",");
    const char *name = arena_strndup(m->ctx->arena, list, n);
    list += n + (list[n] == ',');
    if (n == 0) continue;
    const Pass *p = pass_find(name);
    if (!p) return unknown_pass(m, name), false;
    if (!pass_run(m, p, o, hooks)) return false;
    if (stops_after(p, stop_after)) break;
  }
  return true;
}

bool passes_run(Module *m, const PassOptions *o, const char *list, const char *stop_after,
                const PassHooks *hooks) {
  if (stop_after && !pass_find(stop_after)) return unknown_pass(m, stop_after), false;
  return list ? run_list(m, o, list, stop_after, hooks) : run_all(m, o, stop_after, hooks);
}
