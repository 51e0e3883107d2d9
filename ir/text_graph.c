// text_graph.c: graphs, their nodes and values as text.
// SPDX-License-Identifier: Apache-2.0
#include "ir/expr_impl.h"
#include "ir/text.h"

const Loc OWN_PLACE = {.line = -1};

void print_indent(Printer *p, int indent) {
  for (int i = 0; i < indent; i++) str_puts(p->out, "  ");
}

static bool is_plain_name(const char *s) {
  bool start = true;
  for (; *s; s++) {
    bool letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || *s == '_';
    if (!letter && (start || *s < '0' || *s > '9')) return false;
    start = false;
  }
  return !start;
}

void print_name(Printer *p, const char *name) {
  if (is_plain_name(name)) {
    str_puts(p->out, name);
  } else {
    print_string(p->out, name);
  }
}

const char *parse_name(Parser *p, const char *what) {
  return p->lx.tok.kind == TOK_STRING ? lex_string(&p->lx, what) : lex_name(&p->lx, what);
}

// ---- declarations -----------------------------------------------------------------------------------------

void print_decl(Printer *p, const Value *v) {
  print_value_ref(p, v);
  str_puts(p->out, ": ");
  print_type(p, &v->type);
  print_layout(p, v->layout);
  print_place(p, v);
}

Value *parse_decl(Parser *p) {
  Loc loc = p->lx.tok.loc;
  const char *name = lex_value_name(&p->lx);
  if (!name || !lex_expect(&p->lx, ":")) return NULL;
  Value *v = value_new(p->ctx, name, (Type){0}, loc);
  if (!parse_type(p, &v->type) || !parse_layout(p, &v->layout) || !parse_place(p, v)) return NULL;
  Value *old = map_get(p->values, name);
  if (old) {
    lex_error_at(&p->lx, loc, "the value %%%s is declared twice", name);
    diag_note(p->ctx->diag, old->loc, "here it is first");
    return NULL;
  }
  map_put(p->values, name, v);
  return v;
}

// ---- printing nodes ---------------------------------------------------------------------------------------

static void print_operands(Printer *p, const Node *n) {
  str_puts(p->out, "(");
  for (int i = 0; i < n->nin; i++) {
    if (i) str_puts(p->out, ", ");
    if (n->in[i]) {
      print_value_ref(p, value_resolve(n->in[i]));
    } else {
      str_puts(p->out, "_");
    }
  }
  str_puts(p->out, ")");
}

void print_call(Printer *p, const Node *n) {
  str_puts(p->out, n->op->name);
  if (n->kernel) {
    str_puts(p->out, " ");
    print_name(p, n->kernel->name);
  }
  print_operands(p, n);
  for (int i = 0; i < n->op->nattr; i++) {
    if (!n->attr[i].given) continue;
    str_puts(p->out, " ");
    print_attr(p, &n->attr[i]);
  }
}

void node_print_op(Str *out, const Node *n) {
  Printer p = {.out = out};
  str_puts(out, n->op->name);
  for (int i = 0; i < n->op->nattr; i++) {
    if (!n->attr[i].given) continue;
    str_puts(out, " ");
    print_attr(&p, &n->attr[i]);
  }
}

static void print_origins(Printer *p, const Node *n) {
  if (p->plain) return;
  for (int i = 0; i < n->origins.n; i++) {
    const Origin *o = &n->origins.data[i];
    str_puts(p->out, i ? ", " : " from ");
    print_string(p->out, o->name ? o->name : "");
    if (o->flops) str_printf(p->out, " flops=%lld", (long long)o->flops);
    print_loc(p, o->loc, n->loc);
  }
}

static void print_regions(Printer *p, const Node *n, int indent) {
  str_puts(p->out, " {\n");
  for (int i = 0; i < n->nregions; i++) print_graph_block(p, n->region[i], indent + 1);
  print_indent(p, indent);
  str_puts(p->out, "}");
}

static void print_node(Printer *p, const Node *n, int indent) {
  print_indent(p, indent);
  for (int i = 0; i < n->nout; i++) {
    if (i) str_puts(p->out, ", ");
    print_decl(p, n->out[i]);
    print_loc(p, n->out[i]->loc, n->loc);
  }
  str_puts(p->out, n->nout ? " = " : "= ");
  print_call(p, n);
  print_loc(p, n->loc, OWN_PLACE);
  for (int i = 0; !p->plain && i < n->makers.n; i++) {
    str_puts(p->out, i ? ", " : " by ");
    print_name(p, n->makers.data[i]);
  }
  print_origins(p, n);
  if (n->nregions) print_regions(p, n, indent);
  str_puts(p->out, "\n");
}

// ---- printing graphs --------------------------------------------------------------------------------------

static void print_inputs(Printer *p, const Graph *g, int indent) {
  bool many = g->inputs.n > 1;
  str_puts(p->out, "(");
  for (int i = 0; i < g->inputs.n; i++) {
    if (i) str_puts(p->out, ",");
    if (many) str_puts(p->out, "\n");
    if (many) print_indent(p, indent + 2);
    print_decl(p, g->inputs.data[i]);
    if (g->inputs.data[i]->limit) str_printf(p->out, " below %lld", (long long)g->inputs.data[i]->limit);
    print_loc(p, g->inputs.data[i]->loc, OWN_PLACE);
  }
  str_puts(p->out, ")");
}

static void print_const(Printer *p, const Value *v, int indent) {
  print_indent(p, indent);
  print_decl(p, v);
  str_puts(p->out, " = const ");
  print_tensor(p, v->data);
  print_loc(p, v->loc, OWN_PLACE);
  str_puts(p->out, "\n");
}

static void print_return(Printer *p, const Graph *g, int indent) {
  print_indent(p, indent);
  str_puts(p->out, "return");
  for (int i = 0; i < g->outputs.n; i++) {
    const char *name = i < g->output_names.n ? g->output_names.data[i] : NULL;
    str_puts(p->out, i ? ", " : " ");
    if (name) print_name(p, name);
    if (name) str_puts(p->out, "=");
    print_value_ref(p, value_resolve(g->outputs.data[i]));
  }
  str_puts(p->out, "\n");
}

void print_graph_block(Printer *p, const Graph *g, int indent) {
  print_indent(p, indent);
  str_puts(p->out, "graph ");
  print_name(p, g->name ? g->name : "");
  print_inputs(p, g, indent);
  str_puts(p->out, " {\n");
  for (int i = 0; i < g->consts.n; i++) print_const(p, g->consts.data[i], indent + 1);
  for (const Node *n = g->first; n; n = n->next) print_node(p, n, indent + 1);
  print_return(p, g, indent + 1);
  print_indent(p, indent);
  str_puts(p->out, "}\n");
}

// ---- parsing nodes ----------------------------------------------------------------------------------------

static const Op *parse_op(Parser *p) {
  Loc loc = p->lx.tok.loc;
  const char *name = lex_name(&p->lx, "an op");
  if (!name) return NULL;
  const Op *op = strcmp(name, "kernel") == 0 ? op_kernel(p->ctx) : op_find(p->ctx, name);
  if (op) return op;
  const char *near = op_suggest(p->ctx, name);
  lex_error_at(&p->lx, loc, "unknown op '%s'%s%s%s", name, near ? "; did you mean '" : "", near ? near : "",
               near ? "'?" : "");
  return NULL;
}

static bool parse_operands(Parser *p, Node *n) {
  Vec(Value *) in = {0};
  if (!lex_expect(&p->lx, "(")) return false;
  while (!lex_is(&p->lx, ")")) {
    if (in.n && !lex_expect(&p->lx, ",")) return false;
    if (in.n == MAX_OPERANDS) return lex_error(&p->lx, "more than %d operands", MAX_OPERANDS);
    Value *v = NULL;
    if (!lex_accept(&p->lx, "_") && !(v = parse_value_ref(p))) return false;
    vec_push(p->ctx->arena, &in, v);
  }
  lex_next(&p->lx);
  n->in = in.data;
  n->nin = in.n;
  return true;
}

static Attr *find_attr(Parser *p, Node *n, Loc loc, const char *name) {
  const char **names = NEW_ARRAY(p->ctx->arena, const char *, n->op->nattr);
  for (int i = 0; i < n->op->nattr; i++) {
    names[i] = n->attr[i].name;
    if (strcmp(names[i], name) == 0) return &n->attr[i];
  }
  const char *near = nearest_word(name, names, n->op->nattr);
  lex_error_at(&p->lx, loc, "op '%s' has no attribute '%s'%s%s%s", n->op->name, name,
               near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
  return NULL;
}

static bool is_suffix(const Lexer *lx) {
  return lex_is(lx, "loc") || lex_is(lx, "by") || lex_is(lx, "from") || lex_is(lx, "at");
}

static bool parse_attrs(Parser *p, Node *n) {
  bool *seen = NEW_ARRAY(p->ctx->arena, bool, n->op->nattr);
  while (p->lx.tok.kind == TOK_NAME && !is_suffix(&p->lx)) {
    Loc loc = p->lx.tok.loc;
    const char *name = lex_name(&p->lx, "an attribute");
    Attr *a = find_attr(p, n, loc, name);
    if (!a || !lex_expect(&p->lx, "=") || !parse_attr_value(p, a)) return false;
    if (seen[a - n->attr]) return lex_error_at(&p->lx, loc, "attribute '%s' is given twice", name);
    seen[a - n->attr] = true;
  }
  for (int i = 0; i < n->op->nattr; i++) {
    if (n->op->attr[i].given && !seen[i]) {
      return lex_error(&p->lx, "op '%s' needs the attribute '%s'", n->op->name, n->attr[i].name);
    }
  }
  return true;
}

Node *parse_call_line(Parser *p, Loc loc) {
  const Op *op = parse_op(p);
  if (!op) return NULL;
  Node *n = NEW(p->ctx->arena, Node);
  *n = (Node){.op = op, .id = p->ctx->next_node++, .loc = loc};
  n->attr = NEW_ARRAY(p->ctx->arena, Attr, op->nattr);
  for (int i = 0; i < op->nattr; i++) {
    n->attr[i] = op->attr[i];
    n->attr[i].given = false; // in the op's specs the flag says "required"
  }
  if (op_is(n, "kernel")) {
    n->kernel = NEW(p->ctx->arena, Kernel);
    if (!(n->kernel->name = parse_name(p, "the kernel's name"))) return NULL;
  }
  return parse_operands(p, n) && parse_attrs(p, n) ? n : NULL;
}

static bool parse_makers(Parser *p, Node *n) {
  if (!lex_accept(&p->lx, "by")) return true;
  do {
    const char *pass = parse_name(p, "a pass");
    if (!pass) return false;
    vec_push(p->ctx->arena, &n->makers, pass);
  } while (lex_accept(&p->lx, ","));
  return true;
}

static bool parse_origins(Parser *p, Node *n) {
  if (!lex_accept(&p->lx, "from")) return true;
  do {
    Origin o = {.name = lex_string(&p->lx, "an origin")};
    if (!o.name) return false;
    if (lex_accept(&p->lx, "flops") && (!lex_expect(&p->lx, "=") || !lex_int(&p->lx, &o.flops))) return false;
    if (!parse_loc(p, &o.loc, n->loc)) return false;
    vec_push(p->ctx->arena, &n->origins, o);
  } while (lex_accept(&p->lx, ","));
  return true;
}

static bool parse_regions(Parser *p, Node *n) {
  Vec(Graph *) regions = {0};
  if (!lex_accept(&p->lx, "{")) return true;
  lex_skip_newlines(&p->lx);
  while (lex_is(&p->lx, "graph")) {
    Graph *g = parse_graph_block(p, n->graph);
    if (!g) return false;
    vec_push(p->ctx->arena, &regions, g);
  }
  n->region = regions.data;
  n->nregions = regions.n;
  return lex_expect(&p->lx, "}");
}

// Declared names stay known after a fault further on in the line, which keeps later lines free of echoes.
static bool parse_results(Parser *p, Value ***out, int *n) {
  Vec(Value *) list = {0};
  while (!lex_is(&p->lx, "=")) {
    if (list.n && !lex_expect(&p->lx, ",")) return false;
    if (list.n == MAX_OPERANDS) return lex_error(&p->lx, "more than %d results", MAX_OPERANDS);
    Value *v = parse_decl(p);
    if (!v || !parse_loc(p, &v->loc, OWN_PLACE)) return false;
    v->def_index = list.n;
    vec_push(p->ctx->arena, &list, v);
  }
  lex_next(&p->lx);
  *out = list.data;
  *n = list.n;
  return true;
}

bool is_own_place(Loc loc) {
  return !loc.src && loc.line == OWN_PLACE.line;
}

static bool declare_kernel(Parser *p, Node *n, Loc loc) {
  if (!n->kernel) return true;
  if (map_get(p->kernels, n->kernel->name)) {
    return lex_error_at(&p->lx, loc, "two nodes use the kernel '%s'", n->kernel->name);
  }
  map_put(p->kernels, n->kernel->name, n);
  vec_push(p->ctx->arena, &p->kernel_nodes, n);
  return true;
}

static bool parse_const(Parser *p, Graph *g, Value *const *out, int nout, Loc loc) {
  if (nout != 1) return lex_error(&p->lx, "a constant is one value");
  Value *v = out[0];
  v->data = parse_tensor(p, &v->type);
  if (!v->data || !parse_loc(p, &v->loc, loc)) return false;
  vec_push(p->ctx->arena, &g->consts, v);
  return true;
}

static bool parse_node(Parser *p, Graph *g) {
  Loc own = p->lx.tok.loc;
  Value **out = NULL;
  int nout = 0;
  if (!parse_results(p, &out, &nout)) return false;
  if (lex_accept(&p->lx, "const")) return parse_const(p, g, out, nout, own) && lex_end_of_line(&p->lx);
  Node *n = parse_call_line(p, own);
  if (!n || !parse_loc(p, &n->loc, own)) return false;
  n->out = out;
  n->nout = nout;
  for (int i = 0; i < nout; i++) {
    out[i]->def = n;
    if (is_own_place(out[i]->loc)) out[i]->loc = n->loc;
  }
  n->graph = g;
  if (!parse_makers(p, n) || !parse_origins(p, n) || !parse_regions(p, n) || !declare_kernel(p, n, own))
    return false;
  node_insert(g, n, NULL);
  g->nnodes++;
  return lex_end_of_line(&p->lx);
}

// ---- parsing graphs ---------------------------------------------------------------------------------------

static bool parse_limit(Parser *p, Value *v) {
  if (!lex_accept(&p->lx, "below")) return true;
  if (!lex_int(&p->lx, &v->limit)) return false;
  if (type_takes_limit(&v->type, v->limit)) return true;
  return lex_error(&p->lx, "only inputs of integers have a limit, a number from 1 to %d", INT32_MAX);
}

static bool parse_inputs(Parser *p, Graph *g) {
  if (!lex_expect(&p->lx, "(")) return false;
  while (!lex_is(&p->lx, ")")) {
    if (g->inputs.n && !lex_expect(&p->lx, ",")) return false;
    if (g->inputs.n == MAX_OPERANDS) return lex_error(&p->lx, "more than %d inputs", MAX_OPERANDS);
    Loc own = p->lx.tok.loc;
    Value *v = parse_decl(p);
    if (!v || !parse_limit(p, v) || !parse_loc(p, &v->loc, own)) return false;
    vec_push(p->ctx->arena, &g->inputs, v);
  }
  lex_next(&p->lx);
  return true;
}

static bool parse_output(Parser *p, Graph *g) {
  const char *name = NULL;
  if (!lex_is(&p->lx, "%")) {
    name = parse_name(p, "an output's name");
    if (!name || !lex_expect(&p->lx, "=")) return false;
  }
  Value *v = parse_value_ref(p);
  if (!v) return false;
  graph_output(g, name, v);
  return true;
}

static bool parse_return(Parser *p, Graph *g) {
  lex_next(&p->lx);
  while (p->lx.tok.kind != TOK_NEWLINE && p->lx.tok.kind != TOK_END) {
    if (g->outputs.n && !lex_expect(&p->lx, ",")) return false;
    if (g->outputs.n == MAX_OPERANDS) return lex_error(&p->lx, "more than %d outputs", MAX_OPERANDS);
    if (!parse_output(p, g)) return false;
  }
  return lex_end_of_line(&p->lx);
}

// Statements up to the closing brace; goes on after errors.
static bool parse_graph_body(Parser *p, Graph *g) {
  bool returned = false;
  while (p->lx.tok.kind != TOK_END && !lex_is(&p->lx, "}")) {
    bool last = lex_is(&p->lx, "return");
    if (returned) lex_error(&p->lx, "nothing may follow 'return'");
    if (p->lx.failed || !(last ? parse_return(p, g) : parse_node(p, g))) lex_sync(&p->lx);
    returned |= last;
  }
  if (!returned) lex_error(&p->lx, "the graph '%s' ends without 'return'", g->name);
  return lex_expect(&p->lx, "}");
}

static Graph *parse_graph_inner(Parser *p, Graph *parent) {
  lex_next(&p->lx); // "graph"
  const char *name = parse_name(p, "the graph's name");
  if (!name) return NULL;
  Graph *g = graph_new(p->module, name, parent);
  if (!parse_inputs(p, g) || !lex_expect(&p->lx, "{")) return NULL;
  lex_skip_newlines(&p->lx);
  return parse_graph_body(p, g) && lex_end_of_line(&p->lx) ? g : NULL;
}

Graph *parse_graph_block(Parser *p, Graph *parent) {
  if (p->depth >= MAX_NESTING) {
    lex_error(&p->lx, "graphs nested more than %d deep", MAX_NESTING);
    return NULL;
  }
  p->depth++;
  Graph *g = parse_graph_inner(p, parent);
  p->depth--;
  return g;
}
