// cmd_reduce.c: `ingot reduce MODEL --command=...`: shrinks a model as long as a command goes on failing on it.
// SPDX-License-Identifier: Apache-2.0
//
// Delta debugging on the graph: ranges of nodes are taken out (what others read of them becomes an input), in halves,
// quarters and so on down to single nodes; then outputs are dropped, nodes passed over, extents of inputs made
// smaller. Whatever still makes the command end as it did at first is kept, until nothing helps any more. Each
// candidate is read from text in an arena of its own, so that a failed one leaves nothing behind.
#include <stdlib.h>

#include "tools/shell.h"
#include "tools/tool.h"

enum { OPT_COMMAND = 512, OPT_STATUS };

typedef struct ReduceArgs {
  BuildArgs build; // first: the child parser's input
  const char *file, *out, *command;
  int status; // wanted exit status; -1: that of the first run
} ReduceArgs;

static const struct argp_option options[] = {
    {"command", OPT_COMMAND, "COMMAND", 0, "run by the shell, {} being the model's file; has to fail", 0},
    {"status", OPT_STATUS, "N", 0, "what counts as the failure (default: the exit status of the first run)",
     0},
    {"output", 'o', "FILE", 0, "the small model, as IR text (default: reduced.ing)", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  ReduceArgs *a = state->input;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &a->build; return 0;
  case 'o': a->out = arg; return 0;
  case OPT_COMMAND: a->command = arg; return 0;
  case OPT_STATUS: a->status = (int)number_option(arg, 1, 255, state, "--status"); return 0;
  case ARGP_KEY_END:
    if (!a->command) argp_error(state, "--command=COMMAND is missing");
    return 0;
  default: return file_option(key, arg, state, &a->file, "model");
  }
}

// ---- candidates ---------------------------------------------------------------------------------------------

typedef struct Reduce {
  Tool *t;
  const ReduceArgs *a;
  const char *folder; // of candidates and their weights
  const char *best;   // text
  int nodes, outputs, inputs;
  int status, tried;
} Reduce;

// One way to make a module smaller.
typedef struct Change {
  enum { TAKE_OUT, DROP_OUTPUT, PASS_OVER, SHRINK } kind;
  int at, n;   // first node and how many; number of the output; node and operand; input and dimension
  int64_t dim; // SHRINK: the extent
} Change;

static bool in_range(const Node *n, const Node *const *list, int count) {
  for (int i = 0; i < count; i++)
    if (list[i] == n) return true;
  return false;
}

// Drops what no output needs any more, inputs and constants too.
static void sweep(Graph *g) {
  graph_resolve(g);
  graph_count_uses(g);
  for (Node *n = g->last, *prev; n; n = prev) {
    prev = n->prev;
    bool used = false;
    for (int i = 0; i < n->nout; i++) used = used || n->out[i]->uses > 0;
    if (used) continue;
    for (int i = 0; i < n->nin; i++)
      if (n->in[i]) n->in[i]->uses--;
    node_remove(n);
  }
  graph_count_uses(g);
  int to = 0;
  for (int i = 0; i < g->inputs.n; i++)
    if (g->inputs.data[i]->uses > 0) g->inputs.data[to++] = g->inputs.data[i];
  g->inputs.n = to;
  to = 0;
  for (int i = 0; i < g->consts.n; i++)
    if (g->consts.data[i]->uses > 0) g->consts.data[to++] = g->consts.data[i];
  g->consts.n = to;
}

static void drop_output(Graph *g, int k) {
  for (int i = k; i + 1 < g->outputs.n; i++) {
    g->outputs.data[i] = g->outputs.data[i + 1];
    g->output_names.data[i] = g->output_names.data[i + 1];
  }
  g->outputs.n--;
  g->output_names.n--;
}

// Results that others read become inputs; outputs among them go, as long as one is left.
static bool take_out(Module *m, int first, int count) {
  Graph *g = m->main;
  const Node **list = NEW_ARRAY(m->ctx->arena, const Node *, count);
  Node *n = g->first;
  for (int i = 0; n && i < first; i++) n = n->next;
  int found = 0;
  for (; n && found < count; n = n->next) list[found++] = n;
  if (found == 0) return false;
  for (int i = g->outputs.n - 1; i >= 0; i--)
    if (g->outputs.data[i]->def && in_range(g->outputs.data[i]->def, list, found)) drop_output(g, i);
  for (int i = 0; i < found; i++)
    for (int k = 0; k < list[i]->nout; k++) {
      Value *v = list[i]->out[k];
      value_replace(v, graph_input(g, v->name, v->type, v->loc));
    }
  if (g->outputs.n == 0) { // the end was taken: what it read is what comes out
    for (int i = 0; i < found; i++)
      for (int k = 0; k < list[i]->nin; k++) {
        Value *v = list[i]->in[k];
        if (v && v->def && !in_range(v->def, list, found)) graph_output(g, v->name, v);
      }
  }
  return g->outputs.n > 0;
}

static Node *node_at(Graph *g, int at) {
  Node *n = g->first;
  for (int i = 0; n && i < at; i++) n = n->next;
  return n;
}

// The node's result is its operand.
static bool pass_over(Module *m, int at, int operand) {
  Node *n = node_at(m->main, at);
  if (!n || n->nout != 1 || operand >= n->nin || !n->in[operand]) return false;
  if (!type_equal(&n->out[0]->type, &n->in[operand]->type)) return false;
  value_replace(n->out[0], n->in[operand]);
  return true;
}

// Builds every node anew on an input of another extent. Ops whose attributes do not fit refuse.
static bool shrink(Module *m, int input, int dim, int64_t extent) {
  Graph *old = m->main, *g = graph_new(m, old->name, NULL);
  Ctx *c = m->ctx;
  Value **to = NEW_ARRAY(c->arena, Value *, c->next_value);
  if (input >= old->inputs.n) return false;
  for (int i = 0; i < old->inputs.n; i++) {
    Value *v = old->inputs.data[i];
    Type t = v->type;
    if (i == input && (dim >= t.rank || t.dim[dim].sym || t.dim[dim].n <= extent)) return false;
    if (i == input) t.dim[dim] = dim_const(extent);
    to[v->id] = graph_input(g, v->name, t, v->loc);
  }
  for (int i = 0; i < old->consts.n; i++) {
    Value *v = old->consts.data[i];
    to[v->id] = graph_const(g, v->name, v->data, v->loc);
  }
  Builder b = builder_at(g, NULL, NO_LOC);
  for (const Node *n = old->first; n; n = n->next) {
    b.loc = n->loc;
    Value **in = NEW_ARRAY(c->arena, Value *, n->nin);
    Vec(Attr) attrs = {0};
    if (n->nregions || n->kernel) return false;
    for (int i = 0; i < n->nin; i++) in[i] = n->in[i] ? to[n->in[i]->id] : NULL;
    for (int i = 0; i < n->op->nattr; i++)
      if (n->attr[i].given) vec_push(c->arena, &attrs, n->attr[i]);
    Node *copy = build_node(&b, n->op->name, in, n->nin, attrs.data, attrs.n);
    if (!copy || copy->nout != n->nout) return false;
    for (int i = 0; i < n->nout; i++) {
      copy->out[i]->name = n->out[i]->name;
      to[n->out[i]->id] = copy->out[i];
    }
  }
  for (int i = 0; i < old->outputs.n; i++)
    graph_output(g, old->output_names.data[i], to[old->outputs.data[i]->id]);
  m->main = g;
  return true;
}

static bool apply(Module *m, const Change *x) {
  switch (x->kind) {
  case TAKE_OUT: return take_out(m, x->at, x->n);
  case DROP_OUTPUT:
    if (m->main->outputs.n < 2 || x->at >= m->main->outputs.n) return false;
    drop_output(m->main, x->at);
    return true;
  case PASS_OVER: return pass_over(m, x->at, x->n);
  case SHRINK: return shrink(m, x->at, x->n, x->dim);
  }
  return false;
}

// ---- trials -------------------------------------------------------------------------------------------------

static bool save(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  if (!f) return false;
  fputs(text, f);
  return fclose(f) == 0;
}

static void count(Reduce *r, const Module *m) {
  r->nodes = 0;
  for (const Node *n = m->main->first; n; n = n->next) r->nodes++;
  r->outputs = m->main->outputs.n;
  r->inputs = m->main->inputs.n;
}

// Tries the change on the best text so far; keeps it if the command fails as before.
static bool attempt(Reduce *r, const Change *x) {
  Arena *a = arena_new(arena_oom(r->t->arena));
  FILE *silent = fopen("/dev/null", "w");
  bool kept = false;
  if (!a || !silent) goto out;
  Ctx *c = ctx_new(a, diag_new(a, silent, false));
  char *path = arena_printf(a, "%s/candidate.ing", r->folder);
  Module *m = module_parse(c, source_from_text(a, path, r->best));
  if (!m || !apply(m, x) || diag_errors(c->diag)) goto out;
  sweep(m->main);
  module_unique_names(m);
  Str text = {.arena = a};
  module_print(&text, m, blob_new(c, arena_printf(a, "%s/candidate.weights", r->folder)));
  r->tried++;
  if (strcmp(str_text(&text), r->best) != 0 && save(path, str_text(&text)) &&
      shell_run(a, r->a->command, path) == r->status) {
    r->best = arena_strdup(r->t->arena, str_text(&text));
    count(r, m);
    kept = true;
    if (r->t->terminal) fprintf(stderr, "\r\033[K%d nodes, %d trials", r->nodes, r->tried);
  }
out:
  if (silent) fclose(silent);
  arena_free(a);
  return kept;
}

// ---- the search ---------------------------------------------------------------------------------------------

static bool take_out_ranges(Reduce *r) {
  bool any = false;
  for (int n = (r->nodes + 1) / 2; n >= 1; n /= 2)
    for (int at = 0; at < r->nodes;) {
      if (attempt(r, &(Change){.kind = TAKE_OUT, .at = at, .n = n}))
        any = true;
      else
        at += n;
    }
  return any;
}

static bool drop_outputs(Reduce *r) {
  bool any = false;
  for (int k = r->outputs - 1; k >= 0; k--) any |= attempt(r, &(Change){.kind = DROP_OUTPUT, .at = k});
  return any;
}

static bool pass_over_nodes(Reduce *r) {
  enum { OPERANDS = 3 };
  bool any = false;
  for (int at = r->nodes - 1; at >= 0; at--)
    for (int k = 0; k < OPERANDS; k++) {
      if (!attempt(r, &(Change){.kind = PASS_OVER, .at = at, .n = k})) continue;
      any = true;
      break;
    }
  return any;
}

static bool shrink_inputs(Reduce *r) {
  static const int64_t extents[] = {1, 2, 3, 4, 8, 16, 64};
  bool any = false;
  for (int i = 0; i < r->inputs; i++)
    for (int d = 0; d < MAX_RANK; d++)
      for (int k = 0; k < ARRAY_LEN(extents); k++) {
        if (!attempt(r, &(Change){.kind = SHRINK, .at = i, .n = d, .dim = extents[k]})) continue;
        any = true;
        break;
      }
  return any;
}

static bool one_round(Reduce *r) {
  static bool (*const ways[])(Reduce *) = {take_out_ranges, drop_outputs, pass_over_nodes, shrink_inputs};
  bool any = false;
  for (int i = 0; i < ARRAY_LEN(ways); i++) any |= ways[i](r);
  return any;
}

static bool start(Reduce *r, Module *m) {
  Tool *t = r->t;
  char *path = tool_printf(t, "%s/candidate.ing", r->folder);
  Str text = {.arena = t->arena};
  module_unique_names(m);
  module_print(&text, m, blob_new(t->ctx, tool_printf(t, "%s/candidate.weights", r->folder)));
  r->best = str_text(&text);
  count(r, m);
  if (!save(path, r->best)) return false;
  int status = shell_run(t->arena, r->a->command, path);
  r->status = r->a->status >= 0 ? r->a->status : status;
  if (r->status != 0 && status == r->status) return true;
  diag_error(t->diag, NO_LOC, "the command ends with %d on the model: there is no failure to keep", status);
  return false;
}

// Constants that lie in the folder are written anew: it goes with this process.
static void leave_folder(Graph *g, const char *folder) {
  for (int i = 0; i < g->consts.n; i++) {
    Value *v = g->consts.data[i];
    if (!v->data->file || strncmp(v->data->file, folder, strlen(folder)) != 0) continue;
    Tensor *own = arena_dup(g->ctx->arena, v->data, sizeof *v->data);
    own->file = NULL;
    v->data = own;
  }
  for (const Node *n = g->first; n; n = n->next)
    for (int i = 0; i < n->nregions; i++) leave_folder(n->region[i], folder);
}

// The result, read once more, so that its constants go where the user's file is.
static bool finish(Reduce *r, const char *out) {
  Tool *t = r->t;
  char *path = tool_printf(t, "%s/candidate.ing", r->folder);
  Module *m = module_parse(t->ctx, source_from_text(t->arena, path, r->best));
  if (!m) return false;
  leave_folder(m->main, r->folder);
  return driver_write_ir(t, m, out);
}

static bool reduce(ReduceArgs *a) {
  Tool *t = a->build.tool;
  Module *m = driver_load(&a->build, a->file);
  if (!m) return false;
  if (m->level != LEVEL_GRAPH) {
    diag_error(t->diag, NO_LOC, "only graphs can be reduced; this module has gone beyond that");
    return false;
  }
  Reduce r = {.t = t, .a = a, .folder = tool_temp_folder(t)};
  if (!r.folder || !start(&r, m)) return false;
  int before = r.nodes;
  while (one_round(&r)) {
  }
  if (t->terminal) fputs("\r\033[K", stderr);
  printf("%d of %d nodes are left after %d trials\n", r.nodes, before, r.tried);
  return finish(&r, a->out);
}

int cmd_reduce(Tool *t, int argc, char **argv) {
  static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
  static const struct argp argp = {
      options,
      parse,
      "MODEL",
      "Shrink a model on which a command fails to a small one on which it fails in the "
      "same way.",
      children,
      NULL,
      NULL};
  ReduceArgs a = {.build = build_args(t), .out = "reduced.ing", .status = -1};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &a, &code)) return code;
  return reduce(&a) ? EXIT_FINE : EXIT_INPUT;
}
