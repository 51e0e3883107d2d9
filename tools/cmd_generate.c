// cmd_generate.c: `ingot generate LIB --prompt TEXT`: continues a text with a compiled language model.
// SPDX-License-Identifier: Apache-2.0
//
// A language model has one integer input, the tokens [sequences, length] or [length], and an output whose last
// dimension is the vocabulary. One with state is given the prompt and then each new token; one without gets everything
// again for each token.
#include <stdlib.h>

#include "runtime/ingot.h"
#include "runtime/ingot_sample.h"
#include "tools/session.h"
#include "tools/tokenizer.h"
#include "tools/tool.h"

enum {
  OPT_PROMPT = 512,
  OPT_TOKENIZER,
  OPT_TEMPERATURE,
  OPT_TOP_K,
  OPT_TOP_P,
  OPT_PENALTY,
  OPT_SEED,
  OPT_STEPS,
  OPT_BATCH,
  OPT_TOKENS,
  OPT_OWN_WEIGHTS
};

typedef struct GenerateArgs {
  BuildArgs build;
  const char *file, *prompt, *tokenizer;
  struct ingot_sampler sampler;
  int steps, batch;
  bool numbers;   // print tokens, not their text
  uint32_t flags; // of the context
} GenerateArgs;

static const struct argp_option options[] = {
    {"prompt", OPT_PROMPT, "TEXT", 0, "what to continue (default: nothing)", 0},
    {"tokenizer", OPT_TOKENIZER, "FILE", 0,
     "tokenizer.json, or a tokenizer of llama2.c (default: the model's own)", 0},
    {"steps", OPT_STEPS, "N", 0, "tokens at most, the prompt's included (default 256)", 0},
    {"temperature", OPT_TEMPERATURE, "X", 0,
     "0 takes the likeliest token (default), 1 draws by the model's own odds", 0},
    {"top-k", OPT_TOP_K, "K", 0, "draw from the K likeliest tokens", 0},
    {"top-p", OPT_TOP_P, "P", 0, "draw from the likeliest tokens that make up P together", 0},
    {"repetition-penalty", OPT_PENALTY, "X", 0, "makes tokens that were there less likely (1: not)", 0},
    {"seed", OPT_SEED, "N", 0, "of the draws (default 1)", 0},
    {"batch", OPT_BATCH, "N", 0, "so many continuations, each with its own draws", 0},
    {"tokens", OPT_TOKENS, NULL, 0, "print the tokens' numbers", 0},
    {"own-weights", OPT_OWN_WEIGHTS, NULL, 0,
     "copy the weights to huge pages first, which makes steps faster", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state) {
  GenerateArgs *a = state->input;
  switch (key) {
  case ARGP_KEY_INIT: state->child_inputs[0] = &a->build; return 0;
  case OPT_PROMPT: a->prompt = arg; return 0;
  case OPT_TOKENIZER: a->tokenizer = arg; return 0;
  case OPT_STEPS: a->steps = (int)number_option(arg, 1, 1 << 24, state, "--steps"); return 0;
  case OPT_TEMPERATURE:
    a->sampler.temperature = (float)number_option(arg, 0, 1e6, state, "--temperature");
    return 0;
  case OPT_TOP_K: a->sampler.top_k = (int32_t)number_option(arg, 0, 1 << 24, state, "--top-k"); return 0;
  case OPT_TOP_P: a->sampler.top_p = (float)number_option(arg, 0, 1, state, "--top-p"); return 0;
  case OPT_PENALTY:
    a->sampler.repetition_penalty = (float)number_option(arg, 0.01, 100, state, "--repetition-penalty");
    return 0;
  case OPT_SEED: a->sampler.seed = (uint64_t)number_option(arg, 0, 9e15, state, "--seed"); return 0;
  case OPT_BATCH: a->batch = (int)number_option(arg, 1, 4096, state, "--batch"); return 0;
  case OPT_TOKENS: a->numbers = true; return 0;
  case OPT_OWN_WEIGHTS: a->flags |= INGOT_OWN_WEIGHTS; return 0;
  default: return file_option(key, arg, state, &a->file, "library");
  }
}

// ---- the model as a language model ------------------------------------------------------------------------

typedef struct Writer {
  Tool *tool;
  GenerateArgs *args;
  Session session;
  Tokenizer *tokenizer;
  int input, output;
  int32_t rows;       // sequences in one run
  int32_t vocabulary; // of the logits
  int32_t room;       // tokens that one run can take
  bool stateful, full;
  int64_t *ids;               // what is given to a run, in the input's own type once bound
  const float **logits;       // of the last run, by row
  TokenList *text;            // by sequence
  int *length;                // the same: its tokens, once it has ended; 0 before
  struct ingot_sampler *draw; // the same
  struct ingot_candidate *candidates;
  int64_t prompt_tokens, new_tokens;
  double prompt_seconds, seconds;
} Writer;

static bool refuse(Writer *w, const char *why) {
  diag_error(w->tool->diag, NO_LOC, "'%s' is no language model: %s", w->args->file, why);
  return false;
}

static bool is_integer(int32_t dtype) {
  return dtype == INGOT_I32 || dtype == INGOT_I64;
}

static bool find_tokens(Writer *w) {
  const ingot_model *m = w->session.model;
  if (ingot_input_count(m) != 1) return refuse(w, "it must have one input, the tokens");
  const struct ingot_tensor_info *in = ingot_input_info(m, 0);
  if (!is_integer(in->dtype) || in->rank < 1 || in->rank > 2)
    return refuse(w, "its input is not i32 or i64 [N,T]");
  w->rows = in->rank == 2 ? (int32_t)in->dims[0].n : 1;
  w->room = (int32_t)in->dims[in->rank - 1].n;
  if (w->rows < 1 || w->room < 1) return refuse(w, "its input is empty");
  return true;
}

static bool find_logits(Writer *w) {
  const ingot_model *m = w->session.model;
  w->output = ingot_find_output(m, "logits");
  if (w->output < 0) w->output = 0;
  const struct ingot_tensor_info *out = ingot_output_info(m, w->output);
  if (out->dtype != INGOT_F32 || out->rank < 2 || out->dims[out->rank - 1].sym >= 0)
    return refuse(w, "its output is not f32 [..,vocabulary]");
  w->vocabulary = (int32_t)out->dims[out->rank - 1].n;
  return w->vocabulary > 0 || refuse(w, "its vocabulary is empty");
}

static bool has_state(const ingot_model *m) {
  for (int i = 0; i < ingot_symbol_count(m); i++)
    if (ingot_symbol_info(m, i)->kind == INGOT_SYM_STATE) return true;
  return false;
}

static bool open_tokenizer(Writer *w) {
  Tool *t = w->tool;
  const char *path = w->args->tokenizer;
  if (!path && !(path = model_meta(t, w->session.model, "tokenizer"))) {
    diag_error(t->diag, NO_LOC, "which tokenizer? Use --tokenizer=FILE");
    return false;
  }
  w->tokenizer = tokenizer_open(t->arena, t->diag, path);
  return w->tokenizer != NULL;
}

static bool open_writer(Writer *w) {
  Arena *a = w->tool->arena;
  SessionOptions options = {.flags = w->args->flags};
  if (!session_open(&w->args->build, w->args->file, &options, &w->session)) return false;
  if (!find_tokens(w) || !find_logits(w) || !open_tokenizer(w)) return false;
  if (w->rows > 1 && w->args->batch == 1) w->args->batch = w->rows;
  int n = w->args->batch;
  if (w->rows > 1 && n != w->rows) {
    diag_error(w->tool->diag, NO_LOC, "the library is made for %d sequences, not %d", w->rows, n);
    return false;
  }
  w->stateful = has_state(w->session.model);
  w->ids = NEW_ARRAY(a, int64_t, (int64_t)w->rows * w->room);
  w->logits = NEW_ARRAY(a, const float *, w->rows);
  w->text = NEW_ARRAY(a, TokenList, n);
  w->length = NEW_ARRAY(a, int, n);
  w->draw = NEW_ARRAY(a, struct ingot_sampler, n);
  w->candidates = NEW_ARRAY(a, struct ingot_candidate, w->vocabulary);
  for (int i = 0; i < n; i++) {
    w->draw[i] = w->args->sampler;
    w->draw[i].seed += (uint64_t)i;
  }
  return true;
}

// ---- runs -------------------------------------------------------------------------------------------------

static bool failed(Writer *w) {
  if (!diag_errors(w->tool->diag)) diag_error(w->tool->diag, NO_LOC, "%s", ingot_last_error(w->session.ctx));
  return false;
}

static bool bind_output(Writer *w) {
  Session *s = &w->session;
  for (int i = 0; i < ingot_output_count(s->model); i++) {
    const struct ingot_tensor_info *info = ingot_output_info(s->model, i);
    void *data = arena_alloc(w->tool->arena, (size_t)info->bytes);
    if (ingot_set_output(s->ctx, i, data, (uint64_t)info->bytes) != INGOT_OK) return failed(w);
  }
  return true;
}

static bool find_rows(Writer *w) {
  int64_t dims[INGOT_MAX_RANK], elements = 1;
  const struct ingot_tensor_info *out = ingot_output_info(w->session.model, w->output);
  const float *data = ingot_output_data(w->session.ctx, w->output);
  ingot_output_shape(w->session.ctx, w->output, dims);
  for (int d = 0; d < out->rank; d++) elements *= dims[d];
  if (elements / w->rows < w->vocabulary) return refuse(w, "its output has no logits for each sequence");
  for (int32_t r = 0; r < w->rows; r++) // the last position of each sequence
    w->logits[r] = data + elements / w->rows * (r + 1) - w->vocabulary;
  return true;
}

// Runs tokens [from, to) of `rows` sequences from number `first` on; the error code.
static int run_tokens(Writer *w, int first, int from, int to) {
  const struct ingot_tensor_info *in = ingot_input_info(w->session.model, 0);
  int64_t dims[2] = {w->rows, to - from}, n = 0;
  int32_t *narrow = (int32_t *)w->ids;
  for (int32_t r = 0; r < w->rows; r++)
    for (int i = from; i < to; i++, n++)
      if (in->dtype == INGOT_I32)
        narrow[n] = w->text[first + r].data[i];
      else
        w->ids[n] = w->text[first + r].data[i];
  uint64_t bytes = (uint64_t)n * (uint64_t)ingot_dtype_size(in->dtype);
  const int64_t *shape = in->rank == 2 ? dims : dims + 1;
  int code = ingot_set_input(w->session.ctx, 0, w->ids, in->dtype, in->rank, shape, bytes);
  if (code == INGOT_OK) code = ingot_run(w->session.ctx);
  if (code == INGOT_OK && !find_rows(w)) code = INGOT_E_DATA;
  return code;
}

// As much at a time as a run takes.
static bool run_prompt(Writer *w, int first, int n) {
  int from = 0;
  if (!w->stateful && n > w->room) {
    diag_error(w->tool->diag, NO_LOC, "the prompt has %d tokens, the model takes %d", n, w->room);
    return false;
  }
  for (; from < n; from += w->room)
    if (run_tokens(w, first, from, n - from < w->room ? n : from + w->room) != INGOT_OK) return failed(w);
  return true;
}

// ---- texts ------------------------------------------------------------------------------------------------

static void print_token(const Writer *w, int sequence, int i) {
  const TokenList *text = &w->text[sequence];
  size_t n;
  if (w->args->numbers) {
    printf("%s%d", i ? " " : "", text->data[i]);
  } else {
    const char *s = tokenizer_piece(w->tokenizer, i ? text->data[i - 1] : -1, text->data[i], &n);
    fwrite(s, 1, n, stdout);
  }
  fflush(stdout);
}

static void print_text(const Writer *w, int sequence) {
  for (int i = 0; i < w->text[sequence].n; i++) print_token(w, sequence, i);
}

// Draws the next token of a sequence; false if that ends it.
static bool draw_token(Writer *w, int sequence, const float *logits) {
  TokenList *text = &w->text[sequence];
  int32_t k = ingot_sample(&w->draw[sequence], logits, w->vocabulary, text->data, text->n, w->candidates);
  if (k == w->tokenizer->eos || k == w->tokenizer->bos) return false;
  vec_push(w->tool->arena, text, k);
  w->new_tokens++;
  return true;
}

// All rows of one run, until each has ended. They print as they come if there is one, else at the end. Rows
// that have ended go on with any token, since all are equally long.
static bool continue_rows(Writer *w, int first) {
  bool alone = w->args->batch == 1;
  int n = w->text[first].n;
  double start = seconds_now();
  for (int open = w->rows; n < w->args->steps; n++) {
    for (int32_t r = 0; r < w->rows; r++) {
      int *length = &w->length[first + r];
      if (!*length && !draw_token(w, first + r, w->logits[r])) *length = n, open--;
      if (*length) vec_push(w->tool->arena, &w->text[first + r], 0);
    }
    if (alone && open) print_token(w, first, n);
    if (!open || n + 1 == w->args->steps || (!w->stateful && n + 1 > w->room)) break;
    int code = run_tokens(w, first, w->stateful ? n : 0, n + 1);
    if (w->stateful && code == INGOT_E_SHAPE) { // the text ends where the model's memory does
      w->full = true;
      break;
    }
    if (code != INGOT_OK) return failed(w);
  }
  w->seconds += seconds_now() - start;
  return true;
}

static bool check_prompt(Writer *w, const TokenList *prompt) {
  if (!prompt->n) {
    diag_error(w->tool->diag, NO_LOC, "the prompt is empty and the tokenizer has no token to begin with");
    return false;
  }
  for (int i = 0; i < prompt->n; i++) {
    if (prompt->data[i] >= 0 && prompt->data[i] < w->vocabulary) continue;
    diag_error(w->tool->diag, NO_LOC, "token %d of the prompt is %d, the model's vocabulary ends at %d", i,
               prompt->data[i], w->vocabulary - 1);
    return false;
  }
  return true;
}

// Sequences that do not go in one run begin from the same copy of the state after the prompt.
static bool write_all(Writer *w, const TokenList *prompt) {
  ingot_ctx *c = w->session.ctx;
  uint64_t bytes = ingot_state_bytes(w->session.model);
  void *after = arena_alloc(w->tool->arena, bytes);
  double start = seconds_now();
  for (int i = 0; i < w->args->batch; i++)
    for (int k = 0; k < prompt->n; k++) vec_push(w->tool->arena, &w->text[i], prompt->data[k]);
  if (w->args->batch == 1 && !w->args->numbers) print_text(w, 0);
  if (!bind_output(w) || !run_prompt(w, 0, prompt->n)) return false;
  w->prompt_seconds = seconds_now() - start;
  w->prompt_tokens = (int64_t)prompt->n * w->rows;
  if (w->args->batch > w->rows && ingot_state_save(c, after, bytes) != INGOT_OK) return failed(w);
  float *logits = arena_dup(w->tool->arena, w->logits[0], sizeof(float) * (size_t)w->vocabulary);
  for (int i = 0; i < w->args->batch; i += w->rows) {
    if (i && ingot_state_restore(c, after, bytes) != INGOT_OK) return failed(w);
    if (i) w->logits[0] = logits;
    if (!continue_rows(w, i)) return false;
  }
  return true;
}

static void print_all(Writer *w) {
  for (int i = 0; i < w->args->batch; i++) {
    if (w->length[i]) w->text[i].n = w->length[i];
    if (w->args->batch > 1) printf("%s--- %d\n", i ? "\n" : "", i + 1);
    if (w->args->batch > 1 || w->args->numbers) print_text(w, i);
  }
  putchar('\n');
  fflush(stdout);
  fprintf(stderr, "prompt: %lld tokens", (long long)w->prompt_tokens);
  if (w->prompt_seconds > 0) fprintf(stderr, ", %.1f tokens/s", (double)w->prompt_tokens / w->prompt_seconds);
  fprintf(stderr, "; new: %lld tokens", (long long)w->new_tokens);
  if (w->seconds > 0) fprintf(stderr, ", %.1f tokens/s", (double)w->new_tokens / w->seconds);
  fprintf(stderr, "%s\n", w->full ? "; the model takes no more" : "");
}

int cmd_generate(Tool *t, int argc, char **argv) {
  static const struct argp_child children[] = {{&build_argp, 0, NULL, 0}, {0}};
  static const struct argp argp = {
      options,     parse,
      "LIB|MODEL", "Continue a text with a compiled language model. The text goes to stdout as it comes.",
      children,    NULL,
      NULL};
  GenerateArgs a = {.build = build_args(t), .prompt = "", .steps = 256, .batch = 1, .sampler = {.seed = 1}};
  int code;
  if (!tool_parse(t, &argp, argc, argv, &a, &code)) return code;
  Writer w = {.tool = t, .args = &a};
  TokenList prompt = {0};
  if (!open_writer(&w)) return EXIT_INPUT;
  tokenizer_encode(w.tokenizer, a.prompt, &prompt);
  if (!prompt.n && w.tokenizer->eos >= 0)
    vec_push(t->arena, &prompt, w.tokenizer->eos); // GPT-2 begins with its end
  if (!check_prompt(&w, &prompt) || !write_all(&w, &prompt)) return EXIT_INPUT;
  print_all(&w);
  return diag_errors(t->diag) ? EXIT_INPUT : EXIT_FINE;
}
