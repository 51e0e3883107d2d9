// link.c: runs the system's linker.
// SPDX-License-Identifier: Apache-2.0
#include "codegen/internal.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

typedef struct Command {
  Arena *arena;
  Vec(char *) argv;
} Command;

static void arg(Command *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void arg(Command *c, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  vec_push(c->arena, &c->argv, arena_vprintf(c->arena, fmt, ap));
  va_end(ap);
}

// ---- running --------------------------------------------------------------------------------------------------

enum { SAID_MAX = 8000 };

// Collects what the program says until it closes its end; what does not fit is dropped.
static void read_all(int fd, char *said) {
  size_t n = 0;
  for (;;) {
    char more[512];
    ssize_t got = read(fd, more, sizeof more);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    size_t take = (size_t)got < SAID_MAX - 1 - n ? (size_t)got : SAID_MAX - 1 - n;
    memcpy(said + n, more, take);
    n += take;
  }
  while (n && said[n - 1] == '\n') n--;
  said[n] = 0;
}

// The exit status, or -1 with errno if it could not be started.
static int run(Command *c, char *said) {
  int fds[2];
  said[0] = 0;
  if (pipe(fds) < 0) return -1;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
  posix_spawn_file_actions_adddup2(&actions, fds[1], 2);
  posix_spawn_file_actions_addclose(&actions, fds[0]);
  posix_spawn_file_actions_addclose(&actions, fds[1]);
  vec_push(c->arena, &c->argv, NULL);
  pid_t pid;
  int fault = posix_spawnp(&pid, c->argv.data[0], &actions, NULL, c->argv.data, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(fds[1]);
  if (!fault) read_all(fds[0], said);
  close(fds[0]);
  int status = 0;
  while (!fault && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  errno = fault;
  return fault ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

// ---- which linker ---------------------------------------------------------------------------------------------

static bool on_path(const char *name) {
  const char *path = getenv("PATH");
  char file[4096];
  if (strchr(name, '/')) return access(name, X_OK) == 0;
  for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
    size_t n = strcspn(p, ":");
    snprintf(file, sizeof file, "%.*s/%s", (int)n, p, name);
    if (access(file, X_OK) == 0) return true;
    p += n + (p[n] == ':');
  }
  return false;
}

// What linking for a target takes beside its objects.
typedef struct Platform {
  const char *runtime;     // as in Target
  const char *triple;      // of Debian's folders
  const char *interpreter; // of executables
  const char *emulation;   // the linker's name for the format
} Platform;

static const Platform platforms[] = {
    {"x86_64", "x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2", "elf_x86_64"},
    {"aarch64", "aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1", "aarch64linux"},
    {"armv7", "arm-linux-gnueabihf", "/lib/ld-linux-armhf.so.3", "armelf_linux_eabi"},
    {"riscv64", "riscv64-linux-gnu", "/lib/ld-linux-riscv64-lp64d.so.1", "elf64lriscv"},
    {"thumbv7em", NULL, NULL, "armelf"},
    {"wasm32", NULL, NULL, NULL},
};

static const Platform *platform_of(const Plan *p) {
  for (int i = 0; i < ARRAY_LEN(platforms); i++)
    if (strcmp(platforms[i].runtime, p->m->target->runtime) == 0) return &platforms[i];
  return &platforms[0];
}

static bool is_native(const Plan *p) {
#if defined(__x86_64__)
  const char *host = "x86_64";
#elif defined(__aarch64__)
  const char *host = "aarch64";
#elif defined(__riscv)
  const char *host = "riscv64";
#else
  const char *host = "armv7";
#endif
  return strcmp(p->m->target->runtime, host) == 0;
}

static bool is_wasm(const Plan *p) {
  return strcmp(p->m->target->runtime, "wasm32") == 0;
}

// ld is the fastest to start; only lld links for other machines; a C compiler drives whatever linker it has.
static const char *find_linker(const Plan *p) {
  static const char *const own[] = {"ld", "ld.lld-19", "ld.lld", "cc", NULL};
  static const char *const cross[] = {"ld.lld-19", "ld.lld", NULL}, *const wasm[] = {"wasm-ld-19", "wasm-ld",
                                                                                     NULL};
  const char *const *names = is_wasm(p) ? wasm : is_native(p) ? own : cross;
  if (p->options->linker) return p->options->linker;
  for (int i = 0; names[i]; i++)
    if (on_path(names[i])) return names[i];
  diag_error(p->c->diag, NO_LOC, "no linker found for '%s': neither %s nor %s is on the PATH",
             p->m->target->name, names[0], names[1]);
  diag_note(p->c->diag, NO_LOC,
            is_native(p) ? "install binutils or lld, or name one with --linker"
                         : "install lld (Debian: lld-19), or name one with --linker");
  return NULL;
}

// A compiler driver takes the linker's options behind -Wl.
static bool is_driver(const char *linker) {
  const char *base = strrchr(linker, '/');
  base = base ? base + 1 : linker;
  return strstr(base, "cc") || strstr(base, "clang");
}

// ---- the command ------------------------------------------------------------------------------------------------

typedef struct Link {
  const Plan *plan;
  const Platform *platform;
  Command command;
  bool driver;
} Link;

// An option of the linker proper.
static void option(Link *k, const char *text) {
  arg(&k->command, "%s%s", k->driver ? "-Wl," : "", text);
}

static void keyword(Link *k, const char *word) {
  arg(&k->command, "-z");
  arg(&k->command, "%s", word);
}

static bool begin(Link *k, const Plan *p, const char *out) {
  const char *linker = find_linker(p);
  if (!linker) return false;
  *k = (Link){
      .plan = p, .platform = platform_of(p), .command = {.arena = p->arena}, .driver = is_driver(linker)};
  arg(&k->command, "%s", linker);
  if (!is_wasm(p) && !is_native(p)) arg(&k->command, "-m%s", k->platform->emulation);
  arg(&k->command, "-o");
  arg(&k->command, "%s", out);
  return true;
}

static void add_inputs(Link *k, const LinkInput *in, int n) {
  for (int i = 0; i < n; i++) {
    if (in[i].whole) option(k, "--whole-archive");
    arg(&k->command, "%s", in[i].path);
    if (in[i].whole) option(k, "--no-whole-archive");
  }
}

// Where libc may lie on common systems, Debian's folders for other architectures included.
enum { LIBC_FOLDERS = 7 };
static void libc_folders(const Link *k, const char **dirs) {
  Arena *a = k->plan->arena;
  const char *triple = k->platform->triple;
  const char *own[LIBC_FOLDERS] = {arena_printf(a, "/usr/lib/%s", triple),
                                   arena_printf(a, "/lib/%s", triple),
                                   arena_printf(a, "/usr/%s/lib", triple),
                                   "/usr/lib64",
                                   "/lib64",
                                   "/usr/lib",
                                   "/lib"};
  memcpy(dirs, own, sizeof own);
}

// The library itself where its development files are missing. False if there is no libc for the target.
static bool add_libc(Link *k) {
  const char *dirs[LIBC_FOLDERS];
  bool developer = false, found = false;
  libc_folders(k, dirs);
  for (int i = 0; i < (is_native(k->plan) ? LIBC_FOLDERS : 3); i++) {
    arg(&k->command, "-L%s", dirs[i]);
    developer = developer || access(arena_printf(k->plan->arena, "%s/libc.so", dirs[i]), R_OK) == 0;
    found = found || access(arena_printf(k->plan->arena, "%s/libc.so.6", dirs[i]), R_OK) == 0;
  }
  option(k, "--as-needed");
  static const char *const by_name[] = {"-lm", "-lpthread", "-lc"}, *const by_file[] = {"-l:libm.so.6",
                                                                                        "-l:libc.so.6"};
  if (developer || k->driver)
    for (int i = 0; i < ARRAY_LEN(by_name) - k->driver; i++) arg(&k->command, "%s", by_name[i]);
  else if (found)
    for (int i = 0; i < ARRAY_LEN(by_file); i++) arg(&k->command, "%s", by_file[i]);
  return developer || found || k->driver;
}

static bool finish(Link *k) {
  char said[SAID_MAX];
  Command *c = &k->command;
  int status = run(c, said);
  if (status == 0) return true;
  if (status < 0)
    diag_error(k->plan->c->diag, NO_LOC, "cannot run '%s': %s", c->argv.data[0], strerror(errno));
  else
    diag_error(k->plan->c->diag, NO_LOC, "'%s' failed with status %d: %s", c->argv.data[0], status, said);
  return false;
}

// ---- kinds of output --------------------------------------------------------------------------------------------

static bool is_gnu_ld(const char *linker) {
  const char *base = strrchr(linker, '/');
  return strcmp(base ? base + 1 : linker, "ld") == 0;
}

static void add_common(Link *k) {
  static const char *const options[] = {"--build-id=none", "--gc-sections", "--hash-style=gnu"};
  static const char *const keywords[] = {"noexecstack", "now", "relro"};
  for (int i = 0; i < ARRAY_LEN(options); i++) option(k, options[i]);
  for (int i = 0; i < ARRAY_LEN(keywords); i++) keyword(k, keywords[i]);
  if (is_gnu_ld(k->command.argv.data[0])) keyword(k, "noseparate-code"); // no padding between segments
}

// Of a library for another machine whose libc is not here, what it takes from libc is left open: the program that
// loads it has libc.
bool link_shared(const Plan *p, const LinkInput *in, int n, const char *version_script, const char *out) {
  Link k;
  if (!begin(&k, p, out)) return false;
  arg(&k.command, "-shared");
  add_common(&k);
  option(&k, arena_printf(p->arena, "--version-script=%s", version_script));
  add_inputs(&k, in, n);
  if (add_libc(&k)) option(&k, "--no-undefined");
  return finish(&k);
}

bool link_executable(const Plan *p, const LinkInput *in, int n, const char *out) {
  Link k;
  if (!begin(&k, p, out)) return false;
  arg(&k.command, "-pie");
  if (k.driver) arg(&k.command, "-nostartfiles");
  add_common(&k);
  option(&k, arena_printf(p->arena, "--dynamic-linker=%s", k.platform->interpreter));
  option(&k, "--entry=ingot_start");
  option(&k, "--undefined=ingot_start");
  add_inputs(&k, in, n);
  if (add_libc(&k)) return finish(&k);
  diag_error(p->c->diag, NO_LOC,
             "no libc for '%s' is installed here, which an executable must be linked with",
             p->m->target->name);
  diag_note(p->c->diag, NO_LOC, "Debian has it in the packages libc6-dev-*-cross");
  return false;
}

// What tables and the entry function refer to, which are not among the inputs of every object.
static void add_roots(Link *k) {
  const Plan *p = k->plan;
  option(k, "--undefined=ingot_runtime_api");
  option(k, "--undefined=ingot_run_simple");
  for (int i = 0; i < p->step_routine.n; i++)
    if (p->step_routine.data[i])
      option(k, arena_printf(p->arena, "--undefined=ingot_rt_%s", p->step_routine.data[i]));
}

// One object of several.
bool link_relocatable(const Plan *p, const LinkInput *in, int n, const char *out) {
  Link k;
  if (!begin(&k, p, out)) return false;
  if (k.driver) arg(&k.command, "-nostdlib");
  arg(&k.command, "-r");
  add_roots(&k);
  add_inputs(&k, in, n);
  return finish(&k);
}

// A WebAssembly module: memory and the functions of ingot.h, which the archive's api.o holds, are exported.
bool link_wasm(const Plan *p, const LinkInput *in, int n, const char *out) {
  Link k;
  if (!begin(&k, p, out)) return false;
  const char *const options[] = {
      "--no-entry",
      "--export-dynamic",
      "--export=__heap_base",
      "--undefined=ingot_ctx_create",
      "--stack-first",
      "-zstack-size=262144",
      "--strip-all", // names of functions too: among them is that of the output file, a temporary one
      arena_printf(p->arena, "--export=ingot_model_%s", p->model.name),
      arena_printf(p->arena, "--export=%s_run", p->model.name)};
  for (int i = 0; i < ARRAY_LEN(options); i++) arg(&k.command, "%s", options[i]);
  add_inputs(&k, in, n);
  return finish(&k);
}
