// sums.c: errors of long sums: products, reductions, and Winograd's transforms per tile.
// SPDX-License-Identifier: Apache-2.0
//
// The error of a sum depends on its terms. It is given in units of eps times the sum of the terms' absolute values,
// eps being 2^-24: adding n terms one after the other gives at most n of these, in practice about the square root.
#include "tests/numerics/numerics.h"

#include <math.h>
#include <stdlib.h>

static jmp_buf oom; // never set: running out of memory ends the program

void world_open(World *w) {
  Arena *a = arena_new(&oom);
  w->c = ctx_new(a, diag_new(a, stderr, false));
}

void world_close(World *w) {
  arena_free(w->c->arena);
}

static void must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "%s failed\n", what);
  exit(1);
}

// What every kernel that Winograd was chosen for is to do.
static void set_winograd(Module *m, const WinogradForm *form) {
  int kernels = 0;
  for (Node *n = m->main->first; n; n = n->next) {
    Schedule *s = n->kernel ? &n->kernel->schedule : NULL;
    if (!s || !s->kind || strcmp(s->kind, "winograd") != 0) continue;
    kernels++;
    for (int i = 0; i < s->params.n; i++) {
      if (strcmp(s->params.data[i].name, "m") == 0) s->params.data[i].value = form->tile;
      if (strcmp(s->params.data[i].name, "stored") == 0) s->params.data[i].value = form->stored;
    }
  }
  must(kernels > 0, "choosing Winograd");
}

void world_run_module(World *w, Module *m, const Tensor *const *x, Tensor **y, const WinogradForm *form) {
  m->target = target_find(w->c, numerics_target);
  PassOptions o = {.opt_level = 2, .threads = 1, .winograd = form ? "auto" : "off"};
  CodegenOptions co = {.emit = EMIT_OBJECT, .jobs = 1, .opt_level = 2};
  must(passes_run(m, &o, NULL, "schedule", NULL), "scheduling");
  if (form) set_winograd(m, form);
  must(passes_run(m, &o, NULL, NULL, NULL), "lowering");
  Jit *j = jit_compile(m, &co);
  must(j && jit_run(j, x, y, 1), "running");
  jit_close(j);
}

void world_run(World *w, const char *text, const Tensor *const *x, Tensor **y) {
  Module *m = module_parse(w->c, source_from_text(w->c->arena, "numerics.ing", text));
  must(m != NULL, "parsing");
  world_run_module(w, m, x, y, NULL);
}

// ---- convolutions -------------------------------------------------------------------------------------------------

enum { CHANNELS = 64, SIZE = 24 };

static Tensor *noise(Ctx *c, int rank, const int64_t *dims, uint64_t state, double scale) {
  Type t = type_make(DT_F32, rank, dims);
  Tensor *x = tensor_new(c, &t);
  for (int64_t i = 0; i < type_elements(&t); i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    tensor_set(x, i, ((double)(state >> 11) * 0x1p-52 - 1) * scale);
  }
  return x;
}

// The exact sum and the sum of absolute values for one output.
static double conv_error(const Tensor *x, const Tensor *w, const Tensor *y, int co, int h, int v) {
  double sum = 0, all = 0;
  for (int ci = 0; ci < CHANNELS; ci++)
    for (int k = 0; k < 9; k++) {
      int r = h + k / 3 - 1, s = v + k % 3 - 1;
      if (r < 0 || s < 0 || r >= SIZE || s >= SIZE) continue;
      double p = tensor_get(x, ((int64_t)ci * SIZE + r) * SIZE + s) *
                 tensor_get(w, ((int64_t)co * CHANNELS + ci) * 9 + k);
      sum += p;
      all += fabs(p);
    }
  return fabs(tensor_get(y, ((int64_t)co * SIZE + h) * SIZE + v) - sum) / (all * 0x1p-24);
}

static bool check_conv(const char *name, const WinogradForm *form, double bound, bool print) {
  World w;
  world_open(&w);
  Module *m = module_new(w.c, "numerics");
  Graph *g = m->main = graph_new(m, "main", NULL);
  Tensor *x = noise(w.c, 4, (int64_t[]){1, CHANNELS, SIZE, SIZE}, 1, 1), *y;
  Tensor *k = noise(w.c, 4, (int64_t[]){CHANNELS, CHANNELS, 3, 3}, 2, 0.1);
  Value *in = graph_input(g, "x", x->type, NO_LOC), *weight = graph_const(g, "w", k, NO_LOC);
  Builder b = builder_at(g, NULL, NO_LOC);
  Value *out = build(&b, "conv", IN(in, weight), ATTRS(A_INTS("pads", ((int64_t[]){1, 1, 1, 1}), 4)));
  must(out != NULL, "building");
  graph_output(g, "y", out);
  world_run_module(&w, m, (const Tensor *const[]){x}, &y, form);
  double most = 0, mean = 0;
  int n = 0;
  for (int co = 0; co < CHANNELS; co += 5)
    for (int h = 0; h < SIZE; h++)
      for (int v = 0; v < SIZE; v++, n++) {
        double e = conv_error(x, k, y, co, h, v);
        mean += e;
        if (e > most) most = e;
      }
  world_close(&w);
  if (print) printf("| %s | %.2f | %.2f |\n", name, mean / n, most);
  if (most > bound) fprintf(stderr, "%s: error %.2f, allowed: %.2f\n", name, most, bound);
  return most <= bound;
}

// ---- sums -----------------------------------------------------------------------------------------------------------

static bool check_sum(int64_t n, double bound, bool print) {
  World w;
  world_open(&w);
  Tensor *x = noise(w.c, 2, (int64_t[]){64, n}, 3, 1), *y;
  char *text = arena_printf(w.c->arena,
                            "ingot 1 graph\ngraph main(%%x: f32[64,%lld]) {\n  %%y: f32[64] = "
                            "reduce_sum(%%x) axes=[1] keepdims=false\n  return y=%%y\n}\n",
                            (long long)n);
  world_run(&w, text, (const Tensor *const[]){x}, &y);
  double most = 0, mean = 0;
  for (int64_t r = 0; r < 64; r++) {
    double sum = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
      sum += tensor_get(x, r * n + i);
      all += fabs(tensor_get(x, r * n + i));
    }
    double e = fabs(tensor_get(y, r) - sum) / (all * 0x1p-24);
    mean += e / 64;
    if (e > most) most = e;
  }
  world_close(&w);
  if (print) printf("| sum of %lld | %.2f | %.2f |\n", (long long)n, mean, most);
  if (most > bound) fprintf(stderr, "sum of %lld: error %.2f, allowed: %.2f\n", (long long)n, most, bound);
  return most <= bound;
}

// With --fp=strict code adds and rounds as the definition says: the bits are the evaluator's.
static bool check_strict(const char *text, int64_t rows, int64_t cols) {
  World w;
  world_open(&w);
  Tensor *x = noise(w.c, 2, (int64_t[]){rows, cols}, 4, 1), *y, *reference;
  const Tensor *in[] = {x};
  Module *m = module_parse(w.c, source_from_text(w.c->arena, "strict.ing", text));
  must(m && eval_module(m, in, &reference), "evaluating");
  m->target = target_find(w.c, numerics_target);
  PassOptions o = {.opt_level = 2, .threads = 1, .fp_strict = true};
  CodegenOptions co = {.emit = EMIT_OBJECT, .jobs = 1, .opt_level = 2, .fp_strict = true};
  Jit *j = passes_run(m, &o, NULL, NULL, NULL) ? jit_compile(m, &co) : NULL;
  must(j && jit_run(j, in, &y, 1), "running");
  bool same = tensor_equal(reference, y);
  if (!same) fprintf(stderr, "--fp=strict gives other bits than the evaluator:\n%s", text);
  jit_close(j);
  world_close(&w);
  return same;
}

bool check_sums(bool print) {
  if (print) printf("\n| sum | mean error | largest |\n|---|---|---|\n");
  bool ok = check_sum(100, 2, print);
  ok &= check_sum(10000, 2, print);
  ok &= check_conv("3x3 convolution of 64 channels, directly", NULL, 4, print);
  ok &= check_conv("by Winograd, tiles of 2x2", &(WinogradForm){2, true}, 3, print);
  ok &= check_conv("by Winograd, tiles of 4x4", &(WinogradForm){4, true}, 12, print);
  ok &= check_conv("by Winograd, tiles of 2x2, weights transformed on the way", &(WinogradForm){2, false}, 3,
                   print);
  ok &= check_conv("by Winograd, tiles of 4x4, weights transformed on the way", &(WinogradForm){4, false}, 12,
                   print);
  ok &= check_strict("ingot 1 graph\ngraph main(%x: f32[33,33]) {\n  %p: f32[33,33] = matmul(%x, %x)\n  %y: "
                     "f32[33,33] = add(%p, %x)\n"
                     "  return y=%y\n}\n",
                     33, 33);
  ok &= check_strict(
      "ingot 1 graph\ngraph main(%x: f32[20,99]) {\n  %y: f32[20] = reduce_sum(%x) axes=[1] keepdims=false\n"
      "  return y=%y\n}\n",
      20, 99);
  return ok;
}
