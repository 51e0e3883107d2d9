// onnx_import.c: walks the graphs of an ONNX model and calls the translator of each node.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/onnx_import.h"
#include "frontend/onnx_scope.h"

#include <ctype.h>

static bool import_nodes(Import *im, const OnnxNode *nodes, int64_t n, const char *const *outputs,
                         int64_t noutputs);

// ---- one node -------------------------------------------------------------------------------------------------

// Looks up what the node reads. False if something of it failed before (then nobody needs to hear of it
// again) or does not exist.
static bool find_operands(Call *c) {
  Import *im = c->im;
  bool ok = true;
  for (int i = 0; i < c->nin; i++) {
    const char *name = c->node->in[i];
    if (name[0] == '\0') continue;
    c->in[i] = scope_find(im, c->scope, name);
    if (!c->in[i]) {
      ok = false;
      diag_error(im->ctx->diag, c->loc, "nothing defines its operand '%s'", name);
    } else if (c->in[i]->kind == VAL_FAILED) {
      ok = false;
    }
  }
  return ok;
}

// Values are called as in the model, within functions by the path of the calls; what a translator made on the way keeps
// its own names. What a function gives back has the name that its caller has for it.
static void name_results(Call *c, int first_node) {
  for (int i = 0; i < c->nout; i++) {
    Val *v = c->out[i];
    if (!v || v->kind != VAL_TENSOR || !v->v->def || v->v->def->id < first_node || !wants(c, i)) continue;
    const char *name = c->node->out[i], *path = c->scope->path;
    v->v->name = *path ? arena_printf(c->im->ctx->arena, "%s%s", path, name) : name;
  }
}

static Call *call_new(Import *im, const OnnxNode *n) {
  Arena *a = im->ctx->arena;
  Call *c = NEW(a, Call);
  *c = (Call){.im = im, .node = n, .scope = im->scope, .loc = node_loc(im, n)};
  c->op = find_op(im, n->domain, n->op);
  c->version = scope_version(im->scope, n->domain);
  c->nin = (int)n->nin;
  c->nout = (int)n->nout;
  c->in = NEW_ARRAY(a, Val *, c->nin + 1);
  c->out = NEW_ARRAY(a, Val *, c->nout + 1);
  return c;
}

static void bind_results(Call *c) {
  for (int i = 0; i < c->nout; i++) {
    const char *name = c->node->out[i];
    Val *v = c->failed || !c->out[i] ? val_new(c->im, VAL_FAILED, name) : c->out[i];
    if (strcmp(v->name, name) != 0) { // passed on from an operand: the same under another name
      v = arena_dup(c->im->ctx->arena, v, sizeof *v);
      v->name = name;
    }
    scope_bind(c->im, c->scope, c->loc, v);
  }
}

// Operators that only move elements move the numbers of strings like others.
static bool moves_elements(const Call *c) {
  static const char *const ops[] = {"Identity",
                                    "Reshape",
                                    "Flatten",
                                    "Squeeze",
                                    "Unsqueeze",
                                    "Cast",
                                    "Gather",
                                    "Slice",
                                    "GatherElements",
                                    "Expand",
                                    "ArrayFeatureExtractor"};
  for (int i = 0; i < ARRAY_LEN(ops); i++) {
    if (strcmp(c->op->name, ops[i]) != 0) continue;
    return strcmp(ops[i], "Cast") != 0 || attr_i((Call *)c, "to", 0) == ONNX_STRING;
  }
  return false;
}

// Strings by their numbers: the first operand is one, or a constant of which elements are chosen. The numbers are
// translated, the result is strings again.
static bool translate_codes(Call *c) {
  const Val *in = c->in[0];
  Val *number = val_tensor(c->im, in->name, in->v, ONNX_INT64);
  if (in->kind == VAL_STRINGS) {
    Type type = {.dtype = DT_I64, .rank = (int)in->strings->ndims};
    for (int d = 0; d < type.rank && d < MAX_RANK; d++) type.dim[d] = dim_const(in->strings->dims[d]);
    if (type.rank > MAX_RANK || !type_check_size(c->im->ctx, c->loc, &type) ||
        type_elements(&type) != in->strings->nstrings)
      return call_fail(c, "its strings do not fit their shape");
    Tensor *t = tensor_new(c->im->ctx, &type);
    for (int64_t i = 0; i < in->strings->nstrings; i++) tensor_set_int(t, i, i);
    number->v = make_const(c, t);
  }
  c->in[0] = number;
  bool ok = strcmp(c->op->name, "Cast") == 0 ? ret(c, 0, number->v) : c->op->fn(c);
  return ok && c->out[0] && ret_codes(c, 0, c->out[0]->v, in->strings->strings, in->strings->nstrings);
}

static bool run_translator(Call *c) {
  bool codes = has_arg(c, 0) && c->in[0]->kind == VAL_CODES;
  bool chosen =
      has_arg(c, 0) && c->in[0]->kind == VAL_STRINGS && has_arg(c, 1) && c->in[1]->kind == VAL_TENSOR;
  return (codes || chosen) && moves_elements(c) ? translate_codes(c) : c->op->fn(c);
}

// Runs the translator and checks that it gave every result that is asked for.
static void translate(Call *c) {
  int first_node = c->im->ctx->next_node;
  if (c->version == 0) {
    call_fail(c, "the model imports no operator set for the domain '%s'", c->node->domain);
  } else if (!run_translator(c)) {
    call_fail(c, "the operator cannot be translated"); // unless there was a report
  }
  for (int i = 0; i < c->nout && !c->failed; i++) {
    if (wants(c, i) && !c->out[i]) call_fail(c, "result %d is not supported", i);
  }
  if (!c->failed) name_results(c, first_node);
}

static bool call_function(Call *c, const OnnxFunction *f);

static void import_node(Import *im, const OnnxNode *n) {
  Call *c = call_new(im, n);
  im->b.loc = c->loc;
  c->failed = !find_operands(c);
  const OnnxFunction *f = c->failed ? NULL : find_function(im, n);
  if (f) {
    int first_node = im->ctx->next_node;
    c->failed |= !call_function(c, f);
    if (!c->failed) name_results(c, first_node);
  } else if (!c->failed) {
    translate(c);
  }
  bind_results(c);
}

// Counts one more node. The first beyond the limit is reported; then everything ends.
static bool within_budget(Import *im, const OnnxNode *n) {
  if (im->translated <= ONNX_IMPORT_NODES && ++im->translated > ONNX_IMPORT_NODES) {
    diag_error(im->ctx->diag, node_loc(im, n),
               "with functions and loops written out the model has more than %d nodes", ONNX_IMPORT_NODES);
  }
  return im->translated <= ONNX_IMPORT_NODES;
}

static bool import_nodes(Import *im, const OnnxNode *nodes, int64_t n, const char *const *outputs,
                         int64_t noutputs) {
  int *order = NEW_ARRAY(im->ctx->arena, int, n + 1);
  int count = order_nodes(im, nodes, n, outputs, noutputs, order);
  for (int i = 0; i < count && within_budget(im, &nodes[order[i]]); i++) import_node(im, &nodes[order[i]]);
  return count >= 0 && im->translated <= ONNX_IMPORT_NODES;
}

// ---- functions ------------------------------------------------------------------------------------------------

// The attributes a function sees: those of the call, then its defaults.
static void bind_attrs(Call *c, const OnnxFunction *f, Scope *s) {
  Arena *a = c->im->ctx->arena;
  OnnxAttr *attrs = NEW_ARRAY(a, OnnxAttr, c->node->nattrs + f->ndefaults + 1);
  for (int64_t i = 0; i < c->node->nattrs; i++) {
    const OnnxAttr *given = scope_attr(c->scope, &c->node->attrs[i]);
    if (!given) continue;
    attrs[s->nattrs] = *given;
    attrs[s->nattrs++].name = c->node->attrs[i].name;
  }
  for (int64_t i = 0; i < f->ndefaults; i++) attrs[s->nattrs++] = f->defaults[i];
  s->attrs = attrs;
}

static Val *absent(Import *im, const char *name) {
  return val_new(im, VAL_ABSENT, name);
}

static Val *renamed(Import *im, const Val *v, const char *name) {
  Val *copy = arena_dup(im->ctx->arena, v, sizeof *v);
  copy->name = name;
  return copy;
}

static bool call_function(Call *c, const OnnxFunction *f) {
  Import *im = c->im;
  if (c->nin > f->nin || c->nout > f->nout) {
    return call_fail(c, "the function '%s' has %lld inputs and %lld outputs", f->name, (long long)f->nin,
                     (long long)f->nout);
  }
  if (im->depth >= ONNX_CALL_DEPTH) return call_fail(c, "functions call each other too deeply (recursion?)");
  Scope *s = scope_new(im, NULL), *outer = im->scope;
  s->is_function = true;
  s->path = scope_call_path(im, c->node);
  s->opsets = f->opsets;
  s->nopsets = f->nopsets;
  bind_attrs(c, f, s);
  for (int i = 0; i < f->nin; i++) {
    Val *v = i < c->nin && c->in[i] ? renamed(im, c->in[i], f->in[i]) : absent(im, f->in[i]);
    if (!scope_bind(im, s, c->loc, v)) return false;
  }
  im->scope = s;
  im->depth++;
  bool ok = import_nodes(im, f->nodes, f->nnodes, f->out, f->nout);
  im->depth--;
  for (int i = 0; ok && i < c->nout; i++) {
    Val *v = scope_find(im, s, f->out[i]);
    if (!v) ok = call_fail(c, "nothing in the function '%s' defines its output '%s'", f->name, f->out[i]);
    if (v) c->out[i] = v;
  }
  im->scope = outer;
  im->b.loc = c->loc;
  return ok;
}

// ---- subgraphs ------------------------------------------------------------------------------------------------

static const char *const *output_names(Arena *a, const OnnxGraph *g) {
  const char **names = NEW_ARRAY(a, const char *, g->nout + 1);
  for (int64_t i = 0; i < g->nout; i++) names[i] = g->out[i].name;
  return names;
}

bool import_inline(Call *c, const OnnxGraph *g, Val *const *args, int nargs, Val **outs) {
  Import *im = c->im;
  Scope *s = scope_new(im, im->scope), *outer = im->scope;
  bool ok =
      nargs <= g->nin || call_fail(c, "its subgraph '%s' has only %lld inputs", g->name, (long long)g->nin);
  for (int i = 0; ok && i < nargs; i++) ok = scope_bind(im, s, c->loc, renamed(im, args[i], g->in[i].name));
  ok = ok && scope_add_initialisers(im, s, g);
  im->scope = s;
  ok = ok && import_nodes(im, g->nodes, g->nnodes, output_names(im->ctx->arena, g), g->nout);
  for (int64_t i = 0; ok && i < g->nout; i++) {
    outs[i] = scope_find(im, s, g->out[i].name);
    if (!outs[i]) ok = call_fail(c, "nothing defines '%s', an output of its subgraph", g->out[i].name);
    if (ok && outs[i]->kind == VAL_FAILED) ok = false;
  }
  im->scope = outer;
  im->b.loc = c->loc;
  if (!ok) c->failed = true;
  return ok;
}

// ---- the model ------------------------------------------------------------------------------------------------

// A library gives no strings: it gives their numbers, and tells the strings in its metadata.
static bool output_codes(Import *im, Loc loc, const char *name, const Val *v) {
  Arena *a = im->ctx->arena;
  Str text = {.arena = a};
  for (int64_t i = 0; i < v->strings->nstrings; i++) {
    const OnnxBytes *s = &v->strings->strings[i];
    if (i) str_put(&text, "\n", 1);
    str_put(&text, (const char *)s->p, s->n);
  }
  MetaEntry e = {arena_printf(a, "strings.%s", name), str_text(&text)};
  vec_push(a, &im->module->meta, e);
  diag_warn(im->ctx->diag, loc,
            "it is strings: the library gives the number of each, from 0, in the list that its metadata has "
            "under '%s'",
            e.key);
  graph_output(im->module->main, name, v->v);
  return true;
}

static bool output_val(Import *im, const char *name, const Val *v) {
  Loc loc = {.src = im->model->src, .what = arena_printf(im->ctx->arena, "output '%s'", name)};
  if (++im->outputs > ONNX_OUTPUTS) {
    if (im->outputs == ONNX_OUTPUTS + 1) diag_error(im->ctx->diag, loc, "more than %d outputs", ONNX_OUTPUTS);
    return false;
  }
  switch (v->kind) {
  case VAL_TENSOR: graph_output(im->module->main, name, v->v); return true;
  case VAL_SEQUENCE:
    for (int i = 0; i < v->items.n; i++) {
      if (!output_val(im, arena_printf(im->ctx->arena, "%s_%d", name, i), v->items.data[i])) return false;
    }
    return true;
  case VAL_CODES: return output_codes(im, loc, name, v);
  case VAL_ABSENT: return true; // an optional without a value
  case VAL_FAILED: return false;
  default: diag_error(im->ctx->diag, loc, "strings cannot be an output"); return false;
  }
}

static bool import_main(Import *im) {
  const OnnxGraph *g = im->model->graph;
  if (!scope_add_initialisers(im, im->scope, g) || !check_support(im) || !import_inputs(im, g)) return false;
  int before = diag_errors(im->ctx->diag);
  if (!import_nodes(im, g->nodes, g->nnodes, output_names(im->ctx->arena, g), g->nout)) return false;
  for (int64_t i = 0; i < g->nout; i++) {
    const char *name = g->out[i].name;
    Val *v = scope_find(im, im->scope, name);
    Loc loc = {.src = im->model->src, .what = arena_printf(im->ctx->arena, "output '%s'", name)};
    if (!v) diag_error(im->ctx->diag, loc, "nothing defines it");
    if (v) output_val(im, name, v);
  }
  if (g->nout == 0) diag_error(im->ctx->diag, (Loc){.src = im->model->src}, "the graph has no outputs");
  return diag_errors(im->ctx->diag) == before;
}

// What was folded on the way to other constants is not part of the module.
static void drop_unused_consts(Graph *g) {
  graph_count_uses(g);
  int kept = 0;
  for (int i = 0; i < g->consts.n; i++) {
    if (g->consts.data[i]->uses > 0) g->consts.data[kept++] = g->consts.data[i];
  }
  g->consts.n = kept;
}

static void warn_version(Import *im) {
  int version = scope_version(im->scope, "");
  if (version <= ONNX_OPSET_MAX) return;
  diag_warn(im->ctx->diag, (Loc){.src = im->model->src}, "operator set %d is newer than %d, the newest known",
            version, ONNX_OPSET_MAX);
}

static const char *module_name(Ctx *c, const OnnxModel *m, const FrontendOptions *user) {
  if (user && user->name) return user->name;
  const char *slash = strrchr(m->src->path, '/');
  const char *base = slash ? slash + 1 : m->src->path;
  size_t n = strcspn(base, ".");
  char *name = arena_printf(c->arena, "%s%.*s", isdigit((unsigned char)*base) ? "m" : "", (int)n, base);
  for (char *p = name; *p; p++) {
    if (!isalnum((unsigned char)*p)) *p = '_';
  }
  return *name ? name : "model";
}

static void keep_meta(Import *im) {
  const OnnxModel *m = im->model;
  for (int64_t i = 0; i < m->nmeta; i++) {
    MetaEntry e = {m->meta[i].key, m->meta[i].value};
    vec_push(im->ctx->arena, &im->module->meta, e);
  }
}

Module *onnx_import(Ctx *c, const OnnxModel *model, const OnnxOptions *o) {
  static const OnnxOptions none = {0};
  Import *im = NEW(c->arena, Import);
  *im = (Import){.ctx = c, .model = model, .options = o ? o : &none};
  im->files = onnx_files_new(c, model->src->path, model->bytes, model->size);
  im->module = module_new(c, module_name(c, model, im->options->user));
  im->b = builder_at(im->module->main, NULL, (Loc){.src = model->src});
  im->dummy = value_new(c, "failed", (Type){.dtype = DT_F32}, NO_LOC);
  im->ops = ops_map(c->arena);
  im->scope = scope_new(im, NULL);
  im->scope->opsets = model->opsets;
  im->scope->nopsets = model->nopsets;
  keep_meta(im);
  warn_version(im);
  if (!import_main(im)) return NULL;
  drop_unused_consts(im->module->main);
  return im->module;
}

Module *onnx_load(Ctx *c, const char *path, const FrontendOptions *user) {
  OnnxModel *model = onnx_open(c->arena, c->diag, NO_LOC, path);
  return model ? onnx_import(c, model, &(OnnxOptions){.user = user}) : NULL;
}
