// stories.c: llama2.c and compiled forms of its model take turns: tokens a second of one thread's own time.
// SPDX-License-Identifier: Apache-2.0
//
//   stories CHECKPOINT ROUNDS TOKENS LIBRARY...
//
// Compiled with -DRUN_C="\"run.c\"", the file of llama2.c. Each turn is one text of TOKENS tokens, greedy, from token 1
// on. One line for each: its name, then nanoseconds a token of every round. All texts must be the same.
#define TESTING // no main
#include RUN_C

#include "ingot.h"

enum { FIRST = 1 };

typedef struct Library {
  const char *path;
  ingot_ctx *ctx;
  int32_t token, vocabulary;
  float *logits;
} Library;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static int64_t thread_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void open_library(Library *l, const char *path) {
  char text[256];
  ingot_library *opened;
  struct ingot_options options = {
      .size = sizeof options, .threads = 1, .flags = INGOT_WARM | INGOT_OWN_WEIGHTS};
  l->path = path;
  if (ingot_library_open(path, &opened, text, sizeof text)) fail(path, text);
  const ingot_model *m = ingot_library_model(opened, NULL);
  const struct ingot_tensor_info *out = ingot_output_info(m, 0);
  if (ingot_ctx_create(m, &options, &l->ctx)) fail(path, "no context");
  l->vocabulary = (int32_t)out->dims[out->rank - 1].n;
  l->logits = malloc((size_t)out->bytes);
  const int64_t one[] = {1, 1};
  if (ingot_set_input(l->ctx, 0, &l->token, INGOT_I32, 2, one, sizeof l->token) ||
      ingot_set_output(l->ctx, 0, l->logits, (uint64_t)out->bytes))
    fail(path, ingot_last_error(l->ctx));
}

// Nanoseconds of a text.
static int64_t library_turn(Library *l, int *text, int tokens) {
  if (ingot_state_reset(l->ctx)) fail(l->path, ingot_last_error(l->ctx));
  int64_t begin = thread_ns();
  for (int i = 0, token = FIRST; i < tokens; i++) {
    l->token = token;
    if (ingot_run(l->ctx)) fail(l->path, ingot_last_error(l->ctx));
    text[i] = token = sample_argmax(l->logits, l->vocabulary);
  }
  return thread_ns() - begin;
}

static int64_t llama2c_turn(Transformer *t, int *text, int tokens) {
  int64_t begin = thread_ns();
  for (int i = 0, token = FIRST; i < tokens; i++)
    text[i] = token = sample_argmax(forward(t, token, i), t->config.vocab_size);
  return thread_ns() - begin;
}

int main(int argc, char **argv) {
  if (argc < 5) fail("usage", "stories CHECKPOINT ROUNDS TOKENS LIBRARY...");
  int rounds = atoi(argv[2]), tokens = atoi(argv[3]), n = argc - 4;
  Transformer transformer;
  Library *library = calloc((size_t)n, sizeof *library);
  int64_t *taken = calloc((size_t)(n + 1) * (size_t)rounds, sizeof *taken);
  int *want = calloc((size_t)tokens, sizeof *want), *got = calloc((size_t)tokens, sizeof *got);
  build_transformer(&transformer, argv[1]);
  for (int i = 0; i < n; i++) open_library(&library[i], argv[4 + i]);
  for (int r = 0; r < rounds; r++) {
    taken[r] = llama2c_turn(&transformer, want, tokens);
    for (int i = 0; i < n; i++) {
      taken[(i + 1) * rounds + r] = library_turn(&library[i], got, tokens);
      if (memcmp(want, got, sizeof *got * (size_t)tokens) != 0)
        fprintf(stderr, "%s: another text than llama2.c's\n", library[i].path);
    }
  }
  for (int i = 0; i <= n; i++) {
    printf("%s", i ? library[i - 1].path : "llama2.c");
    for (int r = 0; r < rounds; r++) printf(" %.1f", (double)taken[i * rounds + r] / tokens);
    printf("\n");
  }
  return 0;
}
