// plan.c: a module at loops level -> the tables of runtime/ingot_abi.h and the list of distinct kernels.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

// ---- places -------------------------------------------------------------------------------------------------

static const Value *base_of(const Value *v) {
  while (v->base) v = v->base;
  return v;
}

Space plan_space(const Value *v) {
  v = base_of(v);
  return v->data ? SPACE_CONST : v->space;
}

static bool is_numbered(Space s) {
  return s == SPACE_INPUT || s == SPACE_OUTPUT;
}

// Bytes from the start of the input, output, arena, state block or constant.
static int64_t offset_of(const Value *v) {
  int64_t offset = 0;
  for (; v->base; v = v->base) offset += v->offset;
  return v->data || is_numbered(v->space) ? offset : offset + v->offset;
}

int64_t plan_bytes(Plan *p, const Value *v) {
  return v->layout ? layout_bytes(p->c, v->layout, &v->type) : type_bytes(&v->type);
}

// ---- constants ------------------------------------------------------------------------------------------------

static bool same_constant(const Constant *k, const Value *v) {
  return layout_equal(k->layout, v->layout) && type_equal(&k->tensor->type, &v->data->type) &&
         tensor_equal(k->tensor, v->data);
}

static const Constant *last_constant(const ConstantPool *pool) {
  return pool->list.n ? pool->list.data[pool->list.n - 1] : NULL;
}

// Equal bytes in the same layout are stored once; `salt` keeps different ones with one hash apart.
static Constant *constant_find(Plan *p, const Value *v) {
  const Tensor *t = v->data;
  for (int salt = 0;; salt++) {
    char *key = arena_printf(p->arena, "%016llx %s %s %d", (unsigned long long)tensor_hash(t),
                             type_text(p->c, &t->type), v->layout ? layout_text(p->c, v->layout) : "", salt);
    Constant *k = map_get(p->pool->by_hash, key);
    if (k && !same_constant(k, v)) continue;
    if (k) return k;
    const Constant *last = last_constant(p->pool);
    k = NEW(p->arena, Constant);
    *k = (Constant){t, v->layout, last ? round_up(last->offset + last->bytes, INGOT_ALIGN) : 0,
                    plan_bytes(p, v)};
    vec_push(p->arena, &p->pool->list, k);
    map_put(p->pool->by_hash, key, k);
    return k;
  }
}

static const Constant *constant_of(Plan *p, const Value *v) {
  v = base_of(v);
  Constant *k = pmap_get(&p->constant_of, v);
  if (k) return k;
  k = constant_find(p, v);
  pmap_put(&p->constant_of, v, k);
  return k;
}

// ---- descriptions ---------------------------------------------------------------------------------------------

int32_t plan_dtype(DType t) {
  static const int32_t to[DT_COUNT] = {
      [DT_BOOL] = INGOT_BOOL, [DT_I8] = INGOT_I8,   [DT_U8] = INGOT_U8,     [DT_I16] = INGOT_I16,
      [DT_U16] = INGOT_U16,   [DT_I32] = INGOT_I32, [DT_U32] = INGOT_U32,   [DT_I64] = INGOT_I64,
      [DT_U64] = INGOT_U64,   [DT_F16] = INGOT_F16, [DT_BF16] = INGOT_BF16, [DT_F32] = INGOT_F32,
      [DT_F64] = INGOT_F64};
  return to[t];
}

static struct ingot_tensor_info describe(Plan *p, const char *name, const Value *v, int32_t align) {
  Dim dim[MAX_PHYS_RANK];
  int rank = layout_rank(v->layout, &v->type);
  layout_shape(p->c, v->layout, &v->type, dim);
  struct ingot_dim *dims = NEW_ARRAY(p->arena, struct ingot_dim, rank);
  for (int i = 0; i < rank; i++) dims[i] = plan_dim(p, dim[i]);
  return (struct ingot_tensor_info){.name = name,
                                    .dims = dims,
                                    .dtype = plan_dtype(v->type.dtype),
                                    .rank = rank,
                                    .bytes = plan_bytes(p, v),
                                    .align = align};
}

int32_t plan_tensor(Plan *p, const Value *v) {
  int known = (int)(intptr_t)pmap_get(&p->tensor_of, v);
  if (known) return known - 1;
  vec_push(p->arena, &p->tensors, describe(p, v->name ? v->name : "", v, dtype_bytes(v->type.dtype)));
  pmap_put(&p->tensor_of, v, (void *)(intptr_t)p->tensors.n);
  return p->tensors.n - 1;
}

static void plan_interface(Plan *p) {
  const Graph *g = p->m->main;
  struct ingot_tensor_info *in = NEW_ARRAY(p->arena, struct ingot_tensor_info, g->inputs.n);
  struct ingot_tensor_info *out = NEW_ARRAY(p->arena, struct ingot_tensor_info, g->outputs.n);
  int nin = 0, nout = 0;
  for (int i = 0; i < g->inputs.n; i++) {
    const Value *v = g->inputs.data[i];
    if (state_of_input(g, i)) continue;
    in[nin] = describe(p, v->name, v, dtype_bytes(v->type.dtype));
    in[nin++].limit = (int32_t)v->limit;
  }
  for (int i = 0; i < g->outputs.n; i++) {
    const Value *v = g->outputs.data[i];
    if (!state_of_output(g, i))
      out[nout++] = describe(p, g->output_names.data[i], v, dtype_bytes(v->type.dtype));
  }
  p->model.inputs = in;
  p->model.outputs = out;
  p->model.n_inputs = nin;
  p->model.n_outputs = nout;
}

static void plan_states(Plan *p) {
  const Graph *g = p->m->main;
  struct ingot_state *states = NEW_ARRAY(p->arena, struct ingot_state, g->states.n);
  for (int i = 0; i < g->states.n; i++) {
    const State *s = &g->states.data[i];
    const Value *v = g->inputs.data[s->input];
    const Sym *sym;
    const Expr *next;
    states[i] = (struct ingot_state){.tensor = plan_tensor(p, v), .offset = v->offset, .init = -1};
    if (state_growth(g, s, &sym, &next) >= 0) states[i].flags = INGOT_STATE_GROWS;
    if (s->init) states[i].init = constant_of(p, s->init)->offset;
  }
  p->model.states = states;
  p->model.n_states = g->states.n;
  p->model.state_bytes = p->m->state_bytes;
}

// ---- arguments ------------------------------------------------------------------------------------------------

static int32_t arg_kind(Space s) {
  switch (s) {
  case SPACE_ARENA: return INGOT_ARG_ARENA;
  case SPACE_INPUT: return INGOT_ARG_INPUT;
  case SPACE_OUTPUT: return INGOT_ARG_OUTPUT;
  case SPACE_CONST: return INGOT_ARG_WEIGHT;
  case SPACE_STATE: return INGOT_ARG_STATE;
  default: return INGOT_ARG_NONE;
  }
}

struct ingot_arg plan_arg(Plan *p, const Value *v, int32_t flags) {
  if (!v) return (struct ingot_arg){.kind = INGOT_ARG_NONE, .tensor = -1};
  Space space = plan_space(v);
  struct ingot_arg a = {.kind = arg_kind(space), .offset = offset_of(v), .flags = flags};
  a.tensor = plan_tensor(p, v);
  if (is_numbered(space)) a.index = (int32_t)base_of(v)->offset;
  if (space == SPACE_CONST) a.offset += constant_of(p, v)->offset;
  if (a.kind == INGOT_ARG_NONE)
    diag_error(p->c->diag, v->loc, "'%s' has no place in memory, as pass 'memory' gives it",
               v->name ? v->name : "");
  return a;
}

void plan_add_args(Plan *p, struct ingot_step *s, Value *const *v, int n, int32_t flags) {
  if (s->n_args == 0) s->first_arg = p->args.n;
  for (int i = 0; i < n; i++) vec_push(p->arena, &p->args, plan_arg(p, v[i], flags));
  s->n_args += n;
}

// ---- kernels --------------------------------------------------------------------------------------------------

// What code may rely on. Only SSE gains from more than the element's alignment; elsewhere to ask for nothing lets
// kernels that differ in where their buffers lie be one.
static int64_t alignment_of(const Plan *p, const Value *v) {
  Space space = plan_space(v);
  int64_t least = dtype_bytes(v->type.dtype), align = INGOT_ALIGN;
  if (is_numbered(space) || !target_gains_by_alignment(p->m->target)) return least;
  for (int64_t offset = offset_of(v); offset % align;) align /= 2;
  return align > least ? align : least;
}

static Buffer make_buffer(Plan *p, const Value *v) {
  if (!v) return (Buffer){.place = -1};
  Space space = plan_space(v);
  Buffer b = {.value = v, .name = v->name ? v->name : "", .align = alignment_of(p, v)};
  b.place = (int)space * 65536 + (is_numbered(space) ? (int)base_of(v)->offset : 0);
  b.begin = offset_of(v) + (space == SPACE_CONST ? constant_of(p, v)->offset : 0);
  b.end = b.begin + plan_bytes(p, v);
  return b;
}

bool unit_overlap(const Unit *u, int j, int k) {
  const Buffer *a = &u->buffers[j], *b = &u->buffers[k];
  return a->place == b->place && a->begin < b->end && b->begin < a->end;
}

// What decides the code of a kernel: types, layouts, alignment and overlap of its buffers, and its loops with
// names replaced by numbers.
static const char *unit_text(Plan *p, const Unit *u) {
  Str s = {.arena = p->arena};
  Clone k = clone_new(p->c, true);
  for (int i = 0; i < u->nbuffers; i++) {
    const Value *v = u->buffers[i].value;
    if (!v) {
      str_puts(&s, "-\n");
      continue;
    }
    Value *own = clone_value(&k, v);
    str_printf(&s, "%s %s %s align %lld", own->name, type_text(p->c, &own->type),
               v->layout ? layout_text(p->c, v->layout) : "", (long long)u->buffers[i].align);
    for (int j = 0; j < i; j++)
      if (unit_overlap(u, i, j)) str_printf(&s, " overlaps %d", j);
    str_puts(&s, "\n");
  }
  stmt_print(&s, clone_stmt(&k, u->kernel->body), 0);
  return str_text(&s);
}

// A name for the symbol table, from the kernel's own.
static const char *unit_symbol(Plan *p, const Kernel *k) {
  char *name = arena_printf(p->arena, "k%d_%.60s", p->units.n, k->name ? k->name : "");
  if (p->variant) name = arena_printf(p->arena, "v%d%s", p->variant, name);
  for (char *c = name; *c; c++)
    if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9'))) *c = '_';
  return name;
}

// Debuggers and profilers tell kernels apart, so that with debug information no code is shared.
const Unit *plan_unit(Plan *p, const Kernel *k, const Node *node, Value *const *in, int nin,
                      Value *const *out, int nout) {
  if (kernel_is_checked(k) && !p->options->check)
    diag_error(p->c->diag, node->loc,
               "the loops of kernel '%s' were written for --check: nothing proves them", k->name);
  Unit *u = NEW(p->arena, Unit);
  u->kernel = k;
  u->node = node;
  u->nbuffers = nin + nout;
  u->check = p->options->check;
  u->strict = p->options->fp_strict;
  u->buffers = NEW_ARRAY(p->arena, Buffer, u->nbuffers);
  for (int i = 0; i < nin; i++) u->buffers[i] = make_buffer(p, in[i]);
  for (int i = 0; i < nout; i++) u->buffers[nin + i] = make_buffer(p, out[i]);
  u->nsyms = p->m->syms.n;
  u->syms = p->m->syms.data;
  u->text = unit_text(p, u);
  Unit *same = p->options->debug_info ? NULL : map_get(p->unit_by_text, u->text);
  if (same) return same;
  u->symbol = unit_symbol(p, k);
  map_put(p->unit_by_text, u->text, u);
  vec_push(p->arena, &p->units, u);
  return u;
}

// ---- the whole ------------------------------------------------------------------------------------------------

static void finish(Plan *p) {
  struct ingot_model *m = &p->model;
  m->magic = INGOT_MAGIC;
  m->abi_major = INGOT_ABI_MAJOR;
  m->abi_minor = INGOT_ABI_MINOR;
  m->size = sizeof *m;
  m->name = p->m->name;
  m->target = p->m->target->triple;
  m->cpu_features = p->m->target->needs;
  m->isa = p->m->target->name;
  if (p->options->real_time) m->flags |= INGOT_MODEL_REAL_TIME;
  m->tensors = p->tensors.data;
  m->symbols = p->symbols.data;
  m->args = p->args.data;
  m->steps = p->steps.data;
  m->n_tensors = p->tensors.n;
  m->n_symbols = p->symbols.n;
  m->n_args = p->args.n;
  m->n_steps = p->steps.n;
  m->arena_bytes = p->arena_bytes;
  for (int i = 0; i < p->steps.n; i++) {
    const struct ingot_step *s = &p->steps.data[i];
    if (s->scratch > m->scratch_bytes) m->scratch_bytes = s->scratch;
    if (i < p->general_steps) m->flops += s->flops;
  }
  if (p->options->instrument) {
    m->flags |= INGOT_MODEL_PROBES;
    m->scratch_bytes = round_up(m->scratch_bytes, 64) + m->n_steps * (int64_t)sizeof(struct ingot_probe);
  }
  if (p->bare) m->room_bytes = ingot_ctx_bound(m);
}

// The executor's own frames: measured to be less than half of this (tests/test_artifact.c), on 32-bit targets too.
// With libc, formatting the text of an error takes more.
enum { EXECUTOR_STACK = 2048, NESTING_STACK = 384, LIBC_STACK = 8192 };

static int control_depth(const Graph *g) {
  int most = 0;
  for (const Node *n = g->first; n; n = n->next)
    for (int k = 0; k < n->nregions; k++) {
      int depth = 1 + control_depth(n->region[k]);
      if (depth > most) most = depth;
    }
  return most;
}

int64_t plan_stack(const Plan *p) {
  const struct ingot_model *m = &p->model;
  int64_t arrays = 8 * ((int64_t)m->n_inputs + m->n_outputs + m->n_symbols);
  int depth = control_depth(p->m->main);
  for (int i = 0; i < p->n_special; i++) {
    int own = control_depth(p->special[i].module->main);
    if (own > depth) depth = own;
  }
  int64_t bytes = p->frame_bytes + EXECUTOR_STACK + arrays + (int64_t)NESTING_STACK * depth;
  return round_up(bytes + (p->bare ? 0 : LIBC_STACK), 64);
}

static void identify(Plan *p) {
  Str s = {.arena = p->arena};
  str_printf(&s, "%s\n%s\n", p->m->target->name, p->model.metadata);
  for (int i = 0; i < p->units.n; i++) str_puts(&s, p->units.data[i]->text);
  for (int i = 0; i < p->pool->list.n; i++)
    str_printf(&s, "%016llx %lld\n", (unsigned long long)tensor_hash(p->pool->list.data[i]->tensor),
               (long long)p->pool->list.data[i]->offset);
  p->model.id = hash_bytes(s.s, s.n);
}

static Plan *plan_form(const Form *form, const CodegenOptions *o, ConstantPool *pool, int variant) {
  Module *m = form->module;
  Arena *a = m->ctx->arena;
  Plan *p = NEW(a, Plan);
  *p = (Plan){.arena = a, .c = m->ctx, .m = m, .options = o, .pool = pool, .variant = variant};
  p->special = form->special;
  p->n_special = form->n_special;
  p->bare = o->freestanding || m->target->bare;
  p->tensor_of = p->constant_of = (PMap){.arena = a};
  p->unit_by_text = map_new(a);
  plan_symbols(p);
  plan_interface(p);
  plan_states(p);
  p->arena_bytes = m->arena_bytes;
  for (int i = 0; i < p->n_special; i++) {
    const Module *special = p->special[i].module;
    if (!plan_join(p, &p->special[i])) return p;
    if (special->arena_bytes > p->arena_bytes) p->arena_bytes = special->arena_bytes;
  }
  plan_main(p);
  finish(p);
  return p;
}

// What is known only when all forms are planned.
static void complete(Plan *first) {
  const Constant *last = last_constant(first->pool);
  for (Plan *p = first; p; p = p->next) {
    p->model.weights.bytes = last ? last->offset + last->bytes : 0;
    p->model.metadata = plan_metadata(p, first);
    identify(p);
  }
}

Plan *plan_make(const Form *forms, int n, const CodegenOptions *o) {
  const Ctx *c = forms[0].module->ctx;
  Arena *a = c->arena;
  const Diag *diag = c->diag;
  int errors = diag_errors(diag);
  ConstantPool *pool = NEW(a, ConstantPool);
  pool->by_hash = map_new(a);
  Plan *first = NULL, **at = &first;
  for (int i = 0; i < n; at = &(*at)->next, i++) *at = plan_form(&forms[i], o, pool, i);
  if (diag_errors(diag) != errors) return NULL;
  complete(first);
  return first;
}
