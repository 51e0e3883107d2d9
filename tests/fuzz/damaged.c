// damaged.c: dumps of every level, damaged: they are refused with line and column, or go on to code.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/codegen.h"
#include "passes/passes.h"
#include "tests/damage.h"
#include "tests/fuzz/fuzz.h"

#include <ctype.h>
#include <stdlib.h>

enum { MAX_DAMAGE = 3, MAX_WORDS = 1 << 16 };

static bool fail(Report *r, World *w, const char *what) {
  r->failed = true;
  snprintf(r->detail, sizeof r->detail, "%s\n%.1500s", what, w ? world_messages(w) : "");
  return false;
}

static PassOptions some_options(Rng *r) {
  static const int levels[] = {0, 1, 2, 2, 2};
  PassOptions o = {.opt_level = rng_pick(r, levels), .winograd = rng_chance(r, 50) ? "auto" : "off"};
  o.threads = (int)rng_below(r, 4);
  o.fp_strict = rng_chance(r, 20);
  o.check = rng_chance(r, 10);
  return o;
}

static const Target *some_target(Rng *r, Ctx *c) {
  return rng_chance(r, 50) ? target_default(c) : target_at((int)rng_below(r, target_count()));
}

// ---- the dump ---------------------------------------------------------------------------------------------------

// Replaces the model's text by its dump after some pass.
static bool dump(Report *r, Rng *rng) {
  World w;
  if (setjmp(w.oom)) return fail(r, NULL, "out of memory");
  world_open(&w);
  PassOptions o = some_options(rng);
  const char *last = pass_at((int)rng_below(rng, pass_count()))->name;
  snprintf(r->stage, sizeof r->stage, "O%d dump after %s", o.opt_level, last);
  Module *m = module_parse(w.c, source_from_text(w.arena, "model.ing", arena_strdup(w.arena, r->text)));
  if (m) m->target = some_target(rng, w.c);
  Str text = {.arena = w.arena};
  bool ok = m && passes_run(m, &o, NULL, last, NULL);
  if (!ok) fail(r, &w, "the passes fail");
  if (ok) module_print(&text, m, NULL);
  ok = ok && text.n < sizeof r->text;
  if (ok) memcpy(r->text, str_text(&text), text.n + 1);
  world_close(&w);
  return ok;
}

// ---- damage -----------------------------------------------------------------------------------------------------

static bool in_word(char c) {
  return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '%';
}

typedef struct Words {
  int n;
  struct {
    uint32_t at, len;
  } word[MAX_WORDS];
} Words;

// Names, numbers and each other sign.
static void find_words(Words *k, const char *text) {
  k->n = 0;
  for (const char *s = text; *s && k->n < MAX_WORDS;) {
    const char *from = s;
    if (isspace((unsigned char)*s)) {
      s++;
      continue;
    }
    while (in_word(*s)) s++;
    if (s == from) s++;
    k->word[k->n].at = (uint32_t)(from - text);
    k->word[k->n++].len = (uint32_t)(s - from);
  }
}

static void splice(char *text, size_t size, size_t at, size_t len, const char *with, size_t with_len) {
  size_t n = strlen(text);
  if (n - len + with_len >= size) return;
  memmove(text + at + with_len, text + at + len, n - at - len + 1);
  memcpy(text + at, with, with_len);
}

static int kind_of(char c) {
  return isdigit((unsigned char)c) ? '0' : isalpha((unsigned char)c) || c == '_' ? 'a' : c;
}

static void damage_word(char *text, size_t size, Rng *r, Words *k) {
  static const char *const odd[] = {"0",          "1",
                                    "2",          "3",
                                    "7",          "64",
                                    "-1",         "4096",
                                    "2147483648", "9223372036854775807",
                                    "",           "-9223372036854775808",
                                    "1e30",       "nan",
                                    "true",       "false",
                                    "min",        "sum",
                                    "i0",         "f32",
                                    "i64",        "i8",
                                    "bool",       "f16",
                                    "i4",         "_",
                                    "%",          "{",
                                    "}",          "(",
                                    ")",          "<",
                                    "@"};
  find_words(k, text);
  if (!k->n) return;
  int to = (int)rng_below(r, k->n), from = (int)rng_below(r, k->n);
  // What stands near fits better.
  if (rng_chance(r, 50)) from = (int)rng_range(r, to > 40 ? to - 40 : 0, to + 40 < k->n ? to + 40 : k->n - 1);
  // What is of its kind, too: a number for a number, a value for a value.
  for (int i = 0;
       i < 8 && rng_chance(r, 80) && kind_of(text[k->word[from].at]) != kind_of(text[k->word[to].at]); i++)
    from = (int)rng_below(r, k->n);
  char word[256];
  const char *with = rng_pick(r, odd);
  size_t len = strlen(with);
  if (rng_chance(r, 60) && k->word[from].len < sizeof word) {
    len = k->word[from].len;
    with = memcpy(word, text + k->word[from].at, len);
  }
  splice(text, size, k->word[to].at, k->word[to].len, with, len);
}

// A line goes, or stands somewhere else, too.
static void damage_line(char *text, size_t size, Rng *r) {
  size_t n = strlen(text), from = (size_t)rng_below(r, (int64_t)n), to = (size_t)rng_below(r, (int64_t)n);
  while (from > 0 && text[from - 1] != '\n') from--;
  while (to > 0 && text[to - 1] != '\n') to--;
  size_t len = strcspn(text + from, "\n");
  len += text[from + len] == '\n';
  char *line = malloc(len + 1);
  if (!line) return;
  memcpy(line, text + from, len);
  if (rng_chance(r, 50))
    splice(text, size, from, len, "", 0);
  else
    splice(text, size, to, 0, line, len);
  free(line);
}

static void damage_text(char *text, size_t size, Rng *r) {
  static const char nasty[] = {0, 1, 0x7f, (char)0x80, (char)0xff, '-', '9', '{', '[', '(', ' ', '\n'};
  Words *k = malloc(sizeof *k);
  for (int64_t i = rng_chance(r, 60) ? 1 : rng_range(r, 2, MAX_DAMAGE); k && i > 0; i--) {
    int64_t kind = rng_below(r, 10);
    uint64_t state = rng_next(r);
    if (kind == 0)
      text[damage((uint8_t *)text, strlen(text), nasty, sizeof nasty, &state)] = 0;
    else if (kind < 3)
      damage_line(text, size, r);
    else
      damage_word(text, size, r, k);
  }
  free(k);
}

// ---- what becomes of it -----------------------------------------------------------------------------------------

// dump.ing:12:3: error: ...
static bool has_place(const char *messages) {
  const char *at = strstr(messages, "dump.ing:");
  int line, column;
  return at && sscanf(at, "dump.ing:%d:%d: error: ", &line, &column) == 2 && line > 0 && column > 0;
}

static bool after_pass(void *data, Module *m, const Pass *p, double seconds, bool changed) {
  Report *r = data;
  (void)seconds;
  (void)m;
  (void)changed;
  snprintf(r->stage, sizeof r->stage, "goes on behind %s", p->name);
  return true;
}

static bool go_on(Report *r, World *w, Rng *rng, bool llvm) {
  PassOptions o = some_options(rng);
  PassHooks hooks = {after_pass, r, true};
  snprintf(r->stage, sizeof r->stage, "parse");
  Module *m = module_parse(w->c, source_from_text(w->arena, "dump.ing", arena_strdup(w->arena, r->text)));
  if (!m) return has_place(world_messages(w)) || fail(r, w, "is refused without a place");
  if (!m->target) m->target = target_default(w->c);
  snprintf(r->stage, sizeof r->stage, "goes on");
  if (!passes_run(m, &o, NULL, NULL, &hooks)) {
    const char *said = world_messages(w);
    return (strstr(said, "error: ") && !strstr(said, "internal error")) || fail(r, w, "the passes fail");
  }
  if (!llvm) return true;
  CodegenOptions co = {
      .emit = EMIT_LLVM_IR, .jobs = 1, .opt_level = o.opt_level, .fp_strict = o.fp_strict, .check = o.check};
  snprintf(r->stage, sizeof r->stage, "code");
  r->compiled++;
  if (codegen_write(m, &co, "/dev/null")) return true;
  const char *said = world_messages(w);
  return (strstr(said, "error: ") && !strstr(said, "internal error")) || fail(r, w, "no code");
}

bool fuzz_dump(Report *r, uint64_t seed, bool llvm) {
  Rng rng = {seed + 777};
  World w;
  if (setjmp(w.oom)) return fail(r, NULL, "out of memory");
  world_open(&w);
  bool ok = go_on(r, &w, &rng, llvm);
  world_close(&w);
  r->models++;
  return ok;
}

bool fuzz_damaged(Report *r, uint64_t seed, bool llvm) {
  Rng rng = {seed + 4242};
  if (!dump(r, &rng)) return false;
  damage_text(r->text, sizeof r->text, &rng);
  return fuzz_dump(r, seed, llvm);
}
