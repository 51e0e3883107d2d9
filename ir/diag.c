// diag.c: messages about the user's input, with the source line and a caret.
// SPDX-License-Identifier: Apache-2.0
#include "ir/base.h"

#include <stdlib.h>

enum {
  LINE_WIDTH = 120, // longer source lines are cut to a window around the caret
  LINE_LEAD = 60,   // bytes kept before the caret in such a window
};

struct Diag {
  FILE *out;
  Arena *arena;
  bool color;
  bool quiet; // the last error or warning was not printed, so its notes are not either
  bool muted;
  int errors, warnings;
  Vec(const char *) files;
};

typedef struct Kind {
  const char *name, *color;
} Kind;

static const Kind KIND_ERROR = {"error", "\033[1;31m"};
static const Kind KIND_WARN = {"warning", "\033[1;35m"};
static const Kind KIND_NOTE = {"note", "\033[1;36m"};
#define BOLD  "\033[1m"
#define PLAIN "\033[0m"

Diag *diag_new(Arena *a, FILE *out, bool color) {
  Diag *d = NEW(a, Diag);
  *d = (Diag){.out = out, .arena = a, .color = color};
  return d;
}

int diag_errors(const Diag *d) {
  return d->errors;
}

const char *diag_file(const Diag *d, int i) {
  return i < d->files.n ? d->files.data[i] : NULL;
}

void diag_add_file(Diag *d, const char *path) {
  for (int i = 0; i < d->files.n; i++)
    if (strcmp(d->files.data[i], path) == 0) return;
  vec_push(d->arena, &d->files, arena_strdup(d->arena, path));
}

static void paint(const Diag *d, const char *code) {
  if (d->color) fputs(code, d->out);
}

// Names in a model are untrusted: control bytes would reach the user's terminal as commands.
static void put_clean(FILE *out, const char *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    if (c == '\t') {
      fputc(' ', out);
    } else if (c < 0x20 || c == 0x7f) {
      fprintf(out, "\\x%02x", c);
    } else {
      fputc(c, out);
    }
  }
}

static void put_place(const Diag *d, Loc loc) {
  if (!loc.src && !loc.what) return;
  paint(d, BOLD);
  if (loc.src) {
    put_clean(d->out, loc.src->path, strlen(loc.src->path));
    if (loc.line > 0) fprintf(d->out, ":%d", loc.line);
    if (loc.line > 0 && loc.col > 0) fprintf(d->out, ":%d", loc.col);
    fputs(": ", d->out);
  }
  if (loc.what) {
    put_clean(d->out, loc.what, strlen(loc.what));
    fputs(": ", d->out);
  }
  paint(d, PLAIN);
}

// The text of line `line`, without its end; false if the source has no such line.
static bool source_line(const Source *src, int line, const char **text, size_t *len) {
  const char *s = src->text, *end = s + src->len;
  for (int i = 1; i < line; i++) {
    s = memchr(s, '\n', (size_t)(end - s));
    if (!s) return false;
    s++;
  }
  const char *eol = memchr(s, '\n', (size_t)(end - s));
  *text = s;
  *len = (size_t)((eol ? eol : end) - s);
  if (*len && s[*len - 1] == '\r') --*len;
  return true;
}

static bool is_utf8_tail(char c) {
  return ((unsigned char)c & 0xc0) == 0x80;
}

// Columns are bytes; the caret stands under the character, so continuation bytes take no room. A control
// byte is printed as four characters.
static void put_caret(const Diag *d, const char *text, size_t caret) {
  for (size_t i = 0; i < caret; i++) {
    unsigned char c = (unsigned char)text[i];
    if (is_utf8_tail(text[i])) continue;
    fputs(c != '\t' && (c < 0x20 || c == 0x7f) ? "    " : " ", d->out);
  }
  paint(d, "\033[1;32m");
  fputs("^\n", d->out);
  paint(d, PLAIN);
}

static void put_excerpt(const Diag *d, Loc loc) {
  const char *text;
  size_t len;
  if (!loc.src || !loc.src->text || loc.line <= 0 || !source_line(loc.src, loc.line, &text, &len)) return;
  size_t caret = loc.col > 0 ? (size_t)loc.col - 1 : 0;
  if (caret > len) caret = len;
  size_t from = 0;
  if (len > LINE_WIDTH && caret > LINE_LEAD) {
    from = caret - LINE_LEAD;
    while (from > 0 && is_utf8_tail(text[from])) from--;
  }
  size_t to = len - from > LINE_WIDTH ? from + LINE_WIDTH : len;
  while (to < len && is_utf8_tail(text[to])) to++;
  fprintf(d->out, "%6d | %s", loc.line, from ? "..." : "");
  put_clean(d->out, text + from, to - from);
  fputs(to < len ? "...\n" : "\n", d->out);
  if (loc.col <= 0) return;
  fprintf(d->out, "       | %s", from ? "   " : "");
  put_caret(d, text + from, caret - from);
}

static void put_message(Diag *d, Kind kind, Loc loc, const char *fmt, va_list ap) {
  if (!d->out || d->muted) return;
  put_place(d, loc);
  paint(d, kind.color);
  fprintf(d->out, "%s: ", kind.name);
  paint(d, PLAIN);
  const char *text = arena_vprintf(d->arena, fmt, ap);
  put_clean(d->out, text, strlen(text));
  fputc('\n', d->out);
  put_excerpt(d, loc);
}

void diag_error(Diag *d, Loc loc, const char *fmt, ...) {
  d->quiet = ++d->errors > DIAG_MAX_ERRORS;
  if (d->quiet) return;
  va_list ap;
  va_start(ap, fmt);
  put_message(d, KIND_ERROR, loc, fmt, ap);
  va_end(ap);
}

void diag_warn(Diag *d, Loc loc, const char *fmt, ...) {
  d->quiet = ++d->warnings > DIAG_MAX_ERRORS;
  if (d->quiet) return;
  va_list ap;
  va_start(ap, fmt);
  put_message(d, KIND_WARN, loc, fmt, ap);
  va_end(ap);
}

void diag_note(Diag *d, Loc loc, const char *fmt, ...) {
  if (d->quiet) return;
  va_list ap;
  va_start(ap, fmt);
  put_message(d, KIND_NOTE, loc, fmt, ap);
  va_end(ap);
}

void diag_remark(Diag *d, Loc loc, const char *fmt, ...) {
  static const Kind remark = {"remark", "\033[1;34m"};
  va_list ap;
  va_start(ap, fmt);
  put_message(d, remark, loc, fmt, ap);
  va_end(ap);
}

DiagMark diag_mute(Diag *d) {
  DiagMark mark = {d->errors, d->warnings, d->muted};
  d->muted = true;
  return mark;
}

void diag_unmute(Diag *d, DiagMark mark) {
  d->errors = mark.errors;
  d->warnings = mark.warnings;
  d->muted = mark.muted;
}

void diag_finish(Diag *d) {
  if (d->out && d->errors > DIAG_MAX_ERRORS) {
    fprintf(d->out, "%d errors, the first %d are shown\n", d->errors, DIAG_MAX_ERRORS);
  }
  if (d->out) fflush(d->out);
}
