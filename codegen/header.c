// header.c: the artefact's C header: a typed function and everything a caller must know, as text and constants.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

#include <ctype.h>
#include <strings.h>

// ---- names ------------------------------------------------------------------------------------------------------

static bool is_keyword(const char *s) {
  static const char *const words[] = {
      "auto",      "break",   "case",     "catch",    "char",      "class",    "const",    "continue",
      "default",   "delete",  "do",       "double",   "else",      "enum",     "extern",   "false",
      "float",     "for",     "friend",   "goto",     "if",        "inline",   "int",      "long",
      "namespace", "new",     "operator", "private",  "protected", "public",   "register", "restrict",
      "return",    "short",   "signed",   "sizeof",   "static",    "struct",   "switch",   "template",
      "this",      "throw",   "true",     "try",      "typedef",   "typename", "union",    "unsigned",
      "using",     "virtual", "void",     "volatile", "while",     "bool",     "and",      "or",
      "not",       "xor"};
  for (int i = 0; i < ARRAY_LEN(words); i++)
    if (strcmp(words[i], s) == 0) return true;
  return false;
}

// A C identifier like `name`; `kind` and `i` name what cannot be spelled.
static char *identifier(const Plan *p, const char *name, const char *kind, int i) {
  bool usable = name && (isalpha((unsigned char)*name) || *name == '_');
  char *s =
      usable ? arena_strdup(p->arena, name) : arena_printf(p->arena, "%s%d_%s", kind, i, name ? name : "");
  for (char *c = s; *c; c++)
    if (!isalnum((unsigned char)*c)) *c = '_';
  return is_keyword(s) ? arena_printf(p->arena, "%s_", s) : s;
}

static char *upper(const Plan *p, const char *s) {
  char *u = arena_strdup(p->arena, s);
  for (char *c = u; *c; c++) *c = (char)toupper((unsigned char)*c);
  return u;
}

static const char *c_type(int32_t dtype) {
  static const char *const names[] = {"void",     "uint8_t",  "int8_t",   "uint8_t", "int16_t",
                                      "uint16_t", "int32_t",  "uint32_t", "int64_t", "uint64_t",
                                      "uint16_t", "uint16_t", "float",    "double"};
  return names[dtype];
}

// ---- parameters -------------------------------------------------------------------------------------------------

typedef struct Param {
  char *name;
  const struct ingot_tensor_info *info; // NULL: a symbol
  bool output;
} Param;

// Names become unique within the list.
static void add_param(const Plan *p, Param *list, int *n, Param param) {
  for (int i = 0; i < *n; i++)
    if (strcasecmp(list[i].name, param.name) == 0) { // the constants are in capitals
      param.name = arena_printf(p->arena, "%s_%d", param.name, *n);
      break;
    }
  list[(*n)++] = param;
}

static int list_params(const Plan *p, Param **out) {
  const struct ingot_model *m = &p->model;
  Param *list = NEW_ARRAY(p->arena, Param, m->n_inputs + m->n_symbols + m->n_outputs + 1);
  int n = 0;
  for (int i = 0; i < m->n_inputs; i++)
    add_param(p, list, &n, (Param){identifier(p, m->inputs[i].name, "in", i), &m->inputs[i], false});
  for (int i = 0; i < m->n_symbols; i++)
    if (m->symbols[i].kind == INGOT_SYM_INPUT || m->symbols[i].kind == INGOT_SYM_CALLER)
      add_param(p, list, &n, (Param){identifier(p, m->symbols[i].name, "sym", i), NULL, false});
  for (int i = 0; i < m->n_outputs; i++)
    add_param(p, list, &n, (Param){identifier(p, m->outputs[i].name, "out", i), &m->outputs[i], true});
  *out = list;
  return n;
}

// "[1][3][224][224]"; an extent that a symbol gives by the symbol's name, or its bound where it has none.
static void print_shape(const Plan *p, FILE *out, const struct ingot_tensor_info *t) {
  for (int i = 0; i < t->rank; i++) {
    if (t->dims[i].sym >= 0)
      fprintf(out, "[%s <= %lld]", p->model.symbols[t->dims[i].sym].name, (long long)t->dims[i].n);
    else
      fprintf(out, "[%lld]", (long long)t->dims[i].n);
  }
}

static bool is_fixed(const struct ingot_tensor_info *t) {
  for (int i = 0; i < t->rank; i++)
    if (t->dims[i].sym >= 0) return false;
  return true;
}

static int64_t elements_of(const struct ingot_tensor_info *t) {
  return t->bytes / ingot_dtype_size(t->dtype);
}

// Flat arrays, so that any buffer of the right size fits; where extents vary, the size would be wrong.
static void print_param(const Plan *p, FILE *out, const Param *q) {
  if (!q->info) {
    fprintf(out, "int64_t %s", q->name);
    return;
  }
  fprintf(out, "%s%s ", q->output ? "" : "const ", c_type(q->info->dtype));
  int64_t n = elements_of(q->info);
  if (!is_fixed(q->info) || n == 0)
    fprintf(out, "*%s", q->name);
  else if (n <= INT32_MAX)
    fprintf(out, "%s[%s_%s_SIZE]", q->name, upper(p, p->model.name), upper(p, q->name));
  else
    fprintf(out, "%s[%lldll]", q->name, (long long)n);
}

// The name of a symbol as a parameter.
static const char *symbol_param(const Plan *p, int32_t s) {
  return identifier(p, p->model.symbols[s].name, "sym", s);
}

// All extents are numbers or symbols that the caller knows.
static bool sizes_follow(const Plan *p, const struct ingot_tensor_info *t) {
  for (int d = 0; d < t->rank; d++) {
    int32_t s = t->dims[d].sym, kind = s < 0 ? INGOT_SYM_INPUT : p->model.symbols[s].kind;
    if (kind != INGOT_SYM_INPUT && kind != INGOT_SYM_CALLER) return false;
  }
  return true;
}

static void print_function(const Plan *p, FILE *out, const Param *list, int n) {
  fprintf(out, "int %s_run(", p->model.name);
  for (int i = 0; i < n; i++) {
    if (i) fputs(", ", out);
    print_param(p, out, &list[i]);
  }
  fputs(n ? ");\n" : "void);\n", out);
}

// ---- text -------------------------------------------------------------------------------------------------------

// Text from the model may hold anything, also the end of the comment.
static void print_comment_text(FILE *out, const char *s) {
  for (; *s; s++)
    fputc((unsigned char)*s < 0x20 || (*s == '/' && s[1] == '*') ? ' ' : *s == '\\' ? '/' : *s, out);
}

static void print_tensor(const Plan *p, FILE *out, const Param *q) {
  fprintf(out, "//   %-6s %s: %s", q->output ? "output" : "input", q->name, ingot_dtype_name(q->info->dtype));
  print_shape(p, out, q->info);
  fprintf(out, ", %lld bytes", (long long)q->info->bytes);
  if (strcmp(q->name, q->info->name) != 0) {
    fputs(", in the model '", out);
    print_comment_text(out, q->info->name);
    fputs("'", out);
  }
  fputs("\n", out);
}

static void print_intro(const Plan *p, FILE *out, const Param *list, int n) {
  const struct ingot_model *m = &p->model;
  fprintf(out, "// %s: a model compiled by Ingot for %s.\n//\n", m->name, p->m->target->name);
  for (int i = 0; i < n; i++)
    if (list[i].info) print_tensor(p, out, &list[i]);
  for (int i = 0; i < m->n_symbols; i++)
    if (m->symbols[i].kind != INGOT_SYM_DERIVED)
      fprintf(out, "//   symbol %s: %lld to %lld\n", m->symbols[i].name, (long long)m->symbols[i].min,
              (long long)m->symbols[i].bound);
  for (int i = 0; i < p->n_special; i++)
    fprintf(out, "//   with code of its own: %s\n", plan_special_name(p, &p->special[i]));
  if (m->n_states)
    fprintf(
        out,
        "//   state: %d values, %lld bytes, kept in the context from run to run (ingot_state_reset, _save, "
        "_restore)\n",
        m->n_states, (long long)m->state_bytes);
  fprintf(out,
          "//\n// Working memory %lld bytes, weights %lld bytes, %lld floating point operations a run.\n",
          (long long)m->arena_bytes, (long long)m->weights.bytes, (long long)m->flops);
}

static int64_t arena_bytes(const struct ingot_model *m) {
  return m->arena_bytes;
}
static int64_t context_bytes(const struct ingot_model *m) {
  return (int64_t)ingot_ctx_bound(m);
}
static int64_t state_bytes(const struct ingot_model *m) {
  return (int64_t)ingot_state_copy_bytes(m);
}
static int64_t stack_bytes(const struct ingot_model *m) {
  return m->stack_bytes;
}

// Whichever form of the model is chosen.
static int64_t worst(const Plan *p, int64_t (*of)(const struct ingot_model *m)) {
  int64_t most = 0;
  for (; p; p = p->next)
    if (of(&p->model) > most) most = of(&p->model);
  return most;
}

// The sizes of inputs and outputs whose extents are symbols, as functions of these.
static void print_sizes(const Plan *p, FILE *out, const Param *list, int n) {
  for (int i = 0; i < n; i++) {
    const struct ingot_tensor_info *t = list[i].info;
    if (!t || is_fixed(t) || !sizes_follow(p, t)) continue;
    fprintf(out, "\n// Elements of '%s'.\nstatic inline int64_t %s_%s_size(", list[i].name, p->model.name,
            list[i].name);
    bool seen[INGOT_MAX_RANK] = {0}, comma = false;
    for (int d = 0; d < t->rank; d++) {
      for (int e = 0; e < d; e++) seen[d] |= t->dims[e].sym == t->dims[d].sym;
      if (t->dims[d].sym < 0 || seen[d]) continue;
      fprintf(out, "%sint64_t %s", comma ? ", " : "", symbol_param(p, t->dims[d].sym));
      comma = true;
    }
    fputs(") {\n  return 1", out);
    for (int d = 0; d < t->rank; d++) {
      if (t->dims[d].sym < 0)
        fprintf(out, " * INT64_C(%lld)", (long long)t->dims[d].n);
      else
        fprintf(out, " * %s", symbol_param(p, t->dims[d].sym));
    }
    fputs(";\n}\n", out);
  }
}

static void print_constants(const Plan *p, FILE *out, const Param *list, int n) {
  const char *model = upper(p, p->model.name);
  fputs("enum {\n", out);
  for (int i = 0; i < n; i++) {
    if (!list[i].info) continue;
    const char *name = upper(p, list[i].name);
    int64_t elem = ingot_dtype_size(list[i].info->dtype);
    fprintf(out, "  %s_%s_ALIGN = %d,\n", model, name, list[i].info->align);
    if (list[i].info->bytes < INT32_MAX)
      fprintf(out, "  %s_%s_SIZE = %lld, // elements\n", model, name,
              (long long)(list[i].info->bytes / elem));
  }
  fprintf(out, "  %s_INPUTS = %d,\n  %s_OUTPUTS = %d\n};\n", model, p->model.n_inputs, model,
          p->model.n_outputs);
  const struct {
    const char *name, *meaning;
    long long value;
  } row[] = {{"ARENA_BYTES", "working memory", worst(p, arena_bytes)},
             {"CTX_BYTES", "memory of a context of one thread, arena included", worst(p, context_bytes)},
             {"STATE_BYTES", "a copy of what is kept from run to run, as ingot_state_save writes it",
              worst(p, state_bytes)},
             {"STACK_BYTES", "at most, of the calling thread", worst(p, stack_bytes)},
             {"WEIGHT_BYTES", "constants", p->model.weights.bytes},
             {"FLOPS", "of a run, at the bounds", p->model.flops}};
  for (int i = 0; i < ARRAY_LEN(row); i++)
    fprintf(out, "#define %s_%s %lldll // %s\n", model, row[i].name, row[i].value, row[i].meaning);
}

void header_print(const Plan *p, FILE *out) {
  Param *list;
  int n = list_params(p, &list);
  const char *guard = upper(p, p->model.name);
  print_intro(p, out, list, n);
  fprintf(out, "#ifndef INGOT_MODEL_%s_H\n#define INGOT_MODEL_%s_H\n\n#include <stdint.h>\n\n", guard, guard);
  fputs("#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n", out);
  print_constants(p, out, list, n);
  print_sizes(p, out, list, n);
  fputs("\n// Returns 0, or an error code (enum ingot_error of ingot.h). Inputs are only read; extents that "
        "symbols\n"
        "// give are those of the call. May be called from several threads at once.\n",
        out);
  if (p->model.n_states)
    fputs("// Every call begins with the initial state; use a context to go on from run to run.\n", out);
  print_function(p, out, list, n);
  fprintf(out,
          "\n// For ingot.h, the interface with contexts: your own memory, threads, shapes and error texts.\n"
          "extern const struct ingot_model ingot_model_%s;\n",
          p->model.name);
  fputs("\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n", out);
}
