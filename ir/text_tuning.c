// text_tuning.c: the tuning database: its text form, and finding and replacing entries.
// SPDX-License-Identifier: Apache-2.0
//
// One line per entry, sorted, so that two databases can be compared and merged line by line:
//
//   tuning 1
//   k0f3a... "x86-64-v3" threads 1 product(lanes=8, mr=6, nv=2) us 103.2 of 110.5 "layer1_conv"
#include <stdlib.h>

#include "ir/text.h"

enum { VERSION = 1, KEY_DIGITS = 16 };

// ---- printing ---------------------------------------------------------------------------------------------------

static int by_key(const void *a, const void *b) {
  const TuneEntry *x = *(const TuneEntry *const *)a, *y = *(const TuneEntry *const *)b;
  if (x->kernel != y->kernel) return x->kernel < y->kernel ? -1 : 1;
  int order = strcmp(x->target, y->target);
  return order ? order : x->threads - y->threads;
}

static void print_entry(Printer *p, const TuneEntry *e) {
  str_printf(p->out, "k%0*llx ", KEY_DIGITS, (unsigned long long)e->kernel);
  print_string(p->out, e->target);
  str_printf(p->out, " threads %d ", e->threads);
  schedule_print(p->out, &e->schedule);
  str_printf(p->out, " us %.1f of %.1f ", e->us, e->base_us);
  print_string(p->out, e->name);
  str_puts(p->out, "\n");
}

void tuning_print(Str *out, const Tuning *t) {
  Printer p = {.out = out};
  const TuneEntry **sorted = NEW_ARRAY(out->arena, const TuneEntry *, t->entries.n + 1);
  for (int i = 0; i < t->entries.n; i++) sorted[i] = &t->entries.data[i];
  qsort(sorted, (size_t)t->entries.n, sizeof(const TuneEntry *), by_key);
  str_printf(out, "tuning %d\n", VERSION);
  for (int i = 0; i < t->entries.n; i++) print_entry(&p, sorted[i]);
}

// ---- parsing ----------------------------------------------------------------------------------------------------

static bool parse_version(Parser *p) {
  Lexer *lx = &p->lx;
  int64_t version;
  if (!lex_is(lx, "tuning"))
    return lex_error(lx, "this is no tuning database: one begins with the line 'tuning %d'", VERSION);
  lex_next(lx);
  Loc loc = lx->tok.loc;
  if (!lex_int(lx, &version)) return false;
  if (version != VERSION)
    return lex_error_at(lx, loc, "a tuning database of version %lld; this compiler reads version %d",
                        (long long)version, VERSION);
  return lex_end_of_line(lx);
}

static bool parse_key(Lexer *lx, uint64_t *key) {
  const char *text = lx->tok.kind == TOK_NAME && *lx->tok.s == 'k' ? lx->tok.s + 1 : "";
  if (strlen(text) != KEY_DIGITS || strspn(text, "0123456789abcdef") != KEY_DIGITS)
    return lex_error(lx, "expected a kernel's key: k and %d hexadecimal digits", KEY_DIGITS);
  *key = strtoull(text, NULL, 16);
  lex_next(lx);
  return true;
}

static bool parse_threads(Lexer *lx, int *threads) {
  int64_t n;
  if (!lex_expect(lx, "threads")) return false;
  Loc loc = lx->tok.loc;
  if (!lex_int(lx, &n)) return false;
  if (n < 1 || n > 4096) return lex_error_at(lx, loc, "threads are a number from 1 to 4096");
  *threads = (int)n;
  return true;
}

static bool parse_entry(Parser *p, TuneEntry *e) {
  Lexer *lx = &p->lx;
  return parse_key(lx, &e->kernel) && (e->target = lex_string(lx, "a target's name")) &&
         parse_threads(lx, &e->threads) && parse_schedule(p, &e->schedule) && lex_expect(lx, "us") &&
         lex_double(lx, &e->us, DT_F64) && lex_expect(lx, "of") && lex_double(lx, &e->base_us, DT_F64) &&
         (e->name = lex_string(lx, "a kernel's name")) && lex_end_of_line(lx);
}

static bool same(const TuneEntry *e, uint64_t kernel, const char *target, int threads) {
  return e->kernel == kernel && e->threads == threads && strcmp(e->target, target) == 0;
}

static TuneEntry *find_exactly(const Tuning *t, uint64_t kernel, const char *target, int threads) {
  for (int i = 0; i < t->entries.n; i++)
    if (same(&t->entries.data[i], kernel, target, threads)) return &t->entries.data[i];
  return NULL;
}

Tuning *tuning_read(Ctx *c, const char *path) {
  const Source *src = source_read(c->arena, c->diag, path);
  if (!src) return NULL;
  int errors = diag_errors(c->diag);
  Tuning *t = NEW(c->arena, Tuning);
  Parser p = {.ctx = c};
  lex_start(&p.lx, c, src, src->text, src->len);
  lex_skip_newlines(&p.lx);
  if (!parse_version(&p)) return NULL;
  for (lex_skip_newlines(&p.lx); p.lx.tok.kind != TOK_END; lex_skip_newlines(&p.lx)) {
    TuneEntry e = {0};
    Loc loc = p.lx.tok.loc;
    if (diag_errors(c->diag) - errors >= DIAG_MAX_ERRORS) break;
    if (!parse_entry(&p, &e))
      lex_sync(&p.lx);
    else if (find_exactly(t, e.kernel, e.target, e.threads))
      diag_error(c->diag, loc, "a second entry for this kernel, target and number of threads");
    else
      vec_push(c->arena, &t->entries, e);
  }
  return diag_errors(c->diag) > errors ? NULL : t;
}

// ---- entries ----------------------------------------------------------------------------------------------------

// How much worse an entry for `have` threads is than one for just so many.
static int distance(int have, int want) {
  if (want == 0) return -have;
  return have > want ? have - want : want - have;
}

const TuneEntry *tuning_find(const Tuning *t, uint64_t kernel, const char *target, int threads) {
  const TuneEntry *best = NULL;
  for (int i = 0; t && i < t->entries.n; i++) {
    const TuneEntry *e = &t->entries.data[i];
    if (!same(e, kernel, target, e->threads)) continue;
    if (!best || distance(e->threads, threads) < distance(best->threads, threads)) best = e;
  }
  return best;
}

void tuning_put(Arena *a, Tuning *t, const TuneEntry *e) {
  TuneEntry *old = find_exactly(t, e->kernel, e->target, e->threads);
  if (old)
    *old = *e;
  else
    vec_push(a, &t->entries, *e);
}

void tuning_drop(Tuning *t, uint64_t kernel, const char *target, int threads) {
  TuneEntry *e = find_exactly(t, kernel, target, threads);
  if (e) *e = t->entries.data[--t->entries.n];
}
