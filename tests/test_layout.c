// test_layout.c: layouts: physical shapes and indices, packing and unpacking; element types; extents.
// SPDX-License-Identifier: Apache-2.0
#include "ir/ir.h"

#include <criterion/criterion.h>
#include <math.h>

static jmp_buf oom; // never set: running out of memory crashes the test

static Ctx *new_ctx(void) {
  Arena *a = arena_new(&oom);
  return ctx_new(a, diag_new(a, stderr, false));
}

static const LayoutPart NCHW8C[] = {
    {0, 1, 0, 0, 0, 0}, {1, 8, 0, 0, 0, 0}, {2, 1, 0, 0, 0, 0}, {3, 1, 0, 0, 0, 0}, {1, 1, 8, 0, 0, 0}};
static const LayoutPart PADDED[] = {{0, 1, 0, 0, 0, 0}, {1, 1, 0, 1, 2, 0}};
static const LayoutPart PANELS[] = {{0, 6, 0, 0, 0, 0}, {1, 1, 0, 0, 0, 0}, {0, 1, 6, 0, 0, 0}};

static const LayoutPart DEALT[] = {
    {1, 4, 3, 0, 0, 0}, {1, 12, 0, 0, 0, 0}, {0, 1, 0, 0, 0, 0}, {1, 1, 4, 0, 0, 0}};

static Tensor *counting(Ctx *c, Type type) {
  Tensor *t = tensor_new(c, &type);
  for (int64_t i = 0; i < type_elements(&type); i++) tensor_set_int(t, i, i + 1);
  return t;
}

Test(layout, shapes) {
  Ctx *c = new_ctx();
  Type t = type_make(DT_F32, 4, (int64_t[]){2, 20, 5, 7});
  Dim shape[MAX_PHYS_RANK];
  const Layout *l = layout_new(c, NCHW8C, ARRAY_LEN(NCHW8C));
  layout_shape(c, l, &t, shape);
  static const int64_t want[] = {2, 3, 5, 7, 8, 0};
  for (int i = 0; i < 5; i++) cr_expect_eq(shape[i].n, want[i]);
  cr_expect_eq(layout_bytes(c, l, &t), 2 * 3 * 5 * 7 * 8 * 4);
  cr_expect_eq(layout_bytes(c, NULL, &t), 2 * 20 * 5 * 7 * 4);
  cr_expect_str_eq(layout_text(c, l), "layout<0,1/8,2,3,1%8>");
  cr_expect(layout_equal(l, layout_new(c, NCHW8C, ARRAY_LEN(NCHW8C))));
  cr_expect(!layout_equal(l, NULL));
}

// The index expressions say where packing puts each element, and unpacking is the inverse.
static void check_packing(const LayoutPart *parts, int n, int rank, const int64_t *dims) {
  Ctx *c = new_ctx();
  const Layout *l = layout_new(c, parts, n);
  Type type = type_make(DT_I32, rank, dims);
  Tensor *t = counting(c, type);
  Dim shape[MAX_PHYS_RANK];
  layout_shape(c, l, &type, shape);
  int32_t *packed = arena_alloc(c->arena, (size_t)layout_bytes(c, l, &type));
  memset(packed, 0xff, (size_t)layout_bytes(c, l, &type));
  layout_pack(c, l, t, packed);
  int64_t filled = 0;
  for (int64_t i = 0; i < layout_bytes(c, l, &type) / 4; i++) filled += packed[i] != 0;
  cr_expect_eq(filled, type_elements(&type), "outside is zero");
  for (int64_t i = 0; i < type_elements(&type); i++) {
    const Expr *index[MAX_RANK], *at[MAX_PHYS_RANK];
    int64_t rest = i, offset = 0, v;
    for (int d = rank - 1; d >= 0; d--) {
      index[d] = ex_idx(c, rest % dims[d]);
      rest /= dims[d];
    }
    cr_assert_eq(layout_index(c, l, &type, index, at), n);
    for (int k = 0; k < n; k++) {
      cr_assert(expr_is_const_int(at[k], &v));
      offset = offset * shape[k].n + v;
    }
    cr_assert_eq(packed[offset], i + 1);
  }
  cr_expect(tensor_equal(layout_unpack(c, l, &type, packed), t));
  // Piece by piece the same bytes.
  int64_t slices = layout_slices(c, l, &type), bytes = layout_bytes(c, l, &type);
  char *piece = arena_alloc(c->arena, (size_t)bytes);
  for (int64_t step = 1; step <= 3; step++)
    for (int64_t i = 0; i < slices; i += step) {
      int64_t end = i + step < slices ? i + step : slices, each = bytes / slices;
      memset(piece, 0xff, (size_t)bytes);
      layout_pack_slices(c, l, t, i, end, piece);
      cr_assert_eq(memcmp(piece, (char *)packed + i * each, (size_t)((end - i) * each)), 0,
                   "slices %lld to %lld", (long long)i, (long long)end);
    }
}

Test(layout, packing) {
  check_packing(NCHW8C, ARRAY_LEN(NCHW8C), 4, (int64_t[]){2, 20, 3, 5});
  check_packing(PADDED, ARRAY_LEN(PADDED), 2, (int64_t[]){4, 5});
  check_packing(PANELS, ARRAY_LEN(PANELS), 2, (int64_t[]){13, 9});
  check_packing(DEALT, ARRAY_LEN(DEALT), 2, (int64_t[]){9, 24});
  check_packing(DEALT, ARRAY_LEN(DEALT), 2, (int64_t[]){5, 38});
  check_packing(PADDED, ARRAY_LEN(PADDED), 2, (int64_t[]){0, 5});
}

Test(layout, indices_simplify) {
  Ctx *c = new_ctx();
  Type t = type_make(DT_F32, 4, (int64_t[]){1, 64, 56, 56});
  const Layout *l = layout_new(c, NCHW8C, ARRAY_LEN(NCHW8C));
  const Expr *co = ex_var(c, var_new(c, "co", ex_idx(c, 8))), *ci = ex_var(c, var_new(c, "ci", ex_idx(c, 8)));
  const Expr *h = ex_var(c, var_new(c, "h", ex_idx(c, 56))), *w = ex_var(c, var_new(c, "w", ex_idx(c, 56)));
  const Expr *ch = ex_add(c, ex_mul(c, co, ex_idx(c, 8)), ci), *out[5];
  layout_index(c, l, &t, (const Expr *[]){ex_idx(c, 0), ch, h, w}, out);
  cr_expect(out[1] == co && out[4] == ci && out[2] == h && out[3] == w);
}

// ---- element types --------------------------------------------------------------------------------------

Test(layout, half_floats) {
  for (int h = 0; h < 65536; h++) { // every f16 goes there and back
    float f = f16_to_f32((uint16_t)h);
    if (isnan(f))
      cr_assert(isnan(f16_to_f32(f16_from_f32(f))));
    else
      cr_assert_eq(f16_from_f32(f), h);
    float g = bf16_to_f32((uint16_t)h);
    if (isnan(g))
      cr_assert(isnan(bf16_to_f32(bf16_from_f32(g))));
    else
      cr_assert_eq(bf16_from_f32(g), h);
  }
  for (int h = 0; h < 0x7bff; h++) { // halfway goes to even, anything beyond to the nearer
    float a = f16_to_f32((uint16_t)h), b = f16_to_f32((uint16_t)(h + 1)), mid = (a + b) / 2;
    cr_assert_eq(f16_from_f32(mid), h & 1 ? h + 1 : h);
    cr_assert_eq(f16_from_f32(nextafterf(mid, 0)), h);
    cr_assert_eq(f16_from_f32(nextafterf(mid, INFINITY)), h + 1);
  }
  cr_expect_eq(f16_from_f32(65519.9f), 0x7bff);
  cr_expect_eq(f16_from_f32(65520), 0x7c00);
  cr_expect_eq(f16_from_f32(0x1p-25f), 0);
  cr_expect_eq(f16_from_f32(-1e-30f), 0x8000);
}

Test(layout, dtype_names) {
  for (int t = 0; t < DT_COUNT; t++)
    cr_expect_eq(dtype_parse(dtype_name((DType)t), strlen(dtype_name((DType)t))), (DType)t);
  cr_expect_eq(dtype_parse("f3", 2), DT_NONE);
  cr_expect_eq(dtype_parse("", 0), DT_NONE);
}

// ---- extents --------------------------------------------------------------------------------------------

Test(layout, extents) {
  Ctx *c = new_ctx();
  Module *m = module_new(c, "m");
  Sym *s = module_sym(m, "T", 1, 100, NO_LOC);
  cr_expect_eq(module_sym(m, "T", 1, 100, NO_LOC), s);
  Dim t = dim_expr(c, ex_sym(c, s)), two = dim_const(2);
  cr_expect_eq(t.n, 100);
  Dim d = dim_binary(c, E_ADD, dim_binary(c, E_MUL, t, two), dim_const(1));
  cr_expect_eq(d.n, 201);
  cr_expect(dim_equal(dim_binary(c, E_SUB, d, dim_const(1)), dim_binary(c, E_MUL, two, t)));
  cr_expect(dim_equal(dim_binary(c, E_FDIV, dim_binary(c, E_MUL, t, two), two), t));
  cr_expect_eq(dim_binary(c, E_MUL, dim_const(INT64_MAX), two).n, INT64_MAX);
}

Test(layout, too_many_elements) {
  Arena *a = arena_new(&oom);
  Ctx *c = ctx_new(a, diag_new(a, fopen("/dev/null", "w"), false));
  Type most = type_make(DT_U8, 2, (int64_t[]){1 << 20, 1 << 20});
  Type more = type_make(DT_U8, 2, (int64_t[]){1 << 20, (1 << 20) + 1});
  Type zero = type_make(DT_U8, 3, (int64_t[]){0, INT64_C(1) << 40, INT64_C(1) << 40});
  Type negative = type_make(DT_U8, 1, (int64_t[]){-1});
  cr_expect(type_check_size(c, NO_LOC, &most));
  cr_expect(!type_check_size(c, NO_LOC, &more));
  cr_expect(!type_check_size(c, NO_LOC, &zero), "strides would overflow");
  cr_expect(!type_check_size(c, NO_LOC, &negative));
}

Test(layout, targets) {
  Ctx *c = new_ctx();
  for (int i = 0; i < target_count(); i++) {
    const Target *t = target_at(i);
    cr_expect_eq(target_find(c, t->name), t);
    cr_expect(t->vector_bytes >= 4 && t->vector_regs >= 16, "%s: no registers for a tile", t->name);
    cr_expect(t->l1 > 0 && t->l2 > t->l1, "%s", t->name);
    cr_expect(t->l3 == 0 || t->l3 > t->l2, "%s: a third level that is smaller", t->name);
  }
  cr_expect_null(target_find(c, "z80"));
  cr_expect_str_eq(target_find(c, "native")->triple, target_default(c)->triple);
}
