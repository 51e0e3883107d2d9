// file.c: mapping and reading input files, and output files that appear whole or not at all.
// SPDX-License-Identifier: Apache-2.0
#include "ir/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static const int64_t TEXT_MAX = INT64_C(1) << 30;

// ---- input ----------------------------------------------------------------------------------------------

typedef struct Mapping {
  void *p;
  size_t size;
} Mapping;

static void unmap(void *p) {
  Mapping *m = p;
  munmap(m->p, m->size);
}

// Opens for reading and stats; reports and returns -1 on failure.
static int open_input(Diag *d, Loc loc, const char *path, struct stat *st) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    diag_error(d, loc, "cannot open '%s': %s", path, strerror(errno));
    return -1;
  }
  const char *fault = NULL;
  if (fstat(fd, st) < 0) {
    fault = strerror(errno);
  } else if (S_ISDIR(st->st_mode)) {
    fault = "it is a folder";
  }
  if (!fault) return fd;
  diag_error(d, loc, "cannot read '%s': %s", path, fault);
  close(fd);
  return -1;
}

bool file_map(Arena *a, Diag *d, Loc loc, const char *path, const uint8_t **data, size_t *size) {
  Mapping *m = NEW(a, Mapping); // before the descriptor exists: arena_alloc may jump
  struct stat st;
  int fd = open_input(d, loc, path, &st);
  if (fd < 0) return false;
  bool ok = S_ISREG(st.st_mode);
  if (!ok) {
    diag_error(d, loc, "cannot map '%s': not a regular file", path);
  } else if (st.st_size == 0) {
    *data = (const uint8_t *)"";
    *size = 0;
  } else {
    m->size = (size_t)st.st_size;
    m->p = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, fd, 0);
    ok = m->p != MAP_FAILED;
    if (!ok) diag_error(d, loc, "cannot map '%s': %s", path, strerror(errno));
  }
  close(fd);
  if (ok) diag_add_file(d, path);
  if (!ok || st.st_size == 0) return ok;
  arena_defer(a, unmap, m);
  *data = m->p;
  *size = m->size;
  return true;
}

// Reads to the end of `in` (which may be a pipe). NULL text on a fault, with errno set.
static char *read_stream(Arena *a, FILE *in, size_t *len) {
  Str s = {.arena = a};
  char block[1 << 16];
  size_t n;
  while ((n = fread(block, 1, sizeof block, in)) > 0) {
    str_put(&s, block, n);
    if ((int64_t)s.n > TEXT_MAX) {
      errno = EFBIG;
      return NULL;
    }
  }
  if (ferror(in)) return NULL;
  *len = s.n;
  return str_text(&s);
}

static void close_stream(void *in) {
  fclose(in);
}

Source *source_read(Arena *a, Diag *d, const char *path) {
  Source *src = NEW(a, Source);
  src->path = arena_strdup(a, path);
  struct stat st;
  int fd = open_input(d, NO_LOC, path, &st);
  if (fd < 0) return NULL;
  FILE *in = fdopen(fd, "r");
  if (!in) {
    diag_error(d, NO_LOC, "cannot read '%s': %s", path, strerror(errno));
    close(fd);
    return NULL;
  }
  arena_defer(a, close_stream, in);
  src->text = read_stream(a, in, &src->len);
  if (!src->text) {
    diag_error(d, NO_LOC, "cannot read '%s': %s", path,
               errno == EFBIG ? "a text file of more than 1 GiB" : strerror(errno));
    return NULL;
  }
  if (memchr(src->text, '\0', src->len)) {
    diag_error(d, NO_LOC, "'%s' is not a text file: it has NUL bytes", path);
    return NULL;
  }
  diag_add_file(d, path);
  return src;
}

Source *source_from_text(Arena *a, const char *name, const char *text) {
  Source *src = NEW(a, Source);
  *src = (Source){.path = arena_strdup(a, name), .text = arena_strdup(a, text), .len = strlen(text)};
  return src;
}

char *path_join_dir(Arena *a, const char *path, const char *name) {
  const char *slash = strrchr(path, '/');
  if (!slash || name[0] == '/') return arena_strdup(a, name);
  return arena_printf(a, "%.*s%s", (int)(slash - path) + 1, path, name);
}

// ---- output ---------------------------------------------------------------------------------------------

struct OutFile {
  Diag *diag;
  const char *path, *temp; // equal for devices and pipes, which are written in place
  FILE *stream;            // NULL once closed
  int slot;                // in open_outputs, or -1
};

// Temporary files that exist now. The one piece of global state: a signal handler can reach nothing else.
// Slots are claimed and released atomically; a file that finds none free is merely not removed by signals.
enum { OPEN_OUTPUTS_MAX = 64 };
static _Atomic(const char *) open_outputs[OPEN_OUTPUTS_MAX];

static int slot_claim(const char *temp) {
  for (int i = 0; i < OPEN_OUTPUTS_MAX; i++) {
    const char *free_slot = NULL;
    if (atomic_compare_exchange_strong(&open_outputs[i], &free_slot, temp)) return i;
  }
  return -1;
}

static void slot_release(int slot) {
  if (slot >= 0) atomic_store(&open_outputs[slot], NULL);
}

void file_remove_open_outputs(void) {
  for (int i = 0; i < OPEN_OUTPUTS_MAX; i++) {
    const char *temp = atomic_load(&open_outputs[i]);
    if (temp) unlink(temp);
  }
}

static bool in_place(const OutFile *f) {
  return f->temp == f->path;
}

// Where a symbolic link leads, so that the link stays and its target is replaced.
static const char *final_path(Arena *a, const char *path) {
  struct stat st;
  char real[PATH_MAX];
  if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && realpath(path, real)) path = real;
  return arena_strdup(a, path);
}

// Which machine's processes the numbers in temporary names are: folders may be shared.
static unsigned machine_number(void) {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return (unsigned)hash_bytes(name, strlen(name)) & 0xffffff;
}

// Is `entry` a temporary file, with this beginning, of a process of this machine that is no more?
static bool is_orphan(const char *entry, const char *start) {
  size_t n = strlen(start);
  unsigned machine, pid;
  int end = 0;
  if (strncmp(entry, start, n) != 0) return false;
  bool ours = sscanf(entry + n, "%6x-%8x-%*12[0-9a-f].tmp%n", &machine, &pid, &end) == 2 && end > 0;
  return ours && !entry[n + (size_t)end] && machine == machine_number() && kill((pid_t)pid, 0) != 0 &&
         errno == ESRCH;
}

// A compilation that was killed could not remove its temporary files: the next one into the same file does.
static void remove_orphans(Arena *a, const char *path, const char *start) {
  DIR *d = opendir(path_join_dir(a, path, "."));
  for (struct dirent *e; d && (e = readdir(d));)
    if (is_orphan(e->d_name, start)) unlink(path_join_dir(a, path, e->d_name));
  if (d) closedir(d);
}

// Creates a new file beside `f->path` with the permissions the umask gives. -1 and errno on failure.
static int create_temp(Arena *a, OutFile *f) {
  const char *slash = strrchr(f->path, '/');
  const char *start = arena_printf(a, ".%.64s.", slash ? slash + 1 : f->path);
  remove_orphans(a, f->path, start);
  for (int tries = 0; tries < 100; tries++) {
    uint64_t salt;
    if (getrandom(&salt, sizeof salt, 0) != sizeof salt) salt = (uint64_t)tries << 16;
    char *temp = arena_printf(a, "%s%06x-%x-%012llx.tmp", start, machine_number(), (unsigned)getpid(),
                              (unsigned long long)(salt >> 16));
    f->temp = path_join_dir(a, f->path, temp);
    f->slot = slot_claim(f->temp); // before it exists: a signal may come in between
    int fd = open(f->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) return fd;
    slot_release(f->slot);
    f->slot = -1;
    if (errno != EEXIST) return -1;
  }
  return -1;
}

static void abort_open(void *p) {
  file_abort(p);
}

OutFile *file_create(Arena *a, Diag *d, const char *path) {
  OutFile *f = NEW(a, OutFile);
  *f = (OutFile){.diag = d, .path = final_path(a, path), .slot = -1};
  arena_defer(a, abort_open, f);
  struct stat st;
  bool exists = stat(f->path, &st) == 0;
  int fd;
  if (exists && S_ISDIR(st.st_mode)) {
    errno = EISDIR;
    fd = -1;
  } else if (exists && !S_ISREG(st.st_mode)) {
    f->temp = f->path;
    fd = open(f->path, O_WRONLY | O_CLOEXEC);
  } else {
    fd = create_temp(a, f);
  }
  if (fd < 0) {
    diag_error(d, NO_LOC, "cannot write '%s': %s", path, strerror(errno));
    return NULL;
  }
  f->stream = fdopen(fd, in_place(f) ? "w" : "w+");
  if (f->stream) return f;
  diag_error(d, NO_LOC, "cannot write '%s': %s", path, strerror(errno));
  close(fd);
  if (!in_place(f)) unlink(f->temp);
  slot_release(f->slot);
  return NULL;
}

FILE *file_stream(OutFile *f) {
  return f->stream;
}

const char *file_temp_path(const OutFile *f) {
  return f->temp;
}

bool file_commit(OutFile *f) {
  bool ok = !ferror(f->stream);
  int fault = 0;
  if (!ok) fputc(0, f->stream); // the reason of the failed write is lost: this one fails for the same
  if (fflush(f->stream) != 0) fault = errno;
  if (fclose(f->stream) != 0 && !fault) fault = errno;
  f->stream = NULL;
  if (ok && !fault && !in_place(f) && rename(f->temp, f->path) != 0) fault = errno;
  ok = ok && !fault;
  if (!ok) {
    if (!in_place(f)) unlink(f->temp);
    diag_error(f->diag, NO_LOC, "cannot write '%s': %s", f->path, strerror(fault ? fault : EIO));
  }
  slot_release(f->slot);
  return ok;
}

void file_abort(OutFile *f) {
  if (!f->stream) return;
  fclose(f->stream);
  f->stream = NULL;
  if (!in_place(f)) unlink(f->temp);
  slot_release(f->slot);
}
