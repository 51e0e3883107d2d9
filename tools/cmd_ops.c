// cmd_ops.c: `ingot ops [NAME]`: the op table for people and for the documents.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tool.h"

enum { OPT_MARKDOWN = 256 };

typedef struct OpsArgs {
  const char *name;
  bool markdown;
} OpsArgs;

static const struct argp_option options[] = {
    {"markdown", OPT_MARKDOWN, NULL, 0, "the whole reference as Markdown (docs/ops.md)", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  OpsArgs *a = state->input;
  switch (key) {
  case OPT_MARKDOWN: a->markdown = true; return 0;
  case ARGP_KEY_ARG:
    if (a->name) argp_error(state, "one operation at a time");
    a->name = arg;
    return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

// First sentence of an op's text.
static int first_sentence(const char *doc) {
  const char *dot = strstr(doc, ". ");
  return dot ? (int)(dot - doc) + 1 : (int)strlen(doc);
}

static void list_ops(Tool *t) {
  const char *group = "";
  for (int i = 0; i < op_count(t->ctx); i++) {
    const OpInfo *o = op_at(t->ctx, i)->info;
    if (o->flags & OP_INTERNAL) continue;
    if (strcmp(group, o->group) != 0) printf("%s%s\n", *group ? "\n" : "", o->group);
    group = o->group;
    printf("  %-18s %.*s\n", o->name, first_sentence(o->doc), o->doc);
  }
}

static void print_markdown(Tool *t) {
  Str text = {.arena = t->arena};
  str_puts(&text, "# Operations\n\nGenerated from the op table by `ingot ops --markdown`; do not edit.\n");
  const char *group = "";
  for (int i = 0; i < op_count(t->ctx); i++) {
    const Op *o = op_at(t->ctx, i);
    if (o->info->flags & OP_INTERNAL) continue;
    if (strcmp(group, o->info->group) != 0) str_printf(&text, "\n## %s\n", o->info->group);
    group = o->info->group;
    str_puts(&text, "\n");
    op_document(&text, o);
  }
  fputs(str_text(&text), stdout);
}

int cmd_ops(Tool *t, int argc, char **argv) {
  static const struct argp argp = {options, parse, "[NAME]", "List the operations, or tell all about one.",
                                   NULL,    NULL,  NULL};
  OpsArgs a = {0};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &a, &code)) return code;
  if (a.markdown) {
    print_markdown(t);
  } else if (!a.name) {
    list_ops(t);
  } else {
    const Op *o = op_find(t->ctx, a.name);
    if (!o) {
      const char *near = op_suggest(t->ctx, a.name);
      diag_error(t->diag, NO_LOC, "there is no op '%s'%s%s%s", a.name, near ? "; did you mean '" : "",
                 near ? near : "", near ? "'?" : "");
      return EXIT_INPUT;
    }
    Str text = {.arena = t->arena};
    op_document(&text, o);
    fputs(str_text(&text), stdout);
  }
  return EXIT_FINE;
}
