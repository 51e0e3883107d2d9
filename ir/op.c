// op.c: assembles the op table from the rows in ops_*.c and answers questions about ops.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ops.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

// In documents' order.
static const OpInfo *const TABLES[] = {
    OPS_ARITHMETIC, OPS_ACTIVATION, OPS_LOGIC,     OPS_RESHAPE, OPS_VIEW,  OPS_INDEX,
    OPS_GENERATE,   OPS_REDUCE,     OPS_LINEAR,    OPS_CONV,    OPS_POOL,  OPS_NORM,
    OPS_RESIZE,     OPS_ATTENTION,  OPS_RECURRENT, OPS_SORT,    OPS_QUANT, OPS_CONTROL,
};

struct OpTable {
  Vec(Op *) ops;
  Map *by_name;
};

// ---- parsing of rows ------------------------------------------------------------------------------------

static void skip_spaces(const char **s) {
  while (**s == ' ') ++*s;
}

static bool take(const char **s, char ch) {
  skip_spaces(s);
  if (**s != ch) return false;
  ++*s;
  return true;
}

static size_t word_length(const char *s) {
  size_t n = 0;
  while (isalnum((unsigned char)s[n]) || strchr("_.|*", s[n] ? s[n] : ' ')) n++;
  return n;
}

static char *take_word(Arena *a, const char **s) {
  skip_spaces(s);
  size_t n = word_length(*s);
  char *word = arena_strndup(a, *s, n);
  *s += n;
  return word;
}

static int count_items(const char *s) {
  int n = s && *s ? 1 : 0, depth = 0;
  for (; s && *s; s++) {
    depth += (*s == '[') - (*s == ']');
    n += *s == ',' && depth == 0;
  }
  return n;
}

// "T", "T?" or "any*": fills type and flags.
static bool parse_param_type(const char **s, OpParam *p) {
  skip_spaces(s);
  size_t n = word_length(*s);
  size_t len = n && (*s)[n - 1] == '*' ? n - 1 : n;
  if (len == 0 || len >= sizeof p->type) return false;
  memcpy(p->type, *s, len);
  p->variadic = len < n;
  *s += n;
  p->optional = take(s, '?');
  return true;
}

static bool parse_ins(Arena *a, const char *s, Op *op) {
  op->nin = count_items(s);
  OpParam *in = NEW_ARRAY(a, OpParam, op->nin + 1);
  op->in = in;
  for (int i = 0; i < op->nin; i++) {
    in[i].name = take_word(a, &s);
    if (!take(&s, ':') || !parse_param_type(&s, &in[i])) return false;
    if (i + 1 < op->nin && (in[i].variadic || !take(&s, ','))) return false;
  }
  return !s || *s == '\0';
}

static bool parse_outs(Arena *a, const char *s, Op *op) {
  op->nout = count_items(s);
  char(*out)[16] = arena_array(a, (size_t)op->nout + 1, sizeof *out);
  op->out = (const char(*)[16])out;
  for (int i = 0; i < op->nout; i++) {
    skip_spaces(&s);
    size_t eq = *s == '=', n = eq + word_length(s + eq);
    if (n == eq || n >= sizeof *out) return false;
    memcpy(out[i], s, n);
    s += n;
    if (i + 1 < op->nout && !take(&s, ',')) return false;
  }
  return *s == '\0';
}

// "num, U:int": classes of T, U and V.
static bool parse_classes(Arena *a, const char *s, Op *op) {
  for (int i = 0, n = count_items(s); i < n; i++) {
    int var = 0;
    skip_spaces(&s);
    if (strchr("TUV", *s) && s[1] == ':') {
      var = *s - 'T';
      s += 2;
    }
    op->cls[var] = take_word(a, &s);
    if (!*op->cls[var] || (i + 1 < n && !take(&s, ','))) return false;
  }
  return !s || *s == '\0';
}

static const char *const ATTR_KINDS[] = {
    [ATTR_INT] = "int",       [ATTR_FLOAT] = "float", [ATTR_BOOL] = "bool",
    [ATTR_STRING] = "string", [ATTR_DTYPE] = "dtype", [ATTR_INTS] = "ints",
    [ATTR_FLOATS] = "floats", [ATTR_SHAPE] = "shape", [ATTR_TENSOR] = "tensor",
};

static bool parse_kind(const char *word, AttrKind *kind) {
  for (int k = 0; k < ARRAY_LEN(ATTR_KINDS); k++) {
    *kind = (AttrKind)k;
    if (strcmp(word, ATTR_KINDS[k]) == 0) return true;
  }
  return false;
}

static bool parse_attrs(Ctx *c, const char *s, Op *op) {
  op->nattr = count_items(s);
  Attr *attr = NEW_ARRAY(c->arena, Attr, op->nattr + 1);
  op->attr = attr;
  for (int i = 0; i < op->nattr; i++) {
    attr[i].name = take_word(c->arena, &s);
    if (!take(&s, ':') || !parse_kind(take_word(c->arena, &s), &attr[i].kind)) return false;
    bool required = !take(&s, '=');
    if (!required && !op_parse_attr(c, &attr[i], &s, &attr[i])) return false;
    attr[i].given = required;
    if (i + 1 < op->nattr && !take(&s, ',')) return false;
  }
  return !s || *s == '\0';
}

// ---- values of attributes in text -------------------------------------------------------------------------

static bool parse_int(const char **s, int64_t *v) {
  char *end;
  errno = 0;
  long long x = strtoll(*s, &end, 10);
  if (end == *s || errno) return false;
  *v = x;
  *s = end;
  return true;
}

static bool parse_float(const char **s, double *v) {
  char *end;
  *v = strtod(*s, &end);
  if (end == *s) return false;
  *s = end;
  return true;
}

static bool parse_string(Ctx *c, const char **s, const char **v) {
  if (take(s, '"')) {
    const char *end = strchr(*s, '"');
    if (!end) return false;
    *v = arena_strndup(c->arena, *s, (size_t)(end - *s));
    *s = end + 1;
  } else {
    *v = take_word(c->arena, s);
  }
  return true;
}

static bool parse_dtype(Ctx *c, const char **s, DType *t) {
  const char *word = take_word(c->arena, s);
  *t = dtype_parse(word, strlen(word));
  return *t != DT_NONE || strcmp(word, "none") == 0;
}

static bool parse_list(Ctx *c, const char **s, Attr *out) {
  Vec(int64_t) ints = {0};
  Vec(double) floats = {0};
  if (!take(s, '[')) return false;
  for (bool first = true; !take(s, ']'); first = false) {
    int64_t i = 0;
    double f = 0;
    if (!first && !take(s, ',')) return false;
    skip_spaces(s);
    if (out->kind == ATTR_FLOATS ? !parse_float(s, &f) : !parse_int(s, &i)) return false;
    vec_push(c->arena, &ints, i);
    vec_push(c->arena, &floats, f);
  }
  out->n = ints.n;
  out->ints = ints.data;
  out->floats = floats.data;
  Dim *dims = NEW_ARRAY(c->arena, Dim, ints.n + 1);
  for (int i = 0; i < ints.n; i++) dims[i] = dim_const(ints.data[i]);
  out->dims = dims;
  return true;
}

bool op_parse_attr(Ctx *c, const Attr *spec, const char **text, Attr *out) {
  *out = (Attr){.name = spec->name, .kind = spec->kind, .given = true};
  skip_spaces(text);
  switch (spec->kind) {
  case ATTR_INT: return parse_int(text, &out->i);
  case ATTR_FLOAT: return parse_float(text, &out->f);
  case ATTR_BOOL: {
    const char *word = take_word(c->arena, text);
    out->i = strcmp(word, "true") == 0;
    return out->i || strcmp(word, "false") == 0;
  }
  case ATTR_STRING: return parse_string(c, text, &out->s);
  case ATTR_DTYPE: return parse_dtype(c, text, &out->t);
  case ATTR_INTS:
  case ATTR_FLOATS:
  case ATTR_SHAPE: return parse_list(c, text, out);
  case ATTR_TENSOR: return false;
  }
  return false;
}

// ---- the table ---------------------------------------------------------------------------------------------

static void table_add(Ctx *c, struct OpTable *t, const OpInfo *info) {
  Op *op = NEW(c->arena, Op);
  op->info = info;
  op->name = info->name;
  bool ok = parse_ins(c->arena, info->ins, op) && parse_outs(c->arena, info->outs, op) &&
            parse_classes(c->arena, info->t, op) && parse_attrs(c, info->attrs, op);
  if (!ok) diag_error(c->diag, NO_LOC, "internal: the row of op '%s' does not parse", info->name);
  if (!map_put(t->by_name, op->name, op))
    diag_error(c->diag, NO_LOC, "internal: op '%s' is declared twice", info->name);
  vec_push(c->arena, &t->ops, op);
}

static struct OpTable *table_of(Ctx *c) {
  if (c->ops) return c->ops;
  struct OpTable *t = NEW(c->arena, struct OpTable);
  t->by_name = map_new(c->arena);
  c->ops = t;
  for (int i = 0; i < ARRAY_LEN(TABLES); i++)
    for (const OpInfo *info = TABLES[i]; info->name; info++) table_add(c, t, info);
  return t;
}

const Op *op_find(Ctx *c, const char *name) {
  return map_get(table_of(c)->by_name, name);
}

int op_count(Ctx *c) {
  return table_of(c)->ops.n;
}

const Op *op_at(Ctx *c, int i) {
  return table_of(c)->ops.data[i];
}

const char *op_suggest(Ctx *c, const char *name) {
  const struct OpTable *t = table_of(c);
  const char **names = NEW_ARRAY(c->arena, const char *, t->ops.n);
  int n = 0;
  for (int i = 0; i < t->ops.n; i++)
    if (!(t->ops.data[i]->info->flags & OP_INTERNAL)) names[n++] = t->ops.data[i]->name;
  return nearest_word(name, names, n);
}

// ---- types ---------------------------------------------------------------------------------------------------

static bool class_has(const char *cls, size_t n, DType t) {
  static const char *const NAMES[] = {"any", "num", "float", "int", "signed", "unsigned"};
  static const char *const MEMBERS[] = {"bsuf", "suf", "f", "su", "sf", "u"};
  for (int i = 0; i < ARRAY_LEN(NAMES); i++)
    if (strlen(NAMES[i]) == n && memcmp(NAMES[i], cls, n) == 0)
      return strchr(MEMBERS[i], dtype_class(t)) != NULL;
  return dtype_parse(cls, n) == t;
}

const char *op_class(const Op *op, const char *type) {
  if (type[0] >= 'T' && type[0] <= 'V' && !type[1] && op->cls[type[0] - 'T']) return op->cls[type[0] - 'T'];
  return type;
}

bool op_allows(const Op *op, const char *type, DType t) {
  if (t >= DT_COUNT) return false;
  for (const char *s = op_class(op, type);; s++) {
    size_t n = strcspn(s, "|");
    if (class_has(s, n, t)) return true;
    s += n;
    if (!*s) return false;
  }
}

const OpParam *op_param(const Op *op, int k) {
  if (k < op->nin) return &op->in[k];
  return op->nin && op->in[op->nin - 1].variadic ? &op->in[op->nin - 1] : NULL;
}

int op_results(const Node *n) {
  return n->op->info->results ? n->op->info->results(n) : n->op->nout;
}

DType op_result_dtype(const Node *n, int k) {
  if (k >= n->op->nout) return DT_NONE;
  const char *type = n->op->out[k];
  if (type[0] == '=') return attr_dtype(n, type + 1);
  for (int i = 0; i < n->nin; i++) {
    const OpParam *p = op_param(n->op, i);
    if (n->in[i] && p && strcmp(p->type, type) == 0) return n->in[i]->type.dtype;
  }
  return dtype_parse(type, strlen(type));
}
