// model.c: the description of a model, the texts of error codes, and the table that an artefact offers.
// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#include <stdlib.h>
#include <string.h>

// The first form that this processor can run.
static const ingot_model *first_fit(const ingot_model *m) {
  char missing[64];
  while (m && ingot_cpu_check(m->cpu_features, missing, sizeof missing)) m = m->next_variant;
  return m;
}

static const ingot_model *find_form(const ingot_model *m, const char *isa) {
  while (m && !(m->isa && ingot_same_text(m->isa, isa))) m = m->next_variant;
  return m;
}

// The form of that name if this processor can run it, else NULL.
const ingot_model *ingot_pick_isa(const ingot_model *m, const char *isa) {
  char missing[64];
  m = find_form(m, isa);
  return m && !ingot_cpu_check(m->cpu_features, missing, sizeof missing) ? m : NULL;
}

// The environment variable INGOT_ISA names the form to take of models that have it.
const ingot_model *ingot_api_pick(const ingot_model *m) {
  const char *isa = getenv("INGOT_ISA");
  return isa && find_form(m, isa) ? ingot_pick_isa(m, isa) : first_fit(m);
}

const char *ingot_api_error_text(int code) {
  static const char *const texts[] = {
      [INGOT_OK] = "fine",
      [INGOT_E_ARGUMENT] = "wrong argument",
      [INGOT_E_SHAPE] = "wrong shape",
      [INGOT_E_DTYPE] = "wrong element type",
      [INGOT_E_BYTES] = "buffer too small",
      [INGOT_E_ALIGN] = "address not aligned",
      [INGOT_E_UNSET] = "an input or output was not set",
      [INGOT_E_BUSY] = "the context is in use by another thread",
      [INGOT_E_MEMORY] = "out of memory",
      [INGOT_E_THREADS] = "threads could not be started",
      [INGOT_E_DATA] = "the data leads outside what the model allows",
      [INGOT_E_FILE] = "the file cannot be read",
      [INGOT_E_FORMAT] = "wrong or damaged format",
      [INGOT_E_ARCH] = "made for another architecture",
      [INGOT_E_CPU] = "this processor lacks an instruction set that the model needs",
      [INGOT_E_ABI] = "made for another version of the interface",
      [INGOT_E_WEIGHTS] = "the weights file is missing or does not belong to the model",
      [INGOT_E_INDEX] = "an index lies outside its buffer",
      [INGOT_E_NAN] = "a NaN is born: the operands have none, a result has",
  };
  return code >= 0 && (size_t)code < sizeof texts / sizeof texts[0] ? texts[code] : "unknown error";
}

static const char *model_name(const ingot_model *m) {
  return m->name;
}
static const char *model_metadata(const ingot_model *m) {
  return m->metadata;
}
static int32_t input_count(const ingot_model *m) {
  return m->n_inputs;
}
static int32_t output_count(const ingot_model *m) {
  return m->n_outputs;
}
static int32_t symbol_count(const ingot_model *m) {
  return m->n_symbols;
}
static int32_t step_count(const ingot_model *m) {
  return m->n_steps;
}

static const struct ingot_tensor_info *input_info(const ingot_model *m, int32_t i) {
  return i >= 0 && i < m->n_inputs ? &m->inputs[i] : NULL;
}

static const struct ingot_tensor_info *output_info(const ingot_model *m, int32_t i) {
  return i >= 0 && i < m->n_outputs ? &m->outputs[i] : NULL;
}

static const struct ingot_symbol *symbol_info(const ingot_model *m, int32_t i) {
  return i >= 0 && i < m->n_symbols ? &m->symbols[i] : NULL;
}

static const char *step_name(const ingot_model *m, int32_t i) {
  return i >= 0 && i < m->n_steps ? m->steps[i].name : NULL;
}

static int step_info(const ingot_model *m, int32_t i, struct ingot_step_info *info) {
  if (i < 0 || i >= m->n_steps || !info || info->size < sizeof info->size) return INGOT_E_ARGUMENT;
  const struct ingot_step *s = &m->steps[i];
  struct ingot_step_info all = {info->size, s->name, s->source, s->flops, s->bytes, s->scratch};
  memcpy(info, &all, info->size < sizeof all ? (size_t)info->size : sizeof all);
  return INGOT_OK;
}

static void *step_arg(const ingot_ctx *c, int32_t step, int32_t k, const struct ingot_tensor_info **info) {
  const struct ingot_model *m = c->model;
  if (info) *info = NULL;
  if (step < 0 || step >= m->n_steps || k < 0 || k >= m->steps[step].n_args) return NULL;
  int32_t a = m->steps[step].first_arg + k;
  if (info && m->args[a].tensor >= 0) *info = &m->tensors[m->args[a].tensor];
  return c->buf[a];
}

static const char *last_error(const ingot_ctx *c) {
  return c ? c->error : "";
}
static const ingot_model *ctx_model(const ingot_ctx *c) {
  return c->model;
}

static const char *model_isa(const ingot_model *m) {
  return m->isa ? m->isa : "";
}

static int check_cpu(const ingot_model *m, char *missing, uint64_t size) {
  return ingot_cpu_check(m->cpu_features, missing, (size_t)size);
}

static const struct ingot_probe *probes(const ingot_ctx *c, int32_t thread) {
  const ingot_model *m = c->model;
  if (!(m->flags & INGOT_MODEL_PROBES) || thread < 0 || thread >= c->threads) return NULL;
  uint64_t at = (uint64_t)m->scratch_bytes - (uint64_t)m->n_steps * sizeof(struct ingot_probe);
  return (const struct ingot_probe *)(const void *)(c->scratch + (uint64_t)thread * c->scratch_stride + at);
}

const struct ingot_api ingot_runtime_api = {
    .size = sizeof(struct ingot_api),
    .ctx_bytes = ingot_api_ctx_bytes,
    .ctx_create = ingot_api_ctx_create,
    .ctx_destroy = ingot_api_ctx_destroy,
    .set_input = ingot_api_set_input,
    .set_output = ingot_api_set_output,
    .set_symbol = ingot_api_set_symbol,
    .get_symbol = ingot_api_get_symbol,
    .output_shape = ingot_api_output_shape,
    .output_data = ingot_api_output_data,
    .run = ingot_api_run,
    .last_error = last_error,
    .error_text = ingot_api_error_text,
    .model_name = model_name,
    .model_metadata = model_metadata,
    .input_count = input_count,
    .output_count = output_count,
    .symbol_count = symbol_count,
    .input_info = input_info,
    .output_info = output_info,
    .symbol_info = symbol_info,
    .state_bytes = ingot_api_state_bytes,
    .state_reset = ingot_api_state_reset,
    .state_save = ingot_api_state_save,
    .state_restore = ingot_api_state_restore,
    .step_count = step_count,
    .step_name = step_name,
    .step_arg = step_arg,
    .check_cpu = check_cpu,
    .pick = ingot_api_pick,
    .ctx_model = ctx_model,
    .model_isa = model_isa,
    .step_info = step_info,
    .probes = probes,
};
