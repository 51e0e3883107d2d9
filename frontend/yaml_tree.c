// yaml_tree.c: a YAML document as a tree of nodes that know where they stand.
// SPDX-License-Identifier: Apache-2.0
//
// Aliases share nodes, so a document stays as small in memory as it is on disk; what it would be expanded is
// counted and bounded, because it is what reading the model costs.
#include "frontend/yaml.h"

#include <yaml.h>

typedef struct Reader {
  Ctx *ctx;
  const Source *src;
  yaml_parser_t parser;
  Map *anchors;
  Vec(size_t) lines; // where each line begins
  Vec(YNode *) stack;
  Vec(YNode *) keys;
  YNode *root;
  bool ok;
} Reader;

// ---- places -------------------------------------------------------------------------------------------------

static void find_lines(Reader *r) {
  vec_push(r->ctx->arena, &r->lines, 0);
  for (size_t i = 0; i < r->src->len; i++) {
    if (r->src->text[i] == '\n') vec_push(r->ctx->arena, &r->lines, i + 1);
  }
}

static bool is_tail(char c) {
  return ((unsigned char)c & 0xc0) == 0x80;
}

// libyaml counts characters, we count bytes.
static size_t byte_of(const Reader *r, yaml_mark_t m) {
  if (m.line >= (size_t)r->lines.n) return r->src->len;
  size_t at = r->lines.data[m.line];
  for (size_t column = 0; column < m.column && at < r->src->len && r->src->text[at] != '\n'; column++) {
    at++;
    while (at < r->src->len && is_tail(r->src->text[at])) at++;
  }
  return at;
}

static Loc loc_of(const Reader *r, yaml_mark_t m) {
  size_t line = m.line < (size_t)r->lines.n ? m.line : (size_t)r->lines.n - 1;
  return (Loc){.src = r->src, .line = (int)line + 1, .col = (int)(byte_of(r, m) - r->lines.data[line]) + 1};
}

static void step(YCursor *c) {
  c->loc.col++;
  if (c->node->loc.src->text[c->at++] != '\n') return;
  c->loc.line++;
  c->loc.col = 1;
}

YCursor yaml_cursor(const YNode *n) {
  YCursor c = {.node = n, .at = n->begin, .loc = n->loc};
  char first = n->loc.src->text[n->begin];
  if (first == '"' || first == '\'') c.quote = first;
  if (c.quote) step(&c);
  bool block = first == '|' || first == '>'; // the text begins on the next line
  while (block && c.at < n->end && n->loc.src->text[c.at] != '\n') step(&c);
  return c;
}

// Quotes, escapes and line folding make source and text differ; both are walked in step, letting blanks
// match blanks.
static void step_character(YCursor *c, char want) {
  const char *s = c->node->loc.src->text;
  size_t end = c->node->end;
  if (s[c->at] == want) {
    step(c);
    if (c->quote == '\'' && want == '\'' && s[c->at] == '\'') step(c);
  } else if (c->quote == '"' && s[c->at] == '\\') {
    step(c);
    step(c);
  } else if (want == ' ' || want == '\n') {
    while (c->at < end && (s[c->at] == ' ' || s[c->at] == '\n' || s[c->at] == '\r')) step(c);
  } else {
    while (c->at < end && s[c->at] != want) step(c);
    if (c->at < end) step(c);
  }
}

Loc yaml_place(YCursor *c, size_t offset) {
  const char *s = c->node->loc.src->text, *text = c->node->text;
  size_t end = c->node->end;
  for (; c->offset < offset && c->at < end; c->offset++) step_character(c, text[c->offset]);
  while (c->at < end && text[offset] != ' ' && text[offset] != '\n' &&
         (s[c->at] == '\n' || s[c->at] == ' ')) {
    step(c);
  }
  return c->loc;
}

// ---- building -----------------------------------------------------------------------------------------------

static bool fail(Reader *r, Loc loc, const char *text) {
  diag_error(r->ctx->diag, loc, "%s", text);
  r->ok = false;
  return false;
}

static YNode *new_node(Reader *r, YKind kind, const yaml_event_t *e) {
  YNode *n = NEW(r->ctx->arena, YNode);
  *n = (YNode){.kind = kind, .loc = loc_of(r, e->start_mark), .weight = 1};
  n->begin = byte_of(r, e->start_mark);
  n->end = byte_of(r, e->end_mark);
  return n;
}

static bool add_pair(Reader *r, YNode *map, YNode *key, YNode *value) {
  if (yaml_get(map, key->text)) {
    diag_error(r->ctx->diag, key->loc, "'%s' is here twice", key->text);
    diag_note(r->ctx->diag, yaml_get(map, key->text)->loc, "the first one");
    r->ok = false;
    return true;
  }
  vec_push(r->ctx->arena, &map->pairs, ((YPair){key, value}));
  map_put(map->index, key->text, value);
  return true;
}

// Puts a finished node where it belongs.
static bool place(Reader *r, YNode *n) {
  if (!r->stack.n) {
    r->root = n;
    return true;
  }
  YNode *into = r->stack.data[r->stack.n - 1];
  into->weight += n->weight;
  if (into->weight > YAML_MAX_NODES)
    return fail(r, n->loc, "the document is too large once its aliases are expanded");
  if (into->kind == Y_LIST) {
    vec_push(r->ctx->arena, &into->items, n);
    return true;
  }
  YNode **key = &r->keys.data[r->keys.n - 1];
  if (!*key) {
    *key = n;
    return n->kind == Y_SCALAR || fail(r, n->loc, "a key must be a plain word");
  }
  bool ok = add_pair(r, into, *key, n);
  *key = NULL;
  return ok;
}

static bool set_anchor(Reader *r, const yaml_char_t *anchor, YNode *n) {
  if (anchor) map_put(r->anchors, (const char *)anchor, n);
  return true;
}

static bool open_node(Reader *r, YKind kind, const yaml_event_t *e, const yaml_char_t *anchor) {
  YNode *n = new_node(r, kind, e);
  if (r->stack.n >= MAX_NESTING) return fail(r, n->loc, "the document is nested too deeply");
  n->open = true;
  if (kind == Y_MAP) n->index = map_new(r->ctx->arena);
  vec_push(r->ctx->arena, &r->stack, n);
  vec_push(r->ctx->arena, &r->keys, NULL);
  return set_anchor(r, anchor, n);
}

static bool close_node(Reader *r) {
  YNode *n = r->stack.data[--r->stack.n];
  r->keys.n--;
  n->open = false;
  return place(r, n);
}

static bool add_scalar(Reader *r, const yaml_event_t *e) {
  YNode *n = new_node(r, Y_SCALAR, e);
  n->text = arena_strndup(r->ctx->arena, (const char *)e->data.scalar.value, e->data.scalar.length);
  n->n = e->data.scalar.length;
  if (strlen(n->text) != n->n) return fail(r, n->loc, "a NUL character in the text");
  return set_anchor(r, e->data.scalar.anchor, n) && place(r, n);
}

static bool add_alias(Reader *r, const yaml_event_t *e) {
  const char *name = (const char *)e->data.alias.anchor;
  YNode *n = map_get(r->anchors, name);
  Loc loc = loc_of(r, e->start_mark);
  if (!n) return fail(r, loc, arena_printf(r->ctx->arena, "there is no anchor '&%s' before this", name));
  if (n->open) return fail(r, loc, arena_printf(r->ctx->arena, "'*%s' contains itself", name));
  return place(r, n);
}

// ---- reading ------------------------------------------------------------------------------------------------

static bool report_syntax(Reader *r) {
  const yaml_parser_t *p = &r->parser;
  bool marked = p->error == YAML_SCANNER_ERROR || p->error == YAML_PARSER_ERROR;
  Loc loc = marked ? loc_of(r, p->problem_mark) : (Loc){.src = r->src, .line = 1, .col = 1};
  diag_error(r->ctx->diag, loc, "%s%s%s", p->context ? p->context : "", p->context ? ": " : "",
             p->problem ? p->problem : "this is not YAML");
  return r->ok = false;
}

// One event; *done at the end of the document.
static bool handle(Reader *r, const yaml_event_t *e, bool *done) {
  switch (e->type) {
  case YAML_SCALAR_EVENT: return add_scalar(r, e);
  case YAML_ALIAS_EVENT: return add_alias(r, e);
  case YAML_SEQUENCE_START_EVENT: return open_node(r, Y_LIST, e, e->data.sequence_start.anchor);
  case YAML_MAPPING_START_EVENT: return open_node(r, Y_MAP, e, e->data.mapping_start.anchor);
  case YAML_SEQUENCE_END_EVENT:
  case YAML_MAPPING_END_EVENT: return close_node(r);
  case YAML_DOCUMENT_START_EVENT:
    return !r->root || fail(r, loc_of(r, e->start_mark), "a second document begins here");
  case YAML_STREAM_END_EVENT: return *done = true;
  default: return true;
  }
}

static bool read_events(Reader *r) {
  for (bool done = false; !done;) {
    yaml_event_t e;
    if (!yaml_parser_parse(&r->parser, &e)) return report_syntax(r);
    bool ok = handle(r, &e, &done);
    yaml_event_delete(&e);
    if (!ok) return false;
  }
  if (!r->root) return fail(r, (Loc){.src = r->src}, "the document is empty");
  return r->ok;
}

static void delete_parser(void *p) {
  yaml_parser_delete(p);
}

YNode *yaml_read(Ctx *c, const Source *src) {
  Reader *r = NEW(c->arena, Reader); // in the arena: its parser must be freed even if memory runs out
  *r = (Reader){.ctx = c, .src = src, .anchors = map_new(c->arena), .ok = true};
  find_lines(r);
  if (!yaml_parser_initialize(&r->parser)) longjmp(*arena_oom(c->arena), 1);
  arena_defer(c->arena, delete_parser, &r->parser);
  yaml_parser_set_input_string(&r->parser, (const unsigned char *)src->text, src->len);
  yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
  return read_events(r) ? r->root : NULL;
}

YNode *yaml_get(const YNode *map, const char *key) {
  return map && map->kind == Y_MAP ? map_get(map->index, key) : NULL;
}
