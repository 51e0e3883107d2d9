// target.c: what is fuzzed: reading and translating bytes that claim to be an ONNX model.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Every dimension that has a name gets a bound, or else models that have such would not be translated.
static void bound_dims(Arena *a, const OnnxGraph *g, FrontendOptions *user) {
  Map *seen = map_new(a);
  for (int64_t i = 0; i < g->nin; i++) {
    const OnnxType *t = g->in[i].type;
    const OnnxShape *shape = t && t->tensor ? t->tensor->shape : NULL;
    for (int64_t d = 0; shape && d < shape->ndims; d++) {
      const char *name = shape->dims[d].has & ONNX_HAS_PARAM ? shape->dims[d].param : NULL;
      if (name && name[0] && map_put(seen, name, seen))
        vec_push(a, &user->dims, arena_printf(a, "%s<=4", name));
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  jmp_buf oom;
  Arena *a = arena_new(&oom);
  if (!a) return 0;
  if (!setjmp(oom)) {
    Ctx *c = ctx_new(a, diag_new(a, NULL, false));
    Source *src = NEW(a, Source);
    src->path = "fuzz.onnx";
    OnnxModel *model = onnx_decode_model(a, c->diag, src, data, size);
    FrontendOptions user = {0};
    OnnxOptions o = {.user = &user};
    if (model && model->graph) bound_dims(a, model->graph, &user);
    Module *m = model ? onnx_import(c, model, &o) : NULL;
    if (m) module_verify(m, "import");
  }
  arena_free(a);
  return 0;
}
