// test_golden.c: what passes do to small modules, one file a test.
// SPDX-License-Identifier: Apache-2.0
//
// A file in tests/golden is IR text, a line of dashes, and the text after the passes named in its first line:
//
//     # run: canonicalize, cse
//     # What this shows.
//     ingot 1 graph
//     graph main(%x: f32[4]) {
//     ...
//     ---
//     ...
//
// Other options, one a line before the text: `# opt: 1` (optimisation level, 2 if absent). With
// INGOT_GOLDEN_UPDATE=1 in the environment, the part after the dashes is written anew: look at the difference
// before you commit it.
#include "passes/passes.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <dirent.h>
#include <stdlib.h>

#define FOLDER SOURCE_DIR "/tests/golden"
#define SPLIT  "\n---\n"
enum { MAX_FILES = 500, MAX_NAME = 100 };

typedef struct Golden {
  Arena *arena;
  Ctx *ctx;
  const char *path, *text;
} Golden;

static jmp_buf oom;

// The value of `# key: value` among the first lines, or NULL.
static char *option(const Golden *g, const char *key) {
  char *prefix = arena_printf(g->arena, "# %s: ", key);
  size_t n = strlen(prefix);
  for (const char *s = g->text; *s == '#'; s = strchr(s, '\n') + 1) {
    if (strncmp(s, prefix, n) == 0) return arena_strndup(g->arena, s + n, strcspn(s + n, "\n"));
    if (!strchr(s, '\n')) break;
  }
  return NULL;
}

// Names separated by commas, without blanks, as passes_run wants them.
static char *without_blanks(char *s) {
  char *to = s;
  for (const char *from = s; *from; from++) {
    if (*from != ' ') *to++ = *from;
  }
  *to = '\0';
  return s;
}

static char *run_passes(const Golden *g) {
  const char *split = strstr(g->text, SPLIT);
  size_t n = split ? (size_t)(split - g->text) + 1 : strlen(g->text);
  Source *src = source_from_text(g->arena, g->path, arena_strndup(g->arena, g->text, n));
  Module *m = module_parse(g->ctx, src);
  cr_assert_not_null(m, "%s does not parse", g->path);
  char *list = option(g, "run"), *opt = option(g, "opt");
  cr_assert_not_null(list, "%s: the line '# run: ...' is missing", g->path);
  PassOptions o = {.opt_level = opt ? atoi(opt) : 2, .threads = 1};
  PassHooks hooks = {.verify_each = true};
  cr_assert(passes_run(m, &o, without_blanks(list), NULL, &hooks), "%s: the passes failed", g->path);
  Str out = {.arena = g->arena};
  module_print_plain(&out, m);
  char *s = str_text(&out);
  return *s == '\n' ? s + 1 : s;
}

static void update(const Golden *g, const char *result) {
  const char *split = strstr(g->text, SPLIT);
  size_t n = split ? (size_t)(split - g->text) + 1 : strlen(g->text);
  FILE *f = fopen(g->path, "w");
  cr_assert_not_null(f);
  fprintf(f, "%.*s---\n%s", (int)n, g->text, result);
  fclose(f);
}

static int by_name(const void *a, const void *b) {
  return strcmp(a, b);
}

ParameterizedTestParameters(golden, files) {
  char(*names)[MAX_NAME] = cr_malloc(sizeof(char[MAX_FILES][MAX_NAME]));
  size_t n = 0;
  DIR *d = opendir(FOLDER);
  for (struct dirent *e; d && n < MAX_FILES && (e = readdir(d));) {
    const char *dot = strrchr(e->d_name, '.');
    if (dot && strcmp(dot, ".ing") == 0 && strlen(e->d_name) < MAX_NAME) strcpy(names[n++], e->d_name);
  }
  if (d) closedir(d);
  qsort(names, n, MAX_NAME, by_name);
  return cr_make_param_array(char[MAX_NAME], names, n);
}

ParameterizedTest(char (*name)[MAX_NAME], golden, files) {
  Golden g = {.arena = arena_new(&oom)};
  Diag *d = diag_new(g.arena, stderr, false);
  g.ctx = ctx_new(g.arena, d);
  g.path = arena_printf(g.arena, FOLDER "/%s", *name);
  Source *src = source_read(g.arena, d, g.path);
  cr_assert_not_null(src);
  g.text = src->text;
  char *result = run_passes(&g);
  const char *split = strstr(g.text, SPLIT);
  if (getenv("INGOT_GOLDEN_UPDATE")) {
    update(&g, result);
  } else {
    cr_assert_not_null(split, "%s has no expected part", *name);
    cr_assert_str_eq(result, split + strlen(SPLIT), "%s", *name);
  }
  arena_free(g.arena);
}
