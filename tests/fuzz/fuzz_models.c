// fuzz_models.c: the model fuzzer's driver: seeds, processes, reports, reduction.
// SPDX-License-Identifier: Apache-2.0
//
// Models are checked in child processes, many to a process. What a child is doing stands in memory shared with
// its parent, so that a crash or a hang is reported, and reduced, like any other failure.
#include "tests/child.h"
#include "tests/fuzz/fuzz.h"

#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 256, SECONDS_PER_MODEL = 60, SECONDS_TO_REDUCE = 240 };

typedef struct Args {
  uint64_t seed, count;
  double seconds;
  int jobs, llvm; // percent of the models that run compiled code
  const char *only, *folder;
  bool all, print, no_reduce, stop, damage;
  char **files;
  int nfiles;
} Args;

enum {
  OPT_COUNT = 256,
  OPT_SECONDS,
  OPT_ONLY,
  OPT_LLVM,
  OPT_ALL,
  OPT_PRINT,
  OPT_NO_REDUCE,
  OPT_STOP,
  OPT_SAVE,
  OPT_DAMAGE
};

static const struct argp_option options[] = {
    {"seed", 's', "N", 0, "first seed (default 1)", 0},
    {"count", OPT_COUNT, "N", 0, "models to try (default: no end)", 0},
    {"seconds", OPT_SECONDS, "X", 0, "stop after so long", 0},
    {"jobs", 'j', "N", 0, "processes (default 1)", 0},
    {"only", OPT_ONLY, "OP", 0, "models with this op", 0},
    {"llvm", OPT_LLVM, "PERCENT", 0, "how many of the models are compiled and run too (default 20)", 0},
    {"all", OPT_ALL, NULL, 0, "every level, target and number of threads for every model", 0},
    {"print", OPT_PRINT, NULL, 0, "print the model of the seed and stop", 0},
    {"no-reduce", OPT_NO_REDUCE, NULL, 0, "report failures as they are", 0},
    {"stop", OPT_STOP, NULL, 0, "stop at the first failure", 0},
    {"damage", OPT_DAMAGE, NULL, 0,
     "feed back damaged dumps of the models, of any level: they have to be refused with a place, or to go on",
     0},
    {"save", OPT_SAVE, "FOLDER", 0, "write reduced models there", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state) {
  Args *a = state->input;
  switch (key) {
  case 's': a->seed = strtoull(arg, NULL, 10); return 0;
  case 'j': a->jobs = atoi(arg); return 0;
  case OPT_COUNT: a->count = strtoull(arg, NULL, 10); return 0;
  case OPT_SECONDS: a->seconds = atof(arg); return 0;
  case OPT_ONLY: a->only = arg; return 0;
  case OPT_LLVM: a->llvm = atoi(arg); return 0;
  case OPT_ALL: a->all = true; return 0;
  case OPT_PRINT: a->print = true; return 0;
  case OPT_NO_REDUCE: a->no_reduce = true; return 0;
  case OPT_STOP: a->stop = true; return 0;
  case OPT_DAMAGE: a->damage = a->no_reduce = true; return 0;
  case OPT_SAVE: a->folder = arg; return 0;
  case ARGP_KEY_ARGS:
    a->files = state->argv + state->next;
    a->nfiles = state->argc - state->next;
    return 0;
  default: return ARGP_ERR_UNKNOWN;
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *shared_memory(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p != MAP_FAILED) return p;
  perror("mmap");
  exit(1);
}

// A signal ends the run, with its totals.
static volatile sig_atomic_t stopped;

static void stop(int signal) {
  (void)signal;
  stopped = 1;
}

// ---- one model ------------------------------------------------------------------------------------------------------

static Options options_of(const Args *a, uint64_t seed) {
  Rng r = {seed + 12345};
  Options o = {.all = a->all, .choice = rng_next(&r)};
  o.llvm = rng_chance(&r, a->llvm);
  return o;
}

// The model of a seed as text in the report; false: this seed gives none.
static bool generate(Report *r, uint64_t seed, const char *only) {
  jmp_buf oom;
  Arena *a = arena_new(&oom);
  if (setjmp(oom)) return arena_free(a), false;
  FILE *sink = fopen("/dev/null", "w");
  Ctx *c = ctx_new(a, diag_new(a, sink, false));
  Str s = {.arena = a};
  r->text[0] = 0;
  snprintf(r->stage, sizeof r->stage, "generate");
  Module *m = fuzz_generate(c, seed, only);
  if (m) module_print(&s, m, NULL);
  bool ok = m && s.n < sizeof r->text;
  if (ok) memcpy(r->text, s.s, s.n + 1);
  fclose(sink);
  arena_free(a);
  return ok;
}

enum { WAITING = 20 }; // times as long when other processes have the cores

// Ends the process after so many seconds of its own; what waits for ever ends too. 0: no more.
static void limit_time(int seconds) {
  struct itimerval t = {.it_value.tv_sec = seconds};
  setitimer(ITIMER_PROF, &t, NULL);
  alarm((unsigned)seconds * WAITING);
}

static bool is_timeout(int signal) {
  return signal == SIGALRM || signal == SIGPROF;
}

static void check_seed(const Args *a, Report *r, uint64_t seed) {
  Options o = options_of(a, seed);
  r->seed = seed;
  r->failed = false;
  limit_time(SECONDS_PER_MODEL);
  if (generate(r, seed, a->only)) a->damage ? fuzz_damaged(r, seed, o.llvm) : fuzz_check(r, r->text, &o);
  limit_time(0);
}

// ---- children -------------------------------------------------------------------------------------------------------

// Waits for a child; a death that is not its own doing becomes the report's failure.
static void collect(Report *r, pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  r->failed = true;
  if (WIFSIGNALED(status))
    snprintf(r->detail, sizeof r->detail, "%s",
             is_timeout(WTERMSIG(status)) ? "takes too long" : strsignal(WTERMSIG(status)));
  else
    snprintf(r->detail, sizeof r->detail, "exit code %d", WEXITSTATUS(status));
}

static pid_t start(void) {
  fflush(NULL);
  pid_t pid = fork();
  if (pid < 0) {
    perror("fork");
    exit(1);
  }
  return pid;
}

// Seeds from *next on, until one fails or the batch is done.
static void run_batch(const Args *a, Report *r, uint64_t *next, uint64_t last, uint64_t step, double end) {
  r->failed = false;
  pid_t pid = start();
  if (pid == 0) {
    for (int i = 0; i < BATCH && *next < last && !r->failed && (end == 0 || now() < end);
         i++, *next += step) {
      if (stopped) break;
      r->seed = *next;
      check_seed(a, r, *next);
    }
    child_exit(0);
  }
  collect(r, pid);
  if (r->failed && r->seed >= *next) *next = r->seed + step;
}

static bool check_text_in_child(Report *r, const char *text, const Options *o, int seconds) {
  r->failed = false;
  pid_t pid = start();
  if (pid == 0) {
    limit_time(seconds);
    fuzz_check(r, text, o);
    child_exit(0);
  }
  collect(r, pid);
  return !r->failed;
}

// ---- reduction ------------------------------------------------------------------------------------------------------

// Applies step `step` in a child. 0: no such step; 1: does not apply or no longer fails; 2: r->text fails too.
static int try_step(Report *r, const char *text, int step, const char *wanted, const Options *o) {
  r->failed = false;
  snprintf(r->stage, sizeof r->stage, "edit");
  pid_t pid = start();
  if (pid == 0) {
    jmp_buf oom;
    bool end;
    limit_time(SECONDS_PER_MODEL);
    Arena *a = arena_new(&oom);
    if (setjmp(oom)) child_exit(3);
    FILE *sink = fopen("/dev/null", "w");
    char *edited = fuzz_edit(ctx_new(a, diag_new(a, sink, false)), text, step, &end);
    if (end) child_exit(4);
    if (!edited || strlen(edited) >= sizeof r->text) child_exit(3);
    strcpy(r->text, edited);
    snprintf(r->stage, sizeof r->stage, "start");
    fuzz_check(r, r->text, o);
    child_exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 4) return 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !r->failed) return 1;
  return strcmp(r->stage, wanted) == 0 ? 2 : 1;
}

// Replaces the report's text by a smaller one that fails at the same stage.
static void reduce(Report *r, const Options *o) {
  Report *work = shared_memory(sizeof *work);
  double end = now() + SECONDS_TO_REDUCE;
  bool progress = true;
  while (progress && now() < end) {
    progress = false;
    for (int step = 0; now() < end;) {
      int result = try_step(work, r->text, step, r->stage, o);
      if (result == 0) break;
      if (result == 2) {
        memcpy(r->text, work->text, sizeof r->text);
        progress = true;
      } else {
        step++;
      }
    }
  }
  char stage[sizeof r->stage];
  memcpy(stage, r->stage, sizeof stage);
  check_text_in_child(work, r->text, o, SECONDS_PER_MODEL);
  if (work->failed) memcpy(r->detail, work->detail, sizeof r->detail);
  munmap(work, sizeof *work);
}

// ---- reports --------------------------------------------------------------------------------------------------------

static void save(const Args *a, const Report *r) {
  char path[512];
  snprintf(path, sizeof path, "%s/seed%llu.ing", a->folder, (unsigned long long)r->seed);
  FILE *f = fopen(path, "w");
  if (f) fputs(r->text, f);
  if (!f || fclose(f)) perror(path);
}

static void report(const Args *a, Report *r) {
  Options o = options_of(a, r->seed);
  printf("seed %llu: %s: %s\n", (unsigned long long)r->seed, r->stage, r->detail);
  fflush(stdout);
  if (!a->no_reduce && r->text[0] && strcmp(r->stage, "generate") != 0) {
    reduce(r, &o);
    printf("seed %llu reduced: %s: %s\n%s\n", (unsigned long long)r->seed, r->stage, r->detail, r->text);
  }
  if (a->folder) save(a, r);
  fflush(stdout);
}

typedef struct Totals {
  uint64_t failures, models, compiled, elements, unstable;
} Totals;

static void add_totals(Totals *t, const Report *r) {
  t->models += r->models;
  t->compiled += r->compiled;
  t->elements += r->elements;
  t->unstable += r->unstable;
}

// ---- runs -----------------------------------------------------------------------------------------------------------

// Every jobs-th seed from `first` on.
static Totals run_job(const Args *a, uint64_t first) {
  Totals t = {0};
  Report *r = shared_memory(sizeof *r);
  uint64_t *next = shared_memory(sizeof *next), last = a->count ? a->seed + a->count : UINT64_MAX;
  double end = a->seconds > 0 ? now() + a->seconds : 0;
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  for (*next = first; *next < last && !stopped && (end == 0 || now() < end);) {
    run_batch(a, r, next, last, (uint64_t)a->jobs, end);
    if (!r->failed) continue;
    t.failures++;
    report(a, r);
    if (a->stop) break;
  }
  add_totals(&t, r);
  return t;
}

static void add(Totals *t, const Totals *u) {
  t->failures += u->failures;
  t->models += u->models;
  t->compiled += u->compiled;
  t->elements += u->elements;
  t->unstable += u->unstable;
}

static Totals run_jobs(const Args *a) {
  Totals all = {0}, *of = shared_memory(sizeof *of * (size_t)a->jobs);
  if (a->jobs == 1) return run_job(a, a->seed);
  for (int j = 0; j < a->jobs; j++) {
    if (start() == 0) {
      of[j] = run_job(a, a->seed + (uint64_t)j);
      fflush(NULL);
      child_exit(0);
    }
  }
  while (wait(NULL) > 0 || errno == EINTR) {
  }
  for (int j = 0; j < a->jobs; j++) add(&all, &of[j]);
  return all;
}

static bool read_file(const char *path, char *text, size_t size) {
  FILE *f = fopen(path, "r");
  if (!f) return perror(path), false;
  size_t n = fread(text, 1, size - 1, f);
  text[n] = 0;
  fclose(f);
  return true;
}

enum { CHOICES = 12 }; // of options of the passes that a file is run with

// Every level and target; then, in the evaluator only, other options of the passes.
static bool check_file(Report *r) {
  Rng choices = {1};
  Options o = {.all = true};
  for (int i = 0; i < CHOICES; i++) {
    if (!check_text_in_child(r, r->text, &o, SECONDS_PER_MODEL)) return false;
    o = (Options){.choice = rng_next(&choices)};
  }
  return true;
}

static int run_files(const Args *a) {
  Report *r = shared_memory(sizeof *r);
  int failures = 0;
  for (int i = 0; i < a->nfiles; i++) {
    if (!read_file(a->files[i], r->text, sizeof r->text)) return 1;
    if (check_file(r)) continue;
    printf("%s: %s: %s\n", a->files[i], r->stage, r->detail);
    failures++;
  }
  printf("%d models, %d failures\n", a->nfiles, failures);
  return failures > 0;
}

int main(int argc, char **argv) {
  static const struct argp argp = {
      options,
      parse_option,
      "[MODEL.ing...]",
      "Generate random models, run them every way there is, compare the results, and "
      "reduce the models that fail. Given files, check those, every way.",
      NULL,
      NULL,
      NULL};
  Args a = {.seed = 1, .jobs = 1, .llvm = 20};
  if (argp_parse(&argp, argc, argv, 0, NULL, &a)) return 2;
  if (a.nfiles) return run_files(&a);
  if (a.print) {
    Report *r = shared_memory(sizeof *r);
    if (generate(r, a.seed, a.only)) fputs(r->text, stdout);
    return 0;
  }
  double begin = now();
  Totals t = run_jobs(&a);
  double seconds = now() - begin;
  printf("%llu models (%.0f per second), %llu compilations, %llu elements compared (%.2f %% too unstable), "
         "%llu failures\n",
         (unsigned long long)t.models, (double)t.models / seconds, (unsigned long long)t.compiled,
         (unsigned long long)t.elements, t.elements ? 100.0 * (double)t.unstable / (double)t.elements : 0,
         (unsigned long long)t.failures);
  return t.failures > 0;
}
