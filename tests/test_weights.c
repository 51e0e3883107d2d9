// test_weights.c: .npy, .npz, .safetensors and llama2.c files, whole and damaged.
// SPDX-License-Identifier: Apache-2.0
#include "frontend/weights.h"
#include "tests/fixture.h"
#include "tests/folder.h"

#include <zlib.h>

typedef struct Fixture {
  Bench *b;
  Ctx *c;
  Arena *a;
  const char *dir;
} Fixture;

static Fixture begin(void) {
  Bench *b = bench_new();
  return (Fixture){b, b->ctx, b->arena, test_folder()};
}

static const char *write_file(Fixture *f, const char *name, const void *p, size_t n) {
  const char *path = arena_printf(f->a, "%s/%s", f->dir, name);
  FILE *out = fopen(path, "wb");
  fwrite(p, 1, n, out);
  fclose(out);
  return path;
}

static void put_le(Str *s, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; i++) str_put(s, &(char){(char)(v >> 8 * i)}, 1);
}

static Str npy(Arena *a, const char *dict, const void *data, size_t n) {
  Str s = {.arena = a};
  str_put(&s, "\x93NUMPY\1\0", 8);
  put_le(&s, strlen(dict), 2);
  str_puts(&s, dict);
  str_put(&s, data, n);
  return s;
}

static Tensor *parse(Fixture *f, Str s) {
  return npy_parse(f->c, NO_LOC, "x.npy", (const uint8_t *)s.s, s.n);
}

static const float SIX[] = {0, 1, 2, 3, 4, 5};

// ---- npy ----

Test(weights, npy_plain) {
  Fixture f = begin();
  Str s = npy(f.a, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  \n", SIX, 24);
  Tensor *t = parse(&f, s);
  cr_assert_not_null(t);
  cr_assert_str_eq(type_text(f.c, &t->type), "f32[2,3]");
  cr_assert((const char *)t->data > s.s && (const char *)t->data < s.s + s.n, "the data stays in place");
  cr_assert_eq(tensor_get(t, 4), 4);
  bench_free(f.b);
}

Test(weights, npy_headers_of_other_writers) {
  static const char *const dicts[] = {
      "{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}",
      "{'descr':'<f4','fortran_order':False,'shape':(2L,3L)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '=f4', 'fortran_order': False, 'shape': (6,), }",
  };
  Fixture f = begin();
  for (int i = 0; i < ARRAY_LEN(dicts); i++)
    cr_expect_not_null(parse(&f, npy(f.a, dicts[i], SIX, 24)), "%s", dicts[i]);
  Tensor *scalar = parse(&f, npy(f.a, "{'descr': '<i8', 'fortran_order': False, 'shape': (), }", SIX, 8));
  cr_assert_eq(scalar->type.rank, 0);
  Tensor *empty = parse(&f, npy(f.a, "{'descr': '<i8', 'fortran_order': True, 'shape': (0, 4), }", SIX, 0));
  cr_assert_eq(empty->bytes, 0);
  bench_free(f.b);
}

Test(weights, npy_fortran_order_becomes_row_major) {
  Fixture f = begin();
  Tensor *t = parse(&f, npy(f.a, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", SIX, 24));
  static const double want[] = {0, 2, 4, 1, 3, 5};
  for (int i = 0; i < 6; i++) cr_assert_eq(tensor_get(t, i), want[i]);
  bench_free(f.b);
}

Test(weights, npy_big_endian_is_swapped) {
  Fixture f = begin();
  static const uint8_t bytes[] = {0, 1, 1, 0, 0xff, 0xfe};
  Tensor *t = parse(&f, npy(f.a, "{'descr': '>i2', 'fortran_order': False, 'shape': (3,), }", bytes, 6));
  cr_assert_eq(tensor_get(t, 0), 1);
  cr_assert_eq(tensor_get(t, 1), 256);
  cr_assert_eq(tensor_get(t, 2), -2);
  bench_free(f.b);
}

Test(weights, npy_faults_are_named) {
  static const struct {
    const char *dict;
    size_t bytes;
    const char *message;
  } bad[] = {
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 20, "truncated"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", 24, "too long"},
      {"{'descr': '<U7', 'fortran_order': False, 'shape': (2, 3), }", 24, "unsupported element type '<U7'"},
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (3,), }", 24, "unsupported element type"},
      {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }", 24, "records"},
      {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (6,), }", 24, "neither True nor False"},
      {"{'descr': '<f4', 'shape': (6,), }", 24, "lacks"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'x': 1}", 24, "unexpected key"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-6,), }", 24, "natural"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 24, "natural"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 24, "absurdly large"},
      {"{'descr': '<f4', 'fortran_order': True, 'shape': (0, 1099511627776, 1099511627776), }", 0,
       "absurdly"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,6), }", 24, "too many dimensions"},
      {"[1, 2]", 24, "not a dictionary"},
      {"{'descr': '<f4", 24, "not readable"},
  };
  for (int i = 0; i < ARRAY_LEN(bad); i++) {
    Fixture f = begin();
    cr_expect_null(parse(&f, npy(f.a, bad[i].dict, SIX, bad[i].bytes)));
    cr_expect_not_null(strstr(said(f.b), bad[i].message), "case %d said: %s", i, said(f.b));
    bench_free(f.b);
  }
}

Test(weights, npy_prefixes_are_survived) {
  Fixture f = begin();
  Str s = npy(f.a, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", SIX, 24);
  for (size_t n = 0; n < s.n; n++) {
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, s.s, n);
    cr_assert_null(npy_parse(f.c, NO_LOC, "x", copy, n));
    free(copy);
  }
  bench_free(f.b);
}

// ---- writing ----

Test(weights, npy_round_trip) {
  Fixture f = begin();
  const char *path = arena_printf(f.a, "%s/t.npy", f.dir);
  for (int t = 0; t < DT_COUNT; t++) {
    Type type = type_make((DType)t, 2, (int64_t[]){2, 3});
    Tensor *x = tensor_new(f.c, &type);
    for (int i = 0; i < 6; i++) tensor_set(x, i, i % 2);
    cr_assert(npy_save(f.c, path, x));
    WeightFile *w = weights_open(f.c, NO_LOC, path);
    cr_assert_not_null(w);
    cr_assert_str_eq(weights_name(w, 0), "t");
    const Tensor *y = weights_get(w, NO_LOC, "t");
    cr_assert(y && tensor_equal(x, y), "%s", dtype_name((DType)t));
    cr_assert_str_eq(y->file, path);
    cr_assert_eq(y->offset % 64, 0);
  }
  bench_free(f.b);
}

Test(weights, npz_round_trip) {
  Fixture f = begin();
  const char *path = arena_printf(f.a, "%s/t.npz", f.dir);
  Type type = type_make(DT_F32, 1, (int64_t[]){6});
  Tensor *six = tensor_view(f.c, &type, SIX), *one = tensor_scalar(f.c, DT_I64, 7);
  cr_assert(
      npz_save(f.c, path, (const char *const[]){"layer.weight", "n"}, (const Tensor *const[]){six, one}, 2));
  WeightFile *w = weights_open(f.c, NO_LOC, path);
  cr_assert_eq(weights_count(w), 2);
  const Tensor *t = weights_get(w, NO_LOC, "layer.weight");
  cr_assert(tensor_equal(t, six));
  cr_assert_eq(t->offset % 64, 0, "members can be mapped");
  cr_assert(tensor_equal(weights_get(w, NO_LOC, "n"), one));
  cr_assert_null(weights_get(w, NO_LOC, "layer.wieght"));
  cr_assert_not_null(strstr(said(f.b), "did you mean 'layer.weight'?"));
  bench_free(f.b);
}

// ---- npz ----

// An archive with one deflated member, as np.savez_compressed writes it.
static Str deflated(Arena *a, const char *name, Str full, uint32_t claim) {
  uLongf n = compressBound(full.n);
  uint8_t *packed = arena_alloc(a, n);
  z_stream z = {0};
  deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  z.next_in = (Bytef *)full.s;
  z.avail_in = (uInt)full.n;
  z.next_out = packed;
  z.avail_out = (uInt)n;
  deflate(&z, Z_FINISH);
  n = z.total_out;
  deflateEnd(&z);
  uint32_t crc = (uint32_t)crc32(0, (const Bytef *)full.s, (uInt)full.n);
  Str s = {.arena = a};
  for (int central = 0; central < 2; central++) {
    str_put(&s, central ? "PK\1\2\24\0" : "PK\3\4", central ? 6 : 4);
    put_le(&s, 20, 2);
    put_le(&s, 0, 2);
    put_le(&s, 8, 2);
    put_le(&s, 0, 4);
    put_le(&s, crc, 4);
    put_le(&s, n, 4);
    put_le(&s, claim, 4);
    put_le(&s, strlen(name), 2);
    put_le(&s, 0, central ? 8 : 2);
    put_le(&s, 0, central ? 8 : 0);
    str_puts(&s, name);
    if (!central) str_put(&s, (const char *)packed, n);
  }
  size_t local = 30 + strlen(name) + n;
  str_put(&s, "PK\5\6\0\0\0\0\1\0\1\0", 12);
  put_le(&s, s.n - 12 - local, 4);
  put_le(&s, local, 4);
  put_le(&s, 0, 2);
  return s;
}

Test(weights, npz_deflated_members_are_inflated) {
  Fixture f = begin();
  Str inner = npy(f.a, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", SIX, 24);
  Str s = deflated(f.a, "x.npy", inner, (uint32_t)inner.n);
  WeightFile *w = weights_open(f.c, NO_LOC, write_file(&f, "a.npz", s.s, s.n));
  cr_assert_not_null(w, "%s", said(f.b));
  const Tensor *t = weights_get(w, NO_LOC, "x");
  cr_assert_not_null(t, "%s", said(f.b));
  cr_assert_eq(tensor_get(t, 5), 5);
  cr_assert_null(t->file);
  bench_free(f.b);
}

Test(weights, npz_damage_is_found) {
  Fixture f = begin();
  Str inner = npy(f.a, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", SIX, 24);
  Str bomb = deflated(f.a, "x.npy", inner, 0x7fffffff);
  cr_assert_null(weights_open(f.c, NO_LOC, write_file(&f, "bomb.npz", bomb.s, bomb.n)));
  cr_assert_not_null(strstr(said(f.b), "impossible size"));
  Str s = deflated(f.a, "x.npy", inner, (uint32_t)inner.n);
  s.s[45] ^= 0x55; // in the packed data
  WeightFile *w = weights_open(f.c, NO_LOC, write_file(&f, "bad.npz", s.s, s.n));
  cr_assert_null(weights_get(w, NO_LOC, "x"));
  cr_assert_not_null(strstr(said(f.b), "damaged"));
  for (size_t n = 4; n < s.n; n++)
    cr_assert_null(weights_open(f.c, NO_LOC, write_file(&f, "cut.npz", s.s, n)));
  bench_free(f.b);
}

// ---- safetensors ----

static const char *safetensors(Fixture *f, const char *json, size_t data_bytes) {
  Str s = {.arena = f->a};
  put_le(&s, strlen(json), 8);
  str_puts(&s, json);
  for (size_t i = 0; i < data_bytes; i++) put_le(&s, i, 1);
  return write_file(f, "m.safetensors", s.s, s.n);
}

Test(weights, safetensors_are_mapped) {
  Fixture f = begin();
  const char *path = safetensors(&f,
                                 "{\"__metadata__\":{\"format\":\"pt\"},"
                                 "\"b\":{\"dtype\":\"I16\",\"shape\":[2,2],\"data_offsets\":[4,12]},"
                                 "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                                 "\"q\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[12,14]}}",
                                 14);
  WeightFile *w = weights_open(f.c, NO_LOC, path);
  cr_assert_not_null(w, "%s", said(f.b));
  cr_assert_eq(weights_count(w), 3);
  const Tensor *b = weights_get(w, NO_LOC, "b");
  cr_assert_str_eq(type_text(f.c, &b->type), "i16[2,2]");
  cr_assert_eq(tensor_get(b, 0), 0x0504);
  cr_assert_not_null(b->file);
  cr_assert_null(weights_get(w, NO_LOC, "q"));
  cr_assert_not_null(strstr(said(f.b), "unsupported element type F8_E4M3"));
  bench_free(f.b);
}

Test(weights, safetensors_faults_are_named) {
#define ONE(fields) "{\"a\":{\"dtype\":\"F32\"," fields "}}"
  static const struct {
    const char *json;
    size_t bytes;
    const char *message;
  } bad[] = {
      {ONE("\"shape\":[2],\"data_offsets\":[0,8]"), 4, "truncated"},
      {ONE("\"shape\":[2],\"data_offsets\":[0,8]"), 9, "belong to no tensor"},
      {ONE("\"shape\":[3],\"data_offsets\":[0,8]"), 8, "do not fit"},
      {ONE("\"shape\":[2],\"data_offsets\":[8,0]"), 8, "broken data_offsets"},
      {ONE("\"shape\":[2],\"data_offsets\":[-4,4]"), 8, "broken data_offsets"},
      {ONE("\"shape\":[2],\"data_offsets\":[0.5,8]"), 8, "broken data_offsets"},
      {ONE("\"shape\":[2],\"data_offsets\":[0,1e300]"), 8, "broken data_offsets"},
      {ONE("\"shape\":[2]"), 8, "no data_offsets"},
      {ONE("\"data_offsets\":[0,8]"), 8, "no shape"},
      {ONE("\"shape\":[1e12,1e12],\"data_offsets\":[0,8]"), 8, "absurdly large"},
      {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "no dtype"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
       "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
       6, "overlaps"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
       "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]}}",
       6, "gap"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
       "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}",
       4, "two tensors named 'a'"},
      {"{\"a\":", 8, "not a JSON object"},
      {"{\"a\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3, "other than 0 and 1"},
  };
  for (int i = 0; i < ARRAY_LEN(bad); i++) {
    Fixture f = begin();
    WeightFile *w = weights_open(f.c, NO_LOC, safetensors(&f, bad[i].json, bad[i].bytes));
    cr_expect(!w || !weights_get(w, NO_LOC, "a"));
    cr_expect_not_null(strstr(said(f.b), bad[i].message), "case %d said: %s", i, said(f.b));
    bench_free(f.b);
  }
}

Test(weights, safetensors_absurd_header) {
  Fixture f = begin();
  static const char bytes[] = "\xff\xff\xff\xff\xff\xff\xff\x7f{}";
  cr_assert_null(weights_open(f.c, NO_LOC, write_file(&f, "x", bytes, sizeof bytes - 1)));
  cr_assert_not_null(strstr(said(f.b), "absurdly long"));
  bench_free(f.b);
}

// ---- llama2.c ----

// A checkpoint of dim 4, hidden 3, two layers, two heads that share one of keys, three words, length 2, whose weights count
// upwards; `words` below 0 has a head of its own.
static Str checkpoint(Arena *a, int words) {
  const int32_t numbers[] = {4, 3, 2, 2, 1, words, 2};
  int kv = 2, each = 4 + 16 + 2 * kv * 4 + 16 + 4 + 3 * 12,
      floats = 12 + 2 * each + 4 + 2 * 2 + (words < 0 ? 12 : 0);
  Str s = {.arena = a};
  for (int i = 0; i < ARRAY_LEN(numbers); i++) put_le(&s, (uint32_t)numbers[i], 4);
  for (int i = 0; i < floats; i++) {
    float v = (float)i;
    str_put(&s, (const char *)&v, sizeof v);
  }
  return s;
}

Test(weights, llama2c_checkpoints_are_mapped) {
  static const struct {
    const char *name, *type;
    double first;
  } parts[] = {{"tok_embeddings.weight", "f32[3,4]", 0},
               {"layers.0.attention_norm.weight", "f32[4]", 12},
               {"layers.1.attention_norm.weight", "f32[4]", 16},
               {"layers.0.attention.wq.weight", "f32[4,4]", 20},
               {"layers.0.attention.wk.weight", "f32[2,4]", 52},
               {"layers.1.attention.wv.weight", "f32[2,4]", 76},
               {"layers.0.attention.wo.weight", "f32[4,4]", 84},
               {"layers.1.ffn_norm.weight", "f32[4]", 120},
               {"layers.0.feed_forward.w1.weight", "f32[3,4]", 124},
               {"layers.1.feed_forward.w2.weight", "f32[4,3]", 160},
               {"layers.1.feed_forward.w3.weight", "f32[3,4]", 184},
               {"norm.weight", "f32[4]", 196},
               {"output.weight", "f32[3,4]", 204}}; // behind the turns
  for (int own_head = 0; own_head < 2; own_head++) {
    Fixture f = begin();
    Str s = checkpoint(f.a, own_head ? -3 : 3);
    WeightFile *w = weights_open(f.c, NO_LOC, write_file(&f, "m.bin", s.s, s.n));
    cr_assert_not_null(w, "%s", said(f.b));
    cr_expect_eq(weights_count(w), 2 * 9 + 2 + own_head);
    for (int i = 0; i < ARRAY_LEN(parts) - !own_head; i++) {
      const Tensor *t = weights_get(w, NO_LOC, parts[i].name);
      cr_assert_not_null(t, "%s", said(f.b));
      cr_expect_str_eq(type_text(f.c, &t->type), parts[i].type, "%s", parts[i].name);
      cr_expect_eq(tensor_get(t, 0), parts[i].first, "%s begins with %g", parts[i].name, tensor_get(t, 0));
      cr_expect_not_null(t->file);
    }
    cr_expect_eq(weights_has(w, "output.weight"), own_head);
    bench_free(f.b);
  }
}

// Without a magic number, only what fits to the byte is one.
Test(weights, llama2c_checkpoints_that_do_not_fit) {
  static const struct {
    int at; // which of the numbers becomes
    int32_t value;
    int more; // bytes behind, or missing
  } bad[] = {{0, 0, 0},         {1, -3, 0},      {2, 4097, 0}, {3, 3, 0}, {4, 4, 0},
             {5, INT32_MIN, 0}, {6, 1 << 25, 0}, {6, 2, 1},    {6, 2, -1}};
  for (int i = 0; i < ARRAY_LEN(bad); i++) {
    Fixture f = begin();
    Str s = checkpoint(f.a, 3);
    memcpy(s.s + 4 * bad[i].at, &bad[i].value, 4);
    if (bad[i].more > 0) str_put(&s, "x", 1);
    if (bad[i].more < 0) s.n--;
    cr_expect_null(weights_open(f.c, NO_LOC, write_file(&f, "m.bin", s.s, s.n)), "case %d", i);
    cr_expect_not_null(strstr(said(f.b), "is not a .npy"), "case %d said: %s", i, said(f.b));
    bench_free(f.b);
  }
  Fixture f = begin();
  cr_expect_null(weights_open(f.c, NO_LOC, write_file(&f, "m.bin", "1234567", 7)));
  bench_free(f.b);
}

Test(weights, other_files_are_refused) {
  Fixture f = begin();
  cr_assert_null(weights_open(f.c, NO_LOC, write_file(&f, "x", "hello world", 11)));
  cr_assert_not_null(strstr(said(f.b), "is not a .npy, .npz or .safetensors file"));
  cr_assert_null(weights_open(f.c, NO_LOC, write_file(&f, "y", "", 0)));
  cr_assert_null(weights_open(f.c, NO_LOC, "/nonexistent.npy"));
  bench_free(f.b);
}
