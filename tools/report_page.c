// report_page.c: the page of `ingot report`: style, script and data in one file.
// SPDX-License-Identifier: Apache-2.0
//
// The data is JSON, deflated and in base64; browsers unpack it themselves.
#include <stdlib.h>
#include <zlib.h>

#include "tools/report.h"

#define EMBED(name, file)                                                                                    \
  __asm__(".section .rodata\n"                                                                               \
          ".hidden " #name "\n"                                                                              \
          ".globl " #name "\n" #name ":\n"                                                                   \
          ".incbin \"" INGOT_REPORT_FOLDER "/" file "\"\n"                                                   \
          ".byte 0\n"                                                                                        \
          ".text\n");                                                                                        \
  extern const char name[]
EMBED(ingot_report_style, "style.css");
EMBED(ingot_report_body, "body.html");
EMBED(ingot_report_base, "base.js");
EMBED(ingot_report_graph, "graph.js");
EMBED(ingot_report_views, "views.js");
EMBED(ingot_report_app, "app.js");

static void put_base64(FILE *out, const unsigned char *p, size_t n) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    unsigned v =
        (unsigned)p[i] << 16 | (i + 1 < n ? (unsigned)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0u);
    fputc(digits[v >> 18], out);
    fputc(digits[v >> 12 & 63], out);
    fputc(i + 1 < n ? digits[v >> 6 & 63] : '=', out);
    fputc(i + 2 < n ? digits[v & 63] : '=', out);
  }
}

static bool put_data(Tool *t, const cJSON *data, FILE *out) {
  char *json = cJSON_PrintUnformatted(data);
  size_t n = json ? strlen(json) : 0;
  uLongf packed = compressBound((uLong)n);
  unsigned char *room = arena_alloc(t->arena, packed + 1);
  bool ok = json && compress2(room, &packed, (const Bytef *)json, (uLong)n, 9) == Z_OK;
  cJSON_free(json);
  if (ok) put_base64(out, room, packed);
  return ok;
}

static void put_escaped(FILE *out, const char *s) {
  for (; *s; s++) {
    if (*s == '<' || *s == '&')
      fprintf(out, "&#%d;", *s);
    else
      fputc(*s, out);
  }
}

bool report_write(Tool *t, const cJSON *data, const char *title, const char *path) {
  static const char *const scripts[] = {ingot_report_base, ingot_report_graph, ingot_report_views,
                                        ingot_report_app};
  OutFile *f = file_create(t->arena, t->diag, path);
  if (!f) return false;
  FILE *out = file_stream(f);
  fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
        out);
  put_escaped(out, title);
  fprintf(out, " - Ingot report</title>\n<style>\n%s</style>\n</head>\n<body>\n%s", ingot_report_style,
          ingot_report_body);
  fputs("<script type=\"text/plain\" id=\"data\">", out);
  bool ok = put_data(t, data, out);
  fputs("</script>\n<script>\n\"use strict\";\n", out);
  for (int i = 0; i < ARRAY_LEN(scripts); i++) fputs(scripts[i], out);
  fputs("</script>\n</body>\n</html>\n", out);
  if (ok) return file_commit(f);
  diag_error(t->diag, NO_LOC, "cannot pack the data of the report");
  file_abort(f);
  return false;
}
