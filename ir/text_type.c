// text_type.c: types, layouts, places in memory, attributes and source locations as text.
// SPDX-License-Identifier: Apache-2.0
#include "ir/text.h"

// ---- types ------------------------------------------------------------------------------------------------

static void print_dim(Printer *p, Dim d) {
  if (d.sym) {
    print_expr(p, d.sym);
    str_printf(p->out, "<=%lld", (long long)d.n);
  } else {
    str_printf(p->out, "%lld", (long long)d.n);
  }
}

static void print_dim_list(Printer *p, const Dim *dims, int n) {
  str_puts(p->out, "[");
  for (int i = 0; i < n; i++) {
    if (i) str_puts(p->out, ",");
    print_dim(p, dims[i]);
  }
  str_puts(p->out, "]");
}

void print_type(Printer *p, const Type *t) {
  str_puts(p->out, dtype_name(t->dtype));
  print_dim_list(p, t->dim, t->rank);
}

static bool is_symbolic(const Expr *e, void *data) {
  (void)data;
  return e->op != E_READ && e->op != E_VAR && e->op != E_REDUCE;
}

// Extents are kept in normal form, unlike other expressions: inference compares them.
const Expr *parse_extent(Parser *p) {
  bool raw = p->raw;
  Map *vars = p->vars;
  Loc loc = p->lx.tok.loc;
  p->raw = false;
  p->vars = NULL;
  const Expr *e = parse_sum(p);
  p->raw = raw;
  p->vars = vars;
  if (e && !expr_visit(p->ctx, e, is_symbolic, NULL)) {
    lex_error_at(&p->lx, loc, "an extent may only use numbers and symbols");
    return NULL;
  }
  return e;
}

// 64, T<=512, 2*T+1<=1025. The bound may be left out; the type's size is checked with it.
static bool parse_dim(Parser *p, Dim *d, bool extent) {
  Loc loc = p->lx.tok.loc;
  const Expr *e = parse_extent(p);
  if (!e) return false;
  *d = dim_expr(p->ctx, e);
  if (!d->sym && extent && d->n < 0)
    return lex_error_at(&p->lx, loc, "negative extent %lld", (long long)d->n);
  if (!lex_accept(&p->lx, "<=")) return true;
  int64_t bound;
  if (!lex_int(&p->lx, &bound)) return false;
  if (bound < d->n) {
    return lex_error_at(&p->lx, loc, "the extent can reach %lld, more than the %lld stated", (long long)d->n,
                        (long long)bound);
  }
  d->n = bound;
  return true;
}

bool parse_type(Parser *p, Type *t) {
  Loc loc = p->lx.tok.loc;
  const char *name = lex_name(&p->lx, "a type");
  if (!name) return false;
  *t = (Type){.dtype = dtype_parse(name, strlen(name))};
  if (t->dtype == DT_NONE) return lex_error_at(&p->lx, loc, "unknown element type '%s'", name);
  if (!lex_expect(&p->lx, "[")) return false;
  while (!lex_is(&p->lx, "]")) {
    if (t->rank && !lex_expect(&p->lx, ",")) return false;
    if (t->rank == MAX_RANK) return lex_error(&p->lx, "more than %d dimensions", MAX_RANK);
    if (!parse_dim(p, &t->dim[t->rank++], true)) return false;
  }
  lex_next(&p->lx);
  if (p->lx.failed || type_check_size(p->ctx, loc, t)) return !p->lx.failed;
  p->lx.failed = true;
  return false;
}

// ---- layouts ----------------------------------------------------------------------------------------------

void print_layout(Printer *p, const Layout *l) {
  if (!l) return;
  str_puts(p->out, " layout<");
  for (int i = 0; i < l->n; i++) {
    const LayoutPart *part = &l->part[i];
    str_printf(p->out, "%s%d", i ? "," : "", part->dim);
    if (part->pad || part->pad_after) str_printf(p->out, "+%lld", (long long)part->pad);
    if (part->pad_after) str_printf(p->out, ":%lld", (long long)part->pad_after);
    if (part->div != 1) str_printf(p->out, "/%lld", (long long)part->div);
    if (part->mod) str_printf(p->out, "%%%lld", (long long)part->mod);
    if (part->room) str_printf(p->out, "^%lld", (long long)part->room);
  }
  str_puts(p->out, ">");
}

static bool parse_layout_number(Parser *p, const char *after, int64_t min, int64_t *v) {
  if (after && !lex_accept(&p->lx, after)) return true;
  Loc loc = p->lx.tok.loc;
  if (!lex_int(&p->lx, v)) return false;
  if (*v >= min && *v <= MAX_ELEMENTS) return true;
  return lex_error_at(&p->lx, loc, "%lld makes no sense in a layout", (long long)*v);
}

static bool parse_layout_part(Parser *p, LayoutPart *part) {
  int64_t dim = 0;
  *part = (LayoutPart){.div = 1};
  if (!parse_layout_number(p, NULL, 0, &dim) || !parse_layout_number(p, "+", 0, &part->pad) ||
      !parse_layout_number(p, ":", 0, &part->pad_after) || !parse_layout_number(p, "/", 1, &part->div) ||
      !parse_layout_number(p, "%", 1, &part->mod) || !parse_layout_number(p, "^", 1, &part->room)) {
    return false;
  }
  if (part->room && (part->pad || part->pad_after || part->div != 1 || part->mod))
    return lex_error(&p->lx, "a dimension with room is neither padded nor divided");
  if (dim >= MAX_RANK) return lex_error(&p->lx, "there is no dimension %lld", (long long)dim);
  part->dim = (int)dim;
  return true;
}

bool parse_layout(Parser *p, const Layout **l) {
  *l = NULL;
  if (!lex_accept(&p->lx, "layout")) return true;
  if (!lex_expect(&p->lx, "<")) return false;
  LayoutPart parts[MAX_PHYS_RANK];
  int n = 0;
  while (!lex_is(&p->lx, ">")) {
    if (n && !lex_expect(&p->lx, ",")) return false;
    if (n == MAX_PHYS_RANK) return lex_error(&p->lx, "more than %d physical dimensions", MAX_PHYS_RANK);
    if (!parse_layout_part(p, &parts[n++])) return false;
  }
  lex_next(&p->lx);
  *l = layout_new(p->ctx, parts, n);
  return true;
}

// ---- places -----------------------------------------------------------------------------------------------

static const char *const SPACES[] = {"none",  "input", "output", "const",  "arena",
                                     "state", "reg",   "stack",  "scratch"};

void print_place(Printer *p, const Value *v) {
  if (v->space == SPACE_NONE && !v->offset && !v->base) return;
  str_printf(p->out, " @%s", SPACES[v->space]);
  if (v->offset) str_printf(p->out, "%+lld", (long long)v->offset);
  if (!v->base) return;
  str_puts(p->out, " in ");
  print_value_ref(p, v->base);
}

static bool parse_base(Parser *p, Value *v) {
  if (!lex_accept(&p->lx, "in")) return true;
  PendingBase b = {.value = v, .loc = p->lx.tok.loc};
  if (!(b.name = lex_value_name(&p->lx))) return false;
  vec_push(p->ctx->arena, &p->bases, b);
  return true;
}

bool parse_place(Parser *p, Value *v) {
  if (!lex_accept(&p->lx, "@")) return true;
  Loc loc = p->lx.tok.loc;
  const char *name = lex_name(&p->lx, "a space");
  if (!name) return false;
  int space = 0;
  while (space < ARRAY_LEN(SPACES) && strcmp(SPACES[space], name) != 0) space++;
  if (space == ARRAY_LEN(SPACES)) return lex_error_at(&p->lx, loc, "there is no space '%s'", name);
  v->space = (Space)space;
  lex_accept(&p->lx, "+"); // a minus is part of the number
  if (p->lx.tok.kind == TOK_NUMBER || lex_is(&p->lx, "-")) {
    if (!lex_int(&p->lx, &v->offset)) return false;
  }
  return parse_base(p, v);
}

// ---- attributes -------------------------------------------------------------------------------------------

static void print_numbers(Printer *p, const Attr *a) {
  str_puts(p->out, "[");
  for (int i = 0; i < a->n; i++) {
    if (i) str_puts(p->out, ",");
    if (a->kind == ATTR_INTS) {
      str_printf(p->out, "%lld", (long long)a->ints[i]);
    } else {
      print_double(p->out, a->floats[i], DT_F64);
    }
  }
  str_puts(p->out, "]");
}

void print_attr(Printer *p, const Attr *a) {
  Str *out = p->out;
  str_printf(out, "%s=", a->name);
  switch (a->kind) {
  case ATTR_INT: str_printf(out, "%lld", (long long)a->i); break;
  case ATTR_FLOAT: print_double(out, a->f, DT_F64); break;
  case ATTR_BOOL: str_puts(out, a->i ? "true" : "false"); break;
  case ATTR_STRING: print_string(out, a->s); break;
  case ATTR_DTYPE: str_puts(out, dtype_name(a->t)); break;
  case ATTR_INTS:
  case ATTR_FLOATS: print_numbers(p, a); break;
  case ATTR_SHAPE: print_dim_list(p, a->dims, a->n); break;
  case ATTR_TENSOR:
    print_type(p, &a->tensor->type);
    str_puts(out, " ");
    print_tensor(p, a->tensor);
    break;
  }
}

static bool parse_bool(Parser *p, Attr *a) {
  a->i = lex_is(&p->lx, "true");
  if (lex_accept(&p->lx, "true") || lex_accept(&p->lx, "false")) return true;
  return lex_error(&p->lx, "expected true or false for '%s'", a->name);
}

static bool parse_dtype(Parser *p, DType *t) {
  Loc loc = p->lx.tok.loc;
  const char *name = lex_name(&p->lx, "an element type");
  if (!name) return false;
  *t = dtype_parse(name, strlen(name));
  return *t != DT_NONE || lex_error_at(&p->lx, loc, "unknown element type '%s'", name);
}

// [a, b, ...] of the attribute's kind.
static bool parse_list(Parser *p, Attr *a) {
  Arena *arena = p->ctx->arena;
  Vec(int64_t) ints = {0};
  Vec(double) floats = {0};
  Vec(Dim) dims = {0};
  if (!lex_expect(&p->lx, "[")) return false;
  for (a->n = 0; !lex_is(&p->lx, "]"); a->n++) {
    int64_t i = 0;
    double f = 0;
    Dim d = {0};
    if (a->n && !lex_expect(&p->lx, ",")) return false;
    bool ok = a->kind == ATTR_INTS     ? lex_int(&p->lx, &i)
              : a->kind == ATTR_FLOATS ? lex_double(&p->lx, &f, DT_F64)
                                       : parse_dim(p, &d, false);
    if (!ok) return false;
    if (a->kind == ATTR_INTS) vec_push(arena, &ints, i);
    if (a->kind == ATTR_FLOATS) vec_push(arena, &floats, f);
    if (a->kind == ATTR_SHAPE) vec_push(arena, &dims, d);
  }
  lex_next(&p->lx);
  a->ints = ints.data;
  a->floats = floats.data;
  a->dims = dims.data;
  return true;
}

static bool parse_tensor_attr(Parser *p, Attr *a) {
  Type t;
  return parse_type(p, &t) && (a->tensor = parse_tensor(p, &t));
}

bool parse_attr_value(Parser *p, Attr *a) {
  a->given = true;
  switch (a->kind) {
  case ATTR_INT: return lex_int(&p->lx, &a->i);
  case ATTR_FLOAT: return lex_double(&p->lx, &a->f, DT_F64);
  case ATTR_BOOL: return parse_bool(p, a);
  case ATTR_STRING: return (a->s = lex_string(&p->lx, a->name)) != NULL;
  case ATTR_DTYPE: return parse_dtype(p, &a->t);
  case ATTR_INTS:
  case ATTR_FLOATS:
  case ATTR_SHAPE: return parse_list(p, a);
  case ATTR_TENSOR: return parse_tensor_attr(p, a);
  }
  return false;
}

// ---- locations --------------------------------------------------------------------------------------------

static bool same_loc(Loc a, Loc b) {
  bool what = a.what == b.what || (a.what && b.what && strcmp(a.what, b.what) == 0);
  return a.src == b.src && a.line == b.line && a.col == b.col && what;
}

static int source_number(Printer *p, const Source *src) {
  for (int i = 0; i < p->sources.n; i++) {
    if (strcmp(p->sources.data[i]->path, src->path) == 0) return i;
  }
  vec_push(p->out->arena, &p->sources, src);
  return p->sources.n - 1;
}

void print_loc(Printer *p, Loc loc, Loc enclosing) {
  if (p->plain || same_loc(loc, enclosing)) return;
  Str *out = p->out;
  str_puts(out, " loc(");
  if (loc.src) {
    int number = source_number(p, loc.src);
    if (number) str_printf(out, "%d:", number);
    str_printf(out, "%d:%d", loc.line, loc.col);
  }
  if (loc.what) {
    if (loc.src) str_puts(out, " ");
    print_string(out, loc.what);
  }
  str_puts(out, ")");
}

// 12:5 or 1:12:5, the source's number first.
static bool parse_place_in_source(Parser *p, Loc *loc) {
  int64_t v[3];
  int n = 0;
  do {
    if (n == 3) return lex_error(&p->lx, "expected ')'");
    if (!lex_int(&p->lx, &v[n])) return false;
    if (v[n] < 0 || v[n] > INT32_MAX) return lex_error(&p->lx, "position out of range");
    n++;
  } while (lex_accept(&p->lx, ":"));
  int64_t source = n == 3 ? v[0] : 0;
  if (n < 2 || source >= p->sources.n) return lex_error(&p->lx, "this names no source of the module");
  loc->src = p->sources.data[source];
  loc->line = (int)v[n - 2];
  loc->col = (int)v[n - 1];
  return true;
}

static bool parse_stated_loc(Parser *p, Loc *loc, Loc enclosing) {
  *loc = enclosing;
  if (!lex_accept(&p->lx, "loc")) return true;
  *loc = NO_LOC;
  if (!lex_expect(&p->lx, "(")) return false;
  if (p->lx.tok.kind == TOK_NUMBER && !parse_place_in_source(p, loc)) return false;
  if (p->lx.tok.kind == TOK_STRING) loc->what = lex_string(&p->lx, "a description");
  return lex_expect(&p->lx, ")");
}

// Where the current statement stands; `place` if that is inside it.
static Loc own_place(const Parser *p, Loc place) {
  Loc first = p->lx.statement;
  return is_own_place(place) || (place.src == first.src && place.line >= first.line) ? place : first;
}

bool parse_loc(Parser *p, Loc *loc, Loc enclosing) {
  Loc own = own_place(p, enclosing);
  if (!parse_stated_loc(p, loc, enclosing)) return false;
  if (p->own_places) *loc = own;
  return true;
}
