// limits.c: limits that the caller set to memory, stack and size: exceeding one is an error that tells why.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

#include <stdlib.h>
#include <sys/stat.h>

enum { SHOWN = 5 }; // of the largest values

static const char *bytes_text(const Plan *p, int64_t bytes) {
  if (bytes < 10 << 10) return arena_printf(p->arena, "%lld bytes", (long long)bytes);
  if (bytes < 10 << 20) return arena_printf(p->arena, "%lld KiB", (long long)bytes >> 10);
  return arena_printf(p->arena, "%lld MiB", (long long)bytes >> 20);
}

static bool exceeds(const Plan *p, const char *what, int64_t bytes, int64_t limit) {
  if (limit <= 0 || bytes <= limit) return false;
  diag_error(p->c->diag, NO_LOC, "%s: %lld bytes for '%s', the limit is %lld", what, (long long)bytes,
             p->m->target->name, (long long)limit);
  return true;
}

// ---- working memory -----------------------------------------------------------------------------------------

typedef struct Largest {
  const Plan *plan;
  const Value *v[SHOWN];
  int64_t bytes[SHOWN];
} Largest;

static void consider(Largest *l, Plan *p, const Value *v) {
  if (!v || v->base || v->data || v->space != SPACE_ARENA) return;
  int64_t bytes = plan_bytes(p, v);
  for (int i = 0; i < SHOWN; i++) {
    if (bytes <= l->bytes[i]) continue;
    for (int k = SHOWN - 1; k > i; k--) l->v[k] = l->v[k - 1], l->bytes[k] = l->bytes[k - 1];
    l->v[i] = v, l->bytes[i] = bytes;
    return;
  }
}

static void consider_graph(Largest *l, Plan *p, const Graph *g) {
  for (const Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nout; i++) consider(l, p, n->out[i]);
    for (int i = 0; i < n->nregions; i++) consider_graph(l, p, n->region[i]);
  }
}

// The values that take most; fixing or lowering the bound of a symbol in their shapes is what helps.
static void explain_arena(Plan *p) {
  Largest l = {.plan = p};
  consider_graph(&l, p, p->m->main);
  for (int i = 0; i < SHOWN && l.v[i]; i++)
    diag_note(p->c->diag, l.v[i]->loc, "'%s' takes %s: %s", l.v[i]->name ? l.v[i]->name : "a value",
              bytes_text(p, l.bytes[i]), type_text(p->c, &l.v[i]->type));
  if (p->m->syms.n > 0)
    diag_note(p->c->diag, NO_LOC,
              "memory is planned for the bounds of '%s' and its like: --dim sets lower ones",
              p->m->syms.data[0]->name);
}

bool limit_arena(const Plan *first) {
  bool ok = true;
  for (const Plan *p = first; p; p = p->next) {
    if (!exceeds(p, "working memory", p->model.arena_bytes, p->options->max_arena)) continue;
    explain_arena((Plan *)(uintptr_t)p);
    ok = false;
  }
  return ok;
}

// ---- stack, size --------------------------------------------------------------------------------------------

bool limit_stack(const Plan *first) {
  bool ok = true;
  for (const Plan *p = first; p; p = p->next) {
    if (!exceeds(p, "stack", p->model.stack_bytes, p->options->max_stack)) continue;
    if (p->frame_bytes > 0)
      diag_note(p->c->diag, NO_LOC, "the kernel '%s' takes %s, the executor the rest", p->frame_of,
                bytes_text(p, p->frame_bytes));
    ok = false;
  }
  return ok;
}

bool limit_size(const Plan *p, const char *path) {
  struct stat st;
  if (p->options->max_size <= 0 || stat(path, &st) != 0) return true;
  if (!exceeds(p, "the artefact", (int64_t)st.st_size, p->options->max_size)) return true;
  if (!p->model.weights.file && p->model.weights.bytes > 0)
    diag_note(p->c->diag, NO_LOC,
              "constants take %s of it; --weights-file puts them into a file of their own",
              bytes_text(p, p->model.weights.bytes));
  return false;
}
