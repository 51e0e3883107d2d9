// states.c: `--state past=present`: inputs and outputs of any model that are one value from run to run.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/states.h"

enum { MAX_STARS = 4 };

typedef struct Piece {
  const char *s;
  size_t n;
} Piece;

// Does name fit the pattern [p, end), in which a * stands for any text? These texts go to star.
static bool fits(const char *p, const char *end, const char *name, Piece *star, int n) {
  for (; p < end && *p != '*'; p++, name++)
    if (*p != *name) return false;
  if (p == end) return *name == '\0';
  if (n == MAX_STARS) return false;
  for (size_t take = 0;; take++) {
    star[n] = (Piece){name, take};
    if (fits(p + 1, end, name + take, star, n + 1)) return true;
    if (!name[take]) return false;
  }
}

// The pattern with its stars replaced by the texts.
static const char *filled(Arena *a, const char *pattern, const Piece *star) {
  Str s = {.arena = a};
  for (int n = 0; *pattern; pattern++) {
    if (*pattern == '*' && n < MAX_STARS)
      str_put(&s, star[n].s, star[n].n), n++;
    else
      str_put(&s, pattern, 1);
  }
  return str_text(&s);
}

static bool fits_option(const char *option, const char *name, Piece *star) {
  const char *equals = strchr(option, '=');
  return equals && fits(option, equals, name, star, 0);
}

bool states_name_input(const FrontendOptions *o, const char *name) {
  Piece star[MAX_STARS];
  for (int i = 0; o && i < o->states.n; i++)
    if (fits_option(o->states.data[i], name, star)) return true;
  return false;
}

static int output_named(const Graph *g, const char *name) {
  for (int i = 0; i < g->outputs.n; i++)
    if (strcmp(g->output_names.data[i], name) == 0) return i;
  return -1;
}

static bool pair_all(Graph *g, const char *option) {
  Ctx *c = g->ctx;
  int pairs = 0;
  for (int i = 0; i < g->inputs.n; i++) {
    Piece star[MAX_STARS] = {0};
    const Value *in = g->inputs.data[i];
    if (!fits_option(option, in->name, star)) continue;
    const char *name = filled(c->arena, strchr(option, '=') + 1, star);
    int k = output_named(g, name);
    if (k < 0) {
      diag_error(c->diag, in->loc, "--state %s: the model has no output '%s'", option, name);
      return false;
    }
    if (!graph_state(g, i, k, NULL, in->loc)) return false;
    pairs++;
  }
  if (pairs) return true;
  diag_error(c->diag, NO_LOC, "--state %s: no input has such a name", option);
  return false;
}

bool states_pair(Module *m, const FrontendOptions *o) {
  bool ok = true;
  for (int i = 0; o && i < o->states.n; i++) {
    const char *option = o->states.data[i];
    if (strchr(option, '=')) {
      ok &= pair_all(m->main, option);
    } else {
      diag_error(m->ctx->diag, NO_LOC, "--state wants INPUT=OUTPUT, not '%s'", option);
      ok = false;
    }
  }
  return ok;
}
