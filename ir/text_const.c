// text_const.c: constants as text: small ones inline, others by reference to a file.
// SPDX-License-Identifier: Apache-2.0
//
// A reference is file("path", offset, hash). The hash is checked when it is read, so that a text never
// silently goes with other weights, and cannot be used to pull in a file whose content it does not know.
// Tensors that come from no file are kept in a folder, one file for each content, named by its hash.
#include "ir/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { INLINE_ELEMENTS = 16 };

struct BlobFile {
  Ctx *ctx;
  const char *folder;
  const char *parent; // real path with a '/' at the end: what lies below is named relative to it
};

// ---- paths ------------------------------------------------------------------------------------------------

static char *real_path(Ctx *c, const char *path) {
  char *s = realpath(path, NULL);
  char *copy = arena_strdup(c->arena, s ? s : path);
  free(s);
  return copy;
}

BlobFile *blob_new(Ctx *c, const char *path) {
  BlobFile *b = NEW(c->arena, BlobFile);
  char *parent = real_path(c, path_join_dir(c->arena, path, "."));
  bool root = strcmp(parent, "/") == 0;
  *b = (BlobFile){c, arena_strdup(c->arena, path), root ? parent : arena_printf(c->arena, "%s/", parent)};
  return b;
}

static const char *printed_path(Printer *p, const char *path) {
  char *real = real_path(p->ctx, path);
  if (!p->blobs) return real;
  size_t n = strlen(p->blobs->parent);
  return strncmp(real, p->blobs->parent, n) == 0 ? real + n : real;
}

static bool has_dot_dot(const char *path) {
  for (const char *s = path; *s; s++) {
    bool start = s == path || s[-1] == '/';
    if (start && s[0] == '.' && s[1] == '.' && (s[2] == '/' || !s[2])) return true;
  }
  return false;
}

// ---- storing ----------------------------------------------------------------------------------------------

static bool write_blob(Ctx *c, const char *path, const Tensor *t) {
  OutFile *f = file_create(c->arena, c->diag, path);
  if (!f) return false;
  fwrite(t->data, 1, t->bytes, file_stream(f)); // file_commit sees the stream's errors
  return file_commit(f);
}

// The file that holds the bytes of t, written if there is none yet.
static const char *store_blob(BlobFile *b, const Tensor *t) {
  Ctx *c = b->ctx;
  char *path = arena_printf(c->arena, "%s/%016llx", b->folder, (unsigned long long)tensor_hash(t));
  struct stat st;
  if (stat(path, &st) == 0 && (size_t)st.st_size == t->bytes) return path;
  if (mkdir(b->folder, 0777) != 0 && errno != EEXIST) {
    diag_error(c->diag, NO_LOC, "cannot create the folder '%s': %s", b->folder, strerror(errno));
  } else {
    write_blob(c, path, t);
  }
  return path;
}

// ---- printing ---------------------------------------------------------------------------------------------

static uint64_t element_bits(const Tensor *t, int64_t i) {
  int size = dtype_bytes(t->type.dtype);
  uint64_t bits = 0;
  memcpy(&bits, (const uint8_t *)t->data + i * size, (size_t)size); // little endian
  return bits;
}

static void print_element(Printer *p, const Tensor *t, int64_t i) {
  DType dt = t->type.dtype;
  if (dt == DT_U64) {
    str_printf(p->out, "%llu", (unsigned long long)element_bits(t, i));
  } else if (!dtype_is_float(dt)) {
    str_printf(p->out, "%lld", (long long)tensor_get_int(t, i));
  } else if (isnan(tensor_get(t, i))) {
    str_printf(p->out, "nan(0x%llx)", (unsigned long long)element_bits(t, i));
  } else {
    print_double(p->out, tensor_get(t, i), dt);
  }
}

static void print_elements(Printer *p, const Tensor *t) {
  int64_t n = type_elements(&t->type);
  str_puts(p->out, "[");
  for (int64_t i = 0; i < n; i++) {
    if (i) str_puts(p->out, ", ");
    print_element(p, t, i);
  }
  str_puts(p->out, "]");
}

static void print_reference(Printer *p, const char *path, int64_t offset, const Tensor *t) {
  str_puts(p->out, "file(");
  print_string(p->out, printed_path(p, path));
  str_printf(p->out, ", %lld, 0x%016llx)", (long long)offset, (unsigned long long)tensor_hash(t));
}

void print_tensor(Printer *p, const Tensor *t) {
  bool small = type_elements(&t->type) <= INLINE_ELEMENTS;
  if (p->brief && !small) {
    str_puts(p->out, "[...]");
  } else if (small || (!t->file && !p->blobs)) {
    print_elements(p, t);
  } else if (t->file) {
    print_reference(p, t->file, t->offset, t);
  } else {
    print_reference(p, store_blob(p->blobs, t), 0, t);
  }
}

// ---- parsing ----------------------------------------------------------------------------------------------

typedef struct MappedFile {
  const uint8_t *data; // NULL: could not be read, reported
  size_t size;
} MappedFile;

static const MappedFile *map_file(Parser *p, Loc loc, const char *path) {
  if (!p->files) p->files = map_new(p->ctx->arena);
  MappedFile *f = map_get(p->files, path);
  if (f) {
    p->lx.failed |= !f->data;
    return f->data ? f : NULL;
  }
  f = NEW(p->ctx->arena, MappedFile);
  map_put(p->files, path, f);
  if (file_map(p->ctx->arena, p->ctx->diag, loc, path, &f->data, &f->size)) return f;
  f->data = NULL;
  p->lx.failed = true;
  return NULL;
}

static const Tensor *file_tensor(Parser *p, Loc loc, const Type *type, const char *path, int64_t offset,
                                 uint64_t hash) {
  const MappedFile *f = map_file(p, loc, path);
  if (!f) return NULL;
  int64_t bytes = type_bytes(type), end;
  if (offset < 0 || !add_ok(offset, bytes, &end) || (uint64_t)end > f->size) {
    lex_error_at(&p->lx, loc, "'%s' has %zu bytes; the constant needs %lld from %lld on", path, f->size,
                 (long long)bytes, (long long)offset);
    return NULL;
  }
  Tensor *t = tensor_view(p->ctx, type, f->data + offset);
  t->file = path;
  t->offset = offset;
  if (tensor_hash(t) == hash) {
    t->hash = hash;
    return t;
  }
  lex_error_at(&p->lx, loc, "the content of '%s' is not what this text was written for", path);
  return NULL;
}

static const Tensor *parse_reference(Parser *p, const Type *t) {
  Loc loc = p->lx.tok.loc;
  int64_t offset;
  uint64_t hash;
  if (!lex_expect(&p->lx, "(")) return NULL;
  const char *path = lex_string(&p->lx, "a path");
  if (!path || !lex_expect(&p->lx, ",") || !lex_int(&p->lx, &offset) || !lex_expect(&p->lx, ",") ||
      !lex_hex(&p->lx, &hash) || !lex_expect(&p->lx, ")")) {
    return NULL;
  }
  if (has_dot_dot(path)) {
    lex_error_at(&p->lx, loc, "the path '%s' leaves the model's folder", path);
    return NULL;
  }
  return file_tensor(p, loc, t, path_join_dir(p->ctx->arena, p->lx.src->path, path), offset, hash);
}

// nan or nan(0x7fc00001): a NaN keeps its bits, signalling or not.
static bool parse_nan(Parser *p, DType dt, char *element) {
  Type scalar = {.dtype = dt};
  Tensor one = {.type = scalar, .data = element, .bytes = (size_t)dtype_bytes(dt)};
  lex_next(&p->lx);
  tensor_set(&one, 0, NAN);
  if (!lex_accept(&p->lx, "(")) return true;
  uint64_t bits;
  if (!lex_hex(&p->lx, &bits) || !lex_expect(&p->lx, ")")) return false;
  memcpy(element, &bits, one.bytes);
  return isnan(tensor_get(&one, 0)) || lex_error(&p->lx, "these bits are not a NaN of this type");
}

static bool parse_integer(Parser *p, DType dt, int64_t *v) {
  bool negative = lex_accept(&p->lx, "-");
  if (p->lx.tok.kind != TOK_NUMBER) return lex_error(&p->lx, "expected a number");
  Number n = p->lx.tok.number;
  n.negative = negative;
  double unused;
  if (!lex_number_as(&n, dt, v, &unused)) return lex_error(&p->lx, "does not fit %s", dtype_name(dt));
  lex_next(&p->lx);
  return true;
}

// One element, as it lies in memory.
static bool parse_element(Parser *p, DType dt, char *element) {
  Type scalar = {.dtype = dt};
  Tensor one = {.type = scalar, .data = element, .bytes = (size_t)dtype_bytes(dt)};
  double f = 0;
  int64_t i = 0;
  if (!dtype_is_float(dt)) {
    if (!parse_integer(p, dt, &i)) return false;
    tensor_set_int(&one, 0, i);
    return true;
  }
  if (lex_is(&p->lx, "nan")) return parse_nan(p, dt, element);
  if (!lex_double(&p->lx, &f, dt)) return false;
  tensor_set(&one, 0, f);
  return true;
}

static const Tensor *parse_elements(Parser *p, const Type *t) {
  Loc loc = p->lx.tok.loc;
  Str bytes = {.arena = p->ctx->arena};
  int64_t n = 0, want = type_elements(t);
  if (!lex_expect(&p->lx, "[")) return NULL;
  for (; !lex_is(&p->lx, "]"); n++) {
    if (n && !lex_expect(&p->lx, ",")) return NULL;
    char element[8];
    if (!parse_element(p, t->dtype, element)) return NULL;
    str_put(&bytes, element, (size_t)dtype_bytes(t->dtype));
  }
  lex_next(&p->lx);
  if (n == want) return tensor_view(p->ctx, t, str_text(&bytes));
  lex_error_at(&p->lx, loc, "%s has %lld elements, here are %lld", type_text(p->ctx, t), (long long)want,
               (long long)n);
  return NULL;
}

const Tensor *parse_tensor(Parser *p, const Type *t) {
  if (!type_is_static(t)) {
    lex_error(&p->lx, "a constant cannot have symbolic extents");
    return NULL;
  }
  return lex_accept(&p->lx, "file") ? parse_reference(p, t) : parse_elements(p, t);
}
