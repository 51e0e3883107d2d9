// world.c: what one stage of a check works in: an arena of its own, and its messages.
// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

void world_open(World *w) {
  w->arena = arena_new(&w->oom);
  w->log = open_memstream(&w->messages, &w->size);
  w->c = ctx_new(w->arena, diag_new(w->arena, w->log, false));
}

const char *world_messages(World *w) {
  fflush(w->log);
  return w->messages ? w->messages : "";
}

void world_close(World *w) {
  arena_free(w->arena);
  fclose(w->log);
  free(w->messages);
}
