// weights.c: where a model's weights are: inside the library, given by the caller, or in a file beside it.
// SPDX-License-Identifier: Apache-2.0
#include "internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 4096 };

static int fail(char *err, size_t size, const char *path, const char *why) {
  snprintf(err, size, "weights file '%s': %s", path, why);
  return INGOT_E_WEIGHTS;
}

// The folder that the caller names, else that of the library which the model is part of.
static bool weights_path(char *path, const struct ingot_model *m, const struct ingot_options *o) {
  Dl_info where;
  const char *dir = o->weights_dir;
  int dir_len = dir ? (int)strnlen(dir, PATH_ROOM) : 0;
  if (!dir && dladdr(m, &where) && where.dli_fname && strrchr(where.dli_fname, '/')) {
    dir = where.dli_fname;
    dir_len = (int)(strrchr(dir, '/') - dir);
  }
  int n = dir ? snprintf(path, PATH_ROOM, "%.*s/%s", dir_len, dir, m->weights.file)
              : snprintf(path, PATH_ROOM, "%s", m->weights.file);
  return n < PATH_ROOM && !strchr(m->weights.file, '/');
}

static const char *check_header(const struct ingot_weights_header *h, const struct ingot_model *m) {
  if (h->magic != INGOT_WEIGHTS_MAGIC) return "not a weights file";
  if (h->version != 1) return "of a newer version than this library";
  if (h->bytes != (uint64_t)m->weights.bytes || h->hash != m->weights.hash)
    return "belongs to another build of the model";
  return NULL;
}

static int map_file(Weights *w, int fd, const struct ingot_model *m, const char *path, char *err,
                    size_t size) {
  struct stat st;
  uint64_t want = INGOT_WEIGHTS_HEADER + (uint64_t)m->weights.bytes;
  if (fstat(fd, &st) != 0) return fail(err, size, path, strerror(errno));
  if (!S_ISREG(st.st_mode)) return fail(err, size, path, "not a regular file");
  struct ingot_weights_header head;
  if (pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head)
    return fail(err, size, path, "not a weights file");
  const char *why = check_header(&head, m);
  if (why) return fail(err, size, path, why);
  if ((uint64_t)st.st_size < want || want > SIZE_MAX) return fail(err, size, path, "truncated");
  void *map = mmap(NULL, (size_t)want, PROT_READ, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) return fail(err, size, path, strerror(errno));
  w->map = map;
  w->map_bytes = want;
  w->data = (const char *)map + INGOT_WEIGHTS_HEADER;
  return INGOT_OK;
}

static int open_file(Weights *w, const struct ingot_model *m, const struct ingot_options *o, char *err,
                     size_t size) {
  char path[PATH_ROOM];
  if (!weights_path(path, m, o)) return fail(err, size, m->weights.file, "no such path");
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(err, size, path, strerror(errno));
  int code = map_file(w, fd, m, path, err, size);
  close(fd);
  if (!code && (o->flags & INGOT_VERIFY_WEIGHTS) &&
      ingot_hash(w->data, (uint64_t)m->weights.bytes) != m->weights.hash)
    code = fail(err, size, path, "damaged");
  return code;
}

// Where file systems have large pages (Linux 6.16), what is not in memory yet comes in by huge ones. Only a hint.
static void ask_for_huge_pages(const void *data, uint64_t bytes) {
#ifdef MADV_HUGEPAGE
  uint64_t skip = (uint64_t)(-(uintptr_t)data) & (HUGE_PAGE - 1),
           whole = bytes < skip ? 0 : (bytes - skip) & ~(HUGE_PAGE - 1);
  if (whole) madvise((char *)data + skip, (size_t)whole, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

int ingot_weights_open(Weights *w, const struct ingot_model *m, const struct ingot_options *o, char *err,
                       size_t size) {
  *w = (Weights){.data = m->weights.data};
  if (m->weights.bytes == 0) return INGOT_OK;
  if (w->data || !o->weights) {
    int code = w->data ? INGOT_OK : open_file(w, m, o, err, size);
    if (!code && !(o->flags & INGOT_NO_HUGE_PAGES)) ask_for_huge_pages(w->data, (uint64_t)m->weights.bytes);
    return code;
  }
  w->data = o->weights;
  if ((uintptr_t)o->weights % INGOT_ALIGN == 0) return INGOT_OK;
  snprintf(err, size, "weights: the address %p is not a multiple of %d", o->weights, INGOT_ALIGN);
  return INGOT_E_ALIGN;
}

void ingot_weights_close(Weights *w) {
  if (w->map) munmap(w->map, (size_t)w->map_bytes);
}
