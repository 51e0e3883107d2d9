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

static const char *host_arch(void) {
#if defined(__x86_64__)
  return "x86_64";
#elif defined(__aarch64__)
  return "aarch64";
#elif defined(__riscv)
  return "riscv64";
#else
  return "arm";
#endif
}

static bool is_native(const Plan *p) {
  return strncmp(p->m->target->triple, host_arch(), strlen(host_arch())) == 0;
}

// ld is the fastest to start; only lld links for other machines; a C compiler drives whatever linker it has.
static const char *find_linker(const Plan *p) {
  static const char *const names[] = {"ld", "ld.lld", "ld.lld-19", "cc"};
  if (p->options->linker) return p->options->linker;
  for (int i = is_native(p) ? 0 : 1; i < ARRAY_LEN(names); i++)
    if (on_path(names[i])) return names[i];
  diag_error(p->c->diag, NO_LOC, "no linker found: none of ld, ld.lld and cc is on the PATH");
  diag_note(p->c->diag, NO_LOC,
            "install binutils or lld, name one with --linker, or emit an object (--emit=obj)");
  return NULL;
}

// A compiler driver takes the linker's options behind -Wl.
static bool is_driver(const char *linker) {
  const char *base = strrchr(linker, '/');
  base = base ? base + 1 : linker;
  return strstr(base, "cc") || strstr(base, "clang");
}

static bool finish(const Plan *p, Command *c) {
  char said[SAID_MAX];
  int status = run(c, said);
  if (status == 0) return true;
  if (status < 0)
    diag_error(p->c->diag, NO_LOC, "cannot run '%s': %s", c->argv.data[0], strerror(errno));
  else
    diag_error(p->c->diag, NO_LOC, "'%s' failed with status %d: %s", c->argv.data[0], status, said);
  return false;
}

// ---- shared libraries -------------------------------------------------------------------------------------------

// Folders of libc on common systems; where its development files are missing, the library itself is named.
static void add_libc(Command *c, const Plan *p) {
  const char *arch = p->m->target->triple;
  int n = (int)strcspn(arch, "-");
  const char *dirs[] = {arena_printf(c->arena, "/usr/lib/%.*s-linux-gnu", n, arch),
                        arena_printf(c->arena, "/lib/%.*s-linux-gnu", n, arch),
                        "/usr/lib64",
                        "/lib64",
                        "/usr/lib",
                        "/lib"};
  bool developer = false, found = false;
  for (int i = 0; i < ARRAY_LEN(dirs); i++) {
    arg(c, "-L%s", dirs[i]);
    developer = developer || access(arena_printf(c->arena, "%s/libc.so", dirs[i]), R_OK) == 0;
    found = found || access(arena_printf(c->arena, "%s/libc.so.6", dirs[i]), R_OK) == 0;
  }
  arg(c, "--as-needed");
  if (developer) {
    arg(c, "-lm");
    arg(c, "-lpthread");
    arg(c, "-lc");
  } else if (found) {
    arg(c, "-l:libm.so.6");
    arg(c, "-l:libc.so.6");
  }
}

static void linker_option(Command *c, bool driver, const char *option) {
  arg(c, "%s%s", driver ? "-Wl," : "", option);
}

bool link_shared(const Plan *p, const LinkInput *in, int n, const char *version_script, const char *out) {
  static const char *const options[] = {"--build-id=none", "--gc-sections", "--hash-style=gnu",
                                        "--no-undefined"};
  static const char *const keywords[] = {"noexecstack", "now", "relro"};
  const char *linker = find_linker(p);
  if (!linker) return false;
  bool driver = is_driver(linker);
  Command command = {.arena = p->arena}, *c = &command;
  arg(c, "%s", linker);
  arg(c, "-shared");
  arg(c, "-o");
  arg(c, "%s", out);
  for (int i = 0; i < ARRAY_LEN(options) - !is_native(p); i++) linker_option(c, driver, options[i]);
  for (int i = 0; i < ARRAY_LEN(keywords); i++) {
    arg(c, "-z");
    arg(c, "%s", keywords[i]);
  }
  linker_option(c, driver, arena_printf(c->arena, "--version-script=%s", version_script));
  for (int i = 0; i < n; i++) {
    if (in[i].whole) linker_option(c, driver, "--whole-archive");
    arg(c, "%s", in[i].path);
    if (in[i].whole) linker_option(c, driver, "--no-whole-archive");
  }
  if (driver) {
    arg(c, "-lm");
    arg(c, "-lpthread");
  } else {
    add_libc(c, p);
  }
  return finish(p, c);
}

// One object of several.
bool link_relocatable(const Plan *p, const LinkInput *in, int n, const char *out) {
  const char *linker = find_linker(p);
  if (!linker) return false;
  bool driver = is_driver(linker);
  Command command = {.arena = p->arena}, *c = &command;
  arg(c, "%s", linker);
  if (driver) arg(c, "-nostdlib");
  arg(c, "-r");
  arg(c, "-o");
  arg(c, "%s", out);
  for (int i = 0; i < n; i++) {
    if (in[i].whole) linker_option(c, driver, "--whole-archive");
    arg(c, "%s", in[i].path);
    if (in[i].whole) linker_option(c, driver, "--no-whole-archive");
  }
  return finish(p, c);
}
