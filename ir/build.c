// build.c: makes nodes, checked against the op table.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"

// ---- builders -------------------------------------------------------------------------------------------

Builder builder_at(Graph *g, Node *before, Loc loc) {
  return (Builder){.ctx = g->ctx, .graph = g, .before = before, .loc = loc};
}

Builder builder_replacing(Node *n, const char *pass) {
  return (Builder){
      .ctx = n->graph->ctx, .graph = n->graph, .before = n, .loc = n->loc, .made_by = pass, .like = n};
}

// ---- operands -------------------------------------------------------------------------------------------

// The parameter operand i is for, or NULL if there are too many operands.
static const OpParam *param_of(const Op *op, int i) {
  if (i < op->nin) return &op->in[i];
  return op->nin && op->in[op->nin - 1].variadic ? &op->in[op->nin - 1] : NULL;
}

static bool is_type_variable(const char *type) {
  return type[0] >= 'T' && type[0] <= 'V' && type[1] == '\0';
}

static bool check_count(Ctx *c, const Node *n) {
  const Op *op = n->op;
  bool any = op->nin && op->in[op->nin - 1].variadic;
  if (n->nin > MAX_OPERANDS || n->nregions > MAX_OPERANDS) {
    diag_error(c->diag, n->loc, "%s has %d operands; at most %d are possible", op->name, n->nin,
               MAX_OPERANDS);
    return false;
  }
  if (n->nin > op->nin && !any) {
    diag_error(c->diag, n->loc, "%s takes %d operands, not %d", op->name, op->nin, n->nin);
    return false;
  }
  for (int i = 0; i < op->nin; i++) {
    const OpParam *p = &op->in[i];
    if ((i < n->nin && n->in[i]) || p->optional || (p->variadic && i >= n->nin)) continue;
    diag_error(c->diag, n->loc, "%s: operand %d ('%s') is missing", op->name, i + 1, p->name);
    return false;
  }
  return true;
}

// Operands whose parameters have the same type variable must have the same dtype.
static bool check_same_type(Ctx *c, const Node *n, int i, const OpParam *p) {
  for (int j = 0; is_type_variable(p->type) && j < i; j++) {
    const OpParam *q = param_of(n->op, j);
    if (!q || !n->in[j] || strcmp(p->type, q->type) != 0 || n->in[j]->type.dtype == n->in[i]->type.dtype)
      continue;
    diag_error(c->diag, n->loc, "%s: operands '%s' (%s) and '%s' (%s) must have the same element type",
               n->op->name, q->name, dtype_name(n->in[j]->type.dtype), p->name,
               dtype_name(n->in[i]->type.dtype));
    diag_note(c->diag, n->in[j]->loc, "'%s' is %s", n->in[j]->name, type_text(c, &n->in[j]->type));
    diag_note(c->diag, n->in[i]->loc, "'%s' is %s", n->in[i]->name, type_text(c, &n->in[i]->type));
    return false;
  }
  return true;
}

static bool check_operands(Ctx *c, const Node *n) {
  if (!check_count(c, n)) return false;
  for (int i = 0; i < n->nin; i++) {
    const OpParam *p = param_of(n->op, i);
    if (!n->in[i]) {
      if (p->optional) continue;
      diag_error(c->diag, n->loc, "%s: operand %d ('%s') is missing", n->op->name, i + 1, p->name);
      return false;
    }
    if (!op_allows(n->op, p->type, n->in[i]->type.dtype)) {
      diag_error(c->diag, n->loc, "%s: operand '%s' must be of type %s, not %s", n->op->name, p->name,
                 op_class(n->op, p->type), dtype_name(n->in[i]->type.dtype));
      diag_note(c->diag, n->in[i]->loc, "'%s' is %s", n->in[i]->name, type_text(c, &n->in[i]->type));
      return false;
    }
    if (!check_same_type(c, n, i, p)) return false;
  }
  return true;
}

// ---- attributes -----------------------------------------------------------------------------------------

static const char *const kind_names[] = {
    [ATTR_INT] = "an integer",           [ATTR_FLOAT] = "a number", [ATTR_BOOL] = "a bool",
    [ATTR_STRING] = "a string",          [ATTR_DTYPE] = "a dtype",  [ATTR_INTS] = "a list of integers",
    [ATTR_FLOATS] = "a list of numbers", [ATTR_SHAPE] = "a shape",  [ATTR_TENSOR] = "a tensor",
};

static const Dim *dims_of_ints(Ctx *c, const int64_t *v, int n) {
  Dim *d = NEW_ARRAY(c->arena, Dim, n);
  for (int i = 0; i < n; i++) d[i] = dim_const(v[i]);
  return d;
}

static const double *floats_of_ints(Ctx *c, const int64_t *v, int n) {
  double *d = NEW_ARRAY(c->arena, double, n);
  for (int i = 0; i < n; i++) d[i] = (double)v[i];
  return d;
}

// The constant dims of a shape as integers, or NULL if one is symbolic.
static const int64_t *ints_of_dims(Ctx *c, const Dim *d, int n) {
  int64_t *v = NEW_ARRAY(c->arena, int64_t, n);
  for (int i = 0; i < n; i++) {
    if (d[i].sym) return NULL;
    v[i] = d[i].n;
  }
  return v;
}

static Attr as_list(const Attr *a) {
  Attr list = *a;
  list.n = 1;
  if (a->kind == ATTR_INT) {
    list.kind = ATTR_INTS;
    list.ints = &a->i;
  } else if (a->kind == ATTR_FLOAT) {
    list.kind = ATTR_FLOATS;
    list.floats = &a->f;
  }
  return list;
}

static void *copy_array(Ctx *c, const void *p, int n, size_t size) {
  return n ? arena_dup(c->arena, p, (size_t)n * size) : NULL;
}

// Converts a to `kind` where nothing is lost; everything it points to is copied into the arena.
static bool convert_attr(Ctx *c, const Attr *given, AttrKind kind, Attr *out) {
  bool to_list = kind == ATTR_INTS || kind == ATTR_FLOATS || kind == ATTR_SHAPE;
  Attr listed = to_list ? as_list(given) : *given;
  const Attr *a = to_list && (given->kind == ATTR_INT || given->kind == ATTR_FLOAT) ? &listed : given;
  *out = *a;
  out->kind = kind;
  switch (kind) {
  case ATTR_INT: return a->kind == ATTR_INT;
  case ATTR_BOOL: return a->kind == ATTR_BOOL || (a->kind == ATTR_INT && (a->i == 0 || a->i == 1));
  case ATTR_FLOAT:
    if (a->kind == ATTR_INT) out->f = (double)a->i;
    return a->kind == ATTR_FLOAT || a->kind == ATTR_INT;
  case ATTR_STRING:
    if (a->kind != ATTR_STRING) return false;
    out->s = arena_strdup(c->arena, a->s);
    return true;
  case ATTR_DTYPE:
    if (a->kind == ATTR_STRING) out->t = dtype_parse(a->s, strlen(a->s));
    return a->kind == ATTR_DTYPE || (a->kind == ATTR_STRING && out->t != DT_NONE);
  case ATTR_TENSOR: return a->kind == ATTR_TENSOR;
  case ATTR_INTS:
    if (a->kind == ATTR_SHAPE) return (out->ints = ints_of_dims(c, a->dims, a->n)) != NULL;
    out->ints = copy_array(c, a->ints, a->n, sizeof *a->ints);
    return a->kind == ATTR_INTS;
  case ATTR_FLOATS:
    if (a->kind == ATTR_INTS)
      out->floats = floats_of_ints(c, a->ints, a->n);
    else if (a->kind == ATTR_FLOATS)
      out->floats = copy_array(c, a->floats, a->n, sizeof *a->floats);
    return a->kind == ATTR_FLOATS || a->kind == ATTR_INTS;
  case ATTR_SHAPE:
    if (a->kind == ATTR_INTS)
      out->dims = dims_of_ints(c, a->ints, a->n);
    else if (a->kind == ATTR_SHAPE)
      out->dims = copy_array(c, a->dims, a->n, sizeof *a->dims);
    return a->kind == ATTR_SHAPE || a->kind == ATTR_INTS;
  }
  return false;
}

static int attr_slot(const Op *op, const char *name) {
  for (int i = 0; i < op->nattr; i++)
    if (strcmp(op->attr[i].name, name) == 0) return i;
  return -1;
}

static bool unknown_attr(Ctx *c, const Node *n, const char *name) {
  const char **names = NEW_ARRAY(c->arena, const char *, n->op->nattr);
  for (int i = 0; i < n->op->nattr; i++) names[i] = n->op->attr[i].name;
  const char *near = nearest_word(name, names, n->op->nattr);
  diag_error(c->diag, n->loc, "%s has no attribute '%s'%s%s%s", n->op->name, name,
             near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
  return false;
}

static bool set_attr(Ctx *c, Node *n, const Attr *a) {
  int slot = attr_slot(n->op, a->name);
  if (slot < 0) return unknown_attr(c, n, a->name);
  const Attr *spec = &n->op->attr[slot];
  if (!convert_attr(c, a, spec->kind, &n->attr[slot])) {
    diag_error(c->diag, n->loc, "%s: attribute '%s' must be %s, not %s", n->op->name, a->name,
               kind_names[spec->kind], kind_names[a->kind]);
    return false;
  }
  n->attr[slot].name = spec->name;
  n->attr[slot].given = true;
  return true;
}

static bool set_attrs(Ctx *c, Node *n, const Attr *attrs, int nattrs) {
  const Op *op = n->op;
  n->attr = NEW_ARRAY(c->arena, Attr, op->nattr);
  for (int i = 0; i < op->nattr; i++) {
    n->attr[i] = op->attr[i];
    n->attr[i].given = false;
  }
  bool ok = true;
  for (int i = 0; i < nattrs; i++) ok &= set_attr(c, n, &attrs[i]);
  for (int i = 0; ok && i < op->nattr; i++) {
    if (!op->attr[i].given || n->attr[i].given) continue;
    diag_error(c->diag, n->loc, "%s: attribute '%s' (%s) is missing", op->name, op->attr[i].name,
               kind_names[op->attr[i].kind]);
    ok = false;
  }
  return ok;
}

// ---- nodes ----------------------------------------------------------------------------------------------

static void set_origins(Ctx *c, Node *n, const Node *like) {
  if (!like) return;
  for (int i = 0; i < like->makers.n; i++) node_add_maker(n, like->makers.data[i]);
  for (int i = 0; i < like->origins.n; i++) vec_push(c->arena, &n->origins, like->origins.data[i]);
  if (!like->origins.n) vec_push(c->arena, &n->origins, node_as_origin(like));
}

// The last maker stands last, however often it had a part.
void node_add_maker(Node *n, const char *pass) {
  int to = 0;
  for (int i = 0; pass && i < n->makers.n; i++)
    if (strcmp(n->makers.data[i], pass) != 0) n->makers.data[to++] = n->makers.data[i];
  if (!pass) return;
  n->makers.n = to;
  vec_push(n->graph->ctx->arena, &n->makers, pass);
}

const char *node_made_by(const Node *n) {
  return n->makers.n ? n->makers.data[n->makers.n - 1] : NULL;
}

static Node *new_node(const Builder *b, const Op *op, Value *const *in, int nin, int room) {
  Ctx *c = b->ctx;
  Node *n = NEW(c->arena, Node);
  n->op = op;
  n->id = c->next_node++;
  n->graph = b->graph;
  n->loc = b->loc;
  n->nin = nin > room ? nin : room;
  n->in = NEW_ARRAY(c->arena, Value *, n->nin);
  for (int i = 0; i < nin; i++) n->in[i] = in[i];
  set_origins(c, n, b->like);
  node_add_maker(n, b->made_by);
  return n;
}

static void insert(const Builder *b, Node *n) {
  node_insert(b->graph, n, b->before);
  b->graph->nnodes++;
}

// Results without types yet; infer fills them in.
static void make_results(Ctx *c, Node *n) {
  n->nout = op_results(n);
  n->out = NEW_ARRAY(c->arena, Value *, n->nout);
  for (int i = 0; i < n->nout; i++) {
    char *name = arena_printf(c->arena, n->nout > 1 ? "%s_%d_%d" : "%s_%d", n->op->name, n->id, i);
    n->out[i] = value_new(c, name, (Type){.dtype = DT_NONE}, n->loc);
    n->out[i]->def = n;
    n->out[i]->def_index = i;
  }
}

static const Op *find_op(const Builder *b, const char *name) {
  const Op *op = op_find(b->ctx, name);
  if (op) return op;
  const char *near = op_suggest(b->ctx, name);
  diag_error(b->ctx->diag, b->loc, "there is no op '%s'%s%s%s", name, near ? "; did you mean '" : "",
             near ? near : "", near ? "'?" : "");
  return NULL;
}

static bool infer(Ctx *c, Node *n) {
  return n->op->info->infer ? n->op->info->infer(c, n) : op_infer_broadcast(c, n);
}

bool node_check(Ctx *c, Node *n) {
  return check_operands(c, n) && infer(c, n);
}

Node *build_region_node(Builder *b, const char *name, Value *const *in, int nin, const Attr *attrs,
                        int nattrs, Graph *const *regions, int nregions) {
  Ctx *c = b->ctx;
  const Op *op = find_op(b, name);
  if (!op) return NULL;
  bool variadic = op->nin && op->in[op->nin - 1].variadic;
  Node *n = new_node(b, op, in, nin, op->nin - variadic);
  n->nregions = nregions;
  n->region = NEW_ARRAY(c->arena, Graph *, nregions);
  for (int i = 0; i < nregions; i++) n->region[i] = regions[i];
  bool ok = check_operands(c, n);
  if (!set_attrs(c, n, attrs, nattrs) || !ok) return NULL;
  make_results(c, n);
  if (!infer(c, n)) return NULL;
  insert(b, n);
  return n;
}

Node *build_node(Builder *b, const char *op, Value *const *in, int nin, const Attr *attrs, int nattrs) {
  return build_region_node(b, op, in, nin, attrs, nattrs, NULL, 0);
}

Value *build(Builder *b, const char *op, Value *const *in, int nin, const Attr *attrs, int nattrs) {
  Node *n = build_node(b, op, in, nin, attrs, nattrs);
  return n && n->nout ? n->out[0] : NULL;
}

// Kernels are made by passes only; their row has no functions, everything is in the node's kernel.
static const OpInfo kernel_info = {.name = "kernel",
                                   .group = "internal",
                                   .ins = "xs:any*",
                                   .outs = "any*",
                                   .doc = "A fused group of ops.",
                                   .flags = OP_INTERNAL};
static const OpParam kernel_in[] = {{.name = "xs", .type = "any", .variadic = true}};
static const char kernel_out[][16] = {"any*"};
static const Op kernel_op = {
    .info = &kernel_info, .name = "kernel", .nin = 1, .nout = 1, .in = kernel_in, .out = kernel_out};

const Op *op_kernel(Ctx *c) {
  const Op *op = op_find(c, "kernel");
  return op ? op : &kernel_op;
}

Node *build_kernel(Builder *b, Kernel *k, Value *const *in, int nin, Value *const *out, int nout) {
  Node *n = new_node(b, op_kernel(b->ctx), in, nin, 0);
  n->kernel = k;
  n->nout = nout;
  n->out = NEW_ARRAY(b->ctx->arena, Value *, nout);
  for (int i = 0; i < nout; i++) {
    n->out[i] = out[i];
    out[i]->def = n;
    out[i]->def_index = i;
  }
  insert(b, n);
  return n;
}
