// main.c: the `ingot` command: picks a subcommand, sets up memory, diagnostics and signals.
// SPDX-License-Identifier: Apache-2.0
#include "tools/tool.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef INGOT_VERSION
#define INGOT_VERSION "0.1.0"
#endif

static const Command commands[] = {
    {"compile", cmd_compile, "compile a model file to a shared library and a header"},
    {"run", cmd_run, "run a compiled library (or a model file) on files"},
    {"generate", cmd_generate, "continue a text with a compiled language model"},
    {"inspect", cmd_inspect, "tell what is in a library, model file or IR dump"},
    {"opt", cmd_opt, "IR in, passes, IR out"},
    {"verify", cmd_verify, "compare compiled code against the reference evaluator"},
    {"tune", cmd_tune, "measure schedules on this machine, for compile --tune"},
    {"bench", cmd_bench, "time a compiled library (or a model file)"},
    {"report", cmd_report, "write a page that shows what was made of a model"},
    {"explain", cmd_explain, "tell what became of a node of a model, and why"},
    {"reduce", cmd_reduce, "shrink a model on which a command fails"},
    {"diff", cmd_diff, "compare two models or dumps: structure, names, expressions"},
    {"ops", cmd_ops, "list the operations, or tell about one"},
};

static void help(FILE *out) {
  fputs("Usage: ingot COMMAND [OPTION...] [FILE...]\n"
        "Ahead-of-time compiler for neural networks: a model file goes in, a shared library comes out.\n\n"
        "Commands:\n",
        out);
  for (int i = 0; i < ARRAY_LEN(commands); i++)
    fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].doc);
  fputs("\n`ingot COMMAND --help` tells the options of one; `ingot --version` prints the version.\n"
        "Exit codes: 0 fine, 1 the input is at fault, 2 wrong usage, 70 a bug in ingot.\n",
        out);
}

static const Command *find_command(const char *name) {
  for (int i = 0; i < ARRAY_LEN(commands); i++)
    if (strcmp(commands[i].name, name) == 0) return &commands[i];
  return NULL;
}

static int unknown_command(const char *name) {
  const char *names[ARRAY_LEN(commands)];
  for (int i = 0; i < ARRAY_LEN(commands); i++) names[i] = commands[i].name;
  const char *near = nearest_word(name, names, ARRAY_LEN(commands));
  fprintf(stderr, "ingot: unknown command '%s'", name);
  if (near) fprintf(stderr, "; did you mean '%s'?", near);
  fputs("\nTry `ingot --help`.\n", stderr);
  return EXIT_USAGE;
}

// Removes half-written files, then dies of the signal as the caller expects.
static void on_signal(int sig) {
  file_remove_open_outputs();
  signal(sig, SIG_DFL);
  raise(sig);
}

// Says why, leaves nothing half-written, and ends the process: for what can be told by no other way.
static _Noreturn void die(int code, const char *why) {
  file_remove_open_outputs();
  _exit(write(STDERR_FILENO, why, strlen(why)) < 0 ? EXIT_BUG : code);
}

// Input files are mapped: what cannot be read of them, or was cut off meanwhile, comes as a signal.
static void on_bus_error(int sig) {
  (void)sig;
  die(EXIT_INPUT, "ingot: error: an input file can no longer be read (did it change, or its disk fail?)\n");
}

static void on_no_memory(void) {
  die(EXIT_INPUT, "ingot: error: out of memory\n");
}

// LLVM allocates with C++'s operator new, which calls this function when there is no memory left. It belongs to
// the library that LLVM is linked with, hence the search by name.
static void catch_no_memory(void) {
  void *(*set_handler)(void (*)(void));
  *(void **)&set_handler = dlsym(RTLD_DEFAULT, "_ZSt15set_new_handlerPFvvE");
  if (set_handler) set_handler(on_no_memory);
}

#ifdef __SANITIZE_ADDRESS__ // which reports crashes better
static void catch_crashes(void) {}
#else
// A crash is a bug of ours whatever the input was: says so, leaves nothing half-written.
static void on_crash(int sig) {
  static const char text[] =
      "ingot: internal error (a crash); please report it with the model that led here\n";
  (void)sig;
  die(EXIT_BUG, text);
}

static void catch_crashes(void) {
  static const int crash[] = {SIGABRT, SIGSEGV, SIGFPE, SIGILL};
  static char stack[64 * 1024]; // for a crash by stack overflow, which has none left
  sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
  for (int i = 0; i < ARRAY_LEN(crash); i++)
    sigaction(crash[i], &(struct sigaction){.sa_handler = on_crash, .sa_flags = SA_ONSTACK}, NULL);
}
#endif

static void catch_signals(void) {
  static const int fatal[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
  for (int i = 0; i < ARRAY_LEN(fatal); i++) signal(fatal[i], on_signal);
  signal(SIGBUS, on_bus_error);
  catch_crashes();
  catch_no_memory();
}

static bool want_colour(void) {
  const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
  return isatty(STDERR_FILENO) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

static int run_command(const Command *c, int argc, char **argv) {
  jmp_buf oom;
  Arena *volatile arena = NULL;
  volatile int code = EXIT_INPUT;
  if (setjmp(oom) == 0) {
    arena = arena_new(&oom);
    if (!arena) longjmp(oom, 1);
    Tool t = {.arena = arena, .terminal = isatty(STDERR_FILENO), .colour = want_colour()};
    t.diag = diag_new(arena, stderr, t.colour);
    t.ctx = ctx_new(arena, t.diag);
    code = c->run(&t, argc, argv);
    diag_finish(t.diag);
    if (t.bug) code = EXIT_BUG;
  } else {
    fputs("ingot: error: out of memory\n", stderr);
  }
  file_remove_open_outputs();
  arena_free(arena);
  return code;
}

// What was printed must have arrived, whichever way the process ends: argp's --help calls exit() itself.
static void check_output(void) {
  bool failed = ferror(stdout); // some time ago: errno tells nothing about it
  if (fflush(stdout) != 0)
    perror("ingot: cannot write to standard output");
  else if (failed)
    fputs("ingot: cannot write to standard output\n", stderr);
  else
    return;
  _exit(EXIT_INPUT);
}

static int named_command(const Command *c, bool asks_help, int argc, char **argv) {
  char *self = malloc(strlen(c->name) + sizeof "ingot ");
  if (!self) return EXIT_INPUT;
  sprintf(self, "ingot %s", c->name);
  char *help_argv[] = {self, "--help", NULL};
  argv[1] = self;
  int code = asks_help ? run_command(c, 2, help_argv) : run_command(c, argc - 1, argv + 1);
  free(self);
  return code;
}

int main(int argc, char **argv) {
  argp_err_exit_status = EXIT_USAGE;
  atexit(check_output);
  catch_signals();
  if (argc < 2) {
    help(stderr);
    return EXIT_USAGE;
  }
  const char *name = argv[1];
  if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
    puts("ingot " INGOT_VERSION);
    return EXIT_FINE;
  }
  bool asks_help = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0;
  if (asks_help && argc == 2) {
    help(stdout);
    return EXIT_FINE;
  }
  const Command *c = find_command(asks_help ? argv[2] : name);
  return c ? named_command(c, asks_help, argc, argv) : unknown_command(asks_help ? argv[2] : name);
}
