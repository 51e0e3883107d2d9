// report_kernels.c: kernels as expressions, loops and assembly, and the passes' remarks, as JSON.
// SPDX-License-Identifier: Apache-2.0
#include "tools/report.h"

// ---- expressions and loops ----------------------------------------------------------------------------------

// "kernel x {\n  stages\n  body {\n ... }\n}" in two: what is computed, and how.
static void split_kernel(Tool *t, cJSON *o, const char *text) {
  const char *body = strstr(text, "\n  body {\n");
  size_t head = body ? (size_t)(body - text) + 1 : strlen(text);
  cJSON_AddStringToObject(o, "expr", arena_strndup(t->arena, text, head));
  if (body) cJSON_AddStringToObject(o, "loops", body + 1);
}

static void add_kernels(Tool *t, cJSON *all, const Graph *g) {
  for (const Node *n = g->first; n; n = n->next) {
    if (n->kernel) {
      Str text = {.arena = t->arena};
      kernel_print(&text, n->kernel);
      cJSON *o = cJSON_AddObjectToObject(all, n->kernel->name);
      split_kernel(t, o, str_text(&text));
    }
    for (int i = 0; i < n->nregions; i++) add_kernels(t, all, n->region[i]);
  }
}

cJSON *report_kernels(Tool *t, const Module *m) {
  cJSON *all = cJSON_CreateObject();
  add_kernels(t, all, m->main);
  return all;
}

// ---- assembly -----------------------------------------------------------------------------------------------

// Directives that say nothing to a reader.
static bool is_noise(const char *line, size_t n) {
  static const char *const noise[] = {"\t.p2align", "\t.type",    "\t.size", "\t.hidden", "\t.globl",
                                      "\t.cfi",     "\t.section", "\t.text", "#"};
  for (int i = 0; i < ARRAY_LEN(noise); i++)
    if (n >= strlen(noise[i]) && strncmp(line, noise[i], strlen(noise[i])) == 0) return true;
  return n == 0;
}

// The lines from `from` to the end of the function.
static char *function_text(Tool *t, const char *from) {
  Str out = {.arena = t->arena};
  for (const char *p = from; *p;) {
    size_t n = strcspn(p, "\n");
    if (strncmp(p, ".Lfunc_end", 10) == 0) break;
    const char *comment = memchr(p, '#', n);
    size_t keep = comment ? (size_t)(comment - p) : n;
    while (keep && (p[keep - 1] == ' ' || p[keep - 1] == '\t')) keep--;
    if (!is_noise(p, keep)) {
      str_put(&out, p, keep);
      str_puts(&out, "\n");
    }
    p += n + (p[n] == '\n');
  }
  return str_text(&out);
}

static const char *find_label(const char *assembly, const char *label) {
  size_t n = strlen(label);
  for (const char *p = assembly; (p = strstr(p, label)); p += n)
    if ((p == assembly || p[-1] == '\n') && p[n] == ':') return p;
  return NULL;
}

void report_assembly(Tool *t, cJSON *kernels, const char *assembly, const cJSON *metadata) {
  const cJSON *step;
  cJSON_ArrayForEach(step, cJSON_GetObjectItemCaseSensitive(metadata, "kernels")) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(step, "name"));
    const char *symbol = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(step, "function"));
    cJSON *kernel = name ? cJSON_GetObjectItemCaseSensitive(kernels, name) : NULL;
    const char *at = kernel && symbol ? find_label(assembly, symbol) : NULL;
    if (at && !cJSON_GetObjectItemCaseSensitive(kernel, "asm"))
      cJSON_AddStringToObject(kernel, "asm", function_text(t, at));
  }
}

// ---- remarks ------------------------------------------------------------------------------------------------

cJSON *report_remarks(const Module *m) {
  cJSON *list = cJSON_CreateArray();
  for (int i = 0; i < m->remarks.n; i++) {
    const Remark *r = &m->remarks.data[i];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "pass", r->pass);
    cJSON_AddStringToObject(o, "about", r->about ? r->about : "");
    cJSON_AddStringToObject(o, "text", r->text);
    cJSON_AddItemToArray(list, o);
  }
  return list;
}
