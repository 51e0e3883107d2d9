// symbols.c: the values of a model's bounded symbols: from inputs, derived, set by steps, kept between runs.
// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#include <string.h>

static const struct ingot_symbol *symbol(const ingot_ctx *c, int32_t s) {
  return &c->model->symbols[s];
}

void ingot_symbols_init(ingot_ctx *c) {
  for (int32_t s = 0; s < c->model->n_symbols; s++) {
    c->has_step_symbols |= symbol(c, s)->kind == INGOT_SYM_STEP;
    c->next_sym[s] = c->sym[s] = symbol(c, s)->min;
  }
}

bool ingot_symbol_settled(const ingot_ctx *c, int32_t s) {
  int32_t kind = symbol(c, s)->kind;
  return kind != INGOT_SYM_STEP && !(kind == INGOT_SYM_DERIVED && c->has_step_symbols);
}

static void derive(ingot_ctx *c) {
  if (c->model->shapes) c->model->shapes(c->sym);
}

// The first DERIVED symbol out of its range, or -1: a joint limit such as past + length <= 512 does not
// follow from the ranges of the others.
static int32_t derived_out_of_range(const ingot_ctx *c) {
  for (int32_t s = 0; s < c->model->n_symbols; s++)
    if (symbol(c, s)->kind == INGOT_SYM_DERIVED &&
        (c->sym[s] < symbol(c, s)->min || c->sym[s] > symbol(c, s)->bound))
      return s;
  return -1;
}

static int derive_checked(ingot_ctx *c) {
  derive(c);
  int32_t bad = derived_out_of_range(c);
  if (bad < 0) return INGOT_OK;
  const struct ingot_symbol *s = symbol(c, bad);
  return ingot_ctx_fail(c, INGOT_E_SHAPE, "'%s' would be %lld, the model allows %lld to %lld", s->name,
                        (long long)c->sym[bad], (long long)s->min, (long long)s->bound);
}

// ---- before a run ------------------------------------------------------------------------------------

static int from_extent(ingot_ctx *c, int32_t s) {
  const struct ingot_symbol *y = symbol(c, s);
  int64_t extent = c->in[y->input].dims[y->dim];
  int64_t value = (extent - y->add) / y->mul;
  if (value * y->mul + y->add == extent && value >= y->min && value <= y->bound) {
    c->sym[s] = value;
    return INGOT_OK;
  }
  return ingot_ctx_fail(
      c, INGOT_E_SHAPE, "input '%s': extent %d is %lld, the model allows %lld to %lld%s (%s)",
      c->model->inputs[y->input].name, y->dim, (long long)extent, (long long)(y->min * y->mul + y->add),
      (long long)(y->bound * y->mul + y->add), y->mul > 1 ? " in steps" : "", y->name);
}

static int check_extents(ingot_ctx *c, int32_t i) {
  const struct ingot_tensor_info *t = &c->model->inputs[i];
  for (int32_t d = 0; d < t->rank; d++) {
    int64_t want = ingot_dim_value(&t->dims[d], c->sym);
    if (c->in[i].dims[d] == want) continue;
    return ingot_ctx_fail(
        c, INGOT_E_SHAPE, "input '%s': extent %d is %lld, but %lld follows from the other extents (%s)",
        t->name, d, (long long)c->in[i].dims[d], (long long)want, symbol(c, t->dims[d].sym)->name);
  }
  return INGOT_OK;
}

int ingot_symbols_from_inputs(ingot_ctx *c) {
  int code = INGOT_OK;
  for (int32_t s = 0; s < c->model->n_symbols && !code; s++) {
    if (symbol(c, s)->kind == INGOT_SYM_INPUT) code = from_extent(c, s);
    if (ingot_symbol_kept(c->model, s)) c->sym[s] = c->next_sym[s];
    if (symbol(c, s)->kind == INGOT_SYM_STEP) c->sym[s] = symbol(c, s)->bound;
  }
  if (!code) code = derive_checked(c);
  for (int32_t i = 0; i < c->model->n_inputs && !code; i++) code = check_extents(c, i);
  return code;
}

static int check_value(ingot_ctx *c, int32_t s, int64_t value) {
  const struct ingot_symbol *y = symbol(c, s);
  if (value >= y->min && value <= y->bound) return INGOT_OK;
  return ingot_ctx_fail(c, INGOT_E_SHAPE, "'%s' is %lld, the model allows %lld to %lld", y->name,
                        (long long)value, (long long)y->min, (long long)y->bound);
}

int ingot_symbols_from_values(ingot_ctx *c, const int64_t *values) {
  for (int32_t s = 0; s < c->model->n_symbols; s++) {
    int32_t kind = symbol(c, s)->kind;
    if (kind == INGOT_SYM_STEP) c->sym[s] = symbol(c, s)->bound;
    if (kind == INGOT_SYM_STATE) c->sym[s] = c->next_sym[s];
    if (kind != INGOT_SYM_INPUT && kind != INGOT_SYM_CALLER) continue;
    if (!values) return ingot_ctx_fail(c, INGOT_E_ARGUMENT, "no value given for '%s'", symbol(c, s)->name);
    int code = check_value(c, s, *values);
    if (code) return code;
    c->next_sym[s] = c->sym[s] = *values++;
  }
  return derive_checked(c);
}

// ---- during a run ------------------------------------------------------------------------------------

// With nothing newly bound only the symbols that the last run's steps set must go back to their bounds.
void ingot_symbols_start_run(ingot_ctx *c) {
  if (!c->has_step_symbols) return;
  for (int32_t s = 0; s < c->model->n_symbols; s++)
    if (symbol(c, s)->kind == INGOT_SYM_STEP) c->sym[s] = symbol(c, s)->bound;
  derive(c);
}

// What a step gives to a CALLER symbol is seen by the next run: all steps of a run agree on its value, and a
// run that fails leaves it as it was.
int ingot_symbols_set(ingot_ctx *c, int32_t s, int64_t value, const char *step) {
  const struct ingot_symbol *y = symbol(c, s);
  if (value < y->min || value > y->bound)
    return ingot_ctx_fail(c, INGOT_E_DATA, "step '%s': '%s' would be %lld, the model allows %lld to %lld",
                          step, y->name, (long long)value, (long long)y->min, (long long)y->bound);
  c->next_sym[s] = value;
  if (y->kind == INGOT_SYM_CALLER) return INGOT_OK;
  c->sym[s] = value;
  return derive_checked(c) ? INGOT_E_DATA : INGOT_OK;
}

void ingot_symbols_end_run(ingot_ctx *c, bool ok) {
  for (int32_t s = 0; s < c->model->n_symbols; s++) {
    if (!ingot_symbol_kept(c->model, s)) continue;
    if (symbol(c, s)->kind == INGOT_SYM_STATE && ok) c->next_sym[s] = c->sym[symbol(c, s)->input];
    if (c->next_sym[s] == c->sym[s]) continue;
    if (!ok) c->next_sym[s] = c->sym[s];
    c->dirty |= ok;
  }
}

// ---- the caller's view -------------------------------------------------------------------------------

static int check_settable(ingot_ctx *c, int32_t s, int64_t value) {
  if (!ingot_symbol_kept(c->model, s))
    return ingot_ctx_fail(c, INGOT_E_ARGUMENT, "'%s' follows from inputs and cannot be set",
                          symbol(c, s)->name);
  if (symbol(c, s)->kind == INGOT_SYM_STATE && value > c->next_sym[s])
    return ingot_ctx_fail(c, INGOT_E_ARGUMENT, "'%s' is %lld and can only be taken back, not set to %lld",
                          symbol(c, s)->name, (long long)c->next_sym[s], (long long)value);
  return check_value(c, s, value);
}

int ingot_api_set_symbol(ingot_ctx *c, int32_t s, int64_t value) {
  if (!c) return INGOT_E_ARGUMENT;
  if (!ingot_ctx_enter(c)) return INGOT_E_BUSY;
  if (s < 0 || s >= c->model->n_symbols)
    return ingot_ctx_leave(c, ingot_ctx_fail(c, INGOT_E_ARGUMENT, "no symbol number %d", s));
  int code = check_settable(c, s, value);
  if (!code) c->next_sym[s] = value, c->dirty = true;
  return ingot_ctx_leave(c, code);
}

int ingot_api_get_symbol(const ingot_ctx *c, int32_t s, int64_t *value) {
  if (!c || !value || s < 0 || s >= c->model->n_symbols) return INGOT_E_ARGUMENT;
  *value = ingot_symbol_kept(c->model, s) ? c->next_sym[s] : c->sym[s];
  return INGOT_OK;
}
