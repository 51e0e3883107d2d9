// main.c: runs one end-to-end case: endtoend CASE MODELS.
// SPDX-License-Identifier: Apache-2.0
#include "endtoend.h"

#include "frontend/frontend.h"
#include "passes/passes.h"

#include <stdlib.h>
#include <unistd.h>

static const struct {
  const char *name;
  void (*run)(Test *t);
} CASES[] = {
    {"magika", magika_case},   {"ocr", ocr_case},       {"faces", faces_case},
    {"objects", objects_case}, {"speech", speech_case}, {"notes", notes_case},
};

bool test_fail(Test *t, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vprintf(fmt, ap);
  va_end(ap);
  putchar('\n');
  t->failed = true;
  return false;
}

const char *test_path(Test *t, const char *name) {
  return arena_printf(t->arena, "%s/%s", t->models, name);
}

static Module *load(Test *t, const char *file, const char *option) {
  FrontendOptions o = {0};
  if (option && strncmp(option, "dim:", 4) == 0) vec_push(t->arena, &o.dims, option + 4);
  if (option && strncmp(option, "shape:", 6) == 0) vec_push(t->arena, &o.shapes, option + 6);
  return frontend_load(t->ctx, test_path(t, file), &o);
}

Net net_load(Test *t, const char *file, const char *option) {
  Net n = {.test = t, .module = load(t, file, option)};
  PassOptions po = {.opt_level = 2, .winograd = "auto"};
  CodegenOptions co = {.opt_level = 2};
  if (!n.module) exit(1);
  n.nout = n.module->main->outputs.n;
  if (!passes_run(n.module, &po, NULL, NULL, NULL)) exit(1);
  n.jit = jit_compile(n.module, &co);
  if (!n.jit) exit(1);
  return n;
}

Tensor **net_run(Net *n, const Tensor *const *in) {
  Tensor **out = NEW_ARRAY(n->test->arena, Tensor *, n->nout + 1);
  if (!jit_run(n->jit, in, out, 2)) exit(1);
  return out;
}

const float *floats(const Tensor *t) {
  return t->data;
}

Tensor *float_tensor(Test *t, int rank, const int64_t *dims) {
  Type type = type_make(DT_F32, rank, dims);
  return tensor_new(t->ctx, &type);
}

static int run_case(Test *t, const char *name) {
  for (int i = 0; i < ARRAY_LEN(CASES); i++) {
    if (strcmp(CASES[i].name, name) != 0) continue;
    CASES[i].run(t);
    return t->failed;
  }
  return fprintf(stderr, "no case '%s'\n", name), 2;
}

int main(int argc, char **argv) {
  jmp_buf oom;
  if (argc != 3) return fprintf(stderr, "usage: endtoend CASE MODELS\n"), 2;
  if (access(argv[2], F_OK) != 0) return printf("no trained models at %s: skipped\n", argv[2]), 77;
  Arena *a = arena_new(&oom);
  if (!a || setjmp(oom)) return 70;
  Test t = {.arena = a, .ctx = ctx_new(a, diag_new(a, stderr, false)), .models = argv[2]};
  int status = run_case(&t, argv[1]);
  arena_free(a);
  return status;
}
