// op_doc.c: the documents' page of an op, made from its row.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"

static const char *const KINDS[] = {
    [ATTR_INT] = "integer",    [ATTR_FLOAT] = "number",  [ATTR_BOOL] = "bool",
    [ATTR_STRING] = "string",  [ATTR_DTYPE] = "dtype",   [ATTR_INTS] = "integers",
    [ATTR_FLOATS] = "numbers", [ATTR_SHAPE] = "extents", [ATTR_TENSOR] = "tensor",
};

static void put_number(Str *out, double v) {
  char text[32];
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, v);
    double back = 0;
    if (sscanf(text, "%lf", &back) == 1 && back == v) break;
  }
  str_puts(out, text);
}

static void put_default(Str *out, const Attr *a) {
  switch (a->kind) {
  case ATTR_INT: str_printf(out, "%lld", (long long)a->i); return;
  case ATTR_FLOAT: put_number(out, a->f); return;
  case ATTR_BOOL: str_puts(out, a->i ? "true" : "false"); return;
  case ATTR_STRING: str_puts(out, *a->s ? a->s : "\"\""); return;
  case ATTR_DTYPE: str_puts(out, a->t == DT_NONE ? "none" : dtype_name(a->t)); return;
  default: break;
  }
  str_puts(out, "[");
  for (int i = 0; i < a->n; i++) {
    if (i) str_puts(out, ",");
    if (a->kind == ATTR_FLOATS)
      put_number(out, a->floats[i]);
    else
      str_printf(out, "%lld", (long long)(a->kind == ATTR_SHAPE ? a->dims[i].n : a->ints[i]));
  }
  str_puts(out, "]");
}

// name(x, bias?, axis=-1): as one writes a call.
static void put_usage(Str *out, const Op *op) {
  const char *sep = "";
  str_printf(out, "%s(", op->name);
  for (int i = 0; i < op->nin; i++, sep = ", ")
    str_printf(out, "%s%s%s", sep, op->in[i].name,
               op->in[i].variadic   ? "..."
               : op->in[i].optional ? "?"
                                    : "");
  for (int i = 0; i < op->nattr; i++, sep = ", ") {
    str_printf(out, "%s%s=", sep, op->attr[i].name);
    if (op->attr[i].given)
      str_puts(out, "...");
    else
      put_default(out, &op->attr[i]);
  }
  str_puts(out, ")");
}

static const char *result_type(const Op *op, int k) {
  const char *t = op->out[k];
  return t[0] == '=' ? t + 1 : op_class(op, t);
}

static void put_operands(Str *out, const Op *op) {
  if (op->nin == 0) return;
  str_puts(out, "\n| operand | type | |\n|---|---|---|\n");
  for (int i = 0; i < op->nin; i++) {
    const OpParam *p = &op->in[i];
    const char *cls = op_class(op, p->type), *note = p->variadic   ? "any number"
                                                     : p->optional ? "may be absent"
                                                                   : "";
    str_printf(out, "| %s | ", p->name);
    if (strcmp(cls, p->type) != 0) str_printf(out, "%s: ", p->type);
    for (const char *s = cls; *s; s++) str_printf(out, "%.*s%s", *s != '|', s, *s == '|' ? ", " : "");
    str_printf(out, " | %s |\n", note);
  }
}

static void put_attributes(Str *out, const Op *op) {
  if (op->nattr == 0) return;
  str_puts(out, "\n| attribute | kind | default |\n|---|---|---|\n");
  for (int i = 0; i < op->nattr; i++) {
    const Attr *a = &op->attr[i];
    str_printf(out, "| %s | %s | ", a->name, KINDS[a->kind]);
    if (a->given)
      str_puts(out, "required");
    else
      put_default(out, a);
    str_puts(out, " |\n");
  }
}

static void put_results(Str *out, const Op *op) {
  str_puts(out, "\nResults: ");
  for (int k = 0; k < op->nout; k++) {
    const char *t = op->out[k], *sep = k ? ", " : "";
    if (strcmp(t, "any*") == 0)
      str_printf(out, "%sany number", sep);
    else if (t[0] == '=')
      str_printf(out, "%sof the type `%s`", sep, result_type(op, k));
    else
      str_printf(out, "%s%s", sep, t);
  }
  str_puts(out, ".\n");
}

// How the op is defined; the formula itself where it is one.
static void put_definition(Str *out, const OpInfo *info) {
  if (info->expr)
    str_printf(out, "\nEach element: `%s`; operands broadcast.\n", info->expr);
  else if (info->flags & OP_VIEW)
    str_puts(out, "\nA view: every element is one element of an operand; costs nothing once fused.\n");
  else if (info->decompose)
    str_puts(out, "\nDefined by other ops.\n");
  else if (info->routine)
    str_printf(out, "\nComputed by a runtime routine (`ingot_rt_%s`).\n", info->routine);
}

static void put_examples(Str *out, const char *s) {
  if (!s) return;
  str_puts(out, "\nExamples, with types in place of values:\n\n");
  while (*s) {
    size_t n = strcspn(s, ";");
    str_puts(out, "    ");
    str_put(out, s, n);
    str_puts(out, "\n");
    s += n;
    while (*s == ';' || *s == ' ') s++;
  }
}

void op_document(Str *out, const Op *op) {
  str_printf(out, "### %s\n\n    ", op->name);
  put_usage(out, op);
  str_printf(out, "\n\n%s\n", op->info->doc);
  put_operands(out, op);
  put_attributes(out, op);
  put_results(out, op);
  put_definition(out, op->info);
  put_examples(out, op->info->sample);
}
