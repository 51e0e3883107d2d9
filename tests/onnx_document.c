// onnx_document.c: writes docs/onnx-support.md from the operator table and the lists of known failures.
// SPDX-License-Identifier: Apache-2.0
#include "tests/onnx_document.h"
#include "frontend/onnx.h"

#include <stdlib.h>

static const char *const INTRODUCTION =
    "# ONNX operators\n"
    "\n"
    "This page is made by `onnx_conformance --document`; a test fails if it is not up to date.\n"
    "\n"
    "Operators are translated into the core ops of [ops.md](ops.md), with the meaning that they have in the "
    "operator\n"
    "sets which a model imports, 1 to 27 of the default domain. Operators that are functions in a model are "
    "replaced by\n"
    "their bodies. What a model uses and Ingot does not know is reported at once, before anything is "
    "translated.\n"
    "\n"
    "Sizes must be known when a model is compiled, or be bounded symbols: operands that give axes, scales, "
    "pads or\n"
    "shapes must be constants or follow from shapes. Floats of 4 and 8 bits are computed as `f32` and "
    "integers of 2 and 4\n"
    "bits as `i8` and `u8`, rounded to their values; inputs and outputs of the compiled library have these "
    "wider types.\n"
    "Strings exist as constants only, where they end as numbers.\n";

static const char *const CONFORMANCE =
    "\n## Conformance\n"
    "\n"
    "ONNX's backend test data is run through the importer and the evaluator, through code without and code "
    "with\n"
    "optimisation. The data gives all operands as inputs, also those that shape a result. A case is first "
    "compiled as it\n"
    "is; if that fails, with its small integer and bool inputs frozen to their values, then with all small "
    "inputs (256\n"
    "elements) but the first frozen, then with all of them. With all inputs frozen it is mostly the "
    "evaluator that\n"
    "computes the result while compiling, with optimised code there is little left to run: such a pass says "
    "less. Random\n"
    "numbers differ from those in the data; of such cases only types and shapes are compared. Floats may be "
    "off by 1e-3\n"
    "relative and 1e-7 absolute, as upstream; types and shapes must be equal. `light` are nine large "
    "networks "
    "whose weights\n"
    "are constants, run with code only.\n";

static int by_operator(const void *a, const void *b) {
  const OnnxOpInfo *x = a, *y = b;
  int d = strcmp(x->domain, y->domain);
  return d ? d : strcmp(x->name, y->name);
}

static void print_operators(Arena *a) {
  Vec(OnnxOpInfo) ops = {0};
  OnnxOpInfo info;
  for (int i = 0; onnx_op_at(i, &info); i++) vec_push(a, &ops, info);
  qsort(ops.data, (size_t)ops.n, sizeof *ops.data, by_operator);
  for (int i = 0; i < ops.n; i++) {
    const OnnxOpInfo *op = &ops.data[i];
    bool first = i == 0 || strcmp(op->domain, ops.data[i - 1].domain) != 0;
    if (first)
      printf("\n## %s\n\n| operator | |\n|---|---|\n", op->domain[0] ? op->domain : "Default domain");
    printf("| %s | %s%s |\n", op->name, op->unsupported ? "not supported: " : "yes",
           op->unsupported ? op->unsupported : "");
  }
}

// A known list as it is: counts, then cases with their reasons.
static bool print_known(const char *path) {
  FILE *f = fopen(path, "r");
  char line[1024];
  bool title = false, cases = false;
  while (f && fgets(line, sizeof line, f)) {
    size_t n = strcspn(line, ":\n");
    line[strcspn(line, "\n")] = '\0';
    if (line[0] == '#' && !title) {
      printf("\n### %s\n\n| part | |\n|---|---|\n", line + 2);
      title = true;
    } else if (line[0] == '=') {
      printf("| %.*s | %s |\n", (int)n - 2, line + 2, line + n + 2);
    } else if (line[0] && line[0] != '#') {
      if (!cases) printf("\n| does not pass | because |\n|---|---|\n");
      printf("| %.*s | %s |\n", (int)n, line, line + n + 2);
      cases = true;
    }
  }
  if (!f) return fprintf(stderr, "cannot read '%s'\n", path), false;
  fclose(f);
  return true;
}

static const char *const TRAINED =
    "\n## Trained models\n"
    "\n"
    "Models as their authors export them, on real inputs, beside ONNX Runtime with and without its graph "
    "optimisations\n"
    "(`tests/onnx_trained.py`). Differences are norms: of the difference over that of the result, the worst "
    "of all "
    "outputs\n"
    "and runs. Compile times are those of two busy processors. `ctest -R endtoend` checks what most of these "
    "models "
    "say: labels\n"
    "of files, words in photos, boxes of faces and objects, speech, notes.\n"
    "\n";

static bool print_file(const char *path) {
  FILE *f = fopen(path, "r");
  char line[1024];
  while (f && fgets(line, sizeof line, f)) printf("%s", line);
  if (!f) return fprintf(stderr, "cannot read '%s'\n", path), false;
  fclose(f);
  return true;
}

int print_document(Arena *a, const char *trained, const char *const *known, int n) {
  printf("%s", INTRODUCTION);
  print_operators(a);
  printf("%s", CONFORMANCE);
  for (int i = 0; i < n; i++) {
    if (!print_known(known[i])) return 2;
  }
  printf("%s", TRAINED);
  return trained && print_file(trained) ? 0 : 2;
}
