// folder.c: folders of tests, removed when the test's process ends.
// SPDX-License-Identifier: Apache-2.0
#include "tests/folder.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Path {
  struct Path *next;
  pid_t owner; // children of the test's process leave it
  bool folder;
  char text[];
} Path;

static Path *paths; // newest first

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at) {
  (void)st, (void)type, (void)at;
  return remove(path);
}

static void remove_folders(void) {
  while (paths) {
    Path *p = paths;
    paths = p->next;
    if (p->folder && p->owner == getpid()) nftw(p->text, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(p);
  }
}

static Path *keep(const char *before, const char *name, bool folder) {
  size_t n = strlen(before) + strlen(name) + 2;
  Path *p = malloc(sizeof *p + n);
  cr_assert_not_null(p);
  if (!paths) atexit(remove_folders);
  *p = (Path){.next = paths, .owner = getpid(), .folder = folder};
  snprintf(p->text, n, "%s/%s", before, name);
  return paths = p;
}

const char *test_folder(void) {
  const char *tmp = getenv("TMPDIR");
  Path *p = keep(tmp && *tmp ? tmp : "/tmp", "ingot-test-XXXXXX", true);
  cr_assert_not_null(mkdtemp(p->text), "no folder can be made: %s", p->text);
  return p->text;
}

const char *test_path(const char *name) {
  return keep(test_folder(), name, false)->text;
}
