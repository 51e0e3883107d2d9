// eval_run.c: executes the evaluator's programs.
// SPDX-License-Identifier: Apache-2.0
#include "ir/eval.h"

#include <math.h>
#include <stdlib.h>

// ---- operations on lanes ----------------------------------------------------------------------------------

#define F_ADD(x, y) ((x) + (y))
#define F_SUB(x, y) ((x) - (y))
#define F_MUL(x, y) ((x) * (y))
#define F_DIV(x, y) ((x) / (y))
#define F_MIN(x, y) ((x) < (y) || (x) != (x) ? (x) : (y)) // NaN if either is
#define F_MAX(x, y) ((x) > (y) || (x) != (x) ? (x) : (y))
#define F_AND(x, y) ((x) & (y))
#define F_OR(x, y)  ((x) | (y))
#define F_XOR(x, y) ((x) ^ (y))
#define F_LT(x, y)  ((x) < (y))
#define F_LE(x, y)  ((x) <= (y))
#define F_EQ(x, y)  ((x) == (y))
#define F_NE(x, y)  ((x) != (y))

#define BINARY(code, tin, tout, f)                                                                           \
  case code: {                                                                                               \
    const tin *a = (const tin *)(reg + i->a), *b = (const tin *)(reg + i->b);                                \
    tout *d = (tout *)(reg + i->dst);                                                                        \
    tin x = *a, y = *b;                                                                                      \
    if (i->one_a) {                                                                                          \
      for (int l = 0; l < n; l++) d[l] = (tout)f(x, b[l]);                                                   \
    } else if (i->one_b) {                                                                                   \
      for (int l = 0; l < n; l++) d[l] = (tout)f(a[l], y);                                                   \
    } else {                                                                                                 \
      for (int l = 0; l < n; l++) d[l] = (tout)f(a[l], b[l]);                                                \
    }                                                                                                        \
    break;                                                                                                   \
  }

static void run_fast(const Ins *i, int64_t *reg, int n) {
  switch (i->code) {
    // Unsigned: integers wrap.
    BINARY(C_ADD_I64, uint64_t, uint64_t, F_ADD)
    BINARY(C_SUB_I64, uint64_t, uint64_t, F_SUB)
    BINARY(C_MUL_I64, uint64_t, uint64_t, F_MUL)
    BINARY(C_AND_I64, int64_t, int64_t, F_AND)
    BINARY(C_OR_I64, int64_t, int64_t, F_OR)
    BINARY(C_XOR_I64, int64_t, int64_t, F_XOR)
    BINARY(C_MIN_I64, int64_t, int64_t, F_MIN)
    BINARY(C_MAX_I64, int64_t, int64_t, F_MAX)
    BINARY(C_LT_I64, int64_t, int64_t, F_LT)
    BINARY(C_LE_I64, int64_t, int64_t, F_LE)
    BINARY(C_EQ_I64, int64_t, int64_t, F_EQ)
    BINARY(C_NE_I64, int64_t, int64_t, F_NE)
    BINARY(C_ADD_F32, float, float, F_ADD)
    BINARY(C_SUB_F32, float, float, F_SUB)
    BINARY(C_MUL_F32, float, float, F_MUL)
    BINARY(C_DIV_F32, float, float, F_DIV)
    BINARY(C_MIN_F32, float, float, F_MIN)
    BINARY(C_MAX_F32, float, float, F_MAX)
    BINARY(C_LT_F32, float, int64_t, F_LT)
    BINARY(C_LE_F32, float, int64_t, F_LE)
    BINARY(C_EQ_F32, float, int64_t, F_EQ)
    BINARY(C_NE_F32, float, int64_t, F_NE)
    BINARY(C_ADD_F64, double, double, F_ADD)
    BINARY(C_SUB_F64, double, double, F_SUB)
    BINARY(C_MUL_F64, double, double, F_MUL)
    BINARY(C_DIV_F64, double, double, F_DIV)
    BINARY(C_MIN_F64, double, double, F_MIN)
    BINARY(C_MAX_F64, double, double, F_MAX)
    BINARY(C_LT_F64, double, int64_t, F_LT)
    BINARY(C_LE_F64, double, int64_t, F_LE)
    BINARY(C_EQ_F64, double, int64_t, F_EQ)
    BINARY(C_NE_F64, double, int64_t, F_NE)
  default: break;
  }
}

#define MULADD(type)                                                                                         \
  do {                                                                                                       \
    const type *a = (const type *)(reg + i->a), *b = (const type *)(reg + i->b);                             \
    type *d = (type *)(reg + i->dst), x = *a, y = *b;                                                        \
    if (i->one_a) {                                                                                          \
      for (int l = 0; l < n; l++) d[l] += x * b[l];                                                          \
    } else if (i->one_b) {                                                                                   \
      for (int l = 0; l < n; l++) d[l] += a[l] * y;                                                          \
    } else {                                                                                                 \
      for (int l = 0; l < n; l++) d[l] += a[l] * b[l];                                                       \
    }                                                                                                        \
  } while (0)

static void run_muladd(const Ins *i, int64_t *reg, int n) {
  if (i->code == C_MULADD_F32)
    MULADD(float);
  else
    MULADD(double);
}

static void run_neg(const Ins *i, int64_t *reg, int n) {
  if (i->code == C_NEG_F32)
    for (int l = 0; l < n; l++) ((float *)(reg + i->dst))[l] = -((float *)(reg + i->a))[l];
  else
    for (int l = 0; l < n; l++) ((double *)(reg + i->dst))[l] = -((double *)(reg + i->a))[l];
}

static void run_div_imm(const Ins *i, int64_t *reg, int n) {
  const int64_t *a = reg + i->a, k = i->imm;
  int64_t *d = reg + i->dst;
  if (i->code == C_FDIV_IMM)
    for (int l = 0; l < n; l++) d[l] = floor_div(a[l], k);
  else
    for (int l = 0; l < n; l++) d[l] = floor_mod(a[l], k);
}

#define SELECT(type)                                                                                         \
  do {                                                                                                       \
    const type *a = (const type *)(reg + i->a), *b = (const type *)(reg + i->b);                             \
    type *d = (type *)(reg + i->dst);                                                                        \
    for (int l = 0; l < n; l++) d[l] = p[l] ? a[l] : b[l];                                                   \
  } while (0)

static void run_select(const Ins *i, int64_t *reg, int n) {
  const int64_t *p = reg + i->c;
  if (reg_class((DType)i->t) == RC_F32)
    SELECT(float);
  else
    SELECT(int64_t);
}

// ---- registers as scalars -----------------------------------------------------------------------------------

static Scalar get_lane(const int64_t *r, DType t, int l) {
  switch (reg_class(t)) {
  case RC_F32: return (Scalar){.f = ((const float *)r)[l]};
  case RC_F64: return (Scalar){.f = ((const double *)r)[l]};
  default: return (Scalar){.i = r[l]};
  }
}

static void set_lane(int64_t *r, DType t, int l, Scalar v) {
  switch (reg_class(t)) {
  case RC_F32: ((float *)r)[l] = (float)v.f; break;
  case RC_F64: ((double *)r)[l] = v.f; break;
  default: r[l] = v.i;
  }
}

static void run_generic(const Ins *i, int64_t *reg, int n) {
  DType t = (DType)i->t;
  for (int l = 0; l < n; l++) {
    Scalar arg[3] = {get_lane(reg + i->a, t, i->one_a ? 0 : l), {0}, {0}}, out = {0};
    if (i->b >= 0) arg[1] = get_lane(reg + i->b, t, i->one_b ? 0 : l);
    if (i->c >= 0) arg[2] = get_lane(reg + i->c, t, i->one_c ? 0 : l);
    scalar_op((ExprOp)i->op, t, arg, &out);
    set_lane(reg + i->dst, (DType)i->u, l, out);
  }
}

static void run_cast(const Ins *i, int64_t *reg, int n) {
  DType from = (DType)i->t, to = (DType)i->u;
  int64_t *d = reg + i->dst;
  const int64_t *a = reg + i->a;
  if (to == DT_F32 && reg_class(from) == RC_I64 && from != DT_U64)
    for (int l = 0; l < n; l++) ((float *)d)[l] = (float)a[l];
  else if (to == DT_F32 && from == DT_F64)
    for (int l = 0; l < n; l++) ((float *)d)[l] = (float)((const double *)a)[l];
  else if (to == DT_F64 && reg_class(from) == RC_F32)
    for (int l = 0; l < n; l++) ((double *)d)[l] = ((const float *)a)[l];
  else
    for (int l = 0; l < n; l++) set_lane(d, to, l, scalar_cast(from, to, get_lane(a, from, l)));
}

static void run_convert(const Ins *i, int64_t *reg, int n) {
  DType t = (DType)i->t;
  int64_t *d = reg + i->dst;
  const int64_t *a = reg + i->a;
  switch (i->code) {
  case C_WRAP:
    for (int l = 0; l < n; l++) d[l] = int_wrap(t, a[l]);
    break;
  case C_ROUND:
    for (int l = 0; l < n; l++) ((float *)d)[l] = (float)float_round(t, ((const float *)a)[l]);
    break;
  case C_BITCAST:
    for (int l = 0; l < n; l++)
      set_lane(d, (DType)i->u, l, scalar_bitcast(t, (DType)i->u, get_lane(a, t, l)));
    break;
  default: run_cast(i, reg, n);
  }
}

static void run_move(const Program *p, const Ins *i, int64_t *reg, int n) {
  int64_t *d = reg + i->dst;
  const int64_t *a = reg + i->a;
  bool narrow = reg_class((DType)i->t) == RC_F32;
  switch (i->code) {
  case C_CONST:
    for (int l = 0; l < (i->wide ? LANES : 1); l++)
      if (narrow)
        memcpy((float *)d + l, &i->imm, sizeof(float));
      else
        d[l] = i->imm;
    break;
  case C_BROADCAST: // may run outside the lanes' loop: fills the whole block
    for (int l = 0; l < LANES; l++)
      if (narrow)
        ((float *)d)[l] = *(const float *)a;
      else
        d[l] = *a;
    break;
  case C_LANE_INDEX:
    for (int l = 0; l < n; l++) d[l] = p->lane_base + l;
    break;
  default: memcpy(d, a, (size_t)n * sizeof *d); // C_MOVE
  }
}

// ---- memory ---------------------------------------------------------------------------------------------------

static void run_check(Program *p, const Ins *i, const int64_t *reg, int n) {
  const int64_t *a = reg + i->a, *mask = i->c >= 0 ? reg + i->c : NULL;
  for (int l = 0; l < n; l++) {
    if (mask && !mask[i->one_c ? 0 : l]) continue;
    int64_t at = a[i->one_a ? 0 : l];
    if (at >= 0 && at < i->imm) continue;
    diag_error(p->ctx->diag, p->loc, "evaluation: index %lld is outside '%s', whose extent %d is %lld",
               (long long)at, i->value->name, i->dim, (long long)i->imm);
    p->failed = true;
    return;
  }
}

#define LOAD(type, rtype, convert)                                                                           \
  for (int l = 0; l < n; l++) {                                                                              \
    type x = 0;                                                                                              \
    if (!mask || mask[one_mask ? 0 : l])                                                                     \
      memcpy(&x, data + (i->one_a ? *at : at[l]) * (int64_t)sizeof x, sizeof x);                             \
    ((rtype *)d)[l] = (rtype)convert(x);                                                                     \
  }
#define LOAD_STEP(type, rtype, convert)                                                                      \
  for (int l = 0; l < n; l++) {                                                                              \
    type x = 0;                                                                                              \
    if (!mask || mask[one_mask ? 0 : l])                                                                     \
      memcpy(&x, data + (start + l * i->imm) * (int64_t)sizeof x, sizeof x);                                 \
    ((rtype *)d)[l] = (rtype)convert(x);                                                                     \
  }
#define LOAD_BY_TYPE(LOAD)                                                                                   \
  switch ((DType)i->t) {                                                                                     \
  case DT_BOOL: LOAD(uint8_t, int64_t, !!) break;                                                            \
  case DT_I8: LOAD(int8_t, int64_t, ) break;                                                                 \
  case DT_U8: LOAD(uint8_t, int64_t, ) break;                                                                \
  case DT_I16: LOAD(int16_t, int64_t, ) break;                                                               \
  case DT_U16: LOAD(uint16_t, int64_t, ) break;                                                              \
  case DT_I32: LOAD(int32_t, int64_t, ) break;                                                               \
  case DT_U32: LOAD(uint32_t, int64_t, ) break;                                                              \
  case DT_F16: LOAD(uint16_t, float, f16_to_f32) break;                                                      \
  case DT_BF16: LOAD(uint16_t, float, bf16_to_f32) break;                                                    \
  case DT_F32: LOAD(float, float, ) break;                                                                   \
  case DT_F64: LOAD(double, double, ) break;                                                                 \
  default: LOAD(int64_t, int64_t, ) break;                                                                   \
  }

static void run_read(const Ins *i, int64_t *reg, int n) {
  const char *data = i->buffer->data;
  const int64_t *at = reg + i->a, *mask = i->c >= 0 ? reg + i->c : NULL;
  int64_t *d = reg + i->dst;
  bool one_mask = i->one_c;
  LOAD_BY_TYPE(LOAD)
}

// The common case, a block at a constant distance, with or without a mask.
static void run_read_step(const Program *p, const Ins *i, int64_t *reg, int n) {
  const char *data = i->buffer->data;
  const int64_t *mask = i->c >= 0 ? reg + i->c : NULL;
  int64_t *d = reg + i->dst, start = reg[i->a] + p->lane_base * i->imm;
  bool one_mask = i->one_c;
  if (mask && one_mask && *mask) mask = NULL;
  if (!mask && i->t == DT_F32 && i->imm == 1)
    memcpy(d, data + start * 4, (size_t)n * 4);
  else
    LOAD_BY_TYPE(LOAD_STEP)
}

static Scalar combine(StoreKind op, DType t, Scalar old, Scalar v) {
  static const ExprOp ops[] = {
      [STORE_ADD] = E_ADD, [STORE_MUL] = E_MUL, [STORE_MIN] = E_MIN, [STORE_MAX] = E_MAX};
  Scalar arg[3] = {old, v}, out = v;
  if (op != STORE_SET) scalar_op(ops[op], t, arg, &out);
  return out;
}

static void run_store(const Program *p, const Ins *i, int64_t *reg, int n) {
  DType t = (DType)i->t;
  const int64_t *at = reg + i->a, *b = reg + i->b, *mask = i->c >= 0 ? reg + i->c : NULL;
  int64_t start = *at + p->lane_base * i->imm;
  bool step = i->code == C_STORE_STEP;
  if (step && t == DT_F32 && i->imm == 1 && i->op == STORE_SET && !mask) {
    memcpy(i->buffer->data + start * 4, b, (size_t)n * 4);
    return;
  }
  for (int l = 0; l < n; l++) {
    if (mask && !mask[i->one_c ? 0 : l]) continue;
    int64_t k = step ? start + l * i->imm : at[i->one_a ? 0 : l];
    char *q = i->buffer->data + k * dtype_bytes(t);
    Scalar v = get_lane(b, t, i->one_b ? 0 : l);
    scalar_store(t, q, i->op == STORE_SET ? v : combine((StoreKind)i->op, t, scalar_load(t, q), v));
  }
}

// ---- control --------------------------------------------------------------------------------------------------

static void run_block(Program *p, const Block *b);

static void run_lanes(Program *p, const Block *b, int64_t extent) {
  for (int64_t base = 0; base < extent && !p->failed; base += p->block_lanes) {
    p->lane_base = base;
    p->n = extent - base < p->block_lanes ? (int)(extent - base) : p->block_lanes;
    run_block(p, b);
  }
}

static void run_loop(Program *p, const Block *b) {
  int64_t extent = b->extent < 0 ? 1 : p->reg[b->extent];
  if (b->lanes) {
    run_lanes(p, b, extent);
    return;
  }
  for (int64_t v = 0; v < extent && !p->failed; v++) {
    if (b->extent >= 0) p->reg[b->var] = v;
    run_block(p, b);
  }
}

static void run_block(Program *p, const Block *b) {
  int64_t *reg = p->reg;
  for (const Ins *i = b->ins.data, *end = i + b->ins.n; i < end; i++) {
    int n = i->wide ? p->n : 1;
    switch (i->code) {
    case C_FDIV_IMM:
    case C_MOD_IMM: run_div_imm(i, reg, n); break;
    case C_NEG_F32:
    case C_NEG_F64: run_neg(i, reg, n); break;
    case C_SELECT: run_select(i, reg, n); break;
    case C_MULADD_F32:
    case C_MULADD_F64: run_muladd(i, reg, n); break;
    case C_CONST:
    case C_MOVE:
    case C_BROADCAST:
    case C_LANE_INDEX: run_move(p, i, reg, n); break;
    case C_WRAP:
    case C_ROUND:
    case C_CAST:
    case C_BITCAST: run_convert(i, reg, n); break;
    case C_GENERIC: run_generic(i, reg, n); break;
    case C_CHECK:
      run_check(p, i, reg, n);
      if (p->failed) return;
      break;
    case C_READ: run_read(i, reg, n); break;
    case C_READ_STEP: run_read_step(p, i, reg, n); break;
    case C_STORE:
    case C_STORE_STEP: run_store(p, i, reg, n); break;
    case C_LOOP: run_loop(p, p->blocks.data[i->imm]); break;
    case C_IF:
      if (reg[i->a])
        run_loop(p, p->blocks.data[i->imm]);
      else if (i->otherwise >= 0)
        run_loop(p, p->blocks.data[i->otherwise]);
      break;
    default: run_fast(i, reg, n);
    }
    if (p->failed) return;
  }
}

bool program_run(Program *p) {
  p->reg = malloc(((size_t)p->nregs + 1) * sizeof *p->reg);
  if (!p->reg) longjmp(*arena_oom(p->ctx->arena), 1);
  p->n = 1;
  run_loop(p, p->blocks.data[0]);
  free(p->reg);
  return !p->failed;
}
